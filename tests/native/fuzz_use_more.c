// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_use_more.c: deques, queues and lists that are damaged; structures by their addresses, and
 * the collector.
 */
#include "fuzz_user.h"
#include "structures/collect.h"
#include "structures/deque.h"
#include "structures/list.h"
#include "structures/queue.h"
#include "structures/structure.h"

/* ------------------------------------------------------------------ deques, queues */

static void read_deque(struct user *user, const struct sj_deque *deque)
{
    struct sj_value values[BATCH];
    uint64_t count = sj_deque_count(deque), read = 0;
    bool downwards = below(user, 2);
    struct sj_deque_cursor cursor = {.index = count == 0 ? 0 : below(user, count)};
    uint32_t got = BATCH;
    while (got == BATCH) {
        if (ANSWER(user, sj_deque_read(deque, &cursor, downwards, BATCH, values, &got), ANY_FAULT))
            return;
        for (uint32_t i = 0; i < got; i++)
            read_value(user, deque->kinds, &values[i]);
        bounded(read += got, items_most(user), "reading a deque");
    }
}

static uint32_t make_values(struct user *user, const struct sj_deque *deque,
                            struct sj_value values[3])
{
    uint32_t count = 1 + (uint32_t)below(user, 3);
    for (uint32_t i = 0; i < count; i++) /* in one buffer: the last one decides what is there */
        values[i] = fuzz_value(deque->kinds, below(user, 40), user->value);
    return count;
}

static void change_deque(struct user *user, struct sj_deque *deque)
{
    struct sj_value values[3];
    uint64_t count = sj_deque_count(deque), index = below(user, count % 4096 + 2);
    enum sj_side side = (enum sj_side)below(user, 2);
    uint32_t made = make_values(user, deque, values);
    switch (below(user, 24)) {
    case 0:
        (void)ANSWER(user, sj_deque_clear(deque), PUT_FAULT);
        break;
    case 1:
        (void)ANSWER(user, sj_deque_reverse(deque), PUT_FAULT);
        break;
    case 2:
        (void)ANSWER(user, sj_deque_set_limit(deque, below(user, 400)), PUT_FAULT | BIT(SJ_EINVAL));
        break;
    case 3 ... 5:
        (void)ANSWER(user, sj_deque_rotate(deque, side, below(user, 90)), PUT_FAULT);
        break;
    case 6 ... 8:
        (void)ANSWER(user, sj_deque_insert(deque, index, &values[0]), PUT_FAULT);
        break;
    case 9 ... 11:
        (void)ANSWER(user, sj_deque_delete(deque, index), PUT_FAULT);
        break;
    case 12 ... 13:
        (void)ANSWER(user, sj_deque_set(deque, index, &values[0]), PUT_FAULT);
        break;
    case 14 ... 17:
        (void)ANSWER(user, sj_deque_remove(deque, side, below(user, 70)), PUT_FAULT);
        break;
    case 18:
        (void)ANSWER(user, sj_queue_drop(deque, below(user, 4)), PUT_FAULT);
        break;
    case 19:
        (void)ANSWER(user, sj_queue_put(deque, values, made), PUT_FAULT | BIT(SJ_EBUSY));
        break;
    default:
        (void)ANSWER(user, sj_deque_extend(deque, side, values, made), PUT_FAULT);
    }
}

void fuzz_use_deque(struct user *user, uint64_t head, const struct fuzz_store *store)
{
    struct sj_deque deque;
    struct sj_value value;
    (void)store;
    if (ANSWER(user, sj_deque_open(user->segment, head, &deque), ANY_FAULT) != SJ_OK)
        return;
    for (uint64_t left = 1 + below(user, 10); left > 0; left--) {
        uint64_t index = below(user, sj_deque_count(&deque) % 4096 + 2);
        switch (below(user, 16)) {
        case 0:
            (void)ANSWER(user, sj_deque_check(&deque, NULL, NULL), ANY_FAULT);
            break;
        case 1 ... 2:
            read_deque(user, &deque);
            break;
        case 3 ... 5:
            if (ANSWER(user, sj_deque_get(&deque, index, &value), GET_FAULT) == SJ_OK)
                read_value(user, deque.kinds, &value);
            break;
        default:
            change_deque(user, &deque);
        }
    }
}

/* ------------------------------------------------------------------ lists */

static void read_list(struct user *user, struct sj_list *list)
{
    struct sj_item items[BATCH];
    uint64_t count = sj_list_count(list), at = below(user, count % 4096 + 1), read = 0;
    uint32_t got = BATCH;
    while (got == BATCH) {
        if (ANSWER(user, sj_list_read(list, at, BATCH, items, &got), ANY_FAULT))
            return;
        for (uint32_t i = 0; i < got; i++) {
            if (list->sorted && list->kinds.key == SJ_ITEM_BYTES)
                read_bytes(user, items[i].key.bytes,
                           (uint64_t)items[i].key.size + items[i].key.form_size);
            if (!list->sorted)
                read_value(user, list->kinds, &items[i].value);
        }
        at += got;
        bounded(read += got, items_most(user), "reading a list");
    }
}

static struct sj_item some_item(struct user *user, const struct sj_list *list)
{
    struct sj_item item = {.key = {.word = 0}};
    if (list->sorted)
        item.key = fuzz_key(list->kinds, below(user, 800), user->key);
    else
        item.value = fuzz_value(list->kinds, below(user, 40), user->value);
    return item;
}

/* Takes all slots, turns their order round, and gives them back. */
static void reorder_list(struct user *user, struct sj_list *list)
{
    static uint64_t slots[4096];
    uint64_t count = sj_list_count(list);
    if (list->sorted || count > 4096 ||
        ANSWER(user, sj_list_slots(list, 0, count, slots), GET_FAULT) != SJ_OK)
        return;
    for (uint64_t i = 0; i < count / 2; i++) {
        uint64_t slot = slots[i];
        slots[i] = slots[count - 1 - i];
        slots[count - 1 - i] = slot;
    }
    (void)ANSWER(user, sj_list_reorder(list, slots, count), PUT_FAULT | BIT(SJ_EINVAL));
}

static void replace_in_list(struct user *user, struct sj_list *list, uint64_t from)
{
    static struct sj_item items[600];
    struct sj_item item = some_item(user, list);
    uint64_t count = below(user, 600), gone = below(user, 4) == 0 ? below(user, 1200) : 0;
    if (list->sorted)
        return;
    for (uint64_t i = 0; i < count; i++)
        items[i] = item;
    (void)ANSWER(user, sj_list_replace(list, from, from + gone, items, count),
                 PUT_FAULT | BIT(SJ_EINVAL));
}

static void change_list(struct user *user, struct sj_list *list, uint64_t index)
{
    struct sj_item item = some_item(user, list);
    switch (below(user, 24)) {
    case 0:
        (void)ANSWER(user, sj_list_clear(list), PUT_FAULT);
        break;
    case 1:
        reorder_list(user, list);
        break;
    case 2 ... 5:
        replace_in_list(user, list, index);
        break;
    case 6 ... 11:
        (void)ANSWER(user, sj_list_delete(list, index), PUT_FAULT);
        break;
    case 12 ... 13:
        if (!list->sorted)
            (void)ANSWER(user, sj_list_set(list, index, &item.value), PUT_FAULT);
        break;
    case 14 ... 17:
        if (!list->sorted)
            (void)ANSWER(user, sj_list_append(list, &item), PUT_FAULT);
        break;
    default:
        if (list->sorted)
            (void)ANSWER(user, sj_list_add(list, &item.key), PUT_FAULT);
        else
            (void)ANSWER(user, sj_list_insert(list, index, &item), PUT_FAULT | BIT(SJ_EINVAL));
    }
}

void fuzz_use_list(struct user *user, uint64_t head, const struct fuzz_store *store)
{
    struct sj_list list;
    struct sj_item item;
    (void)store;
    if (ANSWER(user, sj_list_open(user->segment, head, &list), ANY_FAULT) != SJ_OK)
        return;
    for (uint64_t left = 1 + below(user, 10); left > 0; left--) {
        uint64_t index = below(user, sj_list_count(&list) % 4096 + 2);
        switch (below(user, 16)) {
        case 0:
            (void)ANSWER(user, sj_list_check(&list, NULL, NULL), ANY_FAULT);
            break;
        case 1 ... 2:
            read_list(user, &list);
            break;
        case 3 ... 4:
            if (ANSWER(user, sj_list_get(&list, index, &item), GET_FAULT) != SJ_OK)
                break;
            if (!list.sorted)
                read_value(user, list.kinds, &item.value);
            break;
        case 5:
            item = some_item(user, &list);
            if (list.sorted)
                (void)ANSWER(user, sj_list_bisect(&list, &item.key, below(user, 2), &index),
                             ANY_FAULT);
            break;
        default:
            change_list(user, &list, index);
        }
    }
}

/* ------------------------------------------------------------------ any structure */

struct reading {
    struct user *user;
    struct sj_structure_info info;
    uint64_t calls;
    uint64_t next; /* a structure that a reference leads to */
};

static int read_any(void *context, const struct sj_value *value)
{
    struct reading *reading = context;
    struct sj_kinds kinds = {SJ_ITEM_WORD, sj_codec_kind(reading->info.codecs.value)};
    if (reading->info.codecs.value != SJ_CODEC_NONE)
        read_value(reading->user, kinds, value);
    bounded(++reading->calls, items_most(reading->user), "reading values");
    return 0;
}

static int follow(void *context, uint64_t head, uint32_t serial)
{
    struct reading *reading = context;
    struct sj_structure_info info;
    if (ANSWER(reading->user, sj_structure_look(reading->user->segment, head, serial, &info),
               GET_FAULT) == SJ_OK)
        reading->next = head;
    bounded(++reading->calls, items_most(reading->user), "following references");
    return 0;
}

void fuzz_use_any(struct user *user, uint64_t head)
{
    struct sj_segment *segment = user->segment;
    for (uint32_t step = 0; step < 6 && head != 0; step++) {
        struct reading reading = {.user = user};
        if (ANSWER(user, sj_structure_look(segment, head, 0, &reading.info), GET_FAULT) != SJ_OK)
            return;
        const struct sj_structure_type *type = sj_structure_type_of(reading.info.kind);
        if (ANSWER(user, type->check(segment, head, NULL, NULL), ANY_FAULT) == SJ_OK)
            (void)ANSWER(user, type->values(segment, head, read_any, &reading), ANY_FAULT);
        reading.calls = 0;
        if (reading.info.codecs.value == SJ_CODEC_ANY)
            (void)ANSWER(user, sj_structure_references(segment, head, follow, &reading), GET_FAULT);
        head = reading.next;
    }
}

/* Makes one of any kind, with or without values. */
static int make_unnamed(struct user *user, struct sj_codecs codecs, uint16_t type, uint64_t *head)
{
    int error = sj_tx_op_begin(user->segment);
    if (error != SJ_OK)
        return error;
    error = sj_structure_create(user->segment, type, codecs, head);
    return fuzz_end(user->segment, error);
}

static int destroy(struct sj_segment *segment, uint64_t head)
{
    int error = sj_tx_op_begin(segment);
    return error == SJ_OK ? fuzz_end(segment, sj_structure_destroy(segment, head)) : error;
}

/* The address of something else, now and then. */
static uint64_t some_head(struct user *user, uint64_t head)
{
    const struct fuzz_image *image = user->use->image;
    if (below(user, 4) == 0 && image->blocks > 0)
        return image->block[below(user, image->blocks)].at + 8 * below(user, 2);
    return below(user, 8) == 0 ? fuzz_next(user->use->random) : head;
}

static void collect(struct user *user, uint64_t head)
{
    struct sj_kept kept = {some_head(user, head), 0};
    struct sj_collect_options options = {.kept = &kept, .kept_count = below(user, 2)};
    struct sj_census_report report;
    int error = ANSWER(user, sj_collect(user->segment, &options, &report),
                       PUT_FAULT | BIT(SJ_EINVAL) | BIT(SJ_ENOMEM));
    bool inside = user->segment->tx.depth > 0;
    if ((error == SJ_EINVAL) != inside || (error == SJ_OK && report.leaked_blocks != 0)) {
        fprintf(stderr, "fuzz: a collection answers %d and leaves %" PRIu64 " blocks\n", error,
                report.leaked_blocks);
        abort();
    }
}

void fuzz_use_unnamed(struct user *user, uint64_t from)
{
    uint64_t head = 0;
    uint8_t buffer[FUZZ_ANY_BYTES];
    const uint64_t allowed = PUT_FAULT | BIT(SJ_EINVAL);
    struct sj_codecs codecs = {SJ_CODEC_NONE, SJ_CODEC_ANY};
    uint16_t type = below(user, 2) ? SJ_KIND_DEQUE : SJ_KIND_LIST;
    if (ANSWER(user, make_unnamed(user, codecs, type, &head), PUT_FAULT) != SJ_OK)
        return;
    struct sj_value value = fuzz_any(some_head(user, from), 0, buffer);
    if (ANSWER(user, sj_structure_share_all(user->segment, &value), allowed) == SJ_OK) {
        struct sj_structure_info info;
        if (ANSWER(user, sj_structure_look(user->segment, head, 0, &info), GET_FAULT) == SJ_OK)
            fuzz_use_any(user, head);
    }
    if (below(user, 3) == 0)
        (void)ANSWER(user, destroy(user->segment, some_head(user, head)),
                     PUT_FAULT | BIT(SJ_ETYPE));
    if (below(user, 2) == 0)
        collect(user, head);
}
