// SPDX-License-Identifier: Apache-2.0
/*
 * test_sums_crash.c: checksums of pages after a death before any store to them, to a superblock, to
 * the segment or its file: while a store is opened, changed, synced and closed, with its checksums
 * and without; of a segment that is mapped and of a `wal` store. Then no page is taken for damaged,
 * a bit that flips in a page with a checksum is found, and the next closing makes all of them.
 *
 * And after power loss, of a `wal` store: at every write and sync, with any of the unsynced sectors
 * of the segment file and of the checksums, in the next boot.
 *
 * Only in a build with -DSJ_SEAM.
 */
#include "sums_world.h"

#ifdef SJ_SEAM

#include <dirent.h>
#include <stdarg.h>

#include "persistence/superblock.h"
#include "persistence/wal.h"

#define FILES      4
#define SEGMENT    0
#define SUMS       3
#define STATES_MAX 140
#define STATES_END 30 /* of those, when it is closed */
#define OTHERS     997

static const char *const suffix[FILES] = {"", ".log0", ".log1", SJ_SUMS_SUFFIX};

/* ------------------------------------------------------------------ boots */

static const char *boot_path; /* of a file with another boot's id */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (boot_path != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot_path;
    return __real_open64(path, flags, mode);
}

static void next_boot(void)
{
    static char path[128];
    char id[40];
    snprintf(path, sizeof path, "%s", test_path("boot_id"));
    int length = snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, test_random(), test_random());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, id, (size_t)length) == length);
    close(fd);
    boot_path = path;
}

/* ------------------------------------------------------------------ stores */

/* A kind of store, closed, with something in it. */
struct kind {
    const char *name;
    enum sj_durability durability;
    bool without_sums;
    uint64_t step; /* of events that are died at, at most */
    struct image closed[FILES];
};

static const char *path_of(uint32_t file)
{
    static char path[FILES][160];
    snprintf(path[file], sizeof path[file], "%s%s", test_path("store"), suffix[file]);
    return path[file];
}

static void put(struct sj_segment *segment, uint64_t number, uint64_t bytes)
{
    CHECK_OK(world_put(segment, number, bytes));
    if (segment->wal == NULL)
        return;
    uint64_t position = sj_wal_take_unacknowledged(segment);
    CHECK_OK(sj_wal_acknowledge(segment, position));
}

static struct sj_segment *reopen(void)
{
    struct sj_segment *segment = test_reopen("store");
    if (segment->wal != NULL)
        segment->wal->stop = true; /* no thread: its parent forks */
    return segment;
}

/* A `wal` store can only be made on a disk; then it is copied into shared memory. */
static void make_kind(struct kind *kind)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", path[64], command[128];
    struct sj_segment_spec spec = {"store", TEST_BASE, SJ_GIB, 0600, kind->durability};
    struct sj_segment *segment;
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/store", directory);
    CHECK_OK(sj_segment_create(path, &spec));
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    world_create(segment);
    for (uint64_t i = 0; i < 60; i++)
        put(segment, i, i % 100);
    CHECK_OK(sj_segment_close(segment, true));
    for (uint32_t i = 0; i < FILES; i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, suffix[i]);
        bool has = access(file, F_OK) == 0 && !(i == SUMS && kind->without_sums);
        kind->closed[i] = has ? read_file(file) : (struct image){0};
    }
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
}

static void restore(const struct kind *kind)
{
    for (uint32_t i = 0; i < FILES; i++)
        if (kind->closed[i].bytes != NULL)
            write_file(path_of(i), &kind->closed[i]);
        else
            unlink(path_of(i));
}

static void lose_images(void)
{
    DIR *images = opendir(test_path("images"));
    CHECK(images != NULL);
    for (struct dirent *entry; (entry = readdir(images)) != NULL;)
        if (entry->d_name[0] != '.')
            CHECK(unlinkat(dirfd(images), entry->d_name, 0) == 0);
    closedir(images);
}

/* Everything that marks pages, computes checksums or names superblocks. */
static void live(void)
{
    struct sj_segment *segment = reopen();
    put(segment, 7, 60);
    CHECK_OK(sj_segment_sync(segment));
    put(segment, 8, 9000);
    if (segment->wal != NULL)
        CHECK_OK(segment->domain->sync(segment)); /* a checkpoint */
    put(segment, 9, 600000);                      /* it grows */
    CHECK_OK(sj_segment_sync(segment));
    put(segment, 7, 90);
    CHECK_OK(sj_segment_close(segment, true));
}

/* ------------------------------------------------------------------ deaths */

static uint64_t events_left;
static bool is_wal;

static void event(void)
{
    if (events_left-- == 0)
        _exit(77);
}

/* Every store to the checksums and to a superblock, which a `wal` store writes to its file; but few
 * of those to the rest of the segment. */
static void store_hook(enum sj_seam_event kind, void *at, uint64_t value)
{
    static uint64_t others;
    (void)value;
    uint64_t offset = (uint64_t)(uintptr_t)at - TEST_BASE;
    if (kind != SJ_SEAM_STORE || (offset < SJ_GIB && is_wal))
        return;
    if (offset < 2 * SJ_PAGE || offset >= SJ_GIB || others++ % OTHERS == 0)
        event();
}

static void disk_hook(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    (void)fd, (void)bytes, (void)count, (void)at;
    event();
}

static bool dies_at(uint64_t number)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        events_left = number;
        sj_seam_hook = store_hook;
        sj_seam_disk_hook = disk_hook;
        live();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

static void flip(uint64_t at)
{
    char byte;
    int fd = open(path_of(SEGMENT), O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= 4;
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
    close(fd);
}

/* A bit flips in some page of the heap that has a checksum. Whether there is one. */
static bool a_flip_is_found(const struct sj_segment *segment)
{
    struct findings findings;
    struct sj_super super;
    struct sj_sums *sums;
    bool counts;
    uint64_t which, pages, first = segment->meta_bytes / SJ_PAGE;
    int file = segment->wal != NULL ? segment->wal->file : segment->fd;
    CHECK_OK(sj_super_read(file, "store", &super, &which));
    CHECK_OK(sj_segment_sums_pages(segment, &pages));
    if (sj_segment_sums_find(segment, &super, false, &sums, &counts) != SJ_OK)
        return false;
    uint64_t page = first + test_below(pages - first);
    for (uint64_t i = 0; i < pages && counts && sums->sum[page] == 0; i++)
        page = page + 1 < pages ? page + 1 : first;
    bool has = counts && sums->sum[page] != 0;
    sj_sums_close(sums);
    if (!has)
        return false;
    uint64_t at = page * SJ_PAGE + test_below(SJ_PAGE);
    flip(at);
    verify_sums(segment, &findings);
    CHECK(findings.count == 1 && findings.first.offset == page * SJ_PAGE);
    flip(at);
    return true;
}

/* Whether a flip was found before all checksums were made again. */
static bool come_after(void)
{
    struct sj_check_report report;
    struct sj_segment *segment = reopen();
    no_false_alarm(segment);
    bool found = a_flip_is_found(segment);
    CHECK_OK(sj_check(segment, &report));
    CHECK_OK(sj_segment_close(segment, true));
    segment = reopen();
    if (report.verified_pages + report.unverified_pages > 0 && segment->wal != NULL)
        all_have_sums(segment);
    no_false_alarm(segment);
    put(segment, 3, 30); /* then they are made, if they were not */
    CHECK_OK(sj_segment_close(segment, true));
    segment = reopen();
    all_have_sums(segment);
    CHECK(a_flip_is_found(segment));
    CHECK_OK(sj_segment_close(segment, true));
    return found;
}

static void dies_everywhere(const struct kind *kind)
{
    uint64_t deaths = 0, found = 0;
    is_wal = kind->durability == SJ_DURABILITY_POWER;
    for (uint64_t number = test_below(kind->step);; number += 1 + test_below(kind->step)) {
        restore(kind);
        if (!dies_at(number))
            break;
        deaths++;
        if (is_wal && test_below(2) == 0)
            lose_images();
        if (test_below(4) == 0)
            dies_at(test_below(number + 10)); /* so does the next one */
        found += come_after();
    }
    printf("%s: %" PRIu64 " deaths, a flip found at once after %" PRIu64 "\n", kind->name, deaths,
           found);
    CHECK(deaths > 50 && found > deaths / (kind->without_sums ? 10 : 2));
}

/* ------------------------------------------------------------------ power loss */

/* What the disk has for certain of the segment file and of the checksums, and the writes to the
 * former since. The log files are as if all that was written to them were there. */
static struct {
    struct image certain[FILES];
    struct image before; /* of the checksums, at the last event */
    struct {
        char *bytes;
        uint64_t count, at;
    } write[4096];
    uint32_t writes;
    struct image state[STATES_MAX][FILES];
    uint32_t states;
} disk;

static struct image read_whole(const char *path)
{
    struct image image = {0};
    struct stat status;
    int fd = __real_open64(path, O_RDONLY);
    if (fd < 0)
        return image;
    CHECK(fstat(fd, &status) == 0);
    image.count = (uint64_t)status.st_size;
    image.bytes = malloc(image.count + 1);
    CHECK(image.bytes != NULL && pread(fd, image.bytes, image.count, 0) == status.st_size);
    close(fd);
    return image;
}

/* The sectors of `to` that chance wants are those of `from`. */
static void mix(struct image *to, const struct image *from, uint64_t dense)
{
    for (uint64_t at = 0; at < to->count && at < from->count; at += 512)
        if (test_below(9) < dense)
            memcpy(to->bytes + at, from->bytes + at, to->count - at < 512 ? to->count - at : 512);
}

static void draw_segment(struct image *image)
{
    struct image now = read_whole(path_of(SEGMENT));
    *image = (struct image){calloc(1, now.count), now.count};
    CHECK(image->bytes != NULL && disk.certain[SEGMENT].count <= now.count);
    memcpy(image->bytes, disk.certain[SEGMENT].bytes, disk.certain[SEGMENT].count);
    free(now.bytes);
    uint64_t dense = test_below(10);
    for (uint32_t i = 0; i < disk.writes; i++)
        for (uint64_t at = 0; at < disk.write[i].count; at += 512)
            if (test_below(9) < dense)
                memcpy(image->bytes + disk.write[i].at + at, disk.write[i].bytes + at, 512);
}

static void draw(void)
{
    if (disk.states == STATES_MAX)
        return;
    struct image *state = disk.state[disk.states++], now = read_whole(path_of(SUMS));
    draw_segment(&state[SEGMENT]);
    state[1] = read_whole(path_of(1));
    state[2] = read_whole(path_of(2));
    state[SUMS] = read_whole(path_of(SUMS));
    mix(&state[SUMS], &disk.before, test_below(10));
    mix(&state[SUMS], &disk.certain[SUMS], test_below(10));
    disk.before = now;
}

static void power_hook(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    char link[64], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, path, sizeof path - 1) > 0);
    uint32_t file = strcmp(path, path_of(SEGMENT)) == 0 ? SEGMENT
                    : strcmp(path, path_of(SUMS)) == 0  ? SUMS
                                                        : FILES;
    if (disk.states < STATES_MAX - STATES_END && test_below(3) == 0)
        draw();
    if (file == FILES)
        return;
    if (bytes != NULL) {
        CHECK(file == SEGMENT && disk.writes < 4096 && count % 512 == 0);
        disk.write[disk.writes].bytes = malloc(count);
        memcpy(disk.write[disk.writes].bytes, bytes, count);
        disk.write[disk.writes].count = count;
        disk.write[disk.writes++].at = at;
        return;
    }
    disk.certain[file] = read_whole(path_of(file));
    if (file == SEGMENT)
        disk.writes = 0;
    else
        disk.before = disk.certain[SUMS]; /* what was before a sync is gone, drawn or not */
    if (disk.states < STATES_MAX - STATES_END)
        draw();
}

static void powers_on(const struct image state[FILES])
{
    for (uint32_t i = 0; i < FILES; i++)
        if (state[i].bytes != NULL)
            write_file(path_of(i), &state[i]);
        else
            unlink(path_of(i));
    lose_images();
    next_boot();
    come_after();
}

static void loses_power_everywhere(const struct kind *kind)
{
    restore(kind);
    for (uint32_t i = 0; i < FILES; i++)
        disk.certain[i] = read_whole(path_of(i));
    disk.before = read_whole(path_of(SUMS));
    next_boot();
    sj_seam_disk_hook = power_hook;
    live();
    sj_seam_disk_hook = NULL;
    CHECK(disk.states > 60);
    for (int i = 0; i < STATES_END; i++)
        draw();
    for (uint32_t i = 0; i < disk.states; i++)
        powers_on(disk.state[i]);
    printf("%s: %" PRIu32 " states after power loss\n", kind->name, disk.states);
}

int main(void)
{
    static struct kind kinds[] = {
        {.name = "mapped", .durability = SJ_DURABILITY_PROCESS, .step = 12},
        {.name = "mapped, without",
         .durability = SJ_DURABILITY_PROCESS,
         .without_sums = true,
         .step = 20},
        {.name = "wal", .durability = SJ_DURABILITY_POWER, .step = 6},
        {.name = "wal, without",
         .durability = SJ_DURABILITY_POWER,
         .without_sums = true,
         .step = 16},
    };
    test_begin();
    CHECK(mkdir(test_path("images"), 0700) == 0);
    CHECK(setenv("SPACEJMP_SHM", test_path("images"), 1) == 0);
    sj_wal_log_step = 4 * SJ_PAGE; /* little to copy */
    for (uint32_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        make_kind(&kinds[i]);
        dies_everywhere(&kinds[i]);
    }
    loses_power_everywhere(&kinds[2]);
    return 0;
}

#else

int main(void)
{
    return 77; /* skipped */
}

#endif
