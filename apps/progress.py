# SPDX-License-Identifier: Apache-2.0
"""Progress bars: of a load, of whatever goes through bytes; on a terminal only."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from typing_extensions import Self

    from spacejmp.apps.rows import Source

__all__ = ["Progress", "Share"]


class Progress:
    """A bar on stderr while a `with` block runs; nothing where stderr is no terminal.

    Parameters
    ----------
    title : str
    source : Source
        Its bytes are what the bar measures; without a total the bar only moves.
    """

    def __init__(self, title: str, source: Source) -> None:
        self._title = title
        self._source = source
        self._rows = 0
        self._begun = perf_counter()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not sys.stderr.isatty():
            return self
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        from spacejmp.apps.report import console

        self._bar = Progress(
            TextColumn("[cyan]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s"),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        total = self._source.total
        self._task = self._bar.add_task(self._title, total=total, rows=0, rate=0.0)
        self._bar.start()
        return self

    def advance(self, rows: int) -> None:
        """Say that so many more rows are done."""
        self._rows += rows
        if self._bar is not None and self._task is not None:
            rate = self._rows / max(perf_counter() - self._begun, 1e-9)
            read = self._source.bytes_read
            self._bar.update(self._task, completed=read, rows=self._rows, rate=rate)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class Share:
    """A bar on stderr of bytes that are done and those that there are, which it is called with."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.progress import Progress

            from spacejmp.apps.report import console

            self._bar = Progress(console=console(stderr=True), transient=True)
            self._task = self._bar.add_task(f"[cyan]{self._title}", total=total)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
