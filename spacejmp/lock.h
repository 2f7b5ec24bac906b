// SPDX-License-Identifier: Apache-2.0
/*
 * lock.h: the reader/writer lock of a space, between processes and threads.
 *
 * A reader stores to its own slot, fences, and looks at the writer's flag: no shared cache line is
 * written. A writer takes the robust mutex, raises the flag, fences, and waits until every slot is
 * empty. A reader that finds the flag up waits on the mutex, so it queues behind the writer and
 * writers do not starve.
 *
 * I1  writer == 0 or the mutex is held (by a living thread, or by a dead one: EOWNERDEAD).
 * I2  A thread that is inside for reading has slot.reading == 1 and saw writer == 0 after storing
 *     it, or stored it while holding the mutex.
 * I3  Whoever gets EOWNERDEAD sets `recover` and leaves the flag up; nobody enters before the log
 *     is rolled back, `recover` is 0 and the flag is down.
 *     A writer that finds its segment damaged leaves in the same state (sj_lock_write_abandon).
 * I4  slot.taken == 1 implies that its process had the slot's OFD lock when it took it: when nobody
 *     has that lock, the process is dead and the slot is free.
 *
 * Order of locks: the table of spaces (space.c), own_lock, then the mutexes of spaces in ascending
 * base order. Waits end at the deadline (SJ_EBUSY) or when `poll` says so (SJ_EINTR).
 */
#ifndef SJ_SPACEJMP_LOCK_H
#define SJ_SPACEJMP_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "persistence/error.h"
#include "spacejmp/lock_layout.h"
#include "spacejmp/wait.h"

/* Rolls back what a dead writer began: called with the mutex held. */
typedef int sj_lock_recover(void *context);

/* Makes what the lock protects unusable for this process: called in a signal handler (guard.h). */
typedef bool sj_lock_lose(void *context);

struct sj_lock {
    struct sj_lock_page *page;
    sj_lock_recover *recover;
    void *context;
    uint64_t serial; /* no other lock of this process ever has it */
    int fd;
    int heir;                 /* during a fork: the file that the child goes on with; -1: none */
    bool writing;             /* a thread of this process is inside for writing */
    bool is_private;          /* of this process alone, in a file without a name */
    bool lost;                /* pages of the lock file are: see sj_lock_on_loss */
    uint64_t backed;          /* lost: bytes of the mapping that the file still has */
    sj_lock_lose *lose;       /* called with `context` */
    pthread_mutex_t own_lock; /* guards `own` */
    uint64_t own[SJ_LOCK_SLOTS / 64]; /* slots that threads of this process have */
};

/* Opens the lock file, or makes it with `mode`. On return the caller is present; `*first` says that
 * it alone is, and then nobody else can come in until sj_lock_join. `*lock` is set from when there
 * is a file to abandon in the child of a fork; NULL after a failure. SJ_EIO, SJ_EPERM, SJ_EBUSY,
 * SJ_EFULL, SJ_ENOTFOUND. */
SJ_API int sj_lock_open(const char *path, uint32_t mode, const struct sj_wait *wait,
                        struct sj_lock **lock, bool *first);

/* A lock between the threads of this process alone; its file has no name. A child of fork has one
 * of its own, in which a dead writer waits to be rolled back: the memory that it protects may be
 * that of a moment within a hold. `*lock` as above. SJ_EIO, SJ_EFULL. */
SJ_API int sj_lock_open_private(struct sj_lock **lock);

/* Whether somebody is present, without becoming so. False when the file is not there, or not to be
 * opened. */
SJ_API bool sj_lock_has_others(const char *path);

/*
 * What to do when a writer has died, and when pages of the lock file are lost (somebody cut it
 * short); before anybody enters. A process that has lost pages of it cannot tell any more who is
 * inside: nobody of it comes in again, and who is in finds on leaving that it was for nothing.
 */
SJ_API void sj_lock_on_recover(struct sj_lock *lock, sj_lock_recover *recover, sj_lock_lose *lose,
                               void *context);

/* SJ_EDAMAGED. */
int sj_lock_lost(void) __attribute__((cold));

/* Ends the exclusive presence of the first one: others may come in. */
SJ_API void sj_lock_join(struct sj_lock *lock);

/* Whether no other process is present; if so, nobody can come in until sj_lock_close, which follows
 * in any case. Waits for those that are in between. */
SJ_API bool sj_lock_last(struct sj_lock *lock);

/* Whether a thread of this process is inside. */
SJ_API bool sj_lock_inside(struct sj_lock *lock);

SJ_API void sj_lock_close(struct sj_lock *lock);

/* Others see that this process has views of those bytes of the segment, counted from its base, or
 * has none any more: locks of the same bytes do not add up. SJ_EIO. */
int sj_lock_view(struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes);
void sj_lock_unview(struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes);
/* Whether another process has some of them; true also when that cannot be found out. */
bool sj_lock_viewed(const struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes);

/* Before a fork of a process that has views: the child is to have a file of its own, and to be
 * present, from its first moment on; sj_lock_view then locks for it. sj_lock_end_heir in the
 * parent; the child has it from sj_lock_forked on. */
void sj_lock_begin_heir(struct sj_lock *lock);
void sj_lock_end_heir(struct sj_lock *lock);

/* Before a fork: whether no writer is inside; then none comes in until sj_lock_after_fork, which
 * the parent calls. */
bool sj_lock_before_fork(struct sj_lock *lock);
void sj_lock_after_fork(struct sj_lock *lock);

/* In the child of a fork: the lock file is opened and mapped anew, no slot is owned. When that is
 * impossible, every way in is SJ_EIO. */
SJ_API void sj_lock_forked(struct sj_lock *lock);
/* In the child of a fork: another thread of the parent was opening or closing the lock. The child
 * lets go of the file: as long as it had it, the parent would seem to live and to be there. */
void sj_lock_abandon(struct sj_lock *lock);

/* A slot for the calling thread, and back. SJ_EBUSY when all are taken, SJ_EDAMAGED when pages of
 * the lock file are lost. */
SJ_API int sj_lock_take_slot(struct sj_lock *lock, struct sj_lock_slot **slot);
SJ_API void sj_lock_give_slot(struct sj_lock *lock, struct sj_lock_slot *slot);
/* Frees another process's slot when that process is dead; whether it was. */
bool sj_lock_reap_slot(struct sj_lock *lock, uint32_t number);

/*
 * Ways in and out, for the thread that has `slot`. `wait` NULL: never waits, SJ_EBUSY at once.
 * SJ_EBUSY, SJ_EINTR, and what `recover` returns.
 */
SJ_API int sj_lock_read_slow(struct sj_lock *lock, struct sj_lock_slot *slot,
                             const struct sj_wait *wait);
SJ_API int sj_lock_write(struct sj_lock *lock, const struct sj_wait *wait);
SJ_API void sj_lock_write_leave(struct sj_lock *lock);
/* Leaves as a writer that dies: the next one to come rolls back what this one began. */
SJ_API void sj_lock_write_abandon(struct sj_lock *lock);
SJ_API void sj_lock_wake_writer(struct sj_lock *lock);

/* Whether the caller is inside now; if not, sj_lock_read_slow follows. */
static inline bool sj_lock_try_read(struct sj_lock *lock, struct sj_lock_slot *slot)
{
    __atomic_store_n(&slot->reading, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return SJ_LIKELY(__atomic_load_n(&lock->page->writer, __ATOMIC_ACQUIRE) == 0);
}

static inline int sj_lock_read(struct sj_lock *lock, struct sj_lock_slot *slot,
                               const struct sj_wait *wait)
{
    return sj_lock_try_read(lock, slot) ? SJ_OK : sj_lock_read_slow(lock, slot, wait);
}

/* No fence after the store: a writer that misses the wake-up looks again within a millisecond. */
static inline void sj_lock_read_leave(struct sj_lock *lock, struct sj_lock_slot *slot)
{
    __atomic_store_n(&slot->reading, 0, __ATOMIC_RELEASE);
    if (SJ_UNLIKELY(__atomic_load_n(&lock->page->writer, __ATOMIC_RELAXED) != 0))
        sj_lock_wake_writer(lock);
}

static inline uint64_t sj_lock_changes(const struct sj_lock *lock)
{
    return __atomic_load_n(&lock->page->changes, __ATOMIC_ACQUIRE);
}

/* Says that the space has changed; the caller has the write hold. */
static inline void sj_lock_changed(struct sj_lock *lock)
{
    __atomic_store_n(&lock->page->changes, lock->page->changes + 1, __ATOMIC_RELEASE);
}

#endif
