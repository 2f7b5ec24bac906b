# SPDX-License-Identifier: Apache-2.0
"""What a switch costs: in turn over stores that lie apart, that overlap, and by other means."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import spacejmp as sj
from spacejmp._space import Space
from spacejmp.apps.amounts import GIB, check_room
from spacejmp.apps.exits import CommandError
from spacejmp.apps.gups._gups import make_block
from spacejmp.apps.switch import _costs
from spacejmp.apps.switch._costs import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

    Loop = Callable[[int], Cost]

__all__ = ["PAPER", "Plan", "Row", "run"]

BUDGET_NS = 10e6
"""Of a loop, about."""
SWITCHES_MAX = 200_000
METADATA_BYTES = 32 << 20
"""What a segment has besides a block, at the most, for reserves up to 16 GiB."""
SMALL = 4096

PAPER = (
    ("CR3 load, flushing / tagged, M2", "130 / 224 cycles"),
    ("system call, DragonFly BSD / Barrelfish", "357 / 130 cycles"),
    ("vas_switch, DragonFly BSD, flushing / tagged", "1127 / 807 cycles, 451 / 323 ns"),
    ("vas_switch, Barrelfish, flushing / tagged", "664 / 462 cycles, 266 / 185 ns"),
    ("Linux patch set, 2017", "468 ns"),
    ("map / unmap 1 GiB of 4 KiB pages", "44 / 9.9 ms"),
    ("cached translations, any size", "0.4 … 2.1 µs"),
)
"""What the SpaceJMP paper measured, on machines of 2010 to 2014."""


class Row(NamedTuple):
    """What one kind of switch costs."""

    group: str
    what: str
    segments: int
    """Switched between, or switched into at once."""
    reserved: int
    touched: int
    """Bytes of each segment; of 4 KiB pages that have entries in page tables."""
    ns: float
    """The median of the rounds."""
    ns_min: float
    cycles: float | None
    """Ticks of the time stamp counter; None where there is none."""


class Plan(NamedTuple):
    """What to measure."""

    segments: tuple[int, ...]
    sizes: tuple[int, ...]
    """Bytes that are touched of segments that overlap."""
    memory: int
    """Bytes that two segments may take."""
    rounds: int
    directory: Path

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises
        ------
        CommandError
        """
        for count in self.segments:
            if not 1 <= count <= _costs.SPACES_MAX:
                raise CommandError(f"--segments: expected 1 to {_costs.SPACES_MAX}, found {count}")
        for size in self.sizes:
            if not 4096 <= size <= 64 * GIB:
                raise CommandError(f"--sizes: expected 4K to 64G, found {size}")


def repeated(loops: Mapping[str, Loop], rounds: int) -> dict[str, list[Cost]]:
    """Do the loops in turn, so many rounds, each as often as its share of time allows."""
    found: dict[str, list[Cost]] = {what: [] for what in loops}
    counts = {}
    for what, loop in loops.items():
        loop(2)
        fits = BUDGET_NS / max(loop(2).ns, 1)
        counts[what] = 2 * int(max(1, min(SWITCHES_MAX, fits) // 2))
    for _ in range(rounds):
        for what, loop in loops.items():
            found[what].append(loop(counts[what]))
    return found


def rows_of(
    group: str, found: Mapping[str, list[Cost]], segments: int, reserved: int, touched: int
) -> Iterator[Row]:
    """A row for each loop."""
    for what, costs in found.items():
        times = [cost.ns for cost in costs]
        ticks = statistics.median(cost.ticks for cost in costs)
        median = statistics.median(times)
        yield Row(group, what, segments, reserved, touched, median, min(times), ticks or None)


def in_python(stores: Sequence[sj.Store], how: str, switches: int) -> Cost:
    """`with store.read():` or `.write():`, in turn."""
    holds = [getattr(store, how) for store in stores]
    turns = max(1, switches // len(holds))
    begun = time.thread_time_ns()
    for _ in range(turns):
        for hold in holds:
            with hold():
                pass
    return Cost((time.thread_time_ns() - begun) / (turns * len(holds)), 0.0)


def vases_in_python(handles: Sequence[sj.VasHandle], how: str, switches: int) -> Cost:
    """`vas_switch(handle)`, or `with handle:`, in turn."""
    turns = max(1, switches // len(handles))
    begun = time.thread_time_ns()
    if how == "with":
        for _ in range(turns):
            for handle in handles:
                with handle:
                    pass
    else:
        for _ in range(turns):
            for handle in handles:
                sj.vas_switch(handle)
        sj.vas_switch(None)
    return Cost((time.thread_time_ns() - begun) / (turns * len(handles)), 0.0)


class _Home:
    """Segments of a home that goes when the `with` block ends."""

    def __init__(self, directory: Path) -> None:
        self._exits = ExitStack()
        self._directory = directory

    def __enter__(self) -> Self:
        home = tempfile.TemporaryDirectory(prefix="spacejmp-switch-", dir=self._directory)
        self.catalog = sj.Catalog(self._exits.enter_context(home))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def make(self, name: str, base: int | None = None, reserved: int = GIB) -> Space:
        """Make a segment, and attach it until the end."""
        segment = self.catalog.create(name, base, reserved).segment
        space = Space(self.catalog.segment_path(segment), self.catalog.lock_path(segment))
        self._exits.callback(space.detach)
        return space

    def open(self, name: str) -> sj.Store:
        """Open one as a store, until the end."""
        return self._exits.enter_context(sj.open(name, home=self.catalog.home))

    def attach(self, name: str, segments: Sequence[str]) -> _costs.Attached:
        """Make a VAS of segments, and attach it until the end."""
        home = self.catalog.home
        vas = sj.vas_create(name, home=home)
        for segment in segments:
            vas.seg_attach(sj.seg_find(segment, home=home), "rw")
        attached = _costs.Attached(os.fsencode(home), name.encode(), vas.uuid)
        self._exits.callback(attached.detach)
        return attached

    def handle(self, name: str) -> sj.VasHandle:
        """Attach a VAS for Python, until the end."""
        handle = sj.vas_attach(name, home=self.catalog.home)
        self._exits.callback(handle.detach)
        return handle

    def descriptor(self, name: str) -> int:
        """Open the file of one, until the end."""
        path = self.catalog.segment_path(self.catalog.lookup(name).segment)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._exits.callback(os.close, fd)
        return fd


def resident(plan: Plan) -> Iterator[Row]:
    """Segments that lie apart: the lock is all that there is to take."""
    with _Home(plan.directory) as home:
        spaces = [home.make(f"s{i}") for i in range(max(plan.segments))]
        spaces.sort(key=lambda space: space.base)
        stores = [home.open(f"s{i}") for i in range(min(2, len(spaces)))]
        vases = [home.attach(f"v{i}", [f"s{i}"]) for i in range(len(spaces))]
        handles = [home.handle(f"v{i}") for i in range(len(stores))]
        for count in plan.segments:
            some = spaces[:count]
            loops: dict[str, Loop] = {
                f"C, {how}": partial(_costs.in_turn, some, how) for how in ("read", "write")
            }
            loops["C, vas_switch"] = partial(_costs.vases, vases[:count])
            if count < _costs.SPACES_MAX:
                loops["C, locks held"] = partial(_costs.in_turn, some, "held")
            if count <= len(stores):
                loops["Python, read"] = partial(in_python, stores[:count], "read")
                loops["Python, write"] = partial(in_python, stores[:count], "write")
                for how in ("vas_switch", "with"):
                    what = "Python, with vh" if how == "with" else "Python, vas_switch"
                    loops[what] = partial(vases_in_python, handles[:count], how)
            yield from rows_of("in turn", repeated(loops, plan.rounds), count, GIB, SMALL)
            if count > 1:
                loops = {
                    f"C, {how}": partial(_costs.together, some, how) for how in ("read", "write")
                }
                if count < _costs.SPACES_MAX:  # the VAS itself is inside of the thread's holds too
                    whole = home.attach(f"all{count}", [f"s{i}" for i in range(count)])
                    loops["C, vas_switch"] = partial(_costs.vases, [whole])
                yield from rows_of("at once", repeated(loops, plan.rounds), count, GIB, SMALL)


def overlapping(plan: Plan, reserved: int, touched: int) -> Iterator[Row]:
    """Two segments at the same addresses: page tables move, and how others exchange the memory."""
    both = 2 * touched <= plan.memory
    sizes = (touched, touched if both else SMALL)
    needed = sum(sizes)
    check_room(
        plan.directory,
        needed + needed // 64 + 2 * METADATA_BYTES,
        "use smaller --sizes, or another --directory",
    )
    with _Home(plan.directory) as home:
        one = home.make("one", None, reserved)
        other = home.make("other", one.base, reserved)
        for space, size in zip((one, other), sizes, strict=True):
            _costs.touch(space, make_block(space, size), size)
        file = home.descriptor("one")
        second = home.descriptor("other") if both else file
        stores = [home.open("one"), home.open("other")]
        vases = [home.attach("v1", ["one"]), home.attach("v2", ["other"])]
        loops: dict[str, Loop] = {
            "C, write": partial(_costs.in_turn, [one, other], "write"),
            "C, vas_switch": partial(_costs.vases, vases),
            "C, locks held": partial(_costs.in_turn, [one, other], "held"),
            "Python, write": partial(in_python, stores, "write"),
            "munmap, mmap": partial(_costs.maps, file, second, touched, False),
            "munmap, mmap, refault": partial(_costs.maps, file, second, touched, True),
            "mprotect": partial(_costs.rights, file, second, touched),
        }
        found = repeated(loops, plan.rounds)
    yield from rows_of("overlapping", found, 2 if both else 1, reserved, touched)


def hand_over(plan: Plan) -> Iterator[Row]:
    """To another process."""
    loops: dict[str, Loop] = {}
    for way in ("futex", "pipe"):
        loops[f"{way}, one CPU"] = partial(_costs.hand_over, way, True)
        if len(os.sched_getaffinity(0)) > 1:
            loops[f"{way}, two CPUs"] = partial(_costs.hand_over, way, False)
    yield from rows_of("hand-over", repeated(loops, plan.rounds), 0, 0, 0)


def run(plan: Plan, progress: Callable[[int, int], None] = lambda _done, _total: None) -> list[Row]:
    """Measure all of it.

    Parameters
    ----------
    plan : Plan
    progress : callable
        Called with how many parts are done, and how many there are.

    Raises
    ------
    CommandError
        The plan cannot be done, or memory is short.
    """
    plan.check()
    parts: list[Callable[[], Iterator[Row]]] = [partial(hand_over, plan), partial(resident, plan)]
    pairs = [(-(-(size + METADATA_BYTES) // GIB) * GIB, size) for size in plan.sizes]
    if plan.sizes:
        pairs.append((8 * GIB, plan.sizes[0]))
    parts += [partial(overlapping, plan, *pair) for pair in pairs]
    rows: list[Row] = []
    for done, part in enumerate(parts):
        progress(done, len(parts))
        rows += part()
    progress(len(parts), len(parts))
    return rows
