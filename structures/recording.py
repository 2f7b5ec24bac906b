# SPDX-License-Identifier: Apache-2.0
"""What a `spacejmp.Store` can do with records (`structures.record` has their classes)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from spacejmp.persistence.errors import NotFoundError
from spacejmp.structures._field import Registry
from spacejmp.structures._record import RecordCore, record_free
from spacejmp.structures.record import _form

if TYPE_CHECKING:
    from spacejmp._space import Space
    from spacejmp.structures.store import Store

__all__ = ["RECORD_HEAD", "Recording", "reopen"]

RECORD_HEAD = 16
"""Bytes from a record's head, where references lead, to its first field."""

T = TypeVar("T")


if TYPE_CHECKING:

    class _Store:
        name: str
        _space: Space
        _registry: Registry | None

        def _no_root(self, name: str) -> NotFoundError: ...

else:
    _Store = object


class Recording(_Store):
    """Records of a store."""

    __slots__ = ()

    def new(self, cls: type[T], /, **fields: Any) -> T:
        """Make a record, as one atomic operation.

        The first of a class in a store also makes its type there.

        Parameters
        ----------
        cls : type
            A class made by `record`.
        **fields
            Values of its fields; the others have their defaults.

        Returns
        -------
        record
            It lives as long as something leads to it: a name (``store["first"] = record``), a
            pointer of a record that lives, a reference in a structure, or, in this process, an
            object; or until `collect` or `free`.

        Raises
        ------
        TypeError, ValueError, OverflowError
            A value does not fit its field, or there is no such field.
        InvalidArgumentError
            A pointer to a record of another store.
        RecordTypeError
            The store has a type of that name whose fields are not all among the first of the
            class's.
        SpaceFullError, ReadOnlyError, TooLargeError

        Complexity
        ----------
        O(bytes).

        Durability
        ----------
        Record, strings and type appear together, or not at all.

        Examples
        --------
        >>> @sj.record
        ... class Point:
        ...     x: sj.f64
        ...     y: sj.f64
        >>> with sj.open("demo") as store:
        ...     store.new(Point, y=2)
        Point(x=0.0, y=2.0)
        """
        made: T = self._records().new(self, _form(cls), fields)
        return made

    def free(self, record: Any) -> None:
        """Free a record and its strings, as one atomic operation.

        Objects that stand for it raise `NotFoundError` from now on. Pointers to it are not looked
        for: to follow one is a `NotFoundError`, until its memory is a record of the same type
        again, which nobody can tell from the one that was freed.

        Parameters
        ----------
        record : record
            In this store.

        Raises
        ------
        NotFoundError
            It has been freed before.
        InvalidArgumentError
            It has a name: drop that first. Or a reference to it has been stored in an `any` value:
            `collect` frees it when nothing leads to it.
        TypeError, ReadOnlyError

        Complexity
        ----------
        O(fields).
        """
        if not isinstance(record, RecordCore):
            raise TypeError(f"expected a record, found {type(record).__name__}")
        record_free(record, self._space)

    def at(self, cls: type[T], address: int, /) -> T:
        """Return the record at an address, which a C program or `address_of` has given.

        Parameters
        ----------
        cls : type
            Its class.
        address : int
            Of its first field.

        Returns
        -------
        record

        Raises
        ------
        NotFoundError
            No record begins there, or it has been freed.
        RecordTypeError
            It is of another type, or of one that has other fields.

        Complexity
        ----------
        O(1).
        """
        if not 0 <= address < 1 << 64:
            raise NotFoundError(f"{self.name!r} has no record at {address:#x}")
        found: T = self._records().at(self, _form(cls), address)
        return found

    def _record(self, name: str, raw: bytes) -> Any:
        """The record of a name."""
        found = self._records().named(self, raw)
        if found is None:
            raise self._no_root(name)
        return found

    def _records(self) -> Registry:
        """The types that the store's records have."""
        if self._registry is None:
            self._registry = Registry(self._space)
        return self._registry


def reopen(store: Store, cls: type | None, head: int, serial: int) -> Any:
    """What a pickled record becomes; NotFoundError when it is gone."""
    form = None if cls is None else _form(cls)
    found = store._records().at(store, form, head + RECORD_HEAD)
    if found._place != (head, serial):
        raise NotFoundError(f"the record at {head:#x} of {store.name!r} is another one by now")
    return found
