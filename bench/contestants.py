# SPDX-License-Identifier: Apache-2.0
"""What every contestant can do, and the loops of those that behave as a dict.

A loop is the whole of what is timed: it stands in one method, and uses its contestant as a program
that wants speed would: bound methods in local variables, one transaction around many operations
where the contestant is faster so. Results are dropped at once; `find` and `items` give them for
verification, outside of the clocks.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["OPERATIONS", "RANGE", "Contestant", "DictLike", "allocated"]

OPERATIONS = ("insert", "get", "miss", "scan", "range", "delete", "put")
"""In the order of a round. `put` is one item in a transaction of its own, after `delete`."""

RANGE = 100
"""Items in a range scan."""


class Contestant(ABC):
    """A mapping that takes part."""

    name: ClassVar[str]
    ordered: ClassVar[bool] = False
    persistent: ClassVar[bool] = True
    holds_entries: ClassVar[bool] = True
    rounds_max: ClassVar[int | None] = None
    """Rounds that it takes part in: slow ones that no target needs can have fewer."""

    def __init__(self, workload: str, n: int, directory: Path) -> None:
        self.workload = workload
        self.n = n
        self.directory = directory / f"{self.name}-{workload}".replace(" ", "-")

    def can(self, operation: str) -> bool:
        """Whether it has that operation."""
        return self.ordered or operation != "range"

    @abstractmethod
    def create(self) -> None:
        """Begin with an empty one."""

    def open(self) -> None:
        """Open the one that `create` made and `close` closed."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def begin(self) -> None:  # noqa: B027 (nothing to do, for many)
        """Begin a transaction around all inserts or deletes of a round, if it is faster so."""

    def commit(self) -> None:  # noqa: B027
        """End that transaction."""

    def transaction(self) -> None:
        """Begin a transaction that the death of the process will end."""
        self.begin()

    @abstractmethod
    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Store new entries one by one, between `begin` and `commit`."""

    @abstractmethod
    def get(self, keys: Sequence[Any]) -> None:
        """Get the values of keys that are there."""

    @abstractmethod
    def miss(self, keys: Sequence[Any]) -> None:
        """Look for keys that are not there."""

    @abstractmethod
    def contains(self, keys: Sequence[Any]) -> None:
        """Ask whether keys are there."""

    @abstractmethod
    def scan(self) -> None:
        """Get all items."""

    @abstractmethod
    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        """`RANGE` items from each start on; gives those of the last one."""

    @abstractmethod
    def delete(self, keys: Sequence[Any]) -> None:
        """Delete entries one by one, between `begin` and `commit`."""

    @abstractmethod
    def put(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Store entries, each in a transaction of its own."""

    @abstractmethod
    def __len__(self) -> int: ...
    @abstractmethod
    def find(self, keys: Sequence[Any]) -> list[Any]:
        """The values, None for a key that is not there."""

    @abstractmethod
    def items(self) -> Iterable[tuple[Any, Any]]:
        """All of them, in key order if it has one."""

    def file_bytes(self) -> int | None:
        """Bytes that its files occupy."""
        return None

    def remove(self) -> None:
        """Remove the files; it is closed."""
        shutil.rmtree(self.directory, ignore_errors=True)


class DictLike(Contestant):
    """Contestants with the interface of a dict: all of them run these very loops."""

    m: Any

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        m = self.m
        for key, value in zip(keys, values, strict=True):
            m[key] = value

    def get(self, keys: Sequence[Any]) -> None:
        m = self.m
        for key in keys:
            m[key]

    def miss(self, keys: Sequence[Any]) -> None:
        get = self.m.get
        for key in keys:
            get(key)

    def contains(self, keys: Sequence[Any]) -> None:
        m = self.m
        for key in keys:
            key in m  # noqa: B015

    def scan(self) -> None:
        for _key, _value in self.m.items():
            pass

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        raise NotImplementedError

    def delete(self, keys: Sequence[Any]) -> None:
        m = self.m
        for key in keys:
            del m[key]

    def put(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        self.insert(keys, values)

    def __len__(self) -> int:
        return len(self.m)

    def find(self, keys: Sequence[Any]) -> list[Any]:
        get = self.m.get
        return [get(key) for key in keys]

    def items(self) -> Iterable[tuple[Any, Any]]:
        items: Iterable[tuple[Any, Any]] = self.m.items()
        return items


def allocated(directory: Path) -> int:
    """Bytes of blocks that the files of a directory occupy; holes count nothing."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
