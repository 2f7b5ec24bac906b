# SPDX-License-Identifier: Apache-2.0
"""What may go on beside a collection, and in its progress function."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(home: Path) -> Iterator[sj.Store]:
    """A store so large that progress is told."""
    with sj.open("s", home=home) as opened:
        opened.array("big", 3_000_000, "i8")
        gc.collect()
        yield opened


def append(store: sj.Store) -> None:
    store.list("a").append(store.new_list())


def drop(store: sj.Store) -> None:
    store.drop("a")


@pytest.mark.parametrize("change", [append, drop, lambda store: store.list("other")])
def test_a_progress_function_cannot_change_what_is_collected(
    store: sj.Store, change: Callable[[sj.Store], Any]
) -> None:
    """A structure that was made after the mark was freed, though something led to it."""
    store.list("a").append(store.new_list())
    done: list[int] = []

    def progress(at: int, total: int) -> None:
        if not done:
            done.append(at)
            change(store)

    with pytest.raises(sj.HoldError, match="changed by the progress function"):
        store.collect(progress=progress)
    assert done
    gc.collect()
    store.check()
    store.collect()
    assert store.check().leaked_blocks == 0


def test_nor_what_a_repair_has_counted(store: sj.Store) -> None:
    for _ in range(50):
        store.new_list()
    calls: list[int] = []
    store.check(progress=lambda at, total: calls.append(at))
    last = len(calls)
    calls.clear()

    def progress(at: int, total: int) -> None:
        calls.append(at)
        if len(calls) == last:
            append(store)

    with pytest.raises(sj.HoldError):
        store.check(repair=True, progress=progress)
    gc.collect()
    store.check()


def test_what_threads_have_just_made_is_not_collected(home: Path) -> None:
    """What was made while the collection waited for the store was not among what is in use."""
    with sj.open("s", home=home) as store:
        ends = threading.Event()
        failed: list[Exception] = []
        rows = store.btree("rows", key="int")

        def make(thread: int) -> None:
            try:
                for i in range(300):
                    made = store.new_list()
                    made.append(i)
                    rows[thread * 100 + i % 50] = made
            except Exception as error:
                failed.append(error)
            finally:
                ends.set()

        threads = [threading.Thread(target=make, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        while not ends.is_set():
            store.collect()
        for thread in threads:
            thread.join()
        assert failed == []
        assert store.check().items >= 150


def test_a_codec_that_is_none_is_any(store: sj.Store) -> None:
    made = store.new_btree(key=None)  # type: ignore[arg-type]
    assert (made.key, made.value) == ("any", "any")
    with pytest.raises(ValueError, match="no key codec"):
        store.new_hashmap(key="")
    del made
    gc.collect()
    store.collect()
    assert store.check().leaked_blocks == 0


def test_sorted_lists_stay_sorted(store: sj.Store) -> None:
    """`*=` gave the variable a plain list, in which nothing was sorted."""
    numbers = store.sortedlist("n", key="int")
    numbers.update([3, 1])
    same = numbers
    numbers *= 2
    assert numbers is same
    assert list(numbers) == [1, 1, 3, 3]
    assert list(numbers + [0]) == [0, 1, 1, 3, 3]  # noqa: RUF005 - the operator is meant
    assert list(numbers * 2) == [1, 1, 1, 1, 3, 3, 3, 3]
    numbers *= 0
    assert len(numbers) == 0


def test_an_item_is_taken_once(store: sj.Store) -> None:
    jobs = store.queue("jobs")
    jobs.put_many([1, 2])
    taking = jobs.taking()
    with pytest.raises(sj.HoldError, match="not been entered"):
        taking.__exit__(None, None, None)
    with taking as item, pytest.raises(sj.HoldError, match="has been entered"):
        taking.__enter__()
    assert (item, jobs.qsize()) == (1, 1)
    with pytest.raises(TypeError):
        jobs.get_many(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxlen must be"):
        store.deque("d", maxlen=2**64)
