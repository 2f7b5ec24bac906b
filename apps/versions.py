# SPDX-License-Identifier: Apache-2.0
"""Commands on copies of stores: clone, snapshot, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from spacejmp.apps import report
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson, CloneDurability, StoreName, catalog

if TYPE_CHECKING:
    from spacejmp.clones import Version

__all__ = ["clone", "snapshot", "versions"]


def clone(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The store, or NAME@TAG.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What the clone is called.")],
    durability: CloneDurability = None,
    as_json: AsJson = False,
) -> None:
    """Make a store of another name with the same data at the same addresses."""
    stores = catalog(context)
    with Share(name) as share:
        record = stores.clone(
            name,
            new,
            durability=None if durability is None else durability.value,
            progress=share,
        )
    if as_json:
        facts = {"name": record.name, "uuid": record.uuid.hex(), "base": record.segment.base}
        report.emit_json({**facts, "path": stores.segment_path(record.segment)})
    else:
        report.line(f"{new} is a clone of {name} at {record.segment.base:#x}")


def snapshot(
    context: typer.Context,
    name: StoreName,
    tag: Annotated[
        str | None, typer.Argument(metavar="TAG", help="Else the next number: 1, 2, …")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a store as it is now as the version NAME@TAG, which never changes."""
    with Share(name) as share:
        made = catalog(context).snapshot(name, tag, progress=share)
    if as_json:
        report.emit_json(_facts(made))
    else:
        report.line(made.name)


def versions(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The store; else of all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List versions, the oldest first; also of stores that are removed."""
    found = catalog(context).versions(name)
    if as_json:
        report.emit_json({"versions": [_facts(version) for version in found]})
    elif not report.is_terminal():
        for version in found:
            report.line(f"{version.name}\t{version.bytes}\t{_facts(version)['created']}")
    elif found:
        shown = report.table("version", "size", "made", right=("size",))
        for version in found:
            made = _facts(version)["created"][:16].replace("T", " ")
            shown.add_row(f"[cyan]{version.name}[/]", report.human_bytes(version.bytes), made)
        report.console().print(shown)
    else:
        report.line("no versions")


def _facts(version: Version) -> dict[str, Any]:
    return {
        "name": version.name,
        "tag": version.tag,
        "created": report.moment(version.created_ns),
        "file_bytes": version.bytes,
    }
