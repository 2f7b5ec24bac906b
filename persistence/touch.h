// SPDX-License-Identifier: Apache-2.0
/*
 * touch.h: a trace of the addresses that operations touch in segments, at no cost when there is
 * none.
 *
 * Whatever follows a pointer of the media checks first that it leads into the segment: one compare
 * with `heap` (a block's head) or `spans` (all of a block). A segment that is watched has numbers
 * there that no address passes, so each of these checks fails, and comes to sj_touch_block() and
 * sj_touch_span(), which damaged pointers come to as well. They check with the true numbers, and
 * note the address. So nothing is executed for it while nobody watches.
 *
 *     not watched   heap = base + meta_bytes, spans = base    the quick check decides
 *     watched       heap = spans = 2⁶⁴ − 1                    it fails; touch.c decides, and notes
 *
 * What is noted: heads of blocks that were followed (nodes, directories, entries, slabs), whole
 * entries, separators and blobs, the directory's word and the bucket's lines of a hash map; and at
 * the commit of an operation the ranges that it had logged, and its log entries. Not noted: the
 * head of a structure, whose address is known, and blocks that were made and not logged.
 *
 * I1  A segment is watched as long as a trace runs in any thread; what other threads than those
 *     touch is not noted.
 * I2  Results are the same whether a segment is watched or not.
 *
 * Locking: a trace belongs to one thread. `heap` and `spans` are single words that any thread may
 * read while they change. Cost of a noted address: about 5 ns.
 */
#ifndef SJ_PERSISTENCE_TOUCH_H
#define SJ_PERSISTENCE_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/error.h"
#include "persistence/heap_layout.h"

struct sj_segment;

#define SJ_TOUCH_WATCHED UINT64_MAX

/* What was touched: `bytes` bytes, at least the first of them. */
struct sj_touch {
    uint64_t at;
    uint32_t bytes;
    uint16_t kind;  /* of the block, if its head was touched, else 0 */
    uint16_t write; /* 1: it was changed */
};

struct sj_touch_trace {
    struct sj_touch *record;
    size_t used;
    size_t room;
    uint64_t lost;                              /* records that found no room */
    void (*full)(struct sj_touch_trace *trace); /* makes room, if it can; or NULL */
    void *context;
};

/* Begins a trace of the calling thread, with room for records. SJ_EBUSY when it has one. The
 * caller watches the segments (spacejmp/space.h). */
int sj_touch_begin(struct sj_touch_trace *trace);
/* Ends it, in the thread that began it: SJ_ENOHOLD elsewhere. */
int sj_touch_end(struct sj_touch_trace *trace);

/* In the child of a fork: there is no trace. */
void sj_touch_forked(void);

/* Begins or ends watching a segment. */
void sj_touch_watch(struct sj_segment *segment, bool watched);

/* Notes a range. */
void sj_touch_note(uint64_t at, uint64_t bytes, enum sj_kind kind, bool write);

/* What sj_segment_block() returns when the quick check has failed. */
SJ_API void *sj_touch_block(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                            enum sj_kind kind) __attribute__((cold));
/* The same for sj_segment_spans(). */
SJ_API bool sj_touch_span(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
    __attribute__((cold));
/* The same for a slab's page. */
bool sj_touch_page(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
    __attribute__((cold));

/* Notes what the transaction that is being committed has logged. */
void sj_touch_changes(const struct sj_segment *segment) __attribute__((cold));

#endif
