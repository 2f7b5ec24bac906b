// SPDX-License-Identifier: Apache-2.0
/*
 * names.h: the half of the paper's interface that is about names: what exists, on the home that
 * this process uses (sj_home_use). What is attached is switched to by vas.h.
 *
 * catalog.h has the rules and the errors; a change waits at most ten seconds for others (SJ_EBUSY).
 */
#ifndef SJ_SPACEJMP_NAMES_H
#define SJ_SPACEJMP_NAMES_H

#include "persistence/clone.h"
#include "spacejmp/catalog.h"
#include "spacejmp/vas.h"

/* Makes a VAS without segments; `mode`: permissions, e.g. 0600. */
SJ_API int sj_vas_create(const char *name, uint32_t mode, struct sj_vid *vid);
/* The VAS of that name; a segment is one too. */
SJ_API int sj_vas_find(const char *name, struct sj_vid *vid);
/* Removes it; of a VAS that was created, its segments stay. */
SJ_API int sj_vas_delete(const struct sj_vid *vid);
/* Makes a VAS of clones of its segments, all as they were at one moment (sj_catalog_vas_clone).
 * `progress` (persistence/clone.h) may be NULL. */
SJ_API int sj_vas_clone(const struct sj_vid *vid, const char *name, sj_clone_progress *progress,
                        void *context, struct sj_vid *clone);
/* The names of all VASes; `names->name` is for free(). */
SJ_API int sj_vas_list(struct sj_names *names);
SJ_API int sj_vas_ctl(const struct sj_vid *vid, enum sj_vas_command command, uint64_t argument);
/* What it is; `record->segments` is for free(). */
SJ_API int sj_vas_read(const struct sj_vid *vid, struct sj_vas_record *record);

/* Makes a segment; `base` 0: chosen; `reserved` 0: 64 GiB. */
SJ_API int sj_seg_alloc(const char *name, uint64_t base, uint64_t reserved, uint32_t mode,
                        struct sj_sid *sid);
SJ_API int sj_seg_find(const char *name, struct sj_sid *sid);
/* SJ_EBUSY when VASes name it. */
SJ_API int sj_seg_delete(const struct sj_sid *sid);
/* Makes a segment with the same data at the same addresses. */
SJ_API int sj_seg_clone(const struct sj_sid *sid, const char *name, sj_clone_progress *progress,
                        void *context, struct sj_sid *clone);
SJ_API int sj_seg_list(struct sj_names *names);
SJ_API int sj_seg_ctl(const struct sj_sid *sid, enum sj_seg_command command, uint64_t argument);
/* What is set of it. */
SJ_API int sj_seg_settings(const struct sj_sid *sid, struct sj_settings *settings);

/* For all who have the VAS attached. `rights`: SJ_RIGHT_READ, or with SJ_RIGHT_WRITE. */
SJ_API int sj_seg_attach(const struct sj_vid *vid, const struct sj_sid *sid, uint32_t rights);
/* In one window of it; SJ_WINDOW_ALL; SJ_WINDOW_FIT: the first that has room. */
SJ_API int sj_seg_attach_window(const struct sj_vid *vid, const struct sj_sid *sid, uint32_t rights,
                                uint32_t window);
SJ_API int sj_seg_detach(const struct sj_vid *vid, const struct sj_sid *sid);

/* Attaches a VAS to this process, and switches go there from then on: vas.h, which has the rest. */
SJ_API int sj_vas_attach(const struct sj_vid *vid, uint32_t rights, const struct sj_wait *wait,
                         struct sj_vas **vh);
/* For this process's handle alone, in all windows. */
SJ_API int sj_seg_attach_private(struct sj_vas *vh, const struct sj_sid *sid, uint32_t rights,
                                 const struct sj_wait *wait);
SJ_API int sj_seg_detach_private(struct sj_vas *vh, const struct sj_sid *sid,
                                 const struct sj_wait *wait);

#endif
