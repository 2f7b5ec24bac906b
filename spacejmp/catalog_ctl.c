// SPDX-License-Identifier: Apache-2.0
/* catalog_ctl.c: the properties of VASes and segments (catalog.h has the contract). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"
#include "spacejmp/hold.h"

/* ------------------------------------------------------------------ mode and owner */

/* Whom the files belong to, and who may use them. */
struct access {
    bool owner; /* else the mode */
    uint32_t mode, uid, gid;
};

static int apply(const char *path, const struct access *access)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return sj_file_failed("change", path);
    int result = access->owner ? fchown(fd, access->uid, access->gid) : fchmod(fd, access->mode);
    int error = result == 0 ? SJ_OK : sj_file_failed("change", path);
    close(fd);
    return error;
}

static int apply_if_there(const char *path, const struct access *access)
{
    bool there;
    int error = sj_file_status(path, NULL, &there);
    return error == SJ_OK && there ? apply(path, access) : error;
}

/* Of lock files and generations: whoever may read must be able to write them. */
static struct access of_lock(const struct access *access)
{
    struct access its = *access;
    uint32_t readers = access->mode & 0444;
    its.mode = 0600 | readers | readers >> 1;
    return its;
}

/* With the lock. The segment's own file decides: it is narrowed first and widened last, so that
 * nobody ever gets at what belongs to it without having the segment. */
static int access_segment(const struct sj_catalog *catalog, const char *name,
                          const struct sj_segment_info *info, const struct access *access)
{
    static const char *const suffixes[] = {".log0", ".log1", ".sum"};
    char path[PATH_MAX], beside[PATH_MAX];
    struct access lock = of_lock(access), narrow = *access;
    struct stat status;
    bool there;
    sj_home_segment(catalog->home, name, path);
    int error = sj_file_status(path, &status, &there);
    narrow.mode &= status.st_mode;
    if (error == SJ_OK && !access->owner)
        error = apply(path, &narrow);
    for (int i = 0; error == SJ_OK && i < 3; i++) {
        if (snprintf(beside, sizeof beside, "%s%s", path, suffixes[i]) < (int)sizeof beside)
            error = apply_if_there(beside, access);
    }
    if (error == SJ_OK && info->image[0] != '\0')
        error = apply_if_there(info->image, access);
    sj_home_lock(catalog->home, info->uuid, beside);
    if (error == SJ_OK)
        error = apply_if_there(beside, &lock);
    if (error == SJ_OK)
        error = apply(path, access);
    if (error == SJ_OK)
        sj_catalog_make_lock(catalog, name, info->uuid);
    return error;
}

/* With the lock. */
static int access_vas(const struct sj_catalog *catalog, const struct sj_vid *vid,
                      const struct access *access)
{
    struct sj_vas_record record;
    struct sj_segment_info info;
    char path[PATH_MAX];
    struct access lock = of_lock(access);
    int error = sj_catalog_vas_read(catalog, vid->name, vid->uuid, &record);
    if (error != SJ_OK)
        return error;
    free(record.segments);
    if (record.of_segment) {
        error = sj_catalog_seg_find(catalog, vid->name, &info);
        return error == SJ_OK ? access_segment(catalog, vid->name, &info, access) : error;
    }
    sj_home_generation(catalog->home, vid->uuid, path);
    error = apply_if_there(path, &lock);
    sj_home_record(catalog->home, vid->name, path);
    return error == SJ_OK ? apply(path, access) : error;
}

static int set_access(const struct sj_catalog *catalog, const struct sj_vid *vid, bool owner,
                      uint64_t argument)
{
    struct sj_catalog_lock lock;
    const struct access access = {
        .owner = owner,
        .mode = argument < 010000 ? (uint32_t)argument : UINT32_MAX,
        .uid = (uint32_t)argument,
        .gid = (uint32_t)(argument >> 32),
    };
    int error = owner ? SJ_OK : sj_catalog_check_mode(access.mode);
    if (error == SJ_OK)
        error = sj_home_exists(catalog->home);
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = access_vas(catalog, vid, &access);
    sj_catalog_unlock(&lock);
    return error;
}

/* ------------------------------------------------------------------ what the record has */

struct property {
    enum sj_vas_command command;
    uint64_t value;
};

static int set_property(void *context, struct sj_vas_record *record)
{
    const struct property *property = context;
    if (property->command == SJ_VAS_TAG)
        record->tag = (uint32_t)property->value;
    else if (property->command == SJ_VAS_ISOLATION)
        record->isolation = (enum sj_isolation)property->value;
    else
        record->address_limit = property->value;
    return SJ_OK;
}

int sj_catalog_vas_ctl(const struct sj_catalog *catalog, const struct sj_vid *vid,
                       enum sj_vas_command command, uint64_t argument)
{
    struct property property = {command, argument};
    switch (command) {
    case SJ_VAS_MODE:
    case SJ_VAS_OWNER:
        return set_access(catalog, vid, command == SJ_VAS_OWNER, argument);
    case SJ_VAS_TAG:
        if (argument > SJ_VAS_TAG_MAX)
            return sj_error(SJ_EINVAL, "tag: expected 0 to %d, found %llu", SJ_VAS_TAG_MAX,
                            (unsigned long long)argument);
        break;
    case SJ_VAS_ISOLATION:
        if (argument > SJ_ISOLATION_STRICT)
            return sj_error(SJ_EINVAL, "isolation: expected shared (0) or strict (1), found %llu",
                            (unsigned long long)argument);
        break;
    case SJ_VAS_ADDRESS_LIMIT:
        if (argument % SJ_GIB != 0 || argument > SJ_ARENA_END)
            return sj_error(SJ_EINVAL,
                            "address limit: expected whole GiB, at most 0x%llx, found 0x%llx",
                            SJ_ARENA_END, (unsigned long long)argument);
        break;
    default:
        return sj_error(SJ_EINVAL, "command: expected one of a VAS, found %d", (int)command);
    }
    return sj_catalog_change_vas(catalog, vid, set_property, &property);
}

/* ------------------------------------------------------------------ what the segment has */

/* Attaches it, and calls with the hold that is needed. */
static int visit(const struct sj_catalog *catalog, const struct sj_sid *sid, bool writable,
                 int (*change)(struct sj_segment *segment, void *context), void *context)
{
    char segment_path[PATH_MAX], lock_path[PATH_MAX];
    struct sj_attach_options options = {
        .writable = writable, .uuid = sid->uuid, .wait = catalog->wait};
    struct sj_segment_info info;
    struct sj_space *space;
    int error = sj_catalog_seg_find(catalog, sid->name, &info);
    if (error != SJ_OK)
        return error;
    sj_home_segment(catalog->home, sid->name, segment_path);
    sj_home_lock(catalog->home, sid->uuid, lock_path);
    error = sj_space_attach(segment_path, lock_path, &options, &space);
    if (error != SJ_OK)
        return error;
    error = writable ? sj_enter_write(space, &catalog->wait) : sj_enter_read(space, &catalog->wait);
    if (error == SJ_OK) {
        error = change(space->segment, context);
        int left = sj_leave(space);
        if (left == SJ_EBUSY) /* the space that the thread is in again is not at home */
            left = sj_return(&catalog->wait);
        error = error == SJ_OK ? left : error;
    }
    int detached = sj_space_detach(space, &catalog->wait);
    return error == SJ_OK ? detached : error;
}

static int read_settings(struct sj_segment *segment, void *context)
{
    sj_settings_get(segment, context);
    return SJ_OK;
}

int sj_catalog_seg_settings(const struct sj_catalog *catalog, const struct sj_sid *sid,
                            struct sj_settings *settings)
{
    return visit(catalog, sid, false, read_settings, settings);
}

struct setting {
    enum sj_seg_command command;
    uint64_t value;
};

static int write_setting(struct sj_segment *segment, void *context)
{
    const struct setting *setting = context;
    struct sj_settings settings;
    sj_settings_get(segment, &settings);
    if (setting->command == SJ_SEG_LOCKABLE)
        settings.lockable = setting->value == 1;
    else if (setting->command == SJ_SEG_PREFAULT)
        settings.prefault = setting->value == 1;
    else if (setting->command == SJ_SEG_PAGE_SIZE)
        settings.page_bytes = setting->value;
    else
        settings.growth_limit = setting->value;
    return sj_settings_put(segment, &settings);
}

int sj_catalog_seg_ctl(const struct sj_catalog *catalog, const struct sj_sid *sid,
                       enum sj_seg_command command, uint64_t argument)
{
    struct setting setting = {command, argument};
    struct sj_vid vid;
    if ((int)command < SJ_SEG_MODE || command > SJ_SEG_PREFAULT)
        return sj_error(SJ_EINVAL, "command: expected one of a segment, found %d", (int)command);
    if ((command == SJ_SEG_LOCKABLE || command == SJ_SEG_PREFAULT) && argument > 1)
        return sj_error(SJ_EINVAL, "expected 0 or 1, found %llu", (unsigned long long)argument);
    if (command != SJ_SEG_MODE && command != SJ_SEG_OWNER)
        return visit(catalog, sid, true, write_setting, &setting);
    memcpy(vid.uuid, sid->uuid, sizeof vid.uuid);
    memcpy(vid.name, sid->name, sizeof vid.name);
    return set_access(catalog, &vid, command == SJ_SEG_OWNER, argument);
}
