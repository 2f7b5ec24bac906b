// SPDX-License-Identifier: Apache-2.0
/*
 * space.h: an attached address space: segments mapped at their bases, one lock, reference counted.
 *
 * A process has at most one sj_space for a segment file: attaching again gives the same one; but
 * each private attachment is one of its own (space_clone.c). Two
 * process-wide mutexes: one for attaching and detaching, which may wait, and inside of it one for
 * the table of spaces, which never does. All functions may be called from any thread; a caller that
 * holds an interpreter's lock lets go of it first.
 *
 *   states   attach → attached (references ≥ 1) → detach … → references 0 → unmapped
 *            fork   → in the child: attached, no holds; joins the lock anew
 */
#ifndef SJ_SPACEJMP_SPACE_H
#define SJ_SPACEJMP_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "persistence/segment.h"
#include "spacejmp/lock.h"

struct sj_viewed;

struct sj_space {
    struct sj_segment *segment;
    struct sj_lock *lock;
    uint32_t references;
    bool writable;
    bool fork_locked;          /* private: nobody gets in to change it during a fork */
    bool torn;                 /* private: somebody was in, so the child's copy is of no use */
    bool parked;               /* or about to be: its addresses may be another one's (park.h) */
    uint64_t parking;          /* where it is then; 0: it never was */
    uint32_t views;            /* that keep it at home and attached (views.h) */
    struct sj_viewed *viewed;  /* blocks with views */
    struct sj_space *next;     /* in the table of attached spaces */
    struct sj_space *neighbor; /* in the list of those that may have to be parked (park.c) */
    struct sj_space *neighbor_before;
};

struct sj_attach_options {
    bool writable;
    bool accept_unclean; /* go on after an unclean reboot */
    bool is_private;     /* to see it as it is now, and change it for oneself alone */
    const uint8_t *uuid; /* the segment's, whose lock file is given; NULL: it may be any */
    struct sj_wait wait; /* for others that are opening or closing it */
};

/*
 * Attaches the space in `segment_path`, coordinating through `lock_path` (made if missing). Errors
 * of sj_segment_open_uuid and sj_lock_open. One that is attached for reading here, and is asked for
 * writing, can be written from then on; who attached it for reading goes on doing that.
 *
 * Private: of a version, or of a copy of what the space has committed, which has no name; changes
 * stay in this process's memory, and are gone with the last reference. Errors of sj_segment_copy
 * and sj_enter_read as well.
 */
SJ_API int sj_space_attach(const char *segment_path, const char *lock_path,
                           const struct sj_attach_options *options, struct sj_space **space);

/* One more reference to a space that the caller has one to. */
void sj_space_share(struct sj_space *space);

/* For sj_space_attach, of a private one. */
int sj_space_attach_private(const char *segment_path, const char *lock_path,
                            const struct sj_attach_options *options, struct sj_space **space);
/* Attaches the segment in the open file (sj_segment_open_private; takes `fd`). (For
 * space_clone.c.) */
int sj_space_attach_file(int fd, const char *path, const struct sj_attach_options *options,
                         struct sj_space **space);

struct sj_clone;
struct sj_clone_spec;
/* Clones the space's segment (persistence/clone.h) under a read hold; meanwhile the thread uses no
 * addresses, unless the space is private. Errors of sj_segment_clone and sj_enter_read. */
SJ_API int sj_space_clone(struct sj_space *space, const struct sj_clone_spec *spec,
                          const struct sj_wait *wait, struct sj_clone **clone);

/* The same of several, each with its own `specs[i]`, as they were at one moment: under read holds
 * on all of them, which are taken in the order given. Progress is that of all, and told to the
 * first spec. Nothing is made when one fails. */
int sj_spaces_clone(struct sj_space *const *spaces, const struct sj_clone_spec *specs,
                    uint32_t count, const struct sj_wait *wait, struct sj_clone **clones);

/* Gives one reference back; the last one unmaps. SJ_EBUSY when a thread of this process is inside
 * of it, or has views of it, and this is the last reference, SJ_EBUSY and SJ_EINTR when its
 * addresses are another one's that threads do not leave in time (nothing is detached then); SJ_EIO
 * when the closing sync failed. */
SJ_API int sj_space_detach(struct sj_space *space, const struct sj_wait *wait);

/* Which space is attached as number `index` (from 0, in no order that lasts); false when there are
 * no more. */
SJ_API bool sj_space_nth(size_t index, char name[SJ_NAME_MAX + 1], uint64_t *base,
                         uint64_t *reserved);

/* Begins, or ends, watching the segments of all spaces, also of those that are attached later
 * (persistence/touch.h): until it was ended as often as it was begun. */
void sj_space_watch(bool watched);

/* Calls with each attached space; `visit` attaches and detaches nothing. */
void sj_space_each(void (*visit)(struct sj_space *space, void *context), void *context);

/* Gives a slot back to the lock with that serial number, if it is still open. (For hold.c.) */
void sj_space_give_slot(uint64_t serial, struct sj_lock_slot *slot);

/* How many forks lie between this process and the one that loaded the library. */
SJ_API uint32_t sj_space_forks(void);

/* A word that changes with every change of the space by anyone, also inside transactions. */
static inline uint64_t sj_space_changes(const struct sj_space *space)
{
    return sj_lock_changes(space->lock);
}

#endif
