// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_map.c: whose a table of a hash map is.
 *
 *   claims   a map's directory names its tables
 *   owners   the map by whose seed most of a table's keys have the hashes that their tags and slots
 *            say; the one that claims it is asked first. A table in use that fits no map goes to
 *            the one map whose head is gone, else to a structure "lost-1" …
 *
 * A seed is 64 random bits, so a table of another map, or one of bytes that only look like a table,
 * is not taken for one of this. Cost: O(entries) for those that are claimed, times the maps for the
 * others.
 */
#include "structures/hashmap_search.h"
#include "structures/salvage_parts.h"

#define TABLES_TRIED 64

static const struct sj_hashmap_segment *media(const struct salvage_block *block)
{
    return (const struct sj_hashmap_segment *)(uintptr_t)block->at;
}

/* Entries of the table that are the map's, and those that it has. */
static uint32_t matches(const struct sj_salvage *salvage, const struct salvage_block *block,
                        const struct salvage_structure *map, uint32_t *entries)
{
    uint32_t slots = salvage_buckets(salvage, block) * SJ_HASHMAP_SLOTS, found = 0;
    *entries = 0;
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct sj_item item;
        const char *why;
        enum salvage_verdict verdict = salvage_table_entry(salvage, block, map, slot, &item, &why);
        *entries += why != NULL;
        found += why != NULL && verdict != ENTRY_UNREADABLE;
    }
    return found;
}

/* What cannot be read of a table counts for nobody: one entry in eight is enough. */
static bool is_enough(uint64_t found, uint64_t entries)
{
    return found > 0 && 8 * found >= entries;
}

static bool is_of(const struct sj_salvage *salvage, const struct salvage_block *block,
                  const struct salvage_structure *map)
{
    uint32_t entries, found = matches(salvage, block, map, &entries);
    return is_enough(found, entries);
}

/* A seed by which hardly an entry of the tables that the directory names has its place is damaged:
 * then the directory alone says whose they are. */
static void try_seed(struct sj_salvage *salvage, uint32_t number)
{
    uint64_t all = 0, found = 0, tables = 0;
    for (uint64_t i = 0; i < salvage->tables.count && tables < TABLES_TRIED; i++) {
        const struct salvage_block *block = &salvage->tables.item[i];
        uint32_t entries;
        if (block->claim != number)
            continue;
        found += matches(salvage, block, &salvage->structure[number], &entries);
        all += entries;
        tables++;
    }
    if (all == 0 || is_enough(found, all))
        return;
    salvage->structure[number].hashes = false;
    salvage_tell(salvage, salvage->structure[number].told.head, number, "the seed of a hash map");
}

/* A directory's addresses, as far as the file has them. */
static void claim_tables(struct sj_salvage *salvage, uint32_t number)
{
    const struct salvage_structure *map = &salvage->structure[number];
    const struct sj_hashmap_head *head = (const struct sj_hashmap_head *)(uintptr_t)map->told.head;
    uint64_t at = head->directory, room = sj_segment_committed(salvage->segment);
    const struct sj_hashmap_directory *directory =
        sj_segment_block(salvage->segment, at, sizeof *directory, SJ_KIND_HASHMAP_DIR);
    if (directory == NULL) {
        salvage_tell(salvage, at, number, "the directory of a hash map");
        return;
    }
    room = (room - salvage_offset(salvage, at) - sizeof *directory) / sizeof(uint64_t);
    uint64_t count = head->node.aux <= SJ_HASHMAP_DEPTH_MAX ? 1ull << head->node.aux : room;
    for (uint64_t i = 0, last = 0; i < count && i < room; i++) {
        uint64_t entry = directory->segment[i];
        if (entry == last)
            continue;
        last = entry;
        uint64_t table = salvage_find(&salvage->tables, entry);
        if (table == UINT64_MAX)
            salvage_tell(salvage, entry, number, "a table of a hash map");
        else if (salvage->tables.item[table].claim == NOBODY)
            salvage->tables.item[table].claim = number;
    }
}

/* A map that has lost its head and may have this table, if there is just one. */
static uint32_t who_lacks(const struct sj_salvage *salvage, const struct salvage_block *block,
                          struct sj_kinds kinds)
{
    uint32_t found = NOBODY;
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct salvage_structure *map = &salvage->structure[i];
        if (map->told.type != SJ_KIND_HASHMAP || map->hashes || map->told.lost ||
            map->told.kinds.key != kinds.key || !is_of(salvage, block, map))
            continue;
        if (found != NOBODY)
            return NOBODY;
        found = i;
    }
    return found;
}

/* Entries of the table that look like addresses. */
static uint32_t addresses_in(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    uint32_t found = 0, buckets = salvage_buckets(salvage, block);
    for (uint32_t b = 0; b < buckets; b++) {
        const struct sj_hashmap_bucket *bucket = &media(block)->bucket[b];
        for (uint32_t i = 0; i < SJ_HASHMAP_SLOTS; i++)
            found += bucket->tag[i] != 0 && salvage_is_address(salvage, bucket->slot[i].second);
    }
    return found;
}

/* Kinds that the slots of a table look like. */
static struct sj_kinds kinds_of(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    static const struct sj_kinds kinds[] = {{SJ_ITEM_BYTES, SJ_ITEM_BYTES},
                                            {SJ_ITEM_WORD, SJ_ITEM_BYTES}};
    uint32_t entries = 0;
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct salvage_structure map = {.told.kinds = kinds[i]};
        uint32_t found = matches(salvage, block, &map, &entries);
        if (entries > 0 && 2 * found >= entries)
            return kinds[i];
    }
    if (2 * addresses_in(salvage, block) > entries) /* of what is not there any more */
        return kinds[0];
    return (struct sj_kinds){SJ_ITEM_WORD, SJ_ITEM_WORD};
}

static uint32_t owner_of(struct sj_salvage *salvage, const struct salvage_block *block)
{
    uint32_t entries;
    if (block->claim != NOBODY && is_of(salvage, block, &salvage->structure[block->claim]))
        return block->claim;
    if (block->life == LIFE_FREE)
        return NOBODY;
    for (uint32_t i = 0; i < salvage->structures; i++)
        if (salvage->structure[i].told.type == SJ_KIND_HASHMAP && salvage->structure[i].hashes &&
            is_of(salvage, block, &salvage->structure[i]))
            return i;
    struct salvage_structure any = {.told.kinds = kinds_of(salvage, block)};
    if (matches(salvage, block, &any, &entries) == 0 ||
        (block->life == LIFE_UNKNOWN && !salvage->broken_heap))
        return NOBODY;
    uint32_t owner = who_lacks(salvage, block, any.told.kinds);
    return owner != NOBODY ? owner : salvage_lost(salvage, SJ_KIND_HASHMAP, any.told.kinds);
}

void salvage_maps(struct sj_salvage *salvage)
{
    for (uint32_t i = 0; i < salvage->structures; i++)
        if (salvage->structure[i].told.type == SJ_KIND_HASHMAP &&
            salvage->structure[i].told.head != 0) {
            claim_tables(salvage, i);
            try_seed(salvage, i);
        }
    for (uint64_t number = 0; number < salvage->tables.count; number++) {
        struct salvage_block *block = &salvage->tables.item[number];
        block->owner = owner_of(salvage, block);
    }
}
