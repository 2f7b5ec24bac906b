// SPDX-License-Identifier: Apache-2.0
/*
 * btree_bulk.c: loading ascending keys into an empty tree, from the leaves up.
 *
 *   levels in memory     level 2   closed: –               open: | F |
 *                        level 1   closed: | A B C D E |   open: | G H |
 *                        leaves    closed: | … full … |    open: | x y z
 *   on the media         A … H and the leaves below them, linked
 *
 * Each level has an open node, which is being filled, and the closed one before it, which is full.
 * When the open one is full as well, the closed one is stored and given to the level above. At the
 * end the two share their items evenly if the open one has few. So every node but a lone one is at
 * least half as full as asked for.
 *
 * Nodes are built in memory and stored once, whole. Their blocks are allocated when they are
 * opened, in operations of their own, inside the caller's transaction.
 *
 * Crash rule: everything is fresh; the three words of the head, logged, publish it.
 * Cost: O(1) an item; memory: 12 KiB a level.
 */
#include <stdlib.h>

#include "structures/btree_plan.h"

#define LEAST_PERCENT 50

struct bulk_leaf {
    struct sj_btree_leaf *leaf; /* where it is going to be stored */
    struct btree_fence low;     /* what divides it from the leaf before */
    struct btree_leaf_row row;
};

struct bulk_inner {
    struct sj_btree_inner *inner;
    struct btree_inner_row row; /* the first separator divides it from the node before */
};

struct bulk_level {
    struct bulk_inner closed, open; /* row.count 0: there is none */
};

struct sj_btree_bulk {
    struct sj_btree *tree;
    uint32_t leaf_fill;
    uint32_t inner_fill;
    uint64_t count;
    uint64_t last_stored; /* the leaf stored last */
    struct bulk_leaf closed, open;
    uint32_t levels; /* in use */
    struct bulk_level level[SJ_BTREE_HEIGHT_MAX];
};

static uint32_t filled(uint32_t capacity, uint32_t percent)
{
    percent = percent < LEAST_PERCENT ? LEAST_PERCENT : percent > 100 ? 100 : percent;
    return (capacity * percent + 99) / 100;
}

int sj_btree_bulk_begin(struct sj_btree *tree, uint32_t fill_percent, struct sj_btree_bulk **bulk)
{
    *bulk = NULL;
    if (sj_btree_count(tree) != 0)
        return sj_error(SJ_EINVAL, "a bulk load needs an empty tree, this one has %llu items",
                        (unsigned long long)sj_btree_count(tree));
    if (tree->head->height != 0)
        return damaged_height(tree);
    if (sj_tx_depth(tree->segment) == 0)
        return sj_error(SJ_EINVAL, "a bulk load belongs in a transaction");
    struct sj_btree_bulk *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return sj_error(SJ_ENOMEM, "the levels of a bulk load");
    fresh->tree = tree;
    fresh->leaf_fill = filled(SJ_BTREE_LEAF_ITEMS, fill_percent);
    fresh->inner_fill = filled(inner_fanout(btree_bytes(tree)), fill_percent);
    *bulk = fresh;
    return SJ_OK;
}

void sj_btree_bulk_drop(struct sj_btree_bulk *bulk)
{
    free(bulk);
}

/* The end of an operation that has only filled fresh blocks. */
static int op_end(struct sj_segment *segment, int error)
{
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

/* ------------------------------------------------------------------ inner levels */

static int push(struct sj_btree_bulk *bulk, uint32_t number, uint64_t child, uint64_t items,
                const struct btree_fence *low);

/* A full node is stored, and given to the level above. */
static int store_inner(struct sj_btree_bulk *bulk, uint32_t number, const struct bulk_inner *node,
                       const struct btree_fence *high)
{
    struct sj_btree *tree = bulk->tree;
    struct btree_fence low = {.word = node->row.key[0], .block = node->row.separator[0]};
    if (low.block != 0)
        low.text = separator_at(tree, low.block);
    struct sj_btree_inner image = {0};
    uint64_t items;
    int error = btree_row_to_inner(tree, &node->row, 0, node->row.count, btree_skip(&low, high),
                                   &image, &items);
    if (error != SJ_OK)
        return error;
    btree_fresh_store(tree, node->inner, &image, sizeof image);
    return push(bulk, number + 1, address_of(node->inner), items, &low);
}

/* The open node is full: it becomes the closed one, another is opened. */
static int close_inner(struct sj_btree_bulk *bulk, uint32_t number)
{
    struct bulk_level *level = &bulk->level[number];
    if (level->closed.row.count > 0) {
        struct btree_fence high;
        int error = btree_inner_row_fence(bulk->tree, &level->open.row, 0, &high);
        if (error == SJ_OK)
            error = store_inner(bulk, number, &level->closed, &high);
        if (error != SJ_OK)
            return error;
    }
    level->closed = level->open;
    level->open.row.count = 0;
    return SJ_OK;
}

/* A level gets one more child; `low` divides it from the one before. */
static int push(struct sj_btree_bulk *bulk, uint32_t number, uint64_t child, uint64_t items,
                const struct btree_fence *low)
{
    if (number >= SJ_BTREE_HEIGHT_MAX)
        return sj_error(SJ_EFULL, "a B-tree has at most %d levels", SJ_BTREE_HEIGHT_MAX);
    struct bulk_level *level = &bulk->level[number];
    if (number >= bulk->levels)
        bulk->levels = number + 1;
    int error = SJ_OK;
    if (level->open.row.count == bulk->inner_fill)
        error = close_inner(bulk, number);
    if (error == SJ_OK && level->open.row.count == 0)
        error = btree_fresh(bulk->tree, sizeof(struct sj_btree_inner), (void **)&level->open.inner);
    if (error != SJ_OK)
        return error;
    struct btree_inner_row *row = &level->open.row;
    row->key[row->count] = low->word;
    row->child[row->count] = child;
    row->items[row->count] = items;
    row->separator[row->count++] = low->block;
    return SJ_OK;
}

/* ------------------------------------------------------------------ leaves */

/* A leaf is stored, and given to the level above. */
static int store_leaf(struct sj_btree_bulk *bulk, const struct bulk_leaf *leaf, uint64_t next,
                      const struct btree_fence *high)
{
    struct sj_btree_leaf image;
    memset(image.key, 0, sizeof image.key + sizeof image.slot);
    int error = btree_row_to_leaf(bulk->tree, &leaf->row, 0, leaf->row.count,
                                  btree_skip(&leaf->low, high), &image);
    if (error != SJ_OK)
        return error;
    image.previous = bulk->last_stored;
    image.next = next;
    btree_fresh_store(bulk->tree, leaf->leaf, &image, sizeof image);
    bulk->last_stored = address_of(leaf->leaf);
    return push(bulk, 0, bulk->last_stored, leaf->row.count, &leaf->low);
}

/* Gives the closed leaf away: now it is known what divides it from the open one. */
static int store_closed(struct sj_btree_bulk *bulk)
{
    struct btree_fence *low = &bulk->open.low;
    struct btree_leaf_row both = {.count = 2};
    const struct btree_leaf_row *closed = &bulk->closed.row, *open = &bulk->open.row;
    if (closed->count == 0)
        return SJ_OK;
    both.slot[0] = closed->slot[closed->count - 1];
    both.slot[1] = open->slot[0];
    both.key[1] = open->key[0];
    int error = btree_row_fence(bulk->tree, &both, 1, low);
    if (error == SJ_OK)
        error = store_leaf(bulk, &bulk->closed, address_of(bulk->open.leaf), low);
    return error;
}

/* Room for one more item in the open leaf: in an operation of its own. */
static int open_leaf(struct sj_btree_bulk *bulk)
{
    struct sj_segment *segment = bulk->tree->segment;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    if (bulk->open.row.count > 0) {
        error = store_closed(bulk);
        bulk->closed = bulk->open;
        bulk->open.row.count = 0;
    }
    if (error == SJ_OK)
        error = btree_fresh(bulk->tree, sizeof(struct sj_btree_leaf), (void **)&bulk->open.leaf);
    return op_end(segment, error);
}

/* Whether the key is above the last one that was added. */
static bool is_above_last(const struct sj_btree_bulk *bulk, const struct sj_key *key)
{
    const struct btree_leaf_row *row = &bulk->open.row;
    if (row->count == 0)
        return true;
    if (!btree_bytes(bulk->tree))
        return key->word > row->key[row->count - 1];
    struct btree_text last = slot_text(bulk->tree, row->slot[row->count - 1]);
    return last.bytes != NULL && text_compare(last, key_text(key)) < 0;
}

/* The item's entry or blob. */
static int make_slot(struct sj_btree *tree, const struct sj_key *key, const struct sj_value *value,
                     uint64_t *slot)
{
    int error = sj_item_fits(tree->segment, tree->kinds, key, value);
    if (error == SJ_OK)
        error = sj_tx_op_begin(tree->segment);
    if (error != SJ_OK)
        return error;
    return op_end(tree->segment, sj_slot_make(tree->segment, tree->kinds, key, value, slot));
}

int sj_btree_bulk_add(struct sj_btree_bulk *bulk, const struct sj_key *key,
                      const struct sj_value *value)
{
    struct sj_btree *tree = bulk->tree;
    struct btree_leaf_row *row = &bulk->open.row;
    uint64_t slot = value->word;
    if (SJ_UNLIKELY(!is_above_last(bulk, key)))
        return sj_error(SJ_EORDER, "item %llu of a bulk load is not above the one before",
                        (unsigned long long)bulk->count);
    int error = btree_plain(tree) ? SJ_OK : make_slot(tree, key, value, &slot);
    if (SJ_LIKELY(error == SJ_OK) && SJ_UNLIKELY(row->count == 0 || row->count == bulk->leaf_fill))
        error = open_leaf(bulk);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    row->key[row->count] = key->word;
    row->slot[row->count++] = slot;
    bulk->count++;
    return SJ_OK;
}

/* ------------------------------------------------------------------ the end */

/* The last two leaves share their items when the open one has few. */
static void even_leaves(struct btree_leaf_row *closed, struct btree_leaf_row *open)
{
    uint32_t total = closed->count + open->count, moved;
    if (closed->count == 0 || open->count >= total / 2)
        return;
    moved = total / 2 - open->count;
    memmove(open->key + moved, open->key, open->count * sizeof open->key[0]);
    memmove(open->slot + moved, open->slot, open->count * sizeof open->slot[0]);
    closed->count -= moved;
    open->count += moved;
    memcpy(open->key, closed->key + closed->count, moved * sizeof open->key[0]);
    memcpy(open->slot, closed->slot + closed->count, moved * sizeof open->slot[0]);
}

static void even_array(uint64_t *closed, uint64_t *open, uint32_t left, uint32_t open_count,
                       uint32_t moved)
{
    memmove(open + moved, open, open_count * sizeof *open);
    memcpy(open, closed + left, moved * sizeof *open);
}

static void even_inner(struct btree_inner_row *closed, struct btree_inner_row *open)
{
    uint32_t total = closed->count + open->count;
    if (closed->count == 0 || open->count >= total / 2)
        return;
    uint32_t moved = total / 2 - open->count, left = closed->count - moved;
    even_array(closed->key, open->key, left, open->count, moved);
    even_array(closed->child, open->child, left, open->count, moved);
    even_array(closed->items, open->items, left, open->count, moved);
    even_array(closed->separator, open->separator, left, open->count, moved);
    closed->count = left;
    open->count += moved;
}

/* Stores what is left of a level. */
static int finish_level(struct sj_btree_bulk *bulk, uint32_t number)
{
    static const struct btree_fence none;
    struct bulk_level *level = &bulk->level[number];
    even_inner(&level->closed.row, &level->open.row);
    int error = SJ_OK;
    if (level->closed.row.count > 0) {
        struct btree_fence high;
        error = btree_inner_row_fence(bulk->tree, &level->open.row, 0, &high);
        if (error == SJ_OK)
            error = store_inner(bulk, number, &level->closed, &high);
    }
    return error == SJ_OK ? store_inner(bulk, number, &level->open, &none) : error;
}

/* Stores what is left of all levels. `*top`, `*height`: what becomes the tree's. */
static int finish(struct sj_btree_bulk *bulk, uint64_t *top, uint64_t *height)
{
    static const struct btree_fence none;
    even_leaves(&bulk->closed.row, &bulk->open.row);
    int error = store_closed(bulk);
    if (error == SJ_OK)
        error = store_leaf(bulk, &bulk->open, 0, &none);
    uint32_t number = 0;
    for (; error == SJ_OK; number++) {
        struct bulk_level *level = &bulk->level[number];
        if (level->closed.row.count == 0 && level->open.row.count == 1)
            break; /* one node below: it is the top */
        error = finish_level(bulk, number);
    }
    if (error != SJ_OK)
        return error;
    *top = bulk->level[number].open.row.child[0];
    *height = number;
    /* The level that only received the top has a block that is not needed. */
    return sj_heap_free(bulk->tree->segment, address_of(bulk->level[number].open.inner));
}

static int publish(struct sj_btree_bulk *bulk)
{
    struct sj_btree *tree = bulk->tree;
    struct sj_btree_head *head = tree->head;
    uint64_t top, height;
    int error = finish(bulk, &top, &height);
    if (error == SJ_OK)
        error = sj_heap_free(tree->segment, head->top);
    if (error == SJ_OK)
        error = sj_tx_word(tree->segment, &head->top, top);
    if (error == SJ_OK)
        error = sj_tx_word(tree->segment, &head->height, height);
    if (error == SJ_OK)
        error = sj_tx_word(tree->segment, &head->count, bulk->count);
    return error;
}

int sj_btree_bulk_end(struct sj_btree_bulk *bulk)
{
    struct sj_segment *segment = bulk->tree->segment;
    int error = SJ_OK;
    if (sj_btree_count(bulk->tree) != 0)
        error = sj_error(SJ_EINVAL, "the tree got %llu items while a bulk load into it went on",
                         (unsigned long long)sj_btree_count(bulk->tree));
    if (error == SJ_OK && bulk->count > 0) {
        error = sj_tx_op_begin(segment);
        if (error == SJ_OK)
            error = op_end(segment, publish(bulk));
    }
    sj_btree_bulk_drop(bulk);
    return error;
}
