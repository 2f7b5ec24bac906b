// SPDX-License-Identifier: Apache-2.0
/*
 * btree_search.h: searches in one node, and the way down.
 *
 * A search counts the keys below the one that is looked for, in two rounds of independent
 * comparisons: every eighth key tells which eight it is among, then those are counted. No branch
 * depends on a key.
 *
 *   key:    3  5  8  9 12 15 17[20]21 25 31 36 39 41 50[52]55 58 …        looked for: 36
 *   round 1:                    <                       ≥            → among the second eight
 *   round 2:                       < < < ≥ ≥ ≥ ≥                      → 8 + 3 = 11
 *
 * An inner node's unused keys are all ones (I7), so round 1 needs no look at its count; a leaf's
 * are anything, so there the indices are clamped to the count.
 *
 * Byte keys are searched by their fragments in the same way; where a fragment equals the one looked
 * for, whole keys decide (ties, mostly one comparison).
 *
 * Cost: about 17 comparisons an inner node, 10 a leaf. Whatever the keys are, results stay in the
 * node.
 */
#ifndef SJ_STRUCTURES_BTREE_SEARCH_H
#define SJ_STRUCTURES_BTREE_SEARCH_H

#include "structures/btree_node.h"

/* Counts one comparison; keeps the compiler from making slow vector code of a row of them. */
#define COUNT_IF(count, condition)                                                                 \
    do {                                                                                           \
        (count) += (condition);                                                                    \
        __asm__("" : "+r"(count));                                                                 \
    } while (0)

/* The eight bytes after the first `skip`, as a number that orders like them. */
SJ_INLINE uint64_t text_fragment(struct btree_text text, uint32_t skip)
{
    uint64_t word = 0;
    if (SJ_LIKELY((uint64_t)skip + 8 <= text.size)) {
        memcpy(&word, text.bytes + skip, 8);
        return __builtin_bswap64(word);
    }
    for (uint32_t at = skip; at < text.size; at++)
        word |= (uint64_t)text.bytes[at] << (56 - 8 * (at - skip));
    return word;
}

SJ_INLINE int text_compare(struct btree_text a, struct btree_text b)
{
    int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

SJ_INLINE struct btree_text key_text(const struct sj_key *key)
{
    static const uint8_t none[1];
    struct btree_text text = {key->bytes != NULL ? key->bytes : none, key->size};
    return text;
}

/* How many of keys[0 … count) are < key; count ≤ SJ_BTREE_LEAF_ITEMS. */
SJ_INLINE uint32_t leaf_rank(const uint64_t *keys, uint32_t count, uint64_t key)
{
    uint64_t rank = 0;
    if (SJ_UNLIKELY(count < 8)) {
        for (uint32_t i = 0; i < count; i++)
            COUNT_IF(rank, keys[i] < key);
        return (uint32_t)rank;
    }
    uint32_t last = count - 1;
    uint64_t eights = keys[7] < key;
    COUNT_IF(eights, keys[last < 15 ? last : 15] < key);
    COUNT_IF(eights, keys[last < 23 ? last : 23] < key);
    rank = 8 * eights < count - 7 ? 8 * eights : count - 7;
    const uint64_t *window = keys + rank;
    for (uint32_t i = 0; i < 7; i++)
        COUNT_IF(rank, window[i] < key);
    return (uint32_t)rank;
}

/* How many of the `count` separators behind keys[0] are < key (`equal`: ≤ key). */
SJ_INLINE uint32_t inner_rank(const uint64_t *keys, uint32_t count, uint64_t key, bool equal,
                              bool bytes)
{
    const uint32_t capacity = inner_fanout(bytes) - 1;
    const uint64_t *separators = keys + 1;
    uint64_t eights = 0;
    for (uint32_t i = 7; i < capacity; i += 8)
        COUNT_IF(eights, equal ? separators[i] <= key : separators[i] < key);
    uint64_t rank = 8 * eights < capacity - 7 ? 8 * eights : capacity - 7;
    const uint64_t *window = separators + rank;
    for (uint32_t i = 0; i < 7; i++)
        COUNT_IF(rank, equal ? window[i] <= key : window[i] < key);
    return rank < count ? (uint32_t)rank : count;
}

/* Where whole keys decide: key `at` and maybe some after it have the fragment looked for. */
static inline int leaf_ties(const struct sj_btree *tree, const struct sj_btree_leaf *leaf,
                            struct btree_text text, uint32_t *at, bool *found)
{
    uint64_t fragment = leaf->key[*at];
    uint32_t low = *at, high = low + 1;
    while (high < leaf->node.count && leaf->key[high] == fragment)
        high++;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct btree_text other = slot_text(tree, leaf->slot[middle]);
        if (SJ_UNLIKELY(other.bytes == NULL))
            return damaged_entry(tree, leaf->slot[middle]);
        int order = text_compare(other, text);
        if (order == 0) {
            *at = middle;
            *found = true;
            return SJ_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return SJ_OK;
}

/* The first place in the leaf whose key is ≥ `key`; `*found`: it is equal. */
SJ_INLINE int leaf_find(const struct sj_btree *tree, const struct sj_btree_leaf *leaf,
                        const struct sj_key *key, bool bytes, uint32_t *at, bool *found)
{
    uint32_t count = leaf->node.count;
    if (!bytes) {
        *at = leaf_rank(leaf->key, count, key->word);
        *found = *at < count && leaf->key[*at] == key->word;
        return SJ_OK;
    }
    uint64_t fragment = text_fragment(key_text(key), leaf->node.aux);
    *at = leaf_rank(leaf->key, count, fragment);
    *found = false;
    if (*at < count && leaf->key[*at] == fragment)
        return leaf_ties(tree, leaf, key_text(key), at, found);
    return SJ_OK;
}

/* The same for separators: `*index` becomes how many of them are ≤ the key. */
static inline int inner_ties(const struct sj_btree *tree, struct sj_btree_inner *inner,
                             struct btree_text text, uint32_t *index)
{
    const uint64_t *keys = inner_keys(inner), *separators = inner_separators(inner);
    uint32_t low = *index, high = low + 1;
    uint64_t fragment = keys[low + 1];
    while (high + 1 < inner->node.count && keys[high + 1] == fragment)
        high++;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct btree_text other = separator_at(tree, separators[middle + 1]);
        if (SJ_UNLIKELY(other.bytes == NULL))
            return damaged_separator(tree, separators[middle + 1]);
        if (text_compare(other, text) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return SJ_OK;
}

/* Which child of the node has the key's place below it. */
SJ_INLINE int inner_find(const struct sj_btree *tree, struct sj_btree_inner *inner,
                         const struct sj_key *key, bool bytes, uint32_t *index)
{
    uint32_t count = inner->node.count - 1u;
    if (!bytes) {
        *index = inner_rank(inner_keys(inner), count, key->word, true, false);
        return SJ_OK;
    }
    uint64_t fragment = text_fragment(key_text(key), inner->node.aux);
    *index = inner_rank(inner_keys(inner), count, fragment, false, true);
    if (*index < count && inner_keys(inner)[*index + 1] == fragment)
        return inner_ties(tree, inner, key_text(key), index);
    return SJ_OK;
}

/* A leaf's slots; its keys are loaded together by the search itself. */
SJ_INLINE void prefetch_slots(uint64_t leaf)
{
    for (uint32_t line = 256; line < sizeof(struct sj_btree_leaf); line += 64)
        __builtin_prefetch((const void *)(uintptr_t)(leaf + line));
}

SJ_INLINE void prefetch_leaf(uint64_t leaf)
{
    for (uint32_t line = 0; line < sizeof(struct sj_btree_leaf); line += 64)
        __builtin_prefetch((const void *)(uintptr_t)(leaf + line));
}

/* The leaf that has the key's place. Cost: the height in cache misses, the upper ones cached. */
SJ_INLINE int leaf_of(const struct sj_btree *tree, const struct sj_key *key, bool bytes,
                      struct sj_btree_leaf **leaf)
{
    uint64_t at = tree->head->top, height = tree->head->height;
    if (SJ_UNLIKELY(height > SJ_BTREE_HEIGHT_MAX))
        return damaged_height(tree);
    uint32_t least = height != 0;
    for (; height != 0; height--) {
        struct sj_btree_inner *inner = inner_at(tree, at, bytes);
        if (SJ_UNLIKELY(inner == NULL))
            return damaged_inner(tree, at);
        uint32_t index = 0;
        int error = inner_find(tree, inner, key, bytes, &index);
        if (bytes && SJ_UNLIKELY(error != SJ_OK))
            return error;
        at = inner_children(inner, bytes)[index];
    }
    prefetch_slots(at);
    *leaf = leaf_at(tree, at, least);
    return SJ_LIKELY(*leaf != NULL) ? SJ_OK : damaged_leaf(tree, at);
}

/* The same, with all steps, and the place in the leaf. */
SJ_INLINE int path_to(const struct sj_btree *tree, const struct sj_key *key, bool bytes,
                      struct btree_path *path)
{
    uint64_t at = tree->head->top, height = tree->head->height;
    path->height = (uint32_t)height;
    path->at = 0;
    path->found = false;
    if (SJ_UNLIKELY(height > SJ_BTREE_HEIGHT_MAX))
        return damaged_height(tree);
    for (; height != 0; height--) {
        struct btree_step *step = &path->step[height - 1];
        step->inner = inner_at(tree, at, bytes);
        if (SJ_UNLIKELY(step->inner == NULL))
            return damaged_inner(tree, at);
        uint32_t index = 0;
        int error = inner_find(tree, step->inner, key, bytes, &index);
        if (bytes && SJ_UNLIKELY(error != SJ_OK))
            return error;
        step->index = index;
        at = inner_children(step->inner, bytes)[index];
        __builtin_prefetch(&inner_items(step->inner, bytes)[index]);
    }
    prefetch_slots(at);
    path->leaf = leaf_at(tree, at, path->height != 0);
    if (SJ_UNLIKELY(path->leaf == NULL))
        return damaged_leaf(tree, at);
    return leaf_find(tree, path->leaf, key, bytes, &path->at, &path->found);
}

#endif
