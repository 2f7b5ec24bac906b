// SPDX-License-Identifier: Apache-2.0
/*
 * census.h: who has which block of the heap. For the check, its repair, and the collector.
 */
#ifndef SJ_STRUCTURES_CENSUS_H
#define SJ_STRUCTURES_CENSUS_H

#include "persistence/roots.h"
#include "structures/structure.h"

struct sj_census_report {
    uint64_t structures; /* with a root, or that a reference leads to */
    uint64_t items;
    uint64_t blocks; /* that structures and roots have */
    uint64_t bytes;
    uint64_t leaked_blocks; /* in use, and nothing leads to them */
    uint64_t leaked_bytes;
    uint64_t freed_blocks; /* leaks that were freed */
    uint64_t freed_bytes;
};

/* Bytes that are done and those that there are; nonzero ends the work with SJ_EINTR. */
typedef int sj_census_progress(void *context, uint64_t done, uint64_t total);

struct sj_census {
    struct sj_segment *segment;
    sj_census_progress *progress; /* or NULL */
    void *context;
    struct sj_census_report *report;
    uint64_t *owned; /* one bit for each 16 bytes of the file: a block begins there that one has */
    uint64_t *known; /* and those of structures that were found, visited or not */
    uint64_t granules;
    uint64_t *pending; /* structures that were found and not visited yet; grown by doubling */
    uint64_t pending_count, pending_room;
    uint64_t found; /* owned blocks that the heap has in use */
    uint64_t done;  /* bytes, of the progress */
    uint64_t told;  /* of those, when it was last told */
    uint64_t total;
    bool viewed; /* somebody has views of the segment */
};

/* `census` and `report` are zeros but for segment, progress, context, report. SJ_ENOMEM. */
int sj_census_begin(struct sj_census *census);
void sj_census_end(struct sj_census *census);

/* So many bytes more are done. SJ_EINTR. */
int sj_census_advance(struct sj_census *census, uint64_t bytes);

/* A structure that is in use though nothing in the segment may lead to it. SJ_ENOMEM; SJ_OK also
 * when there is none at that address. */
int sj_census_keep(struct sj_census *census, uint64_t head, uint32_t serial);

/* Visits all that roots and references lead to, and compares with the heap. SJ_ECORRUPT,
 * SJ_ENOMEM, SJ_EINTR. */
int sj_census_take(struct sj_census *census);

/* Frees all blocks that nobody has, as one operation, after it was taken. */
int sj_census_sweep(struct sj_census *census);

/* What a root leads to takes up: blocks, and bytes as their size classes have them; not what
 * references in it lead to. SJ_ECORRUPT. */
struct sj_usage {
    uint64_t items;
    uint64_t blocks;
    uint64_t bytes;
};
SJ_API int sj_census_usage(struct sj_segment *segment, const struct sj_root *root,
                           struct sj_usage *usage);

/* Verifies what a root leads to, and has `visit` called for each of its blocks. SJ_ECORRUPT, and
 * what `visit` returns. */
int sj_census_root(struct sj_segment *segment, const struct sj_root *root, sj_heap_visit *visit,
                   void *context);

#endif
