# SPDX-License-Identifier: Apache-2.0
"""Processes that make, join, part and remove VASes at once, some of them killed: all is whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from homes import files_of

import spacejmp as sj
from spacejmp.arena import GIB

if TYPE_CHECKING:
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SEGMENTS = ("a", "b", "c")
REFUSALS = (sj.AlreadyExistsError, sj.NotFoundError, sj.SpaceBusyError)


def churn(home: Path, seed: int, rounds: int) -> None:
    """Do what comes, and look at what there is."""
    rng = random.Random(seed)
    for _ in range(rounds):
        name, segment = rng.choice(("one", "two")), rng.choice(SEGMENTS)
        actions = (
            lambda: sj.vas_create(name, home=home, timeout=60),  # noqa: B023
            lambda: sj.vas_delete(name, home=home, timeout=60),  # noqa: B023
            lambda: sj.seg_attach(name, segment, "r", home=home, timeout=60),  # noqa: B023
            lambda: sj.seg_attach(name, segment, "r", home=home, timeout=60),  # noqa: B023
            lambda: sj.seg_detach(name, segment, home=home, timeout=60),  # noqa: B023
            lambda: sj.seg_delete(segment, home=home, timeout=60),  # noqa: B023
            lambda: sj.seg_alloc(segment, reserve=GIB, home=home, timeout=60),  # noqa: B023
        )
        with contextlib.suppress(*REFUSALS):
            rng.choice(actions)()
        with contextlib.suppress(sj.NotFoundError):
            check(sj.vas_find(name, home=home).info())


def check(info: sj.VasInfo) -> None:
    names = [segment.name for segment in info.segments]
    assert len(set(names)) == len(names)
    assert set(names) <= set(SEGMENTS)


def start(home: Path, seed: int, rounds: int) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            churn(home, seed, rounds)
            status = 0
        finally:
            os._exit(status)
    return child


def check_whole(home: Path) -> None:
    """Every segment that a VAS names is there, and nothing is left over after the next change."""
    sj.vas_create("last", home=home).delete()
    segments = set(sj.seg_list(home=home))
    vases = [name for name in sj.vas_list(home=home) if name in ("one", "two")]
    for name in vases:
        info = sj.vas_find(name, home=home).info()
        check(info)
        for segment in info.segments:
            found = sj.seg_find(segment.name, home=home).info()
            assert (found.uuid, found.base) == (segment.uuid, segment.base)
    assert files_of(home) == {
        "lock/catalog.lock",
        *(f"seg/{name}.seg" for name in segments),
        *(f"vas/{name}.vas" for name in vases),
    }


def test_many_at_once(home: Path, rng: random.Random) -> None:
    children = [start(home, rng.randrange(2**32), 150) for _ in range(4)]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    check_whole(home)


def test_some_are_killed(home: Path, rng: random.Random) -> None:
    children: list[int] = []
    try:
        for _ in range(40):
            while len(children) < 3:
                children.append(start(home, rng.randrange(2**32), 10**9))
            time.sleep(rng.random() * 0.02)
            victim = children.pop(rng.randrange(len(children)))
            os.kill(victim, signal.SIGKILL)
            _, status = os.waitpid(victim, 0)
            assert os.WIFSIGNALED(status), "a child failed by itself"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    check_whole(home)


def test_of_many_that_make_one_vas_one_succeeds(home: Path) -> None:
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            status = 2
            try:
                sj.vas_create("panel", home=home, timeout=60)
                status = 0
            except sj.AlreadyExistsError:
                status = 1
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
