// SPDX-License-Identifier: Apache-2.0
/* pin.c: pages that keep page tables (pin.h). */
#include "spacejmp/pin.h"

#include <sys/mman.h>

#include "persistence/segment.h"

#define SLOT  (512 * SJ_GIB)
#define FIRST (SJ_ARENA_FIRST / SLOT)
#define SLOTS (SJ_ARENA_END / SLOT - FIRST)

static uint64_t pins[SLOTS]; /* where each 512 GiB of the arena have theirs; 0: nowhere */

static void *map(uint64_t at)
{
    return mmap((void *)(uintptr_t)at, SJ_PAGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

void sj_pin_keep(uint64_t first, uint64_t end)
{
    uint64_t slot = first / SLOT;
    if (slot < FIRST || slot >= FIRST + SLOTS || pins[slot - FIRST] != 0)
        return;
    uint64_t last_page = (slot + 1) * SLOT - SJ_PAGE;
    uint64_t at = end <= last_page ? last_page : slot * SLOT;
    if (at >= first && at < end)
        return;
    void *got = map(at);
    if (got == (void *)(uintptr_t)at)
        pins[slot - FIRST] = at;
    else if (got != MAP_FAILED) /* a kernel that takes the address for a hint */
        munmap(got, SJ_PAGE);
}

void sj_pin_clear(uint64_t first, uint64_t end)
{
    for (uint64_t slot = first / SLOT; slot <= (end - 1) / SLOT; slot++) {
        if (slot < FIRST || slot >= FIRST + SLOTS)
            continue;
        uint64_t *at = &pins[slot - FIRST];
        if (*at < first || *at >= end)
            continue;
        munmap((void *)(uintptr_t)*at, SJ_PAGE);
        *at = 0;
    }
}
