// SPDX-License-Identifier: Apache-2.0
/*
 * test_hashmap_crash.c: a process dies before every store of a hash map's changes (a -DSJ_SEAM
 * build).
 *
 * Each change is tried again and again from the same state, each time dying one store later,
 * until it comes to its end. After recovery the map must be as it was before the change or as
 * after it, sound, and no block may be lost. Long changes (a split stores 4000 words) are sampled.
 */
#include "hashmap_world.h"

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include "image.h"

#define EXACT  250 /* stores that are tried one by one */
#define STRIDE 300 /* of later ones about one in 150 */

struct crash {
    struct world *world;
    void (*change)(struct world *world);
    const uint32_t *after; /* versions after the change */
};

static void body(void *context)
{
    struct crash *crash = context;
    crash->change(crash->world);
}

/* Whether the map has the versions that `version` says, at keys where the two states differ. */
static bool matches(const struct world *world, const uint32_t *version)
{
    for (uint32_t i = 0; i < world->keys; i++) {
        struct sj_key key = world_key(world, i);
        struct sj_value value;
        int error = sj_hashmap_get(&world->map, &key, &value);
        CHECK(error == SJ_OK || error == SJ_ENOTFOUND);
        if ((error == SJ_OK) != (version[i] != 0))
            return false;
        if (error != SJ_OK)
            continue;
        struct sj_value expected = world_value(world, i, version[i]);
        if (!world_same(world, &value, &expected))
            return false;
    }
    return true;
}

/* What the change does, found out once without a crash. */
static uint32_t *versions_after(struct world *world, void (*change)(struct world *world))
{
    static uint32_t before[WORLD_KEYS_MAX], after[WORLD_KEYS_MAX];
    memcpy(before, world->version, sizeof(before));
    change(world);
    world_check(world);
    memcpy(after, world->version, sizeof(after));
    memcpy(world->version, before, sizeof(before));
    image_restore(world->segment);
    world_check(world);
    return after;
}

static void dies_at_every_store(const char *name, struct world *world,
                                void (*change)(struct world *world))
{
    uint64_t stores = 0, crashes = 0, earlier = 0;
    image_take(world->segment);
    struct crash crash = {world, change, versions_after(world, change)};
    while (test_crash_at(stores, body, &crash)) {
        sj_tx_forget(world->segment);
        CHECK_OK(sj_segment_recover(world->segment));
        bool before = matches(world, world->version);
        CHECK(before || matches(world, crash.after));
        earlier += before;
        crashes++;
        world_check_blocks(world);
        image_restore(world->segment);
        stores += stores < EXACT ? 1 : 1 + test_below(STRIDE);
    }
    CHECK(earlier > 0);
    printf("%s: %" PRIu64 " stores, %" PRIu64 " crashes, %" PRIu64 " rolled back\n", name, stores,
           crashes, earlier);
    image_restore(world->segment);
    change(world); /* for the next test to go on from */
    world_check(world);
}

/* ------------------------------------------------------------------ changes */

static uint32_t next_key(const struct world *world)
{
    uint32_t i = 0;
    while (i < world->keys && world->version[i] != 0)
        i++;
    CHECK(i < world->keys);
    return i;
}

static void put_new(struct world *world)
{
    world_put(world, next_key(world), 1, SJ_PUT_NEW);
}

static void put_old(struct world *world)
{
    world_put(world, 3, 64 + world->version[3], SJ_PUT_ALWAYS);
}

static void change_new(struct world *world)
{
    world_put(world, next_key(world), 3, SJ_PUT_ALWAYS);
}

static void change_old(struct world *world)
{
    world_put(world, 3, 3 * (22 + world->version[3]), SJ_PUT_ALWAYS);
}

static void delete_old(struct world *world)
{
    world_delete(world, 3);
}

static void clear(struct world *world)
{
    CHECK_OK(sj_hashmap_clear(&world->map));
    memset(world->version, 0, sizeof(world->version));
}

/* A transaction that deletes, puts into the freed slots, and undoes a part. */
static void transact(struct world *world)
{
    world_begin(world);
    for (uint32_t i = 0; i < 8; i++)
        world_delete(world, i);
    for (uint32_t i = 0; i < 12; i++)
        world_put(world, i, 7, SJ_PUT_ALWAYS);
    world_begin(world);
    for (uint32_t i = 4; i < 16; i++)
        world_delete(world, i);
    for (uint32_t i = 20; i < 30; i++)
        world_put(world, i, 9, SJ_PUT_ALWAYS);
    world_end(world, false);
    for (uint32_t i = 30; i < 40; i++)
        world_put(world, i, 9, SJ_PUT_ALWAYS);
    world_end(world, true);
}

static void grow_in_transaction(struct world *world)
{
    world_begin(world);
    for (uint32_t i = 0; i < 300; i++)
        world_put(world, i, 5, SJ_PUT_ALWAYS);
    for (uint32_t i = 0; i < 50; i++)
        world_delete(world, i);
    world_end(world, true);
}

/* ------------------------------------------------------------------ growing */

struct shape {
    uint64_t directory;
    uint64_t first;
    uint32_t depth;
};

static struct shape shape_of(const struct world *world)
{
    const struct sj_hashmap_head *head = world->map.head;
    const struct sj_hashmap_directory *directory =
        (struct sj_hashmap_directory *)(uintptr_t)head->directory;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 1ull << directory->depth; i++)
        sum = world_mix(sum + directory->segment[i]);
    return (struct shape){head->directory, sum, directory->depth};
}

/* Puts keys until one more would replace a table segment; whether it doubles the directory. */
static bool fill_up(struct world *world)
{
    for (;;) {
        struct shape before = shape_of(world);
        image_take(world->segment);
        uint32_t i = next_key(world);
        put_new(world);
        struct shape after = shape_of(world);
        if (before.directory == after.directory && before.first == after.first)
            continue;
        image_restore(world->segment);
        world->version[i] = 0;
        return before.depth != after.depth;
    }
}

static void growing(struct sj_kinds kinds, uint32_t times)
{
    struct world *world = world_make("growing", kinds, 5000);
    for (uint32_t i = 0; i < times; i++) {
        bool doubles = fill_up(world);
        dies_at_every_store(doubles ? "doubling" : "growing", world, put_new);
    }
    world_drop(world);
    CHECK(remove(test_path("growing")) == 0);
}

static void changing(struct sj_kinds kinds)
{
    struct world *world = world_make("changing", kinds, 400);
    for (uint32_t i = 0; i < 40; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    dies_at_every_store("put new", world, put_new);
    dies_at_every_store("put old", world, put_old);
    dies_at_every_store("change new", world, change_new);
    dies_at_every_store("change old", world, change_old);
    dies_at_every_store("delete", world, delete_old);
    dies_at_every_store("transaction", world, transact);
    dies_at_every_store("growing transaction", world, grow_in_transaction);
    dies_at_every_store("clear", world, clear);
    world_drop(world);
    CHECK(remove(test_path("changing")) == 0);
}

int main(void)
{
    test_begin();
    for (uint32_t i = 0; i < 4; i++)
        changing((struct sj_kinds){(enum sj_item_kind)(i / 2), (enum sj_item_kind)(i % 2)});
    growing((struct sj_kinds){SJ_ITEM_WORD, SJ_ITEM_WORD}, 6);
    growing((struct sj_kinds){SJ_ITEM_BYTES, SJ_ITEM_BYTES}, 3);
    free(image);
    printf("ok\n");
    return 0;
}

#endif
