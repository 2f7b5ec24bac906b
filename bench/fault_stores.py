# SPDX-License-Identifier: Apache-2.0
"""The stores that faults are done to: ours, LMDB and SQLite behind one small interface.

Each maps 63-bit ints to bytes, and commits a few changes at once, all or nothing. `STORES` has the
settings that take part, by the names that the tables have.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import spacejmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["STORES", "Change", "FaultyStore", "is_ours"]

Change = tuple[int, "bytes | None"]
"""A key, and what it is set to; None: it is deleted."""

KEY_BYTES = 8


class FaultyStore(ABC):
    """Something that keeps pairs in files below a directory."""

    errors: tuple[type[Exception], ...]
    """What it raises when it refuses: errors with a name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    @abstractmethod
    def data_file(self) -> Path:
        """The file that has the pairs."""

    @abstractmethod
    def open(self) -> None:
        """Open it; it is made if missing."""

    @abstractmethod
    def check(self) -> None:
        """Let it look for damage by what it has for that; raises one of `errors`."""

    @abstractmethod
    def commit(self, changes: Sequence[Change]) -> None:
        """Do all the changes, or none; acknowledged when this returns."""

    @abstractmethod
    def items(self) -> Iterable[tuple[int, bytes]]:
        """All pairs, in any order."""

    @abstractmethod
    def get(self, key: int) -> bytes | None:
        """Look a key up."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""


class Ours(FaultyStore):
    """A BTree or a HashMap in a store."""

    errors = (spacejmp.SpaceJmpError,)

    def __init__(
        self,
        kind: Literal["btree", "hashmap"],
        durability: Literal["process", "power"],
        directory: Path,
    ) -> None:
        super().__init__(directory)
        self._kind = kind
        self._durability = durability

    @property
    def data_file(self) -> Path:
        return self.directory / "seg" / "faulty.seg"

    def open(self) -> None:
        self._store = spacejmp.open("faulty", home=self.directory, durability=self._durability)
        make = self._store.btree if self._kind == "btree" else self._store.hashmap
        self._pairs: Any = make("pairs", key="int", value="bytes")

    def check(self) -> None:
        self._store.check()

    def commit(self, changes: Sequence[Change]) -> None:
        pairs = self._pairs
        with self._store.transaction():
            for key, value in changes:
                if value is None:
                    pairs.pop(key, None)
                else:
                    pairs[key] = value

    def items(self) -> Iterable[tuple[int, bytes]]:
        found: Iterable[tuple[int, bytes]] = self._pairs.items()
        return found

    def get(self, key: int) -> bytes | None:
        found: bytes | None = self._pairs.get(key)
        return found

    def close(self) -> None:
        self._store.close()


class LMDB(FaultyStore):
    """A memory-mapped B+tree with copied pages. It has no check: reading is all there is."""

    def __init__(self, options: dict[str, bool], directory: Path) -> None:
        import lmdb

        super().__init__(directory)
        self.errors = (lmdb.Error,)
        self._options = options

    @property
    def data_file(self) -> Path:
        return self.directory / "data.mdb"

    def open(self) -> None:
        import lmdb

        self.directory.mkdir(exist_ok=True)
        self._env: Any = lmdb.open(str(self.directory), map_size=1 << 30, **self._options)

    def check(self) -> None:
        pass

    def commit(self, changes: Sequence[Change]) -> None:
        with self._env.begin(write=True) as transaction:
            for key, value in changes:
                raw = key.to_bytes(KEY_BYTES, "big")
                if value is None:
                    transaction.delete(raw)
                else:
                    transaction.put(raw, value)

    def items(self) -> Iterator[tuple[int, bytes]]:
        with self._env.begin() as transaction:
            for raw, value in transaction.cursor():
                yield int.from_bytes(raw, "big") if len(raw) == KEY_BYTES else -1, value

    def get(self, key: int) -> bytes | None:
        with self._env.begin() as transaction:
            found: bytes | None = transaction.get(key.to_bytes(KEY_BYTES, "big"))
        return found

    def close(self) -> None:
        self._env.close()


class SQLite(FaultyStore):
    """The database that everybody has, in WAL mode."""

    errors = (sqlite3.Error,)

    def __init__(self, synchronous: str, directory: Path) -> None:
        super().__init__(directory)
        self._synchronous = synchronous

    @property
    def data_file(self) -> Path:
        return self.directory / "db"

    def open(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._db = sqlite3.connect(self.data_file, isolation_level=None, timeout=60)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={self._synchronous}")
        self._db.execute("CREATE TABLE IF NOT EXISTS pairs(key INTEGER PRIMARY KEY, value BLOB)")

    def check(self) -> None:
        rows = self._db.execute("PRAGMA integrity_check").fetchall()
        if rows != [("ok",)]:
            raise sqlite3.DatabaseError(f"integrity_check: {rows[0][0]}")

    def commit(self, changes: Sequence[Change]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for key, value in changes:
                if value is None:
                    self._db.execute("DELETE FROM pairs WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO pairs VALUES(?, ?)", (key, value))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def items(self) -> Iterable[tuple[int, bytes]]:
        return self._db.execute("SELECT key, value FROM pairs")

    def get(self, key: int) -> bytes | None:
        row = self._db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        self._db.close()


STORES: dict[str, Callable[[Path], FaultyStore]] = {
    "BTree": partial(Ours, "btree", "process"),
    "HashMap": partial(Ours, "hashmap", "process"),
    "BTree, power": partial(Ours, "btree", "power"),
    "LMDB": partial(LMDB, {}),
    "LMDB, writemap, no sync": partial(LMDB, {"sync": False, "writemap": True}),
    "SQLite, FULL": partial(SQLite, "FULL"),
    "SQLite, OFF": partial(SQLite, "OFF"),
}


def is_ours(name: str) -> bool:
    """Whether that store is one of spacejmp."""
    return name.startswith(("BTree", "HashMap"))
