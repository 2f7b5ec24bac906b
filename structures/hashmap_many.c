// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_many.c: many keys at once: what one key waits for is fetched while others are looked at.
 *
 *   a group of 32 keys      hash ──→ directory's word ──→ table's head ──→ tags, slots ──→ block
 *   one step for all of it       ↑ fetched          ↑ fetched       ↑ fetched      ↑ fetched
 *
 * Each step is made for the whole group, and begins with fetching ahead what the next one reads. So
 * up to 32 cache misses are on their way together, where single lookups wait for each in turn.
 * Addresses may be anything when they are fetched, for that cannot fail; they are checked before
 * they are read, as everywhere.
 *
 * Changes are single operations one after the other, over memory that was fetched ahead.
 *
 * Cost: a get of a map that is much larger than the caches: a third of a single one's.
 */
#include "structures/hashmap_search.h"

#define GROUP 32

struct group {
    uint64_t hash[GROUP];
    struct sj_hashmap_segment *table[GROUP];
    const uint64_t *slot[GROUP]; /* second word of the slot that was found; NULL: there is none */
};

/* Finds the table of each key, and fetches the tags ahead, with the line that the key prefers. */
static inline int find_tables(const struct sj_hashmap *map, const struct sj_key *key,
                              uint32_t count, enum sj_item_kind kind, struct group *group)
{
    const struct sj_hashmap_directory *directory = hashmap_directory(map);
    if (SJ_UNLIKELY(directory == NULL))
        return hashmap_table_damaged(map, 0);
    uint32_t depth = directory->depth;
    for (uint32_t i = 0; i < count; i++) {
        group->hash[i] = hashmap_hash(map, &key[i], kind);
        __builtin_prefetch(&directory->segment[hashmap_top(group->hash[i], depth)]);
    }
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(
            (const void *)(uintptr_t)directory->segment[hashmap_top(group->hash[i], depth)]);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = group->hash[i];
        struct sj_hashmap_segment *table = hashmap_table(map, hash);
        if (SJ_UNLIKELY(table == NULL))
            return hashmap_table_damaged(map, hash);
        const char *bucket =
            (const char *)&table->bucket[hashmap_home(hash, table->node.aux, table->node.count)];
        __builtin_prefetch(bucket);
        __builtin_prefetch(bucket + 64 + 64 * hashmap_line(hash));
        group->table[i] = table;
    }
    return SJ_OK;
}

/* Byte keys: fetches ahead the entries whose hash is the key's. */
static inline void fetch_entries(uint32_t count, const struct group *group)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sj_hashmap_segment *table = group->table[i];
        uint64_t hash = group->hash[i];
        const struct sj_hashmap_bucket *bucket =
            &table->bucket[hashmap_home(hash, table->node.aux, table->node.count)];
        uint32_t match = hashmap_match(bucket, hashmap_tag(hash));
        for (; match != 0; match &= match - 1)
            if (bucket->slot[__builtin_ctz(match)].first == hash)
                sj_slot_prefetch(bucket->slot[__builtin_ctz(match)].second);
    }
}

static inline int find_group(const struct sj_hashmap *map, const struct sj_key *key, uint32_t count,
                             enum sj_item_kind kind, struct group *group)
{
    int error = find_tables(map, key, count, kind, group);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (kind == SJ_ITEM_BYTES)
        fetch_entries(count, group);
    for (uint32_t i = 0; i < count; i++) {
        struct hashmap_place place;
        error = hashmap_find_at(map, &key[i], group->hash[i], kind, group->table[i], &place);
        if (SJ_UNLIKELY(error != SJ_OK && error != SJ_ENOTFOUND))
            return error;
        group->slot[i] = NULL;
        if (error != SJ_OK)
            continue;
        group->slot[i] = &place.bucket->slot[place.slot].second;
        if (kind == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_BYTES)
            sj_slot_prefetch(*group->slot[i]);
    }
    return SJ_OK;
}

static inline int get_group(const struct sj_hashmap *map, const struct sj_key *key, uint32_t count,
                            enum sj_item_kind kind, struct sj_value *value, bool *found)
{
    struct group group;
    struct sj_kinds kinds = {kind, map->kinds.value};
    int error = find_group(map, key, count, kind, &group);
    for (uint32_t i = 0; SJ_LIKELY(error == SJ_OK) && i < count; i++) {
        found[i] = group.slot[i] != NULL;
        if (!found[i])
            continue;
        error = sj_slot_value(map->segment, kinds, group.slot[i], &value[i]);
        if (error == SJ_OK && kinds.value == SJ_ITEM_BYTES)
            sj_value_prefetch(&value[i]);
    }
    return error;
}

int sj_hashmap_get_many(const struct sj_hashmap *map, const struct sj_key *key, uint32_t count,
                        struct sj_value *value, bool *found)
{
    for (uint32_t at = 0; at < count; at += GROUP) {
        uint32_t some = count - at < GROUP ? count - at : GROUP;
        int error = map->kinds.key == SJ_ITEM_WORD
                        ? get_group(map, key + at, some, SJ_ITEM_WORD, value + at, found + at)
                        : get_group(map, key + at, some, SJ_ITEM_BYTES, value + at, found + at);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ changes */

/* Fetches ahead what changes of these keys read. */
static int fetch_group(const struct sj_hashmap *map, const struct sj_key *key, uint32_t count)
{
    struct group group;
    if (map->kinds.key == SJ_ITEM_WORD)
        return find_tables(map, key, count, SJ_ITEM_WORD, &group);
    return find_group(map, key, count, SJ_ITEM_BYTES, &group);
}

int sj_hashmap_put_many(struct sj_hashmap *map, const struct sj_key *key,
                        const struct sj_value *value, uint32_t count, uint64_t *fresh)
{
    for (uint32_t i = 0; i < count; i++) {
        bool existed;
        int error = SJ_OK;
        if (i % GROUP == 0)
            error = fetch_group(map, key + i, count - i < GROUP ? count - i : GROUP);
        if (error == SJ_OK)
            error = sj_hashmap_put(map, &key[i], &value[i], SJ_PUT_ALWAYS, &existed);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        *fresh += !existed;
    }
    return SJ_OK;
}

int sj_hashmap_delete_many(struct sj_hashmap *map, const struct sj_key *key, uint32_t count,
                           uint64_t *deleted)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = SJ_OK;
        if (i % GROUP == 0)
            error = fetch_group(map, key + i, count - i < GROUP ? count - i : GROUP);
        if (error == SJ_OK)
            error = sj_hashmap_delete(map, &key[i]);
        if (SJ_UNLIKELY(error != SJ_OK && error != SJ_ENOTFOUND))
            return error;
        *deleted += error == SJ_OK;
    }
    return SJ_OK;
}
