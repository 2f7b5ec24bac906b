# SPDX-License-Identifier: Apache-2.0
"""Traces and models: machines driven by what a thread really does with its stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spacejmp.mmu import _mmu
from spacejmp.mmu.machine import Machine, Vas
from spacejmp.persistence.errors import InvalidArgumentError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

__all__ = ["Events", "Model", "Trace", "model", "trace"]


class Events(NamedTuple):
    """What a model has seen."""

    attached: int
    detached: int
    switched: int
    """Spaces entered and left; a single operation outside a hold is both."""
    parked: int
    grown: int


class Trace:
    """The addresses that a thread touches in stores; made by `trace`."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise InvalidArgumentError(f"expected a limit ≥ 1, found {limit!r}")
        self._core = _mmu.TraceCore(limit)

    @property
    def records(self) -> npt.NDArray[np.void]:
        """What was touched, in order, as a structured array.

        Its fields: ``at`` (address), ``bytes`` (from there on), ``kind`` (of the block, if its head
        was touched; else 0) and ``write``.
        """
        import numpy as np

        fields = [("at", "<u8"), ("bytes", "<u4"), ("kind", "<u2"), ("write", "<u2")]
        return np.frombuffer(self._core.records(), dtype=fields)

    @property
    def addresses(self) -> npt.NDArray[np.uint64]:
        """The first addresses of all of them, which `Machine.access` takes."""
        import numpy as np

        return np.ascontiguousarray(self.records["at"])

    @property
    def lost(self) -> int:
        """Records that were too many."""
        return self._core.lost

    def clear(self) -> None:
        """Forget what was recorded."""
        self._core.clear()

    def __enter__(self) -> Self:
        self._core.begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._core.end()


class Model:
    """A machine driven by a thread's events; made by `model`."""

    def __init__(self, machine: Machine, tagged: bool) -> None:
        self.machine = machine
        self.tagged = tagged
        self._core = _mmu.ModelCore(machine._core)

    @property
    def vases(self) -> dict[str, Vas]:
        """The VASes by the name of their store. Detached ones keep their counts."""
        self._core.drain()
        return {name: Vas(self.machine, number, name) for name, number, _ in self._core.spaces()}

    @property
    def process(self) -> Vas:
        """The VAS of the process itself, which has all segments."""
        self._core.drain()
        return Vas(self.machine, self._core.process, "process")

    @property
    def events(self) -> Events:
        """How often what has happened."""
        self._core.drain()
        return Events(*self._core.events)

    def reset(self, *, cold: bool = False) -> None:
        """Begin to count anew; see `Machine.reset`."""
        self._core.drain()
        self.machine.reset(cold=cold)

    def __enter__(self) -> Self:
        self._core.begin(self.tagged)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._core.end()


def trace(limit: int = 1 << 20) -> Trace:
    """Record the addresses that this thread touches in stores, in a `with` block.

    Nodes, directories, buckets, entries and blobs that are read, and when an operation commits, the
    ranges it has changed and its log. Results are the same as without a trace; operations of all
    threads take some ten nanoseconds more as long as one goes on, and nothing when none does.

    Parameters
    ----------
    limit : int
        Records, of 16 bytes, that are kept: the first ones.

    Raises
    ------
    SpaceBusyError
        The thread has a trace or a model already.

    Examples
    --------
    >>> import spacejmp.mmu as mmu
    >>> with sj.open("demo", durability="process") as store:
    ...     numbers = store.hashmap("numbers", key="int", value="int")
    ...     numbers[7] = 49
    ...     with mmu.trace() as t:
    ...         numbers[7]
    ...     len({address >> 12 for address in t.addresses.tolist()}) > 0
    49
    True
    """
    return Trace(limit)


def model(
    preset: str | Machine = "m3",
    system: str = "dragonfly",
    *,
    tagged: bool = False,
    levels: int = 4,
) -> Model:
    """Let a machine follow what this thread does with its stores, in a `with` block.

    Each store is a VAS of the machine; to enter it (an operation, or a hold) and to leave it is a
    switch; its file's growth maps pages.

    Parameters
    ----------
    preset, system, levels
        As for `Machine`; or a machine that was made already, as `preset`.
    tagged : bool
        Whether each VAS has a tag of its own; else all have tag 0, which flushes.

    Raises
    ------
    SpaceBusyError
        The thread has a trace or a model already, or is inside of a hold.

    Examples
    --------
    >>> import spacejmp.mmu as mmu
    >>> with sj.open("demo") as store, mmu.model("m3", tagged=True) as m:
    ...     tree = store.btree("tree", key="int", value="int")
    ...     tree[1] = 2
    ...     vas = m.vases["demo"]
    ...     vas.counters.faults, vas.switches.flushing, vas.counters.accesses > 0
    (0, 0, True)
    """
    machine = preset if isinstance(preset, Machine) else Machine(preset, system, levels=levels)
    return Model(machine, tagged)
