# SPDX-License-Identifier: Apache-2.0
"""Segment files as tests damage them: superblocks with right checksums, offsets, copies.

`persistence/media_layout.h` and `checksum.h` are the definition; this follows docs/file-format.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "PAGE",
    "SUPERS",
    "Field",
    "checksum",
    "patch",
    "seal",
    "seal_record",
    "seal_vote",
    "word",
]

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
    VOTE, FORGOTTEN, RECORD = (LOG + at for at in (320, 624, 640))


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


def _seed_of(path: Path) -> int:
    """What the checksums of votes and records of a segment begin with: its uuid."""
    with path.open("rb") as file:
        file.seek(56)
        first, second = struct.unpack("<2Q", file.read(16))
    return _mix(first ^ MIX_A, second ^ MIX_B)


def seal_vote(path: Path, decider: Path, generation: int) -> None:
    """Write a vote for the segment's log as it is: the decider's end of `generation` decides."""
    with decider.open("rb") as file:
        file.seek(56)
        uuid = file.read(16)
    own, name = word(path, Field.GENERATION), decider.name.encode()
    head = struct.pack("<Q16sQQ256s", own, uuid, generation, len(name), name)
    patch(path, Field.VOTE, head + struct.pack("<Q", checksum(_seed_of(path), head)))


def seal_record(path: Path, generation: int, member: Path) -> None:
    """Write a record of that generation with one member, whose log is as it is now."""
    with member.open("rb") as file:
        file.seek(56)
        uuid = file.read(16)
    name = member.name.encode()
    padded = name + bytes(-len(name) % 8)
    raw = struct.pack("<16sQQ", uuid, word(member, Field.GENERATION), len(name)) + padded
    total = checksum(_step(_seed_of(path), generation, len(raw)), raw)
    patch(path, Field.RECORD, struct.pack("<QQQ", generation, len(raw), total) + raw)
