// SPDX-License-Identifier: Apache-2.0
/*
 * btree_merge.c: a deletion that leaves a node less than a third full.
 *
 *   merge   P | … a | d | g … |        after    P | … a | g … |
 *                 ↓   ↓                             ↓
 *             | a b | | d e f |  − e            | a b d f |            (the right one is freed)
 *
 *   borrow  P | … a | k | … |          after    P | … a | f | … |
 *                 ↓   ↓                             ↓   ↓
 *             | a b c … j | | k l |  − l        | a … e | | f … k |
 *
 * The node and a sibling below the same parent become one, when that leaves some room, else share
 * their items evenly. A merge takes a child from the parent, which may get too empty itself, and so
 * on up to the top, which goes when it has one child left. Fences other than the one between the
 * two nodes never change, so no other node's skip does.
 *
 * Crash rule: one operation of btree_plan.h. Cost: amortised O(1) a deletion.
 */
#include "structures/btree_plan.h"

#define LEAF_MERGE_MAX (SJ_BTREE_LEAF_ITEMS - 4) /* a merged leaf has room for some more */

/* Two neighbours below a parent. */
struct pair {
    struct sj_btree_inner *parent; /* an image of what it is going to be */
    uint32_t step;                 /* the parent is this step of the path */
    uint32_t right;                /* index of the right one in the parent */
    struct btree_fence low, middle, high;
};

/* The fences around and between the two children `right` - 1 and `right` of step `step`. */
static int pair_fences(const struct btree_plan *plan, struct pair *pair)
{
    const struct btree_path *path = plan->path;
    pair->low = pair->high = (struct btree_fence){0};
    pair->middle =
        (struct btree_fence){.word = inner_keys(path->step[pair->step].inner)[pair->right]};
    if (!btree_bytes(plan->tree))
        return SJ_OK;
    int error = btree_fence_low(plan->tree, path, pair->step, pair->right - 1, &pair->low);
    if (error == SJ_OK)
        error = btree_fence_low(plan->tree, path, pair->step, pair->right, &pair->middle);
    if (error == SJ_OK)
        error = btree_fence_high(plan->tree, path, pair->step, pair->right, &pair->high);
    return error;
}

/* Begins with the child that the path takes at `step`, and a sibling. */
static int pair_begin(struct btree_plan *plan, uint32_t step, struct sj_btree_inner *parent_image,
                      struct pair *pair)
{
    const struct btree_step *at = &plan->path->step[step];
    bool bytes = btree_bytes(plan->tree);
    memcpy(parent_image, at->inner, sizeof *parent_image);
    uint32_t count = parent_image->node.count;
    if (SJ_UNLIKELY(count < 2 || count > inner_fanout(bytes) || at->index >= count))
        return damaged_inner(plan->tree, address_of(at->inner)); /* it is not what it was */
    pair->parent = parent_image;
    pair->step = step;
    pair->right = at->index > 0 ? at->index : 1;
    return pair_fences(plan, pair);
}

/* The two have become one of `items` items: the parent loses the right one and its separator. */
static int pair_merged(struct btree_plan *plan, struct pair *pair, uint64_t right, uint64_t items,
                       bool free_separator)
{
    struct sj_btree *tree = plan->tree;
    bool bytes = btree_bytes(tree);
    int error = sj_heap_free(tree->segment, right);
    if (error == SJ_OK && bytes && free_separator)
        error = sj_heap_free(tree->segment, pair->middle.block);
    inner_items(pair->parent, bytes)[pair->right - 1] = items;
    btree_inner_remove(pair->parent, bytes, pair->right);
    return error;
}

/* They share their items anew: the parent gets the separator `fence`. */
static void pair_shared(struct btree_plan *plan, struct pair *pair, const struct btree_fence *fence,
                        uint64_t left_items, uint64_t right_items)
{
    bool bytes = btree_bytes(plan->tree);
    inner_items(pair->parent, bytes)[pair->right - 1] = left_items;
    inner_items(pair->parent, bytes)[pair->right] = right_items;
    btree_inner_set_fence(pair->parent, bytes, pair->right, fence);
}

/* ------------------------------------------------------------------ leaves */

/* The right leaf goes: the one after it follows the left one. */
static int unlink_right(struct btree_plan *plan, const struct sj_btree_leaf *right,
                        struct sj_btree_leaf *left, struct sj_btree_leaf *left_image)
{
    left_image->next = right->next;
    if (right->next == 0)
        return SJ_OK;
    struct sj_btree_leaf *next = leaf_at(plan->tree, right->next, 1);
    if (next == NULL || next == left || next->previous != address_of(right))
        return damaged_leaf(plan->tree, right->next);
    btree_plan_word(plan, next, sizeof *next, &next->previous, address_of(left));
    return SJ_OK;
}

static int merge_leaves(struct btree_plan *plan, struct pair *pair, struct sj_btree_leaf *left,
                        struct sj_btree_leaf *right, const struct btree_leaf_row *row)
{
    struct sj_btree_leaf *image = btree_plan_edit(plan, left, sizeof *left);
    uint32_t skip = btree_skip(&pair->low, &pair->high);
    int error = btree_row_to_leaf(plan->tree, row, 0, row->count, skip, image);
    if (error == SJ_OK)
        error = unlink_right(plan, right, left, image);
    if (error != SJ_OK)
        return error;
    return pair_merged(plan, pair, address_of(right), row->count, true);
}

static int share_leaves(struct btree_plan *plan, struct pair *pair, struct sj_btree_leaf *left,
                        struct sj_btree_leaf *right, const struct btree_leaf_row *row)
{
    struct sj_btree *tree = plan->tree;
    struct btree_fence fence;
    uint32_t cut = row->count / 2;
    int error = btree_row_fence(tree, row, cut, &fence);
    if (error == SJ_OK && btree_bytes(tree))
        error = sj_heap_free(tree->segment, pair->middle.block);
    if (error == SJ_OK)
        error = btree_row_to_leaf(tree, row, 0, cut, btree_skip(&pair->low, &fence),
                                  btree_plan_edit(plan, left, sizeof *left));
    if (error == SJ_OK)
        error = btree_row_to_leaf(tree, row, cut, row->count, btree_skip(&fence, &pair->high),
                                  btree_plan_edit(plan, right, sizeof *right));
    if (error == SJ_OK)
        pair_shared(plan, pair, &fence, cut, row->count - cut);
    return error;
}

/* The leaf loses its item and meets a sibling; the parent's image is left to be settled. */
static int join_leaves(struct btree_plan *plan, struct pair *pair)
{
    struct sj_btree *tree = plan->tree;
    const struct btree_path *path = plan->path;
    const uint64_t *children = inner_children(path->step[0].inner, btree_bytes(tree));
    struct sj_btree_leaf *left = leaf_at(tree, children[pair->right - 1], 1);
    struct sj_btree_leaf *right = leaf_at(tree, children[pair->right], 1);
    if (left == NULL || right == NULL || left == right || left->next != address_of(right) ||
        right->previous != address_of(left))
        return damaged_leaf(tree, children[left == path->leaf ? pair->right : pair->right - 1]);
    struct btree_leaf_row row = {.count = 0};
    if (right == path->leaf)
        btree_row_add(&row, left, 0, left->node.count);
    btree_row_add(&row, path->leaf, 0, path->at);
    btree_row_add(&row, path->leaf, path->at + 1, path->leaf->node.count);
    if (left == path->leaf)
        btree_row_add(&row, right, 0, right->node.count);
    if (row.count <= LEAF_MERGE_MAX)
        return merge_leaves(plan, pair, left, right, &row);
    return share_leaves(plan, pair, left, right, &row);
}

/* ------------------------------------------------------------------ inner nodes */

static int merge_inner(struct btree_plan *plan, struct pair *pair, struct sj_btree_inner *left,
                       struct sj_btree_inner *right, const struct btree_inner_row *row)
{
    struct sj_btree_inner *image = btree_plan_edit(plan, left, sizeof *left);
    uint64_t items;
    int error = btree_row_to_inner(plan->tree, row, 0, row->count,
                                   btree_skip(&pair->low, &pair->high), image, &items);
    if (error != SJ_OK)
        return error;
    return pair_merged(plan, pair, address_of(right), items, false);
}

static int share_inner(struct btree_plan *plan, struct pair *pair, struct sj_btree_inner *left,
                       struct sj_btree_inner *right, const struct btree_inner_row *row)
{
    struct sj_btree *tree = plan->tree;
    struct btree_fence fence;
    uint32_t cut = row->count / 2;
    uint64_t left_items, right_items;
    int error = btree_inner_row_fence(tree, row, cut, &fence);
    if (error == SJ_OK)
        error = btree_row_to_inner(tree, row, 0, cut, btree_skip(&pair->low, &fence),
                                   btree_plan_edit(plan, left, sizeof *left), &left_items);
    if (error == SJ_OK)
        error = btree_row_to_inner(tree, row, cut, row->count, btree_skip(&fence, &pair->high),
                                   btree_plan_edit(plan, right, sizeof *right), &right_items);
    if (error == SJ_OK)
        pair_shared(plan, pair, &fence, left_items, right_items);
    return error;
}

/* An inner node that is going to be `content` meets a sibling. */
static int join_inner(struct btree_plan *plan, struct pair *pair, struct sj_btree_inner *content)
{
    struct sj_btree *tree = plan->tree;
    bool bytes = btree_bytes(tree);
    struct sj_btree_inner *node = plan->path->step[pair->step - 1].inner;
    const uint64_t *children = inner_children(plan->path->step[pair->step].inner, bytes);
    struct sj_btree_inner *left = inner_at(tree, children[pair->right - 1], bytes);
    struct sj_btree_inner *right = inner_at(tree, children[pair->right], bytes);
    if (left == NULL || right == NULL || left == right)
        return damaged_inner(tree, children[left == node ? pair->right : pair->right - 1]);
    struct btree_inner_row row = {.count = 0};
    btree_inner_row_add(&row, left == node ? content : left, bytes, &(struct btree_fence){0});
    btree_inner_row_add(&row, right == node ? content : right, bytes, &pair->middle);
    uint32_t merge_max = inner_fanout(bytes) - inner_fanout(bytes) / 8;
    if (row.count <= merge_max)
        return merge_inner(plan, pair, left, right, &row);
    return share_inner(plan, pair, left, right, &row);
}

/* ------------------------------------------------------------------ the way up */

/* The top has one child left, which becomes the top. */
static int shrink(struct btree_plan *plan, const struct pair *pair)
{
    struct sj_btree_head *head = plan->tree->head;
    uint64_t child = inner_children(pair->parent, btree_bytes(plan->tree))[0];
    btree_plan_word(plan, NULL, 0, &head->top, child);
    btree_plan_word(plan, NULL, 0, &head->height, head->height - 1);
    return sj_heap_free(plan->tree->segment, address_of(plan->path->step[pair->step].inner));
}

/* The parent is going to be its image. */
static void settle(struct btree_plan *plan, const struct pair *pair)
{
    struct sj_btree_inner *inner = plan->path->step[pair->step].inner;
    memcpy(btree_plan_edit(plan, inner, sizeof *inner), pair->parent, sizeof *inner);
}

int btree_merge_delete(struct sj_btree *tree, const struct btree_path *path)
{
    struct btree_plan plan;
    struct sj_btree_inner image[2];
    struct pair pair;
    uint32_t least = inner_fanout(btree_bytes(tree)) / 3, step = 0;
    btree_plan_begin(&plan, tree, path);
    int error = pair_begin(&plan, 0, &image[0], &pair);
    if (error == SJ_OK)
        error = join_leaves(&plan, &pair);
    while (error == SJ_OK && step + 1 < path->height && pair.parent->node.count < least) {
        struct sj_btree_inner *content = pair.parent;
        step++;
        if (plan.edits + 3 > BTREE_EDITS_MAX) /* a whole tree is not that high */
            return damaged_height(tree);
        error = pair_begin(&plan, step, &image[step & 1], &pair);
        if (error == SJ_OK)
            error = join_inner(&plan, &pair, content);
    }
    if (error != SJ_OK)
        return error;
    if (step + 1 == path->height && pair.parent->node.count == 1)
        error = shrink(&plan, &pair);
    else
        settle(&plan, &pair);
    btree_plan_counts(&plan, step + 1, -1);
    if (error == SJ_OK)
        error = btree_plan_log(&plan);
    if (error == SJ_OK)
        btree_plan_apply(&plan);
    return error;
}
