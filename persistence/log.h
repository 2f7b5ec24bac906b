// SPDX-License-Identifier: Apache-2.0
/*
 * log.h: the undo log: appending, undoing, growing. Used by tx.c and recovery only.
 */
#ifndef SJ_PERSISTENCE_LOG_H
#define SJ_PERSISTENCE_LOG_H

#include "persistence/segment.h"

/* Empties the log for the segment's next transaction (volatile state only). */
void sj_log_start(struct sj_segment *segment);

/* Appends the old bytes of a range. SJ_EFULL, SJ_ENOMEM; then nothing is changed. */
int sj_log_append(struct sj_segment *segment, const void *at, size_t bytes);

/* The same for one word. */
int sj_log_append_word(struct sj_segment *segment, const uint64_t *at);

/* Flushes the entries that were appended since the last time: before a fence. */
void sj_log_flush(struct sj_segment *segment);

/* Restores, newest first, all ranges appended since there were `entries` of them, and forgets
 * them. */
void sj_log_undo(struct sj_segment *segment, uint32_t entries);

/* Raises root_page->removals: something that had a root may be gone. */
void sj_log_note_removal(struct sj_segment *segment);

/* Flushes every range in the log (their new bytes). */
void sj_log_flush_ranges(const struct sj_segment *segment);

/* The one store that empties the log on media: the commit. Releases large extents. */
void sj_log_commit(struct sj_segment *segment);

/* Takes a new generation before a process's first transaction: whatever a stopped machine has left
 * in the log, or stamped on nodes, is nobody's. */
void sj_log_retire(struct sj_segment *segment);

/* Whether the log on media has entries: somebody died in a transaction. */
bool sj_log_pending(const struct sj_segment *segment);

/* Rolls the log on media back; or commits it, if it voted and that was decided (tx_group.h).
 * Idempotent. SJ_ECORRUPT, SJ_ENOMEM, SJ_EINDOUBT. */
int sj_log_recover(struct sj_segment *segment);

/* The log header's and extents' addresses lie where they may. */
bool sj_log_is_valid(const struct sj_segment *segment);

#endif
