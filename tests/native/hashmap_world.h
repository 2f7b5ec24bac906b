// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_world.h: a hash map beside a naive model of it, for the tests of the hash map.
 *
 * The keys are numbered; version[i] says which value key i has, 0 that it is not there. Keys and
 * values are made from these numbers, so that comparing needs no second copy of them.
 */
#ifndef SJ_TESTS_HASHMAP_WORLD_H
#define SJ_TESTS_HASHMAP_WORLD_H

#include "harness.h"

#include "structures/hashmap.h"

#define WORLD_KEYS_MAX  20000
#define WORLD_MARKS_MAX 4
#define WORLD_READ      200

struct world {
    struct sj_segment *segment;
    struct sj_hashmap map;
    uint32_t keys;
    uint32_t version[WORLD_KEYS_MAX];
    uint32_t mark[WORLD_MARKS_MAX][WORLD_KEYS_MAX]; /* before each open transaction */
    uint32_t depth;
};

static uint8_t world_key_bytes[512], world_value_bytes[16384];

static inline uint64_t world_mix(uint64_t number)
{
    number = (number ^ number >> 31) * 0x9fb21c651e98df25ull;
    return number ^ number >> 29;
}

/* Key number i: words of every size; bytes of 4–12, some of 300, all different. */
static inline struct sj_key world_key(const struct world *world, uint32_t i)
{
    if (world->map.kinds.key == SJ_ITEM_WORD)
        return (struct sj_key){.word = i % 2 == 0 ? i : world_mix(i)};
    uint32_t size = i % 50 == 7 ? 300 : 4 + i % 9, form = i % 10 == 3 ? 5 : 0;
    memset(world_key_bytes, (int)(i % 251), sizeof(world_key_bytes));
    memcpy(world_key_bytes, &i, sizeof(i));
    return (struct sj_key){.bytes = world_key_bytes, .size = size, .form_size = form};
}

/* The value of key number i in that version: bytes of 0–20, some of up to 16 KiB. */
static inline struct sj_value world_value(const struct world *world, uint32_t i, uint32_t version)
{
    uint64_t mixed = world_mix((uint64_t)version << 32 | i);
    if (world->map.kinds.value == SJ_ITEM_WORD)
        return (struct sj_value){.word = mixed};
    uint64_t size = mixed % 64 == 0 ? mixed / 64 % sizeof(world_value_bytes) : mixed / 64 % 21;
    memset(world_value_bytes, (int)(mixed >> 48 & 0xff), size);
    return (struct sj_value){.bytes = world_value_bytes, .size = size};
}

static inline bool world_same(const struct world *world, const struct sj_value *value,
                              const struct sj_value *expected)
{
    if (world->map.kinds.value == SJ_ITEM_WORD)
        return value->word == expected->word;
    return value->size == expected->size &&
           (value->size == 0 || memcmp(value->bytes, expected->bytes, value->size) == 0);
}

/* Which key that is, or UINT32_MAX. */
static inline uint32_t world_number(const struct world *world, const struct sj_key *key)
{
    uint32_t i = UINT32_MAX;
    if (world->map.kinds.key == SJ_ITEM_BYTES) {
        CHECK(key->size >= sizeof(i));
        memcpy(&i, key->bytes, sizeof(i));
        struct sj_key expected = world_key(world, i);
        CHECK(key->size == expected.size && key->form_size == expected.form_size);
        CHECK(memcmp(key->bytes, expected.bytes, key->size + key->form_size) == 0);
        return i;
    }
    for (i = 0; i < world->keys; i++)
        if (world_key(world, i).word == key->word)
            return i;
    return UINT32_MAX;
}

static inline void world_new_map(struct world *world, struct sj_kinds kinds)
{
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(world->segment));
    CHECK_OK(sj_hashmap_create(world->segment, kinds, &head));
    sj_tx_ready(world->segment);
    CHECK_OK(sj_tx_op_commit(world->segment));
    CHECK_OK(sj_hashmap_open(world->segment, head, &world->map));
}

static inline struct world *world_make(const char *name, struct sj_kinds kinds, uint32_t keys)
{
    struct world *world = calloc(1, sizeof(*world));
    CHECK(world != NULL && keys <= WORLD_KEYS_MAX);
    world->segment = test_segment(name);
    world->keys = keys;
    world_new_map(world, kinds);
    return world;
}

/* ------------------------------------------------------------------ operations on both */

/* A change: which key's value becomes which version; 0: it is refused. */
struct world_change {
    const struct world *world;
    uint32_t i;
    uint32_t version;
    bool existed;
};

static inline int world_change_value(void *context, const struct sj_value *old,
                                     struct sj_value *value)
{
    struct world_change *change = context;
    uint32_t version = change->world->version[change->i];
    change->existed = old != NULL;
    if (old != NULL) {
        struct sj_value expected = world_value(change->world, change->i, version);
        CHECK(world_same(change->world, old, &expected));
    }
    *value = world_value(change->world, change->i, change->version);
    return change->version != 0 ? SJ_OK : SJ_EEXISTS;
}

/* A put of every third version is a change, after one that is refused. */
static inline void world_put(struct world *world, uint32_t i, uint32_t version,
                             enum sj_put_mode mode)
{
    bool existed;
    struct sj_key key = world_key(world, i);
    struct sj_value value = world_value(world, i, version);
    if (mode == SJ_PUT_ALWAYS && version % 3 == 0) {
        struct world_change change = {world, i, 0, false};
        CHECK(sj_hashmap_change(&world->map, &key, world_change_value, &change) == SJ_EEXISTS);
        change.version = version;
        CHECK_OK(sj_hashmap_change(&world->map, &key, world_change_value, &change));
        existed = change.existed;
    } else {
        CHECK_OK(sj_hashmap_put(&world->map, &key, &value, mode, &existed));
    }
    CHECK(existed == (world->version[i] != 0));
    if (!existed || mode == SJ_PUT_ALWAYS)
        world->version[i] = version;
}

static inline void world_delete(struct world *world, uint32_t i)
{
    struct sj_key key = world_key(world, i);
    int error = sj_hashmap_delete(&world->map, &key);
    CHECK(error == (world->version[i] != 0 ? SJ_OK : SJ_ENOTFOUND));
    world->version[i] = 0;
}

static inline void world_begin(struct world *world)
{
    CHECK_OK(sj_tx_begin(world->segment));
    memcpy(world->mark[world->depth++], world->version, sizeof(world->version));
}

static inline void world_end(struct world *world, bool commit)
{
    world->depth--;
    if (commit) {
        CHECK_OK(sj_tx_commit(world->segment));
        return;
    }
    sj_tx_abort(world->segment);
    memcpy(world->version, world->mark[world->depth], sizeof(world->version));
}

/* ------------------------------------------------------------------ comparing */

static inline void world_check_gets(const struct world *world)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < world->keys; i++) {
        struct sj_key key = world_key(world, i);
        struct sj_value value;
        int error = sj_hashmap_get(&world->map, &key, &value);
        CHECK(error == (world->version[i] != 0 ? SJ_OK : SJ_ENOTFOUND));
        count += error == SJ_OK;
        if (error != SJ_OK)
            continue;
        struct sj_value expected = world_value(world, i, world->version[i]);
        CHECK(world_same(world, &value, &expected));
    }
    CHECK(count == sj_hashmap_count(&world->map));
}

struct world_blocks {
    uint64_t at[4 * WORLD_KEYS_MAX];
    uint64_t bytes[4 * WORLD_KEYS_MAX];
    uint64_t sum;
    uint32_t count;
};

static inline int world_visit(void *context, uint64_t block, uint64_t bytes)
{
    struct world_blocks *blocks = context;
    CHECK(blocks->count < 4 * WORLD_KEYS_MAX);
    blocks->at[blocks->count] = block;
    blocks->bytes[blocks->count++] = bytes;
    blocks->sum += world_mix(block);
    return 0;
}

/* The map is sound, the heap is, and the blocks in use are those of the map. */
static inline void world_check_blocks(const struct world *world)
{
    static struct world_blocks map, heap;
    map.count = heap.count = 0;
    map.sum = heap.sum = 0;
    CHECK_OK(sj_hashmap_check(&world->map, world_visit, &map));
    if (world->depth > 0)
        return; /* frees wait for the commit */
    CHECK_OK(sj_heap_check(world->segment, world_visit, &heap));
    CHECK(map.count == heap.count && map.sum == heap.sum);
    for (uint32_t i = 0; i < map.count; i++)
        CHECK(sj_heap_usable(world->segment, map.at[i]) >= map.bytes[i]);
}

/* A scan gives each item once. */
static inline void world_check_scan(const struct world *world)
{
    static struct sj_item items[WORLD_READ];
    static uint8_t seen[WORLD_KEYS_MAX];
    uint64_t position = 0, count = 0;
    memset(seen, 0, sizeof(seen));
    while (position != UINT64_MAX) {
        uint32_t got, wanted = SJ_HASHMAP_READ_MIN + (uint32_t)test_below(WORLD_READ - 60 + 1);
        CHECK_OK(sj_hashmap_read(&world->map, &position, wanted, items, &got));
        CHECK(got <= wanted && (position == UINT64_MAX || got > wanted - SJ_HASHMAP_READ_MIN));
        count += got;
        if (world->map.kinds.key == SJ_ITEM_WORD && world->keys > 2000)
            continue; /* world_number() is slow for words */
        for (uint32_t j = 0; j < got; j++) {
            uint32_t i = world_number(world, &items[j].key);
            CHECK(i < world->keys && world->version[i] != 0 && !seen[i]);
            seen[i] = 1;
            struct sj_value expected = world_value(world, i, world->version[i]);
            CHECK(world_same(world, &items[j].value, &expected));
        }
    }
    CHECK(count == sj_hashmap_count(&world->map));
}

static inline void world_check(const struct world *world)
{
    world_check_gets(world);
    world_check_scan(world);
    world_check_blocks(world);
}

/* Destroys the map; nothing may be left. */
static inline void world_drop(struct world *world)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_tx_op_begin(world->segment));
    CHECK_OK(sj_hashmap_destroy(&world->map));
    sj_tx_ready(world->segment);
    CHECK_OK(sj_tx_op_commit(world->segment));
    CHECK_OK(sj_heap_stats(world->segment, &stats));
    CHECK(stats.live_blocks == 0);
    CHECK_OK(sj_segment_close(world->segment, true));
    free(world);
}

#endif
