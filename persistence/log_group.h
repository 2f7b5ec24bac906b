// SPDX-License-Identifier: Apache-2.0
/*
 * log_group.h: votes and records: what the logs of several segments say of each other on the media.
 * Used by tx_group.c, which has the rules, and by recovery. The caller has the write hold of the
 * segments whose logs are stored to; files of others are only read.
 */
#ifndef SJ_PERSISTENCE_LOG_GROUP_H
#define SJ_PERSISTENCE_LOG_GROUP_H

#include "persistence/segment.h"

/* Writes the member's vote, not fenced: from then on `decider` decides what becomes of its log.
 * SJ_EINVAL: its path is too long; SJ_EIO. */
int sj_log_vote(struct sj_segment *member, const struct sj_segment *decider);

/* Writes the record of the others among the segments, not fenced; it does not count before the
 * decider's log takes its next generation. The place is vacant. SJ_EINVAL: too many members, or too
 * long paths; SJ_EIO. */
int sj_log_record(struct sj_segment *decider, struct sj_segment *const *segments, uint32_t count);

/* Takes it away, not fenced: all members are through. */
void sj_log_record_end(struct sj_segment *decider);

/* Makes the place for a record vacant, if all members of the one there are through, or gone.
 * SJ_EBUSY: one of them is not through; errors of reading the files of members. Cost: nothing when
 * there is none, else a few system calls a member. */
int sj_log_settle(struct sj_segment *segment);

/* Before the log takes its next generation without being committed: what its record says must not
 * come to count. */
void sj_log_withdraw(struct sj_segment *segment);

/* Whether there is a record, of whatever kind. */
static inline bool sj_log_has_record(const struct sj_segment *segment)
{
    return sj_load(&segment->log->record.generation) != 0;
}

/*
 * Whether the log that a dead process left is one to commit: it voted, and the segment that decides
 * has. When it is, that is durable. SJ_EINDOUBT: that segment's file is not there, cannot be read,
 * or is damaged. Cost: nothing when it has not voted, else about ten system calls.
 */
int sj_log_outcome(const struct sj_segment *segment, bool *committed);

/*
 * Whether the log of the segment in that file waits for what another one has decided: it has a vote
 * that counts; and for which. A process that commits a group makes it so for a moment. Reads the
 * file only: SJ_ENOTFOUND, SJ_EPERM, SJ_EIO, SJ_ECORRUPT and the like. Cost: about five system
 * calls.
 */
SJ_API int sj_log_asks(const char *path, uint8_t decider[16], bool *asks);

#endif
