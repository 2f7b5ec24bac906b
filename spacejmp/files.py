# SPDX-License-Identifier: Apache-2.0
"""Small files that are whole or absent, locks between processes, and system errors in our words.

A file is published so: write a temporary file in the same directory, fsync it, give it its name in
one step, fsync the directory. Whoever dies in between leaves a temporary file (`TEMPORARY`) behind
and nothing else; temporary files are made under the catalog's lock only, so those that the next
holder of that lock finds are nobody's.

Files are opened with ``O_NOFOLLOW`` and ``O_CLOEXEC``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from spacejmp.persistence.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpaceBusyError,
    SpaceFullError,
    SpaceJmpError,
    StoreIOError,
    StorePermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "TEMPORARY",
    "failures_of",
    "locked",
    "publish",
    "read_small",
    "rename",
    "status_of",
    "sync_directory",
    "temporary_of",
    "unlink_if_there",
]

TEMPORARY = ".new-"
"""How the name of a file begins that is not yet published."""

_OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW

_ERRORS: dict[int | None, tuple[type[SpaceJmpError], str]] = {
    errno.ENOENT: (NotFoundError, "check the path"),
    errno.EEXIST: (AlreadyExistsError, "choose another name"),
    errno.ENOSPC: (SpaceFullError, "free space on that filesystem or choose another home"),
    errno.EDQUOT: (SpaceFullError, "free space within the quota or choose another home"),
    errno.EACCES: (StorePermissionError, "check owner and mode of the path"),
    errno.EPERM: (StorePermissionError, "check owner and mode of the path"),
    errno.EROFS: (StorePermissionError, "choose a home on a writable filesystem"),
    errno.ELOOP: (StorePermissionError, "put the file there, not a symbolic link to it"),
}


@contextlib.contextmanager
def failures_of(doing: str, path: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the `SpaceJmpError` that names `doing` and `path`."""
    try:
        yield
    except SpaceJmpError:
        raise
    except OSError as error:
        kind, remedy = _ERRORS.get(error.errno, (StoreIOError, "check the path and its filesystem"))
        raise kind(f"cannot {doing} {path!r}: {error.strerror or error}; {remedy}") from error


def read_small(path: str, limit: int) -> bytes | None:
    """Read a regular file whole.

    Returns
    -------
    bytes or None
        At most `limit` + 1 bytes, so that the caller sees when it is longer; None when there is
        no such file.

    Raises
    ------
    StorePermissionError
        It may not be read, or is a symbolic link.
    StoreIOError
        It is not a regular file, or reading it failed.
    """
    with failures_of("read", path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _OPEN_FLAGS)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise StoreIOError(
                    f"cannot read {path!r}: expected a regular file, found something else; "
                    f"move it away"
                )
            data = b""
            while len(data) <= limit and (part := os.read(fd, limit + 1 - len(data))):
                data += part
            return data
        finally:
            os.close(fd)


def publish(path: str, data: bytes, mode: int) -> None:
    """Make or replace the file `path` with these contents, whole or not at all.

    Parameters
    ----------
    path : str
        The file's name.
    data : bytes
        Its contents.
    mode : int
        Its permissions, before the umask.

    Raises
    ------
    SpaceFullError, StorePermissionError, StoreIOError
        The file could not be written; `path` is as it was.

    Durability
    ----------
    Once it returns the file survives power loss, where the filesystem survives it.
    """
    temporary = temporary_of(path)
    with failures_of("write", path):
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, mode)
        try:
            try:
                _write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    sync_directory(os.path.dirname(path))


def temporary_of(path: str) -> str:
    """Choose the name that the file `path` has until it is published."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f"{TEMPORARY}{os.urandom(8).hex()}-{name}")


def rename(path: str, target: str) -> None:
    """Give a file another name in its directory, durably."""
    with failures_of("rename", path):
        os.rename(path, target)
    sync_directory(os.path.dirname(path))


def _write_all(fd: int, data: bytes) -> None:
    """Write `data`, in as many pieces as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def status_of(path: str) -> os.stat_result | None:
    """Ask for the status of what has this name, no link followed; None when nothing has it."""
    with failures_of("use", path):
        try:
            return os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None


def unlink_if_there(path: str) -> bool:
    """Remove a file; false when there was none."""
    with failures_of("remove", path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
    return True


def sync_directory(path: str) -> None:
    """Make the names in a directory durable (fsync)."""
    with failures_of("sync", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a filesystem that cannot, and needs not
                raise
        finally:
            os.close(fd)


_lock_fds: set[int] = set()  # a fork must not keep its parent's locks


def _forget_locks() -> None:
    """In the child of a fork: give up the parent's locks, which the child never had."""
    for fd in _lock_fds:
        with contextlib.suppress(OSError):
            os.close(fd)
    _lock_fds.clear()


os.register_at_fork(after_in_child=_forget_locks)


@contextlib.contextmanager
def locked(path: str, mode: int, timeout: float | None) -> Iterator[None]:
    """Hold the lock file `path`, alone among all threads of all processes.

    Parameters
    ----------
    path : str
        The lock file; made if missing, never removed.
    mode : int
        Permissions of a new lock file, before the umask.
    timeout : float or None
        Seconds to wait: 0 does not wait, None waits for ever.

    Raises
    ------
    SpaceBusyError
        The time was up.

    Notes
    -----
    The kernel frees the lock when its holder dies. Waiting can be ended by Ctrl-C.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        fd = _open_lock(path, mode)
        try:
            _wait_for_lock(fd, path, timeout, deadline)
            if _is_still(fd, path):
                yield
                return
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # at once, though a child may have a copy of fd
            _lock_fds.discard(fd)
            os.close(fd)


def _open_lock(path: str, mode: int) -> int:
    """Open the lock file, and have a fork close it in the child."""
    with failures_of("open", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN_FLAGS, mode)
    _lock_fds.add(fd)
    return fd


def _wait_for_lock(fd: int, path: str, timeout: float | None, deadline: float | None) -> None:
    """Take the lock, by polling: a blocking flock(2) knows no time limit."""
    pause = 0.0005
    with failures_of("lock", path):
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise SpaceBusyError(
                    f"cannot lock {path!r}: expected it free within {timeout} s, found it held by "
                    f"another process or thread; try again, or with a longer timeout"
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.02)


def _is_still(fd: int, path: str) -> bool:
    """Whether the locked file is the one of that name: it may have been removed meanwhile."""
    now = status_of(path)
    with failures_of("use", path):
        return now is not None and os.path.samestat(os.fstat(fd), now)
