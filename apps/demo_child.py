# SPDX-License-Identifier: Apache-2.0
"""The parent's side of a process of the demo (`spacejmp.apps.demo_worker`)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from spacejmp.apps.exits import Code, CommandError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Child"]

PATIENCE_SECONDS = 60.0


class Child:
    """A process with a role; it does not outlive its `with` block.

    Parameters
    ----------
    role : str
        See `spacejmp.apps.demo_worker`.
    **job
        What it is told.
    """

    def __init__(self, role: str, **job: Any) -> None:
        self.role = role
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spacejmp.apps.demo_worker", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._watchdog = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self.tell(json.dumps(job))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def tell(self, text: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the next event."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            event: dict[str, Any] = json.loads(line)
            if event["event"] != "failed":
                return event
            reason = event["message"]
        else:
            assert self._process.stderr is not None
            said = self._process.stderr.read().strip().splitlines()
            reason = said[-1] if said else f"it ended with {self._process.wait()}"
        raise CommandError(
            f"demo: the process that was to {self.role} failed: {reason}", Code.DAMAGED
        )

    def expect(self, event: str) -> dict[str, Any]:
        """Wait for this event, and for nothing else."""
        heard = self.hear()
        if heard["event"] != event:
            raise CommandError(
                f"demo: expected {event!r} of the process that is to {self.role}, found {heard}",
                Code.DAMAGED,
            )
        return heard

    def kill(self) -> int:
        """Send SIGKILL, and say what the process ended with: minus the number of a signal."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self._process.kill()
        self._process.wait()
        self._watchdog.cancel()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
