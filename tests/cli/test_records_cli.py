# SPDX-License-Identifier: Apache-2.0
"""The command and records: they are listed, checked, and are no mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.testing import CliRunner

import spacejmp as sj
from spacejmp.apps.cli import app

if TYPE_CHECKING:
    from pathlib import Path


@sj.record
class Point:
    x: sj.f64


def test_records_are_listed_and_have_no_keys(home: Path) -> None:
    with sj.open("points", home=home) as store:
        store["origin"] = store.new(Point)

    def run(code: int, *arguments: str) -> str:
        result = CliRunner().invoke(app, ["--home", str(home), *arguments])
        assert result.exit_code == code, result.output
        return result.output

    assert "record" in run(0, "info", "points")
    assert "1 structure" in run(0, "check", "points")
    for command in (["get", "points", "origin", "x"], ["scan", "points", "origin"]):
        assert "'origin' is a Point" in run(2, *command)
    run(0, "drop", "points", "origin", "--yes")
    with sj.open("points", home=home) as store:
        assert not store.roots
