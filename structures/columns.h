// SPDX-License-Identifier: Apache-2.0
/*
 * columns.h: a table in columns: each a block of items of one size, to which rows are appended.
 *
 * The caller has a read hold to look, a write hold to change. Every change is one atomic operation,
 * alone or inside a transaction. Damage is SJ_ECORRUPT and changes nothing. What would move or free
 * a block that somebody looks at (spacejmp/views.h) is SJ_EVIEWS, and changes nothing.
 *
 * Cost: an append copies its rows, and logs one word; when the capacity is used up, all is copied
 * into blocks of twice the size, so that is O(1) amortised.
 */
#ifndef SJ_STRUCTURES_COLUMNS_H
#define SJ_STRUCTURES_COLUMNS_H

#include "persistence/heap.h"
#include "structures/array_layout.h"
#include "structures/columns_layout.h"
#include "structures/structure.h"

struct sj_column_spec {
    const char *name;
    const char *type;
    uint64_t item_bytes;
    uint16_t name_bytes;
    uint16_t type_bytes;
};

/* A table in this process. */
struct sj_columns {
    struct sj_segment *segment;
    struct sj_columns_head *head;
};

/* Where the values of one column come from, of one row after the other. */
struct sj_column_source {
    const char *at;
    int64_t stride;
};

/* Makes a table without rows; in the plan of an operation that the caller has begun. SJ_EINVAL,
 * SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG, SJ_EIO. */
SJ_API int sj_columns_make(struct sj_segment *segment, uint32_t count,
                           const struct sj_column_spec *spec, uint64_t capacity, uint64_t *head);

/* Opens the table whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_columns_open(struct sj_segment *segment, uint64_t head, struct sj_columns *columns);

/* How many columns, rows, and rows there is room for. SJ_ECORRUPT. */
SJ_API int sj_columns_size(const struct sj_columns *columns, uint32_t *count, uint64_t *rows,
                           uint64_t *capacity);

/* One column: what it is, and its block, which has all rows. SJ_ECORRUPT. */
SJ_API int sj_columns_column(const struct sj_columns *columns, uint32_t number,
                             struct sj_column_spec *spec, struct sj_array_data **data);

/* Whether the open transaction has made that block. */
SJ_API bool sj_columns_is_new(const struct sj_columns *columns, const struct sj_array_data *data);

/* Appends rows, `source` of each column. SJ_EVIEWS, SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG. */
SJ_API int sj_columns_append(struct sj_columns *columns, uint64_t rows,
                             const struct sj_column_source *source);

/* Makes room for so many rows in all, if there is less. Errors of sj_columns_append. */
SJ_API int sj_columns_reserve(struct sj_columns *columns, uint64_t capacity);

/* Keeps the first `rows`; more than there are: nothing changes. In a transaction the others go to
 * its log, for they are overwritten by what is appended. SJ_EFULL, SJ_ENOMEM. */
SJ_API int sj_columns_truncate(struct sj_columns *columns, uint64_t rows);

/* Row i becomes what row order[i] was; `order` has a number for each row. SJ_EINVAL: one of them is
 * no row. Errors of sj_columns_append. */
SJ_API int sj_columns_order(struct sj_columns *columns, const uint64_t *order, uint64_t rows);

/* Frees the table with its head, in the plan of an operation that the caller has begun. */
int sj_columns_destroy(struct sj_columns *columns);

/* Verifies all of it, and calls `visit` (or none when it is NULL) for each of its blocks. */
SJ_API int sj_columns_check(const struct sj_columns *columns, sj_heap_visit *visit, void *context);

extern const struct sj_structure_type sj_columns_type;

/* For columns*.c: the table, its words checked but for the blocks of its columns. */
int sj_columns_table_find(const struct sj_columns *columns, struct sj_columns_table **table);

#endif
