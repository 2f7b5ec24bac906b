// SPDX-License-Identifier: Apache-2.0
/* explore_run.c: crashing, recovering, going on (explore_run.h). */
#include "explore_run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "explore_segment.h"
#include "explore_use.h"

#define TABLE_BITS  18
#define STUCK_S_MAX 20 /* no image takes that long */

const struct explore_mode explore_modes[] = {
    {"power-line", 64}, {"power-sector", 512}, {"power-page", 4096}, {"process", 0}};
const uint32_t explore_modes_count = sizeof explore_modes / sizeof explore_modes[0];

struct explore_totals *explore_totals;

/* ------------------------------------------------------------------ what is known of images */

struct known {
    uint64_t sum;
    uint64_t digest;
};

struct table {
    uint32_t count;
    struct known known[1u << TABLE_BITS];
};

/* The place of a sum in the table: it is free when the sum there is another one. */
static struct known *table_at(struct table *table, uint64_t sum)
{
    if (table->count > (1u << TABLE_BITS) / 10 * 7) {
        memset(table->known, 0, sizeof table->known);
        table->count = 0;
    }
    sum += sum == 0;
    uint64_t at = sum >> 7;
    while (table->known[at & ((1u << TABLE_BITS) - 1)].sum != 0 &&
           table->known[at & ((1u << TABLE_BITS) - 1)].sum != sum)
        at++;
    return &table->known[at & ((1u << TABLE_BITS) - 1)];
}

static bool table_get(struct table *table, uint64_t sum, uint64_t *digest)
{
    const struct known *known = table_at(table, sum);
    *digest = known->digest;
    return known->sum != 0;
}

static void table_put(struct table *table, uint64_t sum, uint64_t digest)
{
    struct known *known = table_at(table, sum);
    table->count += known->sum == 0;
    *known = (struct known){sum + (sum == 0), digest};
}

/* ------------------------------------------------------------------ levels */

/* One level: what a process does from a certain image on. Level 0 begins with the seed state. */
struct level {
    struct process process;
    struct trace trace;
    struct media media;
    struct media_rules rules;
    struct use use;                             /* of the models' states */
    struct model model[EXPLORE_LENGTH_MAX + 1]; /* [i]: after i operations */
    uint32_t operation[EXPLORE_LENGTH_MAX];
    uint32_t operations;
};

static struct {
    const struct world *world;
    const struct explore_mode *mode;
    const struct explore_options *options;
    struct sj_segment *opened;
    uint64_t random;
    uint32_t follow; /* counts through the pairs of operations that follow a recovery */
    uint32_t depth;  /* levels that are being crashed */
    uint64_t progress;
    struct table images, contents;
    struct level level[EXPLORE_DEPTH_MAX + 1];
} now;

/* ------------------------------------------------------------------ violations */

static void describe_level(const struct level *level, bool crashed)
{
    printf("  level %u:", (unsigned)(level - now.level));
    for (uint32_t i = 0; i < level->operations; i++)
        printf(" %s", now.world->operation[level->operation[i]].name);
    printf("\n");
    if (crashed)
        media_describe(&level->media, (uint64_t)(uintptr_t)now.opened->base);
}

static _Noreturn void violation(const char *what)
{
    const struct level *first = &now.level[0];
    __atomic_add_fetch(&explore_totals->violations, 1, __ATOMIC_RELAXED);
    printf("\nVIOLATION: %s\n", what);
    if (now.world != NULL) {
        printf("  world %s, mode %s\n", now.world->name, now.mode->name);
        for (uint32_t i = 0; i <= now.depth; i++)
            describe_level(&now.level[i], i < now.depth);
        printf("  again: test_explore --seed %" PRIu64 " --world %s --mode %s --depth %u --cap "
               "%" PRIu64 " --random %u --looks %u --deep %u --sequence ",
               now.options->seed, now.world->name, now.mode->name, now.options->depth,
               now.options->cap, now.options->random, now.options->looks, now.options->deep);
        for (uint32_t i = 0; i < first->operations; i++)
            printf("%s%s", i == 0 ? "" : ",", now.world->operation[first->operation[i]].name);
        printf("\n");
    }
    fflush(stdout);
    _exit(1);
}

_Noreturn void explore_fail(const char *file, int line, const char *what)
{
    char text[1024];
    snprintf(text, sizeof text, "%s:%d: not true: %s (last error: %s)", file, line, what,
             sj_error_detail());
    violation(text);
}

static void on_signal(int number)
{
    violation(strsignal(number)); /* not safe in a handler, but the process ends here anyway */
}

static void on_alarm(int number)
{
    static uint64_t before;
    (void)number;
    if (before == now.progress && now.world != NULL)
        violation("an image that takes for ever");
    before = now.progress;
}

void explore_catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    struct itimerval often = {{STUCK_S_MAX, 0}, {STUCK_S_MAX, 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        signal(numbers[i], on_signal);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* ------------------------------------------------------------------ running */

static uint64_t draw(void)
{
    now.random += 0x9e3779b97f4a7c15ull;
    return trace_mix(now.random, 0xbf58476d1ce4e5b9ull);
}

/* Finds out what is in memory; what cannot be is a violation. */
static uint64_t examine(struct process *process)
{
    uint64_t digest;
    int error = now.world->examine(process, &digest);
    if (error != SJ_OK) {
        char text[700];
        snprintf(text, sizeof text, "%s: %s", sj_error_text(error), sj_error_detail());
        violation(text);
    }
    return digest;
}

/* Runs one more operation of a level; its stores go to the level's trace. Mark 2 i: model i holds;
 * mark 2 i + 1: model i or i + 1. */
static void run(struct level *level, uint32_t operation)
{
    uint32_t number = level->operations++;
    level->operation[number] = operation;
    level->model[number + 1] = level->model[number];
    trace_current = &level->trace;
    trace_add(trace_current, TRACE_MARK, 0, 2 * number + 1);
    now.world->operation[operation].run(&level->process, &level->model[number + 1]);
    trace_add(trace_current, TRACE_MARK, 0, 2 * (number + 1));
    trace_current = NULL;
    if (examine(&level->process) != level->model[number + 1].digest)
        violation("an operation that was not crashed did something else");
    use_mark(&level->use, &level->process.segment, number + 1);
    __atomic_add_fetch(&explore_totals->operations, 1, __ATOMIC_RELAXED);
}

/* Takes all back that the level has done; the sums of the states on the way are kept. */
static void rewind_level(struct level *level)
{
    use_begin(&level->use, &level->process.segment);
    use_keep(&level->use, level->operations);
    for (uint32_t i = level->trace.count; i > 0; i--) {
        const struct trace_event *event = &level->trace.event[i - 1];
        if (event->kind == TRACE_STORE)
            trace_poke(event->at, event->old);
        else if (event->kind == TRACE_MARK && event->value % 2 != 0)
            use_keep(&level->use, (uint32_t)(event->value / 2));
    }
}

/* Crashes what the level has done, from event `from` on. Memory goes back to what it was before. */
static void walk(struct level *level, uint32_t from)
{
    struct media *media = &level->media;
    now.depth = (uint32_t)(level - now.level) + 1;
    rewind_level(level);
    media_walk(media, &level->rules, &now.random, &level->trace, from);
    __atomic_add_fetch(&explore_totals->points, media->looks, __ATOMIC_RELAXED);
    media->looks = 0;
    now.depth--;
}

/* Recovers the image that memory is, as a process of level `next`, and finds out what is in it:
 * the state before or after, which are known; or something that has to be looked at. */
static uint64_t recover_in(uint32_t order, const struct level *level, struct level *next)
{
    uint64_t digest;
    process_start(&next->process, now.world);
    next->trace.count = next->operations = 0;
    trace_current = &next->trace;
    trace_add(trace_current, TRACE_MARK, 0, 0);
    int error = process_attach(&next->process, order);
    trace_current = NULL;
    if (error != SJ_OK) {
        char text[700];
        snprintf(text, sizeof text, "%s: %s", sj_error_text(error), sj_error_detail());
        violation(text);
    }
    uint32_t mark = level->media.mark;
    for (uint32_t i = mark / 2; i <= mark / 2 + mark % 2 && now.world->disturb == NULL; i++)
        if (use_equals(&level->use, now.opened, i))
            return level->model[i].digest;
    if (!table_get(&now.contents, trace_sum.data, &digest)) {
        digest = examine(&next->process);
        table_put(&now.contents, trace_sum.data, digest);
        __atomic_add_fetch(&explore_totals->examined, 1, __ATOMIC_RELAXED);
    }
    return digest;
}

/* The same in every order that there is: they come to the same. Memory is what the last one, which
 * is drawn, has left. */
static uint64_t recover(const struct level *level, struct level *next)
{
    uint32_t orders = process_orders(now.world),
             last = orders == 1 ? 0 : (uint32_t)(draw() % orders);
    uint64_t digest = recover_in((last + 1) % orders, level, next);
    for (uint32_t i = 2; i <= orders; i++) {
        trace_undo(&next->trace);
        if (recover_in((last + i) % orders, level, next) != digest)
            violation("what is there depends on the order of recovery");
    }
    return digest;
}

/* The model that the contents equal, of those that they may equal at the media's mark. */
static const struct model *allowed(const struct level *level, uint64_t digest)
{
    uint32_t mark = level->media.mark;
    for (uint32_t i = mark / 2; i <= mark / 2 + mark % 2; i++)
        if (level->model[i].digest == digest)
            return &level->model[i];
    violation(mark % 2 != 0 ? "neither what was before the operation nor what is after it"
                            : "not what was acknowledged");
}

static uint32_t follower(void)
{
    for (;;) {
        uint32_t operation = (uint32_t)(draw() % now.world->operations);
        if (!now.world->operation[operation].heavy)
            return operation;
    }
}

/* A recovered level goes on with two operations, and is crashed everywhere. Memory is the image
 * again afterwards. */
static void go_on(struct level *level, const struct model *model)
{
    struct trace_area area = trace_area;
    level->model[0] = *model;
    use_mark(&level->use, &level->process.segment, 0);
    run(level, follower());
    run(level, follower());
    walk(level, 0);
    trace_area = area;
    __atomic_add_fetch(&explore_totals->deep, 1, __ATOMIC_RELAXED);
}

static void visit(struct media *media)
{
    struct level *level = media->context, *next = level + 1;
    struct trace_sum image = trace_sum;
    uint64_t digest;
    now.progress++;
    if (table_get(&now.images, image.all, &digest)) {
        allowed(level, digest);
        __atomic_add_fetch(&explore_totals->repeats, 1, __ATOMIC_RELAXED);
        return;
    }
    digest = recover(level, next);
    const struct model *model = allowed(level, digest);
    table_put(&now.images, image.all, digest);
    __atomic_add_fetch(&explore_totals->images, 1, __ATOMIC_RELAXED);
    uint32_t number = (uint32_t)(next - now.level);
    if (number < now.options->depth && draw() % media->expected < level->rules.deep)
        go_on(next, model);
    else
        trace_undo(&next->trace);
    if (trace_sum.all != image.all)
        violation("the explorer has lost its place");
    trace_sum = image;
}

/* ------------------------------------------------------------------ sequences */

static void level_set_up(uint32_t number)
{
    struct level *level = &now.level[number];
    uint64_t cap = now.options->cap >> 3 * number;
    level->rules = (struct media_rules){
        .granule = now.mode->granule,
        .cap = now.world->large ? cap / 4 : cap,
        .random = now.options->random >> 2 * number,
        .looks = now.options->looks >> 2 * number,
        .deep = now.world->large ? 1 : now.options->deep >> 2 * number,
    };
    level->media.visit = visit;
    level->media.context = level;
}

static bool is_wanted(uint32_t place, uint32_t operation)
{
    const char *name = now.options->sequence;
    if (name == NULL)
        return true;
    for (; place > 0; place--) {
        name = strchr(name, ',');
        if (name == NULL)
            return false;
        name++;
    }
    size_t bytes = strlen(now.world->operation[operation].name);
    return strncmp(name, now.world->operation[operation].name, bytes) == 0 &&
           (name[bytes] == ',' || name[bytes] == '\0');
}

/* Crashes `operation` after those that the level has run, then those that may come after it. */
static void descend(uint32_t operation)
{
    static struct process saved[EXPLORE_LENGTH_MAX];
    struct level *level = &now.level[0];
    uint32_t place = level->operations, from = level->trace.count;
    process_copy(&saved[place], &level->process);
    run(level, operation);
    for (uint32_t i = 0; i <= place; i++)
        now.random = trace_mix(now.options->seed + i, now.random + level->operation[i]);
    walk(level, from + 1);
    trace_redo(&level->trace);
    bool heavy = now.world->operation[operation].heavy;
    uint32_t length = heavy && now.options->length > 2 ? 2 : now.options->length;
    if (level->operations < length)
        for (uint32_t next = 0; next < now.world->operations; next++)
            if (is_wanted(place + 1, next))
                descend(next);
    trace_area.mask_words = 0;
    struct trace undone = {level->trace.event + from, level->trace.count - from, 0};
    trace_undo(&undone);
    level->trace.count = from;
    level->operations = place;
    process_copy(&level->process, &saved[place]);
}

void explore_world(const struct world *world, const struct explore_mode *mode,
                   const struct explore_options *options, uint32_t first)
{
    struct level *level = &now.level[0];
    now.mode = mode;
    now.options = options;
    now.depth = 0;
    now.random = trace_mix(options->seed, first);
    memset(&now.images, 0, sizeof now.images);
    memset(&now.contents, 0, sizeof now.contents);
    memset(&level->model[0], 0, sizeof level->model[0]);
    level->operations = level->trace.count = 0;
    now.opened = explored_open(mode->granule != 0, world->disturb != NULL, options->seed);
    now.world = world;
    for (uint32_t i = 0; i <= EXPLORE_DEPTH_MAX; i++)
        level_set_up(i);
    process_start(&level->process, world);
    world->seed(&level->process, &level->model[0]);
    explored_settle();
    if (examine(&level->process) != level->model[0].digest)
        violation("the seed state is not the model's");
    use_mark(&level->use, now.opened, 0);
    if (is_wanted(0, first))
        descend(first);
    now.world = NULL;
    explored_close();
}
