// SPDX-License-Identifier: Apache-2.0
/*
 * array.c: arrays (array.h has the contract, array_layout.h the format).
 *
 * Crash rule: an array appears with the operation that makes it, and its head changes by logged
 * words alone; what was stored into items directly is no part of that.
 */
#include "structures/array.h"

#include "persistence/seam.h"
#include "structures/array_data.h"
#include "structures/item_byte.h"

static uint64_t head_bytes(uint32_t dims, uint32_t type_bytes)
{
    return sizeof(struct sj_array_head) + 8ull * dims + type_bytes;
}

/* Bytes of all items; false when there are too many. */
static bool items_bytes(const struct sj_array_spec *spec, uint64_t *bytes)
{
    *bytes = spec->item_bytes;
    bool fits = true, empty = false;
    for (uint32_t i = 0; i < spec->dims; i++) {
        empty |= spec->shape[i] == 0;
        fits &= spec->shape[i] <= INT64_MAX;
        /* As NumPy has it: also what is empty has a size without its zeros. */
        if (spec->shape[i] != 0)
            fits &= !__builtin_mul_overflow(*bytes, spec->shape[i], bytes);
    }
    fits &= *bytes <= INT64_MAX;
    *bytes = empty ? 0 : *bytes;
    return fits;
}

static int check_spec(const struct sj_segment *segment, const struct sj_array_spec *spec,
                      uint64_t *bytes)
{
    if (spec->dims > SJ_ARRAY_DIMS_MAX)
        return sj_error(SJ_EINVAL, "an array of %u dimensions, at most %u can be", spec->dims,
                        SJ_ARRAY_DIMS_MAX);
    if (spec->item_bytes == 0)
        return sj_error(SJ_EINVAL, "a type whose items have no bytes");
    if (spec->type_bytes > SJ_ARRAY_TYPE_MAX ||
        !sj_array_type_is_text(spec->type, spec->type_bytes))
        return sj_error(SJ_EINVAL, "a type whose description has %u bytes, at most %u can be",
                        spec->type_bytes, SJ_ARRAY_TYPE_MAX);
    if (!items_bytes(spec, bytes))
        return sj_error(SJ_ETOOBIG, "an array that is larger than '%s'", segment->name);
    return SJ_OK;
}

static int make_head(struct sj_segment *segment, const struct sj_array_spec *spec, uint64_t data,
                     uint32_t serial, struct sj_array_head **made)
{
    void *block = NULL;
    int error = sj_heap_alloc(segment, head_bytes(spec->dims, spec->type_bytes), &block);
    if (error != SJ_OK)
        return error;
    struct sj_array_head head = {.first = {.kind = SJ_KIND_ARRAY, .serial = serial},
                                 .data = data,
                                 .item_bytes = spec->item_bytes,
                                 .dims = (uint16_t)spec->dims,
                                 .type_bytes = (uint16_t)spec->type_bytes};
    *made = block;
    sj_copy(*made, &head, sizeof head);
    if (spec->dims > 0)
        sj_copy((*made)->shape, spec->shape, 8ull * spec->dims);
    sj_copy((*made)->shape + spec->dims, spec->type, spec->type_bytes);
    return SJ_OK;
}

int sj_array_make(struct sj_segment *segment, const struct sj_array_spec *spec, uint64_t *head)
{
    struct sj_array_head *made = NULL;
    uint64_t bytes, data;
    uint32_t serial;
    int error = check_spec(segment, spec, &bytes);
    if (error == SJ_OK)
        error = sj_structure_serial(&serial);
    if (error == SJ_OK)
        error = sj_array_data_make(segment, bytes, true, &data);
    if (error == SJ_OK)
        error = make_head(segment, spec, data, serial, &made);
    if (error == SJ_OK)
        *head = (uint64_t)(uintptr_t)made;
    return error;
}

/* The head, whose words are the segment's; not what they say. */
static int find_head(const struct sj_segment *segment, uint64_t at, struct sj_array_head **found)
{
    struct sj_array_head *head = sj_segment_block(segment, at, sizeof *head, SJ_KIND_ARRAY);
    if (head == NULL || head->dims > SJ_ARRAY_DIMS_MAX || head->type_bytes > SJ_ARRAY_TYPE_MAX ||
        (head->first.key & ~SJ_ITEM_SHARED) != 0 || head->first.value != 0 ||
        head->first.serial == 0 ||
        !sj_segment_spans(segment, at, head_bytes(head->dims, head->type_bytes)))
        return sj_segment_damaged(segment, at, "the head of an array");
    *found = head;
    return SJ_OK;
}

int sj_array_open(struct sj_segment *segment, uint64_t at, struct sj_array *array)
{
    struct sj_array_head *head = NULL;
    int error = find_head(segment, at, &head);
    if (error != SJ_OK)
        return error;
    *array = (struct sj_array){.segment = segment,
                               .head = head,
                               .spec = {.dims = head->dims,
                                        .shape = head->shape,
                                        .item_bytes = head->item_bytes,
                                        .type = (const char *)(head->shape + head->dims),
                                        .type_bytes = head->type_bytes}};
    if (head->item_bytes == 0 || !items_bytes(&array->spec, &array->bytes) ||
        !sj_array_type_is_text(array->spec.type, head->type_bytes))
        return sj_segment_damaged(segment, at, "the shape and the type of an array");
    return sj_array_data_look(segment, head->data, array->bytes, &array->data);
}

bool sj_array_is_new(const struct sj_array *array)
{
    return sj_array_data_is_new(array->segment, array->data);
}

/* ------------------------------------------------------------------ another shape */

/* The items' new block, with those that stay and zeros behind them. */
static int move_items(struct sj_array *array, uint64_t bytes, uint64_t *data)
{
    uint64_t kept = bytes < array->bytes ? bytes : array->bytes;
    int error = sj_array_data_make(array->segment, bytes, true, data);
    if (error != SJ_OK)
        return error;
    struct sj_array_data *fresh = (struct sj_array_data *)(uintptr_t)*data;
    if (kept > 0)
        sj_store_bytes(sj_array_items(fresh), sj_array_items(array->data), kept);
    return sj_array_data_free(array->segment, array->head->data);
}

int sj_array_reshape(struct sj_array *array, uint32_t dims, const uint64_t *shape)
{
    struct sj_segment *segment = array->segment;
    struct sj_array_spec spec = array->spec;
    uint64_t bytes, data;
    if (dims != spec.dims)
        return sj_error(SJ_EINVAL, "an array of %u dimensions keeps them, found %u", spec.dims,
                        dims);
    spec.shape = shape;
    int error = check_spec(segment, &spec, &bytes);
    if (error == SJ_OK)
        error = sj_segment_unviewed(segment, array->head->data, sj_array_data_bytes(array->data));
    if (error == SJ_OK && bytes != array->bytes)
        error = move_items(array, bytes, &data);
    if (error == SJ_OK && bytes != array->bytes)
        error = sj_tx_word(segment, &array->head->data, data);
    for (uint32_t i = 0; i < dims && error == SJ_OK; i++)
        error = sj_tx_word(segment, &array->head->shape[i], shape[i]);
    return error;
}

/* ------------------------------------------------------------------ as a structure */

static int create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    (void)segment, (void)codecs, (void)head;
    return sj_error(SJ_EINVAL, "an array is made with a shape and a type");
}

static int destroy(struct sj_segment *segment, uint64_t at)
{
    struct sj_array_head *head = NULL;
    int error = find_head(segment, at, &head);
    if (error == SJ_OK)
        error = sj_array_data_free(segment, head->data);
    return error == SJ_OK ? sj_heap_free(segment, at) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_array array;
    int error = sj_array_open(segment, head, &array);
    if (error != SJ_OK)
        return error;
    *info = (struct sj_structure_info){.kind = SJ_KIND_ARRAY,
                                       .shared = (array.head->first.key & SJ_ITEM_SHARED) != 0,
                                       .serial = array.head->first.serial,
                                       .count = array.bytes / array.spec.item_bytes};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_array array;
    int error = sj_array_open(segment, head, &array);
    if (error != SJ_OK || visit == NULL)
        return error;
    error = visit(context, head, head_bytes(array.spec.dims, array.spec.type_bytes));
    if (error != SJ_OK)
        return error;
    return visit(context, array.head->data, sj_array_data_bytes(array.data));
}

static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    (void)segment, (void)head, (void)visit, (void)context;
    return SJ_OK;
}

const struct sj_structure_type sj_array_type = {
    .kind = SJ_KIND_ARRAY,
    .create = create,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
