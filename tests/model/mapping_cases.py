# SPDX-License-Identifier: Apache-2.0
"""Keys and values of every codec for the model tests: strategies, and numbered ones for bulk."""

from __future__ import annotations

import functools
import struct
from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st

__all__ = ["KEYS", "VALUES", "alike", "key_number", "model_key", "value_number"]

INT64 = st.integers(-(2**63), 2**63 - 1)
SIZES = st.sampled_from([0, 1, 6, 7, 8, 9, 15, 16, 255, 256, 4000, 8192, 9000, 70_000])
PREFIX = "a prefix that keys share/"
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-20, 20), st.integers(-20, 20).map(float))

RAW_KEYS = st.one_of(
    st.binary(max_size=3),
    st.binary(max_size=3).map(lambda raw: PREFIX.encode() + raw),
    st.integers(0, 40).map(lambda n: b"k" * n),
    SIZES.map(lambda n: b"long" * (n // 4)),
)
TEXT_KEYS = st.one_of(
    st.text("ab\0\x7f\x80é\uffff\U0001f600", max_size=3),
    st.text("abc", max_size=2).map(lambda text: PREFIX + text),
    st.integers(0, 40).map(lambda n: "k" * n),
)
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.one_of(st.integers(-60, 60), INT64),
    "float": st.one_of(
        st.integers(-30, 30).map(lambda n: n / 2),
        st.floats(allow_nan=False).map(lambda real: real + 0.0),  # -0.0 comes back as 0.0
    ),
    "bytes": RAW_KEYS,
    "str": TEXT_KEYS,
    "any": st.one_of(
        PLAIN,
        RAW_KEYS,
        TEXT_KEYS,
        st.floats(allow_nan=False),
        st.integers(-(2**70), 2**70),
        st.tuples(PLAIN, st.text("ab", max_size=2)),
    ),
}
"""Small enough ranges that keys meet again, and the ends of each codec."""

RAW_VALUES = st.one_of(st.binary(max_size=10), SIZES.map(lambda n: b"v" * n))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.one_of(st.integers(-9, 9), INT64),
    "float": st.floats(allow_nan=False),
    "bytes": RAW_VALUES,
    "str": st.one_of(st.text(max_size=6), SIZES.map(lambda n: "é" * (n // 2))),
    "any": st.one_of(
        PLAIN,
        RAW_VALUES,
        st.integers(-(2**80), 2**80),
        st.lists(PLAIN, max_size=3),
        st.dictionaries(st.text("ab", max_size=2), PLAIN, max_size=3),
        st.just(datetime(2024, 2, 29, tzinfo=timezone.utc)),
        st.sets(st.integers(0, 9), max_size=3),
    ),
    "pickle": st.one_of(PLAIN, st.just(range(3)), st.lists(PLAIN, max_size=30)),
}


def key_number(codec: str, n: int) -> Any:
    """A key for each number, ascending with it (but for "any", where kinds take turns)."""
    if codec == "int":
        return 3 * n
    if codec == "float":
        return n / 4
    if codec == "bytes":
        return PREFIX.encode() + n.to_bytes(3, "big")
    if codec == "str":
        return f"{PREFIX}{n:06d}"
    kinds = (n, n / 2 + 0.25, f"text {n:05d}", b"raw %05d" % n, (n % 7, str(n)))
    return kinds[n % 5]


def value_number(codec: str, n: int) -> Any:
    """A value for each number, of different sizes."""
    if codec == "int":
        return n
    if codec == "float":
        return n / 8
    if codec == "bytes":
        return b"v" * (n % 60)
    if codec == "str":
        return "v" * (n % 60)
    return {"n": n, "list": [n] * (n % 5)} if n % 3 == 0 else n


def _order(left: Any, right: Any) -> int:
    """The documented order of "any": by type, then as Python does."""
    one, other = _kind(left), _kind(right)
    if one != other:
        return -1 if one < other else 1
    if isinstance(left, tuple):
        for a, b in zip(left, right, strict=False):
            found = _order(a, b)
            if found != 0:
                return found
        return _order(len(left), len(right))
    return 0 if left == right else -1 if left < right else 1


def _kind(key: Any) -> int:
    kinds: tuple[Any, ...] = (type(None), (int, float), str, bytes, tuple)
    return next(place for place, kind in enumerate(kinds) if isinstance(key, kind))


model_key = functools.cmp_to_key(_order)
"""The key function that orders the model of a tree with "any" keys."""


def alike(left: Any, right: Any) -> bool:
    """Equal, and of the same types and signs of zero, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict):
        return alike(list(left.items()), list(right.items()))
    return bool(left == right)
