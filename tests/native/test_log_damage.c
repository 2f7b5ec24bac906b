// SPDX-License-Identifier: Apache-2.0
/*
 * test_log_damage.c: undo logs that were written by somebody who means harm: checksums are right,
 * addresses are not.
 */
#include "harness.h"

#include "persistence/checksum.h"
#include "persistence/log.h"
#include "persistence/pages.h"

/* A segment whose log has two extents, as a large transaction leaves it; no entry counts. */
static struct sj_segment *with_two_extents(const char *name)
{
    struct sj_segment *segment = test_segment(name);
    void *block;
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 100000, &block));
    CHECK_OK(sj_tx_range(segment, block, 96000));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_tx_commit(segment));
    CHECK(segment->log->extents == 2);
    return segment;
}

/* Writes an entry that counts, of bytes that are all `old`; the place of the next one. */
static struct sj_log_entry *forge_range(struct sj_segment *segment, struct sj_log_entry *entry,
                                        uint64_t at, uint64_t bytes, uint64_t old)
{
    *entry =
        (struct sj_log_entry){.at = at, .bytes = bytes, .generation = segment->log->generation};
    for (uint64_t i = 0; i < bytes / 8; i++)
        entry->old[i] = old;
    uint64_t seed = sj_mix(at ^ SJ_MIX_A, bytes ^ SJ_MIX_B ^ entry->generation << 8);
    entry->checksum = sj_checksum(seed ^ (uint64_t)(uintptr_t)entry, entry->old, bytes / 8);
    return (struct sj_log_entry *)((char *)entry->old + bytes);
}

static struct sj_log_entry *forge(struct sj_segment *segment, struct sj_log_entry *entry, void *at,
                                  uint64_t old)
{
    return forge_range(segment, entry, (uint64_t)(uintptr_t)at, 8, old);
}

static void an_entry_that_undoes_another_one_is_damage(void)
{
    struct sj_segment *segment = with_two_extents("entries");
    struct sj_log_entry *first = (struct sj_log_entry *)(uintptr_t)segment->log->extent[1].at;
    struct sj_log_entry *second = forge(segment, first, segment->root_page->partial, 0);
    forge(segment, second, &first->at, 0x1000); /* undone first, then the other writes there */
    CHECK(sj_segment_recover(segment) == SJ_ECORRUPT);
    CHECK_OK(sj_segment_close(segment, false));
    CHECK(sj_segment_open(test_path("entries"), true, true, false, &segment) == SJ_ECORRUPT);
}

static void opens_as_damaged(struct sj_segment *segment, const char *name)
{
    CHECK_OK(sj_segment_close(segment, false));
    CHECK(sj_segment_open(test_path(name), true, true, false, &segment) == SJ_ECORRUPT);
}

static void a_log_that_lies_over_other_things_is_damage(void)
{
    struct sj_segment *segment = with_two_extents("superblocks");
    segment->log->extent[1].at = (uint64_t)(uintptr_t)segment->base;
    *sj_chunk_word(segment, 0) = SJ_CHUNK_LOG | 1ull << 32;
    opens_as_damaged(segment, "superblocks");

    segment = with_two_extents("blocks");
    uint64_t chunk = (segment->log->extent[1].at - TEST_BASE) / SJ_CHUNK;
    *sj_chunk_word(segment, chunk) = SJ_CHUNK_HUGE | 1ull << 32;
    opens_as_damaged(segment, "blocks");
}

/* ------------------------------------------------------------------ one word */

#define BLOCK_BYTES 40000ull

static struct sj_segment *fresh(const char *name, uint64_t **block)
{
    void *made;
    (void)remove(test_path(name));
    struct sj_segment *segment = test_segment(name);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, BLOCK_BYTES, &made));
    sj_tx_ready(segment);
    memset(made, 1, BLOCK_BYTES);
    CHECK_OK(sj_tx_op_commit(segment));
    *block = made;
    return segment;
}

/* An entry that makes no sense ends the log: it is not undone, and nothing is said. */
static void an_entry_of_no_sense_does_not_count(void)
{
    uint64_t *block;
    struct sj_segment *segment = fresh("words", &block);
    struct sj_log_entry *first = (struct sj_log_entry *)(uintptr_t)segment->log->extent[0].at;
    uint64_t at = (uint64_t)(uintptr_t)block, was = *block;
    const uint64_t place[][2] = {{at, 0}, {at, 16384 + 8}, {at, 12}, {at + 4, 8}};
    for (uint32_t i = 0; i < 4; i++) {
        struct sj_log_entry *next =
            forge_range(segment, first, place[i][0], place[i][1], 0x7777777777777777ull);
        next = (struct sj_log_entry *)(((uint64_t)(uintptr_t)next + 7) & ~7ull);
        forge(segment, next, block + 1, 0x7777777777777777ull);
        CHECK_OK(sj_segment_recover(segment));
        CHECK(block[0] == was && block[1] == was && block[100] == was);
    }
    CHECK_OK(sj_segment_close(segment, true));
}

/* What an earlier transaction has left counts nowhere else, and not in part. */
static void an_entry_counts_where_it_was_written(void)
{
    uint64_t *block;
    struct sj_segment *segment = fresh("moved", &block);
    struct sj_log_entry *first = (struct sj_log_entry *)(uintptr_t)segment->log->extent[0].at;
    uint64_t was = *block;
    struct sj_log_entry *next = forge(segment, first, block, 0x7777777777777777ull);
    struct sj_log_entry *end = forge(segment, next, block, 0x7777777777777777ull);
    memcpy(first, next, (size_t)((char *)end - (char *)next));
    CHECK_OK(sj_segment_recover(segment));
    CHECK(*block == was);
    forge_range(segment, first, (uint64_t)(uintptr_t)block, 16, 0);
    first->bytes = 8;
    CHECK_OK(sj_segment_recover(segment));
    CHECK(*block == was);
    CHECK_OK(sj_segment_close(segment, true));
}

/* Entries fill the extent, but for `left` bytes; the place behind them. */
static struct sj_log_entry *fill(struct sj_segment *segment, uint64_t *block, uint64_t left)
{
    uint64_t end = segment->log->extent[0].at + segment->log->extent[0].bytes - left;
    struct sj_log_entry *entry = (struct sj_log_entry *)(uintptr_t)segment->log->extent[0].at;
    const uint64_t head = sizeof *entry;
    for (uint64_t room; (room = end - (uint64_t)(uintptr_t)entry) > 0;) {
        uint64_t bytes = room < 16384 + 2 * head ? room - head : 16384;
        if (bytes > 16384)
            bytes = 8192;
        entry = forge_range(segment, entry, (uint64_t)(uintptr_t)block, bytes, *block);
    }
    return entry;
}

/* The words behind the extent are the chunk directory's; they are what an entry would have. */
static void an_entry_ends_in_its_extent(void)
{
    for (uint64_t left = 16; left <= 48; left += 32) {
        uint64_t *block, saved[8];
        struct sj_segment *segment = fresh("ends", &block);
        struct sj_log_entry *last = fill(segment, block, left);
        uint64_t was = block[3000], *behind = (uint64_t *)(segment->base + SJ_CHUNK_DIR_AT);
        CHECK((uint64_t *)((char *)last + left) == behind);
        memcpy(saved, behind, sizeof saved);
        forge_range(segment, last, (uint64_t)(uintptr_t)&block[3000], 24, 0x7777777777777777ull);
        sj_segment_recover(segment);
        CHECK(block[3000] == was);
        memcpy(behind, saved, sizeof saved);
        CHECK_OK(sj_segment_close(segment, false));
    }
}

static void is_no_undo_entry(uint64_t offset, uint64_t bytes)
{
    uint64_t *block;
    struct sj_segment *segment = fresh("places", &block);
    struct sj_log_entry *first = (struct sj_log_entry *)(uintptr_t)segment->log->extent[0].at;
    forge_range(segment, first, TEST_BASE + offset, bytes, 1);
    CHECK(sj_segment_recover(segment) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "an undo entry") != NULL);
    CHECK_OK(sj_segment_close(segment, false));
}

static void an_entry_is_of_what_transactions_change(void)
{
    is_no_undo_entry(SJ_SUPER_A, 8);
    is_no_undo_entry(SJ_CHUNK0_PAGES_AT - 8, 8);
    is_no_undo_entry(SJ_ROOT_PAGE_AT, 8);
    is_no_undo_entry(SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, partial) - 8, 8);
    is_no_undo_entry(SJ_ROOT_PAGE_AT - 8, 16);
    is_no_undo_entry(SJ_LOG_AT - 8, 16);
    is_no_undo_entry(SJ_LOG_AT, 8);
    is_no_undo_entry(SJ_CHUNK_DIR_AT - 8, 16);
    is_no_undo_entry(SJ_GIB - 8, 8);
    is_no_undo_entry(SJ_GIB, 8);
    is_no_undo_entry(0 - 8ull, 8);
}

/* The word of the log's header is refused as such, whoever comes. */
static void is_no_header(size_t offset, uint64_t value)
{
    (void)remove(test_path("header"));
    struct sj_segment *segment = with_two_extents("header");
    *(uint64_t *)((char *)segment->log + offset) = value;
    CHECK(sj_segment_recover(segment) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "a log header") != NULL);
    for (int first = 0; first < 2; first++) {
        CHECK(sj_segment_take_over(segment, first != 0) == SJ_ECORRUPT);
        CHECK(strstr(sj_error_detail(), "a log header") != NULL);
    }
    CHECK_OK(sj_segment_close(segment, false));
}

static void each_word_of_the_header_is_checked(void)
{
    uint64_t at = TEST_BASE + SJ_LOG_EXTENT0_AT;
    is_no_header(offsetof(struct sj_log, extents), 0);
    is_no_header(offsetof(struct sj_log, extents), 3);
    is_no_header(offsetof(struct sj_log, generation), 0);
    is_no_header(offsetof(struct sj_log, extent[0].at), at + 8);
    is_no_header(offsetof(struct sj_log, extent[0].bytes), SJ_LOG_EXTENT0_BYTES - 8);
    is_no_header(offsetof(struct sj_log, extent[1].bytes), SJ_CHUNK / 2);
    is_no_header(offsetof(struct sj_log, extent[1].at), TEST_BASE + SJ_PAGE);
    is_no_header(offsetof(struct sj_log, extent[1].at), TEST_BASE + SJ_GIB - SJ_CHUNK);
    is_no_header(offsetof(struct sj_log, extent[1].at), TEST_BASE - SJ_CHUNK);
}

/* The next extent is looked at before anything is written there. */
static void is_no_extent(uint64_t at, uint64_t bytes, uint64_t chunks)
{
    void *block;
    (void)remove(test_path("next"));
    struct sj_segment *segment = with_two_extents("next");
    struct sj_log_extent *extent = &segment->log->extent[1];
    *sj_chunk_word(segment, (extent->at - TEST_BASE) / SJ_CHUNK) = SJ_CHUNK_LOG | chunks << 32;
    extent->at += at;
    extent->bytes = bytes;
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 100000, &block));
    CHECK(sj_tx_range(segment, block, 96000) == SJ_ECORRUPT);
    sj_tx_forget(segment);
    CHECK_OK(sj_segment_close(segment, false));
}

static void the_next_extent_is_checked(void)
{
    is_no_extent(0, SJ_CHUNK, 2);
    is_no_extent(SJ_PAGE, SJ_CHUNK, 1);
    is_no_extent(0, 64, 0);
}

/* ------------------------------------------------------------------ whose process died */

/* The machine stopped when an extent was the log's and its chunk was not yet. Who comes first may
 * only read; the next one takes chunks for its log. */
static void an_extent_that_is_none_is_given_back(void)
{
    uint64_t *block;
    (void)remove(test_path("lost"));
    struct sj_segment *segment = with_two_extents("lost");
    *sj_chunk_word(segment, (segment->log->extent[1].at - TEST_BASE) / SJ_CHUNK) = 0;
    CHECK_OK(sj_segment_close(segment, false));
    CHECK_OK(sj_segment_open(test_path("lost"), true, false, false, &segment));
    CHECK(segment->log->extents == 2);
    CHECK_OK(sj_tx_begin(segment));
    CHECK(segment->log->extents == 1);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 100000, (void **)&block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_tx_range(segment, block, 96000));
    CHECK_OK(sj_tx_commit(segment));
    CHECK_OK(sj_segment_close(segment, true));
}

/* A thread died in a transaction, another one of its process goes on. Who keeps places of roots
 * looks for them anew. */
static void a_recovery_ends_the_transaction(void)
{
    uint64_t *block;
    struct sj_segment *segment = fresh("thread", &block);
    uint64_t removals = segment->root_page->removals, was = *block;
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_tx_word(segment, block, 5));
    sj_tx_ready(segment);
    CHECK(*block == 5);
    CHECK_OK(sj_segment_recover(segment));
    CHECK(sj_tx_depth(segment) == 0 && *block == was);
    CHECK(segment->root_page->removals != removals);
    removals = segment->root_page->removals;
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_word(segment, block, 6));
    sj_tx_abort(segment);
    CHECK(*block == was && segment->root_page->removals != removals);
    CHECK_OK(sj_segment_close(segment, true));
}

/* ------------------------------------------------------------------ its length */

/* A log that kept what was rolled back would have many extents in the end. */
static void what_is_rolled_back_takes_no_room(void)
{
    uint64_t *block;
    struct sj_segment *segment = fresh("short", &block);
    CHECK_OK(sj_tx_begin(segment));
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_OK(sj_tx_begin(segment));
        CHECK_OK(sj_tx_range(segment, block, 16384));
        sj_tx_ready(segment);
        block[5] = i;
        sj_tx_abort(segment);
        CHECK(block[5] != i);
        CHECK_OK(sj_tx_op_begin(segment));
        CHECK_OK(sj_tx_range(segment, block, 16384));
        CHECK(sj_tx_op_abort(segment, SJ_EINVAL) == SJ_EINVAL);
    }
    CHECK(segment->log->extents == 1);
    CHECK_OK(sj_tx_commit(segment));
    CHECK_OK(sj_segment_close(segment, true));
}

int main(void)
{
    test_begin();
    an_entry_that_undoes_another_one_is_damage();
    a_log_that_lies_over_other_things_is_damage();
    an_entry_of_no_sense_does_not_count();
    an_entry_counts_where_it_was_written();
    an_entry_ends_in_its_extent();
    an_entry_is_of_what_transactions_change();
    each_word_of_the_header_is_checked();
    the_next_extent_is_checked();
    an_extent_that_is_none_is_given_back();
    a_recovery_ends_the_transaction();
    what_is_rolled_back_takes_no_room();
    printf("ok\n");
    return 0;
}
