# SPDX-License-Identifier: Apache-2.0
"""Python values as JSON and back: what ``--json`` prints and ``put`` and ``load`` read.

What JSON has is itself. Everything else that the `any` codec can hold is an object with one member
that names the type::

    {"$bytes": "00ff"}  {"$bytearray": "00ff"}  {"$tuple": […]}  {"$set": […]}  {"$frozenset": […]}
    {"$dict": [[key, value], …]}     a dict with a key that is no string, or that looks like these
    {"$float": "nan"}  {"$complex": [re, im]}  {"$decimal": "1.10"}  {"$uuid": "…"}  {"$path": "…"}
    {"$datetime": "…"}  {"$date": "…"}  {"$time": "…"}  {"$timedelta": [days, seconds, µs]}
    {"$array": {"dtype": "<f8", "shape": [2], "data": […]}}
    {"$repr": "…"}                   anything else, which cannot be read back

`from_json` undoes `to_json`. An object whose only member is another ``$name`` is a plain dict.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dumps", "from_json", "printable", "to_json"]


def to_json(value: Any) -> Any:
    """Make of a value what `json.dumps` takes.

    Examples
    --------
    >>> to_json({"a": (1, b"x")})
    {'a': {'$tuple': [1, {'$bytes': '78'}]}}
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if type(value) is list:
        return [to_json(item) for item in value]
    if type(value) is dict:
        if all(type(key) is str for key in value) and not _is_form(value):
            return {key: to_json(item) for key, item in value.items()}
        return {"$dict": [[to_json(key), to_json(item)] for key, item in value.items()]}
    return _special(value)


def _special(value: Any) -> dict[str, Any]:
    """Make the object with one member that stands for a value that JSON does not have."""
    from datetime import date, datetime, time, timedelta
    from decimal import Decimal
    from pathlib import PurePath
    from uuid import UUID

    if isinstance(value, bytes | bytearray):
        return {f"${type(value).__name__}": value.hex()}
    if isinstance(value, tuple):
        return {"$tuple": [to_json(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {f"${type(value).__name__}": sorted(map(to_json, value), key=dumps)}
    if isinstance(value, complex):
        return {"$complex": [to_json(value.real), to_json(value.imag)]}
    if isinstance(value, timedelta):
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, datetime | date | time):
        for name, moment in (("datetime", datetime), ("date", date), ("time", time)):
            if isinstance(value, moment):
                return {f"${name}": value.isoformat()}
    if isinstance(value, Decimal | UUID):
        return {f"${type(value).__name__.lower()}": str(value)}
    if isinstance(value, PurePath):
        return {"$path": str(value)}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return _array(value)
    return {"$repr": repr(value)}


def _array(value: Any) -> dict[str, Any]:
    shape = list(value.shape)
    described = {"dtype": value.dtype.str, "shape": shape, "data": to_json(value.ravel().tolist())}
    return {"$array": described}


def _from_array(form: Any) -> Any:
    import numpy as np

    data = [from_json(item) for item in form["data"]]
    return np.array(data, dtype=form["dtype"]).reshape(form["shape"])


def _from_datetime(kind: str) -> Callable[[Any], Any]:
    def read(form: Any) -> Any:
        import datetime as dt

        return getattr(dt, kind).fromisoformat(form)

    return read


def _from_decimal(form: Any) -> Any:
    from decimal import Decimal

    return Decimal(form)


def _from_uuid(form: Any) -> Any:
    from uuid import UUID

    return UUID(form)


def _from_path(form: Any) -> Any:
    from pathlib import Path

    return Path(form)


def _from_timedelta(form: Any) -> Any:
    from datetime import timedelta

    days, seconds, microseconds = form
    return timedelta(days, seconds, microseconds)


def _from_float(form: Any) -> float:
    return float(form)


def _from_repr(_: Any) -> Any:
    raise ValueError("$repr stands for an object that JSON cannot hold")


_READERS: dict[str, Callable[[Any], Any]] = {
    "$bytes": bytes.fromhex,
    "$bytearray": bytearray.fromhex,
    "$tuple": lambda form: tuple(map(from_json, form)),
    "$set": lambda form: set(map(from_json, form)),
    "$frozenset": lambda form: frozenset(map(from_json, form)),
    "$dict": lambda form: {from_json(key): from_json(item) for key, item in form},
    "$float": _from_float,
    "$complex": lambda form: complex(*map(from_json, form)),
    "$decimal": _from_decimal,
    "$uuid": _from_uuid,
    "$path": _from_path,
    "$datetime": _from_datetime("datetime"),
    "$date": _from_datetime("date"),
    "$time": _from_datetime("time"),
    "$timedelta": _from_timedelta,
    "$array": _from_array,
    "$repr": _from_repr,
}


def _is_form(value: dict[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _READERS


def from_json(value: Any) -> Any:
    """Undo `to_json`.

    Raises
    ------
    ValueError
        An object with one ``$name`` does not hold what it should.

    Examples
    --------
    >>> from_json({"a": {"$tuple": [1, {"$bytes": "78"}]}})
    {'a': (1, b'x')}
    """
    if type(value) is list:
        return [from_json(item) for item in value]
    if type(value) is not dict:
        return value
    if not _is_form(value):
        return {key: from_json(item) for key, item in value.items()}
    ((name, form),) = value.items()
    try:
        return _READERS[name](form)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{name}: expected what --json prints, found {form!r}: {error}") from None


def printable(text: str) -> bool:
    """Whether a text can be shown in a line without harm: no control characters, no surrogates."""
    return text.isprintable() or not any(
        c < " " or "\x7f" <= c < "\xa0" or c in "\u2028\u2029" or "\ud800" <= c < "\ue000"
        for c in text
    )


def dumps(value: Any) -> str:
    """Write what `to_json` made as one line of JSON that is safe to show."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if printable(text) else json.dumps(value, allow_nan=False)
