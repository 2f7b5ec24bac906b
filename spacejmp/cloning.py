# SPDX-License-Identifier: Apache-2.0
"""Clones of segments and of whole VASes: the same data at the same addresses, by other names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from spacejmp._clone import clone_named
from spacejmp.home import check_mode
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_name
from spacejmp.segments import TIMEOUT, Home, Segment, segment_of
from spacejmp.vas import Vas, vas_find

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["seg_clone", "vas_clone"]


def seg_clone(
    segment: Segment | str,
    new: str,
    *,
    mode: int | None = None,
    durability: Literal["process", "power"] | None = None,
    progress: Callable[[int, int], object] | None = None,
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> Segment:
    """Make a segment of another name with the same data, at the same addresses.

    All pointers in it hold. `Catalog.clone` does the same with a store, which a segment is.

    Parameters
    ----------
    segment : Segment or str
    new : str
        1 to 128 letters, digits, ``.``, ``_`` and ``-``.
    mode : int, optional
        Permissions of the files; those of the original when left out.
    durability : {"process", "power"}, optional
        As the original's when left out.
    progress : callable, optional
        Called now and then with the bytes that are done and those that there are. An exception
        that it raises ends the copy.
    home, timeout
        As for `vas_create`.

    Returns
    -------
    Segment

    Raises
    ------
    AlreadyExistsError
        The name is taken.
    NotFoundError, SpaceFullError, InvalidArgumentError, SpaceBusyError, CorruptError, …
        As `Catalog.clone`.

    Complexity
    ----------
    O(bytes of the segment), or O(1) where the filesystem shares blocks.

    Durability
    ----------
    Once it returns the clone survives power loss, if the filesystem does. A crash before leaves
    the whole clone or nothing.

    Examples
    --------
    >>> original = sj.seg_alloc("plan")
    >>> copy = original.clone("plan-b")
    >>> copy.info().base == original.info().base
    True
    """
    check_name(new, "segment")
    if mode is not None:
        check_mode(mode)
    target = segment_of(segment, home)
    use_forced_granularity()
    uuid = clone_named(
        target.home,
        timeout,
        False,
        target.id,
        new,
        mode=mode,
        durability=durability,
        progress=progress,
    )
    return Segment(new, uuid, target.home)


def vas_clone(
    vas: Vas | str,
    new: str,
    *,
    mode: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    home: Home = None,
    timeout: float | None = TIMEOUT,
) -> Vas:
    """Make a VAS of clones of all segments of another one, at the same addresses.

    All pointers hold, also those between its segments: all are held for reading at once, so they
    are as they were at one moment. Rights, windows, tag, isolation and limit are the original's.

    A segment's clone is called as the segment is, after the new VAS's name and a dot; the old
    VAS's name and dot, if it begins so, are left out. Of ``a`` with ``a.x`` and ``y``, the clone
    ``b`` has ``b.x`` and ``b.y``. A segment taken for a VAS is cloned as `seg_clone` does.

    Parameters
    ----------
    vas : Vas or str
    new : str
        1 to 128 letters, digits, ``.``, ``_`` and ``-``.
    mode : int, optional
        Permissions of the VAS and of its segments' files; those of the originals when left out.
    progress : callable, optional
        As of `seg_clone`; bytes of all segments.
    home, timeout
        As for `vas_create`.

    Returns
    -------
    Vas

    Raises
    ------
    AlreadyExistsError
        The name, or that of a segment's clone, is taken.
    InvalidNameError
        The name of a segment's clone would be too long.
    InvalidArgumentError
        The VAS has more than 128 segments, which a thread can hold at once; the thread is inside
        of a transaction of one.
    SpaceBusyError
        Others were changing a segment, or the catalog, for longer than the timeout.
    NotFoundError, SpaceFullError, CorruptError, StorePermissionError, …
        As `seg_clone`, for any segment. Nothing has been made then.

    Complexity
    ----------
    O(bytes of the segments), or O(n) in their number where the filesystem shares blocks. Who wants
    to change one of them waits meanwhile.

    Durability
    ----------
    Once it returns the clone survives power loss, if the filesystem does. A crash before leaves
    the whole clone, or segments that no VAS names and the next change of the catalog removes.

    Examples
    --------
    >>> study = sj.vas_create("study")
    >>> for name in ("study.reads", "study.index"):
    ...     _ = study.seg_attach(sj.seg_alloc(name))
    >>> trial = study.clone("trial")
    >>> sorted(segment.name for segment in trial.segments)
    ['trial.index', 'trial.reads']
    """
    check_name(new, "VAS")
    if mode is not None:
        check_mode(mode)
    target = vas if isinstance(vas, Vas) else vas_find(vas, home=home)
    use_forced_granularity()
    uuid = clone_named(target.home, timeout, True, target.id, new, mode=mode, progress=progress)
    return Vas(new, uuid, target.home)
