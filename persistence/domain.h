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

struct sj_domain {
    const char *name;
    enum sj_durability durability;
    bool outlives_reboot;                        /* the backing is still there after a reboot */
    void (*flush)(const void *at, size_t bytes); /* NULL: nothing to flush */
    void (*drain)(void);                         /* NULL: program order is enough */
    int (*sync)(int fd, void *at, size_t bytes); /* a whole range to stable storage */
};

/* The domain of an open file. SJ_EINVAL when `wanted` is not to be had there. */
SJ_API int sj_domain_of(int fd, enum sj_durability wanted, const struct sj_domain **domain);

#endif
