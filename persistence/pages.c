// SPDX-License-Identifier: Apache-2.0
/*
 * pages.c: chunks and page runs (heap_layout.h has the words).
 *
 *   chunk directory   [PAGED][PAGED][HUGE 3][  0  ][  0  ][LOG 1][unused …
 *   a paged chunk     [META 2][  0  ][SLAB 4][ 0 ][ 0 ][ 0 ][free][RUN 9]…
 *
 * I1  Walking from the first word by counts visits every run and every free word once; no run
 *     leaves its chunk (pages) or the used part of the directory (chunks).
 * I2  A paged chunk's free count is the number of its free pages, backed by the file or not.
 * I3  A run is only given out when the file backs all of it.
 * I4  Words change by sj_tx_word, so a run is taken or given back with the operation; chunks of the
 *     log change by plain stores, and never one that a transaction has logged. So a transaction
 *     frees chunks last of all, when it logs nothing more (sj_chunks_log, sj_chunks_give_back).
 *
 * Cost: next fit from a hint; without one a walk over the words of the chunks that have room.
 */
#include "persistence/pages.h"

#include "persistence/seam.h"
#include "persistence/sums.h"

#define CHUNK_WORD(state, free, count)                                                             \
    ((uint64_t)(state) | (uint64_t)(free) << 8 | (uint64_t)(count) << 32)
#define PAGE_WORD(kind, size_class, pages)                                                         \
    ((uint64_t)(kind) | (uint64_t)(size_class) << 8 | (uint64_t)(pages) << 32)

static inline uint64_t chunks_reserved(const struct sj_segment *segment)
{
    return segment->reserved / SJ_CHUNK;
}

static inline uint64_t chunk_address(const struct sj_segment *segment, uint64_t chunk)
{
    return (uint64_t)(uintptr_t)segment->base + chunk * SJ_CHUNK;
}

static int damaged_word(const struct sj_segment *segment, const uint64_t *word)
{
    return sj_segment_damaged(segment, (uint64_t)(uintptr_t)word, "a chunk or page descriptor");
}

/* Chunks that the word's run has; 0 when the word makes no sense there. */
static uint64_t chunk_run(uint64_t word, uint64_t chunk, uint64_t chunks)
{
    uint64_t count = SJ_CHUNK_COUNT(word);
    switch (SJ_CHUNK_STATE(word)) {
    case SJ_CHUNK_UNUSED:
        return word == 0;
    case SJ_CHUNK_PAGED:
        return count == 1 && SJ_CHUNK_FREE(word) < SJ_CHUNK_PAGES;
    case SJ_CHUNK_HUGE:
    case SJ_CHUNK_LOG:
    case SJ_CHUNK_META:
        return count <= chunks - chunk ? count : 0;
    }
    return 0;
}

/* Pages that the word's run has; 0 when the word makes no sense there. */
static uint64_t page_run(uint64_t word, uint64_t page)
{
    if (word == 0)
        return 1;
    uint64_t pages = SJ_PAGE_RUN_PAGES(word);
    if (SJ_PAGE_KIND(word) == SJ_PAGE_FREE || SJ_PAGE_KIND(word) > SJ_PAGE_RUN)
        return 0;
    return pages <= SJ_CHUNK_PAGES - page ? pages : 0;
}

uint64_t sj_pages_meta_bytes(uint64_t reserved)
{
    uint64_t bytes = SJ_CHUNK_DIR_AT + reserved / SJ_CHUNK * sizeof(uint64_t);
    return (bytes + SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE;
}

/* Chunks that the metadata has for itself; 0 when it is pages of a paged chunk. */
static uint64_t meta_chunks(uint64_t reserved)
{
    uint64_t meta = sj_pages_meta_bytes(reserved);
    return meta < SJ_CHUNK ? 0 : (meta + SJ_CHUNK - 1) / SJ_CHUNK;
}

bool sj_chunk_is_paged(const struct sj_segment *segment, uint64_t chunk)
{
    uint64_t pages =
        chunk == 0 ? sj_pages_meta_bytes(segment->reserved) / SJ_PAGE : SJ_DESCRIPTOR_PAGES;
    return sj_segment_holds(segment, chunk_address(segment, chunk), pages * SJ_PAGE) &&
           *sj_page_words(segment, chunk) == PAGE_WORD(SJ_PAGE_META, 0, pages);
}

/* Whether nothing of the metadata is free to be taken. */
static bool meta_is_kept(const struct sj_segment *segment)
{
    uint64_t word = *sj_chunk_word(segment, 0), chunks = meta_chunks(segment->reserved);
    if (chunks != 0)
        return word == CHUNK_WORD(SJ_CHUNK_META, 0, chunks);
    return SJ_CHUNK_STATE(word) == SJ_CHUNK_PAGED && sj_chunk_is_paged(segment, 0);
}

int sj_chunks_used(const struct sj_segment *segment, uint64_t *used)
{
    uint64_t backed = (sj_segment_committed(segment) + SJ_CHUNK - 1) / SJ_CHUNK;
    *used = segment->root_page->chunks;
    if (*used == 0 || *used > chunks_reserved(segment) || *used > backed)
        return damaged_word(segment, &segment->root_page->chunks);
    return meta_is_kept(segment) ? SJ_OK : damaged_word(segment, sj_chunk_word(segment, 0));
}

void sj_pages_format(void *image, uint64_t reserved)
{
    uint64_t chunks = meta_chunks(reserved);
    uint64_t *chunk_words = (uint64_t *)((char *)image + SJ_CHUNK_DIR_AT);
    uint64_t *page_words = (uint64_t *)((char *)image + SJ_CHUNK0_PAGES_AT);
    struct sj_root_page *root_page = (struct sj_root_page *)((char *)image + SJ_ROOT_PAGE_AT);
    if (chunks == 0) {
        uint64_t pages = sj_pages_meta_bytes(reserved) / SJ_PAGE;
        chunk_words[0] = CHUNK_WORD(SJ_CHUNK_PAGED, SJ_CHUNK_PAGES - pages, 1);
        page_words[0] = PAGE_WORD(SJ_PAGE_META, 0, pages);
        root_page->chunks = 1;
    } else {
        root_page->chunks = chunks;
        chunk_words[0] = CHUNK_WORD(SJ_CHUNK_META, 0, chunks);
    }
}

/* A run of unused chunks, which the file then backs. */
static int find_chunks(struct sj_segment *segment, uint64_t wanted, uint64_t *found)
{
    uint64_t used, run = 0, chunk = 0;
    sj_tx_settle(segment); /* a chunk that this transaction is about to take is not unused */
    int error = sj_chunks_used(segment, &used);
    if (error != SJ_OK)
        return error;
    while (chunk < used && run < wanted) {
        uint64_t word = *sj_chunk_word(segment, chunk);
        uint64_t count = chunk_run(word, chunk, used);
        if (count == 0)
            return damaged_word(segment, sj_chunk_word(segment, chunk));
        run = word == 0 ? run + 1 : 0;
        chunk += count;
    }
    uint64_t first = chunk - run;
    if (wanted > chunks_reserved(segment) - first)
        return sj_error(SJ_EFULL,
                        "'%s' reserves %llu GiB of addresses, and %llu MiB more do not fit: make "
                        "a store with a larger reserve= and copy the data",
                        segment->name, (unsigned long long)(segment->reserved / SJ_GIB),
                        (unsigned long long)(wanted * SJ_CHUNK >> 20));
    *found = first;
    return SJ_OK;
}

/* The words up to `end` count from now on; only ever rises. A fence comes before any of them is
 * stored: the log's. */
static void raise_chunks(struct sj_segment *segment, uint64_t end)
{
    struct sj_root_page *root_page = segment->root_page;
    if (root_page->chunks >= end)
        return;
    sj_store(&root_page->chunks, end);
    sj_flush(segment->domain, &root_page->chunks, sizeof root_page->chunks);
}

/* A run of unused chunks that the file backs and the directory's used part covers. SJ_EFULL. */
static int reserve_chunks(struct sj_segment *segment, uint64_t chunks, uint64_t *first)
{
    int error = find_chunks(segment, chunks, first);
    if (error == SJ_OK)
        error = sj_segment_commit(segment, (*first + chunks) * SJ_CHUNK);
    if (error == SJ_OK)
        raise_chunks(segment, *first + chunks);
    return error;
}

int sj_chunks_take(struct sj_segment *segment, uint64_t chunks, uint64_t *at)
{
    uint64_t first;
    int error = reserve_chunks(segment, chunks, &first);
    if (error != SJ_OK)
        return error;
    *at = chunk_address(segment, first);
    return sj_tx_word(segment, sj_chunk_word(segment, first), CHUNK_WORD(SJ_CHUNK_HUGE, 0, chunks));
}

/* The word of the chunk at that address. */
static uint64_t *word_at(const struct sj_segment *segment, uint64_t at)
{
    return sj_chunk_word(segment, (at - (uint64_t)(uintptr_t)segment->base) / SJ_CHUNK);
}

int sj_chunks_log(struct sj_segment *segment, uint64_t at)
{
    return sj_tx_range(segment, word_at(segment, at), sizeof(uint64_t));
}

void sj_chunks_give_back(struct sj_segment *segment, uint64_t at)
{
    sj_store(word_at(segment, at), 0);
}

int sj_chunks_find_for_log(struct sj_segment *segment, uint64_t chunks, uint64_t *at)
{
    uint64_t first;
    int error = reserve_chunks(segment, chunks, &first);
    if (error == SJ_OK)
        *at = chunk_address(segment, first);
    return error;
}

void sj_chunks_set_log(struct sj_segment *segment, uint64_t at, uint64_t chunks)
{
    sj_sums_mark_word(segment, word_at(segment, at));
    sj_sums_mark(segment, (const void *)(uintptr_t)at, chunks * SJ_CHUNK);
    sj_store(word_at(segment, at), CHUNK_WORD(SJ_CHUNK_LOG, 0, chunks));
    sj_flush(segment->domain, word_at(segment, at), sizeof(uint64_t));
}

void sj_chunks_clear_log(struct sj_segment *segment, uint64_t at)
{
    sj_sums_mark_word(segment, word_at(segment, at));
    sj_store(word_at(segment, at), 0);
    sj_flush(segment->domain, word_at(segment, at), sizeof(uint64_t));
}

bool sj_chunks_are_log(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       bool or_unused)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    if (offset % SJ_CHUNK != 0 || offset < sj_pages_meta_bytes(segment->reserved))
        return false;
    uint64_t word = *word_at(segment, at);
    return word == CHUNK_WORD(SJ_CHUNK_LOG, 0, bytes / SJ_CHUNK) || (or_unused && word == 0);
}

/* Makes a paged chunk of an unused one. Its descriptors are fresh: they are stored without a
 * log. */
static int new_paged_chunk(struct sj_segment *segment, uint64_t *chunk)
{
    int error = find_chunks(segment, 1, chunk);
    if (error == SJ_OK)
        error = sj_segment_commit(segment, *chunk * SJ_CHUNK + (SJ_DESCRIPTOR_PAGES + 1) * SJ_PAGE);
    if (error != SJ_OK)
        return error;
    raise_chunks(segment, *chunk + 1);
    uint64_t *words = sj_page_words(segment, *chunk);
    error = sj_tx_fresh(segment, words, SJ_CHUNK_PAGES * sizeof *words);
    if (error != SJ_OK)
        return error;
    sj_zero(words, SJ_CHUNK_PAGES * sizeof *words);
    sj_store(words, PAGE_WORD(SJ_PAGE_META, 0, SJ_DESCRIPTOR_PAGES));
    return sj_tx_word(segment, sj_chunk_word(segment, *chunk),
                      CHUNK_WORD(SJ_CHUNK_PAGED, SJ_RUN_PAGES_MAX, 1));
}

/* The first `pages` free pages in a row from page `from` on (the head of a run, or free); `*found`
 * is SJ_CHUNK_PAGES when there are none. */
static int find_in_chunk(const struct sj_segment *segment, uint64_t chunk, uint64_t from,
                         uint64_t pages, uint64_t *found)
{
    const uint64_t *words = sj_page_words(segment, chunk);
    uint64_t run = 0, page = from;
    if (!sj_chunk_is_paged(segment, chunk))
        return damaged_word(segment, sj_chunk_word(segment, chunk));
    while (page < SJ_CHUNK_PAGES && run < pages) {
        uint64_t count = page_run(words[page], page);
        if (count == 0)
            return damaged_word(segment, &words[page]);
        run = words[page] == 0 ? run + 1 : 0;
        page += count;
    }
    *found = run == pages ? page - run : SJ_CHUNK_PAGES;
    return SJ_OK;
}

/* Looks through chunks [from, end), the first one from page `page` on. `*chunk` == end: nothing. */
static int find_in_chunks(const struct sj_segment *segment, uint64_t from, uint64_t end,
                          uint64_t pages, uint64_t *chunk, uint64_t *page)
{
    uint64_t used = segment->root_page->chunks, start = *page, count;
    for (*chunk = from; *chunk < end; *chunk += count, start = 0) {
        uint64_t word = *sj_chunk_word(segment, *chunk);
        count = chunk_run(word, *chunk, used);
        if (count == 0)
            return damaged_word(segment, sj_chunk_word(segment, *chunk));
        if (SJ_CHUNK_STATE(word) != SJ_CHUNK_PAGED || SJ_CHUNK_FREE(word) < pages)
            continue;
        int error = find_in_chunk(segment, *chunk, start, pages, page);
        if (error != SJ_OK || *page < SJ_CHUNK_PAGES)
            return error;
    }
    *chunk = end;
    return SJ_OK;
}

static int find_pages(struct sj_segment *segment, uint64_t pages, uint64_t *chunk, uint64_t *page)
{
    uint64_t used;
    sj_tx_settle(segment);
    int error = sj_chunks_used(segment, &used);
    if (error != SJ_OK)
        return error;
    uint64_t hint = segment->hints.chunk < used ? segment->hints.chunk : 0;
    *page = hint == segment->hints.chunk ? segment->hints.page : 0;
    error = find_in_chunks(segment, hint, used, pages, chunk, page);
    if (error != SJ_OK || *chunk < used)
        return error;
    *page = 0;
    error = find_in_chunks(segment, 0, used, pages, chunk, page);
    if (error != SJ_OK || *chunk < used)
        return error;
    error = new_paged_chunk(segment, chunk);
    *page = SJ_DESCRIPTOR_PAGES;
    return error;
}

int sj_pages_take(struct sj_segment *segment, uint64_t pages, enum sj_page_kind kind,
                  uint32_t size_class, uint64_t *at)
{
    uint64_t chunk, page;
    int error = find_pages(segment, pages, &chunk, &page);
    if (error == SJ_OK)
        error = sj_segment_commit(segment, chunk * SJ_CHUNK + (page + pages) * SJ_PAGE);
    if (error != SJ_OK)
        return error;
    uint64_t *chunk_word = sj_chunk_word(segment, chunk);
    uint64_t free = SJ_CHUNK_FREE(sj_tx_peek(segment, chunk_word)) - pages;
    error = sj_tx_word(segment, chunk_word, CHUNK_WORD(SJ_CHUNK_PAGED, free, 1));
    if (error == SJ_OK)
        error = sj_tx_word(segment, sj_page_words(segment, chunk) + page,
                           PAGE_WORD(kind, size_class, pages));
    if (error != SJ_OK)
        return error;
    segment->hints.chunk = chunk;
    segment->hints.page = page;
    *at = chunk_address(segment, chunk) + page * SJ_PAGE;
    return SJ_OK;
}

int sj_pages_give_back(struct sj_segment *segment, uint64_t at)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    uint64_t chunk = offset / SJ_CHUNK, page = offset % SJ_CHUNK / SJ_PAGE;
    uint64_t *chunk_word = sj_chunk_word(segment, chunk);
    uint64_t *page_word = sj_page_words(segment, chunk) + page;
    uint64_t chunk_now = sj_tx_peek(segment, chunk_word);
    uint64_t page_now = sj_tx_peek(segment, page_word), pages = page_run(page_now, page);
    if (page_now == 0 || pages == 0 || SJ_CHUNK_STATE(chunk_now) != SJ_CHUNK_PAGED)
        return damaged_word(segment, page_word);
    uint64_t free = SJ_CHUNK_FREE(chunk_now) + pages;
    int error = sj_tx_word(segment, chunk_word, CHUNK_WORD(SJ_CHUNK_PAGED, free, 1));
    if (error == SJ_OK)
        error = sj_tx_word(segment, page_word, 0);
    if (chunk < segment->hints.chunk ||
        (chunk == segment->hints.chunk && page < segment->hints.page))
        segment->hints = (struct sj_page_hints){segment->hints.generation, chunk, page};
    return error;
}

int sj_pages_find(const struct sj_segment *segment, uint64_t at, struct sj_page_run *run)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    if (offset >= sj_segment_committed(segment))
        return sj_segment_damaged(segment, at, "a block");
    uint64_t chunk = offset / SJ_CHUNK, used = segment->root_page->chunks;
    *run = (struct sj_page_run){0};
    if (chunk >= used)
        return damaged_word(segment, sj_chunk_word(segment, chunk));
    uint64_t word = sj_tx_peek(segment, sj_chunk_word(segment, chunk));
    if (chunk_run(word, chunk, used) == 0)
        return damaged_word(segment, sj_chunk_word(segment, chunk));
    if (SJ_CHUNK_STATE(word) == SJ_CHUNK_HUGE) {
        *run = (struct sj_page_run){chunk_address(segment, chunk), 0, SJ_CHUNK_COUNT(word),
                                    SJ_PAGE_RUN, 0};
        return SJ_OK;
    }
    if (SJ_CHUNK_STATE(word) != SJ_CHUNK_PAGED)
        return sj_segment_damaged(segment, at, "a block in use");
    const uint64_t *words = sj_page_words(segment, chunk);
    uint64_t page = offset % SJ_CHUNK / SJ_PAGE, head = page;
    while ((word = sj_tx_peek(segment, &words[head])) == 0 && head > 0)
        head--;
    uint64_t pages = page_run(word, head);
    if (word == 0 || pages <= page - head)
        return sj_segment_damaged(segment, at, "a block in use");
    *run = (struct sj_page_run){chunk_address(segment, chunk) + head * SJ_PAGE, pages, 0,
                                SJ_PAGE_KIND(word), SJ_PAGE_CLASS(word)};
    return SJ_OK;
}
