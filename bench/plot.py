# SPDX-License-Identifier: Apache-2.0
"""Draw what a run measured: `python -m bench.plot FILE.json [FILE.png]`. Needs matplotlib.

One panel for each workload; the bars are nanoseconds for an operation, on a logarithmic scale.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contestants import OPERATIONS
from bench.harness import Clock, Results
from bench.roster import ROSTER
from bench.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {
    "empty loop": "#bbbbbb",
    "dict": "#888888",
    "HashMap": "#d62728",
    "SortedDict": "#555555",
    "BTree": "#ff7f0e",
    "LMDB": "#1f77b4",
    "SQLite": "#2ca02c",
}


def draw(results: Results, clock: Clock, file: Path) -> None:
    """Write the picture."""
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    workloads = [name for name in WORKLOADS if results.cells(name)]
    figure, panels = pyplot.subplots(
        len(workloads), 1, figsize=(11, 4.5 * len(workloads)), squeeze=False
    )
    for panel, workload in zip(panels[:, 0], workloads, strict=True):
        draw_workload(panel, results, clock, workload)
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def draw_workload(panel: Any, results: Results, clock: Clock, workload: str) -> None:
    """Bars by operation, one colour for each contestant."""
    width = 0.9 / len(ROSTER)
    for place, name in enumerate(ROSTER):
        medians = [results.median(workload, operation, name, clock) for operation in OPERATIONS]
        bars = [(at, value) for at, value in enumerate(medians) if value is not None]
        if bars:
            positions = [at + (place - (len(ROSTER) - 1) / 2) * width for at, _ in bars]
            heights = [value for _, value in bars]
            panel.bar(positions, heights, width, label=name, color=COLOURS[name])
    panel.set_yscale("log")
    panel.set_ylabel(f"ns for an operation, {clock} time")
    panel.set_xticks(range(len(OPERATIONS)), OPERATIONS)
    panel.set_title(WORKLOADS[workload].what)
    panel.grid(axis="y", alpha=0.3)
    panel.set_ylim(top=2 * panel.get_ylim()[1])  # room for the legend
    panel.legend(ncols=len(ROSTER), fontsize="small", loc="upper left")


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("file", type=Path, help="what --json wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="PNG to write (FILE.png)")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    arguments = parser.parse_args(words)
    results = Results.from_json(json.loads(arguments.file.read_text(encoding="utf-8")))
    picture = arguments.picture or arguments.file.with_suffix(".png")
    try:
        draw(results, arguments.clock, picture)
    except ImportError as error:
        raise SystemExit(f"{error}: install matplotlib to draw") from None
    print(picture)


if __name__ == "__main__":
    main()
