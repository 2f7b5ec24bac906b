// SPDX-License-Identifier: Apache-2.0
/* touch.c: the trace of what is touched (touch.h has the contract). */
#include "persistence/touch.h"

#include "persistence/segment.h"

static __thread struct sj_touch_trace *trace_of_thread;

int sj_touch_begin(struct sj_touch_trace *trace)
{
    if (trace_of_thread != NULL)
        return sj_error(SJ_EBUSY, "the thread has a trace already: end that first");
    trace_of_thread = trace;
    return SJ_OK;
}

int sj_touch_end(struct sj_touch_trace *trace)
{
    if (trace_of_thread != trace)
        return sj_error(SJ_ENOHOLD, "a trace ends in the thread that began it");
    trace_of_thread = NULL;
    return SJ_OK;
}

void sj_touch_forked(void)
{
    trace_of_thread = NULL;
}

static uint64_t heap_of(const struct sj_segment *segment)
{
    return (uint64_t)(uintptr_t)segment->base + segment->meta_bytes;
}

void sj_touch_watch(struct sj_segment *segment, bool watched)
{
    uint64_t base = (uint64_t)(uintptr_t)segment->base;
    __atomic_store_n(&segment->heap, watched ? SJ_TOUCH_WATCHED : heap_of(segment),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&segment->spans, watched ? SJ_TOUCH_WATCHED : base, __ATOMIC_RELAXED);
}

void sj_touch_note(uint64_t at, uint64_t bytes, enum sj_kind kind, bool write)
{
    struct sj_touch_trace *trace = trace_of_thread;
    if (trace == NULL)
        return;
    if (trace->used == trace->room && trace->full != NULL)
        trace->full(trace);
    if (trace->used == trace->room) {
        trace->lost++;
        return;
    }
    uint32_t length = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    trace->record[trace->used++] = (struct sj_touch){at, length, (uint16_t)kind, write};
}

/* A bound as it is when nobody watches. It may have ceased to be watched since the quick check. */
static uint64_t bound(const uint64_t *watched, uint64_t otherwise)
{
    uint64_t found = __atomic_load_n(watched, __ATOMIC_RELAXED);
    return found == SJ_TOUCH_WATCHED ? otherwise : found;
}

static bool lies_in(uint64_t offset, uint64_t bytes, uint64_t room)
{
    return offset < room && bytes <= room - offset;
}

/* Whether the bytes lie in the committed part, from the heap on. */
static bool holds(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    uint64_t committed = sj_segment_committed(segment);
    uint64_t room = committed > segment->meta_bytes ? committed - segment->meta_bytes : 0;
    return lies_in(at - bound(&segment->heap, heap_of(segment)), bytes, room);
}

void *sj_touch_block(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                     enum sj_kind kind)
{
    if ((at & 7) != 0 || !holds(segment, at, bytes))
        return NULL;
    struct sj_block *block = (struct sj_block *)(uintptr_t)at;
    sj_touch_note(at, sizeof *block, kind, false);
    return block->kind == kind ? block : NULL;
}

bool sj_touch_span(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    uint64_t base = bound(&segment->spans, (uint64_t)(uintptr_t)segment->base);
    if (!lies_in(at - base, bytes, sj_segment_committed(segment)))
        return false;
    sj_touch_note(at, bytes, 0, false);
    return true;
}

bool sj_touch_page(const struct sj_segment *segment, uint64_t at, uint64_t bytes)
{
    if (!holds(segment, at, bytes))
        return false;
    sj_touch_note(at, sizeof(uint64_t), 0, false);
    return true;
}

void sj_touch_changes(const struct sj_segment *segment)
{
    const struct sj_tx_vector *entries = &segment->tx.entries;
    for (uint32_t i = 0; trace_of_thread != NULL && i < entries->count; i++) {
        const struct sj_log_entry *entry =
            (const struct sj_log_entry *)(uintptr_t)entries->items[i];
        sj_touch_note((uint64_t)(uintptr_t)entry, sizeof *entry + entry->bytes, 0, true);
        sj_touch_note(entry->at, entry->bytes, 0, true);
    }
}
