# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_btree.pxd: the B-tree kernel, and its handle, for the bindings of trees."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport sj_segment
from spacejmp.structures._codec cimport sj_item, sj_key, sj_kinds, sj_value
from spacejmp.structures._codec_tools cimport sj_buffer
from spacejmp.structures._mapping cimport MappingCore, c_bool, sj_put_mode, sj_value_change


cdef extern from "structures/btree.h" nogil:
    enum:
        SJ_KIND_BTREE

    struct sj_btree_leaf:
        pass

    struct sj_btree:
        sj_kinds kinds

    struct sj_btree_cursor:
        sj_btree_leaf *leaf
        uint32_t at
        uint64_t hops

    struct sj_btree_bulk:
        pass

    int sj_btree_open(sj_segment *segment, uint64_t head, sj_btree *tree)
    uint64_t sj_btree_count(const sj_btree *tree)
    int sj_btree_get(const sj_btree *tree, const sj_key *key, sj_value *value)
    int sj_btree_put(sj_btree *tree, const sj_key *key, const sj_value *value, sj_put_mode mode,
                     c_bool *existed)
    int sj_btree_change(sj_btree *tree, const sj_key *key, sj_value_change change, void *context)
    int sj_btree_delete(sj_btree *tree, const sj_key *key)
    int sj_btree_clear(sj_btree *tree)
    int sj_btree_get_many(const sj_btree *tree, const sj_key *key, uint32_t count, sj_value *value,
                          c_bool *found)
    int sj_btree_put_many(sj_btree *tree, const sj_key *key, const sj_value *value, uint32_t count,
                          uint64_t *fresh)
    int sj_btree_delete_many(sj_btree *tree, const sj_key *key, uint32_t count, uint64_t *deleted)
    int sj_btree_seek(const sj_btree *tree, const sj_key *key, bint after, sj_btree_cursor *cursor)
    int sj_btree_seek_last(const sj_btree *tree, const sj_key *key, bint before,
                           sj_btree_cursor *cursor)
    int sj_btree_first(const sj_btree *tree, sj_btree_cursor *cursor)
    int sj_btree_last(const sj_btree *tree, sj_btree_cursor *cursor)
    int sj_btree_select(const sj_btree *tree, uint64_t rank, sj_btree_cursor *cursor)
    int sj_btree_rank(const sj_btree *tree, const sj_key *key, bint after, uint64_t *rank)
    int sj_btree_read(const sj_btree *tree, sj_btree_cursor *cursor, bint backward, uint32_t wanted,
                      sj_item *items, uint32_t *got)
    enum sj_btree_join:
        SJ_BTREE_BOTH
        SJ_BTREE_FIRST
        SJ_BTREE_EITHER

    int c_btree_join "sj_btree_join"(const sj_btree *tree, const sj_btree *other,
                                     sj_btree_join what, const sj_key *after, uint32_t wanted,
                                     sj_item *items, uint32_t *got)
    int sj_btree_bulk_begin(sj_btree *tree, uint32_t fill_percent, sj_btree_bulk **bulk)
    int sj_btree_bulk_add(sj_btree_bulk *bulk, const sj_key *key, const sj_value *value)
    int sj_btree_bulk_end(sj_btree_bulk *bulk)
    void sj_btree_bulk_drop(sj_btree_bulk *bulk)


cdef class BTreeCore(MappingCore):
    cdef sj_btree tree


cdef class Bound:
    """One end of a range, kept for as long as the range is iterated."""
    cdef sj_key key
    cdef sj_buffer buffer
    cdef object keep
    cdef bint is_set
    cdef bint beyond  # the range begins (ends) only beyond the key, seen from inside of it

    # `direction`: 1 for a lower bound, −1 for an upper one.
    cdef int set(self, uint8_t codec, object key, bint inclusive, int direction) except -1
