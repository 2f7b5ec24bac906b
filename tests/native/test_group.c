// SPDX-License-Identifier: Apache-2.0
/*
 * test_group.c: transactions over several segments: commit, abort, savepoints; a death before every
 * single store, with recovery in either order; and loss of bytes at every store.
 */
#include "group_world.h"

#include <sys/stat.h>

/* ------------------------------------------------------------------ one process */

static void groups_commit_and_abort(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    is_all(7, 1);
    CHECK(!has_record(&place[0]) && !sj_log_pending(place[1].segment));
    struct sj_tx_group group = group_of(7);
    CHECK_OK(sj_tx_group_begin(&group));
    set(&place[0], 0, 2);
    set(&place[2], 0, 2);
    sj_tx_group_abort(&group);
    is_all(7, 1);
    CHECK_OK(sj_tx_group_begin(&group)); /* one is changed; then none */
    set(&place[2], 0, 3);
    CHECK_OK(sj_tx_group_commit(&group));
    CHECK(place[2].word[0] == 3 && place[0].word[0] == 1);
    CHECK_OK(sj_tx_group_begin(&group));
    CHECK_OK(sj_tx_group_commit(&group));
    remove_places();
}

static void groups_nest(void)
{
    make_places();
    struct sj_tx_group outer = group_of(7), inner = group_of(3), single = group_of(2);
    CHECK_OK(sj_tx_group_begin(&outer));
    set(&place[0], 0, 1);
    CHECK_OK(sj_tx_group_begin(&inner));
    CHECK(inner.nested);
    set(&place[0], 0, 2);
    set(&place[1], 0, 2);
    sj_tx_group_abort(&inner);
    CHECK(place[0].word[0] == 1 && place[1].word[0] == 0);
    CHECK_OK(sj_tx_group_begin(&inner));
    set(&place[1], 0, 3);
    CHECK_OK(sj_tx_group_commit(&inner));
    CHECK_OK(sj_tx_begin(place[2].segment));
    set(&place[2], 0, 4);
    sj_tx_abort(place[2].segment);
    CHECK_OK(sj_tx_group_begin(&single));
    set(&place[1], 1, 5);
    CHECK_OK(sj_tx_group_commit(&single));
    CHECK_OK(sj_tx_group_commit(&outer));
    CHECK(place[0].word[0] == 1 && place[1].word[0] == 3 && place[2].word[0] == 0);
    CHECK(place[1].word[1] == 5);
    remove_places();
}

static void groups_that_cannot_be_are_refused(void)
{
    make_places();
    struct sj_tx_group all = group_of(7), two = group_of(3), none = {.count = 0};
    CHECK(sj_tx_group_begin(&none) == SJ_EINVAL);
    CHECK_OK(sj_tx_begin(place[1].segment)); /* one is in a transaction by itself */
    CHECK(sj_tx_group_begin(&all) == SJ_EINVAL && sj_tx_depth(place[0].segment) == 0);
    CHECK_OK(sj_tx_commit(place[1].segment));
    CHECK_OK(sj_tx_group_begin(&two)); /* one is not in the outer group */
    CHECK(sj_tx_group_begin(&all) == SJ_EINVAL);
    sj_tx_abort(place[0].segment); /* as sj_leave does, in the wrong order */
    set(&place[1], 0, 9);
    CHECK(sj_tx_group_commit(&two) == SJ_ENOHOLD);
    is_all(3, 0);
    sj_tx_group_abort(&two); /* does nothing more */
    unmap_place(&place[2]);
    CHECK_OK(sj_segment_open(place[2].path, false, true, false, &place[2].segment));
    all = group_of(7);
    CHECK(sj_tx_group_begin(&all) == SJ_EREADONLY);
    CHECK(sj_tx_depth(place[0].segment) == 0 && sj_tx_depth(place[1].segment) == 0);
    CHECK_OK(change(3, 1));
    remove_places();
}

/* The group undid the inner one's savepoint alone; committing that one failed an assertion. */
static void what_is_inside_of_a_group_ends_first(void)
{
    make_places();
    struct sj_tx_group outer = group_of(7);
    CHECK_OK(sj_tx_group_begin(&outer));
    set(&place[1], 0, 9);
    CHECK_OK(sj_tx_begin(place[1].segment));
    CHECK(sj_tx_group_check(&outer) == SJ_ENOHOLD);
    CHECK(sj_tx_group_commit(&outer) == SJ_ENOHOLD);
    CHECK(sj_tx_depth(place[0].segment) == 1 && sj_tx_depth(place[1].segment) == 2);
    CHECK_OK(sj_tx_commit(place[1].segment));
    CHECK_OK(sj_tx_group_check(&outer));
    CHECK_OK(sj_tx_group_commit(&outer));
    remove_places();
}

static void segments_may_lie_in_different_directories(void)
{
    char deep[160];
    snprintf(deep, sizeof deep, "%s/x", test_directory);
    CHECK(mkdir(deep, 0700) == 0);
    snprintf(deep, sizeof deep, "%s/x/y", test_directory);
    CHECK(mkdir(deep, 0700) == 0);
    make_place(0, "a");
    make_place(1, "x/y/b");
    make_place(2, "x/c");
    make_place(3, "d");
    CHECK_OK(change(7, 1));
    CHECK(strcmp(place[1].segment->log->vote.path, "../../a") == 0);
    CHECK(strcmp(place[2].segment->log->vote.path, "../a") == 0);
    CHECK_OK(change(6, 2));
    CHECK(strcmp(place[2].segment->log->vote.path, "y/b") == 0);
    remove_places();
    CHECK(rmdir(deep) == 0);
    *strrchr(deep, '/') = '\0';
    CHECK(rmdir(deep) == 0);
}

#ifdef SJ_SEAM

/* ------------------------------------------------------------------ a death at every store */

static void change_two(void *context)
{
    uint64_t value = *(uint64_t *)context;
    struct sj_tx_group group = group_of(3);
    void *block;
    CHECK_OK(sj_tx_group_begin(&group));
    for (uint32_t i = 0; i < 2; i++) {
        set(&place[i], 0, value);
        CHECK_OK(sj_tx_op_begin(place[i].segment));
        CHECK_OK(sj_heap_alloc(place[i].segment, 40, &block));
        sj_store(block, value);
        if (place[i].word[1] != 0)
            CHECK_OK(sj_heap_free(place[i].segment, place[i].word[1]));
        CHECK_OK(sj_tx_word(place[i].segment, &place[i].word[1], (uint64_t)(uintptr_t)block));
        sj_tx_ready(place[i].segment);
        CHECK_OK(sj_tx_op_commit(place[i].segment));
    }
    CHECK_OK(sj_tx_group_commit(&group));
}

static uint64_t live_blocks(const struct place *at)
{
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(at->segment, &stats));
    return stats.live_blocks;
}

enum order { FIRST_FIRST, SECOND_FIRST, FIRST_CHANGED, SECOND_CHANGED, ORDERS };

/* Recovers both; with one of the later orders it changes the first one before it recovers the
 * other. */
static void recover_two(enum order order)
{
    struct place *one = &place[order % 2], *other = &place[1 - order % 2];
    CHECK_OK(sj_segment_recover(one->segment));
    for (uint64_t i = 0; order >= FIRST_CHANGED && i < 3; i++)
        set(one, 2, one->word[2] + 1);
    CHECK_OK(sj_segment_recover(other->segment));
}

static void a_death_at_any_store_leaves_all_or_nothing(void)
{
    make_places();
    uint64_t value = 1, dead = 0, committed = 0;
    change_two(&value);
    for (enum order order = 0; order < ORDERS; order++) {
        bool died = true;
        for (uint64_t stores = 0; died; stores++) {
            uint64_t next = value + 1;
            died = test_crash_at(stores, change_two, &next);
            recover_two(order);
            CHECK(place[0].word[0] == place[1].word[0]);
            CHECK(place[0].word[0] == value || place[0].word[0] == next);
            CHECK(died || place[0].word[0] == next);
            dead += died;
            committed += died && place[0].word[0] == next;
            value = place[0].word[0];
            for (uint32_t i = 0; i < 2; i++) {
                CHECK(*(uint64_t *)(uintptr_t)place[i].word[1] == value);
                CHECK(live_blocks(&place[i]) == 2);
                CHECK(!sj_log_pending(place[i].segment));
            }
            CHECK_OK(change(3, value)); /* a record that is left does not stand in the way */
            CHECK(!has_record(&place[0]) && !has_record(&place[1]));
        }
    }
    printf("deaths in a group: %" PRIu64 ", %" PRIu64 " behind the decision\n", dead, committed);
    CHECK(dead > 100 && committed > 4);
    remove_places();
}

/* ------------------------------------------------------------------ loss of bytes */

static uint32_t lost_place;
static uint64_t lost_left;

/* Before a store the segment loses its file: that store and all later ones go to a copy. */
static void lose(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)at, (void)value;
    if (event == SJ_SEAM_STORE && lost_left-- == 0)
        CHECK(sj_segment_freeze(place[lost_place].segment, SJ_LOST_LOCK));
}

static uint64_t *watched;

/* The same before the store to a word. */
static void lose_at_word(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event == SJ_SEAM_STORE && at == watched)
        CHECK(sj_segment_freeze(place[lost_place].segment, SJ_LOST_LOCK));
}

/* Both are left by their process, and opened again. */
static void open_again(bool second_first)
{
    for (uint32_t i = 0; i < 2; i++) {
        (void)sj_segment_close(place[i].segment, false);
        place[i].segment = NULL;
    }
    map_place(&place[second_first ? 1 : 0], false);
    map_place(&place[second_first ? 0 : 1], false);
}

static void a_loss_at_any_store_leaves_all_or_nothing(void)
{
    uint64_t value = 1, lost = 0;
    make_places();
    CHECK_OK(change(3, value));
    for (uint32_t run = 0; run < 4; run++) {
        bool done = false;
        for (uint64_t stores = 0; !done; stores++) {
            lost_place = run % 2;
            lost_left = stores;
            sj_seam_hook = lose;
            struct sj_tx_group group = group_of(3);
            int error = sj_tx_group_begin(&group);
            for (uint32_t i = 0; i < 2 && error == SJ_OK; i++) {
                (void)sj_tx_op_begin(place[i].segment);
                error = sj_tx_word(place[i].segment, &place[i].word[0], value + 1);
                sj_tx_ready(place[i].segment);
                (void)sj_tx_op_commit(place[i].segment);
            }
            error = error == SJ_OK ? sj_tx_group_commit(&group) : error;
            sj_seam_hook = NULL;
            done = !sj_segment_is_damaged(place[lost_place].segment);
            CHECK(done == (error == SJ_OK));
            CHECK(done || error == SJ_EDAMAGED);
            open_again(run / 2 != 0);
            CHECK(place[0].word[0] == place[1].word[0]);
            CHECK(place[0].word[0] - value <= 1 && (!done || place[0].word[0] == value + 1));
            value = place[0].word[0];
            lost += !done;
        }
    }
    printf("losses in a group: %" PRIu64 "\n", lost);
    CHECK(lost > 100);
    remove_places();
}

/* ------------------------------------------------------------------ segments that stay away */

static uint64_t uses_left;

static int use(void *context, uint32_t number)
{
    (void)context, (void)number;
    return uses_left-- == 0 ? sj_error(SJ_ENOMEM, "it does not come to its addresses") : SJ_OK;
}

/* A segment cannot be brought to its addresses, whenever that is tried. */
static void a_segment_that_stays_away_costs_nothing(void)
{
    uint64_t value = 1, failed = 0, committed = 0;
    make_places();
    CHECK_OK(change(3, value));
    for (uint64_t uses = 0;; uses++) {
        struct sj_tx_group group = group_of(3);
        group.use = use;
        uses_left = uses;
        int error = sj_tx_group_begin(&group);
        if (error == SJ_OK) {
            set(&place[0], 0, value + 1);
            set(&place[1], 0, value + 1);
            error = sj_tx_group_commit(&group);
        }
        bool done = uses_left < UINT64_MAX / 2;
        CHECK(!done || error == SJ_OK);
        open_again(uses % 2 != 0);
        CHECK(place[0].word[0] == place[1].word[0]);
        CHECK(place[0].word[0] - value <= (error == SJ_OK || error == SJ_EDAMAGED));
        CHECK(error != SJ_OK || place[0].word[0] == value + 1);
        committed += error == SJ_EDAMAGED && place[0].word[0] == value + 1;
        failed += error == SJ_ENOMEM;
        value = place[0].word[0];
        if (done)
            break;
    }
    CHECK(failed > 3 && committed > 0);
    remove_places();
}

/* The decider loses bytes as it decides, and its file is not there to tell. */
static void nobody_can_tell(void)
{
    char away[200];
    make_places();
    CHECK_OK(change(3, 1));
    snprintf(away, sizeof away, "%s.away", place[0].path);
    CHECK(rename(place[0].path, away) == 0);
    lost_place = 0;
    watched = &place[0].segment->log->generation;
    struct sj_tx_group group = group_of(3);
    CHECK_OK(sj_tx_group_begin(&group));
    set(&place[0], 0, 2);
    set(&place[1], 0, 2);
    sj_seam_hook = lose_at_word;
    CHECK(sj_tx_group_commit(&group) == SJ_EDAMAGED);
    sj_seam_hook = NULL;
    CHECK(sj_segment_is_damaged(place[1].segment) && sj_tx_depth(place[1].segment) == 0);
    CHECK(rename(away, place[0].path) == 0);
    open_again(true);
    is_all(3, 1);
    remove_places();
}

#endif

int main(void)
{
    test_begin();
    groups_commit_and_abort();
    groups_nest();
    groups_that_cannot_be_are_refused();
    what_is_inside_of_a_group_ends_first();
    segments_may_lie_in_different_directories();
#ifdef SJ_SEAM
    a_death_at_any_store_leaves_all_or_nothing();
    a_loss_at_any_store_leaves_all_or_nothing();
    a_segment_that_stays_away_costs_nothing();
    nobody_can_tell();
#endif
    return 0;
}
