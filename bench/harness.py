# SPDX-License-Identifier: Apache-2.0
"""How it is measured: clocks, interleaving, medians, ratios, verification.

Machines are noisy, so nothing is measured alone. The work of a round is cut into slices, and every
contestant does a slice before any does the next one, in an order drawn anew for each. A ratio is
taken inside of a round, from times that lie next to each other, and the median of the rounds'
ratios is reported: it is steadier than the ratio of two medians.

Two clocks run at once. The CPU clock of the thread leaves out the time that other processes had;
with all data in memory and one thread, a contestant waits for nothing else. Latencies of a few
calls (opening a store) are told by the wall clock.

The garbage collector is off while the clocks run, for all.
"""

from __future__ import annotations

import gc
import os
import platform
import re
import sqlite3
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "Clock",
    "Results",
    "Sample",
    "VerificationError",
    "expect",
    "interleave",
    "machine",
    "no_collector",
    "say",
    "timed",
]

Clock = Literal["cpu", "wall"]
PACKAGES = ("spacejmp", "sortedcontainers", "lmdb", "ZODB", "BTrees", "diskcache")
T = TypeVar("T")
C = TypeVar("C")
P = TypeVar("P")


class VerificationError(Exception):
    """A contestant gave something else than it was given: its times mean nothing."""


def expect(condition: bool, message: str) -> None:
    """Raise VerificationError unless the condition holds."""
    if not condition:
        raise VerificationError(message)


def say(text: str) -> None:
    """Tell on stderr how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# --- clocks -------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """What both clocks say of the same work."""

    cpu_ns: int = 0
    wall_ns: int = 0

    def plus(self, other: Sample) -> Sample:
        """The sum of two samples."""
        return Sample(self.cpu_ns + other.cpu_ns, self.wall_ns + other.wall_ns)


def timed(call: Callable[[], T]) -> tuple[T, Sample]:
    """Call, and say how long it took."""
    wall = time.perf_counter_ns()
    cpu = time.thread_time_ns()
    result = call()
    cpu = time.thread_time_ns() - cpu
    wall = time.perf_counter_ns() - wall
    return result, Sample(cpu, wall)


@contextmanager
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off, and hide what is there already from its later runs."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def interleave(
    contestants: Sequence[C],
    slices: Sequence[P],
    call: Callable[[C, P], object],
    rng: random.Random,
) -> list[Sample]:
    """Let every contestant do each slice before any does the next one, in an order drawn for each.

    Returns the time of each contestant's slices together, in the order of `contestants`.
    """
    totals = [Sample()] * len(contestants)
    for part in slices:
        for place in rng.sample(range(len(contestants)), len(contestants)):
            _, sample = timed(partial(call, contestants[place], part))
            totals[place] = totals[place].plus(sample)
    return totals


# --- results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """Which measurement: of what workload, what operation, by whom."""

    workload: str
    operation: str
    contestant: str


class Results:
    """Nanoseconds for each operation in each round, and what was found besides."""

    def __init__(self, facts: dict[str, Any] | None = None) -> None:
        self.facts: dict[str, Any] = facts or {}
        self._rounds: dict[Clock, dict[Cell, dict[int, float]]] = {"cpu": {}, "wall": {}}
        self._sizes: dict[tuple[str, str], float] = {}

    def add(
        self,
        workload: str,
        operation: str,
        contestant: str,
        number: int,
        sample: Sample,
        operations: int = 1,
    ) -> None:
        """Note what one round took for that many operations."""
        cell = Cell(workload, operation, contestant)
        self._rounds["cpu"].setdefault(cell, {})[number] = sample.cpu_ns / operations
        self._rounds["wall"].setdefault(cell, {})[number] = sample.wall_ns / operations

    def set_size(self, workload: str, contestant: str, bytes_per_entry: float) -> None:
        """Note how many bytes of its file an entry takes."""
        self._sizes[workload, contestant] = bytes_per_entry

    def size(self, workload: str, contestant: str) -> float | None:
        """Bytes of the file for each entry."""
        return self._sizes.get((workload, contestant))

    def rounds(self, cell: Cell, clock: Clock) -> list[float]:
        """Nanoseconds for one operation, in each round."""
        return list(self._rounds[clock].get(cell, {}).values())

    def median(self, workload: str, operation: str, who: str, clock: Clock) -> float | None:
        """Nanoseconds for one operation."""
        values = self.rounds(Cell(workload, operation, who), clock)
        return statistics.median(values) if values else None

    def ratio(
        self, workload: str, operation: str, who: str, to_whom: str, clock: Clock
    ) -> float | None:
        """How many times as long the first one takes: the median of the ratios in each round."""
        one = self._rounds[clock].get(Cell(workload, operation, who), {})
        other = self._rounds[clock].get(Cell(workload, operation, to_whom), {})
        common = [one[number] / other[number] for number in one if other.get(number)]
        return statistics.median(common) if common else None

    def cells(self, workload: str | None = None) -> list[Cell]:
        """What there is, in the order of measuring."""
        cells = self._rounds["cpu"]
        return [cell for cell in cells if workload in (None, cell.workload)]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "facts": self.facts,
            "cells": [
                {
                    "workload": cell.workload,
                    "operation": cell.operation,
                    "contestant": cell.contestant,
                    "rounds": list(numbers),
                    "cpu_ns": [round(value, 2) for value in numbers.values()],
                    "wall_ns": [round(value, 2) for value in self._rounds["wall"][cell].values()],
                }
                for cell, numbers in self._rounds["cpu"].items()
            ],
            "bytes_per_entry": [
                {"workload": workload, "contestant": contestant, "bytes": round(size, 2)}
                for (workload, contestant), size in self._sizes.items()
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Results:
        """What `to_json` gave."""
        results = cls(data["facts"])
        for entry in data["cells"]:
            cell = Cell(entry["workload"], entry["operation"], entry["contestant"])
            for clock in results._rounds:
                values = zip(entry["rounds"], entry[f"{clock}_ns"], strict=True)
                results._rounds[clock][cell] = dict(values)
        for entry in data["bytes_per_entry"]:
            results.set_size(entry["workload"], entry["contestant"], entry["bytes"])
        return results


# --- the machine --------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What the times depend on: processor, kernel, versions, load."""
    return {
        "processor": _first_match("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
        or platform.machine(),
        "cpus": os.cpu_count(),
        "cache_l2": _text("/sys/devices/system/cpu/cpu0/cache/index2/size"),
        "cache_l3": _text("/sys/devices/system/cpu/cpu0/cache/index3/size"),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "huge_pages_shm": _text("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in PACKAGES},
        "sqlite": sqlite3.sqlite_version,
        "load": round(os.getloadavg()[0], 1),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _first_match(path: str, pattern: str) -> str | None:
    match = re.search(pattern, _text(path) or "", re.MULTILINE)
    return match[1].strip() if match else None
