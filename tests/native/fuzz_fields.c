// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_fields.c: the metadata of an image, field by field: superblocks, root page, log, chunk and
 * page words, slab headers, and what is in every block in use.
 */
#include "fuzz.h"
#include "persistence/pages.h"
#include "structures/array_layout.h"
#include "structures/columns_layout.h"
#include "structures/deque_layout.h"
#include "structures/list_layout.h"
#include "structures/record_layout.h"
#include "structures/reference_layout.h"

static void add(struct fuzz_image *image, enum fuzz_role role, uint64_t at, uint32_t width)
{
    if (at + width > image->size)
        return;
    if (image->fields == image->fields_room) {
        image->fields_room = image->fields_room == 0 ? 4096 : 2 * image->fields_room;
        image->field = realloc(image->field, image->fields_room * sizeof *image->field);
    }
    image->field[image->fields++] =
        (struct fuzz_field){(uint32_t)at, (uint16_t)role, (uint16_t)width};
    image->metadata_bytes += width;
}

/* The words of [at, at + bytes). */
static void add_words(struct fuzz_image *image, enum fuzz_role role, uint64_t at, uint64_t bytes)
{
    for (uint64_t end = at + bytes; at + 8 <= end; at += 8)
        add(image, role, at, 8);
}

/* kind, a 16-bit and a 32-bit number */
static void add_head(struct fuzz_image *image, enum fuzz_role role, uint64_t at)
{
    add(image, role, at, 2);
    add(image, role, at + 2, 2);
    add(image, role, at + 4, 4);
}

static void add_super(struct fuzz_image *image, uint64_t at)
{
    add_words(image, FUZZ_SUPER, at, 24);
    add(image, FUZZ_SUPER, at + 24, 4);
    add(image, FUZZ_SUPER, at + 28, 4);
    add_words(image, FUZZ_SUPER, at + 32, 88);
    add(image, FUZZ_SUPER, at + 120, 4);
    add(image, FUZZ_SUPER, at + 124, 4);
    add_words(image, FUZZ_SUPER, at + 128, 16);
    add(image, FUZZ_SUPER, at + 383, 1);
    add_words(image, FUZZ_SUPER, at + 4088, 8);
}

/* ------------------------------------------------------------------ log */

static void add_entry(struct fuzz_image *image, uint64_t at, uint64_t bytes)
{
    if (image->entries == image->entries_room) {
        image->entries_room = image->entries_room == 0 ? 64 : 2 * image->entries_room;
        image->entry = realloc(image->entry, image->entries_room * sizeof *image->entry);
    }
    image->entry[image->entries++] = (uint32_t)at;
    add_words(image, FUZZ_LOG_ENTRY, at, sizeof(struct sj_log_entry));
    add_words(image, FUZZ_LOG_OLD, at + sizeof(struct sj_log_entry), bytes < 64 ? bytes : 64);
}

/* The first entries of each extent, those that count and those of earlier transactions. */
static void add_log(struct fuzz_image *image)
{
    const struct sj_log *log = (const struct sj_log *)(image->bytes + SJ_LOG_AT);
    add_words(image, FUZZ_LOG_HEADER, SJ_LOG_AT, 16 + 16 * (log->extents + 1));
    for (uint64_t i = 0; i < log->extents; i++) {
        uint64_t at = log->extent[i].at - FUZZ_BASE, end = at + log->extent[i].bytes;
        for (uint32_t count = 0; count < 24 && at + sizeof(struct sj_log_entry) < end; count++) {
            const struct sj_log_entry *entry = (const struct sj_log_entry *)(image->bytes + at);
            if (entry->bytes == 0 || entry->bytes > 16384 || entry->bytes % 8 != 0)
                break;
            add_entry(image, at, entry->bytes);
            at += sizeof *entry + entry->bytes;
        }
    }
}

/* ------------------------------------------------------------------ heap */

static void add_page_words(struct fuzz_image *image, uint64_t chunk)
{
    uint64_t at = chunk == 0 ? SJ_CHUNK0_PAGES_AT : chunk * SJ_CHUNK, pages;
    for (uint64_t page = 0; page < SJ_CHUNK_PAGES; page += pages) {
        uint64_t word = *(const uint64_t *)(image->bytes + at + 8 * page);
        pages = word == 0 ? 1 : SJ_PAGE_RUN_PAGES(word);
        uint64_t offset = chunk * SJ_CHUNK + page * SJ_PAGE;
        if (word == 0 && (offset >= image->size || page % 32 != 0))
            continue;
        add(image, FUZZ_PAGE_WORD, at + 8 * page, 8);
        if (pages > 1 && pages < 64)
            add(image, FUZZ_PAGE_WORD, at + 8 * page + 8, 8);
        if (SJ_PAGE_KIND(word) != SJ_PAGE_SLAB)
            continue;
        for (uint32_t half = 0; half < 4; half++)
            add(image, FUZZ_SLAB, offset + 2 * half, 2);
        add_words(image, FUZZ_SLAB, offset + 8, 24);
        add_words(image, FUZZ_BITMAP, offset + 32, 32);
    }
}

static void add_heap(struct fuzz_image *image)
{
    const struct sj_root_page *root_page =
        (const struct sj_root_page *)(image->bytes + SJ_ROOT_PAGE_AT);
    add_words(image, FUZZ_ROOT_PAGE, SJ_ROOT_PAGE_AT, 64);
    add_words(image, FUZZ_ROOT_PAGE, SJ_ROOT_PAGE_AT + 64, 8 * (SJ_CLASSES + SJ_ROOT_BUCKETS + 2));
    for (uint64_t chunk = 0; chunk < root_page->chunks + 2; chunk++) {
        uint64_t word = ((const uint64_t *)(image->bytes + SJ_CHUNK_DIR_AT))[chunk];
        add(image, FUZZ_CHUNK_WORD, SJ_CHUNK_DIR_AT + 8 * chunk, 8);
        if (SJ_CHUNK_STATE(word) == SJ_CHUNK_PAGED)
            add_page_words(image, chunk);
    }
}

/* ------------------------------------------------------------------ blocks */

static bool has_byte_keys(const struct sj_btree_inner *inner)
{
    /* With word keys a child's address lies where the count of another one would be. */
    const uint64_t *children = inner->words + SJ_BTREE_INNER_WORD;
    return children[0] < FUZZ_BASE || children[0] >= FUZZ_BASE + SJ_GIB;
}

static void add_inner(struct fuzz_image *image, uint64_t at)
{
    const struct sj_btree_inner *inner = (const struct sj_btree_inner *)(image->bytes + at);
    bool bytes = has_byte_keys(inner);
    uint64_t fanout = bytes ? SJ_BTREE_INNER_BYTES : SJ_BTREE_INNER_WORD;
    uint64_t used = 8ull * inner->node.count, words = at + offsetof(struct sj_btree_inner, words);
    add_head(image, FUZZ_NODE_HEAD, at);
    add_words(image, FUZZ_NODE_HEAD, at + 8, 8);
    add_words(image, FUZZ_KEY, words, used + 8);
    add_words(image, FUZZ_CHILD, words + 8 * fanout, used);
    add_words(image, FUZZ_ITEMS, words + 16 * fanout, used);
    if (bytes)
        add_words(image, FUZZ_SEPARATOR, words + 24 * fanout, used);
}

static void add_leaf(struct fuzz_image *image, uint64_t at)
{
    const struct sj_btree_leaf *leaf = (const struct sj_btree_leaf *)(image->bytes + at);
    add_head(image, FUZZ_NODE_HEAD, at);
    add_words(image, FUZZ_NODE_HEAD, at + 8, 8);
    add_words(image, FUZZ_LINK, at + 16, 16);
    add_words(image, FUZZ_KEY, at + offsetof(struct sj_btree_leaf, key), 8ull * leaf->node.count);
    add_words(image, FUZZ_SLOT, at + offsetof(struct sj_btree_leaf, slot), 8ull * leaf->node.count);
}

static void add_table(struct fuzz_image *image, uint64_t at)
{
    const struct sj_hashmap_segment *table = (const struct sj_hashmap_segment *)(image->bytes + at);
    add_head(image, FUZZ_TABLE_HEAD, at);
    add_words(image, FUZZ_TABLE_HEAD, at + 8, 24);
    for (uint32_t b = 0; b < table->node.count; b++) {
        const struct sj_hashmap_bucket *bucket = &table->bucket[b];
        uint64_t offset = at + sizeof *table + b * sizeof *bucket;
        for (uint32_t i = 0; i < 16; i++)
            add(image, FUZZ_TAGS, offset + i, 1);
        for (uint32_t i = 0; i < SJ_HASHMAP_SLOTS; i++) {
            if (bucket->tag[i] == 0)
                continue;
            add(image, FUZZ_KEY, offset + 16 + 16 * i, 8);
            add(image, FUZZ_SLOT, offset + 24 + 16 * i, 8);
        }
    }
}

static void add_chunk(struct fuzz_image *image, uint64_t at)
{
    add_head(image, FUZZ_NODE_HEAD, at);
    add_words(image, FUZZ_NODE_HEAD, at + 8, 8);
    add_words(image, FUZZ_LINK, at + 16, 16);
    add_words(image, FUZZ_SLOT, at + offsetof(struct sj_deque_chunk, slot), 8 * SJ_DEQUE_SLOTS);
}

/* Of many slots, the first and the last ones: they are all alike. */
static void add_list_leaf(struct fuzz_image *image, uint64_t at)
{
    const struct sj_list_leaf *leaf = (const struct sj_list_leaf *)(image->bytes + at);
    uint64_t slots = at + offsetof(struct sj_list_leaf, slot), count = leaf->node.count;
    uint64_t some = count < 48 ? count : 48;
    add_head(image, FUZZ_NODE_HEAD, at);
    add_words(image, FUZZ_NODE_HEAD, at + 8, 8);
    add_words(image, FUZZ_SLOT, slots, 8 * some);
    if (count > some)
        add_words(image, FUZZ_SLOT, slots + 8 * (count - 1), 8);
}

static void add_list_inner(struct fuzz_image *image, uint64_t at)
{
    const struct sj_list_inner *inner = (const struct sj_list_inner *)(image->bytes + at);
    uint64_t used = 8ull * inner->node.count;
    add_head(image, FUZZ_NODE_HEAD, at);
    add_words(image, FUZZ_NODE_HEAD, at + 8, 8);
    add_words(image, FUZZ_BEFORE, at + offsetof(struct sj_list_inner, before), used + 8);
    add_words(image, FUZZ_CHILD, at + offsetof(struct sj_list_inner, child), used);
}

/* References in a value of codec any: what announces them, the address, the serial. */
static void add_references(struct fuzz_image *image, uint64_t at, uint64_t bytes)
{
    static const uint8_t announced[] = {0xc7, SJ_REFERENCE_BYTES, SJ_REFERENCE_CODE};
    for (uint64_t i = 0; i + sizeof announced + SJ_REFERENCE_BYTES <= bytes && i < 64; i++) {
        if (memcmp(image->bytes + at + i, announced, sizeof announced) != 0)
            continue;
        for (uint64_t before = 0; before < i + sizeof announced; before++)
            add(image, FUZZ_REFERENCE, at + before, 1);
        add(image, FUZZ_REFERENCE, at + i + 3, 8);
        add(image, FUZZ_REFERENCE, at + i + 11, 4);
        return;
    }
}

static void add_record(struct fuzz_image *image, uint64_t at, uint64_t bytes)
{
    add(image, FUZZ_RECORD, at, 2);
    add(image, FUZZ_RECORD, at + 2, 1);
    add(image, FUZZ_RECORD, at + 3, 1);
    add(image, FUZZ_RECORD, at + 4, 4);
    add_words(image, FUZZ_RECORD, at + 8, bytes - 8);
}

static void add_schema(struct fuzz_image *image, uint64_t at)
{
    const struct sj_schema *schema = (const struct sj_schema *)(image->bytes + at);
    uint64_t field = at + sizeof *schema;
    for (uint32_t i = 0; i < 4; i++)
        add(image, FUZZ_SCHEMA, at + 2 * i, 2);
    add(image, FUZZ_SCHEMA, at + 8, 8);
    add(image, FUZZ_SCHEMA, at + 16, 4);
    add(image, FUZZ_SCHEMA, at + 20, 4);
    for (uint32_t i = 0; i < schema->fields; i++, field += sizeof schema->field[0]) {
        for (uint32_t word = 0; word < 3; word++)
            add(image, FUZZ_SCHEMA, field + 4 * word, 4);
        for (uint32_t byte = 12; byte < 16; byte++)
            add(image, FUZZ_SCHEMA, field + byte, 1);
    }
    add(image, FUZZ_SCHEMA, field, 1); /* the names begin */
}

static void add_array(struct fuzz_image *image, uint64_t at)
{
    const struct sj_array_head *array = (const struct sj_array_head *)(image->bytes + at);
    add_head(image, FUZZ_ARRAY_HEAD, at);
    add_words(image, FUZZ_ARRAY_HEAD, at + 8, 16);
    add(image, FUZZ_ARRAY_HEAD, at + 24, 2);
    add(image, FUZZ_ARRAY_HEAD, at + 26, 2);
    add(image, FUZZ_ARRAY_HEAD, at + 28, 4);
    add_words(image, FUZZ_ARRAY_HEAD, at + 32, 8ull * array->dims);
}

static void add_columns_table(struct fuzz_image *image, uint64_t at)
{
    const struct sj_columns_table *table = (const struct sj_columns_table *)(image->bytes + at);
    add_head(image, FUZZ_COLUMNS_TABLE, at);
    add_words(image, FUZZ_COLUMNS_TABLE, at + 8, 8);
    for (uint32_t i = 0; i < table->columns; i++) {
        uint64_t column = at + sizeof *table + i * sizeof table->column[0];
        add_words(image, FUZZ_COLUMNS_TABLE, column, 16);
        add(image, FUZZ_COLUMNS_TABLE, column + 16, 2);
        add(image, FUZZ_COLUMNS_TABLE, column + 18, 2);
        add(image, FUZZ_COLUMNS_TABLE, column + 20, 4);
    }
}

/* Blocks of structures that are no mapping; the rest are entries, blobs and separators. */
static void add_other_block(struct fuzz_image *image, uint64_t at, uint64_t bytes)
{
    const struct sj_block *block = (const struct sj_block *)(image->bytes + at);
    switch (block->kind) {
    case SJ_KIND_DEQUE:
    case SJ_KIND_QUEUE:
        add_head(image, FUZZ_DEQUE_HEAD, at);
        add_words(image, FUZZ_DEQUE_HEAD, at + 8, sizeof(struct sj_deque_head) - 8);
        return;
    case SJ_KIND_DEQUE_CHUNK:
        add_chunk(image, at);
        return;
    case SJ_KIND_LIST:
        add_head(image, FUZZ_LIST_HEAD, at);
        add_words(image, FUZZ_LIST_HEAD, at + 8, sizeof(struct sj_list_head) - 8);
        return;
    case SJ_KIND_LIST_LEAF:
        add_list_leaf(image, at);
        return;
    case SJ_KIND_LIST_INNER:
        add_list_inner(image, at);
        return;
    case SJ_KIND_ARRAY:
        add_array(image, at);
        return;
    case SJ_KIND_ARRAY_DATA:
        add_head(image, FUZZ_ARRAY_DATA, at);
        add_words(image, FUZZ_ARRAY_DATA, at + 8, 16);
        return;
    case SJ_KIND_COLUMNS:
        add_head(image, FUZZ_COLUMNS_HEAD, at);
        add_words(image, FUZZ_COLUMNS_HEAD, at + 8, 24);
        return;
    case SJ_KIND_COLUMNS_TABLE:
        add_columns_table(image, at);
        return;
    case SJ_KIND_RECORD:
        add_record(image, at, bytes);
        return;
    case SJ_KIND_RECORD_TYPE:
        add_schema(image, at);
        return;
    default: /* entries, blobs, separators; a byte of what is in them */
        add_head(image, FUZZ_BLOCK_HEAD, at);
        if (block->kind != SJ_KIND_BTREE_KEY)
            add_words(image, FUZZ_BLOCK_HEAD, at + 8, 8);
        add(image, FUZZ_BLOCK_HEAD, at + 16, 1);
        add_references(image, at + 16, bytes - 16);
    }
}

static void add_block(struct fuzz_image *image, uint64_t at, uint64_t bytes)
{
    const struct sj_block *block = (const struct sj_block *)(image->bytes + at);
    switch (block->kind) {
    case SJ_KIND_ROOT:
        for (uint32_t i = 0; i < 8; i++)
            add(image, FUZZ_ROOT, at + i, 1);
        add_words(image, FUZZ_ROOT, at + 8, 24);
        return;
    case SJ_KIND_BTREE:
        add_head(image, FUZZ_TREE_HEAD, at);
        add_words(image, FUZZ_TREE_HEAD, at + 8, 24);
        return;
    case SJ_KIND_BTREE_LEAF:
        add_leaf(image, at);
        return;
    case SJ_KIND_BTREE_INNER:
        add_inner(image, at);
        return;
    case SJ_KIND_HASHMAP:
        add_head(image, FUZZ_MAP_HEAD, at);
        add_words(image, FUZZ_MAP_HEAD, at + 8, 32);
        return;
    case SJ_KIND_HASHMAP_DIR:
        add_head(image, FUZZ_DIRECTORY, at);
        add_words(image, FUZZ_DIRECTORY, at + 8, 8 + (8ull << block->word32));
        return;
    case SJ_KIND_HASHMAP_SEG:
        add_table(image, at);
        return;
    default:
        add_other_block(image, at, bytes);
    }
}

static int compare(const void *a, const void *b)
{
    const struct fuzz_field *left = a, *right = b;
    if (left->role != right->role)
        return left->role < right->role ? -1 : 1;
    return (left->at > right->at) - (left->at < right->at);
}

void fuzz_find_fields(struct fuzz_image *image)
{
    add_super(image, SJ_SUPER_A);
    add_super(image, SJ_SUPER_B);
    add_log(image);
    add_heap(image);
    for (uint32_t i = 0; i < image->blocks; i++)
        add_block(image, image->block[i].at - FUZZ_BASE, image->block[i].bytes);
    qsort(image->field, image->fields, sizeof *image->field, compare);
    uint32_t at = 0;
    for (uint32_t role = 0; role < FUZZ_ROLES; role++) {
        image->first_of[role] = at;
        while (at < image->fields && image->field[at].role == role)
            at++;
    }
    image->first_of[FUZZ_ROLES] = image->fields;
}
