// SPDX-License-Identifier: Apache-2.0
/*
 * salvage.c: the structures of a damaged segment, from its roots and heads, and their entries
 * (salvage.h has the whole, salvage_parts.h says which file does what).
 *
 *   root ──pointer──→ head      a structure, with its name and codecs
 *   root ──pointer──→ ?         the same, without a head: its blocks are found by what they are
 *   head, in use                a structure "unnamed-1" or "lost-1", with its codecs
 *
 * A root counts when the directory leads to it, or when it is in use in the heap.
 */
#include "structures/salvage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "persistence/seam.h"
#include "structures/hashmap_search.h"
#include "structures/item_byte.h"
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
    made->told.limit = SJ_DEQUE_UNLIMITED;
    return made;
}

/* It has no root: references lead to it, or its root is gone, and its name with it. */
static void name_lost(struct sj_salvage *salvage, struct salvage_structure *structure)
{
    struct sj_salvage_structure *told = &structure->told;
    uint32_t number = told->shared ? ++salvage->unnamed : ++salvage->lost;
    told->lost = true;
    told->name_bytes = (uint16_t)snprintf(told->name, sizeof told->name, "%s-%u",
                                          told->shared ? "unnamed" : "lost", number);
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

/* What a head says of its items. */
static void take_bytes(struct sj_salvage_structure *told, uint8_t key, uint8_t value)
{
    told->kinds = (struct sj_kinds){sj_item_byte_kind(key), sj_item_byte_kind(value)};
    told->by_head = (struct sj_codecs){sj_item_byte_codec(key), sj_item_byte_codec(value)};
    told->shared = (key & SJ_ITEM_SHARED) != 0;
}

/* The structure has that head. */
static void take_head(struct sj_salvage *salvage, uint32_t number, struct salvage_head *head)
{
    struct salvage_structure *structure = &salvage->structure[number];
    struct sj_salvage_structure *told = &structure->told;
    head->structure = number;
    told->head = head->at;
    told->has_head = true;
    const struct sj_structure_head *first = (const void *)(uintptr_t)head->at;
    take_bytes(told, first->key, first->value);
    told->serial = first->serial;
    if (head->kind == SJ_KIND_BTREE) {
        told->expected = ((const struct sj_btree_head *)(const void *)first)->count;
    } else if (head->kind == SJ_KIND_LIST) {
        told->expected = ((const struct sj_list_head *)(const void *)first)->count;
    } else if (head->kind == SJ_KIND_HASHMAP) {
        const struct sj_hashmap_head *map = (const void *)first;
        told->serial = (uint32_t)map->seed;
        told->expected = map->count;
        structure->seed = map->seed;
        structure->hashes = true;
    } else if (head->kind == SJ_KIND_ARRAY || head->kind == SJ_KIND_COLUMNS) {
        told->expected = salvage_array_count(salvage, head->kind, head->at);
    } else {
        const struct sj_deque_head *deque = (const void *)first;
        told->expected = deque->state >> 16;
        told->limit = deque->limit;
    }
}

static void add_root(struct sj_salvage *salvage, struct salvage_head *found)
{
    const struct sj_root *root = (const struct sj_root *)(uintptr_t)found->at;
    if (!salvage_is_structure(root->type)) {
        found->structure = SKIPPED;
        salvage_tell(salvage, found->at, NOBODY, "a name of what is not salvaged");
        return;
    }
    struct salvage_structure *made = add(salvage);
    if (made == NULL)
        return;
    found->structure = salvage->structures - 1;
    made->told.type = root->type;
    made->told.by_root = (struct sj_codecs){root->key_codec, root->value_codec};
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
        take_head(salvage, salvage->structures - 1, found);
        name_lost(salvage, made);
    }
}

/* ------------------------------------------------------------------ blocks by owner */

static const struct salvage_blocks *blocks_of(const struct sj_salvage *salvage, uint16_t type)
{
    switch (type) {
    case SJ_KIND_BTREE:
        return &salvage->leaves;
    case SJ_KIND_HASHMAP:
        return &salvage->tables;
    case SJ_KIND_LIST:
        return &salvage->list_leaves;
    default:
        return &salvage->chunks;
    }
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

static int compare_ranks(const void *a, const void *b, void *context)
{
    const struct salvage_block *item = context;
    const struct salvage_block *first = &item[*(const uint64_t *)a];
    const struct salvage_block *second = &item[*(const uint64_t *)b];
    if (first->rank != second->rank)
        return first->rank < second->rank ? -1 : 1;
    return (first->at > second->at) - (first->at < second->at);
}

/* Numbers of blocks, each structure's together. */
static void sort_blocks(struct sj_salvage *salvage)
{
    const struct salvage_blocks *all[] = {&salvage->leaves, &salvage->tables, &salvage->chunks,
                                          &salvage->list_leaves};
    uint64_t first = 0;
    for (uint32_t i = 0; i < sizeof all / sizeof *all; i++)
        count_blocks(salvage, all[i]);
    for (uint32_t i = 0; i < salvage->structures; i++) {
        salvage->structure[i].first = salvage->structure[i].end = first;
        first += salvage->structure[i].told.blocks;
    }
    salvage->order = malloc((first + 1) * sizeof *salvage->order);
    if (salvage->order == NULL) {
        salvage->no_memory = true;
        return;
    }
    for (uint32_t i = 0; i < sizeof all / sizeof *all; i++)
        order_blocks(salvage, all[i]);
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct salvage_structure *one = &salvage->structure[i];
        if (salvage_is_sequence(one->told.type) && one->end - one->first > 1)
            qsort_r(&salvage->order[one->first], one->end - one->first, sizeof *salvage->order,
                    compare_ranks, blocks_of(salvage, one->told.type)->item);
    }
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
        salvage_deques(salvage);
    if (!salvage->no_memory)
        salvage_lists(salvage);
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
    free(salvage->chunks.item);
    free(salvage->list_leaves.item);
    free(salvage->list_inners.item);
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

uint64_t sj_salvage_passed_over(const struct sj_salvage *salvage)
{
    return salvage->passed_over;
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

/* The slots of a block that are to be looked at: from `*from` on. */
static uint32_t slots_of(const struct sj_salvage *salvage, const struct salvage_structure *whose,
                         const struct salvage_block *block, uint32_t *from)
{
    *from = 0;
    switch (whose->told.type) {
    case SJ_KIND_BTREE:
        return salvage_leaf_slots(salvage, block);
    case SJ_KIND_HASHMAP:
        return salvage_buckets(salvage, block) * SJ_HASHMAP_SLOTS;
    case SJ_KIND_LIST:
        return salvage_list_slots(salvage, block);
    default:
        *from = block->expected & 0xff;
        return (block->expected & ~CHUNK_DOUBT) >> 8;
    }
}

static enum salvage_verdict entry_of(struct sj_salvage *salvage, struct salvage_structure *whose,
                                     uint32_t number, const struct salvage_block *block,
                                     const struct sj_salvage_cursor *cursor, struct sj_item *item)
{
    const char *why;
    bool sequence = salvage_is_sequence(whose->told.type);
    enum salvage_verdict verdict =
        sequence ? salvage_sequence_entry(salvage, block, whose, cursor->slot, item, &why)
        : whose->told.type == SJ_KIND_BTREE
            ? salvage_leaf_entry(salvage, block, whose->told.kinds, cursor->slot, item, &why)
            : salvage_table_entry(salvage, block, whose, cursor->slot, item, &why);
    if (verdict == ENTRY_UNREADABLE && why != NULL && !cursor->quiet &&
        (sequence || cursor->grade == SJ_SALVAGE_SOUND)) {
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
    enum salvage_verdict worst = (enum salvage_verdict)cursor->grade;
    bool sequence = salvage_is_sequence(whose->told.type);
    uint32_t got = 0;
    for (; cursor->block < whose->end - whose->first; cursor->block++, cursor->slot = 0) {
        const struct salvage_block *block =
            &blocks->item[salvage->order[whose->first + cursor->block]];
        uint32_t from, slots = slots_of(salvage, whose, block, &from);
        cursor->slot = cursor->slot > from ? cursor->slot : from;
        for (; cursor->slot < slots; cursor->slot++) {
            if (got == wanted)
                return got;
            enum salvage_verdict verdict =
                entry_of(salvage, whose, structure, block, cursor, &items[got]);
            got += sequence ? verdict <= worst : verdict == worst;
            cursor->doubtful += verdict == ENTRY_SUSPECT || verdict == ENTRY_ODD;
        }
    }
    return got;
}
