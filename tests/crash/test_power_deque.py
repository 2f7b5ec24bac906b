# SPDX-License-Identifier: Apache-2.0
"""Deques and queues of durability "power": what was acknowledged is there, without the image."""

from __future__ import annotations

import os
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from children import kill_inside

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def change(rng: random.Random, target: Any) -> None:
    """Do one thing, the same for every target with the same random numbers."""
    number, size = rng.randrange(10**6), len(target)
    match rng.randrange(8):
        case 0:
            target.append("x" * (number % 30))
        case 1:
            target.extendleft([number] * (number % 150))
        case 2:
            target.rotate(number % 100 - 50)
        case 3:
            target.extend([number, "text" * 10])
        case 4 if size > 5:
            del target[number % size]
        case 5:
            target.insert(number % (size + 1), number)
        case 6 if size > 100:
            for _ in range(number % 9):
                target.popleft()
        case 7:
            target.reverse()


def test_a_deque_survives_power_loss(
    disk_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    monkeypatch.setenv("SPACEJMP_SHM", str(home))
    model: deque[Any] = deque()
    for _ in range(3):

        def die_within() -> None:
            store = sj.open("q", home=disk_home, reserve=1 << 30, durability="power")
            items, jobs = store.deque("items"), store.queue("jobs")
            for _ in range(25):
                change(rng, items)
            jobs.put_many(list(items))
            if jobs.qsize() > len(items):
                jobs.get_many(jobs.qsize() - len(items))
            hold = store.transaction()
            hold.__enter__()
            items.clear()
            os.kill(os.getpid(), signal.SIGKILL)

        kill_inside(die_within)  # which has the random numbers from here on, too
        for image in home.glob("spacejmp-*"):
            image.unlink()
        for _ in range(25):
            change(rng, model)
        with sj.open("q", home=disk_home) as store:
            assert list(store["items"]) == list(model)
            assert store["jobs"].get_many(10**6) == list(model)
            store["jobs"].put_many(list(model))
            assert store.check().leaked_blocks == 0
