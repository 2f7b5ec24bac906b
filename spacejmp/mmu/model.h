// SPDX-License-Identifier: Apache-2.0
/*
 * model.h: a machine (mmu.h) that is driven by what a thread really does with its spaces.
 *
 * Each attached space is a VAS of the machine, with the space's segment linked in; and there is one
 * for the process itself, which has all segments, as the real page tables of this process do.
 *
 *   event                         in the model
 *   sj_mmu_on_attach              a segment with pages for what is committed; linked into its VAS
 *                                 and into the process's
 *   sj_mmu_on_detach              unlinked from both; the VAS keeps its counts
 *   sj_mmu_on_grow                pages are mapped in the segment, for all who have it
 *   sj_mmu_on_switch              the thread entered a space, or left all: the machine switches
 *   sj_mmu_on_park                where a segment is not where it was (park.h), the process's
 *                                 tables move, as mremap does it; looked for at each switch too
 *   what is touched (touch.h)     accesses in the current VAS
 *
 * A VAS of several segments (vas.h) has no VAS of its own in the machine: while the thread is
 * inside of one, the machine is in the process's, which has all segments.
 *
 * N1  A thread has at most one model; events of other threads do not reach it.
 * N2  What was touched before an event is accessed before it.
 *
 * While a thread has a model its stack of holds has the process itself at the bottom (hold.c), so
 * that the code for nested holds, which is seldom run, is where switches are told: entering and
 * leaving cost nothing more without a model.
 *
 * Locking: a model belongs to the thread that began it. The events of attaching and detaching come
 * under the table's mutexes (space.c).
 */
#ifndef SJ_SPACEJMP_MMU_MODEL_H
#define SJ_SPACEJMP_MMU_MODEL_H

#include "persistence/touch.h"
#include "spacejmp/mmu/mmu.h"
#include "spacejmp/space.h"

#define SJ_MMU_SPACES_MAX 256 /* that a model sees attached, one after the other */

struct sj_mmu_space {
    const struct sj_space *space; /* NULL: detached since */
    uint32_t vas;
    uint32_t segment;
    uint32_t tag;
    uint64_t at; /* where the process has it: at its base, or parked */
    char name[SJ_NAME_MAX + 1];
};

struct sj_mmu_model {
    struct sj_mmu *machine;
    struct sj_touch_trace trace; /* `context` is the model */
    uint32_t process;            /* the VAS of the process itself */
    bool tagged;                 /* each VAS has a tag; else all have tag 0 */
    int error;                   /* the first of an event; SJ_OK */
    uint64_t events[5];          /* attach, detach, switch, park, grow */
    uint32_t spaces;
    struct sj_mmu_space space[SJ_MMU_SPACES_MAX];
};

enum sj_mmu_event { SJ_MMU_ATTACH, SJ_MMU_DETACH, SJ_MMU_SWITCH, SJ_MMU_PARK, SJ_MMU_GROW };

/* Begins to drive the machine, which must outlive the model, by the calling thread's events; spaces
 * that are attached already are attached to it. SJ_EBUSY: the thread has a model or a trace, or is
 * inside of a space. SJ_ENOMEM. */
SJ_API int sj_mmu_model_begin(struct sj_mmu *machine, bool tagged, struct sj_mmu_model **model);

/* Ends it, in the thread that began it: SJ_ENOHOLD elsewhere, SJ_EBUSY inside of a space. */
SJ_API int sj_mmu_model_end(struct sj_mmu_model *model);
/* Frees one that has ended, or was left behind by a fork. */
SJ_API void sj_mmu_model_destroy(struct sj_mmu_model *model);

/* Brings the machine up to date with what was touched. */
SJ_API void sj_mmu_model_drain(struct sj_mmu_model *model);

/* A trace without a machine: what the calling thread touches goes to `trace`. SJ_EBUSY. */
SJ_API int sj_mmu_trace_begin(struct sj_touch_trace *trace);
SJ_API int sj_mmu_trace_end(struct sj_touch_trace *trace);

/* In the child of a fork: there is no model, and no trace. (For space.c.) */
void sj_mmu_forked(void);

/* Events: they do nothing in a thread without a model. */
SJ_API void sj_mmu_on_attach(const struct sj_space *space);
SJ_API void sj_mmu_on_detach(const struct sj_space *space);
SJ_API void sj_mmu_on_switch(const struct sj_space *space); /* NULL: left all */
SJ_API void sj_mmu_on_park(void);
SJ_API void sj_mmu_on_grow(const struct sj_space *space);

#endif
