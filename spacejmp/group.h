// SPDX-License-Identifier: Apache-2.0
/*
 * group.h: a transaction over several spaces, with their write holds (persistence/tx_group.h has
 * the transaction itself).
 *
 * The locks are taken in ascending order of the bases, so that two threads that want the same
 * spaces in different orders never wait for each other. A thread that is inside of one of them for
 * writing already has broken that order for those below it: for them it does not wait.
 *
 * While a segment's part is committed or undone the thread enters that space once more, so that it
 * is at home: spaces of a group may have the same addresses (park.h).
 *
 *   states   idle → sj_group_begin → (operations, nested holds) → commit | abort → idle
 */
#ifndef SJ_SPACEJMP_GROUP_H
#define SJ_SPACEJMP_GROUP_H

#include "persistence/tx_group.h"
#include "spacejmp/hold.h"

/* All of it is the functions' own. It stays where it is from begin to commit or abort. */
struct sj_group {
    struct sj_tx_group tx;
    struct sj_space *space[SJ_TX_GROUP_MAX]; /* ascending bases; the last one is current */
    struct sj_space *visited;                /* entered once more; NULL: none */
};

/*
 * Enters all spaces for writing and begins a transaction over them; one that is there twice counts
 * once. `wait` is for each lock; NULL: SJ_EBUSY at once. Errors of sj_enter_write and
 * sj_tx_group_begin; after one of them the thread is where it was. SJ_EBUSY also when a lock would
 * have to be waited for out of order.
 */
SJ_API int sj_group_begin(struct sj_group *group, struct sj_space *const *spaces, uint32_t count,
                          const struct sj_wait *wait);

/*
 * Commits all, and leaves. SJ_ENOHOLD: what was entered inside has not been left, and nothing has
 * happened. Errors of sj_tx_group_commit and sj_leave; the spaces are left all the same. A space
 * that is current again need not be at home: sj_return waits for that.
 */
SJ_API int sj_group_commit(struct sj_group *group);

/* Undoes all, and leaves. Errors as sj_group_commit, but for those of the commit itself. */
SJ_API int sj_group_abort(struct sj_group *group);

#endif
