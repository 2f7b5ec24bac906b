// SPDX-License-Identifier: Apache-2.0
/*
 * list_splice.c: the one change of a list that changes its shape: [from, to) goes, slots come.
 *
 *   leaves    | a b c d | | … | | … | | w x y z |     c … x go, p comes
 *               A                       B
 *   row       a b p y z                               what stays of A, what comes, what stays of B
 *   leaves    | a b p y z |                           the row is cut anew; A stays, B is freed
 *
 * Then the same one level up: there the children from A to B go, and the leaves that the row was
 * cut into come; and so on to the top, which is cut into several (a new top is put above them) or
 * has one child left (which becomes the top). What lies between A and B is freed whole.
 *
 * A row that is shorter than a quarter of a node takes in the sibling of A or B, unless it is at
 * the end of the list. Where the row is cut: what is appended leaves full nodes behind; else its
 * parts are of equal size.
 *
 *   plan:   images of the nodes that stay, fresh nodes, frees, words of the head; then the log
 *   apply:  sj_tx_ready → what differs in the images is stored
 *
 * Crash rule: a fresh node is stored before anything leads to it; all that is stored in others is
 * logged before.
 * Cost: O(log n + what goes + what comes); an append of n slots writes each of them once.
 */
#include <stdlib.h>

#include "structures/list_node.h"

#define EDITS_MAX  (4 * (SJ_LIST_HEIGHT_MAX + 1))
#define STAMP_WORD 1 /* of a node: kept by tx.c, never part of an image */
#define GAP_WORDS  8 /* equal words that are logged rather than begin another log entry */

/* A node that is going to be what the image says; its stamp stays. */
struct edit {
    struct sj_node *node;
    uint64_t *image;
    size_t bytes;
};

/* A node for its parent. */
struct element {
    uint64_t child;
    uint64_t items;
};

struct elements {
    struct element *element;
    uint64_t count;
    uint64_t room;
};

/* The nodes of a level that a row was made of, from left to right, and what they have. */
struct olds {
    uint32_t count;
    uint64_t node[4];
    uint32_t room[4]; /* leaves */
};

struct plan {
    struct sj_list *list;
    const struct list_splice *splice;
    bool append;           /* nothing comes behind it */
    struct list_path a, b; /* the leaves in which `from` and `to` lie; a.height = b.height */
    bool empty;            /* there are none */
    uint32_t edits;
    struct edit edit[EDITS_MAX];
    struct elements below; /* the nodes of the level that was done last */
    struct elements row;
};

static int reserve(struct elements *elements, uint64_t count)
{
    if (count <= elements->room)
        return SJ_OK;
    struct element *grown = count <= SIZE_MAX / sizeof *grown
                                ? realloc(elements->element, count * sizeof *grown)
                                : NULL;
    if (grown == NULL)
        return sj_error(SJ_ENOMEM, "a row of %llu nodes", (unsigned long long)count);
    elements->element = grown;
    elements->room = count;
    return SJ_OK;
}

/* The caller has reserved room. */
static void push(struct elements *elements, uint64_t child, uint64_t items)
{
    SJ_ASSERT(elements->count < elements->room);
    elements->element[elements->count++] = (struct element){child, items};
}

/* ------------------------------------------------------------------ images and the log */

/* An image that is the node as it is. NULL and SJ_ENOMEM. */
static uint64_t *edit(struct plan *plan, uint64_t node, size_t bytes)
{
    SJ_ASSERT(plan->edits < EDITS_MAX);
    uint64_t *image = malloc(bytes);
    if (image == NULL) {
        sj_error(SJ_ENOMEM, "an image of a node");
        return NULL;
    }
    struct sj_node *place = (struct sj_node *)(uintptr_t)node;
    memcpy(image, place, bytes);
    plan->edit[plan->edits++] = (struct edit){place, image, bytes};
    return image;
}

/* Logs the words of a node in which its image differs. */
static int log_edit(struct sj_segment *segment, const struct edit *edit)
{
    uint64_t *node = (uint64_t *)edit->node;
    size_t words = edit->bytes / 8, at = 0;
    while (at < words) {
        if (at == STAMP_WORD || node[at] == edit->image[at]) {
            at++;
            continue;
        }
        size_t end = at + 1;
        for (size_t next = end; next < words && next < end + GAP_WORDS; next++)
            if (next != STAMP_WORD && node[next] != edit->image[next])
                end = next + 1;
        int error = sj_tx_node_range(segment, edit->node, edit->bytes, node + at, 8 * (end - at));
        if (error != SJ_OK)
            return error;
        at = end;
    }
    return SJ_OK;
}

static void apply(struct plan *plan)
{
    sj_tx_ready(plan->list->segment);
    for (uint32_t i = 0; i < plan->edits; i++) {
        const struct edit *edit = &plan->edit[i];
        uint64_t *node = (uint64_t *)edit->node;
        for (size_t at = 0; at < edit->bytes / 8; at++)
            if (at != STAMP_WORD && node[at] != edit->image[at])
                sj_store(node + at, edit->image[at]);
    }
}

/* ------------------------------------------------------------------ cutting a row */

/* How many nodes of at most `fanout` a row of `total` becomes, and where part `index` begins. */
struct cuts {
    uint64_t total;
    uint64_t parts;
    uint32_t fanout;
    bool full; /* all parts but the last one are */
};

static struct cuts cut(const struct plan *plan, uint64_t total, uint32_t fanout, bool joined)
{
    struct cuts cuts = {total, (total + fanout - 1) / fanout, fanout, plan->append};
    /* Two nodes that have become one leave some room in it. */
    if (joined && cuts.parts == 1 && total > fanout - fanout / 4)
        cuts.parts = 2;
    return cuts;
}

static uint64_t cut_at(const struct cuts *cuts, uint64_t index)
{
    if (index == cuts->parts)
        return cuts->total;
    if (cuts->full)
        return index * cuts->fanout;
    uint64_t each = cuts->total / cuts->parts, more = cuts->total % cuts->parts;
    return index * each + (index < more ? index : more);
}

/* Frees the old nodes from number `from` on. */
static int free_olds(struct plan *plan, const struct olds *olds, uint32_t from)
{
    for (uint32_t i = from; i < olds->count; i++) {
        int error = sj_heap_free(plan->list->segment, olds->node[i]);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

/* ------------------------------------------------------------------ what goes */

/* Children [from, to) of a node on the way, and all below them. */
static int free_children(struct plan *plan, const struct list_step *step, uint32_t level,
                         uint32_t from, uint32_t to, uint64_t *budget)
{
    for (uint32_t i = from; i < to; i++) {
        int error =
            list_free_node(plan->list, step->inner->child[i], level, plan->splice->keep, budget);
        if (error != SJ_OK)
            return error;
    }
    return SJ_OK;
}

static int free_slots(struct plan *plan, const struct list_path *path, uint32_t from, uint32_t to)
{
    return plan->splice->keep ? SJ_OK : list_free_slots(plan->list, path->leaf, from, to);
}

/* Frees the slots [from, to), and the nodes between A and B. */
static int free_between(struct plan *plan)
{
    const struct list_path *a = &plan->a, *b = &plan->b;
    uint64_t budget = list_node_budget(plan->list);
    if (a->first == b->first)
        return a->leaf == b->leaf && a->at <= b->at ? free_slots(plan, a, a->at, b->at)
                                                    : list_damaged_leaf(plan->list, b->first);
    int error = free_slots(plan, a, a->at, a->count);
    if (error == SJ_OK)
        error = free_slots(plan, b, 0, b->at);
    for (uint32_t level = 0; level < a->height && error == SJ_OK; level++) {
        const struct list_step *left = &a->step[level], *right = &b->step[level];
        if (left->inner == right->inner)
            return free_children(plan, left, level, left->index + 1, right->index, &budget);
        error = free_children(plan, left, level, left->index + 1, left->count, &budget);
        if (error == SJ_OK)
            error = free_children(plan, right, level, 0, right->index, &budget);
    }
    return error;
}

/* ------------------------------------------------------------------ company */

/* Whether nothing comes behind B on this level. */
static bool is_last(const struct plan *plan, uint32_t level)
{
    for (; level < plan->b.height; level++)
        if (plan->b.step[level].index + 1 < plan->b.step[level].count)
            return false;
    return true;
}

enum side { NEITHER, LEFT, RIGHT };

/* Which sibling a row of `total` takes in: the way then leads to the sibling instead. `*at`,
 * `*items`: the sibling, as its parent has it. SJ_ECORRUPT. */
static int company(struct plan *plan, uint32_t level, uint64_t total, uint32_t least,
                   enum side *side, uint64_t *at, uint64_t *items)
{
    *side = NEITHER;
    if (plan->empty || total == 0 || total >= least || level >= plan->a.height ||
        is_last(plan, level))
        return SJ_OK;
    struct list_step *left = &plan->a.step[level], *right = &plan->b.step[level], *step = left;
    if (left->index > 0) {
        left->index--;
        *side = LEFT;
    } else if (right->index + 1 < right->count) {
        right->index++;
        *side = RIGHT;
        step = right;
    } else {
        return SJ_OK;
    }
    uint64_t before;
    *at = step->inner->child[step->index];
    *items = list_child_items(step->inner, step->count, step->items, step->index, &before);
    return *items != 0 ? SJ_OK : list_damaged_inner(plan->list, list_address(step->inner));
}

static void add_old(struct olds *olds, uint64_t node, uint32_t room)
{
    olds->node[olds->count] = node;
    olds->room[olds->count++] = room;
}

/* ------------------------------------------------------------------ leaves */

/* The row of slots: up to four parts of leaves around what comes. */
struct slots {
    uint64_t *slot;
    uint64_t count;
};

static void add_slots(struct slots *row, const uint64_t *slot, uint64_t count)
{
    if (count != 0)
        memcpy(row->slot + row->count, slot, 8 * count);
    row->count += count;
}

/* One leaf of the row's slots, which are stored into an old leaf's image or into a fresh one. */
static int make_leaf(struct plan *plan, const struct olds *olds, uint64_t number,
                     const uint64_t *slots, uint32_t count, uint32_t room, uint64_t *at)
{
    struct sj_segment *segment = plan->list->segment;
    uint64_t head = list_node_head(SJ_KIND_LIST_LEAF, count, room);
    if (number < olds->count) {
        *at = olds->node[number];
        uint64_t *image = edit(plan, *at, list_leaf_bytes(room));
        if (image == NULL)
            return SJ_ENOMEM;
        image[0] = head;
        memcpy(image + sizeof(struct sj_list_leaf) / 8, slots, 8 * (size_t)count);
        return SJ_OK;
    }
    struct sj_list_leaf *leaf;
    int error = sj_heap_alloc(segment, list_leaf_bytes(room), (void **)&leaf);
    if (error != SJ_OK)
        return error;
    sj_store(&leaf->node, head);
    sj_store(&leaf->node.stamp, sj_tx_stamp(segment));
    sj_copy(leaf->slot, slots, 8 * (size_t)count);
    *at = list_address(leaf);
    return SJ_OK;
}

/* Cuts the row into leaves; the old ones that have the room are used again. */
static int cut_leaves(struct plan *plan, struct olds *olds, const struct slots *row, bool joined)
{
    struct cuts cuts = cut(plan, row->count, SJ_LIST_LEAF_SLOTS, joined);
    bool lone = cuts.parts <= 1 && plan->a.height == 0;
    uint32_t room = lone ? list_room_for(row->count) : SJ_LIST_LEAF_SLOTS;
    int error = reserve(&plan->below, cuts.parts + 1);
    if (lone && olds->count == 1 && olds->room[0] > room)
        room = olds->room[0];
    if (olds->count > 0 && olds->room[0] != room) { /* the lone leaf, too small */
        error = error == SJ_OK ? free_olds(plan, olds, 0) : error;
        olds->count = 0;
    }
    for (uint64_t i = 0; i < cuts.parts && error == SJ_OK; i++) {
        uint64_t from = cut_at(&cuts, i), to = cut_at(&cuts, i + 1), at = 0;
        error = make_leaf(plan, olds, i, row->slot + from, (uint32_t)(to - from), room, &at);
        if (error == SJ_OK)
            push(&plan->below, at, to - from);
    }
    if (error == SJ_OK && cuts.parts < olds->count)
        error = free_olds(plan, olds, (uint32_t)cuts.parts);
    return error;
}

/* The sibling that the row takes in. SJ_ECORRUPT. */
static int leaf_company(struct plan *plan, uint64_t total, enum side *side,
                        const struct sj_list_leaf **leaf, uint64_t *count)
{
    uint64_t at;
    int error = company(plan, 0, total, LIST_LEAF_LEAST, side, &at, count);
    if (error != SJ_OK || *side == NEITHER)
        return error;
    *leaf = list_leaf_at(plan->list, at);
    return *leaf != NULL && (*leaf)->node.count == *count && (*leaf)->node.aux == SJ_LIST_LEAF_SLOTS
               ? SJ_OK
               : list_damaged_leaf(plan->list, at);
}

static int do_leaves(struct plan *plan)
{
    const struct list_path *a = &plan->a, *b = &plan->b;
    const struct list_splice *splice = plan->splice;
    const struct sj_list_leaf *sibling = NULL;
    uint64_t sibling_count = 0;
    enum side side = NEITHER;
    struct slots row = {0};
    struct olds olds = {0};
    uint64_t left = plan->empty ? 0 : a->at, right = plan->empty ? 0 : b->count - b->at;
    uint64_t total = left + splice->count + right;
    int error = leaf_company(plan, total, &side, &sibling, &sibling_count);
    if (error != SJ_OK)
        return error;
    if (total <= SIZE_MAX / 8 - SJ_LIST_LEAF_SLOTS)
        row.slot = malloc(8 * (size_t)(total + sibling_count) + 8);
    if (row.slot == NULL)
        return sj_error(SJ_ENOMEM, "a row of %llu slots", (unsigned long long)total);
    if (side == LEFT) {
        add_slots(&row, sibling->slot, sibling_count);
        add_old(&olds, list_address(sibling), SJ_LIST_LEAF_SLOTS);
    }
    if (!plan->empty) {
        add_slots(&row, a->leaf->slot, left);
        add_old(&olds, list_address(a->leaf), a->room);
    }
    add_slots(&row, splice->slots, splice->count);
    if (!plan->empty) {
        add_slots(&row, b->leaf->slot + b->at, right);
        if (a->leaf != b->leaf)
            add_old(&olds, list_address(b->leaf), b->room);
    }
    if (side == RIGHT) {
        add_slots(&row, sibling->slot, sibling_count);
        add_old(&olds, list_address(sibling), SJ_LIST_LEAF_SLOTS);
    }
    error = cut_leaves(plan, &olds, &row, side != NEITHER);
    free(row.slot);
    return error;
}

/* ------------------------------------------------------------------ inner nodes */

/* Appends children [from, to) of a node. SJ_ECORRUPT. */
static int add_children(struct plan *plan, const struct sj_list_inner *inner, uint32_t count,
                        uint64_t items, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        uint64_t before, below = list_child_items(inner, count, items, i, &before);
        if (below == 0)
            return list_damaged_inner(plan->list, list_address(inner));
        push(&plan->row, inner->child[i], below);
    }
    return SJ_OK;
}

/* The row of a level: what stays of A's parent, the nodes below, what stays of B's. */
static int fill_row(struct plan *plan, uint32_t level, struct olds *olds, bool *joined)
{
    const struct list_step *a = &plan->a.step[level - 1], *b = &plan->b.step[level - 1];
    struct sj_list_inner *sibling = NULL;
    enum side side;
    uint64_t at, items = 0, total = a->index + plan->below.count + (b->count - b->index - 1);
    int error = company(plan, level, total, LIST_INNER_LEAST, &side, &at, &items);
    if (error == SJ_OK)
        error = reserve(&plan->row, total + SJ_LIST_FANOUT);
    if (error == SJ_OK && side != NEITHER && (sibling = list_inner_at(plan->list, at)) == NULL)
        error = list_damaged_inner(plan->list, at);
    if (error != SJ_OK)
        return error;
    uint32_t count = sibling != NULL ? sibling->node.count : 0;
    count = count <= SJ_LIST_FANOUT ? count : SJ_LIST_FANOUT;
    if (side == LEFT) {
        add_old(olds, at, 0);
        error = add_children(plan, sibling, count, items, 0, count);
    }
    add_old(olds, list_address(a->inner), 0);
    if (error == SJ_OK)
        error = add_children(plan, a->inner, a->count, a->items, 0, a->index);
    for (uint64_t i = 0; i < plan->below.count; i++)
        push(&plan->row, plan->below.element[i].child, plan->below.element[i].items);
    if (error == SJ_OK)
        error = add_children(plan, b->inner, b->count, b->items, b->index + 1, b->count);
    if (a->inner != b->inner)
        add_old(olds, list_address(b->inner), 0);
    if (side == RIGHT) {
        add_old(olds, at, 0);
        if (error == SJ_OK)
            error = add_children(plan, sibling, count, items, 0, count);
    }
    *joined = side != NEITHER;
    return error;
}

static int make_inner(struct plan *plan, const struct olds *olds, uint64_t number,
                      const struct element *elements, uint32_t count, struct element *made)
{
    struct sj_segment *segment = plan->list->segment;
    struct sj_list_inner fresh, *image = &fresh, *inner = NULL;
    bool old = number < olds->count;
    memset(&fresh, 0, sizeof fresh);
    if (old) {
        made->child = olds->node[number];
        image = (struct sj_list_inner *)edit(plan, made->child, sizeof *image);
        if (image == NULL)
            return SJ_ENOMEM;
    } else {
        int error = sj_heap_alloc(segment, sizeof *inner, (void **)&inner);
        if (error != SJ_OK)
            return error;
        fresh.node.stamp = sj_tx_stamp(segment);
        made->child = list_address(inner);
    }
    *(uint64_t *)&image->node = list_node_head(SJ_KIND_LIST_INNER, count, 0);
    made->items = 0;
    for (uint32_t i = 0; i < count; i++) {
        image->before[i] = made->items;
        image->child[i] = elements[i].child;
        made->items += elements[i].items;
    }
    if (!old)
        sj_copy(inner, image, sizeof *image);
    return SJ_OK;
}

static int cut_inner(struct plan *plan, const struct olds *olds, bool joined)
{
    struct cuts cuts = cut(plan, plan->row.count, SJ_LIST_FANOUT, joined);
    int error = reserve(&plan->below, cuts.parts);
    plan->below.count = 0;
    for (uint64_t i = 0; i < cuts.parts && error == SJ_OK; i++) {
        struct element made;
        uint64_t from = cut_at(&cuts, i), to = cut_at(&cuts, i + 1);
        error = make_inner(plan, olds, i, plan->row.element + from, (uint32_t)(to - from), &made);
        if (error == SJ_OK)
            push(&plan->below, made.child, made.items);
    }
    if (error == SJ_OK && cuts.parts < olds->count)
        error = free_olds(plan, olds, (uint32_t)cuts.parts);
    return error;
}

/* ------------------------------------------------------------------ the whole */

/* Level after level, until one node is left, or none; `*height` is that one's. */
static int do_levels(struct plan *plan, uint32_t *height)
{
    uint32_t level = 0, levels = plan->empty ? 0 : plan->a.height;
    int error = do_leaves(plan);
    while (error == SJ_OK && (level < levels || plan->below.count > 1)) {
        struct olds olds = {0};
        bool joined = false;
        plan->row.count = 0;
        if (++level > SJ_LIST_HEIGHT_MAX)
            return sj_error(SJ_EFULL, "a list has at most %d levels", SJ_LIST_HEIGHT_MAX);
        if (level <= levels) {
            error = fill_row(plan, level, &olds, &joined);
        } else {
            error = reserve(&plan->row, plan->below.count);
            for (uint64_t i = 0; i < plan->below.count && error == SJ_OK; i++)
                push(&plan->row, plan->below.element[i].child, plan->below.element[i].items);
        }
        if (error == SJ_OK && level >= levels && plan->row.count <= 1) {
            plan->below.count = 0; /* the top has one child left: it becomes the top */
            if (plan->row.count == 1)
                push(&plan->below, plan->row.element[0].child, plan->row.element[0].items);
            *height = level - 1;
            return free_olds(plan, &olds, 0);
        }
        if (error == SJ_OK)
            error = cut_inner(plan, &olds, joined);
    }
    *height = level;
    return error;
}

static int plan_head(struct plan *plan, uint32_t height)
{
    struct sj_list_head *head = plan->list->head;
    struct sj_segment *segment = plan->list->segment;
    const struct list_splice *splice = plan->splice;
    uint64_t top = plan->below.count != 0 ? plan->below.element[0].child : 0;
    uint64_t count = head->count - (splice->to - splice->from) + splice->count;
    int error = sj_tx_word(segment, &head->count, count);
    if (error == SJ_OK && head->top != top)
        error = sj_tx_word(segment, &head->top, top);
    height = top != 0 ? height : 0;
    if (error == SJ_OK && head->height != height)
        error = sj_tx_word(segment, &head->height, height);
    return error;
}

static int find_ends(struct plan *plan)
{
    const struct list_splice *splice = plan->splice;
    uint64_t count = sj_list_count(plan->list);
    plan->empty = count == 0;
    plan->append = splice->to == count;
    plan->a.height = plan->b.height = 0;
    if (plan->empty)
        return SJ_OK;
    int error = list_path_to(plan->list, splice->from, &plan->a);
    if (error != SJ_OK)
        return error;
    plan->b = plan->a;
    if (splice->from == splice->to)
        return SJ_OK;
    error = list_path_to(plan->list, splice->to - 1, &plan->b);
    if (error != SJ_OK)
        return error;
    plan->b.at++;
    return free_between(plan);
}

int list_splice(struct sj_list *list, const struct list_splice *splice)
{
    struct plan *plan = malloc(sizeof *plan);
    uint32_t height = 0;
    if (plan == NULL)
        return sj_error(SJ_ENOMEM, "a change of a list");
    plan->list = list;
    plan->splice = splice;
    plan->edits = 0;
    plan->below = plan->row = (struct elements){0};
    sj_list_forget(list);
    int error = find_ends(plan);
    if (error == SJ_OK)
        error = do_levels(plan, &height);
    if (error == SJ_OK)
        error = plan_head(plan, height);
    for (uint32_t i = 0; i < plan->edits && error == SJ_OK; i++)
        error = log_edit(list->segment, &plan->edit[i]);
    if (error == SJ_OK)
        apply(plan);
    for (uint32_t i = 0; i < plan->edits; i++)
        free(plan->edit[i].image);
    free(plan->below.element);
    free(plan->row.element);
    free(plan);
    return error;
}
