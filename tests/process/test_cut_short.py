# SPDX-License-Identifier: Apache-2.0
"""Files that are cut short while a process has them open: an exception, and the process lives on.

Each test runs in a child, which a SIGBUS would end.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from children import in_child

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
ITEMS = {n: b"%d" % n * 40 for n in range(3000)}


def filled(home: Path, name: str, **options: Any) -> sj.Store:
    """An open store with a tree in it."""
    store = sj.open(name, home=home, reserve=GIB, **options)
    with store.transaction():
        store.btree("t", key="int", value="bytes").update(ITEMS)
    return store


def is_lost(action: Callable[[], object]) -> None:
    message = "no error"
    try:
        action()
    except sj.SegmentDamagedError as error:
        message = str(error)
    assert "cut short" in message  # pytest.raises() fails with what cannot be sent to the parent


def change(store: sj.Store) -> None:
    store["t"][1] = b"other"


@pytest.mark.parametrize("left", [0, 4096, 5000, 49 * 4096])
@pytest.mark.parametrize("writes", [False, True])
def test_a_segment_that_is_cut_short_is_lost_and_no_other_store(
    home: Path, left: int, writes: bool
) -> None:
    def use() -> None:
        store, other = filled(home, "genes"), filled(home, "other")
        tree, others = store["t"], other["t"]
        os.truncate(store.path, left)
        if writes:
            is_lost(lambda: tree.update(ITEMS))
        is_lost(lambda: dict(tree.items()))
        is_lost(lambda: change(store))
        is_lost(store.check)
        others[1] = b"other"
        assert dict(others.items()) == {**ITEMS, 1: b"other"}
        store.close()
        other.check()
        other.close()

    in_child(use)
    with pytest.raises((sj.TruncatedError, sj.FormatError)):
        sj.open("genes", home=home)
    with sj.open("other", home=home) as other:
        assert dict(other["t"].items()) == {**ITEMS, 1: b"other"}


def test_a_segment_that_is_cut_short_makes_way_for_others_of_its_addresses(home: Path) -> None:
    """It kept them out, and closing one that was aside read the addresses of the lost one."""

    def use() -> None:
        stores = [filled(home, name, base=0x4000_0000_0000) for name in ("one", "two", "three")]
        one, two, three = stores
        assert len(two["t"]) == len(ITEMS)
        os.truncate(two.path, 4096)
        is_lost(lambda: dict(two["t"].items()))
        change(one)
        is_lost(lambda: dict(two["t"].items()))
        three.close()
        one.check()
        two.close()
        one.close()

    in_child(use)
    for name in ("one", "three"):
        with sj.open(name, home=home) as store:
            assert dict(store["t"].items()) == (ITEMS | {1: b"other"} if name == "one" else ITEMS)
            assert store.check().unverified_pages == 0


def test_a_lock_file_that_is_cut_short_ends_the_use_of_its_store_alone(home: Path) -> None:
    def use() -> None:
        store, other = filled(home, "genes"), filled(home, "other")
        lock = sj.Catalog(home).lock_path(sj.Catalog(home).lookup("genes").segment)
        os.truncate(lock, 0)
        is_lost(store.check)
        is_lost(lambda: change(store))
        change(other)
        assert other["t"][1] == b"other"
        other.close()
        with contextlib.suppress(sj.SegmentDamagedError):
            store.close()

    in_child(use)
    for name, value in (("genes", ITEMS[1]), ("other", b"other")):
        with sj.open(name, home=home) as store:
            store.check()
            assert dict(store["t"].items()) == {**ITEMS, 1: value}


@pytest.mark.parametrize("which", ["", ".log0", ".log1"])
def test_a_file_of_a_power_store_that_is_cut_short_is_an_error(
    disk_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """The image has everything: reading goes on; closing, or the next opening, tells."""
    monkeypatch.setenv("SPACEJMP_SHM", str(home))

    def use() -> None:
        store, other = filled(disk_home, "genes", durability="power"), filled(home, "other")
        os.truncate(store.path + which, 4096)
        assert dict(store["t"].items()) == ITEMS
        told = False
        actions: list[Callable[[], object]] = [lambda: change(store), store.sync, store.close]
        for action in actions:
            try:
                action()
            except (sj.SpaceJmpError, OSError):
                told = True
        change(other)
        other.close()
        try:
            with sj.open("genes", home=disk_home) as again:
                assert dict(again["t"].items()) == {**ITEMS, 1: b"other"}
        except (sj.SpaceJmpError, OSError):
            told = True
        assert told or which

    in_child(use)
