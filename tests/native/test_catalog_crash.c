// SPDX-License-Identifier: Apache-2.0
/*
 * test_catalog_crash.c: each system call of each change of the catalog fails in turn, or is the
 * last one of its process: the change is whole or has not been made, nothing is in the way of the
 * next one, nothing is left over, and who has the VAS attached sees what counts. And the order in
 * which things are synced.
 */
#include "catalog_calls.h"

#include "spacejmp/files.h"
#include "spacejmp/names.h"

/* ------------------------------------------------------------------ changes */

static struct sj_catalog catalog;
static struct sj_vid panel;
static struct sj_sid genes, reads;

static int alloc(const char *name, bool replace, struct sj_sid *sid)
{
    struct sj_seg_spec spec = {name, 0, SJ_GIB, 0644, SJ_DURABILITY_PROCESS, replace};
    struct sj_segment_info info;
    int error = sj_catalog_seg_alloc(&catalog, &spec, &info);
    if (error == SJ_OK) {
        memcpy(sid->uuid, info.uuid, sizeof sid->uuid);
        memcpy(sid->name, info.name, sizeof sid->name);
    }
    return error;
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
}

static int remove_file(void *context, const char *name, bool is_directory)
{
    char path[2 * PATH_MAX];
    CHECK(!is_directory);
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    return sj_file_unlink(path, NULL);
}

/* "reads", "index" and "panel", which has both, are there in any case. */
static void prepare(bool has_genes)
{
    static const char *const parts[] = {"seg", "vas", "lock"};
    char path[PATH_MAX];
    for (int i = 0; i < 3; i++) {
        sj_home_part(test_directory, parts[i], path);
        CHECK_OK(sj_file_each(path, remove_file, path));
    }
    CHECK_OK(alloc("reads", false, &reads));
    CHECK_OK(sj_catalog_vas_create(&catalog, "panel", 0600, &panel));
    CHECK_OK(sj_catalog_seg_attach(&catalog, &panel, &reads, SJ_RIGHT_READ, SJ_WINDOW_ALL, NULL));
    struct sj_sid other;
    CHECK_OK(alloc("index", false, &other));
    CHECK_OK(sj_catalog_seg_attach(&catalog, &panel, &other, SJ_RIGHT_READ, SJ_WINDOW_ALL, NULL));
    if (!has_genes)
        return;
    CHECK_OK(alloc("genes", false, &genes));
    sj_home_lock(test_directory, genes.uuid, path);
    touch(path);
    sj_home_segment(test_directory, "genes", path);
    touch(strcat(path, ".sum"));
}

static int change_alloc(void)
{
    struct sj_sid made;
    return alloc("genes", false, &made);
}

static int change_replace(void)
{
    struct sj_sid made;
    return alloc("genes", true, &made);
}

static int change_delete(void)
{
    return sj_catalog_seg_delete(&catalog, "genes", genes.uuid);
}

static int change_create(void)
{
    struct sj_vid made;
    return sj_catalog_vas_create(&catalog, "other", 0600, &made);
}

static int change_vas_delete(void)
{
    return sj_catalog_vas_delete(&catalog, "panel", panel.uuid);
}

static int change_attach(void)
{
    return sj_catalog_seg_attach(&catalog, &panel, &genes, SJ_RIGHT_READ, SJ_WINDOW_ALL, NULL);
}

static int change_detach(void)
{
    return sj_catalog_seg_detach(&catalog, &panel, &reads);
}

static int change_tag(void)
{
    return sj_catalog_vas_ctl(&catalog, &panel, SJ_VAS_TAG, 7);
}

static int change_clone(void)
{
    struct sj_sid made;
    const struct sj_clone_spec spec = {.name = "genes", .durability = SJ_CLONE_KEEPS};
    return sj_catalog_sid_clone(&catalog, &reads, &spec, &made);
}

static int change_vas_clone(void)
{
    struct sj_vid made;
    const struct sj_clone_spec spec = {.name = "other", .durability = SJ_CLONE_KEEPS};
    return sj_catalog_vas_clone(&catalog, &panel, &spec, &made);
}

static const struct change {
    const char *name;
    int (*act)(void);
    bool has_genes;
    bool makes;  /* after a failure nothing has been made */
    bool leaves; /* between the old and the new state is one in which there is nothing */
    bool sums;   /* it may be without its checksums (persistence/clone.c) */
} changes[] = {
    {"seg_alloc", change_alloc, false, true, false, false},
    {"replace", change_replace, true, false, true, false},
    {"seg_delete", change_delete, true, false, false, false},
    {"vas_create", change_create, false, true, false, false},
    {"vas_delete", change_vas_delete, true, false, false, false},
    {"seg_attach", change_attach, true, false, false, false},
    {"seg_detach", change_detach, true, false, false, false},
    {"vas_ctl", change_tag, false, false, false, false},
    {"seg_clone", change_clone, false, true, false, true},
    {"vas_clone", change_vas_clone, false, true, false, true},
};

/* ------------------------------------------------------------------ what there is */

/* What the changes change, in a number. */
static uint64_t state(void)
{
    struct sj_segment_info info;
    struct sj_vas_record record;
    uint64_t all = 0;
    if (sj_catalog_seg_find(&catalog, "genes", &info) == SJ_OK)
        all |= memcmp(info.uuid, genes.uuid, sizeof genes.uuid) == 0 ? 1 : 2;
    CHECK_OK(sj_catalog_seg_find(&catalog, "reads", &info));
    if (sj_catalog_vas_read(&catalog, "other", NULL, &record) == SJ_OK) {
        all |= 4 | (uint64_t)record.count << 32;
        for (uint32_t i = 0; i < record.count; i++)
            CHECK_OK(sj_catalog_seg_find(&catalog, record.segments[i].name, &info));
        free(record.segments);
    }
    int error = sj_catalog_vas_read(&catalog, "panel", panel.uuid, &record);
    CHECK(error == SJ_OK || error == SJ_ENOTFOUND);
    if (error == SJ_OK) {
        all |= 8 | (uint64_t)record.count << 8 | (uint64_t)record.tag << 16;
        free(record.segments);
    }
    return all;
}

struct counting {
    bool sums; /* also the checksums of segments */
    int files;
};

/* A lock file, which a segment need not have yet, is one of a segment. */
static void check_lock(const char *file)
{
    struct sj_names names;
    struct sj_segment_info info;
    char path[PATH_MAX];
    bool found = false;
    CHECK_OK(sj_catalog_seg_list(&catalog, &names));
    for (size_t i = 0; i < names.count; i++) {
        CHECK_OK(sj_catalog_seg_find(&catalog, names.name[i], &info));
        sj_home_lock(test_directory, info.uuid, path);
        found = found || strcmp(strrchr(path, '/') + 1, file) == 0;
    }
    free(names.name);
    CHECK(found);
}

static int is_left_over(void *context, const char *name, bool is_directory)
{
    struct counting *counting = context;
    (void)is_directory;
    CHECK(name[0] != '.');
    if (strlen(name) == 32 + strlen(".lock"))
        check_lock(name);
    else
        counting->files += counting->sums || strstr(name, ".sum") == NULL;
    return SJ_OK;
}

/* The number of files of the home; none is hidden. */
static int files(bool sums)
{
    static const char *const parts[] = {"seg", "vas", "lock"};
    char path[PATH_MAX];
    struct counting counting = {sums, 0};
    for (int i = 0; i < 3; i++) {
        sj_home_part(test_directory, parts[i], path);
        CHECK_OK(sj_file_each(path, is_left_over, &counting));
    }
    return counting.files;
}

/* An attachment sees the record that counts: at its next look if it is told to look. */
static void check_source(struct sj_vas_source *source, uint64_t generation, uint32_t known)
{
    struct sj_vas_record record;
    struct sj_vas_contents contents;
    uint32_t count = known;
    uint64_t now = *source->generation;
    if (now != generation || (now & 1) != 0) {
        CHECK_OK(source->read(source->context, &contents));
        CHECK((*source->generation & 1) == 0);
        count = contents.count;
        free(contents.part);
    }
    if (sj_catalog_vas_read(&catalog, "panel", panel.uuid, &record) == SJ_OK) {
        CHECK(count == record.count);
        free(record.segments);
    }
}

/* Does the change with that call failing, or the last one. Whether there were so many calls. */
static bool run_once(const struct change *change, int how, int number, long k, uint64_t after,
                     int files_after)
{
    struct sj_vas_source source;
    struct sj_vas_contents contents;
    prepare(change->has_genes);
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    uint64_t generation = *source.generation, before = state();
    int files_before = files(true);
    CHECK_OK(source.read(source.context, &contents));
    free(contents.part);
    int error = SJ_OK, status = 0;
    calls = 0;
    turn = k;
    failure = number;
    fflush(stdout);
    pid_t child = how == DIE ? fork() : 1;
    CHECK(child >= 0);
    if (how != DIE || child == 0) {
        action = how;
        error = change->act();
        action = PASS;
        if (child == 0)
            _exit(error == SJ_OK ? 0 : 1);
    }
    if (how == DIE)
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    bool more = how == DIE ? WEXITSTATUS(status) == 77 : calls > k;
    CHECK(how != DIE || more || WEXITSTATUS(status) == 0);
    uint64_t now = state();
    bool nothing = change->leaves && (now & 3) == 0;
    CHECK(now == before || now == after || nothing);
    CHECK(error != SJ_OK || more || now == after);
    CHECK(error == SJ_OK || !change->makes || how == FAIL_ONWARDS || now == before);
    CHECK(error == SJ_OK || !change->makes || how != FAIL || files(true) == files_before);
    check_source(&source, generation, contents.count);
    source.close(source.context);
    if (now == before && !nothing)
        CHECK_OK(change->act());
    CHECK_OK(sj_catalog_tidy(&catalog));
    CHECK(nothing || files(!change->sums) == files_after);
    return more;
}

static void test_each_call(const struct change *change)
{
    static const int numbers[] = {ENOSPC, EROFS, EIO, ENOMEM};
    prepare(change->has_genes);
    struct sj_vas_source source;
    CHECK_OK(sj_catalog_source(&catalog, &panel, &source));
    CHECK_OK(change->act());
    source.close(source.context);
    uint64_t after = state();
    int files_after = files(!change->sums);
    long runs = 0;
    for (int how = FAIL; how <= DIE; how++)
        for (int i = 0; i < (how == DIE ? 1 : 4); i++)
            for (long k = 0; run_once(change, how, numbers[i], k, after, files_after); k++)
                runs++;
    printf("%s: %ld runs\n", change->name, runs);
    CHECK(runs > 9 * 20);
}

/* ------------------------------------------------------------------ temporary files */

struct copies {
    uint64_t done; /* bytes */
    int again;     /* how often it was begun anew */
    bool cleared;
};

/* The next change clears away what has no name yet, once. */
static int clear(void *context, uint64_t done, uint64_t total)
{
    struct copies *copies = context;
    copies->again += done < copies->done;
    copies->done = done;
    if (done == total && !copies->cleared)
        CHECK_OK(sj_catalog_tidy(&catalog));
    copies->cleared = copies->cleared || done == total;
    return SJ_OK;
}

/* Copies that have temporary names are made again when somebody has cleared them away. */
static void test_copies_that_were_cleared_away_are_made_again(void)
{
    struct sj_vid made;
    struct sj_vas_record record;
    struct copies copies = {0};
    const struct sj_clone_spec spec = {
        .name = "other", .durability = SJ_CLONE_KEEPS, .progress = clear, .context = &copies};
    prepare(false);
    no_unnamed_files = true;
    CHECK_OK(sj_catalog_vas_clone(&catalog, &panel, &spec, &made));
    no_unnamed_files = false;
    CHECK(copies.again == 1);
    CHECK_OK(sj_catalog_vas_read(&catalog, "other", made.uuid, &record));
    CHECK(record.count == 2);
    for (uint32_t i = 0; i < record.count; i++) {
        struct sj_segment_info info;
        CHECK_OK(sj_catalog_seg_find(&catalog, record.segments[i].name, &info));
        CHECK(memcmp(info.uuid, record.segments[i].uuid, sizeof info.uuid) == 0);
    }
    free(record.segments);
    CHECK(files(false) > 0); /* none of them hidden */
}

/* ------------------------------------------------------------------ the order of things */

static void test_each_step_is_synced_before_the_next(void)
{
    char expected[2048], name[PATH_MAX];
    struct sj_sid made;
    prepare(false);
    action = NOTE;
    journal[0] = '\0';
    CHECK_OK(change_create());
    CHECK(strstr(journal, "\nfsync vas/.new\nrename vas/other.vas\nfsync vas\n") != NULL);
    journal[0] = '\0';
    CHECK_OK(alloc("genes", false, &made));
    CHECK(strstr(journal, "link seg/genes.seg\nfsync seg\n") != NULL);
    action = PASS;
    sj_home_lock(test_directory, made.uuid, name);
    touch(name);
    char path[PATH_MAX];
    sj_home_segment(test_directory, "genes", path);
    touch(strcat(path, ".log0"));
    action = NOTE;
    journal[0] = '\0';
    CHECK_OK(sj_catalog_seg_delete(&catalog, "genes", NULL));
    action = PASS;
    snprintf(expected, sizeof expected,
             "rename seg/.removed\nfsync seg\nunlink seg/genes.seg.log0\nunlink "
             "seg/genes.seg.log1\nunlink seg/genes.seg.sum\nfsync seg\nunlink %s\nunlink "
             "seg/.removed\nfsync seg\n",
             name + strlen(test_directory) + 1);
    const char *steps = strstr(journal, "rename");
    CHECK(steps != NULL && strcmp(steps, expected) == 0);
}

/* What is going to be is durable before the first segment has its name, and all segments are before
 * the VAS has its own. */
static void test_a_clone_of_a_vas_is_announced_and_then_made(void)
{
    const char *orders[][2] = {{"reads", "index"}, {"index", "reads"}};
    char expected[2048];
    bool found = false;
    prepare(false);
    action = NOTE;
    journal[0] = '\0';
    CHECK_OK(change_vas_clone());
    action = PASS;
    const char *steps = strstr(journal, "fsync vas/.new");
    CHECK(steps != NULL);
    for (int i = 0; i < 2; i++) {
        size_t length = (size_t)snprintf(expected, sizeof expected,
                                         "fsync vas/.new\nrename vas/.cloning\nfsync vas\n");
        for (int j = 0; j < 2; j++)
            length += (size_t)snprintf(expected + length, sizeof expected - length,
                                       "unlink seg/other.%s.seg.sum\nlink seg/other.%s.seg\n"
                                       "link seg/other.%s.seg.sum\nfsync seg\n",
                                       orders[i][j], orders[i][j], orders[i][j]);
        snprintf(expected + length, sizeof expected - length, "rename vas/other.vas\nfsync vas\n");
        found = found || strcmp(steps, expected) == 0;
    }
    CHECK(found);
}

/* A process that dies before that call; false: there are fewer. */
static bool dies_in(int (*act)(void), long k)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        calls = 0;
        turn = k;
        action = DIE;
        (void)act();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 77;
}

static int tidy(void)
{
    return sj_catalog_tidy(&catalog);
}

/* What was announced is removed, the announcement last; what has such a name by now is not. */
static void test_a_clone_of_a_vas_that_was_begun_is_undone(void)
{
    static const char *const names[] = {"other.reads", "other.index"};
    const char *linked = NULL, *missing = NULL;
    char path[PATH_MAX];
    struct sj_segment_info info, found;
    long k = 0;
    for (; linked == NULL; k++) {
        prepare(false);
        CHECK(dies_in(change_vas_clone, k));
        for (int i = 0; i < 2; i++)
            if (sj_catalog_seg_find(&catalog, names[i], &info) == SJ_OK) {
                linked = names[i];
                missing = names[1 - i];
            }
    }
    struct sj_segment_spec spec = {missing, SJ_ARENA_FIRST, SJ_GIB, 0600, SJ_DURABILITY_PROCESS};
    sj_home_segment(test_directory, missing, path);
    CHECK_OK(sj_segment_create(path, &spec)); /* by somebody who knows no catalog */
    CHECK_OK(sj_segment_inspect(path, &info));
    action = NOTE;
    journal[0] = '\0';
    CHECK_OK(sj_catalog_tidy(&catalog));
    action = PASS;
    CHECK(strstr(journal, "unlink seg/.removed\nfsync seg\nunlink vas/.cloning\nfsync vas\n"));
    CHECK(sj_catalog_seg_find(&catalog, linked, &found) == SJ_ENOTFOUND);
    CHECK_OK(sj_catalog_seg_find(&catalog, missing, &found));
    CHECK(memcmp(found.uuid, info.uuid, sizeof info.uuid) == 0);

    /* Who undoes it may die too. */
    bool more = true;
    for (long at = 0; more; at++) {
        prepare(false);
        int files_before = files(true);
        CHECK(dies_in(change_vas_clone, k - 1));
        more = dies_in(tidy, at);
        CHECK_OK(tidy());
        CHECK(files(true) == files_before);
    }
}

static void test_new_directories_are_synced(void)
{
    char home[128];
    snprintf(home, sizeof home, "%s/new", test_directory);
    action = NOTE;
    journal[0] = '\0';
    CHECK_OK(sj_home_make(home));
    action = PASS;
    CHECK(strstr(journal, "mkdir new\nfsync ") != NULL);
    CHECK(strstr(journal, "mkdir new/vas\nfsync new\nmkdir new/seg\nfsync new\nmkdir new/lock\n"
                          "fsync new\n") != NULL);
}

/* With a name: only that change. */
int main(int argc, char **argv)
{
    test_begin();
    catalog = (struct sj_catalog){test_directory, {.timeout_s = 5.0}};
    test_each_step_is_synced_before_the_next();
    test_new_directories_are_synced();
    test_a_clone_of_a_vas_is_announced_and_then_made();
    test_a_clone_of_a_vas_that_was_begun_is_undone();
    test_copies_that_were_cleared_away_are_made_again();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (argc < 2 || strcmp(argv[1], changes[i].name) == 0)
            test_each_call(&changes[i]);
    return 0;
}
