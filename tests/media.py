# SPDX-License-Identifier: Apache-2.0
"""Segment files as tests damage them: superblocks with right checksums, offsets, copies.

`persistence/media_layout.h` and `checksum.h` are the definition; this follows docs/file-format.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PAGE", "SUPERS", "Field", "checksum", "patch", "seal", "word"]

PAGE = 4096
SUPERS = (0, PAGE)
ROOT_PAGE = 16384
LOG = 20480
MASK = (1 << 64) - 1
MAGIC = 0x00504D4A43415053
MIX_A, MIX_B, MIX_C = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F


class Field:
    """Offsets in a superblock, the root page and the log header."""

    MAGIC, SEQUENCE, BYTE_ORDER, VERSION, PAGE_BYTES = 0, 8, 16, 24, 28
    RO_COMPAT, INCOMPAT, BASE, RESERVED, STATE, BOOT_ID, NAME_BYTES = 40, 48, 72, 80, 88, 96, 120
    CHECKSUM = 4088
    COMMITTED, CHUNKS, ROOTS, ROOT_COUNT = (ROOT_PAGE + at for at in (0, 8, 352, 864))
    GENERATION, EXTENTS, EXTENT0 = (LOG + at for at in (0, 8, 16))


def _mix(a: int, b: int) -> int:
    product = a * b
    return (product ^ product >> 64) & MASK


def _step(total: int, first: int, second: int) -> int:
    return (_mix(total ^ first ^ MIX_B, second ^ MIX_C) + (total << 1 | total >> 63)) & MASK


def checksum(seed: int, raw: bytes) -> int:
    """The checksum of `persistence/checksum.h`, of whole words."""
    words = struct.unpack(f"<{len(raw) // 8}Q", raw)
    count, odd = len(words), 0
    total = seed ^ MIX_A
    if count >= 16:
        sums = [total, (total + MIX_B) & MASK, (total + MIX_C) & MASK, ~total & MASK]
        for at in range(0, count - 7, 8):
            for lane in range(4):
                sums[lane] = _step(sums[lane], words[at + 2 * lane], words[at + 2 * lane + 1])
        odd = count // 8 * 8
        total = _step(_step(sums[0], sums[1], sums[2]), sums[3], count)
    for at in range(odd, count - 1, 2):
        total = _step(total, words[at], words[at + 1])
    if count % 2:
        total = _step(total, words[-1], 0)
    return _mix(total ^ MIX_A, count ^ MIX_B)


def word(path: Path, at: int) -> int:
    """The 64-bit word at an offset of a file."""
    with path.open("rb") as file:
        file.seek(at)
        found: int = struct.unpack("<Q", file.read(8))[0]
    return found


def patch(path: Path, at: int, raw: bytes) -> None:
    """Overwrite bytes of a file in place."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)


def seal(path: Path, at: int, raw: bytes) -> None:
    """Overwrite bytes of both superblocks, each with its checksum made right."""
    for superblock in SUPERS:
        with path.open("rb") as file:
            file.seek(superblock)
            image = bytearray(file.read(PAGE))
        image[at : at + len(raw)] = raw
        image[Field.CHECKSUM :] = struct.pack("<Q", checksum(MAGIC, bytes(image[: Field.CHECKSUM])))
        patch(path, superblock, bytes(image))
