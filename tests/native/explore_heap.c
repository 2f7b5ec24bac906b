// SPDX-License-Identifier: Apache-2.0
/*
 * explore_heap.c: a world of plain blocks: every way in which heap and log grow and give back.
 *
 *   table:  word[64] | block[16]        words that are changed, and the addresses of the blocks
 *   block:  mark | … | mark             the first and the last word are made of slot and version
 *
 * The table is the first block of the segment and stays where it is; the second is 16 KiB of zeros,
 * for the log to save: what is zero in memory and in the log is no store that the media could tell,
 * so a large log costs few events.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/heap.h"

#define TABLE_WORDS 64
#define SLOTS       64
#define ZEROS_BYTES 16384ull

enum { SMALL = 0, MEDIUM = 40, RUN = 48, HUGE_BLOCK = 56 };

struct table {
    uint64_t word[TABLE_WORDS];
    uint64_t block[SLOTS];
};

static struct table *table;
static char *zeros;

static uint64_t slot_bytes(uint32_t slot)
{
    if (slot >= HUGE_BLOCK)
        return (4ull << 20) + 64;
    if (slot >= RUN)
        return 70000 - 70000 % 8;
    return slot >= MEDIUM ? 8000 : 1024;
}

static uint64_t block_mark(uint32_t slot, uint32_t version)
{
    return trace_mix(slot, version) << 8 | 0xb;
}

static uint64_t digest_word(uint32_t at, uint64_t value)
{
    return value == 0 ? 0 : trace_mix(at + 1000, value);
}

static uint64_t digest_slot(uint32_t slot, uint64_t mark)
{
    return trace_mix(slot + 2000, mark);
}

/* ------------------------------------------------------------------ changes */

/* version[i] is the value of word i; version[TABLE_WORDS + slot] that of a block, 0: none. */
static void word(struct process *process, struct model *model, uint32_t at)
{
    struct sj_segment *segment = &process->segment;
    uint64_t now = model->version[at], value = now % 200 + 1;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_tx_word(segment, &table->word[at], value) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    model->digest += digest_word(at, value) - digest_word(at, now);
    model->version[at] = (uint8_t)value;
}

static void allocate(struct process *process, struct model *model, uint32_t slot)
{
    struct sj_segment *segment = &process->segment;
    uint8_t *version = &model->version[TABLE_WORDS + slot];
    uint64_t *block, last = slot_bytes(slot) / 8 - 1;
    static uint8_t versions;
    if (*version != 0)
        return;
    *version = (uint8_t)(versions++ % 250 + 1);
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_heap_alloc(segment, slot_bytes(slot), (void **)&block) == SJ_OK);
    sj_store(&block[0], block_mark(slot, *version));
    sj_store(&block[last], block_mark(slot, *version));
    REQUIRE(sj_tx_word(segment, &table->block[slot], (uint64_t)(uintptr_t)block) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    model->digest += digest_slot(slot, block_mark(slot, *version));
}

static void give_back(struct process *process, struct model *model, uint32_t slot)
{
    struct sj_segment *segment = &process->segment;
    uint8_t *version = &model->version[TABLE_WORDS + slot];
    if (*version == 0)
        return;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_heap_free(segment, table->block[slot]) == SJ_OK);
    REQUIRE(sj_tx_word(segment, &table->block[slot], 0) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    model->digest -= digest_slot(slot, block_mark(slot, *version));
    *version = 0;
}

static void toggle(struct process *process, struct model *model, uint32_t slot)
{
    if (model->version[TABLE_WORDS + slot] != 0)
        give_back(process, model, slot);
    else
        allocate(process, model, slot);
}

/* Has so many bytes of zeros put into the log, as an operation that changes them would. */
static void log_bytes(struct process *process, uint64_t bytes)
{
    struct sj_segment *segment = &process->segment;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    for (uint64_t part; bytes > 0; bytes -= part) {
        part = bytes < ZEROS_BYTES ? bytes : ZEROS_BYTES;
        REQUIRE(sj_tx_range(segment, zeros, part) == SJ_OK);
    }
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
}

static void begin(struct process *process)
{
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
}

static void commit(struct process *process)
{
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

static void roll_back(struct process *process, struct model *model, const struct model *saved)
{
    sj_tx_abort(&process->segment);
    *model = *saved;
}

/* ------------------------------------------------------------------ operations */

static void one_word(struct process *process, struct model *model)
{
    word(process, model, 0);
}

static void single_word(struct process *process, struct model *model)
{
    uint64_t now = model->version[1], value = now % 200 + 1;
    REQUIRE(sj_tx_single_word(&process->segment, &table->word[1], value) == SJ_OK);
    model->digest += digest_word(1, value) - digest_word(1, now);
    model->version[1] = (uint8_t)value;
}

static void small(struct process *process, struct model *model)
{
    toggle(process, model, SMALL);
}

static void medium(struct process *process, struct model *model)
{
    toggle(process, model, MEDIUM);
}

static void page_run(struct process *process, struct model *model)
{
    toggle(process, model, RUN);
}

static void huge_block(struct process *process, struct model *model)
{
    toggle(process, model, HUGE_BLOCK);
}

/* Fills slabs, and empties them: slabs come and go. */
static void slabs(struct process *process, struct model *model)
{
    begin(process);
    for (uint32_t slot = SMALL + 1; slot < SMALL + 36; slot++)
        toggle(process, model, slot);
    commit(process);
}

static void aborted(struct process *process, struct model *model)
{
    static struct model saved;
    saved = *model;
    begin(process);
    word(process, model, 2);
    toggle(process, model, SMALL);
    toggle(process, model, RUN);
    toggle(process, model, HUGE_BLOCK);
    roll_back(process, model, &saved);
}

static void savepoints(struct process *process, struct model *model)
{
    static struct model saved;
    begin(process);
    word(process, model, 3);
    saved = *model;
    begin(process);
    word(process, model, 3);
    word(process, model, 4);
    toggle(process, model, HUGE_BLOCK + 1);
    word(process, model, 4);
    roll_back(process, model, &saved);
    word(process, model, 5);
    begin(process);
    word(process, model, 5);
    commit(process);
    commit(process);
}

/* A word is logged twice in what is rolled back, and the entry that takes the place of the first
 * one lies in a line of its own. */
static void stale(struct process *process, struct model *model)
{
    static struct model saved;
    begin(process);
    word(process, model, 3);
    word(process, model, 7);
    saved = *model;
    begin(process);
    word(process, model, 4);
    word(process, model, 4);
    roll_back(process, model, &saved);
    word(process, model, 5);
    commit(process);
}

/* The log goes on into a chunk. */
static void long_log(struct process *process, struct model *model)
{
    begin(process);
    word(process, model, 6);
    log_bytes(process, 4 * ZEROS_BYTES);
    word(process, model, 6);
    word(process, model, 7);
    commit(process);
}

/* A savepoint that goes on into a chunk is undone back into the first extent. */
static void long_savepoint(struct process *process, struct model *model)
{
    static struct model saved;
    begin(process);
    word(process, model, 6);
    saved = *model;
    begin(process);
    word(process, model, 8);
    log_bytes(process, 4 * ZEROS_BYTES);
    word(process, model, 8);
    roll_back(process, model, &saved);
    word(process, model, 9);
    commit(process);
}

/* A log of three extents; the third is given back at the commit. */
static void longest_log(struct process *process, struct model *model)
{
    begin(process);
    word(process, model, 10);
    log_bytes(process, (4ull << 20) + 4 * ZEROS_BYTES);
    word(process, model, 11);
    commit(process);
}

/*
 * The commit's frees do not fit into the first extent, just after a block of chunks was freed: the
 * log must not go on in these chunks.
 */
static void log_into_freed(struct process *process, struct model *model)
{
    if (model->version[TABLE_WORDS + HUGE_BLOCK + 2] == 0) {
        allocate(process, model, HUGE_BLOCK + 2);
        return;
    }
    begin(process);
    for (uint32_t slot = SMALL + 30; slot < SMALL + 36; slot++)
        allocate(process, model, slot);
    give_back(process, model, HUGE_BLOCK + 2);
    for (uint32_t slot = SMALL + 30; slot < SMALL + 36; slot++)
        give_back(process, model, slot);
    struct sj_tx *tx = &process->segment.tx;
    uint64_t room = (uint64_t)(tx->limit - tx->cursor), entry = sizeof(struct sj_log_entry);
    if (tx->extent == 0 && room > 4 * ZEROS_BYTES - 8192) {
        uint64_t rest = room - 3 * (ZEROS_BYTES + entry) - 80;
        log_bytes(process, 3 * ZEROS_BYTES);
        log_bytes(process, rest - entry);
    }
    commit(process);
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

static const struct operation operations[] = {
    {"word", one_word, false},
    {"single-word", single_word, false},
    {"small", small, false},
    {"medium", medium, false},
    {"run", page_run, false},
    {"huge", huge_block, false},
    {"aborted", aborted, false},
    {"savepoints", savepoints, false},
    {"stale", stale, false},
    {"long-log", long_log, false},
    {"long-savepoint", long_savepoint, false},
    {"reopen", reopen, false},
    {"slabs", slabs, true},
    {"longest-log", longest_log, true},
    {"log-into-freed", log_into_freed, true},
};

/* ------------------------------------------------------------------ contents */

struct census {
    uint64_t count, sum;
};

static int count_block(void *context, uint64_t block, uint64_t bytes)
{
    struct census *census = context;
    (void)bytes;
    census->count++;
    census->sum += trace_mix(block, 1);
    return SJ_OK;
}

static int examine(struct process *process, uint64_t *digest)
{
    struct census heap = {0}, found = {0};
    struct sj_segment *segment = &process->segment;
    int error = sj_heap_check(segment, count_block, &heap);
    if (error == SJ_OK)
        error = explored_log_chunks(segment);
    if (error != SJ_OK)
        return error;
    *digest = 0;
    count_block(&found, (uint64_t)(uintptr_t)table, 0);
    count_block(&found, (uint64_t)(uintptr_t)zeros, 0);
    for (uint32_t at = 0; at < TABLE_WORDS; at++)
        *digest += digest_word(at, table->word[at]);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (table->block[slot] == 0)
            continue;
        const uint64_t *block = (const uint64_t *)(uintptr_t)table->block[slot];
        if (sj_heap_usable(segment, table->block[slot]) < slot_bytes(slot))
            return sj_error(SJ_ECORRUPT, "the block of slot %u is not in use", slot);
        if (block[0] != block[slot_bytes(slot) / 8 - 1])
            return sj_error(SJ_ECORRUPT, "the block of slot %u is torn", slot);
        count_block(&found, table->block[slot], 0);
        *digest += digest_slot(slot, block[0]);
    }
    if (heap.count != found.count || heap.sum != found.sum)
        return sj_error(SJ_ECORRUPT, "%llu blocks in use, %llu known",
                        (unsigned long long)heap.count, (unsigned long long)found.count);
    return SJ_OK;
}

static void *first_block(struct process *process, uint64_t bytes)
{
    void *block;
    struct sj_segment *segment = &process->segment;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_heap_alloc(segment, bytes, &block) == SJ_OK);
    sj_tx_ready(segment);
    sj_zero(block, bytes);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    return block;
}

static void seed(struct process *process, struct model *model)
{
    table = first_block(process, sizeof *table);
    zeros = first_block(process, ZEROS_BYTES);
    allocate(process, model, HUGE_BLOCK + 2);
    if (process->world->items > 0) {
        slabs(process, model);
        huge_block(process, model);
        page_run(process, model);
        allocate(process, model, RUN + 1);
        give_back(process, model, RUN);
        long_log(process, model);
    }
}

uint32_t heap_worlds(struct world *worlds, uint32_t count)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct world *world = &worlds[count++];
        *world = (struct world){.items = i,
                                .large = true,
                                .operation = operations,
                                .operations = sizeof operations / sizeof operations[0],
                                .seed = seed,
                                .examine = examine};
        snprintf(world->name, sizeof world->name, "heap-%s", i == 0 ? "empty" : "used");
    }
    return count;
}
