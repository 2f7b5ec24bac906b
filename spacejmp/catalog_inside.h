// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_inside.h: what the files of the catalog say to each other (catalog.h has the rules).
 */
#ifndef SJ_SPACEJMP_CATALOG_INSIDE_H
#define SJ_SPACEJMP_CATALOG_INSIDE_H

#include <sys/stat.h>

#include "spacejmp/catalog.h"
#include "spacejmp/catalog_layout.h"
#include "spacejmp/catalog_lock.h"

/* Takes the catalog's lock and clears away what dead ones left. */
int sj_catalog_begin(const struct sj_catalog *catalog, struct sj_catalog_lock *lock);

/* Attaches the segment of that name and uuid for reading. SJ_ENOTFOUND and those of
 * sj_space_attach. */
struct sj_space;
int sj_catalog_attach_segment(const struct sj_catalog *catalog, const char *name,
                              const uint8_t uuid[16], struct sj_space **space);

/* SJ_EEXISTS when a segment, or version, has the name; SJ_ENAME. */
int sj_catalog_check_free(const struct sj_catalog *catalog, const char *name);

/* With the lock: removes the segment and all that belongs to it; the rename decides (I1). Errors of
 * sj_catalog_seg_delete. */
int sj_catalog_discard(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid);

/*
 * With the lock: makes the lock file of a segment, empty, where others than its owner may read the
 * segment: they have to write the lock file, and may not make it. Nothing when it is there. Whoever
 * opens the segment first makes it else, so it does not matter when that is not possible, or if the
 * process dies before.
 */
void sj_catalog_make_lock(const struct sj_catalog *catalog, const char *name,
                          const uint8_t uuid[16]);

/* With the lock: the name is no VAS's and no segment's. SJ_EEXISTS. */
int sj_catalog_check_free_vas(const struct sj_catalog *catalog, const char *name);

/* Gives a record that is made a uuid and the time. */
int sj_catalog_identify(struct sj_vas_record *record);

/* With the lock: removes the segments of a clone of a VAS that did not come into being, as
 * vas/<entry> says (catalog_vas_clone.c). */
int sj_catalog_undo_clone(const struct sj_catalog *catalog, const char *entry);

/* SJ_EINVAL when these are not permission bits that let the owner read and write. */
int sj_catalog_check_mode(uint32_t mode);

/* Whether the path ends in SJ_REMOVED<uuid>-<name>, and which. */
bool sj_catalog_parse_removed(const char *entry, uint8_t uuid[16], const char **name);
void sj_catalog_removed_path(const char *home, const char *part, const uint8_t uuid[16],
                             const char *name, char path[PATH_MAX]);

/* Reads the record of a VAS that was created. SJ_ENOTFOUND, SJ_ECORRUPT, SJ_EVERSION. */
int sj_catalog_record(const char *home, const char *name, const uint8_t *uuid,
                      struct sj_vas_record *record);

/* Takes the lock and publishes the record as `change` changes it, as I5 says. SJ_EINVAL: the VAS is
 * a segment. */
int sj_catalog_change_vas(const struct sj_catalog *catalog, const struct sj_vid *vid,
                          int (*change)(void *context, struct sj_vas_record *record),
                          void *context);

/* With the lock: SJ_EBUSY when records name the segment; `uuid` all zero: it is not known, and its
 * name decides. */
int sj_catalog_check_unnamed(const char *home, const char *name, const uint8_t uuid[16]);

/* With the lock: what is left to do for a record that has been renamed to `removed`. */
int sj_catalog_finish_record(const char *home, const char *removed);
/* With the lock: whether the file vas/<entry> is a record of format 1. */
bool sj_catalog_is_obsolete(const char *path);

/* ---- the generation of a VAS ---- */

struct sj_generation {
    struct sj_generation_page *page; /* NULL: there is none, so nobody has the VAS attached */
};

/* Maps it. SJ_ENOTFOUND, SJ_EPERM, SJ_EIO, SJ_ECORRUPT: it is something else; SJ_ENOMEM. */
int sj_generation_open(const char *home, const uint8_t uuid[16], bool writable,
                       struct sj_generation *generation);
void sj_generation_close(struct sj_generation *generation);
/* With the lock: before and after a change of the record (I5). */
void sj_generation_begin(struct sj_generation *generation);
void sj_generation_end(struct sj_generation *generation);
/* With the lock: makes the file, for a VAS whose record has that mode. */
int sj_generation_make(const char *home, const uint8_t uuid[16], const struct stat *record);

#endif
