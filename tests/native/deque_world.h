// SPDX-License-Identifier: Apache-2.0
/*
 * deque_world.h: a deque beside a naive model of it, for the tests of the deque.
 *
 * The values are numbered, and made from their numbers, so that comparing needs no copy of them.
 */
#ifndef SJ_TESTS_DEQUE_WORLD_H
#define SJ_TESTS_DEQUE_WORLD_H

#include "harness.h"

#include "structures/deque_ends.h"

#define WORLD_MAX       4000
#define WORLD_MARKS_MAX 4
#define WORLD_SOME_MAX  400 /* values of one call */

struct items {
    uint32_t count;
    uint32_t number[WORLD_MAX];
};

struct world {
    struct sj_segment *segment;
    struct sj_deque deque;
    uint64_t limit;
    uint32_t made; /* number of the last value that was made */
    struct items items;
    struct items mark[WORLD_MARKS_MAX]; /* before each open transaction */
    uint32_t depth;
};

static inline uint64_t world_mix(uint64_t number)
{
    number = (number ^ number >> 31) * 0x9fb21c651e98df25ull;
    return number ^ number >> 29;
}

/* Value number i: a word; or 0–20 bytes, some of up to 2 KiB. `bytes` has room for those. */
static inline struct sj_value world_value(const struct world *world, uint32_t i, uint8_t *bytes)
{
    uint64_t mixed = world_mix(i);
    if (world->deque.kinds.value == SJ_ITEM_WORD)
        return (struct sj_value){.word = mixed};
    uint64_t size = mixed % 64 == 0 ? mixed / 64 % 2048 : mixed / 64 % 21;
    memset(bytes, (int)(mixed >> 48 & 0xff), size);
    return (struct sj_value){.bytes = bytes, .size = size};
}

static inline bool world_is(const struct world *world, const struct sj_value *value, uint32_t i)
{
    static uint8_t bytes[2048];
    struct sj_value expected = world_value(world, i, bytes);
    if (world->deque.kinds.value == SJ_ITEM_WORD)
        return value->word == expected.word;
    return value->size == expected.size &&
           (value->size == 0 || memcmp(value->bytes, expected.bytes, value->size) == 0);
}

static inline struct world *world_make(const char *name, enum sj_item_kind value, uint64_t limit)
{
    struct world *world = calloc(1, sizeof(*world));
    struct sj_deque_spec spec = {SJ_KIND_DEQUE, (uint8_t)value, limit};
    uint64_t head;
    CHECK(world != NULL);
    world->segment = test_segment(name);
    world->limit = limit;
    CHECK_OK(sj_tx_op_begin(world->segment));
    CHECK_OK(sj_deque_create(world->segment, &spec, &head));
    sj_tx_ready(world->segment);
    CHECK_OK(sj_tx_op_commit(world->segment));
    CHECK_OK(sj_deque_open(world->segment, head, &world->deque));
    CHECK(world->deque.kinds.value == value && sj_deque_limit(&world->deque) == limit);
    return world;
}

/* ------------------------------------------------------------------ the model */

static inline void items_insert(struct items *items, uint32_t index, uint32_t number)
{
    CHECK(items->count < WORLD_MAX && index <= items->count);
    memmove(&items->number[index + 1], &items->number[index], 4ull * (items->count - index));
    items->number[index] = number;
    items->count++;
}

static inline void items_delete(struct items *items, uint32_t index)
{
    CHECK(index < items->count);
    items->count--;
    memmove(&items->number[index], &items->number[index + 1], 4ull * (items->count - index));
}

static inline void items_push(struct items *items, enum sj_side side, uint32_t number)
{
    items_insert(items, side == SJ_LEFT ? 0 : items->count, number);
}

static inline uint32_t items_pop(struct items *items, enum sj_side side)
{
    uint32_t index = side == SJ_LEFT ? 0 : items->count - 1, number = items->number[index];
    items_delete(items, index);
    return number;
}

/* ------------------------------------------------------------------ operations on both */

static inline void world_extend(struct world *world, enum sj_side side, uint32_t count)
{
    static struct sj_value values[WORLD_SOME_MAX];
    static uint8_t bytes[WORLD_SOME_MAX][2048];
    CHECK(count <= WORLD_SOME_MAX);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = world_value(world, ++world->made, bytes[i]);
        items_push(&world->items, side, world->made);
        if (world->items.count > world->limit)
            items_pop(&world->items, deque_other(side));
    }
    CHECK_OK(sj_deque_extend(&world->deque, side, values, count));
}

static inline void world_remove(struct world *world, enum sj_side side, uint32_t count)
{
    bool enough = count <= world->items.count;
    int error = sj_deque_remove(&world->deque, side, count);
    CHECK(error == (enough ? SJ_OK : SJ_ENOTFOUND));
    for (uint32_t i = 0; enough && i < count; i++)
        items_pop(&world->items, side);
}

static inline void world_rotate(struct world *world, enum sj_side side, uint64_t steps)
{
    CHECK_OK(sj_deque_rotate(&world->deque, side, steps));
    for (uint64_t i = world->items.count == 0 ? 0 : steps % world->items.count; i > 0; i--)
        items_push(&world->items, side, items_pop(&world->items, deque_other(side)));
}

static inline void world_insert(struct world *world, uint32_t index)
{
    static uint8_t bytes[2048];
    struct sj_value value = world_value(world, ++world->made, bytes);
    CHECK_OK(sj_deque_insert(&world->deque, index, &value));
    items_insert(&world->items, index, world->made);
}

static inline void world_delete(struct world *world, uint32_t index)
{
    CHECK_OK(sj_deque_delete(&world->deque, index));
    items_delete(&world->items, index);
}

static inline void world_set(struct world *world, uint32_t index)
{
    static uint8_t bytes[2048];
    struct sj_value value = world_value(world, ++world->made, bytes);
    CHECK_OK(sj_deque_set(&world->deque, index, &value));
    world->items.number[index] = world->made;
}

static inline void world_reverse(struct world *world)
{
    uint32_t *number = world->items.number;
    CHECK_OK(sj_deque_reverse(&world->deque));
    for (uint32_t i = 0, j = world->items.count; j-- > i; i++) {
        uint32_t one = number[i];
        number[i] = number[j];
        number[j] = one;
    }
}

static inline void world_clear(struct world *world)
{
    CHECK_OK(sj_deque_clear(&world->deque));
    world->items.count = 0;
}

static inline void world_begin(struct world *world)
{
    CHECK_OK(sj_tx_begin(world->segment));
    world->mark[world->depth++] = world->items;
}

static inline void world_end(struct world *world, bool commit)
{
    world->depth--;
    if (commit) {
        CHECK_OK(sj_tx_commit(world->segment));
        return;
    }
    sj_tx_abort(world->segment);
    world->items = world->mark[world->depth];
}

/* ------------------------------------------------------------------ comparing */

/* Whether the deque has these items, read in either direction in batches of some size. */
static inline bool world_has(const struct world *world, const struct items *items)
{
    struct sj_value values[64];
    bool down = test_below(2) == 1;
    uint32_t seen = 0, got, wanted = 1 + (uint32_t)test_below(64);
    if (sj_deque_count(&world->deque) != items->count)
        return false;
    struct sj_deque_cursor cursor = {.index = down ? items->count - 1ull : 0};
    do {
        CHECK_OK(sj_deque_read(&world->deque, &cursor, down, wanted, values, &got));
        for (uint32_t i = 0; i < got; i++, seen++) {
            CHECK(seen < items->count);
            uint32_t index = down ? items->count - 1 - seen : seen;
            if (!world_is(world, &values[i], items->number[index]))
                return false;
        }
        if (test_below(4) == 0)
            cursor.chunk = 0;
    } while (got == wanted);
    CHECK(seen == items->count);
    return true;
}

static inline void world_check_gets(const struct world *world)
{
    struct sj_value value;
    for (uint32_t i = 0; i < world->items.count; i++) {
        CHECK_OK(sj_deque_get(&world->deque, i, &value));
        CHECK(world_is(world, &value, world->items.number[i]));
    }
    CHECK(sj_deque_get(&world->deque, world->items.count, &value) == SJ_ENOTFOUND);
    CHECK(sj_deque_get(&world->deque, UINT64_MAX, &value) == SJ_ENOTFOUND);
}

struct world_blocks {
    uint64_t at[2 * WORLD_MAX];
    uint64_t bytes[2 * WORLD_MAX];
    uint64_t sum;
    uint32_t count;
};

static inline int world_visit(void *context, uint64_t block, uint64_t bytes)
{
    struct world_blocks *blocks = context;
    CHECK(blocks->count < 2 * WORLD_MAX);
    blocks->at[blocks->count] = block;
    blocks->bytes[blocks->count++] = bytes;
    blocks->sum += world_mix(block);
    return 0;
}

/* The deque is sound, the heap is, and the blocks in use are those of the deque. */
static inline void world_check_blocks(const struct world *world)
{
    static struct world_blocks deque, heap;
    deque.count = heap.count = 0;
    deque.sum = heap.sum = 0;
    CHECK_OK(sj_deque_check(&world->deque, world_visit, &deque));
    if (world->depth > 0)
        return; /* frees wait for the commit */
    CHECK_OK(sj_heap_check(world->segment, world_visit, &heap));
    CHECK(deque.count == heap.count && deque.sum == heap.sum);
    for (uint32_t i = 0; i < deque.count; i++)
        CHECK(sj_heap_usable(world->segment, deque.at[i]) >= deque.bytes[i]);
}

static inline void world_check(const struct world *world)
{
    CHECK(world_has(world, &world->items));
    world_check_blocks(world);
}

/* Destroys the deque; nothing may be left. */
static inline void world_drop(struct world *world, const char *name)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_tx_op_begin(world->segment));
    CHECK_OK(sj_deque_destroy(&world->deque));
    sj_tx_ready(world->segment);
    CHECK_OK(sj_tx_op_commit(world->segment));
    CHECK_OK(sj_heap_stats(world->segment, &stats));
    CHECK(stats.live_blocks == 0);
    CHECK_OK(sj_segment_close(world->segment, true));
    CHECK(remove(test_path(name)) == 0);
    free(world);
}

#endif
