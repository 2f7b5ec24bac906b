// SPDX-License-Identifier: Apache-2.0
/*
 * test_settings.c: what is set of a segment: kept, followed, whole after a death at any store, and
 * harmless when it is damaged.
 */
#include "harness.h"

#include "persistence/settings.h"
#include "persistence/sums.h"

static const struct sj_settings first = {0, SJ_PAGE, true, false};
static const struct sj_settings second = {8ull << 20, SJ_PAGE, false, true};

static bool is(const struct sj_segment *segment, const struct sj_settings *expected)
{
    struct sj_settings found;
    sj_settings_get(segment, &found);
    return found.growth_limit == expected->growth_limit &&
           found.page_bytes == expected->page_bytes && found.lockable == expected->lockable &&
           found.prefault == expected->prefault;
}

static void test_settings_are_kept(void)
{
    struct sj_segment *segment = test_segment("kept");
    CHECK(is(segment, &first) && segment->lockable);
    CHECK_OK(sj_settings_put(segment, &second));
    CHECK(is(segment, &second) && !segment->lockable);
    struct sj_settings wrong = second;
    wrong.growth_limit = SJ_PAGE + 1;
    CHECK(sj_settings_put(segment, &wrong) == SJ_EINVAL);
    wrong.growth_limit = segment->reserved + SJ_PAGE;
    CHECK(sj_settings_put(segment, &wrong) == SJ_EINVAL);
    wrong = second;
    wrong.page_bytes = 8192;
    CHECK(sj_settings_put(segment, &wrong) == SJ_EINVAL);
    CHECK_OK(sj_segment_close(segment, true));
    segment = test_reopen("kept");
    CHECK(is(segment, &second) && !segment->lockable);
    CHECK_OK(sj_segment_close(segment, true));
}

static int fill(struct sj_segment *segment)
{
    int error = SJ_OK;
    while (error == SJ_OK) {
        void *block;
        CHECK_OK(sj_tx_op_begin(segment));
        error = sj_heap_alloc(segment, 1 << 20, &block);
        if (error != SJ_OK)
            return sj_tx_op_abort(segment, error);
        sj_tx_ready(segment);
        error = sj_tx_op_commit(segment);
    }
    return error;
}

static void test_a_limit_holds(void)
{
    struct sj_segment *segment = test_segment("limit");
    CHECK_OK(sj_settings_put(segment, &second));
    CHECK(fill(segment) == SJ_EFULL);
    CHECK(sj_segment_committed(segment) <= second.growth_limit);
    CHECK(sj_segment_committed(segment) > second.growth_limit / 2);
    CHECK_OK(sj_segment_close(segment, true));
}

/* Whatever is there: nothing is committed behind the reserve, or before what there is. */
static void test_damaged_settings_do_no_harm(void)
{
    static const uint64_t limits[] = {1, 4095, 4097, 64ull << 30, UINT64_MAX, 1ull << 63};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "damaged%zu", i);
        struct sj_segment *segment = test_segment(name);
        sj_sums_mark(segment, &segment->root_page->growth_limit, 16);
        segment->root_page->growth_limit = limits[i];
        segment->root_page->settings = UINT64_MAX;
        CHECK_OK(sj_segment_close(segment, true));
        segment = test_reopen(name);
        uint64_t before = sj_segment_committed(segment);
        if (limits[i] < before) {
            CHECK(fill(segment) == SJ_EFULL);
            CHECK(sj_segment_committed(segment) == before);
        }
        CHECK(sj_segment_commit(segment, segment->reserved + 1) == SJ_EFULL);
        CHECK_OK(sj_settings_put(segment, &first));
        CHECK(is(segment, &first));
        CHECK_OK(sj_segment_close(segment, true));
    }
}

#ifdef SJ_SEAM
static void put_second(void *context)
{
    if (sj_settings_put(context, &second) != SJ_OK)
        _exit(1);
}

static void test_death_leaves_the_old_or_the_new(void)
{
    struct sj_segment *segment = test_segment("death");
    bool died = true;
    uint64_t stores = 0, kept = 0;
    for (; died; stores++) {
        CHECK_OK(sj_settings_put(segment, &first));
        died = test_crash_at(stores, put_second, segment);
        CHECK_OK(sj_segment_recover(segment));
        CHECK(is(segment, &first) || is(segment, &second));
        kept += is(segment, &first);
        CHECK(died || is(segment, &second));
    }
    CHECK(stores > 4 && kept > 2);
    CHECK_OK(sj_segment_close(segment, true));
}
#endif

int main(void)
{
    test_begin();
    test_settings_are_kept();
    test_a_limit_holds();
    test_damaged_settings_do_no_harm();
#ifdef SJ_SEAM
    test_death_leaves_the_old_or_the_new();
#endif
    return 0;
}
