# SPDX-License-Identifier: Apache-2.0
"""What a switch costs: with a lock, with moved page tables, and by other means.

Question    What does it take to go from one address space to another: resident, overlapping, with
            the locks to be taken or held already, from C and from Python, of one segment and of
            64, with 1 MiB and with gigabytes touched?
Workload    Loops of switches in one thread, nobody else there. Each switch ends with a load from
            what was switched to. "in turn": out of one segment, into the next. "at once": into
            so many segments, as a VAS of them takes, and out. "overlapping": two segments at the
            same addresses, in turn, so each switch moves one out and one in.
Peers       munmap and mmap over the same memory, with and without touching all pages again;
            mprotect of two mappings; a hand-over to another process by futex and by pipe, on one
            CPU and on two. And the cycles of the paper, on machines of 2010 to 2014.
In the time CPU time of the thread, which leaves out what others had of the machine; wall time for
            hand-overs; in ticks of the time stamp counter too. The loops of a part take turns;
            medians.
            Not: making the segments, and the first move, which finds the parking range.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import machine, say
from bench.report import Table, Verdict, number, show
from spacejmp.apps.amounts import parse_numbers, parse_size, parse_sizes
from spacejmp.apps.exits import CommandError
from spacejmp.apps.report import human_bytes
from spacejmp.apps.switch.command import facts
from spacejmp.apps.switch.run import PAPER, Plan, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spacejmp.apps.switch.run import Row

MIB = 1 << 20
GIB = 1 << 30


def verdicts(rows: Sequence[Row]) -> Iterable[Verdict]:
    """All targets."""

    def time_of(group: str, what: str, segments: int, touched: int | None = None) -> float | None:
        for row in rows:
            fits = touched is None or row.touched == touched
            if (row.group, row.what, row.segments) == (group, what, segments) and fits:
                return row.ns
        return None

    for how in ("read", "write", "vas_switch"):
        resident = time_of("in turn", f"C, {how}", 2)
        yield Verdict(f"resident, C, {how}, one lockable segment", 60, resident, "ns", True)
    yield Verdict(
        "with store.read(), Python", 500, time_of("in turn", "Python, read", 1), "ns", True
    )
    moved = time_of("overlapping", "C, write", 2, GIB)
    yield Verdict("overlapping, 1 GiB touched", 12, moved and moved / 1e3, "µs", True)
    remapped = time_of("overlapping", "munmap, mmap, refault", 2, GIB)
    faster = remapped / moved if remapped and moved else None
    yield Verdict("mmap with refault / overlapping, 1 GiB", 1000, faster, "×", False)
    sizes = [
        row.ns
        for row in rows
        if (row.group, row.what) == ("overlapping", "C, write") and row.touched >= 2 * MIB
    ]
    spread = max(sizes) / min(sizes) if len(sizes) > 1 else None
    yield Verdict("overlapping, dearest / cheapest from 2 MiB on", 3, spread, "×", True)


def tables(rows: Sequence[Row]) -> list[Table]:
    """Verdicts, then everything."""
    targets = Table("Targets", ["what", "target", "measured", ""])
    targets.rows = [verdict.row for verdict in verdicts(rows)]
    every = Table("A switch", ["", "by", "segments", "reserved", "touched", "ns", "cycles"])
    for row in rows:
        sizes = [human_bytes(size) if size else "–" for size in (row.reserved, row.touched)]
        segments = str(row.segments or "–")
        every.rows.append(
            [row.group, row.what, segments, *sizes, number(row.ns), number(row.cycles)]
        )
    paper = Table("In the paper", ["", "measured"], [list(row) for row in PAPER])
    return [targets, every, paper]


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_switch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--segments", default="1,2,4,8,16,32,64", metavar="N,…")
    parser.add_argument("--sizes", default="1M,2M,16M,256M,1G,4G", metavar="BYTES,…")
    parser.add_argument("--memory", default="4G", metavar="BYTES", help="for two segments (4G)")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="(/dev/shm)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and report; 0 also when a target is missed."""
    arguments = arguments_of(words)
    print(__doc__)
    sys.stdout.flush()
    plan = Plan(
        parse_numbers("--segments", arguments.segments),
        parse_sizes("--sizes", arguments.sizes),
        parse_size("--memory", arguments.memory),
        arguments.rounds,
        arguments.directory,
    )
    try:
        rows = run(plan, lambda done, total: say(f"{done} of {total}"))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        figures = {"machine": machine(), **facts(rows)}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    show(tables(rows), as_markdown=arguments.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
