# SPDX-License-Identifier: Apache-2.0
"""Money goes from store to store, and whoever moves it is killed: none is lost, none is made.

A transaction moves an amount between two or three stores and adds to a count in each of them, in
all of them together `SHARES`; then its number is written into shared memory: that is the
acknowledgement. After each kill the sum over the stores is what it was, and the counts say that all
acknowledged transactions are there, and at most the next one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from children import in_child, wait_for

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

GIB = 1 << 30
ACCOUNTS = 8
AMOUNT = 1000
SHARES = 6
NAMES = ("north", "south", "west")
RECORD_AT = 20480 + 640  # of a segment that decides (docs/file-format.md)

Opener = tuple[str, "Path"]


class Journal:
    """How many transactions of each child are acknowledged; survives the children."""

    def __init__(self) -> None:
        # Each is stored as one word: `struct` clears it first, and its process may die then.
        self.counts = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    def add(self, child: int) -> None:
        self.counts[child] += 1

    @property
    def done(self) -> int:
        return sum(self.counts)


def open_one(opener: Opener, timeout: float = 60) -> sj.Store:
    name, home = opener
    return sj.open(name, home=home, reserve=GIB, timeout=timeout)


def fill(openers: list[Opener]) -> None:
    for opener in openers:
        with open_one(opener) as store:
            store.btree("accounts", key="int", value="int").update(
                dict.fromkeys(range(ACCOUNTS), AMOUNT)
            )
            store.hashmap("counts", key="str", value="int")["shares"] = 0


def move(stores: list[sj.Store], rng: random.Random) -> None:
    """One transaction. Sometimes it is begun, and undone."""
    some = rng.sample(stores, rng.choice((2, 2, 3)))
    undone = rng.random() < 0.1
    with sj.transaction(*some) as transaction:
        left = 0
        for number, store in enumerate(some):
            last = number == len(some) - 1
            amount = -left if last else rng.randrange(-50, 51)
            left += amount
            store["accounts"][rng.randrange(ACCOUNTS)] += amount
            store["counts"]["shares"] += SHARES // len(some)
        if undone:
            transaction.abort()
    if undone:
        move(stores, rng)


def move_until_killed(stores: list[sj.Store], seed: float, journal: Journal, child: int) -> None:
    rng = random.Random(seed)
    while True:
        move(stores, rng)
        journal.add(child)


def spawn(action: Callable[[], object]) -> int:
    """A child that runs until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait_for(pid) == -signal.SIGKILL


def balance(store: sj.Store) -> tuple[int, int]:
    """The money in a store, and its shares of transactions."""
    return sum(store["accounts"].values()), store["counts"]["shares"]


def judge(balances: list[tuple[int, int]], journal: Journal, running: int) -> None:
    """No money is lost, and no acknowledged transaction."""
    money, shares = (sum(column) for column in zip(*balances, strict=True))
    assert money == len(balances) * ACCOUNTS * AMOUNT
    assert shares % SHARES == 0
    assert 0 <= shares // SHARES - journal.done <= running


def records_left(openers: list[Opener]) -> int:
    """How many stores have decided, and do not know yet that the others are through."""
    left = 0
    for name, home in openers:
        with (home / "seg" / f"{name}.seg").open("rb") as file:
            file.seek(RECORD_AT)
            left += file.read(8) != bytes(8)
    return left


@contextlib.contextmanager
def all_open(openers: list[Opener]) -> Iterator[list[sj.Store]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_one(opener)) for opener in openers]


@pytest.mark.parametrize("where", ["memory", "memory and disk"])
def test_no_money_is_lost_by_kills_of_the_only_process(
    where: str, home: Path, disk_home: Path, rng: random.Random
) -> None:
    """The stores are recovered in any order, each by a process of its own."""
    homes = [home, home, disk_home if "disk" in where else home]
    openers: list[Opener] = list(zip(NAMES, homes, strict=True))
    fill(openers)
    journal, kills, left, extra = Journal(), 150 if where == "memory" else 30, 0, 0

    def work(seed: float) -> None:
        with all_open(openers) as stores:
            move_until_killed(stores, seed, journal, 0)

    def look(opener: Opener) -> tuple[int, int]:
        with open_one(opener) as store:
            store.check()
            if rng.random() < 0.5:  # it is used by itself, before the others are recovered
                store["counts"]["noise"] = rng.randrange(1000)
            return balance(store)

    for _ in range(kills):
        pid = spawn(lambda: work(rng.random()))
        time.sleep(0.01 + rng.random() ** 2 * 0.04)
        kill(pid)
        left += records_left(openers)
        order = rng.sample(openers, 3)
        balances = [in_child(lambda: look(opener)) for opener in order]  # noqa: B023
        done = sum(shares for _, shares in balances) // SHARES
        judge(balances, journal, extra + 1)
        extra = done - journal.done
    print(f"{kills} kills among {journal.done} transactions, {left} with a record left")
    assert journal.done > kills


def test_no_money_is_lost_by_kills_beside_processes_that_go_on(
    home: Path, rng: random.Random
) -> None:
    """Several move money at the same time; the parent has the stores open, and sums up."""
    openers: list[Opener] = [(name, home) for name in NAMES]
    fill(openers)
    journal, kills = Journal(), 0
    children: list[int] = []

    def work(seed: float, child: int) -> None:
        move_until_killed(stores, seed, journal, child)

    with all_open(openers) as stores:
        while kills < 120:
            while len(children) < 3:
                seed, child = rng.random(), kills + len(children)
                children.append(spawn(lambda: work(seed, child)))  # noqa: B023
            time.sleep(rng.random() ** 2 * 0.02)
            kill(children.pop(rng.randrange(len(children))))
            kills += 1
            with contextlib.ExitStack() as stack:
                for store in sorted(stores, key=lambda store: store.base):
                    stack.enter_context(store.read())
                judge([balance(store) for store in stores], journal, kills + 3)
        for pid in children:
            kill(pid)
        for store in stores:
            assert store.check().leaked_blocks == 0
        print(f"{kills} kills among {journal.done} transactions")
        judge([balance(store) for store in stores], journal, kills + 3)
    assert journal.done > kills
