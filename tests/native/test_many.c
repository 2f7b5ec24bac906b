// SPDX-License-Identifier: Apache-2.0
/*
 * test_many.c: many keys at once are as one by one, and two trees merged are as their models; also
 * when the media is damaged, or the process dies.
 */
#include "btree_world.h"
#include "hashmap_world.h"

#define KEYS_MAX 400

static struct sj_key keys[KEYS_MAX];
static struct key_buffer buffers[KEYS_MAX];
static struct sj_value values[KEYS_MAX];
static bool found[KEYS_MAX];

static const uint32_t counts[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 64, KEYS_MAX};
#define COUNTS (sizeof counts / sizeof counts[0])

/* Keys of the tree, some of them there. */
static void some_tree_keys(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        keys[i] = *key_of(&test.model, test_below(2 * test.spread), &buffers[i]);
}

static bool values_are_alike(struct sj_kinds kinds, const struct sj_value *a,
                             const struct sj_value *b)
{
    if (kinds.value == SJ_ITEM_WORD)
        return a->word == b->word;
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static void gets_of_a_tree_are_single_gets(void)
{
    for (uint32_t c = 0; c < COUNTS; c++) {
        some_tree_keys(counts[c]);
        CHECK_OK(sj_btree_get_many(&test.tree, keys, counts[c], values, found));
        for (uint32_t i = 0; i < counts[c]; i++) {
            struct sj_value value;
            int error = sj_btree_get(&test.tree, &keys[i], &value);
            CHECK(error == (found[i] ? SJ_OK : SJ_ENOTFOUND));
            CHECK(!found[i] || values_are_alike(test.tree.kinds, &value, &values[i]));
        }
    }
}

/* Puts and deletes of many, in a transaction that is undone. */
static void changes_of_a_tree_are_single_changes(uint32_t count)
{
    static struct value_buffer value_buffers[KEYS_MAX];
    uint64_t fresh = 0, deleted = 0, before = sj_btree_count(&test.tree);
    some_tree_keys(count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = *value_of(&test.model, test_random(), &value_buffers[i]);
    CHECK_OK(sj_tx_begin(test.segment));
    CHECK_OK(sj_btree_put_many(&test.tree, keys, values, count, &fresh));
    CHECK(sj_btree_count(&test.tree) == before + fresh);
    for (uint32_t i = 0; i < count; i++) {
        bool last = true;
        struct sj_value value;
        CHECK_OK(sj_btree_get(&test.tree, &keys[i], &value));
        for (uint32_t j = i + 1; last && j < count; j++)
            last = compare_keys(&test.model, &keys[i], &keys[j]) != 0;
        CHECK(!last || values_are_alike(test.tree.kinds, &value, &values[i]));
    }
    CHECK_OK(sj_btree_check(&test.tree, NULL, NULL));
    CHECK_OK(sj_btree_delete_many(&test.tree, keys, count, &deleted));
    CHECK(deleted <= count && sj_btree_count(&test.tree) == before + fresh - deleted);
    for (uint32_t i = 0; i < count; i++)
        CHECK(sj_btree_get(&test.tree, &keys[i], values) == SJ_ENOTFOUND);
    CHECK_OK(sj_btree_check(&test.tree, NULL, NULL));
    sj_tx_abort(test.segment);
    all_is_well();
}

static void maps_are_as_one_by_one(uint32_t k)
{
    struct sj_kinds kinds = all_kinds[k];
    char name[8];
    static struct world_bytes {
        uint8_t bytes[512];
    } bytes[KEYS_MAX];
    snprintf(name, sizeof name, "map%u", k);
    struct world *world = world_make(name, kinds, 6000);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3000; i++)
            world_put(world, (uint32_t)test_below(5000), 1 + round, SJ_PUT_ALWAYS);
        for (uint32_t c = 0; c < COUNTS; c++) {
            for (uint32_t i = 0; i < counts[c]; i++) {
                keys[i] = world_key(world, (uint32_t)test_below(6000));
                if (kinds.key == SJ_ITEM_BYTES) {
                    memcpy(bytes[i].bytes, keys[i].bytes, keys[i].size + keys[i].form_size);
                    keys[i].bytes = bytes[i].bytes;
                }
            }
            CHECK_OK(sj_hashmap_get_many(&world->map, keys, counts[c], values, found));
            for (uint32_t i = 0; i < counts[c]; i++) {
                struct sj_value value;
                int error = sj_hashmap_get(&world->map, &keys[i], &value);
                CHECK(error == (found[i] ? SJ_OK : SJ_ENOTFOUND));
                CHECK(!found[i] || values_are_alike(kinds, &value, &values[i]));
                values[i] = (struct sj_value){.word = i, .bytes = bytes[i].bytes, .size = i % 40};
            }
            uint64_t fresh = 0, deleted = 0, before = sj_hashmap_count(&world->map);
            world_begin(world);
            CHECK_OK(sj_hashmap_put_many(&world->map, keys, values, counts[c], &fresh));
            CHECK(sj_hashmap_count(&world->map) == before + fresh);
            CHECK_OK(sj_hashmap_delete_many(&world->map, keys, counts[c], &deleted));
            CHECK(sj_hashmap_count(&world->map) == before + fresh - deleted);
            CHECK(counts[c] == 0 || deleted > 0);
            world_end(world, false);
        }
        world_check(world);
    }
    world_drop(world);
}

/* ------------------------------------------------------------------ two trees */

/* A second tree with some of the first one's keys and others. */
static struct sj_btree second_tree(uint32_t puts)
{
    struct sj_btree tree;
    struct key_buffer key;
    struct value_buffer value;
    bool existed;
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(test.segment));
    CHECK_OK(sj_btree_create(test.segment, test.model.kinds, &head));
    sj_tx_ready(test.segment);
    CHECK_OK(sj_tx_op_commit(test.segment));
    CHECK_OK(sj_btree_open(test.segment, head, &tree));
    for (uint32_t i = 0; i < puts; i++)
        CHECK_OK(sj_btree_put(&tree, key_of(&test.model, test_below(2 * test.spread), &key),
                              value_of(&test.model, 5, &value), SJ_PUT_ALWAYS, &existed));
    return tree;
}

static bool has(const struct sj_btree *tree, const struct sj_key *key)
{
    struct sj_value value;
    return sj_btree_get(tree, key, &value) == SJ_OK;
}

/* How many keys of `tree` are to be given, by one search each. */
static uint64_t expected_of(const struct sj_btree *tree, const struct sj_btree *other,
                            bool in_other, bool any)
{
    struct sj_btree_cursor cursor;
    struct sj_item item;
    uint32_t got = 1;
    uint64_t count = 0;
    CHECK_OK(sj_btree_first(tree, &cursor));
    for (;;) {
        CHECK_OK(sj_btree_read(tree, &cursor, false, 1, &item, &got));
        if (got == 0)
            return count;
        count += any || has(other, &item.key) == in_other;
    }
}

static void a_join_is_the_models(const struct sj_btree *other, enum sj_btree_join what)
{
    const struct sj_btree *tree = &test.tree;
    struct sj_item items[70];
    struct sj_key last, *after = NULL;
    uint64_t count = 0,
             expected = expected_of(tree, other, what == SJ_BTREE_BOTH, what == SJ_BTREE_EITHER);
    if (what == SJ_BTREE_EITHER)
        expected += expected_of(other, tree, false, false);
    uint32_t got, wanted;
    do {
        wanted = 1 + (uint32_t)test_below(70);
        CHECK_OK(sj_btree_join(tree, other, what, after, wanted, items, &got));
        for (uint32_t i = 0; i < got; i++) {
            const struct sj_key *key = &items[i].key;
            CHECK(after == NULL || compare_keys(&test.model, after, key) < 0);
            bool here = has(tree, key), there = has(other, key);
            CHECK(what == SJ_BTREE_EITHER ? here || there
                                          : here && there == (what == SJ_BTREE_BOTH));
            last = *key;
            after = &last;
        }
        count += got;
    } while (got == wanted);
    CHECK(count == expected);
}

static void joins_are_the_models(void)
{
    static const uint32_t puts[] = {0, 1, 40, 3000};
    for (uint32_t i = 0; i < 4; i++) {
        struct sj_btree other = second_tree(puts[i]);
        for (uint32_t what = SJ_BTREE_BOTH; what <= SJ_BTREE_EITHER; what++)
            a_join_is_the_models(&other, (enum sj_btree_join)what);
        struct sj_btree mine = test.tree;
        test.tree = other; /* the other way around */
        for (uint32_t what = SJ_BTREE_BOTH; what <= SJ_BTREE_EITHER; what++)
            a_join_is_the_models(&mine, (enum sj_btree_join)what);
        test.tree = mine;
        CHECK_OK(sj_tx_op_begin(test.segment));
        CHECK_OK(sj_btree_destroy(&other));
        sj_tx_ready(test.segment);
        CHECK_OK(sj_tx_op_commit(test.segment));
    }
}

/* ------------------------------------------------------------------ damage */

static struct sj_hashmap *damaged_map;
static struct sj_btree damaged_other;
static uint64_t answers[2]; /* whole, damaged */

static void answer(int error)
{
    CHECK(error == SJ_OK || error == SJ_ECORRUPT);
    answers[error == SJ_ECORRUPT]++;
}

static void use_tree(void)
{
    struct sj_item items[100];
    uint32_t got;
    answer(sj_btree_get_many(&test.tree, keys, KEYS_MAX, values, found));
    for (uint32_t what = SJ_BTREE_BOTH; what <= SJ_BTREE_EITHER; what++)
        answer(sj_btree_join(&test.tree, &damaged_other, (enum sj_btree_join)what, NULL, 100, items,
                             &got));
    answer(sj_btree_join(&damaged_other, &test.tree, SJ_BTREE_BOTH, &keys[0], 100, items, &got));
}

static void use_map(void)
{
    answer(sj_hashmap_get_many(damaged_map, keys, KEYS_MAX, values, found));
}

/* Puts other numbers into words of a block in turn: it is damage, or nothing that is read. */
static int damage_block(void *context, uint64_t block, uint64_t bytes)
{
    void (*use)(void) = *(void (**)(void))context;
    uint64_t *words = (uint64_t *)(uintptr_t)block;
    const uint64_t wild[] = {0, block, block + 8, TEST_BASE, ~0ull, test_random(), block ^ 1};
    uint64_t step = bytes > 600 ? 1 + test_below(16) : 1 + test_below(4);
    for (uint64_t word = 0; word < bytes / 8; word += step) {
        uint64_t old = words[word];
        words[word] = wild[test_below(sizeof wild / sizeof wild[0])];
        use();
        words[word] = old;
    }
    return SJ_OK;
}

static void damage_is_told(struct sj_segment *segment)
{
    for (uint32_t k = 0; k < 4; k++) {
        void (*use)(void) = use_tree;
        new_tree(segment, all_kinds[k], 1);
        test.spread = 3000;
        while (test.model.count < 500)
            put(test_below(test.spread), SJ_PUT_ALWAYS);
        damaged_other = second_tree(300);
        some_tree_keys(KEYS_MAX);
        answers[0] = answers[1] = 0;
        CHECK_OK(sj_btree_check(&test.tree, damage_block, &use));
        printf("tree %u: %" PRIu64 " answers, %" PRIu64 " of them damage\n", k, answers[0],
               answers[1]);
        CHECK(answers[1] > 20);
        use_tree();
        CHECK(answers[0] > 0);
        CHECK_OK(sj_btree_clear(&test.tree));
    }
}

static void damage_of_maps_is_told(void)
{
    void (*use)(void) = use_map;
    for (uint32_t k = 0; k < 4; k++) {
        static uint8_t bytes[KEYS_MAX][512];
        char name[12];
        snprintf(name, sizeof name, "damage%u", k);
        struct world *world = world_make(name, all_kinds[k], 900);
        for (uint32_t i = 0; i < 900; i++)
            world_put(world, i, 1, SJ_PUT_NEW);
        for (uint32_t i = 0; i < KEYS_MAX; i++) {
            keys[i] = world_key(world, 2 * i);
            memcpy(bytes[i], world_key_bytes, sizeof bytes[i]);
            keys[i].bytes = bytes[i];
        }
        damaged_map = &world->map;
        answers[0] = answers[1] = 0;
        CHECK_OK(sj_hashmap_check(&world->map, damage_block, &use));
        printf("map %u: %" PRIu64 " answers, %" PRIu64 " of them damage\n", k, answers[0],
               answers[1]);
        CHECK(answers[0] > 0);
        world_check(world);
        uint64_t *directory = (uint64_t *)(uintptr_t)world->map.head->directory;
        directory[2] += 8; /* the table of the hashes that begin with zeros */
        CHECK(sj_hashmap_get_many(&world->map, keys, KEYS_MAX, values, found) == SJ_ECORRUPT);
        directory[2] -= 8;
        world_drop(world);
    }
}

static void trees_are_as_one_by_one(struct sj_segment *segment)
{
    for (uint32_t k = 0; k < 4; k++) {
        new_tree(segment, all_kinds[k], k % 2);
        gets_of_a_tree_are_single_gets();
        joins_are_the_models();
        for (uint32_t round = 0; round < 4; round++) {
            batch(1500, 80, (int32_t)(round % 3) - 1);
            gets_of_a_tree_are_single_gets();
            changes_of_a_tree_are_single_changes(counts[4 + round]);
        }
        joins_are_the_models();
        changes_of_a_tree_are_single_changes(KEYS_MAX);
        destroy_tree();
    }
}

/* ------------------------------------------------------------------ dying */

#ifdef SJ_SEAM

static void change_many(void *context)
{
    uint64_t fresh = 0, deleted = 0;
    (void)context;
    CHECK_OK(sj_tx_begin(test.segment));
    CHECK_OK(sj_btree_put_many(&test.tree, keys, values, 60, &fresh));
    CHECK_OK(sj_btree_delete_many(&test.tree, keys + 40, 40, &deleted));
    CHECK_OK(sj_tx_commit(test.segment));
}

static void a_death_leaves_all_or_nothing(struct sj_segment *segment)
{
    static struct value_buffer value_buffers[KEYS_MAX];
    for (uint32_t k = 0; k < 4; k++) {
        new_tree(segment, all_kinds[k], 1);
        batch(600, 90, 0);
        some_tree_keys(100);
        for (uint32_t i = 0; i < 60; i++)
            values[i] = *value_of(&test.model, test_random(), &value_buffers[i]);
        struct copy copy = copy_segment(segment);
        uint64_t step = 7 + test_below(9);
        for (uint64_t stores = 0; test_crash_at(stores, change_many, NULL); stores += step) {
            CHECK_OK(sj_segment_recover(segment));
            no_block_is_lost(&test.tree);
            if (sj_btree_count(&test.tree) != test.model.count || has(&test.tree, &keys[0]))
                break; /* it was committed: what follows are the commit's own stores */
            reads_are_the_model(&test.model);
        }
        CHECK_OK(sj_segment_recover(segment));
        restore_segment(segment, &copy);
        free(copy.bytes);
        reads_are_the_model(&test.model);
        destroy_tree();
    }
}

#endif

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("many");
    trees_are_as_one_by_one(segment);
#ifdef SJ_SEAM
    a_death_leaves_all_or_nothing(segment);
#endif
    damage_is_told(segment);
    CHECK_OK(sj_segment_close(segment, true));
    for (uint32_t k = 0; k < 4; k++)
        maps_are_as_one_by_one(k);
    damage_of_maps_is_told();
    return 0;
}
