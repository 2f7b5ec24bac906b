# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_deque.pyx: the deque kernel for Python: its operations and its iteration.

The order in each operation: encode (may run Python code, may raise), enter, operate, decode, leave.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
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
    SJ_ITEM_WORD,
    codec_kind,
    sj_value,
    value_decode,
    value_encode,
)
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable, sj_buffer

from spacejmp.persistence.errors import CorruptError
from spacejmp.structures._codec import codec_name

LEFT = SJ_LEFT
RIGHT = SJ_RIGHT

cdef enum:
    BATCH_FIRST = 16  # items that an iteration reads under one hold
    BATCH_MOST = 256


cdef class EncodedValues:

    def __dealloc__(self):
        free(self.values)
        free(self.bytes)

    cdef int add(self, uint64_t index, const sj_value *value) except -1:
        """Keeps a value; its `bytes` count from the beginning of the memory until all are there."""
        cdef uint8_t *bytes
        self.values[index] = value[0]
        if self.room - self.size < value.size:
            self.room = 2 * self.room + value.size
            bytes = <uint8_t *>realloc(self.bytes, self.room)
            if bytes is NULL:
                raise MemoryError
            self.bytes = bytes
        memcpy(self.bytes + self.size, value.bytes, value.size)
        self.values[index].bytes = <const uint8_t *>self.size
        self.size += value.size
        return 0


cdef EncodedValues encode_all(ChunkedCore container, objects):
    cdef EncodedValues encoded = EncodedValues.__new__(EncodedValues)
    cdef sj_buffer buffer
    cdef sj_value value
    cdef uint64_t i, count = len(objects)
    cdef bint words = codec_kind(container.value_codec) == SJ_ITEM_WORD
    encoded.values = <sj_value *>calloc(count + 1, sizeof(sj_value))
    encoded.bytes = <uint8_t *>calloc(1, 64)
    encoded.room = 64
    if encoded.values is NULL or encoded.bytes is NULL:
        raise MemoryError
    for i in range(count):
        item = objects[i]
        if words:
            value_encode(container.value_codec, item, &encoded.values[i], &buffer, container)
            continue
        keep = value_encode(container.value_codec, item, &value, &buffer, container)
        encoded.references = encoded.references or buffer.references != 0
        encoded.add(i, &value)
    if not words:
        for i in range(count):
            encoded.values[i].bytes = encoded.bytes + <size_t>encoded.values[i].bytes
    encoded.count = count
    return encoded


cdef class ChunkedCore(ContainerCore):

    cdef int c_open(self, uint64_t head) noexcept:
        return sj_deque_open(self.space.space.segment, head, &self.deque)

    cdef uint64_t c_count(self) noexcept:
        return sj_deque_count(&self.deque)

    cdef int finish(self, int error) except -1:
        self.space.changed()
        self.space.leave()
        return 0 if error == SJ_OK else raise_error(error)

    cdef int adopt_all(self, EncodedValues values) except -1:
        cdef uint64_t i
        if values.references:
            for i in range(values.count):
                self.adopt(&values.values[i])
        return 0

    def _count(self):
        self.enter_read()
        cdef uint64_t count = sj_deque_count(&self.deque)
        cdef bint damaged = count > sj_segment_committed(self.space.space.segment)
        self.space.leave()
        if damaged:
            raise CorruptError(
                f"{self._title()} cannot have {count} items: the store is damaged; run check()"
            )
        return count

    def _limit(self):
        """How many items there may be; None: any number."""
        self.enter_read()
        cdef uint64_t limit = sj_deque_limit(&self.deque)
        self.space.leave()
        return None if limit == SJ_DEQUE_UNLIMITED else limit

    def _set_limit(self, uint64_t limit):
        self.enter_write()
        self.finish(sj_deque_set_limit(&self.deque, limit))

    @property
    def _is_open(self):
        return self.space.attached

    @property
    def value(self):
        """The value codec."""
        return codec_name(self.value_codec, "value")

    def _describe(self, kind, limit):
        if not self.space.attached:
            return f"<{kind} {self._label()} of a closed store>"
        return f"<{kind} {self._label()}, value {self.value!r}{limit}, {self._count()} items>"


cdef class DequeCore(ChunkedCore):
    """The operations of `Deque` that need the kernel."""

    cdef int c_type(self) noexcept:
        return SJ_KIND_DEQUE

    def __len__(self):
        return self._count()

    def __bool__(self):
        return self._count() != 0

    # -- the ends -----------------------------------------------------------------------------

    cdef int push(self, sj_side side, object item) except -1:
        cdef sj_value v
        cdef sj_buffer buffer
        keep = value_encode(self.value_codec, item, &v, &buffer, self)
        self.enter_write()
        if buffer.references:
            self.adopt(&v)
        return self.finish(sj_deque_extend(&self.deque, side, &v, 1))

    cdef object take(self, sj_side side):
        cdef sj_value v
        cdef uint64_t count
        cdef int error
        self.enter_write()
        try:
            count = sj_deque_count(&self.deque)
            error = sj_deque_get(&self.deque, 0 if side == SJ_LEFT else count - 1, &v)
            if error == SJ_OK:
                item = value_decode(self.value_codec, &v, self)
                error = sj_deque_remove(&self.deque, side, 1)
                self.space.changed()
            if error == SJ_OK:
                return item
            if error != SJ_ENOTFOUND:
                raise_error(error)
        finally:
            self.space.leave()
        raise IndexError("pop from an empty deque")

    def append(self, item, /):
        """Put an item at the right end; a full deque loses the one at the left end. O(1)."""
        self.push(SJ_RIGHT, item)

    def appendleft(self, item, /):
        """Put an item at the left end; a full deque loses the one at the right end. O(1)."""
        self.push(SJ_LEFT, item)

    def pop(self):
        """Remove and return the item at the right end; IndexError when there is none. O(1)."""
        return self.take(SJ_RIGHT)

    def popleft(self):
        """Remove and return the item at the left end; IndexError when there is none. O(1)."""
        return self.take(SJ_LEFT)

    def _extend(self, sj_side side, items):
        """Put all of a list at an end, one after the other, as one atomic operation."""
        cdef EncodedValues encoded = encode_all(self, items)
        self.enter_write()
        self.adopt_all(encoded)
        self.finish(sj_deque_extend(&self.deque, side, encoded.values, encoded.count))

    def rotate(self, Py_ssize_t n=1, /):
        """Move `n` items from the right end to the left one, or −`n` from the left to the right.

        One atomic operation. O(n), at most half of the items.
        """
        cdef uint64_t steps = <uint64_t>n if n >= 0 else 0 - <uint64_t>n
        self.enter_write()
        self.finish(sj_deque_rotate(&self.deque, SJ_LEFT if n >= 0 else SJ_RIGHT, steps))

    # -- in between ---------------------------------------------------------------------------

    cdef uint64_t position(self, Py_ssize_t index) noexcept:
        """Of an index that counts from the right when it is negative; in a hold."""
        return <uint64_t>index + (sj_deque_count(&self.deque) if index < 0 else 0)

    cdef int refuse(self, int error) except -1:
        if error == SJ_ENOTFOUND:
            raise IndexError("deque index out of range")
        return raise_error(error)

    def __getitem__(self, Py_ssize_t index):
        cdef sj_value v
        self.enter_read()
        cdef int error = sj_deque_get(&self.deque, self.position(index), &v)
        if error == SJ_OK:
            try:
                return value_decode(self.value_codec, &v, self)
            finally:
                self.space.leave()
        self.space.leave()
        self.refuse(error)

    def __setitem__(self, Py_ssize_t index, item):
        cdef sj_value v
        cdef sj_buffer buffer
        keep = value_encode(self.value_codec, item, &v, &buffer, self)
        self.enter_write()
        if buffer.references:
            self.adopt(&v)
        cdef int error = sj_deque_set(&self.deque, self.position(index), &v)
        self.space.changed()
        self.space.leave()
        if error != SJ_OK:
            self.refuse(error)

    def __delitem__(self, Py_ssize_t index):
        self.enter_write()
        cdef int error = sj_deque_delete(&self.deque, self.position(index))
        self.space.changed()
        self.space.leave()
        if error != SJ_OK:
            self.refuse(error)

    def insert(self, Py_ssize_t index, item, /):
        """Put an item before the one at `index`; IndexError when the deque is full.

        O(items between `index` and the nearer end).
        """
        cdef sj_value v
        cdef sj_buffer buffer
        cdef uint64_t count, at
        keep = value_encode(self.value_codec, item, &v, &buffer, self)
        self.enter_write()
        count = sj_deque_count(&self.deque)
        if count >= sj_deque_limit(&self.deque):
            self.space.leave()
            raise IndexError("deque already at its maximum size")
        if buffer.references:
            self.adopt(&v)
        at = self.position(index)
        if at > count:
            at = 0 if index < 0 else count
        self.finish(sj_deque_insert(&self.deque, at, &v))

    def reverse(self):
        """Turn the order around, as one atomic operation. O(n)."""
        self.enter_write()
        self.finish(sj_deque_reverse(&self.deque))

    def clear(self):
        """Remove all items, as one atomic operation. O(n)."""
        self.enter_write()
        self.finish(sj_deque_clear(&self.deque))

    @property
    def maxlen(self):
        """How many items there may be, or None."""
        return self._limit()

    def _iterate(self, bint downwards):
        cdef Positions items = Positions.__new__(Positions)
        items.deque = self
        items.downwards = downwards
        self.enter_read()
        items.left = sj_deque_count(&self.deque)
        items.cursor.index = items.left - 1 if downwards else 0
        self.space.leave()
        items.wanted = BATCH_FIRST
        return items


cdef class Positions:
    """The items of a deque by their positions, in batches; after a change the batch is read again.

    It gives as many as there were when it was made, at most.
    """

    cdef DequeCore deque
    cdef bint downwards
    cdef bint filling  # a batch is being read, which may run Python code
    cdef list batch
    cdef Py_ssize_t at  # the next of the batch to give
    cdef uint64_t left  # how many may come yet, those of the batch among them
    cdef uint32_t wanted  # how large the next batch is to be
    cdef uint64_t changes  # sj_space_changes() when the batch was read
    cdef sj_deque_cursor cursor  # after the batch

    def __iter__(self):
        return self

    def __length_hint__(self):
        return self.left

    def __next__(self):
        cdef Space space = self.deque.space
        cdef bint stale
        if space.space is NULL:
            space.enter_read()  # raises
        stale = self.batch is not None and sj_space_changes(space.space) != self.changes
        if stale or self.batch is None or self.at == len(self.batch):
            if self.left == 0:
                raise StopIteration
            if self.filling:
                raise ValueError("the iterator is already reading: by another thread, or for a "
                                 "value that asks it for more")
            self.filling = True
            try:
                self.fill(stale)
            except:
                self.left = 0
                raise
            finally:
                self.filling = False
            if not self.batch:
                self.left = 0
                raise StopIteration
        item = self.batch[self.at]
        self.at += 1
        self.left -= 1
        return item

    cdef void go_back(self) noexcept:
        """To the first of the batch that was not given; the deque may be shorter now."""
        cdef uint64_t count = sj_deque_count(&self.deque.deque)
        cdef uint64_t missing = len(self.batch) - self.at
        self.cursor.chunk = 0
        self.cursor.index += missing if self.downwards else 0 - missing
        if self.downwards and (self.cursor.index >= count and self.cursor.index != UINT64_MAX):
            self.cursor.index = count - 1

    cdef int fill(self, bint stale) except -1:
        cdef sj_value[BATCH_MOST] values
        cdef DequeCore deque = self.deque
        cdef uint32_t got = 0, i
        cdef uint64_t wanted = min(<uint64_t>self.wanted, self.left)
        cdef bint collecting
        cdef int error
        cdef list batch = []
        deque.enter_read()
        collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
        try:
            if stale:
                self.go_back()
            self.changes = sj_space_changes(deque.space.space)
            error = sj_deque_read(&deque.deque, &self.cursor, self.downwards, <uint32_t>wanted,
                                  values, &got)
            if error != SJ_OK:
                raise_error(error)
            for i in range(got):
                batch.append(value_decode(deque.value_codec, &values[i], deque))
            self.batch = batch
            self.at = 0
            self.wanted = min(2 * self.wanted, BATCH_MOST)
        finally:
            if collecting:
                PyGC_Enable()
            deque.space.leave()
        return 0
