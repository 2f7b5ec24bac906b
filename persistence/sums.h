// SPDX-License-Identifier: Apache-2.0
/*
 * sums.h: checksums of a segment's pages, in a file beside it (sums_layout.h has the format, sums.c
 * the rules).
 *
 *   page      ──sj_sums_mark, before it changes──→ marked ──sj_sums_set, when it is at rest──→ page
 *   sums      ──the first change of a process──→ named, in use ──the last one closes──→ named,
 *   clean
 *             ──a change by who cannot mark──→ named by nobody: they count for nothing
 *
 * The first half is the file itself, for whoever has pages and their checksums; numbers of pages
 * are the file's. The second half keeps those of a mapped segment; those of a `wal` store are kept
 * by wal_sums.c. Neither locks: it says below which hold is needed.
 */
#ifndef SJ_PERSISTENCE_SUMS_H
#define SJ_PERSISTENCE_SUMS_H

#include "persistence/segment.h"
#include "persistence/sums_layout.h"
#include "persistence/superblock.h"

#define SJ_SUMS_SUFFIX ".sum"

/* ---- the file ---- */

struct sj_sums {
    int fd;
    uint64_t device, inode; /* its own; by now another file may have its name */
    uint64_t backed;        /* pages that the file had room for when it was opened */
    uint64_t bytes;         /* of the mapping */
    uint64_t nothing[2];    /* what the state words are when they name no superblock */
    struct sj_sums_header *header;
    uint64_t *changed;
    uint32_t *sum;
};

/* Opens the checksums of the segment with that uuid. SJ_ENOTFOUND: there are none (of this segment
 * and version); SJ_ECORRUPT, SJ_EPERM, SJ_EIO, SJ_ENOMEM. When pages of the open file are lost, its
 * sums count for nothing from then on. */
int sj_sums_open(const char *path, const uint8_t uuid[16], uint64_t reserved, bool writable,
                 struct sj_sums **sums);

struct sj_sums_spec {
    const uint8_t *uuid; /* of the segment */
    uint64_t reserved;
    uint64_t pages;   /* all of them are going to be marked */
    uint64_t present; /* checksum of the segment's superblock, which the new sums do not name */
    bool torn;        /* the other superblock is not whole, and need not be */
    uint32_t mode;
};

/* Makes a new file in place of one that may be there; complete and synced when it appears.
 * SJ_EFULL, SJ_EPERM, SJ_EIO, SJ_ENOMEM. */
int sj_sums_create(const char *path, const struct sj_sums_spec *spec, struct sj_sums **sums);

/* The same without a name, which sj_segment_publish gives it; `temporary`: PATH_MAX bytes, as
 * sj_segment_open_unnamed fills them. And its end, if it is not to get one. */
int sj_sums_prepare(const char *path, const struct sj_sums_spec *spec, char *temporary,
                    struct sj_sums **sums);
void sj_sums_discard(struct sj_sums *sums, const char *temporary);

void sj_sums_close(struct sj_sums *sums);

/* Makes room for pages [from, end), which become marked. SJ_EFULL, SJ_EIO. */
int sj_sums_back(struct sj_sums *sums, uint64_t from, uint64_t end);

/* Marks pages [first, end): before they change. */
void sj_sums_mark_pages(struct sj_sums *sums, uint64_t first, uint64_t end);

/* The CRC-32C of a page that is at rest. */
void sj_sums_set(struct sj_sums *sums, uint64_t page, uint32_t crc);

/* The CRC-32C of a page; false: it may be changing, or cannot be read. */
typedef bool sj_sums_crc(void *context, uint64_t page, uint32_t *crc);
/* Sets those of all marked pages of the first `pages` that have one; whether all have. */
bool sj_sums_compute(struct sj_sums *sums, uint64_t pages, sj_sums_crc *crc_of, void *context);

/* What is stored for a page with that CRC-32C. */
static inline uint32_t sj_sums_of(uint32_t crc)
{
    return crc == 0 ? 1 : crc;
}

/* Whether the superblock with that checksum is named. */
bool sj_sums_names(const struct sj_sums *sums, uint64_t super);

/* Names the superblock that is written next, beside the present one. */
void sj_sums_announce(struct sj_sums *sums, uint64_t present, uint64_t next);

/* Names that one alone; 0: none. */
void sj_sums_settle(struct sj_sums *sums, uint64_t present);

/* Whether both words name one, and one of them is that, or what new sums began with: who wrote the
 * other superblock may have died while doing so. */
bool sj_sums_explain_torn(const struct sj_sums *sums, uint64_t present);

/* What is wrong with the header, or NULL. */
const char *sj_sums_header_fault(const struct sj_sums_header *header);

/* Writes it to its storage. SJ_EIO. */
int sj_sums_sync(const struct sj_sums *sums);

/* ---- of a mapped segment ---- */

/* For sj_segment_open: where they would be, and, once it is mapped, that it has none; and for its
 * end. SJ_ENOMEM. */
int sj_segment_sums_name(struct sj_segment *segment, const char *path);
int sj_segment_sums_init(struct sj_segment *segment);
void sj_segment_sums_end(struct sj_segment *segment);

/* Whether nothing can have been lost since that superblock was written. */
bool sj_segment_is_continuous(const struct sj_segment *segment, const struct sj_super *super);

/* Opens the segment's sums; whether they count while that superblock does. Errors of sj_sums_open,
 * SJ_ECORRUPT also when they count and there are too few. The segment is one that may have sums: of
 * a domain that keeps them, or a `wal` store. So in the next two. */
int sj_segment_sums_find(const struct sj_segment *segment, const struct sj_super *super,
                         bool writable, struct sj_sums **sums, bool *counts);

/* The same for writing, if they count; SJ_ENOTFOUND if not. */
int sj_segment_sums_open(const struct sj_segment *segment, const struct sj_super *super,
                         struct sj_sums **sums);

/* New ones, all pages marked (I5), in place of none while that superblock counts.
 * SJ_ENOTFOUND: the segment can have none. */
int sj_segment_sums_create(const struct sj_segment *segment, const struct sj_super *super,
                           struct sj_sums **sums);

/* Whether they count while that superblock does (I3). */
bool sj_segment_sums_count(const struct sj_segment *segment, const struct sj_super *super,
                           const struct sj_sums *sums);
/* And whether they are those that others find. */
bool sj_segment_sums_are_known(const struct sj_segment *segment, const struct sj_super *super,
                               const struct sj_sums *sums);

/* Pages that the segment's file says it has. SJ_EIO. */
int sj_segment_sums_pages(const struct sj_segment *segment, uint64_t *pages);

/* Before sums are set, those of other states of the segment are given up (I9); a word that may
 * stand for a torn superblock stays (I8). Whether none did. */
bool sj_segment_sums_settle_whole(const struct sj_segment *segment, const struct sj_super *super,
                                  struct sj_sums *sums);

/* Before the superblock says "in use" for the first change of this process, and after it. */
void sj_segment_sums_begin(struct sj_segment *segment);
void sj_segment_sums_begun(struct sj_segment *segment);

/* Before a dead process's log is rolled back. SJ_EIO. */
int sj_segment_sums_recover(struct sj_segment *segment);

/* Before the superblock says "clean", when nobody else has the segment open. */
void sj_segment_sums_finish(struct sj_segment *segment);

/* Before a superblock is written and after it: `present` and `next` are the checksums of the two.
 * A failure means that `next` is not named and must not be written; another one may. SJ_EIO. */
int sj_segment_sums_announce(struct sj_segment *segment, uint64_t present, uint64_t next);
void sj_segment_sums_settle(struct sj_segment *segment, uint64_t present);

/* Before the segment grows from `from` to `end` bytes. SJ_EFULL, SJ_EIO. */
int sj_segment_sums_back(struct sj_segment *segment, uint64_t from, uint64_t end);

/* Sets the checksums of marked pages, with any hold; nothing within a transaction, but for those of
 * a `wal` store. */
void sj_segment_sums_refresh(struct sj_segment *segment);

/* ---- verifying ---- */

/* One damage that the checksums tell of. */
struct sj_sums_finding {
    uint64_t offset; /* of a page of the segment; SJ_SUMS_NOWHERE: of its checksums alone */
    char text[400];  /* what was expected and what was found */
};

#define SJ_SUMS_NOWHERE UINT64_MAX

struct sj_sums_verify {
    /* SJ_OK: go on. */
    int (*found)(void *context, const struct sj_sums_finding *finding);
    int (*progress)(void *context, uint64_t pages); /* done; called now and then */
    void *context;
    uint64_t verified;   /* pages whose checksum fits */
    uint64_t unverified; /* pages without one that counts */
};

/* By the only process: bits of the superblocks, A and B, that are damaged, not torn, while the
 * other one counts. */
uint32_t sj_segment_sums_damaged_supers(const struct sj_segment *segment,
                                        const struct sj_super *super);

/* Verifies all checksums that count, with any hold; of a `wal` store those of its file's pages,
 * while others may be writing them. What `found` or `progress` returned, SJ_EIO. */
int sj_segment_sums_verify(const struct sj_segment *segment, struct sj_sums_verify *verify);

/* Marks pages [first, last], counted in all of memory. (For sj_sums_mark.) */
void sj_segment_sums_mark(struct sj_segment *segment, uint64_t first, uint64_t last);

/* The checksum of the page at that multiple of SJ_PAGE in memory. */
static inline uint32_t sj_sums_at(const struct sj_segment *segment, uint64_t page)
{
    return *(const uint32_t *)(uintptr_t)(segment->sums_at + sizeof(uint32_t) * page);
}

/*
 * Bytes [at, at + bytes) are going to change: nothing is stored there before this has returned.
 * With the write hold. Cost: usually they are marked already, which is one load and a test.
 */
static inline void sj_sums_mark(struct sj_segment *segment, const void *at, size_t bytes)
{
    uint64_t first = (uint64_t)(uintptr_t)at / SJ_PAGE;
    uint64_t last = ((uint64_t)(uintptr_t)at + bytes - 1) / SJ_PAGE;
    if (SJ_UNLIKELY(first != last || sj_sums_at(segment, first) != 0))
        sj_segment_sums_mark(segment, first, last);
}

/* The same for one aligned word. */
static inline void sj_sums_mark_word(struct sj_segment *segment, const uint64_t *at)
{
    uint64_t page = (uint64_t)(uintptr_t)at / SJ_PAGE;
    if (SJ_UNLIKELY(sj_sums_at(segment, page) != 0))
        sj_segment_sums_mark(segment, page, page);
}

#endif
