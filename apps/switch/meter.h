// SPDX-License-Identifier: Apache-2.0
/*
 * meter.h: how long a loop takes.
 *
 * Loops of one thread are told by its CPU clock, which leaves out the time that others had the CPU.
 * Ticks of the time stamp counter go on meanwhile, so they are told by their rate.
 */
#ifndef SJ_APPS_SWITCH_METER_H
#define SJ_APPS_SWITCH_METER_H

#include <stdint.h>
#include <time.h>

#include "apps/switch/costs.h"

struct meter {
    int64_t wall_ns;
    int64_t cpu_ns;
    uint64_t ticks;
};

static inline uint64_t meter_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static inline int64_t meter_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline struct meter meter_begin(void)
{
    return (struct meter){
        .wall_ns = meter_clock(CLOCK_MONOTONIC),
        .cpu_ns = meter_clock(CLOCK_THREAD_CPUTIME_ID),
        .ticks = meter_ticks(),
    };
}

/* By the clock on the wall: for what waits for another process. */
static inline void meter_end_wall(const struct meter *begun, struct costs *costs)
{
    struct meter now = meter_begin();
    costs->ns = now.wall_ns - begun->wall_ns;
    costs->ticks = now.ticks - begun->ticks;
}

static inline void meter_end(const struct meter *begun, struct costs *costs)
{
    struct meter now = meter_begin();
    double wall_ns = (double)(now.wall_ns - begun->wall_ns);
    costs->ns = now.cpu_ns - begun->cpu_ns;
    if (wall_ns > 0)
        costs->ticks = (uint64_t)((double)(now.ticks - begun->ticks) * (double)costs->ns / wall_ns);
}

#endif
