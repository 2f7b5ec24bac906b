// SPDX-License-Identifier: Apache-2.0
/*
 * describe.h: what lies at a place of a segment, in words, for messages.
 */
#ifndef SJ_PERSISTENCE_DESCRIBE_H
#define SJ_PERSISTENCE_DESCRIBE_H

#include "persistence/segment.h"

/* "a B-tree leaf", of a kind that this version knows; else NULL. */
const char *sj_kind_text(uint16_t kind);

/*
 * Writes what the page at `offset` of the segment holds: "the root page", "a slab of 64-byte blocks
 * (keys with values)", "a free page" … It believes what it reads, checks it before it follows it,
 * and says so where that makes no sense. `offset` lies in the committed part. Cost: O(1).
 */
SJ_API void sj_segment_describe(const struct sj_segment *segment, uint64_t offset, char *text,
                                size_t bytes);

#endif
