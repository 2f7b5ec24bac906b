# SPDX-License-Identifier: Apache-2.0
"""Lists next to list, and queues between two processes.

The sections are left out when the store has no such structures.

As a program, this module is the other end of a queue: it gets from one and puts into another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import Sample, expect, interleave

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from bench.harness import Results

__all__ = ["has_structure", "measure_lists", "measure_queues"]

ROOT = Path(__file__).resolve().parent.parent
STOP = -1
SLICES = 8


def has_structure(name: str) -> bool:
    """Whether this version's stores have it."""
    import spacejmp

    return hasattr(spacejmp.Store, name)


def measure_lists(
    n: int, directory: Path, number: int, rng: random.Random, results: Results
) -> None:
    """Append n ints, get at random positions, iterate: `Store.list` and list."""
    import spacejmp

    with spacejmp.open("lists", "n", home=directory) as opened:
        store: Any = opened
        lists: dict[str, Any] = {"List": store.list("l", value="int"), "list": []}
        places = [rng.randrange(n) for _ in range(n)]
        parts = [range(at, n, SLICES) for at in range(SLICES)]

        def append(who: str, part: range) -> None:
            add = lists[who].append
            for item in part:
                add(item)

        def index(who: str, part: range) -> None:
            found = lists[who]
            for place in places[part.start :: part.step]:
                found[place]

        def iterate(who: str, _: range) -> None:
            for _item in lists[who]:
                pass

        steps: tuple[tuple[str, Callable[[str, range], None], list[range]], ...] = (
            ("append", append, parts),
            ("get at a position", index, parts),
            ("scan", iterate, parts[:1]),
        )
        for operation, call, slices in steps:
            samples = interleave(tuple(lists), slices, call, rng)
            for who, sample in zip(lists, samples, strict=True):
                results.add("list", operation, who, number, sample, n)
        expect(list(lists["List"]) == lists["list"], "List: other items than list")
    spacejmp.Catalog(directory).remove("lists")


def measure_queues(hand_overs: int, directory: Path, number: int, results: Results) -> None:
    """There and back between two processes: half of it is a hand-over. And put and get alone."""
    import spacejmp

    with spacejmp.open("queues", "n", home=directory) as opened:
        store: Any = opened
        make = store.queue
        there, back = make("there", value="int"), make("back", value="int")
        begun = time.perf_counter_ns(), time.thread_time_ns()
        for item in range(hand_overs):
            there.put(item)
        for item in range(hand_overs):
            expect(there.get() == item, "Queue: items out of order")
        alone = Sample(time.thread_time_ns() - begun[1], time.perf_counter_ns() - begun[0])
        results.add("queue", "put and get, one process", "Queue", number, alone, hand_overs)
        with subprocess.Popen([sys.executable, "-m", "bench.sequences", str(directory)], cwd=ROOT):
            there.put(0)
            back.get(timeout=60)
            begun = time.perf_counter_ns(), time.thread_time_ns()
            for item in range(1, hand_overs + 1):
                there.put(item)
                expect(back.get(timeout=60) == item, "Queue: another item came back")
            sample = Sample(time.thread_time_ns() - begun[1], time.perf_counter_ns() - begun[0])
            there.put(STOP)
        results.add("queue", "hand-over", "Queue", number, sample, 2 * hand_overs)
    spacejmp.Catalog(directory).remove("queues")


def other_end(home: str) -> None:
    """Send back what comes."""
    import spacejmp

    with spacejmp.open("queues", "w", home=home) as opened:
        store: Any = opened
        make = store.queue
        there, back = make("there", value="int"), make("back", value="int")
        while (item := there.get(timeout=60)) != STOP:
            back.put(item)


if __name__ == "__main__":
    os.chdir(ROOT)
    other_end(sys.argv[1])
