# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_mapping.pyx: the operations of every mapping: keys and values in and out, holds, errors.

The order in each operation: encode (may run Python code, may raise), enter, operate, decode, leave.
"""

from collections.abc import Mapping

from libc.stdint cimport uint8_t, uint64_t

from spacejmp._space cimport (
    SJ_ECORRUPT,
    SJ_ENOTFOUND,
    SJ_OK,
    Space,
    raise_error,
    sj_segment_committed,
    sj_space_changes,
)
from spacejmp.structures._codec cimport (
    key_decode,
    key_encode,
    key_find,
    sj_item,
    sj_key,
    sj_value,
    value_decode,
    value_encode,
)
from spacejmp.structures._codec_tools cimport sj_buffer

from spacejmp.persistence.errors import CorruptError, NotFoundError
from spacejmp.structures._codec import codec_name

KEYS = GIVE_KEYS
VALUES = GIVE_VALUES
ITEMS = GIVE_ITEMS

cdef object MISSING = object()


cdef class MappingCore(ContainerCore):
    """What `BTree` and `HashMap` have in common."""

    cdef int c_get(self, const sj_key *key, sj_value *value) noexcept:
        return SJ_ECORRUPT

    cdef int c_put(self, const sj_key *key, const sj_value *value, sj_put_mode mode,
                   c_bool *existed) noexcept:
        return SJ_ECORRUPT

    cdef int c_delete(self, const sj_key *key) noexcept:
        return SJ_ECORRUPT

    cdef int c_clear(self) noexcept:
        return SJ_ECORRUPT

    # -- one item -----------------------------------------------------------------------------

    cdef object get_or(self, object key, object default, bint must):
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(self.key_codec, key, &k, &buffer, &side)
        self.enter_read()
        error = self.c_get(&k, &v) if side == 0 else SJ_ENOTFOUND
        if error == SJ_OK:
            try:
                return value_decode(self.value_codec, &v, self)
            finally:
                self.space.leave()
        self.space.leave()
        if error != SJ_ENOTFOUND:
            raise_error(error)
        if must:
            raise KeyError(key)
        return default

    def __getitem__(self, key):
        return self.get_or(key, None, True)

    def get(self, key, default=None):
        """Return the value of a key, or `default` when there is none."""
        return self.get_or(key, default, False)

    def __contains__(self, key):
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(self.key_codec, key, &k, &buffer, &side)
        if side != 0:
            return False
        self.enter_read()
        error = self.c_get(&k, &v)
        self.space.leave()
        if error != SJ_OK and error != SJ_ENOTFOUND:
            raise_error(error)
        return error == SJ_OK

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

    def update(self, other=(), /, **more):
        """Store the items of a mapping, or of an iterable of pairs, and the keywords, singly."""
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            other = [(key, other[key]) for key in other.keys()]
        for key, value in other:
            self[key] = value
        for key, value in more.items():
            self[key] = value

    def __setitem__(self, key, value):
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer key_buffer, value_buffer
        cdef c_bool existed
        keep_key = key_encode(self.key_codec, key, &k, &key_buffer)
        keep_value = value_encode(self.value_codec, value, &v, &value_buffer, self)
        self.enter_write()
        if value_buffer.references:
            self.adopt(&v)
        cdef int error = self.c_put(&k, &v, SJ_PUT_ALWAYS, &existed)
        self.space.changed()
        self.space.leave()
        if error != SJ_OK:
            raise_error(error)

    def __delitem__(self, key):
        cdef sj_key k
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(self.key_codec, key, &k, &buffer, &side)
        self.enter_write()
        error = self.c_delete(&k) if side == 0 else SJ_ENOTFOUND
        self.space.changed()
        self.space.leave()
        if error == SJ_ENOTFOUND:
            raise KeyError(key)
        if error != SJ_OK:
            raise_error(error)

    def setdefault(self, key, default=None):
        """Return the value of a key; when there is none, store `default` first. One descent."""
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer key_buffer, value_buffer
        cdef c_bool existed = False
        cdef int error
        keep_key = key_encode(self.key_codec, key, &k, &key_buffer)
        try:
            keep_value = value_encode(self.value_codec, default, &v, &value_buffer, self)
        except (TypeError, ValueError, OverflowError):
            found = self.get_or(key, MISSING, False)  # a default that is not needed may be anything
            if found is MISSING:
                raise
            return found
        self.enter_write()
        try:
            if value_buffer.references:
                self.adopt(&v, within=True)
            error = self.c_put(&k, &v, SJ_PUT_NEW, &existed)
            self.space.changed()
            if error == SJ_OK:
                error = self.c_get(&k, &v)
            if error != SJ_OK:
                raise_error(error)
            return value_decode(self.value_codec, &v, self)
        finally:
            self.space.leave()

    def pop(self, key, default=MISSING):
        """Remove a key and return its value, or `default`; KeyError when there is neither."""
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(self.key_codec, key, &k, &buffer, &side)
        self.enter_write()
        try:
            error = self.c_get(&k, &v) if side == 0 else SJ_ENOTFOUND
            if error == SJ_OK:
                value = value_decode(self.value_codec, &v, self)
                error = self.c_delete(&k)
                self.space.changed()
            if error == SJ_OK:
                return value
            if error != SJ_ENOTFOUND:
                raise_error(error)
        finally:
            self.space.leave()
        if default is MISSING:
            raise KeyError(key)
        return default

    def clear(self):
        """Remove all items, as one atomic operation. O(n)."""
        self.enter_write()
        cdef int error = self.c_clear()
        self.space.changed()
        self.space.leave()
        if error != SJ_OK:
            raise_error(error)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def key(self):
        """The key codec."""
        return codec_name(self.key_codec, "key")

    @property
    def value(self):
        """The value codec."""
        return codec_name(self.value_codec, "value")

    def _describe(self, kind):
        if not self.space.attached:
            return f"<{kind} {self._label()} of a closed store>"
        return (f"<{kind} {self._label()}, key {self.key!r}, value {self.value!r}, {len(self)} "
                "items>")


cdef class BatchIterator:
    """The iterator of every mapping."""

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

    def __iter__(self):
        return self

    def __next__(self):
        cdef Space space = self.mapping.space
        cdef bint stale
        if space.space is NULL:
            space.enter_read()  # raises
        stale = sj_space_changes(space.space) != self.changes
        if self.at == self.count or stale:
            if self.filling:
                raise ValueError("the iterator is already reading: by another thread, or for a "
                                 "value that asks it for more")
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
