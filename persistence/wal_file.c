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
#define SECTOR_MIN  512u

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

/* What the filesystem asks of direct reads and writes; 0 when it has none. */
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

static void go_through_cache(struct sj_wal_file *file)
{
    fcntl(file->fd, F_SETFL, fcntl(file->fd, F_GETFL) & ~O_DIRECT);
    file->direct = false;
    file->unit = SECTOR_MIN;
}

static int open_file(const char *name, int flags, uint32_t mode, struct sj_wal_file *file)
{
    flags |= O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    *file = (struct sj_wal_file){.fd = open(name, flags | O_DIRECT, mode), .direct = true};
    if (file->fd < 0 && errno == EINVAL)
        *file = (struct sj_wal_file){.fd = open(name, flags, mode)};
    if (file->fd < 0)
        return sj_segment_failed(name, "open");
    file->unit = file->direct ? direct_unit(file->fd) : SECTOR_MIN;
    if (file->unit == 0 || file->unit > SJ_PAGE)
        go_through_cache(file);
    file->unit = file->unit < SECTOR_MIN ? SECTOR_MIN : file->unit;
    return SJ_OK;
}

void sj_wal_file_suit(struct sj_wal_file *file, uint64_t sector)
{
    if (file->direct && sector % file->unit != 0)
        go_through_cache(file);
}

void sj_wal_give_away(int fd, const struct stat *owner)
{
    uint32_t mode = owner->st_mode & 0666;
    if (fchown(fd, owner->st_uid, owner->st_gid) != 0 && fchown(fd, (uid_t)-1, owner->st_gid) != 0)
        mode &= 0606; /* no group has it rather than another one */
    fchmod(fd, mode);
}

/* A new file is a page of zeros; it and its name survive a power loss. */
static int make_file(const struct sj_wal *wal, const char *name, struct sj_wal_file *file)
{
    struct stat status;
    if (fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    int error = open_file(name, O_CREAT, status.st_mode & 0600, file);
    if (error != SJ_OK)
        return error;
    sj_wal_give_away(file->fd, &status);
    int number = sj_wal_file_extend(file, 0, SJ_PAGE);
    if (number == 0)
        return sj_segment_sync_directory(wal->path);
    errno = number;
    return sj_segment_failed(name, "making a log file");
}

int sj_wal_files_open(struct sj_wal *wal, const char *segment_name, bool make)
{
    char name[sizeof wal->path + 8];
    struct stat status, named;
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.log%u", wal->path, i);
        int error = open_file(name, 0, 0, &wal->log[i]);
        if (error == SJ_OK && make) {
            if (fstat(wal->log[i].fd, &status) != 0)
                return sj_segment_failed(name, "fstat");
            if ((uint64_t)status.st_size < SJ_PAGE) { /* whoever made it died */
                sj_wal_file_close(&wal->log[i]);
                error = SJ_ENOTFOUND;
            }
        }
        if (error == SJ_ENOTFOUND && make)
            error = make_file(wal, name, &wal->log[i]);
        if (error == SJ_ENOTFOUND)
            error = sj_error(SJ_ECORRUPT,
                             "'%s': its log file %s is missing: put it back; without it "
                             "acknowledged changes are lost",
                             segment_name, name);
        if (error != SJ_OK)
            return error;
    }
    /* Of a store that was removed meanwhile, they may be its successor's. */
    if (fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    if (stat(wal->path, &named) != 0 || named.st_dev != status.st_dev ||
        named.st_ino != status.st_ino)
        return sj_error(SJ_ENOTFOUND, "%s: was removed while it was opened", wal->path);
    return SJ_OK;
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
    while (done < bytes && done % file->unit == 0) { /* or it was cut short by the file's end */
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

int sj_wal_file_settle(const struct sj_wal_file *file)
{
    if (fdatasync(file->fd) != 0)
        return errno;
    if (!file->direct)
        posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int write_zeros(const struct sj_wal_file *file, uint64_t from, uint64_t to)
{
    void *zeros = sj_wal_buffer(ZEROS_BYTES);
    int error = zeros == NULL ? ENOMEM : 0;
    while (from < to && error == 0) {
        uint64_t bytes = to - from < ZEROS_BYTES ? to - from : ZEROS_BYTES;
        sj_disk_write(file->fd, zeros, bytes, from);
        ssize_t written = pwrite(file->fd, zeros, bytes, (off_t)from);
        if (written > 0)
            from += (uint64_t)written;
        else if (written == 0 || errno != EINTR)
            error = written == 0 ? EIO : errno;
    }
    sj_wal_buffer_free(zeros, ZEROS_BYTES);
    if (error == 0 && fdatasync(file->fd) != 0)
        error = errno;
    if (error == 0)
        sj_disk_sync(file->fd);
    return error;
}

int sj_wal_file_extend(const struct sj_wal_file *file, uint64_t from, uint64_t to)
{
    int error;
    do
        error = fallocate(file->fd, 0, (off_t)from, (off_t)(to - from)) == 0 ? 0 : errno;
    while (error == EINTR);
    if (error == 0 || error == EOPNOTSUPP)
        error = write_zeros(file, from, to);
    if (error != 0 && ftruncate(file->fd, (off_t)from) != 0)
        error = errno;
    return error;
}

uint64_t sj_wal_batch_checksum(const struct sj_wal_batch *batch, uint64_t salt)
{
    uint64_t seed = sj_checksum(
        batch->magic ^ salt, &batch->epoch,
        (offsetof(struct sj_wal_batch, checksum) - offsetof(struct sj_wal_batch, epoch)) / 8);
    return sj_checksum(seed, (const uint64_t *)(batch + 1), batch->bytes / 8);
}

static uint64_t header_checksum(const struct sj_wal_header *header)
{
    return sj_checksum(SJ_WAL_MAGIC, (const uint64_t *)header,
                       offsetof(struct sj_wal_header, checksum) / 8);
}

bool sj_wal_header_is_whole(const struct sj_wal_header *header, const uint8_t uuid[16])
{
    return header->magic == SJ_WAL_MAGIC && header->version == SJ_WAL_VERSION &&
           memcmp(header->uuid, uuid, sizeof header->uuid) == 0 &&
           header->checksum == header_checksum(header);
}

int sj_wal_file_begin(const struct sj_wal_file *file, const uint8_t uuid[16], uint64_t file_bytes,
                      const struct sj_wal_place *place, void *buffer)
{
    struct sj_wal_header *header = buffer;
    memset(header, 0, sizeof *header);
    header->magic = SJ_WAL_MAGIC;
    header->version = SJ_WAL_VERSION;
    header->sector = (uint32_t)place->sector;
    memcpy(header->uuid, uuid, sizeof header->uuid);
    header->epoch = place->epoch;
    header->position = place->durable;
    header->chain = place->chain;
    header->salt = place->salt;
    header->file_bytes = file_bytes;
    header->checksum = header_checksum(header);
    return sj_wal_file_write(file, header, sizeof *header, 0);
}
