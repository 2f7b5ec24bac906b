# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_field.pyx: fields of records as attributes, and the types that a store has.

The order in each operation is that of the mappings: encode (may run Python code, may raise),
enter, operate, decode, leave. A number is loaded from, or stored to, its place on the media.
"""

import weakref

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

from spacejmp._space cimport SJ_ENOTFOUND, SJ_OK, Space, raise_error, sj_segment
from spacejmp.structures._codec cimport sj_value
from spacejmp.structures._container cimport (
    Referable,
    sj_root,
    sj_root_find,
    sj_root_removals,
    sj_structure_info,
    sj_structure_look,
)
from spacejmp.structures._codec_tools cimport raise_corrupt, text_decode, text_encode
from spacejmp.structures._number cimport number_decode, number_encode, wrong_value
from spacejmp.structures._record cimport (
    SJ_KIND_RECORD,
    SJ_RECORD_HEAD,
    Living,
    RecordCore,
    Version,
    record_made,
    sj_record,
    sj_record_look,
    sj_schema,
    sj_segment_block,
)

from spacejmp.persistence.errors import InvalidArgumentError, NotFoundError, RecordTypeError

FORMS = {}
"""The classes of this process by the name of their type: lists of weak references, oldest first."""


cdef object RecordArray = None  # the class, which needs this module


cdef object array_of(RecordCore record, Field field):
    """What an array reads as."""
    global RecordArray
    if RecordArray is None:
        from spacejmp.structures._record_array import RecordArray
    return RecordArray(record, field)


cdef object class_of_schema(bytes schema):
    """The form of a class made from what a store says of a type that no class here is for."""
    from spacejmp.structures.record import _class_of_schema

    return _class_of_schema(schema)


@cython.final
cdef class Form:
    def __init__(self, cls, str name, fields, bytes schema, uint32_t size, bint made_here=False):
        cdef Field field
        if not sj_schema_is_valid(<const sj_schema *>PyBytes_AS_STRING(schema), len(schema)):
            raise ValueError(f"{name!r} has too many fields, or too long ones, for a record")
        self.cls = cls
        self.made_here = made_here
        self.name = name
        self.fields = tuple(fields)
        self.schema = schema
        self.size = size
        self.by_name = {}
        texts = []
        blank = bytearray(size)
        for field in self.fields:
            field.form = self
            self.by_name[field.name] = field
            if field.is_text():
                field.default = field.zero() if field.default is None else field.default
                field.text_of(field.default)  # raises when it is none
                texts.append(field)
            elif field.code == SJ_FIELD_PTR:
                if field.default is not None:
                    raise TypeError(f"{field.where}: a pointer's default is None")
            elif field.default is None:
                field.default = field.zero()
            else:
                raw = field.encode(field.default)
                field.default = field.decode_all(<const char *>PyBytes_AS_STRING(raw))
                blank[field.offset : field.offset + field.size] = raw
        self.blank = bytes(blank)
        self.texts = tuple(texts)
        if not made_here:
            FORMS.setdefault(name, []).append(weakref.ref(self))


cdef class Field:
    """A field of a record: an attribute that is loaded from the media, and stored there.

    On the class it is this object: ``Node.key.offset``.
    """

    def __init__(self, str name, of, int code, uint32_t count, bint is_array, str target, default,
                 uint32_t offset, uint32_t each, uint32_t index):
        self.name = name
        self.type = of
        self.code = code
        self.count = count
        self.is_array = is_array
        self.target = target
        self.default = default
        self.offset = offset
        self.each = each
        self.size = each * count
        self.index = index

    def __repr__(self):
        return f"<field {self.where}: {self.type}, at {self.offset}>"

    @property
    def where(self):
        """The field with its class, as messages have it."""
        return self.name if self.form is None else f"{self.form.name}.{self.name}"

    cdef inline bint is_text(self):
        return self.code == SJ_FIELD_STR or self.code == SJ_FIELD_BYTES

    cdef inline bint is_number(self):
        return self.code <= SJ_FIELD_BOOL and not self.is_array

    cdef object zero(self):
        cdef uint64_t zero = 0
        if self.is_text():
            return "" if self.code == SJ_FIELD_STR else b""
        number = self.decode(<const char *>&zero)
        return (number,) * self.count if self.is_array else number

    # -- to the media -------------------------------------------------------------------------

    cdef inline int encode_number(self, object value, char *out) except -1:
        return number_encode(self.code, self.each, value, out, self)

    cdef object encode(self, object value):
        """The bytes of a number, or of all of an array."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, self.size)
        cdef char *at = PyBytes_AS_STRING(out)
        if not self.is_array:
            self.encode_number(value, at)
            return out
        cdef list values = list(value) if not isinstance(value, (str, bytes)) else None
        if values is None:
            raise wrong_value(self, value)
        if <uint32_t>len(values) != self.count:
            raise ValueError(
                f"{self.where}: expected {self.count} numbers, found {len(values)}"
            )
        for value in values:
            self.encode_number(value, at)
            at += self.each
        return out

    cdef object text_of(self, value):
        """The str or bytes to store."""
        if self.code == SJ_FIELD_STR and isinstance(value, str):
            return value
        if self.code == SJ_FIELD_BYTES and isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise wrong_value(self, value)

    cdef object text_view(self, value, sj_value *view):
        """Sets the view of a text that text_of gave; keep what this gives."""
        cdef size_t size = 0
        if self.code == SJ_FIELD_STR:
            keep = text_encode(value, &view.bytes, &size)
            view.size = size
            return keep
        view.bytes = <const uint8_t *>PyBytes_AS_STRING(value)
        view.size = len(value)
        return value

    cdef Referable target_of(self, value):
        """What a pointer may be set to, as far as it can be told outside of a hold."""
        if value is None:
            return None
        if not isinstance(value, RecordCore):
            if self.target or not isinstance(value, Referable):
                raise wrong_value(self, value)
            return value
        name = (<Form>(<RecordCore>value).version.form).name
        if self.target and name != self.target:
            raise TypeError(f"{self.where}: expected a {self.target} or None, found a {name}")
        return value

    cdef uint64_t pointer_to(self, Space space, Referable target) except? 1:
        """The word of a pointer, in a write hold."""
        cdef int error
        if target is None:
            return 0
        if target.space.space is not space.space:
            raise InvalidArgumentError(
                f"{self.where}: expected what is in the same store, found {target!r} of "
                f"{target.store.name!r}"
            )
        if isinstance(target, RecordCore):
            (<RecordCore>target).must_be_there()
            return (<RecordCore>target).at
        target.enter_write()
        error = sj_structure_share(space.space.segment, target.head, target.serial)
        target.space.leave()
        if error != SJ_OK:
            raise_error(error)
        return target.head

    cdef int write(self, RecordCore record, uint32_t offset, const char *bytes,
                   uint32_t count) except -1:
        record.begin_write()
        cdef bint known = self.index < record.version.known
        cdef int error = SJ_OK
        if known:
            error = sj_record_write(record.space.space.segment, record.at, offset, bytes,
                                    count)
            record.space.changed()
        record.space.leave()
        if not known:
            raise self.unknown(record)
        if error != SJ_OK:
            return raise_error(error)
        return 0

    cdef object unknown(self, RecordCore record):
        return RecordTypeError(
            f"{self.where}: the record at {record.at:#x} was made before its type had "
            "this field: make a new record of it"
        )

    cdef int write_text(self, RecordCore record, object value) except -1:
        cdef sj_value view
        cdef int error = SJ_OK
        text = self.text_of(value)
        keep = self.text_view(text, &view)
        record.begin_write()
        cdef bint known = self.index < record.version.known
        if known:
            error = sj_record_set_text(record.space.space.segment, record.at, self.offset,
                                       &view)
            record.space.changed()
        record.space.leave()
        if not known:
            raise self.unknown(record)
        if error != SJ_OK:
            return raise_error(error)
        return 0

    cdef int write_pointer(self, RecordCore record, object value) except -1:
        cdef uint64_t word
        cdef int error
        cdef Referable target = self.target_of(value)
        record.begin_write()
        try:
            if self.index >= record.version.known:
                raise self.unknown(record)
            word = self.pointer_to(record.space, target)
            error = sj_record_write(record.space.space.segment, record.at, self.offset, &word,
                                    8)
            record.space.changed()
        finally:
            record.space.leave()
        if error != SJ_OK:
            return raise_error(error)
        return 0

    # -- from the media -----------------------------------------------------------------------

    cdef inline object decode(self, const char *at):
        """A number."""
        return number_decode(self.code, self.each, at)

    cdef object decode_all(self, const char *at):
        cdef uint32_t i
        if not self.is_array:
            return self.decode(at)
        return tuple([self.decode(at + i * self.each) for i in range(self.count)])

    cdef object read_text(self, RecordCore record):
        cdef sj_value view
        cdef int error = sj_record_text(record.space.space.segment, record.at, self.offset,
                                        &view)
        if error != SJ_OK:
            raise_error(error)
        if self.code == SJ_FIELD_STR:
            return text_decode(view.bytes, view.size)
        return PyBytes_FromStringAndSize(<const char *>view.bytes, <Py_ssize_t>view.size)

    # -- as an attribute ----------------------------------------------------------------------

    cdef inline RecordCore record_of(self, object instance):
        if not isinstance(instance, RecordCore) or \
                (<RecordCore>instance).version.form is not self.form:
            raise TypeError(f"{self.where}: expected a {self.form.name}, found {instance!r}")
        return <RecordCore>instance

    def __get__(self, instance, owner):
        cdef RecordCore record
        cdef uint64_t at, word
        if instance is None:
            return self
        record = self.record_of(instance)
        record.begin_read()
        at = record.at + self.offset
        if self.index >= record.version.known:
            record.space.leave()
            return self.default
        if self.is_number():
            word = (<uint64_t *><uintptr_t>(at & ~<uint64_t>7))[0] >> 8 * (at & 7)
            record.space.leave()
            return self.decode(<const char *>&word)
        if self.is_array:
            record.space.leave()
            return array_of(record, self)
        try:
            if self.code != SJ_FIELD_PTR:
                return self.read_text(record)
            word = (<uint64_t *><uintptr_t>at)[0]
            if word == 0:
                return None
            return (<Registry>record.registry).open_pointer(record.store, word, self)
        finally:
            record.space.leave()

    def __set__(self, instance, value):
        cdef RecordCore record = self.record_of(instance)
        cdef uint64_t word = 0
        if self.is_number():
            self.encode_number(value, <char *>&word)
            self.write(record, self.offset, <const char *>&word, self.each)
        elif self.is_array:
            raw = self.encode(value)
            self.write(record, self.offset, PyBytes_AS_STRING(raw), self.size)
        elif self.code == SJ_FIELD_PTR:
            self.write_pointer(record, value)
        else:
            self.write_text(record, value)

    def __delete__(self, instance):
        raise AttributeError(f"{self.where}: a field of a record cannot be deleted")

    def _shown(self, RecordCore record):
        """The value for a repr, in a hold: pointers are not followed."""
        cdef uint64_t word
        if self.code != SJ_FIELD_PTR or self.index >= record.version.known:
            return repr(self.__get__(record, None))
        word = (<uint64_t *><uintptr_t>(record.at + self.offset))[0]
        return "None" if word == 0 else f"<{self.target or 'any'} at {word:#x}>"


cdef class Registry(Living):
    def __init__(self, Space space):
        self.space = space
        self.by_schema = {}
        self.by_form = {}
        self.preferred = {}

    cdef int refresh(self) except -1:
        """Forgets what may be there no more; in a hold, as all that follows."""
        cdef uint64_t removals = sj_root_removals(self.space.space.segment)
        if removals != self.removals:
            self.by_schema = {}
            self.by_form = {}
            self.recent = None
            self.removals = removals
        return 0

    cdef Version bind(self, Form form, uint64_t schema):
        cdef const sj_schema *found = self.schema_at(schema)
        cdef Version version = Version.__new__(Version)
        version.form = form
        version.cls = form.cls
        version.schema = schema
        version.known = found.fields
        version.size = found.bytes
        self.by_schema[schema] = version
        self.recent = version
        return version

    cdef Version version_of(self, uint64_t schema):
        cdef const sj_schema *found
        cdef Form form
        cdef list forms
        self.refresh()
        if self.recent is not None and self.recent.schema == schema:
            return self.recent
        known = self.by_schema.get(schema)
        if known is not None:
            self.recent = known
            return known
        found = self.schema_at(schema)
        name = text_decode(<const uint8_t *>sj_schema_text(found), found.name_bytes)
        forms = self.forms_named(name)
        for form in forms:
            if self.compare(form, found) == SJ_OK:
                return self.bind(form, schema)
        if forms:
            raise_error(self.compare(forms[0], found))
        raw = PyBytes_FromStringAndSize(<const char *>found, <Py_ssize_t>sj_schema_size(found))
        self.preferred[name] = form = class_of_schema(raw)
        return self.bind(form, schema)

    cdef Version version_as(self, Form form, uint64_t schema, uint64_t address):
        """The version of a record as one of that class, which another one may be preferred to."""
        cdef const sj_schema *found
        cdef int error
        self.refresh()
        known = self.by_schema.get(schema)
        if known is not None and (<Version>known).form is form:
            return known
        found = self.schema_at(schema)
        name = text_decode(<const uint8_t *>sj_schema_text(found), found.name_bytes)
        if name != form.name:
            raise RecordTypeError(
                f"the record at {address:#x}: expected a {form.name}, found a {name}"
            )
        error = self.compare(form, found)
        if error != SJ_OK:
            raise_error(error)
        self.preferred[name] = form
        return self.bind(form, schema)

    cdef const sj_schema *schema_at(self, uint64_t schema) except NULL:
        cdef const sj_schema *found = sj_schema_at(self.space.space.segment, schema)
        if found is NULL:
            raise_corrupt("the type of a record is damaged: run check()")
        return found

    cdef int compare(self, Form form, const sj_schema *found) noexcept:
        """SJ_OK: the class has the fields of the version, and may have more."""
        cdef int error = sj_schema_compare(self.space.space.segment,
                                           <const sj_schema *>PyBytes_AS_STRING(form.schema), found)
        return SJ_OK if error == SJ_ENOTFOUND else error

    cdef list forms_named(self, str name):
        """The forms that may be for a type, the best first."""
        found = [form for form in (reference() for reference in FORMS.get(name, ())) if form]
        if name in self.preferred:
            found.append(self.preferred[name])
        found.reverse()
        return found

    cdef inline RecordCore handle(self, object store, Version version, uint64_t address):
        return record_made(store, self.space, self, version, address)

    cdef object open_pointer(self, object store, uint64_t at, Field field):
        cdef const sj_record *head = NULL
        cdef Version version
        cdef sj_segment *segment = self.space.space.segment
        cdef sj_structure_info info
        if not field.target and sj_pointer_head(segment, at) == at and \
                sj_structure_look(segment, at, 0, &info) == SJ_OK:
            return store._at(at, info.serial)
        if at > SJ_RECORD_HEAD:
            head = <const sj_record *>sj_segment_block(segment, at - SJ_RECORD_HEAD, SJ_RECORD_HEAD,
                                                      SJ_KIND_RECORD)
        if head is NULL:
            raise NotFoundError(
                f"{field.where} leads to {at:#x}, where there is nothing any more: it was freed"
            )
        version = self.version_of(head.schema)
        if field.target and (<Form>version.form).name != field.target:
            raise NotFoundError(
                f"{field.where} leads to {at:#x}, where there is a {version.form.name} by now: "
                f"the {field.target} was freed"
            )
        return self.handle(store, version, at)

    def at(self, store, Form form, uint64_t address):
        """The record at an address, whose class is that of the form, or any when it is None."""
        cdef const sj_record *head = NULL
        cdef Version version
        cdef int error
        self.space.enter_read()
        try:
            error = sj_record_look(self.space.space.segment, address, &head, NULL)
            if error != SJ_OK:
                raise_error(error)
            if form is None:
                version = self.version_of(head.schema)
            else:
                version = self.version_as(form, head.schema, address)
            return self.handle(store, version, address)
        finally:
            self.space.leave()

    def named(self, store, bytes name):
        """The record of that name, or None when nothing, or no record, has it."""
        cdef sj_root *root = NULL
        cdef int error
        self.space.enter_read()
        try:
            error = sj_root_find(self.space.space.segment, name, len(name), &root)
            if error == SJ_ENOTFOUND or (error == SJ_OK and root.type != SJ_KIND_RECORD):
                return None
            if error != SJ_OK:
                raise_error(error)
            return self.at(store, None, root.pointer + SJ_RECORD_HEAD)
        finally:
            self.space.leave()

    def new(self, store, Form form, dict values):
        """Make a record, and its type when the store has none yet."""
        cdef bytes image = PyBytes_FromStringAndSize(PyBytes_AS_STRING(form.blank), form.size)
        cdef char *fields = PyBytes_AS_STRING(image)
        cdef Field field
        cdef list pointers = []
        cdef list keep = []
        cdef Py_ssize_t i
        for name, value in values.items():
            found = form.by_name.get(name)
            if found is None:
                raise TypeError(f"{form.name} has no field {name!r}")
            field = found
            if field.is_number():
                field.encode_number(value, fields + field.offset)
            elif field.is_array:
                raw = field.encode(value)
                memcpy(fields + field.offset, PyBytes_AS_STRING(raw), field.size)
            elif field.code == SJ_FIELD_PTR and value is not None:
                pointers.append((field, field.target_of(value)))
        cdef bytes views = PyBytes_FromStringAndSize(NULL, len(form.texts) * sizeof(sj_value))
        cdef sj_value *view = <sj_value *>PyBytes_AS_STRING(views)
        for i in range(len(form.texts)):
            field = form.texts[i]
            text = field.text_of(values.get(field.name, field.default))
            keep.append((text, field.text_view(text, &view[i])))
        return self.make(store, form, image, pointers, view)

    cdef object make(self, object store, Form form, bytes image, list pointers,
                     const sj_value *texts):
        cdef char *fields = PyBytes_AS_STRING(image)
        cdef Version version
        cdef Field field
        cdef uint64_t schema = 0, address = 0, word
        cdef int error
        self.space.enter_write()
        try:
            self.refresh()
            version = self.by_form.get(form)
            if version is not None:
                schema = version.schema
            for field, target in pointers:
                word = field.pointer_to(self.space, target)
                memcpy(fields + field.offset, &word, 8)
            error = sj_record_new(self.space.space.segment,
                                  <const sj_schema *>PyBytes_AS_STRING(form.schema), &schema,
                                  fields, texts, &address)
            self.space.changed()
            if error != SJ_OK:
                raise_error(error)
            if version is None:
                self.refresh()
                self.preferred[form.name] = form
                version = self.by_form[form] = self.bind(form, schema)
            return self.handle(store, version, address)
        finally:
            self.space.leave()

    def set_root(self, bytes name, RecordCore record):
        """Give the record a name, or the name another record."""
        cdef int error
        record.begin_write()
        if record.space.space is not self.space.space:
            record.space.leave()
            raise InvalidArgumentError(f"{record!r} is of the store {record.store.name!r}")
        error = sj_record_root_set(record.space.space.segment, name, len(name), record.at)
        record.space.changed()
        record.space.leave()
        if error != SJ_OK:
            raise_error(error)
