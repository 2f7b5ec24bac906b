# SPDX-License-Identifier: Apache-2.0
"""The command `salvage`: a new store, or JSON lines, of what can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from media import SUPERS, patch
from typer.testing import CliRunner, Result

import spacejmp as sj
from spacejmp.apps.cli import app

GENES = {f"g{at}": {"at": at, "raw": b"\x00\xff"} for at in range(300)}
COUNTS = {at: at * at for at in range(-50, 50)}


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *arguments], prog_name="spacejmp")


def ran(home: Path, *arguments: str) -> str:
    result = run(home, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture
def damaged(home: Path) -> Path:
    """A home with a store that cannot be opened any more, though no entry is damaged."""
    with sj.open("genes", home=home, reserve=1 << 30) as store:
        store.btree("t", key="str").update(GENES)
        store.hashmap("n", key="int", value="int").update(COUNTS)
    for superblock in SUPERS:
        patch(Path(store.path), superblock, b"\xa5" * 200)
    assert run(home, "check", "genes").exit_code == 3
    return home


def test_a_new_store_has_what_was_read(damaged: Path) -> None:
    text = ran(damaged, "salvage", "genes", "saved")
    assert "saved/t: 300 of 300 entries, btree, key str, value any\n" in text
    assert "saved/n: 100 of 100 entries, hashmap, key int, value int\n" in text
    assert "superblocks are damaged" in text
    assert text.endswith("that cannot be read\n")
    assert ran(damaged, "check", "saved").startswith("saved is whole")
    with sj.open("saved", "r", home=damaged) as store:
        assert dict(store["t"].items()) == GENES
        assert dict(store["n"].items()) == COUNTS


def test_json_has_all_that_was_found(damaged: Path) -> None:
    found = json.loads(ran(damaged, "salvage", "genes", "saved", "--json"))
    assert found["recovered"] == 400
    assert {root["name"]: root["recovered"] for root in found["roots"]} == {"t": 300, "n": 100}
    assert found["skipped_count"] == len(found["skipped"])
    assert (found["suspect_pages"], found["lost_pages"]) == (0, 0)
    assert len(found["notes"]) == 1


def test_json_lines_can_be_loaded(damaged: Path, tmp_path: Path) -> None:
    file = tmp_path / "left.jsonl"
    ran(damaged, "salvage", "genes", str(file), "--format", "jsonl", "--tree", "t")
    assert [path.name for path in tmp_path.iterdir()] == ["left.jsonl"]
    ran(damaged, "load", "again", str(file), "--key", "key", "--value", "value", "--tree", "t")
    with sj.open("again", "r", home=damaged) as store:
        assert dict(store["t"].items()) == GENES
    everything = tmp_path / "all.jsonl"
    ran(damaged, "salvage", "genes", str(everything), "--format", "jsonl")
    trees = [json.loads(line)["tree"] for line in everything.read_text().splitlines()]
    assert (trees.count("t"), trees.count("n"), len(trees)) == (300, 100, 400)


def test_json_lines_go_to_the_output_of_the_command(damaged: Path) -> None:
    """It made a file whose name was "-"."""
    result = run(damaged, "salvage", "genes", "-", "--format", "jsonl", "--tree", "t")
    assert result.exit_code == 0
    assert {line["tree"] for line in map(json.loads, result.stdout.splitlines())} == {"t"}
    assert len(result.stdout.splitlines()) == 300
    assert "-/t: 300 of 300 entries" in result.stderr
    assert not Path("-").exists()


def test_suspects_can_be_left_out(home: Path) -> None:
    with sj.open("genes", home=home, reserve=1 << 30) as store:
        store.btree("t", key="int", value="int").update(dict.fromkeys(range(20), 7))
    path = Path(store.path)
    at = path.read_bytes().index(b"\x07\0\0\0\0\0\0\0" * 20)
    patch(path, at, b"\x08")
    with_them = json.loads(ran(home, "salvage", "genes", "one", "--json"))
    without = json.loads(ran(home, "salvage", "genes", "two", "--no-suspects", "--json"))
    assert (with_them["recovered"], without["recovered"]) == (20, 0)
    assert with_them["roots"][0]["suspect"] == without["roots"][0]["suspect"] == 20
    assert "with a checksum that does not fit" in ran(home, "salvage", "genes", "three")


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (1, ["gene", "saved"], "genes"),
        (2, ["genes", "genes"], "another name"),
        (2, ["genes", "other"], "choose another name"),
        (2, ["genes", "saved", "--tree", "t"], "--format jsonl"),
        (2, ["genes", "/dev/null", "--format", "jsonl"], "no such file"),
        (2, ["genes", "/dev/shm/x.jsonl", "--format", "jsonl", "--tree", "u"], "'t'"),
        (5, ["genes", "/nowhere/x.jsonl", "--format", "jsonl"], "No such file"),
    ],
)
def test_failures_say_what_was_expected(
    damaged: Path, code: int, arguments: list[str], says: str
) -> None:
    sj.open("other", home=damaged, reserve=1 << 30).close()
    result = run(damaged, "salvage", *arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert sj.Catalog(damaged).names() == ["genes", "other"]
