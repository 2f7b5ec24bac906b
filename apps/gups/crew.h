// SPDX-License-Identifier: Apache-2.0
/*
 * crew.h: the peer of Fig. 8, a process for each window (MP), as fast as shared memory lets it be.
 *
 * The caller draws the updates and has window 0; a child process has each of the others, and maps
 * nothing else. A set goes into the ring of its window, and the caller waits until it is applied,
 * or, `ahead`, until no more than HPCC's 1024 updates are on their way.
 *
 *   ring     posted ── caller adds 1 when a set is in ──→  worker applies  ── done += 1 ──→ caller
 *
 *   I1  done ≤ posted, and posted - done ≤ the sets that the ring has room for.
 *   I2  The words of slot (n mod slots) are the caller's while done + slots > n ≥ posted, else the
 *       worker's: `posted` and `done` are stored after them (release) and loaded before (acquire).
 *   I3  Who sleeps says so in a word (`asleep`), fences, and looks again; who stores `posted` or
 *       `done` fences, and looks at that word. So no wake-up is lost.
 *   I4  `waiting` is QUIT before the last `posted` is stored, and is loaded after it: what is
 *       posted then is not taken for a set.
 *
 * How both sides wait, and where they run, is chosen for each turn; between turns workers sleep.
 * A worker ends with the caller's thread (PR_SET_PDEATHSIG); the death of a worker ends a turn.
 */
#ifndef SJ_APPS_GUPS_CREW_H
#define SJ_APPS_GUPS_CREW_H

#include "apps/gups/gups.h"

enum gups_waiting {
    GUPS_SLEEP = 0, /* futex */
    GUPS_DOZE = 1,  /* look for some microseconds, then futex */
    GUPS_YIELD = 2, /* sched_yield */
    GUPS_SPIN = 3,  /* pause */
};

struct gups_manner {
    enum gups_waiting waiting;
    bool together; /* all on one CPU; else the caller has one and the workers have the others */
    bool ahead;    /* go on before the set is applied */
};

struct gups_crew;

/*
 * Starts a child for each window but the first, which maps the window's file. For a process that
 * has nothing attached yet: children keep what they inherit open. `*crew` ends with
 * gups_crew_stop. SJ_ENOMEM, SJ_EIO: no child is left.
 */
int gups_crew_start(const struct gups_window *windows, uint32_t count, uint64_t words,
                    struct gups_crew **crew);
/* Ends the children, and waits for them. */
void gups_crew_stop(struct gups_crew *crew);

/* A turn of MP; the course's windows may be fewer than the crew's. Window 0 is done through
 * `first`, its table here. SJ_EIO: a worker has died, or is not done in ten seconds. */
int gups_run_crew(struct gups_course *course, struct gups_crew *crew, uint64_t *first,
                  const struct gups_manner *manner, struct gups_turn *turn);

/* The process of a window; -1: that is the caller, or none. */
int gups_crew_process(const struct gups_crew *crew, uint32_t window);

#endif
