# SPDX-License-Identifier: Apache-2.0
"""Named address spaces that outlive processes, with pointer-rich data at fixed addresses.

>>> import spacejmp as sj
>>> with sj.open("genes") as store:
...     genes = store.btree("by_symbol", key="str")
...     genes["BRCA1"] = {"chrom": "chr17", "start": 43044295}

This module re-exports the public names of the floors below and holds no logic. `spacejmp.mmu` is
loaded when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from spacejmp._space import Hold
from spacejmp.catalog import Catalog
from spacejmp.cloning import seg_clone, vas_clone
from spacejmp.library import __version__, get_include, get_library
from spacejmp.persistence.errors import (
    AddressConflictError,
    AlreadyExistsError,
    CodecMismatchError,
    CorruptError,
    DetachedError,
    FormatError,
    HoldError,
    HoldUpgradeError,
    IdentityError,
    InDoubtError,
    InvalidArgumentError,
    InvalidNameError,
    LibraryMissingError,
    LiveViewsError,
    NotFoundError,
    OrderError,
    ReadOnlyError,
    RecordTypeError,
    SegmentDamagedError,
    SpaceBusyError,
    SpaceFullError,
    SpaceJmpError,
    StoreIOError,
    StorePermissionError,
    StructureTypeError,
    TooLargeError,
    TruncatedError,
    UncleanShutdownError,
    UnsupportedError,
    VersionError,
)
from spacejmp.records import VasInfo, VasSegment
from spacejmp.segments import Segment, seg_alloc, seg_ctl, seg_delete, seg_find, seg_list
from spacejmp.structures.array import Array
from spacejmp.structures.btree import BTree
from spacejmp.structures.columns import Columns
from spacejmp.structures.deque import Deque
from spacejmp.structures.hashmap import HashMap
from spacejmp.structures.list import List
from spacejmp.structures.opening import open
from spacejmp.structures.queue import Queue
from spacejmp.structures.record import (
    FixedArray,
    Ptr,
    Record,
    address_of,
    bool_,
    bytes_,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    record,
    str_,
    u8,
    u16,
    u32,
    u64,
)
from spacejmp.structures.remains import SalvageReport
from spacejmp.structures.reports import CheckReport, CollectReport, RootInfo, StoreStats, Usage
from spacejmp.structures.salvage import salvage
from spacejmp.structures.set import Set
from spacejmp.structures.sortedlist import SortedList
from spacejmp.structures.sortedset import SortedSet
from spacejmp.structures.store import Store
from spacejmp.structures.transaction import transaction
from spacejmp.switching import (
    current,
    seg_free,
    seg_malloc,
    vas_attach,
    vas_detach,
    vas_switch,
    vas_switchm,
)
from spacejmp.vas import (
    Vas,
    seg_attach,
    seg_detach,
    vas_create,
    vas_ctl,
    vas_delete,
    vas_find,
    vas_list,
)
from spacejmp.vas_handle import AttachedSegment, VasHandle

__all__ = [
    "AddressConflictError",
    "AlreadyExistsError",
    "Array",
    "AttachedSegment",
    "BTree",
    "Catalog",
    "CheckReport",
    "CodecMismatchError",
    "CollectReport",
    "Columns",
    "CorruptError",
    "Deque",
    "DetachedError",
    "FixedArray",
    "FormatError",
    "HashMap",
    "Hold",
    "HoldError",
    "HoldUpgradeError",
    "IdentityError",
    "InDoubtError",
    "InvalidArgumentError",
    "InvalidNameError",
    "LibraryMissingError",
    "List",
    "LiveViewsError",
    "NotFoundError",
    "OrderError",
    "Ptr",
    "Queue",
    "ReadOnlyError",
    "Record",
    "RecordTypeError",
    "RootInfo",
    "SalvageReport",
    "Segment",
    "SegmentDamagedError",
    "Set",
    "SortedList",
    "SortedSet",
    "SpaceBusyError",
    "SpaceFullError",
    "SpaceJmpError",
    "Store",
    "StoreIOError",
    "StorePermissionError",
    "StoreStats",
    "StructureTypeError",
    "TooLargeError",
    "TruncatedError",
    "UncleanShutdownError",
    "UnsupportedError",
    "Usage",
    "Vas",
    "VasHandle",
    "VasInfo",
    "VasSegment",
    "VersionError",
    "__version__",
    "address_of",
    "bool_",
    "bytes_",
    "current",
    "f32",
    "f64",
    "get_include",
    "get_library",
    "i8",
    "i16",
    "i32",
    "i64",
    "mmu",
    "open",
    "record",
    "salvage",
    "seg_alloc",
    "seg_attach",
    "seg_clone",
    "seg_ctl",
    "seg_delete",
    "seg_detach",
    "seg_find",
    "seg_free",
    "seg_list",
    "seg_malloc",
    "str_",
    "transaction",
    "u8",
    "u16",
    "u32",
    "u64",
    "vas_attach",
    "vas_clone",
    "vas_create",
    "vas_ctl",
    "vas_delete",
    "vas_detach",
    "vas_find",
    "vas_list",
    "vas_switch",
    "vas_switchm",
]

if TYPE_CHECKING:
    from spacejmp import mmu


def __getattr__(name: str) -> Any:
    if name == "mmu":
        from importlib import import_module

        return import_module("spacejmp.mmu")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
