# SPDX-License-Identifier: Apache-2.0
"""Small disks for tests: a file in a loop device, mounted in a namespace of a child's own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from children import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DISK_BYTES", "on_small_disk"]

DISK_BYTES = 64 << 20
NEW_NAMESPACE, PRIVATE, RECURSIVE = 0x00020000, 1 << 18, 1 << 14
OPTIONS = {"ext4": ("-q", "-F", "-m", "0"), "xfs": ("-q", "-m", "reflink=1")}


class NoDiskError(Exception):
    """Mounting is not allowed here."""


def on_small_disk(
    folder: Path, action: Callable[[Path], None], kind: str = "ext4", size: int = DISK_BYTES
) -> None:
    """Run `action` in a child, with an empty disk, which goes with it."""
    maker = shutil.which(f"mkfs.{kind}", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if os.getuid() != 0 or maker is None:
        pytest.skip(f"needs root, to mount, and mkfs.{kind}")
    image, point = folder / "image", folder / "disk"
    point.mkdir()
    image.touch()
    os.truncate(image, size)
    subprocess.run([maker, *OPTIONS[kind], str(image)], check=True, capture_output=True)

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
        pytest.skip(f"loop devices with {kind} cannot be mounted here")
