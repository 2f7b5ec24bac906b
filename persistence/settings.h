// SPDX-License-Identifier: Apache-2.0
/*
 * settings.h: what users set of a segment, in its root page (heap_layout.h).
 *
 * A change is an operation (tx.h): a crash leaves the old settings or the new ones. The growth
 * limit counts at once, for every process; the others for those that open the segment from then on.
 * A segment of before has zeros there, which are the defaults.
 */
#ifndef SJ_PERSISTENCE_SETTINGS_H
#define SJ_PERSISTENCE_SETTINGS_H

#include "persistence/segment.h"

#define SJ_PAGE_HUGE (2ull << 20)

struct sj_settings {
    uint64_t growth_limit; /* bytes that the file may grow to; 0: all of the reserve */
    uint64_t page_bytes;   /* SJ_PAGE or SJ_PAGE_HUGE */
    bool lockable;         /* a switch into a VAS takes its lock */
    bool prefault;         /* who opens it maps all pages that it has */
};

/* Reads them; with any hold. */
SJ_API void sj_settings_get(const struct sj_segment *segment, struct sj_settings *settings);

/* Changes them; with the write hold. SJ_EINVAL: out of range; SJ_EUNSUPPORTED: the filesystem does
 * not give huge pages; errors of sj_tx_op_begin. */
SJ_API int sj_settings_put(struct sj_segment *segment, const struct sj_settings *settings);

/* Follows them, when the segment has just been mapped, or they have changed. Cost: with huge pages
 * or prefault, that of all pages that it has. */
void sj_settings_follow(struct sj_segment *segment);

#endif
