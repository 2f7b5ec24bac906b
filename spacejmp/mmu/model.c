// SPDX-License-Identifier: Apache-2.0
/* model.c: a machine driven by a thread's events (model.h has the contract). */
#include "spacejmp/mmu/model.h"

#include <stdlib.h>
#include <string.h>

#include "spacejmp/hold.h"

#define RECORDS 8192 /* of a model's trace, between two drains */

static __thread struct sj_mmu_model *model_of_thread;

static void failed(struct sj_mmu_model *model, int error)
{
    if (model->error == SJ_OK)
        model->error = error;
}

static uint64_t page_end(uint64_t bytes)
{
    return (bytes + sj_page_span(1) - 1) & ~(sj_page_span(1) - 1);
}

static struct sj_mmu_space *find(struct sj_mmu_model *model, const struct sj_space *space)
{
    for (uint32_t i = model->spaces; i-- > 0;)
        if (model->space[i].space == space)
            return &model->space[i];
    return NULL;
}

/* ------------------------------------------------------------------ what was touched */

/* Maps what was committed since, by anyone. */
static void grow(struct sj_mmu_model *model, const struct sj_mmu_space *known)
{
    uint64_t committed = page_end(sj_segment_committed(known->space->segment));
    if (committed <= model->machine->segment[known->segment].bytes)
        return;
    model->events[SJ_MMU_GROW]++;
    int error = sj_mmu_segment_grow(model->machine, known->segment, committed, NULL);
    if (error != SJ_OK)
        failed(model, error);
}

void sj_mmu_model_drain(struct sj_mmu_model *model)
{
    struct sj_touch_trace *trace = &model->trace;
    for (uint32_t i = 0; i < model->spaces && trace->used > 0; i++)
        if (model->space[i].space != NULL)
            grow(model, &model->space[i]);
    for (size_t i = 0; i < trace->used; i++) {
        const struct sj_touch *touch = &trace->record[i];
        uint64_t page = sj_page_span(1), end = touch->at + (touch->bytes > 0 ? touch->bytes : 1);
        for (uint64_t at = touch->at; at < end; at = (at & ~(page - 1)) + page)
            sj_mmu_access(model->machine, at, touch->write != 0);
    }
    trace->used = 0;
}

static void trace_is_full(struct sj_touch_trace *trace)
{
    sj_mmu_model_drain(trace->context);
}

/* ------------------------------------------------------------------ parking */

/* Moves what the process has to where it is by now; `home`: those that went home, else the
 * others. */
static void move_all(struct sj_mmu_model *model, bool home)
{
    for (uint32_t i = 0; i < model->spaces; i++) {
        struct sj_mmu_space *known = &model->space[i];
        if (known->space == NULL)
            continue;
        const struct sj_mmu_segment *segment = &model->machine->segment[known->segment];
        uint64_t now = __atomic_load_n(&known->space->segment->mapped_at, __ATOMIC_RELAXED);
        if (now == known->at || (now == segment->base) != home)
            continue;
        model->events[SJ_MMU_PARK]++;
        int error =
            sj_mmu_move(model->machine, model->process, known->at, now, segment->reserved, NULL);
        if (error != SJ_OK)
            failed(model, error);
        known->at = now;
    }
}

/* Who goes home may need the place of one that is parked: those first. */
static void follow(struct sj_mmu_model *model)
{
    sj_mmu_model_drain(model);
    move_all(model, false);
    move_all(model, true);
}

/* ------------------------------------------------------------------ events */

/* The process links tables of at most level 2, so that they can be parked at any whole GiB. */
static void link_small(struct sj_mmu *machine, uint32_t number, uint64_t reserved)
{
    struct sj_mmu_segment *segment = &machine->segment[number];
    if (segment->linked > 2) {
        segment->linked = 2;
        segment->reserved = reserved;
    }
}

static int attach(struct sj_mmu_model *model, const struct sj_space *space)
{
    if (model->spaces == SJ_MMU_SPACES_MAX)
        return sj_error(SJ_EINVAL, "a model sees at most %d spaces", SJ_MMU_SPACES_MAX);
    const struct sj_segment *segment = space->segment;
    struct sj_mmu *machine = model->machine;
    uint64_t base = (uint64_t)(uintptr_t)segment->base;
    struct sj_mmu_space made = {.space = space, .at = base};
    memcpy(made.name, segment->name, sizeof made.name);
    int error = sj_mmu_vas_create(machine, &made.vas);
    if (error == SJ_OK)
        error = sj_mmu_segment_create(machine, base, page_end(sj_segment_committed(segment)),
                                      segment->reserved, 1, &made.segment);
    if (error == SJ_OK)
        link_small(machine, made.segment, segment->reserved);
    if (error == SJ_OK)
        error = sj_mmu_link(machine, made.vas, made.segment, true, NULL);
    if (error == SJ_OK)
        error = sj_mmu_link(machine, model->process, made.segment, true, NULL);
    made.tag = model->tagged ? 1 + made.vas % (SJ_TLB_TAGS - 1) : 0;
    if (error == SJ_OK)
        model->space[model->spaces++] = made;
    return error;
}

void sj_mmu_on_attach(const struct sj_space *space)
{
    struct sj_mmu_model *model = model_of_thread;
    if (model == NULL || find(model, space) != NULL)
        return;
    follow(model);
    model->events[SJ_MMU_ATTACH]++;
    int error = attach(model, space);
    if (error != SJ_OK)
        failed(model, error);
}

void sj_mmu_on_detach(const struct sj_space *space)
{
    struct sj_mmu_model *model = model_of_thread;
    struct sj_mmu_space *known = model == NULL ? NULL : find(model, space);
    if (known == NULL)
        return;
    sj_mmu_model_drain(model);
    model->events[SJ_MMU_DETACH]++;
    const struct sj_mmu_segment *segment = &model->machine->segment[known->segment];
    uint32_t vases[] = {known->vas, model->process};
    for (uint32_t i = 0; i < 2; i++) {
        int error = sj_mmu_unmap(model->machine, vases[i], segment->base, segment->reserved, NULL);
        if (error != SJ_OK)
            failed(model, error);
    }
    known->space = NULL;
}

void sj_mmu_on_switch(const struct sj_space *space)
{
    struct sj_mmu_model *model = model_of_thread;
    if (model == NULL)
        return;
    follow(model);
    model->events[SJ_MMU_SWITCH]++;
    const struct sj_mmu_space *known = space == NULL ? NULL : find(model, space);
    uint32_t tag = model->tagged ? 1 + model->process : 0;
    int error = known != NULL ? sj_mmu_switch(model->machine, known->vas, known->tag)
                              : sj_mmu_switch(model->machine, model->process, tag);
    if (error != SJ_OK)
        failed(model, error);
}

void sj_mmu_on_grow(const struct sj_space *space)
{
    struct sj_mmu_model *model = model_of_thread;
    const struct sj_mmu_space *known = model == NULL ? NULL : find(model, space);
    if (known != NULL)
        grow(model, known);
}

void sj_mmu_on_park(void)
{
    if (model_of_thread != NULL)
        follow(model_of_thread);
}

/* ------------------------------------------------------------------ begin, end */

/* Those that are parked are so at once, in the place of others. */
static void attach_one(struct sj_space *space, void *context)
{
    struct sj_mmu_model *model = context;
    int error = attach(model, space);
    if (error != SJ_OK)
        failed(model, error);
    follow(model);
}

static int begin(struct sj_mmu_model *model)
{
    uint32_t process;
    int error = sj_mmu_vas_create(model->machine, &process);
    if (error != SJ_OK)
        return error;
    model->process = process;
    error = sj_touch_begin(&model->trace);
    if (error != SJ_OK)
        return error;
    error = sj_hold_watch(true);
    if (error != SJ_OK) {
        sj_touch_end(&model->trace);
        return error;
    }
    sj_space_each(attach_one, model);
    sj_space_watch(true);
    model_of_thread = model;
    sj_mmu_on_switch(NULL);
    model->events[SJ_MMU_SWITCH] = 0;
    return SJ_OK;
}

int sj_mmu_model_begin(struct sj_mmu *machine, bool tagged, struct sj_mmu_model **begun)
{
    if (model_of_thread != NULL)
        return sj_error(SJ_EBUSY, "the thread has a model already: end that first");
    struct sj_mmu_model *model = calloc(1, sizeof *model);
    struct sj_touch *record = calloc(RECORDS, sizeof *record);
    if (model == NULL || record == NULL) {
        free(model);
        free(record);
        return sj_error(SJ_ENOMEM, "a model");
    }
    model->machine = machine;
    model->tagged = tagged;
    model->trace = (struct sj_touch_trace){record, 0, RECORDS, 0, trace_is_full, model};
    int error = begin(model);
    if (error != SJ_OK) {
        sj_mmu_model_destroy(model);
        return error;
    }
    *begun = model;
    return SJ_OK;
}

int sj_mmu_model_end(struct sj_mmu_model *model)
{
    if (model_of_thread != model)
        return sj_error(SJ_ENOHOLD, "a model ends in the thread that began it");
    int error = sj_hold_watch(false);
    if (error != SJ_OK)
        return error;
    sj_mmu_model_drain(model);
    model_of_thread = NULL;
    sj_touch_end(&model->trace);
    sj_space_watch(false);
    return SJ_OK;
}

void sj_mmu_model_destroy(struct sj_mmu_model *model)
{
    free(model->trace.record);
    free(model);
}

int sj_mmu_trace_begin(struct sj_touch_trace *trace)
{
    int error = sj_touch_begin(trace);
    if (error == SJ_OK)
        sj_space_watch(true);
    return error;
}

int sj_mmu_trace_end(struct sj_touch_trace *trace)
{
    int error = sj_touch_end(trace);
    if (error == SJ_OK)
        sj_space_watch(false);
    return error;
}

void sj_mmu_forked(void)
{
    model_of_thread = NULL;
    sj_touch_forked();
}
