# SPDX-License-Identifier: Apache-2.0
"""What the catalog says of stores, segments and virtual address spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from spacejmp._space import SegmentInfo
    from spacejmp.persistence.errors import SpaceJmpError

__all__ = ["Rebuilt", "Rights", "SegmentRecord", "VasInfo", "VasRecord", "VasSegment", "record_of"]

Rights = Literal["r", "rw"]


class SegmentRecord(NamedTuple):
    """The segment of a store.

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
    """A store, as the catalog knows it: a virtual address space of one segment.

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
        """The only segment."""
        return self.segments[0]


class Rebuilt(NamedTuple):
    """What `Catalog.rebuild` has found.

    Attributes
    ----------
    records : tuple of VasRecord
        The stores that are in order.
    problems : tuple of SpaceJmpError
        One for each segment file that cannot be part of the catalog.
    """

    records: tuple[VasRecord, ...]
    problems: tuple[SpaceJmpError, ...]


class VasSegment(NamedTuple):
    """A segment as part of a VAS.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes.
    base : int
        Its address.
    reserved : int
        Addresses that belong to it, in bytes.
    rights : {"r", "rw"}
        What the VAS may do with it.
    window : int or None
        In which window of the VAS it is; None: in all of them.
    """

    name: str
    uuid: bytes
    base: int
    reserved: int
    rights: Rights
    window: int | None


class VasInfo(NamedTuple):
    """What the catalog knows of a VAS.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes.
    of_segment : bool
        It is the segment of that name, taken for a VAS.
    created_ns : int
        Wall clock, nanoseconds since 1970.
    mode : int
        Permission bits.
    owner : tuple of int
        User and group.
    tag : int
        Address space identifier for the MMU model, 0 to 4095; 0: none.
    isolation : {"shared", "strict"}
        Whether its segments stay mapped when a thread has left it.
    address_limit : int
        Bytes of addresses that a window may have; 0: no limit.
    segments : tuple of VasSegment
        Ascending by base.
    """

    name: str
    uuid: bytes
    of_segment: bool
    created_ns: int
    mode: int
    owner: tuple[int, int]
    tag: int
    isolation: Literal["shared", "strict"]
    address_limit: int
    segments: tuple[VasSegment, ...]


def record_of(info: SegmentInfo) -> VasRecord:
    """Make the record of the store that is this segment."""
    segment = SegmentRecord(info.name, info.uuid, f"seg/{info.name}.seg", info.base, info.reserved)
    return VasRecord(info.name, info.uuid, info.created_ns, (segment,))
