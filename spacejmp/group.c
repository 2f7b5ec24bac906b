// SPDX-License-Identifier: Apache-2.0
/* group.c: entering several spaces for a transaction, and leaving them (group.h). */
#include "spacejmp/group.h"

#include <stdio.h>

static uint64_t base_of(const struct sj_space *space)
{
    return (uint64_t)(uintptr_t)space->segment->base;
}

static bool is_before(const struct sj_space *a, const struct sj_space *b)
{
    return base_of(a) != base_of(b) ? base_of(a) < base_of(b) : a < b;
}

/* The spaces in the order of their locks, each once. SJ_EINVAL: none, or too many. */
static int put_in_order(struct sj_group *group, struct sj_space *const *spaces, uint32_t count)
{
    uint32_t placed = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = placed;
        while (at > 0 && is_before(spaces[i], group->space[at - 1]))
            at--;
        if (at > 0 && group->space[at - 1] == spaces[i])
            continue;
        if (placed == SJ_TX_GROUP_MAX)
            return sj_error(SJ_EINVAL, "more than %d stores in one transaction", SJ_TX_GROUP_MAX);
        for (uint32_t j = placed++; j > at; j--)
            group->space[j] = group->space[j - 1];
        group->space[at] = spaces[i];
    }
    group->tx.count = placed;
    return placed > 0 ? SJ_OK : sj_error(SJ_EINVAL, "a transaction over no store");
}

/* Leaves the first `count`, the last one first. What is below need not be at home then. */
static int leave(struct sj_group *group, uint32_t count)
{
    int error = SJ_OK;
    for (uint32_t i = count; i > 0; i--) {
        int left = sj_leave(group->space[i - 1]);
        if (error == SJ_OK && left != SJ_EBUSY)
            error = left;
    }
    return error;
}

/* The same after a failure, whose error stays what it was. */
static int leave_after(struct sj_group *group, uint32_t count, int error)
{
    char detail[512];
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    int left = leave(group, count);
    return left == SJ_EDAMAGED ? left : sj_error(error, "%s", detail);
}

static void end_visit(struct sj_group *group)
{
    if (group->visited != NULL)
        (void)sj_leave(group->visited);
    group->visited = NULL;
}

/* For the transaction: segment `number` is at home, however long that takes. */
static int visit(void *context, uint32_t number)
{
    struct sj_group *group = context;
    struct sj_space *space = group->space[number];
    if (group->visited == space)
        return SJ_OK;
    end_visit(group);
    int error = sj_enter_write(space, &(struct sj_wait){.timeout_s = -1});
    if (error == SJ_OK)
        group->visited = space;
    return error;
}

/* The highest base of those that the thread is inside of for writing already; 0: none. */
static uint64_t highest_held(const struct sj_group *group)
{
    uint64_t highest = 0;
    for (uint32_t i = 0; i < group->tx.count; i++)
        if (sj_hold_mode(group->space[i]) == SJ_HOLD_WRITE)
            highest = base_of(group->space[i]);
    return highest;
}

static int enter_all(struct sj_group *group, const struct sj_wait *wait)
{
    uint64_t highest = highest_held(group);
    for (uint32_t i = 0; i < group->tx.count; i++) {
        struct sj_space *space = group->space[i];
        bool is_held = sj_hold_mode(space) == SJ_HOLD_WRITE;
        bool in_order = is_held || base_of(space) >= highest;
        int error = sj_enter_write(space, in_order ? wait : NULL);
        if (error == SJ_EBUSY && !in_order)
            error = sj_error(SJ_EBUSY,
                             "'%s' is held by others, and to wait for it inside of a store that "
                             "comes after it could last for ever: begin the transaction before "
                             "entering one of its stores",
                             space->segment->name);
        if (error != SJ_OK)
            return leave_after(group, i, error);
        group->tx.segment[i] = space->segment;
    }
    return SJ_OK;
}

int sj_group_begin(struct sj_group *group, struct sj_space *const *spaces, uint32_t count,
                   const struct sj_wait *wait)
{
    group->tx = (struct sj_tx_group){.use = visit, .context = group};
    group->visited = NULL;
    int error = put_in_order(group, spaces, count);
    if (error == SJ_OK)
        error = enter_all(group, wait);
    if (error != SJ_OK)
        return error;
    error = sj_tx_group_begin(&group->tx);
    end_visit(group);
    return error == SJ_OK ? SJ_OK : leave_after(group, group->tx.count, error);
}

/* Whether it is what the thread has begun last. */
static int check_current(const struct sj_group *group)
{
    const struct sj_space *last = group->space[group->tx.count - 1];
    if (sj_current() == last)
        return sj_tx_group_check(&group->tx);
    return sj_error(SJ_ENOHOLD,
                    "the thread's current space is not '%s': what was entered inside of a "
                    "transaction is left before it ends",
                    last->segment->name);
}

int sj_group_commit(struct sj_group *group)
{
    int error = check_current(group);
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < group->tx.count; i++)
        sj_lock_changed(group->space[i]->lock);
    error = sj_tx_group_commit(&group->tx);
    end_visit(group);
    return error == SJ_OK ? leave(group, group->tx.count)
                          : leave_after(group, group->tx.count, error);
}

int sj_group_abort(struct sj_group *group)
{
    int error = check_current(group);
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < group->tx.count; i++)
        sj_lock_changed(group->space[i]->lock);
    sj_tx_group_abort(&group->tx);
    end_visit(group);
    return leave(group, group->tx.count);
}
