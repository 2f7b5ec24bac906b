// SPDX-License-Identifier: Apache-2.0
/*
 * heap_layout.h: the heap on the media.
 *
 *   segment = chunks of 4 MiB = 1024 pages each
 *   chunk directory: one word a chunk     (what the chunk is)
 *   page descriptors: one word a page     (in the chunk's first two pages; chunk 0: at 8192)
 *   slab: 1, 4 or 16 pages that hold blocks of one size class; 64-byte header with a bitmap
 *   run:  whole pages for one block larger than the largest class
 *   huge: whole chunks for one block larger than a chunk's run; data begins at the first byte
 *
 *   chunk word:  bits 0–7 state | 8–31 free pages (PAGED) | 32–63 chunks of the run, ≥ 1
 *   page word:   bits 0–7 kind  | 8–15 size class (SLAB)  | 32–63 pages of the run
 *
 * Only the first word of a run of chunks or pages is set; those of the others are zero, and are
 * covered by the count in the first. So taking or giving back a run changes one word.
 */
#ifndef SJ_PERSISTENCE_HEAP_LAYOUT_H
#define SJ_PERSISTENCE_HEAP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_CLASSES      36 /* 16, 32 … 256, then four a doubling up to 8192 */
#define SJ_CLASS_MAX    8192ull
#define SJ_ROOT_BUCKETS 64

enum sj_chunk_state {
    SJ_CHUNK_UNUSED = 0,
    SJ_CHUNK_PAGED = 1,
    SJ_CHUNK_HUGE = 2, /* a huge block */
    SJ_CHUNK_LOG = 3,  /* a log extent */
    SJ_CHUNK_META = 4, /* superblocks to chunk directory, when they need a whole chunk or more */
};

enum sj_page_kind {
    SJ_PAGE_FREE = 0,
    SJ_PAGE_META = 1, /* superblocks, log, descriptors … */
    SJ_PAGE_SLAB = 2,
    SJ_PAGE_RUN = 3,
};

struct sj_root_page {
    uint64_t committed; /* bytes that the file backs; only ever rises, not under the log */
    uint64_t chunks;    /* chunk words ever used: none at or after this one; rises */
    uint64_t removals;  /* rises whenever a root may have gone; not under the log */
    uint64_t reserved0[5];
    uint64_t partial[SJ_CLASSES];    /* first slab with a free block, by class, or 0 */
    uint64_t roots[SJ_ROOT_BUCKETS]; /* roots directory: chains by hash of the name */
    uint64_t root_count;
    uint64_t growth_limit; /* bytes that the file may grow to; 0: the reserve */
    uint64_t settings;     /* SJ_SETTING_… */
    uint8_t zero[4096 - 8 * (8 + SJ_CLASSES + SJ_ROOT_BUCKETS + 3)];
};

struct sj_slab {
    uint16_t magic; /* SJ_SLAB_MAGIC */
    uint16_t size_class;
    uint16_t blocks; /* capacity */
    uint16_t zero16;
    uint64_t zero64;
    uint64_t next; /* in the class's list of slabs with a free block, or 0 */
    uint64_t previous;
    uint64_t used[4]; /* bitmap: bit set = in use */
};

#define SJ_SLAB_MAGIC 0x51abu

/* What users set of a segment (settings.h). */
enum {
    SJ_SETTING_NOT_LOCKABLE = 1,
    SJ_SETTING_PREFAULT = 2,
    SJ_SETTING_HUGE = 4,
};

struct sj_root {
    uint16_t kind; /* SJ_KIND_ROOT */
    uint16_t type; /* SJ_KIND_… of what `pointer` leads to */
    uint8_t key_codec;
    uint8_t value_codec;
    uint16_t name_bytes;
    uint64_t next; /* in the bucket's chain, or 0 */
    uint64_t pointer;
    char name[];
};

/* The head of a block that its user lays out (user.h). */
struct sj_user_block {
    uint16_t kind; /* SJ_KIND_USER */
    uint16_t zero16;
    uint32_t zero32;
    uint64_t bytes; /* that were asked for, and follow */
};

_Static_assert(sizeof(struct sj_root_page) == SJ_PAGE, "media");
_Static_assert(offsetof(struct sj_root_page, partial) == 64, "media");
_Static_assert(offsetof(struct sj_root_page, roots) == 352, "media");
_Static_assert(offsetof(struct sj_root_page, root_count) == 864, "media");
_Static_assert(offsetof(struct sj_root_page, growth_limit) == 872, "media");
_Static_assert(offsetof(struct sj_root_page, settings) == 880, "media");
_Static_assert(sizeof(struct sj_slab) == 64, "media");
_Static_assert(offsetof(struct sj_slab, next) == 16, "media");
_Static_assert(offsetof(struct sj_slab, previous) == 24, "media");
_Static_assert(offsetof(struct sj_slab, used) == 32, "media");
_Static_assert(sizeof(struct sj_root) == 24, "media");
_Static_assert(offsetof(struct sj_root, key_codec) == 4, "media");
_Static_assert(offsetof(struct sj_root, name_bytes) == 6, "media");
_Static_assert(offsetof(struct sj_root, next) == 8, "media");
_Static_assert(offsetof(struct sj_root, pointer) == 16, "media");
_Static_assert(sizeof(struct sj_user_block) == 16, "media");
_Static_assert(offsetof(struct sj_user_block, bytes) == 8, "media");

#endif
