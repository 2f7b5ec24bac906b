# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_costs.pyx: loops of switches, timed in C (apps/switch/costs.h). All run without the GIL."""

from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from libc.string cimport memcpy

from spacejmp._space cimport SJ_OK, Space, raise_error, sj_space, sj_wait


cdef extern from "apps/switch/costs.h" nogil:
    enum:
        COSTS_SPACES_MAX

    struct costs_s "costs":
        uint64_t switches
        int64_t ns
        uint64_t ticks

    enum costs_how:
        COSTS_READ
        COSTS_WRITE
        COSTS_HELD

    int costs_spaces(sj_space *const *spaces, uint32_t count, costs_how how, costs_s *costs)
    int costs_together(sj_space *const *spaces, uint32_t count, costs_how how, costs_s *costs)
    struct sj_vas:
        pass

    int costs_vases(sj_vas *const *vases, uint32_t count, costs_s *costs)
    int sj_vas_detach(sj_vas *vas, const sj_wait *wait)
    int costs_maps(const int *fd, uint64_t bytes, bint refault, costs_s *costs)
    int costs_rights(const int *fd, uint64_t bytes, costs_s *costs)
    int costs_futex(bint together, costs_s *costs)
    int costs_pipe(bint together, costs_s *costs)
    int costs_touch(sj_space *space, void *at, uint64_t bytes)


cdef extern from "spacejmp/catalog.h" nogil:
    struct sj_catalog:
        const char *home
        sj_wait wait

    struct sj_vid:
        uint8_t *uuid
        char *name

    int sj_catalog_vas_attach(const sj_catalog *catalog, const sj_vid *vid, uint32_t rights,
                              const sj_wait *wait, sj_vas **vas)


SPACES_MAX = COSTS_SPACES_MAX

Cost = namedtuple("Cost", "ns ticks")
Cost.__doc__ = "What one switch costs: nanoseconds, and ticks of the time stamp counter (or 0)."

_HOW = {"read": COSTS_READ, "write": COSTS_WRITE, "held": COSTS_HELD}


cdef object told(int error, const costs_s *costs):
    if error != SJ_OK:
        raise_error(error)
    return Cost(costs.ns / <double>costs.switches, costs.ticks / <double>costs.switches)


cdef uint32_t collect(spaces, sj_space **found) except 0:
    cdef uint32_t count = 0
    cdef Space space
    if not 0 < len(spaces) <= COSTS_SPACES_MAX:
        raise ValueError(f"expected 1 to {COSTS_SPACES_MAX} spaces, found {len(spaces)}")
    for space in spaces:
        if space.space is NULL:
            raise ValueError("expected spaces that are attached")
        found[count] = space.space
        count += 1
    return count


def in_turn(spaces, str how, uint64_t switches):
    """Out of one space and into the next; `how` is read, write, or held: without locks."""
    cdef sj_space *found[COSTS_SPACES_MAX]
    cdef uint32_t count = collect(spaces, found)
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef costs_how c_how = _HOW[how]
    cdef int error
    with nogil:
        error = costs_spaces(found, count, c_how, &costs)
    return told(error, &costs)


def together(spaces, str how, uint64_t switches):
    """Into all of the spaces at once, and out of all."""
    cdef sj_space *found[COSTS_SPACES_MAX]
    cdef uint32_t count = collect(spaces, found)
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef costs_how c_how = _HOW[how]
    cdef int error
    with nogil:
        error = costs_together(found, count, c_how, &costs)
    return told(error, &costs)


cdef class Attached:
    """A VAS of a home, attached for reading and writing until `detach`."""

    cdef sj_vas *vas

    def __cinit__(self, bytes home, bytes name, bytes uuid):
        cdef sj_wait wait = sj_wait(10.0, NULL, NULL)
        cdef sj_catalog catalog = sj_catalog(home, wait)
        cdef sj_vid vid
        cdef int error
        if len(uuid) != 16 or len(name) > 255:
            raise ValueError("expected a name and a uuid of a VAS")
        memcpy(vid.uuid, <const char *>uuid, 16)
        memcpy(vid.name, <const char *>name, len(name) + 1)
        error = sj_catalog_vas_attach(&catalog, &vid, 3, &wait, &self.vas)
        if error != SJ_OK:
            self.vas = NULL
            raise_error(error)

    def __dealloc__(self):
        self.detach()

    def detach(self):
        """Detach it; does nothing when that was done before."""
        cdef sj_wait wait = sj_wait(10.0, NULL, NULL)
        cdef sj_vas *vas = self.vas
        if vas is not NULL:
            self.vas = NULL
            with nogil:
                sj_vas_detach(vas, &wait)


def vases(attached, uint64_t switches):
    """Out of one VAS and into the next."""
    cdef sj_vas *found[COSTS_SPACES_MAX]
    cdef uint32_t count = 0
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef Attached one
    cdef int error
    if not 0 < len(attached) <= COSTS_SPACES_MAX:
        raise ValueError(f"expected 1 to {COSTS_SPACES_MAX} VASes, found {len(attached)}")
    for one in attached:
        if one.vas is NULL:
            raise ValueError("expected VASes that are attached")
        found[count] = one.vas
        count += 1
    with nogil:
        error = costs_vases(found, count, &costs)
    return told(error, &costs)


def maps(int one, int other, uint64_t size, bint refault, uint64_t switches):
    """Two files mapped in turn; each page is touched, or one."""
    cdef int fd[2]
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef int error
    fd[0], fd[1] = one, other
    with nogil:
        error = costs_maps(fd, size, refault, &costs)
    return told(error, &costs)


def rights(int one, int other, uint64_t size, uint64_t switches):
    """Two mappings, one of which has rights."""
    cdef int fd[2]
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef int error
    fd[0], fd[1] = one, other
    with nogil:
        error = costs_rights(fd, size, &costs)
    return told(error, &costs)


def hand_over(str way, bint one_cpu, uint64_t switches):
    """To another process and back, by "futex" or "pipe": two switches."""
    cdef costs_s costs = costs_s(switches, 0, 0)
    cdef bint pipes = way == "pipe"
    cdef int error
    with nogil:
        error = costs_pipe(one_cpu, &costs) if pipes else costs_futex(one_cpu, &costs)
    return told(error, &costs)


def touch(Space space, uint64_t address, uint64_t size):
    """Write into each page of a range that lies in the space."""
    cdef int error
    cdef sj_space *c_space = space.space
    if c_space is NULL or address < <uint64_t>c_space.segment.base or (
        address + size > <uint64_t>c_space.segment.base + c_space.segment.reserved
    ):
        raise ValueError("expected a range of an attached space")
    with nogil:
        error = costs_touch(c_space, <void *>address, size)
    if error != SJ_OK:
        raise_error(error)
