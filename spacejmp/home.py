# SPDX-License-Identifier: Apache-2.0
"""The home directory: where it is (``spacejmp/home.h`` says what lies in it)."""

from __future__ import annotations

import os

from spacejmp._catalog import make_home
from spacejmp.persistence.errors import InvalidArgumentError

__all__ = [
    "absolute_home",
    "check_mode",
    "default_home",
    "restore_locks",
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


def restore_locks(home: str, segment: str) -> None:
    """Make the directory of lock files again if it has gone, and the segment's file has not."""
    if os.path.exists(segment) and not os.path.lexists(os.path.join(home, "lock")):
        make_home(home)


def check_mode(mode: object) -> None:
    """InvalidArgumentError when these are not permission bits that let the owner in."""
    if not isinstance(mode, int) or mode & ~0o177 != 0o600:
        raise InvalidArgumentError(
            f"mode: expected permission bits that let the owner read and write (0o600 to 0o777), "
            f"found {mode!r}; leave it out for 0o600"
        )
