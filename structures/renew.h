// SPDX-License-Identifier: Apache-2.0
/*
 * renew.h: numbers, and pairs of them, that an iterator gives from a batch, made anew in place.
 *
 *   batch   [ 4711 , 4712 , 4713 ]       of the last round; the loop has kept 4712
 *             ↓      ·      ↓            new digits into 4711 and 4713, which nobody else has
 *   batch   [ 5001 , 5002 , 5003 ]       5002 is a new object
 *
 * An object whose only reference is the batch's could be freed and made again at its address by
 * anyone at any time; this is the same in one step. enumerate() and zip() do it with their tuples.
 *
 * I1  Only objects of exact types, with one reference, and not those that Python shares (small
 *     ints). An int has room for as many digits as it has, and may get fewer. Neither kind keeps
 *     a hash.
 * I2  The layout of ints is the interpreter's own business: versions that are not known here, and
 *     builds without the GIL, get new objects.
 *
 * Everything here runs with the GIL, and none of it runs Python code.
 */
#ifndef SJ_STRUCTURES_RENEW_H
#define SJ_STRUCTURES_RENEW_H

#include "structures/codec_buffer.h"

#if PY_VERSION_HEX < 0x030E0000 && PYLONG_BITS_IN_DIGIT == 30 && !defined(Py_GIL_DISABLED) &&      \
    !defined(PYPY_VERSION)
#define SJ_RENEWS 1
#else
#define SJ_RENEWS 0
#endif

#define SJ_INT_SHARED 1024 /* ints up to it may be shared by all of Python */

#if SJ_RENEWS

static inline Py_ssize_t sj_int_digits(const PyLongObject *object)
{
#if PY_VERSION_HEX >= 0x030C0000
    return (Py_ssize_t)(object->long_value.lv_tag >> 3);
#else
    return Py_ABS(Py_SIZE(object));
#endif
}

/* 1 when the int, which nobody else has, has become `number`. */
static inline int sj_int_renew(PyObject *object, int64_t number)
{
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    Py_ssize_t digits = 1 + (size >> 30 != 0) + (size >> 60 != 0);
    if (Py_REFCNT(object) != 1 || !PyLong_CheckExact(object) || size <= SJ_INT_SHARED ||
        sj_int_digits((PyLongObject *)object) < digits)
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    PyLongObject *target = (PyLongObject *)object;
    digit *at = target->long_value.ob_digit;
    target->long_value.lv_tag = (uintptr_t)digits << 3 | (number < 0 ? 2 : 0);
#else
    digit *at = ((PyLongObject *)object)->ob_digit;
    Py_SET_SIZE(object, number < 0 ? -digits : digits);
#endif
    for (Py_ssize_t i = 0; i < digits; i++, size >>= 30)
        at[i] = (digit)(size & PyLong_MASK);
    return 1;
}

/* The same for a float. */
static inline int sj_float_renew(PyObject *object, double number)
{
    if (Py_REFCNT(object) != 1 || !PyFloat_CheckExact(object))
        return 0;
    ((PyFloatObject *)object)->ob_fval = number;
    return 1;
}

/* Whether a pair has no reference but the batch's, so that what is in it may be replaced. */
static inline int sj_pair_is_free(PyObject *object)
{
    return Py_REFCNT(object) == 1 && PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 2;
}

#else

static inline int sj_int_renew(PyObject *object, int64_t number)
{
    (void)object, (void)number;
    return 0;
}

static inline int sj_float_renew(PyObject *object, double number)
{
    (void)object, (void)number;
    return 0;
}

static inline int sj_pair_is_free(PyObject *object)
{
    (void)object;
    return 0;
}

#endif

/* `*place`, a reference that is replaced, becomes that number; -1 with MemoryError. `word` is the
 * number's two's complement, or the double's bits. */
static inline int sj_number_renew(PyObject **place, int is_float, uint64_t word)
{
    PyObject *old = *place, *fresh;
    if (is_float ? sj_float_renew(old, sj_bits_double(word)) : sj_int_renew(old, (int64_t)word))
        return 0;
    fresh =
        is_float ? PyFloat_FromDouble(sj_bits_double(word)) : PyLong_FromLongLong((int64_t)word);
    if (fresh == NULL)
        return -1;
    *place = fresh;
    Py_DECREF(old);
    return 0;
}

/* Item `at` of the list becomes that number. */
static inline int sj_list_number(PyObject *list, Py_ssize_t at, int is_float, uint64_t word)
{
    return sj_number_renew(&((PyListObject *)list)->ob_item[at], is_float, word);
}

/* Item `at` of the list becomes a pair of numbers. */
static inline int sj_list_pair(PyObject *list, Py_ssize_t at, int key_is_float, uint64_t key,
                               int value_is_float, uint64_t value)
{
    PyObject **place = &((PyListObject *)list)->ob_item[at], *old = *place;
    if (!sj_pair_is_free(old)) {
        PyObject *fresh = PyTuple_Pack(2, Py_None, Py_None);
        if (fresh == NULL)
            return -1;
        *place = fresh;
        Py_DECREF(old);
    }
    PyObject **item = ((PyTupleObject *)*place)->ob_item;
    if (sj_number_renew(&item[0], key_is_float, key) != 0)
        return -1;
    return sj_number_renew(&item[1], value_is_float, value);
}

#endif
