# SPDX-License-Identifier: Apache-2.0
"""What `--json` prints is JSON, and can be read back."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacejmp.apps.jsonform import dumps, from_json, to_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
)
KEYS = st.text() | st.integers() | st.sampled_from(["$bytes", "$tuple", "$dict", "$other"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(st.text() | st.integers())
        | st.frozensets(st.binary())
        | st.dictionaries(KEYS, inner)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_values_come_back(value: Any) -> None:
    text = dumps(to_json(value))
    assert "\n" not in text
    back = from_json(json.loads(text))
    assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\xff", '{"$bytes": "00ff"}'),
        (bytearray(b"a"), '{"$bytearray": "61"}'),
        ((1, [2]), '{"$tuple": [1, [2]]}'),
        ({2, 1}, '{"$set": [1, 2]}'),
        (math.inf, '{"$float": "inf"}'),
        (1j, '{"$complex": [0.0, 1.0]}'),
        ({1: 2}, '{"$dict": [[1, 2]]}'),
        ({"$tuple": 1}, '{"$dict": [["$tuple", 1]]}'),
        ({"$oid": "x"}, '{"$oid": "x"}'),
        (Decimal("1.10"), '{"$decimal": "1.10"}'),
        (UUID(int=1), '{"$uuid": "00000000-0000-0000-0000-000000000001"}'),
        (Path("/a"), '{"$path": "/a"}'),
        (dt.date(2016, 4, 2), '{"$date": "2016-04-02"}'),
        (dt.timedelta(1, 2, 3), '{"$timedelta": [1, 2, 3]}'),
        ("é\x9b", '"\\u00e9\\u009b"'),
    ],
)
def test_forms_are_as_documented(value: Any, text: str) -> None:
    assert dumps(to_json(value)) == text
    assert from_json(json.loads(text)) == value


def test_arrays_come_back() -> None:
    array = np.arange(6, dtype="<i2").reshape(2, 3)
    back = from_json(json.loads(dumps(to_json(array))))
    assert back.dtype == array.dtype
    assert (back == array).all()


def test_what_has_no_form_is_shown() -> None:
    shown = to_json(range(3))
    assert shown == {"$repr": "range(0, 3)"}
    with pytest.raises(ValueError, match="cannot hold"):
        from_json(shown)


@pytest.mark.parametrize(
    "form", [{"$bytes": "zz"}, {"$set": 1}, {"$uuid": "x"}, {"$date": 1}, {"$array": {}}]
)
def test_a_form_that_is_wrong_is_refused(form: Any) -> None:
    with pytest.raises(ValueError, match=r"^\$"):
        from_json(form)
