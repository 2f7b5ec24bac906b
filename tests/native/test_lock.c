// SPDX-License-Identifier: Apache-2.0
/*
 * test_lock.c: who is the first and who the last with a lock file, when it is opened and closed by
 * several at the same time; and what a dead writer leaves is rolled back before anybody is in.
 */
#include "harness.h"

#include <pthread.h>

#include "spacejmp/lock.h"

static struct sj_lock *present(const char *name, bool is_first)
{
    struct sj_wait wait = {.timeout_s = 10};
    struct sj_lock *lock;
    bool first;
    CHECK_OK(sj_lock_open(test_path(name), 0600, &wait, &lock, &first));
    CHECK(first == is_first);
    if (first)
        sj_lock_join(lock);
    return lock;
}

static void *close_and_tell(void *context)
{
    struct sj_lock *lock = context;
    bool last = sj_lock_last(lock);
    sj_lock_close(lock);
    return last ? lock : NULL;
}

/* Two that closed at the same time once saw each other, and neither marked the store clean. */
static void of_two_that_close_one_is_the_last(void)
{
    struct sj_lock *one = present("two", true), *other = present("two", false);
    pthread_t thread;
    void *was_last;
    CHECK(!sj_lock_last(one));
    CHECK(pthread_create(&thread, NULL, close_and_tell, other) == 0);
    usleep(20000); /* it asks meanwhile */
    sj_lock_close(one);
    CHECK(pthread_join(thread, &was_last) == 0);
    CHECK(was_last != NULL);
}

/* ------------------------------------------------------------------ a writer dies */

static const struct sj_wait patient = {.timeout_s = 10};
static struct sj_lock *held;
static uint32_t recoveries;
static bool cannot;

/* Meanwhile nobody is let in. */
static int roll_back(void *context)
{
    CHECK(context == held && held->page->writer == 1 && held->page->recover == 1);
    recoveries++;
    return cannot ? sj_error(SJ_EIO, "cannot be rolled back") : SJ_OK;
}

static bool lose(void *context)
{
    (void)context;
    return false;
}

/* A process takes the lock for writing and dies; or it dies before it has raised its flag. */
static void a_writer_dies(const char *name, bool inside)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        sj_lock_forked(held);
        struct sj_lock *own = present(name, false);
        if (inside)
            CHECK_OK(sj_lock_write(own, &patient));
        else
            CHECK(pthread_mutex_lock(&own->page->mutex) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    recoveries = 0;
}

/* It is rolled back by whoever comes, reader or writer, once; as long as that fails, none is in. */
static void what_the_dead_began_is_rolled_back(void)
{
    struct sj_lock_slot *slot;
    held = present("dead", true);
    sj_lock_on_recover(held, roll_back, lose, held);
    CHECK_OK(sj_lock_take_slot(held, &slot));
    a_writer_dies("dead", false);
    CHECK_OK(sj_lock_write(held, &patient));
    CHECK(recoveries == 1 && held->page->recover == 0 && held->page->writer == 1);
    sj_lock_write_leave(held);
    CHECK_OK(sj_lock_read(held, slot, &patient));
    sj_lock_read_leave(held, slot);
    CHECK(recoveries == 1);
    a_writer_dies("dead", true);
    uint64_t changes = sj_lock_changes(held);
    cannot = true;
    CHECK(sj_lock_read(held, slot, &patient) == SJ_EIO);
    CHECK(sj_lock_write(held, &patient) == SJ_EIO);
    CHECK(sj_lock_read(held, slot, &patient) == SJ_EIO);
    cannot = false;
    CHECK(recoveries == 3);
    CHECK_OK(sj_lock_read(held, slot, &patient));
    CHECK(recoveries == 4 && held->page->writer == 0);
    CHECK(sj_lock_changes(held) != changes); /* who reads on looks for its place again */
    sj_lock_read_leave(held, slot);
    CHECK_OK(sj_lock_write(held, &patient));
    recoveries = 0;
    sj_lock_write_abandon(held);
    CHECK_OK(sj_lock_write(held, &patient));
    CHECK(recoveries == 1);
    sj_lock_write_leave(held);
    sj_lock_give_slot(held, slot);
    sj_lock_close(held);
}

int main(void)
{
    test_begin();
    what_the_dead_began_is_rolled_back();
    of_two_that_close_one_is_the_last();
    return 0;
}
