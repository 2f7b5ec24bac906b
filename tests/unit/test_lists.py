# SPDX-License-Identifier: Apache-2.0
"""`List` and `SortedList`: messages, iterators, references, other processes, what is atomic."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(home: Path) -> Iterator[sj.Store]:
    with sj.open("s", home=home) as opened:
        yield opened


def test_errors_are_those_of_a_list(store: sj.Store) -> None:
    numbers = store.list("numbers", value="int")
    with pytest.raises(IndexError, match="pop from empty list"):
        numbers.pop()
    numbers.extend(range(3))
    with pytest.raises(IndexError, match="list index out of range"):
        numbers[3]
    with pytest.raises(IndexError, match="list index out of range"):
        numbers[-4]
    with pytest.raises(IndexError, match="list assignment index out of range"):
        numbers[3] = 1
    with pytest.raises(IndexError, match="list assignment index out of range"):
        del numbers[-4]
    with pytest.raises(IndexError, match="pop index out of range"):
        numbers.pop(3)
    with pytest.raises(IndexError, match="cannot fit"):
        numbers[1 << 80]
    with pytest.raises(TypeError, match="indices must be integers or slices, not str"):
        numbers["1"]  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="can only assign an iterable"):
        numbers[:] = 1  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="size 1 to extended slice of size 2"):
        numbers[::2] = [1]
    with pytest.raises(ValueError, match="9 is not in list"):
        numbers.index(9)
    with pytest.raises(ValueError, match="x not in list"):
        numbers.remove(9)
    with pytest.raises(TypeError, match="codec 'int'"):
        numbers.append("1")
    with pytest.raises(OverflowError):
        numbers.append(1 << 64)
    assert numbers == [0, 1, 2]
    assert numbers != (0, 1, 2)
    assert numbers != 3


def test_an_extension_that_fails_adds_nothing(store: sj.Store) -> None:
    numbers = store.list("numbers", value="int")
    with pytest.raises(TypeError):
        numbers.extend([1, 2, "3"])
    with pytest.raises(ZeroDivisionError):
        numbers.extend(1 // n for n in (1, 0))
    assert len(numbers) == 0
    numbers.extend(range(1000))
    numbers.extend(numbers)
    assert numbers == [*range(1000), *range(1000)]


def test_sorting_is_stable_and_in_place(store: sj.Store) -> None:
    words = store.list("words", value="any")
    items: list[Any] = [["b", 1], ["a", 2], ["b", 0], ["a", 1]] * 300
    words.extend(items)
    words.sort(key=lambda item: item[0])
    assert words == sorted(items, key=lambda item: item[0])
    words.sort(key=lambda item: item[0], reverse=True)
    assert words == sorted(sorted(items, key=lambda i: i[0]), key=lambda i: i[0], reverse=True)
    words.append(1)
    with pytest.raises(TypeError):
        words.sort()

    def growing(item: Any) -> int:
        words.append(item)
        return 0

    with pytest.raises(ValueError, match="modified during sort"):
        words.sort(key=growing)


def test_iterators_are_live(store: sj.Store) -> None:
    numbers = store.list("numbers", value="int")
    numbers.extend(range(5))
    found = []
    for number in numbers:
        found.append(number)
        if number < 3:
            numbers.append(number + 10)
    assert found == [0, 1, 2, 3, 4, 10, 11, 12]
    backward = reversed(numbers)
    assert next(backward) == 12
    del numbers[2:]
    assert list(backward) == []  # as a plain list's iterator does
    forward = iter(numbers)
    assert list(forward) == [0, 1]
    numbers.append(2)
    assert list(forward) == []  # it has come to its end


def test_iterators_of_a_sorted_list_go_on_after_what_they_gave(store: sj.Store) -> None:
    numbers = store.sortedlist("numbers", key="int")
    for backward in (False, True):
        for ranged in (False, True):
            numbers.clear()
            numbers.update([*range(0, 100, 10), *[50] * 200])
            found: list[int] = []
            items = reversed(numbers) if backward else iter(numbers)
            if ranged:
                items = numbers.irange(0, 90, reverse=backward)
            for number in items:
                found.append(number)
                if len(found) % 3 == 0 and number != 50:
                    numbers.update([1, 2, 99])  # what comes before moves the rest up
                if len(found) == 100:
                    numbers.remove(50)
            there = [number for number in found if number % 10 == 0]
            expected = sorted([*range(0, 100, 10), *[50] * 199], reverse=backward)
            assert there == expected
            assert len(found) < 250
    with pytest.raises(TypeError):
        numbers.irange("3")
    with pytest.raises(TypeError):
        "3" in numbers  # noqa: B015


def test_a_sorted_list_says_where_things_go(store: sj.Store) -> None:
    numbers = store.sortedlist("numbers", key="int")
    for name, arguments in (
        ("append", [1]),
        ("extend", [[1]]),
        ("insert", [0, 1]),
        ("reverse", []),
        ("__setitem__", [0, 1]),
    ):
        with pytest.raises(NotImplementedError, match="sorted"):
            getattr(numbers, name)(*arguments)
    with pytest.raises(ValueError, match="7 not in list"):
        numbers.remove(7)
    numbers.discard(7)
    numbers.add(2.0)
    assert (2.5 in numbers, True in numbers, 2.0 in numbers) == (False, False, True)
    assert numbers.bisect_left(2.5) == 1


def test_lists_hold_structures(store: sj.Store) -> None:
    rows = store.list("rows")
    inner = store.new_list("int")
    rows.append(inner)
    rows.extend([{"again": inner}, [store.new_sortedlist("str")]])
    rows.insert(0, store.new_hashmap())
    inner.append(7)
    assert rows[1] is inner
    assert rows[2]["again"] == [7]
    rows[0] = None
    rows[3][0].add("b")
    del inner
    store.collect()
    assert rows[1] == [7]
    assert list(rows[3][0]) == ["b"]
    del rows[1:]
    store.collect()
    assert store.check().structures == 1
    again = pickle.loads(pickle.dumps(rows))
    assert again == rows
    again.store.close()


def test_what_another_process_does_is_seen(home: Path) -> None:
    program = (
        "import sys, spacejmp as sj\n"
        "with sj.open('s', home=sys.argv[1]) as store:\n"
        "    numbers = store['numbers']\n"
        "    assert numbers[-1] == 1999\n"
        "    del numbers[:1500]\n"
        "    numbers.append(-1)\n"
        "    store['words'].add('b')\n"
    )
    with sj.open("s", home=home) as store:
        numbers, words = store.list("numbers", "int"), store.sortedlist("words", "str")
        numbers.extend(range(2000))
        words.update("ac")
        assert numbers[1999] == 1999
        items = iter(numbers)
        assert next(items) == 0
        subprocess.run([sys.executable, "-c", program, str(home)], check=True)
        assert next(items) == 1501
        numbers.append(-2)
        assert numbers == [*range(1500, 2000), -1, -2]
        assert list(words) == ["a", "b", "c"]
        store.drop("numbers")
        with pytest.raises(sj.NotFoundError, match="numbers"):
            numbers.append(1)
        assert store.check().leaked_blocks == 0


def test_undone_changes_are_gone_from_the_handle_too(store: sj.Store) -> None:
    numbers = store.list("numbers", value="int")
    numbers.extend(range(600))
    with store.write():
        numbers.append(600)
        with store.transaction() as tx:
            del numbers[:]
            numbers.append(1)
            tx.abort()
        numbers.append(601)
        assert numbers == [*range(602)]


def test_a_thread_that_ends_inside_a_transaction_leaves_nothing(store: sj.Store) -> None:
    """The handle went on with a leaf that was made in there."""
    numbers = store.list("numbers", value="int")
    numbers.extend(range(20))

    def begin_and_end() -> None:
        hold = store.transaction()
        hold.__enter__()
        numbers.clear()
        numbers.extend(range(100, 120))
        assert numbers[0] == 100
        with pytest.warns(ResourceWarning, match="not left"):
            del hold

    thread = threading.Thread(target=begin_and_end)
    thread.start()
    thread.join()
    numbers.append(20)
    assert numbers == [*range(21)]
    assert store.check().leaked_blocks == 0


def test_roots_codecs_and_reprs(store: sj.Store) -> None:
    numbers, words = store.list("numbers", value="int"), store.sortedlist("words", key="str")
    assert store.roots["numbers"] == sj.RootInfo("numbers", "list", "", "int")
    assert store.roots["words"] == sj.RootInfo("words", "sortedlist", "str", "")
    assert (numbers.value, words.key, store.list("any").value) == ("int", "str", "any")
    assert repr(numbers) == "<List 'numbers', value 'int', 0 items>"
    assert repr(words) == "<SortedList 'words', key 'str', 0 items>"
    assert not numbers
    assert store["words"] is words
    with pytest.raises(sj.CodecMismatchError):
        store.list("numbers", value="str")
    with pytest.raises(sj.StructureTypeError, match="expected a sortedlist, found a list"):
        store.sortedlist("numbers")
    with pytest.raises(TypeError):
        hash(numbers)
