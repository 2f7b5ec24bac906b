// SPDX-License-Identifier: Apache-2.0
/*
 * list_world.h: a list beside an array that says what must be in it, for the tests of lists.
 *
 * all_is_well() checks the list (sj_list_check), reads it in pieces, singly and by keys, compares
 * it with the model, and holds its blocks against those that the heap has in use: none is lost,
 * none is shared.
 */
#ifndef SJ_TESTS_LIST_WORLD_H
#define SJ_TESTS_LIST_WORLD_H

#include "harness.h"

#include "structures/list.h"

#define MODEL_MAX 100000
#define DEPTH_MAX 4

/* Lists of ints and of bytes, sorted lists of ints and of bytes. */
static const struct sj_codecs all_kinds[] = {{SJ_CODEC_NONE, SJ_CODEC_INT},
                                             {SJ_CODEC_NONE, SJ_CODEC_BYTES},
                                             {SJ_CODEC_INT, SJ_CODEC_NONE},
                                             {SJ_CODEC_BYTES, SJ_CODEC_NONE}};

/* ------------------------------------------------------------------ items of numbers */

#define KEY_DIGITS 20

struct item_buffer {
    struct sj_item item;
    uint8_t bytes[600];
};

static struct test {
    struct sj_segment *segment;
    struct sj_list list;
    uint32_t kind;
    bool sorted;
    uint32_t depth;
    bool may_be_full;
    uint64_t failures;
    uint64_t spread; /* keys are below it */
    uint32_t count;
    uint64_t number[MODEL_MAX];
    uint32_t saved_count[DEPTH_MAX];
    uint64_t saved[DEPTH_MAX][MODEL_MAX];
} test;

static inline const struct sj_item *item_of(uint64_t number, struct item_buffer *buffer)
{
    memset(&buffer->item, 0, sizeof buffer->item);
    if (test.sorted) {
        buffer->item.key.word = number;
        buffer->item.key.bytes = buffer->bytes;
        buffer->item.key.size =
            (uint32_t)sprintf((char *)buffer->bytes, "%0*" PRIu64, KEY_DIGITS, number);
        buffer->bytes[buffer->item.key.size] = 'f';
        buffer->item.key.form_size = number % 5 == 0;
        return &buffer->item;
    }
    uint32_t size = number % 97 == 0 ? 600 : number % 23;
    for (uint32_t i = 0; i < size; i++)
        buffer->bytes[i] = (uint8_t)(number >> (i % 8));
    buffer->item.value = (struct sj_value){.word = number, .bytes = buffer->bytes, .size = size};
    return &buffer->item;
}

static inline bool item_is(uint64_t number, const struct sj_item *item)
{
    static struct item_buffer buffer;
    const struct sj_item *expected = item_of(number, &buffer);
    if (test.kind == 0)
        return item->value.word == number;
    if (test.kind == 2)
        return item->key.word == number;
    if (test.kind == 3)
        return item->key.size == expected->key.size &&
               item->key.form_size == expected->key.form_size &&
               memcmp(item->key.bytes, expected->key.bytes, KEY_DIGITS) == 0;
    return item->value.size == expected->value.size &&
           memcmp(item->value.bytes, expected->value.bytes, expected->value.size) == 0;
}

static inline void new_list(struct sj_segment *segment, uint32_t kind)
{
    uint64_t head;
    memset(&test, 0, offsetof(struct test, number));
    test.segment = segment;
    test.kind = kind;
    test.sorted = kind >= 2;
    test.spread = 100000;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_list_create(segment, all_kinds[kind], &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_list_open(segment, head, &test.list));
}

static inline void destroy_list(void)
{
    CHECK_OK(sj_tx_op_begin(test.segment));
    CHECK_OK(sj_list_destroy(&test.list));
    sj_tx_ready(test.segment);
    CHECK_OK(sj_tx_op_commit(test.segment));
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(test.segment, &stats));
    CHECK(stats.live_blocks == 0);
}

/* ------------------------------------------------------------------ list and model together */

/* A change of the list is one of the model, unless the segment is full. */
static inline bool is_done(int error)
{
    CHECK(error == SJ_OK || (test.may_be_full && error == SJ_EFULL));
    test.failures += error != SJ_OK;
    return error == SJ_OK;
}

static inline uint32_t model_bisect(uint64_t number, bool after)
{
    uint32_t low = 0, high = test.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (after ? test.number[middle] <= number : test.number[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* `number` NULL: the numbers go; else they come. */
static inline void model_replace(uint32_t from, uint32_t to, const uint64_t *number, uint32_t count)
{
    memmove(test.number + from + count, test.number + to,
            (test.count - to) * sizeof test.number[0]);
    if (count != 0)
        memcpy(test.number + from, number, count * sizeof test.number[0]);
    test.count = test.count - (to - from) + count;
}

static inline void insert(uint32_t at, uint64_t number)
{
    static struct item_buffer buffer;
    if (test.count == MODEL_MAX)
        return;
    if (test.sorted)
        at = model_bisect(number %= test.spread, true);
    const struct sj_item *item = item_of(number, &buffer);
    int error = test.sorted        ? sj_list_add(&test.list, &item->key)
                : at == test.count ? sj_list_append(&test.list, item)
                                   : sj_list_insert(&test.list, at, item);
    if (is_done(error))
        model_replace(at, at, &number, 1);
}

static inline void delete(uint32_t at)
{
    if (is_done(sj_list_delete(&test.list, at)))
        model_replace(at, at + 1, NULL, 0);
}

static inline void set(uint32_t at, uint64_t number)
{
    static struct item_buffer buffer;
    if (!test.sorted && is_done(sj_list_set(&test.list, at, &item_of(number, &buffer)->value)))
        test.number[at] = number;
}

/* [from, to) goes, `count` items come: random ones, or ones that fit in between. */
static inline void replace(uint32_t from, uint32_t to, uint32_t count)
{
    static struct sj_item items[MODEL_MAX];
    static uint64_t number[MODEL_MAX];
    struct item_buffer *buffers = malloc(count * sizeof *buffers + 1);
    CHECK(buffers != NULL);
    if (count > MODEL_MAX - test.count)
        count = MODEL_MAX - test.count;
    uint64_t low = from > 0 ? test.number[from - 1] : 0;
    uint64_t high = to < test.count ? test.number[to] : test.spread;
    for (uint32_t i = 0; i < count; i++) {
        number[i] = test.sorted ? low + (high - low) * i / count : test_random();
        items[i] = *item_of(number[i], &buffers[i]);
    }
    if (is_done(sj_list_replace(&test.list, from, to, items, count)))
        model_replace(from, to, number, count);
    free(buffers);
}

static inline int compare_numbers(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Reverses a list; sorts one of ints as often; merges something into a sorted one. */
static inline void reorder(void)
{
    static struct sj_item items[40];
    static struct item_buffer buffers[40];
    uint64_t number[40];
    if (test.sorted) {
        for (uint32_t i = 0; i < 40; i++)
            number[i] = test_below(test.spread);
        qsort(number, 40, sizeof number[0], compare_numbers);
        for (uint32_t i = 0; i < 40; i++)
            items[i] = *item_of(number[i], &buffers[i]);
        if (test.count + 40 > MODEL_MAX || !is_done(sj_list_merge(&test.list, items, 40)))
            return;
        for (uint32_t i = 0; i < 40; i++) {
            uint32_t at = model_bisect(number[i], true);
            model_replace(at, at, &number[i], 1);
        }
    } else if (test.kind == 0 && test_below(2) == 0) {
        if (is_done(sj_list_sort_numbers(&test.list, false)))
            qsort(test.number, test.count, sizeof test.number[0], compare_numbers);
    } else if (is_done(sj_list_reverse(&test.list))) {
        for (uint32_t i = 0; i < test.count / 2; i++) {
            uint32_t j = test.count - 1 - i;
            uint64_t swapped = test.number[i];
            test.number[i] = test.number[j];
            test.number[j] = swapped;
        }
    }
}

static inline void clear(void)
{
    if (is_done(sj_list_clear(&test.list)))
        test.count = 0;
}

static inline void begin(void)
{
    CHECK_OK(sj_tx_begin(test.segment));
    test.saved_count[test.depth] = test.count;
    memcpy(test.saved[test.depth++], test.number, test.count * sizeof test.number[0]);
}

static inline void end(bool commit)
{
    test.depth--;
    if (!commit)
        sj_tx_abort(test.segment);
    if (commit && is_done(sj_tx_commit(test.segment)))
        return;
    sj_list_forget(&test.list);
    test.count = test.saved_count[test.depth];
    memcpy(test.number, test.saved[test.depth], test.count * sizeof test.number[0]);
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

static inline void no_block_is_lost(void)
{
    struct blocks list_blocks = {0}, heap_blocks = {0};
    CHECK_OK(sj_list_check(&test.list, count_block, &list_blocks));
    CHECK_OK(sj_heap_check(test.segment, count_block, &heap_blocks));
    CHECK(list_blocks.count == heap_blocks.count);
    CHECK(list_blocks.bytes == heap_blocks.bytes && list_blocks.mixed == heap_blocks.mixed);
}

/* Whether the list has these numbers. */
static inline bool list_is(const uint64_t *number, uint32_t count)
{
    struct sj_item items[100];
    uint32_t done = 0, got;
    if (sj_list_count(&test.list) != count)
        return false;
    do {
        uint32_t wanted = 1 + (uint32_t)test_below(100);
        CHECK_OK(sj_list_read(&test.list, done, wanted, items, &got));
        CHECK(got == (wanted < count - done ? wanted : count - done));
        for (uint32_t i = 0; i < got; i++)
            if (!item_is(number[done + i], &items[i]))
                return false;
        done += got;
    } while (got != 0);
    return done == count;
}

static inline void places_are_the_models(void)
{
    static struct item_buffer buffer;
    struct sj_item item;
    for (uint32_t i = 0; i < 100 && test.count != 0; i++) {
        uint64_t at = test_below(test.count);
        CHECK_OK(sj_list_get(&test.list, at, &item));
        CHECK(item_is(test.number[at], &item));
        if (!test.sorted)
            continue;
        uint64_t number = i % 2 == 0 ? test.number[at] : test_below(test.spread), index;
        const struct sj_key *key = &item_of(number, &buffer)->key;
        CHECK_OK(sj_list_bisect(&test.list, key, false, &index));
        CHECK(index == model_bisect(number, false));
        CHECK_OK(sj_list_bisect(&test.list, key, true, &index));
        CHECK(index == model_bisect(number, true));
    }
    CHECK(sj_list_get(&test.list, test.count, &item) == SJ_ENOTFOUND);
}

static inline void all_is_well(void)
{
    /* Inside a transaction the blocks that were freed are still in use. */
    if (test.depth == 0)
        no_block_is_lost();
    else
        CHECK_OK(sj_list_check(&test.list, NULL, NULL));
    CHECK(list_is(test.number, test.count));
    places_are_the_models();
}

/* One random change; `grow`: of 100, how many make the list longer. */
static inline void change(uint32_t grow)
{
    uint32_t at = (uint32_t)test_below(test.count + 1);
    if (test_below(4) == 0)
        at = test.count; /* the end */
    if (test_below(100) < grow || test.count == 0)
        insert(at, test_random());
    else if (test_below(5) == 0)
        set(at < test.count ? at : at - 1, test_random());
    else
        delete(at < test.count ? at : at - 1);
}

/* A change of many items. */
static inline void big_change(uint32_t most)
{
    uint32_t from = (uint32_t)test_below(test.count + 1);
    uint32_t to = from + (uint32_t)test_below(most);
    if (test_below(3) == 0)
        from = to = test.count;
    to = to < test.count ? to : test.count;
    replace(from, to, (uint32_t)test_below(most));
}

#endif
