# SPDX-License-Identifier: Apache-2.0
"""What a store says of itself: its structures, its bytes, what a check has found."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CheckReport", "CollectReport", "RootInfo", "StoreStats", "Usage"]


class RootInfo(NamedTuple):
    """What a store says of one of its structures."""

    name: str
    kind: str
    """"btree", "hashmap", "sortedset" or "set"; "pointer": a named pointer of a VAS
    (`spacejmp.vas_attach`)."""
    key: str
    """The key codec; "" of a pointer."""
    value: str
    """The value codec; "" of a set or a pointer."""


class StoreStats(NamedTuple):
    """What the bytes of a store's file are used for."""

    file_bytes: int
    """Bytes that the file has."""
    live_bytes: int
    """Bytes of blocks in use, rounded up to their size class."""
    live_blocks: int
    free_bytes: int
    """Bytes that can be used without growing the file."""
    slab_free_bytes: int
    """Of these, bytes in slabs, for blocks of their size class alone."""
    meta_bytes: int
    """Superblocks, log, descriptors, slab headers."""

    @property
    def fragmentation(self) -> float:
        """The share of the slabs and runs in use that is free, 0 to 1."""
        used = self.live_bytes + self.slab_free_bytes
        return self.slab_free_bytes / used if used else 0.0


class Usage(NamedTuple):
    """What one structure takes up."""

    kind: str
    items: int
    blocks: int
    bytes: int
    """Of its blocks, rounded up to their size class; not of what its references lead to."""


class CheckReport(NamedTuple):
    """What `Store.check` went through."""

    structures: int
    items: int
    blocks: int
    """Blocks that structures and roots have."""
    bytes: int
    leaked_blocks: int
    """Blocks in use that nothing leads to; they cost space and harm nothing."""
    leaked_bytes: int
    verified_pages: int
    """Pages of the file whose checksum fits."""
    unverified_pages: int
    """Pages that may have changed since there was a checksum of them, or never had one."""
    freed_blocks: int
    """Blocks that nothing led to, which a repair has freed."""
    freed_bytes: int
    accepted: tuple[str, ...]
    """Damage by the checksums, each with its place, that a repair has taken for good."""


class CollectReport(NamedTuple):
    """What `Store.collect` went through, and what it has freed."""

    structures: int
    """Those that live."""
    items: int
    blocks: int
    """Blocks in use that something leads to."""
    bytes: int
    freed_blocks: int
    freed_bytes: int
