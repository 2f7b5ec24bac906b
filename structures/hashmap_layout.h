// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_layout.h: the hash map on the media: extendible hashing over segments of Swiss-table
 * buckets.
 *
 *   head ─→ directory: 2^depth addresses ─→ table segments, each one of 2^(depth − its own) of them
 *   table segment:  head (256 bytes) | bucket … (3, 15 or 63 of 256 bytes: 1, 4 or 16 KiB in all)
 *   bucket:         tag[15], strays | slot[15] of two words
 *
 * A key's 64-bit hash (hash.h): its top `depth` bits choose the directory entry; the bits after the
 * local depth, as a fraction of the buckets, the home bucket; the low 7 bits the tag. So (table
 * segment, home bucket) rises with the hash. slot.first is the key itself (word keys) or the hash
 * (byte keys); slot.second is as entry_layout.h says. An item lives in its home bucket or in one of
 * the next three (cyclic); `strays` of the home bucket counts its items that live elsewhere: 0
 * ends an unsuccessful search.
 *
 * I1  tag[i] is 0 when slot i is free (its words then have no meaning), else 0x80 | 7 bits of
 *     the hash.
 * I2  All directory entries that share the top `local depth` bits lead to the same table
 *     segment, whose pattern these bits are.
 * I3  A segment that cannot take an item is replaced by a larger one (1 → 4 → 16 KiB) or by two,
 *     in one operation; nothing else is rehashed.
 */
#ifndef SJ_STRUCTURES_HASHMAP_LAYOUT_H
#define SJ_STRUCTURES_HASHMAP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "structures/structure_layout.h"

#define SJ_HASHMAP_SLOTS       15
#define SJ_HASHMAP_PROBES      4
#define SJ_HASHMAP_DEPTH_MAX   40
#define SJ_HASHMAP_BUCKETS_MAX 63

struct sj_hashmap_head {
    struct sj_node
        node; /* SJ_KIND_HASHMAP; count = key | value << 8 (structure_layout.h); aux = depth */
    uint64_t count;
    uint64_t directory; /* SJ_KIND_HASHMAP_DIR block */
    uint64_t seed;      /* of the hash function, random; its lower half is the serial */
};

struct sj_hashmap_directory {
    uint16_t kind; /* SJ_KIND_HASHMAP_DIR */
    uint16_t zero16;
    uint32_t depth;
    uint64_t zero64;
    uint64_t segment[];
};

struct sj_hashmap_slot {
    uint64_t first;
    uint64_t second;
};

struct sj_hashmap_bucket {
    uint8_t tag[SJ_HASHMAP_SLOTS];
    uint8_t strays;
    struct sj_hashmap_slot slot[SJ_HASHMAP_SLOTS];
};

/* The stamp says only that the transaction of that epoch made the segment: it is never logged
 * whole. */
struct sj_hashmap_segment {
    struct sj_node node; /* SJ_KIND_HASHMAP_SEG; count = buckets; aux = local depth */
    uint64_t pattern;    /* the top `local depth` bits of every hash in it */
    uint64_t zero[29];
    struct sj_hashmap_bucket bucket[];
};

_Static_assert(sizeof(struct sj_hashmap_head) == 40, "media");
_Static_assert(offsetof(struct sj_hashmap_head, count) == 16, "media");
_Static_assert(offsetof(struct sj_hashmap_head, directory) == 24, "media");
_Static_assert(offsetof(struct sj_hashmap_head, seed) == 32, "media");
_Static_assert(sizeof(struct sj_hashmap_directory) == 16, "media");
_Static_assert(offsetof(struct sj_hashmap_directory, depth) == 4, "media");
_Static_assert(offsetof(struct sj_hashmap_directory, segment) == 16, "media");
_Static_assert(sizeof(struct sj_hashmap_slot) == 16, "media");
_Static_assert(sizeof(struct sj_hashmap_bucket) == 256, "media");
_Static_assert(offsetof(struct sj_hashmap_bucket, strays) == 15, "media");
_Static_assert(offsetof(struct sj_hashmap_bucket, slot) == 16, "media");
_Static_assert(sizeof(struct sj_hashmap_segment) == 256, "media");
_Static_assert(offsetof(struct sj_hashmap_segment, pattern) == 16, "media");
_Static_assert(offsetof(struct sj_hashmap_segment, bucket) == 256, "media");

#endif
