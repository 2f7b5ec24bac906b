// SPDX-License-Identifier: Apache-2.0
/*
 * test_syncs.c: what is synced, and when: nothing else of a test sees whether a disk has what was
 * written. The C library's calls are counted on their way.
 */
#include "dax_library.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "persistence/heap.h"

static struct counts {
    uint32_t files, directories, data;
} counts;
static uint32_t files_when_named;
static uint32_t failures; /* syncs that are going to fail */

int fsync(int fd)
{
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    *(S_ISDIR(status.st_mode) ? &counts.directories : &counts.files) += 1;
    if (failures > 0) {
        failures--;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    counts.data++;
    return (int)syscall(SYS_fdatasync, fd);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    files_when_named = counts.files + counts.data;
    CHECK(counts.directories == 0);
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

/* So many syncs since the last call. */
static void there_were(uint32_t files, uint32_t directories, uint32_t data)
{
    if (counts.files != files || counts.directories != directories || counts.data != data)
        fprintf(stderr, "%u files, %u directories, %u data\n", counts.files, counts.directories,
                counts.data);
    CHECK(counts.files == files && counts.directories == directories && counts.data == data);
    counts = (struct counts){0};
}

static uint64_t *new_word(struct sj_segment *segment)
{
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 64, &block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    return block;
}

static void of_a_file_on_disk(const char *path)
{
    struct sj_segment_spec spec = {"disk", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_segment *segment;
    CHECK_OK(sj_segment_create(path, &spec));
    CHECK(files_when_named == 1);
    there_were(1, 1, 0);
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    there_were(0, 0, 0);
    new_word(segment);
    CHECK(files_when_named == 1); /* that of checksums */
    there_were(1, 0, 2);          /* "in use"; the new checksums, and what they name */
    new_word(segment);
    there_were(0, 0, 0); /* durability 'process' */
    CHECK_OK(sj_segment_sync(segment));
    there_were(1, 0, 0);
    CHECK_OK(sj_segment_close(segment, true));
    there_were(2, 0, 1); /* the data, the checksums, "clean" */
}

/* What a dead process had stored and not flushed is synced before it is read. */
static void of_what_the_dead_have_left(void)
{
    struct sj_segment *segment = test_dax_segment("left");
    there_were(2, 1, 0); /* made, and opened */
    uint64_t *word = new_word(segment);
    CHECK_OK(sj_tx_single_word(segment, word, 1));
    CHECK_OK(sj_segment_close(segment, false));
    counts = (struct counts){0};
    segment = test_reopen("left"); /* no transaction was open */
    there_were(1, 0, 0);
    CHECK_OK(sj_tx_begin(segment));
    CHECK_OK(sj_tx_single_word(segment, word, 2));
    sj_tx_forget(segment);
    counts = (struct counts){0};
    CHECK_OK(sj_segment_recover(segment)); /* one was */
    there_were(1, 0, 0);
    CHECK(*word == 1);
    CHECK_OK(sj_segment_close(segment, false));
    CHECK_OK(sj_segment_open(test_path("left"), false, true, false, &segment));
    counts = (struct counts){0};
    CHECK_OK(sj_segment_recover(segment)); /* by who only reads */
    there_were(1, 0, 0);
    CHECK_OK(sj_segment_close(segment, false));
    counts = (struct counts){0};
    segment = test_reopen("left");
    CHECK_OK(sj_segment_commit(segment, sj_segment_committed(segment) + 1));
    CHECK(counts.files == 2); /* the file's new size, before the segment has it */
    CHECK_OK(sj_segment_close(segment, true));
}

/* The kernel tells of what it could not write once: a sync that succeeds afterwards proves nothing.
 * (A close once marked such a store clean.) */
static void one_that_failed_is_not_forgotten(const char *path, bool at_close)
{
    struct sj_segment_spec spec = {"failed", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_segment *segment;
    (void)remove(path);
    CHECK_OK(sj_segment_create(path, &spec));
    counts = (struct counts){0};
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    new_word(segment);
    failures = 1;
    if (!at_close)
        CHECK(sj_segment_sync(segment) == SJ_EIO && failures == 0);
    CHECK(sj_segment_close(segment, true) == SJ_EIO && failures == 0);
    CHECK(sj_segment_open(path, true, true, false, &segment) == SJ_EUNCLEAN);
    CHECK(sj_segment_open(path, false, true, false, &segment) == SJ_EUNCLEAN);
    CHECK_OK(sj_segment_open(path, true, true, true, &segment));
    counts = (struct counts){0};
    new_word(segment);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    CHECK_OK(sj_segment_close(segment, true));
    counts = (struct counts){0};
}

int main(void)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", path[64], command[64];
    test_begin();
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/disk", directory);
    of_a_file_on_disk(path);
    of_what_the_dead_have_left();
    one_that_failed_is_not_forgotten(path, false);
    one_that_failed_is_not_forgotten(path, true);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
    printf("ok\n");
    return 0;
}
