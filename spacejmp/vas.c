// SPDX-License-Identifier: Apache-2.0
/*
 * vas.c: attached VASes, and switching into them (vas.h has the contract).
 *
 * `changing` is held by whoever attaches, detaches or takes over changes, and may be for long: so
 * no thread has it, or waits for it, while it uses addresses. A switch takes it only when the
 * record has changed.
 */
#include "spacejmp/vas.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "spacejmp/hold.h"
#include "spacejmp/layout.h"
#include "spacejmp/park.h"
#include "spacejmp/reach.h"

/* A segment that is attached to a handle alone; its strings lie behind it. */
struct private_part {
    struct private_part *next;
    struct sj_vas_part part;
};

struct sj_vas {
    void *layout; /* struct sj_layout *, the current one; as sj_reach_visit wants it */
    struct sj_vas_source source;
    uint32_t rights;
    uint32_t references;
    struct private_part *privates;
    struct sj_vas *next; /* in the table */
};

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* guards all but `layout` */
static struct sj_vas *vases;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static const struct sj_wait impatient = {.timeout_s = 0};

/* A layout of another thread that was being made or freed is retired in the child. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&changing, NULL);
    sj_layout_forked();
}

static void register_fork(void)
{
    pthread_atfork(sj_layout_lock, sj_layout_unlock, after_fork_in_child);
}

/* `wait` NULL: does not wait. The thread uses no addresses from then on until end_change. */
static int begin_change(const struct sj_wait *wait)
{
    pthread_once(&fork_once, register_fork);
    sj_holds_suspend();
    if (pthread_mutex_trylock(&changing) == 0)
        return SJ_OK;
    int64_t deadline = wait == NULL ? 0 : sj_wait_deadline(wait);
    int error = wait == NULL ? SJ_EBUSY : SJ_OK;
    while (error == SJ_OK) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += SJ_WAIT_SLICE_NS;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        if (pthread_mutex_timedlock(&changing, &until) == 0)
            return SJ_OK;
        error = sj_wait_go_on(wait, deadline);
    }
    sj_holds_resume(wait);
    return error != SJ_EBUSY ? error
                             : sj_error(SJ_EBUSY, "another thread is attaching or detaching");
}

static void end_change(const struct sj_wait *wait)
{
    pthread_mutex_unlock(&changing);
    sj_holds_resume(wait);
}

static struct sj_layout *current(const struct sj_vas *vas)
{
    return __atomic_load_n(&vas->layout, __ATOMIC_ACQUIRE);
}

/* ------------------------------------------------------------------ the record, and its changes */

static const struct sj_vas_part *find_part(const struct sj_vas_part *part, uint32_t count,
                                           const uint8_t uuid[16])
{
    for (const struct sj_vas_part *end = part + count; part < end; part++)
        if (memcmp(part->uuid, uuid, sizeof part->uuid) == 0)
            return part;
    return NULL;
}

/* A layout of what the source says now, and of private parts that it does not have; with
 * `changing`. `contents` is for its strings. */
static int make_from(struct sj_vas *vas, struct sj_vas_contents *contents, uint64_t generation,
                     const struct sj_wait *wait, struct sj_layout **made)
{
    uint32_t privates = 0, count = contents->count;
    for (struct private_part *one = vas->privates; one != NULL; one = one->next)
        privates++;
    struct sj_vas_part *part = calloc(count + privates + 1ull, sizeof *part);
    if (part == NULL)
        return sj_error(SJ_ENOMEM, "attaching '%s'", vas->source.name);
    if (count > 0)
        memcpy(part, contents->part, count * sizeof *part);
    for (struct private_part *one = vas->privates; one != NULL; one = one->next)
        if (find_part(part, contents->count, one->part.uuid) == NULL)
            part[count++] = one->part;
    struct sj_layout_spec spec = {.vas = vas,
                                  .name = vas->source.name,
                                  .before = current(vas),
                                  .rights = vas->rights,
                                  .part = part,
                                  .count = count,
                                  .private_count = count - contents->count,
                                  .strict = contents->strict,
                                  .generation = generation};
    int error = sj_layout_make(&spec, wait, made);
    free(part);
    return error;
}

static uint64_t generation_of(const struct sj_vas *vas)
{
    const uint64_t *word = vas->source.generation;
    return word == NULL ? 0 : __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* From now on a switch goes to that one. */
static void install(struct sj_vas *vas, struct sj_layout *fresh)
{
    struct sj_layout *old = current(vas);
    if (old != NULL && sj_layout_equals(old, fresh)) {
        __atomic_store_n(&old->generation, fresh->generation, __ATOMIC_RELEASE);
        return;
    }
    sj_layout_replace(&vas->layout, fresh);
    if (fresh->strict)
        sj_layout_park(fresh);
}

/* Takes over what the record says now; with `changing`. */
static int renew(struct sj_vas *vas, const struct sj_wait *wait)
{
    struct sj_vas_contents contents = {NULL, 0, false};
    struct sj_layout *fresh;
    uint64_t generation = generation_of(vas);
    int error = vas->source.read(vas->source.context, &contents);
    if (error == SJ_ENOTFOUND && current(vas) != NULL) { /* it has been deleted, and stays here */
        __atomic_store_n(&current(vas)->generation, generation, __ATOMIC_RELEASE);
        return SJ_OK;
    }
    if (error == SJ_OK)
        error = make_from(vas, &contents, generation, wait, &fresh);
    free(contents.part);
    if (error == SJ_OK)
        install(vas, fresh);
    (void)sj_layout_reclaim(NULL, &impatient);
    return error;
}

/* Whether the record may be another one than the layout was made from. */
static bool is_stale(const struct sj_vas *vas, const struct sj_layout *layout)
{
    uint64_t generation = generation_of(vas);
    return generation % 2 != 0 ||
           generation != __atomic_load_n(&layout->generation, __ATOMIC_RELAXED);
}

int sj_vas_refresh(struct sj_vas *vas, const struct sj_wait *wait)
{
    int error = begin_change(wait);
    if (error != SJ_OK)
        return error;
    error = renew(vas, wait == NULL ? &impatient : wait);
    end_change(wait);
    return error;
}

/* ------------------------------------------------------------------ attach, detach */

static void close_source(const struct sj_vas_source *source)
{
    if (source->close != NULL)
        source->close(source->context);
}

static bool is_same(const struct sj_vas_source *a, const struct sj_vas_source *b)
{
    return memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && strcmp(a->place, b->place) == 0;
}

static struct sj_vas *find(const struct sj_vas_source *source, uint32_t rights)
{
    struct sj_vas *vas = vases;
    while (vas != NULL && (vas->rights != rights || !is_same(&vas->source, source)))
        vas = vas->next;
    return vas;
}

/* One that the process does not have with those rights; with `changing`. */
static int attach_new(const struct sj_vas_source *source, uint32_t rights,
                      const struct sj_wait *wait, struct sj_vas **attached)
{
    struct sj_vas *vas = calloc(1, sizeof *vas);
    if (vas == NULL)
        return sj_error(SJ_ENOMEM, "attaching '%s'", source->name);
    vas->source = *source;
    vas->rights = rights;
    vas->references = 1;
    int error = renew(vas, wait);
    if (error != SJ_OK) {
        free(vas);
        return error;
    }
    sj_layout_lock();
    vas->next = vases;
    vases = vas;
    sj_layout_unlock();
    *attached = vas;
    return SJ_OK;
}

int sj_vas_attach_source(const struct sj_vas_source *source, uint32_t rights,
                         const struct sj_wait *wait, struct sj_vas **attached)
{
    int error = SJ_OK;
    if ((rights & SJ_RIGHT_READ) == 0 || rights > (SJ_RIGHT_READ | SJ_RIGHT_WRITE))
        error =
            sj_error(SJ_EINVAL, "rights: expected to read, or to read and write, found %u", rights);
    if (error == SJ_OK)
        error = begin_change(wait);
    if (error != SJ_OK) {
        close_source(source);
        return error;
    }
    struct sj_vas *vas = find(source, rights);
    if (vas != NULL)
        vas->references++;
    else
        error = attach_new(source, rights, wait == NULL ? &impatient : wait, &vas);
    if (error != SJ_OK || vas->references > 1)
        close_source(source);
    if (error == SJ_OK)
        *attached = vas;
    end_change(wait);
    return error;
}

/* The last reference goes; with `changing`. */
static int detach_last(struct sj_vas *vas, const struct sj_wait *wait)
{
    if (sj_layout_is_entered(vas) || sj_reach_is_used(current(vas), current(vas)->bytes))
        return sj_error(SJ_EBUSY,
                        "threads of this process are inside of '%s': they switch to another VAS, "
                        "or to the initial space, first",
                        vas->source.name);
    struct sj_vas **link = &vases;
    while (*link != vas)
        link = &(*link)->next;
    sj_layout_lock();
    *link = vas->next;
    sj_layout_unlock();
    sj_layout_replace(&vas->layout, NULL);
    int error = sj_layout_reclaim(vas, wait);
    sj_layout_disown(vas);
    for (struct private_part *one = vas->privates, *next; one != NULL; one = next) {
        next = one->next;
        free(one);
    }
    close_source(&vas->source);
    free(vas);
    return error;
}

int sj_vas_detach(struct sj_vas *vas, const struct sj_wait *wait)
{
    int error = begin_change(wait);
    if (error != SJ_OK)
        return error;
    if (vas->references > 1)
        vas->references--;
    else
        error = detach_last(vas, wait == NULL ? &impatient : wait);
    end_change(wait);
    return error;
}

/* ------------------------------------------------------------------ private segments */

static struct private_part *copy_of(const struct sj_vas_part *part)
{
    size_t segment_bytes = strlen(part->segment_path) + 1, lock_bytes = strlen(part->lock_path) + 1;
    struct private_part *copy = malloc(sizeof *copy + segment_bytes + lock_bytes);
    if (copy == NULL)
        return NULL;
    char *paths = (char *)(copy + 1);
    memcpy(paths, part->segment_path, segment_bytes);
    memcpy(paths + segment_bytes, part->lock_path, lock_bytes);
    copy->part = *part;
    copy->part.segment_path = paths;
    copy->part.lock_path = paths + segment_bytes;
    return copy;
}

static bool has(const struct sj_layout *layout, const uint8_t uuid[16])
{
    uint32_t i = 0;
    while (i < layout->count && memcmp(layout->segment[i].uuid, uuid, 16) != 0)
        i++;
    return i < layout->count;
}

int sj_vas_add_private(struct sj_vas *vas, const struct sj_vas_part *part,
                       const struct sj_wait *wait)
{
    struct private_part *fresh = copy_of(part);
    if (fresh == NULL)
        return sj_error(SJ_ENOMEM, "attaching '%s'", part->segment_path);
    int error = begin_change(wait);
    if (error != SJ_OK) {
        free(fresh);
        return error;
    }
    error = renew(vas, wait == NULL ? &impatient : wait);
    if (error == SJ_OK && has(current(vas), part->uuid))
        error = sj_error(SJ_EEXISTS, "'%s' has the segment already", vas->source.name);
    fresh->next = vas->privates;
    if (error == SJ_OK) {
        vas->privates = fresh;
        error = renew(vas, wait == NULL ? &impatient : wait);
    }
    if (error != SJ_OK) {
        vas->privates = fresh->next;
        free(fresh);
    }
    end_change(wait);
    return error;
}

int sj_vas_remove_private(struct sj_vas *vas, const uint8_t uuid[16], const struct sj_wait *wait)
{
    int error = begin_change(wait);
    if (error != SJ_OK)
        return error;
    struct private_part **link = &vas->privates;
    while (*link != NULL && memcmp((*link)->part.uuid, uuid, 16) != 0)
        link = &(*link)->next;
    struct private_part *gone = *link;
    if (gone == NULL) {
        error = sj_error(SJ_ENOTFOUND, "'%s' has no such private segment", vas->source.name);
    } else {
        *link = gone->next;
        error = renew(vas, wait == NULL ? &impatient : wait);
        if (error == SJ_OK) {
            free(gone);
        } else {
            gone->next = *link;
            *link = gone;
        }
    }
    end_change(wait);
    return error;
}

/* ------------------------------------------------------------------ switching */

/* Takes over what has changed, before the thread goes there. */
__attribute__((cold, noinline)) static int renew_first(struct sj_vas *vas,
                                                       const struct sj_wait *wait)
{
    sj_reach_end_visit();
    if (wait == NULL)
        return sj_error(SJ_EBUSY, "the record of '%s' has changed, and attaching may wait",
                        vas->source.name);
    int error = sj_vas_refresh(vas, wait);
    if (error == SJ_OK)
        (void)sj_reach_visit(&vas->layout);
    return error;
}

/* What a thread that goes there can reach; the layout is announced. */
static int visit(struct sj_vas *vas, uint32_t window, const struct sj_wait *wait,
                 const struct sj_reach **reach)
{
    const struct sj_layout *layout = sj_reach_visit(&vas->layout);
    if (SJ_UNLIKELY(layout == NULL))
        return sj_error(SJ_ENOMEM, "the state of a thread");
    if (SJ_UNLIKELY(is_stale(vas, layout))) {
        int error = renew_first(vas, wait);
        if (error != SJ_OK)
            return error;
        layout = sj_reach_visited();
    }
    if (SJ_UNLIKELY(window >= layout->windows)) {
        uint32_t windows = layout->windows;
        sj_reach_end_visit();
        return sj_error(SJ_EINVAL, "'%s' has %u windows: there is no window %u", vas->source.name,
                        windows, window);
    }
    *reach = layout->reach[window];
    return SJ_OK;
}

/* Frees what is not used any more, if nobody else is at it; the thread is in nothing. */
__attribute__((cold, noinline)) static void reclaim(void)
{
    if (pthread_mutex_trylock(&changing) != 0)
        return;
    (void)sj_layout_reclaim(NULL, &impatient);
    pthread_mutex_unlock(&changing);
}

/* Leaves a reach that is not current any more, or is strict; what of it is in use again is not
 * moved aside by `end_leaving`. */
__attribute__((cold, noinline)) static int leave_kept(const struct sj_layout *layout)
{
    sj_reach_keep(layout);
    return sj_reach_leave();
}

__attribute__((cold, noinline)) static void end_leaving(const struct sj_layout *layout)
{
    if (layout->strict)
        sj_layout_park(layout);
    sj_reach_keep(NULL);
}

int sj_vas_switchm(struct sj_vas *vas, uint32_t window, const struct sj_wait *wait,
                   struct sj_vas **previous)
{
    const struct sj_layout *kept = NULL;
    const struct sj_reach *to = NULL;
    bool switched, stale = false;
    int left = SJ_OK, error = SJ_OK;
    const struct sj_reach *from = sj_reach_top(&switched);
    if (SJ_UNLIKELY(!switched && sj_reach_is_inside()))
        return sj_error(SJ_EBUSY, "the thread is inside of holds: leave them first");
    *previous = from == NULL ? NULL : from->vas;
    if (vas != NULL)
        error = visit(vas, window, wait, &to);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (from != NULL) {
        const struct sj_layout *layout = from->layout;
        stale = layout != current(from->vas);
        if (SJ_UNLIKELY(stale || layout->strict))
            left = leave_kept(kept = layout);
        else
            left = sj_reach_leave();
    }
    if (SJ_UNLIKELY(stale)) {
        end_leaving(kept);
        kept = NULL;
        reclaim();
    }
    if (to != NULL) {
        error = sj_reach_enter(to, true, wait);
        sj_reach_end_visit();
    }
    if (SJ_UNLIKELY(kept != NULL))
        end_leaving(kept);
    return error == SJ_OK ? left : error;
}

int sj_vas_switch(struct sj_vas *vas, uint32_t window, const struct sj_wait *wait)
{
    struct sj_vas *previous;
    return sj_vas_switchm(vas, window, wait, &previous);
}

int sj_vas_enter(struct sj_vas *vas, uint32_t window, const struct sj_wait *wait)
{
    const struct sj_reach *reach = NULL;
    int error = visit(vas, window, wait, &reach);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = sj_reach_enter(reach, false, wait);
    sj_reach_end_visit();
    return error;
}

int sj_reach_leave_whole(const struct sj_reach *reach)
{
    const struct sj_layout *layout = reach->layout;
    bool stale = layout != current(reach->vas);
    if (SJ_LIKELY(!stale && !layout->strict))
        return sj_reach_leave();
    int error = leave_kept(layout);
    end_leaving(layout);
    if (stale && !sj_reach_is_inside())
        reclaim();
    return error;
}

int sj_vas_leave(struct sj_vas *vas)
{
    bool switched;
    const struct sj_reach *reach = sj_reach_top(&switched);
    if (SJ_UNLIKELY(reach == NULL || switched || reach->vas != vas))
        return sj_error(SJ_ENOHOLD,
                        "'%s' is not what the thread has entered last: holds end in the order "
                        "opposite to that in which they began, in the thread that began them",
                        vas->source.name);
    return sj_reach_leave_whole(reach);
}

/* ------------------------------------------------------------------ asking */

struct sj_vas *sj_vas_current(void)
{
    const struct sj_reach *reach = sj_reach_current();
    return reach == NULL ? NULL : reach->vas;
}

uint32_t sj_vas_window(void)
{
    const struct sj_reach *reach = sj_reach_current();
    return reach == NULL ? 0 : reach->window;
}

const char *sj_vas_name(const struct sj_vas *vas)
{
    return vas->source.name;
}

const uint8_t *sj_vas_uuid(const struct sj_vas *vas)
{
    return vas->source.uuid;
}

uint32_t sj_vas_rights(const struct sj_vas *vas)
{
    return vas->rights;
}

uint32_t sj_vas_windows(struct sj_vas *vas)
{
    const struct sj_layout *layout = sj_reach_visit(&vas->layout);
    if (layout == NULL)
        return 0;
    uint32_t windows = layout->windows;
    sj_reach_end_visit();
    return windows;
}

bool sj_vas_is_strict(struct sj_vas *vas)
{
    const struct sj_layout *layout = sj_reach_visit(&vas->layout);
    if (layout == NULL)
        return false;
    bool strict = layout->strict;
    sj_reach_end_visit();
    return strict;
}

bool sj_vas_member(struct sj_vas *vas, uint32_t index, struct sj_vas_member *segment)
{
    const struct sj_layout *layout = sj_reach_visit(&vas->layout);
    if (layout == NULL)
        return false;
    bool there = index < layout->count;
    if (there) {
        *segment = layout->segment[index];
        segment->parked = __atomic_load_n(&segment->space->parked, __ATOMIC_RELAXED);
    }
    sj_reach_end_visit();
    return there;
}
