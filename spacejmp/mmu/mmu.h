// SPDX-License-Identifier: Apache-2.0
/*
 * mmu.h: a machine as a model: address spaces with page tables, a TLB, and what things cost.
 *
 * The machine counts; `sj_mmu_*_cycles` multiply what was counted by a table of costs, so that the
 * same run can be told for other costs. All pages that a switch touches of the kernel lie in one
 * table that every address space links, as kernels do.
 *
 *   states   create → VASes and segments are made, mapped, linked ⇄ switched between, accessed
 *            → destroy
 *
 * M1  What the TLB has is what a walk of the VAS that has the tag would find: what unmaps or moves
 *     drops the range, and a tag that is given to another VAS is dropped first.
 * M2  accesses = first_hits + second_hits + walks, and faults ≤ walks.
 *
 * A switch to a VAS with tag 0 forgets what has tag 0 (Intel SDM 3A, 4.10.4.1: so does a load of
 * CR3 whose bit 63 is 0, with that PCID alone); on a CPU without tags, everything.
 *
 * Not thread-safe; making a VAS or a segment may move the others in memory. Cost of an access: a
 * few compares, and 4 or 5 loads for a walk.
 */
#ifndef SJ_SPACEJMP_MMU_MMU_H
#define SJ_SPACEJMP_MMU_MMU_H

#include <stddef.h>

#include "spacejmp/mmu/page_table.h"
#include "spacejmp/mmu/tlb.h"

/* What an access costs, in cycles: the sum of what it meets. Throughput, not latency: what
 * out-of-order execution hides is not in it. */
struct sj_mmu_costs {
    double access;         /* of a random cache line, translated by the first level */
    double second_hit;     /* more, when the second level has the translation */
    double walk;           /* more, when there is none, apart from the entries read */
    double load[SJ_LOADS]; /* for each entry read: in the first data cache, the second, farther */
    double cr3_flush;      /* a load of CR3 that flushes */
    double cr3_tag;        /* one that does not */
};

/* A CPU; `presets` in presets.c. */
struct sj_mmu_preset {
    const char *name;
    const char *title;
    double ghz;
    struct sj_tlb_spec tlb;
    struct sj_mmu_costs costs;
};

/* What the system does around CR3. */
struct sj_mmu_system {
    const char *name;
    const char *title;
    double call;        /* cycles of a system call in and out */
    double bookkeeping; /* cycles of a switch, with its translations in the TLB */
    uint32_t pages;     /* that a switch touches behind the load of CR3 */
    double map_ns, map_page_ns, map_table_ns;
    double unmap_ns, unmap_page_ns, unmap_table_ns;
    double link_ns, link_entry_ns; /* of cached translations, and of moved ones */
};

struct sj_mmu_counts {
    uint64_t accesses;
    uint64_t writes;
    uint64_t first_hits;
    uint64_t second_hits;
    uint64_t walks;
    uint64_t faults; /* walks that found nothing, or no right to write */
    uint64_t loads[SJ_LOADS];
    uint64_t walk_reads[SJ_PAGE_LEVELS_MAX + 1]; /* by the level of the entry */
};

struct sj_mmu_switches {
    uint64_t flushing; /* to tag 0, or without tags */
    uint64_t tagged;
    struct sj_mmu_counts touched; /* translations of the kernel's pages in switches */
};

struct sj_mmu_vas {
    struct sj_page_tree tree;
    struct sj_mmu_counts counts;     /* of accesses while it was the current one */
    struct sj_mmu_switches switches; /* to it */
    struct sj_page_work built;       /* by map, link and move */
    struct sj_page_work removed;     /* by unmap */
};

struct sj_mmu_segment {
    struct sj_page_tree
        tree; /* as in a VAS that has it at `base`; what lies above the linked tables
                                 only holds them, and counts as no table */
    uint64_t base;
    uint64_t bytes;
    uint64_t reserved; /* up to where the linked tables reach */
    uint32_t level;    /* of its pages */
    uint32_t linked;   /* level of the tables that VASes link */
    struct sj_page_work built;
};

/* Which segment a VAS has linked, and where: at its base, or where it was moved since. */
struct sj_mmu_linked {
    uint64_t at;
    uint32_t vas;
    uint32_t segment;
    bool writable;
};

struct sj_mmu {
    const struct sj_mmu_preset *preset;
    const struct sj_mmu_system *system;
    uint32_t levels;
    struct sj_page_pool pool;
    struct sj_tlb tlb;
    struct sj_mmu_segment kernel;
    struct sj_mmu_vas *vas;
    uint32_t vases;
    struct sj_mmu_segment *segment;
    uint32_t segments;
    struct sj_mmu_linked *link;
    uint32_t links;
    uint32_t current; /* a VAS; SJ_MMU_NONE before the first switch */
    uint32_t tag;
    uint32_t owner[SJ_TLB_TAGS]; /* whose translations have the tag, + 1; 0: nobody's */
    uint64_t last_page;          /* accessed last, + 1, and still in the first level; else 0 */
};

#define SJ_MMU_NONE UINT32_MAX

/* Presets and systems, from 0 on; NULL when there are no more. */
SJ_API const struct sj_mmu_preset *sj_mmu_preset(size_t index);
SJ_API const struct sj_mmu_system *sj_mmu_system(size_t index);

/* `levels`: 4 or 5. The preset and the system must outlive the machine. SJ_EINVAL, SJ_ENOMEM. */
SJ_API int sj_mmu_create(const struct sj_mmu_preset *preset, const struct sj_mmu_system *system,
                         uint32_t levels, struct sj_mmu **machine);
SJ_API void sj_mmu_destroy(struct sj_mmu *machine);

/* Makes an empty address space; they are numbered from 0. SJ_ENOMEM. */
SJ_API int sj_mmu_vas_create(struct sj_mmu *machine, uint32_t *vas);

/* Errors of sj_page_map, sj_page_unmap and sj_page_move; `work`, if not NULL, is set to what was
 * done. The TLB forgets what was unmapped or moved. */
SJ_API int sj_mmu_map(struct sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes,
                      uint32_t level, bool writable, struct sj_page_work *work);
SJ_API int sj_mmu_unmap(struct sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes,
                        struct sj_page_work *work);
SJ_API int sj_mmu_move(struct sj_mmu *machine, uint32_t vas, uint64_t from, uint64_t to,
                       uint64_t bytes, struct sj_page_work *work);

/*
 * Makes a segment: page tables for [base, base + bytes), that VASes link. With growth the range
 * grows, for all who have it, up to `reserved`, rounded up to what the linked tables cover: for at
 * most 2 MiB one table of level 1, for at most 1 GiB one of level 2, else as few as its base
 * allows. Tables without a page in them are not made, and linked when they are. Errors of
 * sj_page_map; SJ_EINVAL for growth beyond the reserve.
 */
SJ_API int sj_mmu_segment_create(struct sj_mmu *machine, uint64_t base, uint64_t bytes,
                                 uint64_t reserved, uint32_t level, uint32_t *segment);
SJ_API int sj_mmu_segment_grow(struct sj_mmu *machine, uint32_t segment, uint64_t bytes,
                               struct sj_page_work *work);

/* Links a segment's tables into a VAS at its base. Errors of sj_page_link. sj_mmu_unmap of all that
 * it reserves unlinks them. */
SJ_API int sj_mmu_link(struct sj_mmu *machine, uint32_t vas, uint32_t segment, bool writable,
                       struct sj_page_work *work);

/* Makes the VAS the current one, under a tag (0: flushes). SJ_EINVAL. */
SJ_API int sj_mmu_switch(struct sj_mmu *machine, uint32_t vas, uint32_t tag);

/* Accesses an address in the current VAS. */
SJ_API void sj_mmu_access(struct sj_mmu *machine, uint64_t address, bool write);
SJ_API void sj_mmu_access_many(struct sj_mmu *machine, const uint64_t *address, size_t count,
                               bool write);

/* Cycles of accesses, apart from `access` itself; and with it. */
SJ_API double sj_mmu_translation_cycles(const struct sj_mmu_costs *costs,
                                        const struct sj_mmu_counts *counts);
SJ_API double sj_mmu_access_cycles(const struct sj_mmu_costs *costs,
                                   const struct sj_mmu_counts *counts);

/* Cycles of switches, all together. */
SJ_API double sj_mmu_switch_cycles(const struct sj_mmu_costs *costs,
                                   const struct sj_mmu_system *system,
                                   const struct sj_mmu_switches *switches);

/* Nanoseconds of one call that mapped, or linked and moved, or unmapped. */
SJ_API double sj_mmu_map_ns(const struct sj_mmu_system *system, const struct sj_page_work *work);
SJ_API double sj_mmu_unmap_ns(const struct sj_mmu_system *system, const struct sj_page_work *work);

/* Tables that a VAS leads to, by level (page_table.h). */
SJ_API void sj_mmu_census(const struct sj_mmu *machine, uint32_t vas,
                          uint64_t own[SJ_PAGE_LEVELS_MAX + 1],
                          uint64_t shared[SJ_PAGE_LEVELS_MAX + 1]);

/* All tables of the machine by level, each once. */
SJ_API void sj_mmu_tables(const struct sj_mmu *machine, uint64_t tables[SJ_PAGE_LEVELS_MAX + 1]);

/* Sets all counts to 0, and empties the TLB with `cold`. */
SJ_API void sj_mmu_reset(struct sj_mmu *machine, bool cold);

#endif
