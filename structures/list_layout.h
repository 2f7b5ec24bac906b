// SPDX-License-Identifier: Apache-2.0
/*
 * list_layout.h: a list on the media: a B+tree whose keys are positions.
 *
 *   head ─ top ─→ inner ─ child[i] ─→ inner … ─→ leaf
 *                                     (height = levels of inner nodes)
 *
 *   leaf, 64 to 4096 bytes:  node head | slot[room]          room = node.aux: 6, 30, 126 or 510
 *   inner, 2048 bytes:       node head | before[127] | child[127]
 *
 *   a list        (codec of a key: none)     a slot is a value's word, or a cell (entry_layout.h)
 *   a sorted one  (codec of a value: none)   a slot is the key itself when keys are words, else the
 *                                            address of an entry, whose value is the word 0
 *
 * before[i] is how many items of the node come before child i. So an item that is appended changes
 * no inner node, only the last leaf and head.count; the nodes of a list that only ever was appended
 * to are all full, and the child that has item n is n / before[1].
 *
 * I1  Every node has ≥ 1 slot or child; an empty list has no node: top and height are 0.
 * I2  before[0] is 0, before[] ascends strictly, and before[i + 1] − before[i] is the number of
 *     items below child i; below the last one are the rest of the node's. head.count = all.
 * I3  All leaves are `height` steps below the top.
 * I4  Only a leaf that is the top has room for less than 510 slots.
 * I5  The keys of a sorted list ascend; equal ones may follow each other.
 * I6  Slots and children that are not in use may be anything.
 */
#ifndef SJ_STRUCTURES_LIST_LAYOUT_H
#define SJ_STRUCTURES_LIST_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "structures/structure_layout.h"

#define SJ_LIST_LEAF_SLOTS 510
#define SJ_LIST_FANOUT     127
#define SJ_LIST_HEIGHT_MAX 12

struct sj_list_head {
    struct sj_structure_head first; /* SJ_KIND_LIST */
    uint64_t count;
    uint64_t top; /* inner node, or the lone leaf; 0: the list is empty */
    uint64_t height;
};

struct sj_list_leaf {
    struct sj_node node; /* aux = room */
    uint64_t slot[];
};

struct sj_list_inner {
    struct sj_node node;
    uint64_t before[SJ_LIST_FANOUT];
    uint64_t child[SJ_LIST_FANOUT];
};

_Static_assert(sizeof(struct sj_list_head) == 32, "media");
_Static_assert(offsetof(struct sj_list_head, count) == 8, "media");
_Static_assert(offsetof(struct sj_list_head, top) == 16, "media");
_Static_assert(offsetof(struct sj_list_head, height) == 24, "media");
_Static_assert(sizeof(struct sj_list_leaf) == 16, "media");
_Static_assert(offsetof(struct sj_list_leaf, slot) == 16, "media");
_Static_assert(sizeof(struct sj_list_inner) == 2048, "media");
_Static_assert(offsetof(struct sj_list_inner, before) == 16, "media");
_Static_assert(offsetof(struct sj_list_inner, child) == 1032, "media");

#endif
