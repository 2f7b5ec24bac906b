# SPDX-License-Identifier: Apache-2.0
"""Processes that may die: forked from this one, where everything is imported already.

A child cannot leave a core file. One that uses more than `CPU_SECONDS` hangs, however busy the
machine is; so does one that waits longer than `WALL_SECONDS`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WALL_SECONDS", "Child", "Ending"]

CPU_SECONDS = 20
WALL_SECONDS = 120.0


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    result: Any = None
    """What it returned, if it came to that."""
    fate: str | None = None
    """Else the name of the signal that ended it, or "hang"."""


class Child:
    """A forked process that does `action(child)`; what that returns goes through JSON."""

    def __init__(self, action: Callable[[Child], object]) -> None:
        self._result, result = os.pipe()
        hear, self._say = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._result)
            os.close(self._say)
            self._result, self._hear = result, hear
            self._run(action)
        os.close(result)
        os.close(hear)

    def _run(self, action: Callable[[Child], object]) -> None:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
            self.say(action(self))
            code = 0
        except BaseException:  # noqa: BLE001 (it is told, and the child ends)
            traceback.print_exc()
        finally:
            os._exit(code)

    def say(self, what: object) -> None:
        """In the child: send a line to the parent."""
        os.write(self._result, json.dumps(what).encode() + b"\n")

    def hear(self) -> None:
        """In the child: wait until the parent says `go`."""
        os.read(self._hear, 1)

    def go(self) -> None:
        """Let the child go on that waits in `hear`."""
        os.write(self._say, b".")

    def line(self) -> Any:
        """The next thing that the child says; None: it is dead, or is killed for it hangs."""
        raw = b""
        deadline = time.monotonic() + WALL_SECONDS
        while not raw.endswith(b"\n"):
            ready, _, _ = select.select([self._result], [], [], deadline - time.monotonic())
            if not ready:
                os.kill(self.pid, signal.SIGXCPU)
                return None
            part = os.read(self._result, 1)
            if not part:
                return None
            raw += part
        return json.loads(raw)

    @property
    def ended(self) -> bool:
        """Whether it has come to an end by itself."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def end(self) -> Ending:
        """Wait for its end."""
        result = self.line()
        code = self._reap()
        if code < 0:
            name = signal.Signals(-code).name
            return Ending(fate="hang" if name == "SIGXCPU" else name)
        if code != 0:
            raise RuntimeError("a child failed; its traceback is above")
        return Ending(result)

    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._result)
        os.close(self._say)
        return os.waitstatus_to_exitcode(status)
