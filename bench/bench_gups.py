# SPDX-License-Identifier: Apache-2.0
"""GUPS: random updates over windows of memory, beside the SpaceJMP paper's Fig. 8.

Question    A program updates random words of many windows, a set of updates in one and then a set
            in a random other one. What do the switches cost it: if the windows are segments of
            SpaceJMP, at home or moved by page tables; if it maps a window at a time; if each
            window has a process of its own?
Workload    HPCC RandomAccess over 1 to 128 windows, sets of 64 and 16 updates. A window has 1 GiB
            of addresses, and a table in it (--window-bytes) in memory: two segments for each.
Peers       flat: one mapping of all windows, the limit. MAP: mmap over the window before. MP: a
            process for each window and rings in shared memory; of futex, looking first, yielding
            and spinning, on one CPU or two, whatever does most in a trial of 20 ms. A set is
            applied before the next one is drawn, as everywhere; "mp, ahead" lets up to 1024
            updates be on their way, as HPCC does.
In the time All that a program does: drawing the numbers, switching, updating. One set is drawn
            ahead, and prefetched where its window is mapped (flat, SpaceJMP resident). Wall time;
            or CPU time of all processes (--clock cpu), which others on the machine disturb less,
            and which leaves out what MP waits for when its processes are on two CPUs.
            Not: making and filling the windows, which have all their pages. Designs take turns, in
            each round another one first; a ratio is taken within a round, and the median is told.
            After each turn it is verified as HPCC does: the updates are done once more, which
            undoes them, and every word is looked at.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import machine, say
from bench.report import Table, Verdict, number, show
from spacejmp.apps.amounts import parse_numbers, parse_size
from spacejmp.apps.exits import CommandError
from spacejmp.apps.gups.command import facts
from spacejmp.apps.gups.run import Plan, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spacejmp.apps.gups.run import Cell

TARGETS = (
    ("resident", "flat", 0.8, (16, 64)),
    ("resident", "mp", 5.0, (16, 64)),
    ("overlapping", "map", 25.0, (16, 64)),
    ("overlapping", "mp", 1.0, (64,)),
)
"""Design, peer, how many times as fast, at sets of so many updates."""

WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)
PAPER: dict[tuple[str, int], tuple[float, ...]] = {
    ("SpaceJMP", 64): (79.4, 56.2, 43.5, 37.9, 30.7, 27.3, 19.9, 17.9),
    ("MP", 64): (79.7, 54.5, 42.3, 37.9, 38.3, 28.7),
    ("SpaceJMP", 16): (75.5, 32.5, 24.9, 22.2, 18.4, 14.1, 13.4, 10.4),
    ("MP", 16): (75.4, 24.4, 17.2, 16.6, 16.1, 12.4),
}
"""Fig. 8, million updates a second on M3, for as many of WINDOWS; MP stops at 32 of its 36 cores.
MAP is at 79.7 and 75.1 with one window, and at most at 0.03 with more."""


def tables(cells: list[Cell]) -> list[Table]:
    """Verdicts, the worst of all numbers of windows; then rates, and the paper's."""
    targets = Table("Targets (the worst, from two windows on)", ["what", "target", "measured", ""])
    for one, other, goal, sizes in TARGETS:
        for updates in sizes:
            some = [cell for cell in cells if cell.updates == updates]
            least = 1 if other == "flat" else 2
            ratios = {
                cell.windows: cell.ratio(one, other) for cell in some if cell.windows >= least
            }
            known = {windows: ratio for windows, ratio in ratios.items() if ratio is not None}
            at = min(known, key=known.__getitem__) if known else 0
            what = f"{one} / {other}, sets of {updates}: {at} windows"
            targets.rows.append(Verdict(what, goal, known.get(at), "×", False).row)
    found = [targets]
    for updates in dict.fromkeys(cell.updates for cell in cells):
        some = [cell for cell in cells if cell.updates == updates]
        designs = list(some[0].turns)
        table = Table(
            f"Million updates a second, sets of {updates}",
            ["windows", *designs, "SpaceJMP, paper", "MP, paper"],
        )
        for cell in some:
            paper = [paper_at(name, updates, cell.windows) for name in ("SpaceJMP", "MP")]
            rates = [number(cell.mups(name)) for name in designs]
            table.rows.append([str(cell.windows), *rates, *map(number, paper)])
        found.append(table)
    return found


def paper_at(design: str, updates: int, windows: int) -> float | None:
    """What the paper measured, if it did."""
    known = dict(zip(WINDOWS, PAPER.get((design, updates), ()), strict=False))
    return known.get(windows)


COLOURS = {
    "flat": "#888888",
    "resident": "#d62728",
    "overlapping": "#ff7f0e",
    "map": "#2ca02c",
    "mp": "#1f77b4",
    "mp, ahead": "#9ec9e8",
}


def draw(cells: list[Cell], file: Path) -> None:
    """A panel for each size of the sets; the paper's lines are dashed."""
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    sizes = list(dict.fromkeys(cell.updates for cell in cells))
    figure, panels = pyplot.subplots(1, len(sizes), figsize=(6 * len(sizes), 4.5), squeeze=False)
    for panel, updates in zip(panels[0], sizes, strict=True):
        some = [cell for cell in cells if cell.updates == updates]
        for design in some[0].turns:
            line = [(cell.windows, cell.mups(design)) for cell in some]
            panel.plot(*zip(*line, strict=True), "o-", ms=3, color=COLOURS[design], label=design)
        for name, colour in (("SpaceJMP", "#d62728"), ("MP", "#1f77b4")):
            rates = PAPER.get((name, updates), ())
            line = list(zip(WINDOWS, rates, strict=False))
            if line:
                panel.plot(
                    *zip(*line, strict=True), "--", color=colour, label=f"{name}, paper (M3)"
                )
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(WINDOWS, map(str, WINDOWS))
        panel.set_xlabel("windows")
        panel.set_ylabel("million updates a second")
        panel.set_title(f"sets of {updates}")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="x-small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_gups",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = ",".join(map(str, WINDOWS))
    parser.add_argument("--windows", default=every, metavar="N,…", help=f"({every})")
    parser.add_argument("--sets", default="64,16", metavar="N,…", help="updates of a set (64,16)")
    parser.add_argument("--window-bytes", default="32M", metavar="BYTES", help="of a table (32M)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn (0.1)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each design (9)")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="(/dev/shm)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="(wall)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw them; needs matplotlib")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, report; 1 if updates were lost, 0 also when a target is missed."""
    arguments = arguments_of(words)
    print(__doc__)
    sys.stdout.flush()
    plan = Plan(
        parse_numbers("--windows", arguments.windows),
        parse_numbers("--sets", arguments.sets),
        parse_size("--window-bytes", arguments.window_bytes),
        arguments.seconds,
        arguments.rounds,
        arguments.directory,
        clock=arguments.clock,
    )
    try:
        cells = run(plan, running=lambda done, total: say(f"{done} of {total}"))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        figures = {"machine": machine(), **facts(plan, cells)}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    show(tables(cells), as_markdown=arguments.markdown)
    if arguments.plot:
        try:
            draw(cells, arguments.plot)
        except ImportError as error:
            raise SystemExit(f"{error}: install matplotlib to draw") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
