# SPDX-License-Identifier: Apache-2.0
"""What tests of the catalog say about the files of a home."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["expected_files", "files_of"]


def files_of(home: Path) -> set[str]:
    """Everything in a home but its directories."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}


def expected_files(*names: str) -> set[str]:
    """What a home holds when these stores are in it, none was attached, and nobody died."""
    return {f"seg/{name}.seg" for name in names} | {"lock/catalog.lock"}
