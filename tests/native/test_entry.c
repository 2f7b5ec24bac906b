// SPDX-License-Identifier: Apache-2.0
/*
 * test_entry.c: blobs, cells and entries: what goes in comes out, replacing, limits, and damage.
 *
 * The slots under test are words of a node of their own, as those of a mapping are.
 */
#include "harness.h"

#include "structures/entry.h"

#define SLOTS 8

struct holder {
    struct sj_node node;
    uint64_t slot[SLOTS];
};

static const struct sj_kinds all_kinds[4] = {
    {SJ_ITEM_WORD, SJ_ITEM_WORD},
    {SJ_ITEM_WORD, SJ_ITEM_BYTES},
    {SJ_ITEM_BYTES, SJ_ITEM_WORD},
    {SJ_ITEM_BYTES, SJ_ITEM_BYTES},
};

static uint8_t bytes[1 << 21];

static struct sj_value value_of(uint64_t size, uint8_t fill)
{
    memset(bytes, fill, size);
    return (struct sj_value){size << 8 | fill, size == 0 ? NULL : bytes, size};
}

static void check_value(struct sj_kinds kinds, const struct sj_value *value, uint64_t size,
                        uint8_t fill)
{
    if (kinds.value == SJ_ITEM_WORD) {
        CHECK(value->word == (size << 8 | fill));
        return;
    }
    CHECK(value->size == size);
    for (uint64_t i = 0; i < size; i++)
        CHECK(value->bytes[i] == fill);
}

static struct holder *new_holder(struct sj_segment *segment)
{
    struct holder *holder;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, sizeof(*holder), (void **)&holder));
    sj_tx_ready(segment);
    sj_zero(holder, sizeof(*holder));
    sj_store(holder, SJ_KIND_ROOT);
    CHECK_OK(sj_tx_op_commit(segment));
    return holder;
}

static void make(struct sj_segment *segment, struct sj_kinds kinds, const struct sj_key *key,
                 const struct sj_value *value, uint64_t *at)
{
    uint64_t slot;
    CHECK_OK(sj_item_fits(segment, kinds, key, value));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_slot_make(segment, kinds, key, value, &slot));
    CHECK_OK(sj_tx_word(segment, at, slot));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

static void drop(struct sj_segment *segment, struct sj_kinds kinds, uint64_t *at)
{
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_slot_free(segment, kinds, *at));
    CHECK_OK(sj_tx_word(segment, at, 0));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

static uint64_t live_blocks(const struct sj_segment *segment)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(segment, &stats));
    return stats.live_blocks;
}

/* ------------------------------------------------------------------ round trips */

static void what_goes_in_comes_out(struct sj_segment *segment, uint64_t *at)
{
    static const uint64_t sizes[] = {0, 1, 6, 7, 8, 9, 15, 16, 17, 100, 4096, 70000, 1 << 21};
    static const char text[] = "a key and its form";
    struct sj_key key = {.word = 77, .bytes = (const uint8_t *)text, .size = 5, .form_size = 13};
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct sj_kinds kinds = all_kinds[k];
            struct sj_value value = value_of(sizes[i], 9);
            struct sj_item item;
            uint64_t before = live_blocks(segment);
            make(segment, kinds, &key, &value, at);
            CHECK_OK(sj_slot_item(segment, kinds, 77, at, &item));
            check_value(kinds, &item.value, sizes[i], 9);
            CHECK_OK(sj_slot_value(segment, kinds, at, &item.value));
            check_value(kinds, &item.value, sizes[i], 9);
            if (kinds.key == SJ_ITEM_WORD)
                CHECK(item.key.word == 77);
            else
                CHECK(item.key.size == 5 && item.key.form_size == 13 &&
                      memcmp(item.key.bytes, text, 18) == 0);
            bool block = kinds.key == SJ_ITEM_BYTES ||
                         (kinds.value == SJ_ITEM_BYTES && sizes[i] > SJ_CELL_INLINE_MAX);
            CHECK(live_blocks(segment) == before + block);
            drop(segment, kinds, at);
            CHECK(live_blocks(segment) == before);
        }
}

static void keys_compare_as_bytes(struct sj_segment *segment, uint64_t *at)
{
    static const struct {
        const char *entry, *other;
        int order;
    } cases[] = {{"", "", 0},       {"a", "", 1},     {"", "a", -1},   {"ab", "ab", 0},
                 {"ab", "abc", -1}, {"abc", "ab", 1}, {"b", "abc", 1}, {"a\x80", "a\x7f", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sj_key key = {.bytes = (const uint8_t *)cases[i].entry,
                             .size = (uint32_t)strlen(cases[i].entry)};
        struct sj_value value = value_of(3, 1);
        make(segment, all_kinds[3], &key, &value, at);
        const struct sj_entry *entry = sj_entry_at(segment, *at);
        CHECK(entry != NULL);
        int order = sj_entry_compare(entry, (const uint8_t *)cases[i].other,
                                     (uint32_t)strlen(cases[i].other));
        CHECK((order > 0) - (order < 0) == cases[i].order);
        drop(segment, all_kinds[3], at);
    }
}

/* ------------------------------------------------------------------ replacing */

/* One replacement, alone or in a transaction that may be aborted. */
static void replace(struct sj_segment *segment, struct sj_kinds kinds, struct holder *holder,
                    uint32_t i, uint64_t *size, uint8_t *fill)
{
    uint64_t new_size = test_below(5) == 0 ? test_below(3000) : test_below(12);
    uint8_t new_fill = (uint8_t)test_random();
    struct sj_value value = value_of(new_size, new_fill);
    struct sj_node *node = test_below(2) == 0 ? &holder->node : NULL;
    uint64_t way = test_below(3);
    if (way > 0)
        CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_slot_replace(segment, kinds, node, sizeof(*holder), &holder->slot[i], &value));
    if (way == 1)
        CHECK_OK(sj_tx_commit(segment));
    if (way == 2) {
        sj_tx_abort(segment);
        return;
    }
    *size = new_size;
    *fill = new_fill;
}

static void replaced_values_keep_their_keys(struct sj_segment *segment, struct holder *holder)
{
    static const char text[] = "keyform";
    struct sj_key key = {.word = 5, .bytes = (const uint8_t *)text, .size = 3, .form_size = 4};
    uint64_t size[SLOTS] = {0}, before = live_blocks(segment);
    uint8_t fill[SLOTS] = {0};
    for (uint32_t round = 0; round < 2000; round++) {
        struct sj_kinds kinds = all_kinds[round / 500];
        uint32_t i = (uint32_t)test_below(SLOTS);
        for (uint32_t j = 0; round % 500 == 0 && j < SLOTS; j++) {
            struct sj_value value = value_of(size[j], fill[j]);
            make(segment, kinds, &key, &value, &holder->slot[j]);
        }
        replace(segment, kinds, holder, i, &size[i], &fill[i]);
        struct sj_item item;
        CHECK_OK(sj_slot_item(segment, kinds, 5, &holder->slot[i], &item));
        check_value(kinds, &item.value, size[i], fill[i]);
        if (kinds.key == SJ_ITEM_BYTES)
            CHECK(item.key.size == 3 && item.key.form_size == 4 &&
                  memcmp(item.key.bytes, text, 7) == 0);
        for (uint32_t j = 0; round % 500 == 499 && j < SLOTS; j++)
            drop(segment, kinds, &holder->slot[j]);
    }
    CHECK(live_blocks(segment) == before);
}

/* ------------------------------------------------------------------ limits, damage */

static void what_is_too_big_is_said(struct sj_segment *segment)
{
    struct sj_key key = {.bytes = bytes, .size = SJ_KEY_BYTES_MAX, .form_size = 0xffff};
    struct sj_value value = {.bytes = bytes, .size = 10};
    CHECK_OK(sj_item_fits(segment, all_kinds[3], &key, &value));
    key.size++;
    CHECK(sj_item_fits(segment, all_kinds[3], &key, &value) == SJ_ETOOBIG);
    CHECK(strstr(sj_error_detail(), "1048577") != NULL); /* what it is, and the limit */
    CHECK(strstr(sj_error_detail(), "1048576") != NULL);
    CHECK_OK(sj_item_fits(segment, all_kinds[1], &key, &value));
    key = (struct sj_key){.bytes = bytes, .size = 1, .form_size = 0x10000};
    CHECK(sj_item_fits(segment, all_kinds[2], &key, &value) == SJ_ETOOBIG);
    CHECK(strstr(sj_error_detail(), "65536") != NULL);
    key.form_size = 0;
    for (uint64_t size = sj_heap_block_max(segment) - 40; size != 0; size = size << 1 | 1) {
        value.size = size;
        int error = sj_item_fits(segment, all_kinds[3], &key, &value);
        CHECK(error == (size < sj_heap_block_max(segment) - 24 ? SJ_OK : SJ_ETOOBIG));
        if (size == UINT64_MAX)
            break;
    }
    uint64_t slot;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK(sj_slot_make(segment, all_kinds[3], &key, &value, &slot) == SJ_ETOOBIG);
    CHECK(sj_slot_make(segment, all_kinds[1], &key, &value, &slot) == SJ_ETOOBIG);
    CHECK(sj_tx_op_abort(segment, SJ_ETOOBIG) == SJ_ETOOBIG);
}

static void expect_damaged(const struct sj_segment *segment, struct sj_kinds kinds,
                           const uint64_t *at)
{
    struct sj_item item;
    CHECK(sj_slot_item(segment, kinds, 0, at, &item) == SJ_ECORRUPT);
    CHECK(sj_slot_value(segment, kinds, at, &item.value) == SJ_ECORRUPT);
}

static void damage_is_found(struct sj_segment *segment, uint64_t *at)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 6, UINT64_MAX - 16, SJ_GIB,
                                     1ull << 63};
    struct sj_key key = {.bytes = bytes, .size = 4};
    struct sj_value value = value_of(20, 1);
    make(segment, all_kinds[1], &key, &value, at);
    struct sj_blob *blob = (struct sj_blob *)(uintptr_t)*at;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        blob->size = sizes[i];
        expect_damaged(segment, all_kinds[1], at);
    }
    blob->size = sj_segment_committed(segment); /* no larger than the segment, but behind its end */
    expect_damaged(segment, all_kinds[1], at);
    blob->size = 20;
    drop(segment, all_kinds[1], at);
    make(segment, all_kinds[3], &key, &value, at);
    struct sj_entry *entry = (struct sj_entry *)(uintptr_t)*at;
    expect_damaged(segment, all_kinds[2], at); /* not a word */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        entry->value_size = sizes[i];
        expect_damaged(segment, all_kinds[3], at);
    }
    entry->value_size = 20;
    entry->key_size = SJ_KEY_BYTES_MAX + 1;
    expect_damaged(segment, all_kinds[3], at);
    entry->key_size = 4;
    drop(segment, all_kinds[3], at);
    uint64_t base = (uintptr_t)segment->base;
    const uint64_t addresses[] = {0,
                                  8,
                                  base,
                                  base - 16,
                                  base + sj_segment_committed(segment),
                                  base + SJ_GIB,
                                  UINT64_MAX - 7,
                                  base + SJ_LOG_AT};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        expect_damaged(segment, all_kinds[1], &addresses[i]);
        expect_damaged(segment, all_kinds[3], &addresses[i]);
    }
    for (uint64_t cell = 1; cell < 256; cell++)
        if ((cell & 7) != 0 && ((cell & 7) != 1 || cell >> 3 > 7))
            expect_damaged(segment, all_kinds[1], &cell);
}

/* Blocks of something else are not freed: the heap alone would take them. */
static void only_blobs_and_entries_are_freed(struct sj_segment *segment, struct holder *holder)
{
    uint64_t before = live_blocks(segment);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK(sj_slot_free(segment, all_kinds[1], (uintptr_t)holder) == SJ_ECORRUPT);
    CHECK(sj_slot_free(segment, all_kinds[3], (uintptr_t)holder) == SJ_ECORRUPT);
    CHECK(sj_tx_op_abort(segment, SJ_ECORRUPT) == SJ_ECORRUPT);
    CHECK(live_blocks(segment) == before);
}

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("entries");
    struct holder *holder = new_holder(segment);
    what_goes_in_comes_out(segment, &holder->slot[0]);
    keys_compare_as_bytes(segment, &holder->slot[0]);
    replaced_values_keep_their_keys(segment, holder);
    what_is_too_big_is_said(segment);
    damage_is_found(segment, &holder->slot[0]);
    only_blobs_and_entries_are_freed(segment, holder);
    CHECK_OK(sj_segment_close(segment, true));
    printf("ok\n");
    return 0;
}
