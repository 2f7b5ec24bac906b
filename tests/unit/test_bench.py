# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, verify what they measure, and tell it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]

needs_lmdb = pytest.mark.skipif(
    importlib.util.find_spec("lmdb") is None, reason="the benchmarks' peer LMDB is not installed"
)


def run(arguments: Sequence[str], status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.mark.slow
@needs_lmdb
def test_a_small_run_verifies_and_tells_everything(home: Path) -> None:
    file = home / "run.json"
    options = ["--n", "2000", "--rounds", "1", "--directory", str(home), "--json", str(file)]
    told = run(["bench.bench_mappings", *options])
    data = json.loads(file.read_text())
    measured = {(cell["workload"], cell["operation"]) for cell in data["cells"]}
    every = ("insert", "get", "miss", "scan", "range", "delete", "put", "reopen", "recover")
    wanted = {(workload, operation) for workload in ("int", "bytes") for operation in every}
    assert measured == wanted | {("process", "import")}
    assert "not measured" not in told
    for name in ("HashMap", "BTree", "dict", "SortedDict", "LMDB", "SQLite", "empty loop"):
        assert name in told
    assert [path.name for path in home.iterdir()] == ["run.json"], "it cleans up"

    again = run(["bench.report", str(file), "--markdown"])
    assert "| insert, one by one |" in again
    document = home / "document.md"
    text = (ROOT / "docs/benchmarks.md").read_text()
    document.write_text(text)
    run(["bench.report", str(file), "--into", str(document)])
    assert again.strip() in document.read_text()
    assert document.read_text().startswith(text[: text.index("## A run")])


def test_a_small_run_of_batches_verifies_and_tells_everything(home: Path) -> None:
    file = home / "run.json"
    options = ["--n", "2000", "--rounds", "1", "--directory", str(home), "--json", str(file)]
    told = run(["bench.bench_batches", *options, "--markdown"])
    assert "not measured" not in told
    measured = {cell["operation"] for cell in json.loads(file.read_text())["cells"]}
    assert {"get_many, array", "put_many", "bulk_load, arrays", "for … in keys"} <= measured
    assert [path.name for path in home.iterdir()] == ["run.json"], "it cleans up"


def test_wrong_results_end_a_run(home: Path) -> None:
    program = (
        "import sys\n"
        "import bench.peers, bench.bench_mappings\n"
        "bench.peers.Dict.find = lambda self, keys: [None] * len(keys)\n"
        f"options = ['--n', '500', '--rounds', '1', '--directory', {str(home)!r}]\n"
        "options += ['--only', 'int', '--who', 'dict']\n"
        "sys.exit(bench.bench_mappings.main(options))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "verification failed: dict, int: wrong values" in done.stderr


@pytest.mark.slow
@needs_lmdb
def test_durable_commits_are_counted_and_verified(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    options = ["--n", "500", "--rounds", "1", "--commits", "40", "--writers", "1,2"]
    told = run(
        ["bench.bench_durability", *options, "--directory", str(tmp_path), "--json", str(file)]
    )
    data = json.loads(file.read_text())
    assert set(data["commits_per_second"]) == {"1", "2"}
    for rates in data["commits_per_second"].values():
        assert set(rates) == {"BTree", "LMDB", "SQLite", "a write and a sync"}
        assert all(len(found) == 1 and found[0] > 0 for found in rates.values())
    assert "commits of BTree / SQLite, writers: 1" in told
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"], "it cleans up"


@pytest.mark.slow
@needs_lmdb
def test_faults_are_done_and_told(tmp_path: Path) -> None:
    file, document = tmp_path / "run.json", tmp_path / "document.md"
    text = (ROOT / "docs/reliability.md").read_text()
    document.write_text(text)
    options = ["--n", "200", "--flips", "3", "--kills", "3", "--losses", "2"]
    options += ["--directory", str(tmp_path), "--json", str(file), "--into", str(document)]
    run(["bench.bench_reliability", *options, "--only", "flip,cut,kill,power"])
    data = json.loads(file.read_text())
    assert {sum(told["outcomes"].values()) for told in data["flip"].values()} == {3}
    assert {"BTree", "HashMap", "BTree, power", "LMDB", "SQLite, FULL"} == set(data["flip"])
    assert data["cut"]["BTree"]["before it is opened"] == "TruncatedError"
    assert data["cut"]["BTree"]["while open, then read"] == "SegmentDamagedError"
    for told in (*data["kill"], *data["power"]):
        assert told["kills"] == (3 if told in data["kill"] else 2)
        assert not told["unusual"]
    assert sum(told["acknowledged"] for told in data["kill"]) > 0
    assert "| BTree, power | disk |" in document.read_text()
    assert document.read_text().startswith(text[: text.index("<!-- begin")])
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "document.md"}, "it cleans up"


@pytest.mark.slow
@needs_lmdb
def test_a_full_disk_is_done_and_told(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    options = ["--only", "full", "--who", "BTree", "--directory", str(tmp_path)]
    told = run(["bench.bench_reliability", *options, "--json", str(file)])
    assert "The disk is full" in told
    found = json.loads(file.read_text())["full"]
    assert [case["store"] for case in found] == ["BTree", "BTree", "BTree, power"]
    for case in found:
        assert "impossible" in case or (case["commits"] > 0 and case["reopened"] == "nothing lost")


@pytest.mark.slow
def test_structures_are_told_next_to_others(home: Path) -> None:
    file = home / "run.json"
    options = ["--n", "400", "--rounds", "1", "--seconds", "0.02", "--readers", "1,2"]
    told = run(["bench.bench_structures", *options, "--directory", str(home), "--json", str(file)])
    data = json.loads(file.read_text())
    left_out = " ".join(data["facts"]["left_out"])
    cells = {(cell["workload"], cell["operation"], cell["contestant"]) for cell in data["cells"]}
    for kind in ("int", "bytes"):
        for operation in ("put", "get", "in", "scan"):
            for who in ("dict", "HashMap", "SortedDict", "BTree", "SQLite", "shelve"):
                assert (f"mappings {kind}", operation, who) in cells
            for who in ("LMDB", "ZODB", "diskcache"):
                measured = (f"mappings {kind}", operation, who) in cells
                assert measured or f"{who}: " in left_out
            for who in ("set", "Set", "sortedcontainers", "SortedSet"):
                assert ((f"sets {kind}", operation, who) in cells) == (operation != "get")
    for rates in data["facts"]["readers"].values():
        assert set(rates) == {"1", "2"}
        assert all(rate > 0 for (found,) in rates.values() for rate in found)
    assert "the nearest persistent peer" in told
    assert "BTree: 2 readers / 1 reader" in told
    again = run(["bench.structures_report", str(file), "--markdown"])
    assert "| put, one by one |" in again
    assert [path.name for path in home.iterdir()] == ["run.json"], "it cleans up"


FORGETFUL = """
import sys
import bench.bench_reliability, bench.fault_stores
commit = bench.fault_stores.Ours.commit
bench.fault_stores.Ours.commit = lambda self, changes: commit(self, changes[1:])
options = ["--only", "kill", "--who", "HashMap", "--kills", "12", "--directory", sys.argv[1]]
sys.exit(bench.bench_reliability.main(options))
"""


def test_a_lost_change_is_noticed_by_the_kills(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "must not be: HashMap" in done.stderr


def test_the_mmu_model_is_what_was_measured(tmp_path: Path) -> None:
    """Page tables as the kernel's; the paper's switches and Fig. 1 within 15 %."""
    file = tmp_path / "mmu.json"
    run(["bench.bench_mmu", "--parts", "tables", "switch", "fig1", "fig6", "--json", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert {row["part"] for row in rows} == {"tables", "switch", "fig1", "fig6"}
    wrong = {row["what"] for row in rows if abs(row["deviation"]) > row["limit"]}
    # On the slope where the second level is full, and a cycle and a half of 7: docs/mmu.md.
    assert wrong == {"1040 pages, no switch", "1040 pages, tagged", "640 pages, tagged"}


def test_switches_and_gups_are_told_with_what_was_aimed_at(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--directory", str(tmp_path)]
    told = run(["bench.bench_switch", *options, "--sizes", "64K,2M", "--segments", "1,2"])
    for target in ("resident, C, vas_switch", "with store.read(), Python", "In the paper"):
        assert target in told
    options += ["--windows", "1,2", "--sets", "16,64", "--window-bytes", "64K"]
    file = tmp_path / "run.json"
    told = run(["bench.bench_gups", *options, "--seconds", "0.002", "--json", str(file)])
    for design in ("flat", "resident", "overlapping", "map", "mp, ahead", "SpaceJMP, paper"):
        assert design in told
    assert told.count("≥ 0.8 ×") == 2
    assert len(json.loads(file.read_text())["cells"]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"], "it cleans up"
