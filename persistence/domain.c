// SPDX-License-Identifier: Apache-2.0
/* domain.c: the persistence domains, and which one a file is in. */
#include "persistence/domain.h"

#include <errno.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "persistence/dax.h"
#include "persistence/segment.h"
#include "persistence/wal.h"

static int nothing_to_sync(struct sj_segment *segment)
{
    (void)segment;
    return SJ_OK;
}

int sj_domain_sync_file(struct sj_segment *segment)
{
    if (fsync(segment->fd) == 0)
        return SJ_OK;
    segment->sync_failed = true;
    return sj_error(SJ_EIO, "'%s': fsync: %s", segment->name, strerror(errno));
}

static const struct sj_domain shm = {
    .name = "shm",
    .durability = SJ_DURABILITY_PROCESS,
    .outlives_reboot = false,
    .sums = true,
    .sync = nothing_to_sync,
};

static const struct sj_domain file = {
    .name = "file",
    .durability = SJ_DURABILITY_PROCESS,
    .outlives_reboot = true,
    .sums = true,
    .sync = sj_domain_sync_file,
};

const struct sj_domain sj_private_domain = {
    .name = "private",
    .durability = SJ_DURABILITY_PROCESS,
    .outlives_reboot = false,
    .sums = false,
    .sync = nothing_to_sync,
};

int sj_domain_of(int fd, enum sj_durability wanted, const struct sj_domain **domain)
{
    struct statfs fs;
    if (wanted == SJ_DURABILITY_POWER && (*domain = sj_dax_domain(fd)) != NULL)
        return SJ_OK;
    if (fstatfs(fd, &fs) != 0)
        return sj_error(SJ_EIO, "fstatfs: %s", strerror(errno));
    bool memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
    *domain = memory ? &shm : wanted == SJ_DURABILITY_POWER ? &sj_wal_domain : &file;
    if (wanted <= (*domain)->durability)
        return SJ_OK;
    return sj_error(SJ_EINVAL,
                    "durability 'power' is not to be had on tmpfs, which is empty when the machine "
                    "has stopped: choose a home on a disk or on persistent memory, or use "
                    "durability='process'");
}
