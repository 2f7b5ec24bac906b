// SPDX-License-Identifier: Apache-2.0
/*
 * salvage.c: the structures of a damaged segment, from its roots and heads, and their entries
 * (salvage.h has the whole, salvage_parts.h says which file does what).
 *
 *   root ──pointer──→ head      a structure, with its name and codecs
 *   root ──pointer──→ ?         the same, without a head: its blocks are found by what they are
 *   head, in use                a structure "lost-1", whose codecs are not known
 *
 * A root counts when the directory leads to it, or when it is in use in the heap.
 */
#include "structures/salvage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "persistence/seam.h"
#include "structures/hashmap_search.h"
#include "structures/salvage_parts.h"

bool salvage_grow(struct sj_salvage *salvage, void **items, uint64_t count, uint64_t *room,
                  size_t bytes)
{
    if (count < *room)
        return true;
    uint64_t wanted = *room == 0 ? 64 : 2 * *room;
    void *grown = salvage->no_memory ? NULL : realloc(*items, wanted * bytes);
    if (grown == NULL) {
        salvage->no_memory = true;
        return false;
    }
    *items = grown;
    *room = wanted;
    return true;
}

void salvage_tell(struct sj_salvage *salvage, uint64_t at, uint32_t structure, const char *reason)
{
    if (salvage->findings < FINDINGS_MAX &&
        salvage_grow(salvage, (void **)&salvage->finding, salvage->findings,
                     &salvage->findings_room, sizeof *salvage->finding))
        salvage->finding[salvage->findings] =
            (struct sj_salvage_finding){salvage_offset(salvage, at), structure, reason};
    salvage->findings++;
}

uint64_t salvage_find(const struct salvage_blocks *blocks, uint64_t at)
{
    uint64_t low = 0, high = blocks->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (blocks->item[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < blocks->count && blocks->item[low].at == at ? low : UINT64_MAX;
}

/* ------------------------------------------------------------------ structures */

static struct salvage_structure *add(struct sj_salvage *salvage)
{
    uint64_t room = salvage->structures_room;
    if (!salvage_grow(salvage, (void **)&salvage->structure, salvage->structures, &room,
                      sizeof *salvage->structure))
        return NULL;
    salvage->structures_room = (uint32_t)room;
    struct salvage_structure *made = &salvage->structure[salvage->structures++];
    memset(made, 0, sizeof *made);
    return made;
}

/* Its root is gone, and its name with it. */
static void name_lost(struct sj_salvage *salvage, struct salvage_structure *structure)
{
    struct sj_salvage_structure *told = &structure->told;
    told->lost = true;
    told->name_bytes =
        (uint16_t)snprintf(told->name, sizeof told->name, "lost-%u", ++salvage->lost);
}

uint32_t salvage_lost(struct sj_salvage *salvage, uint16_t type, struct sj_kinds kinds)
{
    bool together = type == SJ_KIND_HASHMAP || salvage->lost >= LOST_MAX;
    for (uint32_t i = salvage->structures; together && i > 0; i--) {
        const struct sj_salvage_structure *told = &salvage->structure[i - 1].told;
        if (told->lost && told->type == type && told->kinds.key == kinds.key &&
            told->kinds.value == kinds.value && !told->has_head)
            return i - 1;
    }
    struct salvage_structure *made = add(salvage);
    if (made == NULL)
        return NOBODY;
    made->told.type = type;
    made->told.kinds = kinds;
    name_lost(salvage, made);
    return salvage->structures - 1;
}

/* The head at an address, if there is one that was found of that kind and nobody has it. */
static struct salvage_head *head_at(struct sj_salvage *salvage, uint64_t at, uint16_t kind)
{
    uint64_t low = 0, high = salvage->heads;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (salvage->head[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    struct salvage_head *head = &salvage->head[low];
    if (low == salvage->heads || head->at != at || head->kind != kind)
        return NULL;
    return head->structure == NOBODY ? head : NULL;
}

/* The structure has that head. */
static void take_head(struct sj_salvage *salvage, uint32_t number, struct salvage_head *head)
{
    struct salvage_structure *structure = &salvage->structure[number];
    head->structure = number;
    structure->head = head->at;
    structure->told.has_head = true;
    if (head->kind == SJ_KIND_BTREE) {
        const struct sj_btree_head *tree = (const struct sj_btree_head *)(uintptr_t)head->at;
        structure->told.kinds = (struct sj_kinds){sj_item_byte_kind(tree->first.key),
                                                  sj_item_byte_kind(tree->first.value)};
        structure->told.expected = tree->count;
    } else {
        const struct sj_hashmap_head *map = (const struct sj_hashmap_head *)(uintptr_t)head->at;
        structure->told.kinds = (struct sj_kinds){sj_item_byte_kind(map->node.count & 0xff),
                                                  sj_item_byte_kind(map->node.count >> 8)};
        structure->told.expected = map->count;
        structure->seed = map->seed;
        structure->hashes = true;
    }
}

static void add_root(struct sj_salvage *salvage, struct salvage_head *found)
{
    const struct sj_root *root = (const struct sj_root *)(uintptr_t)found->at;
    struct salvage_structure *made = add(salvage);
    if (made == NULL)
        return;
    found->structure = salvage->structures - 1;
    made->told.type = root->type;
    made->told.key_codec = root->key_codec;
    made->told.value_codec = root->value_codec;
    made->told.kinds =
        (struct sj_kinds){sj_codec_kind(root->key_codec), sj_codec_kind(root->value_codec)};
    made->told.name_bytes = root->name_bytes <= SJ_NAME_MAX ? root->name_bytes : SJ_NAME_MAX;
    memcpy(made->told.name, root->name, made->told.name_bytes);
    struct salvage_head *head = head_at(salvage, root->pointer, root->type);
    if (head != NULL)
        take_head(salvage, salvage->structures - 1, head);
    else
        salvage_tell(salvage, root->pointer, salvage->structures - 1, "the head of a structure");
}

/* Roots that the directory leads to; so many hops at most as there are candidates. */
static void add_listed_roots(struct sj_salvage *salvage)
{
    for (uint32_t bucket = 0; bucket < SJ_ROOT_BUCKETS; bucket++) {
        uint64_t at = salvage->segment->root_page->roots[bucket];
        for (uint64_t hops = 0; at != 0 && hops <= salvage->heads; hops++) {
            struct salvage_head *found = head_at(salvage, at, SJ_KIND_ROOT);
            if (found == NULL) {
                salvage_tell(salvage, at, NOBODY, "a root");
                break;
            }
            add_root(salvage, found);
            at = ((const struct sj_root *)(uintptr_t)found->at)->next;
        }
    }
}

static void find_structures(struct sj_salvage *salvage)
{
    add_listed_roots(salvage);
    for (uint64_t i = 0; i < salvage->heads; i++) {
        struct salvage_head *found = &salvage->head[i];
        if (found->structure == NOBODY && found->life == LIFE_USED && found->kind == SJ_KIND_ROOT)
            add_root(salvage, found);
    }
    for (uint64_t i = 0; i < salvage->heads; i++) {
        struct salvage_head *found = &salvage->head[i];
        if (found->structure != NOBODY || found->kind == SJ_KIND_ROOT || found->life == LIFE_FREE)
            continue;
        struct salvage_structure *made = add(salvage);
        if (made == NULL)
            return;
        made->told.type = found->kind;
        name_lost(salvage, made);
        take_head(salvage, salvage->structures - 1, found);
    }
}

/* ------------------------------------------------------------------ blocks by owner */

static const struct salvage_blocks *blocks_of(const struct sj_salvage *salvage, uint16_t type)
{
    return type == SJ_KIND_BTREE ? &salvage->leaves : &salvage->tables;
}

static void count_blocks(struct sj_salvage *salvage, const struct salvage_blocks *blocks)
{
    for (uint64_t i = 0; i < blocks->count; i++) {
        const struct salvage_block *block = &blocks->item[i];
        if (block->owner == NOBODY)
            continue;
        struct sj_salvage_structure *told = &salvage->structure[block->owner].told;
        told->blocks++;
        told->found += block->claim != block->owner;
    }
}

static void order_blocks(struct sj_salvage *salvage, const struct salvage_blocks *blocks)
{
    for (uint64_t i = 0; i < blocks->count; i++)
        if (blocks->item[i].owner != NOBODY)
            salvage->order[salvage->structure[blocks->item[i].owner].end++] = i;
}

/* Numbers of blocks, each structure's together. */
static void sort_blocks(struct sj_salvage *salvage)
{
    uint64_t first = 0;
    count_blocks(salvage, &salvage->leaves);
    count_blocks(salvage, &salvage->tables);
    for (uint32_t i = 0; i < salvage->structures; i++) {
        salvage->structure[i].first = salvage->structure[i].end = first;
        first += salvage->structure[i].told.blocks;
    }
    salvage->order = malloc((first + 1) * sizeof *salvage->order);
    if (salvage->order == NULL) {
        salvage->no_memory = true;
        return;
    }
    order_blocks(salvage, &salvage->leaves);
    order_blocks(salvage, &salvage->tables);
}

/* ------------------------------------------------------------------ the whole */

static void tell_pages(struct sj_salvage *salvage)
{
    const struct sj_remains *remains = salvage->remains;
    uint64_t base = (uint64_t)(uintptr_t)salvage->segment->base;
    for (uint64_t page = 0; page < remains->pages; page++) {
        if (remains->state[page] == SJ_REMAINS_SUSPECT)
            salvage_tell(salvage, base + page * SJ_PAGE, NOBODY, "a page's checksum does not fit");
        else if (remains->state[page] == SJ_REMAINS_LOST)
            salvage_tell(salvage, base + page * SJ_PAGE, NOBODY, "a page cannot be read");
    }
}

int sj_salvage_open(const char *path, const struct sj_remains_hint *hint,
                    struct sj_salvage **opened)
{
    struct sj_salvage *salvage = calloc(1, sizeof *salvage);
    if (salvage == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    int error = sj_remains_open(path, hint, &salvage->remains);
    if (error != SJ_OK) {
        free(salvage);
        return error;
    }
    salvage->segment = &salvage->remains->segment;
    tell_pages(salvage);
    salvage_scan(salvage);
    if (!salvage->no_memory)
        find_structures(salvage);
    if (!salvage->no_memory)
        salvage_trees(salvage);
    if (!salvage->no_memory)
        salvage_maps(salvage);
    if (!salvage->no_memory)
        sort_blocks(salvage);
    if (salvage->no_memory) {
        sj_salvage_close(salvage);
        return sj_error(SJ_ENOMEM, "what is left of %s", path);
    }
    *opened = salvage;
    return SJ_OK;
}

void sj_salvage_close(struct sj_salvage *salvage)
{
    sj_remains_close(salvage->remains);
    free(salvage->leaves.item);
    free(salvage->tables.item);
    free(salvage->head);
    free(salvage->structure);
    free(salvage->order);
    free(salvage->finding);
    free(salvage);
}

const struct sj_remains *sj_salvage_remains(const struct sj_salvage *salvage)
{
    return salvage->remains;
}

uint32_t sj_salvage_count(const struct sj_salvage *salvage)
{
    return salvage->structures;
}

const struct sj_salvage_structure *sj_salvage_structure(const struct sj_salvage *salvage,
                                                        uint32_t structure)
{
    return &salvage->structure[structure].told;
}

const struct sj_salvage_finding *sj_salvage_finding(const struct sj_salvage *salvage,
                                                    uint64_t number, uint64_t *all)
{
    *all = salvage->findings;
    return number < salvage->findings && number < salvage->findings_room && number < FINDINGS_MAX
               ? &salvage->finding[number]
               : NULL;
}

/* ------------------------------------------------------------------ reading */

static uint32_t slots_of(const struct sj_salvage *salvage, const struct salvage_structure *whose,
                         const struct salvage_block *block)
{
    if (whose->told.type == SJ_KIND_BTREE)
        return salvage_leaf_slots(salvage, block);
    return salvage_buckets(salvage, block) * SJ_HASHMAP_SLOTS;
}

static enum salvage_verdict entry_of(struct sj_salvage *salvage, struct salvage_structure *whose,
                                     uint32_t number, const struct salvage_block *block,
                                     const struct sj_salvage_cursor *cursor, struct sj_item *item)
{
    const char *why;
    enum salvage_verdict verdict =
        whose->told.type == SJ_KIND_BTREE
            ? salvage_leaf_entry(salvage, block, whose->told.kinds, cursor->slot, item, &why)
            : salvage_table_entry(salvage, block, whose, cursor->slot, item, &why);
    if (verdict == ENTRY_UNREADABLE && why != NULL && cursor->grade == SJ_SALVAGE_SOUND) {
        whose->told.unreadable++;
        salvage_tell(salvage, block->at, number, why);
    }
    return verdict;
}

uint32_t sj_salvage_read(struct sj_salvage *salvage, uint32_t structure,
                         struct sj_salvage_cursor *cursor, uint32_t wanted, struct sj_item *items)
{
    struct salvage_structure *whose = &salvage->structure[structure];
    const struct salvage_blocks *blocks = blocks_of(salvage, whose->told.type);
    uint32_t got = 0;
    for (; cursor->block < whose->end - whose->first; cursor->block++, cursor->slot = 0) {
        const struct salvage_block *block =
            &blocks->item[salvage->order[whose->first + cursor->block]];
        uint32_t slots = slots_of(salvage, whose, block);
        for (; cursor->slot < slots; cursor->slot++) {
            if (got == wanted)
                return got;
            got += entry_of(salvage, whose, structure, block, cursor, &items[got]) ==
                   (enum salvage_verdict)cursor->grade;
        }
    }
    return got;
}
