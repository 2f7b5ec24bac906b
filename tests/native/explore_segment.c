// SPDX-License-Identifier: Apache-2.0
/*
 * explore_segment.c: the segments that are explored: their domain, and the system calls that are
 * media events too.
 *
 * The size of the file is a word of the media: fallocate() stores it, a sync of the file flushes
 * and fences it. getrandom() gives the run's own numbers, so that a run can be repeated.
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
#include "persistence/pages.h"
#include "persistence/seam.h"
#include "persistence/superblock.h"

#define EXPLORE_BASE 0x3f0000000000ull
#define CLEAN_MAX    4096
#define SUPER_MAX    64

static struct explored {
    struct sj_segment *segment;
    uint64_t file_bytes;
    char path[80];
} explored[2];
static uint64_t random_state;

static uint64_t clean_sum[CLEAN_MAX]; /* of memory when it was marked clean */
static uint32_t clean_count;

static struct super_known {
    uint64_t sum;
    uint64_t state;
} super_known[SUPER_MAX];
static uint32_t super_count;

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
    if (trace_current != NULL)
        trace_add(trace_current, TRACE_FLUSH, (uint64_t)(uintptr_t)segment->base,
                  sj_segment_committed(segment));
    return fsync(segment->fd);
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
int __wrap_fsync(int fd);
ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags);

/* The one whose file it is; NULL: a file that is being made. */
static struct explored *explored_in(int fd)
{
    struct stat status;
    REQUIRE(fstat(fd, &status) == 0);
    for (uint32_t i = 0; i < 2; i++)
        if (explored[i].segment != NULL && explored[i].segment->inode == status.st_ino)
            return &explored[i];
    return NULL;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
    int result = __real_fallocate64(fd, mode, offset, bytes);
    uint64_t end = (uint64_t)offset + (uint64_t)bytes;
    if (result != 0 || trace_current == NULL)
        return result;
    uint64_t *file_bytes = &explored_in(fd)->file_bytes;
    if (end > *file_bytes) {
        trace_add(trace_current, TRACE_STORE, (uint64_t)(uintptr_t)file_bytes, end);
        trace_poke((uint64_t)(uintptr_t)file_bytes, end);
    }
    return result;
}

/* Memory that its process has stored to and not flushed is not the file's own business; what others
 * see of it is. */
int __wrap_fsync(int fd)
{
    if (trace_current == NULL)
        return 0;
    const struct explored *file = explored_in(fd);
    if (fd != file->segment->fd)
        trace_add(trace_current, TRACE_FLUSH, (uint64_t)(uintptr_t)file->segment->base,
                  sj_segment_committed(file->segment));
    trace_add(trace_current, TRACE_FLUSH, (uint64_t)(uintptr_t)&file->file_bytes,
              sizeof file->file_bytes);
    trace_add(trace_current, TRACE_FENCE, 0, 0);
    return 0;
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

static void open_one(uint32_t number, bool power_loss)
{
    struct explored *one = &explored[number];
    struct sj_segment_spec spec = {number == 0 ? "explored" : "second",
                                   EXPLORE_BASE + number * SJ_GIB, SJ_GIB, 0600,
                                   SJ_DURABILITY_PROCESS};
    snprintf(one->path, sizeof one->path, "/dev/shm/sj-explore-%d%s", (int)getpid(),
             number == 0 ? "" : "-second");
    unlink(one->path);
    REQUIRE(sj_segment_create(one->path, &spec) == SJ_OK);
    REQUIRE(sj_segment_open(one->path, true, true, false, &one->segment) == SJ_OK);
    one->segment->domain = power_loss ? &domain_power : &domain_process;
}

struct sj_segment *explored_open(bool power_loss, bool paired, uint64_t seed)
{
    random_state = seed;
    open_one(0, power_loss);
    if (paired)
        open_one(1, power_loss);
    uint64_t base = (uint64_t)(uintptr_t)explored[0].segment->base;
    memset(&trace_sum, 0, sizeof trace_sum);
    trace_area = (struct trace_area){.log_from = base + SJ_LOG_EXTENT0_AT,
                                     .log_bytes = SJ_LOG_EXTENT0_BYTES,
                                     .super_from = base + SJ_SUPER_A,
                                     .super_bytes = 2 * SJ_PAGE};
    clean_count = super_count = 0;
    return explored[0].segment;
}

/* The growth of the files so far is certain. */
void explored_settle(void)
{
    for (uint32_t i = 0; i < 2 && explored[i].segment != NULL; i++) {
        struct stat status;
        REQUIRE(fstat(explored[i].segment->fd, &status) == 0);
        explored[i].file_bytes = (uint64_t)status.st_size;
    }
}

void explored_close(void)
{
    for (uint32_t i = 0; i < 2 && explored[i].segment != NULL; i++) {
        REQUIRE(sj_segment_close(explored[i].segment, true) == SJ_OK);
        unlink(explored[i].path);
        explored[i].segment = NULL;
    }
}

/* Copies volatile state, but each process keeps the memory of its own vectors. */
static void copy_segment(struct sj_segment *target, const struct sj_segment *source)
{
    struct sj_tx *tx = &target->tx;
    struct sj_tx_vector entries = tx->entries, frees = tx->frees, fresh = tx->fresh,
                        marks = tx->marks;
    *target = *source;
    tx->entries = entries;
    tx->frees = frees;
    tx->fresh = fresh;
    tx->marks = marks;
    sj_tx_forget(target);
    target->hints = source->hints;
}

void process_copy(struct process *target, const struct process *source)
{
    struct process kept = *target;
    *target = *source;
    target->segment = kept.segment;
    target->second = kept.second;
    copy_segment(&target->segment, &source->segment);
    copy_segment(&target->second, &source->second);
    for (uint32_t root = 0; root < MODEL_ROOTS; root++) {
        target->root[root].tree.segment = target->root[root].map.segment = &target->segment;
        target->root[root].deque.segment = target->root[root].list.segment = &target->segment;
    }
}

static void start_segment(struct sj_segment *segment, const struct sj_segment *opened)
{
    if (segment->base != opened->base)
        *segment = *opened;
    segment->domain = opened->domain;
    segment->fd = opened->fd;
    segment->inode = opened->inode;
    segment->sums_path = opened->sums_path;
    memcpy(segment->uuid, opened->uuid, sizeof segment->uuid);
    segment->dirty = false;
    sj_tx_forget(segment);
}

void process_start(struct process *process, const struct world *world)
{
    start_segment(&process->segment, explored[0].segment);
    if (world->disturb != NULL)
        start_segment(&process->second, explored[1].segment);
    process->world = world;
    for (uint32_t root = 0; root < MODEL_ROOTS; root++)
        process->root[root].open = false;
}

/* What memory is but for its superblocks. */
static uint64_t rest_sum(void)
{
    return trace_sum.all - trace_sum.super;
}

void process_reopen(struct process *process)
{
    REQUIRE(sj_segment_mark_clean(&process->segment) == SJ_OK);
    REQUIRE(clean_count < CLEAN_MAX);
    clean_sum[clean_count++] = rest_sum();
    process->segment.dirty = false;
}

/* One of the superblocks counts; and one that says "clean" is there only with all that it was said
 * of. What was read once is known by its sum. */
static int check_super(const struct sj_segment *segment)
{
    struct sj_super super;
    uint64_t which;
    uint32_t i = 0;
    while (i < super_count && super_known[i].sum != trace_sum.super)
        i++;
    if (i == super_count) {
        int error = sj_super_read(segment->fd, segment->name, &super, &which);
        if (error != SJ_OK)
            return error;
        i = super_count = super_count < SUPER_MAX ? super_count + 1 : SUPER_MAX;
        super_known[--i] = (struct super_known){trace_sum.super, super.state};
    }
    if ((super_known[i].state & SJ_STATE_CLEAN) == 0)
        return SJ_OK;
    for (uint32_t c = 0; c < clean_count; c++)
        if (clean_sum[c] == rest_sum())
            return SJ_OK;
    return sj_error(SJ_EUNCLEAN, "the superblock says clean, but something has changed");
}

/* The second one's superblocks are read each time; it is never closed. */
static int check_second_super(const struct sj_segment *segment)
{
    struct sj_super super;
    uint64_t which;
    return sj_super_read(segment->fd, segment->name, &super, &which);
}

static int attach(struct process *process, uint32_t side)
{
    struct sj_segment *segment = side == 0 ? &process->segment : &process->second;
    uint64_t committed = sj_segment_committed(segment), file_bytes = explored[side].file_bytes;
    int error = side == 0 ? check_super(segment) : check_second_super(segment);
    if (error != SJ_OK)
        return error;
    if (committed > file_bytes)
        return sj_error(SJ_ETRUNCATED, "the file has %llu bytes, the segment in it %llu",
                        (unsigned long long)file_bytes, (unsigned long long)committed);
    return sj_segment_take_over(segment, true);
}

uint32_t process_orders(const struct world *world)
{
    return world->disturb == NULL ? 1 : 4;
}

int process_attach(struct process *process, uint32_t order)
{
    int error = attach(process, order % 2);
    if (error != SJ_OK || process->world->disturb == NULL)
        return error;
    if (order >= 2)
        process->world->disturb(process, order % 2);
    return attach(process, 1 - order % 2);
}

int explored_log_chunks(const struct sj_segment *segment)
{
    const struct sj_log *log = segment->log;
    for (uint64_t chunk = 0; chunk < segment->root_page->chunks; chunk++) {
        bool covered = SJ_CHUNK_STATE(*sj_chunk_word(segment, chunk)) != SJ_CHUNK_LOG;
        for (uint64_t i = 1; i < log->extents; i++)
            covered |= log->extent[i].at == (uint64_t)(uintptr_t)segment->base + chunk * SJ_CHUNK;
        if (!covered)
            return sj_error(SJ_ECORRUPT, "chunk %llu of the log belongs to no extent",
                            (unsigned long long)chunk);
    }
    return SJ_OK;
}
