# SPDX-License-Identifier: Apache-2.0
"""`BTree`: an ordered mapping that lives in a named store."""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from typing import TYPE_CHECKING, Any, overload

from spacejmp.structures._btree import ITEMS, KEYS, VALUES
from spacejmp.structures._mapping import MappingMethods
from spacejmp.structures.ordered import Ordered, order_of

if TYPE_CHECKING:
    from sortedcontainers import SortedDict
    from typing_extensions import Self


__all__ = ["BTree", "SortedItemsView", "SortedKeysView", "SortedValuesView"]


class _Indexed(Sequence[Any]):
    """Positions for a view: what sortedcontainers' views have beyond those of dict."""

    __slots__ = ()
    _mapping: BTree
    _kind: int

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._mapping._at(index, self._kind)


class SortedKeysView(KeysView[Any], _Indexed):
    """The keys of a `BTree`: a live set, in order, with positions.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     keys = store.btree("t", key="int")
    ...     keys.update({3: "c", 1: "a", 2: "b"})
    ...     keys.keys()[0], keys.keys()[1:], 2 in keys.keys()
    (1, [2, 3], True)
    """

    __slots__ = ()
    _kind = KEYS

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._mapping)

    def __contains__(self, key: object) -> bool:
        return key in self._mapping

    def index(self, value: Any, start: int | None = None, stop: int | None = None) -> int:
        """The position of a key; ValueError when it is not there. O(log n)."""
        return self._mapping.index(value, start, stop)

    def count(self, value: Any) -> int:
        """1 when the key is there, else 0."""
        return int(value in self._mapping)


class SortedItemsView(ItemsView[Any, Any], _Indexed):
    """The items of a `BTree`: live, in key order, with positions."""

    __slots__ = ()
    _kind = ITEMS

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._iterate(ITEMS, False)

    def __reversed__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._iterate(ITEMS, True)

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        try:
            found = self._mapping[key]
        except KeyError:
            return False
        return bool(found is value or found == value)


class SortedValuesView(ValuesView[Any], _Indexed):
    """The values of a `BTree`: live, in key order, with positions."""

    __slots__ = ()
    _kind = VALUES

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._iterate(VALUES, False)

    def __reversed__(self) -> Iterator[Any]:
        return self._mapping._iterate(VALUES, True)


class BTree(Ordered, MappingMethods, MutableMapping[Any, Any]):  # type: ignore[misc]  # update
    """An ordered mapping in a named store: a B+tree with order statistics.

    It behaves as `sortedcontainers.SortedDict` does, and is made by `Store.btree`. Nothing is
    loaded when it is opened: every operation works on the nodes where they lie in the store.

    Each operation is atomic by itself; `Store.transaction` makes several of them atomic together.
    Outside any hold an operation takes one for itself.

    Iterators and views are live. An iterator that meets a change, by this thread or by another
    process, goes on after the last key that it gave.

    Complexity
    ----------
    Get, set, delete, `in`, `setdefault`, `increment`, `pop`, `bisect`, `index`, `peekitem`
    O(log n); the next item of an iteration O(1); `len` O(1).

    Durability
    ----------
    A change is durable when the operation returns, or, inside a transaction, when the transaction's
    block ends: what that survives is the store's durability ("process": the death of any process).

    Raises
    ------
    TypeError, ValueError, OverflowError
        A key or a value does not fit the codec.
    TooLargeError
        A key is longer than 1 MiB, or a value larger than the store can hold.
    SpaceFullError
        The disk, or the store's reserve, is full; nothing has changed.
    ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
        The store was opened with flag "r", is closed, is held by others beyond the timeout, is
        damaged.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     genes = store.btree("genes", key="str")
    ...     genes["TP53"] = {"chrom": "chr17"}
    ...     genes["BRCA1"] = {"chrom": "chr17"}
    ...     list(genes), genes.peekitem(0)
    (['BRCA1', 'TP53'], ('BRCA1', {'chrom': 'chr17'}))
    """

    __slots__ = ()

    def keys(self) -> SortedKeysView:
        """A live view of the keys."""
        return SortedKeysView(self)

    def copy(self) -> SortedDict[Any, Any]:
        """Make a `sortedcontainers.SortedDict` of all items, in memory, as they are at one moment.

        Its keys have the order of the tree's, also those of several types (codec "any").

        Complexity
        ----------
        O(n) time and memory.
        """
        from sortedcontainers import SortedDict

        with self.store.read():
            items = list(self.items())
        return SortedDict(order_of(self.key), items)

    def items(self) -> SortedItemsView:
        """A live view of the (key, value) pairs."""
        return SortedItemsView(self)

    def values(self) -> SortedValuesView:
        """A live view of the values, in key order."""
        return SortedValuesView(self)

    def irange_items(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[tuple[Any, Any]]:
        """The (key, value) pairs between two bounds; see `irange`."""
        return self._iterate(ITEMS, reverse, minimum, maximum, *inclusive)

    def peekitem(self, index: int = -1) -> tuple[Any, Any]:
        """The (key, value) pair at a position; IndexError beyond the ends. O(log n)."""
        item: tuple[Any, Any] = self._select(index, ITEMS)
        return item

    def popitem(self, index: int = -1) -> tuple[Any, Any]:
        """Remove and return the pair at a position; KeyError when the tree is empty. O(log n)."""
        with self.store.write():
            if not len(self):
                raise KeyError("popitem(): the tree is empty")
            item: tuple[Any, Any] = self._select(index, ITEMS)
            del self[item[0]]
        return item

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return self._describe("BTree")
