// SPDX-License-Identifier: Apache-2.0
/*
 * page_table.h: page tables of x86-64 as a model: which tables there are, and what a walk reads.
 *
 * The bits of an address, and which level's table each field is an index of:
 *
 *     63 … 57  56 … 48  47 … 39  38 … 30  29 … 21  20 … 12  11 … 0
 *     sign     level 5  level 4  level 3  level 2  level 1  offset
 *
 * Trees have 4 levels (then bits 63 … 47 are equal) or 5 (63 … 56). An entry of level 1 maps a page
 * of 4 KiB; one of level 2 or 3 leads to a table, or maps a page of 2 MiB or 1 GiB. A page needs no
 * frame here, for no data are modelled: an entry says only that it is there and may be written.
 *
 * A table may be linked from several places, also of different trees: that is what SpaceJMP calls
 * cached translations. What is mapped below a shared table is mapped for all who link it.
 *
 * I1  `links` of a table is the number of entries, and roots, that lead to it.
 * I2  `used` of a table is the number of its entries that are not empty; only a root and a table of
 *     a segment's tree may have none.
 * I3  `tables[n]` of a pool is the number of tables of level n in all of its trees, each once.
 *
 * Not thread-safe: a machine (mmu.h) belongs to one thread at a time. Memory: 544 bytes for a table
 * of level 1, 4 KiB for another.
 */
#ifndef SJ_SPACEJMP_MMU_PAGE_TABLE_H
#define SJ_SPACEJMP_MMU_PAGE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "persistence/error.h"

#define SJ_PAGE_LEVELS_MAX  5
#define SJ_PAGE_TABLE_BYTES 4096

/* Bytes that one entry of a table of that level covers: 4 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB. */
static inline uint64_t sj_page_span(uint32_t level)
{
    return 1ull << (3 + 9 * level);
}

/* What all trees of a machine count together. */
struct sj_page_pool {
    uint64_t next_id;
    uint64_t tables[SJ_PAGE_LEVELS_MAX + 1]; /* by level, from 1 */
};

struct sj_page_table;

struct sj_page_tree {
    struct sj_page_pool *pool;
    struct sj_page_table *root;
    uint32_t levels; /* of a segment's tree too: its addresses are those of its home base */
};

/* What an operation did; operations add to it. */
struct sj_page_work {
    uint64_t entries; /* written that map, or unmap, a page */
    uint64_t links;   /* written that lead to a table that was there */
    uint64_t tables_made;
    uint64_t tables_freed;
};

/* What a walk read. entry[level] is the number that the entry read at that level has among all
 * entries of the machine; eight with the same number / 8 lie in one cache line. */
struct sj_page_walk {
    uint64_t entry[SJ_PAGE_LEVELS_MAX + 1];
    uint32_t level; /* of the page: 1, 2 or 3; 0: nothing is mapped */
    uint32_t last;  /* the level of the last entry that was read */
    bool writable;
};

/* SJ_ENOMEM. */
int sj_page_tree_init(struct sj_page_tree *tree, struct sj_page_pool *pool, uint32_t levels);

/* Frees what nobody else links to. */
void sj_page_tree_clear(struct sj_page_tree *tree);

/* Whether the addresses of the range are canonical, and it does not wrap. */
bool sj_page_range_is_valid(const struct sj_page_tree *tree, uint64_t base, uint64_t bytes);

/* Maps pages of `level`; those that are mapped so already stay. SJ_EINVAL: not whole pages, or not
 * canonical. SJ_EEXISTS: a page of another size, or a table, is in the way. SJ_ENOMEM. After an
 * error the pages before the place of the failure are mapped. */
int sj_page_map(struct sj_page_tree *tree, uint64_t base, uint64_t bytes, uint32_t level,
                bool writable, struct sj_page_work *work);

/* Unmaps what lies in the range. A shared table that lies in it whole is unlinked and stays as it
 * is for others; in one that lies in it in part, pages are unmapped for all. Tables that become
 * empty are freed. SJ_EINVAL: not canonical, not whole pages of 4 KiB, or the range ends inside of
 * a larger page: nothing behind that is unmapped. */
int sj_page_unmap(struct sj_page_tree *tree, uint64_t base, uint64_t bytes,
                  struct sj_page_work *work);

/* Links the tables of `level` that cover [from, from + bytes) of `source` into the tree, at `base`.
 * Those that are linked there already stay, and those that the source does not have are left out:
 * when it has them they can be linked by the same call. SJ_EINVAL: base and from are not multiples
 * of what such a table covers, or not canonical. SJ_EEXISTS: something else is there; then nothing
 * is linked. SJ_ENOMEM: a part is. */
int sj_page_link(struct sj_page_tree *tree, uint64_t base, struct sj_page_tree *source,
                 uint64_t from, uint64_t bytes, uint32_t level, bool writable,
                 struct sj_page_work *work);

/*
 * Moves what is mapped in [from, from + bytes) to `to`, as mremap does: entries of the highest
 * level whose span both addresses are multiples of, whole subtrees with them.
 *
 *     level 3   [ … | from | … |  to  | … ]    →    [ … |  –   | … |  to  | … ]
 *                      |                                               |
 *     level 2       subtree                                         subtree
 *
 * SJ_EINVAL: not whole pages, not canonical, the ranges overlap, or a larger page would be cut.
 * SJ_EEXISTS: something is mapped at the target. Nothing is moved then. SJ_ENOMEM: a part is.
 */
int sj_page_move(struct sj_page_tree *tree, uint64_t from, uint64_t to, uint64_t bytes,
                 struct sj_page_work *work);

/* Reads what leads to the address. */
void sj_page_walk(const struct sj_page_tree *tree, uint64_t address, struct sj_page_walk *walk);

/* Fetches ahead the model's own bytes for a walk; changes nothing. */
void sj_page_prefetch(const struct sj_page_tree *tree, uint64_t address);

/* Counts the tables that the tree leads to, by level: those that it alone has, and shared ones.
 * A table that it links twice is shared, and counted twice. O(tables). */
void sj_page_census(const struct sj_page_tree *tree, uint64_t own[SJ_PAGE_LEVELS_MAX + 1],
                    uint64_t shared[SJ_PAGE_LEVELS_MAX + 1]);

/* Adds the tables of the tree above a level, ≥ 1. */
void sj_page_count_above(const struct sj_page_tree *tree, uint32_t level,
                         uint64_t tables[SJ_PAGE_LEVELS_MAX + 1]);

/* Whether I1 and I2 hold in this tree, links from elsewhere apart. O(tables). For tests. */
SJ_API bool sj_page_tree_is_valid(const struct sj_page_tree *tree);

#endif
