# SPDX-License-Identifier: Apache-2.0
"""Processes of many threads over many stores, half of which overlap, and some are killed.

::

    python -m crash.stress --seconds 600        (make stress SECONDS=600)

Each thread of each process switches between the stores at random: it reads, changes, nests one in
another, closes and opens them again, has them grow and shrink; and a process is killed now and
then, and another one takes its place.

Every store has

    counts      how often each thread has changed it
    accounts    numbers that are moved about; their sum never changes
    bulk        large values, which come and go

A change counts for its thread, and moves something, in one transaction. When it has returned the
thread writes its number into a shared page: it is acknowledged. So a store has for each thread
what was acknowledged or, after a kill, one more: else an update was lost. A thread that does
nothing for a while hangs: a deadlock. Who ends looks at its own mappings: nothing may be left of
stores that are closed, at home or parked. And the home must hold in the end what it should.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
PROCESSES = 4
THREADS = 4
STORES = 16
ACCOUNTS = 50
TOTAL = 1000
GIB = 1 << 30
BASE = 0x4A00_0000_0000
"""Of all stores with an even number; the others lie where the catalog puts them."""
RANGES = ((0x3000_0000_0000, 0x5000_0000_0000), (0x6800_0000_0000, 0x7000_0000_0000))
"""Addresses of stores, and of those that are parked."""
TURNS = 300
"""Of a thread, before its process ends by itself and another one comes."""
PATIENCE = 60.0
"""Seconds after which a thread that did nothing hangs."""
WAIT = 0.5
"""Seconds that an operation waits for a store; then the thread does something else."""


class Board:
    """What threads have acknowledged, and when each was seen last: in shared memory."""

    def __init__(self, path: Path) -> None:
        size = 8 * PROCESSES * THREADS * (STORES + 1)
        with path.open("a+b") as file:
            if path.stat().st_size < size:
                file.truncate(size)
            self._words = memoryview(mmap.mmap(file.fileno(), size)).cast("Q")

    def acknowledged(self, thread: int, store: int) -> int:
        return self._words[thread * (STORES + 1) + store]

    def acknowledge(self, thread: int, store: int, count: int) -> None:
        self._words[thread * (STORES + 1) + store] = count

    def steps(self, thread: int) -> int:
        return self._words[thread * (STORES + 1) + STORES]

    def step(self, thread: int) -> None:
        self._words[thread * (STORES + 1) + STORES] += 1


def name_of(number: int) -> str:
    return f"space-{number}"


def make(home: Path) -> None:
    for number in range(STORES):
        base = BASE if number % 2 == 0 else None
        with sj.open(name_of(number), "n", home=home, base=base, reserve=GIB) as store:
            store.btree("counts", key="int", value="int")
            store.hashmap("bulk", key="int", value="bytes")
            accounts = store.hashmap("accounts", key="int", value="int")
            accounts.update(dict.fromkeys(range(ACCOUNTS), TOTAL // ACCOUNTS))


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


# --- a thread -----------------------------------------------------------------------------------


class Thread:
    """What one thread does; it has all stores open by itself."""

    def __init__(self, home: Path, board: Board, number: int) -> None:
        self.home = home
        self.board = board
        self.number = number
        self.rng = random.Random(time.time_ns() ^ number << 40)
        self.stores: dict[int, sj.Store] = {}
        self.busy = 0

    def store(self, number: int) -> sj.Store:
        if number not in self.stores:
            self.stores[number] = sj.open(name_of(number), "w", home=self.home, timeout=WAIT)
        return self.stores[number]

    def close(self, number: int) -> None:
        with contextlib.suppress(sj.SpaceBusyError):  # of another one that has its addresses
            self.stores[number].close()
            del self.stores[number]

    def look(self, number: int) -> None:
        store = self.store(number)
        with store.read():
            counted = store.btree("counts").get(self.number, 0)
            sum_of = sum(store.hashmap("accounts").values())
        known = self.board.acknowledged(self.number, number)
        expect(counted == known, f"{store.name}: {counted} changes, {known} acknowledged")
        expect(sum_of == TOTAL, f"{store.name}: the accounts have {sum_of}")

    def change(self, number: int) -> None:
        store = self.store(number)
        with store.transaction():
            counts, accounts = store.btree("counts"), store.hashmap("accounts")
            source, target = self.rng.sample(range(ACCOUNTS), 2)
            accounts[source] -= 7
            counts[self.number] = count = counts.get(self.number, 0) + 1
            accounts[target] += 7
        known = self.board.acknowledged(self.number, number)
        expect(count == known + 1, f"{store.name}: change {count} comes after {known}")
        self.board.acknowledge(self.number, number, count)

    def undo(self, number: int) -> None:
        store = self.store(number)
        with store.transaction() as transaction:
            store.hashmap("accounts")[0] += 1
            store.btree("counts")[self.number] = 1 << 40
            transaction.abort()

    def nest(self, number: int) -> None:
        """Goes from one store into another one and back: in one order, so that nobody waits for
        ever."""
        outer, inner = sorted((number, self.rng.randrange(STORES)))
        with self.store(outer).read():
            sum_of = sum(self.store(outer).hashmap("accounts").values())
            if inner != outer:
                self.change(inner)
            expect(sum_of == TOTAL, f"{name_of(outer)}: the accounts have {sum_of}")

    def grow(self, number: int) -> None:
        bulk = self.store(number).hashmap("bulk")
        key = self.rng.randrange(64)
        bulk[key] = bytes([key]) * self.rng.randrange(100_000)
        bulk.pop(self.rng.randrange(64), None)

    def turn(self) -> None:
        number = self.rng.randrange(STORES)
        what = self.rng.choices(
            (self.look, self.change, self.undo, self.nest, self.grow, None), (30, 40, 3, 15, 8, 4)
        )[0]
        try:
            if what is not None:
                what(number)
            elif number in self.stores:
                self.close(number)
        except sj.SpaceBusyError:
            self.busy += 1
        self.board.step(self.number)

    def run(self) -> None:
        """After a kill, what was there is acknowledged; then the turns."""
        for number in range(STORES):
            counted = self.count(number)
            known = self.board.acknowledged(self.number, number)
            expect(
                counted in (known, known + 1),
                f"{name_of(number)}: {counted} changes, {known} acknowledged: updates are lost",
            )
            self.board.acknowledge(self.number, number, counted)
        for _ in range(TURNS):
            self.turn()
        while self.stores:
            for number in list(self.stores):
                self.close(number)

    def count(self, number: int) -> int:
        while True:
            with contextlib.suppress(sj.SpaceBusyError):
                counted: int = self.store(number).btree("counts").get(self.number, 0)
                return counted
            self.board.step(self.number)


# --- a process ----------------------------------------------------------------------------------


def left_mapped(home: Path) -> list[str]:
    """What this process has mapped of a home, and of the addresses of stores and of parking."""
    left = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        at = int(line.partition("-")[0], 16)
        if str(home / "seg") in line or any(first <= at < end for first, end in RANGES):
            left.append(line)
    return left


def work(home: Path, process: int) -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    board = Board(home / "board")
    before = len(os.listdir("/proc/self/fd"))
    failed: list[BaseException] = []

    def run(thread: Thread) -> None:
        try:
            thread.run()
        except BaseException as error:
            failed.append(error)
            os._exit(fail(error))

    numbers = range(process * THREADS, (process + 1) * THREADS)
    threads = [
        threading.Thread(target=run, args=(Thread(home, board, number),)) for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = left_mapped(home)
    expect(not left, "still mapped after the last close:\n" + "\n".join(left))
    open_files = len(os.listdir("/proc/self/fd"))
    expect(open_files == before, f"{open_files - before} files are still open")


def fail(error: BaseException) -> int:
    import traceback

    traceback.print_exception(error)
    sys.stderr.flush()
    return 1


# --- the parent ---------------------------------------------------------------------------------


class Crew:
    """The processes: those that end or are killed are replaced."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.board = Board(home / "board")
        self.processes = [self.start(number) for number in range(PROCESSES)]
        self.seen = dict.fromkeys(range(PROCESSES * THREADS), (0, 0.0))
        self.kills = self.ends = 0

    def start(self, number: int) -> subprocess.Popen[bytes]:
        arguments = ["--home", str(self.home), "--process", str(number)]
        return subprocess.Popen([sys.executable, "-m", "crash.stress", *arguments], cwd=TESTS)

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()
        self.kills += 1
        self.processes[number] = self.start(number)

    def look_after(self) -> None:
        for number, process in enumerate(self.processes):
            if process.poll() is None:
                continue
            expect(process.returncode == 0, f"process {number} ended with {process.returncode}")
            self.ends += 1
            self.processes[number] = self.start(number)
        now = time.monotonic()
        for thread, (steps, since) in self.seen.items():
            current = self.board.steps(thread)
            if current != steps or since == 0:
                self.seen[thread] = current, now
            elif now - since > PATIENCE:
                self.processes[thread // THREADS].send_signal(signal.SIGUSR1)
                time.sleep(1)
                raise AssertionError(f"thread {thread} did nothing for {PATIENCE} s")

    def run(self, seconds: float) -> None:
        rng = random.Random()
        end = time.monotonic() + seconds
        next_kill = time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.05)
            self.look_after()
            if time.monotonic() >= next_kill:
                self.kill(rng.randrange(PROCESSES))
                next_kill = time.monotonic() + rng.uniform(0.2, 2)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def verify(home: Path, board: Board) -> int:
    """Each store is whole and has what was acknowledged. Changes that were made."""
    made = 0
    for number in range(STORES):
        with sj.open(name_of(number), "w", home=home) as store:
            store.check()
            counts = dict(store.btree("counts").items())
            for thread in range(PROCESSES * THREADS):
                known, counted = board.acknowledged(thread, number), counts.get(thread, 0)
                expect(
                    counted in (known, known + 1),
                    f"{store.name}: {counted} changes of thread {thread}, {known} acknowledged",
                )
                made += counted
            expect(sum(store.hashmap("accounts").values()) == TOTAL, f"{store.name}: accounts")
    return made


def files_left(home: Path) -> Iterator[str]:
    """What is in the home and should not be."""
    names = {name_of(number) for number in range(STORES)}
    for path in home.rglob("*"):
        if path.is_dir() or path.name in ("board", "catalog.lock"):
            continue
        stem, *suffixes = path.name.split(".")
        if stem not in names and (path.parent.name, suffixes) != ("lock", ["lock"]):
            yield str(path.relative_to(home))
    locks = len(list((home / "lock").iterdir()))
    if locks != STORES + 1:
        yield f"{locks} files of locks"


def stress(home: Path, seconds: float) -> str:
    """What happened, in words; AssertionError."""
    make(home)
    crew = Crew(home)
    try:
        crew.run(seconds)
    finally:
        crew.stop()
    made = verify(home, crew.board)
    left = list(files_left(home))
    expect(not left, f"left in the home: {left}")
    steps = sum(crew.board.steps(thread) for thread in range(PROCESSES * THREADS))
    return (
        f"{seconds:.0f} s: {steps:,} turns, {made:,} changes, {crew.kills} kills, "
        f"{crew.ends} processes that ended: nothing lost, nothing left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--process", type=int)
    arguments = parser.parse_args()
    if arguments.process is not None:
        work(arguments.home, arguments.process)
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="sj-stress-") as directory:
        print(stress(Path(directory), arguments.seconds))


if __name__ == "__main__":
    main()
