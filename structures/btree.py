# SPDX-License-Identifier: Apache-2.0
"""`BTree`: an ordered mapping that lives in a named store."""

from __future__ import annotations

import heapq
import itertools
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
from typing import TYPE_CHECKING, Any, cast, overload

from spacejmp.structures import _trees
from spacejmp.structures._btree import ITEMS, KEYS, VALUES
from spacejmp.structures._mapping import MappingMethods
from spacejmp.structures.batches import Batches, columns_of
from spacejmp.structures.ordered import Ordered, order_of

if TYPE_CHECKING:
    import numpy as np
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


class BTree(Ordered, Batches, MappingMethods, MutableMapping[Any, Any]):
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

    def bulk_load(self, items: Any, values: Any = None, *, fill: int = 100) -> None:
        """Load ascending items into the empty tree, all or nothing.

        Parameters
        ----------
        items : mapping or iterable of pairs; or, with `values`, array or iterable of keys
            Keys strictly ascending. Pairs are read inside the write hold. Arrays as `get_many`
            takes them are fastest: 10 million integers a second and more.
        values : array or iterable of values
            As many as keys.
        fill : int
            How full the nodes become, in per cent, 50 to 100: less leaves room for later inserts.

        Raises
        ------
        OrderError
            A key is not above the one before it; the message has its number.
        InvalidArgumentError
            The tree is not empty.
        TypeError, ValueError, OverflowError
            A key or a value does not fit the codec, or there are more of ones than of the others.
            Whatever is raised, nothing has changed.

        Complexity
        ----------
        O(n), without a search: several times faster than inserting.

        Durability
        ----------
        One atomic operation: durable when it returns, and after a crash all of it is there or none.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     squares = store.btree("squares", key="int", value="int")
        ...     squares.bulk_load(range(5), [0, 1, 4, 9, 16])
        ...     squares.peekitem()
        (4, 16)
        """
        if not 50 <= fill <= 100:
            raise ValueError(f"fill: expected 50 to 100 per cent, found {fill}")
        if values is None:
            _trees.bulk_load(self, items, None, None, fill)
        else:
            _trees.bulk_load(self, (), *columns_of(self, items, values), fill)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store the items of a mapping, or of an iterable of pairs, and the keywords, singly.

        A tree of the same store and key codec goes into an empty one by `bulk_load`.
        """
        if isinstance(other, BTree) and other.store is self.store and other.key == self.key:
            with self.store.write():
                if not len(self) and other is not self:
                    self.bulk_load(other)
                    other = ()
        super().update(other, **more)

    def range_array(
        self, minimum: Any = None, maximum: Any = None, inclusive: tuple[bool, bool] = (True, True)
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The keys between two bounds and their values, as two arrays, as they are at one moment.

        Parameters
        ----------
        minimum, maximum : key, optional
            The bounds; None: no bound on that side.
        inclusive : pair of bool
            Whether the bounds belong to the range.

        Returns
        -------
        keys, values : numpy.ndarray
            As of `keys_array` and `values_array`.

        Raises
        ------
        TypeError
            Keys or values have no such array: `irange_items` takes them as objects.

        Complexity
        ----------
        O(log n) and then O(1) for each item, without an object for it.

        Durability
        ----------
        Nothing is changed.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     squares = store.btree("squares of ints", key="int", value="int")
        ...     squares.update({n: n * n for n in range(10)})
        ...     keys, values = squares.range_array(3, 6, inclusive=(True, False))
        ...     keys.tolist(), values.tolist()
        ([3, 4, 5], [9, 16, 25])
        """
        with self.store.read():
            first = 0 if minimum is None else self._rank(minimum, not inclusive[0])
            end = len(self) if maximum is None else self._rank(maximum, inclusive[1])
            keys, values = self._arrays(first, max(0, end - first), True, True)
        return cast("Any", keys), cast("Any", values)

    def intersection(self, other: BTree) -> Iterator[Any]:
        """The keys that both trees have, ascending.

        Parameters
        ----------
        other : BTree
            With the same key codec. It is fastest in the same store, where the two are merged in C;
            a tree of another store is asked for each key, or read beside this one.

        Returns
        -------
        iterator of keys
            Live, as all iterators: changes of either tree beyond the key given last count, those
            of a tree in another store from the next batch of keys on.

        Raises
        ------
        TypeError
            `other` is no BTree with that key codec.

        Complexity
        ----------
        O(n + m) in all; O(n log m) when n is much smaller than m.

        Durability
        ----------
        Nothing is changed.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     a, b = store.btree("a", key="str"), store.btree("b", key="str")
        ...     a.update(dict.fromkeys("abcde"))
        ...     b.update(dict.fromkeys("bdx"))
        ...     list(a.intersection(b)), list(a.difference(b)), "".join(a.union(b))
        (['b', 'd'], ['a', 'c', 'e'], 'abcdex')
        """
        if self._merges_with(other):
            return _trees.join(self, other, 0)
        return (key for key in self if key in other)

    def difference(self, other: BTree) -> Iterator[Any]:
        """The keys that this tree has and `other` has not, ascending; as `intersection`."""
        if self._merges_with(other):
            return _trees.join(self, other, 1)
        return (key for key in self if key not in other)

    def union(self, other: BTree) -> Iterator[Any]:
        """The keys that either tree has, ascending, each once; as `intersection`."""
        if self._merges_with(other):
            return _trees.join(self, other, 2)
        both = heapq.merge(self, other, key=order_of(self.key))
        return (key for key, _ in itertools.groupby(both))

    def _merges_with(self, other: object) -> bool:
        """Whether both lie in one store. TypeError."""
        if not isinstance(other, BTree) or other.key != self.key:
            found = f"one of codec {other.key!r}" if isinstance(other, BTree) else type(other)
            raise TypeError(f"expected a BTree with keys of codec {self.key!r}, found {found}")
        return other.store is self.store

    def _item_at(self, first: int) -> tuple[Any, Any]:
        return self.peekitem(first)

    def _fill_arrays(self, first: int, count: int, key_rows: Any, value_rows: Any) -> bool:
        return _trees.read_arrays(self, first, count, key_rows, value_rows)

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return self._describe("BTree")
