// SPDX-License-Identifier: Apache-2.0
/*
 * gups.h: HPCC RandomAccess over windows, in the designs of SpaceJMP's Fig. 8.
 *
 * A window is a table of 2^n words, T[i] = i at first. A set of updates goes to one window, the
 * next one to a random other window:
 *
 *   x = x << 1 ^ (top bit of x ? 7 : 0)        the next number of HPCC's stream
 *   T[x mod 2^n] ^= x                          an update
 *
 * The numbers of a set are pending in memory that is there whatever the window is (the heap
 * segment), before they are applied.
 *
 *   course    which updates go to which windows: follows from (seed, windows, updates of a set)
 *   design    how the program gets from window to window
 *   turn      some sets of a course, done by one design, and timed
 *
 * An update undoes itself. So a turn is verified as HPCC does it: its part of the course is done
 * once more, through a flat mapping, and then every word that is not its own index is an error.
 *
 * With one window nothing is switched, in no design.
 *
 * El Hajj et al., SpaceJMP, ASPLOS 2016, §5.2. Luszczek et al., HPC Challenge, 2005: RandomAccess.
 */
#ifndef SJ_APPS_GUPS_GUPS_H
#define SJ_APPS_GUPS_GUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/vas.h"

#define GUPS_WINDOWS_MAX 1024u
#define GUPS_UPDATES_MAX 1024u /* HPCC lets a process look so many ahead */

struct gups_course {
    uint64_t number; /* of the stream: the last one that was drawn */
    uint64_t choice; /* what the choice of windows depends on */
    uint64_t mask;   /* words of a window, less one */
    uint32_t window; /* where the next set goes */
    uint32_t windows;
    uint32_t updates; /* of a set */
    uint64_t sets;    /* that are done */
};

struct gups_window {
    struct sj_vas *vas;     /* of the window's segment and the heap, where the design needs it */
    struct sj_space *space; /* of that segment */
    uint64_t *table;        /* in it; for MAP: where the window is mapped */
    uint64_t *flat;         /* the same words in the flat mapping */
    uint64_t offset;        /* of the table in the file */
    int fd;
};

/* How long a turn takes, and what it took. */
struct gups_turn {
    uint64_t sets_max;
    int64_t ns_max;
    int64_t begun; /* by the clock on the wall */
    int64_t ns;
    int64_t cpu_ns; /* of all its processes */
};

/* Where the stream is after that many numbers, from 1 (HPCC_starts). */
uint64_t gups_stream_at(uint64_t count);

void gups_course_begin(struct gups_course *course, uint64_t seed, uint32_t windows,
                       uint32_t updates, uint64_t words);

/* The numbers of the next set. */
static inline void gups_draw(struct gups_course *course, uint64_t *pending)
{
    uint64_t number = course->number;
    for (uint32_t i = 0; i < course->updates; i++) {
        number = number << 1 ^ ((int64_t)number < 0 ? 7 : 0);
        pending[i] = number;
    }
    course->number = number;
}

/* The set is done: the next one goes to another window, each of them as likely (xorshift64). */
static inline void gups_go_on(struct gups_course *course)
{
    uint64_t choice = course->choice;
    course->sets++;
    if (course->windows == 1)
        return;
    choice ^= choice << 13;
    choice ^= choice >> 7;
    choice ^= choice << 17;
    course->choice = choice;
    uint32_t others = course->windows - 1;
    uint32_t next = course->window + 1 + (uint32_t)((choice >> 32) * others >> 32);
    course->window = next < course->windows ? next : next - course->windows;
}

static inline void gups_apply(uint64_t *table, uint64_t mask, const uint64_t *pending,
                              uint32_t updates)
{
    for (uint32_t i = 0; i < updates; i++)
        table[pending[i] & mask] ^= pending[i];
}

int64_t gups_now_ns(void);

void gups_turn_begin(struct gups_turn *turn);
void gups_turn_end(struct gups_turn *turn);

/* Whether the turn is over; looks at the clock now and then only. */
static inline bool gups_is_over(const struct gups_turn *turn, uint64_t sets)
{
    return sets >= turn->sets_max ||
           (sets % 16 == 0 && gups_now_ns() - turn->begun >= turn->ns_max);
}

/*
 * A turn of each design. `pending` has room for 2048 numbers: of sets of up to 64 updates, 128 are
 * drawn ahead (at most 8 sets), else one set; and where a window is mapped already (flat, and
 * SpaceJMP with all at home) its words are prefetched. The course is
 * where the turn has come to, also after a failure: SJ_EBUSY and what else sj_vas_switch may say;
 * SJ_ENOMEM.
 */
int gups_run_flat(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                  struct gups_turn *turn);
/* SpaceJMP: each window a segment in a VAS of its own; they overlap or they do not. */
int gups_run_vases(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                   struct gups_turn *turn);
/* MAP: the window's file is mapped at table - offset, over the one before, at each switch. */
int gups_run_maps(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                  struct gups_turn *turn);

#endif
