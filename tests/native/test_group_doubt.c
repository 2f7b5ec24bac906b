// SPDX-License-Identifier: Apache-2.0
/*
 * test_group_doubt.c: what is left of a transaction over several segments whose process died: a
 * member whose decider is not there, is another one or is damaged; records that stay, and that are
 * in the way; answers that are not durable yet.
 */
#include "group_world.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, unsigned mode);
ssize_t __real_pread64(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t count, off_t offset);

static ino_t synced;
static uint64_t calls_left = UINT64_MAX; /* until one fails */

static bool call_fails(void)
{
    if (calls_left == UINT64_MAX || calls_left-- != 0)
        return false;
    calls_left = UINT64_MAX;
    errno = EIO;
    return true;
}

int __wrap_open64(const char *path, int flags, unsigned mode)
{
    return call_fails() ? -1 : __real_open64(path, flags, mode);
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t count, off_t offset)
{
    return call_fails() ? -1 : __real_pread64(fd, bytes, count, offset);
}

int __wrap_fsync(int fd)
{
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    synced = status.st_ino;
    return call_fails() ? -1 : __real_fsync(fd);
}

#ifdef SJ_SEAM

/* ------------------------------------------------------------------ where a member is left */

static uint64_t *watched_word;
static int watched_left;

/* Dies before the `watched_left`-th store to a word. */
static void die_at_word(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event == SJ_SEAM_STORE && at == watched_word && watched_left-- == 0)
        _exit(77);
}

/* A child dies in a group over the masked places, before the store to that word. */
static void die_before(uint32_t mask, uint64_t *word, uint64_t value)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watched_word = word;
        watched_left = 0;
        sj_seam_hook = die_at_word;
        (void)change(mask, value);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 77);
}

/* The group is decided by a, and b is not through. */
static void die_decided(uint64_t value)
{
    die_before(3, &place[1].segment->log->generation, value);
    CHECK(has_record(&place[0]) && sj_log_pending(place[1].segment));
}

/* The store is left by its process, as if that had died. */
static void leave_mapped(struct place *at)
{
    sj_segment_unguard(at->segment);
    CHECK(munmap(at->segment->base, at->segment->reserved) == 0);
    at->segment = NULL; /* the rest is lost with the process */
}

static int open_error(const struct place *at)
{
    struct sj_segment *segment;
    int error = sj_segment_open(at->path, true, true, false, &segment);
    CHECK(error != SJ_OK);
    return error;
}

static void move(const char *from, const char *suffix, bool there)
{
    char other[200];
    snprintf(other, sizeof other, "%s%s", from, suffix);
    CHECK((there ? rename(from, other) : rename(other, from)) == 0);
}

static void a_member_without_its_decider_is_in_doubt(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    leave_mapped(&place[1]);
    unmap_place(&place[0]);
    move(place[0].path, ".away", true);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(asks(&place[1]) && !asks(&place[2]));
    CHECK(link(place[2].path, place[0].path) == 0); /* another segment in its place */
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(unlink(place[0].path) == 0 && symlink("a.away", place[0].path) == 0);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(unlink(place[0].path) == 0 && mkdir(place[0].path, 0700) == 0);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(rmdir(place[0].path) == 0 && mkfifo(place[0].path, 0600) == 0);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(unlink(place[0].path) == 0);
    move(place[0].path, ".away", false);
    map_place(&place[1], false);
    CHECK(place[1].word[0] == 2);
    map_place(&place[0], false);
    CHECK(place[0].word[0] == 2 && !has_record(&place[0]));
    CHECK(!asks(&place[1])); /* its vote is there still */
    remove_places();
}

static void a_member_in_doubt_is_rolled_back_when_that_is_accepted(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    leave_mapped(&place[1]);
    unmap_place(&place[0]);
    move(place[0].path, ".away", true);
    map_place(&place[1], true);
    CHECK(place[1].word[0] == 1);
    move(place[0].path, ".away", false);
    map_place(&place[0], false);
    CHECK(place[0].word[0] == 2 && !has_record(&place[0]));
    CHECK_OK(change(3, 3));
    remove_places();
}

/* Writes over a word of a file's log header. */
static void overwrite(const struct place *at, size_t offset, uint64_t value)
{
    char command[300];
    uint64_t before;
    snprintf(command, sizeof command, "%s", at->path);
    FILE *file = fopen(command, "r+");
    CHECK(file != NULL && fseek(file, (long)(SJ_LOG_AT + offset), SEEK_SET) == 0);
    CHECK(fread(&before, sizeof before, 1, file) == 1 && before != value);
    CHECK(fseek(file, (long)(SJ_LOG_AT + offset), SEEK_SET) == 0);
    CHECK(fwrite(&value, sizeof value, 1, file) == 1 && fclose(file) == 0);
}

static void a_damaged_record_is_no_answer(void)
{
    static const size_t offsets[] = {
        offsetof(struct sj_log_record, generation), offsetof(struct sj_log_record, bytes),
        offsetof(struct sj_log_record, checksum), offsetof(struct sj_log_record, member),
        offsetof(struct sj_log_record, member) + 24};
    for (uint32_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        make_places();
        CHECK_OK(change(7, 1));
        die_decided(2);
        leave_mapped(&place[1]);
        overwrite(&place[0], offsetof(struct sj_log, record) + offsets[i], 0x123456789ull);
        CHECK(open_error(&place[1]) == SJ_EINDOUBT);
        set(&place[0], 3, 1); /* the decider goes on, and the answer stays the same */
        CHECK(open_error(&place[1]) == SJ_EINDOUBT);
        if (i % 2 == 0)
            CHECK_OK(change(5, 3));
        CHECK_OK(sj_segment_recover(place[0].segment));
        CHECK(!has_record(&place[0]));
        CHECK(open_error(&place[1]) == SJ_EINDOUBT);
        map_place(&place[1], true);
        CHECK(place[1].word[0] == 1);
        remove_places();
    }
}

static void a_decider_that_is_cut_short_is_no_answer(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    leave_mapped(&place[1]);
    leave_mapped(&place[0]);
    CHECK(truncate(place[0].path, SJ_LOG_AT + 4) == 0);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    CHECK(truncate(place[0].path, SJ_PAGE) == 0);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    map_place(&place[1], true);
    remove_places();
}

/* Votes that lead nowhere, with a checksum that fits, and one that does not. */
static void a_hostile_vote_is_damage(void)
{
    static const struct {
        uint64_t bytes;
        const char *path;
    } hostile[] = {{0, ""}, {1, ""}, {1, "ab"}, {256, "a"}, {UINT64_MAX, "a"}};
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    struct sj_segment *segment = place[1].segment;
    struct sj_log_vote *vote = &segment->log->vote, whole = *vote;
    for (uint32_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        *vote = whole;
        vote->path_bytes = hostile[i].bytes;
        memset(vote->path, 0, sizeof vote->path);
        memcpy(vote->path, hostile[i].path, strlen(hostile[i].path));
        seal_vote(segment);
        CHECK(sj_segment_recover(segment) == SJ_ECORRUPT);
    }
    memset(vote->path, 'a', sizeof vote->path); /* which has no end */
    vote->path_bytes = sizeof vote->path;
    seal_vote(segment);
    CHECK(sj_segment_recover(segment) == SJ_ECORRUPT);
    *vote = whole;
    vote->path[1] = 'x'; /* torn: it says nothing */
    CHECK_OK(sj_segment_recover(segment));
    CHECK(place[1].word[0] == 1 && segment->log->generation == whole.generation + 1);
    *vote = whole; /* of an earlier generation: neither */
    CHECK_OK(sj_segment_recover(segment));
    CHECK(place[1].word[0] == 1);
    remove_places();
}

/* A member whose file is a copy of another one's header votes for nobody. */
static void what_another_segment_wrote_does_not_count(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    struct sj_segment *segment = place[1].segment;
    memcpy(segment->uuid, "somebody else...", sizeof segment->uuid);
    CHECK_OK(sj_segment_recover(segment));
    CHECK(place[1].word[0] == 1);
    remove_places();
}

/* Members that lead nowhere: the record stays, and another segment decides. */
static void a_hostile_record_stands_in_nobodys_way(void)
{
    static const struct {
        size_t offset;
        uint64_t value;
    } hostile[] = {{offsetof(struct sj_log_record, member) + 24, 0},
                   {offsetof(struct sj_log_record, member) + 24, UINT64_MAX},
                   {offsetof(struct sj_log_record, member) + 24, 300},
                   {offsetof(struct sj_log_record, member) + 24, 8},
                   {offsetof(struct sj_log_record, member) + 32, 0x2f},
                   {offsetof(struct sj_log_record, bytes), 8}};
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    CHECK_OK(sj_segment_recover(place[1].segment));
    struct sj_segment *segment = place[0].segment;
    struct sj_log_record *record = &segment->log->record, whole = *record;
    for (uint32_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        *record = whole;
        memcpy((char *)record + hostile[i].offset, &hostile[i].value, sizeof(uint64_t));
        seal_record(segment);
        CHECK_OK(change(5, 10 + i));
        CHECK(record->generation == whole.generation);
        CHECK_OK(sj_segment_recover(segment));
        CHECK(record->generation == whole.generation);
    }
    *record = whole; /* a name goes on behind the end of the record */
    record->member[24] = 3;
    memcpy(record->member + 32, "bxyz", 4);
    record->bytes = 32;
    seal_record(segment);
    CHECK_OK(change(5, 20));
    CHECK(record->generation == whole.generation);
    for (uint64_t bytes = whole.bytes + 4; bytes < UINT64_MAX / 2; bytes *= 1000) {
        *record = whole; /* not whole: it is given up, and nobody gets an answer any more */
        record->bytes = bytes;
        CHECK_OK(sj_segment_recover(segment));
        CHECK(record->generation == 0 && segment->log->forgotten >= whole.generation);
    }
    remove_places();
}

/* ------------------------------------------------------------------ records */

static void a_record_stays_until_its_members_are_through(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2); /* a has a record; b waits */
    CHECK_OK(sj_segment_recover(place[0].segment));
    CHECK(has_record(&place[0]));
    CHECK_OK(change(5, 3)); /* c decides */
    is_all(5, 3);
    CHECK(has_record(&place[0]) && !has_record(&place[2]));
    die_before(5, &place[0].segment->log->generation, 4);
    CHECK(place[2].segment->log->record.generation != 0); /* c has one too, and a waits */
    CHECK_OK(sj_segment_recover(place[0].segment));
    is_all(5, 4);
    CHECK_OK(change(5, 5)); /* a is through: c's place is free again */
    CHECK(has_record(&place[0]) && !has_record(&place[2]));
    CHECK_OK(sj_segment_recover(place[1].segment));
    CHECK(place[1].word[0] == 2);
    CHECK_OK(change(3, 6));
    CHECK(!has_record(&place[0]));
    remove_places();
}

/* A group is undone, and another one of the same decider is committed before the first one's member
 * is recovered. */
static void the_record_of_another_group_is_no_answer(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_before(3, &place[0].segment->log->generation, 2);
    CHECK_OK(sj_segment_recover(place[0].segment));
    die_before(5, &place[2].segment->log->generation, 3);
    CHECK(has_record(&place[0]));
    CHECK_OK(sj_segment_recover(place[1].segment));
    CHECK(place[1].word[0] == 1);
    CHECK_OK(sj_segment_recover(place[2].segment));
    is_all(5, 3);
    remove_places();
}

static void without_room_for_a_record_all_is_rolled_back(void)
{
    make_places();
    CHECK_OK(change(15, 1));
    die_decided(2);
    CHECK_OK(sj_segment_recover(place[0].segment));
    die_before(12, &place[3].segment->log->generation, 3);
    CHECK_OK(sj_segment_recover(place[2].segment));
    CHECK(has_record(&place[0]) && has_record(&place[2]));
    CHECK(change(5, 4) == SJ_EBUSY);
    CHECK(strstr(sj_error_detail(), " d, ") != NULL); /* the store that has to be opened */
    CHECK(place[0].word[0] == 2 && place[2].word[0] == 3);
    set(&place[0], 0, 5); /* a single one needs no record */
    CHECK_OK(sj_segment_recover(place[3].segment));
    CHECK(place[3].word[0] == 3);
    CHECK_OK(change(5, 6));
    CHECK(has_record(&place[0]) && !has_record(&place[2]));
    CHECK_OK(sj_segment_recover(place[1].segment));
    is_all(2, 2);
    remove_places();
}

static void lose_last(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event != SJ_SEAM_STORE)
        return;
    if (sj_segment_is_damaged(place[3].segment) && at == watched_word)
        _exit(77);
    if (at == &place[2].segment->log->record)
        CHECK(sj_segment_freeze(place[3].segment, SJ_LOST_LOCK));
}

/*
 * A group that has voted is undone, since one of its segments has lost bytes; the decider dies when
 * its log is undone and not yet done with. Its record must not come to count, not even when nobody
 * recovers it and the next process takes a new generation.
 */
static void an_undone_group_stays_undone(bool recovered)
{
    make_places();
    CHECK_OK(change(15, 1));
    die_decided(2); /* a has a record, so that c decides, which is undone before a */
    CHECK_OK(sj_segment_recover(place[0].segment));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watched_word = recovered ? &place[2].segment->log->generation
                                 : &place[2].segment->log->record.generation;
        struct sj_tx_group group = group_of(13);
        CHECK_OK(sj_tx_group_begin(&group));
        set(&place[0], 0, 3);
        set(&place[2], 0, 3);
        sj_seam_hook = lose_last;
        (void)sj_tx_group_commit(&group);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 77);
    CHECK(!sj_log_pending(place[2].segment) && place[2].word[0] == 1);
    place[2].segment->dirty = false;
    set(&place[2], 1, 7); /* another process has it open, and changes it */
    CHECK_OK(sj_segment_recover(place[0].segment));
    CHECK(place[0].word[0] == 2);
    CHECK_OK(sj_segment_recover(place[1].segment));
    remove_places();
}

static void a_member_that_was_away_gets_no_wrong_answer(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    leave_mapped(&place[1]);
    move(place[1].path, ".away", true);
    CHECK_OK(sj_segment_recover(place[0].segment));
    CHECK(!has_record(&place[0])); /* nobody can be told any more */
    CHECK_OK(change(5, 3));
    move(place[1].path, ".away", false);
    CHECK(open_error(&place[1]) == SJ_EINDOUBT);
    map_place(&place[1], true);
    CHECK(place[1].word[0] == 1);
    CHECK_OK(change(7, 4));
    remove_places();
}

/* ------------------------------------------------------------------ durability "power" */

static char happened[64]; /* f, F: `forgotten` stored, flushed; r, R: the record; g: generation */
static struct sj_segment *observed;

static void observe(enum sj_seam_event event, void *at, uint64_t value)
{
    const struct sj_log *log = observed->log;
    char letter = at == &log->forgotten           ? 'f'
                  : at == &log->record.generation ? 'r'
                  : at == &log->generation        ? 'g'
                                                  : '\0';
    (void)value;
    if (event == SJ_SEAM_FENCE && happened[0] != '\0')
        letter = '|';
    else if (event == SJ_SEAM_FLUSH && letter != '\0')
        letter = (char)(letter - 'a' + 'A');
    size_t length = strlen(happened);
    if (letter != '\0' && length + 1 < sizeof happened)
        happened[length] = letter;
}

static void begin_to_observe(const struct place *at)
{
    observed = at->segment;
    memset(happened, 0, sizeof happened);
    sj_seam_hook = observe;
}

static void has_happened(const char *expected)
{
    sj_seam_hook = NULL;
    if (strstr(happened, expected) == NULL)
        printf("expected %s, found %s\n", expected, happened);
    CHECK(strstr(happened, expected) != NULL);
}

/* What is given up is noted before, and gone before the log goes on. */
static void records_end_in_order(void)
{
    make_places();
    CHECK_OK(change(7, 1));
    die_decided(2);
    leave_mapped(&place[1]);
    move(place[1].path, ".away", true);
    begin_to_observe(&place[0]);
    CHECK_OK(sj_segment_recover(place[0].segment));
    has_happened("fF|rR");
    place[0].segment->log->record.generation = 7; /* whole it is not */
    place[0].segment->dirty = false;
    begin_to_observe(&place[0]);
    set(&place[0], 0, 3);
    has_happened("fF|rR|gG|");
    move(place[1].path, ".away", false);
    map_place(&place[1], true);
    remove_places();
}

static ino_t synced_before;

static void note_sync(enum sj_seam_event event, void *at, uint64_t value)
{
    (void)value;
    if (event == SJ_SEAM_STORE && at == watched_word)
        synced_before = synced;
}

/* The file synced last when the word is stored by the recovery. */
static ino_t synced_at(struct sj_segment *segment, uint64_t *word)
{
    watched_word = word;
    synced = synced_before = 0;
    sj_seam_hook = note_sync;
    CHECK_OK(sj_segment_recover(segment));
    sj_seam_hook = NULL;
    return synced_before;
}

/* What a dead process stored need not be on the media when another one sees it. */
static void an_answer_is_durable_before_it_is_acted_upon(void)
{
    power = true;
    test_use_dax();
    make_places();
    CHECK_OK(change(3, 1));
    die_decided(2);
    CHECK(synced_at(place[1].segment, &place[1].segment->log->generation) ==
          place[0].segment->inode);
    CHECK(synced_at(place[0].segment, &place[0].segment->log->record.generation) ==
          place[1].segment->inode);
    is_all(3, 2);
    power = false;
    unmap_place(&place[2]);
    CHECK(unlink(place[2].path) == 0);
    make_place(2, "c");
    struct sj_tx_group mixed = group_of(7);
    CHECK(sj_tx_group_begin(&mixed) == SJ_EINVAL);
    remove_places();
}

/* A member is recovered, or (`settle`) the decider looks at it, and system call `calls` fails.
 * Whether so many were made. */
static bool call_may_fail(bool settle, uint64_t calls, uint64_t value)
{
    die_decided(value);
    if (settle)
        CHECK_OK(sj_segment_recover(place[1].segment));
    calls_left = calls;
    int error = settle ? change(5, value) : sj_segment_recover(place[1].segment);
    bool made = calls_left == UINT64_MAX;
    calls_left = UINT64_MAX;
    CHECK(error == SJ_OK || (!settle && (error == SJ_EINDOUBT || error == SJ_EIO)));
    CHECK(error == SJ_OK || made);
    CHECK(place[1].word[0] == value); /* through, or with a log that can tell */
    CHECK_OK(sj_segment_recover(place[1].segment));
    CHECK_OK(sj_segment_recover(place[0].segment));
    is_all(3, value);
    CHECK(!has_record(&place[0]));
    return made;
}

static void calls_may_fail(void)
{
    uint64_t value = 2, calls[2] = {0, 0};
    power = true;
    test_use_dax();
    make_places();
    CHECK_OK(change(7, 1));
    for (int settle = 0; settle < 2; settle++)
        while (call_may_fail(settle != 0, calls[settle], value++))
            calls[settle]++;
    CHECK(calls[0] > 5 && calls[1] > 3);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        place[i].segment->accepted = true; /* though syncs have failed */
    power = false;
    remove_places();
}

#endif

int main(void)
{
    test_begin();
#ifdef SJ_SEAM
    a_member_without_its_decider_is_in_doubt();
    a_member_in_doubt_is_rolled_back_when_that_is_accepted();
    a_damaged_record_is_no_answer();
    a_decider_that_is_cut_short_is_no_answer();
    a_hostile_vote_is_damage();
    what_another_segment_wrote_does_not_count();
    a_hostile_record_stands_in_nobodys_way();
    a_record_stays_until_its_members_are_through();
    the_record_of_another_group_is_no_answer();
    without_room_for_a_record_all_is_rolled_back();
    a_member_that_was_away_gets_no_wrong_answer();
    an_undone_group_stays_undone(false);
    an_undone_group_stays_undone(true);
    records_end_in_order();
    an_answer_is_durable_before_it_is_acted_upon();
    calls_may_fail();
#else
    printf("needs -DSJ_SEAM\n");
    return synced == 0 ? 77 : 1;
#endif
    return 0;
}
