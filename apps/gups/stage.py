# SPDX-License-Identifier: Apache-2.0
"""The windows: segments of a home that is made for it, filled, and there for each design.

Two segments for each window: of the first kind each has addresses of its own, of the second all
have the same. The designs that are not SpaceJMP work on files of the first kind.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import spacejmp as sj
from spacejmp._space import Space
from spacejmp.apps.amounts import GIB, check_room
from spacejmp.apps.gups._gups import (
    UPDATES_MAX,
    Crew,
    Pending,
    Windows,
    make_block,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

    from spacejmp.records import SegmentRecord

__all__ = ["Stage"]

PENDING_BYTES = 2 * 8 * UPDATES_MAX
SPARE_BYTES = 64 << 20
"""What the segments take besides the tables, and the page tables of all mappings, at the least."""


class _Made(NamedTuple):
    """A segment, and where its block is."""

    segment: SegmentRecord
    offset: int


class Stage:
    """Windows and processes for all designs, until the `with` block ends.

    Parameters
    ----------
    directory : Path
        Where the home is made: on tmpfs.
    windows : int
        How many at the most.
    window_bytes : int
        Of a table: a power of two, at most 512 MiB. Each window reserves 1 GiB of addresses.
    progress : callable
        Called with how many steps are done, and how many there are.

    Attributes
    ----------
    apart, overlapping, maps : Windows
        For SpaceJMP with all at home, for SpaceJMP with moves, and for MAP.
    crew : Crew
        A process for each window but the first.
    pending : Pending
        In the heap segment.

    Raises
    ------
    CommandError
        Memory is short; nothing has been made then.
    """

    def __init__(
        self,
        directory: Path,
        windows: int,
        window_bytes: int,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._windows = windows
        self._window_bytes = window_bytes
        self._words = window_bytes // 8
        self._progress = progress
        self._exits = ExitStack()
        needed = 2 * windows * window_bytes
        check_room(
            directory,
            needed + needed // 64 + SPARE_BYTES,
            "use fewer --windows, a smaller --window-bytes (two segments have it for each window), "
            "or another --directory",
        )
        self._directory = directory

    def __enter__(self) -> Self:
        with self._exits as exits:
            home = exits.enter_context(
                tempfile.TemporaryDirectory(prefix="spacejmp-gups-", dir=self._directory)
            )
            self._set(sj.Catalog(home))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _set(self, catalog: sj.Catalog) -> None:
        count = self._windows
        apart = []
        overlapping: list[_Made] = []
        for i in range(count):
            self._progress(i, 2 * count)
            apart.append(self._make(catalog, f"apart-{i}", self._window_bytes))
            base = overlapping[0].segment.base if overlapping else None
            overlapping.append(self._make(catalog, f"over-{i}", self._window_bytes, base))
        heap = self._make(catalog, "heap", PENDING_BYTES)
        self.apart = self._map(catalog, apart)
        self.overlapping = self._map(catalog, overlapping)
        self.maps = self._map(catalog, apart)
        self.maps.make_room()
        for i in range(count):
            self._progress(count + i, 2 * count)
            self.apart.fill(i)
            self.overlapping.fill(i)
        # The processes before anything is attached: they have nothing of it then.
        self.crew = self._exits.enter_context(Crew(self.apart))
        for windows, made in ((self.apart, apart), (self.overlapping, overlapping)):
            self._exits.callback(windows.detach)
            windows.attach([_described(catalog, each) for each in made], _described(catalog, heap))
        self._progress(2 * count, 2 * count)
        path, lock = catalog.segment_path(heap.segment), catalog.lock_path(heap.segment)
        space = Space(path, lock, uuid=heap.segment.uuid)
        self._exits.callback(space.detach)
        self.pending = Pending(space.base + heap.offset, space)

    def _make(self, catalog: sj.Catalog, name: str, size: int, base: int | None = None) -> _Made:
        """A segment with a block of that size."""
        segment = catalog.create(name, base, GIB).segment
        space = Space(catalog.segment_path(segment), catalog.lock_path(segment))
        try:
            return _Made(segment, make_block(space, size) - space.base)
        finally:
            space.detach()

    def _map(self, catalog: sj.Catalog, made: list[_Made]) -> Windows:
        files = []
        for segment, offset in made:
            fd = os.open(catalog.segment_path(segment), os.O_RDWR | os.O_CLOEXEC)
            self._exits.callback(os.close, fd)
            files.append((fd, offset))
        return Windows(files, self._words)


def _described(catalog: sj.Catalog, made: _Made) -> tuple[bytes, bytes, bytes, int]:
    """The segment, for attaching it as part of a VAS."""
    path, lock = catalog.segment_path(made.segment), catalog.lock_path(made.segment)
    return os.fsencode(path), os.fsencode(lock), made.segment.uuid, made.segment.base
