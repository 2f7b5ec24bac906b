# SPDX-License-Identifier: Apache-2.0
"""A disk without a single free block: stores that are there open, are read, and change in place."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from disks import on_small_disk

import spacejmp as sj
from spacejmp.structures.remains import Remains

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
VALUE = b"v" * 100


def fill_up(file: Path) -> None:
    """Write to it until the disk has nothing left, and nothing is on its way there."""
    with file.open("ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 10):
            try:
                while filler.write(bytes(size)):
                    pass
            except OSError:
                os.fsync(filler.fileno())
    free = os.statvfs(file.parent).f_bavail
    assert free == 0


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_store_on_a_disk_that_is_full_opens_and_changes_in_place(
    disk_home: Path, durability: Literal["process", "power"]
) -> None:
    """It was a SpaceFullError: the lock file was cut and allocated anew, the log made longer."""

    def use(disk: Path) -> None:
        home = disk / "home"
        with sj.open("genes", home=home, reserve=GIB, durability=durability) as store:
            assert store.domain == {"process": "file", "power": "wal"}[durability]
            with store.transaction():
                store.btree("t", key="int", value="bytes").update((n, VALUE) for n in range(2000))
        fill_up(disk / "filler")
        expected = dict.fromkeys(range(2000), VALUE)
        for n in range(2):
            with sj.open("genes", "r", home=home) as store:
                assert dict(store["t"].items()) == expected
            with sj.open("genes", "w", home=home) as store:
                tree = store["t"]
                try:
                    tree[n] = expected[n] = bytes(reversed(VALUE))
                except sj.SpaceFullError:  # this log file has no room; the disk none to give
                    assert durability == "power"
                    expected[n] = VALUE
                assert tree[n] == expected[n]
                with pytest.raises(sj.SpaceFullError), store.transaction():
                    tree.update((k, 20 * VALUE) for k in range(10_000, 30_000))
                assert dict(tree.items()) == expected
                assert store.check().leaked_blocks == 0
            with pytest.raises(sj.SpaceFullError):
                sj.open("others", home=home)
        (disk / "filler").unlink()
        with sj.open("genes", home=home) as store, store.transaction():
            store["t"].update((k, VALUE) for k in range(10_000, 30_000))
            assert len(store["t"]) == 22_000

    on_small_disk(disk_home, use)


def test_a_store_on_a_read_only_disk_is_refused_with_a_way_out(disk_home: Path) -> None:
    """It was no more than "open: Read-only file system"."""

    def use(disk: Path) -> None:
        home = disk / "home"
        sj.open("genes", home=home, reserve=GIB).close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        flag: Literal["r", "w"]
        for flag in ("r", "w"):
            with pytest.raises(sj.StorePermissionError, match=r"read-only.*copy .*salvage"):
                sj.open("genes", flag, home=home)
        with Remains("genes", home=home) as remains:
            assert remains.notes == ()

    on_small_disk(disk_home, use)
