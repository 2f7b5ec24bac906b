// SPDX-License-Identifier: Apache-2.0
/*
 * test_heap.c: blocks whose descriptors are damaged, and frees that a commit did not live to
 * finish.
 */
#include "harness.h"

#include "persistence/log.h"
#include "persistence/pages.h"

static uint64_t alloc(struct sj_segment *segment, uint64_t bytes, int fill)
{
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, bytes, &block));
    sj_tx_ready(segment);
    memset(block, fill, bytes);
    CHECK_OK(sj_tx_op_commit(segment));
    return (uint64_t)(uintptr_t)block;
}

/* Every way to use the heap says that it is damaged, and none ends the process. */
static void heap_is_damaged(struct sj_segment *segment, uint64_t bytes)
{
    struct sj_heap_stats stats;
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    int error = sj_heap_alloc(segment, bytes, &block);
    CHECK(sj_tx_op_abort(segment, error == SJ_OK ? SJ_EINVAL : error) == SJ_ECORRUPT);
    CHECK(sj_heap_stats(segment, &stats) == SJ_ECORRUPT);
    CHECK_OK(sj_segment_close(segment, true));
}

static void a_paged_chunk_beyond_the_file_is_damage(void)
{
    struct sj_segment *segment = test_segment("beyond");
    segment->root_page->chunks = 9;
    *sj_chunk_word(segment, 8) = SJ_CHUNK_PAGED | 1000ull << 8 | 1ull << 32;
    *sj_chunk_word(segment, 0) = SJ_CHUNK_PAGED | 0ull << 8 | 1ull << 32; /* full */
    heap_is_damaged(segment, 64);
}

static void a_bitmap_with_more_blocks_than_the_slab_is_damage(void)
{
    struct sj_segment *segment = test_segment("bitmap");
    uint64_t block = alloc(segment, 8192, 0);
    struct sj_slab *slab = (struct sj_slab *)(uintptr_t)(block & ~(SJ_PAGE - 1));
    slab->used[0] = ~(1ull << 63);
    heap_is_damaged(segment, 8192);
}

static void a_slab_among_the_metadata_is_damage(void)
{
    struct sj_segment *segment = test_segment("fake");
    struct sj_slab *slab = (struct sj_slab *)segment->log;
    slab->size_class = 3;
    slab->blocks = (uint16_t)((SJ_PAGE - sizeof *slab) / 64);
    segment->root_page->partial[3] = (uint64_t)(uintptr_t)slab;
    /* The generation is the slab's magic as well. */
    segment->log->generation = (segment->log->generation & ~0xffffull) | SJ_SLAB_MAGIC;
    heap_is_damaged(segment, 64);
}

static void metadata_that_is_said_to_be_free_is_damage(void)
{
    struct sj_segment *segment = test_segment("free");
    sj_page_words(segment, 0)[0] = 0;
    heap_is_damaged(segment, 64);
    segment = test_segment("unused");
    *sj_chunk_word(segment, 0) = 0;
    heap_is_damaged(segment, 5 << 20);
}

static bool is_in_a_block(const struct sj_segment *segment, uint64_t at, uint64_t expected)
{
    uint64_t block = 0, bytes;
    bool is = sj_heap_block_of(segment, at, &block, &bytes);
    CHECK(!is || block == expected);
    return is;
}

static void any_number_is_in_a_block_or_in_none(void)
{
    struct sj_segment *segment = test_segment("numbers");
    uint64_t small = alloc(segment, 48, 1), other = alloc(segment, 48, 1);
    uint64_t large = alloc(segment, 5 * SJ_PAGE, 2), huge = alloc(segment, (4 << 20) + SJ_PAGE, 3);
    uint64_t after = alloc(segment, (4 << 20) + SJ_PAGE, 4);
    uint64_t base = (uint64_t)(uintptr_t)segment->base;
    CHECK(is_in_a_block(segment, small, small) && is_in_a_block(segment, small + 47, small));
    CHECK(is_in_a_block(segment, large + 5 * SJ_PAGE - 1, large));
    CHECK(is_in_a_block(segment, huge + (4 << 20), huge));
    for (uint64_t at = small & ~(SJ_PAGE - 1); at < (small & ~(SJ_PAGE - 1)) + SJ_PAGE; at += 8)
        if (at - small >= 48 && at - other >= 48)
            CHECK(!is_in_a_block(segment, at, 0));
    uint64_t behind = after + sj_heap_usable(segment, after);
    for (uint64_t at = behind; at < base + sj_segment_committed(segment); at += SJ_PAGE / 2)
        CHECK(!is_in_a_block(segment, at, 0));
    const uint64_t none[] = {0,
                             1,
                             base - 1,
                             base - SJ_CHUNK,
                             base,
                             base + SJ_PAGE,
                             base + segment->meta_bytes - 8,
                             base + sj_segment_committed(segment),
                             base + segment->reserved - 1,
                             base + segment->reserved,
                             UINT64_MAX};
    for (uint32_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK(!is_in_a_block(segment, none[i], 0));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_free(segment, other));
    CHECK_OK(sj_heap_free(segment, after));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK(!is_in_a_block(segment, after + (4 << 20), 0) && !is_in_a_block(segment, after, 0));
    CHECK(!is_in_a_block(segment, other, 0) && is_in_a_block(segment, small, small));
    CHECK_OK(sj_segment_close(segment, true));
}

#ifdef SJ_SEAM

#define SMALL_BLOCKS 4000 /* freeing them takes more log than its first extent has */
#define HUGE_BYTES   (5ull << 20)

static uint64_t *stop_at;

static void stop_hook(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event == SJ_SEAM_STORE && at == stop_at)
        _exit(77);
}

/* Frees all blocks in one transaction, and dies when everything is done but the commit itself. */
static void free_all_and_die(struct sj_segment *segment, const uint64_t *blocks, int count)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        stop_at = &segment->log->generation;
        sj_seam_hook = stop_hook;
        CHECK_OK(sj_tx_begin(segment));
        for (int i = 0; i < count; i++)
            CHECK_OK(sj_heap_free(segment, blocks[i]));
        sj_tx_commit(segment);
        _exit(1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 77);
}

/*
 * The log once grew into chunks that the same commit had just freed: rolling back then gave a block
 * back whose bytes were log entries.
 */
static void the_log_never_grows_into_what_its_commit_frees(void)
{
    static uint64_t blocks[SMALL_BLOCKS + 1];
    struct sj_segment *segment = test_segment("frees");
    blocks[0] = alloc(segment, HUGE_BYTES, 0x5a);
    for (int i = 1; i <= SMALL_BLOCKS; i++)
        blocks[i] = alloc(segment, 16, 0);
    free_all_and_die(segment, blocks, SMALL_BLOCKS + 1);
    CHECK(segment->log->extents > 1);
    CHECK_OK(sj_segment_recover(segment));
    const unsigned char *huge = (const unsigned char *)(uintptr_t)blocks[0];
    for (uint64_t i = 0; i < HUGE_BYTES; i++)
        CHECK(huge[i] == 0x5a);
    for (int i = 0; i <= SMALL_BLOCKS; i++)
        CHECK(sj_heap_usable(segment, blocks[i]) != 0);
    CHECK_OK(sj_segment_close(segment, true));
}

#endif

int main(void)
{
    test_begin();
    a_paged_chunk_beyond_the_file_is_damage();
    a_bitmap_with_more_blocks_than_the_slab_is_damage();
    a_slab_among_the_metadata_is_damage();
    metadata_that_is_said_to_be_free_is_damage();
    any_number_is_in_a_block_or_in_none();
#ifdef SJ_SEAM
    the_log_never_grows_into_what_its_commit_frees();
#endif
    return 0;
}
