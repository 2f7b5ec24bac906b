# SPDX-License-Identifier: Apache-2.0
"""The `any` codec against Python: order and equality of keys, exact round trips, hostile bytes."""

from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Any

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacejmp.persistence.errors import CorruptError
from spacejmp.structures._codec import (
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    find_key,
)

many = settings(deadline=None, max_examples=150)


def named(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same strategy, with a short repr."""

    @st.composite
    def one(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return one()


def near(center: int) -> st.SearchStrategy[int]:
    return st.integers(center - 3, center + 3)


EDGES = [sign * 2**bits for bits in (7, 14, 31, 53, 56, 63, 64, 70, 1023) for sign in (1, -1)]
INTS = named(
    st.one_of(
        st.integers(-300, 300),
        st.integers(-(10**400), 10**400),
        st.sampled_from(EDGES).flatmap(near),
    )
)
FLOATS = st.one_of(
    st.floats(allow_nan=False),
    st.floats(2.0**52, 2.0**54),
    st.floats(-5e-320, 5e-320),
    st.floats(-2, 2),
    st.integers(-(2**70), 2**70).map(float),
    st.sampled_from([math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 2.0**63]),
)
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=6) | st.text(
    st.sampled_from(
        "\0\x01a\x7f\x80\u07ff\u0800\ud7ff\ud800\udfff\ue000\uffff\U00010000\U0010ffff"
    ),
    max_size=6,
)
RAWS = st.binary(max_size=6) | st.binary(max_size=3).map(lambda raw: raw.replace(b"\1", b"\0\xff"))
NUMBERS = st.one_of(st.booleans(), INTS, FLOATS)
KEYS = named(
    st.recursive(
        st.one_of(st.none(), NUMBERS, TEXTS, RAWS),
        lambda inner: st.lists(inner, max_size=4).map(tuple),
        max_leaves=12,
    )
)


def rank(key: Any) -> int:
    kinds: tuple[Any, ...] = (type(None), (int, float), str, bytes, tuple)
    return next(place for place, kind in enumerate(kinds) if isinstance(key, kind))


def order(left: Any, right: Any) -> int:
    """Compare as documented: by type, then as Python does."""
    if rank(left) != rank(right):
        return -1 if rank(left) < rank(right) else 1
    if isinstance(left, tuple):
        for one, other in zip(left, right, strict=False):
            found = order(one, other)
            if found != 0:
                return found
        return order(len(left), len(right))
    if left is None or left == right:
        return 0
    return -1 if left < right else 1


def alike(left: Any, right: Any) -> bool:
    """Equal, and of the same types and signs of zero throughout."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict):
        return alike(list(left.items()), list(right.items()))
    return bool(left == right)


def check_pair(left: Any, right: Any) -> None:
    one, other = encode_key("any", left)[0], encode_key("any", right)[0]
    assert (one > other) - (one < other) == order(left, right)
    assert (one == other) == (left == right)
    try:
        less = left < right
    except TypeError:
        return
    assert (one < other) == less


@many
@given(KEYS, KEYS)
@example((1,), (1, None))
@example(("a",), ("a\0",))
@example(("a", 1), ("a\0", 0))
@example((b"a\0\xff",), (b"a\0",))
@example(2**53 + 1, 2.0**53)
@example(-0.0, False)
@example(2**63, 2.0**63)
@example(2**63 - 1, 2.0**63)
@example(5e-324, -5e-324)
def test_encoded_keys_compare_as_python_does(left: Any, right: Any) -> None:
    check_pair(left, right)


@many
@given(NUMBERS, NUMBERS)
def test_encoded_numbers_compare_as_python_does(left: Any, right: Any) -> None:
    check_pair(left, right)
    check_pair((left, right), (right, left))


@many
@given(FLOATS, st.integers(-3, 3))
def test_neighbours_of_a_float_are_on_the_right_side(number: float, step: int) -> None:
    if math.isfinite(number):
        check_pair(number, math.nextafter(number, math.inf))
        check_pair(number, int(number) + step)


@many
@given(st.tuples(KEYS, KEYS), st.tuples(KEYS, KEYS, KEYS))
def test_tuples_that_share_a_beginning_are_in_order(first: Any, second: Any) -> None:
    check_pair(first, first + second)
    check_pair(first + second, (*first, second))
    check_pair((first, *second), (first, second))


@many
@given(KEYS)
def test_keys_come_back_exactly(key: Any) -> None:
    encoded, form = encode_key("any", key)
    assert alike(decode_key("any", encoded, form), key)
    assert find_key("any", key) == (encoded, 0)


@many
@given(st.lists(KEYS, max_size=20))
def test_sorted_encodings_are_sorted_keys(keys: list[Any]) -> None:
    import functools

    by_bytes = sorted(keys, key=lambda key: encode_key("any", key)[0])
    by_model = sorted(keys, key=functools.cmp_to_key(order))
    assert alike(by_bytes, by_model)


@many
@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(allow_nan=False)))
def test_word_keys_are_in_order(ints: list[int], floats: list[float]) -> None:
    assert sorted(ints, key=lambda key: encode_key("int", key)[0]) == sorted(ints)
    assert sorted(floats, key=lambda key: encode_key("float", key)[0]) == sorted(floats)


@many
@given(st.lists(st.integers(-5, 5)), NUMBERS)
def test_a_number_is_found_where_it_belongs(ints: list[int], number: Any) -> None:
    """`side` says where a number that is no key of the codec lies."""
    keys: dict[str, list[Any]] = {"int": sorted({*ints, -(2**63), 2**63 - 1}), "float": []}
    keys["float"] = [-math.inf, *map(float, keys["int"][1:-1]), 2.0**53, 2.0**53 + 2, math.inf]
    for codec, stored in keys.items():
        word, side = find_key(codec, number)
        near_key = decode_key(codec, word)
        assert (number > near_key) - (number < near_key) == side
        below = [key for key in stored if key < number]
        words = [encode_key(codec, key)[0] for key in stored]
        assert len([each for each in words if each < word or (side > 0 and each == word)]) == len(
            below
        )


@many
@given(st.one_of(st.text(), TEXTS))
def test_str_keys_are_in_code_point_order_and_come_back(text: str) -> None:
    encoded, form = encode_key("str", text)
    assert decode_key("str", encoded, form) == text
    for other in ("", "a", "\ud800", "\ue000", "\U00010000"):
        beside = encode_key("str", other)[0]
        assert (encoded < beside) == (text < other)


# --- values ------------------------------------------------------------------------------------

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=True),
        st.text(max_size=40),
        TEXTS,
        st.binary(max_size=300),
    ),
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(
            st.one_of(st.text(max_size=9), st.integers(-(2**63), 2**63)), inner, max_size=20
        )
    ),
    max_leaves=40,
)
ZONES = st.none() | st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone)
SCALARS = st.one_of(
    st.none(),
    NUMBERS,
    TEXTS,
    RAWS,
    st.complex_numbers(allow_nan=False),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
HASHABLE = named(
    st.recursive(
        named(SCALARS),
        lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
        max_leaves=4,
    )
)
VALUES = named(
    st.recursive(
        HASHABLE | st.binary(max_size=20).map(bytearray),
        lambda inner: st.one_of(
            st.lists(inner, max_size=5),
            st.lists(inner, max_size=5).map(tuple),
            st.dictionaries(HASHABLE, inner, max_size=5),
            st.sets(HASHABLE, max_size=5),
        ),
        max_leaves=8,
    )
)


@many
@given(PLAIN)
def test_plain_values_are_what_msgpack_writes_and_reads(value: Any) -> None:
    packed = msgpack.packb(value, unicode_errors="surrogatepass")
    assert encode_value("any", value) == packed
    assert alike(decode_value("any", packed), value)


@many
@given(VALUES)
def test_values_come_back_exactly(value: Any) -> None:
    assert alike(decode_value("any", encode_value("any", value)), value)


# --- hostile bytes -----------------------------------------------------------------------------


def decode_or_corrupt(encoded: bytes) -> None:
    try:
        value = decode_value("any", encoded)
    except CorruptError:
        return
    encode_value("any", value)


def damage(encoded: bytes, flips: list[tuple[int, int]], cut: int) -> bytes:
    damaged = bytearray(encoded)
    for place, mask in flips:
        if damaged:
            damaged[place % len(damaged)] ^= mask
    return bytes(damaged[: max(0, len(damaged) - cut)])


FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=3)


@many
@given(st.binary(max_size=60))
def test_hostile_values_give_a_value_or_a_corrupt_error(encoded: bytes) -> None:
    decode_or_corrupt(encoded)


@many
@given(VALUES, FLIPS, st.integers(0, 2))
def test_damaged_values_give_a_value_or_a_corrupt_error(
    value: Any, flips: list[tuple[int, int]], cut: int
) -> None:
    encoded = encode_value("any", value)
    decode_or_corrupt(damage(encoded, flips, cut))


ATOMS = st.one_of(
    st.sampled_from(["<f8", "|O", "<M8[ns]", "|S3", "C", "PosixPath", "UTC", "|V0", "<U99999999"]),
    st.integers(-2, 70),
    st.integers(),
    VALUES,
)


@many
@given(st.integers(-128, 127), ATOMS | st.lists(ATOMS | st.lists(ATOMS, max_size=6), max_size=9))
def test_extensions_with_any_parts_give_a_value_or_a_corrupt_error(code: int, parts: Any) -> None:
    payload = encode_value("any", parts)
    decode_or_corrupt(b"\xc9" + struct.pack(">IB", len(payload), code & 255) + payload)


def check_hostile_key(encoded: bytes, form: bytes) -> None:
    """What is accepted is canonical: there is one encoding for a key."""
    try:
        key = decode_key("any", encoded, form)
    except CorruptError:
        return
    assert encode_key("any", key) == (encoded, form)


TAGS = st.sampled_from([0, 1, 2, 0x10, *range(0x14, 0x2D), 0x30, 0x38, 0x40, 0x80, 0xFF])


@many
@given(
    st.one_of(st.binary(max_size=30), st.lists(TAGS, max_size=20).map(bytes)),
    st.one_of(st.just(b""), st.binary(max_size=3)),
)
def test_hostile_keys_give_a_key_or_a_corrupt_error(encoded: bytes, form: bytes) -> None:
    check_hostile_key(encoded, form)


@many
@given(KEYS, FLIPS, st.integers(0, 2), FLIPS)
def test_damaged_keys_give_a_key_or_a_corrupt_error(
    key: Any, flips: list[tuple[int, int]], cut: int, form_flips: list[tuple[int, int]]
) -> None:
    encoded, form = encode_key("any", key)
    check_hostile_key(damage(encoded, flips, cut), damage(form, form_flips, 0))
