// SPDX-License-Identifier: Apache-2.0
/* tlb.c: the caches of translations (tlb.h has the contract). */
#include "spacejmp/mmu/tlb.h"

#include <stdlib.h>
#include <string.h>

#define WAYS_MAX 128

/* ------------------------------------------------------------------ one cache */

static int init(struct sj_tlb_cache *cache, struct sj_tlb_shape shape, enum sj_tlb_policy policy)
{
    uint32_t ways = shape.ways == 0 ? shape.entries : shape.ways;
    *cache = (struct sj_tlb_cache){.plru = policy == SJ_TLB_PLRU};
    if (shape.entries == 0)
        return SJ_OK;
    uint32_t sets = shape.entries / ways;
    if (ways > WAYS_MAX || sets * ways != shape.entries || (sets & (sets - 1)) != 0)
        return sj_error(SJ_EINVAL,
                        "a cache of 2ⁿ sets of at most %d ways, found %u entries, %u ways",
                        WAYS_MAX, shape.entries, ways);
    cache->key = calloc((size_t)sets * ways, sizeof(uint64_t));
    cache->used = calloc(sets, 2 * sizeof(uint64_t));
    cache->sets = sets;
    cache->ways = ways;
    return cache->key != NULL && cache->used != NULL ? SJ_OK : sj_error(SJ_ENOMEM, "a TLB");
}

static void clear(struct sj_tlb_cache *cache)
{
    free(cache->key);
    free(cache->used);
    *cache = (struct sj_tlb_cache){0};
}

/* Notes a use of a way, for PLRU. */
static void note_use(struct sj_tlb_cache *cache, uint32_t set, uint32_t way)
{
    uint64_t *used = cache->used + 2 * (size_t)set;
    used[way >> 6] |= 1ull << (way & 63);
    if ((uint32_t)(__builtin_popcountll(used[0]) + __builtin_popcountll(used[1])) < cache->ways)
        return;
    used[0] = used[1] = 0;
    used[way >> 6] = 1ull << (way & 63);
}

/* Which way of the set has the key, or `ways`. */
static inline uint32_t way_of(const uint64_t *keys, uint32_t ways, uint64_t key)
{
    uint32_t way = 0;
    for (; way + 4 <= ways; way += 4) {
        uint32_t found = (keys[way] == key) | (keys[way + 1] == key) << 1 |
                         (keys[way + 2] == key) << 2 | (keys[way + 3] == key) << 3;
        if (found != 0)
            return way + (uint32_t)__builtin_ctz(found);
    }
    while (way < ways && keys[way] != key)
        way++;
    return way;
}

static inline uint64_t *set_of(const struct sj_tlb_cache *cache, uint64_t number, uint32_t *set)
{
    *set = (uint32_t)number & (cache->sets - 1);
    return cache->key + (size_t)*set * cache->ways;
}

/*
 * Puts a key into a set, at the front, and tells whether it was there: each way takes what the one
 * before it had, until the key is found or the oldest falls off.
 *
 *     a b c d   use c →  c a b d        use e →  e a b c    (d fell off)
 */
static inline bool use_lru(uint64_t *keys, uint32_t ways, uint64_t key)
{
    uint64_t carried = key;
    for (uint32_t way = 0; way < ways; way++) {
        uint64_t had = keys[way];
        keys[way] = carried;
        if (had == key)
            return true;
        carried = had;
    }
    return false;
}

static bool use_plru(struct sj_tlb_cache *cache, uint64_t *keys, uint32_t set, uint64_t key)
{
    uint32_t way = way_of(keys, cache->ways, key);
    bool found = way < cache->ways;
    if (!found)
        way = way_of(keys, cache->ways, 0);
    if (way == cache->ways) {
        const uint64_t *used = cache->used + 2 * (size_t)set;
        way = ~used[0] != 0 ? (uint32_t)__builtin_ctzll(~used[0])
                            : 64 + (uint32_t)__builtin_ctzll(~used[1]);
        way = way < cache->ways ? way : 0; /* a single way */
    }
    keys[way] = key;
    note_use(cache, set, way);
    return found;
}

/* Uses a key: false when it was not there; then it is now. */
static inline bool use(struct sj_tlb_cache *cache, uint64_t number, uint64_t key)
{
    uint32_t set;
    if (cache->key == NULL)
        return false;
    uint64_t *keys = set_of(cache, number, &set);
    if (SJ_UNLIKELY(cache->plru))
        return use_plru(cache, keys, set, key);
    return keys[0] == key || use_lru(keys, cache->ways, key);
}

/* Whether the key is there; if so it is used. */
static inline bool find(struct sj_tlb_cache *cache, uint64_t number, uint64_t key)
{
    uint32_t set;
    if (cache->key == NULL)
        return false;
    const uint64_t *keys = set_of(cache, number, &set);
    return way_of(keys, cache->ways, key) < cache->ways && use(cache, number, key);
}

/* Under LRU what is older moves up (T2). */
static void drop_at(struct sj_tlb_cache *cache, size_t at)
{
    uint32_t way = (uint32_t)(at % cache->ways);
    uint64_t *keys = cache->key + (at - way);
    cache->used[2 * (at / cache->ways) + (way >> 6)] &= ~(1ull << (way & 63));
    for (; !cache->plru && way + 1 < cache->ways; way++)
        keys[way] = keys[way + 1];
    keys[way] = 0;
}

/* ------------------------------------------------------------------ the whole */

#define CACHES 11 /* the last two are entry lines */

static void caches_of(struct sj_tlb *tlb, struct sj_tlb_cache *cache[CACHES])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < 3; i++)
        cache[n++] = &tlb->first[i];
    for (uint32_t i = 0; i < 2; i++)
        cache[n++] = &tlb->second[i];
    for (uint32_t i = 0; i < 4; i++)
        cache[n++] = &tlb->walk[i];
    cache[n++] = &tlb->near;
    cache[n++] = &tlb->mid;
}

int sj_tlb_init(struct sj_tlb *tlb, const struct sj_tlb_spec *spec)
{
    struct sj_tlb_shape shape[CACHES];
    struct sj_tlb_cache *cache[CACHES];
    memcpy(shape, spec->first, sizeof(spec->first));
    memcpy(shape + 3, spec->second, sizeof(spec->second));
    memcpy(shape + 5, spec->walk, sizeof(spec->walk));
    shape[9] = spec->near;
    shape[10] = spec->mid;
    *tlb = (struct sj_tlb){.tags = spec->tags, .first_shared = spec->first_shared};
    caches_of(tlb, cache);
    int error = SJ_OK;
    for (uint32_t i = 0; i < CACHES && error == SJ_OK; i++)
        if (!(spec->first_shared && (i == 1 || i == 2)))
            error = init(cache[i], shape[i], spec->policy);
    memcpy(tlb->second_sizes, spec->second_sizes, sizeof(tlb->second_sizes));
    if (error != SJ_OK)
        sj_tlb_clear(tlb);
    return error;
}

void sj_tlb_clear(struct sj_tlb *tlb)
{
    struct sj_tlb_cache *cache[CACHES];
    caches_of(tlb, cache);
    for (uint32_t i = 0; i < CACHES; i++)
        clear(cache[i]);
}

static inline uint64_t number_of(uint64_t address, uint32_t level)
{
    return address >> (3 + 9 * level);
}

static inline uint64_t key_of(uint64_t number, uint32_t level, uint32_t tag)
{
    return number << 16 | (uint64_t)tag << 4 | level << 1 | 1;
}

static inline struct sj_tlb_cache *first_of(struct sj_tlb *tlb, uint32_t level)
{
    return &tlb->first[tlb->first_shared ? 0 : level - 1];
}

/* The second-level cache for pages of `level`, or NULL. */
static inline struct sj_tlb_cache *second_of(struct sj_tlb *tlb, uint32_t level)
{
    for (uint32_t i = 0; i < 2; i++)
        if ((tlb->second_sizes[i] >> (level - 1) & 1) != 0)
            return &tlb->second[i];
    return NULL;
}

/* With pages of one size, what is missed is entered at once: one pass over a set. */
static enum sj_tlb_place find_one_size(struct sj_tlb *tlb, uint64_t address, uint32_t level,
                                       uint32_t tag)
{
    uint64_t number = number_of(address, level), key = key_of(number, level, tag);
    struct sj_tlb_cache *second = second_of(tlb, level);
    if (SJ_LIKELY(use(first_of(tlb, level), number, key)))
        return SJ_TLB_FIRST;
    return second != NULL && use(second, number, key) ? SJ_TLB_SECOND : SJ_TLB_NOWHERE;
}

enum sj_tlb_place sj_tlb_find(struct sj_tlb *tlb, uint64_t address, uint32_t tag)
{
    if (SJ_LIKELY((tlb->sizes & (tlb->sizes - 1)) == 0 && tlb->sizes != 0))
        return find_one_size(tlb, address, (uint32_t)__builtin_ctz(tlb->sizes), tag);
    for (uint32_t level = 1; level <= 3; level++) {
        uint64_t number = number_of(address, level);
        if ((tlb->sizes >> level & 1) != 0 &&
            find(first_of(tlb, level), number, key_of(number, level, tag)))
            return SJ_TLB_FIRST;
    }
    for (uint32_t level = 1; level <= 3; level++) {
        struct sj_tlb_cache *second = second_of(tlb, level);
        uint64_t number = number_of(address, level), key = key_of(number, level, tag);
        if ((tlb->sizes >> level & 1) != 0 && second != NULL && find(second, number, key)) {
            use(first_of(tlb, level), number, key);
            return SJ_TLB_SECOND;
        }
    }
    return SJ_TLB_NOWHERE;
}

void sj_tlb_enter(struct sj_tlb *tlb, uint64_t address, uint32_t level, uint32_t tag)
{
    uint64_t number = number_of(address, level), key = key_of(number, level, tag);
    struct sj_tlb_cache *second = second_of(tlb, level);
    uint8_t bit = (uint8_t)(1 << level), others = tlb->sizes & (uint8_t)~bit;
    if (tlb->sizes == bit)
        return; /* sj_tlb_find has entered it */
    tlb->sizes |= bit;
    if ((others & (others - 1)) == 0 && others != 0)
        sj_tlb_leave(tlb, address, (uint32_t)__builtin_ctz(others), tag); /* it entered another */
    use(first_of(tlb, level), number, key);
    if (second != NULL)
        use(second, number, key);
}

static void leave(struct sj_tlb_cache *cache, uint64_t number, uint64_t key)
{
    uint32_t set;
    if (cache == NULL || cache->key == NULL)
        return;
    const uint64_t *keys = set_of(cache, number, &set);
    uint32_t way = way_of(keys, cache->ways, key);
    if (way < cache->ways)
        drop_at(cache, (size_t)set * cache->ways + way);
}

void sj_tlb_leave(struct sj_tlb *tlb, uint64_t address, uint32_t level, uint32_t tag)
{
    uint64_t number = number_of(address, level), key = key_of(number, level, tag);
    leave(first_of(tlb, level), number, key);
    leave(second_of(tlb, level), number, key);
}

/* ------------------------------------------------------------------ walks */

uint32_t sj_tlb_walk_start(struct sj_tlb *tlb, uint64_t address, uint32_t levels, uint32_t tag)
{
    for (uint32_t level = 2; level <= levels; level++) {
        uint64_t number = number_of(address, level);
        if (find(&tlb->walk[level - 2], number, key_of(number, level, tag)))
            return level - 1;
    }
    return levels;
}

void sj_tlb_walk_enter(struct sj_tlb *tlb, uint64_t address, uint32_t from, uint32_t to,
                       uint32_t tag)
{
    for (uint32_t level = from; level >= to; level--) {
        uint64_t number = number_of(address, level);
        use(&tlb->walk[level - 2], number, key_of(number, level, tag));
    }
}

enum sj_tlb_load sj_tlb_load(struct sj_tlb *tlb, uint64_t entry)
{
    uint64_t line = entry >> 3, key = line + 1;
    if (use(&tlb->near, line, key))
        return SJ_LOAD_NEAR;
    return use(&tlb->mid, line, key) ? SJ_LOAD_MID : SJ_LOAD_FAR;
}

/* ------------------------------------------------------------------ forgetting */

void sj_tlb_drop_tag(struct sj_tlb *tlb, uint32_t tag)
{
    struct sj_tlb_cache *cache[CACHES];
    caches_of(tlb, cache);
    for (uint32_t i = 0; i < CACHES - 2; i++)
        for (size_t at = (size_t)cache[i]->sets * cache[i]->ways; at-- > 0;)
            if (!tlb->tags || (cache[i]->key[at] & 0xfff1) == (tag << 4 | 1))
                drop_at(cache[i], at);
}

void sj_tlb_drop_range(struct sj_tlb *tlb, uint64_t base, uint64_t bytes)
{
    struct sj_tlb_cache *cache[CACHES];
    caches_of(tlb, cache);
    for (uint32_t i = 0; i < CACHES - 2; i++) {
        for (size_t at = (size_t)cache[i]->sets * cache[i]->ways; at-- > 0;) {
            uint64_t key = cache[i]->key[at], mask = (1ull << 48) - 1;
            uint32_t level = key >> 1 & 7;
            if (key == 0)
                continue;
            uint64_t first = number_of(base, level) & mask;
            if ((((key >> 16) - first) & mask) <=
                ((number_of(base + bytes - 1, level) - first) & mask))
                drop_at(cache[i], at);
        }
    }
}

void sj_tlb_drop_all(struct sj_tlb *tlb)
{
    struct sj_tlb_cache *cache[CACHES];
    caches_of(tlb, cache);
    for (uint32_t i = 0; i < CACHES; i++) {
        size_t places = (size_t)cache[i]->sets * cache[i]->ways;
        if (places == 0)
            continue;
        memset(cache[i]->key, 0, places * sizeof(uint64_t));
        memset(cache[i]->used, 0, cache[i]->sets * 2 * sizeof(uint64_t));
    }
}
