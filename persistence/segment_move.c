// SPDX-License-Identifier: Apache-2.0
/*
 * segment_move.c: a segment's page tables from one range of addresses to another.
 *
 * mremap moves them without touching a page: whole subtrees where both ranges begin at a multiple
 * of what a subtree covers. It would replace what is mapped at the target, so that is reserved
 * before, by a mapping that fails if anything is there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "persistence/loss.h"
#include "persistence/segment.h"

int sj_segment_taken(const char *path, uint64_t base, uint64_t bytes)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], occupant[400] = "an unknown mapping";
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long first, end;
        int name_at = 0;
        if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %n", &first, &end, &name_at) < 2)
            continue;
        if (first < base + bytes && end > base) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(occupant, sizeof occupant, "%.390s", line[name_at] ? line + name_at : line);
            break;
        }
    }
    if (maps != NULL)
        fclose(maps);
    return sj_error(SJ_EADDRESS,
                    "%s needs the addresses 0x%llx–0x%llx, which are taken by %s: detach that "
                    "first, or make the store with another base=",
                    path, (unsigned long long)base, (unsigned long long)(base + bytes), occupant);
}

static int reserve(const struct sj_segment *segment, uint64_t at)
{
    void *want = (void *)(uintptr_t)at;
    void *got = mmap(want, segment->reserved, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == want)
        return SJ_OK;
    if (got != MAP_FAILED) { /* a kernel that takes the address for a hint */
        munmap(got, segment->reserved);
        errno = EEXIST;
    }
    return errno == EEXIST ? sj_segment_taken(segment->name, at, segment->reserved)
                           : sj_segment_failed(segment->name, "mmap");
}

static bool move_part(uint64_t from, uint64_t to, uint64_t bytes)
{
    void *source = (void *)(uintptr_t)from, *target = (void *)(uintptr_t)to;
    return bytes == 0 ||
           mremap(source, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) != MAP_FAILED;
}

/* The kernel moves one mapping at a time: a private segment has two, file and memory alone, as long
 * as it is not frozen. */
static bool move_all(const struct sj_segment *segment, uint64_t to)
{
    uint64_t from = segment->mapped_at, all = segment->reserved;
    uint64_t first = segment->is_private ? segment->own_from : all;
    if (!move_part(from, to, first))
        return false;
    if (move_part(from + first, to + first, all - first))
        return true;
    int why = errno;
    SJ_ASSERT(move_part(to, from, first));
    errno = why;
    return false;
}

int sj_segment_move(struct sj_segment *segment, uint64_t to, bool vacant)
{
    void *target = (void *)(uintptr_t)to;
    uint64_t bytes = segment->reserved;
    if (sj_segment_is_damaged(segment) && segment->lost_at != SJ_LOST_FORK) /* that has its pages */
        return sj_segment_lost(segment);
    int error = vacant ? SJ_OK : reserve(segment, to);
    if (error != SJ_OK)
        return error;
    sj_segment_unguard(segment);
    if (move_all(segment, to)) {
        segment->mapped_at = to;
    } else {
        error = sj_segment_failed(segment->name, "mremap");
        if (!vacant)
            munmap(target, bytes);
    }
    int guarded = sj_segment_guard(segment);
    return error == SJ_OK ? guarded : error;
}
