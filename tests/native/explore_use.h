// SPDX-License-Identifier: Apache-2.0
/*
 * explore_use.h: which words of a segment are in use, so that equal contents are known cheaply.
 *
 * What an examination finds depends on the words in use alone: descriptors, slab headers, the root
 * page, the log's extents, and the blocks that are allocated. Most images recover to just what was
 * before the operation, or is after it, but for free memory. So for each of these states the words
 * in use get a bit in a mask, and a sum over them tells whether recovered memory is that state.
 * Of a block of many pages the first and the last page count, which is where the worlds look.
 */
#ifndef SJ_TESTS_EXPLORE_USE_H
#define SJ_TESTS_EXPLORE_USE_H

#include "explore_world.h"

#define USE_STATES TRACE_PARTS

struct use {
    uint8_t *mask; /* one for each word of the segment */
    uint64_t words;
    struct use_state {
        uint64_t sum;               /* over the words in use, when memory is this state */
        uint64_t committed, chunks; /* at least so many there are in it */
        struct use_range {
            uint64_t first, end; /* words */
        } *range;
        uint32_t ranges, capacity;
    } state[USE_STATES];
};

/* Memory is state `number` now: marks the words in use. Later states are forgotten. */
void use_mark(struct use *use, const struct sj_segment *segment, uint32_t number);

/* The sums count words of this mask from now on; they begin at 0. */
void use_begin(const struct use *use, const struct sj_segment *segment);

/* Memory is state `number` again: keeps the sum. */
void use_keep(struct use *use, uint32_t number);

/* Whether memory is that state. */
static inline bool use_equals(const struct use *use, const struct sj_segment *segment,
                              uint32_t number)
{
    const struct use_state *state = &use->state[number];
    return trace_sum.part[number] == state->sum &&
           segment->root_page->committed >= state->committed &&
           segment->root_page->chunks >= state->chunks;
}

#endif
