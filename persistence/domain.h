// SPDX-License-Identifier: Apache-2.0
/*
 * domain.h: persistence domains: what makes a store durable on a given backing.
 *
 * A domain is a small table, chosen when a segment is opened from what the kernel says of the
 * file, never guessed.
 *
 *   domain  backing              durability  cost of a commit
 *   shm     tmpfs                process     ordering only
 *   file    ordinary filesystem  process     ordering only; an unclean reboot is noticed
 *   wal     ordinary filesystem  power       a write and a sync of a log, shared (wal.h)
 *   private memory of a process  process     ordering only: it ends with the process (segment.h)
 *   dax     persistent memory    power       a flush of each line that was stored to, three fences
 *
 * For a domain with `collects`, a transaction keeps account of every range that it changes, so that
 * the commit can flush them or copy them to a log.
 */
#ifndef SJ_PERSISTENCE_DOMAIN_H
#define SJ_PERSISTENCE_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "persistence/error.h"

enum sj_durability {
    SJ_DURABILITY_PROCESS, /* survives the death of any process at any instruction */
    SJ_DURABILITY_POWER,   /* survives power loss too */
};

struct sj_segment;

struct sj_domain {
    const char *name;
    enum sj_durability durability;
    bool outlives_reboot; /* the backing is still there after a reboot */
    bool collects;        /* commits need to know what has changed */
    int map_flags;        /* of mmap, beside MAP_SHARED */
    bool sums;            /* the mapped pages are the file's: their checksums are kept (sums.h) */
    /* Hands a range to the media, until the next drain. NULL: program order is enough. */
    void (*flush)(const void *at, size_t bytes);
    void (*drain)(void);
    /* Whether the segment may be changed. These four are NULL when there is nothing to do. */
    int (*usable)(const struct sj_segment *segment);
    /* Before the store that commits, and after it: the changes go to a log elsewhere. A failure
     * rolls the transaction back. */
    int (*commit)(struct sj_segment *segment);
    void (*committed)(struct sj_segment *segment);
    /* Before a dead writer's undo log is looked at. */
    void (*recovering)(struct sj_segment *segment);
    /* All of the segment to stable storage. */
    int (*sync)(struct sj_segment *segment);
};

/* Of a private segment: nobody else sees it, and nothing of it lasts. */
extern const struct sj_domain sj_private_domain;

/* fsync: writes back what was stored through a shared mapping as well. */
int sj_domain_sync_file(struct sj_segment *segment);

/* The domain of an open file of at least a page. SJ_EINVAL when `wanted` is not to be had there. */
SJ_API int sj_domain_of(int fd, enum sj_durability wanted, const struct sj_domain **domain);

#endif
