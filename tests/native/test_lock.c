// SPDX-License-Identifier: Apache-2.0
/*
 * test_lock.c: who is the first and who the last with a lock file, when it is opened and closed by
 * several at the same time.
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

int main(void)
{
    test_begin();
    of_two_that_close_one_is_the_last();
    return 0;
}
