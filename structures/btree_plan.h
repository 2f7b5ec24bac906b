// SPDX-License-Identifier: Apache-2.0
/*
 * btree_plan.h: the plan of an operation that changes the shape of a B+tree.
 *
 * A split or a merge changes several nodes. Its plan makes, for each node that stays, an image of
 * what the node is going to be, and notes single words beside; then everything is logged at once,
 * and applied at once. Fresh nodes are filled in during the plan, for nothing leads to them yet.
 *
 *   plan:   image of a node … word … fresh node … → log()      may fail, nothing has changed
 *   apply:  sj_tx_ready → every image and word is stored       cannot fail
 *
 * Lists: `btree_row` is the items of one or two leaves (or the children of one or two inner nodes)
 * in a volatile row, with the one that is inserted or without the one that is deleted. A row is cut
 * at one place, and its parts become nodes: that is every split, merge and borrow.
 *
 *   leaf  | a b c d |  + x           row  a b c x d     cut at 3    | a b c |  | x d |
 *   leaves | a b | | c d e |  − d    row  a b c e       uncut       | a b c e |   (one is freed)
 */
#ifndef SJ_STRUCTURES_BTREE_PLAN_H
#define SJ_STRUCTURES_BTREE_PLAN_H

#include "structures/btree_search.h"

#define BTREE_EDITS_MAX (SJ_BTREE_HEIGHT_MAX + 4)
#define BTREE_WORDS_MAX (SJ_BTREE_HEIGHT_MAX + 8)

/* A node that is going to be what `image` says; its stamp stays. */
struct btree_edit {
    struct sj_node *node;
    uint64_t *image;
    size_t bytes;
};

struct btree_word {
    struct sj_node *node; /* that the word is in; NULL: the tree's head */
    size_t node_bytes;
    uint64_t *at;
    uint64_t value;
};

struct btree_plan {
    struct sj_btree *tree;
    const struct btree_path *path;
    uint32_t edits;
    uint32_t words;
    size_t image_words; /* of image[] in use */
    struct btree_edit edit[BTREE_EDITS_MAX];
    struct btree_word word[BTREE_WORDS_MAX];
    uint64_t image[BTREE_EDITS_MAX * sizeof(struct sj_btree_inner) / 8];
};

/* What divides two nodes: the key itself (word keys), or the block that has it (byte keys). */
struct btree_fence {
    uint64_t word;
    uint64_t block;
    struct btree_text text;
};

/* Items of leaves. Byte keys: key[] is filled in when a leaf is made of them. */
struct btree_leaf_row {
    uint32_t count;
    uint64_t key[2 * SJ_BTREE_LEAF_ITEMS + 1];
    uint64_t slot[2 * SJ_BTREE_LEAF_ITEMS + 1];
};

/* Children of inner nodes, each with its separator: `key` for word keys, `separator` for byte
 * keys. The first one's is what divides the row's first node from the one before it. */
struct btree_inner_row {
    uint32_t count;
    uint64_t key[2 * SJ_BTREE_INNER_WORD + 1];
    uint64_t child[2 * SJ_BTREE_INNER_WORD + 1];
    uint64_t items[2 * SJ_BTREE_INNER_WORD + 1];
    uint64_t separator[2 * SJ_BTREE_INNER_WORD + 1];
};

void btree_plan_begin(struct btree_plan *plan, struct sj_btree *tree,
                      const struct btree_path *path);

/* The node is going to change: an image that is the node as it is. */
void *btree_plan_edit(struct btree_plan *plan, void *node, size_t bytes);

/* One word of a node (NULL: of the tree's head) is going to change. */
void btree_plan_word(struct btree_plan *plan, void *node, size_t node_bytes, uint64_t *at,
                     uint64_t value);

/* The counts of the path's nodes from `step` on and the tree's: one item more or less. */
void btree_plan_counts(struct btree_plan *plan, uint32_t step, int64_t change);

/* Logs all of it: the end of the plan. SJ_EFULL, SJ_ENOMEM. */
int btree_plan_log(struct btree_plan *plan);
/* Stores all of it: the apply part. */
void btree_plan_apply(struct btree_plan *plan);

/* A fresh node for a `struct sj_btree_leaf` or `struct sj_btree_inner` in memory. SJ_EFULL. */
int btree_fresh(struct sj_btree *tree, uint64_t bytes, void **node);
/* Stores what a fresh node is: `image` in memory, whose stamp is filled in here. */
void btree_fresh_store(struct sj_btree *tree, void *node, void *image, size_t bytes);

/*
 * The fence below (above) the child `index` of the path's step `step`: the nearest separator to its
 * left (right) there or further up; `text.bytes` NULL when there is none. Byte keys only.
 * SJ_ECORRUPT.
 */
int btree_fence_low(const struct sj_btree *tree, const struct btree_path *path, uint32_t step,
                    uint32_t index, struct btree_fence *fence);
int btree_fence_high(const struct sj_btree *tree, const struct btree_path *path, uint32_t step,
                     uint32_t index, struct btree_fence *fence);

/* Length of the common prefix of a node's two fences (I3). */
uint32_t btree_skip(const struct btree_fence *low, const struct btree_fence *high);

/* A fresh separator between two whole keys, left < right: the shortest one. SJ_EFULL,
 * SJ_ECORRUPT (the keys are out of order). */
int btree_separator_make(struct sj_btree *tree, struct btree_text left, struct btree_text right,
                         struct btree_fence *fence);
/* What divides row[cut - 1] from row[cut]; makes a separator for byte keys. */
int btree_row_fence(struct sj_btree *tree, const struct btree_leaf_row *row, uint32_t cut,
                    struct btree_fence *fence);

/* Appends the leaf's items [from, to) to the row. */
void btree_row_add(struct btree_leaf_row *row, const struct sj_btree_leaf *leaf, uint32_t from,
                   uint32_t to);
/* The leaf in memory becomes the row's [from, to), with fragments for `skip`. SJ_ECORRUPT. */
int btree_row_to_leaf(const struct sj_btree *tree, const struct btree_leaf_row *row, uint32_t from,
                      uint32_t to, uint32_t skip, struct sj_btree_leaf *image);

/* Appends all children of the inner node; the first one's separator becomes `first`. */
void btree_inner_row_add(struct btree_inner_row *row, struct sj_btree_inner *inner, bool bytes,
                         const struct btree_fence *first);
/* The node in memory becomes the row's [from, to), with fragments for `skip`; `*items` is how many
 * there are below it. SJ_ECORRUPT. */
int btree_row_to_inner(const struct sj_btree *tree, const struct btree_inner_row *row,
                       uint32_t from, uint32_t to, uint32_t skip, struct sj_btree_inner *image,
                       uint64_t *items);
/* What divides the children cut - 1 and cut. SJ_ECORRUPT. */
int btree_inner_row_fence(const struct sj_btree *tree, const struct btree_inner_row *row,
                          uint32_t cut, struct btree_fence *fence);

/* Inserts a child behind child `index` of an inner node in memory, which has room. */
void btree_inner_insert(struct sj_btree_inner *image, bool bytes, uint32_t index,
                        const struct btree_fence *fence, uint64_t child, uint64_t items);
/* Takes child `index` > 0 with its separator out of an inner node in memory. */
void btree_inner_remove(struct sj_btree_inner *image, bool bytes, uint32_t index);
/* The separator `index` > 0 of an inner node in memory is replaced. */
void btree_inner_set_fence(struct sj_btree_inner *image, bool bytes, uint32_t index,
                           const struct btree_fence *fence);

/* An insertion into a full leaf, the whole operation's plan and apply. `run`: how long keys have
 * been ascending (> 0) or descending (< 0) at this place. */
int btree_split_insert(struct sj_btree *tree, const struct btree_path *path,
                       const struct sj_key *key, uint64_t slot, int32_t run);
/* A deletion from a leaf that gets too empty, plan and apply; the slot has been freed. */
int btree_merge_delete(struct sj_btree *tree, const struct btree_path *path);

#endif
