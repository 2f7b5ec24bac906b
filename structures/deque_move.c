// SPDX-License-Identifier: Apache-2.0
/*
 * deque_move.c: changes in the middle of a deque: rotate, insert, delete, reverse.
 *
 *   rotate by 2    │ . . a b c d e f . │ → │ d' e f a b c . . . │   slots stored at the left end,
 *                                                                   left at the right one
 *   insert at 2    │ . a b c d e f . . │ → │ a b X c d e f . . │    a slot more at the nearer end;
 *                                                                   what is between moves there
 *   delete at 2    │ . a b c d e f . . │ → │ . . a b d e f . . │    the other way round
 *
 * Crash rule: what moves is in the log whole before it moves; slots at an end as deque_ends.c says.
 *
 * Cost: insert and delete log and store the items from the nearer end to the place; rotate stores
 * each item that goes to the other end, and logs nothing but the head; reverse logs all.
 */
#include "structures/deque_ends.h"

static const struct sj_key no_key;

static uint64_t *slot_of(const struct deque_place *place)
{
    return &place->chunk->slot[place->slot];
}

/* Plans that `count` slots from a place on, towards `side`, are going to be stored to, and moves
 * the place to the last of them. */
static int log_slots(const struct sj_deque *deque, struct deque_place *place, enum sj_side side,
                     uint64_t count)
{
    while (count > 0) {
        uint32_t room = side == SJ_LEFT ? place->slot + 1 : SJ_DEQUE_SLOTS - place->slot;
        uint32_t some = count < room ? (uint32_t)count : room;
        uint32_t from = side == SJ_LEFT ? place->slot + 1 - some : place->slot;
        struct sj_deque_chunk *chunk = place->chunk;
        int error = sj_tx_node_range(deque->segment, &chunk->node, sizeof(*chunk),
                                     &chunk->slot[from], some * sizeof(uint64_t));
        place->slot = side == SJ_LEFT ? from : from + some - 1;
        count -= some;
        if (error == SJ_OK && count > 0)
            error = deque_step(deque, place, side);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* Ends an operation whose plan has returned `error`. */
static int finish(const struct sj_deque *deque, int error)
{
    return error != SJ_OK ? sj_tx_op_abort(deque->segment, error) : SJ_OK;
}

/* Ends an operation that has stored what was planned; `error`: it came upon a link that is not what
 * it was in the plan, for on damaged media a chunk may lie in another one. All is put back. */
static int commit(const struct sj_deque *deque, int error)
{
    return error != SJ_OK ? sj_tx_op_abort(deque->segment, error) : sj_tx_op_commit(deque->segment);
}

/* ------------------------------------------------------------------ rotate */

static int plan_rotate(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side,
                       uint64_t steps)
{
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < steps; i++) {
        struct deque_place from = deque_outermost(ends, deque_other(side)), to;
        error = deque_ends_grow(deque, ends, side, &to);
        if (error != SJ_OK)
            return error;
        sj_store(slot_of(&to), *slot_of(&from));
        error = deque_ends_shrink(deque, ends, deque_other(side));
    }
    return error != SJ_OK ? error : deque_ends_store(deque, ends);
}

int sj_deque_rotate(struct sj_deque *deque, enum sj_side side, uint64_t steps)
{
    struct deque_ends ends;
    int error = deque_ends_load(deque, &ends);
    if (error != SJ_OK || ends.count < 2 || (steps %= ends.count) == 0)
        return error;
    if (steps > ends.count / 2) {
        steps = ends.count - steps;
        side = deque_other(side);
    }
    error = sj_tx_op_begin(deque->segment);
    if (error == SJ_OK)
        error = finish(deque, plan_rotate(deque, &ends, side, steps));
    if (error != SJ_OK)
        return error;
    sj_tx_ready(deque->segment);
    return sj_tx_op_commit(deque->segment);
}

/* ------------------------------------------------------------------ insert */

/* The end that fewer items are between, and how many. */
static enum sj_side nearer(uint64_t left, uint64_t right, uint64_t *between)
{
    *between = left < right ? left : right;
    return left < right ? SJ_LEFT : SJ_RIGHT;
}

/* Stores what was planned: each item between moves one slot outwards, to the new one. */
static int move_outwards(const struct sj_deque *deque, struct deque_place to,
                         struct deque_place from, enum sj_side inward, uint64_t moves,
                         uint64_t slot)
{
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < moves; i++) {
        sj_store(slot_of(&to), *slot_of(&from));
        to = from;
        if (i + 1 < moves)
            error = deque_step(deque, &from, inward); /* as the plan did */
    }
    sj_store(slot_of(&to), slot);
    return error;
}

int sj_deque_insert(struct sj_deque *deque, uint64_t index, const struct sj_value *value)
{
    struct deque_ends ends;
    struct deque_place from, to, last;
    uint64_t slot, moves;
    int error = sj_item_fits(deque->segment, deque->kinds, &no_key, value);
    if (error == SJ_OK)
        error = deque_ends_load(deque, &ends);
    if (error != SJ_OK)
        return error;
    if (index > ends.count)
        return SJ_ENOTFOUND;
    enum sj_side side = nearer(index, ends.count - index, &moves);
    error = sj_tx_op_begin(deque->segment);
    if (error != SJ_OK)
        return error;
    from = last = deque_outermost(&ends, side);
    error = sj_slot_make(deque->segment, deque->kinds, &no_key, value, &slot);
    if (error == SJ_OK)
        error = log_slots(deque, &last, deque_other(side), moves);
    if (error == SJ_OK)
        error = deque_ends_grow(deque, &ends, side, &to);
    if (error == SJ_OK)
        error = deque_ends_store(deque, &ends);
    error = finish(deque, error);
    if (error != SJ_OK)
        return error;
    sj_tx_ready(deque->segment);
    return commit(deque, move_outwards(deque, to, from, deque_other(side), moves, slot));
}

/* ------------------------------------------------------------------ delete */

/* Stores what was planned: each item between moves one slot inwards, over the one that goes. */
static int move_inwards(const struct sj_deque *deque, struct deque_place at, enum sj_side inward,
                        uint64_t moves)
{
    uint64_t carried = *slot_of(&at);
    int error = SJ_OK;
    for (uint64_t i = 0; i < moves && (error = deque_step(deque, &at, inward)) == SJ_OK; i++) {
        uint64_t next = *slot_of(&at);
        sj_store(slot_of(&at), carried);
        carried = next;
    }
    return error;
}

int sj_deque_delete(struct sj_deque *deque, uint64_t index)
{
    struct deque_ends ends;
    uint64_t moves;
    int error = deque_ends_load(deque, &ends);
    if (error != SJ_OK)
        return error;
    if (index >= ends.count)
        return SJ_ENOTFOUND;
    enum sj_side side = nearer(index, ends.count - 1 - index, &moves);
    error = sj_tx_op_begin(deque->segment);
    if (error != SJ_OK)
        return error;
    struct deque_place first = deque_outermost(&ends, side), gone = first;
    error = log_slots(deque, &gone, deque_other(side), moves + 1);
    if (error == SJ_OK)
        error = sj_slot_free(deque->segment, deque->kinds, *slot_of(&gone));
    if (error == SJ_OK)
        error = deque_ends_shrink(deque, &ends, side);
    if (error == SJ_OK)
        error = deque_ends_store(deque, &ends);
    error = finish(deque, error);
    if (error != SJ_OK)
        return error;
    sj_tx_ready(deque->segment);
    return commit(deque, move_inwards(deque, first, deque_other(side), moves));
}

/* ------------------------------------------------------------------ reverse */

static int swap_all(const struct sj_deque *deque, const struct deque_ends *ends)
{
    struct deque_place left = deque_outermost(ends, SJ_LEFT);
    struct deque_place right = deque_outermost(ends, SJ_RIGHT);
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < ends->count / 2; i++) {
        uint64_t slot = *slot_of(&left);
        sj_store(slot_of(&left), *slot_of(&right));
        sj_store(slot_of(&right), slot);
        error = deque_step(deque, &left, SJ_RIGHT);
        if (error == SJ_OK)
            error = deque_step(deque, &right, SJ_LEFT);
    }
    return error;
}

int sj_deque_reverse(struct sj_deque *deque)
{
    struct deque_ends ends;
    int error = deque_ends_load(deque, &ends);
    if (error != SJ_OK || ends.count < 2)
        return error;
    error = sj_tx_op_begin(deque->segment);
    if (error != SJ_OK)
        return error;
    struct deque_place left = deque_outermost(&ends, SJ_LEFT);
    struct deque_place right = deque_outermost(&ends, SJ_RIGHT);
    error = log_slots(deque, &left, SJ_RIGHT, ends.count / 2 + 1);
    if (error == SJ_OK)
        error = log_slots(deque, &right, SJ_LEFT, ends.count / 2 + 1);
    error = finish(deque, error);
    if (error != SJ_OK)
        return error;
    sj_tx_ready(deque->segment);
    return commit(deque, swap_all(deque, &ends));
}
