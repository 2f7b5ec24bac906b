// SPDX-License-Identifier: Apache-2.0
/*
 * wal_shared.c: what the processes of a `wal` store share behind the image: a page with its words
 * and mutexes, and the ring.
 *
 *   image file   | image: `reserved` bytes | struct sj_wal_shared | ring |
 *   mapped here                            | struct sj_wal_shared | ring | ring |
 *
 * Somebody may cut the file short while it is mapped (guard.h). Then private zeros take the place
 * of what is lost, the segment counts as damaged, and the log as failed, for everybody if the page
 * is still there. Each process meets the loss itself.
 *
 * S1  `damaged` is set before the zeros are there. So what was read from page or ring counts when
 *     `damaged` is not set after it: sj_wal_usable looks.
 * S2  Nobody sleeps for a mutex itself: who had it may give it back on a page that is not shared
 *     any more. Sleepers look again after a while.
 * S3  A page that was lost stays mapped for good: the thread's list of robust mutexes may lead
 *     through it.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "persistence/guard.h"
#include "persistence/loss.h"
#include "persistence/wal.h"

#define MAPPED_BYTES (sizeof(struct sj_wal_shared) + 2 * SJ_WAL_RING)
#define NAP_NS       50000000l /* a sleeper looks whether those it waits for still live */

/* ------------------------------------------------------------------ mapping */

/* Runs in the signal handler. */
static bool lost(void *owner, uint64_t at)
{
    struct sj_segment *segment = owner;
    struct sj_wal *wal = segment->wal;
    uint64_t first = (uint64_t)(uintptr_t)wal->shared, head = sizeof *wal->shared;
    uint64_t to_page = segment->reserved + head;
    bool keeps_page =
        sj_guard_page_of(at) != first && sj_guard_backed(wal->image, to_page) == to_page;
    wal->lost = true;
    if (segment->base == NULL) /* it is being opened, and is not mapped yet */
        sj_segment_set_damaged(segment, SJ_LOST_IMAGE);
    else
        (void)sj_segment_freeze(segment, SJ_LOST_IMAGE);
    if (keeps_page ? !sj_guard_zero(first + head, 2 * SJ_WAL_RING)
                   : !sj_guard_zero(first, MAPPED_BYTES))
        return false;
    __atomic_store_n(&wal->shared->failed, EIO, __ATOMIC_RELEASE);
    return true;
}

int sj_wal_map_shared(struct sj_segment *segment, int image)
{
    struct sj_wal *wal = segment->wal;
    uint64_t head = sizeof *wal->shared;
    char *at =
        mmap(NULL, MAPPED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return sj_wal_no_memory(segment, "mmap");
    off_t offset = (off_t)segment->reserved;
    const int protection = segment->rw_possible ? PROT_READ | PROT_WRITE : PROT_READ;
    const int flags = MAP_SHARED | MAP_FIXED;
    int error = SJ_OK;
    if (mmap(at, head + SJ_WAL_RING, protection, flags, image, offset) == MAP_FAILED ||
        mmap(at + head + SJ_WAL_RING, SJ_WAL_RING, protection, flags, image,
             offset + (off_t)head) == MAP_FAILED)
        error = sj_wal_no_memory(segment, "mmap");
    wal->shared = (struct sj_wal_shared *)at;
    wal->ring = at + head;
    wal->image = image;
    if (error == SJ_OK)
        error = sj_guard_add(at, MAPPED_BYTES, lost, segment);
    if (error != SJ_OK)
        sj_wal_unmap_shared(wal);
    return error;
}

void sj_wal_unmap_shared(struct sj_wal *wal)
{
    if (wal->shared == NULL)
        return;
    sj_guard_remove(wal->shared);
    if (!wal->lost) /* S3 */
        munmap(wal->shared, MAPPED_BYTES);
    wal->shared = NULL;
}

/* ------------------------------------------------------------------ failing */

static int failed(const struct sj_segment *segment)
{
    uint32_t number = __atomic_load_n(&segment->wal->shared->failed, __ATOMIC_ACQUIRE);
    return sj_error(SJ_EIO,
                    "'%s': writing to its disk failed (%s): what was not acknowledged may be lost, "
                    "and nothing more can be changed: close the store in all processes, see to the "
                    "disk, and open it again",
                    segment->name, strerror((int)number));
}

int sj_wal_usable(const struct sj_segment *segment)
{
    if (SJ_UNLIKELY(sj_segment_is_damaged(segment)))
        return sj_segment_lost(segment);
    if (SJ_LIKELY(__atomic_load_n(&segment->wal->shared->failed, __ATOMIC_ACQUIRE) == 0))
        return SJ_OK;
    return failed(segment);
}

int sj_wal_fail(const struct sj_segment *segment, int number)
{
    if (sj_segment_is_damaged(segment))
        return sj_segment_lost(segment);
    __atomic_store_n(&segment->wal->shared->failed, (uint32_t)number, __ATOMIC_RELEASE);
    return failed(segment);
}

/* ------------------------------------------------------------------ mutexes */

static void make_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

void sj_wal_make_mutexes(struct sj_wal_shared *shared)
{
    make_mutex(&shared->flush_mutex);
    make_mutex(&shared->checkpoint_mutex);
    shared->waiters = 0;
}

bool sj_wal_try_lock(pthread_mutex_t *mutex)
{
    int result = pthread_mutex_trylock(mutex);
    if (result == EOWNERDEAD)
        result = pthread_mutex_consistent(mutex);
    return result == 0;
}

uint32_t sj_wal_wake_word(const struct sj_wal *wal)
{
    return __atomic_load_n(&wal->shared->wake, __ATOMIC_SEQ_CST);
}

void sj_wal_sleep(struct sj_wal *wal, uint32_t wake)
{
    struct timespec nap = {0, NAP_NS};
    struct sj_wal_shared *shared = wal->shared;
    __atomic_add_fetch(&shared->waiters, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &shared->wake, FUTEX_WAIT, wake, &nap, NULL, 0);
    __atomic_sub_fetch(&shared->waiters, 1, __ATOMIC_SEQ_CST);
}

int sj_wal_lock(struct sj_segment *segment, pthread_mutex_t *mutex)
{
    for (;;) {
        uint32_t wake = sj_wal_wake_word(segment->wal);
        if (sj_wal_try_lock(mutex))
            return SJ_OK;
        int error = sj_wal_usable(segment);
        if (error != SJ_OK)
            return error;
        sj_wal_sleep(segment->wal, wake);
    }
}

void sj_wal_unlock(struct sj_wal *wal, pthread_mutex_t *mutex)
{
    struct sj_wal_shared *shared = wal->shared;
    pthread_mutex_unlock(mutex);
    __atomic_add_fetch(&shared->wake, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&shared->waiters, __ATOMIC_SEQ_CST) != 0)
        syscall(SYS_futex, &shared->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ------------------------------------------------------------------ places */

void sj_wal_set_place(struct sj_wal *wal, const struct sj_wal_place *place)
{
    uint64_t which = wal->shared->which + 1;
    wal->shared->place[which & 1] = *place;
    __atomic_store_n(&wal->shared->which, which, __ATOMIC_RELEASE);
}

struct sj_wal_place sj_wal_copy_place(const struct sj_wal *wal)
{
    const struct sj_wal_shared *shared = wal->shared;
    struct sj_wal_place place;
    uint64_t which, after = __atomic_load_n(&shared->which, __ATOMIC_ACQUIRE);
    do {
        which = after;
        place = *(const volatile struct sj_wal_place *)&shared->place[which & 1];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = __atomic_load_n(&shared->which, __ATOMIC_RELAXED);
    } while (SJ_UNLIKELY(which != after));
    return place;
}
