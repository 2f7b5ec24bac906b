# SPDX-License-Identifier: Apache-2.0
"""The command `spacejmp mmu`: what gets of a store would cost in TLBs and page tables."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.exits import CommandError
from spacejmp.apps.settings import AsJson, StoreName, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spacejmp.mmu import Model

__all__ = ["mmu"]

KEYS_MAX = 200_000
"""Keys of a structure that the gets are drawn from."""

MODES = ("flushing", "tagged", "held")
"""Switches that flush the TLB; a tag for each VAS; one hold, without switches."""


class Gets(NamedTuple):
    """The gets to do, and how."""

    keys: Sequence[Any]
    per_hold: int
    """Gets in one hold: two switches, to the store and back."""


def mmu(
    context: typer.Context,
    name: StoreName,
    preset: Annotated[
        str, typer.Option(help="The CPU: m1, m2, m3 (of the paper), skylake and later ones.")
    ] = "m3",
    system: Annotated[
        str, typer.Option(help="What switches: dragonfly, barrelfish, or bare.")
    ] = "dragonfly",
    levels: Annotated[int, typer.Option(min=4, max=5, help="Levels of page tables.")] = 4,
    gets: Annotated[int, typer.Option(min=1, help="Random gets for each structure.")] = 10_000,
    per_switch: Annotated[
        int, typer.Option("--switches", min=1, metavar="N", help="Switch after each N gets.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the random keys.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Model what gets cost in TLBs and page tables, if stores were VASes of SpaceJMP."""
    from spacejmp.mmu import presets, systems

    for what, given, known in (("--preset", preset, presets()), ("--system", system, systems())):
        if given not in known:
            raise CommandError(f"{what}: expected one of {', '.join(known)}, found {given!r}")
    with open_store(context, name) as store:
        facts: dict[str, Any] = {
            "name": store.name,
            "preset": preset,
            "system": system,
            "levels": levels,
            "ghz": presets()[preset].ghz,
            "gets_per_switch": per_switch,
            "structures": [],
        }
        for root in store.roots.values():
            drawn = Gets(_draw(store, root.name, gets, seed), per_switch)
            if not drawn.keys:
                continue
            modes = {mode: _model(store, root.name, drawn, mode, facts) for mode in MODES}
            facts["structures"].append({**root._asdict(), "gets": len(drawn.keys), "modes": modes})
    if as_json:
        report.emit_json(facts)
    else:
        _print(facts)


def _draw(store: sj.Store, name: str, gets: int, seed: int) -> list[Any]:
    """Random keys of a structure; none of one that is empty or of an unknown kind."""
    try:
        keys = list(islice(store[name], KEYS_MAX))
    except sj.StructureTypeError:
        return []
    return random.Random(seed).choices(keys, k=gets) if keys else []


def _model(
    store: sj.Store, name: str, gets: Gets, mode: str, facts: dict[str, Any]
) -> dict[str, Any]:
    """Do the gets under a model; figures for a get, a switch, and of page tables."""
    from spacejmp.mmu import model

    tagged = mode != "flushing"
    with model(facts["preset"], facts["system"], tagged=tagged, levels=facts["levels"]) as running:
        structure = store[name]
        _run(store, structure, gets.keys[: 1 + len(gets.keys) // 10], gets.per_hold, mode)
        running.reset()
        _run(store, structure, gets.keys, gets.per_hold, mode)
        return _figures(running, store.name, len(gets.keys))


def _run(
    store: sj.Store,
    structure: sj.BTree | sj.HashMap,
    keys: Sequence[Any],
    per_hold: int,
    mode: str,
) -> None:
    held = len(keys) if mode == "held" else per_hold
    for batch in (keys[at : at + held] for at in range(0, len(keys), held)):
        with store.read():
            for key in batch:
                structure.get(key)


def _figures(running: Model, name: str, gets: int) -> dict[str, Any]:
    vas, process = running.vases[name], running.process
    counters = vas.counters
    there, back = vas.switches, process.switches
    switches = sum(there[:2]) + sum(back[:2])
    cycles = there.cycles + back.cycles
    return {
        "accesses_per_get": counters.accesses / gets,
        "first_hits_per_get": counters.first_hits / gets,
        "second_hits_per_get": counters.second_hits / gets,
        "walks_per_get": counters.walks / gets,
        "cycles_per_get": counters.cycles / gets,
        "switches": switches,
        "cycles_per_switch": cycles / switches if switches else 0.0,
        "cycles_per_get_with_switches": (counters.cycles + cycles) / gets,
        "tables": {"own": vas.tables.own, "shared": vas.tables.shared},
        "own_table_bytes": vas.tables.own_bytes,
        "table_bytes": vas.tables.bytes,
    }


_COLUMNS = (
    ("access", "accesses_per_get"),
    ("L1", "first_hits_per_get"),
    ("L2", "second_hits_per_get"),
    ("walks", "walks_per_get"),
    ("cycles", "cycles_per_get"),
    ("+ switch", "cycles_per_get_with_switches"),
    ("switch", "cycles_per_switch"),
)


def _print(facts: dict[str, Any]) -> None:
    title = f"{facts['preset']}, {facts['ghz']} GHz, {facts['system']}, {facts['levels']} levels"
    if not facts["structures"]:
        report.line(f"{title}: nothing to get in {facts['name']}")
        return
    tables = facts["structures"][0]["modes"]["held"]
    report.line(
        f"{title}: page tables {tables['table_bytes']} bytes, "
        f"of them {tables['own_table_bytes']} of the VAS alone"
    )
    if not report.is_terminal():
        for fields in _rows(facts):
            report.line("\t".join(fields))
        return
    shown = report.table(
        "structure", "", *(title for title, _ in _COLUMNS), right=[title for title, _ in _COLUMNS]
    )
    for fields in _rows(facts):
        shown.add_row(*fields)
    report.console().print(shown)


def _rows(facts: dict[str, Any]) -> Iterable[list[str]]:
    """For each structure and mode: means for a get, and the cycles of a switch."""
    for structure in facts["structures"]:
        for mode, figures in structure["modes"].items():
            numbers = [f"{figures[field]:.2f}" for _, field in _COLUMNS[:4]]
            numbers += [f"{figures[field]:.0f}" for _, field in _COLUMNS[4:]]
            yield [structure["name"], mode, *numbers]
