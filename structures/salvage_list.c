// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_list.c: whose a leaf of a list is, and in which order they come.
 *
 *   claims    from each list's head down: a child that is a leaf is claimed, with the items that
 *             its parent says it has; of two lists that name one leaf the first gets it, unless
 *             the leaf has as many items as the second says, and not the first
 *   orphans   inner nodes in use that nothing leads to, from the highest down, then single leaves:
 *             to the one list that lacks items, or just as many; else to a list "lost-1" …
 *   order     as the inner nodes have it; what was found comes behind it, by address
 *
 * Leaves have no links, so the inner nodes alone know their order: where one is lost, that of its
 * leaves is a guess. What was found for a sorted list gets into its place in the new store.
 *
 * Each inner node is visited once, so all walks end. Cost: O(leaves log leaves), times the lists
 * for what nothing leads to.
 */
#include "structures/salvage_parts.h"

struct walk {
    struct sj_salvage *salvage;
    uint32_t list;  /* that gets what is found; NOBODY: the leaves are counted */
    uint32_t rank;  /* of the next leaf */
    uint64_t items; /* in the leaves */
    uint64_t leaf;  /* the number of the first leaf; UINT64_MAX: there is none */
    bool named;     /* by the list's head */
};

struct step {
    const struct sj_list_inner *inner;
    uint32_t index;
    uint32_t count;
};

static struct salvage_block *leaf_number(const struct sj_salvage *salvage, uint64_t number)
{
    return &salvage->list_leaves.item[number];
}

static const struct sj_list_leaf *media(const struct salvage_block *block)
{
    return (const struct sj_list_leaf *)(uintptr_t)block->at;
}

static bool is_used(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    return block->life == LIFE_USED || (block->life == LIFE_UNKNOWN && salvage->broken_heap);
}

/* ------------------------------------------------------------------ claims */

static void claim(struct walk *walk, uint64_t number, uint64_t items)
{
    struct salvage_block *block = leaf_number(walk->salvage, number);
    uint64_t count = media(block)->node.count;
    if (block->owner != NOBODY) {
        bool better = block->expected != count + 1 && items == count && block->owner != walk->list;
        if (!better)
            return;
        walk->salvage->structure[block->owner].items -= count;
    } else if (block->life == LIFE_FREE && items != count)
        return;
    if (walk->leaf == UINT64_MAX)
        walk->leaf = number;
    walk->items += count;
    if (walk->list == NOBODY)
        return;
    block->owner = walk->list;
    block->claim = walk->named ? walk->list : NOBODY;
    if (!walk->named && block->life == LIFE_UNKNOWN)
        block->life = LIFE_FREE; /* nothing says that it is in use */
    block->rank = walk->rank++;
    block->expected = items <= SJ_LIST_LEAF_SLOTS ? (uint16_t)(items + 1) : 0;
    walk->salvage->structure[walk->list].items += count;
}

/* Whether there is an inner node that this walk is the first to come to. */
static bool enter(struct walk *walk, uint64_t at, struct step *step)
{
    uint64_t number = salvage_find(&walk->salvage->list_inners, at);
    if (number == UINT64_MAX)
        return false;
    struct salvage_block *block = &walk->salvage->list_inners.item[number];
    uint32_t mark = walk->list == NOBODY ? NOBODY - 1 : walk->list;
    if (block->claim != NOBODY && (walk->list == NOBODY || block->claim != NOBODY - 1))
        return false;
    block->claim = mark;
    uint32_t count = ((const struct sj_list_inner *)(uintptr_t)at)->node.count;
    *step = (struct step){(const struct sj_list_inner *)(uintptr_t)at, 0,
                          count < SJ_LIST_FANOUT ? count : SJ_LIST_FANOUT};
    return true;
}

static bool follow(struct walk *walk, uint64_t at, uint64_t items, struct step *step)
{
    uint64_t leaf = salvage_find(&walk->salvage->list_leaves, at);
    if (leaf != UINT64_MAX) {
        claim(walk, leaf, items);
        return false;
    }
    if (enter(walk, at, step))
        return true;
    if (walk->named)
        salvage_tell(walk->salvage, at, walk->list, "a node of a list");
    return false;
}

/* From a node down. `items`: below it; UINT64_MAX: nothing says. */
static void walk_down(struct walk *walk, uint64_t at, uint64_t items)
{
    struct step step[SJ_LIST_HEIGHT_MAX + 1];
    uint32_t depth = follow(walk, at, items, &step[0]) ? 1 : 0;
    while (depth > 0) {
        struct step *now = &step[depth - 1];
        if (now->index == now->count) {
            depth--;
            continue;
        }
        uint32_t index = now->index++;
        uint64_t below = index + 1 < now->count /* of the last one its grandparent would know */
                             ? now->inner->before[index + 1] - now->inner->before[index]
                             : UINT64_MAX;
        if (depth > SJ_LIST_HEIGHT_MAX) {
            if (walk->named)
                salvage_tell(walk->salvage, at, walk->list, "a node of a list, too deep");
        } else if (follow(walk, now->inner->child[index], below, &step[depth])) {
            depth++;
        }
    }
}

static void claim_lists(struct sj_salvage *salvage)
{
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct sj_salvage_structure *told = &salvage->structure[i].told;
        if (told->type != SJ_KIND_LIST || !told->has_head)
            continue;
        const struct sj_list_head *head = (const struct sj_list_head *)(uintptr_t)told->head;
        struct walk walk = {salvage, i, RANK_FIRST, 0, UINT64_MAX, true};
        if (head->top != 0)
            walk_down(&walk, head->top, head->height == 0 ? head->count : UINT64_MAX);
    }
}

/* ------------------------------------------------------------------ orphans */

static bool fits(const struct sj_salvage *salvage, const struct salvage_block *block,
                 struct sj_kinds kinds)
{
    uint32_t slots = salvage_list_slots(salvage, block), found = 0;
    for (uint32_t slot = 0; slot < slots; slot++)
        found += salvage_slot_fits(salvage, kinds, &media(block)->slot[slot]);
    return 2 * found >= slots;
}

static struct sj_kinds kinds_of(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    static const struct sj_kinds kinds[] = {{SJ_ITEM_BYTES, SJ_ITEM_WORD},
                                            {SJ_ITEM_WORD, SJ_ITEM_BYTES}};
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (fits(salvage, block, kinds[i]))
            return kinds[i];
    return (struct sj_kinds){SJ_ITEM_WORD, SJ_ITEM_WORD};
}

/* The list that lacks items and may have these: NOBODY when several may. */
static uint32_t who_lacks(const struct sj_salvage *salvage, const struct salvage_block *block,
                          uint64_t items)
{
    struct sj_kinds kinds = kinds_of(salvage, block);
    uint32_t found = NOBODY, exact = NOBODY, candidates = 0, exacts = 0;
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct salvage_structure *list = &salvage->structure[i];
        const struct sj_salvage_structure *told = &list->told;
        if (told->type != SJ_KIND_LIST || (told->lost && !told->has_head) ||
            told->kinds.key != kinds.key || told->kinds.value != kinds.value ||
            (told->has_head && list->items >= told->expected))
            continue;
        found = i;
        candidates++;
        if (told->has_head && told->expected - list->items == items) {
            exact = i;
            exacts++;
        }
    }
    return candidates == 1 ? found : exacts == 1 ? exact : NOBODY;
}

/* A structure for what a node leads to; NOBODY: there is nothing. */
static uint32_t owner_for(struct sj_salvage *salvage, uint64_t at)
{
    struct walk count = {salvage, NOBODY, 0, 0, UINT64_MAX, false};
    walk_down(&count, at, UINT64_MAX);
    if (count.leaf == UINT64_MAX || count.items == 0)
        return NOBODY;
    const struct salvage_block *first = leaf_number(salvage, count.leaf);
    uint32_t owner = who_lacks(salvage, first, count.items);
    return owner != NOBODY ? owner : salvage_lost(salvage, SJ_KIND_LIST, kinds_of(salvage, first));
}

/* Marks inner nodes that others, which nothing leads to either, have as children. */
static void mark_children(struct sj_salvage *salvage)
{
    const struct salvage_blocks *inners = &salvage->list_inners;
    for (uint64_t i = 0; i < inners->count; i++) {
        const struct sj_list_inner *inner = (const void *)(uintptr_t)inners->item[i].at;
        uint32_t count = inner->node.count < SJ_LIST_FANOUT ? inner->node.count : SJ_LIST_FANOUT;
        if (inners->item[i].claim != NOBODY || !is_used(salvage, &inners->item[i]))
            continue;
        for (uint32_t child = 0; child < count; child++) {
            uint64_t number = salvage_find(inners, inner->child[child]);
            if (number != UINT64_MAX && number != i)
                inners->item[number].owner = (uint32_t)i;
        }
    }
}

static void give_orphans(struct sj_salvage *salvage)
{
    struct walk walk = {.salvage = salvage, .rank = RANK_FOUND, .leaf = UINT64_MAX};
    const struct salvage_blocks *inners = &salvage->list_inners;
    mark_children(salvage);
    for (uint32_t pass = 0; pass < 2; pass++) /* then what is a circle */
        for (uint64_t i = 0; i < inners->count; i++) {
            const struct salvage_block *block = &inners->item[i];
            if (block->claim != NOBODY || !is_used(salvage, block) ||
                (pass == 0 && block->owner != NOBODY))
                continue;
            walk.list = owner_for(salvage, block->at);
            if (walk.list != NOBODY)
                walk_down(&walk, block->at, UINT64_MAX);
        }
    for (uint64_t number = 0; number < salvage->list_leaves.count; number++) {
        const struct salvage_block *block = leaf_number(salvage, number);
        if (block->owner != NOBODY || !is_used(salvage, block))
            continue;
        walk.list = owner_for(salvage, block->at);
        if (walk.list != NOBODY)
            walk_down(&walk, block->at, UINT64_MAX);
    }
}

void salvage_lists(struct sj_salvage *salvage)
{
    claim_lists(salvage);
    give_orphans(salvage);
}
