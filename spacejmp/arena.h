// SPDX-License-Identifier: Apache-2.0
/*
 * arena.h: the address arena: where segments lie, and where a new one finds its place.
 *
 * A new segment gets one of the free slots that are aligned to its own size, rounded up to a power
 * of two. Which one is decided by a seed, so that segments of different homes rarely want the same
 * addresses; aligned slots leave no gaps that nothing fits into. When no such slot is free, the
 * first gap that is large enough is taken.
 */
#ifndef SJ_SPACEJMP_ARENA_H
#define SJ_SPACEJMP_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/error.h"

#define SJ_RESERVE_DEFAULT (64ull << 30)

struct sj_extent {
    uint64_t base;
    uint64_t reserved;
};

/* Chooses a base for a new segment that overlaps none of `extents`, which may overlap each other,
 * and are sorted by this. 0: no gap is large enough. O(n log n). */
SJ_API uint64_t sj_arena_place(struct sj_extent *extents, size_t count, uint64_t reserved,
                               uint64_t seed);

#endif
