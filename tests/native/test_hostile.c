// SPDX-License-Identifier: Apache-2.0
/*
 * test_hostile.c: what the fuzzer found, one test each: media whose words are all possible by
 * themselves and contradict each other, so that one part of the file is two things at once.
 */
#include "harness.h"
#include "persistence/pages.h"
#include "persistence/roots.h"
#include "persistence/slab.h"
#include "structures/btree.h"
#include "structures/check.h"
#include "structures/hashmap.h"

static const struct sj_kinds words = {SJ_ITEM_WORD, SJ_ITEM_WORD};
static const struct sj_kinds cells = {SJ_ITEM_WORD, SJ_ITEM_BYTES};
static const struct sj_kinds texts = {SJ_ITEM_BYTES, SJ_ITEM_BYTES};

static uint8_t bytes[8 << 20];

static struct sj_btree make_tree(struct sj_segment *segment, struct sj_kinds kinds)
{
    struct sj_btree tree;
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_btree_create(segment, kinds, &head));
    CHECK_OK(sj_root_add(segment, "t", 1, SJ_KIND_BTREE, 1, 1, head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_btree_open(segment, head, &tree));
    return tree;
}

static struct sj_key key_of(uint64_t number)
{
    static uint8_t text[32];
    int size = snprintf((char *)text, sizeof text, "%08u", (unsigned)number);
    return (struct sj_key){.word = number, .bytes = text, .size = (uint32_t)size};
}

static int put(struct sj_btree *tree, uint64_t number, uint64_t size)
{
    bool existed;
    struct sj_key key = key_of(number);
    struct sj_value value = {.word = number, .bytes = bytes, .size = size};
    return sj_btree_put(tree, &key, &value, SJ_PUT_ALWAYS, &existed);
}

static bool is_answer(int error)
{
    return error == SJ_OK || error == SJ_ECORRUPT || error == SJ_ENOTFOUND;
}

static void is_done(struct sj_segment *segment, const char *name)
{
    sj_tx_forget(segment);
    CHECK_OK(sj_segment_close(segment, false));
    CHECK(remove(test_path(name)) == 0);
}

/* ------------------------------------------------------------------ the heap */

/* A count of chunks beyond the file let it grow to all of the reserve. */
static void chunks_are_no_more_than_the_file_has(void)
{
    struct sj_segment *segment = test_segment("chunks");
    struct sj_btree tree = make_tree(segment, cells);
    uint64_t committed = sj_segment_committed(segment);
    segment->root_page->chunks = 200;
    CHECK(put(&tree, 1, 5 << 20) == SJ_ECORRUPT);
    CHECK(sj_segment_committed(segment) == committed);
    is_done(segment, "chunks");
}

/* A pointer to a copy of a node in the log, or into the root page, was one to that node. */
static void blocks_lie_in_the_heap_alone(void)
{
    struct sj_segment *segment = test_segment("blocks");
    struct sj_btree tree = make_tree(segment, words), other;
    for (uint64_t i = 0; i < 20; i++)
        CHECK_OK(put(&tree, i, 0));
    uint64_t *places[] = {(uint64_t *)(segment->base + SJ_LOG_EXTENT0_AT + 8192),
                          (uint64_t *)(segment->base + SJ_ROOT_PAGE_AT + 1024),
                          (uint64_t *)(segment->base + SJ_SUPER_B + 512)};
    for (uint32_t i = 0; i < 3; i++) {
        struct sj_key key = key_of(3);
        struct sj_value value;
        memcpy(places[i], tree.head, sizeof *tree.head);
        CHECK(sj_btree_open(segment, (uintptr_t)places[i], &other) == SJ_ECORRUPT);
        memcpy(places[i], (void *)(uintptr_t)tree.head->top, sizeof(struct sj_btree_leaf));
        uint64_t top = tree.head->top;
        tree.head->top = (uintptr_t)places[i];
        CHECK(sj_btree_get(&tree, &key, &value) == SJ_ECORRUPT);
        CHECK(put(&tree, 5, 0) == SJ_ECORRUPT);
        tree.head->top = top;
    }
    is_done(segment, "blocks");
}

/* ------------------------------------------------------------------ the log */

/* A transaction whose log has two extents. */
static struct sj_segment *make_long_log(const char *name)
{
    struct sj_segment *segment = test_segment(name);
    struct sj_btree tree = make_tree(segment, words);
    CHECK_OK(sj_tx_begin(segment));
    for (uint64_t i = 0; segment->log->extents < 2; i++) {
        CHECK_OK(sj_tx_begin(segment));
        CHECK_OK(put(&tree, i * 7919 % 1000, 0));
        CHECK_OK(sj_tx_commit(segment));
    }
    return segment;
}

/* An extent that was kept, and that the heap does not know as one, was written to. */
static void extents_are_chunks_of_the_log(void)
{
    struct sj_segment *segment = make_long_log("extents");
    CHECK_OK(sj_tx_commit(segment));
    CHECK(segment->log->extents == 2); /* kept */
    segment->log->extent[1].at = (uintptr_t)segment->base;
    struct sj_super before = *(struct sj_super *)segment->base;
    struct sj_btree tree;
    struct sj_root *root;
    CHECK_OK(sj_root_find(segment, "t", 1, &root));
    CHECK_OK(sj_btree_open(segment, root->pointer, &tree));
    CHECK_OK(sj_tx_begin(segment));
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && i < 5000; i++) {
        CHECK_OK(sj_tx_begin(segment));
        error = put(&tree, i * 7919 % 1000, 0);
        sj_tx_commit(segment);
    }
    CHECK(error == SJ_ECORRUPT);
    sj_tx_abort(segment);
    CHECK(memcmp(&before, segment->base, sizeof before) == 0);
    is_done(segment, "extents");
}

/* ------------------------------------------------------------------ two owners */

/* The bit of a block's slab: in use, or lost. */
static void free_bit(struct sj_segment *segment, uint64_t block)
{
    struct sj_page_run run;
    CHECK_OK(sj_pages_find(segment, block, &run));
    struct sj_slab *slab = (struct sj_slab *)(uintptr_t)run.at;
    uint64_t size = sj_class_bytes(slab->size_class);
    uint64_t number = (block - run.at - sizeof *slab) / size;
    slab->used[number / 64] &= ~(1ull << number % 64);
}

/* The value of a put came to lie in the very leaf that it goes to, whose count was used then. */
static void a_leaf_that_is_given_out_is_no_leaf_any_more(void)
{
    for (uint32_t round = 0; round < 40; round++) {
        struct sj_segment *segment = test_segment("leaf");
        struct sj_btree tree = make_tree(segment, round % 2 ? texts : cells);
        for (uint64_t i = 0; i < 20 + round * 8; i++)
            CHECK_OK(put(&tree, 2 * i, 30));
        struct sj_key key = key_of(test_below(38));
        struct sj_btree_cursor cursor;
        CHECK_OK(sj_btree_seek(&tree, &key, false, &cursor));
        free_bit(segment, (uintptr_t)cursor.leaf);
        memset(bytes, (int)round * 7 + 1, 512);
        for (uint64_t i = 0; i < 6; i++)
            CHECK(is_answer(put(&tree, key.word + i, 440 + i * 8)));
        is_done(segment, "leaf");
    }
    memset(bytes, 0, 512);
}

/* A tree whose top is its own child, 24 levels deep: a deletion or a split planned more changes
 * than a plan has room for, and an assertion failed. */
static void a_tree_in_itself_is_no_assertion(void)
{
    struct sj_segment *segment = test_segment("cycle");
    struct sj_btree tree = make_tree(segment, words);
    for (uint64_t i = 0; i < 3000; i++)
        CHECK_OK(put(&tree, i, 0));
    struct sj_btree_inner *top = (struct sj_btree_inner *)(uintptr_t)tree.head->top;
    CHECK(tree.head->height >= 1);
    for (uint32_t level = 2; level <= SJ_BTREE_HEIGHT_MAX; level += 11) {
        uint64_t *children = top->words + SJ_BTREE_INNER_WORD;
        uint64_t first = children[0];
        tree.head->height = level;
        for (uint64_t i = 0; i < 200; i++) {
            struct sj_key key = key_of(i);
            children[0] = (uintptr_t)top;
            CHECK(is_answer(sj_btree_delete(&tree, &key)));
            CHECK(is_answer(put(&tree, i, 0)));
            children[0] = first;
        }
    }
    is_done(segment, "cycle");
}

/* A map whose directory, table or head was given out meanwhile. */
static void a_map_that_is_given_out_is_no_map_any_more(void)
{
    for (uint32_t round = 0; round < 60; round++) {
        struct sj_segment *segment = test_segment("map");
        struct sj_hashmap map;
        uint64_t head;
        bool existed;
        CHECK_OK(sj_tx_op_begin(segment));
        CHECK_OK(sj_hashmap_create(segment, cells, &head));
        sj_tx_ready(segment);
        CHECK_OK(sj_tx_op_commit(segment));
        CHECK_OK(sj_hashmap_open(segment, head, &map));
        struct sj_value value = {.bytes = bytes, .size = 20};
        for (uint64_t i = 0; i < 10 + 30 * (round % 12); i++) {
            struct sj_key key = key_of(i);
            CHECK_OK(sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed));
        }
        const struct sj_hashmap_directory *directory =
            (const struct sj_hashmap_directory *)(uintptr_t)map.head->directory;
        uint64_t victim = round % 2 ? directory->segment[0] : map.head->directory;
        if (sj_heap_usable(segment, victim) >= SJ_PAGE) {
            is_done(segment, "map");
            continue;
        }
        value.size = sj_heap_usable(segment, victim) - 16;
        free_bit(segment, victim);
        memset(bytes, (int)round + 1, value.size);
        for (uint64_t i = 0; i < 300; i++) {
            struct sj_key key = key_of(1000 + i);
            int error = sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed);
            CHECK(is_answer(error) || error == SJ_EFULL);
        }
        is_done(segment, "map");
    }
}

/* The new block of a value overlapped the old one, whose key is copied. */
static void a_key_may_be_copied_over_itself(void)
{
    struct sj_segment *segment = test_segment("copy");
    struct sj_btree tree = make_tree(segment, texts);
    CHECK_OK(put(&tree, 1, 100));
    struct sj_btree_leaf *leaf = (struct sj_btree_leaf *)(uintptr_t)tree.head->top;
    CHECK_OK(put(&tree, 2, 100));
    free_bit(segment, leaf->slot[0]);
    CHECK(is_answer(put(&tree, 1, 101)));
    is_done(segment, "copy");
}

int main(void)
{
    test_begin();
    chunks_are_no_more_than_the_file_has();
    blocks_lie_in_the_heap_alone();
    extents_are_chunks_of_the_log();
    a_leaf_that_is_given_out_is_no_leaf_any_more();
    a_tree_in_itself_is_no_assertion();
    a_map_that_is_given_out_is_no_map_any_more();
    a_key_may_be_copied_over_itself();
    printf("ok\n");
    return 0;
}
