// SPDX-License-Identifier: Apache-2.0
/*
 * explore_group.c: a world of two segments that are changed together (persistence/tx_group.h).
 *
 *   in each:  table: word[8] | block[2]     words that are changed, and the addresses of blocks
 *             16 KiB of zeros               for the log to save, as in explore_heap.c
 *
 * Whoever recovers does so in either order, and may change the segment that was recovered first
 * before the other one is (process_attach): word NOISE, which nobody counts.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/heap.h"
#include "persistence/tx_group.h"

#define WORDS       8
#define BLOCKS      2
#define NOISE       7
#define BLOCK_BYTES 200ull
#define ZEROS_BYTES 16384ull

struct table {
    uint64_t word[WORDS];
    uint64_t block[BLOCKS];
};

static struct table *table[2];
static char *zeros[2];

static struct sj_segment *side_of(struct process *process, uint32_t side)
{
    return side == 0 ? &process->segment : &process->second;
}

static uint64_t digest_of(uint32_t side, uint32_t place, uint64_t value)
{
    return value == 0 ? 0 : trace_mix(side * 100 + place + 1, value);
}

/* ------------------------------------------------------------------ changes */

/* version[side * 100 + at] is the value of a word; [… + WORDS + slot] that of a block, 0: none. */
static uint8_t *version_of(struct model *model, uint32_t side, uint32_t place)
{
    return &model->version[side * 100 + place];
}

static void becomes(struct model *model, uint32_t side, uint32_t place, uint8_t value)
{
    uint8_t *version = version_of(model, side, place);
    model->digest += digest_of(side, place, value) - digest_of(side, place, *version);
    *version = value;
}

static void store_word(struct sj_segment *segment, uint64_t *word, uint64_t value)
{
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_tx_word(segment, word, value) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
}

static void word(struct process *process, struct model *model, uint32_t side, uint32_t at)
{
    uint8_t value = (uint8_t)(*version_of(model, side, at) % 200 + 1);
    store_word(side_of(process, side), &table[side]->word[at], value);
    becomes(model, side, at, value);
}

static void toggle(struct process *process, struct model *model, uint32_t side, uint32_t slot)
{
    struct sj_segment *segment = side_of(process, side);
    uint64_t at = 0, last = BLOCK_BYTES / 8 - 1;
    static uint8_t versions;
    uint8_t value = 0;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    if (*version_of(model, side, WORDS + slot) != 0) {
        REQUIRE(sj_heap_free(segment, table[side]->block[slot]) == SJ_OK);
    } else {
        uint64_t *block;
        value = (uint8_t)(versions++ % 250 + 1);
        REQUIRE(sj_heap_alloc(segment, BLOCK_BYTES, (void **)&block) == SJ_OK);
        sj_store(&block[0], value);
        sj_store(&block[last], value);
        at = (uint64_t)(uintptr_t)block;
    }
    REQUIRE(sj_tx_word(segment, &table[side]->block[slot], at) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    becomes(model, side, WORDS + slot, value);
}

static struct sj_tx_group begin(struct process *process)
{
    return (struct sj_tx_group){.segment = {&process->segment, &process->second}, .count = 2};
}

#define BEGIN(group)  REQUIRE(sj_tx_group_begin(group) == SJ_OK)
#define COMMIT(group) REQUIRE(sj_tx_group_commit(group) == SJ_OK)

/* ------------------------------------------------------------------ operations */

static void transfer(struct process *process, struct model *model)
{
    struct sj_tx_group group = begin(process);
    BEGIN(&group);
    word(process, model, 0, 0);
    word(process, model, 1, 0);
    COMMIT(&group);
}

static void blocks(struct process *process, struct model *model)
{
    struct sj_tx_group group = begin(process);
    BEGIN(&group);
    toggle(process, model, 1, 0);
    toggle(process, model, 0, 0);
    word(process, model, 1, 1);
    toggle(process, model, 1, 1);
    COMMIT(&group);
}

static void one_of_them(struct process *process, struct model *model)
{
    struct sj_tx_group group = begin(process);
    BEGIN(&group);
    word(process, model, 1, 2);
    COMMIT(&group);
}

static void aborted(struct process *process, struct model *model)
{
    static struct model saved;
    struct sj_tx_group group = begin(process);
    saved = *model;
    BEGIN(&group);
    word(process, model, 0, 0);
    toggle(process, model, 1, 0);
    word(process, model, 1, 0);
    sj_tx_group_abort(&group);
    *model = saved;
}

static void savepoints(struct process *process, struct model *model)
{
    static struct model saved;
    struct sj_tx_group group = begin(process), inner = begin(process);
    BEGIN(&group);
    word(process, model, 0, 3);
    word(process, model, 1, 3);
    saved = *model;
    BEGIN(&inner);
    word(process, model, 0, 3);
    word(process, model, 1, 4);
    sj_tx_group_abort(&inner);
    *model = saved;
    BEGIN(&inner);
    word(process, model, 0, 4);
    COMMIT(&inner);
    COMMIT(&group);
}

/* The logs go on into chunks. */
static void long_logs(struct process *process, struct model *model)
{
    struct sj_tx_group group = begin(process);
    BEGIN(&group);
    for (uint32_t side = 0; side < 2; side++) {
        struct sj_segment *segment = side_of(process, side);
        word(process, model, side, 5);
        REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
        for (uint32_t part = 0; part < 4; part++)
            REQUIRE(sj_tx_range(segment, zeros[side], ZEROS_BYTES) == SJ_OK);
        sj_tx_ready(segment);
        REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
        word(process, model, side, 6);
    }
    COMMIT(&group);
}

static void first_alone(struct process *process, struct model *model)
{
    word(process, model, 0, 1);
}

static void second_alone(struct process *process, struct model *model)
{
    word(process, model, 1, 1);
}

static const struct operation operations[] = {
    {"transfer", transfer, false},         {"blocks", blocks, false},
    {"one-of-them", one_of_them, false},   {"aborted", aborted, false},
    {"savepoints", savepoints, false},     {"first-alone", first_alone, false},
    {"second-alone", second_alone, false}, {"long-logs", long_logs, true},
};

/* ------------------------------------------------------------------ contents */

static int count_block(void *context, uint64_t block, uint64_t bytes)
{
    (void)block, (void)bytes;
    (*(uint64_t *)context)++;
    return SJ_OK;
}

static int examine_side(struct sj_segment *segment, uint32_t side, uint64_t *digest)
{
    uint64_t counted = 0, known = 2;
    int error = sj_heap_check(segment, count_block, &counted);
    if (error == SJ_OK)
        error = explored_log_chunks(segment);
    if (error != SJ_OK)
        return error;
    for (uint32_t at = 0; at < NOISE; at++)
        *digest += digest_of(side, at, table[side]->word[at]);
    for (uint32_t slot = 0; slot < BLOCKS; slot++) {
        const uint64_t *block = (const uint64_t *)(uintptr_t)table[side]->block[slot];
        if (block == NULL)
            continue;
        if (sj_heap_usable(segment, table[side]->block[slot]) < BLOCK_BYTES ||
            block[0] != block[BLOCK_BYTES / 8 - 1])
            return sj_error(SJ_ECORRUPT, "block %u of side %u is torn", slot, side);
        *digest += digest_of(side, WORDS + slot, block[0]);
        known++;
    }
    return counted == known ? SJ_OK
                            : sj_error(SJ_ECORRUPT, "%llu blocks in use, %llu known",
                                       (unsigned long long)counted, (unsigned long long)known);
}

static int examine(struct process *process, uint64_t *digest)
{
    *digest = 0;
    int error = examine_side(&process->segment, 0, digest);
    return error == SJ_OK ? examine_side(&process->second, 1, digest) : error;
}

/* Between the recovery of one segment and that of the other. */
static void disturb(struct process *process, uint32_t side)
{
    uint64_t *noise = &table[side]->word[NOISE];
    store_word(side_of(process, side), noise, *noise + 1);
    store_word(side_of(process, side), noise, *noise + 1);
}

static void *first_block(struct sj_segment *segment, uint64_t bytes)
{
    void *block;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_heap_alloc(segment, bytes, &block) == SJ_OK);
    sj_tx_ready(segment);
    sj_zero(block, bytes);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    return block;
}

static void seed(struct process *process, struct model *model)
{
    for (uint32_t side = 0; side < 2; side++) {
        table[side] = first_block(side_of(process, side), sizeof **table);
        zeros[side] = first_block(side_of(process, side), ZEROS_BYTES);
    }
    if (process->world->items > 0) { /* what earlier ones have left is there */
        transfer(process, model);
        blocks(process, model);
        long_logs(process, model);
    }
}

uint32_t group_worlds(struct world *worlds, uint32_t count)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct world *world = &worlds[count++];
        *world = (struct world){.items = i,
                                .disturb = disturb,
                                .operation = operations,
                                .operations = sizeof operations / sizeof operations[0],
                                .seed = seed,
                                .examine = examine};
        snprintf(world->name, sizeof world->name, "group-%s", i == 0 ? "fresh" : "used");
    }
    return count;
}
