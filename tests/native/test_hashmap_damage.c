// SPDX-License-Identifier: Apache-2.0
/*
 * test_hashmap_damage.c: the check of a hash map finds each kind of damage. (That nothing crashes
 * on damaged media, whatever is done with it, is for fuzz.c to see.)
 */
#include "hashmap_world.h"

#include "structures/hashmap_search.h"

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

/* ------------------------------------------------------------------ whatever is called */

static struct world *world;
static struct sj_hashmap_directory *directory;
static struct sj_hashmap_segment *table; /* of the hashes that begin with zeros */

static int check(void)
{
    return sj_hashmap_check(&world->map, NULL, NULL);
}

static int clear(void)
{
    return sj_hashmap_clear(&world->map);
}

static int read_all(void)
{
    struct sj_item items[SJ_HASHMAP_READ_MIN];
    uint64_t position = 0;
    uint32_t got;
    int error = SJ_OK;
    while (error == SJ_OK && position != UINT64_MAX)
        error = sj_hashmap_read(&world->map, &position, SJ_HASHMAP_READ_MIN, items, &got);
    return error;
}

/* Some key leads there. */
static int get_all(void)
{
    int error = SJ_OK;
    for (uint64_t i = 0; (error == SJ_OK || error == SJ_ENOTFOUND) && i < 900; i++) {
        struct sj_value value;
        struct sj_key key = world_key(world, i);
        error = sj_hashmap_get(&world->map, &key, &value);
    }
    return error;
}

static void is_found(void *word, size_t width, uint64_t value, int (*call)(void))
{
    uint64_t old = 0;
    memcpy(&old, word, width);
    memcpy(word, &value, width);
    CHECK(call() == SJ_ECORRUPT);
    memcpy(word, &old, width);
}

static void all_find(void *word, size_t width, uint64_t value)
{
    is_found(word, width, value, check);
    is_found(word, width, value, clear);
    is_found(word, width, value, read_all);
    is_found(word, width, value, get_all);
}

static void directory_and_tables_are_what_they_say(void)
{
    struct sj_kinds kinds = {SJ_ITEM_BYTES, SJ_ITEM_BYTES};
    world = world_make("tables", kinds, 900);
    for (uint32_t i = 0; i < 900; i++)
        world_put(world, i, 1, SJ_PUT_NEW);
    struct sj_hashmap_head *head = world->map.head;
    uint64_t nowhere = TEST_BASE + sj_segment_committed(world->segment);
    directory = (struct sj_hashmap_directory *)(uintptr_t)head->directory;
    table = (struct sj_hashmap_segment *)(uintptr_t)directory->segment[0];
    CHECK(directory->depth > 0);
    all_find(&head->node.aux, 4, SJ_HASHMAP_DEPTH_MAX + 1);
    all_find(&head->node.aux, 4, directory->depth - 1);
    all_find(&head->directory, 8, nowhere);
    all_find(&head->directory, 8, (uintptr_t)table);
    all_find(&directory->depth, 4, directory->depth + 1);
    all_find(&directory->segment[0], 8, nowhere);
    all_find(&directory->segment[0], 8, (uintptr_t)table + 4);
    all_find(&directory->segment[0], 8, directory->segment[(1u << directory->depth) - 1]);
    all_find(&table->node.kind, 2, SJ_KIND_BLOB);
    all_find(&table->node.aux, 4, directory->depth + 1);
    all_find(&table->node.count, 2, 5);
    all_find(&table->pattern, 8, 1);
    is_found(&table->zero[3], 8, 1, check);
    is_found(&head->node.count, 2, 3, check);
    uint32_t slot;
    struct sj_hashmap_bucket *bucket = first_used_bucket(world, &slot);
    all_find(&bucket->slot[slot].second, 8, nowhere);
    /* A table whose last buckets lie behind the end. */
    struct sj_hashmap_segment *last =
        (struct sj_hashmap_segment *)(uintptr_t)(nowhere - sizeof *table - 3 * sizeof *bucket);
    memcpy(last, table, sizeof *table + 3 * sizeof *bucket);
    CHECK(table->node.count > 3);
    all_find(&directory->segment[0], 8, (uintptr_t)last);
    /* The kinds of items that there are. */
    struct sj_hashmap opened;
    uint16_t of_items = head->node.count;
    for (uint16_t wrong = 3; wrong != 0; wrong = wrong == 3 ? 3 << 8 : 0) {
        head->node.count = wrong;
        CHECK(sj_hashmap_open(world->segment, (uintptr_t)head, &opened) == SJ_ECORRUPT);
        head->node.count = of_items;
    }
    CHECK(sj_hashmap_open(world->segment, (uintptr_t)table, &opened) == SJ_ECORRUPT);
    head->directory = nowhere;
    CHECK(sj_hashmap_open(world->segment, (uintptr_t)head, &opened) == SJ_ECORRUPT);
    head->directory = (uintptr_t)directory;
    /* Items of a map that has none. */
    uint64_t count = head->count;
    struct sj_key key = world_key(world, 7);
    head->count = 0;
    CHECK(sj_hashmap_delete(&world->map, &key) == SJ_ECORRUPT);
    head->count = count;
    CHECK_OK(check());
    world_drop(world);
}

/* ------------------------------------------------------------------ keys chosen by their hashes */

static const struct sj_kinds words = {SJ_ITEM_WORD, SJ_ITEM_WORD};

/* A word key whose hash is below `limit`; another one for each `*number`. */
static struct sj_key key_below(uint64_t limit, uint64_t *number, uint64_t *hash)
{
    struct sj_key key;
    do {
        key = (struct sj_key){.word = (*number)++};
        *hash = hashmap_hash(&world->map, &key, SJ_ITEM_WORD);
    } while (*hash >= limit);
    return key;
}

static int put_below(uint64_t limit, uint64_t *number)
{
    uint64_t hash;
    bool existed;
    struct sj_key key = key_below(limit, number, &hash);
    struct sj_value value = {.word = 1};
    return sj_hashmap_put(&world->map, &key, &value, SJ_PUT_NEW, &existed);
}

static void take_first_table(void)
{
    directory = (struct sj_hashmap_directory *)(uintptr_t)world->map.head->directory;
    table = (struct sj_hashmap_segment *)(uintptr_t)directory->segment[0];
}

/* A depth that shifts of words take for 0, and a table deeper than the directory. */
static void depths_are_small(void)
{
    struct sj_hashmap_head *head;
    uint64_t number = 0, hash;
    world = world_make("depths", words, 10);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_OK(put_below(UINT64_MAX, &number));
    take_first_table();
    head = world->map.head;
    CHECK(directory->depth == 0);
    head->node.aux = 64;
    all_find(&directory->depth, 4, 64);
    head->node.aux = 0;
    struct sj_value value;
    struct sj_key key = key_below(1ull << 63, &number, &hash);
    CHECK(sj_hashmap_get(&world->map, &key, &value) == SJ_ENOTFOUND);
    table->node.aux = 1;
    CHECK(sj_hashmap_get(&world->map, &key, &value) == SJ_ECORRUPT);
    table->node.aux = 0;
    CHECK_OK(check());
    world_drop(world);
}

/* A home that says it has more strays than there are slots for them takes no other one. */
static void strays_are_few(void)
{
    uint64_t number = 0;
    world = world_make("strays", words, 10);
    take_first_table();
    for (uint32_t i = 0; i < SJ_HASHMAP_SLOTS; i++)
        CHECK_OK(put_below(UINT64_MAX / 3, &number));
    CHECK(table->bucket[0].strays == 0);
    table->bucket[0].strays = SJ_HASHMAP_SLOTS * (SJ_HASHMAP_PROBES - 1);
    CHECK(put_below(UINT64_MAX / 3, &number) == SJ_ECORRUPT);
    table->bucket[0].strays = 0;
    CHECK_OK(put_below(UINT64_MAX / 3, &number));
    CHECK_OK(check());
    world_drop(world);
}

/* The same key a second time, where a search comes later. */
static void an_item_is_there_once(void)
{
    uint64_t number = 0;
    world = world_make("twice", words, 10);
    CHECK_OK(put_below(UINT64_MAX / 3, &number));
    take_first_table();
    uint32_t slot;
    struct sj_hashmap_bucket *bucket = first_used_bucket(world, &slot), old = *bucket;
    uint32_t free = slot + 1 < SJ_HASHMAP_SLOTS ? slot + 1 : 0;
    bucket->tag[free] = bucket->tag[slot];
    bucket->slot[free] = bucket->slot[slot];
    world->map.head->count++;
    finds(world, "a search finds, once");
    world->map.head->count--;
    *bucket = old;
    CHECK_OK(check());
    world_drop(world);
}

/* A table that several entries of the directory lead to, but one of them does not. */
static void entries_of_a_table_agree(void)
{
    uint64_t number = 0, twin = 0;
    world = world_make("entries", words, 10);
    for (uint32_t i = 0; twin == 0 && i < 100000; i++) {
        CHECK_OK(put_below(UINT64_MAX, &number));
        take_first_table();
        for (uint64_t j = 1; j < 1ull << directory->depth; j++)
            if (directory->segment[j] == directory->segment[j - 1])
                twin = j;
    }
    CHECK(twin != 0);
    uint64_t old = directory->segment[twin], first_table = directory->segment[0];
    uint64_t last_table = directory->segment[(1ull << directory->depth) - 1];
    directory->segment[twin] = old == first_table ? last_table : first_table;
    finds(world, "the same table segment as the entry before");
    directory->segment[twin] = old;
    CHECK_OK(check());
    world_drop(world);
}

/* A full table with an item of another one is not split: the item would be where nobody looks. */
static void items_of_a_full_table_belong_there(void)
{
    uint64_t number = 0, hash;
    uint32_t slot;
    world = world_make("belong", words, 10);
    do {
        CHECK_OK(put_below(UINT64_MAX, &number));
        take_first_table();
    } while (directory->depth == 0);
    struct sj_hashmap_bucket *bucket = first_used_bucket(world, &slot);
    uint64_t old = bucket->slot[slot].first, first_table = directory->segment[0];
    struct sj_key key;
    do
        key = key_below(UINT64_MAX, &number, &hash);
    while (hash >> 63 == 0);
    bucket->slot[slot].first = key.word;
    int error = SJ_OK;
    uint64_t limit = 1ull << (64 - table->node.aux);
    for (uint32_t i = 0; error == SJ_OK && i < 10000; i++)
        error = put_below(limit, &number);
    CHECK(error == SJ_ECORRUPT);
    take_first_table();
    CHECK(directory->segment[0] == first_table);
    bucket->slot[slot].first = old;
    CHECK_OK(check());
    world_drop(world);
}

int main(void)
{
    test_begin();
    alarm(20); /* a walk that does not end */
    the_checker_finds_each_kind_of_damage();
    directory_and_tables_are_what_they_say();
    depths_are_small();
    strays_are_few();
    an_item_is_there_once();
    entries_of_a_table_agree();
    items_of_a_full_table_belong_there();
    printf("ok\n");
    return 0;
}
