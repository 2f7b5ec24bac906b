// SPDX-License-Identifier: Apache-2.0
/*
 * wal_file.c: the files of the write-ahead log: making, extending, reading and writing them.
 *
 * Written past the page cache (O_DIRECT) where the filesystem can, so that a read after a failed
 * write gives what the disk has, not what the cache wished for. A file is filled with zeros before
 * batches go into it: then a batch changes no metadata, and its sync is one of data alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "persistence/checksum.h"
#include "persistence/wal.h"

#define ZEROS_BYTES (1ull << 20)

uint64_t sj_wal_log_step = 8ull << 20;
uint64_t sj_wal_log_limit = 64ull << 20;

void *sj_wal_buffer(uint64_t bytes)
{
    void *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffer == MAP_FAILED ? NULL : buffer;
}

void sj_wal_buffer_free(void *buffer, uint64_t bytes)
{
    if (buffer != NULL)
        munmap(buffer, bytes);
}

/* What the filesystem asks of direct writes; 0 when it has none. */
static uint32_t direct_unit(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx status;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) != 0)
        return status.stx_dio_offset_align;
#endif
    (void)fd;
    return SJ_PAGE;
}

static int open_file(const char *path, uint32_t number, bool make, uint32_t mode,
                     struct sj_wal_file *file)
{
    char name[4200];
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0);
    snprintf(name, sizeof name, "%s.log%u", path, number);
    *file = (struct sj_wal_file){.fd = open(name, flags | O_DIRECT, mode), .direct = true};
    if (file->fd < 0 && errno == EINVAL)
        *file = (struct sj_wal_file){.fd = open(name, flags, mode)};
    if (file->fd < 0)
        return sj_segment_failed(name, "open");
    uint32_t unit = file->direct ? direct_unit(file->fd) : 512;
    if (file->direct && (unit == 0 || unit > SJ_PAGE)) {
        fcntl(file->fd, F_SETFL, fcntl(file->fd, F_GETFL) & ~O_DIRECT);
        file->direct = false;
        unit = 512;
    }
    file->sector = unit < 512 ? 512 : unit;
    return SJ_OK;
}

/* A new file has the permissions of the segment file, and its name survives a power loss. */
static int make_file(struct sj_wal *wal, uint32_t number, struct sj_wal_file *file)
{
    struct stat status;
    if (fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    int error = open_file(wal->path, number, true, status.st_mode & 0666, file);
    if (error != SJ_OK)
        return error;
    fchmod(file->fd, status.st_mode & 0666);
    return sj_segment_sync_directory(wal->path);
}

int sj_wal_use_file(struct sj_wal *wal, uint64_t epoch, bool make, struct sj_wal_file **file)
{
    int error = SJ_OK;
    uint32_t number = (uint32_t)(epoch & 1);
    *file = &wal->log[number];
    pthread_mutex_lock(&wal->local);
    if ((*file)->fd < 0) {
        error = open_file(wal->path, number, false, 0, *file);
        if (error == SJ_ENOTFOUND && make)
            error = make_file(wal, number, *file);
    }
    pthread_mutex_unlock(&wal->local);
    return error;
}

void sj_wal_file_close(struct sj_wal_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

int sj_wal_file_write(const struct sj_wal_file *file, const void *buffer, uint64_t bytes,
                      uint64_t at)
{
    const char *from = buffer;
    sj_disk_write(file->fd, buffer, bytes, at);
    while (bytes > 0) {
        struct iovec part = {(void *)(uintptr_t)from, bytes};
        ssize_t written = pwritev2(file->fd, &part, 1, (off_t)at, RWF_DSYNC);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        from += written;
        at += (uint64_t)written;
        bytes -= (uint64_t)written;
    }
    sj_disk_sync(file->fd);
    return 0;
}

int64_t sj_wal_file_read(const struct sj_wal_file *file, void *buffer, uint64_t bytes, uint64_t at)
{
    uint64_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(file->fd, (char *)buffer + done, bytes - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -(int64_t)errno;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

int sj_wal_file_extend(const struct sj_wal_file *file, uint64_t from, uint64_t to)
{
    int error = 0;
    if (fallocate(file->fd, 0, (off_t)from, (off_t)(to - from)) != 0 && errno != EOPNOTSUPP)
        return errno;
    void *zeros = sj_wal_buffer(ZEROS_BYTES);
    if (zeros == NULL)
        return ENOMEM;
    while (from < to && error == 0) {
        uint64_t bytes = to - from < ZEROS_BYTES ? to - from : ZEROS_BYTES;
        ssize_t written = pwrite(file->fd, zeros, bytes, (off_t)from);
        if (written > 0)
            from += (uint64_t)written;
        else if (written == 0 || errno != EINTR)
            error = written == 0 ? EIO : errno;
    }
    sj_wal_buffer_free(zeros, ZEROS_BYTES);
    if (error == 0 && fdatasync(file->fd) != 0)
        error = errno;
    return error;
}

uint64_t sj_wal_batch_checksum(const struct sj_wal_batch *batch)
{
    uint64_t seed = sj_checksum(
        batch->magic, &batch->epoch,
        (offsetof(struct sj_wal_batch, checksum) - offsetof(struct sj_wal_batch, epoch)) / 8);
    return sj_checksum(seed, (const uint64_t *)(batch + 1), batch->bytes / 8);
}

void sj_wal_header_init(struct sj_wal_header *header, const uint8_t uuid[16], uint32_t sector,
                        const struct sj_wal_place *place)
{
    memset(header, 0, sizeof *header);
    header->magic = SJ_WAL_MAGIC;
    header->version = SJ_WAL_VERSION;
    header->sector = sector;
    memcpy(header->uuid, uuid, sizeof header->uuid);
    header->epoch = place->epoch;
    header->position = place->durable;
    header->chain = place->chain;
    header->checksum = sj_checksum(SJ_WAL_MAGIC, (const uint64_t *)header,
                                   offsetof(struct sj_wal_header, checksum) / 8);
}

int sj_wal_file_begin(const struct sj_wal_file *file, struct sj_wal_header *header)
{
    return sj_wal_file_write(file, header, sizeof *header, 0);
}
