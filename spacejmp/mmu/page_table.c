// SPDX-License-Identifier: Apache-2.0
/*
 * page_table.c: page tables as a model (page_table.h has the contract).
 *
 * An entry above level 1 is a word: 0, or flags, or the address of a table with flags in the bits
 * that its alignment leaves. An entry of level 1 is a byte, so that the tables of 64 GiB stay in
 * 18 MiB, where walks find them in the cache.
 *
 * Cost: map and unmap O(pages + tables), of whole tables a memset; link and move O(entries); a walk
 * reads one entry a level.
 */
#include "spacejmp/mmu/page_table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 512

enum { PRESENT = 1, WRITABLE = 2, PAGE = 4, FLAGS = 7 };

struct sj_page_table {
    uint64_t id; /* number of the frame that the table would be in */
    uint32_t links;
    uint16_t level;
    uint16_t used;
    union {
        uint64_t entry[ENTRIES]; /* level 2 and up */
        uint8_t page[ENTRIES];   /* level 1; then nothing lies behind it */
    };
};

/* ------------------------------------------------------------------ tables, entries */

static struct sj_page_table *new_table(struct sj_page_pool *pool, uint32_t level)
{
    size_t entries = level == 1 ? ENTRIES : ENTRIES * sizeof(uint64_t);
    struct sj_page_table *table = calloc(1, offsetof(struct sj_page_table, entry) + entries);
    if (table == NULL)
        return NULL;
    table->id = pool->next_id++;
    table->level = (uint16_t)level;
    table->links = 1;
    pool->tables[level]++;
    return table;
}

static inline uint32_t index_of(uint64_t address, uint32_t level)
{
    return address >> (3 + 9 * level) & (ENTRIES - 1);
}

static inline struct sj_page_table *table_in(uint64_t entry)
{
    return (entry & PAGE) != 0 ? NULL
                               : (struct sj_page_table *)(uintptr_t)(entry & ~(uint64_t)FLAGS);
}

static inline uint64_t entry_at(const struct sj_page_table *table, uint32_t index)
{
    return table->level == 1 ? table->page[index] : table->entry[index];
}

static void set_entry(struct sj_page_table *table, uint32_t index, uint64_t entry)
{
    table->used += (entry != 0) - (entry_at(table, index) != 0);
    if (table->level == 1)
        table->page[index] = (uint8_t)entry;
    else
        table->entry[index] = entry;
}

/* Gives a link back; the last one frees the table and all that it alone leads to. */
static void drop_table(struct sj_page_pool *pool, struct sj_page_table *table,
                       struct sj_page_work *work)
{
    if (--table->links > 0)
        return;
    if (table->level == 1) {
        work->entries += table->used;
    } else {
        for (uint32_t i = 0; i < ENTRIES && table->used > 0; i++) {
            struct sj_page_table *below = table_in(table->entry[i]);
            if (below != NULL)
                drop_table(pool, below, work);
            else
                work->entries += table->entry[i] != 0;
        }
    }
    pool->tables[table->level]--;
    work->tables_freed++;
    free(table);
}

int sj_page_tree_init(struct sj_page_tree *tree, struct sj_page_pool *pool, uint32_t levels)
{
    *tree = (struct sj_page_tree){pool, new_table(pool, levels), levels};
    return tree->root != NULL ? SJ_OK : sj_error(SJ_ENOMEM, "a page table");
}

void sj_page_tree_clear(struct sj_page_tree *tree)
{
    struct sj_page_work work = {0};
    if (tree->root != NULL)
        drop_table(tree->pool, tree->root, &work);
    tree->root = NULL;
}

/* ------------------------------------------------------------------ ranges */

bool sj_page_range_is_valid(const struct sj_page_tree *tree, uint64_t base, uint64_t bytes)
{
    uint64_t half = sj_page_span(tree->levels) * (ENTRIES / 2), last = base + bytes - 1;
    if (bytes == 0 || last < base)
        return false;
    return last < half || base >= 0 - half;
}

static int check_range(const struct sj_page_tree *tree, uint64_t base, uint64_t bytes,
                       uint64_t unit)
{
    if (!sj_page_range_is_valid(tree, base, bytes))
        return sj_error(SJ_EINVAL, "addresses of %u levels, found 0x%llx and 0x%llx bytes",
                        tree->levels, (unsigned long long)base, (unsigned long long)bytes);
    if (((base | bytes) & (unit - 1)) != 0)
        return sj_error(SJ_EINVAL, "whole pages of 0x%llx bytes, found 0x%llx and 0x%llx bytes",
                        (unsigned long long)unit, (unsigned long long)base,
                        (unsigned long long)bytes);
    return SJ_OK;
}

static int in_the_way(uint64_t address)
{
    return sj_error(SJ_EEXISTS, "something is mapped at 0x%llx", (unsigned long long)address);
}

static int is_cut(uint64_t address)
{
    return sj_error(SJ_EINVAL, "the range ends inside of the page that maps 0x%llx",
                    (unsigned long long)address);
}

/* Bytes of [at, end) that one entry covers. */
static inline uint64_t step_of(uint64_t at, uint64_t end, uint32_t level)
{
    uint64_t span = sj_page_span(level), rest = span - (at & (span - 1));
    return rest < end - at ? rest : end - at;
}

/* The table of `level` that has the address's entry, or NULL; with `make` it is made if there is
 * none, and NULL means that a page is in the way (*error SJ_EEXISTS) or SJ_ENOMEM. */
static struct sj_page_table *table_at(struct sj_page_tree *tree, uint64_t address, uint32_t level,
                                      bool make, struct sj_page_work *work, int *error)
{
    struct sj_page_table *table = tree->root;
    while (table->level > level) {
        uint32_t index = index_of(address, table->level);
        uint64_t entry = table->entry[index];
        struct sj_page_table *below = table_in(entry);
        if (below == NULL && make) {
            if (entry != 0) {
                *error = in_the_way(address);
                return NULL;
            }
            below = new_table(tree->pool, table->level - 1u);
            if (below == NULL) {
                *error = sj_error(SJ_ENOMEM, "a page table");
                return NULL;
            }
            work->tables_made++;
            set_entry(table, index, (uintptr_t)below | PRESENT | WRITABLE);
        }
        if (below == NULL)
            return NULL;
        table = below;
    }
    return table;
}

/* Frees the tables on the way to an address that have become empty. True when this one has. */
static bool prune(struct sj_page_tree *tree, struct sj_page_table *table, uint64_t address,
                  struct sj_page_work *work)
{
    if (table->level > 1) {
        uint32_t index = index_of(address, table->level);
        struct sj_page_table *below = table_in(table->entry[index]);
        if (below != NULL && below->links == 1 && prune(tree, below, address, work)) {
            drop_table(tree->pool, below, work);
            set_entry(table, index, 0);
        }
    }
    return table->used == 0;
}

/* ------------------------------------------------------------------ map, unmap */

int sj_page_map(struct sj_page_tree *tree, uint64_t base, uint64_t bytes, uint32_t level,
                bool writable, struct sj_page_work *work)
{
    if (level < 1 || level > 3)
        return sj_error(SJ_EINVAL, "pages of level 1, 2 or 3, found %u", level);
    int error = check_range(tree, base, bytes, sj_page_span(level));
    uint64_t page = PRESENT | (writable ? WRITABLE : 0) | (level > 1 ? PAGE : 0);
    uint64_t end = base + bytes;
    for (uint64_t at = base; error == SJ_OK && at != end;) {
        struct sj_page_table *table = table_at(tree, at, level, true, work, &error);
        if (table == NULL)
            return error;
        uint64_t until = at + step_of(at, end, level + 1);
        for (; at != until; at += sj_page_span(level)) {
            uint32_t index = index_of(at, level);
            if (table_in(entry_at(table, index)) != NULL && level > 1)
                return in_the_way(at);
            if (entry_at(table, index) != page) {
                set_entry(table, index, page);
                work->entries++;
            }
        }
    }
    return error;
}

static int unmap_in(struct sj_page_tree *tree, struct sj_page_table *table, uint64_t at,
                    uint64_t end, struct sj_page_work *work)
{
    while (at != end && table->used > 0) {
        uint64_t step = step_of(at, end, table->level);
        uint32_t index = index_of(at, table->level);
        uint64_t entry = entry_at(table, index);
        struct sj_page_table *below = table->level > 1 ? table_in(entry) : NULL;
        bool whole = step == sj_page_span(table->level);
        if (below != NULL && !whole) {
            int error = unmap_in(tree, below, at, at + step, work);
            if (error != SJ_OK)
                return error;
            whole = below->used == 0 && below->links == 1;
        } else if (entry != 0 && !whole) {
            return is_cut(at);
        } else if (below != NULL) {
            work->links += below->links > 1;
        } else if (entry != 0) {
            work->entries++;
        }
        if (entry != 0 && whole) {
            if (below != NULL)
                drop_table(tree->pool, below, work);
            set_entry(table, index, 0);
        }
        at += step;
    }
    return SJ_OK;
}

int sj_page_unmap(struct sj_page_tree *tree, uint64_t base, uint64_t bytes,
                  struct sj_page_work *work)
{
    int error = check_range(tree, base, bytes, sj_page_span(1));
    return error != SJ_OK ? error : unmap_in(tree, tree->root, base, base + bytes, work);
}

/* ------------------------------------------------------------------ link, move */

/* Whether nothing is in the range, down to the entries of `level`: no page, and there no table. */
static bool is_free(const struct sj_page_tree *tree, uint64_t at, uint64_t bytes, uint32_t level)
{
    uint64_t end = at + bytes;
    while (at != end) {
        const struct sj_page_table *table = tree->root;
        uint64_t entry = entry_at(table, index_of(at, table->level));
        while (table->level > level && table_in(entry) != NULL) {
            table = table_in(entry);
            entry = entry_at(table, index_of(at, table->level));
        }
        if (entry != 0)
            return false;
        at += step_of(at, end, table->level);
    }
    return true;
}

/* The entry of `level` for an address, 0 when there is no such table; or a page's above it. */
static uint64_t find_entry(const struct sj_page_tree *tree, uint64_t address, uint32_t level)
{
    const struct sj_page_table *table = tree->root;
    for (;;) {
        uint64_t entry = entry_at(table, index_of(address, table->level));
        if (table->level == level || table_in(entry) == NULL)
            return entry;
        table = table_in(entry);
    }
}

int sj_page_link(struct sj_page_tree *tree, uint64_t base, struct sj_page_tree *source,
                 uint64_t from, uint64_t bytes, uint32_t level, bool writable,
                 struct sj_page_work *work)
{
    if (level < 1 || level >= tree->levels || tree->levels != source->levels)
        return sj_error(SJ_EINVAL, "tables of a level below %u, found %u", tree->levels, level);
    uint64_t span = sj_page_span(level + 1), covered = (bytes + span - 1) & ~(span - 1);
    int error = check_range(tree, base, covered, span);
    if (error == SJ_OK)
        error = check_range(source, from, covered, span);
    for (uint64_t done = 0; error == SJ_OK && done < covered; done += span) {
        uint64_t entry = find_entry(tree, base + done, level + 1);
        if (entry != 0 &&
            table_in(entry) != table_at(source, from + done, level, false, work, &error))
            error = in_the_way(base + done);
    }
    for (uint64_t done = 0; error == SJ_OK && done < covered; done += span) {
        struct sj_page_table *shared = table_at(source, from + done, level, false, work, &error);
        if (shared == NULL || find_entry(tree, base + done, level + 1) != 0)
            continue;
        struct sj_page_table *above = table_at(tree, base + done, level + 1, true, work, &error);
        if (above == NULL)
            break;
        uint64_t flags = PRESENT | (writable ? WRITABLE : 0);
        set_entry(above, index_of(base + done, level + 1), (uintptr_t)shared | flags);
        shared->links++;
        work->links++;
    }
    return error;
}

/* Moves one entry of `level`. */
static int move_entry(struct sj_page_tree *tree, uint64_t from, uint64_t to, uint32_t level,
                      struct sj_page_work *work)
{
    int error = SJ_OK;
    struct sj_page_table *source = table_at(tree, from, level, false, work, &error);
    uint64_t entry = source == NULL ? 0 : entry_at(source, index_of(from, level));
    if (entry == 0)
        return SJ_OK;
    struct sj_page_table *target = table_at(tree, to, level, true, work, &error);
    if (target == NULL)
        return error;
    set_entry(target, index_of(to, level), entry);
    set_entry(source, index_of(from, level), 0);
    if (level > 1 && table_in(entry) != NULL)
        work->links++;
    else
        work->entries++;
    prune(tree, tree->root, from, work);
    return SJ_OK;
}

/* The highest level an entry of which can be moved whole. */
static uint32_t move_level(uint64_t from, uint64_t to, uint64_t bytes)
{
    uint32_t level = 3;
    while (((from | to) & (sj_page_span(level) - 1)) != 0 || bytes < sj_page_span(level))
        level--;
    return level;
}

/* Whether a page that is larger than `span` maps the address. */
static bool page_is_larger(const struct sj_page_tree *tree, uint64_t address, uint64_t span)
{
    struct sj_page_walk walk;
    sj_page_walk(tree, address, &walk);
    return walk.level != 0 && sj_page_span(walk.level) > span;
}

int sj_page_move(struct sj_page_tree *tree, uint64_t from, uint64_t to, uint64_t bytes,
                 struct sj_page_work *work)
{
    int error = check_range(tree, from, bytes, sj_page_span(1));
    if (error == SJ_OK)
        error = check_range(tree, to, bytes, sj_page_span(1));
    if (error == SJ_OK && (from > to ? from - to : to - from) < bytes)
        error = sj_error(SJ_EINVAL, "the range to move and its target overlap");
    uint32_t level = 1;
    for (uint64_t done = 0; error == SJ_OK && done < bytes; done += sj_page_span(level)) {
        level = move_level(from + done, to + done, bytes - done);
        if (!is_free(tree, to + done, sj_page_span(level), level))
            error = in_the_way(to + done);
        else if (page_is_larger(tree, from + done, sj_page_span(level)))
            error = is_cut(from + done);
    }
    for (uint64_t done = 0; error == SJ_OK && done < bytes; done += sj_page_span(level)) {
        level = move_level(from + done, to + done, bytes - done);
        error = move_entry(tree, from + done, to + done, level, work);
    }
    return error;
}

/* ------------------------------------------------------------------ walk, count */

void sj_page_walk(const struct sj_page_tree *tree, uint64_t address, struct sj_page_walk *walk)
{
    const struct sj_page_table *table = tree->root;
    uint64_t rights = WRITABLE;
    for (;;) {
        uint32_t level = table->level, index = index_of(address, level);
        uint64_t entry = entry_at(table, index);
        walk->entry[level] = table->id * ENTRIES + index;
        rights &= entry;
        walk->last = level;
        if (entry == 0 || level == 1 || (entry & PAGE) != 0) {
            walk->level = entry == 0 ? 0 : level;
            walk->writable = rights != 0;
            return;
        }
        table = table_in(entry);
    }
}

void sj_page_prefetch(const struct sj_page_tree *tree, uint64_t address)
{
    const struct sj_page_table *table = tree->root;
    while (table != NULL && table->level > 2)
        table = table_in(table->entry[index_of(address, table->level)]);
    if (table == NULL)
        return;
    const struct sj_page_table *last = table_in(table->entry[index_of(address, 2)]);
    if (last != NULL) {
        __builtin_prefetch(last);
        __builtin_prefetch(&last->page[index_of(address, 1)]);
    }
}

static void count(const struct sj_page_table *table, bool is_shared, uint64_t *own,
                  uint64_t *shared)
{
    is_shared |= table->links > 1;
    (is_shared ? shared : own)[table->level]++;
    for (uint32_t i = 0; table->level > 1 && i < ENTRIES; i++)
        if (table_in(table->entry[i]) != NULL)
            count(table_in(table->entry[i]), is_shared, own, shared);
}

void sj_page_census(const struct sj_page_tree *tree, uint64_t own[SJ_PAGE_LEVELS_MAX + 1],
                    uint64_t shared[SJ_PAGE_LEVELS_MAX + 1])
{
    memset(own, 0, sizeof(uint64_t) * (SJ_PAGE_LEVELS_MAX + 1));
    memset(shared, 0, sizeof(uint64_t) * (SJ_PAGE_LEVELS_MAX + 1));
    count(tree->root, false, own, shared);
}

static void count_above(const struct sj_page_table *table, uint32_t level, uint64_t *tables)
{
    if (table->level <= level)
        return;
    tables[table->level]++;
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (table_in(table->entry[i]) != NULL)
            count_above(table_in(table->entry[i]), level, tables);
}

void sj_page_count_above(const struct sj_page_tree *tree, uint32_t level,
                         uint64_t tables[SJ_PAGE_LEVELS_MAX + 1])
{
    count_above(tree->root, level, tables);
}

static bool is_valid(const struct sj_page_table *table, bool is_shared)
{
    uint32_t used = 0;
    is_shared |= table->links > 1;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint64_t entry = entry_at(table, i);
        used += entry != 0;
        if (table->level == 1 || table_in(entry) == NULL)
            continue;
        const struct sj_page_table *below = table_in(entry);
        if (below->level != table->level - 1 || below->links == 0 ||
            (below->used == 0 && below->links == 1 && !is_shared) || !is_valid(below, is_shared))
            return false;
    }
    return used == table->used;
}

bool sj_page_tree_is_valid(const struct sj_page_tree *tree)
{
    return tree->root->links == 1 && is_valid(tree->root, false);
}
