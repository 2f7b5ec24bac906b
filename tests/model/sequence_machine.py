# SPDX-License-Identifier: Apache-2.0
"""What the state machines of `List` and `SortedList` share: positions, transactions, reopening.

The model is a plain list, or one of sortedcontainers; an open transaction pushes a copy of it,
which an abort brings back.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import Any

from children import kill_inside
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from model.mapping_cases import alike

import spacejmp as sj

__all__ = ["NEAR", "NUMBER", "SLICE", "SequenceMachine"]

NEAR = st.integers(-12, 12)
NUMBER = st.integers(0, 3000)
BOUND = st.none() | NEAR | st.integers(-1500, 1500)
SLICE = st.builds(slice, BOUND, BOUND, st.none() | st.sampled_from([1, 2, 3, -1, -2, 20, -20]))


class SequenceMachine(RuleBasedStateMachine):
    """The rules for both; a subclass says how to make the list, the model and a change."""

    codec: str

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir="/dev/shm")
        self.holds: list[sj.Hold] = []
        self.saved: list[Any] = []
        self.model: Any = self.empty_model()
        self.open()

    def empty_model(self) -> Any:
        raise NotImplementedError

    def copy_model(self) -> Any:
        return self.model.copy()

    def open_list(self) -> Any:
        raise NotImplementedError

    def apply(self, target: Any, change: tuple[Any, ...]) -> None:
        """Apply a change to list or model; `change` gives them."""
        raise NotImplementedError

    def item_number(self, number: int) -> Any:
        raise NotImplementedError

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30, timeout=30.0)
        self.list = self.open_list()

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.store.close()
        shutil.rmtree(self.home)

    def both(self, name: str, *arguments: Any) -> None:
        """Call the same method of list and model: the same result, or the same exception."""
        results = []
        for target in (self.list, self.model):
            try:
                found = getattr(target, name)(*arguments)
            except (IndexError, ValueError) as error:
                found = type(error)
            results.append(list(found) if isinstance(found, type(self.model)) else found)
        if name not in ("__iadd__", "__imul__"):
            assert alike(*results), (name, arguments, results)

    @invariant()
    def is_equal_and_whole(self) -> None:
        items = list(self.model)
        assert len(self.list) == len(items)
        assert alike(list(self.list), items)
        report = self.store.check()
        assert (report.structures, report.items) == (1, len(items))
        assert report.leaked_blocks == 0 or self.holds

    # -- by position --------------------------------------------------------------------------

    @rule(index=BOUND.filter(lambda index: index is not None))
    def get(self, index: int) -> None:
        self.both("__getitem__", index)

    @rule(index=SLICE)
    def get_slice(self, index: slice) -> None:
        assert alike(self.list[index], list(self.model)[index])

    @rule(index=NEAR)
    def delete(self, index: int) -> None:
        self.both("__delitem__", index)

    @rule(index=SLICE)
    def delete_slice(self, index: slice) -> None:
        self.both("__delitem__", index)

    @rule(index=st.none() | NEAR)
    def pop(self, index: int | None) -> None:
        self.both("pop", *([] if index is None else [index]))

    @rule(start=NUMBER, count=st.integers(1, 200))
    def drain(self, start: int, count: int) -> None:
        for target in (self.list, self.model):
            for _ in range(min(count, len(self.model))):
                target.pop(start % len(target))

    @rule()
    def reversed(self) -> None:
        assert alike(list(reversed(self.list)), list(reversed(self.model)))

    @rule()
    def clear(self) -> None:
        self.both("clear")

    @rule(number=NUMBER, start=NEAR, stop=st.none() | st.integers(-5, 1500))
    def search(self, number: int, start: int, stop: int | None) -> None:
        item = list(self.model)[number % len(self.model)] if self.model else None
        for value in (self.item_number(number), item):
            if value is None:
                continue
            self.both("count", value)
            self.both("index", value)
            self.both("__contains__", value)
            if stop is not None:
                self.both("index", value, start, stop)

    @rule(step=st.integers(1, 60))
    def iterators_go_by_position(self, step: int) -> None:
        """Both meet the same changes on the way, and end at the same place."""
        found: list[Any] = []
        model = list(self.model)
        for place, (item, expected) in enumerate(zip(self.list, model, strict=False)):
            found.append(item)
            assert alike(item, expected)
            if place % step == 0 and len(model) > 1:
                del self.list[-1], self.model[-1], model[-1]

    # -- transactions -------------------------------------------------------------------------

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        self.holds.append(self.store.transaction().__enter__())
        self.saved.append(self.copy_model())

    @precondition(lambda self: self.holds)
    @rule()
    def commit(self) -> None:
        self.holds.pop().__exit__(None, None, None)
        self.saved.pop()

    @precondition(lambda self: self.holds)
    @rule()
    def abort(self) -> None:
        hold = self.holds.pop()
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
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """A child makes changes, then some more in a transaction that it dies in."""
        changes = st.lists(self.change_strategy(), max_size=3)
        done, lost = data.draw(changes), data.draw(changes)

        def live_and_die() -> None:
            for change in done:
                self.apply(self.list, change)
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.store.transaction())
                for change in lost:
                    self.apply(self.list, change)
                stack.pop_all()  # nothing is left: the process ends here

        kill_inside(live_and_die)
        for change in done:
            self.apply(self.model, change)

    def change_strategy(self) -> st.SearchStrategy[tuple[Any, ...]]:
        raise NotImplementedError

    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        change = data.draw(self.change_strategy())
        for target in (self.list, self.model):
            self.apply(target, change)
