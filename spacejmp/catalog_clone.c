// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_clone.c: a clone gets its name in the catalog (catalog.h has the rules).
 *
 * It was copied before, without the catalog's lock, for that may take long: it has no name yet. On
 * a filesystem without unnamed files it has a temporary one, which the next change of the catalog,
 * or this one, clears away; then it is SJ_ENOTFOUND, and is made again with the lock.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "persistence/clone.h"
#include "spacejmp/catalog.h"
#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"
#include "spacejmp/space.h"

int sj_catalog_check_free(const struct sj_catalog *catalog, const char *name)
{
    char path[PATH_MAX];
    bool there;
    int error = sj_segment_name_check(name);
    if (error != SJ_OK)
        return error;
    sj_home_segment(catalog->home, name, path);
    error = sj_file_status(path, NULL, &there);
    if (error != SJ_OK || !there)
        return error;
    return sj_error(SJ_EEXISTS,
                    "segment '%s': expected no such file as '%s', found one; remove it first, or "
                    "choose another name",
                    name, path);
}

/* With the lock. */
static int publish(const struct sj_catalog *catalog, struct sj_clone *clone, const char *name,
                   uint8_t uuid[16])
{
    char path[PATH_MAX], detail[1024];
    int error = sj_catalog_check_free(catalog, name);
    if (error != SJ_OK) {
        sj_clone_drop(clone);
        return error;
    }
    sj_home_segment(catalog->home, name, path);
    sj_clone_uuid(clone, uuid);
    error = sj_clone_publish(clone, path);
    if (error == SJ_OK) {
        sj_catalog_make_lock(catalog, name, uuid);
        return SJ_OK;
    }
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    (void)sj_catalog_discard(catalog, name,
                             uuid); /* there when its directory could not be synced */
    return sj_error(error, "%s", detail);
}

/* The same as before, alone in the catalog. */
static int clone_alone(const struct sj_catalog *catalog, struct sj_space *space,
                       const struct sj_clone_spec *spec, uint8_t uuid[16])
{
    struct sj_catalog_lock lock;
    struct sj_clone *clone;
    int error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = sj_space_clone(space, spec, &catalog->wait, &clone);
    if (error == SJ_OK)
        error = publish(catalog, clone, spec->name, uuid);
    sj_catalog_unlock(&lock);
    return error;
}

static int clone_space(const struct sj_catalog *catalog, struct sj_space *space,
                       const struct sj_clone_spec *wanted, uint8_t uuid[16])
{
    struct sj_clone_spec spec = *wanted;
    struct sj_catalog_lock lock;
    struct sj_clone *clone;
    char path[PATH_MAX];
    int error = sj_catalog_check_free(catalog, spec.name);
    if (error == SJ_EEXISTS) { /* it may be what a dead one left */
        (void)sj_catalog_tidy(catalog);
        error = sj_catalog_check_free(catalog, spec.name);
    }
    if (error == SJ_OK)
        error = sj_home_make(catalog->home);
    if (error != SJ_OK)
        return error;
    sj_home_segment(catalog->home, spec.name, path);
    spec.path = path;
    error = sj_space_clone(space, &spec, &catalog->wait, &clone);
    if (error != SJ_OK)
        return error;
    error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK) {
        sj_clone_drop(clone);
        return error;
    }
    error = publish(catalog, clone, spec.name, uuid);
    sj_catalog_unlock(&lock);
    return error == SJ_ENOTFOUND ? clone_alone(catalog, space, &spec, uuid) : error;
}

int sj_catalog_seg_clone(const struct sj_catalog *catalog, struct sj_space *space,
                         const struct sj_clone_spec *spec)
{
    uint8_t uuid[16];
    return clone_space(catalog, space, spec, uuid);
}

int sj_catalog_attach_segment(const struct sj_catalog *catalog, const char *name,
                              const uint8_t uuid[16], struct sj_space **space)
{
    char segment_path[PATH_MAX], lock_path[PATH_MAX];
    struct sj_attach_options options = {.uuid = uuid, .wait = catalog->wait};
    struct sj_segment_info info;
    int error = sj_catalog_seg_find(catalog, name, &info);
    if (error == SJ_OK)
        error = sj_home_make(catalog->home);
    if (error != SJ_OK)
        return error;
    sj_home_segment(catalog->home, name, segment_path);
    sj_home_lock(catalog->home, uuid, lock_path);
    return sj_space_attach(segment_path, lock_path, &options, space);
}

int sj_catalog_sid_clone(const struct sj_catalog *catalog, const struct sj_sid *sid,
                         const struct sj_clone_spec *spec, struct sj_sid *clone)
{
    struct sj_space *space;
    int error = sj_name_check(spec->name);
    if (error == SJ_OK)
        error = sj_catalog_attach_segment(catalog, sid->name, sid->uuid, &space);
    if (error != SJ_OK)
        return error;
    error = clone_space(catalog, space, spec, clone->uuid);
    (void)sj_space_detach(space, &catalog->wait); /* it was only read: nothing is lost with it */
    if (error == SJ_OK)
        strcpy(clone->name, spec->name);
    return error;
}
