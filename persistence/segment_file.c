// SPDX-License-Identifier: Apache-2.0
/*
 * segment_file.c: making the file of a segment, and reading what it says of itself
 * (media_layout.h has the format).
 *
 * Crash rule: a file is made without a name, and gets its name when it is complete and synced.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/pages.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"

#define INITIAL_HEAP_BYTES (256ull << 10)

/* An error number of a system call on `path`, as an error of ours. */
int sj_segment_failed(const char *path, const char *call)
{
    int number = errno;
    int code = SJ_EIO;
    if (number == ENOENT)
        code = SJ_ENOTFOUND;
    else if (number == EACCES || number == EPERM || number == EROFS)
        code = SJ_EPERM;
    else if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        code = SJ_EFULL;
    else if (number == EEXIST)
        code = SJ_EEXISTS;
    else if (number == ENOMEM)
        code = SJ_ENOMEM;
    else if (number == ELOOP)
        return sj_error(SJ_EFORMAT, "%s: is a symbolic link; a segment file is never one", path);
    return sj_error(code, "%s: %s: %s", path, call, strerror(number));
}

ssize_t sj_segment_read(int fd, void *bytes, size_t count, uint64_t offset)
{
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(fd, (char *)bytes + done, count - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int sj_segment_write(int fd, const void *bytes, size_t count, uint64_t offset)
{
    const char *from = bytes;
    while (count > 0) {
        ssize_t written = pwrite(fd, from, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return -1;
        }
        from += written;
        offset += (uint64_t)written;
        count -= (size_t)written;
    }
    return 0;
}

int sj_segment_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    int result;
    do
        result = fallocate(fd, 0, (off_t)offset, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Lays the metadata of a new segment out in the empty file. */
static int format(int fd, const char *path, const struct sj_segment_spec *spec,
                  const struct sj_domain *domain)
{
    uint64_t meta = sj_pages_meta_bytes(spec->reserved);
    uint64_t committed =
        (meta + INITIAL_HEAP_BYTES + SJ_SEGMENT_GROWTH - 1) / SJ_SEGMENT_GROWTH * SJ_SEGMENT_GROWTH;
    uint8_t uuid[16];
    if (getrandom(uuid, sizeof uuid, 0) != (ssize_t)sizeof uuid)
        return sj_segment_failed(path, "getrandom");
    if (sj_segment_allocate(fd, 0, committed) != 0)
        return sj_segment_failed(path, "fallocate");
    char *image = calloc(1, meta);
    if (image == NULL)
        return sj_error(SJ_ENOMEM, "%s: %llu bytes", path, (unsigned long long)meta);
    sj_super_init((struct sj_super *)image, spec, uuid,
                  domain == &sj_wal_domain ? SJ_FEATURE_WAL : 0);
    struct sj_root_page *root_page = (struct sj_root_page *)(image + SJ_ROOT_PAGE_AT);
    struct sj_log *log = (struct sj_log *)(image + SJ_LOG_AT);
    root_page->committed = committed;
    log->generation = 1;
    log->extents = 1;
    log->extent[0] = (struct sj_log_extent){spec->base + SJ_LOG_EXTENT0_AT, SJ_LOG_EXTENT0_BYTES};
    sj_pages_format(image, spec->reserved);
    int error = SJ_OK;
    if (sj_segment_write(fd, image, meta, 0) != 0 || fsync(fd) != 0)
        error = sj_segment_failed(path, "write");
    free(image);
    return error;
}

static void directory_of(const char *path, char *directory, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL || slash == path ? 1 : (int)(slash - path);
    snprintf(directory, bytes, "%.*s", length, slash == NULL ? "." : path);
}

int sj_segment_sync_directory(const char *path)
{
    char directory[PATH_MAX];
    directory_of(path, directory, sizeof directory);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    int error = result == 0 ? SJ_OK : sj_segment_failed(path, "fsync of the directory");
    if (fd >= 0)
        close(fd);
    return error;
}

int sj_segment_open_unnamed(const char *path, uint32_t mode, char *temporary)
{
    char directory[PATH_MAX];
    directory_of(path, directory, sizeof directory);
    temporary[0] = '\0';
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    const char *slash = strrchr(path, '/');
    if (snprintf(temporary, PATH_MAX, "%s/.new-%d-%s", directory, gettid(),
                 slash == NULL ? path : slash + 1) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    unlink(temporary); /* of a dead one */
    return open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int sj_segment_publish(int fd, const char *path, const char *temporary)
{
    char source[64];
    int error = SJ_OK;
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, temporary[0] != '\0' ? temporary : source, AT_FDCWD, path,
               AT_SYMLINK_FOLLOW) != 0)
        error = sj_segment_failed(path, "link");
    if (temporary[0] != '\0')
        unlink(temporary);
    return error;
}

int sj_segment_create(const char *path, const struct sj_segment_spec *spec)
{
    if (!sj_range_is_valid(spec->base, spec->reserved))
        return sj_error(SJ_EINVAL,
                        "base 0x%llx, reserve 0x%llx: both must be whole GiB within 0x%llx–0x%llx",
                        (unsigned long long)spec->base, (unsigned long long)spec->reserved,
                        SJ_ARENA_FIRST, SJ_ARENA_END);
    size_t name_bytes = strlen(spec->name);
    if (name_bytes == 0 || name_bytes > SJ_NAME_MAX)
        return sj_error(SJ_EINVAL, "a segment's name has 1 to %d bytes", SJ_NAME_MAX);
    char temporary[PATH_MAX];
    int fd = sj_segment_open_unnamed(path, spec->mode, temporary);
    if (fd < 0)
        return sj_segment_failed(path, "open");
    const struct sj_domain *domain;
    int error =
        sj_segment_allocate(fd, 0, SJ_PAGE) == 0 ? SJ_OK : sj_segment_failed(path, "fallocate");
    if (error == SJ_OK)
        error = sj_domain_of(fd, spec->durability, &domain);
    if (error == SJ_OK)
        error = format(fd, path, spec, domain);
    if (error == SJ_OK)
        error = sj_segment_publish(fd, path, temporary);
    else if (temporary[0] != '\0')
        unlink(temporary);
    if (error == SJ_OK)
        error = sj_segment_sync_directory(path);
    close(fd);
    return error;
}

int sj_segment_open_file(const char *path, bool *writable, int *fd, struct stat *status,
                         struct sj_super *super)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    bool wanted = *writable;
    *writable = true;
    *fd = open(path, O_RDWR | flags);
    if (*fd < 0 && !wanted && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        *writable = false;
        *fd = open(path, O_RDONLY | flags);
    }
    if (*fd < 0)
        return sj_segment_failed(path, "open");
    uint64_t which;
    int error;
    if (fstat(*fd, status) != 0)
        error = sj_segment_failed(path, "fstat");
    else if (!S_ISREG(status->st_mode))
        error = sj_error(SJ_EFORMAT, "%s: not a regular file", path);
    else
        error = sj_super_read(*fd, path, super, &which);
    if (error != SJ_OK)
        close(*fd);
    return error;
}

int sj_segment_inspect(const char *path, struct sj_segment_info *info)
{
    struct sj_super super;
    struct stat status;
    uint8_t boot[16];
    bool writable = false;
    int fd, error = sj_segment_open_file(path, &writable, &fd, &status, &super);
    if (error != SJ_OK)
        return error;
    close(fd);
    memset(info, 0, sizeof *info);
    info->file_bytes = (uint64_t)status.st_size;
    sj_boot_id(boot);
    memcpy(info->name, super.name, super.name_bytes);
    memcpy(info->uuid, super.uuid, sizeof info->uuid);
    info->base = super.base;
    info->reserved = super.reserved;
    info->created_ns = super.created_ns;
    info->clean = (super.state & SJ_STATE_CLEAN) != 0;
    info->this_boot = memcmp(boot, super.boot_id, sizeof boot) == 0;
    info->durability = sj_super_durability(&super);
    info->frozen = sj_super_is_frozen(&super);
    return info->this_boot ? sj_wal_image_path(&super, info->image) : SJ_OK;
}
