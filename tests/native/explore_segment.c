// SPDX-License-Identifier: Apache-2.0
/*
 * explore_segment.c: the segment that is explored: its domain, and the system calls that are media
 * events too.
 *
 * The size of the file is a word of the media: fallocate() stores it, a sync of the file flushes and
 * fences it. getrandom() gives the run's own numbers, so that a run can be repeated.
 */
#include "explore_segment.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/log.h"
#include "persistence/seam.h"

#define EXPLORE_BASE 0x3f0000000000ull

static uint64_t file_bytes;
static uint64_t random_state;
static char path[80];

/* ------------------------------------------------------------------ the domain */

static void flush(const void *at, size_t bytes)
{
    (void)at, (void)bytes; /* the seam has told */
}

static void drain(void)
{
}

static int sync_all(struct sj_segment *segment)
{
    if (trace_current == NULL)
        return SJ_OK;
    trace_add(trace_current, TRACE_FLUSH, (uint64_t)(uintptr_t)segment->base,
              sj_segment_committed(segment));
    trace_add(trace_current, TRACE_FLUSH, (uint64_t)(uintptr_t)&file_bytes, sizeof file_bytes);
    trace_add(trace_current, TRACE_FENCE, 0, 0);
    return SJ_OK;
}

static const struct sj_domain domain_power = {
    .name = "explored, power",
    .durability = SJ_DURABILITY_POWER,
    .outlives_reboot = true,
    .collects = true,
    .flush = flush,
    .drain = drain,
    .sync = sync_all,
};

static const struct sj_domain domain_process = {
    .name = "explored, process",
    .durability = SJ_DURABILITY_PROCESS,
    .sync = sync_all,
};

/* ------------------------------------------------------------------ system calls */

int __real_fallocate64(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes);
ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags);

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
    int result = __real_fallocate64(fd, mode, offset, bytes);
    uint64_t end = (uint64_t)offset + (uint64_t)bytes;
    if (result == 0 && end > file_bytes && trace_current != NULL) {
        trace_add(trace_current, TRACE_STORE, (uint64_t)(uintptr_t)&file_bytes, end);
        trace_poke((uint64_t)(uintptr_t)&file_bytes, end);
    }
    return result;
}

ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < bytes; i++) {
        random_state += 0x9e3779b97f4a7c15ull;
        ((uint8_t *)buffer)[i] = (uint8_t)(trace_mix(random_state, 0x94d049bb133111ebull) >> 24);
    }
    return (ssize_t)bytes;
}

/* ------------------------------------------------------------------ processes */

struct sj_segment *explored_open(bool power_loss, uint64_t seed)
{
    struct sj_segment_spec spec = {"explored", EXPLORE_BASE, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    struct sj_segment *segment;
    random_state = seed;
    snprintf(path, sizeof path, "/dev/shm/sj-explore-%d", (int)getpid());
    unlink(path);
    REQUIRE(sj_segment_create(path, &spec) == SJ_OK);
    REQUIRE(sj_segment_open(path, true, true, false, &segment) == SJ_OK);
    segment->domain = power_loss ? &domain_power : &domain_process;
    uint64_t log = (uint64_t)(uintptr_t)segment->base + SJ_LOG_EXTENT0_AT;
    trace_sum = (struct trace_sum){.log_from = log, .log_to = log + SJ_LOG_EXTENT0_BYTES};
    return segment;
}

/* The growth of the file so far is certain. */
void explored_settle(const struct sj_segment *segment)
{
    struct stat status;
    REQUIRE(fstat(segment->fd, &status) == 0);
    file_bytes = (uint64_t)status.st_size;
}

void explored_close(struct sj_segment *segment)
{
    REQUIRE(sj_segment_close(segment, true) == SJ_OK);
    unlink(path);
}

/* Copies volatile state, but each process keeps the memory of its own vectors. */
void process_copy(struct process *target, const struct process *source)
{
    struct sj_tx *tx = &target->segment.tx;
    struct sj_tx_vector entries = tx->entries, frees = tx->frees, fresh = tx->fresh,
                        marks = tx->marks;
    *target = *source;
    entries.count = frees.count = fresh.count = marks.count = 0;
    tx->entries = entries;
    tx->frees = frees;
    tx->fresh = fresh;
    tx->marks = marks;
    for (uint32_t root = 0; root < MODEL_ROOTS; root++)
        target->root[root].tree.segment = target->root[root].map.segment = &target->segment;
}

void process_start(struct process *process, const struct sj_segment *opened,
                   const struct world *world)
{
    static const struct process nothing;
    struct process fresh = nothing;
    fresh.segment = *opened;
    fresh.segment.dirty = true; /* or each process would begin with a new superblock */
    memset(&fresh.segment.tx, 0, sizeof fresh.segment.tx);
    sj_segment_forget_hints(&fresh.segment);
    fresh.world = world;
    process_copy(process, &fresh);
}

int process_attach(struct process *process)
{
    struct sj_segment *segment = &process->segment;
    uint64_t committed = sj_segment_committed(segment);
    if (committed > file_bytes)
        return sj_error(SJ_ETRUNCATED, "the file has %llu bytes, the segment in it %llu",
                        (unsigned long long)file_bytes, (unsigned long long)committed);
    return sj_segment_take_over(segment, true);
}
