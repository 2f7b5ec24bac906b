// SPDX-License-Identifier: Apache-2.0
/*
 * btree.h: an ordered mapping: a B+tree with order statistics, in a segment.
 *
 * The caller has a read hold for what takes a `const struct sj_btree *`, a write hold for the rest.
 * Every change is one atomic operation, alone or inside a transaction. Damage found on the way is
 * SJ_ECORRUPT and changes nothing.
 *
 * Cost: search, insert, delete, rank, select O(log n); next O(1); count O(1).
 */
#ifndef SJ_STRUCTURES_BTREE_H
#define SJ_STRUCTURES_BTREE_H

#include "persistence/heap.h"
#include "structures/btree_layout.h"
#include "structures/entry.h"
#include "structures/item_byte.h"

/*
 * A tree in this process: where its head is, and what its items are. `run_*` says where the last
 * insertion went and how many before it went to the places next to each other (> 0 ascending, < 0
 * descending): a hint for splits, never followed.
 */
struct sj_btree {
    struct sj_segment *segment;
    struct sj_btree_head *head;
    struct sj_kinds kinds;
    uint64_t run_leaf;
    uint32_t run_at;
    int32_t run;
};

/* The item that is given next, in either direction; `leaf` NULL: there is none. Good until the
 * tree is changed. */
struct sj_btree_cursor {
    struct sj_btree_leaf *leaf;
    uint32_t at;
    uint64_t hops; /* leaves that it has gone on to */
};

/* Makes an empty tree; in the plan of an operation that the caller has begun (the caller adds
 * the root). SJ_EFULL. */
SJ_API int sj_btree_create(struct sj_segment *segment, struct sj_kinds kinds, uint64_t *head);

/* Opens the tree whose head is at `head`. SJ_ECORRUPT. */
SJ_API int sj_btree_open(struct sj_segment *segment, uint64_t head, struct sj_btree *tree);

SJ_API uint64_t sj_btree_count(const struct sj_btree *tree);

/* SJ_ENOTFOUND. */
SJ_API int sj_btree_get(const struct sj_btree *tree, const struct sj_key *key,
                        struct sj_value *value);

/* `*existed`: there was an entry (with SJ_PUT_NEW it is untouched). SJ_ETOOBIG, SJ_EFULL. */
SJ_API int sj_btree_put(struct sj_btree *tree, const struct sj_key *key,
                        const struct sj_value *value, enum sj_put_mode mode, bool *existed);

/* Stores what `change` makes of the value that the key has; one descent. Its errors, and those of a
 * put. */
SJ_API int sj_btree_change(struct sj_btree *tree, const struct sj_key *key, sj_value_change *change,
                           void *context);

/* SJ_ENOTFOUND. */
SJ_API int sj_btree_delete(struct sj_btree *tree, const struct sj_key *key);

/*
 * Many keys at once, their cache misses together. get: value[i] is good where found[i]. put and
 * delete are single operations in their order, inside a transaction of the caller who aborts it
 * after a failure; to `*fresh` is added how many keys were new, to `*deleted` how many were there.
 * Errors of the single ones; a key that is not there is none.
 */
SJ_API int sj_btree_get_many(const struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                             struct sj_value *value, bool *found);
SJ_API int sj_btree_put_many(struct sj_btree *tree, const struct sj_key *key,
                             const struct sj_value *value, uint32_t count, uint64_t *fresh);
SJ_API int sj_btree_delete_many(struct sj_btree *tree, const struct sj_key *key, uint32_t count,
                                uint64_t *deleted);

/* Removes all items. O(n). */
SJ_API int sj_btree_clear(struct sj_btree *tree);

/* Frees the whole tree with its head, in the plan of an operation that the caller has begun. */
SJ_API int sj_btree_destroy(struct sj_btree *tree);

/* The first item whose key is ≥ `key` (`after`: > `key`). */
SJ_API int sj_btree_seek(const struct sj_btree *tree, const struct sj_key *key, bool after,
                         struct sj_btree_cursor *cursor);
/* The last item whose key is ≤ `key` (`before`: < `key`). */
SJ_API int sj_btree_seek_last(const struct sj_btree *tree, const struct sj_key *key, bool before,
                              struct sj_btree_cursor *cursor);
SJ_API int sj_btree_first(const struct sj_btree *tree, struct sj_btree_cursor *cursor);
SJ_API int sj_btree_last(const struct sj_btree *tree, struct sj_btree_cursor *cursor);

/* The item with `rank` items before it; rank ≥ count gives no item. O(log n). */
SJ_API int sj_btree_select(const struct sj_btree *tree, uint64_t rank,
                           struct sj_btree_cursor *cursor);

/* How many keys are < `key` (`after`: ≤ `key`). O(log n). */
SJ_API int sj_btree_rank(const struct sj_btree *tree, const struct sj_key *key, bool after,
                         uint64_t *rank);

/*
 * Reads up to `wanted` items from the cursor on, forward or backward, and moves the cursor past
 * them. `*got` < wanted: the end was reached. Blobs and entries ahead are prefetched.
 */
SJ_API int sj_btree_read(const struct sj_btree *tree, struct sj_btree_cursor *cursor, bool backward,
                         uint32_t wanted, struct sj_item *items, uint32_t *got);

/*
 * Bulk load of ascending keys into an empty tree: leaves are filled to `fill_percent` and nothing
 * is logged but allocations. begin … add* … end happen inside one transaction of the caller
 * (sj_tx_begin), whose commit publishes all of it. SJ_EORDER when a key is not above the one
 * before; after any failure the caller aborts the transaction.
 */
struct sj_btree_bulk; /* volatile, owned by the caller between begin and end */
SJ_API int sj_btree_bulk_begin(struct sj_btree *tree, uint32_t fill_percent,
                               struct sj_btree_bulk **bulk);
SJ_API int sj_btree_bulk_add(struct sj_btree_bulk *bulk, const struct sj_key *key,
                             const struct sj_value *value);
/* Links the loaded nodes into the tree, which must still be empty (else SJ_EINVAL); frees `bulk`
 * also on failure. */
SJ_API int sj_btree_bulk_end(struct sj_btree_bulk *bulk);
/* Frees `bulk` without linking; the caller aborts the transaction. */
SJ_API void sj_btree_bulk_drop(struct sj_btree_bulk *bulk);

/*
 * Reads up to `wanted` items, ascending, whose keys both trees have, only the first one, or either;
 * those above `after`, or all when it is NULL. Values are the first tree's where that has the key.
 * `*got` < wanted: the end was reached. Both have keys of one kind, else SJ_EINVAL.
 */
enum sj_btree_join { SJ_BTREE_BOTH, SJ_BTREE_FIRST, SJ_BTREE_EITHER };
SJ_API int sj_btree_join(const struct sj_btree *tree, const struct sj_btree *other,
                         enum sj_btree_join what, const struct sj_key *after, uint32_t wanted,
                         struct sj_item *items, uint32_t *got);

/*
 * Verifies order, fences, counts, links, kinds and reachability, and calls `visit` for each block
 * the tree has in the heap (see sj_heap_check), its head included. SJ_ECORRUPT with the place.
 */
SJ_API int sj_btree_check(const struct sj_btree *tree, sj_heap_visit *visit, void *context);

/* As one of the structures (structure.h). */
extern const struct sj_structure_type sj_btree_type;

#endif
