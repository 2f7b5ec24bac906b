// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_check.c: walking a whole hash map: check, clear, destroy.
 *
 * A walk goes through the directory in steps of as many entries as the table segment there has by
 * its local depth. hashmap_table() makes sure that the segment's pattern is the entry's, so each
 * segment comes once and the walk ends, whatever the media say.
 *
 * Crash rule: clear and destroy only free (deferred to the commit) and store the head's words,
 * which are logged.
 *
 * Cost: check O(n) searches; clear and destroy O(n) frees, or O(segments) when nothing is beyond
 * the slots.
 */
#include "structures/hashmap_search.h"

typedef int table_visit(void *context, const struct sj_hashmap *map,
                        struct sj_hashmap_segment *table);

/* Calls `visit` for each table segment, in the order of hashes. SJ_ECORRUPT. */
static int walk(const struct sj_hashmap *map, table_visit *visit, void *context)
{
    uint64_t hash = 0;
    do {
        struct sj_hashmap_segment *table = hashmap_table(map, hash);
        if (table == NULL)
            return hashmap_table_damaged(map, hash);
        int error = visit(context, map, table);
        if (error != SJ_OK)
            return error;
        uint32_t depth = table->node.aux;
        hash = depth == 0 ? 0 : (table->pattern + 1) << (64 - depth);
    } while (hash != 0);
    return SJ_OK;
}

/* ------------------------------------------------------------------ check */

struct checking {
    sj_heap_visit *visit;
    void *context;
    uint64_t count;
    uint8_t strays[SJ_HASHMAP_BUCKETS_MAX];
};

static int damaged(const struct sj_hashmap *map, const void *at, const char *expected)
{
    return sj_segment_damaged(map->segment, (uintptr_t)at, expected);
}

static int visit_block(const struct checking *checking, uint64_t at, uint64_t bytes)
{
    return checking->visit == NULL ? SJ_OK : checking->visit(checking->context, at, bytes);
}

/* The block beyond a slot, if there is one, its sizes checked. */
static int visit_slot(const struct checking *checking, const struct sj_hashmap *map,
                      const struct sj_hashmap_slot *slot)
{
    struct sj_item item;
    int error = sj_slot_item(map->segment, map->kinds, slot->first, &slot->second, &item);
    if (error != SJ_OK)
        return error;
    uint64_t bytes = 0;
    if (map->kinds.key == SJ_ITEM_BYTES) {
        bytes = sj_entry_bytes((const struct sj_entry *)(uintptr_t)slot->second);
    } else if (map->kinds.value == SJ_ITEM_BYTES && (slot->second & 7) == 0) {
        bytes = sizeof(struct sj_blob) + item.value.size;
    }
    return bytes == 0 ? SJ_OK : visit_block(checking, slot->second, bytes);
}

/* A search for the item's key must find this very slot. */
static int check_found(const struct sj_hashmap *map, const struct sj_hashmap_bucket *bucket,
                       uint32_t number)
{
    const struct sj_hashmap_slot *slot = &bucket->slot[number];
    struct sj_item item;
    struct hashmap_place place;
    int error = sj_slot_item(map->segment, map->kinds, slot->first, &slot->second, &item);
    if (error != SJ_OK)
        return error;
    uint64_t hash = hashmap_hash(map, &item.key, map->kinds.key);
    if (hash != hashmap_slot_hash(map, slot))
        return damaged(map, slot, "the hash of a key");
    if (bucket->tag[number] != hashmap_tag(hash))
        return damaged(map, bucket, "a tag of the key's hash");
    error = hashmap_find(map, &item.key, hash, map->kinds.key, &place);
    if (error == SJ_ENOTFOUND || (error == SJ_OK && &place.bucket->slot[place.slot] != slot))
        return damaged(map, slot, "an item that a search finds, once");
    return error;
}

static int check_bucket(struct checking *checking, const struct sj_hashmap *map,
                        const struct sj_hashmap_segment *table, uint32_t number)
{
    const struct sj_hashmap_bucket *bucket = &table->bucket[number];
    uint32_t buckets = table->node.count;
    for (uint32_t i = 0; i < SJ_HASHMAP_SLOTS; i++) {
        if (bucket->tag[i] == 0)
            continue;
        if ((bucket->tag[i] & 0x80) == 0)
            return damaged(map, bucket, "a tag with its top bit set");
        int error = check_found(map, bucket, i);
        if (error == SJ_OK)
            error = visit_slot(checking, map, &bucket->slot[i]);
        if (error != SJ_OK)
            return error;
        uint64_t hash = hashmap_slot_hash(map, &bucket->slot[i]);
        uint32_t home = hashmap_home(hash, table->node.aux, buckets);
        checking->strays[home] += home != number;
        checking->count++;
    }
    return SJ_OK;
}

/* The directory's entries for a table segment all lead to it. */
static int check_entries(const struct sj_hashmap *map, const struct sj_hashmap_segment *table)
{
    const struct sj_hashmap_directory *directory = hashmap_directory(map);
    uint32_t shift = directory->depth - table->node.aux;
    const uint64_t *entry = &directory->segment[table->pattern << shift];
    for (uint64_t i = 0; i < 1ull << shift; i++)
        if (entry[i] != (uintptr_t)table)
            return damaged(map, &entry[i], "the same table segment as the entry before");
    return SJ_OK;
}

static int check_table(void *context, const struct sj_hashmap *map,
                       struct sj_hashmap_segment *table)
{
    struct checking *checking = context;
    uint32_t buckets = table->node.count;
    memset(checking->strays, 0, sizeof(checking->strays));
    for (size_t i = 0; i < sizeof(table->zero) / sizeof(table->zero[0]); i++)
        if (table->zero[i] != 0)
            return damaged(map, table, "zeros in the head of a table segment");
    int error = check_entries(map, table);
    for (uint32_t i = 0; error == SJ_OK && i < buckets; i++)
        error = check_bucket(checking, map, table, i);
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < buckets; i++)
        if (table->bucket[i].strays != checking->strays[i])
            return damaged(map, &table->bucket[i], "the number of stray items");
    return visit_block(checking, (uintptr_t)table, hashmap_table_bytes(buckets));
}

int sj_hashmap_check(const struct sj_hashmap *map, sj_heap_visit *visit, void *context)
{
    struct checking checking = {.visit = visit, .context = context};
    const struct sj_hashmap_head *head = map->head;
    if (!sj_item_byte_is_sound(head->node.count & 0xff) ||
        !sj_item_byte_is_sound(head->node.count >> 8))
        return damaged(map, head, "the kinds of a hash map's items");
    int error = walk(map, check_table, &checking);
    if (error != SJ_OK)
        return error;
    if (checking.count != head->count)
        return damaged(map, head, "the number of a hash map's items");
    error = visit_block(&checking, head->directory,
                        sizeof(struct sj_hashmap_directory) + (8ull << head->node.aux));
    return error != SJ_OK ? error : visit_block(&checking, (uintptr_t)head, sizeof(*head));
}

/* ------------------------------------------------------------------ clear, destroy */

/* Plans that a table segment and all beyond it is freed. */
static int free_table(void *context, const struct sj_hashmap *map, struct sj_hashmap_segment *table)
{
    (void)context;
    bool plain = map->kinds.key == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_WORD;
    for (uint32_t b = 0; !plain && b < table->node.count; b++) {
        const struct sj_hashmap_bucket *bucket = &table->bucket[b];
        for (uint32_t used = hashmap_used(bucket); used != 0; used &= used - 1) {
            uint64_t slot = bucket->slot[__builtin_ctz(used)].second;
            int error = sj_slot_free(map->segment, map->kinds, slot);
            if (error != SJ_OK)
                return error;
        }
    }
    return sj_heap_free(map->segment, (uintptr_t)table);
}

static int free_all(const struct sj_hashmap *map)
{
    int error = walk(map, free_table, NULL);
    return error != SJ_OK ? error : sj_heap_free(map->segment, map->head->directory);
}

static int plan_clear(const struct sj_hashmap *map)
{
    struct sj_hashmap_head *head = map->head;
    uint64_t directory;
    uint64_t word = SJ_KIND_HASHMAP | (uint64_t)head->node.count << 16;
    int error = hashmap_make_empty(map->segment, &directory);
    if (error == SJ_OK)
        error = free_all(map);
    if (error == SJ_OK)
        error = hashmap_head_word(map, &head->node, word);
    if (error == SJ_OK)
        error = hashmap_head_word(map, &head->count, 0);
    if (error == SJ_OK)
        error = hashmap_head_word(map, &head->directory, directory);
    return error;
}

int sj_hashmap_clear(struct sj_hashmap *map)
{
    int error = sj_tx_op_begin(map->segment);
    if (error != SJ_OK)
        return error;
    error = plan_clear(map);
    if (error != SJ_OK)
        return sj_tx_op_abort(map->segment, error);
    sj_tx_ready(map->segment);
    return sj_tx_op_commit(map->segment);
}

int sj_hashmap_destroy(struct sj_hashmap *map)
{
    int error = free_all(map);
    return error != SJ_OK ? error : sj_heap_free(map->segment, (uintptr_t)map->head);
}
