// SPDX-License-Identifier: Apache-2.0
/*
 * park.h: segments whose addresses overlap: which one is at home, and where the others are.
 *
 * All of them stay mapped. One has its page tables at its base and is resident; the others have
 * theirs moved aside to a parking range, whole, so that coming home faults nothing in again
 * (mremap: the kernel moves whole page-table subtrees, as both ranges begin at multiples of 1 GiB).
 *
 *   resident  base ──────── sj_park_aside ───────→ parking   parked
 *             base ←─────── sj_park_home ───────── parking
 *
 * A thread says whose addresses it uses, in a word of its own (`active`): a space's, or those of
 * all spaces of a reach (reach.h): a store, a fence, and then it looks whether they are parked
 * (hold.c). Who wants to park a space sets `parked`, fences, and then looks at the words of all
 * threads. So no space is moved away under a thread.
 *
 *   I1  A space that a thread has in `active`, and found not parked afterwards, is resident.
 *   I2  `active` is of the thread's innermost hold while it runs, nothing while it waits for a lock
 *       or the disk: a thread that waits keeps nobody from the addresses that it has now. One that
 *       waits for the addresses of a reach has none of them meanwhile; so no two threads wait for
 *       each other with a part of what they need.
 *   I3  Spaces that are not parked do not overlap, nor do they overlap a claimed range.
 *   I4  Nothing is mapped over: a range that is free is reserved before page tables move there.
 *   I5  A space with live views (views.h) is resident, and no thread is inside of a space that
 *       overlaps it: who comes for its addresses is told so at once.
 *
 * Order of locks: the lock of a space, then `moving` (park.c), then the list of threads.
 *
 * Cost: for resident spaces a load and a test in each entry. A move out and in is three or four
 * system calls, whatever the size.
 *
 * El Hajj et al., SpaceJMP, ASPLOS 2016, §4.1 ("cached translations"), on an unmodified kernel.
 */
#ifndef SJ_SPACEJMP_PARK_H
#define SJ_SPACEJMP_PARK_H

#include "spacejmp/space.h"

struct sj_reach;

/* Below the mmap area, above executables and what sanitizers have. */
#define SJ_PARKING_FIRST 0x680000000000ull
#define SJ_PARKING_END   0x700000000000ull

/*
 * Brings a space home, moving aside those that are in its way; the caller has it in `active`.
 * `wait` NULL: SJ_EBUSY at once when a thread is active in one of them. SJ_EBUSY, SJ_EINTR,
 * SJ_EADDRESS (something that is not ours lies there), SJ_ENOMEM, SJ_EDAMAGED (it is the space that
 * has lost bytes, not one in its way). SJ_EBUSY at once also when one of them has live views.
 */
int sj_park_home(struct sj_space *space, const struct sj_wait *wait);

/* Brings all spaces of a reach home; none of them overlap. The caller uses the reach (sj_holds_use)
 * afterwards, and nothing after a failure. Errors of sj_park_home. */
int sj_park_home_all(const struct sj_reach *reach, const struct sj_wait *wait);

/* For views.c: one more view of the space, which the caller is inside of, and one less. SJ_EBUSY: a
 * thread is inside of a space that has the same addresses, and has to come back to them. */
int sj_park_keep(struct sj_space *space);
void sj_park_keep_no_more(struct sj_space *space);

/* Moves a space aside. SJ_EBUSY when a thread is active in it or it has live views,
 * SJ_EADDRESS, SJ_ENOMEM. */
int sj_park_aside(struct sj_space *space);

/*
 * Makes room for a segment that is going to be mapped at [base, base + bytes), and keeps it until
 * sj_park_release. One claim at a time: for attach, under its mutex. Errors of sj_park_home.
 */
int sj_park_claim(uint64_t base, uint64_t bytes, const struct sj_wait *wait);
/* The same for one that is attached, and going to be unmapped: it is at home until then. */
int sj_park_claim_home(struct sj_space *space, const struct sj_wait *wait);
void sj_park_release(void);

/* For space.c, with its table's mutex: the space enters the table, and leaves it. */
void sj_park_added(struct sj_space *space);
void sj_park_removed(struct sj_space *space);

/* No fork while page tables move; and in the child. */
void sj_park_before_fork(void);
void sj_park_after_fork(void);
void sj_park_forked(void);

#endif
