// SPDX-License-Identifier: Apache-2.0
/*
 * group_world.h: four segments with a block of words each, for the tests of transactions over
 * several segments.
 */
#ifndef SJ_TESTS_GROUP_WORLD_H
#define SJ_TESTS_GROUP_WORLD_H

#include "dax_library.h"

#include "persistence/checksum.h"
#include "persistence/log.h"
#include "persistence/log_group.h"
#include "persistence/loss.h"
#include "persistence/tx_group.h"

#define SEGMENTS 4

/* One segment with a block of words; `path` is where its file is. */
struct place {
    struct sj_segment *segment;
    uint64_t *word;
    char path[160];
    uint64_t base;
};

static struct place place[SEGMENTS];
static bool power;

static inline void map_place(struct place *at, bool accept)
{
    CHECK_OK(sj_segment_open(at->path, true, true, accept, &at->segment));
}

static inline void unmap_place(struct place *at)
{
    CHECK_OK(sj_segment_close(at->segment, true));
    at->segment = NULL;
}

static inline void make_place(uint32_t number, const char *path)
{
    struct place *at = &place[number];
    void *block;
    at->base = TEST_BASE + number * SJ_GIB;
    snprintf(at->path, sizeof at->path, "%s/%s", test_directory, path);
    char name[] = {(char)('a' + number), '\0'};
    struct sj_segment_spec spec = {name, at->base, SJ_GIB, 0600,
                                   power ? SJ_DURABILITY_POWER : SJ_DURABILITY_PROCESS};
    CHECK_OK(sj_segment_create(at->path, &spec));
    map_place(at, false);
    CHECK_OK(sj_tx_op_begin(at->segment));
    CHECK_OK(sj_heap_alloc(at->segment, 64, &block));
    sj_tx_ready(at->segment);
    sj_zero(block, 64);
    CHECK_OK(sj_tx_op_commit(at->segment));
    at->word = block;
}

static inline void make_places(void)
{
    make_place(0, "a");
    make_place(1, "b");
    make_place(2, "c");
    make_place(3, "d");
}

static inline void remove_places(void)
{
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        if (place[i].segment != NULL)
            unmap_place(&place[i]);
        CHECK(unlink(place[i].path) == 0);
        strcat(place[i].path, ".sum");
        (void)unlink(place[i].path);
    }
}

static inline void set(struct place *at, uint64_t word, uint64_t value)
{
    CHECK_OK(sj_tx_op_begin(at->segment));
    CHECK_OK(sj_tx_word(at->segment, &at->word[word], value));
    sj_tx_ready(at->segment);
    CHECK_OK(sj_tx_op_commit(at->segment));
}

/* A group over the places whose bits are in the mask. */
static inline struct sj_tx_group group_of(uint32_t mask)
{
    struct sj_tx_group group = {.count = 0};
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (mask >> i & 1)
            group.segment[group.count++] = place[i].segment;
    return group;
}

/* All words 0 of the masked places become `value`, together. */
static inline int change(uint32_t mask, uint64_t value)
{
    struct sj_tx_group group = group_of(mask);
    CHECK_OK(sj_tx_group_begin(&group));
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (mask >> i & 1)
            set(&place[i], 0, value);
    return sj_tx_group_commit(&group);
}

static inline void is_all(uint32_t mask, uint64_t value)
{
    for (uint32_t i = 0; i < SEGMENTS; i++)
        if (mask >> i & 1)
            CHECK(place[i].word[0] == value);
}

static inline bool has_record(const struct place *at)
{
    return at->segment->log->record.generation != 0;
}

/* Whether its file says that it waits for what another one has decided. */
static inline bool asks(const struct place *at)
{
    uint8_t decider[16];
    bool it_asks;
    return sj_log_asks(at->path, decider, &it_asks) == SJ_OK && it_asks;
}

/* Checksums that fit, for what is written by hand. */
static inline uint64_t seed_of(const struct sj_segment *segment)
{
    uint64_t word[2];
    memcpy(word, segment->uuid, sizeof word);
    return sj_mix(word[0] ^ SJ_MIX_A, word[1] ^ SJ_MIX_B);
}

static inline void seal_vote(struct sj_segment *segment)
{
    struct sj_log_vote *vote = &segment->log->vote;
    vote->checksum = sj_checksum(seed_of(segment), (const uint64_t *)vote,
                                 offsetof(struct sj_log_vote, checksum) / 8);
}

static inline void seal_record(struct sj_segment *segment)
{
    struct sj_log_record *record = &segment->log->record;
    uint64_t seed = sj_checksum_step(seed_of(segment), record->generation, record->bytes);
    record->checksum = sj_checksum(seed, (const uint64_t *)record->member, record->bytes / 8);
}

#endif
