# SPDX-License-Identifier: Apache-2.0
"""How the command prints: lines, JSON and tables.

On a terminal, tables and colour; into a pipe, plain lines. rich is imported only where a table is
drawn, for it costs more time than a `get`.
"""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from spacejmp.apps.jsonform import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

__all__ = [
    "address",
    "console",
    "emit_json",
    "human_bytes",
    "is_terminal",
    "key_style",
    "line",
    "moment",
    "table",
]


def is_terminal() -> bool:
    """Whether people read what is printed."""
    return sys.stdout.isatty()


def line(text: str) -> None:
    """Print one line; what the output's encoding lacks is escaped."""
    try:
        print(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding))


def emit_json(value: Any) -> None:
    """Print one line of JSON."""
    text = dumps(value)
    try:
        print(text)
    except UnicodeEncodeError:
        print(json.dumps(value, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """Make the console that tables are drawn on; what its encoding lacks is escaped."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return Console(stderr=stderr, highlight=False)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Make a table with these headings; those in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in columns:
        made.add_column(heading, justify="right" if heading in right else "left")
    return made


def human_bytes(size: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> human_bytes(8388608), human_bytes(999), human_bytes(64 << 30)
    ('8.0 MiB', '999 B', '64.0 GiB')
    """
    if size < 1024:
        return f"{size} B"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1000 or unit == "TiB":
            return f"{amount:.1f} {unit}"
    raise AssertionError("the loop ends at TiB")


def moment(ns: int) -> str:
    """Write a time, in nanoseconds since 1970, as ISO 8601 with the zone of this machine."""
    from datetime import datetime

    return datetime.fromtimestamp(ns // 10**9).astimezone().isoformat(timespec="seconds")


def address(value: int) -> str:
    """Write an address.

    Examples
    --------
    >>> address(0x4420_0000_0000)
    '0x4420_0000_0000'
    """
    return f"{value:#_x}"


def key_style() -> tuple[str, str]:
    """What begins and ends a key on this terminal: colour, unless the user wants none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return "", ""
    return "\x1b[36m", "\x1b[0m"
