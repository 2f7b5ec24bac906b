# SPDX-License-Identifier: Apache-2.0
"""`Queue`: a queue between processes that lives in a named store."""

from __future__ import annotations

import operator
import sys
from queue import Empty
from typing import TYPE_CHECKING, Any

from spacejmp.persistence.errors import HoldError
from spacejmp.structures._queue import QueueCore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from spacejmp._space import Hold
    from spacejmp.structures.store import Store

__all__ = ["Queue"]


class Queue(QueueCore):
    """A queue, first in, first out, between any number of processes and threads.

    It has the names of `queue.Queue`, and raises `queue.Empty` and `queue.Full`. Made by
    `Store.queue` and `Store.new_queue`. There is no server and nothing to close: items are in the
    store until somebody gets them, whoever of those who put and get comes, goes or dies.

    Each operation is atomic: an item was put when `put` returns, and is got by one. An item that
    `get` has returned is gone, also when its process dies next. Where it must not be lost, it is
    got in a transaction, `with queue.taking() as item:`, together with what is done about it: when
    the block is left by an exception, or the process dies in it, the item is back, at the front.
    (All writers of a store take turns, so others wait for the end of the block.)

    What is put or got in a transaction counts for others when the transaction ends. Inside of a
    hold or a transaction nothing waits: a `get` or `put` that would have to raises `HoldError`.

    Who waits sleeps, takes no processor time, holds nothing, and is woken by the kernel when there
    is something for it; Ctrl-C ends the wait. If a process dies at the wrong moment, after it put
    something and before it woke somebody, those who wait find out within a second. There is no
    order among those who wait. When the queue is dropped they get `NotFoundError`. A store is not
    closed while threads of the process wait: `SpaceBusyError`.

    Complexity
    ----------
    `put`, `get` O(1); `put_many`, `get_many` O(items). A system call for each one who is woken.

    Durability
    ----------
    As all changes of the store: what was put is there when `put` returns ("process": whatever
    process dies; "power": after a power loss, too).

    Raises
    ------
    TypeError, ValueError, OverflowError
        A value does not fit the codec; a timeout is negative.
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
    ...     jobs = store.queue("jobs")
    ...     done = store.hashmap("done", key="str")
    ...     jobs.put({"name": "a"})
    ...     jobs.put_many([{"name": "b"}, {"name": "c"}])
    ...     jobs.get()
    ...     with jobs.taking() as job:  # both, or neither
    ...         done[job["name"]] = True
    ...     jobs.qsize(), list(done)
    {'name': 'a'}
    (1, ['b'])
    """

    __slots__ = ()

    store: Store

    # -- putting ------------------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item at the end; wait for room when the queue is full.

        Parameters
        ----------
        item : object
            What fits the codec.
        block : bool
            Whether to wait.
        timeout : float, optional
            Seconds to wait; for ever when left out.

        Raises
        ------
        queue.Full
            There was no room in that time.
        HoldError
            It would have to wait inside of a hold.
        """
        self._put(item, block, timeout)

    def put_nowait(self, item: Any) -> None:
        """Put an item at the end, or raise `queue.Full`."""
        self._put(item, False, None)

    def put_many(
        self, items: Iterable[Any], block: bool = True, timeout: float | None = None
    ) -> None:
        """Put items, in order, as one atomic operation; wait until there is room for all of them.

        Raises
        ------
        queue.Full
            There was no room in that time: none of them was put.
        ValueError
            There are more of them than `maxsize`.
        """
        self._put_many(list(items), block, timeout)

    # -- getting ------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return the first item; wait for one when there is none.

        Raises
        ------
        queue.Empty
            There was none in that time.
        HoldError
            It would have to wait inside of a hold.
        """
        return self._get(block, timeout)

    def get_nowait(self) -> Any:
        """Remove and return the first item, or raise `queue.Empty`."""
        return self._get(False, None)

    def get_many(self, n: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Remove and return the first `n` items, or as many as there are, as one operation.

        Waits until there is one.

        Raises
        ------
        queue.Empty
            There was none in that time.
        """
        n = operator.index(n)
        if n < 0:
            raise ValueError(f"n must be ≥ 0, found {n}")
        return self._get_many(n, block, timeout)

    def taking(self, timeout: float | None = None) -> Taking:
        """Get an item in a transaction of its own, that begins when there is one.

        The item is gone when the block ends; when an exception leaves it, or the process dies in
        it, the item is back at the front, and all else that the block changed in the store is
        undone.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for an item; for ever when left out.

        Raises
        ------
        queue.Empty
            There was none in that time.
        HoldError
            It would have to wait inside of a hold.
        """
        return Taking(self, timeout)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def maxsize(self) -> int:
        """How many items there may be; 0: any number."""
        return self._limit() or 0

    def qsize(self) -> int:
        """Return how many items there are."""
        return self._count()

    def __len__(self) -> int:
        return self._count()

    def empty(self) -> bool:
        """Return whether there is no item, at this moment."""
        return self._count() == 0

    def full(self) -> bool:
        """Return whether there is no room, at this moment."""
        return self._free() == 0

    def __repr__(self) -> str:
        maxsize = self.maxsize if self._is_open else 0
        return self._describe("Queue", f", maxsize {maxsize}" if maxsize else "")


class Taking:
    """The `with` block of `Queue.taking`."""

    __slots__ = ("_hold", "_queue", "_timeout")

    def __init__(self, queue: Queue, timeout: float | None) -> None:
        self._queue = queue
        self._timeout = timeout
        self._hold: Hold | None = None

    def __enter__(self) -> Any:
        if self._hold is not None:
            raise HoldError("taking() has been entered: it takes one item; ask for another one")
        queue = self._queue
        deadline = queue._deadline(self._timeout)
        while True:
            hold = queue.store.transaction()
            hold.__enter__()
            try:
                item = queue.get_nowait()
            except Empty:
                hold.__exit__(None, None, None)
            except BaseException:
                hold.__exit__(*sys.exc_info())
                raise
            else:
                self._hold = hold
                return item
            if not queue._wait_for_item(deadline):
                raise Empty

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hold is None:
            raise HoldError("taking() has not been entered: use it in a `with` statement")
        hold, self._hold = self._hold, None
        hold.__exit__(exc_type, exc_value, traceback)
