// SPDX-License-Identifier: Apache-2.0
/*
 * test_deque_crash.c: a process dies before every store of a deque's changes (a -DSJ_SEAM build).
 *
 * Each change is tried again and again from the same state, each time dying one store later,
 * until it comes to its end. After recovery the deque must be as it was before the change or as
 * after it, sound, and no block may be lost. Of long changes the later stores are sampled.
 */
#include "deque_world.h"

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include "image.h"

#define EXACT  200 /* stores that are tried one by one */
#define STRIDE 60  /* of later ones about one in 30 */

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
    static struct items before, after;
    uint64_t stores = 0, crashes = 0, earlier = 0;
    struct crash crash = {world, change};
    before = world->items;
    image_take(world->segment);
    change(world);
    world_check(world);
    after = world->items;
    image_restore(world->segment);
    world->items = before;
    while (test_crash_at(stores, body, &crash)) {
        sj_tx_forget(world->segment);
        CHECK_OK(sj_segment_recover(world->segment));
        bool old = world_has(world, &before);
        CHECK(old || world_has(world, &after));
        earlier += old;
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

static void append(struct world *world)
{
    world_extend(world, SJ_RIGHT, 1);
}

static void append_left(struct world *world)
{
    world_extend(world, SJ_LEFT, 1);
}

static void extend(struct world *world)
{
    world_extend(world, SJ_RIGHT, 100);
}

static void extend_left(struct world *world)
{
    world_extend(world, SJ_LEFT, 70);
}

static void pop(struct world *world)
{
    world_remove(world, SJ_RIGHT, 1);
}

static void pop_left(struct world *world)
{
    world_remove(world, SJ_LEFT, 1);
}

static void pop_many(struct world *world)
{
    world_remove(world, SJ_LEFT, 130);
}

static void rotate(struct world *world)
{
    world_rotate(world, SJ_LEFT, 75);
}

static void insert(struct world *world)
{
    world_insert(world, 65);
}

static void delete(struct world *world)
{
    world_delete(world, world->items.count - 66);
}

static void set(struct world *world)
{
    world_set(world, 20);
}

static void reverse(struct world *world)
{
    world_reverse(world);
}

static void clear(struct world *world)
{
    world_clear(world);
}

/* A transaction that stores to slots which it has left, and undoes a part. */
static void transact(struct world *world)
{
    world_begin(world);
    world_remove(world, SJ_RIGHT, 70);
    world_extend(world, SJ_RIGHT, 20);
    world_remove(world, SJ_LEFT, 5);
    world_extend(world, SJ_LEFT, 8);
    world_begin(world);
    world_remove(world, SJ_RIGHT, 30);
    world_extend(world, SJ_RIGHT, 90);
    world_rotate(world, SJ_RIGHT, 70);
    world_insert(world, 3);
    world_end(world, false);
    world_delete(world, 9);
    world_rotate(world, SJ_LEFT, 3);
    world_end(world, true);
}

/* ------------------------------------------------------------------ the order of stores */

static const struct sj_segment *watched;
static uint64_t unfenced; /* stores to the log since the last fence */
static uint64_t moved;

static bool lies_in_a_chunk(const void *at)
{
    uint64_t block, bytes, address = (uintptr_t)at;
    return sj_heap_block_of(watched, address, &block, &bytes) &&
           ((const struct sj_block *)(uintptr_t)block)->kind == SJ_KIND_DEQUE_CHUNK;
}

static void watch(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event == SJ_SEAM_FENCE) {
        unfenced = 0;
    } else if (event == SJ_SEAM_STORE && (uintptr_t)at < watched->heap) {
        unfenced++;
    } else if (event == SJ_SEAM_STORE && lies_in_a_chunk(at)) {
        CHECK(unfenced == 0);
        moved++;
    }
}

/* What a power loss needs more than a kill: no item moves before its old slot is safe. */
static void nothing_moves_before_the_log_is_safe(void)
{
    struct world *world = world_make("order", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    void (*const changes[])(struct world *) = {reverse, delete, set};
    world_extend(world, SJ_RIGHT, 200);
    watched = world->segment;
    for (uint32_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        unfenced = moved = 0;
        sj_seam_hook = watch;
        changes[i](world);
        sj_seam_hook = NULL;
        CHECK(moved > 0);
    }
    world_check(world);
    world_drop(world, "order");
}

static void changing(enum sj_item_kind value, uint64_t limit)
{
    struct world *world = world_make("changing", value, limit);
    dies_at_every_store("first append", world, append);
    dies_at_every_store("last pop", world, pop);
    dies_at_every_store("extend", world, extend);
    dies_at_every_store("extend left", world, extend_left);
    dies_at_every_store("append left", world, append_left);
    for (uint32_t i = 0; i < 3; i++)
        dies_at_every_store("pop left", world, pop_left);
    dies_at_every_store("rotate", world, rotate);
    dies_at_every_store("set", world, set);
    if (world->items.count < limit)
        dies_at_every_store("insert", world, insert);
    dies_at_every_store("delete", world, delete);
    dies_at_every_store("reverse", world, reverse);
    dies_at_every_store("pop", world, pop);
    dies_at_every_store("transaction", world, transact);
    dies_at_every_store("extend", world, extend);
    dies_at_every_store("pop many", world, pop_many);
    dies_at_every_store("clear", world, clear);
    world_drop(world, "changing");
}

int main(void)
{
    test_begin();
    changing(SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    changing(SJ_ITEM_BYTES, SJ_DEQUE_UNLIMITED);
    changing(SJ_ITEM_BYTES, 140);
    nothing_moves_before_the_log_is_safe();
    free(image);
    printf("ok\n");
    return 0;
}

#endif
