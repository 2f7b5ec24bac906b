// SPDX-License-Identifier: Apache-2.0
/*
 * log_group.c: votes and records on the media, and what other segments' files say (log_layout.h has
 * the format, tx_group.h the rules).
 *
 * A file of another segment is read by system calls, never mapped, and may change meanwhile. Two
 * things are asked of it, and either answer stays once it is true:
 *
 *   of the decider: what became of a generation.  The log's generation is read first, then the
 *     record, then `forgotten`: each is stored in the opposite order, with fences in between.
 *   of a member: whether it is through.  One word.
 *
 * With durability "power" the file is synced before the answer is acted upon: what a dead process
 * stored need not be on the media yet.
 */
#include "persistence/log_group.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "persistence/checksum.h"
#include "persistence/sums.h"
#include "persistence/superblock.h"

/* ------------------------------------------------------------------ checksums */

static uint64_t seed_of(const uint8_t uuid[16])
{
    uint64_t words[2];
    memcpy(words, uuid, sizeof words);
    return sj_mix(words[0] ^ SJ_MIX_A, words[1] ^ SJ_MIX_B);
}

static uint64_t vote_checksum(const uint8_t uuid[16], const struct sj_log_vote *vote)
{
    return sj_checksum(seed_of(uuid), (const uint64_t *)vote,
                       offsetof(struct sj_log_vote, checksum) / 8);
}

static uint64_t record_checksum(const uint8_t uuid[16], const struct sj_log_record *record)
{
    uint64_t seed = sj_checksum_step(seed_of(uuid), record->generation, record->bytes);
    return sj_checksum(seed, (const uint64_t *)record->member, record->bytes / 8);
}

/* Whether a copy of a record is what somebody wrote; `uuid`: of the segment it was read from. */
static bool record_is_whole(const struct sj_log_record *record, const uint8_t uuid[16])
{
    return record->bytes <= SJ_LOG_RECORD_BYTES &&
           record->checksum == record_checksum(uuid, record);
}

/* ------------------------------------------------------------------ paths */

static size_t path_bytes(const struct sj_segment *segment)
{
    return strlen(segment->sums_path) - strlen(SJ_SUMS_SUFFIX);
}

/* Bytes of the path that are the directory, with the slash behind it. */
static size_t directory_bytes(const struct sj_segment *segment)
{
    size_t bytes = path_bytes(segment);
    while (bytes > 0 && segment->sums_path[bytes - 1] != '/')
        bytes--;
    return bytes;
}

/* The directory as the kernel sees it, without links. */
static int real_directory(const struct sj_segment *segment, char real[PATH_MAX])
{
    char directory[PATH_MAX];
    size_t bytes = directory_bytes(segment);
    snprintf(directory, sizeof directory, "%.*s", (int)bytes, segment->sums_path);
    if (realpath(bytes == 0 ? "." : directory, real) == NULL)
        return sj_segment_failed(bytes == 0 ? "." : directory, "realpath");
    return SJ_OK;
}

/* The way from one real directory to the other: as many "../" as are needed, then downwards. */
static int way_between(const char *from, const char *to, char *way, size_t bytes)
{
    size_t same = 0, length = 0;
    for (size_t i = 0; from[i] == to[i] || from[i] == '\0' || to[i] == '\0'; i++) {
        bool from_ends = from[i] == '\0' || from[i] == '/';
        bool to_ends = to[i] == '\0' || to[i] == '/';
        if (from_ends && to_ends)
            same = i;
        if (from[i] == '\0' || to[i] == '\0')
            break;
    }
    way[0] = '\0';
    for (const char *at = from + same; *at != '\0'; at++)
        if (at[0] == '/' && at[1] != '\0' && length < bytes)
            length += (size_t)snprintf(way + length, bytes - length, "../");
    const char *down = to + same;
    down += *down == '/';
    if (*down != '\0' && length < bytes)
        length += (size_t)snprintf(way + length, bytes - length, "%s/", down);
    return length < bytes ? SJ_OK : SJ_EINVAL;
}

/* The path of one segment's file as seen from the directory of the other one's. */
static int path_between(const struct sj_segment *from, const struct sj_segment *to,
                        char path[SJ_LOG_PATH_MAX + 1])
{
    char here[PATH_MAX], there[PATH_MAX];
    size_t directory = directory_bytes(to);
    int error = SJ_OK;
    path[0] = '\0';
    if (directory != directory_bytes(from) ||
        memcmp(from->sums_path, to->sums_path, directory) != 0) {
        error = real_directory(from, here);
        if (error == SJ_OK)
            error = real_directory(to, there);
        if (error == SJ_OK)
            error = way_between(here, there, path, SJ_LOG_PATH_MAX + 1);
    }
    size_t way = strlen(path), name = path_bytes(to) - directory;
    if (error == SJ_EINVAL || (error == SJ_OK && way + name > SJ_LOG_PATH_MAX))
        return sj_error(SJ_EINVAL,
                        "the way from the file of '%s' to that of '%s' has more than %d bytes: "
                        "only stores that lie closer to each other can be in one transaction",
                        from->name, to->name, SJ_LOG_PATH_MAX);
    if (error == SJ_OK)
        snprintf(path + way, SJ_LOG_PATH_MAX + 1 - way, "%.*s", (int)name,
                 to->sums_path + directory);
    return error;
}

/* ------------------------------------------------------------------ files of others */

static bool is_path(const char *path, uint64_t bytes)
{
    return bytes > 0 && bytes <= SJ_LOG_PATH_MAX && strnlen(path, bytes) == bytes;
}

/* Opens the file of the segment with that uuid. SJ_ENOTFOUND: there is none under that path. */
static int open_other(const struct sj_segment *segment, const char *path, const uint8_t uuid[16],
                      int *opened)
{
    char whole[PATH_MAX];
    struct sj_super super;
    uint64_t which;
    if (snprintf(whole, sizeof whole, "%.*s%s", (int)directory_bytes(segment), segment->sums_path,
                 path) >= (int)sizeof whole)
        return sj_error(SJ_EINVAL, "%s: its path is too long", path);
    int fd = open(whole, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOTDIR ? sj_error(SJ_ENOTFOUND, "%s: is not there", whole)
                                : sj_segment_failed(whole, "open");
    int error = sj_super_read(fd, whole, &super, &which);
    if (error == SJ_OK && memcmp(super.uuid, uuid, sizeof super.uuid) != 0)
        error = sj_error(SJ_ENOTFOUND, "%s: another segment has taken its place", whole);
    if (error == SJ_OK)
        *opened = fd;
    else
        close(fd);
    return error;
}

/* Reads part of a log's header from another one's file. */
static int read_header(int fd, const char *path, size_t offset, void *into, size_t bytes)
{
    ssize_t got = sj_segment_read(fd, into, bytes, SJ_LOG_AT + offset);
    if (got < 0)
        return sj_segment_failed(path, "read");
    if ((size_t)got < bytes)
        return sj_error(SJ_ETRUNCATED, "%s: the file is cut short", path);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return SJ_OK;
}

#define READ_HEADER(fd, path, field, into)                                                         \
    read_header(fd, path, offsetof(struct sj_log, field), into, sizeof *(into))

/* The record of another one, which may be writing the next one just now. SJ_ECORRUPT: it stays as
 * it is, and nobody wrote that. */
static int read_record(int fd, const char *path, const uint8_t uuid[16],
                       struct sj_log_record *record)
{
    struct sj_log_record before = {.bytes = UINT64_MAX};
    for (;;) {
        int error = READ_HEADER(fd, path, record, record);
        if (error != SJ_OK || record->generation == 0 || record_is_whole(record, uuid))
            return error;
        if (memcmp(record, &before, sizeof before) == 0)
            return sj_error(SJ_ECORRUPT, "%s: its record is damaged", path);
        before = *record;
    }
}

/* What was read from the file is durable. */
static int make_durable(const struct sj_segment *segment, int fd, const char *path)
{
    if (segment->domain->durability == SJ_DURABILITY_POWER && fsync(fd) != 0)
        return sj_segment_failed(path, "fsync");
    return SJ_OK;
}

/* ------------------------------------------------------------------ votes */

int sj_log_vote(struct sj_segment *member, const struct sj_segment *decider)
{
    struct sj_log_vote vote = {.generation = member->tx.generation,
                               .decider_generation = decider->tx.generation};
    memcpy(vote.decider, decider->uuid, sizeof vote.decider);
    int error = path_between(member, decider, vote.path);
    if (error != SJ_OK)
        return error;
    vote.path_bytes = strlen(vote.path);
    vote.checksum = vote_checksum(member->uuid, &vote);
    sj_copy(&member->log->vote, &vote, sizeof vote);
    sj_flush(member->domain, &member->log->vote, sizeof vote);
    return SJ_OK;
}

/* What the file of the decider says. */
static int ask(const struct sj_segment *segment, const struct sj_log_vote *vote, int fd,
               bool *committed)
{
    struct sj_log_record record;
    uint64_t generation, forgotten;
    int error = READ_HEADER(fd, vote->path, generation, &generation);
    if (error != SJ_OK || generation <= vote->decider_generation)
        return error; /* it has not decided, and who could have is dead */
    error = read_record(fd, vote->path, vote->decider, &record);
    if (error == SJ_OK)
        error = READ_HEADER(fd, vote->path, forgotten, &forgotten);
    if (error != SJ_OK)
        return error;
    if (record.generation == vote->decider_generation) {
        *committed = true;
        return make_durable(segment, fd, vote->path);
    }
    if (forgotten >= vote->decider_generation)
        return sj_error(SJ_ENOTFOUND,
                        "%s: it had a record, and gave it up while '%s' was not to be found",
                        vote->path, segment->name);
    return SJ_OK;
}

int sj_log_asks(const char *path, uint8_t decider[16], bool *asks)
{
    struct sj_log_vote vote;
    struct sj_super super;
    uint64_t which, generation;
    *asks = false;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sj_segment_failed(path, "open");
    int error = sj_super_read(fd, path, &super, &which);
    if (error == SJ_OK)
        error = READ_HEADER(fd, path, vote, &vote);
    if (error == SJ_OK)
        error = READ_HEADER(fd, path, generation, &generation);
    close(fd);
    if (error != SJ_OK)
        return error;
    *asks = vote.generation == generation && vote.checksum == vote_checksum(super.uuid, &vote);
    memcpy(decider, vote.decider, sizeof vote.decider);
    return SJ_OK;
}

int sj_log_outcome(const struct sj_segment *segment, bool *committed)
{
    struct sj_log_vote vote = segment->log->vote;
    int fd;
    *committed = false;
    if (vote.generation != sj_load(&segment->log->generation) ||
        vote.checksum != vote_checksum(segment->uuid, &vote))
        return SJ_OK;
    if (vote.path_bytes != strnlen(vote.path, sizeof vote.path) ||
        !is_path(vote.path, vote.path_bytes))
        return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&segment->log->vote,
                                  "the path of a segment");
    int error = open_other(segment, vote.path, vote.decider, &fd);
    if (error == SJ_OK) {
        error = ask(segment, &vote, fd, committed);
        close(fd);
    }
    if (error == SJ_OK)
        return SJ_OK;
    *committed = false;
    if (segment->accepted)
        return SJ_OK;
    char detail[256];
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    return sj_error(SJ_EINDOUBT,
                    "'%s': a process died in a transaction over several stores, and the one that "
                    "decides cannot be asked (%s): put it back, or run 'spacejmp check --accept "
                    "%s', which undoes this store's part",
                    segment->name, detail, segment->name);
}

/* ------------------------------------------------------------------ records */

/* Appends a member to the record. */
static int add_member(const struct sj_segment *decider, const struct sj_segment *segment,
                      struct sj_log_record *record)
{
    char path[SJ_LOG_PATH_MAX + 1] = {0};
    struct sj_log_member member = {.generation = segment->tx.generation};
    int error = path_between(decider, segment, path);
    if (error != SJ_OK)
        return error;
    memcpy(member.uuid, segment->uuid, sizeof member.uuid);
    member.path_bytes = strlen(path);
    size_t padded = (member.path_bytes + 7) / 8 * 8;
    if (record->bytes + sizeof member + padded > SJ_LOG_RECORD_BYTES)
        return sj_error(SJ_EINVAL,
                        "the names of the stores of one transaction take more than %d "
                        "bytes: change fewer in one",
                        SJ_LOG_RECORD_BYTES);
    memcpy(record->member + record->bytes, &member, sizeof member);
    memcpy(record->member + record->bytes + sizeof member, path, padded);
    record->bytes += sizeof member + padded;
    return SJ_OK;
}

int sj_log_record(struct sj_segment *decider, struct sj_segment *const *segments, uint32_t count)
{
    struct sj_log_record record = {.generation = decider->tx.generation};
    for (uint32_t i = 0; i < count; i++) {
        int error = segments[i] == decider ? SJ_OK : add_member(decider, segments[i], &record);
        if (error != SJ_OK)
            return error;
    }
    record.checksum = record_checksum(decider->uuid, &record);
    size_t bytes = offsetof(struct sj_log_record, member) + record.bytes;
    sj_copy(&decider->log->record, &record, bytes);
    sj_flush(decider->domain, &decider->log->record, bytes);
    return SJ_OK;
}

void sj_log_record_end(struct sj_segment *decider)
{
    uint64_t *generation = &decider->log->record.generation;
    sj_store(generation, 0);
    sj_flush(decider->domain, generation, sizeof *generation);
}

/* Whoever asks for that generation, or an earlier one, gets no answer any more. */
static void note_forgotten(struct sj_segment *segment, uint64_t generation)
{
    uint64_t *forgotten = &segment->log->forgotten;
    if (*forgotten < generation)
        sj_store(forgotten, generation);
    sj_flush(segment->domain, forgotten, sizeof *forgotten);
    sj_fence(segment->domain);
}

/* A record that counts, or that is damaged, is not one that never was decided. */
static bool record_counts(const struct sj_segment *segment, bool *whole)
{
    const struct sj_log_record record = segment->log->record;
    *whole = record_is_whole(&record, segment->uuid);
    return *whole && record.generation < sj_load(&segment->log->generation);
}

void sj_log_withdraw(struct sj_segment *segment)
{
    bool whole;
    if (SJ_LIKELY(!sj_log_has_record(segment)) || record_counts(segment, &whole))
        return;
    if (!whole) /* torn, or damaged: then others may ask for what it was */
        note_forgotten(segment, sj_load(&segment->log->generation) - 1);
    sj_log_record_end(segment);
    sj_fence(segment->domain);
}

enum member_state { MEMBER_THROUGH, MEMBER_GONE, MEMBER_WAITS };

static int look_at(const struct sj_segment *segment, const struct sj_log_member *member,
                   const char *path, enum member_state *state)
{
    uint64_t generation;
    int fd, error = open_other(segment, path, member->uuid, &fd);
    *state = MEMBER_GONE;
    if (error != SJ_OK)
        return error == SJ_ENOTFOUND ? SJ_OK : error;
    error = READ_HEADER(fd, path, generation, &generation);
    *state = generation > member->generation ? MEMBER_THROUGH : MEMBER_WAITS;
    if (error == SJ_OK && *state == MEMBER_THROUGH)
        error = make_durable(segment, fd, path);
    close(fd);
    return error;
}

/* Looks at all members of a record; `*gone`: one of them is not there. */
static int look_at_all(const struct sj_segment *segment, const struct sj_log_record *record,
                       bool *gone)
{
    *gone = false;
    for (uint64_t at = 0; at < record->bytes;) {
        struct sj_log_member member = {.path_bytes = 0};
        char path[SJ_LOG_PATH_MAX + 1] = {0};
        enum member_state state;
        uint64_t rest = record->bytes - at;
        const uint8_t *place = record->member + at;
        if (rest >= sizeof member)
            memcpy(&member, place, sizeof member);
        if (member.path_bytes > rest - sizeof member ||
            !is_path((const char *)place + sizeof member, member.path_bytes))
            return sj_segment_damaged(segment, (uint64_t)(uintptr_t)&segment->log->record,
                                      "the members of a record");
        memcpy(path, place + sizeof member, member.path_bytes);
        int error = look_at(segment, &member, path, &state);
        if (error != SJ_OK)
            return error;
        if (state == MEMBER_WAITS)
            return sj_error(SJ_EBUSY,
                            "a process died in a transaction over '%s' and the store in %s, which "
                            "has not been used since: open that once",
                            segment->name, path);
        *gone |= state == MEMBER_GONE;
        at += sizeof member + (member.path_bytes + 7) / 8 * 8;
    }
    return SJ_OK;
}

int sj_log_settle(struct sj_segment *segment)
{
    bool whole, gone;
    if (!sj_log_has_record(segment))
        return SJ_OK;
    if (!record_counts(segment, &whole)) {
        sj_log_withdraw(segment);
        return SJ_OK;
    }
    const struct sj_log_record record = segment->log->record;
    int error = look_at_all(segment, &record, &gone);
    if (error != SJ_OK)
        return error;
    if (gone)
        note_forgotten(segment, record.generation);
    sj_log_record_end(segment);
    return SJ_OK;
}
