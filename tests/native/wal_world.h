// SPDX-License-Identifier: Apache-2.0
/*
 * wal_world.h: a `wal` store with a B-tree and a hash map in it, beside a model of them.
 *
 * The contents have a digest, a sum over all items; so has the model. Key and version decide an
 * item's value.
 */
#ifndef SJ_TESTS_WAL_WORLD_H
#define SJ_TESTS_WAL_WORLD_H

#include "harness.h"

#include "persistence/checksum.h"
#include "persistence/roots.h"
#include "persistence/wal.h"
#include "structures/btree.h"
#include "structures/check.h"
#include "structures/hashmap.h"

#define WORLD_KEYS 48

struct model {
    uint64_t digest;
    uint16_t version[2][WORLD_KEYS]; /* of the tree's and the map's keys; 0: not there */
};

struct world {
    struct sj_segment *segment;
    struct sj_btree tree;
    struct sj_hashmap map;
};

static const struct sj_kinds world_kinds = {SJ_ITEM_WORD, SJ_ITEM_BYTES};

static inline struct sj_value world_value(uint32_t key, uint32_t version)
{
    static uint8_t bytes[4096];
    uint64_t mixed = sj_mix(version * 64 + key + 1, SJ_MIX_C);
    uint64_t size = version % 16 == 15 ? 2000 + mixed % 2000
                    : version % 4 == 3 ? 100 + mixed % 600
                                       : mixed % 24;
    memset(bytes, (int)(mixed >> 40), size);
    return (struct sj_value){.bytes = bytes, .size = size};
}

static inline uint64_t world_digest(uint32_t structure, uint64_t key, const struct sj_value *value)
{
    uint64_t sum = sj_mix(structure + 3, key ^ SJ_MIX_B);
    for (uint64_t i = 0; i < value->size; i++)
        sum = sum * 0x100000001b3ull ^ value->bytes[i];
    return sj_mix(sum, value->size + 1);
}

static inline void model_set(struct model *model, uint32_t structure, uint32_t key,
                             uint32_t version)
{
    uint16_t *now = &model->version[structure][key];
    if (*now != 0) {
        struct sj_value value = world_value(key, *now);
        model->digest -= world_digest(structure, key, &value);
    }
    *now = (uint16_t)version;
    if (version != 0) {
        struct sj_value value = world_value(key, version);
        model->digest += world_digest(structure, key, &value);
    }
}

/* ------------------------------------------------------------------ the store */

static inline void world_root(struct sj_segment *segment, const char *name, uint16_t type)
{
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    if (type == SJ_KIND_BTREE)
        CHECK_OK(sj_btree_create(segment, world_kinds, &head));
    else
        CHECK_OK(sj_hashmap_create(segment, world_kinds, &head));
    CHECK_OK(sj_root_add(segment, name, strlen(name), type, 1, 3, head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

/* Opens the structures; whether they are there. */
static inline bool world_find(struct world *world, struct sj_segment *segment)
{
    struct sj_root *tree, *map;
    world->segment = segment;
    if (sj_root_find(segment, "tree", 4, &tree) != SJ_OK ||
        sj_root_find(segment, "map", 3, &map) != SJ_OK)
        return false;
    CHECK_OK(sj_btree_open(segment, tree->pointer, &world->tree));
    CHECK_OK(sj_hashmap_open(segment, map->pointer, &world->map));
    return true;
}

/* What the write hold's end does. */
static inline int world_acknowledge(struct sj_segment *segment)
{
    uint64_t position = sj_wal_take_unacknowledged(segment);
    return position == 0 ? SJ_OK : sj_wal_acknowledge(segment, position);
}

static inline int world_change(struct world *world, struct model *model, uint32_t structure,
                               uint32_t number, uint32_t version)
{
    struct sj_key key = {.word = number};
    struct sj_value value = world_value(number, version);
    bool existed;
    int error;
    if (version != 0 && structure == 0)
        error = sj_btree_put(&world->tree, &key, &value, SJ_PUT_ALWAYS, &existed);
    else if (version != 0)
        error = sj_hashmap_put(&world->map, &key, &value, SJ_PUT_ALWAYS, &existed);
    else
        error = structure == 0 ? sj_btree_delete(&world->tree, &key)
                               : sj_hashmap_delete(&world->map, &key);
    if (error == SJ_ENOTFOUND && version == 0 && model->version[structure][number] == 0)
        return SJ_OK;
    if (error == SJ_OK)
        model_set(model, structure, number, version);
    return error;
}

/* One in four deletes. Random numbers alone decide which it is. */
static inline void world_draw(uint32_t *structure, uint32_t *number, uint32_t *version)
{
    *structure = (uint32_t)test_below(2);
    *number = (uint32_t)test_below(WORLD_KEYS);
    *version = test_below(4) == 0 ? 0 : 1 + (uint32_t)test_below(60000);
}

static inline int world_change_any(struct world *world, struct model *model)
{
    uint32_t structure, number, version;
    world_draw(&structure, &number, &version);
    return world_change(world, model, structure, number, version);
}

/* What so many changes would do to the model. */
static inline void world_rehearse(struct model *model, uint32_t changes)
{
    uint32_t structure, number, version;
    for (uint32_t i = 0; i < changes; i++) {
        world_draw(&structure, &number, &version);
        model_set(model, structure, number, version);
    }
}

/* A transaction of so many changes; an aborted one leaves the model. */
static inline int world_transaction(struct world *world, struct model *model, uint32_t changes,
                                    bool commit)
{
    struct model before = *model;
    int error = sj_tx_begin(world->segment);
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < changes && error == SJ_OK; i++)
        error = world_change_any(world, model);
    if (error == SJ_OK && commit)
        error = sj_tx_commit(world->segment);
    else
        sj_tx_abort(world->segment);
    if (error != SJ_OK || !commit)
        *model = before;
    return error;
}

static inline uint64_t world_contents(const struct world *world)
{
    struct sj_item items[64];
    struct sj_btree_cursor cursor;
    uint64_t digest = 0, position = 0;
    uint32_t got;
    CHECK_OK(sj_btree_first(&world->tree, &cursor));
    do {
        CHECK_OK(sj_btree_read(&world->tree, &cursor, false, 64, items, &got));
        for (uint32_t i = 0; i < got; i++)
            digest += world_digest(0, items[i].key.word, &items[i].value);
    } while (got == 64);
    while (position != UINT64_MAX) {
        CHECK_OK(sj_hashmap_read(&world->map, &position, 64, items, &got));
        for (uint32_t i = 0; i < got; i++)
            digest += world_digest(1, items[i].key.word, &items[i].value);
    }
    return digest;
}

/* Sound, and nothing leaked; no page is taken for damaged. Pages whose checksum fits. */
static inline uint64_t world_check(const struct world *world)
{
    struct sj_check_report report;
    CHECK_OK(sj_check(world->segment, &report));
    CHECK(report.census.leaked_blocks == 0);
    return report.verified_pages;
}

static inline void world_create(const char *path)
{
    struct sj_segment_spec spec = {"store", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    CHECK_OK(sj_segment_create(path, &spec));
}

/* Without what a closing would write: as if the process were gone. */
static inline void world_abandon(struct sj_segment *segment, bool image_too)
{
    char image[sizeof segment->wal->image_path];
    snprintf(image, sizeof image, "%s", segment->wal->image_path);
    CHECK_OK(sj_segment_close(segment, false));
    if (image_too)
        CHECK(unlink(image) == 0);
}

#endif
