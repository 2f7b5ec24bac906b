// SPDX-License-Identifier: Apache-2.0
/* test_record.c: records: all that they promise, beside a model; types and their versions. */
#include "record_world.h"

#include "persistence/user.h"

static void random_changes(struct world *world, uint32_t times)
{
    for (; times > 0; times--) {
        uint32_t i = (uint32_t)test_below(WORLD_RECORDS), other;
        uint32_t version = 1 + (uint32_t)test_below(1000);
        if (world->version[i] == 0) {
            /* A place that was used again is not that of the model's older record. */
            world_new(world, i, version);
            for (other = 0; other < WORLD_RECORDS; other++)
                if (other != i && world->thing[other] == world->thing[i])
                    world->thing[other] = NULL;
        } else if (test_below(4) == 0) {
            world_free(world, i);
        } else if (test_below(2) == 0) {
            do
                other = (uint32_t)test_below(WORLD_RECORDS + 1);
            while (other < WORLD_RECORDS && world->version[other] == 0);
            world_link(world, i, other);
        } else {
            world_change(world, i, version);
        }
    }
}

static void records_are_as_the_model(void)
{
    struct world *world = world_make("model"), before;
    for (uint32_t round = 0; round < 60; round++) {
        bool grouped = round % 3 != 0, kept = round % 3 == 1;
        before = *world;
        if (grouped)
            CHECK_OK(sj_tx_begin(world->segment));
        random_changes(world, 40);
        if (kept)
            CHECK_OK(sj_tx_commit(world->segment));
        else if (grouped)
            sj_tx_abort(world->segment);
        if (grouped && !kept)
            *world = before; /* the type too, if the first record was among them */
        world_check(world);
    }
    CHECK_OK(sj_segment_close(world->segment, true));
    world->segment = test_reopen("model");
    world_check(world);
    world_drop(world);
}

/* ------------------------------------------------------------------ types */

static const struct sj_schema *pair(struct world_schema *schema, uint32_t fields,
                                    const char *second)
{
    world_schema_begin(schema, "pair");
    world_schema_add(schema, SJ_FIELD_I64, "a", 0, 0, "");
    if (fields > 1)
        world_schema_add(schema, SJ_FIELD_I32, second, 8, 0, "");
    if (fields > 2)
        world_schema_add(schema, SJ_FIELD_I8, "c", 12, 0, "");
    return world_schema_end(schema, fields > 1 ? 16 : 8);
}

static uint64_t new_pair(struct sj_segment *segment, uint32_t fields, uint64_t *schema)
{
    static const char zeros[16];
    struct world_schema wanted;
    uint64_t at;
    *schema = 0;
    CHECK_OK(sj_record_new(segment, pair(&wanted, fields, "b"), schema, zeros, NULL, &at));
    return at;
}

static void types_grow_at_the_end(void)
{
    struct sj_segment *segment = test_segment("types");
    struct world_schema wanted;
    const struct sj_schema *found;
    uint64_t one, two, again, at;
    CHECK(sj_schema_find(segment, pair(&wanted, 1, "b"), &at) == SJ_ENOTFOUND);
    uint64_t old = new_pair(segment, 1, &one);
    new_pair(segment, 2, &two);
    CHECK(one != two && ((const struct sj_schema *)(uintptr_t)two)->version == 2);
    new_pair(segment, 2, &again);
    CHECK(again == two);
    CHECK_OK(sj_record_look(segment, old, NULL, &found));
    CHECK(found->fields == 1 && (uintptr_t)found == one);
    /* Fewer, renamed, retyped. */
    CHECK(sj_schema_find(segment, pair(&wanted, 1, "b"), &at) == SJ_ERECORD);
    CHECK(strstr(sj_error_detail(), "field 2: expected 'b' i32") != NULL);
    CHECK(strstr(sj_error_detail(), "found no more fields") != NULL);
    CHECK(sj_schema_find(segment, pair(&wanted, 3, "x"), &at) == SJ_ERECORD);
    CHECK(strstr(sj_error_detail(), "found 'x' i32") != NULL);
    pair(&wanted, 2, "b");
    wanted.field[1].code = SJ_FIELD_F32;
    CHECK(sj_schema_find(segment, &wanted.head, &at) == SJ_ERECORD);
    CHECK_OK(sj_segment_close(segment, true));
}

static void wrong_schemas_are_refused(void)
{
    struct world_schema good, bad;
    world_things(&good);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        CHECK(!sj_schema_is_valid(&bad.head, sj_schema_size(&bad.head)));                          \
    } while (0)
    REFUSED(bad.head.kind = SJ_KIND_BLOB);
    REFUSED(bad.head.version = 0);
    REFUSED(bad.head.fields = 0);
    REFUSED(bad.head.fields = SJ_SCHEMA_FIELDS_MAX + 1);
    REFUSED(bad.head.name_bytes = 0);
    REFUSED(bad.head.name_bytes = SJ_NAME_MAX + 1);
    REFUSED(bad.head.text_bytes = bad.head.name_bytes - 1u);
    REFUSED(bad.head.bytes += 8);
    REFUSED(bad.field[0].code = 0);
    REFUSED(bad.field[0].code = SJ_FIELD_PTR + 1);
    REFUSED(bad.field[0].offset = 4);
    REFUSED(bad.field[0].count = 2);
    REFUSED(bad.field[0].name_bytes = 0);
    REFUSED(bad.field[0].target_bytes = 1);
    REFUSED(bad.field[1].text = UINT32_MAX);
    REFUSED(bad.field[1].is_array = 1);
    REFUSED(bad.field[3].count = 0);
    REFUSED(bad.field[3].count = UINT32_MAX);
    REFUSED(bad.field[3].is_array = 2);
#undef REFUSED
    CHECK(!sj_schema_is_valid(&good.head, sj_schema_size(&good.head) - 1));
    CHECK(!sj_schema_is_valid(&good.head, sizeof good.head - 1));
}

/* ------------------------------------------------------------------ names and pointers */

static int collect(void *context, uint64_t head, uint32_t serial)
{
    uint64_t *heads = context;
    CHECK(serial != 0);
    heads[++heads[0]] = head;
    return SJ_OK;
}

static void names_and_pointers_lead_to_records(void)
{
    struct world *world = world_make("names");
    struct sj_segment *segment = world->segment;
    uint64_t heads[8] = {0};
    struct sj_root *root;
    world_new(world, 0, 1);
    world_new(world, 1, 2);
    CHECK_OK(sj_record_root_set(segment, "first", 5, world_at(world, 0)));
    CHECK_OK(sj_record_root_set(segment, "first", 5, world_at(world, 1)));
    CHECK_OK(sj_root_find(segment, "first", 5, &root));
    CHECK(root->type == SJ_KIND_RECORD && root->pointer == world_at(world, 1) - SJ_RECORD_HEAD);
    CHECK(sj_record_root_set(segment, "\0types", 6, world_at(world, 0)) == SJ_ETYPE);
    CHECK(sj_record_root_set(segment, "first", 5, root->pointer) == SJ_ENOTFOUND);
    world_link(world, 0, 1);
    CHECK_OK(sj_record_references(segment, world_at(world, 0) - SJ_RECORD_HEAD, collect, heads));
    CHECK(heads[0] == 1 && heads[1] == root->pointer);
    CHECK(sj_pointer_head(segment, (uint64_t)(uintptr_t)root) == (uint64_t)(uintptr_t)root);
    CHECK(sj_pointer_head(segment, world_at(world, 0) + 16) == 0);
    CHECK(sj_pointer_head(segment, 16) == 0 && sj_pointer_head(segment, UINT64_MAX - 15) == 0);
    world_check(world);
    /* It is its user's to store into, but not a block of the user's. */
    CHECK(sj_user_room(segment, world_at(world, 0) + 8) >= sizeof(struct thing) - 8);
    CHECK(sj_user_room(segment, world_at(world, 0) - 8) == 0);
    CHECK_OK(sj_user_change(segment, world_at(world, 0), sizeof(struct thing)));
    CHECK(sj_user_free(segment, world_at(world, 0)) == SJ_EINVAL);
    uint64_t pointer;
    CHECK_OK(sj_user_root_get(segment, "first", 5, &pointer));
    CHECK(pointer == world_at(world, 1));
    CHECK(sj_user_root_set(segment, "first", 5, pointer) == SJ_ETYPE);
    CHECK(sj_user_root_get(segment, "\0types", 6, &pointer) == SJ_ETYPE);
    /* What has a name, or had references, stays. */
    CHECK(sj_record_free(segment, world_at(world, 1)) == SJ_EINVAL);
    CHECK_OK(sj_record_root_set(segment, "first", 5, world_at(world, 0)));
    world_new(world, 2, 3);
    CHECK_OK(sj_structure_share(segment, world_at(world, 2) - SJ_RECORD_HEAD, 0));
    CHECK(sj_record_free(segment, world_at(world, 2)) == SJ_EINVAL);
    world_check(world);
    /* A record that is gone is none, and a pointer to it leads nowhere. */
    CHECK_OK(sj_record_free(segment, world_at(world, 1)));
    CHECK(sj_record_free(segment, world_at(world, 1)) == SJ_ENOTFOUND);
    CHECK(sj_record_look(segment, world_at(world, 1), NULL, NULL) == SJ_ENOTFOUND);
    heads[0] = 0;
    CHECK_OK(sj_record_references(segment, world_at(world, 0) - SJ_RECORD_HEAD, collect, heads));
    CHECK(heads[0] == 0);
    world_drop(world);
}

int main(void)
{
    test_begin();
    records_are_as_the_model();
    types_grow_at_the_end();
    wrong_schemas_are_refused();
    names_and_pointers_lead_to_records();
    printf("ok\n");
    return 0;
}
