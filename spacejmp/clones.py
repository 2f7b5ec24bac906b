# SPDX-License-Identifier: Apache-2.0
"""Clones and versions of stores: the same data at the same addresses, under another name.

A clone is a store of its own. A version is a clone that never changes: `Clones.snapshot` makes the
version NAME@TAG of the store NAME, which lies beside it in ``seg/NAME@TAG.seg``. It can be opened
for reading, or privately, and cloned; nobody can open it for writing. It outlives the store, is
listed by `Clones.versions` alone, and removed by its name.

I1  A clone or version appears whole, by one link under the catalog's lock, or not at all. It is
    copied before, without that lock: others create and remove meanwhile.
I2  What it holds is a state between two transactions: it is copied under a read hold
    (persistence/clone.h, spacejmp/catalog_clone.c).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from spacejmp._clone import clone
from spacejmp._space import Space, segment_inspect
from spacejmp.home import check_mode, restore_locks
from spacejmp.library import use_forced_granularity
from spacejmp.names import check_name, check_store, check_tag
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    InvalidNameError,
    NotFoundError,
    SpaceJmpError,
    StorePermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spacejmp.records import SegmentRecord, VasRecord

__all__ = ["Clones", "Version"]

Durability = Literal["process", "power"]


class Version(NamedTuple):
    """A version of a store.

    Attributes
    ----------
    name : str
        NAME@TAG: what `spacejmp.open` and `Catalog.clone` take.
    tag : str
    created_ns : int
        Wall clock, nanoseconds since 1970.
    bytes : int
        Length of its file; blocks that it shares with other files are counted too.
    """

    name: str
    tag: str
    created_ns: int
    bytes: int


if TYPE_CHECKING:

    class _Catalog:
        home: str
        timeout: float | None

        def lookup(self, name: str) -> VasRecord: ...
        def segment_path(self, segment: SegmentRecord) -> str: ...
        def lock_path(self, segment: SegmentRecord) -> str: ...

else:
    _Catalog = object


class Clones(_Catalog):
    """What a `spacejmp.Catalog` can do with clones and versions."""

    __slots__ = ()

    def clone(
        self,
        name: str,
        new: str,
        *,
        mode: int | None = None,
        durability: Durability | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> VasRecord:
        """Make a store of another name with the same data, at the same addresses.

        All pointers in it hold. Where the filesystem shares blocks between files (XFS, btrfs),
        nothing is copied until one of the two changes; else all is, but holes.

        Parameters
        ----------
        name : str
            The store, or a version of one (NAME@TAG). It may be open anywhere: who wants to change
            it waits meanwhile, who reads does not.
        new : str
            See `spacejmp.names.check_name`.
        mode : int, optional
            Permissions of the files; those of the original when left out.
        durability : {"process", "power"}, optional
            As the original's when left out; of a version, as that of its store.
        progress : callable, optional
            Called now and then with the bytes that are done and those that there are. An exception
            that it raises ends the copy.

        Returns
        -------
        VasRecord

        Raises
        ------
        NotFoundError
            There is no such store or version.
        AlreadyExistsError
            The name `new` is taken.
        SpaceFullError
            The disk is full.
        InvalidArgumentError
            The durability is not to be had on the filesystem of the home; the thread is inside of a
            transaction of the store.
        CorruptError, UncleanShutdownError, SegmentDamagedError, TruncatedError
            The original is damaged, or nobody knows whether it is.
        SpaceBusyError
            Others were changing the store, or the catalog, for longer than the timeout.
        StorePermissionError, InvalidNameError

        Complexity
        ----------
        O(bytes of the store), or O(1) where the filesystem shares blocks.

        Durability
        ----------
        Once it returns the clone survives power loss, if the filesystem does. A crash before leaves
        the whole clone or nothing.

        Examples
        --------
        >>> with sj.open("genes") as genes:
        ...     genes.btree("t", key="int")[1] = "one"
        >>> sj.Catalog().clone("genes", "experiment").name
        'experiment'
        >>> with sj.open("experiment") as copy:
        ...     copy["t"][1]
        'one'
        """
        check_store(name)
        check_name(new)
        with self._attached(name) as space:
            return self.clone_space(space, new, mode=mode, durability=durability, progress=progress)

    def clone_space(
        self,
        space: Space,
        new: str,
        *,
        mode: int | None = None,
        durability: Durability | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> VasRecord:
        """Do the same with a space that is attached: a private one too."""
        if mode is not None:
            check_mode(mode)
        clone(
            self.home,
            self.timeout,
            space,
            check_name(new),
            mode=mode,
            durability=durability,
            progress=progress,
        )
        return self.lookup(new)

    def snapshot(
        self,
        name: str,
        tag: str | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Version:
        """Make a version of a store: a clone for reading only, called NAME@TAG.

        Parameters
        ----------
        name : str
            The store.
        tag : str, optional
            1 to 64 letters, digits, ``.``, ``_`` and ``-``. When left out, the number after the
            highest one that is the tag of a version: 1, 2, …
        progress : callable, optional
            As of `clone`.

        Returns
        -------
        Version

        Raises
        ------
        NotFoundError, AlreadyExistsError, SpaceFullError, …
            As `clone`.

        Complexity
        ----------
        As `clone`.

        Durability
        ----------
        As `clone`.

        Examples
        --------
        >>> sj.Catalog().create("stock").name
        'stock'
        >>> sj.Catalog().snapshot("stock", "before").name
        'stock@before'
        >>> sj.Catalog().snapshot("stock").name
        'stock@1'
        >>> [version.tag for version in sj.Catalog().versions("stock")]
        ['before', '1']
        """
        check_name(name)
        with self._attached(name) as space:
            return self.snapshot_space(space, name, tag, progress=progress)

    def snapshot_space(
        self,
        space: Space,
        name: str,
        tag: str | None = None,
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Version:
        """Do the same with a space that is attached."""
        while True:
            full = f"{name}@{self._next_tag(name) if tag is None else check_tag(tag)}"
            try:
                clone(self.home, self.timeout, space, full, frozen=True, progress=progress)
            except AlreadyExistsError:
                if tag is not None:
                    raise
            else:
                return self._version(full)

    def versions(self, name: str | None = None) -> list[Version]:
        """List the versions of a store, or of all, the oldest first.

        Parameters
        ----------
        name : str, optional
            The store, which need not be there any more.

        Returns
        -------
        list of Version
            Those that are damaged are left out: `lookup` says what is wrong with them.

        Complexity
        ----------
        O(n log n); one directory is read, and the header of each version.
        """
        if name is not None:
            check_name(name)
        found = []
        for full in self._version_names():
            if name is None or full.partition("@")[0] == name:
                with contextlib.suppress(SpaceJmpError):
                    found.append(self._version(full))
        return sorted(found, key=lambda version: (version.created_ns, version.name))

    # Inside.

    def _version_names(self) -> Iterator[str]:
        try:
            names = os.listdir(os.path.join(self.home, "seg"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorePermissionError(
                f"cannot list {self.home!r}: {error.strerror}; check owner and mode of the path"
            ) from error
        for name in names:
            stem = name.removesuffix(".seg")
            if stem != name and "@" in stem:
                with contextlib.suppress(InvalidNameError):
                    check_store(stem)
                    yield stem

    def _version(self, full: str) -> Version:
        info = segment_inspect(os.path.join(self.home, "seg", f"{full}.seg"))
        return Version(full, full.partition("@")[2], info.created_ns, info.file_bytes)

    def _next_tag(self, name: str) -> str:
        """The number after the highest one in use."""
        tags = (
            full.partition("@")[2]
            for full in self._version_names()
            if full.partition("@")[0] == name
        )
        return str(1 + max((int(tag) for tag in tags if tag.isdecimal()), default=0))

    @contextlib.contextmanager
    def _attached(self, name: str) -> Iterator[Space]:
        """Attach a store or version for the time of a block."""
        use_forced_granularity()
        known = None
        while True:
            record = self.lookup(name)
            path, lock = self.segment_path(record.segment), self.lock_path(record.segment)
            try:
                space = Space(path, lock, uuid=record.uuid, writable=False, timeout=self.timeout)
            except NotFoundError:  # removed or replaced after it was looked up
                if record == known:
                    raise
                restore_locks(self.home, path)
                known = record
                continue
            break
        try:
            yield space
        finally:
            space.detach()
