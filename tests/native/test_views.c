// SPDX-License-Identifier: Apache-2.0
/*
 * test_views.c: what somebody looks at stays where it is: it is not freed, moved away or detached,
 * by this process or another one, as long as the one who looks lives; its pages get no checksums
 * while it is written through; and what was touched is undone with the transaction.
 */
#include "harness.h"

#include <signal.h>

#include "persistence/heap.h"
#include "persistence/sums.h"
#include "spacejmp/hold.h"
#include "spacejmp/views.h"

#define BLOCK 8192ull

static const struct sj_wait patient = {.timeout_s = 60};

static struct sj_space *attach(const char *name, bool writable)
{
    struct sj_attach_options options = {.writable = writable, .wait = patient};
    struct sj_space *space;
    char segment[128], lock[160];
    snprintf(segment, sizeof segment, "%s", test_path(name));
    snprintf(lock, sizeof lock, "%s.lock", segment);
    CHECK_OK(sj_space_attach(segment, lock, &options, &space));
    return space;
}

/* A new store, with a block that is zeros. */
static struct sj_space *make(const char *name, uint64_t *block)
{
    struct sj_segment_spec spec = {name, TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    void *at;
    CHECK_OK(sj_segment_create(test_path(name), &spec));
    struct sj_space *space = attach(name, true);
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_tx_op_begin(space->segment));
    CHECK_OK(sj_heap_alloc(space->segment, BLOCK, &at));
    sj_tx_ready(space->segment);
    sj_zero(at, BLOCK);
    CHECK_OK(sj_tx_op_commit(space->segment));
    CHECK_OK(sj_leave(space));
    *block = (uint64_t)(uintptr_t)at;
    return space;
}

static struct sj_view view_of(struct sj_space *space, uint64_t block, bool writable)
{
    struct sj_view view;
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_view_begin(space, block, BLOCK, writable, &view));
    CHECK_OK(sj_leave(space));
    return view;
}

/* ------------------------------------------------------------------ one process */

static void keeps_block_and_space(void)
{
    uint64_t block;
    struct sj_space *space = make("keeps", &block);
    struct sj_segment *segment = space->segment;
    struct sj_view none;
    CHECK(sj_view_begin(space, block, BLOCK, false, &none) == SJ_ENOHOLD);
    CHECK_OK(sj_enter_read(space, &patient));
    CHECK(sj_view_begin(space, block, BLOCK, true, &none) == SJ_ENOHOLD);
    CHECK(sj_view_begin(space, 8, BLOCK, false, &none) == SJ_EINVAL);
    CHECK(sj_view_begin(space, block, 0, false, &none) == SJ_EINVAL);
    CHECK_OK(sj_leave(space));
    CHECK(sj_views_count(space) == 0 && space->viewed == NULL);

    CHECK_OK(sj_segment_unviewed(segment, block, BLOCK));
    struct sj_view one = view_of(space, block, false), two = view_of(space, block, true);
    CHECK(sj_views_count(space) == 2 && one.block == two.block);
    CHECK(sj_segment_unviewed(segment, block, BLOCK) == SJ_EVIEWS);
    CHECK(sj_segment_unviewed(segment, block + BLOCK - 1, 1) == SJ_EVIEWS);
    CHECK_OK(sj_segment_unviewed(segment, block + BLOCK, 4096));
    CHECK(sj_segment_is_viewed(segment, block, 1, true));
    CHECK(sj_space_detach(space, &patient) == SJ_EBUSY);
    sj_view_end(&two);
    CHECK(!sj_segment_is_viewed(segment, block, 1, true));
    CHECK(sj_segment_unviewed(segment, block, BLOCK) == SJ_EVIEWS);
    CHECK(sj_space_detach(space, &patient) == SJ_EBUSY);
    sj_view_end(&one);
    sj_view_end(&one); /* does nothing */
    CHECK_OK(sj_segment_unviewed(segment, block, BLOCK));
    CHECK_OK(sj_space_detach(space, &patient));
}

static void keeps_its_addresses(void)
{
    uint64_t block, other_block;
    struct sj_space *space = make("home", &block), *other;
    struct sj_segment_spec spec = {"away", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_attach_options options = {.writable = true, .wait = patient};
    char segment[128], lock[160];
    CHECK_OK(sj_segment_create(test_path("away"), &spec));
    snprintf(segment, sizeof segment, "%s", test_path("away"));
    snprintf(lock, sizeof lock, "%s.lock", segment);

    struct sj_view view = view_of(space, block, true);
    *(uint64_t *)(uintptr_t)block = 77;
    CHECK(sj_space_attach(segment, lock, &options, &other) == SJ_EBUSY);
    CHECK(strstr(sj_error_detail(), "live views") != NULL);
    CHECK(*(uint64_t *)(uintptr_t)block == 77);
    sj_view_end(&view);

    CHECK_OK(sj_space_attach(segment, lock, &options, &other));
    view = view_of(space, block, false);
    CHECK(sj_enter_read(other, &patient) == SJ_EBUSY);
    CHECK(sj_enter_write(other, &patient) == SJ_EBUSY);
    CHECK(sj_enter_read(other, NULL) == SJ_EBUSY);
    CHECK(*(uint64_t *)(uintptr_t)block == 77);
    sj_view_end(&view);
    CHECK_OK(sj_enter_write(other, &patient));
    void *at;
    CHECK_OK(sj_tx_op_begin(other->segment));
    CHECK_OK(sj_heap_alloc(other->segment, BLOCK, &at));
    sj_tx_ready(other->segment);
    CHECK_OK(sj_tx_op_commit(other->segment));
    other_block = (uint64_t)(uintptr_t)at;

    /* Inside of another one of the same addresses, which the thread comes back to. */
    struct sj_view none;
    CHECK_OK(sj_enter_read(space, &patient));
    CHECK(sj_view_begin(space, block, BLOCK, false, &none) == SJ_EBUSY);
    CHECK(sj_views_count(space) == 0 && space->viewed == NULL);
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_view_begin(other, other_block, BLOCK, false, &view));
    CHECK(sj_enter_read(space, &patient) == SJ_EBUSY);
    CHECK_OK(sj_leave(other));
    CHECK(sj_space_detach(space, &patient) == SJ_EBUSY);
    sj_view_end(&view);
    CHECK_OK(sj_space_detach(space, &patient));
    CHECK_OK(sj_space_detach(other, &patient));
}

/* ------------------------------------------------------------------ several processes */

struct partner {
    pid_t pid;
    int to;   /* a byte: go on */
    int from; /* a byte: done */
};

static void say(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

static void hear(int fd)
{
    char byte;
    CHECK(read(fd, &byte, 1) == 1);
}

static struct partner start(void (*body)(uint64_t block, int from, int to), uint64_t block)
{
    int to[2], from[2];
    CHECK(pipe(to) == 0 && pipe(from) == 0);
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        body(block, to[0], from[1]);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    return (struct partner){pid, to[1], from[0]};
}

static void end(struct partner *partner, bool by_kill)
{
    int status;
    if (by_kill)
        CHECK(kill(partner->pid, SIGKILL) == 0);
    else
        say(partner->to);
    CHECK(waitpid(partner->pid, &status, 0) == partner->pid);
    CHECK(by_kill || status == 0);
    close(partner->to);
    close(partner->from);
}

static void look(uint64_t block, int from, int to)
{
    struct sj_space *space = attach("shared", true);
    struct sj_view view = view_of(space, block, true);
    say(to);
    hear(from);
    sj_view_end(&view);
    CHECK_OK(sj_space_detach(space, &patient));
}

static void others_see_it(void)
{
    uint64_t block;
    struct sj_space *space = make("shared", &block);
    CHECK_OK(sj_space_detach(space, &patient));
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        struct partner partner = start(look, block);
        hear(partner.from);
        space = attach("shared", true);
        CHECK(sj_segment_unviewed(space->segment, block, 1) == SJ_EVIEWS);
        CHECK(sj_segment_is_viewed(space->segment, block + BLOCK - 1, 1, true));
        CHECK_OK(sj_segment_unviewed(space->segment, block + BLOCK, 1));
        end(&partner, by_kill != 0);
        CHECK_OK(sj_segment_unviewed(space->segment, block, BLOCK));
        CHECK_OK(sj_space_detach(space, &patient));
    }
}

static struct sj_space *inherited;
static struct sj_view inherited_view;

static void go_on(uint64_t block, int from, int to)
{
    hear(from); /* the parent has dropped its own */
    CHECK(sj_views_count(inherited) == 1);
    CHECK(sj_segment_unviewed(inherited->segment, block, 1) == SJ_EVIEWS);
    *(uint64_t *)(uintptr_t)block = 5;
    say(to);
    hear(from);
    sj_view_end(&inherited_view);
    say(to);
    hear(from);
    CHECK_OK(sj_space_detach(inherited, &patient));
}

/* A child has the views of its parent, whatever that does with its own. */
static void children_inherit(void)
{
    uint64_t block;
    inherited = make("inherited", &block);
    inherited_view = view_of(inherited, block, true);
    struct partner partner = start(go_on, block);
    CHECK(inherited->lock->heir == -1);
    sj_view_end(&inherited_view);
    CHECK(sj_segment_unviewed(inherited->segment, block, 1) == SJ_EVIEWS);
    CHECK(sj_segment_is_viewed(inherited->segment, block, 1, true));
    say(partner.to);
    hear(partner.from);
    CHECK(*(uint64_t *)(uintptr_t)block == 5);
    CHECK(sj_segment_unviewed(inherited->segment, block, 1) == SJ_EVIEWS);
    say(partner.to);
    hear(partner.from);
    CHECK_OK(sj_segment_unviewed(inherited->segment, block, 1));
    end(&partner, false);
    CHECK_OK(sj_space_detach(inherited, &patient));
}

/* ------------------------------------------------------------------ checksums */

static int no_damage(void *context, const struct sj_sums_finding *finding)
{
    (void)context;
    fprintf(stderr, "offset %" PRIx64 ": %s\n", finding->offset, finding->text);
    return SJ_ECORRUPT;
}

static uint64_t verified_pages(struct sj_space *space)
{
    struct sj_sums_verify verify = {.found = no_damage};
    CHECK_OK(sj_enter_read(space, &patient));
    CHECK_OK(sj_segment_sums_verify(space->segment, &verify));
    CHECK_OK(sj_leave(space));
    return verify.verified;
}

static void sync_it(struct sj_space *space)
{
    CHECK_OK(sj_enter_read(space, &patient));
    CHECK_OK(sj_segment_sync(space->segment));
    CHECK_OK(sj_leave(space));
}

static void write_through(uint64_t block, int from, int to)
{
    struct sj_space *space = attach("sums", true);
    struct sj_view view = view_of(space, block, true);
    for (uint64_t i = 1; i < 4; i++) {
        *(uint64_t *)(uintptr_t)(block + i * 8) = i;
        say(to);
        hear(from);
    }
    sj_view_end(&view);
    say(to);
    hear(from);
    CHECK_OK(sj_space_detach(space, &patient));
}

/* Whoever syncs, pages that somebody writes to through a view are not taken for damaged. */
static void no_false_damage(void)
{
    uint64_t block, all;
    struct sj_space *space = make("sums", &block);
    struct sj_view view = view_of(space, block, false);
    sync_it(space);
    all = verified_pages(space);
    CHECK(all > 10);
    sj_view_end(&view);
    view = view_of(space, block, true);
    CHECK(verified_pages(space) < all);
    for (uint64_t i = 0; i < 3; i++) {
        *(uint64_t *)(uintptr_t)(block + 4096) += 1;
        sync_it(space);
        *(uint64_t *)(uintptr_t)block += 1;
        CHECK(verified_pages(space) < all);
    }
    sj_view_end(&view);
    sync_it(space);
    CHECK(verified_pages(space) == all);
    CHECK_OK(sj_space_detach(space, &patient)); /* nothing of it in the child */

    struct partner partner = start(write_through, block);
    space = attach("sums", true);
    for (int i = 1; i < 4; i++) {
        hear(partner.from);
        sync_it(space);
        CHECK(verified_pages(space) < all);
        say(partner.to);
    }
    hear(partner.from);
    sync_it(space);
    CHECK(verified_pages(space) == all);
    end(&partner, false);
    CHECK_OK(sj_space_detach(space, &patient));
}

/* ------------------------------------------------------------------ touch */

#define DIMS 4

struct sample {
    struct sj_view_shape shape;
    int64_t count[DIMS], stride[DIMS];
};

/* Some view of the block's bytes, as NumPy makes them: sliced, reversed, transposed, broadcast. */
static void choose(struct sample *sample, uint64_t block)
{
    static const uint64_t item[] = {1, 2, 4, 8, 12, 24};
    uint64_t items = item[test_below(6)], room = BLOCK / items, low = block;
    uint32_t dims = (uint32_t)test_below(DIMS + 1);
    int64_t stride = (int64_t)items;
    uint64_t used = items;
    for (uint32_t i = 0; i < dims; i++) {
        uint64_t most = room < 8 ? room : 8, gap = 1 + test_below(3);
        sample->count[i] = most < 2 ? 1 : (int64_t)(1 + test_below(most));
        if (used + (uint64_t)(sample->count[i] - 1) * (uint64_t)stride * gap > BLOCK)
            sample->count[i] = 1;
        sample->stride[i] = stride * (int64_t)gap;
        used += (uint64_t)(sample->count[i] - 1) * (uint64_t)sample->stride[i];
        stride = sample->stride[i] * sample->count[i];
        if (test_below(8) == 0)
            sample->stride[i] = 0;
        if (test_below(3) == 0) { /* reversed */
            low += (uint64_t)(sample->count[i] - 1) * (uint64_t)sample->stride[i];
            sample->stride[i] = -sample->stride[i];
        }
    }
    for (uint32_t i = 0; i + 1 < dims; i++) { /* in any order */
        uint32_t j = i + (uint32_t)test_below(dims - i);
        int64_t count = sample->count[i], length = sample->stride[i];
        sample->count[i] = sample->count[j], sample->stride[i] = sample->stride[j];
        sample->count[j] = count, sample->stride[j] = length;
    }
    sample->shape = (struct sj_view_shape){low, items, dims, sample->count, sample->stride};
}

/* Stores into all items. */
static void scribble(const struct sample *sample, uint32_t dim, uint64_t at)
{
    if (dim == sample->shape.dims) {
        memset((void *)(uintptr_t)at, (int)(1 + test_below(255)), sample->shape.item_bytes);
        return;
    }
    for (int64_t i = 0; i < sample->count[dim]; i++)
        scribble(sample, dim + 1, at + (uint64_t)(i * sample->stride[dim]));
}

static void what_is_touched_is_undone(void)
{
    static uint8_t before[BLOCK];
    uint64_t block;
    struct sj_space *space = make("touched", &block);
    struct sj_view view = view_of(space, block, true);
    struct sample sample;
    for (uint64_t i = 0; i < BLOCK; i++)
        ((uint8_t *)(uintptr_t)block)[i] = (uint8_t)test_random();
    memcpy(before, (void *)(uintptr_t)block, BLOCK);
    for (int turn = 0; turn < 3000; turn++) {
        choose(&sample, block);
        CHECK_OK(sj_enter_write(space, &patient));
        CHECK(sj_view_touch(space, &sample.shape) == SJ_EINVAL);
        CHECK_OK(sj_tx_begin(space->segment));
        CHECK_OK(sj_view_touch(space, &sample.shape));
        scribble(&sample, 0, sample.shape.at);
        if (turn % 10 == 0) {
            memcpy(before, (void *)(uintptr_t)block, BLOCK);
            CHECK_OK(sj_tx_commit(space->segment));
        } else {
            sj_tx_abort(space->segment);
        }
        CHECK(memcmp(before, (void *)(uintptr_t)block, BLOCK) == 0);
        CHECK_OK(sj_leave(space));
    }
    int64_t count = 2, stride = (int64_t)BLOCK, huge = INT64_MAX;
    struct sj_view_shape beyond = {block, 8, 1, &count, &stride};
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_tx_begin(space->segment));
    CHECK(sj_view_touch(space, &beyond) == SJ_EINVAL);
    beyond.strides = &huge;
    CHECK(sj_view_touch(space, &beyond) == SJ_EINVAL);
    huge = INT64_MIN;
    CHECK(sj_view_touch(space, &beyond) == SJ_EINVAL);
    sj_tx_abort(space->segment);
    CHECK_OK(sj_leave(space));
    sj_view_end(&view);
    CHECK_OK(sj_space_detach(space, &patient));
}

int main(void)
{
    test_begin();
    keeps_block_and_space();
    keeps_its_addresses();
    others_see_it();
    children_inherit();
    no_false_damage();
    what_is_touched_is_undone();
    printf("ok\n");
    return 0;
}
