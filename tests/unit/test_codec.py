# SPDX-License-Identifier: Apache-2.0
"""Key and value codecs: what they take, give back and refuse, by example."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import gc
import io
import math
import pathlib
import pickle
import struct
import subprocess
import sys
import uuid
import zoneinfo
from typing import Any

import msgpack
import numpy as np
import pytest

from spacejmp.persistence.errors import CorruptError, TooLargeError
from spacejmp.structures import anycodec
from spacejmp.structures._codec import (
    KEY_CODECS,
    VALUE_CODECS,
    codec_id,
    codec_name,
    decode_key,
    decode_value,
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
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, (set, frozenset)):
        return left == right and all(any(same(a, b) for b in right) for a in left)
    if isinstance(left, decimal.Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, (dt.datetime, dt.time)):
        same_zone = same(left.tzinfo, right.tzinfo) and left.fold == right.fold
        return same_zone and left.replace(tzinfo=None) == right.replace(tzinfo=None)
    if isinstance(left, np.ndarray):
        layout = left.dtype == right.dtype and left.shape == right.shape
        return layout and left.tobytes() == right.tobytes()
    if isinstance(left, np.generic):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    return bool(left == right)


# --- names and ids -----------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="no value codec 'json'.*any, pickle"):
        encode_value("json", 1)
    with pytest.raises(ValueError, match="'key' or a 'value'"):
        codec_id("int", "both")  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "role"), [(0, "key"), (6, "key"), (7, "value"), (-1, "value")])
def test_an_unknown_id_from_media_is_a_corrupt_error(number: int, role: Any) -> None:
    with pytest.raises(CorruptError, match="does not exist"):
        codec_name(number, role)


# --- int and float keys ------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match='not exact as a float.*key="any"'):
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


# --- bytes and str keys ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [b"ab\0", bytearray(b"ab\0"), memoryview(b"ab\0")])
def test_a_bytes_key_is_any_contiguous_bytes(given: Any) -> None:
    assert encode_key("bytes", given) == (b"ab\0", b"")
    assert same(decode_key("bytes", b"ab\0"), b"ab\0")


def test_a_strided_memoryview_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="C-contiguous: convert it with bytes"):
        encode_key("bytes", memoryview(b"abcd")[::2])


@pytest.mark.parametrize("text", ["", "a", "ab", "é", "BRCA1", "日本" * 9, "\ud800", "\udfff\ud800x"])
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


# --- any keys ----------------------------------------------------------------------------------------


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
        (Color.RED, "test_codec.Color", r"int\(…\)"),
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


# --- plain values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "given", "encoded", "back"),
    [
        ("int", -1, 2**64 - 1, -1),
        ("int", True, 1, 1),
        ("int", np.int32(-5), 2**64 - 5, -5),
        ("float", 1.5, 0x3FF8000000000000, 1.5),
        ("float", -0.0, 1 << 63, -0.0),
        ("float", 3, 0x4008000000000000, 3.0),
        ("float", np.float32(1.5), 0x3FF8000000000000, 1.5),
        ("bytes", b"ab", b"ab", b"ab"),
        ("bytes", bytearray(b"ab"), b"ab", b"ab"),
        ("str", "é\ud800", b"\xc3\xa9\xed\xa0\x80", "é\ud800"),
        ("str", np.str_("ab"), b"ab", "ab"),
    ],
)
def test_plain_values(codec: str, given: Any, encoded: Any, back: Any) -> None:
    assert encode_value(codec, given) == encoded
    assert same(decode_value(codec, encoded), back)


def test_nan_is_a_value_and_keeps_its_bits() -> None:
    for bits in (0x7FF8000000000001, 0xFFF8000000000000):
        number = struct.unpack("d", struct.pack("Q", bits))[0]
        assert encode_value("float", number) == bits
        assert same(decode_value("any", encode_value("any", number)), number)


@pytest.mark.parametrize(
    ("codec", "value", "found"),
    [
        ("int", 1.0, "float"),
        ("int", "1", "str"),
        ("float", "1", "str"),
        ("float", 1j, "complex"),
        ("bytes", "a", "str"),
        ("bytes", [1], "list"),
        ("str", b"a", "bytes"),
        ("str", None, "NoneType"),
    ],
)
def test_a_plain_value_of_another_type_is_a_type_error(codec: str, value: Any, found: str) -> None:
    with pytest.raises(TypeError, match=f"codec '{codec}' is needed, not {found}: convert it"):
        encode_value(codec, value)


def test_an_int_value_beyond_64_bits_is_an_overflow_error() -> None:
    for number in (2**63, INT64_MIN - 1, 10**5000):
        with pytest.raises(OverflowError, match='value="any"'):
            encode_value("int", number)


def test_pickle_stores_what_pickle_stores() -> None:
    value = {"point": collections.OrderedDict(a=1), "part": fractions.Fraction(1, 3)}
    encoded = encode_value("pickle", value)
    assert isinstance(encoded, bytes)
    assert same(pickle.loads(encoded)["part"], value["part"])
    assert same(decode_value("pickle", encoded), value)


# --- any values --------------------------------------------------------------------------------------

UTC = dt.timezone.utc
CET = dt.timezone(dt.timedelta(hours=1))
NAMED = dt.timezone(dt.timedelta(hours=-3, minutes=-30), "home")
VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
ALIGNED = np.dtype([("a", "u1"), ("b", "<f8")], align=True)
NESTED = np.dtype([("xy", "<i2", (2, 3)), ("in", [("s", "S3"), ("u", "<U2")]), (("t", "v"), ">m8[s]")])
OVERLAP = np.dtype({"names": ["x", "y"], "formats": ["<i4", "<i2"], "offsets": [0, 2], "itemsize": 8})

VALUES: list[Any] = [
    None,
    True,
    False,
    *(sign * (2**bits + more) for bits in range(65) for more in (-1, 0, 1) for sign in (1, -1)),
    10**400,
    -(10**400),
    0.0,
    -0.0,
    1.0,
    math.inf,
    -math.inf,
    5e-324,
    complex(-0.0, 0.0),
    complex(math.inf, -1.5),
    *("a" * size for size in (0, 1, 31, 32, 255, 256, 65535, 65536)),
    "é\ud800\udc00",
    "\0",
    *(b"a" * size for size in (0, 1, 255, 256, 65535, 65536)),
    *(bytearray(b"a" * size) for size in (0, 2, 6, 14, 251, 252, 256, 65530, 65536)),
    *([None] * size for size in (0, 1, 15, 16, 65535, 65536)),
    *((0,) * size for size in (0, 1, 3, 7, 15, 16, 254, 255, 256, 65535, 65536)),
    {},
    {str(n): n for n in range(15)},
    {n: str(n) for n in range(70000)},
    {"z": 1, "a": 2, 3: None, None: 4, (1, "x"): [()], b"k": {}, 1.5: 0, frozenset({1}): 1},
    set(),
    {1, "a", (2.0, frozenset({b"x"}))},
    frozenset(range(300)),
    [[[], {}], ({"a": [(set(),)]},)],
    dt.date.min,
    dt.date.max,
    dt.time(1, 2, 3, 4),
    dt.time(1, 2, 3, 4, fold=1, tzinfo=CET),
    dt.datetime.min,
    dt.datetime.max,
    dt.datetime(2024, 10, 27, 2, 30, fold=1),
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=VIENNA),
    dt.datetime(2024, 10, 27, 2, 30, 1, 999999, tzinfo=UTC),
    dt.datetime(2024, 10, 27, tzinfo=NAMED),
    dt.timedelta.min,
    dt.timedelta.max,
    dt.timedelta(-1, 1, 1),
    UTC,
    CET,
    NAMED,
    VIENNA,
    *map(decimal.Decimal, ("0", "-0E+5", "1.10", "1E-999", "NaN", "-sNaN12", "Infinity", "9" * 99)),
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
    pathlib.Path("/a/b c"),
    pathlib.Path(),
    pathlib.PurePosixPath("a\udcff"),
    pathlib.PureWindowsPath("c:\\x\\y"),
    np.arange(6, dtype="<i2").reshape(2, 3),
    np.arange(6, dtype=">f8").reshape(2, 3)[:, ::2],
    np.array(5.5),
    np.array([], dtype="<U3"),
    np.zeros((3, 0, 2), dtype="S1"),
    np.array(["a", "bcd\0"], dtype="<U4"),
    np.array([True, False]),
    np.array(["2020-01-01", "NaT"], dtype="<M8[ns]"),
    np.array([1 + 2j], dtype=np.complex64),
    np.array([1, 2], dtype=np.longlong),
    np.array([1.25], dtype=np.longdouble),
    np.zeros(2, dtype=ALIGNED),
    np.zeros((1, 2), dtype=NESTED),
    np.zeros(3, dtype=OVERLAP),
    np.zeros(2, dtype="V5"),
    np.bool_(True),
    np.float16(1.5),
    np.float64(-0.0),
    np.longlong(3),
    np.uint64(2**64 - 1),
    np.complex128(1 - 1j),
    np.datetime64("2020-01-01T00:00", "25m"),
    np.timedelta64("NaT"),
    np.str_("a\0"),
    np.bytes_(b"a\0"),
    np.void(b"abc"),
    np.zeros(1, dtype=NESTED)[0],
    {"array": [np.arange(3)], (np.int8(1),): np.float32(2)},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_any_gives_back_exactly_what_it_was_given(value: Any) -> None:
    encoded = encode_value("any", value)
    assert isinstance(encoded, bytes)
    assert same(decode_value("any", encoded), value)
    msgpack.unpackb(encoded, strict_map_key=False, unicode_errors="surrogatepass", use_list=False)


def test_arrays_come_back_writable_and_in_their_order() -> None:
    given = np.asfortranarray(np.arange(6).reshape(2, 3))
    back = decode_value("any", encode_value("any", given))
    assert back.flags.f_contiguous and back.flags.writeable and back.flags.owndata
    assert np.array_equal(back, given)


def test_timezone_utc_and_zones_come_back_as_the_same_objects() -> None:
    assert decode_value("any", encode_value("any", UTC)) is UTC
    assert decode_value("any", encode_value("any", VIENNA)) is VIENNA


class Pair(collections.namedtuple("Pair", "a b")):
    __slots__ = ()


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Row:
    a: int = 0


@pytest.mark.parametrize(
    ("value", "found", "remedy"),
    [
        (object(), "object", "a dict, a list"),
        (Pair(1, 2), "test_codec.Pair", r"tuple\(…\)"),
        (Text("a"), "test_codec.Text", r"str\(…\)"),
        (Color.RED, "test_codec.Color", r"int\(…\)"),
        (collections.OrderedDict(), "collections.OrderedDict", r"dict\(…\)"),
        (collections.Counter(), "collections.Counter", r"dict\(…\)"),
        (Row(), "test_codec.Row", r"dataclasses.asdict\(…\)"),
        (memoryview(b""), "memoryview", r"bytes\(…\)"),
        (range(3), "range", "a dict, a list"),
        (fractions.Fraction(1, 2), "fractions.Fraction", "a dict, a list"),
        (msgpack.ExtType(4, b"\x90"), "ExtType", r"tuple\(…\)"),
        (msgpack.Timestamp(1), "Timestamp", "a dict, a list"),
        (np.array([None]), "numpy array of dtype object", "tolist"),
        (np.zeros(2, dtype=[]), r"numpy array of dtype \[\]", "tolist"),
        (np.ma.masked_array([1]), "MaskedArray", "a dict, a list"),
        (np.zeros(1, dtype=[("a", "u1")]).view(np.recarray), "recarray", "a dict, a list"),
        (np.dtype("f8"), "numpy", "a dict, a list"),
        (type("Zone", (dt.tzinfo,), {})(), "Zone", "a dict, a list"),
        (type("Day", (dt.date,), {})(2020, 1, 1), "Day", "a dict, a list"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_refuses_what_it_could_not_give_back(value: Any, found: str, remedy: str) -> None:
    for nested in (value, [value], {"a": (value,)}):
        with pytest.raises(TypeError, match=f'{found}.*{remedy}.*value="pickle"'):
            encode_value("any", nested)


def test_a_zone_without_a_key_is_a_type_error() -> None:
    tzfile = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    tzfile += struct.pack(">lbb", 3600, 0, 0) + b"CET\0"
    zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(tzfile))
    with pytest.raises(TypeError, match="this one has none"):
        encode_value("any", zone)


def test_a_value_that_contains_itself_is_a_value_error() -> None:
    itself: list[Any] = []
    itself.append(itself)
    table: dict[str, Any] = {}
    table["a"] = ({"b": table},)
    for value in (itself, table):
        with pytest.raises(ValueError, match="or contains itself"):
            encode_value("any", value)


def test_what_is_nested_as_deep_as_can_be_encoded_can_be_decoded() -> None:
    for innermost in ([], (), {}, set(), 1j, dt.datetime(2020, 1, 1, tzinfo=CET), np.zeros((1, 1))):
        value: Any = innermost
        deepest = b""
        while True:
            try:
                encoded = encode_value("any", value)
            except ValueError:
                break
            assert isinstance(encoded, bytes)
            deepest = encoded
            value = [value] if len(deepest) % 2 else (value,)
        assert encode_value("any", decode_value("any", deepest)) == deepest


def test_a_container_that_changes_while_it_is_stored_is_a_runtime_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode_value("any", dt.date.min)
    containers: list[Any] = [[], {}, set()]

    def grow(value: dt.date) -> tuple[int, object]:
        containers[0].append(1)
        containers[1][1] = 1
        containers[2].add(1)
        return anycodec.DATE, 1

    monkeypatch.setitem(anycodec._reducers, dt.date, grow)
    for place in range(3):
        containers[:] = [[dt.date.min], {dt.date.min: 0}, {dt.date.min}]
        with pytest.raises(RuntimeError, match="changed (its )?size"):
            encode_value("any", containers[place])


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "c1",
        "0000",
        "a5616263",
        "a1ff",
        "dbffffffff",
        "c6ffffffff",
        "ddffffffff",
        "dfffffffff",
        "9101" + "01",
        "8101",
        "819001",
        "c70001",
        "d4010a",
        "d40080",
        "d4ff00",
        "d60500000000",
        "c7ff0490",
        "c7020490",
        "c7030490c0",
        "d502c0c0",
        "d41000",
        "d41b01",
    ],
)
def test_damaged_any_values_are_corrupt_errors(encoded: str) -> None:
    with pytest.raises(CorruptError):
        decode_value("any", bytes.fromhex(encoded))


EVIL = [
    (16, 0),
    (17, [25, 0, 0, 0]),
    (18, [2020, 2, 30, 0, 0, 0, 0]),
    (18, [2020, 2, 1, 0, 0, 0, 0, 0, "zone"]),
    (19, [0.5, 0, 0]),
    (19, [10**12, 0, 0]),
    (20, [1]),
    (21, "../../etc/passwd"),
    (21, "Europe"),
    (21, "No/Where"),
    (21, 5),
    (22, "one"),
    (22, 1.5),
    (23, b"short"),
    (23, [0] * 16),
    (24, ["PosixPath"]),
    (24, ["Path", "a"]),
    (24, ["PosixPath", 1]),
    (25, ["|O", [1], "C", bytes(8)]),
    (25, ["O", [1], "C", bytes(8)]),
    (25, ["<f8", [2**62], "C", bytes(8)]),
    (25, ["<f8", [-1, -1], "C", bytes(8)]),
    (25, ["<f8", [0, 2**70], "C", b""]),
    (25, ["<f8", [1], "A", bytes(8)]),
    (25, ["<f8", [1] * 99, "C", bytes(8)]),
    (25, ["<f8,<f8", [1], "C", bytes(16)]),
    (25, [["<f8"], [1], "C", bytes(8)]),
    (25, [[["a"], ["|O"], [0], [None], 8, False], [1], "C", bytes(8)]),
    (25, [[["a"], ["<f8"], [100], [None], 8, False], [1], "C", bytes(8)]),
    (25, [[["a", "a"], ["|u1", "|u1"], [0, 1], [None, None], 2, False], [1], "C", bytes(2)]),
    (26, ["<f8", b""]),
    (26, [["<f8", [10**9, 10**9]], bytes(8)]),
    (26, 5),
    (27, 0),
    (15, 0),
    (127, None),
]


@pytest.mark.parametrize(("code", "parts"), EVIL)
def test_extensions_with_parts_that_do_not_fit_are_corrupt_errors(code: int, parts: Any) -> None:
    payload = encode_value("any", parts)
    assert isinstance(payload, bytes)
    with pytest.raises(CorruptError):
        decode_value("any", msgpack.packb(msgpack.ExtType(code, payload)))


def test_nothing_is_allocated_that_the_bytes_do_not_pay_for() -> None:
    """Each of the nested arrays claims as many elements as there are bytes."""
    import tracemalloc

    size = 1 << 20
    hostile = (b"\xdd" + (size - 2000).to_bytes(4, "big")) * 200
    hostile += bytes(size - len(hostile))
    with pytest.raises(CorruptError):
        decode_value("any", hostile)  # loads what it needs
    tracemalloc.start()
    with pytest.raises(CorruptError):
        decode_value("any", hostile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * size


def test_no_collection_runs_while_a_container_is_decoded() -> None:
    value = encode_value("any", [[n] for n in range(5000)])
    key = encode_key("any", tuple((n,) for n in range(5000)))
    runs: list[str] = []
    threshold = gc.get_threshold()

    def note(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    gc.callbacks.append(note)
    gc.set_threshold(10, 1000, 1000)
    try:
        back = decode_value("any", value), decode_key("any", *key)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)
    assert len(back[0]) == len(back[1]) == 5000
    assert len(runs) < 20
    assert gc.isenabled()


def test_the_collector_is_left_as_it_was() -> None:
    value, damaged = encode_value("any", [1]), b"\x91"
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            decode_value("any", value)
            assert gc.isenabled() is enabled
            with pytest.raises(CorruptError):
                decode_value("any", damaged)
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_importing_the_codecs_imports_nothing_heavy() -> None:
    code = (
        "import sys, spacejmp.structures._codec as codec\n"
        "before = set(sys.modules)\n"
        "codec.encode_value('any', {'a': [1, (2.5, b'')]})\n"
        "codec.encode_key('any', (1, 'a'))\n"
        "print(sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_encoding_and_decoding_keep_no_references() -> None:
    values = ["x" * 500, 10**300, {"a": [(1.5, b"z" * 200)]}, dt.datetime(2020, 1, 1, tzinfo=CET)]
    keys = ["é" * 300, "\ud800" * 60, (1, ("b" * 300, 2.5)), b"q" * 100, 2**70]

    def work() -> None:
        for value in values:
            decode_value("any", encode_value("any", value))
        for key in keys:
            decode_key("any", *encode_key("any", key))
            find_key("any", key)
        for bad in ([object()], ["x" * 500, object()], (1, "y" * 500, object())):
            with pytest.raises(TypeError):
                encode_value("any", bad)
            with pytest.raises(TypeError):
                encode_key("any", tuple(bad))

    import tracemalloc

    for _ in range(20):
        work()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(200):
        work()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000
