// SPDX-License-Identifier: Apache-2.0
/*
 * lock_layout.h: the lock file of a space: many readers or one writer, between processes.
 *
 * It is volatile: its contents count for one boot of the machine and are made anew in the next.
 *
 *   0      header: magic, version, boot id          set once, under an exclusive OFD lock
 *   128    writer: robust mutex, flag, change count
 *   2048   bells: one cache line each, for those who wait until something has been changed (bell.h)
 *   4096   slots: one cache line each; a reader announces itself in its own
 *
 * OFD locks on bytes beyond the file tell who is alive: byte SJ_LOCK_PRESENCE is locked shared by
 * every process that has the space attached; byte SJ_LOCK_SLOT0 + i exclusively by the process that
 * owns slot i; byte SJ_LOCK_CLOSING exclusively by the one that is detaching, so that of those that
 * do so at the same time one sees itself alone. The kernel frees them when the process dies. And
 * bytes SJ_LOCK_VIEWS + i … of a view of the segment's bytes from offset i on, shared by each
 * process that has one (views.h); of one that is written through, SJ_LOCK_WRITES + i … as well.
 */
#ifndef SJ_SPACEJMP_LOCK_LAYOUT_H
#define SJ_SPACEJMP_LOCK_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SJ_LOCK_MAGIC    0x004b434f4c4a5300ull
#define SJ_LOCK_VERSION  1u
#define SJ_LOCK_SLOTS    960u
#define SJ_LOCK_BELLS    32u
#define SJ_LOCK_PRESENCE (1l << 40)
#define SJ_LOCK_CLOSING  (SJ_LOCK_PRESENCE - 1)
#define SJ_LOCK_SLOT0    (SJ_LOCK_PRESENCE + 1)
#define SJ_LOCK_VIEWS    (1l << 50) /* segments are far below 2⁵⁰ bytes */
#define SJ_LOCK_WRITES   (1l << 51)

struct sj_lock_slot {
    uint64_t reading; /* 1 while its owner is inside */
    uint64_t taken;   /* 1 while a thread has it; its process holds the slot's OFD lock */
    uint8_t zero[48];
};

struct sj_lock_bell {
    uint32_t rings; /* futex: how often it was rung */
    uint32_t armed; /* bit 0: somebody may be waiting; above it, how often somebody said so */
    uint32_t user;  /* whose it is: who has waited here, SJ_LOCK_BELL_MIXED when several have */
    uint8_t zero[52];
};

#define SJ_LOCK_BELL_MIXED UINT32_MAX

struct sj_lock_page {
    uint64_t magic;
    uint32_t version;
    uint32_t mutex_bytes; /* sizeof(pthread_mutex_t): the C library must agree */
    uint8_t boot_id[16];
    uint8_t zero0[96];
    pthread_mutex_t mutex; /* robust, shared between processes: the writer has it */
    uint8_t zero1[64 - sizeof(pthread_mutex_t)];
    uint32_t writer;     /* 1 from when a writer wants in until it leaves */
    uint32_t recover;    /* 1 while a dead writer's log waits to be rolled back */
    uint32_t wake;       /* futex: readers that leave while a writer waits bump it */
    uint32_t give_way;   /* a reader is waiting on the mutex: the next writer pauses once */
    uint32_t slots_used; /* slots at or after this one were never taken */
    uint32_t zero2;
    uint64_t changes; /* rises with every change, only under the mutex */
    uint8_t zero3[2048 - 128 - 64 - 32];
    struct sj_lock_bell bell[SJ_LOCK_BELLS];
    struct sj_lock_slot slot[SJ_LOCK_SLOTS];
};

_Static_assert(sizeof(pthread_mutex_t) <= 64, "the mutex has a cache line");
_Static_assert(sizeof(struct sj_lock_slot) == 64, "a slot is a cache line");
_Static_assert(offsetof(struct sj_lock_page, mutex) == 128, "lock file");
_Static_assert(offsetof(struct sj_lock_page, writer) == 192, "lock file");
_Static_assert(sizeof(struct sj_lock_bell) == 64, "a bell is a cache line");
_Static_assert(offsetof(struct sj_lock_page, bell) == 2048, "lock file");
_Static_assert(offsetof(struct sj_lock_page, slot) == 4096, "lock file");
_Static_assert(sizeof(struct sj_lock_page) == 4096 + 64 * SJ_LOCK_SLOTS, "lock file");

#endif
