# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_catalog.pyx: the catalog of a home: segments and virtual address spaces by name.

Binds spacejmp/catalog.h and spacejmp/arena.h. A home is an absolute path; a wait for the catalog's
lock releases the GIL and looks for signals about twenty times a second.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libcpp cimport bool as c_bool

from spacejmp._space cimport (
    SJ_DURABILITY_POWER,
    SJ_DURABILITY_PROCESS,
    SJ_OK,
    path_of,
    poll_signals,
    raise_error,
    raise_waited,
    seconds_of,
    segment_info,
    sj_durability,
    sj_segment_info,
    sj_wait,
)


cdef extern from "spacejmp/arena.h" nogil:
    struct sj_extent:
        uint64_t base
        uint64_t reserved

    uint64_t sj_arena_place(sj_extent *extents, size_t count, uint64_t reserved, uint64_t seed)


cdef extern from "spacejmp/catalog.h" nogil:
    enum sj_vas_command:
        pass

    enum sj_seg_command:
        pass

    struct sj_settings:
        uint64_t growth_limit
        uint64_t page_bytes
        bint lockable
        bint prefault

    struct sj_names:
        size_t count
        char **name

    struct sj_seg_spec:
        const char *name
        uint64_t base
        uint64_t reserved
        uint32_t mode
        sj_durability durability
        bint replace

    struct sj_vas_segment:
        char *name
        uint8_t *uuid
        uint64_t base
        uint64_t reserved
        uint32_t rights
        uint32_t window

    struct sj_vas_record:
        char *name
        uint8_t *uuid
        bint of_segment
        uint64_t created_ns
        uint32_t tag
        int isolation
        uint64_t address_limit
        uint32_t mode
        uint32_t uid
        uint32_t gid
        uint32_t count
        sj_vas_segment *segments

    int sj_home_make(const char *home)
    int sj_catalog_tidy(const sj_catalog *catalog)
    int sj_catalog_seg_alloc(const sj_catalog *catalog, const sj_seg_spec *spec,
                             sj_segment_info *info)
    int sj_catalog_seg_find(const sj_catalog *catalog, const char *name, sj_segment_info *info)
    int sj_catalog_seg_delete(const sj_catalog *catalog, const char *name, const uint8_t *uuid)
    int sj_catalog_seg_list(const sj_catalog *catalog, sj_names *names)
    int sj_catalog_vas_create(const sj_catalog *catalog, const char *name, uint32_t mode,
                              sj_vid *vid)
    int sj_catalog_vas_read(const sj_catalog *catalog, const char *name, const uint8_t *uuid,
                            sj_vas_record *record)
    int sj_catalog_vas_exists(const sj_catalog *catalog, const char *name, c_bool *exists)
    int sj_catalog_vas_delete(const sj_catalog *catalog, const char *name, const uint8_t *uuid)
    int sj_catalog_vas_list(const sj_catalog *catalog, sj_names *names)
    int sj_catalog_seg_attach(const sj_catalog *catalog, const sj_vid *vid, const sj_sid *sid,
                              uint32_t rights, uint32_t window, uint32_t *placed)
    int sj_catalog_seg_detach(const sj_catalog *catalog, const sj_vid *vid, const sj_sid *sid)
    int sj_catalog_vas_ctl(const sj_catalog *catalog, const sj_vid *vid, sj_vas_command command,
                           uint64_t argument)
    int sj_catalog_seg_ctl(const sj_catalog *catalog, const sj_sid *sid, sj_seg_command command,
                           uint64_t argument)
    int sj_catalog_seg_settings(const sj_catalog *catalog, const sj_sid *sid,
                                sj_settings *settings)


SegmentSettings = namedtuple("SegmentSettings", "growth_limit page_size lockable prefault")
VasFacts = namedtuple(
    "VasFacts",
    "name uuid of_segment created_ns tag isolation address_limit mode uid gid segments",
)
SegmentFacts = namedtuple("SegmentFacts", "name uuid base reserved rights window")

WINDOW_ALL = <uint32_t>SJ_WINDOW_ALL
WINDOW_FIT = <uint32_t>SJ_WINDOW_FIT


cdef class _Call:
    """The catalog that a call works on, and what a signal handler raised meanwhile."""

    cdef sj_catalog catalog
    cdef bytes home
    cdef list raised

    def __cinit__(self, home, timeout=0.0):
        self.home = path_of(home)
        self.raised = []
        self.catalog.home = PyBytes_AS_STRING(self.home)
        self.catalog.wait = sj_wait(seconds_of(timeout), poll_signals, <void *>self.raised)

    cdef int check(self, int error) except -1:
        return 0 if error == SJ_OK else raise_waited(error, self.raised)


cdef const uint8_t *_uuid(bytes uuid) except? NULL:
    if uuid is None:
        return NULL
    if len(uuid) != 16:
        raise ValueError(f"uuid: expected 16 bytes, found {len(uuid)}")
    return <const uint8_t *>PyBytes_AS_STRING(uuid)


cdef list _listed(sj_names *names):
    cdef size_t i
    found = [(<bytes>names.name[i]).decode() for i in range(names.count)]
    free(names.name)
    return found


def make_home(home):
    """Make the directories of a home where they are missing."""
    cdef bytes c_home = path_of(home)
    cdef const char *at = c_home
    cdef int error
    with nogil:
        error = sj_home_make(at)
    if error != SJ_OK:
        raise_error(error)


def tidy(home, timeout):
    """Clear away what dead ones left."""
    cdef _Call call = _Call(home, timeout)
    cdef int error
    with nogil:
        error = sj_catalog_tidy(&call.catalog)
    call.check(error)


def place(extents, reserved, seed):
    """A base for a segment that overlaps none of these (base, reserved); None: there is no gap."""
    cdef list known = list(extents)
    cdef size_t i, count = len(known)
    cdef uint64_t base
    cdef sj_extent *taken = <sj_extent *>malloc((count + 1) * sizeof(sj_extent))
    if taken is NULL:
        raise MemoryError
    try:
        for i in range(count):
            taken[i] = sj_extent(known[i][0], known[i][1])
        base = sj_arena_place(taken, count, reserved, seed)
    finally:
        free(taken)
    return base or None


def seg_alloc(home, timeout, str name, base, reserved, mode, *, power=False, replace=False):
    """Make a segment; what it says of itself."""
    cdef _Call call = _Call(home, timeout)
    cdef bytes c_name = name.encode()
    cdef sj_seg_spec spec = sj_seg_spec(
        c_name, base or 0, reserved, mode,
        SJ_DURABILITY_POWER if power else SJ_DURABILITY_PROCESS, replace,
    )
    cdef sj_segment_info info
    cdef int error
    with nogil:
        error = sj_catalog_seg_alloc(&call.catalog, &spec, &info)
    call.check(error)
    return segment_info(&info)


def seg_find(home, str name):
    """What the segment of that name says of itself."""
    cdef _Call call = _Call(home)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef sj_segment_info info
    cdef int error
    with nogil:
        error = sj_catalog_seg_find(&call.catalog, at, &info)
    call.check(error)
    return segment_info(&info)


def seg_delete(home, timeout, str name, bytes uuid=None):
    """Remove a segment."""
    cdef _Call call = _Call(home, timeout)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef const uint8_t *its = _uuid(uuid)
    cdef int error
    with nogil:
        error = sj_catalog_seg_delete(&call.catalog, at, its)
    call.check(error)


def seg_list(home):
    """The names of all segments, sorted."""
    cdef _Call call = _Call(home)
    cdef sj_names names
    cdef int error
    with nogil:
        error = sj_catalog_seg_list(&call.catalog, &names)
    call.check(error)
    return _listed(&names)


def vas_create(home, timeout, str name, mode):
    """Make a VAS without segments; its uuid."""
    cdef _Call call = _Call(home, timeout)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef uint32_t permissions = mode
    cdef sj_vid vid
    cdef int error
    with nogil:
        error = sj_catalog_vas_create(&call.catalog, at, permissions, &vid)
    call.check(error)
    return PyBytes_FromStringAndSize(<char *>vid.uuid, 16)


cdef object _facts(const sj_vas_record *record):
    cdef uint32_t i
    cdef const sj_vas_segment *segment
    segments = []
    for i in range(record.count):
        segment = &record.segments[i]
        segments.append(SegmentFacts(
            (<bytes>segment.name).decode(),
            PyBytes_FromStringAndSize(<char *>segment.uuid, 16),
            segment.base,
            segment.reserved,
            segment.rights,
            segment.window,
        ))
    return VasFacts(
        (<bytes>record.name).decode(),
        PyBytes_FromStringAndSize(<char *>record.uuid, 16),
        bool(record.of_segment),
        record.created_ns,
        record.tag,
        record.isolation,
        record.address_limit,
        record.mode,
        record.uid,
        record.gid,
        tuple(segments),
    )


def vas_read(home, str name, bytes uuid=None):
    """What the catalog knows of a VAS."""
    cdef _Call call = _Call(home)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef const uint8_t *its = _uuid(uuid)
    cdef sj_vas_record record
    cdef int error
    with nogil:
        error = sj_catalog_vas_read(&call.catalog, at, its, &record)
    call.check(error)
    try:
        return _facts(&record)
    finally:
        free(record.segments)


def vas_exists(home, str name):
    """Whether a VAS was created with that name."""
    cdef _Call call = _Call(home)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef c_bool exists = False
    cdef int error
    with nogil:
        error = sj_catalog_vas_exists(&call.catalog, at, &exists)
    call.check(error)
    return bool(exists)


def vas_delete(home, timeout, str name, bytes uuid=None):
    """Remove a VAS."""
    cdef _Call call = _Call(home, timeout)
    cdef bytes c_name = name.encode()
    cdef const char *at = c_name
    cdef const uint8_t *its = _uuid(uuid)
    cdef int error
    with nogil:
        error = sj_catalog_vas_delete(&call.catalog, at, its)
    call.check(error)


def vas_list(home):
    """The names of all VASes, segments included, sorted."""
    cdef _Call call = _Call(home)
    cdef sj_names names
    cdef int error
    with nogil:
        error = sj_catalog_vas_list(&call.catalog, &names)
    call.check(error)
    return _listed(&names)


def vas_ctl(home, timeout, str name, bytes uuid, int command, argument):
    """Change a property of a VAS."""
    cdef _Call call = _Call(home, timeout)
    cdef uint64_t value = argument
    cdef sj_vid vid
    cdef int error
    name_id((name, uuid), vid.name, vid.uuid)
    with nogil:
        error = sj_catalog_vas_ctl(&call.catalog, &vid, <sj_vas_command>command, value)
    call.check(error)


def seg_attach(home, timeout, tuple vas, tuple segment, rights, window):
    """Make a segment part of a VAS, both (name, uuid); the window that it is in."""
    cdef _Call call = _Call(home, timeout)
    cdef uint32_t wanted = rights, place = window, placed = 0
    cdef sj_vid vid
    cdef sj_sid sid
    cdef int error
    name_id(vas, vid.name, vid.uuid)
    name_id(segment, sid.name, sid.uuid)
    with nogil:
        error = sj_catalog_seg_attach(&call.catalog, &vid, &sid, wanted, place, &placed)
    call.check(error)
    return placed


def seg_detach(home, timeout, tuple vas, tuple segment):
    """Take a segment out of a VAS, both (name, uuid)."""
    cdef _Call call = _Call(home, timeout)
    cdef sj_vid vid
    cdef sj_sid sid
    cdef int error
    name_id(vas, vid.name, vid.uuid)
    name_id(segment, sid.name, sid.uuid)
    with nogil:
        error = sj_catalog_seg_detach(&call.catalog, &vid, &sid)
    call.check(error)


def seg_ctl(home, timeout, str name, bytes uuid, int command, argument):
    """Change a property of a segment."""
    cdef _Call call = _Call(home, timeout)
    cdef uint64_t value = argument
    cdef sj_sid sid
    cdef int error
    name_id((name, uuid), sid.name, sid.uuid)
    with nogil:
        error = sj_catalog_seg_ctl(&call.catalog, &sid, <sj_seg_command>command, value)
    call.check(error)


def seg_settings(home, timeout, str name, bytes uuid):
    """What is set in a segment."""
    cdef _Call call = _Call(home, timeout)
    cdef sj_settings settings
    cdef sj_sid sid
    cdef int error
    name_id((name, uuid), sid.name, sid.uuid)
    with nogil:
        error = sj_catalog_seg_settings(&call.catalog, &sid, &settings)
    call.check(error)
    return SegmentSettings(
        settings.growth_limit, settings.page_bytes, bool(settings.lockable), bool(settings.prefault)
    )
