# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_deque.pxd: what the bindings of deques and of queues share."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport sj_segment
from spacejmp.structures._codec cimport sj_value
from spacejmp.structures._container cimport ContainerCore


cdef extern from "structures/deque.h" nogil:
    ctypedef bint c_bool "_Bool"

    enum:
        SJ_KIND_DEQUE
        SJ_KIND_QUEUE

    const uint64_t SJ_DEQUE_UNLIMITED

    enum sj_side:
        SJ_LEFT
        SJ_RIGHT

    struct sj_deque:
        sj_segment *segment

    struct sj_deque_cursor:
        uint64_t index
        uint64_t chunk
        uint32_t slot

    int sj_deque_open(sj_segment *segment, uint64_t head, sj_deque *deque)
    uint64_t sj_deque_count(const sj_deque *deque)
    uint64_t sj_deque_limit(const sj_deque *deque)
    int sj_deque_set_limit(sj_deque *deque, uint64_t limit)
    int sj_deque_get(const sj_deque *deque, uint64_t index, sj_value *value)
    int sj_deque_set(sj_deque *deque, uint64_t index, const sj_value *value)
    int sj_deque_extend(sj_deque *deque, sj_side side, const sj_value *values, uint64_t count)
    int sj_deque_remove(sj_deque *deque, sj_side side, uint64_t count)
    int sj_deque_rotate(sj_deque *deque, sj_side side, uint64_t steps)
    int sj_deque_insert(sj_deque *deque, uint64_t index, const sj_value *value)
    int sj_deque_delete(sj_deque *deque, uint64_t index)
    int sj_deque_reverse(sj_deque *deque)
    int sj_deque_clear(sj_deque *deque)
    int sj_deque_read(const sj_deque *deque, sj_deque_cursor *cursor, c_bool downwards,
                      uint32_t wanted, sj_value *values, uint32_t *got)


cdef class ChunkedCore(ContainerCore):
    """What deques and queues have in common."""
    cdef sj_deque deque

    # Ends a write hold in which something was changed, and raises the error of that.
    cdef int finish(self, int error) except -1

    # The references of values are going to be stored; in a write hold, which is ended on failure.
    cdef int adopt_all(self, EncodedValues values) except -1


cdef class EncodedValues:
    """Any number of values, encoded: they lie in memory of their own."""
    cdef sj_value *values
    cdef uint64_t count
    cdef bint references  # there are some in them
    cdef uint8_t *bytes
    cdef size_t size
    cdef size_t room

    cdef int add(self, uint64_t index, const sj_value *value) except -1


# Encodes all of a list or a tuple. What values of the container's codec may raise.
cdef EncodedValues encode_all(ChunkedCore container, objects)
