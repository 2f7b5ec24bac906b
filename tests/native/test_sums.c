// SPDX-License-Identifier: Apache-2.0
/*
 * test_sums.c: checksums of pages: what is marked before it changes, and the life of the file
 * beside the segment: lost, foreign, older, of another history. test_crc32c.c has the function.
 */
#include "sums_world.h"

#include "persistence/describe.h"
#include "persistence/log.h"
#include "persistence/superblock.h"

/* ------------------------------------------------------------------ what changes is marked */

#ifdef SJ_SEAM

static struct sj_segment *watched;
static uint64_t watched_stores, watched_marks;

/* A sum goes, or comes, while the bit of its chunk is set (I2). */
static void watch_sums(const void *at)
{
    const struct sj_sums *sums = watched->sums;
    if (sums == NULL || (const uint32_t *)at < sums->sum ||
        (const uint32_t *)at >= sums->sum + watched->reserved / SJ_PAGE)
        return;
    uint64_t chunk = (uint64_t)((const uint32_t *)at - sums->sum) / SJ_SUMS_CHUNK_PAGES;
    CHECK((sums->changed[chunk / 64] >> chunk % 64 & 1) != 0);
}

/* Before a store to a page, its checksum is gone. */
static void watch(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    uint64_t page = ((uint64_t)(uintptr_t)at - (uint64_t)(uintptr_t)watched->base) / SJ_PAGE;
    if (event != SJ_SEAM_STORE)
        return;
    watched_marks += page >= watched->reserved / SJ_PAGE;
    watch_sums(at);
    if (page < 2 || page >= watched->reserved / SJ_PAGE)
        return;
    watched_stores++;
    CHECK(sj_sums_at(watched, (uint64_t)(uintptr_t)at / SJ_PAGE) == 0);
}

static void nothing_changes_that_is_not_marked(void)
{
    struct sj_segment *segment = test_segment("marked");
    world_create(segment);
    watched = segment;
    sj_seam_hook = watch;
    for (uint32_t step = 0; step < 3000; step++) {
        uint64_t action = test_below(100), number = test_below(700);
        if (action == 0 && segment->tx.depth < 3)
            CHECK_OK(sj_tx_begin(segment));
        else if (action == 1 && segment->tx.depth > 0)
            CHECK_OK(sj_tx_commit(segment));
        else if (action == 2 && segment->tx.depth > 0)
            sj_tx_abort(segment);
        else if (action < 8)
            CHECK_OK(sj_segment_sync(segment)); /* marked pages become few */
        else if (action < 30)
            world_delete(segment, number);
        else
            CHECK_OK(world_put(segment, number, action < 33 ? test_below(40000) : action));
        if (step % 97 == 0 && segment->tx.depth == 0)
            no_false_alarm(segment);
    }
    while (segment->tx.depth > 0)
        CHECK_OK(sj_tx_commit(segment));
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_OK(sj_segment_sync(segment));
        CHECK_OK(sj_tx_begin(segment)); /* a log of several extents, in use, kept, and released */
        for (uint64_t i = 0; i < 60000; i++)
            CHECK_OK(world_put(segment, i % 50, i % 7));
        CHECK(segment->log->extents > 2);
        CHECK(segment->sums->backed >= sj_segment_committed(segment) / SJ_PAGE);
        CHECK_OK(sj_tx_commit(segment));
    }
    CHECK_OK(sj_segment_sync(segment));
    CHECK_OK(sj_segment_recover(segment)); /* gives the log's chunk back */
    CHECK(segment->log->extents == 1);
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 16384, &block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_segment_sync(segment));
    CHECK_OK(sj_tx_begin(segment));
    for (uint32_t i = 0; i < 10; i++)
        CHECK_OK(sj_tx_range(segment, block, 16384));
    CHECK_OK(sj_tx_commit(segment)); /* has taken it again, and nothing else */
    CHECK_OK(sj_segment_sync(segment));
    CHECK(segment->log->extents == 2);
    CHECK_OK(sj_tx_begin(segment));
    for (uint64_t i = 0; i < 30000; i++)
        CHECK_OK(world_put(segment, i % 50, i % 7));
    sj_tx_forget(segment); /* as if the process had died */
    CHECK_OK(sj_segment_recover(segment));
    CHECK(watched_stores > 100000 && watched_marks > 1000);
    CHECK_OK(sj_segment_close(segment, true));
    sj_seam_hook = NULL;
    segment = test_reopen("marked");
    all_have_sums(segment);
    CHECK_OK(sj_segment_close(segment, true));
}

#endif

/* ------------------------------------------------------------------ the life of the file */

/* A segment with something in it, closed. */
static void make_closed(const char *name)
{
    struct sj_segment *segment = test_segment(name);
    world_create(segment);
    for (uint64_t i = 0; i < 300; i++)
        CHECK_OK(world_put(segment, i, i % 100));
    CHECK_OK(sj_segment_close(segment, true));
}

static void change(const char *name, uint64_t number)
{
    struct sj_segment *segment = test_reopen(name);
    CHECK_OK(world_put(segment, number, 60));
    CHECK_OK(sj_segment_close(segment, true));
}

/* Opens for reading: pages that have checksums which count, none of which is wrong. */
static uint64_t verified(const char *name, uint64_t *pages)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(test_path(name), false, true, false, &segment));
    uint64_t found = no_false_alarm(segment);
    *pages = sj_segment_committed(segment) / SJ_PAGE;
    CHECK_OK(sj_segment_close(segment, true));
    return found;
}

static void is_verified(const char *name)
{
    uint64_t pages;
    CHECK(verified(name, &pages) == pages);
}

static void is_unknown(const char *name)
{
    uint64_t pages;
    CHECK(verified(name, &pages) == 2); /* the superblocks have checksums of their own */
}

static void a_closed_segment_has_all_its_checksums(void)
{
    make_closed("closed");
    is_verified("closed");
    for (uint64_t i = 0; i < 20; i++) {
        change("closed", i * 13);
        is_verified("closed");
    }
    CHECK_OK(sj_segment_close(test_reopen("closed"), true)); /* without a change */
    is_verified("closed");
}

static void in_use_pages_that_did_not_change_have_theirs(void)
{
    uint64_t pages;
    make_closed("in_use");
    struct sj_segment *segment = test_reopen("in_use");
    CHECK_OK(world_put(segment, 7, 60));
    uint64_t found = no_false_alarm(segment);
    CHECK(found < sj_segment_committed(segment) / SJ_PAGE - 20 && found > 60);
    CHECK_OK(sj_segment_sync(segment));
    CHECK(no_false_alarm(segment) > found);
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(world_put(segment, 8, 60));
    uint64_t inside = no_false_alarm(segment);
    CHECK_OK(sj_segment_sync(segment)); /* sets none: what has changed may change again */
    CHECK(no_false_alarm(segment) == inside);
    CHECK_OK(sj_tx_commit(segment));
    found = no_false_alarm(segment);
    CHECK_OK(sj_segment_close(segment, false)); /* others are there */
    CHECK(verified("in_use", &pages) == found && found < pages);
    CHECK_OK(sj_segment_close(test_reopen("in_use"), true)); /* the last one makes the rest */
    is_verified("in_use");
}

static void without_its_file_or_with_another_one_nothing_is_believed(void)
{
    make_closed("one");
    make_closed("two");
    struct image one = read_file(sums_path("one"));
    CHECK(unlink(sums_path("one")) == 0);
    is_unknown("one");
    CHECK_OK(sj_segment_close(test_reopen("one"), true));
    is_unknown("one"); /* nothing has changed, nothing was computed */
    change("one", 3);
    is_verified("one");
    write_file(sums_path("two"), &one);
    is_unknown("two");
    change("two", 3);
    is_verified("two");
    write_file(sums_path("one"), &one); /* its own, but older */
    is_unknown("one");
    change("one", 4);
    is_verified("one");
}

/* A segment that was restored without its checksums, and copies that went their own ways. */
static void an_older_or_another_copy_is_not_believed(void)
{
    make_closed("copied");
    struct image segment = read_file(test_path("copied")), sums = read_file(sums_path("copied"));
    change("copied", 5);
    struct image later = read_file(test_path("copied")),
                 later_sums = read_file(sums_path("copied"));
    write_file(test_path("copied"), &segment);
    is_unknown("copied");
    change("copied", 6); /* as many changes as the other one has seen */
    is_verified("copied");
    struct image mine = read_file(test_path("copied"));
    write_file(sums_path("copied"), &later_sums);
    is_unknown("copied");
    write_file(test_path("copied"), &later);
    is_verified("copied");
    write_file(sums_path("copied"), &sums);
    write_file(test_path("copied"), &segment);
    is_verified("copied");
    write_file(test_path("copied"), &mine);
    is_unknown("copied");
}

/* While one process has changed the segment, a copy from before is put in its place. */
static void a_copy_from_before_a_sync_is_not_believed(void)
{
    make_closed("synced");
    struct image before = read_file(test_path("synced"));
    struct sj_segment *segment = test_reopen("synced");
    CHECK_OK(world_put(segment, 9, 60));
    CHECK_OK(sj_segment_sync(segment));
    CHECK_OK(sj_segment_close(segment, false));
    write_file(test_path("synced"), &before);
    is_unknown("synced");
}

/* A process that cannot mark pages leaves the others without checksums that count. */
static void changes_without_marks_are_not_believed(void)
{
    uint64_t pages;
    make_closed("unmarked");
    char aside[160];
    snprintf(aside, sizeof aside, "%s-aside", test_path("unmarked"));
    struct sj_segment *segment = test_reopen("unmarked");
    CHECK(rename(sums_path("unmarked"), aside) == 0);
    CHECK(mkdir(sums_path("unmarked"), 0700) == 0); /* neither opened nor made */
    CHECK_OK(world_put(segment, 11, 60));
    CHECK(segment->sums == NULL);
    CHECK(rmdir(sums_path("unmarked")) == 0);
    CHECK(rename(aside, sums_path("unmarked")) == 0);
    CHECK(no_false_alarm(segment) == 2);
    CHECK_OK(sj_segment_sync(segment));
    CHECK(no_false_alarm(segment) == 2);
    CHECK_OK(sj_segment_close(segment, false));
    /* The next process finds a segment in use without checksums, and does not begin any. */
    segment = test_reopen("unmarked");
    CHECK_OK(world_put(segment, 12, 60));
    CHECK(segment->sums == NULL);
    CHECK_OK(sj_segment_close(segment, false));
    CHECK(verified("unmarked", &pages) == 2);
    CHECK_OK(sj_segment_close(test_reopen("unmarked"), true));
    is_verified("unmarked");
}

/* The file is removed while it is in use: who comes later cannot see the marks in it. */
static void a_file_removed_while_in_use_is_not_believed(void)
{
    make_closed("removed");
    struct sj_segment *segment = test_reopen("removed");
    CHECK_OK(world_put(segment, 11, 60));
    struct image sums = read_file(sums_path("removed"));
    CHECK(unlink(sums_path("removed")) == 0);
    CHECK_OK(world_put(segment, 12, 60));
    CHECK(no_false_alarm(segment) == 2);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("removed");
    write_file(sums_path("removed"), &sums);
    is_unknown("removed");
}

static void a_segment_that_lost_its_name_leaves_others_alone(void)
{
    make_closed("named");
    struct sj_segment *segment = test_reopen("named");
    CHECK(unlink(test_path("named")) == 0);
    CHECK(unlink(sums_path("named")) == 0);
    CHECK_OK(world_put(segment, 11, 60));
    CHECK(segment->sums == NULL);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(access(sums_path("named"), F_OK) != 0);
    make_closed("named"); /* and one whose name another one has */
    make_closed("namer");
    segment = test_reopen("named");
    CHECK(unlink(sums_path("named")) == 0);
    char namer[128];
    snprintf(namer, sizeof namer, "%s", test_path("namer"));
    CHECK(rename(namer, test_path("named")) == 0);
    CHECK_OK(world_put(segment, 11, 60));
    CHECK(segment->sums == NULL);
    CHECK_OK(sj_segment_close(segment, true));
}

/* ------------------------------------------------------------------ the header */

static void every_bit_of_the_header_is_checked(void)
{
    make_closed("header");
    struct image sums = read_file(sums_path("header"));
    CHECK(sj_sums_header_fault((struct sj_sums_header *)sums.bytes) == NULL);
    for (uint32_t bit = 0; bit < 8 * sizeof(struct sj_sums_header); bit++) {
        sums.bytes[bit / 8] = (char)(sums.bytes[bit / 8] ^ 1 << bit % 8);
        CHECK(sj_sums_header_fault((struct sj_sums_header *)sums.bytes) != NULL);
        if (bit % 1024 == 0) {
            struct sj_sums *opened;
            const uint8_t *uuid = ((struct sj_sums_header *)sums.bytes)->uuid;
            write_file(sums_path("header"), &sums);
            CHECK(sj_sums_open(sums_path("header"), uuid, SJ_GIB, true, &opened) == SJ_ECORRUPT);
        }
        sums.bytes[bit / 8] = (char)(sums.bytes[bit / 8] ^ 1 << bit % 8);
    }
}

/* What is said to be damaged of a file that was cut to `bytes`. */
static void is_cut(struct image sums, uint64_t bytes)
{
    struct sj_segment *segment;
    struct findings findings;
    sums.count = bytes;
    write_file(sums_path("cut"), &sums);
    CHECK_OK(sj_segment_open(test_path("cut"), false, true, false, &segment));
    struct sj_sums_verify verify = verify_sums(segment, &findings);
    CHECK(findings.count == 1 && findings.first.offset == SJ_SUMS_NOWHERE);
    CHECK(strstr(findings.first.text, "expected checksums") != NULL);
    CHECK(verify.verified == 2);
    CHECK_OK(sj_segment_close(segment, true));
}

static void a_file_that_is_cut_short_is_damage(void)
{
    make_closed("cut");
    struct image sums = read_file(sums_path("cut"));
    is_cut(sums, 100);
    is_cut(sums, SJ_PAGE);
    is_cut(sums, sums.count - SJ_PAGE);
    sums.count = 0;
    is_cut(sums, 0);
}

/* The sums of one segment beside another one, whose superblock they even name. */
static void the_file_of_another_segment_is_not_believed(void)
{
    struct sj_super super;
    uint64_t which;
    make_closed("mine");
    make_closed("theirs");
    struct image sums = read_file(sums_path("theirs"));
    struct sj_sums_header *header = (struct sj_sums_header *)sums.bytes;
    int fd = open(test_path("mine"), O_RDONLY);
    CHECK(fd >= 0);
    CHECK_OK(sj_super_read(fd, "mine", &super, &which));
    close(fd);
    write_file(sums_path("mine"), &sums);
    struct sj_sums *opened;
    CHECK(sj_sums_open(sums_path("mine"), super.uuid, SJ_GIB, true, &opened) == SJ_ENOTFOUND);
    CHECK(sj_sums_open(sums_path("mine"), header->uuid, 2 * SJ_GIB, true, &opened) == SJ_ENOTFOUND);
    CHECK_OK(sj_sums_open(sums_path("mine"), header->uuid, SJ_GIB, true, &opened));
    sj_sums_announce(opened, 0, super.checksum);
    sj_sums_close(opened);
    is_unknown("mine");
}

/* Two states are named while a superblock is written, and at no other time. */
static void one_state_is_named_when_all_is_well(bool once_more)
{
    struct sj_super super;
    uint64_t which;
    (void)remove(test_path("states"));
    make_closed("states");
    struct sj_segment *segment = test_reopen("states");
    if (once_more) { /* the other superblock counts */
        CHECK_OK(world_put(segment, 3, 60));
        CHECK_OK(sj_segment_close(segment, false));
        segment = test_reopen("states");
    }
    CHECK_OK(world_put(segment, 3, 60));
    struct sj_sums *sums = segment->sums;
    CHECK_OK(sj_super_read(segment->fd, "states", &super, &which));
    CHECK(!sj_sums_explain_torn(sums, super.checksum));
    sj_sums_announce(sums, super.checksum, 12345);
    CHECK(sj_sums_explain_torn(sums, super.checksum));
    CHECK(sj_sums_names(sums, super.checksum) && sj_sums_names(sums, 12345));
    CHECK(!sj_sums_explain_torn(sums, 54321)); /* nobody was going to write over the other one */
    for (uint64_t at = SJ_SUPER_A; at <= SJ_SUPER_B; at += SJ_SUPER_B) {
        if (at == which)
            continue;
        segment->base[at + 100]++; /* torn */
        CHECK_OK(sj_segment_sync(segment));
        CHECK(sj_sums_explain_torn(sums, super.checksum));
        segment->base[at + 100]--;
    }
    CHECK_OK(sj_segment_sync(segment));
    CHECK(!sj_sums_explain_torn(sums, super.checksum) && sj_sums_names(sums, super.checksum));
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("states");
}

/* A superblock that an earlier death has torn is so still when the checksums are lost. */
static void new_ones_explain_a_torn_superblock(void)
{
    struct sj_super super;
    struct sj_sums *sums;
    uint64_t which;
    make_closed("torn");
    struct sj_segment *segment = test_reopen("torn");
    CHECK_OK(sj_super_read(segment->fd, "torn", &super, &which));
    char *byte = segment->base + (which == SJ_SUPER_A ? SJ_SUPER_B : SJ_SUPER_A) + 100;
    for (uint32_t torn = 0; torn < 2; torn++) {
        *byte = (char)(*byte ^ torn);
        CHECK_OK(sj_segment_sums_create(segment, &super, &sums));
        CHECK(sj_sums_explain_torn(sums, super.checksum) == (torn == 1));
        CHECK(!sj_sums_names(sums, super.checksum));
        sj_sums_close(sums);
        CHECK(no_false_alarm(segment) == 2 - torn);
    }
    CHECK_OK(sj_segment_close(segment, true));
}

/* Who may write to the segment may mark its pages, whatever the umask. */
static void new_ones_have_the_rights_of_the_segment(void)
{
    const mode_t modes[] = {0600, 0660, 0646};
    struct stat status;
    for (uint32_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        make_closed("rights");
        CHECK(chmod(test_path("rights"), modes[i]) == 0 && unlink(sums_path("rights")) == 0);
        change("rights", 3);
        CHECK(stat(sums_path("rights"), &status) == 0 && (status.st_mode & 0777) == modes[i]);
        CHECK(unlink(test_path("rights")) == 0);
    }
}

/* Closed in peace, and yet there is a transaction to roll back: the segment is in use again. */
static void what_a_recovery_changes_is_marked(void)
{
    make_closed("recovered");
    struct sj_segment *segment = test_reopen("recovered");
    struct sj_tx *tx = &segment->tx;
    struct sj_root *root;
    CHECK_OK(sj_root_find(segment, "map", 3, &root));
    sj_log_start(segment); /* not by sj_tx_begin(): nobody has marked anything */
    CHECK_OK(sj_log_append_word(segment, &root->pointer));
    tx->entries.count = 0;
    CHECK_OK(sj_segment_close(segment, false));
    segment = test_reopen("recovered");
    CHECK(no_false_alarm(segment) > 60 && segment->sums != NULL);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("recovered");
}

/* Two roots of one map; then a block that is the map's and free. */
static void each_block_has_one_owner(void)
{
    struct sj_check_report report;
    struct sj_root *root;
    struct sj_hashmap map;
    make_closed("owners");
    struct sj_segment *segment = test_reopen("owners");
    CHECK_OK(sj_root_find(segment, "map", 3, &root));
    uint64_t pointer = root->pointer;
    CHECK_OK(sj_hashmap_open(segment, pointer, &map));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_root_add(segment, "again", 5, SJ_KIND_HASHMAP, 1, 1, pointer));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK(sj_check(segment, &report) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "one root alone") != NULL);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_root_remove(segment, "again", 5));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_check(segment, &report));
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_free(segment, map.head->directory));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK(sj_check(segment, &report) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "are free") != NULL);
    CHECK_OK(sj_segment_close(segment, false));
}

static void a_repair_makes_sums_of_what_is_there(void)
{
    struct sj_check_report report;
    struct findings findings;
    make_closed("repaired");
    struct sj_segment *segment = test_reopen("repaired");
    uint64_t page = sj_segment_committed(segment) - SJ_PAGE; /* nothing is there */
    segment->base[page]++;
    CHECK(verify_sums(segment, &findings).unverified == 1 && findings.first.offset == page);
    CHECK(sj_check(segment, &report) == SJ_ECORRUPT);
    CHECK_OK(sj_check_with(segment, &(struct sj_check_options){.repair = true}, &report));
    CHECK_OK(sj_check(segment, &report));
    CHECK(no_false_alarm(segment) > 60);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("repaired");
}

/* ------------------------------------------------------------------ naming what is damaged */

static void describes(const struct sj_segment *segment, const void *at, const char *expected)
{
    char text[200];
    uint64_t offset = (uint64_t)(uintptr_t)at - (uint64_t)(uintptr_t)segment->base;
    sj_segment_describe(segment, offset, text, sizeof text);
    if (strcmp(text, expected) != 0)
        fprintf(stderr, "offset 0x%" PRIx64 ": '%s', not '%s'\n", offset, text, expected);
    CHECK(strcmp(text, expected) == 0);
}

static void every_page_is_described(void)
{
    struct sj_segment *segment = test_segment("described");
    struct sj_btree tree;
    struct sj_root *root;
    char text[200];
    world_create(segment);
    CHECK_OK(world_put(segment, 1, 20));
    CHECK_OK(world_put(segment, 2, 100000));
    CHECK_OK(world_put(segment, 3, 9 << 20));
    world_tree(segment, &tree);
    CHECK_OK(sj_root_find(segment, "tree", 4, &root));
    const char *base = segment->base;
    describes(segment, base, "superblock A");
    describes(segment, base + 5000, "superblock B");
    describes(segment, base + 8192, "the page descriptors of chunk 0");
    describes(segment, base + 16384, "the root page");
    describes(segment, base + 20480, "the header of the log");
    describes(segment, base + 24576, "the log");
    describes(segment, base + 90112, "the chunk directory");
    describes(segment, root,
              "a slab of 32-byte blocks (B-tree heads, names of structures, hash map directories)");
    describes(segment, (void *)(uintptr_t)tree.head->top,
              "a slab of 512-byte blocks (B-tree leaves)");
    bool run = false, huge = false, free_page = false;
    for (uint64_t at = 0; at < sj_segment_committed(segment); at += SJ_PAGE) {
        sj_segment_describe(segment, at, text, sizeof text);
        run |= strcmp(text, "a block of 25 pages (keys with values)") == 0;
        huge |= strcmp(text, "a block of 3072 pages (keys with values)") == 0;
        free_page |= strcmp(text, "a free page of chunk 0") == 0;
    }
    CHECK(run && huge && free_page);
    CHECK_OK(sj_segment_close(segment, true));
}

int main(void)
{
    test_begin();
#ifdef SJ_SEAM
    nothing_changes_that_is_not_marked();
#endif
    a_closed_segment_has_all_its_checksums();
    in_use_pages_that_did_not_change_have_theirs();
    without_its_file_or_with_another_one_nothing_is_believed();
    an_older_or_another_copy_is_not_believed();
    a_copy_from_before_a_sync_is_not_believed();
    changes_without_marks_are_not_believed();
    a_file_removed_while_in_use_is_not_believed();
    a_segment_that_lost_its_name_leaves_others_alone();
    every_bit_of_the_header_is_checked();
    a_file_that_is_cut_short_is_damage();
    the_file_of_another_segment_is_not_believed();
    one_state_is_named_when_all_is_well(false);
    one_state_is_named_when_all_is_well(true);
    new_ones_explain_a_torn_superblock();
    new_ones_have_the_rights_of_the_segment();
    what_a_recovery_changes_is_marked();
    each_block_has_one_owner();
    a_repair_makes_sums_of_what_is_there();
    every_page_is_described();
    return 0;
}
