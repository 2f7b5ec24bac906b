// SPDX-License-Identifier: Apache-2.0
/*
 * btree_cursor.c: finding places by key or by rank, and reading on from them.
 *
 *   | a b c | ⇄ | d e | ⇄ | f g h |      seek(c′) → d      seek_last(c′) → c      select(3) → d
 *
 * A cursor is at the item that is given next, in either direction. Reading goes along the leaves; a
 * leaf is only entered when its keys go on where the last one's ended. So reading ends whatever the
 * links of a damaged tree are: each leaf is entered at most once.
 *
 * Cost: seek, select, rank: the way down. read: O(items), and what is ahead is prefetched.
 */
#include "structures/btree_search.h"

#define AHEAD_FROM  64 /* items: who wants fewer reads too few leaves */
#define AHEAD_ITEMS 16 /* about as many are in a leaf */
#define AHEAD_BEGIN 6  /* leaves on their way at a time */
#define AHEAD_MAX   32

static const struct sj_btree_cursor nowhere;

/* ------------------------------------------------------------------ from leaf to leaf */

/* Whether item `b` of a leaf follows item `a` of another one. */
static bool follows(const struct sj_btree *tree, const struct sj_btree_leaf *leaf_a, uint32_t a,
                    const struct sj_btree_leaf *leaf_b, uint32_t b)
{
    if (!btree_bytes(tree))
        return leaf_a->key[a] < leaf_b->key[b];
    struct btree_text first = slot_text(tree, leaf_a->slot[a]);
    struct btree_text second = slot_text(tree, leaf_b->slot[b]);
    return first.bytes != NULL && second.bytes != NULL && text_compare(first, second) < 0;
}

/* The cursor leaves its leaf for another one. False when it has been to more than there can be:
 * links of leaves whose keys are out of order may lead in a circle. */
static bool hop(const struct sj_btree *tree, struct sj_btree_cursor *cursor)
{
    uint64_t hops = cursor->hops + 1;
    *cursor = nowhere;
    cursor->hops = hops;
    return hops <= sj_segment_committed(tree->segment) / sizeof(struct sj_btree_leaf);
}

/* The cursor goes from the end of a leaf to the first item of the next one, if there is one. */
static int to_next(const struct sj_btree *tree, struct sj_btree_cursor *cursor)
{
    struct sj_btree_leaf *leaf = cursor->leaf;
    bool hopped = hop(tree, cursor);
    if (leaf->next == 0)
        return SJ_OK;
    struct sj_btree_leaf *next = leaf_at(tree, leaf->next, 1);
    if (SJ_UNLIKELY(!hopped || next == NULL || leaf->node.count == 0 ||
                    !follows(tree, leaf, leaf->node.count - 1u, next, 0)))
        return damaged_leaf(tree, leaf->next);
    prefetch_leaf(next->next);
    cursor->leaf = next;
    return SJ_OK;
}

/* The same to the last item of the previous one. */
static int to_previous(const struct sj_btree *tree, struct sj_btree_cursor *cursor)
{
    struct sj_btree_leaf *leaf = cursor->leaf;
    bool hopped = hop(tree, cursor);
    if (leaf->previous == 0)
        return SJ_OK;
    struct sj_btree_leaf *previous = leaf_at(tree, leaf->previous, 1);
    if (SJ_UNLIKELY(!hopped || previous == NULL || leaf->node.count == 0 ||
                    !follows(tree, previous, previous->node.count - 1u, leaf, 0)))
        return damaged_leaf(tree, leaf->previous);
    prefetch_leaf(previous->previous);
    cursor->leaf = previous;
    cursor->at = previous->node.count - 1u;
    return SJ_OK;
}

/* ------------------------------------------------------------------ by key */

SJ_INLINE int place_of(const struct sj_btree *tree, const struct sj_key *key, bool bytes,
                       struct sj_btree_cursor *cursor, bool *found)
{
    *cursor = nowhere;
    struct sj_btree_leaf *leaf;
    int error = leaf_of(tree, key, bytes, &leaf);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = leaf_find(tree, leaf, key, bytes, &cursor->at, found);
    if (error == SJ_OK)
        cursor->leaf = leaf;
    return error;
}

int sj_btree_seek(const struct sj_btree *tree, const struct sj_key *key, bool after,
                  struct sj_btree_cursor *cursor)
{
    bool found;
    int error = btree_bytes(tree) ? place_of(tree, key, true, cursor, &found)
                                  : place_of(tree, key, false, cursor, &found);
    if (error != SJ_OK)
        return error;
    cursor->at += after && found;
    return cursor->at < cursor->leaf->node.count ? SJ_OK : to_next(tree, cursor);
}

int sj_btree_seek_last(const struct sj_btree *tree, const struct sj_key *key, bool before,
                       struct sj_btree_cursor *cursor)
{
    bool found;
    int error = btree_bytes(tree) ? place_of(tree, key, true, cursor, &found)
                                  : place_of(tree, key, false, cursor, &found);
    if (error != SJ_OK || (found && !before))
        return error;
    if (cursor->at == 0)
        return to_previous(tree, cursor);
    cursor->at--;
    return SJ_OK;
}

/* The leaf at the left or right edge. */
static int edge(const struct sj_btree *tree, bool right, struct sj_btree_leaf **leaf)
{
    bool bytes = btree_bytes(tree);
    uint64_t at = tree->head->top, height = tree->head->height;
    if (height > SJ_BTREE_HEIGHT_MAX)
        return damaged_height(tree);
    for (uint64_t level = height; level > 0; level--) {
        struct sj_btree_inner *inner = inner_at(tree, at, bytes);
        if (inner == NULL)
            return damaged_inner(tree, at);
        at = inner_children(inner, bytes)[right ? inner->node.count - 1 : 0];
    }
    *leaf = leaf_at(tree, at, height != 0);
    return *leaf != NULL ? SJ_OK : damaged_leaf(tree, at);
}

int sj_btree_first(const struct sj_btree *tree, struct sj_btree_cursor *cursor)
{
    struct sj_btree_leaf *leaf;
    *cursor = nowhere;
    int error = edge(tree, false, &leaf);
    if (error == SJ_OK && leaf->node.count > 0)
        cursor->leaf = leaf;
    return error;
}

int sj_btree_last(const struct sj_btree *tree, struct sj_btree_cursor *cursor)
{
    struct sj_btree_leaf *leaf;
    *cursor = nowhere;
    int error = edge(tree, true, &leaf);
    if (error == SJ_OK && leaf->node.count > 0)
        *cursor = (struct sj_btree_cursor){leaf, leaf->node.count - 1u, 0};
    return error;
}

/* ------------------------------------------------------------------ by rank */

int sj_btree_select(const struct sj_btree *tree, uint64_t rank, struct sj_btree_cursor *cursor)
{
    bool bytes = btree_bytes(tree);
    uint64_t at = tree->head->top, height = tree->head->height;
    *cursor = nowhere;
    if (rank >= sj_btree_count(tree))
        return SJ_OK;
    if (height > SJ_BTREE_HEIGHT_MAX)
        return damaged_height(tree);
    for (uint64_t level = height; level > 0; level--) {
        struct sj_btree_inner *inner = inner_at(tree, at, bytes);
        if (SJ_UNLIKELY(inner == NULL))
            return damaged_inner(tree, at);
        const uint64_t *items = inner_items(inner, bytes);
        uint32_t index = 0, last = inner->node.count - 1u;
        for (; index < last && rank >= items[index]; index++)
            rank -= items[index];
        at = inner_children(inner, bytes)[index];
    }
    struct sj_btree_leaf *leaf = leaf_at(tree, at, height != 0);
    if (SJ_UNLIKELY(leaf == NULL || rank >= leaf->node.count))
        return damaged_leaf(tree, at);
    *cursor = (struct sj_btree_cursor){leaf, (uint32_t)rank, 0};
    return SJ_OK;
}

int sj_btree_rank(const struct sj_btree *tree, const struct sj_key *key, bool after, uint64_t *rank)
{
    bool bytes = btree_bytes(tree);
    struct btree_path path;
    int error = bytes ? path_to(tree, key, true, &path) : path_to(tree, key, false, &path);
    if (error != SJ_OK)
        return error;
    *rank = path.at + (after && path.found);
    for (uint32_t step = 0; step < path.height; step++) {
        const uint64_t *items = inner_items(path.step[step].inner, bytes);
        for (uint32_t i = 0; i < path.step[step].index; i++)
            *rank += items[i];
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ reading */

/* What the slots lead to is going to be read. */
static void prefetch_blocks(const uint64_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sj_slot_prefetch(slots[i]);
}

/* `count` items of one leaf from `at` on, in the direction of `stride`. */
static int read_leaf(const struct sj_btree *tree, const struct sj_btree_leaf *leaf, uint32_t at,
                     int32_t stride, uint32_t count, struct sj_item *items)
{
    if (btree_plain(tree)) {
        for (uint32_t i = 0; i < count; i++, at += (uint32_t)stride) {
            items[i].key.word = leaf->key[at];
            items[i].value.word = leaf->slot[at];
        }
        return SJ_OK;
    }
    prefetch_blocks(leaf->slot + (stride > 0 ? at : at + 1 - count), count);
    for (uint32_t i = 0; i < count; i++, at += (uint32_t)stride) {
        int error =
            sj_slot_item(tree->segment, tree->kinds, leaf->key[at], &leaf->slot[at], &items[i]);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        if (tree->kinds.value == SJ_ITEM_BYTES)
            sj_value_prefetch(&items[i].value);
    }
    return SJ_OK;
}

/* A cursor that the caller kept leads to a leaf that has that item. */
static bool cursor_is_valid(const struct sj_btree *tree, const struct sj_btree_cursor *cursor)
{
    const struct sj_btree_leaf *leaf = leaf_at(tree, address_of(cursor->leaf), 1);
    return leaf != NULL && cursor->at < leaf->node.count;
}

/* Where the leaves after a cursor's lie, as their parent says: addresses to fetch ahead, no more.
 * A leaf knows one neighbour alone, so without them each is waited for. */
struct leaves_ahead {
    uint32_t count, next;
    uint64_t at[AHEAD_MAX];
};

/* Long readings are worth one more way down. */
static void look_ahead(const struct sj_btree *tree, const struct sj_btree_cursor *cursor,
                       bool backward, uint32_t wanted, struct leaves_ahead *ahead)
{
    struct btree_path path;
    ahead->count = ahead->next = 0;
    if (wanted < AHEAD_FROM || cursor->leaf == NULL || btree_bytes(tree) || tree->head->height == 0)
        return;
    struct sj_key key = {.word = cursor->leaf->key[cursor->at]};
    if (path_to(tree, &key, false, &path) != SJ_OK)
        return; /* of damage only what is read tells */
    const uint64_t *child = inner_children(path.step[0].inner, false);
    uint32_t index = path.step[0].index, last = path.step[0].inner->node.count - 1u;
    uint32_t left = backward ? index : last - index, most = wanted / AHEAD_ITEMS;
    left = left < most ? left : most;
    for (; ahead->count < left && ahead->count < AHEAD_MAX; ahead->count++)
        ahead->at[ahead->count] =
            child[backward ? index - 1 - ahead->count : index + 1 + ahead->count];
    for (; ahead->next < AHEAD_BEGIN && ahead->next < ahead->count; ahead->next++)
        prefetch_leaf(ahead->at[ahead->next]);
}

int sj_btree_read(const struct sj_btree *tree, struct sj_btree_cursor *cursor, bool backward,
                  uint32_t wanted, struct sj_item *items, uint32_t *got)
{
    struct leaves_ahead ahead;
    *got = 0;
    if (cursor->leaf != NULL && SJ_UNLIKELY(!cursor_is_valid(tree, cursor)))
        return damaged_leaf(tree, address_of(cursor->leaf));
    look_ahead(tree, cursor, backward, wanted, &ahead);
    while (*got < wanted && cursor->leaf != NULL) {
        struct sj_btree_leaf *leaf = cursor->leaf;
        if (ahead.next < ahead.count)
            prefetch_leaf(ahead.at[ahead.next++]);
        uint32_t left = backward ? cursor->at + 1 : leaf->node.count - cursor->at;
        uint32_t count = left < wanted - *got ? left : wanted - *got;
        int error = read_leaf(tree, leaf, cursor->at, backward ? -1 : 1, count, items + *got);
        if (error == SJ_OK && count == left)
            error = backward ? to_previous(tree, cursor) : to_next(tree, cursor);
        else if (backward)
            cursor->at -= count;
        else
            cursor->at += count;
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
        *got += count;
    }
    return SJ_OK;
}
