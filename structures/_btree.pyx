# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_btree.pyx: the B-tree kernel for Python: its operations, iteration in ranges."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from spacejmp._space cimport SJ_OK, raise_error, sj_space_changes
from spacejmp.structures._codec cimport (
    SJ_ITEM_WORD,
    codec_kind,
    key_find,
    sj_item,
    sj_key,
    sj_value,
)
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable
from spacejmp.structures._iterator cimport BatchIterator
from spacejmp.structures._mapping cimport (
    GIVE_ITEMS,
    GIVE_KEYS,
    GIVE_VALUES,
    MappingCore,
    c_bool,
    sj_put_mode,
    sj_value_change,
)

KEYS = GIVE_KEYS
VALUES = GIVE_VALUES
ITEMS = GIVE_ITEMS

cdef enum:
    BATCH = 256  # numbers that an iteration reads under one hold
    BATCH_OTHER = 64  # of other items: what is read stays in memory until it is given
    BATCH_FIRST = 16
    BATCH_STALE = 2  # after a change: most likely the next step brings another one


cdef class BTreeCore(MappingCore):
    """The operations of `BTree` that need the kernel."""

    cdef int c_open(self, uint64_t head) noexcept:
        cdef int error = sj_btree_open(self.space.space.segment, head, &self.tree)
        return error if error != SJ_OK else self.expect_kinds(self.tree.kinds, head)

    cdef int c_type(self) noexcept:
        return SJ_KIND_BTREE

    cdef uint64_t c_count(self) noexcept:
        return sj_btree_count(&self.tree)

    cdef int c_get(self, const sj_key *key, sj_value *value) noexcept:
        return sj_btree_get(&self.tree, key, value)

    cdef int c_put(self, const sj_key *key, const sj_value *value, sj_put_mode mode,
                   c_bool *existed) noexcept:
        return sj_btree_put(&self.tree, key, value, mode, existed)

    cdef int c_change(self, const sj_key *key, sj_value_change change, void *context) noexcept:
        return sj_btree_change(&self.tree, key, change, context)

    cdef int c_delete(self, const sj_key *key) noexcept:
        return sj_btree_delete(&self.tree, key)

    cdef int c_clear(self) noexcept:
        return sj_btree_clear(&self.tree)

    cdef int c_get_many(self, const sj_key *key, uint32_t count, sj_value *value,
                        c_bool *found) noexcept nogil:
        return sj_btree_get_many(&self.tree, key, count, value, found)

    cdef int c_put_many(self, const sj_key *key, const sj_value *value, uint32_t count,
                        uint64_t *fresh) noexcept nogil:
        return sj_btree_put_many(&self.tree, key, value, count, fresh)

    cdef int c_delete_many(self, const sj_key *key, uint32_t count,
                           uint64_t *deleted) noexcept nogil:
        return sj_btree_delete_many(&self.tree, key, count, deleted)

    def _iterate(self, int give, bint backward, minimum=None, maximum=None,
                 bint with_minimum=True, bint with_maximum=True):
        """Items from one bound to the other; None is no bound."""
        cdef Range items = Range.__new__(Range)
        items.begin(self, give, backward)
        if minimum is not None:
            items.low.set(self.key_codec, minimum, with_minimum, 1)
        if maximum is not None:
            items.high.set(self.key_codec, maximum, with_maximum, -1)
        return items

    def _iterate_ranks(self, int give, Py_ssize_t start, Py_ssize_t stop, bint backward):
        """Items at the positions `start` ≤ position < `stop`."""
        cdef Range items = Range.__new__(Range)
        items.begin(self, give, backward)
        items.by_rank = True
        items.left = stop - start if stop > start else 0
        items.rank = stop - 1 if backward else start
        return items

    def _select(self, Py_ssize_t index, int give):
        """The item at a position, which may be negative. IndexError."""
        cdef sj_btree_cursor cursor
        cdef sj_item item
        cdef uint32_t got = 0
        cdef Range items = Range.__new__(Range)
        cdef int error
        items.mapping = self
        items.give = give
        self.enter_read()
        try:
            count = <Py_ssize_t>sj_btree_count(&self.tree)
            rank = index + count if index < 0 else index
            if not 0 <= rank < count:
                raise IndexError(f"position {index} of {count} items")
            error = sj_btree_select(&self.tree, rank, &cursor)
            if error == SJ_OK:
                error = sj_btree_read(&self.tree, &cursor, False, 1, &item, &got)
            if error != SJ_OK:
                raise_error(error)
            return items.object_of(&item)
        finally:
            self.space.leave()

    def _rank(self, key, bint after):
        """How many keys are below `key`; `after`: not above it."""
        cdef Bound bound = Bound.__new__(Bound)
        cdef uint64_t rank = 0
        bound.set(self.key_codec, key, not after, 1)
        self.enter_read()
        cdef int error = sj_btree_rank(&self.tree, &bound.key, bound.beyond, &rank)
        self.space.leave()
        if error != SJ_OK:
            raise_error(error)
        return rank


cdef class Bound:
    """One end of a range, kept for as long as the range is iterated."""

    cdef int set(self, uint8_t codec, object key, bint inclusive, int direction) except -1:
        cdef int side
        self.keep = (key, key_find(codec, key, &self.key, &self.buffer, &side))
        self.beyond = side * direction > 0 if side != 0 else not inclusive
        self.is_set = True
        return 0


cdef class Range(BatchIterator):
    """Items of a B-tree between two bounds or two positions, in either direction."""

    cdef sj_btree_cursor cursor
    cdef Bound low
    cdef Bound high
    cdef bint backward
    cdef bint started
    cdef bint by_rank
    cdef uint64_t rank  # where to begin
    cdef uint64_t left  # by rank: items to give still, those of the batch included
    cdef bint word_keys
    cdef uint32_t most  # items of a batch
    cdef Bound last  # the last key given, sought again after a change

    cdef int begin(self, BTreeCore tree, int give, bint backward) except -1:
        self.mapping = tree
        self.give = give
        self.backward = backward
        self.wanted = BATCH_FIRST
        self.low = Bound.__new__(Bound)
        self.high = Bound.__new__(Bound)
        self.word_keys = codec_kind(tree.key_codec) == SJ_ITEM_WORD
        self.most = BATCH if self.gives_numbers() else BATCH_OTHER
        return 0

    cdef int remember(self) except -1:
        """The key that was given last."""
        if self.last is None:
            self.last = Bound.__new__(Bound)
        # at ≥ 1: of each batch one item at least was given
        return self.last.set(self.mapping.key_codec, self.key_at(self.at - 1), False, 1)

    cdef int start(self, const sj_btree *tree) noexcept:
        """Puts the cursor where the range begins."""
        if self.by_rank:
            return sj_btree_select(tree, self.rank, &self.cursor)
        if self.backward:
            if self.high.is_set:
                return sj_btree_seek_last(tree, &self.high.key, self.high.beyond, &self.cursor)
            return sj_btree_last(tree, &self.cursor)
        if self.low.is_set:
            return sj_btree_seek(tree, &self.low.key, self.low.beyond, &self.cursor)
        return sj_btree_first(tree, &self.cursor)

    cdef int resume(self, const sj_btree *tree) noexcept:
        """Puts the cursor after the last key given."""
        if self.backward:
            return sj_btree_seek_last(tree, &self.last.key, True, &self.cursor)
        return sj_btree_seek(tree, &self.last.key, True, &self.cursor)

    cdef bint is_outside(self, const sj_key *key) noexcept:
        """Whether a key lies beyond the end of the range."""
        cdef Bound end = self.low if self.backward else self.high
        cdef int order
        if not end.is_set:
            return False
        if self.word_keys:
            order = (key.word > end.key.word) - (key.word < end.key.word)
        else:
            order = memcmp(key.bytes, end.key.bytes, min(key.size, end.key.size))
            if order == 0:
                order = (key.size > end.key.size) - (key.size < end.key.size)
        if order == 0:
            return end.beyond
        return order < 0 if self.backward else order > 0

    cdef int fill(self, bint stale) except -1:
        cdef BTreeCore tree = <BTreeCore>self.mapping
        cdef sj_item[BATCH] items
        cdef uint32_t got = 0
        cdef bint collecting
        cdef int error = SJ_OK
        tree.enter_read()  # may fail, and be tried again: nothing has changed yet
        collecting = PyGC_Disable()  # a finaliser that runs now would run inside of the hold
        try:
            stale = sj_space_changes(tree.space.space) != self.changes  # what __next__ saw is old
            self.changes = sj_space_changes(tree.space.space)
            self.left -= self.at  # by rank: what the last batch has given
            if not self.started:
                error = self.start(&tree.tree)
            elif stale:
                self.wanted = BATCH_STALE
                self.remember()
                error = self.resume(&tree.tree)
            self.started = True
            self.at = self.count = 0
            if self.by_rank and self.left < self.wanted:
                self.wanted = <uint32_t>self.left
            self.make_room(self.wanted)
            if error == SJ_OK:
                error = sj_btree_read(&tree.tree, &self.cursor, self.backward, self.wanted, items,
                                      &got)
            if error != SJ_OK:
                raise_error(error)
            self.ended = got < self.wanted or self.wanted == 0
            self.take(items, got)
        except:
            self.ended = True
            self.at = self.count = 0
            raise
        finally:
            if collecting:
                PyGC_Enable()
            self.leave()
        self.wanted = min(2 * self.wanted, self.most) if self.wanted != 0 else 1
        return 0

    cdef int take(self, const sj_item *items, uint32_t got) except -1:
        """Makes the batch of what was read, up to the end of the range."""
        cdef uint32_t count = got, low = 0, middle
        if got != 0 and self.is_outside(&items[got - 1].key):
            self.ended = True
            count = got - 1
            while low < count:
                middle = (low + count) // 2
                if self.is_outside(&items[middle].key):
                    count = middle
                else:
                    low = middle + 1
        return self.place_all(items, count)
