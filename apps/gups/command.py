# SPDX-License-Identifier: Apache-2.0
"""The command `spacejmp gups`: HPCC RandomAccess over windows, in the designs of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacejmp.apps import report
from spacejmp.apps.amounts import parse_numbers, parse_size
from spacejmp.apps.interrupts import signals_unwind
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson  # noqa: TC001 - typer reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spacejmp.apps.gups.run import Cell, Plan

__all__ = ["gups"]

WINDOWS = "1,2,4,8,16,32,64,128"
SETS = "64,16"


def gups(
    windows: Annotated[
        str, typer.Option(metavar="N,…", help="Windows: segments in a VAS each.")
    ] = WINDOWS,
    sets: Annotated[
        str, typer.Option(metavar="N,…", help="Updates before the window changes.")
    ] = SETS,
    window_bytes: Annotated[
        str,
        typer.Option(
            metavar="BYTES",
            help="Of a window's table; of 1 GiB that a window reserves. All take it twice.",
        ),
    ] = "32M",
    seconds: Annotated[float, typer.Option(min=0.001, max=60, help="Of each turn.")] = 0.2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each design.")] = 5,
    designs: Annotated[
        str | None, typer.Option(metavar="NAME;…", help="Only these, with ; between them.")
    ] = None,
    directory: Annotated[
        str, typer.Option(metavar="DIR", help="Where the home is made, and removed again.")
    ] = "/dev/shm",
    cpu: Annotated[
        bool,
        typer.Option("--cpu", help="By CPU time of all processes, on a machine that is busy."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Where HPCC's stream begins.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure random updates over many windows: SpaceJMP, remapping, message passing."""
    from spacejmp.apps.gups.designs import DESIGNS
    from spacejmp.apps.gups.run import Plan, run

    plan = Plan(
        parse_numbers("--windows", windows),
        parse_numbers("--sets", sets),
        parse_size("--window-bytes", window_bytes),
        seconds,
        rounds,
        Path(directory),
        DESIGNS if designs is None else tuple(name.strip() for name in designs.split(";")),
        seed,
        "cpu" if cpu else "wall",
    )
    with signals_unwind(), Share("windows") as setting, Share("turns") as running:
        cells = run(plan, setting, running)
    if as_json:
        report.emit_json(facts(plan, cells))
    else:
        _print(plan, cells)


def facts(plan: Plan, cells: list[Cell]) -> dict[str, Any]:
    """All of a run, as JSON holds it."""
    return {
        "window_bytes": plan.window_bytes,
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "seed": plan.seed,
        "clock": plan.clock,
        "cells": [cell.facts() for cell in cells],
    }


RATIOS = (("/ flat", "resident", "flat"), ("/ mp", "resident", "mp"))
OVERLAPPING_RATIOS = (("/ map", "overlapping", "map"), ("/ mp", "overlapping", "mp"))


def _print(plan: Plan, cells: list[Cell]) -> None:
    if not report.is_terminal():
        for fields in _rows(plan, cells):
            report.line("\t".join(fields))
        return
    headings = ("set", "windows", *plan.designs, "resident/flat", "resident/mp")
    headings += ("overlapping/map", "overlapping/mp", "mp waits")
    shown = report.table(*headings, right=headings[:-1])
    for fields in _rows(plan, cells):
        shown.add_row(*fields)
    report.line(
        f"million updates a second, windows of {report.human_bytes(plan.window_bytes)}; "
        "every turn was verified"
    )
    report.console().print(shown)


def _rows(plan: Plan, cells: list[Cell]) -> Iterator[list[str]]:
    for cell in cells:
        rates = [_number(cell.mups(name)) for name in plan.designs]
        pairs = [(one, other) for _, one, other in (*RATIOS, *OVERLAPPING_RATIOS)]
        ratios = [_number(cell.ratio(one, other)) for one, other in pairs]
        manner = str(cell.manners.get("mp", "-"))
        yield [str(cell.updates), str(cell.windows), *rates, *ratios, manner]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
