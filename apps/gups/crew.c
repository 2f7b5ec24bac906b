// SPDX-License-Identifier: Apache-2.0
/* crew.c: a process for each window, and the rings between them (crew.h has the rules). */
#include "apps/gups/crew.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/gups/stage.h"

#define DOZE_ROUNDS 200                           /* of pause: some microseconds */
#define SLICE_NS    100000000l                    /* of a sleep, before the others are looked at */
#define PATIENCE_NS 10000000000ll                 /* for one set */
#define QUIT        0xffffffffu                   /* in `waiting`: workers end */
#define LINE        __attribute__((aligned(128))) /* what one side stores; lines come in pairs */

struct side {
    LINE uint32_t count; /* of sets; a futex */
    uint32_t asleep;     /* the other side sleeps until `count` changes */
};

struct ring {
    struct side posted;
    struct side done;
    LINE uint64_t slots[GUPS_UPDATES_MAX];
};

/* Shared by all processes. */
struct board {
    LINE uint32_t waiting; /* enum gups_waiting, or QUIT */
    uint32_t updates;      /* of a set, in this turn */
    LINE struct ring rings[];
};

struct gups_crew {
    struct board *board;
    uint64_t board_bytes;
    uint32_t count;
    pid_t *process;    /* 0: none */
    uint32_t *applied; /* for each window: sets that the caller has applied itself or waited for */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline uint32_t look(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Adds one, and wakes the other side if it sleeps (I3). */
static inline void advance(struct side *side)
{
    __atomic_add_fetch(&side->count, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&side->asleep, __ATOMIC_SEQ_CST) != 0)
        wake(&side->count);
}

/* Sleeps until the count is not `seen` any more, somebody calls, or the slice (or NULL) is over. */
static void sleep_on(struct side *side, uint32_t seen, const struct timespec *slice)
{
    __atomic_store_n(&side->asleep, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&side->count, __ATOMIC_SEQ_CST) == seen)
        syscall(SYS_futex, &side->count, FUTEX_WAIT, seen, slice, NULL, 0);
    __atomic_store_n(&side->asleep, 0, __ATOMIC_RELAXED);
}

/* One more look, of the kind that `waiting` says. */
static void wait_once(struct side *side, uint32_t seen, uint32_t waiting,
                      const struct timespec *slice)
{
    if (waiting == GUPS_SPIN) {
        relax();
    } else if (waiting == GUPS_YIELD) {
        sched_yield();
    } else {
        for (uint32_t i = 0; waiting == GUPS_DOZE && i < DOZE_ROUNDS; i++) {
            if (look(&side->count) != seen)
                return;
            relax();
        }
        sleep_on(side, seen, slice);
    }
}

/* ------------------------------------------------------------------ a worker */

__attribute__((noreturn)) static void work(struct board *board, struct ring *ring, uint64_t *table,
                                           uint64_t mask)
{
    uint32_t done = 0;
    for (;;) {
        uint32_t posted = look(&ring->posted.count), waiting = look(&board->waiting);
        if (waiting == QUIT)
            _exit(0);
        if (posted == done) {
            wait_once(&ring->posted, done, waiting, NULL);
            continue;
        }
        uint32_t updates = board->updates, slots = GUPS_UPDATES_MAX / updates;
        gups_apply(table, mask, &ring->slots[done % slots * updates], updates);
        done++;
        advance(&ring->done);
    }
}

__attribute__((noreturn)) static void begin_to_work(const struct gups_window *window,
                                                    uint64_t words, struct board *board,
                                                    struct ring *ring, pid_t caller)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != caller)
        _exit(1);
    signal(SIGINT, SIG_IGN); /* the caller ends the turn, and the crew */
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    uint64_t bytes = window->offset + words * sizeof(uint64_t);
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, window->fd, 0);
    if (at == MAP_FAILED)
        _exit(1);
    gups_populate(at + window->offset, words * sizeof(uint64_t));
    work(board, ring, (uint64_t *)(at + window->offset), words - 1);
}

/* ------------------------------------------------------------------ the crew */

int gups_crew_start(const struct gups_window *windows, uint32_t count, uint64_t words,
                    struct gups_crew **crew)
{
    struct gups_crew *made = calloc(1, sizeof *made);
    uint64_t bytes = sizeof(struct board) + count * sizeof(struct ring);
    void *board = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t caller = getpid();
    if (made != NULL) {
        made->process = calloc(count, sizeof *made->process);
        made->applied = calloc(count, sizeof *made->applied);
    }
    if (made == NULL || board == MAP_FAILED || made->process == NULL || made->applied == NULL) {
        if (board != MAP_FAILED)
            munmap(board, bytes);
        if (made != NULL) {
            free(made->process);
            free(made->applied);
        }
        free(made);
        return sj_error(SJ_ENOMEM, "rings of %u windows", count);
    }
    made->board = board;
    made->board_bytes = bytes;
    made->count = count;
    for (uint32_t i = 1; i < count; i++) {
        pid_t child = fork();
        if (child == 0)
            begin_to_work(&windows[i], words, board, &made->board->rings[i], caller);
        if (child < 0) {
            int reason = errno;
            gups_crew_stop(made);
            return sj_error(SJ_ENOMEM, "fork of process %u of %u: %s: use fewer --windows", i,
                            count - 1, strerror(reason));
        }
        made->process[i] = child;
    }
    *crew = made;
    return SJ_OK;
}

void gups_crew_stop(struct gups_crew *crew)
{
    __atomic_store_n(&crew->board->waiting, QUIT, __ATOMIC_SEQ_CST);
    for (uint32_t i = 1; i < crew->count; i++)
        advance(&crew->board->rings[i].posted); /* not a set: it comes after QUIT */
    for (uint32_t i = 1; i < crew->count; i++)
        while (crew->process[i] != 0 && waitpid(crew->process[i], NULL, 0) < 0 && errno == EINTR)
            ;
    munmap(crew->board, crew->board_bytes);
    free(crew->process);
    free(crew->applied);
    free(crew);
}

int gups_crew_process(const struct gups_crew *crew, uint32_t window)
{
    return window > 0 && window < crew->count && crew->process[window] != 0 ? crew->process[window]
                                                                            : -1;
}

/* ------------------------------------------------------------------ a turn */

/* Where the CPUs of the process, `allowed`, are for the caller (place 0) and worker `place`. */
static void place(pid_t process, uint32_t place, bool together, const cpu_set_t *allowed)
{
    uint32_t cpus = (uint32_t)CPU_COUNT(allowed), wanted = 0;
    if (!together && place > 0 && cpus > 1)
        wanted = 1 + (place - 1) % (cpus - 1);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && wanted-- == 0)
            CPU_SET(cpu, &one);
    sched_setaffinity(process, sizeof one, &one);
}

/* CPU time of the workers of a course. */
static int64_t workers_ns(const struct gups_crew *crew, uint32_t windows)
{
    int64_t all = 0;
    for (uint32_t i = 1; i < windows; i++) {
        struct timespec time;
        clockid_t clock;
        if (clock_getcpuclockid(crew->process[i], &clock) == 0 && clock_gettime(clock, &time) == 0)
            all += time.tv_sec * 1000000000ll + time.tv_nsec;
    }
    return all;
}

static int has_died(struct gups_crew *crew, uint32_t window)
{
    crew->process[window] = 0;
    return sj_error(SJ_EIO, "the process of window %u has died in a turn: run it again", window);
}

/* Waits until the worker has applied `count` sets. */
static int wait_done(struct gups_crew *crew, uint32_t window, uint32_t count, uint32_t waiting)
{
    static const struct timespec slice = {0, SLICE_NS};
    struct side *done = &crew->board->rings[window].done;
    int64_t begun = 0;
    for (uint32_t round = 1;; round++) {
        uint32_t seen = look(&done->count);
        if ((int32_t)(seen - count) >= 0)
            return SJ_OK;
        wait_once(done, seen, waiting, &slice);
        if (round % (waiting <= GUPS_DOZE ? 1 : 4096) != 0)
            continue;
        int64_t now = gups_now_ns();
        begun = begun == 0 ? now : begun;
        if (now - begun < SLICE_NS)
            continue;
        if (waitpid(crew->process[window], NULL, WNOHANG) != 0)
            return has_died(crew, window);
        if (now - begun > PATIENCE_NS)
            return sj_error(SJ_EIO, "the process of window %u did not apply a set in 10 s", window);
    }
}

static void post(struct gups_crew *crew, struct gups_course *course)
{
    struct ring *ring = &crew->board->rings[course->window];
    uint32_t slots = GUPS_UPDATES_MAX / course->updates;
    gups_draw(course, &ring->slots[ring->posted.count % slots * course->updates]);
    advance(&ring->posted);
}

/* The sets of a turn; those that are on their way, oldest first, are windows of `flight`. */
static int run_sets(struct gups_course *course, struct gups_crew *crew, uint64_t *first,
                    const struct gups_manner *manner, struct gups_turn *turn)
{
    uint64_t pending[GUPS_UPDATES_MAX];
    uint32_t flight[GUPS_UPDATES_MAX], waiting = manner->waiting;
    uint32_t flying_max = manner->ahead ? GUPS_UPDATES_MAX / course->updates : 1;
    uint64_t sent = 0, landed = 0;
    int error = SJ_OK;
    gups_turn_begin(turn);
    for (uint64_t sets = 0; error == SJ_OK && sets < turn->sets_max; sets++) {
        if (gups_now_ns() - turn->begun >= turn->ns_max)
            break;
        if (course->window == 0) {
            gups_draw(course, pending);
            gups_apply(first, course->mask, pending, course->updates);
        } else {
            post(crew, course);
            flight[sent++ % flying_max] = course->window;
        }
        gups_go_on(course);
        if (sent - landed == flying_max) {
            uint32_t window = flight[landed++ % flying_max];
            error = wait_done(crew, window, ++crew->applied[window], waiting);
        }
    }
    while (error == SJ_OK && landed < sent) {
        uint32_t window = flight[landed++ % flying_max];
        error = wait_done(crew, window, ++crew->applied[window], waiting);
    }
    gups_turn_end(turn);
    return error;
}

int gups_run_crew(struct gups_course *course, struct gups_crew *crew, uint64_t *first,
                  const struct gups_manner *manner, struct gups_turn *turn)
{
    cpu_set_t allowed;
    for (uint32_t i = 1; i < course->windows; i++)
        if (crew->process[i] == 0)
            return has_died(crew, i);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return sj_error(SJ_EIO, "sched_getaffinity: %s", strerror(errno));
    place(0, 0, manner->together, &allowed);
    struct board *board = crew->board;
    board->updates = course->updates;
    __atomic_store_n(&board->waiting, manner->waiting, __ATOMIC_SEQ_CST);
    for (uint32_t i = 1; i < course->windows; i++) {
        place(crew->process[i], i, manner->together, &allowed);
        wake(&board->rings[i].posted.count);
    }
    int64_t before = workers_ns(crew, course->windows);
    int error = run_sets(course, crew, first, manner, turn);
    turn->cpu_ns += workers_ns(crew, course->windows) - before;
    __atomic_store_n(&board->waiting, GUPS_SLEEP, __ATOMIC_SEQ_CST);
    sched_setaffinity(0, sizeof allowed, &allowed);
    return error;
}
