// SPDX-License-Identifier: Apache-2.0
/*
 * test_wal_sums.c: checksums of the pages of a `wal` store's segment file: what is found of single
 * flipped bits; the life of the file of checksums: lost, older, of another history, not to be had,
 * on a full disk; and that a check beside a checkpoint of another process takes nothing for damage.
 */
#include "sums_world.h"

#include <errno.h>
#include <signal.h>

#include "persistence/superblock.h"
#include "persistence/wal.h"

#define FILES 4

static const char *const suffix[FILES] = {"", ".log0", ".log1", SJ_SUMS_SUFFIX};
static struct image closed[FILES]; /* of a store with something in it, closed */

/* ------------------------------------------------------------------ a full disk */

static bool sums_have_no_room;

int __real_fallocate64(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes);

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
    char link[64], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, path, sizeof path - 1) > 0);
    bool is_sums = strstr(path, SJ_SUMS_SUFFIX) != NULL || strstr(path, "/#") != NULL;
    if (!sums_have_no_room || !is_sums || strstr(path, "/images/") != NULL)
        return __real_fallocate64(fd, mode, offset, bytes);
    errno = ENOSPC;
    return -1;
}

/* ------------------------------------------------------------------ a check, interrupted */

static void (*interlude)(void); /* once, before the root page is read, and after its checksum was */

ssize_t __real_pread64(int fd, void *bytes, size_t count, off_t at);
ssize_t __wrap_pread64(int fd, void *bytes, size_t count, off_t at);

ssize_t __wrap_pread64(int fd, void *bytes, size_t count, off_t at)
{
    void (*now)(void) = interlude;
    if (now != NULL && count == SJ_PAGE && at == (off_t)SJ_ROOT_PAGE_AT) {
        interlude = NULL;
        now();
    }
    return __real_pread64(fd, bytes, count, at);
}

/* ------------------------------------------------------------------ stores */

static const char *path_of(const char *name, uint32_t file)
{
    static char path[FILES][160];
    snprintf(path[file], sizeof path[file], "%s%s", test_path(name), suffix[file]);
    return path[file];
}

/* It can only be made on a disk; then it is copied into shared memory, where syncs cost nothing. */
static void make_template(void)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", path[64], command[128];
    struct sj_segment_spec spec = {"store", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    struct sj_segment *segment;
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/store", directory);
    CHECK_OK(sj_segment_create(path, &spec));
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    world_create(segment);
    for (uint64_t i = 0; i < 300; i++)
        CHECK_OK(world_put(segment, i, i % 100));
    CHECK_OK(sj_segment_close(segment, true));
    for (uint32_t i = 0; i < FILES; i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, suffix[i]);
        closed[i] = read_file(file);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
}

static void make_closed(const char *name)
{
    for (uint32_t i = 0; i < FILES; i++)
        write_file(path_of(name, i), &closed[i]);
}

static struct sj_segment *reopen(const char *name)
{
    struct sj_segment *segment = test_reopen(name);
    segment->wal->stop = true; /* no checkpoints but those of the test */
    return segment;
}

static void put(struct sj_segment *segment, uint64_t number, uint64_t bytes)
{
    CHECK_OK(world_put(segment, number, bytes));
    CHECK_OK(sj_wal_acknowledge(segment, sj_wal_take_unacknowledged(segment)));
}

/* The process is gone; perhaps the image as well. */
static void abandon(struct sj_segment *segment, bool image_too)
{
    char image[sizeof segment->wal->image_path];
    snprintf(image, sizeof image, "%s", segment->wal->image_path);
    CHECK_OK(sj_segment_close(segment, false));
    if (image_too)
        CHECK(unlink(image) == 0);
}

static void change(const char *name, uint64_t number)
{
    struct sj_segment *segment = reopen(name);
    put(segment, number, 60);
    CHECK_OK(sj_segment_close(segment, true));
}

static void is_verified(const char *name)
{
    struct sj_segment *segment = reopen(name);
    all_have_sums(segment);
    CHECK_OK(sj_segment_close(segment, true));
}

/* Its checksums are not believed; those that the closing makes are. */
static void is_unknown(const char *name)
{
    struct sj_segment *segment = reopen(name);
    CHECK(no_false_alarm(segment) == 2); /* the superblocks have checksums of their own */
    CHECK_OK(sj_segment_close(segment, true));
    is_verified(name);
}

static void flip(const char *path, uint64_t at, uint32_t bit)
{
    char byte;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte = (char)(byte ^ 1 << bit);
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
    close(fd);
}

/* ------------------------------------------------------------------ what is verified */

static void a_closed_store_has_all_its_checksums(void)
{
    make_closed("closed");
    is_verified("closed");
    for (uint64_t i = 0; i < 20; i++) {
        change("closed", i * 13);
        is_verified("closed");
    }
}

/* A superblock that is found damaged from here on was not torn by whoever wrote it. */
static void one_superblock_is_named(const struct sj_segment *segment)
{
    struct sj_super super;
    uint64_t which;
    CHECK(segment->wal->sums != NULL);
    CHECK_OK(sj_super_read(segment->wal->file, segment->name, &super, &which));
    CHECK(sj_sums_names(segment->wal->sums, super.checksum));
    CHECK(!sj_sums_explain_torn(segment->wal->sums, super.checksum));
}

static void in_use_what_a_checkpoint_wrote_has_checksums(void)
{
    make_closed("in_use");
    struct sj_segment *segment = reopen("in_use");
    all_have_sums(segment);
    put(segment, 7, 60);
    all_have_sums(segment); /* the file is what it was */
    uint64_t before = sj_segment_committed(segment);
    put(segment, 8, 3 << 20);
    CHECK(sj_segment_committed(segment) > before);
    CHECK(no_false_alarm(segment) == before / SJ_PAGE);
    CHECK_OK(segment->domain->sync(segment)); /* a checkpoint */
    one_superblock_is_named(segment);
    uint64_t written = no_false_alarm(segment);
    CHECK(written > before / SJ_PAGE && written < sj_segment_committed(segment) / SJ_PAGE);
    CHECK_OK(sj_segment_sync(segment));
    all_have_sums(segment);
    abandon(segment, true);
    segment = reopen("in_use"); /* its image is made anew; the file's sums count still */
    all_have_sums(segment);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("in_use");
}

/* ------------------------------------------------------------------ what is found */

/* What a check says of a store that was flipped at `at`, of a page or of the file itself. */
static bool is_found(const char *name, uint64_t at, struct findings *findings)
{
    struct sj_segment *segment;
    int error = sj_segment_open(test_path(name), true, true, false, &segment);
    if (error != SJ_OK) {
        CHECK(error == SJ_ECORRUPT || error == SJ_ETRUNCATED);
        return true;
    }
    verify_sums(segment, findings);
    abandon(segment, true);
    return findings->count == 1 && findings->first.offset == at / SJ_PAGE * SJ_PAGE;
}

static void every_flipped_bit_is_found(void)
{
    struct findings findings;
    uint64_t flips = 0;
    for (uint64_t page = 0; page < closed[0].count / SJ_PAGE; page++)
        for (uint32_t round = 0; round < (page < 2 ? 40 : 4); round++, flips++) {
            uint64_t at = page * SJ_PAGE + test_below(SJ_PAGE);
            make_closed("flipped");
            flip(path_of("flipped", 0), at, (uint32_t)test_below(8));
            bool found = is_found("flipped", at, &findings);
            if (!found)
                fprintf(stderr, "a bit of the byte at 0x%" PRIx64 " was flipped\n", at);
            CHECK(found);
        }
    CHECK(flips > 300);
}

/* In the file of checksums: a checksum that fits no page, or a file that is not believed. */
static void flips_in_the_checksums_are_found(void)
{
    struct findings findings;
    uint64_t table_at = closed[3].count - SJ_PAGE, pages = closed[0].count / SJ_PAGE;
    for (uint32_t round = 0; round < 200; round++) {
        uint64_t page = 2 + test_below(pages - 2), at = table_at + 4 * page + test_below(4);
        if (round % 2 == 0)
            at = test_below(SJ_PAGE); /* its header */
        make_closed("flipped");
        flip(path_of("flipped", 3), at, (uint32_t)test_below(8));
        struct sj_segment *segment = reopen("flipped");
        verify_sums(segment, &findings);
        CHECK(findings.count == 1);
        CHECK(findings.first.offset == (round % 2 == 0 ? SJ_SUMS_NOWHERE : page * SJ_PAGE));
        abandon(segment, true);
    }
}

/* The end of the root page, which is nobody's; each checkpoint writes the page. */
#define IDLE_BYTE (SJ_ROOT_PAGE_AT + SJ_PAGE - 1)

static void accept_all(struct sj_segment *segment)
{
    const struct sj_check_options repair = {.repair = true};
    struct sj_check_report report;
    CHECK_OK(sj_check_with(segment, &repair, &report));
}

/* A checkpoint that changes something in a damaged page does not make it sound. */
static void damage_stays_until_it_is_accepted(void)
{
    struct findings findings;
    make_closed("stays");
    struct sj_segment *segment = reopen("stays");
    const uint64_t at = IDLE_BYTE;
    flip(path_of("stays", 0), at, 3);
    verify_sums(segment, &findings);
    CHECK(findings.count == 1 && findings.first.offset == at / SJ_PAGE * SJ_PAGE);
    for (uint64_t i = 0; i < 300; i++)
        put(segment, i, 60);
    CHECK_OK(sj_segment_sync(segment));
    verify_sums(segment, &findings);
    CHECK(findings.count == 1 && findings.first.offset == at / SJ_PAGE * SJ_PAGE);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(is_found("stays", at, &findings));
    segment = reopen("stays");
    accept_all(segment);
    all_have_sums(segment);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("stays");
}

static void a_superblock_made_anew_is_told_until_it_is_accepted(void)
{
    struct findings findings;
    for (uint64_t page = 0; page < 2; page++) {
        make_closed("super");
        flip(path_of("super", 0), page * SJ_PAGE + 300, 3);
        struct sj_segment *segment = reopen("super");
        verify_sums(segment, &findings);
        CHECK(findings.count == 1 && findings.first.offset == page * SJ_PAGE);
        accept_all(segment);
        no_false_alarm(segment);
        CHECK_OK(sj_segment_close(segment, true));
        is_verified("super");
    }
}

/* ------------------------------------------------------------------ the life of the file */

static void without_its_file_or_with_another_one_nothing_is_believed(void)
{
    make_closed("lost");
    CHECK(unlink(path_of("lost", 3)) == 0);
    is_unknown("lost");
    struct image older = read_file(path_of("lost", 3));
    change("lost", 3);
    write_file(path_of("lost", 3), &older);
    is_unknown("lost");
}

/* The segment file is restored without its checksums; from before a checkpoint of this boot. */
static void an_older_copy_is_not_believed(void)
{
    make_closed("copied");
    struct image before = read_file(path_of("copied", 0));
    change("copied", 5);
    write_file(path_of("copied", 0), &before);
    is_unknown("copied");
    before = read_file(path_of("copied", 0));
    struct sj_segment *segment = reopen("copied");
    put(segment, 9, 60);
    CHECK_OK(sj_segment_sync(segment));
    abandon(segment, true);
    write_file(path_of("copied", 0), &before);
    is_unknown("copied");
}

/* A process that cannot mark pages leaves the others without checksums that count, until one that
 * can makes new ones. */
static void changes_without_marks_are_not_believed(void)
{
    char aside[176];
    for (uint32_t from_the_beginning = 0; from_the_beginning < 2; from_the_beginning++) {
        make_closed("unmarked");
        const char *sums = path_of("unmarked", 3);
        snprintf(aside, sizeof aside, "%s-aside", sums);
        struct sj_segment *segment = from_the_beginning ? NULL : reopen("unmarked");
        CHECK(rename(sums, aside) == 0 && mkdir(sums, 0700) == 0); /* neither opened nor made */
        if (segment == NULL)
            segment = reopen("unmarked");
        for (uint64_t i = 0; i < 3; i++) {
            put(segment, 11 + i, 60);
            CHECK_OK(sj_segment_sync(segment));
        }
        CHECK(rmdir(sums) == 0 && rename(aside, sums) == 0);
        CHECK(no_false_alarm(segment) == 2);
        abandon(segment, false);
        segment = reopen("unmarked");
        CHECK(no_false_alarm(segment) == 2);
        put(segment, 12, 60);
        CHECK_OK(sj_segment_sync(segment));
        all_have_sums(segment);
        CHECK_OK(sj_segment_close(segment, true));
        is_verified("unmarked");
    }
}

#ifdef SJ_SEAM

static void die_in_pages(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    static uint32_t pages;
    char link[64], path[256] = "";
    (void)count;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, path, sizeof path - 1) > 0);
    if (strcmp(path, path_of("halfway", 0)) == 0 && bytes != NULL && at >= 2 * SJ_PAGE &&
        pages++ == 3)
        _exit(77);
}

/* The same, of one that dies between the pages that it writes. */
static void half_a_checkpoint_without_marks_is_not_believed(void)
{
    char aside[176];
    int status;
    make_closed("halfway");
    const char *sums = path_of("halfway", 3);
    snprintf(aside, sizeof aside, "%s-aside", sums);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sj_segment *segment = reopen("halfway");
        for (uint64_t i = 0; i < 60; i++)
            put(segment, i, 60);
        CHECK(rename(sums, aside) == 0 && mkdir(sums, 0700) == 0);
        sj_seam_disk_hook = die_in_pages;
        sj_segment_sync(segment);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 77);
    CHECK(rmdir(sums) == 0 && rename(aside, sums) == 0);
    is_unknown("halfway");
}

#endif

static void a_file_removed_while_in_use_is_not_believed(void)
{
    make_closed("removed");
    struct sj_segment *segment = reopen("removed");
    put(segment, 11, 60);
    CHECK_OK(sj_segment_sync(segment));
    struct image sums = read_file(path_of("removed", 3));
    CHECK(unlink(path_of("removed", 3)) == 0);
    put(segment, 12, 60);
    CHECK_OK(sj_segment_sync(segment));
    all_have_sums(segment); /* in a new file */
    write_file(path_of("removed", 3), &sums);
    CHECK(no_false_alarm(segment) == 2);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("removed");
}

/* They are opened again by name only when another file has it. */
static void those_in_use_stay_open(void)
{
    make_closed("stay");
    struct sj_segment *segment = reopen("stay");
    put(segment, 11, 60);
    CHECK_OK(sj_segment_sync(segment));
    const struct sj_sums *sums = segment->wal->sums;
    put(segment, 12, 60);
    CHECK_OK(sj_segment_sync(segment));
    CHECK(sums != NULL && segment->wal->sums == sums);
    CHECK_OK(sj_segment_close(segment, true));
}

static void a_store_that_lost_its_name_leaves_others_alone(void)
{
    make_closed("named");
    struct sj_segment *segment = reopen("named");
    CHECK(unlink(path_of("named", 0)) == 0 && unlink(path_of("named", 3)) == 0);
    put(segment, 11, 60);
    CHECK_OK(sj_segment_sync(segment));
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(access(path_of("named", 3), F_OK) != 0);
}

static void a_full_disk_takes_the_checksums_alone(void)
{
    make_closed("full");
    struct sj_segment *segment = reopen("full");
    sums_have_no_room = true;
    put(segment, 11, 6 << 20); /* more pages than there is room for */
    CHECK_OK(segment->domain->sync(segment));
    CHECK(no_false_alarm(segment) == 2);
    put(segment, 12, 60);
    CHECK_OK(sj_segment_sync(segment));
    CHECK(no_false_alarm(segment) == 2);
    CHECK_OK(sj_segment_close(segment, true));
    segment = reopen("full");
    CHECK(no_false_alarm(segment) == 2);
    sums_have_no_room = false;
    CHECK_OK(sj_segment_sync(segment));
    all_have_sums(segment);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("full");
}

/* After a write that failed nobody knows what the file has. */
static void after_a_failure_they_count_for_nothing(void)
{
    make_closed("failed");
    struct sj_segment *segment = reopen("failed");
    put(segment, 11, 60);
    CHECK_OK(sj_segment_sync(segment));
    CHECK(sj_wal_fail(segment, EIO) == SJ_EIO);
    CHECK(no_false_alarm(segment) == 2);
    abandon(segment, false);
    is_unknown("failed");
}

/* ------------------------------------------------------------------ beside a checkpoint */

static struct sj_segment *checked;

static void write_a_checkpoint(void)
{
    put(checked, 5, 77);
    CHECK_OK(checked->domain->sync(checked));
}

static void write_one_without_marks(void)
{
    const char *sums = path_of("between", 3);
    char aside[176];
    snprintf(aside, sizeof aside, "%s-aside", sums);
    CHECK(rename(sums, aside) == 0 && mkdir(sums, 0700) == 0);
    write_a_checkpoint();
    CHECK(rmdir(sums) == 0 && rename(aside, sums) == 0);
}

static void a_page_that_changes_while_it_is_verified_is_not_damaged(void)
{
    void (*const writes[])(void) = {write_a_checkpoint, write_one_without_marks};
    for (uint32_t i = 0; i < 2; i++) {
        make_closed("between");
        checked = reopen("between");
        interlude = writes[i];
        uint64_t verified = no_false_alarm(checked);
        CHECK(interlude == NULL);
        if (i == 0)
            CHECK(verified == sj_segment_committed(checked) / SJ_PAGE);
        CHECK_OK(sj_segment_close(checked, true));
        is_verified("between");
    }
}

/* Another process changes the store and writes checkpoints, and is killed at some moment. */
static void a_check_beside_checkpoints_takes_nothing_for_damage(void)
{
    uint64_t checks = 0, verified = 0;
    make_closed("beside");
    struct sj_segment *segment = reopen("beside");
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sj_wal_forked(segment);
        segment->wal->stop = true;
        for (uint64_t i = 0; i < 400; i++) {
            put(segment, test_below(300), test_below(9000));
            CHECK_OK(i % 8 == 0 ? sj_segment_sync(segment) : segment->domain->sync(segment));
            if (i == 200)
                sj_wal_sums_forget(segment);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct findings findings;
        verified += verify_sums(segment, &findings).verified;
        if (findings.count != 0)
            fprintf(stderr, "0x%" PRIx64 ": %s\n", findings.first.offset, findings.first.text);
        CHECK(findings.count == 0);
        checks++;
    }
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(verified > 20 * checks);
    no_false_alarm(segment);
    CHECK_OK(sj_segment_close(segment, true));
    is_verified("beside");
    printf("%" PRIu64 " checks beside checkpoints\n", checks);
}

int main(void)
{
    test_begin();
    CHECK(mkdir(test_path("images"), 0700) == 0);
    CHECK(setenv("SPACEJMP_SHM", test_path("images"), 1) == 0);
    sj_wal_log_step = 4 * SJ_PAGE; /* little to copy */
    make_template();
    a_closed_store_has_all_its_checksums();
    in_use_what_a_checkpoint_wrote_has_checksums();
    every_flipped_bit_is_found();
    flips_in_the_checksums_are_found();
    damage_stays_until_it_is_accepted();
    a_superblock_made_anew_is_told_until_it_is_accepted();
    without_its_file_or_with_another_one_nothing_is_believed();
    an_older_copy_is_not_believed();
    changes_without_marks_are_not_believed();
#ifdef SJ_SEAM
    half_a_checkpoint_without_marks_is_not_believed();
#endif
    a_file_removed_while_in_use_is_not_believed();
    those_in_use_stay_open();
    a_store_that_lost_its_name_leaves_others_alone();
    a_full_disk_takes_the_checksums_alone();
    after_a_failure_they_count_for_nothing();
    a_page_that_changes_while_it_is_verified_is_not_damaged();
    a_check_beside_checkpoints_takes_nothing_for_damage();
    return 0;
}
