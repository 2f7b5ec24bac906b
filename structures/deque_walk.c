// SPDX-License-Identifier: Apache-2.0
/*
 * deque_walk.c: walking a deque: read, check, clear, destroy.
 *
 * A walk takes as many steps as there are items, which deque_ends_load() has held against what the
 * segment can hold; so it ends, whatever the links say.
 *
 * Crash rule: clear and destroy only free (deferred to the commit) and store the head's words,
 * which are logged.
 *
 * Cost: O(items read) when the cursor knows its chunk; the others O(n), or O(chunks) to free when
 * values are words.
 */
#include "structures/deque_ends.h"
#include "structures/item_byte.h"
#include "structures/queue.h"

/* ------------------------------------------------------------------ read */

/* The slot of the cursor. SJ_ENOTFOUND, SJ_ECORRUPT. */
static int cursor_place(const struct sj_deque *deque, const struct sj_deque_cursor *cursor,
                        struct deque_place *place)
{
    if (cursor->chunk == 0 || cursor->index >= sj_deque_count(deque))
        return deque_find(deque, cursor->index, place);
    *place = (struct deque_place){deque_chunk(deque, cursor->chunk), cursor->slot};
    return place->chunk != NULL ? SJ_OK : deque_chunk_damaged(deque, cursor->chunk);
}

int sj_deque_read(const struct sj_deque *deque, struct sj_deque_cursor *cursor, bool downwards,
                  uint32_t wanted, struct sj_value *values, uint32_t *got)
{
    struct deque_place place;
    enum sj_side towards = downwards ? SJ_LEFT : SJ_RIGHT;
    uint64_t count = sj_deque_count(deque), index = cursor->index;
    *got = 0;
    int error = cursor_place(deque, cursor, &place);
    if (error != SJ_OK)
        return error == SJ_ENOTFOUND ? SJ_OK : error;
    while (*got < wanted) {
        error = sj_slot_value(deque->segment, deque->kinds, &place.chunk->slot[place.slot],
                              &values[*got]);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        ++*got;
        index += downwards ? -1ull : 1ull;
        if (index >= count) {
            *cursor = (struct sj_deque_cursor){.index = index};
            return SJ_OK;
        }
        error = deque_step(deque, &place, towards);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    *cursor = (struct sj_deque_cursor){index, (uintptr_t)place.chunk, place.slot};
    return SJ_OK;
}

/* ------------------------------------------------------------------ all chunks */

/* What a walk does with a chunk whose slots [from, to) are in use. */
typedef int chunk_visit(void *context, const struct sj_deque *deque, struct sj_deque_chunk *chunk,
                        uint32_t from, uint32_t to);

/* Visits each chunk, from the left. SJ_ECORRUPT. */
static int walk(const struct sj_deque *deque, chunk_visit *visit, void *context)
{
    struct deque_ends ends;
    int error = deque_ends_load(deque, &ends);
    struct sj_deque_chunk *chunk = ends.chunk[SJ_LEFT], *before = NULL;
    if (error != SJ_OK || chunk == NULL)
        return error;
    uint64_t left = ends.count;
    for (;;) {
        uint32_t from = before == NULL ? ends.at[SJ_LEFT] : 0;
        uint32_t room = SJ_DEQUE_SLOTS - from, some = left < room ? (uint32_t)left : room;
        if (chunk->previous != (uintptr_t)before || (chunk->next == 0) != (left == some))
            return sj_segment_damaged(deque->segment, (uintptr_t)chunk, "links of a deque's chunk");
        uint64_t next = chunk->next;
        left -= some;
        error = visit(context, deque, chunk, from, from + some);
        if (error != SJ_OK)
            return error;
        if (left == 0)
            break;
        before = chunk;
        chunk = deque_chunk(deque, next);
        if (chunk == NULL)
            return deque_chunk_damaged(deque, next);
    }
    return chunk == ends.chunk[SJ_RIGHT] ? SJ_OK : deque_chunk_damaged(deque, deque->head->last);
}

/* ------------------------------------------------------------------ check */

struct checking {
    sj_heap_visit *visit;
    void *context;
};

static int visit_block(const struct checking *checking, uint64_t at, uint64_t bytes)
{
    return checking->visit == NULL ? SJ_OK : checking->visit(checking->context, at, bytes);
}

static int check_chunk(void *context, const struct sj_deque *deque, struct sj_deque_chunk *chunk,
                       uint32_t from, uint32_t to)
{
    const struct checking *checking = context;
    if (chunk->node.count != 0 || chunk->node.aux != 0)
        return sj_segment_damaged(deque->segment, (uintptr_t)chunk, "zeros in a deque's chunk");
    int error = visit_block(checking, (uintptr_t)chunk, sizeof(*chunk));
    for (uint32_t i = from; error == SJ_OK && i < to; i++) {
        struct sj_value value;
        error = sj_slot_value(deque->segment, deque->kinds, &chunk->slot[i], &value);
        if (error == SJ_OK && deque->kinds.value == SJ_ITEM_BYTES && (chunk->slot[i] & 7) == 0)
            error = visit_block(checking, chunk->slot[i], sizeof(struct sj_blob) + value.size);
    }
    return error;
}

int sj_deque_check(const struct sj_deque *deque, sj_heap_visit *visit, void *context)
{
    struct checking checking = {visit, context};
    const struct sj_deque_head *head = deque->head;
    if (sj_item_byte_kind((uint8_t)(head->node.count >> 8)) != deque->kinds.value)
        return sj_segment_damaged(deque->segment, (uintptr_t)head, "the kinds of a deque's items");
    if (sj_deque_count(deque) > head->limit)
        return sj_segment_damaged(deque->segment, (uintptr_t)&head->limit,
                                  "a limit of at least the number of items");
    int error = walk(deque, check_chunk, &checking);
    return error != SJ_OK ? error : visit_block(&checking, (uintptr_t)head, sizeof(*head));
}

/* ------------------------------------------------------------------ clear, destroy */

static int free_chunk(void *context, const struct sj_deque *deque, struct sj_deque_chunk *chunk,
                      uint32_t from, uint32_t to)
{
    (void)context;
    if (deque->kinds.value == SJ_ITEM_BYTES)
        for (uint32_t i = from; i < to; i++) {
            int error = sj_slot_free(deque->segment, deque->kinds, chunk->slot[i]);
            if (error != SJ_OK)
                return error;
        }
    return sj_heap_free(deque->segment, (uintptr_t)chunk);
}

static int plan_clear(const struct sj_deque *deque)
{
    struct deque_ends none = {0};
    int error = walk(deque, free_chunk, NULL);
    return error != SJ_OK ? error : deque_ends_store(deque, &none);
}

int sj_deque_clear(struct sj_deque *deque)
{
    int error = sj_tx_op_begin(deque->segment);
    if (error != SJ_OK)
        return error;
    error = plan_clear(deque);
    if (error != SJ_OK)
        return sj_tx_op_abort(deque->segment, error);
    sj_tx_ready(deque->segment);
    return sj_tx_op_commit(deque->segment);
}

int sj_deque_destroy(struct sj_deque *deque)
{
    if (deque->head->node.kind == SJ_KIND_QUEUE)
        sj_queue_wake_all(deque);
    int error = walk(deque, free_chunk, NULL);
    return error != SJ_OK ? error : sj_heap_free(deque->segment, (uintptr_t)deque->head);
}
