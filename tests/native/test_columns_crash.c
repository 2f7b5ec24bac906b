// SPDX-License-Identifier: Apache-2.0
/*
 * test_columns_crash.c: a process dies before every store of a change of a table of columns, or of
 * an array (a -DSJ_SEAM build).
 *
 * Each change is tried again and again from the same state, each time dying one store later. After
 * recovery the table must be as it was before the change or as after it, sound, and no block may
 * be lost. Long changes are sampled.
 */
#include "columns_world.h"

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include "image.h"

#define EXACT  400 /* stores that are tried one by one */
#define STRIDE 60

struct crash {
    struct world *world;
    void (*change)(struct world *world);
};

static void body(void *context)
{
    struct crash *crash = context;
    crash->change(crash->world);
}

static void dies_at_every_store(const char *name, struct world *world,
                                void (*change)(struct world *world))
{
    static struct world before, after;
    uint64_t stores = 0, crashes = 0, earlier = 0;
    struct crash crash = {world, change};
    image_take(world->segment);
    before = *world;
    change(world);
    CHECK(world_has(world, world->value, world->rows));
    world_check(world, 0);
    after = *world;
    *world = before;
    image_restore(world->segment);
    while (test_crash_at(stores, body, &crash)) {
        sj_tx_forget(world->segment);
        CHECK_OK(sj_segment_recover(world->segment));
        bool was = world_has(world, before.value, before.rows);
        CHECK(was || world_has(world, after.value, after.rows));
        earlier += was;
        crashes++;
        world_check(world, 0);
        image_restore(world->segment);
        stores += stores < EXACT ? 1 : 1 + test_below(STRIDE);
    }
    CHECK(earlier > 0);
    printf("%s: %" PRIu64 " stores, %" PRIu64 " crashes, %" PRIu64 " rolled back\n", name, stores,
           crashes, earlier);
    image_restore(world->segment);
    change(world); /* for the next one to go on from */
    CHECK(world_has(world, world->value, world->rows));
}

static void append_one(struct world *world)
{
    world_append(world, 1000, 1);
}

static void append_some(struct world *world)
{
    world_append(world, 2000, 9);
}

/* More than there is room for. */
static void grow(struct world *world)
{
    world_append(world, 3000, 40);
}

static void give_up(struct world *world)
{
    world_truncate(world, world->rows - 5);
}

static void transact(struct world *world)
{
    static struct world inner;
    CHECK_OK(sj_tx_begin(world->segment));
    world_truncate(world, world->rows / 2);
    world_append(world, 5000, 3);
    CHECK_OK(sj_tx_begin(world->segment));
    inner = *world;
    world_truncate(world, 1);
    world_append(world, 6000, 2);
    world_order(world);
    sj_tx_abort(world->segment);
    *world = inner;
    world_order(world);
    world_append(world, 7000, 60);
    CHECK_OK(sj_tx_commit(world->segment));
}

/* An array that is made, changed in size and dropped again, which leaves no block behind. */
static void array_comes_and_goes(struct world *world)
{
    uint64_t shape[1] = {20}, longer[1] = {50}, head;
    struct sj_array_spec spec = {1, shape, 2, "'<u2'", 5};
    struct sj_array array;
    struct sj_segment *segment = world->segment;
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_array_make(segment, &spec, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_array_open(segment, head, &array));
    CHECK(sj_array_is_new(&array));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_array_reshape(&array, 1, longer));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_array_open(segment, head, &array));
    CHECK(array.bytes == 100);
    world_append(world, 8000, 1);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_array_type.destroy(segment, head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_tx_commit(segment));
}

int main(void)
{
    test_begin();
    struct world *world = world_make("crash", 16);
    world_append(world, 1, 3);
    dies_at_every_store("append", world, append_one);
    dies_at_every_store("append some", world, append_some);
    dies_at_every_store("grow", world, grow);
    dies_at_every_store("truncate", world, give_up);
    dies_at_every_store("order", world, world_order);
    dies_at_every_store("transaction", world, transact);
    dies_at_every_store("array", world, array_comes_and_goes);
    world_drop(world, "crash");
    free(image);
    printf("ok\n");
    return 0;
}

#endif
