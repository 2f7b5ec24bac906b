// SPDX-License-Identifier: Apache-2.0
/*
 * columns_layout.h: a table of columns on the media.
 *
 *   head ─→ table ─→ a block of items for each column (array_layout.h), with room for `capacity`
 *
 *   head    0   structure_layout.h: kind 22
 *           8   u64  rows
 *           16  u64  table: its address
 *           24  zero
 *
 *   table   0   u16  kind 23 | u16 columns | u32 bytes of it, with all text
 *           8   u64  capacity, in rows
 *           16  columns × 24: u64 data | u64 item_bytes | u16 name_bytes | u16 type_bytes |
 *                             u32 text: where its name begins, and behind it its type
 *           then  the text
 *
 * I1  Rows from `rows` on are nobody's: whatever lies there. They become rows by the one word.
 * I2  A table never changes: another capacity, or order of rows, is another table and other blocks.
 */
#ifndef SJ_STRUCTURES_COLUMNS_LAYOUT_H
#define SJ_STRUCTURES_COLUMNS_LAYOUT_H

#include "persistence/media_layout.h"
#include "structures/structure_layout.h"

#define SJ_COLUMNS_MAX      1024
#define SJ_COLUMN_NAME_MAX  1024  /* bytes */
#define SJ_COLUMN_TYPE_MAX  32768 /* bytes */
#define SJ_COLUMNS_TEXT_MAX (4u << 20)

struct sj_columns_head {
    struct sj_structure_head first;
    uint64_t rows;
    uint64_t table;
    uint64_t zero64;
};

struct sj_column {
    uint64_t data;
    uint64_t item_bytes;
    uint16_t name_bytes;
    uint16_t type_bytes;
    uint32_t text;
};

struct sj_columns_table {
    uint16_t kind;
    uint16_t columns;
    uint32_t bytes;
    uint64_t capacity;
    struct sj_column column[];
};

_Static_assert(sizeof(struct sj_columns_head) == 32, "media");
_Static_assert(offsetof(struct sj_columns_head, rows) == 8, "media");
_Static_assert(offsetof(struct sj_columns_head, table) == 16, "media");
_Static_assert(sizeof(struct sj_column) == 24, "media");
_Static_assert(offsetof(struct sj_column, item_bytes) == 8, "media");
_Static_assert(offsetof(struct sj_column, name_bytes) == 16, "media");
_Static_assert(offsetof(struct sj_column, type_bytes) == 18, "media");
_Static_assert(offsetof(struct sj_column, text) == 20, "media");
_Static_assert(sizeof(struct sj_columns_table) == 16, "media");
_Static_assert(offsetof(struct sj_columns_table, columns) == 2, "media");
_Static_assert(offsetof(struct sj_columns_table, bytes) == 4, "media");
_Static_assert(offsetof(struct sj_columns_table, capacity) == 8, "media");

#endif
