// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_records.c: records: a small store of them, their fields for the damage, and their use.
 *
 *   root "r" ─→ node 0 ─→ node 1 ─→ … ─→ node 0      and a map whose values refer to some nodes
 */
#include "fuzz_user.h"
#include "persistence/roots.h"
#include "structures/record.h"
#include "structures/structure.h"

#define NODES 14

struct node {
    int64_t number;
    uint64_t name; /* a text */
    uint64_t next; /* a pointer to a node */
    uint16_t parts[3];
    bool odd;
    uint64_t any; /* a pointer to anything */
};

static const struct sj_schema *node_schema(void)
{
    static struct {
        struct sj_schema head;
        struct sj_field field[6];
        char text[40];
    } schema;
    static const char text[] = "node"
                               "number"
                               "name"
                               "nextnode"
                               "parts"
                               "odd"
                               "any";
    static const struct sj_field fields[6] = {
        {offsetof(struct node, number), 1, 4, SJ_FIELD_I64, 0, 6, 0},
        {offsetof(struct node, name), 1, 10, SJ_FIELD_STR, 0, 4, 0},
        {offsetof(struct node, next), 1, 14, SJ_FIELD_PTR, 0, 4, 4},
        {offsetof(struct node, parts), 3, 22, SJ_FIELD_U16, 1, 5, 0},
        {offsetof(struct node, odd), 1, 27, SJ_FIELD_BOOL, 0, 3, 0},
        {offsetof(struct node, any), 1, 30, SJ_FIELD_PTR, 0, 3, 0},
    };
    _Static_assert(sizeof text <= sizeof schema.text, "the names");
    schema.head = (struct sj_schema){.kind = SJ_KIND_RECORD_TYPE,
                                     .version = 1,
                                     .fields = 6,
                                     .name_bytes = 4,
                                     .bytes = sizeof(struct node),
                                     .text_bytes = sizeof text - 1};
    memcpy(schema.field, fields, sizeof fields);
    memcpy(schema.text, text, sizeof text - 1);
    return &schema.head;
}

static int make_node(struct sj_segment *segment, uint64_t number, uint64_t next, uint64_t *record)
{
    static uint8_t text[200];
    uint64_t schema = 0;
    struct node node = {.number = (int64_t)number, .next = next, .odd = number % 2, .any = next};
    struct sj_value name = {.bytes = text, .size = number * 37 % sizeof text};
    memset(text, (int)('a' + number % 26), sizeof text);
    return sj_record_new(segment, node_schema(), &schema, &node, &name, record);
}

/* ------------------------------------------------------------------ a store */

void fuzz_make_records(struct fuzz_image *image, struct sj_segment *segment)
{
    struct fuzz_store map = {.type = SJ_KIND_HASHMAP,
                             .kinds = {SJ_ITEM_WORD, SJ_ITEM_BYTES},
                             .codecs = {SJ_CODEC_INT, SJ_CODEC_ANY},
                             .keys = 20};
    struct sj_hashmap values;
    uint64_t head, first = 0, next = 0;
    bool existed;
    fuzz_add_root(image, segment, &map, &head);
    fuzz_ok(sj_hashmap_open(segment, head, &values), "a map");
    for (uint32_t i = 0; i < NODES; i++) {
        struct sj_structure_info info;
        uint8_t buffer[FUZZ_ANY_BYTES];
        struct sj_key key = {.word = 5ull * i};
        fuzz_ok(make_node(segment, i, next, &next), "a record");
        first = first == 0 ? next : first;
        fuzz_ok(sj_structure_look(segment, next - SJ_RECORD_HEAD, 0, &info), "a record");
        if (i % 4 != 0)
            continue;
        struct sj_value value = fuzz_any(next - SJ_RECORD_HEAD, info.serial, buffer);
        fuzz_ok(sj_structure_share_all(segment, &value), "a reference");
        fuzz_ok(sj_hashmap_put(&values, &key, &value, SJ_PUT_ALWAYS, &existed), "a reference");
    }
    fuzz_ok(sj_record_write(segment, first, offsetof(struct node, next), &next, 8), "a pointer");
    fuzz_ok(sj_record_root_set(segment, "r", 1, next), "a root");
    image->store[image->stores++] = (struct fuzz_store){.name = "r", .type = SJ_KIND_RECORD};
}

/* ------------------------------------------------------------------ use */

static void read_record(struct user *user, uint64_t record, const struct sj_schema *schema)
{
    struct sj_value text;
    user->sum += *(const uint8_t *)(uintptr_t)(record + schema->bytes - 1);
    for (uint32_t i = 0; i < schema->fields; i++) {
        const struct sj_field *field = &schema->field[i];
        read_bytes(user, (const uint8_t *)sj_field_name(schema, field), field->name_bytes);
        if (field->code != SJ_FIELD_STR && field->code != SJ_FIELD_BYTES)
            continue;
        if (ANSWER(user, sj_record_text(user->segment, record, field->offset, &text), ANY_FAULT))
            continue;
        read_bytes(user, text.bytes, text.size);
    }
}

static void write_field(struct user *user, uint64_t record, const struct sj_field *field)
{
    uint64_t word = fuzz_next(user->use->random);
    struct sj_value text = {.bytes = user->value, .size = below(user, 300)};
    uint32_t offset = field->offset;
    if (field->code == SJ_FIELD_STR || field->code == SJ_FIELD_BYTES)
        (void)ANSWER(user, sj_record_set_text(user->segment, record, offset, &text), PUT_FAULT);
    else
        (void)ANSWER(user, sj_record_write(user->segment, record, offset, &word, 1), PUT_FAULT);
}

/* The first pointer of the record, or 0. */
static uint64_t first_pointer(uint64_t record, const struct sj_schema *schema)
{
    for (uint32_t i = 0; i < schema->fields; i++)
        if (schema->field[i].code == SJ_FIELD_PTR)
            return *(const uint64_t *)(uintptr_t)(record + schema->field[i].offset);
    return 0;
}

void fuzz_use_record(struct user *user, uint64_t head)
{
    const uint64_t allowed = PUT_FAULT | BIT(SJ_EINVAL) | BIT(SJ_ERECORD) | BIT(SJ_ENOMEM);
    struct sj_segment *segment = user->segment;
    const struct sj_schema *schema;
    uint64_t record = head + SJ_RECORD_HEAD, next;
    for (uint64_t left = 1 + below(user, 10); left > 0; left--) {
        if (ANSWER(user, sj_record_look(segment, record, NULL, &schema), GET_FAULT) != SJ_OK)
            return;
        next = first_pointer(record, schema);
        switch (below(user, 8)) {
        case 0:
            (void)ANSWER(user, sj_record_visit_blocks(segment, head, NULL, NULL), ANY_FAULT);
            break;
        case 1:
            (void)ANSWER(user, make_node(segment, below(user, 50), record, &next), allowed);
            break;
        case 2:
            (void)ANSWER(user, sj_record_root_set(segment, "r", 1, next),
                         allowed | BIT(SJ_ETYPE) | BIT(SJ_EEXISTS));
            break;
        case 3:
            (void)ANSWER(user, sj_record_free(segment, record), allowed);
            break;
        case 4:
            write_field(user, record, &schema->field[below(user, schema->fields)]);
            break;
        default:
            read_record(user, record, schema);
        }
        record = below(user, 2) ? next : record;
    }
}
