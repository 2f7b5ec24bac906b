// SPDX-License-Identifier: Apache-2.0
/*
 * test_fences.c: how many fences one operation costs, counted at the seam in the `dax` domain.
 *
 * A fence waits for the media, 100–200 ns each whatever was flushed: it is what a commit costs.
 * Undo logging needs three: log before stores, stores before the commit's word, that word before
 * the answer. A fourth is for blocks that are freed, which the commit logs by itself. More are
 * needed when the heap takes pages or grows the file. The table says what operations take: the
 * common number, the largest, and how many took more than three.
 */
#include "dax_library.h"

#include "structures/btree.h"
#include "structures/hashmap.h"

#ifdef SJ_SEAM

#define FENCES_MAX 64
#define ITEMS      20000

static uint32_t fences, flushes;

static void count(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)at, (void)value;
    fences += event == SJ_SEAM_FENCE;
    flushes += event == SJ_SEAM_FLUSH;
}

struct container {
    struct sj_btree tree;
    struct sj_hashmap map;
    struct sj_kinds kinds;
    bool ordered;
};

struct tally {
    uint64_t operations[FENCES_MAX]; /* by fences */
    uint64_t flushes;
};

static void make(struct sj_segment *segment, struct container *container)
{
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(container->ordered ? sj_btree_create(segment, container->kinds, &head)
                                : sj_hashmap_create(segment, container->kinds, &head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(container->ordered ? sj_btree_open(segment, head, &container->tree)
                                : sj_hashmap_open(segment, head, &container->map));
}

static uint8_t value_bytes[20000];

static struct sj_key key_of(const struct container *container, uint64_t number)
{
    static uint64_t bytes[3];
    uint64_t mixed = number * 0x9e3779b97f4a7c15ull;
    if (container->kinds.key == SJ_ITEM_WORD)
        return (struct sj_key){.word = mixed};
    bytes[0] = bytes[1] = mixed;
    return (struct sj_key){.bytes = (uint8_t *)bytes, .size = sizeof bytes};
}

/* Values of 100 bytes, and every hundredth of 20000: pages of its own. */
static struct sj_value value_of(const struct container *container, uint64_t number)
{
    if (container->kinds.value == SJ_ITEM_WORD)
        return (struct sj_value){.word = number};
    return (struct sj_value){.bytes = value_bytes, .size = number % 100 == 0 ? 20000 : 100};
}

static void put(struct container *container, uint64_t number)
{
    bool existed;
    struct sj_key key = key_of(container, number);
    struct sj_value value = value_of(container, number);
    CHECK_OK(container->ordered
                 ? sj_btree_put(&container->tree, &key, &value, SJ_PUT_ALWAYS, &existed)
                 : sj_hashmap_put(&container->map, &key, &value, SJ_PUT_ALWAYS, &existed));
}

static void drop(struct container *container, uint64_t number)
{
    struct sj_key key = key_of(container, number);
    CHECK_OK(container->ordered ? sj_btree_delete(&container->tree, &key)
                                : sj_hashmap_delete(&container->map, &key));
}

static struct tally run(struct container *container,
                        void (*operation)(struct container *, uint64_t))
{
    struct tally tally = {.flushes = 0};
    for (uint64_t number = 1; number <= ITEMS; number++) {
        fences = flushes = 0;
        operation(container, number);
        tally.operations[fences < FENCES_MAX ? fences : FENCES_MAX - 1]++;
        tally.flushes += flushes;
    }
    return tally;
}

/* Prints the line of a table; at most `expected` fences, but for so many operations in a
 * thousand. */
static void report(const struct container *container, const char *operation,
                   const struct tally *tally, uint32_t expected, uint32_t per_thousand)
{
    static const char *const kinds[] = {"word", "bytes"};
    uint64_t more = 0, beyond = 0;
    uint32_t largest = 0, common = 0;
    for (uint32_t i = 0; i < FENCES_MAX; i++) {
        if (tally->operations[i] > tally->operations[common])
            common = i;
        if (tally->operations[i] != 0)
            largest = i;
        more += i > 3 ? tally->operations[i] : 0;
        beyond += i > expected ? tally->operations[i] : 0;
    }
    printf("%-7s %5s → %-5s  %-7s  %6u  %7u  %8.2f %%  %9.1f\n",
           container->ordered ? "btree" : "hashmap", kinds[container->kinds.key],
           kinds[container->kinds.value], operation, common, largest, 100.0 * (double)more / ITEMS,
           (double)tally->flushes / ITEMS);
    CHECK(common <= expected && beyond * 1000 <= (uint64_t)ITEMS * per_thousand);
}

static void measure(bool ordered, struct sj_kinds kinds)
{
    struct container container = {.kinds = kinds, .ordered = ordered};
    struct sj_segment *segment = test_dax_segment("fences");
    make(segment, &container);
    sj_seam_hook = count;
    struct tally insert = run(&container, put), replace = run(&container, put),
                 delete = run(&container, drop);
    sj_seam_hook = NULL;
    report(&container, "insert", &insert, 3, 4);
    report(&container, "replace", &replace, 4, 4);
    report(&container, "delete", &delete, 4, 4);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(unlink(test_path("fences")) == 0);
}

#endif

int main(void)
{
    test_begin();
#ifdef SJ_SEAM
    printf("structure, key → value   operation  common  largest  above 3     flushes\n");
    for (int kinds = 0; kinds < 8; kinds++)
        measure((kinds & 4) != 0, (struct sj_kinds){kinds & 1 ? SJ_ITEM_BYTES : SJ_ITEM_WORD,
                                                    kinds & 2 ? SJ_ITEM_BYTES : SJ_ITEM_WORD});
#endif
    return 0;
}
