// SPDX-License-Identifier: Apache-2.0
/*
 * threads.c: the list of threads, and what others ask of them (hold_thread.h).
 */
#include <pthread.h>
#include <stdlib.h>

#include "spacejmp/hold_thread.h"
#include "spacejmp/park.h"

__thread struct sj_thread *sj_me;

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER; /* guards `threads` */
static struct sj_thread *threads;
static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

/* What the thread is inside of ends with it, as if it had been left: a transaction is undone. */
static void thread_ends(void *ended)
{
    struct sj_thread *thread = ended;
    sj_leave_all(thread);
    for (uint32_t i = 0; i < SJ_SLOTS_CACHED; i++)
        if (thread->slots[i].serial != 0)
            sj_space_give_slot(thread->slots[i].serial, thread->slots[i].slot);
    pthread_mutex_lock(&list);
    struct sj_thread **link = &threads;
    while (*link != thread)
        link = &(*link)->next;
    *link = thread->next;
    pthread_mutex_unlock(&list);
    free(thread);
    sj_me = NULL;
}

static void make_key(void)
{
    SJ_ASSERT(pthread_key_create(&end_key, thread_ends) == 0);
}

SJ_SELDOM int sj_thread_begin(void)
{
    pthread_once(&end_once, make_key);
    struct sj_thread *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL || pthread_setspecific(end_key, fresh) != 0) {
        free(fresh);
        return sj_error(SJ_ENOMEM, "the state of a thread");
    }
    sj_me = fresh;
    pthread_mutex_lock(&list);
    fresh->next = threads;
    threads = fresh;
    pthread_mutex_unlock(&list);
    return SJ_OK;
}

void sj_holds_forked(void)
{
    pthread_mutex_init(&list, NULL);
    threads = sj_me;
    if (sj_me != NULL)
        *sj_me = (struct sj_thread){0};
}

bool sj_holds_any(const struct sj_space *space)
{
    bool any = false;
    pthread_mutex_lock(&list);
    for (struct sj_thread *thread = threads; thread != NULL; thread = thread->next) {
        struct sj_hold *top = __atomic_load_n(&thread->top, __ATOMIC_ACQUIRE);
        for (struct sj_hold *hold = top; hold != NULL && hold >= thread->hold; hold--)
            any |= hold->space == space;
    }
    pthread_mutex_unlock(&list);
    return any;
}

bool sj_holds_active(const struct sj_space *space)
{
    bool any = false;
    pthread_mutex_lock(&list);
    for (struct sj_thread *thread = threads; thread != NULL; thread = thread->next) {
        uintptr_t uses = __atomic_load_n(&thread->active, __ATOMIC_ACQUIRE);
        const struct sj_reach *reach = sj_reach_of(uses);
        any |= reach != NULL ? sj_reach_has(reach, space) : uses == sj_uses_space(space);
    }
    pthread_mutex_unlock(&list);
    return any;
}

/* ------------------------------------------------------------------ layouts (T1) */

const void *sj_reach_visit(void *const *layout)
{
    if (SJ_UNLIKELY(sj_me == NULL) && sj_thread_begin() != SJ_OK)
        return NULL;
    for (;;) {
        const void *seen = __atomic_load_n(layout, __ATOMIC_ACQUIRE);
        (void)__atomic_exchange_n(&sj_me->visiting, seen, __ATOMIC_SEQ_CST);
        if (SJ_LIKELY(__atomic_load_n(layout, __ATOMIC_ACQUIRE) == seen))
            return seen;
    }
}

const void *sj_reach_visited(void)
{
    return sj_me->visiting;
}

void sj_reach_end_visit(void)
{
    __atomic_store_n(&sj_me->visiting, NULL, __ATOMIC_RELEASE);
}

void sj_reach_keep(const void *layout)
{
    __atomic_store_n(&sj_me->leaving, layout, __ATOMIC_RELEASE);
}

/* A stack may change while it is looked at: its pointers are compared, not followed. */
static bool is_inside(const void *reach, const void *layout, size_t bytes)
{
    return (uintptr_t)reach - (uintptr_t)layout < bytes;
}

static bool uses_layout(const struct sj_thread *thread, const void *layout, size_t bytes)
{
    uintptr_t uses = __atomic_load_n(&thread->active, __ATOMIC_ACQUIRE);
    if (sj_reach_of(uses) != NULL && is_inside(sj_reach_of(uses), layout, bytes))
        return true;
    if (__atomic_load_n(&thread->visiting, __ATOMIC_ACQUIRE) == layout)
        return true;
    struct sj_hold *top = __atomic_load_n(&thread->top, __ATOMIC_ACQUIRE);
    for (struct sj_hold *hold = top; hold != NULL && hold >= thread->hold; hold--)
        if (hold->kind >= SJ_HOLD_IN_REACH && is_inside(hold->reach, layout, bytes))
            return true;
    return __atomic_load_n(&thread->leaving, __ATOMIC_ACQUIRE) == layout;
}

bool sj_reach_is_used(const void *layout, size_t bytes)
{
    bool any = false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    pthread_mutex_lock(&list);
    for (struct sj_thread *thread = threads; thread != NULL; thread = thread->next)
        any |= uses_layout(thread, layout, bytes);
    pthread_mutex_unlock(&list);
    return any;
}
