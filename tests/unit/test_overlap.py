# SPDX-License-Identifier: Apache-2.0
"""Stores whose addresses overlap: open at the same time, one at home, the others moved aside."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from children import in_child, kill_inside

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

BASE = 0x4000_0000_0000
GIB = 1 << 30


@pytest.fixture
def pair(home: Path) -> Iterator[tuple[sj.Store, sj.Store]]:
    """Two stores at the same base, each with a tree `t` of 1000 words of its own."""
    with (
        sj.open("one", home=home, base=BASE, reserve=GIB, timeout=10) as one,
        sj.open("two", home=home, base=BASE, reserve=2 * GIB, timeout=10) as two,
    ):
        for sign, store in ((1, one), (-1, two)):
            tree = store.btree("t", key="int", value="int")
            tree.update({key: sign * key for key in range(1, 1001)})
        yield one, two


def uuid_at(base: int) -> bytes:
    """The bytes of a superblock's uuid that lie at a base now."""
    return ctypes.string_at(base + 56, 16)


def uuid_of(store: sj.Store) -> bytes:
    return sj.Catalog(store.home).lookup(store.name).uuid


def test_both_answer(pair: tuple[sj.Store, sj.Store]) -> None:
    one, two = (store["t"] for store in pair)
    assert pair[0].base == pair[1].base == BASE
    for key in range(1, 1001):
        assert (one[key], two[key]) == (key, -key)
        one[key] += 1
        two[key] -= 1
    for a, b in zip(one.items(), two.items(), strict=True):
        assert (a[1], b[1]) == (a[0] + 1, -b[0] - 1)
    for store in pair:
        store.check()


def test_leaving_restores_the_addresses(pair: tuple[sj.Store, sj.Store]) -> None:
    one, two = pair
    with one.read():
        assert uuid_at(BASE) == uuid_of(one)
        with two.transaction():
            assert uuid_at(BASE) == uuid_of(two)
            assert one["t"][5] == 5
            assert uuid_at(BASE) == uuid_of(two)
            two["t"][5] = 0
        assert uuid_at(BASE) == uuid_of(one)
        with pytest.raises(ZeroDivisionError), two.transaction():
            two["t"].clear()
            1 / 0  # noqa: B018
        assert uuid_at(BASE) == uuid_of(one)
    assert (two["t"][5], len(two["t"])) == (0, 1000)


def test_a_thread_that_is_inside_keeps_its_addresses(pair: tuple[sj.Store, sj.Store]) -> None:
    one, two = pair
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with one.read():
            entered.set()
            leave.wait()
            assert uuid_at(BASE) == uuid_of(one)

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    with pytest.raises(sj.SpaceBusyError, match=r"0\.05 s"), two.read(timeout=0.05):
        pass
    assert one["t"][7] == 7
    leave.set()
    assert two["t"][7] == -7
    thread.join()


def test_threads_that_wait_for_each_others_locks_and_addresses_go_on(
    pair: tuple[sj.Store, sj.Store],
) -> None:
    rng = random.Random(1)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        mine = random.Random(seed)
        try:
            for _ in range(150):
                first, second = mine.sample(pair, 2)
                key = mine.randint(1, 1000)
                with first.transaction() if mine.random() < 0.5 else first.read():
                    assert abs(first["t"][key]) >= key
                    if mine.random() < 0.5 and first is pair[0]:  # locks in one order
                        with second.transaction():
                            second["t"][key] -= 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(rng.random(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for store in pair:
        store.check()


def test_no_update_is_lost_between_threads_and_processes(pair: tuple[sj.Store, sj.Store]) -> None:
    one, two = pair

    def count(tree: sj.BTree, times: int) -> None:
        for _ in range(times):
            with tree.store.transaction():
                tree[1] += 1

    def in_a_process() -> None:
        threads = [
            threading.Thread(target=count, args=(store["t"], 200)) for store in (one, two) * 2
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for store in pair:
        store["t"][1] = 0
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                in_a_process()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    in_a_process()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert [store["t"][1] for store in pair] == [1200, 1200]


def test_a_dead_writer_of_the_one_that_is_parked_is_rolled_back(
    pair: tuple[sj.Store, sj.Store],
) -> None:
    one, two = pair

    def half_done() -> None:
        with one.transaction():
            one["t"].clear()
            os.kill(os.getpid(), signal.SIGKILL)

    kill_inside(half_done)
    with two.read():
        assert two["t"][1] == -1
        assert len(one["t"]) == 1000
        assert uuid_at(BASE) == uuid_of(two)
    one.check()


def test_one_can_be_closed_while_the_other_is_at_home(home: Path) -> None:
    with sj.open("two", home=home, base=BASE, reserve=GIB) as two:
        one = sj.open("one", home=home, base=BASE, reserve=GIB)
        one.btree("t", key="int")[1] = "one"
        with two.read():
            one.close()
            assert uuid_at(BASE) == uuid_of(two)
        two.btree("t", key="int")[1] = "two"
        with two.read(), sj.open("one", home=home) as one:
            assert one["t"][1] == "one"
            assert one.check().unverified_pages == 0
            assert two["t"][1] == "two"


def test_many_that_overlap_in_part(home: Path) -> None:
    """A wide one, and narrow ones that lie in it, of which several are at home at once."""
    wide = sj.open("wide", home=home, base=BASE, reserve=8 * GIB)
    narrow = [sj.open(f"n{at}", home=home, base=BASE + at * GIB, reserve=GIB) for at in range(8)]
    for at, store in enumerate([wide, *narrow]):
        store.hashmap("h", key="int", value="int")[0] = at
    rng = random.Random(2)
    for _ in range(300):
        at = rng.randrange(9)
        assert [wide, *narrow][at]["h"][0] == at
    with narrow[0].read(), narrow[5].read():
        assert uuid_at(BASE) == uuid_of(narrow[0])
        assert uuid_at(BASE + 5 * GIB) == uuid_of(narrow[5])
    for store in (wide, *narrow):
        store.close()


def test_places_aside_are_used_again(home: Path) -> None:
    """Each pair that was opened took new addresses to park at, until there were none."""
    names = [("one", 1), ("two", -1)]
    for name, _ in names:
        sj.open(name, "n", home=home, base=BASE, reserve=1024 * GIB).close()
    for turn in range(20):  # eight of them fill the parking ranges
        with sj.open("one", home=home) as one, sj.open("two", home=home) as two:
            one.btree("t", key="int", value="int")[turn] = turn
            two.btree("t", key="int", value="int")[turn] = -turn
    for name, sign in names:
        with sj.open(name, "r", home=home) as store:
            assert dict(store["t"]) == {turn: sign * turn for turn in range(20)}


def test_no_room_to_move_aside_is_a_conflict_that_says_so(home: Path) -> None:
    with (
        sj.open("one", home=home, base=BASE, reserve=16384 * GIB) as one,
        pytest.raises(sj.AddressConflictError, match=r"'one' .* no room of 16384 GiB"),
    ):
        sj.open("two", home=home, base=BASE, reserve=16384 * GIB)
    assert one.closed


def test_a_child_of_fork_moves_its_own(pair: tuple[sj.Store, sj.Store]) -> None:
    one, two = pair

    def child() -> tuple[int, int]:
        two["t"][2] = 22
        return one["t"][2], two["t"][2]

    with one.read():
        assert in_child(child) == (2, 22)
        assert one["t"][2] == 2
    assert two["t"][2] == 22


def test_addresses_that_something_else_took_meanwhile_are_a_conflict(
    pair: tuple[sj.Store, sj.Store],
) -> None:
    one, two = pair
    assert two["t"][1] == -1  # its reserve is the larger one; now it is at home, and is closed
    two.close()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    fixed_noreplace, anonymous, private = 0x100000, 0x20, 2
    at = BASE + 4096 * 5
    flags = fixed_noreplace | anonymous | private
    assert libc.mmap(at, 4096, 1, flags, -1, 0) == at
    with pytest.raises(sj.AddressConflictError, match="one needs the addresses"):
        one["t"][1]
    assert ctypes.string_at(at, 16) == bytes(16)
    libc.munmap(at, 4096)
    assert one["t"][1] == 1


def test_a_store_open_for_reading_is_opened_for_writing_too(
    pair: tuple[sj.Store, sj.Store], home: Path
) -> None:
    with sj.open("three", home=home, base=BASE, reserve=GIB) as store:
        store.btree("t", key="int")[1] = 1
    with sj.open("three", "r", home=home, timeout=10) as reader:
        assert pair[0]["t"][1] == 1  # what is to become writable is moved aside
        with sj.open("three", "w", home=home, timeout=10) as writer:
            writer["t"][2] = 2
            assert list(reader["t"]) == [1, 2]
        with pytest.raises(sj.ReadOnlyError):
            reader["t"][3] = 3
