# SPDX-License-Identifier: Apache-2.0
"""`SortedSet`: an ordered set that lives in a named store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from spacejmp.structures import _trees
from spacejmp.structures._btree import KEYS
from spacejmp.structures._mapping import SetMethods
from spacejmp.structures.ordered import Ordered, order_of
from spacejmp.structures.set import SetOperations

if TYPE_CHECKING:
    import sortedcontainers

__all__ = ["SortedSet"]


class SortedSet(Ordered, SetMethods, SetOperations, Sequence[Any]):
    """An ordered set in a named store: the B-tree's kernel, with nothing in the place of values.

    It behaves as `sortedcontainers.SortedSet` does, with positions, slices and ranges, and is made
    by `Store.sortedset`. Nothing is loaded when it is opened.

    `|`, `&`, `-`, `^`, `union` and the like give a plain `set` in memory, as of one moment. What no
    element can be (a `str` in a set of codec "int") is simply not in it there and in comparisons;
    asked by ``in``, or added, it is a TypeError.

    Each operation is atomic by itself. `update`, `|=`, `difference_update` and `-=` are many: one
    for each element; `&=`, `^=`, their methods, and deleting a slice are one transaction.
    `Store.transaction` makes several operations atomic together.

    Iterators are live. One that meets a change, by this thread or by another process, goes on
    after the last element that it gave.

    Complexity
    ----------
    `add`, `discard`, `remove`, `in`, `bisect`, `index`, a position O(log n); the next element of an
    iteration O(1); `len` O(1).

    Durability
    ----------
    A change is durable when the operation returns, or, inside a transaction, when the transaction's
    block ends: what that survives is the store's durability ("process": the death of any process).

    Raises
    ------
    TypeError, ValueError, OverflowError
        An element does not fit the codec.
    TooLargeError
        An element is longer than 1 MiB.
    SpaceFullError
        The disk, or the store's reserve, is full; nothing has changed.
    ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
        The store was opened with flag "r", is closed, is held by others beyond the timeout, is
        damaged.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     days = store.sortedset("days", key="int")
    ...     days.update([3, 1, 2])
    ...     list(days), days[0], days[1:], days.bisect(2), days & {2, 7}
    ([1, 2, 3], 1, [2, 3], 2, {2})
    """

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._at(index, KEYS)

    def __delitem__(self, index: int | slice) -> None:
        with self.store.transaction():
            found = self._at(index, KEYS)
            for value in found if isinstance(index, slice) else (found,):
                self.remove(value)

    def pop(self, index: int = -1) -> Any:
        """Remove and return the element at a position; IndexError when there is none. O(log n)."""
        with self.store.write():
            value = self._at(index, KEYS)
            self.remove(value)
        return value

    def count(self, value: Any) -> int:
        """1 when the element is there, else 0."""
        return int(value in self)

    def copy(self) -> sortedcontainers.SortedSet[Any]:
        """Make a `sortedcontainers.SortedSet` of all elements, in memory, as of one moment. O(n).

        Its elements have this set's order, also those of several types (codec "any").
        """
        from sortedcontainers import SortedSet as InMemory

        return InMemory(self._snapshot(), order_of(self.key))

    def bulk_load(self, items: Iterable[Any], *, fill: int = 100) -> None:
        """Load ascending elements into the empty set, all or nothing.

        Parameters
        ----------
        items : iterable
            Strictly ascending. It is read inside the write hold.
        fill : int
            How full the nodes become, in per cent, 50 to 100: less leaves room for later ones.

        Raises
        ------
        OrderError
            An element is not above the one before it; nothing has changed.
        InvalidArgumentError
            The set is not empty.

        Complexity
        ----------
        O(n), without a search: several times faster than adding.

        Durability
        ----------
        One atomic operation: durable when it returns, and after a crash all of it is there or none.
        """
        if not 50 <= fill <= 100:
            raise ValueError(f"fill: expected 50 to 100 per cent, found {fill}")
        _trees.bulk_load(self, ((value, None) for value in items), None, None, fill)

    def __repr__(self) -> str:
        return self._describe("SortedSet")
