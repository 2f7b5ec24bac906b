// SPDX-License-Identifier: Apache-2.0
/*
 * btree_layout.h: the B+tree on the media.
 *
 *   head ─ top ─→ inner ─ child[i] ─→ inner … ─→ leaf ⇄ leaf ⇄ leaf
 *                                     (height = levels of inner nodes)
 *
 *   leaf, 512 bytes:     node head | next | previous | key[30] | slot[30]
 *   inner, 2048 bytes:   node head | two spare words | key[n] | child[n] | items[n]
 *                        (| separator[n])
 *                        n = 84 for word keys, 63 for byte keys (which have `separator`)
 *
 * key[i] is the key itself for word keys. For byte keys it is a fragment: the eight bytes of the
 * key after the first `skip` ones (node.aux), big endian, padded with zeros, so that most
 * comparisons are of one word; ties are decided by the entry's (leaf) or the separator's (inner)
 * whole key.
 *
 * I1  In a node the keys ascend strictly (by whole key).
 * I2  Keys below child[i] are ≥ the separator i and < the separator i + 1; key[0] of an inner node
 *     and separator[0] are not used (0).
 * I3  All keys of a byte-keyed node share their first `skip` bytes: skip = the length of the common
 *     prefix of the node's two fences (the separators around it on the way down); 0 when a fence is
 *     missing. So a key that is looked for in a node shares them as well.
 * I4  items[i] = the number of items below child[i]; head.count = the sum at the top.
 * I5  Leaves are linked in key order; every leaf but a lone top one has ≥ 1 item.
 * I6  All leaves are at the same depth, `height` steps below the top.
 * I7  An inner node has ≥ 2 children. Its unused keys are all ones, so that a search need not look
 *     at the count; other unused words, and all of a leaf's, may be anything.
 */
#ifndef SJ_STRUCTURES_BTREE_LAYOUT_H
#define SJ_STRUCTURES_BTREE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "structures/structure_layout.h"

#define SJ_BTREE_LEAF_ITEMS  30
#define SJ_BTREE_INNER_WORD  84
#define SJ_BTREE_INNER_BYTES 63
#define SJ_BTREE_HEIGHT_MAX  24

struct sj_btree_head {
    struct sj_structure_head first; /* SJ_KIND_BTREE */
    uint64_t count;
    uint64_t top;    /* inner node, or the lone leaf */
    uint64_t height; /* levels of inner nodes */
};

struct sj_btree_leaf {
    struct sj_node node; /* aux = skip */
    uint64_t next;
    uint64_t previous;
    uint64_t key[SJ_BTREE_LEAF_ITEMS];
    uint64_t slot[SJ_BTREE_LEAF_ITEMS]; /* entry_layout.h */
};

struct sj_btree_inner {
    struct sj_node node; /* aux = skip */
    uint64_t zero[2];
    uint64_t
        words[252]; /* key | child | items (| separator), each of the capacity for the key kind */
};

struct sj_btree_separator {
    uint16_t kind; /* SJ_KIND_BTREE_KEY */
    uint16_t zero;
    uint32_t size;
    uint8_t bytes[];
};

_Static_assert(sizeof(struct sj_btree_head) == 32, "media");
_Static_assert(offsetof(struct sj_btree_head, count) == 8, "media");
_Static_assert(offsetof(struct sj_btree_head, top) == 16, "media");
_Static_assert(offsetof(struct sj_btree_head, height) == 24, "media");
_Static_assert(sizeof(struct sj_btree_leaf) == 512, "media");
_Static_assert(offsetof(struct sj_btree_leaf, next) == 16, "media");
_Static_assert(offsetof(struct sj_btree_leaf, key) == 32, "media");
_Static_assert(offsetof(struct sj_btree_leaf, slot) == 272, "media");
_Static_assert(sizeof(struct sj_btree_inner) == 2048, "media");
_Static_assert(offsetof(struct sj_btree_inner, words) == 32, "media");
_Static_assert(3 * SJ_BTREE_INNER_WORD == 252 && 4 * SJ_BTREE_INNER_BYTES == 252, "media");
_Static_assert(sizeof(struct sj_btree_separator) == 8, "media");

#endif
