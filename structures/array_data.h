// SPDX-License-Identifier: Apache-2.0
/*
 * array_data.h: blocks of items, of arrays and of columns. (For array.c and columns*.c.)
 */
#ifndef SJ_STRUCTURES_ARRAY_DATA_H
#define SJ_STRUCTURES_ARRAY_DATA_H

#include "persistence/heap.h"
#include "structures/array_layout.h"

/* A new block for that many bytes of items, in the plan of an operation; `zeros`: they are. What
 * the file has grown by for it is zeros already, and not touched. SJ_EFULL, SJ_ENOMEM,
 * SJ_ETOOBIG. */
int sj_array_data_make(struct sj_segment *segment, uint64_t bytes, bool zeros, uint64_t *at);

/* Gives it back, in the plan of an operation. SJ_EVIEWS: somebody looks at it; SJ_ECORRUPT. */
int sj_array_data_free(struct sj_segment *segment, uint64_t at);

/* The block at an address read from media, if it has those bytes at least: SJ_ECORRUPT. */
int sj_array_data_find(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       struct sj_array_data **data);

/* The same, and that the heap has it in use: before others are let at it. */
int sj_array_data_look(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       struct sj_array_data **data);

/* Whether the open transaction has made it, so that its end may free it. */
static inline bool sj_array_data_is_new(const struct sj_segment *segment,
                                        const struct sj_array_data *data)
{
    return segment->tx.depth > 0 && data->born == segment->tx.generation;
}

static inline char *sj_array_items(struct sj_array_data *data)
{
    return (char *)(data + 1);
}

static inline uint64_t sj_array_data_bytes(const struct sj_array_data *data)
{
    return sizeof *data + data->bytes;
}

/* Whether a text may be a type: some ASCII that can be printed. */
bool sj_array_type_is_text(const char *text, uint64_t bytes);

#endif
