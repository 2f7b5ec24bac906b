// SPDX-License-Identifier: Apache-2.0
/*
 * roots.c: the roots directory: 64 chains of root blocks, by a hash of the name.
 *
 *   roots[hash % 64] ─→ root ─→ root ─→ 0        a new root becomes the first of its chain
 */
#include "persistence/roots.h"

#include <string.h>

#include "persistence/checksum.h"
#include "persistence/heap.h"
#include "persistence/log.h"
#include "persistence/seam.h"

/* FNV-1a: names are short, and the chains are too. */
static uint32_t bucket_of(const char *name, size_t name_bytes)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < name_bytes; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3ull;
    return (uint32_t)(sj_mix(hash, SJ_MIX_A) % SJ_ROOT_BUCKETS);
}

/* The root at an address read from media, its name within bounds; NULL when damaged. */
static struct sj_root *root_at(const struct sj_segment *segment, uint64_t at)
{
    struct sj_root *root = sj_segment_block(segment, at, sizeof *root, SJ_KIND_ROOT);
    if (root == NULL || root->name_bytes == 0 || root->name_bytes > SJ_NAME_MAX ||
        !sj_segment_holds(segment, at, sizeof *root + root->name_bytes))
        return NULL;
    return root;
}

/* More roots than a chain can have: the count on media, or what there is room for. */
static uint64_t hops_max(const struct sj_segment *segment)
{
    uint64_t room = sj_segment_committed(segment) / sizeof(struct sj_root);
    uint64_t count = segment->root_page->root_count;
    return count < room ? count : room;
}

/* The word that leads to the root of that name. */
static int find_link(const struct sj_segment *segment, const char *name, size_t name_bytes,
                     uint64_t **link, struct sj_root **root)
{
    *link = &segment->root_page->roots[bucket_of(name, name_bytes)];
    for (uint64_t hops = 0; **link != 0; hops++) {
        *root = root_at(segment, **link);
        if (*root == NULL || hops > hops_max(segment))
            return sj_segment_damaged(segment, (uint64_t)(uintptr_t)*link, "a link to a root");
        if ((*root)->name_bytes == name_bytes && memcmp((*root)->name, name, name_bytes) == 0)
            return SJ_OK;
        *link = &(*root)->next;
    }
    return sj_error(SJ_ENOTFOUND, "'%s' has no structure named '%.*s'", segment->name,
                    (int)name_bytes, name);
}

int sj_root_find(const struct sj_segment *segment, const char *name, size_t name_bytes,
                 struct sj_root **root)
{
    uint64_t *link;
    return find_link(segment, name, name_bytes, &link, root);
}

int sj_root_add(struct sj_segment *segment, const char *name, size_t name_bytes, uint16_t type,
                uint8_t key_codec, uint8_t value_codec, uint64_t pointer)
{
    struct sj_root *root;
    uint64_t *link;
    if (name_bytes == 0 || name_bytes > SJ_NAME_MAX)
        return sj_error(SJ_EINVAL, "a structure's name has 1 to %d bytes, not %zu", SJ_NAME_MAX,
                        name_bytes);
    int error = find_link(segment, name, name_bytes, &link, &root);
    if (error != SJ_ENOTFOUND)
        return error == SJ_OK ? sj_error(SJ_EEXISTS, "'%s' has a structure named '%.*s'",
                                         segment->name, (int)name_bytes, name)
                              : error;
    void *block;
    error = sj_heap_alloc(segment, sizeof *root + name_bytes, &block);
    if (error != SJ_OK)
        return error;
    struct sj_root fresh = {SJ_KIND_ROOT,
                            type,
                            key_codec,
                            value_codec,
                            (uint16_t)name_bytes,
                            segment->root_page->roots[bucket_of(name, name_bytes)],
                            pointer};
    root = block;
    sj_copy(root, &fresh, sizeof fresh);
    sj_copy(root->name, name, name_bytes);
    error = sj_tx_word(segment, &segment->root_page->roots[bucket_of(name, name_bytes)],
                       (uint64_t)(uintptr_t)root);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &segment->root_page->root_count,
                           segment->root_page->root_count + 1);
    return error;
}

int sj_root_remove(struct sj_segment *segment, const char *name, size_t name_bytes)
{
    struct sj_root *root;
    uint64_t *link;
    int error = find_link(segment, name, name_bytes, &link, &root);
    if (error == SJ_OK)
        error = sj_tx_word(segment, link, root->next);
    sj_log_note_removal(segment);
    if (error == SJ_OK)
        error = sj_tx_word(segment, &segment->root_page->root_count,
                           segment->root_page->root_count - 1);
    return error == SJ_OK ? sj_heap_free(segment, (uint64_t)(uintptr_t)root) : error;
}

int sj_root_next(const struct sj_segment *segment, const struct sj_root *previous,
                 struct sj_root **next)
{
    uint32_t bucket = 0;
    uint64_t at = 0;
    if (previous != NULL) {
        bucket = bucket_of(previous->name, previous->name_bytes) + 1;
        at = previous->next;
    }
    while (at == 0 && bucket < SJ_ROOT_BUCKETS)
        at = segment->root_page->roots[bucket++];
    *next = NULL;
    if (at == 0)
        return SJ_OK;
    *next = root_at(segment, at);
    if (*next == NULL || (previous != NULL && *next == previous))
        return sj_segment_damaged(segment, at, "a root");
    return SJ_OK;
}
