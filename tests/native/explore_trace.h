// SPDX-License-Identifier: Apache-2.0
/*
 * explore_trace.h: what a program did to its media, word by word, and the media's words themselves.
 *
 * A trace is a list of events in program order:
 *
 *   store   one aligned word at `at` becomes `value`; it was `old`, and not the same
 *   flush   the `value` bytes from `at` on were handed to the media
 *   fence   what was flushed before it is on the media
 *   mark    `value` says what must hold from here on; the one who explores knows what it means
 *
 * The seam of the core (persistence/seam.h) fills in the current trace. Nothing here knows of it
 * but trace_hook(): events of files (a write is stores, fdatasync is a flush of all and a fence)
 * can be put into a trace as well.
 *
 * trace_sum has sums over every word that was stored through trace_poke() or the hook: equal memory
 * has equal sums. Recovered memory that differs in the log or in the superblocks alone has the same
 * contents.
 */
#ifndef SJ_TESTS_EXPLORE_TRACE_H
#define SJ_TESTS_EXPLORE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind { TRACE_STORE, TRACE_FLUSH, TRACE_FENCE, TRACE_MARK };

struct trace_event {
    uint64_t at;
    uint64_t value;
    uint64_t old;  /* of a store */
    uint32_t line; /* of a store: filled in by explore_media.c */
    enum trace_kind kind;
};

struct trace {
    struct trace_event *event;
    uint32_t count;
    uint32_t capacity;
};

#define TRACE_PARTS 8

struct trace_sum {
    uint64_t all;
    uint64_t data;              /* without the log's first extent and the superblocks */
    uint64_t super;             /* the superblocks alone */
    uint64_t part[TRACE_PARTS]; /* [i]: words whose mask has bit i */
};

/* What the sums are over: set by the one who explores. */
struct trace_area {
    uint64_t log_from, log_bytes;
    uint64_t super_from, super_bytes;
    uint64_t mask_from, mask_words;
    uint8_t *mask; /* one for each word */
};

extern struct trace_sum trace_sum;
extern struct trace_area trace_area;

/* The one that the seam's events go to; NULL: they are stores of no interest. */
extern struct trace *trace_current;

void trace_add(struct trace *trace, enum trace_kind kind, uint64_t at, uint64_t value);

/* Makes the seam's events go to trace_current from now on. */
void trace_install(void);

/* Undoes every store of the trace, the last one first. */
void trace_undo(const struct trace *trace);

/* Carries every store out again. */
void trace_redo(const struct trace *trace);

static inline uint64_t trace_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product =
        (unsigned __int128)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd6e8feb86659fd93ull);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* What a word adds to the sums. */
static inline uint64_t trace_word(uint64_t at, uint64_t value)
{
    return trace_mix(at * 0xa0761d6478bd642full, value + (at << 1));
}

static inline void trace_sum_change(uint64_t at, uint64_t old, uint64_t value)
{
    uint64_t change = trace_word(at, value) - trace_word(at, old);
    trace_sum.all += change;
    if (at - trace_area.super_from < trace_area.super_bytes)
        trace_sum.super += change;
    else if (at - trace_area.log_from >= trace_area.log_bytes)
        trace_sum.data += change;
    uint64_t word = (at - trace_area.mask_from) / 8;
    if (word < trace_area.mask_words)
        for (uint32_t mask = trace_area.mask[word]; mask != 0; mask &= mask - 1)
            trace_sum.part[__builtin_ctz(mask)] += change;
}

/* Stores a word behind the program's back. */
static inline void trace_poke(uint64_t at, uint64_t value)
{
    uint64_t *word = (uint64_t *)(uintptr_t)at;
    trace_sum_change(at, *word, value);
    *word = value;
}

#endif
