// SPDX-License-Identifier: Apache-2.0
/* dax.c: flush instructions, and which files are in the `dax` domain (dax.h says how). */
#include "persistence/dax.h"

#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define PROBE_BYTES 4096ull

/* ------------------------------------------------------------------ instructions */

#define FLUSH_LINES(instruction, line_bytes)                                                       \
    do {                                                                                           \
        uintptr_t line = (uintptr_t)at & ~((uintptr_t)(line_bytes) - 1);                           \
        for (; line < (uintptr_t)at + bytes; line += (line_bytes))                                 \
            __asm__ volatile(instruction : : "r"(line) : "memory");                                \
    } while (0)

#if defined(__x86_64__)

static void flush_clwb(const void *at, size_t bytes)
{
    FLUSH_LINES("clwb (%0)", 64);
}

static void flush_clflushopt(const void *at, size_t bytes)
{
    FLUSH_LINES("clflushopt (%0)", 64);
}

static void flush_clflush(const void *at, size_t bytes)
{
    FLUSH_LINES("clflush (%0)", 64);
}

static void drain(void)
{
    __asm__ volatile("sfence" : : : "memory");
}

/* Whether the CPU has the instruction (CPUID leaf 7; clflush is older than x86-64). */
static bool cpu_has(enum sj_dax_flush flush)
{
    unsigned a, b = 0, c, d;
    if (flush == SJ_DAX_CLFLUSH)
        return true;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return flush == SJ_DAX_CLWB ? (b >> 24 & 1) != 0
                                : flush == SJ_DAX_CLFLUSHOPT && (b >> 23 & 1) != 0;
}

#elif defined(__aarch64__)

#define HWCAP_HAS_CVAP (1ul << 16) /* HWCAP_DCPOP */

/* `sys` spells dc cvap for assemblers of the time before it. */
static void flush_cvap(const void *at, size_t bytes)
{
    uint64_t type;
    __asm__("mrs %0, ctr_el0" : "=r"(type));
    FLUSH_LINES("sys #3, c7, c12, #1, %0", 4ull << (type >> 16 & 15));
}

static void drain(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

static bool cpu_has(enum sj_dax_flush flush)
{
    return flush == SJ_DAX_CVAP && (getauxval(AT_HWCAP) & HWCAP_HAS_CVAP) != 0;
}

#else

static void drain(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool cpu_has(enum sj_dax_flush flush)
{
    (void)flush;
    return false;
}

#endif

/* ------------------------------------------------------------------ domains */

#define DAX(the_flush, the_drain, flags)                                                           \
    {.name = "dax",                                                                                \
     .durability = SJ_DURABILITY_POWER,                                                            \
     .outlives_reboot = true,                                                                      \
     .sums = true,                                                                                 \
     .collects = true,                                                                             \
     .map_flags = (flags),                                                                         \
     .flush = (the_flush),                                                                         \
     .drain = (the_drain),                                                                         \
     .sync = sj_domain_sync_file}

static const struct sj_domain builtin[SJ_DAX_FLUSHES] = {
#if defined(__x86_64__)
    [SJ_DAX_CLWB] = DAX(flush_clwb, drain, MAP_SHARED_VALIDATE | MAP_SYNC),
    [SJ_DAX_CLFLUSHOPT] = DAX(flush_clflushopt, drain, MAP_SHARED_VALIDATE | MAP_SYNC),
    [SJ_DAX_CLFLUSH] = DAX(flush_clflush, drain, MAP_SHARED_VALIDATE | MAP_SYNC),
#elif defined(__aarch64__)
    [SJ_DAX_CVAP] = DAX(flush_cvap, drain, MAP_SHARED_VALIDATE | MAP_SYNC),
#endif
};

static const struct sj_domain builtin_byte = DAX(NULL, drain, MAP_SHARED_VALIDATE | MAP_SYNC);

const struct sj_domain *sj_dax_builtin(enum sj_dax_flush flush)
{
    return cpu_has(flush) ? &builtin[flush] : NULL;
}

/* ------------------------------------------------------------------ what the kernel says */

static bool map_sync_works(int fd)
{
    void *at = mmap(NULL, PROBE_BYTES, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if (at == MAP_FAILED)
        return false;
    munmap(at, PROBE_BYTES);
    return true;
}

/* Whether the region of the file's device drains the caches at power loss (eADR). A partition's
 * directory lies in that of its device. */
static bool caches_are_drained(int fd)
{
    struct stat status;
    char path[128], text[32] = "";
    if (fstat(fd, &status) != 0)
        return false;
    unsigned long long device[2] = {major(status.st_dev), minor(status.st_dev)};
    snprintf(path, sizeof path, "/sys/dev/block/%llu:%llu/device/../persistence_domain", device[0],
             device[1]);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(path, sizeof path, "/sys/dev/block/%llu:%llu/../device/../persistence_domain",
                 device[0], device[1]);
        file = fopen(path, "re");
    }
    if (file == NULL)
        return false;
    bool drained = fgets(text, sizeof text, file) != NULL && strcmp(text, "cpu_cache\n") == 0;
    fclose(file);
    return drained;
}

static const struct sj_domain *builtin_domain(int fd)
{
    if (!map_sync_works(fd))
        return NULL;
    for (enum sj_dax_flush flush = 0; flush < SJ_DAX_FLUSHES; flush++)
        if (cpu_has(flush))
            return caches_are_drained(fd) ? &builtin_byte : &builtin[flush];
    return NULL;
}

/* ------------------------------------------------------------------ what libpmem2 says */

#define LIBRARY_PROTECTION_READ (1u << 30)

/* A process has one libpmem2: whoever stores to these stores the same. */
static struct sj_dax_library library;
static bool library_used;
static struct sj_domain library_domain[2][2]; /* granularity; mapped with MAP_SYNC or not */

void sj_dax_use(const struct sj_dax_library *functions)
{
    if (functions != NULL)
        library = *functions;
    __atomic_store_n(&library_used, functions != NULL, __ATOMIC_RELEASE);
}

/* The domain of a file that the library has mapped. */
static const struct sj_domain *library_domain_of(void *map, int fd)
{
    int granularity = library.map_granularity(map);
    bool sync = map_sync_works(fd);
    struct statfs fs;
    if (granularity != SJ_DAX_BYTE && granularity != SJ_DAX_CACHE_LINE)
        return NULL;
    if (!sync && (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC))
        return NULL;
    struct sj_domain *domain = &library_domain[granularity][sync];
    *domain = (struct sj_domain)DAX(library.map_flush(map), library.map_drain(map),
                                    sync ? MAP_SHARED_VALIDATE | MAP_SYNC : 0);
    return domain;
}

/* Lets the library map a page of the file. */
static const struct sj_domain *ask_library(int fd)
{
    const struct sj_domain *domain = NULL;
    void *source = NULL, *config = NULL, *map = NULL;
    if (library.source_from_fd(&source, fd) != 0)
        return NULL;
    if (library.config_new(&config) == 0) {
        if (library.config_set_granularity(config, SJ_DAX_PAGE) == 0 &&
            library.config_set_length(config, PROBE_BYTES) == 0 &&
            library.config_set_protection(config, LIBRARY_PROTECTION_READ) == 0 &&
            library.map_new(&map, config, source) == 0) {
            domain = library_domain_of(map, fd);
            library.map_delete(&map);
        }
        library.config_delete(&config);
    }
    library.source_delete(&source);
    return domain;
}

const struct sj_domain *sj_dax_domain(int fd)
{
    return __atomic_load_n(&library_used, __ATOMIC_ACQUIRE) ? ask_library(fd) : builtin_domain(fd);
}
