# SPDX-License-Identifier: Apache-2.0
"""Virtual address spaces by name, and the segments in them.

A *VAS* is a named set of segments that outlives the process that made it; a segment is by itself a
VAS of one segment (`spacejmp.segments`). El Hajj et al., SpaceJMP: Programming with Multiple
Virtual Address Spaces, ASPLOS 2016, §3.

Functions take a `Vas`, or its name together with the home. An object is resolved again on each use:
one that was deleted, or replaced by another of its name, is a `NotFoundError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import spacejmp._catalog as core
from spacejmp.home import check_mode
from spacejmp.names import check_name, resembling, telling_names
from spacejmp.persistence.errors import InvalidArgumentError, NotFoundError
from spacejmp.records import Rights, VasInfo, VasSegment
from spacejmp.segments import (
    TIMEOUT,
    Home,
    Named,
    Segment,
    argument_of,
    home_of,
    number_of,
    segment_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from spacejmp.vas_handle import VasHandle
    from spacejmp.vas_stats import SegmentStats

__all__ = [
    "Vas",
    "seg_attach",
    "seg_detach",
    "vas_create",
    "vas_ctl",
    "vas_delete",
    "vas_find",
    "vas_list",
]

Window = int | Literal["all", "fit"]
VasProperty = Literal["mode", "owner", "tag", "isolation", "address_limit", "page_size", "prefault"]

_RIGHTS = {"r": 1, "rw": 3}
_ISOLATIONS = ("shared", "strict")
_COMMANDS = ("mode", "owner", "tag", "isolation", "address_limit")  # as enum sj_vas_command
_OF_SEGMENTS = ("page_size", "prefault")  # set in each of them


class Vas(Named):
    """A virtual address space of a home; made by `vas_create` and `vas_find`. It can be pickled.

    Attributes
    ----------
    name : str
    uuid : bytes
        16 bytes.
    home : str
        The directory that it is in.

    Examples
    --------
    >>> vas = sj.vas_create("cohort")
    >>> for name in ("cohort.reads", "cohort.index"):
    ...     _ = vas.seg_attach(sj.seg_alloc(name), "r")
    >>> [(segment.name, segment.rights) for segment in sorted(vas.segments)]
    [('cohort.index', 'r'), ('cohort.reads', 'r')]
    >>> vas.delete()
    """

    __slots__ = ()

    def info(self) -> VasInfo:
        """Read what the catalog knows of it.

        Raises
        ------
        NotFoundError
            It is gone, or replaced.
        CorruptError, VersionError
            Its record is damaged, or a later version's.

        Complexity
        ----------
        O(1) for a segment, O(n) in the number of segments else.
        """
        return _info(core.vas_read(self.home, self.name, self.uuid))

    @property
    def segments(self) -> tuple[VasSegment, ...]:
        """Its segments, ascending by base; errors of `info`."""
        return self.info().segments

    def attach(self, rights: Rights = "rw", *, timeout: float | None = None) -> VasHandle:
        """Attach it to this process: see `vas_attach`."""
        from spacejmp.vas_handle import VasHandle  # which knows what a Vas is

        return VasHandle.attach(self, rights, timeout)

    def stats(self, *, timeout: float | None = None) -> tuple[SegmentStats, ...]:
        """What its segments take up: attaches it for that; see `VasHandle.stats`."""
        handle = self.attach("r", timeout=timeout)
        try:
            return handle.stats()
        finally:
            handle.detach()

    def delete(self, *, timeout: float | None = TIMEOUT) -> None:
        """Remove it: see `vas_delete`."""
        vas_delete(self, timeout=timeout)

    def clone(
        self,
        new: str,
        *,
        mode: int | None = None,
        progress: Callable[[int, int], object] | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Vas:
        """Make a VAS of clones of its segments: see `vas_clone`."""
        from spacejmp.cloning import vas_clone  # which knows what a Vas is

        return vas_clone(self, new, mode=mode, progress=progress, timeout=timeout)

    @overload
    def ctl(self, command: VasProperty, *, timeout: float | None = ...) -> Any: ...
    @overload
    def ctl(self, command: VasProperty, value: Any, *, timeout: float | None = ...) -> None: ...
    def ctl(
        self, command: VasProperty, value: Any = None, *, timeout: float | None = TIMEOUT
    ) -> Any:
        """Read or change a property: see `vas_ctl`."""
        return vas_ctl(self, command, value, timeout=timeout)

    def seg_attach(
        self,
        segment: Segment | str,
        rights: Rights = "rw",
        *,
        window: Window = "all",
        timeout: float | None = TIMEOUT,
    ) -> int | None:
        """Make a segment part of it, for all: see `spacejmp.seg_attach`."""
        if rights not in _RIGHTS:
            raise InvalidArgumentError(f"rights: expected 'r' or 'rw', found {rights!r}")
        named = segment_of(segment, self.home)
        if named.home != self.home:
            raise InvalidArgumentError(
                f"segment {named.name!r}: expected one in {self.home!r}, as the VAS is, found it "
                f"in {named.home!r}"
            )
        placed = core.seg_attach(
            self.home, timeout, self.id, named.id, _RIGHTS[rights], _window(window)
        )
        return None if placed == core.WINDOW_ALL else placed

    def seg_detach(
        self, segment: Segment | VasSegment | str, *, timeout: float | None = TIMEOUT
    ) -> None:
        """Take a segment out of it, for all: see `spacejmp.seg_detach`."""
        if isinstance(segment, str):
            known = {each.name: each.uuid for each in self.segments}
            if check_name(segment, "segment") not in known:
                raise NotFoundError(
                    f"VAS {self.name!r} has no segment {segment!r}: "
                    f"{resembling(segment, sorted(known))}"
                )
            uuid, name = known[segment], segment
        elif not isinstance(segment, Segment | VasSegment):
            raise TypeError(f"expected a segment, or its name, found {segment!r}")
        else:
            uuid, name = segment.uuid, segment.name
        core.seg_detach(self.home, timeout, self.id, (name, uuid))


def _info(facts: core.VasFacts) -> VasInfo:
    """Put what C says into words."""
    segments = tuple(
        VasSegment(
            each.name,
            each.uuid,
            each.base,
            each.reserved,
            "rw" if each.rights & 2 else "r",
            None if each.window == core.WINDOW_ALL else each.window,
        )
        for each in facts.segments
    )
    return VasInfo(
        facts.name,
        facts.uuid,
        facts.of_segment,
        facts.created_ns,
        facts.mode,
        (facts.uid, facts.gid),
        facts.tag,
        "strict" if facts.isolation else "shared",
        facts.address_limit,
        segments,
    )


def _window(window: Window) -> int:
    if window == "all":
        return core.WINDOW_ALL
    if window == "fit":
        return core.WINDOW_FIT
    try:
        return number_of("window", window, 65536)
    except (TypeError, InvalidArgumentError) as error:
        raise type(error)(
            f"window: expected 'all', 'fit' or a number from 0 to 65535, found {window!r}"
        ) from None


def _vas(vas: Vas | str, home: Home) -> Vas:
    """Give the VAS that is meant; a name is looked up."""
    return vas if isinstance(vas, Vas) else vas_find(vas, home=home)


# Virtual address spaces.


def vas_create(
    name: str, mode: int = 0o600, *, home: Home = None, timeout: float | None = TIMEOUT
) -> Vas:
    """Make a VAS without segments.

    Parameters
    ----------
    name : str
        1 to 128 letters, digits, ``.``, ``_`` and ``-``.
    mode : int
        Permissions: who may read it may attach it, who may write it may change it.
    home : path, optional
        The directory that holds it; as for `spacejmp.open`.
    timeout : float or None
        Seconds to wait for others that change the catalog; None: for ever.

    Returns
    -------
    Vas

    Raises
    ------
    AlreadyExistsError
        A VAS or a segment has the name.
    InvalidNameError, InvalidArgumentError, SpaceBusyError, SpaceFullError, StorePermissionError

    Complexity
    ----------
    O(n) in the number of VASes of the home.

    Durability
    ----------
    Once it returns the VAS survives power loss, if the filesystem does. A crash before leaves the
    whole VAS or nothing.

    Examples
    --------
    >>> sj.vas_create("project").segments
    ()
    """
    check_name(name, "VAS")
    check_mode(mode)
    where = home_of(home)
    return Vas(name, core.vas_create(where, timeout, name, mode), where)


def vas_find(name: str, *, home: Home = None) -> Vas:
    """Find a VAS by its name; a segment is one too, unless a VAS was made with its name.

    Parameters
    ----------
    name : str
    home : path, optional

    Returns
    -------
    Vas

    Raises
    ------
    NotFoundError
        There is none; the message has names that resemble it.
    CorruptError, VersionError, IdentityError, FormatError, StorePermissionError, InvalidNameError

    Complexity
    ----------
    O(1); it never waits.

    Examples
    --------
    >>> _ = sj.vas_create("found")
    >>> sj.vas_find("found").name
    'found'
    """
    check_name(name, "VAS")
    where = home_of(home)
    with telling_names("VAS", name, where, core.vas_list):
        return Vas(name, core.vas_read(where, name).uuid, where)


def vas_delete(vas: Vas | str, *, home: Home = None, timeout: float | None = TIMEOUT) -> None:
    """Remove a VAS. Its segments stay; of a segment taken for a VAS, the segment is removed.

    Nobody finds it any more; those who have it attached keep it until they detach it.

    Parameters
    ----------
    vas : Vas or str
        A damaged one can be given by its name.
    home, timeout
        As for `vas_create`.

    Raises
    ------
    NotFoundError
        It is gone.
    SpaceBusyError
        Others changed the catalog for longer than the timeout; it is a segment that other VASes
        name.
    VersionError, StorePermissionError, InvalidNameError

    Complexity
    ----------
    O(n) in the numbers of VASes and segments of the home.

    Durability
    ----------
    As `vas_create`.

    Examples
    --------
    >>> _ = sj.vas_create("gone")
    >>> sj.vas_delete("gone")
    >>> "gone" in sj.vas_list()
    False
    """
    if isinstance(vas, Vas):
        core.vas_delete(vas.home, timeout, vas.name, vas.uuid)
        return
    check_name(vas, "VAS")
    where = home_of(home)
    with telling_names("VAS", vas, where, core.vas_list):
        core.vas_delete(where, timeout, vas)


def vas_list(*, home: Home = None) -> list[str]:
    """List the names of all VASes, segments included, sorted.

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
    >>> _ = sj.vas_create("listed")
    >>> "listed" in sj.vas_list()
    True
    """
    return core.vas_list(home_of(home))


@overload
def vas_ctl(
    vas: Vas | str, command: VasProperty, *, home: Home = ..., timeout: float | None = ...
) -> Any: ...
@overload
def vas_ctl(
    vas: Vas | str,
    command: VasProperty,
    value: Any,
    *,
    home: Home = ...,
    timeout: float | None = ...,
) -> None: ...
def vas_ctl(
    vas: Vas | str,
    command: VasProperty,
    value: Any = None,
    *,
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> Any:
    """Read a property of a VAS, or change it.

    Parameters
    ----------
    vas : Vas or str
    command : str
        "mode": permission bits. "owner": a user number, or a pair of user and group. "tag": address
        space identifier for the MMU model, 0 to 4095, 0 for none. "isolation": "shared" or
        "strict", whether its segments leave their addresses when a thread leaves it.
        "address_limit": bytes of addresses that a window may have, whole GiB, 0 for no limit.
        "page_size", "prefault": those of all segments that it has now (`seg_ctl`), one after the
        other: after a failure or a crash some have the new value. Read, it is None when they
        differ.
    value : optional
        What it is to be; left out, what it is is returned.
    home, timeout
        As for `vas_create`.

    Raises
    ------
    InvalidArgumentError
        The command or the value is out of its range; a segment taken for a VAS has mode and owner
        only.
    AddressConflictError
        The segments exceed that limit.
    NotFoundError, SpaceBusyError, StorePermissionError

    Complexity
    ----------
    O(n) in the number of segments of the VAS, and of VASes of the home.

    Durability
    ----------
    A crash leaves the old value or the new one.

    Examples
    --------
    >>> vas = sj.vas_create("tagged")
    >>> sj.vas_ctl(vas, "tag", 7)
    >>> sj.vas_ctl(vas, "tag")
    7
    """
    if command not in _COMMANDS + _OF_SEGMENTS:
        known = ", ".join(map(repr, _COMMANDS + _OF_SEGMENTS))
        raise InvalidArgumentError(f"command: expected one of {known}, found {command!r}")
    target = _vas(vas, home)
    if command in _OF_SEGMENTS:
        return _of_segments(target, command, value, timeout)
    if value is None:
        return getattr(target.info(), command)
    number = _COMMANDS.index(command)
    core.vas_ctl(target.home, timeout, *target.id, number, _argument(command, value))
    return None


def _of_segments(vas: Vas, command: Any, value: Any, timeout: float | None) -> Any:
    """Read or change what each segment has by itself."""
    segments = [Segment(each.name, each.uuid, vas.home) for each in vas.segments]
    if value is None:
        found = {segment.ctl(command, timeout=timeout) for segment in segments}
        return found.pop() if len(found) == 1 else None
    for segment in segments:
        segment.ctl(command, value, timeout=timeout)
    return None


def _argument(command: str, value: Any) -> int:
    """Make the number that C takes for the value."""
    if command == "isolation":
        if value not in _ISOLATIONS:
            raise InvalidArgumentError(f"isolation: expected 'shared' or 'strict', found {value!r}")
        return _ISOLATIONS.index(value)
    return argument_of(command, value)


def seg_attach(
    vas: Vas | VasHandle | str,
    segment: Segment | str,
    rights: Rights = "rw",
    *,
    window: Window = "all",
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> int | None:
    """Make a segment part of a VAS, for all who have it attached, from their next switch on.

    A segment can be part of any number of VASes, read-only in one and writable in another. One that
    is part of this VAS already gets the rights and the window that are given.

    Parameters
    ----------
    vas : Vas, VasHandle or str
        One that was made by `vas_create`. A handle: for this process alone, as
        `VasHandle.seg_attach` does.
    segment : Segment or str
    rights : {"rw", "r"}
        What the VAS may do with it.
    window : {"all", "fit"} or int
        A VAS that has more than fits into the arena, or into its limit of addresses, is reached
        window by window: in which one the segment is, in all of them, or in the first that has
        room.
    home, timeout
        As for `vas_create`.

    Returns
    -------
    int or None
        The window that it is in; None: in all.

    Raises
    ------
    AddressConflictError
        It overlaps another segment in a common window, or exceeds the limit of addresses.
    InvalidArgumentError
        The VAS is a segment; it has 2048 segments already; an argument is out of its range.
    NotFoundError, SpaceBusyError, StorePermissionError

    Complexity
    ----------
    O(n²) in the number of segments of the VAS, O(n) in that of VASes of the home.

    Durability
    ----------
    A crash leaves the VAS as it was or with the segment.

    Examples
    --------
    >>> vas = sj.vas_create("joined")
    >>> sj.seg_attach(vas, sj.seg_alloc("joint"), "r")
    >>> [(each.name, each.rights, each.window) for each in vas.segments]
    [('joint', 'r', None)]
    """
    if isinstance(vas, Vas | str):
        return _vas(vas, home).seg_attach(segment, rights, window=window, timeout=timeout)
    if window == "fit":
        raise InvalidArgumentError("window: expected 'all' or a number for a handle, found 'fit'")
    vas.seg_attach(segment, rights, window=window)
    return None if window == "all" else window


def seg_detach(
    vas: Vas | VasHandle | str,
    segment: Segment | VasSegment | str,
    *,
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> None:
    """Take a segment out of a VAS, for all who have it attached, from their next switch on.

    Parameters
    ----------
    vas : Vas, VasHandle or str
        A handle: what was attached to it alone.
    segment : Segment, VasSegment or str
    home, timeout
        As for `vas_create`.

    Raises
    ------
    NotFoundError
        It is not part of the VAS, or the VAS is gone.
    InvalidArgumentError
        The VAS is a segment.
    SpaceBusyError, StorePermissionError

    Complexity
    ----------
    As `seg_attach`.

    Durability
    ----------
    A crash leaves the VAS as it was or without the segment.

    Examples
    --------
    >>> vas = sj.vas_create("parted")
    >>> sj.seg_attach(vas, sj.seg_alloc("part"))
    >>> sj.seg_detach(vas, "part")
    >>> vas.segments
    ()
    """
    if isinstance(vas, Vas | str):
        _vas(vas, home).seg_detach(segment, timeout=timeout)
    else:
        vas.seg_detach(segment)
