# SPDX-License-Identifier: Apache-2.0
"""`List`: a list that lives in a named store."""

from __future__ import annotations

import operator
from collections.abc import Iterable, MutableSequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from spacejmp.structures._list import ListCore
from spacejmp.structures._sequence import SequenceCore

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from spacejmp.structures.store import Store

__all__ = ["List", "Positions"]


class Positions(SequenceCore):
    """What `List` and `SortedList` do by positions, on top of the kernel."""

    __slots__ = ()

    store: Store

    def _get_slice(self, index: slice) -> list[Any]:
        with self.store.read():
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._read(start, stop)
            positions = range(start, stop, step)
            if len(positions) == 0:
                return []
            low = min(positions[0], positions[-1])
            if abs(step) <= 8:  # reading what lies between is cheaper than looking for each
                return self._read(low, max(positions[0], positions[-1]) + 1)[:: abs(step)][
                    :: 1 if step > 0 else -1
                ]
            return [self[position] for position in positions]

    def _delete_slice(self, index: slice) -> None:
        with self.store.write():
            start, stop, step = index.indices(len(self))
            if step == 1:
                self._remove_range(start, stop)
                return
            positions = range(start, stop, step)
            if len(positions) == 0:
                return
            with self.store.transaction():
                for position in positions if step < 0 else reversed(positions):
                    self.pop(position)

    def _snapshot(self) -> list[Any]:
        return self._get_slice(slice(None))

    def _search(self, value: Any, start: int, stop: int) -> int:
        """The first position of the value there, or −1. Read in one hold."""
        with self.store.read():
            for position, item in enumerate(self._iterate(start, stop, False), start):
                if item is value or item == value:
                    return position
        return -1

    def copy(self) -> list[Any]:
        """Make a plain list of all items, in memory, as of one moment. O(n)."""
        return self._snapshot()

    # -- comparing ----------------------------------------------------------------------------

    def _other(self, other: object) -> list[Any] | None:
        """What compares with this one, as a list; None: nothing that does."""
        if isinstance(other, Positions):
            return other._snapshot()
        return other if isinstance(other, list) else None

    def _compare(self, other: object, compare: Callable[[Any, Any], bool]) -> bool:
        items = self._other(other)
        return NotImplemented if items is None else compare(self._snapshot(), items)

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        items = self._other(other)
        if items is None:
            return NotImplemented
        return len(self) == len(items) and self._snapshot() == items

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: object) -> bool:
        return self._compare(other, operator.lt)

    def __le__(self, other: object) -> bool:
        return self._compare(other, operator.le)

    def __gt__(self, other: object) -> bool:
        return self._compare(other, operator.gt)

    def __ge__(self, other: object) -> bool:
        return self._compare(other, operator.ge)

    def __add__(self, other: Iterable[Any]) -> Any:
        """A plain list of the items of both, in memory."""
        items = self._other(other)
        if items is None:
            return NotImplemented
        return self._snapshot() + items

    def __radd__(self, other: Iterable[Any]) -> list[Any]:
        if not isinstance(other, list):
            return NotImplemented
        return other + self._snapshot()

    def __mul__(self, times: SupportsIndex) -> Any:
        return self._snapshot() * times

    __rmul__ = __mul__


class List(ListCore, Positions, MutableSequence[Any]):
    """A list in a named store: a B+tree of positions.

    It behaves as `list` does, and is made by `Store.list`. Nothing is loaded when it is opened.
    Equal to a plain list of the same items; slices, `copy`, `+` and `*` give plain lists.

    Each operation is atomic by itself, `extend`, `sort` and the replacing of a slice included;
    `Store.transaction` makes several of them atomic together.

    Iterators are live, and go by position as those of a plain list do: one that meets a change, by
    this thread or by another process, goes on with what is at the next position then.

    A value that is changed after it was read is not changed in the list: store it again.

    Complexity
    ----------
    `append`, `pop()`, `len` O(1); an item by its position, one after the other O(1), else O(log n);
    `insert`, `del`, `pop(i)` O(log n) and moving half a leaf (2 KiB), not the rest of the list;
    `in`, `index`, `count`, `remove` O(n).

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
        A value is larger than the store can hold.
    SpaceFullError
        The disk, or the store's reserve, is full; nothing has changed.
    ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
        The store was opened with flag "r", is closed, is held by others beyond the timeout, is
        damaged.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     steps = store.list("steps", value="str")
    ...     steps.extend(["measure", "cut"])
    ...     steps.insert(1, "measure again")
    ...     steps[-1], steps[:2], len(steps)
    ('cut', ['measure', 'measure again'], 3)
    """

    __slots__ = ()

    def __contains__(self, value: object) -> bool:
        return self._search(value, 0, len(self)) >= 0

    def index(self, value: Any, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> int:
        """The first position of a value, at the positions from `start` to `stop`.

        Raises
        ------
        ValueError
            It is not there.

        Complexity
        ----------
        O(n).
        """
        with self.store.read():
            first, end, _ = slice(start, stop).indices(len(self))
            found = self._search(value, first, end)
        if found < 0:
            raise ValueError(f"{value!r} is not in list")
        return found

    def count(self, value: Any) -> int:
        """How many items equal a value. O(n)."""
        with self.store.read():
            return sum(item is value or item == value for item in self)

    def remove(self, value: Any) -> None:
        """Remove the first item that equals a value; ValueError when there is none. O(n)."""
        with self.store.write():
            found = self._search(value, 0, len(self))
            if found < 0:
                raise ValueError("list.remove(x): x not in list")
            del self[found]

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sort the items, stably, as one atomic operation.

        Parameters
        ----------
        key : callable, optional
            What an item is compared by. It is called inside the write hold.
        reverse : bool
            From the largest to the smallest.

        Raises
        ------
        TypeError
            Items do not compare; nothing has changed.
        ValueError
            `key` has changed the list.

        Complexity
        ----------
        O(n log n) time; the items are in memory meanwhile, but for a list of codec "int" without a
        key: then 8 bytes for each.

        Durability
        ----------
        One atomic operation; values are not written again, only their order.
        """
        if key is None and self.value == "int":
            self._sort_numbers(reverse)
            return
        with self.store.write():
            items = self._snapshot()
            by = items if key is None else [key(item) for item in items]
            self._reorder(sorted(range(len(items)), key=by.__getitem__, reverse=reverse))

    def _set_slice(self, index: slice, values: Iterable[Any]) -> None:
        if not isinstance(values, Iterable):
            raise TypeError("can only assign an iterable")
        values = list(values)  # it may be this list, and it may be long to make
        with self.store.write():
            start, stop, step = index.indices(len(self))
            if step == 1:
                self._replace(start, max(start, stop), values)
                return
            positions = range(start, stop, step)
            if len(positions) != len(values):
                raise ValueError(
                    f"attempt to assign sequence of size {len(values)} to extended slice of size "
                    f"{len(positions)}"
                )
            with self.store.transaction():
                for position, value in zip(positions, values, strict=True):
                    self[position] = value

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        """Repeat the items; one atomic operation."""
        number = operator.index(times)
        with self.store.write():
            if number <= 0:
                self.clear()
            elif number > 1:
                self.extend(self._snapshot() * (number - 1))
        return self

    def __repr__(self) -> str:
        return self._describe("List", "value")
