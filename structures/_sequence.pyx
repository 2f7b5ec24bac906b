# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_sequence.pyx: the list kernel for Python: items by position, one by one and in batches.

The order in each operation: encode (may run Python code, may raise), enter, operate, decode, leave.

The kernel remembers the leaf that was used last. That is good as long as nothing else has changed
the store: as long as sj_space_changes() is what it was after the last operation here.
"""

from cpython.long cimport PyLong_AsSsize_t, PyLong_CheckExact
from cpython.number cimport PyIndex_Check, PyNumber_AsSsize_t
from libc.stdint cimport SIZE_MAX, UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from spacejmp._space cimport (
    SJ_ENOTFOUND,
    SJ_OK,
    Space,
    raise_error,
    sj_segment_committed,
    sj_space_changes,
)
from spacejmp.structures._codec cimport (
    CODEC_INT,
    CODEC_NONE,
    SJ_ITEM_BYTES,
    codec_kind,
    key_encode,
    sj_item,
    value_encode,
)
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable, sj_buffer

from spacejmp.persistence.errors import CorruptError


cdef enum:
    BATCH = 64  # items that an iteration reads under one hold
    BATCH_FIRST = 8
    BATCH_STALE = 2  # after a change: most likely the next step brings another one

cdef Py_ssize_t SSIZE_MAX = <Py_ssize_t>(SIZE_MAX >> 1)


cdef Py_ssize_t index_of(object index) except? -1:
    """A position, which may be negative. TypeError, IndexError."""
    if PyLong_CheckExact(index):
        try:
            return PyLong_AsSsize_t(index)
        except OverflowError:
            raise IndexError("cannot fit 'int' into an index-sized integer") from None
    if not PyIndex_Check(index):
        raise TypeError("list indices must be integers or slices, not "
                        f"{type(index).__name__}")
    return PyNumber_AsSsize_t(index, IndexError)


cdef class Encoded:
    """Many encoded items: an array of them, and the bytes that they point to."""

    def __dealloc__(self):
        free(self.items)
        free(self.bytes)

    cdef sj_item *next(self) except NULL:
        cdef sj_item *grown
        if self.count == self.room:
            self.room = 2 * self.room + 16
            grown = <sj_item *>realloc(self.items, self.room * sizeof(sj_item))
            if grown is NULL:
                raise MemoryError
            self.items = grown
        self.count += 1
        return &self.items[self.count - 1]

    cdef int keep(self, const uint8_t **place, size_t size) except -1:
        """Copies an item's bytes."""
        cdef uint8_t *grown
        if self.size - self.used < size:
            self.size = 2 * self.size + size + 256
            grown = <uint8_t *>realloc(self.bytes, self.size)
            if grown is NULL:
                raise MemoryError
            self.bytes = grown
        if size != 0:
            memcpy(self.bytes + self.used, place[0], size)
        place[0] = <const uint8_t *>self.used
        self.used += size
        return 0

    cdef int add_values(self, uint8_t codec, values, container) except -1:
        cdef sj_item *item
        cdef sj_buffer buffer
        cdef uint64_t i
        self.has_bytes = codec_kind(codec) == SJ_ITEM_BYTES
        for value in values:
            item = self.next()
            keep = value_encode(codec, value, &item.value, &buffer, container)
            if self.has_bytes:
                self.keep(&item.value.bytes, item.value.size)
            if buffer.references:
                if self.references is None:
                    self.references = []
                self.references.append(self.count - 1)
        if self.has_bytes:
            for i in range(self.count):
                self.items[i].value.bytes = self.bytes + <size_t>self.items[i].value.bytes
        return 0

    cdef int add_keys(self, uint8_t codec, keys) except -1:
        cdef sj_item *item
        cdef sj_buffer buffer
        cdef uint64_t i
        self.has_bytes = codec_kind(codec) == SJ_ITEM_BYTES
        for key in keys:
            item = self.next()
            keep = key_encode(codec, key, &item.key, &buffer)
            if self.has_bytes:
                self.keep(&item.key.bytes, <size_t>item.key.size + item.key.form_size)
        if self.has_bytes:
            for i in range(self.count):
                self.items[i].key.bytes = self.bytes + <size_t>self.items[i].key.bytes
        return 0


cdef class SequenceCore(ContainerCore):
    """What `List` and `SortedList` have in common: items by their positions."""

    cdef int c_open(self, uint64_t head) noexcept:
        return sj_list_open(self.space.space.segment, head, &self.items)

    cdef int c_type(self) noexcept:
        return SJ_KIND_LIST

    cdef uint64_t c_count(self) noexcept:
        return sj_list_count(&self.items)

    cdef object decode(self, const sj_item *item):
        return None

    cdef Py_ssize_t bisect_key(self, object value, bint after) except -1:
        raise TypeError(f"{self!r} has no keys")

    def __len__(self):
        self.enter_read()
        cdef uint64_t count = self.c_count()
        cdef bint damaged = count > sj_segment_committed(self.space.space.segment)
        self.space.leave()
        if damaged:
            raise CorruptError(
                f"{self._title()} cannot have {count} items: the store is damaged; run check()"
            )
        return count

    def __bool__(self):
        return len(self) != 0

    # -- reading ------------------------------------------------------------------------------

    cdef object get_at(self, Py_ssize_t at):
        cdef sj_item item
        cdef int error
        self.begin_read()
        if at < 0:
            at += <Py_ssize_t>sj_list_count(&self.items)
        error = sj_list_get(&self.items, <uint64_t>at, &item)
        if error == SJ_OK:
            if self.value_codec == CODEC_INT:
                self.space.leave()
                return <int64_t>item.value.word
            try:
                return self.decode(&item)
            finally:
                self.space.leave()
        self.space.leave()
        if error != SJ_ENOTFOUND:
            raise_error(error)
        raise IndexError("list index out of range")

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._get_slice(index)
        return self.get_at(index_of(index))

    def _read(self, Py_ssize_t start, Py_ssize_t stop):
        """The items at the positions start ≤ position < stop, as far as there are, as a list."""
        cdef sj_item[BATCH] items
        cdef uint32_t got = BATCH, i
        cdef bint collecting
        cdef int error
        cdef list found = []
        self.begin_read()
        collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
        try:
            while start < stop and got == BATCH:
                error = sj_list_read(&self.items, start, <uint32_t>min(stop - start, BATCH), items,
                                     &got)
                if error != SJ_OK:
                    raise_error(error)
                for i in range(got):
                    found.append(self.decode(&items[i]))
                start += got
        finally:
            if collecting:
                PyGC_Enable()
            self.space.leave()
        return found

    def _iterate(self, Py_ssize_t start, Py_ssize_t stop, bint backward):
        """Items at the positions start ≤ position < stop, live: by positions."""
        cdef ListIterator items = ListIterator.__new__(ListIterator)
        items.begin(self, start, stop, backward)
        return items

    def _iterate_between(self, bounds, bint backward):
        """Items at the positions that `bounds` gives, which is asked again after a change."""
        cdef ListIterator items = ListIterator.__new__(ListIterator)
        items.begin(self, 0, SSIZE_MAX, backward)
        items.bounds = bounds
        items.by_key = True
        return items

    def __iter__(self):
        cdef ListIterator items = ListIterator.__new__(ListIterator)
        items.begin(self, 0, SSIZE_MAX, False)
        items.by_key = self.key_codec != CODEC_NONE
        return items

    def __reversed__(self):
        cdef ListIterator items = self._iterate(0, len(self), True)
        items.by_key = self.key_codec != CODEC_NONE
        return items

    # -- removing -----------------------------------------------------------------------------

    cdef int delete_at(self, Py_ssize_t at, str message) except -1:
        cdef int error
        self.begin_write()
        if at < 0:
            at += <Py_ssize_t>sj_list_count(&self.items)
        error = sj_list_delete(&self.items, <uint64_t>at)
        if error == SJ_ENOTFOUND:
            self.space.leave()
            raise IndexError(message)
        return self.end_write(error)

    def __delitem__(self, index):
        if isinstance(index, slice):
            self._delete_slice(index)
        else:
            self.delete_at(index_of(index), "list assignment index out of range")

    def pop(self, index=-1):
        """Remove and return the item at a position, the last one if none is given.

        Raises
        ------
        IndexError
            There is none.

        Complexity
        ----------
        O(1) for the last item; else O(log n), and moving half a leaf (2 KiB).
        """
        cdef sj_item item
        cdef Py_ssize_t at = index_of(index)
        cdef uint64_t count
        cdef int error
        self.begin_write()
        try:
            count = sj_list_count(&self.items)
            if at < 0:
                at += <Py_ssize_t>count
            error = sj_list_get(&self.items, <uint64_t>at, &item)
            if error == SJ_OK:
                value = self.decode(&item)
                error = sj_list_delete(&self.items, <uint64_t>at)
        except:
            self.space.leave()
            raise
        if error == SJ_ENOTFOUND:
            self.space.leave()
            raise IndexError("pop from empty list" if count == 0 else "pop index out of range")
        self.end_write(error)
        return value

    def clear(self):
        """Remove all items, as one atomic operation. O(n)."""
        self.begin_write()
        self.end_write(sj_list_clear(&self.items))

    def _remove_range(self, Py_ssize_t start, Py_ssize_t stop):
        """Removes the items at the positions start ≤ position < stop, as far as there are."""
        self.begin_write()
        cdef Py_ssize_t count = <Py_ssize_t>sj_list_count(&self.items)
        stop = min(stop, count)
        self.end_write(sj_list_replace(&self.items, min(start, stop), stop, NULL, 0))

    def _describe(self, kind, role):
        if not self.space.attached:
            return f"<{kind} {self._label()} of a closed store>"
        return f"<{kind} {self._label()}, {role} {getattr(self, role)!r}, {len(self)} items>"


cdef class ListIterator:
    """Items by position, forward or backward, as a list's own iterator goes; in batches.

    After a change of the store by anyone what was read ahead is read again. By key, an iterator
    then goes on after the last key given, and after as many as were given of those that equal it.
    """

    cdef SequenceCore core
    cdef list batch
    cdef Py_ssize_t at  # the next of the batch to give
    cdef Py_ssize_t count  # of the batch
    cdef Py_ssize_t index  # the position of what is given next
    cdef Py_ssize_t stop  # the first position that is not given, in the direction
    cdef uint64_t changes  # sj_space_changes() when the batch was read
    cdef uint32_t wanted
    cdef bint backward
    cdef bint ended
    cdef bint filling
    cdef bint by_key
    cdef object last  # by key: the last one given of the batches before
    cdef Py_ssize_t given  # how many that equal it, one after the other
    cdef object bounds  # gives the first position and the end; None: they do not change

    cdef void begin(self, SequenceCore core, Py_ssize_t start, Py_ssize_t stop, bint backward):
        self.core = core
        self.backward = backward
        self.index = stop - 1 if backward else start
        self.stop = start - 1 if backward else stop
        self.wanted = BATCH_FIRST
        self.changes = UINT64_MAX  # not read yet
        self.batch = [None] * BATCH

    def __iter__(self):
        return self

    def __next__(self):
        cdef Space space = self.core.space
        if space.space is NULL:
            space.enter_read()  # raises
        if self.at == self.count or sj_space_changes(space.space) != self.changes:
            if self.ended:
                raise StopIteration
            if self.filling:
                raise ValueError("the iterator is already reading: by another thread, or for a "
                                 "value that asks it for more")
            self.filling = True
            try:
                self.fill()
            finally:
                self.filling = False
            if self.count == 0:
                self.ended = True
                raise StopIteration
        self.at += 1
        self.index += -1 if self.backward else 1
        return self.batch[self.at - 1]

    def __length_hint__(self):
        if self.ended:
            return 0
        length = len(self.core)
        if self.backward:
            return max(self.index - self.stop, 0) if self.index < length else 0
        return max(min(self.stop, length) - self.index, 0)

    cdef int remember(self) except -1:
        """The last key that was given."""
        cdef Py_ssize_t at = self.at - 1
        if at < 0:
            return 0
        last = self.batch[at]
        while at >= 0 and self.batch[at] == last:
            at -= 1
        self.given = self.at - 1 - at + (self.given if at < 0 and self.given and self.last == last
                                         else 0)
        self.last = last
        return 0

    cdef int move_behind_last(self) except -1:
        cdef Py_ssize_t first = self.core.bisect_key(self.last, False)
        cdef Py_ssize_t end = self.core.bisect_key(self.last, True)
        self.index = max(end - 1 - self.given, first - 1) if self.backward \
            else min(first + self.given, end)
        return 0

    cdef int move_into_bounds(self) except -1:
        cdef Py_ssize_t start, stop
        start, stop = self.bounds()
        if self.backward:
            self.index = min(self.index, stop - 1)
            self.stop = start - 1
        else:
            self.index = max(self.index, start)
            self.stop = stop
        return 0

    cdef int fill(self) except -1:
        cdef SequenceCore core = self.core
        cdef sj_item[BATCH] items
        cdef uint32_t got = 0, i
        cdef Py_ssize_t first, wanted
        cdef bint collecting
        cdef int error
        core.begin_read()
        collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
        try:
            if self.at != self.count:
                self.wanted = BATCH_STALE
            if self.by_key:
                self.remember()
            self.at = self.count = 0
            if self.changes != sj_space_changes(core.space.space):
                if self.given != 0:
                    self.move_behind_last()
                if self.bounds is not None:
                    self.move_into_bounds()
            self.changes = sj_space_changes(core.space.space)
            wanted = min(self.index - self.stop if self.backward else self.stop - self.index,
                         <Py_ssize_t>self.wanted)
            if wanted > 0:
                first = self.index + 1 - wanted if self.backward else self.index
                error = sj_list_read(&core.items, first, <uint32_t>wanted, items, &got)
                if error != SJ_OK:
                    raise_error(error)
                if self.backward and got < wanted:
                    got = 0  # the list has become shorter than what was given
            for i in range(got):
                self.batch[got - 1 - i if self.backward else i] = core.decode(&items[i])
            self.count = got
        finally:
            if collecting:
                PyGC_Enable()
            core.space.leave()
        self.wanted = min(2 * self.wanted, <uint32_t>BATCH)
        return 0
