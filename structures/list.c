// SPDX-License-Identifier: Apache-2.0
/*
 * list.c: lists, and the operations that change one leaf: get, set, append, insert, delete.
 *
 *   append x   | a b c |        →  | a b c x |        the leaf's head and head.count are logged
 *   insert x   | a b c d |      →  | a x b c d |      slots from there on move one up
 *   delete b   | a b c d |      →  | a c d |          slots behind it move one down
 *
 * What comes before the children to the right, on all levels, becomes one more or less. An
 * insertion into a full leaf, and a deletion that leaves one too empty, go to list_splice.c.
 *
 * Crash rule: what moves, the leaf's head, the counts in the inner nodes and the list's are logged
 * before any of them is stored: recovery yields the leaf before. The place behind the last slot is
 * not in use, so storing to it needs no log.
 *
 * Cost: the way down (none next to the leaf that was used last), and the moves.
 */
#include "structures/item_byte.h"
#include "structures/list_node.h"
#include "structures/structure.h"

/* What the codecs make of a list; whether they are those of one. */
static bool take_codecs(struct sj_list *list, uint8_t key, uint8_t value)
{
    list->sorted = key != SJ_CODEC_NONE;
    list->kinds = (struct sj_kinds){sj_codec_kind(key), sj_codec_kind(value)};
    return key <= SJ_CODEC_PICKLE && value <= SJ_CODEC_PICKLE &&
           list->sorted == (value == SJ_CODEC_NONE);
}

int sj_list_create(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head)
{
    struct sj_list list;
    struct sj_list_head *block, fresh = {.first = {.kind = SJ_KIND_LIST,
                                                   .key = sj_item_byte(codecs.key),
                                                   .value = sj_item_byte(codecs.value)}};
    if (!take_codecs(&list, codecs.key, codecs.value))
        return sj_error(SJ_EINVAL, "a list has a codec for its values or one for its keys");
    int error = sj_structure_serial(&fresh.first.serial);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sizeof *block, (void **)&block);
    if (error != SJ_OK)
        return error;
    sj_copy(block, &fresh, sizeof fresh);
    *head = list_address(block);
    return SJ_OK;
}

int sj_list_open(struct sj_segment *segment, uint64_t head, struct sj_list *list)
{
    struct sj_list_head *block = sj_segment_block(segment, head, sizeof *block, SJ_KIND_LIST);
    *list = (struct sj_list){.segment = segment, .head = block};
    if (block == NULL || !sj_item_byte_is_sound(block->first.key) ||
        !sj_item_byte_is_sound(block->first.value) ||
        !take_codecs(list, sj_item_byte_codec(block->first.key),
                     sj_item_byte_codec(block->first.value)) ||
        block->first.value != sj_item_byte(sj_item_byte_codec(block->first.value)) ||
        block->height > SJ_LIST_HEIGHT_MAX || (block->top == 0) != (block->count == 0))
        return sj_segment_damaged(segment, head, "the head of a list");
    return SJ_OK;
}

/* ------------------------------------------------------------------ ways down */

int list_path_to(const struct sj_list *list, uint64_t index, struct list_path *path)
{
    uint64_t at = list->head->top, items = list->head->count, height = list->head->height;
    uint64_t rest = index, before;
    if (SJ_UNLIKELY(height > SJ_LIST_HEIGHT_MAX))
        return list_damaged(list, list_address(&list->head->height), "the height of a list");
    path->height = (uint32_t)height;
    for (uint32_t level = path->height; level-- > 0;) {
        struct sj_list_inner *inner = list_inner_at(list, at);
        if (SJ_UNLIKELY(inner == NULL))
            return list_damaged_inner(list, at);
        uint32_t count = inner->node.count, child = list_child_of(inner, count, rest);
        path->step[level] = (struct list_step){inner, count, child, items};
        items = list_child_items(inner, count, items, child, &before);
        if (SJ_UNLIKELY(items == 0))
            return list_damaged_inner(list, at);
        rest -= before;
        at = inner->child[child];
    }
    struct sj_list_leaf *leaf = list_leaf_at(list, at);
    if (SJ_UNLIKELY(leaf == NULL || leaf->node.count != items || rest > items ||
                    (height != 0 && leaf->node.aux != SJ_LIST_LEAF_SLOTS)))
        return list_damaged_leaf(list, at);
    path->leaf = leaf;
    path->count = (uint32_t)items;
    path->room = leaf->node.aux;
    path->at = (uint32_t)rest;
    path->first = index - rest;
    return SJ_OK;
}

/* The leaf at the end of the way is used again soon. */
static void note(struct sj_list *list, const struct list_path *path, uint32_t count)
{
    list->hint = (struct sj_list_hint){path->leaf, path->first, count, path->room};
}

/* The leaf that has an item, by the hint or by a way down, becomes the hint. SJ_ENOTFOUND. */
static int find(struct sj_list *list, uint64_t index)
{
    struct list_path path;
    if (SJ_LIKELY(index - list->hint.first < list->hint.count))
        return SJ_OK;
    if (index >= sj_list_count(list))
        return SJ_ENOTFOUND;
    int error = list_path_to(list, index, &path);
    if (SJ_LIKELY(error == SJ_OK))
        note(list, &path, path.count);
    return error;
}

/* ------------------------------------------------------------------ reading */

int sj_list_get(struct sj_list *list, uint64_t index, struct sj_item *item)
{
    int error = find(list, index);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return list_slot_item(list, &list->hint.leaf->slot[index - list->hint.first], item);
}

int sj_list_read(struct sj_list *list, uint64_t index, uint32_t wanted, struct sj_item *items,
                 uint32_t *got)
{
    bool plain = list_plain(list);
    *got = 0;
    while (*got < wanted) {
        int error = find(list, index + *got);
        if (error == SJ_ENOTFOUND)
            return SJ_OK;
        if (error != SJ_OK)
            return error;
        uint64_t at = index + *got - list->hint.first;
        const uint64_t *slot = list->hint.leaf->slot + at;
        uint32_t count = list->hint.count - (uint32_t)at;
        if (count > wanted - *got)
            count = wanted - *got;
        for (uint32_t i = 0; i < count && !plain; i++)
            sj_slot_prefetch(slot[i]);
        for (uint32_t i = 0; i < count; i++) {
            error = list_slot_item(list, slot + i, &items[*got + i]);
            if (SJ_UNLIKELY(error != SJ_OK))
                return error;
        }
        *got += count;
    }
    return SJ_OK;
}

int sj_list_slots(struct sj_list *list, uint64_t index, uint64_t count, uint64_t *slots)
{
    while (count > 0) {
        int error = find(list, index);
        if (error != SJ_OK)
            return error;
        uint64_t at = index - list->hint.first, part = list->hint.count - at;
        if (part > count)
            part = count;
        memcpy(slots, list->hint.leaf->slot + at, 8 * part);
        slots += part;
        index += part;
        count -= part;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ changes of one leaf */

int sj_list_set(struct sj_list *list, uint64_t index, const struct sj_value *value)
{
    SJ_ASSERT(!list->sorted);
    int error = list_plain(list) ? SJ_OK : sj_item_fits(list->segment, list->kinds, NULL, value);
    if (SJ_LIKELY(error == SJ_OK))
        error = find(list, index);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    struct sj_list_leaf *leaf = list->hint.leaf;
    return sj_slot_replace(list->segment, list->kinds, &leaf->node,
                           list_leaf_bytes(list->hint.room), &leaf->slot[index - list->hint.first],
                           value);
}

/* The last part of a plan: the list's count and the leaf's become one more or less at
 * sj_tx_ready. */
static int change_counts(struct sj_list *list, struct sj_list_leaf *leaf, uint32_t room,
                         uint32_t count, int32_t change)
{
    uint64_t *all = &list->head->count;
    int error = sj_tx_word(list->segment, all, *all + (uint64_t)(int64_t)change);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return sj_tx_node_word(list->segment, &leaf->node, list_leaf_bytes(room),
                           (uint64_t *)&leaf->node,
                           list_node_head(SJ_KIND_LIST_LEAF, count + (uint32_t)change, room));
}

/* Logs the leaf's slots [from, to), and what comes before the children right of the way. */
static int log_moves(struct sj_list *list, const struct list_path *path, uint32_t from, uint32_t to)
{
    struct sj_segment *segment = list->segment;
    struct sj_list_leaf *leaf = path->leaf;
    int error = SJ_OK;
    if (from < to)
        error = sj_tx_node_range(segment, &leaf->node, list_leaf_bytes(path->room),
                                 leaf->slot + from, 8 * (size_t)(to - from));
    for (uint32_t i = 0; i < path->height && error == SJ_OK; i++) {
        const struct list_step *step = &path->step[i];
        if (step->index + 1 < step->count)
            error = sj_tx_node_range(segment, &step->inner->node, sizeof *step->inner,
                                     step->inner->before + step->index + 1,
                                     8 * (size_t)(step->count - step->index - 1));
    }
    return error;
}

static void change_before(const struct list_path *path, int64_t change)
{
    for (uint32_t i = 0; i < path->height; i++) {
        const struct list_step *step = &path->step[i];
        for (uint32_t right = step->index + 1; right < step->count; right++)
            sj_store(step->inner->before + right, step->inner->before[right] + (uint64_t)change);
    }
}

/* Ends an operation whose plan and apply gave `error`. */
static int end(struct sj_list *list, int error)
{
    if (SJ_LIKELY(error == SJ_OK))
        error = sj_tx_op_commit(list->segment);
    else
        error = sj_tx_op_abort(list->segment, error);
    if (SJ_UNLIKELY(error != SJ_OK))
        sj_list_forget(list);
    return error;
}

static int item_fits(const struct sj_list *list, const struct sj_item *item)
{
    return list_plain(list) ? SJ_OK
                            : sj_item_fits(list->segment, list->kinds, &item->key, &item->value);
}

/* Plan and apply: one more slot in a leaf that has room. */
static int take_in(struct sj_list *list, const struct list_path *path, const struct sj_item *item)
{
    struct sj_list_leaf *leaf = path->leaf;
    uint32_t at = path->at, count = path->count;
    uint64_t slot;
    int error = list_slot_make(list, item, &slot);
    if (SJ_LIKELY(error == SJ_OK))
        error = at < count ? log_moves(list, path, at, count + 1)
                           : sj_tx_fresh(list->segment, leaf->slot + at, sizeof leaf->slot[0]);
    if (SJ_LIKELY(error == SJ_OK && at == count))
        error = log_moves(list, path, 0, 0);
    if (SJ_LIKELY(error == SJ_OK))
        error = change_counts(list, leaf, path->room, count, 1);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_tx_ready(list->segment);
    if (at < count)
        sj_move(leaf->slot + at + 1, leaf->slot + at, 8 * (size_t)(count - at));
    sj_store(leaf->slot + at, slot);
    change_before(path, 1);
    note(list, path, count + 1);
    return SJ_OK;
}

/* Plan and apply: one more slot at `index`, by the way of any change. */
static int splice_in(struct sj_list *list, uint64_t index, const struct sj_item *item)
{
    uint64_t slot;
    int error = list_slot_make(list, item, &slot);
    if (error != SJ_OK)
        return error;
    struct list_splice splice = {.from = index, .to = index, .slots = &slot, .count = 1};
    return list_splice(list, &splice);
}

int list_insert_at(struct sj_list *list, const struct list_path *path, const struct sj_item *item)
{
    int error = sj_tx_op_begin(list->segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = SJ_LIKELY(path->count < path->room) ? take_in(list, path, item)
                                                : splice_in(list, path->first + path->at, item);
    return end(list, error);
}

/* The way to the end, if it is known: no inner node is on it. */
static bool hinted_end(const struct sj_list *list, struct list_path *path)
{
    const struct sj_list_hint *hint = &list->hint;
    if (hint->count == 0 || hint->first + hint->count != sj_list_count(list))
        return false;
    path->height = 0;
    path->leaf = hint->leaf;
    path->count = path->at = hint->count;
    path->room = hint->room;
    path->first = hint->first;
    return true;
}

static int insert(struct sj_list *list, uint64_t index, const struct sj_item *item)
{
    struct list_path path;
    uint64_t count = sj_list_count(list);
    if (SJ_UNLIKELY(index > count))
        return sj_error(SJ_EINVAL, "a list of %llu items has no place %llu",
                        (unsigned long long)count, (unsigned long long)index);
    int error = item_fits(list, item);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (index == count && SJ_LIKELY(hinted_end(list, &path) && path.count < path.room))
        return list_insert_at(list, &path, item);
    if (SJ_UNLIKELY(count == 0)) {
        error = sj_tx_op_begin(list->segment);
        return error == SJ_OK ? end(list, splice_in(list, 0, item)) : error;
    }
    error = list_path_to(list, index, &path);
    return error == SJ_OK ? list_insert_at(list, &path, item) : error;
}

int sj_list_append(struct sj_list *list, const struct sj_item *item)
{
    return insert(list, sj_list_count(list), item);
}

int sj_list_insert(struct sj_list *list, uint64_t index, const struct sj_item *item)
{
    return insert(list, index, item);
}

int sj_list_add(struct sj_list *list, const struct sj_key *key)
{
    struct list_path path;
    struct sj_item item = {.key = *key};
    if (sj_list_count(list) == 0)
        return insert(list, 0, &item);
    int error = item_fits(list, &item);
    if (error == SJ_OK)
        error = list_path_of_key(list, key, true, &path);
    return error == SJ_OK ? list_insert_at(list, &path, &item) : error;
}

/* Plan and apply: the slot goes, those behind it move down. */
static int take_out(struct sj_list *list, const struct list_path *path)
{
    struct sj_list_leaf *leaf = path->leaf;
    uint32_t at = path->at, last = path->count - 1;
    int error = list_free_slots(list, leaf, at, at + 1);
    if (SJ_LIKELY(error == SJ_OK))
        error = log_moves(list, path, at, last);
    if (SJ_LIKELY(error == SJ_OK))
        error = change_counts(list, leaf, path->room, path->count, -1);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    sj_tx_ready(list->segment);
    sj_move(leaf->slot + at, leaf->slot + at + 1, 8 * (size_t)(last - at));
    change_before(path, -1);
    note(list, path, last);
    return SJ_OK;
}

/* Whether the leaf may lose a slot: the last one of a list has only to keep one. (A way by the hint
 * has no steps, and leads there.) */
static bool may_lose(const struct list_path *path)
{
    if (path->count > LIST_LEAF_LEAST)
        return true;
    for (uint32_t i = 0; i < path->height; i++)
        if (path->step[i].index + 1 < path->step[i].count)
            return false;
    return path->count > 1;
}

int sj_list_delete(struct sj_list *list, uint64_t index)
{
    struct list_path path;
    if (index >= sj_list_count(list))
        return SJ_ENOTFOUND;
    int error = SJ_OK;
    if (index + 1 == sj_list_count(list) && hinted_end(list, &path))
        path.at--;
    else
        error = list_path_to(list, index, &path);
    if (error == SJ_OK)
        error = sj_tx_op_begin(list->segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    struct list_splice splice = {.from = index, .to = index + 1};
    return end(list, may_lose(&path) ? take_out(list, &path) : list_splice(list, &splice));
}
