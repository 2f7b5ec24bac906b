# SPDX-License-Identifier: Apache-2.0
"""Structures: what Python programs keep in memory, next to what else keeps it beyond a process.

Question    What does each structure cost next to the builtin that it stands for, and next to other
            persistent ones? How does reading scale with the processes that read?
Workload    n distinct keys in random order: 63-bit int → 63-bit int, and 16-byte → 100-byte. In
            each round everything is built anew: put all, one by one; get of keys that are there;
            `in`, half of them there; a scan of all. Sets of the same keys: add, `in`, a scan.
            Lists of n ints: append, get at a position, a scan. Queues: a number there and back
            between two processes. Readers: 1, 2, 4 and 8 processes that get keys at random.
Peers       dict, SortedDict; LMDB and SQLite as in bench/peers.py; ZODB's BTrees, diskcache and
            shelve as in bench/more_peers.py. Theirs: all puts in one transaction, where there are
            any. Ours: no transaction, no hold around: each operation is atomic by itself.
            diskcache and shelve take part with n / 20 entries. What is not installed is left out,
            and said.
In the time The loop, the call, encoding and decoding, locks, logs, commits. No fsync: all promise
            to survive the death of a process, on tmpfs. Not: making keys, checking the results, the
            garbage collector, which is off. CPU time of the thread; hand-overs and rates are wall
            time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness import (
    Results,
    VerificationError,
    expect,
    interleave,
    machine,
    no_collector,
    say,
)
from bench.more_peers import MORE_PEERS, SETS, SLOW, missing_package
from bench.ours import OURS
from bench.peers import PEERS
from bench.readers import read_together
from bench.report import show
from bench.sequences import has_structure, measure_lists, measure_queues
from bench.structures_report import MAPPINGS, SET_NAMES, conditions, tables
from bench.workloads import WORKLOADS, make_workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contestants import Contestant
    from bench.workloads import Workload

SECTIONS = ("mappings", "sets", "list", "queue", "readers")
LOOKUPS = 100_000
SAMPLE = 1_000
SLOW_SHARE = 20
HAND_OVERS = 10_000


# --- a round ------------------------------------------------------------------------------------


@dataclass
class Round:
    """Some contestants, and what a round does with them."""

    section: str
    workload: Workload
    contestants: list[Contestant]
    n: int
    number: int
    rng: random.Random
    results: Results

    def run(self) -> None:
        """Build, measure, verify, remove."""
        for contestant in self.contestants:
            contestant.create()
        w = self.workload
        order = w.rng.permutation(self.n)
        slices = [(w.keys(part), w.values(part)) for part in np.array_split(order, 10)]
        steps: list[tuple[str, tuple[Any, ...]]] = [("begin", ())]
        steps += [("insert", part) for part in slices]
        self.measure("put", [*steps, ("commit", ())], self.n)
        self.verify()
        count = min(LOOKUPS, 10 * self.n)
        there = w.rng.integers(0, self.n, count)
        if self.section == "mappings":
            parts = [("get", (w.keys(part),)) for part in np.array_split(there, 4)]
            self.measure("get", parts, count)
        mixed = np.where(w.rng.integers(0, 2, count) == 0, there, there + w.n)
        parts = [("contains", (w.keys(part),)) for part in np.array_split(mixed, 4)]
        self.measure("in", parts, count)
        self.measure("scan", [("scan", ())], self.n)
        for contestant in self.contestants:
            contestant.close()
            contestant.remove()

    def measure(
        self, operation: str, steps: Sequence[tuple[str, tuple[Any, ...]]], count: int
    ) -> None:
        """Let everybody take the steps, and note the time of one of `count` operations."""

        def call(contestant: Contestant, step: tuple[str, tuple[Any, ...]]) -> object:
            return getattr(contestant, step[0])(*step[1])

        able = [who for who in self.contestants if all(who.can(step) for step, _ in steps)]
        samples = interleave(able, steps, call, self.rng)
        for contestant, sample in zip(able, samples, strict=True):
            self.results.add(
                f"{self.section} {self.workload.name}",
                operation,
                contestant.name,
                self.number,
                sample,
                count,
            )

    def verify(self) -> None:
        """Look at what was put: all of it in the first round, then a sample."""
        w = self.workload
        some = w.rng.integers(0, self.n, min(SAMPLE, self.n))
        wanted = w.values(some) if self.section == "mappings" else [True] * len(some)
        for contestant in self.contestants:
            if not contestant.holds_entries:
                continue
            where = f"{contestant.name}, {self.section}, {w.name}"
            expect(len(contestant) == self.n, f"{where}: {len(contestant)} of {self.n} entries")
            expect(contestant.find(w.keys(some)) == wanted, f"{where}: wrong values")
            found = contestant.find(w.keys(some + w.n))
            expect(found == [None] * len(some), f"{where}: keys that were never stored")
            if self.number == 0:
                expect(sorted(contestant.items()) == self._all(), f"{where}: a wrong scan")

    def _all(self) -> list[tuple[Any, Any]]:
        numbers = range(self.n)
        keys = self.workload.keys(numbers)
        if self.section == "sets":
            return sorted((key, True) for key in keys)
        return sorted(zip(keys, self.workload.values(numbers), strict=True))


def measure_workload(
    section: str, workload: Workload, names: Sequence[str], directory: Path, results: Results
) -> None:
    """All rounds of a workload: those who are fast together, then those who are slow."""
    makers = {**OURS, **PEERS, **MORE_PEERS} if section == "mappings" else SETS
    rounds = results.facts["rounds"]
    for number in range(rounds):
        for slow in (False, True):
            n = min(workload.n, max(50, workload.n // SLOW_SHARE)) if slow else workload.n
            contestants = [
                makers[name](workload.name, n, directory)
                for name in names
                if (name in SLOW) is slow
            ]
            contestants = [
                who for who in contestants if who.rounds_max is None or number < who.rounds_max
            ]
            if not contestants:
                continue
            told = ", ".join(contestant.name for contestant in contestants)
            say(f"{section}, {workload.name}: round {number + 1} of {rounds}: {told}")
            with no_collector():
                rng = random.Random(number)
                Round(section, workload, contestants, n, number, rng, results).run()


# --- readers ------------------------------------------------------------------------------------


def measure_readers(
    workload: Workload, directory: Path, readers: list[int], seconds: float, results: Results
) -> None:
    """Gets by several processes at a time, all numbers of them in turn."""
    import spacejmp

    numbers = range(workload.n)
    keys, values = workload.keys(numbers), workload.values(numbers)
    kinds = {"HashMap": "hashmap", "BTree": "btree"}
    with spacejmp.open("readers", "n", home=directory) as store:
        for kind in kinds.values():
            getattr(store, kind)(kind, key="int", value="int").update(
                zip(keys, values, strict=True)
            )
        rates: dict[str, dict[str, list[list[float]]]] = {}
        for number in range(results.facts["rounds"]):
            say(f"readers: round {number + 1} of {results.facts['rounds']}")
            for name, kind in kinds.items():
                for processes in readers:
                    rate = read_together(directory, kind, keys, processes, seconds)
                    told = rates.setdefault(name, {}).setdefault(str(processes), [])
                    told.append([rate.gets_per_second, rate.cpu_ns])
    results.facts["readers"] = rates
    spacejmp.Catalog(directory).remove("readers")


# --- the program --------------------------------------------------------------------------------


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_structures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (*MAPPINGS, *SET_NAMES)
    for option, known in (("--only", SECTIONS), ("--who", names)):
        parser.add_argument(
            option,
            type=lambda text: text.split(","),
            default=list(known),
            metavar="NAMES",
            help=f"some of {','.join(known)}",
        )
    parser.add_argument("--n", type=int, default=1_000_000, help="entries (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument(
        "--readers",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[1, 2, 4, 8],
        metavar="NUMBERS",
        help="of processes that read at the same time (1,2,4,8)",
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="each reader reads (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="clock told (cpu)")
    parser.add_argument("--markdown", action="store_true", help="tell it as Markdown")
    parser.add_argument("--seed", type=int, default=1, help="of the data (1)")
    parser.add_argument(
        "--directory", default="/dev/shm", help="where the files go: a tmpfs (/dev/shm)"
    )
    arguments = parser.parse_args(words)
    for option, known in ((arguments.only, SECTIONS), (arguments.who, names)):
        if unknown := [word for word in option if word not in known]:
            parser.error(f"expected some of {','.join(known)}, found {','.join(unknown)}")
    if arguments.n < 100 or arguments.rounds < 1:
        parser.error("--n: expected at least 100, --rounds: at least 1")
    return arguments


def measure(arguments: argparse.Namespace, directory: Path) -> Results:
    """Run the sections that were asked for."""
    missing = {name: package for name in arguments.who if (package := missing_package(name))}
    left_out = [f"{name}: {package} is not installed" for name, package in missing.items()]
    left_out += [
        f"{name}: stores have no such structure yet"
        for name in ("list", "queue")
        if name in arguments.only and not has_structure(name)
    ]
    facts = {
        "machine": machine(),
        "n": arguments.n,
        "rounds": arguments.rounds,
        "seed": arguments.seed,
        "started": time.strftime("%Y-%m-%d %H:%M"),
        "left_out": left_out,
        "processors": len(os.sched_getaffinity(0)),
    }
    results = Results(facts)
    for line in left_out:
        say(f"left out: {line}")
    begun = time.monotonic()
    for section, roster in (("mappings", MAPPINGS), ("sets", SET_NAMES)):
        names = [name for name in roster if name in arguments.who and name not in missing]
        for kind in WORKLOADS if section in arguments.only else ():
            workload = make_workload(kind, arguments.n, arguments.seed)
            measure_workload(section, workload, names, directory, results)
    for number in range(arguments.rounds):
        rng = random.Random(number)
        if "list" in arguments.only and has_structure("list"):
            with no_collector():
                measure_lists(arguments.n, directory, number, rng, results)
        if "queue" in arguments.only and has_structure("queue"):
            measure_queues(min(HAND_OVERS, arguments.n), directory, number, results)
    if "readers" in arguments.only:
        workload = make_workload("int", arguments.n, arguments.seed)
        measure_readers(workload, directory, arguments.readers, arguments.seconds, results)
    facts["seconds"] = round(time.monotonic() - begun)
    facts["load_after"] = machine()["load"]
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
    print(conditions(results))
    print()
    show(tables(results, arguments.clock), as_markdown=arguments.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
