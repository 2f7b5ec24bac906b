# SPDX-License-Identifier: Apache-2.0
"""`Array`: numbers in a named store, which NumPy looks at where they lie."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from spacejmp.structures._array import ArrayCore
from spacejmp.structures.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from spacejmp.structures.store import Store
else:
    np = Lazy("numpy")

__all__ = ["Array", "shape_of"]


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape as NumPy takes it: a number, or a sequence of them; ValueError."""
    try:
        lengths: tuple[int, ...] = (operator.index(shape),)
    except TypeError:
        lengths = tuple(operator.index(length) for length in shape)
    if any(length < 0 for length in lengths):
        raise ValueError(f"shape: expected numbers ≥ 0, found {lengths}")
    return lengths


class Array(ArrayCore):
    """An array in a named store: its handle, from which `view` gives the NumPy array itself.

    Made by `Store.array`, which gives the NumPy array, and by `Store.new_array`; ``store[name]`` is
    the handle. Nothing is loaded: a view is the memory of the store, at the same address in every
    process, and what one process stores there the others see at once.

    As long as a view lives, or anything that was made of it and shares its memory, in any process:
    the store cannot be closed by the process that has it, its array cannot be dropped or resized by
    anyone (`LiveViewsError`, a `BufferError`), and another store with the same addresses cannot
    be used in that process (`SpaceBusyError`). When a process dies its views are gone. A child of
    `fork` has the views of its parent.

    Stores through a view take no lock, and each counts by itself; to make them atomic together, and
    undone when the process dies in between, `touch` the view in a transaction. Assigning to the
    handle does just that. Views of a store with durability "power" are read-only, but for what
    `touch` gives. A view that is made inside of a read hold is read-only.

    Complexity
    ----------
    A view O(1): a few microseconds, and whatever page of it is used first is faulted in. Reading a
    part O(size of it); assigning O(size), and as much in the transaction's log.

    Durability
    ----------
    What is stored through a view survives the death of any process at once; assignments and what
    was touched are as durable as any change of the store.

    Raises
    ------
    NotFoundError, ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
        It was dropped; the store was opened with flag "r", is closed, is held by others beyond the
        timeout, is damaged.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     depth = store.array("depth", (2, 3), "u2")
    ...     depth[0] = 7
    ...     int(depth.sum())
    ...     del depth
    ...     store["depth"][1, 1:] = 5  # atomic
    ...     store["depth"][:].tolist()
    21
    [[7, 7, 7], [0, 5, 5]]
    """

    __slots__ = ()

    store: Store

    def view(self) -> NDArray[Any]:
        """Return the array itself: memory of the store, without a copy.

        Raises
        ------
        HoldError
            The transaction that is open has made it: it is gone if that is undone.
        SpaceBusyError
            A thread of this process is inside of another store that has the same addresses.
        """
        return self._look()

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its dimensions."""
        return self._about()[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What its items are."""
        return self._about()[1]

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many items it has."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes of all its items."""
        shape, dtype = self._about()
        return int(np.prod(shape, dtype=object)) * dtype.itemsize

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of an array without dimensions")
        return shape[0]

    def __getitem__(self, index: Any) -> Any:
        """A copy of a part, as it is at one moment."""
        with self.store.read():
            view = self._look(True)
            try:
                return np.array(view[index]) if isinstance(view[index], np.ndarray) else view[index]
            finally:
                del view

    def __setitem__(self, index: Any, values: ArrayLike) -> None:
        """Assign to a part: all or nothing, whatever dies."""
        with self.store.transaction() as transaction:
            view = self._look(True)
            try:
                part = _part_of(view, index)
                if part is None:
                    transaction.touch(view)[index] = values
                else:
                    transaction.touch(part)[...] = values
            finally:
                del view
                part = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        view = self._look()
        if copy or (dtype is not None and np.dtype(dtype) != view.dtype):
            if copy is False:
                raise ValueError(f"{self._title()} is of dtype {view.dtype}: {dtype} is a copy")
            return np.array(view, dtype=dtype)
        return view

    def fill(self, value: Any) -> None:
        """Set all items to one value, atomically. O(size)."""
        self[...] = value

    def resize(self, shape: int | tuple[int, ...]) -> None:
        """Give it another size, atomically: items stay in C order, new ones are zeros.

        Parameters
        ----------
        shape : int or tuple of int
            As many dimensions as it has.

        Raises
        ------
        LiveViewsError
            Somebody looks at it: drop the views first.
        InvalidArgumentError, SpaceFullError, ReadOnlyError

        Complexity
        ----------
        O(size): it is copied.

        Durability
        ----------
        As any other change of the store.
        """
        self._reshape(shape_of(shape))

    def __repr__(self) -> str:
        if not self.store._space.attached:
            return f"<Array {self._label()} of a closed store>"
        shape, dtype = self._about()
        return f"<Array {self._label()}, shape {shape}, dtype {dtype}>"


def _part_of(view: NDArray[Any], index: Any) -> NDArray[Any] | None:
    """The memory that an index stands for; None: it is no one view of it."""
    wide = index if isinstance(index, tuple) else (index,)
    if isinstance(index, str | list) or not all(_is_basic(part) for part in wide):
        return None
    if not any(part is Ellipsis for part in wide):
        wide = (*wide, ...)  # so that one item is an array of it, not a copy
    part: NDArray[Any] = view[wide]
    return part


def _is_basic(part: Any) -> bool:
    """Whether an index of one dimension makes no copy."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return True
    return isinstance(part, int | np.integer) and not isinstance(part, bool)
