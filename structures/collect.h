// SPDX-License-Identifier: Apache-2.0
/*
 * collect.h: the garbage collector: frees what nothing leads to.
 *
 * Typed mark and sweep from the roots, under the caller's write hold: structures know where their
 * references are, so nothing is taken for one by chance. Memory of users (persistence/user.h) is
 * theirs, and stays.
 */
#ifndef SJ_STRUCTURES_COLLECT_H
#define SJ_STRUCTURES_COLLECT_H

#include "structures/census.h"

/* A structure that somebody uses in memory. */
struct sj_kept {
    uint64_t head;
    uint32_t serial;
};

struct sj_collect_options {
    const struct sj_kept *kept; /* are as roots, if they are still there */
    uint64_t kept_count;
    sj_census_progress *progress; /* or NULL */
    void *context;
};

/*
 * One atomic operation, outside of a transaction (SJ_EINVAL). SJ_ECORRUPT, SJ_EINTR, SJ_ENOMEM,
 * SJ_EFULL: nothing is freed.
 *
 * Cost: reads all that is in use, once; two bits in memory for each 16 bytes of the file.
 */
SJ_API int sj_collect(struct sj_segment *segment, const struct sj_collect_options *options,
                      struct sj_census_report *report);

#endif
