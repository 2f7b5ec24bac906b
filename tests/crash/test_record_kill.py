# SPDX-License-Identifier: Apache-2.0
"""A process that changes a linked list of records is killed at random moments.

It writes the number of each change that has returned into shared memory. Then the list must be what
those changes give, or those and the next one; no block may be lost.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from typing import TYPE_CHECKING, Literal

import pytest
from children import wait_for

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@sj.record
class Link:
    number: sj.i64
    text: sj.str_
    next: sj.Ptr[Link]
    parts: sj.FixedArray[sj.i64, Literal[4]]


def first_of(store: sj.Store) -> Link | None:
    if "first" not in store:
        return None
    first: Link = store["first"]
    return first


def change(store: sj.Store, number: int) -> None:
    """Change `number` puts a link before the first, changes it, or takes it away."""
    with store.transaction():
        first = first_of(store)
        if number % 5 == 4 and first is not None:
            if first.next is None:
                store.drop("first")
            else:
                store["first"] = first.next
            store.free(first)
        elif number % 3 == 2 and first is not None:
            first.text = f"changed {number} " * (number % 7)
            first.parts = [number] * 4
        else:
            made = store.new(Link, number=number, text=f"text {number}", next=first)
            made.parts[3] = number
            store["first"] = made


def after(count: int) -> list[tuple[int, str, list[int]]]:
    links: list[tuple[int, str, list[int]]] = []
    for number in range(count):
        if number % 5 == 4 and links:
            links.pop()
        elif number % 3 == 2 and links:
            links[-1] = (links[-1][0], f"changed {number} " * (number % 7), [number] * 4)
        else:
            links.append((number, f"text {number}", [0, 0, 0, number]))
    return links[::-1]


def found(store: sj.Store) -> list[tuple[int, str, list[int]]]:
    links, link = [], first_of(store)
    while link is not None:
        links.append((link.number, link.text, list(link.parts)))
        link = link.next
    return links


def work(home: Path, first: int, done: mmap.mmap) -> None:
    with sj.open("kill", home=home) as store:
        for number in range(first, first + 100_000):
            change(store, number)
            done[:8] = (number + 1).to_bytes(8, "little")


def test_acknowledged_changes_of_records_survive_sigkill(home: Path, rng: random.Random) -> None:
    done = mmap.mmap(-1, 8)
    count = 0
    for _ in range(12):
        pid = os.fork()
        if pid == 0:
            try:
                work(home, count, done)
            finally:
                os._exit(1)
        time.sleep(0.02 + 0.1 * rng.random())
        os.kill(pid, signal.SIGKILL)
        assert wait_for(pid) == -signal.SIGKILL
        acknowledged = max(count, int.from_bytes(done[:8], "little"))
        with sj.open("kill", home=home) as store:
            links = found(store)
            count = acknowledged + (links != after(acknowledged))
            assert links == after(count)
            del links
            assert store.check().leaked_blocks == 0
    assert count > 12
