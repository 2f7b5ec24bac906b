# SPDX-License-Identifier: Apache-2.0
"""`HashMap`: an unordered mapping that lives in a named store."""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import TYPE_CHECKING, Any

from spacejmp.structures._hashmap import ITEMS, KEYS, VALUES, HashMapCore
from spacejmp.structures._mapping import MappingMethods
from spacejmp.structures.batches import Batches

if TYPE_CHECKING:
    from typing_extensions import Self

    from spacejmp.structures.store import Store

__all__ = ["HashMap"]


class _Keys(KeysView[Any]):
    __slots__ = ()
    _mapping: HashMap

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._iterate(KEYS)


class _Items(ItemsView[Any, Any]):
    __slots__ = ()
    _mapping: HashMap

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._iterate(ITEMS)


class _Values(ValuesView[Any]):
    __slots__ = ()
    _mapping: HashMap

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._iterate(VALUES)


class HashMap(HashMapCore, Batches, MappingMethods, MutableMapping[Any, Any]):  # type: ignore[misc]
    """A mapping in a named store: extendible hashing over Swiss-table buckets.

    It behaves as `dict` does, but for the order of iteration, which is that of a hash function and
    stays as it is until the map grows. Made by `Store.hashmap`. Nothing is loaded when it is
    opened.

    Each operation is atomic by itself; `Store.transaction` makes several of them atomic together.
    Outside any hold an operation takes one for itself.

    Iterators and views are live: an item that is there throughout an iteration is given once,
    whatever this thread or another process changes meanwhile.

    Complexity
    ----------
    Get, set, delete, `in`, `setdefault`, `increment`, `pop` O(1); the map never stops to rehash:
    the longest pause is the split of one 16 KiB table segment. `len` O(1).

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
    ...     counts = store.hashmap("counts", key="str", value="int")
    ...     for word in "a rose is a rose".split():
    ...         counts[word] = counts.get(word, 0) + 1
    ...     sorted(counts.items())
    [('a', 2), ('is', 1), ('rose', 2)]
    """

    __slots__ = ()

    store: Store

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(KEYS)

    def copy(self) -> dict[Any, Any]:
        """Make a dict of all items, in memory, as they are at one moment. O(n)."""
        with self.store.read():
            return dict(self.items())

    def keys(self) -> KeysView[Any]:
        """A live view of the keys."""
        return _Keys(self)

    def items(self) -> ItemsView[Any, Any]:
        """A live view of the (key, value) pairs."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """A live view of the values."""
        return _Values(self)

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return some pair; KeyError when the map is empty."""
        item: tuple[Any, Any] = self._pop_any(ITEMS)
        return item

    def _item_at(self, first: int) -> tuple[Any, Any]:
        assert first == 0  # positions are for trees
        return next(iter(self.items()))

    def _fill_arrays(self, first: int, count: int, key_rows: Any, value_rows: Any) -> bool:
        assert first == 0
        return self._read_arrays(count, key_rows, value_rows)

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return self._describe("HashMap")
