// SPDX-License-Identifier: Apache-2.0
/*
 * views.h: memory of a segment that somebody outside of it looks at: NumPy arrays, memoryviews, C.
 *
 * A view is of bytes in one block of the heap. As long as it lives, in whatever process, that block
 * is not freed (sj_segment_unviewed), the segment stays at home, and its space attached. So what
 * looks at it never looks at something else.
 *
 *   sj_view_begin ── the block is known here, and to others by a lock ──→ view ── sj_view_end
 *
 *   I1  While a view of a block lives, its process has a shared OFD lock on the bytes of the lock
 *       file that stand for the block (lock_layout.h): the kernel drops it when the process dies.
 *       A process has one entry for each block with views: locks of the same bytes do not add up.
 *   I2  Views are begun inside of a hold, and blocks are freed with the write hold: who frees and
 *       finds no view knows that none comes. A view is of a block that the open transaction has not
 *       made: else undoing it would free the block (the caller sees to that).
 *   I3  A space that has views is at home, and is not moved aside (park.h). When its first one is
 *       begun, no thread is inside of a space with some of the same addresses: so nobody who has to
 *       come home finds views in the way.
 *   I4  One that is written through is begun with the write hold. Its pages are marked then, and
 *       stay so (sums.c, I1): who makes checksums has a read hold, and leaves them out.
 *
 * fork: the child has the views of its parent, with locks of its own from its first moment on
 * (sj_views_before_fork): what the parent does with its views does not matter to it. Those of a
 * private space are of the child's own copy. Only if the system has no file to give at the fork
 * (EMFILE), the child takes its locks a moment later, or has none.
 *
 * Locking: a mutex for all entries, inside of it that of park.c. Ends come from any thread, with or
 * without a hold. Cost: one or two system calls for the first view of a block and for the last;
 * entries are looked through one by one.
 */
#ifndef SJ_SPACEJMP_VIEWS_H
#define SJ_SPACEJMP_VIEWS_H

#include "spacejmp/space.h"

/* A block that this process has views of. */
struct sj_viewed {
    uint64_t at;
    uint64_t bytes;
    uint32_t views;
    uint32_t writable; /* of those */
    struct sj_viewed *next;
};

struct sj_view {
    struct sj_space *space;
    struct sj_viewed *block;
    bool writable;
};

/*
 * Begins a view of the block of `bytes` bytes at `at`. The thread is inside of the space; for one
 * that is written through it has the write hold, of a store with durability "power" a transaction.
 * SJ_ENOHOLD, SJ_EREADONLY, SJ_EINVAL, SJ_ENOMEM, SJ_EIO; SJ_EBUSY: a thread is inside of a space
 * that has the same addresses.
 */
SJ_API int sj_view_begin(struct sj_space *space, uint64_t at, uint64_t bytes, bool writable,
                         struct sj_view *view);
SJ_API void sj_view_end(struct sj_view *view);

/* The block with views that has all of those bytes; false: there is none. */
SJ_API bool sj_views_find(const struct sj_space *space, uint64_t at, uint64_t bytes,
                          struct sj_viewed *block);

/* What an array covers: `dims` numbers each of items and of bytes from one to the next. */
struct sj_view_shape {
    uint64_t at; /* of the first item */
    uint64_t item_bytes;
    uint32_t dims;
    const int64_t *shape;
    const int64_t *strides;
};

#define SJ_VIEW_DIMS_MAX 64

/*
 * The old bytes of all that a view covers go to the log of the open transaction: what is stored
 * there directly from now on is undone with it, and as durable as the rest of it. Rows that lie
 * apart are logged one by one, else all from the first byte to the last. SJ_EINVAL: no transaction
 * is open, or the bytes are not of one view; SJ_EFULL, SJ_ENOMEM.
 */
SJ_API int sj_view_touch(struct sj_space *space, const struct sj_view_shape *shape);

/* How many views of the space this process has. */
static inline uint32_t sj_views_count(const struct sj_space *space)
{
    return __atomic_load_n(&space->views, __ATOMIC_ACQUIRE);
}

/* For space.c: it is attached; and around a fork, with its table's mutex. */
void sj_views_attached(struct sj_space *space);
void sj_views_lock(void);
void sj_views_unlock(void);
void sj_views_before_fork(struct sj_space *space);
void sj_views_after_fork(struct sj_space *space);
void sj_views_unlock_forked(void);
void sj_views_forked(struct sj_space *space, bool heir);

#endif
