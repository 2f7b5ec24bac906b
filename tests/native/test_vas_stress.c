// SPDX-License-Identifier: Apache-2.0
/*
 * test_vas_stress.c: threads and processes that switch between VASes which overlap, and change:
 * nobody's addresses are taken away, no update is lost, nobody waits for ever, nothing stays
 * mapped.
 *
 *   test_vas_stress [seconds]
 *
 * Twelve segments, three at each of four places. Each VAS has some of them, by a record in memory
 * that all processes share, of which there are two versions that change now and then. A thread
 * switches to one of them, or enters it, and looks at the superblocks of all that it can reach; it
 * counts in a word of those that it may write. From there it enters a store, or another VAS; waits
 * that may be in a circle are short. Children die in the midst of it.
 */
#include "vas_world.h"

#include <sys/mman.h>

#include "spacejmp/seg_heap.h"
#include "structures/check.h"

#define SEGMENTS  12
#define PLACES    4
#define VASES     16
#define THREADS   4
#define PROCESSES 4

struct shared {
    uint64_t counted[SEGMENTS]; /* how often each word was counted up, for certain */
    uint64_t generation[VASES];
    uint32_t version[VASES];
};

static struct world_segment segments[SEGMENTS];
static struct world_vas records[VASES][2];
static struct shared *shared;
static time_t deadline;

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* A segment at some of the places, those of different windows at the same one. */
static void make_record(struct world_vas *vas)
{
    uint32_t windows = test_below(3) == 0 ? 2 : 1;
    *vas = (struct world_vas){.strict = test_below(4) == 0};
    for (uint32_t place = 0; place < PLACES; place++) {
        uint32_t which = (uint32_t)test_below(SEGMENTS / PLACES);
        if (test_below(4) == 0)
            continue;
        for (uint32_t window = 0; window < windows; window++)
            world_add(vas, &segments[PLACES * ((which + window) % 3) + place],
                      test_below(3) == 0 ? SJ_RIGHT_READ : WORLD_RW,
                      windows == 1 ? SJ_WINDOW_ALL : window, test_below(8) != 0);
    }
}

static int read_record(void *context, struct sj_vas_contents *contents)
{
    uint32_t number = (uint32_t)(uintptr_t)context;
    uint32_t version = __atomic_load_n(&shared->version[number], __ATOMIC_ACQUIRE);
    return world_read(&records[number][version], contents);
}

static struct sj_vas *attach(uint32_t number)
{
    struct sj_vas_source source = {.name = "stress",
                                   .place = test_directory,
                                   .read = read_record,
                                   .generation = &shared->generation[number],
                                   .context = (void *)(uintptr_t)number};
    struct sj_vas *vas;
    source.uuid[0] = (uint8_t)number;
    CHECK_OK(sj_vas_attach_source(&source, WORLD_RW, &patient, &vas));
    return vas;
}

/* Odd while it changes, as a catalog does it; one that dies in between leaves it so. */
static void change_record(uint32_t number)
{
    uint64_t *generation = &shared->generation[number];
    __atomic_store_n(generation, *generation | 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->version[number], 1 - shared->version[number], __ATOMIC_SEQ_CST);
    if (test_below(8) != 0)
        __atomic_store_n(generation, (*generation | 1) + 1, __ATOMIC_SEQ_CST);
}

/* A word of a segment that the thread has for writing, under its undo log. */
static void count_up(struct sj_space *space, uint32_t number, bool dies)
{
    struct sj_segment *segment = space->segment;
    uint64_t *word = (uint64_t *)(uintptr_t)segments[number].word;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_tx_range(segment, word, sizeof *word));
    sj_tx_ready(segment);
    sj_store(word, *word + 1);
    if (dies)
        _exit(77);
    CHECK_OK(sj_tx_op_commit(segment));
    __atomic_add_fetch(&shared->counted[number], 1, __ATOMIC_RELAXED);
}

/* V3: whatever can be reached is at home. */
static void look_around(unsigned *seed, bool dies)
{
    for (uint32_t number = 0; number < SEGMENTS; number++) {
        struct sj_space *space;
        uint64_t word = segments[number].word;
        int error = sj_vas_resolve(word, 8, SJ_RIGHT_READ, &space);
        CHECK(error == SJ_OK || error == SJ_EINVAL);
        if (error != SJ_OK || memcmp(space->segment->uuid, segments[number].uuid, 16) != 0)
            continue;
        CHECK(world_is_home(&segments[number]));
        if (sj_hold_mode(space) == SJ_HOLD_WRITE && rand_r(seed) % 2 == 0)
            count_up(space, number, dies && rand_r(seed) % 4 == 0);
    }
}

/* A segment grows, and what is taken is given back. */
static void take_memory(unsigned *seed)
{
    uint32_t number = (uint32_t)rand_r(seed) % SEGMENTS;
    struct sj_vas *vas = sj_vas_current();
    struct sj_space *space;
    void *block;
    if (sj_vas_resolve(segments[number].word, 8, WORLD_RW, &space) != SJ_OK ||
        sj_hold_mode(space) != SJ_HOLD_WRITE)
        return; /* whose lock would be taken out of order */
    CHECK_OK(sj_seg_malloc(vas, space->segment->name, (uint64_t)rand_r(seed) % (1 << 20), &block));
    CHECK_OK(sj_seg_free(vas, block));
}

static void leave(int error)
{
    if (error == SJ_EBUSY)
        error = sj_return(&patient);
    CHECK_OK(error);
}

/* What may be tried and not be had; the thread is where it was, and all of that is at home. */
static bool was_had(int error)
{
    if (error == SJ_OK)
        return true;
    CHECK(error == SJ_EBUSY || error == SJ_EUPGRADE || error == SJ_EINVAL);
    CHECK_OK(sj_return(&patient));
    return false;
}

static void go_deeper(struct sj_vas *const *vas, unsigned *seed, uint32_t depth, bool dies)
{
    static const struct sj_wait short_wait = {.timeout_s = 0.005};
    look_around(seed, dies);
    if (depth == 3 || rand_r(seed) % 2 == 0)
        return;
    if (rand_r(seed) % 2 == 0) {
        struct sj_vas *next = vas[rand_r(seed) % VASES];
        if (!was_had(sj_vas_enter(next, (uint32_t)rand_r(seed) % 2, &short_wait)))
            return;
        CHECK(sj_vas_current() == next);
        go_deeper(vas, seed, depth + 1, dies);
        leave(sj_vas_leave(next));
    } else {
        uint32_t number = (uint32_t)rand_r(seed) % SEGMENTS;
        struct sj_space *space = world_space(&segments[number]);
        bool writes = rand_r(seed) % 2 == 0;
        if (was_had(writes ? sj_enter_write(space, &short_wait)
                           : sj_enter_read(space, &short_wait))) {
            CHECK(world_is_home(&segments[number]));
            go_deeper(vas, seed, depth + 1, dies);
            leave(sj_leave(space));
        }
        (void)sj_space_detach(space, &patient); /* it stays when the thread is still inside */
    }
    look_around(seed, dies);
}

/* One switch, or one entry from outside. */
static void turn(struct sj_vas *const *vas, unsigned *seed, bool dies)
{
    uint32_t number = (uint32_t)rand_r(seed) % VASES, window = (uint32_t)rand_r(seed) % 2;
    if (rand_r(seed) % 3 == 0) {
        CHECK_OK(sj_vas_switch(NULL, 0, &patient));
        int error = sj_vas_enter(vas[number], window, &patient);
        CHECK(error == SJ_OK || error == SJ_EINVAL);
        if (error != SJ_OK)
            return;
        go_deeper(vas, seed, 0, dies);
        leave(sj_vas_leave(vas[number]));
        return;
    }
    int error = sj_vas_switch(vas[number], window, &patient);
    CHECK(error == SJ_OK || error == SJ_EINVAL);
    if (error == SJ_OK)
        CHECK(sj_vas_current() == vas[number] && sj_vas_window() == window);
    if (sj_vas_current() == NULL)
        return;
    if (rand_r(seed) % 16 == 0)
        take_memory(seed);
    go_deeper(vas, seed, 0, dies);
}

static void *work(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    struct sj_vas *vas[VASES];
    for (uint32_t i = 0; i < VASES; i++)
        vas[i] = attach(i);
    while (now() < deadline) {
        for (int i = 0; i < 30; i++)
            turn(vas, &seed, false);
        uint32_t again = (uint32_t)rand_r(&seed) % VASES;
        if (sj_vas_current() == vas[again])
            CHECK_OK(sj_vas_switch(NULL, 0, &patient));
        CHECK_OK(sj_vas_detach(vas[again], &patient));
        vas[again] = attach(again);
    }
    CHECK_OK(sj_vas_switch(NULL, 0, &patient));
    for (uint32_t i = 0; i < VASES; i++)
        CHECK_OK(sj_vas_detach(vas[i], &patient));
    return NULL;
}

static void run_threads(unsigned seed)
{
    pthread_t thread[THREADS];
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(seed + i)) == 0);
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

/* Children that die inside, one after the other; between them the records change. */
static uint32_t die_again_and_again(unsigned seed)
{
    uint32_t deaths = 0;
    while (now() < deadline) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            struct sj_vas *vas[VASES];
            seed += (unsigned)getpid();
            for (uint32_t i = 0; i < VASES; i++)
                vas[i] = attach(i);
            for (int i = 0; i < 20; i++)
                turn(vas, &seed, i > 10);
            _exit(0);
        }
        int status;
        change_record((uint32_t)test_below(VASES));
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
        deaths += WEXITSTATUS(status) == 77;
    }
    return deaths;
}

static void begin(void)
{
    test_begin();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "segment%u", i);
        world_make(&segments[i], name, TEST_BASE + i % PLACES * SJ_GIB, 1);
    }
    for (uint32_t i = 0; i < VASES; i++) {
        make_record(&records[i][0]);
        make_record(&records[i][1]);
    }
}

static pid_t start(unsigned seed)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run_threads(seed);
        world_is_clean();
        _exit(0);
    }
    return child;
}

/* All that was counted is there, and all of it is whole. */
static uint64_t verify(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        struct sj_space *space = world_space(&segments[i]);
        struct sj_check_report report;
        CHECK_OK(sj_enter_read(space, &patient));
        CHECK(*(const uint64_t *)(uintptr_t)segments[i].word == shared->counted[i]);
        CHECK_OK(sj_check(space->segment, &report));
        CHECK(report.census.leaked_blocks == 0);
        CHECK_OK(sj_leave(space));
        CHECK_OK(sj_space_detach(space, &patient));
        sum += shared->counted[i];
    }
    return sum;
}

int main(int count, char **arguments)
{
    begin();
    unsigned seed = (unsigned)test_random();
    pid_t child[PROCESSES];
    deadline = now() + (count > 1 ? atoi(arguments[1]) : 3);
    for (uint32_t i = 1; i < PROCESSES; i++)
        child[i] = start(seed + 100 * i);
    fflush(stdout);
    child[0] = fork();
    CHECK(child[0] >= 0);
    if (child[0] == 0)
        _exit(die_again_and_again(seed) > 0 ? 0 : 1);
    run_threads(seed);
    world_is_clean();
    for (uint32_t i = 0; i < PROCESSES; i++) {
        int status;
        CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
    }
    printf("counted up %" PRIu64 " times\n", verify());
    return 0;
}
