// SPDX-License-Identifier: Apache-2.0
/*
 * test_wal_kill.c: a process that has a `wal` store open dies: before a store to the image, before
 * a write to a file, or after a sync; in operations, checkpoints, turns, opening and closing. The
 * next one finds the image or, after a power loss, makes it from segment file and log, or first the
 * one and then the other. It has all operations up to one at or after the last acknowledged one.
 *
 *   test_wal_kill [seconds]
 *
 * Only in a build with -DSJ_SEAM.
 */
#include "wal_world.h"

#ifdef SJ_SEAM

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "persistence/seam.h"

#define HISTORY_MAX 256

/* What the process that dies has done, in memory that outlives it. */
static struct journal {
    uint32_t begun, acknowledged;
    struct model model[HISTORY_MAX]; /* after so many operations */
} *journal;

static char store_path[96];
static uint64_t events_left;
static bool only_disk; /* die at events of files alone */
static uint64_t deaths, deaths_at_files, verified_pages;

/* ------------------------------------------------------------------ the one that dies */

static void event(void)
{
    if (events_left-- == 0)
        _exit(77);
}

static void store_hook(enum sj_seam_event kind, void *at, uint64_t value)
{
    (void)kind, (void)at, (void)value;
    if (!only_disk)
        event();
}

static void disk_hook(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    (void)fd, (void)bytes, (void)count, (void)at;
    event();
}

static struct sj_segment *open_store(struct world *world)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(store_path, true, true, false, &segment));
    segment->wal->stop = true; /* no thread: its parent forks */
    CHECK(world_find(world, segment));
    return segment;
}

/* What a change makes of the model is noted before it is made: a death may follow at once. */
static void operate(struct world *world, struct model *model)
{
    uint64_t action = test_below(20);
    if (action < 2) {
        CHECK_OK(sj_wal_checkpoint(world->segment));
    } else if (action == 2) {
        CHECK_OK(sj_segment_sync(world->segment));
        journal->acknowledged = journal->begun;
    } else if (action == 3) {
        CHECK_OK(world_acknowledge(world->segment));
        journal->acknowledged = journal->begun;
        CHECK_OK(sj_segment_close(world->segment, true));
        open_store(world);
    } else if (action == 4) {
        CHECK_OK(world_transaction(world, model, 10, false));
    } else {
        uint32_t changes = action == 5 ? 30 : action < 8 ? 4 : 1;
        CHECK(journal->begun + 1 < HISTORY_MAX);
        struct model after = *model;
        uint64_t state = test_state;
        world_rehearse(&after, changes);
        journal->model[journal->begun + 1] = after;
        __atomic_store_n(&journal->begun, journal->begun + 1, __ATOMIC_RELEASE);
        test_state = state;
        if (changes == 1)
            CHECK_OK(world_change_any(world, model));
        else
            CHECK_OK(world_transaction(world, model, changes, true));
        CHECK(model->digest == after.digest);
    }
    if (test_below(3) != 0) {
        CHECK_OK(world_acknowledge(world->segment));
        journal->acknowledged = journal->begun;
    }
}

static void live_and_die(void)
{
    struct world world;
    struct model model = journal->model[0];
    open_store(&world);
    for (int i = 0; i < 40; i++)
        operate(&world, &model);
    world_acknowledge(world.segment);
    journal->acknowledged = journal->begun;
    CHECK_OK(sj_segment_close(world.segment, true));
    _exit(0);
}

static bool dies(void)
{
    uint64_t child_seed = test_random();
    only_disk = test_below(2) == 0;
    events_left = only_disk ? test_below(120) : test_below(30000) * test_below(1000) / 1000;
    journal->begun = journal->acknowledged = 0;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_state = child_seed;
        sj_seam_hook = store_hook;
        sj_seam_disk_hook = disk_hook;
        live_and_die();
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

/* ------------------------------------------------------------------ those that come after */

static void lose_images(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -f '%s'/spacejmp-*", test_directory);
    CHECK(system(command) == 0);
}

static uint32_t look(const struct world *world, uint32_t from, uint32_t to)
{
    uint64_t contents = world_contents(world);
    verified_pages += world_check(world);
    for (uint32_t i = from; i <= to; i++)
        if (journal->model[i].digest == contents)
            return i;
    fprintf(stderr, "the contents are none of those after operations %u to %u (seed %" PRIu64 ")\n",
            from, to, test_seed);
    exit(1);
}

/* Finds what the dead one has left, goes on, and perhaps loses power; the journal begins anew. */
static void come_after(void)
{
    struct world world;
    if (test_below(2) == 0)
        lose_images();
    open_store(&world);
    uint32_t found = look(&world, journal->acknowledged, journal->begun);
    struct model model = journal->model[found];
    uint64_t before = model.digest, more = 1 + test_below(5);
    /* What was found may not be on disk yet, and to delete what is not there changes nothing: only
     * a change that is acknowledged takes it there. */
    for (uint64_t i = 0; i < more || model.digest == before; i++) {
        CHECK_OK(world_change_any(&world, &model));
        CHECK_OK(world_acknowledge(world.segment));
    }
    journal->model[0] = model;
    if (test_below(4) == 0) {
        CHECK_OK(sj_segment_close(world.segment, true));
        return;
    }
    world_abandon(world.segment, false);
    if (test_below(2) == 0)
        lose_images();
    open_store(&world);
    look(&world, 0, 0);
    world_abandon(world.segment, false);
}

static void set_limits(void)
{
    sj_wal_log_step = 4096 * (3 + test_below(4));
    sj_wal_log_limit = 4096 * (3 + test_below(6));
    sj_wal_log_bound = sj_wal_log_limit * (1 + test_below(4));
    sj_wal_record_limit = 1024 * (1 + test_below(6));
    sj_wal_ring_limit = sj_wal_record_limit * (1 + test_below(3));
}

/* A closed store in tmpfs, where syncs cost nothing: the machine goes on after each death. It can
 * only be made elsewhere. */
static void make_store(const char *directory, uint64_t number)
{
    struct sj_segment *segment;
    char command[256];
    snprintf(store_path, sizeof store_path, "%s/store.seg", directory);
    world_create(store_path);
    CHECK_OK(sj_segment_open(store_path, true, true, false, &segment));
    world_root(segment, "tree", SJ_KIND_BTREE);
    world_root(segment, "map", SJ_KIND_HASHMAP);
    CHECK_OK(sj_segment_close(segment, true));
    snprintf(command, sizeof command, "mkdir %s/%" PRIu64 " && mv %s/store.seg* %s/%" PRIu64,
             test_directory, number, directory, test_directory, number);
    CHECK(system(command) == 0);
    snprintf(store_path, sizeof store_path, "%s/%" PRIu64 "/store.seg", test_directory, number);
}

static void run(const char *directory, uint64_t number, time_t deadline)
{
    struct timespec now;
    set_limits();
    make_store(directory, number);
    memset(&journal->model[0], 0, sizeof journal->model[0]);
    for (int i = 0; i < 40; i++) {
        bool died = dies();
        deaths += died;
        deaths_at_files += died && only_disk;
        come_after();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= deadline)
            break;
    }
    lose_images();
}

int main(int count, char **arguments)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", command[128];
    int seconds = count > 1 ? atoi(arguments[1]) : 8;
    struct timespec now;
    test_begin();
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0 && mkdtemp(directory) != NULL);
    journal =
        mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(journal != MAP_FAILED);
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t deadline = now.tv_sec + seconds;
    for (uint64_t runs = 0; now.tv_sec < deadline; runs++) {
        run(directory, runs, deadline);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
    CHECK(verified_pages > 20 * deaths); /* the checksums count after a death */
    printf("%" PRIu64 " deaths, %" PRIu64 " of them at a write or sync; %" PRIu64
           " pages have their checksums\n",
           deaths, deaths_at_files, verified_pages);
    return 0;
}

#else

int main(void)
{
    return 77; /* skipped */
}

#endif
