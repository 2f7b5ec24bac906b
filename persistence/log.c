// SPDX-License-Identifier: Apache-2.0
/*
 * log.c: the undo log (log_layout.h has the format).
 *
 *   extent 0              extent 1 (4 MiB)          extent 2 (8 MiB) …
 *   [e0][e1][e2]….stale   [e3][e4]….stale           taken from unused chunks when needed
 *
 * I1  Entries of one transaction are written from the start of extent 0; an entry that does not fit
 *     goes to the next extent, so in each extent the valid ones are a prefix.
 * I2  An entry's checksum covers its own address and generation: what lies there from an earlier
 *     transaction, or from another place, is never taken for one of this.
 * I3  Undoing a valid entry is right whether or not its range was ever changed, any number of
 *     times.
 * I4  A generation is one process's. When the machine stops, entries and stamps of a transaction
 *     may be on the media without the first entry, so that nothing is rolled back: none of them may
 *     come to count in another transaction of that generation. So each process takes a new one
 *     before its first change.
 * I5  Extents beyond the first are chunks in state LOG. log->extents is raised before their words
 *     are stored, and lowered after they are cleared, so that none is ever lost. After a crash an
 *     extent may cover chunks that are unused: it is given back before anything is allocated.
 *
 * Crash rule: after any subset of the unfenced stores the valid entries include all that were
 * appended before the last fence, and only ranges of those were changed in place.
 */
#include "persistence/log.h"

#include <stdlib.h>

#include "persistence/checksum.h"
#include "persistence/log_group.h"
#include "persistence/pages.h"
#include "persistence/seam.h"
#include "persistence/sums.h"

#define RANGE_BYTES_MAX 16384ull /* a longer range becomes several entries */
#define EXTENTS_KEPT    2ull     /* not given back after a commit */

static inline size_t entry_bytes(uint64_t range_bytes)
{
    return sizeof(struct sj_log_entry) + range_bytes;
}

/* The checksum of an entry that lies (or is going to lie) at `place`. */
static inline uint64_t entry_checksum(const struct sj_log_entry *place, uint64_t at, uint64_t bytes,
                                      uint64_t generation, const void *old)
{
    uint64_t seed = sj_mix(at ^ SJ_MIX_A, bytes ^ SJ_MIX_B ^ generation << 8);
    return sj_checksum(seed ^ (uint64_t)(uintptr_t)place, old, bytes / 8);
}

/* Whether the heap knows the extent's chunks as the log's (or as unused: I5). With the write hold
 * alone: the words change with the extents. */
static bool extent_is_log(const struct sj_segment *segment, uint64_t number, bool or_unused)
{
    const struct sj_log_extent *extent = &segment->log->extent[number];
    return sj_chunks_are_log(segment, extent->at, extent->bytes, or_unused);
}

static void use_extent(struct sj_tx *tx, const struct sj_log *log, uint32_t number)
{
    tx->extent = number;
    tx->cursor = tx->unflushed = (char *)(uintptr_t)log->extent[number].at;
    tx->limit = tx->cursor + log->extent[number].bytes;
}

void sj_log_start(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    tx->generation = sj_load(&segment->log->generation);
    tx->entries.count = 0;
    use_extent(tx, segment->log, 0);
}

void sj_log_flush(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    if (tx->cursor > tx->unflushed)
        sj_flush(segment->domain, tx->unflushed, (size_t)(tx->cursor - tx->unflushed));
    tx->unflushed = tx->cursor;
}

static void store_extents(struct sj_segment *segment, uint64_t extents)
{
    sj_store(&segment->log->extents, extents);
    sj_flush(segment->domain, &segment->log->extents, sizeof extents);
    sj_fence(segment->domain);
}

/* The cursor goes to the next extent, which is made when there is none. */
static int next_extent(struct sj_segment *segment)
{
    struct sj_log *log = segment->log;
    struct sj_tx *tx = &segment->tx;
    uint32_t next = tx->extent + 1;
    if (next == SJ_LOG_EXTENTS)
        return sj_error(SJ_EFULL, "the transaction's undo log has reached its largest size");
    if (next >= log->extents) {
        uint64_t at, bytes = SJ_CHUNK << (next - 1);
        int error = sj_chunks_find_for_log(segment, bytes / SJ_CHUNK, &at);
        if (error != SJ_OK)
            return error;
        sj_store(&log->extent[next].at, at);
        sj_store(&log->extent[next].bytes, bytes);
        sj_flush(segment->domain, &log->extent[next], sizeof log->extent[next]);
        sj_fence(segment->domain);
        store_extents(segment, next + 1);
        sj_chunks_set_log(segment, at, bytes / SJ_CHUNK);
    } else if (!extent_is_log(segment, next, false)) {
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&log->extent[next],
                                  "an extent of the log");
    }
    sj_log_flush(segment);
    use_extent(tx, log, next);
    if ((uint64_t)(tx->limit - tx->cursor) < entry_bytes(RANGE_BYTES_MAX))
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)log, "the extents of the log");
    return SJ_OK;
}

/* Room for one entry: the log has it afterwards, not yet filled in. */
static inline int new_entry(struct sj_segment *segment, size_t range_bytes,
                            struct sj_log_entry **entry)
{
    struct sj_tx *tx = &segment->tx;
    if (SJ_UNLIKELY((size_t)(tx->limit - tx->cursor) < entry_bytes(range_bytes))) {
        int error = next_extent(segment);
        if (error != SJ_OK)
            return error;
    }
    if (SJ_UNLIKELY(tx->entries.count == tx->entries.capacity)) {
        int error = sj_tx_vector_grow(&tx->entries);
        if (error != SJ_OK)
            return error;
    }
    tx->entries.items[tx->entries.count++] = (uint64_t)(uintptr_t)tx->cursor;
    *entry = (struct sj_log_entry *)tx->cursor;
    tx->cursor += entry_bytes(range_bytes);
    return SJ_OK;
}

static inline void fill_head(struct sj_log_entry *entry, uint64_t at, uint64_t bytes,
                             uint64_t generation, uint64_t checksum)
{
    sj_store(&entry->at, at);
    sj_store(&entry->bytes, bytes);
    sj_store(&entry->generation, generation);
    sj_store(&entry->checksum, checksum);
}

static int append_one(struct sj_segment *segment, const void *at, size_t bytes)
{
    struct sj_log_entry *entry;
    int error = new_entry(segment, bytes, &entry);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_sums_mark(segment, at, bytes);
    uint64_t address = (uint64_t)(uintptr_t)at, generation = segment->tx.generation;
    fill_head(entry, address, bytes, generation,
              entry_checksum(entry, address, bytes, generation, at));
    sj_copy(entry->old, at, bytes);
    return SJ_OK;
}

int sj_log_append_word(struct sj_segment *segment, const uint64_t *at)
{
    struct sj_log_entry *entry;
    int error = new_entry(segment, sizeof *at, &entry);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_sums_mark_word(segment, at);
    uint64_t address = (uint64_t)(uintptr_t)at, generation = segment->tx.generation, old = *at;
    fill_head(entry, address, sizeof old, generation,
              entry_checksum(entry, address, sizeof old, generation, &old));
    sj_store(&entry->old[0], old);
    return SJ_OK;
}

int sj_log_append(struct sj_segment *segment, const void *at, size_t bytes)
{
    SJ_ASSERT((((uintptr_t)at | bytes) & 7) == 0);
    while (SJ_UNLIKELY(bytes > RANGE_BYTES_MAX)) {
        int error = append_one(segment, at, RANGE_BYTES_MAX);
        if (error != SJ_OK)
            return error;
        at = (const char *)at + RANGE_BYTES_MAX;
        bytes -= RANGE_BYTES_MAX;
    }
    return append_one(segment, at, bytes);
}

/* Whether [at, at + bytes) has a byte of the extents beyond the first. */
static bool is_in_extents(const struct sj_log *log, uint64_t at, uint64_t bytes)
{
    for (uint64_t i = 1; i < log->extents; i++)
        if (at + bytes > log->extent[i].at && at < log->extent[i].at + log->extent[i].bytes)
            return true;
    return false;
}

/* Whether a range is one that transactions change: not superblocks, log or what only ever rises. */
static bool may_be_undone(const struct sj_segment *segment, const struct sj_log_entry *entry)
{
    uint64_t offset = entry->at - (uint64_t)(uintptr_t)segment->base;
    if (!sj_segment_holds(segment, entry->at, entry->bytes) || offset < SJ_CHUNK0_PAGES_AT ||
        !sj_segment_holds(segment, (uint64_t)(uintptr_t)entry->old, entry->bytes) ||
        is_in_extents(segment->log, entry->at, entry->bytes))
        return false;
    if (offset + entry->bytes > SJ_ROOT_PAGE_AT &&
        offset < SJ_ROOT_PAGE_AT + offsetof(struct sj_root_page, partial))
        return false;
    return offset + entry->bytes <= SJ_LOG_AT || offset >= SJ_CHUNK_DIR_AT;
}

/* Checked again: on a damaged heap something may have been stored over the log meanwhile. */
static void undo_entry(struct sj_segment *segment, const struct sj_log_entry *entry)
{
    if (!may_be_undone(segment, entry))
        return;
    void *at = (void *)(uintptr_t)sj_load(&entry->at);
    uint64_t bytes = sj_load(&entry->bytes);
    if (SJ_UNLIKELY(sj_segment_is_damaged(segment)))
        return; /* what was read may be zeros */
    sj_sums_mark(segment, at, bytes);
    sj_copy(at, entry->old, bytes);
    sj_flush(segment->domain, at, bytes);
}

void sj_log_note_removal(struct sj_segment *segment)
{
    uint64_t *removals = &segment->root_page->removals;
    sj_store(removals, *removals + 1);
    sj_flush(segment->domain, removals, sizeof *removals);
}

/*
 * Makes the entries from number `entries` on stale, the last one first: what is left of them is a
 * prefix at any time. One alone would not do: the next entry may end just where a stale one begins,
 * and its old bytes are right only together with those of the entries before it.
 */
static void forget_entries(struct sj_segment *segment, uint32_t entries)
{
    struct sj_tx *tx = &segment->tx;
    const struct sj_log *log = segment->log;
    while (tx->entries.count > entries) {
        uint64_t at = tx->entries.items[--tx->entries.count];
        while (tx->extent > 0 && at - log->extent[tx->extent].at >= log->extent[tx->extent].bytes) {
            sj_fence(segment->domain);
            use_extent(tx, log, tx->extent - 1);
        }
        struct sj_log_entry *entry = (struct sj_log_entry *)(uintptr_t)at;
        sj_store(&entry->generation, 0);
        sj_flush(segment->domain, &entry->generation, sizeof entry->generation);
        tx->cursor = tx->unflushed = (char *)entry;
    }
    sj_fence(segment->domain);
}

void sj_log_undo(struct sj_segment *segment, uint32_t entries)
{
    struct sj_tx *tx = &segment->tx;
    if (tx->entries.count == entries || sj_segment_is_damaged(segment))
        return;
    sj_log_note_removal(segment);
    for (uint32_t i = tx->entries.count; i > entries; i--)
        undo_entry(segment, (struct sj_log_entry *)(uintptr_t)tx->entries.items[i - 1]);
    sj_fence(segment->domain);
    forget_entries(segment, entries);
}

void sj_log_flush_ranges(const struct sj_segment *segment)
{
    const struct sj_tx *tx = &segment->tx;
    for (uint32_t i = 0; i < tx->entries.count; i++) {
        const struct sj_log_entry *entry =
            (const struct sj_log_entry *)(uintptr_t)tx->entries.items[i];
        void *at = (void *)(uintptr_t)sj_load(&entry->at);
        uint64_t bytes = sj_load(&entry->bytes);
        if (SJ_UNLIKELY(sj_segment_is_damaged(segment)))
            return;
        sj_flush(segment->domain, at, bytes);
    }
}

/* Gives extents from number `kept` on back to the heap. */
__attribute__((noinline)) static void release_extents(struct sj_segment *segment, uint64_t kept)
{
    const struct sj_log *log = segment->log;
    uint64_t extents = log->extents;
    if (extents <= kept)
        return;
    for (uint64_t i = kept; i < extents; i++) {
        uint64_t at = sj_load(&log->extent[i].at);
        bool is_log = extent_is_log(segment, i, false);
        if (SJ_UNLIKELY(sj_segment_is_damaged(segment)))
            return;
        if (is_log)
            sj_chunks_clear_log(segment, at);
    }
    sj_fence(segment->domain);
    store_extents(segment, kept);
}

static void store_generation(struct sj_segment *segment, uint64_t generation)
{
    sj_store(&segment->log->generation, generation);
    sj_flush(segment->domain, &segment->log->generation, sizeof generation);
    sj_fence(segment->domain);
}

void sj_log_commit(struct sj_segment *segment)
{
    sj_fence(segment->domain);
    store_generation(segment, segment->tx.generation + 1);
    if (SJ_UNLIKELY(segment->log->extents > EXTENTS_KEPT))
        release_extents(segment, EXTENTS_KEPT);
}

void sj_log_retire(struct sj_segment *segment)
{
    sj_log_withdraw(segment);
    store_generation(segment, sj_load(&segment->log->generation) + 1);
    release_extents(segment, 1);
}

/* The entry at `cursor` when it counts, else NULL. `limit`: the end of its extent. */
static const struct sj_log_entry *valid_entry(const struct sj_segment *segment, uint64_t cursor,
                                              uint64_t limit)
{
    if (limit - cursor < sizeof(struct sj_log_entry))
        return NULL;
    const struct sj_log_entry *entry = (const struct sj_log_entry *)(uintptr_t)cursor;
    uint64_t bytes = entry->bytes;
    if (entry->generation != segment->log->generation || bytes == 0 || bytes > RANGE_BYTES_MAX ||
        (bytes & 7) != 0 || (entry->at & 7) != 0 ||
        bytes > limit - cursor - sizeof(struct sj_log_entry))
        return NULL;
    if (entry->checksum != entry_checksum(entry, entry->at, bytes, entry->generation, entry->old))
        return NULL;
    return entry;
}

bool sj_log_is_valid(const struct sj_segment *segment)
{
    const struct sj_log *log = segment->log;
    uint64_t base = (uint64_t)(uintptr_t)segment->base;
    if (log->extents == 0 || log->extents > SJ_LOG_EXTENTS || log->generation == 0 ||
        log->extent[0].at != base + SJ_LOG_EXTENT0_AT ||
        log->extent[0].bytes != SJ_LOG_EXTENT0_BYTES)
        return false;
    for (uint64_t i = 1; i < log->extents; i++) {
        const struct sj_log_extent *extent = &log->extent[i];
        if (extent->bytes != SJ_CHUNK << (i - 1) || (extent->at - base) % SJ_CHUNK != 0 ||
            !sj_segment_holds(segment, extent->at, extent->bytes))
            return false;
    }
    return true;
}

bool sj_log_pending(const struct sj_segment *segment)
{
    const struct sj_log_extent *extent = &segment->log->extent[0];
    return valid_entry(segment, extent->at, extent->at + extent->bytes) != NULL;
}

/* Collects the valid entries; every address in them is checked before any is used. */
static int collect_entries(struct sj_segment *segment)
{
    const struct sj_log *log = segment->log;
    struct sj_tx *tx = &segment->tx;
    tx->entries.count = 0;
    for (uint64_t i = 0; i < log->extents; i++) {
        uint64_t cursor = log->extent[i].at, limit = cursor + log->extent[i].bytes;
        const struct sj_log_entry *entry;
        while ((entry = valid_entry(segment, cursor, limit)) != NULL) {
            if (!may_be_undone(segment, entry))
                return sj_segment_damaged(segment, cursor, "an undo entry for heap or roots");
            int error = sj_tx_vector_push(&tx->entries, cursor);
            if (error != SJ_OK)
                return error;
            cursor += entry_bytes(entry->bytes);
        }
    }
    return SJ_OK;
}

int sj_log_recover(struct sj_segment *segment)
{
    if (!sj_log_is_valid(segment))
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)segment->log, "a log header");
    for (uint64_t i = 1; i < segment->log->extents; i++)
        if (!extent_is_log(segment, i, true))
            return sj_segment_damaged(segment, segment->log->extent[i].at, "an extent of the log");
    bool committed;
    int error = sj_log_outcome(segment, &committed);
    if (error == SJ_OK)
        error = collect_entries(segment);
    if (error != SJ_OK)
        return error;
    struct sj_tx *tx = &segment->tx;
    sj_log_note_removal(segment);
    for (uint32_t i = committed ? 0 : tx->entries.count; i > 0; i--)
        undo_entry(segment, (struct sj_log_entry *)(uintptr_t)tx->entries.items[i - 1]);
    /* The process may be one whose own thread died in the transaction. */
    sj_tx_forget(segment);
    tx->generation = sj_load(&segment->log->generation);
    sj_log_withdraw(segment);
    sj_log_commit(segment);
    release_extents(segment, 1);
    return SJ_OK;
}
