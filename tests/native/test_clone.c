// SPDX-License-Identifier: Apache-2.0
/*
 * test_clone.c: clones: whole or absent whatever dies or fails, with the contents, the pointers and
 * the checksums of the source.
 *
 * The system calls that make a clone are counted on their way: a process dies before each of them,
 * and each of them fails.
 */
#include "clone_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NEVER UINT32_MAX

/* ------------------------------------------------------------------ system calls */

static uint32_t calls, die_at = NEVER, fail_at = NEVER, cut_at = NEVER;
static int failure;
static int cut_fd; /* loses its second half before call number `cut_at` */
static bool no_kernel_copy;
static int written = -1;     /* was written to since its last sync */
static bool cloning, linked; /* a clone is made; so it has got a name, not durably */

/* Whether this call fails. */
static bool intercepted(void)
{
    uint32_t number = calls++;
    if (number == die_at)
        _exit(77);
    if (number == cut_at)
        CHECK(syscall(SYS_ftruncate, cut_fd, 128 << 10) == 0);
    if (number != fail_at)
        return false;
    errno = failure;
    return true;
}

static bool no_unnamed_files;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!no_unnamed_files || (flags & O_TMPFILE) != O_TMPFILE)
        return __real_open64(path, flags, mode);
    errno = EOPNOTSUPP;
    return -1;
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes)
{
    return intercepted() ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, bytes);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes,
                        unsigned flags)
{
    if (intercepted())
        return -1;
    written = to;
    if (!no_kernel_copy)
        return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
    errno = EXDEV;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    written = fd;
    return intercepted() ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}

int fsync(int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        linked = false;
    else if (fd == written)
        written = -1;
    return intercepted() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return intercepted() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    CHECK(!cloning || written < 0);
    if (intercepted())
        return -1;
    linked = cloning;
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

/* ------------------------------------------------------------------ stores */

/* How many files there are beside those of the source; or of those that were not given their names,
 * which the catalog clears away. */
static uint32_t count_files(bool temporary)
{
    uint32_t count = 0;
    DIR *listing = opendir(directory);
    CHECK(listing != NULL);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += temporary ? strncmp(entry->d_name, ".new-", 5) == 0
                           : entry->d_name[0] != '.' && strncmp(entry->d_name, "source", 6) != 0;
    closedir(listing);
    return count;
}

/* How many there were. */
static uint32_t clear_temporaries(void)
{
    char command[128];
    uint32_t count = count_files(true);
    snprintf(command, sizeof command, "rm -f '%s'/.new-*", directory);
    CHECK(count == 0 || system(command) == 0);
    return count;
}

static bool is_there(const char *name, const char *suffix)
{
    char path[160];
    snprintf(path, sizeof path, "%s%s", path_of(name), suffix);
    return access(path, F_OK) == 0;
}

static int clone_as(struct sj_segment *source, const char *name, bool frozen)
{
    struct sj_clone_spec spec = {
        .name = name, .path = path_of(name), .durability = SJ_CLONE_KEEPS, .frozen = frozen};
    struct sj_clone *clone;
    written = -1;
    cloning = true;
    int error = sj_segment_clone(source, &spec, &clone);
    if (error == SJ_OK)
        error = sj_clone_publish(clone, path_of(name));
    CHECK(error != SJ_OK || !linked);
    cloning = linked = false;
    return error;
}

/* The source is closed for it, as it has the same addresses. */
static void check_clone(const char *name, const struct model *model, bool sums)
{
    struct sj_segment_info source, info;
    struct stat status;
    CHECK_OK(sj_segment_inspect(path_of("source"), &source));
    CHECK_OK(sj_segment_inspect(path_of(name), &info));
    CHECK(stat(path_of(name), &status) == 0);
    CHECK(strcmp(info.name, name) == 0 && memcmp(info.uuid, source.uuid, 16) != 0);
    CHECK(info.base == source.base && info.reserved == source.reserved && info.clean);
    CHECK(info.durability == source.durability && info.image[0] == '\0');
    CHECK((uint64_t)status.st_blocks * 512 >= info.file_bytes); /* no holes */
    struct sj_segment *segment = reopen(name, !info.frozen);
    uint64_t pages = sj_segment_committed(segment) / SJ_PAGE;
    CHECK(sound(segment, model) == (sums ? pages : 2));
    struct model changed = *model;
    struct world world;
    CHECK(world_find(&world, segment));
    for (uint32_t i = 0; i < 20 && !info.frozen; i++)
        CHECK_OK(world_change_any(&world, &changed));
    if (info.durability == SJ_DURABILITY_POWER && !info.frozen)
        CHECK_OK(world_acknowledge(segment));
    CHECK_OK(sj_segment_close(segment, true));
    segment = reopen(name, false);
    sound(segment, &changed);
    CHECK_OK(sj_segment_close(segment, true));
}

static void clones_are_the_same(enum sj_durability durability)
{
    struct model model;
    struct sj_segment *source = make_source(durability, &model);
    CHECK_OK(clone_as(source, "clone", false));
    CHECK(clone_as(source, "clone", false) == SJ_EEXISTS);
    no_kernel_copy = true;
    CHECK_OK(clone_as(source, "copy", false));
    no_kernel_copy = false;
    CHECK_OK(sj_segment_sync(source));
    CHECK_OK(clone_as(source, "version", true));
    CHECK_OK(sj_tx_begin(source));
    CHECK(clone_as(source, "inside", false) == SJ_EINVAL);
    sj_tx_abort(source);
    sound(source, &model);
    CHECK_OK(sj_segment_close(source, true));
    check_clone("clone", &model, true);
    check_clone("copy", &model, true);
    check_clone("version", &model, true);
    source = reopen("version", false);
    CHECK_OK(clone_as(source, "again", false)); /* of a version: it can be changed */
    CHECK_OK(sj_segment_close(source, true));
    check_clone("again", &model, true);
    source = reopen("source", true);
    sound(source, &model);
    CHECK_OK(sj_segment_close(source, true));
    CHECK(count_files(false) == 8 + (durability == SJ_DURABILITY_POWER ? 6 : 0));
    for (uint32_t i = 0; i < 4; i++)
        remove_files(((const char *[]){"clone", "copy", "version", "again"})[i]);
}

/* ------------------------------------------------------------------ deaths and failures */

/* Runs the making of a clone in a child that dies before call number `at`; whether it did. */
static bool dies(struct sj_segment *source, uint32_t at)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        calls = 0;
        die_at = at;
        _exit(clone_as(source, "clone", at % 2 == 1) == SJ_OK ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

static void a_death_leaves_all_or_nothing(enum sj_durability durability)
{
    struct model model;
    struct sj_segment *source = make_source(durability, &model);
    uint32_t absent = 0, without_sums = 0, whole = 0;
    for (uint32_t at = 0;; at++) {
        bool died = dies(source, at);
        bool there = is_there("clone", ""), has_sums = is_there("clone", ".sum");
        CHECK(clear_temporaries() <= (died && no_unnamed_files ? 2 : 0));
        CHECK(count_files(false) == (uint32_t)there + has_sums && (there || !has_sums));
        CHECK(died || (there && has_sums));
        CHECK_OK(sj_segment_close(source, true));
        if (there)
            check_clone("clone", &model, has_sums);
        source = reopen("source", true);
        absent += !there;
        without_sums += there && !has_sums;
        whole += has_sums;
        remove_files("clone");
        if (!died)
            break;
    }
    CHECK(absent >= 6 && without_sums == 1 && whole >= 2);
    sound(source, &model);
    CHECK_OK(sj_segment_close(source, true));
}

static void a_failure_leaves_nothing(int number, int expected)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    uint32_t made = 0, failed = 0, named = 0;
    for (uint32_t at = 0;; at++) {
        calls = 0;
        fail_at = at;
        failure = number;
        int error = clone_as(source, "clone", false);
        bool reached = calls > at;
        fail_at = NEVER;
        bool there = is_there("clone", ""), has_sums = is_there("clone", ".sum");
        if (error == SJ_OK) { /* it went on without checksums, or by other means */
            CHECK(there);
            made++;
        } else {
            CHECK(error == expected);
            failed++;
            named += there; /* the sync of its directory */
        }
        CHECK(count_files(false) == (uint32_t)there + has_sums && count_files(true) == 0);
        CHECK_OK(sj_segment_close(source, true));
        if (there)
            check_clone("clone", &model, has_sums);
        source = reopen("source", true);
        remove_files("clone");
        if (!reached)
            break;
    }
    CHECK(made >= 1 && failed >= 5 && named == 1);
    CHECK_OK(sj_segment_close(source, true));
}

/* On such a filesystem: by who takes it for what a dead one has left. */
static void one_that_was_cleared_away_is_not_found(void)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    struct sj_clone_spec spec = {
        .name = "clone", .path = path_of("clone"), .durability = SJ_CLONE_KEEPS};
    struct sj_clone *clone;
    CHECK_OK(sj_segment_clone(source, &spec, &clone));
    CHECK(clear_temporaries() == 2);
    CHECK(sj_clone_publish(clone, path_of("clone")) == SJ_ENOTFOUND);
    CHECK(count_files(false) == 0);
    CHECK_OK(sj_segment_close(source, true));
}

/* A file that is cut short reads as if it had holes. */
static void a_source_that_is_cut_short_is_not_cloned(void)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    for (uint32_t at = 0; at < 3; at++) {
        CHECK_OK(sj_segment_close(source, true));
        source = make_source(SJ_DURABILITY_PROCESS, &model);
        calls = 0;
        cut_at = at;
        cut_fd = source->fd;
        CHECK(clone_as(source, "clone", false) == SJ_ETRUNCATED);
        cut_at = NEVER;
        CHECK(count_files(false) == 0);
        (void)sj_segment_close(source, false);
        source = make_source(SJ_DURABILITY_PROCESS, &model);
    }
    CHECK_OK(sj_segment_close(source, true));
}

/* A page that was damaged at rest is found damaged in the clone. */
static void damage_is_cloned_with_its_checksum(void)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    struct sj_check_report report;
    CHECK_OK(sj_segment_sync(source));
    uint64_t at = sj_segment_committed(source) - SJ_PAGE; /* nothing lies there */
    source->base[at] ^= 1;
    CHECK_OK(clone_as(source, "clone", true));
    CHECK_OK(sj_segment_close(source, true));
    source = reopen("clone", false);
    CHECK(sj_check(source, &report) == SJ_ECORRUPT);
    CHECK_OK(sj_segment_close(source, true));
    remove_files("clone");
}

/* It is in no transaction over several segments, whatever its source has to say to others. */
static void votes_and_records_are_not_cloned(void)
{
    static const char zeros[SJ_PAGE];
    const uint64_t from = offsetof(struct sj_log, vote);
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    memset((char *)source->log + from, 1, SJ_PAGE - from);
    CHECK_OK(clone_as(source, "clone", true));
    memset((char *)source->log + from, 0, SJ_PAGE - from);
    CHECK_OK(sj_segment_close(source, true));
    source = reopen("clone", false);
    CHECK(memcmp((char *)source->log + from, zeros, SJ_PAGE - from) == 0);
    CHECK_OK(sj_segment_close(source, true));
    check_clone("clone", &model, true);
    remove_files("clone");
}

static uint64_t told, last_total;

static int stop_at(void *context, uint64_t done, uint64_t total)
{
    CHECK(done <= total && (last_total == 0 || total == last_total));
    last_total = total;
    return told++ == *(uint64_t *)context ? SJ_EINTR : SJ_OK;
}

static void progress_can_end_it(void)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model);
    CHECK_OK(sj_segment_commit(source, 64 << 20));
    for (uint64_t stop = 0;; stop++) {
        struct sj_clone_spec spec = {.name = "clone",
                                     .path = path_of("clone"),
                                     .durability = SJ_CLONE_KEEPS,
                                     .progress = stop_at,
                                     .context = &stop};
        struct sj_clone *clone;
        told = last_total = 0;
        int error = sj_segment_clone(source, &spec, &clone);
        CHECK(count_files(false) == 0);
        if (error == SJ_OK) {
            CHECK(told >= 3);
            sj_clone_drop(clone);
            break;
        }
        CHECK(error == SJ_EINTR);
    }
    CHECK(count_files(false) == 0);
    CHECK_OK(sj_segment_close(source, true));
}

static void all(const char *parent, bool power)
{
    snprintf(directory, sizeof directory, "%.40s/clones", parent);
    CHECK(mkdir(directory, 0700) == 0);
    clones_are_the_same(power ? SJ_DURABILITY_POWER : SJ_DURABILITY_PROCESS);
    a_death_leaves_all_or_nothing(power ? SJ_DURABILITY_POWER : SJ_DURABILITY_PROCESS);
    if (power)
        return;
    a_failure_leaves_nothing(ENOSPC, SJ_EFULL);
    a_failure_leaves_nothing(EIO, SJ_EIO);
    no_unnamed_files = true;
    a_death_leaves_all_or_nothing(SJ_DURABILITY_PROCESS);
    a_failure_leaves_nothing(EIO, SJ_EIO);
    one_that_was_cleared_away_is_not_found();
    no_unnamed_files = false;
    a_source_that_is_cut_short_is_not_cloned();
    damage_is_cloned_with_its_checksum();
    votes_and_records_are_not_cloned();
    progress_can_end_it();
}

int main(void)
{
    char disk[] = "/var/tmp/sj-native-XXXXXX", command[64];
    test_begin();
    CHECK(mkdtemp(disk) != NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", disk);
    all(test_directory, false);
    all(disk, true);
    CHECK(system(command) == 0);
    printf("clones are whole or absent\n");
    return 0;
}
