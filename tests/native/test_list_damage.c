// SPDX-License-Identifier: Apache-2.0
/*
 * test_list_damage.c: the check of a list notices every flipped bit that matters, and nothing that
 * is done with a damaged list crashes or does not end.
 */
#include "list_world.h"

/* Whether the checker looks at this word, or at what it decides. */
static bool is_checked(const struct sj_block *block, uint64_t word)
{
    const uint64_t count = block->word16;
    switch (block->kind) {
    case SJ_KIND_LIST: /* the rest is read when the list is opened */
        return word > 0;
    case SJ_KIND_LIST_LEAF:
        return word == 0 || (word >= 2 && word < 2 + count && test.kind == 3);
    case SJ_KIND_LIST_INNER:
        return word == 0 || (word >= 2 && word < 2 + count) ||
               (word >= 2 + SJ_LIST_FANOUT && word < 2 + SJ_LIST_FANOUT + count);
    default: /* of entries just the head */
        return word == 0;
    }
}

/* Flips a bit of each word of a block in turn: the check must notice. */
static int flip_words(void *context, uint64_t block, uint64_t bytes)
{
    uint64_t *flips = context, *words = (uint64_t *)(uintptr_t)block;
    const struct sj_block head = *(struct sj_block *)words;
    bool node = head.kind == SJ_KIND_LIST_LEAF || head.kind == SJ_KIND_LIST_INNER;
    bytes = head.kind == SJ_KIND_LIST ? sizeof(struct sj_list_head) : bytes;
    for (uint64_t word = 0; word < bytes / 8; word++) {
        if (!is_checked(&head, word))
            continue;
        uint64_t old = words[word];
        words[word] ^= 1ull << (word > 0 ? test_below(64) : test_below(node ? 64 : 16));
        CHECK(sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
        words[word] = old;
        ++*flips;
    }
    return SJ_OK;
}

static void every_word_is_checked(struct sj_segment *segment)
{
    uint64_t flips = 0;
    new_list(segment, 3);
    replace(0, 0, 2300);
    for (uint32_t i = 0; i < 40; i++)
        change(60);
    CHECK(test.list.head->height == 1);
    CHECK_OK(sj_list_check(&test.list, flip_words, &flips));
    printf("%" PRIu64 " flipped bits were noticed\n", flips);
    no_block_is_lost();
    destroy_list();
}

/* ------------------------------------------------------------------ using what is damaged */

#define BLOCKS_MAX 4000

static struct {
    uint64_t at[BLOCKS_MAX];
    uint32_t count;
} nodes;

static int collect_node(void *context, uint64_t block, uint64_t bytes)
{
    (void)context, (void)bytes;
    const struct sj_block *head = (struct sj_block *)(uintptr_t)block;
    if (nodes.count < BLOCKS_MAX &&
        (head->kind != SJ_KIND_ENTRY && head->kind != SJ_KIND_BLOB ? true : test_below(20) == 0))
        nodes.at[nodes.count++] = block;
    return SJ_OK;
}

/* Some word of a node gets another value: a flipped bit, a number, or some node's address. */
static void damage(void)
{
    uint64_t block = nodes.at[test_below(nodes.count)];
    const struct sj_block *head = (struct sj_block *)(uintptr_t)block;
    uint64_t words = head->kind == SJ_KIND_LIST         ? 4
                     : head->kind == SJ_KIND_LIST_INNER ? 256
                     : head->kind == SJ_KIND_LIST_LEAF  ? 2 + head->word32 % 511
                                                        : 2;
    uint64_t word = test_below(3) == 0 ? 0 : test_below(words);
    if (head->kind == SJ_KIND_LIST_INNER && test_below(2) == 0)
        word = test_below(2) * SJ_LIST_FANOUT + 2 + test_below(head->word16 % 128 + 1u) % 127;
    uint64_t *at = (uint64_t *)(uintptr_t)block + word;
    switch (test_below(4)) {
    case 0:
        *at = test_random() >> test_below(64);
        break;
    case 1:
        *at = nodes.at[test_below(nodes.count)];
        break;
    case 2:
        *at = nodes.at[test_below(nodes.count)] + 8 * test_below(600);
        break;
    default:
        *at ^= 1ull << test_below(word == 0 ? 40 : 64);
        break;
    }
}

static bool is_fine(int error)
{
    CHECK(error == SJ_OK || error == SJ_ECORRUPT || error == SJ_ENOTFOUND || error == SJ_EINVAL ||
          error == SJ_EFULL || error == SJ_ENOMEM || error == SJ_ETOOBIG);
    return error == SJ_OK;
}

/* Every operation, at places that the damaged list may have or not. */
static void use(void)
{
    static struct item_buffer buffer;
    static struct sj_item items[400];
    static uint64_t slots[2000];
    struct sj_list *list = &test.list;
    struct sj_item item;
    uint32_t got;
    if (!is_fine(sj_list_open(test.segment, (uintptr_t)list->head, list)))
        return;
    const struct sj_item *fresh = item_of(test_below(test.spread), &buffer);
    for (uint32_t i = 0; i < 300; i++)
        items[i] = *fresh;
    for (uint32_t i = 0; i < 12; i++) {
        uint64_t at = test_below(2 * test.count), to = at + test_below(test.count);
        sj_list_forget(list);
        is_fine(sj_list_get(list, at, &item));
        is_fine(sj_list_read(list, at, 300, items + 50, &got));
        for (uint32_t j = 50; j < 400; j++)
            items[j] = *fresh;
        is_fine(sj_list_slots(list, at, 500, slots));
        if (test.sorted) {
            is_fine(sj_list_bisect(list, &fresh->key, i % 2 == 0, &at));
            is_fine(sj_list_add(list, &fresh->key));
        } else {
            is_fine(sj_list_set(list, at, &fresh->value));
        }
        is_fine(sj_list_insert(list, at, fresh));
        is_fine(sj_list_append(list, fresh));
        is_fine(sj_list_delete(list, to));
        is_fine(sj_list_replace(list, at, to, items, test_below(400)));
        is_fine(sj_list_delete(list, sj_list_count(list) - 1));
        if (i % 4 != 0)
            continue;
        is_fine(sj_list_reverse(list));
        is_fine(test.sorted ? sj_list_merge(list, items, 30) : SJ_OK);
    }
    is_fine(sj_list_check(list, NULL, NULL));
    if (test_below(2) == 0)
        is_fine(sj_list_clear(list));
    is_fine(sj_tx_op_begin(test.segment));
    int error = sj_list_destroy(list);
    if (is_fine(error)) {
        sj_tx_ready(test.segment);
        is_fine(sj_tx_op_commit(test.segment));
    } else {
        CHECK(sj_tx_op_abort(test.segment, error) == error);
    }
}

static void nothing_crashes(struct sj_segment *segment, uint32_t kind)
{
    new_list(segment, kind);
    test.spread = 1u << 30;
    replace(0, 0, 66000);
    replace(1000, 65000, 900);
    for (uint32_t i = 0; i < 30; i++)
        change(60);
    nodes.count = 0;
    CHECK_OK(sj_list_check(&test.list, collect_node, NULL));
    uint64_t bytes = sj_segment_committed(segment);
    uint8_t *copy = malloc(bytes);
    CHECK(copy != NULL);
    memcpy(copy, segment->base, bytes);
    for (uint32_t round = 0; round < 120; round++) {
        struct sj_list_head *head = test.list.head;
        for (uint64_t i = test_below(3) + 1; i > 0; i--)
            damage();
        use();
        uint64_t committed = sj_segment_committed(segment);
        for (uint64_t at = 0; at < bytes; at += SJ_PAGE)
            if (memcmp(segment->base + at, copy + at, SJ_PAGE) != 0)
                memcpy(segment->base + at, copy + at, SJ_PAGE);
        segment->root_page->committed = committed;
        sj_tx_forget(segment);
        CHECK_OK(sj_list_open(segment, (uintptr_t)head, &test.list));
    }
    free(copy);
    CHECK(list_is(test.number, test.count));
    destroy_list();
}

/* ------------------------------------------------------------------ one rule after the other */

static struct sj_list_leaf *lone_leaf(void)
{
    return (struct sj_list_leaf *)(uintptr_t)test.list.head->top;
}

/* The list is refused as it is now: by the check, and when the first item is asked for. */
static void is_refused(void)
{
    struct sj_item item;
    sj_list_forget(&test.list);
    CHECK(sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    CHECK(sj_list_get(&test.list, 0, &item) == SJ_ECORRUPT);
}

static void leaves_have_the_room_that_they_say(struct sj_segment *segment)
{
    uint64_t end = TEST_BASE + sj_segment_committed(segment);
    new_list(segment, 0);
    replace(0, 0, 5);
    struct sj_list_head *head = test.list.head, sound = *head;
    struct sj_list_leaf *leaf = lone_leaf(), *last = (void *)(uintptr_t)(end - 64);
    struct sj_node node = leaf->node;
    struct sj_item item;
    CHECK(node.aux == 6);
    leaf->node.count = 7; /* as many as the head says, and no room for them */
    head->count = 7;
    is_refused();
    *head = sound;
    leaf->node = node;
    leaf->node.aux = 7; /* no leaf has room for so many */
    is_refused();
    leaf->node = node;
    leaf->node.aux = 30; /* its block is smaller */
    CHECK(sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    leaf->node = node;
    head->top = 0;
    CHECK(sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    head->count = 0;
    head->height = 1;
    CHECK(sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    *head = sound;
    last->node = (struct sj_node){SJ_KIND_LIST_LEAF, 300, SJ_LIST_LEAF_SLOTS, 0};
    head->top = end - 64;
    head->count = 300;
    CHECK(sj_list_get(&test.list, 299, &item) == SJ_ECORRUPT);
    is_refused();
    memset(last, 0, 64);
    *head = sound;
    head->count = 1ull << 45;
    CHECK(sj_list_reverse(&test.list) == SJ_ECORRUPT);
    *head = sound;
    CHECK_OK(sj_list_check(&test.list, NULL, NULL));
    destroy_list();
}

/* Going down to the last item by its position, or by its key. */
static int go_down(void)
{
    struct sj_item item;
    uint64_t index;
    sj_list_forget(&test.list);
    if (!test.sorted)
        return sj_list_get(&test.list, sj_list_count(&test.list) - 1, &item);
    return sj_list_bisect(&test.list, &(struct sj_key){.word = UINT64_MAX}, false, &index);
}

static void ways_down_are_sound(struct sj_segment *segment, uint32_t kind)
{
    new_list(segment, kind);
    replace(0, 0, 1100);
    struct sj_list_head *head = test.list.head;
    struct sj_list_inner *inner = (void *)(uintptr_t)head->top;
    struct sj_list_leaf *last = (void *)(uintptr_t)inner->child[inner->node.count - 1u];
    uint64_t node = *(uint64_t *)&inner->node, child = inner->child[0];
    CHECK(head->height == 1 && inner->node.count == 3 && last->node.count <= 126);
    inner->node.count = 0;
    CHECK(go_down() == SJ_ECORRUPT && sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    *(uint64_t *)&inner->node = node;
    last->node.aux = 126; /* which a leaf below others never has */
    CHECK(go_down() == SJ_ECORRUPT && sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    last->node.aux = SJ_LIST_LEAF_SLOTS;
    inner->node.count = 1;
    inner->child[0] = head->top; /* steps without end */
    head->height = 250;
    CHECK(go_down() == SJ_ECORRUPT && sj_list_check(&test.list, NULL, NULL) == SJ_ECORRUPT);
    head->height = 1;
    inner->child[0] = child;
    *(uint64_t *)&inner->node = node;
    CHECK_OK(sj_list_check(&test.list, NULL, NULL));
    destroy_list();
}

/* A leaf that is nearly empty takes in its neighbour, which no way down has led to. */
static void what_a_leaf_takes_in_is_sound(struct sj_segment *segment)
{
    new_list(segment, 0);
    replace(0, 0, 590);
    struct sj_list_inner *inner = (void *)(uintptr_t)test.list.head->top;
    struct sj_list_leaf *second = (void *)(uintptr_t)inner->child[1];
    struct sj_node node = second->node;
    CHECK(inner->node.count == 2 && node.count == 80);
    const struct sj_node damaged[] = {{SJ_KIND_BLOB, 80, SJ_LIST_LEAF_SLOTS, node.stamp},
                                      {SJ_KIND_LIST_LEAF, 79, SJ_LIST_LEAF_SLOTS, node.stamp},
                                      {SJ_KIND_LIST_LEAF, 80, 126, node.stamp}};
    for (uint32_t i = 0; i < 3; i++) {
        second->node = damaged[i];
        sj_list_forget(&test.list);
        CHECK(sj_list_replace(&test.list, 0, 500, NULL, 0) == SJ_ECORRUPT);
        second->node = node;
        CHECK_OK(sj_list_check(&test.list, NULL, NULL));
    }
    destroy_list();
}

/* The counts of children that are no part of the change, but of the row that is made anew. */
static void what_stays_in_a_row_is_sound(struct sj_segment *segment)
{
    static struct sj_item items[600];
    new_list(segment, 0);
    replace(0, 0, 2040);
    struct sj_list_inner *inner = (void *)(uintptr_t)test.list.head->top;
    CHECK(inner->node.count == 4 && inner->before[2] == 1020);
    inner->before[2] = inner->before[1];
    sj_list_forget(&test.list);
    CHECK(sj_list_replace(&test.list, 2040, 2040, items, 600) == SJ_ECORRUPT);
    inner->before[2] = 1020;
    CHECK_OK(sj_list_check(&test.list, NULL, NULL));
    destroy_list();
}

static void codecs_are_those_of_a_list(struct sj_segment *segment)
{
    struct sj_list list;
    uint64_t head;
    new_list(segment, 2);
    struct sj_list_head *own = test.list.head;
    own->first.key ^= 1; /* numbers that lie in bytes */
    CHECK(sj_list_open(segment, (uintptr_t)own, &list) == SJ_ECORRUPT);
    own->first.key ^= 1;
    CHECK_OK(sj_list_open(segment, (uintptr_t)own, &list));
    own->first.value ^= SJ_ITEM_SHARED; /* which is said beside the key */
    CHECK(sj_list_open(segment, (uintptr_t)own, &list) == SJ_ECORRUPT);
    own->first.value ^= SJ_ITEM_SHARED;
    own->count = 1;
    CHECK(sj_list_open(segment, (uintptr_t)own, &list) == SJ_ECORRUPT);
    own->count = 0;
    own->height = SJ_LIST_HEIGHT_MAX + 1;
    CHECK(sj_list_open(segment, (uintptr_t)own, &list) == SJ_ECORRUPT);
    own->height = 0;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK(sj_list_create(segment, (struct sj_codecs){SJ_CODEC_PICKLE + 1, SJ_CODEC_NONE}, &head) ==
          SJ_EINVAL);
    CHECK(sj_tx_op_abort(segment, SJ_EINVAL) == SJ_EINVAL);
    destroy_list();
}

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("damage");
    every_word_is_checked(segment);
    leaves_have_the_room_that_they_say(segment);
    ways_down_are_sound(segment, 0);
    ways_down_are_sound(segment, 2);
    what_a_leaf_takes_in_is_sound(segment);
    what_stays_in_a_row_is_sound(segment);
    codecs_are_those_of_a_list(segment);
    for (uint32_t kind = 0; kind < 4; kind++)
        nothing_crashes(segment, kind);
    CHECK_OK(sj_segment_close(segment, true));
    printf("ok\n");
    return 0;
}
