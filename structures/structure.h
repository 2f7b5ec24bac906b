// SPDX-License-Identifier: Apache-2.0
/*
 * structure.h: a structure of any kind, by the address of its head: what it is, and what can be
 * done with all of them.
 *
 * Each kind offers one `struct sj_structure_type`; structure.c has the table. Who has a write hold
 * may change, who has a read hold may look. An address that is given need not be one of a
 * structure.
 */
#ifndef SJ_STRUCTURES_STRUCTURE_H
#define SJ_STRUCTURES_STRUCTURE_H

#include "persistence/heap.h"
#include "structures/entry.h"
#include "structures/item_byte.h"

struct sj_structure_info {
    uint16_t kind;
    bool shared; /* a reference to it has been stored */
    struct sj_codecs codecs;
    uint32_t serial;
    uint64_t count; /* items */
};

/* Called for each value, or each reference; nonzero ends the walk, which returns that. */
typedef int sj_value_visit(void *context, const struct sj_value *value);
typedef int sj_reference_visit(void *context, uint64_t head, uint32_t serial);

struct sj_structure_type {
    uint16_t kind;

    /* Makes an empty one, in the plan of an operation that the caller has begun. */
    int (*create)(struct sj_segment *segment, struct sj_codecs codecs, uint64_t *head);

    /* Frees it whole, in the plan of an operation that the caller has begun. */
    int (*destroy)(struct sj_segment *segment, uint64_t head);

    /* What its head says. SJ_ECORRUPT. */
    int (*look)(struct sj_segment *segment, uint64_t head, struct sj_structure_info *info);

    /* Verifies it, and calls `visit` for each of its blocks, its head included. SJ_ECORRUPT. */
    int (*check)(struct sj_segment *segment, uint64_t head, sj_heap_visit *visit, void *context);

    /* Calls `visit` for each value; of one that was checked. */
    int (*values)(struct sj_segment *segment, uint64_t head, sj_value_visit *visit, void *context);

    /* The same for each reference that is no part of a value; NULL: there are none. */
    int (*references)(struct sj_segment *segment, uint64_t head, sj_reference_visit *visit,
                      void *context);
};

/* NULL: there is no such kind of structure. */
SJ_API const struct sj_structure_type *sj_structure_type_of(uint16_t kind);

/* A new serial. SJ_EIO when the system gives no random bytes. */
int sj_structure_serial(uint32_t *serial);

/* In the plan of an operation that the caller has begun. SJ_EFULL, SJ_ENOMEM, SJ_EIO; SJ_ETYPE:
 * there is no such kind. */
SJ_API int sj_structure_create(struct sj_segment *segment, uint16_t kind, struct sj_codecs codecs,
                               uint64_t *head);

/* The structure in use at that address. SJ_ENOTFOUND: there is none, or (serial not 0) another
 * one. SJ_ECORRUPT. */
SJ_API int sj_structure_look(struct sj_segment *segment, uint64_t head, uint32_t serial,
                             struct sj_structure_info *info);

/* In the plan of an operation that the caller has begun; who keeps its address looks again
 * (sj_root_removals). SJ_ENOTFOUND, SJ_ECORRUPT, SJ_ENOMEM; SJ_ETYPE: the types of records stay. */
SJ_API int sj_structure_destroy(struct sj_segment *segment, uint64_t head);

/* Says that a reference to the structure is going to be stored: an operation by itself. Errors of
 * sj_structure_look. */
SJ_API int sj_structure_share(struct sj_segment *segment, uint64_t head, uint32_t serial);

/* The same for all references in a value of codec `any`, which have to lead into the segment. */
SJ_API int sj_structure_share_all(struct sj_segment *segment, const struct sj_value *value);

/* Calls `visit` for each reference that the structure holds. SJ_ECORRUPT. */
int sj_structure_references(struct sj_segment *segment, uint64_t head, sj_reference_visit *visit,
                            void *context);

#endif
