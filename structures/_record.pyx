# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_record.pyx: the objects that stand for records: they find theirs again, or say that it is gone.

A record is there when its block's first word is the one that the object knows, which has a serial,
and its second leads to the same type. Whether the block is in use is looked at only when something
has been undone or removed since (sj_root_removals): a free takes the first word away.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from spacejmp._space cimport SJ_ENOTFOUND, SJ_OK, Space, raise_error, sj_segment
from spacejmp.structures._container cimport Referable, sj_root_removals

from spacejmp.persistence.errors import NotFoundError

cdef extern from *:
    """
    /* An object of a class that derives from `base`, without what the class may do of its own. */
    static PyObject *make_object(PyObject *base, PyObject *made, PyObject *arguments)
    {
        return ((PyTypeObject *)base)->tp_new((PyTypeObject *)made, arguments, NULL);
    }
    """
    object make_object(object base, object made, object arguments)

cdef uint64_t WHAT = 0xffffffff0000ffff  # of a head's first word: kind and serial

cdef tuple EMPTY = ()
cdef int making = 0  # objects that are being made; else nobody may make one


cdef class Version:
    pass


cdef void unlink(Link *link) noexcept:
    link.previous.next = link.next
    link.next.previous = link.previous
    link.previous = link.next = link


cdef class Living:

    def __cinit__(self, *arguments):
        self.ring.previous = self.ring.next = &self.ring

    def __dealloc__(self):
        unlink(&self.ring)  # records may live longer: their ring goes on without it

    def living(self):
        """The places of all records that have objects."""
        cdef list found = []
        cdef Link *link = self.ring.next
        while link != &self.ring:
            found.append((link.head, link.serial))
            link = link.next
        return found


cdef RecordCore record_made(object store, Space space, Living registry, Version version,
                            uint64_t address):
    global making
    cdef RecordCore record
    making += 1
    try:
        record = make_object(RecordCore, version.cls, EMPTY)
    finally:
        making -= 1
    record.version = version
    record.store = store
    record.space = space
    record.registry = registry
    record.at = address
    record.head = address - SJ_RECORD_HEAD
    record.first = (<uint64_t *><uintptr_t>record.head)[0] & WHAT
    record.serial = <uint32_t>(record.first >> 32)
    record.removals = sj_root_removals(space.space.segment)
    record.link.head = record.head
    record.link.serial = record.serial
    record.link.next = &registry.ring
    record.link.previous = registry.ring.previous
    record.link.previous.next = &record.link
    registry.ring.previous = &record.link
    return record


@cython.no_gc_clear  # nothing that it has leads back to it; and whoever finds it may use it
cdef class RecordCore(Referable):

    def __cinit__(self):
        self.link.previous = self.link.next = &self.link
        if making == 0:
            raise TypeError("a record is made in a store: store.new(Class, field=value, …)")

    def __dealloc__(self):
        unlink(&self.link)

    cdef inline bint is_as_it_was(self) noexcept:
        """Whether it is there, as far as its head and the count of removals say."""
        cdef sj_segment *segment = self.space.space.segment
        cdef const uint64_t *words = <const uint64_t *>sj_segment_block_quick(
            segment, self.head, SJ_RECORD_HEAD + self.version.size, SJ_KIND_RECORD)
        return words is not NULL and words[0] & WHAT == self.first and \
            words[1] == self.version.schema and self.removals == sj_root_removals(segment)

    cdef int must_be_there(self) except -1:
        """Looks closer, in a hold."""
        cdef const sj_record *found = NULL
        cdef int error
        if self.is_as_it_was():
            return 0
        error = sj_record_look(self.space.space.segment, self.at, &found, NULL)
        if error != SJ_OK and error != SJ_ENOTFOUND:
            raise_error(error)
        if error != SJ_OK or (<const uint64_t *>found)[0] & WHAT != self.first or \
                found.schema != self.version.schema:
            raise NotFoundError(
                f"the {self.version.form.name} at {self.at:#x} is no longer there: it was freed, "
                "or the transaction that made it was undone"
            )
        self.removals = sj_root_removals(self.space.space.segment)
        return 0

    cdef int find(self) except -1:
        try:
            self.must_be_there()
        except:
            self.space.leave()
            raise
        return 0

    @property
    def address(self):
        """The address of its first field: what C programs and pointers have."""
        return self.at

    @property
    def _place(self):
        """The address of its head, and its serial."""
        return self.head, self.serial

    def __eq__(self, other):
        if not isinstance(other, RecordCore):
            return NotImplemented
        cdef RecordCore that = <RecordCore>other
        return self.at == that.at and self.first == that.first and (
            self.space is that.space
            or (self.space.space is not NULL and self.space.space is that.space.space))

    def __hash__(self):
        return hash((self.at, self.first))

    def __repr__(self):
        name = self.version.form.name
        if self.space.space is NULL:
            return f"<{name} at {self.at:#x} of a closed store>"
        try:
            self.begin_read()
        except NotFoundError:
            return f"<{name} at {self.at:#x}, which is no longer there>"
        try:
            shown = [f"{field.name}={field._shown(self)}" for field in self.version.form.fields]
            return f"{name}({', '.join(shown)})"
        finally:
            self.space.leave()

    def __reduce__(self):
        from spacejmp.structures.record import _reopen_record

        cls = None if self.version.form.made_here else self.version.form.cls
        return _reopen_record, (self.store, cls, self.head, self.serial)


def record_address(RecordCore record not None):
    """The address of its first field, whatever its fields are called."""
    return record.at


def record_free(RecordCore record not None, Space space not None):
    """Free a record of that space, and its texts. NotFoundError."""
    if record.space.space is not space.space:
        raise NotFoundError(f"{record!r} is of the store {record.store.name!r}")
    record.begin_write()
    cdef int error = sj_record_free(record.space.space.segment, record.at)
    record.space.changed()
    record.space.leave()
    if error != SJ_OK:
        raise_error(error)
