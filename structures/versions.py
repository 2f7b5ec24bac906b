# SPDX-License-Identifier: Apache-2.0
"""What a `spacejmp.Store` can do with clones and versions of itself (`spacejmp.clones`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from spacejmp.catalog import Catalog
from spacejmp.persistence.errors import InvalidArgumentError, SpaceBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacejmp._space import Space
    from spacejmp.clones import Version
    from spacejmp.structures.store import Store

__all__ = ["Versioned"]


if TYPE_CHECKING:

    class _Store:
        name: str
        home: str
        _space: Space

        @classmethod
        def _of(cls, name: str, home: str, timeout: float | None) -> Store: ...

else:
    _Store = object


class Versioned(_Store):
    """Clones and versions of a store."""

    __slots__ = ()

    def clone(
        self,
        new: str,
        *,
        mode: int | None = None,
        durability: Literal["process", "power"] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Store:
        """Make a store of another name with the same data at the same addresses, and open it.

        What a private attachment has changed is in its clone: so it can be kept.

        Parameters
        ----------
        new : str
            1 to 128 letters, digits, ``.``, ``_`` and ``-``; not taken.
        mode : int, optional
            File permissions; the store's when left out.
        durability : {"process", "power"}, optional
            The store's when left out.
        progress : callable, optional
            Called now and then with the bytes that are done and those that there are. An exception
            that it raises ends the copy.

        Returns
        -------
        Store
            The clone, open for reading and writing. Both can be used at the same time: switching
            between them moves page tables, whatever their size.

        Raises
        ------
        AlreadyExistsError
            The name is taken.
        InvalidArgumentError
            The thread is inside of a transaction, or the durability is not to be had.
        SpaceFullError
            The disk is full.
        SpaceBusyError
            Arrays look at the store's memory: the clone, which has the same addresses, could not be
            opened beside them. Nothing is made then. (`Catalog.clone` makes one all the same.)
        StorePermissionError, InvalidNameError, SegmentDamagedError

        Complexity
        ----------
        O(bytes of the store), or O(1) where the filesystem shares blocks (XFS, btrfs); writers wait
        meanwhile.

        Durability
        ----------
        Once it returns the clone survives power loss, if the filesystem does. A crash before leaves
        the whole clone or nothing.

        Examples
        --------
        >>> with sj.open("genes") as genes:
        ...     genes.btree("t", key="int")[1] = "one"
        ...     with genes.clone("experiment") as copy:
        ...         copy["t"][1] = "changed"
        ...         genes["t"][1], copy["t"][1]
        ('one', 'changed')
        """
        if self._space.looked_at:
            raise SpaceBusyError(
                f"live views: arrays look at store {self.name!r}, whose clone has the same "
                "addresses, and could not be opened: drop them first (del, and gc.collect() if "
                "they are in a cycle)"
            )
        catalog = Catalog(self.home, timeout=self._space.seconds)
        catalog.clone_space(self._space, new, mode=mode, durability=durability, progress=progress)
        return self._of(new, self.home, self._space.seconds)

    def snapshot(
        self,
        tag: str | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Version:
        """Make a version of the store: a clone for reading only, called NAME@TAG.

        Parameters
        ----------
        tag : str, optional
            1 to 64 letters, digits, ``.``, ``_`` and ``-``; 1, 2, … when left out.
        progress : callable, optional
            As of `clone`.

        Returns
        -------
        Version
            Its name opens it: for reading, or with ``private=True``.

        Raises
        ------
        AlreadyExistsError
            There is a version of that tag.
        InvalidArgumentError
            The store is a version itself, or a private attachment: clone it.
        SpaceFullError, …
            As `clone`.

        Complexity
        ----------
        As `clone`.

        Durability
        ----------
        As `clone`.

        Examples
        --------
        >>> with sj.open("stock") as stock:
        ...     stock.btree("t", key="int")[1] = "old"
        ...     before = stock.snapshot("before")
        ...     stock["t"][1] = "new"
        >>> with sj.open("stock@before", "r") as version:
        ...     version["t"][1]
        'old'
        """
        if "@" in self.name or self._space.private:
            kind = "a private attachment" if self._space.private else "a version"
            raise InvalidArgumentError(
                f"{self.name!r}: expected a store, found {kind}: clone it, and take versions of "
                f"the clone"
            )
        catalog = Catalog(self.home, timeout=self._space.seconds)
        return catalog.snapshot_space(self._space, self.name, tag, progress=progress)

    @property
    def versions(self) -> list[Version]:
        """The versions of the store that there are, the oldest first."""
        return Catalog(self.home).versions(self.name.partition("@")[0])

    @property
    def private(self) -> bool:
        """Whether the store was opened with ``private=True``."""
        return self._space.private
