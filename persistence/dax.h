// SPDX-License-Identifier: Apache-2.0
/*
 * dax.h: the `dax` domain: files whose mappings are the media (persistent memory).
 *
 *   granularity   what makes a store durable                 which files
 *   byte          a fence: caches are drained at power loss  MAP_SYNC works, region says cpu_cache
 *   cache line    each line is flushed, then a fence         MAP_SYNC works
 *
 * A file is in the domain when the kernel maps it with MAP_SYNC: then it also keeps, at each first
 * store to a page, the file's own metadata durable. libpmem2, when pmdk.py has handed its functions
 * over (sj_dax_use), is asked instead: it decides in the same way, and may be told otherwise by
 * its environment. Its word counts for a file that MAP_SYNC does not work on only on tmpfs, where
 * nothing is promised through power loss anyway: that is emulation, for tests.
 *
 * The built-in flush is the best instruction that the CPU has: clwb, clflushopt or clflush and
 * sfence (x86-64), dc cvap and dsb (aarch64; without it no file is in the domain).
 *
 * Cost: 20–100 ns a line of persistent memory, 100–200 ns a fence; a system call for the first
 * store to each page.
 */
#ifndef SJ_PERSISTENCE_DAX_H
#define SJ_PERSISTENCE_DAX_H

#include "persistence/domain.h"

/* As libpmem2 numbers them. */
enum sj_dax_granularity {
    SJ_DAX_BYTE = 0,
    SJ_DAX_CACHE_LINE = 1,
    SJ_DAX_PAGE = 2, /* not in this domain */
};

enum sj_dax_flush {
    SJ_DAX_CLWB,       /* writes the line back and keeps it */
    SJ_DAX_CLFLUSHOPT, /* and drops it */
    SJ_DAX_CLFLUSH,    /* and waits for each */
    SJ_DAX_CVAP,       /* aarch64: to the point of persistence */
    SJ_DAX_FLUSHES,
};

/* libpmem2's functions; their first arguments are its opaque structs. */
struct sj_dax_library {
    int (*source_from_fd)(void **source, int fd);
    int (*source_delete)(void **source);
    int (*config_new)(void **config);
    int (*config_delete)(void **config);
    int (*config_set_granularity)(void *config, int granularity);
    int (*config_set_length)(void *config, size_t bytes);
    int (*config_set_protection)(void *config, unsigned protection);
    int (*map_new)(void **map, const void *config, const void *source);
    int (*map_delete)(void **map);
    int (*map_granularity)(void *map);
    void (*(*map_flush)(void *map))(const void *at, size_t bytes);
    void (*(*map_drain)(void *map))(void);
};

/* Takes the library's word and functions for segments that are opened from now on; NULL: the
 * built-in ones again. */
SJ_API void sj_dax_use(const struct sj_dax_library *library);

/* The domain of an open file of at least a page, or NULL when it is not in this one. */
const struct sj_domain *sj_dax_domain(int fd);

/* The built-in domain that flushes in this way; NULL when the CPU cannot. (For tests.) */
SJ_API const struct sj_domain *sj_dax_builtin(enum sj_dax_flush flush);

#endif
