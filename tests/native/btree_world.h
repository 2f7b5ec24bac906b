// SPDX-License-Identifier: Apache-2.0
/*
 * btree_world.h: a B+tree beside a sorted array that says what must be in it, for the tests of the
 * B+tree.
 *
 * all_is_well() checks the tree (sj_btree_check), reads it in both directions and by rank, compares
 * it with the model, and holds its blocks against those that the heap has in use: none is lost,
 * none is shared.
 */
#ifndef SJ_TESTS_BTREE_WORLD_H
#define SJ_TESTS_BTREE_WORLD_H

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
static inline uint32_t key_bytes(uint32_t style, uint64_t number, uint8_t *bytes)
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

static inline const struct sj_key *key_of(const struct model *model, uint64_t number,
                                          struct key_buffer *buffer)
{
    buffer->key = (struct sj_key){.word = number, .bytes = buffer->bytes};
    if (model->kinds.key == SJ_ITEM_BYTES)
        buffer->key.size = key_bytes(model->style, number, buffer->bytes);
    return &buffer->key;
}

static inline int compare_keys(const struct model *model, const struct sj_key *a,
                               const struct sj_key *b)
{
    if (model->kinds.key == SJ_ITEM_WORD)
        return (a->word > b->word) - (a->word < b->word);
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* How many of the model's keys are < key; `*found`: the next one is equal. */
static inline uint32_t model_find(const struct model *model, const struct sj_key *key, bool *found)
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

static inline const struct sj_value *value_of(const struct model *model, uint64_t number,
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

static inline bool value_is(const struct model *model, uint64_t number,
                            const struct sj_value *value)
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

static inline void new_tree(struct sj_segment *segment, struct sj_kinds kinds, uint32_t style)
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

static inline void destroy_tree(void)
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
static inline bool is_done(int error)
{
    CHECK(error == SJ_OK || (test.may_be_full && error == SJ_EFULL));
    test.failures += error != SJ_OK;
    return error == SJ_OK;
}

/* A change: what the value of the key at `at` of the model becomes; NULL: it is refused. */
struct change {
    uint32_t at;
    const struct sj_value *value;
    bool existed;
};

static inline int change_value(void *context, const struct sj_value *old, struct sj_value *value)
{
    struct change *change = context;
    change->existed = old != NULL;
    CHECK(old == NULL || value_is(&test.model, test.model.pair[change->at].value, old));
    if (change->value == NULL)
        return SJ_EEXISTS;
    *value = *change->value;
    return SJ_OK;
}

/* A put by a change, after one that is refused. */
static inline int put_by_change(const struct sj_key *key, uint32_t at, const struct sj_value *value,
                                bool *existed)
{
    struct change change = {at, NULL, false};
    CHECK(sj_btree_change(&test.tree, key, change_value, &change) == SJ_EEXISTS);
    change.value = value;
    int error = sj_btree_change(&test.tree, key, change_value, &change);
    *existed = change.existed;
    return error;
}

static inline void put(uint64_t number, enum sj_put_mode mode)
{
    struct model *model = &test.model;
    struct key_buffer key;
    struct value_buffer value;
    bool found, existed;
    uint64_t new_value = test_random();
    uint32_t at = model_find(model, key_of(model, number, &key), &found);
    if (!found && model->count == MODEL_MAX)
        return;
    value_of(model, new_value, &value);
    if (!is_done(mode == SJ_PUT_ALWAYS && new_value % 3 == 0
                     ? put_by_change(&key.key, at, &value.value, &existed)
                     : sj_btree_put(&test.tree, &key.key, &value.value, mode, &existed)))
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

static inline void delete(uint64_t number)
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

static inline void get(uint64_t number)
{
    struct key_buffer key;
    struct sj_value value;
    bool found;
    uint32_t at = model_find(&test.model, key_of(&test.model, number, &key), &found);
    int error = sj_btree_get(&test.tree, &key.key, &value);
    CHECK(error == (found ? SJ_OK : SJ_ENOTFOUND));
    CHECK(!found || value_is(&test.model, test.model.pair[at].value, &value));
}

static inline bool item_is(const struct model *model, uint32_t at, const struct sj_item *item)
{
    struct key_buffer key;
    return compare_keys(model, key_of(model, model->pair[at].key, &key), &item->key) == 0 &&
           value_is(model, model->pair[at].value, &item->value);
}

/* ------------------------------------------------------------------ comparing */

struct blocks {
    uint64_t count, bytes, mixed;
};

static inline int count_block(void *context, uint64_t block, uint64_t bytes)
{
    struct blocks *blocks = context;
    blocks->count++;
    blocks->bytes += bytes;
    blocks->mixed += block * 0x9e3779b97f4a7c15ull ^ block >> 20;
    return SJ_OK;
}

static inline void no_block_is_lost(const struct sj_btree *tree)
{
    struct blocks tree_blocks = {0}, heap_blocks = {0};
    CHECK_OK(sj_btree_check(tree, count_block, &tree_blocks));
    CHECK_OK(sj_heap_check(tree->segment, count_block, &heap_blocks));
    CHECK(tree_blocks.count == heap_blocks.count);
    CHECK(tree_blocks.bytes == heap_blocks.bytes && tree_blocks.mixed == heap_blocks.mixed);
}

static inline void reads_are_the_model(const struct model *model)
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
static inline void cursor_is_at(struct sj_btree_cursor cursor, uint64_t at)
{
    struct sj_item item;
    uint32_t got;
    CHECK_OK(sj_btree_read(&test.tree, &cursor, false, 1, &item, &got));
    CHECK(got == (at < test.model.count));
    CHECK(got == 0 || item_is(&test.model, (uint32_t)at, &item));
}

static inline void places_are_the_models(void)
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

static inline void all_is_well(void)
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

static inline void begin(void)
{
    CHECK_OK(sj_tx_begin(test.segment));
    test.saved[test.depth++] = test.model;
}

static inline void end(bool commit)
{
    test.depth--;
    if (!commit)
        sj_tx_abort(test.segment);
    if (!commit || !is_done(sj_tx_commit(test.segment)))
        test.model = test.saved[test.depth];
}

/* `puts` of 100 operations are puts; `run`: keys that follow each other. */
static inline void batch(uint32_t operations, uint32_t puts, int32_t run)
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

/* ------------------------------------------------------------------ the segment as it was */

struct copy {
    char *bytes;
    uint64_t size;
};

static inline struct copy copy_segment(const struct sj_segment *segment)
{
    struct copy copy = {.size = sj_segment_committed(segment)};
    copy.bytes = malloc(copy.size);
    CHECK(copy.bytes != NULL);
    memcpy(copy.bytes, segment->base, copy.size);
    return copy;
}

static inline void restore_segment(struct sj_segment *segment, const struct copy *copy)
{
    memcpy(segment->base, copy->bytes, copy->size);
    sj_tx_forget(segment);
}

#endif
