// SPDX-License-Identifier: Apache-2.0
/* views.c: which blocks of a segment somebody looks at (views.h has the rules I1 … I4). */
#include "spacejmp/views.h"

#include <stdlib.h>

#include "persistence/sums.h"
#include "spacejmp/hold.h"
#include "spacejmp/park.h"

static pthread_mutex_t entries = PTHREAD_MUTEX_INITIALIZER; /* guards those of all spaces */

static uint64_t offset_of(const struct sj_space *space, const struct sj_viewed *block)
{
    return block->at - (uint64_t)(uintptr_t)space->segment->base;
}

/* Whether this process has views of some of those bytes. */
static bool has_own(const struct sj_space *space, uint64_t at, uint64_t bytes, bool writable)
{
    bool has = false;
    pthread_mutex_lock(&entries);
    for (const struct sj_viewed *block = space->viewed; block != NULL && !has; block = block->next)
        has = (block->writable > 0 || !writable) && block->at < at + bytes &&
              at < block->at + block->bytes;
    pthread_mutex_unlock(&entries);
    return has;
}

static bool is_viewed(const struct sj_segment *segment, uint64_t at, uint64_t bytes, bool writable)
{
    const struct sj_space *space = segment->viewed_by;
    return has_own(space, at, bytes, writable) ||
           sj_lock_viewed(space->lock, writable, at - (uint64_t)(uintptr_t)segment->base, bytes);
}

bool sj_views_find(const struct sj_space *space, uint64_t at, uint64_t bytes,
                   struct sj_viewed *found)
{
    bool has = false;
    pthread_mutex_lock(&entries);
    for (const struct sj_viewed *block = space->viewed; block != NULL && !has;
         block = block->next) {
        has = at - block->at < block->bytes && bytes <= block->bytes - (at - block->at);
        if (has)
            *found = *block;
    }
    pthread_mutex_unlock(&entries);
    return has;
}

/* The entry of that block, a new one if need be, which nothing is locked for yet. */
static struct sj_viewed *entry_of(struct sj_space *space, uint64_t at, uint64_t bytes)
{
    struct sj_viewed *block = space->viewed;
    while (block != NULL && (block->at != at || block->bytes != bytes))
        block = block->next;
    if (block != NULL || (block = calloc(1, sizeof *block)) == NULL)
        return block;
    *block = (struct sj_viewed){.at = at, .bytes = bytes, .next = space->viewed};
    space->viewed = block;
    return block;
}

static void drop_entry(struct sj_space *space, struct sj_viewed *block)
{
    struct sj_viewed **link = &space->viewed;
    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    free(block);
}

/* One view less of each kind that was taken; the last one takes the lock with it. */
static void give_back(struct sj_space *space, struct sj_viewed *block, bool writable)
{
    uint64_t offset = offset_of(space, block);
    if (writable && --block->writable == 0)
        sj_lock_unview(space->lock, true, offset, block->bytes);
    if (--block->views > 0)
        return;
    sj_lock_unview(space->lock, false, offset, block->bytes);
    drop_entry(space, block);
}

static int take(struct sj_space *space, struct sj_viewed *block, bool writable)
{
    int error = SJ_OK;
    if (block->views == 0)
        error = sj_lock_view(space->lock, false, offset_of(space, block), block->bytes);
    if (error != SJ_OK) {
        drop_entry(space, block);
        return error;
    }
    block->views++;
    if (writable && block->writable == 0)
        error = sj_lock_view(space->lock, true, offset_of(space, block), block->bytes);
    if (error == SJ_OK)
        block->writable += writable;
    else
        give_back(space, block, false);
    return error;
}

static int begin(struct sj_space *space, uint64_t at, uint64_t bytes, bool writable,
                 struct sj_viewed **block)
{
    pthread_mutex_lock(&entries);
    int error = sj_park_keep(space);
    if (error == SJ_OK) {
        *block = entry_of(space, at, bytes);
        error = *block == NULL ? sj_error(SJ_ENOMEM, "a view of '%s'", space->segment->name)
                               : take(space, *block, writable);
        if (error != SJ_OK)
            sj_park_keep_no_more(space);
    }
    pthread_mutex_unlock(&entries);
    return error;
}

/* The segment is in use, and pages that are going to change have no checksums (I4). */
static int mark(struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    sj_sums_mark(segment, (void *)(uintptr_t)at, bytes);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

static int may_begin(const struct sj_space *space, uint64_t at, uint64_t bytes, bool writable)
{
    const struct sj_segment *segment = space->segment;
    enum sj_hold_mode mode = sj_hold_mode(space);
    if (mode == SJ_HOLD_NONE || (writable && mode != SJ_HOLD_WRITE))
        return sj_error(SJ_ENOHOLD, "a view of '%s' begins inside of a hold", segment->name);
    if (bytes == 0 || !sj_segment_holds_block(segment, at, bytes))
        return sj_error(SJ_EINVAL, "0x%llx is no address of a block of '%s'",
                        (unsigned long long)at, segment->name);
    if (writable && segment->domain->durability == SJ_DURABILITY_POWER && sj_tx_depth(segment) == 0)
        return sj_error(SJ_EINVAL,
                        "'%s' has durability 'power': what is stored through a view is durable "
                        "with the commit of a transaction that has touched it",
                        segment->name);
    return SJ_OK;
}

int sj_view_begin(struct sj_space *space, uint64_t at, uint64_t bytes, bool writable,
                  struct sj_view *view)
{
    struct sj_viewed *block = NULL;
    int error = may_begin(space, at, bytes, writable);
    if (error == SJ_OK)
        error = begin(space, at, bytes, writable, &block);
    if (error != SJ_OK)
        return error;
    *view = (struct sj_view){space, block, writable};
    if (writable)
        error = mark(space->segment, at, bytes);
    if (error != SJ_OK)
        sj_view_end(view);
    return error;
}

void sj_view_end(struct sj_view *view)
{
    struct sj_space *space = view->space;
    if (space == NULL)
        return;
    pthread_mutex_lock(&entries);
    give_back(space, view->block, view->writable);
    sj_park_keep_no_more(space);
    pthread_mutex_unlock(&entries);
    *view = (struct sj_view){0};
}

/* ------------------------------------------------------------------ for space.c */

void sj_views_attached(struct sj_space *space)
{
    space->segment->viewed_by = space;
    space->segment->viewed = is_viewed;
}

void sj_views_lock(void)
{
    pthread_mutex_lock(&entries);
}

void sj_views_unlock(void)
{
    pthread_mutex_unlock(&entries);
}

void sj_views_unlock_forked(void)
{
    pthread_mutex_init(&entries, NULL);
}

/* The locks of all entries, of the heir's file or in the child. */
static void lock_all(struct sj_space *space)
{
    for (const struct sj_viewed *block = space->viewed; block != NULL; block = block->next) {
        uint64_t offset = offset_of(space, block);
        (void)sj_lock_view(space->lock, false, offset, block->bytes);
        if (block->writable > 0)
            (void)sj_lock_view(space->lock, true, offset, block->bytes);
    }
}

void sj_views_before_fork(struct sj_space *space)
{
    if (space->viewed == NULL)
        return;
    sj_lock_begin_heir(space->lock);
    if (space->lock->heir >= 0)
        lock_all(space);
}

void sj_views_after_fork(struct sj_space *space)
{
    sj_lock_end_heir(space->lock);
}

void sj_views_forked(struct sj_space *space, bool heir)
{
    if (!heir && space->lock->fd >= 0)
        lock_all(space);
}
