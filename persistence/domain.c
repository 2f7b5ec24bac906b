// SPDX-License-Identifier: Apache-2.0
/* domain.c: the persistence domains, and which one a file is in. */
#include "persistence/domain.h"

#include <errno.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "persistence/segment.h"
#include "persistence/wal.h"

static int nothing_to_sync(struct sj_segment *segment)
{
    (void)segment;
    return SJ_OK;
}

/* fsync writes back pages that were stored to through a shared mapping as well. */
static int sync_file(struct sj_segment *segment)
{
    if (fsync(segment->fd) == 0)
        return SJ_OK;
    return sj_error(SJ_EIO, "'%s': fsync: %s", segment->name, strerror(errno));
}

static const struct sj_domain shm = {
    .name = "shm",
    .durability = SJ_DURABILITY_PROCESS,
    .outlives_reboot = false,
    .sync = nothing_to_sync,
};

static const struct sj_domain file = {
    .name = "file",
    .durability = SJ_DURABILITY_PROCESS,
    .outlives_reboot = true,
    .sync = sync_file,
};

int sj_domain_of(int fd, enum sj_durability wanted, const struct sj_domain **domain)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return sj_error(SJ_EIO, "fstatfs: %s", strerror(errno));
    bool memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
    *domain = memory ? &shm : wanted == SJ_DURABILITY_POWER ? &sj_wal_domain : &file;
    if (wanted <= (*domain)->durability)
        return SJ_OK;
    return sj_error(SJ_EINVAL,
                    "durability 'power' was asked for; the '%s' domain of this file "
                    "keeps what was acknowledged through the death of any process, not through "
                    "power loss: use durability='process'",
                    (*domain)->name);
}
