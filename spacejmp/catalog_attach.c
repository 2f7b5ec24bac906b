// SPDX-License-Identifier: Apache-2.0
/* catalog_attach.c: attaching by name what catalog.h finds and vas.h attaches. */
#include <limits.h>
#include <string.h>

#include "spacejmp/catalog.h"
#include "spacejmp/vas.h"

int sj_catalog_vas_attach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                          uint32_t rights, const struct sj_wait *wait, struct sj_vas **vh)
{
    struct sj_vas_source source;
    int error = sj_catalog_source(catalog, vid, &source);
    return error == SJ_OK ? sj_vas_attach_source(&source, rights, wait, vh) : error;
}

int sj_catalog_add_private(const struct sj_catalog *catalog, struct sj_vas *vh,
                           const struct sj_sid *sid, uint32_t rights, uint32_t window,
                           const struct sj_wait *wait)
{
    char segment_path[PATH_MAX], lock_path[PATH_MAX];
    struct sj_segment_info info;
    int error = sj_catalog_seg_find(catalog, sid->name, &info);
    if (error != SJ_OK)
        return error;
    if (memcmp(info.uuid, sid->uuid, sizeof info.uuid) != 0)
        return sj_error(SJ_ENOTFOUND, "the segment '%s' has been replaced by another one",
                        sid->name);
    sj_home_segment(catalog->home, sid->name, segment_path);
    sj_home_lock(catalog->home, sid->uuid, lock_path);
    struct sj_vas_part part = {.segment_path = segment_path,
                               .lock_path = lock_path,
                               .rights = rights,
                               .window = window,
                               .lockable = true};
    memcpy(part.uuid, sid->uuid, sizeof part.uuid);
    return sj_vas_add_private(vh, &part, wait);
}
