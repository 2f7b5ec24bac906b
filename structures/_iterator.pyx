# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_iterator.pyx: iteration in batches: many items are read under one hold, and given one by one."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from spacejmp._space cimport Space, sj_space, sj_space_changes
from spacejmp.structures._codec cimport (
    CODEC_FLOAT,
    CODEC_INT,
    SJ_ITEM_WORD,
    codec_kind,
    key_decode,
    sj_item,
    sj_key,
    value_decode,
)
from spacejmp.structures._codec_tools cimport SJ_WORD_SIGN, sj_double_bits, sj_ordered_double
from spacejmp.structures._mapping cimport GIVE_ITEMS, GIVE_KEYS, GIVE_VALUES, MappingCore


cdef extern from "structures/renew.h":
    PyObject *PyList_GET_ITEM(list objects, Py_ssize_t at)
    int sj_list_number(list objects, Py_ssize_t at, bint is_float, uint64_t word) except -1
    int sj_list_pair(list objects, Py_ssize_t at, bint key_is_float, uint64_t key,
                     bint value_is_float, uint64_t value) except -1


cdef inline bint is_number(uint8_t codec) noexcept:
    return codec == CODEC_INT or codec == CODEC_FLOAT


cdef inline uint64_t word_number(uint8_t codec, uint64_t key) noexcept:
    """A key's word as that of a value is."""
    if codec == CODEC_INT:
        return key ^ SJ_WORD_SIGN
    return sj_double_bits(sj_ordered_double(key))


cdef class BatchIterator:
    """The iterator of every mapping and set."""

    cdef int fill(self, bint stale) except -1:
        self.ended = True
        return 0

    cdef int leave(self) except -1:
        try:
            return self.mapping.space.leave()
        except:  # what was read does not count
            self.ended = True
            self.at = self.count = 0
            raise

    cdef object object_of(self, const sj_item *item):
        cdef MappingCore mapping = self.mapping
        if self.give == GIVE_KEYS:
            return key_decode(mapping.key_codec, &item.key)
        if self.give == GIVE_VALUES:
            return value_decode(mapping.value_codec, &item.value, mapping)
        return (key_decode(mapping.key_codec, &item.key),
                value_decode(mapping.value_codec, &item.value, mapping))

    cdef bint gives_numbers(self) noexcept:
        if self.give == GIVE_KEYS:
            return is_number(self.mapping.key_codec)
        return is_number(self.mapping.value_codec) and (self.give == GIVE_VALUES
                                                        or is_number(self.mapping.key_codec))

    cdef int place(self, list objects, int give, const sj_item *items, uint32_t count) except -1:
        cdef uint8_t key = self.mapping.key_codec, value = self.mapping.value_codec
        cdef uint32_t i
        if give == GIVE_KEYS and is_number(key):
            for i in range(count):
                sj_list_number(objects, i, key == CODEC_FLOAT, word_number(key, items[i].key.word))
        elif give == GIVE_KEYS:
            for i in range(count):
                objects[i] = key_decode(key, &items[i].key)
        elif give == GIVE_VALUES and is_number(value):
            for i in range(count):
                sj_list_number(objects, i, value == CODEC_FLOAT, items[i].value.word)
        elif give == GIVE_ITEMS and is_number(key) and is_number(value):
            for i in range(count):
                sj_list_pair(objects, i, key == CODEC_FLOAT, word_number(key, items[i].key.word),
                             value == CODEC_FLOAT, items[i].value.word)
        else:
            for i in range(count):
                objects[i] = self.object_of(&items[i])
        return 0

    cdef int place_all(self, const sj_item *items, uint32_t count) except -1:
        cdef uint32_t i
        self.place(self.batch, self.give, items, count)
        if self.keys is not None:
            self.place(self.keys, GIVE_KEYS, items, count)
        elif self.words is not NULL:
            for i in range(count):
                self.words[i] = items[i].key.word
        self.count = count
        return 0

    cdef int make_room(self, Py_ssize_t count) except -1:
        cdef Py_ssize_t more
        cdef void *words
        if self.batch is None:
            self.batch = []
        more = count - len(self.batch)
        if more <= 0:
            return 0
        if self.give == GIVE_VALUES and codec_kind(self.mapping.key_codec) == SJ_ITEM_WORD:
            words = realloc(self.words, count * sizeof(uint64_t))
            if words is NULL:
                raise MemoryError("the keys of a batch")
            self.words = <uint64_t *>words
        elif self.give == GIVE_VALUES:
            self.keys = (self.keys or []) + [None] * more
        self.batch.extend([None] * more)
        return 0

    cdef object key_at(self, Py_ssize_t at):
        cdef sj_key key
        if self.give == GIVE_KEYS:
            return self.batch[at]
        if self.give == GIVE_ITEMS:
            return self.batch[at][0]
        if self.words is NULL:
            return self.keys[at]
        key.word = self.words[at]
        return key_decode(self.mapping.key_codec, &key)

    def __dealloc__(self):
        free(self.words)

    def __iter__(self):
        return self

    def __next__(self):
        cdef sj_space *space = self.mapping.space.space
        if self.at < self.count and space is not NULL and sj_space_changes(space) == self.changes:
            self.at += 1
            return <object>PyList_GET_ITEM(self.batch, self.at - 1)
        return self.next_batch()

    cdef object next_batch(self):
        """The first item of another batch, or StopIteration."""
        cdef Space space = self.mapping.space
        cdef bint stale
        if space.space is NULL:
            space.enter_read()  # raises
        stale = sj_space_changes(space.space) != self.changes
        if self.filling:
            raise ValueError("the iterator is already reading: by another thread, or for a value "
                             "that asks it for more")
        if self.ended and self.at == self.count:
            raise StopIteration
        self.filling = True
        try:
            self.fill(stale)
        finally:
            self.filling = False
        if self.at == self.count:
            raise StopIteration
        self.at += 1
        return self.batch[self.at - 1]
