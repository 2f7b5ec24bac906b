# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_column.pxd: keys or values of a batch, encoded before any lock is taken."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp.structures._codec cimport sj_key, sj_value


# How a word of a column becomes one of the media.
cdef enum Form:
    FORM_RAW
    FORM_INT_KEY
    FORM_FLOAT_KEY


# An item of bytes: where it begins in the column's memory.
cdef struct Span:
    uint64_t at
    uint64_t size
    uint32_t form_size


# An array that items are copied to.
cdef struct Target:
    char *at  # NULL: they are not wanted
    Py_ssize_t width  # bytes of an item
    bint word
    Form form

# `rows` is an array of bytes, a row an item, or None.
cdef int target_of(Target *target, uint8_t codec, object rows, bint key) except -1

# False when the item has other bytes than the array's rows can tell.
cdef bint target_put(const Target *target, Py_ssize_t at, uint64_t word, const uint8_t *bytes,
                     uint64_t size) noexcept nogil


cdef class Column:
    """Encoded keys or values: of an array, which is not copied, or of objects, which are."""
    cdef readonly Py_ssize_t count
    cdef bint word  # items are words
    cdef Form form
    cdef const char *words  # the first of them
    cdef Py_ssize_t stride
    cdef object keep  # what they lie in, if that is not the column's own
    cdef void *items  # own memory: words or spans
    cdef Py_ssize_t room
    cdef uint8_t *bytes  # own memory: what the spans lead to
    cdef uint64_t bytes_used
    cdef uint64_t bytes_room
    cdef bint skip  # leaves them out
    cdef list absent  # else: places of keys that no key of the codec equals
    cdef list referring  # places of values with references

    cdef int own(self, bint word) except -1
    cdef int add(self, uint64_t word, const uint8_t *bytes, uint64_t size,
                 uint32_t form_size) except -1
    cdef int take_bytes(self, const uint8_t *bytes, uint64_t size, uint32_t form_size) except -1
    cdef int add_key(self, uint8_t codec, object key, bint find) except -1
    cdef int add_value(self, uint8_t codec, object value, object container) except -1

    # Items start … start + count as the kernels take them.
    cdef void keys(self, Py_ssize_t start, uint32_t count, sj_key *key) noexcept nogil
    cdef void values(self, Py_ssize_t start, uint32_t count, sj_value *value) noexcept nogil
