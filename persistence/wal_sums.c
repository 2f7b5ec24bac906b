// SPDX-License-Identifier: Apache-2.0
/*
 * wal_sums.c: checksums of the pages of a `wal` store's segment file (sums.c has the rules).
 *
 * The pages are the file's, which only checkpoints change; the image that the processes work on has
 * none. So whoever has checkpoint_mutex, or is the only process, knows that all pages are at rest.
 *
 *   make_image    adopt: those that count go on counting for the superblock of this boot
 *   checkpoint    begin: finds them, or makes new ones (I12); makes room for what the file is going
 *                 to have (I10); then, for all pages to be written: mark; then for each, when it is
 *                 written: set; note_epoch names the next superblock
 *   sync          refresh: sets those of pages that have none
 *   close         finish: the same; then "clean" is named, and written
 *
 * Who cannot keep them writes a superblock that they do not name before it changes the file (I11);
 * after a failure they count for nothing (I13).
 * Nothing here fails for want of checksums, only for a superblock that cannot be read or written.
 *
 * A page that a checkpoint reads and that does not have its checksum is damaged, and stays so when
 * something in it is changed: it gets a checksum that does not fit.
 *
 * Cost: of a checkpoint, one sync of some pages; four bytes for each page.
 */
#include "persistence/crc32c.h"
#include "persistence/sums.h"
#include "persistence/wal.h"

static void use(struct sj_wal *wal, struct sj_sums *sums)
{
    if (wal->sums != NULL)
        sj_sums_close(wal->sums);
    wal->sums = sums;
}

void sj_wal_sums_adopt(struct sj_segment *segment, const struct sj_super *super)
{
    struct sj_sums *sums = NULL;
    int error = sj_segment_sums_open(segment, super, &sums);
    use(segment->wal, error == SJ_OK ? sums : NULL);
}

void sj_wal_sums_forget(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    if (wal->sums != NULL)
        sj_sums_settle(wal->sums, 0);
    use(wal, NULL);
}

int sj_wal_super_write(struct sj_segment *segment, struct sj_super *super, uint64_t which)
{
    struct sj_wal *wal = segment->wal;
    int error = sj_super_write(segment, wal->file, super, which);
    if (error == SJ_OK && wal->sums != NULL && !sj_sums_names(wal->sums, super->checksum))
        use(wal, NULL);
    wal->nameless = error == SJ_OK && wal->sums == NULL ? super->checksum : 0;
    return error;
}

/* The sums that count are open, or there are none: then none are going to count. */
static int find(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    struct sj_super super;
    struct sj_sums *sums = NULL;
    uint64_t which;
    int error = sj_super_read(wal->file, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    if (wal->sums == NULL || !sj_segment_sums_are_known(segment, &super, wal->sums))
        sj_wal_sums_adopt(segment, &super);
    if (wal->sums != NULL) {
        sj_segment_sums_settle_whole(segment, &super, wal->sums);
        return SJ_OK;
    }
    if (sj_segment_sums_create(segment, &super, &sums) == SJ_OK)
        use(wal, sums);
    else if (super.checksum == wal->nameless)
        return SJ_OK;
    return sj_wal_super_write(segment, &super, which);
}

/* What the image has committed, from its file: checkpoints run in threads that are not inside of
 * the store, whose addresses another one may have meanwhile (spacejmp/park.h). */
static bool image_committed(const struct sj_segment *segment, uint64_t *bytes)
{
    const uint64_t at = SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, committed);
    return sj_segment_read(segment->fd, bytes, sizeof *bytes, at) == sizeof *bytes;
}

int sj_wal_sums_begin(struct sj_segment *segment)
{
    uint64_t pages = 0, end;
    int error = find(segment);
    if (error != SJ_OK || segment->wal->sums == NULL)
        return error;
    if (!image_committed(segment, &end)) { /* it was cut short */
        sj_wal_sums_forget(segment);
        return SJ_OK;
    }
    end = (end < segment->reserved ? end : segment->reserved) / SJ_PAGE;
    error = sj_segment_sums_pages(segment, &pages);
    if (error == SJ_OK && end > pages && sj_sums_back(segment->wal->sums, pages, end) != SJ_OK)
        sj_wal_sums_forget(segment); /* a full disk */
    return error;
}

bool sj_wal_sums_fit(const struct sj_segment *segment, uint64_t page, const void *bytes)
{
    const struct sj_sums *sums = segment->wal->sums;
    if (sums == NULL || page >= sums->backed || sums->sum[page] == 0)
        return true;
    return sums->sum[page] == sj_sums_of(sj_crc32c(0, bytes, SJ_PAGE));
}

void sj_wal_sums_mark(struct sj_segment *segment, uint64_t page)
{
    struct sj_sums *sums = segment->wal->sums;
    if (sums != NULL && page < sums->backed)
        sj_sums_mark_pages(sums, page, page + 1);
}

void sj_wal_sums_set(struct sj_segment *segment, uint64_t page, const void *bytes, bool fitted)
{
    struct sj_sums *sums = segment->wal->sums;
    if (sums == NULL || page >= sums->backed)
        return;
    uint32_t crc = sj_crc32c(0, bytes, SJ_PAGE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    sj_sums_set(sums, page, fitted ? crc : ~crc);
}

static bool crc_of(void *context, uint64_t page, uint32_t *crc)
{
    const struct sj_wal *wal = context;
    char bytes[SJ_PAGE];
    if (!sj_wal_read_page(wal, page, bytes))
        return false;
    *crc = sj_crc32c(0, bytes, sizeof bytes);
    return true;
}

bool sj_wal_sums_compute(struct sj_segment *segment)
{
    const struct sj_wal *wal = segment->wal;
    uint64_t pages = 0;
    return wal->sums != NULL && sj_segment_sums_pages(segment, &pages) == SJ_OK &&
           sj_sums_compute(wal->sums, pages, crc_of, segment->wal);
}

void sj_wal_sums_finish(struct sj_segment *segment)
{
    if (!sj_wal_sums_compute(segment))
        use(segment->wal, NULL); /* a page cannot be read: "clean" is not named */
}

bool sj_wal_read_page(const struct sj_wal *wal, uint64_t page, void *bytes)
{
    return sj_segment_read(wal->file, bytes, SJ_PAGE, page * SJ_PAGE) == SJ_PAGE;
}
