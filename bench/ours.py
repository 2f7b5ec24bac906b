# SPDX-License-Identifier: Apache-2.0
"""Our own contestants: each operation outside any hold, atomic by itself, `process` durability."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contestants import RANGE, DictLike

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.contestants import Contestant

__all__ = ["OURS"]

NAME = "bench"


class Structure(DictLike):
    """A structure in a store of its own."""

    kind: ClassVar[str]

    def __init__(self, workload: str, n: int, directory: Path) -> None:
        import spacejmp

        super().__init__(workload, n, directory)
        self._spacejmp = spacejmp
        self._store: Any = None

    def create(self) -> None:
        self.directory.mkdir(parents=True)
        self._attach("n")

    def open(self) -> None:
        self._attach("w")

    def _attach(self, flag: Any) -> None:
        codec = self.workload  # "int" or "bytes"
        self._store = self._spacejmp.open(NAME, flag, home=self.directory)
        self.m = getattr(self._store, self.kind)(NAME, key=codec, value=codec)

    def close(self) -> None:
        del self.m
        self._store.close()

    def transaction(self) -> None:
        self._store.transaction().__enter__()

    def file_bytes(self) -> int | None:
        return os.stat(self._store.path).st_blocks * 512


class BTree(Structure):
    """`Store.btree`."""

    name = "BTree"
    kind = "btree"
    ordered = True

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        irange_items = self.m.irange_items
        found: list[tuple[Any, Any]] = []
        for start in starts:
            found = list(islice(irange_items(start), RANGE))
        return found


class HashMap(Structure):
    """`Store.hashmap`."""

    name = "HashMap"
    kind = "hashmap"


OURS: dict[str, Callable[[str, int, Path], Contestant]] = {
    BTree.name: BTree,
    HashMap.name: HashMap,
}
