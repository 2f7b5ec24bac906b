# SPDX-License-Identifier: Apache-2.0
"""The command `load`: rows of a file into a structure, in transactions.

Rows go in by batches, each of which is one transaction: whatever ends the load, each batch is there
as a whole or not at all, and a failure says how many rows were committed. Loading the same file
again ends in the same place. ``--atomic`` makes one transaction of all.

A batch is read before its transaction begins, so that others wait for memory only, not for the
disk; with ``--atomic`` they wait until the end.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from enum import Enum
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.exits import CommandError, code_of, describe
from spacejmp.apps.interrupts import interrupts_wait
from spacejmp.apps.items import SETS, open_structure
from spacejmp.apps.progress import Progress
from spacejmp.apps.rows import (
    FORMATS,
    Row,
    RowError,
    Source,
    format_of,
    infer,
    open_source,
    rows_of,
)
from spacejmp.apps.settings import (
    AsJson,
    AsSet,
    Durability,
    KeyCodec,
    NewDurability,
    StoreName,
    ValueCodec,
    open_store,
)
from spacejmp.apps.text import parse_key, parse_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["load"]

BATCH_ROWS = 10_000


class Form(str, Enum):
    """The formats that can be read."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    MSGPACK = "msgpack"


class OnDuplicate(str, Enum):
    """What to do with a row whose key is there already."""

    REPLACE = "replace"
    KEEP = "keep"
    ERROR = "error"


class Target(NamedTuple):
    """Where rows go, and how."""

    tree: str
    hashed: bool
    as_set: bool
    key_codec: str | None
    value_codec: str | None
    on_duplicate: OnDuplicate
    form: str
    value_column: str | None
    types: bool
    durability: Durability | None

    @property
    def is_text(self) -> bool:
        """Whether keys and values are text that the codecs are to read."""
        return self.form in ("csv", "tsv")


class Counts:
    """What a load has done; all of it is committed."""

    def __init__(self) -> None:
        self.rows = 0
        self.replaced = 0
        self.kept = 0
        self.transactions = 0
        self.items = 0
        self.line = 0

    def add(self, batch: list[Row], replaced: int, kept: int) -> None:
        """Count a batch that is committed."""
        self.rows += len(batch)
        self.transactions += 1
        self.replaced += replaced
        self.kept += kept
        self.line = batch[-1].line

    def note(self, atomic: bool) -> str:
        """Say what was done, for a load that failed."""
        if atomic or not self.rows:
            return "nothing was changed"
        return (
            f"{self.rows:,} rows were committed, up to line {self.line:,}; load it again to go on"
        )


class Loader:
    """Puts batches of rows into a structure.

    Parameters
    ----------
    store : Store
    source : Source
        Where the rows come from, for messages.
    target : Target
    """

    def __init__(self, store: sj.Store, source: Source, target: Target) -> None:
        self.store = store
        self.counts = Counts()
        self._source = source
        self._target = target
        self._mapping: Any = None
        self._is_set = False
        self._read_key: Callable[[str], Any] | None = None
        self._read_value: Callable[[str], Any] | None = None

    @property
    def mapping(self) -> Any:
        """The structure; made on first use, inside the transaction of the first batch."""
        if self._mapping is None:
            target = self._target
            keys, values = target.key_codec, target.value_codec
            if target.tree not in self.store:
                plain = "any" if not target.is_text or target.types else "str"
                keys, values = keys or plain, values or (None if target.as_set else "any")
            made = open_structure(
                self.store, target.tree, keys, values, hashed=target.hashed, as_set=target.as_set
            )
            self._is_set = isinstance(made, SETS)
            if self._is_set and target.value_column is not None:
                raise CommandError(f"{made.name!r} is a set: expected no --value")
            if (
                not self._is_set
                and made.value not in ("any", "pickle")
                and target.value_column is None
            ):
                raise CommandError(
                    f"{made.name!r} holds one {made.value} for each key: expected --value COLUMN "
                    f"to say which, found none"
                )
            self._mapping = made
            if target.is_text:
                self._read_key = _key_reader(made.key, target.types)
                if target.value_column is not None:
                    self._read_value = _value_reader(made.value, target.types)
        return self._mapping

    def put(self, batch: list[Row]) -> None:
        """Store a batch, in a transaction of its own (or inside another one)."""
        replaced = kept = 0
        with ExitStack() as committing:
            with self.store.transaction():
                mapping = self.mapping
                before = len(mapping)
                for row in batch:
                    kept += self._put_row(mapping, row)
                if self._target.on_duplicate is OnDuplicate.REPLACE:
                    replaced = len(batch) - (len(mapping) - before)
                committing.enter_context(interrupts_wait())  # what is committed is counted
            if batch:
                self.counts.add(batch, replaced, kept)

    def _put_row(self, mapping: Any, row: Row) -> bool:
        """Store a row; whether an earlier one was kept instead."""
        try:
            key, value, _ = row
            if self._read_key is not None:
                key = self._read_key(key)
            if self._read_value is not None:
                value = self._read_value(value)
            if self._target.on_duplicate is not OnDuplicate.REPLACE and key in mapping:
                if self._target.on_duplicate is OnDuplicate.KEEP:
                    return True
                raise CommandError(f"expected new keys only (--on-duplicate error), found {key!r}")
            if self._is_set:
                mapping.add(key)
            else:
                mapping[key] = value
        except CommandError as error:
            raise RowError(self._source, row.line, str(error)) from None
        except sj.TooLargeError as error:
            raise RowError(self._source, row.line, str(error)) from None
        except sj.SpaceJmpError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise RowError(self._source, row.line, str(error)) from None
        return False


def _key_reader(codec: str, types: bool) -> Callable[[str], Any] | None:
    """Choose what makes a key of a field's text; None: the text is the key."""
    if codec == "any":
        return infer if types else None
    return None if codec == "str" else partial(parse_key, codec=codec, what="key")


def _value_reader(codec: str, types: bool) -> Callable[[str], Any] | None:
    """Choose what makes a value of a field's text; None: the text is the value."""
    if codec in ("any", "pickle"):
        return infer if types else None
    return None if codec == "str" else partial(parse_value, codec=codec, what="value")


def load(
    context: typer.Context,
    name: StoreName,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help=".csv, .tsv, .jsonl, .msgpack; .gz; - is stdin.")
    ],
    key: Annotated[str, typer.Option("--key", metavar="COLUMN", help="Has the keys.")],
    value: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Has the values; else a dict of all other columns."),
    ] = None,
    tree: Annotated[
        str | None,
        typer.Option(metavar="TREE", help="Structure to load into; else the file's name."),
    ] = None,
    hashed: Annotated[bool, typer.Option("--hash", help="Make a hash map, not a B-tree.")] = False,
    as_set: AsSet = False,
    key_codec: Annotated[
        KeyCodec | None,
        typer.Option(
            help="Key codec of a new structure; else str, or any (jsonl, msgpack, --types)."
        ),
    ] = None,
    value_codec: Annotated[
        ValueCodec | None, typer.Option(help="Value codec of a new structure; else any.")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="Format; else by the file's name.")
    ] = None,
    types: Annotated[
        bool, typer.Option("--types", help="csv, tsv: 17 is an int, 1.5 a float, nothing None.")
    ] = False,
    on_duplicate: Annotated[
        OnDuplicate,
        typer.Option(help="A key that is there already: the last, the first, a failure."),
    ] = OnDuplicate.REPLACE,
    batch: Annotated[
        int, typer.Option(min=1, metavar="ROWS", help="Rows in each transaction.")
    ] = BATCH_ROWS,
    atomic: Annotated[bool, typer.Option("--atomic", help="All rows in one transaction.")] = False,
    durability: NewDurability = None,
    as_json: AsJson = False,
) -> None:
    """Load the rows of a file into a structure, made if missing."""
    kind = form.value if form is not None else format_of(file)
    if kind is None:
        raise CommandError(
            f"{file}: expected --format, or a name that ends in one of {', '.join(FORMATS)}"
        )
    if tree is None and file == "-":
        raise CommandError("stdin has no name: expected --tree, found none")
    target = Target(
        tree or _stem(file),
        hashed,
        as_set,
        key_codec and key_codec.value,
        value_codec and value_codec.value,
        on_duplicate,
        kind,
        value,
        types,
        durability,
    )
    begun = perf_counter()
    with open_source(file) as source:
        # One value is read as its codec says, which is not known yet.
        convert = infer if types and value is None else None
        rows = rows_of(source, kind, key, value, convert)
        with Progress(f"{name}/{target.tree}", source) as progress:
            loader = _run(context, name, source, rows, target, batch, atomic, progress)
        _finish(loader, name, target, source, perf_counter() - begun, as_json)


def _stem(file: str) -> str:
    base = os.path.basename(file)
    if base.lower().endswith(".gz"):
        base = base[:-3]
    return os.path.splitext(base)[0] or base


def _run(
    context: typer.Context,
    name: str,
    source: Source,
    rows: Iterator[Row],
    target: Target,
    batch_rows: int,
    atomic: bool,
    progress: Progress,
) -> Loader:
    """Move all rows; an exception says how many were committed."""
    loader = None
    try:
        batch = list(islice(rows, batch_rows))  # a file that cannot be read makes no store
        store = open_store(context, name, "c", durability=target.durability)
        with store:
            loader = Loader(store, source, target)
            with store.transaction() if atomic else nullcontext():
                loader.put(batch)
                while batch:
                    progress.advance(len(batch))
                    batch = list(islice(rows, batch_rows))
                    loader.put(batch)
            loader.counts.items = len(loader.mapping)
    except (Exception, KeyboardInterrupt) as error:
        note = "nothing was changed" if loader is None else loader.counts.note(atomic)
        raise CommandError(describe(error), code_of(error), note) from error
    return loader


def _finish(
    loader: Loader, name: str, target: Target, source: Source, seconds: float, as_json: bool
) -> None:
    counts = loader.counts
    rate = counts.rows / seconds if seconds > 0 else 0.0
    if as_json:
        report.emit_json(
            {
                "store": name,
                "tree": target.tree,
                "rows": counts.rows,
                "replaced": counts.replaced,
                "kept": counts.kept,
                "items": counts.items,
                "transactions": counts.transactions,
                "bytes_read": source.bytes_read,
                "seconds": seconds,
                "rows_per_second": rate,
            }
        )
        return
    same = ""
    if counts.replaced:
        same = f"; {counts.replaced:,} replaced an earlier value of their key"
    if counts.kept:
        same = f"; {counts.kept:,} left out, for their key was there"
    report.line(
        f"{name}/{target.tree}: {counts.rows:,} rows in {seconds:.2f} s ({rate:,.0f} rows/s){same}"
        f"; {counts.items:,} items now"
    )
