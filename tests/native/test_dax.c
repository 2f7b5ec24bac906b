// SPDX-License-Identifier: Apache-2.0
/*
 * test_dax.c: the `dax` domain: which files are in it, and that nothing is acknowledged before it
 * is flushed.
 *
 * The second needs the seam: every store is noted with its line, a flush and a fence take it off;
 * when the word that commits is stored, and when an operation has returned, no line may be left.
 */
#include "dax_library.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "structures/btree.h"
#include "structures/hashmap.h"

static void every_flush_of_the_cpu_leaves_the_bytes_alone(void)
{
    unsigned char *page =
        mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    uint32_t had = 0;
    for (enum sj_dax_flush flush = 0; flush < SJ_DAX_FLUSHES; flush++) {
        const struct sj_domain *domain = sj_dax_builtin(flush);
        if (domain == NULL)
            continue;
        had++;
        CHECK(strcmp(domain->name, "dax") == 0 && domain->durability == SJ_DURABILITY_POWER);
        for (size_t at = 0; at < 200; at += 7)
            for (size_t bytes = 0; bytes < 300; bytes += 9) {
                memset(page, (int)(at + bytes), 8192);
                domain->flush(page + at, bytes);
                domain->drain();
                CHECK(page[at] == (unsigned char)(at + bytes) && page[4096] == page[at]);
            }
        /* A flush of the last line of the mapping must not touch the page behind it. */
        CHECK(munmap(page + 4096, 4096) == 0);
        domain->flush(page + 4095, 1);
        domain->flush(page, 4096);
        CHECK(mmap(page + 4096, 4096, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page + 4096);
    }
    CHECK(had > 0);
    munmap(page, 8192);
}

static void only_what_the_kernel_or_the_library_says_is_dax(void)
{
    struct sj_segment_spec spec = {"plain", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    sj_dax_use(NULL);
    CHECK(sj_segment_create(test_path("plain"), &spec) == SJ_EINVAL);
    CHECK(access(test_path("plain"), F_OK) != 0);
    test_use_dax();
    test_granularity = SJ_DAX_PAGE;
    CHECK(sj_segment_create(test_path("plain"), &spec) == SJ_EINVAL);
    test_granularity = SJ_DAX_BYTE;
    CHECK_OK(sj_segment_create(test_path("plain"), &spec));
    test_granularity = SJ_DAX_CACHE_LINE;

    /* The library's word is not enough for a file that is not tmpfs's. */
    const struct sj_domain *domain;
    char path[] = "/var/tmp/sj-dax-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && ftruncate(fd, 8192) == 0 && unlink(path) == 0);
    void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    CHECK_OK(sj_domain_of(fd, SJ_DURABILITY_POWER, &domain));
    CHECK((at != MAP_FAILED) == (strcmp(domain->name, "dax") == 0));
    CHECK_OK(sj_domain_of(fd, SJ_DURABILITY_PROCESS, &domain));
    CHECK(domain->durability == SJ_DURABILITY_PROCESS);
    close(fd);
}

static void a_power_store_is_refused_where_power_is_not_to_be_had(void)
{
    struct sj_segment *segment = test_dax_segment("moved");
    struct sj_segment_info info;
    CHECK(segment->domain->durability == SJ_DURABILITY_POWER);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK_OK(sj_segment_inspect(test_path("moved"), &info));
    CHECK(info.durability == SJ_DURABILITY_POWER && info.clean);
    sj_dax_use(NULL);
    CHECK(sj_segment_open(test_path("moved"), true, true, false, &segment) == SJ_EINVAL);
    test_use_dax();
    segment = test_reopen("moved");
    CHECK_OK(sj_segment_close(segment, true));
}

#ifdef SJ_SEAM

#define LINES (1u << 16)

/* Lines that were stored to: address, and whether a flush has been seen since. */
static struct line {
    uint64_t at;
    bool flushed;
} lines[LINES];
static uint32_t line_count;
static struct sj_segment *watched;
static uint64_t commits, lines_stored;
static bool aborting;

static void store_line(uint64_t at)
{
    for (uint32_t i = line_count; i-- > 0;)
        if (lines[i].at == at) {
            lines[i].flushed = false;
            return;
        }
    CHECK(line_count < LINES);
    lines[line_count++] = (struct line){at, false};
    lines_stored++;
}

static void flush_lines(uint64_t first, uint64_t end)
{
    for (uint32_t i = 0; i < line_count; i++)
        if (lines[i].at + 64 > first && lines[i].at < end)
            lines[i].flushed = true;
}

static void fence_lines(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < line_count; i++)
        if (!lines[i].flushed)
            lines[kept++] = lines[i];
    line_count = kept;
}

/* What a transaction that is undone has stored to fresh ranges is garbage in free places. */
static void forget_fresh_lines(void)
{
    const struct sj_tx_vector *fresh = &watched->tx.fresh;
    for (uint32_t i = 0; i < fresh->count; i += 2)
        flush_lines(fresh->items[i], fresh->items[i] + fresh->items[i + 1]);
    fence_lines();
}

static void nothing_is_left(const char *when)
{
    if (aborting)
        forget_fresh_lines();
    if (line_count == 0)
        return;
    fprintf(stderr, "%s: %u lines are not flushed, the first at offset 0x%" PRIx64 "\n", when,
            line_count, lines[0].at - (uint64_t)(uintptr_t)watched->base);
    CHECK(line_count == 0);
}

static void watch(enum sj_seam_event event, void *at, uint64_t value)
{
    uint64_t address = (uint64_t)(uintptr_t)at;
    if (event == SJ_SEAM_STORE) {
        if (at == &watched->log->generation) {
            nothing_is_left("at a commit");
            commits++;
        }
        if (address - (uint64_t)(uintptr_t)watched->base < watched->reserved) /* not checksums */
            store_line(address & ~63ull);
    } else if (event == SJ_SEAM_FLUSH) {
        flush_lines(address, address + value);
    } else {
        fence_lines();
    }
}

/* A key and a value of every size, now and then large ones. */
static uint8_t key_bytes[512], value_bytes[40000];

static struct sj_key key_of(struct sj_kinds kinds, uint64_t number)
{
    if (kinds.key == SJ_ITEM_WORD)
        return (struct sj_key){.word = number * 0x9e3779b97f4a7c15ull};
    memset(key_bytes, (int)(number % 7), sizeof key_bytes);
    memcpy(key_bytes, &number, sizeof number);
    return (struct sj_key){.bytes = key_bytes, .size = (uint32_t)(8 + number % 100)};
}

static struct sj_value a_value(struct sj_kinds kinds)
{
    uint64_t choice = test_below(64);
    if (kinds.value == SJ_ITEM_WORD)
        return (struct sj_value){.word = choice};
    return (struct sj_value){.bytes = value_bytes,
                             .size = choice == 0 ? test_below(sizeof value_bytes) : choice};
}

struct container {
    struct sj_btree tree;
    struct sj_hashmap map;
    struct sj_kinds kinds;
    bool ordered;
};

static void make(struct sj_segment *segment, struct container *container)
{
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(container->ordered ? sj_btree_create(segment, container->kinds, &head)
                                : sj_hashmap_create(segment, container->kinds, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(container->ordered ? sj_btree_open(segment, head, &container->tree)
                                : sj_hashmap_open(segment, head, &container->map));
}

static void abort_watched(void)
{
    aborting = true;
    sj_tx_abort(watched);
    aborting = false;
}

static void step(struct container *container, uint64_t numbers)
{
    struct sj_key key = key_of(container->kinds, test_below(numbers));
    bool existed;
    if (test_below(3) == 0) {
        int error = container->ordered ? sj_btree_delete(&container->tree, &key)
                                       : sj_hashmap_delete(&container->map, &key);
        CHECK(error == SJ_OK || error == SJ_ENOTFOUND);
        return;
    }
    struct sj_value value = a_value(container->kinds);
    CHECK_OK(container->ordered
                 ? sj_btree_put(&container->tree, &key, &value, SJ_PUT_ALWAYS, &existed)
                 : sj_hashmap_put(&container->map, &key, &value, SJ_PUT_ALWAYS, &existed));
}

/* A transaction of some steps and savepoints, committed or not. */
static void steps_together(struct container *container)
{
    uint32_t depth = 1;
    CHECK_OK(sj_tx_begin(watched));
    for (uint64_t left = test_below(60); left > 0; left--) {
        step(container, 3000);
        uint64_t choice = test_below(10);
        if (choice == 0 && depth < 4) {
            CHECK_OK(sj_tx_begin(watched));
            depth++;
        } else if (choice < 3 && depth > 1) {
            depth--;
            if (choice == 1)
                abort_watched();
            else
                CHECK_OK(sj_tx_commit(watched));
        }
    }
    for (; depth > 0; depth--) {
        if (test_below(4) == 0)
            abort_watched();
        else
            CHECK_OK(sj_tx_commit(watched));
    }
}

static void everything_is_flushed_before_it_counts(bool ordered, struct sj_kinds kinds)
{
    struct container container = {.kinds = kinds, .ordered = ordered};
    watched = test_dax_segment("watched");
    sj_seam_hook = watch;
    make(watched, &container);
    nothing_is_left("after making it");
    for (int i = 0; i < 6000; i++) {
        step(&container, 3000);
        nothing_is_left("after an operation");
    }
    for (int i = 0; i < 200; i++) {
        steps_together(&container);
        nothing_is_left("after a transaction");
    }
    sj_seam_hook = NULL;
    CHECK_OK(sj_segment_close(watched, true));
    CHECK(unlink(test_path("watched")) == 0);
}

static void a_large_log_is_flushed(void)
{
    struct container container = {.kinds = {SJ_ITEM_WORD, SJ_ITEM_BYTES}, .ordered = true};
    watched = test_dax_segment("large");
    sj_seam_hook = watch;
    make(watched, &container);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(sj_tx_begin(watched));
        for (int i = 0; i < 1500; i++)
            step(&container, 20000);
        if (round == 0)
            abort_watched();
        else
            CHECK_OK(sj_tx_commit(watched));
        CHECK(watched->log->extents >= 2);
        nothing_is_left("after a large transaction");
    }
    sj_tx_begin(watched);
    step(&container, 20000);
    sj_tx_forget(watched); /* as if the process had died */
    line_count = 0;
    CHECK_OK(sj_segment_recover(watched));
    nothing_is_left("after a recovery");
    sj_seam_hook = NULL;
    CHECK_OK(sj_segment_close(watched, true));
}

/* Chunks of pages are made of memory that has had other contents. */
static void a_new_chunk_is_flushed(void)
{
    uint64_t *blocks[12];
    watched = test_dax_segment("chunks");
    sj_seam_hook = watch;
    for (int i = 0; i < 12; i++) {
        CHECK_OK(sj_tx_op_begin(watched));
        CHECK_OK(sj_heap_alloc(watched, 1 << 20, (void **)&blocks[i]));
        sj_tx_ready(watched);
        CHECK_OK(sj_tx_op_commit(watched));
        nothing_is_left("after a chunk");
    }
    CHECK(watched->root_page->chunks >= 3);
    sj_seam_hook = NULL;
    CHECK_OK(sj_segment_close(watched, true));
}

/* ------------------------------------------------------------------ the order of an extent */

static uint64_t extent_stored, extent_flushed, extent_fenced, extents_raised;

/* log->extents says that there is one when its address and length are there. */
static void watch_extents(enum sj_seam_event event, void *at, uint64_t value)
{
    const struct sj_log *log = watched->log;
    uint64_t first = (uintptr_t)log->extent, place = (uintptr_t)at;
    if (event == SJ_SEAM_FENCE) {
        extent_fenced = extent_flushed;
    } else if (event == SJ_SEAM_FLUSH && place <= first + 16 * extent_stored &&
               place + value >= first + 16 * (extent_stored + 1)) {
        extent_flushed = extent_stored;
    } else if (event == SJ_SEAM_STORE && place == (uintptr_t)&log->extents) {
        if (value > log->extents) {
            CHECK(extent_fenced == value - 1);
            extents_raised++;
        }
    } else if (event == SJ_SEAM_STORE && place - first < sizeof log->extent) {
        extent_stored = (place - first) / 16;
        extent_flushed = extent_fenced = 0;
    }
}

static void an_extent_is_there_before_it_counts(void)
{
    void *block;
    watched = test_dax_segment("extents");
    CHECK_OK(sj_tx_begin(watched));
    CHECK_OK(sj_tx_op_begin(watched));
    CHECK_OK(sj_heap_alloc(watched, 16384, &block));
    sj_tx_ready(watched);
    CHECK_OK(sj_tx_op_commit(watched));
    sj_seam_hook = watch_extents;
    for (int i = 0; i < 900; i++)
        CHECK_OK(sj_tx_range(watched, block, 16384));
    sj_seam_hook = NULL;
    CHECK(watched->log->extents == 4 && extents_raised == 3);
    CHECK_OK(sj_tx_commit(watched));
    CHECK_OK(sj_segment_close(watched, true));
}

#endif

int main(void)
{
    test_begin();
    every_flush_of_the_cpu_leaves_the_bytes_alone();
    only_what_the_kernel_or_the_library_says_is_dax();
    a_power_store_is_refused_where_power_is_not_to_be_had();
#ifdef SJ_SEAM
    for (int kinds = 0; kinds < 8; kinds++)
        everything_is_flushed_before_it_counts(
            (kinds & 4) != 0, (struct sj_kinds){kinds & 1 ? SJ_ITEM_BYTES : SJ_ITEM_WORD,
                                                kinds & 2 ? SJ_ITEM_BYTES : SJ_ITEM_WORD});
    a_large_log_is_flushed();
    a_new_chunk_is_flushed();
    an_extent_is_there_before_it_counts();
    printf("%" PRIu64 " commits, %" PRIu64 " lines stored to, all flushed\n", commits,
           lines_stored);
#endif
    return 0;
}
