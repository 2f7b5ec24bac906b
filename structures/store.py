# SPDX-License-Identifier: Apache-2.0
"""`Store`: a named store that is open, and the structures in it (`structures.opening` opens it)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from spacejmp._space import Hold, Space
from spacejmp.persistence.errors import DetachedError, LiveViewsError
from spacejmp.structures import _upkeep
from spacejmp.structures.containers import Containers
from spacejmp.structures.reports import CheckReport, CollectReport, StoreStats, Usage
from spacejmp.structures.versions import Versioned

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Store"]


class Store(Containers, Versioned):
    """A named store that is open in this process; made by `open`.

    A store is one virtual address space: its data lies at the same addresses in every process, and
    nothing is loaded, copied or converted when it is opened. Any number of processes and threads
    may have it open at the same time.

    An operation of a structure takes the store's lock for itself. `read`, `write` and `transaction`
    hold it for a block; they nest, also across stores, and belong to one thread.

    A store can be pickled: what is sent is its name and home, and it arrives open.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     genes = store.btree("genes", key="str")
    ...     with store.transaction():
    ...         genes["TP53"] = 17
    ...         genes["EGFR"] = 7
    ...     store.roots["genes"]
    RootInfo(name='genes', kind='btree', key='str', value='any')
    """

    __slots__ = ("__weakref__", "_space", "flag", "home", "name", "path")

    def __init__(self, name: str, home: str, path: str, flag: str, space: Space) -> None:
        self.name = name
        self.home = home
        self.path = path
        self.flag = flag
        self._space = space
        Containers.__init__(self)

    # -- holds --------------------------------------------------------------------------------

    def read(self, *, timeout: float | None = None) -> Hold:
        """Hold the store for reading in a `with` block: nobody changes it until the block ends.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for a writer; the store's own timeout when left out.

        Raises
        ------
        SpaceBusyError
            Others held it for longer than that.
        """
        return Hold(self._space, False, False, timeout)

    def write(self, *, timeout: float | None = None) -> Hold:
        """Hold the store for writing in a `with` block: nobody else reads or changes it.

        Each operation in the block is atomic by itself; `transaction` makes them atomic together.

        Raises
        ------
        HoldUpgradeError
            The thread has the store for reading already.
        SpaceBusyError, ReadOnlyError
        """
        return Hold(self._space, True, False, timeout)

    def transaction(self, *, timeout: float | None = None) -> Hold:
        """Make all changes of a `with` block atomic together.

        An exception that leaves the block undoes them, as does ``abort()`` on what the `with`
        statement gives. A transaction inside of another one is a savepoint.

        Durability
        ----------
        When the block has ended all of its changes are there, whatever dies; if anything dies
        before, none is.

        Raises
        ------
        HoldUpgradeError
            The thread has the store for reading already.
        SpaceBusyError, ReadOnlyError

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     t = store.btree("t", key="int")
        ...     with store.transaction() as tx:
        ...         t[1] = "one"
        ...         tx.abort()
        ...     1 in t
        False
        """
        return Hold(self._space, True, True, timeout)

    # -- the whole store ----------------------------------------------------------------------

    def sync(self) -> None:
        """Write everything to the file's storage (fsync), and give its pages checksums.

        Of a store with a write-ahead log this writes a checkpoint: the log is empty afterwards.
        Inside of a transaction no checksums are made: what it has changed may change again.

        Raises
        ------
        StoreIOError, SpaceFullError
            The storage failed, or is full.

        Complexity
        ----------
        O(what has changed since the last one); writers wait meanwhile.

        Durability
        ----------
        Once it returns, what was committed before survives a power loss, whatever the domain (but
        tmpfs, which never does).
        """
        self._space.sync()

    def stats(self) -> StoreStats:
        """What the bytes of the file are used for. O(pages)."""
        return StoreStats(**_upkeep.heap_stats(self._space))

    def usage(self) -> dict[str, Usage]:
        """What each structure takes up, by name: its items, blocks and bytes.

        Raises
        ------
        CorruptError
            A structure is damaged.

        Complexity
        ----------
        O(what is in use): the structures are walked as by `check`; writers wait meanwhile.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     store.hashmap("words", key="str", value="int").update(a=1, b=2)
        ...     store.usage()["words"].items
        2
        """
        with self.read():
            return {
                name: Usage(root.kind, **_upkeep.usage(self._space, name.encode()))
                for name, root in self.roots.items()
            }

    def check(
        self,
        *,
        repair: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> CheckReport:
        """Verify every page by its checksum, and every block, node, pointer, key order and count.

        A page has a checksum from the time when the last process closed the store, or `sync` was
        called, until it changes.

        Parameters
        ----------
        repair : bool
            Also repair what can be, if all but the checksums is whole: free the blocks that nothing
            leads to, in one transaction, and make checksums anew. So **a page whose checksum did
            not fit is taken for good as it is**: if a bit of a value has flipped, no other check
            knows; `CheckReport.accepted` says which pages they were.
        progress : callable, optional
            Called now and then with the bytes that are done and those that there are. An exception
            that it raises ends the check.

        Raises
        ------
        CorruptError
            The first damage found: its offset, what lies there, and whose it is. Nothing has been
            repaired then.
        HoldUpgradeError, InvalidArgumentError
            A repair inside of a read hold, or of a transaction.
        ReadOnlyError, SpaceFullError, StoreIOError
            From a repair.

        Complexity
        ----------
        O(bytes of the file); writers wait meanwhile, and with `repair` readers too.

        Durability
        ----------
        A repair is one atomic operation, and synced.
        """
        return CheckReport(**_upkeep.check(self._space, repair, progress))

    def collect(self, *, progress: Callable[[int, int], object] | None = None) -> CollectReport:
        """Free what nothing leads to: structures and records without a name, cycles of them too.

        A typed mark and sweep from the roots. What this `Store` has objects of is kept; an object
        of another one, in whatever process, raises `NotFoundError` when what it stands for has been
        freed.

        Parameters
        ----------
        progress : callable, optional
            Called now and then with the bytes that are done and those that there are. An exception
            that it raises ends the collection, and nothing is freed. It must not change the store:
            that is a `HoldError` at the end of the call.

        Raises
        ------
        CorruptError
            The store is damaged; nothing is freed.
        InvalidArgumentError, HoldUpgradeError
            Inside of a transaction, or of a read hold.
        ReadOnlyError, SpaceFullError, SpaceBusyError

        Complexity
        ----------
        O(what is in use); nobody else reads or writes meanwhile.

        Durability
        ----------
        One atomic operation.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     rows = store.hashmap("rows", key="str")
        ...     rows["a"] = store.new_hashmap()
        ...     del rows["a"]
        ...     store.collect().freed_blocks > 0
        True
        """
        found = _upkeep.collect(self._space, self._in_use, progress)
        return CollectReport(*(found[field] for field in CollectReport._fields))

    def close(self) -> None:
        """Detach the store; its structures raise `DetachedError` from then on.

        The last process to close a store on an ordinary filesystem writes it to its storage.

        Raises
        ------
        SpaceBusyError
            A thread of this process is inside of a hold; nothing is closed then.
        LiveViewsError
            Arrays look at the store's memory; nothing is closed then. It is a `BufferError`, as of
            `mmap`. When an exception ends the `with` block of a store, that one is raised instead,
            and the store is closed when the last of the arrays is gone.
        StoreIOError
            The storage failed; the store is closed all the same.
        """
        self._space.detach()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._space.attached

    @property
    def readonly(self) -> bool:
        """Whether the store was opened with flag "r"."""
        return self.flag == "r"

    @property
    def base(self) -> int:
        """The address that the store has in every process."""
        return self._space.base

    @property
    def reserve(self) -> int:
        """Bytes of addresses that belong to the store."""
        return self._space.reserved

    @property
    def durability(self) -> Literal["process", "power"]:
        """What acknowledged changes survive: the death of any process, or power loss as well."""
        return self._space.durability

    @property
    def domain(self) -> str:
        """The persistence domain: "shm" (tmpfs), "file", "wal" or "dax" (persistent memory)."""
        return self._space.domain

    def __enter__(self) -> Self:
        if self.closed:
            raise DetachedError(f"store {self.name!r} has been closed: open it again")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except LiveViewsError:
            if exc_value is None:
                raise
            # What was raised in the block has its frames, and these have the arrays: it is told,
            # and the store is closed when they are gone.

    def __repr__(self) -> str:
        if self.closed:
            return f"<Store {self.name!r}, closed>"
        private = ", private" if self.private else ""
        return (
            f"<Store {self.name!r} at {self.base:#x}, flag {self.flag!r}{private}, "
            f"home {self.home!r}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if self.private:
            raise TypeError(f"{self!r} belongs to this process alone: send a clone of it")
        from spacejmp.structures.opening import reopen

        return reopen, (self.name, self.home, "r" if self.readonly else "w")

    # -- inside -------------------------------------------------------------------------------

    @classmethod
    def _of(cls, name: str, home: str, timeout: float | None) -> Store:
        from spacejmp.structures.opening import open

        return open(name, "w", home=home, timeout=timeout)


def _reopen_structure(store: Store, name: str) -> Any:
    """What a pickled structure becomes."""
    return store[name]


def _reopen_place(store: Store, head: int, serial: int) -> Any:
    """What a pickled structure without a name becomes."""
    return store._at(head, serial)
