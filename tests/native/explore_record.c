// SPDX-License-Identifier: Apache-2.0
/*
 * explore_record.c: a world of records in a linked list, which are written, freed and collected.
 *
 *   root "first" ─→ record ─ next ─→ record ─ next ─→ … ─→ 0
 *
 *   version[0]           how many records can be reached from the root
 *   version[4 i + 1 …]   number, text, parts of the i-th of them
 *
 * The model's `items` are the blocks of what has been cut off and is not collected yet.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/roots.h"
#include "structures/check.h"
#include "structures/collect.h"
#include "structures/record.h"

#define NAME  "first"
#define NODES 40
#define PARTS 4

enum part { NUMBER, TEXT, SOME };

struct node {
    uint64_t number;
    uint64_t text;
    uint64_t next;
    uint32_t parts[PARTS];
};

static const struct sj_schema *node_schema(void)
{
    static const char text[] = "node"
                               "number"
                               "text"
                               "next"
                               "parts";
    static struct {
        struct sj_schema head;
        struct sj_field field[4];
        char text[24];
    } schema = {{SJ_KIND_RECORD_TYPE, 1, 4, 4, 0, sizeof(struct node), sizeof text - 1},
                {{offsetof(struct node, number), 1, 4, SJ_FIELD_U64, 0, 6, 0},
                 {offsetof(struct node, text), 1, 10, SJ_FIELD_BYTES, 0, 4, 0},
                 {offsetof(struct node, next), 1, 14, SJ_FIELD_PTR, 0, 4, 0},
                 {offsetof(struct node, parts), PARTS, 18, SJ_FIELD_U32, 1, 5, 0}},
                {0}};
    memcpy(schema.text, text, sizeof text - 1);
    REQUIRE(sj_schema_is_valid(&schema.head, sj_schema_size(&schema.head)));
    return &schema.head;
}

/* ------------------------------------------------------------------ contents */

static uint8_t *part_of(struct model *model, uint32_t number, enum part part)
{
    REQUIRE(number < NODES);
    return &model->version[4 * number + 1 + (uint32_t)part];
}

static struct sj_value text_of(uint8_t version)
{
    static const uint8_t sizes[] = {0, 20, 5, 90};
    static uint8_t bytes[90];
    memset(bytes, version, sizeof bytes);
    return (struct sj_value){.bytes = bytes, .size = sizes[version % 4]};
}

static uint64_t digest_node(uint32_t place, uint64_t number, const struct sj_value *text,
                            const uint32_t *parts)
{
    uint64_t sum = trace_mix(place + 1, number);
    sum = trace_mix(sum + text->size, text->size == 0 ? 0 : text->bytes[text->size - 1]);
    for (uint32_t i = 0; i < PARTS; i++)
        sum = trace_mix(sum, parts[i]);
    return sum;
}

static void model_digest(struct model *model)
{
    model->digest = trace_mix(model->items, 0x4001);
    for (uint32_t i = 0; i < model->version[0]; i++) {
        uint32_t some = *part_of(model, i, SOME), parts[PARTS] = {0, some, some, 0};
        struct sj_value text = text_of(*part_of(model, i, TEXT));
        model->digest += digest_node(i, *part_of(model, i, NUMBER), &text, parts);
    }
}

static struct node *first_node(struct process *process)
{
    struct sj_root *root;
    int error = sj_root_find(&process->segment, NAME, strlen(NAME), &root);
    return error == SJ_OK ? (struct node *)(uintptr_t)(root->pointer + SJ_RECORD_HEAD) : NULL;
}

static int examine(struct process *process, uint64_t *digest)
{
    struct sj_check_report report;
    int error = sj_check(&process->segment, &report);
    if (error != SJ_OK)
        return error;
    *digest = trace_mix(report.census.leaked_blocks, 0x4001);
    uint64_t at = (uint64_t)(uintptr_t)first_node(process);
    for (uint32_t place = 0; at != 0; place++) {
        const struct node *node = (const struct node *)(uintptr_t)at;
        struct sj_value text;
        error = place < NODES ? sj_record_look(&process->segment, at, NULL, NULL) : SJ_ECORRUPT;
        if (error == SJ_OK)
            error = sj_record_text(&process->segment, at, offsetof(struct node, text), &text);
        if (error != SJ_OK)
            return sj_error(SJ_ECORRUPT, "record %u is none", place);
        *digest += digest_node(place, node->number, &text, node->parts);
        at = node->next;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ changes */

static struct node *node_at(struct process *process, uint32_t place)
{
    struct node *node = first_node(process);
    for (; place > 0; place--)
        node = (struct node *)(uintptr_t)node->next;
    REQUIRE(node != NULL);
    return node;
}

static void write_bytes(struct process *process, const struct node *node, size_t offset,
                        const void *from, uint32_t bytes)
{
    REQUIRE(sj_record_write(&process->segment, (uint64_t)(uintptr_t)node, (uint32_t)offset, from,
                            bytes) == SJ_OK);
}

static void write_number(struct process *process, struct model *model, uint32_t place)
{
    uint64_t number = ++*part_of(model, place, NUMBER);
    write_bytes(process, node_at(process, place), offsetof(struct node, number), &number, 8);
    model_digest(model);
}

/* The middle of an array: two words, neither of them whole. */
static void write_parts(struct process *process, struct model *model, uint32_t place)
{
    uint8_t version = ++*part_of(model, place, SOME);
    const uint32_t parts[2] = {version, version};
    write_bytes(process, node_at(process, place), offsetof(struct node, parts[1]), parts,
                sizeof parts);
    model_digest(model);
}

static void write_text(struct process *process, struct model *model, uint32_t place)
{
    struct sj_value text = text_of(++*part_of(model, place, TEXT));
    REQUIRE(sj_record_set_text(&process->segment, (uint64_t)(uintptr_t)node_at(process, place),
                               offsetof(struct node, text), &text) == SJ_OK);
    model_digest(model);
}

/* A new one before the first, in a transaction: its root leads to it. */
static void prepend(struct process *process, struct model *model)
{
    struct sj_segment *segment = &process->segment;
    uint64_t next = (uint64_t)(uintptr_t)first_node(process), schema = 0, record;
    uint8_t version = (uint8_t)(model->version[0] * 7 + 1);
    struct node node = {.number = version, .next = next};
    struct sj_value text = text_of(version);
    REQUIRE(sj_tx_begin(segment) == SJ_OK);
    REQUIRE(sj_record_new(segment, node_schema(), &schema, &node, &text, &record) == SJ_OK);
    REQUIRE(sj_record_root_set(segment, NAME, strlen(NAME), record) == SJ_OK);
    REQUIRE(sj_tx_commit(segment) == SJ_OK);
    REQUIRE(model->version[0] < NODES - 1);
    memmove(model->version + 5, model->version + 1, 4u * model->version[0]);
    model->version[0]++;
    *part_of(model, 0, NUMBER) = *part_of(model, 0, TEXT) = version;
    *part_of(model, 0, SOME) = 0;
    model_digest(model);
}

/* The second one goes, and is freed. */
static void unlink_second(struct process *process, struct model *model)
{
    if (model->version[0] < 2)
        return;
    const struct node *gone = node_at(process, 1);
    uint64_t next = gone->next;
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
    write_bytes(process, first_node(process), offsetof(struct node, next), &next, 8);
    REQUIRE(sj_record_free(&process->segment, (uint64_t)(uintptr_t)gone) == SJ_OK);
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
    model->version[0]--;
    memmove(model->version + 5, model->version + 9, 4u * model->version[0]);
    model_digest(model);
}

/* All but the first two are lost, until they are collected. */
static void cut_off(struct process *process, struct model *model)
{
    uint64_t nothing = 0;
    if (model->version[0] < 3)
        return;
    write_bytes(process, node_at(process, 1), offsetof(struct node, next), &nothing, 8);
    for (uint32_t i = 2; i < model->version[0]; i++)
        model->items += 1 + (text_of(*part_of(model, i, TEXT)).size != 0);
    model->version[0] = 2;
    model_digest(model);
}

static void collect(struct process *process, struct model *model)
{
    struct sj_census_report report;
    REQUIRE(sj_collect(&process->segment, &(struct sj_collect_options){0}, &report) == SJ_OK);
    model->items = 0;
    model_digest(model);
}

/* ------------------------------------------------------------------ operations */

static void number(struct process *process, struct model *model)
{
    write_number(process, model, 0);
}

static void parts(struct process *process, struct model *model)
{
    write_parts(process, model, 0);
}

static void text(struct process *process, struct model *model)
{
    write_text(process, model, model->version[0] - 1u);
}

static void some_changes(struct process *process, struct model *model)
{
    write_parts(process, model, 0);
    write_text(process, model, 0);
    prepend(process, model);
    write_text(process, model, 0);
    unlink_second(process, model);
    write_parts(process, model, 0);
    write_number(process, model, model->version[0] - 1u);
}

static void transaction(struct process *process, struct model *model)
{
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
    some_changes(process, model);
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

static void aborted(struct process *process, struct model *model)
{
    static struct model saved;
    saved = *model;
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
    some_changes(process, model);
    sj_tx_abort(&process->segment);
    *model = saved;
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

static const struct operation operations[] = {
    {"number", number, false},
    {"parts", parts, false},
    {"text", text, false},
    {"prepend", prepend, false},
    {"unlink", unlink_second, false},
    {"cut-off", cut_off, false},
    {"collect", collect, false},
    {"transaction", transaction, true},
    {"aborted", aborted, false},
    {"reopen", reopen, false},
};

static void seed(struct process *process, struct model *model)
{
    for (uint32_t i = 0; i < process->world->items; i++)
        prepend(process, model);
    model_digest(model);
}

uint32_t record_worlds(struct world *worlds, uint32_t count)
{
    struct world *world = &worlds[count++];
    *world = (struct world){.items = 6,
                            .operation = operations,
                            .operations = sizeof operations / sizeof operations[0],
                            .seed = seed,
                            .examine = examine};
    snprintf(world->name, sizeof world->name, "records");
    return count;
}
