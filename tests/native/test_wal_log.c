// SPDX-License-Identifier: Apache-2.0
/*
 * test_wal_log.c: log and image of a `wal` store that somebody damages, and a log whose checkpoints
 * do not keep up.
 *
 * Of a log, damage is found wherever it hides more than the last batch, which cannot be told from
 * one that a power loss has cut off. Of an image that is cut short while it is open, nothing is
 * believed, and what was acknowledged is in the log.
 */
#include "wal_world.h"

#ifdef SJ_SEAM

#include <fcntl.h>
#include <sys/stat.h>

#define CHANGES 120

static char store_path[96], copy_path[96];
static struct model history[CHANGES + 1];

static struct sj_segment *open_store(const char *path, struct world *world)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(path, true, true, false, &segment));
    segment->wal->stop = true; /* no thread: checkpoints are written where the test says */
    CHECK(world_find(world, segment));
    return segment;
}

static void run_shell(const char *command)
{
    CHECK(system(command) == 0);
}

static void lose_images(void)
{
    char command[160];
    snprintf(command, sizeof command, "rm -f '%s'/spacejmp-*", test_directory);
    run_shell(command);
}

static void make_store(const char *directory)
{
    struct sj_segment *segment;
    char command[400];
    snprintf(store_path, sizeof store_path, "%s/store.seg", directory);
    world_create(store_path);
    CHECK_OK(sj_segment_open(store_path, true, true, false, &segment));
    world_root(segment, "tree", SJ_KIND_BTREE);
    world_root(segment, "map", SJ_KIND_HASHMAP);
    CHECK_OK(sj_segment_close(segment, true));
    /* In tmpfs syncs cost nothing; the store can only be made elsewhere. */
    snprintf(command, sizeof command, "mkdir '%s/at' '%s/copy' && mv %s/store.seg* '%s/at'",
             test_directory, test_directory, directory, test_directory);
    run_shell(command);
    snprintf(store_path, sizeof store_path, "%s/at/store.seg", test_directory);
    snprintf(copy_path, sizeof copy_path, "%s/copy/store.seg", test_directory);
}

static uint64_t log_bytes(const struct sj_segment *segment)
{
    uint64_t most = 0;
    for (int i = 0; i < 2; i++) {
        struct stat status;
        CHECK(fstat(segment->wal->log[i].fd, &status) == 0);
        most = (uint64_t)status.st_size > most ? (uint64_t)status.st_size : most;
    }
    return most;
}

/* ------------------------------------------------------------------ the bound */

/* Nobody writes checkpoints but those who commit. (Once a log grew to 23 GB.) */
static void the_log_is_bounded(bool acknowledge)
{
    struct world world;
    struct model model = history[0];
    struct sj_segment *segment = open_store(store_path, &world);
    uint64_t limit = sj_wal_log_bound + sj_wal_log_step + 2 * SJ_WAL_RING, most = 0;
    for (int i = 0; i < 4000; i++) {
        CHECK_OK(world_change_any(&world, &model));
        if (acknowledge)
            CHECK_OK(world_acknowledge(segment));
        uint64_t bytes = log_bytes(segment);
        most = bytes > most ? bytes : most;
        CHECK(bytes <= limit);
    }
    CHECK(most > sj_wal_log_limit);
    CHECK(world_contents(&world) == model.digest);
    CHECK_OK(world_acknowledge(segment));
    world_abandon(segment, true);
    segment = open_store(store_path, &world);
    CHECK(world_contents(&world) == model.digest);
    CHECK_OK(sj_segment_close(segment, true));
    history[0] = model;
}

/* ------------------------------------------------------------------ damage of the log */

static void make_history(void)
{
    struct world world;
    struct sj_segment *segment = open_store(store_path, &world);
    struct model model = history[0];
    for (int i = 0; i < CHANGES; i++) {
        uint64_t before = model.digest;
        while (model.digest == before)
            CHECK_OK(world_change_any(&world, &model));
        CHECK_OK(world_acknowledge(segment));
        history[i + 1] = model;
        if (i == CHANGES / 2)
            CHECK_OK(sj_wal_checkpoint(segment));
    }
    world_abandon(segment, true);
}

static void copy_store(void)
{
    char command[400];
    snprintf(command, sizeof command, "cp '%s'/at/* '%s/copy/'", test_directory, test_directory);
    run_shell(command);
}

/* Opens the copy: the contents are those after the last change or the last but one, or the damage
 * is told. */
static void look_at_copy(const char *what, uint64_t at, uint64_t *told, uint64_t *shorter)
{
    struct sj_segment *segment;
    struct world world;
    int error = sj_segment_open(copy_path, true, true, false, &segment);
    if (error != SJ_OK) {
        CHECK(error == SJ_ECORRUPT);
        ++*told;
        return;
    }
    segment->wal->stop = true;
    CHECK(world_find(&world, segment));
    world_check(&world);
    uint64_t contents = world_contents(&world);
    if (contents == history[CHANGES - 1].digest) {
        ++*shorter;
    } else if (contents != history[CHANGES].digest) {
        fprintf(stderr,
                "%s at %" PRIu64 ": acknowledged changes are silently lost (seed %" PRIu64 ")\n",
                what, at, test_seed);
        exit(1);
    }
    world_abandon(segment, true);
}

/* A random bit of that byte of a copy. */
static void flip(const char *name, uint64_t at, uint64_t *told, uint64_t *shorter)
{
    uint8_t byte;
    copy_store();
    int fd = open(name, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= (uint8_t)(1u << test_below(8));
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1 && close(fd) == 0);
    look_at_copy("a flipped bit", at, told, shorter);
}

static void damage_of_the_log_is_found(void)
{
    char name[128];
    struct stat status;
    uint64_t told = 0, shorter = 0, tries = 0;
    for (int file = 0; file < 2; file++) {
        snprintf(name, sizeof name, "%s.log%d", store_path, file);
        CHECK(stat(name, &status) == 0);
        snprintf(name, sizeof name, "%s.log%d", copy_path, file);
        for (uint64_t sector = 0; sector < (uint64_t)status.st_size; sector += 512) {
            flip(name, sector + test_below(sizeof(struct sj_wal_batch)), &told, &shorter);
            flip(name, sector + test_below(512), &told, &shorter);
            copy_store();
            CHECK(truncate(name, (off_t)sector) == 0);
            look_at_copy("cut off", sector, &told, &shorter);
            tries += 3;
        }
        copy_store();
        CHECK(unlink(name) == 0);
        look_at_copy("removed", 0, &told, &shorter);
    }
    printf("%" PRIu64 " damaged logs: %" PRIu64 " told, %" PRIu64 " without the last batch\n",
           tries, told, shorter);
    CHECK(told > 0 && told < tries);
}

/* ------------------------------------------------------------------ loss of the image */

/* Cuts the image at each of these while the store is open, and uses it until that is noticed. */
static void a_cut_image_is_noticed(void)
{
    const uint64_t reserved = SJ_GIB, head = sizeof(struct sj_wal_shared);
    const uint64_t cuts[] = {0, SJ_CHUNK_DIR_AT, reserved, reserved + head,
                             reserved + head + SJ_WAL_RING / 2};
    struct model model = history[CHANGES];
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct world world;
        struct sj_segment *segment = open_store(store_path, &world);
        CHECK(world_contents(&world) == model.digest);
        int error = SJ_OK;
        for (int change = 0; change < 5; change++) {
            CHECK_OK(world_change_any(&world, &model));
            CHECK_OK(world_acknowledge(segment));
        }
        struct model acknowledged = model;
        CHECK(truncate(segment->wal->image_path, (off_t)cuts[i]) == 0);
        for (int change = 0; change < 2000 && error == SJ_OK; change++) {
            error = world_change_any(&world, &model);
            if (error == SJ_OK && !sj_segment_is_damaged(segment))
                error = world_acknowledge(segment);
            if (error == SJ_OK && !sj_segment_is_damaged(segment))
                acknowledged = model;
            else
                break;
        }
        CHECK(sj_segment_is_damaged(segment));
        CHECK(sj_wal_usable(segment) == SJ_EDAMAGED);
        (void)sj_wal_take_unacknowledged(segment);
        CHECK(sj_segment_close(segment, true) == SJ_EDAMAGED);
        model = acknowledged;
        segment = open_store(store_path, &world);
        CHECK(world_contents(&world) == model.digest);
        world_check(&world);
        CHECK_OK(sj_segment_close(segment, true));
    }
}

int main(void)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX";
    test_begin();
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0 && mkdtemp(directory) != NULL);
    sj_wal_log_step = 4 * SJ_PAGE;
    sj_wal_log_limit = 8 * SJ_PAGE;
    sj_wal_log_bound = 32 * SJ_PAGE;
    make_store(directory);
    CHECK(rmdir(directory) == 0);
    the_log_is_bounded(true);
    the_log_is_bounded(false);
    sj_wal_log_limit = 16 * SJ_PAGE;
    make_history();
    damage_of_the_log_is_found();
    lose_images();
    a_cut_image_is_noticed();
    return 0;
}

#else

int main(void)
{
    return 77; /* skipped */
}

#endif
