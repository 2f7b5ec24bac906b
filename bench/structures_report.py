# SPDX-License-Identifier: Apache-2.0
"""What `bench.bench_structures` tells: targets, ratios, times, rates."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Results
from bench.report import Table, Verdict, number, put_into, show
from bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from bench.harness import Clock

__all__ = ["MAPPINGS", "SET_NAMES", "conditions", "tables"]

BEGIN = "<!-- begin of what `python -m bench.structures_report FILE.json` printed -->"
MAPPINGS = (
    *("empty loop", "dict", "HashMap", "SortedDict", "BTree", "LMDB", "SQLite"),
    *("ZODB", "diskcache", "shelve"),
)
SET_NAMES = ("set", "Set", "sortedcontainers", "SortedSet", "ZODB TreeSet")
PERSISTENT = ("LMDB", "SQLite", "ZODB", "diskcache", "shelve", "ZODB TreeSet")
OURS = {"mappings": ("HashMap", "BTree"), "sets": ("Set", "SortedSet")}
KEYS = {"int": "distinct random 63-bit ints", "bytes": "random 16-byte keys"}
OPERATIONS = {"put": "put, one by one", "get": "get", "in": "in", "scan": "scan, for each item"}


def _title(section: str, kind: str) -> str:
    """What was measured."""
    return f"Sets of {KEYS[kind]}" if section == "sets" else f"Mappings, {WORKLOADS[kind].what}"


def conditions(results: Results) -> str:
    """On what machine, and how."""
    facts = results.facts
    machine = facts["machine"]
    versions = [f"{name} {version}" for name, version in machine["versions"].items() if version]
    hardware = (
        f"{machine['processor']}, {facts['processors']} CPUs, L2 {machine['cache_l2']}, "
        f"L3 {machine['cache_l3']}, {machine['memory_gib']} GiB; Linux {machine['kernel']}."
    )
    software = f"{machine['python']}, {', '.join(versions)}, SQLite {machine['sqlite']}."
    run = (
        f"{facts['started']}: {facts['n']:,} entries, rounds: {facts['rounds']}, seed "
        f"{facts['seed']}; {facts['seconds']} s in all. Load {machine['load']} before, "
        f"{facts['load_after']} after."
    )
    lines = [hardware, software, run, *(f"Left out: {line}." for line in facts["left_out"])]
    if max(machine["load"], facts["load_after"]) > machine["cpus"]:
        lines.append("Others kept this machine busy: ratios say more than times here.")
    return "\n".join(lines)


# --- targets ------------------------------------------------------------------------------------


def _narrowest(results: Results, clock: Clock, workload: str, ours: str) -> Verdict | None:
    """The cell in which a persistent peer comes nearest."""
    found = [
        (ratio, f"{cell.contestant}, {OPERATIONS[cell.operation]}")
        for cell in results.cells(workload)
        if cell.contestant in PERSISTENT
        and (ratio := results.ratio(workload, cell.operation, cell.contestant, ours, clock))
    ]
    if not found:
        return None
    ratio, where = min(found)
    kind = workload.split()[1]
    return Verdict(f"{ours}, {kind}: the nearest persistent peer ({where})", 1, ratio, "×", False)


def verdicts(results: Results, clock: Clock) -> list[Verdict]:
    """All targets; they are meant for a million entries."""

    def times(
        name: str, operation: str, one: str, other: str, target: float, at_most: bool = False
    ) -> Verdict:
        ratio = results.ratio("mappings int", operation, one, other, clock)
        return Verdict(name, target, ratio, "×", at_most)

    told = [
        times("HashMap get / dict get, int", "get", "HashMap", "dict", 1.3, True),
        times("LMDB get / BTree get, int", "get", "LMDB", "BTree", 2.5),
        times("SortedDict put / BTree put, int", "put", "SortedDict", "BTree", 3),
    ]
    for section, names in OURS.items():
        for kind in WORKLOADS:
            for ours in names:
                nearest = _narrowest(results, clock, f"{section} {kind}", ours)
                told += [] if nearest is None else [nearest]
    for name, rates in results.facts.get("readers", {}).items():
        wall, cpu = ((_scaling(rates, "2", at) if "2" in rates else None) for at in (0, 1))
        told.append(Verdict(f"{name}: 2 readers / 1 reader, gets a second", 1.9, wall, "×", False))
        title = f"{name}: the same, for a second of CPU time of each"
        told.append(Verdict(title, 1.9, cpu and 2 / cpu, "×", False))
    return told


# --- tables -------------------------------------------------------------------------------------


def _ratio_tables(results: Results, clock: Clock, section: str, kind: str) -> list[Table]:
    """How many times as long as ours the others take."""
    workload = f"{section} {kind}"
    names = MAPPINGS if section == "mappings" else SET_NAMES
    found = []
    for ours in OURS[section]:
        peers = [name for name in names if name not in (*OURS[section], "empty loop")]
        title = f"{_title(section, kind)}: time of the peer / time of {ours}"
        table = Table(title, ["operation", *peers])
        for operation, words in OPERATIONS.items():
            ratios = [results.ratio(workload, operation, peer, ours, clock) for peer in peers]
            if any(ratios):
                table.rows.append([words, *(f"{number(r)}×" if r else "–" for r in ratios)])
        found.append(table)
    return found


def _time_table(results: Results, clock: Clock, workload: str, title: str) -> Table:
    """Nanoseconds for an operation."""
    cells = results.cells(workload)
    names = list(dict.fromkeys(cell.contestant for cell in cells))
    order = [name for name in (*MAPPINGS, *SET_NAMES) if name in names]
    names = order or names
    table = Table(f"{title}: ns for an operation", ["operation", *names])
    for operation in dict.fromkeys(cell.operation for cell in cells):
        medians = [results.median(workload, operation, name, clock) for name in names]
        table.rows.append([OPERATIONS.get(operation, operation), *map(number, medians)])
    return table


def _scaling(rates: dict[str, list[list[float]]], processes: str, column: int) -> float | None:
    """That many processes to the first number of them (one), the median of the rounds."""
    pairs = zip(rates[processes], next(iter(rates.values())), strict=True)
    return statistics.median(many[column] / one[column] for many, one in pairs)


def _reader_table(results: Results) -> Table:
    """Gets a second of all readers together."""
    table = Table(
        f"Readers on {results.facts['processors']} processors: random gets, int, of all together",
        ["", "processes", "million gets a second", "to first", "CPU ns for a get", "to first"],
    )
    for name, rates in results.facts.get("readers", {}).items():
        for processes, told in rates.items():
            rate = statistics.median(found[0] for found in told)
            cpu = statistics.median(found[1] for found in told)
            table.rows.append(
                [
                    name,
                    processes,
                    number(rate / 1e6),
                    f"{number(_scaling(rates, processes, 0))}×",
                    number(cpu),
                    f"{number(_scaling(rates, processes, 1))}×",
                ]
            )
    return table


def tables(results: Results, clock: Clock) -> list[Table]:
    """Targets first, then ratios."""
    first = Table("Targets (all ratios of this one run)", ["what", "target", "measured", ""])
    first.rows = [verdict.row for verdict in verdicts(results, clock)]
    found = [first]
    for section in OURS:
        for kind in WORKLOADS:
            found += _ratio_tables(results, clock, section, kind)
    for section in OURS:
        for kind in WORKLOADS:
            title = _title(section, kind)
            found.append(_time_table(results, clock, f"{section} {kind}", title))
    found.append(_time_table(results, clock, "list", "Lists of ints"))
    found.append(_time_table(results, "wall", "queue", "Queues of ints, wall time"))
    found.append(_reader_table(results))
    return [table for table in found if table.rows]


def text_of(results: Results, clock: Clock) -> str:
    """What is printed, in a fence."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print(conditions(results), end="\n\n")
        show(tables(results, clock), as_markdown=False)
    lines = [line.rstrip() for line in printed.getvalue().rstrip().splitlines()]
    return "\n".join(["```text", *lines, "```"])


def main() -> None:
    """Tell a run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.structures_report", description=__doc__)
    parser.add_argument("file", type=Path, help="what --json wrote")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="replace its tables by these")
    arguments = parser.parse_args()
    results = Results.from_json(json.loads(arguments.file.read_text(encoding="utf-8")))
    if arguments.into:
        put_into(arguments.into, text_of(results, arguments.clock), BEGIN)
        return
    print(conditions(results), end="\n\n")
    show(tables(results, arguments.clock), as_markdown=arguments.markdown)


if __name__ == "__main__":
    main()
