# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""What the codec modules share: buffers, damage, text, and a pause of the collector. No module."""

from libc.stddef cimport size_t
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "structures/codec_buffer.h" nogil:
    const uint64_t SJ_WORD_SIGN
    const uint64_t SJ_ANY_BYTES_MAX

    struct sj_buffer:
        uint8_t *bytes
        size_t size
        PyObject *container
        uint32_t references

    void sj_buffer_begin(sj_buffer *buffer)


cdef extern from "structures/codec_buffer.h":
    uint8_t *sj_buffer_room(sj_buffer *buffer, size_t count) except NULL
    int sj_buffer_put(sj_buffer *buffer, const void *bytes, size_t count) except -1
    int sj_buffer_put_byte(sj_buffer *buffer, uint8_t byte) except -1
    object sj_buffer_keep(sj_buffer *buffer)
    void sj_buffer_drop(sj_buffer *buffer)
    bint sj_int_get(object number, int64_t *word)
    bint sj_ascii_get(object text, const uint8_t **bytes, size_t *size)
    str sj_text_make(const uint8_t *bytes, size_t size)
    uint64_t sj_double_bits(double number) nogil
    double sj_bits_double(uint64_t bits) nogil
    uint64_t sj_double_ordered(double number) nogil
    double sj_ordered_double(uint64_t word) nogil


cdef extern from *:
    bint PyGC_Disable()
    bint PyGC_Enable()
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bytes PyUnicode_AsEncodedString(object text, const char *encoding, const char *errors)


cdef inline int raise_corrupt(str message) except -1:
    from spacejmp.persistence.errors import CorruptError

    raise CorruptError(message)


cdef inline int raise_too_large(str message) except -1:
    from spacejmp.persistence.errors import TooLargeError

    raise TooLargeError(message)


cdef inline str text_decode(const uint8_t *text, size_t size):
    """UTF-8 in which surrogates may stand alone, as a str."""
    try:
        return sj_text_make(text, size)
    except UnicodeDecodeError:
        raise_corrupt("a stored str is not UTF-8: the segment is damaged, run check()")


cdef inline object text_encode(object text, const uint8_t **place, size_t *size):
    """Finds the UTF-8 bytes of a str, without a copy if it can; keep `text` and what this gives."""
    cdef Py_ssize_t count = 0
    cdef bytes owner
    if sj_ascii_get(text, place, size):
        return None
    try:
        place[0] = <const uint8_t *>PyUnicode_AsUTF8AndSize(text, &count)
        size[0] = <size_t>count
        return None
    except UnicodeEncodeError:
        owner = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass")
        place[0] = <const uint8_t *><const char *>owner
        size[0] = <size_t>len(owner)
        return owner
