// SPDX-License-Identifier: Apache-2.0
/*
 * sums_check.c: verifying a segment's pages by their checksums (sums.c has the rules, I1 … I10).
 *
 * What can be damaged is the page, its checksum, or what says that the checksums count; a finding
 * says which, or that it may be either.
 */
#include <stdio.h>

#include "persistence/crc32c.h"
#include "persistence/seam.h"
#include "persistence/sums.h"

#define PROGRESS_PAGES 1024

static int tell(const struct sj_sums_verify *verify, uint64_t offset,
                struct sj_sums_finding *finding)
{
    finding->offset = offset;
    return verify->found(verify->context, finding);
}

/* The superblocks have checksums of their own; a torn one is explained by two state words (I8). */
static int verify_superblocks(const struct sj_segment *segment, const struct sj_super *super,
                              const struct sj_sums *sums, struct sj_sums_verify *verify)
{
    enum sj_super_copy copies[2];
    int error = sj_super_copies(segment->fd, segment->name, copies);
    bool torn = sums == NULL || (sj_sums_unsettled(sums) && sj_sums_names(sums, super->checksum)) ||
                !sj_segment_is_continuous(segment, super);
    for (uint64_t i = 0; error == SJ_OK && i < 2; i++) {
        struct sj_sums_finding finding;
        if (copies[i] != SJ_SUPER_DAMAGED)
            verify->verified++;
        else
            verify->unverified++;
        if (copies[i] != SJ_SUPER_DAMAGED || torn)
            continue;
        snprintf(finding.text, sizeof finding.text,
                 "expected the checksum in it, found another one; the other superblock counts, and "
                 "the next change of the store makes this one anew");
        error = tell(verify, i * SJ_PAGE, &finding);
    }
    return error;
}

static int verify_page(const struct sj_segment *segment, uint64_t page, uint32_t expected,
                       struct sj_sums_verify *verify)
{
    struct sj_sums_finding finding;
    uint32_t found = sj_sums_of(sj_crc32c(0, segment->base + page * SJ_PAGE, SJ_PAGE));
    if (SJ_LIKELY(found == expected)) {
        verify->verified++;
        return SJ_OK;
    }
    verify->unverified++;
    snprintf(finding.text, sizeof finding.text, "expected the checksum %08x, found %08x", expected,
             found);
    return tell(verify, page * SJ_PAGE, &finding);
}

/* A page without a checksum, which there is none of in a segment that was closed (I7). */
static int miss_page(const struct sj_segment *segment, uint64_t page, bool clean,
                     struct sj_sums_verify *verify)
{
    struct sj_sums_finding finding;
    verify->unverified++;
    if (!clean)
        return SJ_OK;
    snprintf(finding.text, sizeof finding.text,
             "%s: expected a checksum of each page of a store that was closed, found none of the "
             "page at offset 0x%llx: this file is damaged",
             segment->sums_path, (unsigned long long)(page * SJ_PAGE));
    return tell(verify, SJ_SUMS_NOWHERE, &finding);
}

static int verify_pages(const struct sj_segment *segment, const struct sj_sums *sums, bool clean,
                        struct sj_sums_verify *verify)
{
    uint64_t pages = sj_segment_committed(segment) / SJ_PAGE;
    for (uint64_t page = 2; page < pages; page++) {
        uint32_t expected = __atomic_load_n(&sums->sum[page], __ATOMIC_ACQUIRE);
        int error = expected == 0 ? miss_page(segment, page, clean, verify)
                                  : verify_page(segment, page, expected, verify);
        if (error == SJ_OK && page % PROGRESS_PAGES == 0 && verify->progress != NULL)
            error = verify->progress(verify->context, page);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* In a segment that was closed, no bit says that a page may be marked (I7). */
static int verify_bits(const struct sj_segment *segment, const struct sj_sums *sums,
                       struct sj_sums_verify *verify)
{
    uint64_t pages = sj_segment_committed(segment) / SJ_PAGE;
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
    uint64_t which, pages = sj_segment_committed(segment) / SJ_PAGE;
    verify->verified = verify->unverified = 0;
    if (!segment->domain->sums) {
        verify->unverified = pages;
        return SJ_OK;
    }
    int error = sj_super_read(segment->fd, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    bool clean = (super.state & SJ_STATE_CLEAN) != 0;
    int opened = sj_segment_sums_find(segment, &super, false, &sums, &counts);
    if (opened == SJ_EIO)
        return opened;
    snprintf(finding.text, sizeof finding.text, "%s", sj_error_detail());
    error = verify_superblocks(segment, &super, sums, verify);
    if (!counts)
        verify->unverified += pages - 2;
    if (error == SJ_OK && opened == SJ_ECORRUPT && sj_segment_is_continuous(segment, &super))
        error = tell(verify, SJ_SUMS_NOWHERE, &finding);
    if (error == SJ_OK && counts)
        error = verify_pages(segment, sums, clean, verify);
    if (error == SJ_OK && counts && clean)
        error = verify_bits(segment, sums, verify);
    if (opened == SJ_OK)
        sj_sums_close(sums);
    return error;
}
