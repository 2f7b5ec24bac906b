# SPDX-License-Identifier: Apache-2.0
"""Batches and iteration: many keys at once, next to a loop over a dict.

Question    What do `get_many`, `put_many`, `bulk_load`, arrays and iteration take for each item,
            next to the same with a dict in memory, one by one?
Workload    n distinct 63-bit ints in random order, each with another one. In each round everything
            is built anew: put all; get all in another random order, as an array, as a list, and one
            by one; go through all keys, values and items; read all keys and items as arrays; load
            them in order into an empty tree, as arrays and as pairs.
Peers       dict: a loop of gets of equal keys (never the same objects) that makes a list, `update`,
            and loops over `d`, `d.values()` and `d.items()`. Our own mappings one by one.
In the time The call or the loop, encoding and decoding, locks, logs, the commit. CPU time of the
            thread. Not: making arrays and lists of keys, checking the results, and the garbage
            collector, which is off. Everybody does an operation before anybody does the next one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import spacejmp as sj
from bench.harness import Results, expect, interleave, machine, no_collector, say
from bench.report import Table, Verdict, number, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

RESERVE = 16 << 30
OURS = ("HashMap", "BTree")


@dataclass
class Round:
    """The mappings of a round, and what it does with them."""

    store: sj.Store
    n: int
    number: int
    results: Results
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.number)
        seeded = np.random.default_rng(self.number)
        self.keys = np.unique(seeded.integers(0, 2**63 - 1, self.n))
        self.values = seeded.integers(0, 2**63 - 1, len(self.keys))
        self.puts = seeded.permutation(len(self.keys))
        self.gets = seeded.permutation(len(self.keys))
        self.dict: dict[int, int] = {}
        self.mappings: dict[str, Any] = {
            "HashMap": self.store.hashmap("hash", key="int", value="int"),
            "BTree": self.store.btree("tree", key="int", value="int"),
        }

    def measure(self, operation: str, calls: dict[str, Callable[[], object]]) -> dict[str, Any]:
        """Let everybody do it, in an order that is drawn; what each gave."""
        given: dict[str, Any] = {}

        def call(name: str, _: object) -> None:
            given[name] = calls[name]()

        names = list(calls)
        for name, sample in zip(names, interleave(names, [()], call, self.rng), strict=True):
            count = len(self.keys)
            self.results.add("int", operation, name, self.number, sample, count)
        return given

    def of_ours(self, method: Callable[[Any], object]) -> dict[str, Callable[[], object]]:
        """The same of each of our mappings."""
        return {name: partial(method, mapping) for name, mapping in self.mappings.items()}

    def run(self) -> None:
        """Put, get, go through all, load."""
        self.put()
        self.get()
        self.go_through()
        self.load()
        self.store.drop("hash")
        self.store.drop("tree")

    def put(self) -> None:
        """All of it, in one operation."""
        keys, values = self.keys[self.puts], self.values[self.puts]
        pairs = list(zip(keys.tolist(), values.tolist(), strict=True))
        calls = self.of_ours(lambda mapping: mapping.put_many(keys, values))
        self.measure("put_many", {"dict": lambda: self.dict.update(pairs), **calls})
        for name, mapping in self.mappings.items():
            expect(len(mapping) == len(keys), f"{name}: wrong number of items")

    def get(self) -> None:
        """All of it, in another order."""
        keys = self.keys[self.gets]
        expected = self.values[self.gets]
        objects = keys.tolist()
        found = self.dict

        def loop() -> list[int]:
            return [found[key] for key in objects]

        def singly(mapping: Any) -> list[int]:
            return [mapping[key] for key in objects]

        given = self.measure(
            "get_many, array", {"dict": loop, **self.of_ours(lambda m: m.get_many(keys))}
        )
        for name in OURS:
            expect(bool((given[name] == expected).all()), f"{name}: wrong values")
        self.measure(
            "get_many, list", {"dict": loop, **self.of_ours(lambda m: m.get_many(objects))}
        )
        self.measure("get, one by one", {"dict": loop, **self.of_ours(singly)})

    def go_through(self) -> None:
        """All keys, values and items."""
        for what in ("keys", "values", "items"):
            calls: dict[str, Callable[[], object]] = {
                "dict": partial(self.loop, getattr(self.dict, what)())
            }
            for name, mapping in self.mappings.items():
                calls[name] = partial(self.loop, getattr(mapping, what)())
            self.measure(f"for … in {what}", calls)
        given = self.measure("keys_array", self.of_ours(lambda mapping: mapping.keys_array()))
        for name in OURS:
            expect(bool((np.sort(given[name]) == self.keys).all()), f"{name}: wrong keys")
        self.measure("range_array", {"BTree": self.mappings["BTree"].range_array})

    @staticmethod
    def loop(objects: Iterable[object]) -> None:
        """Nothing for each."""
        for _ in objects:
            pass

    def load(self) -> None:
        """In order, into an empty tree."""
        tree = self.mappings["BTree"]
        pairs = list(zip(self.keys.tolist(), self.values.tolist(), strict=True))
        tree.clear()
        self.measure("bulk_load, arrays", {"BTree": lambda: tree.bulk_load(self.keys, self.values)})
        expect(bool((tree.values_array() == self.values).all()), "BTree: wrong values")
        tree.clear()
        self.measure("bulk_load, pairs", {"BTree": lambda: tree.bulk_load(pairs)})


def verdicts(results: Results) -> Iterable[Verdict]:
    """All targets; they are meant for a million items."""
    for name in OURS:
        times = results.ratio("int", "get_many, array", "dict", name, "cpu")
        yield Verdict(f"{name}: loop over a dict / get_many of an array", 5, times, "×", False)
    loading = results.median("int", "bulk_load, arrays", "BTree", "cpu")
    yield Verdict("BTree: bulk_load of arrays", 30, loading, "ns", True)
    for name in OURS:
        for what in ("keys", "values", "items"):
            times = results.ratio("int", f"for … in {what}", name, "dict", "cpu")
            yield Verdict(f"{name}: for … in {what} / the same of a dict", 1.5, times, "×", True)


def tables(results: Results) -> list[Table]:
    """Verdicts, then everything."""
    targets = Table("Targets (all ratios of this one run)", ["what", "target", "measured", ""])
    targets.rows = [verdict.row for verdict in verdicts(results)]
    names = ("dict", *OURS)
    every = Table("ns an item, medians of the rounds", ["", *names])
    for operation in dict.fromkeys(cell.operation for cell in results.cells()):
        times = [results.median("int", operation, name, "cpu") for name in names]
        every.rows.append([operation, *map(number, times)])
    return [targets, every]


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_batches",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, default=1_000_000, help="items (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--directory", default="/dev/shm", help="a tmpfs (/dev/shm)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    arguments = parser.parse_args(words)
    if arguments.n < 1 or arguments.rounds < 1:
        parser.error("--n and --rounds: expected at least 1")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Measure and report; 0 also when a target is missed."""
    arguments = arguments_of(words)
    print(__doc__)
    sys.stdout.flush()
    results = Results({"machine": machine(), "n": arguments.n, "rounds": arguments.rounds})
    with (
        tempfile.TemporaryDirectory(prefix="spacejmp-bench-", dir=arguments.directory) as home,
        sj.open("batches", home=home, reserve=RESERVE) as store,
    ):
        for turn in range(arguments.rounds):
            say(f"round {turn + 1} of {arguments.rounds}")
            with no_collector():
                Round(store, arguments.n, turn, results).run()
    if arguments.json:
        arguments.json.write_text(json.dumps(results.to_json(), indent=1) + "\n", encoding="utf-8")
    show(tables(results), as_markdown=arguments.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
