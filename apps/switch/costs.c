// SPDX-License-Identifier: Apache-2.0
/* costs.c: switches of one process (costs.h). */
#include "apps/switch/costs.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "apps/switch/meter.h"
#include "spacejmp/hold.h"

#define PAGE 4096u

static inline int enter(struct sj_space *space, enum costs_how how)
{
    return how == COSTS_READ ? sj_enter_read(space, NULL) : sj_enter_write(space, NULL);
}

static inline void load_from(const struct sj_space *space)
{
    (void)*(const volatile uint64_t *)space->segment->base;
}

/* Leaves the first `count`, the last one first. */
static int leave_all(struct sj_space *const *spaces, uint32_t count)
{
    int error = SJ_OK;
    while (count-- > 0) {
        int left = sj_leave(spaces[count]);
        error = error == SJ_OK ? left : error;
    }
    return error;
}

static int enter_all(struct sj_space *const *spaces, uint32_t count, enum costs_how how)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = enter(spaces[i], how);
        if (error != SJ_OK) {
            (void)leave_all(spaces, i);
            return error;
        }
    }
    return SJ_OK;
}

int costs_spaces(struct sj_space *const *spaces, uint32_t count, enum costs_how how,
                 struct costs *costs)
{
    int error = how == COSTS_HELD ? enter_all(spaces, count, COSTS_WRITE) : SJ_OK;
    if (error != SJ_OK)
        return error;
    uint32_t next = 0;
    struct meter meter = meter_begin();
    for (uint64_t i = 0; i < costs->switches; i++) {
        struct sj_space *space = spaces[next];
        next = next + 1 < count ? next + 1 : 0;
        error = enter(space, how);
        if (error != SJ_OK)
            break;
        load_from(space);
        error = sj_leave(space);
        if (error != SJ_OK)
            break;
    }
    meter_end(&meter, costs);
    int left = how == COSTS_HELD ? leave_all(spaces, count) : SJ_OK;
    return error == SJ_OK ? left : error;
}

int costs_together(struct sj_space *const *spaces, uint32_t count, enum costs_how how,
                   struct costs *costs)
{
    int error = SJ_OK;
    struct meter meter = meter_begin();
    for (uint64_t i = 0; error == SJ_OK && i < costs->switches; i++) {
        error = enter_all(spaces, count, how);
        if (error == SJ_OK) {
            load_from(spaces[count - 1]);
            error = leave_all(spaces, count);
        }
    }
    meter_end(&meter, costs);
    return error;
}

int costs_vases(struct sj_vas *const *vases, uint32_t count, struct costs *costs)
{
    uint32_t stops = count == 1 ? 2 : count, next = 0; /* the second of two: nowhere */
    int error = SJ_OK;
    struct meter meter = meter_begin();
    for (uint64_t i = 0; error == SJ_OK && i < costs->switches; i++) {
        error = sj_vas_switch(next < count ? vases[next] : NULL, 0, NULL);
        next = next + 1 < stops ? next + 1 : 0;
    }
    meter_end(&meter, costs);
    int left = sj_vas_switch(NULL, 0, NULL);
    return error == SJ_OK ? left : error;
}

int costs_touch(struct sj_space *space, void *at, uint64_t bytes)
{
    int error = sj_enter_write(space, NULL);
    if (error != SJ_OK)
        return error;
    for (uint64_t i = 0; i < bytes; i += PAGE)
        *((volatile char *)at + i) = 1;
    return sj_leave(space);
}

/* ------------------------------------------------------------------ the kernel's other ways */

static int failed(const char *call, uint64_t bytes)
{
    return sj_error(SJ_ENOMEM, "%s of %llu bytes: %s", call, (unsigned long long)bytes,
                    strerror(errno));
}

static void *map(void *at, int fd, uint64_t bytes)
{
    return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at == NULL ? 0 : MAP_FIXED), fd,
                0);
}

/* Writes, as a program would that has the window for updates: a load would map 16 pages at once. */
static void refault_all(char *at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += PAGE) {
        volatile char *byte = at + i;
        *byte = *byte;
    }
}

int costs_maps(const int fd[2], uint64_t bytes, bool refault, struct costs *costs)
{
    char *at = map(NULL, fd[0], bytes);
    if (at == MAP_FAILED)
        return failed("mmap", bytes);
    int error = SJ_OK;
    struct meter meter = meter_begin();
    for (uint64_t i = 0; i < costs->switches; i++) {
        if (munmap(at, bytes) != 0 || map(at, fd[(i + 1) % 2], bytes) == MAP_FAILED) {
            error = failed("mmap", bytes);
            break;
        }
        if (refault)
            refault_all(at, bytes);
        else
            (void)*(volatile char *)at;
    }
    meter_end(&meter, costs);
    munmap(at, bytes);
    return error;
}

int costs_rights(const int fd[2], uint64_t bytes, struct costs *costs)
{
    char *at[2] = {map(NULL, fd[0], bytes), map(NULL, fd[1], bytes)};
    int error = at[0] == MAP_FAILED || at[1] == MAP_FAILED ? failed("mmap", bytes) : SJ_OK;
    if (error == SJ_OK) {
        refault_all(at[0], bytes);
        refault_all(at[1], bytes);
    }
    struct meter meter = meter_begin();
    for (uint64_t i = 0; error == SJ_OK && i < costs->switches; i++) {
        char *out = at[i % 2], *in = at[(i + 1) % 2];
        if (mprotect(out, bytes, PROT_NONE) != 0 ||
            mprotect(in, bytes, PROT_READ | PROT_WRITE) != 0)
            error = failed("mprotect", bytes);
        else
            (void)*(volatile char *)in;
    }
    meter_end(&meter, costs);
    for (uint32_t i = 0; i < 2; i++)
        if (at[i] != MAP_FAILED)
            munmap(at[i], bytes);
    return error;
}
