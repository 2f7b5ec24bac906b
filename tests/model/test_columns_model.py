# SPDX-License-Identifier: Apache-2.0
"""`Columns` is a list of rows: through views, transactions, reopening and death."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from typing import Any

import numpy as np
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

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SPEC = {"flag": "u2", "pos": "i4", "code": "S3"}
ROW = st.tuples(st.integers(0, 65535), st.integers(-100, 100), st.sampled_from([b"", b"a", b"xyz"]))
ROWS = st.lists(ROW, max_size=8)
NUMBER = st.integers(-5, 120)


class ColumnsMachine(RuleBasedStateMachine):
    """A table beside a list of tuples; an open transaction pushes a copy of that."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(prefix="spacejmp-test-", dir="/dev/shm")
        self.holds: list[sj.Hold] = []
        self.saved: list[list[Any]] = []
        self.model: list[Any] = []
        self.views: list[tuple[Any, int]] = []
        self.open()

    def open(self) -> None:
        self.store = sj.open("model", home=self.home, reserve=1 << 30, timeout=30.0)
        self.table = self.store.columns("t", SPEC)

    def teardown(self) -> None:
        while self.holds:
            self.holds.pop().__exit__(None, None, None)
        self.views.clear()
        self.store.close()
        shutil.rmtree(self.home)

    @invariant()
    def is_equal_and_whole(self) -> None:
        assert self.table[:].tolist() == self.model
        report = self.store.check()
        assert (report.structures, report.items) == (1, len(self.model))
        assert report.leaked_blocks == 0 or self.holds
        for view, rows in self.views:
            assert len(view) == rows

    # -- changes ------------------------------------------------------------------------------

    @rule(row=ROW)
    def append(self, row: Any) -> None:
        if self.may_move(1):
            self.table.append(row)
            self.model.append(row)

    @rule(rows=ROWS, by_column=st.booleans(), times=st.integers(1, 8))
    def extend(self, rows: list[Any], by_column: bool, times: int) -> None:
        rows = rows * times
        if not self.may_move(len(rows)):
            return
        if by_column:
            made = np.array(rows, dtype=self.table.dtype)
            self.table.extend({name: made[name] for name in SPEC})
        else:
            self.table.extend(rows)
        self.model.extend(rows)

    def may_move(self, rows: int) -> bool:
        """Whether so many more fit; else it is a BufferError while there are views."""
        if not self.views or len(self.model) + rows <= self.table.capacity:
            return True
        with pytest.raises(BufferError):
            self.table.extend([(0, 0, b"")] * rows)
        return False

    @rule(number=NUMBER, row=ROW)
    def replace(self, number: int, row: Any) -> None:
        if not -len(self.model) <= number < len(self.model):
            with pytest.raises(IndexError):
                self.table[number] = row
            return
        self.table[number] = row
        self.model[number] = row

    @rule(number=NUMBER)
    def read(self, number: int) -> None:
        if -len(self.model) <= number < len(self.model):
            assert tuple(self.table[number]) == self.model[number]
        else:
            with pytest.raises(IndexError):
                self.table[number]
        assert self.table[number:].tolist() == self.model[number:]
        assert self.table["pos"].tolist() == [row[1] for row in self.model]

    @rule(rows=st.integers(0, 150))
    def truncate(self, rows: int) -> None:
        self.table.truncate(rows)
        del self.model[rows:]

    @rule(reverse=st.booleans(), names=st.sampled_from([("pos",), ("code", "flag")]))
    def sort(self, reverse: bool, names: tuple[str, ...]) -> None:
        if self.views:
            with pytest.raises(BufferError):
                self.table.sort_by(*names)
            return
        self.table.sort_by(*names, reverse=reverse)
        at = [list(SPEC).index(name) for name in names]
        self.model.sort(key=lambda row: [row[i] for i in at], reverse=reverse)

    # -- views --------------------------------------------------------------------------------

    @rule(name=st.sampled_from(list(SPEC)))
    def look(self, name: str) -> None:
        view = self.table[name]
        if view.flags.writeable:  # else a copy
            self.views.append((view, len(self.model)))

    @precondition(lambda self: self.views)
    @rule()
    def look_away(self) -> None:
        self.views.clear()

    @rule(number=NUMBER, value=st.integers(-100, 100))
    def store_through_a_view(self, number: int, value: int) -> None:
        view = self.table["pos"]
        if -len(view) <= number < len(view) and view.flags.writeable:
            if self.holds:
                self.holds[-1].touch(view[number:][:1])
            view[number] = value
            flag, _, code = self.model[number]
            self.model[number] = (flag, value, code)

    # -- transactions, reopening, death -------------------------------------------------------

    @precondition(lambda self: len(self.holds) < 3)
    @rule()
    def begin(self) -> None:
        hold = self.store.transaction()
        hold.__enter__()
        self.holds.append(hold)
        self.saved.append(list(self.model))

    @precondition(lambda self: self.holds)
    @rule(undo=st.booleans())
    def end(self, undo: bool) -> None:
        hold, saved = self.holds.pop(), self.saved.pop()
        if undo:
            hold.abort()
            self.model = saved
        hold.__exit__(None, None, None)

    @precondition(lambda self: not self.holds)
    @rule()
    def reopen(self) -> None:
        if self.views:
            with pytest.raises(BufferError):
                self.store.close()
        self.views.clear()
        self.store.close()
        self.open()

    @precondition(lambda self: not self.holds)
    @rule(rows=ROWS, number=st.integers(0, 10))
    def die_in_a_transaction(self, rows: list[Any], number: int) -> None:
        def change() -> None:
            with self.store.transaction() as transaction:
                self.table.truncate(number)
                with contextlib.suppress(BufferError):
                    self.table.extend(rows * 20)
                with contextlib.suppress(sj.InvalidArgumentError):  # it has grown: a copy
                    transaction.touch(self.table["pos"])[:] = 77
                os.kill(os.getpid(), signal.SIGKILL)

        kill_inside(change)


def test_columns_is_a_list_of_rows() -> None:
    run_state_machine_as_test(
        ColumnsMachine,
        settings=settings(
            deadline=None,
            max_examples=25,
            stateful_step_count=40,
            phases=set(Phase) - {Phase.explain},
        ),
    )
