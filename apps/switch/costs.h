// SPDX-License-Identifier: Apache-2.0
/*
 * costs.h: what it costs to switch, in loops without a word of Python: ours, and by other means.
 *
 * Each loop does so many switches and says how long all of them took (CPU time of the thread; for
 * hand-overs, wall time), and in ticks of the time stamp counter (0 where there is none that a
 * program may read). A switch ends with a load from what was switched to.
 */
#ifndef SJ_APPS_SWITCH_COSTS_H
#define SJ_APPS_SWITCH_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/vas.h"

#define COSTS_SPACES_MAX 64u /* as many as a thread can be inside of */

struct costs {
    uint64_t switches; /* to be done */
    int64_t ns;
    uint64_t ticks;
};

enum costs_how {
    COSTS_READ = 0,  /* the lock is taken for reading */
    COSTS_WRITE = 1, /* for writing */
    COSTS_HELD = 2,  /* the thread has all the locks already; of 63 spaces at the most */
};

/* Out of one space and into the next, in turn. With one space: out of it and in again. Errors of
 * sj_enter_write and sj_leave. */
int costs_spaces(struct sj_space *const *spaces, uint32_t count, enum costs_how how,
                 struct costs *costs);

/* A switch into all of them at once, and out again: what a VAS of so many lockable segments takes.
 * Spaces in ascending base order. */
int costs_together(struct sj_space *const *spaces, uint32_t count, enum costs_how how,
                   struct costs *costs);

/* Out of one VAS and into the next (sj_vas_switch), in turn; with one of them: to the initial space
 * and back. Errors of sj_vas_switch. */
int costs_vases(struct sj_vas *const *vases, uint32_t count, struct costs *costs);

/* Two files in turn are mapped, `bytes` of them, at the same place; `refault`: and each page is
 * touched. SJ_ENOMEM. */
int costs_maps(const int fd[2], uint64_t bytes, bool refault, struct costs *costs);

/* Two files are mapped; a switch takes the rights to one away and gives those to the other. */
int costs_rights(const int fd[2], uint64_t bytes, struct costs *costs);

/* To another process and back: two switches. `together`: both on one CPU, else on two. SJ_EIO. */
int costs_futex(bool together, struct costs *costs);
int costs_pipe(bool together, struct costs *costs);

/* Touches `bytes` bytes at `at`, which lie in the space. Errors of sj_enter_write. */
int costs_touch(struct sj_space *space, void *at, uint64_t bytes);

#endif
