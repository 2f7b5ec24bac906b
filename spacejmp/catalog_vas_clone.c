// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_vas_clone.c: a clone of a VAS: clones of its segments, and a record for them (catalog.h).
 *
 *   copy all, without names ──lock──→ vas/.cloning-NEW ──link──→ seg/NEW.*.seg
 *       ──rename──→ vas/NEW.vas
 *
 * Crash rule: vas/.cloning-NEW is the record that is going to be, so it has the names and uuids of
 * all segments before the first of them gets its name. The rename of it decides. Whoever dies
 * before leaves it, and the next holder of the lock removes those segments, and it, last. Until
 * then they can be found, as segments that no VAS names. Copies without names leave nothing.
 *
 * The lock is not held while data is copied, unless the filesystem has no unnamed files and
 * somebody has cleared the copies away: they are made again with the lock then (catalog_clone.c).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "persistence/clone.h"
#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"
#include "spacejmp/hold.h"
#include "spacejmp/space.h"

struct cloning {
    const struct sj_catalog *catalog;
    struct sj_vas_record source, made;
    bool as_source; /* its permissions, whatever the umask */
    uint32_t count;
    struct sj_space *space[SJ_HOLDS_MAX]; /* in the order of the source: by base, then name */
    struct sj_clone *clone[SJ_HOLDS_MAX];
    struct sj_vas_segment *target[SJ_HOLDS_MAX]; /* in `made` */
    struct sj_clone_spec spec[SJ_HOLDS_MAX];
    char path[SJ_HOLDS_MAX][PATH_MAX]; /* where they are going to be */
};

static void path_of_intent(const struct sj_catalog *catalog, const char *name, char path[PATH_MAX])
{
    char below[SJ_NAME_MAX + 32];
    snprintf(below, sizeof below, "vas/" SJ_CLONING "%s", name);
    sj_home_part(catalog->home, below, path);
}

/* ------------------------------------------------------------------ what is going to be made */

static int name_segment(const struct cloning *cloning, struct sj_vas_segment *segment)
{
    char name[2 * SJ_NAME_MAX + 2];
    const char *old = cloning->source.name, *rest = segment->name;
    size_t length = strlen(old);
    if (strncmp(rest, old, length) == 0 && rest[length] == '.' && rest[length + 1] != '\0')
        rest += length + 1;
    snprintf(name, sizeof name, "%s.%s", cloning->made.name, rest);
    int error = sj_name_check(name);
    if (error == SJ_OK)
        memcpy(segment->name, name, strlen(name) + 1);
    return error;
}

/* All names are free, as far as that can be said without the lock. */
static int check_names(const struct cloning *cloning)
{
    int error = sj_catalog_check_free_vas(cloning->catalog, cloning->made.name);
    for (uint32_t i = 0; error == SJ_OK && i < cloning->count; i++)
        error = sj_catalog_check_free(cloning->catalog, cloning->target[i]->name);
    return error;
}

static int plan(struct cloning *cloning, const struct sj_clone_spec *spec)
{
    struct sj_vas_record *made = &cloning->made;
    size_t bytes = cloning->count * sizeof *made->segments;
    *made = cloning->source;
    snprintf(made->name, sizeof made->name, "%s", spec->name);
    cloning->as_source = spec->mode == 0;
    if (!cloning->as_source)
        made->mode = spec->mode;
    made->segments = malloc(bytes + 1);
    if (made->segments == NULL)
        return sj_error(SJ_ENOMEM, "%u segments", cloning->count);
    if (bytes > 0)
        memcpy(made->segments, cloning->source.segments, bytes);
    int error = sj_catalog_identify(made);
    for (uint32_t i = 0; error == SJ_OK && i < cloning->count; i++)
        error = name_segment(cloning, &made->segments[i]);
    if (error == SJ_OK)
        error = sj_record_check(made); /* sorts them */
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < cloning->count; i++) {
        cloning->target[i] = sj_record_segment(made, cloning->source.segments[i].uuid);
        sj_home_segment(cloning->catalog->home, cloning->target[i]->name, cloning->path[i]);
        cloning->spec[i] = *spec;
        cloning->spec[i].name = cloning->target[i]->name;
        cloning->spec[i].path = cloning->path[i];
        cloning->spec[i].frozen = false;
    }
    error = check_names(cloning);
    if (error == SJ_EEXISTS) { /* it may be what a dead one left */
        (void)sj_catalog_tidy(cloning->catalog);
        error = check_names(cloning);
    }
    return error;
}

/* ------------------------------------------------------------------ making it */

static int copy_all(struct cloning *cloning)
{
    const struct sj_catalog *catalog = cloning->catalog;
    uint32_t attached = 0;
    int error = SJ_OK;
    for (; error == SJ_OK && attached < cloning->count; attached += error == SJ_OK) {
        const struct sj_vas_segment *segment = &cloning->source.segments[attached];
        error = sj_catalog_attach_segment(catalog, segment->name, segment->uuid,
                                          &cloning->space[attached]);
    }
    if (error == SJ_OK)
        error = sj_spaces_clone(cloning->space, cloning->spec, cloning->count, &catalog->wait,
                                cloning->clone);
    while (attached > 0) /* they were only read: nothing is lost with them */
        (void)sj_space_detach(cloning->space[--attached], &catalog->wait);
    return error;
}

/* With the lock: writes down what is going to be. It belongs to who makes it. */
static int announce(struct cloning *cloning, const char *intent)
{
    const struct stat ours = {.st_uid = (uid_t)-1, .st_gid = (gid_t)-1};
    uint8_t *data;
    size_t bytes;
    for (uint32_t i = 0; i < cloning->count; i++)
        sj_clone_uuid(cloning->clone[i], cloning->target[i]->uuid);
    int error = sj_record_encode(&cloning->made, &data, &bytes);
    if (error != SJ_OK)
        return error;
    error =
        sj_file_publish(intent, data, bytes, cloning->made.mode, cloning->as_source ? &ours : NULL);
    free(data);
    return error;
}

/* With the lock; the clones are given up in any case. */
static int publish_all(struct cloning *cloning)
{
    const struct sj_catalog *catalog = cloning->catalog;
    char intent[PATH_MAX], path[PATH_MAX], detail[1024];
    uint32_t done = 0;
    path_of_intent(catalog, cloning->made.name, intent);
    sj_home_record(catalog->home, cloning->made.name, path);
    int error = check_names(cloning);
    bool begun = error == SJ_OK;
    if (error == SJ_OK)
        error = announce(cloning, intent);
    while (error == SJ_OK && done < cloning->count) {
        error = sj_clone_publish(cloning->clone[done], cloning->path[done]);
        done++;
    }
    if (error == SJ_OK)
        error = sj_file_rename(intent, path);
    for (uint32_t i = 0; error == SJ_OK && i < cloning->count; i++)
        sj_catalog_make_lock(catalog, cloning->target[i]->name, cloning->target[i]->uuid);
    if (error == SJ_OK)
        return SJ_OK;
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    for (; done < cloning->count; done++)
        sj_clone_drop(cloning->clone[done]);
    if (begun) {
        rename(path, intent); /* there already when its directory could not be synced */
        sj_catalog_undo_clone(catalog, strrchr(intent, '/') + 1);
    }
    return sj_error(error, "%s", detail);
}

static int clone_all(struct cloning *cloning)
{
    struct sj_catalog_lock lock;
    int error = copy_all(cloning);
    if (error != SJ_OK)
        return error;
    error = sj_catalog_begin(cloning->catalog, &lock);
    if (error != SJ_OK) {
        for (uint32_t i = 0; i < cloning->count; i++)
            sj_clone_drop(cloning->clone[i]);
        return error;
    }
    error = publish_all(cloning);
    if (error == SJ_ENOTFOUND) {
        error = copy_all(cloning);
        if (error == SJ_OK)
            error = publish_all(cloning);
    }
    sj_catalog_unlock(&lock);
    return error;
}

int sj_catalog_vas_clone(const struct sj_catalog *catalog, const struct sj_vid *vid,
                         const struct sj_clone_spec *spec, struct sj_vid *clone)
{
    struct sj_sid sid;
    int error = sj_name_check(spec->name);
    if (error == SJ_OK && spec->mode != 0)
        error = sj_catalog_check_mode(spec->mode);
    struct cloning *cloning = calloc(1, sizeof *cloning);
    if (error == SJ_OK && cloning == NULL)
        error = sj_error(SJ_ENOMEM, "a clone of VAS '%s'", vid->name);
    if (error == SJ_OK)
        error = sj_catalog_vas_read(catalog, vid->name, vid->uuid, &cloning->source);
    if (error != SJ_OK) {
        free(cloning);
        return error;
    }
    cloning->catalog = catalog;
    cloning->count = cloning->source.count;
    if (cloning->source.of_segment) {
        memcpy(sid.uuid, vid->uuid, sizeof sid.uuid);
        memcpy(sid.name, vid->name, sizeof sid.name);
        error = sj_catalog_check_free_vas(catalog, spec->name);
        if (error == SJ_OK)
            error = sj_catalog_sid_clone(catalog, &sid, spec, &sid);
        memcpy(cloning->made.uuid, sid.uuid, sizeof sid.uuid);
    } else if (cloning->count > SJ_HOLDS_MAX) {
        error = sj_error(SJ_EINVAL,
                         "VAS '%s': expected at most %d segments, which a thread can hold at once, "
                         "found %u; clone them one by one",
                         vid->name, SJ_HOLDS_MAX, cloning->count);
    } else {
        error = plan(cloning, spec);
        if (error == SJ_OK)
            error = clone_all(cloning);
    }
    if (error == SJ_OK) {
        snprintf(clone->name, sizeof clone->name, "%s", spec->name);
        memcpy(clone->uuid, cloning->made.uuid, sizeof clone->uuid);
    }
    free(cloning->source.segments);
    free(cloning->made.segments);
    free(cloning);
    return error;
}

/* ------------------------------------------------------------------ undoing it */

int sj_catalog_undo_clone(const struct sj_catalog *catalog, const char *entry)
{
    struct sj_vas_record record = {0};
    const char *name = entry + strlen(SJ_CLONING);
    char intent[PATH_MAX], path[PATH_MAX];
    uint8_t *data = NULL;
    size_t bytes;
    path_of_intent(catalog, name, intent);
    int error = sj_file_read(intent, SJ_RECORD_BYTES_MAX, &data, &bytes, NULL);
    if (error == SJ_OK)
        error = sj_record_decode(data, bytes, name, intent, &record);
    free(data);
    uint32_t count = error == SJ_OK ? record.count : 0;
    if (error == SJ_ENOTFOUND || error == SJ_ECORRUPT) /* its segments are harmless, and stay */
        error = SJ_OK;
    for (uint32_t i = 0; error == SJ_OK && i < count; i++) {
        error = sj_catalog_discard(catalog, record.segments[i].name, record.segments[i].uuid);
        if (error == SJ_ENOTFOUND || error == SJ_EBUSY) /* not made, or a VAS's by now */
            error = SJ_OK;
    }
    free(record.segments);
    if (error == SJ_OK)
        error = sj_file_unlink(intent, NULL);
    sj_home_part(catalog->home, "vas", path);
    return error == SJ_OK ? sj_file_sync_directory(path) : error;
}
