// SPDX-License-Identifier: Apache-2.0
/*
 * entry_layout.h: keys and values on the media, the same for every mapping.
 *
 * A mapping's keys are words (order-preserving 64-bit numbers) or bytes; so are its values.
 *
 *   keys   values  a slot's second word is
 *   word   word    the value
 *   word   bytes   a cell: up to 7 bytes inline, or the address of a blob
 *   bytes  any     the address of an entry, which has the key and the value
 *
 *   cell, inline:   byte 0 = size << 3 | 1, bytes 1–7 = the value's bytes
 *   cell, address:  the low three bits are 0
 *
 *   entry:  head | key | form, padded to 8 | value
 *
 * `form` is a suffix of the key that does not take part in comparison: what the `any` codec
 * needs to give back 1.0 for a key that equals 1. It is empty for nearly all keys.
 */
#ifndef SJ_STRUCTURES_ENTRY_LAYOUT_H
#define SJ_STRUCTURES_ENTRY_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_KEY_BYTES_MAX   (1u << 20)
#define SJ_CELL_INLINE_MAX 7

enum sj_item_kind { SJ_ITEM_WORD = 0, SJ_ITEM_BYTES = 1 };

struct sj_blob {
    uint16_t kind; /* SJ_KIND_BLOB */
    uint16_t zero16;
    uint32_t zero32;
    uint64_t size; /* bytes */
    uint8_t bytes[];
};

struct sj_entry {
    uint16_t kind; /* SJ_KIND_ENTRY */
    uint16_t form_size;
    uint32_t key_size;
    uint64_t value_size; /* bytes; 8 for a word */
    uint8_t bytes[];
};

_Static_assert(sizeof(struct sj_blob) == 16, "media");
_Static_assert(offsetof(struct sj_blob, size) == 8, "media");
_Static_assert(sizeof(struct sj_entry) == 16, "media");
_Static_assert(offsetof(struct sj_entry, key_size) == 4, "media");
_Static_assert(offsetof(struct sj_entry, value_size) == 8, "media");

#endif
