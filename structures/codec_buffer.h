// SPDX-License-Identifier: Apache-2.0
/*
 * codec_buffer.h: the memory that an encoding is written to, and looks inside Python objects.
 *
 * A buffer lies on its user's C stack. What is short stays in `small`; what outgrows it moves to a
 * bytes object, which grows in place and which the user keeps alive while it reads the bytes.
 *
 *   sj_buffer_begin → put, room … → sj_buffer_keep (good while the buffer and what it gives live)
 *                                 → sj_buffer_drop (after a failure)
 *
 * Everything here runs with the GIL; what fails has set a Python exception.
 */
#ifndef SJ_STRUCTURES_CODEC_BUFFER_H
#define SJ_STRUCTURES_CODEC_BUFFER_H

#include <Python.h>
#if PY_VERSION_HEX < 0x030B0000
#include <longintrepr.h>
#endif
#include <stdint.h>
#include <string.h>

#define SJ_BUFFER_SMALL  96
#define SJ_WORD_SIGN     (1ull << 63)  /* xor: signed words in the order of unsigned ones */
#define SJ_ANY_BYTES_MAX 0xffffffffull /* of a value of codec `any`: msgpack's lengths end here */

struct sj_buffer {
    uint8_t *bytes;
    size_t size; /* bytes written */
    size_t capacity;
    PyObject *owner;     /* the bytes object that `bytes` lies in; NULL: it is `small` */
    PyObject *container; /* that the value goes to (borrowed); NULL: it can have no references */
    uint32_t references; /* in the value */
    uint8_t small[SJ_BUFFER_SMALL];
};

static inline void sj_buffer_begin(struct sj_buffer *buffer)
{
    buffer->bytes = buffer->small;
    buffer->size = 0;
    buffer->capacity = SJ_BUFFER_SMALL;
    buffer->owner = NULL;
    buffer->container = NULL;
    buffer->references = 0;
}

/* Makes room for `extra` more bytes. -1 with MemoryError; the buffer then owns nothing. */
static __attribute__((noinline, unused)) int sj_buffer_grow(struct sj_buffer *buffer, size_t extra)
{
    if (extra > (size_t)PY_SSIZE_T_MAX / 4 || buffer->size > (size_t)PY_SSIZE_T_MAX / 4) {
        Py_CLEAR(buffer->owner);
        sj_buffer_begin(buffer);
        PyErr_NoMemory();
        return -1;
    }
    size_t capacity = buffer->size + extra;
    capacity += capacity / 2 + 64;
    if (buffer->owner == NULL) {
        buffer->owner = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)capacity);
        if (buffer->owner != NULL)
            memcpy(PyBytes_AS_STRING(buffer->owner), buffer->small, buffer->size);
    } else {
        _PyBytes_Resize(&buffer->owner, (Py_ssize_t)capacity);
    }
    if (buffer->owner == NULL) {
        sj_buffer_begin(buffer);
        return -1;
    }
    buffer->bytes = (uint8_t *)PyBytes_AS_STRING(buffer->owner);
    buffer->capacity = capacity;
    return 0;
}

/* Where the next `count` bytes go; the caller adds to `size` what it has written. NULL with
 * MemoryError. */
static inline uint8_t *sj_buffer_room(struct sj_buffer *buffer, size_t count)
{
    if (buffer->capacity - buffer->size < count && sj_buffer_grow(buffer, count) != 0)
        return NULL;
    return buffer->bytes + buffer->size;
}

/* Appends bytes. -1 with MemoryError. */
static inline int sj_buffer_put(struct sj_buffer *buffer, const void *bytes, size_t count)
{
    uint8_t *target = sj_buffer_room(buffer, count);
    if (target == NULL)
        return -1;
    memcpy(target, bytes, count);
    buffer->size += count;
    return 0;
}

static inline int sj_buffer_put_byte(struct sj_buffer *buffer, uint8_t byte)
{
    return sj_buffer_put(buffer, &byte, 1);
}

/* A new reference to what holds the bytes: keep it, and the buffer, while the bytes are used. */
static inline PyObject *sj_buffer_keep(struct sj_buffer *buffer)
{
    PyObject *owner = buffer->owner == NULL ? Py_None : buffer->owner;
    if (buffer->owner == NULL)
        Py_INCREF(owner);
    buffer->owner = NULL;
    return owner;
}

static inline void sj_buffer_drop(struct sj_buffer *buffer)
{
    Py_CLEAR(buffer->owner);
}

/* 1 and the number when `object` is an exact int of 64 bits, else 0. Sets no exception. */
static inline int sj_int_get(PyObject *object, int64_t *number)
{
    if (!PyLong_CheckExact(object))
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((const PyLongObject *)object)) {
        *number = PyUnstable_Long_CompactValue((const PyLongObject *)object);
        return 1;
    }
#elif PYLONG_BITS_IN_DIGIT == 30
    Py_ssize_t digits = Py_ABS(Py_SIZE(object));
    const digit *digit_of = ((PyLongObject *)object)->ob_digit;
    if (digits <= 2 || (digits == 3 && digit_of[2] < 8)) { /* below 2 ** 63 */
        uint64_t size = 0;
        while (digits-- > 0)
            size = size << PyLong_SHIFT | digit_of[digits];
        *number = Py_SIZE(object) < 0 ? -(int64_t)size : (int64_t)size;
        return 1;
    }
#endif
    int overflow;
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0;
}

/* 1 and its bytes when `object` is an exact, plain ASCII str, else 0. Sets no exception. */
static inline int sj_ascii_get(PyObject *object, const uint8_t **bytes, size_t *size)
{
    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_COMPACT_ASCII(object))
        return 0;
    *bytes = (const uint8_t *)((PyASCIIObject *)object + 1);
    *size = (size_t)((PyASCIIObject *)object)->length;
    return 1;
}

/* A str when `size` ≥ 2 bytes are ASCII; NULL without an exception when they are not. */
static inline PyObject *sj_ascii_make(const uint8_t *bytes, size_t size)
{
    uint64_t seen = 0, word = 0;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        memcpy(&word, bytes + at, 8);
        seen |= word;
    }
    for (; at < size; at++)
        seen |= bytes[at];
    if (size < 2 || size > (size_t)PY_SSIZE_T_MAX || (seen & 0x8080808080808080ull) != 0)
        return NULL;
    PyObject *text = PyUnicode_New((Py_ssize_t)size, 127);
    if (text != NULL)
        memcpy((PyASCIIObject *)text + 1, bytes, size);
    return text;
}

/* A str of UTF-8 in which surrogates may stand alone. NULL with UnicodeDecodeError, MemoryError. */
static inline PyObject *sj_text_make(const uint8_t *bytes, size_t size)
{
    PyObject *text = sj_ascii_make(bytes, size);
    if (text != NULL || PyErr_Occurred() != NULL)
        return text;
    return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, "surrogatepass");
}

/* The double's bits, and back. */
static inline uint64_t sj_double_bits(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return bits;
}

static inline double sj_bits_double(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* Order-preserving: the doubles but NaN, as unsigned words. */
static inline uint64_t sj_double_ordered(double number)
{
    uint64_t bits = sj_double_bits(number + 0.0); /* -0.0 becomes 0.0 */
    return bits ^ ((uint64_t)((int64_t)bits >> 63) | SJ_WORD_SIGN);
}

static inline double sj_ordered_double(uint64_t word)
{
    return sj_bits_double(word ^ (((word >> 63) - 1) | SJ_WORD_SIGN));
}

#endif
