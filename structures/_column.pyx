# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_column.pyx: keys and values of a batch as columns of words, or of bytes.

Everything is encoded before a lock is taken: that may run Python code, and raise. What objects are
encoded to is copied into the column; of an array its words are read when they are needed, each
once, so that an array that another thread changes meanwhile makes no damage.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from spacejmp.structures._codec cimport (
    CODEC_FLOAT,
    CODEC_INT,
    SJ_ITEM_WORD,
    codec_kind,
    key_encode,
    key_find,
    sj_key,
    sj_value,
    value_encode,
)
from spacejmp.structures._codec_tools cimport (
    SJ_WORD_SIGN,
    sj_bits_double,
    sj_buffer,
    sj_double_bits,
    sj_double_ordered,
    sj_ordered_double,
)


cdef int target_of(Target *target, uint8_t codec, object rows, bint key) except -1:
    cdef uint8_t[:, ::1] view
    target.at = NULL
    target.word = codec_kind(codec) == SJ_ITEM_WORD
    target.form = FORM_RAW
    if key and codec == CODEC_INT:
        target.form = FORM_INT_KEY
    elif key and codec == CODEC_FLOAT:
        target.form = FORM_FLOAT_KEY
    if rows is not None:
        view = rows
        target.width = view.shape[1]
        if view.shape[0] != 0:
            target.at = <char *>&view[0, 0]
    return 0


cdef bint target_put(const Target *target, Py_ssize_t at, uint64_t word, const uint8_t *bytes,
                     uint64_t size) noexcept nogil:
    if target.at is NULL:
        return True
    if target.word:
        if target.form == FORM_INT_KEY:
            word ^= SJ_WORD_SIGN
        elif target.form == FORM_FLOAT_KEY:
            word = sj_double_bits(sj_ordered_double(word))
        (<uint64_t *>target.at)[at] = word
        return True
    if size != <uint64_t>target.width or bytes[size - 1] == 0:
        return False
    memcpy(target.at + at * target.width, bytes, size)
    return True


cdef void *grown(void *items, uint64_t *room, uint64_t needed, size_t each) except NULL:
    """Memory for `needed` items at least, with what is in it."""
    cdef uint64_t more = max(needed, room[0] + room[0] // 2, 64)
    cdef void *larger = realloc(items, more * each)
    if larger is NULL:
        raise MemoryError("the keys or values of a batch")
    room[0] = more
    return larger


cdef class Column:
    """Encoded keys or values."""

    def __dealloc__(self):
        free(self.items)
        free(self.bytes)

    cdef int own(self, bint word) except -1:
        """The column is going to have items of its own."""
        self.word = word
        self.form = FORM_RAW
        self.stride = sizeof(uint64_t)
        return 0

    cdef int add(self, uint64_t word, const uint8_t *bytes, uint64_t size,
                 uint32_t form_size) except -1:
        cdef uint64_t room = self.room
        if self.count == self.room:
            self.items = grown(self.items, &room, self.count + 1,
                               sizeof(uint64_t) if self.word else sizeof(Span))
            self.room = room
            self.words = <const char *>self.items
        if self.word:
            (<uint64_t *>self.items)[self.count] = word
            self.count += 1
            return 0
        return self.take_bytes(bytes, size, form_size)

    cdef int take_bytes(self, const uint8_t *bytes, uint64_t size, uint32_t form_size) except -1:
        cdef Span *span = &(<Span *>self.items)[self.count]
        cdef uint64_t all_bytes = size + form_size
        if self.bytes_room - self.bytes_used < all_bytes:
            self.bytes = <uint8_t *>grown(self.bytes, &self.bytes_room,
                                          self.bytes_used + all_bytes, 1)
        if all_bytes != 0:
            memcpy(self.bytes + self.bytes_used, bytes, all_bytes)
        span.at = self.bytes_used
        span.size = size
        span.form_size = form_size
        self.bytes_used += all_bytes
        self.count += 1
        return 0

    cdef int add_key(self, uint8_t codec, object key, bint find) except -1:
        cdef sj_key k
        cdef sj_buffer buffer
        cdef int side = 0
        if find:
            keep = key_find(codec, key, &k, &buffer, &side)
        else:
            keep = key_encode(codec, key, &k, &buffer)
        if side != 0 and self.skip:
            return 0
        if side != 0:
            self.absent = self.absent or []
            self.absent.append(self.count)
        if self.word:
            return self.add(k.word, NULL, 0, 0)
        return self.add(0, k.bytes, k.size, k.form_size)

    cdef int add_value(self, uint8_t codec, object value, object container) except -1:
        cdef sj_value v
        cdef sj_buffer buffer
        keep = value_encode(codec, value, &v, &buffer, container)
        if buffer.references:
            self.referring = self.referring or []
            self.referring.append(self.count)
        if self.word:
            return self.add(v.word, NULL, 0, 0)
        return self.add(0, v.bytes, v.size, 0)

    cdef void keys(self, Py_ssize_t start, uint32_t count, sj_key *key) noexcept nogil:
        cdef const char *word = self.words + start * self.stride
        cdef const Span *span = <const Span *>self.items + start
        cdef uint32_t i
        if not self.word:
            for i in range(count):
                key[i].bytes = self.bytes + span[i].at
                key[i].size = <uint32_t>span[i].size
                key[i].form_size = span[i].form_size
        elif self.form == FORM_INT_KEY:
            for i in range(count):
                key[i].word = (<const uint64_t *>(word + i * self.stride))[0] ^ SJ_WORD_SIGN
        elif self.form == FORM_FLOAT_KEY:
            for i in range(count):
                key[i].word = sj_double_ordered(
                    sj_bits_double((<const uint64_t *>(word + i * self.stride))[0]))
        else:
            for i in range(count):
                key[i].word = (<const uint64_t *>(word + i * self.stride))[0]

    cdef void values(self, Py_ssize_t start, uint32_t count, sj_value *value) noexcept nogil:
        cdef const char *word = self.words + start * self.stride
        cdef const Span *span = <const Span *>self.items + start
        cdef uint32_t i
        if self.word:
            for i in range(count):
                value[i].word = (<const uint64_t *>(word + i * self.stride))[0]
        else:
            for i in range(count):
                value[i].bytes = self.bytes + span[i].at
                value[i].size = span[i].size


cdef Column of_words(uint8_t codec, object array, bint keys):
    """A column of the words of an array, which has eight bytes an item and is aligned."""
    cdef const int64_t[:] ints
    cdef const double[:] floats
    cdef Column column = Column.__new__(Column)
    column.word = True
    if codec == CODEC_INT:
        ints = array
        column.count, column.stride = ints.shape[0], ints.strides[0]
        column.words = <const char *>&ints[0] if column.count != 0 else NULL
        column.form = FORM_INT_KEY if keys else FORM_RAW
        column.keep = ints
    else:
        floats = array
        column.count, column.stride = floats.shape[0], floats.strides[0]
        column.words = <const char *>&floats[0] if column.count != 0 else NULL
        column.form = FORM_FLOAT_KEY if keys else FORM_RAW
        column.keep = floats
    return column


cdef Column of_bytes(object array):
    """A column of the fixed-size bytes of a contiguous array, without the zeros at their ends."""
    cdef const uint8_t[:, ::1] rows = array
    cdef Py_ssize_t i, size
    cdef Column column = Column.__new__(Column)
    column.own(False)
    for i in range(rows.shape[0]):
        size = rows.shape[1]
        while size > 0 and rows[i, size - 1] == 0:
            size -= 1
        column.add(0, &rows[i, 0], size, 0)
    return column


def key_column(uint8_t codec, array, objects, bint find, bint skip=False):
    """Keys of an array that fits the codec as it is, or, when that is None, of objects.

    `find`: keys to look for, of which some may be none that the codec has (`skip`: these are left
    out); else keys to store.
    """
    if array is not None:
        if codec == CODEC_INT or codec == CODEC_FLOAT:
            return of_words(codec, array, True)
        return of_bytes(array)
    cdef Column column = Column.__new__(Column)
    column.own(codec_kind(codec) == SJ_ITEM_WORD)
    column.skip = skip
    for key in objects:
        column.add_key(codec, key, find)
    return column


def value_column(uint8_t codec, array, objects, container):
    """The same for values, which are going to be stored in `container`."""
    if array is not None:
        if codec == CODEC_INT or codec == CODEC_FLOAT:
            return of_words(codec, array, False)
        return of_bytes(array)
    cdef Column column = Column.__new__(Column)
    column.own(codec_kind(codec) == SJ_ITEM_WORD)
    for value in objects:
        column.add_value(codec, value, container)
    return column


def pair_columns(uint8_t key_codec, uint8_t value_codec, pairs, container):
    """Columns of the keys and of the values of an iterable of pairs."""
    cdef Column keys = Column.__new__(Column)
    cdef Column values = Column.__new__(Column)
    keys.own(codec_kind(key_codec) == SJ_ITEM_WORD)
    values.own(codec_kind(value_codec) == SJ_ITEM_WORD)
    for key, value in pairs:
        keys.add_key(key_codec, key, False)
        values.add_value(value_codec, value, container)
    return keys, values
