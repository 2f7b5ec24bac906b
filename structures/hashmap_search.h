// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_search.h: the way from a hash to a slot, inline, for the files of the hash map alone.
 *
 *   hash = [ directory: top `depth` bits | … the rest … | tag: low 7 bits ]
 *   home = the rest after the table segment's own depth, as a fraction × buckets
 *
 *   bucket   tags   80 9c  0 b1 …  strays      match: which tags equal 9c → 0b0010
 *            slots  k0 k1  – k3 …              free:  which tags are 0    → 0b0100
 *
 * A search looks at the home bucket and, only when it has strays, at the three after it. Tags
 * are compared 16 at once (SSE2) or 8 at once in a word; a match is always verified with the key
 * itself, so a comparison may err towards yes.
 *
 * A bucket is four cache lines. A new item goes beside the tags (slots 0–2), else into the one of
 * the other three lines that its hash prefers, else anywhere: so a search fetches that line
 * together with the tags, and seldom waits a second time. Only speed depends on it.
 *
 * Everything that is read from media is checked before it is used: after hashmap_table() the table
 * segment lies in the segment whole and is the one for that hash.
 */
#ifndef SJ_STRUCTURES_HASHMAP_SEARCH_H
#define SJ_STRUCTURES_HASHMAP_SEARCH_H

#include "structures/hash.h"
#include "structures/hashmap.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HASHMAP_TAGS ((1u << SJ_HASHMAP_SLOTS) - 1)

/* Where an item is, or would be. */
struct hashmap_place {
    struct sj_hashmap_segment *table;
    struct sj_hashmap_bucket *bucket;
    uint32_t buckets; /* of the table, as they were checked */
    uint32_t home;    /* number of the home bucket */
    uint32_t at;      /* number of `bucket` */
    uint32_t slot;
};

/* ------------------------------------------------------------------ hashes */

static inline uint64_t hashmap_hash(const struct sj_hashmap *map, const struct sj_key *key,
                                    enum sj_item_kind kind)
{
    if (kind == SJ_ITEM_WORD)
        return sj_hash_word(key->word, map->head->seed);
    return sj_hash_bytes(key->bytes, key->size, map->head->seed);
}

/* The hash of the item in a slot. */
static inline uint64_t hashmap_slot_hash(const struct sj_hashmap *map,
                                         const struct sj_hashmap_slot *slot)
{
    if (map->kinds.key == SJ_ITEM_WORD)
        return sj_hash_word(slot->first, map->head->seed);
    return slot->first;
}

/* The top `depth` bits of a hash; 0 ≤ depth ≤ SJ_HASHMAP_DEPTH_MAX. */
static inline uint64_t hashmap_top(uint64_t hash, uint32_t depth)
{
    return hash >> 1 >> (63 - depth);
}

static inline uint32_t hashmap_home(uint64_t hash, uint32_t depth, uint32_t buckets)
{
    return (uint32_t)(((unsigned __int128)(hash << depth) * buckets) >> 64);
}

static inline uint8_t hashmap_tag(uint64_t hash)
{
    return (uint8_t)(0x80 | hash);
}

/* How many buckets a search looks at, at most. */
static inline uint32_t hashmap_probes(uint32_t buckets)
{
    return buckets < SJ_HASHMAP_PROBES ? buckets : SJ_HASHMAP_PROBES;
}

/* ------------------------------------------------------------------ tags */

#ifdef __SSE2__

/* The slots whose tag is `tag`, as bits. */
static inline uint32_t hashmap_match(const struct sj_hashmap_bucket *bucket, uint8_t tag)
{
    __m128i tags = _mm_loadu_si128((const __m128i *)bucket);
    __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag));
    return (uint32_t)_mm_movemask_epi8(equal) & HASHMAP_TAGS;
}

/* The slots in use, as bits. */
static inline uint32_t hashmap_used(const struct sj_hashmap_bucket *bucket)
{
    __m128i tags = _mm_loadu_si128((const __m128i *)bucket);
    return (uint32_t)_mm_movemask_epi8(tags) & HASHMAP_TAGS;
}

#else

/* The top bits of a word's eight bytes, as eight bits. */
static inline uint32_t hashmap_gather(uint64_t word)
{
    return (uint32_t)((((word >> 7) & 0x0101010101010101ull) * 0x0102040810204080ull) >> 56);
}

/* The bytes of `word` that are 0 (and perhaps some above one that is), by their top bits. */
static inline uint64_t hashmap_zeros(uint64_t word)
{
    return (word - 0x0101010101010101ull) & ~word;
}

static inline uint32_t hashmap_match(const struct sj_hashmap_bucket *bucket, uint8_t tag)
{
    const uint64_t *tags = (const uint64_t *)bucket;
    uint64_t wanted = tag * 0x0101010101010101ull;
    return (hashmap_gather(hashmap_zeros(tags[0] ^ wanted)) |
            hashmap_gather(hashmap_zeros(tags[1] ^ wanted)) << 8) &
           HASHMAP_TAGS;
}

static inline uint32_t hashmap_used(const struct sj_hashmap_bucket *bucket)
{
    const uint64_t *tags = (const uint64_t *)bucket;
    return (hashmap_gather(tags[0]) | hashmap_gather(tags[1]) << 8) & HASHMAP_TAGS;
}

#endif

static inline uint32_t hashmap_free(const struct sj_hashmap_bucket *bucket)
{
    return ~hashmap_used(bucket) & HASHMAP_TAGS;
}

/* Which of a bucket's last three cache lines an item prefers: 0, 1 or 2. */
static inline uint32_t hashmap_line(uint64_t hash)
{
    return (uint32_t)((hash >> 7 & 0xff) * 3 >> 8);
}

/* The slot to take of the free ones: beside the tags, in the preferred line, or any. */
static inline uint32_t hashmap_choose(uint32_t unused, uint64_t hash)
{
    uint32_t near = unused & 7, line = unused & 0x78u << 4 * hashmap_line(hash);
    return (uint32_t)__builtin_ctz(near != 0 ? near : line != 0 ? line : unused);
}

/* ------------------------------------------------------------------ tables */

static inline uint64_t hashmap_table_bytes(uint32_t buckets)
{
    return sizeof(struct sj_hashmap_segment) + buckets * sizeof(struct sj_hashmap_bucket);
}

static inline struct sj_block *hashmap_block(const struct sj_hashmap *map, uint64_t at,
                                             uint64_t bytes, enum sj_kind kind, bool quick)
{
    return quick ? sj_segment_block_quick(map->segment, at, bytes, kind)
                 : sj_segment_block(map->segment, at, bytes, kind);
}

/* The directory, checked to be there whole; NULL when damaged; `quick`: or watched. */
static inline struct sj_hashmap_directory *hashmap_directory_as(const struct sj_hashmap *map,
                                                                bool quick)
{
    uint32_t depth = map->head->node.aux;
    if (SJ_UNLIKELY(depth > SJ_HASHMAP_DEPTH_MAX))
        return NULL;
    struct sj_hashmap_directory *directory = (struct sj_hashmap_directory *)hashmap_block(
        map, map->head->directory, sizeof(*directory) + (8ull << depth), SJ_KIND_HASHMAP_DIR,
        quick);
    return directory != NULL && SJ_LIKELY(directory->depth == depth) ? directory : NULL;
}

static inline struct sj_hashmap_directory *hashmap_directory(const struct sj_hashmap *map)
{
    return hashmap_directory_as(map, false);
}

/* The same table segment when it is there whole, or NULL: for hashmap_table(), of which a watched
 * segment (persistence/touch.h) comes here always; then notes what a search touches. */
struct sj_hashmap_segment *hashmap_table_touched(const struct sj_hashmap *map,
                                                 const struct sj_hashmap_directory *directory,
                                                 struct sj_hashmap_segment *table, uint64_t hash)
    __attribute__((cold));

/* The table segment of a hash; NULL when it or the directory is damaged; `quick`: or watched. */
static inline struct sj_hashmap_segment *hashmap_table_as(const struct sj_hashmap *map,
                                                          uint64_t hash, bool quick)
{
    const struct sj_hashmap_directory *directory = hashmap_directory_as(map, quick);
    if (SJ_UNLIKELY(directory == NULL))
        return NULL;
    uint64_t at = directory->segment[hashmap_top(hash, directory->depth)];
    struct sj_hashmap_segment *table = (struct sj_hashmap_segment *)hashmap_block(
        map, at, hashmap_table_bytes(3), SJ_KIND_HASHMAP_SEG, quick);
    if (SJ_UNLIKELY(table == NULL || table->node.aux > directory->depth))
        return NULL;
    uint32_t buckets = table->node.count;
    if (SJ_UNLIKELY(buckets != 63 && buckets != 15 && buckets != 3))
        return NULL;
    if (SJ_UNLIKELY(hashmap_top(hash, table->node.aux) != table->pattern))
        return NULL;
    uint64_t offset = at - map->segment->spans, bytes = hashmap_table_bytes(buckets);
    uint64_t committed = sj_segment_committed(map->segment);
    if (SJ_LIKELY(offset < committed && bytes <= committed - offset))
        return table;
    return quick ? NULL : hashmap_table_touched(map, directory, table, hash);
}

/* The same without `quick`, out of line. */
struct sj_hashmap_segment *hashmap_table_slowly(const struct sj_hashmap *map, uint64_t hash)
    __attribute__((cold));

static inline struct sj_hashmap_segment *hashmap_table(const struct sj_hashmap *map, uint64_t hash)
{
    struct sj_hashmap_segment *table = hashmap_table_as(map, hash, true);
    return SJ_LIKELY(table != NULL) ? table : hashmap_table_slowly(map, hash);
}

/* Says what hashmap_table() found damaged. */
void hashmap_table_report(const struct sj_hashmap *map, uint64_t hash);

static inline int hashmap_table_damaged(const struct sj_hashmap *map, uint64_t hash)
{
    hashmap_table_report(map, hash);
    return SJ_ECORRUPT;
}

/* ------------------------------------------------------------------ searching */

/* Whether the item of that slot has the key: SJ_OK, SJ_ENOTFOUND, or SJ_ECORRUPT. */
static inline int hashmap_compare(const struct sj_hashmap *map, const struct sj_hashmap_slot *slot,
                                  const struct sj_key *key, uint64_t hash, enum sj_item_kind kind)
{
    if (kind == SJ_ITEM_WORD)
        return slot->first == key->word ? SJ_OK : SJ_ENOTFOUND;
    if (slot->first != hash)
        return SJ_ENOTFOUND;
    const struct sj_entry *entry = sj_entry_at(map->segment, slot->second);
    if (SJ_UNLIKELY(entry == NULL)) {
        sj_segment_damaged(map->segment, slot->second, "an entry of a hash map");
        return SJ_ECORRUPT;
    }
    if (entry->key_size != key->size)
        return SJ_ENOTFOUND;
    return sj_entry_compare(entry, key->bytes, key->size) == 0 ? SJ_OK : SJ_ENOTFOUND;
}

/* Looks for the key in one bucket. SJ_ENOTFOUND, SJ_ECORRUPT. */
static inline int hashmap_find_in(const struct sj_hashmap *map, const struct sj_key *key,
                                  uint64_t hash, enum sj_item_kind kind,
                                  struct sj_hashmap_bucket *bucket, struct hashmap_place *place)
{
    uint32_t match = hashmap_match(bucket, hashmap_tag(hash));
    while (match != 0) {
        uint32_t slot = (uint32_t)__builtin_ctz(match);
        int error = hashmap_compare(map, &bucket->slot[slot], key, hash, kind);
        if (SJ_LIKELY(error == SJ_OK)) {
            place->bucket = bucket;
            place->slot = slot;
        }
        if (SJ_LIKELY(error != SJ_ENOTFOUND))
            return error;
        match &= match - 1;
    }
    return SJ_ENOTFOUND;
}

/* Looks for the key in the table segment of its hash. Errors of hashmap_find_in. */
static inline int hashmap_find_at(const struct sj_hashmap *map, const struct sj_key *key,
                                  uint64_t hash, enum sj_item_kind kind,
                                  struct sj_hashmap_segment *table, struct hashmap_place *place)
{
    uint32_t buckets = table->node.count;
    uint32_t home = hashmap_home(hash, table->node.aux, buckets);
    place->table = table;
    place->buckets = buckets;
    place->home = place->at = home;
    __builtin_prefetch((char *)&table->bucket[home] + 64 + 64 * hashmap_line(hash));
    int error = hashmap_find_in(map, key, hash, kind, &table->bucket[home], place);
    if (SJ_LIKELY(error != SJ_ENOTFOUND) || table->bucket[home].strays == 0)
        return error;
    for (uint32_t probe = 1; probe < hashmap_probes(buckets); probe++) {
        place->at = place->at + 1 == buckets ? 0 : place->at + 1;
        error = hashmap_find_in(map, key, hash, kind, &table->bucket[place->at], place);
        if (error != SJ_ENOTFOUND)
            return error;
    }
    return SJ_ENOTFOUND;
}

/* Looks for the key. SJ_ENOTFOUND (`table` and `home` of the place are good then), SJ_ECORRUPT. */
static inline int hashmap_find(const struct sj_hashmap *map, const struct sj_key *key,
                               uint64_t hash, enum sj_item_kind kind, struct hashmap_place *place)
{
    struct sj_hashmap_segment *table = hashmap_table(map, hash);
    if (SJ_UNLIKELY(table == NULL))
        return hashmap_table_damaged(map, hash);
    return hashmap_find_at(map, key, hash, kind, table, place);
}

/* The free slot for an item whose home is place->home; false when the table segment cannot take
 * it. */
static inline bool hashmap_find_free(struct hashmap_place *place, uint64_t hash)
{
    uint32_t buckets = place->buckets;
    place->at = place->home;
    for (uint32_t probe = 0; probe < hashmap_probes(buckets); probe++) {
        place->bucket = &place->table->bucket[place->at];
        uint32_t free = hashmap_free(place->bucket);
        if (SJ_LIKELY(free != 0)) {
            place->slot = hashmap_choose(free, hash);
            return true;
        }
        place->at = place->at + 1 == buckets ? 0 : place->at + 1;
    }
    return false;
}

/* ------------------------------------------------------------------ changing */

/* The words of a bucket that have the slot's tag, and the strays. */
static inline uint64_t *hashmap_tag_word(struct sj_hashmap_bucket *bucket, uint32_t slot)
{
    return (uint64_t *)bucket + (slot >> 3);
}

static inline uint64_t *hashmap_strays_word(struct sj_hashmap_bucket *bucket)
{
    return (uint64_t *)bucket + 1;
}

#define HASHMAP_ONE_STRAY (1ull << 56)

/* Whether the running transaction made the table segment, so that rolling back forgets it whole. */
static inline bool hashmap_is_fresh(const struct sj_hashmap *map,
                                    const struct sj_hashmap_segment *table)
{
    uint64_t stamp = sj_tx_stamp(map->segment);
    return stamp != 0 && table->node.stamp == stamp;
}

/*
 * Plans a changed word of a table segment. In a fresh one nothing is logged, so rolling back one
 * operation of a transaction would not undo it: in a plan these words come after all that can fail.
 * (Only the head's follow, and the head of a map with a fresh table is logged already.)
 */
static inline int hashmap_word(const struct sj_hashmap *map, struct sj_hashmap_segment *table,
                               uint64_t *at, uint64_t value)
{
    if (hashmap_is_fresh(map, table))
        return sj_tx_node_word(map->segment, &table->node, hashmap_table_bytes(table->node.count),
                               at, value);
    return sj_tx_word(map->segment, at, value);
}

/* Plans a changed word of the head. */
static inline int hashmap_head_word(const struct sj_hashmap *map, void *at, uint64_t value)
{
    return sj_tx_node_word(map->segment, &map->head->node, sizeof(*map->head), at, value);
}

/*
 * Plans that the table segment `full`, which has no room for it, is replaced by others that have
 * the item, too (hashmap_split.c). SJ_EFULL, SJ_ENOMEM, SJ_ECORRUPT.
 */
int hashmap_grow(const struct sj_hashmap *map, struct sj_hashmap_segment *full, uint64_t hash,
                 struct sj_hashmap_slot item);

/* Makes an empty table segment for all hashes, and a directory of depth 0 for it; in a plan. */
int hashmap_make_empty(struct sj_segment *segment, uint64_t *directory);

#endif
