// SPDX-License-Identifier: Apache-2.0
/*
 * segment.c: mapping, growing and closing a segment (media_layout.h has the format).
 *
 * Crash rules. The file grows before root_page->committed says so, and committed only rises. The
 * superblock says "not clean" before the first change of a process, "clean" after the last one's
 * data is synced and has checksums (sums.h).
 */
#include "persistence/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/log.h"
#include "persistence/log_group.h"
#include "persistence/loss.h"
#include "persistence/pages.h"
#include "persistence/seam.h"
#include "persistence/settings.h"
#include "persistence/sums.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"

#define GROWTH_MIN (256ull << 10)
#define GROWTH_MAX (16ull << 20)

bool sj_range_is_valid(uint64_t base, uint64_t reserved)
{
    return base % SJ_GIB == 0 && reserved % SJ_GIB == 0 && reserved != 0 &&
           base >= SJ_ARENA_FIRST && base < SJ_ARENA_END && reserved <= SJ_ARENA_END - base;
}

int sj_segment_damaged(const struct sj_segment *segment, uint64_t at, const char *expected)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    if (offset < segment->reserved)
        return sj_error(SJ_ECORRUPT, "segment '%s', offset 0x%llx: expected %s, found damage",
                        segment->name, (unsigned long long)offset, expected);
    return sj_error(SJ_ECORRUPT,
                    "segment '%s': expected %s, found the address 0x%llx outside the segment",
                    segment->name, expected, (unsigned long long)at);
}

/* mmap, of a range that is free. The kernel knows no MAP_FIXED_NOREPLACE beside the flags that it
 * validates: then the range is taken first. */
static void *map_at(const struct sj_segment *segment, void *want, int protection)
{
    uint64_t bytes = segment->reserved;
    int flags = segment->domain->map_flags, free_only = MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    if (flags == 0)
        return mmap(want, bytes, protection,
                    (segment->is_private ? MAP_PRIVATE : MAP_SHARED) | free_only, segment->fd, 0);
    void *got = mmap(want, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | free_only, -1, 0);
    if (got != want)
        return got;
    got = mmap(want, bytes, protection, flags | MAP_NORESERVE | MAP_FIXED, segment->fd, 0);
    if (got == MAP_FAILED) {
        int why = errno;
        munmap(want, bytes);
        errno = why;
    }
    return got;
}

/* The file of a private segment does not grow: behind its end the segment is memory alone. */
static bool map_own(const struct sj_segment *segment, char *base, int protection)
{
    uint64_t from = segment->own_from, bytes = segment->reserved - from;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    return !segment->is_private || bytes == 0 ||
           mmap(base + from, bytes, protection, flags, -1, 0) != MAP_FAILED;
}

static int map(struct sj_segment *segment, const char *path, uint64_t base)
{
    int protection = segment->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *want = (void *)(uintptr_t)base;
    void *got = map_at(segment, want, protection);
    if (got == MAP_FAILED)
        return errno == EEXIST ? sj_segment_taken(path, base, segment->reserved)
                               : sj_segment_failed(path, "mmap");
    if (got != want) { /* a kernel that takes the address for a hint */
        munmap(got, segment->reserved);
        return sj_segment_taken(path, base, segment->reserved);
    }
    if (!map_own(segment, got, protection)) {
        int error = sj_segment_failed(path, "mmap");
        munmap(got, segment->reserved);
        return error;
    }
    madvise(got, segment->reserved, MADV_DONTDUMP);
    segment->base = got;
    segment->root_page = (struct sj_root_page *)(segment->base + SJ_ROOT_PAGE_AT);
    segment->log = (struct sj_log *)(segment->base + SJ_LOG_AT);
    segment->mapped_at = base;
    return sj_segment_guard(segment);
}

/* Whether the file has all that it says is committed; asked before anything is mapped. */
static int check_size(const struct sj_segment *segment, const char *path)
{
    struct sj_root_page root_page;
    struct stat status;
    ssize_t got = sj_segment_read(segment->fd, &root_page, sizeof root_page, SJ_ROOT_PAGE_AT);
    if (got < 0 || fstat(segment->fd, &status) != 0)
        return sj_segment_failed(path, "read");
    uint64_t size = (uint64_t)status.st_size;
    if ((size_t)got < sizeof root_page || size < root_page.committed)
        return sj_error(SJ_ETRUNCATED,
                        "%s: has %llu bytes, the segment in it %llu: restore the file from a copy",
                        path, (unsigned long long)size,
                        (unsigned long long)((size_t)got < sizeof root_page ? SJ_CHUNK_DIR_AT
                                                                            : root_page.committed));
    if (root_page.committed < sj_pages_meta_bytes(segment->reserved) ||
        root_page.committed > segment->reserved || root_page.committed % SJ_PAGE != 0 ||
        root_page.chunks > segment->reserved / SJ_CHUNK)
        return sj_error(SJ_ECORRUPT, "%s: the root page is damaged", path);
    return SJ_OK;
}

static int check_clean(const struct sj_segment *segment, const char *path,
                       const struct sj_super *super, bool accept_unclean)
{
    uint8_t boot[16];
    sj_boot_id(boot);
    if ((super->state & SJ_STATE_UNSYNCED) != 0 && !accept_unclean)
        return sj_error(SJ_EUNCLEAN,
                        "%s: writing this store to its disk failed when it was open, so nobody "
                        "knows what the disk has of it: see to the disk, and run 'spacejmp check "
                        "--accept %s', which checks all of it and opens it again if it is whole, "
                        "or restore a copy",
                        path, segment->name);
    if (!segment->domain->outlives_reboot || segment->domain->durability == SJ_DURABILITY_POWER ||
        (super->state & SJ_STATE_CLEAN) != 0 || memcmp(boot, super->boot_id, sizeof boot) == 0 ||
        accept_unclean)
        return SJ_OK;
    return sj_error(SJ_EUNCLEAN,
                    "%s: the machine stopped while this store was open, and durability 'process' "
                    "does not cover that: run 'spacejmp check --accept %s', which checks all of it "
                    "and opens it again if it is whole, or restore a copy",
                    path, segment->name);
}

/* `last`: no other process has it open. */
static int discard(struct sj_segment *segment, bool last)
{
    int error = segment->wal == NULL ? SJ_OK : sj_wal_detach(segment, last);
    if (segment->mapped_at != 0) {
        sj_segment_unguard(segment);
        sj_segment_unreserve(segment);
        munmap((void *)(uintptr_t)segment->mapped_at, segment->reserved);
    }
    sj_segment_sums_end(segment);
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment->tx.entries.items);
    free(segment->tx.frees.items);
    free(segment->tx.fresh.items);
    free(segment->tx.marks.items);
    free(segment);
    return error;
}

/* What a dead process stored and did not come to flush is going to be read (a word of
 * sj_tx_single_word): it becomes durable before. */
static int flush_left(struct sj_segment *segment)
{
    return segment->domain->flush != NULL ? sj_segment_sync(segment) : SJ_OK;
}

/* A segment is what its superblock says. */
static void describe(struct sj_segment *segment, const struct stat *status,
                     const struct sj_super *super)
{
    segment->device = status->st_dev;
    segment->inode = status->st_ino;
    segment->reserved = super->reserved;
    segment->meta_bytes = sj_pages_meta_bytes(super->reserved);
    segment->heap = super->base + segment->meta_bytes;
    segment->spans = super->base;
    memcpy(segment->name, super->name, super->name_bytes);
    memcpy(segment->uuid, super->uuid, sizeof segment->uuid);
}

static int check_uuid(const char *path, const uint8_t *uuid, const struct sj_super *super)
{
    if (uuid == NULL || memcmp(super->uuid, uuid, sizeof super->uuid) == 0)
        return SJ_OK;
    return sj_error(SJ_ENOTFOUND, "%s: another segment has taken its place", path);
}

static int only_a_version(const char *path)
{
    return sj_error(SJ_EREADONLY,
                    "%s: is a version, which never changes: open it with flag 'r', or with "
                    "private=True, or clone it and open the clone",
                    path);
}

/* A segment that is open, and not yet mapped. */
static int begin(const char *path, const uint8_t *uuid, bool writable, struct sj_super *super,
                 struct sj_segment **begun)
{
    struct stat status;
    struct sj_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    segment->rw_possible = segment->writable = writable;
    int error = sj_segment_open_file(path, &segment->rw_possible, &segment->fd, &status, super);
    if (error == SJ_OK) {
        error = check_uuid(path, uuid, super);
        if (error == SJ_OK && writable && sj_super_is_frozen(super))
            error = only_a_version(path);
        if (error != SJ_OK)
            close(segment->fd);
    }
    if (error != SJ_OK) {
        free(segment);
        return error;
    }
    segment->read_only = (super->features_ro_compat & ~SJ_FEATURES_RO_COMPAT) != 0;
    segment->is_version = sj_super_is_frozen(super);
    if (segment->is_version)
        segment->rw_possible = false;
    describe(segment, &status, super);
    *begun = segment;
    return SJ_OK;
}

static int only_to_read(const char *path)
{
    return sj_error(SJ_EVERSION,
                    "%s: has features of a later version: this one can open it with flag 'r' only",
                    path);
}

int sj_segment_open(const char *path, bool writable, bool first, bool accept_unclean,
                    struct sj_segment **opened)
{
    return sj_segment_open_uuid(path, NULL, writable, first, accept_unclean, opened);
}

/* The last steps, the same for all; after a failure nothing is left. */
static int finish_opening(struct sj_segment *segment, const char *path, uint64_t base, bool first,
                          int error, struct sj_segment **opened)
{
    if (error == SJ_OK)
        error = map(segment, path, base);
    if (error == SJ_OK)
        error = sj_segment_sums_init(segment);
    if (error == SJ_OK)
        error = sj_segment_take_over(segment, first);
    if (sj_segment_is_damaged(segment))
        error = sj_segment_lost(segment);
    if (error != SJ_OK) {
        char detail[512];
        snprintf(detail, sizeof detail, "%s", sj_error_detail());
        (void)discard(segment, first);
        return sj_error(error, "%s", detail);
    }
    sj_settings_follow(segment);
    *opened = segment;
    return SJ_OK;
}

/* Which domain it is in; a version needs none that keeps changes. */
static int choose_domain(struct sj_segment *segment, const char *path, const struct sj_super *super)
{
    enum sj_durability wanted =
        sj_super_is_frozen(super) ? SJ_DURABILITY_PROCESS : sj_super_durability(super);
    int error = sj_domain_of(segment->fd, wanted, &segment->domain);
    if (error == SJ_OK && segment->domain == &sj_wal_domain)
        error = sj_error(SJ_EINVAL,
                         "%s: was made on persistent memory with durability 'power', and now "
                         "lies on a filesystem without: copy it back, or dump and load it",
                         path);
    return error;
}

int sj_segment_open_uuid(const char *path, const uint8_t *uuid, bool writable, bool first,
                         bool accept_unclean, struct sj_segment **opened)
{
    struct sj_super super;
    struct sj_segment *segment = NULL;
    int error = begin(path, uuid, writable, &super, &segment);
    if (error != SJ_OK)
        return error;
    error = sj_segment_sums_name(segment, path);
    if (error == SJ_OK && (super.features_incompat & SJ_FEATURE_WAL) != 0) {
        error = check_size(segment, path);
        if (error == SJ_OK)
            error = sj_wal_attach(segment, path, first);
    } else if (error == SJ_OK) {
        error = choose_domain(segment, path, &super);
        segment->accepted = accept_unclean;
        if (error == SJ_OK)
            error = check_clean(segment, path, &super, accept_unclean);
    }
    if (error == SJ_OK)
        error = check_size(segment, path);
    if (error == SJ_OK && writable && segment->read_only)
        error = only_to_read(path);
    return finish_opening(segment, path, super.base, first, error, opened);
}

int sj_segment_open_private(int fd, const char *path, const uint8_t *uuid, bool writable,
                            struct sj_segment **opened)
{
    struct sj_super super;
    struct stat status;
    uint64_t which;
    struct sj_segment *segment = calloc(1, sizeof *segment);
    int error = segment == NULL           ? sj_error(SJ_ENOMEM, "%s", path)
                : fstat(fd, &status) != 0 ? sj_segment_failed(path, "fstat")
                                          : sj_super_read(fd, path, &super, &which);
    if (error == SJ_OK)
        error = check_uuid(path, uuid, &super);
    if (error != SJ_OK) {
        close(fd);
        free(segment);
        return error;
    }
    segment->fd = fd;
    segment->is_private = segment->rw_possible = true;
    segment->dirty = true; /* no media says anything of it */
    segment->writable = writable;
    segment->domain = &sj_private_domain;
    describe(segment, &status, &super);
    error = sj_segment_sums_name(segment, path);
    if (error == SJ_OK)
        error = check_size(segment, path);
    uint64_t size = ((uint64_t)status.st_size + SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE;
    segment->own_from = size < segment->reserved ? size : segment->reserved;
    return finish_opening(segment, path, super.base, true, error, opened);
}

int sj_segment_make_writable(struct sj_segment *segment)
{
    if (segment->is_version)
        return only_a_version(segment->name);
    if (!segment->rw_possible)
        return sj_error(SJ_EPERM, "'%s': its file may be read only", segment->name);
    if (segment->read_only)
        return only_to_read(segment->name);
    if (sj_segment_is_damaged(segment))
        return sj_segment_lost(segment);
    if (mprotect(segment->base, segment->reserved, PROT_READ | PROT_WRITE) != 0)
        return sj_error(SJ_EIO, "'%s': mprotect: %s", segment->name, strerror(errno));
    segment->writable = true;
    if (!sj_segment_is_damaged(segment))
        return SJ_OK;
    segment->writable = false; /* the loss was found in between */
    return sj_segment_lost(segment);
}

static int roll_back(struct sj_segment *segment)
{
    int error = sj_segment_sums_recover(segment);
    if (error == SJ_OK)
        error = sj_log_recover(segment);
    if (error == SJ_OK)
        (void)sj_log_settle(segment); /* its record stays while a member is not through */
    return error == SJ_OK ? flush_left(segment) : error;
}

/* Whether there is something that only recovery does away with. */
static bool is_left(const struct sj_segment *segment)
{
    return sj_log_pending(segment) || segment->log->extents > 1 || segment->wal != NULL ||
           (segment->writable && sj_log_has_record(segment));
}

int sj_segment_take_over(struct sj_segment *segment, bool first)
{
    if (!sj_log_is_valid(segment))
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)segment->log, "a log header");
    if (first && is_left(segment))
        return sj_segment_recover(segment);
    return first ? flush_left(segment) : SJ_OK;
}

static int recover(struct sj_segment *segment)
{
    bool pending = sj_log_pending(segment) || sj_wal_pending(segment);
    if (segment->rw_possible && segment->domain->recovering != NULL)
        segment->domain->recovering(segment);
    if (segment->writable)
        return roll_back(segment);
    if (!pending)
        return flush_left(segment);
    if (!segment->rw_possible)
        return sj_error(SJ_EPERM,
                        "'%s' has an unfinished transaction of a process that died; undoing it "
                        "needs write permission: open the store once as a user who may write it",
                        segment->name);
    if (mprotect(segment->base, segment->reserved, PROT_READ | PROT_WRITE) != 0)
        return sj_error(SJ_EIO, "'%s': mprotect: %s", segment->name, strerror(errno));
    int error = roll_back(segment);
    mprotect(segment->base, segment->reserved, PROT_READ);
    return error;
}

int sj_segment_recover(struct sj_segment *segment)
{
    int error = sj_segment_check_backing(segment);
    if (error == SJ_OK)
        error = recover(segment);
    return sj_segment_is_damaged(segment) ? sj_segment_lost(segment) : error;
}

int sj_segment_mark_dirty(struct sj_segment *segment)
{
    sj_segment_sums_begin(segment);
    int error = sj_super_update(segment, 0);
    if (error == SJ_OK)
        sj_segment_sums_begun(segment);
    if (error == SJ_OK)
        sj_log_retire(segment);
    if (sj_segment_is_damaged(segment))
        error = sj_segment_lost(segment);
    segment->dirty = error == SJ_OK;
    return error;
}

/* After a sync that has failed the kernel may forget what it could not write, and the next one
 * succeed: so that is noted, and nobody marks the segment clean who has not checked it. */
static int unless_unsynced(struct sj_segment *segment, int error)
{
    if (error != SJ_OK && segment->sync_failed && segment->writable &&
        !sj_segment_is_damaged(segment)) {
        char detail[512];
        snprintf(detail, sizeof detail, "%s", sj_error_detail());
        segment->accepted = false;
        (void)sj_super_update(segment, SJ_STATE_UNSYNCED);
        return sj_error(SJ_EIO, "%s; it is not opened again before it was checked", detail);
    }
    return error;
}

int sj_segment_mark_clean(struct sj_segment *segment)
{
    struct sj_super super;
    uint64_t which;
    uint8_t boot[16];
    int error = sj_segment_check_backing(segment);
    if (error == SJ_OK)
        error = sj_super_read(segment->fd, segment->name, &super, &which);
    if (error != SJ_OK || (super.state & SJ_STATE_CLEAN) != 0 ||
        (super.features_ro_compat & ~SJ_FEATURES_RO_COMPAT) != 0)
        return error;
    if ((super.state & SJ_STATE_UNSYNCED) != 0 && !segment->accepted)
        return sj_error(SJ_EIO,
                        "'%s': writing it to its disk failed when it was open: it is not opened "
                        "again before 'spacejmp check --accept' has checked it",
                        segment->name);
    sj_boot_id(boot);
    if (!segment->writable && memcmp(boot, super.boot_id, sizeof boot) != 0)
        return SJ_OK; /* who looks at what an earlier boot left does not vouch for it */
    if (!segment->writable && mprotect(segment->base, 2 * SJ_PAGE, PROT_READ | PROT_WRITE) != 0)
        return sj_segment_failed(segment->name, "mprotect");
    if (sj_log_pending(segment) || segment->log->extents > 1)
        error = sj_segment_recover(segment); /* what the dead have left */
    if (error == SJ_OK)
        error = unless_unsynced(segment, segment->domain->sync(segment));
    if (error == SJ_OK && !sj_segment_is_damaged(segment)) {
        sj_segment_sums_finish(segment);
        error = unless_unsynced(segment, sj_super_update(segment, SJ_STATE_CLEAN));
    }
    return sj_segment_is_damaged(segment) ? sj_segment_lost(segment) : error;
}

int sj_segment_unviewed(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    if (!sj_segment_is_viewed(segment, at, bytes, false))
        return SJ_OK;
    return sj_error(SJ_EVIEWS,
                    "'%s': arrays of this process or another one look at the %llu bytes at 0x%llx: "
                    "drop them first (del, and gc.collect() if they are in a cycle)",
                    segment->name, (unsigned long long)bytes, (unsigned long long)at);
}

int sj_segment_sync(struct sj_segment *segment)
{
    int error = segment->domain->sync(segment);
    if (segment->wal == NULL)
        error = unless_unsynced(segment, error);
    if (error == SJ_OK && !sj_segment_is_damaged(segment))
        sj_segment_sums_refresh(segment);
    return sj_segment_is_damaged(segment) ? sj_segment_lost(segment) : error;
}

int sj_segment_close(struct sj_segment *segment, bool last)
{
    int error = SJ_OK;
    SJ_ASSERT(segment->tx.depth == 0 && !segment->tx.in_op);
    if (segment->wal == NULL && !segment->is_private && last && segment->rw_possible &&
        !sj_segment_is_damaged(segment))
        error = sj_segment_mark_clean(segment);
    int detached = discard(segment, last);
    return error == SJ_OK ? detached : error;
}

/* The file gets bytes [from, to), and that of checksums or of a working image before it. */
static int back(struct sj_segment *segment, uint64_t from, uint64_t to)
{
    if (segment->is_private)
        return SJ_OK; /* it is there (map_own) */
    int error = sj_segment_sums_back(segment, from, to);
    if (error != SJ_OK || segment->wal != NULL)
        return error == SJ_OK ? sj_wal_grow(segment, from, to - from) : error;
    if (sj_segment_allocate(segment->fd, from, to - from) != 0)
        return sj_segment_failed(segment->name, "growing the file");
    return SJ_OK;
}

static uint64_t growth_limit(const struct sj_segment *segment)
{
    uint64_t limit = segment->root_page->growth_limit;
    return limit == 0 || limit > segment->reserved ? segment->reserved : limit / SJ_PAGE * SJ_PAGE;
}

int sj_segment_commit(struct sj_segment *segment, uint64_t bytes)
{
    uint64_t committed = sj_segment_committed(segment);
    if (SJ_LIKELY(bytes <= committed))
        return SJ_OK;
    int error = sj_segment_check_backing(segment);
    if (error != SJ_OK)
        return error;
    uint64_t step = committed / 4;
    step = step < GROWTH_MIN ? GROWTH_MIN : step > GROWTH_MAX ? GROWTH_MAX : step;
    uint64_t end = bytes > committed + step ? bytes : committed + step;
    uint64_t limit = growth_limit(segment);
    end = (end + SJ_SEGMENT_GROWTH - 1) / SJ_SEGMENT_GROWTH * SJ_SEGMENT_GROWTH;
    if (bytes > limit)
        return sj_error(SJ_EFULL,
                        "'%s': needs %llu bytes, and its growth limit is %llu: raise that with "
                        "seg_ctl, or free what is not needed",
                        segment->name, (unsigned long long)bytes, (unsigned long long)limit);
    if (end > limit)
        end = limit;
    error = back(segment, committed, end);
    if (error == SJ_EFULL) { /* perhaps just what is needed fits */
        end = (bytes + SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE;
        error = back(segment, committed, end);
    }
    if (error != SJ_OK)
        return error;
    /* Where stores go to the media by themselves, so may this one before the file's new size. */
    if (segment->domain->durability == SJ_DURABILITY_POWER && fsync(segment->fd) != 0)
        return sj_segment_failed(segment->name, "fsync");
    /* The log's fence comes before anything there can be reached. */
    sj_store(&segment->root_page->committed, end);
    sj_flush(segment->domain, &segment->root_page->committed, sizeof(uint64_t));
    return SJ_OK;
}
