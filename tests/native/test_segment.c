// SPDX-License-Identifier: Apache-2.0
/*
 * test_segment.c: making segment files where the filesystem has no files without a name.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* The library's open() too: this program is linked before the C library. */
int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int create(const char *name)
{
    struct sj_segment_spec spec = {name, TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    return sj_segment_create(test_path(name), &spec);
}

static int files(void)
{
    int count = 0;
    DIR *directory = opendir(test_directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_type == DT_REG;
    closedir(directory);
    return count;
}

static void a_segment_is_made_under_a_temporary_name(void)
{
    char left[64];
    snprintf(left, sizeof left, ".new-%d-made", gettid());
    CHECK(close(open(test_path(left), O_CREAT | O_WRONLY, 0400)) == 0); /* by one who died */
    CHECK_OK(create("made"));
    CHECK_OK(sj_segment_close(test_reopen("made"), true));
    CHECK(create("made") == SJ_EEXISTS);
    CHECK(files() == 1);
}

int main(void)
{
    test_begin();
    a_segment_is_made_under_a_temporary_name();
    return 0;
}
