// SPDX-License-Identifier: Apache-2.0
/*
 * test_columns.c: arrays and tables of columns: rows as a model has them through appends, growth,
 * orders and transactions; what is looked at does not move; new arrays are zeros; and damage of any
 * word is told, whatever it is.
 */
#include "columns_world.h"
#include "image.h"

/* ------------------------------------------------------------------ arrays */

static uint64_t make_array(struct sj_segment *segment, const struct sj_array_spec *spec)
{
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_array_make(segment, spec, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    return head;
}

static void drop_array(struct sj_segment *segment, uint64_t head)
{
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_array_type.destroy(segment, head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

static bool is_zero(const struct sj_array *array)
{
    const char *items = sj_array_items(array->data);
    for (uint64_t i = 0; i < array->bytes; i++)
        if (items[i] != 0)
            return false;
    return true;
}

/* Also in memory that was something else before. */
static void new_arrays_are_zeros(void)
{
    struct sj_segment *segment = test_segment("zeros");
    uint64_t head[8] = {0}, blocks = 0;
    for (int turn = 0; turn < 200; turn++) {
        uint64_t *slot = &head[test_below(8)];
        if (*slot != 0)
            drop_array(segment, *slot);
        uint64_t shape[2] = {1 + test_below(3),
                             test_below(4) == 0 ? test_below(900000) : test_below(2000)};
        struct sj_array_spec spec = {2, shape, 1 + test_below(9), "'|V1'", 5};
        struct sj_array array;
        *slot = make_array(segment, &spec);
        CHECK_OK(sj_array_open(segment, *slot, &array));
        CHECK(array.bytes == shape[0] * shape[1] * spec.item_bytes);
        CHECK((uint64_t)(uintptr_t)sj_array_items(array.data) % SJ_ARRAY_ALIGN == 0);
        CHECK(is_zero(&array));
        memset(sj_array_items(array.data), 0x5a, array.bytes);
    }
    for (int i = 0; i < 8; i++)
        if (head[i] != 0)
            drop_array(segment, head[i]);
    CHECK_OK(sj_heap_check(segment, world_count_block, &blocks));
    CHECK(blocks == 0);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(remove(test_path("zeros")) == 0);
}

static void what_no_array_can_be(void)
{
    struct sj_segment *segment = test_segment("wrong");
    uint64_t shape[40] = {1ull << 40, 1ull << 40}, head;
    struct sj_array_spec wrong[] = {
        {33, shape, 1, "x", 1}, {1, shape, 0, "x", 1},    {1, shape, 1, "x\n", 2},
        {1, shape, 1, "", 0},   {2, shape, 8, "'f8'", 4}, {1, shape, 8, "'f8'", 4},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_OK(sj_tx_op_begin(segment));
        int error = sj_array_make(segment, &wrong[i], &head);
        CHECK(error == SJ_EINVAL || error == SJ_ETOOBIG);
        CHECK(sj_tx_op_abort(segment, error) == error);
    }
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(remove(test_path("wrong")) == 0);
}

/* ------------------------------------------------------------------ columns beside the model */

static void step(struct world *world, uint64_t *number)
{
    uint64_t room = WORLD_ROWS_MAX - world->rows;
    switch (test_below(8)) {
    case 0:
        world_truncate(world, test_below(world->rows + 2));
        break;
    case 1:
        world_order(world);
        break;
    case 2:
        CHECK_OK(sj_columns_reserve(&world->table, test_below(300)));
        break;
    case 3:
        world_append(world, *number, room < 200 ? room : test_below(200));
        break;
    default:
        world_append(world, *number, room > 0);
    }
    *number += 1000;
}

static void rows_are_as_the_model_has_them(void)
{
    struct world *world = world_make("model", test_below(2) * 7);
    static struct world before[3];
    uint64_t number = 1;
    for (int turn = 0; turn < 400; turn++) {
        uint32_t depth = (uint32_t)test_below(3);
        for (uint32_t i = 0; i < depth; i++) {
            before[i] = *world;
            CHECK_OK(sj_tx_begin(world->segment));
            for (uint64_t steps = test_below(6); steps > 0; steps--)
                step(world, &number);
        }
        step(world, &number);
        CHECK(world_has(world, world->value, world->rows));
        while (depth-- > 0) {
            if (test_below(2) == 0) {
                sj_tx_abort(world->segment);
                *world = before[depth];
            } else {
                CHECK_OK(sj_tx_commit(world->segment));
            }
            CHECK(world_has(world, world->value, world->rows));
        }
        world_check(world, 0);
    }
    world_drop(world, "model");
}

static void wrong_orders_change_nothing(void)
{
    struct world *world = world_make("orders", 4);
    uint64_t order[3] = {2, 1, 3};
    world_append(world, 1, 3);
    CHECK(sj_columns_order(&world->table, order, 3) == SJ_EINVAL);
    CHECK(sj_columns_order(&world->table, order, 2) == SJ_EINVAL);
    CHECK(sj_columns_reserve(&world->table, UINT64_MAX / 2) == SJ_ETOOBIG);
    CHECK(world_append_rows(world, &(struct world_row){0}, UINT64_MAX / 4) == SJ_ETOOBIG);
    CHECK(world_has(world, world->value, 3));
    world_check(world, 0);
    world_drop(world, "orders");
}

/* ------------------------------------------------------------------ what is looked at */

static uint64_t looked_at;

static bool is_looked_at(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                         bool writable)
{
    (void)segment, (void)writable;
    return looked_at - at < bytes;
}

static void nothing_moves_while_it_is_looked_at(void)
{
    struct world *world = world_make("viewed", 4);
    struct sj_column_spec spec;
    struct sj_array_data *data;
    uint64_t order[4] = {3, 2, 1, 0};
    world->segment->viewed = is_looked_at;
    world_append(world, 1, 4);
    for (uint32_t i = 0; i < WORLD_COLUMNS; i++) {
        CHECK_OK(sj_columns_column(&world->table, i, &spec, &data));
        looked_at = (uint64_t)(uintptr_t)sj_array_items(data);
        CHECK(world_append_rows(world, &(struct world_row){0}, 1) == SJ_EVIEWS);
        CHECK(sj_columns_reserve(&world->table, 5) == SJ_EVIEWS);
        CHECK(sj_columns_order(&world->table, order, 4) == SJ_EVIEWS);
        CHECK_OK(sj_tx_op_begin(world->segment));
        int error = sj_columns_type.destroy(world->segment, world->head);
        CHECK(error == SJ_EVIEWS && sj_tx_op_abort(world->segment, error) == error);
        CHECK(world_has(world, world->value, 4));
        world_check(world, 0);
    }
    looked_at = 0;
    world_append(world, 9, 1);
    CHECK(world_has(world, world->value, 5));
    world_drop(world, "viewed");
}

/* ------------------------------------------------------------------ damage */

static bool may_be(int error)
{
    return error == SJ_OK || error == SJ_ECORRUPT || error == SJ_ETOOBIG || error == SJ_EFULL ||
           error == SJ_EINVAL || error == SJ_ENOTFOUND;
}

/* All that can be done, on media that are damaged. */
static void use(struct world *world, uint64_t array_head)
{
    static const uint64_t order[8] = {7, 6, 5, 4, 3, 2, 1, 0};
    struct sj_structure_info info;
    struct sj_columns table;
    struct sj_array array;
    struct world_row rows[20] = {{0}};
    uint64_t blocks = 0, shape[2] = {5, 5};
    CHECK(may_be(sj_structure_look(world->segment, world->head, 0, &info)));
    CHECK(may_be(sj_columns_type.check(world->segment, world->head, world_count_block, &blocks)));
    CHECK(may_be(sj_array_type.check(world->segment, array_head, world_count_block, &blocks)));
    if (sj_array_open(world->segment, array_head, &array) == SJ_OK) {
        CHECK_OK(sj_tx_op_begin(world->segment));
        int error = sj_array_reshape(&array, 2, shape);
        CHECK(may_be(error));
        sj_tx_op_abort(world->segment, SJ_EINVAL);
    }
    if (sj_columns_open(world->segment, world->head, &table) == SJ_OK) {
        struct world other = *world;
        other.table = table;
        CHECK(may_be(sj_columns_order(&table, order, 8)));
        CHECK(may_be(world_append_rows(&other, rows, 1)));
        CHECK(may_be(sj_columns_truncate(&table, 3)));
        CHECK(may_be(world_append_rows(&other, rows, 20)));
    }
    CHECK_OK(sj_tx_op_begin(world->segment));
    int error = sj_columns_type.destroy(world->segment, world->head);
    CHECK(may_be(error));
    sj_tx_op_abort(world->segment, SJ_EINVAL);
}

static void damage_words(struct world *world, uint64_t array_head, uint64_t at, uint64_t bytes)
{
    const uint64_t wrong[] = {0,
                              1,
                              UINT64_MAX,
                              1ull << 63,
                              7,
                              world->head,
                              array_head,
                              (uint64_t)(uintptr_t)world->segment->base,
                              (uint64_t)(uintptr_t)world->segment->base + (1ull << 29)};
    for (uint64_t word = at; word < at + bytes; word += 8)
        for (uint64_t i = 0; i < 64 + sizeof wrong / sizeof *wrong; i++) {
            uint64_t *place = (uint64_t *)(uintptr_t)word;
            *place = i < 64 ? *place ^ 1ull << i : wrong[i - 64];
            use(world, array_head);
            image_restore(world->segment);
        }
}

static void damage_is_told(void)
{
    struct world *world = world_make("damage", 8);
    uint64_t shape[2] = {3, 4};
    struct sj_array_spec spec = {2, shape, 4, "'<i4'", 5};
    uint64_t array_head = make_array(world->segment, &spec), item;
    struct sj_column_spec column;
    struct sj_array_data *data;
    struct sj_array array;
    world_append(world, 1, 8);
    image_take(world->segment);
    damage_words(world, array_head, world->head, sizeof(struct sj_columns_head));
    uint64_t table = world->table.head->table;
    damage_words(world, array_head, table, ((struct sj_columns_table *)(uintptr_t)table)->bytes);
    for (uint32_t i = 0; i < WORLD_COLUMNS; i++) {
        CHECK_OK(sj_columns_column(&world->table, i, &column, &data));
        damage_words(world, array_head, (uint64_t)(uintptr_t)data, 24);
    }
    CHECK_OK(sj_array_open(world->segment, array_head, &array));
    damage_words(world, array_head, array_head, 56);
    damage_words(world, array_head, (uint64_t)(uintptr_t)array.data, 24);
    item = array.head->data;
    array.head->data = world->table.head->table; /* another kind */
    CHECK(sj_array_open(world->segment, array_head, &array) == SJ_ECORRUPT);
    array.head->data = item;
    CHECK(world_has(world, world->value, 8));
    world_check(world, 2);
    world_drop(world, "damage");
}

int main(void)
{
    test_begin();
    new_arrays_are_zeros();
    what_no_array_can_be();
    rows_are_as_the_model_has_them();
    wrong_orders_change_nothing();
    nothing_moves_while_it_is_looked_at();
    damage_is_told();
    free(image);
    printf("ok\n");
    return 0;
}
