// SPDX-License-Identifier: Apache-2.0
/* catalog_vas.c: virtual address spaces by name, and the segments in them (catalog.h has the
 * rules). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"

/* ------------------------------------------------------------------ records */

static int not_found(const char *home, const char *name)
{
    return sj_error(SJ_ENOTFOUND, "VAS '%s' in '%s'", name, home);
}

int sj_catalog_record(const char *home, const char *name, const uint8_t *uuid,
                      struct sj_vas_record *record)
{
    char path[PATH_MAX];
    struct stat status;
    uint8_t *data;
    size_t bytes;
    memset(record, 0, sizeof *record);
    sj_home_record(home, name, path);
    int error = sj_file_read(path, SJ_RECORD_BYTES_MAX, &data, &bytes, &status);
    if (error == SJ_OK)
        error = sj_record_decode(data, bytes, name, path, record);
    if (error == SJ_OK && uuid != NULL && memcmp(uuid, record->uuid, sizeof record->uuid) != 0) {
        free(record->segments);
        record->segments = NULL;
        error = SJ_ENOTFOUND;
    }
    free(data);
    if (error == SJ_ENOTFOUND)
        return not_found(home, name);
    record->mode = status.st_mode & 07777;
    record->uid = status.st_uid;
    record->gid = status.st_gid;
    return error;
}

bool sj_catalog_is_obsolete(const char *path)
{
    struct sj_vas_record record;
    uint8_t *data;
    size_t bytes;
    if (sj_file_read(path, 63, &data, &bytes, NULL) != SJ_OK)
        return false;
    bool obsolete = sj_record_decode(data, bytes, "", path, &record) == SJ_ENOTFOUND;
    free(data);
    return obsolete;
}

/* The record of a segment that is taken for a VAS. */
static int of_segment(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid,
                      struct sj_vas_record *record)
{
    struct sj_segment_info info;
    struct stat status;
    char path[PATH_MAX];
    bool there = false;
    int error = sj_catalog_seg_find(catalog, name, &info);
    sj_home_segment(catalog->home, name, path);
    if (error == SJ_OK)
        error = sj_file_status(path, &status, &there);
    if (error == SJ_ENOTFOUND ||
        (error == SJ_OK &&
         (!there || (uuid != NULL && memcmp(uuid, info.uuid, sizeof info.uuid) != 0))))
        return not_found(catalog->home, name);
    if (error != SJ_OK)
        return error;
    memset(record, 0, sizeof *record);
    memcpy(record->name, info.name, sizeof record->name);
    memcpy(record->uuid, info.uuid, sizeof record->uuid);
    record->of_segment = true;
    record->created_ns = info.created_ns;
    record->mode = status.st_mode & 07777;
    record->uid = status.st_uid;
    record->gid = status.st_gid;
    record->segments = calloc(1, sizeof *record->segments);
    if (record->segments == NULL)
        return sj_error(SJ_ENOMEM, "the record of VAS '%s'", name);
    record->count = 1;
    struct sj_vas_segment *segment = record->segments;
    memcpy(segment->name, info.name, sizeof segment->name);
    memcpy(segment->uuid, info.uuid, sizeof segment->uuid);
    segment->base = info.base;
    segment->reserved = info.reserved;
    segment->rights = SJ_RIGHT_READ | SJ_RIGHT_WRITE;
    segment->window = SJ_WINDOW_ALL;
    return SJ_OK;
}

int sj_catalog_vas_read(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid,
                        struct sj_vas_record *record)
{
    int error = sj_name_check(name);
    if (error == SJ_OK)
        error = sj_catalog_record(catalog->home, name, uuid, record);
    return error == SJ_ENOTFOUND ? of_segment(catalog, name, uuid, record) : error;
}

int sj_catalog_vas_exists(const struct sj_catalog *catalog, const char *name, bool *exists)
{
    char path[PATH_MAX];
    int error = sj_name_check(name);
    if (error != SJ_OK)
        return error;
    sj_home_record(catalog->home, name, path);
    error = sj_file_status(path, NULL, exists);
    if (error == SJ_OK && *exists)
        *exists = !sj_catalog_is_obsolete(path);
    return error;
}

int sj_catalog_vas_list(const struct sj_catalog *catalog, struct sj_names *names)
{
    struct sj_names records, segments = {0};
    size_t bytes = sizeof *names->name, r = 0, s = 0;
    names->count = 0;
    names->name = NULL;
    int error = sj_home_names(catalog->home, "vas", ".vas", &records);
    if (error == SJ_OK)
        error = sj_catalog_seg_list(catalog, &segments);
    for (size_t i = 0; error == SJ_OK && i < records.count; i++)
        bytes += sizeof *names->name + strlen(records.name[i]) + 1;
    for (size_t i = 0; error == SJ_OK && i < segments.count; i++)
        bytes += sizeof *names->name + strlen(segments.name[i]) + 1;
    if (error == SJ_OK && (names->name = malloc(bytes)) == NULL)
        error = sj_error(SJ_ENOMEM, "%zu bytes for names", bytes);
    char *text = (char *)(names->name + (records.count + segments.count + 1));
    while (error == SJ_OK && (r < records.count || s < segments.count)) {
        int order = r == records.count    ? 1
                    : s == segments.count ? -1
                                          : strcmp(records.name[r], segments.name[s]);
        const char *name = order <= 0 ? records.name[r] : segments.name[s];
        char path[PATH_MAX];
        sj_home_record(catalog->home, name, path);
        r += order <= 0;
        s += order >= 0;
        if (order < 0 && sj_catalog_is_obsolete(path))
            continue; /* its segment is gone */
        names->name[names->count++] = text;
        text = stpcpy(text, name) + 1;
    }
    if (error == SJ_OK)
        names->name[names->count] = NULL;
    free(records.name);
    free(segments.name);
    return error;
}

/* ------------------------------------------------------------------ changing one */

/* Writes a record. `like`: the file that it takes the place of, or NULL. */
static int publish(const char *home, const struct sj_vas_record *record, const struct stat *like)
{
    char path[PATH_MAX];
    uint8_t *data;
    size_t bytes;
    int error = sj_record_encode(record, &data, &bytes);
    if (error != SJ_OK)
        return error;
    sj_home_record(home, record->name, path);
    error = sj_file_publish(path, data, bytes, record->mode, like);
    free(data);
    return error;
}

/* With the lock: `change` changes the record, then it is published; all as I5 says. */
static int change_locked(const struct sj_catalog *catalog, const struct sj_vid *vid,
                         int (*change)(void *context, struct sj_vas_record *record), void *context)
{
    struct sj_generation generation;
    struct sj_vas_record record;
    struct stat status;
    char path[PATH_MAX];
    bool there;
    int error = sj_catalog_record(catalog->home, vid->name, vid->uuid, &record);
    if (error != SJ_OK)
        return error;
    sj_home_record(catalog->home, vid->name, path);
    error = sj_file_status(path, &status, &there);
    if (error == SJ_OK && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        error = sj_file_failed("change", path);
    if (error == SJ_OK)
        error = change(context, &record);
    if (error == SJ_OK)
        error = sj_record_check(&record);
    if (error == SJ_OK) {
        error = sj_generation_open(catalog->home, vid->uuid, true, &generation);
        if (error == SJ_OK || error == SJ_ENOTFOUND) {
            sj_generation_begin(&generation);
            error = publish(catalog->home, &record, &status);
            sj_generation_end(&generation);
            sj_generation_close(&generation);
        }
    }
    free(record.segments);
    return error;
}

/* SJ_EINVAL when the VAS is a segment: it has no record to change. */
static int refuse_segment(const struct sj_catalog *catalog, const struct sj_vid *vid)
{
    struct sj_vas_record record;
    int error = sj_catalog_vas_read(catalog, vid->name, vid->uuid, &record);
    if (error != SJ_OK)
        return error;
    free(record.segments);
    if (!record.of_segment)
        return SJ_OK;
    return sj_error(SJ_EINVAL,
                    "VAS '%s' is the segment of that name: make one with vas_create, and attach "
                    "the segment to it",
                    vid->name);
}

int sj_catalog_change_vas(const struct sj_catalog *catalog, const struct sj_vid *vid,
                          int (*change)(void *context, struct sj_vas_record *record), void *context)
{
    struct sj_catalog_lock lock;
    int error = refuse_segment(catalog, vid);
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = change_locked(catalog, vid, change, context);
    sj_catalog_unlock(&lock);
    return error;
}

struct attachment {
    const struct sj_catalog *catalog;
    const struct sj_sid *sid;
    uint32_t rights, window;
};

/* Tries windows until one has room: there are never more than segments in use. */
static int fit(struct sj_vas_record *record, struct sj_vas_segment *segment, uint32_t *window)
{
    struct sj_vas_segment wanted = *segment;
    int error;
    *window = 0;
    do {
        wanted.window = *window;
        *sj_record_segment(record, wanted.uuid) = wanted;
        error = sj_record_check(record);
    } while (error == SJ_EADDRESS && ++*window <= record->count);
    return error;
}

static int attach(void *context, struct sj_vas_record *record)
{
    struct attachment *attachment = context;
    struct sj_segment_info info;
    int error = sj_catalog_seg_find(attachment->catalog, attachment->sid->name, &info);
    if (error == SJ_OK && memcmp(info.uuid, attachment->sid->uuid, sizeof info.uuid) != 0)
        error = sj_error(SJ_ENOTFOUND, "segment '%s' is another one by now: look it up again",
                         attachment->sid->name);
    if (error != SJ_OK)
        return error;
    struct sj_vas_segment *segment = sj_record_segment(record, info.uuid);
    if (segment == NULL) {
        if (record->count == SJ_VAS_SEGMENTS_MAX)
            return sj_error(SJ_EINVAL, "VAS '%s' has %d segments, which is as many as it can have",
                            record->name, SJ_VAS_SEGMENTS_MAX);
        struct sj_vas_segment *larger =
            realloc(record->segments, (record->count + 1) * sizeof *larger);
        if (larger == NULL)
            return sj_error(SJ_ENOMEM, "%u segments", record->count + 1);
        record->segments = larger;
        segment = &larger[record->count++];
    }
    memcpy(segment->name, info.name, sizeof segment->name);
    memcpy(segment->uuid, info.uuid, sizeof segment->uuid);
    segment->base = info.base;
    segment->reserved = info.reserved;
    segment->rights = attachment->rights;
    segment->window = attachment->window;
    return attachment->window == SJ_WINDOW_FIT ? fit(record, segment, &attachment->window) : SJ_OK;
}

int sj_catalog_seg_attach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                          const struct sj_sid *sid, uint32_t rights, uint32_t window,
                          uint32_t *placed)
{
    struct attachment attachment = {catalog, sid, rights, window};
    if (rights != SJ_RIGHT_READ && rights != (SJ_RIGHT_READ | SJ_RIGHT_WRITE))
        return sj_error(SJ_EINVAL,
                        "rights: expected to read (1), or to read and write (3); "
                        "found %u",
                        rights);
    int error = sj_name_check(sid->name); /* a version cannot be part of a VAS */
    if (error != SJ_OK)
        return error;
    if (window >= SJ_VAS_WINDOWS_MAX && window != SJ_WINDOW_ALL && window != SJ_WINDOW_FIT)
        return sj_error(SJ_EINVAL, "window: expected 0 to %d, found %u", SJ_VAS_WINDOWS_MAX - 1,
                        window);
    error = sj_catalog_change_vas(catalog, vid, attach, &attachment);
    if (error == SJ_OK && placed != NULL)
        *placed = attachment.window;
    return error;
}

static int detach(void *context, struct sj_vas_record *record)
{
    const struct sj_sid *sid = context;
    struct sj_vas_segment *segment = sj_record_segment(record, sid->uuid);
    if (segment == NULL)
        return sj_error(SJ_ENOTFOUND, "VAS '%s' has no segment '%s'", record->name, sid->name);
    size_t after = (size_t)(record->segments + record->count - segment - 1);
    memmove(segment, segment + 1, after * sizeof *segment);
    record->count--;
    return SJ_OK;
}

int sj_catalog_seg_detach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                          const struct sj_sid *sid)
{
    return sj_catalog_change_vas(catalog, vid, detach, (void *)(uintptr_t)sid);
}

/* ------------------------------------------------------------------ making and removing one */

int sj_catalog_check_free_vas(const struct sj_catalog *catalog, const char *name)
{
    char path[PATH_MAX];
    bool taken;
    sj_home_record(catalog->home, name, path);
    int error = sj_file_status(path, NULL, &taken);
    if (error == SJ_OK && taken)
        return sj_error(SJ_EEXISTS,
                        "VAS '%s': expected none of that name in '%s', found one; attach it, "
                        "delete it first, or choose another name",
                        name, catalog->home);
    sj_home_segment(catalog->home, name, path);
    if (error == SJ_OK)
        error = sj_file_status(path, NULL, &taken);
    if (error == SJ_OK && taken)
        return sj_error(SJ_EEXISTS,
                        "VAS '%s': expected none of that name in '%s', found a segment, which is a "
                        "VAS too; choose another name",
                        name, catalog->home);
    return error;
}

int sj_catalog_identify(struct sj_vas_record *record)
{
    struct timespec now;
    if (getrandom(record->uuid, sizeof record->uuid, 0) != (ssize_t)sizeof record->uuid)
        return sj_file_failed("choose a uuid for", record->name);
    clock_gettime(CLOCK_REALTIME, &now);
    record->created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return SJ_OK;
}

/* With the lock. */
static int create(const struct sj_catalog *catalog, struct sj_vas_record *record)
{
    char path[PATH_MAX];
    int error = sj_catalog_check_free_vas(catalog, record->name);
    if (error == SJ_OK)
        error = sj_catalog_identify(record);
    if (error != SJ_OK)
        return error;
    sj_home_record(catalog->home, record->name, path);
    error = publish(catalog->home, record, NULL);
    if (error != SJ_OK)
        unlink(path); /* there already when its directory could not be synced */
    return error;
}

int sj_catalog_vas_create(const struct sj_catalog *catalog, const char *name, uint32_t mode,
                          struct sj_vid *vid)
{
    struct sj_catalog_lock lock;
    struct sj_vas_record record = {.mode = mode};
    int error = sj_name_check(name);
    if (error == SJ_OK)
        error = sj_catalog_check_mode(mode);
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    snprintf(record.name, sizeof record.name, "%s", name);
    error = create(catalog, &record);
    sj_catalog_unlock(&lock);
    if (error == SJ_OK) {
        memcpy(vid->name, record.name, sizeof vid->name);
        memcpy(vid->uuid, record.uuid, sizeof vid->uuid);
    }
    return error;
}

int sj_catalog_finish_record(const char *home, const char *removed)
{
    char below[PATH_MAX], path[PATH_MAX];
    uint8_t uuid[16];
    const char *name;
    if (!sj_catalog_parse_removed(removed, uuid, &name))
        return SJ_OK;
    sj_home_generation(home, uuid, path);
    int error = sj_file_unlink(path, NULL);
    snprintf(below, sizeof below, "vas/%s", removed);
    sj_home_part(home, below, path);
    if (error == SJ_OK)
        error = sj_file_unlink(path, NULL);
    sj_home_part(home, "vas", path);
    return error == SJ_OK ? sj_file_sync_directory(path) : error;
}

/* With the lock: the record of a VAS that was created; `*was`: whether there is one. */
static int delete_record(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid,
                         bool *was)
{
    struct sj_vas_record record;
    char path[PATH_MAX], removed[PATH_MAX];
    int error = sj_catalog_record(catalog->home, name, uuid, &record);
    free(record.segments);
    *was = error != SJ_ENOTFOUND;
    if (error != SJ_OK && (error != SJ_ECORRUPT || uuid != NULL))
        return error;
    sj_home_record(catalog->home, name, path);
    sj_catalog_removed_path(catalog->home, "vas", record.uuid, name, removed);
    error = sj_file_rename(path, removed);
    return error == SJ_OK ? sj_catalog_finish_record(catalog->home, strrchr(removed, '/') + 1)
                          : error;
}

int sj_catalog_vas_delete(const struct sj_catalog *catalog, const char *name, const uint8_t *uuid)
{
    struct sj_catalog_lock lock;
    bool was = true;
    int error = sj_name_check(name);
    if (error != SJ_OK)
        return error;
    error = sj_home_exists(catalog->home);
    if (error == SJ_OK)
        error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error == SJ_ENOTFOUND ? not_found(catalog->home, name) : error;
    error = delete_record(catalog, name, uuid, &was);
    sj_catalog_unlock(&lock);
    return was ? error : sj_catalog_seg_delete(catalog, name, uuid);
}

/* ------------------------------------------------------------------ which name a segment */

static bool names_segment(const struct sj_vas_record *record, const char *name,
                          const uint8_t uuid[16])
{
    static const uint8_t unknown[16];
    if (memcmp(uuid, unknown, sizeof unknown) != 0)
        return sj_record_segment(record, uuid) != NULL;
    for (uint32_t i = 0; i < record->count; i++)
        if (strcmp(record->segments[i].name, name) == 0)
            return true;
    return false;
}

int sj_catalog_check_unnamed(const char *home, const char *name, const uint8_t uuid[16])
{
    struct sj_names vases;
    char found[512] = "";
    int error = sj_home_names(home, "vas", ".vas", &vases);
    for (size_t i = 0; error == SJ_OK && i < vases.count; i++) {
        struct sj_vas_record record;
        bool names = sj_catalog_record(home, vases.name[i], NULL, &record) == SJ_OK &&
                     names_segment(&record, name, uuid);
        free(record.segments);
        size_t length = strlen(found);
        if (names && length + strlen(vases.name[i]) + 4 < sizeof found)
            snprintf(found + length, sizeof found - length, "%s'%s'", length == 0 ? "" : ", ",
                     vases.name[i]);
    }
    free(vases.name);
    if (error != SJ_OK || found[0] == '\0')
        return error;
    return sj_error(SJ_EBUSY,
                    "segment '%s' is part of VAS %s: detach it from there, or delete that VAS, "
                    "first",
                    name, found);
}
