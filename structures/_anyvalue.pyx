# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The `any` value codec: Python objects as msgpack, read and written in place.

None, bool, int of 64 bits, float, str, bytes, list and dict are plain msgpack, byte for byte what
the msgpack package writes (str as UTF-8 in which surrogates may stand alone). All else is an
extension whose payload is again one msgpack value, of simpler types: the codes 1-6 below are made
here, the others by anycodec.py, which lists them all. What lies in a store itself is stored as a
reference (reference_layout.h).

Why not the msgpack package itself: its Packer turns a bytearray or memoryview into bytes and takes
a foreign ExtType, also with strict_types; a read would need a view of memory that only a hold
protects; and both take about three times as long.

Reading trusts nothing: lengths are compared with what is left; as each element of a container
takes at least a byte of its own, `budget` bounds the elements of all containers together by the
value's size, so that no memory is asked for which the bytes do not pay for.
"""

from cpython.bytearray cimport PyByteArray_CheckExact, PyByteArray_FromStringAndSize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.complex cimport PyComplex_CheckExact
from cpython.dict cimport PyDict_CheckExact
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_CheckExact
from cpython.ref cimport Py_INCREF, PyObject
from cpython.set cimport PyFrozenSet_CheckExact
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from spacejmp.structures._container cimport Referable
from spacejmp.structures._codec_tools cimport (
    PyGC_Disable,
    PyGC_Enable,
    raise_corrupt,
    raise_too_large,
    SJ_ANY_BYTES_MAX,
    sj_bits_double,
    sj_buffer_drop,
    sj_buffer_put,
    sj_buffer_put_byte,
    sj_buffer_room,
    sj_double_bits,
    sj_int_get,
    text_decode,
    text_encode,
)


cdef extern from "structures/reference_layout.h":
    enum:
        SJ_REFERENCE_CODE
        SJ_REFERENCE_BYTES

cdef extern from *:
    uint64_t __builtin_bswap64(uint64_t) nogil
    bint PyAnySet_CheckExact(object)

cdef enum:
    EXT_INT = 1  # beyond 64 bits: two's complement, big endian, as bytes
    EXT_COMPLEX = 2  # [real, imaginary]
    EXT_BYTEARRAY = 3  # bytes
    EXT_TUPLE = 4  # array
    EXT_SET = 5  # array
    EXT_FROZENSET = 6  # array
    EXT_PYTHON = 16  # from here on: anycodec.py
    EXT_REFERENCE = SJ_REFERENCE_CODE  # to a structure of the same store

    DEPTH_MAX = 256  # containers and extensions in each other

cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    size_t budget  # elements that containers may still have
    PyObject *container


cdef tuple python = None


cdef tuple python_half():
    """anycodec.py's reduce and build, imported when first needed."""
    global python
    if python is None:
        from spacejmp.structures.anycodec import build, reduce

        python = (reduce, build)
    return python


# --- writing -----------------------------------------------------------------------------------

cdef int anyvalue_encode(object value, sj_buffer *out) except -1:
    cdef int64_t number = 0
    if sj_int_get(value, &number):
        return put_int(number, out)
    if PyUnicode_CheckExact(value):
        return put_text(value, out)
    try:
        return put(value, out, 0)
    except:
        sj_buffer_drop(out)
        raise


cdef int put(object value, sj_buffer *out, int depth) except -1:
    cdef int64_t number = 0
    if sj_int_get(value, &number):
        return put_int(number, out)
    if PyUnicode_CheckExact(value):
        return put_text(value, out)
    if value is None:
        return sj_buffer_put_byte(out, 0xC0)
    if value is True or value is False:
        return sj_buffer_put_byte(out, 0xC3 if value is True else 0xC2)
    if PyFloat_CheckExact(value):
        return put_head(out, 0xCB, sj_double_bits(PyFloat_AS_DOUBLE(value)), 8)
    if PyBytes_CheckExact(value):
        return put_bytes(<const uint8_t *>PyBytes_AS_STRING(value),
                         <size_t>PyBytes_GET_SIZE(value), out)
    check_depth(depth)
    if PyDict_CheckExact(value):
        return put_dict(value, out, depth)
    if PyList_CheckExact(value):
        return put_list(value, out, depth)
    if PyLong_CheckExact(value):
        return put_large(value, out)
    return put_extension(value, out, depth)


cdef int put_head(sj_buffer *out, uint8_t tag, uint64_t number, size_t size) except -1:
    """Appends a tag and a number of `size` bytes, big endian."""
    cdef uint8_t *to = sj_buffer_room(out, 9)
    number = __builtin_bswap64(number << (64 - 8 * size))
    to[0] = tag
    memcpy(to + 1, &number, 8)
    out.size += size + 1
    return 0


cdef int put_int(int64_t number, sj_buffer *out) except -1:
    if -32 <= number < 128:
        return sj_buffer_put_byte(out, <uint8_t>number)
    if number >= 0:
        return put_unsigned(<uint64_t>number, out)
    if number >= -128:
        return put_head(out, 0xD0, <uint64_t>number, 1)
    if number >= -32768:
        return put_head(out, 0xD1, <uint64_t>number, 2)
    if number >= -2147483648:
        return put_head(out, 0xD2, <uint64_t>number, 4)
    return put_head(out, 0xD3, <uint64_t>number, 8)


cdef int put_unsigned(uint64_t number, sj_buffer *out) except -1:
    if number < 0x100:
        return put_head(out, 0xCC, number, 1)
    if number < 0x10000:
        return put_head(out, 0xCD, number, 2)
    if number < 0x100000000:
        return put_head(out, 0xCE, number, 4)
    return put_head(out, 0xCF, number, 8)


cdef int put_length(sj_buffer *out, size_t size, uint8_t small, size_t small_max, uint8_t tag8,
                    uint8_t tag16) except -1:
    """The head of what has a length: inside the tag, or in 1 (if there is a `tag8`), 2, 4 bytes."""
    if size <= small_max and small:
        return sj_buffer_put_byte(out, small | <uint8_t>size)
    if tag8 and size < 0x100:
        return put_head(out, tag8, size, 1)
    if size < 0x10000:
        return put_head(out, tag16, size, 2)
    if size > SJ_ANY_BYTES_MAX:
        raise_too_large("a value of codec 'any' is larger than 4 GiB: use a container of bytes or "
                        "an array")
    return put_head(out, tag16 + 1, size, 4)


cdef int put_text(object value, sj_buffer *out) except -1:
    cdef const uint8_t *text = NULL
    cdef size_t size = 0
    keep = text_encode(value, &text, &size)
    put_length(out, size, 0xA0, 31, 0xD9, 0xDA)
    return sj_buffer_put(out, text, size)


cdef int put_bytes(const uint8_t *raw, size_t size, sj_buffer *out) except -1:
    put_length(out, size, 0, 0, 0xC4, 0xC5)
    return sj_buffer_put(out, raw, size)


cdef int put_large(object number, sj_buffer *out) except -1:
    if number > 0 and number.bit_length() <= 64:
        return put_unsigned(number, out)
    cdef bytes raw = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    cdef size_t start = begin_extension(out)
    put_bytes(<const uint8_t *>PyBytes_AS_STRING(raw), <size_t>PyBytes_GET_SIZE(raw), out)
    return end_extension(out, start, EXT_INT)


cdef int check_depth(int depth) except -1:
    if depth >= DEPTH_MAX:
        raise ValueError(f"a value is nested deeper than {DEPTH_MAX}, or contains itself: store "
                         "its parts apart, or flatten it")
    return 0


cdef int check_count(bint same) except -1:
    if not same:
        raise RuntimeError("a container changed its size while it was being stored: another thread "
                           "works on it, store a copy")
    return 0


cdef int put_list(list value, sj_buffer *out, int depth) except -1:
    cdef size_t size = <size_t>len(value), done = 0
    put_length(out, size, 0x90, 15, 0, 0xDC)
    for element in value:
        put(element, out, depth + 1)
        done += 1
    return check_count(done == size)


cdef int put_elements(object value, sj_buffer *out, int depth) except -1:
    cdef size_t size = <size_t>len(value), done = 0
    put_length(out, size, 0x90, 15, 0, 0xDC)
    for element in value:
        put(element, out, depth + 1)
        done += 1
    return check_count(done == size)


cdef int put_dict(dict value, sj_buffer *out, int depth) except -1:
    cdef size_t size = <size_t>len(value), done = 0
    put_length(out, size, 0x80, 15, 0, 0xDE)
    for key, element in value.items():
        put(key, out, depth + 1)
        put(element, out, depth + 1)
        done += 1
    return check_count(done == size)


cdef int put_buffer(object value, sj_buffer *out) except -1:
    """A payload that is raw memory, of a bytearray or an array."""
    cdef Py_buffer view
    PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
    try:
        put_bytes(<const uint8_t *>view.buf, <size_t>view.len, out)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef int put_extension(object value, sj_buffer *out, int depth) except -1:
    cdef size_t start = begin_extension(out)
    cdef uint8_t code
    if PyTuple_CheckExact(value):
        code = EXT_TUPLE
        put_elements(value, out, depth)
    elif PyAnySet_CheckExact(value):
        code = EXT_FROZENSET if PyFrozenSet_CheckExact(value) else EXT_SET
        put_elements(value, out, depth)
    elif PyByteArray_CheckExact(value):
        code = EXT_BYTEARRAY
        put_buffer(value, out)
    elif PyComplex_CheckExact(value):
        code = EXT_COMPLEX
        put([value.real, value.imag], out, depth + 1)
    elif isinstance(value, Referable):
        code = EXT_REFERENCE
        put_reference(value, out)
    else:
        code, parts = python_half()[0](value)
        put_parts(parts, out, depth)
    return end_extension(out, start, code)


cdef int put_reference(Referable value, sj_buffer *out) except -1:
    """The place of what lies in the same store."""
    container = None if out.container is NULL else <object>out.container
    if not isinstance(container, Referable):
        raise TypeError(f"{value!r} lies in a store: it can be referred to from there alone")
    value.check_same_store(<Referable>container)
    out.references += 1
    sj_buffer_put(out, &value.head, 8)
    return sj_buffer_put(out, &value.serial, 4)


cdef int put_parts(object parts, sj_buffer *out, int depth) except -1:
    """What reduce() gave; a memoryview at the end of its list is raw memory."""
    cdef list several
    if not PyList_CheckExact(parts):
        return put(parts, out, depth + 1)
    several = parts
    check_depth(depth + 1)
    put_length(out, <size_t>len(several), 0x90, 15, 0, 0xDC)
    for part in several:
        if isinstance(part, memoryview):
            put_buffer(part, out)
        else:
            put(part, out, depth + 2)
    return 0


cdef size_t begin_extension(sj_buffer *out) except? 0:
    """Leaves room for the head of most extensions; gives the place for end_extension()."""
    cdef size_t start = out.size
    sj_buffer_room(out, 3)
    out.size += 3
    return start


cdef int end_extension(sj_buffer *out, size_t start, uint8_t code) except -1:
    """Writes the extension's head, now that its payload is there and its size known."""
    cdef size_t size = out.size - start - 3
    cdef size_t head = 3
    cdef uint8_t *at
    cdef size_t place
    if size == 1 or size == 2 or size == 4 or size == 8 or size == 16:
        head = 2
    elif size >= 0x10000:
        head = 6
    elif size >= 0x100:
        head = 4
    if size > SJ_ANY_BYTES_MAX:
        raise_too_large("a value of codec 'any' is larger than 4 GiB: use a container of bytes or "
                        "an array")
    sj_buffer_room(out, 3)
    at = out.bytes + start
    if head != 3:
        memmove(at + head, at + 3, size)
    if head == 2:
        at[0] = 0xD4 + (size > 1) + (size > 2) + (size > 4) + (size > 8)
    else:
        at[0] = 0xC7 + (head > 3) + (head > 4)
    out.size = start + head + size
    for place in range(1, head):
        at[place] = <uint8_t>((size << 8 | code) >> (8 * (head - 1 - place)))
    return 0


# --- reading -----------------------------------------------------------------------------------

cdef object anyvalue_decode(const uint8_t *value, size_t size, object container):
    cdef Reader reader
    reader.container = <PyObject *>container
    cdef bint collecting
    reader.at = value
    reader.end = value + size
    reader.budget = size
    if size == 0:
        damaged()
    if is_scalar(value[0]):
        result = get_scalar(&reader)
        if reader.at != reader.end:
            damaged()
        return result
    collecting = PyGC_Disable()
    try:
        result = get(&reader, 0)
        if reader.at != reader.end:
            damaged()
        return result
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise_damaged(error)
    finally:
        if collecting:
            PyGC_Enable()


cdef int damaged() except -1:
    return raise_corrupt("a stored value of codec 'any' is malformed: the segment is damaged, "
                         "run check()")


cdef int raise_damaged(error) except -1:
    """What a damaged value made the builders of objects raise, as CorruptError."""
    from spacejmp.persistence.errors import CorruptError

    if isinstance(error, CorruptError):
        raise error
    raise CorruptError(f"a stored value of codec 'any' cannot be rebuilt ({error}): the segment is "
                       "damaged, run check()") from error


cdef inline bint is_scalar(uint8_t tag) noexcept:
    """Whether the tag begins no container or extension: nothing collected, no call of Python."""
    if tag < 0x80 or tag >= 0xE0 or 0xA0 <= tag < 0xC7:
        return True
    return 0xCA <= tag < 0xD4 or 0xD9 <= tag < 0xDC


cdef inline int need(Reader *reader, size_t count) except -1:
    if <size_t>(reader.end - reader.at) < count:
        damaged()
    return 0


cdef uint64_t get_number(Reader *reader, size_t size) except? 0:
    """A big endian number of 1, 2, 4 or 8 bytes."""
    cdef uint64_t number = 0
    need(reader, size)
    memcpy(&number, reader.at, size)
    reader.at += size
    return __builtin_bswap64(number) >> (64 - 8 * size)


cdef object get_scalar(Reader *reader):
    cdef uint8_t tag
    need(reader, 1)
    tag = reader.at[0]
    reader.at += 1
    if tag < 0x80 or tag >= 0xE0:
        return <int8_t>tag
    if tag < 0xC0:
        return get_text(reader, tag & 31)
    if tag == 0xC0:
        return None
    if tag == 0xC2 or tag == 0xC3:
        return tag == 0xC3
    if 0xC4 <= tag <= 0xC6:
        return get_bytes(reader, get_number(reader, <size_t>1 << (tag - 0xC4)))
    if tag == 0xCA:
        return get_float32(reader)
    if tag == 0xCB:
        return sj_bits_double(get_number(reader, 8))
    if 0xCC <= tag <= 0xCF:
        return get_number(reader, <size_t>1 << (tag - 0xCC))
    if tag == 0xD0:
        return <int8_t>get_number(reader, 1)
    if tag == 0xD1:
        return <int16_t>get_number(reader, 2)
    if tag == 0xD2:
        return <int32_t>get_number(reader, 4)
    if tag == 0xD3:
        return <int64_t>get_number(reader, 8)
    if 0xD9 <= tag <= 0xDB:
        return get_text(reader, get_number(reader, <size_t>1 << (tag - 0xD9)))
    damaged()


cdef str get_text(Reader *reader, size_t size):
    need(reader, size)
    reader.at += size
    return text_decode(reader.at - size, size)


cdef bytes get_bytes(Reader *reader, size_t size):
    need(reader, size)
    reader.at += size
    return PyBytes_FromStringAndSize(<const char *>reader.at - size, <Py_ssize_t>size)


cdef object get_float32(Reader *reader):
    cdef uint32_t bits = <uint32_t>get_number(reader, 4)
    cdef float number = 0
    memcpy(&number, &bits, 4)
    return <double>number


cdef object get(Reader *reader, int depth):
    cdef uint8_t tag
    need(reader, 1)
    tag = reader.at[0]
    if is_scalar(tag):
        return get_scalar(reader)
    if depth >= DEPTH_MAX:
        damaged()
    if tag < 0x90 or tag >= 0xDE:
        return get_dict(reader, depth)
    if tag < 0xA0 or tag >= 0xDC:
        return get_list(reader, get_count(reader), depth)
    return get_extension(reader, depth)


cdef size_t get_count(Reader *reader) except? 0:
    """The head of an array; its elements are taken from the budget."""
    cdef uint8_t tag
    cdef size_t count = 0
    need(reader, 1)
    tag = reader.at[0]
    reader.at += 1
    if 0x90 <= tag < 0xA0:
        count = tag & 15
    elif tag == 0xDC or tag == 0xDD:
        count = get_number(reader, 2 if tag == 0xDC else 4)
    else:
        damaged()
    return spend(reader, count)


cdef size_t spend(Reader *reader, size_t count) except? 0:
    if count > reader.budget:
        damaged()
    reader.budget -= count
    return count


cdef list get_list(Reader *reader, size_t count, int depth):
    cdef list elements = PyList_New(<Py_ssize_t>count)
    cdef size_t place
    for place in range(count):
        element = get(reader, depth + 1)
        Py_INCREF(element)
        PyList_SET_ITEM(elements, <Py_ssize_t>place, element)
    return elements


cdef set get_set(Reader *reader, size_t count, int depth):
    cdef set elements = set()
    cdef size_t place
    for place in range(count):
        elements.add(get(reader, depth + 1))
    return elements


cdef dict get_dict(Reader *reader, int depth):
    cdef dict elements = {}
    cdef uint8_t tag = reader.at[0]
    cdef size_t count = tag & 15
    cdef size_t place
    reader.at += 1
    if tag >= 0xDE:
        count = get_number(reader, 2 if tag == 0xDE else 4)
    spend(reader, 2 * count)
    for place in range(count):
        key = get(reader, depth + 1)
        elements[key] = get(reader, depth + 1)
    return elements


cdef object get_extension(Reader *reader, int depth):
    cdef uint8_t tag = reader.at[0]
    cdef size_t size
    cdef uint8_t code
    cdef const uint8_t *end = reader.end
    reader.at += 1
    if tag >= 0xD4:
        size = <size_t>1 << (tag - 0xD4)
    else:
        size = get_number(reader, <size_t>1 << (tag - 0xC7))
    code = <uint8_t>get_number(reader, 1)
    need(reader, size)
    reader.end = reader.at + size
    result = get_payload(reader, code, depth)
    if reader.at != reader.end:
        damaged()
    reader.end = end
    return result


cdef object get_reference(Reader *reader):
    cdef uint64_t head = 0
    cdef uint32_t serial = 0
    container = <object>reader.container
    if reader.end - reader.at != SJ_REFERENCE_BYTES or container is None:
        damaged()
    memcpy(&head, reader.at, 8)
    memcpy(&serial, reader.at + 8, 4)
    reader.at = reader.end
    return container.store._at(head, serial)


cdef object get_payload(Reader *reader, uint8_t code, int depth):
    if code == EXT_REFERENCE:
        return get_reference(reader)
    if code == EXT_TUPLE:
        return tuple(get_list(reader, get_count(reader), depth))
    if code == EXT_SET:
        return get_set(reader, get_count(reader), depth)
    if code == EXT_FROZENSET:
        return frozenset(get_set(reader, get_count(reader), depth))
    parts = get(reader, depth + 1)
    if code == EXT_INT and PyBytes_CheckExact(parts):
        return int.from_bytes(parts, "big", signed=True)
    if code == EXT_BYTEARRAY and PyBytes_CheckExact(parts):
        return PyByteArray_FromStringAndSize(PyBytes_AS_STRING(parts), PyBytes_GET_SIZE(parts))
    if code == EXT_COMPLEX:
        real, imaginary = parts
        if not (PyFloat_CheckExact(real) and PyFloat_CheckExact(imaginary)):
            damaged()
        return complex(real, imaginary)
    if code < EXT_PYTHON or code > 127:
        damaged()
    return python_half()[1](code, parts)
