// SPDX-License-Identifier: Apache-2.0
/*
 * explore_world.h: what the explorer runs: worlds, their operations, and what must hold.
 *
 * A world is a segment, or two, with some structures in it and an alphabet of operations. An
 * operation changes the segment and, beside it, a model: a plain table that says what must be in
 * it. So for any crash image there are one or two models that its contents may equal.
 *
 * How to add one: fill in a `struct world`, with its seed, operations and examination, in a
 * function like map_worlds() that main calls.
 */
#ifndef SJ_TESTS_EXPLORE_WORLD_H
#define SJ_TESTS_EXPLORE_WORLD_H

#include <stdio.h>

#include "explore_trace.h"

#include "persistence/segment.h"
#include "structures/btree.h"
#include "structures/deque.h"
#include "structures/hashmap.h"
#include "structures/list.h"

#define MODEL_ROOTS      3
#define MODEL_KEYS       6144 /* that root 0 may have; the others MODEL_KEYS_OTHER */
#define MODEL_KEYS_OTHER 128

/* What must be in the segment: which value each key has in each root, 0: none. (Worlds without
 * keys have their own use for it.) */
struct model {
    uint64_t digest; /* of all that is there, kept up to date */
    uint32_t items;  /* of root 0 in the seed state: its keys are 0, 2, … 2 items − 2 */
    bool present[MODEL_ROOTS];
    uint8_t version[MODEL_KEYS + (MODEL_ROOTS - 1) * MODEL_KEYS_OTHER];
};

struct world;

/* One process that has the segment open: its volatile state. */
struct process {
    struct sj_segment segment;
    struct sj_segment second; /* of a world that has two */
    const struct world *world;
    struct {
        bool open;
        struct sj_btree tree;
        struct sj_hashmap map;
        struct sj_deque deque;
        struct sj_list list;
    } root[MODEL_ROOTS];
};

struct operation {
    const char *name;
    void (*run)(struct process *process, struct model *model);
    bool heavy; /* many stores: never one of the two that follow a recovery */
};

struct world {
    char name[48];
    enum sj_kind kind; /* of the structures */
    struct sj_kinds kinds;
    uint32_t items;     /* of root 0 in the seed state */
    bool about_to_grow; /* some more, so that the next one makes the structure grow */
    bool lean;          /* thinned out, so that the next deletion makes it shrink */
    bool large;         /* an examination takes long: fewer images */
    const struct operation *operation;
    uint32_t operations;
    /* Fills the fresh segment. */
    void (*seed)(struct process *process, struct model *model);
    /* Changes a segment, 0 or 1, that has been recovered while the other one has not; the model
     * says nothing of it. NULL: the world has one segment. */
    void (*disturb)(struct process *process, uint32_t side);
    /* Verifies everything and gives the digest of what is there. SJ_ECORRUPT and such. */
    int (*examine)(struct process *process, uint64_t *digest);
};

#define WORLDS_MAX 96

/* Each appends its worlds to the `count` ones there are, and says how many there are then. */
uint32_t map_worlds(struct world *worlds, uint32_t count);
uint32_t sequence_worlds(struct world *worlds, uint32_t count);
uint32_t record_worlds(struct world *worlds, uint32_t count);
uint32_t reference_worlds(struct world *worlds, uint32_t count);
uint32_t heap_worlds(struct world *worlds, uint32_t count);
uint32_t list_worlds(struct world *worlds, uint32_t count);
uint32_t group_worlds(struct world *worlds, uint32_t count);

/* What went wrong while an operation ran, or was a requirement of the explorer: ends the run. */
_Noreturn void explore_fail(const char *file, int line, const char *what);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            explore_fail(__FILE__, __LINE__, #condition);                                          \
    } while (0)

#endif
