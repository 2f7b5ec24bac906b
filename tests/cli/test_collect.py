# SPDX-License-Identifier: Apache-2.0
"""What structures take up, and the collector, as commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

import spacejmp as sj
from spacejmp.apps.cli import app

if TYPE_CHECKING:
    from pathlib import Path


def ran(home: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["--home", str(home), *arguments], prog_name="spacejmp")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def test_collect_frees_what_nothing_leads_to(home: Path) -> None:
    with sj.open("s", home=home) as store:
        rows = store.hashmap("rows", key="str")
        rows["x"] = store.new_hashmap()
        del rows["x"]
    assert "freed 3 blocks" in ran(home, "collect", "s")
    assert json.loads(ran(home, "collect", "s", "--json"))["freed_blocks"] == 0


def test_info_tells_what_each_structure_takes_up(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store.hashmap("rows", key="str")
    [rows] = json.loads(ran(home, "info", "s", "--usage", "--json"))["structures"]
    assert rows["blocks"] == 3
    assert rows["bytes"] > 0
    assert "bytes" in ran(home, "info", "s", "--usage")
    assert "bytes" not in json.loads(ran(home, "info", "s", "--json"))["structures"][0]
