// SPDX-License-Identifier: Apache-2.0
/*
 * explore_run.h: crashing the operations of a world everywhere, and what becomes of the images.
 *
 *   operations ─ trace 0 ─→ image ─ recovery ─→ before? after?             depth 1
 *                             └─ recovery, two operations ─ trace 1 ─→ image ─ recovery ─→ … 2
 *
 * An image is loaded into the mapped segment by storing the words that differ, recovered there as
 * the next process to attach would, examined, and undone by the journal of stores. What need not be
 * examined again is known by sums: images that were seen before; recovered memory whose words in
 * use are those of the state before or after, bit for bit (explore_use.h); other contents that were
 * examined before.
 *
 * What must hold: recovery succeeds; heap, roots and structures are sound and no block is lost; the
 * contents are those before the operation or after it, and only after it once it was acknowledged.
 * A recovery that is crashed comes to the same contents as one that is not.
 */
#ifndef SJ_TESTS_EXPLORE_RUN_H
#define SJ_TESTS_EXPLORE_RUN_H

#include "explore_media.h"
#include "explore_world.h"

#define EXPLORE_DEPTH_MAX  3
#define EXPLORE_LENGTH_MAX 4 /* operations of a sequence */

/* How stores reach the media. */
struct explore_mode {
    const char *name;
    uint64_t granule; /* 0: a process dies; else the machine stops */
};

extern const struct explore_mode explore_modes[];
extern const uint32_t explore_modes_count;

struct explore_options {
    uint64_t seed;
    uint32_t depth;
    uint32_t length;      /* operations in a sequence, at most */
    uint64_t cap;         /* images of a look that are all tried */
    uint32_t random;      /* drawn ones beyond that */
    uint32_t looks;       /* fences to look at, in one operation */
    uint32_t deep;        /* images of a look that are gone on from, about */
    const char *sequence; /* "a,b,c": this one alone; NULL: all */
};

/* What all processes of a run have found, in memory that they share. */
struct explore_totals {
    uint64_t images; /* different ones that were recovered and examined */
    uint64_t
        examined; /* recovered contents that were not known: neither the state before nor after */
    uint64_t repeats; /* images that had been seen before */
    uint64_t deep;    /* images that were gone on from */
    uint64_t points;  /* moments at which images were taken: fences, ends of operations */
    uint64_t operations;
    uint64_t violations;
    uint64_t items; /* of the work list that are done */
    uint64_t next;  /* item of the work list */
};

extern struct explore_totals *explore_totals;

/* Crashes everything that begins with operation `first` of the world. */
void explore_world(const struct world *world, const struct explore_mode *mode,
                   const struct explore_options *options, uint32_t first);

/* A violation is also what ends a run by a signal, and an image that takes for ever. */
void explore_catch_signals(void);

#endif
