// SPDX-License-Identifier: Apache-2.0
/*
 * test_btree_damage.c: the check of a B+tree notices every flipped bit that matters. (That nothing
 * crashes on damaged media, whatever is done with it, is for fuzz.c to see.)
 */
#include "btree_world.h"

/* Whether the checker looks at this word of a node of a byte-keyed tree, or at what it decides. */
static bool is_checked(const struct sj_block *block, uint64_t word)
{
    const uint64_t fanout = SJ_BTREE_INNER_BYTES, count = block->word16;
    switch (block->kind) {
    case SJ_KIND_BTREE: /* the rest is read when the tree is opened */
        return word > 0;
    case SJ_KIND_BTREE_LEAF:
        return word == 0 || word == 2 || word == 3 || (word >= 4 && word < 4 + count) ||
               (word >= 34 && word < 34 + count);
    case SJ_KIND_BTREE_INNER:
        return word == 0 || (word >= 4 && (word < 4 + fanout || (word - 4) % fanout < count));
    default: /* of entries and separators just the head */
        return word == 0;
    }
}

/* Flips a bit of each word of a block in turn: the check must notice. */
static int flip_words(void *context, uint64_t block, uint64_t bytes)
{
    uint64_t *flips = context, *words = (uint64_t *)(uintptr_t)block;
    const struct sj_block head = *(struct sj_block *)words;
    bool node = head.kind == SJ_KIND_BTREE_LEAF || head.kind == SJ_KIND_BTREE_INNER;
    bytes = head.kind == SJ_KIND_BTREE ? sizeof(struct sj_btree_head) : bytes;
    for (uint64_t word = 0; word < bytes / 8; word++) {
        if (!is_checked(&head, word))
            continue;
        uint64_t old = words[word];
        /* Kind, count or skip of a node; the kind of other blocks; or anything. */
        words[word] ^= 1ull << (word > 0 ? test_below(64) : test_below(node ? 64 : 16));
        CHECK(sj_btree_check(&test.tree, NULL, NULL) == SJ_ECORRUPT);
        words[word] = old;
        ++*flips;
    }
    return SJ_OK;
}

static void every_word_is_checked(struct sj_segment *segment)
{
    uint64_t flips = 0;
    new_tree(segment, all_kinds[3], 1);
    test.spread = 6000;
    while (test.model.count < 2600)
        put(test_below(test.spread), SJ_PUT_ALWAYS);
    CHECK(test.tree.head->height == 2);
    CHECK_OK(sj_btree_check(&test.tree, flip_words, &flips));
    printf("%" PRIu64 " flipped bits were noticed\n", flips);
    no_block_is_lost(&test.tree);
    destroy_tree();
}
int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("damage");
    every_word_is_checked(segment);
    CHECK_OK(sj_segment_close(segment, true));
    return 0;
}
