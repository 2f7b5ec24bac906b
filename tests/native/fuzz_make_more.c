// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_make_more.c: small stores of sets, deques, queues and lists; of structures without a name
 * that references lead to, some of which nothing leads to any more; and of a writer that died.
 */
#include "fuzz.h"
#include "structures/deque.h"
#include "structures/list.h"
#include "structures/queue.h"
#include "structures/reference_layout.h"
#include "structures/structure.h"

static uint8_t key_buffer[FUZZ_KEY_BYTES], value_buffer[FUZZ_VALUE_BYTES];

static struct fuzz_store like(uint16_t type, uint8_t key, uint8_t value, uint32_t keys)
{
    return (struct fuzz_store){.type = type,
                               .kinds = {sj_codec_kind(key), sj_codec_kind(value)},
                               .codecs = {key, value},
                               .keys = keys};
}

/* ------------------------------------------------------------------ sets */

static void make_set(struct fuzz_image *image, struct sj_segment *segment, uint16_t type,
                     uint8_t codec, uint32_t items)
{
    struct fuzz_store store = like(type, codec, SJ_CODEC_NONE, items + items / 4 + 4);
    struct sj_value nothing = {.word = 0};
    struct sj_btree tree;
    struct sj_hashmap map;
    uint64_t head;
    bool existed;
    fuzz_add_root(image, segment, &store, &head);
    if (type == SJ_KIND_BTREE)
        fuzz_ok(sj_btree_open(segment, head, &tree), "a set");
    else
        fuzz_ok(sj_hashmap_open(segment, head, &map), "a set");
    for (uint32_t i = 0; i < items; i++) {
        struct sj_key key = fuzz_key(store.kinds, fuzz_below(&fuzz_making, store.keys), key_buffer);
        fuzz_ok(type == SJ_KIND_BTREE ? sj_btree_put(&tree, &key, &nothing, SJ_PUT_NEW, &existed)
                                      : sj_hashmap_put(&map, &key, &nothing, SJ_PUT_NEW, &existed),
                "a set");
    }
}

/* ------------------------------------------------------------------ deques, queues */

static void push(struct sj_deque *deque, enum sj_side side, uint64_t number)
{
    struct sj_value value = fuzz_value(deque->kinds, number, value_buffer);
    fuzz_ok(sj_deque_extend(deque, side, &value, 1), "a deque");
}

static struct sj_deque make_deque(struct fuzz_image *image, struct sj_segment *segment,
                                  uint16_t type, uint8_t codec, uint32_t items)
{
    struct fuzz_store store = like(type, SJ_CODEC_NONE, codec, items);
    struct sj_deque deque;
    uint64_t head;
    fuzz_add_root(image, segment, &store, &head);
    fuzz_ok(sj_deque_open(segment, head, &deque), "a deque");
    if (type == SJ_KIND_QUEUE)
        fuzz_ok(sj_deque_set_limit(&deque, items + 20), "a limit");
    for (uint32_t i = 0; i < items; i++)
        push(&deque, i % 3 == 0 ? SJ_LEFT : SJ_RIGHT, i);
    if (items > 10)
        fuzz_ok(sj_deque_remove(&deque, SJ_LEFT, items / 10), "a deque");
    return deque;
}

/* ------------------------------------------------------------------ lists */

static struct sj_item list_item(const struct sj_list *list, uint64_t number)
{
    struct sj_item item = {.key = {.word = 0}};
    if (list->sorted)
        item.key = fuzz_key(list->kinds, number, key_buffer);
    else
        item.value = fuzz_value(list->kinds, number, value_buffer);
    return item;
}

static struct sj_list make_list(struct fuzz_image *image, struct sj_segment *segment,
                                struct sj_codecs codecs, uint32_t items)
{
    struct fuzz_store store = like(SJ_KIND_LIST, codecs.key, codecs.value, items);
    struct sj_list list;
    uint64_t head;
    fuzz_add_root(image, segment, &store, &head);
    fuzz_ok(sj_list_open(segment, head, &list), "a list");
    for (uint32_t i = 0; i < items; i++) {
        struct sj_item item = list_item(&list, fuzz_below(&fuzz_making, items));
        if (list.sorted)
            fuzz_ok(sj_list_add(&list, &item.key), "a sorted list");
        else
            fuzz_ok(i % 16 == 15 ? sj_list_insert(&list, fuzz_below(&fuzz_making, i), &item)
                                 : sj_list_append(&list, &item),
                    "a list");
    }
    for (uint32_t i = 0; i < items / 10; i++)
        fuzz_ok(sj_list_delete(&list, fuzz_below(&fuzz_making, sj_list_count(&list))), "a list");
    return list;
}

/* ------------------------------------------------------------------ references */

struct sj_value fuzz_any(uint64_t head, uint32_t serial, uint8_t *buffer)
{
    memcpy(buffer, "\x92\xa2xy\xc7", 5);
    buffer[5] = SJ_REFERENCE_BYTES;
    buffer[6] = SJ_REFERENCE_CODE;
    memcpy(buffer + 7, &head, 8);
    memcpy(buffer + 15, &serial, 4);
    return (struct sj_value){.bytes = buffer, .size = FUZZ_ANY_BYTES};
}

static uint32_t serial_of(struct sj_segment *segment, uint64_t head)
{
    struct sj_structure_info info;
    fuzz_ok(sj_structure_look(segment, head, 0, &info), "a structure");
    return info.serial;
}

/* Adds a value to a structure of whatever kind, under the key `number` when it has keys. */
static void add_value(struct sj_segment *segment, uint64_t head, uint64_t number,
                      const struct sj_value *value)
{
    struct sj_structure_info info;
    struct sj_key key = {.word = number};
    struct sj_item item = {.value = *value};
    struct sj_btree tree;
    struct sj_hashmap map;
    struct sj_deque deque;
    struct sj_list list;
    bool existed;
    fuzz_ok(sj_structure_look(segment, head, 0, &info), "a structure");
    if (info.kind == SJ_KIND_BTREE) {
        fuzz_ok(sj_btree_open(segment, head, &tree), "a reference");
        fuzz_ok(sj_btree_put(&tree, &key, value, SJ_PUT_ALWAYS, &existed), "a reference");
    } else if (info.kind == SJ_KIND_HASHMAP) {
        fuzz_ok(sj_hashmap_open(segment, head, &map), "a reference");
        fuzz_ok(sj_hashmap_put(&map, &key, value, SJ_PUT_ALWAYS, &existed), "a reference");
    } else if (info.kind == SJ_KIND_LIST) {
        fuzz_ok(sj_list_open(segment, head, &list), "a reference");
        fuzz_ok(sj_list_append(&list, &item), "a reference");
    } else {
        fuzz_ok(sj_deque_open(segment, head, &deque), "a reference");
        fuzz_ok(sj_deque_extend(&deque, SJ_RIGHT, value, 1), "a reference");
    }
}

static uint64_t make_unnamed(struct sj_segment *segment, uint16_t type)
{
    bool keyed = type == SJ_KIND_BTREE || type == SJ_KIND_HASHMAP;
    struct sj_codecs codecs = {keyed ? SJ_CODEC_INT : SJ_CODEC_NONE, SJ_CODEC_ANY};
    uint64_t head;
    fuzz_ok(sj_tx_op_begin(segment), "a structure");
    fuzz_ok(sj_structure_create(segment, type, codecs, &head), "a structure");
    sj_tx_ready(segment);
    fuzz_ok(sj_tx_op_commit(segment), "a structure");
    return head;
}

/* A root leads to the first ones, those to others, in circles too; the last ones are lost. */
static void make_references(struct fuzz_image *image, struct sj_segment *segment)
{
    static const uint16_t types[] = {SJ_KIND_HASHMAP, SJ_KIND_LIST, SJ_KIND_DEQUE, SJ_KIND_BTREE,
                                     SJ_KIND_QUEUE};
    struct fuzz_store store = like(SJ_KIND_HASHMAP, SJ_CODEC_INT, SJ_CODEC_ANY, 30);
    uint64_t head[21];
    uint8_t buffer[FUZZ_ANY_BYTES];
    fuzz_add_root(image, segment, &store, &head[0]);
    for (uint32_t i = 1; i < 21; i++)
        head[i] = make_unnamed(segment, types[i % 5]);
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t from = i < 16 ? i / 4 : (uint32_t)fuzz_below(&fuzz_making, 16);
        uint32_t to = i < 15 ? i + 1 : (uint32_t)fuzz_below(&fuzz_making, 16);
        struct sj_value value = fuzz_any(head[to], serial_of(segment, head[to]), buffer);
        fuzz_ok(sj_structure_share_all(segment, &value), "a reference");
        add_value(segment, head[from], 5 * i, &value);
    }
    for (uint32_t i = 0; i < 12; i++) {
        struct sj_value value = {.bytes = (const uint8_t *)"\xa9some text", .size = 10};
        add_value(segment, head[i % 21], 5 * i + 1, &value);
    }
}

/* ------------------------------------------------------------------ a writer that dies */

static void make_half_done(struct fuzz_image *image, struct sj_segment *segment)
{
    struct sj_deque deque = make_deque(image, segment, SJ_KIND_DEQUE, SJ_CODEC_STR, 130);
    struct sj_list list =
        make_list(image, segment, (struct sj_codecs){SJ_CODEC_NONE, SJ_CODEC_INT}, 1200);
    fuzz_ok(sj_tx_begin(segment), "a transaction");
    for (uint32_t i = 0; i < 25; i++) {
        struct sj_item item = list_item(&list, i);
        push(&deque, i % 2 == 0 ? SJ_LEFT : SJ_RIGHT, i);
        fuzz_ok(sj_deque_remove(&deque, SJ_RIGHT, i % 3), "a deque");
        fuzz_ok(sj_list_insert(&list, fuzz_below(&fuzz_making, 1000), &item), "a list");
        fuzz_ok(sj_list_delete(&list, fuzz_below(&fuzz_making, 1000)), "a list");
    }
    fuzz_ok(sj_deque_rotate(&deque, SJ_LEFT, 20), "a deque");
}

void fuzz_make_more(struct fuzz_image *image, uint32_t number, struct sj_segment *segment)
{
    static const char *const names[] = {"sets, as trees and maps",
                                        "deques of words",
                                        "deques of cells",
                                        "queues, as deques",
                                        "lists",
                                        "sorted lists",
                                        "references",
                                        "half done sequences",
                                        "records",
                                        "arrays and columns"};
    const struct sj_codecs numbers = {SJ_CODEC_NONE, SJ_CODEC_INT};
    const struct sj_codecs texts = {SJ_CODEC_NONE, SJ_CODEC_STR};
    image->name = names[number - FUZZ_FIRST_OF_MORE];
    switch (number - FUZZ_FIRST_OF_MORE) {
    case 0:
        make_set(image, segment, SJ_KIND_HASHMAP, SJ_CODEC_STR, 60);
        make_set(image, segment, SJ_KIND_BTREE, SJ_CODEC_STR, 60);
        make_set(image, segment, SJ_KIND_HASHMAP, SJ_CODEC_INT, 30);
        make_set(image, segment, SJ_KIND_BTREE, SJ_CODEC_FLOAT, 30);
        return;
    case 1:
        make_deque(image, segment, SJ_KIND_DEQUE, SJ_CODEC_INT, 250);
        make_deque(image, segment, SJ_KIND_DEQUE, SJ_CODEC_FLOAT, 3);
        return;
    case 2:
        make_deque(image, segment, SJ_KIND_DEQUE, SJ_CODEC_BYTES, 150);
        return;
    case 3:
        make_deque(image, segment, SJ_KIND_QUEUE, SJ_CODEC_STR, 90);
        make_deque(image, segment, SJ_KIND_QUEUE, SJ_CODEC_INT, 0);
        return;
    case 4:
        make_list(image, segment, numbers, 1500);
        make_list(image, segment, texts, 100);
        return;
    case 5:
        make_list(image, segment, (struct sj_codecs){SJ_CODEC_INT, SJ_CODEC_NONE}, 700);
        make_list(image, segment, (struct sj_codecs){SJ_CODEC_STR, SJ_CODEC_NONE}, 60);
        return;
    case 6:
        make_references(image, segment);
        return;
    case 7:
        make_half_done(image, segment);
        return;
    case 8:
        fuzz_make_records(image, segment);
        return;
    default:
        fuzz_make_arrays(image, segment);
    }
}
