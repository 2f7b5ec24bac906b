# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_btree.pyx: the B-tree kernel for Python: its operations, iteration in ranges, bulk loading."""

from collections.abc import Mapping

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from spacejmp._space cimport (
    SJ_ENOTFOUND,
    SJ_OK,
    Space,
    raise_error,
    sj_segment,
    sj_space_changes,
    sj_tx_abort,
    sj_tx_begin,
    sj_tx_commit,
)
from spacejmp.structures._codec cimport (
    SJ_ITEM_WORD,
    codec_kind,
    key_decode,
    key_encode,
    key_find,
    sj_item,
    sj_key,
    sj_kinds,
    sj_value,
    value_encode,
)
from spacejmp.structures._codec_tools cimport PyGC_Disable, PyGC_Enable, sj_buffer
from spacejmp.structures._mapping cimport (
    GIVE_ITEMS,
    GIVE_KEYS,
    GIVE_VALUES,
    BatchIterator,
    MappingCore,
    c_bool,
    sj_put_mode,
    sj_value_change,
)


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
    int sj_btree_seek(const sj_btree *tree, const sj_key *key, bint after, sj_btree_cursor *cursor)
    int sj_btree_seek_last(const sj_btree *tree, const sj_key *key, bint before,
                           sj_btree_cursor *cursor)
    int sj_btree_first(const sj_btree *tree, sj_btree_cursor *cursor)
    int sj_btree_last(const sj_btree *tree, sj_btree_cursor *cursor)
    int sj_btree_select(const sj_btree *tree, uint64_t rank, sj_btree_cursor *cursor)
    int sj_btree_rank(const sj_btree *tree, const sj_key *key, bint after, uint64_t *rank)
    int sj_btree_read(const sj_btree *tree, sj_btree_cursor *cursor, bint backward, uint32_t wanted,
                      sj_item *items, uint32_t *got)
    int sj_btree_bulk_begin(sj_btree *tree, uint32_t fill_percent, sj_btree_bulk **bulk)
    int sj_btree_bulk_add(sj_btree_bulk *bulk, const sj_key *key, const sj_value *value)
    int sj_btree_bulk_end(sj_btree_bulk *bulk)
    void sj_btree_bulk_drop(sj_btree_bulk *bulk)

KEYS = GIVE_KEYS
VALUES = GIVE_VALUES
ITEMS = GIVE_ITEMS

cdef enum:
    BATCH = 64  # items that an iteration reads under one hold
    BATCH_FIRST = 16
    BATCH_STALE = 2  # after a change: most likely the next step brings another one


cdef class BTreeCore(MappingCore):
    """The operations of `BTree` that need the kernel."""

    cdef sj_btree tree

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

    def bulk_load(self, items, *, int fill=100):
        """Load ascending (key, value) pairs into the empty tree, all or nothing.

        Parameters
        ----------
        items : mapping or iterable of pairs
            Keys strictly ascending. It is read inside the write hold.
        fill : int
            How full the nodes become, in per cent, 50 to 100: less leaves room for later inserts.

        Raises
        ------
        OrderError
            A key is not above the one before it; nothing has changed.
        InvalidArgumentError
            The tree is not empty.

        Complexity
        ----------
        O(n), without a search: several times faster than inserting.

        Durability
        ----------
        One atomic operation: durable when it returns, and after a crash all of it is there or none.
        """
        cdef sj_btree_bulk *bulk = NULL
        cdef Space space = self.space
        cdef sj_segment *segment
        cdef sj_key k
        cdef sj_value v
        cdef sj_buffer key_buffer, value_buffer
        cdef int error
        if not 50 <= fill <= 100:
            raise ValueError(f"fill: expected 50 to 100 per cent, found {fill}")
        if isinstance(items, Mapping):
            items = items.items()
        self.enter_write()
        segment = space.space.segment  # `items` may detach the space
        try:
            error = sj_tx_begin(segment)
            if error != SJ_OK:
                raise_error(error)
            try:
                error = sj_btree_bulk_begin(&self.tree, fill, &bulk)
                if error != SJ_OK:
                    raise_error(error)
                for key, value in items:
                    keep_key = key_encode(self.key_codec, key, &k, &key_buffer)
                    keep_value = value_encode(self.value_codec, value, &v, &value_buffer,
                                              self)
                    if value_buffer.references:
                        self.adopt(&v)
                    error = sj_btree_bulk_add(bulk, &k, &v)
                    if error != SJ_OK:
                        raise_error(error)
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


cdef class Bound:
    """One end of a range, kept for as long as the range is iterated."""

    cdef sj_key key
    cdef sj_buffer buffer
    cdef object keep
    cdef bint is_set
    cdef bint beyond  # the range begins (ends) only beyond the key, seen from inside of it

    cdef int set(self, uint8_t codec, object key, bint inclusive, int direction) except -1:
        """`direction`: 1 for a lower bound, −1 for an upper one."""
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
    cdef uint64_t[BATCH] words  # keys of the batch
    cdef list keys  # of byte keys, when the batch does not have them
    cdef Bound last  # the last key given, sought again after a change

    cdef int begin(self, BTreeCore tree, int give, bint backward) except -1:
        self.mapping = tree
        self.give = give
        self.backward = backward
        self.wanted = BATCH_FIRST
        self.low = Bound.__new__(Bound)
        self.high = Bound.__new__(Bound)
        self.word_keys = codec_kind(tree.key_codec) == SJ_ITEM_WORD
        self.batch = [None] * BATCH
        self.keys = [None] * BATCH if give == GIVE_VALUES and not self.word_keys else None
        return 0

    cdef int remember(self) except -1:
        """The key that was given last."""
        cdef Py_ssize_t at = self.at - 1  # ≥ 0: of each batch one item at least was given
        if self.last is None:
            self.last = Bound.__new__(Bound)
        if self.word_keys:
            self.last.key.word = self.words[at]
            return 0
        if self.give == GIVE_KEYS:
            key = self.batch[at]
        elif self.give == GIVE_ITEMS:
            key = self.batch[at][0]
        else:
            key = self.keys[at]
        return self.last.set(self.mapping.key_codec, key, False, 1)

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
        self.wanted = min(2 * self.wanted, <uint32_t>BATCH) if self.wanted != 0 else 1
        return 0

    cdef int take(self, const sj_item *items, uint32_t got) except -1:
        """Makes the batch of what was read, up to the end of the range."""
        cdef uint32_t i
        cdef uint8_t codec = self.mapping.key_codec
        cdef bint bounded = self.low.is_set if self.backward else self.high.is_set
        for i in range(got):
            if bounded and self.is_outside(&items[i].key):
                self.ended = True
                break
            if self.give == GIVE_KEYS:
                self.batch[i] = key_decode(codec, &items[i].key)
            else:
                self.batch[i] = self.object_of(&items[i])
            if self.word_keys:
                self.words[i] = items[i].key.word
            elif self.keys is not None:
                self.keys[i] = key_decode(self.mapping.key_codec, &items[i].key)
            self.count += 1
        return 0
