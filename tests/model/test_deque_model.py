# SPDX-License-Identifier: Apache-2.0
"""`Deque` against `collections.deque`: every operation, transactions, reopening, dying."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import deque
from typing import Any

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
from model.mapping_cases import VALUES, alike, value_number

import spacejmp as sj

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

THOROUGH = settings(
    deadline=None,
    max_examples=15,
    stateful_step_count=30,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)

VALUE = st.runner().flatmap(lambda machine: VALUES[machine.value])
POSITION = st.integers(-150, 150)
SOME = st.lists(VALUE, max_size=5)
CHANGE = st.one_of(
    st.tuples(st.sampled_from(["append", "appendleft"]), VALUE),
    st.tuples(st.sampled_from(["pop", "popleft"])),
    st.tuples(st.sampled_from(["extend", "extendleft"]), SOME),
    st.tuples(st.sampled_from(["fill", "fillleft"]), st.integers(0, 90)),
    st.tuples(st.sampled_from(["drain", "drainleft"]), st.integers(0, 90)),
    st.tuples(st.just("rotate"), POSITION),
    st.tuples(st.just("insert"), POSITION, VALUE),
    st.tuples(st.just("__setitem__"), POSITION, VALUE),
    st.tuples(st.just("__delitem__"), POSITION),
    st.tuples(st.just("reverse")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("__imul__"), st.integers(-1, 2)),
)


class DequeMachine(RuleBasedStateMachine):
    """The rules; a subclass names codec and maxlen."""

    value: str
    maxlen: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir="/dev/shm")
        self.holds: list[sj.Hold] = []
        self.saved: list[deque[Any]] = []
        self.model: deque[Any] = deque(maxlen=self.maxlen)
        self.open()

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30, timeout=30.0)
        self.deque = self.store.deque("deque", value=self.value, maxlen=self.maxlen)

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.home)

    def apply(self, target: Any, change: tuple[Any, ...]) -> object:
        """Make a change; what it gives, or the class of what it raises."""
        name, *arguments = change
        try:
            if name in ("fill", "fillleft"):
                values = [value_number(self.value, n) for n in range(arguments[0])]
                return getattr(target, name.replace("fill", "extend"))(values)
            if name in ("drain", "drainleft"):
                pop = getattr(target, name.replace("drain", "pop"))
                return [pop() for _ in range(min(arguments[0], len(target)))]
            if name == "__imul__" and len(target) > 500:
                return None
            result = getattr(target, name)(*arguments)
        except (IndexError, ValueError) as error:
            return type(error)
        return None if result is target else result

    @invariant()
    def is_equal_and_whole(self) -> None:
        model = list(self.model)
        assert len(self.deque) == len(model)
        assert alike(list(self.deque), model)
        assert alike(list(reversed(self.deque)), model[::-1])
        assert self.deque.maxlen == self.maxlen
        report = self.store.check()
        assert (report.structures, report.items) == (1, len(model))
        assert report.leaked_blocks == 0 or self.holds

    @rule(change=CHANGE)
    def change(self, change: tuple[Any, ...]) -> None:
        results = [self.apply(target, change) for target in (self.deque, self.model)]
        assert alike(*results), (change, results)

    @rule(position=POSITION, item=VALUE, start=POSITION, stop=POSITION)
    def look(self, position: int, item: Any, start: int, stop: int) -> None:
        if self.model:
            item = self.model[position % len(self.model)] if position % 2 else item
        for name, *arguments in (
            ("__getitem__", position),
            ("index", item),
            ("index", item, start, stop),
            ("count", item),
            ("__contains__", item),
            ("copy",),
        ):
            results = [
                self.apply(target, (name, *arguments)) for target in (self.deque, self.model)
            ]
            assert alike(*results), (name, arguments, results)

    @rule(position=POSITION, item=VALUE)
    def remove(self, position: int, item: Any) -> None:
        if self.model:
            item = self.model[position % len(self.model)] if position % 2 else item
        self.change(("remove", item))

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        self.holds.append(self.store.transaction().__enter__())
        self.saved.append(self.model.copy())

    @precondition(lambda self: self.holds)
    @rule(undo=st.booleans())
    def end(self, undo: bool) -> None:
        hold = self.holds.pop()
        saved = self.saved.pop()
        if undo:
            hold.abort()
            self.model = saved
        hold.__exit__(None, None, None)

    @precondition(lambda self: not self.holds)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @precondition(lambda self: not self.holds)
    @rule(done=st.lists(CHANGE, max_size=3), lost=st.lists(CHANGE, max_size=4))
    def kill(self, done: list[tuple[Any, ...]], lost: list[tuple[Any, ...]]) -> None:
        """A child makes changes, then some more in a transaction that it dies in."""

        def live_and_die() -> None:
            for change in done:
                self.apply(self.deque, change)
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.store.transaction())
                for change in lost:
                    self.apply(self.deque, change)
                stack.pop_all()  # nothing is left: the process ends here

        kill_inside(live_and_die)
        for change in done:
            self.apply(self.model, change)


CASES: list[tuple[str, int | None]] = [("int", None), ("any", None), ("str", 70), ("int", 1)]


@pytest.mark.parametrize(("value", "maxlen"), CASES)
def test_deque_behaves_as_collections_deque(value: str, maxlen: int | None) -> None:
    machine = type("Machine", (DequeMachine,), {"value": value, "maxlen": maxlen})
    run_state_machine_as_test(machine, settings=THOROUGH)
