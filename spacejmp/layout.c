// SPDX-License-Identifier: Apache-2.0
/* layout.c: attaching the segments of a VAS, and what can be reached of them (layout.h). */
#include "spacejmp/layout.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spacejmp/hold.h"
#include "spacejmp/park.h"

#define PARTS_MAX 65536u /* segments and windows of a VAS */

/* Guards the list and `attached` against forks; never held for long. */
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static struct sj_layout *layouts; /* being made, or retired */

void sj_layout_lock(void)
{
    pthread_mutex_lock(&table);
}

void sj_layout_unlock(void)
{
    pthread_mutex_unlock(&table);
}

static void link_layout(struct sj_layout *layout)
{
    layout->next = layouts;
    layouts = layout;
}

static void unlink_layout(struct sj_layout *layout)
{
    struct sj_layout **link = &layouts;
    while (*link != layout)
        link = &(*link)->next;
    *link = layout->next;
}

/* ------------------------------------------------------------------ making */

static bool is_in(uint32_t window, uint32_t in)
{
    return in == SJ_WINDOW_ALL || in == window;
}

/* An empty layout with room for the parts. */
static int make_room(const struct sj_layout_spec *spec, struct sj_layout **made)
{
    uint64_t windows = 1, in_all = 0;
    for (uint32_t i = 0; i < spec->count; i++) {
        uint32_t window = spec->part[i].window;
        in_all += window == SJ_WINDOW_ALL;
        if (window != SJ_WINDOW_ALL && window >= windows)
            windows = window + 1ull;
    }
    if (windows > PARTS_MAX || spec->count > PARTS_MAX || windows * in_all > 16ull * PARTS_MAX)
        return sj_error(SJ_EINVAL, "'%s': more than %u segments or windows", spec->name, PARTS_MAX);
    uint64_t reached = spec->count - in_all + windows * in_all;
    size_t reaches = windows * sizeof(struct sj_reach) + reached * sizeof(struct sj_reach_part);
    size_t head = sizeof(struct sj_layout) + windows * sizeof(struct sj_reach *);
    size_t bytes = head + spec->count * sizeof(struct sj_vas_member) + reaches;
    struct sj_layout *layout = calloc(1, bytes);
    if (layout == NULL)
        return sj_error(SJ_ENOMEM, "attaching '%s'", spec->name);
    layout->bytes = bytes;
    layout->vas = spec->vas;
    layout->generation = spec->generation;
    layout->strict = spec->strict;
    layout->windows = (uint32_t)windows;
    layout->count = spec->count;
    layout->segment = (struct sj_vas_member *)((char *)layout + head);
    *made = layout;
    return SJ_OK;
}

/* The space of that segment in the layout before, with another reference; or NULL. */
static struct sj_space *have_it(const struct sj_layout *before, const uint8_t uuid[16],
                                bool writable)
{
    for (uint32_t i = 0; before != NULL && i < before->count; i++) {
        struct sj_space *space = before->segment[i].space;
        if (memcmp(before->segment[i].uuid, uuid, 16) == 0 && (space->writable || !writable)) {
            sj_space_share(space);
            return space;
        }
    }
    return NULL;
}

static int attach_part(const struct sj_layout_spec *spec, uint32_t index,
                       const struct sj_wait *wait, struct sj_layout *layout)
{
    const struct sj_vas_part *part = &spec->part[index];
    bool is_private = index >= spec->count - spec->private_count;
    uint32_t rights = is_private ? part->rights : part->rights & spec->rights;
    if ((rights & SJ_RIGHT_READ) == 0)
        return sj_error(SJ_EINVAL, "'%s': '%s' is attached without the right to read it",
                        spec->name, part->segment_path);
    struct sj_attach_options options = {
        .writable = (rights & SJ_RIGHT_WRITE) != 0, .uuid = part->uuid, .wait = *wait};
    struct sj_space *space = have_it(spec->before, part->uuid, options.writable);
    if (space == NULL) {
        int error = sj_space_attach(part->segment_path, part->lock_path, &options, &space);
        if (error != SJ_OK)
            return error;
    }
    sj_layout_lock();
    struct sj_vas_member *segment = &layout->segment[layout->attached];
    *segment = (struct sj_vas_member){.base = (uint64_t)(uintptr_t)space->segment->base,
                                      .reserved = space->segment->reserved,
                                      .rights = rights,
                                      .window = part->window,
                                      .lockable = part->lockable && space->segment->lockable,
                                      .is_private = is_private,
                                      .space = space};
    memcpy(segment->name, space->segment->name, sizeof segment->name);
    memcpy(segment->uuid, space->segment->uuid, sizeof segment->uuid);
    layout->attached++;
    sj_layout_unlock();
    return SJ_OK;
}

static int by_base(const void *a, const void *b)
{
    const struct sj_vas_member *one = a, *two = b;
    return one->base < two->base ? -1 : one->base > two->base;
}

static int overlap(const struct sj_layout_spec *spec, const struct sj_vas_member *a,
                   const struct sj_vas_member *b, uint32_t window)
{
    if (a->space == b->space)
        return sj_error(SJ_EEXISTS, "'%s' has the segment '%s' already", spec->name, a->name);
    return sj_error(SJ_EADDRESS,
                    "'%s': the segments '%s' (0x%llx–0x%llx) and '%s' (from 0x%llx) overlap in "
                    "window %u: put them into different windows, or make one with another base=",
                    spec->name, a->name, (unsigned long long)a->base,
                    (unsigned long long)(a->base + a->reserved), b->name,
                    (unsigned long long)b->base, window);
}

static enum sj_hold_mode mode_of(const struct sj_vas_member *segment)
{
    if (!segment->lockable)
        return SJ_HOLD_NONE;
    return (segment->rights & SJ_RIGHT_WRITE) != 0 ? SJ_HOLD_WRITE : SJ_HOLD_READ;
}

/* What can be reached from a window. */
static int make_reach(const struct sj_layout_spec *spec, struct sj_layout *layout, uint32_t window,
                      struct sj_reach *reach)
{
    const struct sj_vas_member *previous = NULL;
    reach->vas = spec->vas;
    reach->layout = layout;
    reach->window = window;
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct sj_vas_member *segment = &layout->segment[i];
        if (!is_in(window, segment->window))
            continue;
        if (previous != NULL && segment->base < previous->base + previous->reserved)
            return overlap(spec, previous, segment, window);
        reach->part[reach->count++] = (struct sj_reach_part){
            segment->space, (uint8_t)mode_of(segment), (uint8_t)segment->rights};
        previous = segment;
    }
    if (reach->count >= SJ_HOLDS_MAX)
        return sj_error(SJ_EINVAL, "'%s' has %u segments in window %u: a thread can hold %d",
                        spec->name, reach->count, window, SJ_HOLDS_MAX - 1);
    layout->reach[window] = reach;
    return SJ_OK;
}

static int make_reaches(const struct sj_layout_spec *spec, struct sj_layout *layout)
{
    struct sj_reach *reach = (struct sj_reach *)&layout->segment[layout->count];
    for (uint32_t window = 0; window < layout->windows; window++) {
        int error = make_reach(spec, layout, window, reach);
        if (error != SJ_OK)
            return error;
        reach = (struct sj_reach *)&reach->part[reach->count];
    }
    return SJ_OK;
}

int sj_layout_make(const struct sj_layout_spec *spec, const struct sj_wait *wait,
                   struct sj_layout **made)
{
    struct sj_layout *layout = NULL;
    int error = make_room(spec, &layout);
    if (error != SJ_OK)
        return error;
    sj_layout_lock();
    link_layout(layout);
    sj_layout_unlock();
    for (uint32_t i = 0; i < spec->count && error == SJ_OK; i++)
        error = attach_part(spec, i, wait, layout);
    if (error == SJ_OK) {
        qsort(layout->segment, layout->count, sizeof *layout->segment, by_base);
        error = make_reaches(spec, layout);
    }
    if (error != SJ_OK) { /* it is in the list of those that are retired */
        layout->vas = NULL;
        (void)sj_layout_reclaim(NULL, NULL);
        return error;
    }
    *made = layout;
    return SJ_OK;
}

bool sj_layout_equals(const struct sj_layout *a, const struct sj_layout *b)
{
    if (a->count != b->count || a->windows != b->windows || a->strict != b->strict)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct sj_vas_member *one = &a->segment[i], *two = &b->segment[i];
        if (one->space != two->space || one->rights != two->rights || one->window != two->window ||
            one->lockable != two->lockable || one->is_private != two->is_private)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ their end */

void sj_layout_replace(void **current, struct sj_layout *fresh)
{
    sj_layout_lock();
    struct sj_layout *old = *current;
    if (fresh != NULL)
        unlink_layout(fresh);
    __atomic_store_n(current, (void *)fresh, __ATOMIC_RELEASE);
    if (old != NULL)
        link_layout(old);
    sj_layout_unlock();
}

/* Gives its references back; SJ_EBUSY, SJ_EINTR: not all of them, yet. `*failed`: the first error
 * of another kind. */
static int give_back(struct sj_layout *layout, const struct sj_wait *wait, int *failed)
{
    while (layout->attached > 0) {
        int error = sj_space_detach(layout->segment[layout->attached - 1].space, wait);
        if (error == SJ_EBUSY || error == SJ_EINTR)
            return error;
        if (error != SJ_OK && *failed == SJ_OK)
            *failed = error;
        sj_layout_lock();
        layout->attached--;
        sj_layout_unlock();
    }
    return SJ_OK;
}

int sj_layout_reclaim(const struct sj_vas *vas, const struct sj_wait *wait)
{
    static const struct sj_wait impatient = {.timeout_s = 0};
    char detail[512]; /* of what has failed before; what cannot be detached yet is no failure */
    int failed = SJ_OK, ignored = SJ_OK;
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    struct sj_layout *next;
    for (struct sj_layout *layout = layouts; layout != NULL; layout = next) {
        bool waits = vas != NULL && layout->vas == vas;
        next = layout->next;
        if (sj_reach_is_used(layout, layout->bytes) ||
            give_back(layout, waits ? wait : &impatient, waits ? &failed : &ignored) != SJ_OK)
            continue;
        sj_layout_lock();
        unlink_layout(layout);
        sj_layout_unlock();
        free(layout);
    }
    if (failed == SJ_OK)
        (void)sj_error(SJ_OK, "%s", detail);
    return failed;
}

bool sj_layout_is_entered(const struct sj_vas *vas)
{
    for (const struct sj_layout *layout = layouts; layout != NULL; layout = layout->next)
        if (layout->vas == vas && sj_reach_is_used(layout, layout->bytes))
            return true;
    return false;
}

void sj_layout_disown(const struct sj_vas *vas)
{
    for (struct sj_layout *layout = layouts; layout != NULL; layout = layout->next)
        if (layout->vas == vas)
            layout->vas = NULL;
}

void sj_layout_park(const struct sj_layout *layout)
{
    for (uint32_t i = 0; i < layout->count; i++)
        (void)sj_park_aside(layout->segment[i].space);
}

void sj_layout_forked(void)
{
    pthread_mutex_init(&table, NULL);
}
