// SPDX-License-Identifier: Apache-2.0
/*
 * test_queue.c: what is put is taken in order, no more than there is room for, and each operation
 * notes who is to be woken by it.
 */
#include "harness.h"

#include "structures/queue.h"
#include "structures/structure.h"

static struct sj_segment *segment;

static struct sj_deque queue_make(uint64_t limit)
{
    struct sj_deque queue;
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    struct sj_codecs codecs = {SJ_CODEC_NONE, SJ_CODEC_INT};
    CHECK_OK(sj_structure_create(segment, SJ_KIND_QUEUE, codecs, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_deque_open(segment, head, &queue));
    CHECK_OK(sj_deque_set_limit(&queue, limit));
    CHECK(sj_deque_limit(&queue) == limit && segment->bells.rung == 0);
    return queue;
}

static void put(struct sj_deque *queue, uint64_t first, uint64_t count, int expected)
{
    struct sj_value values[8];
    for (uint64_t i = 0; i < count; i++)
        values[i] = (struct sj_value){.word = first + i};
    CHECK(sj_queue_has_room(queue, count) == (expected == SJ_OK));
    CHECK(sj_queue_put(queue, values, count) == expected);
}

/* What was noted since the last time: `wakes` at the bells, 0 for none. */
static void notes(const struct sj_deque *queue, bool items, bool room, uint32_t wakes)
{
    uint32_t rung = 0;
    if (items)
        rung |= 1u << sj_bell_place(sj_queue_bell(queue, SJ_QUEUE_ITEMS));
    if (room)
        rung |= 1u << sj_bell_place(sj_queue_bell(queue, SJ_QUEUE_ROOM));
    CHECK(segment->bells.rung == rung && segment->bells.wakes == wakes);
    segment->bells = (struct sj_bells){0};
}

static void get(struct sj_deque *queue, uint64_t expected)
{
    struct sj_value value;
    CHECK_OK(sj_deque_get(queue, 0, &value));
    CHECK(value.word == expected);
    CHECK_OK(sj_queue_drop(queue, 1));
}

static void operations_note_who_is_woken(void)
{
    struct sj_deque queue = queue_make(3);
    put(&queue, 0, 2, SJ_OK);
    notes(&queue, true, false, 2);
    put(&queue, 2, 2, SJ_EBUSY);
    put(&queue, 0, 4, SJ_EBUSY);
    notes(&queue, false, false, 0);
    put(&queue, 2, 1, SJ_OK);
    put(&queue, 3, 1, SJ_EBUSY);
    get(&queue, 0);
    notes(&queue, true, true, 2);
    CHECK_OK(sj_queue_drop(&queue, 2));
    notes(&queue, false, true, 2);
    CHECK(sj_queue_drop(&queue, 1) == SJ_ENOTFOUND);
    notes(&queue, false, false, 0);
    put(&queue, 5, 3, SJ_OK);
    CHECK(sj_deque_set_limit(&queue, 2) == SJ_EINVAL);
    notes(&queue, true, false, 3);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_structure_destroy(segment, (uintptr_t)queue.head));
    sj_tx_ready(segment);
    CHECK(segment->bells.wakes == INT32_MAX && segment->bells.rung != 0);
    CHECK_OK(sj_tx_op_commit(segment));
    segment->bells = (struct sj_bells){0};
}

/* What is taken in a transaction may come back: then somebody else is to get it. */
static void in_a_transaction_getters_are_woken_too(void)
{
    struct sj_deque queue = queue_make(SJ_DEQUE_UNLIMITED);
    put(&queue, 0, 4, SJ_OK);
    get(&queue, 0);
    notes(&queue, true, false, 4);
    CHECK_OK(sj_tx_begin(segment));
    get(&queue, 1);
    notes(&queue, true, false, 1);
    sj_tx_abort(segment);
    get(&queue, 1);
    notes(&queue, false, false, 0);
}

static void the_type_says_what_it_is(void)
{
    struct sj_structure_info info;
    struct sj_deque queue = queue_make(9);
    uint64_t head = (uintptr_t)queue.head;
    put(&queue, 0, 5, SJ_OK);
    CHECK_OK(sj_structure_look(segment, head, 0, &info));
    CHECK(info.kind == SJ_KIND_QUEUE && info.count == 5 && !info.shared);
    CHECK(info.codecs.key == SJ_CODEC_NONE && info.codecs.value == SJ_CODEC_INT);
    CHECK(info.serial == queue.head->node.aux && info.serial != 0);
    CHECK_OK(sj_structure_share(segment, head, info.serial));
    CHECK_OK(sj_structure_look(segment, head, info.serial, &info));
    CHECK(info.shared);
    CHECK_OK(sj_deque_open(segment, head, &queue));
    CHECK_OK(sj_structure_type_of(SJ_KIND_QUEUE)->check(segment, head, NULL, NULL));
    CHECK(sj_structure_look(segment, head, info.serial + 1, &info) == SJ_ENOTFOUND);
}

int main(void)
{
    test_begin();
    segment = test_segment("queue");
    operations_note_who_is_woken();
    in_a_transaction_getters_are_woken_too();
    the_type_says_what_it_is();
    CHECK_OK(sj_segment_close(segment, true));
    printf("ok\n");
    return 0;
}
