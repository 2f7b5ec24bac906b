# SPDX-License-Identifier: Apache-2.0
"""Mappings: `BTree` and `HashMap` next to dict, SortedDict, LMDB and SQLite.

Question    What does a persistent, shared, crash-safe mapping cost, next to one that is none of
            it, and next to others that are?
Workload    n distinct keys in random order: 63-bit int → 63-bit int, and 16-byte → 100-byte. In
            each round everything is built anew: insert all, one by one; get of keys that are there,
            and of keys that are not; scan of all items; 100 items from a random key on; delete of a
            random half; put of a few, each a transaction of its own. Keys that are looked up are
            equal to the stored ones, never the same objects.
Peers       dict, sortedcontainers.SortedDict; LMDB (sync=False, writemap, integerkey for ints, all
            inserts in one transaction, all gets in one); SQLite (WAL, synchronous=OFF, all inserts
            by executemany in one transaction, prepared statements). bench/peers.py says why.
            Ours: no transaction, no hold around: each operation is atomic by itself.
In the time The loop, the call, encoding and decoding to Python's objects, locks, logs, commits. No
            fsync, by anybody: all promise to survive the death of a process, on tmpfs.
            Not: making the keys, checking the results (each round, outside of the clocks), and the
            garbage collector, which is off, for all. CPU time of the thread unless --clock wall;
            opening is wall time in a fresh process, after its imports.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contestants import RANGE
from bench.harness import (
    Results,
    Sample,
    VerificationError,
    expect,
    interleave,
    machine,
    no_collector,
    say,
)
from bench.reopen import measure_imports, measure_reopening
from bench.report import print_report
from bench.roster import ROSTER, make_contestant
from bench.workloads import WORKLOADS, make_workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contestants import Contestant
    from bench.workloads import Workload

SECTIONS = (*WORKLOADS, "reopen", "import")
GETS = 100_000
RANGES = 2_000
SAMPLE = 1_000
BYTES_PER_ENTRY_MAX = 4_000
"""Of shared memory, by all contestants together: what is asked for before it begins."""


# --- a round ------------------------------------------------------------------------------------


@dataclass
class Round:
    """The contestants of a round, and what it does with them."""

    workload: Workload
    contestants: list[Contestant]
    number: int
    rng: random.Random
    results: Results

    def run(self) -> None:
        """Build, measure, verify, remove."""
        for contestant in self.contestants:
            contestant.create()
        self.insert()
        self.verify_all()
        self.note_sizes()
        self.look_up()
        self.scan()
        self.delete_and_put()
        for contestant in self.contestants:
            contestant.close()
            contestant.remove()

    def measure(
        self, operation: str, slices: Sequence[tuple[Any, ...]], count: int | None = None
    ) -> None:
        """Let everybody who can do the slices, and note the time of one operation."""
        able = [contestant for contestant in self.contestants if contestant.can(operation)]
        if count is None:
            count = sum(len(arguments[0]) for arguments in slices)

        def call(contestant: Contestant, arguments: tuple[Any, ...]) -> object:
            return getattr(contestant, operation)(*arguments)

        samples = interleave(able, slices, call, self.rng)
        self.note(operation, able, samples, count)

    def note(
        self, operation: str, contestants: list[Contestant], samples: list[Sample], count: int
    ) -> None:
        """Note the time of one of `count` operations."""
        for contestant, sample in zip(contestants, samples, strict=True):
            self.results.add(
                self.workload.name, operation, contestant.name, self.number, sample, count
            )

    def in_transaction(
        self, operation: str, slices: Sequence[tuple[Any, ...]], call: Callable[..., object]
    ) -> None:
        """As `measure`, with `begin` and `commit` around, which count."""
        steps: list[tuple[Callable[..., object], tuple[Any, ...]]] = [
            (lambda contestant: contestant.begin(), ()),
            *((call, arguments) for arguments in slices),
            (lambda contestant: contestant.commit(), ()),
        ]
        samples = interleave(
            self.contestants, steps, lambda who, step: step[0](who, *step[1]), self.rng
        )
        self.note(operation, self.contestants, samples, sum(len(part[0]) for part in slices))

    def insert(self) -> None:
        """Insert everything in a new random order."""
        parts = np.array_split(self.workload.shuffled(), 10)
        slices = [(self.workload.keys(part), self.workload.values(part)) for part in parts]
        self.in_transaction("insert", slices, lambda who, keys, values: who.insert(keys, values))

    def look_up(self) -> None:
        """Get keys at random, of those that are there and of those that are not."""
        w = self.workload
        for operation, first in (("get", 0), ("miss", w.n)):
            # With few entries each is asked for several times, as caches are full only then.
            numbers = first + w.rng.choice(w.n, min(GETS, 10 * w.n))
            self.measure(operation, [(w.keys(part),) for part in np.array_split(numbers, 4)])

    def scan(self) -> None:
        """Get all items, then ranges that begin at random."""
        w = self.workload
        self.measure("scan", [()], w.n)
        starts = w.rng.choice(w.by_key[: max(1, w.n - RANGE)], min(RANGES, w.n))
        self.measure("range", [(w.keys(part),) for part in np.array_split(starts, 4)])

    def delete_and_put(self) -> None:
        """Delete a half, then put a tenth of that half again, each by itself."""
        w = self.workload
        order = w.shuffled()
        gone, kept = order[: w.n // 2], order[w.n // 2 :]
        slices = [(w.keys(part),) for part in np.array_split(gone, 5)]
        self.in_transaction("delete", slices, lambda who, keys: who.delete(keys))
        self.verify_sizes(len(kept), "after the deletes")
        again = gone[: len(gone) // 10]
        self.measure("put", [(w.keys(p), w.values(p)) for p in np.array_split(again, 4)])
        self.verify_sizes(len(kept) + len(again), "after the puts")
        absent = gone[len(again) :][:SAMPLE]
        present = np.concatenate([kept[:SAMPLE], again[:SAMPLE]])
        for contestant in self.real:
            where = f"{contestant.name}, {w.name}, after the puts"
            found = contestant.find(w.keys(absent))
            expect(found == [None] * len(absent), f"{where}: deleted keys are still there")
            found = contestant.find(w.keys(present))
            expect(found == w.values(present), f"{where}: wrong values")

    # -- verification, outside of the clocks --------------------------------------------------

    @property
    def real(self) -> list[Contestant]:
        """Those that hold entries."""
        return [contestant for contestant in self.contestants if contestant.holds_entries]

    def verify_sizes(self, expected: int, when: str) -> None:
        """Count the entries."""
        for contestant in self.real:
            count = len(contestant)
            where = f"{contestant.name}, {self.workload.name}, {when}"
            expect(count == expected, f"{where}: {count} entries instead of {expected}")

    def verify_all(self) -> None:
        """Look at everything that was inserted: all of it in the first round, then samples."""
        w = self.workload
        self.verify_sizes(w.n, "after the inserts")
        sample = w.some(min(SAMPLE, w.n))
        missing = w.some(min(SAMPLE, w.n), stored=False)
        in_order = list(zip(w.keys(w.by_key), w.values(w.by_key), strict=True))
        start = int(w.rng.integers(0, max(1, w.n - RANGE)))
        for contestant in self.real:
            where = f"{contestant.name}, {w.name}"
            expect(contestant.find(w.keys(sample)) == w.values(sample), f"{where}: wrong values")
            found = contestant.find(w.keys(missing))
            expect(found == [None] * len(missing), f"{where}: keys that were never stored")
            if contestant.can("range"):
                first = w.keys(w.by_key[start : start + 1])
                expected = in_order[start : start + RANGE]
                expect(contestant.range(first) == expected, f"{where}: a wrong range")
            if self.number == 0:
                items = list(contestant.items())
                if not contestant.ordered:
                    items.sort()
                expect(items == in_order, f"{where}: the items of a scan are wrong")

    def note_sizes(self) -> None:
        """Note what the files occupy."""
        for contestant in self.contestants:
            size = contestant.file_bytes()
            if size is not None:
                each = size / self.workload.n
                self.results.set_size(self.workload.name, contestant.name, each)


def measure_workload(
    workload: Workload, names: Sequence[str], directory: Path, rounds: int, results: Results
) -> None:
    """All rounds of a workload."""
    for number in range(rounds):
        contestants = [
            make_contestant(name, workload.name, workload.n, directory) for name in names
        ]
        contestants = [
            contestant
            for contestant in contestants
            if contestant.rounds_max is None or number < contestant.rounds_max
        ]
        who = ", ".join(contestant.name for contestant in contestants)
        say(f"{workload.name}: round {number + 1} of {rounds}: {who}")
        with no_collector():
            Round(workload, contestants, number, random.Random(number), results).run()


# --- the program --------------------------------------------------------------------------------


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_mappings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, default=1_000_000, help="entries (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(SECTIONS),
        metavar="SECTIONS",
        help=f"some of {','.join(SECTIONS)}",
    )
    parser.add_argument(
        "--who",
        type=lambda text: text.split(","),
        default=list(ROSTER),
        metavar="NAMES",
        help=f"some of {','.join(ROSTER)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="clock told (cpu)")
    parser.add_argument("--seed", type=int, default=1, help="of the data (1)")
    parser.add_argument(
        "--directory", default="/dev/shm", help="where the files go: a tmpfs (/dev/shm)"
    )
    arguments = parser.parse_args(words)
    for option, known in ((arguments.only, SECTIONS), (arguments.who, ROSTER)):
        if unknown := [word for word in option if word not in known]:
            parser.error(f"expected some of {','.join(known)}, found {','.join(unknown)}")
    if arguments.n < 1 or arguments.rounds < 1:
        parser.error("--n and --rounds: expected at least 1")
    if "LMDB" in arguments.who and importlib.util.find_spec("lmdb") is None:
        parser.error("LMDB is not installed: `pip install lmdb`, or leave it out by --who")
    needed = arguments.n * BYTES_PER_ENTRY_MAX
    if (free := shutil.disk_usage(arguments.directory).free) < needed:
        parser.error(
            f"{arguments.directory} has {free >> 20} MiB free, {needed >> 20} MiB may be needed: "
            "name another tmpfs by --directory, or take a smaller --n"
        )
    return arguments


def measure(arguments: argparse.Namespace, directory: Path) -> Results:
    """Run the sections that were asked for."""
    results = Results(
        {
            "machine": machine(),
            "n": arguments.n,
            "rounds": arguments.rounds,
            "seed": arguments.seed,
            "started": time.strftime("%Y-%m-%d %H:%M"),
        }
    )
    names = [name for name in ROSTER if name in arguments.who]
    sections = arguments.only
    started = time.monotonic()
    for name in WORKLOADS:
        workload = make_workload(name, arguments.n, arguments.seed)
        if name in sections:
            measure_workload(workload, names, directory, arguments.rounds, results)
        if "reopen" in sections:
            measure_reopening(workload, names, directory, arguments.rounds, results)
    if "import" in sections:
        measure_imports(directory, 2 * arguments.rounds + 1, results)
    results.facts["seconds"] = round(time.monotonic() - started)
    results.facts["load_after"] = machine()["load"]
    return results


def main(words: Sequence[str] | None = None) -> int:
    """Measure, report; 1 if a contestant gave wrong results, 0 also when a target is missed."""
    arguments = arguments_of(words)
    print(__doc__)
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="spacejmp-bench-", dir=arguments.directory) as folder:
        try:
            results = measure(arguments, Path(folder))
        except VerificationError as error:
            print(f"verification failed: {error}", file=sys.stderr)
            return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(results.to_json(), indent=1) + "\n", encoding="utf-8")
    print_report(results, arguments.clock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
