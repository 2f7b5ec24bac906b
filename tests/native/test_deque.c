// SPDX-License-Identifier: Apache-2.0
/*
 * test_deque.c: a deque against a naive model: every operation, alone and in nested transactions
 * that are committed or undone.
 */
#include "deque_world.h"

static enum sj_side any_side(void)
{
    return (enum sj_side)test_below(2);
}

/* Above some length more goes than comes. */
static void change_at_random(struct world *world)
{
    uint32_t count = world->items.count;
    bool full = count == world->limit, long_ = count > 1500;
    switch (test_below(12)) {
    case 0:
    case 1:
        world_extend(world, any_side(), 1);
        break;
    case 2:
        world_extend(world, any_side(), (uint32_t)test_below(long_ ? 10 : 200));
        break;
    case 3:
    case 4:
        world_remove(world, any_side(), 1);
        break;
    case 5:
        world_remove(world, any_side(), (uint32_t)test_below(long_ ? 400 : 150));
        break;
    case 6:
        world_rotate(world, any_side(), test_below(3 * (count + 1ull)));
        break;
    case 7:
        if (!full)
            world_insert(world, (uint32_t)test_below(count + 1));
        break;
    case 8:
        if (count > 0)
            world_delete(world, (uint32_t)test_below(count));
        break;
    case 9:
        if (count > 0)
            world_set(world, (uint32_t)test_below(count));
        break;
    case 10:
        world_reverse(world);
        break;
    default:
        if (test_below(20) == 0)
            world_clear(world);
    }
}

static void transact_at_random(struct world *world)
{
    world_begin(world);
    for (uint64_t i = test_below(12); i > 0; i--)
        if (world->depth < WORLD_MARKS_MAX && test_below(4) == 0)
            transact_at_random(world);
        else
            change_at_random(world);
    world_end(world, test_below(3) != 0);
}

static void behaves_as_the_model(enum sj_item_kind value, uint64_t limit)
{
    struct world *world = world_make("deque", value, limit);
    world_check(world);
    for (uint32_t i = 0; i < 1500; i++) {
        if (test_below(3) == 0)
            transact_at_random(world);
        else
            change_at_random(world);
        CHECK(sj_deque_count(&world->deque) == world->items.count);
        if (i % 10 == 0)
            world_check(world);
        if (i % 100 == 0)
            world_check_gets(world);
    }
    world_check(world);
    world_drop(world, "deque");
}

/* A queue that is never long has its chunk, and allocates nothing. */
static void a_short_queue_stays_in_its_chunk(void)
{
    struct world *world = world_make("short", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    world_extend(world, SJ_RIGHT, 1);
    uint64_t chunk = world->deque.head->first;
    for (uint32_t i = 0; i < 200; i++) {
        world_remove(world, SJ_LEFT, 1);
        world_extend(world, SJ_RIGHT, 1);
        CHECK(world->deque.head->first == chunk && world->deque.head->last == chunk);
    }
    world_drop(world, "short");
}

static void a_deque_outlives_its_segment_being_closed(void)
{
    struct world *world = world_make("reopened", SJ_ITEM_BYTES, 300);
    uint64_t head = (uintptr_t)world->deque.head;
    world_extend(world, SJ_RIGHT, 250);
    world_extend(world, SJ_LEFT, 100);
    CHECK(world->items.count == 300);
    CHECK_OK(sj_segment_close(world->segment, true));
    world->segment = test_reopen("reopened");
    CHECK_OK(sj_deque_open(world->segment, head, &world->deque));
    world_check(world);
    world_check_gets(world);
    world_drop(world, "reopened");
}

/* What does not fit changes nothing. */
static void a_value_too_large_is_refused(void)
{
    struct world *world = world_make("large", SJ_ITEM_BYTES, SJ_DEQUE_UNLIMITED);
    uint8_t byte = 0;
    struct sj_value values[2] = {{.bytes = &byte, .size = 1},
                                 {.bytes = &byte, .size = UINT64_MAX - 4}};
    world_extend(world, SJ_RIGHT, 10);
    CHECK(sj_deque_extend(&world->deque, SJ_RIGHT, values, 2) == SJ_ETOOBIG);
    CHECK(sj_deque_insert(&world->deque, 5, &values[1]) == SJ_ETOOBIG);
    CHECK(sj_deque_set(&world->deque, 5, &values[1]) == SJ_ETOOBIG);
    world_check(world);
    world_drop(world, "large");
}

static void what_is_beyond_the_end_is_not_there(void)
{
    struct world *world = world_make("beyond", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    struct sj_value value = {.word = 1};
    world_extend(world, SJ_RIGHT, 100);
    CHECK(sj_deque_insert(&world->deque, 101, &value) == SJ_ENOTFOUND);
    CHECK(sj_deque_insert(&world->deque, UINT64_MAX, &value) == SJ_ENOTFOUND);
    CHECK(sj_deque_delete(&world->deque, 100) == SJ_ENOTFOUND);
    CHECK(sj_deque_set(&world->deque, 100, &value) == SJ_ENOTFOUND);
    CHECK(sj_deque_remove(&world->deque, SJ_LEFT, 101) == SJ_ENOTFOUND);
    world_check(world);
    world_drop(world, "beyond");
}

static void a_limit_that_is_set_counts(void)
{
    struct world *world = world_make("limit", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    world_extend(world, SJ_RIGHT, 10);
    CHECK(sj_deque_set_limit(&world->deque, 9) == SJ_EINVAL);
    CHECK_OK(sj_deque_set_limit(&world->deque, 12));
    CHECK(sj_deque_limit(&world->deque) == 12);
    world_begin(world);
    CHECK_OK(sj_deque_set_limit(&world->deque, 10));
    world_end(world, false);
    CHECK(sj_deque_limit(&world->deque) == 12);
    world->limit = 12;
    world_extend(world, SJ_LEFT, 5);
    CHECK(world->items.count == 12);
    world_check(world);
    world_drop(world, "limit");
}

/* An extend that finds no room leaves the deque as it was, also inside of a transaction. */
static void a_full_segment_is_refused(bool inside)
{
    struct world *world = world_make("full", SJ_ITEM_BYTES, SJ_DEQUE_UNLIMITED);
    static uint8_t large[1 << 20];
    struct sj_value values[64];
    for (uint32_t i = 0; i < 64; i++)
        values[i] = (struct sj_value){.bytes = large, .size = sizeof large};
    world->segment->root_page->growth_limit = 8 << 20;
    world_extend(world, SJ_RIGHT, 70);
    if (inside)
        world_begin(world);
    CHECK(sj_deque_extend(&world->deque, SJ_LEFT, values, 64) == SJ_EFULL);
    world_check(world);
    if (inside)
        world_end(world, true);
    world_check(world);
    world_drop(world, "full");
}

static void a_limit_set_in_a_transaction_counts_in_it(void)
{
    struct world *world = world_make("limited", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    CHECK_OK(sj_tx_begin(world->segment));
    CHECK_OK(sj_deque_set_limit(&world->deque, 7));
    CHECK(sj_deque_limit(&world->deque) == 7);
    sj_tx_abort(world->segment);
    CHECK(sj_deque_limit(&world->deque) == SJ_DEQUE_UNLIMITED);
    world_drop(world, "limited");
}

int main(void)
{
    test_begin();
    for (int value = SJ_ITEM_WORD; value <= SJ_ITEM_BYTES; value++) {
        behaves_as_the_model((enum sj_item_kind)value, SJ_DEQUE_UNLIMITED);
        behaves_as_the_model((enum sj_item_kind)value, 100);
        behaves_as_the_model((enum sj_item_kind)value, 1);
    }
    a_short_queue_stays_in_its_chunk();
    a_deque_outlives_its_segment_being_closed();
    a_value_too_large_is_refused();
    what_is_beyond_the_end_is_not_there();
    a_limit_that_is_set_counts();
    a_full_segment_is_refused(false);
    a_full_segment_is_refused(true);
    a_limit_set_in_a_transaction_counts_in_it();
    printf("ok\n");
    return 0;
}
