// SPDX-License-Identifier: Apache-2.0
/*
 * hold_thread.h: what a thread is inside of: its stack of holds, and its slots in the locks. (For
 * hold.c, hold_reach.c and threads.c.)
 *
 * Each thread has one `struct sj_thread`, made at its first entry and dropped at its end; the only
 * thread-local variable is the pointer to it.
 *
 * A hold is of a space, or of a reach: all that a VAS has in a window (reach.h). That of a reach
 * lies above holds of its parts, one for each lock that was taken for it:
 *
 *     SJ_HOLD_OF_SPACE, SJ_HOLD_OF_PART … SJ_HOLD_OF_PART, SJ_HOLD_OF_REACH, SJ_HOLD_IN_REACH
 *     a store           the segments of a VAS whose locks   the VAS            one of its stores
 *                       the store's hold does not cover
 *
 * In a thread that has a model (mmu/model.h), hold[0] is of the process itself. So what is entered
 * is always nested, and told to the model on the way that nested holds take.
 *
 * The thread says what addresses it uses in `active`: 0, a space's address, or that of a reach
 * plus 1. A space is only compared with, never looked into, for it may be gone; a reach lives as
 * long as a thread has it (T1).
 *
 *   T1  A layout (vas.c) is freed when no thread has it in `active`, `visiting`, its stack or
 *       `leaving`, asked for in that order, and none can come to it any more. What takes over from
 *       one of these to the next in that order is set before the first is cleared.
 */
#ifndef SJ_SPACEJMP_HOLD_THREAD_H
#define SJ_SPACEJMP_HOLD_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/bell.h"
#include "spacejmp/hold.h"
#include "spacejmp/reach.h"

#define SJ_SLOTS_CACHED 128 /* spaces whose slots a thread finds at once */

/* What seldom happens is kept out of line, so that what often does needs few registers. */
#define SJ_SELDOM __attribute__((cold, noinline))

enum sj_hold_kind {
    SJ_HOLD_OF_SPACE = 0,
    SJ_HOLD_OF_PROCESS, /* at the bottom, of a thread that has a model */
    SJ_HOLD_IN_REACH,   /* of a space, inside of a reach that has it and stays in use */
    SJ_HOLD_OF_PART,    /* the lock of a part of the reach above */
    SJ_HOLD_OF_REACH,
    SJ_HOLD_SWITCHED, /* of a reach, by a switch */
};

struct sj_hold {
    struct sj_space *space; /* NULL: the process itself, or a reach */
    union {
        struct sj_lock_slot *slot; /* of an owned read hold */
        uint64_t position;         /* of a part that was left for writing: what the disk lacks */
        uint64_t parts;            /* of a reach: holds below that are of its parts */
    };
    const struct sj_reach *reach; /* of those kinds */
    uint32_t depth;               /* how often this space or reach was entered in a row */
    uint8_t mode;                 /* enum sj_hold_mode */
    uint8_t kind;                 /* enum sj_hold_kind */
    bool owns;                    /* this hold took the lock; else one below it did */
    bool borrowed;                /* the slot is given back when the hold ends */
};

struct sj_slot_entry {
    uint64_t serial; /* of the lock; 0: none */
    struct sj_lock_slot *slot;
};

struct sj_thread {
    struct sj_hold *top;  /* the current hold; NULL: in none */
    uintptr_t active;     /* whose addresses it uses (park.h); 0: none, it waits */
    bool suspended;       /* it uses none until sj_holds_resume */
    const void *visiting; /* a layout that it looks at (T1) */
    const void *leaving;  /* one that it is done with soon */
    struct sj_hold hold[SJ_HOLDS_MAX];
    struct sj_slot_entry slots[SJ_SLOTS_CACHED];
    struct sj_thread *next; /* in the list of threads */
};

extern __thread struct sj_thread *sj_me __attribute__((visibility("hidden")));

/* Makes the calling thread's state. SJ_ENOMEM. */
int sj_thread_begin(void);

/* The innermost hold on the space, or NULL. */
struct sj_hold *sj_find_hold(const struct sj_space *space);

/* The thread's slot in a lock that is not in the cache. `*borrowed`: only for this hold, as a hold
 * on another space is using the place in the cache where it belongs. */
int sj_find_slot_slowly(struct sj_lock *lock, struct sj_lock_slot **slot, bool *borrowed);

static inline int sj_find_slot(struct sj_lock *lock, struct sj_lock_slot **slot, bool *borrowed)
{
    const struct sj_slot_entry *entry = &sj_me->slots[lock->serial % SJ_SLOTS_CACHED];
    *slot = entry->slot;
    *borrowed = false;
    return SJ_LIKELY(entry->serial == lock->serial) ? SJ_OK
                                                    : sj_find_slot_slowly(lock, slot, borrowed);
}

/* ------------------------------------------------------------------ what addresses it uses */

static inline uintptr_t sj_uses_space(const struct sj_space *space)
{
    return (uintptr_t)space;
}

static inline uintptr_t sj_uses_reach(const struct sj_reach *reach)
{
    return (uintptr_t)reach + 1;
}

/* NULL: those of a space, or none. */
static inline const struct sj_reach *sj_reach_of(uintptr_t uses)
{
    return (uses & 1) != 0 ? (const struct sj_reach *)(uses - 1) : NULL;
}

/* Those of a hold that is on top. */
static inline uintptr_t sj_uses_hold(const struct sj_hold *hold)
{
    return hold->kind >= SJ_HOLD_IN_REACH ? sj_uses_reach(hold->reach) : sj_uses_space(hold->space);
}

static inline void sj_use(uintptr_t uses)
{
    __atomic_store_n(&sj_me->active, uses, __ATOMIC_RELEASE);
}

/* Those of its current hold again, which need not be at home. */
static inline void sj_use_top(void)
{
    sj_use(sj_me->top == NULL ? 0 : sj_uses_hold(sj_me->top));
}

static inline bool sj_is_parked(const struct sj_space *space)
{
    return __atomic_load_n(&space->parked, __ATOMIC_ACQUIRE);
}

/* They are in use already, and a fence lies behind: brings home what is not. `wait` NULL: SJ_EBUSY
 * when others use what is in the way. */
int sj_come_home(uintptr_t uses, const struct sj_wait *wait);

/* Uses them, with all of it at home. */
int sj_use_at_home(uintptr_t uses, const struct sj_wait *wait);

/* Whether a model follows the thread: then the process itself is at the bottom. */
static inline bool sj_is_followed(const struct sj_thread *thread)
{
    return thread->hold[0].kind == SJ_HOLD_OF_PROCESS;
}

/* ------------------------------------------------------------------ locks (hold.c) */

/*
 * Takes the lock of a hold's space in its mode; the thread uses the addresses `uses` then, with a
 * fence behind, and none while it waits. Sets slot and borrowed. SJ_EREADONLY and errors of
 * sj_lock_read and sj_lock_write.
 */
int sj_take_lock(struct sj_hold *taken, uintptr_t uses, const struct sj_wait *wait);
/* Gives it back, when nothing was done with it. */
void sj_give_lock(const struct sj_hold *taken);

/*
 * Gives a lock back that was had for writing, as the end of a hold does: undoes a transaction that
 * is open. `*position`: what the disk has yet to acknowledge, 0: nothing. SJ_EDAMAGED.
 */
int sj_leave_write(struct sj_space *space, uint64_t *position);

/* Lets the next one in, and rings the bells that are to be rung then. */
static inline void sj_let_in(struct sj_space *space)
{
    struct sj_bells *bells = &space->segment->bells, rung = *bells;
    struct sj_lock *lock = space->lock;
    if (SJ_UNLIKELY(rung.rung != 0))
        *bells = (struct sj_bells){0};
    sj_lock_write_leave(lock);
    if (SJ_UNLIKELY(rung.rung != 0))
        sj_bells_ring(lock, rung);
}

/* Ends all holds of a thread that ends. */
void sj_leave_all(struct sj_thread *thread);

#endif
