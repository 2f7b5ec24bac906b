// SPDX-License-Identifier: Apache-2.0
/*
 * wal_image.c: the working image of a `wal` store: making it, finding it, giving it up.
 *
 *   no image     ──first: segment file + log──→ image, named in the superblock with the boot id
 *   image        ──first, all others died: adopted, the undo log rolls back──→ image
 *   image        ──log has failed, or the machine was restarted──→ no image
 *   image        ──last one detaches: checkpoint, superblock clean──→ no image
 *
 * The image is a file in tmpfs, $SPACEJMP_SHM or else /dev/shm. Its name ends with a random number
 * that the superblock of the segment has, beside the boot id, so nobody can slip another one in. It
 * gets its name when it is complete.
 *
 * Order of a new image: log file ready, image complete and named, then the superblock says so,
 * unclean, synced. From then on commits may be acknowledged.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/wal.h"

#define COPY_BYTES (1ull << 20)

static const char *image_directory(void)
{
    const char *set = secure_getenv("SPACEJMP_SHM");
    return set != NULL && set[0] != '\0' ? set : "/dev/shm";
}

static void hex(const uint8_t bytes[16], char text[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void name_image(struct sj_wal *wal, const uint8_t uuid[16], const uint8_t nonce[16])
{
    char first[33], second[33];
    hex(uuid, first);
    hex(nonce, second);
    snprintf(wal->image_path, sizeof wal->image_path, "%.180s/spacejmp-%s-%s", image_directory(),
             first, second);
}

static int no_memory(const struct sj_segment *segment, const char *call)
{
    int number = errno;
    return sj_error(number == ENOSPC || number == EDQUOT ? SJ_EFULL
                    : number == ENOMEM                   ? SJ_ENOMEM
                                                         : SJ_EIO,
                    "'%s': its working image in %s (as large as its data; see 'durability' in the "
                    "README): %s: %s",
                    segment->name, image_directory(), call, strerror(number));
}

/* ------------------------------------------------------------------ what is shared */

/* Maps what lies behind the image: the shared page, and the ring twice in a row. */
static int map_shared(struct sj_segment *segment, int image)
{
    struct sj_wal *wal = segment->wal;
    uint64_t head = sizeof *wal->shared, bytes = head + 2 * SJ_WAL_RING;
    char *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return no_memory(segment, "mmap");
    off_t offset = (off_t)segment->reserved;
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
    if (mmap(at, head + SJ_WAL_RING, protection, flags, image, offset) == MAP_FAILED ||
        mmap(at + head + SJ_WAL_RING, SJ_WAL_RING, protection, flags, image,
             offset + (off_t)head) == MAP_FAILED) {
        int error = no_memory(segment, "mmap");
        munmap(at, bytes);
        return error;
    }
    wal->shared = (struct sj_wal_shared *)at;
    wal->ring = at + head;
    return SJ_OK;
}

static void unmap_shared(struct sj_wal *wal)
{
    if (wal->shared != NULL)
        munmap(wal->shared, sizeof *wal->shared + 2 * SJ_WAL_RING);
    wal->shared = NULL;
}

static void make_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* The first process makes the mutexes anew: those who had them are dead. */
static void make_mutexes(struct sj_wal_shared *shared)
{
    make_mutex(&shared->flush_mutex);
    make_mutex(&shared->checkpoint_mutex);
    shared->waiters = 0;
}

/* ------------------------------------------------------------------ making an image */

struct building {
    struct sj_segment *segment;
    int image;
    char *bytes;        /* the image, mapped anywhere */
    uint64_t allocated; /* bytes of it that tmpfs has given */
};

static int allocate_to(struct building *building, uint64_t end)
{
    if (end <= building->allocated)
        return SJ_OK;
    end = (end + COPY_BYTES - 1) / COPY_BYTES * COPY_BYTES;
    if (end > building->segment->reserved)
        end = building->segment->reserved;
    int result;
    do
        result = fallocate(building->image, 0, (off_t)building->allocated,
                           (off_t)(end - building->allocated));
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return no_memory(building->segment, "fallocate");
    building->allocated = end;
    return SJ_OK;
}

/* The segment file into the image. */
static int load_file(struct building *building)
{
    const struct sj_segment *segment = building->segment;
    uint64_t at = 0;
    for (;;) {
        uint64_t bytes = segment->reserved - at < COPY_BYTES ? segment->reserved - at : COPY_BYTES;
        if (bytes == 0)
            return SJ_OK;
        int error = allocate_to(building, at + bytes);
        if (error != SJ_OK)
            return error;
        ssize_t got = pread(segment->wal->file, building->bytes + at, bytes, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sj_segment_failed(segment->wal->path, "read");
        if (got == 0)
            return SJ_OK;
        at += (uint64_t)got;
    }
}

static int apply(void *context, uint64_t offset, const void *bytes, uint64_t count)
{
    struct building *building = context;
    int error = allocate_to(building, offset + count);
    if (error == SJ_OK)
        memcpy(building->bytes + offset, bytes, count);
    return error;
}

/* The log begins: nothing of a clean segment is in it. */
static int begin_log(struct sj_segment *segment, uint64_t epoch, struct sj_wal_place *place)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_file *file;
    struct stat status;
    int error = sj_wal_use_file(wal, epoch, true, &file);
    if (error != SJ_OK)
        return error;
    if (fstat(file->fd, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    void *buffer = sj_wal_buffer(SJ_PAGE);
    if (buffer == NULL)
        return sj_error(SJ_ENOMEM, "'%s'", segment->name);
    *place = (struct sj_wal_place){.epoch = epoch, .at = SJ_WAL_BATCHES};
    sj_wal_header_init(buffer, segment->uuid, file->sector, place);
    int number = 0;
    if ((uint64_t)status.st_size < sj_wal_log_step)
        number = sj_wal_file_extend(file, 0, sj_wal_log_step);
    if (number == 0)
        number = sj_wal_file_begin(file, buffer);
    sj_wal_buffer_free(buffer, SJ_PAGE);
    errno = number;
    return number == 0 ? SJ_OK : sj_segment_failed(wal->path, "beginning its log");
}

/* Fills in what is shared, behind an image that is complete. */
static int fill_shared(struct sj_segment *segment, const struct sj_super *super,
                       const struct sj_wal_place *place)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_shared *shared = wal->shared;
    shared->version = SJ_WAL_VERSION;
    shared->mutex_bytes = sizeof shared->flush_mutex;
    memcpy(shared->uuid, super->uuid, sizeof shared->uuid);
    memcpy(shared->nonce, super->image_nonce, sizeof shared->nonce);
    make_mutexes(shared);
    shared->place[0] = *place;
    shared->tail = place->durable;
    shared->log_epoch = super->log_epoch;
    for (uint32_t i = 0; i < 2; i++) {
        struct sj_wal_file *file;
        struct stat status;
        int error = sj_wal_use_file(wal, i, false, &file);
        if (error == SJ_ENOTFOUND)
            continue;
        if (error != SJ_OK)
            return error;
        if (fstat(file->fd, &status) != 0)
            return sj_segment_failed(wal->path, "fstat");
        shared->log_bytes[i] = (uint64_t)status.st_size / SJ_PAGE * SJ_PAGE;
    }
    shared->magic = SJ_WAL_SHARED_MAGIC;
    return SJ_OK;
}

/* Segment file and log into the image, whose file has no name yet. */
static int build(struct building *building, const struct sj_super *super,
                 struct sj_wal_place *place)
{
    struct sj_segment *segment = building->segment;
    building->bytes = mmap(NULL, segment->reserved, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_NORESERVE, building->image, 0);
    if (building->bytes == MAP_FAILED)
        return no_memory(segment, "mmap");
    madvise(building->bytes, segment->reserved, MADV_DONTDUMP);
    int error = load_file(building);
    if (error == SJ_OK && (super->state & SJ_STATE_CLEAN) != 0)
        error = begin_log(segment, super->log_epoch, place);
    else if (error == SJ_OK)
        error = sj_wal_replay(segment->wal, segment->name, segment->uuid, segment->reserved,
                              super->log_epoch, 0, apply, building, place);
    munmap(building->bytes, segment->reserved);
    return error;
}

/* Images of the store that nobody names any more. */
static void remove_stale_images(const uint8_t uuid[16])
{
    char text[33], prefix[64], path[PATH_MAX];
    hex(uuid, text);
    snprintf(prefix, sizeof prefix, "spacejmp-%s-", text);
    DIR *directory = opendir(image_directory());
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", image_directory(), entry->d_name);
        unlink(path);
    }
    if (directory != NULL)
        closedir(directory);
}

/* Makes the image and has the superblock name it. */
static int make_image(struct sj_segment *segment, struct sj_super *super, uint64_t which,
                      int *image)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_place place;
    struct stat status;
    char source[64];
    remove_stale_images(super->uuid);
    if (getrandom(super->image_nonce, sizeof super->image_nonce, 0) != 16 ||
        fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "getrandom");
    name_image(wal, super->uuid, super->image_nonce);
    *image = open(image_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, status.st_mode & 0666);
    if (*image < 0)
        return no_memory(segment, "open");
    fchmod(*image, status.st_mode & 0666);
    struct building building = {.segment = segment, .image = *image};
    if (ftruncate(*image, (off_t)(segment->reserved + SJ_WAL_SHARED_BYTES)) != 0 ||
        fallocate(*image, 0, (off_t)segment->reserved, (off_t)SJ_WAL_SHARED_BYTES) != 0)
        return no_memory(segment, "fallocate");
    int error = build(&building, super, &place);
    if (error == SJ_OK)
        error = map_shared(segment, *image);
    if (error == SJ_OK)
        error = fill_shared(segment, super, &place);
    if (error != SJ_OK)
        return error;
    snprintf(source, sizeof source, "/proc/self/fd/%d", *image);
    if (linkat(AT_FDCWD, source, AT_FDCWD, wal->image_path, AT_SYMLINK_FOLLOW) != 0)
        return no_memory(segment, "link");
    super->state &= ~(uint64_t)SJ_STATE_CLEAN;
    sj_boot_id(super->boot_id);
    error = sj_super_write(wal->file, segment->name, super, which);
    if (error != SJ_OK)
        unlink(wal->image_path);
    return error;
}

/* ------------------------------------------------------------------ finding it */

/* Opens the image that the superblock names. SJ_ENOTFOUND when there is none that counts. */
static int find_image(struct sj_segment *segment, const struct sj_super *super, int *image)
{
    struct sj_wal *wal = segment->wal;
    static const uint8_t none[16];
    uint8_t boot[16];
    struct stat status;
    sj_boot_id(boot);
    if (memcmp(boot, super->boot_id, sizeof boot) != 0 ||
        memcmp(super->image_nonce, none, sizeof none) == 0)
        return SJ_ENOTFOUND;
    name_image(wal, super->uuid, super->image_nonce);
    *image = open(wal->image_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*image < 0)
        return errno == ENOENT ? SJ_ENOTFOUND : sj_segment_failed(wal->image_path, "open");
    if (fstat(*image, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size != segment->reserved + SJ_WAL_SHARED_BYTES)
        return SJ_ENOTFOUND;
    int error = map_shared(segment, *image);
    if (error != SJ_OK)
        return error;
    const struct sj_wal_shared *shared = wal->shared;
    if (shared->magic == SJ_WAL_SHARED_MAGIC &&
        memcmp(shared->nonce, super->image_nonce, sizeof shared->nonce) == 0 &&
        shared->version == SJ_WAL_VERSION && shared->mutex_bytes == sizeof shared->flush_mutex)
        return SJ_OK;
    unmap_shared(wal);
    return SJ_ENOTFOUND;
}

static int find_or_make_image(struct sj_segment *segment, const char *path, bool first, int *image)
{
    struct sj_wal *wal = segment->wal;
    struct sj_super super;
    uint64_t which;
    int error = sj_super_read(wal->file, path, &super, &which);
    if (error != SJ_OK)
        return error;
    error = find_image(segment, &super, image);
    if (error == SJ_OK && first && wal->shared->failed != 0) {
        unmap_shared(wal); /* it has what nobody was told is durable */
        error = SJ_ENOTFOUND;
    }
    if (error == SJ_OK && first)
        make_mutexes(wal->shared);
    if (error != SJ_ENOTFOUND)
        return error;
    if (*image >= 0)
        close(*image);
    *image = -1;
    if (!first)
        return sj_error(SJ_EIO,
                        "'%s': expected its working image %s, which other processes have open, and "
                        "found none: is SPACEJMP_SHM the same there?",
                        segment->name, wal->image_path);
    if (!segment->rw_possible)
        return sj_error(SJ_EPERM,
                        "'%s' has durability 'power' and is open nowhere: to open it, even for "
                        "reading, its file must be writable: its log may have to be replayed",
                        segment->name);
    return make_image(segment, &super, which, image);
}

int sj_wal_attach(struct sj_segment *segment, const char *path, bool first)
{
    struct sj_wal *wal = calloc(1, sizeof *wal);
    int image = -1;
    if (wal == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    wal->file = segment->fd;
    wal->log[0].fd = wal->log[1].fd = -1;
    pthread_mutex_init(&wal->local, NULL);
    pthread_cond_init(&wal->changed, NULL);
    snprintf(wal->path, sizeof wal->path, "%s", path);
    segment->wal = wal;
    segment->domain = &sj_wal_domain;
    int error = find_or_make_image(segment, path, first, &image);
    segment->fd = image;
    segment->dirty = true; /* the superblock says so already */
    return error;
}

/* ------------------------------------------------------------------ giving it up */

/* The log goes into the segment file, which is clean then. */
static int finish(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    struct sj_super super;
    uint64_t which;
    int error = sj_wal_turn(segment);
    if (error == SJ_OK)
        error = sj_wal_checkpoint(segment);
    if (error == SJ_OK)
        error = sj_super_read(wal->file, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    const struct sj_wal_place *place = sj_wal_place_now(wal);
    if (place->at > SJ_WAL_BATCHES || wal->shared->log_epoch < place->epoch)
        return SJ_OK; /* the next one to open it replays the rest */
    super.state |= SJ_STATE_CLEAN;
    super.log_epoch = place->epoch + 1;
    memset(super.image_nonce, 0, sizeof super.image_nonce);
    return sj_super_write(wal->file, segment->name, &super, which);
}

int sj_wal_detach(struct sj_segment *segment, bool last)
{
    struct sj_wal *wal = segment->wal;
    int error = SJ_OK;
    if (wal->shared != NULL) {
        sj_wal_stop_thread(wal);
        if (last && segment->rw_possible) {
            error = finish(segment);
            if (error == SJ_OK)
                unlink(wal->image_path);
        }
    }
    unmap_shared(wal);
    sj_wal_buffer_free(wal->buffer, SJ_WAL_BUFFER_BYTES);
    for (uint32_t i = 0; i < 2; i++)
        sj_wal_file_close(&wal->log[i]);
    close(wal->file);
    pthread_mutex_destroy(&wal->local);
    pthread_cond_destroy(&wal->changed);
    free(wal);
    segment->wal = NULL;
    return error;
}

void sj_wal_forked(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    if (wal == NULL)
        return;
    pthread_mutex_init(&wal->local, NULL);
    pthread_cond_init(&wal->changed, NULL);
    wal->has_thread = wal->wanted = false;
    wal->unacknowledged = wal->waiting = 0;
}

int sj_wal_grow(struct sj_segment *segment, uint64_t from, uint64_t bytes)
{
    int result;
    do
        result = fallocate(segment->wal->file, 0, (off_t)from, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return result == 0 ? SJ_OK : sj_segment_failed(segment->wal->path, "growing the file");
}
