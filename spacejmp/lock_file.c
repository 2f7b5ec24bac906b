// SPDX-License-Identifier: Apache-2.0
/*
 * lock_file.c: the lock file: making it, who is present, who has a slot (lock_layout.h has the
 * format).
 *
 * The first process to come in lays the file out anew, whatever was in it: nobody else can have it
 * open then, so no state of an earlier boot, crash or version survives.
 *
 * Somebody may cut the file short while it is mapped. The guard then puts private pages in the
 * place of those that are lost; if the header is, it is one that says "a dead writer waits to be
 * rolled back", so that whoever comes takes the slow way, whose `recover` refuses. The number by
 * which threads find their slots becomes another one, so that readers take it too. The mapping is
 * never taken away then: a robust mutex that this process had lies in it, and is in its thread's
 * list.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "persistence/guard.h"
#include "persistence/superblock.h"
#include "spacejmp/lock.h"

#define OPEN_POLL_NS 1000000l
#define SERIAL_LOST  (1ull << 63)

static int ofd_command_range(int fd, int command, short type, long byte, uint64_t bytes)
{
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = (long)bytes};
    int result;
    do
        result = fcntl(fd, command, &range);
    while (result != 0 && errno == EINTR);
    return result;
}

static int ofd_command(int fd, int command, short type, long byte)
{
    return ofd_command_range(fd, command, type, byte, 1);
}

static int ofd_lock(int fd, short type, long byte)
{
    return ofd_command(fd, F_OFD_SETLK, type, byte);
}

bool sj_lock_has_others(const char *path)
{
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SJ_LOCK_PRESENCE, .l_len = 1};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool others = fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
    close(fd);
    return others;
}

static int file_error(const char *path, const char *call)
{
    int code = errno == EACCES || errno == EPERM || errno == EROFS ? SJ_EPERM
               : errno == ENOSPC || errno == EDQUOT                ? SJ_EFULL
               : errno == ENOENT                                   ? SJ_ENOTFOUND
                                                                   : SJ_EIO;
    if (errno == EROFS)
        return sj_error(code,
                        "lock file %s: is on a read-only filesystem, and those who read need it "
                        "too: copy the store to one that can be written, or read it with "
                        "spacejmp.salvage",
                        path);
    return sj_error(code, "lock file %s: %s: %s", path, call, strerror(errno));
}

/* Becomes present: exclusively when nobody is, else with the others. */
static int become_present(int fd, const char *path, const struct sj_wait *wait, bool *first)
{
    for (int64_t waited = 0;; waited += OPEN_POLL_NS) {
        *first = ofd_lock(fd, F_WRLCK, SJ_LOCK_PRESENCE) == 0;
        if (*first || ofd_lock(fd, F_RDLCK, SJ_LOCK_PRESENCE) == 0)
            return SJ_OK;
        if (errno != EAGAIN && errno != EACCES)
            return file_error(path, "fcntl");
        if (wait->timeout_s >= 0 && (double)waited > wait->timeout_s * 1e9)
            return sj_error(SJ_EBUSY,
                            "lock file %s: another process is opening or closing the "
                            "store",
                            path);
        if (waited % (50 * OPEN_POLL_NS) == 0 && wait->poll != NULL && wait->poll(wait->context))
            return sj_error(SJ_EINTR, "a signal ended the wait for the lock file");
        nanosleep(&(struct timespec){0, OPEN_POLL_NS}, NULL);
    }
}

/* Fills in a page that is all zeros. */
static void lay_out(struct sj_lock_page *page)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&page->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    sj_boot_id(page->boot_id);
    page->version = SJ_LOCK_VERSION;
    page->mutex_bytes = sizeof page->mutex;
    page->magic = SJ_LOCK_MAGIC;
}

_Static_assert(sizeof(struct sj_lock_page) % SJ_PAGE == 0, "whole pages");

/* Writes zeros over a file that has the size and all its blocks: a full disk can do that. */
static int zero_in_place(int fd)
{
    static const char zeros[SJ_PAGE];
    int result = 0;
    for (size_t at = 0; at < sizeof(struct sj_lock_page) && result == 0; at += sizeof zeros)
        result = sj_segment_write(fd, zeros, sizeof zeros, at);
    return result;
}

/* Makes the file a page of zeros. */
static int empty_page(int fd)
{
    const off_t bytes = sizeof(struct sj_lock_page);
    struct stat status;
    int result = fstat(fd, &status);
    if (result == 0 && status.st_size == bytes && (off_t)status.st_blocks * 512 >= bytes)
        return zero_in_place(fd);
    if (result == 0)
        result = ftruncate(fd, 0);
    if (result != 0)
        return result;
    do
        result = fallocate(fd, 0, 0, bytes);
    while (result != 0 && errno == EINTR);
    return result;
}

/* In the signal handler: the page at `at` is lost. */
static bool lose_page(void *owner, uint64_t at)
{
    struct sj_lock *lock = owner;
    uint64_t page = (uint64_t)(uintptr_t)lock->page, end = lock->backed;
    if (!lock->lost) {
        if (lock->lose != NULL && !lock->lose(lock->context))
            return false;
        __atomic_store_n(&lock->serial, lock->serial | SERIAL_LOST, __ATOMIC_RELAXED);
        __atomic_store_n(&lock->lost, true, __ATOMIC_SEQ_CST);
    }
    lock->backed = sj_guard_backed(lock->fd, end);
    if (!sj_guard_zero(page + lock->backed, end - lock->backed) ||
        (at - page < lock->backed && !sj_guard_zero_page(at)))
        return false;
    if (lock->backed == 0 || sj_guard_page_of(at) == page) {
        lock->page->recover = 1;
        __atomic_store_n(&lock->page->writer, 1, __ATOMIC_RELEASE);
    }
    return true;
}

static int map_page(struct sj_lock *lock, const char *path, bool first)
{
    struct stat status;
    if (first && empty_page(lock->fd) != 0)
        return file_error(path, "fallocate");
    if (fstat(lock->fd, &status) != 0 || (size_t)status.st_size < sizeof(struct sj_lock_page))
        return sj_error(SJ_EIO, "lock file %s: is too short; was it written to by a program?",
                        path);
    lock->page = mmap(NULL, sizeof *lock->page, PROT_READ | PROT_WRITE, MAP_SHARED, lock->fd, 0);
    if (lock->page == MAP_FAILED) {
        lock->page = NULL;
        return file_error(path, "mmap");
    }
    lock->backed = sizeof *lock->page;
    int error = sj_guard_add(lock->page, lock->backed, lose_page, lock);
    if (error != SJ_OK)
        return error;
    if (first)
        lay_out(lock->page);
    if (lock->page->magic == SJ_LOCK_MAGIC && lock->page->version == SJ_LOCK_VERSION &&
        lock->page->mutex_bytes == sizeof lock->page->mutex)
        return SJ_OK;
    return sj_error(SJ_EVERSION,
                    "lock file %s: in use by another version of spacejmp or of the C "
                    "library: close the store there first",
                    path);
}

/* Opens the file, and again when it was removed in the meantime; becomes present in it. */
static int open_present(struct sj_lock *lock, const char *path, uint32_t mode,
                        const struct sj_wait *wait, bool *first)
{
    for (;;) {
        struct stat opened, named;
        int fd;
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
        if (lock->fd < 0 || fstat(lock->fd, &opened) != 0)
            return file_error(path, "open");
        int error = become_present(lock->fd, path, wait, first);
        if (error != SJ_OK)
            return error;
        if (stat(path, &named) == 0 && named.st_dev == opened.st_dev &&
            named.st_ino == opened.st_ino) {
            if (*first && opened.st_uid == geteuid())
                fchmod(lock->fd, mode); /* the umask does not decide who may wait */
            return SJ_OK;
        }
        fd = lock->fd;
        lock->fd = -1;
        close(fd);
    }
}

/* One that is not open yet, or NULL. */
static struct sj_lock *new_lock(void)
{
    static uint64_t serials;
    struct sj_lock *lock = calloc(1, sizeof *lock);
    if (lock == NULL)
        return NULL;
    lock->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
    lock->fd = lock->heir = -1;
    pthread_mutex_init(&lock->own_lock, NULL);
    return lock;
}

int sj_lock_open_private(struct sj_lock **opened)
{
    static const char path[] = "in memory";
    struct sj_lock *lock = new_lock();
    if (lock == NULL)
        return sj_error(SJ_ENOMEM, "a lock file in memory");
    *opened = lock;
    lock->is_private = true;
    lock->fd = memfd_create("spacejmp-lock", MFD_CLOEXEC);
    int error = lock->fd < 0 ? file_error(path, "memfd_create") : map_page(lock, path, true);
    if (error != SJ_OK) {
        *opened = NULL;
        sj_lock_close(lock);
    }
    return error;
}

int sj_lock_open(const char *path, uint32_t mode, const struct sj_wait *wait,
                 struct sj_lock **opened, bool *first)
{
    struct sj_lock *lock = new_lock();
    if (lock == NULL)
        return sj_error(SJ_ENOMEM, "lock file %s", path);
    *opened = lock;
    int error = open_present(lock, path, mode, wait, first);
    if (error == SJ_OK)
        error = map_page(lock, path, *first);
    if (error != SJ_OK) {
        *opened = NULL;
        sj_lock_close(lock);
    }
    return error;
}

void sj_lock_on_recover(struct sj_lock *lock, sj_lock_recover *recover, sj_lock_lose *lose,
                        void *context)
{
    lock->recover = recover;
    lock->context = context;
    lock->lose = lose;
}

int sj_lock_lost(void)
{
    return sj_error(SJ_EDAMAGED,
                    "the lock file was cut short, or cannot be read, so nobody knows any more who "
                    "is inside: close the store in all processes and open it again");
}

void sj_lock_join(struct sj_lock *lock)
{
    ofd_lock(lock->fd, F_RDLCK, SJ_LOCK_PRESENCE);
}

bool sj_lock_last(struct sj_lock *lock)
{
    ofd_command(lock->fd, F_OFD_SETLKW, F_WRLCK, SJ_LOCK_CLOSING);
    return ofd_lock(lock->fd, F_WRLCK, SJ_LOCK_PRESENCE) == 0;
}

bool sj_lock_inside(struct sj_lock *lock)
{
    bool inside = lock->writing;
    pthread_mutex_lock(&lock->own_lock);
    for (uint32_t i = 0; i < SJ_LOCK_SLOTS; i++)
        if ((lock->own[i / 64] >> i % 64 & 1) != 0)
            inside |= __atomic_load_n(&lock->page->slot[i].reading, __ATOMIC_ACQUIRE) != 0;
    pthread_mutex_unlock(&lock->own_lock);
    return inside;
}

void sj_lock_close(struct sj_lock *lock)
{
    for (uint32_t i = 0; lock->page != NULL && i < SJ_LOCK_SLOTS; i++)
        if ((lock->own[i / 64] >> i % 64 & 1) != 0)
            sj_lock_give_slot(lock, &lock->page->slot[i]);
    if (lock->page != NULL)
        sj_guard_remove(lock->page);
    if (lock->page != NULL && !lock->lost)
        munmap(lock->page, sizeof *lock->page);
    if (lock->fd >= 0)
        close(lock->fd);
    pthread_mutex_destroy(&lock->own_lock);
    free(lock);
}

/* The file of an own open file description for the child; -1 when the system has none to give. */
static int open_again(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

/* The same of a private lock: an empty file of its own. */
static int make_again(void)
{
    int fd = memfd_create("spacejmp-lock", MFD_CLOEXEC);
    if (fd >= 0 && empty_page(fd) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/*
 * The parent's locks last as long as its open file description does, and both the descriptor and
 * the mapping that the child has of it would keep that alive.
 */
void sj_lock_forked(struct sj_lock *lock)
{
    int fd = lock->is_private ? make_again() : lock->heir >= 0 ? lock->heir : open_again(lock->fd);
    int flags = MAP_SHARED | MAP_FIXED;
    close(lock->fd);
    lock->fd = fd;
    lock->heir = -1;
    lock->writing = false;
    memset(lock->own, 0, sizeof lock->own);
    pthread_mutex_init(&lock->own_lock, NULL);
    if (fd < 0)
        flags |= MAP_ANONYMOUS;
    SJ_ASSERT(mmap(lock->page, sizeof *lock->page, PROT_READ | PROT_WRITE, flags, fd, 0) ==
              lock->page);
    if (fd >= 0 && lock->is_private) {
        lay_out(lock->page);
        lock->page->recover = lock->page->writer = 1;
        return;
    }
    if (fd >= 0) {
        ofd_lock(fd, F_RDLCK, SJ_LOCK_PRESENCE);
        return;
    }
    /* Nobody gets in, and finds a mutex that is none. */
    memset(&lock->page->mutex, 0xff, sizeof lock->page->mutex);
    lock->page->writer = 1;
}

/* ------------------------------------------------------------------ views */

static long view_byte(bool writable, uint64_t offset)
{
    return (writable ? SJ_LOCK_WRITES : SJ_LOCK_VIEWS) + (long)offset;
}

int sj_lock_view(struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes)
{
    int fd = lock->heir >= 0 ? lock->heir : lock->fd;
    if (lock->is_private ||
        ofd_command_range(fd, F_OFD_SETLK, F_RDLCK, view_byte(writable, offset), bytes) == 0)
        return SJ_OK;
    return sj_error(SJ_EIO, "the lock file: fcntl: %s", strerror(errno));
}

void sj_lock_unview(struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes)
{
    if (!lock->is_private)
        ofd_command_range(lock->fd, F_OFD_SETLK, F_UNLCK, view_byte(writable, offset), bytes);
}

bool sj_lock_viewed(const struct sj_lock *lock, bool writable, uint64_t offset, uint64_t bytes)
{
    struct flock range = {.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = view_byte(writable, offset),
                          .l_len = (long)bytes};
    if (lock->is_private)
        return false;
    return fcntl(lock->fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

void sj_lock_begin_heir(struct sj_lock *lock)
{
    lock->heir = lock->is_private ? -1 : open_again(lock->fd);
    if (lock->heir >= 0)
        ofd_lock(lock->heir, F_RDLCK, SJ_LOCK_PRESENCE);
}

void sj_lock_end_heir(struct sj_lock *lock)
{
    if (lock->heir >= 0)
        close(lock->heir);
    lock->heir = -1;
}

void sj_lock_abandon(struct sj_lock *lock)
{
    if (lock->page != NULL)
        munmap(lock->page, sizeof *lock->page);
    if (lock->fd >= 0)
        close(lock->fd);
}

/* Takes slot `number`, with own_lock held. 0, EAGAIN when a living thread has it, or an errno. */
static int take_slot(struct sj_lock *lock, uint32_t number)
{
    struct sj_lock_slot *slot = &lock->page->slot[number];
    if ((lock->own[number / 64] >> number % 64 & 1) != 0)
        return EAGAIN;
    if (ofd_lock(lock->fd, F_WRLCK, SJ_LOCK_SLOT0 + number) != 0)
        return errno == EACCES ? EAGAIN : errno;
    __atomic_store_n(&slot->reading, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->taken, 1, __ATOMIC_RELEASE);
    __atomic_or_fetch(&lock->own[number / 64], 1ull << number % 64, __ATOMIC_RELAXED);
    uint32_t used = __atomic_load_n(&lock->page->slots_used, __ATOMIC_RELAXED);
    while (used <= number &&
           !__atomic_compare_exchange_n(&lock->page->slots_used, &used, number + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    return 0;
}

int sj_lock_take_slot(struct sj_lock *lock, struct sj_lock_slot **slot)
{
    if (lock->lost)
        return sj_lock_lost();
    if (lock->fd < 0)
        return sj_error(SJ_EIO, "the lock file could not be opened anew after a fork: close the "
                                "store in this process and open it again");
    pthread_mutex_lock(&lock->own_lock);
    int failed = EAGAIN;
    *slot = NULL;
    /* Free slots first; then those that a dead process left behind. */
    for (uint32_t pass = 0; pass < 2 && *slot == NULL; pass++)
        for (uint32_t i = 0; i < SJ_LOCK_SLOTS && *slot == NULL; i++) {
            if (pass == 0 && __atomic_load_n(&lock->page->slot[i].taken, __ATOMIC_ACQUIRE) != 0)
                continue;
            int number = take_slot(lock, i);
            if (number == 0)
                *slot = &lock->page->slot[i];
            else if (number != EAGAIN)
                failed = number;
        }
    pthread_mutex_unlock(&lock->own_lock);
    if (*slot != NULL)
        return SJ_OK;
    if (failed != EAGAIN)
        return sj_error(SJ_EIO, "the lock file: fcntl: %s", strerror(failed));
    return sj_error(SJ_EBUSY, "%u threads use the store at the same time, and no more can",
                    SJ_LOCK_SLOTS);
}

void sj_lock_give_slot(struct sj_lock *lock, struct sj_lock_slot *slot)
{
    uint32_t number = (uint32_t)(slot - lock->page->slot);
    pthread_mutex_lock(&lock->own_lock);
    __atomic_store_n(&slot->reading, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->taken, 0, __ATOMIC_RELEASE);
    __atomic_and_fetch(&lock->own[number / 64], ~(1ull << number % 64), __ATOMIC_RELAXED);
    ofd_lock(lock->fd, F_UNLCK, SJ_LOCK_SLOT0 + number);
    pthread_mutex_unlock(&lock->own_lock);
}

bool sj_lock_reap_slot(struct sj_lock *lock, uint32_t number)
{
    pthread_mutex_lock(&lock->own_lock);
    bool dead = take_slot(lock, number) == 0;
    pthread_mutex_unlock(&lock->own_lock);
    if (dead)
        sj_lock_give_slot(lock, &lock->page->slot[number]);
    return dead;
}
