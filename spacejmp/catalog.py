# SPDX-License-Identifier: Apache-2.0
"""The catalog: a home directory that holds virtual address spaces by name.

::

    home/seg/<name>.seg          a segment: the bytes that survive
    home/seg/<name>.seg.log…     its write-ahead log, if it has one
    home/vas/<name>.vas          a record (`spacejmp.records`): which segments make up the VAS
    home/lock/<uuid>.lock        the lock file of a segment, named by its uuid
    home/lock/catalog.lock       held by whoever creates, removes or rebuilds

    home/vas/.new-…              a record that is being written
    home/seg/.removed-<uuid>-<name>      a segment that is removed; not yet unlinked

What exists is decided by one directory entry, ``seg/<name>.seg``:

I1  A VAS exists if and only if its segment file has its name. The segment appears complete
    (`segment_create`), and ceases to exist by one rename.
I2  A record that is missing, damaged or does not fit the segment's header is rebuilt from the
    header; a record without a segment counts for nothing.
I3  Records and segments appear and vanish only under the catalog's lock. Hence temporary files that
    its next holder finds belong to nobody, and are cleared away.
I4  A lock file is removed only when no segment of the home has its uuid.

Crash rule: whoever dies at any instruction of create or remove leaves the whole VAS or none of it;
the next create, remove or rebuild clears the rest away. Directories are synced after each step, so
that this holds for power loss too, as far as the filesystem outlives it.

Looking a name up takes no lock and never waits.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Literal, SupportsIndex

from spacejmp._space import attached_spaces, segment_create, segment_inspect
from spacejmp.arena import ARENA_END, ARENA_START, DEFAULT_RESERVED, GIB, check_base, check_reserved
from spacejmp.belongings import clear_belongings, clear_image
from spacejmp.files import (
    TEMPORARY,
    locked,
    publish,
    read_small,
    rename,
    status_of,
    sync_directory,
    temporary_of,
    unlink_if_there,
)
from spacejmp.home import (
    absolute_home,
    check_mode,
    default_home,
    entries,
    make_directories,
    shared_mode,
    stems,
)
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_name, resembling
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CorruptError,
    IdentityError,
    InvalidArgumentError,
    NotFoundError,
    SpaceFullError,
    SpaceJmpError,
    StoreIOError,
)
from spacejmp.records import (
    RECORD_BYTES_MAX,
    Rebuilt,
    SegmentRecord,
    VasRecord,
    decode_record,
    encode_record,
    record_of,
)

if TYPE_CHECKING:
    from spacejmp._space import SegmentInfo

__all__ = ["Catalog"]

_REMOVED = ".removed-"
_NO_UUID = bytes(16).hex()


class Catalog:
    """The VASes and segments of one home directory.

    Making a Catalog touches no file; the home is made, with mode 0700, when something is first
    created in it. A Catalog has no state but its two attributes: it may be shared between threads,
    pickled, and used on both sides of a fork.

    Parameters
    ----------
    home : str or os.PathLike, optional
        The directory; ``~`` is expanded. `default_home` when left out.
    timeout : float or None
        Seconds that create, remove and rebuild wait for others that do the same; None waits for
        ever.

    Raises
    ------
    InvalidArgumentError
        `home` is empty, has a NUL, or begins with a ``~`` that leads nowhere.

    Examples
    --------
    >>> import tempfile
    >>> catalog = Catalog(tempfile.mkdtemp())
    >>> catalog.create("genes").name
    'genes'
    >>> catalog.names()
    ['genes']
    >>> hex(catalog.lookup("genes").segment.reserved)
    '0x1000000000'
    >>> catalog.remove("genes")
    >>> catalog.names()
    []
    """

    __slots__ = ("home", "timeout")

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        timeout: float | None = 10.0,
    ) -> None:
        self.home: str = default_home() if home is None else absolute_home(os.fspath(home))
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"Catalog({self.home!r})"

    def segment_path(self, segment: SegmentRecord) -> str:
        """Where the file of a segment is."""
        return os.path.join(self.home, segment.file)

    def lock_path(self, segment: SegmentRecord) -> str:
        """Where the lock file of a segment is, or will be when it is first attached."""
        return self._lock_file(segment.uuid)

    def names(self) -> list[str]:
        """List the names of all VASes, sorted.

        Returns
        -------
        list of str
            Empty when the home does not exist.

        Raises
        ------
        StorePermissionError
            The home may not be read.

        Complexity
        ----------
        O(n log n); one directory is read, no file is opened.
        """
        return sorted(stems(os.path.join(self.home, "seg"), ".seg"))

    def lookup(self, name: str) -> VasRecord:
        """Find a VAS by its name.

        A record that is missing or damaged is rebuilt from the segment's header, and written
        if that is possible without waiting.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_name`.

        Returns
        -------
        VasRecord
            It fits the header of the segment.

        Raises
        ------
        NotFoundError
            There is no such VAS; the message has names that resemble it.
        IdentityError
            The segment file was copied or renamed: its header has another name, or another segment
            has its uuid.
        VersionError
            A later version wrote the record or the segment.
        CorruptError, FormatError
            The segment's header is damaged.
        StorePermissionError
            The files may not be read.
        InvalidNameError
            `name` breaks the rule for names.

        Complexity
        ----------
        O(1): two small files are read. O(n) when the record has to be rebuilt.
        """
        check_name(name)
        try:
            record = self._read_record(name)
            info = segment_inspect(self._segment_file(name))
        except NotFoundError:
            raise self._not_found(name) from None
        self._check_name_of(name, info)
        true = record_of(info)
        if record != true:
            self._check_uuid_of(name, info, self._scan())
            with contextlib.suppress(SpaceJmpError):  # the next one will do it
                self._repair(name)
        return true

    def create(
        self,
        name: str,
        base: SupportsIndex | None = None,
        reserved: SupportsIndex = DEFAULT_RESERVED,
        mode: int = 0o600,
        durability: Literal["process", "power"] = "process",
        *,
        replace: bool = False,
    ) -> VasRecord:
        """Make a VAS of one new, empty segment.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_name`.
        base : int, optional
            Where the segment lies: a multiple of 1 GiB in the arena (`spacejmp.arena`). It may
            overlap other segments; such VASes cannot both be resident. When left out, a range is
            chosen that no segment of this home has, and none that this process has attached.
        reserved : int
            Addresses that belong to the segment, in bytes: whole GiB, at least 1. The file takes up
            only what is used.
        mode : int
            Permissions of the files.
        durability : {"process", "power"}
            What changes of the VAS will survive: the death of any process, or power loss too.
        replace : bool
            Remove what has the name, as `remove` does; it is there until the new one is complete.

        Returns
        -------
        VasRecord

        Raises
        ------
        AlreadyExistsError
            The name is taken.
        InvalidArgumentError
            `base`, `reserved`, `mode` or `durability` is out of its range, or that durability is
            not to be had on the filesystem of the home.
        InvalidNameError
            `name` breaks the rule for names.
        SpaceFullError
            The disk is full, or no gap of the arena is large enough.
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout.

        Complexity
        ----------
        O(n) in the number of segments of the home; their headers are read.

        Durability
        ----------
        Once it returns the VAS survives power loss, if the filesystem does. A crash before leaves
        the whole VAS, the whole one that was replaced, or nothing.
        """
        check_name(name)
        reserved = check_reserved(reserved)
        base = None if base is None else check_base(base, reserved)
        check_mode(mode)
        if durability not in ("process", "power"):
            raise InvalidArgumentError(
                f"durability: expected 'process' or 'power', found {durability!r}"
            )
        use_forced_granularity()
        path = self._segment_file(name)
        with self._locked(self.timeout):
            self._tidy()
            replaced = status_of(path) is not None
            if replaced and not replace:
                raise AlreadyExistsError(
                    f"store {name!r}: expected no such file as {path!r}, found one; "
                    f"open it, remove it first, or choose another name"
                )
            self._read_record(name)  # one of a later version is not ours to replace
            if base is None:
                base = self._place(name, reserved)
            made = temporary_of(path) if replaced else path
            ours = not replaced  # whether what has the name is what was made here
            try:
                segment_create(made, name, base, reserved, mode, power=durability == "power")
                if replaced:
                    self._discard(name, path)
                    ours = True
                    rename(made, path)
                record = record_of(segment_inspect(path))
                publish(self._record_file(name), encode_record(record), mode)
            except AlreadyExistsError:  # someone does without the catalog
                raise
            except BaseException:
                with contextlib.suppress(SpaceJmpError):
                    if replaced:
                        unlink_if_there(made)
                    if ours and status_of(path) is not None:
                        self._discard(name, path)
                raise
        return record

    def remove(self, name: str) -> None:
        """Remove a VAS, its segment and its lock file.

        Processes that have it attached keep what they see, as with any file that is removed.

        Parameters
        ----------
        name : str
            See `spacejmp.names.check_name`.

        Raises
        ------
        NotFoundError
            There is no such VAS.
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout.
        InvalidNameError
            `name` breaks the rule for names.

        Complexity
        ----------
        O(n) in the number of segments of the home.

        Durability
        ----------
        Once it returns the VAS stays removed, also through power loss. A crash before leaves the
        whole VAS or nothing.
        """
        check_name(name)
        path = self._segment_file(name)
        if not self._exists():
            raise self._not_found(name)
        with self._locked(self.timeout):
            self._tidy()
            if status_of(path) is None:
                self._forget_record(name)
                raise self._not_found(name)
            self._discard(name, path)

    def rebuild(self) -> Rebuilt:
        """Write all records anew from the segments' headers.

        Returns
        -------
        Rebuilt
            The records, and what is wrong with the other segment files.

        Raises
        ------
        StorePermissionError
            The home may not be written.
        SpaceBusyError
            Others created or removed for longer than the timeout.

        Complexity
        ----------
        O(n) in the number of segments of the home.
        """
        records: list[VasRecord] = []
        problems: list[SpaceJmpError] = []
        if not self._exists():
            return Rebuilt((), ())
        with self._locked(self.timeout):
            self._tidy()
            found = self._scan()
            for name, info in found.items():
                try:
                    if isinstance(info, SpaceJmpError):
                        raise info
                    self._check_name_of(name, info)
                    self._check_uuid_of(name, info, found)
                    records.append(self._repair_locked(name, info))
                except SpaceJmpError as error:
                    problems.append(error)
            for name in stems(os.path.join(self.home, "vas"), ".vas"):
                if name in found:
                    continue
                try:
                    self._forget_record(name)
                except SpaceJmpError as error:
                    problems.append(error)
        return Rebuilt(tuple(records), tuple(problems))

    # Places.

    def _exists(self) -> bool:
        """Whether anything was ever created in the home."""
        return status_of(os.path.join(self.home, "seg")) is not None

    def _segment_file(self, name: str) -> str:
        return os.path.join(self.home, "seg", f"{name}.seg")

    def _record_file(self, name: str) -> str:
        return os.path.join(self.home, "vas", f"{name}.vas")

    def _lock_file(self, uuid: bytes) -> str:
        return os.path.join(self.home, "lock", f"{uuid.hex()}.lock")

    def _locked(self, timeout: float | None) -> contextlib.AbstractContextManager[None]:
        """Hold the catalog's lock (I3); directories that someone has removed are made again."""
        make_directories(self.home)
        path = os.path.join(self.home, "lock", "catalog.lock")
        return locked(path, 0o600 | shared_mode(self.home) & 0o060, timeout)

    # Records.

    def _read_record(self, name: str) -> VasRecord | None:
        """Read the record of a VAS; None when it is missing or damaged."""
        path = self._record_file(name)
        data = read_small(path, RECORD_BYTES_MAX)
        if data is None:
            return None
        try:
            return decode_record(data, name, path)
        except CorruptError:
            return None

    def _repair(self, name: str) -> None:
        """Write the record of a VAS anew, if the catalog's lock is free."""
        with self._locked(0):
            self._repair_locked(name, segment_inspect(self._segment_file(name)))

    def _repair_locked(self, name: str, info: SegmentInfo) -> VasRecord:
        """Write the record of the VAS that consists of this segment, unless it is right."""
        record = record_of(info)
        if self._read_record(name) != record:
            status = status_of(self._segment_file(name))
            mode = 0o600 if status is None else stat.S_IMODE(status.st_mode)
            publish(self._record_file(name), encode_record(record), mode)
        return record

    def _forget_record(self, name: str) -> None:
        """Remove a record that has no segment, unless a later version may know what it means."""
        self._read_record(name)
        unlink_if_there(self._record_file(name))

    # Which segments there are.

    def _scan(self) -> dict[str, SegmentInfo | SpaceJmpError]:
        """Ask each segment file what it is; its error when it does not say."""
        found: dict[str, SegmentInfo | SpaceJmpError] = {}
        for name in self.names():
            try:
                found[name] = segment_inspect(self._segment_file(name))
            except NotFoundError:
                continue
            except SpaceJmpError as error:
                found[name] = error
        return found

    def _check_name_of(self, name: str, info: SegmentInfo) -> None:
        """IdentityError when the header has another name than the file."""
        if info.name == name:
            return
        there = None
        with contextlib.suppress(SpaceJmpError):
            there = segment_inspect(self._segment_file(check_name(info.name)))
        if there is None:
            remedy = f"rename the file back to {info.name + '.seg'!r}"
        elif there.uuid == info.uuid:
            remedy = f"this is a copy of {self._segment_file(info.name)!r}: remove it"
        else:
            remedy = "that name is taken by another segment here: give it back in another home"
        raise IdentityError(
            f"segment {self._segment_file(name)!r}: expected the header of {name!r}, found that of "
            f"{info.name!r}; {remedy}"
        )

    def _check_uuid_of(
        self, name: str, info: SegmentInfo, found: dict[str, SegmentInfo | SpaceJmpError]
    ) -> None:
        """IdentityError when another segment has the same uuid under a name of its own."""
        for other, its in found.items():
            if other == name or isinstance(its, SpaceJmpError):
                continue
            if its.uuid == info.uuid and its.name == other:
                raise IdentityError(
                    f"segment {self._segment_file(name)!r}: expected a uuid of its own, found that "
                    f"of {self._segment_file(other)!r}, {info.uuid.hex()}; remove the one that is "
                    f"the copy"
                )

    def _place(self, name: str, reserved: int) -> int:
        """Choose a base that no other segment of this home, and none attached here, overlaps."""
        import hashlib

        from spacejmp.arena import Extents

        extents = Extents()
        for attached, start, size in attached_spaces():
            extents.add(attached, start, size)
        for other, info in self._scan().items():
            if other == name:
                continue  # it is being replaced
            known = None
            if not isinstance(info, SpaceJmpError):
                known = record_of(info)
            else:
                with contextlib.suppress(SpaceJmpError):
                    known = self._read_record(other)
            if known is not None:
                extents.add(other, known.segment.base, known.segment.reserved)
        where = f"{os.path.realpath(self.home)}\0{name}".encode(errors="surrogateescape")
        seed = int.from_bytes(hashlib.blake2b(where, digest_size=8).digest(), "little")
        base = extents.place(reserved, seed)
        if base is None:
            raise SpaceFullError(
                f"store {name!r}: expected {reserved // GIB} GiB of free addresses between "
                f"{ARENA_START:#x} and {ARENA_END:#x}, found no such gap between the segments of "
                f"{self.home!r}; ask for less with reserved=, or overlap another one with base="
            )
        return base

    def _not_found(self, name: str) -> NotFoundError:
        """Make the error that says which names there are instead."""
        found = resembling(name, self.names())
        return NotFoundError(f"there is no store {name!r} in {self.home!r}: {found}")

    # Removal.

    def _discard(self, name: str, path: str) -> None:
        """Remove the segment of a VAS and all that belongs to it; the rename decides (I1)."""
        status = status_of(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise StoreIOError(
                f"cannot remove {path!r}: expected a segment file, found a directory; move it away"
            )
        uuid = self._uuid_of(name, path)
        removed = os.path.join(self.home, "seg", f"{_REMOVED}{uuid.hex()}-{name}")
        rename(path, removed)
        self._finish_removal(removed)

    def _uuid_of(self, name: str, path: str) -> bytes:
        """The uuid of a segment, by its header or else its record; zeros when neither says it."""
        with contextlib.suppress(SpaceJmpError):
            return segment_inspect(path).uuid
        with contextlib.suppress(SpaceJmpError):
            if (record := self._read_record(name)) is not None:
                return record.uuid
        return bytes.fromhex(_NO_UUID)

    def _finish_removal(self, removed: str) -> None:
        """Clear away what belonged to a segment that was removed, itself last."""
        uuid, _, name = os.path.basename(removed)[len(_REMOVED) :].partition("-")
        if uuid == _NO_UUID:  # who removed it could not read it
            uuid = self._uuid_of(name, removed).hex()
        if status_of(self._segment_file(name)) is None:
            clear_belongings(self._segment_file(name))
            unlink_if_there(self._record_file(name))
            sync_directory(os.path.join(self.home, "vas"))
        clear_image(removed)
        infos = self._scan().values()
        if uuid not in {i.uuid.hex() for i in infos if not isinstance(i, SpaceJmpError)}:
            unlink_if_there(os.path.join(self.home, "lock", f"{uuid}.lock"))
        unlink_if_there(removed)
        sync_directory(os.path.dirname(removed))

    def _tidy(self) -> None:
        """Clear away what dead ones have left; only under the catalog's lock (I3)."""
        for part in ("vas", "seg"):
            for entry in entries(os.path.join(self.home, part)):
                with contextlib.suppress(SpaceJmpError):  # the next one will try again
                    if entry.name.startswith(TEMPORARY):
                        unlink_if_there(entry.path)
                    elif entry.name.startswith(_REMOVED):
                        self._finish_removal(entry.path)
