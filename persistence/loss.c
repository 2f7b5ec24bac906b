// SPDX-License-Identifier: Apache-2.0
/*
 * loss.c: freezing a segment whose file has lost bytes (loss.h has the fault model).
 *
 *   file      | pages that are there      |                   (cut here)
 *   before    | shared ……………………………………………………………………………………………| reserved, nothing behind it …
 *   frozen    | private, copied on a store | zeros, private …………………………………………………………………………|
 *
 * Both are put in place by one system call each, which other threads see whole. Freezing twice, by
 * two threads that are hit at once, loses what was stored to the copy, which does not count anyway.
 *
 * When a page is lost after that, the same again for what is left; when the file says that it has
 * the page (its storage cannot be read), for that page alone.
 */
#include "persistence/loss.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "persistence/guard.h"
#include "persistence/wal.h"

void sj_segment_set_damaged(struct sj_segment *segment, uint64_t at)
{
    if (!sj_segment_is_damaged(segment))
        segment->lost_at = at;
    segment->writable = false;
    __atomic_store_n(&segment->damaged, true, __ATOMIC_SEQ_CST);
}

bool sj_segment_freeze(struct sj_segment *segment, uint64_t at)
{
    uint64_t base = (uint64_t)(uintptr_t)segment->base;
    sj_segment_set_damaged(segment, at);
    if (segment->mapped_at != base)
        return true; /* its addresses are another one's, and nobody uses it */
    uint64_t end = segment->frozen ? segment->backed : segment->reserved;
    uint64_t backed = sj_guard_backed(segment->fd, end);
    if (!segment->frozen && !sj_guard_copy(base, backed, segment->fd))
        return false;
    if (!sj_guard_zero(base + backed, end - backed))
        return false;
    segment->backed = backed;
    segment->frozen = true;
    return at - base >= backed || sj_guard_zero_page(at);
}

static bool lost(void *owner, uint64_t at)
{
    return sj_segment_freeze(owner, at);
}

int sj_segment_guard(struct sj_segment *segment)
{
    const void *at = (const void *)(uintptr_t)segment->mapped_at;
    int error = sj_guard_add(at, segment->reserved, lost, segment);
    segment->guard = error == SJ_OK ? sj_guard_find(at) : NULL;
    return error;
}

void sj_segment_unguard(struct sj_segment *segment)
{
    segment->guard = NULL;
    sj_guard_remove((const void *)(uintptr_t)segment->mapped_at);
}

int sj_segment_check_backing(struct sj_segment *segment)
{
    struct stat status;
    if (fstat(segment->fd, &status) != 0)
        return sj_error(SJ_EIO, "'%s': fstat: %s", segment->name, strerror(errno));
    uint64_t committed = segment->is_private ? segment->own_from : sj_segment_committed(segment);
    uint64_t size = (uint64_t)status.st_size;
    if (sj_segment_is_damaged(segment))
        return sj_segment_lost(segment);
    if (size >= committed)
        return SJ_OK;
    sj_segment_freeze(segment, (uint64_t)(uintptr_t)segment->base + size);
    return sj_segment_lost(segment);
}

int sj_segment_lost(const struct sj_segment *segment)
{
    if (segment->lost_at == SJ_LOST_LOCK)
        return sj_error(SJ_EDAMAGED,
                        "'%s': its lock file was cut short, or cannot be read, so nobody knows any "
                        "more who is inside: close the store in all processes and open it again",
                        segment->name);
    if (segment->lost_at == SJ_LOST_OUTCOME)
        return sj_error(SJ_EDAMAGED,
                        "'%s': this process could not carry a transaction over several stores to "
                        "its end here; the next one that comes in does: close the store and open "
                        "it again",
                        segment->name);
    if (segment->lost_at == SJ_LOST_FORK)
        return sj_error(SJ_EDAMAGED,
                        "'%s': is attached privately, and another thread was changing it when this "
                        "process was forked: open it here, or fork while nobody is inside",
                        segment->name);
    if (segment->wal != NULL)
        return sj_error(SJ_EDAMAGED,
                        "'%s': its working image %s was cut short, or cannot be read; what was "
                        "acknowledged is in its log: close the store in all processes and open it "
                        "again",
                        segment->name, segment->wal->image_path);
    return sj_error(SJ_EDAMAGED,
                    "'%s': the file was cut short, or cannot be read, at offset 0x%llx; what was "
                    "acknowledged before is in what is left of it: close the store in all "
                    "processes, and restore the file from a copy",
                    segment->name,
                    (unsigned long long)(segment->lost_at - (uint64_t)(uintptr_t)segment->base));
}
