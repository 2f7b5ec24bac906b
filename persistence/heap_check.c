// SPDX-License-Identifier: Apache-2.0
/*
 * heap_check.c: walking the whole heap: its checker and its statistics.
 *
 * Every chunk word, page word and slab is visited once, in address order; then every list of slabs.
 * Cost: O(pages).
 */
#include <stdlib.h>
#include <string.h>

#include "persistence/heap.h"
#include "persistence/slab.h"

struct walk {
    const struct sj_segment *segment;
    sj_heap_visit *visit;
    void *context;
    struct sj_heap_stats stats;
    uint64_t partial[SJ_CLASSES]; /* slabs with a free block, by class */
};

static int visit_block(struct walk *walk, uint64_t block, uint64_t bytes)
{
    walk->stats.live_blocks++;
    walk->stats.live_bytes += bytes;
    return walk->visit == NULL ? SJ_OK : walk->visit(walk->context, block, bytes);
}

static int walk_slab(struct walk *walk, const struct sj_page_run *run)
{
    const struct sj_slab *slab = sj_slab_at(walk->segment, run->at);
    if (slab == NULL || slab->size_class != run->size_class ||
        sj_class_pages(slab->size_class) != run->pages)
        return sj_segment_damaged(walk->segment, run->at, "a slab of its pages' class");
    uint64_t bytes = sj_class_bytes(slab->size_class), live = 0;
    for (uint32_t word = 0; word < 4; word++) {
        uint64_t beyond = sj_slab_beyond(slab->blocks, word);
        if ((slab->used[word] & beyond) != beyond)
            return sj_segment_damaged(walk->segment, run->at, "a slab's bitmap");
        for (uint64_t used = slab->used[word] & ~beyond; used != 0; used &= used - 1, live++) {
            uint64_t number = 64 * word + (uint32_t)__builtin_ctzll(used);
            int error = visit_block(walk, run->at + sizeof *slab + number * bytes, bytes);
            if (error != SJ_OK)
                return error;
        }
    }
    walk->partial[slab->size_class] += live < slab->blocks;
    walk->stats.meta_bytes += sizeof *slab;
    walk->stats.free_bytes += run->pages * SJ_PAGE - sizeof *slab - live * bytes;
    walk->stats.slab_free_bytes += run->pages * SJ_PAGE - sizeof *slab - live * bytes;
    return SJ_OK;
}

/* Bytes of [at, at + bytes) that the file backs. */
static uint64_t backed(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    uint64_t committed = sj_segment_committed(segment);
    if (offset >= committed)
        return 0;
    return bytes < committed - offset ? bytes : committed - offset;
}

static int walk_run(struct walk *walk, const struct sj_page_run *run)
{
    if (backed(walk->segment, run->at, run->pages * SJ_PAGE) != run->pages * SJ_PAGE)
        return sj_segment_damaged(walk->segment, run->at, "pages that the file backs");
    switch (run->kind) {
    case SJ_PAGE_SLAB:
        return walk_slab(walk, run);
    case SJ_PAGE_RUN:
        return visit_block(walk, run->at, run->pages * SJ_PAGE);
    default:
        walk->stats.meta_bytes += run->pages * SJ_PAGE;
        return SJ_OK;
    }
}

static int walk_chunk(struct walk *walk, uint64_t chunk)
{
    const struct sj_segment *segment = walk->segment;
    const uint64_t *words = sj_page_words(segment, chunk);
    uint64_t at = (uint64_t)(uintptr_t)segment->base + chunk * SJ_CHUNK, free = 0, pages;
    if (!sj_chunk_is_paged(segment, chunk))
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)sj_chunk_word(segment, chunk),
                                  "the descriptors of a chunk");
    for (uint64_t page = 0; page < SJ_CHUNK_PAGES; page += pages) {
        struct sj_page_run run = {at + page * SJ_PAGE, 1, 0, SJ_PAGE_KIND(words[page]),
                                  SJ_PAGE_CLASS(words[page])};
        if (words[page] == 0) {
            free++;
            walk->stats.free_bytes += backed(segment, run.at, SJ_PAGE);
            pages = 1;
            continue;
        }
        pages = run.pages = SJ_PAGE_RUN_PAGES(words[page]);
        if (pages == 0 || pages > SJ_CHUNK_PAGES - page || run.kind > SJ_PAGE_RUN ||
            run.kind == SJ_PAGE_FREE || (page == 0) != (run.kind == SJ_PAGE_META))
            return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&words[page],
                                      "a page descriptor");
        int error = walk_run(walk, &run);
        if (error != SJ_OK)
            return error;
    }
    uint64_t word = *sj_chunk_word(segment, chunk);
    if (SJ_CHUNK_FREE(word) != free || SJ_CHUNK_COUNT(word) != 1)
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)sj_chunk_word(segment, chunk),
                                  "the count of the chunk's free pages");
    return SJ_OK;
}

static int walk_chunks(struct walk *walk)
{
    const struct sj_segment *segment = walk->segment;
    uint64_t used, count;
    int error = sj_chunks_used(segment, &used);
    if (error != SJ_OK)
        return error;
    for (uint64_t chunk = 0; chunk < used; chunk += count) {
        uint64_t word = *sj_chunk_word(segment, chunk);
        uint64_t at = (uint64_t)(uintptr_t)segment->base + chunk * SJ_CHUNK;
        enum sj_chunk_state state = SJ_CHUNK_STATE(word);
        count = word == 0 ? 1 : SJ_CHUNK_COUNT(word);
        if (count == 0 || count > used - chunk || state > SJ_CHUNK_META ||
            (word != 0 && state == SJ_CHUNK_UNUSED))
            return sj_segment_damaged(segment, (uint64_t)(uintptr_t)sj_chunk_word(segment, chunk),
                                      "a chunk descriptor");
        uint64_t file = backed(segment, at, count * SJ_CHUNK);
        if (state == SJ_CHUNK_PAGED)
            error = walk_chunk(walk, chunk);
        else if (state == SJ_CHUNK_HUGE && file == count * SJ_CHUNK)
            error = visit_block(walk, at, count * SJ_CHUNK);
        else if (state == SJ_CHUNK_UNUSED)
            walk->stats.free_bytes += file;
        else if (state == SJ_CHUNK_LOG || state == SJ_CHUNK_META)
            walk->stats.meta_bytes += file;
        else
            error = sj_segment_damaged(segment, at, "chunks that the file backs");
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* Every list has just the slabs of its class with a free block, linked both ways. */
static int walk_lists(const struct walk *walk)
{
    const struct sj_segment *segment = walk->segment;
    for (uint32_t size_class = 0; size_class < SJ_CLASSES; size_class++) {
        uint64_t at = segment->root_page->partial[size_class], previous = 0, found = 0;
        while (at != 0) {
            const struct sj_slab *slab = sj_slab_at(segment, at);
            if (slab == NULL || slab->size_class != size_class || sj_slab_is_full(slab->used) ||
                (previous != 0 && slab->previous != previous) ||
                ++found > walk->partial[size_class])
                return sj_segment_damaged(segment, at, "a list of slabs with free blocks");
            previous = at;
            at = slab->next;
        }
        if (found != walk->partial[size_class])
            return sj_segment_damaged(segment,
                                      (uint64_t)(uintptr_t)&segment->root_page->partial[size_class],
                                      "a list of all slabs with free blocks");
    }
    return SJ_OK;
}

static int walk_heap(struct walk *walk)
{
    uint64_t used = walk->segment->root_page->chunks * SJ_CHUNK;
    walk->stats.file_bytes = sj_segment_committed(walk->segment);
    if (used < walk->stats.file_bytes) /* grown, not yet used */
        walk->stats.free_bytes = walk->stats.file_bytes - used;
    int error = walk_chunks(walk);
    return error == SJ_OK ? walk_lists(walk) : error;
}

int sj_heap_stats(const struct sj_segment *segment, struct sj_heap_stats *stats)
{
    struct walk walk = {.segment = segment};
    int error = walk_heap(&walk);
    *stats = walk.stats;
    return error;
}

int sj_heap_check(const struct sj_segment *segment, sj_heap_visit *visit, void *context)
{
    struct walk walk = {.segment = segment, .visit = visit, .context = context};
    return walk_heap(&walk);
}
