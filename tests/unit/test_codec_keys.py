# SPDX-License-Identifier: Apache-2.0
"""Key codecs: what they take, give back, find and refuse, by example."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import math
import struct
import sys
from typing import Any

import numpy as np
import pytest

from spacejmp.persistence.errors import CorruptError, TooLargeError
from spacejmp.structures._codec import (
    KEY_CODECS,
    VALUE_CODECS,
    codec_id,
    codec_name,
    decode_key,
    encode_key,
    encode_value,
    find_key,
)

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def same(left: Any, right: Any) -> bool:
    """Whether both are equal and of equal types, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


# --- names and ids -----------------------------------------------------------------------------


def test_codec_ids_are_those_on_the_media() -> None:
    ids = {name: codec_id(name, "value") for name in VALUE_CODECS}
    assert ids == {"int": 1, "float": 2, "bytes": 3, "str": 4, "any": 5, "pickle": 6}
    assert {name: codec_id(name, "key") for name in KEY_CODECS} == {
        name: number for name, number in ids.items() if name != "pickle"
    }


@pytest.mark.parametrize("name", VALUE_CODECS)
def test_codec_name_is_the_inverse_of_codec_id(name: str) -> None:
    assert codec_name(codec_id(name, "value"), "value") == name


def test_an_unknown_codec_is_a_value_error_that_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="no key codec 'pickle': choose one of int, float, bytes"):
        codec_id("pickle", "key")
    with pytest.raises(ValueError, match=r"no value codec 'json'.*any, pickle"):
        encode_value("json", 1)
    with pytest.raises(ValueError, match="'key' or a 'value'"):
        codec_id("int", "both")  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "role"), [(0, "key"), (6, "key"), (7, "value"), (-1, "value")])
def test_an_unknown_id_from_media_is_a_corrupt_error(number: int, role: Any) -> None:
    with pytest.raises(CorruptError, match="does not exist"):
        codec_name(number, role)


# --- int and float keys ------------------------------------------------------------------------


def test_int_keys_ascend_as_unsigned_words() -> None:
    numbers = [INT64_MIN, INT64_MIN + 1, -(2**31), -1, 0, 1, 2**30, 2**60, INT64_MAX]
    words = [encode_key("int", number)[0] for number in numbers]
    assert words == sorted(words)
    assert [decode_key("int", word) for word in words] == numbers


class Color(enum.IntEnum):
    RED = 7


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (True, 1),
        (1.0, 1),
        (-0.0, 0),
        (Color.RED, 7),
        (np.int16(-3), -3),
        (np.uint64(5), 5),
        (np.float32(4.0), 4),
        (np.float64(4.0), 4),
        (fractions.Fraction(6, 2), 3),
        (decimal.Decimal(2**62 + 1), 2**62 + 1),
        (-(2.0**63), INT64_MIN),
    ],
)
def test_an_int_key_is_whatever_equals_an_int(given: Any, stored: int) -> None:
    assert same(decode_key("int", *encode_key("int", given)), stored)
    assert find_key("int", given) == (encode_key("int", stored)[0], 0)


@pytest.mark.parametrize(
    "number",
    [2**63, INT64_MIN - 1, 10**5000, 2.0**63, -1e300, math.inf, -math.inf],
    ids=lambda number: type(number).__name__,
)
def test_an_int_key_beyond_64_bits_is_an_overflow_error_that_names_any(number: Any) -> None:
    with pytest.raises(OverflowError, match='key="any"'):
        encode_key("int", number)


def test_an_int_key_that_is_not_whole_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r'1\.5 is not a whole number.*key="float" or key="any"'):
        encode_key("int", 1.5)


@pytest.mark.parametrize(
    ("codec", "key", "beside", "side"),
    [
        ("int", 1.5, 1, 1),
        ("int", -1.5, -2, 1),
        ("int", decimal.Decimal("0.1"), 0, 1),
        ("int", 2**63, INT64_MAX, 1),
        ("int", math.inf, INT64_MAX, 1),
        ("int", 1e19, INT64_MAX, 1),
        ("int", INT64_MIN - 1, INT64_MIN, -1),
        ("int", -math.inf, INT64_MIN, -1),
        ("float", 2**53 + 1, 2.0**53, 1),
        ("float", 2**54 + 3, 2.0**54 + 4, -1),
        ("float", 10**400, sys.float_info.max, 1),
        ("float", -(10**400), -math.inf, 1),
        ("float", fractions.Fraction(1, 3), 1 / 3, 1),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_lookup_of_an_impossible_number_finds_its_place(
    codec: str, key: Any, beside: Any, side: int
) -> None:
    assert find_key(codec, key) == (encode_key(codec, beside)[0], side)


def test_float_keys_ascend_as_unsigned_words() -> None:
    tiny = 5e-324
    numbers = [-math.inf, -1e308, -1.5, -1.0, -tiny, 0.0, tiny, 1.0, 1.5, 1e308, math.inf]
    words = [encode_key("float", number)[0] for number in numbers]
    assert words == sorted(words)
    assert all(map(same, [decode_key("float", word) for word in words], numbers))


def test_a_float_key_minus_zero_is_zero() -> None:
    assert same(decode_key("float", *encode_key("float", -0.0)), 0.0)


@pytest.mark.parametrize("given", [3, True, np.int8(3), np.float32(0.5), fractions.Fraction(1, 2)])
def test_a_float_key_is_whatever_equals_a_float(given: Any) -> None:
    assert same(decode_key("float", *encode_key("float", given)), float(given))


@pytest.mark.parametrize("given", [2**53 + 1, 10**400, decimal.Decimal("0.1")])
def test_a_float_key_that_is_not_exact_is_a_value_error(given: Any) -> None:
    with pytest.raises(ValueError, match=r'not exact as a float.*key="any"'):
        encode_key("float", given)


@pytest.mark.parametrize("codec", ["int", "float", "any"])
def test_nan_is_no_key(codec: str) -> None:
    for look in (encode_key, find_key):
        with pytest.raises(ValueError, match="NaN is not a key"):
            look(codec, math.nan)
    with pytest.raises(ValueError, match="NaN is not a key"):
        encode_key("any", (1, (math.nan,)))


def test_a_stored_nan_key_is_a_corrupt_error() -> None:
    with pytest.raises(CorruptError, match="NaN"):
        decode_key("float", 2**64 - 1)


# --- bytes and str keys ------------------------------------------------------------------------


@pytest.mark.parametrize("given", [b"ab\0", bytearray(b"ab\0"), memoryview(b"ab\0")])
def test_a_bytes_key_is_any_contiguous_bytes(given: Any) -> None:
    assert encode_key("bytes", given) == (b"ab\0", b"")
    assert same(decode_key("bytes", b"ab\0"), b"ab\0")


def test_a_strided_memoryview_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="C-contiguous: convert it with bytes"):
        encode_key("bytes", memoryview(b"abcd")[::2])


@pytest.mark.parametrize(
    "text", ["", "a", "ab", "é", "BRCA1", "日本" * 9, "\ud800", "\udfff\ud800x"]
)
def test_str_keys_come_back_also_with_lone_surrogates(text: str) -> None:
    assert same(decode_key("str", *encode_key("str", text)), text)


def test_a_stored_str_key_that_is_not_utf8_is_a_corrupt_error() -> None:
    for codec, raw in (("str", b"\xff"), ("any", b"\x30\xff"), ("any", b"\x40\x30\xc0\x00\x00")):
        with pytest.raises(CorruptError, match="not UTF-8"):
            decode_key(codec, raw)


@pytest.mark.parametrize(
    ("codec", "key", "found"),
    [
        ("int", "1", "str"),
        ("int", None, "NoneType"),
        ("int", 1j, "complex"),
        ("float", b"1", "bytes"),
        ("bytes", "a", "str"),
        ("bytes", 1, "int"),
        ("str", b"a", "bytes"),
        ("str", fractions.Fraction(1), "fractions.Fraction"),
    ],
)
def test_a_key_of_another_type_is_a_type_error_on_store_and_lookup(
    codec: str, key: Any, found: str
) -> None:
    for look in (encode_key, find_key):
        with pytest.raises(TypeError, match=f"codec '{codec}' is needed, not {found}: convert it"):
            look(codec, key)


@pytest.mark.parametrize(
    ("codec", "key"),
    [
        ("bytes", bytes(2**20 + 1)),
        ("str", "a" * (2**20 + 1)),
        ("str", "é" * (2**19 + 1)),
        ("any", "a" * 2**20),
        ("any", bytes(2**20)),
        ("any", (bytes(2**19 + 9),)),
        ("any", tuple(["abc" * 30000] * 20)),
        ("any", 1 << 2**24),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_key_of_more_than_a_mebibyte_is_too_large(codec: str, key: Any) -> None:
    with pytest.raises(TooLargeError, match="use a shorter key"):
        encode_key(codec, key)


# --- any keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "encoded", "form"),
    [
        (None, "10", ""),
        (0, "20", ""),
        (-0.0, "20", "03"),
        (False, "20", "02"),
        (1, "2202", ""),
        (1.0, "2202", "01"),
        (True, "2202", "02"),
        (-1, "1efd", ""),
        (127, "22fe", ""),
        (128, "2302", ""),
        (300, "230558", ""),
        (0.5, "21ff80", ""),
        (5e-324, "216620", ""),
        (math.inf, "2c", ""),
        (-math.inf, "14", ""),
        (2**63, "2b000008" + "80" + "00" * 7, ""),
        (-(2**63), "15fffff7" + "7f" + "ff" * 7, ""),
        ("a\0", "306100", ""),
        (b"a\0", "386100", ""),
        ((), "4000", ""),
        (("a\0b", b""), "40" + "306100ff6200" + "3800" + "00", ""),
        ((1, (2.0, 3), True), "40" + "2202" + "40" + "2204" + "2206" + "00" + "2202" + "00", "84"),
    ],
)
def test_any_keys_on_the_media(key: Any, encoded: str, form: str) -> None:
    """The encoding is part of the file format: it does not change."""
    assert encode_key("any", key) == (bytes.fromhex(encoded), bytes.fromhex(form))
    assert same(decode_key("any", bytes.fromhex(encoded), bytes.fromhex(form)), key)


def test_small_ints_take_two_bytes() -> None:
    assert max(len(encode_key("any", n)[0]) for n in range(-127, 128)) == 2


@pytest.mark.parametrize(
    ("key", "found", "remedy"),
    [
        ([1], "list", r"tuple\(…\)"),
        (bytearray(b""), "bytearray", r"bytes\(…\)"),
        (Color.RED, "test_codec_keys.Color", r"int\(…\)"),
        (np.float64(1), "numpy.float64", r"float\(…\)"),
        (np.int64(1), "numpy.int64", r"int\(…\)"),
        (np.str_("a"), "numpy.str_", r"str\(…\)"),
        (decimal.Decimal(1), "decimal.Decimal", r"float\(…\)"),
        (1j, "complex", "a str or a tuple"),
        (dt.date(2020, 1, 1), "datetime.date", "a str or a tuple"),
        (frozenset(), "frozenset", "a str or a tuple"),
    ],
)
def test_any_keys_of_other_types_are_type_errors(key: Any, found: str, remedy: str) -> None:
    for nested in (key, (0, (key,))):
        with pytest.raises(TypeError, match=f"not .*{found}: convert it.*{remedy}"):
            encode_key("any", nested)


def test_any_keys_have_a_limit_of_nesting() -> None:
    key: tuple[Any, ...] = ()
    for _ in range(127):
        key = (key,)
    assert decode_key("any", *encode_key("any", key)) == key
    with pytest.raises(ValueError, match="deeper than 128"):
        encode_key("any", (key,))
    with pytest.raises(CorruptError):
        decode_key("any", b"\x40" * 1000 + b"\0" * 1000)


def test_a_key_with_too_many_floats_is_too_large() -> None:
    most = (0,) * 262139 + (0.0,)
    assert decode_key("any", *encode_key("any", most)) == most
    with pytest.raises(TooLargeError, match="too many floats and bools"):
        encode_key("any", (0, *most))


@pytest.mark.parametrize(
    ("encoded", "form"),
    [
        ("", ""),
        ("00", ""),
        ("13", ""),
        ("1000", ""),
        ("10", "01"),
        ("20", "00"),
        ("20", "04"),
        ("20", "0300"),
        ("2202", "03"),
        ("2204", "02"),
        ("1efd", "02"),
        ("2200", ""),
        ("220300", ""),
        ("2203", ""),
        ("2202ff", ""),
        ("21", ""),
        ("210002", ""),
        ("216602", ""),
        ("21ff80", "01"),
        ("22" + "03" * 9 + "02", ""),
        ("2bffffff", ""),
        ("2b000008" + "7f" + "00" * 7, ""),
        ("2b000009" + "00" * 9, ""),
        ("2b000009" + "ff" * 9, "01"),
        ("2b000080" + "ff" * 128, "01"),
        ("3061", "01"),
        ("2c", "01"),
        ("40", ""),
        ("4010", ""),
        ("40306100", ""),
    ],
)
def test_damaged_any_keys_are_corrupt_errors(encoded: str, form: str) -> None:
    with pytest.raises(CorruptError):
        decode_key("any", bytes.fromhex(encoded), bytes.fromhex(form))
