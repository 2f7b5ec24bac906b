// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_type.c: the hash map as one of the structures (structure.h). Its serial is the lower half
 * of its seed.
 */
#include "structures/hashmap.h"
#include "structures/structure.h"

#define BATCH 128

static int create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *at)
{
    struct sj_kinds kinds = {sj_codec_kind(codecs.key), sj_codec_kind(codecs.value)};
    int error = sj_hashmap_create(segment, kinds, at);
    if (error == SJ_OK)
        sj_store((void *)(uintptr_t)*at, SJ_KIND_HASHMAP |
                                             (uint64_t)sj_item_byte(codecs.key) << 16 |
                                             (uint64_t)sj_item_byte(codecs.value) << 24);
    return error;
}

static int destroy(struct sj_segment *segment, uint64_t head)
{
    struct sj_hashmap map;
    int error = sj_hashmap_open(segment, head, &map);
    return error == SJ_OK ? sj_hashmap_destroy(&map) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_hashmap map;
    int error = sj_hashmap_open(segment, head, &map);
    if (error != SJ_OK)
        return error;
    const struct sj_structure_head *first = (const void *)map.head;
    *info = (struct sj_structure_info){
        .kind = first->kind,
        .shared = (first->key & SJ_ITEM_SHARED) != 0,
        .codecs = {sj_item_byte_codec(first->key), sj_item_byte_codec(first->value)},
        .serial = (uint32_t)map.head->seed,
        .count = sj_hashmap_count(&map)};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_hashmap map;
    int error = sj_hashmap_open(segment, head, &map);
    return error == SJ_OK ? sj_hashmap_check(&map, visit, context) : error;
}

static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    struct sj_hashmap map;
    struct sj_item items[BATCH];
    uint64_t position = 0;
    int error = sj_hashmap_open(segment, head, &map);
    while (error == SJ_OK && position != UINT64_MAX) {
        uint32_t got;
        error = sj_hashmap_read(&map, &position, BATCH, items, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            error = visit(context, &items[i].value);
    }
    return error;
}

const struct sj_structure_type sj_hashmap_type = {
    .kind = SJ_KIND_HASHMAP,
    .create = create,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
