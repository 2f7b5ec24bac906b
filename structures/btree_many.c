// SPDX-License-Identifier: Apache-2.0
/*
 * btree_many.c: many keys at once: a group of them goes down the tree together.
 *
 *   top            k1 k2 … k16         each key finds its child; the child's line is fetched ahead
 *   inner nodes    k1 │ k2 │ …         then all find theirs there
 *   leaves         k1 │ k2 │ …         then slots, then what these lead to
 *
 * One level of all keys is done before the next. So up to 16 nodes are on their way from memory
 * together, where single searches wait for each in turn. Addresses may be anything when they are
 * fetched, for that cannot fail; they are checked before they are read, as everywhere.
 *
 * Changes are single operations one after the other, over memory that was fetched ahead.
 *
 * Cost: a get of a tree that is much larger than the caches: half of a single one's or less.
 */
#include "structures/btree_search.h"

#define GROUP 16

struct group {
    uint64_t at[GROUP]; /* address of the node that the key goes to */
    struct sj_btree_inner *inner[GROUP];
    struct sj_btree_leaf *leaf[GROUP];
    uint32_t index[GROUP];
    bool found[GROUP];
};

/* Keys of an inner node. */
SJ_INLINE void fetch_inner(uint64_t inner, bool bytes)
{
    uint32_t end = (uint32_t)(offsetof(struct sj_btree_inner, words) + 8 * inner_fanout(bytes));
    for (uint32_t line = 0; line < end; line += 64)
        __builtin_prefetch((const void *)(uintptr_t)(inner + line));
}

/* Every key goes one level down. `low`: to leaves. */
SJ_INLINE int descend(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                      bool bytes, bool low, struct group *group)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sj_btree_inner *inner = inner_at(tree, group->at[i], bytes);
        if (SJ_UNLIKELY(inner == NULL))
            return damaged_inner(tree, group->at[i]);
        int error = inner_find(tree, inner, &key[i], bytes, &group->index[i]);
        if (bytes && SJ_UNLIKELY(error != SJ_OK))
            return error;
        __builtin_prefetch(&inner_children(inner, bytes)[group->index[i]]);
        group->inner[i] = inner;
    }
    for (uint32_t i = 0; i < count; i++) {
        group->at[i] = inner_children(group->inner[i], bytes)[group->index[i]];
        if (low)
            prefetch_leaf(group->at[i]);
        else
            fetch_inner(group->at[i], bytes);
    }
    return SJ_OK;
}

/* Finds the leaf that has each key's place. */
SJ_INLINE int find_leaves(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                          bool bytes, struct group *group)
{
    uint64_t height = tree->head->height;
    if (SJ_UNLIKELY(height > SJ_BTREE_HEIGHT_MAX))
        return damaged_height(tree);
    for (uint32_t i = 0; i < count; i++)
        group->at[i] = tree->head->top;
    for (uint64_t level = height; level > 0; level--) {
        int error = descend(tree, key, count, bytes, level == 1, group);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    for (uint32_t i = 0; i < count; i++) {
        group->leaf[i] = leaf_at(tree, group->at[i], height != 0);
        if (SJ_UNLIKELY(group->leaf[i] == NULL))
            return damaged_leaf(tree, group->at[i]);
    }
    return SJ_OK;
}

/* Byte keys: fetches ahead the first entry that may be the key's. */
SJ_INLINE void fetch_entries(const struct sj_key *key, uint32_t count, const struct group *group)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sj_btree_leaf *leaf = group->leaf[i];
        uint64_t fragment = text_fragment(key_text(&key[i]), leaf->node.aux);
        uint32_t at = leaf_rank(leaf->key, leaf->node.count, fragment);
        if (at < leaf->node.count && leaf->key[at] == fragment)
            sj_slot_prefetch(leaf->slot[at]);
    }
}

/* Finds each key's place in its leaf. */
SJ_INLINE int find_group(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                         bool bytes, struct group *group)
{
    int error = find_leaves(tree, key, count, bytes, group);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (bytes)
        fetch_entries(key, count, group);
    for (uint32_t i = 0; i < count; i++) {
        error = leaf_find(tree, group->leaf[i], &key[i], bytes, &group->index[i], &group->found[i]);
        if (bytes && SJ_UNLIKELY(error != SJ_OK))
            return error;
        if (!bytes && tree->kinds.value == SJ_ITEM_BYTES && group->found[i])
            sj_slot_prefetch(group->leaf[i]->slot[group->index[i]]);
    }
    return SJ_OK;
}

SJ_INLINE int get_group(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                        bool bytes, struct sj_value *value, bool *found)
{
    struct group group;
    int error = find_group(tree, key, count, bytes, &group);
    for (uint32_t i = 0; SJ_LIKELY(error == SJ_OK) && i < count; i++) {
        found[i] = group.found[i];
        if (!found[i])
            continue;
        error = sj_slot_value(tree->segment, tree->kinds, &group.leaf[i]->slot[group.index[i]],
                              &value[i]);
        if (error == SJ_OK && tree->kinds.value == SJ_ITEM_BYTES)
            sj_value_prefetch(&value[i]);
    }
    return error;
}

int sj_btree_get_many(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                      struct sj_value *value, bool *found)
{
    for (uint32_t at = 0; at < count; at += GROUP) {
        uint32_t some = count - at < GROUP ? count - at : GROUP;
        int error = btree_bytes(tree)
                        ? get_group(tree, key + at, some, true, value + at, found + at)
                        : get_group(tree, key + at, some, false, value + at, found + at);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ changes */

/* Fetches ahead what changes of these keys read. */
static int fetch_group(const struct sj_btree *tree, const struct sj_key *key, uint32_t count)
{
    struct group group;
    return btree_bytes(tree) ? find_group(tree, key, count, true, &group)
                             : find_leaves(tree, key, count, false, &group);
}

int sj_btree_put_many(struct sj_btree *tree, const struct sj_key *key, const struct sj_value *value,
                      uint32_t count, uint64_t *fresh)
{
    for (uint32_t i = 0; i < count; i++) {
        bool existed;
        int error = SJ_OK;
        if (i % GROUP == 0)
            error = fetch_group(tree, key + i, count - i < GROUP ? count - i : GROUP);
        if (error == SJ_OK)
            error = sj_btree_put(tree, &key[i], &value[i], SJ_PUT_ALWAYS, &existed);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        *fresh += !existed;
    }
    return SJ_OK;
}

int sj_btree_delete_many(struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                         uint64_t *deleted)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = SJ_OK;
        if (i % GROUP == 0)
            error = fetch_group(tree, key + i, count - i < GROUP ? count - i : GROUP);
        if (error == SJ_OK)
            error = sj_btree_delete(tree, &key[i]);
        if (SJ_UNLIKELY(error != SJ_OK && error != SJ_ENOTFOUND))
            return error;
        *deleted += error == SJ_OK;
    }
    return SJ_OK;
}
