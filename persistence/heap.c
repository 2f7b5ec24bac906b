// SPDX-License-Identifier: Apache-2.0
/*
 * heap.c: blocks: slabs for up to 8 KiB, page runs up to a chunk, whole chunks beyond.
 *
 *   partial[class] ─→ slab ⇄ slab ⇄ slab      slabs that have a free block, the first one is used
 *   slab:  header 64 | block 0 | block 1 | …  used[]: one bit a block; bits beyond the last are set
 *
 * I1  A slab is in its class's list exactly when it has a free block.
 * I2  An empty slab's pages go back, unless it is alone in its list.
 * I3  Words change by sj_tx_word, and are read by sj_tx_peek: so each function sees what the
 *     operation has done so far. Searches of many words (pages.c) settle those that wait before.
 *
 * Cost: alloc: one logged word; the slab that it fills leaves its list (two more words).
 */
#include "persistence/heap.h"

#include "persistence/seam.h"
#include "persistence/slab.h"

#define FREES_PENDING_MAX 8 /* beyond it, many frees in a row settle: a peek looks at each word */

static inline uint64_t address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* A fresh slab, alone in the list of its class (which is empty). */
static int new_slab(struct sj_segment *segment, uint32_t size_class, struct sj_slab **slab)
{
    uint64_t at;
    int error = sj_pages_take(segment, sj_class_pages(size_class), SJ_PAGE_SLAB, size_class, &at);
    if (error != SJ_OK)
        return error;
    struct sj_slab fresh = {.magic = SJ_SLAB_MAGIC,
                            .size_class = (uint16_t)size_class,
                            .blocks = (uint16_t)sj_class_blocks(size_class)};
    for (uint32_t word = 0; word < 4; word++)
        fresh.used[word] = sj_slab_beyond(fresh.blocks, word);
    *slab = (struct sj_slab *)(uintptr_t)at;
    error = sj_tx_fresh(segment, *slab, sizeof fresh);
    if (error != SJ_OK)
        return error;
    sj_copy(*slab, &fresh, sizeof fresh);
    return sj_tx_word(segment, &segment->root_page->partial[size_class], at);
}

/* Takes a slab out of its class's list. */
static int unlink_slab(struct sj_segment *segment, struct sj_slab *slab)
{
    struct sj_slab *next = NULL, *previous = NULL;
    uint64_t next_at = sj_tx_peek(segment, &slab->next);
    if (next_at != 0 && (next = sj_slab_at(segment, next_at)) == NULL)
        return sj_segment_damaged(segment, address(&slab->next), "the address of a slab");
    uint64_t *link = &segment->root_page->partial[slab->size_class];
    if (sj_tx_peek(segment, link) != address(slab)) {
        previous = sj_slab_at(segment, sj_tx_peek(segment, &slab->previous));
        if (previous == NULL)
            return sj_segment_damaged(segment, address(&slab->previous), "the address of a slab");
        link = &previous->next;
    }
    int error = sj_tx_word(segment, link, next_at);
    if (error == SJ_OK && next != NULL)
        error = sj_tx_word(segment, &next->previous, address(previous));
    return error;
}

/* Puts a slab first in its class's list. */
static int link_slab(struct sj_segment *segment, struct sj_slab *slab)
{
    uint64_t *link = &segment->root_page->partial[slab->size_class];
    uint64_t first = sj_tx_peek(segment, link);
    struct sj_slab *next = NULL;
    if (first != 0 && (next = sj_slab_at(segment, first)) == NULL)
        return sj_segment_damaged(segment, address(link), "the address of a slab");
    int error = sj_tx_word(segment, &slab->next, first);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &slab->previous, 0);
    if (error == SJ_OK && next != NULL)
        error = sj_tx_word(segment, &next->previous, address(slab));
    return error == SJ_OK ? sj_tx_word(segment, link, address(slab)) : error;
}

/* Reads the slab's bitmap as the operation has it. */
static void read_used(const struct sj_segment *segment, const struct sj_slab *slab,
                      uint64_t used[4])
{
    for (uint32_t word = 0; word < 4; word++)
        used[word] = sj_tx_peek(segment, &slab->used[word]);
}

static int alloc_small(struct sj_segment *segment, uint32_t size_class, void **block)
{
    uint64_t at = sj_tx_peek(segment, &segment->root_page->partial[size_class]), used[4];
    struct sj_slab *slab;
    if (SJ_UNLIKELY(at == 0)) {
        int error = new_slab(segment, size_class, &slab);
        if (error != SJ_OK)
            return error;
    } else {
        slab = sj_slab_at(segment, at);
    }
    if (SJ_LIKELY(slab != NULL))
        read_used(segment, slab, used);
    if (SJ_UNLIKELY(slab == NULL || slab->size_class != size_class || sj_slab_is_full(used)))
        return sj_segment_damaged(segment, address(&segment->root_page->partial[size_class]),
                                  "the address of a slab with a free block");
    uint32_t word = 0;
    while (used[word] == UINT64_MAX)
        word++;
    uint32_t bit = (uint32_t)__builtin_ctzll(~used[word]), number = 64 * word + bit;
    if (SJ_UNLIKELY(number >= slab->blocks))
        return sj_segment_damaged(segment, address(&slab->used[word]), "a slab's bitmap");
    used[word] |= 1ull << bit;
    int error = sj_tx_word(segment, &slab->used[word], used[word]);
    if (error == SJ_OK && SJ_UNLIKELY(sj_slab_is_full(used)))
        error = unlink_slab(segment, slab);
    *block = (char *)slab + sizeof *slab + number * sj_class_bytes(size_class);
    return error;
}

static int alloc_large(struct sj_segment *segment, uint64_t bytes, void **block)
{
    uint64_t at;
    int error;
    if (bytes <= SJ_RUN_PAGES_MAX * SJ_PAGE)
        error = sj_pages_take(segment, (bytes + SJ_PAGE - 1) / SJ_PAGE, SJ_PAGE_RUN, 0, &at);
    else if (bytes <= sj_heap_block_max(segment))
        error = sj_chunks_take(segment, (bytes + SJ_CHUNK - 1) / SJ_CHUNK, &at);
    else
        return sj_error(SJ_ETOOBIG, "a block of %llu bytes in '%s', whose largest is %llu",
                        (unsigned long long)bytes, segment->name,
                        (unsigned long long)sj_heap_block_max(segment));
    if (error == SJ_OK)
        *block = (void *)(uintptr_t)at;
    return error;
}

int sj_heap_alloc(struct sj_segment *segment, uint64_t bytes, void **block)
{
    int error = SJ_LIKELY(bytes <= SJ_CLASS_MAX) ? alloc_small(segment, sj_class_of(bytes), block)
                                                 : alloc_large(segment, bytes, block);
    return SJ_LIKELY(error == SJ_OK) ? sj_tx_fresh(segment, *block, (bytes + 7) & ~7ull) : error;
}

uint64_t sj_heap_block_max(const struct sj_segment *segment)
{
    uint64_t meta = (sj_pages_meta_bytes(segment->reserved) + SJ_CHUNK - 1) / SJ_CHUNK;
    return segment->reserved - meta * SJ_CHUNK;
}

int sj_slab_find(const struct sj_segment *segment, const struct sj_page_run *run, uint64_t block,
                 struct sj_slab **slab, uint32_t *number)
{
    *slab = sj_slab_at(segment, run->at);
    if (*slab == NULL || (*slab)->size_class != run->size_class ||
        sj_class_pages(run->size_class) != run->pages)
        return sj_segment_damaged(segment, run->at, "a slab");
    uint64_t offset = block - run->at - sizeof **slab;
    uint64_t bytes = sj_class_bytes(run->size_class);
    /* Before the first block the offset is huge. */
    if (offset % bytes != 0 || offset / bytes >= (*slab)->blocks)
        return sj_segment_damaged(segment, block, "the beginning of a block");
    *number = (uint32_t)(offset / bytes);
    if ((sj_tx_peek(segment, &(*slab)->used[*number / 64]) >> *number % 64 & 1) == 0)
        return sj_segment_damaged(segment, block, "a block in use");
    return SJ_OK;
}

/* What the block is: bytes, and its run. SJ_ECORRUPT when no block in use begins there. */
static int find_block(const struct sj_segment *segment, uint64_t block, struct sj_page_run *run,
                      uint64_t *bytes)
{
    int error = sj_pages_find(segment, block, run);
    if (error != SJ_OK)
        return error;
    if (run->kind == SJ_PAGE_SLAB) {
        struct sj_slab *slab;
        uint32_t number;
        *bytes = run->size_class < SJ_CLASSES ? sj_class_bytes(run->size_class) : 0;
        return sj_slab_find(segment, run, block, &slab, &number);
    }
    *bytes = run->chunks * SJ_CHUNK + run->pages * SJ_PAGE;
    if (run->kind != SJ_PAGE_RUN || run->at != block)
        return sj_segment_damaged(segment, block, "the beginning of a block");
    return SJ_OK;
}

uint64_t sj_heap_usable(const struct sj_segment *segment, uint64_t block)
{
    struct sj_page_run run;
    uint64_t bytes;
    return find_block(segment, block, &run, &bytes) == SJ_OK ? bytes : 0;
}

bool sj_heap_block_of(const struct sj_segment *segment, uint64_t at, uint64_t *block,
                      uint64_t *bytes)
{
    struct sj_page_run run;
    if (!sj_segment_holds(segment, at, 1))
        return false;
    uint64_t chunk = (at - address(segment->base)) / SJ_CHUNK, head = chunk;
    while (head > 0 && sj_tx_peek(segment, sj_chunk_word(segment, head)) == 0)
        head--; /* words of a run but the first are zero */
    uint64_t in = head == chunk ? at : address(segment->base) + head * SJ_CHUNK;
    if (sj_pages_find(segment, in, &run) != SJ_OK)
        return false;
    *block = run.at;
    if (run.kind == SJ_PAGE_SLAB && run.size_class < SJ_CLASSES) {
        uint64_t first = run.at + sizeof(struct sj_slab);
        *block = at < first ? 0 : at - (at - first) % sj_class_bytes(run.size_class);
    }
    return find_block(segment, *block, &run, bytes) == SJ_OK && at - *block < *bytes;
}

int sj_heap_free(struct sj_segment *segment, uint64_t block)
{
    struct sj_page_run run;
    uint64_t bytes;
    int error = find_block(segment, block, &run, &bytes);
    return error == SJ_OK ? sj_tx_defer_free(segment, block) : error;
}

static int free_small(struct sj_segment *segment, const struct sj_page_run *run, uint64_t block)
{
    struct sj_slab *slab;
    uint32_t number;
    int error = sj_slab_find(segment, run, block, &slab, &number);
    if (error != SJ_OK)
        return error;
    uint64_t used[4];
    read_used(segment, slab, used);
    bool was_full = sj_slab_is_full(used);
    used[number / 64] &= ~(1ull << number % 64);
    error = sj_tx_word(segment, &slab->used[number / 64], used[number / 64]);
    if (error == SJ_OK && was_full)
        error = link_slab(segment, slab);
    if (error != SJ_OK)
        return error;
    uint64_t first = sj_tx_peek(segment, &segment->root_page->partial[slab->size_class]);
    bool alone = first == address(slab) && sj_tx_peek(segment, &slab->next) == 0;
    if (SJ_LIKELY(alone || !sj_slab_is_empty(slab, used)))
        return SJ_OK;
    error = unlink_slab(segment, slab);
    return error == SJ_OK ? sj_pages_give_back(segment, run->at) : error;
}

int sj_heap_free_now(struct sj_segment *segment, uint64_t block)
{
    struct sj_page_run run;
    uint64_t bytes;
    if (segment->tx.pending > FREES_PENDING_MAX)
        sj_tx_settle(segment);
    int error = find_block(segment, block, &run, &bytes);
    if (error != SJ_OK)
        return error;
    if (run.kind == SJ_PAGE_SLAB)
        return free_small(segment, &run, block);
    return run.chunks != 0 ? sj_chunks_log(segment, block) : sj_pages_give_back(segment, block);
}

void sj_heap_free_end(struct sj_segment *segment, uint64_t block)
{
    /* Nothing else begins where a chunk does: there a paged one has its descriptors. */
    if ((block - address(segment->base)) % SJ_CHUNK == 0)
        sj_chunks_give_back(segment, block);
}
