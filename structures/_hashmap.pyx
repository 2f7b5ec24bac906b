# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_hashmap.pyx: the hash map kernel for Python: its operations and its iteration."""

from libc.stdint cimport uint32_t, uint64_t

from spacejmp._space cimport SJ_OK, raise_error, sj_segment, sj_space_changes
from spacejmp.structures._codec cimport key_decode, sj_item, sj_key, sj_kinds, sj_value
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable
from spacejmp.structures._column cimport Target, target_of, target_put
from spacejmp.structures._iterator cimport BatchIterator
from spacejmp.structures._mapping cimport (
    GIVE_ITEMS,
    GIVE_KEYS,
    GIVE_VALUES,
    MappingCore,
    c_bool,
    sj_put_mode,
    sj_value_change,
)

from spacejmp.persistence.errors import CorruptError


cdef extern from "structures/hashmap.h" nogil:
    enum:
        SJ_KIND_HASHMAP
        SJ_HASHMAP_READ_MIN

    struct sj_hashmap:
        sj_kinds kinds

    int sj_hashmap_open(sj_segment *segment, uint64_t head, sj_hashmap *map)
    uint64_t sj_hashmap_count(const sj_hashmap *map)
    int sj_hashmap_get(const sj_hashmap *map, const sj_key *key, sj_value *value)
    int sj_hashmap_put(sj_hashmap *map, const sj_key *key, const sj_value *value, sj_put_mode mode,
                       c_bool *existed)
    int sj_hashmap_change(sj_hashmap *map, const sj_key *key, sj_value_change change, void *context)
    int sj_hashmap_delete(sj_hashmap *map, const sj_key *key)
    int sj_hashmap_clear(sj_hashmap *map)
    int sj_hashmap_get_many(const sj_hashmap *map, const sj_key *key, uint32_t count,
                            sj_value *value, c_bool *found)
    int sj_hashmap_put_many(sj_hashmap *map, const sj_key *key, const sj_value *value,
                            uint32_t count, uint64_t *fresh)
    int sj_hashmap_delete_many(sj_hashmap *map, const sj_key *key, uint32_t count,
                               uint64_t *deleted)
    int sj_hashmap_read(const sj_hashmap *map, uint64_t *position, uint32_t wanted, sj_item *items,
                        uint32_t *got)

KEYS = GIVE_KEYS
VALUES = GIVE_VALUES
ITEMS = GIVE_ITEMS

cdef enum:
    BATCH = 256  # numbers that an iteration reads under one hold
    BATCH_OTHER = 128  # of other items, and at first; ≥ SJ_HASHMAP_READ_MIN


cdef class HashMapCore(MappingCore):
    """The operations of `HashMap` that need the kernel."""

    cdef sj_hashmap map
    cdef uint64_t taken_at  # position of the scan that _pop_any() found its last item with

    cdef int c_open(self, uint64_t head) noexcept:
        cdef int error = sj_hashmap_open(self.space.space.segment, head, &self.map)
        return error if error != SJ_OK else self.expect_kinds(self.map.kinds, head)

    cdef int c_type(self) noexcept:
        return SJ_KIND_HASHMAP

    cdef uint64_t c_count(self) noexcept:
        return sj_hashmap_count(&self.map)

    cdef int c_get(self, const sj_key *key, sj_value *value) noexcept:
        return sj_hashmap_get(&self.map, key, value)

    cdef int c_put(self, const sj_key *key, const sj_value *value, sj_put_mode mode,
                   c_bool *existed) noexcept:
        return sj_hashmap_put(&self.map, key, value, mode, existed)

    cdef int c_change(self, const sj_key *key, sj_value_change change, void *context) noexcept:
        return sj_hashmap_change(&self.map, key, change, context)

    cdef int c_delete(self, const sj_key *key) noexcept:
        return sj_hashmap_delete(&self.map, key)

    cdef int c_clear(self) noexcept:
        return sj_hashmap_clear(&self.map)

    cdef int c_get_many(self, const sj_key *key, uint32_t count, sj_value *value,
                        c_bool *found) noexcept nogil:
        return sj_hashmap_get_many(&self.map, key, count, value, found)

    cdef int c_put_many(self, const sj_key *key, const sj_value *value, uint32_t count,
                        uint64_t *fresh) noexcept nogil:
        return sj_hashmap_put_many(&self.map, key, value, count, fresh)

    cdef int c_delete_many(self, const sj_key *key, uint32_t count,
                           uint64_t *deleted) noexcept nogil:
        return sj_hashmap_delete_many(&self.map, key, count, deleted)

    def _pop_any(self, int give):
        """Removes an item and gives it; KeyError. It looks on where the last one was found, so that
        emptying a map is O(n)."""
        cdef Scan items = Scan.__new__(Scan)
        cdef sj_item[BATCH] found
        cdef uint64_t position
        cdef uint32_t got = 0
        cdef int error = SJ_OK
        items.mapping = self
        items.give = give
        self.enter_write()
        try:
            while True:
                position = self.taken_at
                error = sj_hashmap_read(&self.map, &position, SJ_HASHMAP_READ_MIN, found, &got)
                if error != SJ_OK:
                    raise_error(error)
                if got != 0:  # the items of one bucket
                    break
                if self.taken_at == 0:
                    raise KeyError(f"{self.name!r} is empty")
                self.taken_at = 0  # what there is was put behind it
            item = items.object_of(&found[0])
            error = sj_hashmap_delete(&self.map, &found[0].key)
            self.space.changed()
            if error != SJ_OK:
                raise_error(error)
            if got == 1:
                self.taken_at = position
            return item
        finally:
            self.space.leave()

    def _iterate(self, int give):
        """All items, in the order of their hashes."""
        cdef Scan items = Scan.__new__(Scan)
        items.mapping = self
        items.give = give
        items.make_room(BATCH_OTHER)
        items.wanted = BATCH_OTHER
        return items


    def _read_arrays(self, Py_ssize_t count, key_rows, value_rows):
        """Copies all items to arrays of that many; False: not all are of the rows' size."""
        cdef sj_item[BATCH] items
        cdef Target keys, values
        cdef Py_ssize_t at = 0
        cdef uint64_t position = 0
        cdef uint32_t got = 0, i
        cdef bint fits = True
        cdef int error = SJ_OK
        target_of(&keys, self.key_codec, key_rows, True)
        target_of(&values, self.value_codec, value_rows, False)
        self.enter_read()
        try:
            with nogil:
                while position != <uint64_t>-1 and error == SJ_OK and fits:
                    error = sj_hashmap_read(&self.map, &position, BATCH, items, &got)
                    if at + got > count:
                        break
                    for i in range(got):
                        fits = fits and target_put(&keys, at + i, items[i].key.word,
                                                   items[i].key.bytes, items[i].key.size)
                        fits = fits and target_put(&values, at + i, items[i].value.word,
                                                   items[i].value.bytes, items[i].value.size)
                    at += got
        finally:
            self.space.leave()
        if error != SJ_OK:
            raise_error(error)
        if fits and (at != count or position != <uint64_t>-1):
            raise CorruptError(f"{self._title()} has not as many items as it counts: run check()")
        return fits


cdef class Scan(BatchIterator):
    """All items of a hash map. After a change the batch is read again, without what was given."""

    cdef uint64_t begin  # position where the batch begins
    cdef uint64_t end  # position after it
    cdef uint64_t reach  # position after all batches that were read again
    cdef set given  # keys given of those batches; kept until the position is past `reach`

    cdef int fill(self, bint stale) except -1:
        cdef HashMapCore mapping = <HashMapCore>self.mapping
        cdef sj_item[BATCH] items
        cdef uint32_t got
        cdef bint collecting
        cdef int error
        mapping.enter_read()  # may fail, and be tried again: nothing has changed yet
        collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
        try:
            if self.at < self.count:  # the batch is to be read again
                self.given = (self.given or set()).union(self.keys_given())
                self.reach = max(self.reach, self.end)
            else:
                self.move_on()
            self.at = self.count = 0
            if stale:
                self.wanted = BATCH_OTHER
            self.changes = sj_space_changes(mapping.space.space)
            while True:
                self.end = self.begin
                error = sj_hashmap_read(&mapping.map, &self.end, self.wanted, items, &got)
                if error != SJ_OK:
                    raise_error(error)
                self.ended = self.end == <uint64_t>-1
                self.take(items, got)
                if self.count != 0 or self.ended:
                    break
                self.move_on()
        except:
            self.ended = True
            self.at = self.count = 0
            raise
        finally:
            if collecting:
                PyGC_Enable()
            self.leave()
        self.grow()
        return 0

    cdef int grow(self) except -1:
        """Numbers: the next batches are larger."""
        if self.wanted < BATCH and self.gives_numbers():
            self.wanted = BATCH
            self.make_room(BATCH)
        return 0

    cdef list keys_given(self):
        """Those of the batch."""
        return [self.key_at(at) for at in range(self.at)]

    cdef void move_on(self):
        """The next batch begins where this one ends."""
        self.begin = self.end
        if self.end >= self.reach:
            self.given = None

    cdef int take(self, const sj_item *items, uint32_t got) except -1:
        """Makes the batch of what was read, without the keys that were given."""
        cdef uint32_t i
        if self.given is None:
            return self.place_all(items, got)
        for i in range(got):
            key = key_decode(self.mapping.key_codec, &items[i].key)
            if key in self.given:
                continue
            if self.keys is not None:
                self.keys[self.count] = key
            elif self.words is not NULL:
                self.words[self.count] = items[i].key.word
            self.batch[self.count] = key if self.give == GIVE_KEYS else self.object_of(&items[i])
            self.count += 1
        return 0
