# SPDX-License-Identifier: Apache-2.0
"""How the demo is shown: numbered parts, lines with a figure at their right, ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacejmp.apps import report

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Quiet", "Show"]

_WIDTH_MAX = 96


class Show:
    """Prints each line when what it tells has just happened."""

    def __init__(self) -> None:
        self._console: Console = report.console()
        self._width = min(self._console.width, _WIDTH_MAX)
        if not self._console.is_terminal:
            self._width = _WIDTH_MAX
            self._console.width = _WIDTH_MAX

    def title(self, text: str, below: str) -> None:
        """Begin the report."""
        from rich.panel import Panel

        shown = f"[bold]{text}[/]\n[dim]{below}[/]"
        self._console.print(Panel(shown, width=self._width, border_style="cyan"))

    def part(self, number: int, text: str) -> None:
        """Begin a part."""
        self._console.print(f"\n[bold cyan]{number}[/]  [bold]{text}[/]")

    def line(self, text: str, figure: str = "", mark: str = "") -> None:
        """Print what happened, and a figure."""
        from rich.table import Table

        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=2, justify="right")
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        row.add_row(mark, text, f"[cyan]{figure}[/]")
        self._console.print(row, width=self._width)

    def promise(self, text: str, held: bool, figure: str = "") -> None:
        """Print whether a promise was kept."""
        self.line(text, figure, "[green]✔[/]" if held else "[bold red]✘[/]")

    def end(self, text: str, held: bool) -> None:
        """Print the last line."""
        style = "bold green" if held else "bold red"
        self._console.print(f"\n[{style}]{text}[/]")


class Quiet(Show):
    """Prints nothing: for ``--json``."""

    def __init__(self) -> None:
        pass

    def title(self, text: str, below: str) -> None:
        """Nothing."""

    def part(self, number: int, text: str) -> None:
        """Nothing."""

    def line(self, text: str, figure: str = "", mark: str = "") -> None:
        """Nothing."""

    def end(self, text: str, held: bool) -> None:
        """Nothing."""
