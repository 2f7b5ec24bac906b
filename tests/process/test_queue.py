# SPDX-License-Identifier: Apache-2.0
"""`Queue` between processes: every item is got once, whoever waits is woken, whoever dies."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from children import Child, forked, run_python

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs but fresh ones.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def threads(*actions: Callable[[], object]) -> Callable[[], None]:
    """Start all actions, each in a thread; what is returned waits for them."""
    failed: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            failed.append(error)

    started = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in started:
        thread.start()

    def join() -> None:
        for thread in started:
            thread.join()
        if failed:
            raise failed[0]

    return join


# --- all are served ------------------------------------------------------------------------------


@pytest.mark.parametrize("maxsize", [0, 3])
@pytest.mark.parametrize("value", ["int", "any"])
def test_each_item_is_got_once_and_in_order(store: sj.Store, value: str, maxsize: int) -> None:
    jobs = store.queue("jobs", value=value, maxsize=maxsize)
    got = store.deque("got", value="any")
    makers, takers, rounds = 3, 3, 400

    def make(number: int) -> None:
        for n in range(0, rounds, 2):
            first = number * rounds + n
            if n % 20 == 0:
                jobs.put_many([first, first + 1])
            else:
                jobs.put(first)
                jobs.put(first + 1)

    def take() -> None:
        mine = []
        while (item := jobs.get()) >= 0:
            mine.append(item)
            if item % 7 == 0:
                with contextlib.suppress(queue.Empty):
                    mine += jobs.get_many(3, block=False)
            while mine[-1] < 0:
                jobs.put(mine.pop())  # it was for another one, or for this one
        got.append(mine)

    with contextlib.ExitStack() as stack:
        consumers = [stack.enter_context(forked(lambda _: take())) for _ in range(takers)]
        producers = [
            stack.enter_context(forked(lambda _, i=i: make(i)))  # type: ignore[misc]
            for i in range(makers)
        ]
        assert [child.end() for child in producers] == [0] * makers
        for _ in range(takers):
            jobs.put(-1)
        assert [child.end() for child in consumers] == [0] * takers
    parts = list(got)
    assert sorted(item for part in parts for item in part) == list(range(makers * rounds))
    for part in parts:
        for maker in range(makers):
            own = [item for item in part if item // rounds == maker]
            assert own == sorted(own)
    assert jobs.empty()


def test_a_full_queue_makes_putters_wait(store: sj.Store) -> None:
    jobs = store.queue("jobs", value="int", maxsize=2)
    jobs.put_many([0, 1])
    with pytest.raises(queue.Full):
        jobs.put_nowait(2)
    with pytest.raises(queue.Full):
        jobs.put(2, timeout=0.01)
    with pytest.raises(queue.Full):
        jobs.put_many([2, 3], timeout=0.01)

    def put(child: Child) -> None:
        child.say()
        jobs.put(2)
        jobs.put_many([3, 4])

    with forked(put) as child:
        child.hear()
        assert [jobs.get() for _ in range(5)] == list(range(5))
        assert child.end() == 0


def test_those_who_wait_are_woken(store: sj.Store) -> None:
    jobs, done = store.queue("jobs"), store.queue("done")

    def answer(child: Child) -> None:
        for _ in range(50):
            done.put(jobs.get() + 1)

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(forked(answer))
        for n in range(200):
            jobs.put(n)
            assert done.get() == n + 1


# --- transactions --------------------------------------------------------------------------------


def test_what_is_put_in_a_transaction_comes_with_its_end(store: sj.Store) -> None:
    jobs, done = store.queue("jobs"), store.queue("done")
    with forked(lambda _: done.put(jobs.get_many(10))) as child:
        with store.transaction():
            jobs.put(1)
            jobs.put(2)
            with pytest.raises(ZeroDivisionError), store.transaction():
                jobs.put(3)
                _ = 1 / 0
        assert done.get() == [1, 2]
        assert child.end() == 0


def test_an_item_that_was_being_taken_comes_back(store: sj.Store) -> None:
    jobs, done = store.queue("jobs"), store.deque("done")
    jobs.put_many(["first", "second"])

    def die(child: Child) -> None:
        with jobs.taking() as item:
            done.append(item)
            child.say()
            signal.pause()

    with forked(die) as child:
        child.hear()
        child.kill()
    assert list(done) == []
    with pytest.raises(ZeroDivisionError), jobs.taking() as item:
        done.append(item)
        _ = 1 / 0
    with jobs.taking() as item:
        done.append(item)
    assert list(done) == ["first"]
    assert jobs.get() == "second"
    with pytest.raises(queue.Empty), jobs.taking(timeout=0.01):
        pass


def test_what_comes_back_wakes_others(store: sj.Store) -> None:
    jobs, done = store.queue("jobs"), store.queue("done")

    def refuse_one(child: Child) -> None:
        with contextlib.suppress(ZeroDivisionError), jobs.taking():
            _ = 1 / 0
        child.say()
        with jobs.taking() as item:
            done.put(item)

    with forked(refuse_one) as one, forked(refuse_one) as other:
        jobs.put(1)
        jobs.put(2)
        assert sorted([done.get(), done.get()]) == [1, 2]
        assert (one.end(), other.end()) == (0, 0)


def test_nothing_waits_inside_of_a_hold(store: sj.Store) -> None:
    jobs = store.queue("jobs", maxsize=1)
    with store.transaction():
        with pytest.raises(sj.HoldError, match="taking"):
            jobs.get(timeout=5)
        with pytest.raises(queue.Empty):
            jobs.get_nowait()
        jobs.put(1)
        with pytest.raises(sj.HoldError):
            jobs.put(2)
        with pytest.raises(queue.Full):
            jobs.put_nowait(2)
        assert jobs.get() == 1
    with store.read(), pytest.raises(sj.HoldUpgradeError):
        jobs.get()


# --- ends of waits -------------------------------------------------------------------------------


def test_dropping_a_queue_ends_the_waits(store: sj.Store) -> None:
    jobs, full = store.queue("jobs"), store.queue("full", maxsize=1)
    full.put(0)

    def wait_in_vain(child: Child) -> None:
        for action in (jobs.get, lambda: full.put(1)):
            child.say()
            with pytest.raises(sj.NotFoundError):
                action()

    with forked(wait_in_vain) as one, forked(wait_in_vain) as other:
        for name in ("jobs", "full"):
            one.hear()
            other.hear()
            store.drop(name)
        assert (one.end(), other.end()) == (0, 0)


def test_a_signal_ends_the_wait(store: sj.Store) -> None:
    jobs = store.queue("jobs")

    def wait(child: Child) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            child.say()
            jobs.get()
        jobs.put("still there")

    with forked(wait) as child:
        child.hear()
        os.kill(child.pid, signal.SIGINT)
        assert child.end() == 0
    assert jobs.get_nowait() == "still there"


def test_a_store_is_not_closed_while_threads_wait(store: sj.Store) -> None:
    jobs = store.queue("jobs")
    got: list[int] = []
    join = threads(lambda: got.append(jobs.get()))
    while store._space.waiting == 0:
        pass
    with pytest.raises(sj.SpaceBusyError):
        store.close()
    jobs.put(1)
    join()
    assert got == [1]


def test_a_store_for_reading_gives_and_takes_nothing(store: sj.Store, home: Path) -> None:
    store.queue("jobs").put(1)
    with sj.open("store", "r", home=home) as reading:
        jobs = reading.queue("jobs")
        assert (jobs.qsize(), jobs.empty(), jobs.full()) == (1, False, False)
        for action in (jobs.get, lambda: jobs.put(2), lambda: jobs.taking().__enter__()):
            with pytest.raises(sj.ReadOnlyError):
                action()


# --- other stores --------------------------------------------------------------------------------


def ping_pong(store: sj.Store, rounds: int) -> None:
    there, back = store.queue("there", value="int"), store.queue("back", value="int")

    def answer(child: Child) -> None:
        for _ in range(rounds):
            back.put(there.get())

    with forked(answer) as child:
        for n in range(rounds):
            there.put(n)
            assert back.get() == n
        assert child.end() == 0


@pytest.mark.parametrize("durability", ["process", "power"])
def test_stores_on_disks_have_queues(disk_home: Path, durability: Any) -> None:
    with sj.open("q", home=disk_home, reserve=1 << 30, durability=durability) as store:
        ping_pong(store, 30)
        assert store.check().leaked_blocks == 0


def test_threads_of_a_private_attachment_have_queues(store: sj.Store, home: Path) -> None:
    store.queue("jobs").put(0)
    with sj.open("store", home=home, private=True) as private:
        jobs = private.queue("jobs")
        assert jobs.get() == 0
        taken: list[int] = []
        join = threads(lambda: taken.append(jobs.get()), lambda: taken.append(jobs.get()))
        jobs.put_many([1, 2])
        join()
        assert sorted(taken) == [1, 2]
    assert store.queue("jobs").qsize() == 1


def test_who_waits_is_in_nobodys_way(home: Path) -> None:
    """The waiting thread's store is parked: another one is where it was."""
    with sj.open("one", home=home, reserve=1 << 30) as one:
        jobs = one.queue("jobs")
        taken: list[int] = []
        with sj.open("other", home=home, reserve=1 << 30, base=one.base) as other:
            assert other.base == one.base
            join = threads(lambda: taken.append(jobs.get()))
            numbers = other.deque("numbers", value="int")
            for n in range(200):
                numbers.append(n)
            assert list(numbers) == list(range(200))
            jobs.put(7)
            join()
    assert taken == [7]


def test_processes_that_share_nothing_else_hand_over(home: Path) -> None:
    with sj.open("q", home=home, reserve=1 << 30) as store:
        jobs, done = store.queue("jobs"), store.queue("done")
        jobs.put_many(range(20))
        code = (
            "import sys, spacejmp as sj\n"
            "with sj.open('q', home=sys.argv[1]) as store:\n"
            "    jobs, done = store['jobs'], store['done']\n"
            "    while (n := jobs.get()) is not None:\n"
            "        done.put(n * n)\n"
        )
        join = threads(lambda: run_python(code, str(home)))
        assert [done.get() for _ in range(20)] == [n * n for n in range(20)]
        jobs.put(None)
        join()


# --- deaths --------------------------------------------------------------------------------------


def test_what_was_acknowledged_is_got_once_whoever_is_killed(
    store: sj.Store, rng: random.Random
) -> None:
    """Makers note what they put, takers what they got, each in one transaction with it."""
    jobs = store.queue("jobs", maxsize=20)
    made, got = store.deque("made", value="int"), store.deque("got", value="int")
    numbers = store.hashmap("numbers", key="int", value="int")

    def make(number: int) -> None:
        while True:
            with store.transaction():
                if not jobs.full():
                    n = numbers[number] = numbers.get(number, 0) + 1
                    jobs.put(number * 1_000_000 + n)
                    made.append(number * 1_000_000 + n)

    def take() -> None:
        while True:
            with jobs.taking() as item:
                got.append(item)

    def start() -> Child:
        number = rng.randrange(1, 900)
        return Child((lambda _: make(number)) if rng.random() < 0.5 else (lambda _: take()))

    def end_all(children: list[Child]) -> None:
        for child in children:
            child.kill()

    crew = [start() for _ in range(5)]
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, crew)
        for _ in range(40):
            target = len(made) + len(got) + rng.randrange(10)
            for _ in range(200):
                if len(made) + len(got) > target:
                    break
                threading.Event().wait(0.001)  # makers or takers alone come to a stop
            crew.pop(rng.randrange(len(crew))).kill()
            crew.append(start())
    left = jobs.get_many(100) if not jobs.empty() else []
    assert list(got) + left == list(made)
    report = store.check()
    assert report.leaked_blocks == 0
