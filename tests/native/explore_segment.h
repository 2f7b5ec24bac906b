// SPDX-License-Identifier: Apache-2.0
/* explore_segment.h: the segments that are explored, and processes that have them open. */
#ifndef SJ_TESTS_EXPLORE_SEGMENT_H
#define SJ_TESTS_EXPLORE_SEGMENT_H

#include "explore_world.h"

/* A fresh segment in shared memory, in a domain whose flushes and fences are only told; with
 * `paired` there is a second one. */
struct sj_segment *explored_open(bool power_loss, bool paired, uint64_t seed);

/* All that was done so far is certain. */
void explored_settle(void);

void explored_close(void);

/* A process that has the segment open and has done nothing yet. */
void process_start(struct process *process, const struct world *world);

/* The last process closes the segment, and another one opens it. */
void process_reopen(struct process *process);

/* What the first process to attach does with what it finds: the errors of sj_segment_open. Two
 * segments are recovered in one of several orders: either one first, and it may be changed before
 * the other one is. */
int process_attach(struct process *process, uint32_t order);
uint32_t process_orders(const struct world *world);

/* No chunk that the log has given back, or never got, is left to it: SJ_ECORRUPT. */
int explored_log_chunks(const struct sj_segment *segment);

void process_copy(struct process *target, const struct process *source);

#endif
