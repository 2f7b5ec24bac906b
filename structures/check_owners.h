// SPDX-License-Identifier: Apache-2.0
/*
 * check_owners.h: which structures have blocks in a page. Used by check.c.
 */
#ifndef SJ_STRUCTURES_CHECK_OWNERS_H
#define SJ_STRUCTURES_CHECK_OWNERS_H

#include "persistence/heap.h"

/* Writes their names as text: ", of 'genes', 'proteins'"; "" when none is found. They may be
 * damaged. Cost: O(bytes in use). */
void sj_check_owners(struct sj_segment *segment, uint64_t offset, char *text, size_t bytes);

#endif
