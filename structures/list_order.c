// SPDX-License-Identifier: Apache-2.0
/*
 * list_order.c: the whole list in another order: reversed, sorted, merged with what comes.
 *
 *   slots   | a b c | d e |      the slots are copied out, put into order, and the list becomes
 *   order   | d b a | e c |      these slots: what they lead to stays where it is
 *
 * Crash rule: one list_splice() of all that there is, into leaves most of which are fresh.
 * Cost: O(n), sorting O(n log n); memory: 8 bytes an item.
 */
#include <stdlib.h>

#include "structures/list_node.h"

/* The whole list becomes these slots, among which are all that it has. Ends the operation that was
 * begun. */
static int put(struct sj_list *list, const uint64_t *slots, uint64_t count, int error)
{
    struct list_splice splice = {
        .to = sj_list_count(list), .slots = slots, .count = count, .keep = true};
    if (error == SJ_OK)
        error = list_splice(list, &splice);
    return error == SJ_OK ? sj_tx_op_commit(list->segment) : sj_tx_op_abort(list->segment, error);
}

int sj_list_reorder(struct sj_list *list, const uint64_t *slots, uint64_t count)
{
    if (count != sj_list_count(list))
        return sj_error(SJ_EINVAL, "a list of %llu items has not %llu slots",
                        (unsigned long long)sj_list_count(list), (unsigned long long)count);
    if (count == 0)
        return SJ_OK;
    int error = sj_tx_op_begin(list->segment);
    return error == SJ_OK ? put(list, slots, count, SJ_OK) : error;
}

/* All slots, and room for `more`. */
static int copy_slots(struct sj_list *list, uint64_t more, uint64_t **slots)
{
    uint64_t count = sj_list_count(list);
    /* A damaged count is not what memory is asked for. */
    if (count > sj_segment_committed(list->segment) / 8)
        return list_damaged(list, list_address(&list->head->count), "the count of a list");
    *slots = more < SIZE_MAX / 8 - count ? malloc(8 * (size_t)(count + more) + 8) : NULL;
    if (*slots == NULL)
        return sj_error(SJ_ENOMEM, "%llu slots", (unsigned long long)count);
    int error = sj_list_slots(list, 0, count, *slots);
    if (error != SJ_OK) {
        free(*slots);
        *slots = NULL;
    }
    return error;
}

int sj_list_reverse(struct sj_list *list)
{
    uint64_t *slots, count = sj_list_count(list);
    int error = copy_slots(list, 0, &slots);
    if (error != SJ_OK)
        return error;
    for (uint64_t i = 0; i < count / 2; i++) {
        uint64_t slot = slots[i];
        slots[i] = slots[count - 1 - i];
        slots[count - 1 - i] = slot;
    }
    error = sj_list_reorder(list, slots, count);
    free(slots);
    return error;
}

static int compare_up(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int compare_down(const void *a, const void *b)
{
    return compare_up(b, a);
}

int sj_list_sort_numbers(struct sj_list *list, bool descending)
{
    SJ_ASSERT(!list->sorted && list_plain(list));
    uint64_t *slots, count = sj_list_count(list);
    int error = copy_slots(list, 0, &slots);
    if (error != SJ_OK)
        return error;
    qsort(slots, count, sizeof *slots, descending ? compare_down : compare_up);
    error = sj_list_reorder(list, slots, count);
    free(slots);
    return error;
}

/* ------------------------------------------------------------------ merging */

static int ascend(const struct sj_list *list, const struct sj_item *items, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++)
        if (list_key_order(list, &items[i - 1].key, &items[i].key) > 0)
            return sj_error(SJ_EORDER, "key %llu of those that are added", (unsigned long long)i);
    return SJ_OK;
}

/* Merges [0, old) and [old, old + count) of `slots`, the latter those of the items, into `merged`;
 * an old one comes before a new one that equals it. SJ_ECORRUPT. */
static int merge(const struct sj_list *list, const uint64_t *slots, uint64_t old,
                 const struct sj_item *items, uint64_t count, uint64_t *merged)
{
    uint64_t a = 0, b = 0;
    while (a < old) {
        struct sj_item item = {0};
        int error = list_slot_item(list, &slots[a], &item);
        if (error != SJ_OK)
            return error;
        while (b < count && list_key_order(list, &items[b].key, &item.key) < 0) {
            merged[a + b] = slots[old + b];
            b++;
        }
        merged[a + b] = slots[a];
        a++;
    }
    if (b < count)
        memcpy(merged + a + b, slots + old + b, 8 * (size_t)(count - b));
    return SJ_OK;
}

int sj_list_merge(struct sj_list *list, const struct sj_item *items, uint64_t count)
{
    SJ_ASSERT(list->sorted);
    uint64_t *slots, *merged, old = sj_list_count(list);
    int error = ascend(list, items, count);
    if (error == SJ_OK)
        error = list_items_fit(list, items, count);
    if (error != SJ_OK || count == 0)
        return error;
    error = copy_slots(list, count, &slots);
    if (error != SJ_OK)
        return error;
    merged = malloc(8 * (size_t)(old + count));
    error = merged != NULL ? sj_tx_op_begin(list->segment)
                           : sj_error(SJ_ENOMEM, "%llu slots", (unsigned long long)(old + count));
    if (error == SJ_OK) {
        error = list_make_slots(list, items, count, slots + old);
        if (error == SJ_OK)
            error = merge(list, slots, old, items, count, merged);
        error = put(list, merged, old + count, error);
    }
    free(slots);
    free(merged);
    return error;
}
