# SPDX-License-Identifier: Apache-2.0
"""`HashMap` behaves as `dict` does, for every codec, through transactions, reopening, death."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test
from model.mapping_cases import alike
from model.mapping_machine import MappingMachine

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


THOROUGH = settings(
    deadline=None,
    max_examples=30,
    stateful_step_count=40,
    phases=set(Phase) - {Phase.explain},  # which traces every line, and takes minutes
)


class MapMachine(MappingMachine):
    kind = "hashmap"

    def empty_model(self) -> dict[Any, Any]:
        return {}

    def check_items(self) -> None:
        items = list(self.mapping.items())
        assert len(items) == len(self.model)
        kept = {key: key for key in self.model}  # an equal key may have another type
        for key, value in items:
            assert alike(key, kept[key])
            assert alike(value, self.model[key])
        assert alike(list(self.mapping), [key for key, _ in items])
        assert alike(list(self.mapping.keys()), [key for key, _ in items])
        assert alike(list(self.mapping.values()), [value for _, value in items])

    @rule()
    def popitem(self) -> None:
        if not self.model:
            with pytest.raises(KeyError):
                self.mapping.popitem()
            return
        key, value = self.mapping.popitem()
        assert alike(value, self.model.pop(key))


CODECS = [
    ("int", "int"),
    ("int", "bytes"),
    ("float", "any"),
    ("bytes", "bytes"),
    ("bytes", "float"),
    ("str", "any"),
    ("str", "int"),
    ("any", "any"),
    ("any", "pickle"),
]


@pytest.mark.parametrize(("key", "value"), CODECS)
def test_a_map_behaves_as_a_dict(key: str, value: str) -> None:
    machine = type("Map", (MapMachine,), {"key": key, "value": value})
    run_state_machine_as_test(machine, settings=THOROUGH)
