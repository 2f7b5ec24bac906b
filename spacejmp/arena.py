# SPDX-License-Identifier: Apache-2.0
"""The address arena: where segments lie, and where a new one finds its place.

Bases come from 0x3000_0000_0000 up to 0x5000_0000_0000 (32 TiB), aligned to 1 GiB. Address space
layout randomisation puts programs at 0x55… and libraries at 0x7e…, sanitizers and valgrind accept
this range, so it is free in every process. An *extent* is the base and the reserved size of
a segment, whole GiB both.

A new segment gets one of the free slots that are aligned to its own size, rounded up to a power of
two. Which one is decided by a seed, so that segments of different homes rarely want the same
addresses; aligned slots leave no gaps that nothing fits into. When no such slot is free, the
first gap that is large enough is taken.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, SupportsIndex

from spacejmp.persistence.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ARENA_END",
    "ARENA_START",
    "DEFAULT_RESERVED",
    "GIB",
    "Extents",
    "check_base",
    "check_reserved",
    "is_extent",
]

GIB = 1 << 30
ARENA_START = 0x3000_0000_0000
ARENA_END = 0x5000_0000_0000
DEFAULT_RESERVED = 64 * GIB


def is_extent(base: int, reserved: int) -> bool:
    """Whether these are whole GiB inside the arena."""
    return (
        base % GIB == 0
        and reserved % GIB == 0
        and reserved > 0
        and ARENA_START <= base <= ARENA_END - reserved
    )


def check_reserved(reserved: SupportsIndex) -> int:
    """Check a reserved size, in bytes.

    Raises
    ------
    InvalidArgumentError
        It is not a whole number of GiB, from 1 GiB to the size of the arena.
    """
    size = operator.index(reserved)
    if not is_extent(ARENA_START, size):
        raise InvalidArgumentError(
            f"reserved: expected a whole number of GiB in bytes, from 1 * 2**30 to "
            f"{(ARENA_END - ARENA_START) // GIB} * 2**30; found {size}; "
            f"try {max(1, min(-(-size // GIB), (ARENA_END - ARENA_START) // GIB))} * 2**30"
        )
    return size


def check_base(base: SupportsIndex, reserved: int) -> int:
    """Check a base address that was asked for, for a segment of `reserved` bytes.

    Raises
    ------
    InvalidArgumentError
        It is not aligned to 1 GiB, or the segment would not lie inside the arena.
    """
    address = operator.index(base)
    if not is_extent(address, reserved):
        raise InvalidArgumentError(
            f"base: expected a multiple of 1 GiB (2**30) from {ARENA_START:#x} to "
            f"{ARENA_END - reserved:#x} for {reserved // GIB} GiB reserved; found {address:#x}; "
            f"leave base out to have one chosen"
        )
    return address


class Extents:
    """The extents of known segments; they may overlap.

    Examples
    --------
    >>> extents = Extents()
    >>> extents.add("genes", ARENA_START, 64 * GIB)
    >>> hex(extents.place(64 * GIB, seed=0))
    '0x301000000000'
    """

    def __init__(self) -> None:
        from sortedcontainers import SortedDict

        self._ends: SortedDict[tuple[int, str], int] = SortedDict()

    def add(self, name: str, base: int, reserved: int) -> None:
        """Note that the segment `name` has this extent. O(log n)."""
        self._ends[base, name] = base + reserved

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Give the free ranges of the arena, ascending: start and end. O(n)."""
        start = ARENA_START
        for (base, _), end in self._ends.items():
            if base > start:
                yield start, min(base, ARENA_END)
            start = max(start, end)
            if start >= ARENA_END:
                return
        yield start, ARENA_END

    def place(self, reserved: int, seed: int) -> int | None:
        """Choose a base for a new segment that overlaps none of the known ones.

        Parameters
        ----------
        reserved : int
            Size in bytes, whole GiB.
        seed : int
            Decides between the candidates, ≥ 0.

        Returns
        -------
        int or None
            The base; None when no gap is large enough.

        Complexity
        ----------
        O(n) in the number of known segments.
        """
        step = 1 << (reserved - 1).bit_length()
        slots = [
            range(-(-start // step) * step, end - reserved + 1, step) for start, end in self.gaps()
        ]
        index = seed % max(1, sum(map(len, slots)))
        for candidates in slots:
            if index < len(candidates):
                return candidates[index]
            index -= len(candidates)
        return next((start for start, end in self.gaps() if end - start >= reserved), None)
