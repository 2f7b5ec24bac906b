// SPDX-License-Identifier: Apache-2.0
/*
 * test_btree_damage.c: B+trees on damaged media: the check notices every flipped bit that matters,
 * and no operation crashes or goes on for ever, whatever it finds.
 */
#include "btree_world.h"

/* Every operation, on whatever the tree has become: any answer is right, but there is one. */
static void try_everything(struct sj_btree *tree)
{
    struct key_buffer key;
    struct sj_value value = {.word = 1, .bytes = key.bytes, .size = 9};
    struct sj_btree_cursor cursor;
    struct sj_item items[64];
    uint64_t rank;
    uint32_t got;
    bool existed;
    for (uint32_t i = 0; i < 20; i++) {
        key_of(&test.model, test_below(test.spread), &key);
        (void)sj_btree_get(tree, &key.key, &value);
        value = (struct sj_value){.word = 1, .bytes = key.bytes, .size = 9};
        (void)sj_btree_rank(tree, &key.key, true, &rank);
        for (uint32_t backward = 0; backward < 2; backward++) {
            int error = sj_btree_seek(tree, &key.key, false, &cursor);
            for (uint32_t reads = 0; error == SJ_OK && cursor.leaf != NULL; reads++) {
                CHECK(reads < MODEL_MAX);
                error = sj_btree_read(tree, &cursor, backward, 64, items, &got);
            }
        }
        if (sj_btree_select(tree, test_below(sj_btree_count(tree) + 1), &cursor) == SJ_OK)
            (void)sj_btree_read(tree, &cursor, false, 10, items, &got);
        (void)sj_btree_put(tree, &key.key, &value, SJ_PUT_ALWAYS, &existed);
        (void)sj_btree_delete(tree, &key.key);
    }
    (void)sj_btree_first(tree, &cursor);
    (void)sj_btree_last(tree, &cursor);
    (void)sj_btree_check(tree, NULL, NULL);
    (void)sj_btree_clear(tree);
}

/* A word of the tree's blocks: an address, a count, anything else. */
static void damage_block(uint64_t block, uint64_t bytes)
{
    uint64_t *word = (uint64_t *)(uintptr_t)block + test_below(bytes < 520 ? bytes / 8 : 65);
    if (test_below(4) == 0)
        word = (uint64_t *)(uintptr_t)block;
    switch (test_below(5)) {
    case 0:
        *word ^= 1ull << test_below(64);
        break;
    case 1:
        *word = test_random();
        break;
    case 2:
        *word = (uint64_t)(uintptr_t)test.segment->base + 8 * test_below(1 << 17);
        break;
    case 3:
        *word = block;
        break;
    default:
        *word = *word << 16 | 0xffff;
    }
}

struct chosen {
    uint64_t left; /* blocks still to come before the one to damage */
    uint64_t block, bytes;
};

static int choose_block(void *context, uint64_t block, uint64_t bytes)
{
    struct chosen *chosen = context;
    if (chosen->left-- == 0) {
        chosen->block = block;
        chosen->bytes = bytes;
    }
    return SJ_OK;
}

static void damage_is_survived(struct sj_segment *segment)
{
    for (uint32_t round = 0; round < 400; round++) {
        new_tree(segment, all_kinds[round % 4], round / 4 % 4);
        batch(1500, 80, 0);
        struct blocks blocks = {0};
        CHECK_OK(sj_btree_check(&test.tree, count_block, &blocks));
        struct copy copy = copy_segment(segment);
        uint64_t seed = test_random();
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            test_state = seed;
            for (uint64_t times = 1 + test_below(3); times > 0; times--) {
                struct chosen chosen = {.left = test_below(blocks.count)};
                (void)sj_btree_check(&test.tree, choose_block, &chosen);
                if (chosen.block != 0)
                    damage_block(chosen.block, chosen.bytes);
            }
            alarm(60);
            try_everything(&test.tree);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fprintf(stderr, "round %u, inner seed %" PRIu64 ", status %x\n", round, seed, status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        restore_segment(segment, &copy);
        free(copy.bytes);
        no_block_is_lost(&test.tree);
        destroy_tree();
    }
}

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
    damage_is_survived(segment);
    CHECK_OK(sj_segment_close(segment, true));
    return 0;
}
