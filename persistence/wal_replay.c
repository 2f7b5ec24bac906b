// SPDX-License-Identifier: Apache-2.0
/*
 * wal_replay.c: reading the write-ahead log: which batches count, which transactions committed.
 *
 * The log ends at the first batch that does not count. I3 of wal.h makes that safe to believe only
 * when no batch that counts comes later, so the rest of the file is looked through for one, and the
 * beginning of the next epoch. What cannot be told from a log that a crash has cut off: damage in
 * the very last batch.
 *
 * An epoch may have a header and no batch, and the one before it go on behind the position that
 * the header names: a process died before it could tell the others that it had begun the epoch.
 *
 * A transaction that spans several batches is applied when its last record has been seen: its
 * batches are then read once more, so that memory does not follow the size of transactions.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "persistence/checksum.h"
#include "persistence/wal.h"

#define BATCH_BYTES_MAX (sizeof(struct sj_wal_batch) + SJ_WAL_RING)
#define BUFFER_BYTES    ((BATCH_BYTES_MAX + 2 * SJ_PAGE - 1) / SJ_PAGE * SJ_PAGE)
#define NO_BATCH        UINT64_MAX
#define POSITION_MAX    (1ull << 62)
#define SUSPECTS_MAX    1000 /* heads behind the end whose batches are not whole */

struct reader {
    const struct sj_wal_replay *replay;
    char *buffer; /* what was read last: often a batch */
    struct sj_wal_file *file;
    uint64_t file_bytes;
    uint64_t committed_max;    /* the segment file has no more */
    struct sj_wal_place place; /* of the batch that is looked at */
    uint64_t begin_at;         /* batch that the transaction begins in; NO_BATCH: none has begun */
    uint64_t begin_record;     /* and its record there */
};

static int damaged(const struct reader *reader, const char *what)
{
    return sj_error(SJ_ECORRUPT,
                    "'%s': %s.log%u, epoch %llu, offset %llu: %s: acknowledged changes are lost; "
                    "'spacejmp salvage' reads what the segment file has",
                    reader->replay->name, reader->replay->wal->path,
                    (unsigned)(reader->place.epoch & 1), (unsigned long long)reader->place.epoch,
                    (unsigned long long)reader->place.at, what);
}

static int read_failed(const struct reader *reader, int number)
{
    return sj_error(SJ_EIO, "'%s': reading %s.log%u: %s", reader->replay->name,
                    reader->replay->wal->path, (unsigned)(reader->place.epoch & 1),
                    strerror(number));
}

/* Reads `bytes` bytes at `at` into the buffer, from its byte `into` on; what the file lacks reads
 * as zeros. */
static int fill(struct reader *reader, uint64_t into, uint64_t bytes, uint64_t at)
{
    int64_t got = sj_wal_file_read(reader->file, reader->buffer + into, bytes, at);
    if (got < 0)
        return read_failed(reader, (int)-got);
    memset(reader->buffer + into + got, 0, bytes - (uint64_t)got);
    return SJ_OK;
}

static uint64_t whole_sectors(const struct reader *reader, uint64_t bytes)
{
    uint64_t unit = reader->place.sector;
    return (bytes + unit - 1) / unit * unit;
}

/* Brings the batch at `at` into the buffer. `*whole`: it is one of this epoch, and its checksum
 * fits. */
static int read_batch(struct reader *reader, uint64_t at, bool *whole)
{
    const struct sj_wal_batch *batch = (const struct sj_wal_batch *)reader->buffer;
    *whole = false;
    if (at >= reader->file_bytes)
        return SJ_OK;
    uint64_t first = SJ_PAGE;
    int error = fill(reader, 0, first, at);
    if (error != SJ_OK)
        return error;
    if (batch->magic != SJ_WAL_BATCH_MAGIC || batch->epoch != reader->place.epoch ||
        batch->bytes == 0 || batch->bytes > SJ_WAL_RING || batch->bytes % 8 != 0)
        return SJ_OK;
    uint64_t bytes = whole_sectors(reader, sizeof *batch + batch->bytes);
    if (bytes > first)
        error = fill(reader, first, bytes - first, at + first);
    *whole = error == SJ_OK && batch->checksum == sj_wal_batch_checksum(batch, reader->place.salt);
    return error;
}

/* Whether a batch that counts lies behind the end of the log: the end is damage then. */
static int look_behind(struct reader *reader)
{
    uint64_t unit = reader->place.sector, bytes;
    uint32_t suspects = 0;
    for (uint64_t at = reader->place.at; at < reader->file_bytes; at += bytes) {
        bytes = whole_sectors(reader, reader->file_bytes - at);
        bytes = bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES;
        int error = fill(reader, 0, bytes, at);
        if (error != SJ_OK)
            return error;
        for (uint64_t offset = 0; offset < bytes; offset += unit) {
            struct sj_wal_batch head;
            bool whole;
            memcpy(&head, reader->buffer + offset, sizeof head);
            if (head.magic != SJ_WAL_BATCH_MAGIC || head.epoch != reader->place.epoch ||
                head.position <= reader->place.durable)
                continue;
            error = read_batch(reader, at + offset, &whole);
            if (error == SJ_OK && (whole || ++suspects == SUSPECTS_MAX))
                return damaged(reader, "a batch is damaged, and others lie behind it");
            if (error == SJ_OK)
                error = fill(reader, 0, bytes, at);
            if (error != SJ_OK)
                return error;
        }
    }
    return SJ_OK;
}

/* Whether a range is one that transactions change: not superblocks, undo log, or root page's words
 * that records carry in their heads. */
static bool may_change(uint64_t offset, uint64_t bytes, uint64_t committed)
{
    if ((offset | bytes) % 8 != 0 || bytes == 0 || offset < SJ_CHUNK0_PAGES_AT ||
        offset >= committed || bytes > committed - offset)
        return false;
    if (offset + bytes > SJ_ROOT_PAGE_AT &&
        offset < SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, partial))
        return false;
    return offset + bytes <= SJ_LOG_AT || offset >= SJ_CHUNK_DIR_AT;
}

static int apply_ranges(struct reader *reader, const struct sj_wal_record *record)
{
    const char *at = (const char *)(record + 1), *end = (const char *)record + record->bytes;
    for (uint32_t i = 0; i < record->ranges; i++) {
        const struct sj_wal_range *range = (const struct sj_wal_range *)at;
        if ((size_t)(end - at) < sizeof *range ||
            !may_change(range->offset, range->bytes, record->committed) ||
            range->bytes > (uint64_t)(end - at) - sizeof *range)
            return damaged(reader, "a record's range makes no sense");
        int error = reader->replay->apply(reader->replay->context, range->offset, range->data,
                                          range->bytes);
        if (error != SJ_OK)
            return error;
        at += sizeof *range + range->bytes;
    }
    return at == end ? SJ_OK : damaged(reader, "a record has more bytes than ranges");
}

/* The words that change without a log entry. */
static int apply_head(struct reader *reader, const struct sj_wal_record *record)
{
    uint64_t generation = record->generation + 1;
    const struct {
        uint64_t offset;
        const uint64_t *word;
    } words[] = {
        {SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, committed), &record->committed},
        {SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, chunks), &record->chunks},
        {SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, removals), &record->removals},
        {SJ_LOG_AT + offsetof(struct sj_log, generation), &generation},
    };
    int error = SJ_OK;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && error == SJ_OK; i++)
        error = reader->replay->apply(reader->replay->context, words[i].offset, words[i].word, 8);
    return error;
}

/* The record at `offset` of the batch in the buffer, or NULL when it makes no sense. */
static const struct sj_wal_record *record_at(const struct reader *reader, uint64_t offset)
{
    const struct sj_wal_batch *batch = (const struct sj_wal_batch *)reader->buffer;
    const struct sj_wal_record *record =
        (const struct sj_wal_record *)((const char *)(batch + 1) + offset);
    uint64_t left = batch->bytes - offset;
    if (left < sizeof *record || record->bytes > left || record->bytes < sizeof *record ||
        record->bytes % 8 != 0 || record->committed > reader->committed_max ||
        record->committed < SJ_CHUNK_DIR_AT || record->chunks > reader->replay->reserved / SJ_CHUNK)
        return NULL;
    return record;
}

/* Applies the transaction that ends with the record at `last` of the batch at `last_at`, which is
 * in the buffer, and is afterwards. */
static int apply_transaction(struct reader *reader, uint64_t last_at, uint64_t last)
{
    uint64_t at = reader->begin_at, offset = reader->begin_record;
    bool whole = true;
    int error = at == last_at ? SJ_OK : read_batch(reader, at, &whole);
    while (error == SJ_OK) {
        const struct sj_wal_batch *batch = (const struct sj_wal_batch *)reader->buffer;
        const struct sj_wal_record *record = whole ? record_at(reader, offset) : NULL;
        if (record == NULL)
            return damaged(reader, "a record that was whole is not any more");
        error = apply_ranges(reader, record);
        if (error == SJ_OK && at == last_at && offset == last)
            return apply_head(reader, record);
        offset += record->bytes;
        if (error == SJ_OK && offset == batch->bytes) {
            at += whole_sectors(reader, sizeof *batch + batch->bytes);
            offset = 0;
            error = read_batch(reader, at, &whole);
        }
    }
    return error;
}

/* Goes through the records of the batch in the buffer, which counts. */
static int take_batch(struct reader *reader)
{
    const struct sj_wal_batch *batch = (const struct sj_wal_batch *)reader->buffer;
    uint64_t at = reader->place.at, bytes = batch->bytes;
    if (batch->file_bytes > reader->file_bytes)
        return damaged(reader, "the file was longer once, and its end is cut off");
    for (uint64_t offset = 0; offset < bytes;) {
        const struct sj_wal_record *record = record_at(reader, offset);
        if (record == NULL)
            return damaged(reader, "a record makes no sense");
        if ((record->flags & SJ_WAL_BEGIN) != 0) {
            reader->begin_at = at;
            reader->begin_record = offset;
        } else if (reader->begin_at == NO_BATCH) {
            return damaged(reader, "a record continues a transaction that has not begun");
        }
        uint64_t next = offset + record->bytes;
        if ((record->flags & SJ_WAL_COMMIT) != 0) {
            int error = apply_transaction(reader, at, offset);
            if (error != SJ_OK)
                return error;
            reader->begin_at = NO_BATCH;
        }
        offset = next;
    }
    reader->place.durable += bytes;
    reader->place.chain = batch->checksum;
    reader->place.at += whole_sectors(reader, sizeof *batch + bytes);
    return SJ_OK;
}

/* Reads the header of the file of epoch place.epoch. `*there`: it has that epoch. */
static int read_header(struct reader *reader, struct sj_wal_header *found, bool *there)
{
    struct stat status;
    reader->file = &reader->replay->wal->log[reader->place.epoch & 1];
    reader->place.at = 0;
    if (reader->replay->end == 0) {
        int number = sj_wal_file_settle(reader->file);
        if (number != 0)
            return read_failed(reader, number);
    }
    if (fstat(reader->file->fd, &status) != 0)
        return read_failed(reader, errno);
    reader->file_bytes = (uint64_t)status.st_size;
    if (reader->file_bytes < SJ_PAGE)
        return damaged(reader, "the file is cut off");
    int error = fill(reader, 0, SJ_PAGE, 0);
    if (error != SJ_OK)
        return error;
    memcpy(found, reader->buffer, sizeof *found);
    *there = sj_wal_header_is_whole(found, reader->replay->uuid) &&
             found->epoch == reader->place.epoch && found->position < POSITION_MAX &&
             found->sector >= 512 && found->sector <= SJ_PAGE &&
             (found->sector & (found->sector - 1)) == 0;
    if (*there && found->file_bytes > reader->file_bytes)
        return damaged(reader, "the file was longer once, and its end is cut off");
    return SJ_OK;
}

static int read_epoch(struct reader *reader)
{
    reader->place.at = SJ_WAL_BATCHES;
    reader->begin_at = NO_BATCH;
    sj_wal_file_suit(reader->file, reader->place.sector);
    for (;;) {
        const struct sj_wal_batch *batch = (const struct sj_wal_batch *)reader->buffer;
        bool whole;
        int error = read_batch(reader, reader->place.at, &whole);
        if (error != SJ_OK)
            return error;
        if (!whole || batch->position != reader->place.durable ||
            batch->chain != reader->place.chain)
            return look_behind(reader);
        error = take_batch(reader);
        if (error != SJ_OK)
            return error;
    }
}

/* Goes on to the next epoch. `*more`: it is there. */
static int next_epoch(struct reader *reader, bool *more)
{
    const struct sj_wal_place *before = &reader->place;
    struct sj_wal_header header;
    bool there, begun;
    reader->place.epoch++;
    int error = read_header(reader, &header, &there);
    if (error != SJ_OK)
        return error;
    there = there && header.salt == before->salt; /* or it is of an older log */
    *more = there && header.position == before->durable && header.chain == before->chain;
    if (*more) {
        reader->place.sector = header.sector;
        return SJ_OK;
    }
    if (reader->replay->end != 0 || (there && header.position >= before->durable))
        return damaged(reader, "the log before it ends too early");
    sj_wal_file_suit(reader->file, before->sector);
    error = read_batch(reader, SJ_WAL_BATCHES, &begun);
    return error == SJ_OK && begun ? damaged(reader, "the header is damaged") : error;
}

static int replay_epochs(struct reader *reader, struct sj_wal_place *place)
{
    struct sj_wal_header header;
    struct stat status;
    bool more;
    if (fstat(reader->replay->wal->file, &status) != 0)
        return read_failed(reader, errno);
    reader->committed_max = (uint64_t)status.st_size < reader->replay->reserved
                                ? (uint64_t)status.st_size
                                : reader->replay->reserved;
    int error = read_header(reader, &header, &more);
    if (error == SJ_OK && !more)
        error = damaged(reader, "expected a log of that epoch, found none");
    if (error != SJ_OK)
        return error;
    reader->place.durable = header.position;
    reader->place.chain = header.chain;
    reader->place.salt = header.salt;
    reader->place.sector = header.sector;
    while (error == SJ_OK && more) {
        error = read_epoch(reader);
        *place = reader->place;
        if (error == SJ_OK)
            error = next_epoch(reader, &more);
        if (reader->place.epoch == reader->replay->end)
            break;
    }
    return error;
}

int sj_wal_replay(const struct sj_wal_replay *replay, struct sj_wal_place *place)
{
    struct reader reader = {.replay = replay, .place = {.epoch = replay->first}};
    reader.buffer = sj_wal_buffer(BUFFER_BYTES);
    if (reader.buffer == NULL)
        return sj_error(SJ_ENOMEM, "reading the log of '%s'", replay->name);
    int error = replay_epochs(&reader, place);
    sj_wal_buffer_free(reader.buffer, BUFFER_BYTES);
    return error;
}
