// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_sequence.c: stores of deques, queues and lists, with items of every kind, references to each
 * other among them; and of arrays and columns.
 */
#include "fuzz.h"
#include "persistence/roots.h"
#include "structures/array.h"
#include "structures/columns.h"
#include "structures/deque.h"
#include "structures/list.h"
#include "structures/reference_layout.h"
#include "structures/structure.h"

static uint8_t buffer[FUZZ_VALUE_BYTES];

static void ok(int error, const char *what)
{
    if (error != SJ_OK)
        fuzz_broken(what);
}

/* Makes a structure, with a root unless `named` is false. */
static uint64_t make(struct fuzz_image *image, struct sj_segment *segment, uint16_t kind,
                     struct sj_codecs codecs, bool named)
{
    uint64_t head;
    ok(sj_tx_op_begin(segment), "a sequence");
    ok(sj_structure_create(segment, kind, codecs, &head), "a sequence");
    if (named) {
        struct fuzz_store *store = &image->store[image->stores];
        int length = snprintf(store->name, sizeof store->name, "s%u", image->stores++);
        store->type = kind;
        ok(sj_root_add(segment, store->name, (size_t)length, kind, codecs.key, codecs.value, head),
           "a sequence");
    }
    sj_tx_ready(segment);
    ok(sj_tx_op_commit(segment), "a sequence");
    return head;
}

/* A value of a reference, as msgpack has it. */
static struct sj_value reference_to(struct sj_segment *segment, uint64_t head)
{
    struct sj_structure_info info;
    ok(sj_structure_look(segment, head, 0, &info), "a reference");
    ok(sj_structure_share(segment, head, info.serial), "a reference");
    const uint8_t begin[] = {0xc7, SJ_REFERENCE_BYTES, SJ_REFERENCE_CODE};
    memcpy(buffer, begin, sizeof begin);
    memcpy(buffer + 3, &head, sizeof head);
    memcpy(buffer + 11, &info.serial, sizeof info.serial);
    return (struct sj_value){.bytes = buffer, .size = 3 + SJ_REFERENCE_BYTES};
}

static void fill_deque(struct sj_segment *segment, uint64_t head, uint64_t items)
{
    struct sj_deque deque;
    ok(sj_deque_open(segment, head, &deque), "a deque");
    for (uint64_t i = 0; i < items; i++) {
        struct sj_value value = fuzz_value(deque.kinds, i, buffer);
        ok(sj_deque_extend(&deque, i % 3 == 0 ? SJ_LEFT : SJ_RIGHT, &value, 1), "a deque");
    }
    ok(sj_deque_remove(&deque, SJ_LEFT, items / 5), "a deque");
}

void fuzz_make_deques(struct fuzz_image *image, struct sj_segment *segment)
{
    struct sj_deque deque;
    uint64_t any = make(image, segment, SJ_KIND_DEQUE, (struct sj_codecs){0, SJ_CODEC_ANY}, true);
    uint64_t words = make(image, segment, SJ_KIND_DEQUE, (struct sj_codecs){0, SJ_CODEC_INT}, true);
    uint64_t queue =
        make(image, segment, SJ_KIND_QUEUE, (struct sj_codecs){0, SJ_CODEC_BYTES}, true);
    uint64_t nameless =
        make(image, segment, SJ_KIND_DEQUE, (struct sj_codecs){0, SJ_CODEC_STR}, false);
    make(image, segment, SJ_KIND_QUEUE, (struct sj_codecs){0, SJ_CODEC_FLOAT}, true);
    fill_deque(segment, any, 200);
    fill_deque(segment, words, 700);
    fill_deque(segment, queue, 300);
    fill_deque(segment, nameless, 90);
    ok(sj_deque_open(segment, any, &deque), "a deque");
    struct sj_value value = reference_to(segment, nameless);
    ok(sj_deque_extend(&deque, SJ_RIGHT, &value, 1), "a deque");
    value = reference_to(segment, any);
    ok(sj_deque_extend(&deque, SJ_LEFT, &value, 1), "a deque");
}

static void fill_list(struct sj_segment *segment, uint64_t head, uint64_t items)
{
    struct sj_list list;
    ok(sj_list_open(segment, head, &list), "a list");
    for (uint64_t i = 0; i < items; i++) {
        struct sj_item item = {.value = fuzz_value(list.kinds, i, buffer)};
        if (list.sorted) {
            struct sj_key key = fuzz_key(list.kinds, i * 7 % items, buffer);
            ok(sj_list_add(&list, &key), "a list");
        } else {
            ok(sj_list_insert(&list, i % 4 == 0 ? i / 2 : i, &item), "a list");
        }
    }
    for (uint64_t i = 0; i < items / 7; i++)
        ok(sj_list_delete(&list, i * 5 % (items - i)), "a list");
}

void fuzz_make_lists(struct fuzz_image *image, struct sj_segment *segment)
{
    struct sj_list list;
    uint64_t any = make(image, segment, SJ_KIND_LIST, (struct sj_codecs){0, SJ_CODEC_ANY}, true);
    uint64_t words = make(image, segment, SJ_KIND_LIST, (struct sj_codecs){0, SJ_CODEC_INT}, true);
    uint64_t sorted = make(image, segment, SJ_KIND_LIST, (struct sj_codecs){SJ_CODEC_STR, 0}, true);
    uint64_t numbers =
        make(image, segment, SJ_KIND_LIST, (struct sj_codecs){SJ_CODEC_INT, 0}, true);
    uint64_t nameless =
        make(image, segment, SJ_KIND_LIST, (struct sj_codecs){0, SJ_CODEC_STR}, false);
    make(image, segment, SJ_KIND_LIST, (struct sj_codecs){0, SJ_CODEC_FLOAT}, true);
    fill_list(segment, any, 300);
    fill_list(segment, words, 1900);
    fill_list(segment, sorted, 700);
    fill_list(segment, numbers, 600);
    fill_list(segment, nameless, 20);
    ok(sj_list_open(segment, any, &list), "a list");
    struct sj_item item = {.value = reference_to(segment, nameless)};
    ok(sj_list_append(&list, &item), "a list");
}

/* Gives what was made in an operation a root, and ends that. */
static void name_it(struct fuzz_image *image, struct sj_segment *segment, uint16_t kind,
                    uint64_t head)
{
    struct fuzz_store *store = &image->store[image->stores];
    int length = snprintf(store->name, sizeof store->name, "s%u", image->stores++);
    store->type = kind;
    ok(sj_root_add(segment, store->name, (size_t)length, kind, 0, 0, head), "an array");
    sj_tx_ready(segment);
    ok(sj_tx_op_commit(segment), "an array");
}

void fuzz_make_arrays(struct fuzz_image *image, struct sj_segment *segment)
{
    static const uint64_t shapes[][2] = {{20, 30}, {0, 3}, {300, 40}};
    static const struct sj_column_spec columns[] = {{"flag", "'<u2'", 2, 4, 5},
                                                    {"score", "'<f8'", 8, 5, 5}};
    uint64_t head;
    for (uint32_t i = 0; i < 3; i++) {
        struct sj_array_spec spec = {2, shapes[i], 8, "'<f8'", 5};
        ok(sj_tx_op_begin(segment), "an array");
        ok(sj_array_make(segment, &spec, &head), "an array");
        name_it(image, segment, SJ_KIND_ARRAY, head);
    }
    ok(sj_tx_op_begin(segment), "columns");
    ok(sj_columns_make(segment, 2, columns, 100, &head), "columns");
    name_it(image, segment, SJ_KIND_COLUMNS, head);
    struct sj_columns table;
    struct sj_column_source source[] = {{(const char *)buffer, 2}, {(const char *)buffer, 8}};
    ok(sj_columns_open(segment, head, &table), "columns");
    ok(sj_columns_append(&table, 300, source), "columns");
}
