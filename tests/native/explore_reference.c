// SPDX-License-Identifier: Apache-2.0
/*
 * explore_reference.c: a world of deques that refer to each other, and of the collector.
 *
 *   root ─→ deque 0: [label, reference] …      label: the number of the deque referred to
 *                        └─→ deque 1: [0, reference], [2, reference] …
 *
 * Deque 0 has a root, the others have no name. What nothing leads to any more stays until it is
 * collected: the model knows how many blocks these are.
 *
 *   version[NODE * n]     1: deque n is there; 2: and has had an item, so that it has a chunk
 *   version[NODE * n + 1] its items
 *   version[NODE * n + 2 …] their labels
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/roots.h"
#include "structures/check.h"
#include "structures/collect.h"
#include "structures/reference_layout.h"
#include "structures/structure.h"

#define NAME        "references"
#define NODES       32
#define ITEMS       48
#define NODE        (ITEMS + 2)
#define VALUE_BYTES (2 + 3 + SJ_REFERENCE_BYTES)

/* ------------------------------------------------------------------ the model */

static uint8_t *node_of(struct model *model, uint32_t number)
{
    REQUIRE(number < NODES);
    return &model->version[NODE * number];
}

static uint64_t digest_edge(uint32_t from, uint32_t place, uint32_t to)
{
    return trace_mix(from * 100 + place + 1, to + 1);
}

static uint64_t digest_node(uint32_t number)
{
    return trace_mix(number, 0x3001);
}

static uint64_t digest_lost(uint64_t blocks)
{
    return trace_mix(blocks, 0x3002);
}

static void reach(struct model *model, uint32_t number, bool *reached)
{
    const uint8_t *node = node_of(model, number);
    REQUIRE(node[0] != 0);
    reached[number] = true;
    for (uint32_t i = 0; i < node[1]; i++)
        if (!reached[node[2 + i]])
            reach(model, node[2 + i], reached);
}

/* Sums up what can be reached, and the blocks of the rest: heads, chunks, values. */
static void model_digest(struct model *model)
{
    bool reached[NODES] = {false};
    uint64_t lost = 0;
    reach(model, 0, reached);
    model->digest = 0;
    for (uint32_t number = 0; number < NODES; number++) {
        const uint8_t *node = node_of(model, number);
        if (!reached[number]) {
            lost += node[0] + node[1];
            continue;
        }
        model->digest += digest_node(number);
        for (uint32_t i = 0; i < node[1]; i++)
            model->digest += digest_edge(number, i, node[2 + i]);
    }
    model->digest += digest_lost(lost);
}

/* ------------------------------------------------------------------ reading */

struct found {
    uint32_t label;
    uint64_t head;
    uint32_t serial;
};

/* An item of a deque. SJ_ECORRUPT when it is not one of ours. */
static int read_item(struct sj_deque *deque, uint64_t place, struct found *found)
{
    struct sj_value value;
    int error = sj_deque_get(deque, place, &value);
    if (error != SJ_OK)
        return error;
    if (value.size != VALUE_BYTES)
        return sj_error(SJ_ECORRUPT, "a value that nobody has put there");
    found->label = value.bytes[1];
    memcpy(&found->head, value.bytes + 5, sizeof found->head);
    memcpy(&found->serial, value.bytes + 13, sizeof found->serial);
    struct sj_structure_info info;
    error = sj_structure_look(deque->segment, found->head, found->serial, &info);
    return error == SJ_OK && found->label < NODES
               ? SJ_OK
               : sj_error(SJ_ECORRUPT, "a reference to deque %u leads nowhere", found->label);
}

/* Where each deque is that can be reached, 0 for the others, and the digest of them. */
struct map {
    uint64_t head[NODES];
    uint64_t digest;
};

static int visit(struct process *process, struct map *map, uint32_t number, uint64_t head)
{
    struct sj_deque deque;
    map->head[number] = head;
    map->digest += digest_node(number);
    int error = sj_deque_open(&process->segment, head, &deque);
    for (uint32_t i = 0; error == SJ_OK && i < sj_deque_count(&deque); i++) {
        struct found found = {0};
        error = read_item(&deque, i, &found);
        if (error != SJ_OK)
            return error;
        map->digest += digest_edge(number, i, found.label);
        if (map->head[found.label] == 0)
            error = visit(process, map, found.label, found.head);
        else if (map->head[found.label] != found.head)
            return sj_error(SJ_ECORRUPT, "deque %u is in two places", found.label);
    }
    return error;
}

static int read_all(struct process *process, struct map *map)
{
    struct sj_root *root;
    *map = (struct map){0};
    int error = sj_root_find(&process->segment, NAME, strlen(NAME), &root);
    return error == SJ_OK ? visit(process, map, 0, root->pointer) : error;
}

static int examine(struct process *process, uint64_t *digest)
{
    struct sj_check_report report;
    struct map map;
    int error = sj_check(&process->segment, &report);
    if (error == SJ_OK)
        error = read_all(process, &map);
    *digest = error == SJ_OK ? map.digest + digest_lost(report.census.leaked_blocks) : 0;
    return error;
}

/* ------------------------------------------------------------------ changes */

static uint64_t head_of(struct process *process, uint32_t number)
{
    struct map map;
    REQUIRE(read_all(process, &map) == SJ_OK && map.head[number] != 0);
    return map.head[number];
}

static uint64_t create(struct process *process, struct model *model, uint32_t number, bool named)
{
    struct sj_segment *segment = &process->segment;
    const struct sj_codecs codecs = {SJ_CODEC_NONE, SJ_CODEC_ANY};
    uint64_t head;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    REQUIRE(sj_structure_create(segment, SJ_KIND_DEQUE, codecs, &head) == SJ_OK);
    if (named)
        REQUIRE(sj_root_add(segment, NAME, strlen(NAME), SJ_KIND_DEQUE, codecs.key, codecs.value,
                            head) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    node_of(model, number)[0] = 1;
    model_digest(model);
    return head;
}

/* Says that a deque is shared, and appends a reference to it to another one. */
static void link(struct process *process, struct model *model, uint32_t from, uint32_t to,
                 uint64_t target)
{
    struct sj_structure_info info;
    struct sj_deque deque;
    struct sj_value again;
    uint8_t bytes[VALUE_BYTES] = {0x92, (uint8_t)to, 0xc7, SJ_REFERENCE_BYTES, SJ_REFERENCE_CODE};
    const struct sj_value value = {.bytes = bytes, .size = sizeof bytes};
    uint8_t *node = node_of(model, from);
    REQUIRE(node[1] < ITEMS);
    REQUIRE(sj_structure_look(&process->segment, target, 0, &info) == SJ_OK);
    memcpy(bytes + 5, &target, sizeof target);
    memcpy(bytes + 13, &info.serial, sizeof info.serial);
    REQUIRE(sj_structure_share_all(&process->segment, &value) == SJ_OK);
    REQUIRE(sj_deque_open(&process->segment, head_of(process, from), &deque) == SJ_OK);
    REQUIRE(sj_deque_extend(&deque, SJ_RIGHT, &value, 1) == SJ_OK);
    REQUIRE(sj_deque_get(&deque, sj_deque_count(&deque) - 1, &again) == SJ_OK);
    REQUIRE(again.size == value.size && memcmp(again.bytes, bytes, sizeof bytes) == 0);
    node[0] = 2;
    node[2 + node[1]++] = (uint8_t)to;
    model_digest(model);
}

static void unlink_last(struct process *process, struct model *model, uint32_t from)
{
    struct sj_deque deque;
    uint8_t *node = node_of(model, from);
    if (node[1] == 0)
        return;
    REQUIRE(sj_deque_open(&process->segment, head_of(process, from), &deque) == SJ_OK);
    REQUIRE(sj_deque_remove(&deque, SJ_RIGHT, 1) == SJ_OK);
    node[1]--;
    model_digest(model);
}

/* A number that no deque has, lost ones included. */
static uint32_t free_number(struct model *model)
{
    uint32_t number = 0;
    while (node_of(model, number)[0] != 0)
        number++;
    return number;
}

static void begin(struct process *process)
{
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
}

static void commit(struct process *process)
{
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

static uint32_t add_child(struct process *process, struct model *model, uint32_t from)
{
    uint32_t number = free_number(model);
    begin(process);
    uint64_t head = create(process, model, number, false);
    link(process, model, from, number, head);
    commit(process);
    return number;
}

/* ------------------------------------------------------------------ operations */

static void child(struct process *process, struct model *model)
{
    (void)add_child(process, model, 0);
}

/* One that nothing leads to. */
static void lone(struct process *process, struct model *model)
{
    (void)create(process, model, free_number(model), false);
}

/* From the last child of the root back to it, and to itself. */
static void circle(struct process *process, struct model *model)
{
    const uint8_t *root = node_of(model, 0);
    uint32_t last = root[1] == 0 ? 0 : root[2 + root[1] - 1];
    begin(process);
    link(process, model, last, 0, head_of(process, 0));
    link(process, model, last, last, head_of(process, last));
    commit(process);
}

static void unlink_child(struct process *process, struct model *model)
{
    unlink_last(process, model, 0);
}

static void chain(struct process *process, struct model *model)
{
    begin(process);
    uint32_t first = add_child(process, model, 0), second = add_child(process, model, first);
    link(process, model, second, 0, head_of(process, 0));
    unlink_last(process, model, first);
    commit(process);
}

static void aborted(struct process *process, struct model *model)
{
    static struct model saved;
    saved = *model;
    begin(process);
    unlink_last(process, model, 0);
    (void)add_child(process, model, 0);
    sj_tx_abort(&process->segment);
    *model = saved;
}

static void clear(struct process *process, struct model *model)
{
    struct sj_deque deque;
    REQUIRE(sj_deque_open(&process->segment, head_of(process, 0), &deque) == SJ_OK);
    REQUIRE(sj_deque_clear(&deque) == SJ_OK);
    memset(node_of(model, 0), 0, NODE);
    node_of(model, 0)[0] = 1;
    model_digest(model);
}

static void collect(struct process *process, struct model *model)
{
    struct sj_census_report report;
    bool reached[NODES] = {false};
    REQUIRE(sj_collect(&process->segment, &(struct sj_collect_options){0}, &report) == SJ_OK);
    REQUIRE(report.leaked_blocks == 0);
    reach(model, 0, reached);
    for (uint32_t number = 0; number < NODES; number++)
        if (!reached[number])
            memset(node_of(model, number), 0, NODE);
    model_digest(model);
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

static const struct operation operations[] = {
    {"child", child, false},         {"lone", lone, false},     {"circle", circle, false},
    {"unlink", unlink_child, false}, {"chain", chain, false},   {"aborted", aborted, false},
    {"collect", collect, false},     {"reopen", reopen, false}, {"clear", clear, true},
};

/* ------------------------------------------------------------------ seeds */

static void seed(struct process *process, struct model *model)
{
    (void)create(process, model, 0, true);
    for (uint32_t i = 0; i < process->world->items; i++) {
        uint32_t number = add_child(process, model, 0);
        uint32_t other = add_child(process, model, number);
        if (i % 2 == 0) /* the root is not in a circle yet: nothing has said that it is shared */
            link(process, model, other, number, head_of(process, number));
        if (i % 3 == 0)
            unlink_last(process, model, 0);
    }
}

uint32_t reference_worlds(struct world *worlds, uint32_t count)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct world *world = &worlds[count++];
        *world = (struct world){.items = i * 5,
                                .operation = operations,
                                .operations = sizeof operations / sizeof operations[0],
                                .seed = seed,
                                .examine = examine};
        snprintf(world->name, sizeof world->name, "references-%s", i == 0 ? "none" : "some");
    }
    return count;
}
