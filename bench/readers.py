# SPDX-License-Identifier: Apache-2.0
"""How reading scales: the same gets in 1, 2, 4, 8 processes at the same time.

Each process opens the store for reading, waits for the common start, and gets keys at random, each
get by itself, until its time is over. It is bound to a processor, in turn. Readers write nothing
that another one reads, so as many processors do as many times the work; more processes than
processors share them.

As a program, this module is a reader: it reads a pickled `Task`, then a line that is the start.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import expect

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rate", "read_together"]

ROOT = Path(__file__).resolve().parent.parent
BATCH = 5_000
KEYS_MAX = 200_000
WARM_UP = 50_000


@dataclass
class Task:
    """What a reader does: gets of these keys of a structure."""

    home: str
    structure: str
    keys: list[int]
    seconds: float
    processor: int


@dataclass
class Rate:
    """What readers did together."""

    gets_per_second: float
    cpu_ns: float
    """Of one get."""


def reader() -> None:
    """Do the task on stdin."""
    import spacejmp

    task: Task = pickle.load(sys.stdin.buffer)
    os.sched_setaffinity(0, {task.processor})
    with spacejmp.open("readers", "r", home=task.home) as store:
        mapping = store[task.structure]
        keys = task.keys
        batches = [keys[at : at + BATCH] for at in range(0, len(keys), BATCH)]
        for key in keys[:WARM_UP]:
            mapping[key]
        print("ready", flush=True)
        sys.stdin.buffer.readline()
        done = 0
        wall, cpu = time.perf_counter(), time.thread_time_ns()
        while time.perf_counter() - wall < task.seconds:
            batch = batches[done % len(batches)]
            for key in batch:
                mapping[key]
            done += 1
        cpu = time.thread_time_ns() - cpu
        print(json.dumps({"gets": done * BATCH, "wall": time.perf_counter() - wall, "cpu": cpu}))


def read_together(
    home: Path, structure: str, keys: Sequence[int], processes: int, seconds: float
) -> Rate:
    """Let that many processes read at the same time."""
    processors = sorted(os.sched_getaffinity(0))
    children = []
    for number in range(processes):
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.readers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        children.append(child)
        assert child.stdin is not None
        mine = random.Random(number).sample(keys, min(len(keys), KEYS_MAX))
        processor = processors[number % len(processors)]
        pickle.dump(Task(str(home), structure, mine, seconds, processor), child.stdin)
        child.stdin.flush()
    for child in children:
        assert child.stdout is not None
        expect(child.stdout.readline() == b"ready\n", f"a reader of {structure} has failed")
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    answers = [json.loads(child.communicate()[0]) for child in children]
    return Rate(
        sum(answer["gets"] / answer["wall"] for answer in answers),
        sum(answer["cpu"] for answer in answers) / sum(answer["gets"] for answer in answers),
    )


if __name__ == "__main__":
    reader()
