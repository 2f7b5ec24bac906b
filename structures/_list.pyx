# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_list.pyx: the operations of lists, and those of sorted lists."""

from cpython.exc cimport PyErr_NoMemory
from libc.stdint cimport SIZE_MAX, uint64_t
from libc.stdlib cimport free, malloc

from spacejmp._space cimport (
    SJ_ENOTFOUND,
    SJ_OK,
    raise_error,
    sj_segment,
    sj_tx_abort,
    sj_tx_begin,
    sj_tx_commit,
)
from spacejmp.structures._codec cimport (
    key_decode,
    key_encode,
    key_find,
    sj_item,
    sj_key,
    value_decode,
    value_encode,
)
from spacejmp.structures._codec_tools cimport sj_buffer
from spacejmp.structures._sequence cimport (
    Encoded,
    SequenceCore,
    index_of,
    sj_list_add,
    sj_list_append,
    sj_list_bisect,
    sj_list_count,
    sj_list_delete,
    sj_list_insert,
    sj_list_locate,
    sj_list_merge,
    sj_list_reorder,
    sj_list_replace,
    sj_list_reverse,
    sj_list_set,
    sj_list_slots,
    sj_list_sort_numbers,
)

from spacejmp.structures._codec import codec_name


cdef enum:
    MERGE_SHARE = 4  # keys are merged into a sorted list when it is at most that many times longer

cdef Py_ssize_t SSIZE_MAX = <Py_ssize_t>(SIZE_MAX >> 1)


cdef class ListCore(SequenceCore):
    """The operations of `List` that need the kernel."""

    cdef object decode(self, const sj_item *item):
        return value_decode(self.value_codec, &item.value, self)

    @property
    def value(self):
        """The value codec."""
        return codec_name(self.value_codec, "value")

    def __setitem__(self, index, value):
        cdef sj_item item
        cdef sj_buffer buffer
        cdef Py_ssize_t at
        cdef int error
        if isinstance(index, slice):
            self._set_slice(index, value)
            return
        at = index_of(index)
        keep = value_encode(self.value_codec, value, &item.value, &buffer, self)
        self.begin_write()
        if at < 0:
            at += <Py_ssize_t>sj_list_count(&self.items)
        if buffer.references:
            self.adopt(&item.value)
        error = sj_list_set(&self.items, <uint64_t>at, &item.value)
        if error == SJ_ENOTFOUND:
            self.space.leave()
            raise IndexError("list assignment index out of range")
        self.end_write(error)

    def append(self, value):
        """Add a value at the end.

        Raises
        ------
        TypeError, ValueError, OverflowError
            It does not fit the codec.
        TooLargeError, SpaceFullError, ReadOnlyError, SpaceBusyError

        Complexity
        ----------
        O(1).

        Durability
        ----------
        Durable when it returns, or with the transaction that it is in.
        """
        cdef sj_item item
        cdef sj_buffer buffer
        keep = value_encode(self.value_codec, value, &item.value, &buffer, self)
        self.begin_write()
        if buffer.references:
            self.adopt(&item.value)
        self.end_write(sj_list_append(&self.items, &item))

    def insert(self, index, value):
        """Add a value before a position; beyond the ends, at the end.

        Complexity
        ----------
        O(log n), and moving half a leaf (2 KiB).
        """
        cdef sj_item item
        cdef sj_buffer buffer
        cdef Py_ssize_t at = index_of(index), count
        keep = value_encode(self.value_codec, value, &item.value, &buffer, self)
        self.begin_write()
        count = <Py_ssize_t>sj_list_count(&self.items)
        if at < 0:
            at = max(at + count, 0)
        if buffer.references:
            self.adopt(&item.value)
        self.end_write(sj_list_insert(&self.items, min(at, count), &item))

    def extend(self, values, /):
        """Add the values of an iterable at the end, as one atomic operation.

        The values are read and encoded first. Whole leaves are filled, which need no log.

        Complexity
        ----------
        O(number of values).

        Durability
        ----------
        One atomic operation: after a crash all of them are there or none.
        """
        self._replace(SSIZE_MAX, SSIZE_MAX, values)

    def _replace(self, Py_ssize_t start, Py_ssize_t stop, values):
        """The items at the positions start ≤ position < stop go, the values come. One operation."""
        cdef Encoded encoded = Encoded.__new__(Encoded)
        cdef Py_ssize_t count
        encoded.add_values(self.value_codec, values, self)
        self.begin_write()
        count = <Py_ssize_t>sj_list_count(&self.items)
        start = min(start, count)
        stop = max(min(stop, count), start)
        if encoded.references is not None:
            for which in encoded.references:
                self.adopt(&encoded.items[<uint64_t>which].value)
        self.end_write(sj_list_replace(&self.items, start, stop, encoded.items, encoded.count))

    def reverse(self):
        """Reverse the order of the items, as one atomic operation. O(n)."""
        self.begin_write()
        self.end_write(sj_list_reverse(&self.items))

    def _sort_numbers(self, bint descending):
        """Sorts a list of codec "int"."""
        self.begin_write()
        self.end_write(sj_list_sort_numbers(&self.items, descending))

    def _reorder(self, list order):
        """Item order[i] becomes item i; `order` has each position once."""
        cdef uint64_t *slots
        cdef uint64_t *ordered
        cdef uint64_t count = <uint64_t>len(order), i, place
        cdef int error
        slots = <uint64_t *>malloc(16 * count + 16)
        if slots is NULL:
            PyErr_NoMemory()
        ordered = slots + count
        try:
            self.begin_write()
            error = sj_list_slots(&self.items, 0, count, slots)
            if error == SJ_ENOTFOUND or count != sj_list_count(&self.items):
                self.space.leave()
                raise ValueError("list modified during sort")
            for i in range(count):
                place = order[i]
                ordered[i] = slots[place]
            if error == SJ_OK:
                error = sj_list_reorder(&self.items, ordered, count)
            self.end_write(error)
        finally:
            free(slots)


cdef class SortedListCore(SequenceCore):
    """The operations of `SortedList` that need the kernel."""

    cdef object decode(self, const sj_item *item):
        return key_decode(self.key_codec, &item.key)

    @property
    def key(self):
        """The key codec."""
        return codec_name(self.key_codec, "key")

    def add(self, value):
        """Add a value, behind those that equal it.

        Raises
        ------
        TypeError, ValueError, OverflowError
            It does not fit the codec.
        TooLargeError, SpaceFullError, ReadOnlyError, SpaceBusyError

        Complexity
        ----------
        O(log n), and moving half a leaf (2 KiB).

        Durability
        ----------
        Durable when it returns, or with the transaction that it is in.
        """
        cdef sj_key key
        cdef sj_buffer buffer
        keep = key_encode(self.key_codec, value, &key, &buffer)
        self.begin_write()
        self.end_write(sj_list_add(&self.items, &key))

    cdef int find_or_leave(self, object value, bint write, uint64_t *index) except -1:
        """In a hold that this begins: whether the value is there, and first at which position."""
        cdef sj_key key
        cdef sj_buffer buffer
        cdef int side = 0, error
        keep = key_find(self.key_codec, value, &key, &buffer, &side)
        if write:
            self.begin_write()
        else:
            self.begin_read()
        error = sj_list_locate(&self.items, &key, index) if side == 0 else SJ_ENOTFOUND
        if error == SJ_OK:
            return 1
        if error == SJ_ENOTFOUND:
            return 0
        self.space.leave()
        return raise_error(error)

    def __contains__(self, value):
        cdef uint64_t index = 0
        cdef bint found = self.find_or_leave(value, False, &index)
        self.space.leave()
        return found

    def _discard(self, value):
        """Removes one of the values that equal it; whether there is one."""
        cdef uint64_t index = 0
        if not self.find_or_leave(value, True, &index):
            self.space.leave()
            return False
        self.end_write(sj_list_delete(&self.items, index))
        return True

    cdef Py_ssize_t bisect_key(self, object value, bint after) except -1:
        cdef sj_key key
        cdef sj_buffer buffer
        cdef uint64_t index = 0
        cdef int side = 0
        keep = key_find(self.key_codec, value, &key, &buffer, &side)
        self.begin_read()
        cdef int error = sj_list_bisect(&self.items, &key, side > 0 if side != 0 else after, &index)
        self.space.leave()
        if error != SJ_OK:
            raise_error(error)
        return <Py_ssize_t>index

    def _bisect(self, value, bint after):
        """How many items are below the value; `after`: not above it."""
        return self.bisect_key(value, after)

    def _add_sorted(self, values):
        """Adds ascending values, as one operation."""
        cdef Encoded encoded = Encoded.__new__(Encoded)
        encoded.add_keys(self.key_codec, values)
        if encoded.count == 0:
            return
        self.begin_write()
        cdef uint64_t count = sj_list_count(&self.items)
        if count == 0 or encoded.count >= count // MERGE_SHARE:
            self.end_write(sj_list_merge(&self.items, encoded.items, encoded.count))
        else:
            self.end_write(self.add_each(encoded))

    cdef int add_each(self, Encoded encoded) noexcept:
        cdef sj_segment *segment = self.space.space.segment
        cdef uint64_t i
        cdef int error = sj_tx_begin(segment)
        if error != SJ_OK:
            return error
        for i in range(encoded.count):
            error = sj_list_add(&self.items, &encoded.items[i].key)
            if error != SJ_OK:
                sj_tx_abort(segment)
                return error
        return sj_tx_commit(segment)
