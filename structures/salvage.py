# SPDX-License-Identifier: Apache-2.0
"""`salvage`: every entry of a damaged store that can still be read, in a new store.

::

    Remains            a private copy of the file, and the structures that were found in it
      roots            with names and codecs; those that have lost theirs are "lost-1" …
      items(root)      sound entries first, then the suspect ones; each key once
    salvage            all of it, byte for byte, into a new store

The C part (`structures/salvage.h`) says what belongs to what; here are names, codecs that have to
be guessed, and the new store.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import spacejmp._catalog as core
from spacejmp._space import attached_spaces, is_open_somewhere
from spacejmp.arena import GIB
from spacejmp.catalog import Catalog
from spacejmp.names import check_name, check_root_name, check_store
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidNameError,
    SpaceFullError,
    SpaceJmpError,
)
from spacejmp.structures import _roots, _salvage
from spacejmp.structures._codec import (
    KEY_CODECS,
    VALUE_CODECS,
    codec_id,
    decode_key,
    decode_value,
)
from spacejmp.structures.opening import open as open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from spacejmp.structures.store import Store

__all__ = ["Remains", "SalvageReport", "SalvagedRoot", "SkippedBlock", "salvage"]

_KIND_NAMES = {
    (_roots.BTREE, True): "btree",
    (_roots.BTREE, False): "sortedset",
    (_roots.HASHMAP, True): "hashmap",
    (_roots.HASHMAP, False): "set",
}
"""By the kind of the head, and whether there are values."""
_BATCHES = 40  # of 256 entries, in a transaction
_TOP = 1 << 63
_Sample = tuple["int | bytes", bytes, "int | bytes"]


class SalvagedRoot(NamedTuple):
    """What was found of one structure."""

    name: str
    """Its name; "lost-1" and so on when that is not known."""
    kind: str
    """"btree", "hashmap", "sortedset" or "set"; a set without a name is taken for a mapping."""
    key: str
    """The key codec."""
    value: str
    """The value codec; "" of a set."""
    guessed: bool
    """The codecs are not known, and are what most entries look like."""
    expected: int | None
    """Entries that it had, if its head tells."""
    blocks: int
    """Leaves, or tables of a hash map, that were read."""
    found: int
    """Of those, how many nothing led to: they were found by looking through the heap."""
    recovered: int = 0
    """Entries that were written."""
    suspect: int = 0
    """Of those, how many may be wrong; or, when they were not wanted, how many were left out."""
    duplicates: int = 0
    """Entries whose key was there already, and which were left out."""
    undecodable: int = 0
    """Entries whose bytes are none of their codecs."""
    unreadable: int = 0
    """Entries that a leaf or table names, and that are not there."""


_IN_USE = (
    "a process has the store open: what it changes meanwhile may be missing, or there in part; "
    "close it everywhere, and salvage it again"
)


class SkippedBlock(NamedTuple):
    """A part of the file that could not be used, or not be trusted."""

    offset: int
    """In the file; beyond its end when something leads there."""
    reason: str
    root: str | None
    """The structure that it belongs to, if that is known."""


class SalvageReport(NamedTuple):
    """What `salvage` has found and written."""

    name: str
    out: str
    """The new store, or the file."""
    roots: tuple[SalvagedRoot, ...]
    skipped: tuple[SkippedBlock, ...]
    """The first 10,000 of them."""
    skipped_count: int
    notes: tuple[str, ...]
    """What was wrong with the store as a whole, such as a log that could not be read."""
    suspect_pages: int
    """Pages whose checksum does not fit."""
    lost_pages: int
    """Pages that could not be read."""

    @property
    def recovered(self) -> int:
        """Entries that are in the new store."""
        return sum(root.recovered for root in self.roots)


class Remains:
    """A damaged store, opened for reading what is left of it; its file is never changed.

    Parameters
    ----------
    name : str
        The store. It should not be open elsewhere for writing: what is copied would be a mixture.
    home : path, optional
        The directory that holds it, as for `open`.

    Raises
    ------
    NotFoundError
        There is no such store.
    FormatError, VersionError
        The file is not a store, or is of another version.
    TruncatedError, CorruptError
        Nothing is left: not even the first pages, or nothing that tells its address.
    AddressConflictError
        Its addresses are taken in this process: it is open, or one that overlaps it is.
    StorePermissionError, StoreIOError

    Complexity
    ----------
    O(bytes of the file).

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     store.btree("t", key="int")[1] = "one"
    >>> from spacejmp.structures.salvage import Remains
    >>> with Remains("demo") as remains:
    ...     [(root.name, list(remains.items(root))) for root in remains.roots]
    [('t', [(1, 'one')])]
    """

    def __init__(self, name: str, *, home: str | os.PathLike[str] | None = None) -> None:
        check_store(name)
        catalog = Catalog(home)
        self.name = name
        self.home = catalog.home
        self.path = os.path.join(catalog.home, "seg", f"{name}.seg")
        if not os.path.lexists(self.path):
            catalog.lookup(name)  # its error has the names that resemble it
        self._in_use = _is_in_use(catalog, name)
        self._core = _salvage.Remains(os.fsencode(self.path), *self._hint())
        try:
            self.facts: dict[str, Any] = self._core.facts()
            self.roots: tuple[SalvagedRoot, ...] = self._name_all()
        except BaseException:
            self._core.close()
            raise

    def _hint(self) -> tuple[int, int]:
        """Where a VAS that the store is part of says that it is."""
        for vas in core.vas_list(self.home):
            with contextlib.suppress(SpaceJmpError):
                for segment in core.vas_read(self.home, vas).segments:
                    if segment.name == self.name:
                        return segment.base, segment.reserved
        return 0, 0

    # -- names and codecs ---------------------------------------------------------------------

    def _name_all(self) -> tuple[SalvagedRoot, ...]:
        taken: set[str] = set()
        roots = []
        for number, found in enumerate(self._core.structures()):
            name = plain = _readable(found.name)
            again = 1
            while name in taken:
                again += 1
                name = f"{plain}-{again}"
            taken.add(name)
            codecs = self._known_codecs(number, found)
            key, value = codecs or self._guess(number, found)
            roots.append(
                SalvagedRoot(
                    name,
                    _KIND_NAMES[found.type, bool(value)],
                    key,
                    value,
                    codecs is None,
                    found.expected,
                    found.blocks,
                    found.found,
                )
            )
        return tuple(roots)

    def _samples(self, number: int) -> list[_Sample]:
        return next(filter(None, (self._core.samples(number, g) for g in _salvage.GRADES)), [])

    def _known_codecs(self, number: int, found: _salvage.Found) -> tuple[str, str] | None:
        """The codecs by the root, when they go with what the items are."""
        keys, values = found.key_codec, found.value_codec
        if found.lost or not 1 <= keys <= len(KEY_CODECS) or values > len(VALUE_CODECS):
            return None
        if (keys <= 2) != found.word_keys or (values <= 2) != found.word_values:
            return None
        key, value = KEY_CODECS[keys - 1], ("", *VALUE_CODECS)[values]
        samples = self._samples(number)
        if not value and any(word != 0 for _, _, word in samples):
            return None  # it was no set
        if samples and _wrong(samples, key, value) == len(samples):
            return None  # the root is damaged
        return key, value

    def _guess(self, number: int, found: _salvage.Found) -> tuple[str, str]:
        """The codecs that the entries of a structure without a root look like."""
        samples = self._samples(number)
        if found.word_keys:
            numbers = [int(key) ^ _TOP for key, _, _ in samples if isinstance(key, int)]
            # A float's order-preserving word, with the sign bit as it was for a positive one.
            key = "float" if _look_like_floats(numbers) else "int"
        else:
            key = _fitting(samples, lambda codec: _wrong(samples, codec, None))
        if found.word_values:
            words = [int(value) for _, _, value in samples if isinstance(value, int)]
            return key, "float" if _look_like_floats(words) else "int"
        return key, _fitting(samples, lambda codec: _wrong(samples, None, codec))

    # -- entries ------------------------------------------------------------------------------

    def readings(self, root: SalvagedRoot) -> list[_salvage.Reading]:
        """Begin to read a structure: the sound entries, and then those that may be wrong."""
        codecs = codec_id(root.key, "key"), codec_id(root.value, "value") if root.value else 0
        number = self.roots.index(root)
        return [_salvage.Reading(self._core, number, *codecs, grade) for grade in _salvage.GRADES]

    def items(self, root: SalvagedRoot, *, suspects: bool = True) -> Iterator[tuple[Any, Any]]:
        """Give the entries of a structure: those that are sound, then the suspect ones.

        Parameters
        ----------
        root : SalvagedRoot
            One of `roots`.
        suspects : bool
            Whether to give the suspect ones too.

        Yields
        ------
        (key, value)
            Each key once. Of codec "pickle" the value is its bytes: what may be damaged is not run.
        """
        seen: set[Any] = set()
        for reading in self.readings(root)[: None if suspects else 1]:
            while not reading.ended:
                for key, value in reading.read():
                    if key not in seen:
                        seen.add(key)
                        yield key, value

    def unreadable(self, root: SalvagedRoot) -> int:
        """How many entries of a structure were named and not there, in what was read of it."""
        return self._core.structures()[self.roots.index(root)].unreadable

    def skipped(self) -> tuple[tuple[SkippedBlock, ...], int]:
        """What could not be used or trusted until now: the first 10,000, and how many."""
        findings, count = self._core.findings()
        blocks = tuple(
            SkippedBlock(offset, reason, None if whose is None else self.roots[whose].name)
            for offset, whose, reason in findings
        )
        return blocks, count

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with the store as a whole."""
        return (*self._in_use, *self.facts["notes"])

    def report(self, out: str, roots: tuple[SalvagedRoot, ...]) -> SalvageReport:
        """Say what was found until now, and that these structures are in `out`."""
        skipped, count = self.skipped()
        facts = self._core.facts()
        return SalvageReport(
            self.name,
            out,
            roots,
            skipped,
            count,
            self.notes,
            facts["suspect_pages"],
            facts["lost_pages"],
        )

    def close(self) -> None:
        """Give the addresses back."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _readable(raw: bytes) -> str:
    """A root's name, as one that a new root can have."""
    name = raw.decode("utf-8", "replace").replace("\0", "\ufffd")
    while len(name.encode()) > 240:  # a replaced byte takes three, and a number may follow
        name = name[:-1]
    try:
        check_root_name(name)
    except InvalidNameError:
        return "lost"
    return name


def _look_like_floats(words: list[int]) -> bool:
    """Whether nearly all words are doubles of a usual size, and no ints of a usual size."""
    usual = [word for word in words if word != 0]
    floats = sum(0x3C00 <= (word >> 48 & 0x7FFF) <= 0x43FF for word in usual)
    return bool(usual) and floats * 10 >= len(usual) * 9


def _wrong(samples: list[_Sample], key: str | None, value: str | None) -> int:
    """How many samples the codecs cannot decode; pickles are not tried."""
    wrong = 0
    for raw, form, stored in samples:
        try:
            if key is not None:
                decode_key(key, raw, form)
            if value not in (None, "", "pickle"):
                decode_value(value, stored)
        except Exception:  # noqa: BLE001 - whatever damaged bytes make a codec raise
            wrong += 1
    return wrong


def _fitting(samples: list[_Sample], wrong: Callable[[str], int]) -> str:
    """The codec that can decode nearly all samples; bytes can hold anything."""
    for codec in ("any", "str"):
        if wrong(codec) * 10 <= len(samples):
            return codec
    return "bytes"


# --- the new store ------------------------------------------------------------------------------


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


def _copy(
    remains: Remains,
    root: SalvagedRoot,
    store: Store,
    suspects: bool,
    progress: Callable[[str, int], object] | None,
) -> SalvagedRoot:
    """Copy one structure; what was copied."""
    codecs = (root.key, root.value) if root.value else (root.key,)
    target = getattr(store, root.kind)(root.name, *codecs)
    readings = remains.readings(root)
    left_out = 0
    for reading in readings:
        wanted = suspects or reading is readings[0]
        while not reading.ended:
            with store.transaction():
                for _ in range(_BATCHES):
                    if wanted:
                        reading.copy(target)
                    else:
                        left_out += len(reading.read())
            if progress is not None:
                progress(root.name, sum(part.copied for part in readings))
    return root._replace(
        recovered=sum(reading.copied for reading in readings),
        suspect=sum(reading.copied for reading in readings[1:]) + left_out,
        duplicates=sum(reading.duplicates for reading in readings),
        undecodable=sum(reading.undecodable for reading in readings),
        unreadable=remains.unreadable(root),
    )


def _is_in_use(catalog: Catalog, name: str) -> tuple[str, ...]:
    with contextlib.suppress(SpaceJmpError):
        if is_open_somewhere(catalog.lock_path(catalog.lookup(name).segment)):
            return (_IN_USE,)
    return ()


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
    looking through the heap; a structure that has lost its name is called "lost-1" and so on.

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
                roots = tuple(
                    _copy(remains, root, store, suspects, progress) for root in remains.roots
                )
                store.sync()
        except BaseException:
            with contextlib.suppress(SpaceJmpError):
                catalog.remove(out)
            raise
        return remains.report(out, roots)
