# SPDX-License-Identifier: Apache-2.0
"""What the segments of an attached VAS take up: bytes of their files, and page tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spacejmp._catalog import seg_settings

if TYPE_CHECKING:
    from spacejmp.records import Rights
    from spacejmp.vas_handle import VasHandle

__all__ = ["SegmentStats", "stats_of", "table_bytes"]

_TABLE_BYTES = 4096
_SPANS = (2 << 20, 1 << 30)  # of a table of the first level, and of the second


class SegmentStats(NamedTuple):
    """What a segment of an attached VAS takes up.

    Attributes
    ----------
    name : str
    rights : {"r", "rw"}
        What this process may do with it there.
    window : int or None
        The window that it is in; None: in all.
    file_bytes, live_bytes, free_bytes : int
        Bytes of its file; of blocks in use, rounded up to their size class; and those that can be
        used without growing the file.
    page_size : int
        Bytes of its pages: 4096, or 2 MiB.
    table_bytes : int
        Page tables that it has by the MMU model when all of its file is touched: those of the
        first and second level. They are its own, for its addresses are whole GiB; what lies above
        is a table for each 512 GiB.
    parked : bool
        Whether its page tables are aside, for its addresses are another one's at the moment; the
        switch into the VAS moves them back.
    """

    name: str
    rights: Rights
    window: int | None
    file_bytes: int
    live_bytes: int
    free_bytes: int
    page_size: int
    table_bytes: int
    parked: bool


def table_bytes(size: int, page_size: int) -> int:
    """Bytes of page tables for that many bytes at a whole GiB (`docs/mmu.md`).

    Examples
    --------
    >>> table_bytes(1 << 30, 4096), table_bytes(1 << 30, 2 << 20)
    (2101248, 4096)
    """
    return _TABLE_BYTES * sum(-(-size // span) for span in _SPANS if span > page_size)


def stats_of(handle: VasHandle) -> tuple[SegmentStats, ...]:
    """Make the figures of all segments of a handle."""
    parked = handle.parked
    found = []
    for each in handle.segments:
        heap = handle.store(each.name).stats()
        settings = seg_settings(handle.vas.home, handle.timeout, each.name, each.uuid)
        size = settings.page_size
        found.append(
            SegmentStats(
                each.name,
                each.rights,
                each.window,
                heap.file_bytes,
                heap.live_bytes,
                heap.free_bytes,
                size,
                table_bytes(heap.file_bytes, size),
                each.uuid in parked,
            )
        )
    return tuple(found)
