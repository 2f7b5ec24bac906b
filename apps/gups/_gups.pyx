# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_gups.pyx: courses of updates, the windows that they go to, and turns of the designs.

Binds apps/gups/gups.h and crew.h. A turn runs without the GIL.
"""

from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from posix.mman cimport munmap

from cpython.bytes cimport PyBytes_AS_STRING

from spacejmp._space cimport SJ_OK, Space, raise_error, sj_space, sj_wait


cdef extern from "apps/gups/gups.h" nogil:
    enum:
        GUPS_WINDOWS_MAX
        GUPS_UPDATES_MAX

    struct gups_course:
        uint64_t number
        uint64_t choice
        uint64_t mask
        uint32_t window
        uint32_t windows
        uint32_t updates
        uint64_t sets

    struct sj_vas:
        pass

    struct gups_window:
        sj_vas *vas
        sj_space *space
        uint64_t *table
        uint64_t *flat
        uint64_t offset
        int fd

    struct gups_turn:
        uint64_t sets_max
        int64_t ns_max
        int64_t begun
        int64_t ns
        int64_t cpu_ns

    uint64_t gups_stream_at(uint64_t count)
    void gups_course_begin(gups_course *course, uint64_t seed, uint32_t windows, uint32_t updates,
                           uint64_t words)
    int gups_run_flat(gups_course *course, const gups_window *windows, uint64_t *pending,
                      gups_turn *turn)
    int gups_run_vases(gups_course *course, const gups_window *windows, uint64_t *pending,
                        gups_turn *turn)
    int sj_vas_detach(sj_vas *vas, const sj_wait *wait)
    int gups_run_maps(gups_course *course, const gups_window *windows, uint64_t *pending,
                      gups_turn *turn)


cdef extern from "apps/gups/stage.h" nogil:
    int gups_block_make(sj_space *space, uint64_t bytes, void **at)
    int gups_flat_map(gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                      uint64_t *bytes)
    int gups_room_make(gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                       uint64_t *bytes)
    void gups_populate(void *at, uint64_t bytes)
    struct gups_segment:
        const char *path
        const char *lock_path
        const uint8_t *uuid

    int gups_vas_attach(const gups_segment *window, const gups_segment *heap, sj_vas **vas)
    sj_space *gups_vas_space(sj_vas *vas, const uint8_t *uuid)
    int gups_vases_populate(const gups_window *windows, uint32_t count, uint64_t words)
    void gups_table_fill(uint64_t *table, uint64_t words)
    uint64_t gups_table_errors(const uint64_t *table, uint64_t words)


cdef extern from "apps/gups/crew.h" nogil:
    enum gups_waiting:
        GUPS_SLEEP
        GUPS_DOZE
        GUPS_YIELD
        GUPS_SPIN

    struct gups_manner:
        gups_waiting waiting
        bint together
        bint ahead

    struct gups_crew:
        pass

    int gups_crew_start(const gups_window *windows, uint32_t count, uint64_t words,
                        gups_crew **crew)
    void gups_crew_stop(gups_crew *crew)
    int gups_run_crew(gups_course *course, gups_crew *crew, uint64_t *first,
                      const gups_manner *manner, gups_turn *turn)
    int gups_crew_process(const gups_crew *crew, uint32_t window)


Times = namedtuple("Times", "wall_ns cpu_ns")
Times.__doc__ = "How long a turn took, and the CPU time of all its processes: nanoseconds."

WINDOWS_MAX = GUPS_WINDOWS_MAX
UPDATES_MAX = GUPS_UPDATES_MAX

_WAITING = {"sleep": GUPS_SLEEP, "doze": GUPS_DOZE, "yield": GUPS_YIELD, "spin": GUPS_SPIN}


def stream_at(uint64_t count):
    """The number of HPCC's stream after that many steps from 1."""
    return gups_stream_at(count)


def make_block(Space space, uint64_t size):
    """Allocate in a segment; the address, a multiple of 4096 from its base."""
    cdef void *at = NULL
    cdef sj_space *c_space = space.space
    cdef int error
    with nogil:
        error = gups_block_make(c_space, size, &at)
    if error != SJ_OK:
        raise_error(error)
    return <uint64_t>at


cdef class Course:
    """Which updates go to which windows: sets of a stream, and a choice of windows."""

    cdef gups_course course

    def __init__(self, uint64_t seed, uint32_t windows, uint32_t updates, uint64_t words):
        if not (0 < windows <= GUPS_WINDOWS_MAX and 0 < updates <= GUPS_UPDATES_MAX):
            raise ValueError("a course has 1 to 1024 windows, and sets of 1 to 1024 updates")
        if words < 2 or words & (words - 1) or updates & (updates - 1):
            raise ValueError("the words of a window and the updates of a set are powers of two")
        gups_course_begin(&self.course, seed, windows, updates, words)

    def copy(self):
        """The same course, at the same place."""
        cdef Course other = Course.__new__(Course)
        other.course = self.course
        return other

    @property
    def sets(self):
        """How many sets are done."""
        return self.course.sets

    @property
    def window(self):
        """Where the next set goes."""
        return self.course.window

    @property
    def windows(self):
        """How many windows there are."""
        return self.course.windows

    @property
    def updates(self):
        """How many are in a set."""
        return self.course.updates


cdef gups_segment segment_of(segment) except *:
    """Valid as long as the segment is."""
    cdef bytes path = segment[0], lock_path = segment[1], uuid = segment[2]
    return gups_segment(path, lock_path, <const uint8_t *>PyBytes_AS_STRING(uuid))


cdef class Windows:
    """The windows of a design: where their tables are, in segments, files and mappings."""

    cdef gups_window *window
    cdef readonly uint32_t count
    cdef readonly uint64_t words
    cdef void *flat
    cdef uint64_t flat_bytes
    cdef void *room
    cdef uint64_t room_bytes

    def __cinit__(self, files, uint64_t words):
        """`files`: of each window the descriptor, which stays open, and where the table is."""
        cdef uint32_t i
        cdef int error
        self.count = len(files)
        self.words = words
        self.window = <gups_window *>calloc(self.count, sizeof(gups_window))
        if self.window is NULL:
            raise MemoryError
        for i in range(self.count):
            self.window[i].fd, self.window[i].offset = files[i]
            if self.window[i].offset + words * sizeof(uint64_t) > 1 << 30:
                raise ValueError("a table ends in the first GiB of its file")
        error = gups_flat_map(self.window, self.count, words, &self.flat, &self.flat_bytes)
        if error != SJ_OK:
            self.flat = NULL
            raise_error(error)

    def __dealloc__(self):
        if self.flat is not NULL:
            munmap(self.flat, self.flat_bytes)
        if self.room is not NULL:
            munmap(self.room, self.room_bytes)
        free(self.window)

    cdef int check(self, Course course) except -1:
        if course.course.windows > self.count or course.course.mask != self.words - 1:
            raise ValueError("the course is one of other windows")
        return 0

    def fill(self, uint32_t index):
        """T[i] = i, through the flat mapping."""
        if index >= self.count:
            raise IndexError(f"expected a window below {self.count}, found {index}")
        with nogil:
            gups_table_fill(self.window[index].flat, self.words)

    def attach(self, segments, heap):
        """A VAS for each window: its segment and the heap's; their pages are filled in.

        Of a segment: path, path of the lock, uuid, base.
        """
        cdef uint32_t i
        cdef int error
        cdef gups_segment c_window, c_heap = segment_of(heap)
        if len(segments) != self.count:
            raise ValueError(f"expected {self.count} segments, found {len(segments)}")
        for i in range(self.count):
            c_window = segment_of(segments[i])
            error = gups_vas_attach(&c_window, &c_heap, &self.window[i].vas)
            if error != SJ_OK:
                raise_error(error)
            self.window[i].space = gups_vas_space(self.window[i].vas, c_window.uuid)
            self.window[i].table = <uint64_t *>(<uint64_t>segments[i][3] + self.window[i].offset)
        with nogil:
            error = gups_vases_populate(self.window, self.count, self.words)
        if error != SJ_OK:
            raise_error(error)

    def detach(self):
        """Detach the VASes: no turn comes after it. Does nothing when that was done before."""
        cdef sj_wait wait = sj_wait(10.0, NULL, NULL)
        cdef sj_vas *vas
        cdef uint32_t i
        cdef int error, first = SJ_OK
        for i in range(self.count):
            vas = self.window[i].vas
            if vas is NULL:
                continue
            self.window[i].vas = NULL
            self.window[i].space = NULL
            self.window[i].table = NULL
            with nogil:
                error = sj_vas_detach(vas, &wait)
            first = error if first == SJ_OK else first
        if first != SJ_OK:
            raise_error(first)

    def make_room(self):
        """A place where MAP maps the windows."""
        cdef int error = gups_room_make(
            self.window, self.count, self.words, &self.room, &self.room_bytes
        )
        if error != SJ_OK:
            self.room = NULL
            raise_error(error)

    def errors(self, uint32_t count):
        """Words of the first windows that are not their index."""
        cdef uint64_t found = 0
        cdef uint32_t i
        if count > self.count:
            raise IndexError(f"expected at most {self.count} windows, found {count}")
        with nogil:
            for i in range(count):
                found += gups_table_errors(self.window[i].flat, self.words)
        return found


cdef class Pending:
    """The numbers of a set, in memory that lies in none of the windows."""

    cdef uint64_t *at
    cdef object kept

    def __init__(self, uint64_t address, Space space):
        self.at = <uint64_t *>address
        self.kept = space


ctypedef int (*gups_run)(gups_course *, const gups_window *, uint64_t *, gups_turn *) noexcept nogil


cdef turn_of(gups_run run, Course course, Windows windows, Pending pending, double seconds, sets):
    cdef gups_turn turn = gups_turn(
        <uint64_t>-1 if sets is None else sets, <int64_t>(seconds * 1e9), 0, 0, 0
    )
    cdef int error
    windows.check(course)
    if run is gups_run_vases and windows.window[0].vas is NULL:
        raise ValueError("the windows are not attached")
    if run is gups_run_maps and windows.room is NULL:
        raise ValueError("the windows have no room")
    with nogil:
        error = run(&course.course, windows.window, pending.at, &turn)
    if error != SJ_OK:
        raise_error(error)
    return Times(turn.ns, turn.cpu_ns)


def run_flat(Course course, Windows windows, Pending pending, double seconds=1e9, sets=None):
    """A turn over the flat mapping."""
    return turn_of(gups_run_flat, course, windows, pending, seconds, sets)


def run_vases(Course course, Windows windows, Pending pending, double seconds=1e9, sets=None):
    """A turn that switches between VASes."""
    return turn_of(gups_run_vases, course, windows, pending, seconds, sets)


def run_maps(Course course, Windows windows, Pending pending, double seconds=1e9, sets=None):
    """A turn that maps each window's file."""
    return turn_of(gups_run_maps, course, windows, pending, seconds, sets)


cdef class Crew:
    """A process for each window but the first: a context manager, or end it with `stop`."""

    cdef gups_crew *crew
    cdef Windows windows

    def __cinit__(self, Windows windows):
        cdef int error
        self.windows = windows
        error = gups_crew_start(windows.window, windows.count, windows.words, &self.crew)
        if error != SJ_OK:
            raise_error(error)

    def __dealloc__(self):
        self.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End the processes; does nothing when that was done before."""
        cdef gups_crew *crew = self.crew
        if crew is not NULL:
            self.crew = NULL
            with nogil:
                gups_crew_stop(crew)

    def process(self, uint32_t window):
        """The process of a window; -1: the caller has it."""
        return -1 if self.crew is NULL else gups_crew_process(self.crew, window)

    def run(self, Course course, str waiting, bint together, bint ahead, double seconds=1e9,
            sets=None):
        """A turn."""
        cdef gups_turn turn = gups_turn(
            <uint64_t>-1 if sets is None else sets, <int64_t>(seconds * 1e9), 0, 0, 0
        )
        cdef gups_manner manner = gups_manner(_WAITING[waiting], together, ahead)
        cdef int error
        self.windows.check(course)
        if self.crew is NULL:
            raise ValueError("the crew has ended")
        with nogil:
            error = gups_run_crew(
                &course.course, self.crew, self.windows.window[0].flat, &manner, &turn
            )
        if error != SJ_OK:
            raise_error(error)
        return Times(turn.ns, turn.cpu_ns)
