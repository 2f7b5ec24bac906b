// SPDX-License-Identifier: Apache-2.0
/*
 * segment.h: one file, mapped at its fixed base: superblocks, log, heap and roots in one object.
 *
 * A process has at most one `sj_segment` for a file (space.c sees to that). Nothing here locks:
 * whoever changes a segment has its write hold, whoever reads has at least a read hold (hold.h).
 *
 *   states        sj_segment_create → (file exists, clean)
 *                 sj_segment_open → open ⇄ (transactions, tx.h) → sj_segment_close → closed
 *                 a process dies in a transaction → sj_segment_recover → open
 */
#ifndef SJ_PERSISTENCE_SEGMENT_H
#define SJ_PERSISTENCE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "persistence/domain.h"
#include "persistence/error.h"
#include "persistence/heap_layout.h"
#include "persistence/log_layout.h"
#include "persistence/media_layout.h"
#include "persistence/seam.h"
#include "persistence/touch.h"
#include "persistence/tx.h"

/* Where the last free page was found: only a hint, and only good while nobody else has written. */
struct sj_page_hints {
    uint64_t generation; /* of the log, when the hints were true */
    uint64_t chunk;
    uint64_t page; /* the head of a run, or free */
};

/* Who is to be woken when the lock is given back (spacejmp/bell.h), for all that was changed. */
struct sj_bells {
    uint32_t rung;  /* a bit for each bell */
    uint32_t wakes; /* how many at each of them */
};

struct sj_guard_range;
struct sj_sums;
struct sj_wal;

struct sj_segment;

/* Whether any process has live views of those bytes (spacejmp/views.h); `writable`: such as may be
 * written through. */
typedef bool sj_segment_viewed(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                               bool writable);

struct sj_segment {
    char *base;                     /* on media; it is mapped there, or moved aside */
    struct sj_root_page *root_page; /* base + SJ_ROOT_PAGE_AT: has `committed` */
    struct sj_log *log;             /* base + SJ_LOG_AT */
    const struct sj_domain *domain;
    struct sj_wal *wal; /* of a `wal` domain, else NULL; then `fd` is the working image */
    bool damaged;       /* the file has lost bytes; never unset (loss.h) */
    struct sj_tx tx;    /* this process's transaction */
    struct sj_bells bells;
    uint64_t reserved;
    uint64_t meta_bytes;  /* the fixed part: superblocks to chunk directory */
    uint64_t heap;        /* where blocks begin, behind it; or SJ_TOUCH_WATCHED (touch.h) */
    uint64_t spans;       /* the base; or SJ_TOUCH_WATCHED */
    uint64_t sums_at;     /* where the checksum of page 0 of all memory would be (sums.h) */
    struct sj_sums *sums; /* kept since the first change of this process; or NULL */
    char *sums_path;
    int fd;
    bool writable;      /* opened for writing */
    bool rw_possible;   /* the file can be written, if only to recover it */
    bool is_version;    /* nobody changes it (clone.h) */
    bool read_only;     /* has features for which this version must not write to it */
    bool dirty;         /* written to since it was opened */
    bool accepted;      /* opened though it was unclean: the caller vouches for it */
    bool sync_failed;   /* what its storage has is not known */
    bool lockable;      /* a switch takes its lock (settings.h) */
    bool is_private;    /* changes stay in this process's memory (sj_segment_open_private) */
    uint64_t mapped_at; /* where its mapping is: its base, or where it was moved; 0: nowhere */
    uint64_t left_at;  /* where it was moved from, still reserved by an empty mapping; 0: nowhere */
    bool never_leaves; /* the kernel leaves no empty mapping of it behind */
    struct sj_guard_range *guard; /* of that mapping (guard.h) */
    bool frozen; /* damaged: the mapping is a private copy of the file's first `backed` bytes */
    uint64_t backed;
    uint64_t lost_at;          /* damaged: the address that was found lost first */
    uint64_t own_from;         /* private: from this offset on there is no file behind the memory */
    sj_segment_viewed *viewed; /* NULL: nobody makes views */
    void *viewed_by;           /* what its owner knows it by */
    struct sj_page_hints hints;
    uint64_t device; /* identity of the segment file */
    uint64_t inode;
    char name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
};

struct sj_segment_spec {
    const char *name;
    uint64_t base;     /* 1 GiB aligned, in the arena */
    uint64_t reserved; /* whole GiB */
    uint32_t mode;     /* file permissions, e.g. 0600 */
    enum sj_durability durability;
};

/* What a segment file says of itself, read without mapping it. */
struct sj_segment_info {
    char name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
    uint64_t base;
    uint64_t reserved;
    uint64_t file_bytes;
    uint64_t created_ns;
    bool clean;
    bool this_boot; /* last opened for writing since the machine started */
    enum sj_durability durability;
    bool frozen;      /* a version: for reading only, for ever */
    char image[4096]; /* path of the working image in memory, of a `wal` store; "": none */
};

/* Where segments may lie (x86-64 and aarch64 with 47 bits): below what ASLR uses. */
#define SJ_ARENA_FIRST 0x300000000000ull
#define SJ_ARENA_END   0x500000000000ull

/* Whether a segment may have this base and reserve: whole GiB inside the arena. */
SJ_API bool sj_range_is_valid(uint64_t base, uint64_t reserved);

/* Makes a segment in the file `path`, which must not exist; the file is complete and synced when
 * it appears under its name. SJ_EEXISTS, SJ_EFULL, SJ_EIO, SJ_EPERM. */
SJ_API int sj_segment_create(const char *path, const struct sj_segment_spec *spec);

/* Reads a segment's superblock. SJ_ENOTFOUND, SJ_EFORMAT, SJ_EVERSION, SJ_ECORRUPT, SJ_EPERM. */
SJ_API int sj_segment_inspect(const char *path, struct sj_segment_info *info);

/*
 * Maps the segment at its base. `first`: no other process has it open, so that a log left behind
 * is rolled back here. `accept_unclean`: go on although the machine stopped while it was open
 * (the caller then checks it). After a failure nothing is mapped.
 * SJ_EADDRESS, SJ_ETRUNCATED, SJ_EUNCLEAN, SJ_EDAMAGED and those of sj_segment_inspect.
 */
SJ_API int sj_segment_open(const char *path, bool writable, bool first, bool accept_unclean,
                           struct sj_segment **segment);

/* The same for the segment with that uuid (NULL: with any): SJ_ENOTFOUND, before anything is mapped
 * or rolled back, when the file is another one by now. */
SJ_API int sj_segment_open_uuid(const char *path, const uint8_t *uuid, bool writable, bool first,
                                bool accept_unclean, struct sj_segment **segment);

/* Lets a segment that was opened for reading be written from now on; it is mapped at its base, and
 * stays there meanwhile. SJ_EPERM, SJ_EVERSION, SJ_EDAMAGED, SJ_EIO. */
int sj_segment_make_writable(struct sj_segment *segment);
/*
 * Maps the segment in the open file, which nobody changes (a version, or a copy by
 * sj_segment_copy), so that changes stay in this process's memory: copied on a store, gone at the
 * close; a child of fork has its own. Takes `fd`, also when it fails. `uuid`: as above. Errors of
 * sj_segment_open.
 */
SJ_API int sj_segment_open_private(int fd, const char *path, const uint8_t *uuid, bool writable,
                                   struct sj_segment **segment);

/* Unmaps. `last`: no other process has it open; a segment that was written to is synced and marked
 * clean, unless it is damaged. The object is gone also when this fails (SJ_EIO, SJ_EDAMAGED when
 * the loss is found here). */
SJ_API int sj_segment_close(struct sj_segment *segment, bool last);

/*
 * Moves the segment's page tables: its mapping is at `to` then, a multiple of 1 GiB like where it
 * is now. Nobody uses its addresses meanwhile. `vacant`: the caller knows that the target
 * is free; else it is reserved first. SJ_EADDRESS: something is there; SJ_ENOMEM; SJ_EDAMAGED:
 * what has lost pages does not come home. (It makes way, and is zeros then.) After a failure it is
 * where it was.
 * Coming home, it keeps the range where it was, for the next time. Cost: one system call, two the
 * first time, whatever the size.
 */
int sj_segment_move(struct sj_segment *segment, uint64_t to, bool vacant);
/* Gives that range back. */
void sj_segment_unreserve(struct sj_segment *segment);

/* Writes everything to the file's storage (fsync). SJ_EIO, SJ_EDAMAGED. */
SJ_API int sj_segment_sync(struct sj_segment *segment);

/* Makes sure that the first `bytes` of the segment are backed by the file. SJ_EFULL before any
 * change, SJ_EDAMAGED when what was committed no longer is. Cost: a system call each time the file
 * has to grow. */
SJ_API int sj_segment_commit(struct sj_segment *segment, uint64_t bytes);

/* Notes on the media that the segment is being written to; before its first change. SJ_EIO,
 * SJ_EDAMAGED. */
int sj_segment_mark_dirty(struct sj_segment *segment);

/* Notes on the media that all of it is there, after its last change. SJ_EIO, SJ_EDAMAGED. */
int sj_segment_mark_clean(struct sj_segment *segment);

/*
 * Whether bytes of the file were found lost. What was read before this call counts only when they
 * were not; what was stored before it is in the file only then.
 */
static inline bool sj_segment_is_damaged(const struct sj_segment *segment)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&segment->damaged, __ATOMIC_RELAXED);
}

static inline void sj_segment_forget_hints(struct sj_segment *segment)
{
    segment->hints = (struct sj_page_hints){0};
}

/* Checks the log of a segment that has just been mapped; the first process to attach rolls back
 * what a dead one had begun. SJ_ECORRUPT, SJ_EDAMAGED. */
int sj_segment_take_over(struct sj_segment *segment, bool first);

/* The word at `at` as the running operation has it: what sj_tx_word was given last. */
static inline uint64_t sj_tx_peek(const struct sj_segment *segment, const uint64_t *at)
{
    const struct sj_tx *tx = &segment->tx;
    for (uint32_t i = tx->pending; SJ_UNLIKELY(i > 0); i--)
        if (tx->pending_store[i - 1].at == at)
            return tx->pending_store[i - 1].value;
    return *at;
}

/* Rolls back what a dead process had begun. Idempotent; may itself die anywhere. SJ_ECORRUPT,
 * SJ_EDAMAGED. */
SJ_API int sj_segment_recover(struct sj_segment *segment);

/* Bytes of the segment that the file backs: pointers below are safe to follow. */
static inline uint64_t sj_segment_committed(const struct sj_segment *segment)
{
    return sj_load(&segment->root_page->committed);
}

/* Whether `bytes` bytes at `at` lie in the committed part; `at` is any number read from media. */
static inline bool sj_segment_holds(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    uint64_t offset = at - (uint64_t)(uintptr_t)segment->base;
    uint64_t committed = sj_segment_committed(segment);
    return offset < committed && bytes <= committed - offset;
}

/* Whether a block of `bytes` bytes may lie at `at`: in the committed part, behind the fixed one. So
 * no pointer, whatever it is, makes a block of superblocks, log or descriptors. Nothing is
 * committed of a segment whose root page was lost (loss.h, L4). Of a watched segment: never
 * (touch.h). */
static inline bool sj_segment_holds_block(const struct sj_segment *segment, uint64_t at,
                                          uint64_t bytes)
{
    uint64_t offset = at - segment->heap;
    uint64_t committed = sj_segment_committed(segment);
    uint64_t room = committed > segment->meta_bytes ? committed - segment->meta_bytes : 0;
    return offset < room && bytes <= room - offset;
}

/* As sj_segment_block(), but NULL also when the segment is watched (touch.h): for code that then
 * begins again with that, so that its way without a trace needs no registers for a call. */
static inline void *sj_segment_block_quick(const struct sj_segment *segment, uint64_t at,
                                           uint64_t bytes, enum sj_kind kind)
{
    if (SJ_UNLIKELY((at & 7) != 0 || !sj_segment_holds_block(segment, at, bytes)))
        return NULL;
    struct sj_block *block = (struct sj_block *)(uintptr_t)at;
    return SJ_LIKELY(block->kind == kind) ? block : NULL;
}

/*
 * The block of `kind` and at least `bytes` bytes that a pointer read from media leads to, or NULL:
 * range, alignment and kind are checked, nothing else. NULL means SJ_ECORRUPT. Here a watched
 * segment is seen to be touched.
 */
static inline void *sj_segment_block(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                                     enum sj_kind kind)
{
    void *block = sj_segment_block_quick(segment, at, bytes, kind);
    return SJ_LIKELY(block != NULL) ? block : sj_touch_block(segment, at, bytes, kind);
}

/* Whether a block whose head was there already is so whole. */
static inline bool sj_segment_spans(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    uint64_t offset = at - segment->spans;
    uint64_t committed = sj_segment_committed(segment);
    return SJ_LIKELY(offset < committed && bytes <= committed - offset) ||
           sj_touch_span(segment, at, bytes);
}

static inline bool sj_segment_is_viewed(const struct sj_segment *segment, uint64_t at,
                                        uint64_t bytes, bool writable)
{
    return segment->viewed != NULL && segment->viewed(segment, at, bytes, writable);
}

/* Before a block is given back that views may be of: SJ_EVIEWS when there are some. With the write
 * hold: nobody makes one meanwhile. */
SJ_API int sj_segment_unviewed(const struct sj_segment *segment, uint64_t at, uint64_t bytes);

/* `errno` after a system call on `path`, as an error of ours. */
int sj_segment_failed(const char *path, const char *call);
/* SJ_EADDRESS, and what is mapped in [base, base + bytes). */
int sj_segment_taken(const char *path, uint64_t base, uint64_t bytes);
/* Makes the names in the directory of `path` durable. SJ_EIO. */
int sj_segment_sync_directory(const char *path);
/* Reads up to `count` bytes, all that there are; how many, or -1 and errno. */
ssize_t sj_segment_read(int fd, void *bytes, size_t count, uint64_t offset);
/* Writes all of it; -1 and errno. */
int sj_segment_write(int fd, const void *bytes, size_t count, uint64_t offset);
/* fallocate: the file has room for those bytes. -1 and errno. */
int sj_segment_allocate(int fd, uint64_t offset, uint64_t bytes);
#define SJ_SEGMENT_GROWTH (64ull << 10) /* a segment's file has a multiple of it, if that fits */
/* Opens the file of a segment, reads its status and the superblock that counts. `*writable`: in:
 * wanted, out: had. Errors of sj_segment_inspect. */
struct stat;
struct sj_super;
int sj_segment_open_file(const char *path, bool *writable, int *fd, struct stat *status,
                         struct sj_super *super);
/* A new file beside `path` without a name or, where the filesystem has none such, with the name
 * that is put into `temporary` (PATH_MAX bytes); else that is empty. -1 and errno. */
int sj_segment_open_unnamed(const char *path, uint32_t mode, char *temporary);
/* Gives it the name `path`. SJ_EEXISTS, SJ_EIO. */
int sj_segment_publish(int fd, const char *path, const char *temporary);

/* The same as an error: SJ_ECORRUPT with segment, offset and what was expected there. */
SJ_API int sj_segment_damaged(const struct sj_segment *segment, uint64_t at, const char *expected);

#endif
