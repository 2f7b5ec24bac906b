// SPDX-License-Identifier: Apache-2.0
/*
 * reach.h: what a thread inside of a VAS can reach: spaces that are at home together. (For vas.c
 * and the holds.)
 *
 * A reach never changes. It belongs to a layout of its VAS, which keeps the spaces attached.
 */
#ifndef SJ_SPACEJMP_REACH_H
#define SJ_SPACEJMP_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spacejmp/space.h"

struct sj_vas;

struct sj_reach_part {
    struct sj_space *space;
    uint8_t mode;   /* enum sj_hold_mode: how its lock is taken; SJ_HOLD_NONE: it is not */
    uint8_t rights; /* SJ_RIGHT_… */
};

struct sj_reach {
    struct sj_vas *vas;
    const void *layout;
    uint32_t window;
    uint32_t count;
    struct sj_reach_part part[]; /* in ascending base order; no two overlap */
};

/* Whether it has the space. */
static inline bool sj_reach_has(const struct sj_reach *reach, const struct sj_space *space)
{
    for (uint32_t i = 0; i < reach->count; i++)
        if (reach->part[i].space == space)
            return true;
    return false;
}

/*
 * Enters a reach, above what the thread is in; `switched`: by a switch. Its layout is announced
 * (sj_reach_visit). SJ_EUPGRADE, SJ_EREADONLY, SJ_EINVAL (nested too deeply), SJ_EBUSY, SJ_EINTR
 * and those of sj_park_home: then nothing was entered, and what the thread was in need not be at
 * home.
 */
int sj_reach_enter(const struct sj_reach *reach, bool switched, const struct sj_wait *wait);

/* Leaves the reach that the thread has entered last. Errors of sj_leave. */
int sj_reach_leave(void);

/* The same, and what its VAS wants done afterwards (vas.c): moves aside what is strict, frees what
 * is not current any more. */
int sj_reach_leave_whole(const struct sj_reach *reach);

/* The innermost reach that the thread is in; NULL: none. */
const struct sj_reach *sj_reach_current(void);
/* The same when it was entered last. `*switched`: by a switch, and once. */
const struct sj_reach *sj_reach_top(bool *switched);
/* The reach whose addresses the thread uses; NULL: those of a space, or none. */
const struct sj_reach *sj_reach_in_use(void);
/* Whether the thread is inside of anything. */
bool sj_reach_is_inside(void);

/* Announces that the calling thread is going to look at `*layout`, and returns it; NULL when the
 * thread's state could not be made. It is not freed before sj_reach_end_visit (T1). */
const void *sj_reach_visit(void *const *layout);
/* What was announced last. */
const void *sj_reach_visited(void);
void sj_reach_end_visit(void);
/* The layout of a reach that the thread is in is not freed when it leaves that, but after
 * sj_reach_keep(NULL). */
void sj_reach_keep(const void *layout);

/* Whether a thread looks at the layout, whose reaches all lie in its `bytes` bytes, or is in one of
 * them. None can come to it any more. */
bool sj_reach_is_used(const void *layout, size_t bytes);

#endif
