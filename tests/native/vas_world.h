// SPDX-License-Identifier: Apache-2.0
/*
 * vas_world.h: segments, and VASes of them that no catalog has: what their records say is a table
 * here, with a generation.
 */
#ifndef SJ_TESTS_VAS_WORLD_H
#define SJ_TESTS_VAS_WORLD_H

#include "harness.h"

#include <pthread.h>

#include "persistence/user.h"
#include "spacejmp/hold.h"
#include "spacejmp/park.h"
#include "spacejmp/vas.h"

#define WORLD_PARTS 80
#define WORLD_RW    (SJ_RIGHT_READ | SJ_RIGHT_WRITE)

static const struct sj_wait patient = {.timeout_s = 60};
static const struct sj_wait brief = {.timeout_s = 0.05};

struct world_segment {
    char path[96];
    char lock[96];
    uint64_t base;
    uint64_t reserved;
    uint64_t word; /* the address of a word in it */
    uint8_t uuid[16];
};

struct world_part {
    const struct world_segment *segment;
    uint32_t rights;
    uint32_t window;
    bool lockable;
};

/* A record. */
struct world_vas {
    uint64_t generation;
    bool strict;
    bool gone;
    uint32_t reads;
    uint32_t closes;
    uint32_t count;
    struct world_part part[WORLD_PARTS];
    uint8_t uuid[16];
};

static inline struct sj_space *world_space(const struct world_segment *segment)
{
    struct sj_attach_options options = {.writable = true, .wait = patient};
    struct sj_space *space;
    CHECK_OK(sj_space_attach(segment->path, segment->lock, &options, &space));
    return space;
}

/* A segment with one word in it, which is 0. */
static inline void world_make(struct world_segment *segment, const char *name, uint64_t base,
                              uint64_t gib)
{
    struct sj_segment_spec spec = {name, base, gib * SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    snprintf(segment->path, sizeof segment->path, "%s/%s.seg", test_directory, name);
    snprintf(segment->lock, sizeof segment->lock, "%s/%s.lock", test_directory, name);
    segment->base = base;
    segment->reserved = gib * SJ_GIB;
    CHECK_OK(sj_segment_create(segment->path, &spec));
    struct sj_space *space = world_space(segment);
    memcpy(segment->uuid, space->segment->uuid, 16);
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_user_alloc(space->segment, 64, &segment->word));
    *(uint64_t *)(uintptr_t)segment->word = 0;
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_space_detach(space, &patient));
}

static inline void world_add(struct world_vas *vas, const struct world_segment *segment,
                             uint32_t rights, uint32_t window, bool lockable)
{
    CHECK(vas->count < WORLD_PARTS);
    vas->part[vas->count++] = (struct world_part){segment, rights, window, lockable};
}

/* Two lockable segments, not in the order of their bases. */
static inline struct world_vas world_of(const struct world_segment *one,
                                        const struct world_segment *two)
{
    struct world_vas vas = {.generation = 2};
    world_add(&vas, two, WORLD_RW, SJ_WINDOW_ALL, true);
    world_add(&vas, one, WORLD_RW, SJ_WINDOW_ALL, true);
    return vas;
}

static inline int world_read(void *context, struct sj_vas_contents *contents)
{
    struct world_vas *vas = context;
    vas->reads++;
    if (vas->gone)
        return sj_error(SJ_ENOTFOUND, "the record is gone");
    contents->part = calloc(vas->count + 1, sizeof *contents->part);
    CHECK(contents->part != NULL);
    contents->count = vas->count;
    contents->strict = vas->strict;
    for (uint32_t i = 0; i < vas->count; i++) {
        const struct world_part *part = &vas->part[i];
        contents->part[i] = (struct sj_vas_part){.segment_path = part->segment->path,
                                                 .lock_path = part->segment->lock,
                                                 .rights = part->rights,
                                                 .window = part->window,
                                                 .lockable = part->lockable};
        memcpy(contents->part[i].uuid, part->segment->uuid, 16);
    }
    return SJ_OK;
}

static inline void world_close(void *context)
{
    struct world_vas *vas = context;
    vas->closes++;
}

static inline int world_try_attach(struct world_vas *vas, uint32_t rights,
                                   const struct sj_wait *wait, struct sj_vas **vh)
{
    struct sj_vas_source source = {.name = "world",
                                   .place = test_directory,
                                   .read = world_read,
                                   .generation = &vas->generation,
                                   .context = vas,
                                   .close = world_close};
    memcpy(source.uuid, &vas, sizeof vas);
    return sj_vas_attach_source(&source, rights, wait, vh);
}

static inline struct sj_vas *world_attach(struct world_vas *vas)
{
    struct sj_vas *vh;
    CHECK_OK(world_try_attach(vas, SJ_RIGHT_READ | SJ_RIGHT_WRITE, &patient, &vh));
    return vh;
}

/* Whether its superblock lies at its base. */
static inline bool world_is_home(const struct world_segment *segment)
{
    const char *uuid = (const char *)(uintptr_t)segment->base + 56;
    return memcmp(uuid, segment->uuid, 16) == 0;
}

/* Bytes that are mapped in [first, end). */
static inline uint64_t world_mapped(uint64_t first, uint64_t end)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long long at, until;
    uint64_t bytes = 0;
    char line[512];
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%llx-%llx", &at, &until) == 2 && at >= first && until <= end)
            bytes += until - at;
    fclose(maps);
    return bytes;
}

/* Nothing is attached, and nothing is left of it. */
static inline void world_is_clean(void)
{
    char name[SJ_NAME_MAX + 1];
    uint64_t base, reserved;
    CHECK(!sj_space_nth(0, name, &base, &reserved));
    CHECK(world_mapped(SJ_PARKING_FIRST, SJ_PARKING_END) == 0);
    CHECK(world_mapped(SJ_ARENA_FIRST, SJ_ARENA_END) == 0);
}

#endif
