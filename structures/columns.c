// SPDX-License-Identifier: Apache-2.0
/*
 * columns.c: tables in columns (columns.h has the contract, columns_layout.h the format and rules).
 *
 *   append    values into rows that are nobody's, then `rows`        one logged word
 *   grow      new blocks, all rows copied; a new table; head.table   one logged word
 *   order     the same, each row copied from another one
 *
 * Crash rule: what is stored before `rows` and `table` become other words is nobody's; both are
 * logged. In a transaction `truncate` logs the rows that it gives up, for an append may overwrite
 * them before the transaction is undone.
 */
#include "structures/columns.h"

#include <stdlib.h>

#include "persistence/seam.h"
#include "structures/array_data.h"
#include "structures/item_byte.h"

#define CAPACITY_FIRST 64ull /* rows, when there was no room at all */

static int damaged(const struct sj_columns *columns, uint64_t at, const char *expected)
{
    return sj_segment_damaged(columns->segment, at, expected);
}

/* ------------------------------------------------------------------ reading */

static bool column_is_sound(const struct sj_columns_table *table, const struct sj_column *column)
{
    uint64_t text = (uint64_t)column->name_bytes + column->type_bytes;
    const char *type = (const char *)table + column->text + column->name_bytes;
    return column->item_bytes > 0 && column->name_bytes > 0 &&
           column->name_bytes <= SJ_COLUMN_NAME_MAX && column->type_bytes <= SJ_COLUMN_TYPE_MAX &&
           column->text >= sizeof *table + table->columns * sizeof *column &&
           column->text <= table->bytes && text <= table->bytes - column->text &&
           sj_array_type_is_text(type, column->type_bytes);
}

int sj_columns_table_find(const struct sj_columns *columns, struct sj_columns_table **found)
{
    uint64_t at = sj_tx_peek(columns->segment, &columns->head->table);
    struct sj_columns_table *table =
        sj_segment_block(columns->segment, at, sizeof *table, SJ_KIND_COLUMNS_TABLE);
    if (table == NULL || table->columns == 0 || table->columns > SJ_COLUMNS_MAX ||
        table->bytes < sizeof *table + table->columns * sizeof *table->column ||
        !sj_segment_spans(columns->segment, at, table->bytes))
        return damaged(columns, at, "the table of columns");
    uint64_t rows = sj_tx_peek(columns->segment, &columns->head->rows);
    if (table->capacity > columns->segment->reserved || rows > table->capacity)
        return damaged(columns, at, "a number of rows for which there is room");
    *found = table;
    return SJ_OK;
}

int sj_columns_open(struct sj_segment *segment, uint64_t at, struct sj_columns *columns)
{
    struct sj_columns_head *head = sj_segment_block(segment, at, sizeof *head, SJ_KIND_COLUMNS);
    if (head == NULL || (head->first.key & ~SJ_ITEM_SHARED) != 0 || head->first.value != 0 ||
        head->first.serial == 0)
        return sj_segment_damaged(segment, at, "the head of a table");
    *columns = (struct sj_columns){segment, head};
    struct sj_columns_table *table = NULL;
    return sj_columns_table_find(columns, &table);
}

int sj_columns_size(const struct sj_columns *columns, uint32_t *count, uint64_t *rows,
                    uint64_t *capacity)
{
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error != SJ_OK)
        return error;
    *count = table->columns;
    *rows = columns->head->rows;
    *capacity = table->capacity;
    return SJ_OK;
}

/* The block of a column, with all that it has room for. */
static int column_data(const struct sj_columns *columns, const struct sj_columns_table *table,
                       uint32_t number, struct sj_array_data **data)
{
    const struct sj_column *column = &table->column[number];
    uint64_t bytes;
    if (!column_is_sound(table, column) ||
        __builtin_mul_overflow(column->item_bytes, table->capacity, &bytes))
        return damaged(columns, (uint64_t)(uintptr_t)column, "a column");
    return sj_array_data_look(columns->segment, column->data, bytes, data);
}

int sj_columns_column(const struct sj_columns *columns, uint32_t number,
                      struct sj_column_spec *spec, struct sj_array_data **data)
{
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error == SJ_OK && number >= table->columns)
        error = sj_error(SJ_EINVAL, "column %u of %u", number, table->columns);
    if (error == SJ_OK)
        error = column_data(columns, table, number, data);
    if (error != SJ_OK)
        return error;
    const struct sj_column *column = &table->column[number];
    const char *name = (const char *)table + column->text;
    *spec = (struct sj_column_spec){name, name + column->name_bytes, column->item_bytes,
                                    column->name_bytes, column->type_bytes};
    return SJ_OK;
}

bool sj_columns_is_new(const struct sj_columns *columns, const struct sj_array_data *data)
{
    return sj_array_data_is_new(columns->segment, data);
}

/* ------------------------------------------------------------------ making */

static int check_specs(uint32_t count, const struct sj_column_spec *spec, uint64_t *bytes)
{
    *bytes = sizeof(struct sj_columns_table) + count * sizeof(struct sj_column);
    if (count == 0 || count > SJ_COLUMNS_MAX)
        return sj_error(SJ_EINVAL, "a table of %u columns: 1 to %d can be", count, SJ_COLUMNS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (spec[i].name_bytes == 0 || spec[i].name_bytes > SJ_COLUMN_NAME_MAX)
            return sj_error(SJ_EINVAL, "a column's name of %u bytes: 1 to %d can be",
                            spec[i].name_bytes, SJ_COLUMN_NAME_MAX);
        if (spec[i].item_bytes == 0 || spec[i].type_bytes > SJ_COLUMN_TYPE_MAX ||
            !sj_array_type_is_text(spec[i].type, spec[i].type_bytes))
            return sj_error(SJ_EINVAL, "a column's type that is no text of 1 to %d bytes",
                            SJ_COLUMN_TYPE_MAX);
        *bytes += (uint64_t)spec[i].name_bytes + spec[i].type_bytes;
    }
    return *bytes <= SJ_COLUMNS_TEXT_MAX
               ? SJ_OK
               : sj_error(SJ_ETOOBIG, "names and types of columns of %llu bytes",
                          (unsigned long long)*bytes);
}

/* The blocks of a table whose words are there. `zeros` of rows: none. */
static int make_blocks(struct sj_segment *segment, uint64_t capacity, uint32_t count,
                       struct sj_column *column)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < count && error == SJ_OK; i++) {
        uint64_t bytes;
        if (__builtin_mul_overflow(column[i].item_bytes, capacity, &bytes) ||
            capacity > segment->reserved)
            return sj_error(SJ_ETOOBIG, "room for %llu rows in '%s'", (unsigned long long)capacity,
                            segment->name);
        error = sj_array_data_make(segment, bytes, false, &column[i].data);
    }
    return error;
}

/* Stores a table that was put together elsewhere. */
static int make_table(struct sj_segment *segment, const struct sj_columns_table *from,
                      struct sj_columns_table **made)
{
    void *block = NULL;
    int error = sj_heap_alloc(segment, from->bytes, &block);
    if (error == SJ_OK)
        sj_copy(block, from, from->bytes);
    *made = block;
    return error;
}

/* A table in memory, which free() takes. */
static struct sj_columns_table *lay_out(uint32_t count, const struct sj_column_spec *spec,
                                        uint64_t bytes)
{
    struct sj_columns_table *table = calloc(1, bytes);
    uint64_t text = sizeof *table + count * sizeof *table->column;
    if (table == NULL)
        return NULL;
    *table = (struct sj_columns_table){
        .kind = SJ_KIND_COLUMNS_TABLE, .columns = (uint16_t)count, .bytes = (uint32_t)bytes};
    for (uint32_t i = 0; i < count; i++) {
        char *name = (char *)table + text;
        memcpy(name, spec[i].name, spec[i].name_bytes);
        memcpy(name + spec[i].name_bytes, spec[i].type, spec[i].type_bytes);
        table->column[i] = (struct sj_column){.item_bytes = spec[i].item_bytes,
                                              .name_bytes = spec[i].name_bytes,
                                              .type_bytes = spec[i].type_bytes,
                                              .text = (uint32_t)text};
        text += (uint64_t)spec[i].name_bytes + spec[i].type_bytes;
    }
    return table;
}

int sj_columns_make(struct sj_segment *segment, uint32_t count, const struct sj_column_spec *spec,
                    uint64_t capacity, uint64_t *at)
{
    struct sj_columns_head head = {.first.kind = SJ_KIND_COLUMNS};
    struct sj_columns_table *made = NULL;
    void *block = NULL;
    uint64_t bytes;
    int error = check_specs(count, spec, &bytes);
    if (error == SJ_OK)
        error = sj_structure_serial(&head.first.serial);
    if (error != SJ_OK)
        return error;
    struct sj_columns_table *table = lay_out(count, spec, bytes);
    if (table == NULL)
        return sj_error(SJ_ENOMEM, "a table of %u columns", count);
    table->capacity = capacity;
    error = make_blocks(segment, capacity, count, table->column);
    if (error == SJ_OK)
        error = make_table(segment, table, &made);
    free(table);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sizeof head, &block);
    if (error != SJ_OK)
        return error;
    head.table = (uint64_t)(uintptr_t)made;
    sj_copy(block, &head, sizeof head);
    *at = (uint64_t)(uintptr_t)block;
    return SJ_OK;
}

/* ------------------------------------------------------------------ other blocks */

static int free_table(struct sj_columns *columns, const struct sj_columns_table *table)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < table->columns && error == SJ_OK; i++)
        error = sj_array_data_free(columns->segment, table->column[i].data);
    return error == SJ_OK ? sj_heap_free(columns->segment, (uint64_t)(uintptr_t)table) : error;
}

/* Items of one size, each from another place. */
static void gather(char *to, const char *from, uint64_t item_bytes, const uint64_t *order,
                   uint64_t rows)
{
    for (uint64_t i = 0; i < rows; i++)
        sj_store_bytes(to + i * item_bytes, from + order[i] * item_bytes, item_bytes);
}

/* All rows, into blocks that nobody sees yet; in that order, or, NULL, their own. */
static int copy_rows(struct sj_columns *columns, const struct sj_columns_table *from,
                     const struct sj_columns_table *to, const uint64_t *order)
{
    uint64_t rows = columns->head->rows;
    for (uint32_t i = 0; i < from->columns; i++) {
        struct sj_array_data *source = NULL,
                             *target = (struct sj_array_data *)(uintptr_t)to->column[i].data;
        int error = column_data(columns, from, i, &source);
        if (error != SJ_OK)
            return error;
        uint64_t item_bytes = from->column[i].item_bytes;
        if (order != NULL)
            gather(sj_array_items(target), sj_array_items(source), item_bytes, order, rows);
        else if (rows > 0)
            sj_store_bytes(sj_array_items(target), sj_array_items(source), rows * item_bytes);
    }
    return SJ_OK;
}

/* Whether somebody looks at a column: before anything is copied for nothing. */
static int unviewed(const struct sj_columns *columns, const struct sj_columns_table *table)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < table->columns && error == SJ_OK; i++) {
        struct sj_array_data *data = NULL;
        error = column_data(columns, table, i, &data);
        if (error == SJ_OK)
            error = sj_segment_unviewed(columns->segment, table->column[i].data,
                                        sj_array_data_bytes(data));
    }
    return error;
}

/* Plans another table with other blocks in place of the one there is. */
static int plan_move(struct sj_columns *columns, struct sj_columns_table *old, uint64_t capacity,
                     const uint64_t *order, struct sj_columns_table **moved)
{
    struct sj_segment *segment = columns->segment;
    int error = unviewed(columns, old);
    if (error != SJ_OK)
        return error;
    struct sj_columns_table *table = malloc(old->bytes);
    if (table == NULL)
        return sj_error(SJ_ENOMEM, "a table of %u columns", old->columns);
    memcpy(table, old, old->bytes);
    table->capacity = capacity;
    error = make_blocks(segment, capacity, table->columns, table->column);
    if (error == SJ_OK)
        error = copy_rows(columns, old, table, order);
    if (error == SJ_OK)
        error = make_table(segment, table, moved);
    free(table);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &columns->head->table, (uint64_t)(uintptr_t)*moved);
    return error == SJ_OK ? free_table(columns, old) : error;
}

static int commit(struct sj_columns *columns, int error)
{
    if (error != SJ_OK)
        return sj_tx_op_abort(columns->segment, error);
    sj_tx_ready(columns->segment);
    return sj_tx_op_commit(columns->segment);
}

/* ------------------------------------------------------------------ changes */

/* Says that rows from `row` on are going to be stored: rows that nobody has, or (`had`) such as the
 * transaction gives up, whose bytes go to the log. */
static int plan_rows(struct sj_columns *columns, const struct sj_columns_table *table, uint64_t row,
                     uint64_t rows, bool had)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < table->columns && error == SJ_OK; i++) {
        struct sj_array_data *data = NULL;
        uint64_t item_bytes = table->column[i].item_bytes;
        error = column_data(columns, table, i, &data);
        if (error != SJ_OK)
            return error;
        uint64_t at = (uint64_t)(uintptr_t)sj_array_items(data) + row * item_bytes;
        uint64_t first = at & ~7ull, end = (at + rows * item_bytes + 7) & ~7ull;
        void *from = (void *)(uintptr_t)first;
        error = had ? sj_tx_range(columns->segment, from, end - first)
                    : sj_tx_fresh(columns->segment, from, end - first);
    }
    return error;
}

static void store_rows(const struct sj_columns_table *table, uint64_t row, uint64_t rows,
                       const struct sj_column_source *source)
{
    for (uint32_t i = 0; i < table->columns; i++) {
        uint64_t item_bytes = table->column[i].item_bytes;
        char *to = sj_array_items((struct sj_array_data *)(uintptr_t)table->column[i].data);
        const char *from = source[i].at;
        to += row * item_bytes;
        if ((uint64_t)source[i].stride == item_bytes || rows == 1) {
            sj_store_bytes(to, from, rows * item_bytes);
            continue;
        }
        for (uint64_t j = 0; j < rows; j++, to += item_bytes, from += source[i].stride)
            sj_store_bytes(to, from, item_bytes);
    }
}

/* Room for so many rows; the table that has it. */
static int plan_room(struct sj_columns *columns, uint64_t wanted, struct sj_columns_table **table)
{
    uint64_t capacity = 2 * (*table)->capacity;
    if (wanted <= (*table)->capacity)
        return SJ_OK;
    capacity = capacity < CAPACITY_FIRST ? CAPACITY_FIRST : capacity;
    return plan_move(columns, *table, wanted > capacity ? wanted : capacity, NULL, table);
}

int sj_columns_append(struct sj_columns *columns, uint64_t rows,
                      const struct sj_column_source *source)
{
    struct sj_segment *segment = columns->segment;
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    uint64_t had = columns->head->rows;
    if (error != SJ_OK || rows == 0)
        return error;
    if (rows > segment->reserved)
        return sj_error(SJ_ETOOBIG, "%llu rows in '%s'", (unsigned long long)rows, segment->name);
    error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = plan_room(columns, had + rows, &table);
    if (error == SJ_OK)
        error = plan_rows(columns, table, had, rows, false);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &columns->head->rows, had + rows);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    store_rows(table, had, rows, source);
    return sj_tx_op_commit(segment);
}

int sj_columns_reserve(struct sj_columns *columns, uint64_t capacity)
{
    struct sj_columns_table *table = NULL, *moved = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error != SJ_OK || capacity <= table->capacity)
        return error;
    error = sj_tx_op_begin(columns->segment);
    if (error != SJ_OK)
        return error;
    return commit(columns, plan_move(columns, table, capacity, NULL, &moved));
}

int sj_columns_truncate(struct sj_columns *columns, uint64_t rows)
{
    struct sj_segment *segment = columns->segment;
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    uint64_t had = columns->head->rows;
    if (error != SJ_OK || rows >= had)
        return error;
    if (sj_tx_depth(segment) == 0)
        return sj_tx_single_word(segment, &columns->head->rows, rows);
    error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = plan_rows(columns, table, rows, had - rows, true);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &columns->head->rows, rows);
    return commit(columns, error);
}

int sj_columns_order(struct sj_columns *columns, const uint64_t *order, uint64_t rows)
{
    struct sj_columns_table *table = NULL, *moved = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error != SJ_OK)
        return error;
    if (rows != columns->head->rows)
        return sj_error(SJ_EINVAL, "an order of %llu rows for a table of %llu",
                        (unsigned long long)rows, (unsigned long long)columns->head->rows);
    for (uint64_t i = 0; i < rows; i++)
        if (order[i] >= rows)
            return sj_error(SJ_EINVAL, "row %llu of %llu", (unsigned long long)order[i],
                            (unsigned long long)rows);
    error = sj_tx_op_begin(columns->segment);
    if (error != SJ_OK)
        return error;
    return commit(columns, plan_move(columns, table, table->capacity, order, &moved));
}

int sj_columns_destroy(struct sj_columns *columns)
{
    struct sj_columns_table *table = NULL;
    int error = sj_columns_table_find(columns, &table);
    if (error == SJ_OK)
        error = unviewed(columns, table);
    if (error == SJ_OK)
        error = free_table(columns, table);
    return error == SJ_OK ? sj_heap_free(columns->segment, (uint64_t)(uintptr_t)columns->head)
                          : error;
}
