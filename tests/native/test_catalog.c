// SPDX-License-Identifier: Apache-2.0
/*
 * test_catalog.c: records that are written, read, damaged and hostile; names and homes; the lock,
 * between threads and over a fork; what an attachment learns of changes.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"
#include "spacejmp/names.h"

static struct sj_catalog catalog;

/* ------------------------------------------------------------------ records */

/* Segments that lie one behind the other, in windows of their own or in all. */
static void make_record(struct sj_vas_record *record, uint32_t count)
{
    memset(record, 0, sizeof *record);
    snprintf(record->name, sizeof record->name, "panel");
    for (int i = 0; i < 16; i++)
        record->uuid[i] = (uint8_t)test_random();
    record->created_ns = test_random();
    record->tag = (uint32_t)test_below(SJ_VAS_TAG_MAX + 1);
    record->isolation = test_below(2) == 0 ? SJ_ISOLATION_SHARED : SJ_ISOLATION_STRICT;
    record->address_limit = test_below(2) * (SJ_ARENA_END - SJ_ARENA_FIRST);
    record->count = count;
    record->segments = calloc(count + 1, sizeof *record->segments);
    for (uint32_t i = 0; i < count; i++) {
        struct sj_vas_segment *segment = &record->segments[i];
        int length = (int)test_below(2) * 100;
        snprintf(segment->name, sizeof segment->name, "s%0*u", length, i);
        memcpy(segment->uuid, &i, sizeof i);
        segment->base = SJ_ARENA_FIRST + 2 * i * SJ_GIB;
        segment->reserved = (1 + test_below(2)) * SJ_GIB;
        segment->rights = test_below(2) == 0 ? SJ_RIGHT_READ : SJ_RIGHT_READ | SJ_RIGHT_WRITE;
        segment->window = test_below(3) == 0 ? SJ_WINDOW_ALL : (uint32_t)test_below(70);
    }
}

static bool is_equal(const struct sj_vas_record *a, const struct sj_vas_record *b)
{
    return strcmp(a->name, b->name) == 0 && memcmp(a->uuid, b->uuid, 16) == 0 &&
           a->created_ns == b->created_ns && a->tag == b->tag && a->isolation == b->isolation &&
           a->address_limit == b->address_limit && a->count == b->count &&
           (a->count == 0 || memcmp(a->segments, b->segments, a->count * sizeof *a->segments) == 0);
}

static int decode(const uint8_t *data, size_t bytes, struct sj_vas_record *record)
{
    uint8_t *exact = malloc(bytes == 0 ? 1 : bytes); /* so that the sanitizer sees the end */
    CHECK(exact != NULL);
    memcpy(exact, data, bytes);
    int error = sj_record_decode(exact, bytes, "panel", "panel.vas", record);
    free(exact);
    return error;
}

static void test_records_are_read_as_written(void)
{
    static const uint32_t counts[] = {0, 1, 15, 16, 17, 300, SJ_VAS_SEGMENTS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct sj_vas_record record, again;
        uint8_t *data;
        size_t bytes;
        make_record(&record, counts[i]);
        CHECK_OK(sj_record_encode(&record, &data, &bytes));
        CHECK_OK(decode(data, bytes, &again));
        CHECK(is_equal(&record, &again));
        free(again.segments);
        for (size_t end = 0; end < bytes; end += 1 + end / 200)
            CHECK(decode(data, end, &again) == SJ_ECORRUPT);
        free(record.segments);
        free(data);
    }
}

static void test_damaged_records_are_noticed_or_valid(void)
{
    struct sj_vas_record record, again;
    uint8_t *data;
    size_t bytes;
    long valid = 0;
    make_record(&record, 3);
    CHECK_OK(sj_record_encode(&record, &data, &bytes));
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int error = decode(data, bytes, &again);
        CHECK(error == SJ_OK || error == SJ_ECORRUPT || error == SJ_EVERSION ||
              error == SJ_ENOTFOUND);
        if (error == SJ_OK) {
            CHECK_OK(sj_record_check(&again));
            valid++;
        }
        free(again.segments);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(valid > 0);
    for (int i = 0; i < 200000; i++) { /* several bytes at once */
        uint8_t *changed = malloc(bytes);
        memcpy(changed, data, bytes);
        for (uint64_t k = 0; k <= test_below(4); k++)
            changed[test_below(bytes)] = (uint8_t)test_random();
        decode(changed, test_below(bytes + 1), &again);
        free(again.segments);
        free(changed);
    }
    free(data);
    free(record.segments);
}

static void test_records_that_break_the_rules_are_damage(void)
{
    struct sj_vas_record record, again;
    uint8_t *data;
    size_t bytes;
    for (int rule = 0; rule < 5; rule++) {
        make_record(&record, 3);
        record.address_limit = 0;
        for (int i = 0; i < 3; i++)
            record.segments[i].window = 1;
        if (rule == 0)
            memcpy(record.segments[2].name, record.segments[0].name, SJ_NAME_MAX);
        if (rule == 1)
            memcpy(record.segments[2].uuid, record.segments[0].uuid, 16);
        if (rule == 2)
            record.segments[2].base = record.segments[1].base;
        if (rule == 3)
            record.address_limit = 2 * SJ_GIB;
        if (rule == 4)
            record.segments[0].reserved = SJ_GIB + 1;
        CHECK_OK(sj_record_encode(&record, &data, &bytes));
        CHECK(decode(data, bytes, &again) == SJ_ECORRUPT && again.segments == NULL);
        free(data);
        free(record.segments);
    }
}

static void test_other_formats(void)
{
    static const uint8_t first[] = "\x85\xa6"
                                   "format\x01\xa4name\xa5panel";
    static const uint8_t later[] = "\x82\xa6"
                                   "format\xcd\x01\x00\xa4what\x01";
    struct sj_vas_record record;
    CHECK(decode(first, sizeof first - 1, &record) == SJ_ENOTFOUND);
    CHECK(decode(later, sizeof later - 1, &record) == SJ_EVERSION);
    CHECK(decode(first, 9, &record) == SJ_ENOTFOUND); /* its beginning is enough */
}

/* ------------------------------------------------------------------ names and homes */

static void test_names(void)
{
    char longest[SJ_CATALOG_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[SJ_CATALOG_NAME_MAX + 1] = '\0';
    CHECK(sj_name_check(longest) == SJ_ENAME);
    longest[SJ_CATALOG_NAME_MAX] = '\0';
    CHECK_OK(sj_name_check(longest));
    static const char *const bad[] = {"", ".a", "-a", "a/b", "../a", "a b", "\xc3\xa9", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(sj_name_check(bad[i]) == SJ_ENAME);
    CHECK_OK(sj_name_check("A-z_0.9"));
}

static void test_homes(void)
{
    char path[SJ_HOME_MAX + 1], expected[128];
    setenv("HOME", "/users/ann", 1);
    setenv("SPACEJMP_HOME", "~/spaces", 1);
    CHECK(sj_home_path(path) == SJ_OK && strcmp(path, "/users/ann/spaces") == 0);
    unsetenv("SPACEJMP_HOME");
    setenv("XDG_DATA_HOME", "/data", 1);
    CHECK(sj_home_path(path) == SJ_OK && strcmp(path, "/data/spacejmp") == 0);
    setenv("XDG_DATA_HOME", "relative", 1);
    CHECK(sj_home_path(path) == SJ_OK && strcmp(path, "/users/ann/.local/share/spacejmp") == 0);
    CHECK(chdir(test_directory) == 0);
    CHECK_OK(sj_home_use("below/"));
    CHECK(chdir("/") == 0);
    snprintf(expected, sizeof expected, "%s/below", test_directory);
    CHECK(sj_home_path(path) == SJ_OK && strcmp(path, expected) == 0);
    CHECK(sj_home_use("") == SJ_EINVAL && sj_home_use("~other/x") == SJ_EINVAL);
    CHECK_OK(sj_home_use(test_directory));
}

/* ------------------------------------------------------------------ the lock */

static int inside;

static void *count_alone(void *context)
{
    for (int i = 0; i < 200; i++) {
        struct sj_catalog_lock lock;
        CHECK_OK(sj_catalog_lock(test_directory, context, &lock));
        CHECK(__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) == 1);
        CHECK(__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST) == 0);
        sj_catalog_unlock(&lock);
    }
    return NULL;
}

static void test_threads_exclude_each_other(void)
{
    struct sj_wait wait = {.timeout_s = 60.0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, count_alone, &wait) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* The child lives on, and the parent's lock is free all the same once the parent lets go. */
static void test_a_fork_does_not_keep_its_parents_lock(void)
{
    const struct sj_wait not = {.timeout_s = 0};
    struct sj_catalog_lock lock, again;
    CHECK_OK(sj_catalog_lock(test_directory, &not, &lock));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (lock.fd != -1 || sj_catalog_lock(test_directory, &not, &again) != SJ_EBUSY)
            _exit(1);
        pause();
        _exit(0);
    }
    CHECK(sj_catalog_lock(test_directory, &not, &again) == SJ_EBUSY);
    pid_t grandchild = fork(); /* dies holding nothing: its parent's lock stays */
    if (grandchild == 0)
        _exit(0);
    CHECK(waitpid(grandchild, NULL, 0) == grandchild);
    CHECK(sj_catalog_lock(test_directory, &not, &again) == SJ_EBUSY);
    sj_catalog_unlock(&lock);
    CHECK_OK(sj_catalog_lock(test_directory, &not, &again));
    sj_catalog_unlock(&again);
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
}

static int interrupt(void *context)
{
    return ++*(int *)context == 2;
}

static void test_a_wait_can_be_ended(void)
{
    int asked = 0;
    const struct sj_wait not = {.timeout_s = 0}, until = {-1.0, interrupt, &asked};
    struct sj_catalog_lock lock, again;
    CHECK_OK(sj_catalog_lock(test_directory, &not, &lock));
    CHECK(sj_catalog_lock(test_directory, &until, &again) == SJ_EINTR && asked == 2);
    sj_catalog_unlock(&lock);
}

/* ------------------------------------------------------------------ what attachments learn */

static struct sj_vid panel;
static struct sj_sid reads;

static uint32_t look(const struct sj_vas_source *source)
{
    struct sj_vas_contents contents;
    CHECK_OK(source->read(source->context, &contents));
    free(contents.part);
    return contents.count;
}

static void test_changes_are_announced(void)
{
    struct sj_vas_source source;
    CHECK_OK(sj_vas_create("panel", 0600, &panel));
    CHECK_OK(sj_seg_alloc("reads", 0, SJ_GIB, 0600, &reads));
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    uint64_t before = *source.generation;
    CHECK(before % 2 == 0 && look(&source) == 0);
    CHECK_OK(sj_seg_attach(&panel, &reads, SJ_RIGHT_READ));
    CHECK(*source.generation != before && *source.generation % 2 == 0 && look(&source) == 1);
    before = *source.generation;
    CHECK(sj_seg_delete(&reads) == SJ_EBUSY);
    CHECK(strstr(sj_error_detail(), "'panel'") != NULL);
    CHECK(*source.generation == before);
    source.close(source.context);
}

/* Somebody cuts the file short: its attachments look each time, and nobody gets a SIGBUS. */
static void test_a_generation_that_is_lost_is_one_that_changes(void)
{
    char path[PATH_MAX];
    struct sj_vas_source source;
    sj_home_generation(test_directory, panel.uuid, path);
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    CHECK(truncate(path, 0) == 0);
    CHECK(*source.generation % 2 == 1 && look(&source) == 1);
    CHECK(sj_seg_attach(&panel, &reads, SJ_RIGHT_READ) == SJ_ECORRUPT);
    source.close(source.context);
    CHECK(unlink(path) == 0);
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    CHECK(*source.generation % 2 == 0);
    source.close(source.context);
}

static void test_a_vas_that_is_deleted(void)
{
    struct sj_vas_source source;
    struct sj_vid again;
    char path[PATH_MAX];
    bool there;
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    CHECK_OK(sj_vas_delete(&panel));
    CHECK(look(&source) == 1); /* who has it attached keeps it */
    source.close(source.context);
    sj_home_generation(test_directory, panel.uuid, path);
    CHECK_OK(sj_file_status(path, NULL, &there));
    CHECK(!there);
    CHECK_OK(sj_vas_create("panel", 0600, &again));
    CHECK(sj_vas_delete(&panel) == SJ_ENOTFOUND); /* another one by now */
    CHECK_OK(sj_vas_delete(&again));
}

static void test_clones_by_the_functions_of_the_paper(void)
{
    struct sj_vid vid, clone;
    struct sj_sid copy;
    struct sj_vas_record record;
    CHECK_OK(sj_vas_create("cloned", 0600, &vid));
    CHECK_OK(sj_seg_attach(&vid, &reads, SJ_RIGHT_READ));
    CHECK_OK(sj_vas_clone(&vid, "clone", NULL, NULL, &clone));
    CHECK_OK(sj_vas_read(&clone, &record));
    CHECK(record.count == 1 && strcmp(record.segments[0].name, "clone.reads") == 0);
    CHECK(memcmp(record.segments[0].uuid, reads.uuid, 16) != 0);
    free(record.segments);
    CHECK(sj_vas_clone(&vid, "clone", NULL, NULL, &clone) == SJ_EEXISTS);
    CHECK_OK(sj_seg_clone(&reads, "copy", NULL, NULL, &copy));
    CHECK(sj_seg_attach(&vid, &copy, SJ_RIGHT_READ) == SJ_EADDRESS); /* at the same base */
    CHECK(sj_seg_clone(&reads, "copy@1", NULL, NULL, &copy) == SJ_ENAME);
    CHECK_OK(sj_vas_delete(&vid));
}

static void test_a_version_cannot_be_part_of_a_vas(void)
{
    struct sj_vid vid;
    struct sj_sid version = reads;
    strcpy(version.name, "reads@1");
    CHECK_OK(sj_vas_create("versions", 0600, &vid));
    CHECK(sj_seg_attach(&vid, &version, SJ_RIGHT_READ) == SJ_ENAME);
}

static void test_a_segment_is_a_vas(void)
{
    struct sj_vid vid;
    struct sj_vas_source source;
    CHECK_OK(sj_vas_find("reads", &vid));
    CHECK(memcmp(vid.uuid, reads.uuid, 16) == 0);
    CHECK_OK(sj_catalog_source(&catalog, &vid, &source));
    CHECK(source.generation == NULL && look(&source) == 1);
    source.close(source.context);
    CHECK(sj_seg_attach(&vid, &reads, SJ_RIGHT_READ) == SJ_EINVAL);
    CHECK(sj_vas_ctl(&vid, SJ_VAS_TAG, 1) == SJ_EINVAL);
    CHECK_OK(sj_vas_ctl(&vid, SJ_VAS_MODE, 0640));
    CHECK_OK(sj_vas_delete(&vid));
    CHECK(sj_seg_find("reads", &reads) == SJ_ENOTFOUND);
}

int main(void)
{
    test_begin();
    catalog = (struct sj_catalog){test_directory, {.timeout_s = 5.0}};
    test_records_are_read_as_written();
    test_damaged_records_are_noticed_or_valid();
    test_records_that_break_the_rules_are_damage();
    test_other_formats();
    test_names();
    test_homes();
    test_threads_exclude_each_other();
    test_a_fork_does_not_keep_its_parents_lock();
    test_a_wait_can_be_ended();
    test_changes_are_announced();
    test_a_generation_that_is_lost_is_one_that_changes();
    test_a_vas_that_is_deleted();
    test_clones_by_the_functions_of_the_paper();
    test_a_version_cannot_be_part_of_a_vas();
    test_a_segment_is_a_vas();
    return 0;
}
