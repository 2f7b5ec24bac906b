# SPDX-License-Identifier: Apache-2.0
"""`Set` behaves as `set`, `SortedSet` as sortedcontainers', through transactions and reopening."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import Any

import pytest
import sortedcontainers
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model.mapping_cases import KEYS, alike, key_number, model_key

import spacejmp as sj

KEY = st.runner().flatmap(lambda machine: KEYS[machine.key])
SOME = st.lists(KEY, max_size=8)
MANY = st.tuples(st.integers(0, 300), st.integers(1, 120))
POSITION = st.integers(-5, 60)
MAYBE_POSITION = st.none() | POSITION
ALGEBRA = ("union", "intersection", "difference", "symmetric_difference")
QUESTIONS = ("issubset", "issuperset", "isdisjoint")
OPERATORS = ("__or__", "__ror__", "__and__", "__rand__", "__sub__", "__rsub__", "__xor__")
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
UPDATES = ("update", "intersection_update", "difference_update", "symmetric_difference_update")

THOROUGH = settings(
    deadline=None,
    max_examples=12,
    stateful_step_count=30,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)


class SetMachine(RuleBasedStateMachine):
    """The rules for both; a subclass names the codec."""

    kind = "set"
    key: str

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir="/dev/shm")
        self.holds: list[sj.Hold] = []
        self.saved: list[Any] = []
        self.model: Any = self.empty_model()
        self.open()

    def empty_model(self) -> Any:
        return set()

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30)
        self.set: Any = getattr(self.store, self.kind)("set", key=self.key)

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.home)

    def both(self, name: str, *arguments: Any) -> None:
        """Call the same method of both: the same result, or the same exception."""
        results = []
        for target in (self.set, self.model):
            try:
                result = getattr(target, name)(*arguments)
                results.append(None if result is target else result)  # SortedSet.update()
            except (KeyError, IndexError, ValueError) as error:
                results.append(type(error))
        assert alike(*results), (name, arguments, results)

    def some(self, number: int) -> Any:
        """An element, or a key that may be one."""
        there = list(self.model)
        return there[number % len(there)] if there else key_number(self.key, abs(number))

    @invariant()
    def is_equal_and_whole(self) -> None:
        assert len(self.set) == len(self.model)
        found = list(self.set)
        assert len(found) == len(self.model)
        assert set(found) == set(self.model)
        # Equal keys may be of several types: which of them an intersection keeps, set leaves open.
        report = self.store.check()
        assert (report.structures, report.items) == (1, len(self.model))
        assert report.leaked_blocks == 0 or self.holds

    @rule(key=KEY)
    def add(self, key: Any) -> None:
        self.both("add", key)

    @rule(key=KEY, number=POSITION, there=st.booleans(), quiet=st.booleans())
    def remove(self, key: Any, number: int, there: bool, quiet: bool) -> None:
        self.both("discard" if quiet else "remove", self.some(number) if there else key)

    @rule(key=KEY, number=POSITION)
    def look(self, key: Any, number: int) -> None:
        self.both("__contains__", key)
        self.both("__contains__", self.some(number))

    @rule(change=MANY, name=st.sampled_from(UPDATES[::2]))
    def many(self, change: tuple[int, int], name: str) -> None:
        keys = [key_number(self.key, n) for n in range(change[0], sum(change))]
        self.both(name, keys)

    @rule(name=st.sampled_from(UPDATES), others=SOME, number=POSITION)
    def update(self, name: str, others: list[Any], number: int) -> None:
        self.both(name, [*others, self.some(number)])

    @rule(number=POSITION, others=SOME)
    def in_place(self, number: int, others: list[Any]) -> None:
        other = {*others, self.some(number)}
        mine, model = self.set, self.model
        mine |= other
        model |= other
        mine -= set(others[::2])
        model -= set(others[::2])
        mine ^= other
        model ^= other
        assert mine is self.set

    @rule(number=POSITION)
    def pop(self, number: int) -> None:
        """Which one is popped hangs on a random seed: so it is not the one that is gone then."""
        with contextlib.suppress(KeyError):
            popped = self.set.pop()
            assert popped in self.model
            self.set.add(popped)
            self.both("remove", self.some(number))

    @rule()
    def clear(self) -> None:
        self.both("clear")

    @rule(others=SOME, number=POSITION, rest=SOME, whole=st.booleans())
    def algebra(self, others: list[Any], number: int, rest: list[Any], whole: bool) -> None:
        other = {*others, self.some(number), *(self.model if whole else ())}
        model = set(self.model)
        for name in ALGEBRA:
            assert getattr(self.set, name)(other) == getattr(model, name)(other)
        for name in ALGEBRA[:3]:
            assert getattr(self.set, name)(other, rest) == getattr(model, name)(other, rest)
        for name in QUESTIONS:
            assert getattr(self.set, name)(iter(other)) == getattr(model, name)(iter(other))
        for name in (*OPERATORS, *COMPARISONS):
            found = getattr(self.set, name)(other)
            assert found == getattr(model, name)(other), name
            assert type(found) in (set, bool)
        assert type(self.set.copy()) is type(self.empty_model())
        assert self.set.copy() == model

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        self.holds.append(self.store.transaction().__enter__())
        self.saved.append(self.model.copy())

    @precondition(lambda self: self.holds)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        hold, before = self.holds.pop(), self.saved.pop()
        if not commit:
            hold.abort()
            self.model = before
        hold.__exit__(None, None, None)

    @precondition(lambda self: not self.holds)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()


class SortedSetMachine(SetMachine):
    kind = "sortedset"

    def empty_model(self) -> Any:
        return sortedcontainers.SortedSet(key=model_key if self.key == "any" else None)

    @invariant()
    def is_in_order(self) -> None:
        assert list(self.set) == list(self.model)
        assert list(reversed(self.set)) == list(reversed(self.model))

    @rule()
    def pop(self) -> None:
        self.both("pop")

    @rule(index=POSITION)
    def positions(self, index: int) -> None:
        self.both("__getitem__", index)
        self.both("pop", index)

    @rule(index=POSITION)
    def delete(self, index: int) -> None:
        self.both("__delitem__", index)

    @rule(
        start=MAYBE_POSITION,
        stop=MAYBE_POSITION,
        step=st.none() | st.integers(-4, 4).filter(bool),
        gone=st.booleans(),
    )
    def slices(self, start: int | None, stop: int | None, step: int | None, gone: bool) -> None:
        part = slice(start, stop, step)
        assert alike(self.set[part], list(self.model)[part])
        if gone:
            self.both("__delitem__", part)

    @rule(low=st.none() | KEY, high=st.none() | KEY, reverse=st.booleans(), number=POSITION)
    def ranges(self, low: Any, high: Any, reverse: bool, number: int) -> None:
        for bounds in ((low, high), (self.some(number), high)):
            found = self.set.irange(*bounds, (True, False), reverse)
            assert alike(list(found), list(self.model.irange(*bounds, (True, False), reverse)))
        found = self.set.islice(number, None, reverse)
        assert alike(list(found), list(self.model.islice(number, None, reverse)))

    @rule(key=KEY, number=POSITION, start=MAYBE_POSITION)
    def ranks(self, key: Any, number: int, start: int | None) -> None:
        for each in (key, self.some(number)):
            for name in ("bisect_left", "bisect_right", "bisect", "index", "count"):
                self.both(name, each)
            self.both("index", each, start)

    @rule(start=st.integers(0, 300), count=st.integers(0, 400))
    def bulk_load(self, start: int, count: int) -> None:
        keys = [key_number(self.key, n) for n in range(start, start + count)]
        if self.key == "any":
            keys.sort(key=model_key)
        if self.model:
            with pytest.raises(sj.InvalidArgumentError, match="empty"):
                self.set.bulk_load(keys)
        else:
            self.set.bulk_load(keys)
            self.model.update(keys)


@pytest.mark.parametrize("key", ["int", "float", "bytes", "str", "any"])
@pytest.mark.parametrize("machine", [SetMachine, SortedSetMachine])
def test_a_set_behaves_as_one_in_memory(machine: type[SetMachine], key: str) -> None:
    named = type("Named", (machine,), {"key": key})
    run_state_machine_as_test(named, settings=THOROUGH)
