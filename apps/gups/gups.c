// SPDX-License-Identifier: Apache-2.0
/* gups.c: the stream, and the designs of one process (gups.h). */
#include "apps/gups/gups.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define UPDATES_AHEAD  128u /* that are drawn before they are applied, of HPCC's 1024, about */
#define SETS_AHEAD_MAX 8u

#define PERIOD 1317624576693539401ull /* of the stream */

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int64_t gups_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void gups_turn_begin(struct gups_turn *turn)
{
    turn->cpu_ns = -read_clock(CLOCK_THREAD_CPUTIME_ID);
    turn->begun = gups_now_ns();
}

void gups_turn_end(struct gups_turn *turn)
{
    turn->ns = gups_now_ns() - turn->begun;
    turn->cpu_ns += read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* ------------------------------------------------------------------ the course */

static uint64_t step(uint64_t number)
{
    return number << 1 ^ ((int64_t)number < 0 ? 7 : 0);
}

/* A step is linear over bits: `twice[i]` is what 2i steps make of the number 1, and steps are put
 * together by squaring. */
uint64_t gups_stream_at(uint64_t count)
{
    uint64_t twice[64], number = 1;
    count %= PERIOD;
    if (count == 0)
        return 1;
    for (uint32_t i = 0; i < 64; i++) {
        twice[i] = number;
        number = step(step(number));
    }
    int bit = 62;
    while (bit >= 0 && !(count >> bit & 1))
        bit--;
    number = 2;
    while (bit > 0) {
        uint64_t squared = 0;
        for (uint32_t i = 0; i < 64; i++)
            if (number >> i & 1)
                squared ^= twice[i];
        number = squared;
        if (count >> --bit & 1)
            number = step(number);
    }
    return number;
}

void gups_course_begin(struct gups_course *course, uint64_t seed, uint32_t windows,
                       uint32_t updates, uint64_t words)
{
    *course = (struct gups_course){
        .number = gups_stream_at(seed),
        .choice = seed * 0x9e3779b97f4a7c15ull | 1,
        .mask = words - 1,
        .windows = windows,
        .updates = updates,
    };
}

/* ------------------------------------------------------------------ the designs */

/* Which words of which window are asked for ahead. */
enum asked { NONE, FLAT, SEGMENTS };

/* A turn that is under way: some sets are drawn ahead, in a ring. */
struct way {
    const struct gups_window *windows;
    enum asked asked;
    struct gups_course done;  /* as far as it is applied */
    struct gups_course drawn; /* as far as it is drawn */
    uint64_t *pending;
    uint32_t slots;
    uint32_t now;  /* the slot of the set that is applied next */
    uint32_t free; /* where one is drawn next */
    struct {
        uint32_t window;
        uint64_t number; /* of the course, and where it chooses from, once the set is done */
        uint64_t choice;
    } set[SETS_AHEAD_MAX + 1];
};

/* Brings what entering a space looks at, and changes, into the cache: with many windows it is not
 * there any more. */
static inline void prefetch_space(const struct sj_space *space)
{
    struct sj_lock_page *page = space->lock->page;
    __builtin_prefetch(&page->mutex, 1);
    __builtin_prefetch(&page->writer, 1);
    __builtin_prefetch(&space->segment->damaged, 0);
    __builtin_prefetch(&space->segment->tx.depth, 0);
}

/* Draws one more set, and asks for its words. */
static inline void draw_ahead(struct way *way)
{
    struct gups_course *course = &way->drawn;
    const struct gups_window *window = &way->windows[course->window];
    uint64_t *numbers = way->pending + (uint64_t)way->free * course->updates;
    way->set[way->free].window = course->window;
    gups_draw(course, numbers);
    gups_go_on(course);
    way->set[way->free].number = course->number;
    way->set[way->free].choice = course->choice;
    way->free = way->free + 1 < way->slots ? way->free + 1 : 0;
    if (way->asked == NONE)
        return;
    if (way->asked == SEGMENTS)
        prefetch_space(window->space);
    const uint64_t *table = way->asked == FLAT ? window->flat : window->table;
    for (uint32_t i = 0; i < course->updates; i++)
        __builtin_prefetch(&table[numbers[i] & course->mask], 1);
}

static void begin(struct way *way, const struct gups_course *course,
                  const struct gups_window *windows, enum asked asked, uint64_t *pending)
{
    uint32_t ahead = UPDATES_AHEAD / course->updates;
    ahead = ahead < 1 ? 1 : ahead > SETS_AHEAD_MAX ? SETS_AHEAD_MAX : ahead;
    *way = (struct way){
        .windows = windows,
        .asked = asked,
        .done = *course,
        .drawn = *course,
        .pending = pending,
        .slots = ahead + 1,
    };
    for (uint32_t i = 0; i < ahead; i++)
        draw_ahead(way);
}

/* Where the next set goes. */
static inline const struct gups_window *window_now(const struct way *way)
{
    return &way->windows[way->set[way->now].window];
}

static inline void apply_now(struct way *way, uint64_t *table)
{
    uint32_t now = way->now, updates = way->done.updates;
    gups_apply(table, way->done.mask, way->pending + (uint64_t)now * updates, updates);
    way->done.number = way->set[now].number;
    way->done.choice = way->set[now].choice;
    way->done.sets++;
    way->now = now + 1 < way->slots ? now + 1 : 0;
}

/* The course as far as it is applied. */
static void end(const struct way *way, struct gups_course *course)
{
    *course = way->done;
    course->window = way->set[way->now].window;
}

int gups_run_flat(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                  struct gups_turn *turn)
{
    struct way way;
    gups_turn_begin(turn);
    begin(&way, course, windows, FLAT, pending);
    for (uint64_t sets = 0; !gups_is_over(turn, sets); sets++) {
        draw_ahead(&way);
        apply_now(&way, window_now(&way)->flat);
    }
    end(&way, course);
    gups_turn_end(turn);
    return SJ_OK;
}

int gups_run_vases(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                   struct gups_turn *turn)
{
    struct way way;
    gups_turn_begin(turn);
    bool apart = course->windows == 1 || windows[0].table != windows[1].table;
    struct sj_vas *inside = windows[course->window].vas;
    int error = sj_vas_switch(inside, 0, NULL);
    begin(&way, course, windows, apart ? SEGMENTS : NONE, pending);
    for (uint64_t sets = 0; error == SJ_OK && !gups_is_over(turn, sets); sets++) {
        const struct gups_window *window = window_now(&way);
        if (window->vas != inside) {
            inside = window->vas;
            error = sj_vas_switch(inside, 0, NULL);
            if (error != SJ_OK)
                break;
        }
        draw_ahead(&way);
        apply_now(&way, window->table);
    }
    end(&way, course);
    int left = sj_vas_switch(NULL, 0, NULL);
    gups_turn_end(turn);
    return error == SJ_OK ? left : error;
}

/* Maps a window where the one before was; what that had in page tables is gone. */
static int map_window(const struct gups_window *window, uint64_t words)
{
    char *at = (char *)window->table - window->offset;
    uint64_t bytes = window->offset + words * sizeof(uint64_t);
    if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, window->fd, 0) ==
        MAP_FAILED)
        return sj_error(SJ_ENOMEM, "mmap of a window of %llu bytes: %s", (unsigned long long)bytes,
                        strerror(errno));
    return SJ_OK;
}

int gups_run_maps(struct gups_course *course, const struct gups_window *windows, uint64_t *pending,
                  struct gups_turn *turn)
{
    struct way way;
    gups_turn_begin(turn);
    const struct gups_window *mapped = &windows[course->window];
    int error = map_window(mapped, course->mask + 1);
    begin(&way, course, windows, NONE, pending);
    for (uint64_t sets = 0; error == SJ_OK && !gups_is_over(turn, sets); sets++) {
        const struct gups_window *window = window_now(&way);
        if (window != mapped) {
            mapped = window;
            error = map_window(window, course->mask + 1);
            if (error != SJ_OK)
                break;
        }
        draw_ahead(&way);
        apply_now(&way, window->table);
    }
    end(&way, course);
    gups_turn_end(turn);
    return error;
}
