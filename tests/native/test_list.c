// SPDX-License-Identifier: Apache-2.0
/*
 * test_list.c: lists against a plain array: random changes of one item and of many, inside and
 * outside of transactions, which are committed or undone; the shapes that appends, prepends and
 * deletions make; a full segment.
 */
#include "list_world.h"

static void random_changes(struct sj_segment *segment, uint32_t kind)
{
    new_list(segment, kind);
    test.spread = 1 + test_below(1000000);
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t grow = (uint32_t)test_below(100);
        while (test.depth < DEPTH_MAX && test_below(3) == 0)
            begin();
        for (uint32_t i = 0; i < 300; i++)
            change(grow);
        if (round % 4 == 0)
            big_change(3000);
        if (round % 16 == 7)
            reorder();
        if (round % 30 == 29)
            clear();
        while (test.depth > 0 && test_below(2) == 0)
            end(test_below(3) != 0);
        all_is_well();
    }
    while (test.depth > 0)
        end(true);
    all_is_well();
    destroy_list();
}

/* Three levels; then everything is taken away again, in pieces and singly. */
static void high_lists(struct sj_segment *segment, uint32_t kind)
{
    new_list(segment, kind);
    test.spread = 1u << 30;
    replace(0, 0, 40000);
    CHECK(test.list.head->height == 1);
    replace(test.count, test.count, 30000);
    CHECK(test.list.head->height == 2);
    all_is_well();
    for (uint32_t i = 0; i < 20; i++)
        replace(20000, 20000, 300);
    all_is_well();
    begin();
    replace(100, test.count - 100, 3);
    end(false);
    all_is_well();
    while (test.count > 0) {
        uint32_t from = (uint32_t)test_below(test.count);
        uint32_t to = from + (uint32_t)test_below(9000);
        replace(from, to < test.count ? to : test.count, 0);
        for (uint32_t i = 0; i < 400 && test.count > 0; i++)
            delete((uint32_t)test_below(test.count));
        all_is_well();
    }
    CHECK(test.list.head->top == 0 && test.list.head->height == 0);
    destroy_list();
}

static uint64_t nodes_in_use(void)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(test.segment, &stats));
    return stats.live_blocks - 1;
}

/* What is appended, singly or at once, leaves full nodes behind; a short list has a small leaf. */
static void appended_lists_are_dense(struct sj_segment *segment)
{
    struct sj_heap_stats stats;
    new_list(segment, 0);
    insert(0, 1);
    CHECK_OK(sj_heap_stats(segment, &stats));
    CHECK(stats.live_bytes == sizeof(struct sj_list_head) + 64);
    while (test.count < 10 * SJ_LIST_LEAF_SLOTS)
        insert(test.count, test.count);
    CHECK(nodes_in_use() == 11);
    for (uint32_t i = 0; i < 9; i++)
        replace(test.count, test.count, SJ_LIST_LEAF_SLOTS * 5 - 40 * (i % 3));
    all_is_well();
    CHECK(nodes_in_use() == 1 + (test.count + SJ_LIST_LEAF_SLOTS - 1) / SJ_LIST_LEAF_SLOTS);
    while (test.count > 1)
        delete(test.count - 1);
    all_is_well();
    clear();
    destroy_list();
}

/* Insertions at one place, and deletions at the beginning. */
static void ends_of_lists(struct sj_segment *segment)
{
    new_list(segment, 0);
    for (uint32_t i = 0; i < 4000; i++)
        insert(i < 2000 ? 0 : 1000, i);
    all_is_well();
    for (uint32_t i = 0; i < 4000; i++)
        delete(0);
    CHECK(test.count == 0);
    all_is_well();
    destroy_list();
}

static void full_segments(void)
{
    static const char *const names[] = {"full-0", "full-1", "full-2", "full-3"};
    for (uint32_t kind = 0; kind < 4; kind++) {
        struct sj_segment *segment = test_segment(names[kind]);
        new_list(segment, kind);
        test.spread = 1u << 30;
        test.may_be_full = true;
        segment->root_page->growth_limit = 512 << 10;
        while (test.failures == 0) {
            replace(test.count, test.count, 1500);
            change(90);
        }
        all_is_well();
        for (uint32_t i = 0; i < 100; i++) {
            change(90);
            big_change(1500);
        }
        all_is_well();
        test.may_be_full = false;
        segment->root_page->growth_limit = 0;
        clear();
        all_is_well();
        destroy_list();
        CHECK_OK(sj_segment_close(segment, true));
    }
}

static void arguments(struct sj_segment *segment)
{
    static const struct sj_item nothing;
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK(sj_list_create(segment, (struct sj_codecs){0}, &head) == SJ_EINVAL);
    CHECK(sj_list_create(segment, (struct sj_codecs){1, 1}, &head) == SJ_EINVAL);
    CHECK(sj_list_create(segment, (struct sj_codecs){0, 9}, &head) == SJ_EINVAL);
    CHECK(sj_tx_op_abort(segment, SJ_EINVAL) == SJ_EINVAL);
    new_list(segment, 0);
    CHECK(sj_list_insert(&test.list, 1, &nothing) == SJ_EINVAL);
    CHECK(sj_list_replace(&test.list, 0, 1, NULL, 0) == SJ_EINVAL);
    CHECK(sj_list_replace(&test.list, 1, 0, NULL, 0) == SJ_EINVAL);
    CHECK(sj_list_reorder(&test.list, &head, 1) == SJ_EINVAL);
    CHECK(sj_list_delete(&test.list, 0) == SJ_ENOTFOUND);
    CHECK(sj_list_set(&test.list, 0, &nothing.value) == SJ_ENOTFOUND);
    destroy_list();
}

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("list");
    arguments(segment);
    appended_lists_are_dense(segment);
    ends_of_lists(segment);
    for (uint32_t kind = 0; kind < 4; kind++) {
        random_changes(segment, kind);
        high_lists(segment, kind);
    }
    CHECK_OK(sj_segment_close(segment, true));
    full_segments();
    printf("ok\n");
    return 0;
}
