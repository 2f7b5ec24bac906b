// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_lock.h: the lock of the catalog: lock/catalog.lock, by flock(2).
 *
 * Its holder is alone among all threads of all processes. The kernel frees it when its holder dies.
 * The file is never removed by us; a holder finds out when somebody else has, and takes the new
 * one. The child of a fork closes what its parent's other threads have, which would keep their
 * locks.
 */
#ifndef SJ_SPACEJMP_CATALOG_LOCK_H
#define SJ_SPACEJMP_CATALOG_LOCK_H

#include "spacejmp/wait.h"

struct sj_catalog_lock {
    int fd; /* -1: not held */
    struct sj_catalog_lock *next;
};

/* Makes the directories of the home where they are missing, and takes the lock. SJ_EBUSY, SJ_EINTR
 * and the errors of sj_home_make. `lock` stays where it is until it is given back. */
int sj_catalog_lock(const char *home, const struct sj_wait *wait, struct sj_catalog_lock *lock);
void sj_catalog_unlock(struct sj_catalog_lock *lock);

#endif
