// SPDX-License-Identifier: Apache-2.0
/* explore_trace.c: recording, undoing and redoing (explore_trace.h). */
#include "explore_trace.h"

#include <stdlib.h>

#include "persistence/seam.h"

struct trace_sum trace_sum;
struct trace_area trace_area;
struct trace *trace_current;

void trace_add(struct trace *trace, enum trace_kind kind, uint64_t at, uint64_t value)
{
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity == 0 ? 256 : 2 * trace->capacity;
        trace->event = realloc(trace->event, trace->capacity * sizeof *trace->event);
        if (trace->event == NULL)
            abort();
    }
    struct trace_event *event = &trace->event[trace->count++];
    *event = (struct trace_event){.at = at, .value = value, .kind = kind};
    if (kind == TRACE_STORE)
        event->old = *(uint64_t *)(uintptr_t)at;
}

static void hook(enum sj_seam_event event, void *at, uint64_t value)
{
    uint64_t address = (uint64_t)(uintptr_t)at;
    if (trace_current == NULL)
        return;
    switch (event) {
    case SJ_SEAM_STORE:
        if (*(uint64_t *)at == value)
            return; /* the media cannot tell */
        trace_add(trace_current, TRACE_STORE, address, value);
        trace_sum_change(address, *(uint64_t *)at, value);
        return;
    case SJ_SEAM_FLUSH:
        trace_add(trace_current, TRACE_FLUSH, address, value);
        return;
    case SJ_SEAM_FENCE:
        trace_add(trace_current, TRACE_FENCE, 0, 0);
        return;
    }
}

void trace_install(void)
{
    sj_seam_hook = hook;
}

void trace_undo(const struct trace *trace)
{
    for (uint32_t i = trace->count; i > 0; i--)
        if (trace->event[i - 1].kind == TRACE_STORE)
            trace_poke(trace->event[i - 1].at, trace->event[i - 1].old);
}

void trace_redo(const struct trace *trace)
{
    for (uint32_t i = 0; i < trace->count; i++)
        if (trace->event[i].kind == TRACE_STORE)
            trace_poke(trace->event[i].at, trace->event[i].value);
}
