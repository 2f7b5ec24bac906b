# SPDX-License-Identifier: Apache-2.0
"""`Remains`: what can still be read of a damaged store.

::

    Remains            a private copy of the file, and the structures that were found in it
      roots            with names and codecs; what has no root is "unnamed-1" … or "lost-1" …
      items(root)      sound entries first, then the suspect ones; each key once
      sequence(root)   of a deque, a queue, a list: its items, in order

The C part (`structures/salvage.h`) says what belongs to what; here are names, and codecs that have
to be guessed.
"""

from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import spacejmp._catalog as core
from spacejmp._space import is_open_somewhere
from spacejmp.catalog import Catalog
from spacejmp.names import check_root_name, check_store
from spacejmp.persistence.errors import InvalidNameError, SpaceJmpError
from spacejmp.structures import _roots, _salvage
from spacejmp.structures._codec import (
    KEY_CODECS,
    VALUE_CODECS,
    codec_id,
    decode_key,
    decode_value,
)
from spacejmp.structures.kinds import kind_of_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["SEQUENCES", "Reference", "Remains", "SalvageReport", "SalvagedRoot", "SkippedBlock"]

SEQUENCES = ("deque", "list", "queue", "sortedlist")
"""Kinds whose items have no keys, and an order of their own."""
_KEYED = (_roots.BTREE, _roots.HASHMAP)
_TOP = 1 << 63
_Sample = tuple["int | bytes", bytes, "int | bytes"]


class SalvagedRoot(NamedTuple):
    """What was found of one structure."""

    name: str
    """Its name. "unnamed-1" and so on: it has no root, and references to it were stored; "lost-1"
    and so on: it has none, and was to be found by its name, which is not known."""
    kind: str
    """As the store calls it, such as "btree" or "deque"; when codecs are guessed never a set. What
    is "unknown" is not salvaged."""
    key: str
    """The key codec; "" of a sequence that is not sorted."""
    value: str
    """The value codec; "" of what has keys alone."""
    guessed: bool
    """Neither root nor head tells the codecs: they are what most entries look like."""
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
    unnamed: bool = False
    """It has no root, and references to it were stored. In the new store it has its name here only
    when nothing that has one leads to it."""
    dangling: int = 0
    """References that lead to nothing that was found: None is in their place."""


class Reference:
    """What stands for a structure in a value that was read."""

    __slots__ = ("structure",)

    def __init__(self, structure: str) -> None:
        self.structure = structure
        """Its name among `Remains.roots`."""

    def __repr__(self) -> str:
        return f"<reference to {self.structure}>"


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
    >>> from spacejmp.structures.remains import Remains
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
            found = self._core.structures()
            self.roots: tuple[SalvagedRoot, ...] = self._name_all(found)
            self.numbers = {root.name: number for number, root in enumerate(self.roots)}
            """Of the structures, by their names."""
            self.places = {(one.head, one.serial): at for at, one in enumerate(found) if one.head}
            """The same by the address and the serial of their heads."""
            self.limits = [one.limit for one in found]
            """How many items each may have; None: any number."""
            self._names = {
                place: Reference(self.roots[number].name) for place, number in self.places.items()
            }
            self._dangling: dict[str, int] = {}
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

    def _name_all(self, structures: list[_salvage.Found]) -> tuple[SalvagedRoot, ...]:
        taken: set[str] = set()
        roots = []
        for number, found in enumerate(structures):
            name = plain = _readable(found.name)
            again = 1
            while name in taken:
                again += 1
                name = f"{plain}-{again}"
            taken.add(name)
            codecs = self._known_codecs(number, found)
            key, value = codecs or self._guess(number, found)
            kind = kind_of_root(_roots.RootRecord(found.type, bool(key), bool(value)))
            roots.append(
                SalvagedRoot(
                    name,
                    "unknown" if kind is None else kind.name,
                    key,
                    value,
                    codecs is None,
                    found.expected,
                    found.blocks,
                    found.found,
                    unnamed=found.lost and found.shared,
                )
            )
        return tuple(roots)

    def _samples(self, number: int) -> list[_Sample]:
        return next(filter(None, (self._core.samples(number, g) for g in _salvage.GRADES)), [])

    def _known_codecs(self, number: int, found: _salvage.Found) -> tuple[str, str] | None:
        """The codecs by the root, or else by the head, when they go with what the items are."""
        samples = self._samples(number)
        for keys, values in (found.by_root, found.by_head):
            if keys > len(KEY_CODECS) or values > len(VALUE_CODECS):
                continue
            if (keys <= 2) != found.word_keys or (values <= 2) != found.word_values:
                continue
            if kind_of_root(_roots.RootRecord(found.type, keys, values)) is None:
                continue
            key, value = ("", *KEY_CODECS)[keys], ("", *VALUE_CODECS)[values]
            if found.type in _KEYED and not value and any(word != 0 for _, _, word in samples):
                continue  # it was no set
            if not samples or _wrong(samples, key, value) < len(samples):
                return key, value
        return None  # what says so is damaged

    def _guess(self, number: int, found: _salvage.Found) -> tuple[str, str]:
        """The codecs that the entries look like."""
        samples = self._samples(number)
        key = value = ""
        keyed = found.type in _KEYED
        if keyed or not found.word_keys or (found.word_values and _look_like_keys(samples)):
            key = self._guess_key(found, samples)
        if keyed or not key:
            value = self._guess_value(found, samples)
        return key, value

    def _guess_key(self, found: _salvage.Found, samples: list[_Sample]) -> str:
        if found.word_keys:
            numbers = [int(key) ^ _TOP for key, _, _ in samples if isinstance(key, int)]
            # A float's order-preserving word, with the sign bit as it was for a positive one.
            return "float" if _look_like_floats(numbers) else "int"
        return _fitting(samples, lambda codec: _wrong(samples, codec, None))

    def _guess_value(self, found: _salvage.Found, samples: list[_Sample]) -> str:
        if found.word_values:
            words = [int(value) for _, _, value in samples if isinstance(value, int)]
            return "float" if _look_like_floats(words) else "int"
        return _fitting(samples, lambda codec: _wrong(samples, None, codec))

    # -- entries ------------------------------------------------------------------------------

    def readings(
        self, root: SalvagedRoot, references: _salvage.References, suspects: bool = True
    ) -> list[_salvage.Reading]:
        """Begin to read a structure: the sound entries, then those that may be wrong.

        Of a sequence there is one reading: in order, with those that may be wrong or without.
        """
        key = codec_id(root.key, "key") if root.key else 0
        value = codec_id(root.value, "value") if root.value else 0
        grades = _salvage.GRADES
        if root.kind in SEQUENCES:
            grades = grades[-1:] if suspects else grades[:1]
        number = self.numbers[root.name]
        return [
            _salvage.Reading(self._core, number, key, value, grade, references) for grade in grades
        ]

    def sequence(self, root: SalvagedRoot, *, suspects: bool = True) -> Iterator[Any]:
        """Give the items of a deque, a queue or a list, in order; see `items`."""
        references = _salvage.References(self._names)
        (reading,) = self.readings(root, references, suspects)
        while not reading.ended:
            batch = reading.read()
            self._dangling[root.name] = references.dangling
            for key, value in batch:
                yield key if root.key else value

    def items(self, root: SalvagedRoot, *, suspects: bool = True) -> Iterator[tuple[Any, Any]]:
        """Give the entries of a mapping or a set: those that are sound, then the suspect ones.

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
            For a structure that a value refers to there is a `Reference`; for one that is not there
            None, which `dangling` counts.
        """
        seen: set[Any] = set()
        references = _salvage.References(self._names)
        for reading in self.readings(root, references)[: None if suspects else 1]:
            while not reading.ended:
                batch = reading.read()
                self._dangling[root.name] = references.dangling
                for key, value in batch:
                    if key not in seen:
                        seen.add(key)
                        yield key, value

    def parts(self, root: SalvagedRoot) -> list[_salvage.Part]:
        """Give the blocks of items of an array, or of the columns of a table."""
        return self._core.parts(self.numbers[root.name])

    def dangling(self, root: SalvagedRoot) -> int:
        """How many references of a structure led to nothing, in the last reading of its items."""
        return self._dangling.get(root.name, 0)

    def unreadable(self, root: SalvagedRoot) -> int:
        """How many entries of a structure were named and not there, in what was read of it."""
        return self._core.unreadable(self.numbers[root.name])

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
        records = self.facts["passed_over"]
        passed_over = (f"{records} records are not salvaged",) if records else ()
        return (*self._in_use, *self.facts["notes"], *passed_over)

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


def _is_in_use(catalog: Catalog, name: str) -> tuple[str, ...]:
    with contextlib.suppress(SpaceJmpError):
        if is_open_somewhere(catalog.lock_path(catalog.lookup(name).segment)):
            return (_IN_USE,)
    return ()


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


def _look_like_keys(samples: list[_Sample]) -> bool:
    """Whether the words of a sequence are keys: they ascend, and only as such are usual numbers.

    In each leaf, that is, and it may have been found in any order.
    """
    words = [int(word) for _, _, word in samples if isinstance(word, int)]
    usual, usual_flipped = (
        sum(w < 1 << 48 or w >> 48 == 0xFFFF or 0x3C00 <= w >> 48 <= 0x43FF for w in some)
        for some in (words, [word ^ _TOP for word in words])
    )
    ascending = sum(a <= b for a, b in pairwise(words))
    return ascending * 10 >= len(words) * 9 and usual_flipped * 10 >= len(words) * 9 > usual * 10


def _look_like_floats(words: list[int]) -> bool:
    """Whether nearly all words are doubles of a usual size, and no ints of a usual size."""
    usual = [word for word in words if word != 0]
    floats = sum(0x3C00 <= (word >> 48 & 0x7FFF) <= 0x43FF for word in usual)
    return bool(usual) and floats * 10 >= len(usual) * 9


def _wrong(samples: list[_Sample], key: str | None, value: str | None) -> int:
    """How many samples the codecs cannot decode; pickles are not tried."""
    wrong = 0
    nowhere = _salvage.References({})
    for raw, form, stored in samples:
        try:
            if key not in (None, ""):
                decode_key(key, raw, form)
            if value not in (None, "", "pickle"):
                decode_value(value, stored, nowhere)
        except Exception:  # noqa: BLE001 - whatever damaged bytes make a codec raise
            wrong += 1
    return wrong


def _fitting(samples: list[_Sample], wrong: Callable[[str], int]) -> str:
    """The codec that can decode nearly all samples; bytes can hold anything."""
    for codec in ("any", "str"):
        if wrong(codec) * 10 <= len(samples):
            return codec
    return "bytes"
