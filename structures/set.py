# SPDX-License-Identifier: Apache-2.0
"""`Set`: an unordered set that lives in a named store; and what all sets have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spacejmp.structures._hashmap import KEYS, HashMapCore
from spacejmp.structures._mapping import SetMethods

if TYPE_CHECKING:
    from typing_extensions import Self

    from spacejmp.structures.store import Store

__all__ = ["Set", "SetOperations"]


def _has(container: AbstractSet[Any], value: Any) -> bool:
    """Whether it is there; what no element can be is not."""
    with suppress(TypeError, ValueError):  # a type that the codec does not take; NaN
        return value in container
    return False


def _in_memory(values: Iterable[Any]) -> AbstractSet[Any]:
    return values if isinstance(values, AbstractSet) else set(values)


class SetOperations(MutableSet[Any]):
    """What a set does beyond adding, removing and looking up: algebra and comparisons."""

    __slots__ = ()

    store: Store

    # -- as of one moment, into memory --------------------------------------------------------

    def _snapshot(self) -> set[Any]:
        with self.store.read():
            return set(self)

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """Make a `set` of what is in this set or in one of the others. O(n)."""
        return self._snapshot().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        """Make a `set` of what is in this set and in all the others; O(the smaller one)."""
        if not others:
            return self._snapshot()
        first, *rest = map(_in_memory, others)
        with self.store.read():
            if len(first) < len(self):
                found = {value for value in first if _has(self, value)}
            else:
                found = {value for value in self if _has(first, value)}
        return found.intersection(*rest)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        """Make a `set` of what is in this set and in none of the others. O(n)."""
        return self._snapshot().difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """Make a `set` of what is in one of both only. O(n)."""
        return self._snapshot().symmetric_difference(other)

    def __or__(self, other: object) -> set[Any]:
        return self.union(other) if isinstance(other, AbstractSet) else NotImplemented

    __ror__ = __or__

    def __and__(self, other: object) -> set[Any]:
        return self.intersection(other) if isinstance(other, AbstractSet) else NotImplemented

    __rand__ = __and__

    def __sub__(self, other: object) -> set[Any]:
        return self.difference(other) if isinstance(other, AbstractSet) else NotImplemented

    def __rsub__(self, other: object) -> set[Any]:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        with self.store.read():
            return {value for value in other if not _has(self, value)}

    def __xor__(self, other: object) -> set[Any]:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return self.symmetric_difference(other)

    __rxor__ = __xor__

    # -- comparing ----------------------------------------------------------------------------

    def issubset(self, other: Iterable[Any]) -> bool:
        """Whether everything that is here is in the other one. O(n)."""
        there = _in_memory(other)
        with self.store.read():
            return len(self) <= len(there) and all(_has(there, value) for value in self)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Whether everything in the other one is here. O(its size)."""
        with self.store.read():
            return all(_has(self, value) for value in other)

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Whether nothing in the other one is here. O(its size)."""
        with self.store.read():
            return not any(_has(self, value) for value in other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        with self.store.read():
            return len(self) == len(other) and self.issuperset(other)

    def __le__(self, other: object) -> bool:
        return self.issubset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        with self.store.read():
            return len(self) < len(other) and self.issubset(other)

    def __ge__(self, other: object) -> bool:
        return self.issuperset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __gt__(self, other: object) -> bool:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        with self.store.read():
            return len(self) > len(other) and self.issuperset(other)

    __hash__ = None  # type: ignore[assignment]  # as every set that can change

    # -- changes ------------------------------------------------------------------------------

    def update(self, *others: Iterable[Any]) -> None:
        """Add all elements of the others, one by one."""
        for other in others:
            for value in set(self) if other is self else other:
                self.add(value)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove all elements of the others, one by one."""
        for other in others:
            if other is self:
                self.clear()
                continue
            for value in other:
                with suppress(TypeError, ValueError):  # what no element can be
                    self.discard(value)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep what is in all the others too, in one transaction."""
        there = [_in_memory(other) for other in others if other is not self]
        with self.store.transaction():
            gone = [value for value in self if not all(_has(other, value) for other in there)]
            for value in gone:
                self.discard(value)

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        """Remove what is in the other one too, and add the rest of that, in one transaction."""
        if other is self:
            self.clear()
            return
        there = set(other)
        with self.store.transaction():
            for value in there:
                if _has(self, value):
                    self.discard(value)
                else:
                    self.add(value)

    def __ior__(self, other: object) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.update(other)
        return self

    def __iand__(self, other: object) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __isub__(self, other: object) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: object) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self


class Set(HashMapCore, SetMethods, SetOperations):
    """A set in a named store: the hash map's kernel, with nothing in the place of values.

    It behaves as `set` does, made by `Store.set`; the order of iteration is that of a hash
    function. Elements are what the key codec takes, and equal ones are one element. Nothing is
    loaded when it is opened.

    `|`, `&`, `-`, `^`, `union` and the like give a plain `set` in memory, as of one moment; `copy`
    too. What no element can be (a `str` in a set of codec "int") is simply not in it there and in
    comparisons; asked by ``in``, or added, it is a TypeError.

    Each operation is atomic by itself. `update`, `|=`, `difference_update` and `-=` are many: one
    for each element; `&=`, `^=` and their methods are one transaction. `Store.transaction` makes
    several operations atomic together.

    Iterators are live: an element that is there throughout an iteration is given once, whatever
    this thread or another process changes meanwhile.

    Complexity
    ----------
    `add`, `discard`, `remove`, `in`, `pop`, `len` O(1).

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
    ...     seen = store.set("seen", key="str")
    ...     seen.update(["ann", "bob"])
    ...     "ann" in seen, sorted(seen | {"cy"}), seen & {"bob", 7}
    (True, ['ann', 'bob', 'cy'], {'bob'})
    """

    __slots__ = ()

    store: Store

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(KEYS)

    def pop(self) -> Any:
        """Remove and return some element; KeyError when the set is empty."""
        return self._pop_any(KEYS)

    def copy(self) -> set[Any]:
        """Make a `set` of all elements, in memory, as they are at one moment. O(n)."""
        return self._snapshot()

    def __repr__(self) -> str:
        return self._describe("Set")
