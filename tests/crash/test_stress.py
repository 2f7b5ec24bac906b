# SPDX-License-Identifier: Apache-2.0
"""The stress program (`crash.stress`), for a few seconds; `make stress` goes on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash import stress

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="sj-stress-") as directory:
        yield Path(directory)


def test_nothing_is_lost_and_nothing_left(home: Path) -> None:
    assert "nothing lost, nothing left" in stress.stress(home, 4)


def test_a_lost_update_is_noticed(home: Path) -> None:
    stress.make(home)
    board = stress.Board(home / "board")
    assert stress.verify(home, board) == 0
    board.acknowledge(3, 5, 1)
    with pytest.raises(AssertionError, match="space-5: 0 changes of thread 3, 1 acknowledged"):
        stress.verify(home, board)


def test_what_is_left_in_the_home_is_noticed(home: Path) -> None:
    stress.make(home)
    stress.verify(home, stress.Board(home / "board"))
    assert list(stress.files_left(home)) == []
    (home / "seg" / ".new-1").touch()
    assert list(stress.files_left(home)) == ["seg/.new-1"]
