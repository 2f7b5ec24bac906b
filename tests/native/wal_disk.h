// SPDX-License-Identifier: Apache-2.0
/*
 * wal_disk.h: what was written to the three files of a `wal` store, and every disk that a power
 * loss may leave of it.
 *
 * Fault model. A file is units: sectors of 512 bytes; those of the segment file, which goes through
 * the page cache, may be pages. A sync of a file makes certain what was written to it before.
 * Of the writes since, each unit has any one, or none: units and files are independent of each
 * other. A file that has grown or was cut since its last sync has either length, or as much as the
 * units that are there ask for.
 *
 * It suffices to look before each sync, and at the end: the disks of any moment before are among
 * those of the next look, and nothing is acknowledged between two syncs but what was certain.
 */
#ifndef SJ_TESTS_WAL_DISK_H
#define SJ_TESTS_WAL_DISK_H

#include <fcntl.h>
#include <sys/stat.h>

#include "harness.h"

#include "persistence/checksum.h"
#include "persistence/seam.h"

#define DISK_FILES       3 /* segment, log 0, log 1 */
#define DISK_SECTOR      512ull
#define DISK_CAP         64 /* states of a look that are all tried */
#define DISK_UNITS_MAX   16384
#define DISK_BYTES_MAX   (8ull << 20) /* of a file */
#define DISK_STATES_SEEN (1u << 16)

static const char *const disk_suffix[DISK_FILES] = {".seg", ".seg.log0", ".seg.log1"};

struct disk_event {
    char *data; /* NULL: a sync */
    uint64_t at;
    uint64_t bytes;
    uint64_t size; /* of the file, before the write or after the sync */
    uint32_t file;
    uint32_t begun, acknowledged; /* operations, when it happened */
};

struct disk_content {
    char *bytes;
    uint64_t size;
};

struct disk_trace {
    struct disk_content start[DISK_FILES];
    struct disk_event *event;
    uint32_t count, capacity;
};

/* ------------------------------------------------------------------ recording */

static struct disk_trace *disk_current;
static uint32_t disk_begun, disk_acknowledged;
static void (*disk_interlude)(uint32_t file); /* after a write was recorded */

static inline char *disk_path(const char *directory, uint32_t file)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/store%s", directory, disk_suffix[file]);
    return path;
}

static inline ssize_t disk_path_of(int fd, char path[256])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 255);
    CHECK(length > 0);
    path[length] = '\0';
    return length;
}

/* The checksums, of which nothing here depends; or they have no name yet. */
static inline bool disk_is_sums(int fd)
{
    char path[256];
    disk_path_of(fd, path);
    return strstr(path, ".seg.sum") != NULL || strstr(path, "/#") != NULL;
}

static inline uint32_t disk_file_of(int fd)
{
    char path[256];
    ssize_t length = disk_path_of(fd, path);
    for (uint32_t i = 0; i < DISK_FILES; i++) {
        size_t suffix = strlen(disk_suffix[i]);
        if ((size_t)length > suffix && strcmp(path + length - suffix, disk_suffix[i]) == 0)
            return i;
    }
    CHECK(!"a file of the store");
    return 0;
}

static inline void disk_hook(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    struct disk_trace *trace = disk_current;
    struct stat status;
    if (trace == NULL || disk_is_sums(fd))
        return;
    CHECK(fstat(fd, &status) == 0 && count % DISK_SECTOR == 0 && at % DISK_SECTOR == 0);
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity == 0 ? 256 : 2 * trace->capacity;
        trace->event = realloc(trace->event, trace->capacity * sizeof *trace->event);
        CHECK(trace->event != NULL);
    }
    struct disk_event *event = &trace->event[trace->count++];
    *event = (struct disk_event){.at = at,
                                 .bytes = count,
                                 .size = (uint64_t)status.st_size,
                                 .file = disk_file_of(fd),
                                 .begun = disk_begun,
                                 .acknowledged = disk_acknowledged};
    if (bytes != NULL) {
        event->data = malloc(count);
        CHECK(event->data != NULL);
        memcpy(event->data, bytes, count);
        if (disk_interlude != NULL)
            disk_interlude(event->file);
    }
}

/* Records what happens to the files in the directory from now on; nothing before waits for a
 * sync. */
static inline void disk_record(struct disk_trace *trace, const char *directory)
{
    *trace = (struct disk_trace){.count = 0};
    for (uint32_t i = 0; i < DISK_FILES; i++) {
        struct stat status;
        int fd = open(disk_path(directory, i), O_RDONLY);
        struct disk_content *content = &trace->start[i];
        if (fd >= 0) {
            CHECK(fstat(fd, &status) == 0);
            content->size = (uint64_t)status.st_size;
            content->bytes = malloc(content->size + 1);
            CHECK(content->bytes != NULL);
            CHECK(pread(fd, content->bytes, content->size, 0) == status.st_size);
            close(fd);
        }
    }
    disk_current = trace;
    sj_seam_disk_hook = disk_hook;
}

static inline void disk_forget(struct disk_trace *trace)
{
    for (uint32_t i = 0; i < DISK_FILES; i++)
        free(trace->start[i].bytes);
    for (uint32_t i = 0; i < trace->count; i++)
        free(trace->event[i].data);
    free(trace->event);
}

/* ------------------------------------------------------------------ states */

/* A unit that was written to since its file's last sync. */
struct disk_unit {
    uint64_t at;
    uint32_t file;
    uint32_t count; /* writes */
    uint32_t taken; /* the one that is there: 0: none, else its number + 1 */
    uint32_t event[16];
};

struct disk {
    const struct disk_trace *trace;
    void (*visit)(struct disk *disk);
    void *context;
    uint32_t random; /* states to draw at a look with too many */
    uint64_t page;   /* unit of the segment file */
    /* What is certain; then, while a state is visited, that state. */
    struct disk_content certain[DISK_FILES];
    uint64_t size_now[DISK_FILES];
    struct disk_unit *unit;
    uint32_t units;
    uint32_t begun, acknowledged; /* of the look */
    uint64_t *seen;               /* sums of states of this walk */
    uint64_t states, looks;
};

static inline uint64_t disk_unit_bytes(const struct disk *disk, uint32_t file)
{
    return file == 0 ? disk->page : DISK_SECTOR;
}

static inline void disk_add(struct disk *disk, uint32_t number)
{
    const struct disk_event *event = &disk->trace->event[number];
    uint64_t bytes = disk_unit_bytes(disk, event->file);
    CHECK(event->at + event->bytes <= DISK_BYTES_MAX && event->at % bytes == 0);
    for (uint64_t at = event->at; at < event->at + event->bytes; at += bytes) {
        uint32_t i = 0;
        while (i < disk->units && (disk->unit[i].file != event->file || disk->unit[i].at != at))
            i++;
        if (i == disk->units) {
            CHECK(disk->units < DISK_UNITS_MAX);
            disk->unit[disk->units++] = (struct disk_unit){.at = at, .file = event->file};
        }
        struct disk_unit *unit = &disk->unit[i];
        CHECK(unit->count < sizeof unit->event / sizeof unit->event[0]);
        unit->event[unit->count++] = number;
    }
    if (disk->size_now[event->file] < event->at + event->bytes)
        disk->size_now[event->file] = event->at + event->bytes;
}

static inline void disk_apply(const struct disk *disk, const struct disk_unit *unit,
                              uint32_t version, struct disk_content *content)
{
    const struct disk_event *event = &disk->trace->event[unit->event[version]];
    uint64_t bytes = disk_unit_bytes(disk, unit->file);
    if (content->size < unit->at + bytes)
        content->size = unit->at + bytes;
    memcpy(content->bytes + unit->at, event->data + (unit->at - event->at), bytes);
}

static inline void disk_resize(struct disk_content *content, uint64_t size)
{
    if (size < content->size)
        memset(content->bytes + size, 0, content->size - size);
    content->size = size;
}

/* The writes to the file are certain. */
static inline void disk_settle(struct disk *disk, uint32_t file, uint64_t size)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->units; i++) {
        struct disk_unit *unit = &disk->unit[i];
        if (unit->file == file)
            disk_apply(disk, unit, unit->count - 1, &disk->certain[file]);
        else
            disk->unit[kept++] = *unit;
    }
    disk->units = kept;
    disk_resize(&disk->certain[file], size);
}

/* Puts the state into files in the directory, without the checksums of another state. */
static inline void disk_store(const struct disk *disk, const char *directory)
{
    char sums[264];
    snprintf(sums, sizeof sums, "%s.sum", disk_path(directory, 0));
    unlink(sums);
    for (uint32_t i = 0; i < DISK_FILES; i++) {
        const struct disk_content *content = &disk->certain[i];
        if (content->size == 0) {
            unlink(disk_path(directory, i));
            continue;
        }
        int fd = open(disk_path(directory, i), O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK(fd >= 0);
        CHECK(pwrite(fd, content->bytes, content->size, 0) == (ssize_t)content->size);
        close(fd);
    }
}

/* Whether this choice of units, for what is acknowledged now, is a new one. */
static inline bool disk_is_new(struct disk *disk)
{
    uint64_t sum = sj_mix(disk->acknowledged + 1, disk->begun + 7);
    for (uint32_t i = 0; i < disk->units; i++) {
        const struct disk_unit *unit = &disk->unit[i];
        if (unit->taken != 0)
            sum += sj_mix(unit->event[unit->taken - 1] * 8 + unit->file, unit->at);
    }
    for (uint32_t i = 0; i < DISK_FILES; i++) /* two looks of other certainties */
        sum += sj_mix(disk->looks, disk->certain[i].size + i);
    for (uint32_t slot = (uint32_t)(sum % DISK_STATES_SEEN);;
         slot = (slot + 1) % DISK_STATES_SEEN) {
        if (disk->seen[slot] == sum)
            return false;
        if (disk->seen[slot] == 0) {
            disk->seen[slot] = sum;
            return disk->states < DISK_STATES_SEEN / 2;
        }
    }
}

static inline void disk_visit(struct disk *disk)
{
    static struct disk_content kept[DISK_FILES];
    static char *room[4][DISK_FILES];
    static uint32_t depth;
    if (!disk_is_new(disk))
        return;
    struct disk_content certain[DISK_FILES];
    memcpy(certain, disk->certain, sizeof certain);
    CHECK(depth < 4);
    for (uint32_t i = 0; i < DISK_FILES; i++) {
        if (room[depth][i] == NULL)
            room[depth][i] = calloc(1, DISK_BYTES_MAX);
        kept[i] = (struct disk_content){room[depth][i], certain[i].size};
        CHECK(kept[i].bytes != NULL);
        uint64_t most = disk->size_now[i] > certain[i].size ? disk->size_now[i] : certain[i].size;
        memset(kept[i].bytes, 0, most);
        memcpy(kept[i].bytes, certain[i].bytes, certain[i].size);
        disk->certain[i] = kept[i];
    }
    for (uint32_t i = 0; i < disk->units; i++)
        if (disk->unit[i].taken != 0)
            disk_apply(disk, &disk->unit[i], disk->unit[i].taken - 1,
                       &disk->certain[disk->unit[i].file]);
    for (uint32_t i = 0; i < DISK_FILES; i++)
        if ((disk->size_now[i] > disk->certain[i].size ||
             (disk->size_now[i] < certain[i].size && disk->certain[i].size == certain[i].size)) &&
            test_below(2) == 0)
            disk_resize(&disk->certain[i], disk->size_now[i]);
    disk->states++;
    depth++;
    disk->visit(disk);
    depth--;
    memcpy(disk->certain, certain, sizeof certain);
}

static inline void disk_take(struct disk *disk, bool all)
{
    for (uint32_t i = 0; i < disk->units; i++)
        disk->unit[i].taken = all ? disk->unit[i].count : 0;
}

static inline void disk_visit_some(struct disk *disk)
{
    uint32_t step = disk->units / 24 + 1; /* many units of one write are alike */
    disk_take(disk, false);
    disk_visit(disk);
    disk_take(disk, true);
    disk_visit(disk);
    for (uint32_t i = (uint32_t)test_below(step); i < disk->units; i += step) {
        disk_take(disk, false); /* one alone */
        disk->unit[i].taken = 1 + (uint32_t)test_below(disk->unit[i].count);
        disk_visit(disk);
        disk_take(disk, true); /* one missing */
        disk->unit[i].taken = (uint32_t)test_below(disk->unit[i].count);
        disk_visit(disk);
        disk_take(disk, false); /* those that came first */
        for (uint32_t j = 0; j <= i; j++)
            disk->unit[j].taken = disk->unit[j].count;
        disk_visit(disk);
    }
    for (uint32_t round = 0; round < disk->random; round++) {
        uint64_t dense = 1 + test_below(8);
        for (uint32_t i = 0; i < disk->units; i++)
            disk->unit[i].taken =
                test_below(9) < dense ? 1 + (uint32_t)test_below(disk->unit[i].count) : 0;
        disk_visit(disk);
    }
}

static inline void disk_visit_all(struct disk *disk)
{
    uint32_t i;
    disk_take(disk, false);
    do {
        disk_visit(disk);
        for (i = 0; i < disk->units; i++) {
            if (disk->unit[i].taken++ < disk->unit[i].count)
                break;
            disk->unit[i].taken = 0;
        }
    } while (i < disk->units);
}

static inline void disk_look(struct disk *disk, uint32_t begun, uint32_t acknowledged)
{
    uint64_t product = 1;
    disk->looks++;
    disk->begun = begun;
    disk->acknowledged = acknowledged;
    for (uint32_t i = 0; i < disk->units && product <= DISK_CAP; i++)
        product *= disk->unit[i].count + 1;
    if (product <= DISK_CAP)
        disk_visit_all(disk);
    else
        disk_visit_some(disk);
}

/* Visits the states that a power loss at any moment of the trace may leave. */
static inline void disk_walk(struct disk *disk, uint32_t begun, uint32_t acknowledged)
{
    disk->unit = calloc(DISK_UNITS_MAX, sizeof *disk->unit);
    disk->seen = calloc(DISK_STATES_SEEN, sizeof *disk->seen);
    CHECK(disk->unit != NULL && disk->seen != NULL);
    for (uint32_t i = 0; i < DISK_FILES; i++) {
        const struct disk_content *start = &disk->trace->start[i];
        disk->certain[i] = (struct disk_content){calloc(1, DISK_BYTES_MAX), start->size};
        CHECK(disk->certain[i].bytes != NULL && start->size <= DISK_BYTES_MAX);
        if (start->size != 0)
            memcpy(disk->certain[i].bytes, start->bytes, start->size);
        disk->size_now[i] = start->size;
    }
    for (uint32_t i = 0; i < disk->trace->count; i++) {
        const struct disk_event *event = &disk->trace->event[i];
        disk->size_now[event->file] = event->size;
        if (event->data != NULL) {
            disk_add(disk, i);
            continue;
        }
        disk_look(disk, event->begun, event->acknowledged);
        disk_settle(disk, event->file, event->size);
    }
    disk_look(disk, begun, acknowledged);
    for (uint32_t i = 0; i < DISK_FILES; i++)
        free(disk->certain[i].bytes);
    free(disk->unit);
    free(disk->seen);
}

#endif
