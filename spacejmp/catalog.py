# SPDX-License-Identifier: Apache-2.0
"""The catalog: a home directory that holds stores and virtual address spaces by name.

This is the face of ``spacejmp/catalog.h``, which says what the files are, what a crash can leave
and how processes keep out of each other's way. Looking a name up takes no lock and never waits.
"""

from __future__ import annotations

import os
from typing import Literal, SupportsIndex

import spacejmp._catalog as core
from spacejmp.arena import DEFAULT_RESERVED, check_base, check_reserved
from spacejmp.clones import Clones
from spacejmp.home import absolute_home, check_mode, default_home
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_name, check_store, resembling
from spacejmp.persistence.errors import (
    IdentityError,
    InvalidArgumentError,
    NotFoundError,
    SpaceJmpError,
)
from spacejmp.records import Rebuilt, SegmentRecord, VasRecord, record_of

__all__ = ["Catalog"]


class Catalog(Clones):
    """The stores of one home directory.

    Making a Catalog touches no file; the home is made, with mode 0700, when something is first
    created in it. A Catalog has no state but its two attributes: it may be shared between threads,
    pickled, and used on both sides of a fork.

    Parameters
    ----------
    home : str or os.PathLike, optional
        The directory; ``~`` is expanded. `default_home` when left out.
    timeout : float or None
        Seconds that create, remove and rebuild wait for others that do the same; None waits for
        ever.

    Raises
    ------
    InvalidArgumentError
        `home` is empty, has a NUL, or begins with a ``~`` that leads nowhere.

    Examples
    --------
    >>> import tempfile
    >>> catalog = Catalog(tempfile.mkdtemp())
    >>> catalog.create("genes").name
    'genes'
    >>> catalog.names()
    ['genes']
    >>> hex(catalog.lookup("genes").segment.reserved)
    '0x1000000000'
    >>> catalog.remove("genes")
    >>> catalog.names()
    []
    """

    __slots__ = ("home", "timeout")

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        timeout: float | None = 10.0,
    ) -> None:
        self.home: str = default_home() if home is None else absolute_home(os.fspath(home))
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"Catalog({self.home!r})"

    def segment_path(self, segment: SegmentRecord) -> str:
        """Where the file of a segment is."""
        return os.path.join(self.home, segment.file)

    def lock_path(self, segment: SegmentRecord) -> str:
        """Where the lock file of a segment is, or will be when it is first attached."""
        return os.path.join(self.home, "lock", f"{segment.uuid.hex()}.lock")

    def names(self) -> list[str]:
        """List the names of all stores, sorted.

        Returns
        -------
        list of str
            Empty when the home does not exist.

        Raises
        ------
        StorePermissionError
            The home may not be read.

        Complexity
        ----------
        O(n log n); one directory is read, no file is opened.
        """
        return core.seg_list(self.home)

    def lookup(self, name: str) -> VasRecord:
        """Find a store by its name.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_store`: of a version too.

        Returns
        -------
        VasRecord
            What the header of the segment says.

        Raises
        ------
        NotFoundError
            There is no such store; the message has names that resemble it.
        IdentityError
            The segment file was copied or renamed: its header has another name.
        VersionError
            A later version wrote the segment.
        CorruptError, FormatError
            The segment's header is damaged.
        StorePermissionError
            The files may not be read.
        InvalidNameError
            `name` breaks the rule for names.

        Complexity
        ----------
        O(1): one header is read.
        """
        check_store(name)
        try:
            return record_of(core.seg_find(self.home, name))
        except NotFoundError:
            raise self._not_found(name) from None

    def create(
        self,
        name: str,
        base: SupportsIndex | None = None,
        reserved: SupportsIndex = DEFAULT_RESERVED,
        mode: int = 0o600,
        durability: Literal["process", "power"] = "process",
        *,
        replace: bool = False,
    ) -> VasRecord:
        """Make a store: one new, empty segment.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_name`.
        base : int, optional
            Where the segment lies: a multiple of 1 GiB in the arena (`spacejmp.arena`). It may
            overlap other segments; such VASes cannot both be resident. When left out, a range is
            chosen that no segment of this home has, and none that this process has attached.
        reserved : int
            Addresses that belong to the segment, in bytes: whole GiB, at least 1. The file takes up
            only what is used.
        mode : int
            Permissions of the files.
        durability : {"process", "power"}
            What changes of the VAS will survive: the death of any process, or power loss too.
        replace : bool
            Remove what has the name, as `remove` does; it is there until the new one is complete.

        Returns
        -------
        VasRecord

        Raises
        ------
        AlreadyExistsError
            The name is taken.
        InvalidArgumentError
            `base`, `reserved`, `mode` or `durability` is out of its range, or that durability is
            not to be had on the filesystem of the home.
        InvalidNameError
            `name` breaks the rule for names.
        SpaceFullError
            The disk is full, or no gap of the arena is large enough.
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout.

        Complexity
        ----------
        O(n) in the number of segments of the home; their headers are read.

        Durability
        ----------
        Once it returns the store survives power loss, if the filesystem does. A crash before leaves
        the whole store, the whole one that was replaced, or nothing.
        """
        check_name(name)
        reserved = check_reserved(reserved)
        base = None if base is None else check_base(base, reserved)
        check_mode(mode)
        if durability not in ("process", "power"):
            raise InvalidArgumentError(
                f"durability: expected 'process' or 'power', found {durability!r}"
            )
        use_forced_granularity()
        power = durability == "power"
        return record_of(
            core.seg_alloc(
                self.home, self.timeout, name, base, reserved, mode, power=power, replace=replace
            )
        )

    def remove(self, name: str) -> None:
        """Remove a store, and all files that belong to it; or a version. Versions of it stay.

        Processes that have it open keep what they see, as with any file that is removed.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_store`.

        Raises
        ------
        NotFoundError
            There is no such store.
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout; a VAS names the segment; or
            another store waits for what this one has decided: a process died in a transaction over
            both, and the other one has not been opened since.
        InvalidNameError
            `name` breaks the rule for names.

        Complexity
        ----------
        O(n) in the number of segments of the home.

        Durability
        ----------
        Once it returns the store stays removed, also through power loss. A crash before leaves the
        whole store or nothing.
        """
        check_store(name)
        try:
            core.seg_delete(self.home, self.timeout, name)
        except NotFoundError:
            raise self._not_found(name, f"remove it with vas_delete({name!r})") from None

    def rebuild(self) -> Rebuilt:
        """Clear away what dead processes left, and look at every segment.

        Returns
        -------
        Rebuilt
            The stores, and what is wrong with the other segment files.

        Raises
        ------
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout.

        Complexity
        ----------
        O(n) in the number of segments of the home.
        """
        core.tidy(self.home, self.timeout)
        records: list[VasRecord] = []
        problems: list[SpaceJmpError] = []
        seen: dict[bytes, str] = {}
        for name in self.names():
            try:
                record = self.lookup(name)
                if record.uuid in seen:
                    raise IdentityError(
                        f"segment {self.segment_path(record.segment)!r}: expected a uuid of its "
                        f"own, found that of {seen[record.uuid]!r}, {record.uuid.hex()}; remove "
                        f"the one that is the copy"
                    )
                seen[record.uuid] = name
                records.append(record)
            except SpaceJmpError as error:
                problems.append(error)
        return Rebuilt(tuple(records), tuple(problems))

    def has_vas(self, name: str) -> bool:
        """Tell whether a VAS was made with this name, which is not that of a store alone."""
        return core.vas_exists(self.home, name)

    def _not_found(self, name: str, advice: str | None = None) -> NotFoundError:
        """Make the error that says which names there are instead; advice for that of a VAS."""
        if "@" not in name and self.has_vas(name):
            return NotFoundError(
                f"there is no store {name!r} in {self.home!r}, but a VAS of that name: "
                f"{advice or f'attach it with vas_attach({name!r})'}"
            )
        return NotFoundError(
            f"there is no store {name!r} in {self.home!r}: {resembling(name, self.names())}"
        )
