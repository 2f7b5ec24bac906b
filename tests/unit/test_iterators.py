# SPDX-License-Identifier: Apache-2.0
"""Iterators that are used while they are being used, and after they have failed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import random
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


NUMBERS = [0, 1, -1, 255, 256, 257, 1024, 1025, 2**30 - 1, 2**30, -(2**30), 2**60 - 1, 2**60]
NUMBERS += [-(2**60), 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["int", "float"])
def test_numbers_that_are_kept_stay_what_they_are(
    store: sj.Store, kind: str, value: str, rng: random.Random
) -> None:
    """Numbers of a batch that nobody has are made anew in place; others never change."""
    table = getattr(store, kind)("m", key="int", value=value)
    number = int if value == "int" else float
    model = {key: number(-key) if key > -(2**63) else number(5) for key in NUMBERS}
    for _ in range(4000):
        key = rng.getrandbits(rng.choice((8, 29, 31, 59, 61, 63))) * rng.choice((1, -1))
        model[key] = number(rng.getrandbits(rng.choice((8, 31, 63))))
    table.update(model)
    for every in (1, 2, 3, 7, 1000):
        kept = [key for at, key in enumerate(table) if at % every == 0]
        assert kept == list(table)[::every]
        values = [found for at, found in enumerate(table.values()) if at % every == 0]
        assert values == [model[key] for key in kept]
        pairs = [pair for at, pair in enumerate(table.items()) if at % every == 0]
        assert pairs == list(zip(kept, values, strict=True))
        parts = [part for at, pair in enumerate(table.items()) for part in pair if at % every == 0]
        assert parts == [part for pair in pairs for part in pair]
    assert dict(table.items()) == model
    assert {pair: hash(pair) for pair in table.items()} == {p: hash(p) for p in model.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_python_shares_stay_shared(store: sj.Store, kind: str) -> None:
    table = getattr(store, kind)("m", key="int", value="int")
    table.update({n: n % 7 for n in range(3000)})
    for _ in range(3):
        for _pair in table.items():
            pass
        for _key in table:
            pass
    assert [n + 0 for n in range(-5, 257)] == list(range(-5, 257))
    assert sum(range(257)) == 256 * 257 // 2
    assert sorted(table) == list(range(3000))
