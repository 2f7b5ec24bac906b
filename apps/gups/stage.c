// SPDX-License-Identifier: Apache-2.0
/* stage.c: tables in segments, and mappings of their files (stage.h). */
#include "apps/gups/stage.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "persistence/heap.h"
#include "spacejmp/hold.h"

int gups_block_make(struct sj_space *space, uint64_t bytes, void **at)
{
    struct sj_segment *segment = space->segment;
    void *block = NULL;
    int error = sj_enter_write(space, NULL);
    if (error != SJ_OK)
        return error;
    error = sj_tx_op_begin(segment);
    if (error == SJ_OK) {
        error = sj_heap_alloc(segment, bytes + 2 * SJ_PAGE, &block);
        if (error == SJ_OK) {
            ((struct sj_block *)block)->kind = SJ_KIND_BLOB;
            sj_tx_ready(segment);
            error = sj_tx_op_commit(segment);
        } else {
            error = sj_tx_op_abort(segment, error);
        }
    }
    *at = (void *)(((uintptr_t)block + sizeof(struct sj_block) + SJ_PAGE - 1) & ~(SJ_PAGE - 1));
    int left = sj_leave(space);
    return error == SJ_OK ? left : error;
}

/* ------------------------------------------------------------------ mappings */

static int no_room(uint64_t bytes)
{
    return sj_error(SJ_ENOMEM, "mmap of %llu bytes: %s", (unsigned long long)bytes,
                    strerror(errno));
}

static int reserve(uint64_t bytes, void **mapped)
{
    *mapped = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return *mapped == MAP_FAILED ? no_room(bytes) : SJ_OK;
}

int gups_flat_map(struct gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                  uint64_t *bytes)
{
    uint64_t table_bytes = words * sizeof(uint64_t);
    *bytes = (count + 1) * SJ_GIB;
    int error = reserve(*bytes, mapped);
    if (error != SJ_OK)
        return error;
    uint64_t first = ((uintptr_t)*mapped + SJ_GIB - 1) / SJ_GIB * SJ_GIB;
    for (uint32_t i = 0; i < count; i++) {
        SJ_ASSERT(windows[i].offset + table_bytes <= SJ_GIB);
        void *at = (void *)(uintptr_t)(first + i * SJ_GIB + windows[i].offset);
        if (mmap(at, table_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, windows[i].fd,
                 (off_t)windows[i].offset) == MAP_FAILED) {
            error = no_room(table_bytes);
            munmap(*mapped, *bytes);
            return error;
        }
        windows[i].flat = at;
    }
    return SJ_OK;
}

int gups_room_make(struct gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                   uint64_t *bytes)
{
    uint64_t room = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = windows[i].offset + words * sizeof(uint64_t);
        room = end > room ? end : room;
    }
    *bytes = (room + SJ_GIB - 1) / SJ_GIB * SJ_GIB + SJ_GIB;
    int error = reserve(*bytes, mapped);
    if (error != SJ_OK)
        return error;
    uint64_t first = ((uintptr_t)*mapped + SJ_GIB - 1) / SJ_GIB * SJ_GIB;
    for (uint32_t i = 0; i < count; i++)
        windows[i].table = (uint64_t *)(uintptr_t)(first + windows[i].offset);
    return SJ_OK;
}

/* A kernel before 5.14 says EINVAL: then the first updates fault. */
void gups_populate(void *at, uint64_t bytes)
{
    madvise(at, bytes, MADV_POPULATE_WRITE);
}

int gups_vases_populate(const struct gups_window *windows, uint32_t count, uint64_t words)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = sj_vas_switch(windows[i].vas, 0, NULL);
        if (error != SJ_OK)
            return error;
        gups_populate(windows[i].table, words * sizeof(uint64_t));
    }
    return sj_vas_switch(NULL, 0, NULL);
}

/* ------------------------------------------------------------------ VASes */

/* The two segments of a VAS, which never change. */
struct pair {
    uint8_t uuid[2][16];
    char path[4][PATH_MAX]; /* of segment and lock, of segment and lock */
};

static int read_pair(void *context, struct sj_vas_contents *contents)
{
    const struct pair *pair = context;
    struct sj_vas_part *part = calloc(2, sizeof *part);
    if (part == NULL)
        return sj_error(SJ_ENOMEM, "the segments of a window");
    for (uint32_t i = 0; i < 2; i++) {
        part[i] = (struct sj_vas_part){
            .segment_path = pair->path[2 * i],
            .lock_path = pair->path[2 * i + 1],
            .rights = SJ_RIGHT_READ | SJ_RIGHT_WRITE,
            .window = SJ_WINDOW_ALL,
            .lockable = i == 0,
        };
        memcpy(part[i].uuid, pair->uuid[i], sizeof part[i].uuid);
    }
    *contents = (struct sj_vas_contents){.part = part, .count = 2};
    return SJ_OK;
}

int gups_vas_attach(const struct gups_segment *window, const struct gups_segment *heap,
                    struct sj_vas **vas)
{
    static const struct sj_wait patient = {.timeout_s = 10};
    const struct gups_segment *segment[2] = {window, heap};
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL)
        return sj_error(SJ_ENOMEM, "the segments of a window");
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(pair->path[2 * i], PATH_MAX, "%s", segment[i]->path);
        snprintf(pair->path[2 * i + 1], PATH_MAX, "%s", segment[i]->lock_path);
        memcpy(pair->uuid[i], segment[i]->uuid, sizeof pair->uuid[i]);
    }
    struct sj_vas_source source = {
        .place = pair->path[0],
        .name = "window",
        .read = read_pair,
        .context = pair,
        .close = free,
    };
    memcpy(source.uuid, window->uuid, sizeof source.uuid);
    return sj_vas_attach_source(&source, SJ_RIGHT_READ | SJ_RIGHT_WRITE, &patient, vas);
}

struct sj_space *gups_vas_space(struct sj_vas *vas, const uint8_t *uuid)
{
    struct sj_vas_member member;
    for (uint32_t i = 0; sj_vas_member(vas, i, &member); i++)
        if (memcmp(member.uuid, uuid, sizeof member.uuid) == 0)
            return member.space;
    return NULL;
}

/* ------------------------------------------------------------------ tables */

void gups_table_fill(uint64_t *table, uint64_t words)
{
    for (uint64_t i = 0; i < words; i++)
        table[i] = i;
}

uint64_t gups_table_errors(const uint64_t *table, uint64_t words)
{
    uint64_t errors = 0;
    for (uint64_t i = 0; i < words; i++)
        errors += table[i] != i;
    return errors;
}
