// SPDX-License-Identifier: Apache-2.0
/*
 * tx_group.h: transactions over several segments: all of them commit, or none.
 *
 * Each segment keeps its own undo log. One of those that were changed is the decider, the others
 * are members. The commit, in the order of what reaches the media:
 *
 *   member     old bytes in its log … new bytes in place │ vote: "D at d decides"  ┐
 *   decider D  old bytes in its log … new bytes in place │ record: "d: members"    ┘
 *   ── fence ──
 *   decider D  log generation d → d + 1             this word commits all of them
 *   ── fence ──
 *   members    log generation m → m + 1, each with a fence
 *   decider D  record away
 *
 * A vote is good for its log's generation alone: storing the next one, which empties the log, ends
 * it too. A record of d counts when the log's generation is above d. A decider that rolls back
 * takes its record away before it takes the next generation: so d + 1 with a record is a commit,
 * d + 1 without one is none.
 *
 * I1  When D's generation is stored, all that the members have to recover by is on the media: old
 *     bytes, new bytes, votes; and so is the record.
 * I2  While a member's vote counts, D's answer to it does not change: nobody but the process that
 *     made the vote could decide, and it held D and the member until it died. (Or it found one of
 *     them damaged, and left that as a dead one does.)
 * I3  A record stays until every member has a higher generation than the record says, durably; or
 *     is not there. Then D's `forgotten` says first up to where the answers are lost.
 * I4  There is one record in a segment. Who finds it taken looks whether its members are through,
 *     and if one is not, another of the segments decides.
 * I5  What a file of another segment says is only believed if its uuid is the one that was meant,
 *     and its record, if it has any, is whole. Else the answer is SJ_EINDOUBT, and nothing changes.
 *
 * Who recovers (log.c): a log with a vote that counts is not rolled back before its decider's file
 * was read, which need not be attached, and may be in use, or have a log to be rolled back itself:
 *
 *   D's generation is d            nobody decided, and nobody can: roll back
 *   above d, record of d           commit: store the next generation, nothing else
 *   above d, no such record        D was rolled back: roll back
 *   above d, forgotten ≥ d         D gave its record up while this segment was away: SJ_EINDOUBT
 *   no such file, other uuid, damaged, not to be read: SJ_EINDOUBT
 *
 * SJ_EINDOUBT keeps everybody out until D is back, or the store is opened with `accept_unclean`,
 * which rolls its part back. So the catalog removes no file that another log in its home has a vote
 * for (sj_log_asks). Members are recovered in any order, before or after D, by any process, and D
 * may have been changed since: its record is still there, by I3. Recovery of D looks whether the
 * members are through, and takes its record away if they are.
 *
 * Crash rule: after any subset of the unfenced stores, recovery of each segment, in any order,
 * yields in all of them the state before begin until D's generation is stored, and in all of them
 * the state after it from then on.
 *
 * All segments of a group have the same durability, and none is in the `wal` domain: its commits
 * are acknowledged by its own log, which knows nothing of others.
 *
 * Cost, of n segments that were changed: n checksums of some hundred bytes and 2 n fences more than
 * n commits, no system call (two a segment when they lie in different directories). Segments that
 * were not changed take no part; with one that was, it is an ordinary commit.
 *
 *   states   idle → begin → (operations)* → commit | abort → idle
 *            commit: open → finished (all) → voted (all) → decided → through (each)
 */
#ifndef SJ_PERSISTENCE_TX_GROUP_H
#define SJ_PERSISTENCE_TX_GROUP_H

#include "persistence/segment.h"

#define SJ_TX_GROUP_MAX 64

/* The caller fills in all but `nested` and `depth`, and keeps it where it is from begin to commit
 * or abort. */
struct sj_tx_group {
    struct sj_segment *segment[SJ_TX_GROUP_MAX]; /* different ones */
    uint32_t count;
    bool nested; /* inside of another one: a savepoint in each */
    /* Of transactions that are open in each segment, with this one. */
    uint32_t depth[SJ_TX_GROUP_MAX];
    /* Before the addresses of segment `number` are used, and then no others; NULL: all can be. */
    int (*use)(void *context, uint32_t number);
    void *context;
};

/*
 * Begins a transaction in all segments; the caller has their write holds. Inside of a group it is
 * a savepoint in some or all of its segments. SJ_EINVAL: no segment or too many, of different
 * durability, in the `wal` domain or private (more than one), or some are in a transaction that
 * the others are not in. SJ_EREADONLY, SJ_ENOMEM. After a failure none has begun.
 */
SJ_API int sj_tx_group_begin(struct sj_tx_group *group);

/* SJ_ENOHOLD when a transaction that was begun inside of the group, in one of its segments, is open
 * still: that ends first. Changes nothing. */
SJ_API int sj_tx_group_check(const struct sj_tx_group *group);

/*
 * Commits all. SJ_ENOHOLD: sj_tx_group_check, and nothing has changed; or one of them is not in the
 * transaction any more. Then, and for SJ_EFULL, SJ_ENOMEM, SJ_EINVAL (their files lie too far
 * apart), SJ_EBUSY (all have a record whose members are not through): all are rolled back.
 * SJ_EDAMAGED: one has lost bytes: the others are rolled back; or
 * committed if it was decided, and then the damaged one is so when it is recovered.
 */
SJ_API int sj_tx_group_commit(struct sj_tx_group *group);

/* Undoes all since begin. The caller has asked sj_tx_group_check. Cannot fail. */
SJ_API void sj_tx_group_abort(struct sj_tx_group *group);

#endif
