// SPDX-License-Identifier: Apache-2.0
/*
 * test_deque_damage.c: each kind of damage to a deque is found by its check, and nothing that is
 * done with a damaged one crashes or goes on without end.
 */
#include "deque_world.h"

static struct world *world;
static uint8_t *image;
static uint64_t image_bytes;

static void image_restore(void)
{
    uint64_t committed = sj_segment_committed(world->segment);
    memcpy(world->segment->base, image, image_bytes);
    world->segment->root_page->committed = committed;
    sj_tx_forget(world->segment);
}

/* ------------------------------------------------------------------ whatever is called */

typedef int call(void);

static int check(void)
{
    return sj_deque_check(&world->deque, NULL, NULL);
}

static int clear(void)
{
    return sj_deque_clear(&world->deque);
}

static int read_either_way(bool down)
{
    struct sj_value values[64];
    uint64_t count = sj_deque_count(&world->deque);
    struct sj_deque_cursor cursor = {.index = down ? count - 1 : 0};
    uint32_t got;
    int error;
    do
        error = sj_deque_read(&world->deque, &cursor, down, 64, values, &got);
    while (error == SJ_OK && got == 64);
    return error;
}

static int read_up(void)
{
    return read_either_way(false);
}

static int read_down(void)
{
    return read_either_way(true);
}

static int get_all(void)
{
    int error = SJ_OK;
    struct sj_value value;
    for (uint64_t i = 0; error == SJ_OK && i < 300; i++)
        error = sj_deque_get(&world->deque, i, &value);
    return error;
}

static int change_middle(void)
{
    uint8_t byte = 1;
    struct sj_value value = {.word = 1, .bytes = &byte, .size = 1};
    int error = sj_deque_insert(&world->deque, 130, &value);
    if (error == SJ_OK)
        error = sj_deque_delete(&world->deque, 170);
    if (error == SJ_OK)
        error = sj_deque_set(&world->deque, 100, &value);
    return error;
}

static int rotate(void)
{
    int error = sj_deque_rotate(&world->deque, SJ_LEFT, 140);
    return error != SJ_OK ? error : sj_deque_rotate(&world->deque, SJ_RIGHT, 120);
}

static int reverse(void)
{
    return sj_deque_reverse(&world->deque);
}

static int empty_left(void)
{
    int error = SJ_OK;
    while (error == SJ_OK && sj_deque_count(&world->deque) > 0)
        error = sj_deque_remove(&world->deque, SJ_LEFT, 1);
    return error;
}

static int empty_right(void)
{
    return sj_deque_remove(&world->deque, SJ_RIGHT, sj_deque_count(&world->deque));
}

static int extend(void)
{
    uint8_t byte = 1;
    struct sj_value values[70];
    for (uint32_t i = 0; i < 70; i++)
        values[i] = (struct sj_value){.word = i, .bytes = &byte, .size = 1};
    int error = sj_deque_extend(&world->deque, SJ_LEFT, values, 70);
    return error != SJ_OK ? error : sj_deque_extend(&world->deque, SJ_RIGHT, values, 70);
}

static call *const calls[] = {check,  clear,   read_up,    read_down,   get_all, change_middle,
                              rotate, reverse, empty_left, empty_right, extend};

/* Every call ends, with success or SJ_ECORRUPT, alone and in a transaction; which is then undone.
 * (That what is written then goes astray is not its fault.) */
static void all_end(void)
{
    for (uint32_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (uint32_t inside = 0; inside < 2; inside++) {
            uint8_t *damaged = malloc(image_bytes);
            CHECK(damaged != NULL);
            memcpy(damaged, world->segment->base, image_bytes);
            if (inside != 0)
                CHECK_OK(sj_tx_begin(world->segment));
            int error = calls[i]();
            CHECK(error == SJ_OK || error == SJ_ECORRUPT || error == SJ_ENOTFOUND ||
                  error == SJ_EFULL);
            if (inside != 0)
                sj_tx_abort(world->segment);
            sj_tx_forget(world->segment);
            memcpy(world->segment->base, damaged, image_bytes);
            free(damaged);
        }
}

/* The check finds a word that is not what it was, and nobody else suffers from it. */
static void is_found(void *word, size_t width, uint64_t value)
{
    memcpy(word, &value, width);
    CHECK(check() == SJ_ECORRUPT);
    all_end();
    image_restore();
}

/* ------------------------------------------------------------------ tests */

static void every_field_is_checked(enum sj_item_kind kind)
{
    world = world_make("damage", kind, 400);
    world_extend(world, SJ_RIGHT, 200);
    world_extend(world, SJ_LEFT, 100);
    struct sj_deque_head *head = world->deque.head;
    struct sj_deque_chunk *first = (struct sj_deque_chunk *)(uintptr_t)head->first;
    struct sj_deque_chunk *second = (struct sj_deque_chunk *)(uintptr_t)first->next;
    struct sj_deque_chunk *last = (struct sj_deque_chunk *)(uintptr_t)head->last;
    uint64_t nowhere = TEST_BASE + sj_segment_committed(world->segment), state = head->state;
    image_bytes = nowhere - TEST_BASE;
    image = malloc(image_bytes);
    CHECK(image != NULL);
    memcpy(image, world->segment->base, image_bytes);
    is_found(&head->state, 8, state + 1);
    is_found(&head->state, 8, state + 0x100);
    is_found(&head->state, 8, state + 0x10000);
    is_found(&head->state, 8, state + 60 * 0x10000);
    is_found(&head->state, 8, state - 60 * 0x10000);
    is_found(&head->state, 8, state | 0xffffull << 48);
    is_found(&head->state, 8, 0);
    is_found(&head->limit, 8, 299);
    is_found(&head->node.count, 2, (kind ^ 1u) << 8);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t *pointer = i == 0 ? &head->first : &head->last;
        is_found(pointer, 8, 0);
        is_found(pointer, 8, nowhere);
        is_found(pointer, 8, *pointer + 8);
        is_found(pointer, 8, (uintptr_t)second);
        is_found(pointer, 8, (uintptr_t)head);
    }
    is_found(&first->next, 8, 0);
    is_found(&first->next, 8, nowhere);
    is_found(&first->next, 8, (uintptr_t)first);
    is_found(&second->next, 8, (uintptr_t)first);
    is_found(&second->next, 8, (uintptr_t)last);
    is_found(&second->previous, 8, 0);
    is_found(&second->previous, 8, (uintptr_t)second);
    is_found(&last->previous, 8, (uintptr_t)last);
    is_found(&last->next, 8, (uintptr_t)first);
    is_found(&first->previous, 8, (uintptr_t)last);
    is_found(&second->node.kind, 2, SJ_KIND_BLOB);
    is_found(&second->node.aux, 4, 1);
    is_found(&second->node.count, 2, 1);
    if (kind == SJ_ITEM_BYTES) {
        is_found(&second->slot[5], 8, nowhere);
        is_found(&second->slot[5], 8, 0);
        is_found(&second->slot[5], 8, 3);
        is_found(&second->slot[5], 8, (uintptr_t)second);
    }
    CHECK_OK(check());
    world_check(world);
    free(image);
    world_drop(world, "damage");
}

static void the_head_is_checked_when_it_is_opened(void)
{
    world = world_make("head", SJ_ITEM_BYTES, 400);
    struct sj_deque other;
    uint64_t head = (uintptr_t)world->deque.head;
    world_extend(world, SJ_RIGHT, 10);
    CHECK(sj_deque_open(world->segment, head + 8, &other) == SJ_ECORRUPT);
    CHECK(sj_deque_open(world->segment, head + 1, &other) == SJ_ECORRUPT);
    CHECK(sj_deque_open(world->segment, 0, &other) == SJ_ECORRUPT);
    CHECK(sj_deque_open(world->segment, world->deque.head->first, &other) == SJ_ECORRUPT);
    world->deque.head->state += 1;
    CHECK(sj_deque_open(world->segment, head, &other) == SJ_ECORRUPT);
    world->deque.head->state -= 1;
    uint32_t serial = world->deque.head->node.aux;
    world->deque.head->node.aux = 0;
    CHECK(sj_deque_open(world->segment, head, &other) == SJ_ECORRUPT);
    world->deque.head->node.aux = serial;
    world->deque.head->node.count ^= 1;
    CHECK(sj_deque_open(world->segment, head, &other) == SJ_ECORRUPT);
    world->deque.head->node.count ^= 1 | 0x70 << 8;
    CHECK(sj_deque_open(world->segment, head, &other) == SJ_ECORRUPT);
    world->deque.head->node.count ^= 0x70 << 8;
    CHECK_OK(sj_deque_open(world->segment, head, &other));
    world_drop(world, "head");
}

static void state_is_found(uint64_t begin, uint64_t end, uint64_t count)
{
    struct sj_deque other;
    struct sj_deque_head *head = world->deque.head;
    uint64_t old = head->state;
    head->state = count << 16 | end << 8 | begin;
    CHECK(sj_deque_open(world->segment, (uintptr_t)head, &other) == SJ_ECORRUPT);
    head->state = old;
    CHECK_OK(sj_deque_open(world->segment, (uintptr_t)head, &other));
}

/* Each state is wrong in one way alone. */
static void the_numbers_fit_together(void)
{
    world = world_make("state", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    world_extend(world, SJ_RIGHT, 10);
    state_is_found(59, 61, 2);
    state_is_found(10, 9, 1);
    state_is_found(20, 30, 11);
    world_extend(world, SJ_RIGHT, 290);
    state_is_found(30, 61, 30 + 61 + 240);
    state_is_found(60, 40, 40 + 240);
    state_is_found(30, 0, 30 + 240);
    state_is_found(30, 30, 44);
    state_is_found(30, 30, 60 + (60ull << 40));
    state_is_found(30, 30, 61);
    world_drop(world, "state");
}

/* What an operation comes to by links is held against what it expects there. */
static void links_that_lead_on_too_far_are_found(void)
{
    struct sj_value value;
    uint32_t got;
    world = world_make("links", SJ_ITEM_WORD, SJ_DEQUE_UNLIMITED);
    world_extend(world, SJ_RIGHT, 200);
    struct sj_deque_chunk *first = (struct sj_deque_chunk *)(uintptr_t)world->deque.head->first;
    struct sj_deque_chunk *last = (struct sj_deque_chunk *)(uintptr_t)world->deque.head->last;
    struct sj_deque_chunk *second = (struct sj_deque_chunk *)(uintptr_t)first->next;
    uint64_t third = second->next, before_last = last->previous;
    first->next = third; /* whose `previous` is the second */
    CHECK(sj_deque_remove(&world->deque, SJ_LEFT, 30) == SJ_ECORRUPT);
    first->next = (uintptr_t)last;
    last->previous = (uintptr_t)first;
    CHECK(sj_deque_remove(&world->deque, SJ_LEFT, 30) == SJ_ECORRUPT);
    first->next = (uintptr_t)second;
    last->previous = before_last;
    struct sj_deque_cursor cursor = {.index = 3, .chunk = (uintptr_t)world->deque.head, .slot = 3};
    CHECK(sj_deque_read(&world->deque, &cursor, false, 1, &value, &got) == SJ_ECORRUPT);
    world_check(world);
    world_drop(world, "links");
}

/* Two chunks that are one: what is freed twice is found by the heap. */
static void random_words_are_survived(enum sj_item_kind kind)
{
    world = world_make("random", kind, SJ_DEQUE_UNLIMITED);
    world_extend(world, SJ_RIGHT, 200);
    struct sj_deque_chunk *chunks[4];
    image_bytes = sj_segment_committed(world->segment);
    image = malloc(image_bytes);
    CHECK(image != NULL);
    memcpy(image, world->segment->base, image_bytes);
    uint64_t at = world->deque.head->first;
    for (uint32_t i = 0; i < 4; i++, at = chunks[i - 1]->next)
        chunks[i] = (struct sj_deque_chunk *)(uintptr_t)at;
    for (uint32_t i = 0; i < 40; i++) {
        struct sj_deque_chunk *chunk = chunks[test_below(4)];
        uint64_t *words[] = {&chunk->next, &chunk->previous, &world->deque.head->first,
                             &world->deque.head->last, &chunk->slot[test_below(60)]};
        for (uint32_t j = 0; j <= test_below(2); j++) {
            uint64_t inside = (uintptr_t)chunks[test_below(4)] + 8 * test_below(64);
            *words[test_below(5)] = test_below(3) == 0 ? (uintptr_t)chunks[test_below(4)] : inside;
        }
        all_end();
        image_restore();
    }
    CHECK_OK(check());
    free(image);
    world_drop(world, "random");
}

int main(void)
{
    test_begin();
    for (int kind = SJ_ITEM_WORD; kind <= SJ_ITEM_BYTES; kind++) {
        every_field_is_checked((enum sj_item_kind)kind);
        random_words_are_survived((enum sj_item_kind)kind);
    }
    the_head_is_checked_when_it_is_opened();
    the_numbers_fit_together();
    links_that_lead_on_too_far_are_found();
    printf("ok\n");
    return 0;
}
