# SPDX-License-Identifier: Apache-2.0
"""`Store`: a named store that is open, and the structures in it (`structures.opening` opens it)."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Literal

from spacejmp._space import Hold, Space
from spacejmp.names import check_root_name
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CodecMismatchError,
    DetachedError,
    NotFoundError,
    StructureTypeError,
)
from spacejmp.structures import _roots
from spacejmp.structures._codec import codec_id, codec_name
from spacejmp.structures.btree import BTree
from spacejmp.structures.hashmap import HashMap
from spacejmp.structures.reports import CheckReport, StoreStats
from spacejmp.structures.roots import KIND_NAMES, Roots
from spacejmp.structures.versions import Versioned

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from spacejmp.structures._mapping import MappingCore

__all__ = ["Store"]

_KINDS: dict[int, type[BTree | HashMap]] = {_roots.BTREE: BTree, _roots.HASHMAP: HashMap}


class Store(Versioned):
    """A named store that is open in this process; made by `open`.

    A store is one virtual address space: its data lies at the same addresses in every process, and
    nothing is loaded, copied or converted when it is opened. Any number of processes and threads
    may have it open at the same time.

    An operation of a structure takes the store's lock for itself. `read`, `write` and `transaction`
    hold it for a block; they nest, also across stores, and belong to one thread.

    A store can be pickled: what is sent is its name and home, and it arrives open.

    Examples
    --------
    >>> with sj.open("demo") as store:
    ...     genes = store.btree("genes", key="str")
    ...     with store.transaction():
    ...         genes["TP53"] = 17
    ...         genes["EGFR"] = 7
    ...     store.roots["genes"]
    RootInfo(name='genes', kind='btree', key='str', value='any')
    """

    __slots__ = ("__weakref__", "_opened", "_space", "flag", "home", "name", "path")

    def __init__(self, name: str, home: str, path: str, flag: str, space: Space) -> None:
        self.name = name
        self.home = home
        self.path = path
        self.flag = flag
        self._space = space
        self._opened: weakref.WeakValueDictionary[str, MappingCore] = weakref.WeakValueDictionary()

    # -- structures ---------------------------------------------------------------------------

    def btree(self, name: str, key: str | None = None, value: str | None = None) -> BTree:
        """Open an ordered mapping by name; it is made if missing.

        Parameters
        ----------
        name : str
            1 to 255 bytes of UTF-8.
        key : {"int", "float", "bytes", "str", "any"}, optional
            The key codec: "any" for a new tree, what it has for an old one.
        value : {"int", "float", "bytes", "str", "any", "pickle"}, optional
            The value codec, likewise.

        Returns
        -------
        BTree

        Raises
        ------
        CodecMismatchError
            The tree has other codecs.
        StructureTypeError
            The structure of that name is no B-tree.
        NotFoundError
            It is missing and the store was opened with flag "r".

        Durability
        ----------
        A new tree and its name appear together, in one atomic operation.
        """
        tree = self._open(BTree, _roots.BTREE, name, key, value)
        assert isinstance(tree, BTree)
        return tree

    def hashmap(self, name: str, key: str | None = None, value: str | None = None) -> HashMap:
        """Open an unordered mapping by name; it is made if missing. See `btree`."""
        mapping = self._open(HashMap, _roots.HASHMAP, name, key, value)
        assert isinstance(mapping, HashMap)
        return mapping

    def __getitem__(self, name: str) -> BTree | HashMap:
        """The structure of that name, whatever its kind; NotFoundError."""
        raw = check_root_name(name)
        root = _roots.find(self._space, raw)
        if root is None:
            raise self._no_root(name)
        if root.type == _roots.POINTER:
            raise StructureTypeError(
                f"{name!r} is a pointer, not a structure: VasHandle.roots[{name!r}] is its address"
            )
        if root.type not in _KINDS:
            raise StructureTypeError(f"{name!r} is of kind {root.type}, unknown to this version")
        return self._structure(_KINDS[root.type], name, raw, root)

    def __contains__(self, name: object) -> bool:
        return name in self.roots

    def drop(self, name: str) -> None:
        """Remove a structure and all that is in it, as one atomic operation.

        Raises
        ------
        NotFoundError, ReadOnlyError

        Complexity
        ----------
        O(n) in its items.
        """
        _roots.drop(self._space, check_root_name(name))
        self._opened.pop(name, None)

    @property
    def roots(self) -> Roots:
        """The structures by name: a live mapping to `RootInfo`."""
        return Roots(self)

    # -- holds --------------------------------------------------------------------------------

    def read(self, *, timeout: float | None = None) -> Hold:
        """Hold the store for reading in a `with` block: nobody changes it until the block ends.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for a writer; the store's own timeout when left out.

        Raises
        ------
        SpaceBusyError
            Others held it for longer than that.
        """
        return Hold(self._space, False, False, timeout)

    def write(self, *, timeout: float | None = None) -> Hold:
        """Hold the store for writing in a `with` block: nobody else reads or changes it.

        Each operation in the block is atomic by itself; `transaction` makes them atomic together.

        Raises
        ------
        HoldUpgradeError
            The thread has the store for reading already.
        SpaceBusyError, ReadOnlyError
        """
        return Hold(self._space, True, False, timeout)

    def transaction(self, *, timeout: float | None = None) -> Hold:
        """Make all changes of a `with` block atomic together.

        An exception that leaves the block undoes them, as does ``abort()`` on what the `with`
        statement gives. A transaction inside of another one is a savepoint.

        Durability
        ----------
        When the block has ended all of its changes are there, whatever dies; if anything dies
        before, none is.

        Raises
        ------
        HoldUpgradeError
            The thread has the store for reading already.
        SpaceBusyError, ReadOnlyError

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     t = store.btree("t", key="int")
        ...     with store.transaction() as tx:
        ...         t[1] = "one"
        ...         tx.abort()
        ...     1 in t
        False
        """
        return Hold(self._space, True, True, timeout)

    # -- the whole store ----------------------------------------------------------------------

    def sync(self) -> None:
        """Write everything to the file's storage (fsync), and give its pages checksums.

        Of a store with a write-ahead log this writes a checkpoint: the log is empty afterwards.
        Inside of a transaction no checksums are made: what it has changed may change again.

        Raises
        ------
        StoreIOError, SpaceFullError
            The storage failed, or is full.

        Complexity
        ----------
        O(what has changed since the last one); writers wait meanwhile.

        Durability
        ----------
        Once it returns, what was committed before survives a power loss, whatever the domain (but
        tmpfs, which never does).
        """
        self._space.sync()

    def stats(self) -> StoreStats:
        """What the bytes of the file are used for. O(pages)."""
        return StoreStats(**_roots.heap_stats(self._space))

    def check(
        self,
        *,
        repair: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> CheckReport:
        """Verify every page by its checksum, and every block, node, pointer, key order and count.

        A page has a checksum from the time when the last process closed the store, or `sync` was
        called, until it changes.

        Parameters
        ----------
        repair : bool
            Also repair what can be, if all but the checksums is whole: free the blocks that nothing
            leads to, in one transaction, and make checksums anew. So **a page whose checksum did
            not fit is taken for good as it is**: if a bit of a value has flipped, no other check
            knows; `CheckReport.accepted` says which pages they were.
        progress : callable, optional
            Called now and then with the bytes that are done and those that there are. An exception
            that it raises ends the check.

        Raises
        ------
        CorruptError
            The first damage found: its offset, what lies there, and whose it is. Nothing has been
            repaired then.
        HoldUpgradeError, InvalidArgumentError
            A repair inside of a read hold, or of a transaction.
        ReadOnlyError, SpaceFullError, StoreIOError
            From a repair.

        Complexity
        ----------
        O(bytes of the file); writers wait meanwhile, and with `repair` readers too.

        Durability
        ----------
        A repair is one atomic operation, and synced.
        """
        return CheckReport(**_roots.check(self._space, repair, progress))

    def close(self) -> None:
        """Detach the store; its structures raise `DetachedError` from then on.

        The last process to close a store on an ordinary filesystem writes it to its storage.

        Raises
        ------
        SpaceBusyError
            A thread of this process is inside of a hold; nothing is closed then.
        StoreIOError
            The storage failed; the store is closed all the same.
        """
        self._space.detach()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._space.attached

    @property
    def readonly(self) -> bool:
        """Whether the store was opened with flag "r"."""
        return self.flag == "r"

    @property
    def base(self) -> int:
        """The address that the store has in every process."""
        return self._space.base

    @property
    def reserve(self) -> int:
        """Bytes of addresses that belong to the store."""
        return self._space.reserved

    @property
    def durability(self) -> Literal["process", "power"]:
        """What acknowledged changes survive: the death of any process, or power loss as well."""
        return self._space.durability

    @property
    def domain(self) -> str:
        """The persistence domain: "shm" (tmpfs), "file", "wal" or "dax" (persistent memory)."""
        return self._space.domain

    def __enter__(self) -> Self:
        if self.closed:
            raise DetachedError(f"store {self.name!r} has been closed: open it again")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Store {self.name!r}, closed>"
        private = ", private" if self.private else ""
        return (
            f"<Store {self.name!r} at {self.base:#x}, flag {self.flag!r}{private}, "
            f"home {self.home!r}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if self.private:
            raise TypeError(f"{self!r} belongs to this process alone: send a clone of it")
        from spacejmp.structures.opening import reopen

        return reopen, (self.name, self.home, "r" if self.readonly else "w")

    # -- inside -------------------------------------------------------------------------------

    @classmethod
    def _of(cls, name: str, home: str, timeout: float | None) -> Store:
        from spacejmp.structures.opening import open

        return open(name, "w", home=home, timeout=timeout)

    def _no_root(self, name: str) -> NotFoundError:
        names = ", ".join(repr(other) for other, _ in _roots.listing(self._space)[:8])
        return NotFoundError(
            f"store {self.name!r} has no structure named {name!r}; it has {names or 'none'}"
        )

    def _open(
        self,
        kind: type[BTree | HashMap],
        type_id: int,
        name: str,
        key: str | None,
        value: str | None,
    ) -> BTree | HashMap:
        raw = check_root_name(name)
        wanted = (
            None if key is None else codec_id(key, "key"),
            None if value is None else codec_id(value, "value"),
        )
        root = _roots.find(self._space, raw)
        if root is None:
            root = self._make(raw, name, type_id, key or "any", value or "any")
        if root.type != type_id:
            raise StructureTypeError(
                f"{name!r}: expected a {KIND_NAMES[type_id]}, found a "
                f"{KIND_NAMES.get(root.type, 'structure of an unknown kind')}: "
                f"store[{name!r}] opens whatever it is"
            )
        roles: tuple[Literal["key", "value"], ...] = ("key", "value")
        for role, codec, found in zip(roles, wanted, root[1:], strict=True):
            if codec is not None and codec != found:
                raise CodecMismatchError(
                    f"{name!r}: expected the {role} codec {codec_name(codec, role)!r}, found "
                    f"{codec_name(found, role)!r}: open it without {role}=, or drop it first"
                )
        return self._structure(kind, name, raw, root)

    def _structure(
        self, kind: type[BTree | HashMap], name: str, raw: bytes, root: _roots.RootRecord
    ) -> BTree | HashMap:
        """The object for a root that was found; NotFoundError when it has gone meanwhile."""
        opened = self._opened.get(name)
        has = codec_name(root.key_codec, "key"), codec_name(root.value_codec, "value")
        if isinstance(opened, kind) and (opened.key, opened.value) == has:
            return opened
        mapping = kind(self, self._space, name, raw, root.key_codec, root.value_codec)
        self._opened[name] = mapping
        return mapping

    def _make(self, raw: bytes, name: str, type_id: int, key: str, value: str) -> _roots.RootRecord:
        if self.readonly:
            raise self._no_root(name)
        codecs = codec_id(key, "key"), codec_id(value, "value")
        with contextlib.suppress(AlreadyExistsError):  # another process was faster
            _roots.create(self._space, raw, type_id, *codecs)
        root = _roots.find(self._space, raw)
        if root is None:
            raise self._no_root(name)
        return root


def _reopen_structure(store: Store, name: str) -> BTree | HashMap:
    """What a pickled structure becomes."""
    return store[name]
