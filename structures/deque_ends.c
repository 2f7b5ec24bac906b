// SPDX-License-Identifier: Apache-2.0
/*
 * deque_ends.c: the ends of a deque: slots more and less, and finding those in between.
 *
 *   grow, room in the chunk    end: 7 → 8                                            (state)
 *   grow, no room              chunk' made │ last.next: 0 → chunk' │ end: 60 → 1     (and last)
 *   shrink                     end: 8 → 7                                            (state)
 *   shrink, the chunk's last   previous.next: last → 0 │ last freed │ end: 1 → 60    (and last)
 *   the last item              begin, end → 30, in the chunk's middle; the chunk stays
 *
 * I1  Unused slots are stored in the plan: until the state says that they are used they have no
 *     meaning, whatever dies.
 * I2  Inside a transaction the slot that shrinking leaves goes to the log (with its chunk, once),
 *     because a later operation of the same transaction may store to it again, and rolling back
 *     makes it used.
 * I3  One operation stores to no slot that it has left: it grows first.
 */
#include "structures/deque_ends.h"

int deque_chunk_damaged(const struct sj_deque *deque, uint64_t at)
{
    return sj_segment_damaged(deque->segment, at, "a chunk of a deque");
}

/* ------------------------------------------------------------------ loading, storing */

/* Whether the numbers fit together: then every walk by them ends. */
static bool is_sane(const struct sj_deque *deque, const struct deque_ends *ends)
{
    uint32_t begin = ends->at[SJ_LEFT], end = ends->at[SJ_RIGHT];
    if (end > SJ_DEQUE_SLOTS ||
        ends->count > sj_segment_committed(deque->segment) / sizeof(uint64_t))
        return false;
    if (ends->chunk[SJ_LEFT] == ends->chunk[SJ_RIGHT])
        return begin + ends->count == end;
    uint64_t outer = SJ_DEQUE_SLOTS - begin + end;
    return begin < SJ_DEQUE_SLOTS && end > 0 && ends->count >= outer &&
           (ends->count - outer) % SJ_DEQUE_SLOTS == 0;
}

static int state_damaged(const struct sj_deque *deque)
{
    return sj_segment_damaged(deque->segment, (uintptr_t)&deque->head->state,
                              "the state of a deque");
}

int deque_ends_load(const struct sj_deque *deque, struct deque_ends *ends)
{
    const struct sj_deque_head *head = deque->head;
    uint64_t state = head->state;
    *ends = (struct deque_ends){.count = state >> 16, .at = {state & 0xff, state >> 8 & 0xff}};
    if (head->first != 0 || ends->count != 0) {
        ends->chunk[SJ_LEFT] = deque_chunk(deque, head->first);
        if (SJ_UNLIKELY(ends->chunk[SJ_LEFT] == NULL))
            return deque_chunk_damaged(deque, head->first);
    }
    ends->chunk[SJ_RIGHT] = ends->chunk[SJ_LEFT];
    if (head->last != head->first) {
        ends->chunk[SJ_RIGHT] = deque_chunk(deque, head->last);
        if (SJ_UNLIKELY(ends->chunk[SJ_RIGHT] == NULL))
            return deque_chunk_damaged(deque, head->last);
    }
    return SJ_LIKELY(is_sane(deque, ends)) ? SJ_OK : state_damaged(deque);
}

static int head_word(const struct sj_deque *deque, uint64_t *at, uint64_t value)
{
    if (*at == value)
        return SJ_OK;
    return sj_tx_node_word(deque->segment, &deque->head->node, sizeof(*deque->head), at, value);
}

int deque_ends_store(const struct sj_deque *deque, struct deque_ends *ends)
{
    struct sj_deque_head *head = deque->head;
    if (ends->count == 0)
        ends->at[SJ_LEFT] = ends->at[SJ_RIGHT] = ends->chunk[0] == NULL ? 0 : SJ_DEQUE_SLOTS / 2;
    if (SJ_UNLIKELY(!is_sane(deque, ends)))
        return state_damaged(deque);
    int error = head_word(deque, &head->first, (uintptr_t)ends->chunk[SJ_LEFT]);
    if (error == SJ_OK)
        error = head_word(deque, &head->last, (uintptr_t)ends->chunk[SJ_RIGHT]);
    if (error != SJ_OK)
        return error;
    uint64_t state = ends->count << 16 | ends->at[SJ_RIGHT] << 8 | ends->at[SJ_LEFT];
    return head_word(deque, &head->state, state);
}

/* ------------------------------------------------------------------ growing, shrinking */

/* A new chunk beyond the outermost one of an end, or the first of all. */
static int add_chunk(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side)
{
    struct sj_segment *segment = deque->segment;
    struct sj_deque_chunk *chunk, *old = ends->chunk[side];
    int error = sj_heap_alloc(segment, sizeof(*chunk), (void **)&chunk);
    if (error != SJ_OK)
        return error;
    sj_store(chunk, SJ_KIND_DEQUE_CHUNK);
    sj_store(&chunk->node.stamp, sj_tx_stamp(segment));
    sj_store(deque_link(chunk, side), 0);
    sj_store(deque_link(chunk, deque_other(side)), (uintptr_t)old);
    ends->chunk[side] = chunk;
    if (old == NULL) {
        ends->chunk[deque_other(side)] = chunk;
        ends->at[SJ_LEFT] = ends->at[SJ_RIGHT] = SJ_DEQUE_SLOTS / 2;
        return SJ_OK;
    }
    ends->at[side] = side == SJ_LEFT ? SJ_DEQUE_SLOTS : 0;
    return sj_tx_word(segment, deque_link(old, side), (uintptr_t)chunk);
}

int deque_ends_grow(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side,
                    struct deque_place *place)
{
    uint32_t full = side == SJ_LEFT ? 0 : SJ_DEQUE_SLOTS;
    if (SJ_UNLIKELY(ends->chunk[side] == NULL || ends->at[side] == full)) {
        int error = add_chunk(deque, ends, side);
        if (error != SJ_OK)
            return error;
    }
    ends->count++;
    ends->at[side] += side == SJ_LEFT ? -1u : 1u;
    *place = deque_outermost(ends, side);
    return sj_tx_fresh(deque->segment, &place->chunk->slot[place->slot], sizeof(uint64_t));
}

/* The outermost chunk of an end has no items any more, and others have. */
static int drop_chunk(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side)
{
    struct sj_segment *segment = deque->segment;
    struct sj_deque_chunk *old = ends->chunk[side];
    uint64_t at = sj_tx_peek(segment, deque_link(old, deque_other(side)));
    struct sj_deque_chunk *chunk = deque_chunk(deque, at);
    if (SJ_UNLIKELY(chunk == NULL ||
                    sj_tx_peek(segment, deque_link(chunk, side)) != (uintptr_t)old))
        return deque_chunk_damaged(deque, at);
    ends->chunk[side] = chunk;
    ends->at[side] = side == SJ_LEFT ? 0 : SJ_DEQUE_SLOTS;
    int error = sj_heap_free(segment, (uintptr_t)old);
    return error != SJ_OK ? error : sj_tx_word(segment, deque_link(chunk, side), 0);
}

int deque_ends_shrink(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side)
{
    struct deque_place place = deque_outermost(ends, side);
    uint32_t empty = side == SJ_LEFT ? SJ_DEQUE_SLOTS : 0;
    if (sj_tx_depth(deque->segment) > 0) {
        int error = sj_tx_node_range(deque->segment, &place.chunk->node, sizeof(*place.chunk),
                                     &place.chunk->slot[place.slot], sizeof(uint64_t));
        if (error != SJ_OK)
            return error;
    }
    ends->count--;
    ends->at[side] += side == SJ_LEFT ? 1u : -1u;
    if (SJ_LIKELY(ends->at[side] != empty || ends->count == 0))
        return SJ_OK;
    return drop_chunk(deque, ends, side);
}

/* ------------------------------------------------------------------ finding */

int deque_step(const struct sj_deque *deque, struct deque_place *place, enum sj_side side)
{
    uint32_t last = side == SJ_LEFT ? 0 : SJ_DEQUE_SLOTS - 1;
    if (SJ_LIKELY(place->slot != last)) {
        place->slot += side == SJ_LEFT ? -1u : 1u;
        return SJ_OK;
    }
    uint64_t at = *deque_link(place->chunk, side);
    struct sj_deque_chunk *chunk = deque_chunk(deque, at);
    if (SJ_UNLIKELY(chunk == NULL))
        return deque_chunk_damaged(deque, at);
    *place = (struct deque_place){chunk, side == SJ_LEFT ? SJ_DEQUE_SLOTS - 1 : 0};
    return SJ_OK;
}

int deque_find(const struct sj_deque *deque, uint64_t index, struct deque_place *place)
{
    struct deque_ends ends;
    int error = deque_ends_load(deque, &ends);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (SJ_UNLIKELY(index >= ends.count))
        return SJ_ENOTFOUND;
    enum sj_side from = index < ends.count - index ? SJ_LEFT : SJ_RIGHT;
    uint64_t inward = from == SJ_LEFT ? index : ends.count - 1 - index;
    *place = deque_outermost(&ends, from);
    uint32_t in_chunk = from == SJ_LEFT ? SJ_DEQUE_SLOTS - 1 - place->slot : place->slot;
    while (inward > in_chunk) { /* to the next chunk's first slot on that side */
        inward -= in_chunk + 1;
        in_chunk = SJ_DEQUE_SLOTS - 1;
        place->slot = from == SJ_LEFT ? SJ_DEQUE_SLOTS - 1 : 0;
        error = deque_step(deque, place, deque_other(from));
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    place->slot += from == SJ_LEFT ? (uint32_t)inward : -(uint32_t)inward;
    return SJ_OK;
}
