# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_salvage.pyx: what is left of a damaged segment: its structures, and their entries.

Binds structures/salvage.h. Pickled values are given as their bytes: what is damaged is not run.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport SJ_OK, raise_error, sj_segment
from spacejmp.structures._codec cimport (
    CODEC_NONE,
    CODEC_PICKLE,
    SJ_ITEM_WORD,
    codec_kind,
    key_decode,
    sj_item,
    sj_key,
    sj_kinds,
    sj_value,
    value_decode,
    value_encode,
)
from spacejmp.structures._codec_tools cimport sj_buffer
from spacejmp.structures._container cimport ContainerCore
from spacejmp.structures._deque cimport (
    SJ_DEQUE_UNLIMITED,
    SJ_RIGHT,
    sj_deque,
    sj_deque_extend,
    sj_deque_open,
)
from spacejmp.structures._mapping cimport SJ_PUT_NEW, MappingCore, c_bool


cdef extern from *:
    object PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags)
    const int PyBUF_READ


cdef extern from "persistence/remains.h" nogil:
    enum sj_durability:
        SJ_DURABILITY_PROCESS
        SJ_DURABILITY_POWER

    struct copied_segment "sj_segment":
        char *base
        uint64_t reserved

    struct sj_remains_hint:
        uint64_t base
        uint64_t reserved

    struct sj_remains:
        copied_segment segment
        uint64_t bytes
        uint64_t suspect_pages
        uint64_t lost_pages
        sj_durability durability
        uint32_t notes
        char note[16][512]


    enum sj_remains_state:
        SJ_REMAINS_SUSPECT
        SJ_REMAINS_LOST

    sj_remains_state sj_remains_state_of "sj_remains_state"(const sj_remains *remains,
                                                            const void *at, uint64_t bytes)


cdef extern from "structures/salvage.h" nogil:
    const uint32_t SJ_SALVAGE_NOBODY
    enum:
        SJ_KIND_BTREE
        SJ_KIND_HASHMAP

    struct sj_salvage:
        pass

    struct sj_codecs:
        uint8_t key
        uint8_t value

    struct sj_salvage_structure_t "sj_salvage_structure":
        char *name
        uint16_t name_bytes
        uint16_t type
        bint lost
        bint shared
        sj_codecs by_root
        sj_codecs by_head
        sj_kinds kinds
        bint has_head
        uint64_t head
        uint32_t serial
        uint64_t limit
        uint64_t expected
        uint64_t blocks
        uint64_t found
        uint64_t unreadable

    struct sj_salvage_finding_t "sj_salvage_finding":
        uint64_t offset
        uint32_t structure
        const char *reason

    enum sj_salvage_grade:
        SJ_SALVAGE_SOUND
        SJ_SALVAGE_SUSPECT
        SJ_SALVAGE_ODD

    struct sj_salvage_cursor:
        uint64_t block
        uint32_t slot
        sj_salvage_grade grade
        uint64_t doubtful
        bint quiet

    int sj_salvage_open(const char *path, const sj_remains_hint *hint, sj_salvage **salvage)
    void sj_salvage_close(sj_salvage *salvage)
    const sj_remains *sj_salvage_remains(const sj_salvage *salvage)
    uint32_t sj_salvage_count(const sj_salvage *salvage)
    uint64_t sj_salvage_passed_over(const sj_salvage *salvage)
    const sj_salvage_structure_t *c_structure "sj_salvage_structure"(const sj_salvage *salvage,
                                                                   uint32_t structure)
    const sj_salvage_finding_t *c_finding "sj_salvage_finding"(const sj_salvage *salvage,
                                                             uint64_t number, uint64_t *all)
    uint32_t sj_salvage_read(sj_salvage *salvage, uint32_t structure, sj_salvage_cursor *cursor,
                             uint32_t wanted, sj_item *items)
    struct sj_salvage_part_t "sj_salvage_part":
        const char *name
        const char *type
        uint32_t name_bytes
        uint32_t type_bytes
        const uint64_t *shape
        uint32_t dims
        bint doubt
        uint64_t item_bytes
        const uint8_t *items
        uint64_t bytes

    uint32_t sj_salvage_parts(sj_salvage *salvage, uint32_t structure)
    bint c_part "sj_salvage_part"(sj_salvage *salvage, uint32_t structure, uint32_t number,
                                  sj_salvage_part_t *part)
    bint sj_salvage_is_there(const sj_salvage *salvage, uint32_t structure, const sj_item *item)


cdef extern from "structures/list.h" nogil:
    enum:
        SJ_KIND_LIST

    struct sj_list:
        pass

    int sj_list_open(sj_segment *segment, uint64_t head, sj_list *list)
    int sj_list_append(sj_list *list, const sj_item *item)
    int sj_list_add(sj_list *list, const sj_key *key)


cdef enum:
    BATCH = 256
    PAGE = 4096

GRADES = (SJ_SALVAGE_SOUND, SJ_SALVAGE_SUSPECT, SJ_SALVAGE_ODD)

Found = namedtuple(
    "Found",
    "name type lost shared by_root by_head word_keys word_values head serial limit expected "
    "blocks found",
)


Part = namedtuple("Part", "name type shape item_bytes memory suspect lost")


cdef class References:
    """What references in the values of a structure lead to, by address and serial.

    Codecs ask a container for its store, and that for what lies somewhere: this is both.
    """

    cdef dict targets
    cdef list met  # in the value that is decoded
    cdef uint64_t met_dangling
    cdef readonly set led  # the places that something leads to
    cdef readonly uint64_t dangling

    def __cinit__(self, dict targets):
        self.targets = targets
        self.met = []
        self.led = set()

    @property
    def store(self):
        return self

    def _at(self, head, serial):
        place = head, serial
        target = self.targets.get(place)
        self.met.append(place)
        self.met_dangling += target is None
        return target

    cdef void begin(self) noexcept:
        """Of another value."""
        if self.met:
            self.met = []
            self.met_dangling = 0

    cdef int keep(self) except -1:
        """The value is taken: what it leads to counts."""
        if self.met:
            self.led.update(self.met)
            self.dangling += self.met_dangling
        return 0


cdef class Reading:
    """A reading of the entries of one structure: where it is, and what it has met."""

    cdef readonly object remains
    cdef readonly References references
    cdef readonly uint32_t structure
    cdef uint8_t key_codec
    cdef uint8_t value_codec
    cdef sj_salvage_cursor cursor
    cdef bint in_order
    cdef readonly bint ended
    cdef readonly uint64_t undecodable
    cdef readonly uint64_t copied
    cdef readonly uint64_t duplicates

    def __cinit__(self, Remains remains, uint32_t structure, uint8_t key_codec,
                  uint8_t value_codec, int grade, References references):
        cdef const sj_salvage_structure_t *told = remains.structure_of(structure)
        self.remains = remains
        self.references = references
        self.structure = structure
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.cursor.block = 0
        self.cursor.slot = 0
        self.cursor.grade = <sj_salvage_grade>grade
        self.cursor.doubtful = 0
        self.in_order = told.type not in (SJ_KIND_BTREE, SJ_KIND_HASHMAP)
        self.cursor.quiet = False
        if (codec_kind(key_codec) != told.kinds.key
                or codec_kind(value_codec) != told.kinds.value):
            raise ValueError("codecs that are not of the kinds of the structure's items")

    cdef uint32_t fill(self, sj_item *items) except? 0xFFFFFFFF:
        cdef Remains remains = self.remains
        cdef sj_salvage *salvage = remains.opened()
        cdef uint32_t structure = self.structure, got
        cdef sj_salvage_cursor *cursor = &self.cursor
        PyErr_CheckSignals()
        got = sj_salvage_read(salvage, structure, cursor, BATCH, items)
        self.ended = got < BATCH
        return got

    cdef tuple decode(self, const sj_item *item):
        """Key and value; None, counted, when they are not of the codecs."""
        cdef Remains remains = self.remains
        self.references.begin()
        try:
            key = None if self.key_codec == CODEC_NONE else key_decode(self.key_codec, &item.key)
            if self.value_codec == CODEC_PICKLE:
                value = PyBytes_FromStringAndSize(<const char *>item.value.bytes,
                                                  <Py_ssize_t>item.value.size)
            else:
                value = value_decode(self.value_codec, &item.value, self.references)
        except Exception:  # whatever damaged bytes make a codec raise
            self.undecodable += 1
            return None
        if not sj_salvage_is_there(remains.opened(), self.structure, item):
            self.undecodable += 1
            return None
        return key, value

    @property
    def doubtful(self):
        """Of a sequence: how many items it has met that may be wrong; 0 of others."""
        return self.cursor.doubtful if self.in_order else 0

    def read(self):
        """The next entries, as (key, value); maybe none. `ended`: there are no more."""
        cdef sj_item[BATCH] items
        cdef uint32_t got = self.fill(items), i
        cdef list batch = []
        for i in range(got):
            pair = self.decode(&items[i])
            if pair is not None:
                self.references.keep()
                batch.append(pair)
        return batch

    cdef object rewrite(self, object value, sj_value *encoded, sj_buffer *buffer, target):
        """The value with its references as they are in the new store, if it has any."""
        buffer.references = 0
        if not self.references.met:
            return None
        return value_encode(self.value_codec, value, encoded, buffer, target)

    def copy(self, MappingCore target):
        """Put the next entries into a structure, byte for byte but for references; keys that are
        there stay as they are."""
        cdef sj_item[BATCH] items
        cdef sj_buffer buffer
        cdef uint32_t got = self.fill(items), i
        cdef c_bool existed
        cdef int error
        for i in range(got):
            pair = self.decode(&items[i])
            if pair is None:
                continue
            keep = self.rewrite(pair[1], &items[i].value, &buffer, target)
            existed = False
            target.enter_write()
            if buffer.references:
                target.adopt(&items[i].value)
            try:
                error = target.c_put(&items[i].key, &items[i].value, SJ_PUT_NEW, &existed)
                target.space.changed()
            finally:
                target.space.leave()
            if error != SJ_OK:
                raise_error(error)
            if existed:
                self.duplicates += 1
                continue
            self.copied += 1
            self.references.keep()


    def append(self, ContainerCore target):
        """Put the next items at the end of a sequence, or into a sorted list, byte for byte but for
        references."""
        cdef sj_item[BATCH] items
        cdef sj_buffer buffer
        cdef uint32_t got = self.fill(items), i
        cdef int error
        for i in range(got):
            pair = self.decode(&items[i])
            if pair is None:
                continue
            keep = self.rewrite(pair[1], &items[i].value, &buffer, target)
            target.enter_write()
            if buffer.references:
                target.adopt(&items[i].value)
            error = append_to(target, &items[i], self.key_codec != CODEC_NONE)
            target.space.changed()
            target.space.leave()
            if error != SJ_OK:
                raise_error(error)
            self.copied += 1
            self.references.keep()


cdef int append_to(ContainerCore target, const sj_item *item, bint ordered) noexcept:
    """In a write hold."""
    cdef sj_segment *segment = target.space.space.segment
    cdef sj_deque deque
    cdef sj_list items
    cdef int error
    if target.c_type() != SJ_KIND_LIST:
        error = sj_deque_open(segment, target.head, &deque)
        return error if error != SJ_OK else sj_deque_extend(&deque, SJ_RIGHT, &item.value, 1)
    error = sj_list_open(segment, target.head, &items)
    if error != SJ_OK:
        return error
    return sj_list_add(&items, &item.key) if ordered else sj_list_append(&items, item)


cdef class Remains:
    """A private copy of a segment file, and what was found in it."""

    cdef sj_salvage *salvage

    def __cinit__(self, path, base=0, reserved=0):
        cdef bytes c_path = path if isinstance(path, bytes) else path.encode(
            "utf-8", "surrogateescape"
        )
        cdef sj_remains_hint hint
        cdef const char *at = c_path
        cdef int error
        hint.base = base
        hint.reserved = reserved
        with nogil:
            error = sj_salvage_open(at, &hint, &self.salvage)
        if error != SJ_OK:
            self.salvage = NULL
            raise_error(error)

    def __dealloc__(self):
        if self.salvage is not NULL:
            sj_salvage_close(self.salvage)

    cdef sj_salvage *opened(self) except NULL:
        if self.salvage is NULL:
            raise ValueError("what is left of the segment has been closed")
        return self.salvage

    cdef const sj_salvage_structure_t *structure_of(self, uint32_t number) except NULL:
        if number >= sj_salvage_count(self.opened()):
            raise IndexError(number)
        return c_structure(self.salvage, number)

    def close(self):
        """Unmap the copy."""
        if self.salvage is not NULL:
            sj_salvage_close(self.salvage)
        self.salvage = NULL

    def structures(self):
        """What was found, as a list of Found."""
        cdef const sj_salvage_structure_t *told
        cdef uint32_t number
        cdef list found = []
        for number in range(sj_salvage_count(self.opened())):
            told = c_structure(self.salvage, number)
            found.append(Found(
                <bytes>told.name[: told.name_bytes], told.type, bool(told.lost), bool(told.shared),
                (told.by_root.key, told.by_root.value), (told.by_head.key, told.by_head.value),
                told.kinds.key == SJ_ITEM_WORD, told.kinds.value == SJ_ITEM_WORD, told.head,
                told.serial, None if told.limit == SJ_DEQUE_UNLIMITED else told.limit,
                told.expected if told.has_head else None, told.blocks, told.found,
            ))
        return found

    def unreadable(self, uint32_t structure):
        """How many entries of a structure were named and not there, until now."""
        return self.structure_of(structure).unreadable

    def samples(self, uint32_t structure, int grade):
        """Keys with their forms, and values, of the first entries, as they are stored."""
        cdef sj_item[BATCH] items
        cdef sj_salvage_cursor cursor
        cdef const sj_salvage_structure_t *told = self.structure_of(structure)
        cdef uint32_t got, i
        cursor.block = 0
        cursor.slot = 0
        cursor.grade = <sj_salvage_grade>grade
        cursor.quiet = True
        got = sj_salvage_read(self.salvage, structure, &cursor, BATCH, items)
        return [_raw(told, &items[i]) for i in range(got)]

    def parts(self, uint32_t structure):
        """The blocks of items of an array or a table that can be read, each as Part."""
        cdef sj_salvage_part_t part
        cdef uint32_t number, i
        cdef list found = []
        self.structure_of(structure)
        for number in range(sj_salvage_parts(self.salvage, structure)):
            if not c_part(self.salvage, structure, number, &part):
                continue
            memory = b"" if part.bytes == 0 else PyMemoryView_FromMemory(
                <char *>part.items, <Py_ssize_t>part.bytes, PyBUF_READ)
            found.append(Part(
                <bytes>part.name[: part.name_bytes], <bytes>part.type[: part.type_bytes],
                tuple([part.shape[i] for i in range(part.dims)]), part.item_bytes, memory,
                [(0, part.bytes)] if part.doubt
                else self.bad_bytes(part.items, part.bytes, SJ_REMAINS_SUSPECT),
                self.bad_bytes(part.items, part.bytes, SJ_REMAINS_LOST),
            ))
        return found

    cdef list bad_bytes(self, const uint8_t *items, uint64_t bytes, sj_remains_state least):
        """Which of them lie on pages of that state, or a worse one: ranges (from, to)."""
        cdef const sj_remains *remains = sj_salvage_remains(self.salvage)
        cdef uint64_t at = 0, end, begin = bytes
        cdef list found = []
        while at < bytes:
            end = min(bytes, at + PAGE - (<uint64_t><size_t>items + at) % PAGE)
            if sj_remains_state_of(remains, items + at, end - at) >= least:
                begin = min(begin, at)
            elif begin < bytes:
                found.append((begin, at))
                begin = bytes
            at = end
        if begin < bytes:
            found.append((begin, bytes))
        return found

    def findings(self):
        """Blocks that could not be used: (offset, number of the structure or None, reason), and
        how many there are in all."""
        cdef const sj_salvage_finding_t *finding
        cdef uint64_t number = 0, all = 0
        cdef list found = []
        while True:
            finding = c_finding(self.opened(), number, &all)
            if finding is NULL:
                return found, all
            whose = None if finding.structure == SJ_SALVAGE_NOBODY else finding.structure
            found.append((finding.offset, whose, (<bytes>finding.reason).decode()))
            number += 1

    def facts(self):
        """What is known of the segment as a whole, as a dict."""
        cdef const sj_remains *remains = sj_salvage_remains(self.opened())
        cdef uint32_t i
        return {
            "base": <uint64_t><size_t>remains.segment.base,
            "reserved": remains.segment.reserved,
            "file_bytes": remains.bytes,
            "suspect_pages": remains.suspect_pages,
            "lost_pages": remains.lost_pages,
            "passed_over": sj_salvage_passed_over(self.salvage),
            "power": remains.durability == SJ_DURABILITY_POWER,
            "notes": [(<bytes>remains.note[i]).decode("utf-8", "replace")
                      for i in range(remains.notes)],
        }


cdef tuple _raw(const sj_salvage_structure_t *told, const sj_item *item):
    cdef const char *key = <const char *>item.key.bytes
    form = b""
    if told.kinds.key == SJ_ITEM_WORD:
        first = item.key.word
    else:
        first = key[: item.key.size]
        form = (key + item.key.size)[: item.key.form_size]
    if told.kinds.value == SJ_ITEM_WORD:
        return first, form, item.value.word
    return first, form, (<const char *>item.value.bytes)[: item.value.size]
