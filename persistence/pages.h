// SPDX-License-Identifier: Apache-2.0
/*
 * pages.h: chunks and page runs: where slabs and large blocks come from. Used by heap.c and log.c.
 */
#ifndef SJ_PERSISTENCE_PAGES_H
#define SJ_PERSISTENCE_PAGES_H

#include "persistence/segment.h"

/* A run of `pages` pages (≤ sj_pages_max) as `kind`, in the plan of an operation; page words are of
 * the head alone. SJ_EFULL. */
int sj_pages_take(struct sj_segment *segment, uint64_t pages, enum sj_page_kind kind,
                  uint32_t size_class, uint64_t *at);
int sj_pages_give_back(struct sj_segment *segment, uint64_t at);

/* Whole chunks for one block, in the plan of an operation. SJ_EFULL. */
int sj_chunks_take(struct sj_segment *segment, uint64_t chunks, uint64_t *at);
/* Giving them back: the word is logged in the plan, and stored when the transaction logs nothing
 * more, for the log may grow into unused chunks. */
int sj_chunks_log(struct sj_segment *segment, uint64_t at);
void sj_chunks_give_back(struct sj_segment *segment, uint64_t at);

/* Chunks for a log extent, not under the log: unused ones are found (SJ_EFULL); they become LOG
 * once the log's header covers them; and unused again before it does not. */
int sj_chunks_find_for_log(struct sj_segment *segment, uint64_t chunks, uint64_t *at);
void sj_chunks_set_log(struct sj_segment *segment, uint64_t at, uint64_t chunks);
void sj_chunks_clear_log(struct sj_segment *segment, uint64_t at);
/* Whether these bytes of the segment are chunks that the log has taken. */
bool sj_chunks_are_log(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       bool or_unused);

/* What the page descriptors say of the run that `at` lies in. Checked: SJ_ECORRUPT. */
struct sj_page_run {
    uint64_t at;     /* address of its first page (of its first chunk) */
    uint64_t pages;  /* 0 for a huge block */
    uint64_t chunks; /* of a huge block */
    enum sj_page_kind kind;
    uint32_t size_class;
};
int sj_pages_find(const struct sj_segment *segment, uint64_t at, struct sj_page_run *run);

/* Fills in the words of a segment that is being made, at `image` (its first pages in memory). */
void sj_pages_format(void *image, uint64_t reserved);

/* Bytes that a new segment begins with: superblocks to chunk directory. */
uint64_t sj_pages_meta_bytes(uint64_t reserved);

/* How many chunk words there are, checked; also that the metadata is not free to be taken.
 * SJ_ECORRUPT. */
int sj_chunks_used(const struct sj_segment *segment, uint64_t *used);

/* Whether the words of a chunk in state PAGED can be read: the file backs them, and they keep
 * their own pages (in chunk 0 all of the metadata) out of use. */
bool sj_chunk_is_paged(const struct sj_segment *segment, uint64_t chunk);

/* The words themselves, for the checker and the statistics. */
static inline uint64_t *sj_chunk_word(const struct sj_segment *segment, uint64_t chunk)
{
    return (uint64_t *)(segment->base + SJ_CHUNK_DIR_AT) + chunk;
}
static inline uint64_t *sj_page_words(const struct sj_segment *segment, uint64_t chunk)
{
    return (uint64_t *)(segment->base + (chunk == 0 ? SJ_CHUNK0_PAGES_AT : chunk * SJ_CHUNK));
}
#define SJ_CHUNK_STATE(word)    ((enum sj_chunk_state)((word) & 0xff))
#define SJ_CHUNK_FREE(word)     ((word) >> 8 & 0xffffff)
#define SJ_CHUNK_COUNT(word)    ((word) >> 32)
#define SJ_PAGE_KIND(word)      ((enum sj_page_kind)((word) & 0xff))
#define SJ_PAGE_CLASS(word)     ((uint32_t)((word) >> 8 & 0xff))
#define SJ_PAGE_RUN_PAGES(word) ((word) >> 32)

#define SJ_DESCRIPTOR_PAGES 2ull /* at the head of a paged chunk */
#define SJ_RUN_PAGES_MAX    (SJ_CHUNK_PAGES - SJ_DESCRIPTOR_PAGES)

#endif
