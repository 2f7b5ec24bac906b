# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_roots.pyx: structures by name in an attached space: making, finding, dropping, checking.

Binds persistence/roots.h and structures/check.h. Each function takes the hold that it needs.
"""

from collections import namedtuple

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint16_t, uint64_t

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
from spacejmp.structures._codec cimport codec_kind, sj_kinds


cdef extern from "persistence/roots.h" nogil:
    enum:
        SJ_KIND_BTREE
        SJ_KIND_HASHMAP
        SJ_KIND_POINTER

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


cdef extern from "structures/btree.h" nogil:
    struct sj_btree:
        pass
    int sj_btree_create(sj_segment *segment, sj_kinds kinds, uint64_t *head)
    int sj_btree_open(sj_segment *segment, uint64_t head, sj_btree *tree)
    int sj_btree_destroy(sj_btree *tree)


cdef extern from "structures/hashmap.h" nogil:
    struct sj_hashmap:
        pass
    int sj_hashmap_create(sj_segment *segment, sj_kinds kinds, uint64_t *head)
    int sj_hashmap_open(sj_segment *segment, uint64_t head, sj_hashmap *map)
    int sj_hashmap_destroy(sj_hashmap *map)


cdef extern from "persistence/heap.h" nogil:
    struct sj_heap_stats_t "sj_heap_stats":
        uint64_t file_bytes
        uint64_t live_bytes
        uint64_t live_blocks
        uint64_t free_bytes
        uint64_t meta_bytes
    int c_heap_stats "sj_heap_stats"(const sj_segment *segment, sj_heap_stats_t *stats)


cdef extern from "structures/check.h" nogil:
    struct sj_check_report:
        uint64_t structures
        uint64_t items
        uint64_t blocks
        uint64_t bytes
        uint64_t leaked_blocks
        uint64_t leaked_bytes
        uint64_t verified_pages
        uint64_t unverified_pages
        uint64_t freed_blocks
        uint64_t freed_bytes

    struct sj_check_options:
        bint repair
        int (*progress)(void *context, uint64_t done, uint64_t total) noexcept nogil
        void (*accepted)(void *context, const char *what) noexcept nogil
        void *context

    int sj_check_with(sj_segment *segment, const sj_check_options *options, sj_check_report *report)


cdef enum:
    ROOT_BYTES_MIN = 24  # so many roots at most are no cycle of damaged links

BTREE = SJ_KIND_BTREE
HASHMAP = SJ_KIND_HASHMAP
POINTER = SJ_KIND_POINTER

RootRecord = namedtuple("RootRecord", "type key_codec value_codec")


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
            name = root.name[: root.name_bytes].decode("utf-8", "replace")
            found.append((name, RootRecord(root.type, root.key_codec, root.value_codec)))
    finally:
        space.leave()
    found.sort()
    return found


cdef int create_in(sj_segment *segment, bytes name, uint16_t type, uint8_t key_codec,
                   uint8_t value_codec, sj_kinds kinds) noexcept:
    """The structure and its root appear in one operation."""
    cdef uint64_t head = 0
    cdef int error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    if type == SJ_KIND_BTREE:
        error = sj_btree_create(segment, kinds, &head)
    else:
        error = sj_hashmap_create(segment, kinds, &head)
    if error == SJ_OK:
        error = sj_root_add(segment, name, len(name), type, key_codec, value_codec, head)
    if error != SJ_OK:
        return sj_tx_op_abort(segment, error)
    sj_tx_ready(segment)
    return sj_tx_op_commit(segment)


def create(Space space, bytes name, uint16_t kind, uint8_t key_codec, uint8_t value_codec):
    """Make an empty structure and its root. AlreadyExistsError, SpaceFullError, ReadOnlyError."""
    cdef sj_kinds kinds
    cdef int error
    kinds.key = codec_kind(key_codec)
    kinds.value = codec_kind(value_codec)
    space.enter_write()
    try:
        error = create_in(space.space.segment, name, kind, key_codec, value_codec, kinds)
        space.changed()
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)


cdef int drop_in(sj_segment *segment, bytes name) noexcept:
    cdef sj_root *root = NULL
    cdef sj_btree tree
    cdef sj_hashmap map
    cdef int error = sj_tx_op_begin(segment)
    if error != SJ_OK:
        return error
    error = sj_root_find(segment, name, len(name), &root)
    if error == SJ_OK and root.type == SJ_KIND_BTREE:
        error = sj_btree_open(segment, root.pointer, &tree)
        if error == SJ_OK:
            error = sj_btree_destroy(&tree)
    elif error == SJ_OK and root.type != SJ_KIND_POINTER:
        error = sj_hashmap_open(segment, root.pointer, &map)
        if error == SJ_OK:
            error = sj_hashmap_destroy(&map)
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


def heap_stats(Space space):
    """What the file's bytes are used for, as a dict of numbers."""
    cdef sj_heap_stats_t stats
    cdef sj_segment *segment
    cdef int error
    space.enter_read()
    segment = space.space.segment  # with the GIL: another thread may detach this reference
    try:
        with nogil:
            error = c_heap_stats(segment, &stats)
    finally:
        space.leave()
    if error != SJ_OK:
        raise_error(error)
    return stats


cdef class Watch:
    """What a check calls back with."""

    cdef object progress  # (done, total), or None
    cdef list accepted
    cdef list raised


cdef int on_progress(void *context, uint64_t done, uint64_t total) noexcept nogil:
    """1 when a signal handler or the caller's function has raised."""
    with gil:
        try:
            PyErr_CheckSignals()
            if (<Watch>context).progress is not None:
                (<Watch>context).progress(done, total)
        except BaseException as raised:
            (<Watch>context).raised.append(raised)
            return 1
    return 0


cdef void on_accepted(void *context, const char *what) noexcept nogil:
    with gil:
        (<Watch>context).accepted.append((<bytes>what).decode("utf-8", "replace"))


def check(Space space, bint repair, progress):
    """Verify everything; a dict of what was found. CorruptError names the first damage."""
    cdef sj_check_report report
    cdef sj_check_options options
    cdef sj_segment *segment
    cdef Watch watch = Watch()
    cdef int error
    watch.progress = progress
    watch.accepted = []
    watch.raised = []
    options.repair = repair
    options.progress = on_progress
    options.accepted = on_accepted
    options.context = <void *>watch
    if repair:
        space.enter_write()
    else:
        space.enter_read()
    segment = space.space.segment  # with the GIL: another thread may detach this reference
    try:
        with nogil:
            error = sj_check_with(segment, &options, &report)
        if repair:
            space.changed()
    finally:
        space.leave()
    if watch.raised:
        raise watch.raised[0]
    if error != SJ_OK:
        raise_error(error)
    return {**report, "accepted": tuple(watch.accepted)}
