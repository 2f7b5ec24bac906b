// SPDX-License-Identifier: Apache-2.0
/*
 * layout.h: the segments that a VAS had when its record was last read, attached, and what of them
 * can be reached from each window. (For vas.c.)
 *
 * A layout is one block of memory, with its reaches in it. It does not change once it is current,
 * but for `generation`. When it is not any more it is retired: it is freed, and its segments are
 * detached, as soon as no thread is in it (hold_thread.h, T1). One that is made and never becomes
 * current is retired from the beginning.
 *
 *   states   sj_layout_make → current → (sj_layout_replace) retired → (sj_layout_reclaim) freed
 *
 * Locking: the caller has vas.c's mutex `changing`, except for sj_layout_forked.
 */
#ifndef SJ_SPACEJMP_LAYOUT_H
#define SJ_SPACEJMP_LAYOUT_H

#include "spacejmp/reach.h"
#include "spacejmp/vas.h"

struct sj_layout {
    struct sj_layout *next; /* of those that are being made, or retired */
    size_t bytes;           /* of the block */
    const struct sj_vas *vas;
    uint64_t generation; /* of the record */
    bool strict;
    uint32_t windows;
    uint32_t count;
    uint32_t attached;             /* segments of `segment` that have a reference: the first ones */
    struct sj_vas_member *segment; /* by base */
    struct sj_reach *reach[];      /* of each window */
};

/* What a layout is made of: the parts of the record, and private ones. */
struct sj_layout_spec {
    struct sj_vas *vas;
    const char *name;
    const struct sj_layout *before; /* that it takes the place of; or NULL */
    uint32_t rights;                /* of the attachment, for the parts of the record */
    const struct sj_vas_part *part; /* of the record, and then the private ones */
    uint32_t count;
    uint32_t private_count; /* how many of them, at the end */
    bool strict;
    uint64_t generation;
};

/* Attaches all segments; those that the layout before has without looking for their files. After a
 * failure nothing is attached. SJ_ENOMEM, SJ_EINVAL, SJ_EEXISTS, SJ_EADDRESS and those of
 * sj_space_attach. */
int sj_layout_make(const struct sj_layout_spec *spec, const struct sj_wait *wait,
                   struct sj_layout **made);

/* Whether two layouts let a thread reach the same. */
bool sj_layout_equals(const struct sj_layout *a, const struct sj_layout *b);

/* The fresh layout (NULL: none) is the one in `*current` from now on, and the one before is
 * retired: it is not entered any more. */
void sj_layout_replace(void **current, struct sj_layout *fresh);

/* Frees retired layouts that no thread is in; waits for the addresses of those of `vas`, and of no
 * others, and returns their first error that has to do with files. What cannot be detached yet is
 * tried again the next time. */
int sj_layout_reclaim(const struct sj_vas *vas, const struct sj_wait *wait);

/* Whether a thread is inside of a retired layout of that VAS. */
bool sj_layout_is_entered(const struct sj_vas *vas);

/* Moves aside all its segments that no thread uses. */
void sj_layout_park(const struct sj_layout *layout);

/* The VAS goes: none of its layouts names it any more. */
void sj_layout_disown(const struct sj_vas *vas);

/* No fork in between; and in the child. */
void sj_layout_lock(void);
void sj_layout_unlock(void);
void sj_layout_forked(void);

#endif
