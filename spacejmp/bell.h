// SPDX-License-Identifier: Apache-2.0
/*
 * bell.h: waiting until somebody has changed something, in whatever process: for queues.
 *
 * A bell is a futex in the lock file of the space, which is mapped elsewhere than the segment: it
 * is not under the log, no page of it has a checksum, and who waits at it uses no addresses of the
 * space (park.h). There are few; which one somebody uses is by a number of its own, so several may
 * use the same one: they are woken for nothing now and then, and look again.
 *
 *   wait   enter │ look: not there │ rings = sj_bell_arm() │ leave │ sj_bell_wait(rings) │ again
 *   ring   enter │ change │ sj_bell_note() │ commit, leave │ sj_bells_ring(): by the leaving
 *
 * I1  Who waits has read `rings`, and then armed the bell, in a hold in which what it looks for was
 *     not there. So a change comes after that hold, and its ring finds the bell armed.
 * I2  A ring raises `rings` before it wakes: who has read the old number and does not sleep yet
 *     will not.
 * I3  A bell is disarmed only when it has not been armed again since before `rings` was raised, and
 *     nobody was left asleep. Armed for nothing (by one who was killed, or does not wait any more)
 *     it costs one wake that finds nobody.
 * I4  As many are woken as can have what was changed, when all who wait at the bell are after the
 *     same; else all of them.
 *
 * Who rings may die before it does, and so may one who was woken before it took what there is:
 * therefore nobody sleeps longer than SJ_BELL_SLICE_NS without looking.
 *
 * Cost: nobody waits: a load when the hold ends; else a system call.
 */
#ifndef SJ_SPACEJMP_BELL_H
#define SJ_SPACEJMP_BELL_H

#include "persistence/segment.h"
#include "spacejmp/lock.h"

#define SJ_BELL_SLICE_NS 1000000000ll

/* Who waits, for what: a random number of the structure (its serial), and which of its bells. */
struct sj_bell {
    uint32_t serial;
    uint32_t side; /* 0 or 1 */
};

/* The bell of that number: its place in the lock file. */
static inline uint32_t sj_bell_place(struct sj_bell bell)
{
    uint32_t first = bell.serial % SJ_LOCK_BELLS;
    uint32_t apart = 1 + bell.serial / SJ_LOCK_BELLS % (SJ_LOCK_BELLS - 1);
    return bell.side == 0 ? first : (first + apart) % SJ_LOCK_BELLS;
}

/* Says, in a hold, that the thread is going to wait; what for sj_bell_wait. */
SJ_API uint32_t sj_bell_arm(struct sj_lock *lock, struct sj_bell bell);

/*
 * Waits, outside of all holds, until the bell is rung after it was armed, or a slice has gone by:
 * SJ_OK, to look again. `deadline` as sj_wait_deadline(). SJ_EBUSY: it is over, SJ_EINTR: `poll`
 * says so; SJ_ENOHOLD: the thread is inside of something, so that nobody could ring. The space is
 * not detached meanwhile.
 */
SJ_API int sj_bell_wait(struct sj_lock *lock, struct sj_bell bell, uint32_t rings, int64_t deadline,
                        const struct sj_wait *wait);

/* Says, in a write hold, that `wakes` of those who wait at a bell can have what they wait for, once
 * the hold ends. */
static inline void sj_bell_note(struct sj_segment *segment, struct sj_bell bell, uint64_t wakes)
{
    struct sj_bells *bells = &segment->bells;
    uint64_t sum = bells->wakes + wakes;
    bells->rung |= 1u << sj_bell_place(bell);
    bells->wakes = sum < INT32_MAX ? (uint32_t)sum : INT32_MAX;
}

/* Rings what was noted. */
SJ_API void sj_bells_ring(struct sj_lock *lock, struct sj_bells bells) __attribute__((cold));

#endif
