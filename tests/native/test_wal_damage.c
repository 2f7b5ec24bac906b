// SPDX-License-Identifier: Apache-2.0
/*
 * test_wal_damage.c: a write-ahead log in which one word is wrong, and all checksums are right.
 * What ends the log leaves the state before; what cannot be explained by a crash is damage, and
 * said to be. And what a writer meets: a ring that was stored over or is gone, a file that is full.
 */
#include "wal_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BATCHES 6u /* of the epoch that is looked at; the last one is the last change */

static char directory[] = "/var/tmp/sj-native-XXXXXX";

/* A store whose machine stopped: its files, as they were. */
static struct {
    char path[3][128]; /* segment, log0, log1 */
    char *bytes[3];
    uint64_t size[3];
    uint64_t before, after; /* digests of the contents without and with the last batch */
    uint64_t epoch;         /* that ends the log */
    uint64_t at;            /* its last batch */
} store;

static char *log_bytes; /* a copy of the log file of that epoch, to be changed */
static uint32_t log_number;
static struct sj_wal_header *header;
static struct sj_wal_batch *batch; /* the last one */
static struct sj_wal_record *record;
static struct sj_wal_range *range;

static void read_file(const char *path, char **bytes, uint64_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    *size = (uint64_t)status.st_size;
    *bytes = malloc(*size);
    CHECK(*bytes != NULL && read(fd, *bytes, *size) == (ssize_t)*size);
    close(fd);
}

static void write_file(const char *path, const char *bytes, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static uint64_t sectors(uint64_t bytes)
{
    return (bytes + header->sector - 1) / header->sector * header->sector;
}

/* The pristine log; header, and the last of its batches, with that record and range. */
static void take(void)
{
    memcpy(log_bytes, store.bytes[log_number + 1], store.size[log_number + 1]);
    header = (struct sj_wal_header *)log_bytes;
    uint64_t at = SJ_WAL_BATCHES;
    for (;;) {
        batch = (struct sj_wal_batch *)(log_bytes + at);
        CHECK(batch->magic == SJ_WAL_BATCH_MAGIC);
        uint64_t next = at + sectors(sizeof *batch + batch->bytes);
        if (((struct sj_wal_batch *)(log_bytes + next))->magic != SJ_WAL_BATCH_MAGIC)
            break;
        at = next;
    }
    store.at = at;
    record = (struct sj_wal_record *)(batch + 1);
    range = (struct sj_wal_range *)(record + 1);
}

static void seal(void)
{
    if (batch->bytes < SJ_WAL_RING)
        batch->checksum = sj_wal_batch_checksum(batch, header->salt);
}

static void seal_header(void)
{
    header->checksum = sj_checksum(SJ_WAL_MAGIC, (const uint64_t *)header,
                                   offsetof(struct sj_wal_header, checksum) / 8);
}

static int open_store(struct sj_segment **segment)
{
    return sj_segment_open(store.path[0], true, true, false, segment);
}

/* Opens the files with the changed log: SJ_OK and the contents' digest. */
static int give(uint64_t *digest)
{
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], i == log_number + 1 ? log_bytes : store.bytes[i], store.size[i]);
    struct sj_segment *segment;
    struct world world;
    int error = open_store(&segment);
    if (error != SJ_OK)
        return error;
    segment->wal->stop = true;
    CHECK(world_find(&world, segment));
    world_check(&world);
    *digest = world_contents(&world);
    world_abandon(segment, true);
    return SJ_OK;
}

#define ENDS(change)                                                                               \
    do {                                                                                           \
        uint64_t digest = 0;                                                                       \
        take();                                                                                    \
        change;                                                                                    \
        CHECK_OK(give(&digest));                                                                   \
        CHECK(digest == store.before);                                                             \
    } while (0)

#define DAMAGED(change, expected)                                                                  \
    do {                                                                                           \
        uint64_t digest;                                                                           \
        take();                                                                                    \
        change;                                                                                    \
        CHECK(give(&digest) == SJ_ECORRUPT);                                                       \
        CHECK(strstr(sj_error_detail(), expected) != NULL);                                        \
    } while (0)

/* Changes, one acknowledged after the other; the machine stops. `epochs`: of the log, 1 or 2. */
static void make(uint32_t epochs)
{
    struct sj_segment *segment;
    struct world world;
    struct model model = {0};
    for (uint32_t i = 0; i < 3; i++) {
        (void)remove(store.path[i]);
        free(store.bytes[i]);
    }
    free(log_bytes);
    world_create(store.path[0]);
    CHECK_OK(open_store(&segment));
    segment->wal->stop = true;
    world_root(segment, "tree", SJ_KIND_BTREE);
    world_root(segment, "map", SJ_KIND_HASHMAP);
    CHECK_OK(world_acknowledge(segment));
    CHECK(world_find(&world, segment));
    for (uint32_t i = 0; i < BATCHES; i++) {
        store.before = model.digest;
        CHECK_OK(world_change(&world, &model, i % 2, 7 + i, 1 + i));
        sj_wal_log_limit = i == 2 && epochs == 2 ? 0 : 1 << 20;
        CHECK_OK(world_acknowledge(segment));
    }
    store.after = model.digest;
    store.epoch = sj_wal_place_now(segment->wal)->epoch;
    CHECK(store.epoch == epochs);
    log_number = store.epoch & 1;
    world_abandon(segment, true);
    for (uint32_t i = 0; i < 3; i++)
        read_file(store.path[i], &store.bytes[i], &store.size[i]);
    log_bytes = malloc(store.size[log_number + 1]);
    CHECK(log_bytes != NULL);
}

static void what_is_whole_counts(void)
{
    uint64_t digest;
    take();
    CHECK_OK(give(&digest));
    CHECK(digest == store.after && digest != store.before);
}

/* ------------------------------------------------------------------ batches */

/* Puts a batch without records before the last one. */
static void insert_empty(void)
{
    char moved[8192];
    uint64_t bytes = sizeof *batch + batch->bytes, empty = sectors(sizeof *batch);
    CHECK(bytes <= sizeof moved);
    memcpy(moved, batch, bytes);
    struct sj_wal_batch *last = (struct sj_wal_batch *)((char *)batch + empty);
    batch->bytes = 0;
    seal();
    memcpy(last, moved, bytes);
    last->chain = batch->checksum;
    batch = last;
    seal();
}

static void a_batch_that_is_none_ends_the_log(void)
{
    ENDS(batch->checksum++);
    ENDS((batch->magic++, seal()));
    ENDS((batch->epoch++, seal()));
    ENDS((batch->bytes -= 4, seal()));
    ENDS(batch->bytes = 1ull << 40);
    ENDS((batch->position -= 8, seal()));
    ENDS((batch->chain++, seal()));
    ENDS(batch->file_bytes--);
    ENDS(insert_empty());
    ENDS(record->generation++);
    ENDS(range->data[0]++);
    ENDS((record->flags = SJ_WAL_BEGIN, seal()));
}

/* Another one's salt: what an older log has left. */
static void of_another_log(void)
{
    batch->checksum = sj_wal_batch_checksum(batch, header->salt + 1);
}

static void a_batch_with_others_behind_it_is_damage(void)
{
    uint64_t first = SJ_WAL_BATCHES;
    DAMAGED(log_bytes[first + 100] ^= 1, "others lie behind it");
    DAMAGED(memset(log_bytes + first, 0, 512), "others lie behind it");
    DAMAGED((batch->position += 8, seal()), "others lie behind it");
    DAMAGED((batch->file_bytes = store.size[log_number + 1] + 1, seal()), "cut off");
    ENDS(of_another_log());
}

/* ------------------------------------------------------------------ records */

static void a_record_that_makes_no_sense_is_damage(void)
{
    const char *expected = "a record makes no sense";
    DAMAGED((record->bytes += 8, seal()), expected);
    DAMAGED((record->bytes = 8, seal()), expected);
    DAMAGED((record->bytes -= 4, seal()), expected);
    DAMAGED((record->committed = store.size[0] + SJ_PAGE, seal()), expected);
    DAMAGED((record->committed = SJ_PAGE, seal()), expected);
    DAMAGED((record->chunks = SJ_GIB / SJ_CHUNK + 1, seal()), expected);
    DAMAGED((record->flags = SJ_WAL_COMMIT, seal()), "that has not begun");
}

/* The record has this range alone, and room for `room` bytes of it. */
static void one_range(uint64_t offset, uint64_t range_bytes, uint64_t room)
{
    record->ranges = 1;
    record->bytes = sizeof *record + sizeof *range + room;
    range->offset = offset;
    range->bytes = range_bytes;
    batch->bytes = record->bytes;
    seal();
}

static void a_range_that_makes_no_sense_is_damage(void)
{
    const char *expected = "range makes no sense";
    DAMAGED(one_range(record->committed - 8, 16, 16), expected);
    DAMAGED(one_range(record->committed - 32, 16, 8), expected);
    DAMAGED((record->ranges++, seal()), expected);
    DAMAGED((record->ranges = 0, seal()), "more bytes than ranges");
    DAMAGED((range->offset += 4, seal()), expected);
    DAMAGED((range->bytes = 0, record->ranges = 1, seal()), expected);
    DAMAGED((range->bytes += 1 << 14, seal()), expected);
    DAMAGED((range->offset = SJ_SUPER_A, seal()), expected);
    DAMAGED((range->offset = SJ_CHUNK0_PAGES_AT - 8, seal()), expected);
    DAMAGED((range->offset = record->committed, seal()), expected);
    DAMAGED((range->offset = 0 - 8ull, seal()), expected);
    DAMAGED((range->offset = record->committed - 8, range->bytes = 16, seal()), expected);
    DAMAGED((range->offset = SJ_ROOT_PAGE_AT, seal()), expected);
    DAMAGED((range->offset = SJ_LOG_AT, seal()), expected);
    DAMAGED((range->offset = SJ_CHUNK_DIR_AT - 8, seal()), expected);
}

/* ------------------------------------------------------------------ headers */

static void the_header_is_of_the_epoch(void)
{
    const char *expected = "expected a log of that epoch";
    DAMAGED(header->salt++, expected);
    DAMAGED((header->magic++, seal_header()), expected);
    DAMAGED((header->version++, seal_header()), expected);
    DAMAGED((header->uuid[3]++, seal_header()), expected);
    DAMAGED((header->epoch += 2, seal_header()), expected);
    DAMAGED((header->position = 1ull << 62, seal_header()), expected);
    DAMAGED((header->sector = 256, seal_header()), expected);
    DAMAGED((header->sector = 768, seal_header()), expected);
    DAMAGED((header->sector = 8192, seal_header()), expected);
    DAMAGED((header->file_bytes = store.size[log_number + 1] + 1, seal_header()), "cut off");
}

static void a_log_file_is_there_whole(void)
{
    struct sj_segment *segment;
    uint64_t digest;
    take();
    CHECK_OK(give(&digest));
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    CHECK(truncate(store.path[log_number + 1], 1024) == 0);
    CHECK(open_store(&segment) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "the file is cut off") != NULL);
    CHECK(unlink(store.path[log_number + 1]) == 0);
    CHECK(open_store(&segment) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "is missing") != NULL);
}

static void the_next_epoch_goes_on_where_the_one_before_ended(void)
{
    const char *expected = "the header is damaged", *early = "ends too early";
    what_is_whole_counts();
    DAMAGED(header->epoch++, expected);
    DAMAGED((header->salt++, seal_header()), expected);
    DAMAGED((header->position -= 8, seal_header()), expected);
    DAMAGED((header->position += 8, seal_header()), early);
    DAMAGED((header->chain++, seal_header()), early);
    /* The end of the epoch before is lost. */
    take();
    log_number = 1 - log_number;
    char *other = log_bytes;
    log_bytes = malloc(store.size[log_number + 1]);
    DAMAGED(memset(batch, 0, sizeof *batch), early);
    free(log_bytes);
    log_bytes = other;
    log_number = 1 - log_number;
}

/* ------------------------------------------------------------------ what a writer has left */

/* A writer died in a commit, before the generation that makes it one: nothing of it may come to
 * count when the next one dies, by then in another generation. */
static void a_commit_that_did_not_come_about_is_forgotten(void)
{
    struct sj_segment *segment;
    uint64_t digest;
    take();
    CHECK_OK(give(&digest)); /* the files are there */
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    CHECK_OK(open_store(&segment));
    struct sj_wal_shared *shared = segment->wal->shared;
    uint64_t tail = shared->tail;
    shared->streaming = 1;
    shared->pending_end = tail + 800;
    shared->pending_generation = segment->log->generation;
    CHECK(sj_wal_pending(segment));
    CHECK_OK(sj_segment_recover(segment));
    CHECK(!sj_wal_pending(segment) && shared->streaming == 0 && shared->tail == tail);
    CHECK_OK(sj_segment_recover(segment));
    CHECK(shared->tail == tail);
    shared->pending_end = tail + 800; /* the generation is the next one: it had committed */
    shared->pending_generation = segment->log->generation - 1;
    CHECK_OK(sj_segment_recover(segment));
    CHECK(!sj_wal_pending(segment) && shared->tail == tail + 800);
    shared->tail = tail;
    world_abandon(segment, true);
}

/* The log on disk is not what was written to it: nothing says then that the store is clean. */
static void a_log_that_changes_meanwhile_is_damage(void)
{
    struct sj_segment *segment;
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    take();
    CHECK_OK(open_store(&segment));
    segment->wal->stop = true;
    int fd = open(store.path[log_number + 1], O_WRONLY);
    static const char zeros[512];
    CHECK(fd >= 0 && pwrite(fd, zeros, sizeof zeros, (off_t)store.at) == (ssize_t)sizeof zeros);
    CHECK(fsync(fd) == 0);
    close(fd);
    CHECK(sj_segment_close(segment, true) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "were written") != NULL);
}

/* What nobody was told is durable is not there any more, after a log that failed. */
static void the_image_of_a_failed_log_is_not_used(void)
{
    struct sj_segment *segment;
    struct world world;
    struct model model = {.digest = store.after};
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_OK(open_store(&segment));
        segment->wal->stop = true;
        CHECK(world_find(&world, segment));
        CHECK(world_contents(&world) == store.after);
        if (round == 0) {
            CHECK_OK(world_change(&world, &model, 0, 40, 9));
            CHECK(world_contents(&world) != store.after);
            segment->wal->shared->failed = EIO;
            CHECK_OK(sj_segment_close(segment, false));
        }
    }
    world_abandon(segment, true);
}

/* A checkpoint of an epoch that was closed, and the next one is not there. */
static void a_closed_epoch_has_a_next_one(void)
{
    struct sj_segment *segment;
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    CHECK_OK(open_store(&segment));
    segment->wal->stop = true;
    char *zeros = calloc(1, store.size[log_number + 1]);
    int fd = open(store.path[log_number + 1], O_WRONLY);
    CHECK(fd >= 0 && zeros != NULL);
    CHECK(pwrite(fd, zeros, store.size[log_number + 1], 0) == (ssize_t)store.size[log_number + 1]);
    CHECK(fsync(fd) == 0);
    close(fd);
    free(zeros);
    CHECK(sj_wal_checkpoint(segment) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "ends too early") != NULL);
    world_abandon(segment, true);
}

/* ------------------------------------------------------------------ the ring */

static struct sj_segment *reopen(struct world *world)
{
    struct sj_segment *segment;
    for (uint32_t i = 0; i < 3; i++)
        write_file(store.path[i], store.bytes[i], store.size[i]);
    CHECK_OK(open_store(&segment));
    segment->wal->stop = true;
    CHECK(world_find(world, segment));
    return segment;
}

/* Something else was stored over a record that waits in the ring: it does not go to the log. */
static void what_is_no_record_is_not_written(void)
{
    for (uint32_t round = 0; round < 2; round++) {
        struct world world;
        struct model model = {.digest = store.after};
        struct sj_segment *segment = reopen(&world);
        struct sj_wal *wal = segment->wal;
        uint64_t durable = sj_wal_place_now(wal)->durable;
        CHECK_OK(world_change(&world, &model, 0, 40, 9));
        struct sj_wal_record *waits = (struct sj_wal_record *)(wal->ring + durable % SJ_WAL_RING);
        uint64_t bytes = wal->shared->tail - durable;
        CHECK(waits->bytes == bytes);
        waits->bytes = bytes + 8; /* behind the end */
        if (round == 1) {
            waits->bytes = 8; /* in its own head, and what seems to be the next one ends well */
            waits->generation = bytes - 8;
        }
        CHECK(sj_wal_flush(segment) == SJ_EIO);
        world_abandon(segment, true);
    }
}

/* The ring's pages are gone, and there is no memory for zeros in their place: the process ends, and
 * does not meet the same fault for ever. */
static void what_cannot_be_replaced_ends_the_process(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which needs memory itself */
    struct world world;
    struct sj_segment *segment = reopen(&world);
    const struct sj_wal *wal = segment->wal;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const struct rlimit no_data = {0, 0};
        alarm(5);
        if (setrlimit(RLIMIT_DATA, &no_data) != 0 || setrlimit(RLIMIT_CORE, &no_data) != 0 ||
            ftruncate(wal->image, (off_t)(segment->reserved + sizeof *wal->shared)) != 0)
            _exit(1);
        _exit(*(volatile char *)wal->ring == 0 ? 2 : 3);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    world_abandon(segment, true);
#endif
}

/* A transaction whose first records are on disk, whose last one waits in the ring, and a file that
 * cannot grow: the other one takes over when the last record is in this one, too. */
static void a_transaction_ends_in_the_file_it_began_in(void)
{
    struct world world;
    struct model model = {.digest = store.after};
    struct rlimit old, limit;
    struct sj_segment *segment = reopen(&world);
    struct sj_wal *wal = segment->wal;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = sj_wal_log_step * 3 / 2; /* they grow by a step */
    signal(SIGXFSZ, SIG_IGN);
    sj_wal_record_limit = 4096;
    sj_wal_ring_limit = 6000;
    CHECK_OK(sj_tx_begin(segment));
    for (uint32_t i = 0; i < 8; i++)
        CHECK_OK(world_change(&world, &model, 0, 20 + i, 15));
    CHECK_OK(sj_tx_commit(segment));
    sj_wal_record_limit = SJ_WAL_RING / 4;
    sj_wal_ring_limit = SJ_WAL_RING;
    const struct sj_wal_place *place = sj_wal_place_now(wal);
    uint64_t epoch = place->epoch;
    CHECK(place->open != 0 && wal->shared->streaming == 0 && wal->shared->tail > place->durable);
    CHECK(wal->shared->log_bytes[epoch & 1] == sj_wal_log_step);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (uint32_t i = 0; sj_wal_place_now(wal)->epoch == epoch && i < 1000; i++)
        CHECK_OK(world_change(&world, &model, 1, i % 8, 3));
    CHECK(sj_wal_place_now(wal)->epoch == epoch + 1);
    CHECK_OK(world_acknowledge(segment));
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    world_abandon(segment, true);
    CHECK_OK(open_store(&segment));
    segment->wal->stop = true;
    CHECK(world_find(&world, segment));
    world_check(&world);
    CHECK(world_contents(&world) == model.digest);
    world_abandon(segment, true);
}

/* The fuzzer met it: a limit of the process was told as a failed system call. */
static void an_image_that_may_not_be_so_large_is_full(void)
{
    struct rlimit old, limit;
    uint64_t digest;
    take();
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = store.size[0] + store.size[1] + store.size[2]; /* and not the whole reserve */
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(give(&digest) == SJ_EFULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    what_is_whole_counts();
}

int main(void)
{
    char command[128];
    test_begin();
    CHECK(setenv("SPACEJMP_SHM", test_directory, 1) == 0);
    CHECK(mkdtemp(directory) != NULL);
    snprintf(store.path[0], sizeof store.path[0], "%s/store", directory);
    for (uint32_t i = 0; i < 2; i++)
        snprintf(store.path[i + 1], sizeof store.path[0], "%s/store.log%u", directory, i);
    sj_wal_log_step = 64 << 10;
    make(1);
    what_is_whole_counts();
    a_batch_that_is_none_ends_the_log();
    a_batch_with_others_behind_it_is_damage();
    a_record_that_makes_no_sense_is_damage();
    a_range_that_makes_no_sense_is_damage();
    the_header_is_of_the_epoch();
    a_log_file_is_there_whole();
    a_commit_that_did_not_come_about_is_forgotten();
    a_log_that_changes_meanwhile_is_damage();
    what_is_no_record_is_not_written();
    what_cannot_be_replaced_ends_the_process();
    a_transaction_ends_in_the_file_it_began_in();
    an_image_that_may_not_be_so_large_is_full();
    make(2);
    the_next_epoch_goes_on_where_the_one_before_ended();
    a_closed_epoch_has_a_next_one();
    the_image_of_a_failed_log_is_not_used();
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    CHECK(system(command) == 0);
    printf("ok\n");
    return 0;
}
