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
 * that the superblock of the segment has, beside the boot id. It counts when it is of this very
 * segment file (a copy makes an image of its own), and belongs to somebody who may write that. So
 * nobody can slip another one in.
 *
 * Order of a new image: both log files ready, image complete, the superblock names it, unclean,
 * synced; then it gets its name. So no image has a name that the superblock does not know, and when
 * commits can be acknowledged the superblock says that there is a log.
 *
 * Who may only read the segment file maps the image for reading, and can do nothing for the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/sums.h"
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

int sj_wal_image_path(const struct sj_super *super, char path[4096])
{
    static const uint8_t none[16];
    char first[33], second[33];
    path[0] = '\0';
    if (memcmp(super->image_nonce, none, sizeof none) == 0)
        return SJ_OK;
    hex(super->uuid, first);
    hex(super->image_nonce, second);
    int length = snprintf(path, 4096, "%s/spacejmp-%s-%s", image_directory(), first, second);
    if (length < 4096)
        return SJ_OK;
    return sj_error(SJ_EINVAL, "SPACEJMP_SHM: the path is too long");
}

int sj_wal_no_memory(const struct sj_segment *segment, const char *call)
{
    int number = errno;
    return sj_error(sj_wal_is_full(number) ? SJ_EFULL
                    : number == ENOMEM     ? SJ_ENOMEM
                                           : SJ_EIO,
                    "'%s': its working image in %s (as large as its data; see 'durability' in the "
                    "README): %s: %s",
                    segment->name, image_directory(), call, strerror(number));
}

static int allocate(int fd, uint64_t from, uint64_t bytes)
{
    int result;
    do
        result = fallocate(fd, 0, (off_t)from, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return result;
}

/* ------------------------------------------------------------------ making an image */

/* The segment file into the image, which is mapped at `bytes`: whatever the log changes lies within
 * its size. */
static int load_file(const struct sj_segment *segment, int image, char *bytes)
{
    const struct sj_wal *wal = segment->wal;
    struct stat status;
    if (fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    uint64_t size = (uint64_t)status.st_size;
    size = size < segment->reserved ? size : segment->reserved;
    if (allocate(image, 0, size) != 0)
        return sj_wal_no_memory(segment, "fallocate");
    for (uint64_t at = 0; at < size;) {
        uint64_t part = size - at < COPY_BYTES ? size - at : COPY_BYTES;
        ssize_t got = pread(wal->file, bytes + at, part, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sj_segment_failed(wal->path, "read");
        if (got == 0)
            break;
        at += (uint64_t)got;
    }
    return SJ_OK;
}

static int apply(void *context, uint64_t offset, const void *bytes, uint64_t count)
{
    memcpy((char *)context + offset, bytes, count);
    return SJ_OK;
}

/* The log begins: nothing of a clean segment is in it. On a full disk it has only the room that it
 * had, and who changes something is told (I6). */
static int begin_log(struct sj_segment *segment, uint64_t epoch, struct sj_wal_place *place)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_file *file = &wal->log[epoch & 1];
    struct stat status;
    *place = (struct sj_wal_place){.epoch = epoch, .at = SJ_WAL_BATCHES, .sector = file->unit};
    if (fstat(file->fd, &status) != 0 ||
        getrandom(&place->salt, sizeof place->salt, 0) != sizeof place->salt)
        return sj_segment_failed(wal->path, "beginning its log");
    uint64_t bytes = (uint64_t)status.st_size / SJ_PAGE * SJ_PAGE;
    int number = 0;
    if (bytes < sj_wal_log_step) {
        number = sj_wal_file_extend(file, bytes, sj_wal_log_step);
        if (number == 0)
            bytes = sj_wal_log_step;
        else if (sj_wal_is_full(number))
            number = 0;
    }
    if (number == 0)
        number = sj_wal_file_begin(file, segment->uuid, bytes, place, wal->buffer);
    errno = number;
    return number == 0 ? SJ_OK : sj_segment_failed(wal->path, "beginning its log");
}

/* Fills in what is shared, behind an image that is complete. */
static int fill_shared(struct sj_segment *segment, const struct sj_super *super,
                       const struct sj_wal_place *place)
{
    const struct sj_wal *wal = segment->wal;
    struct sj_wal_shared *shared = wal->shared;
    struct stat status;
    if (fstat(wal->file, &status) != 0)
        return sj_segment_failed(wal->path, "fstat");
    shared->version = SJ_WAL_VERSION;
    shared->mutex_bytes = sizeof shared->flush_mutex;
    memcpy(shared->uuid, super->uuid, sizeof shared->uuid);
    memcpy(shared->nonce, super->image_nonce, sizeof shared->nonce);
    shared->device = status.st_dev;
    shared->inode = status.st_ino;
    sj_wal_make_mutexes(shared);
    shared->place[0] = *place;
    shared->tail = place->durable;
    shared->log_epoch = super->log_epoch;
    for (uint32_t i = 0; i < 2; i++) {
        if (fstat(wal->log[i].fd, &status) != 0)
            return sj_segment_failed(wal->path, "fstat");
        shared->log_bytes[i] = (uint64_t)status.st_size / SJ_PAGE * SJ_PAGE;
    }
    shared->magic = SJ_WAL_SHARED_MAGIC;
    return SJ_OK;
}

/* Segment file and log into the image, whose file has no name yet. */
static int build(struct sj_segment *segment, const struct sj_super *super, int image,
                 struct sj_wal_place *place)
{
    char *bytes =
        mmap(NULL, segment->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, image, 0);
    if (bytes == MAP_FAILED)
        return sj_wal_no_memory(segment, "mmap");
    madvise(bytes, segment->reserved, MADV_DONTDUMP);
    const struct sj_wal_replay replay = {.wal = segment->wal,
                                         .name = segment->name,
                                         .uuid = segment->uuid,
                                         .reserved = segment->reserved,
                                         .first = super->log_epoch,
                                         .apply = apply,
                                         .context = bytes};
    int error = load_file(segment, image, bytes);
    if (error == SJ_OK)
        error = (super->state & SJ_STATE_CLEAN) != 0 ? begin_log(segment, super->log_epoch, place)
                                                     : sj_wal_replay(&replay, place);
    munmap(bytes, segment->reserved);
    return error;
}

/* A file without a name in tmpfs, as large as the image and what lies behind it. */
static int new_image(const struct sj_segment *segment, int *image)
{
    struct stat status;
    if (fstat(segment->wal->file, &status) != 0)
        return sj_segment_failed(segment->wal->path, "fstat");
    *image = open(image_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*image < 0)
        return sj_wal_no_memory(segment, "open");
    sj_wal_give_away(*image, &status);
    if (ftruncate(*image, (off_t)(segment->reserved + SJ_WAL_SHARED_BYTES)) != 0 ||
        allocate(*image, segment->reserved, SJ_WAL_SHARED_BYTES) != 0)
        return sj_wal_no_memory(segment, "fallocate");
    return SJ_OK;
}

/* Makes the image and has the superblock name it. */
static int make_image(struct sj_segment *segment, struct sj_super *super, uint64_t which,
                      int *image)
{
    struct sj_wal *wal = segment->wal;
    struct sj_wal_place place;
    char source[64];
    if (getrandom(super->image_nonce, sizeof super->image_nonce, 0) != sizeof super->image_nonce)
        return sj_segment_failed(wal->path, "getrandom");
    int error = sj_wal_image_path(super, wal->image_path);
    if (error == SJ_OK)
        error = sj_wal_files_open(wal, segment->name, (super->state & SJ_STATE_CLEAN) != 0);
    if (error == SJ_OK)
        error = new_image(segment, image);
    if (error == SJ_OK)
        error = build(segment, super, *image, &place);
    if (error == SJ_OK)
        error = sj_wal_map_shared(segment, *image);
    if (error == SJ_OK)
        error = fill_shared(segment, super, &place);
    if (error != SJ_OK)
        return error;
    wal->damaged_supers = sj_segment_sums_damaged_supers(segment, super);
    sj_wal_sums_adopt(segment, super);
    super->state &= ~(uint64_t)SJ_STATE_CLEAN;
    sj_boot_id(super->boot_id);
    error = sj_wal_super_write(segment, super, which);
    snprintf(source, sizeof source, "/proc/self/fd/%d", *image);
    if (error == SJ_OK &&
        linkat(AT_FDCWD, source, AT_FDCWD, wal->image_path, AT_SYMLINK_FOLLOW) != 0)
        error = sj_wal_no_memory(segment, "link");
    return error;
}

/* ------------------------------------------------------------------ finding it */

/* Whether the owner of the image is somebody who may write the segment file. */
static bool is_trustworthy(const struct stat *image, const struct stat *file)
{
    if (image->st_uid == file->st_uid || image->st_uid == 0 || image->st_uid == geteuid() ||
        (file->st_mode & 0002) != 0)
        return true;
    return (file->st_mode & 0020) != 0 && image->st_gid == file->st_gid;
}

/* Opens the image that the superblock names, if it is of this segment file. SJ_ENOTFOUND. */
static int find_image(struct sj_segment *segment, const struct sj_super *super, int *image)
{
    struct sj_wal *wal = segment->wal;
    uint8_t boot[16];
    struct stat status, file;
    sj_boot_id(boot);
    if (memcmp(boot, super->boot_id, sizeof boot) != 0)
        return SJ_ENOTFOUND;
    int error = sj_wal_image_path(super, wal->image_path);
    if (error != SJ_OK || wal->image_path[0] == '\0')
        return error == SJ_OK ? SJ_ENOTFOUND : error;
    *image =
        open(wal->image_path, (segment->rw_possible ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (*image < 0)
        return errno == ENOENT ? SJ_ENOTFOUND : sj_segment_failed(wal->image_path, "open");
    if (fstat(wal->file, &file) != 0)
        return sj_segment_failed(wal->path, "fstat");
    if (fstat(*image, &status) != 0 || !S_ISREG(status.st_mode) ||
        !is_trustworthy(&status, &file) ||
        (uint64_t)status.st_size != segment->reserved + SJ_WAL_SHARED_BYTES)
        return SJ_ENOTFOUND;
    error = sj_wal_map_shared(segment, *image);
    if (error != SJ_OK)
        return error;
    const struct sj_wal_shared *shared = wal->shared;
    if (shared->magic == SJ_WAL_SHARED_MAGIC && shared->version == SJ_WAL_VERSION &&
        shared->mutex_bytes == sizeof shared->flush_mutex && shared->device == file.st_dev &&
        shared->inode == file.st_ino &&
        memcmp(shared->nonce, super->image_nonce, sizeof shared->nonce) == 0)
        return SJ_OK;
    sj_wal_unmap_shared(wal);
    return SJ_ENOTFOUND;
}

static int no_image(const struct sj_segment *segment, bool first)
{
    if (!first)
        return sj_error(SJ_EIO,
                        "'%s': expected its working image %s, which other processes have open, and "
                        "found none: is SPACEJMP_SHM the same there?",
                        segment->name, segment->wal->image_path);
    return sj_error(SJ_EPERM,
                    "'%s' has durability 'power' and is open nowhere: to open it, even for "
                    "reading, its file must be writable: its log may have to be replayed",
                    segment->name);
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
    if (error == SJ_OK && first && segment->rw_possible && wal->shared->failed != 0) {
        sj_wal_unmap_shared(wal); /* it has what nobody was told is durable */
        sj_wal_sums_adopt(segment, &super);
        sj_wal_sums_forget(segment); /* nobody knows what the segment file has */
        unlink(wal->image_path);
        error = SJ_ENOTFOUND;
    }
    if (error == SJ_OK && segment->rw_possible) {
        error = sj_wal_files_open(wal, segment->name, false);
        if (error == SJ_OK && first)
            sj_wal_make_mutexes(wal->shared);
    }
    if (error != SJ_ENOTFOUND || wal->shared != NULL)
        return error;
    if (*image >= 0)
        close(*image);
    *image = -1;
    if (!first || !segment->rw_possible)
        return no_image(segment, first);
    return make_image(segment, &super, which, image);
}

int sj_wal_attach(struct sj_segment *segment, const char *path, bool first)
{
    struct sj_wal *wal = calloc(1, sizeof *wal);
    int image = -1, error = SJ_OK;
    if (wal == NULL)
        return sj_error(SJ_ENOMEM, "%s", path);
    wal->file = segment->fd;
    wal->log[0].fd = wal->log[1].fd = -1;
    pthread_mutex_init(&wal->local, NULL);
    pthread_cond_init(&wal->changed, NULL);
    snprintf(wal->path, sizeof wal->path, "%s", path);
    segment->wal = wal;
    segment->domain = &sj_wal_domain;
    if (segment->rw_possible && (wal->buffer = sj_wal_buffer(SJ_WAL_BUFFER_BYTES)) == NULL)
        error = sj_error(SJ_ENOMEM, "%s", path);
    if (error == SJ_OK)
        error = find_or_make_image(segment, path, first, &image);
    wal->attached = error == SJ_OK;
    segment->fd = image;
    segment->dirty = true; /* the superblock says so already */
    return error;
}

/* ------------------------------------------------------------------ giving it up */

/* Log files of a clean segment that have grown are cut back; what is in them counts no more. */
static void shrink_logs(const struct sj_wal *wal)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct stat status;
        if (fstat(wal->log[i].fd, &status) != 0 || (uint64_t)status.st_size <= sj_wal_log_step)
            continue;
        if (ftruncate(wal->log[i].fd, (off_t)sj_wal_log_step) != 0)
            continue; /* it is larger than it need be */
    }
}

/* The log goes into the segment file, which is clean then. The image goes before the superblock
 * ceases to name it: nobody would find it afterwards. */
static int finish(struct sj_segment *segment)
{
    struct sj_wal *wal = segment->wal;
    struct sj_super super;
    uint64_t which, next_epoch = 0;
    int error = sj_wal_flush(segment);
    if (error == SJ_OK)
        error = sj_wal_checkpoint_all(segment, &next_epoch);
    if (error == SJ_OK)
        error = sj_super_read(wal->file, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    if (unlink(wal->image_path) != 0 && errno != ENOENT)
        return sj_segment_failed(wal->image_path, "unlink");
    super.state |= SJ_STATE_CLEAN;
    super.log_epoch = next_epoch;
    memset(super.image_nonce, 0, sizeof super.image_nonce);
    sj_wal_sums_finish(segment);
    error = sj_wal_super_write(segment, &super, which);
    if (error == SJ_OK)
        shrink_logs(wal);
    return error;
}

int sj_wal_detach(struct sj_segment *segment, bool last)
{
    struct sj_wal *wal = segment->wal;
    int error = SJ_OK;
    if (wal->attached) {
        sj_wal_stop_thread(wal);
        /* What was not mapped, as the opening failed, is left to the next one with its image. */
        if (last && segment->rw_possible && segment->base != NULL) {
            error = finish(segment);
            /* Else the next one may succeed with it. */
            if (wal->shared->failed != 0 || sj_segment_is_damaged(segment))
                unlink(wal->image_path);
        }
    }
    sj_wal_unmap_shared(wal);
    if (wal->sums != NULL)
        sj_sums_close(wal->sums);
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
    if (wal->has_thread)
        wal->sums = NULL; /* it may have been about to close them */
    wal->has_thread = wal->wanted = false;
    wal->unacknowledged = wal->waiting = 0;
}

int sj_wal_grow(struct sj_segment *segment, uint64_t from, uint64_t bytes)
{
    const struct sj_wal *wal = segment->wal;
    if (allocate(wal->file, from, bytes) != 0)
        return sj_segment_failed(wal->path, "growing the file");
    /* Records say that the segment has those bytes: its file must have them after a power loss. */
    if (fdatasync(wal->file) != 0)
        return sj_wal_fail(segment, errno);
    sj_disk_sync(wal->file);
    return allocate(segment->fd, from, bytes) == 0 ? SJ_OK : sj_wal_no_memory(segment, "fallocate");
}
