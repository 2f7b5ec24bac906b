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

/* Progress of several copies, one after the other. */
struct progress {
    sj_clone_progress *tell;
    void *context;
    uint64_t before, total; /* bytes of those that are done; of all */
};

static int tell(void *context, uint64_t done, uint64_t total)
{
    const struct progress *progress = context;
    (void)total;
    return progress->tell(progress->context, progress->before + done, progress->total);
}

/* With holds on all of them; `*made`: how many there are, also after a failure. */
static int clone_held(struct sj_space *const *spaces, const struct sj_clone_spec *specs,
                      uint32_t count, struct sj_clone **clones, uint32_t *made)
{
    struct progress progress = {specs[0].progress, specs[0].context, 0, 0};
    uint64_t bytes;
    int error = SJ_OK;
    for (uint32_t i = 0; error == SJ_OK && i < count; i++) {
        error = sj_segment_clone_bytes(spaces[i]->segment, &bytes);
        progress.total += error == SJ_OK ? bytes : 0;
    }
    for (*made = 0; error == SJ_OK && *made < count; *made += error == SJ_OK) {
        struct sj_segment *segment = spaces[*made]->segment;
        struct sj_clone_spec spec = specs[*made];
        spec.progress = progress.tell == NULL ? NULL : tell;
        spec.context = &progress;
        error = sj_segment_clone(segment, &spec, &clones[*made]);
        if (error == SJ_OK && sj_segment_clone_bytes(segment, &bytes) == SJ_OK)
            progress.before += bytes;
    }
    return error;
}

int sj_spaces_clone(struct sj_space *const *spaces, const struct sj_clone_spec *specs,
                    uint32_t count, const struct sj_wait *wait, struct sj_clone **clones)
{
    uint32_t held = 0, made = 0;
    bool addresses = false; /* of a private one: what is copied is memory */
    int error = SJ_OK;
    for (; error == SJ_OK && held < count; held += error == SJ_OK) {
        error = sj_enter_read(spaces[held], wait);
        addresses = addresses || spaces[held]->segment->is_private;
    }
    if (error == SJ_OK && count > 0) {
        if (!addresses) /* a copy of its file needs none of its addresses */
            sj_holds_pause();
        error = clone_held(spaces, specs, count, clones, &made);
    }
    while (held > 0)
        error = leave(spaces[--held], error, wait);
    while (error != SJ_OK && made > 0)
        sj_clone_drop(clones[--made]);
    return error;
}

int sj_space_clone(struct sj_space *space, const struct sj_clone_spec *spec,
                   const struct sj_wait *wait, struct sj_clone **made)
{
    return sj_spaces_clone(&space, spec, 1, wait, made);
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
