// SPDX-License-Identifier: Apache-2.0
/*
 * lock.c: the waits of the reader/writer lock (lock.h has the protocol and the invariants).
 *
 *   reader:  slot.reading = 1 │ fence │ writer == 0 → inside
 *                                     └ else: slot.reading = 0, spin, then through the mutex
 *   writer:  mutex │ writer = 1 │ fence │ every slot.reading == 0 → inside
 *   dead:    EOWNERDEAD → recover = 1, writer stays 1 → roll back → recover = 0
 *
 * Cost: a reader's way in and out is a store, a fence and two loads of shared lines; a writer's a
 * robust mutex and a walk over the slots in use.
 */
#include "spacejmp/lock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS       400
#define LOOK_NS     1000000ll /* how often a writer looks at the slots without being woken */
#define GIVE_WAY_NS 50000ll   /* how long a writer lets waiting readers go first */

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static struct timespec slice(int64_t deadline, int64_t slice_ns, clockid_t clock)
{
    int64_t left = deadline == SJ_WAIT_NEVER ? slice_ns : deadline - now_ns(CLOCK_MONOTONIC);
    left = left < 0 ? 0 : left < slice_ns ? left : slice_ns;
    int64_t end = clock == CLOCK_REALTIME ? now_ns(clock) + left : left;
    return (struct timespec){end / 1000000000ll, end % 1000000000ll};
}

/* With the mutex: what a dead writer began is rolled back. On failure the flag stays up. */
static int recover(struct sj_lock *lock)
{
    struct sj_lock_page *page = lock->page;
    int error = lock->recover == NULL ? SJ_OK : lock->recover(lock->context);
    if (error != SJ_OK)
        return error;
    sj_lock_changed(lock);
    __atomic_store_n(&page->recover, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&page->writer, 0, __ATOMIC_RELEASE);
    return SJ_OK;
}

/* The mutex is had after a dead one, which may be a thread of this process (I3). */
static void inherit(struct sj_lock *lock)
{
    struct sj_lock_page *page = lock->page;
    lock->writing = false;
    __atomic_store_n(&page->recover, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&page->writer, 1, __ATOMIC_RELEASE);
    pthread_mutex_consistent(&page->mutex);
}

/* What pthread_mutex_…lock returned: on SJ_OK the mutex is had and nothing waits to be rolled
 * back. */
static int mutex_had(struct sj_lock *lock, int result)
{
    struct sj_lock_page *page = lock->page;
    if (result == EBUSY || result == ETIMEDOUT)
        return SJ_EBUSY;
    if (result != 0 && result != EOWNERDEAD)
        return sj_error(SJ_EIO,
                        "the lock file is damaged (mutex: error %d): close the store in all "
                        "processes and open it again",
                        result);
    if (result == EOWNERDEAD)
        inherit(lock);
    if (SJ_LIKELY(page->recover == 0))
        return SJ_OK;
    int error = recover(lock);
    if (error != SJ_OK)
        pthread_mutex_unlock(&page->mutex);
    return error;
}

/* Takes the mutex, by `reader` or writer. */
static int take_mutex(struct sj_lock *lock, const struct sj_wait *wait, int64_t deadline,
                      bool reader)
{
    struct sj_lock_page *page = lock->page;
    int error = mutex_had(lock, pthread_mutex_trylock(&page->mutex));
    while (error == SJ_EBUSY && wait != NULL) {
        if (reader)
            __atomic_store_n(&page->give_way, 1, __ATOMIC_RELAXED);
        struct timespec end = slice(deadline, SJ_WAIT_SLICE_NS, CLOCK_REALTIME);
        error = mutex_had(lock, pthread_mutex_timedlock(&page->mutex, &end));
        if (error == SJ_EBUSY) {
            int stop = sj_wait_go_on(wait, deadline);
            if (stop != SJ_OK)
                return stop;
        }
    }
    return error;
}

int sj_lock_read_slow(struct sj_lock *lock, struct sj_lock_slot *slot, const struct sj_wait *wait)
{
    struct sj_lock_page *page = lock->page;
    for (int spin = 0; spin < SPINS; spin++) {
        if (spin == 0 || __atomic_load_n(&page->writer, __ATOMIC_ACQUIRE) == 0) {
            __atomic_store_n(&slot->reading, 1, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            if (__atomic_load_n(&page->writer, __ATOMIC_ACQUIRE) == 0)
                return SJ_OK;
            sj_lock_read_leave(lock, slot);
        }
        pause_briefly();
    }
    int error = take_mutex(lock, wait, wait == NULL ? 0 : sj_wait_deadline(wait), true);
    if (error != SJ_OK)
        return error;
    __atomic_store_n(&slot->reading, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&page->mutex);
    return SJ_OK;
}

void sj_lock_wake_writer(struct sj_lock *lock)
{
    __atomic_add_fetch(&lock->page->wake, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &lock->page->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool is_own(struct sj_lock *lock, uint32_t number)
{
    return (__atomic_load_n(&lock->own[number / 64], __ATOMIC_RELAXED) >> number % 64 & 1) != 0;
}

/* Waits until the reader in this slot has left or its process is dead. */
static int wait_for_reader(struct sj_lock *lock, uint32_t number, const struct sj_wait *wait,
                           int64_t deadline)
{
    struct sj_lock_page *page = lock->page;
    struct sj_lock_slot *slot = &page->slot[number];
    int64_t next_poll = 0;
    for (uint64_t spin = 0; __atomic_load_n(&slot->reading, __ATOMIC_ACQUIRE) != 0; spin++) {
        if (spin < SPINS) {
            pause_briefly();
            continue;
        }
        if (!is_own(lock, number) && sj_lock_reap_slot(lock, number))
            return SJ_OK;
        if (wait == NULL)
            return SJ_EBUSY;
        int64_t now = now_ns(CLOCK_MONOTONIC);
        if (now >= next_poll || now >= deadline) {
            int stop = sj_wait_go_on(wait, deadline);
            if (stop != SJ_OK)
                return stop;
            next_poll = now + SJ_WAIT_SLICE_NS;
        }
        uint32_t wake = __atomic_load_n(&page->wake, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&slot->reading, __ATOMIC_ACQUIRE) == 0)
            return SJ_OK;
        struct timespec look = slice(deadline, LOOK_NS, CLOCK_MONOTONIC);
        syscall(SYS_futex, &page->wake, FUTEX_WAIT, wake, &look, NULL, 0);
    }
    return SJ_OK;
}

int sj_lock_write(struct sj_lock *lock, const struct sj_wait *wait)
{
    struct sj_lock_page *page = lock->page;
    int64_t deadline = wait == NULL ? 0 : sj_wait_deadline(wait);
    if (SJ_UNLIKELY(__atomic_load_n(&page->give_way, __ATOMIC_RELAXED) != 0)) {
        if (wait == NULL)
            return SJ_EBUSY;
        __atomic_store_n(&page->give_way, 0, __ATOMIC_RELAXED);
        nanosleep(&(struct timespec){0, GIVE_WAY_NS}, NULL);
    }
    int error = take_mutex(lock, wait, deadline, false);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    __atomic_store_n(&page->writer, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t used = __atomic_load_n(&page->slots_used, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < used; i++) {
        if (SJ_LIKELY(__atomic_load_n(&page->slot[i].reading, __ATOMIC_ACQUIRE) == 0))
            continue;
        error = wait_for_reader(lock, i, wait, deadline);
        if (error != SJ_OK) {
            __atomic_store_n(&page->writer, 0, __ATOMIC_RELEASE);
            pthread_mutex_unlock(&page->mutex);
            return error;
        }
    }
    lock->writing = true;
    sj_lock_changed(lock);
    return SJ_OK;
}

bool sj_lock_before_fork(struct sj_lock *lock)
{
    int result = pthread_mutex_trylock(&lock->page->mutex);
    if (result == EOWNERDEAD)
        inherit(lock);
    return result == 0 || result == EOWNERDEAD;
}

void sj_lock_after_fork(struct sj_lock *lock)
{
    pthread_mutex_unlock(&lock->page->mutex);
}

void sj_lock_write_abandon(struct sj_lock *lock)
{
    lock->writing = false;
    __atomic_store_n(&lock->page->recover, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock->page->mutex);
}

void sj_lock_write_leave(struct sj_lock *lock)
{
    lock->writing = false;
    __atomic_store_n(&lock->page->writer, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock->page->mutex);
}
