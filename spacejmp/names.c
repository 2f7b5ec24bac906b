// SPDX-License-Identifier: Apache-2.0
/* names.c: the paper's interface on the home of this process (names.h has the contract). */
#include "spacejmp/names.h"

#include <stdlib.h>
#include <string.h>

#include "spacejmp/arena.h"

/* The catalog of this process's home; `path` has room for it. */
static int ours(char path[SJ_HOME_MAX + 1], struct sj_catalog *catalog)
{
    *catalog = (struct sj_catalog){path, {.timeout_s = 10.0}};
    return sj_home_path(path);
}

int sj_vas_create(const char *name, uint32_t mode, struct sj_vid *vid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_create(&catalog, name, mode, vid) : error;
}

int sj_vas_find(const char *name, struct sj_vid *vid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    struct sj_vas_record record;
    int error = ours(home, &catalog);
    if (error == SJ_OK)
        error = sj_catalog_vas_read(&catalog, name, NULL, &record);
    if (error != SJ_OK)
        return error;
    memcpy(vid->name, record.name, sizeof vid->name);
    memcpy(vid->uuid, record.uuid, sizeof vid->uuid);
    free(record.segments);
    return SJ_OK;
}

int sj_vas_delete(const struct sj_vid *vid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_delete(&catalog, vid->name, vid->uuid) : error;
}

int sj_vas_clone(const struct sj_vid *vid, const char *name, sj_clone_progress *progress,
                 void *context, struct sj_vid *clone)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    const struct sj_clone_spec spec = {
        .name = name, .durability = SJ_CLONE_KEEPS, .progress = progress, .context = context};
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_clone(&catalog, vid, &spec, clone) : error;
}

int sj_vas_list(struct sj_names *names)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_list(&catalog, names) : error;
}

int sj_vas_ctl(const struct sj_vid *vid, enum sj_vas_command command, uint64_t argument)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_ctl(&catalog, vid, command, argument) : error;
}

int sj_vas_read(const struct sj_vid *vid, struct sj_vas_record *record)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_read(&catalog, vid->name, vid->uuid, record) : error;
}

static void identify(const struct sj_segment_info *info, struct sj_sid *sid)
{
    memcpy(sid->name, info->name, sizeof sid->name);
    memcpy(sid->uuid, info->uuid, sizeof sid->uuid);
}

int sj_seg_alloc(const char *name, uint64_t base, uint64_t reserved, uint32_t mode,
                 struct sj_sid *sid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    struct sj_segment_info info;
    struct sj_seg_spec spec = {
        .name = name,
        .base = base,
        .reserved = reserved == 0 ? SJ_RESERVE_DEFAULT : reserved,
        .mode = mode,
        .durability = SJ_DURABILITY_PROCESS,
    };
    int error = ours(home, &catalog);
    if (error == SJ_OK)
        error = sj_catalog_seg_alloc(&catalog, &spec, &info);
    if (error == SJ_OK)
        identify(&info, sid);
    return error;
}

int sj_seg_find(const char *name, struct sj_sid *sid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    struct sj_segment_info info;
    int error = ours(home, &catalog);
    if (error == SJ_OK)
        error = sj_catalog_seg_find(&catalog, name, &info);
    if (error == SJ_OK)
        identify(&info, sid);
    return error;
}

int sj_seg_delete(const struct sj_sid *sid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_delete(&catalog, sid->name, sid->uuid) : error;
}

int sj_seg_clone(const struct sj_sid *sid, const char *name, sj_clone_progress *progress,
                 void *context, struct sj_sid *clone)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    const struct sj_clone_spec spec = {
        .name = name, .durability = SJ_CLONE_KEEPS, .progress = progress, .context = context};
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_sid_clone(&catalog, sid, &spec, clone) : error;
}

int sj_seg_list(struct sj_names *names)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_list(&catalog, names) : error;
}

int sj_seg_attach_window(const struct sj_vid *vid, const struct sj_sid *sid, uint32_t rights,
                         uint32_t window)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_attach(&catalog, vid, sid, rights, window, NULL) : error;
}

int sj_seg_attach(const struct sj_vid *vid, const struct sj_sid *sid, uint32_t rights)
{
    return sj_seg_attach_window(vid, sid, rights, SJ_WINDOW_ALL);
}

int sj_seg_detach(const struct sj_vid *vid, const struct sj_sid *sid)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_detach(&catalog, vid, sid) : error;
}

int sj_vas_attach(const struct sj_vid *vid, uint32_t rights, const struct sj_wait *wait,
                  struct sj_vas **vh)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_vas_attach(&catalog, vid, rights, wait, vh) : error;
}

int sj_seg_attach_private(struct sj_vas *vh, const struct sj_sid *sid, uint32_t rights,
                          const struct sj_wait *wait)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    if (error != SJ_OK)
        return error;
    return sj_catalog_add_private(&catalog, vh, sid, rights, SJ_WINDOW_ALL, wait);
}

int sj_seg_detach_private(struct sj_vas *vh, const struct sj_sid *sid, const struct sj_wait *wait)
{
    return sj_vas_remove_private(vh, sid->uuid, wait);
}

int sj_seg_ctl(const struct sj_sid *sid, enum sj_seg_command command, uint64_t argument)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_ctl(&catalog, sid, command, argument) : error;
}

int sj_seg_settings(const struct sj_sid *sid, struct sj_settings *settings)
{
    char home[SJ_HOME_MAX + 1];
    struct sj_catalog catalog;
    int error = ours(home, &catalog);
    return error == SJ_OK ? sj_catalog_seg_settings(&catalog, sid, settings) : error;
}
