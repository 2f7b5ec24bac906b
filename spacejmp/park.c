// SPDX-License-Identifier: Apache-2.0
/* park.c: moving segments aside and home again (park.h has the rules I1 … I5). */
#include "spacejmp/park.h"

#include <time.h>

#include "spacejmp/hold.h"
#include "spacejmp/pin.h"
#include "spacejmp/reach.h"

#define NAP_NS     20000l /* of one that waits for threads to leave, at first */
#define NAP_NS_MAX 1000000l

struct range {
    uint64_t first;
    uint64_t end;
};

static pthread_mutex_t moving = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct sj_space *neighbors; /* who came home last is the first: it is in the way next */
static struct range claim;         /* empty: first == end */

static uint64_t home_of(const struct sj_space *space)
{
    return (uint64_t)(uintptr_t)space->segment->base;
}

static struct range range_of(const struct sj_space *space)
{
    return (struct range){home_of(space), home_of(space) + space->segment->reserved};
}

static bool overlap(struct range a, struct range b)
{
    return a.first < b.end && b.first < a.end;
}

static void link_first(struct sj_space *space)
{
    space->neighbor = neighbors;
    space->neighbor_before = NULL;
    if (neighbors != NULL)
        neighbors->neighbor_before = space;
    neighbors = space;
}

static void unlink_it(struct sj_space *space)
{
    struct sj_space *before = space->neighbor_before, *after = space->neighbor;
    *(before == NULL ? &neighbors : &before->neighbor) = after;
    if (after != NULL)
        after->neighbor_before = before;
}

static int busy(void)
{
    return sj_error(SJ_EBUSY, "threads of this process are inside of a space that has the same "
                              "addresses");
}

/* Whether no thread uses its addresses; from then on none begins to (I1). */
static bool empty_out(struct sj_space *space)
{
    __atomic_store_n(&space->parked, true, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!sj_holds_active(space))
        return true;
    __atomic_store_n(&space->parked, false, __ATOMIC_RELEASE);
    return false;
}

/* The first place from `at` on that no other attached space was parked in last; 0: none. */
static uint64_t free_place(const struct sj_space *space, uint64_t at)
{
    uint64_t bytes = space->segment->reserved;
    const struct sj_space *other = neighbors;
    while (other != NULL) {
        struct range taken = {other->parking, other->parking + other->segment->reserved};
        bool in_the_way =
            other != space && other->parking != 0 && overlap(taken, (struct range){at, at + bytes});
        if (in_the_way)
            at = taken.end;
        other = in_the_way ? neighbors : other->neighbor;
    }
    return at + bytes <= SJ_PARKING_END ? at : 0;
}

/* Moves page tables to where they were parked last, or to the first place that is free. */
static int move_to_parking(struct sj_space *space)
{
    int error = SJ_EADDRESS;
    if (space->parking != 0)
        error = sj_segment_move(space->segment, space->parking, false);
    uint64_t at = SJ_PARKING_FIRST;
    while (error == SJ_EADDRESS && (at = free_place(space, at)) != 0) {
        error = sj_segment_move(space->segment, at, false);
        if (error == SJ_OK)
            space->parking = at;
        at += SJ_GIB;
    }
    if (error != SJ_EADDRESS)
        return error;
    return sj_error(
        SJ_EADDRESS,
        "'%s' has the same addresses as another store that is open, and there is no "
        "room of %llu GiB to move it aside: close stores, or make them with other base= "
        "or a smaller reserve=",
        space->segment->name, (unsigned long long)(space->segment->reserved / SJ_GIB));
}

/* Told from SJ_EBUSY in here: waiting does not help. */
static int has_views(const struct sj_space *space)
{
    return sj_error(SJ_EVIEWS,
                    "live views: arrays of this process look at '%s', which has the same "
                    "addresses: drop them first (del, and gc.collect() if they are in a cycle)",
                    space->segment->name);
}

static int move_aside(struct sj_space *space)
{
    if (space->views > 0)
        return has_views(space);
    if (!empty_out(space))
        return busy();
    int error = move_to_parking(space);
    if (error != SJ_OK)
        __atomic_store_n(&space->parked, false, __ATOMIC_RELEASE);
    return error;
}

/* Moves aside all that are in the way of a range. `*vacant`: one of them had all of it; then no
 * other is in the way (I3). */
static int vacate(struct range range, const struct sj_space *but, bool *vacant)
{
    *vacant = false;
    sj_pin_clear(range.first, range.end);
    for (struct sj_space *space = neighbors; space != NULL && !*vacant; space = space->neighbor) {
        if (space == but || space->parked || !overlap(range_of(space), range))
            continue;
        struct range taken = range_of(space);
        sj_pin_keep(taken.first, taken.end);
        int error = move_aside(space);
        if (error != SJ_OK)
            return error;
        *vacant = taken.first <= range.first && taken.end >= range.end;
    }
    return SJ_OK;
}

static int move_home(struct sj_space *space)
{
    bool vacant;
    if (!space->parked)
        return SJ_OK;
    if (overlap(range_of(space), claim))
        return busy();
    int error = vacate(range_of(space), space, &vacant);
    if (error == SJ_OK)
        error = sj_segment_move(space->segment, home_of(space), vacant);
    if (error != SJ_OK)
        return error;
    __atomic_store_n(&space->parked, false, __ATOMIC_RELEASE);
    unlink_it(space);
    link_first(space);
    return SJ_OK;
}

/* One more try at `step`, until it is not SJ_EBUSY or the wait is over. */
static int until_done(int (*step)(void *context), void *context, const struct sj_wait *wait)
{
    int64_t deadline = wait == NULL ? 0 : sj_wait_deadline(wait), next_poll = 0;
    struct timespec nap = {0, NAP_NS};
    for (;;) {
        pthread_mutex_lock(&moving);
        int error = step(context);
        pthread_mutex_unlock(&moving);
        if (error == SJ_EVIEWS)
            return SJ_EBUSY;
        if (error != SJ_EBUSY || wait == NULL)
            return error;
        int64_t now = sj_wait_now_ns();
        if (now >= next_poll || now >= deadline) {
            error = sj_wait_go_on(wait, deadline);
            if (error != SJ_OK)
                return error;
            next_poll = now + SJ_WAIT_SLICE_NS;
        }
        nanosleep(&nap, NULL);
        nap.tv_nsec = nap.tv_nsec * 2 < NAP_NS_MAX ? nap.tv_nsec * 2 : NAP_NS_MAX;
    }
}

static int step_home(void *context)
{
    return move_home(context);
}

int sj_park_home(struct sj_space *space, const struct sj_wait *wait)
{
    return until_done(step_home, space, wait);
}

/* With the reach in `active` as long as that lasts: a part that is at home stays there. */
static int step_home_all(void *context)
{
    const struct sj_reach *reach = context;
    int error = SJ_OK;
    sj_holds_use(reach);
    for (uint32_t i = 0; i < reach->count && error == SJ_OK; i++)
        error = move_home(reach->part[i].space);
    if (error != SJ_OK)
        sj_holds_use(NULL);
    return error;
}

int sj_park_home_all(const struct sj_reach *reach, const struct sj_wait *wait)
{
    return until_done(step_home_all, (void *)(uintptr_t)reach, wait);
}

int sj_park_aside(struct sj_space *space)
{
    pthread_mutex_lock(&moving);
    int error = space->parked ? SJ_OK : move_aside(space);
    pthread_mutex_unlock(&moving);
    return error == SJ_EVIEWS ? SJ_EBUSY : error;
}

int sj_park_keep(struct sj_space *space)
{
    int error = SJ_OK;
    pthread_mutex_lock(&moving);
    struct sj_space *other = space->views > 0 ? NULL : neighbors;
    for (; other != NULL && error == SJ_OK; other = other->neighbor)
        if (other != space && overlap(range_of(other), range_of(space)) && sj_holds_any(other))
            error = sj_error(SJ_EBUSY,
                             "a view of '%s' would be in the way of threads of this process that "
                             "are inside of '%s', which has the same addresses",
                             space->segment->name, other->segment->name);
    if (error == SJ_OK)
        __atomic_store_n(&space->views, space->views + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&moving);
    return error;
}

void sj_park_keep_no_more(struct sj_space *space)
{
    pthread_mutex_lock(&moving);
    __atomic_store_n(&space->views, space->views - 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&moving);
}

static int step_claim(void *context)
{
    const struct range *range = context;
    bool vacant;
    int error = vacate(*range, NULL, &vacant);
    if (error == SJ_OK)
        claim = *range;
    return error;
}

int sj_park_claim(uint64_t base, uint64_t bytes, const struct sj_wait *wait)
{
    struct range range = {base, base + bytes};
    return until_done(step_claim, &range, wait);
}

static int step_claim_home(void *context)
{
    int error = move_home(context);
    if (error == SJ_OK)
        claim = range_of(context);
    return error;
}

int sj_park_claim_home(struct sj_space *space, const struct sj_wait *wait)
{
    return until_done(step_claim_home, space, wait);
}

void sj_park_release(void)
{
    pthread_mutex_lock(&moving);
    claim = (struct range){0, 0};
    pthread_mutex_unlock(&moving);
}

void sj_park_added(struct sj_space *space)
{
    pthread_mutex_lock(&moving);
    link_first(space);
    pthread_mutex_unlock(&moving);
}

void sj_park_removed(struct sj_space *space)
{
    pthread_mutex_lock(&moving);
    unlink_it(space);
    if (neighbors == NULL)
        sj_pin_clear(SJ_ARENA_FIRST, SJ_ARENA_END);
    pthread_mutex_unlock(&moving);
}

void sj_park_before_fork(void)
{
    pthread_mutex_lock(&moving);
}

void sj_park_after_fork(void)
{
    pthread_mutex_unlock(&moving);
}

void sj_park_forked(void)
{
    pthread_mutex_init(&moving, NULL);
    claim = (struct range){0, 0};
}
