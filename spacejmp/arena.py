# SPDX-License-Identifier: Apache-2.0
"""The address arena: where segments lie (``spacejmp/arena.h``: where a new one does).

Bases come from 0x3000_0000_0000 up to 0x5000_0000_0000 (32 TiB), aligned to 1 GiB. Address space
layout randomisation puts programs at 0x55… and libraries at 0x7e…, sanitizers and valgrind accept
this range, so it is free in every process. An *extent* is the base and the reserved size of
a segment, whole GiB both.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

from spacejmp.persistence.errors import InvalidArgumentError

__all__ = [
    "ARENA_END",
    "ARENA_START",
    "DEFAULT_RESERVED",
    "GIB",
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
