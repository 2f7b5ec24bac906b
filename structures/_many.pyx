# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_many.pyx: batches: many keys of a mapping at once, under one hold.

What is done to words alone runs without the GIL, a slice at a time; between two slices signals are
looked at. The hold stays meanwhile, and with it the addresses, whoever detaches the space.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_OK,
    raise_error,
    sj_segment,
    sj_tx_abort,
    sj_tx_begin,
    sj_tx_commit,
)
from spacejmp.structures._codec cimport sj_key, sj_value, value_decode
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable
from spacejmp.structures._column cimport Column
from spacejmp.structures._mapping cimport MappingCore, c_bool

cdef enum:
    CHUNK = 128  # keys that the kernel gets at once
    SLICE = 1 << 16  # keys between two looks at signals


# -- reading ---------------------------------------------------------------------------------------


cdef int get_words(MappingCore mapping, Column keys, Py_ssize_t start, Py_ssize_t end,
                   uint64_t *word, uint8_t *found) noexcept nogil:
    """Words of the values that are there (`word` may be NULL), and which these are."""
    cdef sj_key[CHUNK] key
    cdef sj_value[CHUNK] value
    cdef uint32_t count, i
    cdef int error
    while start < end:
        count = <uint32_t>min(end - start, <Py_ssize_t>CHUNK)
        keys.keys(start, count, key)
        error = mapping.c_get_many(key, count, value, <c_bool *>(found + start))
        if error != SJ_OK:
            return error
        if word is not NULL:
            for i in range(count):
                if found[start + i]:
                    word[start + i] = value[i].word
        start += count
    return SJ_OK


def find_words(MappingCore mapping, Column keys, uint64_t[::1] words, uint8_t[::1] found):
    """Which keys are there, and (unless `words` is None) the words of their values."""
    cdef Py_ssize_t start = 0, end
    cdef uint64_t *word = NULL
    cdef uint8_t *flag
    cdef int error = SJ_OK
    if keys.count == 0:
        return
    if words is not None:
        word = &words[0]
    flag = &found[0]
    kept = [(at, word[at] if word is not NULL else 0) for at in keys.absent or ()]
    mapping.enter_read()
    try:
        while start < keys.count and error == SJ_OK:
            end = min(start + SLICE, keys.count)
            with nogil:
                error = get_words(mapping, keys, start, end, word, flag)
            start = end
            PyErr_CheckSignals()
    finally:
        mapping.space.leave()
    if error != SJ_OK:
        raise_error(error)
    for start, was in kept:
        flag[start] = False
        if word is not NULL:
            word[start] = was


def get_objects(MappingCore mapping, Column keys, default):
    """The values of the keys, `default` in the places of those that are not there."""
    cdef sj_key[CHUNK] key
    cdef sj_value[CHUNK] value
    cdef uint8_t[CHUNK] found
    cdef list results = [default] * keys.count
    cdef Py_ssize_t start = 0
    cdef uint32_t count, i
    cdef int error
    cdef bint collecting
    mapping.enter_read()
    collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
    try:
        while start < keys.count:
            count = <uint32_t>min(keys.count - start, <Py_ssize_t>CHUNK)
            keys.keys(start, count, key)
            error = mapping.c_get_many(key, count, value, <c_bool *>found)
            if error != SJ_OK:
                raise_error(error)
            for i in range(count):
                if found[i]:
                    results[start + i] = value_decode(mapping.value_codec, &value[i],
                                                      mapping)
            start += count
            PyErr_CheckSignals()
    finally:
        if collecting:
            PyGC_Enable()
        mapping.space.leave()
    for start in keys.absent or ():
        results[start] = default
    return results


# -- changing --------------------------------------------------------------------------------------


cdef int put_slice(MappingCore mapping, Column keys, Column values, Py_ssize_t start,
                   Py_ssize_t end, uint64_t *fresh) noexcept nogil:
    cdef sj_key[CHUNK] key
    cdef sj_value[CHUNK] value
    cdef uint32_t count
    cdef int error = SJ_OK
    while start < end and error == SJ_OK:
        count = <uint32_t>min(end - start, <Py_ssize_t>CHUNK)
        keys.keys(start, count, key)
        values.values(start, count, value)
        error = mapping.c_put_many(key, value, count, fresh)
        start += count
    return error


cdef int delete_slice(MappingCore mapping, Column keys, Py_ssize_t start, Py_ssize_t end,
                      uint64_t *deleted) noexcept nogil:
    cdef sj_key[CHUNK] key
    cdef uint32_t count
    cdef int error = SJ_OK
    while start < end and error == SJ_OK:
        count = <uint32_t>min(end - start, <Py_ssize_t>CHUNK)
        keys.keys(start, count, key)
        error = mapping.c_delete_many(key, count, deleted)
        start += count
    return error


cdef int change_slices(MappingCore mapping, Column keys, Column values,
                       uint64_t *changed) except -1:
    """All of it, in the transaction that the caller has begun."""
    cdef Py_ssize_t start = 0, end
    cdef sj_value value
    cdef int error
    if values is not None and values.referring is not None:
        for start in values.referring:
            values.values(start, 1, &value)
            mapping.adopt(&value, True)
        start = 0
    while start < keys.count:
        end = min(start + SLICE, keys.count)
        with nogil:
            if values is None:
                error = delete_slice(mapping, keys, start, end, changed)
            else:
                error = put_slice(mapping, keys, values, start, end, changed)
        if error != SJ_OK:
            raise_error(error)
        PyErr_CheckSignals()
        start = end
    return 0


cdef uint64_t change_all(MappingCore mapping, Column keys, Column values) except? 0:
    cdef sj_segment *segment
    cdef uint64_t changed = 0
    cdef int error
    mapping.enter_write()
    segment = mapping.space.space.segment  # another thread, or a signal's handler, may detach it
    try:
        error = sj_tx_begin(segment)
        if error != SJ_OK:
            raise_error(error)
        try:
            change_slices(mapping, keys, values, &changed)
        except:
            sj_tx_abort(segment)
            raise
        error = sj_tx_commit(segment)
        mapping.space.changed()
        if error != SJ_OK:
            raise_error(error)
    finally:
        mapping.space.leave()
    return changed


def put_all(MappingCore mapping, Column keys, Column values):
    """Stores all pairs in one transaction; how many keys were new."""
    if keys.count == 0:
        return 0
    return change_all(mapping, keys, values)


def delete_all(MappingCore mapping, Column keys):
    """Removes the keys that are there in one transaction; how many these were."""
    if keys.count == 0:
        return 0
    return change_all(mapping, keys, None)
