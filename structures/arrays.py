# SPDX-License-Identifier: Apache-2.0
"""`Arrays`: how a store opens and makes its arrays and its tables of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spacejmp._space import Hold
from spacejmp.names import check_root_name
from spacejmp.persistence.errors import (
    CodecMismatchError,
    InvalidArgumentError,
    NotFoundError,
    StructureTypeError,
)
from spacejmp.structures import _array, _columns, _roots
from spacejmp.structures.array import Array, shape_of
from spacejmp.structures.columns import Columns
from spacejmp.structures.dtypes import given_dtype, text_of
from spacejmp.structures.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from spacejmp._space import Space
else:
    np = Lazy("numpy")

__all__ = ["Arrays"]


class Arrays:
    """The part of `Store` that opens arrays and tables of columns."""

    __slots__ = ()

    name: str
    _space: Space

    def array(
        self,
        name: str,
        shape: int | tuple[int, ...] | None = None,
        dtype: DTypeLike | None = None,
    ) -> NDArray[Any]:
        """Open an array by name as NumPy sees it; it is made, of zeros, if missing.

        What it gives is memory of the store, without a copy. As long as it lives the store cannot
        be closed: drop it (``del``) before; `Array`, which ``store[name]`` gives, says more of it.

        Parameters
        ----------
        name : str
            1 to 255 bytes of UTF-8.
        shape : int or tuple of int, optional
            Of a new array; what an old one has to have.
        dtype : numpy.dtype or what makes one, optional
            Likewise; "float64" for a new array. Structs too, but nothing with Python objects in it.

        Returns
        -------
        numpy.ndarray
            Read-only when the store is, inside of a read hold, and when its durability is "power":
            then `touch` in a transaction gives one that can be written to.

        Raises
        ------
        CodecMismatchError
            The array has another shape or another type.
        StructureTypeError
            What has that name is no array.
        NotFoundError
            It is missing, and no shape was given or the store was opened with flag "r".
        TypeError
            The type refers to Python objects.
        HoldError
            The transaction that is open has made it: see `Array.view`.
        SpaceFullError, ReadOnlyError, SpaceBusyError

        Complexity
        ----------
        O(1) for one that is there. A new one takes up its bytes on the disk at once; memory that
        the file had not grown by for it is set to zeros.

        Durability
        ----------
        A new array and its name appear together, in one atomic operation. What is stored into it
        survives the death of any process at once.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     depth = store.array("depth", (2, 3), "u2")
        ...     depth[1] += 4
        ...     depth.tolist()
        ...     del depth
        [[0, 0, 0], [4, 4, 4]]
        """
        raw = check_root_name(name)
        wanted = None if shape is None else shape_of(shape)
        kind = None if dtype is None else given_dtype(dtype)
        root = _roots.find(self._space, raw)
        if root is None:
            if wanted is None:
                raise self._no_root(name)
            root = self._make_array(
                name, raw, wanted, np.dtype(np.float64) if kind is None else kind
            )
        handle: Array = self._as(Array, _array.ARRAY, "array", name, raw, root)
        _check_array(name, handle, wanted, kind)
        return handle.view()

    def new_array(self, shape: int | tuple[int, ...], dtype: DTypeLike = "float64") -> Array:
        """Make an array of zeros that has no name, to be stored in another structure.

        See `new_btree`; the array itself is its `Array.view`.

        Raises
        ------
        TypeError
            The type refers to Python objects.
        SpaceFullError, ReadOnlyError, SpaceBusyError

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     layers = store.hashmap("layers", key="str")
        ...     layers["first"] = store.new_array(3, "i4")
        ...     layers["first"][1] = 7
        ...     layers["first"][:].tolist()
        [0, 7, 0]
        """
        kind = given_dtype(dtype)
        # No collection comes before there is an object of it.
        with Hold(self._space, True, False, None):
            place = _create_array(self._space, None, shape_of(shape), kind)
            made: Array = self._keep(Array, *place, 0, 0)
        return made

    def columns(
        self,
        name: str,
        columns: Mapping[str, DTypeLike] | Iterable[tuple[str, DTypeLike]] | None = None,
        *,
        reserve: int = 0,
    ) -> Columns:
        """Open a table of columns by name; it is made if missing.

        Parameters
        ----------
        name : str
            1 to 255 bytes of UTF-8.
        columns : mapping or pairs of str and dtype, optional
            Of a new table, in their order; what an old one has to have.
        reserve : int
            How many rows a new table has room for at first.

        Returns
        -------
        Columns

        Raises
        ------
        CodecMismatchError
            The table has other columns.
        StructureTypeError
            What has that name is no table of columns.
        NotFoundError
            It is missing, and no columns were given or the store was opened with flag "r".
        TypeError
            A type refers to Python objects.
        SpaceFullError, ReadOnlyError, SpaceBusyError

        Durability
        ----------
        A new table and its name appear together, in one atomic operation.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     reads = store.columns("reads", {"flag": "u2", "pos": "i4"})
        ...     reads.append(flag=16, pos=300)
        ...     reads
        <Columns 'reads', 1 rows, flag: uint16, pos: int32>
        """
        raw = check_root_name(name)
        wanted = None if columns is None else _given_columns(columns)
        root = _roots.find(self._space, raw)
        if root is None:
            if wanted is None:
                raise self._no_root(name)
            given = wanted
            root = self._made(
                raw, name, lambda: _columns.create(self._space, raw, _described(given), reserve)
            )
        handle: Columns = self._as(Columns, _columns.COLUMNS, "table of columns", name, raw, root)
        if wanted is not None and wanted != handle.dtypes:
            raise CodecMismatchError(
                f"{name!r}: expected columns {_shown(wanted)}, found {_shown(handle.dtypes)}: open "
                "it without columns, or drop it first"
            )
        if wanted is not None and list(wanted) != list(handle.names):
            raise CodecMismatchError(
                f"{name!r}: expected columns in the order {list(wanted)}, found "
                f"{list(handle.names)}: open it without columns, or drop it first"
            )
        return handle

    def new_columns(
        self,
        columns: Mapping[str, DTypeLike] | Iterable[tuple[str, DTypeLike]],
        *,
        reserve: int = 0,
    ) -> Columns:
        """Make a table of columns that has no name. See `columns` and `new_btree`."""
        described = _described(_given_columns(columns))
        with Hold(self._space, True, False, None):
            place = _columns.create(self._space, None, described, reserve)
            made: Columns = self._keep(Columns, *place, 0, 0)
        return made

    # -- inside -------------------------------------------------------------------------------

    def _make_array(
        self, name: str, raw: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> _roots.RootRecord:
        return self._made(raw, name, lambda: _create_array(self._space, raw, shape, dtype))

    def _as(
        self, made: Any, block: int, title: str, name: str, raw: bytes, root: _roots.RootRecord
    ) -> Any:
        if root.type != block:
            raise StructureTypeError(
                f"{name!r}: expected {'an' if title[0] == 'a' else 'a'} {title}, found another "
                f"structure: store[{name!r}] opens whatever it is"
            )
        return self._structure(made, name, raw, root)

    def _no_root(self, name: str) -> NotFoundError:
        raise NotImplementedError

    def _made(self, raw: bytes, name: str, create: Callable[[], object]) -> _roots.RootRecord:
        raise NotImplementedError

    def _structure(self, made: Any, name: str, raw: bytes, root: _roots.RootRecord) -> Any:
        raise NotImplementedError

    def _keep(self, made: Any, head: int, serial: int, key: int, value: int) -> Any:
        raise NotImplementedError


def _create_array(
    space: Space, raw: bytes | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[int, int]:
    return _array.create(space, raw, shape, dtype.itemsize, text_of(dtype).encode())


def _check_array(
    name: str, handle: Array, shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None
) -> None:
    if shape is not None and shape != handle.shape:
        raise CodecMismatchError(
            f"{name!r}: expected an array of shape {shape}, found {handle.shape}: open it without "
            f"shape=, or store[{name!r}].resize(...), or drop it first"
        )
    if dtype is not None and dtype != handle.dtype:
        raise CodecMismatchError(
            f"{name!r}: expected an array of dtype {dtype}, found {handle.dtype}: open it without "
            "dtype=, or drop it first"
        )


def _given_columns(
    columns: Mapping[str, DTypeLike] | Iterable[tuple[str, DTypeLike]],
) -> dict[str, np.dtype[Any]]:
    pairs = list(columns.items() if isinstance(columns, Mapping) else columns)
    found = {name: given_dtype(dtype) for name, dtype in pairs}
    for name in found:
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"columns: expected names, found {name!r}")
    if not found or len(found) != len(pairs):
        raise InvalidArgumentError("columns: expected one or more, of different names")
    return found


def _described(columns: dict[str, np.dtype[Any]]) -> list[tuple[bytes, bytes, int]]:
    return [
        (name.encode(), text_of(dtype).encode(), dtype.itemsize) for name, dtype in columns.items()
    ]


def _shown(columns: dict[str, np.dtype[Any]]) -> str:
    return "{" + ", ".join(f"{name}: {dtype}" for name, dtype in columns.items()) + "}"
