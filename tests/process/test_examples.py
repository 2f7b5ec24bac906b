# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/examples: a C and a Python program follow each other's pointers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import spacejmp as sj

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def run(home: Path, *command: str) -> str:
    environment = os.environ | {"SPACEJMP_HOME": str(home)}
    return subprocess.run(
        command, cwd=home, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout


@pytest.fixture
def people(home: Path, tmp_path: Path) -> str:
    """people.c, compiled as its head says."""
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")))
    program = str(tmp_path / "people")
    library = str(sj.get_library())
    home.mkdir(exist_ok=True)
    run(
        home,
        *(compiler, "-Wall", "-Wextra", "-Werror", "-O1", str(EXAMPLES / "people.c")),
        *(f"-I{sj.get_include()}", library, f"-Wl,-rpath,{Path(library).parent}", "-o", program),
    )
    return program


def test_c_and_python_follow_each_others_pointers(people: str, home: Path) -> None:
    python = (sys.executable, str(EXAMPLES / "people.py"))
    assert run(home, people, "list") == run(home, *python, "list") == ""
    run(home, people, "add", "Ada", "wrote in C")
    run(home, *python, "add", "Barbara", "wrote in Python, about Ada")
    run(home, people, "add", "Grace", "wrote in C, about Barbara")
    expected = (
        "Grace: wrote in C, about Barbara\nBarbara: wrote in Python, about Ada\nAda: wrote in C\n"
    )
    assert run(home, people, "list") == expected
    assert run(home, *python, "list") == expected
    for name in ("people.persons", "people.notes"):
        with sj.open(name, home=home) as store:
            report = store.check()
            assert (report.blocks, report.leaked_blocks) == (3 + (name == "people.persons"), 0)


def test_an_example_says_what_is_wrong(people: str, home: Path) -> None:
    (home / "vas").mkdir(parents=True, exist_ok=True)
    (home / "vas" / "people.vas").write_bytes(b"no record")
    found = subprocess.run(
        [people, "list"],
        env=os.environ | {"SPACEJMP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.startswith("people: the segment is damaged: ")
