# SPDX-License-Identifier: Apache-2.0
"""`Ordered`: what `BTree` and `SortedSet` have in common: keys in order, with positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spacejmp.structures._btree import KEYS, BTreeCore
from spacejmp.structures._codec import encode_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spacejmp.structures.store import Store

__all__ = ["Ordered", "order_of"]


def order_of(codec: str) -> Callable[[Any], Any] | None:
    """What to sort Python objects by, so that they have the order of keys; None: themselves."""
    return _any_key if codec == "any" else None


def _any_key(key: Any) -> Any:
    return encode_key("any", key)[0]


class Ordered(BTreeCore):
    """Keys in order: iteration, ranges, positions."""

    __slots__ = ()

    store: Store

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(KEYS, False)

    def __reversed__(self) -> Iterator[Any]:
        return self._iterate(KEYS, True)

    def _at(self, index: int | slice, kind: int) -> Any:
        """What is at a position; of a slice a list, as it is at one moment."""
        if not isinstance(index, slice):
            return self._select(index, kind)
        with self.store.read():
            start, stop, step = index.indices(len(self))
            if step == 1:
                return list(self._iterate_ranks(kind, start, stop, False))
            return [self._select(rank, kind) for rank in range(start, stop, step)]

    def irange(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[Any]:
        """The keys between two bounds.

        Parameters
        ----------
        minimum, maximum : key, optional
            The bounds; None: no bound on that side.
        inclusive : pair of bool
            Whether the bounds belong to the range.
        reverse : bool
            From the maximum down to the minimum.

        Returns
        -------
        iterator of keys
            Of a `BTree`, `irange_items` gives the pairs.

        Complexity
        ----------
        O(log n) to the first key, O(1) for each one.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     t = store.btree("letters", key="str")
        ...     t.update(dict.fromkeys("abcde"))
        ...     list(t.irange("b", "d")), list(t.irange("b", inclusive=(False, True), reverse=True))
        (['b', 'c', 'd'], ['e', 'd', 'c'])
        """
        return self._iterate(KEYS, reverse, minimum, maximum, *inclusive)

    def islice(
        self, start: int | None = None, stop: int | None = None, reverse: bool = False
    ) -> Iterator[Any]:
        """The keys at positions `start` to `stop`, as a slice has them.

        Complexity
        ----------
        O(log n) to the first key, O(1) for each one.
        """
        first, end, _ = slice(start, stop).indices(len(self))
        return self._iterate_ranks(KEYS, first, end, reverse)

    def bisect_left(self, key: Any) -> int:
        """How many keys are < `key`. O(log n)."""
        return self._rank(key, False)

    def bisect_right(self, key: Any) -> int:
        """How many keys are ≤ `key`. O(log n)."""
        return self._rank(key, True)

    bisect = bisect_right

    def index(self, key: Any, start: int | None = None, stop: int | None = None) -> int:
        """The position of a key.

        Parameters
        ----------
        key : key
        start, stop : int, optional
            Look at these positions only, as `list.index` does.

        Raises
        ------
        ValueError
            The key is not there.

        Complexity
        ----------
        O(log n).
        """
        with self.store.read():
            first, end, _ = slice(start, stop).indices(len(self))
            if key in self:
                rank = self._rank(key, False)
                if first <= rank < end:
                    return rank
        raise ValueError(f"{key!r} is not a key of {self.name!r} in that range of positions")
