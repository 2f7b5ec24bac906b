// SPDX-License-Identifier: Apache-2.0
/*
 * test_btree_crash.c: a death before every single store of a put, a delete, a clear and a
 * transaction leaves the B+tree as it was before, or as it is after; once the commit is stored,
 * after. Only in a build with -DSJ_SEAM.
 */
#include "btree_world.h"

#ifdef SJ_SEAM

#include "structures/btree_search.h"

struct crash {
    uint64_t key;
    enum { PUT, DELETE, TRANSACTION, CLEAR } what;
};

static void crash_body(void *context)
{
    const struct crash *crash = context;
    switch (crash->what) {
    case PUT:
        put(crash->key, SJ_PUT_ALWAYS);
        break;
    case DELETE:
        delete(crash->key);
        break;
    case CLEAR:
        CHECK_OK(sj_btree_clear(&test.tree));
        test.model.count = 0;
        break;
    case TRANSACTION:
        CHECK_OK(sj_tx_begin(test.segment));
        for (uint64_t i = 0; i < 25; i++)
            put(crash->key + i, SJ_PUT_ALWAYS);
        CHECK_OK(sj_tx_begin(test.segment));
        for (uint64_t i = 0; i < 12; i++)
            delete(crash->key + 2 * i);
        CHECK_OK(sj_tx_commit(test.segment));
        CHECK_OK(sj_tx_commit(test.segment));
        break;
    }
}

static bool tree_is(const struct model *model)
{
    struct sj_btree_cursor cursor;
    struct sj_item item;
    uint32_t got, done = 0;
    if (sj_btree_count(&test.tree) != model->count)
        return false;
    CHECK_OK(sj_btree_first(&test.tree, &cursor));
    for (; done < model->count; done++) {
        CHECK_OK(sj_btree_read(&test.tree, &cursor, false, 1, &item, &got));
        if (got != 1 || !item_is(model, done, &item))
            return false;
    }
    return cursor.leaf == NULL;
}

/* Stops before store 0, step, 2 step … until the operation comes to its end; then it is done. */
static uint64_t crash_everywhere(const struct crash *crash, uint64_t step)
{
    static struct model before, after;
    struct copy copy = copy_segment(test.segment);
    uint64_t state = test_state, stores = 0;
    bool died = true, committed = false;
    before = test.model;
    crash_body((void *)(uintptr_t)crash);
    after = test.model;
    CHECK(tree_is(&after));
    for (; died; stores += step) {
        restore_segment(test.segment, &copy);
        test.model = before;
        test_state = state;
        died = test_crash_at(stores, crash_body, (void *)(uintptr_t)crash);
        CHECK_OK(sj_segment_recover(test.segment));
        no_block_is_lost(&test.tree);
        committed = committed || !tree_is(&before) || !died;
        CHECK(tree_is(committed ? &after : &before));
    }
    free(copy.bytes);
    test.model = after;
    return stores;
}

/* A key whose insertion splits a leaf, or whose deletion empties one too far; if there is one. */
static uint64_t critical_key(bool insertion)
{
    uint32_t critical = insertion ? SJ_BTREE_LEAF_ITEMS : SJ_BTREE_LEAF_ITEMS / 3;
    struct key_buffer key;
    struct btree_path path = {.leaf = NULL};
    uint64_t number = 0;
    bool bytes = btree_bytes(&test.tree);
    for (uint32_t tries = 0; tries < 3000; tries++) {
        number = test_below(test.spread);
        CHECK_OK(path_to(&test.tree, key_of(&test.model, number, &key), bytes, &path));
        if (path.found != insertion && path.leaf->node.count == critical)
            break;
    }
    return number;
}

static void a_death_leaves_before_or_after(struct sj_segment *segment)
{
    for (uint32_t k = 0; k < 4; k++) {
        uint64_t stores = 0;
        new_tree(segment, all_kinds[k], 1 + k % 2);
        test.spread = 1500;
        for (uint32_t round = 0; round < 6; round++) {
            for (uint32_t i = 0; i < 4; i++) {
                bool insertion = round < 4;
                struct crash crash = {i == 0 ? test_below(test.spread) : critical_key(insertion),
                                      insertion ? PUT : DELETE};
                stores += crash_everywhere(&crash, 1);
            }
            struct crash many = {test_below(test.spread), TRANSACTION};
            stores += crash_everywhere(&many, 5 + test_below(20));
            batch(400, round < 3 ? 90 : 15, 0);
        }
        struct crash clear = {0, CLEAR};
        stores += crash_everywhere(&clear, 5 + test_below(20));
        printf("kinds %u: operations of %" PRIu64 " stores in all\n", k, stores);
        destroy_tree();
    }
}

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("crash");
    a_death_leaves_before_or_after(segment);
    CHECK_OK(sj_segment_close(segment, true));
    return 0;
}

#else

int main(void)
{
    return 77; /* skipped */
}

#endif
