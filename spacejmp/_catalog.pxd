# SPDX-License-Identifier: Apache-2.0
"""_catalog.pxd: the catalog of a home, and what names things in it, as Cython sees them."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from spacejmp._space cimport sj_wait


cdef extern from "spacejmp/catalog.h" nogil:
    enum:
        SJ_NAME_MAX
        SJ_WINDOW_ALL
        SJ_WINDOW_FIT

    struct sj_catalog:
        const char *home
        sj_wait wait

    struct sj_vid:
        uint8_t *uuid
        char *name

    struct sj_sid:
        uint8_t *uuid
        char *name


cdef inline int name_id(tuple id, char *name, uint8_t *uuid) except -1:
    """What a VAS or a segment is found by, as C has it: a name, and 16 bytes."""
    cdef bytes raw = id[0].encode()
    cdef bytes number = id[1]
    if len(raw) > SJ_NAME_MAX or number is None or len(number) != 16:
        raise ValueError(f"expected a name and a uuid that were found in the catalog: {id!r}")
    memcpy(name, PyBytes_AS_STRING(raw), len(raw) + 1)
    memcpy(uuid, PyBytes_AS_STRING(number), 16)
    return 0
