// SPDX-License-Identifier: Apache-2.0
/*
 * explore_map.c: the worlds of BTree and HashMap: their seeds, their operations, their contents.
 *
 * Root 0 is there from the beginning; root 1 comes and goes; root 2 is bulk loaded (or filled in
 * one transaction) and dropped. A key is made of its number, a value of the key's and its
 * version's.
 */
#include "explore_segment.h"

#include <string.h>

#include "persistence/checksum.h"
#include "persistence/roots.h"
#include "structures/check.h"

static const char *const root_name[MODEL_ROOTS] = {"first", "second", "third"};

/* ------------------------------------------------------------------ keys and values */

struct item_buffer {
    struct sj_key key;
    struct sj_value value;
    uint8_t key_bytes[32];
    uint8_t value_bytes[128];
};

static void make_item(const struct world *world, uint32_t number, uint32_t version,
                      struct item_buffer *item)
{
    static const uint8_t sizes[] = {3, 20, 7, 100, 0};
    item->key = (struct sj_key){.word = number, .bytes = item->key_bytes};
    item->value = (struct sj_value){.word = trace_mix(number, version), .bytes = item->value_bytes};
    if (world->kinds.key == SJ_ITEM_BYTES) {
        item->key.size = (uint32_t)snprintf((char *)item->key_bytes, sizeof item->key_bytes,
                                            "common/%04u%.*s", number, (int)(number % 7), "zyxwvu");
    }
    if (world->kinds.value == SJ_ITEM_BYTES) {
        item->value.size = sizes[version % 5];
        memset(item->value_bytes, (int)(number + 31 * version), item->value.size);
    }
}

static uint64_t digest_bytes(uint64_t seed, const uint8_t *bytes, uint64_t size)
{
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        seed = trace_mix(seed, word);
    }
    uint64_t rest = 0;
    if (size > 0)
        memcpy(&rest, bytes, size);
    return trace_mix(seed + size, rest);
}

static uint64_t digest_item(const struct world *world, uint32_t root, const struct sj_key *key,
                            const struct sj_value *value)
{
    uint64_t sum = root + 1;
    if (world->kinds.key == SJ_ITEM_BYTES)
        sum = digest_bytes(sum, key->bytes, key->size);
    else
        sum = trace_mix(sum, key->word);
    if (world->kinds.value == SJ_ITEM_BYTES)
        return digest_bytes(sum, value->bytes, value->size);
    return trace_mix(sum, value->word);
}

static uint64_t digest_version(const struct world *world, uint32_t root, uint32_t number,
                               uint32_t version)
{
    struct item_buffer item;
    if (version == 0)
        return 0;
    make_item(world, number, version, &item);
    return digest_item(world, root, &item.key, &item.value);
}

static uint64_t digest_root(uint32_t root)
{
    return trace_mix(root, 0x1001);
}

/* ------------------------------------------------------------------ the model */

static uint32_t keys_of(uint32_t root)
{
    return root == 0 ? MODEL_KEYS : MODEL_KEYS_OTHER;
}

/* Which value the key has in the model. */
static uint8_t *version_of(struct model *model, uint32_t root, uint32_t number)
{
    REQUIRE(number < keys_of(root));
    return model->version + number + (root == 0 ? 0 : MODEL_KEYS + (root - 1) * MODEL_KEYS_OTHER);
}

static void model_set(const struct world *world, struct model *model, uint32_t root,
                      uint32_t number, uint32_t version)
{
    uint8_t *now = version_of(model, root, number);
    model->digest -= digest_version(world, root, number, *now);
    *now = (uint8_t)version;
    model->digest += digest_version(world, root, number, version);
}

static void model_empty(const struct world *world, struct model *model, uint32_t root)
{
    for (uint32_t number = 0; number < keys_of(root); number++)
        if (*version_of(model, root, number) != 0)
            model_set(world, model, root, number, 0);
}

static void model_present(struct model *model, uint32_t root, bool present)
{
    model->digest += present ? digest_root(root) : -digest_root(root);
    model->present[root] = present;
}

/* ------------------------------------------------------------------ either structure */

static bool is_tree(const struct process *process)
{
    return process->world->kind == SJ_KIND_BTREE;
}

static void open_root(struct process *process, uint32_t root)
{
    struct sj_root *found;
    struct sj_segment *segment = &process->segment;
    if (process->root[root].open)
        return;
    REQUIRE(sj_root_find(segment, root_name[root], strlen(root_name[root]), &found) == SJ_OK);
    if (is_tree(process))
        REQUIRE(sj_btree_open(segment, found->pointer, &process->root[root].tree) == SJ_OK);
    else
        REQUIRE(sj_hashmap_open(segment, found->pointer, &process->root[root].map) == SJ_OK);
    process->root[root].open = true;
}

static void put(struct process *process, struct model *model, uint32_t root, uint32_t number,
                enum sj_put_mode mode)
{
    struct item_buffer item;
    bool existed;
    uint32_t now = *version_of(model, root, number), version = now % 200 + 1;
    make_item(process->world, number, version, &item);
    open_root(process, root);
    if (is_tree(process))
        REQUIRE(sj_btree_put(&process->root[root].tree, &item.key, &item.value, mode, &existed) ==
                SJ_OK);
    else
        REQUIRE(sj_hashmap_put(&process->root[root].map, &item.key, &item.value, mode, &existed) ==
                SJ_OK);
    REQUIRE(existed == (now != 0));
    if (!existed || mode == SJ_PUT_ALWAYS)
        model_set(process->world, model, root, number, version);
}

static void set(struct process *process, struct model *model, uint32_t root, uint32_t number)
{
    put(process, model, root, number, SJ_PUT_ALWAYS);
}

static void delete(struct process *process, struct model *model, uint32_t root, uint32_t number)
{
    struct item_buffer item;
    make_item(process->world, number, 1, &item);
    open_root(process, root);
    int error = is_tree(process) ? sj_btree_delete(&process->root[root].tree, &item.key)
                                 : sj_hashmap_delete(&process->root[root].map, &item.key);
    REQUIRE(error == (*version_of(model, root, number) != 0 ? SJ_OK : SJ_ENOTFOUND));
    model_set(process->world, model, root, number, 0);
}

static void create(struct process *process, struct model *model, uint32_t root)
{
    struct sj_segment *segment = &process->segment;
    uint64_t head;
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    if (is_tree(process))
        REQUIRE(sj_btree_create(segment, process->world->kinds, &head) == SJ_OK);
    else
        REQUIRE(sj_hashmap_create(segment, process->world->kinds, &head) == SJ_OK);
    REQUIRE(sj_root_add(segment, root_name[root], strlen(root_name[root]),
                        (uint16_t)process->world->kind, 1, 1, head) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    process->root[root].open = false;
    model_present(model, root, true);
}

static void drop(struct process *process, struct model *model, uint32_t root)
{
    struct sj_segment *segment = &process->segment;
    open_root(process, root);
    REQUIRE(sj_tx_op_begin(segment) == SJ_OK);
    if (is_tree(process))
        REQUIRE(sj_btree_destroy(&process->root[root].tree) == SJ_OK);
    else
        REQUIRE(sj_hashmap_destroy(&process->root[root].map) == SJ_OK);
    REQUIRE(sj_root_remove(segment, root_name[root], strlen(root_name[root])) == SJ_OK);
    sj_tx_ready(segment);
    REQUIRE(sj_tx_op_commit(segment) == SJ_OK);
    process->root[root].open = false;
    model_empty(process->world, model, root);
    model_present(model, root, false);
}

static void begin(struct process *process)
{
    REQUIRE(sj_tx_begin(&process->segment) == SJ_OK);
}

static void commit(struct process *process)
{
    REQUIRE(sj_tx_commit(&process->segment) == SJ_OK);
}

static void roll_back(struct process *process, struct model *model, const struct model *saved)
{
    sj_tx_abort(&process->segment);
    *model = *saved;
    for (uint32_t root = 0; root < MODEL_ROOTS; root++)
        process->root[root].open = false;
}

/* ------------------------------------------------------------------ operations */

static uint32_t middle(const struct model *model)
{
    return model->items & ~1u;
}

static void put_low(struct process *process, struct model *model)
{
    set(process, model, 0, 1);
}

static void put_middle(struct process *process, struct model *model)
{
    set(process, model, 0, middle(model) + 1);
}

static void put_high(struct process *process, struct model *model)
{
    set(process, model, 0, 2 * model->items + 1);
}

static void overwrite(struct process *process, struct model *model)
{
    set(process, model, 0, middle(model));
}

static void set_default(struct process *process, struct model *model)
{
    put(process, model, 0, middle(model) + 2, SJ_PUT_NEW);
}

static void delete_low(struct process *process, struct model *model)
{
    delete(process, model, 0, 0);
}

static void delete_middle(struct process *process, struct model *model)
{
    delete(process, model, 0, middle(model));
}

static void clear(struct process *process, struct model *model)
{
    open_root(process, 0);
    if (is_tree(process))
        REQUIRE(sj_btree_clear(&process->root[0].tree) == SJ_OK);
    else
        REQUIRE(sj_hashmap_clear(&process->root[0].map) == SJ_OK);
    model_empty(process->world, model, 0);
}

static void some_changes(struct process *process, struct model *model)
{
    set(process, model, 0, middle(model) + 3);
    set(process, model, 0, middle(model) + 5);
    delete(process, model, 0, middle(model) + 2);
    set(process, model, 0, middle(model) + 2);
    set(process, model, 0, middle(model) + 3);
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
    set(process, model, 0, middle(model) + 1);
    saved = *model;
    begin(process);
    set(process, model, 0, middle(model) + 1);
    delete(process, model, 0, middle(model));
    roll_back(process, model, &saved);
    begin(process);
    delete(process, model, 0, middle(model) + 2);
    set(process, model, 0, middle(model) + 7);
    commit(process);
    set(process, model, 0, middle(model));
    commit(process);
}

static void toggle_root(struct process *process, struct model *model)
{
    if (model->present[1])
        drop(process, model, 1);
    else
        create(process, model, 1);
}

static void reopen(struct process *process, struct model *model)
{
    (void)model;
    process_reopen(process);
}

/* Many changes in one transaction: nodes are made, split and merged in it. */
static void many(struct process *process, struct model *model)
{
    begin(process);
    for (uint32_t i = 0; i < 40; i++)
        set(process, model, 0, middle(model) + 1 + 2 * i);
    begin(process);
    for (uint32_t i = 0; i < 30; i++)
        delete(process, model, 0, middle(model) + 5 + 2 * i);
    commit(process);
    commit(process);
}

static void load_tree(struct process *process, struct model *model, uint32_t root)
{
    struct sj_btree_bulk *bulk;
    struct item_buffer item;
    open_root(process, root);
    REQUIRE(sj_btree_bulk_begin(&process->root[root].tree, 90, &bulk) == SJ_OK);
    for (uint32_t number = 0; number < 70; number++) {
        make_item(process->world, number, 1, &item);
        REQUIRE(sj_btree_bulk_add(bulk, &item.key, &item.value) == SJ_OK);
        model_set(process->world, model, root, number, 1);
    }
    REQUIRE(sj_btree_bulk_end(bulk) == SJ_OK);
}

static void load(struct process *process, struct model *model)
{
    if (model->present[2]) {
        drop(process, model, 2);
        return;
    }
    begin(process);
    create(process, model, 2);
    if (is_tree(process))
        load_tree(process, model, 2);
    else
        for (uint32_t number = 0; number < 50; number++)
            set(process, model, 2, number);
    commit(process);
}

static const struct operation operations[] = {
    {"put-middle", put_middle, false},
    {"put-low", put_low, false},
    {"put-high", put_high, false},
    {"overwrite", overwrite, false},
    {"set-default", set_default, false},
    {"delete-low", delete_low, false},
    {"delete-middle", delete_middle, false},
    {"transaction", transaction, false},
    {"aborted", aborted, false},
    {"savepoints", savepoints, false},
    {"reopen", reopen, false},
    {"root", toggle_root, false},
    {"clear", clear, true},
    {"many", many, true},
    {"load", load, true},
};

/* ------------------------------------------------------------------ contents */

static int digest_tree(struct process *process, uint32_t root, uint64_t head, uint64_t *digest)
{
    struct sj_btree tree;
    struct sj_btree_cursor cursor;
    struct sj_item item[64];
    uint32_t got = 64;
    int error = sj_btree_open(&process->segment, head, &tree);
    if (error == SJ_OK)
        error = sj_btree_first(&tree, &cursor);
    while (error == SJ_OK && got == 64) {
        error = sj_btree_read(&tree, &cursor, false, 64, item, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            *digest += digest_item(process->world, root, &item[i].key, &item[i].value);
    }
    return error;
}

static int digest_map(struct process *process, uint32_t root, uint64_t head, uint64_t *digest)
{
    struct sj_hashmap map;
    struct sj_item item[128];
    uint64_t position = 0;
    uint32_t got;
    int error = sj_hashmap_open(&process->segment, head, &map);
    while (error == SJ_OK && position != UINT64_MAX) {
        error = sj_hashmap_read(&map, &position, 128, item, &got);
        for (uint32_t i = 0; error == SJ_OK && i < got; i++)
            *digest += digest_item(process->world, root, &item[i].key, &item[i].value);
    }
    return error;
}

static int examine(struct process *process, uint64_t *digest)
{
    struct sj_check_report report;
    struct sj_root *root = NULL;
    int error = sj_check(&process->segment, &report);
    if (error == SJ_OK && report.census.leaked_blocks != 0)
        error = sj_error(SJ_ECORRUPT, "%llu blocks are lost",
                         (unsigned long long)report.census.leaked_blocks);
    *digest = 0;
    while (error == SJ_OK && (error = sj_root_next(&process->segment, root, &root)) == SJ_OK &&
           root != NULL) {
        uint32_t number = 0;
        while (number < MODEL_ROOTS && (strlen(root_name[number]) != root->name_bytes ||
                                        memcmp(root_name[number], root->name, root->name_bytes)))
            number++;
        *digest += digest_root(number);
        error = root->type == SJ_KIND_BTREE ? digest_tree(process, number, root->pointer, digest)
                                            : digest_map(process, number, root->pointer, digest);
    }
    return error;
}

/* ------------------------------------------------------------------ seeds */

/* The shape of root 0: equal unless the tree's height or a table segment changed. */
static uint64_t shape_of(struct process *process)
{
    uint64_t shape = 0;
    if (is_tree(process))
        return process->root[0].tree.head->top;
    const struct sj_hashmap_directory *directory =
        (void *)(uintptr_t)process->root[0].map.head->directory;
    for (uint64_t i = 0; i < 1ull << directory->depth; i++)
        shape = trace_mix(shape + i, directory->segment[i]);
    return shape;
}

/* Puts items until one more makes the structure grow. */
static void fill_up(struct process *process, struct model *model)
{
    static struct trace trace;
    static struct model before;
    for (;;) {
        uint64_t shape = shape_of(process);
        before = *model;
        trace.count = 0;
        trace_current = &trace;
        set(process, model, 0, 2 * model->items);
        trace_current = NULL;
        if (shape_of(process) != shape)
            break;
        model->items++;
    }
    trace_undo(&trace);
    *model = before;
}

static void seed(struct process *process, struct model *model)
{
    const struct world *world = process->world;
    create(process, model, 0);
    for (; model->items < world->items; model->items++)
        set(process, model, 0, 2 * model->items);
    if (world->about_to_grow)
        fill_up(process, model);
    for (uint32_t i = 0; world->lean && i < model->items; i++)
        if (i % 3 != 0)
            delete(process, model, 0, 2 * i);
}

uint32_t map_worlds(struct world *worlds, uint32_t count)
{
    static const struct {
        const char *name;
        uint32_t items;
        bool about_to_grow, lean, large;
    } seeds[] = {
        {"empty", 0, false, false, false}, {"half", 15, false, false, false},
        {"full", 20, true, false, false},  {"lean", 61, false, true, false},
        {"deep", 1300, true, false, true},
    };
    static const char *const item_name[] = {"word", "bytes"};
    for (uint32_t kind = 0; kind < 2; kind++)
        for (uint32_t kinds = 0; kinds < 4; kinds++)
            for (uint32_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
                struct world *world = &worlds[count++];
                *world = (struct world){
                    .kind = kind == 0 ? SJ_KIND_BTREE : SJ_KIND_HASHMAP,
                    .kinds = {(enum sj_item_kind)(kinds / 2), (enum sj_item_kind)(kinds % 2)},
                    .items = seeds[i].items,
                    .about_to_grow = seeds[i].about_to_grow,
                    .lean = seeds[i].lean,
                    .large = seeds[i].large,
                    .operation = operations,
                    .operations = sizeof operations / sizeof operations[0],
                    .seed = seed,
                    .examine = examine,
                };
                snprintf(world->name, sizeof world->name, "%s-%s-%s-%s",
                         kind == 0 ? "btree" : "hashmap", item_name[kinds / 2],
                         item_name[kinds % 2], seeds[i].name);
            }
    return count;
}
