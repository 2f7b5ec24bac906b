# SPDX-License-Identifier: Apache-2.0
"""Segments by name: making, finding and removing them.

A *segment* is one range of addresses with a file behind it, which outlives the process that made
it. It is also the store that `spacejmp.open` opens, and a VAS of one segment (`spacejmp.vas`).
"""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

import spacejmp._catalog as core
from spacejmp.arena import DEFAULT_RESERVED, check_base, check_reserved
from spacejmp.home import absolute_home, check_mode, default_home
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_name, telling_names
from spacejmp.persistence.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacejmp._space import SegmentInfo

__all__ = [
    "Named",
    "Segment",
    "argument_of",
    "home_of",
    "number_of",
    "seg_alloc",
    "seg_ctl",
    "seg_delete",
    "seg_find",
    "seg_list",
    "segment_of",
]

Home = str | os.PathLike[str] | None

SegmentProperty = Literal[
    "mode", "owner", "lockable", "growth_limit", "page_size", "prefault", "durability"
]

_COMMANDS = ("mode", "owner", "lockable", "growth_limit", "page_size", "prefault")  # as in C
_HUGE = 2 << 20

TIMEOUT = 10.0
"""Seconds that a change waits for others that change the catalog."""


class Named:
    """What was found in a catalog: a name, the uuid that it had, and the home."""

    __slots__ = ("home", "name", "uuid")

    def __init__(self, name: str, uuid: bytes, home: str) -> None:
        self.name = name
        self.uuid = uuid
        self.home = home

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} in {self.home!r}>"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.uuid, self.name, self.home) == (other.uuid, other.name, other.home)

    def __hash__(self) -> int:
        return hash((self.uuid, self.name, self.home))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.uuid, self.home)

    @property
    def id(self) -> tuple[str, bytes]:
        """What it is found by: its name and its uuid."""
        return self.name, self.uuid


class Segment(Named):
    """A segment of a home; made by `seg_alloc` and `seg_find`. It can be pickled.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes.
    home : str
        The directory that it is in.
    """

    __slots__ = ()

    def info(self) -> SegmentInfo:
        """Read what the segment's header says: base, reserve, size, durability ….

        Raises
        ------
        NotFoundError
            It is gone, or replaced.
        FormatError, VersionError, CorruptError
            The header is damaged, or a later version's.

        Complexity
        ----------
        O(1).
        """
        info = core.seg_find(self.home, self.name)
        if info.uuid != self.uuid:
            raise NotFoundError(
                f"segment {self.name!r} in {self.home!r} was replaced by another one: "
                f"look it up again with seg_find"
            )
        return info

    def delete(self, *, timeout: float | None = TIMEOUT) -> None:
        """Remove it: see `seg_delete`."""
        seg_delete(self, timeout=timeout)

    def clone(
        self,
        new: str,
        *,
        mode: int | None = None,
        durability: Literal["process", "power"] | None = None,
        progress: Callable[[int, int], object] | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Segment:
        """Make a segment with the same data, at the same addresses: see `seg_clone`."""
        from spacejmp.cloning import seg_clone  # which knows what a Segment is

        return seg_clone(
            self, new, mode=mode, durability=durability, progress=progress, timeout=timeout
        )

    @overload
    def ctl(self, command: SegmentProperty, *, timeout: float | None = ...) -> Any: ...
    @overload
    def ctl(self, command: SegmentProperty, value: Any, *, timeout: float | None = ...) -> None: ...
    def ctl(
        self, command: SegmentProperty, value: Any = None, *, timeout: float | None = TIMEOUT
    ) -> Any:
        """Read or change a property: see `seg_ctl`."""
        return seg_ctl(self, command, value, timeout=timeout)


def number_of(what: str, value: Any, end: int = 2**64) -> int:
    """Make a number that C can take, below `end`; TypeError and InvalidArgumentError name it."""
    try:
        number = operator.index(value)
    except TypeError:
        found = type(value).__name__
        raise TypeError(f"{what}: expected a whole number, found {value!r} ({found})") from None
    if not 0 <= number < end:
        raise InvalidArgumentError(f"{what}: expected a number ≥ 0 and < {end}, found {value!r}")
    return number


def argument_of(command: str, value: Any) -> int:
    """Make the number that C takes for the value of a property."""
    if command == "owner":
        parts = value if isinstance(value, tuple) else (value, 0xFFFF_FFFF)
        if len(parts) != 2:
            raise InvalidArgumentError(
                f"owner: expected a user number, or user and group, found {value!r}"
            )
        user, group = (number_of(command, part, 2**32) for part in parts)
        return user | group << 32
    number = number_of(command, value)
    if command == "mode":
        check_mode(number)
    return number


def home_of(home: Home) -> str:
    """Give the absolute path of the home that is meant."""
    return default_home() if home is None else absolute_home(os.fspath(home))


def segment_of(segment: Segment | str, home: Home) -> Segment:
    """Give the segment that is meant; a name is looked up."""
    return segment if isinstance(segment, Segment) else seg_find(segment, home=home)


def seg_alloc(
    name: str,
    base: SupportsIndex | None = None,
    reserve: SupportsIndex = DEFAULT_RESERVED,
    mode: int = 0o600,
    *,
    durability: Literal["process", "power"] = "process",
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> Segment:
    """Make a segment. It is also the store of that name, and a VAS of one segment.

    Parameters
    ----------
    name : str
        1 to 128 letters, digits, ``.``, ``_`` and ``-``.
    base : int, optional
        Its address, in whole GiB; chosen when left out, so that it overlaps no other segment of
        the home.
    reserve : int
        Addresses that belong to it, in bytes, whole GiB. The file takes up only what is used.
    mode : int
        File permissions.
    durability : {"process", "power"}
        As for `spacejmp.open`.
    home, timeout
        As for `vas_create`.

    Returns
    -------
    Segment

    Raises
    ------
    AlreadyExistsError
        A segment has the name.
    InvalidNameError, InvalidArgumentError, SpaceBusyError, SpaceFullError, StorePermissionError

    Complexity
    ----------
    O(n) in the number of segments of the home.

    Durability
    ----------
    As `vas_create`.

    Examples
    --------
    >>> sj.seg_alloc("heap", base=0x4000_0000_0000, reserve=2**30).info().reserved
    1073741824
    """
    check_name(name, "segment")
    size = check_reserved(reserve)
    address = None if base is None else check_base(base, size)
    check_mode(mode)
    if durability not in ("process", "power"):
        raise InvalidArgumentError(
            f"durability: expected 'process' or 'power', found {durability!r}"
        )
    use_forced_granularity()
    where = home_of(home)
    power = durability == "power"
    info = core.seg_alloc(where, timeout, name, address, size, mode, power=power)
    return Segment(name, info.uuid, where)


def seg_find(name: str, *, home: Home = None) -> Segment:
    """Find a segment by its name.

    Parameters
    ----------
    name : str
    home : path, optional

    Returns
    -------
    Segment

    Raises
    ------
    NotFoundError
        There is none; the message has names that resemble it.
    IdentityError
        The file was copied or renamed.
    CorruptError, VersionError, FormatError, StorePermissionError, InvalidNameError

    Complexity
    ----------
    O(1); it never waits.

    Examples
    --------
    >>> _ = sj.seg_alloc("wanted")
    >>> sj.seg_find("wanted").name
    'wanted'
    """
    check_name(name, "segment")
    where = home_of(home)
    with telling_names("segment", name, where, core.seg_list):
        return Segment(name, core.seg_find(where, name).uuid, where)


def seg_delete(
    segment: Segment | str, *, home: Home = None, timeout: float | None = TIMEOUT
) -> None:
    """Remove a segment and all that belongs to it.

    Those who have it attached keep what they see.

    Parameters
    ----------
    segment : Segment or str
        A damaged one can be given by its name.
    home, timeout
        As for `vas_create`.

    Raises
    ------
    NotFoundError
        It is gone.
    SpaceBusyError
        VASes name it, or others changed the catalog for longer than the timeout.
    StorePermissionError, InvalidNameError

    Complexity
    ----------
    O(n) in the numbers of VASes and segments of the home.

    Durability
    ----------
    As `vas_create`.

    Examples
    --------
    >>> sj.seg_alloc("unwanted").delete()
    >>> "unwanted" in sj.seg_list()
    False
    """
    if isinstance(segment, Segment):
        core.seg_delete(segment.home, timeout, segment.name, segment.uuid)
        return
    check_name(segment, "segment")
    where = home_of(home)
    with telling_names("segment", segment, where, core.seg_list):
        core.seg_delete(where, timeout, segment)


def seg_list(*, home: Home = None) -> list[str]:
    """List the names of all segments, sorted.

    Parameters
    ----------
    home : path, optional

    Returns
    -------
    list of str

    Raises
    ------
    StorePermissionError
        The home may not be read.

    Complexity
    ----------
    O(n log n).

    Examples
    --------
    >>> _ = sj.seg_alloc("enumerated")
    >>> "enumerated" in sj.seg_list()
    True
    """
    return core.seg_list(home_of(home))


@overload
def seg_ctl(
    segment: Segment | str,
    command: SegmentProperty,
    *,
    home: Home = ...,
    timeout: float | None = ...,
) -> Any: ...
@overload
def seg_ctl(
    segment: Segment | str,
    command: SegmentProperty,
    value: Any,
    *,
    home: Home = ...,
    timeout: float | None = ...,
) -> None: ...
def seg_ctl(
    segment: Segment | str,
    command: SegmentProperty,
    value: Any = None,
    *,
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> Any:
    """Read a property of a segment, or change it.

    Parameters
    ----------
    segment : Segment or str
    command : str
        "mode": permission bits, of all its files. "owner": a user number, or a pair of user and
        group. "lockable": whether a switch into a VAS takes its lock; if not, those who switch see
        to it themselves that nobody writes while others read. "growth_limit": bytes that the file
        may grow to, whole pages, 0 for all of the reserve; beyond it is a `SpaceFullError`.
        "page_size": 4096, or "huge" for 2 MiB pages. "prefault": whether who attaches it maps all
        pages at once. "durability": read only.
    value : optional
        What it is to be; left out, what it is is returned.
    home, timeout
        As for `vas_create`.

    Raises
    ------
    InvalidArgumentError
        The command or the value is out of its range.
    UnsupportedError
        The filesystem of the home has no huge pages; tmpfs has, whatever the machine's settings.
    NotFoundError, SpaceBusyError, StorePermissionError
    HoldUpgradeError
        The calling thread is inside of the segment for reading.

    Complexity
    ----------
    O(1); "huge" and "prefault" cost what it takes to copy or to map all pages.

    Durability
    ----------
    A crash leaves the old value or the new one. "lockable", "page_size" and "prefault" count for
    those who attach the segment from then on.

    Examples
    --------
    >>> segment = sj.seg_alloc("limited")
    >>> sj.seg_ctl(segment, "growth_limit", 2**20)
    >>> segment.ctl("growth_limit")
    1048576
    """
    target = segment_of(segment, home)
    if command == "durability" and value is None:
        return target.info().durability
    if command not in _COMMANDS:
        raise InvalidArgumentError(
            f"command: expected one of {', '.join(map(repr, _COMMANDS))}, or 'durability' to read "
            f"it, found {command!r}"
        )
    if value is None:
        return _property(target, command, timeout)
    if command == "page_size" and value == "huge":
        value = _HUGE
    number = _COMMANDS.index(command)
    core.seg_ctl(target.home, timeout, *target.id, number, argument_of(command, value))
    return None


def _property(segment: Segment, command: str, timeout: float | None) -> Any:
    """Read a property."""
    if command in ("mode", "owner"):
        facts = core.vas_read(segment.home, *segment.id)
        return facts.mode if command == "mode" else (facts.uid, facts.gid)
    return getattr(core.seg_settings(segment.home, timeout, *segment.id), command)
