// SPDX-License-Identifier: Apache-2.0
/*
 * columns_world.h: a table of three columns beside a naive model of it, for the tests of arrays and
 * columns.
 *
 * Row number n of version v has values that are made from both, so that comparing needs no second
 * copy: the model keeps one number for each row.
 */
#ifndef SJ_TESTS_COLUMNS_WORLD_H
#define SJ_TESTS_COLUMNS_WORLD_H

#include "harness.h"

#include "structures/array.h"
#include "structures/array_data.h"
#include "structures/columns.h"

#define WORLD_ROWS_MAX 4096
#define WORLD_COLUMNS  3

static const struct sj_column_spec world_spec[WORLD_COLUMNS] = {
    {"flag", "'<u2'", 2, 4, 5},
    {"position", "'<i8'", 8, 8, 5},
    {"code", "'|S3'", 3, 4, 5},
};

struct world {
    struct sj_segment *segment;
    struct sj_columns table;
    uint64_t head;
    uint64_t rows;
    uint64_t value[WORLD_ROWS_MAX];
};

/* One row, as an append takes it: items that lie in a struct. */
struct world_row {
    uint64_t position;
    uint16_t flag;
    char code[3];
};

static inline struct world_row world_row(uint64_t value)
{
    struct world_row row = {.position = value * 0x9e3779b97f4a7c15ull, .flag = (uint16_t)value};
    memcpy(row.code, &value, sizeof row.code);
    return row;
}

static inline void world_make_table(struct world *world, uint64_t capacity)
{
    CHECK_OK(sj_tx_op_begin(world->segment));
    CHECK_OK(sj_columns_make(world->segment, WORLD_COLUMNS, world_spec, capacity, &world->head));
    sj_tx_ready(world->segment);
    CHECK_OK(sj_tx_op_commit(world->segment));
    CHECK_OK(sj_columns_open(world->segment, world->head, &world->table));
}

static inline struct world *world_make(const char *name, uint64_t capacity)
{
    struct world *world = calloc(1, sizeof *world);
    CHECK(world != NULL);
    world->segment = test_segment(name);
    world_make_table(world, capacity);
    return world;
}

static inline void world_drop(struct world *world, const char *name)
{
    CHECK_OK(sj_segment_close(world->segment, true));
    CHECK(remove(test_path(name)) == 0);
    free(world);
}

/* Of rows that lie one behind the other. */
static inline int world_append_rows(struct world *world, const struct world_row *rows,
                                    uint64_t count)
{
    const struct sj_column_source source[WORLD_COLUMNS] = {
        {(const char *)&rows->flag, sizeof *rows},
        {(const char *)&rows->position, sizeof *rows},
        {rows->code, sizeof *rows},
    };
    return sj_columns_append(&world->table, count, source);
}

static inline void world_append(struct world *world, uint64_t first, uint64_t count)
{
    static struct world_row rows[WORLD_ROWS_MAX];
    CHECK(world->rows + count <= WORLD_ROWS_MAX);
    for (uint64_t i = 0; i < count; i++) {
        rows[i] = world_row(first + i);
        world->value[world->rows + i] = first + i;
    }
    CHECK_OK(world_append_rows(world, rows, count));
    world->rows += count;
}

static inline void world_truncate(struct world *world, uint64_t rows)
{
    CHECK_OK(sj_columns_truncate(&world->table, rows));
    world->rows = rows < world->rows ? rows : world->rows;
}

/* Backwards, with rows swapped here and there. */
static inline void world_order(struct world *world)
{
    static uint64_t order[WORLD_ROWS_MAX], value[WORLD_ROWS_MAX];
    for (uint64_t i = 0; i < world->rows; i++)
        order[i] = world->rows - 1 - (i % 3 == 0 && i > 0 ? i - 1 : i);
    memcpy(value, world->value, sizeof value);
    CHECK_OK(sj_columns_order(&world->table, order, world->rows));
    for (uint64_t i = 0; i < world->rows; i++)
        world->value[i] = value[order[i]];
}

/* Whether the table has just those rows. */
static inline bool world_has(const struct world *world, const uint64_t *value, uint64_t rows)
{
    struct sj_column_spec spec;
    struct sj_array_data *data[WORLD_COLUMNS];
    uint64_t found, capacity;
    uint32_t count;
    CHECK_OK(sj_columns_size(&world->table, &count, &found, &capacity));
    CHECK(count == WORLD_COLUMNS && found <= capacity);
    if (found != rows)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        CHECK_OK(sj_columns_column(&world->table, i, &spec, &data[i]));
        CHECK(spec.item_bytes == world_spec[i].item_bytes);
        CHECK(spec.name_bytes == world_spec[i].name_bytes);
        CHECK(memcmp(spec.name, world_spec[i].name, spec.name_bytes) == 0);
        CHECK(memcmp(spec.type, world_spec[i].type, spec.type_bytes) == 0);
    }
    for (uint64_t i = 0; i < rows; i++) {
        struct world_row row = world_row(value[i]);
        if (memcmp(sj_array_items(data[0]) + 2 * i, &row.flag, 2) != 0 ||
            memcmp(sj_array_items(data[1]) + 8 * i, &row.position, 8) != 0 ||
            memcmp(sj_array_items(data[2]) + 3 * i, row.code, 3) != 0)
            return false;
    }
    return true;
}

static inline int world_count_block(void *context, uint64_t block, uint64_t bytes)
{
    (void)block, (void)bytes;
    ++*(uint64_t *)context;
    return SJ_OK;
}

/* Sound, and no block of the heap is without an owner; `others`: how many there are besides. */
static inline void world_check(const struct world *world, uint64_t others)
{
    uint64_t owned = 0, used = 0;
    CHECK_OK(sj_columns_check(&world->table, world_count_block, &owned));
    CHECK_OK(sj_heap_check(world->segment, world_count_block, &used));
    CHECK(owned == 2 + WORLD_COLUMNS && used == owned + others);
}

#endif
