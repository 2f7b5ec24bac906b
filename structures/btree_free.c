// SPDX-License-Identifier: Apache-2.0
/*
 * btree_free.c: giving a whole tree's blocks back: clear and destroy.
 *
 *   clear     head ─→ top … leaves, entries        →   head ─→ an empty leaf
 *   destroy   head ─→ top … leaves, entries        →   nothing
 *
 * Nodes are walked depth first. A damaged tree may lead to the same nodes again and again: the walk
 * ends when it has seen more nodes than the segment can hold.
 *
 * Crash rule: the frees are carried out by the commit (tx.h), clear's three words are logged.
 * Cost: O(n).
 */
#include "structures/btree_plan.h"

struct walk {
    struct sj_btree *tree;
    uint64_t budget; /* nodes that may still come */
};

static int free_leaf(struct walk *walk, struct sj_btree_leaf *leaf)
{
    struct sj_btree *tree = walk->tree;
    if (!btree_plain(tree))
        for (uint32_t i = 0; i < leaf->node.count; i++) {
            int error = sj_slot_free(tree->segment, tree->kinds, leaf->slot[i]);
            if (error != SJ_OK)
                return error;
        }
    return sj_heap_free(tree->segment, address_of(leaf));
}

static int free_node(struct walk *walk, uint64_t at, uint64_t level, uint64_t height);

static int free_inner(struct walk *walk, struct sj_btree_inner *inner, uint64_t level,
                      uint64_t height)
{
    struct sj_btree *tree = walk->tree;
    bool bytes = btree_bytes(tree);
    for (uint32_t i = 0; i < inner->node.count; i++) {
        int error = free_node(walk, inner_children(inner, bytes)[i], level - 1, height);
        if (error == SJ_OK && bytes && i > 0) {
            uint64_t separator = inner_separators(inner)[i];
            error = separator_at(tree, separator).bytes != NULL
                        ? sj_heap_free(tree->segment, separator)
                        : damaged_separator(tree, separator);
        }
        if (error != SJ_OK)
            return error;
    }
    return sj_heap_free(tree->segment, address_of(inner));
}

static int free_node(struct walk *walk, uint64_t at, uint64_t level, uint64_t height)
{
    struct sj_btree *tree = walk->tree;
    if (walk->budget-- == 0)
        return sj_segment_damaged(tree->segment, at, "a B-tree without cycles");
    if (level == 0) {
        struct sj_btree_leaf *leaf = leaf_at(tree, at, height != 0);
        return leaf != NULL ? free_leaf(walk, leaf) : damaged_leaf(tree, at);
    }
    struct sj_btree_inner *inner = inner_at(tree, at, btree_bytes(tree));
    return inner != NULL ? free_inner(walk, inner, level, height) : damaged_inner(tree, at);
}

static int free_nodes(struct sj_btree *tree)
{
    uint64_t height = tree->head->height;
    if (height > SJ_BTREE_HEIGHT_MAX)
        return damaged_height(tree);
    struct walk walk = {tree, sj_segment_committed(tree->segment) / sizeof(struct sj_btree_leaf)};
    return free_node(&walk, tree->head->top, height, height);
}

int sj_btree_destroy(struct sj_btree *tree)
{
    int error = free_nodes(tree);
    return error != SJ_OK ? error : sj_heap_free(tree->segment, address_of(tree->head));
}

/* The plan of clear: all that there was is freed, an empty leaf becomes the top. */
static int plan_clear(struct sj_btree *tree)
{
    struct sj_segment *segment = tree->segment;
    struct sj_btree_leaf *leaf, image = {0};
    int error = free_nodes(tree);
    if (error == SJ_OK)
        error = btree_fresh(tree, sizeof *leaf, (void **)&leaf);
    if (error != SJ_OK)
        return error;
    *(uint64_t *)&image.node = node_head(SJ_KIND_BTREE_LEAF, 0, 0);
    btree_fresh_store(tree, leaf, &image, sizeof image);
    error = sj_tx_word(segment, &tree->head->top, address_of(leaf));
    if (error == SJ_OK)
        error = sj_tx_word(segment, &tree->head->height, 0);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &tree->head->count, 0);
    return error;
}

int sj_btree_clear(struct sj_btree *tree)
{
    int error = sj_tx_op_begin(tree->segment);
    if (error != SJ_OK)
        return error;
    error = plan_clear(tree);
    if (error != SJ_OK)
        return sj_tx_op_abort(tree->segment, error);
    sj_tx_ready(tree->segment);
    return sj_tx_op_commit(tree->segment);
}
