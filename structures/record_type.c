// SPDX-License-Identifier: Apache-2.0
/*
 * record_type.c: records as structures (structure.h), and the chain of their types as another one,
 * which only its root leads to.
 *
 * A record is always shared: pointers may lead to it, and nothing counts them. So dropping its name
 * frees nothing, and sj_collect() frees it when nothing leads to it.
 */
#include "structures/record.h"
#include "structures/structure.h"

static int create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    (void)codecs, (void)head;
    return sj_error(SJ_ETYPE, "'%s': a record is made with its type alone (sj_record_new)",
                    segment->name);
}

static int look_record(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    const struct sj_record *record;
    int error = sj_record_look(segment, head + SJ_RECORD_HEAD, &record, NULL);
    if (error != SJ_OK)
        return error;
    *info = (struct sj_structure_info){
        .kind = SJ_KIND_RECORD, .shared = true, .serial = record->serial};
    return SJ_OK;
}

static int check_record(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit,
                        void *context)
{
    return sj_record_visit_blocks(segment, head, visit, context);
}

static int no_values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit,
                     void *context)
{
    (void)segment, (void)head, (void)visit, (void)context;
    return SJ_OK;
}

static int keep(struct sj_segment *segment, uint64_t head)
{
    return sj_error(SJ_ETYPE, "'%s': the types of records, at 0x%llx, stay", segment->name,
                    (unsigned long long)head);
}

static int look_schemas(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    if (sj_schema_at(segment, head) == NULL)
        return sj_segment_damaged(segment, head, "a type of records");
    *info = (struct sj_structure_info){.kind = SJ_KIND_RECORD_TYPE};
    return SJ_OK;
}

static int check_schemas(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit,
                         void *context)
{
    return sj_schema_check(segment, head, visit, context);
}

const struct sj_structure_type sj_record_type = {
    .kind = SJ_KIND_RECORD,
    .create = create,
    .destroy = sj_record_destroy,
    .look = look_record,
    .check = check_record,
    .values = no_values,
    .references = sj_record_references,
};

const struct sj_structure_type sj_schema_type = {
    .kind = SJ_KIND_RECORD_TYPE,
    .create = create,
    .destroy = keep,
    .look = look_schemas,
    .check = check_schemas,
    .values = no_values,
};
