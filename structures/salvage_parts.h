// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_parts.h: what the files of the salvage share (salvage.h has the whole).
 *
 *   salvage_scan.c   the heap, brute force: candidates, in the order of addresses
 *   salvage_tree.c   chains of leaves, and whose they are
 *   salvage_map.c    tables, and whose they are
 *   salvage_chunk.c  chunks of deques and queues, whose they are, and their order
 *   salvage_list.c   the same for the leaves of lists
 *   salvage_array.c  the items of arrays and of columns
 *   salvage_read.c   entries of a block: sound, suspect, unreadable
 *   salvage.c        structures, from roots and heads; the beginning and the end
 */
#ifndef SJ_STRUCTURES_SALVAGE_PARTS_H
#define SJ_STRUCTURES_SALVAGE_PARTS_H

#include "structures/btree_layout.h"
#include "structures/deque_layout.h"
#include "structures/hashmap_layout.h"
#include "structures/list_layout.h"
#include "structures/salvage.h"

#define NOBODY       SJ_SALVAGE_NOBODY
#define SKIPPED      (NOBODY - 1) /* has a root that is not looked at any more */
#define FINDINGS_MAX 10000
#define LOST_MAX     256 /* structures that are made up; more are put together */

/* What the heap says of a block. */
enum salvage_life {
    LIFE_USED,
    LIFE_UNKNOWN, /* what would say it is damaged */
    LIFE_FREE,
};

/* The order of a sequence's blocks: from its first on, those that were found, up to its last. */
#define RANK_FIRST 0u
#define RANK_FOUND (1u << 30)
#define RANK_LAST  UINT32_MAX

/* Of a chunk of a deque, in `expected`: bits 0–7 the first slot in use, 8–14 the one after the last
 * one; this bit: nothing tells, and each is odd. */
#define CHUNK_DOUBT 0x8000u

/* A block that may be a leaf, a table or a chunk. */
struct salvage_block {
    uint64_t at;
    union {
        uint32_t chain; /* another block of the same chain; itself: it stands for all of it */
        uint32_t rank;  /* of a sequence's block: its place among the owner's */
    };
    uint32_t claim;    /* structure that leads to it; NOBODY: none */
    uint32_t owner;    /* structure that gets it; of a leaf: that of its chain */
    uint16_t life;     /* enum salvage_life */
    uint16_t expected; /* items by its parent + 1; 0: not told */
};

/* A root or a head. */
struct salvage_head {
    uint64_t at;
    uint16_t kind;
    uint16_t life;
    uint32_t structure; /* that has it; or NOBODY */
};

struct salvage_blocks {
    struct salvage_block *item;
    uint64_t count;
    uint64_t room;
};

struct salvage_structure {
    struct sj_salvage_structure told;
    uint64_t seed;  /* of a map */
    bool hashes;    /* and it is the one that its items were placed by */
    uint64_t items; /* by the blocks' heads; of a deque: the slots of its chunks */
    uint64_t first; /* in order[] */
    uint64_t end;
};

struct sj_salvage {
    struct sj_remains *remains;
    struct sj_segment *segment;
    struct salvage_blocks leaves, tables, chunks, list_leaves, list_inners;
    struct salvage_head *head;
    uint64_t heads, heads_room;
    struct salvage_structure *structure;
    uint32_t structures, structures_room;
    uint32_t lost, unnamed; /* how many have been called so */
    uint64_t passed_over;
    bool broken_heap; /* descriptors of some chunk are damaged */
    uint64_t *order;  /* numbers of blocks, each structure's together */
    struct sj_salvage_finding *finding;
    uint64_t findings, findings_room;
    bool no_memory;
};

static inline uint64_t salvage_offset(const struct sj_salvage *salvage, uint64_t at)
{
    return at - (uint64_t)(uintptr_t)salvage->segment->base;
}

/* Whether a vector has room for one more; it is made, if there is memory. */
bool salvage_grow(struct sj_salvage *salvage, void **items, uint64_t count, uint64_t *room,
                  size_t bytes);
void salvage_tell(struct sj_salvage *salvage, uint64_t at, uint32_t structure, const char *reason);

/* Whether a slot's word looks like the address of an entry or a blob, be it there or not. */
static inline bool salvage_is_address(const struct sj_salvage *salvage, uint64_t word)
{
    return (word & 15) == 0 && salvage_offset(salvage, word) - salvage->segment->meta_bytes <
                                   salvage->segment->reserved - salvage->segment->meta_bytes;
}

/* Buckets of a table that the file has. */
static inline uint32_t salvage_buckets(const struct sj_salvage *salvage,
                                       const struct salvage_block *block)
{
    uint64_t room = sj_segment_committed(salvage->segment) - salvage_offset(salvage, block->at) -
                    sizeof(struct sj_hashmap_segment);
    uint32_t buckets = ((const struct sj_hashmap_segment *)(uintptr_t)block->at)->node.count;
    room /= sizeof(struct sj_hashmap_bucket);
    room = room < SJ_HASHMAP_BUCKETS_MAX ? room : SJ_HASHMAP_BUCKETS_MAX;
    return buckets < room ? buckets : (uint32_t)room;
}

/* The number of the candidate at an address; UINT64_MAX: there is none. */
uint64_t salvage_find(const struct salvage_blocks *blocks, uint64_t at);

/* A structure that has lost its root; the last one of those kinds when there are too many. */
uint32_t salvage_lost(struct sj_salvage *salvage, uint16_t type, struct sj_kinds kinds);

/* salvage_scan.c: finds candidates. */
void salvage_scan(struct sj_salvage *salvage);

/* salvage_tree.c: gives each leaf its owner, or NOBODY: it is none. */
void salvage_trees(struct sj_salvage *salvage);

/* salvage_map.c: the same for tables. */
void salvage_maps(struct sj_salvage *salvage);

/* salvage_chunk.c, salvage_list.c: the same for the blocks of sequences, and their ranks. */
void salvage_deques(struct sj_salvage *salvage);
void salvage_lists(struct sj_salvage *salvage);

/* salvage_array.c: whether there is such a head; how many items it has, or rows. */
bool salvage_is_array(const struct sj_segment *segment, uint64_t at);
bool salvage_is_columns(const struct sj_segment *segment, uint64_t at);
uint64_t salvage_array_count(const struct sj_salvage *salvage, uint16_t kind, uint64_t at);

/* Whether items have an order of their own, and no keys that each may be there once. */
static inline bool salvage_is_sequence(uint16_t type)
{
    return type == SJ_KIND_LIST || type == SJ_KIND_DEQUE || type == SJ_KIND_QUEUE;
}

static inline bool salvage_is_structure(uint16_t type)
{
    return type == SJ_KIND_BTREE || type == SJ_KIND_HASHMAP || type == SJ_KIND_ARRAY ||
           type == SJ_KIND_COLUMNS || salvage_is_sequence(type);
}

/* How many slots of a list's leaf are to be looked at. */
static inline uint32_t salvage_list_slots(const struct sj_salvage *salvage,
                                          const struct salvage_block *block)
{
    const struct sj_list_leaf *leaf = (const struct sj_list_leaf *)(uintptr_t)block->at;
    uint64_t room = sj_segment_committed(salvage->segment) - salvage_offset(salvage, block->at);
    uint32_t count = leaf->node.count, slots = leaf->node.aux;
    room = (room - sizeof *leaf) / sizeof *leaf->slot;
    slots = slots < SJ_LIST_LEAF_SLOTS ? slots : SJ_LIST_LEAF_SLOTS;
    slots = slots < room ? slots : (uint32_t)room;
    return count < slots ? count : slots;
}

/* salvage_read.c: what may be said of an entry. */
enum salvage_verdict {
    ENTRY_SOUND = SJ_SALVAGE_SOUND,
    ENTRY_SUSPECT = SJ_SALVAGE_SUSPECT,
    ENTRY_ODD = SJ_SALVAGE_ODD,
    ENTRY_UNREADABLE,
};

/* The entry in a slot of a leaf; `why`: of an unreadable one. */
enum salvage_verdict salvage_leaf_entry(const struct sj_salvage *salvage,
                                        const struct salvage_block *block, struct sj_kinds kinds,
                                        uint32_t slot, struct sj_item *item, const char **why);
/* How many slots of a leaf are to be looked at. */
uint32_t salvage_leaf_slots(const struct sj_salvage *salvage, const struct salvage_block *block);

/* The entry in a slot of a table; UNREADABLE with `why` NULL: the slot is free. */
enum salvage_verdict salvage_table_entry(const struct sj_salvage *salvage,
                                         const struct salvage_block *block,
                                         const struct salvage_structure *map, uint32_t slot,
                                         struct sj_item *item, const char **why);

/* The item in a slot of a sequence's block; UNREADABLE with `why` NULL: maybe there is none. */
enum salvage_verdict salvage_sequence_entry(const struct sj_salvage *salvage,
                                            const struct salvage_block *block,
                                            const struct salvage_structure *whose, uint32_t slot,
                                            struct sj_item *item, const char **why);

/* Whether a slot without a word beside it looks like an item of these kinds. */
bool salvage_slot_fits(const struct sj_salvage *salvage, struct sj_kinds kinds,
                       const uint64_t *slot);

/* Whether the slots of a leaf, or of a table, look like items of these kinds. */
bool salvage_leaf_fits(const struct sj_salvage *salvage, const struct salvage_block *block,
                       struct sj_kinds kinds);

#endif
