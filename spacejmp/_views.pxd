# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_views.pxd: memory of a space that objects of Python look at."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spacejmp._space cimport Space, sj_space


cdef extern from "spacejmp/views.h" nogil:
    ctypedef bint c_bool "_Bool"

    struct sj_viewed:
        uint64_t at
        uint64_t bytes

    struct sj_view:
        pass

    struct sj_view_shape:
        uint64_t at
        uint64_t item_bytes
        uint32_t dims
        const int64_t *shape
        const int64_t *strides

    enum:
        SJ_VIEW_DIMS_MAX

    int sj_view_begin(sj_space *space, uint64_t at, uint64_t bytes, c_bool writable, sj_view *view)
    void sj_view_end(sj_view *view)
    int sj_view_touch(sj_space *space, const sj_view_shape *shape)
    bint sj_views_find(const sj_space *space, uint64_t at, uint64_t bytes, sj_viewed *block)


cdef class View:
    cdef Space owner
    cdef sj_view view
    cdef uint64_t at
    cdef uint64_t bytes
    cdef bint writable


# Bytes [at, at + bytes) of the block; inside of a hold, and if it is writable a write hold.
cdef View view_of(Space space, uint64_t block, uint64_t block_bytes, uint64_t at, uint64_t bytes,
                  bint writable)

# Whether a view that is begun now can be written through.
cdef bint is_writable_now(Space space)
