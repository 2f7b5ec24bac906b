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
 *
 * The rest of the header's page is for transactions over several segments (tx_group.c):
 *
 *   vote:        of a member: which segment decides what becomes of this log
 *   record:      of the segment that decides: who else is in it
 */
#ifndef SJ_PERSISTENCE_LOG_LAYOUT_H
#define SJ_PERSISTENCE_LOG_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_LOG_EXTENTS      16
#define SJ_LOG_RECORD_BYTES 3432 /* of the members of a record */
#define SJ_LOG_PATH_MAX     255  /* bytes of the name of another one's file */

struct sj_log_extent {
    uint64_t at; /* address */
    uint64_t bytes;
};

/* Counts when its generation is the log's and its checksum fits: then the log is rolled back or
 * committed as the segment that it names says. */
struct sj_log_vote {
    uint64_t generation;
    uint8_t decider[16];         /* uuid */
    uint64_t decider_generation; /* of the decider's log: it decides by storing the next one */
    uint64_t path_bytes;
    char path[SJ_LOG_PATH_MAX + 1]; /* of the decider's file, from this one's directory */
    uint64_t checksum;              /* of the segment's uuid and all before it */
};

/* Counts when its generation is below the log's and its checksum fits: then the members are
 * committed. */
struct sj_log_record {
    uint64_t generation; /* 0: there is none */
    uint64_t bytes;      /* of `member` that are in use */
    uint64_t checksum;   /* of the segment's uuid, the two words above and these bytes */
    uint8_t member[SJ_LOG_RECORD_BYTES];
};

/* They lie one behind the other, each padded with zeros to 8 bytes. */
struct sj_log_member {
    uint8_t uuid[16];
    uint64_t generation; /* of its log: a higher one says that it is through */
    uint64_t path_bytes;
    char path[]; /* of its file, from the decider's directory */
};

struct sj_log {
    uint64_t generation; /* only ever rises, by one, at each commit and rollback */
    uint64_t extents;    /* in use, ≥ 1 */
    struct sj_log_extent extent[SJ_LOG_EXTENTS];
    uint8_t zero[48];
    struct sj_log_vote vote;
    uint64_t forgotten; /* the last record that was given up while a member could not be found */
    uint64_t zero64;
    struct sj_log_record record;
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
_Static_assert(offsetof(struct sj_log, vote) == 320, "media");
_Static_assert(offsetof(struct sj_log, forgotten) == 624, "media");
_Static_assert(offsetof(struct sj_log, record) == 640, "media");
_Static_assert(sizeof(struct sj_log_vote) == 304, "media");
_Static_assert(offsetof(struct sj_log_vote, decider) == 8, "media");
_Static_assert(offsetof(struct sj_log_vote, decider_generation) == 24, "media");
_Static_assert(offsetof(struct sj_log_vote, path_bytes) == 32, "media");
_Static_assert(offsetof(struct sj_log_vote, path) == 40, "media");
_Static_assert(offsetof(struct sj_log_vote, checksum) == 296, "media");
_Static_assert(sizeof(struct sj_log_record) == 3456, "media");
_Static_assert(offsetof(struct sj_log_record, bytes) == 8, "media");
_Static_assert(offsetof(struct sj_log_record, checksum) == 16, "media");
_Static_assert(offsetof(struct sj_log_record, member) == 24, "media");
_Static_assert(sizeof(struct sj_log_member) == 32, "media");
_Static_assert(offsetof(struct sj_log_member, generation) == 16, "media");
_Static_assert(offsetof(struct sj_log_member, path_bytes) == 24, "media");
_Static_assert(offsetof(struct sj_log_member, path) == 32, "media");
_Static_assert(sizeof(struct sj_log_entry) == 32, "media");
_Static_assert(offsetof(struct sj_log_entry, bytes) == 8, "media");
_Static_assert(offsetof(struct sj_log_entry, generation) == 16, "media");
_Static_assert(offsetof(struct sj_log_entry, checksum) == 24, "media");
_Static_assert(offsetof(struct sj_log_entry, old) == 32, "media");

#endif
