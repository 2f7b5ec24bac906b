// SPDX-License-Identifier: Apache-2.0
/*
 * files.h: small files that are whole or absent, and system errors in our words.
 *
 * A file is published so: write a temporary file (SJ_TEMPORARY) in the same directory, sync it,
 * give it its name in one step, sync the directory. Whoever dies in between leaves a temporary file
 * behind and nothing else. Temporary files are made under the catalog's lock only.
 *
 * Files are opened with O_NOFOLLOW and O_CLOEXEC. Every failure names the path and a remedy:
 * SJ_ENOTFOUND, SJ_EEXISTS, SJ_EFULL, SJ_EPERM (a symbolic link too), SJ_ENOMEM, else SJ_EIO.
 */
#ifndef SJ_SPACEJMP_FILES_H
#define SJ_SPACEJMP_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "persistence/error.h"

/* The error in `errno`: "cannot <doing> '<path>': …". */
int sj_file_failed(const char *doing, const char *path);

/* Whether something has this name, no link followed; `status` (or NULL) is what it is. */
int sj_file_status(const char *path, struct stat *status, bool *there);

/* Reads a regular file whole, at most `limit` bytes and one more, so that the caller sees when it
 * is longer. `*data` is for free(). `status` may be NULL. */
int sj_file_read(const char *path, size_t limit, uint8_t **data, size_t *bytes,
                 struct stat *status);

/* Makes or replaces the file, whole or not at all; durable on return. `like` (or NULL): whose owner
 * and group it gets as far as this process may give them. `mode` counts whatever the umask if there
 * is a `like`, else before the umask. */
int sj_file_publish(const char *path, const void *data, size_t bytes, uint32_t mode,
                    const struct stat *like);

/* The name that a file has until it is published. SJ_EIO. */
int sj_file_temporary(const char *path, char temporary[PATH_MAX]);

/* Gives a file another name in its directory, durably. */
int sj_file_rename(const char *path, const char *target);

/* Removes a file; `gone` (or NULL): whether there was one. */
int sj_file_unlink(const char *path, bool *gone);

/* Makes the names in a directory durable. */
int sj_file_sync_directory(const char *path);

/* Calls with each entry of a directory but "." and "..", until `visit` returns something else than
 * SJ_OK, which is returned. Nothing when there is no such directory. */
int sj_file_each(const char *directory,
                 int (*visit)(void *context, const char *name, bool is_directory), void *context);

#endif
