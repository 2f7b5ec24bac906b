// SPDX-License-Identifier: Apache-2.0
/*
 * test_park.c: threads and processes in spaces whose addresses overlap: nobody's addresses are
 * taken away, no update is lost, nobody waits for ever, and no mapping is left behind.
 *
 *   test_park [seconds]
 *
 * Three spaces: two with the same addresses, one that lies in the second half of these. A thread
 * enters some of them, in the order of their locks, and looks at the superblock that lies at their
 * base; a writer counts in a word of the segment. Now and then one is detached and attached again,
 * and a child goes on as a process of its own, or dies in the midst of it.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "persistence/roots.h"
#include "spacejmp/hold.h"
#include "spacejmp/park.h"

#define SPACES  3
#define THREADS 4

static const uint64_t base_of[SPACES] = {TEST_BASE, TEST_BASE, TEST_BASE + SJ_GIB};
static const uint64_t reserve_of[SPACES] = {2 * SJ_GIB, 2 * SJ_GIB, SJ_GIB};
static const struct sj_wait patient = {.timeout_s = 60};
static uint8_t uuid[SPACES][16];
static uint64_t word_at[SPACES]; /* address of the word that is counted in */
static time_t deadline;

/* In memory that all processes share: how often each word was counted up, for certain. */
static uint64_t *counted;

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static const char *path_of(uint32_t i, const char *suffix)
{
    static __thread char path[96];
    snprintf(path, sizeof path, "%s/space%u%s", test_directory, i, suffix);
    return path;
}

static struct sj_space *attach(uint32_t i)
{
    struct sj_attach_options options = {.writable = true, .wait = patient};
    struct sj_space *space;
    char lock[96];
    snprintf(lock, sizeof lock, "%s", path_of(i, ".lock"));
    CHECK_OK(sj_space_attach(path_of(i, ".seg"), lock, &options, &space));
    return space;
}

static void make_space(uint32_t i)
{
    struct sj_segment_spec spec = {"space", base_of[i], reserve_of[i], 0600, SJ_DURABILITY_PROCESS};
    CHECK_OK(sj_segment_create(path_of(i, ".seg"), &spec));
    struct sj_space *space = attach(i);
    void *word;
    CHECK_OK(sj_enter_write(space, &patient));
    memcpy(uuid[i], space->segment->uuid, 16);
    CHECK_OK(sj_tx_op_begin(space->segment));
    CHECK_OK(sj_heap_alloc(space->segment, 64, &word));
    sj_tx_ready(space->segment);
    CHECK_OK(sj_tx_op_commit(space->segment));
    word_at[i] = (uint64_t)(uintptr_t)word;
    *(uint64_t *)word = 0;
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_space_detach(space, &patient));
}

static void is_at_home(uint32_t i)
{
    CHECK(memcmp((const char *)(uintptr_t)base_of[i] + 56, uuid[i], 16) == 0);
}

/* A word of a segment, under its undo log. */
static void count_up(struct sj_space *space, uint32_t i, bool dies)
{
    uint64_t *word = (uint64_t *)(uintptr_t)word_at[i];
    CHECK_OK(sj_tx_op_begin(space->segment));
    CHECK_OK(sj_tx_range(space->segment, word, sizeof *word));
    sj_tx_ready(space->segment);
    sj_store(word, *word + 1);
    if (dies)
        _exit(77);
    CHECK_OK(sj_tx_op_commit(space->segment));
    __atomic_add_fetch(&counted[i], 1, __ATOMIC_RELAXED);
}

static void leave(struct sj_space *space)
{
    int error = sj_leave(space);
    if (error == SJ_EBUSY)
        error = sj_return(&patient);
    CHECK_OK(error);
}

/* Enters `i`, and from there perhaps another one whose lock comes later. */
static void visit(struct sj_space *const *space, uint32_t i, uint32_t *seed, bool dies)
{
    bool writes = rand_r(seed) % 2 == 0;
    CHECK_OK(writes ? sj_enter_write(space[i], &patient) : sj_enter_read(space[i], &patient));
    is_at_home(i);
    if (writes)
        count_up(space[i], i, dies);
    if (i + 1 < SPACES && rand_r(seed) % 2 == 0) {
        visit(space, i + 1 + (uint32_t)rand_r(seed) % (SPACES - i - 1), seed, dies);
        is_at_home(i);
    }
    leave(space[i]);
}

static void *work(void *context)
{
    uint32_t seed = (uint32_t)(uintptr_t)context;
    struct sj_space *space[SPACES];
    for (uint32_t i = 0; i < SPACES; i++)
        space[i] = attach(i);
    while (now() < deadline) {
        for (int i = 0; i < 50; i++)
            visit(space, (uint32_t)rand_r(&seed) % SPACES, &seed, false);
        uint32_t again = (uint32_t)rand_r(&seed) % SPACES;
        CHECK_OK(sj_space_detach(space[again], &patient));
        space[again] = attach(again);
    }
    for (uint32_t i = 0; i < SPACES; i++)
        CHECK_OK(sj_space_detach(space[i], &patient));
    return NULL;
}

static void run_threads(uint32_t seed)
{
    pthread_t thread[THREADS];
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(seed + i)) == 0);
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

/* Children that are inside when they die, one after the other. */
static uint32_t die_again_and_again(uint32_t seed)
{
    uint32_t deaths = 0;
    while (now() < deadline) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            struct sj_space *space[SPACES];
            seed += (uint32_t)getpid();
            for (uint32_t i = 0; i < SPACES; i++)
                space[i] = attach(i);
            for (int i = 0; i < 20; i++)
                visit(space, (uint32_t)rand_r(&seed) % SPACES, &seed, i > 10);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
        deaths += WEXITSTATUS(status) == 77;
    }
    return deaths;
}

/* Bytes in [from, to) that are mapped. */
static uint64_t mapped_bytes(uint64_t from, uint64_t to)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long long first, end;
    uint64_t bytes = 0;
    char line[512];
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%llx-%llx", &first, &end) == 2 && first >= from && end <= to)
            bytes += end - first;
    fclose(maps);
    return bytes;
}

static uint64_t parked_bytes(void)
{
    return mapped_bytes(SJ_PARKING_FIRST, SJ_PARKING_END);
}

static void visit_once(struct sj_space *space, uint32_t i)
{
    CHECK_OK(sj_enter_write(space, &patient));
    is_at_home(i);
    count_up(space, i, false);
    CHECK_OK(sj_leave(space));
}

/* What is at home keeps its parking range; the page that keeps the page tables of its 512 GiB gives
 * way to a segment. */
static void moves_keep_their_places(void)
{
    const uint64_t slot = 512 * SJ_GIB, end = TEST_BASE + slot;
    struct sj_space *space[] = {attach(0), attach(1)}, *last;
    struct sj_segment_spec spec = {"last", end - SJ_GIB, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_attach_options options = {.writable = true, .wait = patient};
    char path[96], lock[96];
    for (uint32_t i = 0; i < 6; i++)
        visit_once(space[i % 2], i % 2);
    CHECK(space[0]->parked && !space[1]->parked);
    CHECK(space[0]->segment->left_at == 0);
    if (!space[1]->segment->never_leaves) {
        CHECK(space[1]->segment->left_at == space[1]->parking);
        CHECK(parked_bytes() == reserve_of[0] + reserve_of[1]);
    }
    CHECK(mapped_bytes(TEST_BASE, end) == reserve_of[1] + 4096);
    snprintf(path, sizeof path, "%s/last.seg", test_directory);
    snprintf(lock, sizeof lock, "%s/last.lock", test_directory);
    CHECK_OK(sj_segment_create(path, &spec));
    CHECK_OK(sj_space_attach(path, lock, &options, &last));
    CHECK(mapped_bytes(TEST_BASE, end) == reserve_of[1] + SJ_GIB);
    for (uint32_t i = 0; i < 6; i++)
        visit_once(space[i % 2], i % 2);
    CHECK_OK(sj_space_detach(last, &patient));
    CHECK_OK(sj_space_detach(space[0], &patient));
    CHECK_OK(sj_space_detach(space[1], &patient));
    CHECK(mapped_bytes(SJ_ARENA_FIRST, SJ_ARENA_END) == 0 && parked_bytes() == 0);
}

/* Checkpoints are written by a thread that is not inside; one read the words that lie at the home
 * of a store that was parked. */
static void a_parked_store_has_checkpoints(void)
{
    char directory[] = "/var/tmp/sj-native-XXXXXX", segment[64], lock[64], command[64];
    struct sj_attach_options options = {.writable = true, .wait = patient};
    struct sj_segment_spec spec = {"space", TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    struct sj_space *space;
    void *block;
    CHECK(mkdtemp(directory) != NULL);
    snprintf(segment, sizeof segment, "%s/space.seg", directory);
    snprintf(lock, sizeof lock, "%s/space.lock", directory);
    CHECK_OK(sj_segment_create(segment, &spec));
    CHECK_OK(sj_space_attach(segment, lock, &options, &space));
    CHECK_OK(sj_enter_write(space, &patient));
    CHECK_OK(sj_tx_op_begin(space->segment));
    CHECK_OK(sj_heap_alloc(space->segment, 64, &block));
    sj_tx_ready(space->segment);
    CHECK_OK(sj_tx_op_commit(space->segment));
    CHECK_OK(sj_leave(space));
    CHECK_OK(sj_park_aside(space));
    CHECK_OK(space->segment->domain->sync(space->segment)); /* a new epoch, and its checkpoint */
    CHECK(space->parked);
    CHECK_OK(sj_space_detach(space, &patient));
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
}

int main(int count, char **arguments)
{
    test_begin();
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0);
    a_parked_store_has_checkpoints();
    counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(counted != MAP_FAILED);
    for (uint32_t i = 0; i < SPACES; i++)
        make_space(i);
    moves_keep_their_places();
    uint32_t seed = (uint32_t)test_random();
    deadline = now() + (count > 1 ? atoi(arguments[1]) : 3);
    pid_t other = fork();
    CHECK(other >= 0);
    if (other == 0) {
        run_threads(seed + 100);
        _exit(0);
    }
    pid_t killer = fork();
    CHECK(killer >= 0);
    if (killer == 0)
        _exit(die_again_and_again(seed) > 3 ? 0 : 1);
    run_threads(seed);
    int status[2];
    CHECK(waitpid(other, &status[0], 0) == other && waitpid(killer, &status[1], 0) == killer);
    CHECK(status[0] == 0 && status[1] == 0);
    CHECK(parked_bytes() == 0);
    for (uint32_t i = 0; i < SPACES; i++) {
        struct sj_space *space = attach(i);
        CHECK_OK(sj_enter_read(space, &patient));
        CHECK(*(const uint64_t *)(uintptr_t)word_at[i] == counted[i]);
        CHECK_OK(sj_leave(space));
        CHECK_OK(sj_space_detach(space, &patient));
        printf("space %u: counted up %" PRIu64 " times\n", i, counted[i]);
    }
    return 0;
}
