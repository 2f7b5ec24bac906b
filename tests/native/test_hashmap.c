// SPDX-License-Identifier: Apache-2.0
/*
 * test_hashmap.c: the hash map against a naive model: random operations, transactions, scans
 * that go on while the map changes, hashes that agree, and values of the hash functions that are
 * on the media.
 */
#include "hashmap_world.h"

#include "structures/hash.h"

static const struct sj_kinds all_kinds[4] = {
    {SJ_ITEM_WORD, SJ_ITEM_WORD},
    {SJ_ITEM_WORD, SJ_ITEM_BYTES},
    {SJ_ITEM_BYTES, SJ_ITEM_WORD},
    {SJ_ITEM_BYTES, SJ_ITEM_BYTES},
};

static void hashes_are_what_the_media_say(void)
{
    static const char text[] = "What is stored lies where its hash says, so hashes never change.";
    static const uint64_t pinned[] = {
        0x7a036e6ef9b97f3c, 0x3bad09d138524066, 0x9e8915cde5368c04, 0x14d31633cb599587,
        0x35df3beed4b37d15, 0xab9b172a48181ad4, 0xd50bef1e923a5d48, 0xfb51bc2b1b8191f4,
        0x17438b340b962e3d, 0x049359c65c3796b0, 0x9a9ddbbdf6783f17, 0x72ef769168935730,
        0xf00b15db0dd8ca41, 0xd0ebbbc6c70a3a47,
    };
    static const uint8_t sizes[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 32, 33, 48, 49, 64};
    CHECK(sj_hash_word(0, 1) == 0x6276509468f784c4);
    CHECK(sj_hash_word(12345, 0x123456789abcdef0) == 0x1697a99d2d99d47d);
    for (size_t i = 0; i < sizeof(sizes); i++)
        CHECK(sj_hash_bytes((const uint8_t *)text, sizes[i], 42) == pinned[i]);
}

/* One random change; the more `growth` (0–100), the more items there will be. */
static void change(struct world *world, uint32_t growth)
{
    uint32_t i = (uint32_t)test_below(world->keys);
    if (test_below(100) >= growth)
        world_delete(world, i);
    else
        world_put(world, i, 1 + (uint32_t)test_below(1000),
                  test_below(4) == 0 ? SJ_PUT_NEW : SJ_PUT_ALWAYS);
}

static void begin_or_end(struct world *world)
{
    uint64_t chance = test_below(1000);
    if (chance < 20 && world->depth < WORLD_MARKS_MAX - 1)
        world_begin(world);
    else if (chance < 40 && world->depth > 0)
        world_end(world, test_below(3) != 0);
}

static void random_changes_match_the_model(struct sj_kinds kinds, uint32_t keys)
{
    static const uint32_t growth[] = {90, 50, 20, 100, 50, 0};
    struct world *world = world_make("random", kinds, keys);
    for (size_t phase = 0; phase < sizeof(growth) / sizeof(growth[0]); phase++) {
        for (uint32_t batch = 0; batch < 4; batch++) {
            for (uint32_t step = 0; step < keys / 2; step++) {
                change(world, growth[phase]);
                begin_or_end(world);
            }
            world_check(world);
        }
        while (world->depth > 0)
            world_end(world, test_below(2) != 0);
        world_check(world);
        CHECK_OK(sj_segment_close(world->segment, true));
        world->segment = world->map.segment = test_reopen("random");
        world_check(world);
    }
    CHECK_OK(sj_hashmap_clear(&world->map));
    memset(world->version, 0, sizeof(world->version));
    world_check(world);
    world_drop(world);
    CHECK(remove(test_path("random")) == 0);
}

static void aborted_transactions_leave_nothing(struct sj_kinds kinds)
{
    struct world *world = world_make("aborted", kinds, 3000);
    for (uint32_t i = 0; i < 1000; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    for (uint32_t round = 0; round < 20; round++) {
        world_begin(world);
        /* Grows and splits, and uses freed slots again. */
        for (uint32_t step = 0; step < 2000; step++)
            change(world, round % 2 == 0 ? 90 : 50);
        world_begin(world);
        for (uint32_t step = 0; step < 1000; step++)
            change(world, 50);
        if (round == 7)
            CHECK_OK(sj_hashmap_clear(&world->map));
        world_end(world, round % 3 == 0 && round != 7);
        world_check_gets(world);
        world_end(world, false);
        world_check(world);
    }
    world_drop(world);
    CHECK(remove(test_path("aborted")) == 0);
}

/* ------------------------------------------------------------------ scans */

/* Keys below `stable` are there throughout; the others come and go between two reads. */
static void scan_with_changes(struct world *world, uint32_t stable, uint32_t changes)
{
    static struct sj_item items[WORLD_READ];
    static uint8_t seen[WORLD_KEYS_MAX];
    uint64_t position = 0;
    memset(seen, 0, sizeof(seen));
    while (position != UINT64_MAX) {
        uint32_t got, wanted = 60 + (uint32_t)test_below(100);
        uint64_t before = position;
        CHECK_OK(sj_hashmap_read(&world->map, &position, wanted, items, &got));
        CHECK(position > before);
        for (uint32_t j = 0; j < got; j++) {
            uint32_t i = world_number(world, &items[j].key);
            CHECK(i < world->keys && world->version[i] != 0 && !seen[i]);
            seen[i] = 1;
        }
        for (uint32_t step = 0; step < changes; step++) {
            uint32_t i = stable + (uint32_t)test_below(world->keys - stable);
            if (test_below(3) == 0)
                world_delete(world, i);
            else
                world_put(world, i, 1 + (uint32_t)test_below(9), SJ_PUT_ALWAYS);
        }
    }
    for (uint32_t i = 0; i < stable; i++)
        CHECK(seen[i]);
}

static void scans_give_what_stays_exactly_once(struct sj_kinds kinds)
{
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t stable = round % 4 == 0 ? 40 : round % 4 == 1 ? 200 : 700;
        struct world *world = world_make("scans", kinds, 5000);
        for (uint32_t i = 0; i < stable; i++)
            world_put(world, i, 1, SJ_PUT_NEW);
        scan_with_changes(world, stable, round < 6 ? 100 : 1000);
        scan_with_changes(world, stable, 100);
        world_check_blocks(world);
        world_drop(world);
        CHECK(remove(test_path("scans")) == 0);
    }
}

static void scans_need_room_for_a_group(void)
{
    struct world *world = world_make("room", all_kinds[0], 10);
    static struct sj_item items[60];
    uint64_t position = 0;
    uint32_t got = 7;
    world_put(world, 1, 1, SJ_PUT_NEW);
    CHECK(sj_hashmap_read(&world->map, &position, 59, items, &got) == SJ_EINVAL);
    CHECK(position == 0 && got == 0);
    CHECK_OK(sj_hashmap_read(&world->map, &position, 60, items, &got));
    CHECK(got == 1);
    for (uint32_t i = 0; i < 2; i++) { /* also from the end on */
        CHECK_OK(sj_hashmap_read(&world->map, &position, 60, items, &got));
        CHECK(position == UINT64_MAX && got == 0);
    }
    world_drop(world);
}

/* ------------------------------------------------------------------ hashes that agree */

static uint64_t scanned(const struct sj_hashmap *map)
{
    static struct sj_item items[WORLD_READ];
    uint64_t position = 0, count = 0;
    while (position != UINT64_MAX) {
        uint32_t got;
        CHECK_OK(sj_hashmap_read(map, &position, WORLD_READ, items, &got));
        count += got;
    }
    return count;
}

static void put_word(struct sj_hashmap *map, uint64_t word)
{
    bool existed;
    struct sj_key key = {.word = word};
    struct sj_value value = {.word = ~word};
    CHECK_OK(sj_hashmap_put(map, &key, &value, SJ_PUT_NEW, &existed));
    CHECK(!existed);
}

/*
 * Keys whose hashes agree in `bits` bits all go to the same place until the directory is deep. Then
 * come others, whose table segments have many entries of it.
 */
static void agreeing_hashes_deepen_the_directory(uint32_t bits, uint32_t agreeing, uint32_t count)
{
    struct world *world = world_make("agreeing", all_kinds[0], 1);
    struct sj_hashmap *map = &world->map;
    uint64_t *words = calloc(count, sizeof(uint64_t)), word = test_random();
    for (uint32_t i = 0; i < count; i++) {
        while (i < agreeing && sj_hash_word(word, map->head->seed) >> (64 - bits) != 1)
            word++;
        put_word(map, words[i] = word++);
        CHECK(map->head->node.aux <= 20);
        if (i == agreeing)
            CHECK(map->head->node.aux >= bits - 4);
        if (i % 1000 == 0)
            world_check_blocks(world);
    }
    CHECK(scanned(map) == count);
    world_check_blocks(world);
    for (uint32_t i = 0; i < count; i++) {
        struct sj_key key = {.word = words[i]};
        struct sj_value value;
        CHECK_OK(sj_hashmap_get(map, &key, &value));
        CHECK(value.word == ~words[i]);
        CHECK_OK(sj_hashmap_delete(map, &key));
    }
    world_check(world);
    world_drop(world);
    free(words);
    CHECK(remove(test_path("agreeing")) == 0);
}

/* Fills four buckets with items that all have the hash; which no key can have but by forgery. */
static void forge(struct world *world, uint64_t hash)
{
    struct sj_hashmap_directory *directory =
        (struct sj_hashmap_directory *)(uintptr_t)world->map.head->directory;
    struct sj_hashmap_segment *table =
        (struct sj_hashmap_segment *)(uintptr_t)directory->segment[0];
    uint32_t buckets = table->node.count;
    uint32_t home = (uint32_t)(((unsigned __int128)hash * buckets) >> 64);
    CHECK(directory->depth == 0 && buckets == 15);
    struct sj_hashmap_slot some = {0, 0};
    for (uint32_t i = 0; i < 15 && some.second == 0; i++)
        if (table->bucket[0].tag[i] != 0)
            some = table->bucket[0].slot[i];
    some.first = hash;
    for (uint32_t probe = 0; probe < 4; probe++)
        for (uint32_t i = 0; i < 15; i++) {
            struct sj_hashmap_bucket *bucket = &table->bucket[(home + probe) % buckets];
            bucket->tag[i] = (uint8_t)(0x80 | hash);
            bucket->slot[i] = some;
        }
    table->bucket[home].strays = 44;
}

static void equal_hashes_end_in_an_error(void)
{
    struct world *world = world_make("equal", all_kinds[2], 200);
    static struct world_blocks before, after;
    for (uint32_t i = 1; i < 100; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    struct sj_key key = world_key(world, 0);
    struct sj_value value = world_value(world, 0, 1);
    forge(world, sj_hash_bytes(key.bytes, key.size, world->map.head->seed));
    CHECK_OK(sj_heap_check(world->segment, world_visit, &before));
    for (uint32_t i = 0; i < 3; i++) {
        bool existed;
        if (i == 1)
            CHECK_OK(sj_tx_begin(world->segment));
        CHECK(sj_hashmap_put(&world->map, &key, &value, SJ_PUT_ALWAYS, &existed) == SJ_EFULL);
        CHECK(strstr(sj_error_detail(), "hashes that agree") != NULL);
        CHECK(!existed && sj_hashmap_count(&world->map) == 99);
    }
    CHECK_OK(sj_tx_commit(world->segment));
    CHECK_OK(sj_heap_check(world->segment, world_visit, &after));
    CHECK(before.count == after.count && before.sum == after.sum);
    CHECK_OK(sj_segment_close(world->segment, true));
    free(world);
}

int main(void)
{
    test_begin();
    hashes_are_what_the_media_say();
    scans_need_room_for_a_group();
    equal_hashes_end_in_an_error();
    for (uint32_t i = 0; i < 4; i++) {
        random_changes_match_the_model(all_kinds[i], 60);
        random_changes_match_the_model(all_kinds[i], 1000);
        random_changes_match_the_model(all_kinds[i], i == 0 ? 20000 : 5000);
        aborted_transactions_leave_nothing(all_kinds[i]);
        scans_give_what_stays_exactly_once(all_kinds[i]);
    }
    agreeing_hashes_deepen_the_directory(12, 3000, 20000);
    agreeing_hashes_deepen_the_directory(17, 300, 5000);
    printf("ok\n");
    return 0;
}
