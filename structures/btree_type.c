// SPDX-License-Identifier: Apache-2.0
/*
 * btree_type.c: the B-tree as one of the structures (structure.h).
 */
#include "structures/btree.h"
#include "structures/structure.h"

#define BATCH 64

static int create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *at)
{
    struct sj_kinds kinds = {sj_codec_kind(codecs.key), sj_codec_kind(codecs.value)};
    struct sj_structure_head fresh = {.kind = SJ_KIND_BTREE,
                                      .key = sj_item_byte(codecs.key),
                                      .value = sj_item_byte(codecs.value)};
    int error = sj_structure_serial(&fresh.serial);
    if (error == SJ_OK)
        error = sj_btree_create(segment, kinds, at);
    if (error == SJ_OK)
        sj_copy((void *)(uintptr_t)*at, &fresh, sizeof fresh);
    return error;
}

static int destroy(struct sj_segment *segment, uint64_t head)
{
    struct sj_btree tree;
    int error = sj_btree_open(segment, head, &tree);
    return error == SJ_OK ? sj_btree_destroy(&tree) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_btree tree;
    int error = sj_btree_open(segment, head, &tree);
    if (error != SJ_OK)
        return error;
    const struct sj_structure_head *first = &tree.head->first;
    *info = (struct sj_structure_info){
        .kind = first->kind,
        .shared = (first->key & SJ_ITEM_SHARED) != 0,
        .codecs = {sj_item_byte_codec(first->key), sj_item_byte_codec(first->value)},
        .serial = first->serial,
        .count = sj_btree_count(&tree)};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_btree tree;
    int error = sj_btree_open(segment, head, &tree);
    return error == SJ_OK ? sj_btree_check(&tree, visit, context) : error;
}

static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    struct sj_btree tree;
    struct sj_btree_cursor cursor;
    struct sj_item items[BATCH];
    uint32_t got = 0;
    int error = sj_btree_open(segment, head, &tree);
    if (error == SJ_OK)
        error = sj_btree_first(&tree, &cursor);
    do {
        if (error == SJ_OK)
            error = sj_btree_read(&tree, &cursor, false, BATCH, items, &got);
        for (uint32_t i = 0; i < got && error == SJ_OK; i++)
            error = visit(context, &items[i].value);
    } while (error == SJ_OK && got == BATCH);
    return error;
}

const struct sj_structure_type sj_btree_type = {
    .kind = SJ_KIND_BTREE,
    .create = create,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
