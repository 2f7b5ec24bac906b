// SPDX-License-Identifier: Apache-2.0
/* settings.c: what users set of a segment (settings.h has the contract). */
#include "persistence/settings.h"

#include <errno.h>
#include <sys/mman.h>

/* Newer than some C libraries' headers. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static bool has(const struct sj_segment *segment, uint64_t setting)
{
    return (segment->root_page->settings & setting) != 0;
}

void sj_settings_get(const struct sj_segment *segment, struct sj_settings *settings)
{
    settings->growth_limit = segment->root_page->growth_limit;
    settings->page_bytes = has(segment, SJ_SETTING_HUGE) ? SJ_PAGE_HUGE : SJ_PAGE;
    settings->lockable = !has(segment, SJ_SETTING_NOT_LOCKABLE);
    settings->prefault = has(segment, SJ_SETTING_PREFAULT);
}

/*
 * Makes huge pages of what the file has: on tmpfs that works whatever is set for the machine. A
 * page that cannot be had now stays small. Whether the filesystem has such pages. Persistent memory
 * maps them by itself.
 */
static bool make_huge(const struct sj_segment *segment)
{
    if (segment->wal == NULL && segment->domain->durability == SJ_DURABILITY_POWER)
        return true;
    return madvise(segment->base, sj_segment_committed(segment), MADV_COLLAPSE) == 0 ||
           errno != EINVAL;
}

void sj_settings_follow(struct sj_segment *segment)
{
    segment->lockable = !has(segment, SJ_SETTING_NOT_LOCKABLE);
    if (has(segment, SJ_SETTING_HUGE))
        (void)make_huge(segment);
    if (has(segment, SJ_SETTING_PREFAULT))
        madvise(segment->base, sj_segment_committed(segment), MADV_POPULATE_READ);
}

int sj_settings_put(struct sj_segment *segment, const struct sj_settings *settings)
{
    struct sj_root_page *root_page = segment->root_page;
    uint64_t bits = (settings->lockable ? 0 : SJ_SETTING_NOT_LOCKABLE) |
                    (settings->prefault ? SJ_SETTING_PREFAULT : 0) |
                    (settings->page_bytes == SJ_PAGE_HUGE ? SJ_SETTING_HUGE : 0);
    if (settings->growth_limit % SJ_PAGE != 0 || settings->growth_limit > segment->reserved)
        return sj_error(SJ_EINVAL,
                        "'%s': growth limit: expected whole pages of %llu bytes, at most the "
                        "reserve of %llu, found %llu",
                        segment->name, SJ_PAGE, (unsigned long long)segment->reserved,
                        (unsigned long long)settings->growth_limit);
    if (settings->page_bytes != SJ_PAGE && settings->page_bytes != SJ_PAGE_HUGE)
        return sj_error(SJ_EINVAL, "'%s': page size: expected %llu or %llu bytes, found %llu",
                        segment->name, SJ_PAGE, SJ_PAGE_HUGE,
                        (unsigned long long)settings->page_bytes);
    if (settings->page_bytes == SJ_PAGE_HUGE && !make_huge(segment))
        return sj_error(SJ_EUNSUPPORTED,
                        "'%s': huge pages: the filesystem of its home has none; tmpfs and "
                        "persistent memory do",
                        segment->name);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_tx_word(segment, &root_page->growth_limit, settings->growth_limit);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &root_page->settings, bits);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    error = sj_tx_op_commit(segment);
    if (error == SJ_OK)
        sj_settings_follow(segment);
    return error;
}
