// SPDX-License-Identifier: Apache-2.0
/*
 * test_tree_damage.c: one word of a B-tree is wrong, and the call that comes to it says so, before
 * it has changed anything. (That nothing crashes, whatever is done, is for fuzz.c to see.)
 */
#include "harness.h"

#include "persistence/pages.h"
#include "persistence/slab.h"
#include "structures/btree_node.h"

#define ITEMS 6000u

static struct sj_segment *segment;
static struct sj_btree tree;
static char *saved;
static uint64_t saved_bytes, nowhere;
static struct sj_btree_inner *top, *low; /* the root, and the first node above the leaves */
static struct sj_btree_leaf *leaf[3];    /* the first ones */
static bool bytes;

/* Keys that agree in more bytes than a fragment has. */
static struct sj_key key_of(uint64_t number)
{
    static uint8_t text[48];
    int size = snprintf((char *)text, sizeof text, "%08u", (unsigned)number);
    return (struct sj_key){.word = number, .bytes = text, .size = (uint32_t)size};
}

static int put(uint64_t number)
{
    bool existed;
    struct sj_key key = key_of(number);
    struct sj_value value = {.word = number, .bytes = key.bytes, .size = key.size};
    return sj_btree_put(&tree, &key, &value, SJ_PUT_ALWAYS, &existed);
}

static void make(enum sj_item_kind kind)
{
    uint64_t head;
    segment = test_segment(kind == SJ_ITEM_WORD ? "words" : "texts");
    bytes = kind == SJ_ITEM_BYTES;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_btree_create(segment, (struct sj_kinds){kind, kind}, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_btree_open(segment, head, &tree));
    for (uint64_t i = 0; i < ITEMS; i++)
        CHECK_OK(put(10 * (i * 7919 % ITEMS)));
    CHECK(tree.head->height == 2);
    top = low = (struct sj_btree_inner *)(uintptr_t)tree.head->top;
    for (uint64_t level = tree.head->height; level > 1; level--)
        low = (struct sj_btree_inner *)(uintptr_t)inner_children(low, bytes)[0];
    for (uint32_t i = 0; i < 3; i++)
        leaf[i] = (struct sj_btree_leaf *)(uintptr_t)inner_children(low, bytes)[i];
    nowhere = sj_segment_committed(segment) + TEST_BASE;
    saved_bytes = sj_segment_committed(segment);
    saved = malloc(saved_bytes);
    CHECK(saved != NULL);
    memcpy(saved, segment->base, saved_bytes);
}

static void restore(void)
{
    sj_tx_forget(segment);
    memcpy(segment->base, saved, saved_bytes);
}

/* ------------------------------------------------------------------ calls */

static int get(void)
{
    struct sj_value value;
    struct sj_key key = key_of(0);
    return sj_btree_get(&tree, &key, &value);
}

static int put_first(void)
{
    return put(1);
}

static int first(void)
{
    struct sj_btree_cursor cursor;
    return sj_btree_first(&tree, &cursor);
}

static int select_third(void)
{
    struct sj_btree_cursor cursor;
    return sj_btree_select(&tree, 3, &cursor);
}

static int clear(void)
{
    return sj_btree_clear(&tree);
}

static int check(void)
{
    return sj_btree_check(&tree, NULL, NULL);
}

static int read_on(struct sj_btree_cursor cursor, bool backward)
{
    struct sj_item items[64];
    uint32_t got = 1;
    uint64_t all = 0;
    int error = SJ_OK;
    while (error == SJ_OK && cursor.leaf != NULL && all <= 2 * ITEMS) {
        error = sj_btree_read(&tree, &cursor, backward, 64, items, &got);
        all += got;
    }
    return error;
}

static int read_forward(void)
{
    struct sj_btree_cursor cursor;
    int error = sj_btree_first(&tree, &cursor);
    return error == SJ_OK ? read_on(cursor, false) : error;
}

static int read_backward(void)
{
    struct sj_btree_cursor cursor;
    int error = sj_btree_last(&tree, &cursor);
    return error == SJ_OK ? read_on(cursor, true) : error;
}

/* Deletes from the first key on until a node goes. */
static int shrink(void)
{
    uint32_t count = low->node.count;
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && low->node.count == count && i < ITEMS; i++) {
        struct sj_key key = key_of(10 * i);
        error = sj_btree_delete(&tree, &key);
    }
    return error;
}

/* The same from the second leaf, or the second node above leaves, until all is gone. */
static int shrink_from(const struct sj_btree_leaf *begin)
{
    struct sj_btree_cursor cursor = {(struct sj_btree_leaf *)(uintptr_t)begin, 0, 0};
    struct sj_item item;
    uint32_t got;
    int error = sj_btree_read(&tree, &cursor, false, 1, &item, &got);
    char text[9] = "";
    if (bytes && error == SJ_OK)
        memcpy(text, item.key.bytes, 8);
    uint64_t from = bytes ? strtoull(text, NULL, 10) : item.key.word;
    for (uint64_t i = from; error == SJ_OK && i < 10 * ITEMS; i += 10) {
        struct sj_key key = key_of(i);
        error = sj_btree_delete(&tree, &key);
    }
    return error;
}

static int shrink_second(void)
{
    return shrink_from(leaf[1]);
}

static int shrink_all(void)
{
    return shrink_from(leaf[0]);
}

static int shrink_second_node(void)
{
    struct sj_btree_inner *node = (struct sj_btree_inner *)(uintptr_t)inner_children(top, bytes)[1];
    return shrink_from((struct sj_btree_leaf *)(uintptr_t)inner_children(node, bytes)[0]);
}

/* Inserts behind the first key until a node comes. */
static int grow(void)
{
    uint32_t count = low->node.count;
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && low->node.count == count && i < 100; i++)
        error = put(i);
    return error;
}

static int (*const everything[])(void) = {get,          put_first,     first,  select_third, clear,
                                          read_forward, read_backward, shrink, grow,         check};
enum { CALLS = sizeof everything / sizeof everything[0] };

/* ------------------------------------------------------------------ words */

/* The call says that the word is wrong. */
static void is_found(void *word, size_t width, uint64_t value, int (*call)(void))
{
    memcpy(word, &value, width);
    CHECK(call() == SJ_ECORRUPT);
    restore();
}

static void all_find(void *word, size_t width, uint64_t value)
{
    for (uint32_t i = 0; i < CALLS; i++)
        if (everything[i] != read_backward)
            is_found(word, width, value, everything[i]);
}

/* What every way down comes by. */
static void nodes_are_what_their_level_says(void)
{
    uint64_t *children = inner_children(low, bytes);
    all_find(&tree.head->height, 8, SJ_BTREE_HEIGHT_MAX + 1);
    is_found(&tree.head->height, 8, SJ_BTREE_HEIGHT_MAX + 1, read_backward);
    all_find(&tree.head->top, 8, nowhere);
    all_find(&tree.head->top, 8, tree.head->top + 4);
    all_find(&low->node.kind, 2, SJ_KIND_BLOB);
    all_find(&low->node.count, 2, 1);
    all_find(&low->node.count, 2, inner_fanout(bytes) + 1);
    all_find(&children[0], 8, nowhere);
    all_find(&children[0], 8, children[0] + 4);
    all_find(&leaf[0]->node.kind, 2, SJ_KIND_BTREE);
    all_find(&leaf[0]->node.count, 2, 0);
    all_find(&leaf[0]->node.count, 2, SJ_BTREE_LEAF_ITEMS + 1);
    is_found(&inner_items(low, bytes)[0], 8, 0, check);
    uint64_t *items = inner_items(low, bytes);
    uint32_t count = leaf[0]->node.count;
    struct sj_btree_cursor cursor;
    items[0] = count + 5;
    CHECK(sj_btree_select(&tree, count + 2, &cursor) == SJ_ECORRUPT);
    restore();
}

/* A leaf as good as any other, that lies where none can: in part behind the end, or askew. */
static void nodes_lie_where_they_can(void)
{
    uint64_t *children = inner_children(low, bytes);
    for (uint32_t i = 0; i < CALLS; i++) {
        if (everything[i] == read_backward)
            continue;
        uint64_t at = nowhere - 64;
        memcpy((void *)(uintptr_t)at, leaf[0], 64);
        is_found(&children[0], 8, at, everything[i]);
        at = nowhere - 1024 + 4;
        memcpy((void *)(uintptr_t)at, leaf[0], sizeof *leaf[0]);
        is_found(&children[0], 8, at, everything[i]);
    }
}

static void leaves_follow_each_other(void)
{
    uint64_t first_at = (uintptr_t)leaf[0];
    is_found(&leaf[0]->next, 8, nowhere, read_forward);
    is_found(&leaf[0]->next, 8, first_at, read_forward);
    is_found(&leaf[1]->previous, 8, nowhere, read_backward);
    is_found(&leaf[2]->previous, 8, (uintptr_t)leaf[2], read_backward);
    is_found(&leaf[0]->next, 8, (uintptr_t)leaf[2], check);
    is_found(&leaf[1]->previous, 8, 0, check);
    struct sj_btree_cursor cursor = {leaf[0], leaf[0]->node.count, 0};
    CHECK(read_on(cursor, false) == SJ_ECORRUPT);
    cursor = (struct sj_btree_cursor){(struct sj_btree_leaf *)low, 0, 0};
    CHECK(read_on(cursor, false) == SJ_ECORRUPT);
}

/* Leaves whose keys are out of order can lead in a circle though each follows the one before it:
 * reading such a tree went on for ever. */
static void a_circle_of_leaves_ends(void)
{
    struct sj_btree_cursor cursor;
    struct sj_item items[64];
    uint32_t got;
    int error = SJ_OK;
    leaf[0]->key[0] = leaf[2]->key[0];
    if (bytes)
        leaf[0]->slot[0] = leaf[2]->slot[0];
    leaf[1]->next = (uintptr_t)leaf[0];
    CHECK_OK(sj_btree_first(&tree, &cursor));
    while (error == SJ_OK) {
        CHECK(cursor.leaf != NULL);
        error = sj_btree_read(&tree, &cursor, false, 64, items, &got);
    }
    CHECK(error == SJ_ECORRUPT);
    restore();
    leaf[1]->previous = (uintptr_t)leaf[2]; /* and the other way round */
    leaf[2]->key[leaf[2]->node.count - 1u] = leaf[0]->key[0];
    if (bytes)
        leaf[2]->slot[leaf[2]->node.count - 1u] = leaf[0]->slot[0];
    cursor = (struct sj_btree_cursor){leaf[2], 0, 0};
    for (error = SJ_OK; error == SJ_OK;) {
        CHECK(cursor.leaf != NULL);
        error = sj_btree_read(&tree, &cursor, true, 64, items, &got);
    }
    CHECK(error == SJ_ECORRUPT);
    restore();
}

/* Before two leaves become one, or one becomes two, all that changes is looked at. */
static void neighbours_are_neighbours(void)
{
    uint64_t *children = inner_children(low, bytes);
    is_found(&leaf[1]->node.kind, 2, SJ_KIND_BTREE, shrink);
    is_found(&leaf[1]->previous, 8, nowhere, shrink);
    is_found(&leaf[0]->next, 8, (uintptr_t)leaf[2], shrink);
    is_found(&children[1], 8, children[0], shrink);
    is_found(&leaf[1]->next, 8, nowhere, shrink);
    is_found(&leaf[1]->next, 8, (uintptr_t)leaf[0], shrink);
    is_found(&leaf[2]->previous, 8, (uintptr_t)leaf[2], shrink);
    is_found(&leaf[0]->node.kind, 2, SJ_KIND_BTREE, shrink_second);
    uint64_t *nodes = inner_children(top, bytes);
    struct sj_btree_inner *node = (struct sj_btree_inner *)(uintptr_t)nodes[1];
    is_found(&node->node.kind, 2, SJ_KIND_BTREE, shrink_all);
    is_found(&low->node.kind, 2, SJ_KIND_BTREE, shrink_second_node);
    is_found(&nodes[1], 8, nodes[0], shrink_all);
    is_found(&leaf[0]->next, 8, nowhere, grow);
    is_found(&leaf[0]->next, 8, (uintptr_t)leaf[0], grow);
    is_found(&leaf[1]->previous, 8, (uintptr_t)leaf[1], grow);
}

/* Heights lead nowhere, and are how many steps there is room for. */
static void a_tree_is_not_that_high(void)
{
    for (uint32_t i = 0; i < CALLS; i++) {
        tree.head->height = SJ_BTREE_HEIGHT_MAX + 1;
        CHECK(everything[i]() == SJ_ECORRUPT);
        CHECK(strstr(sj_error_detail(), "the height of a B-tree") != NULL);
        restore();
    }
}

/* Nodes all of whose children are one: few nodes, and ways without number. */
static void a_walk_ends(void)
{
    low->node.count = top->node.count = (uint16_t)inner_fanout(bytes);
    for (uint32_t i = 0; i < inner_fanout(bytes); i++) {
        inner_children(low, bytes)[i] = (uintptr_t)leaf[0];
        inner_children(top, bytes)[i] = (uintptr_t)low;
        if (bytes)
            inner_separators(low)[i] = inner_separators(top)[i] = inner_separators(low)[1];
    }
    CHECK(clear() == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "without cycles") != NULL);
    restore();
}

static void the_head_says_what_it_is(void)
{
    struct sj_btree opened;
    uint64_t at = (uintptr_t)tree.head;
    struct sj_btree_head old = *tree.head;
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 0)
            tree.head->first.key = 0x7f;
        else if (i == 1)
            tree.head->first.value = 0x7f;
        else if (i == 2)
            tree.head->height = SJ_BTREE_HEIGHT_MAX + 1;
        else
            tree.head->first.kind = SJ_KIND_HASHMAP;
        CHECK(sj_btree_open(segment, at, &opened) == SJ_ECORRUPT);
        *tree.head = old;
    }
    CHECK_OK(sj_btree_open(segment, at, &opened));
    is_found(&tree.head->count, 8, ITEMS + 1, check);
}

static void is_told(const char *expected)
{
    CHECK(check() == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), expected) != NULL);
    restore();
}

/* The invariants that the check alone looks at. */
static void the_check_knows_them_all(void)
{
    uint64_t *keys = inner_keys(low);
    uint32_t last = leaf[0]->node.count - 1u;
    leaf[0]->key[last] = leaf[1]->key[0];
    leaf[0]->slot[last] = leaf[1]->slot[0];
    is_told("fences (I2)");
    leaf[1]->key[0] = leaf[0]->key[last];
    leaf[1]->slot[0] = leaf[0]->slot[last];
    is_told("fences (I2)");
    leaf[0]->key[1] = leaf[0]->key[0];
    leaf[0]->slot[1] = leaf[0]->slot[0];
    is_told("(I1)");
    keys[2] = keys[1];
    if (bytes)
        inner_separators(low)[2] = inner_separators(low)[1];
    is_told("(I1)");
    keys[1] = inner_keys(top)[1];
    if (bytes)
        inner_separators(low)[1] = inner_separators(top)[1];
    is_told(bytes ? "expected" : "a separator above the one before it (I1)");
    if (!bytes) { /* the last one, above all that the node has */
        keys[low->node.count - 1u] = inner_keys(top)[1];
        is_told("a separator above the one before it (I1)");
    }
    keys[0] = 1;
    is_told("without a first separator (I2)");
    CHECK(low->node.count < inner_fanout(bytes));
    keys[low->node.count] = 5;
    is_told("all ones (I7)");
    leaf[1]->node.aux += 3;
    is_told("a leaf whose skip fits its fences (I3)");
    low->node.aux += 3;
    is_told("expected");
    struct sj_btree_cursor cursor;
    CHECK_OK(sj_btree_last(&tree, &cursor));
    cursor.leaf->next = (uintptr_t)leaf[0];
    is_told("the end of the leaves (I5)");
}

static void *new_block(size_t size)
{
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, size, &block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    return block;
}

/* A node of `count` children whose separators ascend from `key` on. */
static void make_inner(struct sj_btree_inner *node, uint32_t count, uint64_t key, uint64_t left,
                       uint64_t right)
{
    memset(node, 0, sizeof *node);
    *(uint64_t *)&node->node = node_head(SJ_KIND_BTREE_INNER, count, 0);
    for (uint32_t i = 1; i < inner_fanout(false); i++)
        inner_keys(node)[i] = i < count ? key + i : BTREE_UNUSED_KEY;
    for (uint32_t i = 0; i < count; i++)
        inner_children(node, false)[i] = i == 0 ? left : right;
}

/* A tree as high as can be, with nearly empty nodes beside full ones: a deletion would change two
 * nodes on each level, and there is room for the images of fewer. Word keys alone. */
static void a_deletion_changes_few_nodes(void)
{
    uint64_t key = leaf[1]->key[0], left = (uintptr_t)leaf[0], right = (uintptr_t)leaf[1];
    struct sj_btree_inner *full = new_block(sizeof *full);
    make_inner(full, inner_fanout(false), key, right, right);
    leaf[0]->node.count = BTREE_LEAF_MIN;
    leaf[1]->node.count = SJ_BTREE_LEAF_ITEMS;
    for (uint64_t level = 1; level <= SJ_BTREE_HEIGHT_MAX; level++) {
        struct sj_btree_inner *node = new_block(sizeof *node);
        make_inner(node, 2, key, left, right);
        left = (uintptr_t)node;
        right = (uintptr_t)full;
    }
    tree.head->top = left;
    tree.head->height = SJ_BTREE_HEIGHT_MAX;
    struct sj_key first_key = key_of(0);
    CHECK(sj_btree_delete(&tree, &first_key) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "the height of a B-tree") != NULL);
    restore();
}

/* A node, or what a slot leads to, that the heap may give out again. */
static void blocks_are_in_use(uint64_t block)
{
    struct sj_page_run run;
    CHECK_OK(sj_pages_find(segment, block, &run));
    struct sj_slab *slab = (struct sj_slab *)(uintptr_t)run.at;
    uint64_t number = (block - run.at - sizeof *slab) / sj_class_bytes(slab->size_class);
    uint64_t *word = &slab->used[number / 64];
    is_found(word, 8, *word & ~(1ull << number % 64), check);
}

/* Byte keys alone. */
static void keys_are_where_their_slots_say(void)
{
    is_found(&leaf[1]->slot[0], 8, nowhere, read_forward);
    is_found(&leaf[0]->slot[leaf[0]->node.count - 1u], 8, nowhere, read_backward);
    is_found(&leaf[0]->slot[0], 8, nowhere, get);
    is_found(&leaf[0]->slot[1], 8, nowhere, shrink);
    struct sj_btree_separator *separator =
        (struct sj_btree_separator *)(uintptr_t)inner_separators(low)[1];
    uint32_t last = leaf[0]->node.count - 1u;
    is_found(&leaf[0]->slot[last], 8, nowhere, shrink);
    for (uint32_t i = 1; i < last; i++) {
        leaf[0]->slot[i] = nowhere;
        CHECK(grow() == SJ_ECORRUPT);
        CHECK(strstr(sj_error_detail(), "an entry of a B-tree") != NULL);
        restore();
    }
    is_found(&inner_separators(low)[1], 8, nowhere, grow);
    is_found(&separator->size, sizeof separator->size, SJ_KEY_BYTES_MAX + 1, grow);
    is_found(&separator->size, sizeof separator->size, 0, grow);
    *(struct sj_btree_separator *)(uintptr_t)(nowhere - 64) =
        (struct sj_btree_separator){.kind = SJ_KIND_BTREE_KEY, .size = 4000};
    is_found(&inner_separators(low)[1], 8, nowhere - 64, grow);
    is_found(&leaf[0]->key[0], 8, 0, check);
    is_found(&separator->size, sizeof separator->size, 0, check);
    is_found(&separator->size, sizeof separator->size, SJ_KEY_BYTES_MAX + 1, check);
    is_found(&inner_separators(low)[1], 8, nowhere, check);
    is_found(&inner_separators(low)[1], 8, nowhere, shrink);
    is_found(&inner_separators(low)[0], 8, nowhere, check);
    struct sj_entry *entry = (struct sj_entry *)(uintptr_t)leaf[0]->slot[0];
    is_found(&entry->key_size, sizeof entry->key_size, SJ_KEY_BYTES_MAX + 1, get);
    is_found(&entry->value_size, sizeof entry->value_size, 1ull << 60, get);
    is_found(&entry->value_size, sizeof entry->value_size, 8 << 20, get);
}

/* Puts a new key among those of a leaf. */
static int put_into(const struct sj_btree_leaf *into, uint64_t number)
{
    static uint8_t text[48];
    char begin[9] = "";
    memcpy(begin, slot_text(&tree, into->slot[0]).bytes, 8);
    uint64_t key_number = strtoull(begin, NULL, 10) + number * 7919 % (10ull * into->node.count);
    int size =
        snprintf((char *)text, sizeof text, "%08u.%08u", (unsigned)key_number, (unsigned)number);
    bool existed;
    struct sj_key key = {.bytes = text, .size = (uint32_t)size};
    struct sj_value value = {.bytes = text, .size = 1};
    return sj_btree_put(&tree, &key, &value, SJ_PUT_ALWAYS, &existed);
}

/* Inserts into the first and the last leaf below the node, until that is split between them. */
static int split_low(void)
{
    uint64_t all = inner_items(top, bytes)[0];
    const struct sj_btree_leaf *last_leaf =
        (struct sj_btree_leaf *)(uintptr_t)inner_children(low, bytes)[low->node.count - 1u];
    int error = SJ_OK;
    for (uint64_t i = 0; error == SJ_OK && inner_items(top, bytes)[0] >= all; i++) {
        error = put_into(i % 2 == 0 ? leaf[0] : last_leaf, i);
        CHECK(i < 10 * ITEMS);
    }
    return error;
}

/* Deletes from the first key on until the node above meets the one beside it. */
static int join_low(void)
{
    uint64_t i = 0, beside = inner_children(top, bytes)[1], all = inner_items(top, bytes)[1];
    int error = SJ_OK;
    while (error == SJ_OK && tree.head->height == 2 && inner_children(top, bytes)[1] == beside &&
           inner_items(top, bytes)[1] == all) {
        struct sj_key key = key_of(10 * i++);
        error = sj_btree_delete(&tree, &key);
    }
    return error;
}

/* Before a node is split, or meets another one, all separators are looked at. Byte keys alone. */
static void separators_are_looked_at(void)
{
    CHECK_OK(split_low());
    restore();
    CHECK_OK(join_low());
    restore();
    for (uint32_t i = 1; i < low->node.count; i++)
        is_found(&inner_separators(low)[i], 8, nowhere, split_low);
    struct sj_btree_inner *beside =
        (struct sj_btree_inner *)(uintptr_t)inner_children(top, bytes)[1];
    for (uint32_t i = 1; i < beside->node.count; i++)
        is_found(&inner_separators(beside)[i], 8, nowhere, join_low);
    struct btree_text text = separator_at(&tree, inner_separators(low)[1]);
    struct sj_key key = {.bytes = text.bytes,
                         .size = text.size}; /* as long as the fragment tells */
    struct sj_value value;
    CHECK(sj_btree_get(&tree, &key, &value) != SJ_ECORRUPT);
    inner_separators(low)[1] = nowhere;
    CHECK(sj_btree_get(&tree, &key, &value) == SJ_ECORRUPT);
    restore();
}

int main(void)
{
    test_begin();
    alarm(20); /* a walk that does not end */
    for (enum sj_item_kind kind = SJ_ITEM_WORD; kind <= SJ_ITEM_BYTES; kind++) {
        make(kind);
        nodes_are_what_their_level_says();
        nodes_lie_where_they_can();
        leaves_follow_each_other();
        a_circle_of_leaves_ends();
        neighbours_are_neighbours();
        a_tree_is_not_that_high();
        a_walk_ends();
        the_head_says_what_it_is();
        the_check_knows_them_all();
        blocks_are_in_use((uintptr_t)tree.head);
        blocks_are_in_use((uintptr_t)low);
        blocks_are_in_use((uintptr_t)leaf[1]);
        if (kind == SJ_ITEM_BYTES) {
            keys_are_where_their_slots_say();
            separators_are_looked_at();
        } else {
            a_deletion_changes_few_nodes();
        }
        CHECK_OK(check());
        CHECK_OK(sj_segment_close(segment, false));
        free(saved);
    }
    printf("ok\n");
    return 0;
}
