# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_roots.pyx: structures in an attached space, by name or by place: making, finding, dropping.

Binds persistence/roots.h and structures/structure.h. Each function takes the hold that it needs.
"""

from collections import namedtuple

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_ENOTFOUND,
    SJ_OK,
    Space,
    raise_error,
    sj_segment,
    sj_segment_committed,
    sj_tx_op_abort,
    sj_tx_op_begin,
    sj_tx_op_commit,
    sj_tx_ready,
)
from spacejmp.structures._container cimport sj_codecs, sj_structure_info, sj_structure_look


cdef extern from "persistence/roots.h" nogil:
    enum:
        SJ_KIND_BTREE
        SJ_KIND_DEQUE
        SJ_KIND_HASHMAP
        SJ_KIND_QUEUE
        SJ_KIND_LIST
        SJ_KIND_POINTER
        SJ_KIND_RECORD

    struct sj_root:
        uint16_t type
        uint8_t key_codec
        uint8_t value_codec
        uint16_t name_bytes
        uint64_t pointer
        char *name

    int sj_root_find(const sj_segment *segment, const char *name, size_t name_bytes, sj_root **root)
    int sj_root_add(sj_segment *segment, const char *name, size_t name_bytes, uint16_t type,
                    uint8_t key_codec, uint8_t value_codec, uint64_t pointer)
    int sj_root_remove(sj_segment *segment, const char *name, size_t name_bytes)
    int sj_root_next(const sj_segment *segment, const sj_root *previous, sj_root **next)


cdef extern from "structures/structure.h" nogil:
    int sj_structure_create(sj_segment *segment, uint16_t kind, sj_codecs codecs, uint64_t *head)
    int sj_structure_destroy(sj_segment *segment, uint64_t head)
    int sj_structure_share(sj_segment *segment, uint64_t head, uint32_t serial)


cdef enum:
    ROOT_BYTES_MIN = 24  # so many roots at most are no cycle of damaged links

BTREE = SJ_KIND_BTREE
DEQUE = SJ_KIND_DEQUE
HASHMAP = SJ_KIND_HASHMAP
QUEUE = SJ_KIND_QUEUE
LIST = SJ_KIND_LIST
POINTER = SJ_KIND_POINTER
RECORD = SJ_KIND_RECORD

RootRecord = namedtuple("RootRecord", "type key_codec value_codec")
Found = namedtuple("Found", "type key_codec value_codec serial")


def find(Space space, bytes name):
    """The root's record, or None when there is none of that name."""
    cdef sj_root *root = NULL
    cdef int error
    space.enter_read()
    try:
        error = sj_root_find(space.space.segment, name, len(name), &root)
        if error == SJ_ENOTFOUND:
            return None
        if error != SJ_OK:
            raise_error(error)
        return RootRecord(root.type, root.key_codec, root.value_codec)
    finally:
        space.leave()


def listing(Space space):
    """All roots: a list of (name, RootRecord), sorted by name."""
    cdef sj_root *root = NULL
    cdef int error
    cdef uint64_t left
    cdef list found = []
    space.enter_read()
    try:
        left = min(space.space.segment.root_page.root_count,
                   sj_segment_committed(space.space.segment) // ROOT_BYTES_MIN)
        while True:
            error = sj_root_next(space.space.segment, root, &root)
            if error != SJ_OK:
                raise_error(error)
            if root is NULL or left == 0:
                break
            left -= 1
            if root.name[0] == 0:  # the types of records: users' names have no NUL
                continue
            name = root.name[: root.name_bytes].decode("utf-8", "replace")
            found.append((name, RootRecord(root.type, root.key_codec, root.value_codec)))
    finally:
        space.leave()
    found.sort()
    return found


cdef int name_it(sj_segment *segment, bytes name, const sj_structure_info *info,
                 uint64_t head) noexcept:
    return sj_root_add(segment, name, len(name), info.kind, info.codecs.key, info.codecs.value,
                       head)


cdef int create_in(sj_segment *segment, name, sj_structure_info *info, uint64_t *head) noexcept:
    """The structure and its root, if it is to have one, appear in one operation."""
    cdef int error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    error = sj_structure_create(segment, info.kind, info.codecs, head)
    if error == SJ_OK and name is not None:
        error = name_it(segment, name, info, head[0])
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    error = sj_tx_op_commit(segment)
    return sj_structure_look(segment, head[0], 0, info) if error == SJ_OK else error


def create(Space space, name, uint16_t kind, uint8_t key_codec, uint8_t value_codec):
    """Make an empty structure, and its root unless `name` is None; its address and serial.

    AlreadyExistsError, SpaceFullError, ReadOnlyError.
    """
    cdef sj_structure_info info
    cdef uint64_t head = 0
    cdef int error
    info.kind = kind
    info.codecs.key = key_codec
    info.codecs.value = value_codec
    space.enter_write()
    try:
        error = create_in(space.space.segment, name, &info, &head)
        space.changed()
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return head, info.serial


def look(Space space, uint64_t head, uint32_t serial):
    """What lies at an address, as Found. NotFoundError, CorruptError."""
    cdef sj_structure_info info
    cdef int error
    space.enter_read()
    try:
        error = sj_structure_look(space.space.segment, head, serial, &info)
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return Found(info.kind, info.codecs.key, info.codecs.value, info.serial)


cdef int assign_in(sj_segment *segment, bytes name, uint64_t head, uint32_t serial) noexcept:
    cdef sj_structure_info info
    cdef int error = sj_structure_share(segment, head, serial)
    if error == SJ_OK:
        error = sj_structure_look(segment, head, serial, &info)
    if error == SJ_OK:
        error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    error = name_it(segment, name, &info, head)
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    return sj_tx_op_commit(segment)


def assign(Space space, bytes name, uint64_t head, uint32_t serial):
    """Give a structure that is there a name, or one more. AlreadyExistsError, NotFoundError."""
    cdef int error
    space.enter_write()
    try:
        error = assign_in(space.space.segment, name, head, serial)
        space.changed()
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)


cdef int drop_in(sj_segment *segment, bytes name) noexcept:
    cdef sj_root *root = NULL
    cdef sj_structure_info info
    cdef int error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    error = sj_root_find(segment, name, len(name), &root)
    if error == SJ_OK and root.type != SJ_KIND_POINTER:
        error = sj_structure_look(segment, root.pointer, 0, &info)
        if error == SJ_OK and not info.shared:  # else something may lead to it
            error = sj_structure_destroy(segment, root.pointer)
    if error == SJ_OK:
        error = sj_root_remove(segment, name, len(name))
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    return sj_tx_op_commit(segment)


def drop(Space space, bytes name):
    """Remove a structure with all that is in it, as one operation. NotFoundError, ReadOnlyError."""
    cdef int error
    space.enter_write()
    try:
        error = drop_in(space.space.segment, name)
        space.changed()
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
