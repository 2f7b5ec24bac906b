// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz.c: damages small stores and uses them, again and again, in as many processes as there are
 * CPUs.
 *
 *   fuzz                       without end, with a fresh seed
 *   fuzz --images N            N images, then ends: with 1 when one of them failed
 *   fuzz --failures N          ends after so many failures
 *   fuzz --of TEXT             images alone that have the text in their names
 *   fuzz --seed S --only N     one image again, in this process; --save FILE keeps it
 *
 * Each worker has a file for each image. What an image's use has changed is put back page by page:
 * the page tables say which pages were touched (pagemap), and only those are compared. A worker
 * that dies, or hangs for longer than ALARM seconds, leaves the number of its image, which the
 * parent reports and keeps as a file; another worker goes on behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define ALARM    20
#define FILE_MAX (96ull << 20) /* a file may grow to that */

struct worker {
    pid_t pid;
    uint64_t number; /* of the image it is at */
    struct fuzz_counters counters;
};

struct file {
    char path[256];
    int fd;
    uint8_t *view; /* of the first image->size bytes */
};

static struct fuzz_image images[FUZZ_IMAGES];
static struct file files[FUZZ_IMAGES];
static struct worker *workers; /* shared */
static uint32_t worker_count, failures_max = 20;
static const char *wanted = ""; /* is in the names of the images */
static uint64_t seed, images_wanted = UINT64_MAX, metadata_bytes;
static char directory[64];
static struct sigaction trap; /* what SIGBUS does: the core may set a handler of its own */

/* ------------------------------------------------------------------ files */

static void need(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(2);
    }
}

static void make_file(struct file *file, const struct fuzz_image *image, const char *name)
{
    snprintf(file->path, sizeof file->path, "%s/%s.seg", directory, name);
    file->fd = open(file->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    need(file->fd >= 0 && ftruncate(file->fd, (off_t)image->size) == 0, file->path);
    file->view = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    need(file->view != MAP_FAILED, "mmap");
    memcpy(file->view, image->bytes, image->size);
}

static void restore_page(struct file *file, const struct fuzz_image *image, uint64_t page)
{
    uint64_t at = page * SJ_PAGE;
    if (at < image->size && memcmp(file->view + at, image->bytes + at, SJ_PAGE) != 0)
        memcpy(file->view + at, image->bytes + at, SJ_PAGE);
}

/* Pages that were touched since the file was last whole. */
struct touched {
    bool all;
    uint8_t page[FILE_MAX / SJ_PAGE];
};
static struct touched touched;

static void restore(struct file *file, const struct fuzz_image *image)
{
    struct stat status;
    need(fstat(file->fd, &status) == 0, "fstat");
    if ((uint64_t)status.st_size != image->size)
        need(ftruncate(file->fd, (off_t)image->size) == 0, "ftruncate");
    uint64_t pages = image->size / SJ_PAGE, always = SJ_CHUNK_DIR_AT / SJ_PAGE + 1;
    for (uint64_t page = 0; page < pages; page++)
        if (touched.all || page < always || touched.page[page])
            restore_page(file, image, page);
    for (uint32_t i = 0; i < image->fields; i++) /* damaged, perhaps never looked at */
        touched.page[image->field[i].at / SJ_PAGE] = 1;
}

/* The pages of the segment that are in this process's page tables. */
static void note_touched(void *context, const struct sj_segment *segment)
{
    static int pagemap = -1;
    static uint64_t entries[FILE_MAX / SJ_PAGE];
    const struct fuzz_image *image = context;
    uint64_t pages = image->size / SJ_PAGE;
    if (pagemap < 0)
        pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    off_t at = (off_t)((uintptr_t)segment->base / SJ_PAGE * sizeof(uint64_t));
    ssize_t bytes = (ssize_t)(pages * sizeof(uint64_t));
    if (pagemap < 0 || pread(pagemap, entries, (size_t)bytes, at) != bytes) {
        touched.all = true;
        return;
    }
    for (uint64_t page = 0; page < pages; page++)
        touched.page[page] |= entries[page] >> 63;
}

/* ------------------------------------------------------------------ one image */

static bool is_wanted(uint32_t which)
{
    return strstr(images[which].name, wanted) != NULL;
}

/* Large images come up less often, for they take longer. */
static uint32_t choose_image(struct fuzz_random *random)
{
    static const uint8_t large[] = {9, 12, 13};
    for (;;) {
        uint32_t which = (uint32_t)fuzz_below(random, FUZZ_IMAGES);
        bool is_large = memchr(large, (int)which, sizeof large) != NULL;
        if (is_wanted(which) && (!is_large || fuzz_below(random, 4) == 0))
            return which;
    }
}

/* The image, and the byte of it, that the number sweeps over. */
static uint32_t sweep_place(uint64_t number, uint64_t *byte)
{
    uint64_t at = (seed * 0x9e3779b97f4a7c15ull + number) % metadata_bytes;
    uint32_t which = 0;
    while (!is_wanted(which) || at >= images[which].metadata_bytes) {
        at -= is_wanted(which) ? images[which].metadata_bytes : 0;
        which++;
    }
    *byte = at;
    return which;
}

/* Damages image `number` in its file. */
static const struct fuzz_image *damage(uint64_t number, struct fuzz_random *random,
                                       struct file **file)
{
    random->state = seed ^ number * 0xd6e8feb86659fd93ull;
    (void)fuzz_next(random);
    uint64_t byte = UINT64_MAX;
    uint32_t which = number % 2 == 0 ? sweep_place(number / 2, &byte) : choose_image(random);
    *file = &files[which];
    uint64_t size = fuzz_mutate(random, &images[which], (*file)->view, byte);
    if (size != images[which].size)
        need(ftruncate((*file)->fd, (off_t)size) == 0, "ftruncate");
    return &images[which];
}

static void run_image(uint64_t number, struct fuzz_counters *counters)
{
    struct fuzz_random random;
    struct file *file;
    const struct fuzz_image *image = damage(number, &random, &file);
    uint64_t opened = counters->opened;
    memset(touched.page, 0, image->size / SJ_PAGE);
    touched.all = false;
    struct fuzz_use use = {&random,  image,        file->path,
                           counters, note_touched, (void *)(uintptr_t)image};
    alarm(ALARM);
    fuzz_use(&use);
    /* A segment that was refused may have been changed all the same, by its recovery. */
    touched.all |= counters->opened == opened;
    restore(file, image);
    counters->images++;
}

static void work(uint32_t index, uint64_t from)
{
    struct worker *me = &workers[index];
    struct rlimit limit = {FILE_MAX, FILE_MAX};
    char name[64];
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (uint32_t i = 0; i < FUZZ_IMAGES; i++) {
        snprintf(name, sizeof name, "%u-%u", index, i);
        make_file(&files[i], &images[i], name);
    }
    for (uint64_t number = from; number < images_wanted; number += worker_count) {
        __atomic_store_n(&me->number, number, __ATOMIC_RELAXED);
        run_image(number, &me->counters);
        if (getppid() == 1)
            break;
    }
    _exit(0);
}

/* ------------------------------------------------------------------ the parent */

static void start(uint32_t index, uint64_t from)
{
    fflush(NULL);
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0)
        work(index, from);
    workers[index].pid = pid;
}

/* Writes image `number`, damaged, into a file. */
static void save(uint64_t number, const char *path)
{
    struct fuzz_random random;
    struct file *file;
    char name[32];
    for (uint32_t i = 0; i < FUZZ_IMAGES; i++) {
        snprintf(name, sizeof name, "saved-%u", i);
        make_file(&files[i], &images[i], name);
    }
    (void)damage(number, &random, &file);
    need(rename(file->path, path) == 0 || errno == EXDEV, path);
    char command[1024];
    snprintf(command, sizeof command, "cp --sparse=always '%s' '%s'", file->path, path);
    if (access(path, F_OK) != 0 && system(command) != 0)
        fprintf(stderr, "fuzz: %s could not be kept\n", path);
}

static void report_failure(const struct worker *worker, int status)
{
    char path[128];
    snprintf(path, sizeof path, "/tmp/fuzz-%" PRIu64 "-%" PRIu64 ".seg", seed, worker->number);
    fprintf(stderr,
            "fuzz: image %" PRIu64 " ended a process with %s %d; kept as %s; again:\n"
            "      fuzz --seed %" PRIu64 " --only %" PRIu64 " --of '%s'\n",
            worker->number, WIFSIGNALED(status) ? "signal" : "code",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), path, seed,
            worker->number, wanted);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        save(worker->number, path);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void add_sites(struct fuzz_counters *sum, const struct fuzz_counters *from)
{
    for (uint32_t i = 0; i < FUZZ_SITES && from->site[i].text[0] != '\0'; i++) {
        struct fuzz_site *site = sum->site;
        while (site < sum->site + FUZZ_SITES - 1 && site->text[0] != '\0' &&
               strcmp(site->text, from->site[i].text) != 0)
            site++;
        memcpy(site->text, from->site[i].text, sizeof site->text);
        site->hits += from->site[i].hits;
    }
}

static void print_counters(double seconds, bool all)
{
    static struct fuzz_counters sum;
    uint32_t sites = 0;
    memset(&sum, 0, sizeof sum);
    for (uint32_t i = 0; i < worker_count; i++) {
        const struct fuzz_counters *from = &workers[i].counters;
        sum.images += from->images;
        sum.opened += from->opened;
        sum.whole += from->whole;
        sum.operations += from->operations;
        sum.salvaged += from->salvaged;
        for (uint32_t code = 0; code < 64; code++)
            sum.errors[code] += from->errors[code];
        add_sites(&sum, from);
    }
    while (sites < FUZZ_SITES && sum.site[sites].text[0] != '\0')
        sites++;
    printf("%" PRIu64 " images (%.0f/s), %" PRIu64 " opened, %" PRIu64 " calls, %" PRIu64
           " found damage, in %u ways; %" PRIu64 " entries salvaged\n",
           sum.images, (double)sum.images / seconds, sum.opened, sum.operations,
           sum.errors[SJ_ECORRUPT], sites, sum.salvaged);
    for (uint32_t code = 0; all && code < 64; code++)
        if (sum.errors[code] != 0)
            printf("  %10" PRIu64 "  %s\n", sum.errors[code], sj_error_text((int)code));
    for (uint32_t i = 0; all && i < sites; i++)
        printf("  %10" PRIu64 "  expected %s\n", sum.site[i].hits, sum.site[i].text);
    fflush(stdout);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Waits for the workers; how many images failed. */
static uint32_t watch(void)
{
    uint32_t left = worker_count, failures = 0;
    double begun = now(), printed = begun;
    while (left > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            if (interrupted || failures >= failures_max)
                for (uint32_t i = 0; i < worker_count; i++)
                    kill(workers[i].pid, SIGKILL);
            usleep(20000);
            if (now() - printed >= 10) {
                printed = now();
                print_counters(printed - begun, false);
            }
            continue;
        }
        for (uint32_t i = 0; i < worker_count; i++) {
            if (workers[i].pid != pid)
                continue;
            bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
            failed &= !interrupted && failures < failures_max;
            failures += failed;
            if (failed)
                report_failure(&workers[i], status);
            if (failed && failures < failures_max)
                start(i, workers[i].number + worker_count);
            else
                left--;
        }
    }
    print_counters(now() - begun, true);
    return failures;
}

/* ------------------------------------------------------------------ main */

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0)
        fprintf(stderr, "fuzz: %s stays behind\n", directory);
}

static int run_one(uint64_t number, const char *path)
{
    if (path != NULL) {
        save(number, path);
        return 0;
    }
    for (uint32_t i = 0; i < FUZZ_IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "only-%u", i);
        make_file(&files[i], &images[i], name);
    }
    struct rlimit limit = {FILE_MAX, FILE_MAX};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    run_image(number, &workers[0].counters);
    print_counters(1, true);
    return 0;
}

int main(int count, char **arguments)
{
    uint64_t only = UINT64_MAX;
    const char *path = NULL;
    seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    worker_count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i + 1 < count; i += 2) {
        uint64_t number = strtoull(arguments[i + 1], NULL, 0);
        if (strcmp(arguments[i], "--seed") == 0)
            seed = number;
        else if (strcmp(arguments[i], "--images") == 0)
            images_wanted = number;
        else if (strcmp(arguments[i], "--only") == 0)
            only = number;
        else if (strcmp(arguments[i], "--workers") == 0)
            worker_count = (uint32_t)number;
        else if (strcmp(arguments[i], "--failures") == 0)
            failures_max = (uint32_t)number;
        else if (strcmp(arguments[i], "--save") == 0)
            path = arguments[i + 1];
        else if (strcmp(arguments[i], "--of") == 0)
            wanted = arguments[i + 1];
    }
    worker_count = worker_count < 1 ? 1 : worker_count > FUZZ_WORKERS ? FUZZ_WORKERS : worker_count;
    printf("seed %" PRIu64 "\n", seed);
    strcpy(directory, "/dev/shm/sj-fuzz-XXXXXX");
    need(mkdtemp(directory) != NULL, "mkdtemp");
    workers = mmap(NULL, worker_count * sizeof *workers, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(workers != MAP_FAILED, "mmap");
    fuzz_make_images(directory, seed, images);
    for (uint32_t i = 0; i < FUZZ_IMAGES; i++)
        metadata_bytes += is_wanted(i) ? images[i].metadata_bytes : 0;
    need(metadata_bytes > 0, "an image of that name");
    sigaction(SIGBUS, NULL, &trap);
    if (only != UINT64_MAX) {
        int result = run_one(only, path);
        remove_directory();
        return result;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    for (uint32_t i = 0; i < worker_count; i++)
        start(i, i);
    uint32_t failures = watch();
    remove_directory();
    printf("%" PRIu64 " bytes of metadata; %u images failed\n", metadata_bytes, failures);
    return failures != 0;
}
