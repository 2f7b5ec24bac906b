// SPDX-License-Identifier: Apache-2.0
/* seg_heap.c: memory in the segments of a VAS (seg_heap.h has the contract). */
#include "spacejmp/seg_heap.h"

#include <string.h>

#include "persistence/roots.h"
#include "persistence/user.h"
#include "spacejmp/hold.h"
#include "spacejmp/reach.h"

static const struct sj_wait patient = {.timeout_s = -1};  /* for addresses */
static const struct sj_wait ordinary = {.timeout_s = 10}; /* for a lock */

static uint64_t address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* What the thread can reach, when that is all of the VAS. */
static int reach_of(const struct sj_vas *vas, const struct sj_reach **reach)
{
    *reach = sj_reach_in_use();
    if (*reach != NULL && (*reach)->vas == vas)
        return SJ_OK;
    return sj_error(SJ_ENOHOLD, "the thread is not inside of '%s': switch to it first",
                    sj_vas_name(vas));
}

/* The segment that a pointer leads into, with rights to change it. */
static int find(const struct sj_vas *vas, const void *pointer, struct sj_space **space)
{
    const struct sj_reach *reach;
    int error = reach_of(vas, &reach);
    return error != SJ_OK
               ? error
               : sj_vas_resolve(address(pointer), 1, SJ_RIGHT_READ | SJ_RIGHT_WRITE, space);
}

/* Ends an operation that has ended with `error`. When bytes are lost that is what counts: what was
 * read of them may have led to any other one. */
static int leave(struct sj_space *space, int error)
{
    int left = sj_leave(space);
    if (left == SJ_EBUSY)
        left = sj_return(&patient);
    return error == SJ_OK || left == SJ_EDAMAGED ? left : error;
}

/* Ends one that has changed the space. */
static int leave_changed(struct sj_space *space, int error)
{
    sj_lock_changed(space->lock);
    return leave(space, error);
}

int sj_seg_malloc(struct sj_vas *vas, const char *segment, uint64_t bytes, void **pointer)
{
    const struct sj_reach *reach;
    int error = reach_of(vas, &reach);
    if (error != SJ_OK)
        return error;
    const struct sj_reach_part *part = reach->part, *end = part + reach->count;
    while (part < end && strcmp(part->space->segment->name, segment) != 0)
        part++;
    if (part == end)
        return sj_error(SJ_ENOTFOUND, "'%s' has no segment '%s' in window %u", sj_vas_name(vas),
                        segment, reach->window);
    if ((part->rights & SJ_RIGHT_WRITE) == 0)
        return sj_error(SJ_EREADONLY, "'%s' has '%s' for reading only", sj_vas_name(vas), segment);
    error = sj_enter_write(part->space, &ordinary);
    if (error != SJ_OK)
        return error;
    uint64_t at = 0;
    error = leave_changed(part->space, sj_user_alloc(part->space->segment, bytes, &at));
    if (error == SJ_OK)
        *pointer = (void *)(uintptr_t)at;
    return error;
}

int sj_seg_free(struct sj_vas *vas, void *pointer)
{
    struct sj_space *space;
    int error = find(vas, pointer, &space);
    if (error == SJ_OK)
        error = sj_enter_write(space, &ordinary);
    if (error != SJ_OK)
        return error;
    return leave_changed(space, sj_user_free(space->segment, address(pointer)));
}

int sj_seg_write(struct sj_vas *vas, void *to, const void *from, uint64_t bytes)
{
    struct sj_space *space;
    int error = find(vas, to, &space);
    if (error == SJ_OK)
        error = sj_enter_write(space, &ordinary);
    if (error != SJ_OK)
        return error;
    return leave_changed(space, sj_user_write(space->segment, address(to), from, bytes));
}

int sj_seg_change(struct sj_vas *vas, void *at, uint64_t bytes)
{
    struct sj_space *space;
    int error = find(vas, at, &space);
    if (error == SJ_OK)
        error = sj_enter_write(space, &ordinary);
    if (error != SJ_OK)
        return error;
    return leave_changed(space, sj_user_change(space->segment, address(at), bytes));
}

/* ------------------------------------------------------------------ names */

/* The name's pointer in one segment. */
static int get(struct sj_space *space, const char *name, uint64_t *pointer)
{
    int error = sj_enter_read(space, &ordinary);
    if (error != SJ_OK)
        return error;
    return leave(space, sj_user_root_get(space->segment, name, strlen(name), pointer));
}

/* Takes it out of one segment. */
static int take_away(struct sj_space *space, const char *name)
{
    int error = sj_enter_write(space, &ordinary);
    if (error != SJ_OK)
        return error;
    return leave_changed(space, sj_user_root_remove(space->segment, name, strlen(name)));
}

/* Whether the segment has no such pointer, which is no failure. */
static bool has_none(int error)
{
    return error == SJ_ENOTFOUND || error == SJ_ETYPE;
}

/* The first part from `*from` on, in ascending base order, that has the name. SJ_ENOTFOUND. */
static int find_name(const struct sj_reach *reach, const char *name, uint32_t *from,
                     uint64_t *pointer)
{
    for (; *from < reach->count; ++*from) {
        int error = get(reach->part[*from].space, name, pointer);
        if (!has_none(error))
            return error;
    }
    return sj_error(SJ_ENOTFOUND, "'%s' has no pointer named '%s'", sj_vas_name(reach->vas), name);
}

/* That no segment which may only be read has the name. */
static int may_be_set(const struct sj_reach *reach, const char *name)
{
    uint64_t pointer;
    for (uint32_t i = 0; i < reach->count; i++) {
        if ((reach->part[i].rights & SJ_RIGHT_WRITE) != 0)
            continue;
        int error = get(reach->part[i].space, name, &pointer);
        if (error == SJ_OK)
            return sj_error(SJ_EEXISTS, "'%s', which may only be read, has a pointer named '%s'",
                            reach->part[i].space->segment->name, name);
        if (!has_none(error))
            return error;
    }
    return SJ_OK;
}

int sj_vas_root_set(struct sj_vas *vas, const char *name, void *pointer)
{
    const struct sj_reach *reach;
    struct sj_space *space;
    int error = find(vas, pointer, &space);
    if (error == SJ_OK)
        error = reach_of(vas, &reach);
    if (error == SJ_OK)
        error = may_be_set(reach, name);
    if (error == SJ_OK)
        error = sj_enter_write(space, &ordinary);
    if (error != SJ_OK)
        return error;
    error = sj_user_root_set(space->segment, name, strlen(name), address(pointer));
    error = leave_changed(space, error);
    for (uint32_t i = 0; i < reach->count && error == SJ_OK; i++) {
        uint64_t old;
        struct sj_space *other = reach->part[i].space;
        if (other == space || has_none(error = get(other, name, &old)))
            error = SJ_OK;
        else if (error == SJ_OK)
            error = take_away(other, name);
    }
    return error;
}

int sj_vas_root_get(struct sj_vas *vas, const char *name, void **pointer)
{
    const struct sj_reach *reach;
    uint32_t from = 0;
    uint64_t at = 0;
    int error = reach_of(vas, &reach);
    if (error == SJ_OK)
        error = find_name(reach, name, &from, &at);
    if (error == SJ_OK)
        *pointer = (void *)(uintptr_t)at;
    return error;
}

int sj_vas_root_remove(struct sj_vas *vas, const char *name)
{
    const struct sj_reach *reach;
    uint32_t from = 0;
    uint64_t pointer;
    int error = reach_of(vas, &reach);
    if (error == SJ_OK)
        error = find_name(reach, name, &from, &pointer);
    if (error == SJ_OK && (reach->part[from].rights & SJ_RIGHT_WRITE) == 0)
        error = sj_error(SJ_EREADONLY, "'%s' has '%s' for reading only", sj_vas_name(vas),
                         reach->part[from].space->segment->name);
    return error == SJ_OK ? take_away(reach->part[from].space, name) : error;
}

static int list_segment(const struct sj_segment *segment, sj_vas_root_visit *visit, void *context)
{
    struct sj_root *root = NULL;
    uint64_t left = segment->root_page->root_count;
    for (;;) {
        int error = sj_root_next(segment, root, &root);
        if (error != SJ_OK || root == NULL)
            return error;
        if (left-- == 0)
            return sj_segment_damaged(segment, address(root), "no more roots");
        if (root->type != SJ_KIND_POINTER)
            continue;
        error = visit(context, root->name, root->name_bytes, (void *)(uintptr_t)root->pointer);
        if (error != SJ_OK)
            return error;
    }
}

int sj_vas_root_list(struct sj_vas *vas, sj_vas_root_visit *visit, void *context)
{
    const struct sj_reach *reach;
    int error = reach_of(vas, &reach);
    for (uint32_t i = 0; error == SJ_OK && i < reach->count; i++) {
        struct sj_space *space = reach->part[i].space;
        error = sj_enter_read(space, &ordinary);
        if (error == SJ_OK)
            error = leave(space, list_segment(space->segment, visit, context));
    }
    return error;
}
