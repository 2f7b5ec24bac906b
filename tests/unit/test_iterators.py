# SPDX-License-Identifier: Apache-2.0
"""Iterators that are used while they are being used, and after they have failed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import spacejmp as sj

KINDS = ("btree", "hashmap")

current: list[Iterator[Any]] = []
gate = threading.Barrier(2, timeout=60)


class Nested:
    """A value that, when it is read, asks the iterator that reads it for more."""

    def __reduce__(self) -> tuple[Any, ...]:
        return read_nested, ()


def read_nested() -> str:
    for iterator in current:
        for _ in iterator:
            pass
    return "nested"


def read_in_two_threads() -> str:
    for iterator in current:
        gate.wait()  # the other thread is about to ask
        gate.wait()  # it has its answer
        current.remove(iterator)
    return "waited"


class Waiting:
    def __reduce__(self) -> tuple[Any, ...]:
        return read_in_two_threads, ()


class Broken:
    def __reduce__(self) -> tuple[Any, ...]:
        return read_broken, ()


def read_broken() -> str:
    raise ArithmeticError("broken")


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest, store: sj.Store) -> sj.BTree | sj.HashMap:
    made: sj.BTree | sj.HashMap = getattr(store, request.param)("m", key="int", value="pickle")
    return made


def test_an_iterator_that_its_own_value_asks_for_more_refuses(
    table: sj.BTree | sj.HashMap,
) -> None:
    table.update({number: Nested() for number in range(300)})
    iterator = iter(table.values())
    current[:] = [iterator]
    try:
        with pytest.raises(ValueError, match="already"):
            list(iterator)
    finally:
        current.clear()
    assert list(table.values()) == ["nested"] * 300


def test_an_iterator_that_another_thread_is_reading_from_refuses(
    table: sj.BTree | sj.HashMap,
) -> None:
    table.update({number: Waiting() for number in range(300)})
    iterator = iter(table.values())
    current[:] = [iterator]
    thread = threading.Thread(target=next, args=(iterator,))
    thread.start()
    gate.wait()
    with pytest.raises(ValueError, match="already"):
        next(iterator)
    gate.wait()
    thread.join()
    assert list(iterator) == ["waited"] * 299


def test_an_iterator_that_has_failed_has_ended(table: sj.BTree | sj.HashMap) -> None:
    table.update(dict.fromkeys(range(300), 0))
    table[150] = Broken()
    iterator = iter(table.values())
    seen = 0
    with pytest.raises(ArithmeticError):
        for _ in iterator:
            seen += 1
    assert seen < 300
    assert list(iterator) == []
