// SPDX-License-Identifier: Apache-2.0
/*
 * test_record_crash.c: a process dies before every store of what changes records (a -DSJ_SEAM
 * build).
 *
 * Each change is tried again and again from the same state, each time dying one store later. After
 * recovery every record must be as it was before the change or as after it, all of the same side,
 * and no block may be lost.
 */
#include "record_world.h"

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include "image.h"

struct crash {
    struct world *world;
    void (*change)(struct world *world);
};

static void body(void *context)
{
    struct crash *crash = context;
    crash->change(crash->world);
}

static bool all_match(const struct world *world)
{
    for (uint32_t i = 0; i < WORLD_RECORDS; i++)
        if (world->thing[i] != NULL && !world_matches(world, i, world->version[i]))
            return false;
    return true;
}

static void dies_at_every_store(const char *name, struct world *world,
                                void (*change)(struct world *world))
{
    uint64_t stores = 0, earlier = 0;
    struct world before = *world, after;
    struct crash crash = {world, change};
    image_take(world->segment);
    change(world); /* what it does, found out once without a crash */
    world_check(world);
    after = *world;
    *world = before;
    image_restore(world->segment);
    world_check(world);
    for (; test_crash_at(stores, body, &crash); stores++) {
        sj_tx_forget(world->segment);
        CHECK_OK(sj_segment_recover(world->segment));
        bool old = all_match(&before);
        CHECK(old || all_match(&after));
        earlier += old;
        world_check_blocks(world);
        image_restore(world->segment);
    }
    CHECK(earlier > 0);
    printf("%s: %" PRIu64 " stores, %" PRIu64 " rolled back\n", name, stores, earlier);
    image_restore(world->segment);
    change(world); /* for the next test to go on from */
    world_check(world);
}

/* ------------------------------------------------------------------ changes */

static void make_first(struct world *world)
{
    world_new(world, 0, 1);
}

static void make_more(struct world *world)
{
    world_new(world, 1, 2);
}

static void number(struct world *world)
{
    int64_t value = (int64_t)1 << 32 | 7;
    CHECK_OK(sj_record_write(world->segment, world_at(world, 0), 0, &value, 8));
    value = (int64_t)1 << 32;
    CHECK_OK(sj_record_write(world->segment, world_at(world, 0), 0, &value, 8));
}

static void link_them(struct world *world)
{
    world_link(world, 0, 1);
}

static void change_all(struct world *world)
{
    CHECK_OK(sj_tx_begin(world->segment));
    world_change(world, 0, 5);
    world_change(world, 1, 66);
    CHECK_OK(sj_tx_commit(world->segment));
}

static void change_and_undo(struct world *world)
{
    struct world before = *world;
    CHECK_OK(sj_tx_begin(world->segment));
    world_change(world, 0, 9);
    world_new(world, 2, 3);
    CHECK_OK(sj_tx_begin(world->segment));
    struct world inner = *world;
    world_free(world, 1);
    world_new(world, 3, 4);
    world_change(world, 2, 77);
    sj_tx_abort(world->segment);
    *world = inner;
    world_free(world, 2);
    sj_tx_abort(world->segment);
    *world = before;
    CHECK_OK(sj_tx_begin(world->segment));
    world_new(world, 4, 10);
    world_link(world, 4, 0);
    CHECK_OK(sj_tx_commit(world->segment));
}

static void free_linked(struct world *world)
{
    CHECK_OK(sj_tx_begin(world->segment));
    world_free(world, 1);
    CHECK_OK(sj_tx_commit(world->segment));
}

static void free_last(struct world *world)
{
    CHECK_OK(sj_record_free(world->segment, world_at(world, 4)));
    world->version[4] = 0;
}

/* One array over several words: never a part of it. */
static void array_alone(struct world *world)
{
    float parts[3] = {20, 21, 22};
    CHECK_OK(sj_record_write(world->segment, world_at(world, 0), offsetof(struct thing, parts),
                             parts, sizeof parts));
}

static void arrays_are_whole(struct world *world)
{
    uint64_t stores = 0, earlier = 0;
    struct crash crash = {world, array_alone};
    image_take(world->segment);
    for (; test_crash_at(stores, body, &crash); stores++) {
        sj_tx_forget(world->segment);
        CHECK_OK(sj_segment_recover(world->segment));
        const float *parts = world->thing[0]->parts;
        bool fresh = parts[0] == 20 && parts[1] == 21 && parts[2] == 22;
        CHECK(fresh || world_matches(world, 0, world->version[0]));
        earlier += !fresh;
        image_restore(world->segment);
    }
    CHECK(earlier > 2);
    image_restore(world->segment);
}

int main(void)
{
    test_begin();
    struct world *world = world_make("crash");
    dies_at_every_store("first", world, make_first);
    dies_at_every_store("another", world, make_more);
    number(world);
    dies_at_every_store("link", world, link_them);
    dies_at_every_store("change", world, change_all);
    dies_at_every_store("undo", world, change_and_undo);
    arrays_are_whole(world);
    dies_at_every_store("free", world, free_linked);
    dies_at_every_store("free alone", world, free_last);
    world_drop(world);
    free(image);
    printf("ok\n");
    return 0;
}

#endif
