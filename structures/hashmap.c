// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap.c: a hash map: create, open, get, put, change, delete (hashmap_layout.h has the format).
 *
 *   put, new key      slot[free] = item │ tag[free]: 0 → 9c │ home.strays + 1 │ head.count + 1
 *   put, old key      slot.second is stored, or the entry is replaced (entry.c)
 *   put, no room      the table segment is replaced by larger ones (hashmap_split.c)
 *   delete            tag[i]: 9c → 0 │ home.strays − 1 │ head.count − 1
 *
 * I1  A slot is stored only while its tag on the media is free, and its tag is in the log.
 * I2  Inside a transaction a slot that is freed is logged whole, because a later operation of
 *     the same transaction may store to it again and rolling back makes it used.
 *
 * A map never becomes smaller by deleting: freed slots are used again by later items, and
 * sj_hashmap_clear() gives all back. Merging would need the load of a segment and its neighbour at
 * each delete (128 cache lines), or a count for each, logged with each change.
 *
 * Crash rule: before the commit's store recovery restores the tags, strays and count, so what was
 * stored to the slot lies in a free one again.
 *
 * Cost: get: directory, tags, slot: three cache lines, two of them far. put and delete: the same
 * and two or three logged words, and the heap's when there is an entry or a blob.
 */
#include "structures/hashmap.h"

#include <errno.h>
#include <sys/random.h>

#include "structures/hashmap_search.h"

/* ------------------------------------------------------------------ create, open */

int hashmap_make_empty(struct sj_segment *segment, uint64_t *at)
{
    struct sj_hashmap_directory *directory;
    struct sj_hashmap_segment *table;
    size_t directory_bytes = sizeof(*directory) + sizeof(uint64_t);
    size_t table_bytes = hashmap_table_bytes(3);
    int error = sj_heap_alloc(segment, directory_bytes, (void **)&directory);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, table_bytes, (void **)&table);
    if (error != SJ_OK)
        return error;
    sj_zero(table, table_bytes);
    sj_store(table, SJ_KIND_HASHMAP_SEG | 3u << 16);
    sj_store(&table->node.stamp, sj_tx_stamp(segment));
    sj_zero(directory, directory_bytes);
    sj_store(directory, SJ_KIND_HASHMAP_DIR);
    sj_store(&directory->segment[0], (uintptr_t)table);
    *at = (uintptr_t)directory;
    return SJ_OK;
}

static int make_seed(uint64_t *seed)
{
    ssize_t got;
    do
        got = getrandom(seed, sizeof(*seed), 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(*seed))
        return sj_error(SJ_EIO, "getrandom: %s", strerror(errno));
    return SJ_OK;
}

int sj_hashmap_create(struct sj_segment *segment, struct sj_kinds kinds, uint64_t *at)
{
    struct sj_hashmap_head *head;
    uint64_t seed, directory;
    int error = make_seed(&seed);
    if (error == SJ_OK)
        error = hashmap_make_empty(segment, &directory);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sizeof(*head), (void **)&head);
    if (error != SJ_OK)
        return error;
    sj_store(head, SJ_KIND_HASHMAP | (uint64_t)kinds.key << 16 | (uint64_t)kinds.value << 24);
    sj_store(&head->node.stamp, sj_tx_stamp(segment));
    sj_store(&head->count, 0);
    sj_store(&head->directory, directory);
    sj_store(&head->seed, seed);
    *at = (uintptr_t)head;
    return SJ_OK;
}

int sj_hashmap_open(struct sj_segment *segment, uint64_t at, struct sj_hashmap *map)
{
    struct sj_hashmap_head *head = sj_segment_block(segment, at, sizeof(*head), SJ_KIND_HASHMAP);
    if (head == NULL)
        return sj_segment_damaged(segment, at, "the head of a hash map");
    uint8_t key = head->node.count & 0xff, value = head->node.count >> 8;
    if (!sj_item_byte_is_sound(key) || !sj_item_byte_is_sound(value))
        return sj_segment_damaged(segment, at, "the kinds of a hash map's items");
    *map = (struct sj_hashmap){segment, head, {sj_item_byte_kind(key), sj_item_byte_kind(value)}};
    return hashmap_table(map, 0) != NULL ? SJ_OK : hashmap_table_damaged(map, 0);
}

uint64_t sj_hashmap_count(const struct sj_hashmap *map)
{
    return map->head->count;
}

void hashmap_table_report(const struct sj_hashmap *map, uint64_t hash)
{
    const struct sj_hashmap_directory *directory = hashmap_directory(map);
    if (directory == NULL)
        sj_segment_damaged(map->segment, map->head->directory, "the directory of a hash map");
    else
        sj_segment_damaged(map->segment, directory->segment[hashmap_top(hash, directory->depth)],
                           "a table segment of a hash map");
}

struct sj_hashmap_segment *hashmap_table_touched(const struct sj_hashmap *map,
                                                 const struct sj_hashmap_directory *directory,
                                                 struct sj_hashmap_segment *table, uint64_t hash)
{
    uint32_t buckets = table->node.count, depth = table->node.aux;
    if (!sj_segment_holds(map->segment, (uintptr_t)table, hashmap_table_bytes(buckets)))
        return NULL;
    const uint64_t *word = &directory->segment[hashmap_top(hash, directory->depth)];
    const char *bucket = (const char *)&table->bucket[hashmap_home(hash, depth, buckets)];
    sj_touch_note((uintptr_t)word, sizeof *word, 0, false);
    sj_touch_note((uintptr_t)bucket, 64, 0, false);
    sj_touch_note((uintptr_t)(bucket + 64 + 64 * hashmap_line(hash)), 64, 0, false);
    return table;
}

struct sj_hashmap_segment *hashmap_table_slowly(const struct sj_hashmap *map, uint64_t hash)
{
    return hashmap_table_as(map, hash, false);
}

/* ------------------------------------------------------------------ get */

/* A get of a watched segment, or of a damaged table. */
static __attribute__((cold, noinline)) int
get_slowly(const struct sj_hashmap *map, const struct sj_key *key, struct sj_value *value)
{
    enum sj_item_kind kind = map->kinds.key;
    struct hashmap_place place;
    int error = hashmap_find(map, key, hashmap_hash(map, key, kind), kind, &place);
    if (error != SJ_OK)
        return error;
    return sj_slot_value(map->segment, map->kinds, &place.bucket->slot[place.slot].second, value);
}

static inline int get(const struct sj_hashmap *map, const struct sj_key *key,
                      struct sj_value *value, enum sj_item_kind kind)
{
    struct hashmap_place place;
    uint64_t hash = hashmap_hash(map, key, kind);
    struct sj_hashmap_segment *table = hashmap_table_as(map, hash, true);
    if (SJ_UNLIKELY(table == NULL))
        return get_slowly(map, key, value);
    int error = hashmap_find_at(map, key, hash, kind, table, &place);
    if (error != SJ_OK)
        return error;
    return sj_slot_value(map->segment, (struct sj_kinds){kind, map->kinds.value},
                         &place.bucket->slot[place.slot].second, value);
}

int sj_hashmap_get(const struct sj_hashmap *map, const struct sj_key *key, struct sj_value *value)
{
    if (map->kinds.key == SJ_ITEM_WORD)
        return get(map, key, value, SJ_ITEM_WORD);
    return get(map, key, value, SJ_ITEM_BYTES);
}

/* ------------------------------------------------------------------ put */

/* Plans tag, strays and count of a new item at `place`. */
static int plan_tags(const struct sj_hashmap *map, struct hashmap_place *place, uint8_t tag)
{
    uint64_t *word = hashmap_tag_word(place->bucket, place->slot);
    uint64_t tags = *word | (uint64_t)tag << (8 * (place->slot & 7));
    int error = hashmap_word(map, place->table, word, tags);
    if (error != SJ_OK || place->at == place->home)
        return error;
    struct sj_hashmap_bucket *home = &place->table->bucket[place->home];
    if (SJ_UNLIKELY(home->strays >= SJ_HASHMAP_SLOTS * (SJ_HASHMAP_PROBES - 1)))
        return sj_segment_damaged(map->segment, (uintptr_t)home, "a bucket of a hash map");
    word = hashmap_strays_word(home);
    return hashmap_word(map, place->table, word, *word + HASHMAP_ONE_STRAY);
}

/* Plans everything for a new item; `*slot` is where to store it in, NULL when it is stored. */
static inline int plan_insert(const struct sj_hashmap *map, struct hashmap_place *place,
                              uint64_t hash, struct sj_hashmap_slot item,
                              struct sj_hashmap_slot **slot)
{
    int error;
    *slot = NULL;
    if (SJ_LIKELY(hashmap_find_free(place, hash))) {
        *slot = &place->bucket->slot[place->slot];
        error = sj_tx_fresh(map->segment, *slot, sizeof(**slot));
        if (SJ_LIKELY(error == SJ_OK))
            error = plan_tags(map, place, hashmap_tag(hash));
    } else {
        error = hashmap_grow(map, place->table, hash, item);
    }
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return hashmap_head_word(map, &map->head->count, map->head->count + 1);
}

static inline int insert(struct sj_hashmap *map, const struct sj_key *key,
                         const struct sj_value *value, uint64_t hash, struct hashmap_place *place,
                         enum sj_item_kind kind)
{
    struct sj_segment *segment = map->segment;
    struct sj_hashmap_slot item = {kind == SJ_ITEM_WORD ? key->word : hash, 0}, *slot;
    int error = sj_tx_op_begin(segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    if (kind == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_WORD)
        item.second = value->word;
    else
        error = sj_slot_make(segment, map->kinds, key, value, &item.second);
    if (SJ_LIKELY(error == SJ_OK))
        error = plan_insert(map, place, hash, item, &slot);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    if (SJ_LIKELY(slot != NULL)) {
        sj_store(&slot->first, item.first);
        sj_store(&slot->second, item.second);
    }
    return sj_tx_op_commit(segment);
}

static inline int replace(struct sj_hashmap *map, const struct hashmap_place *place,
                          const struct sj_value *value)
{
    struct sj_node *node = hashmap_is_fresh(map, place->table) ? &place->table->node : NULL;
    return sj_slot_replace(map->segment, map->kinds, node,
                           hashmap_table_bytes(place->table->node.count),
                           &place->bucket->slot[place->slot].second, value);
}

static inline int put_in(struct sj_hashmap *map, const struct sj_key *key,
                         const struct sj_value *value, enum sj_put_mode mode, bool *existed,
                         enum sj_item_kind kind, uint64_t hash, struct sj_hashmap_segment *table)
{
    struct hashmap_place place;
    int error = hashmap_find_at(map, key, hash, kind, table, &place);
    *existed = error == SJ_OK;
    if (error == SJ_ENOTFOUND)
        return insert(map, key, value, hash, &place, kind);
    if (error != SJ_OK || mode == SJ_PUT_NEW)
        return error;
    return replace(map, &place, value);
}

/* A put in a watched segment, or where the table is damaged. */
static __attribute__((cold, noinline)) int put_slowly(struct sj_hashmap *map,
                                                      const struct sj_key *key,
                                                      const struct sj_value *value,
                                                      enum sj_put_mode mode, bool *existed)
{
    enum sj_item_kind kind = map->kinds.key;
    uint64_t hash = hashmap_hash(map, key, kind);
    struct sj_hashmap_segment *table = hashmap_table_slowly(map, hash);
    *existed = false;
    if (table == NULL)
        return hashmap_table_damaged(map, hash);
    return put_in(map, key, value, mode, existed, kind, hash, table);
}

static inline int put(struct sj_hashmap *map, const struct sj_key *key,
                      const struct sj_value *value, enum sj_put_mode mode, bool *existed,
                      enum sj_item_kind kind)
{
    uint64_t hash = hashmap_hash(map, key, kind);
    struct sj_hashmap_segment *table = hashmap_table_as(map, hash, true);
    if (SJ_UNLIKELY(table == NULL))
        return put_slowly(map, key, value, mode, existed);
    return put_in(map, key, value, mode, existed, kind, hash, table);
}

int sj_hashmap_put(struct sj_hashmap *map, const struct sj_key *key, const struct sj_value *value,
                   enum sj_put_mode mode, bool *existed)
{
    if (map->kinds.key == SJ_ITEM_WORD && map->kinds.value == SJ_ITEM_WORD)
        return put(map, key, value, mode, existed, SJ_ITEM_WORD);
    int error = sj_item_fits(map->segment, map->kinds, key, value);
    if (error != SJ_OK)
        return error;
    if (map->kinds.key == SJ_ITEM_WORD)
        return put(map, key, value, mode, existed, SJ_ITEM_WORD);
    return put(map, key, value, mode, existed, SJ_ITEM_BYTES);
}

int sj_hashmap_change(struct sj_hashmap *map, const struct sj_key *key, sj_value_change *change,
                      void *context)
{
    struct sj_segment *segment = map->segment;
    struct hashmap_place place;
    struct sj_value old, value = {0};
    enum sj_item_kind kind = map->kinds.key;
    uint64_t hash = hashmap_hash(map, key, kind);
    int error = hashmap_find(map, key, hash, kind, &place);
    bool existed = error != SJ_ENOTFOUND;
    if (error == SJ_OK)
        error = sj_slot_value(segment, map->kinds, &place.bucket->slot[place.slot].second, &old);
    if (error != SJ_OK && existed)
        return error;
    error = change(context, existed ? &old : NULL, &value);
    if (error == SJ_OK)
        error = sj_item_fits(segment, map->kinds, key, &value);
    if (error != SJ_OK)
        return error;
    return existed ? replace(map, &place, &value) : insert(map, key, &value, hash, &place, kind);
}

/* ------------------------------------------------------------------ delete */

static inline int plan_delete(const struct sj_hashmap *map, struct hashmap_place *place)
{
    struct sj_hashmap_slot *slot = &place->bucket->slot[place->slot];
    struct sj_hashmap_bucket *home = &place->table->bucket[place->home];
    bool stray = place->at != place->home; /* then home->strays > 0, or it was not found */
    if (SJ_UNLIKELY(map->head->count == 0))
        return sj_segment_damaged(map->segment, (uintptr_t)home, "a bucket of a hash map");
    int error = sj_slot_free(map->segment, map->kinds, slot->second);
    if (error == SJ_OK && sj_tx_depth(map->segment) > 0 && !hashmap_is_fresh(map, place->table))
        error = sj_tx_range(map->segment, slot, sizeof(*slot));
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    uint64_t *word = hashmap_tag_word(place->bucket, place->slot);
    error = hashmap_word(map, place->table, word, *word & ~(0xffull << (8 * (place->slot & 7))));
    word = hashmap_strays_word(home);
    if (error == SJ_OK && stray)
        error = hashmap_word(map, place->table, word, *word - HASHMAP_ONE_STRAY);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    return hashmap_head_word(map, &map->head->count, map->head->count - 1);
}

static inline int delete(struct sj_hashmap *map, const struct sj_key *key, enum sj_item_kind kind)
{
    struct hashmap_place place;
    int error = hashmap_find(map, key, hashmap_hash(map, key, kind), kind, &place);
    if (error != SJ_OK)
        return error;
    error = sj_tx_op_begin(map->segment);
    if (SJ_UNLIKELY(error != SJ_OK))
        return error;
    error = plan_delete(map, &place);
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(map->segment, error);
    sj_tx_ready(map->segment);
    return sj_tx_op_commit(map->segment);
}

int sj_hashmap_delete(struct sj_hashmap *map, const struct sj_key *key)
{
    if (map->kinds.key == SJ_ITEM_WORD)
        return delete(map, key, SJ_ITEM_WORD);
    return delete(map, key, SJ_ITEM_BYTES);
}
