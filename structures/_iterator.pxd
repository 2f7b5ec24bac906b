# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_iterator.pxd: iteration in batches."""

from libc.stdint cimport uint32_t, uint64_t

from spacejmp.structures._codec cimport sj_item
from spacejmp.structures._mapping cimport MappingCore


cdef class BatchIterator:
    """Gives items from a batch; fills the next one when it is used up or the store has changed."""
    cdef MappingCore mapping
    cdef int give
    cdef list batch
    cdef Py_ssize_t at  # the next of the batch to give
    cdef Py_ssize_t count  # of the batch
    cdef uint64_t changes  # sj_space_changes() when the batch was read
    cdef bint ended  # nothing comes after the batch
    cdef bint filling  # a batch is being read, which may run Python code
    cdef uint32_t wanted  # how large the next batch is to be
    cdef list keys  # of a batch of values: its keys,
    cdef uint64_t *words  # or the words of them

    # Reads the next batch into `batch`, setting count (≥ 1) and at, or sets `ended`; `stale`: the
    # store has changed since the last one. A failure in the hold ends the iteration.
    cdef int fill(self, bint stale) except -1

    # Ends the hold of a fill.
    cdef int leave(self) except -1

    cdef object object_of(self, const sj_item *item)

    cdef object next_batch(self)

    # Whether what is given is numbers alone, which are made in place.
    cdef bint gives_numbers(self) noexcept

    # The batch becomes what `give` says of the items; of values the keys are kept beside.
    cdef int place_all(self, const sj_item *items, uint32_t count) except -1

    # Room for so many items, in the batch and beside.
    cdef int make_room(self, Py_ssize_t count) except -1

    # The key of an item of the batch.
    cdef object key_at(self, Py_ssize_t at)

    # The items become what `give` says of them, in `objects` from its beginning on.
    cdef int place(self, list objects, int give, const sj_item *items, uint32_t count) except -1
