// SPDX-License-Identifier: Apache-2.0
/*
 * wait.h: how long a caller waits for others, and what can end the wait.
 */
#ifndef SJ_SPACEJMP_WAIT_H
#define SJ_SPACEJMP_WAIT_H

#include <stdint.h>

#include "persistence/error.h"

/* How a wait goes on: called about every 50 ms while waiting; nonzero ends the wait with
 * SJ_EINTR. */
typedef int sj_lock_poll(void *context);

struct sj_wait {
    double timeout_s;   /* < 0: for ever */
    sj_lock_poll *poll; /* or NULL */
    void *context;
};

#define SJ_WAIT_SLICE_NS 50000000ll /* how often a wait polls */
#define SJ_WAIT_NEVER    INT64_MAX

int64_t sj_wait_now_ns(void);

/* When the wait ends, by the monotonic clock in nanoseconds; SJ_WAIT_NEVER. */
SJ_API int64_t sj_wait_deadline(const struct sj_wait *wait);

/* Between two slices of a wait: SJ_OK to go on, SJ_EINTR, SJ_EBUSY. */
int sj_wait_go_on(const struct sj_wait *wait, int64_t deadline);

#endif
