# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_container.pxd: what all that lives in a store has in common, for the bindings."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport Space, sj_segment
from spacejmp.structures._codec cimport sj_value


cdef extern from "persistence/roots.h" nogil:
    struct sj_root:
        uint16_t type
        uint8_t key_codec
        uint8_t value_codec
        uint64_t pointer

    int sj_root_find(const sj_segment *segment, const char *name, size_t name_bytes, sj_root **root)
    int sj_root_add(sj_segment *segment, const char *name, size_t name_bytes, uint16_t type,
                    uint8_t key_codec, uint8_t value_codec, uint64_t pointer)
    uint64_t sj_root_removals(const sj_segment *segment)


cdef extern from "structures/structure.h" nogil:
    struct sj_structure_head:
        uint32_t serial

    struct sj_codecs:
        uint8_t key
        uint8_t value

    struct sj_structure_info:
        uint16_t kind
        bint shared
        sj_codecs codecs
        uint32_t serial
        uint64_t count

    int sj_structure_look(sj_segment *segment, uint64_t head, uint32_t serial,
                          sj_structure_info *info)


cdef class Referable:
    """What a reference can lead to: a structure, or a record."""
    cdef readonly object store
    cdef Space space
    cdef uint64_t head  # its address
    cdef uint32_t serial  # recognises it; 0: only its root does
    cdef uint64_t removals  # sj_root_removals() when it was last looked up
    cdef object __weakref__

    # ValueError when it lies in another store than `other`.
    cdef int check_same_store(self, Referable other) except -1

    # Looks it up where it is now; on failure the caller's hold is ended.
    cdef int find(self) except -1

    cdef inline int enter_read(self) except -1:
        """A read hold on it as it is now; ended by self.space.leave()."""
        self.space.enter_read()
        if self.removals != sj_root_removals(self.space.space.segment):
            self.find()
        return 0

    cdef inline int enter_write(self) except -1:
        self.space.enter_write()
        if self.removals != sj_root_removals(self.space.space.segment):
            self.find()
        return 0


cdef class ContainerCore(Referable):
    """A structure, by its name, or by its place when it has none."""
    cdef readonly object name  # str; None: it has none
    cdef bytes root_name
    cdef uint8_t key_codec
    cdef uint8_t value_codec

    # What a structure implements; inside a hold.
    cdef int c_open(self, uint64_t head) noexcept
    cdef int c_type(self) noexcept
    cdef uint64_t c_count(self) noexcept

    # A hold for a view of its memory: for writing, when a view begun in it may be written to.
    cdef int enter_to_view(self) except -1

    # Says that the references of a value are going to be stored. In a write hold, which is ended
    # when this raises, unless `within` a larger operation.
    cdef int adopt(self, const sj_value *value, bint within=*) except -1
