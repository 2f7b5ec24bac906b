// SPDX-License-Identifier: Apache-2.0
/*
 * dax_library.h: segments of the `dax` domain on tmpfs, for native tests.
 *
 * The table stands for libpmem2 with PMEM2_FORCE_GRANULARITY (the real one is what the Python tests
 * run with): it says that stores become durable by cache lines, and flushes with the best
 * instruction of the CPU.
 */
#ifndef SJ_TESTS_DAX_LIBRARY_H
#define SJ_TESTS_DAX_LIBRARY_H

#include "harness.h"

#include "persistence/dax.h"

static enum sj_dax_granularity test_granularity = SJ_DAX_CACHE_LINE;
static const struct sj_domain *test_flushes; /* whose functions are used */
static char test_handle;

static int test_made(void **made)
{
    *made = &test_handle;
    return 0;
}

static int test_source_from_fd(void **source, int fd)
{
    CHECK(fd >= 0);
    return test_made(source);
}

static int test_given_back(void **made)
{
    CHECK(*made == &test_handle);
    *made = NULL;
    return 0;
}

static int test_set_granularity(void *config, int granularity)
{
    return config == &test_handle && granularity == SJ_DAX_PAGE ? 0 : -1;
}

static int test_set_length(void *config, size_t bytes)
{
    return config == &test_handle && bytes > 0 ? 0 : -1;
}

static int test_set_protection(void *config, unsigned protection)
{
    return config == &test_handle && protection != 0 ? 0 : -1;
}

static int test_map_new(void **map, const void *config, const void *source)
{
    return config == source ? test_made(map) : -1;
}

static int test_map_granularity(void *map)
{
    return map == &test_handle ? (int)test_granularity : -1;
}

static void (*test_map_flush(void *map))(const void *, size_t)
{
    return map == &test_handle ? test_flushes->flush : NULL;
}

static void (*test_map_drain(void *map))(void)
{
    return map == &test_handle ? test_flushes->drain : NULL;
}

static const struct sj_dax_library test_library = {
    .source_from_fd = test_source_from_fd,
    .source_delete = test_given_back,
    .config_new = test_made,
    .config_delete = test_given_back,
    .config_set_granularity = test_set_granularity,
    .config_set_length = test_set_length,
    .config_set_protection = test_set_protection,
    .map_new = test_map_new,
    .map_delete = test_given_back,
    .map_granularity = test_map_granularity,
    .map_flush = test_map_flush,
    .map_drain = test_map_drain,
};

static inline void test_use_dax(void)
{
    for (enum sj_dax_flush flush = 0; flush < SJ_DAX_FLUSHES && test_flushes == NULL; flush++)
        test_flushes = sj_dax_builtin(flush);
    CHECK(test_flushes != NULL);
    sj_dax_use(&test_library);
}

/* A new segment in the `dax` domain. */
static inline struct sj_segment *test_dax_segment(const char *name)
{
    struct sj_segment_spec spec = {name, TEST_BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    test_use_dax();
    CHECK_OK(sj_segment_create(test_path(name), &spec));
    return test_reopen(name);
}

#endif
