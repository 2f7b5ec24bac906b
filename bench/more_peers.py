# SPDX-License-Identifier: Apache-2.0
"""More peers, and sets: what Python programs keep objects in, beside LMDB and SQLite.

ZODB
    The package BTrees, in a FileStorage of ZODB: LLBTree for ints, OOBTree for bytes, LLTreeSet and
    OOTreeSet for sets. One transaction around all puts, whose commit counts; a cache that holds
    everything, so that reads find the objects in memory, and unpickled. Its fsync costs nothing on
    tmpfs.
diskcache
    Cache, with `synchronous=OFF`, no eviction, and one transaction around all puts.
shelve
    With the dbm that there is (`dbm.whichdb` says which). Its keys are strings.

The latter two take part with fewer entries: the figures are for an operation.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

from bench.contestants import Contestant, DictLike, allocated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["MORE_PEERS", "SETS", "SLOW", "missing_package"]

CACHE_OBJECTS = 10_000_000
PACKAGES = {"LMDB": "lmdb", "ZODB": "ZODB", "ZODB TreeSet": "ZODB", "diskcache": "diskcache"}


def missing_package(name: str) -> str | None:
    """What must be installed for a contestant, if it is not."""
    package = PACKAGES.get(name)
    return None if package is None or importlib.util.find_spec(package) else package


class Zodb(DictLike):
    """A BTree of the package BTrees, in a FileStorage."""

    name = "ZODB"
    ordered = True
    rounds_max = 3
    kind = "BTree"

    def _open_database(self) -> Any:
        from ZODB import DB
        from ZODB.FileStorage import FileStorage

        storage = FileStorage(str(self.directory / "bench.fs"))
        self._database = DB(storage, cache_size=CACHE_OBJECTS, cache_size_bytes=0)
        return self._database.open()

    def create(self) -> None:
        self.directory.mkdir(parents=True)
        self._connection = self._open_database()
        family = "LL" if self.workload == "int" else "OO"
        module = importlib.import_module(f"BTrees.{family}BTree")
        self.m = self._connection.root()["bench"] = getattr(module, f"{family}{self.kind}")()

    def commit(self) -> None:
        import transaction

        transaction.commit()

    def close(self) -> None:
        self.commit()
        del self.m
        self._connection.close()
        self._database.close()

    def file_bytes(self) -> int | None:
        return allocated(self.directory)


class DiskCache(DictLike):
    """diskcache.Cache."""

    name = "diskcache"
    rounds_max = 3

    def create(self) -> None:
        import diskcache

        self.m = diskcache.Cache(
            str(self.directory),
            eviction_policy="none",
            size_limit=1 << 40,
            sqlite_synchronous=0,
            disk_min_file_size=1 << 20,
        )

    def begin(self) -> None:
        self._transaction = self.m.transact()
        self._transaction.__enter__()

    def commit(self) -> None:
        self._transaction.__exit__(None, None, None)

    def scan(self) -> None:
        m = self.m
        for key in m:
            m[key]

    def items(self) -> Iterable[tuple[Any, Any]]:
        return ((key, self.m[key]) for key in self.m)

    def close(self) -> None:
        self.m.close()
        del self.m

    def file_bytes(self) -> int | None:
        return allocated(self.directory)


class Shelve(DictLike):
    """shelve, with string keys."""

    name = "shelve"
    rounds_max = 3

    def __init__(self, workload: str, n: int, directory: Path) -> None:
        super().__init__(workload, n, directory)
        self._is_int = workload == "int"

    def _text(self, key: Any) -> str:
        return str(key) if self._is_int else key.decode("latin-1")

    def create(self) -> None:
        import shelve

        self.directory.mkdir(parents=True)
        self.m = shelve.open(str(self.directory / "bench"), "n")  # noqa: SIM115 - close() does

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        m, text = self.m, self._text
        for key, value in zip(keys, values, strict=True):
            m[text(key)] = value

    def get(self, keys: Sequence[Any]) -> None:
        m, text = self.m, self._text
        for key in keys:
            m[text(key)]

    def contains(self, keys: Sequence[Any]) -> None:
        m, text = self.m, self._text
        for key in keys:
            text(key) in m  # noqa: B015

    def find(self, keys: Sequence[Any]) -> list[Any]:
        return [self.m.get(self._text(key)) for key in keys]

    def items(self) -> Iterable[tuple[Any, Any]]:
        back: Callable[[str], Any] = int if self._is_int else lambda text: text.encode("latin-1")
        return ((back(key), value) for key, value in self.m.items())

    def close(self) -> None:
        self.m.close()
        del self.m


# --- sets ---------------------------------------------------------------------------------------


class SetLike(DictLike):
    """Contestants with the interface of a set."""

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        add = self.m.add
        for key in keys:
            add(key)

    def scan(self) -> None:
        for _key in self.m:
            pass

    def find(self, keys: Sequence[Any]) -> list[Any]:
        return [True if key in self.m else None for key in keys]

    def items(self) -> Iterable[tuple[Any, Any]]:
        return ((key, True) for key in self.m)

    def close(self) -> None:
        del self.m


class BuiltinSet(SetLike):
    """The builtin."""

    name = "set"
    persistent = False

    def create(self) -> None:
        self.m = set()


class MemorySortedSet(SetLike):
    """Of sortedcontainers."""

    name = "sortedcontainers"
    ordered = True
    persistent = False
    rounds_max = 3

    def create(self) -> None:
        import sortedcontainers

        self.m = sortedcontainers.SortedSet()


class ZodbTreeSet(SetLike, Zodb):
    """A TreeSet of the package BTrees, in a FileStorage."""

    name = "ZODB TreeSet"
    kind = "TreeSet"

    def close(self) -> None:
        Zodb.close(self)


class OurSet(SetLike):
    """`Store.set`."""

    name = "Set"
    kind = "set"

    def create(self) -> None:
        import spacejmp

        self.directory.mkdir(parents=True)
        self._store = spacejmp.open("bench", "n", home=self.directory)
        self.m = getattr(self._store, self.kind)("bench", key=self.workload)

    def close(self) -> None:
        del self.m
        self._store.close()

    def file_bytes(self) -> int | None:
        return os.stat(self._store.path).st_blocks * 512


class OurSortedSet(OurSet):
    """`Store.sortedset`."""

    name = "SortedSet"
    kind = "sortedset"
    ordered = True


SLOW = (DiskCache.name, Shelve.name)
MORE_PEERS: dict[str, Callable[[str, int, Path], Contestant]] = {
    kind.name: kind for kind in (Zodb, DiskCache, Shelve)
}
SETS: dict[str, Callable[[str, int, Path], Contestant]] = {
    kind.name: kind for kind in (BuiltinSet, OurSet, MemorySortedSet, OurSortedSet, ZodbTreeSet)
}
