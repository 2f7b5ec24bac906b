// SPDX-License-Identifier: Apache-2.0
/*
 * media_layout.h: where things are in a segment file. Nothing else knows these offsets.
 *
 * A segment file is mapped whole at `base`: an offset in the file is an address minus base.
 *
 *   offset              bytes   what
 *   0                   4096    superblock A
 *   4096                4096    superblock B
 *   8192                8192    page descriptors of chunk 0           (heap_layout.h)
 *   16384               4096    root page: heap state, roots directory (heap_layout.h, roots)
 *   20480               4096    log header                            (log_layout.h)
 *   24576               65536   first log extent
 *   90112               8 × n   chunk directory, n = reserved / 4 MiB, whole pages
 *   then                        heap pages, to the end of the file
 *
 * Two superblocks: the one that is valid and has the higher sequence number counts; a writer
 * overwrites the other one, so a torn write leaves the older. All words are little endian.
 */
#ifndef SJ_PERSISTENCE_MEDIA_LAYOUT_H
#define SJ_PERSISTENCE_MEDIA_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define SJ_MAGIC           0x00504d4a43415053ull /* "SPACJMP\0" */
#define SJ_FORMAT_VERSION  1u
#define SJ_BYTE_ORDER_MARK 0x0102030405060708ull

#define SJ_PAGE        4096ull
#define SJ_CHUNK       (4ull << 20)
#define SJ_CHUNK_PAGES (SJ_CHUNK / SJ_PAGE)
#define SJ_GIB         (1ull << 30)

#define SJ_SUPER_A           0ull
#define SJ_SUPER_B           SJ_PAGE
#define SJ_CHUNK0_PAGES_AT   8192ull
#define SJ_ROOT_PAGE_AT      16384ull
#define SJ_LOG_AT            20480ull
#define SJ_LOG_EXTENT0_AT    24576ull
#define SJ_LOG_EXTENT0_BYTES 65536ull
#define SJ_CHUNK_DIR_AT      (SJ_LOG_EXTENT0_AT + SJ_LOG_EXTENT0_BYTES)

#define SJ_NAME_MAX 255 /* bytes of a segment's or a root's name */

/* A feature bit that is not known: compat may be ignored, ro_compat opens read-only, incompat
 * refuses. */
#define SJ_FEATURES_COMPAT    0ull
#define SJ_FEATURES_RO_COMPAT SJ_FEATURE_FROZEN
#define SJ_FEATURES_INCOMPAT  (SJ_FEATURE_POWER | SJ_FEATURE_WAL)

#define SJ_FEATURE_FROZEN 1ull /* ro-compat: a version (clone.h): nobody ever changes it */

#define SJ_FEATURE_POWER 1ull /* incompat: made with durability "power"; all who write keep it */
#define SJ_FEATURE_WAL   2ull /* incompat: a write-ahead log has what the file lacks */

enum {
    SJ_STATE_CLEAN = 1,    /* closed by its last process, and synced */
    SJ_STATE_UNSYNCED = 2, /* a sync has failed: nobody knows what its storage has */
};

struct sj_super {
    uint64_t magic;
    uint64_t sequence; /* the higher valid one counts */
    uint64_t byte_order;
    uint32_t version;
    uint32_t page_bytes;
    uint64_t features_compat;
    uint64_t features_ro_compat;
    uint64_t features_incompat;
    uint8_t uuid[16];
    uint64_t base;
    uint64_t reserved;   /* addresses that belong to the segment, whole GiB */
    uint64_t state;      /* SJ_STATE_… */
    uint8_t boot_id[16]; /* the boot in which the segment was last opened for writing */
    uint64_t created_ns; /* wall clock */
    uint32_t name_bytes;
    uint32_t zero;
    char name[256];
    uint64_t log_epoch; /* of a write-ahead log: the first one that the file does not contain */
    uint8_t image_nonce[16]; /* names the working image of that boot; zero: there is none */
    uint8_t padding[4096 - 408 - 16];
    uint64_t nonce;    /* random: no two superblocks that were ever written are equal */
    uint64_t checksum; /* of all bytes before it */
};

_Static_assert(sizeof(struct sj_super) == SJ_PAGE, "a superblock is a page");
_Static_assert(offsetof(struct sj_super, magic) == 0, "media");
_Static_assert(offsetof(struct sj_super, sequence) == 8, "media");
_Static_assert(offsetof(struct sj_super, byte_order) == 16, "media");
_Static_assert(offsetof(struct sj_super, version) == 24, "media");
_Static_assert(offsetof(struct sj_super, page_bytes) == 28, "media");
_Static_assert(offsetof(struct sj_super, features_compat) == 32, "media");
_Static_assert(offsetof(struct sj_super, features_ro_compat) == 40, "media");
_Static_assert(offsetof(struct sj_super, features_incompat) == 48, "media");
_Static_assert(offsetof(struct sj_super, uuid) == 56, "media");
_Static_assert(offsetof(struct sj_super, base) == 72, "media");
_Static_assert(offsetof(struct sj_super, reserved) == 80, "media");
_Static_assert(offsetof(struct sj_super, state) == 88, "media");
_Static_assert(offsetof(struct sj_super, boot_id) == 96, "media");
_Static_assert(offsetof(struct sj_super, created_ns) == 112, "media");
_Static_assert(offsetof(struct sj_super, name_bytes) == 120, "media");
_Static_assert(offsetof(struct sj_super, name) == 128, "media");
_Static_assert(offsetof(struct sj_super, log_epoch) == 384, "media");
_Static_assert(offsetof(struct sj_super, image_nonce) == 392, "media");
_Static_assert(offsetof(struct sj_super, nonce) == 4080, "media");
_Static_assert(offsetof(struct sj_super, checksum) == 4088, "media");

/*
 * The head of every heap block: what it is, in its first two bytes. Kinds are given once for the
 * whole format; 0 is never a block.
 */
enum sj_kind {
    SJ_KIND_NONE = 0,
    SJ_KIND_ROOT = 1,  /* roots directory entry */
    SJ_KIND_BLOB = 2,  /* a value */
    SJ_KIND_ENTRY = 3, /* a key and its value */
    SJ_KIND_BTREE = 4, /* head of a B-tree */
    SJ_KIND_BTREE_LEAF = 5,
    SJ_KIND_BTREE_INNER = 6,
    SJ_KIND_HASHMAP = 7,     /* head of a hash map */
    SJ_KIND_HASHMAP_DIR = 8, /* directory of a hash map */
    SJ_KIND_HASHMAP_SEG = 9, /* segment of a hash map */
    SJ_KIND_BTREE_KEY = 10,  /* separator key of an inner node */
    SJ_KIND_USER = 11,       /* a user's own (user.h) */
    SJ_KIND_POINTER = 12,    /* no block: a root that is a pointer of the user's */
    SJ_KIND_LIST = 13,       /* head of a list */
    SJ_KIND_LIST_LEAF = 14,
    SJ_KIND_LIST_INNER = 15,
    SJ_KIND_DEQUE = 16, /* head of a deque */
    SJ_KIND_DEQUE_CHUNK = 17,
    SJ_KIND_RECORD = 18,      /* a user's struct */
    SJ_KIND_RECORD_TYPE = 19, /* what its fields are */
    SJ_KIND_ARRAY = 20,       /* head of an array */
    SJ_KIND_ARRAY_DATA = 21,
    SJ_KIND_COLUMNS = 22, /* head of a table of columns */
    SJ_KIND_COLUMNS_TABLE = 23,
    SJ_KIND_QUEUE = 24, /* head of a queue between processes */
};

struct sj_block {
    uint16_t kind;
    uint16_t word16; /* the kind's own */
    uint32_t word32; /* the kind's own */
};

_Static_assert(sizeof(struct sj_block) == 8, "media");

/* The head of a node that transactions log whole, at most once each (tx.h). */
struct sj_node {
    uint16_t kind;
    uint16_t count; /* entries in use */
    uint32_t aux;   /* the kind's own */
    uint64_t stamp; /* the transaction that has this node's old bytes in its log */
};

_Static_assert(sizeof(struct sj_node) == 16, "media");

#endif
