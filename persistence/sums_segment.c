// SPDX-License-Identifier: Apache-2.0
/*
 * sums_segment.c: keeping the checksums of a mapped segment (sums.c has the rules, I1 … I13), and
 * which file of checksums counts for a segment.
 *
 *   sj_segment_mark_dirty   begin: finds the sums that count, or makes new ones (I5)
 *                           announce, superblock, settle (I4, I8); begun: marks what is always busy
 *   sj_segment_sync         refresh
 *   sj_segment_close        finish: computes; announce, superblock, settle (I7)
 *
 * A process without sums marks pages in a table that is all zeros: they look marked already.
 * Nothing here fails for want of checksums: then the segment goes on without (I4).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/crc32c.h"
#include "persistence/sums.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"

#define FIRST_PAGES (SJ_CHUNK_DIR_AT / SJ_PAGE) /* change without being logged; two superblocks */

/* ------------------------------------------------------------------ the table of zeros */

static pthread_mutex_t zeros_lock = PTHREAD_MUTEX_INITIALIZER;
static const uint32_t *zeros;
static uint64_t zeros_bytes;

/* Sums of a segment that has none: never written to, so they need no memory. */
static int find_zeros(uint64_t reserved, const uint32_t **table)
{
    uint64_t bytes = reserved / SJ_PAGE * sizeof(uint32_t);
    pthread_mutex_lock(&zeros_lock);
    if (bytes > zeros_bytes) { /* a smaller one stays, for those who use it */
        void *at = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at != MAP_FAILED) {
            zeros = at;
            zeros_bytes = bytes;
        }
    }
    *table = zeros;
    bool found = bytes <= zeros_bytes;
    pthread_mutex_unlock(&zeros_lock);
    return found ? SJ_OK
                 : sj_error(SJ_ENOMEM, "the addresses of %llu bytes of checksums",
                            (unsigned long long)bytes);
}

static uint64_t first_page(const struct sj_segment *segment)
{
    return (uint64_t)(uintptr_t)segment->base / SJ_PAGE;
}

static void use_table(struct sj_segment *segment, const uint32_t *table)
{
    segment->sums_at = (uint64_t)(uintptr_t)table - sizeof *table * first_page(segment);
}

int sj_segment_sums_name(struct sj_segment *segment, const char *path)
{
    if (asprintf(&segment->sums_path, "%s" SJ_SUMS_SUFFIX, path) >= 0)
        return SJ_OK;
    segment->sums_path = NULL;
    return sj_error(SJ_ENOMEM, "%s", path);
}

int sj_segment_sums_init(struct sj_segment *segment)
{
    const uint32_t *table;
    int error = find_zeros(segment->reserved, &table);
    if (error == SJ_OK)
        use_table(segment, table);
    return error;
}

/* ------------------------------------------------------------------ which sums count */

static bool leads_to(const char *path, uint64_t device, uint64_t inode)
{
    struct stat named;
    return stat(path, &named) == 0 && named.st_dev == device && named.st_ino == inode;
}

/* Whether the segment's path still leads to it: the file of checksums goes by that name. */
static bool has_its_name(const struct sj_segment *segment)
{
    char *path = strndup(segment->sums_path, strlen(segment->sums_path) - strlen(SJ_SUMS_SUFFIX));
    bool has = path != NULL && leads_to(path, segment->device, segment->inode);
    free(path);
    return has;
}

/* Whether the sums that a process uses are those that others find. */
static bool have_their_name(const struct sj_segment *segment, const struct sj_sums *sums)
{
    return leads_to(segment->sums_path, sums->device, sums->inode);
}

static int file_of(const struct sj_segment *segment)
{
    return segment->wal != NULL ? segment->wal->file : segment->fd;
}

int sj_segment_sums_pages(const struct sj_segment *segment, uint64_t *pages)
{
    uint64_t committed = 0;
    const uint64_t at = SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, committed);
    if (segment->wal == NULL)
        committed = sj_segment_committed(segment);
    else if (sj_segment_read(segment->wal->file, &committed, sizeof committed, at) !=
             sizeof committed)
        return sj_segment_failed(segment->wal->path, "read");
    committed = committed < segment->reserved ? committed : segment->reserved;
    *pages = committed / SJ_PAGE;
    return SJ_OK;
}

bool sj_segment_is_continuous(const struct sj_segment *segment, const struct sj_super *super)
{
    uint8_t boot[16];
    sj_boot_id(boot);
    return (super->state & SJ_STATE_CLEAN) != 0 || !segment->domain->outlives_reboot ||
           memcmp(boot, super->boot_id, sizeof boot) == 0;
}

bool sj_segment_sums_count(const struct sj_segment *segment, const struct sj_super *super,
                           const struct sj_sums *sums)
{
    return sj_sums_names(sums, super->checksum) && sj_segment_is_continuous(segment, super) &&
           (segment->wal == NULL || !sj_wal_has_failed(segment->wal));
}

int sj_segment_sums_find(const struct sj_segment *segment, const struct sj_super *super,
                         bool writable, struct sj_sums **sums, bool *counts)
{
    uint64_t pages = 0;
    *counts = false;
    if (!has_its_name(segment))
        return sj_error(SJ_ENOTFOUND, "'%s' has no checksums", segment->name);
    int error = sj_segment_sums_pages(segment, &pages); /* before the file that has room for them */
    if (error == SJ_OK)
        error = sj_sums_open(segment->sums_path, segment->uuid, segment->reserved, writable, sums);
    if (error != SJ_OK || !sj_segment_sums_count(segment, super, *sums))
        return error;
    uint64_t room = (*sums)->backed;
    *counts = room >= pages;
    if (*counts)
        return SJ_OK;
    sj_sums_close(*sums);
    *sums = NULL;
    return sj_error(SJ_ECORRUPT, "%s: expected checksums of %llu pages, found room for %llu",
                    segment->sums_path, (unsigned long long)pages, (unsigned long long)room);
}

int sj_segment_sums_open(const struct sj_segment *segment, const struct sj_super *super,
                         struct sj_sums **sums)
{
    bool counts;
    int error = sj_segment_sums_find(segment, super, true, sums, &counts);
    if (error != SJ_OK || counts)
        return error;
    sj_sums_close(*sums);
    return SJ_ENOTFOUND;
}

int sj_segment_sums_create(const struct sj_segment *segment, const struct sj_super *super,
                           struct sj_sums **sums)
{
    struct sj_sums_spec spec = {
        .uuid = segment->uuid, .reserved = segment->reserved, .present = super->checksum};
    enum sj_super_copy copies[2];
    struct stat status;
    if (!has_its_name(segment) || fstat(file_of(segment), &status) != 0)
        return SJ_ENOTFOUND;
    spec.mode = status.st_mode & 0666;
    int error = sj_segment_sums_pages(segment, &spec.pages);
    if (error == SJ_OK)
        error = sj_super_copies(file_of(segment), segment->name, copies);
    if (error != SJ_OK)
        return error;
    spec.torn = copies[0] == SJ_SUPER_DAMAGED || copies[1] == SJ_SUPER_DAMAGED;
    return sj_sums_create(segment->sums_path, &spec, sums);
}

bool sj_segment_sums_are_known(const struct sj_segment *segment, const struct sj_super *super,
                               const struct sj_sums *sums)
{
    return sj_segment_sums_count(segment, super, sums) && have_their_name(segment, sums);
}

/* Has the segment use these sums, or, NULL, none. */
static void use(struct sj_segment *segment, struct sj_sums *sums)
{
    const uint32_t *table = NULL;
    if (segment->sums != NULL)
        sj_sums_close(segment->sums);
    segment->sums = sums;
    if (sums != NULL)
        table = sums->sum;
    else
        (void)find_zeros(segment->reserved, &table); /* there since sj_segment_sums_init */
    use_table(segment, table);
}

void sj_segment_sums_end(struct sj_segment *segment)
{
    if (segment->sums != NULL)
        sj_sums_close(segment->sums);
    free(segment->sums_path);
}

/* ------------------------------------------------------------------ in use */

void sj_segment_sums_begin(struct sj_segment *segment)
{
    struct sj_super super;
    struct sj_sums *sums = NULL;
    uint64_t which;
    use(segment, NULL);
    if (!segment->domain->sums ||
        sj_super_read(segment->fd, segment->name, &super, &which) != SJ_OK)
        return;
    int error = sj_segment_sums_open(segment, &super, &sums);
    if (error != SJ_OK && (super.state & SJ_STATE_CLEAN) != 0)
        error = sj_segment_sums_create(segment, &super, &sums);
    if (error == SJ_OK)
        use(segment, sums);
}

void sj_segment_sums_begun(struct sj_segment *segment)
{
    if (segment->sums != NULL)
        sj_sums_mark_pages(segment->sums, 2, FIRST_PAGES);
}

int sj_segment_sums_recover(struct sj_segment *segment)
{
    struct sj_super super;
    struct sj_sums *sums = NULL;
    uint64_t which;
    if (!segment->domain->sums || segment->sums != NULL)
        return SJ_OK;
    int error = sj_super_read(segment->fd, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    if ((super.state & SJ_STATE_CLEAN) != 0) { /* the dead one was not the last to close it */
        sj_segment_sums_begin(segment);
        error = sj_super_update(segment, 0);
        sj_segment_sums_begun(segment);
        return error;
    }
    if (!sj_segment_is_continuous(segment, &super))
        return SJ_OK; /* no sums count */
    if (sj_segment_sums_open(segment, &super, &sums) != SJ_OK)
        return sj_super_update(segment, 0); /* some may count, elsewhere or for others (I4) */
    use(segment, sums);
    return SJ_OK;
}

void sj_segment_sums_mark(struct sj_segment *segment, uint64_t first, uint64_t last)
{
    struct sj_sums *sums = segment->sums;
    uint64_t from = first_page(segment);
    if (sums == NULL)
        return;
    for (uint64_t page = first; page <= last; page++)
        if (sums->sum[page - from] != 0) {
            sj_sums_mark_pages(sums, page - from, last - from + 1);
            return;
        }
}

int sj_segment_sums_back(struct sj_segment *segment, uint64_t from, uint64_t end)
{
    return segment->sums == NULL ? SJ_OK
                                 : sj_sums_back(segment->sums, from / SJ_PAGE, end / SJ_PAGE);
}

/* Those that name superblocks. */
static struct sj_sums *naming(const struct sj_segment *segment)
{
    return segment->wal != NULL ? segment->wal->sums : segment->sums;
}

int sj_segment_sums_announce(struct sj_segment *segment, uint64_t present, uint64_t next)
{
    struct sj_sums *sums = naming(segment);
    if (sums == NULL)
        return SJ_OK;
    sj_sums_announce(sums, present, next);
    if (!segment->domain->outlives_reboot)
        return SJ_OK;
    int error = sj_sums_sync(sums);
    if (error == SJ_OK)
        return SJ_OK;
    sj_sums_settle(sums, present);
    return error;
}

void sj_segment_sums_settle(struct sj_segment *segment, uint64_t present)
{
    struct sj_sums *sums = naming(segment);
    if (sums != NULL)
        sj_sums_settle(sums, present);
}

/* ------------------------------------------------------------------ at rest */

bool sj_segment_sums_settle_whole(const struct sj_segment *segment, const struct sj_super *super,
                                  struct sj_sums *sums)
{
    enum sj_super_copy copies[2];
    if (sj_super_copies(file_of(segment), segment->name, copies) != SJ_OK ||
        copies[0] == SJ_SUPER_DAMAGED || copies[1] == SJ_SUPER_DAMAGED)
        return false;
    sj_sums_settle(sums, super->checksum);
    return true;
}

/* A mapped segment, and ranges of its pages that change without being marked. */
struct mapped {
    const char *base;
    const struct sj_segment *viewed; /* has views that are written through; NULL: it has none */
    uint64_t busy_count;
    struct {
        uint64_t first;
        uint64_t end;
    } busy[SJ_LOG_EXTENTS];
};

static bool crc_of(void *context, uint64_t page, uint32_t *crc)
{
    const struct mapped *mapped = context;
    for (uint64_t i = 0; i < mapped->busy_count; i++)
        if (page - mapped->busy[i].first < mapped->busy[i].end - mapped->busy[i].first)
            return false;
    if (mapped->viewed != NULL &&
        sj_segment_is_viewed(mapped->viewed, (uintptr_t)mapped->base + page * SJ_PAGE, SJ_PAGE,
                             true))
        return false;
    *crc = sj_crc32c(0, mapped->base + page * SJ_PAGE, SJ_PAGE);
    return true;
}

void sj_segment_sums_refresh(struct sj_segment *segment)
{
    const struct sj_log *log = segment->log;
    struct mapped mapped = {.base = segment->base, .busy = {{2, FIRST_PAGES}}};
    struct sj_super super;
    struct sj_sums *sums = NULL;
    uint64_t which, extents = sj_load(&log->extents);
    if (segment->wal != NULL)
        sj_wal_sums_refresh(segment);
    if (!segment->domain->sums || !segment->writable || segment->tx.depth > 0 ||
        segment->tx.in_op || extents > SJ_LOG_EXTENTS)
        return;
    mapped.busy_count = extents;
    if (sj_segment_is_viewed(segment, (uintptr_t)segment->base, segment->reserved, true))
        mapped.viewed = segment;
    for (uint64_t i = 1; i < extents; i++) {
        mapped.busy[i].first = log->extent[i].at / SJ_PAGE - first_page(segment);
        mapped.busy[i].end = mapped.busy[i].first + log->extent[i].bytes / SJ_PAGE;
    }
    if (sj_super_read(segment->fd, segment->name, &super, &which) != SJ_OK ||
        (super.state & SJ_STATE_CLEAN) != 0 ||
        sj_segment_sums_open(segment, &super, &sums) != SJ_OK)
        return;
    if (sj_segment_sums_settle_whole(segment, &super, sums))
        (void)sj_sums_compute(sums, sj_segment_committed(segment) / SJ_PAGE, crc_of, &mapped);
    sj_sums_close(sums);
}

void sj_segment_sums_finish(struct sj_segment *segment)
{
    struct mapped mapped = {.base = segment->base};
    struct sj_super super;
    struct sj_sums *sums = NULL;
    uint64_t which;
    if (!segment->domain->sums)
        return;
    if (sj_super_read(segment->fd, segment->name, &super, &which) != SJ_OK) {
        use(segment, NULL); /* or the superblock to come would name sums with marked pages (I7) */
        return;
    }
    if (segment->sums == NULL || !sj_segment_sums_are_known(segment, &super, segment->sums)) {
        int error = sj_segment_sums_open(segment, &super, &sums);
        if (error != SJ_OK)
            error = sj_segment_sums_create(segment, &super, &sums);
        use(segment, error == SJ_OK ? sums : NULL);
    }
    if (segment->sums == NULL)
        return;
    sj_segment_sums_settle_whole(segment, &super, segment->sums);
    (void)sj_sums_compute(segment->sums, sj_segment_committed(segment) / SJ_PAGE, crc_of, &mapped);
}
