# SPDX-License-Identifier: Apache-2.0
"""The demo keeps its promises, and says so when it does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import unicodedata
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import spacejmp as sj
from spacejmp.apps import demo
from spacejmp.apps.cli import app
from spacejmp.apps.demo_child import Child
from spacejmp.apps.exits import CommandError

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "spacejmp"]
NAMED = sum(bool(unicodedata.name(chr(code), "")) for code in range(sys.maxunicode + 1))


def homes() -> set[str]:
    places = {"/dev/shm", tempfile.gettempdir()}
    return {
        name for place in places for name in os.listdir(place) if name.startswith("spacejmp-demo-")
    }


def test_all_promises_hold_and_all_figures_are_given() -> None:
    before = homes()
    done = subprocess.run(
        [*COMMAND, "demo", "--json", "--seconds=0.5"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert homes() <= before
    figures = json.loads(done.stdout)
    assert figures.keys() == {
        *("home", "kept", "store", "tree", "unicode", "entries", "base", "domain"),
        *("build", "recover", "query", "share", "promises", "seconds", "ok"),
    }
    assert (figures["store"], figures["tree"]) == ("unicode", "names")
    assert figures["entries"] == NAMED
    assert figures["ok"] is True
    assert figures["kept"] is False
    assert [promise["held"] for promise in figures["promises"]] == [True] * 8
    build, recover, share = figures["build"], figures["recover"], figures["share"]
    assert build["exit_code"] == -signal.SIGKILL
    assert build["acknowledged"] == build["inserted_singly"] + build["inserted_in_transactions"]
    assert build["acknowledged"] + recover["loaded"] == NAMED
    assert (recover["missing"], recover["different"], recover["uncommitted"]) == (0, 0, 0)
    assert recover["check"]["items"] == build["acknowledged"]
    assert len(figures["query"]["answers"]) == 4
    assert share["writer"]["base"] == share["reader"]["base"] == figures["base"]
    assert share["reader"]["changes_seen"] > 0
    assert share["reader"]["wrong_sums"] == 0
    processes = {part["pid"] for part in (build, recover, figures["query"], *share.values())}
    assert len(processes) == 5


def test_the_store_is_left_where_it_is_asked_for(home: Path) -> None:
    command = [*COMMAND, "demo", "--keep", str(home), "--seconds=0.2"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 of 8 promises held" in done.stdout
    assert "✘" not in done.stdout
    assert "\x1b" not in done.stdout
    with sj.open("unicode", "r", home=home) as store:
        names = store["names"]
        assert len(names) == NAMED
        assert names["SNOWMAN"]["char"] == "☃"
        store.check()
    again = CliRunner().invoke(app, ["--home", str(home), "demo"])
    assert again.exit_code == 2
    assert "found one" in again.stderr


def test_a_promise_that_does_not_hold_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_gently(self: Child) -> int:
        self._process.terminate()
        return self._process.wait()

    monkeypatch.setattr(Child, "kill", kill_gently)
    assert demo.run(seconds=0.1, as_json=True) == 3
    out, error = capsys.readouterr()
    assert error.startswith("spacejmp: demo: this does not hold: the process died of SIGKILL")
    figures = json.loads(out)
    assert figures["ok"] is False
    assert [promise["held"] for promise in figures["promises"]] == [False] + [True] * 7


def test_a_process_that_fails_is_told_with_its_reason() -> None:
    with (
        pytest.raises(CommandError, match=r"the process that was to query failed: .*no store"),
        Child("query", home="/nonexistent") as child,
    ):
        child.expect("opened")


def test_ctrl_c_leaves_nothing_behind() -> None:
    before = homes()
    with subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        while "one by one" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        _, error = running.communicate()
    assert (running.returncode, error) == (130, "spacejmp: interrupted\n")
    assert homes() <= before
