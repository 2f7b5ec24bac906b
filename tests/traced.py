# SPDX-License-Identifier: Apache-2.0
"""Children that are traced, stopped after each of their system calls, and killed there."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["killed_after"]

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
PTRACE_O_TRACESYSGOOD, PTRACE_O_EXITKILL = 1, 0x100000
SYSCALL_STOP = signal.SIGTRAP | 0x80

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def killed_after(calls: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that dies after so many system calls; false if it was done before."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if libc.ptrace(PTRACE_TRACEME, 0, None, None) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                action()
                status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        pytest.skip("processes cannot be traced here")
    options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL
    assert libc.ptrace(PTRACE_SETOPTIONS, child, None, options) == 0
    for _ in range(2 * calls):  # a stop as it enters, a stop as it leaves
        assert libc.ptrace(PTRACE_SYSCALL, child, None, None) == 0
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the action failed"
            return False
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == SYSCALL_STOP
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    return True
