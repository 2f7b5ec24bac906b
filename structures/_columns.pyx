# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_columns.pyx: tables in columns: rows in and out, and letting NumPy look at a column.

Binds structures/columns.h.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

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

from spacejmp.persistence.errors import CorruptError, LiveViewsError
from spacejmp.structures.dtypes import dtype_of


cdef extern from "persistence/error.h" nogil:
    enum:
        SJ_EVIEWS


cdef extern from "structures/columns.h" nogil:
    enum:
        SJ_KIND_COLUMNS

    struct sj_array_data:
        uint64_t bytes

    struct sj_columns_head:
        sj_structure_head first

    struct sj_column_spec:
        const char *name
        const char *type
        uint64_t item_bytes
        uint16_t name_bytes
        uint16_t type_bytes

    struct sj_columns:
        sj_columns_head *head

    struct sj_column_source:
        const char *at
        int64_t stride

    int sj_columns_make(sj_segment *segment, uint32_t count, const sj_column_spec *spec,
                        uint64_t capacity, uint64_t *head)
    int sj_columns_open(sj_segment *segment, uint64_t head, sj_columns *columns)
    int sj_columns_size(const sj_columns *columns, uint32_t *count, uint64_t *rows,
                        uint64_t *capacity)
    int sj_columns_column(const sj_columns *columns, uint32_t number, sj_column_spec *spec,
                          sj_array_data **data)
    bint sj_columns_is_new(const sj_columns *columns, const sj_array_data *data)
    int sj_columns_append(sj_columns *columns, uint64_t rows, const sj_column_source *source)
    int sj_columns_reserve(sj_columns *columns, uint64_t capacity)
    int sj_columns_truncate(sj_columns *columns, uint64_t rows)
    int sj_columns_order(sj_columns *columns, const uint64_t *order, uint64_t rows)

COLUMNS = SJ_KIND_COLUMNS

cdef enum:
    HEAD_BYTES = 64  # of a block of items


cdef int create_in(sj_segment *segment, name, uint32_t count, const sj_column_spec *spec,
                   uint64_t capacity, uint64_t *head) noexcept:
    cdef int error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    error = sj_columns_make(segment, count, spec, capacity, head)
    if error == SJ_OK and name is not None:
        error = sj_root_add(segment, name, len(name), SJ_KIND_COLUMNS, 0, 0, head[0])
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    return sj_tx_op_commit(segment)


def create(Space space, name, list columns, uint64_t capacity):
    """Make a table without rows of columns (name, type's text, bytes of an item), and its root
    unless `name` is None; its address and serial.

    AlreadyExistsError, SpaceFullError, ReadOnlyError.
    """
    cdef uint32_t i, serial = 0
    cdef uint64_t head = 0
    cdef int error
    cdef bytes column, text
    cdef sj_column_spec *spec = <sj_column_spec *>PyMem_Malloc(
        (len(columns) + 1) * sizeof(sj_column_spec)
    )
    if spec is NULL:
        raise MemoryError
    try:
        for i, (column, text, item_bytes) in enumerate(columns):
            spec[i] = sj_column_spec(column, text, item_bytes, <uint16_t>min(len(column), 65535),
                                     <uint16_t>min(len(text), 65535))
        space.enter_write()
        try:
            error = create_in(space.space.segment, name, <uint32_t>len(columns), spec, capacity,
                              &head)
            if error == SJ_OK:
                serial = (<sj_columns_head *>head).first.serial
            space.changed()
        finally:
            space.leave()
    finally:
        PyMem_Free(spec)
    if error != SJ_OK:
        raise_error(error)
    return head, serial


cdef class ColumnsCore(ContainerCore):
    """What `Columns` needs of the kernel."""

    cdef sj_columns columns
    cdef uint32_t known  # serial of the table that `names` and `types` are of
    cdef tuple names
    cdef tuple types

    cdef int c_open(self, uint64_t head) noexcept:
        return sj_columns_open(self.space.space.segment, head, &self.columns)

    cdef int c_type(self) noexcept:
        return SJ_KIND_COLUMNS

    cdef uint64_t c_count(self) noexcept:
        cdef uint32_t count
        cdef uint64_t rows = 0, capacity
        sj_columns_size(&self.columns, &count, &rows, &capacity)
        return rows

    cdef int size(self, uint64_t *rows, uint64_t *capacity) except -1:
        """In a hold; the names and types are known afterwards."""
        cdef uint32_t count
        cdef int error = sj_columns_size(&self.columns, &count, rows, capacity)
        if error != SJ_OK:
            raise_error(error)
        if self.names is None or self.known != self.serial:
            self.read_columns(count)
        return 0

    cdef int read_columns(self, uint32_t count) except -1:
        cdef sj_column_spec spec
        cdef sj_array_data *data
        cdef uint32_t i
        cdef int error
        cdef list names = [], types = []
        for i in range(count):
            error = sj_columns_column(&self.columns, i, &spec, &data)
            if error != SJ_OK:
                raise_error(error)
            dtype = dtype_of(spec.type[: spec.type_bytes].decode("ascii"))
            try:
                name = spec.name[: spec.name_bytes].decode()
            except UnicodeDecodeError:
                name = None
            if name is None or name in names or dtype.itemsize != spec.item_bytes:
                raise CorruptError(f"{self._title()}: column {i} has a name that is no text or "
                                   "another one's, or items of another size than its type")
            names.append(name)
            types.append(dtype)
        self.names, self.types, self.known = tuple(names), tuple(types), self.serial
        return 0

    def __len__(self):
        cdef uint64_t rows, capacity
        self.enter_read()
        try:
            self.size(&rows, &capacity)
        finally:
            self.space.leave()
        return rows

    def _about(self):
        """Its names, its types, how many rows it has, and how many it has room for."""
        cdef uint64_t rows, capacity
        self.enter_read()
        try:
            self.size(&rows, &capacity)
            return self.names, self.types, rows, capacity
        finally:
            self.space.leave()

    def _schema(self):
        """Its names and types, as they were when it was used last: `_append` says if they are."""
        if self.names is None:
            self._about()
        return self.names, self.types

    def _look(self, name):
        """An array of a column's memory; a copy when the open transaction may take that back. None:
        there is no such column."""
        cdef Space space = self.space
        cdef uint64_t rows, capacity
        self.enter_to_view()
        try:
            self.size(&rows, &capacity)
            if name not in self.names:
                return None
            return self.look_at(self.names.index(name), is_writable_now(space), False)
        finally:
            space.leave()

    cdef object look_at(self, Py_ssize_t number, bint writable, bint also_new):
        cdef sj_column_spec spec
        cdef sj_array_data *data
        cdef uint64_t rows, capacity
        cdef View view
        cdef int error
        import numpy  # not before: it takes long

        self.size(&rows, &capacity)
        error = sj_columns_column(&self.columns, <uint32_t>number, &spec, &data)
        if error != SJ_OK:
            raise_error(error)
        view = view_of(self.space, <uint64_t>data, HEAD_BYTES + data.bytes,
                       <uint64_t>data + HEAD_BYTES, rows * spec.item_bytes, writable)
        dtype = self.types[number]
        array = numpy.ndarray((rows, *dtype.shape), dtype.base, view)
        if also_new or not sj_columns_is_new(&self.columns, data):
            return array
        array = array.copy()
        array.flags.writeable = False
        return array

    def _key(self, Py_ssize_t number):
        """In a hold, for the time of a sort: a column's memory, to be read."""
        return self.look_at(number, False, True)

    def _copy(self, uint64_t start, uint64_t stop, dtype):
        """Rows [start, stop), as far as they are there, as an array of structs."""
        cdef uint64_t rows, capacity, item_bytes, row_bytes, i, first, last
        cdef sj_column_spec spec
        cdef sj_array_data *data
        cdef char *to
        cdef const char *source
        cdef uint32_t column
        cdef int error
        import numpy

        self.enter_read()
        try:
            self.size(&rows, &capacity)
            if self.types != tuple([dtype.fields[name][0] for name in dtype.names]):
                return None
            last = min(stop, rows)
            first = min(start, last)
            found = numpy.empty(last - first, dtype)
            row_bytes = dtype.itemsize
            for column in range(<uint32_t>len(self.types)):
                error = sj_columns_column(&self.columns, column, &spec, &data)
                if error != SJ_OK:
                    raise_error(error)
                item_bytes = spec.item_bytes
                source = <const char *>data + HEAD_BYTES + first * item_bytes
                to = <char *><uint64_t>found.__array_interface__["data"][0]
                to += <uint64_t>dtype.fields[dtype.names[column]][1]
                for i in range(last - first):
                    memcpy(to + i * row_bytes, source + i * item_bytes, item_bytes)
            return found
        finally:
            self.space.leave()

    cdef int change(self, int error) except -1:
        """Ends a change."""
        self.space.changed()
        self.space.leave()
        if error == SJ_EVIEWS:
            raise LiveViewsError(
                f"{self._title()} has to move its columns, and arrays of this process or another "
                "one look at them: drop these first (del, and gc.collect() if they are in a "
                "cycle), or make room before they are made, with reserve(rows)"
            )
        return raise_error(error) if error != SJ_OK else 0

    def _append(self, list arrays, uint64_t rows):
        """Appends rows: an array of each column, of its type, whose items are each in a row."""
        cdef sj_column_source *sources
        cdef uint32_t count = <uint32_t>len(arrays), there
        cdef uint64_t had, capacity
        cdef uint32_t i
        cdef int error
        sources = <sj_column_source *>PyMem_Malloc((count + 1) * sizeof(sj_column_source))
        if sources is NULL:
            raise MemoryError
        try:
            for i, array in enumerate(arrays):
                sources[i].at = <const char *><uint64_t>array.__array_interface__["data"][0]
                sources[i].stride = array.strides[0]
            self.enter_write()
            error = sj_columns_size(&self.columns, &there, &had, &capacity)
            if error == SJ_OK and (there != count or self.known != self.serial):
                self.space.leave()
                return False
            if error == SJ_OK:
                error = sj_columns_append(&self.columns, rows, sources)
            self.change(error)
        finally:
            PyMem_Free(sources)
        return True

    def _reserve(self, uint64_t capacity):
        self.enter_write()
        self.change(sj_columns_reserve(&self.columns, capacity))

    def _truncate(self, uint64_t rows):
        self.enter_write()
        self.change(sj_columns_truncate(&self.columns, rows))

    def _order(self, const uint64_t[::1] order):
        cdef const uint64_t *first = &order[0] if order.shape[0] > 0 else NULL
        self.enter_write()
        self.change(sj_columns_order(&self.columns, first, <uint64_t>order.shape[0]))
