// SPDX-License-Identifier: Apache-2.0
/*
 * test_btree.c: B+trees against a sorted array: random operations, transactions, bulk loads,
 * damage, and a death before every single store.
 *
 * After every batch the tree is checked (sj_btree_check), read in both directions and compared with
 * the model, and its blocks are held against those that the heap has in use: none is lost, none is
 * shared.
 */
#include "harness.h"

#include "structures/btree.h"

#define MODEL_MAX 20000
#define DEPTH_MAX 4

static const struct sj_kinds all_kinds[] = {{SJ_ITEM_WORD, SJ_ITEM_WORD},
                                            {SJ_ITEM_WORD, SJ_ITEM_BYTES},
                                            {SJ_ITEM_BYTES, SJ_ITEM_WORD},
                                            {SJ_ITEM_BYTES, SJ_ITEM_BYTES}};

/* ------------------------------------------------------------------ the model */

/* A key is made of its number, so the model keeps numbers; values are made of theirs. */
struct pair {
    uint64_t key;
    uint64_t value;
};

struct model {
    struct sj_kinds kinds;
    uint32_t style; /* of byte keys */
    uint32_t count;
    struct pair pair[MODEL_MAX];
};

#define KEY_BYTES 96

/* The bytes of key number `number`; the styles order as bytes do, not as numbers. */
static uint32_t key_bytes(uint32_t style, uint64_t number, uint8_t *bytes)
{
    static const uint8_t letters[] = {0, 1, 'a', 'b', 255};
    uint32_t size = 0;
    switch (style) {
    case 0: /* up to five of five letters, the empty key and zero bytes among them */
        for (number %= 3906; number > 0; number = (number - 1) / 5)
            bytes[size++] = letters[(number - 1) % 5];
        return size;
    case 1: /* a long common prefix, then a number */
        memset(bytes, 'p', 40);
        return 40 + (uint32_t)sprintf((char *)bytes + 40, "%05u", (unsigned)(number % 100000));
    case 2: /* each is a prefix of others: x…x, with something else at one place */
        memset(bytes, 'x', KEY_BYTES);
        size = (uint32_t)(number % 90);
        bytes[(number / 90) % 90] = letters[number / 8100 % 5];
        return size;
    default: /* groups that share eight bytes or more, in words that vary */
        memset(bytes, (int)(number % 3), 20);
        bytes[7] = (uint8_t)(number / 3 % 7);
        size = 8 + (uint32_t)(number / 21 % 11);
        memcpy(bytes + size, &number, 3);
        return size + 3;
    }
}

struct key_buffer {
    struct sj_key key;
    uint8_t bytes[KEY_BYTES + 8];
};

static const struct sj_key *key_of(const struct model *model, uint64_t number,
                                   struct key_buffer *buffer)
{
    buffer->key = (struct sj_key){.word = number, .bytes = buffer->bytes};
    if (model->kinds.key == SJ_ITEM_BYTES)
        buffer->key.size = key_bytes(model->style, number, buffer->bytes);
    return &buffer->key;
}

static int compare_keys(const struct model *model, const struct sj_key *a, const struct sj_key *b)
{
    if (model->kinds.key == SJ_ITEM_WORD)
        return (a->word > b->word) - (a->word < b->word);
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* How many of the model's keys are < key; `*found`: the next one is equal. */
static uint32_t model_find(const struct model *model, const struct sj_key *key, bool *found)
{
    uint32_t low = 0, high = model->count;
    struct key_buffer buffer;
    *found = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = compare_keys(model, key_of(model, model->pair[middle].key, &buffer), key);
        if (order == 0)
            *found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct value_buffer {
    struct sj_value value;
    uint8_t bytes[6000];
};

static const struct sj_value *value_of(const struct model *model, uint64_t number,
                                       struct value_buffer *buffer)
{
    buffer->value = (struct sj_value){.word = number, .bytes = buffer->bytes};
    if (model->kinds.value == SJ_ITEM_WORD)
        return &buffer->value;
    buffer->value.size = number % 97 == 0 ? 5000 : number % 23;
    for (uint32_t i = 0; i < buffer->value.size; i++)
        buffer->bytes[i] = (uint8_t)(number >> (i % 8));
    return &buffer->value;
}

static bool value_is(const struct model *model, uint64_t number, const struct sj_value *value)
{
    struct value_buffer buffer;
    const struct sj_value *expected = value_of(model, number, &buffer);
    if (model->kinds.value == SJ_ITEM_WORD)
        return value->word == expected->word;
    return value->size == expected->size &&
           memcmp(value->bytes, expected->bytes, expected->size) == 0;
}

/* ------------------------------------------------------------------ tree and model together */

struct test {
    struct sj_segment *segment;
    struct sj_btree tree;
    struct model model;
    uint32_t depth;
    uint64_t spread; /* key numbers are below it */
    bool may_be_full;
    uint64_t failures;
    struct model saved[DEPTH_MAX];
};

static struct test test;

static void new_tree(struct sj_segment *segment, struct sj_kinds kinds, uint32_t style)
{
    uint64_t head;
    memset(&test, 0, sizeof test);
    test.segment = segment;
    test.model.kinds = kinds;
    test.model.style = style;
    test.spread = 4000;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_btree_create(segment, kinds, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_btree_open(segment, head, &test.tree));
}

static void destroy_tree(void)
{
    CHECK_OK(sj_tx_op_begin(test.segment));
    CHECK_OK(sj_btree_destroy(&test.tree));
    sj_tx_ready(test.segment);
    CHECK_OK(sj_tx_op_commit(test.segment));
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(test.segment, &stats));
    CHECK(stats.live_blocks == 0);
}

/* A change of the tree is one of the model, unless the segment is full. */
static bool is_done(int error)
{
    CHECK(error == SJ_OK || (test.may_be_full && error == SJ_EFULL));
    test.failures += error != SJ_OK;
    return error == SJ_OK;
}

static void put(uint64_t number, enum sj_put_mode mode)
{
    struct model *model = &test.model;
    struct key_buffer key;
    struct value_buffer value;
    bool found, existed;
    uint64_t new_value = test_random();
    uint32_t at = model_find(model, key_of(model, number, &key), &found);
    if (!found && model->count == MODEL_MAX)
        return;
    if (!is_done(
            sj_btree_put(&test.tree, &key.key, value_of(model, new_value, &value), mode, &existed)))
        return;
    CHECK(existed == found);
    if (!found) {
        memmove(model->pair + at + 1, model->pair + at,
                (model->count - at) * sizeof model->pair[0]);
        model->pair[at].key = number;
        model->count++;
    }
    if (!found || mode == SJ_PUT_ALWAYS)
        model->pair[at].value = new_value;
}

static void delete(uint64_t number)
{
    struct model *model = &test.model;
    struct key_buffer key;
    bool found;
    uint32_t at = model_find(model, key_of(model, number, &key), &found);
    int error = sj_btree_delete(&test.tree, &key.key);
    CHECK(found || error == SJ_ENOTFOUND);
    if (!found || !is_done(error))
        return;
    model->count--;
    memmove(model->pair + at, model->pair + at + 1, (model->count - at) * sizeof model->pair[0]);
}

static void get(uint64_t number)
{
    struct key_buffer key;
    struct sj_value value;
    bool found;
    uint32_t at = model_find(&test.model, key_of(&test.model, number, &key), &found);
    int error = sj_btree_get(&test.tree, &key.key, &value);
    CHECK(error == (found ? SJ_OK : SJ_ENOTFOUND));
    CHECK(!found || value_is(&test.model, test.model.pair[at].value, &value));
}

static bool item_is(const struct model *model, uint32_t at, const struct sj_item *item)
{
    struct key_buffer key;
    return compare_keys(model, key_of(model, model->pair[at].key, &key), &item->key) == 0 &&
           value_is(model, model->pair[at].value, &item->value);
}

/* ------------------------------------------------------------------ comparing */

struct blocks {
    uint64_t count, bytes, mixed;
};

static int count_block(void *context, uint64_t block, uint64_t bytes)
{
    struct blocks *blocks = context;
    blocks->count++;
    blocks->bytes += bytes;
    blocks->mixed += block * 0x9e3779b97f4a7c15ull ^ block >> 20;
    return SJ_OK;
}

static void no_block_is_lost(const struct sj_btree *tree)
{
    struct blocks tree_blocks = {0}, heap_blocks = {0};
    CHECK_OK(sj_btree_check(tree, count_block, &tree_blocks));
    CHECK_OK(sj_heap_check(tree->segment, count_block, &heap_blocks));
    CHECK(tree_blocks.count == heap_blocks.count);
    CHECK(tree_blocks.bytes == heap_blocks.bytes && tree_blocks.mixed == heap_blocks.mixed);
}

static void reads_are_the_model(const struct model *model)
{
    struct sj_item items[100];
    struct sj_btree_cursor cursor;
    uint32_t got, done = 0, wanted;
    CHECK(sj_btree_count(&test.tree) == model->count);
    CHECK_OK(sj_btree_first(&test.tree, &cursor));
    do {
        wanted = 1 + (uint32_t)test_below(100);
        CHECK_OK(sj_btree_read(&test.tree, &cursor, false, wanted, items, &got));
        for (uint32_t i = 0; i < got; i++, done++)
            CHECK(done < model->count && item_is(model, done, &items[i]));
    } while (got == wanted);
    CHECK(done == model->count && cursor.leaf == NULL);
    CHECK_OK(sj_btree_last(&test.tree, &cursor));
    do {
        wanted = 1 + (uint32_t)test_below(100);
        CHECK_OK(sj_btree_read(&test.tree, &cursor, true, wanted, items, &got));
        for (uint32_t i = 0; i < got; i++)
            CHECK(done > 0 && item_is(model, --done, &items[i]));
    } while (got == wanted);
    CHECK(done == 0);
}

/* The cursor is at item `at` of the model, or at none. */
static void cursor_is_at(struct sj_btree_cursor cursor, uint64_t at)
{
    struct sj_item item;
    uint32_t got;
    CHECK_OK(sj_btree_read(&test.tree, &cursor, false, 1, &item, &got));
    CHECK(got == (at < test.model.count));
    CHECK(got == 0 || item_is(&test.model, (uint32_t)at, &item));
}

static void places_are_the_models(void)
{
    struct key_buffer key;
    struct sj_btree_cursor cursor;
    uint64_t rank;
    bool found;
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t at =
            model_find(&test.model, key_of(&test.model, test_below(test.spread), &key), &found);
        CHECK_OK(sj_btree_seek(&test.tree, &key.key, false, &cursor));
        cursor_is_at(cursor, at);
        CHECK_OK(sj_btree_seek(&test.tree, &key.key, true, &cursor));
        cursor_is_at(cursor, at + found);
        CHECK_OK(sj_btree_seek_last(&test.tree, &key.key, false, &cursor));
        cursor_is_at(cursor, (uint64_t)at + found - 1);
        CHECK_OK(sj_btree_seek_last(&test.tree, &key.key, true, &cursor));
        cursor_is_at(cursor, (uint64_t)at - 1);
        CHECK_OK(sj_btree_rank(&test.tree, &key.key, false, &rank));
        CHECK(rank == at);
        CHECK_OK(sj_btree_rank(&test.tree, &key.key, true, &rank));
        CHECK(rank == (uint64_t)at + found);
        rank = test_below(test.model.count + 1);
        CHECK_OK(sj_btree_select(&test.tree, rank, &cursor));
        cursor_is_at(cursor, rank);
    }
}

static void all_is_well(void)
{
    /* Inside a transaction the blocks that were freed are still in use. */
    if (test.depth == 0)
        no_block_is_lost(&test.tree);
    else
        CHECK_OK(sj_btree_check(&test.tree, NULL, NULL));
    reads_are_the_model(&test.model);
    places_are_the_models();
}

/* ------------------------------------------------------------------ random sequences */

static void begin(void)
{
    CHECK_OK(sj_tx_begin(test.segment));
    test.saved[test.depth++] = test.model;
}

static void end(bool commit)
{
    test.depth--;
    if (!commit)
        sj_tx_abort(test.segment);
    if (!commit || !is_done(sj_tx_commit(test.segment)))
        test.model = test.saved[test.depth];
}

/* `puts` of 100 operations are puts; `run`: keys that follow each other. */
static void batch(uint32_t operations, uint32_t puts, int32_t run)
{
    uint64_t number = test_below(test.spread);
    for (uint32_t i = 0; i < operations; i++) {
        number = run != 0 ? number + (uint64_t)run : test_random();
        if (test.model.kinds.key == SJ_ITEM_BYTES || test_below(50) != 0)
            number %= test.spread;
        if (test_below(100) < puts)
            put(number, test_below(4) == 0 ? SJ_PUT_NEW : SJ_PUT_ALWAYS);
        else
            delete(number);
        get(test_below(test.spread));
    }
}

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

/* ------------------------------------------------------------------ the segment as it was */

struct copy {
    char *bytes;
    uint64_t size;
};

static struct copy copy_segment(const struct sj_segment *segment)
{
    struct copy copy = {.size = sj_segment_committed(segment)};
    copy.bytes = malloc(copy.size);
    CHECK(copy.bytes != NULL);
    memcpy(copy.bytes, segment->base, copy.size);
    return copy;
}

static void restore_segment(struct sj_segment *segment, const struct copy *copy)
{
    memcpy(segment->base, copy->bytes, copy->size);
    sj_tx_forget(segment);
}

/* ------------------------------------------------------------------ damage */

/* Every operation, on whatever the tree has become: any answer is right, but there is one. */
static void try_everything(struct sj_btree *tree)
{
    struct key_buffer key;
    struct sj_value value = {.word = 1, .bytes = key.bytes, .size = 9};
    struct sj_btree_cursor cursor;
    struct sj_item items[64];
    uint64_t rank;
    uint32_t got;
    bool existed;
    for (uint32_t i = 0; i < 20; i++) {
        key_of(&test.model, test_below(test.spread), &key);
        (void)sj_btree_get(tree, &key.key, &value);
        value = (struct sj_value){.word = 1, .bytes = key.bytes, .size = 9};
        (void)sj_btree_rank(tree, &key.key, true, &rank);
        for (uint32_t backward = 0; backward < 2; backward++) {
            int error = sj_btree_seek(tree, &key.key, false, &cursor);
            for (uint32_t reads = 0; error == SJ_OK && cursor.leaf != NULL; reads++) {
                CHECK(reads < MODEL_MAX);
                error = sj_btree_read(tree, &cursor, backward, 64, items, &got);
            }
        }
        if (sj_btree_select(tree, test_below(sj_btree_count(tree) + 1), &cursor) == SJ_OK)
            (void)sj_btree_read(tree, &cursor, false, 10, items, &got);
        (void)sj_btree_put(tree, &key.key, &value, SJ_PUT_ALWAYS, &existed);
        (void)sj_btree_delete(tree, &key.key);
    }
    (void)sj_btree_first(tree, &cursor);
    (void)sj_btree_last(tree, &cursor);
    (void)sj_btree_check(tree, NULL, NULL);
    (void)sj_btree_clear(tree);
}

/* A word of the tree's blocks: an address, a count, anything else. */
static void damage_block(uint64_t block, uint64_t bytes)
{
    uint64_t *word = (uint64_t *)(uintptr_t)block + test_below(bytes < 520 ? bytes / 8 : 65);
    if (test_below(4) == 0)
        word = (uint64_t *)(uintptr_t)block;
    switch (test_below(5)) {
    case 0:
        *word ^= 1ull << test_below(64);
        break;
    case 1:
        *word = test_random();
        break;
    case 2:
        *word = (uint64_t)(uintptr_t)test.segment->base + 8 * test_below(1 << 17);
        break;
    case 3:
        *word = block;
        break;
    default:
        *word = *word << 16 | 0xffff;
    }
}

struct chosen {
    uint64_t left; /* blocks still to come before the one to damage */
    uint64_t block, bytes;
};

static int choose_block(void *context, uint64_t block, uint64_t bytes)
{
    struct chosen *chosen = context;
    if (chosen->left-- == 0) {
        chosen->block = block;
        chosen->bytes = bytes;
    }
    return SJ_OK;
}

static void damage_is_survived(struct sj_segment *segment)
{
    for (uint32_t round = 0; round < 400; round++) {
        new_tree(segment, all_kinds[round % 4], round / 4 % 4);
        batch(1500, 80, 0);
        struct blocks blocks = {0};
        CHECK_OK(sj_btree_check(&test.tree, count_block, &blocks));
        struct copy copy = copy_segment(segment);
        uint64_t seed = test_random();
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            test_state = seed;
            for (uint64_t times = 1 + test_below(3); times > 0; times--) {
                struct chosen chosen = {.left = test_below(blocks.count)};
                (void)sj_btree_check(&test.tree, choose_block, &chosen);
                if (chosen.block != 0)
                    damage_block(chosen.block, chosen.bytes);
            }
            alarm(60);
            try_everything(&test.tree);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fprintf(stderr, "round %u, inner seed %" PRIu64 ", status %x\n", round, seed, status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        restore_segment(segment, &copy);
        free(copy.bytes);
        no_block_is_lost(&test.tree);
        destroy_tree();
    }
}

/* Whether the checker looks at this word of a node of a byte-keyed tree, or at what it decides. */
static bool is_checked(const struct sj_block *block, uint64_t word)
{
    const uint64_t fanout = SJ_BTREE_INNER_BYTES, count = block->word16;
    switch (block->kind) {
    case SJ_KIND_BTREE: /* the rest is read when the tree is opened */
        return word > 0;
    case SJ_KIND_BTREE_LEAF:
        return word == 0 || word == 2 || word == 3 || (word >= 4 && word < 4 + count) ||
               (word >= 34 && word < 34 + count);
    case SJ_KIND_BTREE_INNER:
        return word == 0 || (word >= 4 && (word < 4 + fanout || (word - 4) % fanout < count));
    default: /* of entries and separators just the head */
        return word == 0;
    }
}

/* Flips a bit of each word of a block in turn: the check must notice. */
static int flip_words(void *context, uint64_t block, uint64_t bytes)
{
    uint64_t *flips = context, *words = (uint64_t *)(uintptr_t)block;
    const struct sj_block head = *(struct sj_block *)words;
    bool node = head.kind == SJ_KIND_BTREE_LEAF || head.kind == SJ_KIND_BTREE_INNER;
    bytes = head.kind == SJ_KIND_BTREE ? sizeof(struct sj_btree_head) : bytes;
    for (uint64_t word = 0; word < bytes / 8; word++) {
        if (!is_checked(&head, word))
            continue;
        uint64_t old = words[word];
        /* Kind, count or skip of a node; the kind of other blocks; or anything. */
        words[word] ^= 1ull << (word > 0 ? test_below(64) : test_below(node ? 64 : 16));
        CHECK(sj_btree_check(&test.tree, NULL, NULL) == SJ_ECORRUPT);
        words[word] = old;
        ++*flips;
    }
    return SJ_OK;
}

static void every_word_is_checked(struct sj_segment *segment)
{
    uint64_t flips = 0;
    new_tree(segment, all_kinds[3], 1);
    test.spread = 6000;
    while (test.model.count < 2600)
        put(test_below(test.spread), SJ_PUT_ALWAYS);
    CHECK(test.tree.head->height == 2);
    CHECK_OK(sj_btree_check(&test.tree, flip_words, &flips));
    printf("%" PRIu64 " flipped bits were noticed\n", flips);
    no_block_is_lost(&test.tree);
    destroy_tree();
}

/* ------------------------------------------------------------------ crashes */

#ifdef SJ_SEAM

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

static void a_death_leaves_before_or_after(struct sj_segment *segment)
{
    for (uint32_t k = 0; k < 4; k++) {
        uint64_t stores = 0;
        new_tree(segment, all_kinds[k], 1 + k % 2);
        test.spread = 1500;
        for (uint32_t round = 0; round < 6; round++) {
            for (uint32_t i = 0; i < 25; i++) {
                uint64_t key = test_below(test.spread);
                struct crash put_one = {key, PUT}, delete_one = {key + 1, DELETE};
                stores += crash_everywhere(round < 4 ? &put_one : &delete_one, 1);
            }
            struct crash many = {test_below(test.spread), TRANSACTION};
            stores += crash_everywhere(&many, 1 + test_below(9));
            batch(400, round < 3 ? 90 : 15, 0);
        }
        struct crash clear = {0, CLEAR};
        stores += crash_everywhere(&clear, 1 + test_below(9));
        printf("kinds %u: died before each of %" PRIu64 " stores\n", k, stores);
        destroy_tree();
    }
}

#endif

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("btree");
    random_sequences_match_the_model(segment);
    runs_leave_full_leaves(segment);
    bulk_loads_are_like_inserts(segment);
    keys_may_be_large(segment);
    CHECK_OK(sj_segment_close(segment, true));
    segment = test_segment("small"); /* copied again and again */
    every_word_is_checked(segment);
    damage_is_survived(segment);
#ifdef SJ_SEAM
    a_death_leaves_before_or_after(segment);
#endif
    CHECK_OK(sj_segment_close(segment, true));
    segment = test_segment("full");
    a_full_segment_changes_nothing(segment);
    CHECK_OK(sj_segment_close(segment, true));
    return 0;
}
