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

/* Writes an entry of one word that counts; the place of the next one. */
static struct sj_log_entry *forge(struct sj_segment *segment, struct sj_log_entry *entry, void *at,
                                  uint64_t old)
{
    *entry = (struct sj_log_entry){
        .at = (uint64_t)(uintptr_t)at, .bytes = 8, .generation = segment->log->generation};
    entry->old[0] = old;
    uint64_t seed = sj_mix(entry->at ^ SJ_MIX_A, 8 ^ SJ_MIX_B ^ entry->generation << 8);
    entry->checksum = sj_checksum(seed ^ (uint64_t)(uintptr_t)entry, entry->old, 1);
    return (struct sj_log_entry *)&entry->old[1];
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

int main(void)
{
    test_begin();
    an_entry_that_undoes_another_one_is_damage();
    a_log_that_lies_over_other_things_is_damage();
    return 0;
}
