// SPDX-License-Identifier: Apache-2.0
/*
 * vas.h: an attached VAS of several segments, and switching into it.
 *
 * A VAS is attached from a source, which says what segments it has: a record of the catalog
 * (spacejmp/catalog.h). Each of them is attached as a space of its own (space.h), which other VASes
 * and stores of this process may have too. A process has one `struct sj_vas` for a VAS and its
 * rights: attaching again gives the same one, counted.
 *
 *   states, of a VAS     attach → attached (references ≥ 1) → detach … → references 0 → freed
 *           of a thread  in the initial space → switch → in a VAS → switch (NULL) → …
 *
 * V1  What a thread can reach inside of a VAS is a list of segments that never changes, in
 *     ascending base order, no two of which overlap. When the record changes, the next switch
 *     makes another list; who is inside goes on with the one that was entered.
 * V2  Entering takes the locks of the lockable segments in ascending base order: shared when the
 *     rights are to read, else exclusive. Those that the thread has already are not taken again.
 * V3  While a thread is inside and does not wait, all that it can reach is at home (park.h, I1).
 * V4  A thread that waits for a lock, or for addresses, keeps nobody from any addresses.
 * V5  Whatever fails in the middle gives back what it had taken.
 *
 * Windows: a segment is in one window of its VAS, or in all. A switch goes into one window, whose
 * segments may lie where those of other windows do: so a VAS holds more than there are addresses.
 *
 * Isolation: a VAS that is "strict" has its segments moved aside by the thread that leaves it, when
 * no other is inside: then its addresses lead nowhere, and a stray pointer into it faults.
 *
 * Cost: a switch between resident VASes is the locks, a fence and a few loads; moving page tables
 * comes to about 10 µs a segment that is not at home.
 *
 * El Hajj et al., SpaceJMP, ASPLOS 2016, §3.
 */
#ifndef SJ_SPACEJMP_VAS_H
#define SJ_SPACEJMP_VAS_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/space.h"
#include "spacejmp/vas_source.h"

struct sj_vas; /* the handle `vh` of the paper */

/* A segment of an attached VAS. */
struct sj_vas_member {
    char name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
    uint64_t base;
    uint64_t reserved;
    uint32_t rights;
    uint32_t window;
    bool lockable;
    bool is_private; /* attached to this process's handle alone */
    bool parked; /* its addresses are another one's at the moment; told by sj_vas_member alone */
    struct sj_space *space;
};

/*
 * Attaches a VAS, or counts one more reference when it is attached with those rights. The source is
 * the VAS's from then on, also after a failure: it is closed when it is not needed.
 * Errors of sj_space_attach for any segment; SJ_EADDRESS: two segments of a window overlap;
 * SJ_EINVAL: no rights, or more segments than a thread can hold. Nothing is attached then.
 */
SJ_API int sj_vas_attach_source(const struct sj_vas_source *source, uint32_t rights,
                                const struct sj_wait *wait, struct sj_vas **vh);

/* Gives one reference back; the last one detaches its segments. SJ_EBUSY when it is the last one
 * and a thread of this process is inside; nothing is detached then. Other errors of
 * sj_space_detach: it is detached all the same. */
SJ_API int sj_vas_detach(struct sj_vas *vh, const struct sj_wait *wait);

/* Adds a segment to this process's VAS alone, as if it were in the record; it has the rights that
 * are asked for; when the record gets it later, that counts. SJ_EEXISTS: it is in the VAS;
 * SJ_EADDRESS: it overlaps another one of its window; and those of sj_space_attach.
 * (sj_seg_attach_private, names.h, takes a name.) */
SJ_API int sj_vas_add_private(struct sj_vas *vh, const struct sj_vas_part *part,
                              const struct sj_wait *wait);
/* Takes it away; threads that are inside keep it until they leave. SJ_ENOTFOUND: it is no private
 * one of the VAS. */
SJ_API int sj_vas_remove_private(struct sj_vas *vh, const uint8_t uuid[16],
                                 const struct sj_wait *wait);

/*
 * Leaves the VAS that the thread has switched into, if it has, and makes `vh` (a window of it) its
 * current one; NULL: the initial space. SJ_EBUSY when the thread is inside of other holds: it
 * leaves them first. What fails before anything is left changes nothing: SJ_EINVAL, there is no
 * such window; a record that has changed and cannot be attached. What fails afterwards leaves the
 * thread in the initial space (sj_vas_current tells): SJ_EBUSY, SJ_EINTR, and errors of
 * sj_enter_write. `wait` NULL: neither waits nor takes over changes of the record (SJ_EBUSY).
 * SJ_EIO, SJ_EDAMAGED of sj_leave: the switch has been made.
 */
SJ_API int sj_vas_switch(struct sj_vas *vh, uint32_t window, const struct sj_wait *wait);
/* The same; `*previous` is what the thread was in, or NULL. */
SJ_API int sj_vas_switchm(struct sj_vas *vh, uint32_t window, const struct sj_wait *wait,
                          struct sj_vas **previous);
/* The VAS that the calling thread is inside of, the innermost; NULL: none. */
SJ_API struct sj_vas *sj_vas_current(void);
/* The window of it that the thread is in. */
SJ_API uint32_t sj_vas_window(void);

/* The same as holds that nest, also with those of single spaces (hold.h). Errors of sj_vas_switch
 * and SJ_EUPGRADE: the thread has a segment for reading that is to be written. A failure of enter
 * leaves the thread as it was; but if its addresses have been taken meanwhile: sj_return. */
SJ_API int sj_vas_enter(struct sj_vas *vh, uint32_t window, const struct sj_wait *wait);
/* Errors of sj_leave. */
SJ_API int sj_vas_leave(struct sj_vas *vh);

/* Takes over changes of the record now, as the next switch would. */
SJ_API int sj_vas_refresh(struct sj_vas *vh, const struct sj_wait *wait);

SJ_API const char *sj_vas_name(const struct sj_vas *vh);
SJ_API const uint8_t *sj_vas_uuid(const struct sj_vas *vh);
SJ_API uint32_t sj_vas_rights(const struct sj_vas *vh);
/* How many windows it has; 1 when all segments are in all. */
SJ_API uint32_t sj_vas_windows(struct sj_vas *vh);

/* Segment number `index` of the VAS, in ascending base order; false when there are no more. The
 * space stays attached as long as the thread is inside, or the record names it. */
SJ_API bool sj_vas_member(struct sj_vas *vh, uint32_t index, struct sj_vas_member *segment);

/* Whether it is attached with isolation "strict". */
SJ_API bool sj_vas_is_strict(struct sj_vas *vh);

/* The space that has `bytes` bytes at `pointer`, committed and with those rights, of what the
 * calling thread can reach now. SJ_ENOHOLD: it is inside of nothing; SJ_EINVAL: they are not in
 * reach; SJ_EREADONLY. */
SJ_API int sj_vas_resolve(uint64_t pointer, uint64_t bytes, uint32_t rights,
                          struct sj_space **space);
/* Copies them. Errors of sj_vas_resolve; SJ_EDAMAGED: they need not be what was there. */
SJ_API int sj_vas_copy(uint64_t pointer, void *to, uint64_t bytes);

#endif
