// SPDX-License-Identifier: Apache-2.0
/* catalog_source.c: the generation of a VAS, and the catalog as a source of its segments
 * (catalog.h, I5; vas_source.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "persistence/guard.h"
#include "spacejmp/catalog_inside.h"
#include "spacejmp/files.h"

/* ------------------------------------------------------------------ the generation */

/* The file was cut short: whoever looks reads the record each time from now on. */
static bool lose(void *owner, uint64_t at)
{
    struct sj_generation_page *page = owner;
    if (!sj_guard_zero_page(at))
        return false;
    page->magic = SJ_GENERATION_MAGIC;
    page->generation = 1;
    return true;
}

static int map(int fd, const char *path, bool writable, struct sj_generation *generation)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return sj_file_failed("use", path);
    bool whole = S_ISREG(status.st_mode) && status.st_size == sizeof *generation->page;
    void *at = MAP_FAILED;
    if (whole) {
        at = mmap(NULL, sizeof *generation->page, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                  MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            return sj_file_failed("map", path);
        int error = sj_guard_add(at, sizeof *generation->page, lose, at);
        if (error != SJ_OK) {
            munmap(at, sizeof *generation->page);
            return error;
        }
        generation->page = at;
        whole = generation->page->magic == SJ_GENERATION_MAGIC;
    }
    if (whole)
        return SJ_OK;
    sj_generation_close(generation);
    return sj_error(SJ_ECORRUPT,
                    "'%s': expected the generation of a VAS, found something else; remove it, and "
                    "attach the VAS again",
                    path);
}

int sj_generation_open(const char *home, const uint8_t uuid[16], bool writable,
                       struct sj_generation *generation)
{
    char path[PATH_MAX];
    generation->page = NULL;
    sj_home_generation(home, uuid, path);
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return sj_file_failed("open", path);
    int error = map(fd, path, writable, generation);
    close(fd);
    return error;
}

void sj_generation_close(struct sj_generation *generation)
{
    if (generation->page == NULL)
        return;
    sj_guard_remove(generation->page);
    munmap(generation->page, sizeof *generation->page);
    generation->page = NULL;
}

void sj_generation_begin(struct sj_generation *generation)
{
    if (generation->page != NULL)
        __atomic_store_n(&generation->page->generation, generation->page->generation | 1,
                         __ATOMIC_SEQ_CST);
}

void sj_generation_end(struct sj_generation *generation)
{
    if (generation->page != NULL)
        __atomic_store_n(&generation->page->generation, (generation->page->generation | 1) + 1,
                         __ATOMIC_SEQ_CST);
}

int sj_generation_make(const char *home, const uint8_t uuid[16], const struct stat *record)
{
    static const struct sj_generation_page page = {.magic = SJ_GENERATION_MAGIC};
    char path[PATH_MAX];
    uint32_t readers = record->st_mode & 0444; /* whoever may read it may repair it */
    sj_home_generation(home, uuid, path);
    return sj_file_publish(path, &page, sizeof page, 0600 | readers | readers >> 1, record);
}

/* ------------------------------------------------------------------ the source */

/* Odd: the record is read at each switch. */
static const uint64_t unknown = 1;

struct source {
    char home[SJ_HOME_MAX + 1];
    struct sj_vas_record record; /* what was read last: it stays when the VAS is deleted */
    struct sj_generation generation;
};

/* One block: the parts, then their paths. */
static int make_parts(const struct source *source, struct sj_vas_contents *contents)
{
    const struct sj_vas_record *record = &source->record;
    char segment_path[PATH_MAX], lock_path[PATH_MAX];
    size_t bytes = 0;
    struct sj_vas_part *parts;
    contents->part = NULL;
    contents->count = record->count;
    contents->strict = record->isolation == SJ_ISOLATION_STRICT;
    for (uint32_t i = 0; i < record->count; i++) {
        sj_home_segment(source->home, record->segments[i].name, segment_path);
        sj_home_lock(source->home, record->segments[i].uuid, lock_path);
        bytes += sizeof *parts + strlen(segment_path) + strlen(lock_path) + 2;
    }
    if (bytes == 0)
        return SJ_OK;
    if ((contents->part = parts = malloc(bytes)) == NULL)
        return sj_error(SJ_ENOMEM, "%u segments", record->count);
    char *text = (char *)(parts + record->count);
    for (uint32_t i = 0; i < record->count; i++) {
        const struct sj_vas_segment *segment = &record->segments[i];
        struct sj_vas_part *part = &parts[i];
        sj_home_segment(source->home, segment->name, segment_path);
        sj_home_lock(source->home, segment->uuid, lock_path);
        part->segment_path = text;
        text = stpcpy(text, segment_path) + 1;
        part->lock_path = text;
        text = stpcpy(text, lock_path) + 1;
        memcpy(part->uuid, segment->uuid, sizeof part->uuid);
        part->rights = segment->rights;
        part->window = segment->window;
        part->lockable = true;
    }
    return SJ_OK;
}

/* The one who left it odd is dead if the lock is free. */
static void repair(struct source *source)
{
    struct sj_catalog_lock lock;
    const struct sj_wait not = {.timeout_s = 0};
    struct sj_generation generation;
    if ((__atomic_load_n(&source->generation.page->generation, __ATOMIC_ACQUIRE) & 1) == 0 ||
        sj_catalog_lock(source->home, &not, &lock) != SJ_OK)
        return;
    if (sj_generation_open(source->home, source->record.uuid, true, &generation) == SJ_OK) {
        if ((generation.page->generation & 1) != 0)
            sj_generation_end(&generation);
        sj_generation_close(&generation);
    }
    sj_catalog_unlock(&lock);
}

static int read_parts(void *context, struct sj_vas_contents *contents)
{
    struct source *source = context;
    struct sj_vas_record record;
    *contents = (struct sj_vas_contents){NULL, 0, false};
    if (!source->record.of_segment) {
        if (source->generation.page != NULL)
            repair(source);
        int error =
            sj_catalog_record(source->home, source->record.name, source->record.uuid, &record);
        if (error != SJ_OK && error != SJ_ENOTFOUND)
            return error;
        if (error == SJ_OK) {
            free(source->record.segments);
            source->record = record;
        }
    }
    return make_parts(source, contents);
}

static void close_source(void *context)
{
    struct source *source = context;
    sj_generation_close(&source->generation);
    free(source->record.segments);
    free(source);
}

/* Makes the file of the generation if the VAS is still there. */
static int make_generation(const struct sj_catalog *catalog, const struct sj_vas_record *record)
{
    struct sj_catalog_lock lock;
    struct sj_generation generation;
    struct sj_vas_record now;
    struct stat status;
    char path[PATH_MAX];
    bool there;
    int error = sj_catalog_begin(catalog, &lock);
    if (error != SJ_OK)
        return error;
    error = sj_catalog_record(catalog->home, record->name, record->uuid, &now);
    free(now.segments);
    sj_home_record(catalog->home, record->name, path);
    if (error == SJ_OK)
        error = sj_file_status(path, &status, &there);
    if (error == SJ_OK) {
        error = sj_generation_open(catalog->home, record->uuid, false, &generation);
        if (error == SJ_OK)
            sj_generation_close(&generation);
        else if (error == SJ_ENOTFOUND)
            error = sj_generation_make(catalog->home, record->uuid, &status);
    }
    sj_catalog_unlock(&lock);
    return error;
}

int sj_catalog_source(const struct sj_catalog *catalog, const struct sj_vid *vid,
                      struct sj_vas_source *source)
{
    struct source *ours = calloc(1, sizeof *ours);
    if (ours == NULL)
        return sj_error(SJ_ENOMEM, "VAS '%s'", vid->name);
    strncpy(ours->home, catalog->home, SJ_HOME_MAX);
    *source = (struct sj_vas_source){
        .place = ours->home, .read = read_parts, .context = ours, .close = close_source};
    memcpy(source->uuid, vid->uuid, sizeof source->uuid);
    memcpy(source->name, vid->name, sizeof source->name);
    int error = sj_catalog_vas_read(catalog, vid->name, vid->uuid, &ours->record);
    if (error == SJ_OK && !ours->record.of_segment) {
        error = sj_generation_open(catalog->home, vid->uuid, false, &ours->generation);
        if (error == SJ_ENOTFOUND) {
            error = make_generation(catalog, &ours->record);
            if (error == SJ_OK)
                error = sj_generation_open(catalog->home, vid->uuid, false, &ours->generation);
        }
        if (error == SJ_EPERM) /* a home that this process may only read */
            error = SJ_OK;
        source->generation =
            ours->generation.page == NULL ? &unknown : &ours->generation.page->generation;
    }
    if (error != SJ_OK)
        close_source(ours);
    return error;
}
