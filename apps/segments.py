# SPDX-License-Identifier: Apache-2.0
"""Commands on segments: seg ls, create, clone, show, set, delete."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson, CloneDurability, Yes, confirm, settings_of
from spacejmp.apps.spaces import value_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMANDS"]

SegmentName = Annotated[str, typer.Argument(metavar="NAME", help="The segment.")]


class Property(str, Enum):
    """What `seg set` changes."""

    MODE = "mode"
    OWNER = "owner"
    LOCKABLE = "lockable"
    GROWTH_LIMIT = "growth_limit"
    PAGE_SIZE = "page_size"
    PREFAULT = "prefault"


def ls(context: typer.Context) -> None:
    """List the segments; each is a store too."""
    for name in sj.seg_list(home=settings_of(context).home):
        report.line(name)


def create(
    context: typer.Context,
    name: SegmentName,
    base: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Its address; chosen when left out.")
    ] = None,
    reserve: Annotated[
        str, typer.Option(metavar="BYTES", help="Addresses that belong to it, whole GiB, as 64G.")
    ] = str(64 << 30),
) -> None:
    """Make a segment, which is an empty store too."""
    home, timeout = settings_of(context)
    address = None if base is None else value_of("--base", base)
    sj.seg_alloc(name, address, value_of("--reserve", reserve), home=home, timeout=timeout)


def clone(
    context: typer.Context,
    name: SegmentName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What the clone is called.")],
    durability: CloneDurability = None,
    as_json: AsJson = False,
) -> None:
    """Make a segment with the same data at the same addresses."""
    home, timeout = settings_of(context)
    with Share(name) as share:
        made = sj.seg_clone(
            name,
            new,
            durability=None if durability is None else durability.value,
            progress=share,
            home=home,
            timeout=timeout,
        )
    info = made.info()
    if as_json:
        report.emit_json({"name": info.name, "uuid": info.uuid.hex(), "base": info.base})
    else:
        report.line(f"{new} is a clone of {name} at {info.base:#x}")


def show(context: typer.Context, name: SegmentName, as_json: AsJson = False) -> None:
    """Show a segment: where it lies, and what was set."""
    home, timeout = settings_of(context)
    segment = sj.seg_find(name, home=home)
    info = segment.info()
    facts: dict[str, Any] = {
        "name": info.name,
        "uuid": info.uuid.hex(),
        "base": info.base,
        "reserved_bytes": info.reserved,
        "file_bytes": info.file_bytes,
        "durability": info.durability,
        **{each.value: segment.ctl(each.value, timeout=timeout) for each in Property},
    }
    facts["mode"] = f"{facts['mode']:#o}"
    if as_json:
        report.emit_json(facts)
        return
    facts["base"] = report.address(info.base)
    for field in ("reserved_bytes", "file_bytes", "page_size"):
        facts[field] = report.human_bytes(facts[field])
    for field, value in facts.items():
        report.line(f"{field.removesuffix('_bytes')}: {value}")


def change(
    context: typer.Context,
    name: SegmentName,
    what: Annotated[Property, typer.Argument(metavar="PROPERTY", help="What is set.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What it is to be.")],
) -> None:
    """Set mode (octal), owner, lockable, growth_limit (64M), page_size (4096, huge), prefault."""
    home, timeout = settings_of(context)
    sj.seg_ctl(name, what.value, value_of(what.value, value), home=home, timeout=timeout)


def delete(context: typer.Context, name: SegmentName, yes: Yes = False) -> None:
    """Remove a segment and all that is in it."""
    home, timeout = settings_of(context)
    if not yes:
        sj.seg_find(name, home=home)
        confirm(f"Remove the segment {name}, and all that is in it, for good?", yes)
    sj.seg_delete(name, home=home, timeout=timeout)


COMMANDS: dict[str, Callable[..., None]] = {
    "ls": ls,
    "show": show,
    "create": create,
    "clone": clone,
    "delete": delete,
    "set": change,
}
"""Of the group `spacejmp seg`."""
