// SPDX-License-Identifier: Apache-2.0
/*
 * hold_reach.c: entering and leaving all that a VAS has in a window (reach.h has the contract,
 * vas.h the rules V1 … V5).
 */
#include "spacejmp/reach.h"

#include <string.h>

#include "persistence/loss.h"
#include "persistence/wal.h"
#include "spacejmp/hold_thread.h"
#include "spacejmp/mmu/model.h"
#include "spacejmp/park.h"
#include "spacejmp/vas.h"

/* Parts that are left are above `before`, which is on top again then. */
static void give_parts_back(struct sj_hold *before)
{
    struct sj_hold *bottom = before == NULL ? sj_me->hold : before + 1;
    for (struct sj_hold *part = sj_me->top; part != NULL && part >= bottom; part--)
        sj_give_lock(part);
    sj_me->top = before;
}

/* The waits of one entry, which have a deadline together. */
struct budget {
    const struct sj_wait *wait; /* NULL: none waits */
    int64_t deadline;           /* 0: it has not waited yet */
};

/* The wait that is left. */
SJ_SELDOM static struct sj_wait time_left(struct budget *budget)
{
    struct sj_wait left = *budget->wait;
    if (budget->deadline == 0)
        budget->deadline = sj_wait_deadline(budget->wait);
    else if (budget->deadline != SJ_WAIT_NEVER) {
        int64_t now = sj_wait_now_ns();
        left.timeout_s = now < budget->deadline ? (double)(budget->deadline - now) * 1e-9 : 0;
    }
    return left;
}

/* Takes a lock that was not to be had at once. */
SJ_SELDOM static int take_slowly(struct sj_hold *part, struct budget *budget)
{
    const struct sj_wait left = time_left(budget);
    return sj_take_lock(part, sj_uses_reach(part->reach), &left);
}

SJ_SELDOM static int refuse_upgrade(const struct sj_space *space)
{
    return sj_error(SJ_EUPGRADE,
                    "the thread is inside of '%s' for reading, and the VAS that it enters has it "
                    "for writing: leave it first",
                    space->segment->name);
}

static inline struct sj_hold *next_hold(void)
{
    return sj_me->top == NULL ? sj_me->hold : sj_me->top + 1;
}

static int take_part(const struct sj_reach *reach, const struct sj_reach_part *wanted,
                     const struct sj_hold *before, struct budget *budget)
{
    const struct sj_hold *had = before == NULL ? NULL : sj_find_hold(wanted->space);
    if (SJ_UNLIKELY(had != NULL))
        return wanted->mode <= had->mode ? SJ_OK : refuse_upgrade(wanted->space);
    struct sj_hold *part = next_hold();
    part->space = wanted->space;
    part->slot = NULL;
    part->reach = reach;
    part->depth = 1;
    part->mode = wanted->mode;
    part->kind = SJ_HOLD_OF_PART;
    part->owns = true;
    part->borrowed = false;
    int error = sj_take_lock(part, sj_uses_reach(reach), NULL);
    if (SJ_UNLIKELY(error == SJ_EBUSY && budget->wait != NULL))
        error = take_slowly(part, budget);
    if (SJ_LIKELY(error == SJ_OK))
        __atomic_store_n(&sj_me->top, part, __ATOMIC_RELEASE);
    return error;
}

/* Not all of it is at home. */
SJ_SELDOM static int come_home(const struct sj_reach *reach, struct budget *budget)
{
    int error = sj_park_home_all(reach, NULL);
    if (error != SJ_EBUSY || budget->wait == NULL)
        return error;
    const struct sj_wait left = time_left(budget);
    return sj_park_home_all(reach, &left);
}

/* All locks, and all at home. */
static int take_all(const struct sj_reach *reach, const struct sj_hold *before,
                    struct budget *budget)
{
    const struct sj_reach_part *part = reach->part, *end = part + reach->count;
    for (; part < end; part++) {
        if (part->mode == SJ_HOLD_NONE)
            continue;
        int error = take_part(reach, part, before, budget);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    if (SJ_UNLIKELY(sj_me->top == before)) { /* no lock has fenced */
        sj_use(sj_uses_reach(reach));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    for (part = reach->part; part < end; part++)
        if (SJ_UNLIKELY(sj_is_parked(part->space)))
            return come_home(reach, budget);
    return SJ_OK;
}

/* One more entry of the reach that was entered last. */
static int enter_again(const struct sj_reach *reach, const struct sj_wait *wait)
{
    int error = sj_use_at_home(sj_uses_reach(reach), wait);
    if (error == SJ_OK)
        sj_me->top->depth++;
    else
        sj_use_top();
    return error;
}

int sj_reach_enter(const struct sj_reach *reach, bool switched, const struct sj_wait *wait)
{
    struct sj_hold *before = sj_me->top;
    struct budget budget = {wait, 0};
    if (before != NULL && before->reach == reach && before->kind == SJ_HOLD_OF_REACH && !switched)
        return enter_again(reach, wait);
    uint32_t used = before == NULL ? 0 : (uint32_t)(before - sj_me->hold) + 1;
    if (SJ_UNLIKELY(used + reach->count + 1 > SJ_HOLDS_MAX))
        return sj_error(SJ_EINVAL, "more than %d spaces entered by one thread", SJ_HOLDS_MAX);
    int error = take_all(reach, before, &budget);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        give_parts_back(before);
        sj_use_top();
        return error;
    }
    struct sj_hold *top = next_hold();
    *top = (struct sj_hold){.parts = (uint64_t)(top - sj_me->hold) - used,
                            .reach = reach,
                            .depth = 1,
                            .kind = switched ? SJ_HOLD_SWITCHED : SJ_HOLD_OF_REACH};
    __atomic_store_n(&sj_me->top, top, __ATOMIC_RELEASE);
    if (SJ_UNLIKELY(sj_is_followed(sj_me)))
        sj_mmu_on_switch(NULL);
    return SJ_OK;
}

/* ------------------------------------------------------------------ leaving */

/* Gives the lock of a part back; what the disk lacks of it is in `position` then. */
static int leave_part(struct sj_hold *part)
{
    struct sj_space *space = part->space;
    bool damaged = sj_segment_is_damaged(space->segment);
    if (part->mode == SJ_HOLD_WRITE) {
        if (SJ_LIKELY(!damaged && space->segment->tx.depth == 0 && space->segment->wal == NULL)) {
            part->position = 0;
            sj_let_in(space);
            return SJ_OK;
        }
        uint64_t position;
        int error = sj_leave_write(space, &position);
        part->position = position;
        return error;
    }
    int error = SJ_UNLIKELY(damaged) ? sj_segment_lost(space->segment) : SJ_OK;
    sj_give_lock(part);
    return error;
}

/* Waits until the disk has what the parts have changed; none of them is detached before. */
SJ_SELDOM static int acknowledge(const struct sj_hold *first, const struct sj_hold *end)
{
    int error = SJ_OK;
    sj_use(0);
    for (const struct sj_hold *part = first; part < end; part++) {
        if (part->mode != SJ_HOLD_WRITE || part->position == 0)
            continue;
        int disk = sj_wal_acknowledge(part->space->segment, part->position);
        error = error == SJ_OK ? disk : error;
    }
    return error;
}

int sj_reach_leave(void)
{
    struct sj_hold *top = sj_me->top, *first = top - top->parts;
    bool awaited = false;
    int error = SJ_OK;
    if (--top->depth > 0)
        return SJ_OK;
    for (struct sj_hold *part = top - 1; part >= first; part--) {
        int left = leave_part(part);
        error = error == SJ_OK ? left : error;
        awaited |= part->mode == SJ_HOLD_WRITE && part->position != 0;
    }
    struct sj_hold *below = first == sj_me->hold ? NULL : first - 1;
    __atomic_store_n(&sj_me->top, below, __ATOMIC_RELEASE);
    if (SJ_UNLIKELY(awaited)) {
        int disk = acknowledge(first, top);
        error = error == SJ_OK ? disk : error;
    }
    if (below == NULL) {
        sj_use(0);
        return error;
    }
    if (SJ_UNLIKELY(sj_is_followed(sj_me)))
        sj_mmu_on_switch(below->space);
    sj_use_top();
    int returned = sj_return(NULL);
    return error == SJ_OK ? returned : error;
}

/* ------------------------------------------------------------------ asking */

static bool is_reach(const struct sj_hold *hold)
{
    return hold->kind == SJ_HOLD_OF_REACH || hold->kind == SJ_HOLD_SWITCHED;
}

const struct sj_reach *sj_reach_current(void)
{
    if (sj_me == NULL || sj_me->top == NULL)
        return NULL;
    for (const struct sj_hold *hold = sj_me->top; hold >= sj_me->hold; hold--)
        if (is_reach(hold))
            return hold->reach;
    return NULL;
}

const struct sj_reach *sj_reach_top(bool *switched)
{
    const struct sj_hold *top = sj_me == NULL ? NULL : sj_me->top;
    *switched = top != NULL && top->kind == SJ_HOLD_SWITCHED;
    return top != NULL && is_reach(top) ? top->reach : NULL;
}

const struct sj_reach *sj_reach_in_use(void)
{
    return sj_me == NULL || sj_me->top == NULL ? NULL : sj_reach_of(sj_uses_hold(sj_me->top));
}

bool sj_reach_is_inside(void)
{
    return sj_me != NULL && sj_me->top != NULL && sj_me->top->kind != SJ_HOLD_OF_PROCESS;
}

SJ_SELDOM static int out_of_reach(uint64_t pointer, uint64_t bytes)
{
    if (!sj_reach_is_inside())
        return sj_error(SJ_ENOHOLD, "the thread is inside of nothing: switch into a VAS first");
    return sj_error(SJ_EINVAL, "no segment that the thread can reach has the %llu bytes at 0x%llx",
                    (unsigned long long)bytes, (unsigned long long)pointer);
}

SJ_SELDOM static int not_for_writing(const struct sj_space *space)
{
    return sj_error(SJ_EREADONLY, "the thread has '%s' for reading only", space->segment->name);
}

int sj_vas_resolve(uint64_t pointer, uint64_t bytes, uint32_t rights, struct sj_space **space)
{
    const struct sj_hold *top = sj_me == NULL ? NULL : sj_me->top;
    uintptr_t uses = top == NULL ? 0 : sj_uses_hold(top);
    const struct sj_reach *reach = sj_reach_of(uses);
    for (uint32_t i = 0; reach != NULL && i < reach->count; i++) {
        const struct sj_reach_part *part = &reach->part[i];
        if (!sj_segment_holds(part->space->segment, pointer, bytes))
            continue;
        *space = part->space;
        return (rights & ~(uint32_t)part->rights) == 0 ? SJ_OK : not_for_writing(part->space);
    }
    if (reach != NULL || uses == 0 || !sj_segment_holds(top->space->segment, pointer, bytes))
        return out_of_reach(pointer, bytes);
    *space = top->space;
    return (rights & SJ_RIGHT_WRITE) == 0 || top->mode == SJ_HOLD_WRITE
               ? SJ_OK
               : not_for_writing(top->space);
}

int sj_vas_copy(uint64_t pointer, void *to, uint64_t bytes)
{
    struct sj_space *space;
    int error = sj_vas_resolve(pointer, bytes, SJ_RIGHT_READ, &space);
    if (error != SJ_OK)
        return error;
    if (bytes > 0)
        memcpy(to, (const void *)(uintptr_t)pointer, bytes);
    return SJ_UNLIKELY(sj_segment_is_damaged(space->segment)) ? sj_segment_lost(space->segment)
                                                              : SJ_OK;
}
