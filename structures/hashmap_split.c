// SPDX-License-Identifier: Apache-2.0
/*
 * hashmap_split.c: how a hash map grows: a full table segment is replaced by larger ones.
 *
 *   larger     T (3 buckets, 1 KiB) ──→ T' (15, 4 KiB) ──→ T'' (63, 16 KiB)      same local depth
 *
 *   split      directory  … a a …           … b c …           b has the items whose next bit is 0,
 *                            ╲╱      ──→      │ │           c those with 1; local depth + 1
 *                            T                b c
 *
 *   doubling   directory of 2^d   a b      ──→   a a b b     a fresh directory, when a new
 *                                                            segment's local depth is above d
 *
 * I1  What is there is not touched: new segments and directories are fresh blocks, and what becomes
 *     of them is said by words that are in the log: the directory's, or the head's when it doubles.
 * I2  Every new segment has room for all its items, within four buckets of their homes. One that
 *     has not is split again, until the local depth is DEPTH_LIMIT, or some more than it was. Then
 *     too many keys have hashes that agree in these bits, which the random seed makes as good as
 *     impossible, and the put ends with SJ_EFULL.
 *
 * I3  Every block that is allocated may be one in use, on damaged media: what was checked before is
 *     checked again, and sizes are kept from the first time.
 *
 * Crash rule: recovery restores the words that lead to the old segment and the old directory, whose
 * frees the commit carries out; the fresh blocks are free again by the heap's log.
 *
 * Cost: 1–3 µs and one or two 16 KiB blocks for a split, once in about 400 insertions; a doubling
 * copies 8 bytes for about 600 items.
 */
#include "structures/hashmap_search.h"

#define ITEMS_MAX   (SJ_HASHMAP_BUCKETS_MAX * SJ_HASHMAP_SLOTS + 1)
#define DEPTH_LIMIT 20 /* the directory has up to 8 MiB if need be */
#define DEPTH_MORE  4  /* how much deeper one put may make a segment that is as deep */
#define MADE_MAX    64 /* table segments that one put may make */

struct moved {
    uint64_t hash;
    struct sj_hashmap_slot slot;
};

/* A new table segment: the hashes whose top `depth` bits are `pattern` go there. */
struct made {
    uint64_t at;
    uint64_t pattern;
    uint32_t depth;
};

struct growth {
    const struct sj_hashmap *map;
    uint32_t depth_limit;
    uint32_t made_count;
    struct made made[MADE_MAX];
    struct moved item[ITEMS_MAX];
    /* A table segment as it is going to be, before there is a block for it. */
    struct {
        struct sj_hashmap_segment head;
        struct sj_hashmap_bucket bucket[SJ_HASHMAP_BUCKETS_MAX];
    } image;
};

/* ------------------------------------------------------------------ new table segments */

/* Puts one item into the image; false when four buckets are full. */
static bool image_add(struct growth *growth, uint32_t depth, uint32_t buckets,
                      const struct moved *item)
{
    uint32_t home = hashmap_home(item->hash, depth, buckets), at = home;
    for (uint32_t probe = 0; probe < hashmap_probes(buckets); probe++) {
        struct sj_hashmap_bucket *bucket = &growth->image.bucket[at];
        uint32_t unused = hashmap_free(bucket);
        if (unused != 0) {
            uint32_t slot = hashmap_choose(unused, item->hash);
            bucket->tag[slot] = hashmap_tag(item->hash);
            bucket->slot[slot] = item->slot;
            growth->image.bucket[home].strays += at != home;
            return true;
        }
        at = at + 1 == buckets ? 0 : at + 1;
    }
    return false;
}

/* Makes the image of a segment with `count` items, which begin at `item`; false when they do not
 * fit. */
static bool image_fill(struct growth *growth, const struct moved *item, uint32_t count,
                       uint32_t depth, uint64_t pattern, uint32_t buckets)
{
    memset(&growth->image, 0, hashmap_table_bytes(buckets));
    growth->image.head.node.kind = SJ_KIND_HASHMAP_SEG;
    growth->image.head.node.count = (uint16_t)buckets;
    growth->image.head.node.aux = depth;
    growth->image.head.node.stamp = sj_tx_stamp(growth->map->segment);
    growth->image.head.pattern = pattern;
    for (uint32_t i = 0; i < count; i++)
        if (!image_add(growth, depth, buckets, &item[i]))
            return false;
    return true;
}

/* Makes a block of the image. */
static int image_store(struct growth *growth)
{
    struct sj_segment *segment = growth->map->segment;
    size_t bytes = hashmap_table_bytes(growth->image.head.node.count);
    void *block;
    if (growth->made_count == MADE_MAX)
        return sj_error(SJ_EFULL, "hash map: a put would split a table segment into more than %d",
                        MADE_MAX);
    int error = sj_heap_alloc(segment, bytes, &block);
    if (error != SJ_OK)
        return error;
    sj_copy(block, &growth->image, bytes);
    growth->made[growth->made_count++] =
        (struct made){(uintptr_t)block, growth->image.head.pattern, growth->image.head.node.aux};
    return SJ_OK;
}

/* Brings the items whose bit after the top `depth` ones is 0 to the front; how many there are. */
static uint32_t partition(struct moved *item, uint32_t count, uint32_t depth)
{
    uint32_t zeros = 0;
    for (uint32_t i = 0; i < count; i++) {
        if ((item[i].hash >> (63 - depth) & 1) != 0)
            continue;
        struct moved first = item[zeros];
        item[zeros++] = item[i];
        item[i] = first;
    }
    return zeros;
}

static int build(struct growth *growth, struct moved *item, uint32_t count, uint32_t depth,
                 uint64_t pattern, uint32_t buckets);

/* The buckets that so many items fill to two thirds at most. */
static uint32_t buckets_for(uint32_t count)
{
    return count <= 30 ? 3 : count <= 150 ? 15 : SJ_HASHMAP_BUCKETS_MAX;
}

static int split(struct growth *growth, struct moved *item, uint32_t count, uint32_t depth,
                 uint64_t pattern)
{
    if (depth == growth->depth_limit)
        return sj_error(SJ_EFULL, "hash map: %u keys have hashes that agree in their first %u bits",
                        count, depth);
    uint32_t zeros = partition(item, count, depth);
    int error = build(growth, item, zeros, depth + 1, pattern << 1, buckets_for(zeros));
    if (error != SJ_OK)
        return error;
    return build(growth, item + zeros, count - zeros, depth + 1, pattern << 1 | 1,
                 buckets_for(count - zeros));
}

/* Makes table segments for items with that pattern: one with so many buckets or more, else
 * several. */
static int build(struct growth *growth, struct moved *item, uint32_t count, uint32_t depth,
                 uint64_t pattern, uint32_t buckets)
{
    for (; buckets <= SJ_HASHMAP_BUCKETS_MAX; buckets = buckets * 4 + 3)
        if (image_fill(growth, item, count, depth, pattern, buckets))
            return image_store(growth);
    return split(growth, item, count, depth, pattern);
}

/* ------------------------------------------------------------------ the directory */

/* Plans that the entries of each new segment lead to it, the directory being deep enough. */
static int plan_entries(const struct growth *growth, struct sj_hashmap_directory *directory,
                        uint32_t depth)
{
    for (uint32_t i = 0; i < growth->made_count; i++) {
        const struct made *made = &growth->made[i];
        uint32_t shift = depth - made->depth;
        uint64_t *entry = &directory->segment[made->pattern << shift];
        for (uint64_t left = 1ull << shift; left > 0; left--) {
            int error = sj_tx_word(growth->map->segment, entry++, made->at);
            if (error != SJ_OK)
                return error;
        }
    }
    return SJ_OK;
}

/* Fills a fresh directory: the old one's entries, each 2^more times, and those of the new
 * segments. */
static void fill_directory(const struct growth *growth, const struct sj_hashmap_directory *old,
                           uint32_t old_depth, struct sj_hashmap_directory *fresh, uint32_t depth)
{
    uint32_t more = depth - old_depth;
    sj_store(fresh, SJ_KIND_HASHMAP_DIR | (uint64_t)depth << 32);
    sj_store(&fresh->zero64, 0);
    for (uint64_t i = 0; i < 1ull << old_depth; i++)
        for (uint64_t j = i << more; j < (i + 1) << more; j++)
            sj_store(&fresh->segment[j], old->segment[i]);
    for (uint32_t i = 0; i < growth->made_count; i++) {
        const struct made *made = &growth->made[i];
        uint32_t shift = depth - made->depth;
        for (uint64_t j = made->pattern << shift; j < (made->pattern + 1) << shift; j++)
            sj_store(&fresh->segment[j], made->at);
    }
}

/* Plans a directory of 2^depth entries in the place of the old one. */
static int plan_directory(const struct growth *growth, struct sj_hashmap_directory *old,
                          uint32_t old_depth, uint32_t depth)
{
    const struct sj_hashmap *map = growth->map;
    struct sj_hashmap_directory *fresh;
    uint64_t bytes = sizeof(*fresh) + (8ull << depth);
    int error = sj_heap_alloc(map->segment, bytes, (void **)&fresh);
    if (error == SJ_OK)
        error = sj_heap_free(map->segment, (uintptr_t)old);
    if (error != SJ_OK)
        return error;
    fill_directory(growth, old, old_depth, fresh, depth);
    struct sj_node node = map->head->node;
    uint64_t word = node.kind | (uint64_t)node.count << 16 | (uint64_t)depth << 32;
    error = hashmap_head_word(map, &map->head->node, word);
    if (error == SJ_OK)
        error = hashmap_head_word(map, &map->head->directory, (uintptr_t)fresh);
    return error;
}

/* ------------------------------------------------------------------ growing */

/* Collects the items of the full segment; how many, or 0 when a hash does not belong there. */
static uint32_t collect(struct growth *growth, const struct sj_hashmap_segment *full)
{
    uint32_t count = 0;
    for (uint32_t b = 0; b < full->node.count; b++) {
        const struct sj_hashmap_bucket *bucket = &full->bucket[b];
        for (uint32_t used = hashmap_used(bucket); used != 0; used &= used - 1) {
            const struct sj_hashmap_slot *slot = &bucket->slot[__builtin_ctz(used)];
            uint64_t hash = hashmap_slot_hash(growth->map, slot);
            if (hashmap_top(hash, full->node.aux) != full->pattern)
                return 0;
            growth->item[count++] = (struct moved){hash, *slot};
        }
    }
    return count;
}

/* Makes the segments that replace `full`. */
static int make_segments(struct growth *growth, const struct sj_hashmap_segment *full,
                         uint32_t count)
{
    uint32_t depth = full->node.aux, limit = depth + DEPTH_MORE;
    if (limit < DEPTH_LIMIT)
        limit = DEPTH_LIMIT;
    growth->depth_limit = limit < SJ_HASHMAP_DEPTH_MAX ? limit : SJ_HASHMAP_DEPTH_MAX;
    if (full->node.count == SJ_HASHMAP_BUCKETS_MAX)
        return split(growth, growth->item, count, depth, full->pattern);
    return build(growth, growth->item, count, depth, full->pattern, full->node.count * 4u + 3);
}

/* Not inlined: the frame has the images. */
__attribute__((noinline)) int hashmap_grow(const struct sj_hashmap *map,
                                           struct sj_hashmap_segment *full, uint64_t hash,
                                           struct sj_hashmap_slot item)
{
    struct growth growth;
    growth.map = map;
    growth.made_count = 0;
    uint32_t count = 0, depth = 0;
    if (hashmap_table(map, hash) == full)
        count = collect(&growth, full);
    if (count == 0)
        return sj_segment_damaged(map->segment, (uintptr_t)full, "a full table segment");
    growth.item[count++] = (struct moved){hash, item};
    int error = make_segments(&growth, full, count);
    if (error == SJ_OK)
        error = sj_heap_free(map->segment, (uintptr_t)full);
    if (error != SJ_OK)
        return error;
    struct sj_hashmap_directory *directory = hashmap_directory(map);
    if (directory == NULL)
        return hashmap_table_damaged(map, hash);
    uint32_t old_depth = directory->depth;
    for (uint32_t i = 0; i < growth.made_count; i++)
        depth = growth.made[i].depth > depth ? growth.made[i].depth : depth;
    if (depth > old_depth)
        return plan_directory(&growth, directory, old_depth, depth);
    return plan_entries(&growth, directory, old_depth);
}
