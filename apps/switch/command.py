# SPDX-License-Identifier: Apache-2.0
"""The command `spacejmp bench switch`: what switches cost on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacejmp.apps import report
from spacejmp.apps.amounts import parse_numbers, parse_size, parse_sizes
from spacejmp.apps.interrupts import signals_unwind
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson  # noqa: TC001 - typer reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spacejmp.apps.switch.run import Row

__all__ = ["switch"]


def switch(
    segments: Annotated[
        str, typer.Option(metavar="N,…", help="Switched between, and into at once; up to 64.")
    ] = "1,2,4,8,16,32,64",
    sizes: Annotated[
        str, typer.Option(metavar="BYTES,…", help="Touched of two segments that overlap.")
    ] = "1M,2M,16M,256M,1G,4G",
    memory: Annotated[
        str,
        typer.Option(
            metavar="BYTES", help="What two segments may take; else one of them is touched."
        ),
    ] = "4G",
    rounds: Annotated[int, typer.Option(min=1, help="The median of so many is told.")] = 7,
    directory: Annotated[
        str, typer.Option(metavar="DIR", help="Where homes are made, and removed again.")
    ] = "/dev/shm",
    as_json: AsJson = False,
) -> None:
    """Measure switches: locks, moved page tables, and what else there is on this machine."""
    from spacejmp.apps.switch.run import PAPER, Plan, run

    plan = Plan(
        parse_numbers("--segments", segments),
        parse_sizes("--sizes", sizes),
        parse_size("--memory", memory),
        rounds,
        Path(directory),
    )
    with signals_unwind(), Share("switches") as progress:
        rows = run(plan, progress)
    if as_json:
        report.emit_json(facts(rows))
    else:
        _print(rows, PAPER)


def facts(rows: Iterable[Row]) -> dict[str, Any]:
    """All of a run, as JSON holds it."""
    return {"rows": [row._asdict() for row in rows]}


def _print(rows: list[Row], paper: Iterable[tuple[str, str]]) -> None:
    if not report.is_terminal():
        for row in rows:
            report.line("\t".join(_fields(row)))
        return
    headings = ("switch", "by", "segments", "reserved", "touched", "ns", "least", "cycles")
    shown = report.table(*headings, right=headings[2:])
    previous = None
    for row in rows:
        if previous not in (None, row.group):
            shown.add_section()
        previous = row.group
        shown.add_row(*_fields(row))
    report.console().print(shown)
    beside = report.table("in the paper", "")
    for what, figure in paper:
        beside.add_row(what, figure)
    report.console().print(beside)


def _fields(row: Row) -> Iterator[str]:
    yield row.group
    yield row.what
    yield str(row.segments or "-")
    for size in (row.reserved, row.touched):
        yield report.human_bytes(size) if size else "-"
    for number in (row.ns, row.ns_min, row.cycles):
        yield "-" if number is None else f"{number:,.1f}" if number < 100 else f"{number:,.0f}"
