# SPDX-License-Identifier: Apache-2.0
"""What needs a fresh process: opening what is there, opening it after a crash, importing.

A child imports everything first, then starts the clocks, opens, gets one value and stops them. For
"reopen" the process before it had closed. For "recover" another child opens, begins a transaction,
puts `IN_FLIGHT` entries, and is killed there (SIGKILL): the opening that comes next has to undo
them. It opens for writing.

As a program, this module is the child: it reads a pickled `Task` and prints JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import Results, Sample, expect, say, timed
from bench.roster import make_contestant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contestants import Contestant
    from bench.workloads import Workload

__all__ = ["IMPORTS", "IN_FLIGHT", "measure_imports", "measure_reopening"]

ROOT = Path(__file__).resolve().parent.parent
IN_FLIGHT = 1000
IMPORTS = ("spacejmp", "numpy", "lmdb", "sqlite3")
SECONDS_MAX = 300


@dataclass
class Task:
    """What a child is asked to do."""

    contestant: str
    workload: str
    n: int
    directory: Path
    crash: bool
    keys: list[Any]
    """The key to get first; or those to put before being killed."""
    values: list[Any]
    absent: Any = None
    """A key that an undone transaction had put."""


# --- the child ----------------------------------------------------------------------------------


def child() -> None:
    """Do the task on stdin."""
    task: Task = pickle.load(sys.stdin.buffer)
    contestant = make_contestant(task.contestant, task.workload, task.n, task.directory)
    if task.crash:
        contestant.open()
        contestant.transaction()
        contestant.insert(task.keys, task.values)
        print("ready", flush=True)
        time.sleep(SECONDS_MAX)
        return

    def open_and_get() -> Any:
        contestant.open()
        return contestant.find(task.keys)

    found, sample = timed(open_and_get)
    answer = {
        "cpu_ns": sample.cpu_ns,
        "wall_ns": sample.wall_ns,
        "right": found == task.values,
        "entries": len(contestant),
        "undone": contestant.find([task.absent]) == [None],
    }
    contestant.close()
    print(json.dumps(answer))


def _start(task: Task) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.reopen"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    pickle.dump(task, process.stdin)
    process.stdin.close()
    return process


def _crash(task: Task) -> None:
    """Let a child die in the middle of a transaction."""
    with _start(task) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.kill()
    expect(ready == b"ready\n", f"{task.contestant}: the child that was to be killed had failed")


def _open(task: Task) -> Sample:
    """Let a child open and get, and look at what it found."""
    with _start(task) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    expect(process.returncode == 0, f"{task.contestant}: the child that was to open it failed")
    answer = json.loads(output)
    where = f"{task.contestant}, {task.workload}"
    expect(answer["right"], f"{where}: the first get after opening gave a wrong value")
    expect(answer["undone"], f"{where}: an unfinished transaction was not undone")
    expect(answer["entries"] == task.n, f"{where}: {answer['entries']} of {task.n} after opening")
    return Sample(answer["cpu_ns"], answer["wall_ns"])


# --- the parent ---------------------------------------------------------------------------------


def measure_reopening(
    workload: Workload, names: Sequence[str], directory: Path, rounds: int, results: Results
) -> None:
    """Fill one of each, and open it again and again."""
    contestants = [make_contestant(name, workload.name, workload.n, directory) for name in names]
    contestants = [contestant for contestant in contestants if contestant.persistent]
    for contestant in contestants:
        say(f"{workload.name}: filling {contestant.name}, to open it again")
        _fill(contestant, workload)
    for number in range(rounds):
        say(f"{workload.name}: opening, clean and crashed, {number + 1} of {rounds}")
        for contestant in contestants:
            entry = workload.some(1)
            unfinished = workload.some(min(IN_FLIGHT, workload.n), stored=False)
            task = partial(Task, contestant.name, workload.name, workload.n, directory)
            opening = task(
                crash=False,
                keys=workload.keys(entry),
                values=workload.values(entry),
                absent=workload.keys(unfinished)[-1],
            )
            results.add(workload.name, "reopen", contestant.name, number, _open(opening))
            _crash(
                task(
                    crash=True,
                    keys=workload.keys(unfinished),
                    values=workload.values(range(len(unfinished))),
                )
            )
            results.add(workload.name, "recover", contestant.name, number, _open(opening))
    for contestant in contestants:
        contestant.remove()


def _fill(contestant: Contestant, workload: Workload) -> None:
    numbers = workload.shuffled()
    contestant.create()
    contestant.begin()
    contestant.insert(workload.keys(numbers), workload.values(numbers))
    contestant.commit()
    contestant.close()


IMPORT_PROGRAM = """
import sys, time
wall, cpu = time.perf_counter_ns(), time.process_time_ns()
import {}
print(time.process_time_ns() - cpu, time.perf_counter_ns() - wall)
"""


def measure_imports(directory: Path, rounds: int, results: Results) -> None:
    """Import in fresh processes; a first one, which compiles to bytecode, does not count."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPYCACHEPREFIX"] = str(directory / "pycache")
    say(f"importing {', '.join(IMPORTS)}, {rounds} times")
    for number in range(-1, rounds):
        for module in IMPORTS:
            output = subprocess.run(
                [sys.executable, "-c", IMPORT_PROGRAM.format(module)],
                cwd=ROOT,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            if number >= 0:
                results.add("process", "import", module, number, Sample(*map(int, output.split())))


if __name__ == "__main__":
    child()
