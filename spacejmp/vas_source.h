// SPDX-License-Identifier: Apache-2.0
/*
 * vas_source.h: where the segments of an attached VAS come from.
 *
 * What attaches a VAS (vas.h) knows nothing of names: it asks a source for the segments, and looks
 * at the source's generation, at each switch, to learn whether to ask again. The catalog is one
 * source (sj_catalog_source).
 */
#ifndef SJ_SPACEJMP_VAS_SOURCE_H
#define SJ_SPACEJMP_VAS_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "persistence/media_layout.h"

enum { SJ_RIGHT_READ = 1, SJ_RIGHT_WRITE = 2 };

#define SJ_WINDOW_ALL UINT32_MAX /* in all windows of the VAS */

/* A segment of a VAS, for attaching. The strings live as long as the block that it is part of. */
struct sj_vas_part {
    const char *segment_path, *lock_path;
    uint8_t uuid[16];
    uint32_t rights; /* SJ_RIGHT_READ, or with SJ_RIGHT_WRITE; and-ed with the attachment's */
    uint32_t window; /* in which window it is; SJ_WINDOW_ALL: in all */
    bool lockable;   /* a switch takes its lock: shared when read-only, else exclusive */
};

struct sj_vas_contents {
    struct sj_vas_part *part; /* one block that the caller gives to free(); NULL: there are none */
    uint32_t count;
    bool strict; /* isolation "strict" */
};

struct sj_vas_source {
    uint8_t uuid[16];           /* of the VAS, with its place: a process attaches it once */
    const char *place;          /* the home; lives as long as the context */
    char name[SJ_NAME_MAX + 1]; /* for messages */
    /* SJ_ENOTFOUND: the VAS is gone; what is attached stays as it is. */
    int (*read)(void *context, struct sj_vas_contents *contents);
    /* Looked at before the segments are read: another number at a later look says that they may
     * have changed. Odd: they are being changed, or who did that has died: read them at each
     * switch. NULL: they never change. */
    const uint64_t *generation;
    void *context;
    void (*close)(void *context); /* gives all of it back; or NULL */
};

#endif
