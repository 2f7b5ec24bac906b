# SPDX-License-Identifier: Apache-2.0
"""Child processes for tests: forked, waited for with a deadline, killed for real."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Child", "forked", "in_child", "kill_inside", "run_python", "wait_for"]

PATIENCE = 120.0
"""Seconds until a child that should have ended counts as one that hangs; machines may be slow."""


def wait_for(pid: int, seconds: float = PATIENCE) -> int:
    """The exit status of a child; one that does not end is killed, and the test fails."""
    deadline = time.monotonic() + seconds
    pause = 0.0002
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail(f"a child process hung for {seconds} s")


class Child:
    """A forked process that runs `action(child)` and talks through two pipes."""

    def __init__(self, action: Callable[[Child], object]) -> None:
        to_parent, self._say = os.pipe()
        self._hear, to_child = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(to_parent)
            os.close(to_child)
            self._run(action)
        os.close(self._say)
        os.close(self._hear)
        self._say, self._hear = to_child, to_parent
        self.status: int | None = None

    def _run(self, action: Callable[[Child], object]) -> None:
        code = 1
        try:
            action(self)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def say(self, byte: bytes = b".") -> None:
        """Send one byte to the other side."""
        os.write(self._say, byte)

    def hear(self) -> bytes:
        """Wait for a byte of the other side; empty when that is gone."""
        return os.read(self._hear, 1)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.end()

    def end(self) -> int:
        """Wait for the child's end; its exit code, negative for a signal."""
        if self.status is None:
            self.status = wait_for(self.pid)
            os.close(self._say)
            os.close(self._hear)
        return self.status


@contextlib.contextmanager
def forked(action: Callable[[Child], object]) -> Iterator[Child]:
    """A `Child` that is killed at the end of the block, if it still lives."""
    child = Child(action)
    try:
        yield child
    finally:
        child.kill()


def in_child(action: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Run `action` in a forked process: gives what it returned, raises what it raised."""
    with tempfile.TemporaryFile() as file:
        pid = os.fork()
        if pid == 0:
            try:
                try:
                    result: Any = (True, action())
                except BaseException as error:
                    result = (False, error)
                file.write(pickle.dumps(result))
                file.flush()
            finally:
                os._exit(0)
        code = wait_for(pid, seconds)
        file.seek(0)
        raw = file.read()
    assert code == 0, f"the child ended with {code}"
    assert raw, "the child could not send its result"
    good, result = pickle.loads(raw)
    if not good:
        raise result
    return result


def kill_inside(action: Callable[[], object]) -> None:
    """Run `action` in a forked process that then kills itself; it must not end otherwise."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os.kill(os.getpid(), signal.SIGKILL)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    assert wait_for(pid) == -signal.SIGKILL


def run_python(code: str, *arguments: str, folder: str = "/") -> str:
    """Run code in a new interpreter; its output."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
