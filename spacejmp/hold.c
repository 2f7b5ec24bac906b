// SPDX-License-Identifier: Apache-2.0
/*
 * hold.c: entering and leaving single spaces (hold.h has the contract, hold_thread.h what a thread
 * has).
 *
 * Outermost holds, which each operation by itself takes, have a way of their own.
 */
#include "spacejmp/hold.h"

#include <time.h>

#include "persistence/loss.h"
#include "persistence/wal.h"
#include "spacejmp/hold_thread.h"
#include "spacejmp/mmu/model.h"
#include "spacejmp/park.h"

void sj_holds_pause(void)
{
    if (sj_me != NULL)
        sj_use(0);
}

struct sj_space *sj_current(void)
{
    return sj_me == NULL || sj_me->top == NULL ? NULL : sj_me->top->space;
}

bool sj_hold_any(void)
{
    return sj_me != NULL && sj_me->top != NULL && sj_me->top->kind != SJ_HOLD_OF_PROCESS;
}

struct sj_hold *sj_find_hold(const struct sj_space *space)
{
    if (sj_me == NULL || sj_me->top == NULL)
        return NULL;
    for (struct sj_hold *hold = sj_me->top; hold >= sj_me->hold; hold--)
        if (hold->space == space)
            return hold;
    return NULL;
}

enum sj_hold_mode sj_hold_mode(const struct sj_space *space)
{
    const struct sj_hold *hold = sj_find_hold(space);
    return hold == NULL ? SJ_HOLD_NONE : (enum sj_hold_mode)hold->mode;
}

int sj_find_slot_slowly(struct sj_lock *lock, struct sj_lock_slot **slot, bool *borrowed)
{
    struct sj_slot_entry *entry = &sj_me->slots[lock->serial % SJ_SLOTS_CACHED];
    int error = sj_lock_take_slot(lock, slot);
    if (error != SJ_OK)
        return error;
    for (struct sj_hold *hold = sj_me->top; hold != NULL && hold >= sj_me->hold; hold--)
        *borrowed |= entry->serial != 0 && hold->mode == SJ_HOLD_READ && hold->owns &&
                     hold->slot == entry->slot;
    if (*borrowed)
        return SJ_OK;
    if (entry->serial != 0)
        sj_space_give_slot(entry->serial, entry->slot);
    *entry = (struct sj_slot_entry){lock->serial, *slot};
    return SJ_OK;
}

/* ------------------------------------------------------------------ being at home */

int sj_come_home(uintptr_t uses, const struct sj_wait *wait)
{
    const struct sj_reach *reach = sj_reach_of(uses);
    if (reach == NULL) {
        struct sj_space *space = (struct sj_space *)uses;
        return SJ_LIKELY(!sj_is_parked(space)) ? SJ_OK : sj_park_home(space, wait);
    }
    for (uint32_t i = 0; i < reach->count; i++)
        if (SJ_UNLIKELY(sj_is_parked(reach->part[i].space)))
            return sj_park_home_all(reach, wait);
    return SJ_OK;
}

int sj_use_at_home(uintptr_t uses, const struct sj_wait *wait)
{
    sj_use(uses);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return sj_come_home(uses, wait);
}

void sj_holds_use(const struct sj_reach *reach)
{
    sj_use(reach == NULL ? 0 : sj_uses_reach(reach));
}

int sj_holds_visit(struct sj_space *space, uintptr_t *before)
{
    *before = sj_me->active;
    return sj_use_at_home(sj_uses_space(space), NULL);
}

void sj_holds_end_visit(uintptr_t before)
{
    sj_use(before);
}

int sj_return(const struct sj_wait *wait)
{
    struct sj_hold *top = sj_me == NULL ? NULL : sj_me->top;
    if (top == NULL || top->kind == SJ_HOLD_OF_PROCESS)
        return SJ_OK;
    return sj_use_at_home(sj_uses_hold(top), wait);
}

/* Until only a signal has ended it: what has live views is waited for as well. */
static void return_patiently(const struct sj_wait *wait)
{
    struct sj_wait patient = {.timeout_s = -1,
                              .poll = wait == NULL ? NULL : wait->poll,
                              .context = wait == NULL ? NULL : wait->context};
    while (sj_return(&patient) == SJ_EBUSY &&
           (patient.poll == NULL || patient.poll(patient.context) == 0))
        nanosleep(&(struct timespec){0, SJ_WAIT_SLICE_NS}, NULL);
}

void sj_holds_return(const struct sj_wait *wait)
{
    struct sj_hold *top = sj_me == NULL ? NULL : sj_me->top;
    if (sj_me != NULL && sj_me->suspended)
        return;
    if (top != NULL && sj_reach_of(sj_uses_hold(top)) != NULL)
        return_patiently(wait);
    else
        (void)sj_return(wait);
}

void sj_holds_suspend(void)
{
    if (sj_me == NULL)
        return;
    sj_me->suspended = true;
    sj_use(0);
}

void sj_holds_resume(const struct sj_wait *wait)
{
    if (sj_me != NULL)
        sj_me->suspended = false;
    sj_holds_return(wait);
}

/* ------------------------------------------------------------------ locks */

static int read_slowly(struct sj_space *space, struct sj_lock_slot *slot, uintptr_t uses,
                       const struct sj_wait *wait)
{
    sj_use(0); /* it uses no addresses while it waits */
    int error = sj_lock_read_slow(space->lock, slot, wait);
    if (error == SJ_OK) {
        sj_use(uses);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return error;
}

static int write_slowly(struct sj_space *space, uintptr_t uses, const struct sj_wait *wait)
{
    sj_use(0);
    int error = sj_lock_write(space->lock, wait);
    if (error == SJ_OK) {
        sj_use(uses);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return error;
}

SJ_SELDOM static int not_writable(const struct sj_space *space)
{
    if (sj_segment_is_damaged(space->segment))
        return sj_segment_lost(space->segment);
    return sj_error(SJ_EREADONLY, "'%s' was opened with flag 'r'", space->segment->name);
}

int sj_take_lock(struct sj_hold *taken, uintptr_t uses, const struct sj_wait *wait)
{
    struct sj_space *space = taken->space;
    int error;
    sj_use(uses);
    if (taken->mode == SJ_HOLD_READ) {
        error = sj_find_slot(space->lock, &taken->slot, &taken->borrowed);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        if (SJ_UNLIKELY(!sj_lock_try_read(space->lock, taken->slot)))
            error = read_slowly(space, taken->slot, uses, wait);
        if (SJ_UNLIKELY(error != SJ_OK && taken->borrowed))
            sj_lock_give_slot(space->lock, taken->slot);
        return error;
    }
    if (SJ_UNLIKELY(!space->writable))
        return not_writable(space);
    taken->position = 0;
    error = sj_lock_write(space->lock, NULL);
    return SJ_UNLIKELY(error == SJ_EBUSY && wait != NULL) ? write_slowly(space, uses, wait) : error;
}

void sj_give_lock(const struct sj_hold *taken)
{
    struct sj_lock *lock = taken->space->lock;
    if (taken->mode == SJ_HOLD_WRITE) {
        sj_let_in(taken->space);
        return;
    }
    sj_lock_read_leave(lock, taken->slot);
    if (taken->borrowed)
        sj_lock_give_slot(lock, taken->slot);
}

/* ------------------------------------------------------------------ entering */

/* Above another hold, with its addresses at home. Returns SJ_OK. */
static int push_nested(const struct sj_hold *hold)
{
    struct sj_hold *top = sj_me->top + 1;
    *top = *hold;
    __atomic_store_n(&sj_me->top, top, __ATOMIC_RELEASE);
    if (SJ_UNLIKELY(sj_is_followed(sj_me)))
        sj_mmu_on_switch(hold->space);
    return SJ_OK;
}

/* A hold above the one that is on top: inside of a reach that has the space, that stays in use. */
static struct sj_hold nested_hold(struct sj_space *space, enum sj_hold_mode mode)
{
    const struct sj_reach *reach = sj_reach_of(sj_uses_hold(sj_me->top));
    bool inside = reach != NULL && sj_reach_has(reach, space);
    return (struct sj_hold){.space = space,
                            .reach = inside ? reach : NULL,
                            .depth = 1,
                            .mode = (uint8_t)mode,
                            .kind = inside ? SJ_HOLD_IN_REACH : SJ_HOLD_OF_SPACE,
                            .owns = true};
}

/* Enters a space that the thread is in already, or finds out why it cannot. */
static int enter_again(struct sj_hold *hold, struct sj_hold *again, const struct sj_wait *wait)
{
    if (again->mode > hold->mode)
        return sj_error(SJ_EUPGRADE,
                        "the thread is inside of '%s' for reading: two threads that did this would "
                        "wait for each other for ever: use write() or transaction() from the "
                        "beginning",
                        again->space->segment->name);
    bool on_top = hold == sj_me->top;
    int error = sj_use_at_home(sj_uses_hold(on_top ? hold : again), wait);
    if (error != SJ_OK) {
        sj_use_top();
        return error;
    }
    if (on_top) {
        hold->depth++;
        return SJ_OK;
    }
    again->mode = hold->mode;
    again->owns = false; /* one below has the lock */
    return push_nested(again);
}

__attribute__((noinline)) static int enter_nested(struct sj_space *space, enum sj_hold_mode mode,
                                                  const struct sj_wait *wait)
{
    if (sj_me->top == &sj_me->hold[SJ_HOLDS_MAX - 1])
        return sj_error(SJ_EINVAL, "more than %d spaces entered by one thread", SJ_HOLDS_MAX);
    struct sj_hold fresh = nested_hold(space, mode), *hold = sj_find_hold(space);
    if (hold != NULL)
        return enter_again(hold, &fresh, wait);
    uintptr_t uses = sj_uses_hold(&fresh);
    int error = sj_take_lock(&fresh, uses, wait);
    if (error == SJ_OK) {
        error = sj_come_home(uses, wait);
        if (error == SJ_OK)
            return push_nested(&fresh);
        sj_give_lock(&fresh);
    }
    sj_use_top();
    return error;
}

/* Notes that the thread, which was in nothing, has taken the space's lock. Returns SJ_OK. */
static inline int push(struct sj_space *space, enum sj_hold_mode mode, struct sj_lock_slot *slot,
                       bool borrowed)
{
    struct sj_hold *first = sj_me->hold;
    first->space = space;
    first->slot = slot;
    first->depth = 1;
    first->mode = (uint8_t)mode;
    first->kind = SJ_HOLD_OF_SPACE;
    first->owns = true;
    first->borrowed = borrowed;
    sj_me->top = first;
    return SJ_OK;
}

/* In no thread that has been here before, or inside of something. */
__attribute__((noinline)) static int enter_elsewhere(struct sj_space *space, enum sj_hold_mode mode,
                                                     const struct sj_wait *wait)
{
    int error = sj_me == NULL ? sj_thread_begin() : SJ_OK;
    if (error != SJ_OK)
        return error;
    if (sj_me->top != NULL)
        return enter_nested(space, mode, wait);
    return mode == SJ_HOLD_READ ? sj_enter_read(space, wait) : sj_enter_write(space, wait);
}

/* The lock is had, and the space not at home: it comes, or the lock is given back. */
SJ_SELDOM static int come_home(struct sj_space *space, struct sj_lock_slot *slot,
                               const struct sj_wait *wait)
{
    int error = sj_park_home(space, wait);
    if (error == SJ_OK)
        return SJ_OK;
    if (slot != NULL)
        sj_lock_read_leave(space->lock, slot);
    else
        sj_lock_write_leave(space->lock);
    return error;
}

int sj_enter_read(struct sj_space *space, const struct sj_wait *wait)
{
    struct sj_lock_slot *slot;
    bool borrowed;
    if (SJ_UNLIKELY(sj_me == NULL || sj_me->top != NULL))
        return enter_elsewhere(space, SJ_HOLD_READ, wait);
    int error = sj_find_slot(space->lock, &slot, &borrowed);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_use(sj_uses_space(space));
    if (SJ_UNLIKELY(!sj_lock_try_read(space->lock, slot)))
        error = read_slowly(space, slot, sj_uses_space(space), wait);
    if (SJ_UNLIKELY(error == SJ_OK && sj_is_parked(space)))
        error = come_home(space, slot, wait);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        sj_use(0);
        if (borrowed)
            sj_lock_give_slot(space->lock, slot);
        return error;
    }
    return push(space, SJ_HOLD_READ, slot, borrowed);
}

int sj_enter_write(struct sj_space *space, const struct sj_wait *wait)
{
    if (SJ_UNLIKELY(!space->writable))
        return not_writable(space);
    if (SJ_UNLIKELY(sj_me == NULL || sj_me->top != NULL))
        return enter_elsewhere(space, SJ_HOLD_WRITE, wait);
    sj_use(sj_uses_space(space));
    int error = sj_lock_write(space->lock, NULL);
    if (SJ_UNLIKELY(error == SJ_EBUSY && wait != NULL))
        error = write_slowly(space, sj_uses_space(space), wait);
    if (SJ_UNLIKELY(error == SJ_OK && sj_is_parked(space)))
        error = come_home(space, NULL, wait);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        sj_use(0);
        return error;
    }
    return push(space, SJ_HOLD_WRITE, NULL, false);
}

int sj_hold_watch(bool watched)
{
    int error = sj_me == NULL ? sj_thread_begin() : SJ_OK;
    if (error != SJ_OK)
        return error;
    if (sj_me->top != (watched ? NULL : sj_me->hold))
        return sj_error(SJ_EBUSY, "the thread is inside of a space: leave it first");
    sj_me->hold[0] = (struct sj_hold){.kind = watched ? SJ_HOLD_OF_PROCESS : SJ_HOLD_OF_SPACE};
    sj_me->top = watched ? sj_me->hold : NULL;
    return SJ_OK;
}

/* ------------------------------------------------------------------ leaving */

int sj_leave_write(struct sj_space *space, uint64_t *position)
{
    struct sj_segment *segment = space->segment;
    *position = 0;
    if (SJ_UNLIKELY(sj_tx_depth(segment) > 0))
        sj_lock_changed(space->lock);
    while (sj_tx_depth(segment) > 0)
        sj_tx_abort(segment);
    if (SJ_UNLIKELY(sj_segment_is_damaged(segment))) { /* its log is left to the next one */
        int error = sj_segment_lost(segment);          /* as long as nobody can detach it */
        sj_lock_write_abandon(space->lock);
        return error;
    }
    if (segment->wal != NULL)
        *position = sj_wal_take_unacknowledged(segment);
    sj_let_in(space);
    return SJ_OK;
}

/* Leaves for writing with a transaction open, in a `wal` domain, or with a damaged segment. */
__attribute__((noinline)) static int leave_write_slowly(struct sj_space *space)
{
    struct sj_segment *segment = space->segment;
    uint64_t position;
    int error = sj_leave_write(space, &position);
    if (position == 0)
        return error;
    sj_use(0); /* the disk may take long, and needs no addresses */
    return sj_wal_acknowledge(segment, position);
}

SJ_SELDOM static int leave_borrowed(struct sj_space *space, struct sj_lock_slot *slot)
{
    sj_lock_read_leave(space->lock, slot);
    sj_lock_give_slot(space->lock, slot);
    return SJ_OK;
}

/* Ends a hold on a damaged segment. */
SJ_SELDOM static int leave_damaged(struct sj_space *space)
{
    struct sj_hold *top = sj_me->top;
    int error = sj_segment_lost(space->segment);
    if (--top->depth > 0)
        return error;
    sj_me->top = top == sj_me->hold ? NULL : top - 1;
    sj_use_top();
    if (sj_is_followed(sj_me) && sj_me->top != NULL)
        sj_mmu_on_switch(sj_me->top->space);
    if (top->owns && top->mode == SJ_HOLD_WRITE)
        return leave_write_slowly(space);
    if (top->owns)
        sj_give_lock(top);
    return error;
}

SJ_SELDOM static int not_current(const struct sj_space *space)
{
    return sj_error(SJ_ENOHOLD,
                    "the thread's current space is not '%s': holds end in the order "
                    "opposite to that in which they began, in the thread that began them",
                    space->segment->name);
}

/* Gives back what the hold that was on top had. */
static inline int give_back(struct sj_space *space, const struct sj_hold *top)
{
    if (!top->owns)
        return SJ_OK;
    if (top->mode == SJ_HOLD_READ) {
        if (SJ_UNLIKELY(top->borrowed))
            return leave_borrowed(space, top->slot);
        sj_lock_read_leave(space->lock, top->slot);
        return SJ_OK;
    }
    if (SJ_UNLIKELY(space->segment->tx.depth > 0 || space->segment->wal != NULL))
        return leave_write_slowly(space);
    sj_let_in(space);
    return SJ_OK;
}

/* Leaves, and is in another space again. */
SJ_SELDOM static int leave_nested(struct sj_space *space, const struct sj_hold *top)
{
    if (SJ_UNLIKELY(sj_is_followed(sj_me)))
        sj_mmu_on_switch(sj_me->top->space);
    int error = give_back(space, top);
    sj_use_top();
    int returned = sj_return(NULL);
    return error == SJ_OK ? returned : error;
}

int sj_leave(struct sj_space *space)
{
    struct sj_thread *thread = sj_me;
    struct sj_hold *top = thread == NULL ? NULL : thread->top;
    if (SJ_UNLIKELY(top == NULL || top->space != space))
        return not_current(space);
    if (SJ_UNLIKELY(sj_segment_is_damaged(space->segment)))
        return leave_damaged(space);
    if (--top->depth > 0)
        return SJ_OK;
    if (SJ_UNLIKELY(top != thread->hold)) {
        thread->top = top - 1;
        return leave_nested(space, top);
    }
    thread->top = NULL;
    int error = give_back(space, top);
    sj_use(0);
    return error;
}

void sj_leave_all(struct sj_thread *thread)
{
    while (thread->top != NULL && thread->top->kind != SJ_HOLD_OF_PROCESS) {
        thread->top->depth = 1;
        (void)sj_return(&(struct sj_wait){.timeout_s = -1});
        if (thread->top->space != NULL)
            (void)sj_leave(thread->top->space);
        else
            (void)sj_reach_leave_whole(thread->top->reach);
    }
}
