// SPDX-License-Identifier: Apache-2.0
/*
 * record_check.c: a record seen from outside: which blocks it has, and where its pointers lead.
 *
 * A pointer is a plain address: that what it led to was freed, or that something else lies there
 * by now, is no damage. It is damage when it leads out of the segment.
 *
 * Cost: O(fields).
 */
#include "structures/record.h"
#include "structures/structure.h"

static int visit_text(const struct sj_segment *segment, uint64_t record,
                      const struct sj_field *field, sj_heap_visit *visit, void *context)
{
    struct sj_value text;
    uint64_t at = *(const uint64_t *)(uintptr_t)(record + field->offset);
    int error = sj_record_text(segment, record, field->offset, &text);
    if (error != SJ_OK || at == 0 || visit == NULL)
        return error;
    return visit(context, at, sizeof(struct sj_blob) + text.size);
}

static int check_pointer(const struct sj_segment *segment, uint64_t record,
                         const struct sj_field *field)
{
    uint64_t at = *(const uint64_t *)(uintptr_t)(record + field->offset);
    if (at == 0 || sj_segment_spans(segment, at, 1))
        return SJ_OK;
    return sj_segment_damaged(segment, record + field->offset, "a pointer into the segment");
}

int sj_record_visit_blocks(const struct sj_segment *segment, uint64_t head, sj_heap_visit *visit,
                           void *context)
{
    const struct sj_schema *schema;
    uint64_t record = head + SJ_RECORD_HEAD;
    int error = sj_record_look(segment, record, NULL, &schema);
    if (error == SJ_ENOTFOUND)
        return sj_segment_damaged(segment, head, "a record");
    if (error == SJ_OK && visit != NULL)
        error = visit(context, head, SJ_RECORD_HEAD + schema->bytes);
    for (uint32_t i = 0; error == SJ_OK && i < schema->fields; i++) {
        const struct sj_field *field = &schema->field[i];
        if (field->code == SJ_FIELD_STR || field->code == SJ_FIELD_BYTES)
            error = visit_text(segment, record, field, visit, context);
        else if (field->code == SJ_FIELD_PTR)
            error = check_pointer(segment, record, field);
        else if (field->code == SJ_FIELD_BOOL)
            for (uint32_t j = 0; j < field->count && error == SJ_OK; j++)
                if (*(const uint8_t *)(uintptr_t)(record + field->offset + j) > 1)
                    error = sj_segment_damaged(segment, record + field->offset + j, "a bool");
    }
    return error;
}

/* What a pointer leads to, unless that was freed, or is nothing that a reference can lead to. */
static int visit_target(struct sj_segment *segment, uint64_t pointer, sj_reference_visit *visit,
                        void *context)
{
    struct sj_structure_info info;
    uint64_t head = sj_pointer_head(segment, pointer);
    if (head == 0)
        return SJ_OK;
    int error = sj_structure_look(segment, head, 0, &info);
    if (error != SJ_OK || !info.shared)
        return error == SJ_ENOTFOUND ? SJ_OK : error;
    return visit(context, head, info.serial);
}

int sj_record_references(struct sj_segment *segment, uint64_t head, sj_reference_visit *visit,
                         void *context)
{
    const struct sj_schema *schema;
    uint64_t record = head + SJ_RECORD_HEAD;
    int error = sj_record_look(segment, record, NULL, &schema);
    if (error == SJ_ENOTFOUND)
        return sj_segment_damaged(segment, head, "a record");
    for (uint32_t i = 0; error == SJ_OK && i < schema->fields; i++) {
        const struct sj_field *field = &schema->field[i];
        if (field->code == SJ_FIELD_PTR)
            error = visit_target(segment, *(const uint64_t *)(uintptr_t)(record + field->offset),
                                 visit, context);
    }
    return error;
}
