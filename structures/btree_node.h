// SPDX-License-Identifier: Apache-2.0
/*
 * btree_node.h: nodes of a B+tree as the code sees them: their arrays, and pointers to them
 * checked.
 *
 * What a pointer read from media leads to is a node only after leaf_at(), inner_at() or
 * separator_at() said so: range, alignment, kind and count were right. Everything else in a node
 * (keys, skips, addresses) may be any number: the code that uses it stays inside the node, or
 * checks it.
 *
 * `bytes` says whether keys are byte keys. It is a constant wherever speed counts, so that the
 * code for word keys has no branch on it.
 */
#ifndef SJ_STRUCTURES_BTREE_NODE_H
#define SJ_STRUCTURES_BTREE_NODE_H

#include <string.h>

#include "persistence/seam.h"
#include "structures/btree.h"

#define SJ_INLINE static inline __attribute__((always_inline))

#define BTREE_LEAF_MIN   (SJ_BTREE_LEAF_ITEMS / 3) /* below it, a leaf looks for company */
#define BTREE_UNUSED_KEY UINT64_MAX                /* I7 of btree_layout.h */

/* Whole keys, or separators: bytes in the segment or the caller's. `bytes` NULL: there is none. */
struct btree_text {
    const uint8_t *bytes;
    uint32_t size;
};

/* One step of a way down: the node, and which child was taken. */
struct btree_step {
    struct sj_btree_inner *inner;
    uint32_t index;
};

/* A way down from the top to a place in a leaf. step[0] is the leaf's parent. */
struct btree_path {
    struct btree_step step[SJ_BTREE_HEIGHT_MAX];
    struct sj_btree_leaf *leaf;
    uint32_t height;
    uint32_t at; /* where the key is in the leaf, or belongs */
    bool found;
};

SJ_INLINE bool btree_bytes(const struct sj_btree *tree)
{
    return tree->kinds.key != SJ_ITEM_WORD;
}

/* Whether slots are plain values: nothing to allocate, nothing to free. */
SJ_INLINE bool btree_plain(const struct sj_btree *tree)
{
    return tree->kinds.key == SJ_ITEM_WORD && tree->kinds.value == SJ_ITEM_WORD;
}

/* Children that an inner node can have. */
SJ_INLINE uint32_t inner_fanout(bool bytes)
{
    return bytes ? SJ_BTREE_INNER_BYTES : SJ_BTREE_INNER_WORD;
}

/*
 * Children of a node that was checked earlier. On damaged media a block that was allocated since
 * may overlap the node (its bit in the heap was lost), so the count is anything again: here it is
 * one that stays inside the node.
 */
SJ_INLINE uint32_t inner_count(const struct sj_btree_inner *inner, bool bytes)
{
    uint32_t count = inner->node.count;
    return count <= inner_fanout(bytes) ? count : inner_fanout(bytes);
}

SJ_INLINE uint64_t *inner_keys(struct sj_btree_inner *inner)
{
    return inner->words;
}

SJ_INLINE uint64_t *inner_children(struct sj_btree_inner *inner, bool bytes)
{
    return inner->words + inner_fanout(bytes);
}

SJ_INLINE uint64_t *inner_items(struct sj_btree_inner *inner, bool bytes)
{
    return inner->words + 2 * inner_fanout(bytes);
}

/* Byte keys only. */
SJ_INLINE uint64_t *inner_separators(struct sj_btree_inner *inner)
{
    return inner->words + 3 * SJ_BTREE_INNER_BYTES;
}

/* The first word of a node: kind, count and aux are stored together. */
SJ_INLINE uint64_t node_head(uint16_t kind, uint32_t count, uint32_t aux)
{
    return (uint64_t)kind | (uint64_t)count << 16 | (uint64_t)aux << 32;
}

SJ_INLINE uint64_t address_of(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

/* The leaf at an address read from media, or NULL. Only a lone top leaf may be empty: `least` is 0
 * for it, else 1. */
SJ_INLINE struct sj_btree_leaf *leaf_at(const struct sj_btree *tree, uint64_t at, uint32_t least)
{
    struct sj_btree_leaf *leaf =
        sj_segment_block(tree->segment, at, sizeof *leaf, SJ_KIND_BTREE_LEAF);
    if (SJ_UNLIKELY(leaf == NULL || leaf->node.count - least > SJ_BTREE_LEAF_ITEMS - least))
        return NULL;
    return leaf;
}

/* The inner node at an address read from media, or NULL. */
SJ_INLINE struct sj_btree_inner *inner_at(const struct sj_btree *tree, uint64_t at, bool bytes)
{
    struct sj_btree_inner *inner =
        sj_segment_block(tree->segment, at, sizeof *inner, SJ_KIND_BTREE_INNER);
    if (SJ_UNLIKELY(inner == NULL || inner->node.count - 2u > inner_fanout(bytes) - 2u))
        return NULL;
    return inner;
}

/* The separator at an address read from media; `bytes` NULL when it is none. */
static inline struct btree_text separator_at(const struct sj_btree *tree, uint64_t at)
{
    struct btree_text text = {NULL, 0};
    const struct sj_btree_separator *separator =
        sj_segment_block(tree->segment, at, sizeof *separator, SJ_KIND_BTREE_KEY);
    if (SJ_UNLIKELY(separator == NULL || separator->size - 1 >= SJ_KEY_BYTES_MAX ||
                    !sj_segment_spans(tree->segment, at, sizeof *separator + separator->size)))
        return text;
    text.bytes = separator->bytes;
    text.size = separator->size;
    return text;
}

/* The whole key of a leaf's slot; `bytes` NULL when the entry is damaged. Byte keys only. */
static inline struct btree_text slot_text(const struct sj_btree *tree, uint64_t slot)
{
    struct btree_text text = {NULL, 0};
    const struct sj_entry *entry = sj_entry_at(tree->segment, slot);
    if (SJ_LIKELY(entry != NULL)) {
        text.bytes = sj_entry_key(entry);
        text.size = entry->key_size;
    }
    return text;
}

static inline int damaged_leaf(const struct sj_btree *tree, uint64_t at)
{
    return sj_segment_damaged(tree->segment, at, "a B-tree leaf");
}

static inline int damaged_inner(const struct sj_btree *tree, uint64_t at)
{
    return sj_segment_damaged(tree->segment, at, "an inner node of a B-tree");
}

static inline int damaged_separator(const struct sj_btree *tree, uint64_t at)
{
    return sj_segment_damaged(tree->segment, at, "a separator key of a B-tree");
}

static inline int damaged_entry(const struct sj_btree *tree, uint64_t at)
{
    return sj_segment_damaged(tree->segment, at, "an entry of a B-tree");
}

static inline int damaged_height(const struct sj_btree *tree)
{
    return sj_segment_damaged(tree->segment, address_of(&tree->head->height),
                              "the height of a B-tree");
}

#endif
