# SPDX-License-Identifier: Apache-2.0
"""`Containers`: the structures of a store: opened by name, made without one, found by place."""

from __future__ import annotations

import contextlib
import operator
import weakref
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from spacejmp._space import Hold
from spacejmp.names import check_root_name
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CodecMismatchError,
    InvalidArgumentError,
    NotFoundError,
    StructureTypeError,
)
from spacejmp.structures import _roots
from spacejmp.structures._codec import codec_name
from spacejmp.structures._container import ContainerCore
from spacejmp.structures._record import RecordCore
from spacejmp.structures.arrays import Arrays
from spacejmp.structures.btree import BTree
from spacejmp.structures.deque import Deque
from spacejmp.structures.hashmap import HashMap
from spacejmp.structures.kinds import kind_of, kind_of_root
from spacejmp.structures.list import List
from spacejmp.structures.queue import Queue
from spacejmp.structures.recording import RECORD_HEAD, Recording
from spacejmp.structures.roots import Roots, find_root
from spacejmp.structures.set import Set
from spacejmp.structures.sortedlist import SortedList
from spacejmp.structures.sortedset import SortedSet

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator

    from spacejmp._space import Space
    from spacejmp.structures._field import Registry

__all__ = ["Containers"]

AnyContainer = TypeVar("AnyContainer", bound=ContainerCore)
AnyLimited = TypeVar("AnyLimited", Deque, Queue)


def _check_limit(limit: int | None, word: str) -> int | None:
    """What the structure is told; None: there is no limit."""
    if limit is None:
        return None
    limit = operator.index(limit)
    if limit <= 0 and word == "maxsize":
        return None
    if not 0 <= limit < 1 << 48:
        raise ValueError(f"{word} must be non-negative and below 2**48, found {limit}")
    return limit


class Containers(Recording, Arrays):
    """The half of `Store` that opens its structures."""

    __slots__ = ("_opened", "_placed", "_registry")

    name: str
    _space: Space

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._opened: weakref.WeakValueDictionary[str, ContainerCore] = (
            weakref.WeakValueDictionary()
        )
        self._placed: weakref.WeakValueDictionary[tuple[int, int], ContainerCore] = (
            weakref.WeakValueDictionary()
        )

    # -- by name ------------------------------------------------------------------------------

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
        return self._open(BTree, name, key, value)

    def hashmap(self, name: str, key: str | None = None, value: str | None = None) -> HashMap:
        """Open an unordered mapping by name; it is made if missing. See `btree`."""
        return self._open(HashMap, name, key, value)

    def set(self, name: str, key: str | None = None) -> Set:
        """Open an unordered set by name; it is made if missing. See `btree`; `key`: of elements."""
        return self._open(Set, name, key, None)

    def sortedset(self, name: str, key: str | None = None) -> SortedSet:
        """Open an ordered set by name; it is made if missing. See `btree`; `key`: of elements."""
        return self._open(SortedSet, name, key, None)

    def deque(self, name: str, value: str | None = None, maxlen: int | None = None) -> Deque:
        """Open a sequence with two ends by name; it is made if missing.

        Parameters
        ----------
        name, value : str
            As of `btree`.
        maxlen : int, optional
            For a new one: how many items it may have; any number when left out. An old one has its
            own: what is given must be that.

        Raises
        ------
        InvalidArgumentError
            It has another `maxlen`.
        CodecMismatchError, StructureTypeError, NotFoundError
            As of `btree`.

        Durability
        ----------
        As of `btree`.
        """
        return self._open_limited(Deque, name, value, maxlen, "maxlen")

    def queue(self, name: str, value: str | None = None, maxsize: int | None = None) -> Queue:
        """Open a queue between processes by name; it is made if missing.

        Parameters
        ----------
        name, value : str
            As of `btree`.
        maxsize : int, optional
            For a new one: how many items it may have before `put` waits; 0, or left out: any
            number. An old one has its own: what is given must be that.

        Raises
        ------
        InvalidArgumentError
            It has another `maxsize`.
        CodecMismatchError, StructureTypeError, NotFoundError
            As of `btree`.

        Durability
        ----------
        As of `btree`.
        """
        return self._open_limited(Queue, name, value, maxsize, "maxsize")

    def list(self, name: str, value: str | None = None) -> List:
        """Open a list by name; it is made if missing. See `btree`."""
        return self._open(List, name, None, value)

    def sortedlist(self, name: str, key: str | None = None) -> SortedList:
        """Open a sorted list by name; it is made if missing. See `btree`; `key`: of its items."""
        return self._open(SortedList, name, key, None)

    # -- without a name -----------------------------------------------------------------------

    def new_btree(self, key: str = "any", value: str = "any") -> BTree:
        """Make an ordered mapping that has no name, to be stored in another structure.

        What `any` values hold is a reference to it: reading one gives the live object. It lives as
        long as something leads to it: a name (``store["name"] = tree``), a reference in a structure
        that lives, or, in this process, the object. `collect` frees what nothing leads to.

        Raises
        ------
        SpaceFullError, ReadOnlyError, SpaceBusyError

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     people = store.hashmap("people", key="str")
        ...     people["Ada"] = store.new_btree(key="int", value="str")
        ...     people["Ada"][1815] = "born"
        ...     list(people["Ada"].items())
        [(1815, 'born')]
        """
        return self._new(BTree, key, value)

    def new_hashmap(self, key: str = "any", value: str = "any") -> HashMap:
        """Make an unordered mapping that has no name. See `new_btree`."""
        return self._new(HashMap, key, value)

    def new_set(self, key: str = "any") -> Set:
        """Make an unordered set that has no name. See `new_btree`."""
        return self._new(Set, key, None)

    def new_sortedset(self, key: str = "any") -> SortedSet:
        """Make an ordered set that has no name. See `new_btree`."""
        return self._new(SortedSet, key, None)

    def new_deque(self, value: str = "any", maxlen: int | None = None) -> Deque:
        """Make a sequence with two ends that has no name. See `new_btree`, and `deque`."""
        return self._new_limited(Deque, value, maxlen, "maxlen")

    def new_queue(self, value: str = "any", maxsize: int = 0) -> Queue:
        """Make a queue between processes that has no name. See `new_btree`, and `queue`."""
        return self._new_limited(Queue, value, maxsize, "maxsize")

    def new_list(self, value: str = "any") -> List:
        """Make a list that has no name. See `new_btree`."""
        return self._new(List, None, value)

    def new_sortedlist(self, key: str = "any") -> SortedList:
        """Make a sorted list that has no name. See `new_btree`."""
        return self._new(SortedList, key, None)

    # -- whatever it is -----------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        """The structure of that name, whatever its kind; NotFoundError."""
        raw = check_root_name(name)
        root = _roots.find(self._space, raw)
        if root is None:
            raise self._no_root(name)
        if root.type == _roots.POINTER:
            raise StructureTypeError(
                f"{name!r} is a pointer, not a structure: VasHandle.roots[{name!r}] is its address"
            )
        kind = kind_of_root(root)
        if kind is None:
            raise StructureTypeError(f"{name!r} is of kind {root.type}, unknown to this version")
        if root.type == _roots.RECORD:
            return self._record(name, raw)
        return self._structure(kind.make, name, raw, root)

    def __setitem__(self, name: str, structure: Any) -> None:
        """Give a structure, or a record, of this store a name, or one more.

        A record takes the name of another record, so that ``store["first"]`` can be changed as a
        pointer can.

        Raises
        ------
        AlreadyExistsError
            Something has that name: drop it first.
        TypeError, ValueError
            It is no structure; it is of another store.
        """
        raw = check_root_name(name)
        if isinstance(structure, RecordCore):
            self._records().set_root(raw, structure)
            return
        if not isinstance(structure, ContainerCore):
            raise TypeError(
                f"store[{name!r}]: expected a structure of the store, found a "
                f"{type(structure).__name__}: put values into a structure, such as "
                f"store.hashmap({name!r})"
            )
        if structure.store._space is not self._space:
            raise ValueError(f"{structure!r} lies in another store: copy it into one of this store")
        _roots.assign(self._space, raw, *structure._place)

    def __contains__(self, name: object) -> bool:
        """Whether ``store[name]`` opens a structure."""
        root = find_root(self._space, name)
        return root is not None and kind_of_root(root) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __bool__(self) -> bool:
        return True

    def keys(self) -> builtins.list[str]:
        """List the names of the structures, sorted: those that ``store[name]`` opens.

        `roots` has all other names too, which are those of pointers and of structures that this
        version does not know.

        Returns
        -------
        list of str
            As they are now.

        Raises
        ------
        DetachedError
            The store has been closed.

        Complexity
        ----------
        O(n log n) in the number of names.

        Examples
        --------
        >>> with sj.open("shelf") as store:
        ...     genes, hits = store.btree("genes"), store.hashmap("hits")
        ...     {name: len(structure) for name, structure in dict(store).items()}
        {'genes': 0, 'hits': 0}
        """
        return [name for name, root in _roots.listing(self._space) if kind_of_root(root)]

    def drop(self, name: str) -> None:
        """Remove a structure and all that is in it, as one atomic operation.

        A structure that references may lead to loses its name alone: it is freed by `collect` when
        nothing leads to it.

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

    # -- inside -------------------------------------------------------------------------------

    def _no_root(self, name: str) -> NotFoundError:
        names = ", ".join(repr(other) for other, _ in _roots.listing(self._space)[:8])
        return NotFoundError(
            f"store {self.name!r} has no structure named {name!r}; it has {names or 'none'}"
        )

    def _open(
        self, made: type[AnyContainer], name: str, key: str | None, value: str | None
    ) -> AnyContainer:
        """The structure of that name and class; None: whatever its codec is."""
        kind = kind_of(made)
        raw = check_root_name(name)
        wanted = kind.codecs(key, value)
        root = _roots.find(self._space, raw)
        if root is None:
            codecs = [codec or 0 for codec in kind.codecs(key or "any", value or "any")]
            root = self._made(
                raw, name, lambda: _roots.create(self._space, raw, kind.block, *codecs)
            )
        if kind_of_root(root) is not kind:
            found = kind_of_root(root)
            raise StructureTypeError(
                f"{name!r}: expected a {kind.name}, found a "
                f"{found.name if found else 'structure of an unknown kind'}: "
                f"store[{name!r}] opens whatever it is"
            )
        roles: tuple[Literal["key", "value"], ...] = ("key", "value")
        for role, codec, found_codec in zip(roles, wanted, root[1:], strict=True):
            if codec is not None and codec != found_codec:
                raise CodecMismatchError(
                    f"{name!r}: expected the {role} codec {codec_name(codec, role)!r}, found "
                    f"{codec_name(found_codec, role)!r}: open it without {role}=, or drop it first"
                )
        return self._structure(made, name, raw, root)

    def _structure(
        self, made: type[AnyContainer], name: str, raw: bytes, root: _roots.RootRecord
    ) -> AnyContainer:
        """The object for a root that was found; NotFoundError when it has gone meanwhile."""
        opened = self._opened.get(name)
        if isinstance(opened, made) and opened._codecs == root[1:]:
            return opened
        fresh = made(self, self._space, name, raw, root.key_codec, root.value_codec)
        self._opened[name] = fresh
        return fresh

    def _made(self, raw: bytes, name: str, create: Callable[[], object]) -> _roots.RootRecord:
        """The root of a structure that was missing, which `create` makes."""
        if self.readonly:
            raise self._no_root(name)
        with contextlib.suppress(AlreadyExistsError):  # another process was faster
            create()
        root = _roots.find(self._space, raw)
        if root is None:
            raise self._no_root(name)
        return root

    def _new(self, made: type[AnyContainer], key: str | None, value: str | None) -> AnyContainer:
        kind = kind_of(made)
        chosen = kind.codecs("any" if key is None else key, "any" if value is None else value)
        codecs = tuple(codec or 0 for codec in chosen)
        # No collection comes before there is an object of it.
        with Hold(self._space, True, False, None):
            head, serial = _roots.create(self._space, None, kind.block, *codecs)
            return self._keep(made, head, serial, *codecs)

    def _in_use(self) -> builtins.list[tuple[int, int]]:
        """Address and serial of all that there are objects of, without a name."""
        return [*list(self._placed.data), *self._records().living()]  # type: ignore[attr-defined]

    def _open_limited(
        self, made: type[AnyLimited], name: str, value: str | None, limit: int | None, word: str
    ) -> AnyLimited:
        """The same for what has a limit, called `word`; a queue's 0 is none."""
        wanted = _check_limit(limit, word)
        if name not in self.roots and not self.readonly:
            with self.transaction():
                if name not in self.roots:
                    fresh = self._open(made, name, None, value)
                    if wanted is not None:
                        fresh._set_limit(wanted)
                    return fresh
        found = self._open(made, name, None, value)
        if limit is not None and found._limit() != wanted:
            raise InvalidArgumentError(
                f"{name!r}: expected {word} {limit}, found {found._limit() or 0}: open it without "
                f"{word}=, or drop it first"
            )
        return found

    def _new_limited(
        self, made: type[AnyLimited], value: str, limit: int | None, word: str
    ) -> AnyLimited:
        wanted = _check_limit(limit, word)
        with self.transaction():
            fresh = self._new(made, None, value)
            if wanted is not None:
                fresh._set_limit(wanted)
        return fresh

    def _at(self, head: int, serial: int) -> Any:
        """The structure or record that a reference leads to."""
        placed = self._placed.get((head, serial))
        if placed is not None:
            return placed
        found = _roots.look(self._space, head, serial)
        if found.type == _roots.RECORD:
            return self._records().at(self, None, head + RECORD_HEAD)
        kind = kind_of_root(found)
        if kind is None:
            raise StructureTypeError(
                f"what lies at {head:#x} is of kind {found.type}, unknown to this version"
            )
        made: type[ContainerCore] = kind.make
        return self._keep(made, head, serial, found.key_codec, found.value_codec)

    def _keep(
        self, made: type[AnyContainer], head: int, serial: int, key: int, value: int
    ) -> AnyContainer:
        fresh = made(self, self._space, None, None, key, value, head, serial)
        self._placed[head, serial] = fresh
        return fresh

    def transaction(self, *, timeout: float | None = None) -> Hold:
        """Make all changes of a `with` block atomic together."""
        raise NotImplementedError

    @property
    def readonly(self) -> bool:
        """Whether the store was opened with flag "r"."""
        raise NotImplementedError
