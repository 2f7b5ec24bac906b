// SPDX-License-Identifier: Apache-2.0
/* space.c: the table of attached spaces (space.h has the contract). */
#include "spacejmp/space.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/loss.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"
#include "spacejmp/hold.h"
#include "spacejmp/mmu/model.h"
#include "spacejmp/park.h"
#include "spacejmp/views.h"

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER; /* may be held for long */
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;     /* guards `spaces` and `moving` */
static struct sj_space *spaces;
static struct sj_lock *moving; /* of a space that is not in the table, or not any more */
static uint32_t forks;
static uint32_t watchers; /* traces and models; with `table` */

/* The memory of a private space is copied while other threads go on: if one of them is changing it,
 * the child has parts of different moments. Else nobody begins to until the fork is over. */
static void before_private_fork(struct sj_space *space)
{
    bool own = sj_hold_mode(space) == SJ_HOLD_WRITE;
    space->fork_locked = !own && sj_lock_before_fork(space->lock);
    space->torn = !own && !space->fork_locked;
}

static void before_fork(void)
{
    pthread_mutex_lock(&table);
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        if (space->segment->is_private)
            before_private_fork(space);
    sj_views_lock();
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        sj_views_before_fork(space);
    sj_park_before_fork();
}

static void after_fork_in_parent(void)
{
    sj_park_after_fork();
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        sj_views_after_fork(space);
    sj_views_unlock();
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        if (space->segment->is_private && space->fork_locked)
            sj_lock_after_fork(space->lock);
    pthread_mutex_unlock(&table);
}

/* The child keeps the mappings and holds nothing: what a thread of the parent had begun is its
 * own. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&table, NULL);
    pthread_mutex_init(&attaching, NULL);
    sj_views_unlock_forked();
    sj_park_forked();
    sj_holds_forked();
    sj_mmu_forked();
    forks++;
    watchers = 0;
    if (moving != NULL)
        sj_lock_abandon(moving);
    moving = NULL;
    for (struct sj_space *space = spaces; space != NULL; space = space->next) {
        if (space->segment->is_private && space->torn)
            sj_segment_set_damaged(space->segment, SJ_LOST_FORK);
        bool has_locks = space->lock->heir >= 0;
        sj_lock_forked(space->lock);
        sj_views_forked(space, has_locks);
        sj_tx_forget(space->segment);
        sj_touch_watch(space->segment, false);
        if (space->segment->wal == NULL && !space->segment->is_private)
            space->segment->dirty = false; /* the parent may close the segment before it changes */
        sj_wal_forked(space->segment);
    }
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void register_fork(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static struct sj_space *find(const struct stat *status)
{
    pthread_mutex_lock(&table);
    struct sj_space *space = spaces;
    while (space != NULL &&
           (space->segment->is_private || space->segment->device != status->st_dev ||
            space->segment->inode != status->st_ino))
        space = space->next;
    pthread_mutex_unlock(&table);
    return space;
}

/* Called by a thread that comes in. It uses the space's addresses before it is inside. */
static int recover(void *context)
{
    struct sj_space *space = context;
    uintptr_t active;
    int error = sj_holds_visit(space, &active);
    if (error == SJ_OK)
        error = sj_segment_recover(space->segment);
    sj_holds_end_visit(active);
    return error;
}

/* The lock file's pages are lost: nothing that this process does from now on may count. */
static bool lose(void *context)
{
    struct sj_space *space = context;
    space->writable = false;
    return sj_segment_freeze(space->segment, SJ_LOST_LOCK);
}

/* Closes `moving`, with no fork in between. */
static void close_moving(void)
{
    pthread_mutex_lock(&table);
    sj_lock_close(moving);
    moving = NULL;
    pthread_mutex_unlock(&table);
}

/* Into the table, with its segment open and its lock in `moving`. */
static void add(struct sj_space *space, const struct sj_attach_options *options)
{
    space->writable = options->writable;
    space->references = 1;
    sj_views_attached(space);
    pthread_mutex_lock(&table);
    space->next = spaces;
    spaces = space;
    moving = NULL;
    sj_park_added(space);
    if (watchers > 0)
        sj_touch_watch(space->segment, true);
    pthread_mutex_unlock(&table);
    sj_mmu_on_attach(space);
}

/* Attaches a space that this process does not have; with `attaching`. */
static int attach_new(const char *segment_path, const char *lock_path,
                      const struct sj_attach_options *options, const struct stat *status,
                      struct sj_space *space)
{
    bool first;
    uint32_t readers = status->st_mode & 0444; /* whoever may read must be able to take the lock */
    int error = sj_lock_open(lock_path, readers | readers >> 1, &options->wait, &moving, &first);
    if (error != SJ_OK)
        return error;
    space->lock = moving;
    error = sj_segment_open_uuid(segment_path, options->uuid, options->writable, first,
                                 options->accept_unclean, &space->segment);
    if (error != SJ_OK) {
        close_moving();
        return error;
    }
    sj_lock_on_recover(space->lock, recover, lose, space);
    if (space->lock->lost) {
        sj_segment_close(space->segment, false);
        close_moving();
        return sj_lock_lost();
    }
    if (first)
        sj_lock_join(space->lock);
    add(space, options);
    return SJ_OK;
}

/* The same, where others may have its addresses: they are moved aside. */
static int attach_over(const char *segment_path, const char *lock_path,
                       const struct sj_attach_options *options, const struct stat *status,
                       struct sj_space *space)
{
    struct sj_segment_info info;
    if (spaces == NULL || sj_segment_inspect(segment_path, &info) != SJ_OK)
        return attach_new(segment_path, lock_path, options, status, space);
    int error = sj_park_claim(info.base, info.reserved, &options->wait);
    if (error == SJ_OK) {
        error = attach_new(segment_path, lock_path, options, status, space);
        sj_park_release();
    }
    return error;
}

/* Somebody of this process has opened it for reading, and now another one wants to write. */
static int make_writable(struct sj_space *space, const struct sj_wait *wait)
{
    if (sj_segment_is_damaged(space->segment))
        return sj_segment_lost(space->segment);
    int error = sj_park_claim_home(space, wait);
    if (error != SJ_OK)
        return error;
    error = sj_segment_make_writable(space->segment);
    sj_park_release();
    if (error == SJ_OK)
        space->writable = true;
    return error;
}

/* A reference to the space in that file, which is attached if need be; with `attaching`. */
static int attach(const char *segment_path, const char *lock_path,
                  const struct sj_attach_options *options, struct sj_space **attached)
{
    struct stat status;
    if (stat(segment_path, &status) != 0)
        return sj_segment_failed(segment_path, "stat");
    int error = SJ_OK;
    struct sj_space *space = find(&status);
    if (space != NULL && options->writable && !space->writable) {
        error = make_writable(space, &options->wait);
        space->references += error == SJ_OK;
    } else if (space != NULL) {
        space->references++;
    } else if ((space = calloc(1, sizeof *space)) == NULL) {
        error = sj_error(SJ_ENOMEM, "%s", segment_path);
    } else {
        error = attach_over(segment_path, lock_path, options, &status, space);
        if (error != SJ_OK)
            free(space);
    }
    if (error == SJ_OK)
        *attached = space;
    return error;
}

/* As attach_new, for a private space. */
static int attach_file(int fd, const char *path, const struct sj_attach_options *options,
                       struct sj_space *space)
{
    int error = sj_lock_open_private(&moving);
    if (error != SJ_OK) {
        close(fd);
        return error;
    }
    space->lock = moving;
    error = sj_segment_open_private(fd, path, options->uuid, options->writable, &space->segment);
    if (error != SJ_OK) {
        close_moving();
        return error;
    }
    sj_lock_on_recover(space->lock, recover, lose, space);
    add(space, options);
    return SJ_OK;
}

int sj_space_attach_file(int fd, const char *path, const struct sj_attach_options *options,
                         struct sj_space **attached)
{
    struct sj_super super;
    uint64_t which;
    struct sj_space *space = calloc(1, sizeof *space);
    int error =
        space == NULL ? sj_error(SJ_ENOMEM, "%s", path) : sj_super_read(fd, path, &super, &which);
    if (error != SJ_OK) {
        close(fd);
        free(space);
        return error;
    }
    sj_holds_pause();
    pthread_mutex_lock(&attaching);
    error = sj_park_claim(super.base, super.reserved, &options->wait);
    if (error == SJ_OK) {
        error = attach_file(fd, path, options, space);
        sj_park_release();
    } else {
        close(fd);
    }
    pthread_mutex_unlock(&attaching);
    sj_holds_return(&options->wait);
    if (error == SJ_OK)
        *attached = space;
    else
        free(space);
    return error;
}

int sj_space_attach(const char *segment_path, const char *lock_path,
                    const struct sj_attach_options *options, struct sj_space **attached)
{
    pthread_once(&fork_once, register_fork);
    if (options->is_private)
        return sj_space_attach_private(segment_path, lock_path, options, attached);
    sj_holds_pause(); /* who has the mutex may wait for the addresses that this thread uses */
    pthread_mutex_lock(&attaching);
    int error = attach(segment_path, lock_path, options, attached);
    pthread_mutex_unlock(&attaching);
    sj_holds_return(&options->wait);
    return error;
}

void sj_space_share(struct sj_space *space)
{
    pthread_mutex_lock(&attaching);
    space->references++;
    pthread_mutex_unlock(&attaching);
}

/* Out of the table, and closed; it is at home, and claimed. */
static int close_space(struct sj_space *space)
{
    sj_mmu_on_detach(space);
    pthread_mutex_lock(&table);
    struct sj_space **link = &spaces;
    while (*link != space)
        link = &(*link)->next;
    *link = space->next;
    moving = space->lock;
    sj_park_removed(space);
    pthread_mutex_unlock(&table);
    sj_lock_on_recover(space->lock, NULL, NULL, NULL); /* the segment goes first */
    int error = sj_segment_close(space->segment, sj_lock_last(space->lock));
    close_moving();
    free(space);
    return error;
}

/* The last reference goes; with `attaching`. Its log may have to be rolled back, at its addresses:
 * it comes home for that. */
static int detach(struct sj_space *space, const struct sj_wait *wait)
{
    if (sj_lock_inside(space->lock) || (space->lock->lost && sj_holds_any(space)) ||
        sj_wal_is_awaited(space->segment))
        return sj_error(SJ_EBUSY, "a thread of this process is inside of '%s'",
                        space->segment->name);
    if (sj_views_count(space) > 0)
        return sj_error(SJ_EBUSY, "live views of '%s': drop them first", space->segment->name);
    int error = sj_park_claim_home(space, wait);
    if (error == SJ_OK || sj_segment_is_damaged(space->segment)) { /* nothing to be rolled back */
        error = close_space(space);
        sj_park_release();
    }
    return error;
}

int sj_space_detach(struct sj_space *space, const struct sj_wait *wait)
{
    int error = SJ_OK;
    sj_holds_pause();
    pthread_mutex_lock(&attaching);
    if (space->references > 1)
        space->references--;
    else
        error = detach(space, wait);
    pthread_mutex_unlock(&attaching);
    sj_holds_return(wait);
    return error;
}

uint32_t sj_space_forks(void)
{
    return forks;
}

bool sj_space_nth(size_t index, char name[SJ_NAME_MAX + 1], uint64_t *base, uint64_t *reserved)
{
    pthread_mutex_lock(&table);
    struct sj_space *space = spaces;
    while (space != NULL && index-- > 0)
        space = space->next;
    if (space != NULL) {
        memcpy(name, space->segment->name, SJ_NAME_MAX + 1);
        *base = (uint64_t)(uintptr_t)space->segment->base;
        *reserved = space->segment->reserved;
    }
    pthread_mutex_unlock(&table);
    return space != NULL;
}

void sj_space_watch(bool watched)
{
    pthread_mutex_lock(&table);
    watchers += watched ? 1u : -1u;
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        sj_touch_watch(space->segment, watchers > 0);
    pthread_mutex_unlock(&table);
}

void sj_space_each(void (*visit)(struct sj_space *space, void *context), void *context)
{
    pthread_mutex_lock(&table);
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        visit(space, context);
    pthread_mutex_unlock(&table);
}

void sj_space_give_slot(uint64_t serial, struct sj_lock_slot *slot)
{
    pthread_mutex_lock(&table);
    for (struct sj_space *space = spaces; space != NULL; space = space->next)
        if (space->lock->serial == serial)
            sj_lock_give_slot(space->lock, slot);
    pthread_mutex_unlock(&table);
}
