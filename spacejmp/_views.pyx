# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_views.pyx: memory of a space as a buffer, which keeps it in use (spacejmp/views.h)."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport int64_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_DURABILITY_PROCESS,
    SJ_EINVAL,
    SJ_HOLD_WRITE,
    SJ_OK,
    Space,
    raise_error,
    sj_mode_in,
    sj_space,
)

from spacejmp.persistence.errors import InvalidArgumentError


@cython.no_gc_clear  # its end needs its owner, also when both are in a cycle
cdef class View:
    """A range of a block of a space. As long as it lives the block is not freed, and the space not
    detached. Made by structures alone."""

    def __dealloc__(self):
        if self.owner is not None:
            sj_view_end(&self.view)
            self.owner.views -= 1

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, <void *>self.at, <Py_ssize_t>self.bytes,
                          not self.writable, flags)

    def __len__(self):
        return self.bytes

    def __reduce__(self):
        raise TypeError("a view of a store's memory is of this process: send a copy of the array")

    def __repr__(self):
        return f"<View of {self.bytes} bytes at {self.at:#x}>"


cdef View view_of(Space space, uint64_t block, uint64_t block_bytes, uint64_t at, uint64_t bytes,
                  bint writable):
    cdef View view = View.__new__(View)
    cdef int error = sj_view_begin(space.space, block, block_bytes, writable, &view.view)
    if error != SJ_OK:
        raise_error(error)
    view.owner = space
    space.views += 1
    view.at = at
    view.bytes = bytes
    view.writable = writable
    return view


cdef bint is_writable_now(Space space):
    return (space.writes and sj_mode_in(space.space) == SJ_HOLD_WRITE
            and space.space.segment.domain.durability == SJ_DURABILITY_PROCESS)


cdef object writable_twin(Space space, object array, const sj_viewed *block):
    """Another array of the same memory that can be written to."""
    import numpy

    cdef View view = view_of(space, block.at, block.bytes, block.at, block.bytes, True)
    return numpy.ndarray(array.shape, array.dtype, view,
                         array.__array_interface__["data"][0] - view.at, array.strides)


def touch(tuple spaces, view, list lent):
    """`Hold.touch`: spaces that are in the transaction, and arrays that it has lent."""
    cdef int64_t[SJ_VIEW_DIMS_MAX] shape
    cdef int64_t[SJ_VIEW_DIMS_MAX] strides
    cdef sj_view_shape covered
    cdef sj_viewed block
    cdef Space space
    cdef int error = SJ_EINVAL
    cdef uint32_t i
    import numpy

    array = numpy.asarray(view)
    if array.ndim > SJ_VIEW_DIMS_MAX:
        raise InvalidArgumentError(f"an array of {array.ndim} dimensions")
    for i in range(<uint32_t>array.ndim):
        shape[i] = array.shape[i]
        strides[i] = array.strides[i]
    covered.at = array.__array_interface__["data"][0]
    covered.item_bytes = array.itemsize
    covered.dims = array.ndim
    covered.shape = shape
    covered.strides = strides
    for space in spaces:
        error = sj_view_touch(space.space, &covered)
        if error != SJ_EINVAL:
            break
    if error != SJ_OK:
        raise_error(error)
    if array.flags.writeable or not array.size or \
            not sj_views_find(space.space, covered.at, covered.item_bytes, &block):
        return array
    array = writable_twin(space, array, &block)
    lent.append(array)
    return array
