// SPDX-License-Identifier: Apache-2.0
/* mmu.c: machines (mmu.h has the contract). */
#include "spacejmp/mmu/mmu.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ making */

/* The highest addresses, that one entry of the root covers. */
static uint64_t kernel_base(uint32_t levels)
{
    return 0 - sj_page_span(levels);
}

int sj_mmu_create(const struct sj_mmu_preset *preset, const struct sj_mmu_system *system,
                  uint32_t levels, struct sj_mmu **machine)
{
    if (levels != 4 && levels != 5)
        return sj_error(SJ_EINVAL, "page tables of 4 or 5 levels, found %u", levels);
    struct sj_mmu *made = calloc(1, sizeof *made);
    if (made == NULL)
        return sj_error(SJ_ENOMEM, "a machine");
    made->preset = preset;
    made->system = system;
    made->levels = levels;
    made->current = SJ_MMU_NONE;
    int error = sj_tlb_init(&made->tlb, &preset->tlb);
    struct sj_mmu_segment *kernel = &made->kernel;
    kernel->linked = levels - 1;
    if (error == SJ_OK)
        error = sj_page_tree_init(&kernel->tree, &made->pool, levels);
    if (error == SJ_OK && system->pages > 0)
        error = sj_page_map(&kernel->tree, kernel_base(levels),
                            (uint64_t)system->pages * sj_page_span(1), 1, true, &kernel->built);
    if (error != SJ_OK) {
        sj_mmu_destroy(made);
        return error;
    }
    *machine = made;
    return SJ_OK;
}

void sj_mmu_destroy(struct sj_mmu *machine)
{
    for (uint32_t i = 0; i < machine->vases; i++)
        sj_page_tree_clear(&machine->vas[i].tree);
    for (uint32_t i = 0; i < machine->segments; i++)
        sj_page_tree_clear(&machine->segment[i].tree);
    sj_page_tree_clear(&machine->kernel.tree);
    sj_tlb_clear(&machine->tlb);
    free(machine->vas);
    free(machine->segment);
    free(machine->link);
    free(machine);
}

/* Room for one more; *array has `count` elements. */
static void *grow_array(void **array, uint32_t count, size_t bytes)
{
    bool has_room = (count & (count - 1)) != 0; /* up to the next power of 2 */
    char *grown = has_room ? *array : realloc(*array, (count == 0 ? 1 : 2 * (size_t)count) * bytes);
    if (grown == NULL) {
        sj_error(SJ_ENOMEM, "an address space of the model");
        return NULL;
    }
    *array = grown;
    return memset(grown + count * bytes, 0, bytes);
}

int sj_mmu_vas_create(struct sj_mmu *machine, uint32_t *vas)
{
    struct sj_mmu_vas *made = grow_array((void **)&machine->vas, machine->vases, sizeof *made);
    if (made == NULL)
        return SJ_ENOMEM;
    int error = sj_page_tree_init(&made->tree, &machine->pool, machine->levels);
    struct sj_page_work work = {0};
    if (error == SJ_OK && machine->system->pages > 0)
        error = sj_page_link(&made->tree, kernel_base(machine->levels), &machine->kernel.tree,
                             kernel_base(machine->levels), sj_page_span(machine->levels),
                             machine->levels - 1, true, &work);
    if (error != SJ_OK) {
        sj_page_tree_clear(&made->tree);
        return error;
    }
    *vas = machine->vases++;
    return SJ_OK;
}

static int no_such(const char *what, uint32_t number, uint32_t count)
{
    return sj_error(SJ_EINVAL, "a %s below %u, found %u", what, count, number);
}

/* ------------------------------------------------------------------ mapping */

static void add_work(struct sj_page_work *sum, const struct sj_page_work *done)
{
    sum->entries += done->entries;
    sum->links += done->links;
    sum->tables_made += done->tables_made;
    sum->tables_freed += done->tables_freed;
}

static void forget(struct sj_mmu *machine, uint64_t base, uint64_t bytes)
{
    machine->last_page = 0;
    sj_tlb_drop_range(&machine->tlb, base, bytes);
}

int sj_mmu_map(struct sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes, uint32_t level,
               bool writable, struct sj_page_work *work)
{
    struct sj_page_work done = {0};
    if (vas >= machine->vases)
        return no_such("VAS", vas, machine->vases);
    int error = sj_page_map(&machine->vas[vas].tree, base, bytes, level, writable, &done);
    add_work(&machine->vas[vas].built, &done);
    if (error == SJ_OK && !writable)
        forget(machine, base, bytes); /* what could be written may be so no more */
    if (work != NULL)
        *work = done;
    return error;
}

int sj_mmu_unmap(struct sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes,
                 struct sj_page_work *work)
{
    struct sj_page_work done = {0};
    if (vas >= machine->vases)
        return no_such("VAS", vas, machine->vases);
    int error = sj_page_unmap(&machine->vas[vas].tree, base, bytes, &done);
    add_work(&machine->vas[vas].removed, &done);
    for (uint32_t i = machine->links; i-- > 0 && error == SJ_OK;) {
        if (machine->link[i].vas == vas && machine->link[i].at - base < bytes)
            machine->link[i] = machine->link[--machine->links];
    }
    if (bytes > 0)
        forget(machine, base, bytes);
    if (work != NULL)
        *work = done;
    return error;
}

int sj_mmu_move(struct sj_mmu *machine, uint32_t vas, uint64_t from, uint64_t to, uint64_t bytes,
                struct sj_page_work *work)
{
    struct sj_page_work done = {0};
    if (vas >= machine->vases)
        return no_such("VAS", vas, machine->vases);
    int error = sj_page_move(&machine->vas[vas].tree, from, to, bytes, &done);
    add_work(&machine->vas[vas].built, &done);
    for (uint32_t i = 0; i < machine->links && error == SJ_OK; i++)
        if (machine->link[i].vas == vas && machine->link[i].at - from < bytes)
            machine->link[i].at += to - from;
    if (bytes > 0)
        forget(machine, from, bytes);
    if (work != NULL)
        *work = done;
    return error;
}

/* ------------------------------------------------------------------ segments */

/* The level of the tables to link for a segment. */
static uint32_t link_level(const struct sj_mmu *machine, uint64_t base, uint64_t reserved,
                           uint32_t level)
{
    while (level + 1 < machine->levels && reserved > sj_page_span(level + 1) &&
           (base & (sj_page_span(level + 2) - 1)) == 0)
        level++;
    return level;
}

int sj_mmu_segment_create(struct sj_mmu *machine, uint64_t base, uint64_t bytes, uint64_t reserved,
                          uint32_t level, uint32_t *segment)
{
    struct sj_mmu_segment *made =
        grow_array((void **)&machine->segment, machine->segments, sizeof *made);
    if (made == NULL)
        return SJ_ENOMEM;
    if (level < 1 || level > 3)
        return sj_error(SJ_EINVAL, "pages of level 1, 2 or 3, found %u", level);
    reserved = reserved > bytes ? reserved : bytes;
    uint32_t linked = link_level(machine, base, reserved, level);
    uint64_t span = sj_page_span(linked + 1);
    made->base = base;
    made->bytes = bytes;
    made->reserved = (reserved + span - 1) & ~(span - 1);
    made->level = level;
    made->linked = linked;
    int error = sj_page_tree_init(&made->tree, &machine->pool, machine->levels);
    if (error == SJ_OK && !sj_page_range_is_valid(&made->tree, base, made->reserved))
        error = sj_error(SJ_EINVAL, "the segment's reserve is no range of addresses");
    if (error == SJ_OK)
        error = sj_page_map(&made->tree, base, bytes, level, true, &made->built);
    if (error != SJ_OK) {
        sj_page_tree_clear(&made->tree);
        return error;
    }
    *segment = machine->segments++;
    return SJ_OK;
}

static int link_tables(struct sj_mmu *machine, const struct sj_mmu_linked *link,
                       struct sj_page_work *done)
{
    struct sj_mmu_segment *segment = &machine->segment[link->segment];
    return sj_page_link(&machine->vas[link->vas].tree, link->at, &segment->tree, segment->base,
                        segment->reserved, segment->linked, link->writable, done);
}

int sj_mmu_segment_grow(struct sj_mmu *machine, uint32_t segment, uint64_t bytes,
                        struct sj_page_work *work)
{
    struct sj_page_work done = {0};
    if (segment >= machine->segments)
        return no_such("segment", segment, machine->segments);
    struct sj_mmu_segment *grown = &machine->segment[segment];
    int error = SJ_OK;
    if (bytes > grown->reserved)
        return sj_error(SJ_EINVAL, "at most the %llu bytes that the segment reserves, found %llu",
                        (unsigned long long)grown->reserved, (unsigned long long)bytes);
    if (bytes > grown->bytes) {
        error = sj_page_map(&grown->tree, grown->base + grown->bytes, bytes - grown->bytes,
                            grown->level, true, &done);
        add_work(&grown->built, &done);
    }
    for (uint32_t i = 0; i < machine->links && error == SJ_OK; i++)
        if (machine->link[i].segment == segment)
            error = link_tables(machine, &machine->link[i], &done);
    if (error == SJ_OK && bytes > grown->bytes)
        grown->bytes = bytes;
    if (work != NULL)
        *work = done;
    return error;
}

int sj_mmu_link(struct sj_mmu *machine, uint32_t vas, uint32_t segment, bool writable,
                struct sj_page_work *work)
{
    struct sj_page_work done = {0};
    if (vas >= machine->vases)
        return no_such("VAS", vas, machine->vases);
    if (segment >= machine->segments)
        return no_such("segment", segment, machine->segments);
    struct sj_mmu_linked *made = grow_array((void **)&machine->link, machine->links, sizeof *made);
    if (made == NULL)
        return SJ_ENOMEM;
    *made = (struct sj_mmu_linked){machine->segment[segment].base, vas, segment, writable};
    int error = link_tables(machine, made, &done);
    machine->links += error == SJ_OK;
    add_work(&machine->vas[vas].built, &done);
    if (work != NULL)
        *work = done;
    return error;
}

/* ------------------------------------------------------------------ access, switch */

/* Walks the tables for an address that the TLB does not have. */
static void walk_for(struct sj_mmu *machine, uint64_t address, bool write,
                     struct sj_mmu_counts *counts)
{
    struct sj_tlb *tlb = &machine->tlb;
    struct sj_page_walk walk;
    sj_page_walk(&machine->vas[machine->current].tree, address, &walk);
    uint32_t start = sj_tlb_walk_start(tlb, address, machine->levels, machine->tag);
    for (uint32_t level = start; level >= walk.last; level--) {
        counts->walk_reads[level]++;
        counts->loads[sj_tlb_load(tlb, walk.entry[level])]++;
    }
    sj_tlb_walk_enter(tlb, address, start, walk.last + 1, machine->tag);
    counts->walks++;
    if (walk.level == 0 || (write && !walk.writable)) {
        counts->faults++;
        machine->last_page = 0;
        for (uint32_t level = 1; level <= 3; level++)
            sj_tlb_leave(tlb, address, level, machine->tag);
        return;
    }
    sj_tlb_enter(tlb, address, walk.level, machine->tag);
}

static inline void access_as(struct sj_mmu *machine, uint64_t address, bool write,
                             struct sj_mmu_counts *counts)
{
    uint64_t page = (address >> 12) + 1;
    counts->accesses++;
    counts->writes += write;
    if (page == machine->last_page) {
        counts->first_hits++;
        return;
    }
    machine->last_page = page;
    enum sj_tlb_place place = sj_tlb_find(&machine->tlb, address, machine->tag);
    if (SJ_LIKELY(place == SJ_TLB_FIRST))
        counts->first_hits++;
    else if (place == SJ_TLB_SECOND)
        counts->second_hits++;
    else
        walk_for(machine, address, write, counts);
}

void sj_mmu_access(struct sj_mmu *machine, uint64_t address, bool write)
{
    sj_mmu_access_many(machine, &address, 1, write);
}

/* Where most accesses walk, the model's tables are fetched ahead: they are in no cache either. */
void sj_mmu_access_many(struct sj_mmu *machine, const uint64_t *address, size_t count, bool write)
{
    enum { BLOCK = 64, AHEAD = 6 };
    if (machine->current == SJ_MMU_NONE)
        return;
    struct sj_mmu_vas *vas = &machine->vas[machine->current];
    bool walks = false;
    for (size_t block = 0; block < count; block += BLOCK) {
        size_t end = count - block < BLOCK ? count : block + BLOCK;
        uint64_t before = vas->counts.walks;
        for (size_t i = block; i < end; i++) {
            if (walks && i + AHEAD < count)
                sj_page_prefetch(&vas->tree, address[i + AHEAD]);
            access_as(machine, address[i], write, &vas->counts);
        }
        walks = vas->counts.walks - before > BLOCK / 4;
    }
}

int sj_mmu_switch(struct sj_mmu *machine, uint32_t vas, uint32_t tag)
{
    if (vas >= machine->vases)
        return no_such("VAS", vas, machine->vases);
    if (tag >= SJ_TLB_TAGS)
        return sj_error(SJ_EINVAL, "a tag below %d, found %u", SJ_TLB_TAGS, tag);
    if (!machine->tlb.tags)
        tag = 0;
    if (tag == 0 || machine->owner[tag] != vas + 1)
        sj_tlb_drop_tag(&machine->tlb, tag);
    machine->owner[tag] = vas + 1;
    machine->current = vas;
    machine->tag = tag;
    machine->last_page = 0;
    struct sj_mmu_switches *switches = &machine->vas[vas].switches;
    switches->flushing += tag == 0;
    switches->tagged += tag != 0;
    for (uint32_t i = 0; i < machine->system->pages; i++)
        access_as(machine, kernel_base(machine->levels) + i * sj_page_span(1), true,
                  &switches->touched);
    return SJ_OK;
}

/* ------------------------------------------------------------------ telling */

double sj_mmu_translation_cycles(const struct sj_mmu_costs *costs,
                                 const struct sj_mmu_counts *counts)
{
    double cycles = (double)counts->second_hits * costs->second_hit;
    cycles += (double)counts->walks * costs->walk;
    for (uint32_t i = 0; i < SJ_LOADS; i++)
        cycles += (double)counts->loads[i] * costs->load[i];
    return cycles;
}

double sj_mmu_access_cycles(const struct sj_mmu_costs *costs, const struct sj_mmu_counts *counts)
{
    return (double)counts->accesses * costs->access + sj_mmu_translation_cycles(costs, counts);
}

double sj_mmu_switch_cycles(const struct sj_mmu_costs *costs, const struct sj_mmu_system *system,
                            const struct sj_mmu_switches *switches)
{
    double each = system->call + system->bookkeeping;
    return (double)switches->flushing * (each + costs->cr3_flush) +
           (double)switches->tagged * (each + costs->cr3_tag) +
           sj_mmu_translation_cycles(costs, &switches->touched);
}

double sj_mmu_map_ns(const struct sj_mmu_system *system, const struct sj_page_work *work)
{
    bool links = work->links > 0;
    return (links ? system->link_ns : system->map_ns) +
           (double)work->entries * system->map_page_ns +
           (double)work->tables_made * system->map_table_ns +
           (double)work->links * system->link_entry_ns;
}

double sj_mmu_unmap_ns(const struct sj_mmu_system *system, const struct sj_page_work *work)
{
    bool links = work->links > 0 && work->entries == 0;
    return (links ? system->link_ns : system->unmap_ns) +
           (double)work->entries * system->unmap_page_ns +
           (double)work->tables_freed * system->unmap_table_ns +
           (double)work->links * system->link_entry_ns;
}

void sj_mmu_census(const struct sj_mmu *machine, uint32_t vas, uint64_t own[SJ_PAGE_LEVELS_MAX + 1],
                   uint64_t shared[SJ_PAGE_LEVELS_MAX + 1])
{
    memset(own, 0, sizeof(uint64_t) * (SJ_PAGE_LEVELS_MAX + 1));
    memset(shared, 0, sizeof(uint64_t) * (SJ_PAGE_LEVELS_MAX + 1));
    if (vas < machine->vases)
        sj_page_census(&machine->vas[vas].tree, own, shared);
}

void sj_mmu_tables(const struct sj_mmu *machine, uint64_t tables[SJ_PAGE_LEVELS_MAX + 1])
{
    uint64_t holding[SJ_PAGE_LEVELS_MAX + 1] = {0};
    sj_page_count_above(&machine->kernel.tree, machine->kernel.linked, holding);
    for (uint32_t i = 0; i < machine->segments; i++)
        sj_page_count_above(&machine->segment[i].tree, machine->segment[i].linked, holding);
    for (uint32_t level = 0; level <= SJ_PAGE_LEVELS_MAX; level++)
        tables[level] = machine->pool.tables[level] - holding[level];
}

void sj_mmu_reset(struct sj_mmu *machine, bool cold)
{
    for (uint32_t i = 0; i < machine->vases; i++) {
        struct sj_mmu_vas *vas = &machine->vas[i];
        memset(&vas->counts, 0, sizeof vas->counts);
        memset(&vas->switches, 0, sizeof vas->switches);
        memset(&vas->built, 0, sizeof vas->built);
        memset(&vas->removed, 0, sizeof vas->removed);
    }
    machine->last_page = 0;
    if (cold)
        sj_tlb_drop_all(&machine->tlb);
}
