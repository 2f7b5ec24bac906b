// SPDX-License-Identifier: Apache-2.0
/*
 * structure_layout.h: how the head of every structure begins.
 *
 *   0   u16  kind
 *   2   u8   key:    bit 0 item kind | bits 1–6 codec | bit 7 shared
 *   3   u8   value:  bit 0 item kind | bits 1–6 codec
 *   4   u32  serial, random and not 0
 *
 * A structure is recognised by its address and its serial: another one that gets the address when
 * it is gone has another serial. *Shared*: a reference to it has been stored, so that its root is
 * not all that leads to it. Codec 0 beside an item kind of bytes, and serial 0, are those of a
 * structure that only its root knows more of.
 *
 * The head of a hash map is a node (hashmap_layout.h): it has its serial elsewhere.
 */
#ifndef SJ_STRUCTURES_STRUCTURE_LAYOUT_H
#define SJ_STRUCTURES_STRUCTURE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

struct sj_structure_head {
    uint16_t kind;
    uint8_t key;
    uint8_t value;
    uint32_t serial;
};

_Static_assert(sizeof(struct sj_structure_head) == 8, "media");
_Static_assert(offsetof(struct sj_structure_head, serial) == 4, "media");

#define SJ_ITEM_SHARED 0x80u

#endif
