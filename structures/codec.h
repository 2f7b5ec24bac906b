// SPDX-License-Identifier: Apache-2.0
/*
 * codec.h: what keys and values were before they became words and bytes (_codec.pyx makes them).
 *
 * The core needs to know only which ones lie in words, and which may have references in them.
 */
#ifndef SJ_STRUCTURES_CODEC_H
#define SJ_STRUCTURES_CODEC_H

#include "structures/entry_layout.h"

/* On the media: the numbers never change. */
enum sj_codec {
    SJ_CODEC_NONE = 0, /* nothing: the values of a set */
    SJ_CODEC_INT = 1,
    SJ_CODEC_FLOAT = 2,
    SJ_CODEC_BYTES = 3,
    SJ_CODEC_STR = 4,
    SJ_CODEC_ANY = 5,
    SJ_CODEC_PICKLE = 6, /* values only */
};

/* Those of a structure's keys and values. */
struct sj_codecs {
    uint8_t key;
    uint8_t value;
};

static inline enum sj_item_kind sj_codec_kind(uint8_t codec)
{
    return codec <= SJ_CODEC_FLOAT ? SJ_ITEM_WORD : SJ_ITEM_BYTES;
}

#endif
