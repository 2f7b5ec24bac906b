// SPDX-License-Identifier: Apache-2.0
/*
 * btree_plan.c: images and words that are going to be stored, and fences (btree_plan.h).
 *
 *   node   | head | stamp | … | k3 k4 k5 … | … | s3 s4 s5 … |
 *   image  | head'| …     | … | k3 x  k4 … | … | s3 y  s4 … |
 *   log      ^^^^                ^^^^^^^^^         ^^^^^^^^^       only what differs
 *
 * Crash rule: all that is stored was logged before sj_tx_ready; recovery restores it.
 * Cost: a comparison of each image with its node.
 */
#include "structures/btree_plan.h"

#define STAMP_WORD 1 /* of a node: kept by tx.c, never part of an image */
#define GAP_WORDS  8 /* equal words that are logged rather than begin another log entry */

void btree_plan_begin(struct btree_plan *plan, struct sj_btree *tree, const struct btree_path *path)
{
    plan->tree = tree;
    plan->path = path;
    plan->edits = plan->words = 0;
    plan->image_words = 0;
}

void *btree_plan_edit(struct btree_plan *plan, void *node, size_t bytes)
{
    SJ_ASSERT(plan->edits < BTREE_EDITS_MAX);
    uint64_t *image = plan->image + plan->image_words;
    plan->image_words += bytes / 8;
    memcpy(image, node, bytes);
    plan->edit[plan->edits++] = (struct btree_edit){node, image, bytes};
    return image;
}

void btree_plan_word(struct btree_plan *plan, void *node, size_t node_bytes, uint64_t *at,
                     uint64_t value)
{
    SJ_ASSERT(plan->words < BTREE_WORDS_MAX);
    plan->word[plan->words++] = (struct btree_word){node, node_bytes, at, value};
}

void btree_plan_counts(struct btree_plan *plan, uint32_t step, int64_t change)
{
    const struct btree_path *path = plan->path;
    struct sj_btree_head *head = plan->tree->head;
    bool bytes = btree_bytes(plan->tree);
    for (; step < path->height; step++) {
        struct sj_btree_inner *inner = path->step[step].inner;
        uint64_t *at = &inner_items(inner, bytes)[path->step[step].index];
        btree_plan_word(plan, inner, sizeof *inner, at, *at + (uint64_t)change);
    }
    btree_plan_word(plan, NULL, 0, &head->count, head->count + (uint64_t)change);
}

/* Logs the words of a node in which its image differs. */
static int log_edit(struct sj_segment *segment, const struct btree_edit *edit)
{
    const uint64_t *image = edit->image;
    uint64_t *node = (uint64_t *)edit->node;
    size_t words = edit->bytes / 8, at = 0;
    while (at < words) {
        if (at == STAMP_WORD || node[at] == image[at]) {
            at++;
            continue;
        }
        size_t end = at + 1;
        for (size_t next = end; next < words && next < end + GAP_WORDS; next++)
            if (next != STAMP_WORD && node[next] != image[next])
                end = next + 1;
        int error = sj_tx_node_range(segment, edit->node, edit->bytes, node + at, 8 * (end - at));
        if (error != SJ_OK)
            return error;
        at = end;
    }
    return SJ_OK;
}

int btree_plan_log(struct btree_plan *plan)
{
    struct sj_segment *segment = plan->tree->segment;
    for (uint32_t i = 0; i < plan->edits; i++) {
        int error = log_edit(segment, &plan->edit[i]);
        if (error != SJ_OK)
            return error;
    }
    for (uint32_t i = 0; i < plan->words; i++) {
        const struct btree_word *word = &plan->word[i];
        int error = word->node == NULL ? sj_tx_range(segment, word->at, sizeof *word->at)
                                       : sj_tx_node_range(segment, word->node, word->node_bytes,
                                                          word->at, sizeof *word->at);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

void btree_plan_apply(struct btree_plan *plan)
{
    sj_tx_ready(plan->tree->segment);
    for (uint32_t i = 0; i < plan->edits; i++) {
        const struct btree_edit *edit = &plan->edit[i];
        uint64_t *node = (uint64_t *)edit->node;
        for (size_t at = 0; at < edit->bytes / 8; at++)
            if (at != STAMP_WORD && node[at] != edit->image[at])
                sj_store(node + at, edit->image[at]);
    }
    for (uint32_t i = 0; i < plan->words; i++)
        sj_store(plan->word[i].at, plan->word[i].value);
}

int btree_fresh(struct sj_btree *tree, uint64_t bytes, void **node)
{
    return sj_heap_alloc(tree->segment, bytes, node);
}

void btree_fresh_store(struct sj_btree *tree, void *node, void *image, size_t bytes)
{
    ((struct sj_node *)image)->stamp = sj_tx_stamp(tree->segment);
    sj_copy(node, image, bytes);
}

/* ------------------------------------------------------------------ fences */

static int fence_at(const struct sj_btree *tree, struct sj_btree_inner *inner, uint32_t index,
                    struct btree_fence *fence)
{
    fence->block = inner_separators(inner)[index];
    fence->text = separator_at(tree, fence->block);
    return fence->text.bytes != NULL ? SJ_OK : damaged_separator(tree, fence->block);
}

int btree_fence_low(const struct sj_btree *tree, const struct btree_path *path, uint32_t step,
                    uint32_t index, struct btree_fence *fence)
{
    *fence = (struct btree_fence){0};
    while (step < path->height) {
        if (index > 0)
            return fence_at(tree, path->step[step].inner, index, fence);
        if (++step < path->height)
            index = path->step[step].index;
    }
    return SJ_OK;
}

int btree_fence_high(const struct sj_btree *tree, const struct btree_path *path, uint32_t step,
                     uint32_t index, struct btree_fence *fence)
{
    *fence = (struct btree_fence){0};
    while (step < path->height) {
        if (index + 1 < inner_count(path->step[step].inner, true))
            return fence_at(tree, path->step[step].inner, index + 1, fence);
        if (++step < path->height)
            index = path->step[step].index;
    }
    return SJ_OK;
}

static uint32_t common_prefix(struct btree_text a, struct btree_text b)
{
    uint32_t shorter = a.size < b.size ? a.size : b.size, length = 0;
    while (length < shorter && a.bytes[length] == b.bytes[length])
        length++;
    return length;
}

uint32_t btree_skip(const struct btree_fence *low, const struct btree_fence *high)
{
    if (low->text.bytes == NULL || high->text.bytes == NULL)
        return 0;
    return common_prefix(low->text, high->text);
}

int btree_separator_make(struct sj_btree *tree, struct btree_text left, struct btree_text right,
                         struct btree_fence *fence)
{
    uint32_t size = common_prefix(left, right) + 1;
    struct sj_btree_separator *separator;
    if (SJ_UNLIKELY(size > right.size ||
                    (size <= left.size && left.bytes[size - 1] > right.bytes[size - 1])))
        return sj_segment_damaged(tree->segment, address_of(right.bytes),
                                  "a key above the one before it");
    int error = sj_heap_alloc(tree->segment, sizeof *separator + size, (void **)&separator);
    if (error != SJ_OK)
        return error;
    sj_store(separator, SJ_KIND_BTREE_KEY | (uint64_t)size << 32);
    sj_copy(separator->bytes, right.bytes, size);
    fence->block = address_of(separator);
    fence->text = (struct btree_text){separator->bytes, size};
    fence->word = 0;
    return SJ_OK;
}
