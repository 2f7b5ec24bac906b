// SPDX-License-Identifier: Apache-2.0
/*
 * user.h: memory in a segment that belongs to its users, who lay it out as they like, and pointers
 * of theirs by name.
 *
 *   block   | kind 16, zero 48 | bytes 64 | the user's bytes …      (16-byte aligned;
 *   heap_layout.h)
 *                                         ↑ what the user's pointer says
 *
 * A block of a user is in use until it is freed: it is no leak, whether anything leads to it or
 * not (structures/check.c). What is in it is not looked at. A root of kind SJ_KIND_POINTER is a
 * name for any address of the segment, or for 0.
 *
 * Each function is an operation by itself, and belongs to an open transaction as any other. Stores
 * that the user makes directly, by a pointer, are announced before (sj_user_change).
 */
#ifndef SJ_PERSISTENCE_USER_H
#define SJ_PERSISTENCE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/segment.h"

/* A block of at least `bytes` bytes, its contents undefined. SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG,
 * SJ_EREADONLY, SJ_ECORRUPT: nothing has changed. */
SJ_API int sj_user_alloc(struct sj_segment *segment, uint64_t bytes, uint64_t *pointer);

/* Gives it back. SJ_EINVAL: the pointer is not one to a user's block. */
SJ_API int sj_user_free(struct sj_segment *segment, uint64_t pointer);

/* Whether the block in use at `block`, of so many bytes, is a user's. */
bool sj_user_has(const struct sj_segment *segment, uint64_t block, uint64_t bytes);

/* Bytes from `pointer` on, which may lie inside of a user's block, or in a record's fields, to its
 * end; 0: it does not. */
SJ_API uint64_t sj_user_room(const struct sj_segment *segment, uint64_t pointer);

/* Stores `bytes` bytes at `pointer`, all or none. SJ_EINVAL: they do not lie in a user's block. */
SJ_API int sj_user_write(struct sj_segment *segment, uint64_t pointer, const void *from,
                         uint64_t bytes);

/*
 * Says that the caller is going to store into those bytes directly. In a transaction: until it
 * ends, and when it is undone the bytes are what they were. Outside: until the write hold ends;
 * each store counts by itself. SJ_EINVAL: they do not lie in a user's block; or outside of a
 * transaction when the segment's durability is "power", which needs one.
 */
SJ_API int sj_user_change(struct sj_segment *segment, uint64_t pointer, uint64_t bytes);

/* Gives a pointer into the segment, or 0, a name, or the name another pointer. SJ_EINVAL: a pointer
 * to elsewhere; SJ_ETYPE: a structure has the name; those of sj_root_add. */
SJ_API int sj_user_root_set(struct sj_segment *segment, const char *name, size_t name_bytes,
                            uint64_t pointer);
/* Of a record: the address of its first field. SJ_ENOTFOUND, SJ_ETYPE. */
SJ_API int sj_user_root_get(const struct sj_segment *segment, const char *name, size_t name_bytes,
                            uint64_t *pointer);
/* SJ_ENOTFOUND, SJ_ETYPE. */
SJ_API int sj_user_root_remove(struct sj_segment *segment, const char *name, size_t name_bytes);

#endif
