// SPDX-License-Identifier: Apache-2.0
/*
 * test_btree.c: B+trees against a sorted array: random operations, transactions and savepoints,
 * runs of keys, bulk loads, large keys, and a full segment.
 */
#include "btree_world.h"

static void random_sequence(struct sj_segment *segment, struct sj_kinds kinds, uint32_t style)
{
    static const uint32_t puts[] = {100, 70, 50, 30, 10};
    new_tree(segment, kinds, style);
    all_is_well();
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t action = (uint32_t)test_below(10);
        if (action < 2 && test.depth < DEPTH_MAX)
            begin();
        else if (action < 4 && test.depth > 0)
            end(test_below(2) == 0);
        else if (action == 4)
            test.spread = 1 + test_below(20000);
        batch(1 + (uint32_t)test_below(1500), puts[test_below(5)], (int32_t)test_below(3) - 1);
        all_is_well();
        if (test_below(25) == 0) {
            CHECK_OK(sj_btree_clear(&test.tree));
            test.model.count = 0;
            all_is_well();
        }
    }
    while (test.depth > 0)
        end(true);
    all_is_well();
    while (test.model.count > 0)
        delete(test.model.pair[test_below(test.model.count)].key);
    all_is_well();
    CHECK(test.tree.head->height == 0);
    destroy_tree();
}

static void random_sequences_match_the_model(struct sj_segment *segment)
{
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t style = 0; style < (all_kinds[k].key == SJ_ITEM_BYTES ? 4 : 1); style++) {
            printf("kinds %u, style %u\n", k, style);
            fflush(stdout);
            random_sequence(segment, all_kinds[k], style);
        }
}

/* ------------------------------------------------------------------ shapes */

static double fill_of(uint64_t items)
{
    struct blocks blocks = {0};
    CHECK_OK(sj_btree_check(&test.tree, count_block, &blocks));
    struct sj_btree_cursor cursor;
    uint64_t leaves = 0;
    CHECK_OK(sj_btree_first(&test.tree, &cursor));
    for (const struct sj_btree_leaf *leaf = cursor.leaf; leaf != NULL;
         leaf = (const struct sj_btree_leaf *)(uintptr_t)leaf->next)
        leaves++;
    return (double)items / (double)(leaves * SJ_BTREE_LEAF_ITEMS);
}

static void put_word(uint64_t word)
{
    struct sj_key key = {.word = word};
    struct sj_value value = {.word = ~word};
    bool existed;
    CHECK_OK(sj_btree_put(&test.tree, &key, &value, SJ_PUT_NEW, &existed));
}

static void runs_leave_full_leaves(struct sj_segment *segment)
{
    enum { ITEMS = 20000 };
    static const struct {
        const char *name;
        int64_t first, step;
        double least;
    } run[] = {{"ascending", 1000, 1, 0.9}, {"descending", 1000000, -1, 0.9}};
    for (uint32_t i = 0; i < 2; i++) {
        new_tree(segment, all_kinds[0], 0);
        for (int64_t n = 0; n < ITEMS; n++)
            put_word((uint64_t)(run[i].first + n * run[i].step));
        double fill = fill_of(ITEMS);
        printf("%s: %.2f full\n", run[i].name, fill);
        CHECK(fill >= run[i].least);
        no_block_is_lost(&test.tree);
        destroy_tree();
    }
    for (int64_t step = -1; step <= 1; step += 2) { /* in the middle of others */
        new_tree(segment, all_kinds[0], 0);
        for (uint64_t n = 0; n < 1000; n++)
            put_word(n << 40);
        for (int64_t n = 0; n < ITEMS; n++)
            put_word((500ull << 40) + 1000000 + (uint64_t)(n * step));
        double fill = fill_of(ITEMS + 1000);
        printf("in the middle, %s: %.2f full\n", step > 0 ? "ascending" : "descending", fill);
        CHECK(fill >= 0.85);
        no_block_is_lost(&test.tree);
        destroy_tree();
    }
    new_tree(segment, all_kinds[0], 0);
    for (uint64_t n = 0; n < ITEMS; n++)
        put_word(test_random());
    double fill = fill_of(ITEMS);
    printf("random: %.2f full\n", fill);
    CHECK(fill > 0.6 && fill < 0.8);
    destroy_tree();
}

static void bulk_load(uint32_t items, uint32_t percent)
{
    struct model *model = &test.model;
    struct sj_btree_bulk *bulk;
    struct key_buffer key;
    struct value_buffer value;
    CHECK_OK(sj_tx_begin(test.segment));
    CHECK_OK(sj_btree_bulk_begin(&test.tree, percent, &bulk));
    for (uint32_t i = 0; i < items; i++)
        CHECK_OK(sj_btree_bulk_add(bulk, key_of(model, model->pair[i].key, &key),
                                   value_of(model, model->pair[i].value, &value)));
    if (items > 0)
        CHECK(sj_btree_bulk_add(bulk, &key.key, &value.value) == SJ_EORDER);
    CHECK_OK(sj_btree_bulk_end(bulk));
    CHECK_OK(sj_tx_commit(test.segment));
}

static void bulk_loads_are_like_inserts(struct sj_segment *segment)
{
    static const uint32_t sizes[] = {0,   1,    2,    29,   30,   31,   59,   60,   61,
                                     200, 1890, 1891, 2520, 2521, 2550, 5000, 15000};
    static struct model model;
    for (uint32_t k = 0; k < 4; k++) {
        new_tree(segment, all_kinds[k], 1);
        test.spread = 100000;
        while (test.model.count < 15000)
            put(test_below(test.spread), SJ_PUT_ALWAYS);
        model = test.model;
        destroy_tree();
        for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            new_tree(segment, all_kinds[k], 1);
            test.model = model;
            test.model.count = sizes[i];
            test.spread = 100000;
            bulk_load(sizes[i], i % 2 == 0 ? 100 : 70);
            all_is_well();
            batch(500, 30, 0);
            all_is_well();
            destroy_tree();
        }
    }
}

/* Keys of a mebibyte, which differ at their ends; a longer one is refused. */
static void keys_may_be_large(struct sj_segment *segment)
{
    static uint8_t bytes[SJ_KEY_BYTES_MAX + 1];
    struct sj_key key = {.bytes = bytes, .size = SJ_KEY_BYTES_MAX};
    struct sj_value value = {.word = 7};
    bool existed;
    new_tree(segment, all_kinds[2], 0);
    memset(bytes, 'k', sizeof bytes);
    for (uint32_t i = 0; i < 80; i++) {
        bytes[SJ_KEY_BYTES_MAX - 1] = (uint8_t)(i * 37);
        CHECK_OK(sj_btree_put(&test.tree, &key, &value, SJ_PUT_NEW, &existed));
        CHECK(!existed);
    }
    no_block_is_lost(&test.tree);
    for (uint32_t i = 0; i < 80; i++) {
        bytes[SJ_KEY_BYTES_MAX - 1] = (uint8_t)(i * 37);
        CHECK_OK(sj_btree_get(&test.tree, &key, &value));
    }
    key.size++;
    CHECK(sj_btree_put(&test.tree, &key, &value, SJ_PUT_NEW, &existed) == SJ_ETOOBIG);
    destroy_tree();
}

/* Takes all blocks of that many bytes that there are. */
static void take_all(struct sj_segment *segment, uint64_t bytes)
{
    int error;
    void *block;
    do {
        CHECK_OK(sj_tx_op_begin(segment));
        error = sj_heap_alloc(segment, bytes, &block);
        if (error != SJ_OK) {
            CHECK(sj_tx_op_abort(segment, error) == SJ_EFULL);
            return;
        }
        sj_tx_ready(segment);
        error = sj_tx_op_commit(segment);
    } while (error == SJ_OK);
    CHECK(error == SJ_EFULL);
}

/* In a segment that is nearly full: what fails changes nothing, alone or in a transaction. */
static void a_full_segment_changes_nothing(struct sj_segment *segment)
{
    static const uint64_t sizes[] = {64 << 20, 4 << 20, 256 << 10, 16 << 10, 4096};
    new_tree(segment, all_kinds[3], 1);
    test.spread = 3000;
    batch(2000, 70, 0);
    test.may_be_full = true;
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        take_all(segment, sizes[i]);
    for (uint32_t round = 0; round < 30; round++) {
        if (round % 3 == 0)
            begin();
        batch(300, round % 2 == 0 ? 95 : 60, (int32_t)test_below(3) - 1);
        CHECK_OK(sj_btree_check(&test.tree, NULL, NULL));
        reads_are_the_model(&test.model);
        if (round % 3 == 2)
            end(test_below(2) == 0);
        take_all(segment, 4096);
        if (round % 4 == 0)
            take_all(segment, 16);
    }
    printf("%" PRIu64 " operations failed\n", test.failures);
    CHECK(test.failures > 0);
}
int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("btree");
    random_sequences_match_the_model(segment);
    runs_leave_full_leaves(segment);
    bulk_loads_are_like_inserts(segment);
    keys_may_be_large(segment);
    CHECK_OK(sj_segment_close(segment, true));
    segment = test_segment("full");
    a_full_segment_changes_nothing(segment);
    CHECK_OK(sj_segment_close(segment, true));
    return 0;
}
