// SPDX-License-Identifier: Apache-2.0
/* wait.c: deadlines and interrupts of waits (wait.h has the contract). */
#include "spacejmp/wait.h"

#include <stddef.h>
#include <time.h>

int64_t sj_wait_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int64_t sj_wait_deadline(const struct sj_wait *wait)
{
    if (wait->timeout_s < 0 || wait->timeout_s > 1e9)
        return SJ_WAIT_NEVER;
    return sj_wait_now_ns() + (int64_t)(wait->timeout_s * 1e9);
}

int sj_wait_go_on(const struct sj_wait *wait, int64_t deadline)
{
    if (wait->poll != NULL && wait->poll(wait->context) != 0)
        return sj_error(SJ_EINTR, "a signal ended the wait for a lock");
    if (deadline != SJ_WAIT_NEVER && sj_wait_now_ns() >= deadline)
        return sj_error(SJ_EBUSY,
                        "others held the space for %.3g s: try again, or wait longer "
                        "with timeout=",
                        wait->timeout_s);
    return SJ_OK;
}
