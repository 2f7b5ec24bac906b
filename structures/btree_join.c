// SPDX-License-Identifier: Apache-2.0
/*
 * btree_join.c: what two trees have in common, or one has alone, or either: a merge of their keys.
 *
 *   a   1 2 3 … 90 91 …              each side reads ahead into a window of 64 items;
 *   b   90 95 99                     a goes from 1 to 90: its window, the next, then a search
 *
 * A side that has to catch up looks in its window, then in the next one, and then searches from the
 * top. So keys that lie close cost a comparison each, and a small tree beside a large one costs a
 * search of the large one for each of its keys.
 *
 * Nothing is kept between two calls but the last key given, so trees may change meanwhile.
 *
 * I1  Both sides only go forward: a window whose first key is not above the last one's is damage.
 *     In a damaged tree keys may be out of order in a window, so steps are counted: a call ends.
 *
 * Cost: O(n + m), or O(n log m) when n is much smaller.
 */
#include "structures/btree_search.h"

#define WINDOW 64

struct side {
    const struct sj_btree *tree;
    struct sj_btree_cursor cursor;
    uint32_t at, count; /* in the window; at == count: nothing is left */
    struct sj_item item[WINDOW];
};

static int compare(const struct sj_btree *tree, const struct sj_key *a, const struct sj_key *b)
{
    if (!btree_bytes(tree))
        return (a->word > b->word) - (a->word < b->word);
    return text_compare(key_text(a), key_text(b));
}

static int out_of_order(const struct sj_btree *tree)
{
    return sj_segment_damaged(tree->segment, address_of(tree->head), "a B-tree whose keys ascend");
}

/* Reads the next window. `above`: every key is above it; NULL: whatever. */
static int next_window(struct side *side, const struct sj_key *above)
{
    int error = sj_btree_read(side->tree, &side->cursor, false, WINDOW, side->item, &side->count);
    side->at = 0;
    if (error == SJ_OK && above != NULL && side->count > 0 &&
        compare(side->tree, &side->item[0].key, above) <= 0)
        error = out_of_order(side->tree);
    return error;
}

static int begin(struct side *side, const struct sj_btree *tree, const struct sj_key *after)
{
    side->tree = tree;
    int error = after != NULL ? sj_btree_seek(tree, after, true, &side->cursor)
                              : sj_btree_first(tree, &side->cursor);
    return error == SJ_OK ? next_window(side, after) : error;
}

/* To the next item. */
static int step(struct side *side)
{
    if (++side->at < side->count)
        return SJ_OK;
    struct sj_key last = side->item[side->count - 1].key;
    return next_window(side, &last);
}

/* Whether the window has a key ≥ `key`; then `at` is the first such. */
static bool find_in_window(struct side *side, const struct sj_key *key)
{
    uint32_t low = side->at, high = side->count;
    if (side->count == 0 || compare(side->tree, &side->item[high - 1].key, key) < 0)
        return false;
    for (uint32_t width = 1; low + width < high; width *= 2) /* most often it is near */
        if (compare(side->tree, &side->item[low + width].key, key) >= 0)
            high = low + width;
        else
            low += width;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (compare(side->tree, &side->item[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    side->at = low;
    return true;
}

/* To the first item ≥ `key`, which is above the current one. */
static int catch_up(struct side *side, const struct sj_key *key)
{
    if (find_in_window(side, key))
        return SJ_OK;
    struct sj_key last = side->item[side->count - 1].key;
    int error = next_window(side, &last);
    if (error != SJ_OK || side->count == 0 || find_in_window(side, key))
        return error;
    error = sj_btree_seek(side->tree, key, false, &side->cursor);
    return error == SJ_OK ? next_window(side, &last) : error;
}

static bool ended(const struct side *side)
{
    return side->at == side->count;
}

/* One step of the merge; `*item` NULL: nothing is to be given. */
static int merge(struct side *a, struct side *b, enum sj_btree_join what,
                 const struct sj_item **item, struct sj_item *copy)
{
    int order = ended(a)   ? 1
                : ended(b) ? -1
                           : compare(a->tree, &a->item[a->at].key, &b->item[b->at].key);
    bool give = what == SJ_BTREE_EITHER || (what == SJ_BTREE_BOTH ? order == 0 : order < 0);
    struct sj_key key;
    *copy = order <= 0 ? a->item[a->at] : b->item[b->at];
    *item = give ? copy : NULL;
    if (order > 0 && what != SJ_BTREE_EITHER) {
        key = a->item[a->at].key;
        return catch_up(b, &key);
    }
    if (order < 0 && what == SJ_BTREE_BOTH) {
        key = b->item[b->at].key;
        return catch_up(a, &key);
    }
    int error = order <= 0 ? step(a) : SJ_OK;
    return error == SJ_OK && order >= 0 ? step(b) : error;
}

int sj_btree_join(const struct sj_btree *tree, const struct sj_btree *other,
                  enum sj_btree_join what, const struct sj_key *after, uint32_t wanted,
                  struct sj_item *items, uint32_t *got)
{
    struct side a, b;
    *got = 0;
    if (tree->kinds.key != other->kinds.key)
        return sj_error(SJ_EINVAL, "two trees whose keys are of different kinds");
    uint64_t steps =
        (sj_segment_committed(tree->segment) + sj_segment_committed(other->segment)) / 8;
    int error = begin(&a, tree, after);
    if (error == SJ_OK)
        error = begin(&b, other, after);
    while (error == SJ_OK && *got < wanted) {
        if (steps-- == 0)
            return out_of_order(tree);
        if (what == SJ_BTREE_EITHER ? ended(&a) && ended(&b)
                                    : ended(&a) || (what == SJ_BTREE_BOTH && ended(&b)))
            break;
        const struct sj_item *item;
        error = merge(&a, &b, what, &item, &items[*got]);
        *got += item != NULL;
    }
    return error;
}
