# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_sequence.pxd: the list kernel, and what the bindings of lists and sorted lists share."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport SJ_OK, raise_error, sj_segment, sj_space_changes
from spacejmp.structures._codec cimport sj_item, sj_key, sj_value
from spacejmp.structures._container cimport ContainerCore


cdef extern from "structures/list.h" nogil:
    ctypedef bint c_bool "_Bool"

    enum:
        SJ_KIND_LIST

    struct sj_list:
        pass

    int sj_list_open(sj_segment *segment, uint64_t head, sj_list *list)
    uint64_t sj_list_count(const sj_list *list)
    void sj_list_forget(sj_list *list)
    int sj_list_get(sj_list *list, uint64_t index, sj_item *item)
    int sj_list_read(sj_list *list, uint64_t index, uint32_t wanted, sj_item *items, uint32_t *got)
    int sj_list_slots(sj_list *list, uint64_t index, uint64_t count, uint64_t *slots)
    int sj_list_set(sj_list *list, uint64_t index, const sj_value *value)
    int sj_list_append(sj_list *list, const sj_item *item)
    int sj_list_insert(sj_list *list, uint64_t index, const sj_item *item)
    int sj_list_delete(sj_list *list, uint64_t index)
    int sj_list_replace(sj_list *list, uint64_t first, uint64_t end, const sj_item *items,
                        uint64_t count)
    int sj_list_reorder(sj_list *list, const uint64_t *slots, uint64_t count)
    int sj_list_reverse(sj_list *list)
    int sj_list_sort_numbers(sj_list *list, bint descending)
    int sj_list_clear(sj_list *list)
    int sj_list_bisect(const sj_list *list, const sj_key *key, bint after, uint64_t *index)
    int sj_list_locate(sj_list *list, const sj_key *key, uint64_t *index)
    int sj_list_add(sj_list *list, const sj_key *key)
    int sj_list_merge(sj_list *list, const sj_item *items, uint64_t count)


cdef class SequenceCore(ContainerCore):
    cdef sj_list items
    cdef uint64_t known  # sj_space_changes() with which the kernel's memory is good

    # The object of an item that was read; how many keys are below a value (not above it).
    cdef object decode(self, const sj_item *item)
    cdef Py_ssize_t bisect_key(self, object value, bint after) except -1

    cdef object get_at(self, Py_ssize_t at)
    cdef int delete_at(self, Py_ssize_t at, str message) except -1

    cdef inline void look(self) noexcept:
        """In a hold: whether the kernel's memory is still good."""
        cdef uint64_t changes = sj_space_changes(self.space.space)
        if changes != self.known:
            sj_list_forget(&self.items)
            self.known = changes

    cdef inline int begin_read(self) except -1:
        self.enter_read()
        self.look()
        return 0

    cdef inline int begin_write(self) except -1:
        # Taking the store's lock is one change more; what others do meanwhile is several.
        cdef uint64_t before = self.known - 1 if self.space.space is NULL \
            else sj_space_changes(self.space.space)
        self.enter_write()
        if before == self.known and sj_space_changes(self.space.space) - before <= 1:
            self.known = sj_space_changes(self.space.space)
        self.look()
        return 0

    cdef inline int end_write(self, int error) except -1:
        """The end of an operation that has changed the list, or failed."""
        self.space.changed()
        if self.space.space is not NULL:
            self.known = sj_space_changes(self.space.space)
        self.space.leave()
        if error != SJ_OK:
            sj_list_forget(&self.items)
            raise_error(error)
        return 0


cdef class Encoded:
    """Many encoded items: an array of them, and the bytes that they point to."""

    cdef sj_item *items
    cdef uint64_t count
    cdef uint64_t room
    # While items are added, their pointers are offsets into these.
    cdef uint8_t *bytes
    cdef size_t used
    cdef size_t size
    cdef bint has_bytes
    cdef list references  # which items have any

    cdef sj_item *next(self) except NULL
    cdef int keep(self, const uint8_t **place, size_t size) except -1
    cdef int add_values(self, uint8_t codec, values, container) except -1
    cdef int add_keys(self, uint8_t codec, keys) except -1


# A position, which may be negative. TypeError, IndexError.
cdef Py_ssize_t index_of(object index) except? -1
