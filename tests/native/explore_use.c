// SPDX-License-Identifier: Apache-2.0
/* explore_use.c: marking the words in use (explore_use.h). */
#include "explore_use.h"

#include <stdlib.h>
#include <string.h>

#include "persistence/heap.h"
#include "persistence/pages.h"

struct marking {
    struct use *use;
    const struct sj_segment *segment;
    uint8_t bit;
};

static void mark(const struct marking *marking, uint64_t offset, uint64_t bytes)
{
    REQUIRE((offset + bytes + 7) / 8 <= marking->use->words);
    for (uint64_t word = offset / 8; word < (offset + bytes + 7) / 8; word++)
        marking->use->mask[word] |= marking->bit;
}

static int mark_block(void *context, uint64_t block, uint64_t bytes)
{
    const struct marking *marking = context;
    mark(marking, block - (uint64_t)(uintptr_t)marking->segment->base, bytes);
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

void use_mark(struct use *use, const struct sj_segment *segment, uint32_t number)
{
    uint64_t words = sj_segment_committed(segment) / 8;
    struct marking marking = {use, segment, (uint8_t)(1u << number)};
    REQUIRE(number < USE_STATES);
    if (number == 0)
        use->words = 0;
    if (words > use->capacity) {
        use->capacity = words;
        use->mask = realloc(use->mask, words);
        REQUIRE(use->mask != NULL);
    }
    for (uint64_t word = 0; word < use->words; word++)
        use->mask[word] &= (uint8_t)(marking.bit - 1);
    if (words > use->words) {
        memset(use->mask + use->words, 0, words - use->words);
        use->words = words;
    }
    mark_metadata(&marking);
    REQUIRE(sj_heap_check(segment, mark_block, &marking) == SJ_OK);
    use->state[number] =
        (struct use_state){0, sj_segment_committed(segment), segment->root_page->chunks};
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
