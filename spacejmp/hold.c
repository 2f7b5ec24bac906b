// SPDX-License-Identifier: Apache-2.0
/*
 * hold.c: the calling thread's stack of holds, and its slots in the locks (hold.h has the
 * contract).
 *
 * Each thread has one `struct thread`, made at its first entry and dropped at its end; the only
 * thread-local variable is the pointer to it.
 *
 * In a thread that has a model (mmu/model.h), hold[0] is of no space: it stands for the process
 * itself. So what is entered is always nested, and told to the model on the way that nested holds
 * take.
 */
#include "spacejmp/hold.h"

#include <pthread.h>
#include <stdlib.h>

#include "persistence/loss.h"
#include "persistence/wal.h"
#include "spacejmp/mmu/model.h"
#include "spacejmp/park.h"

#define SLOTS_CACHED 64 /* spaces whose slots a thread finds at once */

/* What seldom happens is kept out of line, so that what often does needs few registers. */
#define SELDOM __attribute__((cold, noinline))

struct hold {
    struct sj_space *space; /* NULL: the process itself */
    enum sj_hold_mode mode;
    uint32_t depth;            /* how often this space was entered in a row */
    bool owns;                 /* this hold took the lock; else one below it did */
    bool borrowed;             /* the slot is given back when the hold ends */
    struct sj_lock_slot *slot; /* of an owned read hold */
};

struct slot_entry {
    uint64_t serial; /* of the lock; 0: none */
    struct sj_lock_slot *slot;
};

struct thread {
    struct hold *top;        /* the current space's hold; NULL: in none */
    struct sj_space *active; /* whose addresses it uses (park.h); NULL: none, it waits */
    struct hold hold[SJ_HOLDS_MAX];
    struct slot_entry slots[SLOTS_CACHED];
    struct thread *next; /* in `threads` */
};

static __thread struct thread *me;
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER; /* guards `threads` */
static struct thread *threads;
static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

/* What the thread is inside of ends with it, as if it had been left: a transaction is undone. */
static void thread_ends(void *ended)
{
    struct thread *thread = ended;
    while (thread->top != NULL && thread->top->space != NULL) {
        thread->top->depth = 1;
        (void)sj_return(&(struct sj_wait){.timeout_s = -1});
        sj_leave(thread->top->space);
    }
    for (uint32_t i = 0; i < SLOTS_CACHED; i++)
        if (thread->slots[i].serial != 0)
            sj_space_give_slot(thread->slots[i].serial, thread->slots[i].slot);
    pthread_mutex_lock(&list);
    struct thread **link = &threads;
    while (*link != thread)
        link = &(*link)->next;
    *link = thread->next;
    pthread_mutex_unlock(&list);
    free(thread);
    me = NULL;
}

static void make_key(void)
{
    SJ_ASSERT(pthread_key_create(&end_key, thread_ends) == 0);
}

SELDOM static int new_thread(void)
{
    pthread_once(&end_once, make_key);
    struct thread *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL || pthread_setspecific(end_key, fresh) != 0) {
        free(fresh);
        return sj_error(SJ_ENOMEM, "the state of a thread");
    }
    me = fresh;
    pthread_mutex_lock(&list);
    me->next = threads;
    threads = me;
    pthread_mutex_unlock(&list);
    return SJ_OK;
}

bool sj_holds_any(const struct sj_space *space)
{
    bool any = false;
    pthread_mutex_lock(&list);
    for (struct thread *thread = threads; thread != NULL; thread = thread->next) {
        struct hold *top = __atomic_load_n(&thread->top, __ATOMIC_ACQUIRE);
        for (struct hold *hold = top; hold != NULL && hold >= thread->hold; hold--)
            any |= hold->space == space;
    }
    pthread_mutex_unlock(&list);
    return any;
}

bool sj_holds_active(const struct sj_space *space)
{
    bool any = false;
    pthread_mutex_lock(&list);
    for (struct thread *thread = threads; thread != NULL; thread = thread->next)
        any |= __atomic_load_n(&thread->active, __ATOMIC_ACQUIRE) == space;
    pthread_mutex_unlock(&list);
    return any;
}

void sj_holds_pause(void)
{
    if (me != NULL)
        __atomic_store_n(&me->active, NULL, __ATOMIC_RELEASE);
}

void sj_holds_forked(void)
{
    pthread_mutex_init(&list, NULL);
    threads = me;
    if (me != NULL)
        *me = (struct thread){0};
}

struct sj_space *sj_current(void)
{
    return me == NULL || me->top == NULL ? NULL : me->top->space;
}

/* The innermost hold on the space, or NULL. */
static struct hold *find_hold(const struct sj_space *space)
{
    if (me == NULL || me->top == NULL)
        return NULL;
    for (struct hold *hold = me->top; hold >= me->hold; hold--)
        if (hold->space == space)
            return hold;
    return NULL;
}

enum sj_hold_mode sj_hold_mode(const struct sj_space *space)
{
    const struct hold *hold = find_hold(space);
    return hold == NULL ? SJ_HOLD_NONE : hold->mode;
}

/* The thread's slot in a lock. `*borrowed`: only for this hold, as a hold on another space is using
 * the place in the cache where it belongs. */
static int find_slot(struct sj_lock *lock, struct sj_lock_slot **slot, bool *borrowed)
{
    struct slot_entry *entry = &me->slots[lock->serial % SLOTS_CACHED];
    *slot = entry->slot;
    *borrowed = false;
    if (SJ_LIKELY(entry->serial == lock->serial))
        return SJ_OK;
    int error = sj_lock_take_slot(lock, slot);
    if (error != SJ_OK)
        return error;
    for (struct hold *hold = me->top; hold != NULL && hold >= me->hold; hold--)
        *borrowed |= entry->serial != 0 && hold->slot == entry->slot;
    if (*borrowed)
        return SJ_OK;
    if (entry->serial != 0)
        sj_space_give_slot(entry->serial, entry->slot);
    *entry = (struct slot_entry){lock->serial, *slot};
    return SJ_OK;
}

/* Whose addresses the thread uses from now on. */
static inline void use(struct sj_space *space)
{
    __atomic_store_n(&me->active, space, __ATOMIC_RELEASE);
}

/* Its current space's again, which need not be at home. */
static inline void use_top(void)
{
    use(me->top == NULL ? NULL : me->top->space);
}

static inline bool is_parked(const struct sj_space *space)
{
    return __atomic_load_n(&space->parked, __ATOMIC_ACQUIRE);
}

/* The same with the space at home. */
static int use_at_home(struct sj_space *space, const struct sj_wait *wait)
{
    use(space);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return SJ_LIKELY(!is_parked(space)) ? SJ_OK : sj_park_home(space, wait);
}

int sj_holds_visit(struct sj_space *space, struct sj_space **before)
{
    *before = me->active;
    return use_at_home(space, NULL);
}

void sj_holds_end_visit(struct sj_space *before)
{
    use(before);
}

/* Whether a model follows the thread: then the process itself is at the bottom. */
static inline bool is_followed(const struct thread *thread)
{
    return thread->hold[0].space == NULL;
}

/* Above another hold. Returns SJ_OK. */
static __attribute__((noinline)) int push_nested(struct sj_space *space, enum sj_hold_mode mode,
                                                 struct sj_lock_slot *slot, bool borrowed)
{
    struct hold *top = ++me->top;
    *top = (struct hold){space, mode, 1, true, borrowed, slot};
    if (SJ_UNLIKELY(is_followed(me)))
        sj_mmu_on_switch(space);
    return SJ_OK;
}

/* Notes that the thread has taken the space's lock. Returns SJ_OK. */
static inline int push(struct sj_space *space, enum sj_hold_mode mode, struct sj_lock_slot *slot,
                       bool borrowed)
{
    if (SJ_UNLIKELY(me->top != NULL))
        return push_nested(space, mode, slot, borrowed);
    me->hold[0] = (struct hold){space, mode, 1, true, borrowed, slot};
    me->top = me->hold;
    return SJ_OK;
}

/* Enters a space that the thread is in already, or finds out why it cannot. */
SELDOM static int enter_again(struct sj_space *space, struct hold *hold, enum sj_hold_mode mode,
                              const struct sj_wait *wait)
{
    if (mode > hold->mode)
        return sj_error(SJ_EUPGRADE,
                        "the thread is inside of '%s' for reading: two threads that did this would "
                        "wait for each other for ever: use write() or transaction() from the "
                        "beginning",
                        space->segment->name);
    int error = use_at_home(space, wait);
    if (error != SJ_OK) {
        use_top();
        return error;
    }
    if (hold == me->top) {
        hold->depth++;
        return SJ_OK;
    }
    push_nested(space, hold->mode, NULL, false);
    me->top->owns = false; /* one below has the lock */
    return SJ_OK;
}

static int prepare(struct sj_space *space, enum sj_hold_mode mode, const struct sj_wait *wait,
                   bool *entered)
{
    *entered = false;
    if (SJ_UNLIKELY(me == NULL)) {
        int error = new_thread();
        if (error != SJ_OK)
            return error;
    }
    if (SJ_LIKELY(me->top == NULL))
        return SJ_OK;
    if (SJ_UNLIKELY(me->top == &me->hold[SJ_HOLDS_MAX - 1]))
        return sj_error(SJ_EINVAL, "more than %d spaces entered by one thread", SJ_HOLDS_MAX);
    struct hold *hold = find_hold(space);
    if (hold == NULL)
        return SJ_OK;
    *entered = true;
    return enter_again(space, hold, mode, wait);
}

/* The lock was not to be had at once: the thread uses no addresses while it waits. */
SELDOM static int read_slowly(struct sj_space *space, struct sj_lock_slot *slot,
                              const struct sj_wait *wait)
{
    use(NULL);
    int error = sj_lock_read_slow(space->lock, slot, wait);
    if (error == SJ_OK) {
        use(space);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return error;
}

SELDOM static int write_slowly(struct sj_space *space, const struct sj_wait *wait)
{
    use(NULL);
    int error = sj_lock_write(space->lock, wait);
    if (error == SJ_OK) {
        use(space);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return error;
}

/* The lock is had, and the space not at home: it comes, or the lock is given back. */
SELDOM static int come_home(struct sj_space *space, struct sj_lock_slot *slot,
                            const struct sj_wait *wait)
{
    int error = sj_park_home(space, wait);
    if (error == SJ_OK)
        return SJ_OK;
    if (slot != NULL)
        sj_lock_read_leave(space->lock, slot);
    else
        sj_lock_write_leave(space->lock);
    return error;
}

int sj_enter_read(struct sj_space *space, const struct sj_wait *wait)
{
    bool entered;
    int error = prepare(space, SJ_HOLD_READ, wait, &entered);
    if (SJ_UNLIKELY(error != SJ_OK || entered))
        return error;
    struct sj_lock_slot *slot;
    bool borrowed;
    error = find_slot(space->lock, &slot, &borrowed);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    use(space);
    if (SJ_UNLIKELY(!sj_lock_try_read(space->lock, slot)))
        error = read_slowly(space, slot, wait);
    if (SJ_UNLIKELY(error == SJ_OK && is_parked(space)))
        error = come_home(space, slot, wait);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        use_top();
        if (borrowed)
            sj_lock_give_slot(space->lock, slot);
        return error;
    }
    return push(space, SJ_HOLD_READ, slot, borrowed);
}

int sj_enter_write(struct sj_space *space, const struct sj_wait *wait)
{
    bool entered;
    if (SJ_UNLIKELY(!space->writable))
        return sj_segment_is_damaged(space->segment)
                   ? sj_segment_lost(space->segment)
                   : sj_error(SJ_EREADONLY, "'%s' was opened with flag 'r'", space->segment->name);
    int error = prepare(space, SJ_HOLD_WRITE, wait, &entered);
    if (SJ_UNLIKELY(error != SJ_OK || entered))
        return error;
    use(space);
    error = sj_lock_write(space->lock, NULL);
    if (SJ_UNLIKELY(error == SJ_EBUSY && wait != NULL))
        error = write_slowly(space, wait);
    if (SJ_UNLIKELY(error == SJ_OK && is_parked(space)))
        error = come_home(space, NULL, wait);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        use_top();
        return error;
    }
    return push(space, SJ_HOLD_WRITE, NULL, false);
}

int sj_hold_watch(bool watched)
{
    if (me == NULL) {
        int error = new_thread();
        if (error != SJ_OK)
            return error;
    }
    if (me->top != (watched ? NULL : me->hold))
        return sj_error(SJ_EBUSY, "the thread is inside of a space: leave it first");
    me->hold[0] = (struct hold){.space = NULL};
    me->top = watched ? me->hold : NULL;
    return SJ_OK;
}

/* ------------------------------------------------------------------ leaving */

SELDOM static int leave_borrowed(struct sj_space *space, struct sj_lock_slot *slot)
{
    sj_lock_read_leave(space->lock, slot);
    sj_lock_give_slot(space->lock, slot);
    return SJ_OK;
}

/* Leaves for writing with a transaction open, in a `wal` domain, or with a damaged segment, whose
 * log is left to be rolled back by the next one. */
__attribute__((noinline)) static int leave_write_slowly(struct sj_space *space)
{
    struct sj_segment *segment = space->segment;
    while (sj_tx_depth(segment) > 0)
        sj_tx_abort(segment);
    if (SJ_UNLIKELY(sj_segment_is_damaged(segment))) {
        int error = sj_segment_lost(segment); /* as long as nobody can detach it */
        sj_lock_write_abandon(space->lock);
        return error;
    }
    uint64_t position = segment->wal == NULL ? 0 : sj_wal_take_unacknowledged(segment);
    sj_lock_write_leave(space->lock);
    if (position == 0)
        return SJ_OK;
    use(NULL); /* the disk may take long, and needs no addresses */
    return sj_wal_acknowledge(segment, position);
}

/* Ends a hold on a damaged segment. */
SELDOM static int leave_damaged(struct sj_space *space)
{
    struct hold *top = me->top;
    int error = sj_segment_lost(space->segment);
    if (--top->depth > 0)
        return error;
    me->top = top == me->hold ? NULL : top - 1;
    use_top();
    if (is_followed(me) && me->top != NULL)
        sj_mmu_on_switch(me->top->space);
    if (top->owns && top->mode == SJ_HOLD_WRITE)
        return leave_write_slowly(space);
    if (top->owns && top->borrowed)
        leave_borrowed(space, top->slot);
    else if (top->owns)
        sj_lock_read_leave(space->lock, top->slot);
    return error;
}

SELDOM static int not_current(const struct sj_space *space)
{
    return sj_error(SJ_ENOHOLD,
                    "the thread's current space is not '%s': holds end in the order "
                    "opposite to that in which they began, in the thread that began them",
                    space->segment->name);
}

/* Gives back what the hold that was on top had. */
static inline int give_back(struct sj_space *space, const struct hold *top)
{
    if (!top->owns)
        return SJ_OK;
    if (top->mode == SJ_HOLD_READ) {
        if (SJ_UNLIKELY(top->borrowed))
            return leave_borrowed(space, top->slot);
        sj_lock_read_leave(space->lock, top->slot);
        return SJ_OK;
    }
    if (SJ_UNLIKELY(space->segment->tx.depth > 0 || space->segment->wal != NULL))
        return leave_write_slowly(space);
    sj_lock_write_leave(space->lock);
    return SJ_OK;
}

/* Leaves, and is in another space again. */
SELDOM static int leave_nested(struct sj_space *space, const struct hold *top)
{
    if (SJ_UNLIKELY(is_followed(me)))
        sj_mmu_on_switch(me->top->space);
    int error = give_back(space, top);
    use_top();
    int returned = sj_return(NULL);
    return error == SJ_OK ? returned : error;
}

int sj_return(const struct sj_wait *wait)
{
    struct sj_space *space = sj_current();
    return space == NULL ? SJ_OK : use_at_home(space, wait);
}

int sj_leave(struct sj_space *space)
{
    struct thread *thread = me;
    struct hold *top = thread == NULL ? NULL : thread->top;
    if (SJ_UNLIKELY(top == NULL || top->space != space))
        return not_current(space);
    if (SJ_UNLIKELY(sj_segment_is_damaged(space->segment)))
        return leave_damaged(space);
    if (--top->depth > 0)
        return SJ_OK;
    if (SJ_UNLIKELY(top != thread->hold)) {
        thread->top = top - 1;
        return leave_nested(space, top);
    }
    thread->top = NULL;
    int error = give_back(space, top);
    use(NULL);
    return error;
}
