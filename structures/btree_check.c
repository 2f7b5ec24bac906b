// SPDX-License-Identifier: Apache-2.0
/*
 * btree_check.c: every invariant of btree_layout.h, I1 … I7, verified by whole keys.
 *
 * The walk is depth first, left to right, and carries the two fences of the node it is at. Keys
 * must lie between them and ascend, so no leaf can be met twice: the walk ends on any media.
 *
 * Cost: O(n); reads every block of the tree.
 */
#include "structures/btree_plan.h"

struct walk {
    const struct sj_btree *tree;
    sj_heap_visit *visit;
    void *context;
    struct sj_btree_leaf *last; /* the leaf before, or NULL */
    uint64_t budget;            /* nodes that may still come */
};

/* A node's two fences. For word keys a missing one is told by `has_…` alone. */
struct range {
    struct btree_fence low, high;
    bool has_low, has_high;
};

static int bad(const struct walk *walk, const void *at, const char *expected)
{
    return sj_segment_damaged(walk->tree->segment, address_of(at), expected);
}

/* The tree has the block, of at least `bytes` bytes. */
static int visit_block(struct walk *walk, uint64_t block, uint64_t bytes)
{
    uint64_t usable = sj_heap_usable(walk->tree->segment, block);
    if (usable < bytes)
        return sj_segment_damaged(walk->tree->segment, block, "a block in use, large enough");
    return walk->visit == NULL ? SJ_OK : walk->visit(walk->context, block, usable);
}

/* ------------------------------------------------------------------ leaves */

/* The block that a slot leads to, and what is in it. */
static int check_slot(struct walk *walk, const struct sj_btree_leaf *leaf, uint32_t at,
                      struct sj_item *item)
{
    const struct sj_btree *tree = walk->tree;
    int error = sj_slot_item(tree->segment, tree->kinds, leaf->key[at], &leaf->slot[at], item);
    if (error != SJ_OK || btree_plain(tree))
        return error;
    uint64_t block = leaf->slot[at];
    if (btree_bytes(tree))
        return visit_block(walk, block, sj_entry_bytes((const struct sj_entry *)(uintptr_t)block));
    if ((block & 7) != 0)
        return SJ_OK; /* an inline value */
    return visit_block(walk, block, sizeof(struct sj_blob) + item->value.size);
}

/* Whether a key lies between the fences. */
static bool is_inside(const struct sj_btree *tree, const struct range *range,
                      const struct sj_key *key)
{
    if (!btree_bytes(tree))
        return (!range->has_low || range->low.word <= key->word) &&
               (!range->has_high || key->word < range->high.word);
    struct btree_text text = key_text(key);
    return (!range->has_low || text_compare(range->low.text, text) <= 0) &&
           (!range->has_high || text_compare(text, range->high.text) < 0);
}

static bool is_before(const struct sj_btree *tree, const struct sj_key *a, const struct sj_key *b)
{
    if (!btree_bytes(tree))
        return a->word < b->word;
    return text_compare(key_text(a), key_text(b)) < 0;
}

static int check_items(struct walk *walk, const struct sj_btree_leaf *leaf,
                       const struct range *range)
{
    const struct sj_btree *tree = walk->tree;
    struct sj_item item, before = {0};
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        int error = check_slot(walk, leaf, i, &item);
        if (error != SJ_OK)
            return error;
        if (i > 0 && !is_before(tree, &before.key, &item.key))
            return bad(walk, &leaf->key[i], "a key above the one before it (I1)");
        if (!is_inside(tree, range, &item.key))
            return bad(walk, &leaf->key[i], "a key between its node's fences (I2)");
        if (btree_bytes(tree) && leaf->key[i] != text_fragment(key_text(&item.key), leaf->node.aux))
            return bad(walk, &leaf->key[i], "the fragment of the slot's key");
        before = item;
    }
    return SJ_OK;
}

static int check_leaf(struct walk *walk, uint64_t at, const struct range *range, bool lone,
                      uint64_t *items)
{
    struct sj_btree_leaf *leaf = leaf_at(walk->tree, at, !lone);
    if (leaf == NULL)
        return damaged_leaf(walk->tree, at);
    int error = visit_block(walk, at, sizeof *leaf);
    if (error != SJ_OK)
        return error;
    if (leaf->node.aux != btree_skip(&range->low, &range->high))
        return bad(walk, leaf, "a leaf whose skip fits its fences (I3)");
    if (leaf->previous != address_of(walk->last))
        return bad(walk, &leaf->previous, "the address of the leaf before (I5)");
    if (walk->last != NULL && walk->last->next != at)
        return bad(walk, &walk->last->next, "the address of the leaf after (I5)");
    walk->last = leaf;
    *items = leaf->node.count;
    return check_items(walk, leaf, range);
}

/* ------------------------------------------------------------------ inner nodes */

/* The separator `index` of a node, checked against the fences and the one before it. */
static int check_separator(struct walk *walk, struct sj_btree_inner *inner, uint32_t index,
                           const struct range *range, const struct btree_fence *before,
                           struct btree_fence *fence)
{
    const struct sj_btree *tree = walk->tree;
    const uint64_t *key = &inner_keys(inner)[index];
    *fence = (struct btree_fence){.word = *key};
    if (btree_bytes(tree)) {
        fence->block = inner_separators(inner)[index];
        fence->text = separator_at(tree, fence->block);
        if (fence->text.bytes == NULL)
            return damaged_separator(tree, fence->block);
        int error =
            visit_block(walk, fence->block, sizeof(struct sj_btree_separator) + fence->text.size);
        if (error != SJ_OK)
            return error;
        if (*key != text_fragment(fence->text, inner->node.aux))
            return bad(walk, key, "the fragment of the separator");
    }
    struct sj_key as_key = {
        .word = fence->word, .bytes = fence->text.bytes, .size = fence->text.size};
    struct sj_key last = {
        .word = before->word, .bytes = before->text.bytes, .size = before->text.size};
    if (!is_inside(tree, range, &as_key) || (index > 1 && !is_before(tree, &last, &as_key)))
        return bad(walk, key, "a separator above the one before it (I1)");
    return SJ_OK;
}

/* What is not in use in an inner node has the value that it must have. */
static int check_unused(const struct walk *walk, struct sj_btree_inner *inner)
{
    bool bytes = btree_bytes(walk->tree);
    if (inner_keys(inner)[0] != 0 || (bytes && inner_separators(inner)[0] != 0))
        return bad(walk, inner, "an inner node without a first separator (I2)");
    for (uint32_t i = inner->node.count; i < inner_fanout(bytes); i++)
        if (inner_keys(inner)[i] != BTREE_UNUSED_KEY)
            return bad(walk, &inner_keys(inner)[i], "all ones (I7)");
    return SJ_OK;
}

static int check_node(struct walk *walk, uint64_t at, uint64_t level, const struct range *range,
                      bool lone, uint64_t *items);

static int check_children(struct walk *walk, struct sj_btree_inner *inner, uint64_t level,
                          const struct range *range, uint64_t *items)
{
    bool bytes = btree_bytes(walk->tree);
    struct range part = *range;
    struct btree_fence fence = {0};
    *items = 0;
    for (uint32_t i = 0; i < inner->node.count; i++) {
        uint64_t below;
        part.has_high = i + 1 < inner->node.count || range->has_high;
        part.high = range->high;
        if (i + 1 < inner->node.count) {
            int error = check_separator(walk, inner, i + 1, range, &fence, &part.high);
            if (error != SJ_OK)
                return error;
        }
        int error =
            check_node(walk, inner_children(inner, bytes)[i], level - 1, &part, false, &below);
        if (error != SJ_OK)
            return error;
        if (below != inner_items(inner, bytes)[i])
            return bad(walk, &inner_items(inner, bytes)[i], "the number of items below (I4)");
        *items += below;
        fence = part.low = part.high;
        part.has_low = true;
    }
    return SJ_OK;
}

static int check_inner(struct walk *walk, uint64_t at, uint64_t level, const struct range *range,
                       uint64_t *items)
{
    struct sj_btree_inner *inner = inner_at(walk->tree, at, btree_bytes(walk->tree));
    if (inner == NULL)
        return damaged_inner(walk->tree, at);
    int error = visit_block(walk, at, sizeof *inner);
    if (error == SJ_OK && inner->node.aux != btree_skip(&range->low, &range->high))
        error = bad(walk, inner, "an inner node whose skip fits its fences (I3)");
    if (error == SJ_OK)
        error = check_unused(walk, inner);
    return error == SJ_OK ? check_children(walk, inner, level, range, items) : error;
}

static int check_node(struct walk *walk, uint64_t at, uint64_t level, const struct range *range,
                      bool lone, uint64_t *items)
{
    if (walk->budget-- == 0)
        return sj_segment_damaged(walk->tree->segment, at, "a B-tree without cycles");
    return level == 0 ? check_leaf(walk, at, range, lone, items)
                      : check_inner(walk, at, level, range, items);
}

int sj_btree_check(const struct sj_btree *tree, sj_heap_visit *visit, void *context)
{
    const struct sj_btree_head *head = tree->head;
    struct walk walk = {.tree = tree,
                        .visit = visit,
                        .context = context,
                        .budget =
                            sj_segment_committed(tree->segment) / sizeof(struct sj_btree_leaf)};
    static const struct range everything;
    uint64_t items;
    if (head->height > SJ_BTREE_HEIGHT_MAX)
        return damaged_height(tree);
    int error = visit_block(&walk, address_of(head), sizeof *head);
    if (error == SJ_OK)
        error = check_node(&walk, head->top, head->height, &everything, head->height == 0, &items);
    if (error != SJ_OK)
        return error;
    if (walk.last->next != 0)
        return bad(&walk, &walk.last->next, "the end of the leaves (I5)");
    if (items != head->count)
        return bad(&walk, &head->count, "the number of items (I4)");
    return SJ_OK;
}
