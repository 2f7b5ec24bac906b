// SPDX-License-Identifier: Apache-2.0
/*
 * array.h: arrays of numbers, or of any items of one size, in a segment.
 *
 * The core knows the shape and how large an item is; what the items are is a text that it keeps.
 * The caller has a read hold to look, a write hold to change. Items are changed in place, by who
 * looks at them (spacejmp/views.h): each such store counts by itself, or belongs to the open
 * transaction if it was touched before (sj_view_touch). Damage is SJ_ECORRUPT.
 */
#ifndef SJ_STRUCTURES_ARRAY_H
#define SJ_STRUCTURES_ARRAY_H

#include "persistence/heap.h"
#include "structures/array_layout.h"
#include "structures/structure.h"

struct sj_array_spec {
    uint32_t dims;
    const uint64_t *shape;
    uint64_t item_bytes;
    const char *type;
    uint32_t type_bytes;
};

/* An array in this process. */
struct sj_array {
    struct sj_segment *segment;
    struct sj_array_head *head;
    struct sj_array_spec spec; /* points into the segment */
    uint64_t bytes;            /* of all items */
    struct sj_array_data *data;
};

/* Makes an array of zeros; in the plan of an operation that the caller has begun. SJ_EINVAL,
 * SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG, SJ_EIO. */
SJ_API int sj_array_make(struct sj_segment *segment, const struct sj_array_spec *spec,
                         uint64_t *head);

/* Opens the array whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_array_open(struct sj_segment *segment, uint64_t head, struct sj_array *array);

/* Whether the open transaction has made its items' block. */
SJ_API bool sj_array_is_new(const struct sj_array *array);

/* Gives the array another shape of any size; in the plan of an operation that the caller has begun.
 * Items are kept in C order, those that are new are zeros. SJ_EVIEWS, and errors of
 * sj_array_make. */
SJ_API int sj_array_reshape(struct sj_array *array, uint32_t dims, const uint64_t *shape);

extern const struct sj_structure_type sj_array_type;

#endif
