// SPDX-License-Identifier: Apache-2.0
/*
 * check.c: checksums, who has which block, and the repair.
 *
 * The checksums of pages come first: they find damage wherever it is. Then the census (census.h).
 *
 * The repair believes the census alone: it frees leaks and makes checksums anew when all of it was
 * in order. So a page whose checksum did not fit is taken for good as it is: nothing but its
 * checksum tells whether a value in it is the one that was stored.
 */
#include "structures/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "persistence/describe.h"
#include "persistence/sums.h"
#include "persistence/wal.h"
#include "structures/census.h"
#include "structures/check_owners.h"

#define OWNERS_MAX 16 /* findings of a repair whose owners are looked for: that takes long */

struct checking {
    struct sj_census census;
    const struct sj_check_options *options;
    struct sj_check_report *report;
    uint64_t *damaged; /* pages that the repair has to accept; grown by doubling */
    uint64_t damaged_count;
};

/* ------------------------------------------------------------------ checksums */

/* What a finding says, with all that is known of its place. */
static void tell(const struct checking *checking, const struct sj_sums_finding *finding,
                 bool owners, char *text, size_t bytes)
{
    char object[160], of[120] = "";
    if (finding->offset == SJ_SUMS_NOWHERE) {
        snprintf(text, bytes, "%s", finding->text);
        return;
    }
    sj_segment_describe(checking->census.segment, finding->offset, object, sizeof object);
    if (owners)
        sj_check_owners(checking->census.segment, finding->offset, of, sizeof of);
    snprintf(text, bytes, "offset 0x%llx, %s%s: %s", (unsigned long long)finding->offset, object,
             of, finding->text);
}

static int accept(struct checking *checking, const struct sj_sums_finding *finding)
{
    char text[600];
    uint64_t count = checking->damaged_count;
    if ((count & (count - 1)) == 0) {
        uint64_t *grown = realloc(checking->damaged, (count == 0 ? 1 : 2 * count) * sizeof *grown);
        if (grown == NULL)
            return sj_error(SJ_ENOMEM, "checking '%s'", checking->census.segment->name);
        checking->damaged = grown;
    }
    checking->damaged[checking->damaged_count++] = finding->offset;
    tell(checking, finding, count < OWNERS_MAX, text, sizeof text);
    if (checking->options->accepted != NULL)
        checking->options->accepted(checking->options->context, text);
    return SJ_OK;
}

static int on_finding(void *context, const struct sj_sums_finding *finding)
{
    struct checking *checking = context;
    char text[600];
    if (checking->options->repair)
        return accept(checking, finding);
    tell(checking, finding, true, text, sizeof text);
    return sj_error(SJ_ECORRUPT, "segment '%s': %s: %s; a repair takes the pages as they are",
                    checking->census.segment->name, text,
                    finding->offset == SJ_SUMS_NOWHERE
                        ? "without that file the store is what it was"
                        : "restore a copy, or save what is readable");
}

static int on_progress(void *context, uint64_t pages)
{
    struct checking *checking = context;
    return sj_census_advance(&checking->census, pages * SJ_PAGE - checking->census.done);
}

static int check_sums(struct checking *checking)
{
    struct sj_sums_verify verify = {
        .found = on_finding, .progress = on_progress, .context = checking};
    checking->census.total = 2 * sj_segment_committed(checking->census.segment);
    int error = sj_segment_sums_verify(checking->census.segment, &verify);
    checking->report->verified_pages = verify.verified;
    checking->report->unverified_pages = verify.unverified;
    checking->census.done = sj_segment_committed(checking->census.segment);
    return error;
}

/* ------------------------------------------------------------------ repair */

static int repair(struct checking *checking)
{
    struct sj_segment *segment = checking->census.segment;
    struct sj_check_report *report = checking->report;
    int error = SJ_OK;
    /* Writes the superblock that does not count, and finds the checksums or makes new ones. */
    if (segment->domain->sums &&
        (checking->damaged_count > 0 || (report->unverified_pages > 0 && !segment->dirty)))
        error = sj_segment_mark_dirty(segment);
    else if (segment->wal != NULL && checking->damaged_count > 0)
        error = sj_wal_sums_accept(segment, checking->damaged, checking->damaged_count);
    if (error == SJ_OK)
        error = sj_census_sweep(&checking->census);
    if (error != SJ_OK)
        return error;
    for (uint64_t i = 0; i < checking->damaged_count; i++)
        if (checking->damaged[i] != SJ_SUMS_NOWHERE)
            sj_sums_mark(segment, segment->base + checking->damaged[i], SJ_PAGE);
    return sj_segment_sync(segment);
}

int sj_check_with(struct sj_segment *segment, const struct sj_check_options *options,
                  struct sj_check_report *report)
{
    struct checking checking = {.options = options, .report = report};
    *report = (struct sj_check_report){0};
    checking.census = (struct sj_census){.segment = segment,
                                         .progress = options->progress,
                                         .context = options->context,
                                         .report = &report->census};
    if (options->repair && (segment->tx.depth > 0 || segment->tx.in_op))
        return sj_error(SJ_EINVAL,
                        "'%s': a repair is a transaction of its own: end the one that is open",
                        segment->name);
    int error = sj_census_begin(&checking.census);
    if (error == SJ_OK)
        error = check_sums(&checking);
    if (error == SJ_OK)
        error = sj_census_take(&checking.census);
    if (error == SJ_OK && options->repair)
        error = repair(&checking);
    sj_census_end(&checking.census);
    free(checking.damaged);
    return error;
}

int sj_check(struct sj_segment *segment, struct sj_check_report *report)
{
    return sj_check_with(segment, &(struct sj_check_options){.repair = false}, report);
}
