// SPDX-License-Identifier: Apache-2.0
/*
 * explore_list.c: the worlds of lists, sorted or not: seeds, operations, contents.
 *
 * The model's version[i] is the number that item i is made of, model->items how many there are. A
 * list is so long that the next change splits a leaf, joins two, or takes another leaf's size.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/roots.h"
#include "structures/check.h"
#include "structures/list.h"

static const char root_name[] = "list";

struct item_buffer {
    struct sj_item item;
    uint8_t bytes[32];
};

static bool is_sorted(const struct world *world)
{
    return strncmp(world->name, "sorted", 6) == 0;
}

static void make_item(uint8_t number, struct item_buffer *buffer)
{
    struct sj_item *item = &buffer->item;
    memset(buffer, 0, sizeof *buffer);
    memset(buffer->bytes, number, sizeof buffer->bytes);
    item->key = (struct sj_key){.word = number, .bytes = buffer->bytes, .size = 12};
    item->value = (struct sj_value){
        .word = number, .bytes = buffer->bytes, .size = number % 3 == 0 ? 20 : number % 8};
}

static uint64_t digest_item(const struct world *world, uint64_t at, const struct sj_item *item)
{
    uint64_t found = 0;
    if (is_sorted(world))
        found = world->kinds.key == SJ_ITEM_BYTES ? item->key.bytes[0] + 256ull * item->key.size
                                                  : item->key.word;
    else if (world->kinds.value == SJ_ITEM_WORD)
        found = item->value.word;
    else
        found = (item->value.size != 0 ? item->value.bytes[0] : 0) + 256 * item->value.size;
    return trace_mix(at + 3000, found);
}

static void digest_model(const struct world *world, struct model *model)
{
    struct item_buffer buffer;
    model->digest = 1;
    for (uint32_t i = 0; i < model->items; i++) {
        make_item(model->version[i], &buffer);
        model->digest += digest_item(world, i, &buffer.item);
    }
}

static void model_replace(struct model *model, uint32_t from, uint32_t to, uint32_t count)
{
    REQUIRE(model->items - (to - from) + count <= MODEL_KEYS);
    memmove(model->version + from + count, model->version + to, model->items - to);
    model->items = model->items - (to - from) + count;
}

/* ------------------------------------------------------------------ changes */

static struct sj_list open_list(struct process *process)
{
    struct sj_root *root;
    struct sj_list list;
    struct sj_segment *segment = &process->segment;
    REQUIRE(sj_root_find(segment, root_name, strlen(root_name), &root) == SJ_OK);
    REQUIRE(sj_list_open(segment, root->pointer, &list) == SJ_OK);
    return list;
}

/* Where a sorted list has the number; else where it is wanted. */
static uint32_t place_of(const struct world *world, const struct model *model, uint8_t number,
                         uint32_t wanted)
{
    uint32_t at = 0;
    if (!is_sorted(world))
        return wanted < model->items ? wanted : model->items;
    while (at < model->items && model->version[at] <= number)
        at++;
    return at;
}

static void insert(struct process *process, struct model *model, uint8_t number, uint32_t wanted)
{
    struct item_buffer buffer;
    struct sj_list list = open_list(process);
    uint32_t at = place_of(process->world, model, number, wanted);
    make_item(number, &buffer);
    if (is_sorted(process->world))
        REQUIRE(sj_list_add(&list, &buffer.item.key) == SJ_OK);
    else
        REQUIRE(sj_list_insert(&list, at, &buffer.item) == SJ_OK);
    model_replace(model, at, at, 1);
    model->version[at] = number;
}

static void delete(struct process *process, struct model *model, uint32_t at)
{
    struct sj_list list = open_list(process);
    if (at >= model->items)
        return;
    REQUIRE(sj_list_delete(&list, at) == SJ_OK);
    model_replace(model, at, at + 1, 0);
}

/* [from, to) goes, and as many items come as numbers fit there. */
static void replace(struct process *process, struct model *model, uint32_t from, uint32_t to,
                    uint32_t count)
{
    static struct item_buffer buffer[600];
    static struct sj_item items[600];
    struct sj_list list = open_list(process);
    REQUIRE(count <= 600);
    from = from < model->items ? from : model->items;
    to = to < from ? from : to < model->items ? to : model->items;
    uint8_t number = from > 0 ? model->version[from - 1] : 0;
    for (uint32_t i = 0; i < count; i++) {
        make_item(number, &buffer[i]);
        items[i] = buffer[i].item;
    }
    REQUIRE(sj_list_replace(&list, from, to, items, count) == SJ_OK);
    model_replace(model, from, to, count);
    memset(model->version + from, number, count);
}

/* ------------------------------------------------------------------ operations */

static uint8_t next_number(const struct model *model)
{
    return (uint8_t)(model->items * 37 + model->version[0] + 1);
}

static void append(struct process *process, struct model *model)
{
    insert(process, model, is_sorted(process->world) ? 255 : next_number(model), MODEL_KEYS);
    digest_model(process->world, model);
}

static void insert_one(struct process *process, struct model *model)
{
    insert(process, model, next_number(model), model->items / 3);
    digest_model(process->world, model);
}

static void delete_one(struct process *process, struct model *model)
{
    delete(process, model, model->items / 3);
    digest_model(process->world, model);
}

static void pop(struct process *process, struct model *model)
{
    if (model->items > 0)
        delete(process, model, model->items - 1);
    digest_model(process->world, model);
}

static void set(struct process *process, struct model *model)
{
    struct item_buffer buffer;
    struct sj_list list = open_list(process);
    if (is_sorted(process->world) || model->items == 0)
        return;
    uint8_t number = (uint8_t)(model->version[0] + 1);
    make_item(number, &buffer);
    REQUIRE(sj_list_set(&list, 0, &buffer.item.value) == SJ_OK);
    model->version[0] = number;
    digest_model(process->world, model);
}

static void extend(struct process *process, struct model *model)
{
    if (model->items < 1500)
        replace(process, model, model->items, model->items, 520);
    digest_model(process->world, model);
}

static void shorten(struct process *process, struct model *model)
{
    replace(process, model, model->items / 4, model->items - model->items / 4, 3);
    digest_model(process->world, model);
}

static void reverse(struct process *process, struct model *model)
{
    struct sj_list list = open_list(process);
    if (is_sorted(process->world))
        return;
    REQUIRE(sj_list_reverse(&list) == SJ_OK);
    for (uint32_t i = 0; i < model->items / 2; i++) {
        uint8_t number = model->version[i];
        model->version[i] = model->version[model->items - 1 - i];
        model->version[model->items - 1 - i] = number;
    }
    digest_model(process->world, model);
}

static void transaction(struct process *process, struct model *model)
{
    static struct model saved;
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
    pop(process, model);
    append(process, model);
    insert_one(process, model);
    saved = *model;
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
    delete_one(process, model);
    pop(process, model);
    append(process, model);
    append(process, model);
    sj_tx_abort(&process->segment);
    *model = saved;
    delete_one(process, model);
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

static void clear(struct process *process, struct model *model)
{
    struct sj_list list = open_list(process);
    REQUIRE(sj_list_clear(&list) == SJ_OK);
    model->items = 0;
    digest_model(process->world, model);
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

static const struct operation operations[] = {
    {"append", append, false},     {"insert", insert_one, false},
    {"delete", delete_one, false}, {"pop", pop, false},
    {"set", set, false},           {"extend", extend, true},
    {"shorten", shorten, true},    {"reverse", reverse, true},
    {"clear", clear, false},       {"transaction", transaction, true},
    {"reopen", reopen, false},
};

/* ------------------------------------------------------------------ contents */

static int examine(struct process *process, uint64_t *digest)
{
    struct sj_check_report report;
    struct sj_segment *segment = &process->segment;
    struct sj_root *root;
    struct sj_list list;
    struct sj_item item;
    int error = sj_check(segment, &report);
    if (error == SJ_OK && report.census.leaked_blocks != 0)
        error = sj_error(SJ_ECORRUPT, "%llu blocks leaked",
                         (unsigned long long)report.census.leaked_blocks);
    if (error == SJ_OK)
        error = sj_root_find(segment, root_name, strlen(root_name), &root);
    if (error == SJ_OK)
        error = sj_list_open(segment, root->pointer, &list);
    *digest = 1;
    for (uint64_t i = 0; error == SJ_OK && i < sj_list_count(&list); i++) {
        error = sj_list_get(&list, i, &item);
        if (error == SJ_OK)
            *digest += digest_item(process->world, i, &item);
    }
    return error;
}

static void seed(struct process *process, struct model *model)
{
    const struct world *world = process->world;
    struct sj_segment *segment = &process->segment;
    struct sj_codecs codecs = {0, 0};
    uint64_t head;
    if (is_sorted(world))
        codecs.key = world->kinds.key == SJ_ITEM_WORD ? SJ_CODEC_INT : SJ_CODEC_BYTES;
    else
        codecs.value = world->kinds.value == SJ_ITEM_WORD ? SJ_CODEC_INT : SJ_CODEC_BYTES;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_list_create(segment, codecs, &head) == SJ_OK);
    REQUIRE(sj_root_add(segment, root_name, strlen(root_name), SJ_KIND_LIST, codecs.key,
                        codecs.value, head) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    for (uint32_t i = 0; i < world->items; i++)
        insert(process, model, (uint8_t)(i * 7), i % 3 == 0 ? i / 2 : MODEL_KEYS);
    /* Two leaves that together are nearly one. */
    for (uint32_t i = 0; world->lean && i < world->items / 2 - 3; i++)
        delete(process, model, i % 2 == 0 ? 0 : model->items - 1);
    digest_model(world, model);
}

uint32_t list_worlds(struct world *worlds, uint32_t count)
{
    static const struct {
        const char *name;
        uint32_t items;
        bool lean;
    } seeds[] = {
        {"empty", 0, false}, {"short", 6, false}, {"full", 510, false}, {"lean", 514, true}};
    static const char *const item_name[] = {"word", "bytes"};
    for (uint32_t kind = 0; kind < 4; kind++)
        for (uint32_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
            struct world *world = &worlds[count++];
            bool sorted = kind >= 2;
            enum sj_item_kind item = (enum sj_item_kind)(kind % 2);
            *world = (struct world){
                .kind = SJ_KIND_LIST,
                .kinds = {sorted ? item : SJ_ITEM_WORD, sorted ? SJ_ITEM_WORD : item},
                .items = seeds[i].items,
                .lean = seeds[i].lean,
                .large = seeds[i].items > 100,
                .operation = operations,
                .operations = sizeof operations / sizeof operations[0],
                .seed = seed,
                .examine = examine,
            };
            snprintf(world->name, sizeof world->name, "%s-%s-%s", sorted ? "sortedlist" : "list",
                     item_name[item], seeds[i].name);
        }
    return count;
}
