# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_clone.pyx: clones of attached spaces, of segments and VASes, in the catalog of a home.

Binds persistence/clone.h and spacejmp/catalog.h.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint32_t, uint64_t

from spacejmp._catalog cimport name_id, sj_catalog, sj_sid, sj_vid
from spacejmp._space cimport (
    SJ_DURABILITY_POWER,
    SJ_DURABILITY_PROCESS,
    SJ_EINTR,
    SJ_OK,
    Space,
    path_of,
    poll_signals,
    raise_waited,
    seconds_of,
    sj_space,
    sj_wait,
)

from spacejmp.persistence.errors import InvalidArgumentError


cdef extern from "persistence/clone.h" nogil:
    enum:
        SJ_CLONE_KEEPS

    struct sj_clone_spec:
        const char *name
        const char *path
        uint32_t mode
        int durability
        bint frozen
        int (*progress)(void *context, uint64_t done, uint64_t total) noexcept nogil
        void *context


cdef extern from "spacejmp/catalog.h" nogil:
    int sj_catalog_seg_clone(const sj_catalog *catalog, sj_space *space,
                             const sj_clone_spec *spec)
    int sj_catalog_sid_clone(const sj_catalog *catalog, const sj_sid *sid,
                             const sj_clone_spec *spec, sj_sid *clone)
    int sj_catalog_vas_clone(const sj_catalog *catalog, const sj_vid *vid,
                             const sj_clone_spec *spec, sj_vid *clone)


cdef class Watch:
    """What a copy calls back with."""

    cdef object progress  # (done, total), or None
    cdef list raised


cdef int on_progress(void *context, uint64_t done, uint64_t total) noexcept nogil:
    """Ends the copy when a signal handler or the caller's function has raised."""
    with gil:
        try:
            PyErr_CheckSignals()
            if (<Watch>context).progress is not None:
                (<Watch>context).progress(done, total)
        except BaseException as raised:
            (<Watch>context).raised.append(raised)
            return SJ_EINTR
    return SJ_OK


cdef int prepare(sj_clone_spec *spec, Watch watch, bytes name, mode, durability,
                 progress) except -1:
    """What is the same for all clones; `watch` is with the caller."""
    if durability not in (None, "process", "power"):
        raise InvalidArgumentError(
            f"durability: expected 'process' or 'power', found {durability!r}"
        )
    watch.progress = progress
    watch.raised = []
    spec.name = PyBytes_AS_STRING(name)
    spec.path = NULL
    spec.mode = 0 if mode is None else mode
    spec.durability = SJ_CLONE_KEEPS
    if durability is not None:
        spec.durability = SJ_DURABILITY_POWER if durability == "power" else SJ_DURABILITY_PROCESS
    spec.frozen = False
    spec.progress = on_progress
    spec.context = <void *>watch
    return 0


def clone(home, timeout, Space space, str name, *, mode=None, durability=None, frozen=False,
          progress=None):
    """Make a segment of that name with what the space has committed."""
    cdef bytes c_home = path_of(home)
    cdef bytes c_name = name.encode()
    cdef Watch watch = Watch()
    cdef sj_clone_spec spec
    cdef sj_catalog catalog
    cdef sj_space *inside
    cdef int error
    prepare(&spec, watch, c_name, mode, durability, progress)
    spec.frozen = frozen
    catalog.home = c_home
    catalog.wait = sj_wait(seconds_of(timeout), poll_signals, <void *>watch.raised)
    space.enter_read()
    inside = space.space  # with the GIL: another thread may detach this reference
    try:
        with nogil:
            error = sj_catalog_seg_clone(&catalog, inside, &spec)
    finally:
        space.leave()
    if error != SJ_OK:
        raise_waited(error, watch.raised)


def clone_named(home, timeout, bint vas, tuple original, str name, *, mode=None, durability=None,
                progress=None):
    """Make a clone of a VAS, or of a segment, that was found by (name, uuid); its uuid."""
    cdef bytes c_home = path_of(home)
    cdef bytes c_name = name.encode()
    cdef Watch watch = Watch()
    cdef sj_clone_spec spec
    cdef sj_catalog catalog
    cdef sj_sid sid, made_segment
    cdef sj_vid vid, made
    cdef int error
    name_id(original, vid.name, vid.uuid)
    name_id(original, sid.name, sid.uuid)
    prepare(&spec, watch, c_name, mode, durability, progress)
    catalog.home = c_home
    catalog.wait = sj_wait(seconds_of(timeout), poll_signals, <void *>watch.raised)
    with nogil:
        if vas:
            error = sj_catalog_vas_clone(&catalog, &vid, &spec, &made)
        else:
            error = sj_catalog_sid_clone(&catalog, &sid, &spec, &made_segment)
    if error != SJ_OK:
        raise_waited(error, watch.raised)
    return PyBytes_FromStringAndSize(<char *>(made.uuid if vas else made_segment.uuid), 16)
