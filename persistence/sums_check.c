// SPDX-License-Identifier: Apache-2.0
/*
 * sums_check.c: verifying a segment's pages by their checksums (sums.c has the rules, I1 … I13).
 *
 * What can be damaged is the page, its checksum, or what says that the checksums count; a finding
 * says which, or that it may be either.
 *
 * The file of a `wal` store may be written at the same time, by a checkpoint of this process or
 * another one. A page is read between two looks at its checksum: it is marked before it changes,
 * and what is written next has another checksum. When one does not fit, the checksums must count
 * still: who changes pages without marks has written another superblock before (I11). A superblock
 * that is not whole may be one that is being written: then it soon is.
 */
#include <stdio.h>
#include <time.h>

#include "persistence/crc32c.h"
#include "persistence/seam.h"
#include "persistence/sums.h"
#include "persistence/wal.h"

#define PROGRESS_PAGES 1024
#define TRIES          50 /* a superblock that is being written is whole within 100 ms */
#define NAP_NS         2000000l

static int tell(const struct sj_sums_verify *verify, uint64_t offset,
                struct sj_sums_finding *finding)
{
    finding->offset = offset;
    return verify->found(verify->context, finding);
}

/* ------------------------------------------------------------------ superblocks */

static void nap(void)
{
    const struct timespec time = {.tv_nsec = NAP_NS};
    nanosleep(&time, NULL);
}

/* The superblock that counts. */
static int read_super(const struct sj_segment *segment, struct sj_super *super)
{
    uint64_t which;
    if (segment->wal == NULL)
        return sj_super_read(segment->fd, segment->name, super, &which);
    int error = sj_super_read(segment->wal->file, segment->name, super, &which);
    for (int i = 0; error == SJ_ECORRUPT && i < TRIES; i++) {
        nap();
        error = sj_super_read(segment->wal->file, segment->name, super, &which);
    }
    return error;
}

static int read_copies(const struct sj_segment *segment, enum sj_super_copy copies[2])
{
    if (segment->wal == NULL)
        return sj_super_copies(segment->fd, segment->name, copies);
    int error = sj_super_copies(segment->wal->file, segment->name, copies);
    for (int i = 0; error == SJ_OK && i < TRIES; i++) {
        if (copies[0] != SJ_SUPER_DAMAGED && copies[1] != SJ_SUPER_DAMAGED)
            break;
        nap();
        error = sj_super_copies(segment->wal->file, segment->name, copies);
    }
    return error;
}

/* Whether a superblock that is not whole is explained by a death, or the machine's: by two state
 * words (I8), or there is nobody to tell. */
static bool may_be_torn(const struct sj_segment *segment, const struct sj_super *super,
                        const struct sj_sums *sums)
{
    return sums == NULL || sj_sums_explain_torn(sums, super->checksum) ||
           !sj_segment_is_continuous(segment, super);
}

uint32_t sj_segment_sums_damaged_supers(const struct sj_segment *segment,
                                        const struct sj_super *super)
{
    struct sj_sums *sums = NULL;
    enum sj_super_copy copies[2];
    bool counts;
    if (sj_segment_sums_find(segment, super, false, &sums, &counts) != SJ_OK)
        return 0;
    bool torn = may_be_torn(segment, super, sums);
    sj_sums_close(sums);
    int file = segment->wal != NULL ? segment->wal->file : segment->fd;
    if (torn || sj_super_copies(file, segment->name, copies) != SJ_OK)
        return 0;
    return (copies[0] == SJ_SUPER_DAMAGED ? 1u : 0) | (copies[1] == SJ_SUPER_DAMAGED ? 2u : 0);
}

static int tell_super(const struct sj_sums_verify *verify, uint64_t number, const char *then)
{
    struct sj_sums_finding finding;
    snprintf(finding.text, sizeof finding.text,
             "expected the checksum in it, found another one; the other superblock counts, and %s",
             then);
    return tell(verify, number * SJ_PAGE, &finding);
}

/* The superblocks have checksums of their own. */
static int verify_superblocks(const struct sj_segment *segment, const struct sj_super *super,
                              const struct sj_sums *sums, struct sj_sums_verify *verify)
{
    enum sj_super_copy copies[2];
    int error = read_copies(segment, copies);
    bool torn = may_be_torn(segment, super, sums);
    uint32_t anew = segment->wal == NULL ? 0 : segment->wal->damaged_supers;
    for (uint64_t i = 0; error == SJ_OK && i < 2; i++) {
        if (copies[i] != SJ_SUPER_DAMAGED)
            verify->verified++;
        else
            verify->unverified++;
        if (copies[i] == SJ_SUPER_DAMAGED && !torn)
            error = tell_super(verify, i, "the next change of the store makes this one anew");
        else if ((anew >> i & 1) != 0)
            error = tell_super(verify, i, "this one was made anew when the store was opened");
    }
    return error;
}

/* ------------------------------------------------------------------ pages */

/* A page, as it is in memory or, of a `wal` store, in the file; NULL when it cannot be read. */
static const char *bytes_of(const struct sj_segment *segment, uint64_t page, char *buffer)
{
    if (segment->wal == NULL)
        return segment->base + page * SJ_PAGE;
    return sj_wal_read_page(segment->wal, page, buffer) ? buffer : NULL;
}

static bool count_still(const struct sj_segment *segment, const struct sj_sums *sums)
{
    struct sj_super super;
    return segment->wal == NULL ||
           (read_super(segment, &super) == SJ_OK && sj_segment_sums_count(segment, &super, sums));
}

/* What is known of a page. */
struct look {
    uint32_t expected; /* 0: nothing */
    uint32_t found;
    bool unreadable;
    bool noted; /* a page of its chunk may have no checksum */
};

static struct look look_at(const struct sj_segment *segment, const struct sj_sums *sums,
                           uint64_t page)
{
    const uint32_t *sum = &sums->sum[page];
    uint64_t chunk = page / SJ_SUMS_CHUNK_PAGES;
    struct look look;
    char buffer[SJ_PAGE];
    do {
        look = (struct look){.expected = __atomic_load_n(sum, __ATOMIC_ACQUIRE)};
        const char *bytes = look.expected == 0 ? NULL : bytes_of(segment, page, buffer);
        look.unreadable = look.expected != 0 && bytes == NULL;
        look.found = bytes == NULL ? 0 : sj_sums_of(sj_crc32c(0, bytes, SJ_PAGE));
        look.noted = (sj_load(&sums->changed[chunk / 64]) >> chunk % 64 & 1) != 0;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(sum, __ATOMIC_RELAXED) != look.expected);
    return look;
}

static int verify_page(const struct sj_segment *segment, const struct sj_sums *sums, uint64_t page,
                       bool clean, struct sj_sums_verify *verify)
{
    struct sj_sums_finding finding;
    struct look look = look_at(segment, sums, page);
    if (SJ_LIKELY(look.expected != 0 && look.found == look.expected)) {
        verify->verified++;
        return SJ_OK;
    }
    verify->unverified++;
    if ((look.expected == 0 && look.noted && !clean) || !count_still(segment, sums))
        return SJ_OK;
    if (look.expected == 0) { /* in a segment that was closed there is no such page (I7) */
        snprintf(finding.text, sizeof finding.text,
                 "%s: expected a checksum of each page %s, found none of the page at offset "
                 "0x%llx: this file is damaged",
                 segment->sums_path,
                 clean ? "of a store that was closed" : "that is not noted as changed",
                 (unsigned long long)(page * SJ_PAGE));
        return tell(verify, SJ_SUMS_NOWHERE, &finding);
    }
    if (look.unreadable)
        snprintf(finding.text, sizeof finding.text,
                 "expected a page, found that it cannot be read");
    else
        snprintf(finding.text, sizeof finding.text, "expected the checksum %08x, found %08x",
                 look.expected, look.found);
    return tell(verify, page * SJ_PAGE, &finding);
}

static int verify_pages(const struct sj_segment *segment, const struct sj_sums *sums,
                        uint64_t pages, bool clean, struct sj_sums_verify *verify)
{
    for (uint64_t page = 2; page < pages; page++) {
        int error = verify_page(segment, sums, page, clean, verify);
        if (error == SJ_OK && page % PROGRESS_PAGES == 0 && verify->progress != NULL)
            error = verify->progress(verify->context, page);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* In a segment that was closed, no bit says that a page may be marked (I7). */
static int verify_bits(const struct sj_segment *segment, const struct sj_sums *sums, uint64_t pages,
                       struct sj_sums_verify *verify)
{
    uint64_t chunks = (pages + SJ_SUMS_CHUNK_PAGES - 1) / SJ_SUMS_CHUNK_PAGES;
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        if ((sj_load(&sums->changed[chunk / 64]) >> chunk % 64 & 1) == 0)
            continue;
        struct sj_sums_finding finding;
        snprintf(finding.text, sizeof finding.text,
                 "%s: expected no note of changes in a store that was closed, found one for chunk "
                 "%llu: this file is damaged",
                 segment->sums_path, (unsigned long long)chunk);
        return tell(verify, SJ_SUMS_NOWHERE, &finding);
    }
    return SJ_OK;
}

int sj_segment_sums_verify(const struct sj_segment *segment, struct sj_sums_verify *verify)
{
    struct sj_super super;
    struct sj_sums *sums = NULL;
    struct sj_sums_finding finding;
    bool counts = false;
    uint64_t pages = 0, committed = sj_segment_committed(segment) / SJ_PAGE;
    verify->verified = verify->unverified = 0;
    if (!segment->domain->sums && segment->wal == NULL) {
        verify->unverified = committed;
        return SJ_OK;
    }
    int error = sj_segment_sums_pages(segment, &pages);
    if (error == SJ_OK)
        error = read_super(segment, &super);
    if (error != SJ_OK)
        return error;
    bool clean = (super.state & SJ_STATE_CLEAN) != 0;
    int opened = sj_segment_sums_find(segment, &super, false, &sums, &counts);
    if (opened == SJ_EIO)
        return opened;
    snprintf(finding.text, sizeof finding.text, "%s", sj_error_detail());
    error = verify_superblocks(segment, &super, sums, verify);
    pages = pages < committed ? pages : committed;
    verify->unverified += counts ? committed - pages : committed - 2;
    if (error == SJ_OK && opened == SJ_ECORRUPT && sj_segment_is_continuous(segment, &super))
        error = tell(verify, SJ_SUMS_NOWHERE, &finding);
    if (error == SJ_OK && counts)
        error = verify_pages(segment, sums, pages, clean, verify);
    if (error == SJ_OK && counts && clean)
        error = verify_bits(segment, sums, pages, verify);
    if (opened == SJ_OK)
        sj_sums_close(sums);
    return error;
}
