# SPDX-License-Identifier: Apache-2.0
"""`List` behaves as `list` does, for every codec, through transactions, reopening, death."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from model.mapping_cases import VALUES, alike, value_number
from model.sequence_machine import NEAR, NUMBER, SLICE, SequenceMachine

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

THOROUGH = settings(
    deadline=None,
    max_examples=15,
    stateful_step_count=30,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)

VALUE = st.runner().flatmap(lambda machine: VALUES[machine.codec])
SOME = st.lists(VALUE, max_size=8)


class ListMachine(SequenceMachine):
    def empty_model(self) -> list[Any]:
        return []

    def open_list(self) -> Any:
        return self.store.list("list", value=self.codec)

    def item_number(self, number: int) -> Any:
        return value_number(self.codec, number)

    def change_strategy(self) -> st.SearchStrategy[tuple[Any, ...]]:
        return st.one_of(
            st.tuples(st.just("append"), VALUES[self.codec]),
            st.tuples(st.just("insert"), NEAR, VALUES[self.codec]),
            st.tuples(st.just("fill"), NUMBER, st.integers(1, 700)),
            st.tuples(st.just("prepend"), NUMBER, st.integers(1, 40)),
            st.tuples(st.just("reverse")),
            st.tuples(st.just("clear")),
        )

    def apply(self, target: Any, change: tuple[Any, ...]) -> None:
        name, *arguments = change
        if name == "fill":
            target.extend(value_number(self.codec, n) for n in range(sum(arguments)))
            del target[1500:]
        elif name == "prepend":
            for n in range(arguments[0], sum(arguments)):
                target.insert(n % 7, value_number(self.codec, n))
        else:
            getattr(target, name)(*arguments)

    @rule(index=NEAR, value=VALUE)
    def set(self, index: int, value: Any) -> None:
        self.both("__setitem__", index, value)

    @rule(index=SLICE, values=SOME)
    def set_slice(self, index: slice, values: list[Any]) -> None:
        self.both("__setitem__", index, values)
        self.both("__setitem__", index, [values[0]] * len(self.model[index]) if values else [])

    @rule(values=SOME)
    def extend(self, values: list[Any]) -> None:
        self.both("extend", values)
        self.list += iter(values)
        self.model += values

    @rule(values=SOME, times=st.integers(-1, 3))
    def arithmetic(self, values: list[Any], times: int) -> None:
        assert alike(self.list + values, self.model + values)
        assert alike(values + self.list, values + self.model)
        assert alike(self.list * times, self.model * times)
        if len(self.model) < 600:
            self.list *= times
            self.model *= times

    @rule(number=NUMBER)
    def remove(self, number: int) -> None:
        if self.model:
            self.both("remove", self.model[number % len(self.model)])

    @rule(values=SOME)
    def compare(self, values: list[Any]) -> None:
        assert self.list == self.model
        assert (self.list == values) == (self.model == values)
        assert (self.list != values) == (self.model != values)
        if self.codec not in ("any", "pickle"):
            for name in ("__lt__", "__le__", "__gt__", "__ge__"):
                self.both(name, values)

    @rule(backward=st.booleans())
    def sort(self, backward: bool) -> None:
        if self.codec in ("any", "pickle"):
            for target in (self.list, self.model):
                target.sort(key=lambda item: len(str(item)), reverse=backward)
        else:
            for target in (self.list, self.model):
                target.sort(reverse=backward)


@pytest.mark.parametrize("codec", ["int", "float", "bytes", "str", "any", "pickle"])
def test_a_list_behaves_as_a_list(codec: str) -> None:
    machine = type("Machine", (ListMachine,), {"codec": codec})
    run_state_machine_as_test(machine, settings=THOROUGH)
