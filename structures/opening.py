# SPDX-License-Identifier: Apache-2.0
"""`open`: a store by its name: looked up or made, attached, and opened as a `Store`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from spacejmp._space import Space
from spacejmp.catalog import Catalog
from spacejmp.home import restore_locks
from spacejmp.library import use_forced_granularity
from spacejmp.persistence.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from spacejmp.records import SegmentRecord
from spacejmp.structures.store import Store
from spacejmp.vas_handle import AttachedSegment, VasHandle, open_stores_with

if TYPE_CHECKING:
    import os

    from spacejmp.records import VasRecord

__all__ = ["open", "reopen"]

Flag = Literal["r", "w", "c", "n"]


def open(  # shadows the builtin as dbm.open does: it is used as spacejmp.open
    name: str,
    flag: Flag = "c",
    *,
    home: str | os.PathLike[str] | None = None,
    base: int | None = None,
    reserve: int | None = None,
    mode: int = 0o600,
    durability: Literal["process", "power"] | None = None,
    timeout: float | None = None,
    accept_unclean: bool = False,
    private: bool = False,
) -> Store:
    """Open a store by its name, as `dbm.open` opens a database.

    Parameters
    ----------
    name : str
        1 to 128 letters, digits, ``.``, ``_`` and ``-``; or NAME@TAG, a version (`Store.snapshot`),
        which can be opened with flag "r" or privately.
    flag : {"c", "r", "w", "n"}
        "c": for reading and writing, made if missing. "r": for reading, must exist. "w": for
        reading and writing, must exist. "n": a new, empty one; an old one of that name is removed,
        and those who have it open keep what they see.
    home : path, optional
        The directory that holds the stores; else ``$SPACEJMP_HOME``, else the XDG data directory.
        On tmpfs (``/dev/shm``) a store lives in memory until the machine stops.
    base : int, optional
        The address of a new store, in whole GiB; chosen when left out.
    reserve : int, optional
        Bytes of addresses for a new store, in whole GiB; 64 GiB when left out. The file takes up
        only what is used.
    mode : int
        File permissions of a new store.
    durability : {"process", "power"}, optional
        What acknowledged changes survive: the death of any process at any instruction, or power
        loss as well. A store keeps what it was made with; a new one has "process" when this is left
        out.
    timeout : float, optional
        Seconds that operations wait for other processes and threads; None: for ever.
    accept_unclean : bool
        Open a store that was open when the machine stopped; call `Store.check` next.
    private : bool
        Attach the store, which must exist, as it is now: nobody sees what is changed here, nothing
        that others change is seen, and the changes are gone when it is closed (`Store.clone` keeps
        them). They are in memory; of a store that is no version a copy is made first.

    Returns
    -------
    Store
        A context manager; it closes at the end of the block.

    Raises
    ------
    NotFoundError
        Flags "r" and "w": there is no such store.
    AddressConflictError
        The store's addresses are taken in this process by something that is not a store, which the
        message names.
    SpaceBusyError
        Other threads are inside of a store with the same addresses, for longer than the timeout.
    UncleanShutdownError
        The machine stopped while the store was open. `InDoubtError`: a process died while it
        committed several stores together, and the one that decides is not there.
    InvalidArgumentError
        An argument is out of its range; durability "power" is not to be had on the filesystem of
        the home, or was asked of a store that was made without.
    FormatError, VersionError, CorruptError, TruncatedError
        The file is not a store, is of an incompatible version, is damaged, is too short.
    StorePermissionError, SpaceFullError, InvalidNameError

    Complexity
    ----------
    O(1): nothing is loaded.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     store.btree("t", key="int")[1] = "one"
    >>> with sj.open("demo", "r") as store:
    ...     store["t"][1]
    'one'
    """
    if flag not in ("r", "w", "c", "n"):
        raise InvalidArgumentError(f"flag: expected 'r', 'w', 'c' or 'n', found {flag!r}")
    if durability not in (None, "process", "power"):
        raise InvalidArgumentError(
            f"durability: expected 'process' or 'power', found {durability!r}"
        )
    _check_timeout(timeout)
    if private and flag == "n":
        raise InvalidArgumentError("private: expected flag 'r', 'w' or 'c', found 'n'")
    if flag == "c" and (private or "@" in name):
        flag = "w"  # neither is made here
    catalog = Catalog(home, timeout=timeout)
    use_forced_granularity()
    options: dict[str, Any] = {"base": base, "mode": mode, "durability": durability or "process"}
    if reserve is not None:
        options["reserved"] = reserve
    space, path = _attach(
        catalog,
        name,
        flag,
        options,
        {
            "writable": flag != "r",
            "accept_unclean": accept_unclean,
            "private": private,
            "timeout": timeout,
        },
    )
    if durability == "power" and not private and space.durability != "power":
        space.detach()
        raise InvalidArgumentError(
            f"store {name!r}: expected durability 'power', found that it was made with 'process': "
            f"make a new one with durability='power' and copy the structures"
        )
    return Store(name, catalog.home, path, flag, space)


def _check_timeout(timeout: object) -> None:
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):
        raise InvalidArgumentError(f"timeout: expected None or seconds ≥ 0, found {timeout!r}")


def _attach(
    catalog: Catalog, name: str, flag: Flag, making: dict[str, Any], attaching: dict[str, Any]
) -> tuple[Space, str]:
    """Attach the store that has the name now; also the path of its file."""
    known = None
    while True:
        record = _record(catalog, name, flag, making)
        path, lock = catalog.segment_path(record.segment), catalog.lock_path(record.segment)
        try:
            return Space(path, lock, uuid=record.uuid, **attaching), path
        except NotFoundError:  # removed or replaced after it was looked up
            if record == known:
                raise
            restore_locks(catalog.home, path)
        known = record
        flag = "c" if flag == "n" else flag


def _record(catalog: Catalog, name: str, flag: Flag, making: dict[str, Any]) -> VasRecord:
    """Find the store in the catalog, or make it, as the flag says."""
    if flag != "n":
        try:
            return catalog.lookup(name)
        except NotFoundError:  # says so when there is a VAS of that name
            if flag != "c" or catalog.has_vas(name):
                raise
    try:
        return catalog.create(name, **making, replace=flag == "n")
    except AlreadyExistsError:  # another process was faster
        return catalog.lookup(name)


def _open_segment(handle: VasHandle, segment: AttachedSegment) -> Store:
    """What `VasHandle.store` gives."""
    catalog = Catalog(handle.vas.home)
    record = SegmentRecord(*segment[:2], f"seg/{segment.name}.seg", segment.base, segment.reserved)
    path, writable = catalog.segment_path(record), segment.rights == "rw"
    space = Space(
        path,
        catalog.lock_path(record),
        uuid=segment.uuid,
        writable=writable,
        timeout=handle.timeout,
    )
    return Store(segment.name, catalog.home, path, "w" if writable else "r", space)


open_stores_with(_open_segment)


def reopen(name: str, home: str, flag: Flag) -> Store:
    """What a pickled store becomes."""
    return open(name, flag, home=home)
