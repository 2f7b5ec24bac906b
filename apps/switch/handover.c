// SPDX-License-Identifier: Apache-2.0
/*
 * handover.c: to another process and back, as the kernel lets one wait for the other.
 *
 *   futex   a word for each side, which the other one stores and wakes
 *   pipe    a byte
 *
 * The other process ends with the caller's thread, or when it is told to.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/switch/costs.h"
#include "apps/switch/meter.h"

static int failed(const char *call)
{
    return sj_error(SJ_EIO, "%s: %s", call, strerror(errno));
}

/* Pins a process to the CPU of that number among those that are allowed, or to the last one. */
static void pin(pid_t process, int number, const cpu_set_t *allowed)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && number >= 0; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        number--;
    }
    sched_setaffinity(process, sizeof one, &one);
}

/* How one side gives to the other, and takes from it. */
struct way {
    uint32_t *to; /* words; or NULL, and descriptors */
    uint32_t *from;
    int out;
    int in;
    uint32_t turn;
    pid_t other; /* a child that may have died; or 0 */
};

static bool give(const struct way *way)
{
    char byte = 0;
    if (way->to == NULL)
        return write(way->out, &byte, 1) == 1;
    __atomic_store_n(way->to, way->turn, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, way->to, FUTEX_WAKE, 1, NULL, NULL, 0);
    return true;
}

static bool take(const struct way *way)
{
    static const struct timespec second = {1, 0};
    char byte;
    if (way->from == NULL)
        return read(way->in, &byte, 1) == 1;
    uint32_t seen;
    while ((seen = __atomic_load_n(way->from, __ATOMIC_SEQ_CST)) != way->turn)
        if (syscall(SYS_futex, way->from, FUTEX_WAIT, seen, &second, NULL, 0) != 0 &&
            errno == ETIMEDOUT && way->other != 0 && kill(way->other, 0) != 0)
            return false;
    return true;
}

__attribute__((noreturn)) static void answer(struct way *way, pid_t caller)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    if (getppid() != caller)
        _exit(1);
    do
        way->turn++;
    while (take(way) && give(way));
    _exit(0);
}

/* There and back, for each two switches. */
static int call(struct way *here, struct way *there, bool together, struct costs *costs)
{
    cpu_set_t allowed;
    pid_t caller = getpid(), child = fork();
    if (child == 0)
        answer(there, caller);
    if (child < 0)
        return failed("fork");
    here->other = child;
    sched_getaffinity(0, sizeof allowed, &allowed);
    pin(0, 0, &allowed);
    pin(child, together ? 0 : 1, &allowed);
    bool ok = true;
    struct meter meter = meter_begin();
    for (uint64_t i = 0; ok && i < costs->switches; i += 2) {
        here->turn++;
        ok = give(here) && take(here);
    }
    meter_end_wall(&meter, costs);
    int error = ok ? SJ_OK : failed("handing over");
    sched_setaffinity(0, sizeof allowed, &allowed);
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return error;
}

int costs_futex(bool together, struct costs *costs)
{
    uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED)
        return failed("mmap");
    struct way here = {.to = word, .from = word + 32}, there = {.to = word + 32, .from = word};
    int error = call(&here, &there, together, costs);
    munmap(word, 4096);
    return error;
}

int costs_pipe(bool together, struct costs *costs)
{
    int to[2], back[2];
    if (pipe(to) != 0)
        return failed("pipe");
    if (pipe(back) != 0) {
        int error = failed("pipe");
        close(to[0]);
        close(to[1]);
        return error;
    }
    struct way here = {.out = to[1], .in = back[0]}, there = {.out = back[1], .in = to[0]};
    int error = call(&here, &there, together, costs);
    for (uint32_t i = 0; i < 2; i++) {
        close(to[i]);
        close(back[i]);
    }
    return error;
}
