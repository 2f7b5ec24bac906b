// SPDX-License-Identifier: Apache-2.0
/*
 * wal.h: the `wal` domain: power-loss durability on an ordinary filesystem.
 *
 *   working image (tmpfs)        all processes map it at the segment's base and change it in place
 *     │ commit: the new bytes of what changed, as a record
 *   ring (tmpfs)                 records, in the order of commits
 *     │ flush: all records there are, one write, one wait for the disk
 *   log files (disk)             a commit is acknowledged when its record is here
 *     │ checkpoint, in the background: records of a full log file, page by page
 *   segment file (disk)          always: what it was at the last checkpoint, or on the way to the
 *   next                         (its pages have checksums: wal_sums.c)
 *
 * Fault model: processes die at any instruction; the machine stops: then of what was written to a
 * file and not yet synced any subset of sectors is there, and tmpfs is empty.
 *
 * I1  The segment file changes by records that are on disk in the log, and a log file is only
 *     used again when the segment file, synced, contains it. Records are new bytes at fixed
 *     offsets: to apply all records since the checkpoint, in order, is right whatever part of
 *     them had been applied before, whole or torn.
 * I2  A sector of the log that holds an acknowledged record is not written again before I1 lets
 *     it be.
 * I3  A flush begins when the one before it is on disk. So the first batch that does not count ends
 *     the log, and a later one that does count is a proof of damage.
 * I4  A batch carries the checksum of the one before it, and its own begins with the salt of its
 *     log: what lies there from a history that a crash has cut off, from an older log or from that
 *     of another store is never taken for the continuation of the new one.
 * I5  The commit is the store of the undo log's generation, in the image. Its record was complete
 *     in the ring before; `tail` is stored after it, by the writer or by who recovers.
 * I6  The log file in use has room for all that is in the ring: a full disk fails a commit before
 *     the store of I5, not a flush after it. The segment file has, durably, all the bytes that a
 *     record says the segment has: a full disk fails no checkpoint.
 * I7  Both log files are opened when the store is, and never by their name again: a store that is
 *     removed and made anew under its name has log files of its own.
 *
 * When a write or sync has failed, of the log or of the segment file, nothing is tried again: the
 * store takes no more changes, and the next first process to open it goes back to what is on disk.
 *
 * Locks: the segment's write hold, then flush_mutex; checkpoint_mutex, then flush_mutex. Readers
 * may see a change before it is on disk; whoever waits for its own commit waits for that one too.
 *
 * Cost of a commit: the copy of what changed, and a wait for one write and one sync of the disk,
 * shared with all that commit at the time. Memory: the image (as large as the data), the ring, and,
 * while a checkpoint is written, up to 32 MiB.
 */
#ifndef SJ_PERSISTENCE_WAL_H
#define SJ_PERSISTENCE_WAL_H

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "persistence/segment.h"
#include "persistence/superblock.h"
#include "persistence/wal_layout.h"

struct sj_sums;

struct sj_wal_file {
    int fd;        /* -1: not open */
    bool direct;   /* past the page cache: what is read is what the disk has */
    uint32_t unit; /* reads and writes begin and end at multiples of it */
};

struct sj_wal {
    struct sj_wal_shared *shared; /* mapped; the ring behind it is mapped twice in a row */
    char *ring;
    struct sj_wal_file log[2];
    int file;                /* the segment file */
    int image;               /* what `shared` is mapped from */
    bool lost;               /* pages of `shared` or the ring are */
    struct sj_sums *sums;    /* of its pages, if they count; with checkpoint_mutex */
    uint64_t nameless;       /* checksum of the superblock that no sums name, if we wrote it last */
    uint32_t damaged_supers; /* bits: those that were, and have been made anew at the opening */
    uint32_t waiting;        /* threads of this process that wait to be acknowledged */
    uint64_t unacknowledged; /* position that the write hold's commits wait for; 0: none */
    char *buffer;            /* of a flush, aligned; NULL: not opened for writing */
    bool attached;           /* the image is complete */
    char image_path[4096];   /* of the image in tmpfs */
    char path[4096];         /* of the segment file */
    pthread_t thread;        /* writes checkpoints */
    bool has_thread;
    bool stop;
    bool wanted;           /* a checkpoint is */
    pthread_mutex_t local; /* guards the three above */
    pthread_cond_t changed;
};

/* ---- for segment.c ---- */

/*
 * Finds the working image, or, when `first`, makes it from segment file and log if there is none of
 * this boot. segment->fd is the segment file before, the image afterwards. Errors of
 * sj_segment_open; SJ_EPERM when there is no image and the caller may not write one.
 */
int sj_wal_attach(struct sj_segment *segment, const char *path, bool first);
/* Whether a writer has died between its commit and telling the log: sj_segment_recover tells it. */
bool sj_wal_pending(const struct sj_segment *segment);
/* `last`: the log goes into the segment file, which is marked clean; the image goes. SJ_EIO,
 * SJ_ECORRUPT, SJ_EFULL: then image or log remain for the next one. */
int sj_wal_detach(struct sj_segment *segment, bool last);
/* In the child of a fork: the checkpointing thread is the parent's. */
void sj_wal_forked(struct sj_segment *segment);

/* Makes room in the segment file and in the image. SJ_EFULL, SJ_EIO. */
int sj_wal_grow(struct sj_segment *segment, uint64_t from, uint64_t bytes);

/* ---- for the domain (tx.c, log.c) ---- */

extern const struct sj_domain sj_wal_domain;

/* SJ_EIO when the log has failed, SJ_EDAMAGED when a page that others share is lost: what was read
 * there before may be zeros. */
int sj_wal_usable(const struct sj_segment *segment);

/* ---- for hold.c ---- */

/* With the write hold: the position that its commits wait for, which are then forgotten; 0: none.
 * Else the segment stays attached until sj_wal_acknowledge has been called. */
uint64_t sj_wal_take_unacknowledged(struct sj_segment *segment);
/* Without the hold: waits until that position is on disk, writing if nobody else does. SJ_EIO. */
int sj_wal_acknowledge(struct sj_segment *segment, uint64_t position);
/* Whether a thread of this process is between the two. */
bool sj_wal_is_awaited(const struct sj_segment *segment);

/* ---- inside ---- */

/* With flush_mutex, or for one word of it that was true a moment ago. */
static inline const struct sj_wal_place *sj_wal_place_now(const struct sj_wal *wal)
{
    return &wal->shared->place[__atomic_load_n(&wal->shared->which, __ATOMIC_ACQUIRE) & 1];
}

#define SJ_WAL_BUFFER_BYTES (SJ_WAL_RING + 2 * SJ_PAGE)

/* wal_file.c */
extern uint64_t sj_wal_log_step;  /* bytes that a log file begins with, and grows by */
extern uint64_t sj_wal_log_limit; /* a log file of that many bytes makes way for the other one */
/* Opens both files; `make`: makes those that are missing. SJ_ECORRUPT when one is. */
int sj_wal_files_open(struct sj_wal *wal, const char *segment_name, bool make);
void sj_wal_file_close(struct sj_wal_file *file);
/* Batches of the file begin at multiples of `sector`. */
void sj_wal_file_suit(struct sj_wal_file *file, uint64_t sector);
/* Writes and syncs, whole sectors from an aligned buffer; 0 or an errno. */
int sj_wal_file_write(const struct sj_wal_file *file, const void *buffer, uint64_t bytes,
                      uint64_t at);
/* Up to `bytes` bytes into an aligned buffer; how many, or -errno. */
int64_t sj_wal_file_read(const struct sj_wal_file *file, void *buffer, uint64_t bytes, uint64_t at);
/* What is read from now on is on the disk; 0 or an errno. */
int sj_wal_file_settle(const struct sj_wal_file *file);
/* Writes zeros so that later writes change no metadata, and syncs; 0 or an errno: then the file
 * ends at `from` as before. */
int sj_wal_file_extend(const struct sj_wal_file *file, uint64_t from, uint64_t to);
/* Whether an error number says that there is no room, which may change. */
static inline bool sj_wal_is_full(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EFBIG;
}
/* Begins the epoch of `place` in the file; `buffer`: a page, aligned. 0 or an errno. */
int sj_wal_file_begin(const struct sj_wal_file *file, const uint8_t uuid[16], uint64_t file_bytes,
                      const struct sj_wal_place *place, void *buffer);
bool sj_wal_header_is_whole(const struct sj_wal_header *header, const uint8_t uuid[16]);
void *sj_wal_buffer(uint64_t bytes);
void sj_wal_buffer_free(void *buffer, uint64_t bytes);
uint64_t sj_wal_batch_checksum(const struct sj_wal_batch *batch, uint64_t salt);
/* A file that was made gets the owner, group and permissions of another one, as far as may be. */
void sj_wal_give_away(int fd, const struct stat *owner);

/* wal_replay.c: hands the ranges of all committed transactions of epochs [first, end) to `apply`,
 * in order; `end` 0: all that there are. `place`: where the log ends. SJ_ECORRUPT, SJ_EIO. */
typedef int sj_wal_apply(void *context, uint64_t offset, const void *bytes, uint64_t count);
struct sj_wal_replay {
    struct sj_wal *wal;
    const char *name; /* of the segment */
    const uint8_t *uuid;
    uint64_t reserved;
    uint64_t first;
    uint64_t end;
    sj_wal_apply *apply;
    void *context;
};
int sj_wal_replay(const struct sj_wal_replay *replay, struct sj_wal_place *place);

/* wal_checkpoint.c: all epochs before the one in use go into the segment file. SJ_EIO, SJ_EFULL. */
int sj_wal_checkpoint(struct sj_segment *segment);
/* The epoch in use as well, by the last process; the superblock does not say so yet. The log may
 * begin anew with `next_epoch`. SJ_ECORRUPT when the log does not have what was written. */
int sj_wal_checkpoint_all(struct sj_segment *segment, uint64_t *next_epoch);
/* Has the thread do it. */
void sj_wal_want_checkpoint(struct sj_segment *segment);
void sj_wal_stop_thread(struct sj_wal *wal);
/* The pages that have none get checksums, as far as they can be read. */
void sj_wal_sums_refresh(struct sj_segment *segment);
/* So do these, as multiples of SJ_PAGE, whatever theirs are; with superblocks, another one is
 * written. SJ_EIO, SJ_ECORRUPT. */
int sj_wal_sums_accept(struct sj_segment *segment, const uint64_t *offset, uint64_t count);

/* wal_shared.c */
/* Maps and guards what lies behind the image. SJ_ENOMEM. */
int sj_wal_map_shared(struct sj_segment *segment, int image);
void sj_wal_unmap_shared(struct sj_wal *wal);
/* By the first process: those who had them are dead. */
void sj_wal_make_mutexes(struct sj_wal_shared *shared);
/* Waits for a mutex of the shared page. SJ_EIO, SJ_EDAMAGED: the log has failed meanwhile. */
int sj_wal_lock(struct sj_segment *segment, pthread_mutex_t *mutex);
bool sj_wal_try_lock(pthread_mutex_t *mutex);
/* Gives it back, and wakes the sleepers. */
void sj_wal_unlock(struct sj_wal *wal, pthread_mutex_t *mutex);
/* Sleeps until a mutex has been given back since that word was read, or a while. */
uint32_t sj_wal_wake_word(const struct sj_wal *wal);
void sj_wal_sleep(struct sj_wal *wal, uint32_t wake);
/* With flush_mutex. */
void sj_wal_set_place(struct sj_wal *wal, const struct sj_wal_place *place);
/* Without it: words that belong together. A place stays as it is until `which` has risen twice. */
struct sj_wal_place sj_wal_copy_place(const struct sj_wal *wal);
/* The store takes no more changes, for that error number. SJ_EIO; SJ_EDAMAGED. */
int sj_wal_fail(const struct sj_segment *segment, int number);

/* wal_image.c: where the working image lies that the superblock names; "" when it names none.
 * SJ_EINVAL: SPACEJMP_SHM is too long. */
int sj_wal_image_path(const struct sj_super *super, char path[4096]);
/* What errno says of memory for the image. */
int sj_wal_no_memory(const struct sj_segment *segment, const char *call);

/*
 * wal_sums.c: checksums of the segment file's pages (sums.h). With checkpoint_mutex, or by the only
 * process.
 */
static inline bool sj_wal_has_failed(const struct sj_wal *wal)
{
    return wal->shared != NULL && __atomic_load_n(&wal->shared->failed, __ATOMIC_ACQUIRE) != 0;
}
/* Has those that count while that superblock does go on counting for the next one. */
void sj_wal_sums_adopt(struct sj_segment *segment, const struct sj_super *super);
/* Those that are open count for nothing: a page is not what was written. */
void sj_wal_sums_forget(struct sj_segment *segment);
/* Writes a superblock (sj_super_write) that they name, if they can. SJ_EIO. */
int sj_wal_super_write(struct sj_segment *segment, struct sj_super *super, uint64_t which);
/* Before pages of the file are written. SJ_EIO, SJ_ECORRUPT: the superblock. */
int sj_wal_sums_begin(struct sj_segment *segment);
/* Whether a page that was read is what its checksum says. */
bool sj_wal_sums_fit(const struct sj_segment *segment, uint64_t page, const void *bytes);
/* Before the page is written, and after it; `fitted`: it was what its checksum said. */
void sj_wal_sums_mark(struct sj_segment *segment, uint64_t page);
void sj_wal_sums_set(struct sj_segment *segment, uint64_t page, const void *bytes, bool fitted);
/* Sets those of all marked pages; whether all pages have one. */
bool sj_wal_sums_compute(struct sj_segment *segment);
/* Before the superblock says "clean": they count for it only if that worked. */
void sj_wal_sums_finish(struct sj_segment *segment);
/* A page of the segment file; false when it cannot be read. */
bool sj_wal_read_page(const struct sj_wal *wal, uint64_t page, void *bytes);

/* wal_ring.c */
extern uint64_t sj_wal_record_limit; /* bytes of a record, at most */
extern uint64_t sj_wal_ring_limit;   /* bytes of records that wait, at most: SJ_WAL_RING */
extern uint64_t sj_wal_log_bound;    /* of a log file, when checkpoints do not keep up */
/* All records go to the log. SJ_EIO. */
int sj_wal_flush(struct sj_segment *segment);

#endif
