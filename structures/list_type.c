// SPDX-License-Identifier: Apache-2.0
/*
 * list_type.c: lists, sorted or not, as structures (structure.h).
 */
#include "structures/list.h"
#include "structures/structure.h"

#define BATCH 64

static int destroy(struct sj_segment *segment, uint64_t head)
{
    struct sj_list list;
    int error = sj_list_open(segment, head, &list);
    return error == SJ_OK ? sj_list_destroy(&list) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_list list;
    int error = sj_list_open(segment, head, &list);
    if (error != SJ_OK)
        return error;
    const struct sj_structure_head *first = &list.head->first;
    *info = (struct sj_structure_info){
        .kind = first->kind,
        .shared = (first->key & SJ_ITEM_SHARED) != 0,
        .codecs = {sj_item_byte_codec(first->key), sj_item_byte_codec(first->value)},
        .serial = first->serial,
        .count = sj_list_count(&list)};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_list list;
    int error = sj_list_open(segment, head, &list);
    return error == SJ_OK ? sj_list_check(&list, visit, context) : error;
}

/* A sorted list has no values. */
static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    struct sj_list list;
    struct sj_item items[BATCH];
    uint32_t got = 0;
    uint64_t index = 0;
    int error = sj_list_open(segment, head, &list);
    if (error != SJ_OK || list.sorted)
        return error;
    do {
        error = sj_list_read(&list, index, BATCH, items, &got);
        for (uint32_t i = 0; i < got && error == SJ_OK; i++)
            error = visit(context, &items[i].value);
        index += got;
    } while (error == SJ_OK && got == BATCH);
    return error;
}

const struct sj_structure_type sj_list_type = {
    .kind = SJ_KIND_LIST,
    .create = sj_list_create,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
