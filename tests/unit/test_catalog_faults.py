# SPDX-License-Identifier: Apache-2.0
"""Whatever the system refuses, the catalog says so and leaves nothing half-done.

Each system call in turn fails, or is the last one, in tests/native/test_catalog_crash.c.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
from typing import TYPE_CHECKING

import pytest

from spacejmp.catalog import Catalog
from spacejmp.persistence.errors import (
    SpaceFullError,
    SpaceJmpError,
    StorePermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

from homes import expected_files, files_of

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


def in_child(action: Callable[[], object], prepare: Callable[[], None]) -> object:
    """Run `action` in a forked child after `prepare`; returns its result or its exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            result: object = action()
        except BaseException as error:
            result = error
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


def become_nobody() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))


def test_directories_that_may_not_be_written_are_named(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes", mode=0o644)
    for path in (home / "lock", home / "seg", home / "vas", home):
        path.chmod(0o555)
    for action in (lambda: catalog.create("other"), lambda: catalog.remove("genes")):
        refused = in_child(action, become_nobody)
        assert isinstance(refused, StorePermissionError)
        assert str(home) in str(refused)
    assert in_child(lambda: catalog.lookup("genes"), become_nobody) == record
    (home / "seg").chmod(0o000)
    for look in (catalog.names, lambda: catalog.lookup("genes")):
        assert isinstance(in_child(look, become_nobody), StorePermissionError)
    made = in_child(lambda: Catalog(home / "new").create("genes"), become_nobody)
    assert isinstance(made, StorePermissionError)
    assert str(home / "new") in str(made)


def test_a_limit_on_file_sizes_is_a_full_space(catalog: Catalog, home: Path) -> None:
    full = in_child(lambda: catalog.create("genes"), limit_file_size)
    assert isinstance(full, SpaceFullError)
    assert "genes.seg" in str(full)
    assert files_of(home) == expected_files()


def test_a_full_disk_leaves_nothing(home: Path) -> None:
    (home / "small").mkdir()
    catalog = Catalog(home / "small")

    def mount_small_disk() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x00020000) or libc.mount(b"", b"/", None, 0x44000, None):
            raise OSError(ctypes.get_errno(), "unshare")
        options = b"size=640k,mode=700"
        if libc.mount(b"small", os.fsencode(home / "small"), b"tmpfs", 0, options):
            raise OSError(ctypes.get_errno(), "mount")

    def fill() -> tuple[list[str], object, set[str]]:
        error: object = None
        for number in range(20):
            try:
                catalog.create(f"s{number}")
            except SpaceFullError as full:
                error = full
                break
        return catalog.names(), error, files_of(home / "small")

    result = in_child(fill, mount_small_disk)
    if isinstance(result, OSError) and not isinstance(result, SpaceJmpError):
        pytest.skip(f"cannot mount here: {result}")
    assert isinstance(result, tuple)
    names, error, files = result
    assert isinstance(error, SpaceFullError)
    assert str(home / "small") in str(error)
    assert 1 <= len(names) < 20
    assert files == expected_files(*names)
