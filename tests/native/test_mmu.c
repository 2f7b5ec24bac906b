// SPDX-License-Identifier: Apache-2.0
/*
 * test_mmu.c: page tables against a list of pages, for any order of operations; counts of tables;
 * nothing is left behind; a machine's counts add up, and its TLB never knows what a walk does not;
 * a model follows what the thread does with a space.
 */
#include "harness.h"

#include "spacejmp/hold.h"
#include "spacejmp/mmu/model.h"

#define GIB  (1ull << 30)
#define MIB2 (2ull << 20)
#define KIB4 4096ull

/* Pages of a window of 4 MiB on both sides of a border between tables of level 2. */
#define WINDOW_PAGES 2048
#define WINDOW       (5 * GIB - WINDOW_PAGES / 2 * KIB4)

static uint64_t tables_of(const struct sj_page_pool *pool)
{
    uint64_t sum = 0;
    for (uint32_t level = 1; level <= SJ_PAGE_LEVELS_MAX; level++)
        sum += pool->tables[level];
    return sum;
}

static bool is_mapped(const struct sj_page_tree *tree, uint64_t address)
{
    struct sj_page_walk walk;
    sj_page_walk(tree, address, &walk);
    return walk.level != 0;
}

static void a_tree_is_as_its_list_of_pages(uint32_t levels)
{
    static bool model[WINDOW_PAGES];
    struct sj_page_pool pool = {0};
    struct sj_page_tree tree;
    CHECK_OK(sj_page_tree_init(&tree, &pool, levels));
    memset(model, 0, sizeof model);
    for (uint32_t round = 0; round < 4000; round++) {
        uint64_t first = test_below(WINDOW_PAGES), count = 1 + test_below(WINDOW_PAGES - first);
        if (test_below(4) != 0)
            count = count < 40 ? count : 1 + count % 40;
        bool map = test_below(2) == 0;
        struct sj_page_work work = {0};
        uint64_t before = tables_of(&pool), changed = 0;
        if (map)
            CHECK_OK(sj_page_map(&tree, WINDOW + first * KIB4, count * KIB4, 1, true, &work));
        else
            CHECK_OK(sj_page_unmap(&tree, WINDOW + first * KIB4, count * KIB4, &work));
        for (uint64_t i = first; i < first + count; i++) {
            changed += model[i] != map;
            model[i] = map;
        }
        CHECK(work.entries == changed);
        CHECK(tables_of(&pool) == before + work.tables_made - work.tables_freed);
        CHECK(sj_page_tree_is_valid(&tree));
    }
    uint64_t mapped = 0;
    for (uint64_t i = 0; i < WINDOW_PAGES; i++) {
        CHECK(is_mapped(&tree, WINDOW + i * KIB4 + test_below(KIB4)) == model[i]);
        mapped += model[i];
    }
    struct sj_page_work work = {0};
    CHECK_OK(sj_page_unmap(&tree, WINDOW, WINDOW_PAGES * KIB4, &work));
    CHECK(work.entries == mapped && tables_of(&pool) == 1);
    sj_page_tree_clear(&tree);
    CHECK(tables_of(&pool) == 0);
}

static void tables_are_as_many_as_their_pages_need(void)
{
    struct sj_page_pool pool = {0};
    struct sj_page_tree tree;
    struct sj_page_work work = {0};
    CHECK_OK(sj_page_tree_init(&tree, &pool, 4));
    CHECK_OK(sj_page_map(&tree, 0x300000000000ull, 3 * GIB, 1, true, &work));
    CHECK(pool.tables[1] == 3 * 512 && pool.tables[2] == 3 && pool.tables[3] == 1);
    CHECK(work.entries == 3 * 512 * 512 && work.tables_made == 3 * 512 + 4);
    CHECK_OK(sj_page_map(&tree, 0x310000000000ull, 3 * GIB, 2, true, &work));
    CHECK(pool.tables[1] == 3 * 512 && pool.tables[2] == 6 && pool.tables[3] == 3 - 1);
    CHECK(sj_page_map(&tree, 0x310000000000ull, KIB4, 1, true, &work) == SJ_EEXISTS);
    CHECK(sj_page_unmap(&tree, 0x310000000000ull, KIB4, &work) == SJ_EINVAL);
    CHECK(sj_page_map(&tree, 0x800000000000ull - KIB4, 2 * KIB4, 1, true, &work) == SJ_EINVAL);
    CHECK_OK(sj_page_map(&tree, 0xffffffff80000000ull, GIB, 3, true, &work));
    sj_page_tree_clear(&tree);
    CHECK(tables_of(&pool) == 0);
}

static void what_is_mapped_in_a_shared_table_is_there_for_all(void)
{
    struct sj_page_pool pool = {0};
    struct sj_page_tree segment, one, other;
    struct sj_page_work work = {0};
    uint64_t base = 0x3f0000000000ull;
    CHECK_OK(sj_page_tree_init(&segment, &pool, 4));
    CHECK_OK(sj_page_tree_init(&one, &pool, 4));
    CHECK_OK(sj_page_tree_init(&other, &pool, 4));
    CHECK_OK(sj_page_map(&segment, base, GIB + MIB2, 1, true, &work));
    uint64_t before = pool.tables[1] + pool.tables[2];
    CHECK_OK(sj_page_link(&one, base, &segment, base, 2 * GIB, 2, true, &work));
    CHECK_OK(sj_page_link(&other, base, &segment, base, 2 * GIB, 2, true, &work));
    CHECK(pool.tables[1] + pool.tables[2] == before && work.links == 4);
    CHECK_OK(sj_page_link(&one, base, &segment, base, GIB, 2, true, &work));
    CHECK(work.links == 4);
    CHECK(sj_page_link(&one, base + GIB, &segment, base, GIB, 2, true, &work) == SJ_EEXISTS);
    CHECK(is_mapped(&one, base + GIB + MIB2 - 1) && !is_mapped(&one, base + GIB + MIB2));
    CHECK_OK(sj_page_map(&segment, base + GIB + MIB2, KIB4, 1, true, &work));
    CHECK(is_mapped(&one, base + GIB + MIB2) && is_mapped(&other, base + GIB + MIB2));
    CHECK(sj_page_tree_is_valid(&one));

    uint64_t parked = base + 0x1000 * GIB;
    work = (struct sj_page_work){0};
    CHECK_OK(sj_page_move(&one, base, parked, 2 * GIB, &work));
    CHECK(work.entries == 0 && work.links == 2);
    CHECK(!is_mapped(&one, base) && is_mapped(&one, parked + GIB) && is_mapped(&other, base));
    CHECK_OK(sj_page_unmap(&one, parked, 2 * GIB, &work));
    CHECK(!is_mapped(&one, parked) && is_mapped(&other, base));
    sj_page_tree_clear(&segment);
    CHECK(is_mapped(&other, base + GIB));
    sj_page_tree_clear(&other);
    sj_page_tree_clear(&one);
    CHECK(tables_of(&pool) == 0);
}

/* Wherever an address is accessed, the TLB has it only if a walk finds it. */
static void a_tlb_knows_nothing_that_is_not_mapped(const struct sj_mmu_preset *preset)
{
    struct sj_mmu *machine;
    CHECK_OK(sj_mmu_create(preset, sj_mmu_system(0), 4 + (uint32_t)test_below(2), &machine));
    uint32_t vas[3], segment;
    uint64_t shared = 0x3f0000000000ull, faults = 0;
    CHECK_OK(sj_mmu_segment_create(machine, shared, 256 * KIB4, GIB, 1, &segment));
    for (uint32_t i = 0; i < 3; i++)
        CHECK_OK(sj_mmu_vas_create(machine, &vas[i]));
    CHECK_OK(sj_mmu_switch(machine, vas[0], 0));
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t at = (uint32_t)test_below(3);
        uint64_t page = WINDOW + test_below(64) * KIB4, bytes = (1 + test_below(8)) * KIB4;
        switch (test_below(12)) {
        case 0:
            CHECK_OK(sj_mmu_map(machine, vas[at], page, bytes, 1, true, NULL));
            break;
        case 1:
            CHECK_OK(sj_mmu_unmap(machine, vas[at], page, bytes, NULL));
            break;
        case 2:
            if (is_mapped(&machine->vas[vas[at]].tree, shared))
                CHECK_OK(sj_mmu_unmap(machine, vas[at], shared, GIB, NULL));
            else
                CHECK_OK(sj_mmu_link(machine, vas[at], segment, true, NULL));
            break;
        case 3:
            CHECK_OK(sj_mmu_switch(machine, vas[at], (uint32_t)test_below(3)));
            break;
        default:
            page = test_below(2) == 0 ? page : shared + test_below(300) * KIB4;
            bool mapped = is_mapped(&machine->vas[machine->current].tree, page);
            uint64_t before = machine->vas[machine->current].counts.faults;
            sj_mmu_access(machine, page + test_below(KIB4), test_below(2) == 0);
            CHECK(machine->vas[machine->current].counts.faults == before + !mapped);
            faults += !mapped;
        }
    }
    CHECK(faults > 100);
    for (uint32_t i = 0; i < 3; i++) {
        const struct sj_mmu_counts *counts = &machine->vas[i].counts;
        CHECK(counts->accesses == counts->first_hits + counts->second_hits + counts->walks);
        CHECK(counts->faults <= counts->walks && counts->first_hits > 0);
        uint64_t reads = 0;
        for (uint32_t level = 1; level <= SJ_PAGE_LEVELS_MAX; level++)
            reads += counts->walk_reads[level];
        CHECK(reads == counts->loads[0] + counts->loads[1] + counts->loads[2]);
        CHECK(sj_page_tree_is_valid(&machine->vas[i].tree));
    }
    sj_mmu_destroy(machine);
}

/* Ways whose bit is set were used since all were: 0 is evicted, though 3 is older. */
static void plru_evicts_the_first_way_without_a_bit(void)
{
    struct sj_mmu_preset preset = *sj_mmu_preset(0);
    preset.tlb.policy = SJ_TLB_PLRU;
    preset.tlb.first[0] = (struct sj_tlb_shape){4, 4};
    preset.tlb.second[0] = (struct sj_tlb_shape){0, 0};
    struct sj_mmu *machine;
    uint32_t vas;
    CHECK_OK(sj_mmu_create(&preset, sj_mmu_system(2), 4, &machine));
    CHECK_OK(sj_mmu_vas_create(machine, &vas));
    CHECK_OK(sj_mmu_map(machine, vas, WINDOW, 8 * KIB4, 1, true, NULL));
    CHECK_OK(sj_mmu_map(machine, vas, WINDOW + 64 * GIB, MIB2, 2, true, NULL));
    CHECK_OK(sj_mmu_switch(machine, vas, 1));
    sj_mmu_access(machine, WINDOW + 64 * GIB, false); /* from now on pages have two sizes */
    const uint64_t pages[] = {0, 1, 2, 3, 0, 4, 5, 6}, hits[] = {0, 0, 0, 0, 1, 1, 1, 1};
    const struct sj_mmu_counts *counts = &machine->vas[vas].counts;
    for (uint32_t i = 0; i < 8; i++) {
        sj_mmu_access(machine, WINDOW + pages[i] * KIB4, false);
        CHECK(counts->first_hits == hits[i]);
    }
    sj_mmu_access(machine, WINDOW + 3 * KIB4, false);
    CHECK(counts->first_hits == 2);
    sj_mmu_access(machine, WINDOW, false);
    CHECK(counts->first_hits == 2);
    sj_mmu_destroy(machine);
}

/* As a_tlb_knows_nothing_that_is_not_mapped(), where no preset is. */
static void so_it_is_with_other_policies(void)
{
    struct sj_mmu_preset plru = *sj_mmu_preset(2), untagged = *sj_mmu_preset(2);
    plru.tlb.policy = SJ_TLB_PLRU;
    untagged.tlb.tags = false;
    a_tlb_knows_nothing_that_is_not_mapped(&plru);
    a_tlb_knows_nothing_that_is_not_mapped(&untagged);
    struct sj_mmu_preset wrong = *sj_mmu_preset(2);
    struct sj_mmu *machine;
    wrong.tlb.second[0] = (struct sj_tlb_shape){1000, 8};
    CHECK(sj_mmu_create(&wrong, sj_mmu_system(0), 4, &machine) == SJ_EINVAL);
}

static struct sj_space *attach(const char *name, uint64_t base)
{
    struct sj_segment_spec spec = {.name = name, .base = base, .reserved = GIB, .mode = 0600};
    struct sj_attach_options options = {.writable = true, .wait = {.timeout_s = 10}};
    struct sj_space *space;
    char path[256], lock[300];
    snprintf(path, sizeof path, "%s", test_path(name));
    snprintf(lock, sizeof lock, "%s.lock", path);
    CHECK_OK(sj_segment_create(path, &spec));
    CHECK_OK(sj_space_attach(path, lock, &options, &space));
    return space;
}

/* Allocates until the file has grown. */
static void grow(struct sj_space *space)
{
    uint64_t before = sj_segment_committed(space->segment);
    CHECK_OK(sj_enter_write(space, NULL));
    while (sj_segment_committed(space->segment) == before) {
        void *block;
        CHECK_OK(sj_tx_op_begin(space->segment));
        CHECK_OK(sj_heap_alloc(space->segment, 100000, &block));
        sj_tx_ready(space->segment);
        CHECK_OK(sj_tx_op_commit(space->segment));
    }
    CHECK_OK(sj_leave(space));
}

static bool process_has(const struct sj_mmu_model *model, uint64_t address)
{
    return is_mapped(&model->machine->vas[model->process].tree, address);
}

static void a_model_follows_a_space(void)
{
    uint64_t base = TEST_BASE + 8 * GIB;
    struct sj_space *early = attach("early", base);
    struct sj_mmu *machine;
    struct sj_mmu_model *model;
    CHECK_OK(sj_mmu_create(sj_mmu_preset(2), sj_mmu_system(0), 4, &machine));
    CHECK_OK(sj_enter_read(early, NULL));
    CHECK(sj_mmu_model_begin(machine, true, &model) == SJ_EBUSY);
    CHECK_OK(sj_leave(early));
    CHECK_OK(sj_mmu_model_begin(machine, true, &model));
    struct sj_mmu_model *second;
    CHECK(sj_mmu_model_begin(machine, true, &second) == SJ_EBUSY);
    struct sj_space *late = attach("late", base + 2 * GIB);
    CHECK(model->spaces == 2 && model->events[SJ_MMU_ATTACH] == 1);
    CHECK(process_has(model, base) && process_has(model, base + 2 * GIB));

    CHECK_OK(sj_enter_read(early, NULL));
    CHECK(machine->current == model->space[0].vas && machine->tag == model->space[0].tag);
    CHECK_OK(sj_enter_write(late, NULL));
    CHECK(machine->current == model->space[1].vas);
    CHECK_OK(sj_enter_write(late, NULL));
    CHECK_OK(sj_leave(late));
    CHECK_OK(sj_leave(late));
    CHECK(machine->current == model->space[0].vas);
    CHECK(sj_mmu_model_end(model) == SJ_EBUSY);
    CHECK_OK(sj_leave(early));
    CHECK(sj_current() == NULL && machine->current == model->process);
    CHECK(model->events[SJ_MMU_SWITCH] == 4);

    uint64_t end = sj_segment_committed(late->segment);
    grow(late);
    sj_mmu_on_grow(late);
    CHECK(model->events[SJ_MMU_GROW] == 1 && process_has(model, base + 2 * GIB + end));
    CHECK(machine->vas[model->space[1].vas].counts.accesses > 0);
    CHECK(machine->vas[model->space[1].vas].counts.writes > 0);
    CHECK(machine->vas[model->space[1].vas].counts.faults == 0);

    struct sj_space *over = attach("over", base + 2 * GIB); /* parks `late` */
    CHECK(model->events[SJ_MMU_PARK] == 1 && model->space[1].at == late->segment->mapped_at);
    CHECK(model->space[1].at != base + 2 * GIB && process_has(model, model->space[1].at));
    CHECK(process_has(model, base + 2 * GIB));
    CHECK(is_mapped(&machine->vas[model->space[1].vas].tree, base + 2 * GIB));
    CHECK_OK(sj_enter_read(late, NULL)); /* they change places */
    CHECK(model->events[SJ_MMU_PARK] == 3 && model->space[1].at == base + 2 * GIB);
    CHECK(process_has(model, model->space[2].at) && model->space[2].at != base + 2 * GIB);
    CHECK_OK(sj_leave(late));
    grow(over);
    CHECK(model->error == SJ_OK && model->space[2].at == base + 2 * GIB);
    CHECK_OK(sj_space_detach(over, NULL));

    CHECK_OK(sj_space_detach(late, NULL));
    CHECK(!process_has(model, base + 2 * GIB) && model->events[SJ_MMU_DETACH] == 2);
    CHECK(model->error == SJ_OK);
    CHECK_OK(sj_mmu_model_end(model));
    CHECK(sj_mmu_model_end(model) == SJ_ENOHOLD);
    CHECK(early->segment->heap != SJ_TOUCH_WATCHED && early->segment->spans == base);
    sj_mmu_model_destroy(model);
    sj_mmu_destroy(machine);
    CHECK_OK(sj_space_detach(early, NULL));
}

int main(void)
{
    test_begin();
    a_tree_is_as_its_list_of_pages(4);
    a_tree_is_as_its_list_of_pages(5);
    tables_are_as_many_as_their_pages_need();
    what_is_mapped_in_a_shared_table_is_there_for_all();
    for (size_t i = 0; sj_mmu_preset(i) != NULL; i++)
        a_tlb_knows_nothing_that_is_not_mapped(sj_mmu_preset(i));
    so_it_is_with_other_policies();
    plru_evicts_the_first_way_without_a_bit();
    a_model_follows_a_space();
    return 0;
}
