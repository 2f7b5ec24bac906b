# SPDX-License-Identifier: Apache-2.0
"""`SortedList` behaves as that of sortedcontainers, through transactions, reopening, death."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from model.mapping_cases import KEYS, alike, key_number, model_key
from model.sequence_machine import NEAR, NUMBER, SequenceMachine
from model.test_list_model import THOROUGH
from sortedcontainers import SortedKeyList, SortedList

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

KEY = st.runner().flatmap(lambda machine: KEYS[machine.codec])
SOME = st.lists(KEY, max_size=8)


class SortedListMachine(SequenceMachine):
    def empty_model(self) -> Any:
        return SortedKeyList(key=model_key) if self.codec == "any" else SortedList()

    def open_list(self) -> Any:
        return self.store.sortedlist("list", key=self.codec)

    def item_number(self, number: int) -> Any:
        return key_number(self.codec, number)

    def change_strategy(self) -> st.SearchStrategy[tuple[Any, ...]]:
        return st.one_of(
            st.tuples(st.just("add"), KEYS[self.codec]),
            st.tuples(st.just("update"), st.lists(KEYS[self.codec], max_size=8)),
            st.tuples(st.just("fill"), NUMBER, st.integers(1, 700)),
            st.tuples(st.just("scatter"), NUMBER, st.integers(1, 80)),
            st.tuples(st.just("clear")),
        )

    def apply(self, target: Any, change: tuple[Any, ...]) -> None:
        name, *arguments = change
        if name == "fill":
            target.update(key_number(self.codec, n) for n in range(arguments[0], sum(arguments)))
            del target[1500:]
        elif name == "scatter":
            for n in range(arguments[0], sum(arguments)):
                target.add(key_number(self.codec, n * 7919 % 3000))
        else:
            getattr(target, name)(*arguments)

    @rule(key=KEY, number=NUMBER)
    def remove(self, key: Any, number: int) -> None:
        for name in ("remove", "discard"):
            self.both(name, key)
            if self.model:
                self.both(name, self.model[number % len(self.model)])

    @rule(key=KEY, number=NUMBER)
    def bisect(self, key: Any, number: int) -> None:
        others = [self.model[number % len(self.model)]] if self.model else []
        for each in (key, self.item_number(number), *others):
            self.both("bisect_left", each)
            self.both("bisect_right", each)
            self.both("bisect", each)

    @rule(
        low=st.none() | KEY,
        high=st.none() | KEY,
        inclusive=st.tuples(st.booleans(), st.booleans()),
        backward=st.booleans(),
    )
    def irange(self, low: Any, high: Any, inclusive: tuple[bool, bool], backward: bool) -> None:
        found = list(self.list.irange(low, high, inclusive, backward))
        assert alike(found, list(self.model.irange(low, high, inclusive, backward)))

    @rule(start=st.none() | NEAR, stop=st.none() | NEAR, backward=st.booleans())
    def islice(self, start: int | None, stop: int | None, backward: bool) -> None:
        found = list(self.list.islice(start, stop, backward))
        assert alike(found, list(self.model.islice(start, stop, backward)))

    @rule(values=SOME)
    def iadd(self, values: list[Any]) -> None:
        self.list += values
        self.model.update(values)

    @rule(values=SOME)
    def compare(self, values: list[Any]) -> None:
        assert self.list == self.model
        assert alike(list(self.list.copy()), list(self.model))
        assert (self.list == values) == (list(self.model) == values)
        if self.codec != "any":
            for name in ("__lt__", "__le__", "__gt__", "__ge__"):
                self.both(name, values)


@pytest.mark.parametrize("codec", ["int", "float", "bytes", "str", "any"])
def test_a_sorted_list_behaves_as_one(codec: str) -> None:
    machine = type("Machine", (SortedListMachine,), {"codec": codec})
    run_state_machine_as_test(machine, settings=THOROUGH)
