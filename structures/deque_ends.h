// SPDX-License-Identifier: Apache-2.0
/*
 * deque_ends.h: the two ends of a deque as a running operation has them; for deque*.c.
 *
 *   ends_load   the head's words, checked
 *   ends_grow, ends_shrink   one slot more or less at an end: chunks are allocated, linked, freed
 *   ends_store  the head's words that have changed, checked again, to the log
 *
 * All in the plan. What the head says stays as it is until sj_tx_ready().
 */
#ifndef SJ_STRUCTURES_DEQUE_ENDS_H
#define SJ_STRUCTURES_DEQUE_ENDS_H

#include "structures/deque.h"

/* A slot. */
struct deque_place {
    struct sj_deque_chunk *chunk;
    uint32_t slot;
};

struct deque_ends {
    uint64_t count;
    struct sj_deque_chunk *chunk[2]; /* of SJ_LEFT and SJ_RIGHT; NULL: there is none */
    uint32_t at[2];                  /* the first slot in use; the one after the last */
};

/* A chunk that an address read from media leads to; NULL when damaged. */
static inline struct sj_deque_chunk *deque_chunk(const struct sj_deque *deque, uint64_t at)
{
    return sj_segment_block(deque->segment, at, sizeof(struct sj_deque_chunk), SJ_KIND_DEQUE_CHUNK);
}

int deque_chunk_damaged(const struct sj_deque *deque, uint64_t at);

static inline uint64_t *deque_link(struct sj_deque_chunk *chunk, enum sj_side side)
{
    return side == SJ_LEFT ? &chunk->previous : &chunk->next;
}

static inline enum sj_side deque_other(enum sj_side side)
{
    return side == SJ_LEFT ? SJ_RIGHT : SJ_LEFT;
}

/* The slot of the outermost item at an end that has one. */
static inline struct deque_place deque_outermost(const struct deque_ends *ends, enum sj_side side)
{
    return (struct deque_place){ends->chunk[side], ends->at[side] - (uint32_t)side};
}

/* SJ_ECORRUPT. */
int deque_ends_load(const struct sj_deque *deque, struct deque_ends *ends);
int deque_ends_store(const struct sj_deque *deque, struct deque_ends *ends);

/* Makes room at an end for one more item: its slot, unused until now, announced to the transaction.
 * SJ_EFULL, SJ_ENOMEM. */
int deque_ends_grow(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side,
                    struct deque_place *place);

/* The outermost slot of an end is unused from now on; what it leads to is the caller's affair.
 * SJ_ECORRUPT, SJ_ENOMEM, SJ_EFULL. */
int deque_ends_shrink(const struct sj_deque *deque, struct deque_ends *ends, enum sj_side side);

/* The slot after that one towards `side`. SJ_ECORRUPT. */
int deque_step(const struct sj_deque *deque, struct deque_place *place, enum sj_side side);

/* The slot of an item. SJ_ENOTFOUND, SJ_ECORRUPT. */
int deque_find(const struct sj_deque *deque, uint64_t index, struct deque_place *place);

#endif
