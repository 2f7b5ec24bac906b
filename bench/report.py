# SPDX-License-Identifier: Apache-2.0
"""How it is told: verdicts, ratios, times; on a terminal or as Markdown.

`python -m bench.report FILE.json` tells a run again; `--markdown` as tables for a document, and
`--into DOCUMENT` puts them between the two marks there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contestants import OPERATIONS
from bench.harness import Clock, Results
from bench.roster import ROSTER
from bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["print_report"]

BEGIN = "<!-- begin of what `python -m bench.report FILE.json --markdown` printed -->"
END = "<!-- end -->"

OURS = ("BTree", "HashMap")
PEERS = ("dict", "SortedDict", "LMDB", "SQLite")
OPERATION_NAMES = {
    "insert": "insert, one by one",
    "get": "get, there",
    "miss": "get, not there",
    "scan": "scan, for each item",
    "range": "range of 100 items",
    "delete": "delete a half",
    "put": "put, a transaction each",
    "reopen": "open + first get",
    "recover": "the same after kill -9",
    "import": "import",
}
LATENCIES = ("reopen", "recover")


# --- the targets --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """A target, and what was measured."""

    name: str
    target: float
    measured: float | None
    unit: str
    at_most: bool
    """Whether the target is the most that is fine, or the least."""

    @property
    def outcome(self) -> str:
        """`ok`, `missed`, or that it was not measured."""
        if self.measured is None:
            return "not measured"
        within = self.measured <= self.target if self.at_most else self.measured >= self.target
        return "ok" if within else "missed"

    @property
    def row(self) -> list[str]:
        """Name, target, measured, outcome."""
        sign = "≤" if self.at_most else "≥"
        measured = "–" if self.measured is None else f"{number(self.measured)} {self.unit}"
        return [self.name, f"{sign} {self.target:g} {self.unit}", measured, self.outcome]


def verdicts(results: Results, clock: Clock) -> list[Verdict]:
    """All targets; they are meant for a million entries."""

    def times(
        name: str,
        operation: str,
        workload: str,
        one: str,
        other: str,
        target: float,
        at_most: bool = False,
    ) -> Verdict:
        ratio = results.ratio(workload, operation, one, other, clock)
        return Verdict(name, target, ratio, "×", at_most)

    def slowest(operation: str) -> float | None:
        """Milliseconds, of our structures and of the workloads the slowest."""
        medians = [results.median(w, operation, who, "wall") for w in WORKLOADS for who in OURS]
        known = [median for median in medians if median is not None]
        return max(known) / 1e6 if known else None

    importing = results.median("process", "import", "spacejmp", clock)
    return [
        times("HashMap get / dict get, int", "get", "int", "HashMap", "dict", 1.5, True),
        times("LMDB get / BTree get, int", "get", "int", "LMDB", "BTree", 2),
        times("LMDB put / BTree insert, int", "insert", "int", "LMDB", "BTree", 2),
        times("LMDB range / BTree range, int", "range", "int", "LMDB", "BTree", 1),
        times("LMDB range / BTree range, bytes", "range", "bytes", "LMDB", "BTree", 1),
        Verdict("open + first get, slowest", 1, slowest("reopen"), "ms", True),
        Verdict("the same after kill -9, slowest", 10, slowest("recover"), "ms", True),
        Verdict("import spacejmp", 80, importing and importing / 1e6, "ms", True),
        Verdict(
            "file for a key in the BTree, int", 40, results.size("int", "BTree"), "bytes", True
        ),
    ]


# --- tables -------------------------------------------------------------------------------------


@dataclass
class Table:
    """Rows of text; what comes after the first column is set to the right."""

    title: str
    headers: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def print(self) -> None:
        """To the terminal."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable

        table = RichTable(box=box.SIMPLE_HEAD)
        for place, header in enumerate(self.headers):
            table.add_column(header, justify="right" if place else "left", no_wrap=True)
        for row in self.rows:
            style = {"missed": "red", "ok": "green"}.get(row[-1], "")
            table.add_row(*row, style=style)
        width = None if sys.stdout.isatty() else 120
        console = Console(width=width, highlight=False)
        console.print(self.title, style="bold")  # as a title, it would break at the table's width
        console.print(table)

    def markdown(self) -> str:
        """As Markdown."""
        lines = [
            f"**{self.title}**",
            "",
            _line(self.headers),
            _line(["---", *["---:"] * (len(self.headers) - 1)]),
            *map(_line, self.rows),
        ]
        return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """Three digits that say something."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict_table(results: Results, clock: Clock) -> Table:
    """What was aimed at."""
    table = Table("Targets (all ratios of this one run)", ["what", "target", "measured", ""])
    table.rows = [verdict.row for verdict in verdicts(results, clock)]
    return table


def ratio_tables(results: Results, clock: Clock, workload: str) -> list[Table]:
    """How many times as long as ours the peers take."""
    tables = []
    for who in OURS:
        title = f"{WORKLOADS[workload].what}: time of the peer / time of {who}"
        table = Table(title, ["operation", *PEERS])
        for operation in OPERATIONS:
            ratios = [results.ratio(workload, operation, peer, who, clock) for peer in PEERS]
            if any(ratios):
                cells = ["–" if ratio is None else f"{number(ratio)}×" for ratio in ratios]
                table.rows.append([OPERATION_NAMES[operation], *cells])
        if table.rows:
            tables.append(table)
    return tables


def time_table(results: Results, clock: Clock, workload: str) -> Table:
    """Nanoseconds for an operation."""
    present = {cell.contestant for cell in results.cells(workload)}
    names = [name for name in ROSTER if name in present]
    title = f"{WORKLOADS[workload].what}: ns for an operation, {_clock_name(clock)}"
    table = Table(title, ["operation", *names])
    for operation in OPERATIONS:
        medians = [results.median(workload, operation, name, clock) for name in names]
        if any(medians):
            table.rows.append([OPERATION_NAMES[operation], *map(number, medians)])
    sizes = [results.size(workload, name) for name in names]
    if any(sizes):
        table.rows.append(["file bytes for an entry", *map(number, sizes)])
    return table


def latency_table(results: Results) -> Table:
    """Milliseconds to open, and to import."""
    present = {cell.contestant for cell in results.cells() if cell.operation in LATENCIES}
    names = [name for name in ROSTER if name in present]
    table = Table("Opening in a fresh process, after imports: ms, wall time", ["", *names])
    for workload in WORKLOADS:
        for operation in LATENCIES:
            medians = [results.median(workload, operation, name, "wall") for name in names]
            if any(medians):
                cells = [number(median and median / 1e6) for median in medians]
                table.rows.append([f"{OPERATION_NAMES[operation]}, {workload}", *cells])
    return table


def import_table(results: Results) -> Table:
    """Milliseconds to import."""
    table = Table("Importing in a fresh process: ms", ["module", "CPU time", "wall time"])
    for cell in results.cells("process"):
        clocks: tuple[Clock, ...] = ("cpu", "wall")
        medians = [results.median("process", "import", cell.contestant, c) for c in clocks]
        table.rows.append([cell.contestant, *(number(value and value / 1e6) for value in medians)])
    return table


def all_tables(results: Results, clock: Clock) -> list[Table]:
    """Ratios first."""
    tables = [verdict_table(results, clock)]
    for workload in WORKLOADS:
        tables += ratio_tables(results, clock, workload)
    tables += [time_table(results, clock, workload) for workload in WORKLOADS]
    tables += [latency_table(results), import_table(results)]
    return [table for table in tables if table.rows]


def _clock_name(clock: Clock) -> str:
    return "CPU time" if clock == "cpu" else "wall time"


def conditions(results: Results) -> str:
    """On what machine, and how."""
    facts = results.facts
    machine = facts["machine"]
    versions = [f"{name} {version}" for name, version in machine["versions"].items() if version]
    hardware = (
        f"{machine['processor']}, {machine['cpus']} CPUs, L2 {machine['cache_l2']}, "
        f"L3 {machine['cache_l3']}, {machine['memory_gib']} GiB; Linux {machine['kernel']}; "
        f"huge pages for shared memory: {machine['huge_pages_shm']}."
    )
    software = f"{machine['python']}, {', '.join(versions)}, SQLite {machine['sqlite']}."
    run = (
        f"{facts['started']}: {facts['n']:,} entries, rounds: {facts['rounds']} "
        f"(SortedDict, SQLite: 3 at most), seed {facts['seed']}; {facts['seconds']} s in all. "
        f"Load {machine['load']} before, {facts['load_after']} after."
    )
    lines = [hardware, software, run]
    if machine["load"] > machine["cpus"]:
        lines.append("Others kept this machine busy: ratios say more than times here.")
    return "\n".join(lines)


def print_report(results: Results, clock: Clock) -> None:
    """Everything, to the terminal."""
    print(conditions(results))
    print()
    for table in all_tables(results, clock):
        table.print()


def markdown_report(results: Results, clock: Clock) -> str:
    """Everything, as Markdown."""
    parts = [conditions(results), *(table.markdown() for table in all_tables(results, clock))]
    return "\n\n".join(parts)


def show(tables: Iterable[Table], *, as_markdown: bool) -> None:
    """Print tables, for people or as Markdown."""
    for table in tables:
        if as_markdown:
            print(table.markdown(), end="\n\n")
        else:
            table.print()


def put_into(document: Path, report: str, begin: str = BEGIN) -> None:
    """Replace what is between the marks of a document."""
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
    new, count = pattern.subn(lambda _: f"{begin}\n\n{report}\n\n{END}", text)
    if count != 1:
        raise SystemExit(f"{document}: expected the marks once:\n{begin}\n{END}")
    document.write_text(new, encoding="utf-8")


def main(words: Sequence[str] | None = None) -> None:
    """Tell a run again."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("file", type=Path, help="what --json wrote")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="replace its tables by these")
    arguments = parser.parse_args(words)
    results = Results.from_json(json.loads(arguments.file.read_text(encoding="utf-8")))
    if arguments.into:
        put_into(arguments.into, markdown_report(results, arguments.clock))
    elif arguments.markdown:
        print(markdown_report(results, arguments.clock))
    else:
        print_report(results, arguments.clock)


if __name__ == "__main__":
    main()
