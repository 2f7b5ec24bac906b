// SPDX-License-Identifier: Apache-2.0
/*
 * space_clone.c: clones of attached spaces, and private attachments (space.h has the contracts).
 *
 *   version         ──its file, mapped copy-on-write───────────────────────┐
 *   any other one   ──attach, read hold, copy without a name, detach───────┴→ private space
 *
 * A private space has a lock of its own, in memory: nobody else can be inside of it. Its changes
 * are in this process's memory, under the undo log as ever. A child of fork has all of it as its
 * own, in the state of that moment: what its parent's thread had begun is rolled back.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "persistence/clone.h"
#include "spacejmp/hold.h"
#include "spacejmp/space.h"

/* Between entering and leaving: a copy of its file needs none of its addresses. */
static void pause_holds(const struct sj_space *space)
{
    if (!space->segment->is_private)
        sj_holds_pause();
}

/* What was found under the hold counts if leaving it says so. What the thread is inside of besides
 * comes home, at the latest when it is used next. */
static int leave(struct sj_space *space, int error, const struct sj_wait *wait)
{
    (void)sj_return(wait);
    int left = sj_leave(space);
    if (left == SJ_EBUSY) {
        sj_holds_return(wait);
        left = SJ_OK;
    }
    return error == SJ_OK ? left : error;
}

int sj_space_clone(struct sj_space *space, const struct sj_clone_spec *spec,
                   const struct sj_wait *wait, struct sj_clone **made)
{
    struct sj_clone *clone = NULL;
    int error = sj_enter_read(space, wait);
    if (error != SJ_OK)
        return error;
    pause_holds(space);
    error = leave(space, sj_segment_clone(space->segment, spec, &clone), wait);
    if (error == SJ_OK)
        *made = clone;
    else if (clone != NULL)
        sj_clone_drop(clone);
    return error;
}

/* Ctrl-C ends a copy. */
static int poll_wait(void *context, uint64_t done, uint64_t total)
{
    const struct sj_wait *wait = context;
    (void)done, (void)total;
    if (wait->poll == NULL || wait->poll(wait->context) == 0)
        return SJ_OK;
    return sj_error(SJ_EINTR, "a signal ended the copy");
}

/* A copy of what the space has committed, in a file without a name. */
static int copy_original(const char *segment_path, const char *lock_path,
                         const struct sj_attach_options *options, int *fd)
{
    struct sj_attach_options reading = *options;
    struct sj_wait wait = options->wait;
    struct sj_space *space;
    reading.writable = reading.is_private = false;
    int error = sj_space_attach(segment_path, lock_path, &reading, &space);
    if (error != SJ_OK)
        return error;
    *fd = -1;
    error = sj_enter_read(space, &options->wait);
    if (error == SJ_OK) {
        sj_holds_pause();
        error = leave(space, sj_segment_copy(space->segment, segment_path, poll_wait, &wait, fd),
                      &options->wait);
    }
    /* Without a limit: a reference that nobody has would keep it open for ever. */
    (void)sj_space_detach(space, &(struct sj_wait){.timeout_s = -1});
    if (error != SJ_OK && *fd >= 0)
        close(*fd);
    return error;
}

int sj_space_attach_private(const char *segment_path, const char *lock_path,
                            const struct sj_attach_options *options, struct sj_space **space)
{
    struct sj_segment_info info;
    int fd, error = sj_segment_inspect(segment_path, &info);
    if (error != SJ_OK)
        return error;
    if (options->uuid != NULL && memcmp(info.uuid, options->uuid, sizeof info.uuid) != 0)
        return sj_error(SJ_ENOTFOUND, "%s: another segment has taken its place", segment_path);
    if (!info.frozen) {
        error = copy_original(segment_path, lock_path, options, &fd);
        return error == SJ_OK ? sj_space_attach_file(fd, segment_path, options, space) : error;
    }
    struct sj_attach_options of_this = *options;
    of_this.uuid = info.uuid; /* a file that is not a version any more is another segment */
    fd = open(segment_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return sj_segment_failed(segment_path, "open");
    return sj_space_attach_file(fd, segment_path, &of_this, space);
}
