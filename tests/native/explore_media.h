// SPDX-License-Identifier: Apache-2.0
/*
 * explore_media.h: every image that the media may hold when the machine stops.
 *
 * Fault model. Stores go to the media in lines (`granule` bytes). A line whose stores were flushed
 * and then fenced is on the media up to the flush. Of the stores to a line since then, the media
 * has any prefix; lines are independent of each other. So the images at one moment are the product
 * of the prefixes of all lines that have such pending stores.
 *
 *   line A   certain | a1 a2 a3        4 prefixes ┐
 *   line B   certain | b1              2 prefixes ┴ 8 images
 *
 * It suffices to look before each fence that makes something certain, and at each mark: the
 * images of any moment before are among those of the next look.
 *
 * When the product is above `cap`, about so many are chosen: none, all, lines alone, lines missing,
 * program-order prefixes, the same from the other end; and `random` ones. Of the fences of a long
 * trace about `looks` are looked at.
 *
 * granule 0: a process dies, the machine goes on: everything that was stored is there. Then
 * memory is one line, flushes and fences mean nothing, and a mark makes all certain.
 *
 * Nothing here knows where the trace comes from, or what the words mean.
 */
#ifndef SJ_TESTS_EXPLORE_MEDIA_H
#define SJ_TESTS_EXPLORE_MEDIA_H

#include "explore_trace.h"

struct media_rules {
    uint64_t granule;
    uint64_t cap;    /* images of one look that are not too many to try all */
    uint32_t random; /* images to draw when they are */
    uint32_t looks;  /* fences to look at, of one trace */
    uint32_t deep;   /* the visitor's own */
};

/* A line with pending stores. */
struct media_line {
    uint64_t number;
    uint32_t *event; /* its pending stores */
    uint32_t count;
    uint32_t capacity;
    uint32_t flushed; /* so many of them were flushed */
    uint32_t taken;   /* so many of them are in the image */
};

struct media {
    const struct media_rules *rules;
    uint64_t *random; /* state of the generator */
    struct trace *trace;
    /* Called for each image; memory is the image, and must be again when it returns. */
    void (*visit)(struct media *media);
    void *context;
    uint32_t from;     /* looks at events before this one are left out */
    uint32_t mark;     /* the last mark's value */
    uint32_t position; /* the event that is looked before */
    uint64_t expected; /* images of this look, some of them perhaps equal */
    uint64_t looks;
    struct media_line *line;
    uint32_t lines, line_capacity;
    uint32_t *active; /* lines that have pending stores */
    uint32_t actives;
    uint32_t *index; /* line numbers to lines: open addressing, 0 is free, else line + 1 */
    uint32_t index_capacity;
};

/*
 * Walks through the trace and visits images. Memory must be as it was before the trace, all of it
 * certain, and is so again afterwards.
 */
void media_walk(struct media *media, const struct media_rules *rules, uint64_t *random,
                struct trace *trace, uint32_t from);

/* Prints which pending stores are in the image, in a few lines. */
void media_describe(const struct media *media, uint64_t base);

#endif
