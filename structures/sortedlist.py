# SPDX-License-Identifier: Apache-2.0
"""`SortedList`: a list that lives in a named store and is always sorted."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from spacejmp.structures._list import SortedListCore
from spacejmp.structures.list import Positions
from spacejmp.structures.ordered import order_of

if TYPE_CHECKING:
    import sortedcontainers
    from typing_extensions import Self

__all__ = ["SortedList"]


class SortedList(SortedListCore, Positions, Sequence[Any]):
    """A sorted list in a named store; equal values may be in it more than once.

    It behaves as `sortedcontainers.SortedList` does, and is made by `Store.sortedlist`. Nothing is
    loaded when it is opened. Slices give plain lists.

    Each operation is atomic by itself, `update` and the deleting of a slice included;
    `Store.transaction` makes several of them atomic together.

    Iterators are live. One that meets a change, by this thread or by another process, goes on after
    the last item that it gave; that of `islice` goes by position.

    Complexity
    ----------
    `add`, `discard`, `remove`, `del`, `pop(i)` O(log n) and moving half a leaf (2 KiB); `in`,
    `bisect`, `index`, `count` O(log n); an item by its position, one after the other O(1), else
    O(log n); `pop()`, `len` O(1).

    Durability
    ----------
    A change is durable when the operation returns, or, inside a transaction, when the transaction's
    block ends: what that survives is the store's durability ("process": the death of any process).

    Raises
    ------
    IndexError
        There is no such position.
    TypeError, ValueError, OverflowError
        A value does not fit the codec.
    TooLargeError
        A value is longer than 1 MiB.
    SpaceFullError
        The disk, or the store's reserve, is full; nothing has changed.
    ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
        The store was opened with flag "r", is closed, is held by others beyond the timeout, is
        damaged.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     scores = store.sortedlist("scores", key="int")
    ...     scores.update([70, 90, 70])
    ...     scores.add(80)
    ...     list(scores), scores[-1], scores.bisect_left(80), scores.count(70)
    ([70, 70, 80, 90], 90, 2, 2)
    """

    __slots__ = ()

    def update(self, values: Iterable[Any]) -> None:
        """Add the values of an iterable, as one atomic operation.

        Complexity
        ----------
        k values: O(k log k), and then O(n) when there are many (at least a quarter of n), else
        O(k log n).

        Durability
        ----------
        After a crash all of them are there or none.
        """
        self._add_sorted(sorted(values, key=order_of(self.key)))

    def discard(self, value: Any) -> None:
        """Remove a value, one of those that equal it, if there is one. O(log n)."""
        self._discard(value)

    def remove(self, value: Any) -> None:
        """Remove a value, one of those that equal it; ValueError when there is none. O(log n)."""
        if not self._discard(value):
            raise ValueError(f"{value!r} not in list")

    def bisect_left(self, value: Any) -> int:
        """How many items are < `value`. O(log n)."""
        return self._bisect(value, False)

    def bisect_right(self, value: Any) -> int:
        """How many items are ≤ `value`. O(log n)."""
        return self._bisect(value, True)

    bisect = bisect_right

    def count(self, value: Any) -> int:
        """How many items equal a value. O(log n)."""
        with self.store.read():
            return self._bisect(value, True) - self._bisect(value, False)

    def index(self, value: Any, start: int | None = None, stop: int | None = None) -> int:
        """The first position of a value, at the positions from `start` to `stop`.

        Raises
        ------
        ValueError
            It is not there.

        Complexity
        ----------
        O(log n).
        """
        with self.store.read():
            first, end, _ = slice(start, stop).indices(len(self))
            found = max(self._bisect(value, False), first)
            if found < min(self._bisect(value, True), end):
                return found
        raise ValueError(f"{value!r} is not in list")

    def irange(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[Any]:
        """The items between two bounds.

        Parameters
        ----------
        minimum, maximum : optional
            The bounds; None: no bound on that side.
        inclusive : pair of bool
            Whether the bounds belong to the range.
        reverse : bool
            From the maximum down to the minimum.

        Returns
        -------
        iterator

        Complexity
        ----------
        O(log n) to the first item, O(1) for each one.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     letters = store.sortedlist("letters", key="str")
        ...     letters.update("abbcd")
        ...     list(letters.irange("b", "c")), list(letters.irange("b", inclusive=(False, True)))
        (['b', 'b', 'c'], ['c', 'd'])
        """

        def bounds() -> tuple[int, int]:
            start = 0 if minimum is None else self._bisect(minimum, not inclusive[0])
            stop = len(self) if maximum is None else self._bisect(maximum, inclusive[1])
            return start, stop

        bounds()  # a bound of a wrong type is noticed here
        return self._iterate_between(bounds, reverse)

    def islice(
        self, start: int | None = None, stop: int | None = None, reverse: bool = False
    ) -> Iterator[Any]:
        """The items at positions `start` to `stop`, as a slice has them.

        Complexity
        ----------
        O(log n) to the first item, O(1) for each one.
        """
        first, end, _ = slice(start, stop).indices(len(self))
        return self._iterate(first, end, reverse)

    def copy(self) -> sortedcontainers.SortedList[Any]:
        """Make a `sortedcontainers.SortedList` of all items, in memory, as of one moment. O(n).

        Its items have this list's order, also those of several types (codec "any").
        """
        from sortedcontainers import SortedList as InMemory

        return InMemory(self._snapshot(), order_of(self.key))

    def _other(self, other: object) -> list[Any] | None:
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes, Positions)):
            return list(other)
        return super()._other(other)

    def __setitem__(self, index: object, value: object) -> None:
        raise NotImplementedError("a sorted list: use del and add()")

    def append(self, value: object) -> None:
        """Raise NotImplementedError: where a value goes is not for the caller to say."""
        raise NotImplementedError("a sorted list: use add()")

    def extend(self, values: object) -> None:
        """Raise NotImplementedError: `update` adds several."""
        raise NotImplementedError("a sorted list: use update()")

    def insert(self, index: object, value: object) -> None:
        """Raise NotImplementedError: where a value goes is not for the caller to say."""
        raise NotImplementedError("a sorted list: use add()")

    def reverse(self) -> None:
        """Raise NotImplementedError: `reversed` iterates from the end."""
        raise NotImplementedError("a sorted list: use reversed()")

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.update(values)
        return self

    def __add__(self, other: Iterable[Any]) -> sortedcontainers.SortedList[Any]:
        """A sorted list of the items of both, in memory."""
        return self.copy() + other

    __radd__ = __add__

    def __mul__(self, times: SupportsIndex) -> sortedcontainers.SortedList[Any]:
        """A sorted list of each item so many times, in memory."""
        return self.copy() * operator.index(times)

    __rmul__ = __mul__

    def __imul__(self, times: SupportsIndex) -> Self:
        """Have each item so many times; one atomic operation."""
        number = operator.index(times)
        with self.store.write():
            if number <= 0:
                self.clear()
            elif number > 1:
                self.update(self._snapshot() * (number - 1))
        return self

    def __repr__(self) -> str:
        return self._describe("SortedList", "key")
