// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_array.c: the items of arrays, and of the columns of tables: blocks as a whole.
 *
 *   array     its head has shape and type, and leads to one block of items
 *   table     its head leads to the table, which has the columns' types, and leads to their blocks
 *
 * Without the head, or the table, nothing tells what bytes are. Where the head of a block of items
 * is damaged what leads to it is believed, and all of the items are doubtful. Items beyond the end
 * of the file are not there.
 */
#include "structures/array_layout.h"
#include "structures/columns_layout.h"
#include "structures/salvage_parts.h"

/* How many items a shape has; false: more than addresses. */
static bool count_items(const struct sj_array_head *head, uint64_t *items)
{
    bool fits = true;
    *items = 1;
    for (uint32_t i = 0; i < head->dims; i++)
        fits &= !__builtin_mul_overflow(*items, head->shape[i], items);
    return fits;
}

uint64_t salvage_array_count(const struct sj_salvage *salvage, uint16_t kind, uint64_t at)
{
    uint64_t items, bytes;
    if (kind == SJ_KIND_COLUMNS)
        return ((const struct sj_columns_head *)(uintptr_t)at)->rows;
    const struct sj_array_head *head = (const struct sj_array_head *)(uintptr_t)at;
    if (!count_items(head, &items) || __builtin_mul_overflow(items, head->item_bytes, &bytes) ||
        bytes > salvage->segment->reserved)
        return 0;
    return items;
}

bool salvage_is_array(const struct sj_segment *segment, uint64_t at)
{
    const struct sj_array_head *head = sj_segment_block(segment, at, sizeof *head, SJ_KIND_ARRAY);
    return head != NULL && (head->first.key & ~SJ_ITEM_SHARED) == 0 && head->first.value == 0 &&
           head->first.serial != 0 && head->item_bytes != 0 && head->dims <= SJ_ARRAY_DIMS_MAX &&
           head->type_bytes <= SJ_ARRAY_TYPE_MAX &&
           sj_segment_holds(segment, at, sizeof *head + 8ull * head->dims + head->type_bytes);
}

bool salvage_is_columns(const struct sj_segment *segment, uint64_t at)
{
    const struct sj_columns_head *head =
        sj_segment_block(segment, at, sizeof *head, SJ_KIND_COLUMNS);
    return head != NULL && (head->first.key & ~SJ_ITEM_SHARED) == 0 && head->first.value == 0 &&
           head->first.serial != 0;
}

/* The items of a block of so many bytes; those that the file has. */
static bool find_items(struct sj_salvage *salvage, uint32_t structure, uint64_t at, uint64_t bytes,
                       struct sj_salvage_part *part)
{
    const struct sj_segment *segment = salvage->segment;
    const struct sj_array_data *data =
        sj_segment_block(segment, at, sizeof *data, SJ_KIND_ARRAY_DATA);
    uint64_t committed = sj_segment_committed(segment), offset = salvage_offset(salvage, at);
    part->doubt = data == NULL || data->bytes < bytes;
    if (part->doubt)
        salvage_tell(salvage, at, structure, "the head of a block of items");
    if ((at & 7) != 0 || offset < segment->meta_bytes || offset >= committed ||
        committed - offset <= sizeof *data || (part->doubt && bytes > committed - offset))
        return false;
    uint64_t room = committed - offset - sizeof *data;
    part->items = (const uint8_t *)(uintptr_t)at + sizeof *data;
    part->bytes = bytes < room ? bytes : room;
    return true;
}

/* ------------------------------------------------------------------ parts */

/* The table of a head, as far as it can be used. */
static const struct sj_columns_table *table_of(const struct sj_salvage *salvage,
                                               const struct sj_salvage_structure *told)
{
    const struct sj_columns_head *head = (const struct sj_columns_head *)(uintptr_t)told->head;
    const struct sj_columns_table *table =
        sj_segment_block(salvage->segment, head->table, sizeof *table, SJ_KIND_COLUMNS_TABLE);
    if (table == NULL || table->columns > SJ_COLUMNS_MAX || head->rows > table->capacity ||
        table->bytes < sizeof *table + table->columns * sizeof *table->column ||
        !sj_segment_holds(salvage->segment, head->table, table->bytes))
        return NULL;
    return table;
}

uint32_t sj_salvage_parts(struct sj_salvage *salvage, uint32_t structure)
{
    const struct sj_salvage_structure *told = &salvage->structure[structure].told;
    if (!told->has_head || (told->type != SJ_KIND_ARRAY && told->type != SJ_KIND_COLUMNS))
        return 0;
    if (told->type == SJ_KIND_ARRAY)
        return 1;
    const struct sj_columns_table *table = table_of(salvage, told);
    if (table == NULL)
        salvage_tell(salvage, told->head, structure, "a table of columns, or what leads to it");
    return table == NULL ? 0 : table->columns;
}

static bool array_part(struct sj_salvage *salvage, uint32_t structure, struct sj_salvage_part *part)
{
    const struct sj_salvage_structure *told = &salvage->structure[structure].told;
    const struct sj_array_head *head = (const struct sj_array_head *)(uintptr_t)told->head;
    uint64_t items, bytes;
    if (!salvage_is_array(salvage->segment, told->head) || !count_items(head, &items) ||
        __builtin_mul_overflow(items, head->item_bytes, &bytes))
        return false;
    part->shape = head->shape;
    part->dims = head->dims;
    part->item_bytes = head->item_bytes;
    part->type = (const char *)(head->shape + head->dims);
    part->type_bytes = head->type_bytes;
    return find_items(salvage, structure, head->data, bytes, part);
}

static bool column_part(struct sj_salvage *salvage, uint32_t structure, uint32_t number,
                        struct sj_salvage_part *part)
{
    const struct sj_salvage_structure *told = &salvage->structure[structure].told;
    const struct sj_columns_head *head = (const struct sj_columns_head *)(uintptr_t)told->head;
    const struct sj_columns_table *table = table_of(salvage, told);
    uint64_t bytes;
    if (table == NULL || number >= table->columns)
        return false;
    const struct sj_column *column = &table->column[number];
    if (column->item_bytes == 0 || column->name_bytes == 0 || column->text > table->bytes ||
        (uint64_t)column->name_bytes + column->type_bytes > table->bytes - column->text ||
        __builtin_mul_overflow(column->item_bytes, head->rows, &bytes))
        return false;
    part->shape = &head->rows;
    part->dims = 1;
    part->item_bytes = column->item_bytes;
    part->name = (const char *)table + column->text;
    part->name_bytes = column->name_bytes;
    part->type = part->name + column->name_bytes;
    part->type_bytes = column->type_bytes;
    return find_items(salvage, structure, column->data, bytes, part);
}

bool sj_salvage_part(struct sj_salvage *salvage, uint32_t structure, uint32_t number,
                     struct sj_salvage_part *part)
{
    const struct sj_salvage_structure *told = &salvage->structure[structure].told;
    *part = (struct sj_salvage_part){0};
    if (told->type == SJ_KIND_ARRAY ? array_part(salvage, structure, part)
                                    : column_part(salvage, structure, number, part))
        return true;
    salvage_tell(salvage, told->head, structure, "an array, or a column");
    return false;
}
