// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_tree.c: whose a leaf is.
 *
 *   chains     A ⇄ B: each names the other
 *   claims     from each tree's head down, without trust: a child that is a leaf is claimed
 *   owners     a chain belongs to the tree that claims most of it; then, for those nobody claims:
 *              to the owner of a leaf that one of its leaves names, or that names the same leaf
 *              that is no more (A → x ← B); to the one tree that lacks items and has such kinds,
 *              or the one that lacks just as many; to none
 *
 * A damaged pointer of an inner node to a leaf of another tree, or to one that was freed, is one
 * claim against many: chains, not pointers, decide. A chain that the heap has as free counts only
 * when a tree claims at least half of it: what was cleared or dropped does not come back.
 *
 * The walk down goes by the kind of what it finds, not by the height; each inner node is visited
 * once, so it ends. Cost: O(leaves log leaves).
 */
#include <stdlib.h>

#include "structures/btree_node.h"
#include "structures/salvage_parts.h"

/* Of a chain, at the number of the leaf that stands for it. */
struct chain {
    uint32_t candidate; /* the owner, if any has more than half of the claims */
    uint32_t lead;
    uint32_t size;
    uint32_t claims;
    uint32_t used;
    uint32_t unknown;
    uint64_t items;
};

struct walk {
    struct sj_salvage *salvage;
    struct chain *chain;
    uint64_t *visited; /* one bit for 64 bytes of the file: inner nodes */
};

static struct salvage_block *leaf_number(const struct sj_salvage *salvage, uint64_t number)
{
    return &salvage->leaves.item[number];
}

static const struct sj_btree_leaf *media(const struct salvage_block *block)
{
    return (const struct sj_btree_leaf *)(uintptr_t)block->at;
}

/* ------------------------------------------------------------------ chains */

static uint32_t chain_of(struct sj_salvage *salvage, uint32_t number)
{
    struct salvage_block *item = salvage->leaves.item;
    while (item[number].chain != number) {
        item[number].chain = item[item[number].chain].chain;
        number = item[number].chain;
    }
    return number;
}

static void join(struct sj_salvage *salvage, uint64_t a, uint64_t b)
{
    uint32_t first = chain_of(salvage, (uint32_t)a), second = chain_of(salvage, (uint32_t)b);
    if (first < second)
        salvage->leaves.item[second].chain = first;
    else
        salvage->leaves.item[first].chain = second;
}

static bool is_live(const struct salvage_block *block)
{
    return block->life != LIFE_FREE;
}

static void join_leaves(struct sj_salvage *salvage)
{
    const struct salvage_blocks *leaves = &salvage->leaves;
    for (uint64_t number = 0; number < leaves->count; number++) {
        const struct salvage_block *block = leaf_number(salvage, number);
        uint64_t next = salvage_find(leaves, media(block)->next);
        if (next != UINT64_MAX && media(leaf_number(salvage, next))->previous == block->at)
            join(salvage, number, next);
    }
}

/* ------------------------------------------------------------------ claims */

static bool visit(struct walk *walk, uint64_t at)
{
    uint64_t granule = salvage_offset(walk->salvage, at) / 64;
    uint64_t *word = &walk->visited[granule / 64], bit = 1ull << granule % 64;
    bool first = (*word & bit) == 0;
    *word |= bit;
    return first;
}

static void claim(struct walk *walk, uint32_t tree, uint64_t number, uint64_t items)
{
    struct salvage_block *block = leaf_number(walk->salvage, number);
    struct chain *chain = &walk->chain[chain_of(walk->salvage, (uint32_t)number)];
    if (block->claim == NOBODY) {
        block->claim = tree;
        if (items <= SJ_BTREE_LEAF_ITEMS)
            block->expected = (uint16_t)(items + 1);
        chain->claims++;
    }
    if (chain->lead == 0)
        chain->candidate = tree;
    chain->lead += chain->candidate == tree ? 1u : (uint32_t)-1;
}

struct step {
    const struct sj_btree_inner *inner;
    uint32_t index;
    uint32_t count;
};

/* The inner node at an address that was read, if it was not visited yet. */
static bool enter(struct walk *walk, const struct sj_btree *tree, uint64_t at, struct step *step)
{
    const struct sj_btree_inner *inner = inner_at(tree, at, btree_bytes(tree));
    if (inner == NULL || !visit(walk, at))
        return false;
    *step = (struct step){inner, 0, inner_count(inner, btree_bytes(tree))};
    return true;
}

/* What a pointer leads to: a leaf, which is claimed, or an inner node. Whether to go down. */
static bool follow(struct walk *walk, uint32_t number, const struct sj_btree *tree, uint64_t at,
                   uint64_t items, struct step *step)
{
    uint64_t leaf = salvage_find(&walk->salvage->leaves, at);
    if (leaf != UINT64_MAX) {
        claim(walk, number, leaf, items);
        return false;
    }
    if (enter(walk, tree, at, step))
        return true;
    salvage_tell(walk->salvage, at, number, "a node of a B-tree");
    return false;
}

static void walk_tree(struct walk *walk, uint32_t number)
{
    const struct salvage_structure *structure = &walk->salvage->structure[number];
    const struct sj_btree_head *head =
        (const struct sj_btree_head *)(uintptr_t)structure->told.head;
    const struct sj_btree tree = {.segment = walk->salvage->segment,
                                  .kinds = structure->told.kinds};
    struct step step[SJ_BTREE_HEIGHT_MAX + 1];
    uint32_t depth = 0;
    bool bytes = btree_bytes(&tree);
    if (follow(walk, number, &tree, head->top, head->height == 0 ? head->count : UINT64_MAX,
               &step[0]))
        depth = 1;
    while (depth > 0) {
        struct step *now = &step[depth - 1];
        if (now->index == now->count) {
            depth--;
            continue;
        }
        struct sj_btree_inner *inner = (struct sj_btree_inner *)(uintptr_t)now->inner;
        uint32_t index = now->index++;
        uint64_t child = inner_children(inner, bytes)[index];
        uint64_t items = inner_items(inner, bytes)[index];
        if (depth > SJ_BTREE_HEIGHT_MAX)
            salvage_tell(walk->salvage, child, number, "a node of a B-tree, too deep");
        else if (follow(walk, number, &tree, child, items, &step[depth]))
            depth++;
    }
}

/* ------------------------------------------------------------------ owners */

static void give(struct sj_salvage *salvage, const struct chain *chain, uint32_t top,
                 uint32_t owner)
{
    leaf_number(salvage, top)->owner = owner;
    salvage->structure[owner].items += chain->items;
}

static uint32_t owner_of(struct sj_salvage *salvage, uint64_t number)
{
    return leaf_number(salvage, chain_of(salvage, (uint32_t)number))->owner;
}

static void count_chains(struct sj_salvage *salvage, struct chain *chain)
{
    for (uint64_t number = 0; number < salvage->leaves.count; number++) {
        const struct salvage_block *block = leaf_number(salvage, number);
        struct chain *its = &chain[chain_of(salvage, (uint32_t)number)];
        its->size++;
        its->used += block->life == LIFE_USED;
        its->unknown += block->life == LIFE_UNKNOWN;
        its->items += media(block)->node.count;
    }
}

/* Chains that trees claim. */
static void give_claimed(struct sj_salvage *salvage, struct chain *chain)
{
    for (uint32_t number = 0; number < salvage->leaves.count; number++) {
        struct chain *its = &chain[number];
        if (chain_of(salvage, number) != number || its->claims == 0)
            continue;
        if (its->used > 0 || its->unknown > 0 || 2ull * its->claims >= its->size)
            give(salvage, its, number, its->candidate);
    }
}

/* Whether a chain that nobody claims has something to give. */
static bool is_orphan(struct sj_salvage *salvage, const struct chain *chain, uint32_t number)
{
    return chain_of(salvage, number) == number && leaf_number(salvage, number)->owner == NOBODY &&
           chain[number].items > 0 &&
           (chain[number].used > 0 || (chain[number].unknown > 0 && salvage->broken_heap));
}

/* Chains one of whose leaves names a leaf that has an owner. */
static void give_to_neighbours(struct sj_salvage *salvage, struct chain *chain)
{
    for (uint32_t number = 0; number < salvage->leaves.count; number++) {
        const struct salvage_block *block = leaf_number(salvage, number);
        uint32_t top = chain_of(salvage, number);
        if (!is_live(block) || chain[top].used == 0 || !is_orphan(salvage, chain, top))
            continue;
        uint64_t link[2] = {media(block)->next, media(block)->previous};
        for (uint32_t way = 0; way < 2; way++) {
            uint64_t other = salvage_find(&salvage->leaves, link[way]);
            uint32_t owner = other == UINT64_MAX ? NOBODY : owner_of(salvage, other);
            if (owner == NOBODY || leaf_number(salvage, top)->owner != NOBODY ||
                !salvage_leaf_fits(salvage, block, salvage->structure[owner].told.kinds))
                continue;
            give(salvage, &chain[top], top, owner);
        }
    }
}

/* ------------------------------------------------------------------ gaps */

/* A link of a leaf in use that leads to no leaf. */
struct gap {
    uint64_t at;
    uint32_t leaf;
};

static int compare_gaps(const void *a, const void *b)
{
    const struct gap *first = a, *second = b;
    return (first->at > second->at) - (first->at < second->at);
}

/* Two leaves that name the same missing one. */
static void bridge(struct sj_salvage *salvage, struct chain *chain, uint32_t a, uint32_t b)
{
    uint32_t first = chain_of(salvage, a), second = chain_of(salvage, b);
    bool given = leaf_number(salvage, first)->owner != NOBODY;
    if (first == second || (given && leaf_number(salvage, second)->owner != NOBODY))
        return;
    if (leaf_number(salvage, second)->owner != NOBODY)
        give(salvage, &chain[first], first, leaf_number(salvage, second)->owner);
    else if (given)
        give(salvage, &chain[second], second, leaf_number(salvage, first)->owner);
    uint32_t owner = leaf_number(salvage, first)->owner;
    struct chain both = {.candidate = chain[first].candidate,
                         .size = chain[first].size + chain[second].size,
                         .claims = chain[first].claims + chain[second].claims,
                         .used = chain[first].used + chain[second].used,
                         .unknown = chain[first].unknown + chain[second].unknown,
                         .items = chain[first].items + chain[second].items};
    join(salvage, first, second);
    chain[chain_of(salvage, first)] = both;
    leaf_number(salvage, chain_of(salvage, first))->owner = owner;
}

static void give_over_gaps(struct sj_salvage *salvage, struct chain *chain)
{
    struct gap *gap = malloc(2 * sizeof *gap * (salvage->leaves.count + 1));
    uint64_t gaps = 0;
    if (gap == NULL) {
        salvage->no_memory = true;
        return;
    }
    for (uint32_t number = 0; number < salvage->leaves.count; number++) {
        const struct salvage_block *block = leaf_number(salvage, number);
        uint64_t link[2] = {media(block)->next, media(block)->previous};
        if (block->life != LIFE_USED && owner_of(salvage, number) == NOBODY)
            continue;
        for (uint32_t way = 0; way < 2; way++)
            if (link[way] != 0 && salvage_find(&salvage->leaves, link[way]) == UINT64_MAX)
                gap[gaps++] = (struct gap){link[way], number};
    }
    if (gaps > 1)
        qsort(gap, gaps, sizeof *gap, compare_gaps);
    for (uint64_t i = 1; i < gaps; i++)
        if (gap[i].at == gap[i - 1].at)
            bridge(salvage, chain, gap[i].leaf, gap[i - 1].leaf);
    free(gap);
}

/* ------------------------------------------------------------------ the rest */

/* Kinds that the leaves of a chain look like: the ones that are hardest to look like come first. */
static struct sj_kinds kinds_of(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    static const struct sj_kinds kinds[] = {{SJ_ITEM_BYTES, SJ_ITEM_BYTES},
                                            {SJ_ITEM_WORD, SJ_ITEM_BYTES}};
    uint32_t count = media(block)->node.count, addresses = 0;
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (salvage_leaf_fits(salvage, block, kinds[i]))
            return kinds[i];
    count = count < SJ_BTREE_LEAF_ITEMS ? count : SJ_BTREE_LEAF_ITEMS;
    for (uint32_t i = 0; i < count; i++)
        addresses += salvage_is_address(salvage, media(block)->slot[i]);
    if (2 * addresses > count) /* of what is not there any more */
        return kinds[0];
    return (struct sj_kinds){SJ_ITEM_WORD, SJ_ITEM_WORD};
}

/* The tree that lacks items and may have these: NOBODY when several may. */
static uint32_t who_lacks(const struct sj_salvage *salvage, const struct salvage_block *block,
                          uint64_t items)
{
    struct sj_kinds kinds = kinds_of(salvage, block);
    uint32_t found = NOBODY, exact = NOBODY, candidates = 0, exacts = 0;
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct salvage_structure *tree = &salvage->structure[i];
        if (tree->told.type != SJ_KIND_BTREE || (tree->told.lost && !tree->told.has_head) ||
            tree->told.kinds.key != kinds.key ||
            (kinds.key == SJ_ITEM_WORD && !salvage_leaf_fits(salvage, block, tree->told.kinds)) ||
            (tree->told.has_head && tree->items >= tree->told.expected))
            continue;
        found = i;
        candidates++;
        if (tree->told.has_head && tree->told.expected - tree->items == items) {
            exact = i;
            exacts++;
        }
    }
    return candidates == 1 ? found : exacts == 1 ? exact : NOBODY;
}

static void give_the_rest(struct sj_salvage *salvage, struct chain *chain)
{
    for (uint32_t number = 0; number < salvage->leaves.count; number++) {
        if (!is_orphan(salvage, chain, number))
            continue;
        const struct salvage_block *block = leaf_number(salvage, number);
        uint32_t owner = who_lacks(salvage, block, chain[number].items);
        if (owner == NOBODY)
            owner = salvage_lost(salvage, SJ_KIND_BTREE, kinds_of(salvage, block));
        if (owner != NOBODY)
            give(salvage, &chain[number], number, owner);
    }
}

/* Each leaf has its chain's owner; nothing says of one that nobody claims, in a chain of which the
 * heap has none in use, that it is. */
static void settle(struct sj_salvage *salvage, const struct chain *chain)
{
    for (uint64_t number = 0; number < salvage->leaves.count; number++) {
        struct salvage_block *block = leaf_number(salvage, number);
        const struct chain *its = &chain[chain_of(salvage, (uint32_t)number)];
        block->owner = owner_of(salvage, number);
        if (its->used == 0 && its->claims == 0)
            block->life = LIFE_FREE;
    }
}

void salvage_trees(struct sj_salvage *salvage)
{
    uint64_t granules = sj_segment_committed(salvage->segment) / 64 + 1;
    struct walk walk = {.salvage = salvage,
                        .chain = calloc(salvage->leaves.count + 1, sizeof *walk.chain),
                        .visited = calloc(granules / 64 + 1, sizeof *walk.visited)};
    salvage->no_memory |= walk.chain == NULL || walk.visited == NULL;
    if (!salvage->no_memory)
        join_leaves(salvage);
    if (!salvage->no_memory) {
        count_chains(salvage, walk.chain);
        for (uint32_t i = 0; i < salvage->structures; i++)
            if (salvage->structure[i].told.type == SJ_KIND_BTREE &&
                salvage->structure[i].told.head != 0)
                walk_tree(&walk, i);
        give_claimed(salvage, walk.chain);
        give_to_neighbours(salvage, walk.chain);
        give_over_gaps(salvage, walk.chain);
        give_the_rest(salvage, walk.chain);
        settle(salvage, walk.chain);
    }
    free(walk.chain);
    free(walk.visited);
}
