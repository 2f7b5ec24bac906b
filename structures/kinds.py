# SPDX-License-Identifier: Apache-2.0
"""The kinds of structures: which class opens what lies in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spacejmp.structures import _array, _columns, _roots
from spacejmp.structures._codec import codec_id
from spacejmp.structures.array import Array
from spacejmp.structures.btree import BTree
from spacejmp.structures.columns import Columns
from spacejmp.structures.deque import Deque
from spacejmp.structures.hashmap import HashMap
from spacejmp.structures.list import List
from spacejmp.structures.queue import Queue
from spacejmp.structures.record import Record
from spacejmp.structures.set import Set
from spacejmp.structures.sortedlist import SortedList
from spacejmp.structures.sortedset import SortedSet

if TYPE_CHECKING:
    from spacejmp.structures._container import ContainerCore

__all__ = ["Kind", "kind_of", "kind_of_root", "name_of_root"]


class Kind(NamedTuple):
    """One kind: what the store says of it, and the class of its objects."""

    name: str
    block: int
    """The kind of the block that its head is (SJ_KIND_…)."""
    make: type[Any]
    has_key: bool = True
    """Whether it has a key codec."""
    has_value: bool = True

    def codecs(self, key: str | None, value: str | None) -> tuple[int | None, int | None]:
        """The numbers of codecs by name; None stays None; 0 where the kind has none."""
        return (
            (None if key is None else codec_id(key, "key")) if self.has_key else 0,
            (None if value is None else codec_id(value, "value")) if self.has_value else 0,
        )


KINDS = (
    Kind("array", _array.ARRAY, Array, has_key=False, has_value=False),
    Kind("btree", _roots.BTREE, BTree),
    Kind("columns", _columns.COLUMNS, Columns, has_key=False, has_value=False),
    Kind("deque", _roots.DEQUE, Deque, has_key=False),
    Kind("hashmap", _roots.HASHMAP, HashMap),
    Kind("queue", _roots.QUEUE, Queue, has_key=False),
    Kind("set", _roots.HASHMAP, Set, has_value=False),
    Kind("sortedset", _roots.BTREE, SortedSet, has_value=False),
    Kind("list", _roots.LIST, List, has_key=False),
    Kind("sortedlist", _roots.LIST, SortedList, has_value=False),
    Kind("record", _roots.RECORD, Record, has_key=False, has_value=False),
)


def kind_of(made: type[ContainerCore]) -> Kind:
    """The kind whose objects are of that class."""
    return next(kind for kind in KINDS if kind.make is made)


def kind_of_root(root: _roots.RootRecord | _roots.Found) -> Kind | None:
    """The kind of what was found; None: there is none of that type and those codecs."""
    for kind in KINDS:
        if (
            kind.block == root.type
            and kind.has_key == (root.key_codec != 0)
            and kind.has_value == (root.value_codec != 0)
        ):
            return kind
    return None


def name_of_root(root: _roots.RootRecord) -> str:
    """How the store calls it."""
    if root.type == _roots.POINTER:
        return "pointer"
    kind = kind_of_root(root)
    return "unknown" if kind is None else kind.name
