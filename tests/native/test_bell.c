// SPDX-License-Identifier: Apache-2.0
/*
 * test_bell.c: who waits at a bell is woken by what changes in another process or thread, whoever
 * dies, and whoever else uses the same bell. (A wake that was lost would cost a second each time,
 * and the test its time limit.)
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "spacejmp/bell.h"

#define ROUNDS  3000
#define TAKERS  3
#define GIVERS  2
#define BELLS   SJ_LOCK_BELLS
#define FOREVER ((struct sj_wait){.timeout_s = -1})

/* What is changed: plain memory, under the lock. */
struct shared {
    int64_t has[2]; /* of two things, each with its own bell */
    int64_t taken[2];
};

static struct shared *shared;
static struct sj_lock *lock;
static struct sj_bell bells[2];

static struct sj_lock *present(const char *name)
{
    struct sj_wait wait = {.timeout_s = 10};
    struct sj_lock *opened;
    bool first;
    CHECK_OK(sj_lock_open(test_path(name), 0600, &wait, &opened, &first));
    if (first)
        sj_lock_join(opened);
    return opened;
}

static void give(uint32_t thing, int64_t count)
{
    struct sj_segment segment = {0};
    CHECK_OK(sj_lock_write(lock, &FOREVER));
    shared->has[thing] += count;
    sj_bell_note(&segment, bells[thing], (uint64_t)count);
    sj_lock_write_leave(lock);
    sj_bells_ring(lock, segment.bells);
}

static void take(uint32_t thing)
{
    for (;;) {
        CHECK_OK(sj_lock_write(lock, &FOREVER));
        if (shared->has[thing] > 0)
            break;
        uint32_t rings = sj_bell_arm(lock, bells[thing]);
        sj_lock_write_leave(lock);
        CHECK_OK(sj_bell_wait(lock, bells[thing], rings, SJ_WAIT_NEVER, &FOREVER));
    }
    shared->has[thing]--;
    shared->taken[thing]++;
    sj_lock_write_leave(lock);
}

static void *take_many(void *context)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        take((uint32_t)(uintptr_t)context);
    return NULL;
}

/* In a child: as many givers as it takes, one or a few at a time. */
static void give_all(uint32_t thing)
{
    for (int64_t left = (int64_t)ROUNDS * TAKERS; left > 0;) {
        int64_t some = test_below(20) == 0 ? 1 + (int64_t)test_below(4) : 1;
        some = some < left ? some : left;
        give(thing, some);
        left -= some;
        if (test_below(8) == 0)
            usleep(50); /* so that takers fall asleep */
    }
}

static void nobody_sleeps_on(bool same_bell)
{
    bells[0] = (struct sj_bell){.serial = 7, .side = 0};
    bells[1] = (struct sj_bell){.serial = same_bell ? 7 + BELLS * BELLS * (BELLS - 1) : 8};
    CHECK((sj_bell_place(bells[0]) == sj_bell_place(bells[1])) == same_bell);
    memset(shared, 0, sizeof *shared);
    pid_t child[GIVERS];
    for (uint32_t i = 0; i < GIVERS; i++) {
        child[i] = fork();
        CHECK(child[i] >= 0);
        if (child[i] == 0) {
            sj_lock_forked(lock);
            test_state += i;
            give_all(i);
            _exit(0);
        }
    }
    pthread_t thread[2 * TAKERS];
    for (uintptr_t i = 0; i < 2 * TAKERS; i++)
        CHECK(pthread_create(&thread[i], NULL, take_many, (void *)(i % 2)) == 0);
    for (uint32_t i = 0; i < 2 * TAKERS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (uint32_t i = 0; i < GIVERS; i++) {
        int status;
        CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
        CHECK(shared->has[i] == 0 && shared->taken[i] == ROUNDS * TAKERS);
    }
}

/* A bell that a dead process has armed is disarmed by the first ring; then rings are free. */
static void a_dead_one_costs_one_wake(void)
{
    bells[0] = (struct sj_bell){.serial = 21};
    struct sj_lock_bell *bell = &lock->page->bell[sj_bell_place(bells[0])];
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sj_lock_forked(lock);
        uint32_t rings = sj_bell_arm(lock, bells[0]);
        for (;;)
            (void)sj_bell_wait(lock, bells[0], rings, SJ_WAIT_NEVER, &FOREVER);
    }
    while ((__atomic_load_n(&bell->armed, __ATOMIC_SEQ_CST) & 1) == 0)
        usleep(100);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    uint32_t rings = bell->rings;
    give(0, 1);
    CHECK(bell->rings == rings + 1 && (bell->armed & 1) == 0);
    give(0, 1);
    CHECK(bell->rings == rings + 1);
    CHECK(bell->user != 0 && bell->user != SJ_LOCK_BELL_MIXED);
}

static int interrupt(void *context)
{
    ++*(uint32_t *)context;
    return 1;
}

static void a_wait_ends(void)
{
    bells[0] = (struct sj_bell){.serial = 22};
    uint32_t asked = 0, rings = sj_bell_arm(lock, bells[0]);
    CHECK(sj_bell_wait(lock, bells[0], rings, sj_wait_now_ns() + 1000, &FOREVER) == SJ_EBUSY);
    CHECK(sj_bell_wait(lock, bells[0], rings, 0, &FOREVER) == SJ_EBUSY);
    struct sj_wait wait = {.timeout_s = -1, .poll = interrupt, .context = &asked};
    CHECK(sj_bell_wait(lock, bells[0], rings, sj_wait_now_ns() + 1000, &wait) == SJ_EINTR);
    CHECK(asked == 1);
    give(0, 1);
    CHECK(sj_bell_wait(lock, bells[0], rings, 0, &wait) == SJ_OK); /* it was rung meanwhile */
    CHECK(asked == 1);
}

static void places_are_two_for_each(void)
{
    for (uint32_t i = 0; i < 100000; i++) {
        struct sj_bell one = {.serial = (uint32_t)test_random(), .side = 0}, other = one;
        other.side = 1;
        CHECK(sj_bell_place(one) < BELLS && sj_bell_place(other) < BELLS);
        CHECK(sj_bell_place(one) != sj_bell_place(other));
    }
}

int main(void)
{
    test_begin();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    lock = present("bell");
    places_are_two_for_each();
    a_wait_ends();
    a_dead_one_costs_one_wake();
    nobody_sleeps_on(false);
    nobody_sleeps_on(true);
    sj_lock_close(lock);
    printf("ok\n");
    return 0;
}
