// SPDX-License-Identifier: Apache-2.0
/*
 * btree.c: trees, and the operations that change one leaf: get, put, change, delete.
 *
 *   put x     | … b d e … |  →  | … b x d e … |      keys and slots from x on move one up
 *   delete d  | … b d e … |  →  | … b e … |          keys and slots after d move one down
 *
 * A put into a full leaf goes to btree_split.c; a delete that leaves a leaf less than a third full
 * to btree_merge.c.
 *
 * Crash rule: what moves, the leaf's head, the counts on the way down and the tree's count are
 * logged before any of them is stored: recovery yields the leaf before.
 *
 * Cost: the way down, and 4 + height log entries.
 */
#include "structures/btree_plan.h"

int sj_btree_create(struct sj_segment *segment, struct sj_kinds kinds, uint64_t *head)
{
    struct sj_btree_head *block;
    struct sj_btree_leaf *leaf, image = {0};
    struct sj_btree tree = {.segment = segment};
    if ((unsigned)kinds.key > SJ_ITEM_BYTES || (unsigned)kinds.value > SJ_ITEM_BYTES)
        return sj_error(SJ_EINVAL, "a B-tree's keys and values are words or bytes");
    int error = sj_heap_alloc(segment, sizeof *block, (void **)&block);
    if (error == SJ_OK)
        error = btree_fresh(&tree, sizeof *leaf, (void **)&leaf);
    if (error != SJ_OK)
        return error;
    *(uint64_t *)&image.node = node_head(SJ_KIND_BTREE_LEAF, 0, 0);
    btree_fresh_store(&tree, leaf, &image, sizeof image);
    struct sj_btree_head fresh = {
        .first = {SJ_KIND_BTREE, (uint8_t)kinds.key, (uint8_t)kinds.value, 0},
        .top = address_of(leaf)};
    sj_copy(block, &fresh, sizeof fresh);
    *head = address_of(block);
    return SJ_OK;
}

int sj_btree_open(struct sj_segment *segment, uint64_t head, struct sj_btree *tree)
{
    struct sj_btree_head *block = sj_segment_block(segment, head, sizeof *block, SJ_KIND_BTREE);
    if (block == NULL || !sj_item_byte_is_sound(block->first.key) ||
        !sj_item_byte_is_sound(block->first.value))
        return sj_segment_damaged(segment, head, "the head of a B-tree");
    *tree = (struct sj_btree){
        .segment = segment,
        .head = block,
        .kinds = {sj_item_byte_kind(block->first.key), sj_item_byte_kind(block->first.value)}};
    return block->height <= SJ_BTREE_HEIGHT_MAX ? SJ_OK : damaged_height(tree);
}

uint64_t sj_btree_count(const struct sj_btree *tree)
{
    return sj_load(&tree->head->count);
}

/* ------------------------------------------------------------------ get */

SJ_INLINE int get(const struct sj_btree *tree, const struct sj_key *key, struct sj_value *value,
                  bool bytes)
{
    struct sj_btree_leaf *leaf;
    uint32_t at;
    bool found;
    int error = leaf_of(tree, key, bytes, &leaf);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = leaf_find(tree, leaf, key, bytes, &at, &found);
    if (bytes && SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (!found)
        return SJ_ENOTFOUND;
    return sj_slot_value(tree->segment, tree->kinds, &leaf->slot[at], value);
}

int sj_btree_get(const struct sj_btree *tree, const struct sj_key *key, struct sj_value *value)
{
    return btree_bytes(tree) ? get(tree, key, value, true) : get(tree, key, value, false);
}

/* ------------------------------------------------------------------ changes of one leaf */

/*
 * The last part of a plan: the counts on the way down, the tree's and the leaf's become one more or
 * less at sj_tx_ready. That no word of them is stored before the last one is logged is what makes a
 * plan that fails here harmless.
 */
static int change_counts(struct sj_btree *tree, const struct btree_path *path, bool bytes,
                         int64_t change)
{
    struct sj_segment *segment = tree->segment;
    for (uint32_t i = 0; i < path->height; i++) {
        struct sj_btree_inner *inner = path->step[i].inner;
        uint64_t *items = inner_items(inner, bytes) + path->step[i].index;
        int error =
            sj_tx_node_word(segment, &inner->node, sizeof *inner, items, *items + (uint64_t)change);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    uint64_t *count = &tree->head->count;
    int error = sj_tx_word(segment, count, *count + (uint64_t)change);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    struct sj_node *node = &path->leaf->node;
    return sj_tx_node_word(
        segment, node, sizeof *path->leaf, (uint64_t *)node,
        node_head(SJ_KIND_BTREE_LEAF, node->count + (uint32_t)change, node->aux));
}

#define HEAP_WORDS_MAX 20 /* that the heap has pending for one entry, at the most */
_Static_assert(SJ_BTREE_HEIGHT_MAX + 2 + HEAP_WORDS_MAX <= SJ_TX_PENDING,
               "all counts wait for the last one");

/* Logs the leaf's keys and slots [from, to). */
static int log_items(struct sj_btree *tree, struct sj_btree_leaf *leaf, uint32_t from, uint32_t to)
{
    if (from == to)
        return SJ_OK;
    size_t bytes = 8 * (to - from);
    int error = sj_tx_node_range(tree->segment, &leaf->node, sizeof *leaf, leaf->key + from, bytes);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return sj_tx_node_range(tree->segment, &leaf->node, sizeof *leaf, leaf->slot + from, bytes);
}

/* The place of the next item is not in use, so it needs no log. */
static int announce_item(struct sj_btree *tree, struct sj_btree_leaf *leaf, uint32_t at)
{
    int error = sj_tx_fresh(tree->segment, leaf->key + at, sizeof leaf->key[0]);
    return error == SJ_OK ? sj_tx_fresh(tree->segment, leaf->slot + at, sizeof leaf->slot[0])
                          : error;
}

/* A leaf that has room takes one more item: the place of the new one is not in use and needs no
 * log when it is the last. */
SJ_INLINE int insert(struct sj_btree *tree, const struct btree_path *path, uint64_t word,
                     uint64_t slot, bool bytes)
{
    struct sj_btree_leaf *leaf = path->leaf;
    uint32_t at = path->at, count = leaf->node.count;
    int error = at < count ? log_items(tree, leaf, at, count + 1) : announce_item(tree, leaf, at);
    if (SJ_LIKELY(error == SJ_OK))
        error = change_counts(tree, path, bytes, 1);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_tx_ready(tree->segment);
    if (at < count) {
        sj_move(leaf->key + at + 1, leaf->key + at, 8 * (count - at));
        sj_move(leaf->slot + at + 1, leaf->slot + at, 8 * (count - at));
    }
    sj_store(leaf->key + at, word);
    sj_store(leaf->slot + at, slot);
    return SJ_OK;
}

/* The item goes, those after it move down. */
static int take_out(struct sj_btree *tree, const struct btree_path *path, bool bytes)
{
    struct sj_btree_leaf *leaf = path->leaf;
    uint32_t at = path->at, last = leaf->node.count - 1u;
    int error = log_items(tree, leaf, at, last);
    if (error == SJ_OK)
        error = change_counts(tree, path, bytes, -1);
    if (error != SJ_OK)
        return error;
    sj_tx_ready(tree->segment);
    sj_move(leaf->key + at, leaf->key + at + 1, 8 * (last - at));
    sj_move(leaf->slot + at, leaf->slot + at + 1, 8 * (last - at));
    return SJ_OK;
}

/* ------------------------------------------------------------------ put, delete */

/* Notes where an insertion goes, and says how long the run is that it belongs to. */
SJ_INLINE int32_t note_run(struct sj_btree *tree, const struct btree_path *path)
{
    uint64_t leaf = address_of(path->leaf);
    int32_t run = tree->run;
    if (leaf == tree->run_leaf && path->at == tree->run_at + 1)
        run = run > 0 ? run + (run < INT32_MAX) : 1;
    else if (leaf == tree->run_leaf && path->at == tree->run_at)
        run = run < 0 ? run - (run > INT32_MIN) : -1;
    else
        run = 0;
    tree->run_leaf = leaf;
    tree->run_at = path->at;
    tree->run = run;
    return run;
}

/* A run that goes on in the fresh right leaf of a split, at its first place. */
static void run_moved(struct sj_btree *tree, const struct btree_path *path)
{
    const struct sj_btree_leaf *leaf = path->leaf;
    if (path->at < leaf->node.count)
        return;
    tree->run_leaf = leaf->next;
    tree->run_at = path->at - leaf->node.count;
}

SJ_INLINE int put_new(struct sj_btree *tree, const struct btree_path *path,
                      const struct sj_key *key, const struct sj_value *value, bool bytes)
{
    struct sj_segment *segment = tree->segment;
    int32_t run = note_run(tree, path);
    int error = sj_tx_op_begin(segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    uint64_t slot = value->word;
    if (!btree_plain(tree))
        error = sj_slot_make(segment, tree->kinds, key, value, &slot);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    uint32_t count = path->leaf->node.count;
    if (SJ_UNLIKELY(count >= SJ_BTREE_LEAF_ITEMS)) {
        /* On damaged media the slot's block may overlap the leaf. */
        error = count == SJ_BTREE_LEAF_ITEMS ? btree_split_insert(tree, path, key, slot, run)
                                             : damaged_leaf(tree, address_of(path->leaf));
        if (error == SJ_OK)
            run_moved(tree, path);
    } else {
        uint64_t word = bytes ? text_fragment(key_text(key), path->leaf->node.aux) : key->word;
        error = insert(tree, path, word, slot, bytes);
    }
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    return sj_tx_op_commit(segment);
}

SJ_INLINE int put(struct sj_btree *tree, const struct sj_key *key, const struct sj_value *value,
                  enum sj_put_mode mode, bool *existed, bool bytes)
{
    struct btree_path path;
    int error = btree_plain(tree) ? SJ_OK : sj_item_fits(tree->segment, tree->kinds, key, value);
    if (SJ_LIKELY(error == SJ_OK))
        error = path_to(tree, key, bytes, &path);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    *existed = path.found;
    if (!path.found)
        return put_new(tree, &path, key, value, bytes);
    if (mode == SJ_PUT_NEW)
        return SJ_OK;
    return sj_slot_replace(tree->segment, tree->kinds, &path.leaf->node, sizeof *path.leaf,
                           &path.leaf->slot[path.at], value);
}

int sj_btree_put(struct sj_btree *tree, const struct sj_key *key, const struct sj_value *value,
                 enum sj_put_mode mode, bool *existed)
{
    return btree_bytes(tree) ? put(tree, key, value, mode, existed, true)
                             : put(tree, key, value, mode, existed, false);
}

SJ_INLINE int change_at(struct sj_btree *tree, const struct btree_path *path,
                        const struct sj_key *key, sj_value_change *change, void *context,
                        bool bytes)
{
    struct sj_segment *segment = tree->segment;
    struct sj_value old, value = {0};
    uint64_t *slot = &path->leaf->slot[path->at];
    int error = path->found ? sj_slot_value(segment, tree->kinds, slot, &old) : SJ_OK;
    if (error == SJ_OK)
        error = change(context, path->found ? &old : NULL, &value);
    if (error == SJ_OK)
        error = sj_item_fits(segment, tree->kinds, key, &value);
    if (error != SJ_OK)
        return error;
    if (!path->found)
        return put_new(tree, path, key, &value, bytes);
    return sj_slot_replace(segment, tree->kinds, &path->leaf->node, sizeof *path->leaf, slot,
                           &value);
}

int sj_btree_change(struct sj_btree *tree, const struct sj_key *key, sj_value_change *change,
                    void *context)
{
    struct btree_path path;
    bool bytes = btree_bytes(tree);
    int error = path_to(tree, key, bytes, &path);
    if (error != SJ_OK)
        return error;
    return bytes ? change_at(tree, &path, key, change, context, true)
                 : change_at(tree, &path, key, change, context, false);
}

SJ_INLINE int delete(struct sj_btree *tree, const struct sj_key *key, bool bytes)
{
    struct btree_path path;
    struct sj_segment *segment = tree->segment;
    int error = path_to(tree, key, bytes, &path);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (!path.found)
        return SJ_ENOTFOUND;
    error = sj_tx_op_begin(segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (!btree_plain(tree))
        error = sj_slot_free(segment, tree->kinds, path.leaf->slot[path.at]);
    if (SJ_LIKELY(error == SJ_OK)) {
        if (SJ_LIKELY(path.leaf->node.count > BTREE_LEAF_MIN || path.height == 0))
            error = take_out(tree, &path, bytes);
        else
            error = btree_merge_delete(tree, &path);
    }
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    return sj_tx_op_commit(segment);
}

int sj_btree_delete(struct sj_btree *tree, const struct sj_key *key)
{
    return btree_bytes(tree) ? delete(tree, key, true) : delete(tree, key, false);
}
