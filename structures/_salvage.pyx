# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_salvage.pyx: what is left of a damaged segment: its structures, and their entries.

Binds structures/salvage.h. Pickled values are given as their bytes: what is damaged is not run.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport SJ_OK, raise_error
from spacejmp.structures._codec cimport (
    CODEC_PICKLE,
    SJ_ITEM_WORD,
    codec_kind,
    key_decode,
    sj_item,
    sj_kinds,
    value_decode,
)
from spacejmp.structures._mapping cimport SJ_PUT_NEW, MappingCore, c_bool


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


cdef extern from "structures/salvage.h" nogil:
    const uint32_t SJ_SALVAGE_NOBODY

    struct sj_salvage:
        pass

    struct sj_salvage_structure_t "sj_salvage_structure":
        char *name
        uint16_t name_bytes
        uint16_t type
        bint lost
        uint8_t key_codec
        uint8_t value_codec
        sj_kinds kinds
        bint has_head
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

    int sj_salvage_open(const char *path, const sj_remains_hint *hint, sj_salvage **salvage)
    void sj_salvage_close(sj_salvage *salvage)
    const sj_remains *sj_salvage_remains(const sj_salvage *salvage)
    uint32_t sj_salvage_count(const sj_salvage *salvage)
    const sj_salvage_structure_t *c_structure "sj_salvage_structure"(const sj_salvage *salvage,
                                                                   uint32_t structure)
    const sj_salvage_finding_t *c_finding "sj_salvage_finding"(const sj_salvage *salvage,
                                                             uint64_t number, uint64_t *all)
    uint32_t sj_salvage_read(sj_salvage *salvage, uint32_t structure, sj_salvage_cursor *cursor,
                             uint32_t wanted, sj_item *items)
    bint sj_salvage_is_there(const sj_salvage *salvage, uint32_t structure, const sj_item *item)


cdef enum:
    BATCH = 256

GRADES = (SJ_SALVAGE_SOUND, SJ_SALVAGE_SUSPECT, SJ_SALVAGE_ODD)

Found = namedtuple(
    "Found",
    "name type lost key_codec value_codec word_keys word_values expected blocks found unreadable",
)


cdef class Reading:
    """A reading of the entries of one structure: where it is, and what it has met."""

    cdef readonly object remains
    cdef readonly uint32_t structure
    cdef uint8_t key_codec
    cdef uint8_t value_codec
    cdef sj_salvage_cursor cursor
    cdef readonly bint ended
    cdef readonly uint64_t undecodable
    cdef readonly uint64_t copied
    cdef readonly uint64_t duplicates

    def __cinit__(self, Remains remains, uint32_t structure, uint8_t key_codec,
                  uint8_t value_codec, int grade):
        cdef const sj_salvage_structure_t *told = remains.structure_of(structure)
        self.remains = remains
        self.structure = structure
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.cursor.block = 0
        self.cursor.slot = 0
        self.cursor.grade = <sj_salvage_grade>grade
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
        try:
            key = key_decode(self.key_codec, &item.key)
            if self.value_codec == CODEC_PICKLE:
                value = PyBytes_FromStringAndSize(<const char *>item.value.bytes,
                                                  <Py_ssize_t>item.value.size)
            else:
                value = value_decode(self.value_codec, &item.value, None)
        except Exception:  # whatever damaged bytes make a codec raise
            self.undecodable += 1
            return None
        if not sj_salvage_is_there(remains.opened(), self.structure, item):
            self.undecodable += 1
            return None
        return key, value

    def read(self):
        """The next entries, as (key, value); maybe none. `ended`: there are no more."""
        cdef sj_item[BATCH] items
        cdef uint32_t got = self.fill(items), i
        cdef list batch = []
        for i in range(got):
            pair = self.decode(&items[i])
            if pair is not None:
                batch.append(pair)
        return batch

    def copy(self, MappingCore target):
        """Put the next entries into a structure, byte for byte, but for keys that are there."""
        cdef sj_item[BATCH] items
        cdef uint32_t got = self.fill(items), i
        cdef c_bool existed
        cdef int error
        for i in range(got):
            if self.decode(&items[i]) is None:
                continue
            existed = False
            target.enter_write()
            try:
                error = target.c_put(&items[i].key, &items[i].value, SJ_PUT_NEW, &existed)
                target.space.changed()
            finally:
                target.space.leave()
            if error != SJ_OK:
                raise_error(error)
            if existed:
                self.duplicates += 1
            else:
                self.copied += 1


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
                <bytes>told.name[: told.name_bytes], told.type, bool(told.lost), told.key_codec,
                told.value_codec, told.kinds.key == SJ_ITEM_WORD,
                told.kinds.value == SJ_ITEM_WORD, told.expected if told.has_head else None,
                told.blocks, told.found, told.unreadable,
            ))
        return found

    def samples(self, uint32_t structure, int grade):
        """Keys with their forms, and values, of the first entries, as they are stored."""
        cdef sj_item[BATCH] items
        cdef sj_salvage_cursor cursor
        cdef const sj_salvage_structure_t *told = self.structure_of(structure)
        cdef uint32_t got, i
        cursor.block = 0
        cursor.slot = 0
        cursor.grade = <sj_salvage_grade>grade
        got = sj_salvage_read(self.salvage, structure, &cursor, BATCH, items)
        return [_raw(told, &items[i]) for i in range(got)]

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
