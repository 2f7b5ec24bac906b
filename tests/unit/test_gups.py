# SPDX-License-Identifier: Apache-2.0
"""GUPS: all designs do the same updates, and a run does not pass when one of them loses some."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import spacejmp as sj
from spacejmp.apps.cli import app
from spacejmp.apps.exits import CommandError
from spacejmp.apps.gups import designs, stage
from spacejmp.apps.gups._gups import Course, run_flat, run_vases, stream_at
from spacejmp.apps.gups.run import Plan, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOWS = 4
WINDOW_BYTES = 1 << 16
WORDS = WINDOW_BYTES // 8


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stage.Stage]:
    with stage.Stage(tmp_path_factory.mktemp("gups"), WINDOWS, WINDOW_BYTES) as made:
        yield made


def course(windows: int = WINDOWS, updates: int = 16) -> Course:
    return Course(5, windows, updates, WORDS)


def test_the_stream_is_that_of_hpcc() -> None:
    number = 1
    for count in range(300):
        assert stream_at(count) == number
        number = (number << 1) % 2**64 ^ (7 if number >> 63 else 0)
    # HPCC_starts is a jump: a + b steps are b steps after a.
    assert stream_at(1317624576693539401) == 1, "the period"
    far = stream_at(10**15)
    assert stream_at(10**15 + 1) == (far << 1) % 2**64 ^ (7 if far >> 63 else 0)


def test_each_set_goes_to_another_window(small: stage.Stage) -> None:
    walk = course()
    visited = [walk.window]
    for _ in range(3000):
        run_flat(walk, small.apart, small.pending, sets=1)
        visited.append(walk.window)
    undo = course()
    run_flat(undo, small.apart, small.pending, sets=3000)
    assert small.apart.errors(WINDOWS) == 0, "an update undoes itself"
    assert all(one != other for one, other in itertools.pairwise(visited))
    counts = Counter(visited)
    assert sorted(counts) == list(range(WINDOWS))
    assert min(counts.values()) > 600, counts


@pytest.mark.parametrize("design", designs.DESIGNS)
@pytest.mark.parametrize("windows", [1, 2, WINDOWS])
@pytest.mark.parametrize("updates", [1, 16, 64])
def test_every_design_does_the_updates(
    small: stage.Stage, design: str, windows: int, updates: int
) -> None:
    manners: list[designs.Manner | None] = [None]
    if design.startswith("mp"):
        manners = [*designs.manners(2)]
    for manner in manners:
        turn = designs.take_turn(small, design, course(windows, updates), 0.005, manner)
        assert turn.errors == 0
        assert turn.updates >= updates


def lossy(share: int) -> Any:
    """`run_vases`, after which every `share`-th part of what was done is undone again."""

    def run_vases_lossily(walk: Course, windows: Any, pending: Any, seconds: float) -> Any:
        before = walk.copy()
        times = run_vases(walk, windows, pending, seconds)
        run_flat(before, windows, pending, sets=max(1, (walk.sets - before.sets) // share))
        return times

    return run_vases_lossily


@pytest.mark.parametrize("design", ["resident", "overlapping"])
def test_lost_updates_are_an_error(
    small: stage.Stage, design: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(designs, "run_vases", lossy(10))
        with pytest.raises(CommandError, match=rf"verification of '{design}'.*were lost"):
            designs.take_turn(small, design, course(), 0.0)
    windows = small.overlapping if design == "overlapping" else small.apart
    for i in range(WINDOWS):
        windows.fill(i)


def test_one_lost_set_is_counted(small: stage.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(designs, "run_vases", lossy(10**9))
        turn = designs.take_turn(small, "resident", course(2, 1), 0.05)
    assert turn.errors == 1
    for i in range(WINDOWS):
        small.apart.fill(i)


def test_a_process_that_dies_ends_the_turn(tmp_path: Path) -> None:
    with stage.Stage(tmp_path, 3, WINDOW_BYTES) as made:
        victim = made.crew.process(2)
        os.kill(victim, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(sj.StoreIOError, match="process of window 2 has died"):
                made.crew.run(course(3), "sleep", True, False, 0.5)
        assert made.crew.process(2) == -1
        others = made.crew.process(1)
    with pytest.raises(ProcessLookupError):
        os.kill(others, 0)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"expected room for .* use fewer --windows"):
        stage.Stage(tmp_path, 1 << 20, 512 << 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windows": (0,)}, "--windows: expected 1 to"),
        ({"updates": (12,)}, "--sets: expected powers of two"),
        ({"window_bytes": 3 << 20}, "--window-bytes: expected a power of two"),
        ({"window_bytes": 1 << 30}, "--window-bytes: expected a power of two"),
        ({"designs": ("mpi",)}, "--designs: expected some of"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, change: Any, message: str) -> None:
    plan = Plan((1,), (16,), WINDOW_BYTES, 0.01, 1, tmp_path)._replace(**change)
    with pytest.raises(CommandError, match=message):
        run(plan)


def test_the_command_tells_all_designs(tmp_path: Path) -> None:
    options = ["--windows", "1,2", "--sets", "16", "--window-bytes", "64K", "--seconds", "0.002"]
    options += ["--rounds", "2", "--directory", str(tmp_path)]
    told = CliRunner().invoke(app, ["gups", *options, "--json"], prog_name="spacejmp")
    assert told.exit_code == 0, told.output
    cells = json.loads(told.stdout)["cells"]
    assert [(cell["windows"], cell["updates"]) for cell in cells] == [(1, 16), (2, 16)]
    for cell in cells:
        assert tuple(cell["designs"]) == designs.DESIGNS
        for found in cell["designs"].values():
            assert len(found["rounds"]) == 2
            assert found["mups"] > 0
            assert found["errors"] == 0
    plain = CliRunner().invoke(
        app, ["gups", *options, "--designs", "flat;resident"], prog_name="spacejmp"
    )
    assert [len(line.split("\t")) for line in plain.stdout.splitlines()] == [9, 9]
    assert list(tmp_path.iterdir()) == []
