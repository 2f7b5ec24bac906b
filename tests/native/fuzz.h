// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz.h: what the parts of the fuzzer share.
 *
 *   fuzz_make.c        small stores of trees and maps, and all of them as images in memory
 *   fuzz_make_more.c   the same of the other structures, and of those that references lead to
 *   fuzz_arrays.c      stores of arrays and columns, and what is done with them
 *   fuzz_records.c     stores of records, and what is done with them
 *   fuzz_fields.c      which bytes of an image are metadata, and what each of them is
 *   fuzz_mutate.c      damage: changes of those bytes that look like something else that could be
 *                      there
 *   fuzz_use.c         everything that can be done with a store, on a damaged one
 *   fuzz_use_more.c    the same with the other structures, and with any of them by its address
 *   fuzz.c             workers, counters, what is kept of a failure
 *
 * Seed and number decide an image and all that is done with it, in every process: a failure is
 * repeated by naming the two.
 */
#ifndef SJ_TESTS_FUZZ_H
#define SJ_TESTS_FUZZ_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "persistence/segment.h"
#include "structures/btree.h"
#include "structures/codec.h"
#include "structures/hashmap.h"

#define FUZZ_BASE    0x3f0000000000ull
#define FUZZ_IMAGES  24
#define FUZZ_STORES  8 /* structures in an image */
#define FUZZ_SITES   512
#define FUZZ_WORKERS 64

/* ------------------------------------------------------------------ random numbers */

struct fuzz_random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t fuzz_next(struct fuzz_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline uint64_t fuzz_below(struct fuzz_random *random, uint64_t limit)
{
    return fuzz_next(random) % limit;
}

/* ------------------------------------------------------------------ images */

/* What a metadata field is: fields of one role hold values of one kind. */
enum fuzz_role {
    FUZZ_SUPER,
    FUZZ_ROOT_PAGE,
    FUZZ_LOG_HEADER,
    FUZZ_LOG_ENTRY,
    FUZZ_LOG_OLD, /* old bytes in the log */
    FUZZ_CHUNK_WORD,
    FUZZ_PAGE_WORD,
    FUZZ_SLAB,
    FUZZ_BITMAP,
    FUZZ_ROOT,
    FUZZ_BLOCK_HEAD, /* of entries, blobs and separators */
    FUZZ_TREE_HEAD,
    FUZZ_NODE_HEAD,
    FUZZ_LINK,
    FUZZ_KEY,
    FUZZ_SLOT,
    FUZZ_CHILD,
    FUZZ_ITEMS,
    FUZZ_SEPARATOR,
    FUZZ_MAP_HEAD,
    FUZZ_DIRECTORY,
    FUZZ_TABLE_HEAD,
    FUZZ_TAGS,
    FUZZ_DEQUE_HEAD,
    FUZZ_LIST_HEAD,
    FUZZ_BEFORE,
    FUZZ_REFERENCE,
    FUZZ_RECORD,
    FUZZ_SCHEMA,
    FUZZ_ARRAY_HEAD,
    FUZZ_ARRAY_DATA,
    FUZZ_COLUMNS_HEAD,
    FUZZ_COLUMNS_TABLE,
    FUZZ_ROLES
};

struct fuzz_field {
    uint32_t at; /* offset in the image */
    uint16_t role;
    uint16_t width; /* bytes: 1, 2, 4 or 8 */
};

struct fuzz_block {
    uint64_t at;
    uint64_t bytes;
};

/* A structure of an image. */
struct fuzz_store {
    char name[16];
    uint16_t type;
    struct sj_kinds kinds;
    struct sj_codecs codecs; /* both 0: of a head that says no more than the kinds */
    uint32_t keys;           /* key numbers are below it */
};

struct fuzz_image {
    const char *name;
    uint8_t *bytes;
    uint64_t size;
    struct fuzz_store store[FUZZ_STORES];
    uint32_t stores;
    struct fuzz_block *block; /* in use */
    uint32_t blocks, blocks_room;
    struct fuzz_field *field; /* by role */
    uint32_t fields, fields_room;
    uint32_t first_of[FUZZ_ROLES + 1]; /* in field[] */
    uint32_t *entry;                   /* offsets of log entries, also old ones */
    uint32_t entries, entries_room;
    uint64_t metadata_bytes;
};

/* Ends the process: the fuzzer itself went wrong. */
_Noreturn void fuzz_broken(const char *what);

/* The images, in files below `directory` meanwhile. */
void fuzz_make_images(const char *directory, uint64_t seed, struct fuzz_image images[FUZZ_IMAGES]);

/* Of fuzz_make.c, for the other makers. What fails ends the process. */
extern struct fuzz_random fuzz_making;
void fuzz_ok(int error, const char *what);
struct fuzz_store *fuzz_add_root(struct fuzz_image *image, struct sj_segment *segment,
                                 const struct fuzz_store *like, uint64_t *head);

/* The images from FUZZ_FIRST_OF_MORE on. */
#define FUZZ_FIRST_OF_MORE 14
void fuzz_make_more(struct fuzz_image *image, uint32_t number, struct sj_segment *segment);
void fuzz_make_arrays(struct fuzz_image *image, struct sj_segment *segment);
void fuzz_make_records(struct fuzz_image *image, struct sj_segment *segment);

/* A value of codec any that has the reference in it, in a buffer of FUZZ_ANY_BYTES. */
#define FUZZ_ANY_BYTES 19
struct sj_value fuzz_any(uint64_t head, uint32_t serial, uint8_t *buffer);

/* Finds the metadata fields of an image whose bytes and blocks are known. */
void fuzz_find_fields(struct fuzz_image *image);

/* Key and value of a number, in the caller's buffer. */
#define FUZZ_KEY_BYTES   128
#define FUZZ_VALUE_BYTES 9000
struct sj_key fuzz_key(struct sj_kinds kinds, uint64_t number, uint8_t *buffer);
struct sj_value fuzz_value(struct sj_kinds kinds, uint64_t number, uint8_t *buffer);

/* ------------------------------------------------------------------ damage */

/* What is done to `view`, a writable mapping of a file that is the image; returns the size that
 * the file is to have. `sweep`: the metadata byte that is to be damaged, or UINT64_MAX. */
uint64_t fuzz_mutate(struct fuzz_random *random, const struct fuzz_image *image, uint8_t *view,
                     uint64_t sweep);

/* ------------------------------------------------------------------ use */

/* Counters of a worker, which the parent can see. */
struct fuzz_site {
    char text[64]; /* what was expected where damage was found */
    uint64_t hits;
};

struct fuzz_counters {
    uint64_t images;
    uint64_t opened;
    uint64_t whole; /* of which the check says nothing */
    uint64_t operations;
    uint64_t salvaged; /* entries */
    uint64_t errors[64];
    struct fuzz_site site[FUZZ_SITES];
};

/* Opens the damaged file and does everything with it. `before_close` is called while the segment
 * is still mapped. Ends the process when an answer is none of those that are documented. */
struct fuzz_use {
    struct fuzz_random *random;
    const struct fuzz_image *image;
    const char *path;
    struct fuzz_counters *counters;
    void (*before_close)(void *context, const struct sj_segment *segment);
    void *context;
};
void fuzz_use(struct fuzz_use *use);

#endif
