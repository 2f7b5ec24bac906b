# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""Keys and values of the mappings from and to Python objects: what the bindings cimport.

    cdef sj_key key
    cdef sj_value value
    cdef sj_buffer key_buffer, value_buffer       # on the C stack, uninitialised
    key_keep = key_encode(codec, k, &key, &key_buffer)
    value_keep = value_encode(codec, v, &value, &value_buffer, self)
    … take the hold
    if value_buffer.references: self.adopt(&value)
    sj_btree_put(&tree, &key, &value, …)

Contract: `key`/`value` are good while the object, the buffer and the returned `keep` live; encode
before any lock is taken (it may run Python code, and raise). Decoding copies out of the segment,
so it happens inside the hold; it runs no collection when it builds containers.
An object is encoded as it is at that moment; a bytearray or memoryview is copied.

In the `word` kinds only `.word` is set, in the `bytes` kinds only `.bytes`, `.size`, `.form_size`.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from spacejmp.structures._codec_tools cimport (
    sj_ascii_get,
    sj_bits_double,
    sj_buffer,
    sj_double_bits,
    sj_double_ordered,
    sj_int_get,
    sj_ordered_double,
    SJ_WORD_SIGN,
    text_decode,
)


cdef extern from "structures/entry.h" nogil:
    enum sj_item_kind:
        SJ_ITEM_WORD
        SJ_ITEM_BYTES

    struct sj_key:
        uint64_t word
        const uint8_t *bytes
        uint32_t size
        uint32_t form_size

    struct sj_value:
        uint64_t word
        const uint8_t *bytes
        uint64_t size

    struct sj_item:
        sj_key key
        sj_value value

    struct sj_kinds:
        sj_item_kind key
        sj_item_kind value

    const uint32_t SJ_KEY_BYTES_MAX


# On the media (sj_root.key_codec, .value_codec): the numbers never change.
cdef enum:
    CODEC_NONE = 0  # nothing: the values of a set
    CODEC_INT = 1
    CODEC_FLOAT = 2
    CODEC_BYTES = 3
    CODEC_STR = 4
    CODEC_ANY = 5
    CODEC_PICKLE = 6  # values only


cdef inline sj_item_kind codec_kind(uint8_t codec) noexcept nogil:
    return SJ_ITEM_WORD if codec <= CODEC_FLOAT else SJ_ITEM_BYTES

# The id of a codec by name; `role` is "key" or "value". ValueError that lists the choices.
cpdef int codec_id(str name, str role) except -1

# The name of an id that was read from media. CorruptError when it is not a codec of that role.
cpdef str codec_name(int codec, str role)

# The slow half of the functions below; not to be called directly.
cdef object key_encode_other(uint8_t codec, object key, sj_key *out, sj_buffer *buffer, int *side)
cdef object key_decode_other(uint8_t codec, const sj_key *key)
cdef object value_encode_other(uint8_t codec, object value, sj_value *out, sj_buffer *buffer,
                               object container)
cdef object value_decode_other(uint8_t codec, const sj_value *value, object container)


# A key to look for, or a bound. `side` is 0: `out` is the key. Else no key of this codec equals the
# object (an int beyond 64 bits, 1.5 as an int, 2**53 + 1 as a float), which lies directly above
# (side = 1) or below (side = -1) `out` in order: a point lookup is then "absent"; a bound is sought
# from `out`, with `after` = (side > 0). TypeError for what the codec has no order with; ValueError
# for NaN.
cdef inline object key_find(uint8_t codec, object key, sj_key *out, sj_buffer *buffer, int *side):
    cdef int64_t number = 0
    cdef size_t size = 0
    side[0] = 0
    if codec == CODEC_INT:
        if sj_int_get(key, &number):
            out.word = <uint64_t>number ^ SJ_WORD_SIGN
            return None
    elif codec == CODEC_FLOAT:
        if PyFloat_CheckExact(key) and PyFloat_AS_DOUBLE(key) == PyFloat_AS_DOUBLE(key):
            out.word = sj_double_ordered(PyFloat_AS_DOUBLE(key))
            return None
    elif codec == CODEC_STR:
        if sj_ascii_get(key, &out.bytes, &size) and size <= SJ_KEY_BYTES_MAX:
            out.size = <uint32_t>size
            out.form_size = 0
            return None
    return key_encode_other(codec, key, out, buffer, side)


# A key to store. As key_find, but OverflowError or ValueError when no key of this codec equals it.
cdef inline object key_encode(uint8_t codec, object key, sj_key *out, sj_buffer *buffer):
    cdef int64_t number = 0
    cdef size_t size = 0
    if codec == CODEC_INT:
        if sj_int_get(key, &number):
            out.word = <uint64_t>number ^ SJ_WORD_SIGN
            return None
    elif codec == CODEC_FLOAT:
        if PyFloat_CheckExact(key) and PyFloat_AS_DOUBLE(key) == PyFloat_AS_DOUBLE(key):
            out.word = sj_double_ordered(PyFloat_AS_DOUBLE(key))
            return None
    elif codec == CODEC_STR:
        if sj_ascii_get(key, &out.bytes, &size) and size <= SJ_KEY_BYTES_MAX:
            out.size = <uint32_t>size
            out.form_size = 0
            return None
    return key_encode_other(codec, key, out, buffer, NULL)


# The object of a key that was read. CorruptError.
cdef inline object key_decode(uint8_t codec, const sj_key *key):
    if codec == CODEC_INT:
        return <int64_t>(key.word ^ SJ_WORD_SIGN)
    if codec == CODEC_STR:
        return text_decode(key.bytes, key.size)
    return key_decode_other(codec, key)


# A value to store in `container` (None: it goes nowhere). TypeError, ValueError, OverflowError.
# When it has references (buffer.references != 0), adopt(&value) comes next, inside the hold.
cdef inline object value_encode(uint8_t codec, object value, sj_value *out, sj_buffer *buffer,
                                object container):
    cdef int64_t number = 0
    buffer.references = 0
    if codec == CODEC_INT:
        if sj_int_get(value, &number):
            out.word = <uint64_t>number
            return None
    elif codec == CODEC_FLOAT:
        if PyFloat_CheckExact(value):
            out.word = sj_double_bits(PyFloat_AS_DOUBLE(value))
            return None
    return value_encode_other(codec, value, out, buffer, container)


# The object of a value that was read in `container`, in whose store references lead to structures.
# CorruptError; whatever `pickle` raises.
cdef inline object value_decode(uint8_t codec, const sj_value *value, object container):
    if codec == CODEC_INT:
        return <int64_t>value.word
    if codec == CODEC_FLOAT:
        return sj_bits_double(value.word)
    if codec == CODEC_BYTES:
        return PyBytes_FromStringAndSize(<const char *>value.bytes, <Py_ssize_t>value.size)
    return value_decode_other(codec, value, container)
