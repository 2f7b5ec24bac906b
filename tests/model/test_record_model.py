# SPDX-License-Identifier: Apache-2.0
"""A graph of records beside plain objects: changes, transactions, collecting, reopening, dying."""

from __future__ import annotations

import copy
import shutil
import tempfile
from typing import Any, Literal

import pytest
from children import kill_inside
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import spacejmp as sj

THOROUGH = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)
NUMBER = st.integers(-(1 << 31), (1 << 31) - 1)
TEXT = st.text(max_size=60)
PLACE = st.integers(0, 30)


@sj.record
class Vertex:
    number: sj.i32
    flag: sj.bool_
    text: sj.str_
    one: sj.Ptr[Vertex]
    other: sj.Ptr[Any]
    parts: sj.FixedArray[sj.u8, Literal[5]]


CHANGE = st.one_of(
    st.tuples(st.just("number"), NUMBER),
    st.tuples(st.just("flag"), st.booleans()),
    st.tuples(st.just("text"), TEXT),
    st.tuples(st.just("parts"), st.lists(st.integers(0, 255), min_size=5, max_size=5)),
    st.tuples(st.just("one"), st.one_of(st.none(), PLACE)),
    st.tuples(st.just("other"), st.one_of(st.none(), PLACE)),
    st.tuples(st.just("part"), st.integers(0, 4), st.integers(0, 255)),
)

Model = dict[int, dict[str, Any]]


def apply(model: Model, vertex: int, change: tuple[Any, ...]) -> None:
    name, *values = change
    if name == "part":
        model[vertex]["parts"][values[0]] = values[1]
    else:
        model[vertex][name] = values[0]


class GraphMachine(RuleBasedStateMachine):
    """All vertices hang on a hash map by their numbers; pointers lead between them."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir="/dev/shm")
        self.model: Model = {}
        self.saved: list[Model] = []
        self.holds: list[sj.Hold] = []
        self.count = 0
        self.open()

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30, timeout=30.0)
        self.all: Any = self.store.hashmap("all", key="int")
        self.handles: dict[int, Any] = {}

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.home)

    def vertex(self, number: int) -> Any:
        """An object that is kept, or a new one for the same record."""
        if number % 2 == 0 or number not in self.handles:
            self.handles[number] = self.all[number]
        return self.handles[number]

    def pick(self, place: int) -> int:
        return sorted(self.model)[place % len(self.model)]

    def change(self, number: int, change: tuple[Any, ...]) -> None:
        name, *values = change
        vertex = self.vertex(number)
        if name == "part":
            vertex.parts[values[0]] = values[1]
        elif name in ("one", "other") and values[0] is not None:
            setattr(vertex, name, self.vertex(values[0]))
        else:
            setattr(vertex, name, values[0])

    def resolved(self, change: tuple[Any, ...]) -> tuple[Any, ...]:
        if change[0] in ("one", "other") and change[1] is not None:
            return change[0], self.pick(change[1])
        return change

    # -- rules --------------------------------------------------------------------------------

    @rule(number=NUMBER, text=TEXT)
    def new(self, number: int, text: str) -> None:
        made = self.store.new(Vertex, number=number, text=text)
        self.all[self.count] = made
        self.model[self.count] = {
            "number": number,
            "flag": False,
            "text": text,
            "one": None,
            "other": None,
            "parts": [0] * 5,
        }
        self.count += 1

    @precondition(lambda self: self.model)
    @rule(place=PLACE, change=CHANGE)
    def change_one(self, place: int, change: tuple[Any, ...]) -> None:
        number, change = self.pick(place), self.resolved(change)
        self.change(number, change)
        apply(self.model, number, change)

    @precondition(lambda self: self.model)
    @rule(place=PLACE)
    def remove(self, place: int) -> None:
        """What nothing leads to is left for the collector; pointers to it are taken away."""
        number = self.pick(place)
        for other, values in self.model.items():
            for name in ("one", "other"):
                if values[name] == number:
                    setattr(self.vertex(other), name, None)
                    values[name] = None
        del self.all[number]
        self.handles.pop(number, None)
        del self.model[number]

    @precondition(lambda self: not self.holds)
    @rule()
    def collect(self) -> None:
        self.store.collect()
        assert self.store.check().leaked_blocks == 0

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        hold = self.store.transaction()
        hold.__enter__()
        self.holds.append(hold)
        self.saved.append(copy.deepcopy(self.model))

    @precondition(lambda self: self.holds)
    @rule(keep=st.booleans())
    def end(self, keep: bool) -> None:
        hold, saved = self.holds.pop(), self.saved.pop()
        if not keep:
            hold.abort()
            self.model = saved
            self.handles = {n: h for n, h in self.handles.items() if n in saved}
        hold.__exit__(None, None, None)

    @precondition(lambda self: not self.holds)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @precondition(lambda self: not self.holds and self.model)
    @rule(place=PLACE, changes=st.lists(CHANGE, min_size=1, max_size=5))
    def die(self, place: int, changes: list[tuple[Any, ...]]) -> None:
        """A process is killed in a transaction: nothing of it is there."""
        number = self.pick(place)

        def work() -> None:
            self.store.transaction().__enter__()
            for change in changes:
                self.change(number, self.resolved(change))
            self.store.new(Vertex, text="lost")

        kill_inside(work)

    # -- comparing ----------------------------------------------------------------------------

    @invariant()
    def they_are_the_same(self) -> None:
        assert sorted(self.all) == sorted(self.model)
        for number, values in self.model.items():
            vertex = self.vertex(number)
            assert (vertex.number, vertex.flag, vertex.text, list(vertex.parts)) == (
                values["number"],
                values["flag"],
                values["text"],
                values["parts"],
            )
            for name in ("one", "other"):
                led = values[name]
                assert getattr(vertex, name) == (None if led is None else self.vertex(led))


# Libraries start threads of their own; the children here use none of theirs.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_graph_of_records_behaves_as_objects_do() -> None:
    run_state_machine_as_test(GraphMachine, settings=THOROUGH)
