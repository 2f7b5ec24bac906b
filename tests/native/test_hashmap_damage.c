// SPDX-License-Identifier: Apache-2.0
/*
 * test_hashmap_damage.c: a damaged or hostile hash map gives SJ_ECORRUPT, never a crash or an
 * endless loop; and the checker finds what matters.
 */
#include "hashmap_world.h"

#define KEYS   1500
#define ROUNDS 1000

static uint8_t *image;
static uint64_t image_bytes;
static struct world_blocks blocks;

static void restore(struct world *world)
{
    struct sj_segment *segment = world->segment;
    uint64_t committed = sj_segment_committed(segment);
    for (uint64_t at = 0; at < image_bytes; at += SJ_PAGE)
        if (memcmp(segment->base + at, image + at, SJ_PAGE) != 0)
            memcpy(segment->base + at, image + at, SJ_PAGE);
    segment->root_page->committed = committed;
    sj_tx_forget(segment);
}

static uint64_t strange_word(const struct world *world, uint64_t old)
{
    uint64_t base = (uintptr_t)world->segment->base;
    uint64_t end = base + sj_segment_committed(world->segment);
    uint64_t block = blocks.at[test_below(blocks.count)];
    switch (test_below(10)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return test_random();
    case 3:
        return old ^ 1ull << test_below(64);
    case 4:
        return old + 8 * test_below(9) - 32;
    case 5:
        return block;
    case 6:
        return block + 8 * test_below(64);
    case 7:
        return end - 8 * (1 + test_below(40));
    case 8:
        return old ^ test_random() << 32;
    default:
        return base + test_below(end - base);
    }
}

/* One to four words of a block of the map, of its first ones more often. */
static void damage(const struct world *world)
{
    for (uint64_t left = 1 + test_below(4); left > 0; left--) {
        uint64_t number = test_below(blocks.count);
        if (test_below(3) == 0) /* head, directory, tables come last */
            number = blocks.count - 1 - test_below(blocks.count < 8 ? blocks.count : 8);
        uint64_t words = blocks.bytes[number] / 8;
        uint64_t at = test_below(2) == 0 && words > 4 ? test_below(4) : test_below(words);
        uint64_t *word = (uint64_t *)(uintptr_t)blocks.at[number] + at;
        *word = strange_word(world, *word);
    }
}

static bool is_answer(int error)
{
    return error == SJ_OK || error == SJ_ENOTFOUND || error == SJ_ECORRUPT || error == SJ_EFULL ||
           error == SJ_ETOOBIG;
}

static int ignore_block(void *context, uint64_t block, uint64_t bytes)
{
    (void)context, (void)block, (void)bytes;
    return 0;
}

static uint8_t touched;

static void touch(const struct sj_value *value, enum sj_item_kind kind)
{
    for (uint64_t i = 0; kind == SJ_ITEM_BYTES && i < value->size; i += 64)
        touched ^= value->bytes[i];
}

static void use_key(struct world *world, uint32_t i)
{
    struct sj_key key = world_key(world, i);
    struct sj_value value;
    bool existed;
    int error = sj_hashmap_get(&world->map, &key, &value);
    CHECK(is_answer(error));
    if (error == SJ_OK)
        touch(&value, world->map.kinds.value);
    if (i % 3 == 0) {
        value = world_value(world, i, 5);
        CHECK(is_answer(sj_hashmap_put(&world->map, &key, &value, SJ_PUT_ALWAYS, &existed)));
    } else if (i % 3 == 1) {
        CHECK(is_answer(sj_hashmap_delete(&world->map, &key)));
    }
}

static void use_scan(const struct world *world)
{
    static struct sj_item items[WORLD_READ];
    uint64_t position = 0;
    while (position != UINT64_MAX) {
        uint32_t got;
        int error = sj_hashmap_read(&world->map, &position, WORLD_READ, items, &got);
        CHECK(is_answer(error));
        if (error != SJ_OK)
            return;
        for (uint32_t i = 0; i < got; i++)
            touch(&items[i].value, world->map.kinds.value);
    }
}

static void use_all(struct world *world, uint64_t head)
{
    struct sj_hashmap map;
    bool transaction = test_below(2) == 0;
    int error = sj_hashmap_open(world->segment, head, &map);
    CHECK(is_answer(error));
    if (error == SJ_OK && memcmp(&map.kinds, &world->map.kinds, sizeof(map.kinds)) == 0)
        world->map = map;
    if (transaction)
        CHECK_OK(sj_tx_begin(world->segment));
    for (uint32_t i = 0; i < KEYS; i += 1 + (uint32_t)test_below(4))
        use_key(world, i);
    use_scan(world);
    CHECK(is_answer(sj_hashmap_check(&world->map, ignore_block, NULL)));
    if (test_below(4) == 0)
        CHECK(is_answer(sj_hashmap_clear(&world->map)));
    if (transaction)
        CHECK(is_answer(sj_tx_commit(world->segment)));
}

static void damaged_maps_never_crash(struct sj_kinds kinds)
{
    struct world *world = world_make("damaged", kinds, KEYS);
    uint64_t found = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    blocks.count = 0;
    CHECK_OK(sj_hashmap_check(&world->map, world_visit, &blocks));
    image_bytes = sj_segment_committed(world->segment);
    image = realloc(image, image_bytes);
    memcpy(image, world->segment->base, image_bytes);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        damage(world);
        found += sj_hashmap_check(&world->map, NULL, NULL) == SJ_ECORRUPT;
        use_all(world, (uintptr_t)world->map.head);
        restore(world);
    }
    printf("%" PRIu64 " of %d damaged maps were found\n", found, ROUNDS);
    world_check(world);
    world_drop(world);
    CHECK(remove(test_path("damaged")) == 0);
}

/* ------------------------------------------------------------------ what the checker finds */

static struct sj_hashmap_bucket *first_used_bucket(const struct world *world, uint32_t *slot)
{
    struct sj_hashmap_directory *directory =
        (struct sj_hashmap_directory *)(uintptr_t)world->map.head->directory;
    struct sj_hashmap_bucket *bucket =
        ((struct sj_hashmap_segment *)(uintptr_t)directory->segment[0])->bucket;
    for (;; bucket++)
        for (*slot = 0; *slot < SJ_HASHMAP_SLOTS; ++*slot)
            if (bucket->tag[*slot] != 0)
                return bucket;
}

/* Checks that the checker objects; the caller puts right what it had made wrong. */
static void finds(const struct world *world, const char *expected)
{
    CHECK(sj_hashmap_check(&world->map, NULL, NULL) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), expected) != NULL);
}

static void the_checker_finds_each_kind_of_damage(void)
{
    struct sj_kinds kinds = {SJ_ITEM_BYTES, SJ_ITEM_BYTES};
    struct world *world = world_make("checker", kinds, 900);
    for (uint32_t i = 0; i < 900; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    uint32_t slot;
    struct sj_hashmap_bucket *bucket = first_used_bucket(world, &slot), old = *bucket;
    world->map.head->count++;
    finds(world, "number of a hash map's items");
    world->map.head->count--;
    bucket->tag[slot] ^= 1;
    finds(world, "tag");
    bucket->tag[slot] = 5;
    finds(world, "top bit");
    *bucket = old;
    bucket->strays++;
    finds(world, "stray");
    *bucket = old;
    bucket->slot[slot].first ^= 1;
    finds(world, "hash of a key");
    *bucket = old;
    bucket->slot[slot].second += 8;
    finds(world, "entry");
    *bucket = old;
    CHECK_OK(sj_hashmap_check(&world->map, NULL, NULL));
    world_drop(world);
}

int main(void)
{
    test_begin();
    the_checker_finds_each_kind_of_damage();
    for (uint32_t i = 0; i < 4; i++)
        damaged_maps_never_crash(
            (struct sj_kinds){(enum sj_item_kind)(i / 2), (enum sj_item_kind)(i % 2)});
    free(image);
    printf("ok\n");
    return 0;
}
