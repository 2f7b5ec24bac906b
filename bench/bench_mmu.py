# SPDX-License-Identifier: Apache-2.0
"""The MMU model, held against what was measured.

Question: does the model count the page tables that the kernel makes, and does it cost what the
SpaceJMP paper measured? And how fast is it?

  tables    private and shared mappings of many sizes, touched whole, in steps and at random; the
            growth of VmPTE (/proc/self/status) against the model's own tables
  switch    two VASes that switch to each other, without tags and with: cycles on M2 (the paper's
            Table 2)
  fig1      mapping and unmapping by size, page by page and with cached translations (Fig. 1)
  fig6      cycles for a random cache line on M3, by working set, without switches, with tagged
            and with flushing ones, one for each round over the pages (Fig. 6)
  speed     million accesses a second that the model does, one thread, CPU time: random addresses,
            and traces of a store's structures

Paper figures are those that it prints, or read off its plots to about 1 % of an axis. The costs
of Fig. 6's machine are fitted to six of its twelve points (spacejmp/mmu/presets.c); docs/mmu.md
says which. A deviation of more than 15 % is marked, and explained there.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import mmap
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import spacejmp as sj
from spacejmp.mmu import Machine, presets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BASE = 0x3000_0000_0000
MIB = 1 << 20
GIB = 1 << 30
PAGE = 4096


class Row(NamedTuple):
    """One figure of the model beside the one that was measured."""

    part: str
    what: str
    unit: str
    measured: float
    modelled: float
    limit: float
    """The deviation that is fine, as a fraction."""

    @property
    def deviation(self) -> float:
        """Of the model, as a fraction of what was measured."""
        return self.modelled / self.measured - 1 if self.measured else float(self.modelled != 0)


# --- page tables against the kernel -------------------------------------------------------------


def kernel_table_bytes() -> int:
    """What the kernel counts as page tables of this process, without the root."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(r"^VmPTE:\s+(\d+) kB$", status, re.MULTILINE)
    if match is None:
        raise SystemExit("/proc/self/status has no VmPTE: this part needs Linux")
    return int(match[1]) * 1024


def touched(pages: int, how: str, rng: random.Random) -> Sequence[int]:
    """Which pages of a mapping are touched."""
    if how == "all":
        return range(pages)
    if how == "every 300th":
        return range(0, pages, 300)
    return sorted(rng.sample(range(pages), max(1, pages // 2000)))


def table_rows(folder: Path) -> Iterator[Row]:
    """VmPTE for mappings of 2 MiB to 16 GiB."""
    rng = random.Random(1)
    cases = [
        (kind, size, how)
        for kind in ("private", "shared file")
        for size, how in (
            (2 * MIB, "all"),
            (64 * MIB, "all"),
            (160 * MIB, "all"),
            (GIB, "every 300th"),
            (4 * GIB, "every 300th"),
            (4 * GIB, "at random"),
            (16 * GIB, "at random"),
        )
    ]
    for kind, size, how in cases:
        pages = touched(size // PAGE, how, rng)
        measured = map_and_touch(kind, size, pages, folder)
        vas = Machine("m3", "bare").vas()
        for page in pages:
            vas.map(FRESH + page * PAGE, PAGE)
        modelled = vas.tables.own_bytes - PAGE  # the root is not in VmPTE
        yield Row("tables", f"{kind}, {size // MIB} MiB, {how}", "B", measured, modelled, 0.02)


FRESH = 0x5000_0000_0000 + 5 * MIB
"""Nothing lies near: so all tables of a mapping here are its own."""


def map_and_touch(kind: str, size: int, pages: Sequence[int], folder: Path) -> int:
    """Bytes of page tables that the kernel makes for it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [*libc.madvise.argtypes, ctypes.c_int]
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        flags, fd = (private, -1) if kind == "private" else (mmap.MAP_SHARED, file.fileno())
        rights = mmap.PROT_READ | mmap.PROT_WRITE
        at = libc.mmap(FRESH, size, rights, flags | 0x100000, fd, 0)  # MAP_FIXED_NOREPLACE
        if at != FRESH:
            raise SystemExit(f"mmap at {FRESH:#x}: {os.strerror(ctypes.get_errno())}")
    libc.madvise(FRESH, size, mmap.MADV_NOHUGEPAGE)
    before = kernel_table_bytes()
    for page in pages:
        # Read, so that shared memory needs no page; an anonymous page is the zero page then.
        ctypes.c_ubyte.from_address(FRESH + page * PAGE).value  # noqa: B018
    grown = kernel_table_bytes() - before
    libc.munmap(FRESH, size)
    return grown


# --- the paper ----------------------------------------------------------------------------------

SWITCH_PAPER = {
    ("bare", False): ("load of CR3", 130),
    ("bare", True): ("load of CR3, tagged", 224),
    ("dragonfly", False): ("vas_switch, DragonFly BSD", 1127),
    ("dragonfly", True): ("vas_switch, DragonFly BSD, tagged", 807),
    ("barrelfish", False): ("vas_switch, Barrelfish", 664),
    ("barrelfish", True): ("vas_switch, Barrelfish, tagged", 462),
}


def switch_rows() -> Iterator[Row]:
    """Cycles of a switch on M2."""
    for (system, tagged), (what, measured) in SWITCH_PAPER.items():
        machine = Machine("m2", system)
        vases = machine.vas(), machine.vas()
        for turn in range(1100):
            if turn == 100:
                machine.reset()
            vas = vases[turn % 2]
            vas.switch(1 + vas.number if tagged else 0)
        modelled = sum(vas.switches.cycles for vas in vases) / 1000
        yield Row("switch", what, "cycles", measured, modelled, 0.15)


FIG1_PAPER = ((MIB, 50e3, 11e3), (GIB, 44e6, 9.9e6), (64 * GIB, 2.84e9, 624e6))
"""Bytes; ns to map, to unmap."""

FIG1_CACHED = (400, 2100)
"""ns with cached translations: the least and the most, at every size."""


def fig1_rows() -> Iterator[Row]:
    """Nanoseconds to map and to unmap 4 KiB pages."""
    for size, mapped, unmapped in FIG1_PAPER:
        vas = Machine("m2").vas()
        name = f"{size // MIB} MiB"
        yield Row("fig1", f"map {name}", "ns", mapped, vas.map(BASE, size).ns, 0.15)
        yield Row("fig1", f"unmap {name}", "ns", unmapped, vas.unmap(BASE, size).ns, 0.15)
        machine = Machine("m2")
        segment = machine.segment(BASE, size)
        vas = machine.vas()
        for what, ns in (("link", vas.link(segment).ns), ("unlink", vas.unlink(segment).ns)):
            nearest = min(max(ns, FIG1_CACHED[0]), FIG1_CACHED[1])
            yield Row("fig1", f"{what} {name}, in 400 … 2100", "ns", nearest, ns, 0.15)


FIG6_PAGES = (80, 640, 1040, 2000)
FIG6_PAPER = {
    "no switch": (5, 6, 28, 58),
    "tagged": (6, 7, 29, 60),
    "flushing": (41, 51, 51, 61),
}


def fig6_cycles(mode: str, pages: int, rounds: int = 20) -> float:
    """Cycles for a cache line: rounds over pages in one random order; a switch before each."""
    machine = Machine("m3", "barrelfish")
    vas = machine.vas()
    vas.map(BASE, pages * PAGE)
    order = np.random.default_rng(6).permutation(pages).astype(np.uint64)
    vas.switch(1)
    for turn in range(rounds + 2):
        if turn == 2:
            machine.reset()
        if mode != "no switch":
            vas.switch(1 if mode == "tagged" else 0)
        machine.access(BASE + PAGE * order)
    counters = vas.counters
    return counters.cycles / counters.accesses


def fig6_rows() -> Iterator[Row]:
    """Cycles for a random cache line on M3."""
    for mode, figures in FIG6_PAPER.items():
        for pages, measured in zip(FIG6_PAGES, figures, strict=True):
            modelled = fig6_cycles(mode, pages)
            yield Row("fig6", f"{pages} pages, {mode}", "cycles", measured, modelled, 0.15)


def fig6_curves() -> dict[str, list[tuple[int, float]]]:
    """The same for many working sets."""
    sizes = range(40, 2040, 40)
    return {mode: [(n, fig6_cycles(mode, n, 6)) for n in sizes] for mode in FIG6_PAPER}


# --- speed --------------------------------------------------------------------------------------


def speeds(entries: int, folder: Path) -> dict[str, float]:
    """Million accesses a second, by preset and what is accessed; the best of three."""
    rng = np.random.default_rng(7)
    cases = {
        f"{size // 1024} KiB at random": (
            BASE,
            BASE + rng.integers(0, size, 10**6, dtype=np.uint64),
        )
        for size in (256 * 1024, 4 * MIB, 64 * MIB, GIB)
    }
    cases.update(traces(entries, folder))
    found = {}
    for preset in presets():
        for what, (base, addresses) in cases.items():
            machine = Machine(preset)
            vas = machine.vas()
            vas.map(base, GIB)
            vas.switch()
            machine.access(addresses)
            best = min(timed(machine.access, addresses) for _ in range(3))
            found[f"{preset}, {what}"] = len(addresses) / best / 1e6
    return found


def traces(entries: int, folder: Path) -> dict[str, tuple[int, Any]]:
    """What random gets, inserts and a scan of a store touch: its base, and the addresses."""
    rng = random.Random(7)
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="spacejmp-bench-", dir=folder) as home,
        sj.open("traced", home=home) as store,
    ):
        tree = store.btree("tree", key="int", value="int")
        mapping = store.hashmap("mapping", key="int", value="int")
        for structure in (tree, mapping):
            structure.update((key, key) for key in range(entries))
        keys = rng.choices(range(entries), k=entries // 5)
        work: dict[str, Callable[[], object]] = {
            "BTree, random gets": lambda: [tree[key] for key in keys],
            "HashMap, random gets": lambda: [mapping[key] for key in keys],
            "BTree, scan": lambda: sum(tree.values()),
            "BTree, inserts": lambda: tree.update((entries + 7 * key, 0) for key in keys[::8]),
        }
        for what, do in work.items():
            with sj.mmu.trace(limit=8 * entries) as trace:
                do()
            found[what] = (store.base, trace.addresses)
    return found


def timed(function: Callable[[Any], object], argument: Any) -> float:
    """Seconds of CPU time."""
    begin = time.process_time()
    function(argument)
    return time.process_time() - begin


# --- telling ------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Four digits that say something."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    lines = ["| what | measured | model | unit | deviation |", "| --- | ---: | ---: | --- | ---: |"]
    for row in rows:
        mark = "" if abs(row.deviation) <= row.limit else " **!**"
        cells = number(row.measured), number(row.modelled), row.unit, f"{row.deviation:+.1%}{mark}"
        lines.append(f"| {row.what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves: dict[str, list[tuple[int, float]]], file: Path) -> None:
    """Fig. 6: the model's curves, and the paper's points."""
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, panel = pyplot.subplots(figsize=(8, 4.5))
    colours = {"no switch": "#888888", "tagged": "#1f77b4", "flushing": "#d62728"}
    for mode, curve in curves.items():
        panel.plot(*zip(*curve, strict=True), color=colours[mode], label=f"{mode}, model")
        panel.plot(FIG6_PAGES, FIG6_PAPER[mode], "o", color=colours[mode], label=f"{mode}, paper")
    panel.set_xlabel("pages of 4 KiB, touched in a random order")
    panel.set_ylabel("cycles for a cache line")
    panel.set_title("M3: a switch before each round over the pages")
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small", ncols=3)
    figure.tight_layout()
    figure.savefig(file, dpi=150)


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "tables": table_rows,
    "switch": lambda _: switch_rows(),
    "fig1": lambda _: fig1_rows(),
    "fig6": lambda _: fig6_rows(),
}


def main(words: Sequence[str] | None = None) -> int:
    """Compare and tell; 1 when page tables deviate from the kernel's."""
    parser = argparse.ArgumentParser(prog="python -m bench.bench_mmu", description=__doc__)
    parser.add_argument("--parts", nargs="*", choices=(*PARTS, "speed"), default=[*PARTS, "speed"])
    parser.add_argument("--n", type=int, default=10**6, help="entries of the store of the traces")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="for shared files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw Fig. 6; needs matplotlib")
    arguments = parser.parse_args(words)
    rows: list[Row] = []
    for part in arguments.parts:
        if part in PARTS:
            found = list(PARTS[part](arguments.directory))
            rows += found
            print(f"**{part}**\n\n{table(found)}\n")
    wanted = "speed" in arguments.parts
    speed = speeds(arguments.n, arguments.directory) if wanted else {}
    for what, rate in speed.items():
        print(f"{what}: {rate:.1f} M accesses/s")
    if arguments.json:
        data = {"rows": [{**row._asdict(), "deviation": row.deviation} for row in rows]}
        text = json.dumps({**data, "speed": speed}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if arguments.plot:
        try:
            draw(fig6_curves(), arguments.plot)
        except ImportError as error:
            raise SystemExit(f"{error}: install matplotlib to draw") from None
    wrong = [row for row in rows if row.part == "tables" and abs(row.deviation) > row.limit]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
