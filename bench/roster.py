# SPDX-License-Identifier: Apache-2.0
"""Everybody who takes part, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.ours import OURS
from bench.peers import PEERS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contestants import Contestant

__all__ = ["ROSTER", "make_contestant"]

ROSTER = ("empty loop", "dict", "HashMap", "SortedDict", "BTree", "LMDB", "SQLite")
"""In the order of the tables."""


def make_contestant(name: str, workload: str, n: int, directory: Path) -> Contestant:
    """The contestant of that name; its library is imported now, its data not touched."""
    return {**OURS, **PEERS}[name](workload, n, directory)
