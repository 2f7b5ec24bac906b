# SPDX-License-Identifier: Apache-2.0
"""Transactions over several stores: all or nothing, nesting, misuse, waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from children import forked, in_child, kill_inside

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from children import Child

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

DROPPED = pytest.mark.filterwarnings("ignore:a hold or transaction was dropped:ResourceWarning")

GIB = 1 << 30
BASE = 0x4000_0000_0000

Stores = list[sj.Store]


@pytest.fixture
def stores(home: Path) -> Iterator[Stores]:
    """Three stores, in the order of their addresses, each with a tree `t`."""
    with contextlib.ExitStack() as stack:
        opened = []
        for number, name in enumerate(("zeta", "beta", "alpha")):
            base = BASE + number * GIB
            store = sj.open(name, home=home, base=base, reserve=GIB, timeout=10)
            opened.append(stack.enter_context(store))
            store.btree("t", key="int", value="int")[0] = 0
        yield opened


def put(stores: Stores, key: int, value: int) -> None:
    for store in stores:
        store["t"][key] = value


def values(stores: Stores, key: int) -> list[int | None]:
    return [store["t"].get(key) for store in stores]


def test_all_changes_are_there_when_the_block_ends(stores: Stores) -> None:
    with sj.transaction(*reversed(stores)):
        put(stores, 1, 10)
    assert values(stores, 1) == [10, 10, 10]
    for store in stores:
        store.check()


def test_an_exception_undoes_all(stores: Stores) -> None:
    with pytest.raises(LookupError, match="mine"), sj.transaction(*stores):
        put(stores, 0, 10)
        raise LookupError("mine")
    assert values(stores, 0) == [0, 0, 0]


def test_abort_undoes_all(stores: Stores) -> None:
    with sj.transaction(*stores) as transaction:
        put(stores[:2], 0, 10)
        transaction.abort()
        assert values(stores, 0) == [10, 10, 0]
    assert values(stores, 0) == [0, 0, 0]
    with pytest.raises(sj.HoldError):
        transaction.abort()


def test_stores_that_are_not_changed_take_no_part(stores: Stores) -> None:
    with sj.transaction(*stores):
        put(stores[1:2], 0, 10)
    assert values(stores, 0) == [0, 10, 0]
    with sj.transaction(*stores):
        assert values(stores, 0) == [0, 10, 0]


def test_one_store_is_a_transaction_of_its_own(stores: Stores) -> None:
    store = stores[0]
    with sj.transaction(store, store), store.transaction() as inner:
        put([store], 0, 10)
        inner.abort()
    with store.transaction(), sj.transaction(store):
        put([store], 1, 10)
    assert (store["t"][0], store["t"][1]) == (0, 10)


def test_inner_transactions_are_savepoints(stores: Stores) -> None:
    with sj.transaction(*stores):
        put(stores, 1, 1)
        with stores[1].transaction() as single:
            put(stores[1:2], 1, 2)
            single.abort()
        with sj.transaction(stores[2], stores[0]) as some:
            put(stores[::2], 1, 3)
            some.abort()
        with sj.transaction(*stores):
            put(stores, 2, 4)
        assert values(stores, 1) == [1, 1, 1]
    assert values(stores, 2) == [4, 4, 4]


def test_a_part_of_the_stores_in_a_transaction_is_refused(stores: Stores) -> None:
    first, second, third = stores
    with first.transaction():
        put([first], 0, 1)
        with pytest.raises(sj.InvalidArgumentError, match="begin one over all stores"):
            sj.transaction(first, second).__enter__()
        assert second._space.mode is None
    with sj.transaction(first, second), pytest.raises(sj.InvalidArgumentError):
        sj.transaction(second, third).__enter__()
    assert third._space.mode is None
    assert values(stores, 0) == [1, 0, 0]


def test_a_read_hold_cannot_become_one(stores: Stores) -> None:
    with stores[1].read():
        with pytest.raises(sj.HoldUpgradeError):
            sj.transaction(*stores).__enter__()
        assert stores[0]._space.mode is None
    with sj.transaction(*stores), stores[1].read():
        put(stores, 0, 1)
    assert values(stores, 0) == [1, 1, 1]


def test_a_write_hold_may_lie_around_it(stores: Stores) -> None:
    with stores[1].write():
        put(stores[1:2], 5, 5)
        with sj.transaction(*stores) as transaction:
            put(stores, 0, 1)
            transaction.abort()
        with sj.transaction(*stores):
            put(stores, 1, 1)
        assert stores[1]._space.is_current
        assert stores[0]._space.mode is None
    assert (values(stores, 0), values(stores, 1)) == ([0, 0, 0], [1, 1, 1])
    assert stores[1]["t"][5] == 5


def test_what_is_no_store_is_refused(stores: Stores, disk_home: Path) -> None:
    with pytest.raises(sj.InvalidArgumentError, match="found 0"):
        sj.transaction()
    with pytest.raises(sj.InvalidArgumentError, match="found BTree"):
        sj.transaction(stores[0]["t"])
    with pytest.raises(ValueError, match="timeout"):
        sj.transaction(*stores, timeout=-1)
    with pytest.raises(TypeError, match="await"):
        sj.transaction(*stores).__aenter__()
    with (
        sj.open("power", home=disk_home, durability="power", reserve=GIB) as power,
        pytest.raises(sj.InvalidArgumentError, match="write-ahead log"),
    ):
        sj.transaction(stores[0], power).__enter__()
    stores[2].close()
    with pytest.raises(sj.DetachedError):
        sj.transaction(*stores).__enter__()
    with (
        sj.open("alpha", "r", home=stores[0].home) as reading,
        pytest.raises(sj.ReadOnlyError),
    ):
        sj.transaction(stores[0], reading).__enter__()
    assert stores[0]._space.mode is None


def test_a_store_with_a_log_of_its_own_by_itself(disk_home: Path) -> None:
    with sj.open("power", home=disk_home, durability="power", reserve=GIB) as store:
        tree = store.btree("t", key="int", value="int")
        with sj.transaction(store):
            tree[1] = 1
        with sj.transaction(store) as undone:
            tree[1] = 2
            undone.abort()
        assert tree[1] == 1


def test_holds_end_in_order(stores: Stores) -> None:
    transaction = sj.transaction(*stores)
    with transaction:
        with pytest.raises(sj.HoldError, match="second time"):
            transaction.__enter__()
        with stores[0].read(), pytest.raises(sj.HoldError, match="before it ends"):
            transaction.__exit__(None, None, None)
        put(stores, 0, 1)
    with pytest.raises(sj.HoldError, match="not been entered"):
        transaction.__exit__(None, None, None)
    assert values(stores, 0) == [1, 1, 1]


@DROPPED
def test_a_transaction_is_not_held_across_tasks(stores: Stores) -> None:
    transaction = sj.transaction(*stores)

    async def enter() -> None:
        transaction.__enter__()

    async def leave() -> None:
        with pytest.raises(sj.HoldError, match="one task"):
            transaction.__exit__(None, None, None)

    async def run() -> None:
        await asyncio.create_task(enter())
        await asyncio.create_task(leave())

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    put(stores, 0, 1)  # the thread's end has undone it, and given the locks back


@pytest.mark.parametrize("together", [True, False])
def test_one_that_is_dropped_inside_warns(stores: Stores, together: bool) -> None:
    """It was silent: the stores stayed held until the thread ended, and nobody was told why."""

    def work() -> None:
        transaction = sj.transaction(*stores) if together else stores[0].transaction()
        transaction.__enter__()
        put(stores[:1], 0, 1)
        with pytest.warns(ResourceWarning, match="not left"):
            del transaction

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert values(stores, 0) == [0, 0, 0]
    before = stores[0].transaction(), sj.transaction(*stores)
    del before  # nor do those warn that were not entered


@DROPPED
def test_a_thread_that_ends_inside_has_done_nothing(stores: Stores) -> None:
    def work() -> None:
        sj.transaction(*stores).__enter__()
        put(stores, 0, 1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert values(stores, 0) == [0, 0, 0]


def test_a_timeout_leaves_nothing_held(stores: Stores) -> None:
    def hold(child: Child) -> None:
        with stores[1].write():
            child.say()
            child.hear()

    with forked(hold) as child:
        child.hear()
        with pytest.raises(sj.SpaceBusyError):
            sj.transaction(*stores, timeout=0.01).__enter__()
        assert [store._space.mode for store in stores] == [None, None, None]
        with stores[2].write():
            with pytest.raises(sj.SpaceBusyError, match="begin the transaction before"):
                sj.transaction(*stores).__enter__()
            assert stores[0]._space.mode is None
        child.say()
    with sj.transaction(*stores):
        put(stores, 0, 1)


def test_readers_see_all_or_nothing(stores: Stores) -> None:
    seen: list[list[int | None]] = []

    def read() -> None:
        while not done.is_set():
            with stores[0].read(), stores[1].read(), stores[2].read():
                seen.append(values(stores, 0))

    done = threading.Event()
    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 300):
        with sj.transaction(*reversed(stores)):
            put(stores, 0, number)
    done.set()
    for thread in threads:
        thread.join()
    assert seen
    assert all(a == b == c for a, b, c in seen)


def test_threads_that_name_stores_in_any_order(stores: Stores, rng: random.Random) -> None:
    def work(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(200):
            some = own.sample(stores, own.randrange(1, 4))
            with sj.transaction(*some):
                for store in some:
                    store["t"][0] += 1
                with counting:
                    total[0] += len(some)

    counting, total = threading.Lock(), [0]
    threads = [threading.Thread(target=work, args=(rng.random(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(value or 0 for value in values(stores, 0)) == total[0]


def test_a_child_of_a_fork_holds_nothing(stores: Stores) -> None:
    with sj.transaction(*stores):
        put(stores, 0, 1)
        pid = os.fork()
        if pid == 0:
            os._exit(int([store._space.mode for store in stores] != [None, None, None]))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert values(stores, 0) == [1, 1, 1]


def test_stores_with_the_same_addresses(home: Path) -> None:
    with contextlib.ExitStack() as stack:
        pair = [
            stack.enter_context(sj.open(name, home=home, base=BASE, reserve=GIB, timeout=10))
            for name in ("one", "two")
        ]
        for sign, store in ((1, pair[0]), (-1, pair[1])):
            store.btree("t", key="int", value="int")[0] = sign
        for _ in range(3):
            with sj.transaction(*pair):
                pair[0]["t"][0] += 1
                pair[1]["t"][0] -= 1
        with sj.transaction(*pair) as undone:
            pair[0]["t"][0] += 1
            pair[1]["t"][0] -= 1
            undone.abort()
        assert values(pair, 0) == [4, -4]
        for store in pair:
            store.check()


def test_stores_of_different_homes(home: Path, disk_home: Path) -> None:
    """The files lie on different filesystems; a process dies inside, and another one comes in."""
    with (
        sj.open("memory", home=home, reserve=GIB) as memory,
        sj.open("disk", home=disk_home, reserve=GIB) as disk,
    ):
        pair = [memory, disk]
        for store in pair:
            store.btree("t", key="int", value="int")

        def die_inside() -> None:
            sj.transaction(*pair).__enter__()
            put(pair, 0, 2)

        with sj.transaction(*pair):
            put(pair, 0, 1)
        kill_inside(die_inside)
        assert values(pair, 0) == [1, 1]
        assert in_child(lambda: values(pair, 0)) == [1, 1]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_group_that_ends_before_what_is_inside_of_it_changes_nothing(
    stores: Stores, which: int
) -> None:
    """It undid the inner one's savepoint, and the process ended at an assertion later."""
    outer = sj.transaction(*stores)
    inner: list[Any] = [
        sj.transaction(*stores),
        stores[-1].transaction(),  # in the store whose hold is the last one
        sj.transaction(*stores[1:]),
    ]
    with outer:
        put(stores, 1, 1)
        with inner[which]:
            put(stores[-1:], 1, 2)
            with pytest.raises(sj.HoldError, match="left before it ends"):
                outer.__exit__(None, None, None)
            assert values(stores, 1) == [1, 1, 2]
    assert values(stores, 1) == [1, 1, 2]


def test_a_transaction_that_ends_before_a_group_inside_of_it_changes_nothing(
    stores: Stores,
) -> None:
    """It made the group's changes in its own store lasting, whatever became of the group."""
    with sj.transaction(*stores), stores[-1].transaction() as outer:
        with sj.transaction(*stores) as inner:
            put(stores, 1, 1)
            with pytest.raises(sj.HoldError, match="opposite"):
                outer.__exit__(None, None, None)
            inner.abort()
        assert values(stores, 1) == [None, None, None]
