// SPDX-License-Identifier: Apache-2.0
/*
 * test_tx.c: transactions over raw words and blocks: commit, abort, savepoints, and a death before
 * every single store.
 */
#include "harness.h"

#include "persistence/log.h"
#include "persistence/roots.h"

#define WORDS 64

/* One block of words that the tests change. */
static uint64_t *new_words(struct sj_segment *segment)
{
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, WORDS * sizeof(uint64_t), &block));
    sj_tx_ready(segment);
    sj_zero(block, WORDS * sizeof(uint64_t));
    CHECK_OK(sj_tx_op_commit(segment));
    return block;
}

static void set(struct sj_segment *segment, uint64_t *word, uint64_t value)
{
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_tx_word(segment, word, value));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

static uint64_t live_blocks(struct sj_segment *segment)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(segment, &stats));
    CHECK(stats.live_bytes + stats.free_bytes + stats.meta_bytes == stats.file_bytes);
    return stats.live_blocks;
}

static void savepoints_undo_only_their_own_changes(void)
{
    struct sj_segment *segment = test_segment("savepoints");
    uint64_t *words = new_words(segment);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &words[0], 1);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &words[0], 2);
    set(segment, &words[1], 2);
    sj_tx_abort(segment);
    CHECK(words[0] == 1 && words[1] == 0);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &words[2], 3);
    CHECK_OK(sj_tx_commit(segment));
    CHECK_OK(sj_tx_commit(segment));
    CHECK(words[0] == 1 && words[1] == 0 && words[2] == 3);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &words[2], 4);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &words[3], 4);
    CHECK_OK(sj_tx_commit(segment));
    sj_tx_abort(segment);
    CHECK(words[2] == 3 && words[3] == 0);
    CHECK_OK(sj_segment_close(segment, true));
}

/* Random nested transactions against a model that keeps a copy a level. */
static void random_nesting_matches_a_model(void)
{
    struct sj_segment *segment = test_segment("nesting");
    uint64_t *words = new_words(segment);
    uint64_t model[10][WORDS] = {{0}};
    uint32_t depth = 0;
    for (int step = 0; step < 20000; step++) {
        uint64_t action = test_below(20);
        if (action == 0 && depth < 9) {
            CHECK_OK(sj_tx_begin(segment));
            memcpy(model[depth + 1], model[depth], sizeof model[0]);
            depth++;
        } else if (action == 1 && depth > 0) {
            CHECK_OK(sj_tx_commit(segment));
            memcpy(model[depth - 1], model[depth], sizeof model[0]);
            depth--;
        } else if (action == 2 && depth > 0) {
            sj_tx_abort(segment);
            depth--;
        } else {
            uint64_t at = test_below(WORDS);
            model[depth][at] = test_random();
            set(segment, &words[at], model[depth][at]);
        }
        CHECK(memcmp(words, model[depth], sizeof model[0]) == 0);
    }
    while (depth-- > 0)
        sj_tx_abort(segment);
    CHECK(memcmp(words, model[0], sizeof model[0]) == 0);
    CHECK_OK(sj_segment_close(segment, true));
}

/* A transaction whose log needs several extents, aborted, committed and left behind. */
static void large_transactions_grow_and_release_the_log(void)
{
    struct sj_segment *segment = test_segment("large");
    uint64_t *words = new_words(segment);
    for (int round = 0; round < 3; round++) {
        CHECK_OK(sj_tx_begin(segment));
        for (uint64_t i = 0; i < 300000; i++)
            set(segment, &words[i % WORDS], i + 1 + (uint64_t)round);
        CHECK(segment->log->extents >= 3);
        if (round == 0) {
            sj_tx_abort(segment);
            CHECK(words[5] == 0);
        } else if (round == 1) {
            CHECK_OK(sj_tx_commit(segment));
            CHECK(segment->log->extents == 2 && words[0] != 0);
        } else {
            uint64_t before = words[5];
            sj_tx_forget(segment); /* as if the process had died */
            CHECK(sj_log_pending(segment));
            CHECK_OK(sj_segment_recover(segment));
            CHECK(segment->log->extents == 1 && words[5] != before);
            CHECK(!sj_log_pending(segment));
        }
        live_blocks(segment);
    }
    CHECK_OK(sj_segment_close(segment, true));
}

static void frees_wait_for_the_commit(void)
{
    struct sj_segment *segment = test_segment("frees");
    void *block, *other;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 100, &block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_free(segment, (uint64_t)(uintptr_t)block));
    CHECK_OK(sj_heap_alloc(segment, 100, &other));
    CHECK(other != block);
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    sj_tx_abort(segment);
    CHECK(live_blocks(segment) == 1);
    CHECK(sj_heap_usable(segment, (uint64_t)(uintptr_t)block) == 112);
    CHECK(sj_heap_usable(segment, (uint64_t)(uintptr_t)other) == 0);
    CHECK(sj_heap_usable(segment, (uint64_t)(uintptr_t)block + 16) == 0);
    CHECK_OK(sj_segment_close(segment, true));
}

static void random_blocks_match_a_model(void)
{
    enum { BLOCKS = 400 };
    struct sj_segment *segment = test_segment("blocks");
    void *block[BLOCKS] = {0};
    uint64_t bytes[BLOCKS] = {0}, live = 0;
    for (int step = 0; step < 40000; step++) {
        uint64_t at = test_below(BLOCKS);
        CHECK_OK(sj_tx_op_begin(segment));
        if (block[at] == NULL) {
            uint64_t shape = test_below(1000);
            bytes[at] = shape == 0   ? 1 + test_below(9 << 20)
                        : shape < 50 ? 1 + test_below(100000)
                                     : 1 + test_below(2000);
            CHECK_OK(sj_heap_alloc(segment, bytes[at], &block[at]));
            CHECK(((uintptr_t)block[at] & 15) == 0);
            live++;
        } else {
            const unsigned char *first = block[at];
            CHECK(first[0] == (unsigned char)at && first[bytes[at] - 1] == (unsigned char)at);
            CHECK(sj_heap_usable(segment, (uint64_t)(uintptr_t)first) >= bytes[at]);
            CHECK_OK(sj_heap_free(segment, (uint64_t)(uintptr_t)first));
            block[at] = NULL;
            live--;
        }
        sj_tx_ready(segment);
        if (block[at] != NULL)
            memset(block[at], (int)at, bytes[at]);
        CHECK_OK(sj_tx_op_commit(segment));
        if (step % 2000 == 0)
            CHECK(live_blocks(segment) == live);
    }
    for (int at = 0; at < BLOCKS; at++)
        if (block[at] != NULL) {
            CHECK_OK(sj_tx_op_begin(segment));
            CHECK_OK(sj_heap_free(segment, (uint64_t)(uintptr_t)block[at]));
            sj_tx_ready(segment);
            CHECK_OK(sj_tx_op_commit(segment));
        }
    CHECK(live_blocks(segment) == 0);
    CHECK_OK(sj_segment_close(segment, true));
}

static void a_full_segment_says_so_and_changes_nothing(void)
{
    struct sj_segment *segment = test_segment("full");
    void *block;
    uint64_t blocks = 0;
    int error = SJ_OK;
    while (error == SJ_OK) {
        CHECK_OK(sj_tx_op_begin(segment));
        error = sj_heap_alloc(segment, 200 << 20, &block);
        if (error != SJ_OK) {
            CHECK(sj_tx_op_abort(segment, error) == SJ_EFULL);
            break;
        }
        sj_tx_ready(segment);
        CHECK_OK(sj_tx_op_commit(segment));
        blocks++;
    }
    CHECK(blocks == 5 && live_blocks(segment) == 5);
    CHECK_OK(sj_tx_op_begin(segment));
    error = sj_heap_alloc(segment, 2 * SJ_GIB, &block);
    CHECK(sj_tx_op_abort(segment, error) == SJ_ETOOBIG);
    CHECK_OK(sj_segment_close(segment, true));
}

#ifdef SJ_SEAM

struct crash {
    struct sj_segment *segment;
    uint64_t *words;
};

/*
 * Undoing a savepoint once made only the first of its entries stale: the entry after it came to end
 * where the next stale one began, and recovery then took that one's old bytes for the oldest.
 */
static void stale_entries_body(void *context)
{
    struct crash *crash = context;
    CHECK_OK(sj_tx_begin(crash->segment));
    CHECK_OK(sj_tx_begin(crash->segment));
    set(crash->segment, &crash->words[0], 1);
    set(crash->segment, &crash->words[0], 2);
    sj_tx_abort(crash->segment);
    set(crash->segment, &crash->words[1], 9);
}

static void entries_of_an_undone_savepoint_stay_stale(void)
{
    struct crash crash = {test_segment("stale"), NULL};
    crash.words = new_words(crash.segment);
    CHECK(!test_crash_at(UINT64_MAX, stale_entries_body, &crash));
    CHECK_OK(sj_segment_recover(crash.segment));
    CHECK(crash.words[0] == 0 && crash.words[1] == 0);
    CHECK_OK(sj_segment_close(crash.segment, true));
}

/* Roots come, go and stay; blocks of all sizes; words in a nested transaction. */
static void crash_body(void *context)
{
    struct crash *crash = context;
    struct sj_segment *segment = crash->segment;
    void *block;
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &crash->words[0], 1);
    CHECK_OK(sj_tx_begin(segment));
    set(segment, &crash->words[1], 1);
    sj_tx_abort(segment);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 48, &block));
    CHECK_OK(sj_heap_alloc(segment, 70000, &block));
    CHECK_OK(sj_heap_alloc(segment, 5 << 20, &block));
    CHECK_OK(sj_root_add(segment, "root", 4, SJ_KIND_BLOB, 0, 0, (uint64_t)(uintptr_t)block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    set(segment, &crash->words[2], 1);
    CHECK_OK(sj_tx_commit(segment));
}

static void a_death_before_any_store_leaves_all_or_nothing(void)
{
    uint64_t stores = 0, committed = 0;
    for (bool died = true; died; stores++) {
        struct crash crash = {test_segment("crash"), NULL};
        crash.words = new_words(crash.segment);
        died = test_crash_at(stores, crash_body, &crash);
        if (stores % 2 == 0) { /* the next process, or another one that has it open */
            CHECK_OK(sj_segment_recover(crash.segment));
        } else {
            CHECK_OK(sj_segment_close(crash.segment, false));
            crash.segment = test_reopen("crash");
        }
        struct sj_root *root;
        bool done = sj_root_find(crash.segment, "root", 4, &root) == SJ_OK;
        CHECK(crash.words[0] == done && crash.words[2] == done && crash.words[1] == 0);
        CHECK(live_blocks(crash.segment) == (done ? 5u : 1u));
        CHECK(died || done);
        committed += done;
        CHECK_OK(sj_segment_close(crash.segment, true));
        unlink(test_path("crash"));
    }
    printf("%" PRIu64 " deaths, %" PRIu64 " after the commit\n", stores - 1, committed - 1);
    CHECK(stores > 60 && committed >= 1 && committed < 10);
}

#endif

int main(void)
{
    test_begin();
    savepoints_undo_only_their_own_changes();
    random_nesting_matches_a_model();
    large_transactions_grow_and_release_the_log();
    frees_wait_for_the_commit();
    random_blocks_match_a_model();
    a_full_segment_says_so_and_changes_nothing();
#ifdef SJ_SEAM
    entries_of_an_undone_savepoint_stay_stale();
    a_death_before_any_store_leaves_all_or_nothing();
#endif
    return 0;
}
