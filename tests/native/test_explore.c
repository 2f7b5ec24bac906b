// SPDX-License-Identifier: Apache-2.0
/*
 * test_explore.c: explores what a crash leaves (explore_run.h says how). Only in a build with
 * -DSJ_SEAM.
 *
 *   test_explore                            a short run: every world, one operation, depth 2
 *   test_explore --length 2 --jobs 2        all sequences of two operations
 *   test_explore --images 10000000          goes on with other seeds until so many were explored
 *   test_explore --world btree --mode power --sequence put-low,clear
 *   test_explore --list
 *
 * --world and --mode take the beginning of a name. The first violation is described and ends the
 * run with 1.
 */
#include <stdio.h>

#ifndef SJ_SEAM

int main(void)
{
    printf("needs -DSJ_SEAM\n");
    return 77; /* skipped */
}

#else

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "explore_run.h"

static struct world worlds[WORLDS_MAX];
static uint32_t world_count;

static struct {
    struct explore_options explore;
    const char *world, *mode, *json;
    uint64_t images; /* to go on until so many were explored */
    uint32_t jobs;
} options = {
    .explore = {.depth = 2, .length = 1, .cap = 256, .random = 32, .looks = 200, .deep = 2},
    .world = "",
    .mode = "",
    .jobs = 1};

struct item {
    const struct world *world;
    const struct explore_mode *mode;
    uint32_t first;
};

static struct item *items;
static uint32_t item_count;

static bool begins(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* One item for each first operation of each world in each mode. */
static void make_items(void)
{
    for (uint32_t m = 0; m < explore_modes_count; m++)
        for (uint32_t w = 0; w < world_count; w++)
            for (uint32_t first = 0; first < worlds[w].operations; first++) {
                if (!begins(explore_modes[m].name, options.mode) ||
                    !begins(worlds[w].name, options.world))
                    continue;
                items = realloc(items, (item_count + 1) * sizeof *items);
                items[item_count++] = (struct item){&worlds[w], &explore_modes[m], first};
            }
}

/* Takes items off the list until there are none. */
static void work(void)
{
    explore_catch_signals();
    trace_install();
    for (;;) {
        uint64_t next = __atomic_fetch_add(&explore_totals->next, 1, __ATOMIC_RELAXED);
        if (next >= item_count)
            _exit(0);
        const struct item *item = &items[next];
        explore_world(item->world, item->mode, &options.explore, item->first);
        __atomic_add_fetch(&explore_totals->items, 1, __ATOMIC_RELAXED);
    }
}

static double seconds(void)
{
    struct timespec time_now;
    clock_gettime(CLOCK_MONOTONIC, &time_now);
    return (double)time_now.tv_sec + (double)time_now.tv_nsec / 1e9;
}

static void report(double started, const char *what)
{
    const struct explore_totals *totals = explore_totals;
    double spent = seconds() - started;
    printf("%s: seed %" PRIu64 ": %" PRIu64 " states at %" PRIu64 " crash points of %" PRIu64
           " operations (%" PRIu64 " gone on from, %" PRIu64 " examined, %" PRIu64
           " seen before), %" PRIu64 " violations; %.1f s, %.0f states/s\n",
           what, options.explore.seed, totals->images, totals->points, totals->operations,
           totals->deep, totals->examined, totals->repeats, totals->violations, spent,
           (double)totals->images / spent);
    fflush(stdout);
}

static void write_json(double started)
{
    const struct explore_totals *totals = explore_totals;
    FILE *file = fopen(options.json, "w");
    if (file == NULL) {
        perror(options.json);
        exit(2);
    }
    fprintf(file,
            "{\"seed\": %" PRIu64 ", \"states\": %" PRIu64 ", \"crash_points\": %" PRIu64
            ", \"operations\": %" PRIu64 ", \"gone_on_from\": %" PRIu64 ", \"repeats\": %" PRIu64
            ", \"violations\": %" PRIu64 ", \"worlds\": %u, \"depth\": %u, \"length\": %u, "
            "\"jobs\": %u, \"seconds\": %.1f}\n",
            options.explore.seed, totals->images, totals->points, totals->operations, totals->deep,
            totals->repeats, totals->violations, world_count, options.explore.depth,
            options.explore.length, options.jobs, seconds() - started);
    fclose(file);
}

/* Runs the list once; whether all of it went well. */
static bool run_list(double started)
{
    pid_t child[64];
    uint32_t left = options.jobs;
    bool well = true;
    explore_totals->next = 0;
    for (uint32_t i = 0; i < options.jobs; i++) {
        child[i] = fork();
        if (child[i] == 0)
            work();
        if (child[i] < 0)
            exit(2);
    }
    for (double told = seconds(); left > 0;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended > 0) {
            left--;
            well &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (!well) /* the others need not go on */
                __atomic_store_n(&explore_totals->next, item_count, __ATOMIC_RELAXED);
            continue;
        }
        if (seconds() - told > 10) {
            report(started, "so far");
            told = seconds();
        }
        usleep(2000);
    }
    return well;
}

static void list(void)
{
    for (uint32_t m = 0; m < explore_modes_count; m++)
        printf("mode  %s\n", explore_modes[m].name);
    for (uint32_t w = 0; w < world_count; w++) {
        printf("world %s:", worlds[w].name);
        for (uint32_t i = 0; i < worlds[w].operations; i++)
            printf(" %s", worlds[w].operation[i].name);
        printf("\n");
    }
}

static void read_arguments(int count, char **words)
{
    static const struct option known[] = {
        {"seed", 1, NULL, 's'},   {"world", 1, NULL, 'w'},  {"mode", 1, NULL, 'm'},
        {"depth", 1, NULL, 'd'},  {"length", 1, NULL, 'l'}, {"cap", 1, NULL, 'c'},
        {"deep", 1, NULL, 'e'},   {"random", 1, NULL, 'r'}, {"jobs", 1, NULL, 'j'},
        {"looks", 1, NULL, 'k'},  {"json", 1, NULL, 'o'},   {"sequence", 1, NULL, 'q'},
        {"images", 1, NULL, 'i'}, {"list", 0, NULL, 'L'},   {NULL, 0, NULL, 0}};
    struct explore_options *explore = &options.explore;
    int letter;
    explore->seed = (uint64_t)time(NULL) << 16 ^ (uint64_t)getpid();
    while ((letter = getopt_long(count, words, "", known, NULL)) != -1) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;
        switch (letter) {
        case 's':
            explore->seed = number;
            break;
        case 'w':
            options.world = optarg;
            break;
        case 'm':
            options.mode = optarg;
            break;
        case 'd':
            explore->depth = (uint32_t)number;
            break;
        case 'l':
            explore->length = (uint32_t)number;
            break;
        case 'c':
            explore->cap = number;
            break;
        case 'e':
            explore->deep = (uint32_t)number;
            break;
        case 'r':
            explore->random = (uint32_t)number;
            break;
        case 'k':
            explore->looks = (uint32_t)number;
            break;
        case 'j':
            options.jobs = (uint32_t)number;
            break;
        case 'o':
            options.json = optarg;
            break;
        case 'q':
            explore->sequence = optarg;
            break;
        case 'i':
            options.images = number;
            break;
        case 'L':
            list();
            exit(0);
        default:
            exit(2);
        }
    }
    if (explore->depth - 1 >= EXPLORE_DEPTH_MAX || explore->length - 1 >= EXPLORE_LENGTH_MAX ||
        options.jobs - 1 >= 64) {
        fprintf(stderr, "depth is 1 to %d, length 1 to %d, jobs 1 to 64\n", EXPLORE_DEPTH_MAX,
                EXPLORE_LENGTH_MAX);
        exit(2);
    }
    if (explore->sequence != NULL)
        explore->length = EXPLORE_LENGTH_MAX;
}

int main(int count, char **words)
{
    explore_totals = mmap(NULL, sizeof *explore_totals, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (explore_totals == MAP_FAILED)
        return 2;
    world_count = list_worlds(worlds, sequence_worlds(worlds, map_worlds(worlds, 0)));
    world_count = heap_worlds(worlds, reference_worlds(worlds, world_count));
    world_count = group_worlds(worlds, record_worlds(worlds, world_count));
    read_arguments(count, words);
    make_items();
    double started = seconds();
    bool well;
    do {
        well = run_list(started);
        options.explore.seed += explore_totals->images < options.images;
    } while (well && explore_totals->images < options.images);
    report(started, well ? "explored" : "stopped");
    if (options.json != NULL)
        write_json(started);
    return well && explore_totals->images > 0 ? 0 : 1;
}

#endif
