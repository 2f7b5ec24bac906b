// SPDX-License-Identifier: Apache-2.0
/*
 * hold.h: switching: the spaces that the calling thread is inside of, and how.
 *
 * A hold makes a space the thread's current one and has its lock until it ends. Holds nest, also
 * across spaces: leaving restores the one before. A write hold covers reads; asking for a write
 * hold inside a read hold of the same space is SJ_EUPGRADE, for two such threads would wait for
 * each other for ever.
 *
 * A single operation outside any hold takes one for itself: sj_enter_read() … sj_leave_read() cost
 * a thread-local load and a store and a fence on the thread's own cache line.
 */
#ifndef SJ_SPACEJMP_HOLD_H
#define SJ_SPACEJMP_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/space.h"

#define SJ_HOLDS_MAX 128 /* spaces that one thread is inside of at the same time */

enum sj_hold_mode { SJ_HOLD_NONE = 0, SJ_HOLD_READ = 1, SJ_HOLD_WRITE = 2 };

/* The calling thread's current space, or NULL: none, or a VAS (vas.h). */
SJ_API struct sj_space *sj_current(void);

/* The calling thread's mode in that space. */
SJ_API enum sj_hold_mode sj_hold_mode(const struct sj_space *space);

/*
 * Enters for reading or writing. `wait` NULL: do not wait (SJ_EBUSY). SJ_EUPGRADE, SJ_EREADONLY,
 * SJ_EINTR, SJ_EINVAL (nested too deeply), SJ_ECORRUPT (a dead writer's log is damaged),
 * SJ_EDAMAGED.
 */
SJ_API int sj_enter_read(struct sj_space *space, const struct sj_wait *wait);
SJ_API int sj_enter_write(struct sj_space *space, const struct sj_wait *wait);

/*
 * Leaves what was entered last; `space` must be the current one. SJ_ENOHOLD. Leaving the outermost
 * write hold with a transaction open aborts it. In a `wal` domain it returns when what the hold has
 * committed is on disk; SJ_EIO when that failed: it is left all the same. SJ_EDAMAGED: it is left
 * too, but the files have lost bytes, so what was read in the hold does not count
 * (persistence/loss.h), nor what was changed. SJ_EBUSY: it is left, but the space that is current
 * again has its addresses taken by one that other threads are inside of: sj_return waits for them.
 */
SJ_API int sj_leave(struct sj_space *space);

/* Brings the current space home, if it is not. Errors of sj_park_home (park.h). */
SJ_API int sj_return(const struct sj_wait *wait);

/* Whether the calling thread is inside of anything. */
SJ_API bool sj_hold_any(void);

/* Whether a thread of this process is inside of the space, when its lock cannot tell any more. */
bool sj_holds_any(const struct sj_space *space);

/* Whether a thread uses the space's addresses. (For park.c.) */
bool sj_holds_active(const struct sj_space *space);

/* The calling thread uses no addresses until sj_holds_return. (For space.c.) */
void sj_holds_pause(void);
/* It uses those of what it is in again. A space comes home when it is used next, if that takes
 * longer than `wait`; for a VAS, which is used without asking, only a signal ends the wait. */
void sj_holds_return(const struct sj_wait *wait);
/* The same around several pauses, which do not return before the last has ended. (For vas.c.) */
void sj_holds_suspend(void);
void sj_holds_resume(const struct sj_wait *wait);
/* It uses those of a reach, or none (NULL); others look at that under park.c's mutex. (For
 * park.c.) */
struct sj_reach;
void sj_holds_use(const struct sj_reach *reach);
/* It uses those of a space that it is not inside of yet, which is at home: SJ_EBUSY, and those of
 * sj_park_home; `before` is for the end of that. (For space.c.) */
int sj_holds_visit(struct sj_space *space, uintptr_t *before);
void sj_holds_end_visit(uintptr_t before);

/* Puts the process itself at the bottom of the calling thread's stack of holds, or takes it away:
 * so entering and leaving come to the code that tells a model of it (mmu/model.h). SJ_EBUSY: the
 * thread is inside of a space. SJ_ENOMEM. */
int sj_hold_watch(bool watched);

/* Called by space.c in the child of a fork: the thread holds nothing. */
void sj_holds_forked(void);

#endif
