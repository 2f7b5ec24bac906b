// SPDX-License-Identifier: Apache-2.0
/* catalog_lock.c: the lock of the catalog (catalog_lock.h has the contract). */
#include "spacejmp/catalog_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "spacejmp/files.h"
#include "spacejmp/home.h"

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER; /* guards `held`; not held for long */
static struct sj_catalog_lock *held; /* lock files that threads of this process have open */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
    pthread_mutex_lock(&opening);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&opening);
}

static void after_fork_in_child(void)
{
    for (; held != NULL; held = held->next) {
        close(held->fd);
        held->fd = -1;
    }
    pthread_mutex_init(&opening, NULL);
}

static void register_fork(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static int open_file(const char *path, uint32_t mode, struct sj_catalog_lock *lock)
{
    pthread_mutex_lock(&opening);
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    int number = errno;
    if (lock->fd >= 0) {
        lock->next = held;
        held = lock;
    }
    pthread_mutex_unlock(&opening);
    errno = number;
    return lock->fd >= 0 ? SJ_OK : sj_file_failed("open", path);
}

void sj_catalog_unlock(struct sj_catalog_lock *lock)
{
    pthread_mutex_lock(&opening);
    if (lock->fd >= 0) {
        struct sj_catalog_lock **link = &held;
        while (*link != lock)
            link = &(*link)->next;
        *link = lock->next;
        flock(lock->fd, LOCK_UN); /* at once, though a child may have a copy of it */
        close(lock->fd);
        lock->fd = -1;
    }
    pthread_mutex_unlock(&opening);
}

/* By polling: a blocking flock(2) knows no time limit. */
static int wait_for(const struct sj_catalog_lock *lock, const char *path,
                    const struct sj_wait *wait, int64_t deadline)
{
    int64_t pause_ns = 500000, polled = sj_wait_now_ns();
    while (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return sj_file_failed("lock", path);
        int64_t now = sj_wait_now_ns();
        if (deadline != SJ_WAIT_NEVER && now >= deadline)
            return sj_error(SJ_EBUSY,
                            "cannot lock '%s': expected it free within %.3g s, found it held by "
                            "another process or thread; try again, or with a longer timeout",
                            path, wait->timeout_s);
        const struct timespec pause = {0, pause_ns};
        int interrupted = nanosleep(&pause, NULL);
        now = sj_wait_now_ns();
        if (wait->poll != NULL && (interrupted != 0 || now - polled > SJ_WAIT_SLICE_NS)) {
            polled = now;
            if (wait->poll(wait->context) != 0)
                return sj_error(SJ_EINTR, "a signal ended the wait for '%s'", path);
        }
        pause_ns = 2 * pause_ns < 20000000 ? 2 * pause_ns : 20000000;
    }
    return SJ_OK;
}

/* Whether the locked file is the one of that name: it may have been removed meanwhile. */
static int is_still(const struct sj_catalog_lock *lock, const char *path, bool *still)
{
    struct stat opened, named;
    int error = sj_file_status(path, &named, still);
    if (error == SJ_OK && fstat(lock->fd, &opened) != 0)
        error = sj_file_failed("use", path);
    if (error == SJ_OK && *still)
        *still = opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
    return error;
}

int sj_catalog_lock(const char *home, const struct sj_wait *wait, struct sj_catalog_lock *lock)
{
    char path[PATH_MAX];
    uint32_t mode = 0;
    int64_t deadline = sj_wait_deadline(wait);
    pthread_once(&fork_once, register_fork);
    lock->fd = -1;
    int error = sj_home_make(home);
    if (error == SJ_OK)
        error = sj_home_mode(home, &mode);
    sj_home_catalog_lock(home, path);
    while (error == SJ_OK) {
        bool still = false;
        error = open_file(path, 0600 | (mode & 060), lock);
        if (error == SJ_OK)
            error = wait_for(lock, path, wait, deadline);
        if (error == SJ_OK)
            error = is_still(lock, path, &still);
        if (error == SJ_OK && still)
            return SJ_OK;
        sj_catalog_unlock(lock);
    }
    return error;
}
