# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_mapping.pyx: the operations of every mapping and set: keys and values in and out, holds, errors.

The order in each operation: encode (may run Python code, may raise), enter, operate, decode, leave.

`MappingCore` is what all of them are; a kernel's class derives from it. What programs see on top
of that is in `MappingMethods` and `SetMethods`, which have no fields: a container derives from a
kernel's class and from one of them.
"""

from collections.abc import Mapping

from cpython.number cimport PyIndex_Check
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_ECORRUPT,
    SJ_EEXISTS,
    SJ_EINVAL,
    SJ_ENOTFOUND,
    SJ_OK,
    Space,
    raise_error,
    sj_segment_committed,
)
from spacejmp.structures._codec cimport (
    CODEC_ANY,
    CODEC_FLOAT,
    CODEC_INT,
    codec_kind,
    key_decode,
    key_encode,
    key_find,
    sj_key,
    sj_kinds,
    sj_value,
    value_decode,
    value_encode,
)
from spacejmp.structures._codec_tools cimport sj_bits_double, sj_buffer, sj_double_bits

from spacejmp.persistence.errors import CorruptError
from spacejmp.structures._codec import codec_name

KEYS = GIVE_KEYS
VALUES = GIVE_VALUES
ITEMS = GIVE_ITEMS

cdef object MISSING = object()


cdef class MappingCore(ContainerCore):
    """What `BTree`, `HashMap`, `SortedSet` and `Set` have in common."""

    cdef int c_get(self, const sj_key *key, sj_value *value) noexcept:
        return SJ_ECORRUPT

    cdef int c_put(self, const sj_key *key, const sj_value *value, sj_put_mode mode,
                   c_bool *existed) noexcept:
        return SJ_ECORRUPT

    cdef int c_change(self, const sj_key *key, sj_value_change change, void *context) noexcept:
        return SJ_ECORRUPT

    cdef int c_delete(self, const sj_key *key) noexcept:
        return SJ_ECORRUPT

    cdef int c_clear(self) noexcept:
        return SJ_ECORRUPT

    cdef int expect_kinds(self, sj_kinds kinds, uint64_t head) noexcept:
        """SJ_ECORRUPT when the codecs of the root are none for such items."""
        if kinds.key == codec_kind(self.key_codec) and kinds.value == codec_kind(self.value_codec):
            return SJ_OK
        return sj_segment_damaged(self.space.space.segment, head,
                                  "a structure whose items are none of its codecs")

    cdef int c_get_many(self, const sj_key *key, uint32_t count, sj_value *value,
                        c_bool *found) noexcept nogil:
        return SJ_ECORRUPT

    cdef int c_put_many(self, const sj_key *key, const sj_value *value, uint32_t count,
                        uint64_t *fresh) noexcept nogil:
        return SJ_ECORRUPT

    cdef int c_delete_many(self, const sj_key *key, uint32_t count,
                           uint64_t *deleted) noexcept nogil:
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

    cdef int store_item(self, object key, object value) except -1:
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
        return 0

    cdef bint remove(self, object key) except -1:
        """Whether it was there."""
        cdef sj_key k
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(self.key_codec, key, &k, &buffer, &side)
        self.enter_write()
        error = self.c_delete(&k) if side == 0 else SJ_ENOTFOUND
        self.space.changed()
        self.space.leave()
        if error != SJ_OK and error != SJ_ENOTFOUND:
            raise_error(error)
        return error == SJ_OK

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

cdef class MappingMethods:
    """What every mapping has and no set; for classes that derive from `MappingCore` too."""

    def __cinit__(self):
        raise TypeError("there is nothing that these methods belong to")

    def __getitem__(self, key):
        return (<MappingCore>self).get_or(key, None, True)

    def get(self, key, default=None):
        """Return the value of a key, or `default` when there is none."""
        return (<MappingCore>self).get_or(key, default, False)

    def __setitem__(self, key, value):
        (<MappingCore>self).store_item(key, value)

    def __delitem__(self, key):
        if not (<MappingCore>self).remove(key):
            raise KeyError(key)

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

    def setdefault(self, key, default=None):
        """Return the value of a key; when there is none, store `default` first. One descent."""
        cdef MappingCore mapping = <MappingCore>self
        cdef Default change = Default.__new__(Default)
        cdef sj_key k
        cdef sj_buffer key_buffer, value_buffer
        cdef int error
        keep_key = key_encode(mapping.key_codec, key, &k, &key_buffer)
        change.mapping = mapping
        try:
            keep_value = value_encode(mapping.value_codec, default, &change.value, &value_buffer,
                                      mapping)
        except (TypeError, ValueError, OverflowError):
            found = mapping.get_or(key, MISSING, False)  # a default that is not needed: anything
            if found is MISSING:
                raise
            return found
        mapping.enter_write()
        if value_buffer.references:
            mapping.adopt(&change.value)
        error = mapping.c_change(&k, keep_or_default, <void *>change)
        mapping.space.changed()
        mapping.space.leave()
        if change.raised is not None:
            raise change.raised
        if error == SJ_EEXISTS:
            return change.found
        if error != SJ_OK:
            raise_error(error)
        return value_decode(mapping.value_codec, &change.value, mapping)

    def increment(self, key, by=1, default=0):
        """Add to the value of a key, and return the new one. Atomic, one descent.

        Parameters
        ----------
        key : key
        by : int or float
            What is added.
        default : int or float
            What the value is taken to be when there is none.

        Returns
        -------
        int or float
            The new value; of codec "float" always a float.

        Raises
        ------
        OverflowError
            Codec "int": the new value, or what is added, does not fit in 64 bits.
        TypeError
            The value, or what is added, is no number; or the value codec is none for numbers.

        Nothing has changed then.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     counts = store.hashmap("counts", key="str", value="int")
        ...     counts.increment("a"), counts.increment("a", 5), counts.increment("b", default=10)
        (1, 6, 11)
        """
        cdef MappingCore mapping = <MappingCore>self
        cdef uint8_t codec = mapping.value_codec
        cdef sj_key k
        cdef sj_buffer buffer
        keep = key_encode(mapping.key_codec, key, &k, &buffer)
        if codec == CODEC_INT or codec == CODEC_FLOAT:
            return add_word(mapping, &k, by, default)
        if codec == CODEC_ANY:
            return add_object(mapping, &k, number_of(by), number_of(default))
        raise TypeError("increment() is for mappings whose values are numbers: of codec 'int', "
                        f"'float' or 'any', not {self.value!r}")

    def pop(self, key, default=MISSING):
        """Remove a key and return its value, or `default`; KeyError when there is neither."""
        cdef MappingCore mapping = <MappingCore>self
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer buffer
        cdef int side, error
        keep = key_find(mapping.key_codec, key, &k, &buffer, &side)
        mapping.enter_write()
        try:
            error = mapping.c_get(&k, &v) if side == 0 else SJ_ENOTFOUND
            if error == SJ_OK:
                value = value_decode(mapping.value_codec, &v, mapping)
                error = mapping.c_delete(&k)
                mapping.space.changed()
            if error == SJ_OK:
                return value
            if error != SJ_ENOTFOUND:
                raise_error(error)
        finally:
            mapping.space.leave()
        if default is MISSING:
            raise KeyError(key)
        return default

    @property
    def value(self):
        """The value codec."""
        return codec_name((<MappingCore>self).value_codec, "value")

    def _describe(self, kind):
        cdef MappingCore mapping = <MappingCore>self
        if not mapping.space.attached:
            return f"<{kind} {mapping._label()} of a closed store>"
        return (f"<{kind} {mapping._label()}, key {mapping.key!r}, value {self.value!r}, "
                f"{len(mapping)} items>")


cdef class SetMethods:
    """What every set has and no mapping; for classes that derive from `MappingCore` too."""

    def __cinit__(self):
        raise TypeError("there is nothing that these methods belong to")

    def add(self, value):
        """Add an element; nothing happens when it is there."""
        cdef MappingCore core = <MappingCore>self
        cdef sj_key k
        cdef sj_value nothing
        cdef sj_buffer buffer
        cdef c_bool existed
        cdef int error
        keep = key_encode(core.key_codec, value, &k, &buffer)
        nothing.word = 0
        core.enter_write()
        error = core.c_put(&k, &nothing, SJ_PUT_NEW, &existed)
        core.space.changed()
        core.space.leave()
        if error != SJ_OK:
            raise_error(error)

    def discard(self, value):
        """Remove an element, if it is there."""
        (<MappingCore>self).remove(value)

    def remove(self, value):
        """Remove an element; KeyError when it is not there."""
        if not (<MappingCore>self).remove(value):
            raise KeyError(value)

    def _describe(self, kind):
        cdef MappingCore core = <MappingCore>self
        if not core.space.attached:
            return f"<{kind} {core._label()} of a closed store>"
        return f"<{kind} {core._label()}, key {core.key!r}, {len(core)} items>"


# --- changes of a value that see the old one -----------------------------------------------------

cdef class Change:
    """What a change of a value is given, and what it leaves."""

    cdef MappingCore mapping
    cdef sj_value value  # the one that is stored
    cdef object raised


cdef class Default(Change):
    cdef object found  # the value that is there


cdef int keep_or_default(void *context, const sj_value *old, sj_value *value) noexcept:
    cdef Default change = <Default>context
    if old is NULL:
        value[0] = change.value
        return SJ_OK
    try:
        change.found = value_decode(change.mapping.value_codec, old, change.mapping)
    except BaseException as raised:
        change.raised = raised
    return SJ_EEXISTS


cdef struct WordSum:
    bint is_float
    bint is_too_large
    sj_value by
    sj_value number  # what there is when there is nothing; then the sum


cdef int sum_words(void *context, const sj_value *old, sj_value *value) noexcept:
    cdef WordSum *sum = <WordSum *>context
    cdef int64_t number, by = <int64_t>sum.by.word
    if old is not NULL:
        sum.number = old[0]
    number = <int64_t>sum.number.word
    if sum.is_float:
        sum.number.word = sj_double_bits(sj_bits_double(sum.number.word)
                                         + sj_bits_double(sum.by.word))
    elif (number > INT64_MAX - by) if by > 0 else (number < INT64_MIN - by):
        sum.is_too_large = True
        return SJ_EINVAL
    else:
        sum.number.word = <uint64_t>(number + by)
    value[0] = sum.number
    return SJ_OK


cdef object add_word(MappingCore mapping, const sj_key *key, object by, object default):
    """increment() of values that are words."""
    cdef WordSum sum
    cdef sj_buffer buffer
    cdef int error
    sum.is_float = mapping.value_codec == CODEC_FLOAT
    sum.is_too_large = False
    value_encode(mapping.value_codec, by, &sum.by, &buffer, None)
    value_encode(mapping.value_codec, default, &sum.number, &buffer, None)
    mapping.enter_write()
    error = mapping.c_change(key, sum_words, &sum)
    mapping.space.changed()
    mapping.space.leave()
    if sum.is_too_large:
        raise OverflowError("the sum does not fit in 64 bits: make the container with "
                            "value=\"any\"")
    if error != SJ_OK:
        raise_error(error)
    return value_decode(mapping.value_codec, &sum.number, None)


cdef class Sum(Change):
    cdef object by
    cdef object number  # what there is when there is nothing; then the sum
    cdef sj_buffer buffer
    cdef object keep


cdef object number_of(object found):
    """As an int or a float; TypeError when it is neither."""
    if isinstance(found, float):
        return float(found)
    if PyIndex_Check(found):
        return found.__index__()
    raise TypeError(f"a number is needed to add, not {type(found).__name__}")


cdef int sum_objects(void *context, const sj_value *old, sj_value *value) noexcept:
    cdef Sum change = <Sum>context
    try:
        if old is not NULL:
            change.number = number_of(value_decode(CODEC_ANY, old, change.mapping))
        change.number = change.number + change.by
        change.keep = value_encode(CODEC_ANY, change.number, &change.value, &change.buffer,
                                   change.mapping)
    except BaseException as raised:
        change.raised = raised
        return SJ_EINVAL
    value[0] = change.value
    return SJ_OK


cdef object add_object(MappingCore mapping, const sj_key *key, object by, object default):
    """increment() of values of codec any."""
    cdef Sum change = Sum.__new__(Sum)
    cdef int error
    change.mapping = mapping
    change.by = by
    change.number = default
    mapping.enter_write()
    error = mapping.c_change(key, sum_objects, <void *>change)
    mapping.space.changed()
    mapping.space.leave()
    if change.raised is not None:
        raise change.raised
    if error != SJ_OK:
        raise_error(error)
    return change.number
