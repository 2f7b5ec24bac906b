// SPDX-License-Identifier: Apache-2.0
/*
 * queue.h: a queue between processes: a deque of kind SJ_KIND_QUEUE that is put to at the right and
 * taken from at the left, whose limit makes putters wait, and who wakes those who wait.
 *
 *   get   enter │ count = 0: arm the bell of items, leave, wait, again
 *               │ else sj_deque_get(0), sj_queue_drop(1), leave
 *   put   enter │ no room: arm the bell of room, leave, wait, again
 *               │ else sj_queue_put(), leave
 *
 * The caller has a write hold; when it ends, those are woken who can go on (spacejmp/bell.h). An
 * operation in a transaction counts for others when the transaction is committed, for the hold ends
 * after that; what is taken in one may come back, so then a getter is woken, too.
 */
#ifndef SJ_STRUCTURES_QUEUE_H
#define SJ_STRUCTURES_QUEUE_H

#include "spacejmp/bell.h"
#include "spacejmp/hold.h"
#include "structures/deque.h"

/* What a queue's two bells ring for. */
enum sj_queue_bell { SJ_QUEUE_ITEMS = 0, SJ_QUEUE_ROOM = 1 };

static inline struct sj_bell sj_queue_bell(const struct sj_deque *queue, enum sj_queue_bell bell)
{
    return (struct sj_bell){queue->head->node.aux, bell};
}

/* Whether `count` more items fit. */
static inline bool sj_queue_has_room(const struct sj_deque *queue, uint64_t count)
{
    uint64_t limit = sj_deque_limit(queue), has = sj_deque_count(queue);
    return has <= limit && count <= limit - has;
}

/* Puts items, in order, in one operation. SJ_EBUSY when they do not fit, all of them; and errors of
 * sj_deque_extend. */
SJ_API int sj_queue_put(struct sj_deque *queue, const struct sj_value *values, uint64_t count);

/* Takes the first items away. SJ_ENOTFOUND when there are fewer; SJ_ECORRUPT. */
SJ_API int sj_queue_drop(struct sj_deque *queue, uint64_t count);

/* Wakes all, as before the queue is destroyed: they find that it is gone. */
void sj_queue_wake_all(const struct sj_deque *queue);

#endif
