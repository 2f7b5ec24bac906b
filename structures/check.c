// SPDX-License-Identifier: Apache-2.0
/*
 * check.c: who has which block.
 *
 * One bit for each 16 bytes of the file. The structures set the bit of every block they have (twice
 * is damage: two owners); then the heap is asked for the blocks in use: one without a bit is a
 * leak, and a bit that no block in use has is damage (an owner of free memory).
 */
#include "structures/check.h"

#include <stdlib.h>

#include "persistence/roots.h"
#include "structures/btree.h"
#include "structures/hashmap.h"

struct census {
    const struct sj_segment *segment;
    struct sj_check_report *report;
    uint64_t *owned;
    uint64_t granules;
    uint64_t found; /* owned blocks that the heap has in use */
};

static uint64_t granule_of(const struct census *census, uint64_t block)
{
    return (block - (uint64_t)(uintptr_t)census->segment->base) / 16;
}

static int own(void *context, uint64_t block, uint64_t bytes)
{
    struct census *census = context;
    uint64_t granule = granule_of(census, block);
    if (granule >= census->granules || block % 16 != 0)
        return sj_segment_damaged(census->segment, block, "a block");
    uint64_t *word = &census->owned[granule / 64], bit = 1ull << granule % 64;
    if ((*word & bit) != 0)
        return sj_segment_damaged(census->segment, block, "a block that one structure alone has");
    *word |= bit;
    census->report->blocks++;
    (void)bytes;
    return SJ_OK;
}

static int compare(void *context, uint64_t block, uint64_t bytes)
{
    struct census *census = context;
    uint64_t granule = granule_of(census, block);
    if ((census->owned[granule / 64] >> granule % 64 & 1) != 0) {
        census->found++;
        census->report->bytes += bytes;
    } else {
        census->report->leaked_blocks++;
        census->report->leaked_bytes += bytes;
    }
    return SJ_OK;
}

static int check_structure(struct census *census, struct sj_segment *segment,
                           const struct sj_root *root)
{
    struct sj_btree tree;
    struct sj_hashmap map;
    int error;
    switch (root->type) {
    case SJ_KIND_BTREE:
        error = sj_btree_open(segment, root->pointer, &tree);
        if (error == SJ_OK)
            error = sj_btree_check(&tree, own, census);
        if (error == SJ_OK)
            census->report->items += sj_btree_count(&tree);
        return error;
    case SJ_KIND_HASHMAP:
        error = sj_hashmap_open(segment, root->pointer, &map);
        if (error == SJ_OK)
            error = sj_hashmap_check(&map, own, census);
        if (error == SJ_OK)
            census->report->items += sj_hashmap_count(&map);
        return error;
    default:
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)root, "a root of a known type");
    }
}

static int check_roots(struct census *census, struct sj_segment *segment)
{
    struct sj_root *root = NULL;
    for (;;) {
        int error = sj_root_next(segment, root, &root);
        if (error != SJ_OK)
            return error;
        if (root == NULL)
            break;
        error = own(census, (uint64_t)(uintptr_t)root, 0);
        if (error == SJ_OK)
            error = check_structure(census, segment, root);
        if (error != SJ_OK)
            return error;
        census->report->structures++;
    }
    if (census->report->structures == segment->root_page->root_count)
        return SJ_OK;
    return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&segment->root_page->root_count,
                              "the number of roots");
}

int sj_check(struct sj_segment *segment, struct sj_check_report *report)
{
    struct census census = {.segment = segment, .report = report};
    census.granules = sj_segment_committed(segment) / 16;
    census.owned = calloc(census.granules / 64 + 1, sizeof *census.owned);
    *report = (struct sj_check_report){0};
    if (census.owned == NULL)
        return sj_error(SJ_ENOMEM, "checking '%s'", segment->name);
    int error = sj_heap_check(segment, NULL, NULL);
    if (error == SJ_OK)
        error = check_roots(&census, segment);
    if (error == SJ_OK)
        error = sj_heap_check(segment, compare, &census);
    if (error == SJ_OK && census.found != report->blocks)
        error = sj_error(SJ_ECORRUPT, "segment '%s': %llu blocks that structures have are free",
                         segment->name, (unsigned long long)(report->blocks - census.found));
    free(census.owned);
    return error;
}
