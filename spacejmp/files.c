// SPDX-License-Identifier: Apache-2.0
/* files.c: small files that are whole or absent (files.h has the rules). */
#include "spacejmp/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "spacejmp/home.h"

static const struct {
    int number;
    enum sj_error code;
    const char *remedy;
} failures[] = {
    {ENOENT, SJ_ENOTFOUND, "check the path"},
    {EEXIST, SJ_EEXISTS, "choose another name"},
    {ENOSPC, SJ_EFULL, "free space on that filesystem or choose another home"},
    {EDQUOT, SJ_EFULL, "free space within the quota or choose another home"},
    {EFBIG, SJ_EFULL, "raise the limit on file sizes (ulimit -f)"},
    {EACCES, SJ_EPERM, "check owner and mode of the path"},
    {EPERM, SJ_EPERM, "check owner and mode of the path"},
    {EROFS, SJ_EPERM, "choose a home on a writable filesystem"},
    {ELOOP, SJ_EPERM, "put the file there, not a symbolic link to it"},
    {ENOMEM, SJ_ENOMEM, "free memory"},
    {ENAMETOOLONG, SJ_EINVAL, "choose a home with a shorter path"},
};

int sj_file_failed(const char *doing, const char *path)
{
    int number = errno;
    enum sj_error code = SJ_EIO;
    const char *remedy = "check the path and its filesystem";
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].number == number) {
            code = failures[i].code;
            remedy = failures[i].remedy;
        }
    return sj_error(code, "cannot %s '%s': %s; %s", doing, path, strerror(number), remedy);
}

int sj_file_status(const char *path, struct stat *status, bool *there)
{
    struct stat own;
    *there = lstat(path, status == NULL ? &own : status) == 0;
    return *there || errno == ENOENT ? SJ_OK : sj_file_failed("use", path);
}

/* Reads what there is, at most `limit` and one byte; with the file open. */
static int read_all(int fd, const char *path, size_t limit, uint8_t **data, size_t *bytes)
{
    size_t room = 4096;
    *bytes = 0;
    if (room > limit + 1)
        room = limit + 1;
    *data = malloc(room);
    for (;;) {
        if (*data == NULL)
            return sj_error(SJ_ENOMEM, "'%s': %zu bytes", path, room);
        ssize_t got = read(fd, *data + *bytes, room - *bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sj_file_failed("read", path);
        *bytes += (size_t)got;
        if (got == 0 || *bytes > limit)
            return SJ_OK;
        if (*bytes < room)
            continue;
        room = 4 * room > limit + 1 ? limit + 1 : 4 * room;
        uint8_t *larger = realloc(*data, room);
        if (larger == NULL)
            free(*data);
        *data = larger;
    }
}

int sj_file_read(const char *path, size_t limit, uint8_t **data, size_t *bytes, struct stat *status)
{
    struct stat own;
    status = status == NULL ? &own : status;
    *data = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return sj_file_failed("read", path);
    int error;
    if (fstat(fd, status) != 0)
        error = sj_file_failed("read", path);
    else if (!S_ISREG(status->st_mode))
        error = sj_error(SJ_EIO,
                         "cannot read '%s': expected a regular file, found something else; move it "
                         "away",
                         path);
    else
        error = read_all(fd, path, limit, data, bytes);
    close(fd);
    if (error != SJ_OK) {
        free(*data);
        *data = NULL;
    }
    return error;
}

int sj_file_temporary(const char *path, char temporary[PATH_MAX])
{
    uint64_t word;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (getrandom(&word, sizeof word, 0) != (ssize_t)sizeof word)
        return sj_file_failed("choose a name beside", path);
    int length = snprintf(temporary, PATH_MAX, "%.*s" SJ_TEMPORARY "%016llx-%s", (int)(name - path),
                          path, (unsigned long long)word, name);
    errno = ENAMETOOLONG;
    return length < PATH_MAX ? SJ_OK : sj_file_failed("write", path);
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return -1;
        }
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

/* The owner is given as far as possible: only the superuser can give another user's. */
static int adopt(int fd, uint32_t mode, const struct stat *like)
{
    if (like == NULL)
        return 0;
    if (fchown(fd, like->st_uid, like->st_gid) != 0 && fchown(fd, (uid_t)-1, like->st_gid) != 0 &&
        errno != EPERM)
        return -1;
    return fchmod(fd, mode);
}

static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL || slash == path ? 1 : (int)(slash - path);
    snprintf(directory, PATH_MAX, "%.*s", length, slash == NULL ? "." : path);
}

int sj_file_publish(const char *path, const void *data, size_t bytes, uint32_t mode,
                    const struct stat *like)
{
    char temporary[PATH_MAX], directory[PATH_MAX];
    int error = sj_file_temporary(path, temporary);
    if (error != SJ_OK)
        return error;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return sj_file_failed("write", path);
    if (write_all(fd, data, bytes) != 0 || adopt(fd, mode, like) != 0 || fsync(fd) != 0)
        error = sj_file_failed("write", path);
    close(fd);
    if (error == SJ_OK && rename(temporary, path) != 0)
        error = sj_file_failed("write", path);
    if (error != SJ_OK) {
        unlink(temporary);
        return error;
    }
    directory_of(path, directory);
    return sj_file_sync_directory(directory);
}

int sj_file_rename(const char *path, const char *target)
{
    char directory[PATH_MAX];
    if (rename(path, target) != 0)
        return sj_file_failed("rename", path);
    directory_of(path, directory);
    return sj_file_sync_directory(directory);
}

int sj_file_unlink(const char *path, bool *gone)
{
    bool was = unlink(path) == 0;
    if (gone != NULL)
        *gone = was;
    return was || errno == ENOENT ? SJ_OK : sj_file_failed("remove", path);
}

int sj_file_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sj_file_failed("sync", path);
    int error = SJ_OK;
    if (fsync(fd) != 0 && errno != EINVAL) /* a filesystem that cannot, and needs not */
        error = sj_file_failed("sync", path);
    close(fd);
    return error;
}

static bool is_directory(int fd, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

int sj_file_each(const char *directory,
                 int (*visit)(void *context, const char *name, bool is_directory), void *context)
{
    int error = SJ_OK;
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return errno == ENOENT ? SJ_OK : sj_file_failed("list", directory);
    while (error == SJ_OK) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            if (errno != 0)
                error = sj_file_failed("list", directory);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = visit(context, entry->d_name, is_directory(dirfd(stream), entry));
    }
    closedir(stream);
    return error;
}
