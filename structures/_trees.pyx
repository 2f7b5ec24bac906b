# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_trees.pyx: B-trees as wholes for Python: bulk loading, arrays, two trees side by side."""

from collections.abc import Mapping

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_OK,
    Space,
    raise_error,
    sj_segment,
    sj_space_changes,
    sj_tx_abort,
    sj_tx_begin,
    sj_tx_commit,
)
from spacejmp.structures._btree cimport (
    Bound,
    BTreeCore,
    c_btree_join,
    sj_btree_bulk,
    sj_btree_bulk_add,
    sj_btree_bulk_begin,
    sj_btree_bulk_drop,
    sj_btree_bulk_end,
    sj_btree_cursor,
    sj_btree_join,
    sj_btree_read,
    sj_btree_select,
)
from spacejmp.structures._codec cimport key_encode, sj_item, sj_key, sj_value, value_encode
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable, sj_buffer
from spacejmp.structures._column cimport Column, Target, target_of, target_put
from spacejmp.structures._iterator cimport BatchIterator
from spacejmp.structures._mapping cimport GIVE_KEYS

from spacejmp.persistence.errors import CorruptError

cdef enum:
    CHUNK = 128  # items that the kernel gets or gives at once
    SLICE = 1 << 16  # items between two looks at signals
    FEWER = -1  # no error of the core: there are fewer items than the counts say
    JOIN = 256  # keys that an iteration of two trees reads under one hold


# -- bulk loading ----------------------------------------------------------------------------------


cdef int add_slice(sj_btree_bulk *bulk, Column keys, Column values, Py_ssize_t start,
                   Py_ssize_t end) noexcept nogil:
    cdef sj_key[CHUNK] key
    cdef sj_value[CHUNK] value
    cdef uint32_t count, i
    cdef int error = SJ_OK
    while start < end:
        count = <uint32_t>min(end - start, <Py_ssize_t>CHUNK)
        keys.keys(start, count, key)
        values.values(start, count, value)
        for i in range(count):
            error = sj_btree_bulk_add(bulk, &key[i], &value[i])
            if error != SJ_OK:
                return error
        start += count
    return SJ_OK


cdef int add_columns(BTreeCore tree, sj_btree_bulk *bulk, Column keys, Column values) except -1:
    cdef Py_ssize_t start = 0, end
    cdef sj_value value
    cdef int error
    if values.referring is not None:
        for start in values.referring:
            values.values(start, 1, &value)
            tree.adopt(&value, True)
        start = 0
    while start < keys.count:
        end = min(start + SLICE, keys.count)
        with nogil:
            error = add_slice(bulk, keys, values, start, end)
        if error != SJ_OK:
            raise_error(error)
        PyErr_CheckSignals()
        start = end
    return 0


cdef int add_pairs(BTreeCore tree, sj_btree_bulk *bulk, object items) except -1:
    cdef sj_key k
    cdef sj_value v
    cdef sj_buffer key_buffer, value_buffer
    cdef int error
    for key, value in items:
        keep_key = key_encode(tree.key_codec, key, &k, &key_buffer)
        keep_value = value_encode(tree.value_codec, value, &v, &value_buffer, tree)
        if value_buffer.references:
            tree.adopt(&v, True)
        error = sj_btree_bulk_add(bulk, &k, &v)
        if error != SJ_OK:
            raise_error(error)
    return 0


def bulk_load(BTreeCore tree, items, Column keys, Column values, int fill):
    """Loads columns or, when these are None, pairs, which are read inside the write hold."""
    cdef sj_btree_bulk *bulk = NULL
    cdef Space space = tree.space
    cdef sj_segment *segment
    cdef int error
    if isinstance(items, Mapping):
        items = items.items()
    tree.enter_write()
    segment = space.space.segment  # `items` may detach the space
    try:
        error = sj_tx_begin(segment)
        if error != SJ_OK:
            raise_error(error)
        try:
            error = sj_btree_bulk_begin(&tree.tree, fill, &bulk)
            if error != SJ_OK:
                raise_error(error)
            if keys is None:
                add_pairs(tree, bulk, items)
            else:
                add_columns(tree, bulk, keys, values)
            error = sj_btree_bulk_end(bulk)
            bulk = NULL
            if error != SJ_OK:
                raise_error(error)
        except:
            if bulk is not NULL:
                sj_btree_bulk_drop(bulk)
            sj_tx_abort(segment)
            raise
        error = sj_tx_commit(segment)
        space.changed()
        if error != SJ_OK:
            raise_error(error)
    finally:
        space.leave()


# -- arrays ----------------------------------------------------------------------------------------


cdef int read_slice(BTreeCore tree, sj_btree_cursor *cursor, Py_ssize_t start, Py_ssize_t end,
                    const Target *keys, const Target *values, bint *fits) noexcept nogil:
    cdef sj_item[CHUNK] item
    cdef uint32_t got = 0, i
    cdef int error
    while start < end and fits[0]:
        error = sj_btree_read(&tree.tree, cursor, False,
                              <uint32_t>min(end - start, <Py_ssize_t>CHUNK), item, &got)
        if error != SJ_OK or got == 0:
            return error if error != SJ_OK else FEWER
        for i in range(got):
            if not target_put(keys, start + i, item[i].key.word, item[i].key.bytes,
                              item[i].key.size) or \
                    not target_put(values, start + i, item[i].value.word, item[i].value.bytes,
                                   item[i].value.size):
                fits[0] = False
                return SJ_OK
        start += got
    return SJ_OK


def read_arrays(BTreeCore tree, Py_ssize_t first, Py_ssize_t count, key_rows, value_rows):
    """Copies `count` items from a position on to arrays; False: not all are of the rows' size."""
    cdef sj_btree_cursor cursor
    cdef Target keys, values
    cdef Py_ssize_t start = 0, end
    cdef bint fits = True
    cdef int error
    target_of(&keys, tree.key_codec, key_rows, True)
    target_of(&values, tree.value_codec, value_rows, False)
    tree.enter_read()
    try:
        error = sj_btree_select(&tree.tree, first, &cursor)
        while start < count and fits and error == SJ_OK:
            end = min(start + SLICE, count)
            with nogil:
                error = read_slice(tree, &cursor, start, end, &keys, &values, &fits)
            start = end
            PyErr_CheckSignals()
    finally:
        tree.space.leave()
    if error == FEWER:
        raise CorruptError(f"{tree._title()} has fewer items than it counts: run check()")
    if error != SJ_OK:
        raise_error(error)
    return fits


# -- two trees -------------------------------------------------------------------------------------


cdef class Join(BatchIterator):
    """Keys that two trees of one store have in common, one has alone, or either has."""

    cdef BTreeCore other
    cdef sj_btree_join what
    cdef Bound last  # the last key given

    cdef int fill(self, bint stale) except -1:
        cdef BTreeCore tree = <BTreeCore>self.mapping
        cdef sj_item[JOIN] items
        cdef const sj_key *after = NULL
        cdef uint32_t got = 0
        cdef bint collecting
        cdef int error
        if self.at > 0:
            self.last = Bound.__new__(Bound)
            self.last.set(tree.key_codec, self.key_at(self.at - 1), False, 1)
        if self.last is not None:
            after = &self.last.key
        self.other.enter_read()
        try:
            tree.enter_read()
            collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
            try:
                self.changes = sj_space_changes(tree.space.space)
                self.at = self.count = 0
                self.make_room(self.wanted)
                error = c_btree_join(&tree.tree, &self.other.tree, self.what, after, self.wanted,
                                     items, &got)
                if error != SJ_OK:
                    raise_error(error)
                self.ended = got < self.wanted
                self.place_all(items, got)
            except:
                self.ended = True
                raise
            finally:
                if collecting:
                    PyGC_Enable()
                self.leave()
        finally:
            self.other.space.leave()
        self.wanted = min(2 * self.wanted, <uint32_t>JOIN)
        return 0


def join(BTreeCore tree, BTreeCore other, int what):
    """An iterator of keys; `what`: 0 of both, 1 of the first alone, 2 of either."""
    cdef Join keys = Join.__new__(Join)
    keys.mapping = tree
    keys.other = other
    keys.what = <sj_btree_join>what
    keys.give = GIVE_KEYS
    keys.wanted = 32
    return keys
