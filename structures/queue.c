// SPDX-License-Identifier: Apache-2.0
/* queue.c: putting and taking, and who is woken by it (queue.h). */
#include "structures/queue.h"

int sj_queue_put(struct sj_deque *queue, const struct sj_value *values, uint64_t count)
{
    if (!sj_queue_has_room(queue, count))
        return SJ_EBUSY;
    int error = sj_deque_extend(queue, SJ_RIGHT, values, count);
    if (SJ_LIKELY(error == SJ_OK))
        sj_bell_note(queue->segment, sj_queue_bell(queue, SJ_QUEUE_ITEMS), count);
    return error;
}

int sj_queue_drop(struct sj_deque *queue, uint64_t count)
{
    int error = sj_deque_remove(queue, SJ_LEFT, count);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (sj_deque_limit(queue) != SJ_DEQUE_UNLIMITED)
        sj_bell_note(queue->segment, sj_queue_bell(queue, SJ_QUEUE_ROOM), count);
    if (sj_tx_depth(queue->segment) > 0)
        sj_bell_note(queue->segment, sj_queue_bell(queue, SJ_QUEUE_ITEMS), count);
    return SJ_OK;
}

void sj_queue_wake_all(const struct sj_deque *queue)
{
    sj_bell_note(queue->segment, sj_queue_bell(queue, SJ_QUEUE_ITEMS), INT32_MAX);
    sj_bell_note(queue->segment, sj_queue_bell(queue, SJ_QUEUE_ROOM), INT32_MAX);
}
