# SPDX-License-Identifier: Apache-2.0
"""Killing a writer at random moments, and what must be there then: for the tests that kill.

A plan, decided by a seed, is a sequence of changes. A child makes them, and writes the number of
each into shared memory as soon as it has returned: that is the acknowledgement. It is killed; then
the store must be what the plan gives after the acknowledged changes, or after those and the next
one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from children import wait_for

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Change", "UndoError", "World", "anew", "cycles", "killed"]

Change = tuple[Any, ...]
State = Any


@dataclass(frozen=True)
class World:
    """Changes, and what they make of a store and of plain data that stand for it."""

    empty: State
    some_change: Callable[[random.Random], Change]
    apply_to_model: Callable[[State, Change], State]  # a new state: the old one stays
    apply_to_store: Callable[[sj.Store, Change], None]
    contents: Callable[[sj.Store], State]  # verifies the store, too


class UndoError(Exception):
    """Rolls a transaction back."""


class Journal:
    """How many changes of the plan are acknowledged; survives the child."""

    def __init__(self) -> None:
        # Stored as one word: `struct` clears it first, and its process may die then.
        self.memory = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    @property
    def done(self) -> int:
        return self.memory[0]

    @done.setter
    def done(self, number: int) -> None:
        self.memory[0] = number


def write_until_killed(
    world: World, store: sj.Store, seed: str, journal: Journal, after: int
) -> None:
    """The child: goes through the plan from where it was left."""
    plan = random.Random(seed)
    number = 0
    while True:
        change = world.some_change(plan)
        number += 1
        if number > after:
            world.apply_to_store(store, change)
            journal.done = number


def killed(action: Callable[[], object], seconds: float) -> None:
    """Fork, run, and SIGKILL after a while; the child must not have ended by itself."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(pid) == -signal.SIGKILL


def cycles(
    world: World,
    count: int,
    rng: random.Random,
    opened: Callable[[], contextlib.AbstractContextManager[Any]],
) -> Iterator[int]:
    """Writes, kills and verifies so many times; gives how many changes there were."""
    seed = f"plan {rng.random()}"
    plan = random.Random(seed)
    print(f"plan: {seed!r}")
    journal, state, number = Journal(), world.empty, 0
    for cycle in range(count):
        journal.done = number
        with opened() as store:
            killed(
                lambda: write_until_killed(world, store(), seed, journal, number),  # noqa: B023
                rng.random() ** 2 * 0.05,
            )
        while number < journal.done:
            state = world.apply_to_model(state, world.some_change(plan))
            number += 1
        kept = plan.getstate()
        following = world.apply_to_model(state, world.some_change(plan))
        with opened() as store:
            found = world.contents(store())
        if found != state:
            assert found == following, f"cycle {cycle}: after change {number} of {seed!r}"
            state, number = following, number + 1
        else:
            plan.setstate(kept)
        yield number


@contextlib.contextmanager
def anew(home: Path) -> Iterator[Callable[[], sj.Store]]:
    """A store that is opened by whoever uses it, and by nobody else."""
    stores: list[sj.Store] = []

    def open_it() -> sj.Store:
        stores.append(sj.open("genes", home=home, reserve=1 << 30))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()
