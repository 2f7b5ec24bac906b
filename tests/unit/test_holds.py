# SPDX-License-Identifier: Apache-2.0
"""Holds and transactions: nesting, upgrading, waiting, timeouts, signals, threads, misuse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from children import Child, forked

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

DROPPED = pytest.mark.filterwarnings("ignore:a hold or transaction was dropped:ResourceWarning")


@contextlib.contextmanager
def held_elsewhere(store: sj.Store, how: str) -> Iterator[Child]:
    """Another process has the store for reading or writing until it hears something."""

    def hold(child: Child) -> None:
        with getattr(store, how)():
            child.say()
            child.hear()

    with forked(hold) as child:
        child.hear()
        yield child


# --- transactions -------------------------------------------------------------------------------


def test_a_transaction_is_there_when_its_block_ends(store: sj.Store) -> None:
    tree, table = store.btree("t", key="int"), store.hashmap("h", key="int")
    with store.transaction():
        tree[1] = "one"
        table[2] = "two"
    assert (tree[1], table[2]) == ("one", "two")


def test_an_exception_rolls_a_transaction_back(store: sj.Store) -> None:
    tree, table = store.btree("t", key="int"), store.hashmap("h", key="int")
    tree.update({n: "x" * n for n in range(200)})
    table.update({n: "x" * n for n in range(200)})
    before = dict(tree.items()), dict(table.items()), store.stats().live_bytes
    with pytest.raises(LookupError, match="mine"), store.transaction():
        tree.clear()
        tree[1] = "changed"
        for n in range(100):
            del table[n]
            table[n + 1000] = "new" * n
        raise LookupError("mine")
    assert (dict(tree.items()), dict(table.items()), store.stats().live_bytes) == before
    assert store.check().leaked_blocks == 0


def test_abort_undoes_at_the_end_of_the_block(store: sj.Store) -> None:
    tree = store.btree("t", key="int")
    with store.transaction() as tx:
        tree[1] = 1
        tx.abort()
        tree[2] = 2
        assert len(tree) == 2
    assert len(tree) == 0


def test_an_inner_transaction_is_a_savepoint(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    with store.transaction():
        tree[1] = 1
        with pytest.raises(LookupError), store.transaction():
            tree[1] = 2
            tree[2] = 2
            raise LookupError
        assert dict(tree.items()) == {1: 1}
        with store.transaction() as inner:
            del tree[1]
            with store.transaction():
                tree[3] = 3
            inner.abort()
        with store.transaction():
            tree[4] = 4
    assert dict(tree.items()) == {1: 1, 4: 4}
    with pytest.raises(LookupError), store.transaction():
        with store.transaction():
            tree[5] = 5
        raise LookupError
    assert dict(tree.items()) == {1: 1, 4: 4}
    assert store.check().leaked_blocks == 0


def test_a_transaction_larger_than_the_first_part_of_the_log_is_undone(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree.bulk_load({n: n for n in range(40_000)})
    with store.transaction() as tx:
        for n in range(0, 40_000, 20):
            tree[n] = -1
        tx.abort()
    assert all(key == value for key, value in tree.items())
    assert store.check().leaked_blocks == 0


def test_only_an_open_transaction_can_be_aborted(store: sj.Store) -> None:
    holds = [store.transaction(), store.read(), store.write()]
    for hold in holds:
        with pytest.raises(sj.HoldError, match="open transaction"):
            hold.abort()
    with store.write() as hold, pytest.raises(sj.HoldError):
        hold.abort()


# --- nesting ------------------------------------------------------------------------------------


def test_holds_nest_in_every_order_that_is_no_upgrade(store: sj.Store) -> None:
    tree = store.btree("t", key="int")
    for outer in (store.read, store.write, store.transaction):
        with outer():
            for inner in (store.read, store.write, store.transaction):
                if outer == store.read and inner != store.read:
                    with pytest.raises(sj.HoldUpgradeError, match="use write"):
                        inner().__enter__()
                    continue
                with inner():
                    assert list(tree) == []
    tree[1] = 1


def test_an_operation_in_a_read_hold_that_would_write_is_an_upgrade(store: sj.Store) -> None:
    tree, table = store.btree("t", key="int"), store.hashmap("h", key="int")
    tree[1] = table[1] = 1
    changes: list[Callable[[], object]] = [
        lambda: tree.__setitem__(1, 2),
        lambda: tree.pop(1),
        lambda: tree.popitem(),
        lambda: table.clear(),
        lambda: table.setdefault(2, 3),
        lambda: store.drop("t"),
        lambda: store.btree("new"),
        lambda: tree.bulk_load([]),
    ]
    with store.read():
        for change in changes:
            for error in (sj.HoldUpgradeError, sj.HoldError, RuntimeError):
                with pytest.raises(error):
                    change()
    assert (dict(tree), dict(table)) == ({1: 1}, {1: 1})


def test_holds_nest_across_stores(home: Path) -> None:
    with sj.open("a", home=home) as a, sj.open("b", home=home) as b:
        left, right = a.btree("t", key="int"), b.btree("t", key="int")
        with a.transaction(), b.transaction(), a.transaction() as inner:
            left[1] = right[1] = 1
            inner.abort()
        assert (dict(left), dict(right)) == ({}, {1: 1})
        with pytest.raises(LookupError), a.write(), b.transaction(), a.read():
            left[2] = right[2] = 2
            raise LookupError
        assert (dict(left), dict(right)) == ({2: 2}, {1: 1})
        with a.read(), b.read(), b.read():
            assert (left[2], right[1]) == (2, 1)
            with pytest.raises(sj.HoldUpgradeError):
                left[3] = 3
        left[3] = 3


def test_many_stores_are_held_at_once(home: Path) -> None:
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(sj.open(f"s{n}", home=home, reserve=1 << 30)) for n in range(136)
        ]
        for store in opened:
            store.btree("t")[1] = store.name
        with contextlib.ExitStack() as holds, pytest.raises(ValueError, match="more than 128"):
            for store in opened:
                holds.enter_context(store.read())
        for store in opened:
            with store.transaction():
                store["t"][2] = 2


# --- misuse -------------------------------------------------------------------------------------


def test_a_hold_is_used_once_at_a_time(store: sj.Store) -> None:
    hold = store.read()
    with hold, pytest.raises(sj.HoldError, match="second time"):
        hold.__enter__()
    with pytest.raises(sj.HoldError, match="not been entered"):
        hold.__exit__(None, None, None)
    with hold:
        assert len(store.roots) == 0
    store.btree("t")[1] = 1


def test_async_with_is_refused(store: sj.Store) -> None:
    async def hold() -> None:
        async with store.read():
            pytest.fail("unreachable")

    with pytest.raises(TypeError, match="await"):
        asyncio.run(hold())
    store.btree("t")[1] = 1


@DROPPED
def test_a_hold_that_ends_in_another_task_is_refused(store: sj.Store) -> None:
    async def begin(hold: sj.Hold) -> None:
        hold.__enter__()

    async def end(hold: sj.Hold) -> None:
        with pytest.raises(sj.HoldError, match="one task"):
            hold.__exit__(None, None, None)

    async def main() -> None:
        hold = store.read()
        await asyncio.create_task(begin(hold))
        await asyncio.create_task(end(hold))

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
    store.btree("t")[1] = 1  # what the thread had left held ended with it


def test_a_hold_that_ends_in_another_thread_is_refused(store: sj.Store) -> None:
    hold = store.read().__enter__()
    caught: list[Exception] = []

    def end() -> None:
        try:
            hold.__exit__(None, None, None)
        except sj.HoldError as error:
            caught.append(error)

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert "one thread" in str(caught[0])
    hold.__exit__(None, None, None)
    store.btree("t")[1] = 1


def test_holds_that_end_in_the_wrong_order_are_refused_and_can_still_end(home: Path) -> None:
    with sj.open("a", home=home) as a, sj.open("b", home=home) as b:
        one, other = a.write().__enter__(), b.write().__enter__()
        with pytest.raises(sj.HoldError, match="order"):
            one.__exit__(None, None, None)
        other.__exit__(None, None, None)
        one.__exit__(None, None, None)
        a.btree("t")[1] = 1


@DROPPED
def test_a_generator_that_holds_across_a_yield_is_found_out(home: Path) -> None:
    found: list[BaseException] = []

    def held(store: sj.Store) -> Iterator[int]:
        with store.read():
            yield 1

    def mix() -> None:
        one, other = held(a), held(b)
        next(one)
        next(other)
        try:
            next(one)
        except sj.HoldError as error:
            found.append(error)
        assert list(other) == []

    with sj.open("a", home=home) as a, sj.open("b", home=home) as b:
        thread = threading.Thread(target=mix)
        thread.start()
        thread.join()
        assert "yield" in str(found[0])
        a.btree("t")[1] = b.btree("t")[1] = 1  # what was left held ended with the thread


# --- waiting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ["read", "write", "transaction"])
def test_waits_end_at_the_timeout(store: sj.Store, theirs: str) -> None:
    store.btree("t", key="int")[1] = 1
    with held_elsewhere(store, theirs) as child:
        for how in ("read", "write", "transaction"):
            hold = getattr(store, how)(timeout=0.05)
            if (how, theirs) == ("read", "read"):
                with hold:
                    continue
            for error in (sj.SpaceBusyError, TimeoutError):
                with pytest.raises(error, match="timeout="):
                    hold.__enter__()
        child.say()
        assert child.end() == 0
    for how in ("read", "write", "transaction"):
        with getattr(store, how)(timeout=30):
            assert store["t"][1] == 1


def test_single_operations_wait_for_as_long_as_the_store_says(home: Path) -> None:
    with sj.open("genes", home=home, timeout=0.05) as store:
        tree = store.btree("t", key="int")
        tree[1] = 1
        with held_elsewhere(store, "write"):
            for use in (lambda: tree[1], lambda: tree.clear(), lambda: len(tree), store.check):
                with pytest.raises(sj.SpaceBusyError):
                    use()
            with pytest.raises(sj.SpaceBusyError):
                store.read().__enter__()
        assert tree[1] == 1


def test_waiting_for_a_store_that_is_being_opened_ends_at_the_timeout(home: Path) -> None:
    with sj.open("genes", home=home) as store, held_elsewhere(store, "write"):
        with sj.open("genes", home=home, timeout=0.05) as again:
            with pytest.raises(sj.SpaceBusyError):
                again.btree("t")


def test_a_wait_ends_when_the_hold_does(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")

    def hold(child: Child) -> None:
        with store.transaction():
            child.say()
            for n in range(100):
                tree[n] = n
                time.sleep(0.001)

    with forked(hold) as child:
        child.hear()
        assert sum(tree.values()) == 4950
        assert child.end() == 0


@pytest.mark.parametrize("theirs", ["write", "read"])
def test_control_c_ends_a_wait_and_leaves_everything_usable(store: sj.Store, theirs: str) -> None:
    tree = store.btree("t", key="int", value="int")
    uses: list[Callable[[], object]] = [
        lambda: store.write().__enter__(),
        lambda: store.transaction().__enter__(),
        lambda: tree.__setitem__(1, 1),
    ]
    if theirs == "write":
        uses += [lambda: store.read().__enter__(), lambda: tree.get(1), lambda: len(tree)]
    with held_elsewhere(store, theirs) as child:
        for use in uses:
            interrupt = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                use()
            interrupt.join()
        child.say()
        assert child.end() == 0
    assert len(tree) == 0
    with store.transaction():
        tree[1] = 2
    assert tree[1] == 2


def test_an_exception_of_a_signal_handler_ends_a_wait(store: sj.Store) -> None:
    class MineError(Exception):
        pass

    def handler(number: int, frame: Any) -> None:
        raise MineError

    old = signal.signal(signal.SIGUSR1, handler)
    try:
        with held_elsewhere(store, "write"):
            interrupt = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            interrupt.start()
            with pytest.raises(MineError):
                len(store.roots)
            interrupt.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    store.btree("t")


def test_a_signal_handler_that_returns_does_not_end_a_wait(store: sj.Store) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with held_elsewhere(store, "write") as child:
            signals = [
                threading.Timer(0.02 * n, os.kill, (os.getpid(), signal.SIGUSR1))
                for n in range(1, 6)
            ]
            for each in signals:
                each.start()
            with pytest.raises(sj.SpaceBusyError):
                store.read(timeout=0.4).__enter__()
            for each in signals:
                each.join()
            child.say()
            assert child.end() == 0
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen
    assert len(store.roots) == 0


# --- threads ------------------------------------------------------------------------------------


def test_threads_exclude_each_other(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    inside = 0

    def work() -> None:
        nonlocal inside
        for n in range(50):
            with store.transaction():
                inside += 1
                assert inside == 1
                tree[n] = tree.get(n, 0) + 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(tree.items()) == dict.fromkeys(range(50), 4)


def test_readers_of_one_process_are_inside_together(store: sj.Store) -> None:
    barrier = threading.Barrier(3, timeout=60)
    met: list[int] = []

    def work() -> None:
        with store.read():
            met.append(barrier.wait())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == [0, 1, 2]


@DROPPED
@pytest.mark.parametrize("how", ["read", "write", "transaction"])
def test_what_a_thread_held_ends_with_the_thread(home: Path, how: str) -> None:
    """A thread that died in a write hold left the store busy for ever: closing was refused."""
    store = sj.open("genes", home=home)
    tree = store.btree("t", key="int", value="int")
    tree[1] = 1
    holds: list[sj.Hold] = []

    def die() -> None:
        holds.append(getattr(store, how)().__enter__())
        if how != "read":
            tree[1] = 2

    for _ in range(3):
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
    with pytest.raises(sj.HoldError):
        holds[0].__exit__(None, None, None)
    assert tree[1] == (2 if how == "write" else 1)
    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    while not store.closed:
        with contextlib.suppress(sj.SpaceBusyError):  # it ends a moment after join()
            store.close()
    with sj.open("genes", home=home) as again:
        assert again["t"][1] == (2 if how == "write" else 1)
        again["t"][1] = 3
        assert again.check().leaked_blocks == 0
