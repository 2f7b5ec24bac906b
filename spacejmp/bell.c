// SPDX-License-Identifier: Apache-2.0
/* bell.c: waits for changes, and who ends them (bell.h has the protocol and the invariants). */
#include "spacejmp/bell.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "spacejmp/hold.h"

/* Who uses the bell: not 0, and not SJ_LOCK_BELL_MIXED. */
static uint32_t user_of(struct sj_bell bell)
{
    uint32_t user = bell.serial << 1 | bell.side;
    return user == 0 || user == SJ_LOCK_BELL_MIXED ? 2 : user;
}

static struct sj_lock_bell *bell_of(struct sj_lock *lock, struct sj_bell bell)
{
    return &lock->page->bell[sj_bell_place(bell)];
}

uint32_t sj_bell_arm(struct sj_lock *lock, struct sj_bell bell)
{
    struct sj_lock_bell *at = bell_of(lock, bell);
    uint32_t user = user_of(bell), none = 0;
    if (!__atomic_compare_exchange_n(&at->user, &none, user, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST) &&
        none != user)
        __atomic_store_n(&at->user, SJ_LOCK_BELL_MIXED, __ATOMIC_SEQ_CST);
    uint32_t rings = __atomic_load_n(&at->rings, __ATOMIC_SEQ_CST);
    uint32_t armed = __atomic_load_n(&at->armed, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&at->armed, &armed, (armed + 2) | 1, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
        ;
    return rings;
}

int sj_bell_wait(struct sj_lock *lock, struct sj_bell bell, uint32_t rings, int64_t deadline,
                 const struct sj_wait *wait)
{
    if (sj_hold_any())
        return sj_error(SJ_ENOHOLD, "nobody can change what the thread waits for as long as it is "
                                    "inside of a hold or a transaction: wait outside of them");
    int64_t left = deadline == SJ_WAIT_NEVER ? SJ_BELL_SLICE_NS : deadline - sj_wait_now_ns();
    left = left < 0 ? 0 : left < SJ_BELL_SLICE_NS ? left : SJ_BELL_SLICE_NS;
    struct timespec slice = {left / 1000000000ll, left % 1000000000ll};
    if (syscall(SYS_futex, &bell_of(lock, bell)->rings, FUTEX_WAIT, rings, &slice, NULL, 0) == 0 ||
        errno == EAGAIN)
        return SJ_OK;
    if (wait->poll != NULL && wait->poll(wait->context) != 0)
        return sj_error(SJ_EINTR, "a signal ended the wait");
    return deadline != SJ_WAIT_NEVER && sj_wait_now_ns() >= deadline ? SJ_EBUSY : SJ_OK;
}

static long wake(struct sj_lock_bell *bell, uint32_t count)
{
    return syscall(SYS_futex, &bell->rings, FUTEX_WAKE, count, NULL, NULL, 0);
}

static void ring(struct sj_lock_bell *bell, uint32_t wakes)
{
    uint32_t armed = __atomic_load_n(&bell->armed, __ATOMIC_SEQ_CST);
    if ((armed & 1) == 0)
        return;
    __atomic_add_fetch(&bell->rings, 1, __ATOMIC_SEQ_CST);
    long woken = wake(bell, wakes);
    /* Asked afterwards: who came meanwhile, for something else, may be the one who was woken. */
    if (__atomic_load_n(&bell->user, __ATOMIC_SEQ_CST) == SJ_LOCK_BELL_MIXED) {
        wake(bell, INT_MAX);
        woken = 0;
        wakes = INT_MAX;
    }
    if (woken < (long)wakes)
        __atomic_compare_exchange_n(&bell->armed, &armed, armed & ~1u, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED);
}

void sj_bells_ring(struct sj_lock *lock, struct sj_bells bells)
{
    for (uint32_t rung = bells.rung; rung != 0; rung &= rung - 1)
        ring(&lock->page->bell[__builtin_ctz(rung)], bells.wakes);
}
