// SPDX-License-Identifier: Apache-2.0
/*
 * guard.c: the SIGBUS handler and its table of ranges (guard.h has the contract).
 *
 *   ranges ─→ [first, bytes, lost, owner] ─→ [0: free] ─→ …      only ever grows, at its head
 *
 *   fault ─→ on_sigbus ─→ the range has it ─→ lost(): other pages, the access is repeated
 *                       └ none has it      ─→ the handler before ours, or SIG_DFL
 *
 * I1  A node is never freed, and its `first` is stored last when it is taken, first when it is
 *     given back: the handler, which takes no lock, finds a range whole or not at all.
 * I2  previous[0 … installs) are the actions that ours has been put over, the oldest first. Before
 *     one of them is called it is the kernel's again, and ours comes back when it is still there
 *     afterwards: a handler that gives way to the one before itself (as faulthandler's does, to
 *     end the process) may find ours there, which then goes on with the next older one.
 */
#include "persistence/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "persistence/error.h"

#define INSTALLS_MAX 8

struct sj_guard_range {
    uint64_t first; /* 0: the node is free */
    uint64_t bytes;
    sj_guard_lost *lost;
    void *owner;
    struct sj_guard_range *next;
};

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* of the table; not of the handler */
static struct sj_guard_range *ranges;
static struct sigaction previous[INSTALLS_MAX];
static int installs;
static uint64_t page_bytes;

/* ------------------------------------------------------------------ pages */

uint64_t sj_guard_page_of(uint64_t at)
{
    return at & ~(page_bytes - 1);
}

uint64_t sj_guard_backed(int fd, uint64_t bytes)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return 0;
    uint64_t size = sj_guard_page_of((uint64_t)status.st_size + page_bytes - 1);
    return size < bytes ? size : bytes;
}

/* Not mmap(), which a sanitizer or a debugger may have put something else in the place of. */
static bool put(uint64_t first, uint64_t bytes, int flags, int fd)
{
    if (bytes == 0)
        return true;
    long got = syscall(SYS_mmap, first, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | flags, fd, 0l);
    if (got == -1)
        return false;
    syscall(SYS_madvise, first, bytes, MADV_DONTDUMP);
    return true;
}

bool sj_guard_zero(uint64_t first, uint64_t bytes)
{
    return put(first, bytes, MAP_ANONYMOUS, -1);
}

bool sj_guard_zero_page(uint64_t at)
{
    return sj_guard_zero(sj_guard_page_of(at), page_bytes);
}

bool sj_guard_copy(uint64_t first, uint64_t bytes, int fd)
{
    return put(first, bytes, 0, fd);
}

/* ------------------------------------------------------------------ the handler */

/* Whether a range has the address, and has put a page there. */
static bool repair(uint64_t at)
{
    struct sj_guard_range *range = __atomic_load_n(&ranges, __ATOMIC_ACQUIRE);
    for (; range != NULL; range = range->next) {
        uint64_t first = __atomic_load_n(&range->first, __ATOMIC_ACQUIRE);
        if (first != 0 && at - first < range->bytes)
            return range->lost(range->owner, at);
    }
    return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context);

/* sa_mask: nothing else runs while pages are being replaced. */
static void put_ours_in_place(void)
{
    struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, NULL);
}

static void end_process(const siginfo_t *info)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &standard, NULL);
    if (info->si_code <= 0) /* sent by kill(): no instruction is going to fault again */
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGBUS);
}

/* What is not ours goes to whom it would have gone without us (I2). */
static void pass_on(int number, siginfo_t *info, void *context)
{
    int top = __atomic_load_n(&installs, __ATOMIC_ACQUIRE) - 1;
    struct sigaction before = {.sa_handler = SIG_DFL}, now;
    if (top >= 0)
        before = previous[top];
    bool full = (before.sa_flags & SA_SIGINFO) != 0;
    if (!full && before.sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (!full && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN)) {
        end_process(info);
        return;
    }
    __atomic_store_n(&installs, top, __ATOMIC_RELEASE);
    sigaction(SIGBUS, &before, NULL);
    if (full)
        before.sa_sigaction(number, info, context);
    else
        before.sa_handler(number);
    sigaction(SIGBUS, NULL, &now);
    if (now.sa_sigaction == before.sa_sigaction) {
        __atomic_store_n(&installs, top + 1, __ATOMIC_RELEASE);
        put_ours_in_place();
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int before = errno;
    bool lost_page = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR ||
                     info->si_code == BUS_MCEERR_AR;
    if (!lost_page || !repair((uint64_t)(uintptr_t)info->si_addr))
        pass_on(number, info, context);
    errno = before;
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&changing, NULL); /* a thread of the parent may have had it */
}

/* With `changing`: ours is the first that the kernel calls. */
static void install(void)
{
    struct sigaction now;
    if (page_bytes == 0)
        pthread_atfork(NULL, NULL, after_fork_in_child);
    sigaction(SIGBUS, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_sigbus)
        return;
    page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    int top = installs < INSTALLS_MAX ? installs : INSTALLS_MAX - 1;
    previous[top] = now;
    __atomic_store_n(&installs, top + 1, __ATOMIC_RELEASE);
    put_ours_in_place();
}

/* ------------------------------------------------------------------ the table */

int sj_guard_add(const void *first, uint64_t bytes, sj_guard_lost *lost, void *owner)
{
    int error = SJ_OK;
    pthread_mutex_lock(&changing);
    struct sj_guard_range *range = ranges;
    while (range != NULL && range->first != 0)
        range = range->next;
    if (range == NULL && (range = calloc(1, sizeof *range)) != NULL) {
        range->next = ranges;
        __atomic_store_n(&ranges, range, __ATOMIC_RELEASE);
    }
    if (range == NULL) {
        error = sj_error(SJ_ENOMEM, "the table of guarded ranges");
    } else {
        install();
        range->bytes = bytes;
        range->lost = lost;
        range->owner = owner;
        __atomic_store_n(&range->first, (uint64_t)(uintptr_t)first, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&changing);
    return error;
}

void sj_guard_remove(const void *first)
{
    pthread_mutex_lock(&changing);
    for (struct sj_guard_range *range = ranges; range != NULL; range = range->next)
        if (range->first == (uint64_t)(uintptr_t)first)
            __atomic_store_n(&range->first, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&changing);
}

struct sj_guard_range *sj_guard_find(const void *first)
{
    pthread_mutex_lock(&changing);
    struct sj_guard_range *range = ranges;
    while (range != NULL && range->first != (uint64_t)(uintptr_t)first)
        range = range->next;
    pthread_mutex_unlock(&changing);
    return range;
}

void sj_guard_move(struct sj_guard_range *range, const void *to)
{
    __atomic_store_n(&range->first, (uint64_t)(uintptr_t)to, __ATOMIC_RELEASE);
}
