# SPDX-License-Identifier: Apache-2.0
"""Processes and threads share a store: no lost update, no torn read, nobody starves."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from children import Child, forked, in_child, run_python, wait_for

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs but fresh ones.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

KINDS = ["btree", "hashmap"]


def together(actions: list[Callable[[], object]], *, processes: bool) -> None:
    """Run all actions at once, each in a process or a thread of its own; all must succeed."""
    if processes:
        with contextlib.ExitStack() as stack:
            children = [
                stack.enter_context(forked(lambda _, action=action: action()))  # type: ignore[misc]
                for action in actions
            ]
            assert [child.end() for child in children] == [0] * len(actions)
        return
    failed: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(old)


# --- updates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("processes", [True, False])
def test_no_update_is_lost(store: sj.Store, kind: str, processes: bool) -> None:
    counts = getattr(store, kind)("counts", key="int", value="int")
    workers, rounds = 4, 1000

    def count(number: int) -> None:
        for n in range(rounds):
            with store.transaction():
                counts[0] = counts.get(0, 0) + 1
                counts[n % 7 + 1] = counts.get(n % 7 + 1, 0) + 1
            counts[1000 * (number + 1) + n] = n

    with eager_threads():
        together(
            [lambda n=number: count(n) for number in range(workers)],  # type: ignore[misc]
            processes=processes,
        )
    assert counts[0] == workers * rounds
    assert sum(counts[n] for n in range(1, 8)) == workers * rounds
    assert len(counts) == 8 + workers * rounds
    assert store.check().leaked_blocks == 0


def test_threads_in_several_processes_lose_no_update(store: sj.Store) -> None:
    counts = store.btree("counts", key="str", value="int")

    def count() -> None:
        for _ in range(60):
            with store.transaction():
                counts["all"] = counts.get("all", 0) + 1

    def threads() -> None:
        with eager_threads():
            together([count] * 3, processes=False)

    together([threads] * 3, processes=True)
    assert counts["all"] == 3 * 3 * 60


@pytest.mark.parametrize("processes", [True, False])
def test_single_operations_are_atomic_for_all(store: sj.Store, processes: bool) -> None:
    """Everybody pops: each item is had by one."""
    queue = store.btree("queue", key="int", value="int")
    taken = store.hashmap("taken", key="int", value="int")
    queue.update({n: n for n in range(600)})

    def take() -> None:
        while True:
            try:
                key, _ = queue.popitem(0)
            except KeyError:
                return
            assert taken.setdefault(key, os.getpid()) is not None
            with store.transaction():
                taken[-1] = taken.get(-1, 0) + 1

    together([take] * 3, processes=processes)
    assert taken.pop(-1) == 600
    assert sorted(taken) == list(range(600))


# --- consistent reads ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_hold_sees_whole_transactions(store: sj.Store, kind: str) -> None:
    pairs = getattr(store, kind)("pairs", key="int", value="int")
    pairs.update(dict.fromkeys(range(64), 0))

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(8000):
            with store.transaction() as tx:
                one, other = rng.sample(range(64), 2)
                pairs[one] += 1
                pairs[other] -= 1
                pairs[100 + one] = pairs[100 + other] = 0  # nodes split and merge
                if rng.random() < 0.3:
                    tx.abort()
            with store.transaction():
                pairs.pop(100 + one, None)
                pairs.pop(100 + other, None)

    def read() -> None:
        for _ in range(5000):
            with store.read():
                assert sum(pairs.values()) == 0
                assert sum(pairs[n] for n in range(64)) == 0
                assert len(list(pairs)) == len(pairs)

    together(
        [lambda: write(1), lambda: write(2), read, read],
        processes=True,
    )
    assert store.check().leaked_blocks == 0


def test_a_tree_iterated_while_others_change_it_stays_in_order(store: sj.Store) -> None:
    """A change between looking for one and reading the next batch went unnoticed."""
    tree = store.btree("t", key="int", value="int")
    stay = list(range(0, 400, 2))
    tree.update({n: n for n in stay})

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(30_000):
            n = 2 * rng.randrange(200) + 1
            tree[n] = -n
            for _ in range(rng.randrange(40)):  # now and then a batch is read between two changes
                pass
            tree.pop(n, None)

    def read() -> None:
        for _ in range(1500):
            for backward in (False, True):
                given = list(reversed(tree) if backward else tree)
                assert given == sorted(set(given), reverse=backward)
                assert [key for key in given if key % 2 == 0] == stay[:: -1 if backward else 1]
            for key, value in tree.items():
                assert value in (key, -key)
            assert len(list(tree.islice(0, 100))) == 100

    together([lambda: write(1), read, read], processes=True)


def test_a_map_iterated_while_others_change_it_gives_each_item_once(store: sj.Store) -> None:
    table = store.hashmap("h", key="int", value="int")
    table.update({n: n for n in range(0, 3000, 2)})

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(4000):
            numbers = [2 * rng.randrange(10**6) + 1 for _ in range(40)]
            table.update({n: -n for n in numbers})
            for n in numbers:
                table.pop(n, None)

    def read() -> None:
        for _ in range(500):
            given = list(table)
            assert len(given) == len(set(given))
            assert sorted(key for key in given if key % 2 == 0) == list(range(0, 3000, 2))

    together([lambda: write(1), lambda: write(2), read, read], processes=True)


def test_structures_come_and_go_while_others_use_them(store: sj.Store) -> None:
    def churn() -> None:
        for n in range(1000):
            with store.transaction():
                store.btree("t", key="int", value="int").update(dict.fromkeys(range(50), n))
            store.drop("t")

    def use() -> None:
        found = 0
        for _ in range(4000):
            try:
                tree = store["t"]
                values = set(tree.values())
                found += len(values) > 0
                with store.read():
                    assert len(set(tree.values())) <= 1
            except sj.NotFoundError:
                pass

    together([churn, use, use], processes=True)
    assert list(store.roots) == []
    assert store.check().leaked_blocks == 0


# --- threads ------------------------------------------------------------------------------------


def test_more_threads_than_slots_use_a_store_one_after_another(store: sj.Store) -> None:
    """The lock has 960 slots for readers; a thread that ends gives its own back."""
    tree = store.btree("t", key="int", value="int")
    tree[1] = 1
    found: list[int] = []
    for _ in range(1200):
        thread = threading.Thread(target=lambda: found.append(tree[1]))
        thread.start()
        thread.join()
    assert found == [1] * 1200
    tree[1] = 2


def test_processes_that_come_and_go_do_not_use_the_slots_up(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 1

    def read_in_threads() -> None:
        together([lambda: tree[1]] * 20, processes=False)
        with store.read():
            os._exit(0)  # without giving anything back

    for _ in range(60):
        with forked(lambda _: read_in_threads()) as child:
            assert child.end() == 0
    tree[1] = 2
    assert tree[1] == 2


def test_many_threads_are_inside_at_once(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 1
    barrier = threading.Barrier(200, timeout=60)

    def read() -> None:
        with store.read():
            barrier.wait()
            assert tree[1] == 1
            barrier.wait()

    together([read] * 200, processes=False)
    tree[1] = 2


# --- forks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_goes_on_with_an_open_store(store: sj.Store, kind: str) -> None:
    mapping = getattr(store, kind)("m", key="int")
    mapping.update({n: "x" * n for n in range(100)})
    iterator = iter(mapping)
    first = next(iterator)

    def use() -> tuple[str, int]:
        mapping[1000] = "from the child"
        with store.transaction():
            mapping[1001] = "also"
        assert first not in list(iterator)
        store.check()
        return mapping[5], len(mapping)

    assert in_child(use) == ("xxxxx", 102)
    assert (mapping[1000], mapping[1001]) == ("from the child", "also")
    mapping[1002] = "and the parent goes on"
    assert in_child(lambda: in_child(lambda: mapping[1002])) == "and the parent goes on"


@pytest.mark.parametrize("how", ["read", "write", "transaction"])
def test_a_child_forked_inside_a_hold_holds_nothing(store: sj.Store, how: str) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 1

    def look(child: Child) -> None:
        if how != "read":
            with pytest.raises(sj.SpaceBusyError):
                store.read(timeout=0.05).__enter__()
            with pytest.raises(sj.SpaceBusyError):
                store.transaction(timeout=0.05).__enter__()
        else:
            with store.read(timeout=60):
                assert tree[1] == 1
            with pytest.raises(sj.SpaceBusyError):
                store.write(timeout=0.05).__enter__()
        child.say()
        child.hear()
        with store.transaction(timeout=60):
            tree[1] += 10

    with contextlib.ExitStack() as stack:
        with getattr(store, how)():
            if how != "read":
                tree[1] = 2
            child = stack.enter_context(forked(look))
            assert child.hear() == b"."
            if how != "read":
                tree[2] = 2
        child.say()
        assert child.end() == 0
    assert tree[1] == (11 if how == "read" else 12)
    assert (2 in tree) == (how != "read")
    assert store.check().leaked_blocks == 0


def test_a_child_leaves_its_parents_block_without_ending_it(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    pid, code = os.getpid(), 1
    child = pid
    try:
        with store.transaction():
            tree[1] = 1
            child = os.fork()  # both processes leave the block
            if os.getpid() == pid:
                tree[2] = 2
        if os.getpid() != pid:
            with store.transaction(timeout=60):
                assert dict(tree.items()) == {1: 1, 2: 2}
                tree[3] = 3
            code = 0
    finally:
        if os.getpid() != pid:
            os._exit(code)
    assert wait_for(child) == 0
    assert dict(tree.items()) == {1: 1, 2: 2, 3: 3}


def test_a_child_that_is_killed_in_its_transaction_leaves_the_parent_in_order(
    store: sj.Store,
) -> None:
    tree = store.btree("t", key="int", value="int")
    tree.update({n: n for n in range(300)})

    def hold(child: Child) -> None:
        with store.transaction():
            tree.clear()
            tree[1] = -1
            child.say()
            child.hear()

    with forked(hold) as child:
        child.hear()
        with pytest.raises(sj.SpaceBusyError):
            store.read(timeout=0.05).__enter__()
        child.kill()
    assert dict(tree.items()) == {n: n for n in range(300)}
    assert store.check().leaked_blocks == 0


def test_a_fork_while_other_threads_write_is_no_danger(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    stop = threading.Event()

    def write(number: int) -> None:
        n = 0
        while not stop.is_set():
            with store.transaction():
                tree[number] = n
                tree[number + 10] = n
            n += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    with eager_threads():
        for thread in threads:
            thread.start()
        try:
            for _ in range(25):

                def use() -> None:
                    with store.read(timeout=60):
                        assert tree.get(0) == tree.get(10)
                    with store.transaction(timeout=60):
                        tree[100] = tree.get(100, 0) + 1

                in_child(use)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert tree[100] == 25


# --- nobody starves -----------------------------------------------------------------------------


def test_a_writer_gets_in_while_readers_loop(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 0

    def read(child: Child) -> None:
        child.say()
        while True:
            with store.read():
                assert len(tree) == 1

    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(forked(read)).hear()
        for n in range(50):
            with store.transaction(timeout=60):
                tree[1] = n
    assert tree[1] == 49


def test_readers_get_in_while_a_writer_loops(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 0

    def write(child: Child) -> None:
        child.say()
        while True:
            with store.transaction():
                tree[1] += 1

    with forked(write) as child, forked(write) as other:
        child.hear()
        other.hear()
        seen: set[int] = set()
        while len(seen) < 50:
            with store.read(timeout=60):
                seen.add(tree[1])
        with store.write(timeout=60):
            assert tree[1] >= max(seen)


def test_a_thread_gets_in_while_another_one_loops(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree[1] = 0
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with store.transaction():
                tree[1] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            with store.transaction(timeout=60):
                tree[2] = tree.get(2, 0) + 1
            with store.read(timeout=60):
                assert tree[1] >= 0
    finally:
        stop.set()
        thread.join()
    assert tree[2] == 20


def test_a_wait_lets_other_threads_run(store: sj.Store) -> None:
    def hold(child: Child) -> None:
        with store.write():
            child.say()
            child.hear()

    ticks = 0
    with forked(hold) as child:
        child.hear()
        waiter = threading.Thread(target=lambda: len(store.roots))
        waiter.start()
        while ticks < 20:
            time.sleep(0.001)
            ticks += 1
        assert waiter.is_alive()
        child.say()
        waiter.join()
        assert child.end() == 0


# --- programs -----------------------------------------------------------------------------------


def test_unrelated_programs_share_a_store(home: Path) -> None:
    code = """
import sys, spacejmp as sj
with sj.open("genes", home=sys.argv[1]) as store:
    counts = store.hashmap("counts", key="str", value="int")
    for _ in range(200):
        with store.transaction():
            counts["all"] = counts.get("all", 0) + 1
"""
    together([lambda: run_python(code, str(home))] * 3, processes=False)
    with sj.open("genes", home=home) as store:
        assert store["counts"]["all"] == 600
