// SPDX-License-Identifier: Apache-2.0
/*
 * deque.h: a sequence with two ends, in a segment: a double list of chunks of 60 slots.
 *
 * The caller has a read hold for what takes a `const struct sj_deque *`, a write hold for the
 * rest. Every change is one atomic operation, alone or inside a transaction. Damage found on the
 * way is SJ_ECORRUPT and changes nothing. An index is from the left, and < count unless it says
 * otherwise (else SJ_ENOTFOUND).
 *
 * Cost: at the ends O(1): one logged word, and once in 60 items a chunk; at an index one step for
 * each 60 items from the nearer end; to insert and delete there, the items on that side move.
 */
#ifndef SJ_STRUCTURES_DEQUE_H
#define SJ_STRUCTURES_DEQUE_H

#include "persistence/heap.h"
#include "structures/deque_layout.h"
#include "structures/entry.h"

/* A deque in this process: where its head is, and what its items are. */
struct sj_deque {
    struct sj_segment *segment;
    struct sj_deque_head *head;
    struct sj_kinds kinds; /* the key's is SJ_ITEM_WORD */
};

enum sj_side { SJ_LEFT = 0, SJ_RIGHT = 1 };

/* What a deque is when it is made. */
struct sj_deque_spec {
    enum sj_kind kind; /* SJ_KIND_DEQUE, SJ_KIND_QUEUE */
    uint8_t value;     /* item byte: bit 0 its enum sj_item_kind, the rest its codec */
    uint64_t limit;    /* how many items there may be, or SJ_DEQUE_UNLIMITED */
};

struct sj_structure_type;
extern const struct sj_structure_type sj_deque_type; /* structure.h */
extern const struct sj_structure_type sj_queue_type;

/* Makes an empty one; in the plan of an operation that the caller has begun. SJ_EFULL, SJ_ENOMEM;
 * SJ_EIO when the system gives no random serial. */
SJ_API int sj_deque_create(struct sj_segment *segment, const struct sj_deque_spec *spec,
                           uint64_t *head);

/* Opens the deque or queue whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_deque_open(struct sj_segment *segment, uint64_t head, struct sj_deque *deque);

static inline uint64_t sj_deque_count(const struct sj_deque *deque)
{
    return deque->head->state >> 16;
}

static inline uint64_t sj_deque_limit(const struct sj_deque *deque)
{
    return deque->head->limit;
}

/* Sets the limit of a deque that has no more items than that, as a whole operation. */
SJ_API int sj_deque_set_limit(struct sj_deque *deque, uint64_t limit);

/* SJ_ENOTFOUND, SJ_ECORRUPT. */
SJ_API int sj_deque_get(const struct sj_deque *deque, uint64_t index, struct sj_value *value);

/* SJ_ENOTFOUND, SJ_ETOOBIG, SJ_EFULL, SJ_ENOMEM, SJ_ECORRUPT. */
SJ_API int sj_deque_set(struct sj_deque *deque, uint64_t index, const struct sj_value *value);

/* Puts values at an end, one after the other (so the last is the outermost), in one operation. What
 * is above the limit then is removed at the other end. SJ_ETOOBIG, SJ_EFULL, SJ_ENOMEM. */
SJ_API int sj_deque_extend(struct sj_deque *deque, enum sj_side side, const struct sj_value *values,
                           uint64_t count);

/* Removes `count` items at an end, at most as many as there are, in one operation. */
SJ_API int sj_deque_remove(struct sj_deque *deque, enum sj_side side, uint64_t count);

/* Moves `steps` items, one after the other, from the end opposite to `side` to that end. O(steps),
 * with steps at most half the count: more are reduced. */
SJ_API int sj_deque_rotate(struct sj_deque *deque, enum sj_side side, uint64_t steps);

/* A new item before the one at `index`, which is at most the count; the limit is not looked at. */
SJ_API int sj_deque_insert(struct sj_deque *deque, uint64_t index, const struct sj_value *value);

SJ_API int sj_deque_delete(struct sj_deque *deque, uint64_t index);

/* Turns the order around. O(n), all of it in the log. */
SJ_API int sj_deque_reverse(struct sj_deque *deque);

/* Removes all items and gives all room back. O(n). */
SJ_API int sj_deque_clear(struct sj_deque *deque);

/* Frees the whole deque with its head, in the plan of an operation that the caller has begun. */
SJ_API int sj_deque_destroy(struct sj_deque *deque);

/* Where a reading is: the index of the item to come. `chunk` 0: to be looked up, as it must be
 * after any change of the store. */
struct sj_deque_cursor {
    uint64_t index;
    uint64_t chunk;
    uint32_t slot;
};

/* Reads up to `wanted` items from the cursor on, upwards or downwards, and moves it past them
 * (downwards past 0: index UINT64_MAX). `*got` is less than `wanted` at the end alone. After
 * SJ_ECORRUPT the cursor is where it was. */
SJ_API int sj_deque_read(const struct sj_deque *deque, struct sj_deque_cursor *cursor,
                         bool downwards, uint32_t wanted, struct sj_value *values, uint32_t *got);

/* Verifies state, links and values, and calls `visit` (or none when it is NULL) for each block of
 * the deque in the heap, its head included. SJ_ECORRUPT with the place. */
SJ_API int sj_deque_check(const struct sj_deque *deque, sj_heap_visit *visit, void *context);

#endif
