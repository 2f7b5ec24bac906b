# SPDX-License-Identifier: Apache-2.0
"""What `spacejmp` exports: the names that its users may rely on, and no others."""

from __future__ import annotations

import spacejmp as sj

PUBLIC_NAMES: list[str] = [
    "AddressConflictError",
    "AlreadyExistsError",
    "AttachedSegment",
    "BTree",
    "Catalog",
    "CheckReport",
    "CodecMismatchError",
    "CorruptError",
    "Deque",
    "DetachedError",
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
    "NotFoundError",
    "OrderError",
    "Queue",
    "ReadOnlyError",
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
    "Vas",
    "VasHandle",
    "VasInfo",
    "VasSegment",
    "VersionError",
    "__version__",
    "current",
    "get_include",
    "get_library",
    "mmu",
    "open",
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
    "transaction",
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
"""Every change here is a change for users: note it in CHANGELOG.md."""


def test_the_public_names_are_pinned() -> None:
    assert sorted(sj.__all__) == PUBLIC_NAMES, (
        "spacejmp.__all__ changed: users will notice. If that is meant, change PUBLIC_NAMES in "
        "tests/test_public_names.py and note it in CHANGELOG.md."
    )


def test_every_public_name_is_there() -> None:
    assert [name for name in sj.__all__ if not hasattr(sj, name)] == []
