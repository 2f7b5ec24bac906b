// SPDX-License-Identifier: Apache-2.0
/*
 * explore_media.c: walking a trace and building images (explore_media.h).
 *
 * Memory is always: what is certain, and of each line with pending stores its first `taken` ones.
 * Going one store back restores the word that the store had replaced, which is what the line had
 * with one store less.
 */
#include "explore_media.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIBED_MAX 24

static void *grown(void *items, size_t bytes)
{
    items = realloc(items, bytes);
    if (items == NULL)
        abort();
    return items;
}

/* ------------------------------------------------------------------ lines */

static uint64_t line_number(const struct media *media, uint64_t at)
{
    return media->rules->granule == 0 ? 0 : at / media->rules->granule;
}

static uint32_t *index_of(const struct media *media, uint64_t number)
{
    uint64_t at = number * 0x9e3779b97f4a7c15ull >> 32;
    for (;; at++) {
        uint32_t *slot = &media->index[at & (media->index_capacity - 1)];
        if (*slot == 0 || media->line[*slot - 1].number == number)
            return slot;
    }
}

static void grow_index(struct media *media)
{
    media->index_capacity = media->index_capacity == 0 ? 256 : 2 * media->index_capacity;
    media->index = grown(media->index, media->index_capacity * sizeof *media->index);
    memset(media->index, 0, media->index_capacity * sizeof *media->index);
    for (uint32_t i = 0; i < media->lines; i++)
        *index_of(media, media->line[i].number) = i + 1;
}

static uint32_t line_of(struct media *media, uint64_t at)
{
    uint64_t number = line_number(media, at);
    if (2 * media->lines >= media->index_capacity)
        grow_index(media);
    uint32_t *slot = index_of(media, number);
    if (*slot != 0)
        return *slot - 1;
    if (media->lines == media->line_capacity) {
        uint32_t capacity = media->line_capacity == 0 ? 64 : 2 * media->line_capacity;
        media->line = grown(media->line, capacity * sizeof *media->line);
        media->active = grown(media->active, capacity * sizeof *media->active);
        for (uint32_t i = media->line_capacity; i < capacity; i++)
            media->line[i] = (struct media_line){0};
        media->line_capacity = capacity;
    }
    struct media_line *line = &media->line[media->lines];
    line->number = number;
    line->count = line->flushed = line->taken = 0;
    *slot = ++media->lines;
    return media->lines - 1;
}

static void reset_lines(struct media *media)
{
    if (media->lines > 0)
        memset(media->index, 0, media->index_capacity * sizeof *media->index);
    media->lines = media->actives = 0;
}

static void pend(struct media *media, uint32_t at)
{
    struct trace_event *event = &media->trace->event[at];
    event->line = line_of(media, event->at);
    struct media_line *line = &media->line[event->line];
    if (line->count == line->capacity) {
        line->capacity = line->capacity == 0 ? 16 : 2 * line->capacity;
        line->event = grown(line->event, line->capacity * sizeof *line->event);
    }
    if (line->count == 0)
        media->active[media->actives++] = event->line;
    line->event[line->count++] = at;
}

static void flush(struct media *media, uint64_t at, uint64_t bytes)
{
    if (bytes == 0 || media->rules->granule == 0)
        return;
    uint64_t first = line_number(media, at), last = line_number(media, at + bytes - 1);
    if (last - first > media->actives) {
        for (uint32_t i = 0; i < media->actives; i++) {
            struct media_line *line = &media->line[media->active[i]];
            if (line->number - first <= last - first)
                line->flushed = line->count;
        }
        return;
    }
    for (uint64_t number = first; number <= last && media->lines > 0; number++) {
        uint32_t slot = *index_of(media, number);
        if (slot != 0)
            media->line[slot - 1].flushed = media->line[slot - 1].count;
    }
}

/* The line's first `stores` pending stores are in the image. */
static inline void take(struct media *media, struct media_line *line, uint32_t stores)
{
    const struct trace_event *event = media->trace->event;
    for (; line->taken < stores; line->taken++)
        trace_poke(event[line->event[line->taken]].at, event[line->event[line->taken]].value);
    for (; line->taken > stores; line->taken--)
        trace_poke(event[line->event[line->taken - 1]].at, event[line->event[line->taken - 1]].old);
}

/* What was flushed is certain. */
static void settle(struct media *media, bool everything)
{
    for (uint32_t i = media->actives; i > 0; i--) {
        struct media_line *line = &media->line[media->active[i - 1]];
        uint32_t done = everything ? line->count : line->flushed;
        take(media, line, done);
        for (uint32_t j = done; j < line->count; j++)
            line->event[j - done] = line->event[j];
        line->count -= done;
        line->flushed = line->taken = 0;
        if (line->count == 0)
            media->active[i - 1] = media->active[--media->actives];
    }
}

/* ------------------------------------------------------------------ images */

static void take_each(struct media *media, bool all)
{
    for (uint32_t i = 0; i < media->actives; i++) {
        struct media_line *line = &media->line[media->active[i]];
        take(media, line, all ? line->count : 0);
    }
}

/* All prefixes of all lines, as an odometer counts. */
static void visit_all(struct media *media)
{
    for (;;) {
        uint32_t i = 0;
        media->visit(media);
        for (; i < media->actives; i++) {
            struct media_line *line = &media->line[media->active[i]];
            if (line->taken < line->count) {
                take(media, line, line->taken + 1);
                break;
            }
            take(media, line, 0);
        }
        if (i == media->actives)
            return;
    }
}

static uint64_t draw(struct media *media)
{
    *media->random += 0x9e3779b97f4a7c15ull;
    return trace_mix(*media->random, 0xbf58476d1ce4e5b9ull);
}

/* Whether one of `count` cases is among the about `wanted` ones that are tried. */
static bool chosen(struct media *media, uint64_t count, uint64_t wanted)
{
    return count <= wanted || draw(media) % count < wanted;
}

/* Each line alone, and each line missing. */
static void visit_singles(struct media *media)
{
    for (uint32_t all = 0; all < 2; all++) {
        take_each(media, all != 0);
        media->visit(media);
        for (uint32_t i = 0; i < media->actives; i++) {
            struct media_line *line = &media->line[media->active[i]];
            if (!chosen(media, 2 * media->actives, media->rules->cap / 4))
                continue;
            take(media, line, all != 0 ? 0 : line->count);
            media->visit(media);
            if (line->count > 1) {
                take(media, line, 1 + (uint32_t)(draw(media) % (line->count - 1)));
                media->visit(media);
            }
            take(media, line, all != 0 ? line->count : 0);
        }
    }
}

static uint32_t first_pending(const struct media *media)
{
    uint32_t first = media->position;
    for (uint32_t i = 0; i < media->actives; i++) {
        uint32_t event = media->line[media->active[i]].event[0];
        first = event < first ? event : first;
    }
    return first;
}

/* The line of a store that is pending; NULL when the event is none. */
static struct media_line *pending_line(struct media *media, uint32_t at)
{
    const struct trace_event *event = &media->trace->event[at];
    if (event->kind != TRACE_STORE)
        return NULL;
    struct media_line *line = &media->line[event->line];
    return line->count > 0 && line->event[0] <= at ? line : NULL;
}

/* Prefixes in program order; and every line that was first stored to after some moment. */
static void visit_orders(struct media *media, uint64_t stores)
{
    uint32_t first = first_pending(media);
    uint64_t wanted = media->rules->cap / 4;
    take_each(media, false);
    for (uint32_t at = first; at < media->position; at++) {
        struct media_line *line = pending_line(media, at);
        if (line == NULL)
            continue;
        take(media, line, line->taken + 1);
        if (chosen(media, stores, wanted))
            media->visit(media);
    }
    for (uint32_t at = first; at < media->position; at++) {
        struct media_line *line = pending_line(media, at);
        if (line == NULL || line->event[0] != at)
            continue;
        take(media, line, 0);
        if (chosen(media, media->actives, wanted))
            media->visit(media);
    }
}

static void visit_random(struct media *media)
{
    for (uint32_t round = 0; round < media->rules->random; round++) {
        uint32_t odds = 1 + (uint32_t)(draw(media) % 7);
        for (uint32_t i = 0; i < media->actives; i++) {
            struct media_line *line = &media->line[media->active[i]];
            uint64_t dice = draw(media);
            uint32_t stores = dice % 8 < odds ? line->count : 0;
            if (dice >> 8 & 1)
                stores = (uint32_t)((dice >> 16) % (line->count + 1));
            take(media, line, stores);
        }
        media->visit(media);
    }
}

static void look(struct media *media, uint32_t position)
{
    uint64_t product = 1, stores = 0;
    media->position = position;
    if (position < media->from)
        return;
    for (uint32_t i = 0; i < media->actives; i++) {
        const struct media_line *line = &media->line[media->active[i]];
        stores += line->count;
        if (product <= media->rules->cap)
            product *= line->count + 1;
    }
    media->looks++;
    if (product <= media->rules->cap || media->actives == 1) {
        media->expected = product;
        visit_all(media);
        return;
    }
    media->expected = media->rules->cap + media->rules->random;
    visit_singles(media);
    visit_orders(media, stores);
    visit_random(media);
    take_each(media, false);
}

static bool something_is_flushed(const struct media *media)
{
    for (uint32_t i = 0; i < media->actives; i++)
        if (media->line[media->active[i]].flushed > 0)
            return true;
    return false;
}

void media_walk(struct media *media, const struct media_rules *rules, uint64_t *random,
                struct trace *trace, uint32_t from)
{
    uint64_t fences = 0;
    media->rules = rules;
    media->random = random;
    media->trace = trace;
    media->from = from;
    media->mark = 0;
    reset_lines(media);
    for (uint32_t at = from; at < trace->count; at++)
        fences += trace->event[at].kind == TRACE_FENCE;
    for (uint32_t at = 0; at < trace->count; at++) {
        const struct trace_event *event = &trace->event[at];
        switch (event->kind) {
        case TRACE_STORE:
            pend(media, at);
            break;
        case TRACE_FLUSH:
            flush(media, event->at, event->value);
            break;
        case TRACE_FENCE:
            if (!something_is_flushed(media))
                break;
            if (chosen(media, fences, rules->looks))
                look(media, at);
            settle(media, false);
            break;
        case TRACE_MARK:
            look(media, at);
            media->mark = (uint32_t)event->value;
            if (rules->granule == 0)
                settle(media, true);
            break;
        }
    }
    look(media, trace->count);
    settle(media, true);
    trace_undo(trace);
}

void media_describe(const struct media *media, uint64_t base)
{
    uint32_t fences = 0, shown = 0;
    for (uint32_t i = 0; i < media->position && i < media->trace->count; i++)
        fences += media->trace->event[i].kind == TRACE_FENCE;
    printf("    crash before event %u of %u, after %u fences; pending lines (offset: stores on the "
           "media):\n",
           media->position, media->trace->count, fences);
    for (uint32_t i = 0; i < media->actives && shown < DESCRIBED_MAX; i++, shown++) {
        const struct media_line *line = &media->line[media->active[i]];
        uint64_t at = media->trace->event[line->event[0]].at - base;
        printf("      0x%" PRIx64 ": %u of %u\n", at, line->taken, line->count);
    }
    if (shown < media->actives)
        printf("      and %u more\n", media->actives - shown);
}
