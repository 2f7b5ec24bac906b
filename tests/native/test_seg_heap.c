// SPDX-License-Identifier: Apache-2.0
/*
 * test_seg_heap.c: memory in the segments of a VAS, whose pointers lead from one to the other, and
 * names for them (seg_heap.h).
 */
#include "vas_world.h"

#include "spacejmp/seg_heap.h"

static struct world_segment a, b; /* side by side */

static int count_names(void *context, const char *name, size_t name_bytes, void *pointer)
{
    CHECK(name_bytes > 0 && name[0] != '\0' && pointer != NULL);
    ++*(uint32_t *)context;
    return SJ_OK;
}

/* A list through two segments, found again by its name in another attachment. */
static void blocks_lead_from_segment_to_segment(void)
{
    struct node {
        struct node *next;
        uint64_t value;
    } *first = NULL, *node;
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab), *reader;
    uint32_t names = 0;
    void *pointer;
    CHECK(sj_seg_malloc(vh, "a", 16, &pointer) == SJ_ENOHOLD);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_OK(sj_seg_malloc(vh, i % 2 == 0 ? "a" : "b", sizeof *node, &pointer));
        CHECK_OK(sj_seg_change(vh, pointer, sizeof *node));
        node = pointer;
        *node = (struct node){first, i};
        first = node;
    }
    CHECK(sj_seg_malloc(vh, "c", 16, &pointer) == SJ_ENOTFOUND);
    CHECK_OK(sj_vas_root_set(vh, "list", first));
    CHECK_OK(sj_vas_root_set(vh, "list", first->next)); /* in the other segment */
    CHECK_OK(sj_vas_root_set(vh, "list", first));
    CHECK_OK(sj_vas_root_list(vh, count_names, &names));
    CHECK(names == 1);
    CHECK(sj_vas_root_set(vh, "list", &names) == SJ_EINVAL);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
    CHECK_OK(world_try_attach(&ab, SJ_RIGHT_READ, &patient, &reader));
    CHECK_OK(sj_vas_switch(reader, 0, &patient));
    CHECK_OK(sj_vas_root_get(reader, "list", &pointer));
    uint64_t expected = 100;
    for (node = pointer; node != NULL; node = node->next)
        CHECK(node->value == --expected);
    CHECK(expected == 0);
    CHECK(sj_vas_root_get(reader, "lost", &pointer) == SJ_ENOTFOUND);
    CHECK(sj_seg_malloc(reader, "a", 16, &pointer) == SJ_EREADONLY);
    CHECK(sj_seg_free(reader, first) == SJ_EREADONLY);
    CHECK(sj_vas_root_remove(reader, "list") == SJ_EREADONLY);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(reader, &patient));
    vh = world_attach(&ab);
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    while (first != NULL) {
        node = first->next;
        CHECK_OK(sj_seg_write(vh, first, &node, sizeof node));
        CHECK_OK(sj_seg_free(vh, first));
        CHECK(sj_seg_free(vh, first) == SJ_EINVAL);
        first = node;
    }
    CHECK_OK(sj_vas_root_remove(vh, "list"));
    CHECK(sj_vas_root_remove(vh, "list") == SJ_ENOTFOUND);
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
    world_is_clean();
}

/* A segment that may only be read keeps its names; one that is not lockable is locked. */
static void names_are_changed_where_that_is_allowed(void)
{
    struct world_vas ab = world_of(&a, &b);
    struct sj_vas *vh = world_attach(&ab);
    void *in_a, *in_b, *found;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK_OK(sj_seg_malloc(vh, "a", 8, &in_a));
    CHECK_OK(sj_seg_malloc(vh, "b", 8, &in_b));
    CHECK_OK(sj_vas_root_set(vh, "name", in_a));
    ab.part[1].rights = SJ_RIGHT_READ;
    ab.part[0].lockable = false;
    ab.generation = 4;
    CHECK_OK(sj_vas_switch(vh, 0, &patient));
    CHECK(sj_vas_root_set(vh, "name", in_b) == SJ_EEXISTS);
    CHECK(sj_vas_root_set(vh, "other", in_a) == SJ_EREADONLY);
    CHECK_OK(sj_vas_root_set(vh, "other", in_b));
    CHECK_OK(sj_vas_root_get(vh, "name", &found));
    CHECK(found == in_a);
    CHECK_OK(sj_vas_root_get(vh, "other", &found));
    CHECK(found == in_b);
    CHECK(world_is_home(&a) && world_is_home(&b));
    CHECK_OK(sj_vas_root_remove(vh, "other"));
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    CHECK_OK(sj_vas_detach(vh, &patient));
}

int main(void)
{
    test_begin();
    world_make(&a, "a", TEST_BASE, 2);
    world_make(&b, "b", TEST_BASE + 2 * SJ_GIB, 1);
    blocks_lead_from_segment_to_segment();
    names_are_changed_where_that_is_allowed();
    return 0;
}
