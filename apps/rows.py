# SPDX-License-Identifier: Apache-2.0
"""Rows of a CSV, TSV, JSON-lines or msgpack file, one after the other.

The file is never read whole: a line or an object at a time, from a file, a gzip file (``.gz``) or
stdin. Whatever is wrong with it is a `RowError` that names the file and the line (msgpack: the
object).

========  ======================================================================================
format    a row
========  ======================================================================================
csv       RFC 4180: fields between commas, quoted with ``"``; first row: the names of the columns
tsv       fields between tabs, quotes are ordinary characters; first row likewise
jsonl     one JSON object a line
msgpack   one map after the other
========  ======================================================================================

Text is UTF-8, with or without a byte order mark; blank lines are skipped.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from spacejmp.apps.exits import Code, CommandError
from spacejmp.apps.jsonform import from_json
from spacejmp.apps.text import key_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FORMATS", "Row", "RowError", "Source", "infer", "open_source", "rows_of"]

FORMATS = ("csv", "tsv", "jsonl", "msgpack")
MSGPACK_BYTES = 256 << 10
LINE_BYTES_MAX = 64 << 20
"""A longer line is no text file: it would be read whole."""


class Row(NamedTuple):
    """One row: its key and value, not yet fitted to codecs, and the line it ends on."""

    key: Any
    value: Any
    line: int


class RowError(CommandError):
    """A file is not what it should be; exit code 2."""

    def __init__(self, source: Source, line: int, message: str) -> None:
        where = f"{source.name}:{line}" if line else source.name
        super().__init__(f"{where}: {message}", Code.USAGE)


class Source:
    """An open input: lines of text, and how much of it has been read.

    Parameters
    ----------
    name : str
        For messages.
    raw : binary file
        What is on the disk, perhaps compressed; its position is the progress.
    plain : binary file
        The same, or what decompresses it.
    total : int or None
        Bytes of `raw`; None when that is not known.
    """

    def __init__(self, name: str, raw: IO[bytes], plain: IO[bytes], total: int | None) -> None:
        self.name = name
        self.total = total
        self.lines_read = 0
        self._raw = raw
        self._plain = plain
        self._bytes = 0

    @property
    def bytes_read(self) -> int:
        """Bytes of `raw` that have been read."""
        return self._bytes if self.total is None else self._raw.tell()

    def read(self, size: int) -> bytes:
        """Give up to so many bytes; none at the end."""
        with self._whole_gzip():
            part = self._plain.read(size)
        self._bytes += len(part)
        return part

    @contextmanager
    def _whole_gzip(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise RowError(self, 0, f"expected a whole gzip file, found: {error}") from None

    def lines(self) -> Iterator[str]:
        """Give the lines, line ends included."""
        while True:
            with self._whole_gzip():
                line = self._plain.readline(LINE_BYTES_MAX + 1)
            if not line:
                return
            self.lines_read += 1
            self._bytes += len(line)
            if len(line) > LINE_BYTES_MAX:
                raise RowError(
                    self, self.lines_read, f"expected lines of at most {LINE_BYTES_MAX >> 20} MiB"
                )
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise RowError(
                    self,
                    self.lines_read,
                    f"expected UTF-8, found byte 0x{line[error.start]:02x} at column "
                    f"{error.start + 1}: convert it, as with iconv -t utf-8",
                ) from None
            yield text.removeprefix("\ufeff") if self.lines_read == 1 else text


def format_of(path: str) -> str | None:
    """Tell the format of a file by its name; None: it does not say."""
    stem = path.lower().removesuffix(".gz")
    suffix = os.path.splitext(stem)[1][1:]
    return {"ndjson": "jsonl", "tab": "tsv", "mpk": "msgpack"}.get(
        suffix, suffix if suffix in FORMATS else None
    )


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Open a file, or stdin for ``-``.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    if path == "-":
        yield Source("stdin", sys.stdin.buffer, sys.stdin.buffer, None)
        return
    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size if raw.seekable() else 0
        plain: IO[bytes] = raw
        if path.lower().endswith(".gz"):
            import gzip

            plain = io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 18)
        yield Source(path, raw, plain, size or None)


def rows_of(
    source: Source, form: str, key: str, value: str | None, convert: Callable[[str], Any] | None
) -> Iterator[Row]:
    """Give the rows of a source.

    Parameters
    ----------
    source : Source
    form : {"csv", "tsv", "jsonl", "msgpack"}
    key : str
        The column, or member, that has the keys.
    value : str or None
        The one that has the values; None: the value is a dict of all others.
    convert : callable or None
        Makes a value of a field's text (csv and tsv); None: the text is the value.

    Raises
    ------
    RowError
        With the file and the line.
    """
    if form == "jsonl":
        return _objects(source, key, value)
    if form == "msgpack":
        return _maps(source, key, value)
    return _records(source, form, key, value, convert)


def _records(
    source: Source, form: str, key: str, value: str | None, convert: Callable[[str], Any] | None
) -> Iterator[Row]:
    csv.field_size_limit(LINE_BYTES_MAX)
    if form == "csv":
        reader = csv.reader(source.lines(), strict=True)
    else:
        reader = csv.reader(source.lines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    key_at = value_at = 0
    begins = 1
    try:
        for fields in reader:
            line, begins = begins, source.lines_read + 1
            if not fields:
                continue
            if header is None:
                header = _header(source, line, fields)
                key_at = _column(source, header, key, line, "--key")
                value_at = -1 if value is None else _column(source, header, value, line, "--value")
                continue
            if len(fields) != len(header):
                raise RowError(source, line, f"expected {len(header)} fields, found {len(fields)}")
            its_key = fields[key_at]
            values: list[Any] = fields if convert is None else [convert(text) for text in fields]
            if value_at >= 0:
                yield Row(its_key, values[value_at], line)
            else:
                others = dict(zip(header, values, strict=True))
                del others[key]
                yield Row(its_key, others, line)
    except csv.Error as error:
        raise RowError(source, source.lines_read, f"expected {form}: {error}") from None
    if header is None:
        raise RowError(source, 1, "expected a row with the names of the columns, found no rows")


def _header(source: Source, line: int, fields: list[str]) -> list[str]:
    twice = sorted({name for name in fields if fields.count(name) > 1})
    if twice:
        raise RowError(
            source, line, f"expected columns with names of their own, found {twice[0]!r} twice"
        )
    return fields


def _column(source: Source, header: list[str], name: str, line: int, option: str) -> int:
    try:
        return header.index(name)
    except ValueError:
        columns = ", ".join(map(repr, header[:12])) + (", …" if len(header) > 12 else "")
        raise RowError(
            source, line, f"expected a column {name!r} ({option}), found {columns}"
        ) from None


def _objects(source: Source, key: str, value: str | None) -> Iterator[Row]:
    for text in source.lines():
        if not text.strip():
            continue
        line = source.lines_read
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RowError(source, line, f"expected a JSON object in one line: {error}") from None
        if type(found) is not dict:
            raise RowError(source, line, f"expected a JSON object, found {type(found).__name__}")
        _check_members(source, line, found, key, value)
        try:
            its_key = key_from_json(found[key])
            if value is None:
                del found[key]
                yield Row(its_key, from_json(found), line)
            else:
                yield Row(its_key, from_json(found[value]), line)
        except ValueError as error:
            raise RowError(source, line, str(error)) from None


def _check_members(
    source: Source, line: int, found: dict[Any, Any], key: str, value: str | None
) -> None:
    for name, option in ((key, "--key"), (value, "--value")):
        if name is not None and name not in found:
            members = ", ".join(map(repr, list(found)[:12])) or "none"
            raise RowError(source, line, f"expected a member {name!r} ({option}), found {members}")


def _maps(source: Source, key: str, value: str | None) -> Iterator[Row]:
    import msgpack  # costs more time than a `get`

    unpacker = msgpack.Unpacker(
        strict_map_key=False, timestamp=3, max_buffer_size=2 * LINE_BYTES_MAX
    )
    number = fed = whole = 0
    try:
        while part := source.read(MSGPACK_BYTES):
            unpacker.feed(part)
            fed += len(part)
            for found in unpacker:
                number += 1
                whole = unpacker.tell()
                if type(found) is not dict:
                    what = type(found).__name__
                    raise RowError(source, number, f"expected a map, found {what}")
                _check_members(source, number, found, key, value)
                its_key = found.pop(key) if value is None else found[key]
                yield Row(its_key, found if value is None else found[value], number)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RowError(source, number + 1, f"expected a msgpack map: {error}") from None
    if whole != fed:
        raise RowError(
            source, number + 1, "expected a whole msgpack map, found the end of the file"
        )


_NUMBER_MAX = 4000  # digits; Python refuses somewhat longer ones
_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?", re.ASCII)


def infer(text: str) -> Any:
    """Make an int, a float or None of a field that looks like one, as ``load --types`` does.

    Examples
    --------
    >>> [infer(text) for text in ("17", "1.5", "2e3", "", "007", "x")]
    [17, 1.5, 2000.0, None, '007', 'x']
    """
    if not text:
        return None
    if len(text) > _NUMBER_MAX:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
