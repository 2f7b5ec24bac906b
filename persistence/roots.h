// SPDX-License-Identifier: Apache-2.0
/*
 * roots.h: the roots directory: structures by name. Names are 1–255 bytes of UTF-8.
 * Changes are operations by themselves and belong to an open transaction as any other.
 */
#ifndef SJ_PERSISTENCE_ROOTS_H
#define SJ_PERSISTENCE_ROOTS_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/segment.h"

/* The root of that name. SJ_ENOTFOUND, SJ_ECORRUPT. Cost: O(roots / 64). */
SJ_API int sj_root_find(const struct sj_segment *segment, const char *name, size_t name_bytes,
                        struct sj_root **root);

/* Adds a root, in the plan of an operation that the caller has begun (so that a structure and its
 * name appear together). SJ_EEXISTS, SJ_EINVAL (name), SJ_EFULL. */
SJ_API int sj_root_add(struct sj_segment *segment, const char *name, size_t name_bytes,
                       uint16_t type, uint8_t key_codec, uint8_t value_codec, uint64_t pointer);

/*
 * A number that is different after any root may have ceased to exist: by removal, or because the
 * transaction that made it was undone. Who keeps a root's pointer looks at it before each use.
 */
static inline uint64_t sj_root_removals(const struct sj_segment *segment)
{
    return sj_load(&segment->root_page->removals);
}

/* Takes a root out, in the plan of an operation that the caller has begun. SJ_ENOTFOUND. */
SJ_API int sj_root_remove(struct sj_segment *segment, const char *name, size_t name_bytes);

/* The root after `previous` in no particular order; NULL begins and ends. SJ_ECORRUPT. */
SJ_API int sj_root_next(const struct sj_segment *segment, const struct sj_root *previous,
                        struct sj_root **next);

#endif
