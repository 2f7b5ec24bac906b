// SPDX-License-Identifier: Apache-2.0
/*
 * test_record_types.c: each rule of a schema by itself (record_layout.h, I1), and what makes two
 * versions of a type the same.
 */
#include "record_world.h"

#define ROOM (4u << 20)

/* A schema made by hand: its fields share one name, the first letter of the text. */
static struct sj_schema *schema_of(uint16_t fields, uint8_t code, uint32_t count, uint8_t is_array,
                                   uint32_t size)
{
    struct sj_schema *schema = calloc(1, ROOM);
    CHECK(schema != NULL);
    *schema = (struct sj_schema){.kind = SJ_KIND_RECORD_TYPE,
                                 .version = 1,
                                 .fields = fields,
                                 .name_bytes = 1,
                                 .bytes = fields * count * size,
                                 .text_bytes = 1};
    for (uint32_t i = 0; i < fields; i++)
        schema->field[i] = (struct sj_field){.offset = i * count * size,
                                             .count = count,
                                             .code = code,
                                             .is_array = is_array,
                                             .name_bytes = 1};
    memset(&schema->field[fields], 'n', 300);
    return schema;
}

static bool valid(struct sj_schema *schema)
{
    bool is_valid = sj_schema_is_valid(schema, sj_schema_size(schema));
    free(schema);
    return is_valid;
}

static void numbers_of_a_schema_have_bounds(void)
{
    struct sj_schema *schema;
    CHECK(valid(schema_of(3, SJ_FIELD_I32, 1, 0, 4)));
    CHECK(valid(schema_of(SJ_SCHEMA_FIELDS_MAX, SJ_FIELD_U8, 1, 0, 1)));
    CHECK(!valid(schema_of(SJ_SCHEMA_FIELDS_MAX + 1, SJ_FIELD_U8, 1, 0, 1)));
    CHECK(!valid(schema_of(0, SJ_FIELD_U8, 1, 0, 1)));
    CHECK(!valid(schema_of(1, 0, 1, 0, 0)));
    CHECK(!valid(schema_of(1, SJ_FIELD_PTR + 1, 1, 0, 0)));
    CHECK(valid(schema_of(1, SJ_FIELD_F32, 1, 1, 4)));
    CHECK(!valid(schema_of(1, SJ_FIELD_F32, 0, 1, 4)));
    CHECK(!valid(schema_of(1, SJ_FIELD_F64, SJ_SCHEMA_BYTES_MAX, 1, 8)));
    CHECK(valid(schema_of(1, SJ_FIELD_U8, SJ_SCHEMA_BYTES_MAX, 1, 1)));
    schema = schema_of(1, SJ_FIELD_I32, 1, 0, 4);
    schema->name_bytes = 2;
    CHECK(!valid(schema));
    schema = schema_of(1, SJ_FIELD_I32, 1, 0, 4);
    schema->name_bytes = SJ_NAME_MAX;
    schema->text_bytes = SJ_NAME_MAX + 1;
    CHECK(sj_schema_is_valid(schema, sj_schema_size(schema)));
    schema->name_bytes++;
    CHECK(!valid(schema));
    schema = schema_of(1, SJ_FIELD_I32, 1, 0, 4);
    schema->text_bytes = SJ_SCHEMA_TEXT_MAX;
    CHECK(sj_schema_is_valid(schema, sj_schema_size(schema)));
    schema->text_bytes++;
    CHECK(!valid(schema));
}

/* One field behind a first one, whose letters are the end of the text. */
static const struct sj_schema *with_field(struct world_schema *schema, enum sj_field_code code,
                                          const char *name, uint32_t count, const char *target)
{
    static const uint8_t sizes[] = {[SJ_FIELD_F32] = 4, [SJ_FIELD_I32] = 4, [SJ_FIELD_PTR] = 8};
    uint32_t size = sizes[code], bytes = 8 + size * (count == 0 ? 1 : count);
    world_schema_begin(schema, "type");
    world_schema_add(schema, SJ_FIELD_I64, "first", 0, 0, "");
    world_schema_add(schema, code, name, 8, count, target);
    schema->text[schema->head.text_bytes++] = 'c';
    return world_schema_end(schema, (bytes + 7) & ~7u);
}

static void fields_that_differ_make_another_type(void)
{
    struct world *world = world_make("types");
    struct world_schema a, b;
    const struct sj_segment *segment = world->segment;
    const struct sj_schema *one = with_field(&a, SJ_FIELD_F32, "ab", 3, "");
    CHECK_OK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_F32, "ab", 3, "")));
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_F32, "ab", 4, "")) == SJ_ERECORD);
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_I32, "ab", 3, "")) == SJ_ERECORD);
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_F32, "ac", 3, "")) == SJ_ERECORD);
    one = with_field(&a, SJ_FIELD_F32, "ab", 1, "");
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_F32, "ab", 0, "")) == SJ_ERECORD);
    one = with_field(&a, SJ_FIELD_PTR, "ab", 0, "c");
    CHECK_OK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_PTR, "ab", 0, "c")));
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_PTR, "a", 0, "b")) == SJ_ERECORD);
    CHECK(sj_schema_compare(segment, one, with_field(&b, SJ_FIELD_PTR, "ab", 0, "")) == SJ_ERECORD);
    world_drop(world);
}

/* What lies at the very end of the segment, and says that it goes on. */
static void a_schema_ends_in_the_segment(void)
{
    struct world *world = world_make("last");
    struct sj_segment *segment = world->segment;
    uint64_t at = TEST_BASE + sj_segment_committed(segment) - sizeof(struct sj_schema);
    struct sj_schema *schema = (struct sj_schema *)(uintptr_t)at;
    world_new(world, 0, 1);
    memcpy(schema, (const void *)(uintptr_t)world->schema, sizeof *schema);
    CHECK(sj_schema_at(segment, at) == NULL);
    memset(schema, 0, sizeof *schema);
    world_drop(world);
}

/* The fields of another type need not have room in it. */
static void a_record_has_room_for_its_fields(void)
{
    struct world *world = world_make("room");
    struct sj_schema *large = schema_of(1, SJ_FIELD_U8, 5000, 1, 1);
    uint8_t *fields = calloc(1, 5000);
    uint64_t schema = 0, record;
    world_new(world, 0, 1);
    struct sj_record *small = (struct sj_record *)(uintptr_t)(world_at(world, 0) - SJ_RECORD_HEAD);
    CHECK_OK(sj_record_new(world->segment, large, &schema, fields, NULL, &record));
    small->schema = schema;
    CHECK(sj_record_look(world->segment, world_at(world, 0), NULL, NULL) == SJ_ECORRUPT);
    small->schema = world->schema;
    CHECK_OK(sj_record_free(world->segment, record));
    free(large);
    free(fields);
    world_drop(world);
}

int main(void)
{
    test_begin();
    numbers_of_a_schema_have_bounds();
    fields_that_differ_make_another_type();
    a_schema_ends_in_the_segment();
    a_record_has_room_for_its_fields();
    printf("ok\n");
    return 0;
}
