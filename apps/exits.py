# SPDX-License-Identifier: Apache-2.0
"""Exit codes of the command, and what it says when something fails.

A failure is told on stderr in one or two lines: what was expected, what was found, the remedy. The
exit code says of which kind it is (`Code`). No traceback is shown, unless ``SPACEJMP_TRACEBACK=1``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Code", "CommandError", "code_of", "describe", "failures", "tell", "usage_errors"]


class Code(IntEnum):
    """Exit codes: scripts rely on them, so they never change their meaning."""

    OK = 0
    NOT_FOUND = 1
    USAGE = 2
    DAMAGED = 3
    BUSY = 4
    IO = 5
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS = {
    Code.OK: "done",
    Code.NOT_FOUND: "no such store, structure or key",
    Code.USAGE: "usage, or an argument or input row that is not acceptable",
    Code.DAMAGED: "damaged, or not closed before the machine stopped",
    Code.BUSY: "others held it for longer than --timeout",
    Code.IO: "permission, full disk, I/O error",
    Code.INTERRUPTED: "Ctrl-C, or not confirmed",
}

_KINDS: tuple[tuple[Code, tuple[type[BaseException], ...]], ...] = (
    (Code.NOT_FOUND, (sj.NotFoundError,)),
    (
        Code.DAMAGED,
        (
            sj.CorruptError,
            sj.FormatError,
            sj.VersionError,
            sj.IdentityError,
            sj.UncleanShutdownError,
        ),
    ),
    (Code.BUSY, (sj.SpaceBusyError, sj.AddressConflictError)),
    (Code.USAGE, (sj.AlreadyExistsError,)),
    (Code.INTERRUPTED, (KeyboardInterrupt,)),
    (Code.IO, (OSError, MemoryError)),
    (Code.USAGE, (sj.SpaceJmpError,)),
)


class CommandError(Exception):
    """A failure that the command itself has found.

    Parameters
    ----------
    message : str
        What was expected, found, and the remedy.
    code : Code
        The exit code.
    note : str
        A second line, such as what had been done until then.
    """

    def __init__(self, message: str, code: Code = Code.USAGE, note: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.note = note

    def __str__(self) -> str:
        return self.message


def code_of(error: BaseException) -> Code:
    """Say with which code the command ends because of this exception."""
    if isinstance(error, CommandError):
        return error.code
    for code, kinds in _KINDS:
        if isinstance(error, kinds):
            return code
    return Code.INTERNAL


def describe(error: BaseException) -> str:
    """Say in a line what an exception means."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, sj.SpaceJmpError | CommandError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {error}"


def tell(message: str, note: str = "") -> None:
    """Write a failure to stderr."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(f"spacejmp: {message}", file=sys.stderr)
        if note:
            print(f"  {note}", file=sys.stderr)


# click's, which typer has in a place of its own in some versions.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
_CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turn what the command line's parser finds into a line and exit code 2."""
    try:
        yield
    except _CLICK_ERROR as error:
        message = str(error.format_message() if hasattr(error, "format_message") else error)
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "spacejmp"
        note = f"see: {path} --help"
        if message.startswith("No such option: -") and message[17:18].isdigit():
            note = "a KEY or VALUE that begins with - goes after --"
        tell(message.rstrip(), note)
        raise SystemExit(Code.USAGE) from None
    except typer.Abort:
        tell("not confirmed: nothing was changed")
        raise SystemExit(Code.INTERRUPTED) from None


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what a command raises into a line or two on stderr, and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, _CLICK_ERROR):
        raise
    except BrokenPipeError:
        # What is still buffered has nowhere to go; the interpreter would complain at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Code.BROKEN_PIPE) from None
    except (Exception, KeyboardInterrupt) as error:  # told in full, below
        if os.environ.get("SPACEJMP_TRACEBACK", "") not in ("", "0"):
            raise
        code = code_of(error)
        note = error.note if isinstance(error, CommandError) else ""
        if code == Code.INTERNAL:
            bug = "this is a bug: SPACEJMP_TRACEBACK=1 shows where"
            note = f"{note}; {bug}" if note else bug
        tell(describe(error), note)
        raise typer.Exit(code) from None
