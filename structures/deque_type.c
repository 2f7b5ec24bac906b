// SPDX-License-Identifier: Apache-2.0
/*
 * deque_type.c: the deque and the queue as two of the structures (structure.h). What limits them is
 * set after they are made (sj_deque_set_limit).
 */
#include "structures/deque.h"
#include "structures/structure.h"

#define BATCH 128

static int create(struct sj_segment *segment, enum sj_kind kind, struct sj_codecs codecs,
                  uint64_t *head)
{
    struct sj_deque_spec spec = {kind, sj_item_byte(codecs.value), SJ_DEQUE_UNLIMITED};
    return sj_deque_create(segment, &spec, head);
}

static int create_deque(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    return create(segment, SJ_KIND_DEQUE, codecs, head);
}

static int create_queue(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    return create(segment, SJ_KIND_QUEUE, codecs, head);
}

static int destroy(struct sj_segment *segment, uint64_t head)
{
    struct sj_deque deque;
    int error = sj_deque_open(segment, head, &deque);
    return error == SJ_OK ? sj_deque_destroy(&deque) : error;
}

static int look(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info)
{
    struct sj_deque deque;
    int error = sj_deque_open(segment, head, &deque);
    if (error != SJ_OK)
        return error;
    const struct sj_structure_head *first = (const void *)deque.head;
    *info = (struct sj_structure_info){.kind = first->kind,
                                       .shared = (first->key & SJ_ITEM_SHARED) != 0,
                                       .codecs = {SJ_CODEC_NONE, sj_item_byte_codec(first->value)},
                                       .serial = first->serial,
                                       .count = sj_deque_count(&deque)};
    return SJ_OK;
}

static int check(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context)
{
    struct sj_deque deque;
    int error = sj_deque_open(segment, head, &deque);
    return error == SJ_OK ? sj_deque_check(&deque, visit, context) : error;
}

static int values(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context)
{
    struct sj_deque deque;
    struct sj_value found[BATCH];
    struct sj_deque_cursor cursor = {0};
    uint32_t got = BATCH;
    int error = sj_deque_open(segment, head, &deque);
    while (error == SJ_OK && got == BATCH) {
        error = sj_deque_read(&deque, &cursor, false, BATCH, found, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            error = visit(context, &found[i]);
    }
    return error;
}

const struct sj_structure_type sj_deque_type = {
    .kind = SJ_KIND_DEQUE,
    .create = create_deque,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};

const struct sj_structure_type sj_queue_type = {
    .kind = SJ_KIND_QUEUE,
    .create = create_queue,
    .destroy = destroy,
    .look = look,
    .check = check,
    .values = values,
};
