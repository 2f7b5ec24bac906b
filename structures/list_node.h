// SPDX-License-Identifier: Apache-2.0
/*
 * list_node.h: nodes of a list as the code sees them: pointers to them checked, and ways down.
 *
 * What a pointer read from media leads to is a node only after list_leaf_at() or list_inner_at()
 * said so. A way down keeps the counts that were checked: on damaged media a block that is
 * allocated later may overlap a node, whose count then is anything.
 */
#ifndef SJ_STRUCTURES_LIST_NODE_H
#define SJ_STRUCTURES_LIST_NODE_H

#include <string.h>

#include "persistence/seam.h"
#include "structures/list.h"

#define LIST_INLINE static inline __attribute__((always_inline))

#define LIST_LEAF_LEAST  (SJ_LIST_LEAF_SLOTS / 4) /* below it, a leaf looks for company */
#define LIST_INNER_LEAST (SJ_LIST_FANOUT / 4)

/* One step of a way down: the node, its children, the items below it; and which child was taken. */
struct list_step {
    struct sj_list_inner *inner;
    uint32_t count;
    uint32_t index;
    uint64_t items;
};

/* A way down from the top to a place in a leaf. step[0] is the leaf's parent. */
struct list_path {
    struct list_step step[SJ_LIST_HEIGHT_MAX];
    uint32_t height;
    struct sj_list_leaf *leaf;
    uint32_t count; /* slots of the leaf that are in use */
    uint32_t room;
    uint32_t at;    /* in the leaf; count: behind its last slot */
    uint64_t first; /* position of the leaf's first item */
};

LIST_INLINE uint64_t list_address(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

/* The first word of a node: kind, count and aux are stored together. */
LIST_INLINE uint64_t list_node_head(uint16_t kind, uint32_t count, uint32_t aux)
{
    return (uint64_t)kind | (uint64_t)count << 16 | (uint64_t)aux << 32;
}

LIST_INLINE size_t list_leaf_bytes(uint32_t room)
{
    return sizeof(struct sj_list_leaf) + 8 * (size_t)room;
}

/* Whether slots are plain words: nothing to allocate, nothing to free. */
LIST_INLINE bool list_plain(const struct sj_list *list)
{
    return list->kinds.key == SJ_ITEM_WORD && list->kinds.value == SJ_ITEM_WORD;
}

/* The smallest room for `count` slots, ≤ 510. */
LIST_INLINE uint32_t list_room_for(uint64_t count)
{
    return count <= 6 ? 6 : count <= 30 ? 30 : count <= 126 ? 126 : SJ_LIST_LEAF_SLOTS;
}

/* The leaf at an address read from media, or NULL. */
LIST_INLINE struct sj_list_leaf *list_leaf_at(const struct sj_list *list, uint64_t at)
{
    struct sj_list_leaf *leaf =
        sj_segment_block(list->segment, at, list_leaf_bytes(6), SJ_KIND_LIST_LEAF);
    if (SJ_UNLIKELY(leaf == NULL))
        return NULL;
    uint32_t room = leaf->node.aux;
    if (SJ_UNLIKELY(room > SJ_LIST_LEAF_SLOTS || room != list_room_for(room) ||
                    leaf->node.count - 1u >= room ||
                    !sj_segment_spans(list->segment, at, list_leaf_bytes(room))))
        return NULL;
    return leaf;
}

/* The inner node at an address read from media, or NULL. */
LIST_INLINE struct sj_list_inner *list_inner_at(const struct sj_list *list, uint64_t at)
{
    struct sj_list_inner *inner =
        sj_segment_block(list->segment, at, sizeof *inner, SJ_KIND_LIST_INNER);
    if (SJ_UNLIKELY(inner == NULL || inner->node.count - 1u >= SJ_LIST_FANOUT))
        return NULL;
    return inner;
}

static inline int list_damaged(const struct sj_list *list, uint64_t at, const char *expected)
{
    return sj_segment_damaged(list->segment, at, expected);
}

static inline int list_damaged_leaf(const struct sj_list *list, uint64_t at)
{
    return list_damaged(list, at, "a leaf of a list");
}

static inline int list_damaged_inner(const struct sj_list *list, uint64_t at)
{
    return list_damaged(list, at, "an inner node of a list");
}

/* The child that item `rest` of a node is below: the last one with before[i] ≤ rest. */
LIST_INLINE uint32_t list_child_of(const struct sj_list_inner *inner, uint32_t count, uint64_t rest)
{
    if (SJ_LIKELY(count > 1)) {
        /* As if all children had as many items as the first one. */
        uint64_t each = inner->before[1], guess = 0;
        if (SJ_LIKELY(((rest | each) >> 32) == 0 && each != 0))
            guess = (uint32_t)rest / (uint32_t)each;
        if (guess >= count)
            guess = count - 1;
        if (SJ_LIKELY((guess == 0 || inner->before[guess] <= rest) &&
                      (guess + 1 == count || rest < inner->before[guess + 1])))
            return (uint32_t)guess;
    }
    uint32_t low = 0, high = count; /* the answer is in [low, high) */
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (inner->before[middle] <= rest)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Items below child `index` of a node, 0 when its counts are damaged; `*before`: those before. */
LIST_INLINE uint64_t list_child_items(const struct sj_list_inner *inner, uint32_t count,
                                      uint64_t items, uint32_t index, uint64_t *before)
{
    uint64_t begin = index == 0 ? 0 : inner->before[index];
    uint64_t end = index + 1 < count ? inner->before[index + 1] : items;
    *before = begin;
    return SJ_LIKELY(begin < end && end <= items) ? end - begin : 0;
}

/* The slot for an item: allocates what it leads to. In a plan. SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG. */
static inline int list_slot_make(struct sj_list *list, const struct sj_item *item, uint64_t *slot)
{
    if (list_plain(list)) {
        *slot = list->sorted ? item->key.word : item->value.word;
        return SJ_OK;
    }
    static const struct sj_value nothing;
    return sj_slot_make(list->segment, list->kinds, &item->key,
                        list->sorted ? &nothing : &item->value, slot);
}

static inline int list_slot_item(const struct sj_list *list, const uint64_t *slot,
                                 struct sj_item *item)
{
    if (list_plain(list)) {
        item->key.word = item->value.word = *slot;
        return SJ_OK;
    }
    return sj_slot_item(list->segment, list->kinds, 0, slot, item);
}

/* The way to an item, or for index = count to the place behind the last one. The list has items.
 * SJ_ECORRUPT. */
int list_path_to(const struct sj_list *list, uint64_t index, struct list_path *path);

/* Sorted lists that have items: the way to the first place whose key is ≥ `key` (> `key`), or the
 * place behind the leaf's last slot. SJ_ECORRUPT. */
int list_path_of_key(const struct sj_list *list, const struct sj_key *key, bool after,
                     struct list_path *path);

/* A whole operation: one slot more at the end of a way down, made of the item. */
int list_insert_at(struct sj_list *list, const struct list_path *path, const struct sj_item *item);

/* What a change of any size does: [from, to) goes, `slots` come. `keep`: what goes is not freed. */
struct list_splice {
    uint64_t from, to;
    const uint64_t *slots;
    uint64_t count;
    bool keep;
};

/* Plan and apply of an operation that the caller has begun. SJ_EFULL, SJ_ENOMEM, SJ_ECORRUPT. */
int list_splice(struct sj_list *list, const struct list_splice *splice);

/* Whether all items fit, before an operation begins. SJ_ETOOBIG. */
int list_items_fit(const struct sj_list *list, const struct sj_item *items, uint64_t count);

/* The slots of items. In a plan. SJ_EFULL, SJ_ENOMEM. */
int list_make_slots(struct sj_list *list, const struct sj_item *items, uint64_t count,
                    uint64_t *slots);

/* < 0, 0, > 0: the order of two keys of a sorted list. */
static inline int list_key_order(const struct sj_list *list, const struct sj_key *a,
                                 const struct sj_key *b)
{
    if (list->kinds.key == SJ_ITEM_WORD)
        return (a->word > b->word) - (a->word < b->word);
    uint32_t shorter = a->size < b->size ? a->size : b->size;
    int order = shorter == 0 ? 0 : memcmp(a->bytes, b->bytes, shorter);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* Frees the slots [from, to) of a leaf (`keep`: does nothing). In a plan. */
int list_free_slots(struct sj_list *list, const struct sj_list_leaf *leaf, uint32_t from,
                    uint32_t to);

/* Frees a node, all below it and, unless `keep`, what the slots lead to. `*budget`: how many nodes
 * there can still be. In a plan. SJ_ECORRUPT. */
int list_free_node(struct sj_list *list, uint64_t at, uint32_t level, bool keep, uint64_t *budget);

/* How many nodes the segment can hold. */
static inline uint64_t list_node_budget(const struct sj_list *list)
{
    return sj_segment_committed(list->segment) / list_leaf_bytes(6);
}

#endif
