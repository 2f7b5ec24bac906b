# SPDX-License-Identifier: Apache-2.0
"""The command `salvage`: what can be read of a damaged store, into a new one or a JSON lines file.

The file is written beside its name, and gets it when it is complete; the store appears empty and is
removed again when the salvage fails.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.exits import CommandError
from spacejmp.apps.jsonform import dumps, to_json
from spacejmp.apps.settings import AsJson, StoreName, catalog
from spacejmp.structures.remains import SEQUENCES, Remains, SalvagedRoot, SalvageReport
from spacejmp.structures.salvage_arrays import BLOCKS, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ["salvage"]

SHOWN = 8
"""Skipped parts that are shown to people; ``--json`` has them all."""


class Form(str, Enum):
    """What is written."""

    STORE = "store"
    JSONL = "jsonl"


def salvage(
    context: typer.Context,
    name: StoreName,
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="The new store; with --format jsonl, the file, or - for stdout."
        ),
    ],
    form: Annotated[
        Form, typer.Option("--format", help="A new store in the same home, or JSON lines.")
    ] = Form.STORE,
    tree: Annotated[
        str | None, typer.Option(metavar="TREE", help="jsonl: only the structure of this name.")
    ] = None,
    no_suspects: Annotated[
        bool, typer.Option("--no-suspects", help="Leave out entries that may be wrong.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write every entry of a damaged store that can be read into a new one."""
    stores = catalog(context)
    suspects = not no_suspects
    if form is Form.STORE:
        if tree is not None:
            raise CommandError("--tree: expected with --format jsonl, found without")
        found = sj.salvage(name, out, home=stores.home, suspects=suspects, timeout=stores.timeout)
    else:
        with Remains(name, home=stores.home) as remains:
            roots = _wanted(remains, tree)
            if out == "-":
                found = _write_roots(remains, roots, out, sys.stdout, suspects)
            else:
                found = _write_file(remains, roots, out, suspects)
    with redirect_stdout(sys.stderr) if out == "-" else nullcontext():
        if as_json:
            report.emit_json(_as_json(found))
        else:
            _print(found)


# --- JSON lines ---------------------------------------------------------------------------------


def _write_lines(remains: Remains, root: SalvagedRoot, file: TextIO, suspects: bool) -> int:
    written = 0
    for line in _lines(remains, root, suspects):
        file.write(dumps({"tree": root.name, **line}) + "\n")
        written += 1
    return written


def _lines(remains: Remains, root: SalvagedRoot, suspects: bool) -> Iterator[dict[str, Any]]:
    if root.kind in SEQUENCES:
        for item in remains.sequence(root, suspects=suspects):
            yield {"value": to_json(item)}
    elif root.kind in BLOCKS:
        for item in rows_of(root, remains.parts(root), suspects):
            yield {"value": to_json(item)}
    elif root.kind != "unknown":
        for key, value in remains.items(root, suspects=suspects):
            yield {"key": to_json(key), "value": to_json(value)}


def _wanted(remains: Remains, tree: str | None) -> tuple[SalvagedRoot, ...]:
    roots = tuple(root for root in remains.roots if tree in (None, root.name))
    if not roots and tree is not None:
        names = ", ".join(repr(root.name) for root in remains.roots) or "none"
        raise CommandError(f"{remains.name!r}: expected the structure {tree!r}, found {names}")
    return roots


def _write_roots(
    remains: Remains, roots: tuple[SalvagedRoot, ...], out: str, file: TextIO, suspects: bool
) -> SalvageReport:
    written = tuple(
        root._replace(
            recovered=_write_lines(remains, root, file, suspects),
            unreadable=remains.unreadable(root),
            dangling=remains.dangling(root),
        )
        for root in roots
    )
    file.flush()
    return remains.report(out, written)


def _write_file(
    remains: Remains, roots: tuple[SalvagedRoot, ...], out: str, suspects: bool
) -> SalvageReport:
    if os.path.lexists(out):
        raise CommandError(f"{out}: expected no such file, found one: choose another name")
    import tempfile  # costs more time than a `get`

    directory, base = os.path.split(os.path.abspath(out))
    handle, temporary = tempfile.mkstemp(prefix=f".{base}-", dir=directory)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            found = _write_roots(remains, roots, out, file, suspects)
            os.fsync(file.fileno())
        os.rename(temporary, out)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return found


# --- what was found -----------------------------------------------------------------------------


def _as_json(found: SalvageReport) -> dict[str, Any]:
    return {
        **found._asdict(),
        "recovered": found.recovered,
        "roots": [root._asdict() for root in found.roots],
        "skipped": [block._asdict() for block in found.skipped],
    }


def _print(found: SalvageReport) -> None:
    for note in found.notes:
        report.line(f"{found.name}: {note}")
    for root in found.roots:
        report.line(f"{found.out}/{root.name}: {_told(root)}")
    for block in found.skipped[:SHOWN]:
        whose = "" if block.root is None else f" of {block.root!r}"
        report.line(f"{found.name}, offset {block.offset:#x}{whose}: {block.reason}")
    if found.skipped_count > SHOWN:
        report.line(f"{found.name}: {found.skipped_count - SHOWN:,} more such places; see --json")
    report.line(
        f"{found.name}: {_count(found.recovered, 'entry', 'entries')} in {found.out}; "
        f"{_count(found.suspect_pages, 'page')} with a checksum that does not fit, "
        f"{_count(found.lost_pages, 'page')} that cannot be read"
    )


def _told(root: SalvagedRoot) -> str:
    """What came back of a structure."""
    had = "" if root.expected is None else f" of {root.expected:,}"
    text = f"{root.recovered:,}{had} entries"
    codecs = f", {root.kind}"
    for role, codec in (("key", root.key), ("value", root.value)):
        codecs += f", {role} {codec}" if codec else ""
    parts = {
        "suspect": root.suspect,
        "with a key that was there already": root.duplicates,
        "not of its codecs": root.undecodable,
        "not readable": root.unreadable,
        "references that lead to nothing": root.dangling,
    }
    rest = "".join(f"; {number:,} {what}" for what, number in parts.items() if number)
    return f"{text}{codecs}{' (guessed)' if root.guessed else ''}{rest}"


def _count(number: int, noun: str, nouns: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
