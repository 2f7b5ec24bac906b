// SPDX-License-Identifier: Apache-2.0
/*
 * sums_world.h: a segment with something of everything in it, and what its checksums say.
 */
#ifndef SJ_TESTS_SUMS_WORLD_H
#define SJ_TESTS_SUMS_WORLD_H

#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "persistence/roots.h"
#include "persistence/sums.h"
#include "structures/btree.h"
#include "structures/check.h"
#include "structures/hashmap.h"

static inline void world_create(struct sj_segment *segment)
{
    const struct sj_kinds bytes = {SJ_ITEM_BYTES, SJ_ITEM_BYTES};
    const struct sj_kinds words = {SJ_ITEM_WORD, SJ_ITEM_WORD};
    uint64_t head;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_btree_create(segment, bytes, &head));
    CHECK_OK(sj_root_add(segment, "tree", 4, SJ_KIND_BTREE, 3, 3, head));
    CHECK_OK(sj_hashmap_create(segment, words, &head));
    CHECK_OK(sj_root_add(segment, "map", 3, SJ_KIND_HASHMAP, 1, 1, head));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
}

static inline void world_tree(struct sj_segment *segment, struct sj_btree *tree)
{
    struct sj_root *root;
    CHECK_OK(sj_root_find(segment, "tree", 4, &root));
    CHECK_OK(sj_btree_open(segment, root->pointer, tree));
}

static inline void world_map(struct sj_segment *segment, struct sj_hashmap *map)
{
    struct sj_root *root;
    CHECK_OK(sj_root_find(segment, "map", 3, &root));
    CHECK_OK(sj_hashmap_open(segment, root->pointer, map));
}

/* Changes item `number` of both structures; a value of `bytes` bytes. */
static inline int world_put(struct sj_segment *segment, uint64_t number, uint64_t bytes)
{
    struct sj_btree tree;
    struct sj_hashmap map;
    char text[32];
    bool existed;
    world_tree(segment, &tree);
    world_map(segment, &map);
    uint8_t *value = malloc(bytes + 1);
    CHECK(value != NULL);
    memset(value, (int)number, bytes);
    struct sj_key key = {.bytes = (const uint8_t *)text,
                         .size = (uint32_t)sprintf(text, "%" PRIu64, number)};
    struct sj_value large = {.bytes = value, .size = bytes};
    int error = sj_btree_put(&tree, &key, &large, SJ_PUT_ALWAYS, &existed);
    key = (struct sj_key){.word = number};
    struct sj_value small = {.word = bytes};
    if (error == SJ_OK)
        error = sj_hashmap_put(&map, &key, &small, SJ_PUT_ALWAYS, &existed);
    free(value);
    return error;
}

static inline void world_delete(struct sj_segment *segment, uint64_t number)
{
    struct sj_btree tree;
    char text[32];
    world_tree(segment, &tree);
    struct sj_key key = {.bytes = (const uint8_t *)text,
                         .size = (uint32_t)sprintf(text, "%" PRIu64, number)};
    int error = sj_btree_delete(&tree, &key);
    CHECK(error == SJ_OK || error == SJ_ENOTFOUND);
}

/* ------------------------------------------------------------------ verifying */

struct findings {
    uint64_t count;
    struct sj_sums_finding first;
};

static inline int count_finding(void *context, const struct sj_sums_finding *finding)
{
    struct findings *findings = context;
    if (findings->count++ == 0)
        findings->first = *finding;
    return SJ_OK;
}

static inline struct sj_sums_verify verify_sums(const struct sj_segment *segment,
                                                struct findings *findings)
{
    *findings = (struct findings){0};
    struct sj_sums_verify verify = {.found = count_finding, .context = findings};
    CHECK_OK(sj_segment_sums_verify(segment, &verify));
    return verify;
}

/* No page, and no checksum, is taken for damaged. Pages whose checksum fits. */
static inline uint64_t no_false_alarm(const struct sj_segment *segment)
{
    struct findings findings;
    struct sj_sums_verify verify = verify_sums(segment, &findings);
    if (findings.count != 0)
        fprintf(stderr, "offset 0x%" PRIx64 ": %s\n", findings.first.offset, findings.first.text);
    CHECK(findings.count == 0);
    CHECK(verify.verified + verify.unverified == sj_segment_committed(segment) / SJ_PAGE);
    return verify.verified;
}

/* All of its pages have checksums, and they fit. */
static inline void all_have_sums(const struct sj_segment *segment)
{
    CHECK(no_false_alarm(segment) == sj_segment_committed(segment) / SJ_PAGE);
}

/* ------------------------------------------------------------------ files */

static inline const char *sums_path(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s" SJ_SUMS_SUFFIX, test_path(name));
    return path;
}

struct image {
    char *bytes;
    uint64_t count;
};

/* The bytes are there until the program ends. */
static inline struct image read_file(const char *path)
{
    static char *kept[64];
    static uint32_t kept_count;
    struct stat status;
    struct image image;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    image.count = (uint64_t)status.st_size;
    CHECK(kept_count < 64);
    kept[kept_count] = malloc(image.count + 1);
    image.bytes = kept[kept_count++];
    CHECK(image.bytes != NULL);
    CHECK(pread(fd, image.bytes, image.count, 0) == (ssize_t)image.count);
    close(fd);
    return image;
}

static inline void write_file(const char *path, const struct image *image)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && pwrite(fd, image->bytes, image->count, 0) == (ssize_t)image->count);
    close(fd);
}

#endif
