// SPDX-License-Identifier: Apache-2.0
/* arena.c: where a new segment finds its place (arena.h has the rule). */
#include "spacejmp/arena.h"

#include <stdbool.h>
#include <stdlib.h>

#include "persistence/segment.h"

/* Gives the free ranges of the arena one by one, ascending. */
struct gaps {
    const struct sj_extent *extents;
    size_t count, next;
    uint64_t reached; /* all before it was given, or is taken */
    uint64_t start, end;
};

static bool next_gap(struct gaps *gaps)
{
    while (gaps->reached < SJ_ARENA_END) {
        bool last = gaps->next == gaps->count;
        uint64_t base = last ? SJ_ARENA_END : gaps->extents[gaps->next].base;
        uint64_t end = last ? SJ_ARENA_END : base + gaps->extents[gaps->next].reserved;
        gaps->start = gaps->reached;
        gaps->end = base < SJ_ARENA_END ? base : SJ_ARENA_END;
        gaps->next += !last;
        if (end > gaps->reached)
            gaps->reached = end;
        if (gaps->end > gaps->start)
            return true;
    }
    return false;
}

static int by_base(const void *a, const void *b)
{
    uint64_t first = ((const struct sj_extent *)a)->base;
    uint64_t second = ((const struct sj_extent *)b)->base;
    return (first > second) - (first < second);
}

/* How many slots of `step` bytes a gap has, for something of `reserved` bytes; `*first` is the
 * first of them. */
static uint64_t slots_in(const struct gaps *gaps, uint64_t step, uint64_t reserved, uint64_t *first)
{
    *first = (gaps->start + step - 1) / step * step;
    if (*first + reserved > gaps->end)
        return 0;
    return (gaps->end - reserved - *first) / step + 1;
}

uint64_t sj_arena_place(struct sj_extent *extents, size_t count, uint64_t reserved, uint64_t seed)
{
    uint64_t step = 1, slots = 0, first, any = 0;
    while (step < reserved)
        step *= 2;
    if (count > 0)
        qsort(extents, count, sizeof *extents, by_base);
    const struct gaps all = {extents, count, 0, SJ_ARENA_FIRST, 0, 0};
    for (struct gaps gaps = all; next_gap(&gaps);) {
        slots += slots_in(&gaps, step, reserved, &first);
        if (any == 0 && gaps.end - gaps.start >= reserved)
            any = gaps.start;
    }
    if (slots == 0)
        return any;
    uint64_t index = seed % slots;
    for (struct gaps gaps = all; next_gap(&gaps);) {
        uint64_t here = slots_in(&gaps, step, reserved, &first);
        if (index < here)
            return first + index * step;
        index -= here;
    }
    return any;
}
