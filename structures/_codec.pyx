# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Key and value codecs: how Python objects become the words and bytes of a mapping, and come back.

A codec is chosen when a mapping is made, one for its keys and one for its values.

Keys. Order is the objects' order, and two objects are one key exactly if they are equal in Python.

=========  ==================================================  ==============================
codec      takes                                               gives back
=========  ==================================================  ==============================
``int``    int of 64 bits, and what equals one (1.0, True)      int
``float``  float but NaN, and what equals one (1, Fraction)      float; -0.0 as 0.0
``bytes``  bytes, bytearray, contiguous memoryview              bytes
``str``    str, also with lone surrogates                       str
``any``    None, bool, int, float, str, bytes, tuple            exactly what was stored
=========  ==================================================  ==============================

A key of another type is a TypeError, on a lookup as well as on a store, as in a sorted container; a
number that the codec cannot hold is absent on a lookup, and an error on a store.

Values. ``int`` (64 bits), ``float``, ``bytes`` and ``str`` give back their plain type. ``any``
gives back exactly what it was given (anycodec.py has the list), and refuses what it could not.
``pickle`` takes what the pickle module takes, and reading runs whatever code the bytes name: never
use it on a store that others can write to.
"""

from math import floor

from cpython.bytearray cimport PyByteArray_Check
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_Check,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_Check
from cpython.memoryview cimport PyMemoryView_Check
from cpython.number cimport PyIndex_Check
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_Check
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, isnan

from spacejmp.structures._anykey cimport anykey_decode, anykey_encode
from spacejmp.structures._anyvalue cimport anyvalue_decode, anyvalue_encode
from spacejmp.structures._codec_tools cimport (
    PyGC_Disable,
    PyGC_Enable,
    raise_corrupt,
    raise_too_large,
    sj_buffer_begin,
    sj_buffer_keep,
    text_encode,
)

cdef extern from *:
    object PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags)
    const int PyBUF_READ

__all__ = [
    "KEY_CODECS",
    "VALUE_CODECS",
    "codec_id",
    "codec_name",
    "decode_key",
    "decode_value",
    "encode_key",
    "encode_value",
    "find_key",
]

KEY_CODECS = ("int", "float", "bytes", "str", "any")
VALUE_CODECS = ("int", "float", "bytes", "str", "any", "pickle")

cdef tuple NAMES = ("none", "int", "float", "bytes", "str", "any", "pickle")
cdef object INT64_MAX = 0x7FFFFFFFFFFFFFFF
cdef object BEYOND = 0x10000000000000000


cdef tuple choices(str role):
    if role == "key":
        return KEY_CODECS
    if role == "value":
        return VALUE_CODECS
    raise ValueError(f"a codec is for a 'key' or a 'value', not for a {role!r}")


cpdef int codec_id(str name, str role) except -1:
    """Return the id of a codec by its name; `role` is "key" or "value"."""
    if name not in choices(role):
        raise ValueError(f"there is no {role} codec {name!r}: choose one of "
                         + ", ".join(choices(role)))
    return NAMES.index(name)


cpdef str codec_name(int codec, str role):
    """Return the name of a codec whose id was read from media; CorruptError if there is none."""
    if not 1 <= codec <= len(choices(role)):
        raise_corrupt(f"a container has the {role} codec {codec}, which does not exist: its root "
                      "is damaged, or was made by a later version")
    return NAMES[codec]


# --- keys --------------------------------------------------------------------------------------

cdef object key_encode_other(uint8_t codec, object key, sj_key *out, sj_buffer *buffer, int *side):
    """`side` NULL: for a store."""
    cdef uint32_t form_size = 0
    cdef size_t size = 0
    if codec == CODEC_INT:
        return key_int(key, out, side)
    if codec == CODEC_FLOAT:
        return key_float(key, out, side)
    keep = None
    out.form_size = 0
    if codec == CODEC_ANY:
        sj_buffer_begin(buffer)
        anykey_encode(key, buffer, &form_size)
        out.bytes = buffer.bytes
        out.size = <uint32_t>(buffer.size - form_size)
        out.form_size = form_size
        return sj_buffer_keep(buffer)
    if codec == CODEC_STR and PyUnicode_Check(key):
        keep = text_encode(key, &out.bytes, &size)
    elif codec == CODEC_BYTES:
        keep = bytes_find(key, "key", &out.bytes, &size)
    elif codec == CODEC_STR:
        raise_type("key", "str", key)
    else:
        raise ValueError(f"there is no key codec with the id {codec}")
    if size > SJ_KEY_BYTES_MAX:
        raise_too_large(f"a key of {size} bytes is longer than {SJ_KEY_BYTES_MAX}: use a shorter "
                        "key, such as a hash of it")
    out.size = <uint32_t>size
    return keep


cdef int raise_type(str role, str codec, object found) except -1:
    kind = type(found)
    name = kind.__qualname__ if kind.__module__ == "builtins" else (
        f"{kind.__module__}.{kind.__qualname__}")
    raise TypeError(f"a {role} of codec {codec!r} is needed, not {name}: convert it with "
                    f"{codec}(…), or make the container with {role}=\"any\" or another codec")


cdef object bytes_find(object found, str role, const uint8_t **place, size_t *size):
    """The bytes of a bytes-like object, without a copy when they cannot change."""
    cdef bytes copy
    if PyBytes_Check(found):
        place[0] = <const uint8_t *>PyBytes_AS_STRING(found)
        size[0] = <size_t>PyBytes_GET_SIZE(found)
        return None
    if not PyByteArray_Check(found) and not PyMemoryView_Check(found):
        raise_type(role, "bytes", found)
    if PyMemoryView_Check(found) and not found.c_contiguous:
        raise ValueError(f"a memoryview as {role} must be C-contiguous: convert it with bytes(…)")
    copy = bytes(found)
    place[0] = <const uint8_t *>PyBytes_AS_STRING(copy)
    size[0] = <size_t>PyBytes_GET_SIZE(copy)
    return copy


cdef object number_find(object key, str codec):
    """The key as an int or what compares and floors as a number; TypeError when it is none."""
    number = key
    if PyIndex_Check(key):
        number = key.__index__()
    elif not hasattr(type(key), "__float__"):
        raise_type("key", codec, key)
    if number != number:
        raise ValueError("NaN is not a key: it does not equal itself")
    return number


cdef object key_int(object key, sj_key *out, int *side):
    cdef int64_t word = 0
    cdef int beside = 0
    number = number_find(key, "int")
    if PyLong_Check(number):
        whole = number
    else:
        try:
            whole = floor(number)
        except OverflowError:  # an infinity
            whole = BEYOND if number > 0 else -BEYOND
        if whole != number:
            if side is NULL and -BEYOND < whole < BEYOND:
                raise ValueError(f"{key!r} is not a whole number: make the container with "
                                 "key=\"float\" or key=\"any\"")
            beside = 1
    if -INT64_MAX - 1 <= whole <= INT64_MAX:
        word = whole
    elif side is NULL:
        raise OverflowError(f"a key of {whole.bit_length()} bits does not fit in 64: make the "
                            "container with key=\"any\"")
    else:
        beside = 1 if whole > 0 else -1
        word = INT64_MAX if whole > 0 else -INT64_MAX - 1
    out.word = <uint64_t>word ^ SJ_WORD_SIGN
    if side is not NULL:
        side[0] = beside
    return None


cdef object key_float(object key, sj_key *out, int *side):
    cdef double real
    number = number_find(key, "float")
    try:
        real = float(number)
    except OverflowError:
        real = DBL_MAX if number > 0 else -INFINITY
    if real != number:
        if side is NULL:
            raise ValueError("a key is not exact as a float: make the container with key=\"any\", "
                             "or convert the key with float(…)")
        side[0] = 1 if number > real else -1
    out.word = sj_double_ordered(real)
    return None


cdef object key_decode_other(uint8_t codec, const sj_key *key):
    cdef double real
    if codec == CODEC_BYTES:
        return PyBytes_FromStringAndSize(<const char *>key.bytes, key.size)
    if codec == CODEC_ANY:
        return anykey_decode(key.bytes, key.size, key.bytes + key.size, key.form_size)
    if codec == CODEC_FLOAT:
        real = sj_ordered_double(key.word)
        if isnan(real):
            raise_corrupt("a stored key of codec 'float' is NaN: the segment is damaged, run "
                          "check()")
        return real
    raise ValueError(f"there is no key codec with the id {codec}")


# --- values ------------------------------------------------------------------------------------

cdef object value_encode_other(uint8_t codec, object value, sj_value *out, sj_buffer *buffer,
                               object container):
    cdef size_t size = 0
    if codec == CODEC_ANY:
        sj_buffer_begin(buffer)
        buffer.container = <PyObject *>container
        anyvalue_encode(value, buffer)
        out.bytes = buffer.bytes
        out.size = buffer.size
        return sj_buffer_keep(buffer)
    if codec == CODEC_INT or codec == CODEC_FLOAT:
        value_number(codec, value, out)
        return None
    if codec == CODEC_STR:
        if not PyUnicode_Check(value):
            raise_type("value", "str", value)
        keep = text_encode(value, &out.bytes, &size)
    elif codec == CODEC_BYTES:
        keep = bytes_find(value, "value", &out.bytes, &size)
    elif codec == CODEC_PICKLE:
        import pickle

        keep = pickle.dumps(value, 5)
        bytes_find(keep, "value", &out.bytes, &size)
    elif codec == CODEC_NONE:
        keep = None
        out.word = 0
    else:
        raise ValueError(f"there is no value codec with the id {codec}")
    out.size = size
    return keep


cdef int value_number(uint8_t codec, object value, sj_value *out) except -1:
    if codec == CODEC_FLOAT:
        if not hasattr(type(value), "__float__") and not PyIndex_Check(value):
            raise_type("value", "float", value)
        out.word = sj_double_bits(float(value))
        return 0
    if not PyIndex_Check(value):
        raise_type("value", "int", value)
    number = value.__index__()
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise OverflowError("a value does not fit in 64 bits: make the container with "
                            "value=\"any\"")
    out.word = <uint64_t><int64_t>number
    return 0


cdef object value_decode_other(uint8_t codec, const sj_value *value, object container):
    if codec == CODEC_ANY:
        return anyvalue_decode(value.bytes, value.size, container)
    if codec == CODEC_STR:
        return text_decode(value.bytes, value.size)
    if codec == CODEC_PICKLE:
        return unpickle(value)
    if codec == CODEC_NONE:
        return None
    raise ValueError(f"there is no value codec with the id {codec}")


cdef object unpickle(const sj_value *value):
    cdef bint collecting
    import pickle

    view = PyMemoryView_FromMemory(<char *>value.bytes, <Py_ssize_t>value.size, PyBUF_READ)
    collecting = PyGC_Disable()
    try:
        return pickle.loads(view)
    finally:
        view.release()
        if collecting:
            PyGC_Enable()


# --- for tests and tools -----------------------------------------------------------------------

def encode_key(str codec, key):
    """Encode a key to store: its word (an int) or its bytes, and its form."""
    cdef sj_key out
    cdef sj_buffer buffer
    cdef uint8_t number = codec_id(codec, "key")
    keep = key_encode(number, key, &out, &buffer)
    return _key_parts(number, &out)


def find_key(str codec, key):
    """Encode a key to look for: its word or bytes, and its side (see key_find in _codec.pxd)."""
    cdef sj_key out
    cdef sj_buffer buffer
    cdef int side = 0
    cdef uint8_t number = codec_id(codec, "key")
    keep = key_find(number, key, &out, &buffer, &side)
    return _key_parts(number, &out)[0], side


cdef tuple _key_parts(uint8_t codec, const sj_key *key):
    if codec_kind(codec) == SJ_ITEM_WORD:
        return key.word, b""
    return key.bytes[:key.size], key.bytes[key.size:key.size + key.form_size]


def decode_key(str codec, encoded, bytes form=b""):
    """Decode what encode_key() gave."""
    cdef sj_key key
    cdef uint8_t number = codec_id(codec, "key")
    cdef bytes whole
    if codec_kind(number) == SJ_ITEM_WORD:
        key.word = encoded
    else:
        whole = <bytes?>encoded + form
        key.bytes = <const uint8_t *>PyBytes_AS_STRING(whole)
        key.size = len(encoded)
        key.form_size = len(form)
    return key_decode(number, &key)


def encode_value(str codec, value):
    """Encode a value: its word (an int) or its bytes."""
    cdef sj_value out
    cdef sj_buffer buffer
    cdef uint8_t number = codec_id(codec, "value")
    keep = value_encode(number, value, &out, &buffer, None)
    if codec_kind(number) == SJ_ITEM_WORD:
        return out.word
    return out.bytes[:out.size]


def decode_value(str codec, encoded, container=None):
    """Decode what encode_value() gave; references lead to what is in the container's store."""
    cdef sj_value value
    cdef uint8_t number = codec_id(codec, "value")
    if codec_kind(number) == SJ_ITEM_WORD:
        value.word = encoded
    else:
        value.bytes = <const uint8_t *>PyBytes_AS_STRING(<bytes?>encoded)
        value.size = len(encoded)
    return value_decode(number, &value, container)
