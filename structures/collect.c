// SPDX-License-Identifier: Apache-2.0
/*
 * collect.c: a census, and the end of all blocks that nobody has.
 */
#include "structures/collect.h"

#include "persistence/tx.h"

static int keep_all(struct sj_census *census, const struct sj_collect_options *options)
{
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < options->kept_count; i++)
        error = sj_census_keep(census, options->kept[i].head, options->kept[i].serial);
    return error;
}

int sj_collect(struct sj_segment *segment, const struct sj_collect_options *options,
               struct sj_census_report *report)
{
    struct sj_census census = {.segment = segment,
                               .progress = options->progress,
                               .context = options->context,
                               .report = report};
    *report = (struct sj_census_report){0};
    if (segment->tx.depth > 0 || segment->tx.in_op)
        return sj_error(SJ_EINVAL,
                        "'%s': what a transaction has made may have no reference yet: collect "
                        "outside of it",
                        segment->name);
    int error = sj_census_begin(&census);
    if (error == SJ_OK)
        error = keep_all(&census, options);
    if (error == SJ_OK)
        error = sj_census_take(&census);
    if (error == SJ_OK)
        error = sj_census_sweep(&census);
    sj_census_end(&census);
    return error;
}
