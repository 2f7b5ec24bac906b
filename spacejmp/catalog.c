// SPDX-License-Identifier: Apache-2.0
/* catalog.c: segments by name: making, finding and removing them (catalog.h has the rules). */
#include "spacejmp/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "persistence/checksum.h"
#include "persistence/log_group.h"
#include "spacejmp/arena.h"
#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"
#include "spacejmp/space.h"

static const uint8_t no_uuid[16];

int sj_catalog_check_mode(uint32_t mode)
{
    if ((mode & ~0177u) == 0600)
        return SJ_OK;
    return sj_error(SJ_EINVAL,
                    "mode: expected permission bits that let the owner read and write (0600 to "
                    "0777), found 0%o",
                    mode);
}

/* ------------------------------------------------------------------ which segments there are */

static int not_found(const struct sj_catalog *catalog, const char *name)
{
    return sj_error(SJ_ENOTFOUND, "segment '%s' in '%s'", name, catalog->home);
}

/* SJ_EIDENTITY when the header has another name than the file. */
static int check_identity(const char *home, const char *name, const struct sj_segment_info *info)
{
    char path[PATH_MAX], other[PATH_MAX];
    struct sj_segment_info there;
    if (strcmp(info->name, name) == 0)
        return SJ_OK;
    sj_home_segment(home, name, path);
    sj_home_segment(home, info->name, other);
    if (!sj_segment_name_is_valid(info->name) || sj_segment_inspect(other, &there) != SJ_OK)
        return sj_error(SJ_EIDENTITY,
                        "segment '%s': expected the header of '%s', found that of '%s'; rename the "
                        "file back to '%s.seg'",
                        path, name, info->name, info->name);
    if (memcmp(there.uuid, info->uuid, sizeof there.uuid) == 0)
        return sj_error(SJ_EIDENTITY,
                        "segment '%s': expected the header of '%s', found that of '%s'; this is a "
                        "copy of '%s': remove it",
                        path, name, info->name, other);
    return sj_error(SJ_EIDENTITY,
                    "segment '%s': expected the header of '%s', found that of '%s'; that name is "
                    "taken by another segment here: give it back in another home",
                    path, name, info->name);
}

int sj_catalog_seg_find(const struct sj_catalog *catalog, const char *name,
                        struct sj_segment_info *info)
{
    char path[PATH_MAX];
    int error = sj_segment_name_check(name);
    if (error != SJ_OK)
        return error;
    sj_home_segment(catalog->home, name, path);
    error = sj_segment_inspect(path, info);
    if (error == SJ_ENOTFOUND)
        return not_found(catalog, name);
    return error == SJ_OK ? check_identity(catalog->home, name, info) : error;
}

int sj_catalog_seg_list(const struct sj_catalog *catalog, struct sj_names *names)
{
    return sj_home_names(catalog->home, "seg", ".seg", names);
}

/*
 * What a segment's header says, also a damaged one's as far as it makes sense: its extent, so that
 * nothing is placed over it, and its uuid. Whether it says anything.
 */
static bool guess(const char *path, struct sj_extent *extent, uint8_t uuid[16])
{
    struct sj_segment_info info;
    struct sj_super super;
    bool found = sj_segment_inspect(path, &info) == SJ_OK;
    if (found) {
        *extent = (struct sj_extent){info.base, info.reserved};
        memcpy(uuid, info.uuid, sizeof info.uuid);
        return true;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    for (int which = 0; fd >= 0 && !found && which < 2; which++) {
        off_t at = which == 0 ? (off_t)SJ_SUPER_A : (off_t)SJ_SUPER_B;
        found = pread(fd, &super, sizeof super, at) == (ssize_t)sizeof super &&
                super.magic == SJ_MAGIC && sj_range_is_valid(super.base, super.reserved);
    }
    if (fd >= 0)
        close(fd);
    if (!found)
        return false;
    *extent = (struct sj_extent){super.base, super.reserved};
    memcpy(uuid, super.uuid, sizeof super.uuid);
    return true;
}

/* ------------------------------------------------------------------ a place for a new one */

struct extents {
    struct sj_extent *at;
    size_t count, room;
};

static int add_extent(struct extents *extents, struct sj_extent extent)
{
    if (extents->count == extents->room) {
        size_t room = 2 * extents->room + 64;
        struct sj_extent *larger = realloc(extents->at, room * sizeof *larger);
        if (larger == NULL)
            return sj_error(SJ_ENOMEM, "%zu extents", room);
        extents->at = larger;
        extents->room = room;
    }
    extents->at[extents->count++] = extent;
    return SJ_OK;
}

/* Decides between the candidates: it differs between homes, and is the same for a name in one. */
static uint64_t seed_of(const char *home, const char *name)
{
    uint64_t words[(PATH_MAX + SJ_NAME_MAX + 1) / 8 + 2] = {0};
    char real[PATH_MAX];
    int bytes = snprintf((char *)words, sizeof words, "%s%c%s",
                         realpath(home, real) == NULL ? home : real, 1, name);
    return sj_checksum(0, words, (size_t)bytes / 8 + 1);
}

/* Chooses a base that no other segment of this home, and none attached here, overlaps. */
static int place(const struct sj_catalog *catalog, const struct sj_seg_spec *spec, uint64_t *base)
{
    struct extents extents = {0};
    struct sj_extent extent;
    struct sj_names names;
    char path[PATH_MAX], name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
    int error = sj_catalog_seg_list(catalog, &names);
    for (size_t i = 0; error == SJ_OK && sj_space_nth(i, name, &extent.base, &extent.reserved); i++)
        error = add_extent(&extents, extent);
    for (size_t i = 0; error == SJ_OK && i < names.count; i++) {
        sj_home_segment(catalog->home, names.name[i], path);
        if (strcmp(names.name[i], spec->name) != 0 && guess(path, &extent, uuid))
            error = add_extent(&extents, extent);
    }
    if (error == SJ_OK)
        *base = sj_arena_place(extents.at, extents.count, spec->reserved,
                               seed_of(catalog->home, spec->name));
    if (error == SJ_OK && *base == 0)
        error = sj_error(SJ_EFULL,
                         "segment '%s': expected %llu GiB of free addresses between 0x%llx and "
                         "0x%llx, found no such gap between the segments of '%s'; ask for less "
                         "with reserved=, or overlap another one with base=",
                         spec->name, (unsigned long long)(spec->reserved / SJ_GIB), SJ_ARENA_FIRST,
                         SJ_ARENA_END, catalog->home);
    free(extents.at);
    free(names.name);
    return error;
}

/* ------------------------------------------------------------------ removal */

void sj_catalog_removed_path(const char *home, const char *part, const uint8_t uuid[16],
                             const char *name, char path[PATH_MAX])
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    snprintf(path, PATH_MAX, "%.*s/%s/" SJ_REMOVED "%s-%.*s", SJ_HOME_MAX, home, part, hex,
             SJ_NAME_MAX, name);
}

bool sj_catalog_parse_removed(const char *entry, uint8_t uuid[16], const char **name)
{
    static const char digits[] = "0123456789abcdef";
    const char *hex = entry + strlen(SJ_REMOVED);
    if (strncmp(entry, SJ_REMOVED, strlen(SJ_REMOVED)) != 0 || strspn(hex, digits) != 32 ||
        hex[32] != '-')
        return false;
    for (int i = 0; i < 16; i++)
        uuid[i] = (uint8_t)((strchr(digits, hex[2 * i]) - digits) << 4 |
                            (strchr(digits, hex[2 * i + 1]) - digits));
    *name = hex + 33;
    return sj_segment_name_is_valid(*name);
}

/* Removes the files beside a segment that is gone: they would be taken for those of the next one
 * with that name, so their removal is durable before one can appear. */
static int clear_belongings(const char *home, const char *segment)
{
    static const char *const suffixes[] = {".log0", ".log1", ".sum"};
    char path[PATH_MAX];
    bool any = false, gone;
    int error = SJ_OK;
    for (int i = 0; error == SJ_OK && i < 3; i++) {
        if (snprintf(path, sizeof path, "%s%s", segment, suffixes[i]) >= (int)sizeof path)
            return sj_error(SJ_EINVAL, "'%s': the path is too long", segment);
        error = sj_file_unlink(path, &gone);
        any = any || gone;
    }
    sj_home_part(home, "seg", path);
    return error == SJ_OK && any ? sj_file_sync_directory(path) : error;
}

/* Removes the working image of a segment that nobody can open any more: it would take memory until
 * the machine is restarted. It may be damaged, or the image somebody else's. */
static void clear_image(const char *segment)
{
    struct sj_segment_info info;
    if (sj_segment_inspect(segment, &info) == SJ_OK && info.image[0] != '\0')
        unlink(info.image);
}

/* Whether a segment of the home has that uuid. */
static int is_uuid_used(const struct sj_catalog *catalog, const uint8_t uuid[16], bool *used)
{
    struct sj_names names;
    struct sj_extent extent;
    char path[PATH_MAX];
    uint8_t its[16];
    int error = sj_catalog_seg_list(catalog, &names);
    *used = false;
    for (size_t i = 0; error == SJ_OK && i < names.count && !*used; i++) {
        sj_home_segment(catalog->home, names.name[i], path);
        *used = guess(path, &extent, its) && memcmp(its, uuid, sizeof its) == 0;
    }
    free(names.name);
    return error;
}

/* Clears away what belonged to a segment that was removed, itself last. */
static int finish_segment(const struct sj_catalog *catalog, const char *entry)
{
    char removed[PATH_MAX], path[PATH_MAX];
    uint8_t uuid[16];
    const char *name;
    bool there, used = true;
    if (!sj_catalog_parse_removed(entry, uuid, &name))
        return SJ_OK;
    snprintf(path, sizeof path, "seg/%s", entry);
    sj_home_part(catalog->home, path, removed);
    sj_home_segment(catalog->home, name, path);
    int error = sj_file_status(path, NULL, &there);
    if (error == SJ_OK && !there)
        error = clear_belongings(catalog->home, path);
    if (error == SJ_OK) {
        clear_image(removed);
        error = is_uuid_used(catalog, uuid, &used);
    }
    if (error == SJ_OK && !used) {
        sj_home_lock(catalog->home, uuid, path);
        error = sj_file_unlink(path, NULL);
    }
    if (error == SJ_OK)
        error = sj_file_unlink(removed, NULL);
    sj_home_part(catalog->home, "seg", path);
    return error == SJ_OK ? sj_file_sync_directory(path) : error;
}

/* No other segment of the home waits for what this one has decided (persistence/tx_group.h): it
 * would never know. One that cannot be read cannot be asked. */
static int check_unasked(const struct sj_catalog *catalog, const char *name, const uint8_t uuid[16])
{
    struct sj_names names;
    char path[PATH_MAX];
    uint8_t decider[16];
    bool asks;
    int error = sj_catalog_seg_list(catalog, &names);
    for (size_t i = 0; error == SJ_OK && i < names.count; i++) {
        sj_home_segment(catalog->home, names.name[i], path);
        if (sj_log_asks(path, decider, &asks) == SJ_OK && asks &&
            memcmp(decider, uuid, sizeof decider) == 0)
            error = sj_error(SJ_EBUSY,
                             "segment '%s': it decides about a transaction over it and '%s', in "
                             "which a process died, or is: open '%s' once, and remove it then",
                             name, names.name[i], names.name[i]);
    }
    free(names.name);
    return error;
}

int sj_catalog_discard(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid)
{
    char path[PATH_MAX], removed[PATH_MAX];
    struct sj_extent extent;
    struct stat status;
    uint8_t its[16] = {0};
    bool there;
    sj_home_segment(catalog->home, name, path);
    int error = sj_file_status(path, &status, &there);
    if (error != SJ_OK)
        return error;
    if (!there)
        return not_found(catalog, name);
    if (S_ISDIR(status.st_mode))
        return sj_error(SJ_EIO,
                        "cannot remove '%s': expected a segment file, found a directory; move it "
                        "away",
                        path);
    if (!guess(path, &extent, its))
        memcpy(its, no_uuid, sizeof its);
    if (uuid != NULL && memcmp(its, uuid, sizeof its) != 0)
        return not_found(catalog, name);
    error = sj_catalog_check_unnamed(catalog->home, name, its);
    if (error == SJ_OK)
        error = check_unasked(catalog, name, its);
    if (error != SJ_OK)
        return error;
    sj_catalog_removed_path(catalog->home, "seg", its, name, removed);
    error = sj_file_rename(path, removed);
    return error == SJ_OK ? finish_segment(catalog, strrchr(removed, '/') + 1) : error;
}

int sj_catalog_seg_delete(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid)
{
    struct sj_catalog_lock lock;
    int error = sj_segment_name_check(name);
    if (error != SJ_OK)
        return error;
    error = sj_home_exists(catalog->home);
    if (error != SJ_OK)
        return error == SJ_ENOTFOUND ? not_found(catalog, name) : error;
    error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = sj_catalog_discard(catalog, name, uuid);
    sj_catalog_unlock(&lock);
    return error;
}

/* ------------------------------------------------------------------ what dead ones left */

struct tidying {
    const struct sj_catalog *catalog;
    const char *part;
};

/* What cannot be cleared away is left for the next one. */
static int tidy_entry(void *context, const char *entry, bool is_directory)
{
    const struct tidying *tidying = context;
    const char *home = tidying->catalog->home;
    char below[PATH_MAX], path[PATH_MAX];
    size_t length = strlen(entry);
    if (is_directory)
        return SJ_OK;
    snprintf(below, sizeof below, "%s/%s", tidying->part, entry);
    sj_home_part(home, below, path);
    bool records = strcmp(tidying->part, "vas") == 0;
    if (strncmp(entry, SJ_TEMPORARY, strlen(SJ_TEMPORARY)) == 0)
        sj_file_unlink(path, NULL);
    else if (strncmp(entry, SJ_REMOVED, strlen(SJ_REMOVED)) == 0 && records)
        sj_catalog_finish_record(home, entry);
    else if (strncmp(entry, SJ_CLONING, strlen(SJ_CLONING)) == 0 && records)
        sj_catalog_undo_clone(tidying->catalog, entry);
    else if (strncmp(entry, SJ_REMOVED, strlen(SJ_REMOVED)) == 0)
        finish_segment(tidying->catalog, entry);
    else if (records && length > 4 && strcmp(entry + length - 4, ".vas") == 0 &&
             sj_catalog_is_obsolete(path))
        sj_file_unlink(path, NULL);
    return SJ_OK;
}

int sj_catalog_begin(const struct sj_catalog *catalog, struct sj_catalog_lock *lock)
{
    static const char *const parts[] = {"vas", "seg", "lock"};
    int error = sj_catalog_lock(catalog->home, &catalog->wait, lock);
    for (int i = 0; error == SJ_OK && i < 3; i++) {
        char path[PATH_MAX];
        struct tidying tidying = {catalog, parts[i]};
        sj_home_part(catalog->home, parts[i], path);
        error = sj_file_each(path, tidy_entry, &tidying);
        if (error != SJ_OK)
            sj_catalog_unlock(lock);
    }
    return error;
}

int sj_catalog_tidy(const struct sj_catalog *catalog)
{
    struct sj_catalog_lock lock;
    int error = sj_home_exists(catalog->home);
    if (error == SJ_ENOTFOUND)
        return SJ_OK;
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error == SJ_OK)
        sj_catalog_unlock(&lock);
    return error;
}

/* ------------------------------------------------------------------ making one */

void sj_catalog_make_lock(const struct sj_catalog *catalog, const char *name,
                          const uint8_t uuid[16])
{
    char path[PATH_MAX];
    struct stat status;
    bool there;
    sj_home_segment(catalog->home, name, path);
    if (sj_file_status(path, &status, &there) != SJ_OK || !there || (status.st_mode & 044) == 0)
        return;
    uint32_t readers = status.st_mode & 0444;
    sj_home_lock(catalog->home, uuid, path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    if (fchown(fd, status.st_uid, status.st_gid) != 0 && fchown(fd, (uid_t)-1, status.st_gid) != 0)
        readers &= 0404; /* its group is not the one that may read the segment */
    fchmod(fd, readers | readers >> 1);
    close(fd);
}

/* Takes back what was made when what follows fails, and keeps the failure. */
static int undo(const struct sj_catalog *catalog, const struct sj_seg_spec *spec, const char *made,
                bool replaced, bool ours, int error)
{
    char detail[1024];
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    if (replaced)
        unlink(made);
    if (ours)
        sj_catalog_discard(catalog, spec->name, NULL);
    return sj_error(error, "%s", detail);
}

/* With the lock. */
static int make(const struct sj_catalog *catalog, const struct sj_seg_spec *spec,
                struct sj_segment_info *info)
{
    char path[PATH_MAX], made[PATH_MAX];
    struct sj_segment_spec segment = {spec->name, spec->base, spec->reserved, spec->mode,
                                      spec->durability};
    bool replaced;
    sj_home_segment(catalog->home, spec->name, path);
    int error = sj_file_status(path, NULL, &replaced);
    if (error == SJ_OK && replaced && !spec->replace)
        error = sj_error(SJ_EEXISTS,
                         "segment '%s': expected no such file as '%s', found one; open it, remove "
                         "it first, or choose another name",
                         spec->name, path);
    if (error == SJ_OK && spec->base == 0)
        error = place(catalog, spec, &segment.base);
    snprintf(made, sizeof made, "%s", path);
    if (error == SJ_OK && replaced)
        error = sj_file_temporary(path, made);
    if (error != SJ_OK)
        return error;
    bool ours = !replaced; /* whether what has the name is what was made here */
    error = sj_segment_create(made, &segment);
    if (error == SJ_EEXISTS) /* someone does without the catalog */
        return error;
    if (error == SJ_OK && replaced) {
        error = sj_catalog_discard(catalog, spec->name, NULL);
        bool there;
        ours = sj_file_status(path, NULL, &there) == SJ_OK && !there;
        if (error == SJ_OK)
            error = sj_file_rename(made, path);
    }
    if (error == SJ_OK)
        error = sj_segment_inspect(path, info);
    if (error == SJ_OK)
        sj_catalog_make_lock(catalog, spec->name, info->uuid);
    return error == SJ_OK ? SJ_OK : undo(catalog, spec, made, replaced, ours, error);
}

int sj_catalog_seg_alloc(const struct sj_catalog *catalog, const struct sj_seg_spec *spec,
                         struct sj_segment_info *info)
{
    struct sj_catalog_lock lock;
    int error = sj_name_check(spec->name);
    if (error == SJ_OK)
        error = sj_catalog_check_mode(spec->mode);
    if (error == SJ_OK &&
        !sj_range_is_valid(spec->base == 0 ? SJ_ARENA_FIRST : spec->base, spec->reserved))
        error = sj_error(SJ_EINVAL,
                         "segment '%s': expected whole GiB between 0x%llx and 0x%llx, found base "
                         "0x%llx and reserve 0x%llx; leave the base out to have one chosen",
                         spec->name, SJ_ARENA_FIRST, SJ_ARENA_END, (unsigned long long)spec->base,
                         (unsigned long long)spec->reserved);
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = make(catalog, spec, info);
    sj_catalog_unlock(&lock);
    return error;
}
