# SPDX-License-Identifier: Apache-2.0
"""Catalog records: what the file ``vas/<name>.vas`` says of a virtual address space.

A record is a msgpack map::

    format      1
    name        the name of the VAS, as the file's
    uuid        16 bytes
    created_ns  wall clock, nanoseconds since 1970
    segments    [{name, uuid, file, base, reserved}]; `file` is relative to the home

I1  Format 1 holds exactly one segment, which has the name of the VAS and lies in
    ``seg/<name>.seg``.
I2  Then the record is a function of that segment's header (`record_of`), so that a lost or damaged
    one is rebuilt exactly as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from spacejmp.arena import is_extent
from spacejmp.persistence.errors import CorruptError, SpaceJmpError, VersionError

if TYPE_CHECKING:
    from spacejmp._space import SegmentInfo

__all__ = [
    "RECORD_BYTES_MAX",
    "Rebuilt",
    "SegmentRecord",
    "VasRecord",
    "decode_record",
    "encode_record",
    "record_of",
]

RECORD_FORMAT = 1
RECORD_BYTES_MAX = 64 * 1024


class SegmentRecord(NamedTuple):
    """One segment of a VAS.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes; names the lock file too.
    file : str
        Where it is, relative to the home.
    base : int
        Its address.
    reserved : int
        Addresses that belong to it, in bytes.
    """

    name: str
    uuid: bytes
    file: str
    base: int
    reserved: int


class VasRecord(NamedTuple):
    """A virtual address space, as the catalog knows it.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes.
    created_ns : int
        Wall clock, nanoseconds since 1970.
    segments : tuple of SegmentRecord
    """

    name: str
    uuid: bytes
    created_ns: int
    segments: tuple[SegmentRecord, ...]

    @property
    def segment(self) -> SegmentRecord:
        """The only segment (I1)."""
        return self.segments[0]


class Rebuilt(NamedTuple):
    """What `Catalog.rebuild` has found.

    Attributes
    ----------
    records : tuple of VasRecord
        The VASes whose records are now in order.
    problems : tuple of SpaceJmpError
        One for each segment file that cannot be part of the catalog.
    """

    records: tuple[VasRecord, ...]
    problems: tuple[SpaceJmpError, ...]


def record_of(info: SegmentInfo) -> VasRecord:
    """Make the record of the VAS that consists of this segment (I2)."""
    segment = SegmentRecord(info.name, info.uuid, f"seg/{info.name}.seg", info.base, info.reserved)
    return VasRecord(info.name, info.uuid, info.created_ns, (segment,))


def encode_record(record: VasRecord) -> bytes:
    """Make the bytes of a record file."""
    packed: bytes = msgpack.packb(
        {
            "format": RECORD_FORMAT,
            "name": record.name,
            "uuid": record.uuid,
            "created_ns": record.created_ns,
            "segments": [segment._asdict() for segment in record.segments],
        }
    )
    return packed


def decode_record(data: bytes, name: str, path: str) -> VasRecord:
    """Read the bytes of the record file `path`, which is to be that of the VAS `name`.

    Raises
    ------
    VersionError
        A later version has written it.
    CorruptError
        It is damaged: not msgpack, another shape or type, or another name.
    """
    try:
        if len(data) > RECORD_BYTES_MAX:
            raise ValueError(f"more than {RECORD_BYTES_MAX} bytes")
        fields = msgpack.unpackb(data)
        if type(fields) is not dict:
            raise ValueError(f"expected a map, found {type(fields).__name__}")
        version = _field(fields, "format", int)
        if version > RECORD_FORMAT:
            raise VersionError(
                f"catalog record {path!r}: expected format {RECORD_FORMAT}, found {version}; "
                f"use a later spacejmp, or remove this file to have it rebuilt"
            )
        if version != RECORD_FORMAT:
            raise ValueError(f"expected format {RECORD_FORMAT}, found {version}")
        return _checked(fields, name)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        if isinstance(error, VersionError):
            raise
        raise CorruptError(
            f"catalog record {path!r} is damaged: {error}; it will be rebuilt from the segment"
        ) from error


def _checked(fields: dict[Any, Any], name: str) -> VasRecord:
    """Make the record in these fields; ValueError when they break I1 or have other types."""
    segments = _field(fields, "segments", list)
    if len(segments) != 1 or type(segments[0]) is not dict:
        raise ValueError("expected one segment")
    record = VasRecord(
        _field(fields, "name", str),
        _field(fields, "uuid", bytes),
        _field(fields, "created_ns", int),
        (
            SegmentRecord(
                _field(segments[0], "name", str),
                _field(segments[0], "uuid", bytes),
                _field(segments[0], "file", str),
                _field(segments[0], "base", int),
                _field(segments[0], "reserved", int),
            ),
        ),
    )
    segment = record.segment
    if record.name != name or segment.name != name or segment.file != f"seg/{name}.seg":
        raise ValueError(f"expected the record of {name!r}, found that of {record.name!r}")
    if len(record.uuid) != 16 or len(segment.uuid) != 16:
        raise ValueError("a uuid has not 16 bytes")
    if not is_extent(segment.base, segment.reserved):
        raise ValueError(f"base {segment.base:#x} and reserved {segment.reserved:#x} are no extent")
    return record


def _field(fields: dict[Any, Any], key: str, kind: type) -> Any:
    """Take the value of a key, of exactly this type."""
    value = fields.get(key)
    if type(value) is not kind:
        raise ValueError(f"field {key!r}: expected {kind.__name__}, found {type(value).__name__}")
    return value
