# SPDX-License-Identifier: Apache-2.0
"""Machines: address spaces with page tables, a TLB, and what things cost (docs/mmu.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spacejmp.mmu import _mmu
from spacejmp.persistence.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64] | Sequence[int] | int

__all__ = ["PAGE_SIZES", "Counters", "Machine", "Preset", "Segment", "Switches", "System", "Tables"]
__all__ += ["Vas", "Work", "presets", "systems"]

PAGE_SIZES = {4096: 1, 2 << 20: 2, 1 << 30: 3}
"""Bytes of a page, and the level of the table whose entry maps it."""

TABLE_BYTES = 4096
LEVELS_MAX = 5


class Preset(NamedTuple):
    """A CPU that a machine can have."""

    name: str
    title: str
    ghz: float
    first: list[tuple[int, int]]
    """(entries, ways) of the first-level TLB for each page size, or of the one for all."""
    second: list[tuple[int, int, int]]
    """(entries, ways, page sizes) of the second level; bits 1, 2, 4 for 4 KiB, 2 MiB, 1 GiB."""
    walk: list[tuple[int, int]]
    """(entries, ways) of the walk caches for entries of levels 2 … 5."""
    tags: bool
    costs: tuple[float, float, float, float, float, float, float, float]
    """Cycles: an access, a hit in the second level, a walk, each entry it reads in the first data
    cache, in the second, from farther away; a load of CR3 that flushes, one with a tag."""


class System(NamedTuple):
    """What does the switching."""

    name: str
    title: str
    call: float
    """Cycles of a system call, in and out."""
    bookkeeping: float
    """Cycles of a switch apart from the call, CR3 and translations."""
    pages: int
    """Pages that a switch touches after it has loaded CR3."""


class Work(NamedTuple):
    """What an operation on page tables did."""

    entries: int
    """Entries of pages that were written."""
    links: int
    """Entries that were written to lead to, or away from, tables that were there."""
    tables_made: int
    tables_freed: int
    ns: float
    """What it takes, by the costs of the system."""


class Counters(NamedTuple):
    """What the accesses to a VAS met.

    ``accesses = first_hits + second_hits + walks``.
    """

    accesses: int
    writes: int
    first_hits: int
    second_hits: int
    walks: int
    faults: int
    """Walks that found no page, or one that may not be written."""
    loads: tuple[int, int, int]
    """Entries that walks read: in the first data cache, in the second, from farther away."""
    walk_reads: tuple[int, int, int, int, int]
    """The same entries by level, from 1."""
    translation_cycles: float
    """What the accesses cost more than with a TLB that knows everything."""
    cycles: float


class Switches(NamedTuple):
    """Switches to a VAS."""

    flushing: int
    tagged: int
    walks: int
    """Walks for pages of the kernel within the switches."""
    cycles: float
    """Of all switches together, with those walks, without the ones that follow."""


class Tables(NamedTuple):
    """Page tables that a VAS leads to, by level, from 1."""

    own: tuple[int, int, int, int, int]
    shared: tuple[int, int, int, int, int]
    """Those that others link as well; the kernel's are among them."""

    @property
    def own_bytes(self) -> int:
        """Bytes of the tables that no other VAS has."""
        return TABLE_BYTES * sum(self.own)

    @property
    def bytes(self) -> int:
        """Bytes of all of them."""
        return TABLE_BYTES * (sum(self.own) + sum(self.shared))


def presets() -> dict[str, Preset]:
    """The CPUs that there are, by name."""
    return {found[0]: Preset(*found) for found in _mmu.presets()}


def systems() -> dict[str, System]:
    """The systems that there are, by name."""
    return {found[0]: System(*found) for found in _mmu.systems()}


def _level_of(page_size: int) -> int:
    if page_size not in PAGE_SIZES:
        raise InvalidArgumentError(
            f"expected a page size of 4096, 2 MiB or 1 GiB, found {page_size!r} bytes"
        )
    return PAGE_SIZES[page_size]


class Segment:
    """Page tables of their own for a range of addresses, which VASes link; made by `Machine`."""

    __slots__ = ("_core", "base", "number")

    def __init__(self, machine: Machine, number: int, base: int) -> None:
        self._core = machine._core
        self.base = base
        self.number = number

    @property
    def bytes(self) -> int:
        """Bytes that are mapped."""
        return self._core.segment_bytes(self.number)[0]

    @property
    def reserved(self) -> int:
        """Bytes that its linked tables cover."""
        return self._core.segment_bytes(self.number)[1]

    def grow(self, size: int) -> Work:
        """Map it up to `size` bytes, for all that have it linked.

        Raises
        ------
        InvalidArgumentError
            More than it reserves.
        """
        return Work(*self._core.segment_grow(self.number, size))


class Vas:
    """An address space of a machine; made by `Machine.vas`."""

    __slots__ = ("_core", "_machine", "name", "number")

    def __init__(self, machine: Machine, number: int, name: str) -> None:
        self._machine = machine
        self._core = machine._core
        self.number = number
        self.name = name

    def map(self, base: int, size: int, page_size: int = 4096, *, writable: bool = True) -> Work:
        """Map pages; what is mapped so already stays.

        Parameters
        ----------
        base, size : int
            Bytes, multiples of `page_size`; canonical addresses.
        page_size : {4096, 2097152, 1073741824}
        writable : bool
            Writes to other pages are faults, if the TLB does not have them yet.

        Raises
        ------
        InvalidArgumentError
        AlreadyExistsError
            A page of another size is in the way.

        Complexity
        ----------
        O(pages)

        Examples
        --------
        >>> from spacejmp.mmu import Machine
        >>> vas = Machine("m2").vas("a")
        >>> work = vas.map(0x3000_0000_0000, 1 << 30)
        >>> work.entries, work.tables_made
        (262144, 514)
        >>> round(work.ns / 1e6)
        44
        """
        return Work(*self._core.map(self.number, base, size, _level_of(page_size), writable))

    def unmap(self, base: int, size: int) -> Work:
        """Unmap what lies in a range; the TLB forgets it.

        Tables that other VASes link stay as they are for those, if the range has them whole.
        """
        return Work(*self._core.unmap(self.number, base, size))

    def link(self, segment: Segment, *, writable: bool = True) -> Work:
        """Link a segment's page tables in, instead of mapping its pages: cached translations.

        Complexity
        ----------
        O(1) for segments of at most 1 GiB, or at a multiple of 512 GiB; else O(size / 1 GiB).

        Examples
        --------
        >>> from spacejmp.mmu import Machine
        >>> machine = Machine("m2")
        >>> segment = machine.segment(0x3000_0000_0000, 1 << 30)
        >>> machine.vas("a").link(segment)[:3]
        (0, 1, 1)
        """
        return Work(*self._core.link(self.number, segment.number, writable))

    def unlink(self, segment: Segment) -> Work:
        """Unlink a segment's page tables."""
        return self.unmap(segment.base, segment.reserved)

    def move(self, start: int, to: int, size: int) -> Work:
        """Move what is mapped, as ``mremap`` does: entries of the highest level that fits."""
        return Work(*self._core.move(self.number, start, to, size))

    def switch(self, tag: int = 0) -> None:
        """Make it the machine's current VAS; see `Machine.switch`."""
        self._machine.switch(self, tag)

    @property
    def counters(self) -> Counters:
        """What the accesses met while it was the current one."""
        return Counters(*self._core.counts(self.number))

    @property
    def switches(self) -> Switches:
        """The switches to it."""
        return Switches(*self._core.switches(self.number))

    @property
    def tables(self) -> Tables:
        """Its page tables. O(tables)."""
        return Tables(*self._core.census(self.number))

    def stats(self) -> dict[str, int | float]:
        """All figures of the VAS: counters, switches and page tables.

        Examples
        --------
        >>> from spacejmp.mmu import Machine
        >>> vas = Machine("m2").vas()
        >>> vas.switch()
        >>> stats = vas.stats()
        >>> stats["switches"], stats["switch_walks"], stats["table_bytes"]
        (1, 12, 16384)
        """
        counters, switches, tables = self.counters, self.switches, self.tables
        return {
            **{name: getattr(counters, name) for name in Counters._fields[:6]},
            "translation_cycles": counters.translation_cycles,
            "cycles": counters.cycles,
            "switches": switches.flushing + switches.tagged,
            "flushing_switches": switches.flushing,
            "switch_walks": switches.walks,
            "switch_cycles": switches.cycles,
            "own_table_bytes": tables.own_bytes,
            "table_bytes": tables.bytes,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vas) and other._core is self._core and other.number == self.number

    def __hash__(self) -> int:
        return hash((id(self._core), self.number))

    def __repr__(self) -> str:
        return f"<Vas {self.name!r}, number {self.number}>"


class Machine:
    """A model of a CPU's address translation, with the address spaces that it knows.

    Parameters
    ----------
    preset : str
        A CPU, one of `presets`: "m1", "m2", "m3" of the SpaceJMP paper, or a later one.
    system : str
        What a switch does beside loading CR3, one of `systems`.
    levels : {4, 5}
        Of page tables.

    Notes
    -----
    One thread at a time may use a machine; SpaceBusyError for another one.

    Examples
    --------
    >>> machine = Machine("m3", "barrelfish")
    >>> a, b = machine.vas("a"), machine.vas("b")
    >>> segment = machine.segment(0x3000_0000_0000, 64 << 12)
    >>> work = a.link(segment), b.link(segment)
    >>> for tag, vas in enumerate((a, b, a, b)):
    ...     machine.switch(vas, tag=0)
    ...     machine.access(range(0x3000_0000_0000, 0x3000_0000_0000 + (64 << 12), 4096))
    >>> a.counters.walks, a.switches.flushing
    (128, 2)
    """

    def __init__(self, preset: str = "m3", system: str = "dragonfly", *, levels: int = 4) -> None:
        self._core = _mmu.MachineCore(preset, system, levels)
        self.preset = presets()[preset]
        self.system = systems()[system]
        self.levels = levels
        self._names: dict[int, str] = {}

    def vas(self, name: str = "") -> Vas:
        """Make an empty address space; the kernel's pages are in it."""
        number = self._core.vas_create()
        self._names[number] = name or f"vas{number}"
        return self._vas(number)

    def _vas(self, number: int) -> Vas:
        return Vas(self, number, self._names.get(number, f"vas{number}"))

    def segment(
        self, base: int, size: int, page_size: int = 4096, *, reserve: int | None = None
    ) -> Segment:
        """Make page tables for a segment.

        Parameters
        ----------
        base, size : int
            Bytes, multiples of `page_size`.
        page_size : {4096, 2097152, 1073741824}
        reserve : int, optional
            Bytes up to which it may grow.
        """
        number = self._core.segment_create(base, size, reserve or 0, _level_of(page_size))
        return Segment(self, number, base)

    def switch(self, vas: Vas, tag: int = 0) -> None:
        """Make a VAS the current one.

        Parameters
        ----------
        vas : Vas
        tag : int
            Below 4096. 0: the TLB forgets what had tag 0. Others: what the VAS had in the TLB under
            that tag counts again, unless another VAS was given the tag since. A CPU without tags
            forgets everything each time.
        """
        self._core.switch(vas.number, tag)

    def access(self, addresses: Addresses | range, *, write: bool = False) -> None:
        """Access addresses one after the other in the current VAS.

        Parameters
        ----------
        addresses : ndarray of uint64, or integers

        Complexity
        ----------
        20 to 300 million a second; the GIL is released.
        """
        import numpy as np

        self._core.access(np.ascontiguousarray(addresses, dtype=np.uint64).data, write)

    @property
    def current(self) -> tuple[Vas, int] | None:
        """The current VAS and its tag."""
        found = self._core.current
        return None if found is None else (self._vas(found[0]), found[1])

    @property
    def tables(self) -> tuple[int, int, int, int, int]:
        """All page tables of the machine by level, from 1, each counted once."""
        return self._core.tables()

    @property
    def table_bytes(self) -> int:
        """Bytes of all page tables of the machine, each counted once."""
        return TABLE_BYTES * sum(self._core.tables())

    def reset(self, *, cold: bool = False) -> None:
        """Set all counters to 0; with `cold` the TLB and the data caches forget everything."""
        self._core.reset(cold)
