# SPDX-License-Identifier: Apache-2.0
"""`Deque`: the interface of `collections.deque`, live iterators, limits, refusals."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import MutableSequence
from typing import TYPE_CHECKING, Any

import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def numbers(store: sj.Store) -> sj.Deque:
    made = store.deque("numbers", value="int")
    made.extend(range(200))
    return made


# --- it is a deque -------------------------------------------------------------------------------


def test_it_has_all_that_a_deque_has(numbers: sj.Deque) -> None:
    missing = {name for name in dir(deque) if not hasattr(numbers, name)}
    assert missing <= {"__class_getitem__", "__copy__", "__getstate__"}
    assert issubclass(sj.Deque, MutableSequence)
    with pytest.raises(TypeError):
        hash(numbers)


def test_it_compares_with_deques(store: sj.Store) -> None:
    one, other = store.deque("one"), store.deque("other")
    one.extend([1, 2])
    other.extend([1, 3])
    assert one == deque([1, 2])
    assert deque([1, 2]) == one
    assert one != other
    assert one != [1, 2]
    assert one < other <= deque([1, 3])
    assert deque([2]) > one
    assert other >= one
    with pytest.raises(TypeError):
        _ = one < [1, 3]


def test_its_operators_give_what_a_deques_give(store: sj.Store) -> None:
    d = store.deque("d", maxlen=4)
    d.extend("abc")
    model = deque("abc", 4)
    for found, expected in (
        (d + deque("xy"), model + deque("xy")),
        (deque("xy") + d, deque("xy") + model),
        (d + d, model + model),
        (d * 2, model * 2),
        (2 * d, 2 * model),
        (d.copy(), model.copy()),
    ):
        assert (found, found.maxlen) == (expected, expected.maxlen)
    with pytest.raises(TypeError):
        _ = d + ["x"]  # noqa: RUF005 - the operator is what is tested
    same = d
    d += "xy"
    model += "xy"
    assert d is same
    assert d == model
    d *= 3
    model *= 3
    assert d == model
    d *= 0
    assert len(d) == 0
    assert not d


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda d: d.pop(), IndexError),
        (lambda d: d.popleft(), IndexError),
        (lambda d: d[0], IndexError),
        (lambda d: d[-1], IndexError),
        (lambda d: d.__setitem__(0, 1), IndexError),
        (lambda d: d.__delitem__(0), IndexError),
        (lambda d: d.remove(5), ValueError),
        (lambda d: d.index(5), ValueError),
        (lambda d: d[0:1], TypeError),
        (lambda d: d["0"], TypeError),
        (lambda d: d.rotate("1"), TypeError),
        (lambda d: d.append("text"), TypeError),
        (lambda d: d.append(2**64), OverflowError),
        (lambda d: d.extend([1, "text"]), TypeError),
        (lambda d: d.extend(5), TypeError),
    ],
)
def test_what_is_refused_changes_nothing(
    store: sj.Store, call: Callable[[sj.Deque], Any], expected: type[Exception]
) -> None:
    empty = store.deque("empty", value="int")
    with pytest.raises(expected):
        call(empty)
    assert list(empty) == []


# --- limits --------------------------------------------------------------------------------------


def test_a_maxlen_is_for_good(store: sj.Store, home: Path) -> None:
    store.deque("last", maxlen=3).extend(range(10))
    assert store.deque("last") is store.deque("last", maxlen=3)
    with pytest.raises(sj.InvalidArgumentError, match="found 3"):
        store.deque("last", maxlen=4)
    store.deque("none", maxlen=0).append(1)
    assert list(store.deque("none", maxlen=0)) == []
    assert store.deque("any").maxlen is None
    with pytest.raises(ValueError, match="non-negative"):
        store.deque("bad", maxlen=-1)
    assert "bad" not in store.roots
    store.queue("q", maxsize=2)
    with pytest.raises(sj.InvalidArgumentError):
        store.queue("q", maxsize=0)
    assert store.queue("unlimited", maxsize=-1).maxsize == 0
    with sj.open("store", "r", home=home) as reading:
        assert list(reading.deque("last", maxlen=3)) == [7, 8, 9]
        with pytest.raises(sj.NotFoundError):
            reading.deque("missing", maxlen=3)


def test_a_full_deque_takes_no_insert(store: sj.Store) -> None:
    full = store.deque("full", maxlen=2)
    full.extend("ab")
    with pytest.raises(IndexError, match="maximum size"):
        full.insert(1, "x")
    assert list(full) == ["a", "b"]


# --- iterators -----------------------------------------------------------------------------------


def test_an_iterator_is_live_and_ends(numbers: sj.Deque) -> None:
    seen = []
    for number in numbers:
        seen.append(number)
        numbers.append(number)
    assert seen == list(range(200))
    assert len(numbers) == 400


def test_an_iterator_goes_by_position(numbers: sj.Deque) -> None:
    items = iter(numbers)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    numbers.popleft()
    assert next(items) == 4
    numbers.appendleft(-1)
    assert next(items) == 4
    while len(numbers) > 7:
        numbers.pop()
    assert list(items) == [5, 6]
    assert list(items) == []


def test_a_reversed_one_goes_on_from_the_end_that_there_is(numbers: sj.Deque) -> None:
    items = reversed(numbers)
    assert [next(items) for _ in range(3)] == [199, 198, 197]
    while len(numbers) > 5:
        numbers.pop()
    assert list(items) == [4, 3, 2, 1, 0]
    items = reversed(numbers)
    next(items)
    numbers.clear()
    assert list(items) == []


def test_iterators_of_a_closed_store_raise(home: Path) -> None:
    with sj.open("store", home=home) as store:
        made = store.deque("d")
        made.extend(range(5))
        items = iter(made)
        next(items)
    for action in (lambda: next(items), lambda: made.append(1), lambda: made[0], made.copy):
        with pytest.raises(sj.DetachedError):
            action()
    assert repr(made) == "<Deque 'd' of a closed store>"


# --- in a store ----------------------------------------------------------------------------------


def test_it_is_found_again(store: sj.Store) -> None:
    d, q = store.deque("d", value="str", maxlen=9), store.queue("q", maxsize=3)
    d.append("x")
    assert store["d"] is d
    assert store["q"] is q
    assert repr(d) == "<Deque 'd', value 'str', maxlen 9, 1 items>"
    assert repr(q) == "<Queue 'q', value 'any', maxsize 3, 0 items>"
    assert list(pickle.loads(pickle.dumps(d))) == ["x"]
    assert {name: root.kind for name, root in store.roots.items()} == {"d": "deque", "q": "queue"}
    with pytest.raises(sj.StructureTypeError):
        store.queue("d")
    with pytest.raises(sj.CodecMismatchError):
        store.deque("d", value="int")


def test_it_is_gone_when_it_is_dropped_or_undone(store: sj.Store) -> None:
    dropped = store.deque("d")
    dropped.extend(range(100))
    store.drop("d")
    with pytest.raises(sj.NotFoundError):
        dropped.append(1)
    with store.transaction() as tx:
        undone = store.deque("d", maxlen=5)
        undone.append(1)
        tx.abort()
    with pytest.raises(sj.NotFoundError):
        undone.append(1)
    assert store.check().structures == 0
    assert store.stats().live_blocks == 0


def test_it_holds_structures_and_is_held(store: sj.Store) -> None:
    outer, jobs = store.deque("outer"), store.queue("jobs")
    inner = store.new_deque(value="int", maxlen=2)
    inner.extend([1, 2, 3])
    outer.append(inner)
    outer.extend([store.new_queue(maxsize=1), {"deep": [store.new_btree()]}])
    jobs.put(inner)
    jobs.put_many([outer[1], 5])
    assert list(outer[0]) == [2, 3]
    assert outer[0].maxlen == 2
    assert jobs.get() == inner
    outer[1].put("item")
    assert jobs.get().get() == "item"
    store.collect()
    assert list(outer[0]) == [2, 3]
    outer.clear()
    jobs.clear()
    del inner
    store.collect()
    assert store.check().leaked_blocks == 0
    assert store.check().structures == 2


def test_large_values_and_many_of_them(store: sj.Store) -> None:
    texts = store.deque("texts", value="str")
    items = [("é" * (n % 50)) + "x" * (n * 37 % 3000) for n in range(500)]
    texts.extend(items)
    assert list(texts) == items
    texts.extendleft(items[:7])
    assert texts[0] == items[6]
    assert [texts[n] for n in (-1, -200, 250)] == [items[-1], items[-200], items[243]]
    with pytest.raises(sj.TooLargeError):
        texts.append("x" * (2 << 30))
