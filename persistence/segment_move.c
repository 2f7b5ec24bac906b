// SPDX-License-Identifier: Apache-2.0
/*
 * segment_move.c: a segment's page tables from one range of addresses to another.
 *
 * mremap moves them without touching a page: whole subtrees where both ranges begin at a multiple
 * of what a subtree covers. It would replace what is mapped at the target, so that is reserved
 * before, by a mapping that fails if anything is there.
 *
 * What comes home leaves its mapping behind where it was, without a page (MREMAP_DONTUNMAP, on
 * shared mappings since Linux 5.13). That keeps the place for the next time, and spares reserving
 * it: 3 of 12 µs for a move out and one in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "persistence/guard.h"
#include "persistence/loss.h"
#include "persistence/segment.h"

#ifndef MREMAP_DONTUNMAP /* of Linux 5.7, later than some headers */
#define MREMAP_DONTUNMAP 4
#endif

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

static bool move_part(uint64_t from, uint64_t to, uint64_t bytes, int flags)
{
    void *source = (void *)(uintptr_t)from, *target = (void *)(uintptr_t)to;
    flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
    return bytes == 0 || mremap(source, bytes, bytes, flags, target) != MAP_FAILED;
}

/* The kernel moves one mapping at a time: a private segment has two, file and memory alone, as long
 * as it is not frozen. */
static bool move(const struct sj_segment *segment, uint64_t to, int flags)
{
    uint64_t from = segment->mapped_at, all = segment->reserved;
    uint64_t first = segment->is_private ? segment->own_from : all;
    if (!move_part(from, to, first, flags))
        return false;
    if (move_part(from + first, to + first, all - first, flags))
        return true;
    int why = errno;
    SJ_ASSERT(move_part(to, from, first, 0));
    errno = why;
    return false;
}

/* With the target reserved or vacant; after a failure it is vacant. */
static int move_plainly(struct sj_segment *segment, uint64_t to)
{
    if (move(segment, to, 0))
        return SJ_OK;
    int error = sj_segment_failed(segment->name, "mremap");
    munmap((void *)(uintptr_t)to, segment->reserved);
    return error;
}

/* Moves it home, and leaves an empty mapping behind if the kernel can. */
static int move_home(struct sj_segment *segment, uint64_t to)
{
    if (segment->never_leaves || segment->is_private)
        return move_plainly(segment, to);
    if (move(segment, to, MREMAP_DONTUNMAP)) {
        segment->left_at = segment->mapped_at;
        return SJ_OK;
    }
    segment->never_leaves = true;
    munmap((void *)(uintptr_t)to, segment->reserved); /* some kernels have done it already */
    int error = reserve(segment, to);
    return error == SJ_OK ? move_plainly(segment, to) : error;
}

/* What is left of a segment that has lost pages lies in several mappings, which do not move
 * together, and counts for nothing (loss.h, L2): it is zeros where it goes. */
static int move_lost(struct sj_segment *segment, uint64_t to)
{
    if (!sj_guard_zero(to, segment->reserved)) {
        int error = sj_segment_failed(segment->name, "mmap");
        munmap((void *)(uintptr_t)to, segment->reserved);
        return error;
    }
    munmap((void *)(uintptr_t)segment->mapped_at, segment->reserved);
    segment->backed = 0;
    segment->frozen = true;
    return SJ_OK;
}

int sj_segment_move(struct sj_segment *segment, uint64_t to, bool vacant)
{
    bool home = to == (uint64_t)(uintptr_t)segment->base;
    bool lost = sj_segment_is_damaged(segment) && segment->lost_at != SJ_LOST_FORK; /* has all */
    if (lost && home)
        return sj_segment_lost(segment);
    bool is_ours = segment->left_at == to;
    if (!is_ours)
        sj_segment_unreserve(segment);
    int error = vacant || is_ours ? SJ_OK : reserve(segment, to);
    if (error != SJ_OK)
        return error;
    segment->left_at = 0; /* what is mapped at the target goes, also when the move fails */
    error = lost   ? move_lost(segment, to)
            : home ? move_home(segment, to)
                   : move_plainly(segment, to);
    if (error != SJ_OK)
        return error;
    segment->mapped_at = to;
    sj_guard_move(segment->guard, (void *)(uintptr_t)to);
    return SJ_OK;
}

void sj_segment_unreserve(struct sj_segment *segment)
{
    if (segment->left_at != 0)
        munmap((void *)(uintptr_t)segment->left_at, segment->reserved);
    segment->left_at = 0;
}
