// SPDX-License-Identifier: Apache-2.0
/*
 * record_schema.c: the types of records: their fields, found by name, and how they may change.
 *
 *   first record of Node in a store        root "\0types" ─→ Node 1 ─→ 0
 *   then of Edge                           root "\0types" ─→ Edge 1 ─→ Node 1 ─→ 0
 *   then of Node with a field more         root "\0types" ─→ Node 2 ─→ Edge 1 ─→ Node 1 ─→ 0
 *
 * So the first of a name in the chain is its last version. Schemas are never changed or removed:
 * old records lead to theirs.
 *
 * Crash rule: a schema is fresh until the root's word leads to it, which is in the log.
 *
 * Cost: O(schemas) to find one, with all of its fields compared.
 */
#include <stdio.h>
#include <string.h>

#include "persistence/roots.h"
#include "persistence/seam.h"
#include "structures/record.h"

static const char ROOT_NAME[] = "\0types"; /* no user can give it: names have no NUL */
#define ROOT_NAME_BYTES (sizeof ROOT_NAME - 1)

/* ------------------------------------------------------------------ what is valid */

static const uint8_t CODE_BYTES[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 1, 8, 8, 8};

static const char *const CODE_NAMES[] = {"",    "i8",    "i16",  "i32",    "i64",
                                         "u8",  "u16",   "u32",  "u64",    "f32",
                                         "f64", "bool_", "str_", "bytes_", "Ptr"};

static bool field_is_valid(const struct sj_schema *schema, const struct sj_field *field)
{
    uint64_t texts = (uint64_t)field->text + field->name_bytes + field->target_bytes;
    if (field->code < SJ_FIELD_I8 || field->code > SJ_FIELD_PTR || field->name_bytes == 0 ||
        texts > schema->text_bytes)
        return false;
    if (field->code != SJ_FIELD_PTR && field->target_bytes != 0)
        return false;
    if (field->is_array == 0)
        return field->count == 1;
    return field->is_array == 1 && field->code <= SJ_FIELD_BOOL && field->count >= 1 &&
           field->count <= SJ_SCHEMA_BYTES_MAX;
}

bool sj_schema_is_valid(const struct sj_schema *schema, uint64_t bytes)
{
    uint64_t end = 0, alignment = 1;
    if (bytes < sizeof *schema || schema->kind != SJ_KIND_RECORD_TYPE || schema->version == 0 ||
        schema->fields == 0 || schema->fields > SJ_SCHEMA_FIELDS_MAX || schema->name_bytes == 0 ||
        schema->name_bytes > SJ_NAME_MAX || schema->text_bytes > SJ_SCHEMA_TEXT_MAX ||
        schema->name_bytes > schema->text_bytes || bytes < sj_schema_size(schema))
        return false;
    for (uint32_t i = 0; i < schema->fields; i++) {
        const struct sj_field *field = &schema->field[i];
        if (!field_is_valid(schema, field))
            return false;
        uint64_t size = CODE_BYTES[field->code];
        end = (end + size - 1) & ~(size - 1);
        if (field->offset != end)
            return false;
        end += size * field->count;
        if (end > SJ_SCHEMA_BYTES_MAX)
            return false;
        alignment = size > alignment ? size : alignment;
    }
    return schema->bytes == ((end + alignment - 1) & ~(alignment - 1));
}

const struct sj_schema *sj_schema_at(const struct sj_segment *segment, uint64_t at)
{
    const struct sj_schema *schema =
        sj_segment_block(segment, at, sizeof *schema, SJ_KIND_RECORD_TYPE);
    if (schema == NULL || schema->text_bytes > SJ_SCHEMA_TEXT_MAX ||
        !sj_segment_spans(segment, at, sj_schema_size(schema)))
        return NULL;
    return sj_schema_is_valid(schema, sj_schema_size(schema)) ? schema : NULL;
}

/* ------------------------------------------------------------------ the chain */

/* The root, or NULL: no record has been made. */
static int find_root(const struct sj_segment *segment, struct sj_root **root)
{
    *root = NULL;
    int error = sj_root_find(segment, ROOT_NAME, ROOT_NAME_BYTES, root);
    if (error == SJ_ENOTFOUND)
        return SJ_OK;
    if (error == SJ_OK && (*root)->type != SJ_KIND_RECORD_TYPE)
        error = sj_segment_damaged(segment, (uint64_t)(uintptr_t)*root, "the types of records");
    return error;
}

int sj_schema_first(const struct sj_segment *segment, uint64_t *at)
{
    struct sj_root *root;
    int error = find_root(segment, &root);
    if (error == SJ_OK)
        *at = root == NULL ? 0 : root->pointer;
    return error;
}

/* The schema at `at`, the `hops`th of a chain, which has no more than there is room for. */
static const struct sj_schema *link_at(const struct sj_segment *segment, uint64_t at, uint64_t hops)
{
    if (hops > sj_segment_committed(segment) / sizeof(struct sj_schema))
        return NULL;
    return sj_schema_at(segment, at);
}

int sj_schema_check(const struct sj_segment *segment, uint64_t at, sj_heap_visit *visit,
                    void *context)
{
    for (uint64_t hops = 0; at != 0; hops++) {
        const struct sj_schema *schema = link_at(segment, at, hops);
        if (schema == NULL)
            return sj_segment_damaged(segment, at, "a type of records");
        int error = visit == NULL ? SJ_OK : visit(context, at, sj_schema_size(schema));
        if (error != SJ_OK)
            return error;
        at = schema->next;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ versions */

static bool same_text(const struct sj_schema *a, const struct sj_field *of_a,
                      const struct sj_schema *b, const struct sj_field *of_b)
{
    return of_a->name_bytes == of_b->name_bytes && of_a->target_bytes == of_b->target_bytes &&
           memcmp(sj_field_name(a, of_a), sj_field_name(b, of_b),
                  (size_t)of_a->name_bytes + of_a->target_bytes) == 0;
}

static bool same_field(const struct sj_schema *a, const struct sj_schema *b, uint32_t i)
{
    const struct sj_field *of_a = &a->field[i], *of_b = &b->field[i];
    return of_a->offset == of_b->offset && of_a->count == of_b->count && of_a->code == of_b->code &&
           of_a->is_array == of_b->is_array && same_text(a, of_a, b, of_b);
}

/* "'weights' f32[8]"; "no more fields" behind the last. */
static void tell_field(const struct sj_schema *schema, uint32_t i, char *text, size_t bytes)
{
    if (i >= schema->fields) {
        snprintf(text, bytes, "no more fields");
        return;
    }
    const struct sj_field *field = &schema->field[i];
    const char *name = sj_field_name(schema, field);
    int length =
        snprintf(text, bytes, "'%.*s' %s", (int)field->name_bytes, name, CODE_NAMES[field->code]);
    if (field->is_array != 0)
        snprintf(text + length, bytes - (size_t)length, "[%u]", field->count);
    else if (field->target_bytes != 0)
        snprintf(text + length, bytes - (size_t)length, "[%.*s]", (int)field->target_bytes,
                 name + field->name_bytes);
}

int sj_schema_compare(const struct sj_segment *segment, const struct sj_schema *wanted,
                      const struct sj_schema *found)
{
    char expected[560], has[560];
    uint32_t same = 0;
    while (same < found->fields && same < wanted->fields && same_field(wanted, found, same))
        same++;
    if (same == found->fields)
        return same == wanted->fields ? SJ_OK : SJ_ENOTFOUND;
    tell_field(found, same, expected, sizeof expected);
    tell_field(wanted, same, has, sizeof has);
    return sj_error(SJ_ERECORD,
                    "type '%.*s', field %u: expected %s, as '%s' has it, found %s: fields may be "
                    "added at the end, else give the type another name",
                    (int)wanted->name_bytes, sj_schema_text(wanted), same + 1, expected,
                    segment->name, has);
}

/* The last version of that name; NULL: there is none. */
static int find_last(const struct sj_segment *segment, const struct sj_schema *wanted,
                     const struct sj_schema **found)
{
    uint64_t at = 0;
    int error = sj_schema_first(segment, &at);
    *found = NULL;
    for (uint64_t hops = 0; error == SJ_OK && at != 0; hops++) {
        const struct sj_schema *schema = link_at(segment, at, hops);
        if (schema == NULL)
            return sj_segment_damaged(segment, at, "a type of records");
        if (schema->name_bytes == wanted->name_bytes &&
            memcmp(sj_schema_text(schema), sj_schema_text(wanted), wanted->name_bytes) == 0) {
            *found = schema;
            return SJ_OK;
        }
        at = schema->next;
    }
    return error;
}

int sj_schema_find(const struct sj_segment *segment, const struct sj_schema *wanted, uint64_t *at)
{
    const struct sj_schema *found;
    int error = find_last(segment, wanted, &found);
    if (error == SJ_OK && found == NULL)
        return SJ_ENOTFOUND;
    if (error == SJ_OK)
        error = sj_schema_compare(segment, wanted, found);
    if (error == SJ_OK)
        *at = (uint64_t)(uintptr_t)found;
    return error;
}

/* Puts a version before the first of the chain. */
static int add(struct sj_segment *segment, const struct sj_schema *wanted, uint16_t version,
               uint64_t *at)
{
    struct sj_root *root;
    void *block;
    int error = find_root(segment, &root);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sj_schema_size(wanted), &block);
    if (error != SJ_OK)
        return error;
    struct sj_schema head = *wanted;
    head.version = version;
    head.next = root == NULL ? 0 : root->pointer;
    *at = (uint64_t)(uintptr_t)block;
    sj_copy(block, &head, sizeof head);
    sj_copy((char *)block + sizeof head, wanted->field, sj_schema_size(wanted) - sizeof head);
    if (root != NULL)
        return sj_tx_word(segment, &root->pointer, *at);
    return sj_root_add(segment, ROOT_NAME, ROOT_NAME_BYTES, SJ_KIND_RECORD_TYPE, 0, 0, *at);
}

int sj_schema_have(struct sj_segment *segment, const struct sj_schema *wanted, uint64_t *at)
{
    const struct sj_schema *last;
    int error = find_last(segment, wanted, &last);
    if (error != SJ_OK)
        return error;
    if (last == NULL)
        return add(segment, wanted, 1, at);
    error = sj_schema_compare(segment, wanted, last);
    if (error == SJ_OK)
        *at = (uint64_t)(uintptr_t)last;
    if (error != SJ_ENOTFOUND)
        return error;
    if (last->version == UINT16_MAX)
        return sj_error(SJ_ETOOBIG, "type '%.*s' has %u versions", (int)wanted->name_bytes,
                        sj_schema_text(wanted), last->version);
    return add(segment, wanted, (uint16_t)(last->version + 1), at);
}
