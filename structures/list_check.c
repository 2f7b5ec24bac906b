// SPDX-License-Identifier: Apache-2.0
/*
 * list_check.c: every invariant of list_layout.h, I1 … I5, verified.
 *
 * The walk is depth first, left to right. It ends on any media: after more nodes than the segment
 * can hold it has met a cycle.
 *
 * Cost: O(n); reads every block of the list.
 */
#include "structures/list_node.h"

struct walk {
    const struct sj_list *list;
    sj_heap_visit *visit;
    void *context;
    struct sj_key last; /* the key before; `any`: there is one */
    bool any;
    uint64_t budget; /* nodes that may still come */
};

static int bad(const struct walk *walk, const void *at, const char *expected)
{
    return list_damaged(walk->list, list_address(at), expected);
}

/* The list has the block, of at least `bytes` bytes. */
static int visit_block(struct walk *walk, uint64_t block, uint64_t bytes)
{
    uint64_t usable = sj_heap_usable(walk->list->segment, block);
    if (usable < bytes)
        return list_damaged(walk->list, block, "a block in use, large enough");
    return walk->visit == NULL ? SJ_OK : walk->visit(walk->context, block, usable);
}

/* What a slot leads to, and its order. */
static int check_slot(struct walk *walk, const uint64_t *slot)
{
    const struct sj_list *list = walk->list;
    struct sj_item item;
    int error = list_slot_item(list, slot, &item);
    if (error != SJ_OK)
        return error;
    if (list->sorted) {
        if (walk->any && list_key_order(list, &walk->last, &item.key) > 0)
            return bad(walk, slot, "a key not below the one before it (I5)");
        walk->last = item.key;
        walk->any = true;
    }
    if (list->kinds.key == SJ_ITEM_BYTES)
        return visit_block(walk, *slot, sj_entry_bytes((struct sj_entry *)(uintptr_t)*slot));
    if (list_plain(list) || (*slot & 7) != 0)
        return SJ_OK; /* a word, or an inline value */
    return visit_block(walk, *slot, sizeof(struct sj_blob) + item.value.size);
}

static int check_leaf(struct walk *walk, uint64_t at, uint64_t items, bool lone)
{
    const struct sj_list_leaf *leaf = list_leaf_at(walk->list, at);
    if (leaf == NULL)
        return list_damaged_leaf(walk->list, at);
    if (!lone && leaf->node.aux != SJ_LIST_LEAF_SLOTS)
        return bad(walk, leaf, "a leaf with room for 510 slots (I4)");
    if (leaf->node.count != items)
        return bad(walk, leaf, "as many slots as the nodes above say (I2)");
    int error = visit_block(walk, at, list_leaf_bytes(leaf->node.aux));
    for (uint32_t i = 0; i < leaf->node.count && error == SJ_OK; i++)
        error = check_slot(walk, &leaf->slot[i]);
    return error;
}

static int check_node(struct walk *walk, uint64_t at, uint64_t level, uint64_t items, bool lone);

static int check_inner(struct walk *walk, uint64_t at, uint64_t level, uint64_t items)
{
    const struct sj_list_inner *inner = list_inner_at(walk->list, at);
    if (inner == NULL)
        return list_damaged_inner(walk->list, at);
    int error = visit_block(walk, at, sizeof *inner);
    if (error == SJ_OK && (inner->before[0] != 0 || inner->node.aux != 0))
        error = bad(walk, inner, "an inner node of a list that begins with 0 (I2)");
    for (uint32_t i = 0; i < inner->node.count && error == SJ_OK; i++) {
        uint64_t before, below = list_child_items(inner, inner->node.count, items, i, &before);
        if (below == 0)
            return bad(walk, &inner->before[i], "counts that ascend (I2)");
        error = check_node(walk, inner->child[i], level - 1, below, false);
    }
    return error;
}

static int check_node(struct walk *walk, uint64_t at, uint64_t level, uint64_t items, bool lone)
{
    if (walk->budget-- == 0)
        return list_damaged(walk->list, at, "a list without cycles");
    return level == 0 ? check_leaf(walk, at, items, lone) : check_inner(walk, at, level, items);
}

int sj_list_check(const struct sj_list *list, sj_heap_visit *visit, void *context)
{
    const struct sj_list_head *head = list->head;
    struct walk walk = {
        .list = list, .visit = visit, .context = context, .budget = list_node_budget(list)};
    if (head->height > SJ_LIST_HEIGHT_MAX)
        return bad(&walk, &head->height, "the height of a list");
    if ((head->count == 0) != (head->top == 0) || (head->top == 0 && head->height != 0))
        return bad(&walk, head, "a top, or no items (I1)");
    int error = visit_block(&walk, list_address(head), sizeof *head);
    if (error != SJ_OK || head->top == 0)
        return error;
    return check_node(&walk, head->top, head->height, head->count, head->height == 0);
}
