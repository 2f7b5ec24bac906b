# SPDX-License-Identifier: Apache-2.0
"""Virtual address spaces for tests."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = 0x4100_0000_0000
GIB = 1 << 30


def make(home: Path, name: str, *segments: str, base: int = BASE) -> sj.Vas:
    """A VAS of new segments of 1 GiB, side by side."""
    vas = sj.vas_create(name, home=home)
    for number, segment in enumerate(segments):
        sj.seg_alloc(segment, base + number * GIB, GIB, home=home)
        vas.seg_attach(segment)
    return vas


def uuid_at(base: int) -> bytes:
    return ctypes.string_at(base + 56, 16)


def in_thread(body: Callable[[], object]) -> None:
    """Run it in a thread; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            body()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
