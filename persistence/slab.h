// SPDX-License-Identifier: Apache-2.0
/*
 * slab.h: size classes, and where a slab's blocks are. Used by heap.c and heap_check.c.
 */
#ifndef SJ_PERSISTENCE_SLAB_H
#define SJ_PERSISTENCE_SLAB_H

#include "persistence/pages.h"

/* The class of a block of 1 ≤ bytes ≤ SJ_CLASS_MAX. */
static inline uint32_t sj_class_of(uint64_t bytes)
{
    if (bytes <= 256)
        return (uint32_t)((bytes + 15) / 16) - (bytes != 0);
    uint64_t last = bytes - 1;
    uint32_t doubling = 63 - (uint32_t)__builtin_clzll(last);
    return 16 + (doubling - 8) * 4 + (uint32_t)(last >> (doubling - 2) & 3);
}

static inline uint64_t sj_class_bytes(uint32_t size_class)
{
    if (size_class < 16)
        return 16 * (size_class + 1);
    uint32_t doubling = (size_class - 16) / 4;
    return (uint64_t)(5 + (size_class - 16) % 4) << (6 + doubling);
}

static inline uint64_t sj_class_pages(uint32_t size_class)
{
    uint64_t bytes = sj_class_bytes(size_class);
    return bytes <= 128 ? 1 : bytes <= 1024 ? 4 : 16;
}

static inline uint32_t sj_class_blocks(uint32_t size_class)
{
    return (uint32_t)((sj_class_pages(size_class) * SJ_PAGE - sizeof(struct sj_slab)) /
                      sj_class_bytes(size_class));
}

/* The bits of bitmap word `word` that stand for no block: always set. */
static inline uint64_t sj_slab_beyond(uint32_t blocks, uint32_t word)
{
    if (blocks >= 64 * (word + 1))
        return 0;
    return blocks <= 64 * word ? UINT64_MAX : UINT64_MAX << (blocks - 64 * word);
}

/* Whether the words of a slab's bitmap, as read, say that all (none) of its blocks are in use. */
static inline bool sj_slab_is_full(const uint64_t used[4])
{
    return (used[0] & used[1] & used[2] & used[3]) == UINT64_MAX;
}

static inline bool sj_slab_is_empty(const struct sj_slab *slab, const uint64_t used[4])
{
    for (uint32_t word = 0; word < 4; word++)
        if (used[word] != sj_slab_beyond(slab->blocks, word))
            return false;
    return true;
}

/* The slab at an address read from media, or NULL: range, alignment, magic, class and capacity. */
static inline struct sj_slab *sj_slab_at(const struct sj_segment *segment, uint64_t at)
{
    if ((at & (SJ_PAGE - 1)) != 0 ||
        (!sj_segment_holds_block(segment, at, SJ_PAGE) && !sj_touch_page(segment, at, SJ_PAGE)))
        return NULL;
    struct sj_slab *slab = (struct sj_slab *)(uintptr_t)at;
    if (slab->magic != SJ_SLAB_MAGIC || slab->size_class >= SJ_CLASSES ||
        slab->blocks != sj_class_blocks(slab->size_class))
        return NULL;
    return sj_segment_holds(segment, at, sj_class_pages(slab->size_class) * SJ_PAGE) ? slab : NULL;
}

/* Finds the slab that `block` is a block of: the run's slab and the block's number in it.
 * SJ_ECORRUPT. */
int sj_slab_find(const struct sj_segment *segment, const struct sj_page_run *run, uint64_t block,
                 struct sj_slab **slab, uint32_t *number);

#endif
