// SPDX-License-Identifier: Apache-2.0
/*
 * test_vas.c: attaching VASes of several segments, and switching between them (vas.h, V1 … V5).
 */
#include "vas_world.h"

#include <signal.h>

/* a and b lie side by side; c has the addresses of a, d those of b. */
static struct world_segment a, b, c, d;

static void put(const struct world_segment *segment, uint64_t value)
{
    *(volatile uint64_t *)(uintptr_t)segment->word = value;
}

static uint64_t get(const struct world_segment *segment)
{
    return *(volatile uint64_t *)(uintptr_t)segment->word;
}

/* ------------------------------------------------------------------ switching */

static void a_switch_reaches_all_and_leaves_all(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab), *again = world_attach(&ab), *previous;
    struct sj_vas_member first, second, none;
    CHECK(vh == again && ab.closes == 1);
    CHECK(sj_vas_member(vh, 0, &first) && first.base == a.base);
    CHECK(sj_vas_member(vh, 1, &second) && second.base == b.base);
    CHECK(!sj_vas_member(vh, 2, &none));
    CHECK(sj_vas_current() == NULL);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(sj_vas_current() == vh && sj_vas_window() == 0);
    CHECK(sj_hold_mode(first.space) == SJ_HOLD_WRITE);
    CHECK(sj_hold_mode(second.space) == SJ_HOLD_WRITE);
    CHECK(world_is_home(&a) && world_is_home(&b));
    put(&a, 1);
    put(&b, 2);
    CHECK(sj_vas_detach(again, &patient) == SJ_OK);
    CHECK(sj_vas_detach(vh, &patient) == SJ_EBUSY);
    CHECK_OK(sj_vas_switchm(NULL, 0, &patient, &previous));
    CHECK(previous == vh && sj_vas_current() == NULL);
    CHECK(sj_hold_mode(first.space) == SJ_HOLD_NONE && !sj_lock_inside(first.space->lock));
    CHECK_OK(sj_vas_detach(vh, &patient));
    CHECK(ab.closes == 2);
    world_is_clean();
}

static void rights_are_those_of_both(void)
{
    struct world_vas ab = {.generation = 2};
    struct sj_vas *reading, *writing;
    struct sj_vas_member segment;
    struct sj_space *space;
    world_add(&ab, &a, SJ_RIGHT_READ, SJ_WINDOW_ALL, true);
    world_add(&ab, &b, WORLD_RW, SJ_WINDOW_ALL, true);
    CHECK_OK(world_try_attach(&ab, SJ_RIGHT_READ, &patient, &reading));
    CHECK_OK(sj_vas_enter(reading, 0, &patient));
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(sj_vas_member(reading, i, &segment));
        CHECK(segment.rights == SJ_RIGHT_READ && sj_hold_mode(segment.space) == SJ_HOLD_READ);
    }
    CHECK(sj_vas_resolve(b.word, 8, SJ_RIGHT_READ, &space) == SJ_OK && space == segment.space);
    CHECK(sj_vas_resolve(b.word, 8, WORLD_RW, &space) == SJ_EREADONLY);
    CHECK(sj_vas_resolve(b.base + b.reserved, 8, SJ_RIGHT_READ, &space) == SJ_EINVAL);
    CHECK(sj_vas_resolve(b.word, UINT64_MAX, SJ_RIGHT_READ, &space) == SJ_EINVAL);
    CHECK_OK(sj_vas_leave(reading));
    CHECK(sj_vas_resolve(b.word, 8, SJ_RIGHT_READ, &space) == SJ_ENOHOLD);
    writing = world_attach(&ab);
    CHECK(writing != reading);
    CHECK_OK(sj_vas_switch(writing, 0, &patient));
    CHECK(sj_vas_member(writing, 0, &segment) && sj_hold_mode(segment.space) == SJ_HOLD_READ);
    CHECK(sj_vas_member(writing, 1, &segment) && sj_hold_mode(segment.space) == SJ_HOLD_WRITE);
    CHECK(sj_enter_write(segment.space, &patient) == SJ_OK);
    put(&b, 7);
    CHECK_OK(sj_leave(segment.space));
    CHECK(sj_vas_resolve(a.word, 8, WORLD_RW, &space) == SJ_EREADONLY);
    CHECK(sj_vas_resolve(b.word, 8, WORLD_RW, &space) == SJ_OK);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK(world_try_attach(&ab, 0, &patient, &reading) == SJ_EINVAL);
    CHECK(world_try_attach(&ab, SJ_RIGHT_WRITE, &patient, &reading) == SJ_EINVAL);
    CHECK_OK(sj_vas_detach(reading, &patient));
    CHECK_OK(sj_vas_detach(writing, &patient));
    world_is_clean();
}

/* V3: all of a VAS is at home, whatever has been at its addresses. */
static void overlapping_vases_take_turns(void)
{
    struct world_vas ab = world_of(&a, &b), cd = world_of(&c, &d);
    struct sj_vas *one = world_attach(&ab), *two = world_attach(&cd);
    for (uint64_t round = 1; round <= 20; round++) {
        CHECK_OK(sj_vas_switch(one, 0, &patient));
        CHECK(world_is_home(&a) && world_is_home(&b));
        CHECK(round == 1 || (get(&a) == round - 1 && get(&b) == round));
        put(&a, round);
        put(&b, round + 1);
        CHECK_OK(sj_vas_switch(two, 0, &patient));
        CHECK(world_is_home(&c) && world_is_home(&d));
        put(&c, 100 + round);
        put(&d, 200 + round);
    }
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(one, &patient));
    CHECK_OK(sj_vas_detach(two, &patient));
    world_is_clean();
}

/* An operation on a store inside of a VAS, on one that it has and on one that is in its way. */
static void holds_nest_in_a_vas(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    struct sj_space *inside = world_space(&a), *outside = world_space(&d);
    CHECK_OK(sj_vas_enter(vh, 0, &patient));
    CHECK_OK(sj_enter_write(inside, &patient));
    CHECK(sj_current() == inside && sj_vas_current() == vh);
    CHECK(world_is_home(&a) && world_is_home(&b));
    CHECK_OK(sj_enter_read(outside, &patient));
    CHECK(world_is_home(&d) && world_is_home(&a));
    CHECK_OK(sj_enter_read(inside, &patient)); /* from there it is alone */
    CHECK_OK(sj_leave(inside));
    CHECK(sj_vas_switch(NULL, 0, &patient) == SJ_EBUSY);
    CHECK(sj_vas_leave(vh) == SJ_ENOHOLD);
    CHECK_OK(sj_leave(outside));
    CHECK(world_is_home(&b));
    CHECK_OK(sj_enter_read(inside, &patient));
    CHECK_OK(sj_leave(inside));
    CHECK(sj_leave(outside) == SJ_ENOHOLD);
    CHECK_OK(sj_leave(inside));
    CHECK_OK(sj_vas_enter(vh, 0, &patient));
    CHECK_OK(sj_vas_leave(vh));
    CHECK(sj_vas_current() == vh && sj_vas_switch(vh, 0, &patient) == SJ_EBUSY);
    CHECK_OK(sj_vas_leave(vh));
    CHECK(sj_vas_current() == NULL && sj_vas_leave(vh) == SJ_ENOHOLD);
    CHECK_OK(sj_vas_detach(vh, &patient));
    CHECK_OK(sj_space_detach(inside, &patient));
    CHECK_OK(sj_space_detach(outside, &patient));
    world_is_clean();
}

/* Locks that an outer hold has are not taken again; a shared one cannot become exclusive. */
static void outer_locks_count(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    struct sj_space *space = world_space(&a);
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_vas_enter(vh, 0, &patient));
    CHECK_OK(sj_vas_leave(vh));
    CHECK(sj_hold_mode(space) == SJ_HOLD_WRITE);
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_enter_read(space, &patient));
    CHECK(sj_vas_enter(vh, 0, &patient) == SJ_EUPGRADE);
    CHECK(sj_current() == space);
    CHECK_OK(sj_leave(space));
    CHECK(!sj_lock_inside(space->lock));
    CHECK_OK(sj_vas_detach(vh, &patient));
    CHECK_OK(sj_space_detach(space, &patient));
}

/* What a transaction has not committed is undone when the VAS is left. */
static void leaving_undoes_what_is_open(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    struct sj_vas_member segment;
    CHECK(sj_vas_member(vh, 1, &segment));
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    put(&b, 5);
    CHECK_OK(sj_tx_begin(segment.space->segment));
    CHECK_OK(sj_tx_op_begin(segment.space->segment));
    CHECK_OK(sj_tx_range(segment.space->segment, (void *)(uintptr_t)b.word, 8));
    sj_tx_ready(segment.space->segment);
    put(&b, 6);
    CHECK_OK(sj_tx_op_commit(segment.space->segment));
    CHECK_OK(sj_vas_switch(vh, 0, &patient)); /* to itself: it is left and entered */
    CHECK(get(&b) == 5 && sj_tx_depth(segment.space->segment) == 0);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
}

/* ------------------------------------------------------------------ failures */

struct holder {
    const struct world_segment *segment;
    struct sj_vas *vas;
    bool inside;
    bool over;
    pthread_t thread;
};

static void *hold_it(void *context)
{
    struct holder *holder = context;
    struct sj_space *space = world_space(holder->segment);
    CHECK_OK(sj_enter_write(space, &patient));
    __atomic_store_n(&holder->inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&holder->over, __ATOMIC_ACQUIRE))
        usleep(500);
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_space_detach(space, &patient));
    return NULL;
}

static void begin_holding(struct holder *holder, void *(*body)(void *))
{
    CHECK(pthread_create(&holder->thread, NULL, body, holder) == 0);
    while (!__atomic_load_n(&holder->inside, __ATOMIC_ACQUIRE))
        usleep(500);
}

static void end_holding(struct holder *holder)
{
    __atomic_store_n(&holder->over, true, __ATOMIC_RELEASE);
    CHECK(pthread_join(holder->thread, NULL) == 0);
}

static int interrupt(void *context)
{
    ++*(int *)context;
    return 1;
}

/* V5, for locks and for addresses: b's lock, or b's addresses, are another thread's. */
static void a_failure_in_the_middle_gives_back(const struct world_segment *in_the_way)
{
    struct world_vas ab = world_of(&a, &b), other = {.generation = 2};
    struct sj_vas *vh = world_attach(&ab), *elsewhere;
    struct holder holder = {.segment = in_the_way};
    struct sj_vas_member first;
    struct sj_space *way = world_space(in_the_way);
    int polls = 0;
    struct sj_wait interrupted = {.timeout_s = -1, .poll = interrupt, .context = &polls};
    world_add(&other, &c, WORLD_RW, SJ_WINDOW_ALL, true);
    elsewhere = world_attach(&other);
    CHECK(sj_vas_member(vh, 0, &first));
    begin_holding(&holder, hold_it);
    CHECK(sj_vas_enter(vh, 0, NULL) == SJ_EBUSY);
    CHECK(sj_vas_enter(vh, 0, &brief) == SJ_EBUSY);
    CHECK(sj_vas_enter(vh, 0, &interrupted) == SJ_EINTR && polls > 0);
    CHECK(!sj_lock_inside(first.space->lock) && sj_vas_current() == NULL);
    CHECK_OK(sj_vas_switch(elsewhere, 0, &patient));
    CHECK(sj_vas_switch(vh, 9, &brief) == SJ_EINVAL);
    CHECK(sj_vas_current() == elsewhere && world_is_home(&c));
    CHECK(sj_vas_switch(vh, 0, &brief) == SJ_EBUSY);
    CHECK(sj_vas_current() == NULL && !sj_lock_inside(first.space->lock));
    CHECK_OK(sj_vas_enter(elsewhere, 0, &patient));
    CHECK(sj_vas_enter(vh, 0, &brief) == SJ_EBUSY);
    CHECK_OK(sj_return(&patient));
    CHECK(sj_vas_current() == elsewhere && world_is_home(&c));
    CHECK_OK(sj_vas_leave(elsewhere));
    end_holding(&holder);
    CHECK_OK(sj_vas_enter(vh, 0, &patient));
    CHECK(world_is_home(&a) && world_is_home(&b));
    CHECK_OK(sj_vas_leave(vh));
    CHECK_OK(sj_vas_detach(vh, &patient));
    CHECK_OK(sj_vas_detach(elsewhere, &patient));
    CHECK_OK(sj_space_detach(way, &patient));
    world_is_clean();
}

/* A record that cannot be attached: nothing of it is. */
static void an_attach_is_whole_or_not_at_all(void)
{
    struct world_vas ac = world_of(&a, &c), ab = world_of(&a, &b);
    struct world_segment nowhere = b;
    struct sj_vas *vh;
    CHECK(world_try_attach(&ac, WORLD_RW, &patient, &vh) == SJ_EADDRESS && ac.closes == 1);
    world_is_clean();
    snprintf(nowhere.path, sizeof nowhere.path, "%s/nothing.seg", test_directory);
    world_add(&ab, &nowhere, WORLD_RW, SJ_WINDOW_ALL, true);
    CHECK(world_try_attach(&ab, WORLD_RW, &patient, &vh) == SJ_ENOTFOUND);
    ab.part[2].segment = &a;
    CHECK(world_try_attach(&ab, WORLD_RW, &patient, &vh) == SJ_EEXISTS);
    ab.gone = true;
    CHECK(world_try_attach(&ab, WORLD_RW, &patient, &vh) == SJ_ENOTFOUND);
    ab.gone = false;
    ab.part[2] = (struct world_part){&d, WORLD_RW, UINT32_MAX - 1, true};
    CHECK(world_try_attach(&ab, WORLD_RW, &patient, &vh) == SJ_EINVAL);
    world_is_clean();
}

/* ------------------------------------------------------------------ changes of the record */

static void changes_are_taken_over_at_the_next_switch(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    struct sj_vas_member segment;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    ab.part[0].segment = &d; /* instead of b, whose addresses it has */
    ab.generation = 4;
    CHECK(world_is_home(&b));
    CHECK(sj_vas_switch(vh, 0, NULL) == SJ_EBUSY && sj_vas_current() == vh);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(world_is_home(&a) && world_is_home(&d));
    CHECK(sj_vas_member(vh, 1, &segment) && memcmp(segment.uuid, d.uuid, 16) == 0);
    /* b is detached; d, which came home, keeps its parking range. */
    uint64_t kept = segment.space->segment->left_at != 0 ? d.reserved : 0;
    CHECK(world_mapped(SJ_PARKING_FIRST, SJ_PARKING_END) == kept);
    uint32_t reads = ab.reads;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(ab.reads == reads);
    ab.generation = 5; /* somebody is changing it, or has died of that */
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(ab.reads == reads + 2);
    ab.generation = 6;
    ab.count = 0;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(!sj_vas_member(vh, 0, &segment) && sj_vas_current() == vh);
    world_is_clean();
    ab.count = 2;
    ab.generation = 8;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    ab.gone = true; /* what is attached stays */
    ab.generation = 10;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(world_is_home(&a) && world_is_home(&d));
    ab.gone = false;
    ab.part[0].segment = &c; /* it overlaps a: the switch fails, and changes nothing */
    ab.generation = 12;
    CHECK(sj_vas_switch(vh, 0, &patient) == SJ_EADDRESS);
    CHECK(sj_vas_current() == vh && world_is_home(&a) && world_is_home(&d));
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
    world_is_clean();
}

static void *stay_inside(void *context)
{
    struct holder *holder = context;
    CHECK_OK(sj_vas_switch(holder->vas, 0, &patient));
    __atomic_store_n(&holder->inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&holder->over, __ATOMIC_ACQUIRE))
        CHECK(world_is_home(&a) && world_is_home(&b));
    return NULL; /* it is left by the end of the thread */
}

/* V1: who is inside goes on with what was entered, and has it for as long. */
static void who_is_inside_goes_on(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct holder holder = {.vas = world_attach(&ab)};
    struct sj_space *space = world_space(&b);
    ab.part[0].rights = ab.part[1].rights = SJ_RIGHT_READ;
    ab.generation = 4;
    begin_holding(&holder, stay_inside);
    CHECK_OK(sj_vas_switch(holder.vas, 0, &patient));
    CHECK(sj_hold_mode(space) == SJ_HOLD_READ);
    ab.count = 1;
    ab.part[0].segment = &a;
    ab.generation = 6;
    CHECK_OK(sj_vas_switch(holder.vas, 0, &patient));
    CHECK(sj_hold_mode(space) == SJ_HOLD_NONE);
    CHECK_OK(sj_space_detach(space, &patient));
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK(world_is_home(&b));
    CHECK(sj_vas_detach(holder.vas, &patient) == SJ_EBUSY);
    end_holding(&holder);
    CHECK_OK(sj_vas_detach(holder.vas, &patient));
    world_is_clean();
}

/* ------------------------------------------------------------------ private segments, windows */

static void a_private_segment_is_this_processs_alone(void)
{
    struct world_vas ab = {.generation = 2};
    struct sj_vas_part part = {.segment_path = b.path,
                               .lock_path = b.lock,
                               .rights = WORLD_RW,
                               .window = SJ_WINDOW_ALL,
                               .lockable = true};
    struct sj_vas_member segment;
    world_add(&ab, &a, WORLD_RW, SJ_WINDOW_ALL, true);
    struct sj_vas *vh = world_attach(&ab);
    memcpy(part.uuid, b.uuid, 16);
    CHECK_OK(sj_vas_add_private(vh, &part, &patient));
    CHECK(sj_vas_add_private(vh, &part, &patient) == SJ_EEXISTS);
    CHECK(sj_vas_member(vh, 1, &segment) && segment.is_private);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(world_is_home(&a) && world_is_home(&b));
    ab.generation = 4;
    CHECK_OK(sj_vas_switch(vh, 0, &patient)); /* changes of the record leave it where it is */
    CHECK(world_is_home(&b));
    world_add(&ab, &b, SJ_RIGHT_READ, SJ_WINDOW_ALL, true); /* for all, now */
    ab.generation = 6;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(sj_vas_member(vh, 1, &segment) && !segment.is_private);
    CHECK(segment.rights == SJ_RIGHT_READ && !sj_vas_member(vh, 2, &segment));
    ab.count = 1;
    ab.generation = 8;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(sj_vas_member(vh, 1, &segment) && segment.is_private);
    part.segment_path = c.path;
    part.lock_path = c.lock;
    memcpy(part.uuid, c.uuid, 16);
    CHECK(sj_vas_add_private(vh, &part, &patient) == SJ_EADDRESS);
    CHECK(sj_vas_remove_private(vh, c.uuid, &patient) == SJ_ENOTFOUND);
    CHECK(sj_vas_remove_private(vh, a.uuid, &patient) == SJ_ENOTFOUND);
    CHECK_OK(sj_vas_remove_private(vh, b.uuid, &patient));
    CHECK(world_is_home(&b) && !sj_vas_member(vh, 1, &segment));
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK(world_mapped(b.base, b.base + b.reserved) == 0);
    memcpy(part.uuid, b.uuid, 16);
    CHECK(sj_vas_add_private(vh, &part, &patient) == SJ_ENOTFOUND); /* c's path, b's uuid */
    CHECK_OK(sj_vas_detach(vh, &patient));
    world_is_clean();
}

static void windows_share_addresses(void)
{
    struct world_vas vas = {.generation = 2};
    struct sj_vas_member segment;
    world_add(&vas, &a, WORLD_RW, 0, true);
    world_add(&vas, &c, WORLD_RW, 1, true);
    world_add(&vas, &b, WORLD_RW, SJ_WINDOW_ALL, false);
    struct sj_vas *vh = world_attach(&vas);
    CHECK(sj_vas_windows(vh) == 2);
    for (uint64_t round = 1; round <= 10; round++) {
        CHECK_OK(sj_vas_switch(vh, 0, &patient));
        CHECK(world_is_home(&a) && world_is_home(&b) && sj_vas_window() == 0);
        CHECK(round == 1 || get(&a) == round - 1);
        put(&a, round);
        CHECK_OK(sj_vas_switch(vh, 1, &patient));
        CHECK(world_is_home(&c) && world_is_home(&b) && sj_vas_window() == 1);
        put(&c, 2 * round);
    }
    CHECK(sj_vas_member(vh, 2, &segment) && segment.space->segment->base == (char *)b.base);
    CHECK(!sj_lock_inside(segment.space->lock)); /* it is not lockable */
    CHECK_OK(sj_enter_write(segment.space, &patient));
    CHECK(world_is_home(&c) && world_is_home(&b));
    CHECK_OK(sj_leave(segment.space));
    CHECK(sj_vas_switch(vh, 2, &patient) == SJ_EINVAL && sj_vas_window() == 1);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
    world_is_clean();
}

/* ------------------------------------------------------------------ isolation */

static bool faults(const struct world_segment *segment)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(world_is_home(segment) ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void a_strict_vas_that_is_left_leads_nowhere(void)
{
    struct world_vas ab = world_of(&a, &b), loose = {.generation = 2};
    ab.strict = true;
    world_add(&loose, &b, WORLD_RW, SJ_WINDOW_ALL, true);
    struct sj_vas *strict = world_attach(&ab), *other = world_attach(&loose);
    CHECK(sj_vas_is_strict(strict) && !sj_vas_is_strict(other));
    CHECK(faults(&a));
    CHECK_OK(sj_vas_switch(strict, 0, &patient));
    CHECK(world_is_home(&a) && world_is_home(&b));
    CHECK_OK(sj_vas_switch(other, 0, &patient));
    CHECK(world_is_home(&b) && faults(&a)); /* b is the other's too */
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_enter(strict, 0, &patient));
    CHECK(world_is_home(&a));
    CHECK_OK(sj_vas_leave(strict));
    CHECK(faults(&a) && faults(&b));
    struct holder holder = {.vas = strict};
    begin_holding(&holder, stay_inside); /* its thread's end leaves it */
    end_holding(&holder);
    CHECK(faults(&a) && faults(&b));
    CHECK_OK(sj_vas_detach(strict, &patient));
    CHECK_OK(sj_vas_detach(other, &patient));
    world_is_clean();
}

/* ------------------------------------------------------------------ processes */

static void the_child_of_a_fork_is_inside_of_nothing(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    int status;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    put(&b, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(sj_vas_current() == NULL);
        CHECK(sj_vas_switch(vh, 0, NULL) == SJ_EBUSY); /* the parent has the locks */
        CHECK_OK(sj_vas_switch(vh, 0, &patient));
        put(&b, get(&b) + 1);
        CHECK_OK(sj_vas_switch(NULL, 0, &patient));
        CHECK_OK(sj_vas_detach(vh, &patient));
        world_is_clean();
        _exit(0);
    }
    usleep(20000);
    put(&b, 41);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(get(&b) == 42);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
    world_is_clean();
}

int main(void)
{
    test_begin();
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0);
    world_make(&a, "a", TEST_BASE, 2);
    world_make(&b, "b", TEST_BASE + 2 * SJ_GIB, 1);
    world_make(&c, "c", TEST_BASE + SJ_GIB, 1);
    world_make(&d, "d", TEST_BASE + 2 * SJ_GIB, 2);
    a_switch_reaches_all_and_leaves_all();
    rights_are_those_of_both();
    overlapping_vases_take_turns();
    holds_nest_in_a_vas();
    outer_locks_count();
    leaving_undoes_what_is_open();
    a_failure_in_the_middle_gives_back(&b);
    a_failure_in_the_middle_gives_back(&d);
    an_attach_is_whole_or_not_at_all();
    changes_are_taken_over_at_the_next_switch();
    who_is_inside_goes_on();
    a_private_segment_is_this_processs_alone();
    windows_share_addresses();
    a_strict_vas_that_is_left_leads_nowhere();
    the_child_of_a_fork_is_inside_of_nothing();
    return 0;
}
