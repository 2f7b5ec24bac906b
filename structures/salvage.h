// SPDX-License-Identifier: Apache-2.0
/*
 * salvage.h: every entry that can still be read in a damaged segment.
 *
 * Works on a private copy (persistence/remains.h); the file is not changed, and need not be one
 * that sj_segment_open accepts. Nothing that is read is trusted; every walk is bounded by what was
 * found in the heap, so it ends on any media.
 *
 * What is found, and whose it is:
 *
 *   heap      ──every chunk, page and slab──→ roots, heads, leaves, tables: candidates
 *   roots     reached from the directory, or in use in the heap
 *   heads     without a root: "unnamed-1" … when references to it were stored, which is how what
 *             has no name is found; else "lost-1" …
 *   leaves    linked both ways: one chain. It belongs to the tree whose inner nodes lead to most
 *             of its leaves; one that none leads to, to its neighbour's, or to the one tree that
 *             it can be of; else to a structure "lost-1" …
 *   chunks    of a deque or a queue: linked both ways as leaves are; its head names both ends
 *   lists     their leaves are not linked: the inner nodes lead to them, in order
 *   tables    of a hash map: to the map by whose seed its keys have the hashes that their places
 *             say
 *
 * An entry is sound; or suspect: it lies on a page whose checksum does not fit, or nothing says
 * that its block is in use; or odd: its key is not what its place says (in the order of a tree, by
 * its hash). Who wants each key once takes them in this order. Entries that lie on pages whose
 * checksum fits, with their leaves, are never odd. What is not readable is counted and listed.
 *
 * Cost: reads the file; memory for 32 bytes a leaf.
 */
#ifndef SJ_STRUCTURES_SALVAGE_H
#define SJ_STRUCTURES_SALVAGE_H

#include "persistence/remains.h"
#include "structures/codec.h"
#include "structures/entry.h"

struct sj_salvage;

struct sj_salvage_structure {
    char name[SJ_NAME_MAX + 1]; /* of the root, or "lost-1", "unnamed-1" … */
    uint16_t name_bytes;
    uint16_t type;            /* SJ_KIND_BTREE, …_HASHMAP, …_LIST, …_DEQUE, …_QUEUE */
    bool lost;                /* no root */
    bool shared;              /* its head says that references to it were stored */
    struct sj_codecs by_root; /* zeros when it has no root */
    struct sj_codecs by_head; /* what its head says; zeros: nothing */
    struct sj_kinds kinds;
    bool has_head;
    uint64_t head; /* its address and its serial, as references have them */
    uint32_t serial;
    uint64_t limit;      /* of a deque or a queue, by its head; UINT64_MAX: none */
    uint64_t expected;   /* items by the head, if there is one */
    uint64_t blocks;     /* leaves or tables that are read */
    uint64_t found;      /* of those, that nothing led to */
    uint64_t unreadable; /* entries that the blocks name and that are not there; while reading */
};

/* A block that could not be used, or not be trusted. */
struct sj_salvage_finding {
    uint64_t offset;
    uint32_t structure; /* SJ_SALVAGE_NOBODY: not known */
    const char *reason;
};

#define SJ_SALVAGE_NOBODY UINT32_MAX

/* Opens the copy and finds what is in it. Errors of sj_remains_open; SJ_ENOMEM. */
SJ_API int sj_salvage_open(const char *path, const struct sj_remains_hint *hint,
                           struct sj_salvage **salvage);
SJ_API void sj_salvage_close(struct sj_salvage *salvage);

SJ_API const struct sj_remains *sj_salvage_remains(const struct sj_salvage *salvage);
SJ_API uint32_t sj_salvage_count(const struct sj_salvage *salvage);
SJ_API const struct sj_salvage_structure *sj_salvage_structure(const struct sj_salvage *salvage,
                                                               uint32_t structure);

/* How many heads were found of kinds that are not salvaged: records. */
SJ_API uint64_t sj_salvage_passed_over(const struct sj_salvage *salvage);

/* Finding `number`, or NULL; `*all`: how many there were, of which the first are kept. */
SJ_API const struct sj_salvage_finding *sj_salvage_finding(const struct sj_salvage *salvage,
                                                           uint64_t number, uint64_t *all);

enum sj_salvage_grade { SJ_SALVAGE_SOUND, SJ_SALVAGE_SUSPECT, SJ_SALVAGE_ODD };

/* Where a reading is; zeros: at the beginning. */
struct sj_salvage_cursor {
    uint64_t block;
    uint32_t slot;
    enum sj_salvage_grade grade; /* of the entries that are read; of a sequence's, the worst */
    uint64_t doubtful;           /* items of a sequence that it has met and that are not sound */
    bool quiet;                  /* what is not readable is not counted */
};

/*
 * Reads up to `wanted` entries; fewer: the end. What they point to is there until
 * sj_salvage_close, but a page may be lost at any time: who has used one asks sj_salvage_is_there
 * afterwards. Unreadable entries are counted and listed by the readings of sound ones, and of
 * sequences: those give all grades up to the cursor's, in order. An item of a list or a deque is
 * the value, one of a sorted list the key.
 */
SJ_API uint32_t sj_salvage_read(struct sj_salvage *salvage, uint32_t structure,
                                struct sj_salvage_cursor *cursor, uint32_t wanted,
                                struct sj_item *items);

/* A block of items: those of an array, or of a column of a table. They are there until
 * sj_salvage_close, but for pages that are lost. */
struct sj_salvage_part {
    const char *name; /* of the column */
    const char *type;
    uint32_t name_bytes;
    uint32_t type_bytes;
    const uint64_t *shape; /* of a column: the rows */
    uint32_t dims;
    bool doubt; /* nothing but what leads to them says that they are there */
    uint64_t item_bytes;
    const uint8_t *items;
    uint64_t bytes; /* that the file has; maybe fewer than by the shape */
};

/* How many blocks of items an array (1) or a table has; 0: it cannot be read, or is neither. */
SJ_API uint32_t sj_salvage_parts(struct sj_salvage *salvage, uint32_t structure);
/* Of an array or a table. False: it cannot be read. */
SJ_API bool sj_salvage_part(struct sj_salvage *salvage, uint32_t structure, uint32_t number,
                            struct sj_salvage_part *part);

/* Whether all bytes of an entry that was read could be. */
SJ_API bool sj_salvage_is_there(const struct sj_salvage *salvage, uint32_t structure,
                                const struct sj_item *item);

#endif
