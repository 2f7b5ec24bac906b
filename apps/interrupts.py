# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command: not before something has been done whole, or been cleared away."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["interrupts_wait", "signals_unwind"]

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What `kill`, a machine that stops and a terminal that goes away send."""


class _EndedError(BaseException):
    """A signal that ends the process was received; no handler of exceptions is meant for it."""


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Put ``KeyboardInterrupt`` off until the block has ended.

    For what must agree with each other, such as a commit and the count of what was committed.
    Handlers that are not Python's own, and threads other than the main one, are left as they are.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if arrived:
        raise KeyboardInterrupt


@contextmanager
def signals_unwind() -> Iterator[None]:
    """Leave the block as by an exception at SIGTERM or SIGHUP, and then die of that signal.

    For what must not be left behind, such as a home in memory. Ctrl-C is an exception anyway. A
    signal that is ignored (``nohup``) stays so, and a handler that somebody has set is kept. Only
    the first one counts: a terminal that goes away sends more, while things are cleared away.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            raise _EndedError

    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, on_signal)
    try:
        yield
    except _EndedError:
        pass
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if arrived:  # whatever the block has made of it
            os.kill(os.getpid(), arrived[0])
