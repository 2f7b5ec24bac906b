# SPDX-License-Identifier: Apache-2.0
"""The examples in docstrings and in the guides run as they are printed."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import spacejmp

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    "spacejmp",
    *(
        module.name
        for module in pkgutil.walk_packages(spacejmp.__path__, "spacejmp.")
        if not module.name.endswith((".__main__", ".libspacejmp"))
    ),
]
GUIDES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))] if path.exists()]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples make and leave spaces: each run has a home, and a folder, of its own."""
    monkeypatch.setenv("SPACEJMP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(
        importlib.import_module(name), extraglobs={"sj": spacejmp}, optionflags=OPTIONS
    )
    assert result.failed == 0


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_examples_in_guides_run(guide: Path) -> None:
    result = doctest.testfile(str(guide), module_relative=False, optionflags=OPTIONS)
    assert result.failed == 0
