// SPDX-License-Identifier: Apache-2.0
/*
 * tx.h: transactions: an undo log under in-place stores.
 *
 * An operation of a structure is atomic by itself; sj_tx_begin() … sj_tx_commit() makes a group of
 * operations atomic; they nest, an inner one being a savepoint. The caller has the write hold.
 *
 * How an operation is written (all of structures/ follows it):
 *
 *   error = sj_tx_op_begin(segment);
 *   plan:   find the place, check everything read from media, allocate (heap.h), and log with
 *           sj_tx_word / sj_tx_range / sj_tx_node_… what is going to change. Only this part may
 *           fail; it stores nothing but through sj_tx_word and into fresh blocks.
 *           On failure: return sj_tx_op_abort(segment, error).
 *   sj_tx_ready(segment);         the old bytes are safe, pending words are stored
 *   apply:  in-place stores through seam.h into logged ranges, fresh blocks and unused slots.
 *           Cannot fail.
 *   return sj_tx_op_commit(segment);
 *
 * I1  Before a word that existed before the operation is stored, its old value is in the log and a
 *     fence lies between.
 * I2  Blocks allocated by the transaction need no log; blocks it frees stay untouched until it
 *     commits (the frees are carried out by the commit). Every range that the transaction stores to
 *     is in the log, or was announced with sj_tx_fresh: the commit flushes both.
 * I3  The one store of log->generation commits; until then recovery restores every old byte.
 * I4  A node is logged whole once a transaction: its stamp equals tx.epoch from then on. An
 *     operation outside a transaction logs words and ranges instead, and stamps nothing.
 *     A word of a node that the transaction had logged before the operation is stored at
 *     sj_tx_ready and not before, for an abort of the operation could not undo it.
 * I5  A savepoint takes a new epoch, so that nodes are logged anew after it.
 *
 *   states   idle → op_begin → [plan → ready → apply] → op_commit → idle
 *            idle → begin → (op … op_commit)* → commit | abort → idle
 */
#ifndef SJ_PERSISTENCE_TX_H
#define SJ_PERSISTENCE_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/error.h"
#include "persistence/media_layout.h"

struct sj_segment;
struct sj_tx_group;

#define SJ_TX_PENDING 48 /* words that wait for the log to be safe */

struct sj_tx_vector {
    uint64_t *items;
    uint32_t count;
    uint32_t capacity;
};

struct sj_tx_store {
    uint64_t *at;
    uint64_t value;
};

struct sj_tx {
    char *cursor;    /* where the next entry goes; NULL: no operation since the last commit */
    char *limit;     /* end of that extent */
    char *unflushed; /* entries from here on are not flushed yet */
    uint64_t generation;
    uint64_t epoch;      /* stamp of nodes that are wholly in the log; 0: stamp nothing */
    uint32_t depth;      /* explicit transactions that are open, 0 for a single operation */
    uint32_t extent;     /* the one the cursor is in */
    uint32_t pending;    /* words in pending_* */
    uint32_t op_entries; /* entries when the current operation began */
    uint32_t op_frees;
    bool in_op;
    uint64_t savepoints; /* taken in this transaction */
    struct sj_tx_store pending_store[SJ_TX_PENDING];
    uint32_t late; /* in late_store: words that are not logged by themselves */
    struct sj_tx_store late_store[SJ_TX_PENDING];
    struct sj_tx_vector entries; /* addresses of the log entries, in order */
    struct sj_tx_vector frees;   /* blocks to free at commit */
    struct sj_tx_vector fresh;   /* ranges stored to that are not in the log: address, bytes … */
    struct sj_tx_vector marks;   /* a savepoint: entries, frees, epoch */
    const struct sj_tx_group *group; /* whose commit this one waits for; NULL: none */
};

/* Doubles a volatile vector of the transaction. SJ_ENOMEM. */
int sj_tx_vector_grow(struct sj_tx_vector *vector);

static inline int sj_tx_vector_push(struct sj_tx_vector *vector, uint64_t item)
{
    if (SJ_UNLIKELY(vector->count == vector->capacity)) {
        int error = sj_tx_vector_grow(vector);
        if (error != SJ_OK)
            return error;
    }
    vector->items[vector->count++] = item;
    return SJ_OK;
}

/* A group of operations. Inside another one: a savepoint. SJ_EREADONLY, SJ_ENOMEM. */
SJ_API int sj_tx_begin(struct sj_segment *segment);

/* Makes all since the matching begin durable (outermost) or part of the outer one. On SJ_EFULL or
 * SJ_ENOMEM (frees could not be logged) the transaction is rolled back; on SJ_EDAMAGED the file has
 * none of it, once its log is rolled back. */
SJ_API int sj_tx_commit(struct sj_segment *segment);

/* Undoes all since the matching begin. Cannot fail. */
SJ_API void sj_tx_abort(struct sj_segment *segment);

/* For tx_group.c, the two halves of a commit: all but the store that commits, after which an abort
 * is still possible; and that store. Errors of sj_tx_commit; nothing is rolled back by them. */
int sj_tx_finish(struct sj_segment *segment);
int sj_tx_conclude(struct sj_segment *segment);

/* Forgets the process's volatile state, whatever it was; the media is not touched. */
void sj_tx_forget(struct sj_segment *segment);

/* Depth of explicit transactions: 0 outside. */
SJ_API uint32_t sj_tx_depth(const struct sj_segment *segment);

/* One operation. SJ_EREADONLY. */
SJ_API int sj_tx_op_begin(struct sj_segment *segment);
/* The operation is durable (outside a transaction) or part of the transaction. SJ_EFULL, SJ_ENOMEM,
 * SJ_EDAMAGED: as sj_tx_commit. */
SJ_API int sj_tx_op_commit(struct sj_segment *segment);
/* Undoes a plan that failed; returns `error`. */
SJ_API int sj_tx_op_abort(struct sj_segment *segment, int error);

/* The word at `at` becomes `value` when the log is safe (at sj_tx_ready, or before). Until then
 * reads of the media see the old word, and sj_tx_peek the new one. SJ_EFULL, SJ_ENOMEM. */
SJ_API int sj_tx_word(struct sj_segment *segment, uint64_t *at, uint64_t value);

/* The same for a word inside a node of `node_bytes`: nothing is logged when the node already is;
 * in a transaction the node is logged whole. */
SJ_API int sj_tx_node_word(struct sj_segment *segment, struct sj_node *node, size_t node_bytes,
                           uint64_t *at, uint64_t value);

/* The old bytes of a range go to the log; `at` is aligned to 8, `bytes` a multiple of 8. */
SJ_API int sj_tx_range(struct sj_segment *segment, void *at, size_t bytes);

/* Part [at, at + bytes) of a node is going to change. Outside a transaction that range is logged;
 * in one the whole node, once. */
SJ_API int sj_tx_node_range(struct sj_segment *segment, struct sj_node *node, size_t node_bytes,
                            void *at, size_t bytes);

/* Stamp for a node made by this transaction, which needs no log in it. */
SJ_API uint64_t sj_tx_stamp(const struct sj_segment *segment);

/* All that was logged is safe, pending words are stored: in-place stores may begin. */
SJ_API void sj_tx_ready(struct sj_segment *segment);

/* Stores the pending words that an abort of the operation can undo, if there are any; in the middle
 * of a plan, before a search through words that may be pending. */
void sj_tx_settle(struct sj_segment *segment);

/* Says that a range that needs no log (an unused slot) is going to be stored to, and is to be
 * durable with the commit. Blocks that the transaction allocates are known. In the plan.
 * SJ_ENOMEM. */
SJ_API int sj_tx_fresh(struct sj_segment *segment, const void *at, size_t bytes);

/*
 * Stores one word as a whole operation: outside a transaction an aligned word is atomic by itself
 * and needs no log; in one it is logged. Replaces begin, ready and commit.
 */
SJ_API int sj_tx_single_word(struct sj_segment *segment, uint64_t *at, uint64_t value);

/* A block is freed when the transaction commits. SJ_ENOMEM. (heap.h's sj_heap_free calls this.) */
SJ_API int sj_tx_defer_free(struct sj_segment *segment, uint64_t block);

#endif
