# SPDX-License-Identifier: Apache-2.0
"""Attaching virtual address spaces, switching into them, and memory in their segments.

The functions of El Hajj et al., SpaceJMP: Programming with Multiple Virtual Address Spaces, ASPLOS
2016, §3, for what is attached; `spacejmp.vas` has those for names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import spacejmp._vas as core
from spacejmp.vas import Vas, vas_find
from spacejmp.vas_handle import VasHandle, handle_of, switch

if TYPE_CHECKING:
    from spacejmp.records import Rights
    from spacejmp.segments import Home

__all__ = [
    "current",
    "seg_free",
    "seg_malloc",
    "vas_attach",
    "vas_detach",
    "vas_switch",
    "vas_switchm",
]


def vas_attach(
    vas: Vas | str, rights: Rights = "rw", *, home: Home = None, timeout: float | None = None
) -> VasHandle:
    """Attach a VAS to this process: its segments are mapped, and threads can switch into it.

    A process has one handle for a VAS and its rights: attaching again gives the same one, which is
    detached when `vas_detach` was called as often.

    Parameters
    ----------
    vas : Vas or str
        A segment is a VAS too.
    rights : {"rw", "r"}
        What this process may do with it. A segment has those of both, the VAS and the attachment.
    home : path, optional
        For a name; as for `spacejmp.open`.
    timeout : float, optional
        Seconds that this, and later switches, wait for others; None: for ever.

    Returns
    -------
    VasHandle

    Raises
    ------
    NotFoundError
        There is no such VAS, or one of its segments is gone.
    AddressConflictError
        Addresses of its segments are taken by something that is not a segment.
    SpaceBusyError
        Other threads are inside of segments with the same addresses, for longer than the timeout.
    StorePermissionError, CorruptError, UncleanShutdownError
        What opening the store of a segment raises.

    Complexity
    ----------
    O(segments); nothing is loaded.

    Examples
    --------
    >>> vas = sj.vas_create("attached")
    >>> vas.seg_attach(sj.seg_alloc("attached.data"))
    >>> vh = sj.vas_attach("attached")
    >>> [segment.name for segment in vh.segments]
    ['attached.data']
    >>> vh.detach()
    """
    found = vas if isinstance(vas, Vas) else vas_find(vas, home=home)
    return VasHandle.attach(found, rights, timeout)


def vas_detach(handle: VasHandle) -> None:
    """Detach a VAS; nothing happens to one that is detached already.

    Raises
    ------
    SpaceBusyError
        A thread of this process is inside of it; it stays attached then.
    StoreIOError
        The storage of a segment failed; the VAS is detached all the same.
    """
    handle.detach()


def vas_switch(handle: VasHandle | None, window: int = 0, *, timeout: float | None = None) -> None:
    """Leave what the thread has switched into, and make another VAS its current one.

    Parameters
    ----------
    handle : VasHandle or None
        None: the initial space, in which the thread holds nothing.
    window : int
        Which window of the VAS.
    timeout : float, optional
        Seconds to wait for locks and addresses; the handle's own when left out.

    Raises
    ------
    SpaceBusyError
        The thread is inside of a `with` block of a store or a VAS, and has to leave that first; or
        others had what it needs for longer than the timeout: then it is in the initial space.
    InvalidArgumentError
        There is no such window; nothing has changed.
    AddressConflictError, NotFoundError, SegmentDamagedError
        The record has changed, and what it says now cannot be attached; nothing has changed.

    Complexity
    ----------
    O(segments of both).

    Durability
    ----------
    Leaving makes what was committed durable, as the end of a hold does; it undoes a transaction
    that is open.

    Examples
    --------
    >>> vh = sj.vas_attach(sj.vas_create("switched"))
    >>> sj.vas_switch(vh)
    >>> sj.current() is vh
    True
    >>> sj.vas_switch(None)
    >>> vh.detach()
    """
    switch(handle, window, timeout)


def vas_switchm(
    handle: VasHandle | None, window: int = 0, *, timeout: float | None = None
) -> VasHandle | None:
    """Switch as `vas_switch` does, and return what the thread was in before.

    Returns
    -------
    VasHandle or None
    """
    return switch(handle, window, timeout)


def current() -> VasHandle | None:
    """The VAS that the calling thread is inside of, the innermost; None: none.

    Examples
    --------
    >>> sj.current() is None
    True
    """
    return handle_of(core.current())


def seg_malloc(handle: VasHandle, segment: str, size: int) -> int:
    """Allocate memory in a segment of the VAS that the thread is inside of.

    It is the caller's until `seg_free`, whatever processes die; its contents are undefined.

    Parameters
    ----------
    handle : VasHandle
    segment : str
    size : int
        Bytes.

    Returns
    -------
    int
        Its address, a multiple of 16, which it has in every process.

    Raises
    ------
    HoldError
        The thread is not inside of the VAS.
    NotFoundError
        No segment in reach has the name.
    SpaceFullError, TooLargeError, ReadOnlyError

    Durability
    ----------
    An atomic operation, or part of the transaction that is open on the segment.
    """
    return handle.malloc(segment, size)


def seg_free(handle: VasHandle, pointer: int) -> None:
    """Give memory of `seg_malloc` back.

    Raises
    ------
    InvalidArgumentError
        It is not the address of such memory, or has been freed.
    HoldError, ReadOnlyError
    """
    handle.free(pointer)
