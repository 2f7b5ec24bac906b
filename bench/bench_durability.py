# SPDX-License-Identifier: Apache-2.0
"""Durable commits: how many a second survive a power loss.

Question    How many changes a second can a program make, if each is on the disk before it goes on?
            With one writer, and with several processes that write at the same time?
Workload    A store of n entries, 63-bit int → 100 bytes. Each commit puts one random key, a tenth
            of them new. Writers are processes; each does its share, from a common start.
Peers       LMDB as it comes (sync=True): a transaction for each put. SQLite with
            journal_mode=WAL, synchronous=FULL: BEGIN IMMEDIATE, INSERT OR REPLACE, COMMIT.
            Ours: durability="power", plain assignment: group commit through a write-ahead log.
In the time Everything that a program waits for: encoding, locks, writes, the wait for the disk,
            and the checkpoints that fall into it. Wall time, from the first writer's start to the
            last one's end. Not: filling the store, opening it. The filesystem is an ordinary one,
            not tmpfs (--directory). Contestants take turns, in an order drawn for each round; a
            ratio is taken within a round, and the median of the rounds is told. Afterwards all
            are read and compared. "a write and a sync" is the floor: 1 KiB at a time, into a file
            that has its blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import VerificationError, expect, machine, say
from bench.report import Table, Verdict, number, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VALUE_BYTES = 100
SPREAD = 1 << 62
TARGETS = {1: 2.0, 4: 5.0}


# --- the work -----------------------------------------------------------------------------------


def key_of(index: int) -> int:
    """The key number `index`: a permutation of the numbers below SPREAD."""
    return index * 0x1E3779B97F4A7C15 % SPREAD


def value_of(writer: int, count: int) -> bytes:
    """What a writer stores with its commit number `count`."""
    return (b"%d/%d/" % (writer, count)).ljust(VALUE_BYTES, b"v")


def puts(writer: int, first: int, count: int, n: int) -> Iterator[tuple[int, bytes]]:
    """The puts of a writer: each writer has keys of its own, so the outcome is known."""
    rng = random.Random(writer << 32 | first)
    for number_of_put in range(first, first + count):
        index = rng.randrange(n * 11 // 10 // 64) * 64 + writer
        yield key_of(index), value_of(writer, number_of_put)


# --- contestants --------------------------------------------------------------------------------


class Contestant(ABC):
    """Something that keeps pairs on a disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / type(self).__name__

    @abstractmethod
    def open(self) -> None:
        """Open it; it is made if missing."""

    @abstractmethod
    def fill(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        """Store everything in one transaction."""

    @abstractmethod
    def put(self, key: int, value: bytes) -> None:
        """Store one pair; it is on the disk when this returns."""

    @abstractmethod
    def get(self, key: int) -> bytes | None:
        """Look a key up."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""


class BTree(Contestant):
    """Ours."""

    def open(self) -> None:
        import spacejmp

        self._store = spacejmp.open("bench", home=self.directory, durability="power")
        self._tree = self._store.btree("pairs", key="int", value="bytes")

    def fill(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        with self._store.transaction():
            self._tree.update(pairs)

    def put(self, key: int, value: bytes) -> None:
        self._tree[key] = value

    def get(self, key: int) -> bytes | None:
        found: bytes | None = self._tree.get(key)
        return found

    def close(self) -> None:
        self._store.close()


class LMDB(Contestant):
    """A memory-mapped B+tree with copied pages."""

    def open(self) -> None:
        import lmdb

        self.directory.mkdir(exist_ok=True)
        self._env: Any = lmdb.open(str(self.directory), map_size=8 << 30)

    def fill(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        with self._env.begin(write=True) as transaction:
            for key, value in pairs:
                transaction.put(key.to_bytes(8, "big"), value)

    def put(self, key: int, value: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(key.to_bytes(8, "big"), value)

    def get(self, key: int) -> bytes | None:
        with self._env.begin() as transaction:
            found: bytes | None = transaction.get(key.to_bytes(8, "big"))
        return found

    def close(self) -> None:
        self._env.close()


class SQLite(Contestant):
    """The database that everybody has."""

    def open(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._db = sqlite3.connect(self.directory / "db", isolation_level=None, timeout=600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS pairs(key INTEGER PRIMARY KEY, value BLOB)")

    def fill(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO pairs VALUES(?, ?)", pairs)
        self._db.execute("COMMIT")

    def put(self, key: int, value: bytes) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR REPLACE INTO pairs VALUES(?, ?)", (key, value))
        self._db.execute("COMMIT")

    def get(self, key: int) -> bytes | None:
        row = self._db.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        self._db.close()


class Floor(Contestant):
    """What the disk takes: as many bytes as a commit of ours has, written and synced."""

    BYTES = 1024
    FILE_BYTES = 16 << 20

    def open(self) -> None:
        self.directory.mkdir(exist_ok=True)
        path = self.directory / f"{os.getpid()}"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(self._fd, bytes(self.FILE_BYTES))
        os.fsync(self._fd)
        self._at = 0

    def fill(self, pairs: Iterator[tuple[int, bytes]]) -> None:
        pass

    def put(self, key: int, value: bytes) -> None:
        os.pwrite(self._fd, value.ljust(self.BYTES), self._at)
        os.fdatasync(self._fd)
        self._at = (self._at + self.BYTES) % self.FILE_BYTES

    def get(self, key: int) -> bytes | None:
        return None

    def close(self) -> None:
        os.close(self._fd)


CONTESTANTS: dict[str, type[Contestant]] = {
    "BTree": BTree,
    "LMDB": LMDB,
    "SQLite": SQLite,
    "a write and a sync": Floor,
}
PEERS = ("LMDB", "SQLite")


# --- writers ------------------------------------------------------------------------------------


def work(words: Sequence[str]) -> None:
    """A writer: opens, says that it is ready, and at a line of input does its commits."""
    name, directory, writer, first, count, n = words
    contestant = CONTESTANTS[name](Path(directory))
    contestant.open()
    pairs = list(puts(int(writer), int(first), int(count), int(n)))
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.monotonic_ns()
    for key, value in pairs:
        contestant.put(key, value)
    print(json.dumps([begun, time.monotonic_ns()]), flush=True)
    contestant.close()


def run_writers(name: str, directory: Path, writers: int, first: int, count: int, n: int) -> float:
    """Commits a second of so many processes, `count` commits each."""
    program = [sys.executable, "-m", "bench.bench_durability", "--writer", name, str(directory)]
    processes = [
        subprocess.Popen(
            [*program, str(writer), str(first), str(count), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(writers)
    ]
    for process in processes:
        assert process.stdout is not None
        expect(process.stdout.readline() == "ready\n", f"{name}: a writer did not come up")
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    times: list[tuple[int, int]] = []
    for process in processes:
        assert process.stdout is not None
        begun, end = json.loads(process.stdout.readline())
        times.append((int(begun), int(end)))
        process.communicate()
        expect(process.returncode == 0, f"{name}: a writer failed")
    seconds = (max(end for _, end in times) - min(begun for begun, _ in times)) / 1e9
    return writers * count / seconds


# --- rounds -------------------------------------------------------------------------------------


def verify(name: str, directory: Path, expected: dict[int, bytes]) -> None:
    """Read everything that was put."""
    contestant = CONTESTANTS[name](directory)
    contestant.open()
    for key, value in expected.items():
        expect(contestant.get(key) == value, f"{name}: a commit is not there")
    contestant.close()


def measure(arguments: argparse.Namespace, directory: Path) -> dict[int, dict[str, list[float]]]:
    """Commits a second of everybody, by number of writers, in each round."""
    names = list(CONTESTANTS)
    for name in names:
        say(f"{name}: {arguments.n:,} entries")
        contestant = CONTESTANTS[name](directory)
        contestant.open()
        contestant.fill((key_of(i), value_of(0, 0)) for i in range(arguments.n))
        contestant.close()
    rng = random.Random(1)
    results: dict[int, dict[str, list[float]]] = {}
    expected: dict[int, bytes] = {}
    first = 1
    for writers in arguments.writers:
        results[writers] = {name: [] for name in names}
        count = max(1, arguments.commits // writers)
        for round_number in range(arguments.rounds):
            say(f"{writers} writers: round {round_number + 1} of {arguments.rounds}")
            for name in rng.sample(names, len(names)):
                rate = run_writers(name, directory, writers, first, count, arguments.n)
                results[writers][name].append(rate)
            for writer in range(writers):
                expected.update(puts(writer, first, count, arguments.n))
            first += count
    for name in names:
        if name != "a write and a sync":
            verify(name, directory, expected)
    return results


def ratio(rates: dict[str, list[float]], peer: str) -> float:
    """How many times as many commits ours does: the median of the rounds."""
    return statistics.median(
        ours / theirs for ours, theirs in zip(rates["BTree"], rates[peer], strict=True)
    )


def tables(results: dict[int, dict[str, list[float]]]) -> list[Table]:
    """Verdicts, then rates."""
    targets = Table(
        "Targets (ratios within the rounds of this run)", ["what", "target", "measured", ""]
    )
    for writers, rates in results.items():
        for peer in PEERS:
            goal = TARGETS.get(writers)
            if goal is not None:
                what = f"commits of BTree / {peer}, writers: {writers}"
                targets.rows.append(Verdict(what, goal, ratio(rates, peer), "×", False).row)
    rates_table = Table("Commits a second", ["writers", *CONTESTANTS])
    for writers, rates in results.items():
        medians = [statistics.median(rates[name]) for name in CONTESTANTS]
        rates_table.rows.append([str(writers), *map(number, medians)])
    return [targets, rates_table]


# --- the program --------------------------------------------------------------------------------


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_durability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, default=1_000_000, help="entries (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--commits", type=int, default=16000, help="in a round, together (16000)")
    parser.add_argument(
        "--writers",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[1, 4],
        metavar="NUMBERS",
        help="processes that write (1,4)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument(
        "--directory", default="/var/tmp", help="where the files go: no tmpfs (/var/tmp)"
    )
    return parser.parse_args(words)


def is_tmpfs(directory: str) -> bool:
    """Whether a sync means nothing there."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        points = [line.split()[1:3] for line in mounts]
    path = os.path.realpath(directory)
    inside = [
        (point, kind)
        for point, kind in points
        if path == point or path.startswith(point.rstrip("/") + "/")
    ]
    return bool(inside) and max(inside, key=lambda found: len(found[0]))[1] in ("tmpfs", "ramfs")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, report; 1 if a commit was lost, 0 also when a target is missed."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["--writer"]:
        work(words[1:])
        return 0
    arguments = arguments_of(words)
    if is_tmpfs(arguments.directory):
        print(f"{arguments.directory} is a tmpfs: name another directory by --directory")
        return 2
    print(__doc__)
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="spacejmp-bench-", dir=arguments.directory) as folder:
        try:
            results = measure(arguments, Path(folder))
        except VerificationError as error:
            print(f"verification failed: {error}", file=sys.stderr)
            return 1
    if arguments.json:
        figures = {"machine": machine(), "n": arguments.n, "commits_per_second": results}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    show(tables(results), as_markdown=arguments.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
