// SPDX-License-Identifier: Apache-2.0
/*
 * log_layout.h: the undo log on the media.
 *
 *   log header:  generation | extents in use | extent 0 (fixed) … extent 15 (whole chunks)
 *   extent:      entry | entry | …     (an entry never spans two extents)
 *   entry:       address | bytes | generation | checksum | old bytes, padded to 8
 *
 * An entry counts when its generation is the header's and its checksum fits. So the log ends at the
 * first entry that does not, and storing a new generation (one word) empties it: that store is
 * the commit.
 */
#ifndef SJ_PERSISTENCE_LOG_LAYOUT_H
#define SJ_PERSISTENCE_LOG_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_LOG_EXTENTS 16

struct sj_log_extent {
    uint64_t at; /* address */
    uint64_t bytes;
};

struct sj_log {
    uint64_t generation; /* only ever rises, by one, at each commit and rollback */
    uint64_t extents;    /* in use, ≥ 1 */
    struct sj_log_extent extent[SJ_LOG_EXTENTS];
    uint8_t zero[4096 - 16 - 16 * SJ_LOG_EXTENTS];
};

struct sj_log_entry {
    uint64_t at;    /* address of the range, 8-byte aligned */
    uint64_t bytes; /* length of the range, a multiple of 8 */
    uint64_t generation;
    uint64_t checksum; /* over the entry's own address, the three words above and the bytes */
    uint64_t old[];
};

_Static_assert(sizeof(struct sj_log_extent) == 16, "media");
_Static_assert(sizeof(struct sj_log) == SJ_PAGE, "media");
_Static_assert(offsetof(struct sj_log, generation) == 0, "media");
_Static_assert(offsetof(struct sj_log, extents) == 8, "media");
_Static_assert(offsetof(struct sj_log, extent) == 16, "media");
_Static_assert(sizeof(struct sj_log_entry) == 32, "media");
_Static_assert(offsetof(struct sj_log_entry, bytes) == 8, "media");
_Static_assert(offsetof(struct sj_log_entry, generation) == 16, "media");
_Static_assert(offsetof(struct sj_log_entry, checksum) == 24, "media");
_Static_assert(offsetof(struct sj_log_entry, old) == 32, "media");

#endif
