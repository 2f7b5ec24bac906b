// SPDX-License-Identifier: Apache-2.0
/*
 * test_user.c: blocks and pointers of users (persistence/user.h): they are what they were given as,
 * no other pointer is taken for one, and a write is whole or not at all.
 */
#include "harness.h"

#include "persistence/roots.h"
#include "persistence/user.h"
#include "structures/check.h"

#define BLOCKS 200

static uint64_t alloc(struct sj_segment *segment, uint64_t bytes)
{
    uint64_t pointer = 0;
    CHECK_OK(sj_user_alloc(segment, bytes, &pointer));
    CHECK(pointer % 16 == 0 && (bytes == 0 || sj_user_room(segment, pointer) == bytes));
    return pointer;
}

/* No user's block is a leak, and a repair leaves them all. */
static void check(struct sj_segment *segment, uint64_t blocks)
{
    struct sj_check_report report;
    struct sj_check_options options = {.repair = true};
    CHECK_OK(sj_check(segment, &report));
    CHECK(report.census.blocks == blocks && report.census.leaked_blocks == 0);
    CHECK_OK(sj_check_with(segment, &options, &report));
    CHECK(report.census.blocks == blocks && report.census.freed_blocks == 0);
}

static void blocks_hold_what_is_written(void)
{
    struct sj_segment *segment = test_segment("blocks");
    static char expected[BLOCKS][9000];
    uint64_t pointer[BLOCKS], bytes[BLOCKS];
    for (uint32_t i = 0; i < BLOCKS; i++) {
        bytes[i] = 1 + test_below(i % 10 == 0 ? 9000 : 300);
        pointer[i] = alloc(segment, bytes[i]);
        memset((char *)(uintptr_t)pointer[i], 0, bytes[i]);
    }
    for (uint32_t round = 0; round < 5000; round++) {
        uint32_t i = (uint32_t)test_below(BLOCKS);
        uint64_t at = test_below(bytes[i]), count = 1 + test_below(bytes[i] - at);
        char text[9000];
        for (uint64_t j = 0; j < count; j++)
            text[j] = (char)test_random();
        CHECK_OK(sj_user_write(segment, pointer[i] + at, text, count));
        memcpy(expected[i] + at, text, count);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        CHECK(memcmp((char *)(uintptr_t)pointer[i], expected[i], bytes[i]) == 0);
        uint64_t inside = test_below(bytes[i]);
        CHECK(sj_user_room(segment, pointer[i] + inside) == bytes[i] - inside);
        CHECK(sj_user_room(segment, pointer[i] + bytes[i]) == 0);
        CHECK(sj_user_room(segment, pointer[i] - 1) == 0);
    }
    check(segment, BLOCKS);
    for (uint32_t i = 0; i < BLOCKS; i++)
        CHECK_OK(sj_user_free(segment, pointer[i]));
    check(segment, 0);
    CHECK_OK(sj_segment_close(segment, true));
}

static void large_blocks_have_an_inside(void)
{
    struct sj_segment *segment = test_segment("large");
    for (uint64_t bytes = 1 << 20; bytes <= 17 << 20; bytes *= 4) {
        uint64_t pointer = alloc(segment, bytes);
        CHECK(sj_user_room(segment, pointer + bytes - 1) == 1);
        CHECK_OK(sj_user_write(segment, pointer + bytes - 3, "end", 3));
        CHECK(memcmp((char *)(uintptr_t)(pointer + bytes - 3), "end", 3) == 0);
        check(segment, 1);
        CHECK_OK(sj_user_free(segment, pointer));
    }
    uint64_t pointer;
    CHECK(sj_user_alloc(segment, UINT64_MAX, &pointer) == SJ_ETOOBIG);
    CHECK(sj_user_alloc(segment, 2 * SJ_GIB, &pointer) != SJ_OK);
    CHECK_OK(sj_segment_close(segment, true));
}

static void no_other_pointer_is_taken(void)
{
    struct sj_segment *segment = test_segment("wrong");
    uint64_t one = alloc(segment, 100), base = (uint64_t)(uintptr_t)segment->base;
    uint64_t wrong[] = {0,
                        1,
                        8,
                        base,
                        base + SJ_ROOT_PAGE_AT,
                        one + 1,
                        one + 16,
                        one - 16,
                        one + 112,
                        base + SJ_GIB - 8,
                        base + SJ_GIB,
                        UINT64_MAX,
                        UINT64_MAX - 7};
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(sj_user_free(segment, wrong[i]) == SJ_EINVAL);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t at = base + test_below(1 << 20);
        uint64_t room = sj_user_room(segment, at);
        CHECK((room > 0) == (at >= one && at < one + 100));
        CHECK(room > 0 || sj_user_write(segment, at, "x", 1) == SJ_EINVAL);
    }
    CHECK(sj_user_write(segment, one + 99, "xy", 2) == SJ_EINVAL);
    CHECK(sj_user_write(segment, one, "x", UINT64_MAX) == SJ_EINVAL);
    CHECK(sj_user_change(segment, one + 50, 51) == SJ_EINVAL);
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_user_free(segment, one));
    CHECK(sj_user_free(segment, one) == SJ_EINVAL); /* though it is in use until the commit */
    sj_tx_abort(segment);
    CHECK(sj_user_room(segment, one) == 100);
    CHECK_OK(sj_user_free(segment, one));
    CHECK(sj_user_free(segment, one) == SJ_EINVAL && sj_user_room(segment, one) == 0);
    check(segment, 0);
    CHECK_OK(sj_segment_close(segment, true));
}

static void an_abort_undoes_what_was_stored_directly(void)
{
    struct sj_segment *segment = test_segment("abort");
    uint64_t pointer = alloc(segment, 64);
    char *bytes = (char *)(uintptr_t)pointer;
    CHECK_OK(sj_user_write(segment, pointer, "before", 7));
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_user_change(segment, pointer + 1, 5));
    memcpy(bytes + 1, "while", 5);
    sj_tx_abort(segment);
    CHECK(strcmp(bytes, "before") == 0);
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_user_change(segment, pointer, 7));
    memcpy(bytes, "after.", 7);
    CHECK_OK(sj_tx_commit(segment));
    if (segment->domain->durability == SJ_DURABILITY_POWER) {
        CHECK(sj_user_change(segment, pointer, 7) == SJ_EINVAL);
        CHECK_OK(sj_segment_close(segment, true));
        return;
    }
    CHECK_OK(sj_segment_sync(segment)); /* its page has a checksum */
    CHECK_OK(sj_user_change(segment, pointer, 7));
    memcpy(bytes, "later.", 7);
    check(segment, 1); /* which does not count any more */
    CHECK_OK(sj_segment_close(segment, true));
}

static void pointers_have_names(void)
{
    struct sj_segment *segment = test_segment("names");
    uint64_t pointer = alloc(segment, 8), found, base = (uint64_t)(uintptr_t)segment->base;
    struct sj_root *root;
    CHECK_OK(sj_user_root_set(segment, "it", 2, pointer));
    CHECK_OK(sj_user_root_set(segment, "inside", 6, pointer + 3));
    CHECK_OK(sj_user_root_set(segment, "none", 4, 0));
    CHECK_OK(sj_user_root_get(segment, "it", 2, &found));
    CHECK(found == pointer);
    CHECK_OK(sj_user_root_get(segment, "none", 4, &found));
    CHECK(found == 0);
    CHECK_OK(sj_user_root_set(segment, "it", 2, pointer + 1));
    CHECK_OK(sj_user_root_get(segment, "it", 2, &found));
    CHECK(found == pointer + 1);
    CHECK(sj_user_root_set(segment, "it", 2, base + SJ_GIB) == SJ_EINVAL);
    CHECK(sj_user_root_set(segment, "it", 2, 7) == SJ_EINVAL);
    CHECK(sj_user_root_set(segment, "", 0, pointer) == SJ_EINVAL);
    CHECK(sj_user_root_get(segment, "other", 5, &found) == SJ_ENOTFOUND);
    check(segment, 1 + 3);
    CHECK_OK(sj_root_find(segment, "it", 2, &root));
    root->pointer = base + SJ_GIB; /* damage */
    struct sj_check_report report;
    CHECK(sj_user_root_get(segment, "it", 2, &found) == SJ_ECORRUPT);
    CHECK(sj_check(segment, &report) == SJ_ECORRUPT);
    root->pointer = pointer;
    root->type = SJ_KIND_BTREE;
    CHECK(sj_user_root_get(segment, "it", 2, &found) == SJ_ETYPE);
    CHECK(sj_user_root_set(segment, "it", 2, pointer) == SJ_ETYPE);
    CHECK(sj_user_root_remove(segment, "it", 2) == SJ_ETYPE);
    root->type = SJ_KIND_POINTER;
    CHECK_OK(sj_user_root_remove(segment, "it", 2));
    CHECK(sj_user_root_remove(segment, "it", 2) == SJ_ENOTFOUND);
    check(segment, 1 + 2);
    CHECK_OK(sj_segment_close(segment, true));
}

#ifdef SJ_SEAM

struct write {
    struct sj_segment *segment;
    uint64_t pointer;
};

static const char old_text[] = "what was there before, in some twenty words";
static const char new_text[] = "WHAT IS THERE FROM THEN ON, OR NONE OF THAT";

static void write_it(void *context)
{
    struct write *write = context;
    uint64_t pointer;
    CHECK_OK(sj_user_write(write->segment, write->pointer + 3, new_text, sizeof new_text));
    CHECK_OK(sj_user_alloc(write->segment, 40, &pointer));
    CHECK_OK(sj_user_root_set(write->segment, "fresh", 5, pointer));
    CHECK_OK(sj_user_free(write->segment, write->pointer));
}

static void a_death_leaves_all_of_it_or_nothing(void)
{
    struct write write = {.segment = test_segment("death")};
    bool died = true;
    for (uint64_t stores = 0; died; stores++) {
        write.pointer = alloc(write.segment, 64);
        CHECK_OK(sj_user_write(write.segment, write.pointer + 3, old_text, sizeof old_text));
        died = test_crash_at(stores, write_it, &write);
        sj_tx_forget(write.segment);
        CHECK_OK(sj_segment_recover(write.segment));
        if (sj_user_room(write.segment, write.pointer) > 0) {
            const char *text = (const char *)(uintptr_t)(write.pointer + 3);
            CHECK(strcmp(text, old_text) == 0 || strcmp(text, new_text) == 0);
            CHECK_OK(sj_user_free(write.segment, write.pointer));
        }
        uint64_t fresh;
        struct sj_check_report report;
        if (sj_user_root_get(write.segment, "fresh", 5, &fresh) == SJ_OK)
            CHECK(sj_user_room(write.segment, fresh) == 40);
        CHECK_OK(sj_check(write.segment, &report));
        CHECK(report.census.leaked_blocks == 0);
    }
    CHECK_OK(sj_segment_close(write.segment, true));
}

#endif

int main(void)
{
    test_begin();
    blocks_hold_what_is_written();
    large_blocks_have_an_inside();
    no_other_pointer_is_taken();
    an_abort_undoes_what_was_stored_directly();
    pointers_have_names();
#ifdef SJ_SEAM
    a_death_leaves_all_of_it_or_nothing();
#endif
    return 0;
}
