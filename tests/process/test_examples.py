# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/examples: C, Python and Numba follow each other's pointers."""

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


def test_a_linked_list_is_a_stack(home: Path) -> None:
    home.mkdir(exist_ok=True)
    stack = (sys.executable, str(EXAMPLES / "linked_list.py"))
    assert run(home, *stack, "pop") == "None\n"
    run(home, *stack, "push", "one", "two", "three")
    assert run(home, *stack, "list") == "three two one\n"
    assert [run(home, *stack, "pop") for _ in range(3)] == ["three\n", "two\n", "one\n"]
    with sj.open("stack", home=home) as store:
        assert store.check().leaked_blocks == 0


def test_a_trie_finds_words_by_their_prefix(home: Path) -> None:
    home.mkdir(exist_ok=True)
    trie = (sys.executable, str(EXAMPLES / "trie.py"))
    run(home, *trie, "add", "jump", "jumper", "jungle", "space")
    run(home, *trie, "add", "jug")
    assert run(home, *trie, "find", "ju") == "jug jump jumper jungle\n"
    assert run(home, *trie, "find", "x") == "\n"
    with sj.open("trie", home=home) as store:
        assert store.check().leaked_blocks == 0


@pytest.fixture
def graph(home: Path) -> tuple[str, ...]:
    """graph.py, with a graph of 50 cities."""
    home.mkdir(exist_ok=True)
    program = (sys.executable, str(EXAMPLES / "graph.py"))
    run(home, *program, "make", "50")
    return program


def test_c_walks_the_graph_that_python_has_made(
    graph: tuple[str, ...], home: Path, tmp_path: Path
) -> None:
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")))
    library = str(tmp_path / "libgraph.so")
    flags = ("-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC")
    run(home, compiler, *flags, str(EXAMPLES / "graph.c"), "-o", library)
    assert run(home, *graph, "walk") == run(home, *graph, "walk-c", library) == "389.5\n"


def test_the_structs_of_graph_c_are_those_of_the_records() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("graph_example", EXAMPLES / "graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = (EXAMPLES / "graph.c").read_text()
    for cls in (module.City, module.Road):
        assert cls.c_declaration() in source


def test_numba_walks_the_graph_that_python_has_made(graph: tuple[str, ...], home: Path) -> None:
    pytest.importorskip("numba", reason="Numba is not installed")
    assert run(home, *graph, "walk-numba") == run(home, *graph, "walk")
