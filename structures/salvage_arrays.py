# SPDX-License-Identifier: Apache-2.0
"""Arrays and tables of columns of a damaged store, into a new one: their items, as they are.

An item that lies on a page whose checksum does not fit counts as suspect, one on a page that is
not there as unreadable: it is zero. Of a table the rows are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spacejmp.names import check_root_name
from spacejmp.persistence.errors import CorruptError
from spacejmp.structures.dtypes import dtype_of
from spacejmp.structures.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from spacejmp.structures._salvage import Part
    from spacejmp.structures.remains import SalvagedRoot
    from spacejmp.structures.store import Store
else:
    np = Lazy("numpy")

__all__ = ["BLOCKS", "fill", "make", "rows_of", "usable"]

BLOCKS = ("array", "columns")
"""Kinds whose items lie in blocks, as they are."""
_TOGETHER = 1 << 16  # rows of a table that are appended, or written, in one step
_Ranges = list[tuple[int, int]]


def usable(parts: list[Part]) -> list[tuple[Part, np.dtype[Any]]]:
    """Those blocks of which it is known what they are, with their types."""
    found = []
    for part in parts:
        try:
            dtype = dtype_of(part.type.decode("ascii"))
            part.name.decode()
        except (CorruptError, UnicodeDecodeError):
            continue
        if dtype.itemsize == part.item_bytes:
            found.append((part, dtype))
    return found


def make(store: Store, root: SalvagedRoot, parts: list[Part]) -> Any:
    """Make what they are copied into; None: nothing can be read."""
    found = usable(parts)
    if not found:
        return None
    if root.kind == "array":
        ((part, dtype),) = found
        if root.unnamed:
            return store.new_array(part.shape, dtype)
        store._make_array(root.name, check_root_name(root.name), part.shape, dtype)
        return store[root.name]
    columns = {part.name.decode(): dtype for part, dtype in found}
    return store.new_columns(columns) if root.unnamed else store.columns(root.name, columns)


def fill(target: Any, root: SalvagedRoot, parts: list[Part], suspects: bool) -> SalvagedRoot:
    """Copy the items; what was copied."""
    found = usable(parts)
    lacking = len(parts) - len(found)
    items = _items_of(parts)
    suspect = _count(_united(parts, "suspect"))
    unreadable = _count(_united(parts, "lost"))
    if root.kind == "array":
        ((part, dtype),) = found
        _copy_array(target, part, dtype, suspects)
    else:
        for rows in _steps(parts):
            target.extend(
                {part.name.decode(): _rows(part, dtype, *rows, suspects) for part, dtype in found}
            )
    unreadable = items if lacking else unreadable
    return root._replace(
        recovered=items, suspect=max(0, suspect - unreadable), unreadable=unreadable
    )


def rows_of(root: SalvagedRoot, parts: list[Part], suspects: bool) -> Iterator[Any]:
    """The items of an array in the order of C, or the rows of a table as dicts, as Python's own."""
    found = usable(parts)
    for rows in _steps(parts) if found else ():
        columns = [_rows(part, dtype, *rows, suspects).tolist() for part, dtype in found]
        if root.kind == "array":
            yield from columns[0]
            continue
        names = [part.name.decode() for part, _ in found]
        yield from (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


# --- parts --------------------------------------------------------------------------------------


def _items_of(parts: list[Part]) -> int:
    items = 1
    for length in parts[0].shape:
        items *= length
    return items


def _steps(parts: list[Part]) -> Iterator[tuple[int, int]]:
    items = _items_of(parts)
    return ((first, min(items, first + _TOGETHER)) for first in range(0, items, _TOGETHER))


def _copy_array(target: Any, part: Part, dtype: np.dtype[Any], suspects: bool) -> None:
    view = target.view().reshape(-1)
    for first, end in _steps([part]):
        view[first:end] = _rows(part, dtype, first, end, suspects)


def _rows(part: Part, dtype: np.dtype[Any], first: int, end: int, suspects: bool) -> NDArray[Any]:
    """Items in a range; zeros where there are none, or none that are wanted."""
    rows = np.zeros(end - first, dtype)
    there = min(end, len(part.memory) // part.item_bytes)
    if first < there:
        rows[: there - first] = np.frombuffer(
            part.memory, dtype, there - first, first * part.item_bytes
        )
    for begin, stop in _items_in(part.lost if suspects else part.suspect, part.item_bytes):
        if begin < end and first < stop:
            rows[max(begin, first) - first : min(stop, end) - first] = np.zeros((), dtype)
    return rows


def _items_in(ranges: _Ranges, item_bytes: int) -> Iterator[tuple[int, int]]:
    """The items that have some of those bytes."""
    return ((first // item_bytes, -(-end // item_bytes)) for first, end in ranges)


def _united(parts: list[Part], which: str) -> _Ranges:
    """The rows that any of the parts has in its ranges of bytes."""
    ranges: _Ranges = []
    for part in parts:
        there = len(part.memory) // part.item_bytes
        ranges += _items_in(getattr(part, which), part.item_bytes)
        ranges.append((there, _items_of([part])))
    return ranges


def _count(ranges: _Ranges) -> int:
    """How many numbers are in any of the ranges."""
    count = reached = 0
    for first, end in sorted(ranges):
        count += max(0, end - max(first, reached))
        reached = max(reached, end)
    return count
