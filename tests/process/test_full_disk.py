# SPDX-License-Identifier: Apache-2.0
"""A disk without a single free block: stores that are there open, are read, and change in place.

The disk is a file in a loop device, mounted in a namespace of a child's own, so it goes with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from children import in_child

import spacejmp as sj
from spacejmp.structures.salvage import Remains

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Literal

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
DISK_BYTES = 64 << 20
NEW_NAMESPACE, PRIVATE, RECURSIVE = 0x00020000, 1 << 18, 1 << 14
VALUE = b"v" * 100


class NoDiskError(Exception):
    """Mounting is not allowed here."""


def on_small_disk(folder: Path, action: Callable[[Path], None]) -> None:
    """Run `action` in a child, with an empty ext4 of 64 MiB."""
    maker = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if os.getuid() != 0 or maker is None:
        pytest.skip("needs root, to mount, and mkfs.ext4")
    image, point = folder / "image", folder / "disk"
    point.mkdir()
    image.touch()
    os.truncate(image, DISK_BYTES)
    subprocess.run([maker, "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)

    def use() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEW_NAMESPACE) or libc.mount(b"", b"/", None, PRIVATE | RECURSIVE, None):
            raise NoDiskError
        command = ["mount", "-o", "loop", str(image), str(point)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            raise NoDiskError
        action(point)

    try:
        in_child(use)
    except NoDiskError:
        pytest.skip("loop devices cannot be mounted here")


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
