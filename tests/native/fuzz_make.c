// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_make.c: small stores of trees and maps of every kind of key and value, of one and of several
 * roots, blobs from one byte to more than a chunk, full and empty slabs, logs of one and of several
 * extents, and stores whose writer died inside a transaction.
 *
 * Where the core asks the system for random numbers it gets ours (the linker's --wrap), so that the
 * images are the same in every process that has the seed.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "fuzz.h"
#include "persistence/heap.h"
#include "persistence/roots.h"
#include "persistence/superblock.h"
#include "structures/structure.h"

struct fuzz_random fuzz_making;

ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)fuzz_next(&fuzz_making);
    return (ssize_t)count;
}

void fuzz_broken(const char *what)
{
    fprintf(stderr, "fuzz: %s: %s\n", what, sj_error_detail());
    exit(2);
}

void fuzz_ok(int error, const char *what)
{
    if (error != SJ_OK)
        fuzz_broken(what);
}

/* ------------------------------------------------------------------ keys, values */

struct sj_key fuzz_key(struct sj_kinds kinds, uint64_t number, uint8_t *buffer)
{
    struct sj_key key = {.word = number * 5, .bytes = buffer};
    if (kinds.key == SJ_ITEM_WORD)
        return key;
    char text[64];
    int prefix = number % 11 == 0 ? 0 : number % 3 == 0 ? 40 : 6;
    memset(buffer, 'p', (size_t)prefix);
    int size = snprintf(text, sizeof text, "%04u", (unsigned)(number * 5 % 10000));
    memcpy(buffer + prefix, text, (size_t)size);
    key.size = (uint32_t)(prefix + size);
    key.form_size = number % 7 == 0 ? 2 : 0;
    memset(buffer + key.size, 'f', key.form_size);
    return key;
}

struct sj_value fuzz_value(struct sj_kinds kinds, uint64_t number, uint8_t *buffer)
{
    static const uint32_t sizes[] = {0, 3, 7, 8, 20, 60, 130, 700, 2000, 8900};
    struct sj_value value = {.word = number << 3 | 1, .bytes = buffer};
    if (kinds.value == SJ_ITEM_WORD)
        return value;
    value.size = sizes[number % 40 < 34 ? number % 6 : number % 10];
    memset(buffer, (int)number, value.size);
    return value;
}

/* ------------------------------------------------------------------ structures */

static struct sj_segment *start(const char *path)
{
    struct sj_segment_spec spec = {"fuzz", FUZZ_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_segment *segment;
    unlink(path);
    fuzz_ok(sj_segment_create(path, &spec), "making a segment");
    fuzz_ok(sj_segment_open(path, true, true, false, &segment), "opening a segment");
    return segment;
}

/* Bytes of codec 3, words of codec 1; what the head itself says of them is the kinds alone. */
static int make_head(struct sj_segment *segment, const struct fuzz_store *store, uint64_t *head)
{
    if (store->codecs.key != SJ_CODEC_NONE || store->codecs.value != SJ_CODEC_NONE)
        return sj_structure_create(segment, store->type, store->codecs, head);
    return store->type == SJ_KIND_BTREE ? sj_btree_create(segment, store->kinds, head)
                                        : sj_hashmap_create(segment, store->kinds, head);
}

struct fuzz_store *fuzz_add_root(struct fuzz_image *image, struct sj_segment *segment,
                                 const struct fuzz_store *like, uint64_t *head)
{
    struct fuzz_store *store = &image->store[image->stores];
    bool bare = like->codecs.key == SJ_CODEC_NONE && like->codecs.value == SJ_CODEC_NONE;
    *store = *like;
    int length = snprintf(store->name, sizeof store->name, "s%u", image->stores++);
    fuzz_ok(sj_tx_op_begin(segment), "a root");
    fuzz_ok(make_head(segment, store, head), "a root");
    fuzz_ok(sj_root_add(segment, store->name, (size_t)length, store->type,
                        !bare              ? store->codecs.key
                        : store->kinds.key ? SJ_CODEC_BYTES
                                           : SJ_CODEC_INT,
                        !bare                ? store->codecs.value
                        : store->kinds.value ? SJ_CODEC_BYTES
                                             : SJ_CODEC_INT,
                        *head),
            "a root");
    sj_tx_ready(segment);
    fuzz_ok(sj_tx_op_commit(segment), "a root");
    return store;
}

static uint8_t key_buffer[FUZZ_KEY_BYTES], value_buffer[FUZZ_VALUE_BYTES];

static void put_tree(struct sj_btree *tree, uint64_t number, uint64_t of)
{
    bool existed;
    struct sj_key key = fuzz_key(tree->kinds, number, key_buffer);
    struct sj_value value = fuzz_value(tree->kinds, of, value_buffer);
    fuzz_ok(sj_btree_put(tree, &key, &value, SJ_PUT_ALWAYS, &existed), "a put");
}

static void put_map(struct sj_hashmap *map, uint64_t number, uint64_t of)
{
    bool existed;
    struct sj_key key = fuzz_key(map->kinds, number, key_buffer);
    struct sj_value value = fuzz_value(map->kinds, of, value_buffer);
    fuzz_ok(sj_hashmap_put(map, &key, &value, SJ_PUT_ALWAYS, &existed), "a put");
}

static struct sj_btree make_tree(struct fuzz_image *image, struct sj_segment *segment,
                                 struct sj_kinds kinds, uint32_t items)
{
    struct sj_btree tree;
    uint64_t head;
    const struct fuzz_store like = {.type = SJ_KIND_BTREE, .kinds = kinds};
    struct fuzz_store *store = fuzz_add_root(image, segment, &like, &head);
    store->keys = items + items / 4 + 4;
    fuzz_ok(sj_btree_open(segment, head, &tree), "a tree");
    for (uint32_t i = 0; i < items; i++)
        put_tree(&tree, fuzz_below(&fuzz_making, store->keys), i);
    for (uint32_t i = 0; i < items / 4; i++) {
        struct sj_key key = fuzz_key(kinds, fuzz_below(&fuzz_making, store->keys), key_buffer);
        (void)sj_btree_delete(&tree, &key);
    }
    return tree;
}

/* Nodes half full: two levels of inner nodes with few items. */
static void make_high_tree(struct fuzz_image *image, struct sj_segment *segment,
                           struct sj_kinds kinds, uint32_t items)
{
    struct sj_btree tree;
    struct sj_btree_bulk *bulk;
    uint64_t head;
    const struct fuzz_store like = {.type = SJ_KIND_BTREE, .kinds = kinds};
    struct fuzz_store *store = fuzz_add_root(image, segment, &like, &head);
    store->keys = items;
    fuzz_ok(sj_btree_open(segment, head, &tree), "a tree");
    fuzz_ok(sj_tx_begin(segment), "a bulk load");
    fuzz_ok(sj_btree_bulk_begin(&tree, 50, &bulk), "a bulk load");
    for (uint32_t i = 0; i < items; i++) {
        struct sj_key key = fuzz_key(kinds, i, key_buffer);
        struct sj_value value = fuzz_value(kinds, i % 4, value_buffer);
        if (kinds.key == SJ_ITEM_BYTES) { /* of the styles of fuzz_key() the one that ascends */
            key.size = (uint32_t)snprintf((char *)key_buffer, FUZZ_KEY_BYTES, "pppppp%04u", i * 5);
            key.form_size = 0;
        }
        fuzz_ok(sj_btree_bulk_add(bulk, &key, &value), "a bulk load");
    }
    fuzz_ok(sj_btree_bulk_end(bulk), "a bulk load");
    fuzz_ok(sj_tx_commit(segment), "a bulk load");
    if (tree.head->height != 2)
        fuzz_broken("a tree of two levels");
}

static struct sj_hashmap make_map(struct fuzz_image *image, struct sj_segment *segment,
                                  struct sj_kinds kinds, uint32_t items)
{
    struct sj_hashmap map;
    uint64_t head;
    const struct fuzz_store like = {.type = SJ_KIND_HASHMAP, .kinds = kinds};
    struct fuzz_store *store = fuzz_add_root(image, segment, &like, &head);
    store->keys = items + items / 4 + 4;
    fuzz_ok(sj_hashmap_open(segment, head, &map), "a map");
    for (uint32_t i = 0; i < items; i++)
        put_map(&map, fuzz_below(&fuzz_making, store->keys), i);
    for (uint32_t i = 0; i < items / 5; i++) {
        struct sj_key key = fuzz_key(kinds, fuzz_below(&fuzz_making, store->keys), key_buffer);
        (void)sj_hashmap_delete(&map, &key);
    }
    return map;
}

static const struct sj_kinds words = {SJ_ITEM_WORD, SJ_ITEM_WORD};
static const struct sj_kinds cells = {SJ_ITEM_WORD, SJ_ITEM_BYTES};
static const struct sj_kinds entries = {SJ_ITEM_BYTES, SJ_ITEM_WORD};
static const struct sj_kinds texts = {SJ_ITEM_BYTES, SJ_ITEM_BYTES};

/* ------------------------------------------------------------------ whole stores */

static void make_many_roots(struct fuzz_image *image, struct sj_segment *segment)
{
    make_tree(image, segment, words, 3);
    make_map(image, segment, texts, 9);
    make_tree(image, segment, texts, 20);
    make_map(image, segment, words, 5);
    make_tree(image, segment, cells, 30);
    make_map(image, segment, cells, 8);
    make_tree(image, segment, entries, 0);
}

static void make_large_values(struct fuzz_image *image, struct sj_segment *segment)
{
    static const uint64_t sizes[] = {9000, 40000, (4ull << 20) + 1, 700000, 3000, 3000, 3000};
    struct sj_btree tree = make_tree(image, segment, cells, 10);
    struct sj_hashmap map = make_map(image, segment, texts, 10);
    uint8_t *bytes = calloc(1, 5ull << 20);
    for (uint32_t i = 0; i < 7; i++) {
        bool existed;
        struct sj_value value = {.bytes = bytes, .size = sizes[i]};
        struct sj_key key = fuzz_key(cells, i, key_buffer);
        fuzz_ok(sj_btree_put(&tree, &key, &value, SJ_PUT_ALWAYS, &existed), "a large value");
        value.size = sizes[i] / 3;
        key = fuzz_key(texts, i, key_buffer);
        fuzz_ok(sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed), "a large value");
    }
    free(bytes);
}

/* A writer that dies inside a transaction. */
static void make_half_done(struct fuzz_image *image, struct sj_segment *segment)
{
    struct sj_btree tree = make_tree(image, segment, texts, 60);
    struct sj_hashmap map = make_map(image, segment, words, 40);
    fuzz_ok(sj_tx_begin(segment), "a transaction");
    for (uint32_t i = 0; i < 30; i++) {
        put_tree(&tree, fuzz_below(&fuzz_making, 80), i + 7);
        put_map(&map, fuzz_below(&fuzz_making, 60), i);
    }
}

/* The same inside an operation, of which nothing is stored in place yet. */
static void make_planned(struct fuzz_image *image, struct sj_segment *segment)
{
    struct sj_btree tree = make_tree(image, segment, words, 60);
    make_map(image, segment, entries, 30);
    void *block;
    fuzz_ok(sj_tx_op_begin(segment), "an operation");
    fuzz_ok(sj_tx_range(segment, tree.head, sizeof *tree.head), "an operation");
    fuzz_ok(sj_heap_alloc(segment, 300, &block), "an operation");
    fuzz_ok(sj_tx_word(segment, &tree.head->count, 7), "an operation");
    sj_tx_settle(segment);
}

/* A transaction whose undo log goes on in chunks of the heap; committed or not. */
static void make_long_log(struct fuzz_image *image, struct sj_segment *segment, bool commit)
{
    struct sj_btree tree = make_tree(image, segment, words, 900);
    make_map(image, segment, cells, 20);
    fuzz_ok(sj_tx_begin(segment), "a transaction");
    for (uint32_t i = 0; segment->log->extents < 2 || i < 200; i++) {
        fuzz_ok(sj_tx_begin(segment), "a savepoint"); /* nodes are logged anew after it */
        put_tree(&tree, fuzz_below(&fuzz_making, 900), i);
        fuzz_ok(sj_tx_commit(segment), "a savepoint");
    }
    if (commit)
        fuzz_ok(sj_tx_commit(segment), "a transaction");
}

static void make(struct fuzz_image *image, uint32_t number, struct sj_segment *segment)
{
    static const struct sj_kinds *const kinds[] = {&words, &cells, &entries, &texts};
    static const char *const names[FUZZ_FIRST_OF_MORE] = {
        "tree of words", "tree of cells",  "tree of entries", "tree of texts", "map of words",
        "map of cells",  "map of entries", "map of texts",    "many roots",    "large values",
        "half done",     "planned",        "long log",        "kept log"};
    if (number >= FUZZ_FIRST_OF_MORE) {
        fuzz_make_more(image, number, segment);
        return;
    }
    image->name = names[number];
    if (number == 0)
        make_high_tree(image, segment, words, 900);
    else if (number == 2)
        make_high_tree(image, segment, entries, 600);
    else if (number < 4)
        make_tree(image, segment, *kinds[number], 150);
    else if (number < 8)
        make_map(image, segment, *kinds[number - 4], number == 4 ? 300 : 90);
    else if (number == 8)
        make_many_roots(image, segment);
    else if (number == 9)
        make_large_values(image, segment);
    else if (number == 10)
        make_half_done(image, segment);
    else if (number == 11)
        make_planned(image, segment);
    else
        make_long_log(image, segment, number == 13);
}

/* ------------------------------------------------------------------ as images */

static int note_block(void *context, uint64_t block, uint64_t bytes)
{
    struct fuzz_image *image = context;
    if (image->blocks == image->blocks_room) {
        image->blocks_room = image->blocks_room == 0 ? 256 : 2 * image->blocks_room;
        image->block = realloc(image->block, image->blocks_room * sizeof *image->block);
    }
    image->block[image->blocks++] = (struct fuzz_block){block, bytes};
    return 0;
}

/* What differs from one run to the next becomes the same. */
static void settle_super(struct fuzz_image *image, uint64_t at)
{
    struct sj_super *super = (struct sj_super *)(image->bytes + at);
    if (super->magic != SJ_MAGIC)
        return;
    super->created_ns = 1;
    memset(super->boot_id, 7, sizeof super->boot_id);
    super->checksum = sj_super_checksum(super);
}

static void take_image(struct fuzz_image *image, struct sj_segment *segment)
{
    image->size = sj_segment_committed(segment);
    image->bytes = malloc(image->size);
    memcpy(image->bytes, segment->base, image->size);
    settle_super(image, SJ_SUPER_A);
    settle_super(image, SJ_SUPER_B);
}

void fuzz_make_images(const char *directory, uint64_t seed, struct fuzz_image images[FUZZ_IMAGES])
{
    char path[256];
    snprintf(path, sizeof path, "%s/making.seg", directory);
    fuzz_making.state = seed;
    memset(images, 0, FUZZ_IMAGES * sizeof *images);
    for (uint32_t i = 0; i < FUZZ_IMAGES; i++) {
        struct sj_segment *segment = start(path);
        make(&images[i], i, segment);
        fuzz_ok(sj_heap_check(segment, note_block, &images[i]), "a whole heap");
        take_image(&images[i], segment);
        sj_tx_forget(segment);
        fuzz_ok(sj_segment_close(segment, false), "closing a segment");
        fuzz_find_fields(&images[i]);
    }
    unlink(path);
}
