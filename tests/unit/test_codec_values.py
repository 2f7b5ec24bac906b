# SPDX-License-Identifier: Apache-2.0
"""Value codecs: what they take, give back and refuse, by example, and what damaged bytes do."""

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
import tracemalloc
import uuid
import zoneinfo
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest

from spacejmp.persistence.errors import CorruptError
from spacejmp.structures import anycodec
from spacejmp.structures._codec import (
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    find_key,
)


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
        return bool(left.as_tuple() == right.as_tuple())
    if isinstance(left, (dt.datetime, dt.time)):
        same_zone = same(left.tzinfo, right.tzinfo) and left.fold == right.fold
        return same_zone and left.replace(tzinfo=None) == right.replace(tzinfo=None)
    if isinstance(left, np.ndarray):
        layout = left.dtype == right.dtype and left.shape == right.shape
        return bool(layout and left.tobytes() == right.tobytes())
    if isinstance(left, np.generic):
        return bool(left.dtype == right.dtype) and left.tobytes() == right.tobytes()
    return bool(left == right)


# --- plain values ------------------------------------------------------------------------------


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
    for number in (2**63, -(2**63) - 1, 10**5000):
        with pytest.raises(OverflowError, match='value="any"'):
            encode_value("int", number)


def test_pickle_stores_what_pickle_stores() -> None:
    value = {"point": collections.OrderedDict(a=1), "part": fractions.Fraction(1, 3)}
    encoded = encode_value("pickle", value)
    assert same(pickle.loads(encoded)["part"], value["part"])
    assert same(decode_value("pickle", encoded), value)


# --- any values --------------------------------------------------------------------------------

UTC = dt.timezone.utc
CET = dt.timezone(dt.timedelta(hours=1))
NAMED = dt.timezone(dt.timedelta(hours=-3, minutes=-30), "home")
VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
ALIGNED = np.dtype([("a", "u1"), ("b", "<f8")], align=True)
NESTED = np.dtype(
    [("xy", "<i2", (2, 3)), ("in", [("s", "S3"), ("u", "<U2")]), (("t", "v"), ">m8[s]")]
)
OVERLAP = np.dtype(
    {"names": ["x", "y"], "formats": ["<i4", "<i2"], "offsets": [0, 2], "itemsize": 8}
)

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
    dt.datetime.min,  # noqa: DTZ901
    dt.datetime.max,  # noqa: DTZ901
    dt.datetime(2024, 10, 27, 2, 30, fold=1),  # noqa: DTZ001
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
    np.datetime64("2020-01-01T00:00", ("m", 25)),
    np.timedelta64("NaT", "s"),
    np.str_("a\0"),
    np.bytes_(b"a\0"),
    np.void(b"abc"),
    np.zeros(1, dtype=NESTED)[0],
    {"array": [np.arange(3)], (np.int8(1),): np.float32(2)},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_any_gives_back_exactly_what_it_was_given(value: Any) -> None:
    encoded = encode_value("any", value)
    assert same(decode_value("any", encoded), value)
    msgpack.unpackb(encoded, strict_map_key=False, unicode_errors="surrogatepass", use_list=False)


def test_arrays_come_back_writable_and_in_their_order() -> None:
    given = np.asfortranarray(np.arange(6).reshape(2, 3))
    back = decode_value("any", encode_value("any", given))
    assert back.flags.f_contiguous
    assert back.flags.writeable
    assert back.flags.owndata
    assert np.array_equal(back, given)


def test_timezone_utc_and_zones_come_back_as_the_same_objects() -> None:
    assert decode_value("any", encode_value("any", UTC)) is UTC
    assert decode_value("any", encode_value("any", VIENNA)) is VIENNA


class Color(enum.IntEnum):
    RED = 7


class Pair(NamedTuple):
    a: int
    b: int


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Row:
    a: int = 0


@pytest.mark.parametrize(
    ("value", "found", "remedy"),
    [
        (object(), "object", "a dict, a list"),
        (Pair(1, 2), "test_codec_values.Pair", r"tuple\(…\)"),
        (Text("a"), "test_codec_values.Text", r"str\(…\)"),
        (Color.RED, "test_codec_values.Color", r"int\(…\)"),
        (collections.OrderedDict(), "collections.OrderedDict", r"dict\(…\)"),
        (collections.Counter(), "collections.Counter", r"dict\(…\)"),
        (Row(), "test_codec_values.Row", r"dataclasses.asdict\(…\)"),
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
    zoned = dt.datetime(2020, 1, 1, tzinfo=CET)
    innermosts: list[Any] = [[], (), {}, set(), 1j, zoned, np.zeros((1, 1))]
    for innermost in innermosts:
        value: Any = innermost
        deepest = b""
        while True:
            try:
                encoded = encode_value("any", value)
            except ValueError:
                break
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
        with pytest.raises(RuntimeError, match=r"changed (its )?size"):
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
    with pytest.raises(CorruptError):
        decode_value("any", msgpack.packb(msgpack.ExtType(code, payload)))


def test_nothing_is_allocated_that_the_bytes_do_not_pay_for() -> None:
    """Each of the nested arrays claims as many elements as there are bytes."""
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
