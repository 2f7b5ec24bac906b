// SPDX-License-Identifier: Apache-2.0
/*
 * explore_sequence.c: the worlds of Deque, and of long lists: their seeds, operations, contents.
 *
 * There is one root, which the process keeps open from one operation to the next (a list has a hint
 * then). The model is the versions of its items from the first to the last; a value is
 * made of its version, and counts in the digest with its place.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/roots.h"
#include "structures/check.h"
#include "structures/structure.h"

#define NAME "sequence"
#define BULK 90 /* values that come at once */

/* ------------------------------------------------------------------ values, contents */

struct value_buffer {
    struct sj_item item;
    uint8_t bytes[32];
};

static void make_value(const struct world *world, uint8_t version, struct value_buffer *value)
{
    static const uint8_t sizes[] = {3, 20, 7, 30, 0};
    value->item =
        (struct sj_item){.value = {.word = trace_mix(version, 0x5e9), .bytes = value->bytes}};
    if (world->kinds.value == SJ_ITEM_BYTES) {
        value->item.value.size = sizes[version % 5];
        memset(value->bytes, version, value->item.value.size);
    }
}

static uint64_t digest_value(const struct world *world, uint64_t place,
                             const struct sj_value *value)
{
    uint64_t sum = trace_mix(place, 0x2001), words[4] = {0};
    if (world->kinds.value == SJ_ITEM_WORD)
        return trace_mix(sum, value->word);
    memcpy(words, value->bytes, value->size < sizeof words ? value->size : sizeof words);
    for (uint32_t i = 0; i < 4; i++)
        sum = trace_mix(sum, words[i]);
    return trace_mix(sum, value->size);
}

static void model_digest(const struct world *world, struct model *model)
{
    struct value_buffer value;
    model->digest = 0;
    for (uint32_t i = 0; i < model->items; i++) {
        make_value(world, model->version[i], &value);
        model->digest += digest_value(world, i, &value.item.value);
    }
}

static int digest_deque(struct process *process, uint64_t head, uint64_t *digest)
{
    struct sj_deque deque;
    struct sj_deque_cursor cursor = {0};
    struct sj_value value[64];
    uint64_t place = 0;
    uint32_t got = 64;
    int error = sj_deque_open(&process->segment, head, &deque);
    while (error == SJ_OK && got == 64) {
        error = sj_deque_read(&deque, &cursor, false, 64, value, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            *digest += digest_value(process->world, place++, &value[i]);
    }
    return error;
}

static int digest_list(struct process *process, uint64_t head, uint64_t *digest)
{
    struct sj_list list;
    struct sj_item item[64];
    uint64_t place = 0;
    uint32_t got = 64;
    int error = sj_list_open(&process->segment, head, &list);
    while (error == SJ_OK && got == 64) {
        error = sj_list_read(&list, place, 64, item, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            *digest += digest_value(process->world, place++, &item[i].value);
    }
    return error;
}

static int examine(struct process *process, uint64_t *digest)
{
    struct sj_check_report report;
    struct sj_root *root;
    int error = sj_check(&process->segment, &report);
    if (error == SJ_OK && report.census.leaked_blocks != 0)
        error = sj_error(SJ_ECORRUPT, "%llu blocks are lost",
                         (unsigned long long)report.census.leaked_blocks);
    if (error == SJ_OK)
        error = sj_root_find(&process->segment, NAME, strlen(NAME), &root);
    *digest = 0;
    if (error == SJ_OK)
        error = root->type == SJ_KIND_DEQUE ? digest_deque(process, root->pointer, digest)
                                            : digest_list(process, root->pointer, digest);
    return error;
}

/* ------------------------------------------------------------------ either structure */

static bool is_deque(const struct process *process)
{
    return process->world->kind == SJ_KIND_DEQUE;
}

static struct sj_deque *deque_of(struct process *process)
{
    return &process->root[0].deque;
}

static struct sj_list *list_of(struct process *process)
{
    return &process->root[0].list;
}

static void open_root(struct process *process)
{
    struct sj_root *found;
    if (process->root[0].open)
        return;
    REQUIRE(sj_root_find(&process->segment, NAME, strlen(NAME), &found) == SJ_OK);
    if (is_deque(process))
        REQUIRE(sj_deque_open(&process->segment, found->pointer, deque_of(process)) == SJ_OK);
    else
        REQUIRE(sj_list_open(&process->segment, found->pointer, list_of(process)) == SJ_OK);
    process->root[0].open = true;
}

static void begin(struct process *process)
{
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
}

static void commit(struct process *process)
{
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

/* The next version that no neighbour is likely to have. */
static uint8_t fresh(const struct model *model, uint32_t at)
{
    return (uint8_t)(17 * model->items + 5 * at + (at < model->items ? model->version[at] : 0) + 1);
}

/* Inserts `count` values at a place at once, or one by one into the middle of a deque. */
static void insert(struct process *process, struct model *model, uint32_t at, uint32_t count)
{
    static struct value_buffer buffer[BULK];
    struct sj_item item[BULK];
    struct sj_value value[BULK];
    uint8_t version = fresh(model, at);
    REQUIRE(count <= BULK && model->items + count <= sizeof model->version);
    open_root(process);
    memmove(model->version + at + count, model->version + at, model->items - at);
    for (uint32_t i = 0; i < count; i++) {
        model->version[at + i] = (uint8_t)(version + i);
        make_value(process->world, (uint8_t)(version + i), &buffer[i]);
        item[i] = buffer[i].item;
        value[at == 0 ? count - 1 - i : i] = buffer[i].item.value; /* the outermost comes last */
    }
    if (!is_deque(process) && count == 1)
        REQUIRE(sj_list_insert(list_of(process), at, item) == SJ_OK);
    else if (!is_deque(process))
        REQUIRE(sj_list_replace(list_of(process), at, at, item, count) == SJ_OK);
    else if (at == 0 || at == model->items)
        REQUIRE(sj_deque_extend(deque_of(process), at == 0 ? SJ_LEFT : SJ_RIGHT, value, count) ==
                SJ_OK);
    else
        REQUIRE(count == 1 && sj_deque_insert(deque_of(process), at, value) == SJ_OK);
    model->items += count;
    model_digest(process->world, model);
}

static void delete(struct process *process, struct model *model, uint32_t at, uint32_t count)
{
    bool there = at + count <= model->items, at_end = at == 0 || at + count == model->items;
    int error;
    open_root(process);
    if (!is_deque(process) && count == 1)
        error = sj_list_delete(list_of(process), at);
    else if (!is_deque(process) && there)
        error = sj_list_replace(list_of(process), at, at + count, NULL, 0);
    else if (is_deque(process) && there && at_end)
        error = sj_deque_remove(deque_of(process), at == 0 ? SJ_LEFT : SJ_RIGHT, count);
    else if (is_deque(process) && count == 1)
        error = sj_deque_delete(deque_of(process), at);
    else
        return;
    REQUIRE(error == (there ? SJ_OK : SJ_ENOTFOUND));
    if (!there)
        return;
    memmove(model->version + at, model->version + at + count, model->items - at - count);
    model->items -= count;
    model_digest(process->world, model);
}

static void set(struct process *process, struct model *model, uint32_t at)
{
    struct value_buffer value;
    uint8_t version = fresh(model, at);
    make_value(process->world, version, &value);
    open_root(process);
    int error = is_deque(process) ? sj_deque_set(deque_of(process), at, &value.item.value)
                                  : sj_list_set(list_of(process), at, &value.item.value);
    REQUIRE(error == (at < model->items ? SJ_OK : SJ_ENOTFOUND));
    if (at < model->items)
        model->version[at] = version;
    model_digest(process->world, model);
}

static void reverse_model(struct model *model, uint32_t from, uint32_t to)
{
    for (; from + 1 < to; from++, to--) {
        uint8_t version = model->version[from];
        model->version[from] = model->version[to - 1];
        model->version[to - 1] = version;
    }
}

/* A list has its own slots in another order. */
static void reverse_all(struct process *process, struct model *model)
{
    static uint64_t slot[MODEL_KEYS];
    open_root(process);
    if (is_deque(process)) {
        REQUIRE(sj_deque_reverse(deque_of(process)) == SJ_OK);
    } else {
        REQUIRE(sj_list_slots(list_of(process), 0, model->items, slot) == SJ_OK);
        for (uint32_t i = 0; i < model->items / 2; i++) {
            uint64_t kept = slot[i];
            slot[i] = slot[model->items - 1 - i];
            slot[model->items - 1 - i] = kept;
        }
        REQUIRE(sj_list_reorder(list_of(process), slot, model->items) == SJ_OK);
    }
    reverse_model(model, 0, model->items);
    model_digest(process->world, model);
}

/* The first items of a deque move to its end; those of a list are replaced by as many. */
static void turn(struct process *process, struct model *model, uint32_t steps)
{
    open_root(process);
    if (model->items <= steps)
        return;
    if (!is_deque(process)) {
        begin(process);
        delete(process, model, 0, steps);
        insert(process, model, model->items, steps);
        commit(process);
        return;
    }
    REQUIRE(sj_deque_rotate(deque_of(process), SJ_RIGHT, steps) == SJ_OK);
    reverse_model(model, 0, steps);
    reverse_model(model, steps, model->items);
    reverse_model(model, 0, model->items);
    model_digest(process->world, model);
}

static void roll_back(struct process *process, struct model *model, const struct model *saved)
{
    sj_tx_abort(&process->segment);
    *model = *saved;
    process->root[0].open = false;
}

/* ------------------------------------------------------------------ operations */

static void push_left(struct process *process, struct model *model)
{
    insert(process, model, 0, 1);
}

static void push_right(struct process *process, struct model *model)
{
    insert(process, model, model->items, 1);
}

static void pop_left(struct process *process, struct model *model)
{
    delete(process, model, 0, 1);
}

static void pop_right(struct process *process, struct model *model)
{
    delete(process, model, model->items - (model->items > 0), 1);
}

static void insert_inside(struct process *process, struct model *model)
{
    insert(process, model, model->items / 3, 1);
}

static void delete_inside(struct process *process, struct model *model)
{
    delete(process, model, model->items - model->items / 4, 1);
}

static void set_inside(struct process *process, struct model *model)
{
    set(process, model, model->items / 2);
}

static void rotate(struct process *process, struct model *model)
{
    turn(process, model, 4);
}

static void some_changes(struct process *process, struct model *model)
{
    insert(process, model, model->items, 1);
    delete(process, model, 0, 1);
    insert(process, model, 0, 2);
    insert(process, model, model->items / 2, 1);
    delete(process, model, model->items / 2, 1);
    turn(process, model, 3);
    delete(process, model, model->items - 1, 1);
    insert(process, model, model->items, 2);
    set(process, model, model->items - 1);
}

static void transaction(struct process *process, struct model *model)
{
    begin(process);
    some_changes(process, model);
    commit(process);
}

static void aborted(struct process *process, struct model *model)
{
    static struct model saved;
    saved = *model;
    begin(process);
    some_changes(process, model);
    roll_back(process, model, &saved);
}

static void savepoints(struct process *process, struct model *model)
{
    static struct model saved;
    begin(process);
    insert(process, model, model->items, 1);
    saved = *model;
    begin(process);
    delete(process, model, model->items - 1, 1);
    insert(process, model, model->items, 2);
    delete(process, model, 0, 1);
    insert(process, model, 0, 1);
    roll_back(process, model, &saved);
    begin(process);
    delete(process, model, model->items - 1, 1);
    turn(process, model, 2);
    commit(process);
    insert(process, model, 0, 1);
    commit(process);
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

static void extend_right(struct process *process, struct model *model)
{
    insert(process, model, model->items, BULK);
}

static void extend_left(struct process *process, struct model *model)
{
    insert(process, model, 0, BULK);
}

static void delete_many(struct process *process, struct model *model)
{
    uint32_t count = model->items / 2;
    if (count > 0)
        delete(process, model, is_deque(process) ? 0 : model->items / 4, count);
}

static void clear(struct process *process, struct model *model)
{
    open_root(process);
    REQUIRE((is_deque(process) ? sj_deque_clear(deque_of(process))
                               : sj_list_clear(list_of(process))) == SJ_OK);
    model->items = 0;
    model_digest(process->world, model);
}

static const struct operation operations[] = {
    {"push-left", push_left, false},
    {"push-right", push_right, false},
    {"pop-left", pop_left, false},
    {"pop-right", pop_right, false},
    {"insert", insert_inside, false},
    {"delete", delete_inside, false},
    {"set", set_inside, false},
    {"rotate", rotate, false},
    {"transaction", transaction, false},
    {"aborted", aborted, false},
    {"savepoints", savepoints, false},
    {"reopen", reopen, false},
    {"extend-left", extend_left, true},
    {"extend-right", extend_right, true},
    {"delete-many", delete_many, true},
    {"reverse", reverse_all, true},
    {"clear", clear, true},
};

/* ------------------------------------------------------------------ seeds */

static void create(struct process *process)
{
    struct sj_segment *segment = &process->segment;
    uint8_t codec = process->world->kinds.value == SJ_ITEM_WORD ? SJ_CODEC_INT : SJ_CODEC_BYTES;
    uint16_t kind = (uint16_t)process->world->kind;
    uint64_t head;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_structure_create(segment, kind, (struct sj_codecs){SJ_CODEC_NONE, codec}, &head) ==
            SJ_OK);
    REQUIRE(sj_root_add(segment, NAME, strlen(NAME), kind, SJ_CODEC_NONE, codec, head) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
}

/* The first chunk of a deque is left with its first slot in use, the last one is full; a list's
 * nodes are full, or (lean) as empty as they can be. */
static void seed(struct process *process, struct model *model)
{
    const struct world *world = process->world;
    create(process);
    model_digest(world, model);
    while (model->items + BULK <= world->items)
        insert(process, model, model->items, BULK);
    while (model->items < world->items)
        insert(process, model, model->items, 1);
    while (world->lean && model->items > 200)
        delete(process, model, model->items / 2, 1);
}

uint32_t sequence_worlds(struct world *worlds, uint32_t count)
{
    static const struct {
        const char *name;
        enum sj_kind kind;
        uint32_t items;
        bool lean, large;
    } seeds[] = {
        {"deque-empty", SJ_KIND_DEQUE, 0, false, false},
        {"deque-one-chunk", SJ_KIND_DEQUE, 30, false, false},
        {"deque-full", SJ_KIND_DEQUE, 150, false, false},
        {"list-two-leaves", SJ_KIND_LIST, 1020, false, true},
        {"list-two-lean", SJ_KIND_LIST, 700, true, false},
    };
    static const char *const item_name[] = {"word", "bytes"};
    for (uint32_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        for (uint32_t kind = 0; kind < 2; kind++) {
            struct world *world = &worlds[count++];
            *world = (struct world){
                .kind = seeds[i].kind,
                .kinds = {SJ_ITEM_WORD, (enum sj_item_kind)kind},
                .items = seeds[i].items,
                .lean = seeds[i].lean,
                .large = seeds[i].large,
                .operation = operations,
                .operations = sizeof operations / sizeof operations[0],
                .seed = seed,
                .examine = examine,
            };
            snprintf(world->name, sizeof world->name, "%s-%s", seeds[i].name, item_name[kind]);
        }
    return count;
}
