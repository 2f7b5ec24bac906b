// SPDX-License-Identifier: Apache-2.0
/*
 * list.h: a list and a sorted list: items by their positions, in a segment.
 *
 * The caller has a read hold for what reads, a write hold for the rest. Every change is one atomic
 * operation, alone or inside a transaction. Damage found on the way is SJ_ECORRUPT and changes
 * nothing.
 *
 * Items are `struct sj_item`: a list uses the value alone, a sorted list the key alone.
 *
 * Cost: append, pop from the end O(1); get, set O(log n), O(1) next to the last one; insert and
 * delete O(log n) and half a leaf; count O(1).
 */
#ifndef SJ_STRUCTURES_LIST_H
#define SJ_STRUCTURES_LIST_H

#include "persistence/heap.h"
#include "structures/codec.h"
#include "structures/entry.h"
#include "structures/list_layout.h"

/* The leaf that was used last: items [first, first + count) are in it. count 0: none. */
struct sj_list_hint {
    struct sj_list_leaf *leaf;
    uint64_t first;
    uint32_t count;
    uint32_t room;
};

/*
 * A list in this process. The hint is followed: it is good as long as nobody but this object
 * changes the segment, and nothing is undone; then sj_list_forget().
 */
struct sj_list {
    struct sj_segment *segment;
    struct sj_list_head *head;
    struct sj_kinds kinds; /* of a slot, as entry.h sees it */
    bool sorted;
    struct sj_list_hint hint;
};

/* Makes an empty list, in the plan of an operation that the caller has begun: one whose key codec
 * is none, or a sorted one, whose value codec is none. SJ_EINVAL, SJ_EFULL, SJ_EIO. */
SJ_API int sj_list_create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head);

/* Opens the list whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_list_open(struct sj_segment *segment, uint64_t head, struct sj_list *list);

static inline uint64_t sj_list_count(const struct sj_list *list)
{
    return sj_load(&list->head->count);
}

static inline void sj_list_forget(struct sj_list *list)
{
    list->hint.count = 0;
}

/* The item at a position. SJ_ENOTFOUND: the list is not that long. */
SJ_API int sj_list_get(struct sj_list *list, uint64_t index, struct sj_item *item);

/* Reads up to `wanted` items from position `index` on. `*got` < wanted: the end was reached. What
 * slots lead to is fetched ahead. */
SJ_API int sj_list_read(struct sj_list *list, uint64_t index, uint32_t wanted,
                        struct sj_item *items, uint32_t *got);

/* Copies the slots [index, index + count), all of which there are. */
SJ_API int sj_list_slots(struct sj_list *list, uint64_t index, uint64_t count, uint64_t *slots);

/* Replaces the value at a position; not of a sorted list. SJ_ENOTFOUND, SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_list_set(struct sj_list *list, uint64_t index, const struct sj_value *value);

/* Adds an item at the end. Two words are logged. SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_list_append(struct sj_list *list, const struct sj_item *item);

/* Puts an item before position `index` ≤ count; a sorted list's caller knows that it belongs
 * there. SJ_EINVAL, SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_list_insert(struct sj_list *list, uint64_t index, const struct sj_item *item);

/* SJ_ENOTFOUND. */
SJ_API int sj_list_delete(struct sj_list *list, uint64_t index);

/* The items [from, to) go, `count` others come in their place, in one operation: an extension when
 * from = to = the count. SJ_EINVAL, SJ_ETOOBIG, SJ_EFULL. Cost: O(log n + what goes + what
 * comes). */
SJ_API int sj_list_replace(struct sj_list *list, uint64_t from, uint64_t to,
                           const struct sj_item *items, uint64_t count);

/* The list gets these slots for its own, which are the same ones (sj_list_slots) in another order.
 * SJ_EINVAL: not as many. SJ_EFULL. What follows does the same, with the order that it says. */
SJ_API int sj_list_reorder(struct sj_list *list, const uint64_t *slots, uint64_t count);

SJ_API int sj_list_reverse(struct sj_list *list);

/* Sorts a list of words, as signed numbers. O(n log n). */
SJ_API int sj_list_sort_numbers(struct sj_list *list, bool descending);

/* Removes all items. O(n) when they lead to blocks, else O(n / 510). */
SJ_API int sj_list_clear(struct sj_list *list);

/* Frees the whole list with its head, in the plan of an operation that the caller has begun. */
SJ_API int sj_list_destroy(struct sj_list *list);

/* Sorted lists: how many keys are < `key` (`after`: ≤ `key`). O(log n). */
SJ_API int sj_list_bisect(const struct sj_list *list, const struct sj_key *key, bool after,
                          uint64_t *index);

/* Sorted lists: the position of the first key that equals `key`. SJ_ENOTFOUND. */
SJ_API int sj_list_locate(struct sj_list *list, const struct sj_key *key, uint64_t *index);

/* Sorted lists: adds a key, behind those that equal it. SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_list_add(struct sj_list *list, const struct sj_key *key);

/* Sorted lists: adds items whose keys ascend, in one operation that makes all leaves anew. O(n).
 * SJ_EORDER: they do not. SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_list_merge(struct sj_list *list, const struct sj_item *items, uint64_t count);

/*
 * Verifies counts, kinds, order and reachability, and calls `visit` for each block the list has in
 * the heap (see sj_heap_check), its head included. SJ_ECORRUPT with the place.
 */
SJ_API int sj_list_check(const struct sj_list *list, sj_heap_visit *visit, void *context);

/* The list as one of the structures (structure.h). */
extern const struct sj_structure_type sj_list_type;

#endif
