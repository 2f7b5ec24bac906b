# SPDX-License-Identifier: Apache-2.0
"""The types of the `any` codec that are not msgpack's own, as parts that are.

An object of such a type is stored as a msgpack extension: a code, and a payload that is one value
of simpler types, its *parts*. `reduce` takes an object apart, `build` makes it again. The codes are
on the media and never change:

====  ==================  =====================================================================
code  type                payload
====  ==================  =====================================================================
1     int beyond 64 bits  bytes: two's complement, big endian
2     complex             [real, imaginary]
3     bytearray           bytes
4     tuple               its elements
5     set                 its elements
6     frozenset           its elements
16    date                days since 0001-01-01, which is 1
17    time                [hour, minute, second, microsecond], then [fold, tzinfo] unless [0, None]
18    datetime            [year, month, day, hour, minute, second, microsecond], then as in time
19    timedelta           [days, seconds, microseconds]
20    timezone            [offset as timedelta], then [name] when it has one of its own
21    ZoneInfo            its key, such as "Europe/Vienna"
22    Decimal             its exact str
23    UUID                16 bytes
24    paths               [class name, path as str]
25    numpy.ndarray       [dtype, shape, "C" or "F", bytes]; dtype as in `_dtype_parts`
26    numpy scalar        [dtype, bytes]; of str_ and bytes_ the str or bytes instead of both
32    what lies there     address and serial of a structure or a record of the same store
====  ==================  =====================================================================

Codes 1–6 and 32 are made in ``_anyvalue.pyx``. Nothing here is imported before the first
object of its type is met, and no stored byte chooses what is imported or called, but for the code
in this table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = ["build", "key_type_error", "reduce", "value_type_error"]

Reducer = Callable[[Any], "tuple[int, object]"]
Builder = Callable[[Any], object]

DATE, TIME, DATETIME, TIMEDELTA, TIMEZONE, ZONE = range(16, 22)
DECIMAL, UUID, PATH, ARRAY, SCALAR = range(22, 27)

# Filled by the loader of a module when the first object of its types is met.
_reducers: dict[type, Reducer] = {}
_builders: dict[int, Builder] = {}


def reduce(value: object) -> tuple[int, object]:
    """Take a value apart: its code and its parts; TypeError when the codec has no such type."""
    kind = type(value)
    reducer = _reducers.get(kind)
    if reducer is None:
        module = str(kind.__module__).partition(".")[0]
        if module in _LOADERS and module in sys.modules:
            _LOADERS[module]()
        reducer = _reducers.get(kind)
        if reducer is None and module == "numpy":
            reducer = _reduce_numpy_scalar
        if reducer is None:
            raise value_type_error(value)
    return reducer(value)


def build(code: int, parts: Any) -> object:
    """Make the object of an extension again; parts that do not fit raise whatever they raise."""
    builder = _builders.get(code)
    if builder is None:
        module = _MODULE_OF.get(code)
        if module is None:
            raise ValueError(f"no extension has the code {code}")
        _LOADERS[module]()
        builder = _builders[code]
    return builder(parts)


# --- what is not stored ------------------------------------------------------------------------


def _name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _base(value: object, bases: tuple[type, ...]) -> type | None:
    return next((base for base in bases if isinstance(value, base)), None)


def value_type_error(value: object) -> TypeError:
    """Say which type the `any` value codec does not take, and the ways out."""
    kind = type(value)
    base = _base(
        value, (bool, int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset)
    )
    if hasattr(kind, "__dataclass_fields__"):
        remedy = "convert it with dataclasses.asdict(…)"
    elif base is not None:
        remedy = f"convert it with {base.__name__}(…)"
    elif isinstance(value, memoryview):
        remedy = "convert it with bytes(…)"
    else:
        remedy = "convert it to a dict, a list or another of the codec's types"
    return TypeError(
        f"the codec 'any' does not store {_name(kind)} objects, as it could not give the same type "
        f'back: {remedy}, or open the container with value="pickle"'
    )


def key_type_error(key: object) -> TypeError:
    """Say which type the `any` key codec does not take, and what to use instead."""
    kind = type(key)
    base = _base(key, (int, float, str, bytes, tuple))
    if base is not None:
        remedy = f"convert it with {base.__name__}(…)"
    elif isinstance(key, (bytearray, memoryview)):
        remedy = "convert it with bytes(…)"
    elif isinstance(key, list):
        remedy = "convert it with tuple(…)"
    elif hasattr(kind, "__index__"):
        remedy = "convert it with int(…)"
    elif hasattr(kind, "__float__"):
        remedy = "convert it with float(…)"
    else:
        remedy = "convert it, for example to a str or a tuple"
    return TypeError(
        "a key of codec 'any' is None, bool, int, float, str, bytes or a tuple of such, "
        f"not {_name(kind)}: {remedy}"
    )


# --- dates and times ---------------------------------------------------------------------------


def _load_datetime() -> None:
    from datetime import date, datetime, time, timedelta, timezone

    def zoned(parts: list[object], value: datetime | time) -> list[object]:
        if value.fold or value.tzinfo is not None:
            parts += (value.fold, value.tzinfo)
        return parts

    def reduce_time(value: time) -> tuple[int, object]:
        return TIME, zoned([value.hour, value.minute, value.second, value.microsecond], value)

    def reduce_datetime(value: datetime) -> tuple[int, object]:
        day: list[object] = [value.year, value.month, value.day]
        parts = [*day, value.hour, value.minute, value.second, value.microsecond]
        return DATETIME, zoned(parts, value)

    def build_time(parts: list[Any]) -> time:
        hour, minute, second, microsecond, *rest = parts
        fold, zone = rest or (0, None)
        return time(hour, minute, second, microsecond, zone, fold=fold)

    def build_datetime(parts: list[Any]) -> datetime:
        year, month, day, hour, minute, second, microsecond, *rest = parts
        fold, zone = rest or (0, None)
        return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)

    def build_timedelta(parts: list[int]) -> timedelta:
        days, seconds, microseconds = map(_as_int, parts)
        return timedelta(days, seconds, microseconds)

    _reducers[date] = lambda value: (DATE, value.toordinal())
    _reducers[time] = reduce_time
    _reducers[datetime] = reduce_datetime
    _reducers[timedelta] = lambda value: (
        TIMEDELTA,
        [value.days, value.seconds, value.microseconds],
    )
    _reducers[timezone] = lambda value: (TIMEZONE, list(value.__getinitargs__()))
    _builders[DATE] = date.fromordinal
    _builders[TIME] = build_time
    _builders[DATETIME] = build_datetime
    _builders[TIMEDELTA] = build_timedelta
    _builders[TIMEZONE] = lambda parts: timezone(*parts)


def _load_zoneinfo() -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from spacejmp.persistence.errors import CorruptError

    def reduce_zone(value: ZoneInfo) -> tuple[int, object]:
        if value.key is None:
            raise TypeError(
                "the codec 'any' stores a ZoneInfo by its key, and this one has none: "
                "make it with ZoneInfo(key)"
            )
        return ZONE, value.key

    def build_zone(key: str) -> ZoneInfo:
        try:
            return ZoneInfo(_as_str(key))
        except (ZoneInfoNotFoundError, OSError) as error:
            raise CorruptError(
                f"a stored value has the time zone {key!r}, which this machine does not know: "
                "install the tzdata package; if there is no such zone, the segment is damaged"
            ) from error

    _reducers[ZoneInfo] = reduce_zone
    _builders[ZONE] = build_zone


# --- Decimal, UUID, paths ----------------------------------------------------------------------


def _load_decimal() -> None:
    from decimal import Decimal

    _reducers[Decimal] = lambda value: (DECIMAL, str(value))
    _builders[DECIMAL] = lambda parts: Decimal(_as_str(parts))


def _load_uuid() -> None:
    import uuid

    _reducers[uuid.UUID] = lambda value: (UUID, value.bytes)
    _builders[UUID] = lambda parts: uuid.UUID(bytes=_as_bytes(parts))


def _load_pathlib() -> None:
    from pathlib import PosixPath, PurePosixPath, PureWindowsPath

    kinds: dict[str, type] = {
        kind.__name__: kind for kind in (PosixPath, PurePosixPath, PureWindowsPath)
    }

    def reduce_path(value: object) -> tuple[int, object]:
        return PATH, [type(value).__name__, str(value)]

    def build_path(parts: list[str]) -> object:
        name, path = parts
        return kinds[name](_as_str(path))

    _reducers.update(dict.fromkeys(kinds.values(), reduce_path))
    _builders[PATH] = build_path


# --- numpy -------------------------------------------------------------------------------------


def _load_numpy() -> None:
    import numpy as np

    _reducers[np.ndarray] = _reduce_array
    _builders[ARRAY] = _build_array
    _builders[SCALAR] = _build_numpy_scalar


_KINDS = "biufcmMSUV"


def _dtype_parts(dtype: np.dtype[Any], owner: str) -> object:
    """Write a dtype as parts.

    A simple one is its str, such as "<f8"; one with a shape [dtype, [size, …]]; a record [names,
    dtypes, offsets, titles, bytes, aligned].
    """
    import numpy as np

    if dtype.subdtype is not None and dtype.itemsize > 0:
        base, shape = dtype.subdtype
        return [_dtype_parts(base, owner), list(shape)]
    if dtype.names and dtype.type is np.void and dtype.fields and dtype.itemsize > 0:
        fields = [dtype.fields[name] for name in dtype.names]
        return [
            list(dtype.names),
            [_dtype_parts(field[0], owner) for field in fields],
            [int(field[1]) for field in fields],
            [field[2] if len(field) > 2 else None for field in fields],
            dtype.itemsize,
            dtype.isalignedstruct,
        ]
    simple = dtype.kind in _KINDS and dtype.names is None and dtype.subdtype is None
    if not simple or dtype.hasobject or dtype.itemsize == 0:
        raise TypeError(
            f"the codec 'any' does not store a numpy {owner} of dtype {dtype!s}: convert it with "
            '.astype(…) or .tolist(), or open the container with value="pickle"'
        )
    # 'q' and 'l' are the same eight bytes but different types
    same = np.dtype(dtype.str).char == dtype.char
    return dtype.str if same else dtype.str[0] + dtype.char


def _build_dtype(parts: Any) -> np.dtype[Any]:
    import numpy as np

    if isinstance(parts, str):
        if re.fullmatch(r"[<>|][a-zA-Z?]\d{0,9}(\[\d{0,9}[a-zA-Z]{1,2}\])?", parts) is None:
            raise ValueError(f"{parts!r} is not a dtype of this codec")
        dtype = np.dtype(parts)
        if dtype.kind not in _KINDS or dtype.hasobject:
            raise ValueError(f"{parts!r} is not a dtype of this codec")
        return dtype
    if len(parts) == 2:
        base, shape = parts
        return np.dtype((_build_dtype(base), tuple(map(_as_int, shape))))
    names, formats, offsets, titles, itemsize, aligned = parts
    spec: dict[str, Any] = {
        "names": list(map(_as_str, names)),
        "formats": list(map(_build_dtype, formats)),
        "offsets": list(map(_as_int, offsets)),
        "itemsize": _as_int(itemsize),
    }
    if any(title is not None for title in titles):
        spec["titles"] = titles
    make: Callable[..., np.dtype[Any]] = np.dtype
    return make(spec, align=aligned)


def _reduce_array(value: np.ndarray[Any, Any]) -> tuple[int, object]:
    import numpy as np

    dtype = _dtype_parts(value.dtype, "array")
    order: Literal["C", "F"] = (
        "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    )
    flat = value.ravel(order=order)
    raw = flat.view(np.uint8).data if flat.size else b""
    return ARRAY, [dtype, list(value.shape), order, raw]


def _build_array(parts: list[Any]) -> object:
    import numpy as np

    dtype_parts, shape, order, raw = parts
    dtype = _build_dtype(dtype_parts)
    shape = tuple(map(_as_int, shape))
    count = 1
    for size in shape:
        count *= size
    if dtype.itemsize == 0 or count * dtype.itemsize != len(raw) or order not in ("C", "F"):
        raise ValueError("the bytes of an array do not fit its shape")
    array = np.empty(shape, dtype, order)
    if raw:
        array.ravel(order="K").view(np.uint8).data[:] = _as_bytes(raw)
    return array


def _reduce_numpy_scalar(value: Any) -> tuple[int, object]:
    import numpy as np

    if not isinstance(value, np.generic):
        raise value_type_error(value)
    if type(value) is np.str_:
        return SCALAR, str.__str__(value)  # its own leaves trailing NULs out
    if type(value) is np.bytes_:
        return SCALAR, bytes(value)
    dtype = value.dtype
    if type(value) is not dtype.type:
        raise value_type_error(value)
    return SCALAR, [_dtype_parts(dtype, "scalar"), value.tobytes()]


def _build_numpy_scalar(parts: Any) -> object:
    import numpy as np

    if isinstance(parts, str):
        return np.str_(parts)
    if isinstance(parts, bytes):
        return np.bytes_(parts)
    dtype_parts, raw = parts
    dtype = _build_dtype(dtype_parts)
    if dtype.itemsize == 0 or len(raw) != dtype.itemsize:
        raise ValueError("the bytes of a numpy scalar do not fit its dtype")
    return np.ndarray((1,), dtype, buffer=bytearray(raw))[0]


# --- tables ------------------------------------------------------------------------------------


def _as_int(part: object) -> int:
    if type(part) is not int:
        raise TypeError(f"an int is needed, not {type(part).__name__}")
    return part


def _as_str(part: object) -> str:
    if type(part) is not str:
        raise TypeError(f"a str is needed, not {type(part).__name__}")
    return part


def _as_bytes(part: object) -> bytes:
    if type(part) is not bytes:
        raise TypeError(f"bytes are needed, not {type(part).__name__}")
    return part


_LOADERS: dict[str, Callable[[], None]] = {
    "datetime": _load_datetime,
    "zoneinfo": _load_zoneinfo,
    "decimal": _load_decimal,
    "uuid": _load_uuid,
    "pathlib": _load_pathlib,
    "numpy": _load_numpy,
}

_MODULE_OF: dict[int, str] = {
    **dict.fromkeys((DATE, TIME, DATETIME, TIMEDELTA, TIMEZONE), "datetime"),
    ZONE: "zoneinfo",
    DECIMAL: "decimal",
    UUID: "uuid",
    PATH: "pathlib",
    ARRAY: "numpy",
    SCALAR: "numpy",
}
