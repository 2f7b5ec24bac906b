// SPDX-License-Identifier: Apache-2.0
/*
 * tlb.h: what a core remembers of page tables: TLBs of two levels, and page-walk caches.
 *
 *   first level    for pages of 4 KiB, 2 MiB and 1 GiB each a small cache, or one for all of them
 *   second level   one larger cache, or two, each for the page sizes that it takes
 *   walk caches    for level n ≥ 2 the entries that lead to a table of level n − 1: a walk begins
 *                  at the lowest level whose table is known
 *   entry lines    the cache lines of page-table entries that the data caches still have: near
 *                  (first data cache) and mid (second); not emptied by a flush
 *
 *   a key          page number << 16 │ tag << 4 │ level << 1 │ 1; 0 is an empty place
 *
 * A translation is found only under the tag that it was entered with (PCID). The second level holds
 * what the first one does, at first; they evict independently, as on these machines.
 *
 * T1  A set's keys are different, and belong to it.
 * T2  Under LRU they lie in the order of use, newest first, and behind them the empty places.
 * T3  What is in a walk cache or a TLB is what a walk would find: whoever unmaps drops the range.
 *
 * Not thread-safe. Cost: a lookup compares at most the ways of one set of each cache; dropping a
 * tag or a range reads all keys.
 */
#ifndef SJ_SPACEJMP_MMU_TLB_H
#define SJ_SPACEJMP_MMU_TLB_H

#include <stdbool.h>
#include <stdint.h>

#include "spacejmp/mmu/page_table.h"

#define SJ_TLB_TAGS 4096 /* 12 bits */

enum sj_tlb_policy {
    SJ_TLB_LRU = 0,  /* the least recently used goes */
    SJ_TLB_PLRU = 1, /* a bit for each way, set by use; when all are set the others are cleared; the
                        first way without one goes */
};

/* entries 0: there is no such cache. ways 0: fully associative. entries / ways is a power of 2. */
struct sj_tlb_shape {
    uint16_t entries;
    uint16_t ways;
};

struct sj_tlb_spec {
    struct sj_tlb_shape first[3]; /* by page size; of a shared one only the first */
    bool first_shared;
    struct sj_tlb_shape second[2];
    uint8_t second_sizes[2];     /* bits: 1 for 4 KiB, 2 for 2 MiB, 4 for 1 GiB */
    struct sj_tlb_shape walk[4]; /* for entries of levels 2 … 5 */
    struct sj_tlb_shape near, mid;
    enum sj_tlb_policy policy;
    bool tags; /* it has tags; else each switch forgets everything */
};

/* One set-associative cache of keys. */
struct sj_tlb_cache {
    uint64_t *key;  /* sets × ways; NULL: there is none */
    uint64_t *used; /* PLRU: two words of bits for each set */
    uint32_t sets;
    uint32_t ways;
    bool plru;
};

struct sj_tlb {
    struct sj_tlb_cache first[3], second[2], walk[4], near, mid;
    uint8_t second_sizes[2];
    uint8_t sizes; /* bits 1, 2, 3: levels of pages that were entered ever */
    bool first_shared;
    bool tags;
};

enum sj_tlb_place { SJ_TLB_FIRST, SJ_TLB_SECOND, SJ_TLB_NOWHERE };

/* Where the data caches had an entry that a walk read. */
enum sj_tlb_load { SJ_LOAD_NEAR, SJ_LOAD_MID, SJ_LOAD_FAR, SJ_LOADS };

/* SJ_EINVAL: sets are no power of 2, or more than 128 ways. SJ_ENOMEM. After an error there is
 * nothing to clear. */
int sj_tlb_init(struct sj_tlb *tlb, const struct sj_tlb_spec *spec);
void sj_tlb_clear(struct sj_tlb *tlb);

/*
 * Where the translation of an address is; one that only the second level has is then in the first.
 * If it is nowhere a walk follows, then sj_tlb_enter, or sj_tlb_leave when the walk found no page.
 * (As long as all pages have one size, a miss has made room already: a fault costs an entry.)
 */
enum sj_tlb_place sj_tlb_find(struct sj_tlb *tlb, uint64_t address, uint32_t tag);

/* Remembers the page of `level` that a walk has found for the address. */
void sj_tlb_enter(struct sj_tlb *tlb, uint64_t address, uint32_t level, uint32_t tag);

/* Forgets the page of `level` of an address. */
void sj_tlb_leave(struct sj_tlb *tlb, uint64_t address, uint32_t level, uint32_t tag);

/* The level whose table a walk for the address begins with, of a tree of `levels`. */
uint32_t sj_tlb_walk_start(struct sj_tlb *tlb, uint64_t address, uint32_t levels, uint32_t tag);

/* Remembers the entries of levels `from` … `to` ≥ 2 that a walk has read, which lead to tables. */
void sj_tlb_walk_enter(struct sj_tlb *tlb, uint64_t address, uint32_t from, uint32_t to,
                       uint32_t tag);

/* Reads an entry, by its number, through the data caches' share. */
enum sj_tlb_load sj_tlb_load(struct sj_tlb *tlb, uint64_t entry);

/* Forgets what has that tag; without tags everything. Entry lines stay. */
void sj_tlb_drop_tag(struct sj_tlb *tlb, uint32_t tag);

/* Forgets what touches the range, under all tags. */
void sj_tlb_drop_range(struct sj_tlb *tlb, uint64_t base, uint64_t bytes);

/* Forgets everything, entry lines too. */
void sj_tlb_drop_all(struct sj_tlb *tlb);

#endif
