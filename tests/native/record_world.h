// SPDX-License-Identifier: Apache-2.0
/*
 * record_world.h: records beside a naive model of them, for the tests of records.
 *
 * The records are numbered; version[i] says which values record i has, 0 that there is none. What
 * is in it follows from these two numbers; its pointer leads to the record that `next` says.
 */
#ifndef SJ_TESTS_RECORD_WORLD_H
#define SJ_TESTS_RECORD_WORLD_H

#include "harness.h"

#include "persistence/roots.h"
#include "structures/record.h"

#define WORLD_RECORDS 64

/* As the schema below says: C code sees records so. */
struct thing {
    int64_t number;
    struct sj_blob *name;
    struct thing *next;
    float parts[3];
    bool odd;
    uint16_t small;
    struct sj_blob *raw;
};

struct world {
    struct sj_segment *segment;
    uint64_t schema;
    struct thing *thing[WORLD_RECORDS];
    uint32_t version[WORLD_RECORDS];
    uint32_t next[WORLD_RECORDS]; /* a record's number; WORLD_RECORDS: none */
};

/* A schema in memory, its text filled as fields are added. */
struct world_schema {
    struct sj_schema head;
    struct sj_field field[8];
    char text[256];
};

static inline void world_schema_begin(struct world_schema *schema, const char *name)
{
    memset(schema, 0, sizeof *schema);
    schema->head.kind = SJ_KIND_RECORD_TYPE;
    schema->head.version = 1;
    schema->head.name_bytes = (uint16_t)strlen(name);
    schema->head.text_bytes = schema->head.name_bytes;
    memcpy(schema->text, name, strlen(name));
}

static inline void world_schema_add(struct world_schema *schema, enum sj_field_code code,
                                    const char *name, uint32_t offset, uint32_t count,
                                    const char *target)
{
    schema->field[schema->head.fields++] =
        (struct sj_field){.offset = offset,
                          .count = count == 0 ? 1 : count,
                          .text = schema->head.text_bytes,
                          .code = (uint8_t)code,
                          .is_array = count != 0,
                          .name_bytes = (uint8_t)strlen(name),
                          .target_bytes = (uint8_t)strlen(target)};
    schema->head.text_bytes +=
        (uint32_t)sprintf(schema->text + schema->head.text_bytes, "%s%s", name, target);
}

/* The text moved to behind the fields that there are, as on the media. */
static inline const struct sj_schema *world_schema_end(struct world_schema *schema, uint32_t bytes)
{
    schema->head.bytes = bytes;
    memmove(&schema->field[schema->head.fields], schema->text, schema->head.text_bytes);
    CHECK(sj_schema_is_valid(&schema->head, sj_schema_size(&schema->head)));
    return &schema->head;
}

static inline const struct sj_schema *world_things(struct world_schema *schema)
{
    world_schema_begin(schema, "thing");
    world_schema_add(schema, SJ_FIELD_I64, "number", offsetof(struct thing, number), 0, "");
    world_schema_add(schema, SJ_FIELD_STR, "name", offsetof(struct thing, name), 0, "");
    world_schema_add(schema, SJ_FIELD_PTR, "next", offsetof(struct thing, next), 0, "thing");
    world_schema_add(schema, SJ_FIELD_F32, "parts", offsetof(struct thing, parts), 3, "");
    world_schema_add(schema, SJ_FIELD_BOOL, "odd", offsetof(struct thing, odd), 0, "");
    world_schema_add(schema, SJ_FIELD_U16, "small", offsetof(struct thing, small), 0, "");
    world_schema_add(schema, SJ_FIELD_BYTES, "raw", offsetof(struct thing, raw), 0, "");
    return world_schema_end(schema, sizeof(struct thing));
}

/* ------------------------------------------------------------------ what a record has */

static inline struct thing world_thing(const struct world *world, uint32_t i, uint32_t version)
{
    uint32_t next = world->next[i];
    return (struct thing){.number = (int64_t)version << 32 | i,
                          .next = next == WORLD_RECORDS ? NULL : world->thing[next],
                          .parts = {(float)version, (float)i, 0.5f},
                          .odd = version % 2 != 0,
                          .small = (uint16_t)(version * 7 + i)};
}

/* Text number `which` of a record: of 0–400 bytes. */
static inline struct sj_value world_text(uint32_t i, uint32_t version, uint32_t which)
{
    static uint8_t bytes[2][512];
    uint32_t size = (i * 31 + version * 17 + which) % 4 * ((i + version) % 100);
    memset(bytes[which], (int)('a' + (i + version + which) % 26), size);
    return (struct sj_value){.bytes = bytes[which], .size = size};
}

static inline void world_new(struct world *world, uint32_t i, uint32_t version)
{
    struct world_schema schema;
    uint64_t at;
    world->next[i] = WORLD_RECORDS;
    struct thing thing = world_thing(world, i, version);
    struct sj_value texts[2] = {world_text(i, version, 0), world_text(i, version, 1)};
    CHECK_OK(
        sj_record_new(world->segment, world_things(&schema), &world->schema, &thing, texts, &at));
    world->thing[i] = (struct thing *)(uintptr_t)at;
    world->version[i] = version;
}

static inline uint64_t world_at(const struct world *world, uint32_t i)
{
    return (uint64_t)(uintptr_t)world->thing[i];
}

/* Each field by itself, as a language binding does it. */
static inline void world_change(struct world *world, uint32_t i, uint32_t version)
{
    struct thing thing = world_thing(world, i, version);
    struct sj_segment *segment = world->segment;
    uint64_t at = world_at(world, i);
    struct sj_value name = world_text(i, version, 0), raw = world_text(i, version, 1);
    CHECK_OK(sj_record_write(segment, at, offsetof(struct thing, number), &thing.number, 8));
    CHECK_OK(sj_record_write(segment, at, offsetof(struct thing, parts), thing.parts, 12));
    CHECK_OK(sj_record_write(segment, at, offsetof(struct thing, odd), &thing.odd, 1));
    CHECK_OK(sj_record_write(segment, at, offsetof(struct thing, small), &thing.small, 2));
    CHECK_OK(sj_record_set_text(segment, at, offsetof(struct thing, name), &name));
    CHECK_OK(sj_record_set_text(segment, at, offsetof(struct thing, raw), &raw));
    world->version[i] = version;
}

static inline void world_link(struct world *world, uint32_t i, uint32_t next)
{
    const void *to = next == WORLD_RECORDS ? NULL : world->thing[next];
    CHECK_OK(sj_record_write(world->segment, world_at(world, i), offsetof(struct thing, next), &to,
                             sizeof to));
    world->next[i] = next;
}

/* Frees a record; what leads to it is set to nothing before. */
static inline void world_free(struct world *world, uint32_t i)
{
    for (uint32_t j = 0; j < WORLD_RECORDS; j++)
        if (j != i && world->version[j] != 0 && world->next[j] == i)
            world_link(world, j, WORLD_RECORDS);
    CHECK_OK(sj_record_free(world->segment, world_at(world, i)));
    world->version[i] = 0;
}

/* ------------------------------------------------------------------ comparing */

static inline bool world_same_text(const struct world *world, uint32_t i, uint32_t version,
                                   uint32_t which, size_t offset)
{
    struct sj_value expected = world_text(i, version, which), found;
    CHECK_OK(sj_record_text(world->segment, world_at(world, i), (uint32_t)offset, &found));
    return found.size == expected.size &&
           (found.size == 0 || memcmp(found.bytes, expected.bytes, found.size) == 0);
}

/* Whether record i has the values of that version; 0: whether it is no record. */
static inline bool world_matches(const struct world *world, uint32_t i, uint32_t version)
{
    int error = sj_record_look(world->segment, world_at(world, i), NULL, NULL);
    CHECK(error == SJ_OK || error == SJ_ENOTFOUND);
    if (version == 0 || error != SJ_OK)
        return version == 0 && error == SJ_ENOTFOUND;
    struct thing expected = world_thing(world, i, version), *found = world->thing[i];
    return found->number == expected.number && found->next == expected.next &&
           memcmp(found->parts, expected.parts, sizeof found->parts) == 0 &&
           found->odd == expected.odd && found->small == expected.small &&
           world_same_text(world, i, version, 0, offsetof(struct thing, name)) &&
           world_same_text(world, i, version, 1, offsetof(struct thing, raw));
}

struct world_blocks {
    uint64_t count;
    uint64_t sum;
};

static inline int world_visit(void *context, uint64_t block, uint64_t bytes)
{
    struct world_blocks *blocks = context;
    (void)bytes;
    blocks->count++;
    blocks->sum += block * 0x9e3779b97f4a7c15ull;
    return SJ_OK;
}

static inline int world_visit_record(void *context, uint64_t block, uint64_t bytes)
{
    void *const *pair = context; /* segment, blocks */
    (void)bytes;
    if (*(const uint16_t *)(uintptr_t)block != SJ_KIND_RECORD)
        return SJ_OK;
    return sj_record_visit_blocks(pair[0], block, world_visit, pair[1]);
}

/* Every block in use is a record's, a type's or a root. */
static inline void world_check_blocks(const struct world *world)
{
    struct world_blocks ours = {0}, heap = {0};
    void *pair[2] = {world->segment, &ours};
    struct sj_root *root = NULL;
    uint64_t first;
    CHECK_OK(sj_heap_check(world->segment, world_visit, &heap));
    CHECK_OK(sj_heap_check(world->segment, world_visit_record, pair));
    CHECK_OK(sj_schema_first(world->segment, &first));
    CHECK_OK(sj_schema_check(world->segment, first, world_visit, &ours));
    for (;;) {
        CHECK_OK(sj_root_next(world->segment, root, &root));
        if (root == NULL)
            break;
        world_visit(&ours, (uint64_t)(uintptr_t)root, 0);
    }
    CHECK(ours.count == heap.count && ours.sum == heap.sum);
}

static inline void world_check(const struct world *world)
{
    for (uint32_t i = 0; i < WORLD_RECORDS; i++)
        CHECK(world->thing[i] == NULL || world_matches(world, i, world->version[i]));
    world_check_blocks(world);
}

static inline struct world *world_make(const char *name)
{
    struct world *world = calloc(1, sizeof *world);
    CHECK(world != NULL);
    world->segment = test_segment(name);
    return world;
}

static inline void world_drop(struct world *world)
{
    CHECK_OK(sj_segment_close(world->segment, true));
    free(world);
}

#endif
