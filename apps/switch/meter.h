// SPDX-License-Identifier: Apache-2.0
/* meter.h: how long a loop takes, by the clock and in ticks. */
#ifndef SJ_APPS_SWITCH_METER_H
#define SJ_APPS_SWITCH_METER_H

#include <stdint.h>
#include <time.h>

#include "apps/switch/costs.h"

struct meter {
    int64_t ns;
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

static inline struct meter meter_begin(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (struct meter){now.tv_sec * 1000000000ll + now.tv_nsec, meter_ticks()};
}

static inline void meter_end(const struct meter *begun, struct costs *costs)
{
    struct meter now = meter_begin();
    costs->ns = now.ns - begun->ns;
    costs->ticks = now.ticks - begun->ticks;
}

#endif
