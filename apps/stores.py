# SPDX-License-Identifier: Apache-2.0
"""Commands on whole stores and structures: ls, info, check, collect, rm, drop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.exits import Code, CommandError, code_of, describe
from spacejmp.apps.progress import Share
from spacejmp.apps.settings import AsJson, StoreName, TreeName, Yes, catalog, confirm, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check", "collect", "drop", "info", "ls", "rm"]


def ls(
    context: typer.Context,
    long: Annotated[bool, typer.Option("--long", "-l", help="Size, address and age too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the stores, and the virtual address spaces of several segments."""
    stores = catalog(context)
    names = stores.names()
    vases = [name for name in sj.vas_list(home=stores.home) if _is_vas(stores, name, names)]
    if not long and not as_json:
        for name in names:
            report.line(name)
    else:
        entries = [_entry(stores, name) for name in names]
        if as_json:
            report.emit_json({"home": stores.home, "stores": entries, "vases": vases})
            return
        _print_long(entries, stores.home if not vases else None)
    for name in vases:
        report.line(f"{name} (VAS: {_parts(stores, name)})")


def _is_vas(stores: sj.Catalog, name: str, segments: list[str]) -> bool:
    """Tell whether a name is that of a VAS with a record of its own."""
    return name not in segments or stores.has_vas(name)


def _parts(stores: sj.Catalog, name: str) -> str:
    """Name the segments of a VAS."""
    try:
        segments = sj.vas_find(name, home=stores.home).segments
    except sj.SpaceJmpError as error:
        return describe(error)
    return ", ".join(segment.name for segment in segments) or "no segments"


def _print_long(entries: list[dict[str, Any]], empty_home: str | None) -> None:
    """Print a line of facts for each store; for people a table."""
    if not report.is_terminal():
        for entry in entries:
            report.line("\t".join(_long_fields(entry, plain=True)))
    elif entries:
        right = ("size", "reserved")
        shown = report.table("name", "size", "reserved", "base", "made", "", right=right)
        for entry in entries:
            shown.add_row(*_long_fields(entry, plain=False))
        report.console().print(shown)
    elif empty_home is not None:
        report.line(f"no stores in {empty_home}")


def _entry(stores: sj.Catalog, name: str) -> dict[str, Any]:
    """Say what the catalog knows of a store; `error` when it is damaged."""
    entry: dict[str, Any] = {
        "name": name,
        "path": None,
        "uuid": None,
        "base": None,
        "reserved_bytes": None,
        "file_bytes": None,
        "created": None,
        "error": None,
    }
    try:
        record = stores.lookup(name)
        entry["path"] = path = stores.segment_path(record.segment)
        entry["uuid"] = record.uuid.hex()
        entry["base"] = record.segment.base
        entry["reserved_bytes"] = record.segment.reserved
        entry["created"] = report.moment(record.created_ns)
        entry["file_bytes"] = os.stat(path).st_size
    except (sj.SpaceJmpError, OSError) as error:
        entry["error"] = {"code": int(code_of(error)), "message": describe(error)}
    return entry


def _long_fields(entry: dict[str, Any], *, plain: bool) -> list[str]:
    from rich.markup import escape

    fault = "" if entry["error"] is None else entry["error"]["message"]
    if plain:
        sizes = [str(entry[field]) for field in ("file_bytes", "reserved_bytes")]
        base = "None" if entry["base"] is None else f"{entry['base']:#x}"
        fields = [entry["name"], *sizes, base, str(entry["created"]), fault]
        return [field if field != "None" else "-" for field in fields]
    if entry["base"] is None:
        return [f"[red]{entry['name']}[/]", "", "", "", "", f"[red]{escape(fault)}[/]"]
    return [
        f"[cyan]{entry['name']}[/]",
        report.human_bytes(entry["file_bytes"] or 0),
        report.human_bytes(entry["reserved_bytes"]),
        report.address(entry["base"]),
        entry["created"][:16].replace("T", " "),
        f"[red]{escape(fault)}[/]",
    ]


def info(
    context: typer.Context,
    name: StoreName,
    usage: Annotated[
        bool, typer.Option("--usage", help="Also what each structure takes up: it is walked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a store: its place, its size and its structures."""
    record = catalog(context).lookup(name)
    with open_store(context, name) as store, store.read():
        stats = store.stats()
        facts: dict[str, Any] = {
            "name": store.name,
            "home": store.home,
            "path": store.path,
            "uuid": record.uuid.hex(),
            "created": report.moment(record.created_ns),
            "domain": store.domain,
            "durability": store.durability,
            "base": store.base,
            "reserved_bytes": store.reserve,
            **stats._asdict(),
            "fragmentation": round(stats.fragmentation, 4),
            "structures": [_structure(store, root) for root in store.roots.values()],
        }
        if usage:
            taken = store.usage()
            for structure in facts["structures"]:
                structure["blocks"], structure["bytes"] = taken[structure["name"]][2:]
    if as_json:
        report.emit_json(facts)
    else:
        _print_info(facts)


def _structure(store: sj.Store, root: sj.RootInfo) -> dict[str, Any]:
    """Describe a structure; of a record, or what this version does not know, `items` is None."""
    if root.kind == "record":
        return {**root._asdict(), "items": None}
    try:
        items = len(store[root.name])
    except sj.StructureTypeError:
        items = None
    return {**root._asdict(), "items": items}


_DOMAINS = {
    "shm": "memory (tmpfs): until the machine stops",
    "dax": "persistent memory: survives power loss",
    "file": "file: a reboot in the midst of a change is noticed",
    "wal": "file with a write-ahead log: survives power loss",
}


def _print_info(facts: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    rows = {
        "store": f"[bold cyan]{facts['name']}[/]",
        "file": escape(facts["path"]),
        "made": facts["created"],
        "address": f"{report.address(facts['base'])}, "
        f"{report.human_bytes(facts['reserved_bytes'])} reserved",
        "size": f"{report.human_bytes(facts['file_bytes'])}, "
        f"{report.human_bytes(facts['free_bytes'])} of it free, "
        f"{facts['fragmentation']:.0%} of its slabs",
        "in use": f"{report.human_bytes(facts['live_bytes'])} "
        f"in {_count(facts['live_blocks'], 'block')}",
        "kept in": _DOMAINS.get(facts["domain"], facts["domain"]),
    }
    grid = Table.grid(padding=(0, 2))
    for label, text in rows.items():
        grid.add_row(f"[dim]{label}[/]", text)
    out = report.console()
    out.print(grid)
    if not facts["structures"]:
        out.print("[dim]no structures yet[/]")
        return
    usage = ("bytes",) if "bytes" in facts["structures"][0] else ()
    shown = report.table(
        "structure", "kind", "key", "value", "items", *usage, right=("items", "bytes")
    )
    for root in facts["structures"]:
        items = "?" if root["items"] is None else f"{root['items']:,}"
        shown.add_row(
            escape(root["name"]),
            root["kind"],
            root["key"],
            root["value"],
            items,
            *(report.human_bytes(root[field]) for field in usage),
        )
    out.print(shown)


def check(
    context: typer.Context,
    name: StoreName,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="Check a store that was open when the machine stopped; whole, it opens again.",
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Free blocks that nothing leads to; take pages as they are for good.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify every page, block, node, pointer, key and count of a store."""
    from time import perf_counter

    begun = perf_counter()
    flag: Literal["w", "r"] = "w" if repair else "r"
    with open_store(context, name, flag, accept_unclean=accept) as store, Share(name) as share:
        found = store.check(repair=repair, progress=share)
    if accept:
        # Only now that it is whole: closing it after writing marks it so.
        open_store(context, name, "w", accept_unclean=True).close()
    seconds = perf_counter() - begun
    if as_json:
        report.emit_json({"name": name, **found._asdict(), "seconds": seconds})
        return
    report.line(f"{name} is whole: {', '.join(_findings(found))} in {seconds * 1e3:.1f} ms")
    for damage in found.accepted:
        report.line(f"taken as it is: {damage}")


def collect(context: typer.Context, name: StoreName, as_json: AsJson = False) -> None:
    """Free what nothing leads to any more; nobody else can use the store meanwhile."""
    from time import perf_counter

    begun = perf_counter()
    with open_store(context, name, "w") as store, Share(name) as share:
        found = store.collect(progress=share)
    seconds = perf_counter() - begun
    if as_json:
        report.emit_json({"name": name, **found._asdict(), "seconds": seconds})
        return
    report.line(
        f"{name}: freed {_count(found.freed_blocks, 'block')} "
        f"({report.human_bytes(found.freed_bytes)}), kept {_count(found.structures, 'structure')} "
        f"({report.human_bytes(found.bytes)}) in {seconds * 1e3:.1f} ms"
    )


def _findings(found: sj.CheckReport) -> Iterator[str]:
    """Say what a check went through, a part for each thing."""
    yield _count(found.structures, "structure")
    yield _count(found.items, "item")
    yield f"{_count(found.blocks, 'block')} ({report.human_bytes(found.bytes)})"
    if found.verified_pages:
        yield f"{_count(found.verified_pages, 'page')} verified"
    if found.freed_blocks:
        yield f"{_count(found.freed_blocks, 'leaked block')} freed"
    if found.leaked_blocks:
        leaked = (
            f"{_count(found.leaked_blocks, 'block')} ({report.human_bytes(found.leaked_bytes)})"
        )
        yield f"{leaked} that nothing leads to, which costs space only"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rm(context: typer.Context, name: StoreName, yes: Yes = False) -> None:
    """Remove a store and all that is in it."""
    stores = catalog(context)
    there = name in stores.names()
    if not there and "@" not in name and stores.has_vas(name):
        raise CommandError(
            f"{name} is a virtual address space, not a store: spacejmp vas delete {name}",
            Code.NOT_FOUND,
        )
    if not yes:
        entry = _entry(stores, name)
        if not there:
            stores.lookup(name)  # its error has the names that resemble it
        size = "" if entry["file_bytes"] is None else report.human_bytes(entry["file_bytes"])
        confirm(f"Remove the store {name}{f' ({size})' if size else ''} for good?", yes)
    stores.remove(name)


def drop(context: typer.Context, name: StoreName, tree: TreeName, yes: Yes = False) -> None:
    """Remove a structure and all that is in it from a store."""
    with open_store(context, name, "w") as store:
        if not yes:
            root = store.roots[tree]
            items = _structure(store, root)["items"]
            size = "" if items is None else f" ({_count(items, 'item')})"
            confirm(f"Drop {root.kind} {name}/{tree}{size} for good?", yes)
        store.drop(tree)
