// SPDX-License-Identifier: Apache-2.0
/*
 * presets.c: CPUs and systems that a machine can be made of. docs/mmu.md says where each figure is
 * from, and which ones were fitted.
 *
 * Shapes are those that the makers publish (Intel's optimization manual and CPUID leaves 2 and 18h,
 * AMD's optimization guides). Walk caches are not published: these are what measurements by others
 * found. The shares of entries in the data caches (near, mid), and the costs of m1 to m3, are
 * fitted to the paper's Fig. 6; those of later CPUs follow from their latencies and are held
 * against nothing.
 */
#include "spacejmp/mmu/mmu.h"

#define LEVELS_4_5  {{32, 4}, {4, 0}, {2, 0}, {1, 0}}
#define PAPER_COSTS {4.5, 1, 31, {4, 14, 44}, 130, 224}

static const struct sj_mmu_preset presets[] = {
    {"m1",
     "2 × Xeon X5650 (Westmere), 2.66 GHz: M1 of the paper",
     2.66,
     {.first = {{64, 4}, {32, 4}, {4, 0}},
      .second = {{512, 4}},
      .second_sizes = {1},
      .walk = LEVELS_4_5,
      .near = {16, 4},
      .mid = {192, 6},
      .tags = true},
     PAPER_COSTS},
    {"m2",
     "2 × Xeon E5-2670 v2 (Ivy Bridge), 2.5 GHz: M2 of the paper",
     2.5,
     {.first = {{64, 4}, {32, 4}, {4, 0}},
      .second = {{512, 4}},
      .second_sizes = {1},
      .walk = LEVELS_4_5,
      .near = {16, 4},
      .mid = {192, 6},
      .tags = true},
     PAPER_COSTS},
    {"m3",
     "2 × Xeon E5-2699 v3 (Haswell), 2.3 GHz: M3 of the paper",
     2.3,
     {.first = {{64, 4}, {32, 4}, {4, 0}},
      .second = {{1024, 8}},
      .second_sizes = {3},
      .walk = LEVELS_4_5,
      .near = {16, 4},
      .mid = {192, 6},
      .tags = true},
     PAPER_COSTS},
    {"skylake",
     "Xeon Platinum 8180 (Skylake), 2.5 GHz",
     2.5,
     {.first = {{64, 4}, {32, 4}, {4, 0}},
      .second = {{1536, 12}, {16, 4}},
      .second_sizes = {3, 4},
      .walk = LEVELS_4_5,
      .near = {16, 4},
      .mid = {768, 6},
      .tags = true},
     {4.5, 1, 25, {4, 14, 60}, 130, 224}},
    {"sapphire-rapids",
     "Xeon Platinum 8480+ (Golden Cove), 2.0 GHz",
     2.0,
     {.first = {{96, 6}, {32, 4}, {8, 0}},
      .second = {{2048, 16}, {1024, 8}},
      .second_sizes = {3, 4},
      .walk = LEVELS_4_5,
      .near = {24, 6},
      .mid = {1536, 12},
      .tags = true},
     {4, 1, 20, {5, 15, 70}, 130, 224}},
    {"zen4",
     "EPYC 9654 (Zen 4), 2.4 GHz",
     2.4,
     {.first = {{72, 0}},
      .first_shared = true,
      .second = {{3072, 24}},
      .second_sizes = {3},
      .walk = {{64, 0}, {64, 0}, {2, 0}, {1, 0}},
      .near = {16, 4},
      .mid = {768, 6},
      .tags = true},
     {4, 1, 20, {4, 14, 50}, 130, 224}},
};

/* Mapping page by page, and linking what is there: Linux and cached translations in Fig. 1. */
#define FIGURE_1                                                                                   \
    .map_ns = 5500, .map_page_ns = 166.6, .map_table_ns = 600, .unmap_ns = 900,                    \
    .unmap_page_ns = 37, .unmap_table_ns = 200, .link_ns = 380, .link_entry_ns = 20

static const struct sj_mmu_system systems[] = {
    {"dragonfly", "SpaceJMP in DragonFly BSD", 357, 226, 12, FIGURE_1},
    {"barrelfish", "SpaceJMP in Barrelfish", 130, 108, 8, FIGURE_1},
    {"bare", "a load of CR3 and nothing else", 0, 0, 0, FIGURE_1},
};

const struct sj_mmu_preset *sj_mmu_preset(size_t index)
{
    return index < sizeof(presets) / sizeof(*presets) ? &presets[index] : NULL;
}

const struct sj_mmu_system *sj_mmu_system(size_t index)
{
    return index < sizeof(systems) / sizeof(*systems) ? &systems[index] : NULL;
}
