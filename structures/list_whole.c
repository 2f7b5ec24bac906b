// SPDX-License-Identifier: Apache-2.0
/*
 * list_whole.c: changes of many items of a list at once, and giving its blocks back.
 *
 *   replace   [from, to) goes, items come        → list_splice.c
 *   clear     all that there is is freed
 *
 * A damaged list may lead to the same nodes again and again: a walk ends when it has seen more
 * nodes than the segment can hold.
 *
 * Crash rule: that of list_splice.c; frees are carried out by the commit (tx.h).
 * Cost: O(what goes + what comes).
 */
#include <stdlib.h>

#include "structures/list_node.h"

/* ------------------------------------------------------------------ freeing */

int list_free_slots(struct sj_list *list, const struct sj_list_leaf *leaf, uint32_t from,
                    uint32_t to)
{
    if (list_plain(list))
        return SJ_OK;
    for (uint32_t i = from; i < to; i++) {
        int error = sj_slot_free(list->segment, list->kinds, leaf->slot[i]);
        if (SJ_UNLIKELY(error != SJ_OK))
            return error;
    }
    return SJ_OK;
}

static int free_leaf(struct sj_list *list, uint64_t at, bool keep)
{
    const struct sj_list_leaf *leaf = list_leaf_at(list, at);
    if (leaf == NULL)
        return list_damaged_leaf(list, at);
    int error = keep ? SJ_OK : list_free_slots(list, leaf, 0, leaf->node.count);
    return error == SJ_OK ? sj_heap_free(list->segment, at) : error;
}

int list_free_node(struct sj_list *list, uint64_t at, uint32_t level, bool keep, uint64_t *budget)
{
    if ((*budget)-- == 0)
        return list_damaged(list, at, "a list without cycles");
    if (level == 0)
        return free_leaf(list, at, keep);
    const struct sj_list_inner *inner = list_inner_at(list, at);
    if (inner == NULL)
        return list_damaged_inner(list, at);
    for (uint32_t i = 0; i < inner->node.count; i++) {
        int error = list_free_node(list, inner->child[i], level - 1, keep, budget);
        if (error != SJ_OK)
            return error;
    }
    return sj_heap_free(list->segment, at);
}

static int free_nodes(struct sj_list *list, bool keep)
{
    const struct sj_list_head *head = list->head;
    uint64_t budget = list_node_budget(list);
    if (head->height > SJ_LIST_HEIGHT_MAX)
        return list_damaged(list, list_address(&head->height), "the height of a list");
    return head->top == 0 ? SJ_OK
                          : list_free_node(list, head->top, (uint32_t)head->height, keep, &budget);
}

int sj_list_destroy(struct sj_list *list)
{
    sj_list_forget(list);
    int error = free_nodes(list, false);
    return error == SJ_OK ? sj_heap_free(list->segment, list_address(list->head)) : error;
}

/* In a plan: the list becomes empty. */
static int plan_clear(struct sj_list *list, bool keep)
{
    struct sj_list_head *head = list->head;
    int error = free_nodes(list, keep);
    if (error == SJ_OK)
        error = sj_tx_word(list->segment, &head->count, 0);
    if (error == SJ_OK)
        error = sj_tx_word(list->segment, &head->top, 0);
    if (error == SJ_OK)
        error = sj_tx_word(list->segment, &head->height, 0);
    return error;
}

/* ------------------------------------------------------------------ whole operations */

static int begin(struct sj_list *list)
{
    sj_list_forget(list);
    return sj_tx_op_begin(list->segment);
}

static int end(struct sj_list *list, int error)
{
    return error == SJ_OK ? sj_tx_op_commit(list->segment) : sj_tx_op_abort(list->segment, error);
}

int sj_list_clear(struct sj_list *list)
{
    int error = begin(list);
    if (error != SJ_OK)
        return error;
    error = plan_clear(list, false);
    if (error == SJ_OK)
        sj_tx_ready(list->segment);
    return end(list, error);
}

int list_make_slots(struct sj_list *list, const struct sj_item *items, uint64_t count,
                    uint64_t *slots)
{
    int error = SJ_OK;
    for (uint64_t i = 0; i < count && error == SJ_OK; i++)
        error = list_slot_make(list, &items[i], &slots[i]);
    return error;
}

int list_items_fit(const struct sj_list *list, const struct sj_item *items, uint64_t count)
{
    int error = SJ_OK;
    if (list_plain(list))
        return SJ_OK;
    for (uint64_t i = 0; i < count && error == SJ_OK; i++)
        error = sj_item_fits(list->segment, list->kinds, &items[i].key, &items[i].value);
    return error;
}

int sj_list_replace(struct sj_list *list, uint64_t from, uint64_t to, const struct sj_item *items,
                    uint64_t count)
{
    uint64_t all = sj_list_count(list);
    if (from > to || to > all)
        return sj_error(SJ_EINVAL, "a list of %llu items has no part from %llu to %llu",
                        (unsigned long long)all, (unsigned long long)from, (unsigned long long)to);
    if (from == to && count == 0)
        return SJ_OK;
    int error = list_items_fit(list, items, count);
    if (error != SJ_OK)
        return error;
    uint64_t *slots = count < SIZE_MAX / 8 ? malloc(8 * (size_t)count + 8) : NULL;
    if (slots == NULL)
        return sj_error(SJ_ENOMEM, "%llu slots", (unsigned long long)count);
    error = begin(list);
    if (error == SJ_OK) {
        struct list_splice splice = {.from = from, .to = to, .slots = slots, .count = count};
        error = list_make_slots(list, items, count, slots);
        if (error == SJ_OK)
            error = list_splice(list, &splice);
        error = end(list, error);
    }
    free(slots);
    return error;
}
