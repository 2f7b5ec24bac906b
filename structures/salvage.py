# SPDX-License-Identifier: Apache-2.0
"""`salvage`: every entry of a damaged store that can still be read, in a new store.

What there is comes from `Remains`; here is how it gets into the new store.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

import spacejmp._catalog as core
from spacejmp._space import attached_spaces
from spacejmp.arena import GIB
from spacejmp.catalog import Catalog
from spacejmp.names import check_name
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    SpaceFullError,
    SpaceJmpError,
)
from spacejmp.structures import _salvage, salvage_arrays
from spacejmp.structures.opening import open as open_store
from spacejmp.structures.remains import SEQUENCES, Remains, SalvagedRoot, SalvageReport
from spacejmp.structures.salvage_arrays import BLOCKS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from spacejmp.structures.store import Store

__all__ = ["salvage"]

_BATCHES = 40  # of 256 entries, in a transaction
_MADE_TOGETHER = 1000  # structures, in a transaction


def _free_base(catalog: Catalog, remains: Remains, reserved: int) -> int:
    """Addresses that no known store has, and not the damaged one, whose place nobody else knows."""
    extents = [(remains.facts["base"], max(reserved, remains.facts["reserved"]))]
    extents += [(start, size) for _, start, size in attached_spaces()]
    for name in catalog.names():
        with contextlib.suppress(SpaceJmpError):
            segment = catalog.lookup(name).segment
            extents.append((segment.base, segment.reserved))
    base = core.place(extents, reserved, remains.facts["base"] // GIB)
    if base is None:
        raise SpaceFullError(f"{catalog.home!r}: expected {reserved // GIB} GiB of free addresses")
    return base


def _create(catalog: Catalog, remains: Remains, out: str) -> None:
    """Make the new store, as the damaged one was, beside its addresses."""
    reserved = remains.facts["reserved"]
    durability: Literal["process", "power"] = "power" if remains.facts["power"] else "process"
    made = catalog.create(out, reserved=reserved, durability=durability).segment
    start, end = remains.facts["base"], remains.facts["base"] + remains.facts["file_bytes"]
    if made.base < end and start < made.base + made.reserved:
        catalog.remove(out)
        base = _free_base(catalog, remains, reserved)
        catalog.create(out, base, reserved, durability=durability)


def _make(remains: Remains, store: Store, root: SalvagedRoot) -> Any:
    """Make what a structure is copied into; None: it is not salvaged."""
    if root.kind == "unknown":
        return None
    if root.kind in BLOCKS:
        return salvage_arrays.make(store, root, remains.parts(root))
    codecs = filter(None, (root.key, root.value))
    if root.unnamed:
        return getattr(store, f"new_{root.kind}")(*codecs)
    return getattr(store, root.kind)(root.name, *codecs)


class _Copying:
    """The new store while it is filled.

    First its structures, for references lead to any of them; then what is in them.
    """

    def __init__(
        self,
        remains: Remains,
        store: Store,
        suspects: bool,
        progress: Callable[[str, int], object] | None,
    ) -> None:
        self.remains = remains
        self.store = store
        self.suspects = suspects
        self.progress = progress
        self.made: list[Any] = []
        self.leads: list[set[int]] = []
        """Of each structure, the numbers of those that its values lead to."""

    def copy_all(self) -> tuple[SalvagedRoot, ...]:
        """Copy everything; what was copied."""
        roots = self.remains.roots
        for first in range(0, len(roots), _MADE_TOGETHER):
            with self.store.transaction():
                for root in roots[first : first + _MADE_TOGETHER]:
                    self.made.append(_make(self.remains, self.store, root))
        targets = {
            place: self.made[number]
            for place, number in self.remains.places.items()
            if self.made[number] is not None
        }
        copied = tuple(self._copy(root, _salvage.References(targets)) for root in roots)
        self._name_the_rest()
        return copied

    def _copy(self, root: SalvagedRoot, references: _salvage.References) -> SalvagedRoot:
        """Copy one structure; what was copied."""
        number = len(self.leads)
        target = self.made[number]
        if root.kind in BLOCKS:
            self.leads.append(set())
            if target is None:
                return root
            return salvage_arrays.fill(target, root, self.remains.parts(root), self.suspects)
        readings = self._readings(root, references) if target is not None else []
        left_out = 0
        for reading in readings:
            wanted = reading.references is references
            put = reading.append if root.kind in SEQUENCES else reading.copy
            while not reading.ended:
                with self.store.transaction():
                    for _ in range(_BATCHES):
                        if wanted:
                            put(target)
                        else:
                            left_out += len(reading.read())
                if self.progress is not None:
                    self.progress(root.name, sum(part.copied for part in readings))
        limit = self.remains.limits[number]
        if limit is not None and target is not None:
            with contextlib.suppress(InvalidArgumentError):  # damage may have made more of them
                target._set_limit(limit)
        places = self.remains.places
        self.leads.append({places[place] for place in references.led if place in places})
        return root._replace(
            recovered=sum(reading.copied for reading in readings),
            suspect=sum(reading.copied for reading in readings[1:])
            + left_out
            + sum(reading.doubtful for reading in readings),
            duplicates=sum(reading.duplicates for reading in readings),
            undecodable=sum(reading.undecodable for reading in readings),
            unreadable=self.remains.unreadable(root),
            dangling=references.dangling,
        )

    def _readings(
        self, root: SalvagedRoot, references: _salvage.References
    ) -> list[_salvage.Reading]:
        """Those of a structure; what is not wanted has references of its own."""
        readings = self.remains.readings(root, references, self.suspects)
        if not self.suspects:
            readings[1:] = self.remains.readings(root, _salvage.References({}))[1:]
        return readings

    def _name_the_rest(self) -> None:
        """Give names to those that nothing with a name leads to: else they would be collected."""
        reached: set[int] = set()
        roots = self.remains.roots
        for number in sorted(range(len(roots)), key=lambda at: roots[at].unnamed):
            if number in reached or self.made[number] is None:
                continue
            if roots[number].unnamed:
                self.store[roots[number].name] = self.made[number]
            new = {number}
            while new:
                reached |= new
                new = {lead for at in new for lead in self.leads[at]} - reached


def salvage(
    name: str,
    out: str,
    *,
    home: str | os.PathLike[str] | None = None,
    suspects: bool = True,
    timeout: float | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> SalvageReport:
    """Write every entry of a damaged store that can be read into a new one.

    The store may be one that `open` refuses: a superblock, the roots or the log are damaged, the
    file was cut short. Its file is not changed. Leaves that nothing leads to any more are found by
    looking through the heap; a structure that has lost its name is called "lost-1" and so on. What
    never had one has none in the new store either, where the same references lead to it; if
    nothing leads to it any more, it is called "unnamed-1" and so on.

    Parameters
    ----------
    name : str
        The damaged store. Close it everywhere first.
    out : str
        The new store, in the same home; there must be none of that name.
    home : path, optional
        The directory of both, as for `open`.
    suspects : bool
        Whether to take entries that may be wrong: those on pages whose checksum does not fit, and
        those that are not as they should be. A sound one with the same key goes before.
    timeout : float, optional
        Seconds to wait for others that create or remove stores; None: for ever.
    progress : callable, optional
        Called now and then with the name of a structure and how many of its entries are copied. An
        exception that it raises ends the salvage.

    Returns
    -------
    SalvageReport

    Raises
    ------
    NotFoundError
        There is no such store.
    AlreadyExistsError
        There is one of the new name.
    FormatError, VersionError, TruncatedError, CorruptError
        It is no store, of another version, or nothing of it is left.
    AddressConflictError
        The damaged store, or one that overlaps it, is open in this process.
    SpaceFullError, StorePermissionError, StoreIOError, InvalidNameError

    Complexity
    ----------
    O(bytes of the file), and O(log n) for each entry.

    Durability
    ----------
    After a failure there is no new store. Once it returns, the new store is as durable as the old
    one was made, and synced.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     store.btree("t", key="int")[1] = "one"
    >>> report = sj.salvage("demo", "saved")
    >>> report.recovered, report.roots[0].name
    (1, 't')
    >>> with sj.open("saved", "r") as store:
    ...     store["t"][1]
    'one'
    """
    check_name(out)
    catalog = Catalog(home, timeout=timeout)
    if out == name:
        raise InvalidArgumentError(f"out: expected another name than {name!r}, found the same")
    if out in catalog.names():
        raise AlreadyExistsError(
            f"store {out!r}: expected none of that name in {catalog.home!r}, found one: "
            f"choose another name for what is salvaged"
        )
    with Remains(name, home=home) as remains:
        _create(catalog, remains, out)
        try:
            with open_store(out, "w", home=home, timeout=timeout) as store:
                roots = _Copying(remains, store, suspects, progress).copy_all()
                store.sync()
        except BaseException:
            with contextlib.suppress(SpaceJmpError):
                catalog.remove(out)
            raise
        return remains.report(out, roots)
