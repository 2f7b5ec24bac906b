// SPDX-License-Identifier: Apache-2.0
/*
 * check_owners.h: which structures have blocks in a page. Used by check.c.
 */
#ifndef SJ_STRUCTURES_CHECK_OWNERS_H
#define SJ_STRUCTURES_CHECK_OWNERS_H

#include "persistence/heap.h"

/* Verifies one structure, and has `visit` called for each of its blocks. SJ_ECORRUPT, and what
 * `visit` returns. */
int sj_check_structure(struct sj_segment *segment, const struct sj_root *root, sj_heap_visit *visit,
                       void *context, uint64_t *items);

/* Writes their names as text: ", of 'genes', 'proteins'"; "" when none is found. They may be
 * damaged. Cost: O(bytes in use). */
void sj_check_owners(struct sj_segment *segment, uint64_t offset, char *text, size_t bytes);

#endif
