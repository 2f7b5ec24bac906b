# SPDX-License-Identifier: Apache-2.0
"""Numbers and sizes as commands take them, and whether there is memory for what they ask for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from spacejmp.apps.exits import Code, CommandError
from spacejmp.apps.report import human_bytes

__all__ = ["GIB", "check_room", "parse_numbers", "parse_size", "parse_sizes"]

GIB = 1 << 30

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read numbers with commas between them, each once.

    Examples
    --------
    >>> parse_numbers("--windows", "1,2, 4,2")
    (1, 2, 4)
    """
    try:
        found = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise CommandError(f"{option}: expected numbers such as 1,2,4, found {text!r}") from None
    return found


def parse_size(option: str, text: str) -> int:
    """Read a number of bytes.

    Examples
    --------
    >>> parse_size("--window-bytes", "32M"), parse_size("--window-bytes", "1 GiB")
    (33554432, 1073741824)
    """
    match = re.fullmatch(r"(\d+)\s*([kmg]?)(i?b)?", text.strip().lower())
    if match is None:
        raise CommandError(f"{option}: expected bytes such as 32M, found {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def parse_sizes(option: str, text: str) -> tuple[int, ...]:
    """Read sizes with commas between them, each once."""
    return tuple(dict.fromkeys(parse_size(option, word) for word in text.split(",")))


def check_room(directory: Path, needed: int, remedy: str) -> None:
    """Refuse what would not fit into a filesystem in memory, or into memory.

    Raises
    ------
    CommandError
    """
    status = os.statvfs(directory)
    free = {
        f"{directory} has": status.f_bavail * status.f_frsize,
        "the machine has free memory of": _memory_available(),
    }
    for who, found in free.items():
        if found is not None and found < needed:
            raise CommandError(
                f"expected room for {human_bytes(needed)}, {who} {human_bytes(found)}: {remedy}",
                Code.IO,
            )


def _memory_available() -> int | None:
    """Bytes that can be had without swapping, as the kernel estimates it."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
