// SPDX-License-Identifier: Apache-2.0
/*
 * test_hashmap_damage.c: the check of a hash map finds each kind of damage. (That nothing crashes
 * on damaged media, whatever is done with it, is for fuzz.c to see.)
 */
#include "hashmap_world.h"

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
    printf("ok\n");
    return 0;
}
