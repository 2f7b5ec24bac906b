// SPDX-License-Identifier: Apache-2.0
/*
 * test_record_damage.c: damaged records and types are SJ_ECORRUPT, or no records, whatever is done
 * with them; and random damage crashes nothing.
 */
#include "record_world.h"

static struct world *world;
static struct sj_segment *segment;
static uint64_t first, head;

static int check(void)
{
    return sj_record_visit_blocks(segment, head, NULL, NULL);
}

static int look(void)
{
    return sj_record_look(segment, first, NULL, NULL);
}

static int nothing(void *context, uint64_t at, uint32_t serial)
{
    (void)context, (void)at, (void)serial;
    return SJ_OK;
}

static int targets(void)
{
    return sj_record_references(segment, head, nothing, NULL);
}

static int free_it(void)
{
    return sj_record_free(segment, first);
}

static int read_name(void)
{
    struct sj_value text;
    return sj_record_text(segment, first, offsetof(struct thing, name), &text);
}

static int set_name(void)
{
    struct sj_value text = {.bytes = (const uint8_t *)"fresh", .size = 5};
    return sj_record_set_text(segment, first, offsetof(struct thing, name), &text);
}

static int chain(void)
{
    uint64_t at = 0;
    int error = sj_schema_first(segment, &at);
    return error == SJ_OK ? sj_schema_check(segment, at, NULL, NULL) : error;
}

static int find(void)
{
    struct world_schema wanted;
    uint64_t at;
    return sj_schema_find(segment, world_things(&wanted), &at);
}

static int make(void)
{
    struct world_schema wanted;
    struct thing thing = {0};
    struct sj_value texts[2] = {{0}, {0}};
    uint64_t schema = 0, at;
    return sj_record_new(segment, world_things(&wanted), &schema, &thing, texts, &at);
}

static void is_found(void *word, size_t width, uint64_t value, int expected, int (*call)(void))
{
    uint64_t old = 0;
    memcpy(&old, word, width);
    memcpy(word, &value, width);
    CHECK(call() == expected);
    memcpy(word, &old, width);
}

static void corrupt(void *word, size_t width, uint64_t value, int (*call)(void))
{
    is_found(word, width, value, SJ_ECORRUPT, call);
}

static void heads_are_what_they_say(void)
{
    struct sj_record *record = (struct sj_record *)(uintptr_t)head;
    uint64_t nowhere = TEST_BASE + sj_segment_committed(segment);
    int (*const all[])(void) = {check, look, targets, free_it};
    for (uint32_t i = 0; i < 4; i++) {
        corrupt(&record->serial, 4, 0, all[i]);
        corrupt(&record->schema, 8, nowhere, all[i]);
        corrupt(&record->schema, 8, head, all[i]);
        corrupt(&record->schema, 8, record->schema + 4, all[i]);
    }
    is_found(&record->kind, 2, SJ_KIND_BLOB, SJ_ENOTFOUND, look);
    is_found(&record->kind, 2, SJ_KIND_BLOB, SJ_ENOTFOUND, free_it);
    corrupt(&record->kind, 2, SJ_KIND_BLOB, check);
    corrupt(&record->kind, 2, SJ_KIND_BLOB, targets);
}

static void fields_are_what_they_say(void)
{
    struct thing *thing = world->thing[0];
    uint64_t nowhere = TEST_BASE + sj_segment_committed(segment);
    int (*const all[])(void) = {check, free_it, read_name, set_name};
    for (uint32_t i = 0; i < 4; i++) {
        corrupt(&thing->name, 8, nowhere, all[i]);
        corrupt(&thing->name, 8, head, all[i]);
        corrupt(&thing->name, 8, (uintptr_t)thing->name + 4, all[i]);
    }
    corrupt(&thing->name->size, 8, UINT64_MAX - 8, read_name);
    corrupt(&thing->name->size, 8, nowhere - (uintptr_t)thing->name, check);
    corrupt(&thing->next, 8, nowhere, check);
    corrupt(&thing->odd, 1, 2, check);
    CHECK_OK(check());
}

static void types_are_what_they_say(void)
{
    struct sj_schema *schema = (struct sj_schema *)(uintptr_t)world->schema;
    uint64_t nowhere = TEST_BASE + sj_segment_committed(segment);
    struct sj_root *root;
    int (*const all[])(void) = {chain, find, make};
    CHECK_OK(sj_root_find(segment, "\0types", 6, &root));
    for (uint32_t i = 0; i < 3; i++) {
        corrupt(&root->pointer, 8, nowhere, all[i]);
        corrupt(&root->pointer, 8, head, all[i]);
        corrupt(&root->type, 2, SJ_KIND_BTREE, all[i]);
        corrupt(&schema->fields, 2, 8, all[i]);
        corrupt(&schema->bytes, 4, 8, all[i]);
        corrupt(&schema->text_bytes, 4, UINT32_MAX, all[i]);
        corrupt(&schema->field[2].offset, 4, 0, all[i]);
    }
    schema->name_bytes--; /* of another name, which leads to itself */
    for (uint32_t i = 0; i < 3; i++)
        corrupt(&schema->next, 8, world->schema, all[i]);
    schema->name_bytes++;
    corrupt(&schema->bytes, 4, 8, check);
    CHECK_OK(chain());
    CHECK_OK(find());
}

static void random_damage_crashes_nothing(void)
{
    uint64_t committed = sj_segment_committed(segment), found = 0;
    uint8_t *image = malloc(committed);
    CHECK(image != NULL);
    memcpy(image, segment->base, committed);
    int (*const all[])(void) = {check, look,     targets, read_name, chain,
                                find,  set_name, make,    free_it};
    uint64_t places[] = {head, world->schema, (uintptr_t)world->thing[0]->name};
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t *at = (uint8_t *)(uintptr_t)(places[test_below(3)] + test_below(120));
        *at = test_below(2) != 0 ? (uint8_t)test_random() : (uint8_t)(*at ^ 1u << test_below(8));
        for (uint32_t j = 0; j < sizeof all / sizeof all[0]; j++) {
            int error = all[j]();
            CHECK(error == SJ_OK || error == SJ_ECORRUPT || error == SJ_ENOTFOUND ||
                  error == SJ_ERECORD || error == SJ_EINVAL);
            found += error == SJ_ECORRUPT;
        }
        memcpy(segment->base, image, committed);
        sj_tx_forget(segment);
    }
    CHECK(found > 500);
    free(image);
}

int main(void)
{
    test_begin();
    world = world_make("damage");
    segment = world->segment;
    world_new(world, 0, 3);
    first = world_at(world, 0);
    head = first - SJ_RECORD_HEAD;
    CHECK(world->thing[0]->name != NULL);
    heads_are_what_they_say();
    fields_are_what_they_say();
    types_are_what_they_say();
    world_check(world);
    random_damage_crashes_nothing();
    world_drop(world);
    printf("ok\n");
    return 0;
}
