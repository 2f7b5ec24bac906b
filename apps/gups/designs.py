# SPDX-License-Identifier: Apache-2.0
"""The designs: how each one goes from window to window, and that it lost no update.

=========== ==================================================================================
flat        one mapping of all windows; nothing is switched: the limit
resident    SpaceJMP, each window a segment at addresses of its own: a switch takes the lock
overlapping SpaceJMP, all windows at the same addresses: a switch moves page tables too
map         one window is mapped at a time: a switch is an mmap over the one before
mp          a process for each window; a set is applied before the next one is drawn
mp, ahead   the same with up to 1024 updates on their way, as far as HPCC lets a process look ahead
=========== ==================================================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from spacejmp.apps.exits import Code, CommandError
from spacejmp.apps.gups._gups import Course, run_flat, run_maps, run_vases

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacejmp.apps.gups._gups import Times, Waiting
    from spacejmp.apps.gups.stage import Stage

__all__ = ["DESIGNS", "ERRORS_MAX", "Clock", "Manner", "Turn", "best_manner", "take_turn"]

Clock = Literal["wall", "cpu"]

DESIGNS = ("flat", "resident", "overlapping", "map", "mp", "mp, ahead")

ERRORS_MAX = 0.01
"""Of the words that were updated, which may be wrong: HPCC's limit."""

TRIAL_SECONDS = 0.02


class Manner(NamedTuple):
    """How processes wait for each other, and where they run."""

    waiting: Waiting
    together: bool

    def __str__(self) -> str:
        return f"{self.waiting}, {'one CPU' if self.together else 'CPUs apart'}"


class Turn(NamedTuple):
    """What a turn did."""

    updates: int
    times: Times
    errors: int
    """Words that were wrong afterwards."""

    def mups(self, clock: Clock = "wall") -> float:
        """Million updates a second, or for each second of CPU time that its processes had."""
        ns = self.times.wall_ns if clock == "wall" else self.times.cpu_ns
        return self.updates / max(ns, 1) * 1e3


def manners(windows: int) -> list[Manner]:
    """All that may be the best one: spinning only with a CPU for each process."""
    found = [Manner("sleep", True), Manner("yield", True)]
    cpus = len(os.sched_getaffinity(0))
    if cpus > 1:
        found += [Manner("sleep", False), Manner("doze", False), Manner("yield", False)]
        if windows <= cpus:
            found.append(Manner("spin", False))
    return found


def _runner(stage: Stage, design: str, manner: Manner | None) -> Callable[[Course, float], Times]:
    if design == "flat":
        return lambda course, seconds: run_flat(course, stage.apart, stage.pending, seconds)
    if design == "resident":
        return lambda course, seconds: run_vases(course, stage.apart, stage.pending, seconds)
    if design == "overlapping":
        return lambda course, seconds: run_vases(course, stage.overlapping, stage.pending, seconds)
    if design == "map":
        return lambda course, seconds: run_maps(course, stage.maps, stage.pending, seconds)
    waiting, together = manner or Manner("sleep", True)
    ahead = design == "mp, ahead"
    return lambda course, seconds: stage.crew.run(course, waiting, together, ahead, seconds)


def take_turn(
    stage: Stage, design: str, course: Course, seconds: float, manner: Manner | None = None
) -> Turn:
    """Let a design go on with a course, and verify what it did.

    The updates are done once more, which undoes them. Then every word must be its index.

    Raises
    ------
    CommandError
        More than a hundredth of the words is not.
    """
    words = stage.apart.words
    before = course.copy()
    times = _runner(stage, design, manner)(course, seconds)
    sets = course.sets - before.sets
    windows = stage.overlapping if design == "overlapping" else stage.apart
    again = before.copy()
    run_flat(again, windows, stage.pending, sets=sets)
    errors = windows.errors(before.windows)
    updates = sets * before.updates
    touched = min(updates, before.windows * words)
    if errors > ERRORS_MAX * touched:
        raise CommandError(
            f"verification of {design!r} with {before.windows} windows failed: expected at most "
            f"{ERRORS_MAX:.0%} of {touched:,} updated words to be wrong, found {errors:,}: its "
            "updates were lost, so its times mean nothing",
            Code.DAMAGED,
        )
    return Turn(updates, times, errors)


def best_manner(stage: Stage, design: str, course: Course, clock: Clock) -> Manner:
    """The manner in which processes do most in a short trial."""
    rates = {
        manner: take_turn(stage, design, course, TRIAL_SECONDS, manner).mups(clock)
        for manner in manners(course.windows)
    }
    return max(rates, key=rates.__getitem__)
