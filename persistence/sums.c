// SPDX-License-Identifier: Apache-2.0
/*
 * sums.c: the file of checksums of pages (sums_layout.h has the format).
 *
 * Fault model: processes die at any instruction; the machine stops, then any subset of what was not
 * synced is on disk; files are removed, replaced by older copies, mixed up. Damage of a page at
 * rest must be found; a page that is as it was last stored must never be taken for a damaged one.
 *
 * I1  Before a page changes its sum is 0 (marked). Whoever changes it sees to that: ranges are
 *     logged (log.c) or announced (sj_tx_fresh) first, and that marks them. Pages that change
 *     without being logged or announced are marked when a process begins to write, or begins to use
 *     them, and stay so until the segment is closed: those below the chunk directory, log extents.
 *     Pages of a view that is written through (spacejmp/views.h) are marked when it is made, with
 *     the write hold, and stay so while it lives.
 * I2  The bit of a chunk is set before a sum in it becomes 0, and cleared when none is: who looks
 *     for marked pages looks there alone.
 * I3  The sums count for a segment when a state word names its superblock, and that says "clean",
 *     or "in use" in this boot (or on a backing that does not outlive a boot). Else all is as if
 *     there were none.
 * I4  Who changes a segment first writes a superblock that never was before: its sequence number
 *     and nonce are new. Who marks pages names it here before; who does not (an older version, no
 *     rights, no room) leaves the segment with one that is named nowhere. So restored copies,
 *     copies that went their own ways, and changes without marks make sums that do not count, not
 *     false ones.
 * I5  Sums that do not count come to count again, with all pages marked, only when nobody is
 *     changing the segment without marking: its superblock said "clean" until now, or its last
 *     process is closing it. Their file is a new one.
 * I6  A sum is set when its page is at rest: under any hold and outside of transactions, or by the
 *     last process to close.
 * I7  At the close, all sums are set, synced, and the clean superblock is named before it is
 *     written. So where "clean" counts, every page of the segment has a sum and no bit is set.
 * I8  A new superblock is named in the word that does not name the present one, synced; when it is
 *     complete, the other word is emptied. So a superblock is torn by a death, or by the machine's,
 *     only while the present one is named and both words name one. New sums cannot name the present
 *     one, or they would count: the complement of its checksum stands in its place, in both words
 *     when a superblock is torn already.
 * I9  Sums are set only while no other state of the segment is named whose superblock may be found
 *     whole: a copy from before is not taken for the segment of today.
 * I10 The file has room for the sums of a page before the segment has the page.
 *
 * Of a `wal` store (wal_sums.c) the pages are those of the segment file, which checkpoints alone
 * change, one at a time; the rules hold for a checkpoint where they say "process", and:
 *
 * I11 Before a checkpoint changes the file, either the sums that others find count, and it marks
 *     pages in them, or the superblock is one that no sums name.
 * I12 So they may come to count again, in a new file, at every checkpoint and every close: no page
 *     is changing, and none is going to without marks.
 * I13 A sum is set when its page has been written; when a write or sync of the segment file has
 *     failed, the sums count for nothing: nobody knows what the file has.
 *
 * What a death leaves, between
 *   naming and the superblock  the old superblock, named as well: the sums count as before
 *   mark and store             a marked page that is as it was
 *   sum and the bit            a bit without a marked page
 *   growth here and there      marked pages beyond the end of the segment
 *   sums and "clean"           sums of pages that did not change since, "in use": they count
 *   write and sum (wal)        a marked page; the log has what was going to be written
 *
 * When the machine stops while the segment is in use, the sums do not count afterwards (I3).
 */
#include "persistence/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/checksum.h"
#include "persistence/crc32c.h"
#include "persistence/guard.h"
#include "persistence/seam.h"

#define STATE_BITS 40

/* Where the checksums begin, of a segment with that reserve. */
static uint64_t table_offset(uint64_t reserved)
{
    uint64_t bits = reserved / (SJ_SUMS_CHUNK_PAGES * SJ_PAGE);
    return SJ_SUMS_CHANGED_AT + (bits / 8 + SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE;
}

/* ------------------------------------------------------------------ state words */

/* The word that names the superblock with that checksum; 0: none. */
static uint64_t state_word(uint64_t super)
{
    uint64_t state = super & ((1ull << STATE_BITS) - 1);
    if (super != 0 && state == 0)
        state = 1;
    return state << (64 - STATE_BITS) |
           (sj_crc32c(0, &state, sizeof state) & ((1u << (64 - STATE_BITS)) - 1));
}

static bool is_state_word(uint64_t word)
{
    return word == state_word(word >> (64 - STATE_BITS));
}

bool sj_sums_names(const struct sj_sums *sums, uint64_t super)
{
    uint64_t word = state_word(super);
    return sj_load(&sums->header->state[0]) == word || sj_load(&sums->header->state[1]) == word;
}

void sj_sums_announce(struct sj_sums *sums, uint64_t present, uint64_t next)
{
    uint64_t *state = sums->header->state;
    sj_store(&state[state[0] == state_word(present)], state_word(next));
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void sj_sums_settle(struct sj_sums *sums, uint64_t present)
{
    uint64_t *state = sums->header->state;
    for (uint32_t i = 0; i < 2; i++)
        if (present == 0 || (state[i] != state_word(present) && state[i] != state_word(~present)))
            sj_store(&state[i], state_word(0));
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

bool sj_sums_explain_torn(const struct sj_sums *sums, uint64_t present)
{
    const uint64_t *state = sums->header->state;
    return sj_load(&state[0]) != state_word(0) && sj_load(&state[1]) != state_word(0) &&
           (sj_sums_names(sums, present) || sj_sums_names(sums, ~present));
}

/* ------------------------------------------------------------------ opening, making */

static uint64_t header_checksum(const struct sj_sums_header *header)
{
    return sj_checksum(SJ_SUMS_MAGIC, (const uint64_t *)header,
                       offsetof(struct sj_sums_header, checksum) / sizeof(uint64_t));
}

const char *sj_sums_header_fault(const struct sj_sums_header *header)
{
    static const uint8_t zeros[sizeof header->zeros];
    if (header->magic != SJ_SUMS_MAGIC || header->checksum != header_checksum(header))
        return "its header's checksum does not fit";
    if (!is_state_word(header->state[0]) || !is_state_word(header->state[1]))
        return "the check bits of a state word in its header do not fit";
    if (memcmp(header->zero, zeros, sizeof header->zero) != 0 ||
        memcmp(header->zeros, zeros, sizeof header->zeros) != 0)
        return "unused bytes of its header are not zero";
    return NULL;
}

/* A page of the mapping is lost: nobody's sums count any more, nor what is marked in the page that
 * takes its place. */
static bool lost(void *owner, uint64_t at)
{
    const struct sj_sums *sums = owner;
    if (sj_guard_backed(sums->fd, SJ_PAGE) == SJ_PAGE &&
        pwrite(sums->fd, sums->nothing, sizeof sums->nothing,
               offsetof(struct sj_sums_header, state)) < 0) {
        /* It was opened for reading, or is lost itself: then it is not believed either. */
    }
    return sj_guard_zero_page(at);
}

static int map(struct sj_sums *sums, const char *path, uint64_t reserved, bool writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    sums->bytes = table_offset(reserved) + reserved / SJ_PAGE * sizeof *sums->sum;
    sums->nothing[0] = sums->nothing[1] = state_word(0);
    char *at = mmap(NULL, sums->bytes, protection, MAP_SHARED | MAP_NORESERVE, sums->fd, 0);
    if (at == MAP_FAILED)
        return sj_segment_failed(path, "mmap");
    madvise(at, sums->bytes, MADV_DONTDUMP);
    sums->header = (struct sj_sums_header *)at;
    sums->changed = (uint64_t *)(at + SJ_SUMS_CHANGED_AT);
    sums->sum = (uint32_t *)(at + table_offset(reserved));
    return sj_guard_add(at, sums->bytes, lost, sums);
}

void sj_sums_close(struct sj_sums *sums)
{
    if (sums->header != NULL) {
        sj_guard_remove(sums->header);
        munmap(sums->header, sums->bytes);
    }
    close(sums->fd);
    free(sums);
}

/* Around an open file. */
static int begin(int fd, const char *path, struct stat *status, struct sj_sums **sums)
{
    *sums = NULL;
    if (fd < 0)
        return sj_segment_failed(path, "open");
    int error = fstat(fd, status) == 0 ? SJ_OK : sj_segment_failed(path, "fstat");
    if (error == SJ_OK && (*sums = calloc(1, sizeof **sums)) == NULL)
        error = sj_error(SJ_ENOMEM, "%s", path);
    if (error != SJ_OK) {
        close(fd);
        return error;
    }
    (*sums)->fd = fd;
    (*sums)->device = status->st_dev;
    (*sums)->inode = status->st_ino;
    return SJ_OK;
}

/* Whether the open file has the checksums of that segment. */
static int check_file(struct sj_sums *sums, const struct stat *status, const char *path,
                      const uint8_t uuid[16], uint64_t reserved)
{
    struct sj_sums_header header;
    ssize_t got =
        S_ISREG(status->st_mode) ? sj_segment_read(sums->fd, &header, sizeof header, 0) : 0;
    if (got < 0)
        return sj_segment_failed(path, "read");
    if ((size_t)got < sizeof header)
        return sj_error(SJ_ECORRUPT, "%s: expected checksums, found a file of %lld bytes", path,
                        (long long)status->st_size);
    const char *fault = sj_sums_header_fault(&header);
    if (fault != NULL)
        return sj_error(SJ_ECORRUPT, "%s: expected checksums, found a damaged file: %s", path,
                        fault);
    if (header.version != SJ_SUMS_VERSION || header.page_bytes != SJ_PAGE ||
        header.reserved != reserved || memcmp(header.uuid, uuid, sizeof header.uuid) != 0)
        return sj_error(SJ_ENOTFOUND, "%s: has the checksums of something else", path);
    uint64_t table_at = table_offset(reserved), size = (uint64_t)status->st_size;
    if (size < table_at)
        return sj_error(SJ_ECORRUPT, "%s: expected checksums, found a file of %llu bytes", path,
                        (unsigned long long)size);
    sums->backed = (size - table_at) / sizeof *sums->sum;
    return SJ_OK;
}

int sj_sums_open(const char *path, const uint8_t uuid[16], uint64_t reserved, bool writable,
                 struct sj_sums **opened)
{
    int flags = (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    struct sj_sums *sums;
    struct stat status;
    int error = begin(open(path, flags), path, &status, &sums);
    if (error != SJ_OK)
        return error;
    error = check_file(sums, &status, path, uuid, reserved);
    if (error == SJ_OK)
        error = map(sums, path, reserved, writable);
    if (error != SJ_OK) {
        sj_sums_close(sums);
        return error;
    }
    *opened = sums;
    return SJ_OK;
}

/* Fills in a new file, which has no name yet. */
static int lay_out(struct sj_sums *sums, const char *path, const struct sj_sums_spec *spec)
{
    int error = map(sums, path, spec->reserved, true);
    if (error == SJ_OK)
        error = sj_sums_back(sums, 0, spec->pages);
    if (error != SJ_OK)
        return error;
    struct sj_sums_header header = {.magic = SJ_SUMS_MAGIC,
                                    .version = SJ_SUMS_VERSION,
                                    .page_bytes = SJ_PAGE,
                                    .reserved = spec->reserved,
                                    .state = {state_word(spec->torn ? ~spec->present : 0),
                                              state_word(~spec->present)}}; /* I8 */
    memcpy(header.uuid, spec->uuid, sizeof header.uuid);
    header.checksum = header_checksum(&header);
    sj_copy(sums->header, &header, sizeof header);
    return sj_sums_sync(sums);
}

int sj_sums_prepare(const char *path, const struct sj_sums_spec *spec, char *temporary,
                    struct sj_sums **made)
{
    struct sj_sums *sums;
    struct stat status;
    int error = begin(sj_segment_open_unnamed(path, spec->mode, temporary), path, &status, &sums);
    if (error != SJ_OK)
        return error;
    /* Who may change the segment marks its pages, whatever the umask. */
    fchmod(sums->fd, spec->mode);
    error = lay_out(sums, path, spec);
    if (error != SJ_OK) {
        sj_sums_discard(sums, temporary);
        return error;
    }
    *made = sums;
    return SJ_OK;
}

void sj_sums_discard(struct sj_sums *sums, const char *temporary)
{
    if (temporary[0] != '\0')
        unlink(temporary);
    sj_sums_close(sums);
}

int sj_sums_create(const char *path, const struct sj_sums_spec *spec, struct sj_sums **made)
{
    char temporary[PATH_MAX];
    struct sj_sums *sums;
    int error = sj_sums_prepare(path, spec, temporary, &sums);
    if (error != SJ_OK)
        return error;
    unlink(path);
    error = sj_segment_publish(sums->fd, path, temporary);
    if (error != SJ_OK) {
        sj_sums_close(sums);
        return error;
    }
    *made = sums;
    return SJ_OK;
}

int sj_sums_sync(const struct sj_sums *sums)
{
    if (fdatasync(sums->fd) != 0)
        return sj_error(SJ_EIO, "fdatasync of the checksums: %s", strerror(errno));
    sj_disk_sync(sums->fd);
    return SJ_OK;
}

/* ------------------------------------------------------------------ sums */

/* Says of the chunks of pages [first, end) that marked pages may be in them (I2). */
static void set_bits(struct sj_sums *sums, uint64_t first, uint64_t end)
{
    uint64_t last = (end - 1) / SJ_SUMS_CHUNK_PAGES;
    for (uint64_t chunk = first / SJ_SUMS_CHUNK_PAGES; chunk <= last; chunk++) {
        uint64_t *word = &sums->changed[chunk / 64], bit = 1ull << chunk % 64;
        if ((*word & bit) == 0)
            sj_store(word, *word | bit);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void sj_sums_mark_pages(struct sj_sums *sums, uint64_t first, uint64_t end)
{
    set_bits(sums, first, end);
    for (uint64_t page = first; page < end; page++)
        if (sums->sum[page] != 0)
            sj_store_half(&sums->sum[page], 0);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

int sj_sums_back(struct sj_sums *sums, uint64_t from, uint64_t end)
{
    uint64_t table_at = (uint64_t)((char *)sums->sum - (char *)sums->header);
    uint64_t bytes = table_at + (end * 4 + SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE;
    if (end > sums->backed) {
        uint64_t had = sums->backed == 0 ? 0 : table_at + sums->backed * 4;
        int result;
        do
            result = fallocate(sums->fd, 0, (off_t)had, (off_t)(bytes - had));
        while (result != 0 && errno == EINTR);
        if (result != 0)
            return sj_segment_failed("the file of checksums", "fallocate");
        sums->backed = (bytes - table_at) / 4;
    }
    sj_sums_mark_pages(sums, from, end);
    return SJ_OK;
}

void sj_sums_set(struct sj_sums *sums, uint64_t page, uint32_t crc)
{
    sj_store_half(&sums->sum[page], sj_sums_of(crc));
}

/* The pages of one chunk; whether no page of it is marked any more. */
static bool compute_chunk(struct sj_sums *sums, uint64_t first, uint64_t end, sj_sums_crc *crc_of,
                          void *context)
{
    bool all = true;
    uint32_t crc;
    for (uint64_t page = first < 2 ? 2 : first; page < end; page++) {
        if (sums->sum[page] != 0)
            continue;
        if (crc_of(context, page, &crc))
            sj_sums_set(sums, page, crc);
        else
            all = false;
    }
    return all;
}

bool sj_sums_compute(struct sj_sums *sums, uint64_t pages, sj_sums_crc *crc_of, void *context)
{
    bool all = true;
    uint64_t chunks = (pages + SJ_SUMS_CHUNK_PAGES - 1) / SJ_SUMS_CHUNK_PAGES;
    for (uint64_t first = 0; first < chunks; first += 64) {
        uint64_t *word = &sums->changed[first / 64], done = 0;
        for (uint64_t left = *word; left != 0; left &= left - 1) {
            uint64_t chunk = first + (uint32_t)__builtin_ctzll(left);
            uint64_t end = (chunk + 1) * SJ_SUMS_CHUNK_PAGES;
            if (compute_chunk(sums, chunk * SJ_SUMS_CHUNK_PAGES, end < pages ? end : pages, crc_of,
                              context))
                done |= left & -left;
            else
                all = false;
        }
        if (done == 0)
            continue;
        __atomic_thread_fence(__ATOMIC_RELEASE);
        sj_store(word, *word & ~done);
    }
    return all;
}
