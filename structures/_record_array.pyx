# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_record_array.pyx: an array in a record, as a sequence that stores what is assigned to it."""

from collections.abc import Sequence

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from spacejmp._space cimport SJ_OK, raise_error
from spacejmp.structures._field cimport Field, sj_record_write
from spacejmp.structures._record cimport RecordCore


cdef class RecordArray:
    """An array that is a field of a record: a sequence of a fixed length.

    What is read is as it is at that moment; an assignment to an element, or to a slice, is one
    atomic operation. ``numpy.asarray`` gives a copy.
    """

    cdef RecordCore record
    cdef Field field
    cdef object __weakref__

    def __init__(self, RecordCore record, Field field):
        self.record = record
        self.field = field

    cdef bytes raw(self):
        """The bytes of all of it."""
        self.record.begin_read()
        cdef const char *at = <const char *><uintptr_t>(self.record.at + self.field.offset)
        cdef bytes found = PyBytes_FromStringAndSize(at, self.field.size)
        self.record.space.leave()
        return found

    cdef tuple now(self):
        cdef bytes raw = self.raw()
        return self.field.decode_all(PyBytes_AS_STRING(raw))

    cdef uint32_t place(self, object key) except? 0xffffffff:
        """An index, which may count from the end."""
        cdef Py_ssize_t at = key
        if at < 0:
            at += self.field.count
        if at < 0 or at >= self.field.count:
            raise IndexError(f"{self.field.where}: index {key} of {self.field.count} elements")
        return <uint32_t>at

    def __len__(self):
        return self.field.count

    def __getitem__(self, key):
        cdef uint64_t word
        cdef uint64_t at
        if isinstance(key, slice):
            return list(self.now()[key])
        at = self.record.at + self.field.offset + self.place(key) * self.field.each
        self.record.begin_read()
        word = (<uint64_t *><uintptr_t>(at & ~<uint64_t>7))[0] >> 8 * (at & 7)
        self.record.space.leave()
        return self.field.decode(<const char *>&word)

    def __setitem__(self, key, value):
        cdef uint64_t word = 0
        cdef uint32_t at
        if isinstance(key, slice):
            self.set_slice(key, value)
            return
        at = self.place(key) * self.field.each
        self.field.encode_number(value, <char *>&word)
        self.field.write(self.record, self.field.offset + at, <const char *>&word, self.field.each)

    cdef int set_slice(self, object key, object values) except -1:
        """All of a slice at once: what lies between its elements stays as it is then."""
        cdef RecordCore record = self.record
        cdef uint32_t each = self.field.each
        cdef int error
        cdef list numbers = list(values)
        places = range(self.field.count)[key]
        if len(numbers) != len(places):
            raise ValueError(
                f"{self.field.where}: expected {len(places)} numbers, found {len(numbers)}: the "
                "length is fixed"
            )
        cdef bytearray fresh = bytearray(each * len(numbers))
        for i, number in enumerate(numbers):
            self.field.encode_number(number, <char *>fresh + <uint32_t>i * each)
        if not numbers:
            return 0
        record.begin_write()
        try:
            at = <const char *><uintptr_t>(record.at + self.field.offset)
            raw = bytearray(at[: self.field.size])
            for i, place in enumerate(places):
                raw[place * each : (place + 1) * each] = fresh[i * each : (i + 1) * each]
            error = sj_record_write(record.space.space.segment, record.at, self.field.offset,
                                    <const char *>raw, self.field.size)
            record.space.changed()
        finally:
            record.space.leave()
        return 0 if error == SJ_OK else raise_error(error)

    def __iter__(self):
        return iter(self.now())

    def __reversed__(self):
        return reversed(self.now())

    def __contains__(self, value):
        return value in self.now()

    def index(self, value, *bounds):
        """Return the first index of a value; ValueError when it is not there."""
        return self.now().index(value, *bounds)

    def count(self, value):
        """Return how many elements equal a value."""
        return self.now().count(value)

    def tolist(self):
        """Return a list of the elements."""
        return list(self.now())

    def __eq__(self, other):
        if isinstance(other, RecordArray):
            return self.now() == (<RecordArray>other).now()
        if isinstance(other, (list, tuple)):
            return self.now() == tuple(other)
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return repr(self.tolist())

    def __array__(self, dtype=None, copy=None):
        import numpy

        if copy is False:
            raise ValueError("an array of a record is copied: what is in the store may change")
        found = numpy.frombuffer(bytearray(self.raw()), dtype=self.field.type.dtype)
        return found if dtype is None else found.astype(dtype)

    def __reduce__(self):
        return getattr, (self.record, self.field.name)


Sequence.register(RecordArray)
