# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The `any` key codec: Python objects as bytes that compare as the objects do.

An encoded key is a tag and a payload; tags ascend as the types do. Inside a tuple each element is
prefix-free, so that memcmp decides at the first difference.

=========  ===============  ====================================================================
tag        what             payload
=========  ===============  ====================================================================
0x00       end of a tuple
0x10       None
0x14       -inf
0x15       int ≤ -2**63     as 0x2b, every byte inverted
0x16-0x1e  negative         as 0x22-0x2a, every byte inverted; tag 0x20 - 1 - exponent
0x1f       -1 < x < 0       as 0x21, every byte inverted
0x20       0
0x21       0 < x < 1        a byte 255 + exponent (exponent ≤ 0), digits
0x22-0x2a  1 ≤ x < 2**63    digits; tag 0x21 + exponent
0x2b       int ≥ 2**63      3 bytes: how many bytes (big endian); the magnitude, big endian
0x2c       inf
0x30       str              UTF-8 (surrogates may stand alone); at the top as it is, in a tuple with
0x38       bytes            0x00 written as 00 FF and a 00 at the end
0x40       tuple            elements, 0x00
=========  ===============  ====================================================================

A number is 0.d₁d₂d₃… × 128**exponent with d₁ ≠ 0 and the last digit ≠ 0; a digit's byte is
2·d + 1, of the last one 2·d. This is exact for every double and every int, and each number has one
encoding: 1, 1.0 and True are the same key.

What the key does not say goes to the form: two bits for each number of the key in reading order,
four to a byte, low bits first, trailing zero bytes left out. 0: an int if it is integral, else a
float; 1: a float; 2: a bool; 3: -0.0. So the form is empty for nearly all keys.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport INFINITY, floor, frexp, isinf, isnan, ldexp
from libc.stdint cimport INT64_MIN, int64_t
from libc.string cimport memchr, memcpy, memset

from spacejmp.structures._codec_tools cimport (
    PyGC_Disable,
    PyGC_Enable,
    raise_corrupt,
    raise_too_large,
    sj_buffer_begin,
    sj_buffer_drop,
    sj_buffer_put,
    sj_buffer_put_byte,
    sj_buffer_room,
    sj_double_bits,
    sj_int_get,
    text_decode,
    text_encode,
    uint64_t,
)


cdef extern from "structures/entry_layout.h" nogil:
    const size_t SJ_KEY_BYTES_MAX

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil

cdef enum:
    TAG_END = 0x00
    TAG_NONE = 0x10
    TAG_ZERO = 0x20
    TAG_STR = 0x30
    TAG_BYTES = 0x38
    TAG_TUPLE = 0x40

    LARGE = 11  # tag - TAG_ZERO of what does not fit 63 bits
    INFINITE = 12

    NATURAL = 0  # what a number was, in the form
    FLOAT = 1
    BOOL = 2
    MINUS_ZERO = 3

    DEPTH_MAX = 128
    DIGITS_MAX = 9
    EXPONENT_MIN = -153  # of the smallest double
    FORM_MAX = 65535

cdef struct Writer:
    sj_buffer *out
    sj_buffer form
    size_t numbers

cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    const uint8_t *form
    size_t form_size
    size_t numbers


cdef int anykey_encode(object key, sj_buffer *out, uint32_t *form_size) except -1:
    cdef Writer writer
    cdef const uint8_t *text = NULL
    cdef size_t size = 0
    cdef int64_t number = 0
    form_size[0] = 0
    if sj_int_get(key, &number) and number != INT64_MIN:
        return put_word(out, number)
    if PyUnicode_CheckExact(key):
        keep = text_encode(key, &text, &size)
        return put_whole(out, TAG_STR, text, size)
    if PyBytes_CheckExact(key):
        text = <const uint8_t *>PyBytes_AS_STRING(key)
        return put_whole(out, TAG_BYTES, text, <size_t>PyBytes_GET_SIZE(key))
    writer.out = out
    writer.numbers = 0
    sj_buffer_begin(&writer.form)
    try:
        put(&writer, key, 0)
        check_size(out.size)
        if writer.form.size > FORM_MAX:
            raise_too_large("a key holds too many floats and bools: at most 262140 numbers before "
                            "the last of them")
        form_size[0] = <uint32_t>writer.form.size
        sj_buffer_put(out, writer.form.bytes, writer.form.size)
    except:
        sj_buffer_drop(out)
        raise
    finally:
        sj_buffer_drop(&writer.form)
    return 0


cdef int check_size(size_t size) except -1:
    if size > SJ_KEY_BYTES_MAX:
        raise_too_large(f"a key is longer than {SJ_KEY_BYTES_MAX} bytes: use a shorter key, such "
                        "as a hash of it")
    return 0


cdef int put_whole(sj_buffer *out, uint8_t tag, const uint8_t *text, size_t size) except -1:
    check_size(size + 1)
    cdef uint8_t *to = sj_buffer_room(out, size + 1)
    to[0] = tag
    memcpy(to + 1, text, size)
    out.size += size + 1
    return 0


cdef int put(Writer *writer, object key, int depth) except -1:
    cdef int64_t number = 0
    if sj_int_get(key, &number):
        return put_int(writer, number, NATURAL)
    if PyUnicode_CheckExact(key) or PyBytes_CheckExact(key):
        return put_escaped(writer.out, key)
    if PyTuple_CheckExact(key):
        return put_tuple(writer, key, depth)
    if key is None:
        return sj_buffer_put_byte(writer.out, TAG_NONE)
    if key is True or key is False:
        return put_int(writer, key is True, BOOL)
    if PyFloat_CheckExact(key):
        return put_float(writer, PyFloat_AS_DOUBLE(key))
    if PyLong_CheckExact(key):
        return put_large(writer, key, NATURAL)
    raise_type(key)


cdef int raise_type(object key) except -1:
    from spacejmp.structures.anycodec import key_type_error

    raise key_type_error(key)


cdef int put_tuple(Writer *writer, tuple key, int depth) except -1:
    if depth >= DEPTH_MAX:
        raise ValueError(f"a key's tuples are nested deeper than {DEPTH_MAX}: use a flatter key")
    sj_buffer_put_byte(writer.out, TAG_TUPLE)
    for element in key:
        put(writer, element, depth + 1)
        check_size(writer.out.size)
    return sj_buffer_put_byte(writer.out, TAG_END)


cdef int put_escaped(sj_buffer *out, object key) except -1:
    cdef const uint8_t *text = NULL
    cdef const uint8_t *zero
    cdef size_t size = 0, run
    keep = None
    if PyBytes_CheckExact(key):
        text = <const uint8_t *>PyBytes_AS_STRING(key)
        size = <size_t>PyBytes_GET_SIZE(key)
        sj_buffer_put_byte(out, TAG_BYTES)
    else:
        keep = text_encode(key, &text, &size)
        sj_buffer_put_byte(out, TAG_STR)
    check_size(size)
    while size > 0:
        zero = <const uint8_t *>memchr(text, 0, size)
        run = size if zero is NULL else <size_t>(zero - text) + 1
        sj_buffer_put(out, text, run)
        if zero is not NULL:
            sj_buffer_put_byte(out, 0xFF)
        text += run
        size -= run
    return sj_buffer_put_byte(out, TAG_END)


cdef int put_mark(Writer *writer, uint8_t mark) except -1:
    """Counts a number and notes what it was."""
    cdef size_t place = writer.numbers >> 2
    cdef uint8_t shift = 2 * (writer.numbers & 3)
    cdef uint8_t *to
    writer.numbers += 1
    if mark == NATURAL:
        return 0
    if place >= writer.form.size:
        to = sj_buffer_room(&writer.form, place + 1 - writer.form.size)
        memset(to, 0, place + 1 - writer.form.size)
        writer.form.size = place + 1
    writer.form.bytes[place] |= mark << shift
    return 0


cdef int put_digits(sj_buffer *out, bint negative, int exponent, uint64_t digits) except -1:
    """Appends a number that is not 0; `digits` is its mantissa in 63 bits, d₁ at the top."""
    cdef uint8_t flip = 0xFF if negative else 0
    cdef uint8_t *to = sj_buffer_room(out, DIGITS_MAX + 2)
    cdef size_t size = 1
    cdef uint8_t digit
    if exponent > 0:
        to[0] = TAG_ZERO - 1 - exponent if negative else TAG_ZERO + 1 + exponent
    else:
        to[0] = TAG_ZERO - 1 if negative else TAG_ZERO + 1
        to[1] = <uint8_t>(255 + exponent) ^ flip
        size = 2
    while digits != 0:
        digit = <uint8_t>(digits >> 56)
        digits = (digits << 7) & <uint64_t>0x7FFFFFFFFFFFFFFF
        to[size] = <uint8_t>(digit << 1 | (digits != 0)) ^ flip
        size += 1
    out.size += size
    return 0


cdef int put_word(sj_buffer *out, int64_t number) except -1:
    """Appends an int whose magnitude has up to 63 bits."""
    cdef uint64_t magnitude = <uint64_t>number if number >= 0 else -<uint64_t>number
    cdef int exponent
    if number == 0:
        return sj_buffer_put_byte(out, TAG_ZERO)
    exponent = (64 - __builtin_clzll(magnitude) + 6) // 7
    return put_digits(out, number < 0, exponent, magnitude << (63 - 7 * exponent))


cdef int put_int(Writer *writer, int64_t number, uint8_t mark) except -1:
    if number == INT64_MIN:
        return put_large(writer, number, mark)
    put_mark(writer, mark)
    return put_word(writer.out, number)


cdef int put_large(Writer *writer, object number, uint8_t mark) except -1:
    cdef bint negative = number < 0
    magnitude = -number if negative else number
    cdef size_t size = (<size_t>magnitude.bit_length() + 7) // 8
    cdef size_t at
    check_size(size)
    cdef bytes raw = magnitude.to_bytes(size, "big")
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(raw)
    cdef uint8_t flip = 0xFF if negative else 0
    cdef uint8_t *to = sj_buffer_room(writer.out, size + 4)
    to[0] = TAG_ZERO - LARGE if negative else TAG_ZERO + LARGE
    to[1] = <uint8_t>(size >> 16) ^ flip
    to[2] = <uint8_t>(size >> 8) ^ flip
    to[3] = <uint8_t>size ^ flip
    for at in range(size):
        to[4 + at] = source[at] ^ flip
    writer.out.size += size + 4
    return put_mark(writer, mark)


cdef int put_float(Writer *writer, double number) except -1:
    cdef double magnitude = -number if number < 0 else number
    cdef double fraction
    cdef int binary = 0
    cdef int exponent
    if isnan(number):
        raise ValueError("NaN is not a key: it does not equal itself")
    if number == 0:
        put_mark(writer, MINUS_ZERO if sj_double_bits(number) != 0 else FLOAT)
        return sj_buffer_put_byte(writer.out, TAG_ZERO)
    if isinf(number):
        put_mark(writer, NATURAL)
        return sj_buffer_put_byte(
            writer.out, TAG_ZERO - INFINITE if number < 0 else TAG_ZERO + INFINITE)
    if magnitude >= 9223372036854775808.0:
        return put_large(writer, int(number), FLOAT)
    put_mark(writer, FLOAT if floor(number) == number else NATURAL)
    fraction = frexp(magnitude, &binary)
    exponent = (binary + 7 * 200 + 6) // 7 - 200
    return put_digits(writer.out, number < 0, exponent,
                      <uint64_t>ldexp(fraction, 53) << (10 + binary - 7 * exponent))


cdef object anykey_decode(const uint8_t *key, size_t size, const uint8_t *form, size_t form_size):
    cdef Reader reader
    cdef bint collecting
    if size == 0:
        damaged()
    if key[0] == TAG_STR and form_size == 0:
        return text_decode(key + 1, size - 1)
    if key[0] == TAG_BYTES and form_size == 0:
        return PyBytes_FromStringAndSize(<const char *>key + 1, <Py_ssize_t>size - 1)
    reader.at = key
    reader.end = key + size
    reader.form = form
    reader.form_size = form_size
    reader.numbers = 0
    if key[0] == TAG_TUPLE:
        # The caller may have a hold: no finaliser is to run in here.
        collecting = PyGC_Disable()
        try:
            result = get_tuple(&reader, 0)
        finally:
            if collecting:
                PyGC_Enable()
    else:
        result = get(&reader, 0)
    if reader.at != reader.end:
        damaged()
    if form_size > (reader.numbers + 3) >> 2 or (form_size > 0 and form[form_size - 1] == 0):
        damaged()
    if reader.numbers & 3 and form_size == (reader.numbers + 3) >> 2:
        if form[form_size - 1] >> (2 * (reader.numbers & 3)):
            damaged()
    return result


cdef int damaged() except -1:
    return raise_corrupt("a stored key of codec 'any' is malformed: the segment is damaged, "
                         "run check()")


cdef inline int need(Reader *reader, size_t count) except -1:
    if <size_t>(reader.end - reader.at) < count:
        damaged()
    return 0


cdef object get(Reader *reader, int depth):
    cdef uint8_t tag
    need(reader, 1)
    tag = reader.at[0]
    if tag == TAG_TUPLE:
        return get_tuple(reader, depth)
    reader.at += 1
    if tag == TAG_NONE:
        return None
    if tag == TAG_STR or tag == TAG_BYTES:
        if depth == 0:
            damaged()  # has a form, which no str or bytes has
        return get_escaped(reader, tag)
    if tag == TAG_ZERO:
        return make_int(0, False, get_mark(reader))
    if tag == TAG_ZERO + INFINITE or tag == TAG_ZERO - INFINITE:
        if get_mark(reader) != NATURAL:
            damaged()
        return INFINITY if tag > TAG_ZERO else -INFINITY
    if tag == TAG_ZERO + LARGE or tag == TAG_ZERO - LARGE:
        return get_large(reader, tag < TAG_ZERO)
    if TAG_ZERO - LARGE < tag < TAG_ZERO + LARGE:
        return get_digits(reader, tag)
    damaged()


cdef tuple get_tuple(Reader *reader, int depth):
    cdef list elements = []
    if depth >= DEPTH_MAX:
        damaged()
    reader.at += 1
    while True:
        need(reader, 1)
        if reader.at[0] == TAG_END:
            reader.at += 1
            return tuple(elements)
        elements.append(get(reader, depth + 1))


cdef object get_escaped(Reader *reader, uint8_t tag):
    """A str or bytes in a tuple: up to a 00 that no FF follows."""
    cdef const uint8_t *begin = reader.at
    cdef const uint8_t *zero = NULL
    cdef bint escapes = False
    cdef bytes raw
    while True:
        zero = <const uint8_t *>memchr(reader.at, 0, <size_t>(reader.end - reader.at))
        if zero is NULL:
            damaged()
        reader.at = zero + 1
        if reader.at == reader.end or reader.at[0] != 0xFF:
            break
        reader.at += 1
        escapes = True
    if not escapes:
        if tag == TAG_STR:
            return text_decode(begin, <size_t>(zero - begin))
        return PyBytes_FromStringAndSize(<const char *>begin, zero - begin)
    raw = PyBytes_FromStringAndSize(<const char *>begin, zero - begin).replace(b"\0\xff", b"\0")
    if tag == TAG_BYTES:
        return raw
    return text_decode(<const uint8_t *>PyBytes_AS_STRING(raw), <size_t>PyBytes_GET_SIZE(raw))


cdef inline uint8_t get_mark(Reader *reader) noexcept:
    cdef size_t number = reader.numbers
    reader.numbers += 1
    if number >> 2 >= reader.form_size:
        return NATURAL
    return reader.form[number >> 2] >> (2 * (number & 3)) & 3


cdef object make_int(uint64_t magnitude, bint negative, uint8_t mark):
    """A number of up to 63 bits as what its form says."""
    cdef int64_t number = -<int64_t>magnitude if negative else <int64_t>magnitude
    if mark == NATURAL:
        return number
    if mark == FLOAT and <uint64_t><double>magnitude == magnitude:
        return <double>number
    if mark == BOOL and not negative and magnitude <= 1:
        return magnitude == 1
    if mark == MINUS_ZERO and magnitude == 0:
        return -0.0
    damaged()


cdef object get_digits(Reader *reader, uint8_t tag):
    cdef bint negative = tag < TAG_ZERO
    cdef uint8_t flip = 0xFF if negative else 0
    cdef int exponent = (TAG_ZERO - 1 - tag) if negative else tag - (TAG_ZERO + 1)
    cdef uint64_t digits = 0
    cdef int shift = 56
    cdef uint8_t byte = 0
    cdef double number
    if exponent == 0:
        need(reader, 1)
        exponent = <int>(reader.at[0] ^ flip) - 255
        reader.at += 1
        if exponent < EXPONENT_MIN:
            damaged()
    while True:
        need(reader, 1)
        byte = reader.at[0] ^ flip
        reader.at += 1
        if shift < 0 or byte == 0 or (shift == 56 and byte == 1):
            damaged()
        digits |= <uint64_t>(byte >> 1) << shift
        shift -= 7
        if not byte & 1:
            break
    if exponent == DIGITS_MAX or (exponent > 0 and digits << (7 * exponent + 1) == 0):
        return make_int(digits >> (63 - 7 * exponent), negative, get_mark(reader))
    number = ldexp(<double>digits, 7 * exponent - 63)
    if (get_mark(reader) != NATURAL or <uint64_t><double>digits != digits
            or ldexp(number, 63 - 7 * exponent) != <double>digits):
        damaged()
    return -number if negative else number


cdef object get_large(Reader *reader, bint negative):
    cdef uint8_t flip = 0xFF if negative else 0
    cdef size_t size, at
    cdef uint8_t *to
    cdef uint8_t mark
    cdef double result = 0
    cdef bytes raw
    need(reader, 3)
    size = (<size_t>(reader.at[0] ^ flip) << 16 | <size_t>(reader.at[1] ^ flip) << 8
            | <size_t>(reader.at[2] ^ flip))
    reader.at += 3
    need(reader, size)
    if size < 8 or reader.at[0] ^ flip == 0 or (size == 8 and (reader.at[0] ^ flip) < 128):
        damaged()
    raw = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    to = <uint8_t *>PyBytes_AS_STRING(raw)
    for at in range(size):
        to[at] = reader.at[at] ^ flip
    reader.at += size
    number = int.from_bytes(raw, "big")
    if negative:
        number = -number
    mark = get_mark(reader)
    if mark == NATURAL:
        return number
    if mark == FLOAT and size <= 128:
        try:
            result = float(number)
        except OverflowError:
            damaged()
        if result == number:
            return result
    damaged()
