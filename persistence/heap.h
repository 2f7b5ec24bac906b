// SPDX-License-Identifier: Apache-2.0
/*
 * heap.h: memory inside a segment.
 *
 * Blocks are 16-byte aligned (64-byte aligned from 64 bytes on when the size is a multiple of 64),
 * and never move. All state is on the media and under the log: an allocation or a free belongs to
 * the operation that makes it. Every block begins with `struct sj_block` (a kind), which its owner
 * writes.
 *
 * Cost: an allocation is a bitmap scan and one logged word; a class's slab is refilled once in
 * 30–250 allocations. Overhead: 64 bytes a slab; the size is rounded up to its class (≤ 25 %, 12 %
 * on average above 256 bytes).
 */
#ifndef SJ_PERSISTENCE_HEAP_H
#define SJ_PERSISTENCE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/segment.h"

/* The largest block a segment could hold. */
SJ_API uint64_t sj_heap_block_max(const struct sj_segment *segment);

/* A fresh block of at least `bytes` bytes, its contents undefined. In the plan of an operation.
 * What is stored in those bytes until the commit needs no log, and is durable with it. SJ_EFULL
 * (nothing changed), SJ_ENOMEM, SJ_ETOOBIG, SJ_ECORRUPT. */
SJ_API int sj_heap_alloc(struct sj_segment *segment, uint64_t bytes, void **block);

/* Gives the block back when the transaction commits. In the plan of an operation. SJ_ECORRUPT when
 * it is not a block in use; SJ_ENOMEM. */
SJ_API int sj_heap_free(struct sj_segment *segment, uint64_t block);

/* Carries out one deferred free; called by the commit. Of a huge block it only logs the word; when
 * all of the transaction is logged, sj_heap_free_end() stores it. */
int sj_heap_free_now(struct sj_segment *segment, uint64_t block);
void sj_heap_free_end(struct sj_segment *segment, uint64_t block);

/* Bytes that the block at `block` has, or 0 when no block in use begins there. */
SJ_API uint64_t sj_heap_usable(const struct sj_segment *segment, uint64_t block);

/* The block in use that the byte at `at`, any number, is in, and how many bytes it has; whether
 * there is one. */
bool sj_heap_block_of(const struct sj_segment *segment, uint64_t at, uint64_t *block,
                      uint64_t *bytes);

struct sj_heap_stats {
    uint64_t file_bytes; /* committed */
    uint64_t live_bytes; /* blocks in use, as their class has them */
    uint64_t live_blocks;
    uint64_t free_bytes;      /* in slabs and free pages that the file backs */
    uint64_t slab_free_bytes; /* of these, in slabs: for blocks of their size class alone */
    uint64_t meta_bytes;      /* superblocks, log, descriptors, slab headers */
};

/* Walks the descriptors and slabs. Cost: O(pages). SJ_ECORRUPT. */
SJ_API int sj_heap_stats(const struct sj_segment *segment, struct sj_heap_stats *stats);

/*
 * The checker's view: verifies every descriptor, slab and list, and calls `visit` for every block
 * in use. The first damage ends it: SJ_ECORRUPT. `visit` returns 0 to go on.
 */
typedef int sj_heap_visit(void *context, uint64_t block, uint64_t bytes);
SJ_API int sj_heap_check(const struct sj_segment *segment, sj_heap_visit *visit, void *context);

#endif
