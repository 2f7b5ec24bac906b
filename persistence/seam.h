// SPDX-License-Identifier: Apache-2.0
/*
 * seam.h: the one place where bytes are stored to media, flushed and fenced.
 *
 * Fault model. A segment is memory that outlives the process. A process may die at any
 * instruction (SIGKILL): what it had stored so far, in program order, is on the media. With a
 * domain that promises power-loss durability the machine may stop as well: then, between two
 * fences, each cache line has reached the media with any prefix of its 8-byte stores.
 *
 * So the unit of every store is one aligned 8-byte word. The functions below are the only ones
 * that store to media. In a release build they are plain stores; a build with -DSJ_SEAM calls
 * `sj_seam_hook` before each word, flush and fence, so that a test can record, count or stop.
 *
 * I1  A word store is atomic: a crash leaves the old or the new word.
 * I2  Stores before sj_fence() are on the media before any store after it: in program order for
 *     a process's death, in fence order for the machine's (when flushed).
 */
#ifndef SJ_PERSISTENCE_SEAM_H
#define SJ_PERSISTENCE_SEAM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "persistence/domain.h"
#include "persistence/error.h"

#ifdef SJ_SEAM

enum sj_seam_event { SJ_SEAM_STORE, SJ_SEAM_FLUSH, SJ_SEAM_FENCE };

/* Called before every event when not NULL: a store of the word `value` at `at`, a flush of the
 * `value` bytes at `at`, a fence (`at` NULL). */
SJ_API extern void (*sj_seam_hook)(enum sj_seam_event event, void *at, uint64_t value);

/* The same for files that are written to without being mapped: before a write of `count` bytes at
 * offset `at`; after a sync, `bytes` NULL. */
SJ_API extern void (*sj_seam_disk_hook)(int fd, const void *bytes, uint64_t count, uint64_t at);

SJ_API void sj_seam_event(enum sj_seam_event event, void *at, uint64_t value);
SJ_API void sj_seam_copy(void *target, const void *source, size_t bytes);
SJ_API void sj_seam_move(void *target, const void *source, size_t bytes);
SJ_API void sj_seam_zero(void *target, size_t bytes);
SJ_API void sj_seam_bytes(void *target, const void *source, size_t bytes);

#endif

/* Says that a file is about to be written to. */
static inline void sj_disk_write(int fd, const void *bytes, uint64_t count, uint64_t at)
{
    (void)fd, (void)bytes, (void)count, (void)at;
#ifdef SJ_SEAM
    if (sj_seam_disk_hook != NULL)
        sj_seam_disk_hook(fd, bytes, count, at);
#endif
}

/* Says that a file's data has been synced. */
static inline void sj_disk_sync(int fd)
{
    sj_disk_write(fd, NULL, 0, 0);
}

/* Stores one aligned word. */
static inline void sj_store(void *at, uint64_t value)
{
#ifdef SJ_SEAM
    sj_seam_event(SJ_SEAM_STORE, at, value);
#endif
    __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
}

/* Stores an aligned half of a word. */
static inline void sj_store_half(void *at, uint32_t value)
{
#ifdef SJ_SEAM
    uint64_t *whole = (uint64_t *)((uintptr_t)at & ~(uintptr_t)7), word = *whole;
    memcpy((char *)&word + ((uintptr_t)at & 7), &value, sizeof value);
    sj_seam_event(SJ_SEAM_STORE, whole, word);
#endif
    __atomic_store_n((uint32_t *)at, value, __ATOMIC_RELAXED);
}

/* Stores `bytes` bytes; `target` is 8-byte aligned, and the word that holds the last byte belongs
 * to the target whole. They do not overlap their source, except on damaged media (a fresh block
 * that is in use already): then anything may be stored, in the target alone. */
static inline void sj_copy(void *target, const void *source, size_t bytes)
{
#ifdef SJ_SEAM
    sj_seam_copy(target, source, bytes);
#else
    memmove(target, source, bytes);
#endif
}

/* Stores `bytes` bytes at any address; those beside them, in the same words, are not touched, for
 * they may be another one's at this moment. */
static inline void sj_store_bytes(void *target, const void *source, size_t bytes)
{
#ifdef SJ_SEAM
    sj_seam_bytes(target, source, bytes);
#else
    memmove(target, source, bytes);
#endif
}

/* Moves `bytes` bytes (a multiple of 8) within the media; the ranges may overlap. */
static inline void sj_move(void *target, const void *source, size_t bytes)
{
#ifdef SJ_SEAM
    sj_seam_move(target, source, bytes);
#else
    memmove(target, source, bytes);
#endif
}

/* Stores `bytes` zero bytes (a multiple of 8). */
static inline void sj_zero(void *target, size_t bytes)
{
#ifdef SJ_SEAM
    sj_seam_zero(target, bytes);
#else
    memset(target, 0, bytes);
#endif
}

/* Reads one word that another process may store at the same time. */
static inline uint64_t sj_load(const void *at)
{
    return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

/* Hands a stored range to the media, in any order, until the next fence. */
static inline void sj_flush(const struct sj_domain *domain, const void *at, size_t bytes)
{
#ifdef SJ_SEAM
    sj_seam_event(SJ_SEAM_FLUSH, (void *)(uintptr_t)at, bytes);
#endif
    if (SJ_UNLIKELY(domain->flush != NULL))
        domain->flush(at, bytes);
}

/* Orders what was stored and flushed before it against all that is stored after it. */
static inline void sj_fence(const struct sj_domain *domain)
{
#ifdef SJ_SEAM
    sj_seam_event(SJ_SEAM_FENCE, NULL, 0);
#endif
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (SJ_UNLIKELY(domain->drain != NULL))
        domain->drain();
}

#endif
