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
 *   roots     reached from the directory, or in use in the heap; a head without one is "lost-1" …
 *   leaves    linked both ways: one chain. It belongs to the tree whose inner nodes lead to most
 *             of its leaves; one that none leads to, to its neighbour's, or to the one tree that
 *             it can be of; else to a structure "lost-1" …
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
#include "structures/entry.h"

struct sj_salvage;

struct sj_salvage_structure {
    char name[SJ_NAME_MAX + 1]; /* of the root, or "lost-1" … */
    uint16_t name_bytes;
    uint16_t type; /* SJ_KIND_BTREE or SJ_KIND_HASHMAP */
    bool lost;     /* no root: the codecs are not known */
    uint8_t key_codec;
    uint8_t value_codec;
    struct sj_kinds kinds;
    bool has_head;
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

/* Finding `number`, or NULL; `*all`: how many there were, of which the first are kept. */
SJ_API const struct sj_salvage_finding *sj_salvage_finding(const struct sj_salvage *salvage,
                                                           uint64_t number, uint64_t *all);

enum sj_salvage_grade { SJ_SALVAGE_SOUND, SJ_SALVAGE_SUSPECT, SJ_SALVAGE_ODD };

/* Where a reading is; zeros: at the beginning. */
struct sj_salvage_cursor {
    uint64_t block;
    uint32_t slot;
    enum sj_salvage_grade grade; /* of the entries that are read */
};

/*
 * Reads up to `wanted` entries; fewer: the end. What they point to is there until
 * sj_salvage_close, but a page may be lost at any time: who has used one asks sj_salvage_is_there
 * afterwards. Unreadable entries are counted and listed by the readings of sound ones.
 */
SJ_API uint32_t sj_salvage_read(struct sj_salvage *salvage, uint32_t structure,
                                struct sj_salvage_cursor *cursor, uint32_t wanted,
                                struct sj_item *items);

/* Whether all bytes of an entry that was read could be. */
SJ_API bool sj_salvage_is_there(const struct sj_salvage *salvage, uint32_t structure,
                                const struct sj_item *item);

#endif
