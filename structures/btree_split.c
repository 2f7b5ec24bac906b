// SPDX-License-Identifier: Apache-2.0
/*
 * btree_split.c: an insertion into a full leaf.
 *
 *   before        P | … a | b … |             after       P | … a | x | b … |
 *                       ↓                                     ↓   ↓
 *                   | a c … x z |  + y                   | a c … | ⇄ | x y z |
 *
 * The leaf stays where it is and keeps the left part; the right part goes to a fresh leaf, whose
 * separator is inserted into the parent, which may be full, and so on up to a new top.
 *
 * Where a node is cut decides how full the nodes become. Ascending runs (and appends to the tree)
 * leave everything up to the new item in the left node, which so stays full; descending runs (and
 * prepends) everything but it in the right one; else a node is cut in the middle.
 *
 * Crash rule: one operation of btree_plan.h. Cost: amortised O(1) an insertion.
 */
#include "structures/btree_plan.h"

#define RUN_LEAST 4 /* insertions in a row that make a run */

/* A child that is going to be inserted behind the one that was split. */
struct split {
    struct btree_fence fence;
    uint64_t right; /* address of the fresh node */
    uint64_t right_items;
    uint64_t left_items;
    int32_t run; /* > 0 ascending, < 0 descending, 0 neither */
};

/* Which kind of run an insertion at `at` of a full leaf belongs to. */
static int32_t run_kind(const struct sj_btree_leaf *leaf, uint32_t at, int32_t run)
{
    if (leaf->next == 0 && at == SJ_BTREE_LEAF_ITEMS)
        return 1;
    if (leaf->previous == 0 && at == 0)
        return -1;
    if (run >= RUN_LEAST)
        return 1;
    return run <= -RUN_LEAST ? -1 : 0;
}

/* Where `total` elements are cut when element `at` is the new one and each part has ≥ `least`. */
static uint32_t cut_at(uint32_t total, uint32_t at, uint32_t least, int32_t run)
{
    uint32_t cut = total / 2;
    if (run > 0)
        cut = at + 1 < total ? at + 1 : at;
    else if (run < 0)
        cut = at > 0 ? at : 1;
    if (cut < least)
        return least;
    return cut > total - least ? total - least : cut;
}

/* The skips of the two parts of a node, from the fences around it. */
static int part_skips(const struct btree_plan *plan, uint32_t step,
                      const struct btree_fence *middle, uint32_t *left, uint32_t *right)
{
    struct btree_fence low, high;
    *left = *right = 0;
    if (!btree_bytes(plan->tree) || step >= plan->path->height)
        return SJ_OK;
    uint32_t index = plan->path->step[step].index;
    int error = btree_fence_low(plan->tree, plan->path, step, index, &low);
    if (error == SJ_OK)
        error = btree_fence_high(plan->tree, plan->path, step, index, &high);
    if (error != SJ_OK)
        return error;
    *left = btree_skip(&low, middle);
    *right = btree_skip(middle, &high);
    return SJ_OK;
}

/* The fresh leaf is linked in behind the one that is split. */
static int link_leaf(struct btree_plan *plan, struct sj_btree_leaf *left_image,
                     struct sj_btree_leaf *right_image, struct sj_btree_leaf *right)
{
    const struct sj_btree_leaf *leaf = plan->path->leaf;
    right_image->previous = address_of(leaf);
    right_image->next = leaf->next;
    left_image->next = address_of(right);
    if (leaf->next == 0)
        return SJ_OK;
    struct sj_btree_leaf *next = leaf_at(plan->tree, leaf->next, 1);
    if (next == NULL || next == leaf || next->previous != address_of(leaf))
        return damaged_leaf(plan->tree, leaf->next);
    btree_plan_word(plan, next, sizeof *next, &next->previous, address_of(right));
    return SJ_OK;
}

/* In a descending run the next keys belong to the right part: the lowest fence that serves. */
static void lower_fence(struct btree_fence *fence, const struct btree_leaf_row *row, uint32_t cut,
                        const struct split *split)
{
    if (split->run < 0 && row->key[cut - 1] < row->key[cut])
        fence->word = row->key[cut - 1] + 1;
}

static int split_leaf(struct btree_plan *plan, const struct sj_key *key, uint64_t slot,
                      struct split *split)
{
    struct sj_btree *tree = plan->tree;
    struct sj_btree_leaf *leaf = plan->path->leaf, *right, right_image = {0};
    uint32_t at = plan->path->at, left_skip, right_skip;
    struct btree_leaf_row row = {.count = 0};
    btree_row_add(&row, leaf, 0, at);
    row.key[row.count] = key->word;
    row.slot[row.count++] = slot;
    btree_row_add(&row, leaf, at, SJ_BTREE_LEAF_ITEMS);
    uint32_t cut = cut_at(row.count, at, 1, split->run);

    int error = btree_fresh(tree, sizeof *right, (void **)&right);
    if (error == SJ_OK)
        error = btree_row_fence(tree, &row, cut, &split->fence);
    if (error == SJ_OK)
        error = part_skips(plan, 0, &split->fence, &left_skip, &right_skip);
    if (error != SJ_OK)
        return error;
    lower_fence(&split->fence, &row, cut, split);

    struct sj_btree_leaf *image = btree_plan_edit(plan, leaf, sizeof *leaf);
    error = btree_row_to_leaf(tree, &row, 0, cut, left_skip, image);
    if (error == SJ_OK)
        error = btree_row_to_leaf(tree, &row, cut, row.count, right_skip, &right_image);
    if (error == SJ_OK)
        error = link_leaf(plan, image, &right_image, right);
    if (error != SJ_OK)
        return error;
    btree_fresh_store(tree, right, &right_image, sizeof right_image);
    split->right = address_of(right);
    split->left_items = cut;
    split->right_items = row.count - cut;
    return SJ_OK;
}

/* The parent at `step` is full: it is split too, and *split becomes what its parent gets. */
static int split_inner(struct btree_plan *plan, uint32_t step, struct split *split)
{
    struct sj_btree *tree = plan->tree;
    bool bytes = btree_bytes(tree);
    struct sj_btree_inner *inner = plan->path->step[step].inner, *right, right_image = {0};
    uint32_t at = plan->path->step[step].index + 1, left_skip, right_skip;
    struct btree_inner_row row = {.count = 0};
    btree_inner_row_add(&row, inner, bytes, &(struct btree_fence){0});
    for (uint32_t i = row.count++; i > at; i--) {
        row.key[i] = row.key[i - 1];
        row.child[i] = row.child[i - 1];
        row.items[i] = row.items[i - 1];
        row.separator[i] = row.separator[i - 1];
    }
    row.items[at - 1] = split->left_items;
    row.key[at] = split->fence.word;
    row.child[at] = split->right;
    row.items[at] = split->right_items;
    row.separator[at] = split->fence.block;

    uint32_t cut = cut_at(row.count, at, 2, split->run);
    int error = btree_fresh(tree, sizeof *right, (void **)&right);
    if (error == SJ_OK)
        error = btree_inner_row_fence(tree, &row, cut, &split->fence);
    if (error == SJ_OK)
        error = part_skips(plan, step + 1, &split->fence, &left_skip, &right_skip);
    if (error != SJ_OK)
        return error;
    struct sj_btree_inner *image = btree_plan_edit(plan, inner, sizeof *inner);
    error = btree_row_to_inner(tree, &row, 0, cut, left_skip, image, &split->left_items);
    if (error == SJ_OK)
        error = btree_row_to_inner(tree, &row, cut, row.count, right_skip, &right_image,
                                   &split->right_items);
    if (error != SJ_OK)
        return error;
    btree_fresh_store(tree, right, &right_image, sizeof right_image);
    split->right = address_of(right);
    return SJ_OK;
}

/* The top was split: a new top above both parts. */
static int grow(struct btree_plan *plan, const struct split *split)
{
    struct sj_btree *tree = plan->tree;
    struct sj_btree_head *head = tree->head;
    bool bytes = btree_bytes(tree);
    if (head->height >= SJ_BTREE_HEIGHT_MAX)
        return sj_error(SJ_EFULL, "a B-tree has at most %d levels", SJ_BTREE_HEIGHT_MAX);
    struct sj_btree_inner *top, image = {0};
    int error = btree_fresh(tree, sizeof *top, (void **)&top);
    if (error != SJ_OK)
        return error;
    *(uint64_t *)&image.node = node_head(SJ_KIND_BTREE_INNER, 1, 0);
    for (uint32_t i = 1; i < inner_fanout(bytes); i++)
        inner_keys(&image)[i] = BTREE_UNUSED_KEY;
    inner_children(&image, bytes)[0] = head->top;
    inner_items(&image, bytes)[0] = split->left_items;
    btree_inner_insert(&image, bytes, 0, &split->fence, split->right, split->right_items);
    btree_fresh_store(tree, top, &image, sizeof image);
    btree_plan_word(plan, NULL, 0, &head->top, address_of(top));
    btree_plan_word(plan, NULL, 0, &head->height, head->height + 1);
    return SJ_OK;
}

/* The parent at `step` has room for one more child. */
static int insert_child(struct btree_plan *plan, uint32_t step, const struct split *split)
{
    bool bytes = btree_bytes(plan->tree);
    struct sj_btree_inner *inner = plan->path->step[step].inner;
    uint32_t index = plan->path->step[step].index;
    if (SJ_UNLIKELY(index >= inner->node.count || inner->node.count >= inner_fanout(bytes)))
        return damaged_inner(plan->tree, address_of(inner)); /* it is not what it was */
    struct sj_btree_inner *image = btree_plan_edit(plan, inner, sizeof *inner);
    inner_items(image, bytes)[index] = split->left_items;
    btree_inner_insert(image, bytes, index, &split->fence, split->right, split->right_items);
    return SJ_OK;
}

int btree_split_insert(struct sj_btree *tree, const struct btree_path *path,
                       const struct sj_key *key, uint64_t slot, int32_t run)
{
    struct btree_plan plan;
    btree_plan_begin(&plan, tree, path);
    struct split split = {.run = run_kind(path->leaf, path->at, run)};
    uint32_t fanout = inner_fanout(btree_bytes(tree)), step = 0;
    int error = split_leaf(&plan, key, slot, &split);
    while (error == SJ_OK && step < path->height && path->step[step].inner->node.count == fanout)
        error = split_inner(&plan, step++, &split);
    if (error == SJ_OK && step == path->height)
        error = grow(&plan, &split);
    else if (error == SJ_OK)
        error = insert_child(&plan, step++, &split);
    if (error != SJ_OK)
        return error;
    btree_plan_counts(&plan, step, 1);
    error = btree_plan_log(&plan);
    if (error == SJ_OK)
        btree_plan_apply(&plan);
    return error;
}
