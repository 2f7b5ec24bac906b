# SPDX-License-Identifier: Apache-2.0
"""Clones while other processes write, die, or fill the disk; and on disks that share blocks."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest
from children import Child, forked, in_child, kill_inside
from disks import on_small_disk
from homes import files_of

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
KEYS = 200
Durability = Literal["process", "power"]


def move_amounts(home: Path, child: Child) -> None:
    """Move amounts from one key to another for ever; the sum stays 0."""
    with sj.open("bank", "w", home=home) as store:
        child.say()
        turn = 0
        while True:
            turn += 1
            with store.transaction():
                store["a"][turn % KEYS] += turn
                store["b"][(7 * turn) % KEYS] -= turn
                if turn % 16 == 0:
                    store["c"][turn % KEYS] = b"x" * (turn % 5000)


def bank(home: Path, **options: Any) -> sj.Store:
    store = sj.open("bank", home=home, reserve=GIB, **options)
    for name in ("a", "b"):
        store.btree(name, key="int", value="int").update(dict.fromkeys(range(KEYS), 0))
    store.hashmap("c", key="int", value="bytes")
    return store


def is_balanced(store: sj.Store) -> int:
    """Between two transactions, and sound; how much was moved."""
    moved: int = sum(store["a"].values())
    assert moved + sum(store["b"].values()) == 0
    assert store.check().leaked_blocks == 0
    return moved


@pytest.mark.parametrize("durability", ["process", "power"])
def test_clones_made_while_others_write_are_states_between_transactions(
    disk_home: Path, durability: Durability
) -> None:
    bank(disk_home, durability=durability).close()
    with (
        forked(lambda child: move_amounts(disk_home, child)) as first,
        forked(lambda child: move_amounts(disk_home, child)) as second,
        sj.open("bank", home=disk_home) as store,
    ):
        first.hear()
        second.hear()
        moved = [0]
        for turn in range(4):
            with store.clone(f"copy{turn}") as copy:
                moved.append(is_balanced(copy))
            version = store.snapshot()
            with sj.open(version.name, "r", home=disk_home) as frozen:
                moved.append(is_balanced(frozen))
                now = contents(frozen)
                with sj.open(version.name, home=disk_home, private=True) as mine:
                    assert contents(mine) == now
                    mine["a"].clear()
                assert contents(frozen) == now
            with sj.open("bank", home=disk_home, private=True) as mine:
                moved.append(is_balanced(mine))
                mine["a"][0] += 1
                mine["b"][0] -= 1
                is_balanced(mine)
        first.kill()
        second.kill()
        is_balanced(store)
    assert moved == sorted(moved)
    assert moved[-1] > 0


def contents(store: sj.Store) -> list[dict[Any, Any]]:
    return [dict(store[name].items()) for name in ("a", "b", "c")]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_store_whose_last_process_died_is_cloned_as_it_was_before(
    disk_home: Path, durability: Durability
) -> None:
    def die() -> None:
        store = bank(disk_home, durability=durability)
        store["a"][1], store["b"][1] = 5, -5
        with store.transaction():
            store["a"].clear()
            os.kill(os.getpid(), signal.SIGKILL)

    kill_inside(die)
    with sj.open("bank", home=disk_home, private=True) as mine:
        assert is_balanced(mine) == 5
    kill_inside(die)
    sj.Catalog(disk_home).clone("bank", "copy")
    sj.Catalog(disk_home).snapshot("bank", "dead")
    for name in ("copy", "bank@dead", "bank"):
        with sj.open(name, "r", home=disk_home) as store:
            assert is_balanced(store) == 5


@pytest.mark.parametrize("durability", ["process", "power"])
def test_kill_while_cloning_leaves_all_or_nothing(
    disk_home: Path, durability: Durability, rng: random.Random
) -> None:
    with bank(disk_home, durability=durability) as store:
        store["c"].update({n: os.urandom(4000) for n in range(1000)})
        expected = contents(store)
        kept = files_of(disk_home)
        begun = time.monotonic()
        store.clone("warm").close()
        seconds = time.monotonic() - begun
        sj.Catalog(disk_home).remove("warm")
        found = set()
        for _ in range(15):
            with forked(lambda _: sj.Catalog(disk_home).clone("bank", "copy")) as child:
                time.sleep(rng.random() * 1.5 * seconds)
                child.kill()
            there = "copy" in sj.Catalog(disk_home).names()
            found.add(there)
            if there:
                with sj.open("copy", "r", home=disk_home) as copy:
                    assert contents(copy) == expected
                    copy.check()
                sj.Catalog(disk_home).remove("copy")
            else:
                sj.Catalog(disk_home).rebuild()  # clears away what there may be
            assert files_of(disk_home) <= kept | {"seg/bank.seg.sum", "vas/copy.vas"}
        assert contents(store) == expected


def test_a_file_that_is_too_large_for_the_process_leaves_nothing(disk_home: Path) -> None:
    with bank(disk_home) as store:
        store["c"].update({n: bytes(4000) for n in range(1000)})
        store.sync()
    kept = files_of(disk_home)

    def use() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        catalog = sj.Catalog(disk_home)
        for act in (catalog.clone, catalog.snapshot):
            try:
                act("bank", "copy")
            except sj.SpaceFullError:
                continue
            raise AssertionError

    in_child(use)
    assert files_of(disk_home) == kept


def test_a_full_disk_leaves_nothing(disk_home: Path) -> None:
    def use(disk: Path) -> None:
        with bank(disk) as store:
            store["c"].update({n: bytes(4000) for n in range(4000)})
            store.sync()
            store.clone("one").close()
            kept = files_of(disk)
            free = os.statvfs(disk).f_bavail
            for turn in range(3):
                with pytest.raises(sj.SpaceFullError):
                    store.clone("two")
                with pytest.raises(sj.SpaceFullError):
                    store.snapshot()
                with pytest.raises(sj.SpaceFullError):
                    sj.open("bank", home=disk, private=True)
                store["a"][1] = turn
            assert files_of(disk) == kept
            assert abs(os.statvfs(disk).f_bavail - free) < 64
        sj.Catalog(disk).remove("one")
        sj.Catalog(disk).clone("bank", "two")
        with sj.open("two", home=disk) as two:
            assert two["a"][1] == 2

    on_small_disk(disk_home, use)


def test_where_blocks_are_shared_nothing_is_copied(disk_home: Path) -> None:
    """And both go on changing, each its own blocks."""
    if shutil.which("mkfs.xfs", path=f"{os.environ['PATH']}:/sbin:/usr/sbin") is None:
        pytest.skip("needs mkfs.xfs")

    def use(disk: Path) -> None:
        with bank(disk) as store:
            store["c"].update({n: os.urandom(4000) for n in range(10_000)})
            store.sync()
            before = os.statvfs(disk).f_bavail
            steps: list[int] = []
            with store.clone("copy", progress=lambda done, _: steps.append(done)) as copy:
                version = store.snapshot()
                assert contents(copy) == contents(store)
                shared = before - os.statvfs(disk).f_bavail
                assert shared * os.statvfs(disk).f_frsize < version.bytes // 4
                assert len(set(steps)) == 2  # nothing between none and all of it
                store["c"][1], copy["c"][2] = b"here", b"there"
                assert (copy["c"][1] == b"here", store["c"][2] == b"there") == (False, False)
                assert store.check().leaked_blocks == copy.check().leaked_blocks == 0
        for name in ("bank", "copy", "bank@1"):
            with sj.open(name, "r", home=disk) as store:
                assert store.check().unverified_pages == 0
                assert len(store["c"]) == 10_000

    on_small_disk(disk_home, use, kind="xfs", size=400 << 20)
