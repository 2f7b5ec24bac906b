# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_container.pyx: what lives in a store, and how it is found again.

A handle keeps where its structure is. When anything that could be a structure has gone from the
store since it was looked up (`sj_root_removals` tells), it looks again: by its name if it has one,
else whether what lies at its address still is what was there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_ECORRUPT,
    SJ_ENOTFOUND,
    SJ_HOLD_READ,
    SJ_OK,
    Space,
    raise_error,
    sj_mode_in,
)

from spacejmp.persistence.errors import NotFoundError


cdef extern from "structures/structure.h" nogil:
    int sj_structure_share_all(sj_segment *segment, const sj_value *value)


cdef class Referable:

    cdef int check_same_store(self, Referable other) except -1:
        if self.space.space is NULL or self.space.space is not other.space.space:
            raise ValueError(f"{self!r} lies in store {self.store.name!r}: a reference leads to "
                             "what is in the same store; copy it there")
        return 0

    cdef int find(self) except -1:
        self.space.leave()
        raise NotImplementedError

    @property
    def address(self):
        """Where it lies: the same address in every process."""
        self.enter_read()
        self.space.leave()
        return self.head


cdef class ContainerCore(Referable):
    """What all structures have in common."""

    def __cinit__(self, store, Space space, name, root_name, uint8_t key_codec,
                  uint8_t value_codec, uint64_t head=0, uint32_t serial=0):
        self.store = store
        self.space = space
        self.name = name
        self.root_name = root_name
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.head = head
        self.serial = serial
        self.removals = <uint64_t>-1  # not looked up yet

    def __init__(self, *arguments):
        self.enter_read()
        self.space.leave()

    cdef int c_open(self, uint64_t head) noexcept:
        return SJ_ECORRUPT

    cdef int c_type(self) noexcept:
        return -1

    cdef uint64_t c_count(self) noexcept:
        return 0

    cdef int find(self) except -1:
        cdef sj_segment *segment = self.space.space.segment
        cdef uint64_t removals = sj_root_removals(segment)
        cdef sj_root *root = NULL
        cdef sj_structure_info info
        cdef uint64_t head = self.head
        cdef int error
        if self.root_name is not None:
            error = sj_root_find(segment, self.root_name, len(self.root_name), &root)
            if error == SJ_OK and (root.type != self.c_type() or root.key_codec != self.key_codec
                                   or root.value_codec != self.value_codec):
                error = SJ_ENOTFOUND
            if error == SJ_OK:
                head = root.pointer
                error = sj_structure_look(segment, head, 0, &info)
        else:
            error = sj_structure_look(segment, head, self.serial, &info)
            if error == SJ_OK and info.kind != self.c_type():
                error = SJ_ENOTFOUND
        if error == SJ_OK:
            error = self.c_open(head)
        if error == SJ_OK:
            self.removals = removals
            self.head = head
            self.serial = info.serial
            return 0
        self.space.leave()
        if error == SJ_ENOTFOUND:
            raise NotFoundError(
                f"{self._title()} is no longer there: it was dropped, or the transaction that made "
                "it was undone; open it again"
            )
        return raise_error(error)

    cdef int enter_to_view(self) except -1:
        cdef Space space = self.space
        if (space.space is not NULL and space.writes
                and sj_mode_in(space.space) != SJ_HOLD_READ):
            return self.enter_write()
        return self.enter_read()

    cdef int adopt(self, const sj_value *value, bint within=False) except -1:
        cdef int error = sj_structure_share_all(self.space.space.segment, value)
        if error == SJ_OK:
            return 0
        if not within:
            self.space.leave()
        return raise_error(error)

    def _title(self):
        """How messages call it."""
        if self.name is not None:
            return repr(self.name)
        return f"the {type(self).__name__} at {self.head:#x}"

    def _label(self):
        """How its repr calls it."""
        return repr(self.name) if self.name is not None else f"at {self.head:#x}"

    @property
    def _codecs(self):
        """The numbers of its codecs."""
        return self.key_codec, self.value_codec

    @property
    def _place(self):
        """Its address and its serial."""
        self.enter_read()
        self.space.leave()
        return self.head, self.serial

    def __reduce__(self):
        from spacejmp.structures.store import _reopen_place, _reopen_structure

        if self.name is not None:
            return _reopen_structure, (self.store, self.name)
        return _reopen_place, (self.store, *self._place)
