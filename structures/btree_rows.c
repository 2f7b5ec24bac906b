// SPDX-License-Identifier: Apache-2.0
/*
 * btree_rows.c: rows of items or children in memory, and nodes made of them (btree_plan.h).
 *
 *   row       k0 s0 | k1 s1 | k2 s2 | k3 s3 | k4 s4        with a cut at 2:
 *   nodes     | k0 k1 | s0 s1 |      | k2 k3 k4 | s2 s3 s4 |
 *
 * For byte keys a node's words depend on its fences (I3 of btree_layout.h): they are computed anew
 * from the whole keys, of which each is read and checked here.
 *
 * Everything here stores to memory alone. Cost: O(items), a cache miss an item for byte keys.
 */
#include "structures/btree_plan.h"

int btree_row_fence(struct sj_btree *tree, const struct btree_leaf_row *row, uint32_t cut,
                    struct btree_fence *fence)
{
    *fence = (struct btree_fence){.word = row->key[cut]};
    if (!btree_bytes(tree))
        return SJ_OK;
    struct btree_text left = slot_text(tree, row->slot[cut - 1]);
    struct btree_text right = slot_text(tree, row->slot[cut]);
    if (left.bytes == NULL || right.bytes == NULL) /* btree_row_to_leaf would tell it later */
        return damaged_entry(tree, row->slot[left.bytes == NULL ? cut - 1 : cut]);
    return btree_separator_make(tree, left, right, fence);
}

void btree_row_add(struct btree_leaf_row *row, const struct sj_btree_leaf *leaf, uint32_t from,
                   uint32_t to)
{
    memcpy(row->key + row->count, leaf->key + from, (to - from) * sizeof leaf->key[0]);
    memcpy(row->slot + row->count, leaf->slot + from, (to - from) * sizeof leaf->slot[0]);
    row->count += to - from;
}

int btree_row_to_leaf(const struct sj_btree *tree, const struct btree_leaf_row *row, uint32_t from,
                      uint32_t to, uint32_t skip, struct sj_btree_leaf *image)
{
    uint32_t count = to - from;
    *(uint64_t *)&image->node = node_head(SJ_KIND_BTREE_LEAF, count, skip);
    memcpy(image->key, row->key + from, count * sizeof image->key[0]);
    memcpy(image->slot, row->slot + from, count * sizeof image->slot[0]);
    if (!btree_bytes(tree))
        return SJ_OK;
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch((const void *)(uintptr_t)image->slot[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct btree_text text = slot_text(tree, image->slot[i]);
        if (SJ_UNLIKELY(text.bytes == NULL))
            return damaged_entry(tree, image->slot[i]);
        image->key[i] = text_fragment(text, skip);
    }
    return SJ_OK;
}

void btree_inner_row_add(struct btree_inner_row *row, struct sj_btree_inner *inner, bool bytes,
                         const struct btree_fence *first)
{
    uint32_t at = row->count, count = inner_count(inner, bytes);
    memcpy(row->key + at, inner_keys(inner), count * sizeof(uint64_t));
    memcpy(row->child + at, inner_children(inner, bytes), count * sizeof(uint64_t));
    memcpy(row->items + at, inner_items(inner, bytes), count * sizeof(uint64_t));
    if (bytes)
        memcpy(row->separator + at, inner_separators(inner), count * sizeof(uint64_t));
    row->key[at] = first->word;
    row->separator[at] = first->block;
    row->count += count;
}

/* The fragments of an inner node in memory. */
static int fill_fragments(const struct sj_btree *tree, struct sj_btree_inner *image)
{
    const uint64_t *separators = inner_separators(image);
    for (uint32_t i = 1; i < image->node.count; i++)
        __builtin_prefetch((const void *)(uintptr_t)separators[i]);
    for (uint32_t i = 1; i < image->node.count; i++) {
        struct btree_text text = separator_at(tree, separators[i]);
        if (SJ_UNLIKELY(text.bytes == NULL))
            return damaged_separator(tree, separators[i]);
        inner_keys(image)[i] = text_fragment(text, image->node.aux);
    }
    return SJ_OK;
}

int btree_row_to_inner(const struct sj_btree *tree, const struct btree_inner_row *row,
                       uint32_t from, uint32_t to, uint32_t skip, struct sj_btree_inner *image,
                       uint64_t *items)
{
    bool bytes = btree_bytes(tree);
    uint32_t count = to - from;
    uint64_t *keys = inner_keys(image);
    *(uint64_t *)&image->node = node_head(SJ_KIND_BTREE_INNER, count, skip);
    memcpy(keys, row->key + from, count * sizeof(uint64_t));
    memcpy(inner_children(image, bytes), row->child + from, count * sizeof(uint64_t));
    memcpy(inner_items(image, bytes), row->items + from, count * sizeof(uint64_t));
    keys[0] = 0;
    for (uint32_t i = count; i < inner_fanout(bytes); i++)
        keys[i] = BTREE_UNUSED_KEY;
    *items = 0;
    for (uint32_t i = from; i < to; i++)
        *items += row->items[i];
    if (!bytes)
        return SJ_OK;
    memcpy(inner_separators(image), row->separator + from, count * sizeof(uint64_t));
    inner_separators(image)[0] = 0;
    return fill_fragments(tree, image);
}

int btree_inner_row_fence(const struct sj_btree *tree, const struct btree_inner_row *row,
                          uint32_t cut, struct btree_fence *fence)
{
    *fence = (struct btree_fence){.word = row->key[cut]};
    if (!btree_bytes(tree))
        return SJ_OK;
    fence->block = row->separator[cut];
    fence->text = separator_at(tree, fence->block);
    return fence->text.bytes != NULL ? SJ_OK : damaged_separator(tree, fence->block);
}

/* Moves words [at, count) of an array one up, or [at + 1, count) one down. */
static void shift_up(uint64_t *array, uint32_t at, uint32_t count)
{
    memmove(array + at + 1, array + at, (count - at) * sizeof *array);
}

static void shift_down(uint64_t *array, uint32_t at, uint32_t count)
{
    memmove(array + at, array + at + 1, (count - at - 1) * sizeof *array);
}

void btree_inner_set_fence(struct sj_btree_inner *image, bool bytes, uint32_t index,
                           const struct btree_fence *fence)
{
    if (bytes)
        inner_separators(image)[index] = fence->block;
    inner_keys(image)[index] = bytes ? text_fragment(fence->text, image->node.aux) : fence->word;
}

void btree_inner_insert(struct sj_btree_inner *image, bool bytes, uint32_t index,
                        const struct btree_fence *fence, uint64_t child, uint64_t items)
{
    uint32_t count = image->node.count, at = index + 1;
    shift_up(inner_keys(image), at, count);
    shift_up(inner_children(image, bytes), at, count);
    shift_up(inner_items(image, bytes), at, count);
    if (bytes)
        shift_up(inner_separators(image), at, count);
    inner_children(image, bytes)[at] = child;
    inner_items(image, bytes)[at] = items;
    btree_inner_set_fence(image, bytes, at, fence);
    image->node.count++;
}

void btree_inner_remove(struct sj_btree_inner *image, bool bytes, uint32_t index)
{
    uint32_t count = image->node.count;
    shift_down(inner_keys(image), index, count);
    shift_down(inner_children(image, bytes), index, count);
    shift_down(inner_items(image, bytes), index, count);
    if (bytes)
        shift_down(inner_separators(image), index, count);
    inner_keys(image)[count - 1] = BTREE_UNUSED_KEY;
    image->node.count--;
}
