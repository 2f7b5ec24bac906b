# SPDX-License-Identifier: Apache-2.0
"""The peers, each at its best, as measured on the way here.

dict, SortedDict
    As they are.
LMDB
    `sync=False` and `writemap=True`: as we do, it promises to survive the death of the process, not
    of the machine; the map writes straight into the file, which takes a third of the time for a
    transaction with one put. A map large enough for everything. Reads are in one read transaction,
    inserts and deletes in one write transaction. Ints: `integerkey=True`, which compares words;
    `struct` packs and unpacks them, as fast as `int.to_bytes` and `from_bytes`. Values are bytes,
    not `buffers=True`, which is slower for small ones. Decoding counts: a program wants ints.
SQLite
    `journal_mode=WAL`, `synchronous=OFF`: survives the death of the process. A cache and an
    `mmap_size` for all of it; one statement text for each operation, prepared once by the module's
    cache; one transaction around reads, inserts and deletes; `executemany` for the latter two. Int
    keys are the rowid, byte keys a table WITHOUT ROWID.
empty loop
    The loop and nothing in it: what Python takes itself, for each of the others.
"""

from __future__ import annotations

import sqlite3
import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contestants import RANGE, Contestant, DictLike, allocated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["PEERS"]

CACHE_BYTES = 1 << 30
PACK_WORD = "=Q"


class EmptyLoop(Contestant):
    """Python's own part."""

    name = "empty loop"
    ordered = True
    persistent = False
    holds_entries = False

    def can(self, operation: str) -> bool:
        return operation != "scan"

    def create(self) -> None:
        pass

    def close(self) -> None:
        pass

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        for _key, _value in zip(keys, values, strict=True):
            pass

    def get(self, keys: Sequence[Any]) -> None:
        for _key in keys:
            pass

    miss = get
    contains = get
    delete = get
    put = insert

    def scan(self) -> None:
        raise NotImplementedError

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        self.get(starts)
        return []

    def __len__(self) -> int:
        return 0

    def find(self, keys: Sequence[Any]) -> list[Any]:
        return [None] * len(keys)

    def items(self) -> Iterable[tuple[Any, Any]]:
        return ()


class Dict(DictLike):
    """The builtin."""

    name = "dict"
    persistent = False

    def create(self) -> None:
        self.m = {}

    def close(self) -> None:
        del self.m


class SortedDict(DictLike):
    """Of sortedcontainers."""

    name = "SortedDict"
    ordered = True
    persistent = False
    rounds_max = 3

    def create(self) -> None:
        import sortedcontainers

        self.m = sortedcontainers.SortedDict()

    def close(self) -> None:
        del self.m

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        m = self.m
        irange = m.irange
        found: list[tuple[Any, Any]] = []
        for start in starts:
            found = [(key, m[key]) for key in islice(irange(start), RANGE)]
        return found


class Lmdb(Contestant):
    """LMDB with byte keys and byte values, as it has them."""

    name = "LMDB"
    ordered = True

    def __init__(self, workload: str, n: int, directory: Path) -> None:
        import lmdb

        super().__init__(workload, n, directory)
        self._lmdb = lmdb
        self._env: Any = None
        self._table: Any = None
        self._write: Any = None

    def create(self) -> None:
        self.directory.mkdir(parents=True)
        self.open()

    def open(self) -> None:
        self._env = self._lmdb.open(
            str(self.directory),
            map_size=max(1 << 30, self.n * 2048),
            sync=False,
            writemap=True,
            max_dbs=1,
        )
        self._open_table()

    def _open_table(self) -> None:
        self._table = self._env.open_db(b"bench")

    def close(self) -> None:
        self._env.close()

    def begin(self) -> None:
        self._write = self._env.begin(write=True, db=self._table)

    def commit(self) -> None:
        self._write.commit()
        self._write = None

    def _read(self) -> Any:
        return self._env.begin(db=self._table)

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        put = self._write.put
        for key, value in zip(keys, values, strict=True):
            put(key, value)

    def get(self, keys: Sequence[Any]) -> None:
        with self._read() as transaction:
            get = transaction.get
            for key in keys:
                get(key)

    miss = get

    def contains(self, keys: Sequence[Any]) -> None:
        with self._read() as transaction:
            set_key = transaction.cursor().set_key
            for key in keys:
                set_key(key)

    def scan(self) -> None:
        with self._read() as transaction:
            for _key, _value in transaction.cursor():
                pass

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        with self._read() as transaction:
            cursor = transaction.cursor()
            for start in starts:
                cursor.set_range(start)
                found = list(islice(cursor.iternext(), RANGE))
        return found

    def delete(self, keys: Sequence[Any]) -> None:
        delete = self._write.delete
        for key in keys:
            delete(key)

    def put(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        begin, table = self._env.begin, self._table
        for key, value in zip(keys, values, strict=True):
            with begin(write=True, db=table) as transaction:
                transaction.put(key, value)

    def __len__(self) -> int:
        with self._read() as transaction:
            return int(transaction.stat(self._table)["entries"])

    def find(self, keys: Sequence[Any]) -> list[Any]:
        with self._read() as transaction:
            return [transaction.get(key) for key in keys]

    def items(self) -> Iterable[tuple[Any, Any]]:
        with self._read() as transaction:
            yield from transaction.cursor()

    def file_bytes(self) -> int | None:
        return (self.directory / "data.mdb").stat().st_blocks * 512


class LmdbInt(Lmdb):
    """LMDB with ints, packed and unpacked as words."""

    def __init__(self, workload: str, n: int, directory: Path) -> None:
        super().__init__(workload, n, directory)
        word = struct.Struct(PACK_WORD)
        self._pack, self._unpack = word.pack, word.unpack

    def _open_table(self) -> None:
        self._table = self._env.open_db(b"bench", integerkey=True)

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        put, pack = self._write.put, self._pack
        for key, value in zip(keys, values, strict=True):
            put(pack(key), pack(value))

    def get(self, keys: Sequence[Any]) -> None:
        pack, unpack = self._pack, self._unpack
        with self._read() as transaction:
            get = transaction.get
            for key in keys:
                unpack(get(pack(key)))[0]

    def miss(self, keys: Sequence[Any]) -> None:
        pack = self._pack
        with self._read() as transaction:
            get = transaction.get
            for key in keys:
                get(pack(key))

    def contains(self, keys: Sequence[Any]) -> None:
        pack = self._pack
        with self._read() as transaction:
            set_key = transaction.cursor().set_key
            for key in keys:
                set_key(pack(key))

    def scan(self) -> None:
        unpack = self._unpack
        with self._read() as transaction:
            for key, value in transaction.cursor():
                unpack(key)[0]
                unpack(value)[0]

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        pack, unpack = self._pack, self._unpack
        found: list[tuple[Any, Any]] = []
        with self._read() as transaction:
            cursor = transaction.cursor()
            for start in starts:
                cursor.set_range(pack(start))
                found = [
                    (unpack(key)[0], unpack(value)[0])
                    for key, value in islice(cursor.iternext(), RANGE)
                ]
        return found

    def delete(self, keys: Sequence[Any]) -> None:
        delete, pack = self._write.delete, self._pack
        for key in keys:
            delete(pack(key))

    def put(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        begin, table, pack = self._env.begin, self._table, self._pack
        for key, value in zip(keys, values, strict=True):
            with begin(write=True, db=table) as transaction:
                transaction.put(pack(key), pack(value))

    def find(self, keys: Sequence[Any]) -> list[Any]:
        found = super().find([self._pack(key) for key in keys])
        return [None if value is None else self._unpack(value)[0] for value in found]

    def items(self) -> Iterable[tuple[Any, Any]]:
        unpack = self._unpack
        return ((unpack(key)[0], unpack(value)[0]) for key, value in super().items())


class Sqlite(Contestant):
    """SQLite's key-value use."""

    name = "SQLite"
    ordered = True
    rounds_max = 3

    SCHEMAS: ClassVar[dict[str, str]] = {
        "int": "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER)",
        "bytes": "CREATE TABLE t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID",
    }

    def create(self) -> None:
        self.directory.mkdir(parents=True)
        self.open()
        self._connection.execute(self.SCHEMAS[self.workload])

    def open(self) -> None:
        path = self.directory / "bench.db"
        self._connection = sqlite3.connect(path, isolation_level=None)  # transactions are ours
        for setting in (
            "journal_mode=WAL",
            "synchronous=OFF",
            f"cache_size=-{CACHE_BYTES // 1024}",
            f"mmap_size={4 * CACHE_BYTES}",
        ):
            self._connection.execute(f"PRAGMA {setting}")

    def close(self) -> None:
        self._connection.close()

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def insert(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        self._connection.executemany("INSERT INTO t VALUES (?, ?)", zip(keys, values, strict=True))

    def get(self, keys: Sequence[Any]) -> None:
        cursor = self._connection.cursor()
        execute, fetchone = cursor.execute, cursor.fetchone
        execute("BEGIN")
        for key in keys:
            execute("SELECT v FROM t WHERE k = ?", (key,))
            fetchone()[0]
        execute("COMMIT")

    def miss(self, keys: Sequence[Any]) -> None:
        cursor = self._connection.cursor()
        execute, fetchone = cursor.execute, cursor.fetchone
        execute("BEGIN")
        for key in keys:
            execute("SELECT v FROM t WHERE k = ?", (key,))
            fetchone()
        execute("COMMIT")

    def contains(self, keys: Sequence[Any]) -> None:
        cursor = self._connection.cursor()
        execute, fetchone = cursor.execute, cursor.fetchone
        execute("BEGIN")
        for key in keys:
            execute("SELECT 1 FROM t WHERE k = ?", (key,))
            fetchone()
        execute("COMMIT")

    def scan(self) -> None:
        for _key, _value in self._connection.execute("SELECT k, v FROM t ORDER BY k"):
            pass

    def range(self, starts: Sequence[Any]) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        cursor = self._connection.cursor()
        execute, fetchall = cursor.execute, cursor.fetchall
        execute("BEGIN")
        for start in starts:
            execute("SELECT k, v FROM t WHERE k >= ? ORDER BY k LIMIT ?", (start, RANGE))
            found = fetchall()
        execute("COMMIT")
        return found

    def delete(self, keys: Sequence[Any]) -> None:
        self._connection.executemany("DELETE FROM t WHERE k = ?", zip(keys, strict=True))

    def put(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        execute = self._connection.execute
        for pair in zip(keys, values, strict=True):
            execute("INSERT OR REPLACE INTO t VALUES (?, ?)", pair)

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM t").fetchone()[0])

    def find(self, keys: Sequence[Any]) -> list[Any]:
        execute = self._connection.execute
        rows = [execute("SELECT v FROM t WHERE k = ?", (key,)).fetchone() for key in keys]
        return [None if row is None else row[0] for row in rows]

    def items(self) -> Iterable[tuple[Any, Any]]:
        return self._connection.execute("SELECT k, v FROM t")

    def file_bytes(self) -> int | None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return allocated(self.directory)


def lmdb_for(workload: str, n: int, directory: Path) -> Contestant:
    """The one that has the loops for that workload."""
    return (LmdbInt if workload == "int" else Lmdb)(workload, n, directory)


PEERS: dict[str, Callable[[str, int, Path], Contestant]] = {
    EmptyLoop.name: EmptyLoop,
    Dict.name: Dict,
    SortedDict.name: SortedDict,
    Lmdb.name: lmdb_for,
    Sqlite.name: Sqlite,
}
