// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap.h: an unordered mapping: extendible hashing over Swiss-table buckets, in a segment.
 *
 * The caller has a read hold for what takes a `const struct sj_hashmap *`, a write hold for the
 * rest. Every change is one atomic operation, alone or inside a transaction. Damage found on the
 * way is SJ_ECORRUPT and changes nothing.
 *
 * Cost: get, put, delete O(1): the directory (in cache), a bucket's tags, a slot. The longest
 * pause of a put is the split of one 16 KiB table segment, and the doubling of the directory (8
 * bytes for about 700 items).
 */
#ifndef SJ_STRUCTURES_HASHMAP_H
#define SJ_STRUCTURES_HASHMAP_H

#include "persistence/heap.h"
#include "structures/entry.h"
#include "structures/item_byte.h"
#include "structures/hashmap_layout.h"

/* A map in this process: where its head is, and what its items are. */
struct sj_hashmap {
    struct sj_segment *segment;
    struct sj_hashmap_head *head;
    struct sj_kinds kinds;
};

/* Makes an empty map; in the plan of an operation that the caller has begun. SJ_EFULL,
 * SJ_ENOMEM; SJ_EIO when the system gives no random seed. */
SJ_API int sj_hashmap_create(struct sj_segment *segment, struct sj_kinds kinds, uint64_t *head);

/* Opens the map whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_hashmap_open(struct sj_segment *segment, uint64_t head, struct sj_hashmap *map);

SJ_API uint64_t sj_hashmap_count(const struct sj_hashmap *map);

/* SJ_ENOTFOUND. */
SJ_API int sj_hashmap_get(const struct sj_hashmap *map, const struct sj_key *key,
                          struct sj_value *value);

/* `*existed`: there was an entry (with SJ_PUT_NEW it is untouched, else its key and form stay,
 * and the value is replaced). SJ_ETOOBIG, SJ_EFULL, SJ_ENOMEM; nothing has changed then. */
SJ_API int sj_hashmap_put(struct sj_hashmap *map, const struct sj_key *key,
                          const struct sj_value *value, enum sj_put_mode mode, bool *existed);

/* Stores what `change` makes of the value that the key has; one search. Its errors, and those of a
 * put. */
SJ_API int sj_hashmap_change(struct sj_hashmap *map, const struct sj_key *key,
                             sj_value_change *change, void *context);

/* Room in table segments is kept for later items. SJ_ENOTFOUND. */
SJ_API int sj_hashmap_delete(struct sj_hashmap *map, const struct sj_key *key);

/*
 * Many keys at once, their cache misses together. get: value[i] is good where found[i]. put and
 * delete are single operations in their order, inside a transaction of the caller who aborts it
 * after a failure; to `*fresh` is added how many keys were new, to `*deleted` how many were there.
 * Errors of the single ones; a key that is not there is none.
 */
SJ_API int sj_hashmap_get_many(const struct sj_hashmap *map, const struct sj_key *key,
                               uint32_t count, struct sj_value *value, bool *found);
SJ_API int sj_hashmap_put_many(struct sj_hashmap *map, const struct sj_key *key,
                               const struct sj_value *value, uint32_t count, uint64_t *fresh);
SJ_API int sj_hashmap_delete_many(struct sj_hashmap *map, const struct sj_key *key, uint32_t count,
                                  uint64_t *deleted);

/* Removes all items and gives all room back. O(n). */
SJ_API int sj_hashmap_clear(struct sj_hashmap *map);

/* Frees the whole map with its head, in the plan of an operation that the caller has begun. */
SJ_API int sj_hashmap_destroy(struct sj_hashmap *map);

/*
 * A scan: reads up to `wanted` items from `*position` on, in the order of their hashes, more or
 * less, and moves the position past them. It begins at 0; UINT64_MAX is the end. `wanted` is at
 * least SJ_HASHMAP_READ_MIN (else SJ_EINVAL), for items of one home bucket are given together:
 * before the end `*got` is more than wanted − SJ_HASHMAP_READ_MIN, not always wanted itself.
 *
 * The position is a threshold: what was given had smaller hashes, what is to come has not. So a
 * scan survives changes between two calls, by anyone: an item that is there throughout is given
 * exactly once, whatever is inserted, deleted or split; one that comes or goes meanwhile, at
 * most once. After an error the position is where it was.
 */
#define SJ_HASHMAP_READ_MIN 60
SJ_API int sj_hashmap_read(const struct sj_hashmap *map, uint64_t *position, uint32_t wanted,
                           struct sj_item *items, uint32_t *got);

/* Verifies tags, placement, strays, directory and counts, and calls `visit` (or none when it is
 * NULL) for each block of the map in the heap, its head included. SJ_ECORRUPT with the place. */
SJ_API int sj_hashmap_check(const struct sj_hashmap *map, sj_heap_visit *visit, void *context);

/* As one of the structures (structure.h). */
extern const struct sj_structure_type sj_hashmap_type;

#endif
