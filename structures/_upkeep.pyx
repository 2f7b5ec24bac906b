# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_upkeep.pyx: what is done with a store as a whole: its statistics, its check, its collector.

Binds structures/check.h and structures/collect.h. Each function takes the hold that it needs.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from spacejmp._space cimport (
    SJ_OK,
    Space,
    raise_error,
    sj_segment,
    sj_space,
    sj_space_changes,
)
from spacejmp.structures._container cimport sj_root, sj_root_find

from spacejmp.persistence.errors import HoldError


cdef extern from "persistence/heap.h" nogil:
    struct sj_heap_stats_t "sj_heap_stats":
        uint64_t file_bytes
        uint64_t live_bytes
        uint64_t live_blocks
        uint64_t free_bytes
        uint64_t slab_free_bytes
        uint64_t meta_bytes
    int c_heap_stats "sj_heap_stats"(const sj_segment *segment, sj_heap_stats_t *stats)


cdef extern from "structures/census.h" nogil:
    struct sj_census_report:
        uint64_t structures
        uint64_t items
        uint64_t blocks
        uint64_t bytes
        uint64_t leaked_blocks
        uint64_t leaked_bytes
        uint64_t freed_blocks
        uint64_t freed_bytes

    struct sj_usage:
        uint64_t items
        uint64_t blocks
        uint64_t bytes

    int sj_census_usage(sj_segment *segment, const sj_root *root, sj_usage *usage)


cdef extern from "structures/check.h" nogil:
    struct sj_check_report:
        sj_census_report census
        uint64_t verified_pages
        uint64_t unverified_pages

    struct sj_check_options:
        bint repair
        int (*progress)(void *context, uint64_t done, uint64_t total) noexcept nogil
        void (*accepted)(void *context, const char *what) noexcept nogil
        void *context

    int sj_check_with(sj_segment *segment, const sj_check_options *options, sj_check_report *report)


cdef extern from "structures/collect.h" nogil:
    struct sj_kept:
        uint64_t head
        uint32_t serial

    struct sj_collect_options:
        const sj_kept *kept
        uint64_t kept_count
        int (*progress)(void *context, uint64_t done, uint64_t total) noexcept nogil
        void *context

    int sj_collect(sj_segment *segment, const sj_collect_options *options, sj_census_report *report)


def heap_stats(Space space):
    """What the file's bytes are used for, as a dict of numbers."""
    cdef sj_heap_stats_t stats
    cdef sj_segment *segment
    cdef int error
    space.enter_read()
    segment = space.space.segment  # with the GIL: another thread may detach this reference
    try:
        with nogil:
            error = c_heap_stats(segment, &stats)
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return stats


def usage(Space space, bytes name):
    """What the structure of that name takes up, as a dict of numbers. NotFoundError."""
    cdef sj_usage found
    cdef sj_root *root = NULL
    cdef sj_segment *segment
    cdef const char *text = name
    cdef size_t size = len(name)
    cdef int error
    space.enter_read()
    segment = space.space.segment
    try:
        with nogil:
            error = sj_root_find(segment, text, size, &root)
            if error == SJ_OK:
                error = sj_census_usage(segment, root, &found)
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return found


cdef class Watch:
    """What a check or a collection calls back with."""

    cdef object progress  # (done, total), or None
    cdef list accepted
    cdef list raised
    cdef const sj_space *space
    cdef uint64_t changes  # sj_space_changes() when it began

    cdef void begin(self, Space space) noexcept:
        """In the hold."""
        self.space = space.space
        self.changes = sj_space_changes(space.space)

    cdef int call(self, uint64_t done, uint64_t total) except -1:
        PyErr_CheckSignals()
        if self.progress is not None:
            self.progress(done, total)
        if sj_space_changes(self.space) != self.changes:
            raise HoldError("the store was changed by the progress function, or by a signal "
                            "handler: what has been counted is not so any more; nothing was freed")
        return 0


cdef int on_progress(void *context, uint64_t done, uint64_t total) noexcept nogil:
    """1 when a signal handler or the caller's function has raised."""
    with gil:
        try:
            (<Watch>context).call(done, total)
        except BaseException as raised:
            (<Watch>context).raised.append(raised)
            return 1
    return 0


cdef void on_accepted(void *context, const char *what) noexcept nogil:
    with gil:
        (<Watch>context).accepted.append((<bytes>what).decode("utf-8", "replace"))


def check(Space space, bint repair, progress):
    """Verify everything; a dict of what was found. CorruptError names the first damage."""
    cdef sj_check_report report
    cdef sj_check_options options
    cdef sj_segment *segment
    cdef Watch watch = Watch()
    cdef int error
    watch.progress = progress
    watch.accepted = []
    watch.raised = []
    options.repair = repair
    options.progress = on_progress
    options.accepted = on_accepted
    options.context = <void *>watch
    if repair:
        space.enter_write()
    else:
        space.enter_read()
    segment = space.space.segment  # with the GIL: another thread may detach this reference
    watch.begin(space)
    try:
        with nogil:
            error = sj_check_with(segment, &options, &report)
        if repair:
            space.changed()
    finally:
        space.leave()
    if watch.raised:
        raise watch.raised[0]
    if error != SJ_OK:
        raise_error(error)
    return {**report.census, "verified_pages": report.verified_pages,
            "unverified_pages": report.unverified_pages, "accepted": tuple(watch.accepted)}


cdef sj_kept *places_of(list kept) except NULL:
    """Pairs of address and serial, for the core; to be freed."""
    cdef sj_kept *places = <sj_kept *>malloc((len(kept) + 1) * sizeof(sj_kept))
    cdef Py_ssize_t i
    if places is NULL:
        raise MemoryError
    for i in range(len(kept)):
        places[i].head, places[i].serial = kept[i]
    return places


def collect(Space space, kept_now, progress):
    """Free what nothing leads to; a dict of numbers.

    `kept_now` gives the pairs of address and serial that are as roots, and is called in the hold.
    """
    cdef sj_census_report report
    cdef sj_collect_options options
    cdef sj_segment *segment
    cdef sj_kept *places = NULL
    cdef Watch watch = Watch()
    cdef list kept
    cdef int error
    watch.progress = progress
    watch.raised = []
    options.progress = on_progress
    options.context = <void *>watch
    space.enter_write()
    segment = space.space.segment  # with the GIL: another thread may detach this reference
    try:
        kept = kept_now()
        places = places_of(kept)
        options.kept = places
        options.kept_count = len(kept)
        watch.begin(space)
        with nogil:
            error = sj_collect(segment, &options, &report)
        space.changed()
    finally:
        free(places)
        space.leave()
    if watch.raised:
        raise watch.raised[0]
    if error != SJ_OK:
        raise_error(error)
    return report
