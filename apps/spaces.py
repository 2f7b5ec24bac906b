# SPDX-License-Identifier: Apache-2.0
"""Commands on virtual address spaces of several segments: vas ls, show, create …."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.amounts import parse_size
from spacejmp.apps.exits import CommandError, describe
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson, Yes, confirm, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacejmp.records import Rights
    from spacejmp.vas import Window
    from spacejmp.vas_stats import SegmentStats

__all__ = ["COMMANDS", "value_of"]

VasName = Annotated[str, typer.Argument(metavar="NAME", help="The virtual address space.")]
SegmentName = Annotated[str, typer.Argument(metavar="SEGMENT", help="The segment.")]


class Property(str, Enum):
    """What `vas set` changes."""

    MODE = "mode"
    OWNER = "owner"
    TAG = "tag"
    ISOLATION = "isolation"
    ADDRESS_LIMIT = "address_limit"
    PAGE_SIZE = "page_size"
    PREFAULT = "prefault"


def _facts(info: sj.VasInfo) -> dict[str, Any]:
    """Say what is known of a VAS, for JSON."""
    facts = info._asdict()
    del facts["created_ns"]
    return {
        **facts,
        "uuid": info.uuid.hex(),
        "created": report.moment(info.created_ns),
        "mode": f"{info.mode:#o}",
        "segments": [{**each._asdict(), "uuid": each.uuid.hex()} for each in info.segments],
    }


def ls(context: typer.Context, as_json: AsJson = False) -> None:
    """List the virtual address spaces; a store is one too, of one segment."""
    home, _ = settings_of(context)
    names = sj.vas_list(home=home)
    if not as_json:
        for name in names:
            report.line(name)
        return
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            found.append({**_facts(sj.vas_find(name, home=home).info()), "error": None})
        except sj.SpaceJmpError as error:
            found.append({"name": name, "error": describe(error)})
    report.emit_json(found)


def show(
    context: typer.Context,
    name: VasName,
    stats: Annotated[
        bool, typer.Option("--stats", help="Also what its segments take up: it is attached.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a virtual address space: its segments, and what was set."""
    home, timeout = settings_of(context)
    vas = sj.vas_find(name, home=home)
    info = vas.info()
    figures = vas.stats(timeout=timeout) if stats else ()
    if as_json:
        facts = _facts(info)
        if stats:
            facts["stats"] = [each._asdict() for each in figures]
        report.emit_json(facts)
        return
    limit = report.human_bytes(info.address_limit) if info.address_limit else "none"
    kind = "a store" if info.of_segment else f"{len(info.segments)} segments"
    report.line(
        f"{info.name}: {kind}, mode {info.mode:#o}, tag {info.tag}, {info.isolation}, "
        f"limit of addresses {limit}"
    )
    if not info.segments:
        return
    shown = report.table("segment", "base", "reserved", "rights", "window", right=("reserved",))
    for each in info.segments:
        window = "all" if each.window is None else str(each.window)
        size = report.human_bytes(each.reserved)
        shown.add_row(each.name, report.address(each.base), size, each.rights, window)
    report.console().print(shown)
    if stats:
        _show_stats(figures)


def _show_stats(figures: tuple[SegmentStats, ...]) -> None:
    """Show what segments take up."""
    columns = ("file", "live", "free", "page", "page tables")
    shown = report.table("segment", *columns, right=columns)
    for each in figures:
        sizes = (
            each.file_bytes,
            each.live_bytes,
            each.free_bytes,
            each.page_size,
            each.table_bytes,
        )
        shown.add_row(each.name, *map(report.human_bytes, sizes))
    report.console().print(shown)


def create(context: typer.Context, name: VasName) -> None:
    """Make a virtual address space without segments."""
    home, timeout = settings_of(context)
    sj.vas_create(name, home=home, timeout=timeout)


def clone(
    context: typer.Context,
    name: VasName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What the clone is called.")],
    as_json: AsJson = False,
) -> None:
    """Make a virtual address space of clones of all segments, as of one moment."""
    home, timeout = settings_of(context)
    with Share(name) as share:
        made = sj.vas_clone(name, new, progress=share, home=home, timeout=timeout)
    info = made.info()
    if as_json:
        report.emit_json(_facts(info))
        return
    names = ", ".join(each.name for each in info.segments) or "no segments"
    report.line(f"{new} is a clone of {name}: {names}")


def delete(context: typer.Context, name: VasName, yes: Yes = False) -> None:
    """Remove a virtual address space; its segments stay, but those of a store."""
    home, timeout = settings_of(context)
    if not yes:
        info = sj.vas_find(name, home=home).info()
        what = "store, and all that is in it," if info.of_segment else "virtual address space"
        confirm(f"Remove the {what} {name} for good?", yes)
    sj.vas_delete(name, home=home, timeout=timeout)


def attach(
    context: typer.Context,
    name: VasName,
    segment: SegmentName,
    read_only: Annotated[
        bool, typer.Option("--read-only", "-r", help="The VAS may only read it.")
    ] = False,
    window: Annotated[
        str, typer.Option(metavar="W", help="A number; all; or fit: the first that has room.")
    ] = "all",
) -> None:
    """Make a segment part of a virtual address space, for all who have it attached."""
    home, timeout = settings_of(context)
    place: Window
    if window in ("all", "fit"):
        place = cast("Window", window)
    elif window.isdecimal():
        place = int(window)
    else:
        raise CommandError(f"--window: expected all, fit or a number, found {window!r}")
    rights: Rights = "r" if read_only else "rw"
    placed = sj.seg_attach(name, segment, rights, window=place, home=home, timeout=timeout)
    if window == "fit":
        report.line(str(placed))


def detach(context: typer.Context, name: VasName, segment: SegmentName) -> None:
    """Take a segment out of a virtual address space."""
    home, timeout = settings_of(context)
    sj.seg_detach(name, segment, home=home, timeout=timeout)


def change(
    context: typer.Context,
    name: VasName,
    what: Annotated[Property, typer.Argument(metavar="PROPERTY", help="What is set.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What it is to be.")],
) -> None:
    """Set mode (octal), owner (numbers: UID or UID:GID), tag, isolation or address_limit (64G).

    page_size (4K or huge) and prefault are set in each of its segments.
    """
    home, timeout = settings_of(context)
    sj.vas_ctl(name, what.value, value_of(what.value, value), home=home, timeout=timeout)


_SIZES = ("address_limit", "growth_limit", "page_size", "--reserve")
_WANTED = {
    "mode": "an octal number such as 640",
    "owner": "the number of a user, or of a user and a group such as 1000:100",
    "lockable": "yes or no",
    "prefault": "yes or no",
}


def value_of(what: str, text: str) -> Any:
    """Read what was typed as the value of a property."""
    words = {"yes": True, "no": False, "true": True, "false": False}
    try:
        if what == "isolation" or (what == "page_size" and text == "huge"):
            return text
        if what in ("lockable", "prefault") and text in words:
            return words[text]
        if what == "owner":
            user, colon, group = text.partition(":")
            return (int(user), int(group)) if colon else int(user)
        return int(text, 8) if what == "mode" else int(text, 0)
    except ValueError:
        if what in _SIZES:
            return parse_size(what, text)
        wanted = _WANTED.get(what, "a number")
        raise CommandError(f"{what}: expected {wanted}, found {text!r}") from None


COMMANDS: dict[str, Callable[..., None]] = {
    "ls": ls,
    "show": show,
    "create": create,
    "clone": clone,
    "delete": delete,
    "attach": attach,
    "detach": detach,
    "set": change,
}
"""Of the group `spacejmp vas`."""
