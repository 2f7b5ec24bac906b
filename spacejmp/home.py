# SPDX-License-Identifier: Apache-2.0
"""The home directory: where it is, how it is made, and what lies in its parts.

``seg`` holds segments, ``vas`` records, ``lock`` lock files (`spacejmp.catalog` says more).
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from spacejmp.files import failures_of, sync_directory
from spacejmp.names import check_name
from spacejmp.persistence.errors import (
    InvalidArgumentError,
    InvalidNameError,
    StorePermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "absolute_home",
    "check_mode",
    "default_home",
    "entries",
    "make_directories",
    "restore_locks",
    "shared_mode",
    "stems",
]


def default_home() -> str:
    """Find the home that is used when none is given.

    Returns
    -------
    str
        ``$SPACEJMP_HOME``, else ``$XDG_DATA_HOME/spacejmp``, else ``~/.local/share/spacejmp``.
        Empty variables count as not set, and so does an ``XDG_DATA_HOME`` that is not absolute.

    Raises
    ------
    InvalidArgumentError
        The user has no home directory.
    """
    if chosen := os.environ.get("SPACEJMP_HOME"):
        return absolute_home(chosen)
    data = os.environ.get("XDG_DATA_HOME", "")
    return absolute_home(
        os.path.join(data if os.path.isabs(data) else "~/.local/share", "spacejmp")
    )


def absolute_home(home: str) -> str:
    """Make the path of a home absolute, ``~`` expanded."""
    path = os.path.expanduser(home)
    if not path or "\0" in path or path.startswith("~"):
        raise InvalidArgumentError(
            f"home: expected the path of a directory, found {home!r}; "
            f"give one, or set SPACEJMP_HOME"
        )
    return os.path.abspath(path)


def make_directories(home: str) -> None:
    """Make the home and its three directories where they are missing.

    A home that exists lends them its mode, so that one that a group shares stays shared.
    """
    with failures_of("make", home):
        if not os.path.isdir(home):
            os.makedirs(home, 0o700, exist_ok=True)
            sync_directory(os.path.dirname(home))
    mode = 0o700 | shared_mode(home) & 0o070
    for part in ("vas", "seg", "lock"):
        path = os.path.join(home, part)
        with failures_of("make", path), contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
            sync_directory(home)
        with failures_of("use", path):
            found = os.stat(path).st_mode  # a part may be a link to another filesystem
        if found & stat.S_IWOTH:
            raise StorePermissionError(
                f"cannot use {path!r}: expected a directory that only its owner and group can "
                f"write, found mode {stat.filemode(found)}; run: chmod o-w {path}"
            )


def restore_locks(home: str, segment: str) -> None:
    """Make the directory of lock files again if it has gone, and the segment's file has not."""
    if os.path.exists(segment) and not os.path.lexists(os.path.join(home, "lock")):
        make_directories(home)


def check_mode(mode: object) -> None:
    """InvalidArgumentError when these are not permission bits that let the owner in."""
    if not isinstance(mode, int) or mode & ~0o177 != 0o600:
        raise InvalidArgumentError(
            f"mode: expected permission bits that let the owner read and write (0o600 to 0o777), "
            f"found {mode!r}; leave it out for 0o600"
        )


def shared_mode(home: str) -> int:
    """Read the permission bits of the home."""
    with failures_of("use", home):
        return stat.S_IMODE(os.stat(home).st_mode)


def entries(directory: str) -> list[os.DirEntry[str]]:
    """List what a directory holds; nothing when it does not exist."""
    with failures_of("list", directory):
        try:
            with os.scandir(directory) as found:
                return list(found)
        except FileNotFoundError:
            return []


def stems(directory: str, suffix: str) -> Iterator[str]:
    """Give the valid names among the files of a directory that end in `suffix`."""
    for entry in entries(directory):
        stem = entry.name.removesuffix(suffix)
        if stem != entry.name and not entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(InvalidNameError):
                yield check_name(stem)
