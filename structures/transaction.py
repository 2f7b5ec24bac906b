# SPDX-License-Identifier: Apache-2.0
"""`transaction`: all or nothing, over several stores."""

from __future__ import annotations

from spacejmp._group import Group
from spacejmp.persistence.errors import InvalidArgumentError
from spacejmp.structures.store import Store

__all__ = ["transaction"]


def transaction(*stores: Store, timeout: float | None = None) -> Group:
    """Make all changes of a `with` block, to any of the stores, atomic together.

    The block holds all of them for writing. An exception that leaves it undoes all changes, as does
    ``abort()`` on what the `with` statement gives. Inside of it `Store.transaction`, and another
    one over some or all of the stores, are savepoints.

    Parameters
    ----------
    *stores : Store
        1 to 64, open for writing, in any order: their locks are always taken in the order of their
        addresses, so that those who want the same stores never wait for each other in a circle.
    timeout : float, optional
        Seconds to wait for each store; the shortest of the stores' own timeouts when left out.

    Raises
    ------
    HoldUpgradeError
        The thread has one of the stores for reading already.
    InvalidArgumentError
        No stores, stores with a write-ahead log among several, stores of different durability, or a
        transaction over a part of them is open.
    SpaceBusyError
        Others held one of them for longer than the timeout. The thread is inside of one for writing
        already and would have to wait for one with lower addresses. Or, at the end of the block: a
        process died while it committed several stores together, and one of those has not been
        opened since.
    ReadOnlyError, SpaceFullError, HoldError
        As `Store.transaction`. Nothing has changed then.

    Complexity
    ----------
    O(changes), as separate transactions, and about a microsecond for each store that was changed.

    Durability
    ----------
    When the block has ended all of its changes are there, whatever dies; if anything dies before,
    none is. A store that took part needs the others for its recovery when a process has died at the
    very end of the block: if the file of the one that decides is not there then, it is an
    `InDoubtError` to open it. All stores have the same durability.

    Notes
    -----
    Each store has its own undo log; the commit of one of them decides what becomes of the logs of
    the others, which name it (two-phase commit with presumed abort: Mohan, Lindsay and Obermarck,
    "Transaction Management in the R* Distributed Database Management System", ACM TODS, 1986).

    Examples
    --------
    >>> with sj.open("checking") as a, sj.open("savings") as b:
    ...     checking = a.btree("balance", key="str", value="int")
    ...     savings = b.btree("balance", key="str", value="int")
    ...     with sj.transaction(a, b):
    ...         checking["Ada"] = 70
    ...         savings["Ada"] = 30
    ...     checking["Ada"] + savings["Ada"]
    100
    """
    for store in stores:
        if not isinstance(store, Store):
            raise InvalidArgumentError(
                f"transaction: expected stores, found {type(store).__name__}: structures are in "
                f"the transaction of the store that they are in"
            )
    return Group(tuple(store._space for store in stores), timeout)
