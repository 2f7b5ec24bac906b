// SPDX-License-Identifier: Apache-2.0
/* explore_use.c: marking the words in use (explore_use.h). */
#include "explore_use.h"

#include <stdlib.h>
#include <string.h>

#include "persistence/heap.h"
#include "persistence/pages.h"

#define LARGE (16 * SJ_PAGE)

struct marking {
    struct use *use;
    const struct sj_segment *segment;
    uint32_t number;
};

static void set_bit(struct use *use, const struct use_range *range, uint8_t clear, uint8_t set)
{
    for (uint64_t word = range->first; word < range->end; word++)
        use->mask[word] = (uint8_t)((use->mask[word] & ~clear) | set);
}

static void mark(const struct marking *marking, uint64_t offset, uint64_t bytes)
{
    struct use_state *state = &marking->use->state[marking->number];
    REQUIRE((offset + bytes + 7) / 8 <= marking->use->words);
    if (state->ranges == state->capacity) {
        state->capacity = state->capacity == 0 ? 64 : 2 * state->capacity;
        state->range = realloc(state->range, state->capacity * sizeof *state->range);
        REQUIRE(state->range != NULL);
    }
    struct use_range *range = &state->range[state->ranges++];
    *range = (struct use_range){offset / 8, (offset + bytes + 7) / 8};
    set_bit(marking->use, range, 0, (uint8_t)(1u << marking->number));
}

static int mark_block(void *context, uint64_t block, uint64_t bytes)
{
    const struct marking *marking = context;
    uint64_t offset = block - (uint64_t)(uintptr_t)marking->segment->base;
    if (bytes > LARGE) {
        mark(marking, offset, SJ_PAGE);
        offset += bytes - SJ_PAGE;
        bytes = SJ_PAGE;
    }
    mark(marking, offset, bytes);
    return SJ_OK;
}

/* Page words, and the headers of slabs. */
static void mark_chunk(const struct marking *marking, uint64_t chunk)
{
    const uint64_t *words = sj_page_words(marking->segment, chunk);
    mark(marking, chunk == 0 ? SJ_CHUNK0_PAGES_AT : chunk * SJ_CHUNK, SJ_CHUNK_PAGES * 8);
    for (uint64_t page = 0; page < SJ_CHUNK_PAGES; page++)
        if (SJ_PAGE_KIND(words[page]) == SJ_PAGE_SLAB)
            mark(marking, chunk * SJ_CHUNK + page * SJ_PAGE, sizeof(struct sj_slab));
}

static void mark_metadata(const struct marking *marking)
{
    const struct sj_segment *segment = marking->segment;
    uint64_t partial = SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, partial);
    uint64_t extents = SJ_LOG_AT + offsetof(struct sj_log, extents);
    mark(marking, partial, SJ_ROOT_PAGE_AT + SJ_PAGE - partial);
    mark(marking, extents, SJ_LOG_AT + SJ_PAGE - extents);
    mark(marking, SJ_CHUNK_DIR_AT, segment->reserved / SJ_CHUNK * 8);
    for (uint64_t chunk = 0; chunk < segment->root_page->chunks; chunk++)
        if (SJ_CHUNK_STATE(*sj_chunk_word(segment, chunk)) == SJ_CHUNK_PAGED)
            mark_chunk(marking, chunk);
}

/* Forgets the words of a state. */
static void unmark(struct use *use, uint32_t number)
{
    struct use_state *state = &use->state[number];
    for (uint32_t i = 0; i < state->ranges; i++)
        set_bit(use, &state->range[i], (uint8_t)(1u << number), 0);
    state->ranges = 0;
}

void use_mark(struct use *use, const struct sj_segment *segment, uint32_t number)
{
    uint64_t words = sj_segment_committed(segment) / 8;
    struct marking marking = {use, segment, number};
    struct use_state *state = &use->state[number];
    REQUIRE(number < USE_STATES);
    for (uint32_t i = number; i < USE_STATES; i++)
        unmark(use, i);
    if (words > use->words) {
        use->mask = realloc(use->mask, words);
        REQUIRE(use->mask != NULL);
        memset(use->mask + use->words, 0, words - use->words);
        use->words = words;
    }
    mark_metadata(&marking);
    REQUIRE(sj_heap_check(segment, mark_block, &marking) == SJ_OK);
    state->committed = sj_segment_committed(segment);
    state->chunks = segment->root_page->chunks;
}

void use_begin(const struct use *use, const struct sj_segment *segment)
{
    trace_area.mask = use->mask;
    trace_area.mask_from = (uint64_t)(uintptr_t)segment->base;
    trace_area.mask_words = use->words;
    memset(trace_sum.part, 0, sizeof trace_sum.part);
}

void use_keep(struct use *use, uint32_t number)
{
    use->state[number].sum = trace_sum.part[number];
}
