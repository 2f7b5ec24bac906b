// SPDX-License-Identifier: Apache-2.0
/*
 * test_list_crash.c: a death before every single store of a list's changes leaves the list as it
 * was before, or as it is after; once the commit is stored, after. Long changes are sampled. Only
 * in a build with -DSJ_SEAM.
 */
#include "list_world.h"

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include "image.h"

#define EXACT 40 /* stores that are tried one by one */

enum what { APPEND, INSERT, DELETE, POP, SET, REPLACE, REORDER, CLEAR, TRANSACTION, KINDS };

struct crash {
    enum what what;
    uint32_t at;
    uint64_t number;
};

static void transaction(const struct crash *crash)
{
    begin();
    for (uint32_t i = 0; i < 6; i++)
        insert(crash->at, crash->number + i);
    delete(test.count - 1);
    insert(test.count, crash->number);
    begin();
    for (uint32_t i = 0; i < 6; i++)
        delete(crash->at);
    end(crash->number % 2 == 0);
    replace(test.count, test.count, 40);
    delete(test.count - 1);
    end(true);
}

static void body(void *context)
{
    const struct crash *crash = context;
    switch (crash->what) {
    case APPEND:
        insert(test.count, crash->number);
        break;
    case INSERT:
        insert(crash->at, crash->number);
        break;
    case DELETE:
        delete(crash->at);
        break;
    case POP:
        delete(test.count - 1);
        break;
    case SET:
        set(crash->at, crash->number);
        break;
    case REPLACE:
        replace(crash->at, crash->at + (test.count - crash->at) / 2,
                (uint32_t)(crash->number % 700));
        break;
    case REORDER:
        reorder();
        break;
    case CLEAR:
        clear();
        break;
    default:
        transaction(crash);
        break;
    }
}

static void restore(void)
{
    image_restore(test.segment);
    sj_list_forget(&test.list);
}

static void dies_everywhere(const struct crash *crash)
{
    static uint64_t before[MODEL_MAX], after[MODEL_MAX];
    uint32_t before_count = test.count, after_count;
    uint64_t state = test_state, stores = 0, rolled_back = 0;
    bool died = true, committed = false;
    memcpy(before, test.number, before_count * sizeof before[0]);
    image_take(test.segment);
    body((void *)(uintptr_t)crash);
    after_count = test.count;
    memcpy(after, test.number, after_count * sizeof after[0]);
    for (uint64_t round = 0; died; round++) {
        restore();
        test.count = before_count;
        memcpy(test.number, before, before_count * sizeof before[0]);
        test_state = state;
        died = test_crash_at(stores, body, (void *)(uintptr_t)crash);
        sj_tx_forget(test.segment);
        sj_list_forget(&test.list);
        CHECK_OK(sj_segment_recover(test.segment));
        no_block_is_lost();
        committed = committed || !list_is(before, before_count) || !died;
        CHECK(committed ? list_is(after, after_count) : list_is(before, before_count));
        rolled_back += !committed;
        test_state = state + round * 12345;
        stores += stores < EXACT ? 1 : 1 + test_below(150);
    }
    CHECK(rolled_back > 0 || crash->what == SET || before_count < 2);
    test.count = after_count;
    memcpy(test.number, after, after_count * sizeof after[0]);
}

/* How long lists are when their shape changes: a leaf that is full, one that gets too empty. */
static void a_death_leaves_before_or_after(struct sj_segment *segment, uint32_t kind)
{
    static const uint32_t counts[] = {0, 5, 6, 126, 509, 510, 511, 700, 1020, 1400};
    new_list(segment, kind);
    for (uint32_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (enum what what = 0; what < KINDS; what++) {
            if (test.count < counts[i])
                replace(test.count, test.count, counts[i] - test.count);
            while (test.count > counts[i])
                delete((uint32_t)test_below(test.count));
            struct crash crash = {what, (uint32_t)test_below(test.count + 1), test_random()};
            if (what == DELETE || what == SET || what == POP || what == TRANSACTION) {
                if (test.count < 14)
                    continue;
                crash.at = (uint32_t)test_below(test.count - 12);
            }
            dies_everywhere(&crash);
        }
    clear();
    destroy_list();
}

int main(void)
{
    test_begin();
    struct sj_segment *segment = test_segment("crash");
    for (uint32_t kind = 0; kind < 4; kind++)
        a_death_leaves_before_or_after(segment, kind);
    CHECK_OK(sj_segment_close(segment, true));
    free(image);
    printf("ok\n");
    return 0;
}

#endif
