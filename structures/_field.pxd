# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_field.pxd: the types of records: classes, their fields, and what a store has of them."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport Space, sj_segment
from spacejmp.structures._codec cimport sj_value
from spacejmp.structures._container cimport Referable
from spacejmp.structures._record cimport Living, RecordCore, Version, sj_schema


cdef extern from "structures/record.h" nogil:
    enum:
        SJ_FIELD_BOOL
        SJ_FIELD_STR
        SJ_FIELD_BYTES
        SJ_FIELD_PTR

    const char *sj_schema_text(const sj_schema *schema)
    uint64_t sj_schema_size(const sj_schema *schema)
    bint sj_schema_is_valid(const sj_schema *schema, uint64_t bytes)
    const sj_schema *sj_schema_at(const sj_segment *segment, uint64_t at)
    int sj_schema_compare(const sj_segment *segment, const sj_schema *wanted,
                          const sj_schema *found)
    int sj_record_new(sj_segment *segment, const sj_schema *wanted, uint64_t *schema,
                      const void *fields, const sj_value *texts, uint64_t *record)
    int sj_record_write(sj_segment *segment, uint64_t record, uint32_t offset, const void *bytes,
                        uint32_t count)
    int sj_record_set_text(sj_segment *segment, uint64_t record, uint32_t offset,
                           const sj_value *text)
    int sj_record_text(const sj_segment *segment, uint64_t record, uint32_t offset,
                       sj_value *text)
    int sj_record_root_set(sj_segment *segment, const char *name, size_t name_bytes,
                           uint64_t record)
    int sj_structure_share(sj_segment *segment, uint64_t head, uint32_t serial)
    uint64_t sj_pointer_head(const sj_segment *segment, uint64_t pointer)


cdef class Form:
    """A class's fields and their schema."""
    cdef readonly object cls
    cdef readonly str name
    cdef readonly tuple fields
    cdef readonly bytes schema  # as on the media
    cdef readonly uint32_t size
    cdef bytes blank  # the fields of a new record, with their defaults
    cdef tuple texts  # fields that are texts
    cdef dict by_name
    cdef readonly bint made_here  # from a schema, for no class of the program is for it
    cdef object __weakref__


cdef class Field:
    """The attribute of a class that is a field of its records."""
    cdef Form form
    cdef readonly str name
    cdef readonly object type
    cdef readonly object default
    cdef readonly uint32_t offset
    cdef readonly uint32_t size
    cdef readonly uint32_t index
    cdef readonly str target  # of a pointer; "": anything
    cdef uint32_t count
    cdef uint32_t each  # bytes of an element
    cdef uint8_t code
    cdef bint is_array

    cdef bint is_text(self)
    cdef bint is_number(self)
    cdef object zero(self)
    cdef int encode_number(self, object value, char *out) except -1
    cdef object encode(self, object value)
    cdef object text_of(self, object value)
    cdef object text_view(self, object value, sj_value *view)
    cdef Referable target_of(self, object value)
    cdef uint64_t pointer_to(self, Space space, Referable target) except? 1
    cdef object unknown(self, RecordCore record)
    cdef int write(self, RecordCore record, uint32_t offset, const char *bytes,
                   uint32_t count) except -1
    cdef int write_text(self, RecordCore record, object value) except -1
    cdef int write_pointer(self, RecordCore record, object value) except -1
    cdef object decode(self, const char *at)
    cdef object decode_all(self, const char *at)
    cdef object read_text(self, RecordCore record)
    cdef RecordCore record_of(self, object instance)


cdef class Registry(Living):
    """The types of a store's records, as this process knows them."""
    cdef Space space
    cdef uint64_t removals  # sj_root_removals() when they were looked up
    cdef dict by_schema
    cdef Version recent  # the one that was found last
    cdef dict by_form
    cdef dict preferred  # forms by name, that were used with this store

    cdef int refresh(self) except -1
    cdef Version bind(self, Form form, uint64_t schema)
    cdef Version version_of(self, uint64_t schema)
    cdef Version version_as(self, Form form, uint64_t schema, uint64_t address)
    cdef const sj_schema *schema_at(self, uint64_t schema) except NULL
    cdef int compare(self, Form form, const sj_schema *found) noexcept
    cdef list forms_named(self, str name)
    cdef RecordCore handle(self, object store, Version version, uint64_t address)
    cdef object open_pointer(self, object store, uint64_t at, Field field)
    cdef object make(self, object store, Form form, bytes image, list pointers,
                     const sj_value *texts)
