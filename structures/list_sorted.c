// SPDX-License-Identifier: Apache-2.0
/*
 * list_sorted.c: where a key is in a sorted list.
 *
 * A node's children are told apart by their first keys, which are looked up in the first leaf below
 * each: inner nodes have no keys of their own, so that an insertion changes none.
 *
 * Cost: O(log n) comparisons, most of them a cache miss in a large list.
 */
#include "structures/list_node.h"

/* Whether a slot's key is < `key` (`after`: ≤ `key`). SJ_ECORRUPT. */
LIST_INLINE int is_before(const struct sj_list *list, uint64_t slot, const struct sj_key *key,
                          bool after, bool *before)
{
    if (list->kinds.key == SJ_ITEM_WORD) {
        *before = after ? slot <= key->word : slot < key->word;
        return SJ_OK;
    }
    const struct sj_entry *entry = sj_entry_at(list->segment, slot);
    if (SJ_UNLIKELY(entry == NULL))
        return list_damaged(list, slot, "an entry of a list");
    int order = sj_entry_compare(entry, key->bytes, key->size);
    *before = order < 0 || (after && order == 0);
    return SJ_OK;
}

/* The slot of the first item below a node that has leaves `level` steps below. SJ_ECORRUPT. */
static int first_slot(const struct sj_list *list, uint64_t at, uint32_t level, uint64_t *slot)
{
    for (; level > 0; level--) {
        const struct sj_list_inner *inner = list_inner_at(list, at);
        if (SJ_UNLIKELY(inner == NULL))
            return list_damaged_inner(list, at);
        at = inner->child[0];
    }
    const struct sj_list_leaf *leaf = list_leaf_at(list, at);
    if (SJ_UNLIKELY(leaf == NULL))
        return list_damaged_leaf(list, at);
    *slot = leaf->slot[0];
    return SJ_OK;
}

/* The last child whose first key is before the key, or the first child. */
static int child_of_key(const struct sj_list *list, const struct sj_list_inner *inner,
                        uint32_t count, uint32_t level, const struct sj_key *key, bool after,
                        uint32_t *child)
{
    uint32_t low = 0, high = count; /* the answer is in [low, high) */
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        uint64_t slot = 0;
        bool before = false;
        int error = first_slot(list, inner->child[middle], level, &slot);
        if (error == SJ_OK)
            error = is_before(list, slot, key, after, &before);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        if (before)
            low = middle;
        else
            high = middle;
    }
    *child = low;
    return SJ_OK;
}

/* How many of a leaf's first slots are before the key. */
static int slot_of_key(const struct sj_list *list, const struct sj_list_leaf *leaf, uint32_t count,
                       const struct sj_key *key, bool after, uint32_t *at)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        bool before = false;
        int error = is_before(list, leaf->slot[middle], key, after, &before);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return SJ_OK;
}

int list_path_of_key(const struct sj_list *list, const struct sj_key *key, bool after,
                     struct list_path *path)
{
    uint64_t at = list->head->top, items = list->head->count, height = list->head->height;
    uint64_t first = 0, before;
    if (SJ_UNLIKELY(height > SJ_LIST_HEIGHT_MAX))
        return list_damaged(list, list_address(&list->head->height), "the height of a list");
    path->height = (uint32_t)height;
    for (uint32_t level = path->height; level-- > 0;) {
        struct sj_list_inner *inner = list_inner_at(list, at);
        if (SJ_UNLIKELY(inner == NULL))
            return list_damaged_inner(list, at);
        uint32_t count = inner->node.count, child;
        int error = child_of_key(list, inner, count, level, key, after, &child);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        path->step[level] = (struct list_step){inner, count, child, items};
        items = list_child_items(inner, count, items, child, &before);
        if (SJ_UNLIKELY(items == 0))
            return list_damaged_inner(list, at);
        first += before;
        at = inner->child[child];
    }
    struct sj_list_leaf *leaf = list_leaf_at(list, at);
    if (SJ_UNLIKELY(leaf == NULL || leaf->node.count != items ||
                    (height != 0 && leaf->node.aux != SJ_LIST_LEAF_SLOTS)))
        return list_damaged_leaf(list, at);
    path->leaf = leaf;
    path->count = (uint32_t)items;
    path->room = leaf->node.aux;
    path->first = first;
    return slot_of_key(list, leaf, path->count, key, after, &path->at);
}

int sj_list_bisect(const struct sj_list *list, const struct sj_key *key, bool after,
                   uint64_t *index)
{
    struct list_path path;
    SJ_ASSERT(list->sorted);
    *index = 0;
    if (sj_list_count(list) == 0)
        return SJ_OK;
    int error = list_path_of_key(list, key, after, &path);
    if (SJ_LIKELY(error == SJ_OK))
        *index = path.first + path.at;
    return error;
}

int sj_list_locate(struct sj_list *list, const struct sj_key *key, uint64_t *index)
{
    struct sj_item item = {0};
    int error = sj_list_bisect(list, key, false, index);
    if (error == SJ_OK)
        error = sj_list_get(list, *index, &item);
    if (error != SJ_OK)
        return error;
    return list_key_order(list, &item.key, key) == 0 ? SJ_OK : SJ_ENOTFOUND;
}
