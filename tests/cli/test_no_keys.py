# SPDX-License-Identifier: Apache-2.0
"""Commands that go by keys refuse what has none, and the others do not mind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner, Result

import spacejmp as sj
from spacejmp.apps.cli import app

if TYPE_CHECKING:
    from pathlib import Path


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *arguments], prog_name="spacejmp")


def test_what_has_no_keys_is_named_and_refused(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store.deque("d").append(1)
        store.queue("q").put(1)
    for tree in ("d", "q"):
        for command in (["scan"], ["get", "0"], ["rm-key", "0"], ["put", "0", "1"]):
            result = run(home, command[0], "s", tree, *command[1:])
            assert result.exit_code == 2, result.output
            assert f"{tree!r} is a" in result.stderr
    facts = json.loads(run(home, "info", "s", "--json").stdout)
    assert [(part["kind"], part["items"]) for part in facts["structures"]] == [
        ("deque", 1),
        ("queue", 1),
    ]
    assert run(home, "check", "s").exit_code == 0
    assert run(home, "drop", "s", "d", "--yes").exit_code == 0
