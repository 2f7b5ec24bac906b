# SPDX-License-Identifier: Apache-2.0
"""`Deque`: a sequence with two ends that lives in a named store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, MutableSequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from spacejmp.structures._deque import LEFT, RIGHT, DequeCore

if TYPE_CHECKING:
    from typing_extensions import Self

    from spacejmp.structures.store import Store

__all__ = ["Deque"]


def _in_memory(other: object) -> deque[Any] | None:
    """The other side of an operator; None: it is no deque."""
    if isinstance(other, Deque):
        return other.copy()
    return other if isinstance(other, deque) else None


class Deque(DequeCore):
    """A sequence in a named store that grows and shrinks at both ends in constant time.

    It behaves as `collections.deque` does, `maxlen` included. Made by `Store.deque` and
    `Store.new_deque`. Nothing is loaded when it is opened. For processes that wait for each other
    there is `Queue`.

    Each operation is atomic by itself, also `extend` and `rotate`; `Store.transaction` makes
    several of them atomic together. Outside any hold an operation takes one for itself.

    Where a `collections.deque` raises RuntimeError, an iterator goes on: it is live, and goes by
    position. It gives the items as they are when it comes to them, and as many as there were when
    it began, at most; what is put in or removed before its position shifts those behind it. Inside
    of `Store.read` nothing changes.

    Complexity
    ----------
    At the ends O(1); at an index, one step for each 60 items from the nearer end; `insert` and
    `del` move the items from there to the nearer end; `rotate` moves as many as it is told, at most
    half of them. `len` O(1).

    Durability
    ----------
    A change is durable when the operation returns, or, inside a transaction, when the transaction's
    block ends: what that survives is the store's durability ("process": the death of any process).

    Raises
    ------
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
    ...     last = store.deque("last", value="str", maxlen=3)
    ...     last.extend(["a", "b", "c", "d"])
    ...     last.appendleft("z")
    ...     list(last), last[-1], last.maxlen
    (['z', 'b', 'c'], 'c', 3)
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    store: Store

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(False)

    def __reversed__(self) -> Iterator[Any]:
        return self._iterate(True)

    def extend(self, items: Iterable[Any], /) -> None:
        """Put items at the right end, one after the other, as one atomic operation."""
        self._extend(RIGHT, list(items))

    def extendleft(self, items: Iterable[Any], /) -> None:
        """Put items at the left end, one after the other (so the last of them is leftmost).

        One atomic operation.
        """
        self._extend(LEFT, list(items))

    def copy(self) -> deque[Any]:
        """Make a `collections.deque` of all items, in memory, as they are at one moment. O(n)."""
        with self.store.read():
            return deque(self, self.maxlen)

    def index(self, item: Any, start: int = 0, stop: int | None = None, /) -> int:
        """Return the first position of an item at or after `start` and before `stop`.

        Raises
        ------
        ValueError
            It is not there.

        Complexity
        ----------
        O(n), and the items before `start` are read, too.
        """
        with self.store.read():
            start, stop, _ = slice(start, stop).indices(len(self))
            for i, found in enumerate(islice(self, start, max(start, stop)), start):
                if found is item or found == item:
                    return i
        raise ValueError(f"{item!r} is not in deque")

    def count(self, item: Any, /) -> int:
        """Return how many items equal `item`. O(n)."""
        with self.store.read():
            return sum(1 for found in self if found is item or found == item)

    def remove(self, item: Any, /) -> None:
        """Remove the first item that equals `item`; ValueError when there is none. O(n)."""
        with self.store.write():
            del self[self.index(item)]

    def __contains__(self, item: object) -> bool:
        with self.store.read():
            return any(found is item or found == item for found in self)

    # -- operators ----------------------------------------------------------------------------

    def __iadd__(self, other: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(other)
        return self

    def __add__(self, other: object) -> deque[Any]:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() + right

    def __radd__(self, other: object) -> deque[Any]:
        left = _in_memory(other)
        return NotImplemented if left is None else left + self.copy()

    def __mul__(self, times: int) -> deque[Any]:
        return self.copy() * times

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        with self.store.write():
            if times <= 0:
                self.clear()
            else:
                self.extend(list(self) * (times - 1))
        return self

    def __eq__(self, other: object) -> bool:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() == right

    def __lt__(self, other: object) -> bool:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() < right

    def __le__(self, other: object) -> bool:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() <= right

    def __gt__(self, other: object) -> bool:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() > right

    def __ge__(self, other: object) -> bool:
        right = _in_memory(other)
        return NotImplemented if right is None else self.copy() >= right

    def __repr__(self) -> str:
        maxlen = self.maxlen if self._is_open else None
        return self._describe("Deque", "" if maxlen is None else f", maxlen {maxlen}")


MutableSequence.register(Deque)
