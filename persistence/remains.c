// SPDX-License-Identifier: Apache-2.0
/*
 * remains.c: opening what is left of a segment (remains.h has the contract).
 *
 *   which base      a whole superblock; else what most say of: both superblocks' fields, the log
 *                   header (it has an address of its own), the caller's hint
 *   map             private, at the base; guarded: a lost page becomes zeros and is marked
 *   page states     one pass over the file, with the checksums beside it when they count
 *   write-ahead log applied to the copy, as far as it can be read
 *   undo log        applied to the copy, if it can be read and somebody died in a transaction
 *
 * A store that was closed in peace has nothing to undo: entries that seem to count are damage there
 * (a flipped bit of the generation makes those of an old transaction count), so they are left.
 */
#include "persistence/remains.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/crc32c.h"
#include "persistence/guard.h"
#include "persistence/log.h"
#include "persistence/pages.h"
#include "persistence/sums.h"
#include "persistence/superblock.h"
#include "persistence/wal.h"

__attribute__((format(printf, 2, 3))) static void note(struct sj_remains *remains,
                                                       const char *format, ...)
{
    va_list arguments;
    if (remains->notes == SJ_REMAINS_NOTES)
        return;
    va_start(arguments, format);
    vsnprintf(remains->note[remains->notes++], SJ_REMAINS_NOTE_BYTES, format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------ lost pages */

static void mark_lost(struct sj_remains *remains, uint64_t page)
{
    if (page >= remains->pages || __atomic_exchange_n(&remains->state[page], SJ_REMAINS_LOST,
                                                      __ATOMIC_SEQ_CST) == SJ_REMAINS_LOST)
        return;
    __atomic_add_fetch(&remains->lost_pages, 1, __ATOMIC_SEQ_CST);
}

/* In a signal handler (guard.h). A page of the machine may be several of ours. */
static bool lost(void *owner, uint64_t at)
{
    struct sj_remains *remains = owner;
    uint64_t first = sj_guard_page_of(at), base = (uint64_t)(uintptr_t)remains->segment.base;
    for (uint64_t page = first; sj_guard_page_of(page) == first; page += SJ_PAGE)
        mark_lost(remains, (page - base) / SJ_PAGE);
    return sj_guard_zero_page(at);
}

enum sj_remains_state sj_remains_state(const struct sj_remains *remains, const void *at,
                                       uint64_t bytes)
{
    uint64_t offset = (uint64_t)(uintptr_t)at - (uint64_t)(uintptr_t)remains->segment.base;
    if (offset >= remains->bytes || bytes > remains->bytes - offset)
        return SJ_REMAINS_LOST;
    uint8_t worst = SJ_REMAINS_SOUND;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    for (uint64_t page = offset / SJ_PAGE; page * SJ_PAGE < offset + bytes; page++) {
        uint8_t state = __atomic_load_n(&remains->state[page], __ATOMIC_RELAXED);
        worst = state > worst ? state : worst;
    }
    return (enum sj_remains_state)worst;
}

/* ------------------------------------------------------------------ what it was */

/* A base that somebody names, and the reserve that goes with it; 0: not told. */
struct claim {
    uint64_t base;
    uint64_t reserved;
};

#define CLAIMS 4

static bool is_base(uint64_t base)
{
    return base >= SJ_ARENA_FIRST && base < SJ_ARENA_END && base % SJ_GIB == 0;
}

/* The base that most claims name, the first of them when there are several such. */
static uint64_t elect(const struct claim *claims, uint32_t *most)
{
    uint64_t elected = 0;
    *most = 0;
    for (uint32_t i = 0; i < CLAIMS; i++) {
        uint32_t votes = 0;
        for (uint32_t j = 0; is_base(claims[i].base) && j < CLAIMS; j++)
            votes += claims[j].base == claims[i].base;
        if (votes > *most) {
            *most = votes;
            elected = claims[i].base;
        }
    }
    return elected;
}

/* Both superblocks are damaged: the base by vote, the reserve from who has it. */
static int guess(struct sj_remains *remains, const char *path, const struct sj_remains_hint *hint,
                 uint64_t *base)
{
    struct sj_segment *segment = &remains->segment;
    struct sj_super super[2] = {0};
    struct sj_log log = {0};
    if (pread(segment->fd, super, sizeof super, SJ_SUPER_A) < 0 ||
        pread(segment->fd, &log, sizeof log, SJ_LOG_AT) < 0)
        return sj_segment_failed(path, "read");
    struct claim claims[CLAIMS] = {
        {hint->base, hint->reserved},
        {log.extent[0].at - SJ_LOG_EXTENT0_AT, 0},
        {super[0].base, super[0].reserved},
        {super[1].base, super[1].reserved},
    };
    uint32_t votes;
    *base = elect(claims, &votes);
    bool is_segment = super[0].magic == SJ_MAGIC || super[1].magic == SJ_MAGIC ||
                      (is_base(claims[1].base) && log.extent[0].bytes == SJ_LOG_EXTENT0_BYTES);
    if (!is_segment)
        return sj_error(SJ_EFORMAT, "%s: neither begins like a segment nor has its log", path);
    if (votes == 0)
        return sj_error(SJ_ECORRUPT,
                        "%s: both superblocks, the log header and the catalog's record are "
                        "damaged: nothing tells the address that the segment had",
                        path);
    for (uint32_t i = 0; i < CLAIMS && segment->reserved == 0; i++)
        if (claims[i].base == *base && sj_range_is_valid(*base, claims[i].reserved))
            segment->reserved = claims[i].reserved;
    for (uint32_t i = 2; i < CLAIMS; i++)
        if (claims[i].base == *base)
            memcpy(segment->uuid, super[i - 2].uuid, sizeof segment->uuid);
    note(remains,
         "both superblocks are damaged; the segment's address is what %u of its other "
         "places say: 0x%llx",
         votes, (unsigned long long)*base);
    return SJ_OK;
}

static int too_short(const char *path, uint64_t bytes)
{
    return sj_error(SJ_ETRUNCATED, "%s: has %llu bytes, too few for a single item of a segment",
                    path, (unsigned long long)bytes);
}

/* The superblock that counts. */
static void take_super(struct sj_remains *remains, const struct sj_super *super)
{
    struct sj_segment *segment = &remains->segment;
    enum sj_super_copy copies[2] = {SJ_SUPER_DAMAGED, SJ_SUPER_DAMAGED};
    remains->has_super = true;
    remains->durability = sj_super_durability(super);
    remains->log_epoch = super->log_epoch;
    segment->reserved = super->reserved;
    memcpy(segment->uuid, super->uuid, sizeof segment->uuid);
    snprintf(segment->name, sizeof segment->name, "%.*s", (int)super->name_bytes, super->name);
    (void)sj_super_copies(segment->fd, segment->name, copies);
    bool both = copies[0] != SJ_SUPER_DAMAGED && copies[1] != SJ_SUPER_DAMAGED;
    if (!both)
        note(remains, "superblock %c is damaged; the other one counts",
             copies[0] == SJ_SUPER_DAMAGED ? 'A' : 'B');
    /* A damaged one may have been the newer, and have said "in use". */
    remains->clean = both && (super->state & SJ_STATE_CLEAN) != 0;
}

/* Where the segment was, and what its reserve: what lies where follows from that. */
static int find_place(struct sj_remains *remains, const char *path,
                      const struct sj_remains_hint *hint, struct sj_super *super, uint64_t *base)
{
    struct sj_segment *segment = &remains->segment;
    uint64_t which;
    int error = sj_super_read(segment->fd, path, super, &which);
    if (error == SJ_OK) {
        *base = super->base;
        take_super(remains, super);
    } else if (error == SJ_ECORRUPT || error == SJ_EFORMAT) {
        error = guess(remains, path, hint, base);
    }
    if (error != SJ_OK)
        return error;
    if (segment->reserved == 0)
        segment->reserved = (remains->bytes + SJ_GIB - 1) / SJ_GIB * SJ_GIB;
    if (remains->bytes > segment->reserved)
        remains->bytes = segment->reserved;
    segment->meta_bytes = sj_pages_meta_bytes(segment->reserved);
    if (remains->bytes <= segment->meta_bytes && !remains->has_super) {
        segment->reserved = (remains->bytes + SJ_GIB - 1) / SJ_GIB * SJ_GIB;
        segment->meta_bytes = sj_pages_meta_bytes(segment->reserved);
    }
    segment->heap = *base + segment->meta_bytes;
    segment->spans = *base;
    return remains->bytes > segment->meta_bytes ? SJ_OK : too_short(path, remains->bytes);
}

/* ------------------------------------------------------------------ opening */

static int open_file(struct sj_remains *remains, const char *path)
{
    struct sj_segment *segment = &remains->segment;
    struct stat status;
    segment->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (segment->fd < 0)
        return sj_segment_failed(path, "open");
    if (fstat(segment->fd, &status) != 0)
        return sj_segment_failed(path, "fstat");
    if (!S_ISREG(status.st_mode))
        return sj_error(SJ_EFORMAT, "%s: not a regular file", path);
    remains->bytes = (uint64_t)status.st_size & ~7ull;
    if (remains->bytes <= SJ_CHUNK_DIR_AT)
        return too_short(path, remains->bytes);
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    snprintf(segment->name, sizeof segment->name, "%s", path);
    return SJ_OK;
}

static int map(struct sj_remains *remains, const char *path, uint64_t base)
{
    struct sj_segment *segment = &remains->segment;
    remains->pages = (remains->bytes + SJ_PAGE - 1) / SJ_PAGE;
    remains->state = malloc(remains->pages);
    if (remains->state == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    memset(remains->state, SJ_REMAINS_PLAIN, remains->pages);
    void *want = (void *)(uintptr_t)base;
    void *got = mmap(want, remains->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE, segment->fd, 0);
    if (got == MAP_FAILED)
        return errno == EEXIST ? sj_segment_taken(path, base, remains->bytes)
                               : sj_segment_failed(path, "mmap");
    if (got != want) {
        munmap(got, remains->bytes);
        return sj_segment_taken(path, base, remains->bytes);
    }
    madvise(got, remains->bytes, MADV_DONTDUMP);
    segment->base = got;
    segment->root_page = (struct sj_root_page *)(segment->base + SJ_ROOT_PAGE_AT);
    segment->log = (struct sj_log *)(segment->base + SJ_LOG_AT);
    return sj_guard_add(segment->base, remains->bytes, lost, remains);
}

/* A table of what the copy needs: nothing is ever flushed or synced. */
static void choose_domain(struct sj_remains *remains)
{
    const struct sj_domain *domain;
    remains->domain = (struct sj_domain){.name = "copy"};
    remains->segment.domain = &remains->domain;
    if (!remains->has_super ||
        sj_domain_of(remains->segment.fd, remains->durability, &domain) != SJ_OK)
        return;
    remains->domain.outlives_reboot = domain->outlives_reboot;
    remains->domain.sums = domain->sums || domain == &sj_wal_domain;
}

/* ------------------------------------------------------------------ page states */

/* The checksums, when they count. */
static struct sj_sums *find_sums(struct sj_remains *remains, const struct sj_super *super)
{
    struct sj_sums *sums = NULL;
    bool counts = false;
    if (!remains->has_super || !remains->domain.sums)
        return NULL;
    int error = sj_segment_sums_find(&remains->segment, super, false, &sums, &counts);
    if (error == SJ_OK && counts)
        return sums;
    if (error == SJ_OK)
        sj_sums_close(sums);
    else if (error != SJ_ENOTFOUND)
        note(remains, "its checksums cannot be used: %s", sj_error_detail());
    return NULL;
}

/* Touches the page; its state. `expected`: its checksum, or 0. */
static void look_at(struct sj_remains *remains, uint64_t page, uint32_t expected)
{
    const char *at = remains->segment.base + page * SJ_PAGE;
    bool fits = false;
    if (expected == 0)
        (void)*(volatile const char *)at;
    else
        fits = sj_sums_of(sj_crc32c(0, at, SJ_PAGE)) == expected;
    if (expected == 0 || remains->state[page] == SJ_REMAINS_LOST)
        return;
    remains->state[page] = fits ? SJ_REMAINS_SOUND : SJ_REMAINS_SUSPECT;
    remains->suspect_pages += !fits;
}

static void look_at_pages(struct sj_remains *remains, const struct sj_super *super)
{
    struct sj_root_page *root_page = remains->segment.root_page;
    uint64_t said = root_page->committed;
    root_page->committed = remains->bytes; /* R1 */
    if (said > remains->bytes)
        note(remains,
             said > remains->segment.reserved
                 ? "the root page is damaged; the file has %llu bytes, all of which are read"
                 : "the file has %llu bytes, the segment in it %llu: what lay behind is lost",
             (unsigned long long)remains->bytes, (unsigned long long)said);
    struct sj_sums *sums = find_sums(remains, super);
    for (uint64_t page = 0; page < remains->pages; page++) {
        uint32_t expected = 0;
        if (sums != NULL && page >= 2 && page < sums->backed)
            expected = __atomic_load_n(&sums->sum[page], __ATOMIC_ACQUIRE);
        if (page == SJ_ROOT_PAGE_AT / SJ_PAGE)
            root_page->committed = said; /* as the checksum has it */
        look_at(remains, page, expected);
        if (page == SJ_ROOT_PAGE_AT / SJ_PAGE)
            root_page->committed = remains->bytes;
    }
    if (sums != NULL)
        sj_sums_close(sums);
}

/* ------------------------------------------------------------------ logs */

static int apply(void *context, uint64_t offset, const void *bytes, uint64_t count)
{
    struct sj_remains *remains = context;
    if (offset < remains->bytes && count <= remains->bytes - offset)
        memcpy(remains->segment.base + offset, bytes, count);
    return SJ_OK;
}

/* Brings in what a write-ahead log has and the file lacks. */
static void replay(struct sj_remains *remains, const char *path, const struct sj_super *super)
{
    struct sj_segment *segment = &remains->segment;
    struct sj_wal_place place;
    if (!remains->has_super || (super->features_incompat & SJ_FEATURE_WAL) == 0)
        return;
    segment->root_page->committed = remains->bytes;
    if ((super->state & SJ_STATE_CLEAN) != 0 && remains->clean)
        return;
    struct sj_wal *wal = calloc(1, sizeof *wal);
    int error = wal == NULL ? sj_error(SJ_ENOMEM, "%s", path) : SJ_OK;
    if (error == SJ_OK) {
        wal->file = segment->fd;
        wal->log[0].fd = wal->log[1].fd = -1;
        snprintf(wal->path, sizeof wal->path, "%s", path);
        wal->buffer = sj_wal_buffer(SJ_WAL_BUFFER_BYTES);
        error = wal->buffer == NULL ? sj_error(SJ_ENOMEM, "%s", path)
                                    : sj_wal_files_open(wal, segment->name, false);
    }
    const struct sj_wal_replay replay = {.wal = wal,
                                         .name = segment->name,
                                         .uuid = segment->uuid,
                                         .reserved = segment->reserved,
                                         .first = remains->log_epoch,
                                         .apply = apply,
                                         .context = remains};
    if (error == SJ_OK)
        error = sj_wal_replay(&replay, &place);
    if (error != SJ_OK)
        note(remains,
             "the write-ahead log could not be read to its end, so that the last changes may be "
             "missing: %s",
             sj_error_detail());
    segment->root_page->committed = remains->bytes;
    if (wal != NULL) {
        sj_wal_file_close(&wal->log[0]);
        sj_wal_file_close(&wal->log[1]);
        sj_wal_buffer_free(wal->buffer, SJ_WAL_BUFFER_BYTES);
    }
    free(wal);
}

/* Undoes the transaction that somebody died in. */
static void undo(struct sj_remains *remains)
{
    struct sj_segment *segment = &remains->segment;
    static const char text[] = "if somebody died in a transaction, it is not undone: some of its "
                               "changes may be there, and others not";
    if (!sj_log_is_valid(segment)) {
        note(remains, "the header of the log is damaged; %s%s", remains->clean ? "" : text,
             remains->clean ? "the store was closed in peace, and has nothing to undo" : "");
        return;
    }
    if (!sj_log_pending(segment))
        return;
    if (remains->clean || sj_remains_state(remains, segment->log, SJ_PAGE) >= SJ_REMAINS_SUSPECT) {
        note(remains, "the log seems to have an unfinished transaction, but %s: it is not undone",
             remains->clean ? "the store was closed in peace"
                            : "the page of its header is damaged");
        return;
    }
    int error = sj_log_recover(segment);
    if (error == SJ_EINDOUBT)
        note(remains, "%s: %s", text, sj_error_detail());
    else if (error != SJ_OK)
        note(remains, "the log is damaged; %s: %s", text, sj_error_detail());
    else
        note(remains, "an unfinished transaction of a process that died is undone");
}

/* ------------------------------------------------------------------ the whole */

int sj_remains_open(const char *path, const struct sj_remains_hint *hint,
                    struct sj_remains **opened)
{
    static const struct sj_remains_hint nothing;
    struct sj_super super = {0};
    uint64_t base = 0;
    struct sj_remains *remains = calloc(1, sizeof *remains);
    if (remains == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    int error = open_file(remains, path);
    if (error == SJ_OK)
        error = find_place(remains, path, hint == NULL ? &nothing : hint, &super, &base);
    if (error == SJ_OK)
        error = map(remains, path, base);
    if (error == SJ_OK)
        error = sj_segment_sums_name(&remains->segment, path);
    if (error == SJ_OK)
        error = sj_segment_sums_init(&remains->segment);
    if (error != SJ_OK) {
        char detail[512];
        snprintf(detail, sizeof detail, "%s", sj_error_detail());
        sj_remains_close(remains);
        return sj_error(error, "%s", detail);
    }
    choose_domain(remains);
    look_at_pages(remains, &super);
    replay(remains, path, &super);
    undo(remains);
    mprotect(remains->segment.base, remains->bytes, PROT_READ);
    *opened = remains;
    return SJ_OK;
}

void sj_remains_close(struct sj_remains *remains)
{
    struct sj_segment *segment = &remains->segment;
    if (segment->base != NULL) {
        sj_guard_remove(segment->base);
        munmap(segment->base, remains->bytes);
    }
    sj_segment_sums_end(segment);
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment->tx.entries.items);
    free(segment->tx.frees.items);
    free(segment->tx.fresh.items);
    free(segment->tx.marks.items);
    free(remains->state);
    free(remains);
}
