// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_arrays.c: arrays of numbers and tables of columns: a small store of them, and their use.
 */
#include "fuzz_user.h"
#include "persistence/roots.h"
#include "structures/array.h"
#include "structures/columns.h"

/* ------------------------------------------------------------------ a store */

static int make_array(struct sj_segment *segment, uint32_t dims, uint64_t items, uint64_t *head)
{
    const uint64_t shape[] = {items, 4, 3};
    struct sj_array_spec spec = {
        .dims = dims, .shape = shape, .item_bytes = 8, .type = "'<f8'", .type_bytes = 5};
    return sj_array_make(segment, &spec, head);
}

static int make_columns(struct sj_segment *segment, uint64_t *head)
{
    static const struct sj_column_spec spec[] = {
        {"time", "'<i8'", 8, 4, 5}, {"flag", "'|u1'", 1, 4, 5}, {"x", "'<f4'", 4, 1, 5}};
    return sj_columns_make(segment, 3, spec, 50, head);
}

static int append(struct sj_columns *columns, uint64_t rows)
{
    static const char bytes[400];
    const struct sj_column_source source[] = {{bytes, 8}, {bytes, 1}, {bytes, 0}};
    return sj_columns_append(columns, rows, source);
}

static void add(struct fuzz_image *image, struct sj_segment *segment, uint16_t type, uint32_t dims,
                uint64_t items)
{
    struct fuzz_store *store = &image->store[image->stores];
    uint64_t head;
    *store = (struct fuzz_store){.type = type};
    int length = snprintf(store->name, sizeof store->name, "s%u", image->stores++);
    fuzz_ok(sj_tx_op_begin(segment), "an array");
    fuzz_ok(type == SJ_KIND_ARRAY ? make_array(segment, dims, items, &head)
                                  : make_columns(segment, &head),
            "an array");
    fuzz_ok(sj_root_add(segment, store->name, (size_t)length, type, 0, 0, head), "an array");
    sj_tx_ready(segment);
    fuzz_ok(sj_tx_op_commit(segment), "an array");
    if (type != SJ_KIND_COLUMNS)
        return;
    struct sj_columns columns;
    fuzz_ok(sj_columns_open(segment, head, &columns), "a table");
    for (uint64_t i = 0; i < items; i++)
        fuzz_ok(append(&columns, 1 + i % 3), "a table");
}

void fuzz_make_arrays(struct fuzz_image *image, struct sj_segment *segment)
{
    add(image, segment, SJ_KIND_ARRAY, 1, 40);
    add(image, segment, SJ_KIND_ARRAY, 3, 2);
    add(image, segment, SJ_KIND_ARRAY, 1, 0);
    add(image, segment, SJ_KIND_COLUMNS, 0, 60);
    add(image, segment, SJ_KIND_COLUMNS, 0, 0);
}

/* ------------------------------------------------------------------ use */

static int reshape(struct sj_array *array, uint32_t dims, const uint64_t *shape)
{
    int error = sj_tx_op_begin(array->segment);
    return error == SJ_OK ? fuzz_end(array->segment, sj_array_reshape(array, dims, shape)) : error;
}

void fuzz_use_array(struct user *user, uint64_t head)
{
    struct sj_array array;
    for (uint64_t left = 1 + below(user, 4); left > 0; left--) {
        if (ANSWER(user, sj_array_open(user->segment, head, &array), ANY_FAULT) != SJ_OK)
            return;
        read_bytes(user, (const uint8_t *)array.spec.type, array.spec.type_bytes);
        read_bytes(user, (const uint8_t *)(array.data + 1), array.bytes);
        const uint64_t shape[] = {
            below(user, 3) == 0 ? fuzz_next(user->use->random) : below(user, 200), below(user, 5)};
        if (below(user, 2) == 0)
            (void)ANSWER(user, reshape(&array, 1 + (uint32_t)below(user, 2), shape),
                         PUT_FAULT | BIT(SJ_EINVAL) | BIT(SJ_ENOMEM));
    }
}

static void read_columns(struct user *user, const struct sj_columns *columns)
{
    uint32_t count;
    uint64_t rows, capacity;
    if (ANSWER(user, sj_columns_size(columns, &count, &rows, &capacity), ANY_FAULT) != SJ_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct sj_column_spec spec;
        struct sj_array_data *data;
        if (ANSWER(user, sj_columns_column(columns, i, &spec, &data), ANY_FAULT) != SJ_OK)
            continue;
        read_bytes(user, (const uint8_t *)spec.name, spec.name_bytes);
        read_bytes(user, (const uint8_t *)spec.type, spec.type_bytes);
        read_bytes(user, (const uint8_t *)(data + 1), rows * spec.item_bytes);
    }
}

/* Appends to a table whose columns are as many, and of such items, as there are sources for. */
static void append_rows(struct user *user, struct sj_columns *columns, uint64_t allowed)
{
    uint32_t count;
    uint64_t rows, capacity;
    if (ANSWER(user, sj_columns_size(columns, &count, &rows, &capacity), ANY_FAULT) != SJ_OK ||
        count != 3)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct sj_column_spec spec;
        struct sj_array_data *data;
        if (ANSWER(user, sj_columns_column(columns, i, &spec, &data), ANY_FAULT) != SJ_OK ||
            spec.item_bytes > 8 || (i == 1 && spec.item_bytes > 1))
            return;
    }
    (void)ANSWER(user, append(columns, below(user, 45)), allowed);
}

void fuzz_use_columns(struct user *user, uint64_t head)
{
    const uint64_t allowed = PUT_FAULT | BIT(SJ_EINVAL) | BIT(SJ_ENOMEM);
    static uint64_t order[4096];
    struct sj_columns columns;
    if (ANSWER(user, sj_columns_open(user->segment, head, &columns), ANY_FAULT) != SJ_OK)
        return;
    for (uint64_t left = 1 + below(user, 6); left > 0; left--) {
        uint64_t rows = columns.head->rows;
        switch (below(user, 8)) {
        case 0:
            (void)ANSWER(user, sj_columns_check(&columns, NULL, NULL), ANY_FAULT);
            break;
        case 1:
            (void)ANSWER(user, sj_columns_truncate(&columns, below(user, rows % 4096 + 2)),
                         allowed);
            break;
        case 2:
            (void)ANSWER(user, sj_columns_reserve(&columns, below(user, 400)), allowed);
            break;
        case 3:
            for (uint64_t i = 0; i < 4096; i++)
                order[i] = rows - 1 - i;
            if (rows <= 4096)
                (void)ANSWER(user, sj_columns_order(&columns, order, rows), allowed);
            break;
        case 4 ... 5:
            append_rows(user, &columns, allowed);
            break;
        default:
            read_columns(user, &columns);
        }
    }
}
