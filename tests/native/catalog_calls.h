// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_calls.h: the system calls of the catalog, one of which fails or is the last one, or which
 * are written down. The test is linked so that they come here (meson.build).
 */
#ifndef SJ_TESTS_CATALOG_CALLS_H
#define SJ_TESTS_CATALOG_CALLS_H

#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { PASS, FAIL, FAIL_ONWARDS, DIE, NOTE };

static int action = PASS;
static int failure;      /* the error number */
static long calls, turn; /* calls so far; which one it is */
static char journal[4096];

/* "seg/genes.seg" of a path in the home; of a hidden file what it is alone. */
static void note(const char *call, const char *path)
{
    size_t length = strlen(journal), home = strlen(test_directory);
    const char *below = strncmp(path, test_directory, home) == 0 ? path + home + 1 : path;
    const char *name = strrchr(below, '/');
    int bytes = (int)strlen(below);
    if (name != NULL && name[1] == '.')
        bytes = (int)(name + 1 + strcspn(name + 1, "-") - below);
    snprintf(journal + length, sizeof journal - length, "%s %.*s\n", call, bytes, below);
}

static bool fails(void)
{
    if (action != FAIL && action != FAIL_ONWARDS && action != DIE)
        return false;
    long now = calls++;
    if (action == DIE && now == turn)
        _exit(77);
    errno = failure;
    return action != DIE && (now == turn || (action == FAIL_ONWARDS && now > turn));
}

#define WRAP(type, name, parameters, arguments, none, noted)                                       \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (fails())                                                                               \
            return none;                                                                           \
        if (action == NOTE)                                                                        \
            noted;                                                                                 \
        return __real_##name arguments;                                                            \
    }

static void note_fd(int fd)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, path, sizeof path - 1) > 0);
    note("fsync", path);
}

WRAP(int, rename, (const char *from, const char *to), (from, to), -1, note("rename", to))
WRAP(int, unlink, (const char *path), (path), -1, note("unlink", path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, note("mkdir", path))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags), -1, note("link", to))
WRAP(int, fsync, (int fd), (fd), -1, note_fd(fd))
WRAP(ssize_t, write, (int fd, const void *data, size_t bytes), (fd, data, bytes), -1, (void)0)
WRAP(ssize_t, read, (int fd, void *data, size_t bytes), (fd, data, bytes), -1, (void)0)
WRAP(ssize_t, pread64, (int fd, void *data, size_t bytes, off_t at), (fd, data, bytes, at), -1,
     (void)0)
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t bytes, off_t at), (fd, data, bytes, at),
     -1, (void)0)
WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes), -1,
     (void)0)
WRAP(int, lstat64, (const char *path, struct stat *status), (path, status), -1, (void)0)
WRAP(int, stat64, (const char *path, struct stat *status), (path, status), -1, (void)0)
WRAP(int, fstat64, (int fd, struct stat *status), (fd, status), -1, (void)0)
WRAP(DIR *, opendir, (const char *path), (path), NULL, (void)0)
WRAP(int, flock, (int fd, int operation), (fd, operation), -1, (void)0)
WRAP(ssize_t, getrandom, (void *data, size_t bytes, unsigned flags), (data, bytes, flags), -1,
     (void)0)

static bool no_unnamed_files;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (no_unnamed_files && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fails() ? -1 : __real_open64(path, flags, mode);
}

#endif
