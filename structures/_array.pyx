# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_array.pyx: arrays in a store: making them, and letting NumPy look at them.

Binds structures/array.h.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_OK,
    Space,
    raise_error,
    sj_segment,
    sj_tx_op_abort,
    sj_tx_op_begin,
    sj_tx_op_commit,
    sj_tx_ready,
)
from spacejmp._views cimport View, is_writable_now, view_of
from spacejmp.structures._container cimport ContainerCore, sj_root_add, sj_structure_head

from spacejmp.persistence.errors import CorruptError, HoldError, InvalidArgumentError
from spacejmp.structures.dtypes import dtype_of


cdef extern from "structures/array.h" nogil:
    enum:
        SJ_KIND_ARRAY
        SJ_ARRAY_DIMS_MAX

    struct sj_array_data:
        uint64_t bytes

    struct sj_array_head:
        sj_structure_head first
        uint64_t data

    struct sj_array_spec:
        uint32_t dims
        const uint64_t *shape
        uint64_t item_bytes
        const char *type
        uint32_t type_bytes

    struct sj_array:
        sj_array_head *head
        sj_array_spec spec
        uint64_t bytes
        sj_array_data *data

    int sj_array_make(sj_segment *segment, const sj_array_spec *spec, uint64_t *head)
    int sj_array_open(sj_segment *segment, uint64_t head, sj_array *array)
    bint sj_array_is_new(const sj_array *array)
    int sj_array_reshape(sj_array *array, uint32_t dims, const uint64_t *shape)

ARRAY = SJ_KIND_ARRAY

cdef enum:
    HEAD_BYTES = 64  # of a block of items


cdef int finish(sj_segment *segment, int error) noexcept:
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    return sj_tx_op_commit(segment)


cdef int take_shape(tuple shape, uint64_t *into) except -1:
    cdef Py_ssize_t i
    if len(shape) > SJ_ARRAY_DIMS_MAX:
        raise InvalidArgumentError(
            f"an array has at most {SJ_ARRAY_DIMS_MAX} dimensions, found {len(shape)}"
        )
    for i in range(len(shape)):
        into[i] = shape[i]
    return 0


def create(Space space, name, tuple shape, uint64_t item_bytes, bytes text):
    """Make an array of zeros, and its root unless `name` is None; its address and serial.

    AlreadyExistsError, SpaceFullError, ReadOnlyError.
    """
    cdef uint64_t[SJ_ARRAY_DIMS_MAX] lengths
    cdef sj_array_spec spec
    cdef sj_segment *segment
    cdef uint64_t head = 0
    cdef uint32_t serial = 0
    cdef int error
    take_shape(shape, lengths)
    spec.dims = <uint32_t>len(shape)
    spec.shape = lengths
    spec.item_bytes = item_bytes
    spec.type = text
    spec.type_bytes = <uint32_t>len(text)
    space.enter_write()
    try:
        segment = space.space.segment
        error = sj_tx_op_begin(segment)
        if error == SJ_OK:
            error = sj_array_make(segment, &spec, &head)
            if error == SJ_OK and name is not None:
                error = sj_root_add(segment, name, len(name), SJ_KIND_ARRAY, 0, 0, head)
            error = finish(segment, error)
        if error == SJ_OK:
            serial = (<sj_array_head *>head).first.serial
        space.changed()
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return head, serial


cdef class ArrayCore(ContainerCore):
    """What `Array` needs of the kernel."""

    cdef sj_array array

    cdef int c_open(self, uint64_t head) noexcept:
        return sj_array_open(self.space.space.segment, head, &self.array)

    cdef int c_type(self) noexcept:
        return SJ_KIND_ARRAY

    cdef int refresh(self) except -1:
        """In a hold: its shape and its block may be others than when it was looked up."""
        cdef int error = self.c_open(self.head)
        return raise_error(error) if error != SJ_OK else 0

    cdef tuple shape_now(self):
        return tuple([self.array.spec.shape[i] for i in range(self.array.spec.dims)])

    cdef object dtype_now(self):
        cdef const sj_array_spec *spec = &self.array.spec
        dtype = dtype_of(spec.type[: spec.type_bytes].decode("ascii"))
        if dtype.itemsize != spec.item_bytes:
            raise CorruptError(
                f"{self._title()}: expected items of {dtype.itemsize} bytes, found "
                f"{spec.item_bytes}"
            )
        return dtype

    def _look(self, bint also_new=False):
        """An array of its memory. `also_new`: for use within the transaction that has made it."""
        cdef Space space = self.space
        cdef View view
        self.enter_to_view()
        try:
            self.refresh()
            if sj_array_is_new(&self.array) and not also_new:
                raise HoldError(
                    f"{self._title()} was made by the transaction that is open, and is gone if "
                    "that is undone: look at it when it has ended; until then assign to parts of "
                    "it, as store[name][...] = values"
                )
            shape, dtype = self.shape_now(), self.dtype_now()
            view = view_of(space, self.array.head.data, HEAD_BYTES + self.array.data.bytes,
                           <uint64_t>self.array.data + HEAD_BYTES, self.array.bytes,
                           is_writable_now(space))
        finally:
            space.leave()
        import numpy  # not before: it takes long

        return numpy.ndarray(shape, dtype, view)

    def _about(self):
        """Its shape and its type."""
        self.enter_read()
        try:
            self.refresh()
            return self.shape_now(), self.dtype_now()
        finally:
            self.space.leave()

    def _reshape(self, tuple shape):
        cdef uint64_t[SJ_ARRAY_DIMS_MAX] lengths
        cdef sj_segment *segment
        cdef int error
        take_shape(shape, lengths)
        self.enter_write()
        try:
            self.refresh()
            segment = self.space.space.segment
            error = sj_tx_op_begin(segment)
            if error == SJ_OK:
                error = finish(segment,
                               sj_array_reshape(&self.array, <uint32_t>len(shape), lengths))
            self.space.changed()
        finally:
            self.space.leave()
        if error != SJ_OK:
            raise_error(error)
