# SPDX-License-Identifier: Apache-2.0
"""`Columns`: a table of columns in a named store, which NumPy looks at where they lie."""

from __future__ import annotations

import operator
from collections import namedtuple
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spacejmp.structures._columns import ColumnsCore
from spacejmp.structures.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from spacejmp.structures.store import Store

    _Names = tuple[str, ...]
    _Types = tuple[np.dtype[Any], ...]
else:
    np = Lazy("numpy")

__all__ = ["Columns"]

_BATCH = 1024  # rows that an iteration reads at once


@lru_cache(maxsize=64)
def _row_type(names: tuple[str, ...], types: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    return np.dtype(list(zip(names, types, strict=True)))


@lru_cache(maxsize=64)
def _row_class(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024  # made of names that data has


class Columns(ColumnsCore):
    """A table in a named store: columns of one type each, to which rows are appended.

    Made by `Store.columns`. ``t["flag"]``, or ``t.flag``, is the column as a NumPy array: memory of
    the store, without a copy, as long as the table is now. ``t[i]`` is a row, ``t[a:b]`` a copy of
    some as an array of structs. Nothing is loaded when it is opened.

    What is said of views in `Array` holds for those of columns. Appending beside them is fine as
    long as there is room (`reserve`); a table that has to grow while somebody looks at a column is
    a `LiveViewsError`, a `BufferError` as of a `bytearray`. Inside of a transaction that has moved
    the columns, by growing or sorting, what is given is a read-only copy.

    Complexity
    ----------
    `append`, `extend` O(values), amortised: the room doubles when it is used up. ``t["flag"]``,
    `len`, `truncate`, `clear` O(1), but for what a transaction logs. `sort_by` O(n log n).

    Durability
    ----------
    Each change is atomic, and durable when the operation returns, or, inside a transaction, when
    its block ends. What is stored through a view survives the death of any process at once.

    Raises
    ------
    NotFoundError, ReadOnlyError, DetachedError, SpaceBusyError, SpaceFullError, CorruptError
        As of any structure.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     reads = store.columns("reads", {"flag": "u2", "pos": "i4"})
    ...     reads.append(flag=16, pos=300)
    ...     reads.extend({"flag": [0, 4], "pos": [100, 200]})
    ...     int(reads["pos"].max()), int(reads[0].flag), len(reads)
    ...     reads.sort_by("pos")
    ...     reads[:2].tolist()
    (300, 16, 3)
    [(0, 100), (4, 200)]
    """

    __slots__ = ()

    store: Store

    # -- what it is ---------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, in their order."""
        return self._about()[0]

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """The types of its columns, by name."""
        names, types, _, _ = self._about()
        return dict(zip(names, types, strict=True))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a row, as a struct."""
        names, types, _, _ = self._about()
        return _row_type(names, types)

    @property
    def capacity(self) -> int:
        """How many rows there is room for."""
        return self._about()[3]

    # -- looking ------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        """A column by its name; a row by its number; a copy of rows by a slice."""
        if isinstance(index, str):
            return self._column(index)
        if not isinstance(index, slice):
            return self._row(operator.index(index))
        start, stop, step = index.indices(len(self))
        if step < 0:
            start, stop = stop + 1, start + 1
        found = self._rows(max(start, 0), max(stop, 0))
        return found[::step] if step > 0 else found[::-1][::-step]

    def __getattr__(self, name: str) -> NDArray[Any]:
        found = None if name.startswith("_") else self._look(name)
        if found is None:
            raise AttributeError(f"{self._title()} has no column or attribute {name!r}")
        return found

    def __iter__(self) -> Iterator[Any]:
        """Rows, in order; those that are appended meanwhile too."""
        start = 0
        while len(rows := self._rows(start, start + _BATCH)):
            row = _row_class(rows.dtype.names)
            for values in rows:
                yield row(*values)
            start += len(rows)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self._title()} has its columns apart: an array of it is a copy")
        rows = self._rows(0, len(self))
        return rows if dtype is None else rows.astype(dtype)

    # -- rows in ------------------------------------------------------------------------------

    def append(self, row: Any = None, /, **values: Any) -> None:
        """Append one row: a sequence or mapping of its values, or the values by name.

        Raises
        ------
        TypeError, ValueError, OverflowError
            Values are missing, or do not fit their columns.
        LiveViewsError
            The table has to grow, and somebody looks at a column.
        """
        if row is None:
            row = values
        elif values:
            raise TypeError("append: expected a row, or its values by name, found both")
        self._put(lambda names, types: (_rows_of([row], names, types), 1))

    def extend(self, rows: Mapping[str, ArrayLike] | NDArray[Any] | Iterable[Any]) -> None:
        """Append rows, all or none: arrays by column, an array of structs, or row after row.

        Parameters
        ----------
        rows : mapping, numpy.ndarray or iterable
            Columns of equal length by name; an array of structs with fields of these names; or
            sequences of values (or mappings), one for each row.

        Raises
        ------
        TypeError, ValueError, OverflowError
            Columns are missing, of different length, or do not fit their types.
        LiveViewsError
            The table has to grow, and somebody looks at a column.
        """
        if isinstance(rows, Columns):
            rows = rows._rows(0, len(rows))
        if isinstance(rows, np.ndarray) and rows.dtype.names is not None:
            rows = {name: rows[name] for name in rows.dtype.names}
        if isinstance(rows, Mapping):
            given = rows
            self._put(lambda names, types: _columns_of(given, names, types))
        else:
            listed = list(rows)
            self._put(lambda names, types: (_rows_of(listed, names, types), len(listed)))

    def _put(self, make: Callable[[_Names, _Types], tuple[list[NDArray[Any]], int]]) -> None:
        """Append what is made for its columns: for those that it had last, if it still has them."""
        schema = self._schema()
        while True:
            try:
                arrays, rows = make(*schema)
                if self._append(arrays, rows):
                    return
            except (TypeError, ValueError, OverflowError):
                if self._about()[:2] == schema:
                    raise
            schema = self._about()[:2]  # it was dropped, and is another table by now

    def __setitem__(self, index: int, row: Any) -> None:
        """Replace one row, atomically."""
        with self.store.transaction() as transaction:
            number = self._index(operator.index(index))
            names, types, _, _ = self._about()
            made = _rows_of([row], names, types)
            for at in range(len(names)):
                part = self._key(at)[number : number + 1]
                try:
                    transaction.touch(part)[:] = made[at]
                finally:
                    del part

    # -- the table as a whole -----------------------------------------------------------------

    def reserve(self, rows: int) -> None:
        """Make room for so many rows in all: until then nothing moves.

        Raises
        ------
        LiveViewsError
            Somebody looks at a column.
        """
        self._reserve(_count(rows))

    def truncate(self, rows: int) -> None:
        """Keep the first rows; the room of the others stays. More than there are: nothing changes.

        Views that have been made still see what is overwritten later.
        """
        self._truncate(_count(rows))

    def clear(self) -> None:
        """Remove all rows; their room stays."""
        self._truncate(0)

    def sort_by(self, *names: str, reverse: bool = False) -> None:
        """Sort the rows by a column, or by several, the first one counting most. Stable, atomic.

        Raises
        ------
        LiveViewsError
            Somebody looks at a column.

        Complexity
        ----------
        O(n log n), and a copy of all rows, which takes as much room again until it is done.
        """
        if not names:
            raise TypeError("sort_by: expected the name of a column, or several")
        numbers = [self._number(name) for name in names]
        with self.store.write():
            keys = [self._key(number) for number in reversed(numbers)]
            try:
                order = np.lexsort([key[::-1] for key in keys] if reverse else keys)
            finally:
                keys.clear()
            if reverse:
                order = len(order) - 1 - order[::-1]
            self._order(np.ascontiguousarray(order, dtype=np.uint64))

    # -- for others ---------------------------------------------------------------------------

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` that looks at the columns, without a copy; they are views.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        return import_module("pandas").DataFrame(self._views(), copy=False)

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` that looks at the columns: without a copy, where Arrow has the type.

        Raises
        ------
        ImportError
            pyarrow is not installed.
        """
        arrow = import_module("pyarrow")
        return arrow.table({name: arrow.array(view) for name, view in self._views().items()})

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow C stream interface, by which Polars, DuckDB and others take the columns."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    # -- inside -------------------------------------------------------------------------------

    def _views(self) -> dict[str, NDArray[Any]]:
        """All columns, as they are at one moment."""
        if self.store._space.mode is not None or self.store.readonly:
            return {name: self[name] for name in self.names}
        with self.store.write():
            return {name: self[name] for name in self.names}

    def _no_column(self, name: str) -> KeyError:
        return KeyError(f"{self._title()} has no column {name!r}; it has {self.names}")

    def _column(self, name: str) -> NDArray[Any]:
        found = self._look(name)
        if found is None:
            raise self._no_column(name)
        return found

    def _number(self, name: str) -> int:
        names = self.names
        if name not in names:
            raise self._no_column(name)
        return names.index(name)

    def _index(self, index: int) -> int:
        count = len(self)
        number = index + count if index < 0 else index
        if not 0 <= number < count:
            raise IndexError(f"row {index} of a table of {count}")
        return number

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        while (found := self._copy(start, stop, self.dtype)) is None:
            pass  # it was dropped, and is another table by now
        return found

    def _row(self, index: int) -> Any:
        number = self._index(index)
        found = self._rows(number, number + 1)
        if not len(found):
            raise IndexError(f"row {index} of a table of {len(self)}")
        return _row_class(found.dtype.names)(*found[0])

    def __repr__(self) -> str:
        if not self.store._space.attached:
            return f"<Columns {self._label()} of a closed store>"
        names, types, rows, _ = self._about()
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in zip(names, types, strict=True))
        return f"<Columns {self._label()}, {rows} rows, {columns}>"


def _count(rows: int) -> int:
    number = operator.index(rows)
    if number < 0:
        raise ValueError(f"rows: expected a number ≥ 0, found {rows}")
    return number


def _check_names(names: tuple[str, ...], given: Mapping[str, Any]) -> None:
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        raise TypeError(
            f"expected values of {', '.join(names)}; missing {missing}, unknown {unknown}"
        )


def _rows_of(rows: list[Any], names: _Names, types: _Types) -> list[NDArray[Any]]:
    """The columns of rows, each of which has its values in order or by name."""
    listed = []
    for row in rows:
        if isinstance(row, Mapping):
            _check_names(names, row)
            listed.append(tuple(row[name] for name in names))
        else:
            listed.append(tuple(row))
    made = np.array(listed, dtype=_row_type(names, types))
    return [made[name] for name in names]


def _columns_of(
    columns: Mapping[str, Any], names: _Names, types: _Types
) -> tuple[list[NDArray[Any]], int]:
    """The columns, and how many rows they have."""
    _check_names(names, columns)
    arrays = [
        _column_of(columns[name], dtype, name) for name, dtype in zip(names, types, strict=True)
    ]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise ValueError(f"extend: columns of different length: {sorted(lengths)}")
    return arrays, lengths.pop()


def _column_of(values: ArrayLike, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Values of one column as an array of its type; nothing is cut off silently."""
    base, inner = dtype.base, dtype.shape
    given = values if isinstance(values, np.ndarray) else np.asarray(values, dtype=base)
    if given.ndim != 1 + len(inner) or given.shape[1:] != inner:
        raise ValueError(
            f"column {name!r}: expected an array of shape {('rows', *inner)}, found {given.shape}"
        )
    if given.dtype.kind in "iu" and base.kind in "iu" and given.size:
        limits = np.iinfo(base)
        if given.min() < limits.min or given.max() > limits.max:
            raise OverflowError(f"column {name!r}: {base} has {limits.min} to {limits.max}")
        given = given.astype(base)
    elif given.dtype != base:
        given = given.astype(base, casting="same_kind")
    return np.ascontiguousarray(given) if inner else given
