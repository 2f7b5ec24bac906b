# SPDX-License-Identifier: Apache-2.0
"""Commands on the items of a structure: get, put, rm-key, scan."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.exits import Code, CommandError
from spacejmp.apps.jsonform import to_json
from spacejmp.apps.settings import (
    AsJson,
    AsSet,
    KeyCodec,
    NewDurability,
    StoreName,
    TreeName,
    ValueCodec,
    open_store,
)
from spacejmp.apps.text import parse_key, parse_value, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SETS", "get", "open_structure", "put", "rm_key", "scan"]

SETS = (sj.Set, sj.SortedSet)
_ORDERED = (sj.BTree, sj.SortedSet)

KeyText = Annotated[str, typer.Argument(metavar="KEY", help="The key, as the key codec reads it.")]
_MISSING = object()


def keyed(store: sj.Store, tree: str) -> Any:
    """The structure of that name, which has keys."""
    found = store[tree]
    if not isinstance(found, (sj.BTree, sj.HashMap, *SETS)):
        raise CommandError(
            f"{tree!r} is a {type(found).__name__}: expected a mapping or a set, for get, put, "
            f"rm-key and scan go by keys; Python has store[{tree!r}]",
            Code.USAGE,
        )
    return found


def open_structure(
    store: sj.Store,
    tree: str,
    key: str | None = None,
    value: str | None = None,
    *,
    hashed: bool = False,
    as_set: bool = False,
) -> Any:
    """Open a structure by name; it is made if missing."""
    if tree in store and key is None and value is None and not hashed and not as_set:
        return keyed(store, tree)
    if as_set:
        if value is not None:
            raise CommandError("--set: expected without --value-codec, found with it")
        return store.set(tree, key) if hashed else store.sortedset(tree, key)
    return store.hashmap(tree, key, value) if hashed else store.btree(tree, key, value)


def get(
    context: typer.Context, name: StoreName, tree: TreeName, key: KeyText, as_json: AsJson = False
) -> None:
    """Print the value of a key; the key itself, if it is there, of a set."""
    with open_store(context, name) as store:
        found = keyed(store, tree)
        parsed = parse_key(key, found.key)
        if is_set := isinstance(found, SETS):
            value = parsed if parsed in found else _MISSING
        else:
            value = found.get(parsed, _MISSING)
    if value is _MISSING:
        raise CommandError(f"{name}/{tree} has no key {key!r}", Code.NOT_FOUND)
    if as_json and is_set:
        report.emit_json({"key": to_json(parsed)})
    elif as_json:
        report.emit_json({"key": to_json(parsed), "value": to_json(value)})
    elif isinstance(value, str) and not report.is_terminal():
        report.line(value)  # as it is: a file is to hold just that
    else:
        report.line(shown(value))


def put(
    context: typer.Context,
    name: StoreName,
    tree: TreeName,
    key: KeyText,
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="JSON, or as its codec reads it; none in a set."),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the store and the structure if missing.")
    ] = False,
    hashed: Annotated[bool, typer.Option("--hash", help="Make a hash map, not a B-tree.")] = False,
    as_set: AsSet = False,
    key_codec: Annotated[KeyCodec | None, typer.Option(help="Key codec to make it with.")] = None,
    value_codec: Annotated[
        ValueCodec | None, typer.Option(help="Value codec to make it with.")
    ] = None,
    durability: NewDurability = None,
) -> None:
    """Store a value under a key, or add a key to a set, atomically."""
    with (
        open_store(context, name, "c" if create else "w", durability=durability) as store,
        store.transaction(),  # a structure that is made goes again when the item is refused
    ):
        if not create:
            found = keyed(store, tree)
        else:
            codecs = [codec and codec.value for codec in (key_codec, value_codec)]
            found = open_structure(store, tree, *codecs, hashed=hashed, as_set=as_set)
        is_set = isinstance(found, SETS)
        if is_set is (value is not None):
            expected = "no VALUE, for it is a set" if is_set else "a VALUE"
            raise CommandError(f"{name}/{tree}: expected {expected}", Code.USAGE)
        if value is None:
            found.add(parse_key(key, found.key))
        else:
            found[parse_key(key, found.key)] = parse_value(value, found.value)


def rm_key(context: typer.Context, name: StoreName, tree: TreeName, key: KeyText) -> None:
    """Remove a key and its value, atomically."""
    with open_store(context, name, "w") as store:
        found = keyed(store, tree)
        remove = found.remove if isinstance(found, SETS) else found.__delitem__
        try:
            remove(parse_key(key, found.key))
        except KeyError as error:
            if isinstance(error, sj.SpaceJmpError):
                raise
            raise CommandError(f"{name}/{tree} has no key {key!r}", Code.NOT_FOUND) from None


class Range:
    """The part of a structure that `scan` shows, as the options say it.

    Parameters
    ----------
    mapping : BTree, HashMap, SortedSet or Set
    first, last, prefix : str, optional
        What was given for --from, --to and --prefix.
    reverse : bool
    """

    def __init__(
        self,
        mapping: Any,
        first: str | None,
        last: str | None,
        prefix: str | None,
        reverse: bool,
    ) -> None:
        self.mapping = mapping
        self.reverse = reverse
        bounded = first is not None or last is not None
        self.ordered = isinstance(mapping, _ORDERED)
        if not self.ordered and (bounded or prefix is not None or reverse):
            what = "set" if isinstance(mapping, SETS) else "hash map"
            raise CommandError(
                f"{mapping.name!r} is a {what} and has no order: "
                f"--from, --to, --prefix and --reverse are for B-trees and sorted sets"
            )
        if prefix is not None and bounded:
            raise CommandError("--prefix: expected without --from and --to, found with them")
        self.first = None if first is None else parse_key(first, mapping.key, "--from")
        self.last = None if last is None else parse_key(last, mapping.key, "--to")
        self.ends = (True, True)
        if prefix is not None:
            self.first = self._prefix(prefix)
            self.last = successor(self.first)
            if self.last is None and mapping.key == "any":
                self.last = b""  # bytes come right after strings
            self.ends = (True, False)

    def _prefix(self, text: str) -> str | bytes:
        codec = self.mapping.key
        prefix = parse_key(text, "str" if codec == "any" else codec, "--prefix")
        if not isinstance(prefix, str | bytes):
            raise CommandError(f"--prefix: expected keys of codec str or bytes, found {codec!r}")
        return prefix

    def __len__(self) -> int:
        if not self.ordered:
            return len(self.mapping)
        tree: sj.BTree | sj.SortedSet = self.mapping
        with tree.store.read():
            start = 0 if self.first is None else tree.bisect_left(self.first)
            if self.last is None:
                return len(tree) - start
            ends = tree.bisect_right if self.ends[1] else tree.bisect_left
            return max(0, ends(self.last) - start)

    def keys(self) -> Iterator[Any]:
        """Give the keys."""
        if not self.ordered:
            return iter(self.mapping)
        found: Iterator[Any] = self.mapping.irange(self.first, self.last, self.ends, self.reverse)
        return found

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Give the (key, value) pairs."""
        if not self.ordered:
            return iter(self.mapping.items())
        found: Iterator[tuple[Any, Any]] = self.mapping.irange_items(
            self.first, self.last, self.ends, self.reverse
        )
        return found


def successor(prefix: str | bytes) -> Any:
    r"""Find the least key that is greater than all keys with this prefix; None: there is none.

    Examples
    --------
    >>> successor("ab"), successor(b"a\xff"), successor(b"\xff")
    ('ac', b'b', None)
    """
    if isinstance(prefix, bytes):
        stem = prefix.rstrip(b"\xff")
        return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
    trimmed = prefix.rstrip("\U0010ffff")
    if not trimmed:
        return None
    following = ord(trimmed[-1]) + 1
    return trimmed[:-1] + chr(0xE000 if following == 0xD800 else following)


def scan(
    context: typer.Context,
    name: StoreName,
    tree: TreeName,
    first: Annotated[
        str | None, typer.Option("--from", metavar="KEY", help="The first key, if it is there.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="KEY", help="The last key, itself included.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only keys that begin so (str, bytes).")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="At most so many items.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Greatest key first.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Keys only.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the items of a structure, or of a range of a B-tree or sorted set, in key order."""
    with open_store(context, name) as store:
        part = Range(keyed(store, tree), first, last, prefix, reverse)
        if count:
            number = len(part) if limit is None else min(len(part), limit)
            if as_json:
                report.emit_json({"count": number})
            else:
                report.line(str(number))
        elif keys or isinstance(part.mapping, SETS):
            for key in itertools.islice(part.keys(), limit):
                if as_json:
                    report.emit_json({"key": to_json(key)})
                else:
                    report.line(shown(key))
        elif as_json:
            for key, value in itertools.islice(part.items(), limit):
                report.emit_json({"key": to_json(key), "value": to_json(value)})
        else:
            _print_items(itertools.islice(part.items(), limit))


_WIDTH_ROWS = 200
_WIDTH_MAX = 48


def _print_items(items: Iterator[tuple[Any, Any]]) -> None:
    """Print keys and values: a tab between them, or aligned columns on a terminal."""
    if not report.is_terminal():
        for key, value in items:
            report.line(f"{shown(key)}\t{shown(value)}")
        return
    head = [(shown(key), shown(value)) for key, value in itertools.islice(items, _WIDTH_ROWS)]
    width = min(max((len(key) for key, _ in head), default=0), _WIDTH_MAX)
    begin, end = report.key_style()
    rest = ((shown(key), shown(value)) for key, value in items)
    for key, value in itertools.chain(head, rest):
        report.line(f"{begin}{key:<{width}}{end}  {value}")
    sys.stdout.flush()
