// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_scan.c: looking through the heap for roots, heads, and the blocks that have entries.
 *
 * Every page of the file that can be a heap page is visited once, in order of addresses. Where the
 * descriptors make sense the slab's bitmap says which blocks are in use. Where they do not, a page
 * that begins like a slab is taken for one; any other page is looked at in steps of 16 bytes for
 * what begins, and continues, like a block: so a damaged descriptor hides nothing.
 *
 * What a user's bytes look like matters only in the latter pages; what is found there has to be
 * linked with something else before it counts for sound (salvage_tree.c).
 *
 * Cost: O(blocks); O(bytes / 16) of the pages that have lost their descriptors.
 */
#include <string.h>

#include "persistence/pages.h"
#include "persistence/slab.h"
#include "structures/btree_node.h"
#include "structures/hashmap_search.h"
#include "structures/item_byte.h"
#include "structures/salvage_parts.h"

/* ------------------------------------------------------------------ candidates */

static void add_block(struct sj_salvage *salvage, struct salvage_blocks *blocks, uint64_t at,
                      enum salvage_life life)
{
    if (!salvage_grow(salvage, (void **)&blocks->item, blocks->count, &blocks->room,
                      sizeof *blocks->item))
        return;
    uint32_t number = (uint32_t)blocks->count;
    if (number == NOBODY)
        return;
    blocks->item[blocks->count++] = (struct salvage_block){
        .at = at, .chain = number, .claim = NOBODY, .owner = NOBODY, .life = (uint16_t)life};
}

static void add_head(struct sj_salvage *salvage, uint64_t at, uint16_t kind, enum salvage_life life)
{
    if (!salvage_grow(salvage, (void **)&salvage->head, salvage->heads, &salvage->heads_room,
                      sizeof *salvage->head))
        return;
    salvage->head[salvage->heads++] =
        (struct salvage_head){.at = at, .kind = kind, .life = (uint16_t)life, .structure = NOBODY};
}

/* Whether a link of a leaf may be one: 0, or the address of a block. */
static bool is_link(const struct sj_segment *segment, uint64_t at)
{
    return at == 0 ||
           ((at & 15) == 0 && sj_segment_holds_block(segment, at, sizeof(struct sj_btree_leaf)));
}

static bool is_leaf(const struct sj_segment *segment, uint64_t at, bool strict)
{
    const struct sj_btree_leaf *leaf =
        sj_segment_block(segment, at, sizeof *leaf, SJ_KIND_BTREE_LEAF);
    if (leaf == NULL)
        return false;
    return !strict || ((at & 63) == 0 && leaf->node.count <= SJ_BTREE_LEAF_ITEMS &&
                       is_link(segment, leaf->next) && is_link(segment, leaf->previous));
}

static bool is_table(const struct sj_segment *segment, uint64_t at)
{
    const struct sj_hashmap_segment *table =
        sj_segment_block(segment, at, sizeof *table, SJ_KIND_HASHMAP_SEG);
    if (table == NULL || (at & 63) != 0 || table->node.aux > SJ_HASHMAP_DEPTH_MAX)
        return false;
    uint32_t buckets = table->node.count; /* the file may end before the last one */
    return buckets == 3 || buckets == 15 || buckets == 63;
}

static bool is_chunk(const struct sj_segment *segment, uint64_t at, bool strict)
{
    const struct sj_deque_chunk *chunk =
        sj_segment_block(segment, at, sizeof *chunk, SJ_KIND_DEQUE_CHUNK);
    if (chunk == NULL)
        return false;
    return !strict || ((at & 63) == 0 && chunk->node.count == 0 && chunk->node.aux == 0 &&
                       is_link(segment, chunk->next) && is_link(segment, chunk->previous));
}

static bool is_list_leaf(const struct sj_segment *segment, uint64_t at, bool strict)
{
    const struct sj_list_leaf *leaf = sj_segment_block(segment, at, 64, SJ_KIND_LIST_LEAF);
    if (leaf == NULL)
        return false;
    uint32_t room = leaf->node.aux;
    return !strict || ((at & 63) == 0 && leaf->node.count - 1u < room &&
                       (room == 6 || room == 30 || room == 126 || room == SJ_LIST_LEAF_SLOTS));
}

static bool is_list_inner(const struct sj_segment *segment, uint64_t at, bool strict)
{
    const struct sj_list_inner *inner =
        sj_segment_block(segment, at, sizeof *inner, SJ_KIND_LIST_INNER);
    return inner != NULL &&
           (!strict ||
            ((at & 63) == 0 && inner->node.count - 1u < SJ_LIST_FANOUT && inner->before[0] == 0));
}

static bool is_root(const struct sj_segment *segment, uint64_t at, bool strict)
{
    const struct sj_root *root = sj_segment_block(segment, at, sizeof *root, SJ_KIND_ROOT);
    return root != NULL && root->name_bytes != 0 && root->name_bytes <= SJ_NAME_MAX &&
           (salvage_is_structure(root->type) || !strict) &&
           sj_segment_holds(segment, at, sizeof *root + root->name_bytes);
}

static bool is_head(const struct sj_segment *segment, uint64_t at, uint16_t kind)
{
    if (kind == SJ_KIND_ARRAY)
        return salvage_is_array(segment, at);
    if (kind == SJ_KIND_COLUMNS)
        return salvage_is_columns(segment, at);
    uint64_t bytes = kind == SJ_KIND_HASHMAP ? sizeof(struct sj_hashmap_head)
                     : kind == SJ_KIND_BTREE || kind == SJ_KIND_LIST ? sizeof(struct sj_btree_head)
                                                                     : sizeof(struct sj_deque_head);
    const struct sj_structure_head *head = sj_segment_block(segment, at, bytes, kind);
    if (head == NULL || !sj_item_byte_is_sound(head->key) || !sj_item_byte_is_sound(head->value))
        return false;
    bool keys = sj_item_byte_codec(head->key) != SJ_CODEC_NONE;
    bool values = sj_item_byte_codec(head->value) != SJ_CODEC_NONE;
    switch (kind) {
    case SJ_KIND_HASHMAP:
        return ((const struct sj_hashmap_head *)(const void *)head)->node.aux <=
               SJ_HASHMAP_DEPTH_MAX;
    case SJ_KIND_LIST:
        return keys != values && head->serial != 0;
    case SJ_KIND_DEQUE:
    case SJ_KIND_QUEUE:
        return !keys && sj_item_byte_kind(head->key) == SJ_ITEM_WORD && head->serial != 0;
    default:
        return true;
    }
}

/* Notes the block when it is of a kind that is looked for. `strict`: it may be anything. */
static void look_at(struct sj_salvage *salvage, uint64_t at, enum salvage_life life, bool strict)
{
    const struct sj_segment *segment = salvage->segment;
    if (!sj_segment_holds_block(segment, at, sizeof(struct sj_block)))
        return;
    uint16_t kind = ((const struct sj_block *)(uintptr_t)at)->kind;
    switch (kind) {
    case SJ_KIND_BTREE_LEAF:
        if (is_leaf(segment, at, strict))
            add_block(salvage, &salvage->leaves, at, life);
        break;
    case SJ_KIND_HASHMAP_SEG:
        if (is_table(segment, at))
            add_block(salvage, &salvage->tables, at, life);
        break;
    case SJ_KIND_DEQUE_CHUNK:
        if (is_chunk(segment, at, strict))
            add_block(salvage, &salvage->chunks, at, life);
        break;
    case SJ_KIND_LIST_LEAF:
        if (is_list_leaf(segment, at, strict))
            add_block(salvage, &salvage->list_leaves, at, life);
        break;
    case SJ_KIND_LIST_INNER:
        if (is_list_inner(segment, at, strict))
            add_block(salvage, &salvage->list_inners, at, life);
        break;
    case SJ_KIND_ROOT:
        if (is_root(segment, at, strict))
            add_head(salvage, at, kind, life);
        break;
    case SJ_KIND_RECORD:
        salvage->passed_over += life == LIFE_USED;
        break;
    case SJ_KIND_BTREE:
    case SJ_KIND_HASHMAP:
    case SJ_KIND_LIST:
    case SJ_KIND_DEQUE:
    case SJ_KIND_QUEUE:
    case SJ_KIND_ARRAY:
    case SJ_KIND_COLUMNS:
        if (is_head(segment, at, kind))
            add_head(salvage, at, kind, life);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ pages */

static bool is_damaged(const struct sj_salvage *salvage, uint64_t at, uint64_t bytes)
{
    return sj_remains_state(salvage->remains, (const void *)(uintptr_t)at, bytes) >=
           SJ_REMAINS_SUSPECT;
}

/* `known`: the descriptors say that it is a slab, so that its bitmap can be believed. */
static void scan_slab(struct sj_salvage *salvage, uint64_t at, bool known)
{
    const struct sj_slab *slab = (const struct sj_slab *)(uintptr_t)at;
    uint32_t size_class = slab->size_class;
    if (size_class >= SJ_CLASSES) /* lost since it was looked at */
        return;
    uint64_t bytes = sj_class_bytes(size_class), blocks = sj_class_blocks(size_class);
    bool damaged = is_damaged(salvage, at, sizeof *slab);
    known &= !damaged;
    if (damaged)
        salvage_tell(salvage, at, NOBODY, "a slab's header, on a damaged page");
    for (uint32_t number = 0; number < blocks; number++) {
        bool used = (slab->used[number / 64] >> number % 64 & 1) != 0;
        look_at(salvage, at + sizeof *slab + number * bytes,
                !used   ? LIFE_FREE
                : known ? LIFE_USED
                        : LIFE_UNKNOWN,
                !known);
    }
}

static void scan_any_page(struct sj_salvage *salvage, uint64_t at)
{
    for (uint64_t step = 0; step < SJ_PAGE; step += 16)
        look_at(salvage, at + step, LIFE_UNKNOWN, true);
}

/* A slab whose header can be read, though the file may end within it; its pages, else 0. */
static uint64_t slab_pages(const struct sj_salvage *salvage, uint64_t at, uint64_t pages_left)
{
    const struct sj_slab *slab = (const struct sj_slab *)(uintptr_t)at;
    if (!sj_segment_holds_block(salvage->segment, at, sizeof *slab))
        return 0;
    uint32_t size_class = slab->size_class;
    if (slab->magic != SJ_SLAB_MAGIC || size_class >= SJ_CLASSES ||
        slab->blocks != sj_class_blocks(size_class))
        return 0;
    uint64_t pages = sj_class_pages(size_class);
    return pages <= pages_left ? pages : 0;
}

static bool are_zero(const uint64_t *words, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (words[i] != 0)
            return false;
    return true;
}

/* Pages of the run that begins at a page; 0: the word makes no sense. */
static uint64_t run_pages(const uint64_t *words, uint64_t page)
{
    uint64_t pages = SJ_PAGE_RUN_PAGES(words[page]);
    enum sj_page_kind kind = SJ_PAGE_KIND(words[page]);
    if (pages == 0 || pages > SJ_CHUNK_PAGES - page || kind == SJ_PAGE_FREE || kind > SJ_PAGE_RUN)
        return 0;
    return are_zero(words + page + 1, pages - 1) ? pages : 0;
}

/* Looks at the page, or at the slab that begins there; pages that are done. */
static uint64_t scan_page(struct sj_salvage *salvage, uint64_t at, const uint64_t *words,
                          uint64_t page, bool trusted)
{
    uint64_t slab = slab_pages(salvage, at, SJ_CHUNK_PAGES - page);
    uint64_t run = words[page] == 0 ? 0 : run_pages(words, page);
    enum sj_page_kind kind = SJ_PAGE_KIND(words[page]);
    if (words[page] == 0 && trusted)
        return 1; /* what is there was given back */
    if (run != 0 && kind == SJ_PAGE_SLAB && slab == run &&
        ((const struct sj_slab *)(uintptr_t)at)->size_class == SJ_PAGE_CLASS(words[page])) {
        scan_slab(salvage, at, true); /* two that agree */
        return run;
    }
    if (run != 0 && kind == SJ_PAGE_RUN && slab == 0) { /* no block begins like a slab */
        look_at(salvage, at, LIFE_USED, true);
        return run;
    }
    if (run != 0 && kind == SJ_PAGE_META && trusted)
        return run;
    if (words[page] != 0 && kind == SJ_PAGE_SLAB)
        salvage_tell(salvage, at, NOBODY, "a slab's header does not fit its descriptor");
    if (slab != 0 && are_zero(words + page + 1, slab - 1)) {
        scan_slab(salvage, at, false);
        return slab;
    }
    uint64_t pages = run != 0 && kind == SJ_PAGE_SLAB ? run : 1;
    for (uint64_t i = 0; i < pages; i++)
        scan_any_page(salvage, at + i * SJ_PAGE);
    return pages;
}

/* ------------------------------------------------------------------ chunks */

/* Whether what the descriptors of a chunk say can be believed. */
static bool is_trusted(const struct sj_salvage *salvage, uint64_t chunk, uint64_t word)
{
    const struct sj_segment *segment = salvage->segment;
    const uint64_t *words = sj_page_words(segment, chunk);
    uint64_t free = 0;
    if (SJ_CHUNK_STATE(word) != SJ_CHUNK_PAGED || SJ_CHUNK_COUNT(word) != 1 ||
        !sj_chunk_is_paged(segment, chunk) ||
        is_damaged(salvage, (uint64_t)(uintptr_t)words, SJ_CHUNK_PAGES * sizeof *words))
        return false;
    for (uint64_t page = 0; page < SJ_CHUNK_PAGES;) {
        uint64_t pages = words[page] == 0 ? 1 : run_pages(words, page);
        if (pages == 0)
            return false;
        free += words[page] == 0;
        page += pages;
    }
    return free == SJ_CHUNK_FREE(word);
}

static void scan_paged(struct sj_salvage *salvage, uint64_t chunk, bool trusted)
{
    const struct sj_segment *segment = salvage->segment;
    const uint64_t *words = sj_page_words(segment, chunk);
    uint64_t base = (uint64_t)(uintptr_t)segment->base + chunk * SJ_CHUNK;
    uint64_t first = chunk == 0 ? segment->meta_bytes / SJ_PAGE : SJ_DESCRIPTOR_PAGES;
    uint64_t end = (sj_segment_committed(segment) - chunk * SJ_CHUNK + SJ_PAGE - 1) / SJ_PAGE;
    end = end < SJ_CHUNK_PAGES ? end : SJ_CHUNK_PAGES;
    if (!trusted) {
        salvage->broken_heap = true;
        salvage_tell(salvage, (uint64_t)(uintptr_t)words, NOBODY, "the descriptors of a chunk");
    }
    for (uint64_t page = first; page < end && !salvage->no_memory;)
        page += scan_page(salvage, base + page * SJ_PAGE, words, page, trusted);
}

/* Whether the file has the descriptors of the chunk. */
static bool has_descriptors(const struct sj_segment *segment, uint64_t chunk)
{
    return chunk == 0 ||
           sj_segment_holds(segment, (uint64_t)(uintptr_t)sj_page_words(segment, chunk),
                            SJ_DESCRIPTOR_PAGES * SJ_PAGE);
}

/* A chunk whose word says that it is the first of several that have no pages; how many. */
static uint64_t whole_chunks(const struct sj_salvage *salvage, uint64_t chunk, uint64_t chunks)
{
    const uint64_t *word = sj_chunk_word(salvage->segment, chunk);
    enum sj_chunk_state state = SJ_CHUNK_STATE(*word);
    uint64_t count = SJ_CHUNK_COUNT(*word), left = chunks - chunk;
    if ((state != SJ_CHUNK_HUGE && state != SJ_CHUNK_LOG && state != SJ_CHUNK_META) || count == 0 ||
        is_damaged(salvage, (uint64_t)(uintptr_t)word, sizeof *word))
        return 0;
    /* The file may end before the block does. */
    return are_zero(word + 1, (count < left ? count : left) - 1) ? count : 0;
}

void salvage_scan(struct sj_salvage *salvage)
{
    const struct sj_segment *segment = salvage->segment;
    uint64_t committed = sj_segment_committed(segment);
    uint64_t chunks = (committed + SJ_CHUNK - 1) / SJ_CHUNK;
    uint64_t words = (segment->meta_bytes - SJ_CHUNK_DIR_AT) / sizeof(uint64_t);
    chunks = chunks < words ? chunks : words;
    for (uint64_t chunk = 0; chunk < chunks && !salvage->no_memory;) {
        uint64_t whole = whole_chunks(salvage, chunk, chunks);
        if (whole != 0) {
            chunk += whole;
            continue;
        }
        uint64_t word = *sj_chunk_word(segment, chunk);
        bool unused =
            word == 0 &&
            !is_damaged(salvage, (uint64_t)(uintptr_t)sj_chunk_word(segment, chunk), sizeof word);
        if (has_descriptors(segment, chunk) && !(unused && !sj_chunk_is_paged(segment, chunk)))
            scan_paged(salvage, chunk, is_trusted(salvage, chunk, word));
        chunk++;
    }
}
