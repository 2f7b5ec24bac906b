# SPDX-License-Identifier: Apache-2.0
"""`BTree` behaves as `SortedDict` does, for every codec, through transactions, reopening, death."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from model.mapping_cases import alike, key_number, model_key, value_number
from model.mapping_machine import KEY, POSITION, MappingMachine
from sortedcontainers import SortedDict

import spacejmp as sj

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

INCLUSIVE = st.tuples(st.booleans(), st.booleans())
BOUND = st.none() | KEY
MAYBE_POSITION = st.none() | POSITION


THOROUGH = settings(
    deadline=None,
    max_examples=30,
    stateful_step_count=40,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)


class TreeMachine(MappingMachine):
    kind = "btree"

    def empty_model(self) -> Any:
        return SortedDict(model_key) if self.key == "any" else SortedDict()

    def check_items(self) -> None:
        items = list(self.model.items())
        assert alike(list(self.mapping.items()), items)
        assert alike(list(reversed(self.mapping.items())), items[::-1])
        assert alike(list(self.mapping), [key for key, _ in items])
        assert alike(list(reversed(self.mapping)), [key for key, _ in items[::-1]])
        assert alike(list(self.mapping.values()), [value for _, value in items])
        assert alike(list(reversed(self.mapping.values())), [value for _, value in items[::-1]])

    @rule(low=BOUND, high=BOUND, inclusive=INCLUSIVE, reverse=st.booleans(), number=POSITION)
    def irange(
        self, low: Any, high: Any, inclusive: tuple[bool, bool], reverse: bool, number: int
    ) -> None:
        for minimum, maximum in ((low, high), (self.some_key(number), high), (low, None)):
            found = list(self.mapping.irange(minimum, maximum, inclusive, reverse))
            expected = list(self.model.irange(minimum, maximum, inclusive, reverse))
            assert alike(found, expected)
            pairs = self.mapping.irange_items(minimum, maximum, inclusive, reverse)
            assert alike(list(pairs), [(key, self.model[key]) for key in expected])

    @rule(start=MAYBE_POSITION, stop=MAYBE_POSITION, reverse=st.booleans())
    def islice(self, start: int | None, stop: int | None, reverse: bool) -> None:
        found = list(self.mapping.islice(start, stop, reverse))
        assert alike(found, list(self.model.islice(start, stop, reverse)))

    @rule(index=POSITION)
    def peekitem(self, index: int) -> None:
        self.both("peekitem", index)

    @rule(index=POSITION)
    def popitem(self, index: int) -> None:
        if self.model:
            self.both("popitem", index % len(self.model))
        self.both("popitem")

    @rule(key=KEY, number=POSITION)
    def ranks(self, key: Any, number: int) -> None:
        for each in (key, self.some_key(number)):
            self.both("bisect_left", each)
            self.both("bisect_right", each)
            self.both("bisect", each)
            self.both("index", each)

    @rule(number=POSITION, start=MAYBE_POSITION, stop=MAYBE_POSITION)
    def index_between(self, number: int, start: int | None, stop: int | None) -> None:
        self.both("index", self.some_key(number), start, stop)

    @rule(
        start=MAYBE_POSITION,
        stop=MAYBE_POSITION,
        step=st.none() | st.integers(-4, 4).filter(bool),
        index=POSITION,
    )
    def positions_of_views(
        self, start: int | None, stop: int | None, step: int | None, index: int
    ) -> None:
        for name in ("keys", "values", "items"):
            view, model = getattr(self.mapping, name)(), list(getattr(self.model, name)())
            assert alike(view[start:stop:step], model[start:stop:step])
            if -len(model) <= index < len(model):
                assert alike(view[index], model[index])
            else:
                with pytest.raises(IndexError):
                    view[index]

    @rule(start=st.integers(0, 300), count=st.integers(0, 400), fill=st.integers(50, 100))
    def bulk_load(self, start: int, count: int, fill: int) -> None:
        items = {
            key_number(self.key, n): value_number(self.value, n)
            for n in range(start, start + count)
        }
        if self.key == "any":
            items = dict(sorted(items.items(), key=lambda item: model_key(item[0])))
        if self.model:
            with pytest.raises(sj.InvalidArgumentError, match="empty"):
                self.mapping.bulk_load(items, fill=fill)
        else:
            self.mapping.bulk_load(items, fill=fill)
            self.model.update(items)


CODECS = [
    ("int", "int"),
    ("int", "any"),
    ("int", "bytes"),
    ("float", "float"),
    ("float", "str"),
    ("bytes", "bytes"),
    ("bytes", "int"),
    ("str", "str"),
    ("str", "any"),
    ("any", "any"),
    ("any", "pickle"),
]


@pytest.mark.parametrize(("key", "value"), CODECS)
def test_a_tree_behaves_as_a_sorted_dict(key: str, value: str) -> None:
    machine = type("Tree", (TreeMachine,), {"key": key, "value": value})
    run_state_machine_as_test(machine, settings=THOROUGH)
