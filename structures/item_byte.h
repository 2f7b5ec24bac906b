// SPDX-License-Identifier: Apache-2.0
/*
 * item_byte.h: what a structure's head says of its keys, and of its values (structure_layout.h).
 */
#ifndef SJ_STRUCTURES_ITEM_BYTE_H
#define SJ_STRUCTURES_ITEM_BYTE_H

#include <stdbool.h>

#include "structures/codec.h"
#include "structures/structure_layout.h"

static inline uint8_t sj_item_byte(uint8_t codec)
{
    return (uint8_t)((unsigned)sj_codec_kind(codec) | (unsigned)codec << 1);
}

static inline enum sj_item_kind sj_item_byte_kind(uint8_t byte)
{
    return (enum sj_item_kind)(byte & 1);
}

static inline uint8_t sj_item_byte_codec(uint8_t byte)
{
    return (byte & 0x7f) >> 1;
}

/* Whether the byte is one that sj_item_byte makes, shared or not, or the kind alone. */
static inline bool sj_item_byte_is_sound(uint8_t byte)
{
    uint8_t codec = sj_item_byte_codec(byte);
    return codec <= SJ_CODEC_PICKLE &&
           (codec == SJ_CODEC_NONE || sj_codec_kind(codec) == sj_item_byte_kind(byte));
}

#endif
