// SPDX-License-Identifier: Apache-2.0
/*
 * test_wal_crash.c: power loss, at every sync, of a `wal` store: whatever of the unsynced sectors
 * is on the disk, the store opens, is sound, and has all operations up to one at or after the last
 * acknowledged one. Then it goes on, and power is lost again.
 *
 * Log files, records and ring are small here, so that epochs turn and transactions are streamed
 * often; checkpoints are interleaved with operations of another writer.
 *
 *   test_wal_crash [seconds]
 *
 * Only in a build with -DSJ_SEAM.
 */
#include "wal_world.h"

#ifdef SJ_SEAM

#include "wal_disk.h"

#define HISTORY_MAX 512
#define OPERATIONS  28

struct history {
    uint64_t digest[HISTORY_MAX]; /* after so many operations */
};

/* The store that is run now, and what has become of its contents. */
static struct live {
    struct world world;
    struct model model;
    struct history *history;
    bool in_checkpoint, in_interlude;
} *live;

static uint64_t states, deep_states, looks, operations;
static char scratch[80];
static time_t deadline;

static bool time_is_up(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec >= deadline;
}

/* ------------------------------------------------------------------ operations */

static void operation_ends(void)
{
    CHECK(disk_begun < HISTORY_MAX);
    live->history->digest[disk_begun] = live->model.digest;
    operations++;
}

static void acknowledge(void)
{
    CHECK_OK(world_acknowledge(live->world.segment));
    disk_acknowledged = disk_begun;
}

static void change(void)
{
    disk_begun++;
    CHECK_OK(world_change_any(&live->world, &live->model));
    operation_ends();
}

static void transaction(uint32_t changes, bool commit)
{
    disk_begun++;
    CHECK_OK(world_transaction(&live->world, &live->model, changes, commit));
    operation_ends();
}

static void checkpoint(void)
{
    live->in_checkpoint = true;
    CHECK_OK(sj_wal_checkpoint(live->world.segment));
    live->in_checkpoint = false;
}

/* Another thread's operation while a checkpoint is being written. */
static void interlude(uint32_t file)
{
    if (!live->in_checkpoint || live->in_interlude || file != 0 || test_below(3) != 0)
        return;
    live->in_interlude = true;
    change();
    if (test_below(2) == 0)
        acknowledge();
    live->in_interlude = false;
}

static void open_live(const char *directory)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(disk_path(directory, 0), true, true, false, &segment));
    segment->wal->stop = true; /* no checkpoints but those of the test */
    CHECK(world_find(&live->world, segment));
}

static void reopen(const char *directory)
{
    acknowledge();
    CHECK_OK(sj_segment_close(live->world.segment, true));
    open_live(directory);
}

static void operate(const char *directory)
{
    switch (test_below(24)) {
    case 0:
        transaction(12 + (uint32_t)test_below(30), true); /* streamed */
        break;
    case 1:
        transaction(12 + (uint32_t)test_below(30), false);
        break;
    case 2:
    case 3:
        transaction(2 + (uint32_t)test_below(6), true);
        break;
    case 4:
    case 5:
    case 6:
        checkpoint();
        break;
    case 7:
        CHECK_OK(sj_segment_sync(live->world.segment));
        disk_acknowledged = disk_begun;
        break;
    case 8:
        if (test_below(3) == 0)
            reopen(directory);
        break;
    default:
        change();
    }
    if (test_below(3) != 0)
        acknowledge();
}

/* ------------------------------------------------------------------ what is left of it */

static void matches(const struct disk *disk, const struct world *world,
                    const struct history *history, uint32_t *found)
{
    uint64_t contents = world_contents(world);
    for (uint32_t i = disk->acknowledged; i <= disk->begun; i++) {
        if (history->digest[i] == contents) {
            *found = i;
            return;
        }
    }
    fprintf(stderr,
            "after power loss: the contents are none of those after operations %u to %u "
            "(look %" PRIu64 ", state %" PRIu64 ", seed %" PRIu64 ")\n",
            disk->acknowledged, disk->begun, disk->looks, disk->states, test_seed);
    for (uint32_t i = 0; i < disk->acknowledged; i++)
        if (history->digest[i] == contents)
            fprintf(stderr, "they are those after operation %u\n", i);
    exit(1);
}

static struct sj_segment *power_on(const struct disk *disk, const struct history *history,
                                   struct world *world, uint32_t *found)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(disk_path(scratch, 0), true, true, false, &segment));
    segment->wal->stop = true;
    CHECK(world_find(world, segment));
    matches(disk, world, history, found);
    world_check(world);
    return segment;
}

/* A state after two crashes. Sometimes it is closed, and must be the same when it is opened. */
static void visit_deep(struct disk *disk)
{
    struct world world;
    uint32_t found, again;
    if (time_is_up())
        return;
    disk_current = NULL;
    disk_store(disk, scratch);
    struct sj_segment *segment = power_on(disk, disk->context, &world, &found);
    deep_states++;
    if (test_below(16) != 0) {
        world_abandon(segment, true);
        return;
    }
    CHECK_OK(sj_segment_close(segment, true));
    segment = power_on(disk, disk->context, &world, &again);
    CHECK(again == found);
    world_abandon(segment, true);
}

/* The model that has such contents, as far as operations need it: which keys are there. */
static void model_of(const struct world *world, struct model *model)
{
    memset(model, 0, sizeof *model);
    for (uint32_t number = 0; number < WORLD_KEYS; number++) {
        struct sj_key key = {.word = number};
        struct sj_value value;
        for (uint32_t s = 0; s < 2; s++) {
            int error = s == 0 ? sj_btree_get(&world->tree, &key, &value)
                               : sj_hashmap_get(&world->map, &key, &value);
            for (uint32_t v = 1; error == SJ_OK && model->version[s][number] == 0; v++) {
                struct sj_value made = world_value(number, v);
                CHECK(v < 60001);
                if (made.size == value.size && memcmp(made.bytes, value.bytes, made.size) == 0)
                    model_set(model, s, number, v);
            }
        }
    }
    CHECK(model->digest == world_contents(world));
}

static void visit(struct disk *disk)
{
    if (time_is_up())
        return;
    struct live *before = live, after = {.history = calloc(1, sizeof *after.history)};
    uint32_t begun = disk_begun, acknowledged = disk_acknowledged, found;
    bool goes_on = test_below(24) == 0;
    struct disk_trace trace;
    CHECK(after.history != NULL);
    disk_current = NULL;
    disk_store(disk, scratch);
    if (goes_on) {
        disk_begun = disk_acknowledged = 0;
        disk_record(&trace, scratch);
    }
    struct sj_segment *segment = power_on(disk, disk->context, &after.world, &found);
    if (goes_on) {
        live = &after;
        model_of(&after.world, &after.model);
        after.history->digest[0] = after.model.digest;
        for (int i = 0; i < 3; i++)
            operate(scratch);
        segment = after.world.segment;
        disk_current = NULL;
    }
    world_abandon(segment, true);
    if (goes_on) {
        struct disk deep = {.trace = &trace,
                            .visit = visit_deep,
                            .context = after.history,
                            .random = 2,
                            .page = disk->page};
        disk_walk(&deep, disk_begun, disk_acknowledged);
        disk_forget(&trace);
    }
    live = before;
    disk_begun = begun;
    disk_acknowledged = acknowledged;
    free(after.history);
    states++;
}

/* ------------------------------------------------------------------ runs */

static void make_store(const char *directory)
{
    struct sj_segment *segment;
    for (uint32_t i = 0; i < DISK_FILES; i++)
        unlink(disk_path(directory, i));
    world_create(disk_path(directory, 0));
    CHECK_OK(sj_segment_open(disk_path(directory, 0), true, true, false, &segment));
    world_root(segment, "tree", SJ_KIND_BTREE);
    world_root(segment, "map", SJ_KIND_HASHMAP);
    CHECK_OK(sj_segment_close(segment, true));
}

/* A run on disk has sectors of what that disk has; one in tmpfs has pages. */
static void run(const char *disk_directory, bool in_tmpfs)
{
    struct live now = {.history = calloc(1, sizeof *now.history)};
    const char *directory = in_tmpfs ? test_directory : disk_directory;
    struct disk_trace trace;
    CHECK(now.history != NULL);
    live = &now;
    disk_begun = disk_acknowledged = 0;
    sj_wal_log_step = 4096 * (3 + test_below(4));
    sj_wal_log_limit = 4096 * (3 + test_below(6));
    sj_wal_record_limit = 1024 * (1 + test_below(6));
    sj_wal_ring_limit = sj_wal_record_limit * (1 + test_below(3));
    make_store(disk_directory);
    if (in_tmpfs) {
        struct disk copy = {.trace = &trace};
        disk_record(&trace, disk_directory);
        memcpy(copy.certain, trace.start, sizeof copy.certain);
        disk_store(&copy, directory);
        disk_forget(&trace);
    }

    disk_interlude = interlude;
    disk_record(&trace, directory);
    open_live(directory);
    for (int i = 0; i < OPERATIONS; i++)
        operate(directory);
    disk_current = NULL;
    world_abandon(now.world.segment, true);

    struct disk disk = {.trace = &trace,
                        .visit = visit,
                        .context = now.history,
                        .random = 6,
                        .page = test_below(2) == 0 ? SJ_PAGE : DISK_SECTOR};
    disk_walk(&disk, disk_begun, disk_acknowledged);
    looks += disk.looks;
    disk_forget(&trace);
    free(now.history);
}

int main(int count, char **arguments)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", command[128];
    int seconds = count > 1 ? atoi(arguments[1]) : 12;
    uint64_t runs = 0;
    test_begin();
    snprintf(scratch, sizeof scratch, "%s/scratch", test_directory);
    CHECK(mkdir(scratch, 0700) == 0);
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0);
    CHECK(mkdtemp(directory) != NULL);
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    deadline = begin.tv_sec + seconds;
    do
        run(directory, runs++ % 2 == 0);
    while (!time_is_up());
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
    printf("%" PRIu64 " runs, %" PRIu64 " operations, %" PRIu64 " looks, %" PRIu64
           " states, %" PRIu64 " after two crashes\n",
           runs, operations, looks, states, deep_states);
    return 0;
}

#else

int main(void)
{
    return 77; /* skipped */
}

#endif
