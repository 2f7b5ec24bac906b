// SPDX-License-Identifier: Apache-2.0
/*
 * wal_ring.c: commits: records into the ring, and from there, many at once, to the disk.
 *
 *   durable ≤ tail ≤ durable + ring        positions: bytes of records since the store was made
 *
 *   commit      ranges → record behind tail │ pending_end, pending_generation
 *   (tx.c)      generation stored: committed
 *   committed   tail = pending_end          │ pending_generation = 0
 *   wait        who gets flush_mutex writes [durable, tail) as one batch, the others sleep
 *
 * A writer that dies between the generation and the tail leaves pending_generation, and whoever
 * recovers stores the tail for it. A flusher that dies leaves `which` as it was: the next one
 * writes the same records to the same place again, which nobody has been told are durable.
 *
 * A log file makes way for the other one at sj_wal_log_limit, if the segment file contains what is
 * in that one. If not, it grows on, to half of sj_wal_log_bound without delay; then those who have
 * committed write the checkpoint themselves, and at the bound no transaction begins a record before
 * there is one. Only a transaction that is larger by itself takes it further.
 *
 * Room for all that is in the ring is made in the log file before a record goes into the ring:
 * place.at + records in the ring + heads and padding ≤ log_bytes.
 *
 * A transaction that is larger than a record may be goes into the ring as several, all but the last
 * published before the commit: the log knows by their flags that they count only together.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "persistence/log.h"
#include "persistence/wal.h"

#define BATCH_SLACK (3 * (sizeof(struct sj_wal_batch) + SJ_PAGE)) /* heads and padding */

#define GATHER_NS_MAX 1000000ull

uint64_t sj_wal_record_limit = SJ_WAL_RING / 4;
uint64_t sj_wal_ring_limit = SJ_WAL_RING;
uint64_t sj_wal_log_bound = 256ull << 20;

/* ------------------------------------------------------------------ flushing */

/* Whether the transaction whose first records end the log is never going to be continued. */
static bool is_abandoned(const struct sj_wal_shared *shared, const struct sj_wal_place *place)
{
    return __atomic_load_n(&shared->streaming, __ATOMIC_ACQUIRE) == 0 &&
           __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE) == place->durable;
}

/* `*open`: whether the last of these records is not the last one of its transaction. False when
 * they are not records: something else has been stored over the ring. */
static bool look_through(const char *records, uint64_t bytes, uint64_t *open)
{
    for (uint64_t at = 0; at < bytes;) {
        const struct sj_wal_record *record = (const struct sj_wal_record *)(records + at);
        if (record->bytes < sizeof *record || record->bytes > bytes - at)
            return false;
        *open = (record->flags & SJ_WAL_COMMIT) == 0;
        at += record->bytes;
    }
    return true;
}

/* Makes the log file at least `bytes` long. SJ_EFULL; SJ_EIO: the store has failed. */
static int extend(struct sj_segment *segment, uint64_t epoch, uint64_t bytes)
{
    struct sj_wal *wal = segment->wal;
    uint64_t *size = &wal->shared->log_bytes[epoch & 1];
    if (*size >= bytes)
        return SJ_OK;
    uint64_t end =
        *size + (bytes - *size + sj_wal_log_step - 1) / sj_wal_log_step * sj_wal_log_step;
    int number = sj_wal_file_extend(&wal->log[epoch & 1], *size, end);
    if (sj_wal_is_full(number))
        return sj_error(SJ_EFULL, "'%s': %s.log%u needs %llu KiB more: %s", segment->name,
                        wal->path, (unsigned)(epoch & 1), (unsigned long long)((end - *size) >> 10),
                        strerror(number));
    if (number != 0)
        return sj_wal_fail(segment, number);
    *size = end;
    return SJ_OK;
}

/* The other file takes over, if the segment file contains what is in it and no transaction is half
 * in this one. SJ_EFULL, SJ_EIO. */
static int turn(struct sj_segment *segment, bool *turned)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_shared *shared = wal->shared;
    struct sj_wal_place place = *sj_wal_place_now(wal);
    *turned = false;
    if (__atomic_load_n(&shared->log_epoch, __ATOMIC_ACQUIRE) < place.epoch ||
        (place.open != 0 && !is_abandoned(shared, &place)))
        return SJ_OK;
    place.epoch++;
    place.at = SJ_WAL_BATCHES;
    place.open = 0;
    place.sector = wal->log[place.epoch & 1].unit;
    int error = extend(segment, place.epoch, sj_wal_log_step);
    if (error != SJ_OK)
        return error;
    int number = sj_wal_file_begin(&wal->log[place.epoch & 1], segment->uuid,
                                   shared->log_bytes[place.epoch & 1], &place, wal->buffer);
    if (number != 0)
        return sj_wal_fail(segment, number);
    sj_wal_set_place(wal, &place);
    *turned = true;
    return SJ_OK;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/*
 * Those whose commits have just been written commit again before long, and those who came meanwhile
 * wait: so many are expected for the next flush, which waits for them a little. Without that, who
 * comes first would write for itself, and the others wait for the next one: two commits a flush.
 */
static void note_flush(struct sj_wal_shared *shared, uint64_t commits, uint64_t sync_ns)
{
    shared->expected = __atomic_load_n(&shared->commits, __ATOMIC_ACQUIRE) - shared->flushed;
    shared->flushed = commits;
    shared->sync_ns += (uint64_t)((int64_t)(sync_ns - shared->sync_ns) / 8);
}

/* With flush_mutex: until they have come, for half of the time of a sync at most. One writer alone
 * never waits here. */
static void gather(const struct sj_wal_shared *shared)
{
    uint64_t most_ns = shared->sync_ns / 2 < GATHER_NS_MAX ? shared->sync_ns / 2 : GATHER_NS_MAX;
    int64_t end = 0;
    while (__atomic_load_n(&shared->commits, __ATOMIC_ACQUIRE) - shared->flushed <
           shared->expected) {
        int64_t now = now_ns();
        end = end == 0 ? now + (int64_t)most_ns : end;
        if (now >= end)
            return;
        sched_yield();
    }
}

/* Writes all records of the ring that are not on disk, as one batch. SJ_EIO. */
static int write_batch(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_place place = *sj_wal_place_now(wal);
    uint64_t commits = __atomic_load_n(&wal->shared->commits, __ATOMIC_ACQUIRE);
    uint64_t bytes = __atomic_load_n(&wal->shared->tail, __ATOMIC_ACQUIRE) - place.durable;
    int error = sj_wal_usable(segment);
    if (error != SJ_OK || bytes == 0)
        return error;
    struct sj_wal_file *file = &wal->log[place.epoch & 1];
    struct sj_wal_batch *batch = (struct sj_wal_batch *)wal->buffer;
    *batch = (struct sj_wal_batch){.magic = SJ_WAL_BATCH_MAGIC,
                                   .epoch = place.epoch,
                                   .position = place.durable,
                                   .bytes = bytes,
                                   .chain = place.chain,
                                   .file_bytes = wal->shared->log_bytes[place.epoch & 1]};
    memcpy(batch + 1, wal->ring + place.durable % SJ_WAL_RING, bytes);
    if (!look_through((const char *)(batch + 1), bytes, &place.open))
        return sj_wal_fail(segment, EUCLEAN);
    error = sj_wal_usable(segment); /* is what was copied what the others see? */
    if (error != SJ_OK)
        return error;
    batch->checksum = sj_wal_batch_checksum(batch, place.salt);
    uint64_t all = sizeof *batch + bytes,
             whole = (all + place.sector - 1) / place.sector * place.sector;
    memset(wal->buffer + all, 0, whole - all);
    sj_wal_file_suit(file, place.sector);
    int64_t begun = now_ns();
    int number = sj_wal_file_write(file, wal->buffer, whole, place.at);
    if (number != 0)
        return sj_wal_fail(segment, number);
    note_flush(wal->shared, commits, (uint64_t)(now_ns() - begun));
    place.durable += bytes;
    place.at += whole;
    place.chain = batch->checksum;
    sj_wal_set_place(wal, &place);
    return SJ_OK;
}

/* With flush_mutex: all there is, and the other file when this one is large. */
static int flush(struct sj_segment *segment)
{
    int error = write_batch(segment);
    if (error != SJ_OK || sj_wal_place_now(segment->wal)->at < sj_wal_log_limit)
        return error;
    bool turned;
    (void)turn(segment, &turned); /* if not, this file grows; if the disk failed, all will see */
    sj_wal_want_checkpoint(segment);
    return SJ_OK;
}

/* Waits until all records before `position` are on disk, writing them if nobody else does;
 * `together`: with those of others, if they come soon. */
static int wait_for(struct sj_segment *segment, uint64_t position, bool together)
{
    struct sj_wal *wal = segment->wal;
    for (;;) {
        uint32_t wake = sj_wal_wake_word(wal);
        if (sj_wal_place_now(wal)->durable >= position)
            return SJ_OK;
        int error = sj_wal_usable(segment);
        if (error != SJ_OK)
            return error;
        if (!sj_wal_try_lock(&wal->shared->flush_mutex)) {
            sj_wal_sleep(wal, wake);
            continue;
        }
        if (sj_wal_place_now(wal)->durable < position) {
            if (together)
                gather(wal->shared);
            error = flush(segment);
        }
        sj_wal_unlock(wal, &wal->shared->flush_mutex);
        if (error != SJ_OK)
            return error;
    }
}

int sj_wal_flush(struct sj_segment *segment)
{
    int error = sj_wal_lock(segment, &segment->wal->shared->flush_mutex);
    if (error != SJ_OK)
        return error;
    error = write_batch(segment);
    sj_wal_unlock(segment->wal, &segment->wal->shared->flush_mutex);
    return error;
}

/* Flushes and begins a new epoch, so that a checkpoint covers all. */
static int flush_and_turn(struct sj_segment *segment, bool *turned)
{
    *turned = true;
    int error = sj_wal_lock(segment, &segment->wal->shared->flush_mutex);
    if (error != SJ_OK)
        return error;
    error = write_batch(segment);
    if (error == SJ_OK && sj_wal_place_now(segment->wal)->at > SJ_WAL_BATCHES)
        error = turn(segment, turned);
    sj_wal_unlock(segment->wal, &segment->wal->shared->flush_mutex);
    return error;
}

/* ------------------------------------------------------------------ room */

/* The log file is larger than it need be, and the other one not free: waits for the checkpoint, or
 * writes it, and turns. SJ_EFULL, SJ_ENOMEM, SJ_EIO. */
static int make_way(struct sj_segment *segment)
{
    bool turned;
    int error = sj_wal_checkpoint(segment);
    return error == SJ_OK ? flush_and_turn(segment, &turned) : error;
}

/* With flush_mutex: the file in use gets room for `bytes` more than is in the ring, or the other
 * one takes over. */
static int enlarge(struct sj_segment *segment, uint64_t bytes)
{
    struct sj_wal *wal = segment->wal;
    bool turned = true;
    for (;;) {
        const struct sj_wal_place *place = sj_wal_place_now(wal);
        uint64_t pending = wal->shared->tail - place->durable;
        int error = extend(segment, place->epoch, place->at + pending + bytes + BATCH_SLACK);
        if (error != SJ_EFULL || !turned)
            return error;
        error = turn(segment, &turned);
        if (error == SJ_OK && !turned) { /* what an aborted transaction has left in the ring? */
            error = write_batch(segment);
            if (error == SJ_OK)
                error = turn(segment, &turned);
        }
        if (error != SJ_OK)
            return error;
    }
}

/* Room for a record of `bytes` bytes, in the ring and in the log (I6); with the write hold. */
static int make_room(struct sj_segment *segment, uint64_t bytes)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_shared *shared = wal->shared;
    struct sj_wal_place place = sj_wal_copy_place(wal);
    int error = SJ_OK;
    if (SJ_UNLIKELY(place.at >= sj_wal_log_bound && shared->streaming == 0)) {
        error = make_way(segment);
        if (error != SJ_OK)
            return error;
        place = sj_wal_copy_place(wal);
    }
    if (SJ_UNLIKELY(shared->tail - place.durable + bytes > sj_wal_ring_limit)) {
        error = wait_for(segment, shared->tail, false);
        place = sj_wal_copy_place(wal);
    }
    uint64_t need = place.at + (shared->tail - place.durable) + bytes + BATCH_SLACK;
    if (error != SJ_OK || SJ_LIKELY(need <= shared->log_bytes[place.epoch & 1]))
        return error;
    error = sj_wal_lock(segment, &shared->flush_mutex);
    if (error != SJ_OK)
        return error;
    error = enlarge(segment, bytes);
    sj_wal_unlock(wal, &wal->shared->flush_mutex);
    if (error != SJ_EFULL)
        return error;
    error = sj_wal_checkpoint(segment); /* frees the other file */
    if (error == SJ_OK)
        error = sj_wal_lock(segment, &shared->flush_mutex);
    if (error != SJ_OK)
        return error;
    error = enlarge(segment, bytes);
    sj_wal_unlock(wal, &wal->shared->flush_mutex);
    return error;
}

/* ------------------------------------------------------------------ records */

struct writing {
    struct sj_segment *segment;
    struct sj_wal_record *record; /* behind the tail */
    char *at;                     /* where its next range goes */
    uint64_t left;                /* bytes of ranges, with their heads, that are still to come */
    uint32_t flags;               /* of the next record */
};

static int begin_record(struct writing *writing)
{
    struct sj_wal *wal = writing->segment->wal;
    uint64_t bytes = sizeof(struct sj_wal_record) + writing->left;
    int error =
        make_room(writing->segment, bytes < sj_wal_record_limit ? bytes : sj_wal_record_limit);
    if (error != SJ_OK)
        return error;
    writing->record = (struct sj_wal_record *)(wal->ring + wal->shared->tail % SJ_WAL_RING);
    *writing->record = (struct sj_wal_record){.flags = writing->flags};
    writing->at = (char *)(writing->record + 1);
    writing->flags = 0;
    return SJ_OK;
}

static void end_record(struct writing *writing)
{
    const struct sj_segment *segment = writing->segment;
    struct sj_wal_record *record = writing->record;
    record->bytes = (uint64_t)(writing->at - (char *)record);
    record->generation = segment->tx.generation;
    record->committed = segment->root_page->committed;
    record->chunks = segment->root_page->chunks;
    record->removals = segment->root_page->removals;
}

/* The record is full: it goes to the log before the transaction commits. */
static int next_record(struct writing *writing)
{
    struct sj_wal_shared *shared = writing->segment->wal->shared;
    end_record(writing);
    __atomic_store_n(&shared->streaming, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&shared->tail, shared->tail + writing->record->bytes, __ATOMIC_RELEASE);
    return begin_record(writing);
}

/* The bytes that the range has now. */
static int write_range(struct writing *writing, uint64_t address, uint64_t bytes)
{
    uint64_t offset = address - (uint64_t)(uintptr_t)writing->segment->base;
    while (bytes > 0) {
        const char *end = (const char *)writing->record + sj_wal_record_limit;
        uint64_t room = (uint64_t)(end - writing->at);
        if (SJ_UNLIKELY(room < sizeof(struct sj_wal_range) + 8)) {
            int error = next_record(writing);
            if (error != SJ_OK)
                return error;
            continue;
        }
        uint64_t part = room - sizeof(struct sj_wal_range);
        part = part < bytes ? part : bytes;
        struct sj_wal_range *range = (struct sj_wal_range *)writing->at;
        *range = (struct sj_wal_range){offset, part};
        memcpy(range->data, writing->segment->base + offset, part);
        writing->record->ranges++;
        writing->at += sizeof *range + part;
        offset += part;
        bytes -= part;
        writing->left -= part + (bytes == 0 ? sizeof *range : 0); /* the rest has a head too */
    }
    return SJ_OK;
}

static int commit(struct sj_segment *segment)
{
    const struct sj_tx *tx = &segment->tx;
    struct sj_wal_shared *shared = segment->wal->shared;
    struct writing writing = {.segment = segment, .flags = SJ_WAL_BEGIN};
    for (uint32_t i = 0; i < tx->entries.count; i++)
        writing.left += sizeof(struct sj_wal_range) +
                        ((const struct sj_log_entry *)(uintptr_t)tx->entries.items[i])->bytes;
    for (uint32_t i = 0; i < tx->fresh.count; i += 2)
        writing.left += sizeof(struct sj_wal_range) + tx->fresh.items[i + 1];
    if (writing.left == 0)
        return SJ_OK;
    int error = begin_record(&writing);
    for (uint32_t i = 0; i < tx->entries.count && error == SJ_OK; i++) {
        const struct sj_log_entry *entry =
            (const struct sj_log_entry *)(uintptr_t)tx->entries.items[i];
        error = write_range(&writing, entry->at, entry->bytes);
    }
    for (uint32_t i = 0; i < tx->fresh.count && error == SJ_OK; i += 2)
        error = write_range(&writing, tx->fresh.items[i], tx->fresh.items[i + 1]);
    if (error == SJ_OK)
        error = sj_wal_usable(segment); /* is what was copied what the others see? */
    if (error != SJ_OK) {
        __atomic_store_n(&shared->streaming, 0, __ATOMIC_RELEASE);
        return error;
    }
    end_record(&writing);
    writing.record->flags |= SJ_WAL_COMMIT;
    shared->pending_end = shared->tail + writing.record->bytes;
    __atomic_store_n(&shared->pending_generation, tx->generation, __ATOMIC_RELEASE);
    return SJ_OK;
}

static void publish(struct sj_wal_shared *shared)
{
    __atomic_store_n(&shared->tail, shared->pending_end, __ATOMIC_RELEASE);
    __atomic_store_n(&shared->commits, shared->commits + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&shared->streaming, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&shared->pending_generation, 0, __ATOMIC_RELEASE);
}

static void committed(struct sj_segment *segment)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    if (shared->pending_generation == 0)
        return; /* nothing was changed */
    publish(shared);
    segment->wal->unacknowledged = shared->tail;
}

bool sj_wal_pending(const struct sj_segment *segment)
{
    return segment->wal != NULL && segment->wal->shared->pending_generation != 0;
}

/* Before the undo log of a dead writer is looked at: had it committed? */
static void recovering(struct sj_segment *segment)
{
    struct sj_wal_shared *shared = segment->wal->shared;
    if (shared->pending_generation != 0 &&
        shared->pending_generation < sj_load(&segment->log->generation))
        publish(shared);
    shared->streaming = 0;
    shared->pending_generation = 0;
}

uint64_t sj_wal_take_unacknowledged(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    uint64_t position = wal->unacknowledged;
    wal->unacknowledged = 0;
    if (position != 0)
        __atomic_add_fetch(&wal->waiting, 1, __ATOMIC_SEQ_CST);
    return position;
}

int sj_wal_acknowledge(struct sj_segment *segment, uint64_t position)
{
    int error = wait_for(segment, position, true);
    const struct sj_wal_place *place = sj_wal_place_now(segment->wal);
    /* Checkpoints do not keep up: whoever commits waits for one, without any lock of the store. If
     * it fails, the next commit says so. */
    if (error == SJ_OK && SJ_UNLIKELY(place->at >= sj_wal_log_bound / 2))
        (void)make_way(segment);
    __atomic_sub_fetch(&segment->wal->waiting, 1, __ATOMIC_SEQ_CST);
    return error;
}

bool sj_wal_is_awaited(const struct sj_segment *segment)
{
    return segment->wal != NULL && __atomic_load_n(&segment->wal->waiting, __ATOMIC_SEQ_CST) != 0;
}

/* All is in the log, and in the segment file. */
static int sync_all(struct sj_segment *segment)
{
    bool turned = false;
    int error = SJ_OK;
    if (!segment->rw_possible)
        return SJ_OK; /* those who can write have done so */
    /* The first checkpoint may only be of the epoch before. */
    for (int round = 0; round < 2 && error == SJ_OK && !turned; round++) {
        error = flush_and_turn(segment, &turned);
        if (error == SJ_OK)
            error = sj_wal_checkpoint(segment);
    }
    return error;
}

const struct sj_domain sj_wal_domain = {
    .name = "wal",
    .durability = SJ_DURABILITY_POWER,
    .outlives_reboot = true,
    .collects = true,
    .usable = sj_wal_usable,
    .commit = commit,
    .committed = committed,
    .recovering = recovering,
    .sync = sync_all,
};
