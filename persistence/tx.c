// SPDX-License-Identifier: Apache-2.0
/*
 * tx.c: transactions over the undo log (tx.h has the contract and the invariants).
 *
 * Crash rule: after any subset of the unfenced stores recovery yields the state before the
 * outermost begin (or before the operation, outside one) until log->generation is stored, and the
 * state after it from then on.
 */
#include "persistence/tx.h"

#include <stdlib.h>

#include "persistence/heap.h"
#include "persistence/log.h"
#include "persistence/log_group.h"
#include "persistence/loss.h"
#include "persistence/seam.h"
#include "persistence/sums.h"

#define SAVEPOINT_BITS 20

int sj_tx_vector_grow(struct sj_tx_vector *vector)
{
    uint32_t capacity = vector->capacity < 128 ? 256 : vector->capacity * 2;
    uint64_t *items = capacity > vector->capacity
                          ? realloc(vector->items, (size_t)capacity * sizeof *items)
                          : NULL;
    if (items == NULL)
        return sj_error(SJ_ENOMEM, "a transaction of %u changes", vector->count);
    vector->items = items;
    vector->capacity = capacity;
    return SJ_OK;
}

/* The stamp of nodes logged from now on; 0 when savepoints have used the stamps up. */
static uint64_t new_epoch(struct sj_tx *tx)
{
    uint64_t savepoint = tx->savepoints++;
    if (savepoint >> SAVEPOINT_BITS != 0)
        return 0;
    return tx->generation << SAVEPOINT_BITS | savepoint;
}

static int start(struct sj_segment *segment)
{
    if (SJ_UNLIKELY(!segment->writable))
        return sj_segment_is_damaged(segment)
                   ? sj_segment_lost(segment)
                   : sj_error(SJ_EREADONLY, "'%s' was opened with flag 'r'", segment->name);
    if (SJ_UNLIKELY(!segment->dirty)) {
        int error = sj_segment_mark_dirty(segment);
        if (error != SJ_OK)
            return error;
    }
    if (SJ_UNLIKELY(segment->domain->usable != NULL)) {
        int error = segment->domain->usable(segment);
        if (error != SJ_OK)
            return error;
    }
    sj_log_start(segment);
    segment->tx.frees.count = segment->tx.fresh.count = 0;
    if (SJ_UNLIKELY(segment->hints.generation != segment->tx.generation))
        sj_segment_forget_hints(segment); /* another process has written */
    return SJ_OK;
}

int sj_tx_begin(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(!tx->in_op);
    if (tx->depth == 0) {
        int error = start(segment);
        if (error != SJ_OK)
            return error;
        tx->savepoints = 0;
        tx->marks.count = 0;
        tx->epoch = new_epoch(tx);
        tx->depth = 1;
        return SJ_OK;
    }
    uint32_t marks = tx->marks.count;
    int error = sj_tx_vector_push(&tx->marks, tx->entries.count);
    if (error == SJ_OK)
        error = sj_tx_vector_push(&tx->marks, tx->frees.count);
    if (error == SJ_OK)
        error = sj_tx_vector_push(&tx->marks, tx->epoch);
    if (error != SJ_OK) {
        tx->marks.count = marks;
        return error;
    }
    tx->epoch = new_epoch(tx);
    tx->depth++;
    return SJ_OK;
}

/* Undoes everything and empties the log; the log of a damaged segment stays for the next one. */
static void roll_back_all(struct sj_segment *segment)
{
    if (SJ_LIKELY(!sj_segment_is_damaged(segment))) {
        sj_log_undo(segment, 0);
        sj_log_withdraw(segment);
        sj_log_commit(segment);
    }
    sj_tx_forget(segment);
}

/* Flushes what was stored to without a log. */
static void flush_fresh(const struct sj_segment *segment)
{
    const struct sj_tx_vector *fresh = &segment->tx.fresh;
    for (uint32_t i = 0; i < fresh->count; i += 2)
        sj_flush(segment->domain, (void *)(uintptr_t)fresh->items[i], fresh->items[i + 1]);
}

/* Carries the deferred frees out; then all that the commit makes so is stored and flushed. */
static inline int finish(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    const struct sj_domain *domain = segment->domain;
    int error = SJ_OK;
    for (uint32_t i = 0; i < tx->frees.count && SJ_LIKELY(error == SJ_OK); i++)
        error = sj_heap_free_now(segment, tx->frees.items[i]);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (SJ_UNLIKELY(tx->frees.count > 0 || tx->pending > 0))
        sj_tx_ready(segment);
    for (uint32_t i = 0; i < tx->frees.count; i++)
        sj_heap_free_end(segment, tx->frees.items[i]);
    if (SJ_UNLIKELY(domain->commit != NULL))
        error = domain->commit(segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (SJ_UNLIKELY(domain->flush != NULL)) {
        sj_log_flush_ranges(segment);
        flush_fresh(segment);
    }
    return SJ_OK;
}

/* The store that commits. */
static inline int conclude(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    const struct sj_domain *domain = segment->domain;
    if (SJ_UNLIKELY(segment->heap == SJ_TOUCH_WATCHED))
        sj_touch_changes(segment);
    sj_log_commit(segment);
    bool damaged = sj_segment_is_damaged(segment);
    if (SJ_UNLIKELY(domain->committed != NULL && !damaged))
        domain->committed(segment);
    segment->hints.generation = tx->generation + 1;
    tx->depth = 0;
    tx->epoch = 0;
    tx->in_op = false;
    return SJ_UNLIKELY(damaged) ? sj_segment_lost(segment) : SJ_OK;
}

int sj_tx_finish(struct sj_segment *segment)
{
    return finish(segment);
}

int sj_tx_conclude(struct sj_segment *segment)
{
    return conclude(segment);
}

/* Commits; on failure all is rolled back. */
static int commit_all(struct sj_segment *segment)
{
    int error = finish(segment);
    if (SJ_UNLIKELY(error != SJ_OK)) {
        roll_back_all(segment);
        return error;
    }
    return conclude(segment);
}

int sj_tx_commit(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(tx->depth > 0 && !tx->in_op && (tx->depth > 1 || tx->group == NULL));
    if (sj_segment_is_damaged(segment)) {
        sj_tx_abort(segment);
        return sj_segment_lost(segment);
    }
    if (tx->depth == 1)
        return commit_all(segment);
    tx->marks.count -= 3;
    tx->epoch = tx->marks.items[tx->marks.count + 2];
    tx->depth--;
    return SJ_OK;
}

void sj_tx_abort(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(tx->depth > 0 && !tx->in_op);
    if (tx->depth == 1) {
        roll_back_all(segment);
        return;
    }
    tx->marks.count -= 3;
    const uint64_t *mark = &tx->marks.items[tx->marks.count];
    sj_log_undo(segment, (uint32_t)mark[0]);
    sj_segment_forget_hints(segment);
    tx->frees.count = (uint32_t)mark[1];
    tx->epoch = mark[2];
    tx->depth--;
}

void sj_tx_forget(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    tx->entries.count = tx->frees.count = tx->fresh.count = tx->marks.count = 0;
    tx->pending = tx->late = tx->depth = 0;
    tx->epoch = 0;
    tx->in_op = false;
    tx->group = NULL;
    sj_segment_forget_hints(segment);
}

uint32_t sj_tx_depth(const struct sj_segment *segment)
{
    return segment->tx.depth;
}

int sj_tx_op_begin(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(!tx->in_op);
    if (tx->depth == 0) {
        int error = start(segment);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    tx->op_entries = tx->entries.count;
    tx->op_frees = tx->frees.count;
    tx->in_op = true;
    return SJ_OK;
}

int sj_tx_op_commit(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(tx->in_op && tx->pending == 0 && tx->late == 0);
    if (tx->depth == 0)
        return commit_all(segment);
    tx->in_op = false;
    return SJ_OK;
}

int sj_tx_op_abort(struct sj_segment *segment, int error)
{
    struct sj_tx *tx = &segment->tx;
    SJ_ASSERT(tx->in_op && error != SJ_OK);
    if (tx->depth == 0) {
        roll_back_all(segment);
        return error;
    }
    tx->pending = tx->late = 0;
    sj_log_undo(segment, tx->op_entries);
    sj_segment_forget_hints(segment);
    tx->frees.count = tx->op_frees;
    tx->in_op = false;
    return error;
}

static void pend(struct sj_segment *segment, uint64_t *at, uint64_t value)
{
    struct sj_tx *tx = &segment->tx;
    if (SJ_UNLIKELY(tx->pending == SJ_TX_PENDING))
        sj_tx_settle(segment);
    tx->pending_store[tx->pending++] = (struct sj_tx_store){at, value};
}

int sj_tx_word(struct sj_segment *segment, uint64_t *at, uint64_t value)
{
    SJ_ASSERT(segment->tx.in_op || segment->tx.depth > 0);
    int error = sj_log_append_word(segment, at);
    if (SJ_LIKELY(error == SJ_OK))
        pend(segment, at, value);
    return error;
}

static inline bool is_stamped(const struct sj_tx *tx, const struct sj_node *node)
{
    return tx->epoch != 0 && node->stamp == tx->epoch;
}

/* Logs a node whole, and stamps it when the transaction stamps nodes. */
static int log_node(struct sj_segment *segment, struct sj_node *node, size_t node_bytes)
{
    struct sj_tx *tx = &segment->tx;
    int error = sj_log_append(segment, node, node_bytes);
    /* A stamp whose log entry is lost means nothing: its generation ends with the crash. */
    if (error == SJ_OK && tx->epoch != 0)
        sj_store(&node->stamp, tx->epoch);
    return error;
}

int sj_tx_node_word(struct sj_segment *segment, struct sj_node *node, size_t node_bytes,
                    uint64_t *at, uint64_t value)
{
    struct sj_tx *tx = &segment->tx;
    if (tx->depth > 0 && is_stamped(tx, node) && tx->late < SJ_TX_PENDING) {
        tx->late_store[tx->late++] = (struct sj_tx_store){at, value};
        return SJ_OK;
    }
    int error = tx->depth == 0 || is_stamped(tx, node) ? sj_log_append_word(segment, at)
                                                       : log_node(segment, node, node_bytes);
    if (SJ_LIKELY(error == SJ_OK))
        pend(segment, at, value);
    return error;
}

int sj_tx_range(struct sj_segment *segment, void *at, size_t bytes)
{
    return bytes == 0 ? SJ_OK : sj_log_append(segment, at, bytes);
}

int sj_tx_node_range(struct sj_segment *segment, struct sj_node *node, size_t node_bytes, void *at,
                     size_t bytes)
{
    if (segment->tx.depth == 0)
        return sj_tx_range(segment, at, bytes);
    return is_stamped(&segment->tx, node) ? SJ_OK : log_node(segment, node, node_bytes);
}

uint64_t sj_tx_stamp(const struct sj_segment *segment)
{
    return segment->tx.epoch;
}

/* The log is safe. */
static void fence_log(struct sj_segment *segment)
{
    sj_log_flush(segment);
    sj_fence(segment->domain);
}

/* What is stored is flushed by the commit, or undone: each word is in the log, or in a node that is
 * (or that is fresh). */
static void store_all(const struct sj_tx_store *stores, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sj_store(stores[i].at, stores[i].value);
}

void sj_tx_settle(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    if (tx->pending == 0)
        return;
    fence_log(segment);
    store_all(tx->pending_store, tx->pending);
    tx->pending = 0;
}

void sj_tx_ready(struct sj_segment *segment)
{
    struct sj_tx *tx = &segment->tx;
    fence_log(segment);
    store_all(tx->pending_store, tx->pending);
    store_all(tx->late_store, tx->late);
    tx->pending = tx->late = 0;
}

int sj_tx_fresh(struct sj_segment *segment, const void *at, size_t bytes)
{
    struct sj_tx_vector *fresh = &segment->tx.fresh;
    uint64_t address = (uint64_t)(uintptr_t)at;
    sj_sums_mark(segment, at, bytes);
    if (SJ_LIKELY(!segment->domain->collects))
        return SJ_OK;
    if (fresh->count > 0) {
        uint64_t *last = &fresh->items[fresh->count - 2];
        if (last[0] + last[1] == address) {
            last[1] += bytes;
            return SJ_OK;
        }
    }
    int error = sj_tx_vector_push(fresh, address);
    if (error == SJ_OK && (error = sj_tx_vector_push(fresh, bytes)) != SJ_OK)
        fresh->count--;
    return error;
}

int sj_tx_single_word(struct sj_segment *segment, uint64_t *at, uint64_t value)
{
    int error = sj_tx_op_begin(segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (segment->tx.depth == 0 && segment->domain->commit == NULL) {
        sj_sums_mark_word(segment, at);
        if (SJ_UNLIKELY(segment->heap == SJ_TOUCH_WATCHED))
            sj_touch_note((uint64_t)(uintptr_t)at, sizeof *at, 0, true);
        sj_store(at, value);
        sj_flush(segment->domain, at, sizeof *at);
        sj_fence(segment->domain);
        segment->tx.in_op = false;
        return SJ_UNLIKELY(sj_segment_is_damaged(segment)) ? sj_segment_lost(segment) : SJ_OK;
    }
    error = sj_tx_word(segment, at, value);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

int sj_tx_defer_free(struct sj_segment *segment, uint64_t block)
{
    return sj_tx_vector_push(&segment->tx.frees, block);
}
