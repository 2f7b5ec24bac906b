# SPDX-License-Identifier: Apache-2.0
"""What the state machines of all mappings share: changes, transactions, reopening, dying.

The model is a plain mapping; an open transaction pushes a copy of it, which an abort brings back.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
from children import kill_inside
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from model.mapping_cases import KEYS, VALUES, alike, key_number, value_number

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["KEY", "POSITION", "MappingMachine"]

MISSING = object()
PARENT = "/dev/shm"

KEY = st.runner().flatmap(lambda machine: KEYS[machine.key])
VALUE = st.runner().flatmap(lambda machine: VALUES[machine.value])
POSITION = st.integers(-5, 60)
ITEMS = st.lists(st.tuples(KEY, VALUE), max_size=6)
CHANGE = st.one_of(
    st.tuples(st.just("set"), KEY, VALUE),
    st.tuples(st.just("delete"), KEY),
    st.tuples(st.just("update"), ITEMS),
    st.tuples(st.just("clear")),
    st.tuples(st.just("fill"), st.integers(0, 500), st.integers(1, 120)),
    st.tuples(st.just("drain"), st.integers(0, 500), st.integers(1, 120)),
)


def as_array(codec: str, objects: list[Any]) -> Any:
    """The objects as an array of the codec, where there is one that keeps them as they are."""
    if codec in ("int", "float"):
        return np.array(objects, np.int64 if codec == "int" else np.float64)
    return objects


class MappingMachine(RuleBasedStateMachine):
    """The rules for every mapping; a subclass names kind and codecs."""

    kind: str
    key: str
    value: str

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir=PARENT)
        self.holds: list[sj.Hold] = []
        self.saved: list[Any] = []
        self.model: Any = self.empty_model()
        self.open()

    def empty_model(self) -> MutableMapping[Any, Any]:
        raise NotImplementedError

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30, timeout=30.0)
        make = getattr(self.store, self.kind)
        self.mapping: Any = make("mapping", key=self.key, value=self.value)

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.home)

    # -- comparing ----------------------------------------------------------------------------

    def both(self, name: str, *arguments: Any) -> None:
        """Call the same method of mapping and model: the same result, or the same exception."""
        results = []
        for target in (self.mapping, self.model):
            try:
                results.append(getattr(target, name)(*arguments))
            except (KeyError, IndexError, ValueError) as error:
                results.append(type(error))
        assert alike(*results), (name, arguments, results)

    def some_key(self, number: int) -> Any:
        """A key that is there, or a numbered one that may be."""
        keys = list(self.model)
        return keys[number % len(keys)] if keys else key_number(self.key, abs(number))

    @invariant()
    def is_equal_and_whole(self) -> None:
        assert len(self.mapping) == len(self.model)
        self.check_items()
        report = self.store.check()
        assert (report.structures, report.items) == (1, len(self.model))
        assert report.leaked_blocks == 0 or self.holds

    def check_items(self) -> None:
        raise NotImplementedError

    # -- changes ------------------------------------------------------------------------------

    @rule(key=KEY, value=VALUE)
    def insert(self, key: Any, value: Any) -> None:
        self.both("__setitem__", key, value)

    @rule(number=POSITION, value=VALUE)
    def replace(self, number: int, value: Any) -> None:
        self.both("__setitem__", self.some_key(number), value)

    @rule(key=KEY)
    def delete(self, key: Any) -> None:
        self.both("__delitem__", key)

    @rule(number=POSITION)
    def delete_what_is_there(self, number: int) -> None:
        self.both("__delitem__", self.some_key(number))

    @rule(number=POSITION, key=KEY, there=st.booleans(), with_default=st.booleans())
    def pop(self, number: int, key: Any, there: bool, with_default: bool) -> None:
        key = self.some_key(number) if there else key
        self.both("pop", key, *([None] if with_default else []))

    @rule(number=POSITION, key=KEY, value=VALUE, there=st.booleans())
    def setdefault(self, number: int, key: Any, value: Any, there: bool) -> None:
        self.both("setdefault", self.some_key(number) if there else key, value)

    @rule(items=ITEMS, as_mapping=st.booleans())
    def update(self, items: list[tuple[Any, Any]], as_mapping: bool) -> None:
        self.both("update", dict(items) if as_mapping else items)

    @rule(change=CHANGE)
    def change(self, change: tuple[Any, ...]) -> None:
        for target in (self.mapping, self.model):
            self.apply(target, change)

    def apply(self, target: Any, change: tuple[Any, ...]) -> None:
        """Apply a change, as kill() has them, to mapping or model."""
        name, *arguments = change
        if name == "set":
            target[arguments[0]] = arguments[1]
        elif name == "delete":
            target.pop(arguments[0], None)
        elif name in ("fill", "drain"):
            for n in range(arguments[0], arguments[0] + arguments[1]):
                if name == "fill":
                    target[key_number(self.key, n)] = value_number(self.value, n)
                else:
                    target.pop(key_number(self.key, n), None)
        else:
            getattr(target, name)(*arguments)

    # -- many at once -------------------------------------------------------------------------

    @rule(items=ITEMS, start=st.integers(0, 300), count=st.integers(0, 150), form=st.integers(0, 2))
    def put_many(self, items: list[tuple[Any, Any]], start: int, count: int, form: int) -> None:
        numbers = range(start, start + count)
        items += [(key_number(self.key, n), value_number(self.value, n)) for n in numbers]
        keys, values = [key for key, _ in items], [value for _, value in items]
        if form == 0:
            fresh = self.mapping.put_many(items)
        elif form == 1:
            fresh = self.mapping.put_many(iter(keys), values)
        else:
            fresh = self.mapping.put_many(as_array(self.key, keys), as_array(self.value, values))
        before = len(self.model)
        self.model.update(items)
        assert fresh == len(self.model) - before

    @rule(others=st.lists(KEY, max_size=4), number=POSITION, array=st.booleans())
    def get_many(self, others: list[Any], number: int, array: bool) -> None:
        keys = [*others, *list(self.model)[abs(number) :], self.some_key(number)]
        given = as_array(self.key, keys) if array else keys
        assert list(self.mapping.contains_many(given)) == [key in self.model for key in keys]
        if array and self.value in ("int", "float"):
            found = self.mapping.get_many(given, -1)
            found = found.tolist() if hasattr(found, "tolist") else found
            expected = [self.model.get(key, -1) for key in keys]
            assert found == expected
        else:
            assert alike(self.mapping.get_many(given), [self.model.get(key) for key in keys])

    @rule(others=st.lists(KEY, max_size=4), number=POSITION, count=st.integers(0, 90))
    def delete_many(self, others: list[Any], number: int, count: int) -> None:
        keys = [*others, *list(self.model)[abs(number) :][:count]]
        deleted = self.mapping.delete_many(keys)
        before = len(self.model)
        for key in keys:
            self.model.pop(key, None)
        assert deleted == before - len(self.model)

    # -- reading ------------------------------------------------------------------------------

    @rule(number=POSITION, key=KEY, there=st.booleans())
    def look(self, number: int, key: Any, there: bool) -> None:
        key = self.some_key(number) if there else key
        self.both("get", key)
        self.both("__getitem__", key)
        self.both("__contains__", key)

    @rule(others=st.lists(KEY, max_size=4), number=POSITION)
    def views_are_sets(self, others: list[Any], number: int) -> None:
        other = {*others, self.some_key(number)}
        mine, model = self.mapping.keys(), set(self.model)
        assert mine == model
        assert mine & other == model & other
        assert mine | other == model | other
        assert mine - other == model - other
        assert mine ^ other == model ^ other
        assert mine.isdisjoint(other) == model.isdisjoint(other)
        assert (mine <= other, mine >= other) == (model <= other, model >= other)
        for key in other & model:
            assert (key, self.model[key]) in self.mapping.items()
            assert self.model[key] in self.mapping.values()

    # -- transactions -------------------------------------------------------------------------

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        self.holds.append(self.store.transaction().__enter__())
        self.saved.append(self.model.copy())

    @precondition(lambda self: self.holds)
    @rule()
    def commit(self) -> None:
        self.holds.pop().__exit__(None, None, None)
        self.saved.pop()

    @precondition(lambda self: self.holds)
    @rule(by_exception=st.booleans())
    def abort(self, by_exception: bool) -> None:
        hold = self.holds.pop()
        if by_exception:
            assert not hold.__exit__(LookupError, LookupError(), None)
        else:
            hold.abort()
            hold.__exit__(None, None, None)
        self.model = self.saved.pop()

    # -- reopening and dying ------------------------------------------------------------------

    @precondition(lambda self: not self.holds)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @precondition(lambda self: not self.holds)
    @rule(
        done=st.lists(CHANGE, max_size=3),
        lost=st.lists(CHANGE, max_size=4),
        depth=st.integers(1, 2),
        stays_open=st.booleans(),
    )
    def kill(
        self,
        done: list[tuple[Any, ...]],
        lost: list[tuple[Any, ...]],
        depth: int,
        stays_open: bool,
    ) -> None:
        """A child makes changes, then some more in a transaction that it dies in."""

        def live_and_die() -> None:
            if not stays_open:
                self.open()
            for change in done:
                self.apply(self.mapping, change)
            with contextlib.ExitStack() as stack:
                for _ in range(depth):
                    stack.enter_context(self.store.transaction())
                for change in lost:
                    self.apply(self.mapping, change)
                stack.pop_all()  # nothing is left: the process ends here

        if not stays_open:
            self.store.close()
        kill_inside(live_and_die)
        if not stays_open:
            self.open()
        for change in done:
            self.apply(self.model, change)
