# SPDX-License-Identifier: Apache-2.0
"""What one process looks at stays, whatever the others do; and what was touched is undone."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from children import Child, kill_inside

import spacejmp as sj

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def looks(home: Path) -> Child:
    """A child that looks at the array until it is told to go on, or killed."""

    def look(child: Child) -> None:
        with sj.open("s", home=home) as store:
            a, flags = store.array("a"), store["t"].flag
            child.say()
            child.hear()
            a[:] = 2
            assert flags.tolist() == [1]
            del a, flags
            gc.collect()

    return Child(look)


def make(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store.array("a", 1000, "i4")[:] = 1
        store.columns("t", {"flag": "u2"}, reserve=1).append(flag=1)


@pytest.mark.parametrize("killed", [False, True])
def test_nobody_frees_what_another_process_looks_at(home: Path, killed: bool) -> None:
    make(home)
    child = looks(home)
    child.hear()
    with sj.open("s", home=home) as store:
        table = store["t"]
        for action in (
            lambda: store.drop("a"),
            lambda: store.drop("t"),
            lambda: store["a"].resize(2000),
            lambda: table.append(flag=2),
            lambda: table.sort_by("flag"),
        ):
            with pytest.raises(BufferError):
                action()
        assert store["a"][:].sum() == 1000
        table.truncate(0)
        table.append(flag=1)
        if killed:
            child.kill()
        else:
            child.say()
            assert child.end() == 0
        assert store["a"][:].sum() == (1000 if killed else 2000)
        table.append(flag=2)
        store.drop("a")
        store.drop("t")
        assert store.check().leaked_blocks == 0


def test_syncs_of_others_see_no_damage_in_what_is_written_through_a_view(disk_home: Path) -> None:
    def write(child: Child) -> None:
        with sj.open("s", home=disk_home) as store:
            a = store.array("a")
            for value in range(5):
                a[:] = value
                child.say()
                child.hear()
            del a

    make(disk_home)
    child = Child(write)
    with sj.open("s", home=disk_home) as store:
        for _ in range(5):
            child.hear()
            store.sync()
            store.check()
            child.say()
        assert child.end() == 0
        store.sync()
        store.check()
    with sj.open("s", "r", home=disk_home) as store:
        assert store.check().unverified_pages == 0


def test_a_child_of_fork_looks_on_when_its_parent_does_not(home: Path) -> None:
    make(home)
    store = sj.open("s", home=home)
    kept = [store.array("a")]

    def go_on(child: Child) -> None:
        child.hear()
        kept[0][:] = 3
        child.say()
        child.hear()

    child = Child(go_on)
    kept.clear()
    with pytest.raises(BufferError):
        store.drop("a")
    child.say()
    child.hear()
    assert store["a"][:].sum() == 3000
    child.kill()
    store.drop("a")
    store.close()


def test_what_was_touched_is_undone_when_the_process_dies(home: Path) -> None:
    make(home)

    def die() -> None:
        store = sj.open("s", home=home)
        a = store.array("a")
        a[0] = 5
        with store.transaction() as transaction:
            transaction.touch(a[100:900:3])[:] = 9
            os.kill(os.getpid(), signal.SIGKILL)

    kill_inside(die)
    with sj.open("s", home=home) as store:
        expected = np.ones(1000, "i4")
        expected[0] = 5
        assert np.array_equal(store["a"][:], expected)
