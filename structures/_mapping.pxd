# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_mapping.pxd: what the bindings of all mappings and sets share."""

from libc.stdint cimport uint32_t, uint64_t

from spacejmp._space cimport sj_segment
from spacejmp.structures._codec cimport sj_item, sj_key, sj_kinds, sj_value
from spacejmp.structures._container cimport ContainerCore


cdef extern from "persistence/segment.h" nogil:
    int sj_segment_damaged(const sj_segment *segment, uint64_t at, const char *what)


cdef extern from "structures/entry.h" nogil:
    ctypedef bint c_bool "_Bool"

    enum sj_put_mode:
        SJ_PUT_ALWAYS
        SJ_PUT_NEW


cdef extern from *:  # called with the GIL
    ctypedef int (*sj_value_change)(void *context, const sj_value *old, sj_value *value) noexcept


# What an iteration gives.
cdef enum:
    GIVE_KEYS = 0
    GIVE_VALUES = 1
    GIVE_ITEMS = 2


cdef class MappingCore(ContainerCore):
    # What a mapping implements, beside what every structure does; all inside a hold.
    cdef int c_get(self, const sj_key *key, sj_value *value) noexcept
    cdef int c_put(self, const sj_key *key, const sj_value *value, sj_put_mode mode,
                   c_bool *existed) noexcept
    cdef int c_change(self, const sj_key *key, sj_value_change change, void *context) noexcept
    cdef int c_delete(self, const sj_key *key) noexcept
    cdef int c_clear(self) noexcept

    cdef int expect_kinds(self, sj_kinds kinds, uint64_t head) noexcept

    # Of many keys, in a hold that stays while the GIL is not held.
    cdef int c_get_many(self, const sj_key *key, uint32_t count, sj_value *value,
                        c_bool *found) noexcept nogil
    cdef int c_put_many(self, const sj_key *key, const sj_value *value, uint32_t count,
                        uint64_t *fresh) noexcept nogil
    cdef int c_delete_many(self, const sj_key *key, uint32_t count,
                           uint64_t *deleted) noexcept nogil

    cdef object get_or(self, object key, object default, bint must)
    cdef int store_item(self, object key, object value) except -1
    cdef bint remove(self, object key) except -1
