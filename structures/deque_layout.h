// SPDX-License-Identifier: Apache-2.0
/*
 * deque_layout.h: deques, and the queues between processes, on the media: chunks in a double list.
 *
 *   head ─first─→ chunk ⇄ chunk ⇄ … ⇄ chunk ←─last─ head
 *
 *   OFFSET  SIZE  HEAD                          OFFSET  SIZE  CHUNK (512 bytes)
 *        0     8  structure_layout.h                 0    16  node: kind, stamp
 *        8     8  stamp                              16     8  next, or 0
 *       16     8  state: begin │ end │ count         24     8  previous, or 0
 *       24     8  first chunk, or 0                  32   480  slot[60]
 *       32     8  last chunk, or 0
 *       40     8  limit, or SJ_DEQUE_UNLIMITED
 *
 *   state   bits 0–7: the first slot in use of the first chunk
 *           bits 8–15: the slot after the last one in use of the last chunk
 *           bits 16–63: how many items there are
 *
 * A slot is the second word of a slot with a word key (entry_layout.h): a word, or a cell.
 *
 * I1  An empty deque has no chunk or one; another one has none without items.
 * I2  The slots between the first and the last in use are all in use; the words of the others have
 *     no meaning.
 * I3  first.previous and last.next are 0, and x.next.previous is x.
 */
#ifndef SJ_STRUCTURES_DEQUE_LAYOUT_H
#define SJ_STRUCTURES_DEQUE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_DEQUE_SLOTS     60
#define SJ_DEQUE_UNLIMITED UINT64_MAX

struct sj_deque_head {
    struct sj_node node; /* SJ_KIND_DEQUE or …_QUEUE; count = value's byte << 8; aux = serial */
    uint64_t state;
    uint64_t first;
    uint64_t last;
    uint64_t limit;
};

struct sj_deque_chunk {
    struct sj_node node; /* SJ_KIND_DEQUE_CHUNK; count = aux = 0 */
    uint64_t next;
    uint64_t previous;
    uint64_t slot[SJ_DEQUE_SLOTS];
};

_Static_assert(sizeof(struct sj_deque_head) == 48, "media");
_Static_assert(offsetof(struct sj_deque_head, state) == 16, "media");
_Static_assert(offsetof(struct sj_deque_head, first) == 24, "media");
_Static_assert(offsetof(struct sj_deque_head, last) == 32, "media");
_Static_assert(offsetof(struct sj_deque_head, limit) == 40, "media");
_Static_assert(sizeof(struct sj_deque_chunk) == 512, "media");
_Static_assert(offsetof(struct sj_deque_chunk, next) == 16, "media");
_Static_assert(offsetof(struct sj_deque_chunk, previous) == 24, "media");
_Static_assert(offsetof(struct sj_deque_chunk, slot) == 32, "media");

#endif
