# SPDX-License-Identifier: Apache-2.0
"""Virtual address spaces that this process has attached, and switching into them.

El Hajj et al., SpaceJMP: Programming with Multiple Virtual Address Spaces, ASPLOS 2016, §3: a
thread attaches a VAS and gets a handle, switches into it, and uses the pointers that are in it as
they are.
"""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import spacejmp._vas as core
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_root_name
from spacejmp.persistence.errors import (
    InvalidArgumentError,
    InvalidNameError,
    NotFoundError,
    StructureTypeError,
)
from spacejmp.records import VasSegment
from spacejmp.segments import Segment, number_of, segment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from spacejmp.records import Rights
    from spacejmp.vas import Vas
    from spacejmp.vas_stats import SegmentStats

__all__ = [
    "AttachedSegment",
    "VasHandle",
    "VasRoots",
    "handle_of",
    "open_stores_with",
    "switch",
]

_RIGHTS = {"r": 1, "rw": 3}

_handles: weakref.WeakValueDictionary[int, VasHandle] = weakref.WeakValueDictionary()
_open_store: list[Callable[[VasHandle, AttachedSegment], Any]] = []


def open_stores_with(opener: Callable[[VasHandle, AttachedSegment], Any]) -> None:
    """Say what opens the store of a segment: the floor above, which knows stores, does so."""
    _open_store[:] = [opener]


class AttachedSegment(NamedTuple):
    """A segment of an attached VAS.

    Attributes
    ----------
    name : str
    uuid : bytes
    base : int
        Its address.
    reserved : int
        Addresses that belong to it, in bytes.
    rights : {"r", "rw"}
        What this process may do with it there.
    window : int or None
        The window that it is in; None: in all.
    lockable : bool
        Whether a switch takes its lock: shared for "r", else exclusive.
    private : bool
        Whether it is attached to this process's handle alone.
    """

    name: str
    uuid: bytes
    base: int
    reserved: int
    rights: Rights
    window: int | None
    lockable: bool
    private: bool


class VasHandle:
    """A VAS that this process has attached; made by `vas_attach`.

    A thread that is inside has the locks of its segments, and all of them at their addresses. It
    gets there with `switch`, which leaves what the thread had switched into before; or for a block:
    ``with vh:`` nests, also with the holds of stores. The addresses that it uses there are ints.

    It can be pickled: it arrives attached.

    Attributes
    ----------
    vas : Vas
    rights : {"r", "rw"}

    Examples
    --------
    >>> vas = sj.vas_create("graph")
    >>> for name in ("graph.nodes", "graph.edges"):
    ...     _ = vas.seg_attach(sj.seg_alloc(name))
    >>> vh = sj.vas_attach(vas)
    >>> with vh:
    ...     edge = vh.malloc("graph.edges", 16)
    ...     node = vh.malloc("graph.nodes", 8)
    ...     vh.write(node, edge.to_bytes(8, "little"))
    ...     vh.roots["first"] = node
    >>> with vh:
    ...     int.from_bytes(vh.read(vh.roots["first"], 8), "little") == edge
    True
    >>> vh.detach()
    """

    __slots__ = ("__weakref__", "_attached", "_stores", "rights", "timeout", "vas")

    def __init__(
        self, vas: Vas, rights: Rights, timeout: float | None, attached: core.Attached
    ) -> None:
        self.vas = vas
        self.rights = rights
        self.timeout = timeout
        self._attached = attached
        self._stores: dict[str, Any] = {}

    @classmethod
    def attach(cls, vas: Vas, rights: Rights, timeout: float | None = None) -> VasHandle:
        """Attach a VAS: see `vas_attach`."""
        if rights not in _RIGHTS:
            raise InvalidArgumentError(f"rights: expected 'r' or 'rw', found {rights!r}")
        if timeout is not None and not timeout >= 0:
            raise InvalidArgumentError(f"timeout: expected None or seconds ≥ 0, found {timeout!r}")
        use_forced_granularity()
        attached = core.Attached(vas.home, vas.id, _RIGHTS[rights], timeout)
        known = _handles.get(attached.handle)
        if known is not None and known._attached.is_same(attached):
            known._attached.absorb(attached)
            return known
        handle = _handles[attached.handle] = cls(vas, rights, timeout, attached)
        return handle

    # -- switching ----------------------------------------------------------------------------

    def switch(self, window: int = 0, *, timeout: float | None = None) -> None:
        """Make it the thread's current VAS: see `vas_switch`."""
        switch(self, window, timeout)

    def inside(self, window: int = 0, *, timeout: float | None = None) -> Inside:
        """Be inside of a window of it for a `with` block; ``with vh:`` is that of window 0.

        Parameters
        ----------
        window : int
        timeout : float, optional
            Seconds to wait for locks and addresses; the handle's own when left out.

        Raises
        ------
        SpaceBusyError
            Others had them for longer.
        HoldUpgradeError
            The thread has a segment for reading that this VAS has for writing.
        InvalidArgumentError
            There is no such window.
        AddressConflictError, NotFoundError, SegmentDamagedError
            The record has changed, and what it says now cannot be attached.

        Complexity
        ----------
        O(segments of the window).
        """
        return Inside(self, window, timeout)

    def __enter__(self) -> Self:
        self._attached.enter(0)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self._attached.leave()
        return False

    def __aenter__(self) -> NoReturn:
        raise TypeError(
            "a VAS cannot be held across an await: other tasks of the thread would run inside of "
            "it; use 'with' around code that does not await, or asyncio.to_thread()"
        )

    def __aexit__(self, *details: object) -> NoReturn:
        raise TypeError("a VAS cannot be held across an await")

    def refresh(self) -> None:
        """Take over changes of the record now, as the next switch would."""
        self._attached.refresh()

    # -- what it is ---------------------------------------------------------------------------

    @property
    def segments(self) -> tuple[AttachedSegment, ...]:
        """Its segments, ascending by base, as the last switch of any thread found them."""
        return tuple(
            AttachedSegment(
                each.name,
                each.uuid,
                each.base,
                each.reserved,
                "rw" if each.rights & 2 else "r",
                None if each.window == core.WINDOW_ALL else each.window,
                each.lockable,
                each.private,
            )
            for each in self._attached.members()
        )

    @property
    def parked(self) -> frozenset[bytes]:
        """The uuids of those of its segments whose addresses are another one's at the moment."""
        return frozenset(each.uuid for each in self._attached.members() if each.parked)

    def stats(self) -> tuple[SegmentStats, ...]:
        """What its segments take up, ascending by base: bytes of files, and page tables.

        Switches and TLB misses are what a model of the MMU counts (`spacejmp.mmu.model`), for the
        process as a whole while a thread is inside of a VAS of several segments.

        Raises
        ------
        SpaceBusyError
            Others were changing a segment for longer than the handle's timeout.
        CorruptError, SegmentDamagedError

        Complexity
        ----------
        O(pages of the segments).

        Examples
        --------
        >>> vas = sj.vas_create("measured")
        >>> vas.seg_attach(sj.seg_alloc("measured.all"))
        >>> [figures] = vas.stats()
        >>> figures.name, figures.parked, figures.table_bytes
        ('measured.all', False, 8192)
        """
        from spacejmp.vas_stats import stats_of  # which knows what a handle is

        return stats_of(self)

    @property
    def windows(self) -> int:
        """How many windows it has: they are numbered from 0."""
        return self._attached.windows

    @property
    def isolation(self) -> Literal["shared", "strict"]:
        """Whether addresses that were left lead nowhere ("strict")."""
        return "strict" if self._attached.strict else "shared"

    @property
    def name(self) -> str:
        """The name of the VAS."""
        return self.vas.name

    @property
    def detached(self) -> bool:
        """Whether `detach` was called as often as it was attached."""
        return self._attached.handle == 0

    def detach(self) -> None:
        """Detach it: see `vas_detach`."""
        number = self._attached.handle
        self._attached.detach()
        if self.detached:
            _handles.pop(number, None)
            while self._stores:
                self._stores.popitem()[1].close()

    def store(self, segment: str) -> Any:
        """The store on one of its segments, with the rights that it has here.

        Its structures can be used inside of the VAS, and outside. It is closed with the handle.

        Parameters
        ----------
        segment : str

        Returns
        -------
        Store

        Raises
        ------
        NotFoundError
            The VAS has no such segment.
        """
        opened = self._stores.get(segment)
        if opened is not None and not opened.closed:
            return opened
        for each in self.segments:
            if each.name == segment:
                opened = self._stores[segment] = _open_store[0](self, each)
                return opened
        names = ", ".join(repr(each.name) for each in self.segments) or "none"
        raise NotFoundError(f"VAS {self.name!r} has no segment {segment!r}; it has {names}")

    # -- segments of this process alone ---------------------------------------------------------

    def seg_attach(
        self,
        segment: Segment | str,
        rights: Rights = "rw",
        *,
        window: int | Literal["all"] = "all",
    ) -> None:
        """Attach a segment to this handle alone; nobody else sees it in the VAS.

        Parameters
        ----------
        segment : Segment or str
            Of the VAS's home.
        rights : {"rw", "r"}
        window : int or "all"

        Raises
        ------
        AlreadyExistsError
            It is in the VAS.
        AddressConflictError
            It overlaps another segment of the window.
        NotFoundError, SpaceBusyError, StorePermissionError
        """
        if rights not in _RIGHTS:
            raise InvalidArgumentError(f"rights: expected 'r' or 'rw', found {rights!r}")
        named = segment_of(segment, self.vas.home)
        where = core.WINDOW_ALL if window == "all" else number_of("window", window, 65536)
        self._attached.add_private(named.home, named.id, _RIGHTS[rights], where)

    def seg_detach(self, segment: Segment | VasSegment | AttachedSegment | str) -> None:
        """Take a segment away that `seg_attach` has attached.

        Raises
        ------
        NotFoundError
            It is no private segment of this handle.
        """
        if isinstance(segment, str):
            found = [each.uuid for each in self.segments if each.private and each.name == segment]
            if not found:
                raise NotFoundError(f"VAS {self.name!r} has no private segment {segment!r}")
            self._attached.remove_private(found[0])
        elif not isinstance(segment, Segment | VasSegment | AttachedSegment):
            raise TypeError(f"expected a segment, or its name, found {segment!r}")
        else:
            self._attached.remove_private(segment.uuid)

    # -- memory -------------------------------------------------------------------------------

    def malloc(self, segment: str, size: int) -> int:
        """Allocate memory in a segment: see `seg_malloc`."""
        return self._attached.malloc(segment, number_of("size", size))

    def free(self, pointer: int) -> None:
        """Give memory back: see `seg_free`."""
        self._attached.free(number_of("pointer", pointer))

    def read(self, pointer: int, size: int) -> bytes:
        """The bytes at an address, if all of them can be reached.

        Raises
        ------
        HoldError
            The thread is not inside of the VAS.
        InvalidArgumentError
            No segment has them.
        SegmentDamagedError
            The segment's file has lost bytes.
        """
        return self._attached.read(number_of("pointer", pointer), number_of("size", size))

    def write(self, pointer: int, data: Buffer) -> None:
        """Store bytes into memory of `malloc`, as one atomic operation.

        Raises
        ------
        HoldError
            The thread is not inside of the VAS.
        InvalidArgumentError
            They do not lie in one block of `malloc`, or those to store do not lie together.
        ReadOnlyError, SpaceFullError

        Durability
        ----------
        As that of the segment's store: all or nothing, with the transaction if one is open.
        """
        view = memoryview(data)
        if not view.c_contiguous:
            raise InvalidArgumentError(
                f"data: expected bytes that lie together, found a view with the strides "
                f"{view.strides}: copy it first"
            )
        # What is empty has zeros in its shape, which cannot be cast.
        plain = view.cast("B") if view.nbytes else memoryview(b"")
        self._attached.write(number_of("pointer", pointer), plain)

    def change(self, pointer: int, size: int) -> None:
        """Announce that bytes of `malloc` are going to be stored to directly, as with ctypes.

        In a transaction of the segment's store: until it ends, and if it is undone the bytes are
        what they were. Outside: until the thread leaves the VAS.

        Raises
        ------
        HoldError, ReadOnlyError, InvalidArgumentError
            As `write`; durability "power" needs a transaction.
        """
        self._attached.change(number_of("pointer", pointer), number_of("size", size))

    @property
    def roots(self) -> VasRoots:
        """Pointers by name: a live mapping, for a thread that is inside."""
        return VasRoots(self)

    def __repr__(self) -> str:
        if self.detached:
            return f"<VasHandle {self.name!r}, detached>"
        return f"<VasHandle {self.name!r}, rights {self.rights!r}, home {self.vas.home!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return VasHandle.attach, (self.vas, self.rights)


class Inside:
    """Being inside of a window of a VAS, for a `with` block."""

    __slots__ = ("_handle", "_timeout", "_window")

    def __init__(self, handle: VasHandle, window: int, timeout: float | None) -> None:
        self._handle = handle
        self._window = window
        self._timeout = timeout

    def __enter__(self) -> VasHandle:
        self._handle._attached.enter(_window(self._window), self._timeout)
        return self._handle

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self._handle._attached.leave()
        return False


class VasRoots(MutableMapping[str, int]):
    """Pointers of an attached VAS by name: each is kept in the segment that it leads into.

    The thread is inside of the VAS: HoldError.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: VasHandle) -> None:
        self._handle = handle

    def __getitem__(self, name: str) -> int:
        try:
            return self._handle._attached.root_get(check_root_name(name))
        except (NotFoundError, StructureTypeError):
            names = ", ".join(repr(other) for other in self) or "none"
            raise NotFoundError(
                f"VAS {self._handle.name!r} has no pointer named {name!r}; it has {names}"
            ) from None

    def __setitem__(self, name: str, pointer: int) -> None:
        self._handle._attached.root_set(check_root_name(name), number_of("pointer", pointer))

    def __delitem__(self, name: str) -> None:
        self._handle._attached.root_remove(check_root_name(name))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self._handle._attached.root_get(check_root_name(name))
        except (NotFoundError, InvalidNameError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({name for name, _ in self._handle._attached.roots()}))

    def __len__(self) -> int:
        return len({name for name, _ in self._handle._attached.roots()})

    def __repr__(self) -> str:
        return f"VasRoots({dict(self)!r})"


def _window(window: int) -> int:
    return number_of("window", window, 1 << 32)


def switch(to: VasHandle | None, window: int, timeout: float | None) -> VasHandle | None:
    """Switch, and return what the thread was in before: see `vas_switchm`."""
    if not (to is None or isinstance(to, VasHandle)):
        raise TypeError(
            f"expected what vas_attach has returned, or None for the initial space, found {to!r}"
        )
    attached = None if to is None else to._attached
    return _handles.get(core.switch(attached, _window(window), timeout))


def handle_of(number: int) -> VasHandle | None:
    """The handle that the core knows by that number."""
    return _handles.get(number)
