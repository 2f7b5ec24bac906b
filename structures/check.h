// SPDX-License-Identifier: Apache-2.0
/*
 * check.h: the whole segment verified: checksums, heap, roots, every structure, and that each block
 * in use belongs to exactly one of them; and the repair of what can be repaired.
 */
#ifndef SJ_STRUCTURES_CHECK_H
#define SJ_STRUCTURES_CHECK_H

#include "structures/census.h"

struct sj_check_report {
    struct sj_census_report census;
    uint64_t verified_pages;   /* whose checksum fits */
    uint64_t unverified_pages; /* that have none that counts, or were accepted */
};

struct sj_check_options {
    bool repair;
    /* Called now and then with the bytes that are done and those that there are; nonzero ends the
     * check with SJ_EINTR. Or NULL. */
    sj_census_progress *progress;
    /* The repair is going to accept what the checksums say is damaged: one call for each. Or
     * NULL. */
    void (*accepted)(void *context, const char *what);
    void *context;
};

/*
 * Reads everything; the caller has a read hold. The first damage ends it: SJ_ECORRUPT with the
 * place, and `report` has what was found until then. Leaks are no damage. SJ_EINTR, SJ_ENOMEM.
 *
 * With `repair` the caller has a write hold and no transaction. When all but the checksums is
 * whole, leaks are freed in one transaction, and checksums are made anew of what the pages hold
 * now; else nothing is changed. SJ_EINVAL (in a transaction), SJ_EFULL, SJ_EIO.
 *
 * Cost: O(bytes of the file); two bits for 16 bytes of it in memory.
 */
SJ_API int sj_check_with(struct sj_segment *segment, const struct sj_check_options *options,
                         struct sj_check_report *report);

/* The same without options. */
SJ_API int sj_check(struct sj_segment *segment, struct sj_check_report *report);

#endif
