// SPDX-License-Identifier: Apache-2.0
/*
 * check.c: who has which block.
 *
 * The checksums of pages come first: they find damage wherever it is. Then the census, one bit for
 * each 16 bytes of the file. The structures set the bit of every block they have (twice is damage:
 * two owners); then the heap is asked for the blocks in use: one without a bit is a leak, unless it
 * is the user's own (persistence/user.h), and a bit that no block in use has is damage (an owner of
 * free memory).
 *
 * The repair believes the census alone: it frees leaks and makes checksums anew when all of it was
 * in order. So a page whose checksum did not fit is taken for good as it is: nothing but its
 * checksum tells whether a value in it is the one that was stored.
 */
#include "structures/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "persistence/describe.h"
#include "persistence/roots.h"
#include "persistence/sums.h"
#include "persistence/user.h"
#include "persistence/wal.h"
#include "structures/btree.h"
#include "structures/check_owners.h"
#include "structures/hashmap.h"

#define PROGRESS_BYTES (4ull << 20)
#define OWNERS_MAX     16 /* findings of a repair whose owners are looked for: that takes long */

struct census {
    struct sj_segment *segment;
    const struct sj_check_options *options;
    struct sj_check_report *report;
    uint64_t *owned;
    uint64_t granules;
    uint64_t found; /* owned blocks that the heap has in use */
    uint64_t done;  /* bytes, of the progress */
    uint64_t told;  /* of those, when it was last told */
    uint64_t total;
    uint64_t *damaged; /* pages that the repair has to accept; grown by doubling */
    uint64_t damaged_count;
};

static int advance(struct census *census, uint64_t bytes)
{
    const struct sj_check_options *options = census->options;
    census->done += bytes;
    if (options->progress == NULL || census->done - census->told < PROGRESS_BYTES)
        return SJ_OK;
    census->told = census->done;
    uint64_t done = census->done < census->total ? census->done : census->total;
    if (options->progress(options->context, done, census->total) == 0)
        return SJ_OK;
    return sj_error(SJ_EINTR, "checking '%s' was interrupted", census->segment->name);
}

/* ------------------------------------------------------------------ checksums */

/* What a finding says, with all that is known of its place. */
static void tell(const struct census *census, const struct sj_sums_finding *finding, bool owners,
                 char *text, size_t bytes)
{
    char object[160], of[120] = "";
    if (finding->offset == SJ_SUMS_NOWHERE) {
        snprintf(text, bytes, "%s", finding->text);
        return;
    }
    sj_segment_describe(census->segment, finding->offset, object, sizeof object);
    if (owners)
        sj_check_owners(census->segment, finding->offset, of, sizeof of);
    snprintf(text, bytes, "offset 0x%llx, %s%s: %s", (unsigned long long)finding->offset, object,
             of, finding->text);
}

static int accept(struct census *census, const struct sj_sums_finding *finding)
{
    char text[600];
    uint64_t count = census->damaged_count;
    if ((count & (count - 1)) == 0) {
        uint64_t *grown = realloc(census->damaged, (count == 0 ? 1 : 2 * count) * sizeof *grown);
        if (grown == NULL)
            return sj_error(SJ_ENOMEM, "checking '%s'", census->segment->name);
        census->damaged = grown;
    }
    census->damaged[census->damaged_count++] = finding->offset;
    tell(census, finding, count < OWNERS_MAX, text, sizeof text);
    if (census->options->accepted != NULL)
        census->options->accepted(census->options->context, text);
    return SJ_OK;
}

static int on_finding(void *context, const struct sj_sums_finding *finding)
{
    struct census *census = context;
    char text[600];
    if (census->options->repair)
        return accept(census, finding);
    tell(census, finding, true, text, sizeof text);
    return sj_error(SJ_ECORRUPT, "segment '%s': %s: %s; a repair takes the pages as they are",
                    census->segment->name, text,
                    finding->offset == SJ_SUMS_NOWHERE
                        ? "without that file the store is what it was"
                        : "restore a copy, or save what is readable");
}

static int on_progress(void *context, uint64_t pages)
{
    struct census *census = context;
    return advance(census, pages * SJ_PAGE - census->done);
}

static int check_sums(struct census *census)
{
    struct sj_sums_verify verify = {
        .found = on_finding, .progress = on_progress, .context = census};
    census->total = 2 * sj_segment_committed(census->segment);
    int error = sj_segment_sums_verify(census->segment, &verify);
    census->report->verified_pages = verify.verified;
    census->report->unverified_pages = verify.unverified;
    census->done = sj_segment_committed(census->segment);
    return error;
}

/* ------------------------------------------------------------------ the census */

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
    return advance(census, bytes);
}

static bool is_owned(const struct census *census, uint64_t block)
{
    uint64_t granule = granule_of(census, block);
    return (census->owned[granule / 64] >> granule % 64 & 1) != 0;
}

static int compare(void *context, uint64_t block, uint64_t bytes)
{
    struct census *census = context;
    if (is_owned(census, block)) {
        census->found++;
        census->report->bytes += bytes;
    } else if (sj_user_has(census->segment, block, bytes)) {
        census->found++;
        census->report->blocks++;
        census->report->bytes += bytes;
    } else {
        census->report->leaked_blocks++;
        census->report->leaked_bytes += bytes;
    }
    return SJ_OK;
}

int sj_check_structure(struct sj_segment *segment, const struct sj_root *root, sj_heap_visit *visit,
                       void *context, uint64_t *items)
{
    struct sj_btree tree;
    struct sj_hashmap map;
    int error;
    switch (root->type) {
    case SJ_KIND_BTREE:
        error = sj_btree_open(segment, root->pointer, &tree);
        if (error == SJ_OK)
            error = sj_btree_check(&tree, visit, context);
        if (error == SJ_OK)
            *items = sj_btree_count(&tree);
        return error;
    case SJ_KIND_HASHMAP:
        error = sj_hashmap_open(segment, root->pointer, &map);
        if (error == SJ_OK)
            error = sj_hashmap_check(&map, visit, context);
        if (error == SJ_OK)
            *items = sj_hashmap_count(&map);
        return error;
    case SJ_KIND_POINTER:
        *items = 0;
        if (root->pointer == 0 || sj_segment_spans(segment, root->pointer, 1))
            return SJ_OK;
        return sj_segment_damaged(segment, root->pointer, "an address of the segment");
    default:
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)root, "a root of a known type");
    }
}

static int check_roots(struct census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_root *root = NULL;
    for (;;) {
        uint64_t items;
        int error = sj_root_next(segment, root, &root);
        if (error != SJ_OK)
            return error;
        if (root == NULL)
            break;
        error = own(census, (uint64_t)(uintptr_t)root, 0);
        if (error == SJ_OK)
            error = sj_check_structure(segment, root, own, census, &items);
        if (error != SJ_OK)
            return error;
        census->report->items += items;
        census->report->structures++;
    }
    if (census->report->structures == segment->root_page->root_count)
        return SJ_OK;
    return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&segment->root_page->root_count,
                              "the number of roots");
}

static int check_blocks(struct census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_check_report *report = census->report;
    struct sj_heap_stats stats;
    int error = sj_heap_stats(segment, &stats);
    if (error != SJ_OK)
        return error;
    census->total = census->done + stats.live_bytes;
    error = check_roots(census);
    if (error == SJ_OK)
        error = sj_heap_check(segment, compare, census);
    if (error == SJ_OK && census->found != report->blocks)
        error = sj_error(SJ_ECORRUPT, "segment '%s': %llu blocks that structures have are free",
                         segment->name, (unsigned long long)(report->blocks - census->found));
    return error;
}

/* ------------------------------------------------------------------ repair */

static int free_leak(void *context, uint64_t block, uint64_t bytes)
{
    struct census *census = context;
    if (is_owned(census, block) || sj_user_has(census->segment, block, bytes))
        return SJ_OK;
    census->report->freed_blocks++;
    census->report->freed_bytes += bytes;
    return sj_heap_free(census->segment, block);
}

/* Frees are carried out by the commit: the heap does not change while it is walked. */
static int free_leaks(struct census *census)
{
    struct sj_segment *segment = census->segment;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_heap_check(segment, free_leak, census);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

static int repair(struct census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_check_report *report = census->report;
    int error = SJ_OK;
    /* Writes the superblock that does not count, and finds the checksums or makes new ones. */
    if (segment->domain->sums &&
        (census->damaged_count > 0 || (report->unverified_pages > 0 && !segment->dirty)))
        error = sj_segment_mark_dirty(segment);
    else if (segment->wal != NULL && census->damaged_count > 0)
        error = sj_wal_sums_accept(segment, census->damaged, census->damaged_count);
    if (error == SJ_OK && report->leaked_blocks > 0)
        error = free_leaks(census);
    if (error != SJ_OK)
        return error;
    report->leaked_blocks -= report->freed_blocks;
    report->leaked_bytes -= report->freed_bytes;
    for (uint64_t i = 0; i < census->damaged_count; i++)
        if (census->damaged[i] != SJ_SUMS_NOWHERE)
            sj_sums_mark(segment, segment->base + census->damaged[i], SJ_PAGE);
    return sj_segment_sync(segment);
}

int sj_check_with(struct sj_segment *segment, const struct sj_check_options *options,
                  struct sj_check_report *report)
{
    struct census census = {.segment = segment, .options = options, .report = report};
    *report = (struct sj_check_report){0};
    if (options->repair && (segment->tx.depth > 0 || segment->tx.in_op))
        return sj_error(SJ_EINVAL,
                        "'%s': a repair is a transaction of its own: end the one that is open",
                        segment->name);
    census.granules = sj_segment_committed(segment) / 16;
    census.owned = calloc(census.granules / 64 + 1, sizeof *census.owned);
    if (census.owned == NULL)
        return sj_error(SJ_ENOMEM, "checking '%s'", segment->name);
    int error = check_sums(&census);
    if (error == SJ_OK)
        error = check_blocks(&census);
    if (error == SJ_OK && options->repair)
        error = repair(&census);
    free(census.owned);
    free(census.damaged);
    return error;
}

int sj_check(struct sj_segment *segment, struct sj_check_report *report)
{
    return sj_check_with(segment, &(struct sj_check_options){.repair = false}, report);
}
