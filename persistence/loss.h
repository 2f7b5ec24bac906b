// SPDX-License-Identifier: Apache-2.0
/*
 * loss.h: a segment whose file loses bytes while it is open: nothing more reaches the file, and no
 * operation says that it succeeded.
 *
 * Fault model. While the segment is mapped, pages of its file can cease to be: somebody cuts the
 * file short, the storage cannot be read, a hole finds no room. An access to such a page is a
 * SIGBUS (guard.h); a system call that would touch one fails. It may happen between any two
 * instructions.
 *
 * The handler sets `damaged` and freezes the segment: from then on its addresses are a private copy
 * of what the file still has, and zeros where it has nothing. The interrupted operation goes on,
 * reads zeros, stores to the copy, and comes to its end, which looks at `damaged`.
 *
 * L1  `damaged` is set before the copy is there. So a store that did not reach the file is followed
 *     by a look at `damaged` that finds it set: nothing is acknowledged that the file has not.
 * L2  What a read has found counts only when `damaged` is not set after it (sj_leave looks): zeros
 *     are never reported as data, not even as "there is no such key".
 * L3  What a change had stored before the loss is in the file with the log entries that undo it,
 *     for the store that commits it goes to the copy. The writer leaves the lock as a dead one does
 *     (hold.c), so that the next one rolls back, if the log is still there.
 * L4  Words of the media may become zero between two reads of them. Code that reads one twice, and
 *     could leave the segment or not end when the second read finds zero, reads it once, or looks
 *     at `damaged` in between.
 *
 * What the others see: each process meets the loss when it first touches a lost page, and freezes
 * its own mapping. One that has not met it yet goes on with pages that are there, and what it
 * commits is in the file. Three things would hide the loss, and so look at the file's size first:
 * growth (which would fill it up with zeros again), rolling back for somebody else, and closing.
 *
 * What is not noticed: bytes that are overwritten, also by cutting the file short and making it
 * long again between two accesses, and the rest of the last page when a cut is not at the end of a
 * page. Those read as zeros without a signal; check() finds them.
 *
 *   states   whole ─→ lost page, or sj_segment_freeze ─→ damaged (read nothing, change nothing) ─→
 *            sj_segment_close → closed, not marked clean
 */
#ifndef SJ_PERSISTENCE_LOSS_H
#define SJ_PERSISTENCE_LOSS_H

#include "persistence/segment.h"

/* In the place of an address: pages of the lock file are lost; of what lies behind the image; what
 * became of a transaction over several segments (tx_group.h); a private segment was copied by a
 * fork while another thread was changing it. */
#define SJ_LOST_LOCK    UINT64_MAX
#define SJ_LOST_IMAGE   (UINT64_MAX - 1)
#define SJ_LOST_OUTCOME (UINT64_MAX - 2)
#define SJ_LOST_FORK    (UINT64_MAX - 3)

/* Guards the segment where it is mapped. SJ_ENOMEM. */
int sj_segment_guard(struct sj_segment *segment);
/* Before it is unmapped there, or moved. */
void sj_segment_unguard(struct sj_segment *segment);

/* Sets `damaged`: nothing that is done from now on counts. Async-signal-safe. */
void sj_segment_set_damaged(struct sj_segment *segment, uint64_t at);

/* Sets `damaged`, and cuts the segment off from its file; `at`: what was lost. Async-signal-safe.
 * False when there is no memory for the copy. */
bool sj_segment_freeze(struct sj_segment *segment, uint64_t at);

/* Whether the file still backs what is committed; if not, the segment is frozen. SJ_EDAMAGED,
 * SJ_EIO. Cost: a system call. */
int sj_segment_check_backing(struct sj_segment *segment);

/* SJ_EDAMAGED, and what was lost. */
int sj_segment_lost(const struct sj_segment *segment) __attribute__((cold));

#endif
