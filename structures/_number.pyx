# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_number.pyx: numbers as C has them, from and to Python objects."""

from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport (
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)
from libc.string cimport memcpy

from operator import index


cdef extern from "structures/record_layout.h" nogil:
    enum:
        SJ_FIELD_I64
        SJ_FIELD_U8
        SJ_FIELD_F32
        SJ_FIELD_F64
        SJ_FIELD_BOOL


cdef object wrong_value(object what, object value):
    return TypeError(f"{what.where}: expected {what.type}, found {type(value).__name__}")


cdef object beyond(object what, object value):
    return OverflowError(f"{what.where}: {value} is out of the range of {what.type}")


cdef int encode_real(uint8_t code, object value, char *out, object what) except -1:
    cdef double real
    cdef float single
    if not PyFloat_CheckExact(value) and isinstance(value, (str, bytes, bytearray)):
        raise wrong_value(what, value)
    try:
        real = float(value)
    except (TypeError, ValueError):
        raise wrong_value(what, value) from None
    except OverflowError:
        raise beyond(what, value) from None
    if code == SJ_FIELD_F64:
        memcpy(out, &real, 8)
        return 0
    single = <float>real
    if (<double>single) - (<double>single) != 0 and real - real == 0:  # became infinite
        raise beyond(what, value)
    memcpy(out, &single, 4)
    return 0


cdef bint bool_of(object value, object what) except -1:
    if value is True or value is False:
        return value is True
    if getattr(value, "dtype", None) == bool or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise wrong_value(what, value)


cdef int number_encode(uint8_t code, uint32_t each, object value, char *out,
                       object what) except -1:
    cdef int64_t word = 0
    cdef uint64_t unsigned = 0
    cdef uint32_t bits = 8 * each
    if code == SJ_FIELD_F64 or code == SJ_FIELD_F32:
        return encode_real(code, value, out, what)
    if code == SJ_FIELD_BOOL:
        out[0] = bool_of(value, what)
        return 0
    if not PyLong_CheckExact(value):
        try:
            value = index(value)
        except TypeError:
            raise wrong_value(what, value) from None
    try:
        if code <= SJ_FIELD_I64:
            word = value
            if bits < 64 and (word >> (bits - 1)) != (word >> 63):
                raise OverflowError
        else:
            unsigned = value
            word = <int64_t>unsigned
            if bits < 64 and unsigned >> bits != 0:
                raise OverflowError
    except OverflowError:
        raise beyond(what, value) from None
    memcpy(out, &word, each)  # little endian
    return 0


cdef object number_decode(uint8_t code, uint32_t each, const char *at):
    if code == SJ_FIELD_I64:
        return (<const int64_t *>at)[0]
    if code == SJ_FIELD_F64:
        return (<const double *>at)[0]
    if code == SJ_FIELD_F32:
        return <double>(<const float *>at)[0]
    if code == SJ_FIELD_BOOL:
        return at[0] != 0
    if code < SJ_FIELD_U8:
        if each == 4:
            return (<const int32_t *>at)[0]
        return (<const int16_t *>at)[0] if each == 2 else <int>(<const int8_t *>at)[0]
    if each == 8:
        return (<const uint64_t *>at)[0]
    if each == 4:
        return (<const uint32_t *>at)[0]
    return (<const uint16_t *>at)[0] if each == 2 else <int>(<const uint8_t *>at)[0]
