# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_record.pxd: the objects that stand for records."""

from libc.stdint cimport uint32_t, uint64_t

from spacejmp._space cimport Space, sj_segment
from spacejmp.structures._container cimport Referable, sj_root_removals


cdef extern from "structures/record.h" nogil:
    enum:
        SJ_KIND_RECORD
        SJ_RECORD_HEAD

    struct sj_record:
        uint32_t serial
        uint64_t schema

    struct sj_schema:
        uint32_t fields
        uint32_t name_bytes
        uint32_t bytes

    void *sj_segment_block_quick(const sj_segment *segment, uint64_t at, uint64_t bytes, int kind)
    void *sj_segment_block(const sj_segment *segment, uint64_t at, uint64_t bytes, int kind)
    int sj_record_free(sj_segment *segment, uint64_t record)
    int sj_record_look(const sj_segment *segment, uint64_t record, const sj_record **head,
                       const sj_schema **schema)


cdef class Version:
    """A version of a type in a store, and the class that is for it here."""
    cdef object form  # the class's (_field.pyx)
    cdef object cls
    cdef uint64_t schema
    cdef uint32_t known  # of the class's fields, those that records of this version have
    cdef uint32_t size


# The objects of a store's records that are alive: a ring, in which the store has a place too.
cdef struct Link:
    Link *previous
    Link *next
    uint64_t head
    uint32_t serial


cdef class Living:
    """Knows which records have objects, so that they are not collected."""
    cdef Link ring


cdef class RecordCore(Referable):
    """What all records are: an address whose record is looked at before each use."""
    cdef Living registry  # the store's (_field.pyx)
    cdef Version version
    cdef uint64_t at  # of the first field: what C programs and pointers have
    cdef uint64_t first  # of its block's first word, kind and serial
    cdef Link link

    cdef bint is_as_it_was(self) noexcept
    cdef int must_be_there(self) except -1

    # A hold on the record as it is now; ended by self.space.leave().
    cdef inline int begin_read(self) except -1:
        self.space.enter_read()
        if not self.is_as_it_was():
            self.find()
        return 0

    cdef inline int begin_write(self) except -1:
        self.space.enter_write()
        if not self.is_as_it_was():
            self.find()
        return 0


# The object for a record that is there, in a hold.
cdef RecordCore record_made(object store, Space space, Living registry, Version version,
                            uint64_t address)
