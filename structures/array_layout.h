// SPDX-License-Identifier: Apache-2.0
/*
 * array_layout.h: an array on the media: numbers of one type, one behind the other.
 *
 *   head    0   structure_layout.h: kind 20
 *           8   u64  data: address of its block
 *           16  u64  item_bytes
 *           24  u16  dims | u16 type_bytes | u32 zero
 *           32  u64 × dims: the shape
 *           then  the type, as text: what NumPy's files say of it ('<f8', [('x', '<i4'), …])
 *
 *   data    0   u16  kind 21 | zero 48
 *           8   u64  bytes: how many follow
 *           16  u64  born: the generation of the log in whose transaction it was made
 *           24  zero
 *           64  the items, in C order
 *
 * Blocks of 64 bytes and more whose size is a multiple of 64 are aligned to it (heap.h), so items
 * are. A column of a table (columns_layout.h) has its items in a block of the same kind.
 */
#ifndef SJ_STRUCTURES_ARRAY_LAYOUT_H
#define SJ_STRUCTURES_ARRAY_LAYOUT_H

#include "persistence/media_layout.h"
#include "structures/structure_layout.h"

#define SJ_ARRAY_DIMS_MAX 32
#define SJ_ARRAY_TYPE_MAX 32768 /* bytes */
#define SJ_ARRAY_ALIGN    64ull

struct sj_array_head {
    struct sj_structure_head first;
    uint64_t data;
    uint64_t item_bytes;
    uint16_t dims;
    uint16_t type_bytes;
    uint32_t zero32;
    uint64_t shape[];
};

struct sj_array_data {
    uint16_t kind;
    uint16_t zero16;
    uint32_t zero32;
    uint64_t bytes;
    uint64_t born;
    uint64_t zero64[5];
};

_Static_assert(sizeof(struct sj_array_head) == 32, "media");
_Static_assert(offsetof(struct sj_array_head, data) == 8, "media");
_Static_assert(offsetof(struct sj_array_head, item_bytes) == 16, "media");
_Static_assert(offsetof(struct sj_array_head, dims) == 24, "media");
_Static_assert(offsetof(struct sj_array_head, type_bytes) == 26, "media");
_Static_assert(offsetof(struct sj_array_head, shape) == 32, "media");
_Static_assert(sizeof(struct sj_array_data) == SJ_ARRAY_ALIGN, "media");
_Static_assert(offsetof(struct sj_array_data, bytes) == 8, "media");
_Static_assert(offsetof(struct sj_array_data, born) == 16, "media");

#endif
