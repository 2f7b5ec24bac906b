# SPDX-License-Identifier: Apache-2.0
"""The commands on virtual address spaces of several segments, and on segments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

import spacejmp as sj
from spacejmp.apps.cli import app
from spacejmp.arena import ARENA_START, GIB

if TYPE_CHECKING:
    from pathlib import Path


def run(home: Path, *arguments: str, group: str = "vas") -> Result:
    command = ["--home", str(home), "--timeout", "5", group, *arguments]
    return CliRunner().invoke(app, command, prog_name="spacejmp")


def ran(home: Path, *arguments: str, group: str = "vas") -> str:
    result = run(home, *arguments, group=group)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


@pytest.fixture
def panel(home: Path) -> Path:
    for name in ("genes", "reads"):
        sj.seg_alloc(name, ARENA_START, GIB, home=home)
    ran(home, "create", "panel")
    return home


def test_a_vas_is_made_joined_shown_and_removed(panel: Path) -> None:
    assert ran(panel, "ls").split() == ["genes", "panel", "reads"]
    ran(panel, "attach", "panel", "genes", "--read-only", "--window", "3")
    assert ran(panel, "attach", "panel", "reads", "--window", "fit") == "0\n"
    shown = json.loads(ran(panel, "show", "panel", "--json"))
    found = {each["name"]: (each["rights"], each["window"]) for each in shown["segments"]}
    assert found == {"genes": ("r", 3), "reads": ("rw", 0)}
    text = ran(panel, "show", "panel")
    assert "2 segments" in text
    assert "0x3000_0000_0000" in text
    ran(panel, "detach", "panel", "genes")
    assert len(json.loads(ran(panel, "ls", "--json"))[1]["segments"]) == 1
    ran(panel, "delete", "panel", "--yes")
    assert ran(panel, "ls").split() == ["genes", "reads"]


def test_what_segments_take_up_is_shown(panel: Path) -> None:
    ran(panel, "attach", "panel", "genes")
    [genes] = json.loads(ran(panel, "show", "panel", "--stats", "--json"))["stats"]
    assert genes["name"] == "genes"
    assert genes["file_bytes"] == sj.seg_find("genes", home=panel).info().file_bytes
    assert "stats" not in json.loads(ran(panel, "show", "panel", "--json"))
    assert "page tables" in ran(panel, "show", "panel", "--stats")
    ran(panel, "set", "panel", "prefault", "yes")
    assert sj.seg_ctl("genes", "prefault", home=panel)


def test_a_vas_is_cloned_with_all_its_segments(home: Path) -> None:
    ran(home, "create", "graph")
    for name in ("graph.nodes", "edges"):
        ran(home, "create", name, "--reserve", "1G", group="seg")
        ran(home, "attach", "graph", name)
    with sj.vas_attach("graph", "rw", home=home) as vh:
        vh.write(vh.malloc("graph.nodes", 8), b"pointers")
    out = ran(home, "clone", "graph", "trial")
    assert out.startswith("trial is a clone of graph: ")
    assert sorted(out.split(": ")[1].strip().split(", ")) == ["trial.edges", "trial.nodes"]
    graph, trial, third = (
        json.loads(out)
        for out in (
            ran(home, "show", "graph", "--json"),
            ran(home, "show", "trial", "--json"),
            ran(home, "clone", "trial", "third", "--json"),
        )
    )
    bases = {each["name"].split(".")[-1]: each["base"] for each in graph["segments"]}
    for clone, name in ((trial, "trial"), (third, "third")):
        assert {each["name"]: each["base"] for each in clone["segments"]} == {
            f"{name}.{part}": base for part, base in bases.items()
        }
    assert (third["name"], third["uuid"] != trial["uuid"]) == ("third", True)
    ran(home, "create", "empty")
    assert ran(home, "clone", "empty", "void") == "void is a clone of empty: no segments\n"


def test_a_segment_is_cloned(panel: Path) -> None:
    with sj.open("genes", home=panel) as store:
        store.btree("by_symbol", key="str")["BRCA1"] = 17
    out = ran(panel, "clone", "genes", "trial", group="seg")
    assert out == f"trial is a clone of genes at {ARENA_START:#x}\n"
    with sj.open("trial", "r", home=panel) as store:
        assert store["by_symbol"]["BRCA1"] == 17
    made = json.loads(ran(panel, "clone", "trial", "third", "--json", group="seg"))
    shown = json.loads(ran(panel, "show", "third", "--json", group="seg"))
    assert made == {member: shown[member] for member in ("name", "uuid", "base")}


@pytest.mark.parametrize("group", ["vas", "seg"])
def test_clones_that_fail_are_told(panel: Path, group: str) -> None:
    for code, arguments in (
        (1, ("clone", "nothing", "new")),
        (2, ("clone", "genes", "reads")),
        (2, ("clone", "genes", "../new")),
    ):
        result = run(panel, *arguments, group=group)
        assert result.exit_code == code, result.output
        assert result.stderr.startswith("spacejmp: ")
    assert ran(panel, "ls", group="seg").split() == ["genes", "reads"]


@pytest.mark.parametrize(
    ("what", "value", "found"),
    [
        ("mode", "640", "0o640"),
        ("tag", "0x10", 16),
        ("isolation", "strict", "strict"),
        ("address_limit", str(GIB), GIB),
        ("address_limit", "2G", 2 * GIB),
    ],
)
def test_properties_are_set(panel: Path, what: str, value: str, found: object) -> None:
    ran(panel, "set", "panel", what, value)
    assert json.loads(ran(panel, "show", "panel", "--json"))[what] == found


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (1, ("show", "nothing")),
        (1, ("detach", "panel", "genes")),
        (2, ("create", "genes")),
        (2, ("attach", "panel", "genes", "--window", "some")),
        (2, ("set", "panel", "tag", "many")),
        (2, ("set", "panel", "tag", "4096")),
        (2, ("set", "panel", "colour", "1")),
        (2, ("delete", "panel")),
        (2, ("attach", "genes", "reads")),
    ],
)
def test_failures_are_told_in_a_line(panel: Path, code: int, arguments: tuple[str, ...]) -> None:
    result = run(panel, *arguments)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("spacejmp: ")
    assert "Traceback" not in result.output


def test_ls_lists_stores_and_vases_of_several_segments(panel: Path) -> None:
    def listed(*options: str) -> str:
        command = ["--home", str(panel), "ls", *options]
        return CliRunner().invoke(app, command, prog_name="spacejmp").stdout

    ran(panel, "attach", "panel", "genes")
    assert listed().splitlines() == ["genes", "reads", "panel (VAS: genes)"]
    assert listed("--long").splitlines()[2] == "panel (VAS: genes)"
    found = json.loads(listed("--json"))
    assert [store["name"] for store in found["stores"]] == ["genes", "reads"]
    assert found["vases"] == ["panel"]


@pytest.mark.parametrize("options", [(), ("--yes",)])
def test_rm_of_a_vas_says_what_removes_it(panel: Path, options: tuple[str, ...]) -> None:
    """It said how to attach it."""
    command = ["--home", str(panel), "rm", "panel", *options]
    result = CliRunner().invoke(app, command, prog_name="spacejmp")
    assert result.exit_code == 1
    assert "spacejmp vas delete panel" in result.stderr
    assert "vas_attach" not in result.stderr


def test_segments_that_overlap_are_refused(panel: Path) -> None:
    ran(panel, "attach", "panel", "genes")
    result = run(panel, "attach", "panel", "reads")
    assert result.exit_code == 4
    assert "overlap" in result.stderr


def test_a_segment_is_made_set_shown_and_removed(home: Path) -> None:
    ran(home, "create", "heap", "--base", "0x300000000000", "--reserve", str(GIB), group="seg")
    assert ran(home, "ls", group="seg") == "heap\n"
    for what, value in (
        ("mode", "640"),
        ("lockable", "no"),
        ("growth_limit", "0x100000"),
        ("prefault", "yes"),
        ("page_size", "4096"),
    ):
        ran(home, "set", "heap", what, value, group="seg")
    shown = json.loads(ran(home, "show", "heap", "--json", group="seg"))
    assert (shown["base"], shown["reserved_bytes"]) == (ARENA_START, GIB)
    assert (shown["mode"], shown["lockable"], shown["prefault"]) == ("0o640", False, True)
    assert (shown["growth_limit"], shown["page_size"]) == (1 << 20, 4096)
    text = ran(home, "show", "heap", group="seg")
    assert "base: 0x3000_0000_0000\n" in text
    assert "reserved: 1.0 GiB\n" in text
    ran(home, "delete", "heap", "--yes", group="seg")
    assert ran(home, "ls", group="seg") == ""


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (1, ("show", "nothing")),
        (2, ("create", "genes")),
        (2, ("create", "heap", "--base", "17")),
        (2, ("create", "heap", "--reserve", "much")),
        (2, ("set", "genes", "lockable", "perhaps")),
        (2, ("set", "genes", "growth_limit", "1")),
        (2, ("delete", "genes")),
    ],
)
def test_failures_of_segments_are_told(panel: Path, code: int, arguments: tuple[str, ...]) -> None:
    result = run(panel, *arguments, group="seg")
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("spacejmp: ")
    assert "Traceback" not in result.output


def test_sizes_have_units_and_what_is_expected_is_said(panel: Path) -> None:
    """`--reserve 2G` was "expected a number", which `gups --window-bytes 2G` was not."""
    ran(panel, "create", "heap", "--reserve", "2G", group="seg")
    ran(panel, "set", "heap", "growth_limit", "4M", group="seg")
    shown = json.loads(ran(panel, "show", "heap", "--json", group="seg"))
    assert (shown["reserved_bytes"], shown["growth_limit"]) == (2 * GIB, 4 << 20)
    for what, value, expected in (
        ("growth_limit", "much", "bytes such as 32M"),
        ("owner", "nobody:nogroup", "1000:100"),
        ("lockable", "maybe", "yes or no"),
        ("mode", "999", "octal"),
    ):
        failed = run(panel, "set", "heap", what, value, group="seg")
        assert (failed.exit_code, expected in failed.stderr) == (2, True), failed.stderr
