// SPDX-License-Identifier: Apache-2.0
/*
 * clone_world.h: a store with a history, in a directory of its own, and what is cloned from it.
 */
#ifndef SJ_TESTS_CLONE_WORLD_H
#define SJ_TESTS_CLONE_WORLD_H

#include "wal_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "persistence/clone.h"

static char directory[64];

static inline const char *path_of(const char *name)
{
    static char paths[4][128];
    static uint32_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s.seg", directory, name);
    return path;
}

static inline void remove_files(const char *name)
{
    static const char *const suffixes[] = {"", ".sum", ".log0", ".log1"};
    for (uint32_t i = 0; i < 4; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", path_of(name), suffixes[i]);
        unlink(path);
    }
}

static inline struct sj_segment *reopen(const char *name, bool writable)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(path_of(name), writable, true, false, &segment));
    return segment;
}

/* A store with a history: some of it was undone, some deleted. */
static inline struct sj_segment *make_source(enum sj_durability durability, struct model *model)
{
    struct sj_segment_spec spec = {"source", TEST_BASE, SJ_GIB, 0640, durability};
    remove_files("source");
    CHECK_OK(sj_segment_create(path_of("source"), &spec));
    struct sj_segment *segment = reopen("source", true);
    struct world world;
    world_root(segment, "tree", SJ_KIND_BTREE);
    world_root(segment, "map", SJ_KIND_HASHMAP);
    CHECK(world_find(&world, segment));
    memset(model, 0, sizeof *model);
    for (uint32_t i = 0; i < 300; i++)
        CHECK_OK(world_change_any(&world, model));
    CHECK_OK(world_transaction(&world, model, 40, false));
    CHECK_OK(world_transaction(&world, model, 40, true));
    if (durability == SJ_DURABILITY_POWER)
        CHECK_OK(world_acknowledge(segment));
    return segment;
}

/* Everything in it is sound, and what the model says; how many pages were verified. */
static inline uint64_t sound(struct sj_segment *segment, const struct model *model)
{
    struct world world;
    struct sj_check_report report;
    CHECK(world_find(&world, segment));
    CHECK(world_contents(&world) == model->digest);
    CHECK_OK(sj_check(segment, &report));
    CHECK(report.census.leaked_blocks == 0);
    return report.verified_pages;
}

#endif
