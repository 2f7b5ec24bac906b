// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_scan.c: reading a hash map's items in the order of their hashes' home buckets.
 *
 *   hashes   0 ────────┬────────┬────────┬─── … ──┬────────→ 2^64 − 1
 *   homes    T0, b = 0 │ T0, 1  │ T0, 2  │        │ Tn, 62
 *                      ↑ position: the smallest hash of the next home bucket
 *
 * A group is the items of one home bucket: they lie in it and, as many as its strays are, in the
 * next three. Groups are given whole, in ascending order of their hashes; the items of one are
 * not sorted.
 *
 * I1  All items with hash < position that were there throughout have been given, none with hash ≥
 *     position has. A table segment that grows or splits in between changes where groups begin, so
 *     of the first group the items with hash < position are left out.
 * I2  position rises with each group, so a scan ends.
 *
 * Cost: a bucket's tags and items; those of stray items up to four times.
 */
#include "structures/hashmap_search.h"

#define GROUP_MAX (SJ_HASHMAP_PROBES * SJ_HASHMAP_SLOTS)

_Static_assert(GROUP_MAX == SJ_HASHMAP_READ_MIN, "a group fits into what a caller has room for");

/* Where in the map a scan is. */
struct scan {
    const struct sj_hashmap *map;
    const struct sj_hashmap_segment *table;
    uint64_t from; /* items with smaller hashes have been given */
    uint32_t home;
};

/* The smallest hash at or after which homes in the table segment are ≥ `home`, or the next one's
 * first; UINT64_MAX after the last segment. */
static uint64_t first_hash(const struct sj_hashmap_segment *table, uint32_t home)
{
    uint32_t depth = table->node.aux, buckets = table->node.count;
    if (home == buckets) {
        uint64_t next = depth == 0 ? 0 : (table->pattern + 1) << (64 - depth);
        return next == 0 ? UINT64_MAX : next;
    }
    unsigned __int128 whole = ((unsigned __int128)home << 64) + buckets - 1;
    uint64_t fraction = (uint64_t)(whole / buckets); /* the smallest with that home */
    uint64_t low = (1ull << depth) - 1;
    uint64_t rest = (fraction >> depth) + ((fraction & low) != 0);
    return depth == 0 ? rest : table->pattern << (64 - depth) | rest;
}

/* Fetches ahead what the items of a bucket lead to. */
static void prefetch(const struct sj_hashmap *map, const struct sj_hashmap_bucket *bucket)
{
    if (map->kinds.key == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_WORD)
        return;
    for (uint32_t used = hashmap_used(bucket); used != 0; used &= used - 1)
        sj_slot_prefetch(bucket->slot[__builtin_ctz(used)].second);
}

/* Gives the items of `bucket` that belong to the group. SJ_ECORRUPT. */
static int read_bucket(const struct scan *scan, const struct sj_hashmap_bucket *bucket,
                       struct sj_item *items, uint32_t *got)
{
    const struct sj_hashmap *map = scan->map;
    bool plain = map->kinds.key == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_WORD;
    uint32_t depth = scan->table->node.aux, buckets = scan->table->node.count;
    for (uint32_t used = hashmap_used(bucket); used != 0; used &= used - 1) {
        const struct sj_hashmap_slot *slot = &bucket->slot[__builtin_ctz(used)];
        uint64_t hash = hashmap_slot_hash(map, slot);
        if (hash < scan->from || hashmap_home(hash, depth, buckets) != scan->home)
            continue;
        if (plain) {
            items[*got].key.word = slot->first;
            items[(*got)++].value.word = slot->second;
            continue;
        }
        int error =
            sj_slot_item(map->segment, map->kinds, slot->first, &slot->second, &items[*got]);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        (*got)++;
    }
    return SJ_OK;
}

/* Gives the items of one home bucket, at most GROUP_MAX. SJ_ECORRUPT. */
static int read_group(const struct scan *scan, struct sj_item *items, uint32_t *got)
{
    const struct sj_hashmap_segment *table = scan->table;
    uint32_t buckets = table->node.count, at = scan->home;
    if (at + 1 < buckets)
        prefetch(scan->map, &table->bucket[at + 1]);
    int error = read_bucket(scan, &table->bucket[at], items, got);
    if (error != SJ_OK || table->bucket[at].strays == 0)
        return error;
    for (uint32_t probe = 1; error == SJ_OK && probe < hashmap_probes(buckets); probe++) {
        at = at + 1 == buckets ? 0 : at + 1;
        error = read_bucket(scan, &table->bucket[at], items, got);
    }
    return error;
}

int sj_hashmap_read(const struct sj_hashmap *map, uint64_t *position, uint32_t wanted,
                    struct sj_item *items, uint32_t *got)
{
    *got = 0;
    if (wanted < GROUP_MAX)
        return sj_error(SJ_EINVAL, "a scan needs room for %d items, not %u", GROUP_MAX, wanted);
    struct scan scan = {.map = map, .from = *position};
    while (scan.from != UINT64_MAX && wanted - *got >= GROUP_MAX) {
        scan.table = hashmap_table(map, scan.from);
        if (SJ_UNLIKELY(scan.table == NULL))
            return hashmap_table_damaged(map, scan.from);
        uint32_t depth = scan.table->node.aux, buckets = scan.table->node.count;
        scan.home = hashmap_home(scan.from, depth, buckets);
        for (; scan.home < buckets && wanted - *got >= GROUP_MAX; scan.home++) {
            int error = read_group(&scan, items, got);
            if (SJ_UNLIKELY(error != SJ_OK))
                return error;
            scan.from = first_hash(scan.table, scan.home + 1);
        }
    }
    *position = scan.from;
    return SJ_OK;
}
