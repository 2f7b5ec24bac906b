# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_vas.pyx: attached VASes, switching into them, and memory in their segments.

Binds spacejmp/vas.h, spacejmp/seg_heap.h and what attaches of spacejmp/catalog.h. What may wait
releases the GIL and looks for signals about twenty times a second. Leaving does so too: it may
detach what has gone from a record.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._catalog cimport SJ_WINDOW_ALL, name_id, sj_catalog, sj_sid, sj_vid
from spacejmp._space cimport (
    SJ_EBUSY,
    SJ_EDAMAGED,
    SJ_EINTR,
    SJ_OK,
    path_of,
    poll_signals,
    raise_error,
    raise_waited,
    return_home,
    seconds_of,
    sj_return,
    sj_space,
    sj_space_forks,
    sj_wait,
)

from spacejmp.persistence.errors import (
    DetachedError,
    HoldError,
    NotFoundError,
    SpaceBusyError,
)


cdef extern from "spacejmp/vas.h" nogil:
    enum:
        SJ_RIGHT_READ
        SJ_RIGHT_WRITE

    struct sj_vas:
        pass

    struct sj_vas_member_t "sj_vas_member":
        char *name
        uint8_t *uuid
        uint64_t base
        uint64_t reserved
        uint32_t rights
        uint32_t window
        bint lockable
        bint is_private
        bint parked

    int sj_vas_detach(sj_vas *vh, const sj_wait *wait)
    int sj_vas_remove_private(sj_vas *vh, const uint8_t *uuid, const sj_wait *wait)
    int sj_vas_switchm(sj_vas *vh, uint32_t window, const sj_wait *wait, sj_vas **previous)
    sj_vas *sj_vas_current()
    uint32_t sj_vas_window()
    int sj_vas_enter(sj_vas *vh, uint32_t window, const sj_wait *wait)
    int sj_vas_leave(sj_vas *vh)
    int sj_vas_refresh(sj_vas *vh, const sj_wait *wait)
    uint32_t sj_vas_windows(sj_vas *vh)
    bint sj_vas_is_strict(sj_vas *vh)
    bint c_member "sj_vas_member"(sj_vas *vh, uint32_t index, sj_vas_member_t *member)
    int sj_vas_resolve(uint64_t pointer, uint64_t bytes, uint32_t rights, sj_space **space)
    int sj_vas_copy(uint64_t pointer, void *to, uint64_t bytes)


cdef extern from "spacejmp/seg_heap.h" nogil:
    int sj_seg_malloc(sj_vas *vh, const char *segment, uint64_t bytes, void **pointer)
    int sj_seg_free(sj_vas *vh, void *pointer)
    int sj_seg_write(sj_vas *vh, void *to, const void *source, uint64_t bytes)
    int sj_seg_change(sj_vas *vh, void *at, uint64_t bytes)
    int sj_vas_root_set(sj_vas *vh, const char *name, void *pointer)
    int sj_vas_root_get(sj_vas *vh, const char *name, void **pointer)
    int sj_vas_root_remove(sj_vas *vh, const char *name)
    int sj_vas_root_list(sj_vas *vh, int (*visit)(void *context, const char *name,
                                                  size_t name_bytes,
                                                  void *pointer) noexcept nogil,
                         void *context)


cdef extern from "spacejmp/catalog.h" nogil:
    int sj_catalog_vas_attach(const sj_catalog *catalog, const sj_vid *vid, uint32_t rights,
                              const sj_wait *wait, sj_vas **vh)
    int sj_catalog_add_private(const sj_catalog *catalog, sj_vas *vh, const sj_sid *sid,
                               uint32_t rights, uint32_t window, const sj_wait *wait)


WINDOW_ALL = <uint32_t>SJ_WINDOW_ALL

Member = namedtuple("Member", "name uuid base reserved rights window lockable private parked")


cdef int left(int error) except -1:
    """What leaving has returned: waits for the addresses of what the thread is in again."""
    if error == SJ_EBUSY:
        return return_home()
    return 0 if error == SJ_OK else raise_error(error)


cdef int add_root(void *context, const char *name, size_t name_bytes,
                  void *pointer) noexcept nogil:
    with gil:
        try:
            (<list>context).append((name[:name_bytes].decode("utf-8", "replace"),
                                    <uint64_t>pointer))
        except MemoryError:
            return SJ_EINTR
    return 0


cdef class Attached:
    """References of this process to an attached VAS."""

    cdef sj_vas *vh  # NULL when detached
    cdef readonly uint32_t references
    cdef double timeout  # of waits, in seconds; < 0: for ever
    cdef bint closing  # a thread gives the last reference back
    cdef int waiting  # threads that are on their way in or out without the GIL
    cdef uint32_t forks  # sj_space_forks() when `waiting` was true
    cdef list entries  # sj_space_forks() at each entry that has not ended
    cdef object __weakref__

    def __cinit__(self, home, tuple vid, uint32_t rights, timeout):
        cdef bytes c_home = path_of(home)
        cdef list raised = []
        cdef sj_catalog catalog
        cdef sj_vid found
        cdef sj_vas *vh = NULL
        cdef int error
        self.entries = []
        self.timeout = seconds_of(timeout)
        name_id(vid, found.name, found.uuid)
        catalog.home = c_home
        catalog.wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        with nogil:
            error = sj_catalog_vas_attach(&catalog, &found, rights, &catalog.wait, &vh)
        if error != SJ_OK:
            raise_waited(error, raised)
        self.vh = vh
        self.references = 1

    def __dealloc__(self):
        cdef sj_vas *vh = self.vh
        cdef uint32_t references = self.references
        cdef sj_wait wait = sj_wait(self.timeout, NULL, NULL)
        if vh is NULL:
            return
        self.vh = NULL
        with nogil:
            while references > 0 and sj_vas_detach(vh, &wait) != SJ_EBUSY:
                references -= 1

    cdef int check(self) except -1:
        """For a thread that is inside: nobody detaches it meanwhile."""
        if self.vh is NULL:
            raise DetachedError(
                "the VAS has been detached: attach it again with spacejmp.vas_attach()"
            )
        return 0

    cdef int check_outside(self) except -1:
        if self.closing:
            raise SpaceBusyError("another thread is detaching the VAS")
        return self.check()

    cdef void on_the_way(self) noexcept:
        if self.forks != sj_space_forks():  # those who were then are so in the parent
            self.forks = sj_space_forks()
            self.waiting = 0
        self.waiting += 1

    def is_same(self, Attached other):
        return self.vh is other.vh

    @property
    def handle(self):
        """A number that only this VAS has as long as it is attached with its rights; 0: none."""
        return <uint64_t>self.vh

    def absorb(self, Attached other):
        """Take over the references of another object for the same."""
        self.references += other.references
        other.vh = NULL
        other.references = 0

    def detach(self):
        """Give one reference back. SpaceBusyError: a thread is inside, and it was the last."""
        cdef list raised = []
        cdef sj_wait wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        cdef int error
        if self.vh is NULL:
            return
        if self.closing:
            raise SpaceBusyError("another thread is detaching the VAS")
        if self.references == 1 and self.waiting != 0 and self.forks == sj_space_forks():
            raise SpaceBusyError(
                f"{self.waiting} threads of this process are on their way into or out of the VAS: "
                "detach it when they are done"
            )
        self.closing = self.references == 1
        self.references -= 1
        with nogil:
            error = sj_vas_detach(self.vh, &wait)
        if error == SJ_EBUSY or error == SJ_EINTR:
            self.references += 1
        elif self.closing:
            self.vh = NULL
        self.closing = False
        if error != SJ_OK or raised:
            raise_waited(error, raised)

    def add_private(self, home, tuple sid, uint32_t rights, uint32_t window):
        cdef bytes c_home = path_of(home)
        cdef list raised = []
        cdef sj_catalog catalog
        cdef sj_sid found
        cdef int error
        self.check_outside()
        name_id(sid, found.name, found.uuid)
        catalog.home = c_home
        catalog.wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        self.on_the_way()
        with nogil:
            error = sj_catalog_add_private(&catalog, self.vh, &found, rights, window,
                                           &catalog.wait)
        self.waiting -= 1
        if error != SJ_OK or raised:
            raise_waited(error, raised)

    def remove_private(self, bytes uuid):
        cdef list raised = []
        cdef sj_wait wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        cdef const uint8_t *number = <const uint8_t *>PyBytes_AS_STRING(uuid)
        cdef int error
        self.check_outside()
        self.on_the_way()
        with nogil:
            error = sj_vas_remove_private(self.vh, number, &wait)
        self.waiting -= 1
        if error != SJ_OK or raised:
            raise_waited(error, raised)

    def refresh(self):
        cdef list raised = []
        cdef sj_wait wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        cdef int error
        self.check_outside()
        self.on_the_way()
        with nogil:
            error = sj_vas_refresh(self.vh, &wait)
        self.waiting -= 1
        if error != SJ_OK or raised:
            raise_waited(error, raised)

    def enter(self, uint32_t window, timeout=None):
        cdef list raised
        cdef sj_wait wait
        cdef int error
        self.check_outside()
        error = sj_vas_enter(self.vh, window, NULL)
        if error == SJ_EBUSY:
            raised = []
            wait = sj_wait(self.timeout if timeout is None else seconds_of(timeout), poll_signals,
                           <void *>raised)
            self.check_outside()
            self.on_the_way()
            with nogil:
                error = sj_vas_enter(self.vh, window, &wait)
            self.waiting -= 1
            if error != SJ_OK:
                try:
                    raise_waited(error, raised)
                finally:
                    return_home()
        elif error != SJ_OK:
            try:
                raise_error(error)
            finally:
                return_home()
        self.entries.append(sj_space_forks())

    def leave(self):
        """Ends the last entry, unless that was made before a fork."""
        cdef int error
        if not self.entries:
            raise HoldError("a VAS was left that had not been entered")
        if self.entries[len(self.entries) - 1] != sj_space_forks():
            self.entries.pop()
            return
        self.check()
        self.on_the_way()
        with nogil:
            error = sj_vas_leave(self.vh)
        self.waiting -= 1
        if error == SJ_OK or error == SJ_EBUSY or error == SJ_EDAMAGED:
            self.entries.pop()
        left(error)

    @property
    def windows(self):
        self.check_outside()
        return sj_vas_windows(self.vh)

    @property
    def strict(self):
        self.check_outside()
        return bool(sj_vas_is_strict(self.vh))

    def members(self):
        """The segments, in ascending base order."""
        cdef sj_vas_member_t member
        cdef list found = []
        self.check_outside()
        while c_member(self.vh, <uint32_t>len(found), &member):
            found.append(Member(
                (<bytes>member.name).decode("utf-8", "replace"),
                PyBytes_FromStringAndSize(<char *>member.uuid, 16),
                member.base,
                member.reserved,
                member.rights,
                member.window,
                bool(member.lockable),
                bool(member.is_private),
                bool(member.parked),
            ))
        return found

    def malloc(self, str segment, uint64_t size):
        cdef bytes c_segment = segment.encode()
        cdef const char *name = c_segment
        cdef void *pointer = NULL
        cdef int error
        self.check()
        if b"\0" in c_segment:  # C would take what is before it for the name
            raise NotFoundError(f"there is no segment {segment!r} in the VAS")
        with nogil:
            error = sj_seg_malloc(self.vh, name, size, &pointer)
        if error != SJ_OK:
            raise_error(error)
        return <uint64_t>pointer

    def free(self, uint64_t pointer):
        cdef int error
        self.check()
        with nogil:
            error = sj_seg_free(self.vh, <void *>pointer)
        if error != SJ_OK:
            raise_error(error)

    def read(self, uint64_t pointer, uint64_t size):
        cdef sj_space *space = NULL
        cdef bytes found
        cdef int error
        self.check()
        self.check_current()
        if sj_return(NULL) == SJ_EBUSY:  # after a signal has ended a wait for it
            return_home()
        error = sj_vas_resolve(pointer, size, SJ_RIGHT_READ, &space)
        if error != SJ_OK:
            raise_error(error)
        found = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        error = sj_vas_copy(pointer, PyBytes_AS_STRING(found), size)
        if error != SJ_OK:
            raise_error(error)
        return found

    def write(self, uint64_t pointer, const uint8_t[::1] data):
        cdef const uint8_t *source = &data[0] if data.shape[0] > 0 else NULL
        cdef uint64_t size = <uint64_t>data.shape[0]
        cdef int error
        self.check()
        with nogil:
            error = sj_seg_write(self.vh, <void *>pointer, source, size)
        if error != SJ_OK:
            raise_error(error)

    def change(self, uint64_t pointer, uint64_t size):
        cdef int error
        self.check()
        with nogil:
            error = sj_seg_change(self.vh, <void *>pointer, size)
        if error != SJ_OK:
            raise_error(error)

    cdef int check_current(self) except -1:
        if sj_vas_current() is not self.vh:
            raise HoldError("the thread is not inside of this VAS: switch to it first")
        return 0

    def root_set(self, bytes name, uint64_t pointer):
        cdef const char *c_name = name
        cdef int error
        self.check()
        with nogil:
            error = sj_vas_root_set(self.vh, c_name, <void *>pointer)
        if error != SJ_OK:
            raise_error(error)

    def root_get(self, bytes name):
        cdef const char *c_name = name
        cdef void *pointer = NULL
        cdef int error
        self.check()
        with nogil:
            error = sj_vas_root_get(self.vh, c_name, &pointer)
        if error != SJ_OK:
            raise_error(error)
        return <uint64_t>pointer

    def root_remove(self, bytes name):
        cdef const char *c_name = name
        cdef int error
        self.check()
        with nogil:
            error = sj_vas_root_remove(self.vh, c_name)
        if error != SJ_OK:
            raise_error(error)

    def roots(self):
        cdef list found = []
        cdef int error
        self.check()
        with nogil:
            error = sj_vas_root_list(self.vh, add_root, <void *>found)
        if error != SJ_OK:
            raise_error(error)
        return found


def switch(Attached to, uint32_t window, timeout):
    """Make a VAS, or None, the thread's current one. The handle of the previous one; 0: none."""
    cdef list raised = []
    cdef sj_wait wait = sj_wait(-1.0, poll_signals, <void *>raised)
    cdef sj_vas *vh = NULL
    cdef sj_vas *previous = NULL
    cdef int error
    if timeout is not None:
        wait.timeout_s = seconds_of(timeout)
    elif to is not None:
        wait.timeout_s = to.timeout
    if to is not None:
        to.check_outside()
        vh = to.vh
        to.on_the_way()
    with nogil:
        error = sj_vas_switchm(vh, window, &wait, &previous)
    if to is not None:
        to.waiting -= 1
    if error != SJ_OK or raised:
        raise_waited(error, raised)
    return <uint64_t>previous


def current():
    """The handle of the VAS that the calling thread is inside of; 0: none."""
    return <uint64_t>sj_vas_current()


def current_window():
    return sj_vas_window()
