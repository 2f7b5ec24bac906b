// SPDX-License-Identifier: Apache-2.0
/*
 * clone.h: a segment's data in a file of its own, at the same base: all its pointers hold.
 *
 *   source ──sj_segment_clone──→ clone, complete, without a name ──sj_clone_publish──→ segment
 *                                                                └─sj_clone_drop─────→ nothing
 *
 * A clone has another name and uuid, is clean, and has neither log nor working image. What it holds
 * is what the source had committed: the caller has at least a read hold, so no transaction is open.
 * Of a `wal` store that is its working image, of a private segment its memory.
 *
 * A version is a clone that is never changed: SJ_FEATURE_FROZEN in its superblock lets nobody open
 * it for writing.
 *
 * Cost: where the filesystem shares blocks between files (FICLONE) a system call or two; else a
 * copy of what is not a hole. What is committed is allocated, so that later changes find a full
 * disk no more than those of the source do; but blocks that two files share become two when one of
 * them is changed, and if there is no room for that then, the store that is changed is damaged for
 * the process (loss.h) and whole when it is opened again.
 */
#ifndef SJ_PERSISTENCE_CLONE_H
#define SJ_PERSISTENCE_CLONE_H

#include "persistence/segment.h"

/* Called now and then; anything but SJ_OK ends the copy, and is what it returns. */
typedef int sj_clone_progress(void *context, uint64_t done, uint64_t total);

struct sj_clone_spec {
    const char *name;            /* of the clone */
    const char *path;            /* where it is going to be: its file is made in that directory */
    uint32_t mode;               /* permissions; 0: the source's */
    int durability;              /* enum sj_durability; SJ_CLONE_KEEPS: the source's */
    bool frozen;                 /* a version: for reading only, for ever */
    sj_clone_progress *progress; /* or NULL */
    void *context;
};

#define SJ_CLONE_KEEPS (-1)

struct sj_clone;

/*
 * Copies the source, which is mapped, into a file without a name, synced. With any hold on it, at
 * home when it is private; else its addresses are not used, and may be another one's meanwhile.
 * SJ_EINVAL: inside of a transaction, a name that is too long, or a durability that is not to be
 * had there; SJ_EFULL, SJ_EPERM, SJ_EIO, SJ_ENOMEM; SJ_EDAMAGED, SJ_ETRUNCATED, SJ_ECORRUPT,
 * SJ_EUNCLEAN of the source. Nothing is left behind then.
 */
SJ_API int sj_segment_clone(struct sj_segment *source, const struct sj_clone_spec *spec,
                            struct sj_clone **clone);

/* Gives it its name, in the directory that it was made for; it is there, whole, or not. SJ_EEXISTS,
 * SJ_EIO; SJ_ENOTFOUND: on a filesystem without unnamed files, somebody has cleared it away. The
 * object is gone also when this fails. */
SJ_API int sj_clone_publish(struct sj_clone *clone, const char *path);

SJ_API void sj_clone_drop(struct sj_clone *clone);

/* The uuid that it is going to have. */
SJ_API void sj_clone_uuid(const struct sj_clone *clone, uint8_t uuid[16]);

/* How many bytes cloning it copies, at most: what its progress is told of. With a hold. Errors of
 * sj_segment_clone. */
int sj_segment_clone_bytes(const struct sj_segment *source, uint64_t *bytes);

/* The same bytes in a file that never gets a name, beside `path` or, where that is not to be
 * written, in memory; not synced. For sj_segment_open_private. Errors of sj_segment_clone. */
int sj_segment_copy(struct sj_segment *source, const char *path, sj_clone_progress *progress,
                    void *context, int *fd);

#endif
