# SPDX-License-Identifier: Apache-2.0
"""A run: all designs, for each number of windows and each size of the sets, turn by turn."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spacejmp.apps.amounts import GIB
from spacejmp.apps.exits import CommandError
from spacejmp.apps.gups._gups import UPDATES_MAX, WINDOWS_MAX, Course
from spacejmp.apps.gups.designs import DESIGNS, Turn, best_manner, take_turn
from spacejmp.apps.gups.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spacejmp.apps.gups.designs import Clock, Manner

__all__ = ["Cell", "Plan", "run"]


class Plan(NamedTuple):
    """What to do."""

    windows: tuple[int, ...]
    updates: tuple[int, ...]
    """Of a set."""
    window_bytes: int
    seconds: float
    """Of each design's turn."""
    rounds: int
    directory: Path
    designs: tuple[str, ...] = DESIGNS
    seed: int = 1
    clock: Clock = "wall"
    """Wall time; or CPU time of all processes, when others are busy on the machine."""

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises
        ------
        CommandError
        """
        for count in self.windows:
            if not 1 <= count <= WINDOWS_MAX:
                raise CommandError(f"--windows: expected 1 to {WINDOWS_MAX}, found {count}")
        for count in self.updates:
            if not 1 <= count <= UPDATES_MAX or count & (count - 1):
                raise CommandError(
                    f"--sets: expected powers of two up to {UPDATES_MAX}, found {count}"
                )
        size = self.window_bytes
        if not 4096 <= size <= GIB // 2 or size & (size - 1):
            raise CommandError(
                "--window-bytes: expected a power of two from 4 KiB to 512 MiB (a window has 1 GiB "
                f"of addresses, and more than the table in it), found {size}"
            )
        for name in self.designs:
            if name not in DESIGNS:
                raise CommandError(
                    f"--designs: expected some of {'; '.join(DESIGNS)}, found {name!r}"
                )


@dataclass
class Cell:
    """What the designs did with so many windows and updates in a set."""

    windows: int
    updates: int
    clock: Clock = "wall"
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    manners: dict[str, Manner] = field(default_factory=dict)

    def mups(self, design: str) -> float | None:
        """Million updates a second: the median of the turns."""
        turns = self.turns.get(design)
        return statistics.median(turn.mups(self.clock) for turn in turns) if turns else None

    def ratio(self, one: str, other: str) -> float | None:
        """How many times as fast: the median of the rounds' ratios."""
        pairs = zip(self.turns.get(one, ()), self.turns.get(other, ()), strict=False)
        ratios = [a.mups(self.clock) / b.mups(self.clock) for a, b in pairs]
        return statistics.median(ratios) if ratios else None

    def facts(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        designs = {
            name: {
                "mups": self.mups(name),
                "rounds": [turn.mups(self.clock) for turn in turns],
                "updates": sum(turn.updates for turn in turns),
                "errors": sum(turn.errors for turn in turns),
                "manner": str(self.manners[name]) if name in self.manners else None,
            }
            for name, turns in self.turns.items()
        }
        return {"windows": self.windows, "updates": self.updates, "designs": designs}


def run(
    plan: Plan,
    setting: Callable[[int, int], None] = lambda _done, _total: None,
    running: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Cell]:
    """Do all of it.

    Parameters
    ----------
    plan : Plan
    setting, running : callable
        Called with how much is done of making the windows, and of the turns.

    Raises
    ------
    CommandError
        The plan cannot be done, memory is short, or a design lost updates.
    """
    plan.check()
    cells = [
        Cell(windows, updates, plan.clock) for updates in plan.updates for windows in plan.windows
    ]
    with Stage(plan.directory, max(plan.windows), plan.window_bytes, setting) as stage:
        for done, cell in enumerate(cells):
            running(done, len(cells))
            fill_cell(stage, cell, plan)
    running(len(cells), len(cells))
    return cells


def fill_cell(stage: Stage, cell: Cell, plan: Plan) -> None:
    """Let the designs take turns, the first one another in each round."""
    words = stage.apart.words
    courses = {name: Course(plan.seed, cell.windows, cell.updates, words) for name in plan.designs}
    if cell.windows > 1:
        for name in plan.designs:
            if name.startswith("mp"):
                cell.manners[name] = best_manner(stage, name, courses[name], plan.clock)
    for number in range(plan.rounds):
        first = number % len(plan.designs)
        for name in (*plan.designs[first:], *plan.designs[:first]):
            manner = cell.manners.get(name)
            turn = take_turn(stage, name, courses[name], plan.seconds, manner)
            cell.turns.setdefault(name, []).append(turn)
