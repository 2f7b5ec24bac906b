// SPDX-License-Identifier: Apache-2.0
/*
 * deque.c: a deque: create, open, get, set, and what is done at its ends (deque_layout.h has the
 * format, deque_ends.c how ends move).
 *
 *   extend   each item: its slot stored, or a chunk added │ state; then what is above the limit
 *            goes at the other end
 *   remove   each item's blob freed │ state
 *
 * Crash rule: before the commit's store recovery restores the head's words and the links, so what
 * was stored lies in unused slots again, or in blocks that are free.
 *
 * Cost: one logged word for any number of items, two or three more for each chunk that comes or
 * goes; the heap's for each chunk and blob.
 */
#include "structures/deque.h"

#include "structures/deque_ends.h"
#include "structures/structure.h"

static const struct sj_key no_key;

/* ------------------------------------------------------------------ create, open */

int sj_deque_create(struct sj_segment *segment, const struct sj_deque_spec *spec, uint64_t *at)
{
    struct sj_deque_head *head;
    uint32_t serial = 0;
    int error = sj_structure_serial(&serial);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sizeof(*head), (void **)&head);
    if (error != SJ_OK)
        return error;
    sj_store(head, spec->kind | (uint64_t)spec->value << 24 | (uint64_t)serial << 32);
    sj_store(&head->node.stamp, sj_tx_stamp(segment));
    sj_store(&head->state, 0);
    sj_store(&head->first, 0);
    sj_store(&head->last, 0);
    sj_store(&head->limit, spec->limit);
    *at = (uintptr_t)head;
    return SJ_OK;
}

int sj_deque_open(struct sj_segment *segment, uint64_t at, struct sj_deque *deque)
{
    struct sj_deque_head *head = sj_segment_block(segment, at, sizeof(*head), SJ_KIND_DEQUE);
    if (head == NULL)
        head = sj_segment_block(segment, at, sizeof(*head), SJ_KIND_QUEUE);
    if (head == NULL)
        return sj_segment_damaged(segment, at, "the head of a deque");
    uint8_t key = head->node.count & 0xff, value = head->node.count >> 8;
    if ((key & ~SJ_ITEM_SHARED) != 0 || !sj_item_byte_is_sound(value) || head->node.aux == 0)
        return sj_segment_damaged(segment, at, "the kinds of a deque's items, and its serial");
    *deque = (struct sj_deque){segment, head, {SJ_ITEM_WORD, sj_item_byte_kind(value)}};
    struct deque_ends ends;
    return deque_ends_load(deque, &ends);
}

int sj_deque_set_limit(struct sj_deque *deque, uint64_t limit)
{
    if (sj_deque_count(deque) > limit)
        return sj_error(SJ_EINVAL, "the deque has more items than that");
    int error = sj_tx_op_begin(deque->segment);
    if (error != SJ_OK)
        return error;
    error = sj_tx_node_word(deque->segment, &deque->head->node, sizeof(*deque->head),
                            &deque->head->limit, limit);
    if (error != SJ_OK)
        return sj_tx_op_abort(deque->segment, error);
    sj_tx_ready(deque->segment);
    return sj_tx_op_commit(deque->segment);
}

/* ------------------------------------------------------------------ get, set */

int sj_deque_get(const struct sj_deque *deque, uint64_t index, struct sj_value *value)
{
    struct deque_place place;
    int error = deque_find(deque, index, &place);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return sj_slot_value(deque->segment, deque->kinds, &place.chunk->slot[place.slot], value);
}

int sj_deque_set(struct sj_deque *deque, uint64_t index, const struct sj_value *value)
{
    struct deque_place place;
    int error = sj_item_fits(deque->segment, deque->kinds, &no_key, value);
    if (error == SJ_OK)
        error = deque_find(deque, index, &place);
    if (error != SJ_OK)
        return error;
    return sj_slot_replace(deque->segment, deque->kinds, &place.chunk->node, sizeof(*place.chunk),
                           &place.chunk->slot[place.slot], value);
}

/* ------------------------------------------------------------------ the ends */

/* Takes items away at an end. */
static int plan_remove(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side,
                       uint64_t count)
{
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < count; i++) {
        struct deque_place place = deque_outermost(ends, side);
        error = sj_slot_free(deque->segment, deque->kinds, place.chunk->slot[place.slot]);
        if (SJ_LIKELY(error == SJ_OK))
            error = deque_ends_shrink(deque, ends, side);
    }
    return error;
}

static int plan_extend(const struct sj_deque *deque, enum sj_side side,
                       const struct sj_value *values, uint64_t count)
{
    struct deque_ends ends;
    uint64_t limit = sj_deque_limit(deque);
    int error = deque_ends_load(deque, &ends);
    for (uint64_t i = 0; error == SJ_OK && i < count; i++) {
        struct deque_place place;
        uint64_t slot;
        error = sj_slot_make(deque->segment, deque->kinds, &no_key, &values[i], &slot);
        if (SJ_LIKELY(error == SJ_OK))
            error = deque_ends_grow(deque, &ends, side, &place);
        if (SJ_LIKELY(error == SJ_OK))
            sj_store(&place.chunk->slot[place.slot], slot);
    }
    if (error == SJ_OK && ends.count > limit)
        error = plan_remove(deque, &ends, deque_other(side), ends.count - limit);
    return error != SJ_OK ? error : deque_ends_store(deque, &ends);
}

int sj_deque_extend(struct sj_deque *deque, enum sj_side side, const struct sj_value *values,
                    uint64_t count)
{
    uint64_t limit = sj_deque_limit(deque), beyond = count > limit ? count - limit : 0;
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < count; i++)
        error = sj_item_fits(deque->segment, deque->kinds, &no_key, &values[i]);
    if (error != SJ_OK || count == beyond)
        return error;
    error = sj_tx_op_begin(deque->segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = plan_extend(deque, side, values + beyond, count - beyond);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(deque->segment, error);
    sj_tx_ready(deque->segment);
    return sj_tx_op_commit(deque->segment);
}

int sj_deque_remove(struct sj_deque *deque, enum sj_side side, uint64_t count)
{
    struct deque_ends ends;
    int error = deque_ends_load(deque, &ends);
    if (error != SJ_OK)
        return error;
    if (count > ends.count)
        return SJ_ENOTFOUND;
    error = sj_tx_op_begin(deque->segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = plan_remove(deque, &ends, side, count);
    if (SJ_LIKELY(error == SJ_OK))
        error = deque_ends_store(deque, &ends);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(deque->segment, error);
    sj_tx_ready(deque->segment);
    return sj_tx_op_commit(deque->segment);
}
