// SPDX-License-Identifier: Apache-2.0
/*
 * seg_heap.h: memory in the segments of a VAS, and pointers by name, for the thread that is inside.
 *
 * The thread has switched into `vh`, or entered it, and goes on using pointers as they are; these
 * functions are for what the segment keeps account of. Each is an operation by itself, or part of
 * the transaction that is open on the segment (persistence/user.h). A segment that is not lockable
 * is locked for the operation, which waits at most ten seconds for that (SJ_EBUSY): its lock is
 * not taken in the order of those that the thread has, so that a wait may be in a circle.
 *
 * Errors of all: SJ_ENOHOLD: the thread's current VAS is another one, or none; SJ_EINVAL: the
 * pointer is not in reach; SJ_EREADONLY: to be changed, and the rights are to read; SJ_EDAMAGED;
 * and what sj_enter_write returns for a segment that is not lockable.
 */
#ifndef SJ_SPACEJMP_SEG_HEAP_H
#define SJ_SPACEJMP_SEG_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "spacejmp/vas.h"

/* A block of at least `bytes` bytes, 16-byte aligned, its contents undefined, in the segment of
 * that name. SJ_ENOTFOUND: no segment in reach has it; SJ_EFULL, SJ_ETOOBIG, SJ_ENOMEM. */
SJ_API int sj_seg_malloc(struct sj_vas *vh, const char *segment, uint64_t bytes, void **pointer);

/* Gives a block back. SJ_EINVAL: sj_seg_malloc did not give it, or it has been freed. */
SJ_API int sj_seg_free(struct sj_vas *vh, void *pointer);

/* Stores bytes into a block, all or none. SJ_EINVAL: they do not lie in a block of sj_seg_malloc.
 * */
SJ_API int sj_seg_write(struct sj_vas *vh, void *to, const void *from, uint64_t bytes);

/* Before the thread stores into those bytes of a block directly: until the transaction on the
 * segment ends, or, without one, until it leaves the VAS. SJ_EINVAL as sj_seg_write, and:
 * durability "power" needs a transaction. */
SJ_API int sj_seg_change(struct sj_vas *vh, void *at, uint64_t bytes);

/* Gives a pointer a name, in the segment that it leads into; one of that name in another segment is
 * taken away afterwards. SJ_EEXISTS: a segment that may only be read has the name; SJ_ETYPE: that
 * of a structure; SJ_EFULL. */
SJ_API int sj_vas_root_set(struct sj_vas *vh, const char *name, void *pointer);
/* SJ_ENOTFOUND. */
SJ_API int sj_vas_root_get(struct sj_vas *vh, const char *name, void **pointer);
/* SJ_ENOTFOUND. */
SJ_API int sj_vas_root_remove(struct sj_vas *vh, const char *name);

/* Calls with each name in reach and its pointer; `visit` returns 0 to go on, and takes no names
 * away. SJ_ECORRUPT, and what `visit` returns. */
typedef int sj_vas_root_visit(void *context, const char *name, size_t name_bytes, void *pointer);
SJ_API int sj_vas_root_list(struct sj_vas *vh, sj_vas_root_visit *visit, void *context);

#endif
