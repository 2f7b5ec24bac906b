# SPDX-License-Identifier: Apache-2.0
"""Keys and values as text: how the command line reads and shows them.

What a text means depends on the codec of the structure it is for:

======  =============================================  ===================================
codec   as a key                                       as a value
======  =============================================  ===================================
int     a whole number; 0x, 0o and 0b work             the same
float   a number                                       the same
str     the text itself                                the text itself
bytes   hexadecimal digits                             the same
any     JSON if it is JSON, else the text itself       JSON (pickle: the same)
======  =============================================  ===================================

JSON is that of `spacejmp.apps.jsonform`; a list as a key is a tuple.
"""

from __future__ import annotations

import json
from typing import Any

from spacejmp.apps.exits import CommandError
from spacejmp.apps.jsonform import dumps, from_json, printable, to_json

__all__ = ["key_from_json", "parse_key", "parse_value", "shown"]


def _parse_scalar(text: str, codec: str) -> Any:
    """Read a text for one of the codecs that are no JSON; ValueError."""
    if codec == "str":
        return text
    if codec == "float":
        return float(text)
    if codec == "bytes":
        return bytes.fromhex(text)
    try:
        return int(text)
    except ValueError:
        return int(text, 0)


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bytes": "hexadecimal digits, as in 00ff",
}


def _scalar(text: str, codec: str, what: str) -> Any:
    try:
        return _parse_scalar(text, codec)
    except ValueError:
        raise CommandError(
            f"{what}: expected {_EXPECTED[codec]} (codec {codec!r}), found {text!r}"
        ) from None


def parse_key(text: str, codec: str, what: str = "KEY") -> Any:
    """Read a key from the command line.

    Parameters
    ----------
    text : str
        What the user wrote.
    codec : {"int", "float", "bytes", "str", "any"}
        The key codec of the structure.
    what : str
        What the text is, for the message.

    Returns
    -------
    key

    Raises
    ------
    CommandError
        It does not fit the codec.

    Examples
    --------
    >>> parse_key("17", "int"), parse_key("17", "str"), parse_key('["a", 1]', "any")
    (17, '17', ('a', 1))
    """
    if codec != "any":
        return _scalar(text, codec, what)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    try:
        return key_from_json(parsed)
    except ValueError as error:
        raise CommandError(f"{what}: {error}") from None


def key_from_json(value: Any) -> Any:
    """Make a key of what JSON holds: as `from_json`, but lists are tuples."""
    return _tuples(from_json(value))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def parse_value(text: str, codec: str, what: str = "VALUE") -> Any:
    """Read a value from the command line; see `parse_key`."""
    if codec not in ("any", "pickle"):
        return _scalar(text, codec, what)
    try:
        return from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"""{what}: expected JSON, found {text!r} ({error}); a string is '"in quotes"'"""
        ) from None


def shown(value: Any) -> str:
    r"""Write a key or value in one line: a string as it is, if that is safe, else as JSON.

    Examples
    --------
    >>> shown("BRCA1"), shown("a\nb"), shown({"start": 43044295}), shown(b"\x00")
    ('BRCA1', '"a\\nb"', '{"start": 43044295}', '{"$bytes": "00"}')
    """
    if isinstance(value, str):
        return value if printable(value) else json.dumps(value)
    return dumps(to_json(value))
