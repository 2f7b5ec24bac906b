// SPDX-License-Identifier: Apache-2.0
/*
 * harness.h: what the native tests share: CHECK, a seeded generator, a fresh segment, and crashes.
 *
 * A test is a program: it prints what it did and ends with 0, or says where and with which seed it
 * failed and ends with 1. SJ_SEED in the environment repeats a run. SJ_TEST_DIRECTORY and
 * SJ_TEST_POWER let segments lie elsewhere than in shared memory, with durability "power".
 */
#ifndef SJ_TESTS_HARNESS_H
#define SJ_TESTS_HARNESS_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "persistence/heap.h"
#include "persistence/segment.h"

#define TEST_BASE 0x3f0000000000ull

static uint64_t test_seed;
static uint64_t test_state;
static char test_directory[64];

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s (seed %" PRIu64 "; last error: %s)\n", __FILE__,  \
                    __LINE__, #condition, test_seed, sj_error_detail());                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        int check_error = (call);                                                                  \
        if (check_error != SJ_OK) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s: %s (seed %" PRIu64 ")\n", __FILE__, __LINE__, #call,   \
                    sj_error_text(check_error), sj_error_detail(), test_seed);                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* splitmix64 */
static inline uint64_t test_random(void)
{
    uint64_t z = test_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline uint64_t test_below(uint64_t limit)
{
    return test_random() % limit;
}

static inline void test_remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", test_directory);
    if (test_directory[0] != '\0' && system(command) != 0)
        fprintf(stderr, "%s stays behind\n", test_directory);
}

/* First thing in main: the seed, and a directory in shared memory that goes away at the end. */
static inline void test_begin(void)
{
    const char *seed = getenv("SJ_SEED");
    test_seed = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 20 ^ getpid();
    test_state = test_seed;
    const char *parent = getenv("SJ_TEST_DIRECTORY");
    snprintf(test_directory, sizeof test_directory, "%.40s/sj-native-XXXXXX",
             parent != NULL ? parent : "/dev/shm");
    CHECK(mkdtemp(test_directory) != NULL);
    atexit(test_remove_directory);
    printf("seed %" PRIu64 "\n", test_seed);
    fflush(stdout);
}

static inline const char *test_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", test_directory, name);
    return path;
}

static inline struct sj_segment *test_reopen(const char *name)
{
    struct sj_segment *segment;
    CHECK_OK(sj_segment_open(test_path(name), true, true, false, &segment));
    return segment;
}

static inline struct sj_segment *test_segment(const char *name)
{
    struct sj_segment_spec spec = {name, TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    if (getenv("SJ_TEST_POWER") != NULL)
        spec.durability = SJ_DURABILITY_POWER;
    CHECK_OK(sj_segment_create(test_path(name), &spec));
    return test_reopen(name);
}

#ifdef SJ_SEAM

static uint64_t test_stores_left;

static inline void test_crash_hook(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)at, (void)value;
    if (event == SJ_SEAM_STORE && test_stores_left-- == 0)
        _exit(77);
}

/*
 * Runs `body` in a child that dies before its store number `stores` (counted from 0). Whether it
 * died there; false when the body came to its end. The mapping is shared, so the parent finds what
 * the child had stored, as after SIGKILL.
 */
static inline bool test_crash_at(uint64_t stores, void (*body)(void *), void *context)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_stores_left = stores;
        sj_seam_hook = test_crash_hook;
        body(context);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 77;
}

#endif
#endif
