// SPDX-License-Identifier: Apache-2.0
/*
 * wal_layout.h: the write-ahead log on disk, and what the processes of a `wal` store share in
 * memory.
 *
 * On disk, beside the segment file NAME.seg: NAME.seg.log0 and NAME.seg.log1, both from the first
 * opening on, and never shorter than a page. Epoch e of the log is in file e mod 2.
 *
 *   log file:  header (4096) | batch | batch | …          each begins at a sector
 *   batch:     head | record | record | …, padded to a sector    what one flush writes
 *   record:    head | range | range | …                    what one transaction, or a part, changes
 *   range:     offset | bytes | new bytes                  multiples of 8
 *
 * A batch counts when its epoch is the file's, it begins at the log position at which the one
 * before it ended, its `chain` is the checksum of the one before it, and its own checksum fits,
 * which begins with the log's `salt`: a random number that a log gets when it begins anew, behind a
 * clean segment file. What an older log, or that of another store, has left in the file never
 * counts.
 *
 * In memory (tmpfs), one file: the working image of the segment, `reserved` bytes of which those in
 * use are allocated, then struct sj_wal_shared, then the ring, through which records go to the log.
 */
#ifndef SJ_PERSISTENCE_WAL_LAYOUT_H
#define SJ_PERSISTENCE_WAL_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_WAL_MAGIC        0x00474f4c4a505300ull
#define SJ_WAL_BATCH_MAGIC  0x4843544142304a53ull
#define SJ_WAL_SHARED_MAGIC 0x004d454d4a505300ull
#define SJ_WAL_VERSION      1u

#ifdef SJ_SEAM
#define SJ_WAL_RING (64ull << 10) /* tests make many */
#else
#define SJ_WAL_RING (4ull << 20)
#endif
#define SJ_WAL_BATCHES SJ_PAGE /* where the first batch begins in a log file */

struct sj_wal_header {
    uint64_t magic;
    uint32_t version;
    uint32_t sector; /* batches begin at multiples of it; 512 to 4096 */
    uint8_t uuid[16];
    uint64_t epoch;
    uint64_t position; /* of the first batch: bytes of records that came before it */
    uint64_t chain;    /* checksum of the last batch of the epoch before */
    uint64_t salt;
    uint64_t file_bytes; /* of the file when the epoch began: a shorter one was cut off */
    uint8_t zero[4096 - 80];
    uint64_t checksum;
};

struct sj_wal_batch {
    uint64_t magic;
    uint64_t epoch;
    uint64_t position;
    uint64_t bytes; /* of records, a multiple of 8 */
    uint64_t chain;
    uint64_t file_bytes; /* of the file when this was written: a shorter one was cut off */
    uint64_t checksum;   /* over the salt, the words above and the records */
};

enum sj_wal_flags {
    SJ_WAL_BEGIN =
        1, /* a transaction begins; one that had begun and not committed counts for nothing */
    SJ_WAL_COMMIT = 2, /* the transaction's last record */
};

struct sj_wal_record {
    uint32_t flags;
    uint32_t ranges;
    uint64_t bytes; /* with this head */
    uint64_t generation;
    uint64_t committed; /* these three words of the root page change without a log entry */
    uint64_t chunks;
    uint64_t removals;
};

struct sj_wal_range {
    uint64_t offset; /* in the segment */
    uint64_t bytes;
    uint64_t data[];
};

/* How far the log is on disk. */
struct sj_wal_place {
    uint64_t durable; /* position up to which records are on disk */
    uint64_t epoch;
    uint64_t at;    /* where the next batch goes in that epoch's file */
    uint64_t chain; /* checksum of the last batch */
    uint64_t open;  /* 1: the last record on disk does not end its transaction */
    uint64_t salt;
    uint64_t sector; /* batches begin at multiples of it */
};

struct sj_wal_shared {
    uint64_t magic;
    uint32_t version;
    uint32_t mutex_bytes;
    uint8_t uuid[16];
    uint8_t nonce[16];
    uint64_t device; /* of the segment file: a copy of it has an image of its own */
    uint64_t inode;
    /* Stored by who has the segment's write hold. */
    uint64_t tail;        /* position after the last committed record in the ring */
    uint64_t streaming;   /* 1: records of a transaction that has not committed are before it */
    uint64_t pending_end; /* the tail that the commit is going to make */
    uint64_t pending_generation; /* of that commit; 0: none is going on */
    uint64_t commits;            /* that there have been */
    uint8_t zero0[24];
    /* Stored by who has flush_mutex. */
    pthread_mutex_t flush_mutex;
    uint8_t zero1[64 - sizeof(pthread_mutex_t)];
    struct sj_wal_place place[2];
    uint64_t which; /* rises with every change of place; place[which % 2] counts */
    uint64_t log_bytes[2];
    uint32_t wake;    /* futex: rises with every flush */
    uint32_t waiters; /* threads that sleep on it */
    uint32_t failed;  /* errno of the write that failed; no more are tried */
    uint32_t zero2;
    uint64_t flushed;  /* how many of the commits are on disk */
    uint64_t expected; /* how many are going to wait for the next flush, it seems */
    uint64_t sync_ns;  /* how long a write and its sync take */
    uint8_t zero3[16];
    /* Stored by who has checkpoint_mutex. */
    pthread_mutex_t checkpoint_mutex;
    uint8_t zero4[64 - sizeof(pthread_mutex_t)];
    uint64_t log_epoch; /* the first epoch that the segment file does not contain */
    uint8_t zero5[4096 - 456];
};

#define SJ_WAL_SHARED_BYTES (sizeof(struct sj_wal_shared) + SJ_WAL_RING)

_Static_assert(sizeof(struct sj_wal_header) == 4096, "media");
_Static_assert(offsetof(struct sj_wal_header, uuid) == 16, "media");
_Static_assert(offsetof(struct sj_wal_header, epoch) == 32, "media");
_Static_assert(offsetof(struct sj_wal_header, position) == 40, "media");
_Static_assert(offsetof(struct sj_wal_header, chain) == 48, "media");
_Static_assert(offsetof(struct sj_wal_header, salt) == 56, "media");
_Static_assert(offsetof(struct sj_wal_header, file_bytes) == 64, "media");
_Static_assert(offsetof(struct sj_wal_header, checksum) == 4088, "media");
_Static_assert(sizeof(struct sj_wal_batch) == 56, "media");
_Static_assert(offsetof(struct sj_wal_batch, epoch) == 8, "media");
_Static_assert(offsetof(struct sj_wal_batch, position) == 16, "media");
_Static_assert(offsetof(struct sj_wal_batch, bytes) == 24, "media");
_Static_assert(offsetof(struct sj_wal_batch, chain) == 32, "media");
_Static_assert(offsetof(struct sj_wal_batch, file_bytes) == 40, "media");
_Static_assert(offsetof(struct sj_wal_batch, checksum) == 48, "media");
_Static_assert(sizeof(struct sj_wal_record) == 48, "media");
_Static_assert(offsetof(struct sj_wal_record, bytes) == 8, "media");
_Static_assert(offsetof(struct sj_wal_record, generation) == 16, "media");
_Static_assert(offsetof(struct sj_wal_record, committed) == 24, "media");
_Static_assert(offsetof(struct sj_wal_record, chunks) == 32, "media");
_Static_assert(offsetof(struct sj_wal_record, removals) == 40, "media");
_Static_assert(sizeof(struct sj_wal_range) == 16, "media");
_Static_assert(offsetof(struct sj_wal_range, bytes) == 8, "media");
_Static_assert(sizeof(struct sj_wal_place) == 56, "shared");
_Static_assert(offsetof(struct sj_wal_shared, tail) == 64, "shared");
_Static_assert(offsetof(struct sj_wal_shared, flush_mutex) == 128, "shared");
_Static_assert(offsetof(struct sj_wal_shared, place) == 192, "shared");
_Static_assert(offsetof(struct sj_wal_shared, checkpoint_mutex) == 384, "shared");
_Static_assert(sizeof(struct sj_wal_shared) == 4096, "shared");

#endif
