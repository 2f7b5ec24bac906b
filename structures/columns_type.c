// SPDX-License-Identifier: Apache-2.0
/* columns_type.c: tables in columns as one of the structures (structure.h), and their check. */
#include "structures/array_data.h"
#include "structures/columns.h"
#include "structures/item_byte.h"

int sj_columns_check(const struct sj_columns *columns, sj_heap_visit *visit, void *context)
{
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error == SJ_OK && visit != NULL)
        error = visit(context, (uint64_t)(uintptr_t)columns->head, sizeof *columns->head);
    if (error == SJ_OK && visit != NULL)
        error = visit(context, (uint64_t)(uintptr_t)table, table->bytes);
    for (uint32_t i = 0; error == SJ_OK && i < table->columns; i++) {
        struct sj_column_spec spec;
        struct sj_array_data *data = NULL;
        error = sj_columns_column(columns, i, &spec, &data);
        if (error == SJ_OK && visit != NULL)
            error = visit(context, table->column[i].data, sj_array_data_bytes(data));
    }
    return error;
}

static int create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    (void)segment, (void)codecs, (void)head;
    return sj_error(SJ_EINVAL, "a table is made with its columns");
}

static int destroy(struct sj_segment *segment, uint64_t head)
{
    struct sj_columns columns;
    int error = sj_columns_open(segment, head, &columns);
    return error == SJ_OK ? sj_columns_destroy(&columns) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_columns columns;
    int error = sj_columns_open(segment, head, &columns);
    if (error != SJ_OK)
        return error;
    *info = (struct sj_structure_info){.kind = SJ_KIND_COLUMNS,
                                       .shared = (columns.head->first.key & SJ_ITEM_SHARED) != 0,
                                       .serial = columns.head->first.serial,
                                       .count = columns.head->rows};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_columns columns;
    int error = sj_columns_open(segment, head, &columns);
    return error == SJ_OK ? sj_columns_check(&columns, visit, context) : error;
}

static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    (void)segment, (void)head, (void)visit, (void)context;
    return SJ_OK;
}

const struct sj_structure_type sj_columns_type = {
    .kind = SJ_KIND_COLUMNS,
    .create = create,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
