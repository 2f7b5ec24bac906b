// SPDX-License-Identifier: Apache-2.0
/*
 * catalog.h: the catalog: a home directory that holds segments and virtual address spaces by name.
 *
 * home.h says which files there are. Segments and VASes are two namespaces. A segment is by itself
 * a VAS of one segment, with its name and uuid; a VAS of several segments, or none, has a record.
 *
 * I1  A segment exists if and only if seg/<name>.seg has its name. It appears complete
 *     (sj_segment_create), and ceases to exist by one rename.
 * I2  A VAS that was created exists if and only if vas/<name>.vas has its name and is a record of
 *     format 2 or later. It appears, changes and ceases to exist by one rename. Records of format 1
 *     count for nothing; whoever changes the catalog next clears them away.
 * I3  Segments and records appear, change and vanish only under the catalog's lock. Hence temporary
 *     files that its next holder finds belong to nobody, and are cleared away.
 * I4  A lock file is removed only when no segment of the home has its uuid; a segment that a record
 *     names is not removed.
 * I5  The generation of a VAS is odd before its record changes and even, and another one, after
 *     that. So whoever finds it even, and as it was, has the record that counts. Whoever finds it
 *     odd and gets the lock repairs it: the one who made it so is dead.
 *
 * I6  vas/.cloning-<name> says which segments a clone of a VAS is going to have. Renaming it to
 *     vas/<name>.vas makes them that VAS; as long as it is there they are nobody's, and the next
 *     holder of the lock removes them.
 *
 * Crash rule: whoever dies at any instruction of a change leaves the whole of it or none of it; the
 * next change clears the rest away. Directories are synced after each step, so that this holds for
 * power loss too, as far as the filesystem outlives it.
 *
 * Locking: lock/catalog.lock, by flock(2), alone among all threads of all processes; the kernel
 * frees it when its holder dies, and a child of a fork does not keep its parent's. Looking a name
 * up takes no lock and never waits.
 *
 * Names are checked (SJ_ENAME) before any file is touched. All functions: SJ_EPERM, SJ_EIO,
 * SJ_ENOMEM; those that change something: SJ_EBUSY and SJ_EINTR from waiting for the lock,
 * SJ_EFULL. After a failure nothing has been made; what was to be changed or removed is as it was,
 * or has been, whole: then a directory could not be synced (SJ_EIO), and power loss may undo it.
 */
#ifndef SJ_SPACEJMP_CATALOG_H
#define SJ_SPACEJMP_CATALOG_H

#include "persistence/segment.h"
#include "persistence/settings.h"
#include "spacejmp/home.h"
#include "spacejmp/record.h"
#include "spacejmp/vas_source.h"
#include "spacejmp/wait.h"

/* Which home, and how long a change waits for others that change it. */
struct sj_catalog {
    const char *home; /* absolute */
    struct sj_wait wait;
};

/* A VAS or a segment that was found: resolved again on each use, so that one that is gone, or has
 * been replaced by another of its name, is SJ_ENOTFOUND. */
struct sj_vid {
    uint8_t uuid[16];
    char name[SJ_NAME_MAX + 1];
};
struct sj_sid {
    uint8_t uuid[16];
    char name[SJ_NAME_MAX + 1];
};

/* ---- segments ---- */

struct sj_seg_spec {
    const char *name;
    uint64_t base;     /* whole GiB in the arena; 0: chosen, so that it overlaps none of the home's
                          segments and none that this process has attached */
    uint64_t reserved; /* whole GiB */
    uint32_t mode;     /* file permissions that let the owner read and write */
    enum sj_durability durability;
    bool replace; /* remove what has the name; it is there until the new one is complete */
};

/* Makes a segment, which is a store and a VAS of one segment too. SJ_EEXISTS, SJ_EINVAL; SJ_EFULL
 * also when no gap of the arena is large enough; SJ_EBUSY also when it would replace a segment that
 * records name. O(n) in the number of segments of the home. */
SJ_API int sj_catalog_seg_alloc(const struct sj_catalog *catalog, const struct sj_seg_spec *spec,
                                struct sj_segment_info *info);

/* What the segment, or version, of that name says of itself. SJ_ENOTFOUND; SJ_EIDENTITY: the file
 * was copied or renamed; errors of sj_segment_inspect. O(1). */
SJ_API int sj_catalog_seg_find(const struct sj_catalog *catalog, const char *name,
                               struct sj_segment_info *info);

/* Removes a segment, or a version, and all that belongs to it; versions of it stay. Processes
 * that have it attached keep what they see. `uuid` NULL: whichever has the name, also a damaged
 * one. SJ_ENOTFOUND; SJ_EBUSY: records of VASes name it, or another segment waits for what it has
 * decided (persistence/tx_group.h). O(n) in the numbers of segments and VASes. */
SJ_API int sj_catalog_seg_delete(const struct sj_catalog *catalog, const char *name,
                                 const uint8_t *uuid);

struct sj_space;
struct sj_clone_spec;
/*
 * Makes a segment of another name, or a version NAME@TAG, with what an attached one has committed
 * (persistence/clone.h, space.h: sj_space_clone); `spec->path` is not looked at. The lock is held
 * while it gets its name. SJ_EEXISTS; errors of sj_space_clone.
 */
SJ_API int sj_catalog_seg_clone(const struct sj_catalog *catalog, struct sj_space *space,
                                const struct sj_clone_spec *spec);

/* Attaches a segment for that, for reading. SJ_ENOTFOUND, and those of sj_space_attach too. */
SJ_API int sj_catalog_sid_clone(const struct sj_catalog *catalog, const struct sj_sid *sid,
                                const struct sj_clone_spec *spec, struct sj_sid *clone);

/* The names of all segments, sorted. Versions are not among them. */
SJ_API int sj_catalog_seg_list(const struct sj_catalog *catalog, struct sj_names *names);

/* Clears away what dead ones left. (Every change does so.) */
SJ_API int sj_catalog_tidy(const struct sj_catalog *catalog);

/* ---- virtual address spaces ---- */

/* Makes a VAS without segments. SJ_EEXISTS: a VAS or a segment has the name. */
SJ_API int sj_catalog_vas_create(const struct sj_catalog *catalog, const char *name, uint32_t mode,
                                 struct sj_vid *vid);

/* Reads the record of a VAS, or makes that of a segment taken for one. `uuid` NULL: whichever has
 * the name. SJ_ENOTFOUND, SJ_ECORRUPT, SJ_EVERSION, and those of sj_catalog_seg_find. */
SJ_API int sj_catalog_vas_read(const struct sj_catalog *catalog, const char *name,
                               const uint8_t *uuid, struct sj_vas_record *record);

/* Whether a VAS was created with that name, also one whose record is damaged. O(1). */
SJ_API int sj_catalog_vas_exists(const struct sj_catalog *catalog, const char *name, bool *exists);

/*
 * Makes a VAS `spec->name` of clones of all segments of one, at the same bases, with the same
 * rights, windows, tag, isolation and limit, and with the permissions of the original or
 * `spec->mode`. They are as they were at one moment: all are held for reading at once. A segment's
 * clone is called as the segment is, after the new VAS's name and a dot; the old VAS's name and
 * dot, if it begins so, are left out: of "a" with "a.x" and "y", the clone "b" has "b.x" and "b.y".
 * Of a segment taken for a VAS, sj_catalog_sid_clone.
 *
 * Whole or absent: catalog_vas_clone.c has the crash rule. SJ_EEXISTS; SJ_ENAME; SJ_EINVAL: it has
 * more than SJ_HOLDS_MAX segments, which a thread cannot hold at once; errors of
 * sj_catalog_sid_clone for any segment. O(bytes of the segments).
 */
SJ_API int sj_catalog_vas_clone(const struct sj_catalog *catalog, const struct sj_vid *vid,
                                const struct sj_clone_spec *spec, struct sj_vid *clone);

/* Removes a VAS: its record; of a segment taken for one, the segment. Those who have it attached
 * keep it until they detach it. `uuid` NULL: whichever has the name, also a damaged one. */
SJ_API int sj_catalog_vas_delete(const struct sj_catalog *catalog, const char *name,
                                 const uint8_t *uuid);

/* The names of all VASes, segments included, sorted. */
SJ_API int sj_catalog_vas_list(const struct sj_catalog *catalog, struct sj_names *names);

#define SJ_WINDOW_FIT (UINT32_MAX - 1) /* the first window that has room for it */

/*
 * Makes a segment part of a VAS, for all who have it attached from their next switch on; or gives
 * it other rights or another window. SJ_EADDRESS: it overlaps a segment in a common window, or
 * exceeds the VAS's limit of addresses. SJ_EINVAL: the VAS is a segment, or has too many.
 * `placed`: the window; may be NULL.
 */
SJ_API int sj_catalog_seg_attach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                                 const struct sj_sid *sid, uint32_t rights, uint32_t window,
                                 uint32_t *placed);

/* Takes it out again. SJ_ENOTFOUND: it is not in it. */
SJ_API int sj_catalog_seg_detach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                                 const struct sj_sid *sid);

enum sj_vas_command {
    SJ_VAS_MODE,          /* permission bits */
    SJ_VAS_OWNER,         /* uid, and gid << 32; UINT32_MAX: as it is */
    SJ_VAS_TAG,           /* 0 … SJ_VAS_TAG_MAX */
    SJ_VAS_ISOLATION,     /* enum sj_isolation */
    SJ_VAS_ADDRESS_LIMIT, /* bytes, whole GiB; 0: none */
};

/* Changes one property of a VAS. SJ_EINVAL: out of range, or a segment's VAS cannot have it;
 * SJ_EADDRESS: its segments exceed that limit. */
SJ_API int sj_catalog_vas_ctl(const struct sj_catalog *catalog, const struct sj_vid *vid,
                              enum sj_vas_command command, uint64_t argument);

enum sj_seg_command {
    SJ_SEG_MODE,         /* permission bits, of all its files */
    SJ_SEG_OWNER,        /* uid, and gid << 32; UINT32_MAX: as it is */
    SJ_SEG_LOCKABLE,     /* 0 or 1: whether a switch into a VAS takes its lock */
    SJ_SEG_GROWTH_LIMIT, /* bytes that the file may grow to, whole pages; 0: the reserve */
    SJ_SEG_PAGE_SIZE,    /* SJ_PAGE, or SJ_PAGE_HUGE where the filesystem has such pages */
    SJ_SEG_PREFAULT,     /* 0 or 1: whether who opens it maps all pages that it has */
};

/*
 * Changes one property of a segment. All but mode and owner are in the segment (settings.h): it is
 * attached for that, and waited for. SJ_EINVAL: out of range; SJ_EUNSUPPORTED: there are no huge
 * pages; SJ_ENOTFOUND; errors of sj_space_attach and sj_enter_write. Lockable, page size and
 * prefault count for those that attach it from then on.
 */
SJ_API int sj_catalog_seg_ctl(const struct sj_catalog *catalog, const struct sj_sid *sid,
                              enum sj_seg_command command, uint64_t argument);

/* What is set in it. Errors of sj_space_attach and sj_enter_read. */
SJ_API int sj_catalog_seg_settings(const struct sj_catalog *catalog, const struct sj_sid *sid,
                                   struct sj_settings *settings);

/* Where an attachment gets the segments of a VAS from (vas_source.h). `source.close` ends it; the
 * catalog may go before. When the VAS is deleted, it keeps the segments that it had. */
SJ_API int sj_catalog_source(const struct sj_catalog *catalog, const struct sj_vid *vid,
                             struct sj_vas_source *source);

/* Attaches a VAS to this process (vas.h: sj_vas_attach_source); errors of sj_catalog_source too. */
struct sj_vas;
SJ_API int sj_catalog_vas_attach(const struct sj_catalog *catalog, const struct sj_vid *vid,
                                 uint32_t rights, const struct sj_wait *wait, struct sj_vas **vh);

/* Adds a segment to what this process has attached alone, and takes it away (vas.h:
 * sj_vas_add_private). Errors of sj_catalog_seg_find too. */
SJ_API int sj_catalog_add_private(const struct sj_catalog *catalog, struct sj_vas *vh,
                                  const struct sj_sid *sid, uint32_t rights, uint32_t window,
                                  const struct sj_wait *wait);

#endif
