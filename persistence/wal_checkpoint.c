// SPDX-License-Identifier: Apache-2.0
/*
 * wal_checkpoint.c: what the log has goes into the segment file.
 *
 *   log file, closed ──records──→ pages in memory ──ascending──→ segment file ──sync──→
 *   superblock: log_epoch + 1 ──sync──→ the log file may be used again
 *
 * Only what has committed and is on disk in the log is written, so no lock of the store is needed:
 * writers go on in the image and in the other log file meanwhile.
 *
 * Crash rule: until log_epoch is stored the whole epoch is going to be applied again (wal.h, I1).
 *
 * One thread of a process writes checkpoints in the background; it is made when the first one is
 * wanted. It takes no signals, and ends when the segment is closed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "persistence/sums.h"
#include "persistence/wal.h"

#define PAGES_MAX   8192u  /* in memory at once: 32 MiB */
#define TABLE_SLOTS 16384u /* a power of two, twice as many */

/* Pages of the segment file that are being changed. */
struct pages {
    struct sj_segment *segment;
    char *bytes;      /* PAGES_MAX pages, in the order in which they came */
    uint64_t *number; /* of each */
    uint32_t *table;  /* by hash of the number: index + 1, or 0 */
    bool *unfit;      /* it did not have its checksum */
    uint32_t count;
};

static int io_failed(const struct sj_segment *segment, const char *call, int number)
{
    int code = number == ENOSPC || number == EDQUOT ? SJ_EFULL : SJ_EIO;
    return sj_error(code, "'%s': a checkpoint: %s: %s", segment->name, call, strerror(number));
}

static int by_number(const void *a, const void *b, void *context)
{
    const struct pages *pages = context;
    uint64_t first = pages->number[*(const uint32_t *)a];
    uint64_t second = pages->number[*(const uint32_t *)b];
    return (first > second) - (first < second);
}

/* Writes all pages, in the order of the file, and forgets them. */
static int write_pages(struct pages *pages)
{
    uint32_t *order = pages->table; /* of no use any more */
    int file = pages->segment->wal->file;
    for (uint32_t i = 0; i < pages->count; i++) {
        order[i] = i;
        sj_wal_sums_mark(pages->segment, pages->number[i]);
    }
    qsort_r(order, pages->count, sizeof *order, by_number, pages);
    for (uint32_t i = 0; i < pages->count; i++) {
        const char *from = pages->bytes + order[i] * SJ_PAGE;
        uint64_t at = pages->number[order[i]] * SJ_PAGE;
        sj_disk_write(file, from, SJ_PAGE, at);
        if (sj_segment_write(file, from, SJ_PAGE, at) != 0)
            return io_failed(pages->segment, "write", errno);
        sj_wal_sums_set(pages->segment, at / SJ_PAGE, from, !pages->unfit[order[i]]);
    }
    pages->count = 0;
    memset(pages->table, 0, TABLE_SLOTS * sizeof *pages->table);
    return SJ_OK;
}

static int read_page(const struct pages *pages, uint64_t number, char *into)
{
    ssize_t got = sj_segment_read(pages->segment->wal->file, into, SJ_PAGE, number * SJ_PAGE);
    if (got < 0)
        return io_failed(pages->segment, "read", errno);
    memset(into + got, 0, SJ_PAGE - (size_t)got);
    return SJ_OK;
}

/* The page in memory; it is read when it is not there. */
static int find_page(struct pages *pages, uint64_t number, char **page)
{
    if (pages->count == PAGES_MAX) {
        int error = write_pages(pages);
        if (error != SJ_OK)
            return error;
    }
    uint32_t slot = (uint32_t)(number * 0x9e3779b97f4a7c15ull >> 50) & (TABLE_SLOTS - 1);
    for (; pages->table[slot] != 0; slot = (slot + 1) & (TABLE_SLOTS - 1)) {
        uint32_t index = pages->table[slot] - 1;
        *page = pages->bytes + index * SJ_PAGE;
        if (pages->number[index] == number)
            return SJ_OK;
    }
    *page = pages->bytes + pages->count * SJ_PAGE;
    int error = read_page(pages, number, *page);
    if (error != SJ_OK)
        return error;
    pages->number[pages->count] = number;
    pages->unfit[pages->count] = !sj_wal_sums_fit(pages->segment, number, *page);
    pages->table[slot] = ++pages->count;
    return SJ_OK;
}

static int apply(void *context, uint64_t offset, const void *bytes, uint64_t count)
{
    struct pages *pages = context;
    const char *from = bytes;
    while (count > 0) {
        char *page;
        uint64_t within = offset % SJ_PAGE;
        uint64_t part = SJ_PAGE - within < count ? SJ_PAGE - within : count;
        int error = find_page(pages, offset / SJ_PAGE, &page);
        if (error != SJ_OK)
            return error;
        memcpy(page + within, from, part);
        from += part;
        offset += part;
        count -= part;
    }
    return SJ_OK;
}

/* Epochs [first, end) into the segment file, synced. `place`: where they end. */
static int apply_epochs(struct sj_segment *segment, uint64_t first, uint64_t end,
                        struct sj_wal_place *place)
{
    struct pages pages = {.segment = segment,
                          .bytes = sj_wal_buffer(PAGES_MAX * SJ_PAGE),
                          .number = malloc(PAGES_MAX * sizeof *pages.number),
                          .table = calloc(TABLE_SLOTS, sizeof *pages.table),
                          .unfit = malloc(PAGES_MAX * sizeof *pages.unfit)};
    const struct sj_wal_replay replay = {.wal = segment->wal,
                                         .name = segment->name,
                                         .uuid = segment->uuid,
                                         .reserved = segment->reserved,
                                         .first = first,
                                         .end = end,
                                         .apply = apply,
                                         .context = &pages};
    int error = SJ_OK;
    if (pages.bytes == NULL || pages.number == NULL || pages.table == NULL || pages.unfit == NULL)
        error = sj_error(SJ_ENOMEM, "a checkpoint of '%s'", segment->name);
    if (error == SJ_OK)
        error = sj_wal_sums_begin(segment);
    if (error == SJ_OK)
        error = sj_wal_replay(&replay, place);
    if (error == SJ_OK)
        error = write_pages(&pages);
    if (error == SJ_OK && fdatasync(segment->wal->file) != 0)
        error = io_failed(segment, "fdatasync", errno);
    if (error == SJ_OK)
        sj_disk_sync(segment->wal->file);
    else if (error == SJ_EIO)
        sj_wal_sums_forget(segment);
    sj_wal_buffer_free(pages.bytes, PAGES_MAX * SJ_PAGE);
    free(pages.number);
    free(pages.table);
    free(pages.unfit);
    return error;
}

/* The superblock says that epochs before `epoch` are in the segment file. */
static int note_epoch(struct sj_segment *segment, uint64_t epoch)
{
    struct sj_super super;
    uint64_t which;
    int error = sj_super_read(segment->wal->file, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    super.log_epoch = epoch;
    return sj_wal_super_write(segment, &super, which);
}

/* After a failed write of the segment file nobody knows what it has, and what is written next time
 * may be thought to be there: only a replay from its beginning is safe. */
static int unless_failed(const struct sj_segment *segment, int error)
{
    return error == SJ_EIO ? sj_wal_fail(segment, EIO) : error;
}

int sj_wal_checkpoint(struct sj_segment *segment)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    struct sj_wal_place place;
    int error = sj_wal_lock(segment, &shared->checkpoint_mutex);
    if (error != SJ_OK)
        return error;
    uint64_t first = shared->log_epoch, end = sj_wal_place_now(segment->wal)->epoch;
    error = sj_wal_usable(segment);
    if (error == SJ_OK && first < end)
        error = unless_failed(segment, apply_epochs(segment, first, end, &place));
    if (error == SJ_OK && first < end)
        error = unless_failed(segment, note_epoch(segment, end));
    if (error == SJ_OK)
        __atomic_store_n(&shared->log_epoch, end, __ATOMIC_RELEASE);
    sj_wal_unlock(segment->wal, &shared->checkpoint_mutex);
    return error;
}

int sj_wal_checkpoint_all(struct sj_segment *segment, uint64_t *next_epoch)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    const struct sj_wal_place *now = sj_wal_place_now(segment->wal);
    struct sj_wal_place place = {.durable = 0};
    int error = sj_wal_lock(segment, &shared->checkpoint_mutex);
    if (error != SJ_OK)
        return error;
    error = sj_wal_usable(segment);
    if (error == SJ_OK)
        error = unless_failed(segment, apply_epochs(segment, shared->log_epoch, 0, &place));
    if (error == SJ_OK && place.durable != now->durable)
        error = sj_error(SJ_ECORRUPT,
                         "'%s': %s.log%u is damaged: it ends at position %llu, and %llu were "
                         "written",
                         segment->name, segment->wal->path, (unsigned)(now->epoch & 1),
                         (unsigned long long)place.durable, (unsigned long long)now->durable);
    *next_epoch = place.epoch + 1;
    sj_wal_unlock(segment->wal, &shared->checkpoint_mutex);
    return error;
}

void sj_wal_sums_refresh(struct sj_segment *segment)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    if (!segment->rw_possible || sj_wal_lock(segment, &shared->checkpoint_mutex) != SJ_OK)
        return;
    if (sj_wal_usable(segment) == SJ_OK && sj_wal_sums_begin(segment) == SJ_OK)
        (void)sj_wal_sums_compute(segment);
    sj_wal_unlock(segment->wal, &shared->checkpoint_mutex);
}

int sj_wal_sums_accept(struct sj_segment *segment, const uint64_t *offset, uint64_t count)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    struct sj_super super;
    uint64_t which;
    bool supers = false;
    int error = sj_wal_lock(segment, &shared->checkpoint_mutex);
    if (error != SJ_OK)
        return error;
    error = sj_wal_usable(segment);
    if (error == SJ_OK)
        error = sj_wal_sums_begin(segment);
    for (uint64_t i = 0; error == SJ_OK && i < count; i++)
        if (offset[i] < 2 * SJ_PAGE)
            supers = true;
        else if (offset[i] != SJ_SUMS_NOWHERE)
            sj_wal_sums_mark(segment, offset[i] / SJ_PAGE);
    if (error == SJ_OK && supers)
        error = sj_super_read(segment->wal->file, segment->name, &super, &which);
    if (error == SJ_OK && supers)
        error = unless_failed(segment, sj_wal_super_write(segment, &super, which));
    if (error == SJ_OK)
        segment->wal->damaged_supers = 0;
    sj_wal_unlock(segment->wal, &shared->checkpoint_mutex);
    return error;
}

/* ------------------------------------------------------------------ the thread */

static void *run(void *context)
{
    struct sj_segment *segment = context;
    struct sj_wal *wal = segment->wal;
    pthread_mutex_lock(&wal->local);
    while (!wal->stop) {
        if (!wal->wanted) {
            pthread_cond_wait(&wal->changed, &wal->local);
            continue;
        }
        wal->wanted = false;
        pthread_mutex_unlock(&wal->local);
        /* On a full disk it is tried again when the next log file is full, or the store closed;
         * another failure is the store's. */
        (void)sj_wal_checkpoint(segment);
        pthread_mutex_lock(&wal->local);
    }
    pthread_mutex_unlock(&wal->local);
    return NULL;
}

void sj_wal_want_checkpoint(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    pthread_mutex_lock(&wal->local);
    wal->wanted = true;
    if (!wal->has_thread && !wal->stop) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        wal->has_thread = pthread_create(&wal->thread, NULL, run, segment) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_cond_signal(&wal->changed);
    pthread_mutex_unlock(&wal->local);
}

void sj_wal_stop_thread(struct sj_wal *wal)
{
    pthread_mutex_lock(&wal->local);
    bool has_thread = wal->has_thread;
    wal->stop = true;
    pthread_cond_signal(&wal->changed);
    pthread_mutex_unlock(&wal->local);
    if (has_thread)
        pthread_join(wal->thread, NULL);
    wal->has_thread = false;
}
