// SPDX-License-Identifier: Apache-2.0
/*
 * census.c: mark and compare.
 *
 * The structures set the bit of every block they have (twice is damage: two owners); then the heap
 * is asked for the blocks in use: one without a bit is a leak, unless it is the user's own
 * (persistence/user.h), and a bit that no block in use has is damage (an owner of free memory).
 *
 *   root ─────→ structure ─ reference ─→ structure ─→ …      `pending` has those to be visited
 *
 * I1  A structure is pending at most once: its bit in `known` is set when it becomes that.
 * I2  Only a structure that says it is shared may be led to more than once.
 *
 * Cost: reads all that is in use; two bits for each 16 bytes of the file.
 */
#include "structures/census.h"

#include <stdlib.h>

#include "persistence/log.h"
#include "persistence/tx.h"
#include "persistence/user.h"

#define PROGRESS_BYTES (4ull << 20)

int sj_census_begin(struct sj_census *census)
{
    census->granules = sj_segment_committed(census->segment) / 16;
    census->owned = calloc(census->granules / 64 + 1, sizeof *census->owned);
    census->known = calloc(census->granules / 64 + 1, sizeof *census->known);
    if (census->owned != NULL && census->known != NULL)
        return SJ_OK;
    sj_census_end(census);
    return sj_error(SJ_ENOMEM, "checking '%s'", census->segment->name);
}

void sj_census_end(struct sj_census *census)
{
    free(census->owned);
    free(census->known);
    free(census->pending);
    census->owned = census->known = census->pending = NULL;
}

int sj_census_advance(struct sj_census *census, uint64_t bytes)
{
    census->done += bytes;
    if (census->progress == NULL || census->done - census->told < PROGRESS_BYTES)
        return SJ_OK;
    census->told = census->done;
    uint64_t done = census->done < census->total ? census->done : census->total;
    if (census->progress(census->context, done, census->total) == 0)
        return SJ_OK;
    return sj_error(SJ_EINTR, "checking '%s' was interrupted", census->segment->name);
}

/* ------------------------------------------------------------------ bits */

static uint64_t granule_of(const struct sj_census *census, uint64_t block)
{
    return (block - (uint64_t)(uintptr_t)census->segment->base) / 16;
}

static bool get(const uint64_t *bits, uint64_t granule)
{
    return (bits[granule / 64] >> granule % 64 & 1) != 0;
}

static void set(uint64_t *bits, uint64_t granule)
{
    bits[granule / 64] |= 1ull << granule % 64;
}

static int own(void *context, uint64_t block, uint64_t bytes)
{
    struct sj_census *census = context;
    uint64_t granule = granule_of(census, block);
    if (granule >= census->granules || block % 16 != 0)
        return sj_segment_damaged(census->segment, block, "a block");
    if (get(census->owned, granule))
        return sj_segment_damaged(census->segment, block, "a block that one structure alone has");
    set(census->owned, granule);
    census->report->blocks++;
    return sj_census_advance(census, bytes);
}

static bool is_owned(const struct sj_census *census, uint64_t block)
{
    return get(census->owned, granule_of(census, block));
}

/* ------------------------------------------------------------------ structures */

static int push(struct sj_census *census, uint64_t head)
{
    if (census->pending_count == census->pending_room) {
        uint64_t room = census->pending_room == 0 ? 64 : 2 * census->pending_room;
        uint64_t *grown = realloc(census->pending, room * sizeof *grown);
        if (grown == NULL)
            return sj_error(SJ_ENOMEM, "checking '%s'", census->segment->name);
        census->pending = grown;
        census->pending_room = room;
    }
    census->pending[census->pending_count++] = head;
    set(census->known, granule_of(census, head));
    return SJ_OK;
}

/* Something leads to the structure there. */
static int found(struct sj_census *census, uint64_t head, const struct sj_structure_info *info)
{
    if (!get(census->known, granule_of(census, head)))
        return push(census, head);
    if (info->shared)
        return SJ_OK;
    return sj_segment_damaged(census->segment, head, "a structure that one root alone leads to");
}

int sj_census_keep(struct sj_census *census, uint64_t head, uint32_t serial)
{
    struct sj_structure_info info;
    int error = sj_structure_look(census->segment, head, serial, &info);
    if (error == SJ_OK && !get(census->known, granule_of(census, head)))
        return push(census, head);
    return error == SJ_ENOTFOUND ? SJ_OK : error;
}

static int on_reference(void *context, uint64_t head, uint32_t serial)
{
    struct sj_census *census = context;
    struct sj_structure_info info;
    int error = sj_structure_look(census->segment, head, serial, &info);
    if (error == SJ_ENOTFOUND || (error == SJ_OK && !info.shared))
        return sj_segment_damaged(census->segment, head, "a structure that is referred to");
    return error == SJ_OK ? found(census, head, &info) : error;
}

static int visit_one(struct sj_census *census, uint64_t head)
{
    struct sj_structure_info info;
    int error = sj_structure_look(census->segment, head, 0, &info);
    if (error == SJ_OK)
        error = sj_structure_type_of(info.kind)->check(census->segment, head, own, census);
    if (error == SJ_OK)
        error = sj_structure_references(census->segment, head, on_reference, census);
    if (error != SJ_OK)
        return error;
    census->report->structures += info.kind != SJ_KIND_RECORD_TYPE; /* which nobody has made */
    census->report->items += info.count;
    return SJ_OK;
}

static int visit_all(struct sj_census *census)
{
    int error = SJ_OK;
    while (error == SJ_OK && census->pending_count > 0)
        error = visit_one(census, census->pending[--census->pending_count]);
    return error;
}

/* ------------------------------------------------------------------ roots */

static bool goes_with(uint8_t codec, uint8_t root_codec)
{
    return codec == SJ_CODEC_NONE || codec == root_codec;
}

/* The structure that a root leads to. */
static int look(struct sj_segment *segment, const struct sj_root *root,
                struct sj_structure_info *info)
{
    if (sj_structure_type_of(root->type) == NULL)
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)root, "a root of a known type");
    int error = sj_structure_look(segment, root->pointer, 0, info);
    if (error == SJ_ENOTFOUND)
        return sj_segment_damaged(segment, root->pointer, "the head of a structure");
    if (error != SJ_OK)
        return error;
    if (info->kind == root->type && goes_with(info->codecs.key, root->key_codec) &&
        goes_with(info->codecs.value, root->value_codec))
        return SJ_OK;
    return sj_segment_damaged(segment, root->pointer, "a structure as its root says it is");
}

static int check_pointer(struct sj_segment *segment, const struct sj_root *root)
{
    if (root->pointer == 0 || sj_segment_spans(segment, root->pointer, 1))
        return SJ_OK;
    return sj_segment_damaged(segment, root->pointer, "an address of the segment");
}

int sj_census_root(struct sj_segment *segment, const struct sj_root *root, sj_heap_visit *each,
                   void *context)
{
    struct sj_structure_info info;
    if (root->type == SJ_KIND_POINTER)
        return check_pointer(segment, root);
    int error = look(segment, root, &info);
    if (error != SJ_OK)
        return error;
    return sj_structure_type_of(info.kind)->check(segment, root->pointer, each, context);
}

struct measuring {
    const struct sj_segment *segment;
    struct sj_usage *usage;
};

static int measure(void *context, uint64_t block, uint64_t bytes)
{
    const struct measuring *measuring = context;
    (void)bytes;
    measuring->usage->blocks++;
    measuring->usage->bytes += sj_heap_usable(measuring->segment, block);
    return SJ_OK;
}

int sj_census_usage(struct sj_segment *segment, const struct sj_root *root, struct sj_usage *usage)
{
    struct measuring measuring = {segment, usage};
    struct sj_structure_info info;
    *usage = (struct sj_usage){0};
    if (root->type == SJ_KIND_POINTER)
        return SJ_OK;
    int error = look(segment, root, &info);
    if (error != SJ_OK)
        return error;
    usage->items = info.count;
    return sj_structure_type_of(info.kind)->check(segment, root->pointer, measure, &measuring);
}

static int begin_at_root(struct sj_census *census, const struct sj_root *root)
{
    struct sj_structure_info info;
    int error = own(census, (uint64_t)(uintptr_t)root, 0);
    if (error != SJ_OK)
        return error;
    if (root->type == SJ_KIND_POINTER)
        return check_pointer(census->segment, root);
    error = look(census->segment, root, &info);
    return error == SJ_OK ? found(census, root->pointer, &info) : error;
}

static int visit_roots(struct sj_census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_root *root = NULL;
    uint64_t roots = 0;
    for (;;) {
        int error = sj_root_next(segment, root, &root);
        if (error != SJ_OK)
            return error;
        if (root == NULL)
            break;
        error = begin_at_root(census, root);
        if (error == SJ_OK)
            error = visit_all(census);
        if (error != SJ_OK)
            return error;
        census->report->structures += root->type == SJ_KIND_POINTER;
        roots++;
    }
    if (roots == segment->root_page->root_count)
        return visit_all(census); /* those that are kept, when there is no root */
    return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&segment->root_page->root_count,
                              "the number of roots");
}

/* ------------------------------------------------------------------ the heap */

static int compare(void *context, uint64_t block, uint64_t bytes)
{
    struct sj_census *census = context;
    struct sj_census_report *report = census->report;
    bool owned = is_owned(census, block);
    if (!owned && !sj_user_has(census->segment, block, bytes)) {
        report->leaked_blocks++;
        report->leaked_bytes += bytes;
        return SJ_OK;
    }
    census->found++;
    report->blocks += !owned;
    report->bytes += bytes;
    return SJ_OK;
}

int sj_census_take(struct sj_census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_heap_stats stats;
    int error = sj_heap_stats(segment, &stats);
    if (error != SJ_OK)
        return error;
    census->total = census->done + stats.live_bytes;
    error = visit_roots(census);
    if (error == SJ_OK)
        error = sj_heap_check(segment, compare, census);
    if (error == SJ_OK && census->found != census->report->blocks)
        error =
            sj_error(SJ_ECORRUPT, "segment '%s': %llu blocks that structures have are free",
                     segment->name, (unsigned long long)(census->report->blocks - census->found));
    return error;
}

static int free_leak(void *context, uint64_t block, uint64_t bytes)
{
    struct sj_census *census = context;
    if (is_owned(census, block) || sj_user_has(census->segment, block, bytes))
        return SJ_OK;
    if (census->viewed && sj_segment_is_viewed(census->segment, block, bytes, false))
        return SJ_OK; /* nothing leads to it but an array of somebody */
    census->report->freed_blocks++;
    census->report->freed_bytes += bytes;
    return sj_heap_free(census->segment, block);
}

/* Frees are carried out by the commit: the heap does not change while it is walked. */
int sj_census_sweep(struct sj_census *census)
{
    struct sj_segment *segment = census->segment;
    struct sj_census_report *report = census->report;
    if (report->leaked_blocks == 0)
        return SJ_OK;
    census->viewed =
        sj_segment_is_viewed(segment, (uint64_t)(uintptr_t)segment->base, segment->reserved, false);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    sj_log_note_removal(segment); /* a structure may be among them */
    error = sj_heap_check(segment, free_leak, census);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    error = sj_tx_op_commit(segment);
    if (error != SJ_OK)
        return error;
    report->leaked_blocks -= report->freed_blocks;
    report->leaked_bytes -= report->freed_bytes;
    return SJ_OK;
}
