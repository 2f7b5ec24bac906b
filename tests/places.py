# SPDX-License-Identifier: Apache-2.0
"""Where the entries of a store lie in its file, read from an undamaged one by docs/file-format.md.

An entry lies in its slot's block (of a table: the head and the bucket) and in what the slot leads
to; damage elsewhere must not cost it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from media import Field

import spacejmp as sj
from spacejmp.structures._codec import decode_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Blocks", "Places", "Range", "read_places"]

Range = tuple[int, int]
BTREE, HASHMAP = 4, 7
LEAF_ITEMS, SLOTS = 30, 15
FANOUT_WORD, FANOUT_BYTES = 84, 63


class Blocks(NamedTuple):
    """Offsets of blocks by what they are."""

    roots: list[int]
    heads: list[int]
    inner: list[int]
    leaves: list[int]
    tables: list[int]
    directories: list[int]


class Places(NamedTuple):
    """The entries of each structure with the bytes that they need."""

    entries: dict[str, dict[Any, list[Range]]]
    roots: dict[str, Range]
    blocks: Blocks


class Media:
    """A segment file in memory."""

    def __init__(self, raw: bytes, base: int) -> None:
        self.raw = raw
        self.base = base
        self.blocks = Blocks([], [], [], [], [], [])

    def words(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}Q", self.raw, at)

    def word(self, at: int) -> int:
        return self.words(at, 1)[0]

    def offset(self, address: int) -> int:
        return address - self.base

    def roots(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, type, key codec, head."""
        for address in self.words(Field.ROOTS, 64):
            link = address
            while link:
                at = self.offset(link)
                self.blocks.roots.append(at)
                _, kind, key, _, size, link, head = struct.unpack_from("<HHBBHQQ", self.raw, at)
                yield self.raw[at + 24 : at + 24 + size].decode(), kind, key, self.offset(head)

    def beyond(self, slot: int, word_keys: bool, word_values: bool) -> list[Range]:
        """The block that a slot leads to."""
        if word_keys and (word_values or slot & 7):
            return []
        at = self.offset(slot)
        if word_keys:
            return [(at, at + 16 + self.word(at + 8))]
        _, form, key, value = struct.unpack_from("<HHIQ", self.raw, at)
        return [(at, at + 16 + (key + form + 7) // 8 * 8 + value)]

    def key_of(self, codec: int, first: int, second: int) -> Any:
        name = ("", "int", "float", "bytes", "str", "any")[codec]
        if codec <= 2:
            return decode_key(name, first)
        at = self.offset(second)
        _, form, size, _ = struct.unpack_from("<HHIQ", self.raw, at)
        raw = self.raw[at + 16 : at + 16 + size + form]
        return decode_key(name, raw[:size], raw[size:])

    def tree(self, head: int, codec: int) -> dict[Any, list[Range]]:
        _, keys, values = struct.unpack_from("<HBB", self.raw, head)
        keys, values = keys & 1, values & 1
        top, height = self.words(head + 16, 2)
        found: dict[Any, list[Range]] = {}
        level = [self.offset(top)]
        for _ in range(height):
            self.blocks.inner.extend(level)
            fanout = FANOUT_BYTES if keys else FANOUT_WORD
            level = [
                self.offset(child)
                for at in level
                for child in self.words(at + 32 + 8 * fanout, self.raw[at + 2])
            ]
        self.blocks.leaves.extend(level)
        for at in level:
            for i in range(self.raw[at + 2]):
                first, second = self.word(at + 32 + 8 * i), self.word(at + 272 + 8 * i)
                found[self.key_of(codec, first, second)] = [
                    (at, at + 512),
                    *self.beyond(second, not keys, not values),
                ]
        return found

    def map(self, head: int, codec: int) -> dict[Any, list[Range]]:
        keys, values, depth = struct.unpack_from("<BBI", self.raw, head + 2)
        keys, values = keys & 1, values & 1
        directory = self.offset(self.word(head + 24))
        self.blocks.directories.append(directory)
        found: dict[Any, list[Range]] = {}
        tables = {self.offset(address) for address in self.words(directory + 16, 1 << depth)}
        self.blocks.tables.extend(sorted(tables))
        for at in tables:
            for bucket in range(at + 256, at + 256 + 256 * self.raw[at + 2], 256):
                for i in range(SLOTS):
                    if self.raw[bucket + i]:
                        first, second = self.words(bucket + 16 + 16 * i, 2)
                        found[self.key_of(codec, first, second)] = [
                            (at, at + 256),
                            (bucket, bucket + 256),
                            *self.beyond(second, not keys, not values),
                        ]
        return found


def read_places(path: Path, home: Path) -> Places:
    """Read the places of all entries of an undamaged store that is closed."""
    base = sj.Catalog(home).lookup(path.stem).segment.base
    media = Media(path.read_bytes(), base)
    entries = {}
    for name, kind, codec, head in media.roots():
        media.blocks.heads.append(head)
        read = media.tree if kind == BTREE else media.map
        entries[name] = read(head, codec)
    roots = {
        name: (at, at + 24 + len(name.encode()))
        for name, at in zip(entries, media.blocks.roots, strict=True)
    }
    return Places(entries, roots, media.blocks)
