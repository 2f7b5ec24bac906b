// SPDX-License-Identifier: Apache-2.0
/*
 * home.h: the home directory: where it is, how it is made, and what its files are called.
 *
 *   home/seg/<name>.seg          a segment: the bytes that survive
 *   home/seg/<name>@<tag>.seg    a version of it: a segment that never changes (clone.h)
 *   home/seg/<name>.seg.log0, .log1, .sum    what belongs to it (wal.h, sums.h)
 *   home/vas/<name>.vas          the record of a VAS that was made by vas_create (record.h)
 *   home/lock/<uuid>.lock        the lock file of a segment, named by its uuid (lock.h)
 *   home/lock/<uuid>.vas         the generation of a VAS, named by its uuid (catalog.h)
 *   home/lock/catalog.lock       held by whoever changes the catalog
 *
 *   home/…/.new-…                a file that is being written
 *   home/…/.removed-<uuid>-<name>    a segment or a record that is removed; not yet unlinked
 */
#ifndef SJ_SPACEJMP_HOME_H
#define SJ_SPACEJMP_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/error.h"

#define SJ_HOME_MAX         3584 /* bytes of a home's path, so that those of its files fit */
#define SJ_TAG_MAX          64   /* characters of a version's tag */
#define SJ_CATALOG_NAME_MAX 128  /* characters of a segment's or a VAS's name */

#define SJ_TEMPORARY ".new-"
#define SJ_REMOVED   ".removed-"
#define SJ_CLONING   ".cloning-"

/*
 * The home that the functions of names.h work on, for this process: a directory, which need not
 * exist; relative ones count from the working directory of now. NULL: the default again, which is
 * $SPACEJMP_HOME, else $XDG_DATA_HOME/spacejmp, else ~/.local/share/spacejmp. SJ_EINVAL.
 */
SJ_API int sj_home_use(const char *path);

/* Writes that path. SJ_EINVAL: the user has no home directory, or it is too long. */
SJ_API int sj_home_path(char path[SJ_HOME_MAX + 1]);

/* Makes the home and its three directories where they are missing; a home that exists lends them
 * its mode. SJ_EPERM, SJ_EIO, SJ_EFULL. */
SJ_API int sj_home_make(const char *home);

/* Whether anything was ever made in the home. SJ_ENOTFOUND, SJ_EPERM, SJ_EIO. */
int sj_home_exists(const char *home);

/* The permission bits of the home. SJ_ENOTFOUND, SJ_EPERM, SJ_EIO. */
int sj_home_mode(const char *home, uint32_t *mode);

/*
 * Whether a segment or a VAS can have this name: 1 to 128 characters out of A-Z a-z 0-9 . _ -, not
 * beginning with '.' or '-'. SJ_ENAME.
 */
SJ_API int sj_name_check(const char *name);
bool sj_name_is_valid(const char *name);

/* The same of a segment or a version of one, NAME@TAG: a tag is 1 to 64 of these characters. */
SJ_API int sj_segment_name_check(const char *name);
bool sj_segment_name_is_valid(const char *name);

/* Paths of files in a home. `path` has room for PATH_MAX bytes. */
void sj_home_segment(const char *home, const char *name, char path[PATH_MAX]);
void sj_home_record(const char *home, const char *name, char path[PATH_MAX]);
void sj_home_lock(const char *home, const uint8_t uuid[16], char path[PATH_MAX]);
void sj_home_generation(const char *home, const uint8_t uuid[16], char path[PATH_MAX]);
void sj_home_catalog_lock(const char *home, char path[PATH_MAX]);
void sj_home_part(const char *home, const char *part, char path[PATH_MAX]);

/* Names, sorted. One block, for free(); `name` is NULL after a failure. */
struct sj_names {
    size_t count;
    char **name;
};

/* The valid names among the files of home/part that end in `suffix`; none when there is no such
 * directory. SJ_EPERM, SJ_EIO, SJ_ENOMEM. O(n log n). */
int sj_home_names(const char *home, const char *part, const char *suffix, struct sj_names *names);

#endif
