// SPDX-License-Identifier: Apache-2.0
/*
 * clone.c: copying a segment into a file of its own (clone.h has the contract).
 *
 *   file without a name ──all that is committed──→ ──superblock──→ ──sync──→
 *       ──link: NAME.seg──→ ──link: NAME.seg.sum──→ ──sync of the directory──→ acknowledged
 *
 * Crash rule: the file gets its name when it is complete and synced; before that nobody finds it.
 * Its checksums get theirs afterwards: without them it is a segment that has none.
 *
 * C1  No transaction of anyone is open: the caller has a hold, and a dead writer's log was rolled
 *     back before it got that. So the bytes are a state that was committed, and the log is empty.
 * C2  A superblock of its own: uuid, name, nonce, clean. So nothing that belongs to the source (its
 *     checksums, its log, its working image) counts for the clone, whatever is copied by hand.
 * C3  Pages are taken over with their checksums, as far as those count for the source and are not
 *     marked (sums.c, I1): a page that was damaged before is found damaged in the clone, and so is
 *     one that the copy has damaged. Only marked pages get theirs from what was copied, and that of
 *     the log's header (C4).
 * C4  What a log says of a transaction over several segments (tx_group.h) is the source's: the
 *     clone has another uuid, and a member asks for that. So it is taken away.
 */
#include "persistence/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/crc32c.h"
#include "persistence/log_layout.h"
#include "persistence/loss.h"
#include "persistence/pages.h"
#include "persistence/sums.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"

#define STEP_BYTES      (8ull << 20) /* between two calls of the progress function */
#define BUFFER_BYTES    (1ull << 20)
#define ALLOCATED_BYTES (256ull << 20) /* at once: of tmpfs, a tenth of a second */
#define BLOCK_BYTES     (64ull << 10)  /* of memory: those that are all zeros stay holes */

struct sj_clone {
    int fd;
    uint8_t uuid[16];
    struct sj_sums *sums; /* of its pages; NULL: it has none */
    char temporary[PATH_MAX];
    char sums_temporary[PATH_MAX];
};

struct copy {
    const struct sj_segment *source;
    const char *path; /* for messages */
    int to;
    uint64_t total;
    sj_clone_progress *progress;
    void *context;
    char *buffer; /* once the kernel does not copy between these files */
};

/* ------------------------------------------------------------------ the source */

/* The file that has the name. */
static int file_of(const struct sj_segment *source)
{
    return source->wal != NULL ? source->wal->file : source->fd;
}

/* What is committed, not by way of its addresses. */
static int read_committed(const struct sj_segment *source, uint64_t *committed)
{
    const uint64_t at = SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, committed);
    if (source->is_private)
        *committed = sj_segment_committed(source);
    else if (sj_segment_read(source->fd, committed, sizeof *committed, at) != sizeof *committed)
        return sj_segment_failed(source->name, "read");
    if (*committed < source->meta_bytes || *committed > source->reserved ||
        *committed % SJ_PAGE != 0)
        return sj_error(SJ_ECORRUPT, "'%s': the root page is damaged", source->name);
    return SJ_OK;
}

/* Whether all of it was there: a file that was cut short reads as holes. */
static int check_whole(const struct sj_segment *source, uint64_t total)
{
    struct stat status;
    if (sj_segment_is_damaged(source))
        return sj_segment_lost(source);
    if (source->is_private)
        return SJ_OK;
    if (fstat(source->fd, &status) != 0)
        return sj_segment_failed(source->name, "fstat");
    if ((uint64_t)status.st_size >= total)
        return SJ_OK;
    return sj_error(SJ_ETRUNCATED,
                    "'%s': its file has %llu bytes, the segment in it %llu: restore the file from "
                    "a copy",
                    source->name, (unsigned long long)status.st_size, (unsigned long long)total);
}

/* What it says of itself; whether it may be cloned. A clone is clean, so what nobody vouches for is
 * not cloned. */
static int look_at(struct sj_segment *source, struct sj_super *super)
{
    uint64_t which;
    if (source->tx.depth > 0 || source->tx.in_op)
        return sj_error(SJ_EINVAL,
                        "'%s': expected no transaction of this thread, found one: clone it before, "
                        "or after the transaction has ended",
                        source->name);
    /* Of a `wal` store that of the image: nobody writes it meanwhile. */
    int error = sj_super_read(source->fd, source->name, super, &which);
    if (error != SJ_OK || source->is_private)
        return error;
    if (source->sync_failed || ((super->state & SJ_STATE_UNSYNCED) != 0 && !source->accepted))
        return sj_error(SJ_EUNCLEAN,
                        "'%s': writing it to its disk has failed, so nobody knows what is there: "
                        "close it everywhere and run 'spacejmp check --accept %s' first",
                        source->name, source->name);
    if (source->wal == NULL)
        return SJ_OK;
    /* The clone shall not have what a power loss could still take from the source. */
    return source->rw_possible ? sj_wal_flush(source) : sj_wal_usable(source);
}

/* ------------------------------------------------------------------ copying */

static int tell(const struct copy *copy, uint64_t done)
{
    return copy->progress == NULL ? SJ_OK : copy->progress(copy->context, done, copy->total);
}

/* The next range from `*at` on that is not a hole; none: both are the end. */
static int next_data(const struct copy *copy, uint64_t *at, uint64_t *end)
{
    int from = copy->source->fd;
    off_t data = lseek(from, (off_t)*at, SEEK_DATA);
    *end = copy->total;
    if (data < 0 && errno == ENXIO) {
        *at = copy->total;
        return SJ_OK;
    }
    if (data < 0)
        return errno == EINVAL || errno == EOPNOTSUPP ? SJ_OK
                                                      : sj_segment_failed(copy->path, "lseek");
    off_t hole = lseek(from, data, SEEK_HOLE);
    *at = (uint64_t)data < copy->total ? (uint64_t)data : copy->total;
    if (hole > data && (uint64_t)hole < copy->total)
        *end = (uint64_t)hole;
    return SJ_OK;
}

static int copy_by_buffer(struct copy *copy, uint64_t at, uint64_t bytes)
{
    if (copy->buffer == NULL && (copy->buffer = malloc(BUFFER_BYTES)) == NULL)
        return sj_error(SJ_ENOMEM, "%s: %llu bytes", copy->path, BUFFER_BYTES);
    while (bytes > 0) {
        uint64_t part = bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES;
        ssize_t got = sj_segment_read(copy->source->fd, copy->buffer, part, at);
        if (got < 0)
            return sj_segment_failed(copy->source->name, "read");
        if (got == 0)
            return check_whole(copy->source, copy->total);
        if (sj_segment_write(copy->to, copy->buffer, (size_t)got, at) != 0)
            return sj_segment_failed(copy->path, "write");
        at += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return SJ_OK;
}

/* The kernel copies, if it can between these two. */
static int copy_part(struct copy *copy, uint64_t at, uint64_t bytes)
{
    while (bytes > 0 && copy->buffer == NULL) {
        off_t from = (off_t)at, to = (off_t)at;
        ssize_t got = copy_file_range(copy->source->fd, &from, copy->to, &to, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO))
            return sj_segment_failed(copy->path, "copy_file_range");
        if (got <= 0)
            break;
        at += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return bytes == 0 ? SJ_OK : copy_by_buffer(copy, at, bytes);
}

static int copy_file(struct copy *copy)
{
    uint64_t at = 0, end;
    while (at < copy->total) {
        int error = next_data(copy, &at, &end);
        while (error == SJ_OK && at < end) {
            uint64_t part = end - at < STEP_BYTES ? end - at : STEP_BYTES;
            error = copy_part(copy, at, part);
            at += part;
            if (error == SJ_OK)
                error = tell(copy, at);
        }
        if (error != SJ_OK)
            return error;
    }
    return tell(copy, copy->total);
}

static bool is_zero(const char *bytes, uint64_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

/* Of a private segment: what is at its addresses. */
static int copy_memory(const struct copy *copy)
{
    const char *base = copy->source->base;
    for (uint64_t at = 0; at < copy->total;) {
        uint64_t left = copy->total - at, part = left < BLOCK_BYTES ? left : BLOCK_BYTES;
        if (!is_zero(base + at, part) && sj_segment_write(copy->to, base + at, part, at) != 0)
            return sj_segment_failed(copy->path, "write");
        at += part;
        int error = at % STEP_BYTES == 0 || at == copy->total ? tell(copy, at) : SJ_OK;
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* All of the file has room on the disk before anything is copied, so that no store into the clone
 * finds a hole. */
static int allocate(const struct copy *copy)
{
    int error = SJ_OK;
    for (uint64_t at = 0; error == SJ_OK && at < copy->total; at += ALLOCATED_BYTES) {
        uint64_t left = copy->total - at;
        uint64_t part = left < ALLOCATED_BYTES ? left : ALLOCATED_BYTES;
        error = sj_segment_allocate(copy->to, at, part) == 0
                    ? tell(copy, 0)
                    : sj_segment_failed(copy->path, "fallocate");
    }
    return error;
}

/* What its log and those of other segments say of each other is about the source, not about this
 * one, which is in no transaction. */
static int forget_others(const struct copy *copy)
{
    static const char zeros[SJ_PAGE];
    const uint64_t from = offsetof(struct sj_log, vote);
    if (sj_segment_write(copy->to, zeros, SJ_PAGE - from, SJ_LOG_AT + from) != 0)
        return sj_segment_failed(copy->path, "write");
    return SJ_OK;
}

/* What is committed of the source, into an empty file. */
static int copy_all(struct copy *copy)
{
    int error = read_committed(copy->source, &copy->total);
    if (error == SJ_OK)
        error = check_whole(copy->source, copy->total);
    if (error == SJ_OK)
        error = tell(copy, 0);
    if (error != SJ_OK)
        return error;
    if (!copy->source->is_private && ioctl(copy->to, FICLONE, copy->source->fd) == 0) {
        error = ftruncate(copy->to, (off_t)copy->total) == 0
                    ? allocate(copy)
                    : sj_segment_failed(copy->path, "ftruncate");
        if (error == SJ_OK)
            error = tell(copy, copy->total);
    } else {
        error = allocate(copy);
        if (error == SJ_OK)
            error = copy->source->is_private ? copy_memory(copy) : copy_file(copy);
        free(copy->buffer);
        copy->buffer = NULL;
    }
    if (error == SJ_OK)
        error = check_whole(copy->source, copy->total);
    return error == SJ_OK ? forget_others(copy) : error;
}

/* ------------------------------------------------------------------ what makes it a segment */

/* Both superblocks: the one that counts, and one that was never written. */
static int write_supers(const struct copy *copy, const struct sj_clone_spec *spec,
                        const struct sj_super *source, const struct sj_domain *domain,
                        struct sj_super *super)
{
    static const struct sj_super empty;
    struct sj_segment_spec made = {.name = spec->name,
                                   .base = source->base,
                                   .reserved = source->reserved,
                                   .durability = spec->durability == SJ_CLONE_KEEPS
                                                     ? sj_super_durability(source)
                                                     : (enum sj_durability)spec->durability};
    uint8_t uuid[16];
    uint64_t nonce;
    if (getrandom(uuid, sizeof uuid, 0) != sizeof uuid ||
        getrandom(&nonce, sizeof nonce, 0) != sizeof nonce)
        return sj_segment_failed(copy->path, "getrandom");
    sj_super_init(super, &made, uuid,
                  domain == &sj_wal_domain && !spec->frozen ? SJ_FEATURE_WAL : 0);
    super->features_compat = source->features_compat;
    super->features_ro_compat = source->features_ro_compat & ~SJ_FEATURE_FROZEN;
    if (spec->frozen)
        super->features_ro_compat |= SJ_FEATURE_FROZEN;
    super->nonce = nonce;
    super->checksum = sj_super_checksum(super);
    if (sj_segment_write(copy->to, super, sizeof *super, SJ_SUPER_A) != 0 ||
        sj_segment_write(copy->to, &empty, sizeof empty, SJ_SUPER_B) != 0)
        return sj_segment_failed(copy->path, "write");
    return SJ_OK;
}

/* A part of the file that is read at once. */
struct window {
    int fd;
    uint64_t first, end; /* pages */
    char *bytes;
};

static bool crc_of(void *context, uint64_t page, uint32_t *crc)
{
    struct window *window = context;
    if (page < window->first || page >= window->end) {
        ssize_t got = sj_segment_read(window->fd, window->bytes, BUFFER_BYTES, page * SJ_PAGE);
        window->first = page;
        window->end = page + (got < 0 ? 0 : (uint64_t)got / SJ_PAGE);
    }
    if (page >= window->end)
        return false;
    *crc = sj_crc32c(0, window->bytes + (page - window->first) * SJ_PAGE, SJ_PAGE);
    return true;
}

/* Checksums of the source's pages that are the clone's as well (C3). */
static void take_over(const struct sj_segment *source, const struct sj_super *super, uint64_t pages,
                      struct sj_sums *sums)
{
    struct sj_sums *known;
    if (source->wal != NULL || source->is_private || !source->domain->sums ||
        sj_sums_open(source->sums_path, source->uuid, source->reserved, false, &known) != SJ_OK)
        return;
    if (sj_segment_sums_count(source, super, known))
        for (uint64_t page = 2; page < pages && page < known->backed; page++)
            if (known->sum[page] != 0 && page != SJ_LOG_AT / SJ_PAGE)
                sj_store_half(&sums->sum[page], known->sum[page]);
    sj_sums_close(known);
}

/* Gives the clone checksums, which count for its superblock; without them it goes on as well. */
static void make_sums(struct sj_clone *clone, const struct copy *copy,
                      const struct sj_super *source, const struct sj_super *super)
{
    struct stat status;
    char path[PATH_MAX];
    struct window window = {.fd = clone->fd, .bytes = malloc(BUFFER_BYTES)};
    struct sj_sums_spec spec = {.uuid = super->uuid,
                                .reserved = super->reserved,
                                .pages = copy->total / SJ_PAGE,
                                .present = super->checksum};
    if (window.bytes == NULL || fstat(clone->fd, &status) != 0 ||
        snprintf(path, sizeof path, "%s" SJ_SUMS_SUFFIX, copy->path) >= (int)sizeof path) {
        free(window.bytes);
        return;
    }
    spec.mode = status.st_mode & 0666;
    struct sj_sums *sums = NULL;
    int error = sj_sums_prepare(path, &spec, clone->sums_temporary, &sums);
    if (error == SJ_OK) {
        take_over(copy->source, source, spec.pages, sums);
        if (!sj_sums_compute(sums, spec.pages, crc_of, &window))
            error = SJ_EIO;
        sj_sums_announce(sums, 0, super->checksum);
        sj_sums_settle(sums, super->checksum);
        if (error == SJ_OK)
            error = sj_sums_sync(sums);
    }
    free(window.bytes);
    if (error == SJ_OK)
        clone->sums = sums;
    else if (sums != NULL)
        sj_sums_discard(sums, clone->sums_temporary);
}

static int fill(struct sj_clone *clone, struct copy *copy, struct sj_segment *source,
                const struct sj_clone_spec *spec)
{
    struct sj_super super, made;
    const struct sj_domain *domain;
    int error = look_at(source, &super);
    if (error == SJ_OK && sj_segment_allocate(clone->fd, 0, SJ_PAGE) != 0)
        error = sj_segment_failed(spec->path, "fallocate");
    if (error == SJ_OK)
        error =
            sj_domain_of(clone->fd,
                         spec->durability == SJ_CLONE_KEEPS ? sj_super_durability(&super)
                                                            : (enum sj_durability)spec->durability,
                         &domain);
    if (error == SJ_OK)
        error = copy_all(copy);
    if (error == SJ_OK)
        error = write_supers(copy, spec, &super, domain, &made);
    if (error == SJ_OK)
        memcpy(clone->uuid, made.uuid, sizeof clone->uuid);
    if (error == SJ_OK && fsync(clone->fd) != 0)
        error = sj_segment_failed(spec->path, "fsync");
    if (error == SJ_OK && (domain->sums || domain == &sj_wal_domain))
        make_sums(clone, copy, &super, &made);
    return error;
}

/* ------------------------------------------------------------------ in and out */

static uint32_t mode_of(const struct sj_segment *source, const struct sj_clone_spec *spec)
{
    struct stat status;
    uint32_t mode = spec->mode;
    if (mode == 0)
        mode = fstat(file_of(source), &status) == 0 ? status.st_mode & 0777 : 0600;
    return spec->frozen ? mode & 0444 : mode | 0200; /* a version's owner may not write it */
}

int sj_segment_clone(struct sj_segment *source, const struct sj_clone_spec *spec,
                     struct sj_clone **made)
{
    size_t name_bytes = strlen(spec->name);
    if (name_bytes == 0 || name_bytes > SJ_NAME_MAX)
        return sj_error(SJ_EINVAL, "a segment's name has 1 to %d bytes", SJ_NAME_MAX);
    struct sj_clone *clone = calloc(1, sizeof *clone);
    if (clone == NULL)
        return sj_error(SJ_ENOMEM, "%s", spec->path);
    uint32_t mode = mode_of(source, spec);
    clone->fd = sj_segment_open_unnamed(spec->path, mode, clone->temporary);
    if (clone->fd < 0) {
        int error = sj_segment_failed(spec->path, "open");
        free(clone);
        return error;
    }
    if (spec->mode == 0)
        fchmod(clone->fd, mode); /* the source's, whatever the umask */
    struct copy copy = {.source = source,
                        .path = spec->path,
                        .to = clone->fd,
                        .progress = spec->progress,
                        .context = spec->context};
    int error = fill(clone, &copy, source, spec);
    if (error != SJ_OK) {
        sj_clone_drop(clone);
        return error;
    }
    *made = clone;
    return SJ_OK;
}

void sj_clone_uuid(const struct sj_clone *clone, uint8_t uuid[16])
{
    memcpy(uuid, clone->uuid, sizeof clone->uuid);
}

int sj_segment_clone_bytes(const struct sj_segment *source, uint64_t *bytes)
{
    return read_committed(source, bytes);
}

void sj_clone_drop(struct sj_clone *clone)
{
    if (clone->sums != NULL)
        sj_sums_discard(clone->sums, clone->sums_temporary);
    if (clone->temporary[0] != '\0')
        unlink(clone->temporary);
    close(clone->fd);
    free(clone);
}

/* Its checksums, unless somebody who has opened it meanwhile has made new ones. */
static void publish_sums(struct sj_clone *clone, const char *path)
{
    if (clone->sums == NULL)
        return;
    if (sj_segment_publish(clone->sums->fd, path, clone->sums_temporary) == SJ_OK)
        clone->sums_temporary[0] = '\0';
}

int sj_clone_publish(struct sj_clone *clone, const char *path)
{
    char sums_path[PATH_MAX];
    struct stat there;
    if (snprintf(sums_path, sizeof sums_path, "%s" SJ_SUMS_SUFFIX, path) >= (int)sizeof sums_path) {
        sj_clone_drop(clone);
        return sj_error(SJ_EINVAL, "%s: the path is too long", path);
    }
    if (lstat(path, &there) != 0 && errno == ENOENT)
        unlink(sums_path); /* of one that had the name before */
    int error = sj_segment_publish(clone->fd, path, clone->temporary);
    if (error == SJ_OK) {
        clone->temporary[0] = '\0';
        publish_sums(clone, sums_path);
        error = sj_segment_sync_directory(path);
    }
    sj_clone_drop(clone);
    return error;
}

/* A file beside `path`, or where that is not to be written, in memory. */
static int open_nameless(const char *path)
{
    char temporary[PATH_MAX];
    int fd = sj_segment_open_unnamed(path, 0600, temporary);
    if (fd >= 0 && temporary[0] != '\0')
        unlink(temporary);
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
        fd = memfd_create("spacejmp-private", MFD_CLOEXEC);
    return fd;
}

int sj_segment_copy(struct sj_segment *source, const char *path, sj_clone_progress *progress,
                    void *context, int *fd)
{
    struct sj_super super;
    struct copy copy = {.source = source, .path = path, .progress = progress, .context = context};
    int error = look_at(source, &super);
    if (error != SJ_OK)
        return error;
    copy.to = open_nameless(path);
    if (copy.to < 0)
        return sj_segment_failed(path, "open");
    error = copy_all(&copy);
    if (error == SJ_OK)
        *fd = copy.to;
    else
        close(copy.to);
    return error;
}
